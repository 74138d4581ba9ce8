//! Baseline + runs + rules -> [`Comparison`] -> [`Verdict`]. The verdict is computed here and nowhere else.
//!
//! Four steps: what both sides measured of each series and what that tells ([`Row`] with its [`Evidence`]); which changes
//! are significant over all endpoints together; one decision for each series, by [`decide`]; and whether another run may
//! change it, by [`Outlook`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ptr;

use anyhow::{Result, bail};

use crate::baseline::chain::Version;
use crate::baseline::file::{Baseline, Series, distribution, p95_corrected, request_interval};
use crate::model::limits::{Accepted, JUDGED, Level, Limit, Rules};
use crate::model::program;
use crate::model::run::{LEAST_REQUESTS, Metric, PERCENTILES, Precision, Run, Stats};
pub use crate::stats::ERROR;
use crate::stats::counts::{Counts, Rates};
use crate::stats::estimate::{Difference, Interval, Scale, estimate, holm};
use crate::stats::{Noise, Proof};
use crate::verdict::accepted::{Applied, State, applied, crowded_days};
use crate::verdict::decision::{Evidence, Excess, FewSamples, Presence, Row, Significance, decide, is_over, waive};
use crate::verdict::stopping::Outlook;

/// The probability that any endpoint fails by noise alone, over all looks together, and likewise that any warns.
const FAMILY_ERROR: f64 = 0.05;

/// The p-value by which the mean is up where the p95 lies in a gap.
const GAP_ERROR: f64 = 0.01;

/// The requests of a run leave a p95 open by this factor where it lies in a gap between fast and slow requests: of one
/// cloud of response times they leave much less.
const GAP_FACTOR: f64 = 2.0;

/// The percentiles, of [`PERCENTILES`], that lie on either side of a gap at p95.
const BESIDE_P95: [f64; 2] = [90.0, 98.0];

/// The share of its limit from which on such a percentile counts as near it.
const NEAR_LIMIT: f64 = 0.5;

/// The runs that are made at least where the baseline has one: its noise is in the candidate's runs alone.
const LEAST_RUNS_AGAINST_ONE: usize = 3;

/// The samples that a percentile of an endpoint must rest on to be a finding.
pub const LEAST_SAMPLES: usize = 5;

/// The share of its side's median number of requests that a run must have: one with less was no run of that load.
const LEAST_SHARE_OF_MEDIAN: f64 = 0.1;

/// The failures that an error rate of an endpoint must rest on: the exact test knows how little few of them prove, and
/// fewer than these are an accident.
const LEAST_FAILURES: usize = 3;

/// The requests in a run that the throughput of an endpoint must rest on: fewer scatter too much for a limit.
const LEAST_THROUGHPUT: usize = 20;

/// An endpoint with so many requests a run in the baseline, and none now, is missing.
const LEAST_MISSED: f64 = 10.0;

/// The gate's answer to a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No series fails; warnings may be there.
    Pass,
    /// At least one series fails.
    Fail,
}

impl Verdict {
    /// Returns the exit code of the command.
    pub fn exit_code(self) -> u8 {
        match self {
            Verdict::Pass => 0,
            Verdict::Fail => 1,
        }
    }
}

/// The number of runs on each side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunCounts {
    /// Runs behind the baseline.
    pub baseline: usize,
    /// Runs judged.
    pub candidate: usize,
}

/// The earlier baseline that a drift is measured from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Anchor<'a> {
    /// The anchor itself.
    pub version: &'a Version,
    /// The name that the user gave it, such as a tag.
    pub name: Option<&'a str>,
    /// The versions that were accepted since, newest first.
    pub updates: &'a [Version],
}

/// What was judged against the anchor.
#[derive(Clone, Debug, PartialEq)]
pub struct Drift<'a> {
    /// The anchor.
    pub anchor: Anchor<'a>,
    /// The series that both sides have and that have a limit of drift, each with its decision.
    pub rows: Vec<Row<'a>>,
}

impl<'a> Drift<'a> {
    /// Keeps what tells of a drift: an endpoint that came or went since was accepted with its update.
    pub fn new(anchor: Anchor<'a>, mut rows: Vec<Row<'a>>) -> Drift<'a> {
        rows.retain(|row| row.limit.is_some() && matches!(row.presence, Presence::Both { .. }));
        Drift { anchor, rows }
    }
}

/// Everything that was found, and the verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison<'a> {
    /// The rows of all requests together, in the order of [`Metric::ALL`].
    pub total: Vec<Row<'a>>,
    /// The judged rows of each endpoint; of a new one only the p95.
    pub endpoints: Vec<Row<'a>>,
    /// The judged metrics that the baseline lacks.
    pub lacking: Vec<Metric>,
    /// The number of runs on each side.
    pub runs: RunCounts,
    /// Says that the runs are of the same rounds.
    pub paired: bool,
    /// The metrics among p95 and the error rate on which the gate cannot fail, since their limits were lowered.
    pub cannot_fail: Vec<Metric>,
    /// Says that every warning was made a failure.
    pub strict: bool,
    /// The verdict: a failure where any row fails.
    pub verdict: Verdict,
    /// The number of runs that are always made.
    pub least_runs: usize,
    /// The smallest change of p95 that these runs would have told from none, had the baseline five of its kind; of a
    /// baseline of one run.
    pub detectable_by_five: Option<f64>,
    /// What became of the exceptions, in the order of the rules.
    pub exceptions: Vec<Applied<'a>>,
    /// The drift since an earlier baseline, where that is judged ([`Comparison::with_drift`]).
    pub drift: Option<Drift<'a>>,
}

impl<'a> Comparison<'a> {
    /// Judges the same runs against the anchor too: a failure there is one of the whole comparison.
    ///
    /// # Errors
    ///
    /// Refuses an anchor that [`lacking`] refuses.
    #[must_use = "the comparison with its drift is returned"]
    pub fn with_drift(mut self, anchor: Anchor<'a>, runs: &'a [Run], rules: &'a Rules) -> Result<Comparison<'a>> {
        let Comparison { total, endpoints, least_runs, .. } = compare(&anchor.version.baseline, runs, rules)?;
        let drift = Drift::new(anchor, total.into_iter().chain(endpoints).collect());
        if drift.rows.iter().any(Row::is_failure) {
            self.verdict = Verdict::Fail;
            // An anchor of one run tells nothing of the noise, and one run against it may have met a neighbour.
            self.least_runs = self.least_runs.max(least_runs);
        }
        self.drift = Some(drift);
        Ok(self)
    }

    /// Returns the row of a series; an `endpoint` of `None` is all requests together.
    pub fn row(&self, endpoint: Option<&str>, metric: Metric) -> Option<&Row<'a>> {
        self.total.iter().chain(&self.endpoints).find(|row| row.endpoint == endpoint && row.metric == metric)
    }

    /// Returns the exceptions that nothing needs. They are made for the baseline: a comparison of rounds may have the
    /// slower service on both sides.
    pub fn unused_exceptions(&self) -> impl Iterator<Item = &'a Accepted> {
        let unused = self.exceptions.iter().filter(|applied| !self.paired && applied.state == State::Unused);
        unused.map(|applied| applied.accepted)
    }

    /// Returns whether anything fails against the baseline itself, whatever the drift.
    pub fn has_failed_itself(&self) -> bool {
        self.total.iter().chain(&self.endpoints).any(Row::is_failure)
    }

    /// Returns whether anything warns or fails, or an exception is in use or needs a look.
    pub fn has_remarkable(&self) -> bool {
        self.rows().any(|row| row.is_finding() || row.is_waived())
            || self.unused_exceptions().next().is_some()
            || !crowded_days(&self.exceptions).is_empty()
    }

    /// Returns the rows of the baseline's comparison and of the drift.
    fn rows(&self) -> impl Iterator<Item = &Row<'a>> {
        let of_drift = self.drift.iter().flat_map(|drift| &drift.rows);
        self.total.iter().chain(&self.endpoints).chain(of_drift)
    }

    /// Returns the row of a metric of all requests together.
    pub fn total_row(&self, metric: Metric) -> Option<&Row<'a>> {
        self.total.iter().find(|row| row.metric == metric)
    }

    /// Returns what warns or fails: errors first, then failures before warnings, all requests before endpoints.
    pub fn findings(&self) -> Vec<&Row<'_>> {
        let mut findings: Vec<&Row> = self.total.iter().chain(&self.endpoints).filter(|row| row.is_finding()).collect();
        findings.sort_by_key(|row| {
            let rank = JUDGED.iter().position(|metric| *metric == row.metric);
            (!row.is_failure(), row.endpoint.is_some(), rank)
        });
        findings
    }

    /// Returns the series by which another run may change the verdict: none where a failure stands whatever the others
    /// turn out to be.
    pub fn unsettled(&self) -> impl Iterator<Item = &Row<'_>> {
        let stands = self.rows().any(|row| row.is_failure() && row.evidence.unsettled.is_none());
        self.rows().filter(move |row| !stands && row.evidence.unsettled.is_some())
    }

    /// Returns whether a row of this comparison is one of its drift.
    pub fn is_of_drift(&self, row: &Row) -> bool {
        self.drift.as_ref().is_some_and(|drift| drift.rows.iter().any(|of_drift| ptr::eq(of_drift, row)))
    }

    /// Returns whether no further run could change the verdict.
    pub fn is_conclusive(&self) -> bool {
        self.unsettled().next().is_none()
    }

    /// Returns whether to measure once more: until the verdict is conclusive, within the runs allowed.
    pub fn wants_another_run(&self, rules: &Rules) -> bool {
        let made = self.runs.candidate;
        made < self.least_runs || (made < rules.max_runs && !self.is_conclusive())
    }

    /// Returns whether there is one run on each side, so that the intervals of endpoints are those of their requests.
    pub fn rests_on_requests(&self) -> bool {
        self.runs == RunCounts { baseline: 1, candidate: 1 }
            && self.endpoints.iter().any(|row| row.evidence.interval.is_some())
    }

    /// Returns whether so many requests fail that the latencies are those of the failures.
    pub fn error_rate_failed(&self) -> bool {
        self.total_row(Metric::ErrorRate).is_some_and(Row::is_failure)
    }
}

/// A run without enough requests to be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooFewRequests {
    /// The place of the run among those of its side, from 0.
    pub run: usize,
    /// The sentence that says so.
    pub why: String,
}

/// Finds a run with too few requests: fewer than `min_requests`, or less than a tenth of the median of its own side. The
/// other side does not matter: a service that is three times slower answers a third, and that is a regression.
pub fn too_few_requests(requests: &[u64], min_requests: u64) -> Option<TooFewRequests> {
    let mut sorted = requests.to_vec();
    sorted.sort_unstable();
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
    for (run, requests) in requests.iter().enumerate() {
        let why = if *requests < min_requests {
            format!(
                "it has {requests} requests, and at least {min_requests} are needed to judge it: lengthen the run, or add users"
            )
        } else if (*requests as f64) < LEAST_SHARE_OF_MEDIAN * median as f64 {
            format!(
                "it has {requests} requests, and the median of these runs is {median}, so it is not a run of the same load: leave it out, or run it again"
            )
        } else {
            continue;
        };
        return Some(TooFewRequests { run, why });
    }
    None
}

/// Returns the judged metrics that the baseline does not have.
///
/// # Errors
///
/// Refuses a baseline that lacks a metric on which the gate fails, since such a gate could not fail, and one with a run of
/// too few requests.
pub fn lacking(baseline: &Baseline, rules: &Rules) -> Result<Vec<Metric>> {
    // A baseline without a histogram has no p95_corrected, and its row says so.
    let needed = JUDGED.into_iter().filter(|metric| *metric != Metric::P95Corrected);
    let lacking: Vec<Metric> = needed.filter(|metric| baseline.total(*metric).is_none()).collect();
    if let Some(metric) =
        lacking.iter().find(|metric| rules.limit(None, **metric).is_some_and(|limit| limit.level == Level::Fail))
    {
        bail!("the baseline lacks {metric}, so the gate could not fail on it: record it again with --update-baseline");
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of requests")]
    let requests: Vec<u64> =
        baseline.total_runs(Metric::TotalRequests).iter().map(|requests| *requests as u64).collect();
    if let Some(few) = too_few_requests(&requests, LEAST_REQUESTS) {
        bail!("run {} of the baseline cannot be compared with: {}", few.run + 1, few.why);
    }
    Ok(lacking)
}

/// Judges the runs (at least one) against the baseline. Of all requests together the estimate over the runs decides, and
/// an endpoint needs evidence and two runs to fail. The evidence also says whether another run could change the verdict.
///
/// ```
/// use judge::baseline::file::Baseline;
/// use judge::verdict::compare::{Verdict, compare};
/// use judge::model::limits::Rules;
/// use judge::parse::locust_csv;
///
/// let csv = |p95: u32| {
///     format!(
///         "Type,Name,Request Count,Failure Count,Average Response Time,Requests/s,50%,95%,99%\n\
///          ,Aggregated,1000,0,60,50.0,42,{p95},400\n"
///     )
/// };
/// let before = [locust_csv::parse(csv(180).as_bytes())?];
/// let now = [locust_csv::parse(csv(240).as_bytes())?];
/// let baseline = Baseline::new(&before, Default::default(), None, None)?;
/// let rules = Rules::default();
/// let comparison = compare(&baseline, &now, &rules)?;
/// // p95 went from 180 to 240 ms: 33% slower, where 20% is allowed.
/// assert_eq!(comparison.verdict, Verdict::Fail);
/// assert_eq!(comparison.findings().len(), 1);
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
///
/// Refuses what [`lacking`] refuses.
pub fn compare<'a>(baseline: &'a Baseline, runs: &'a [Run], rules: &'a Rules) -> Result<Comparison<'a>> {
    let lacking = lacking(baseline, rules)?;
    // Where the two sides differ in precision, the coarser one decides.
    let precision = Run::coarsest(runs).min(baseline.provenance.precision);
    let judge = Judge { rules, precision, runs: runs.len() };
    // 1. Compute: both sides of each series, and what they tell.
    let mut total = judge.total(baseline, runs);
    let mut endpoints = judge.endpoints(baseline, runs);
    // 2. Test: significance is shared out over all endpoints, and a p95 in a gap needs more than itself.
    judge.test_endpoints(&mut endpoints);
    test_gap(&mut total, baseline, runs);
    // 3. Decide, and see whether another run may change it.
    let (total, five): (Vec<Row>, Option<f64>) = (judge.decided(&total), judge.detectable_by_five(baseline, &total));
    let endpoints = judge.decided(&endpoints);
    let has_failed = total.iter().chain(&endpoints).any(Row::is_failure);
    let verdict = if has_failed { Verdict::Fail } else { Verdict::Pass };
    let baseline_runs = JUDGED.map(|metric| baseline.total_runs(metric).len()).into_iter().max().unwrap_or(0);
    let exceptions = applied(rules, || total.iter().chain(&endpoints));
    let cannot_fail = [Metric::P95, Metric::ErrorRate].into_iter().filter(|metric| !rules.can_fail(*metric)).collect();
    Ok(Comparison {
        total,
        endpoints,
        lacking,
        runs: RunCounts { baseline: baseline_runs, candidate: runs.len() },
        paired: rules.paired,
        cannot_fail,
        strict: rules.strict,
        verdict,
        least_runs: least_runs(rules, baseline_runs),
        detectable_by_five: five,
        exceptions,
        drift: None,
    })
}

/// Returns the number of runs that are always made. Rounds bring a baseline run each.
fn least_runs(rules: &Rules, baseline_runs: usize) -> usize {
    let asked = if baseline_runs == 1 && !rules.paired { LEAST_RUNS_AGAINST_ONE } else { 1 };
    asked.min(rules.max_runs).max(rules.min_runs)
}

impl Rules {
    /// Checks that every limit of an endpoint meets one, on either side.
    ///
    /// # Errors
    ///
    /// Names the first limit that meets none, since it would check nothing, and the nearest endpoint.
    pub fn check_all_met(&self, baseline: Option<&Baseline>, runs: &[Run]) -> Result<()> {
        let former = baseline.into_iter().flat_map(|baseline| baseline.endpoints.keys().map(String::as_str));
        let names: BTreeSet<&str> = former.chain(runs.iter().flat_map(Run::names)).collect();
        for own in &self.endpoint_limits {
            if !names.iter().any(|name| own.covers(name)) {
                let likeness = |name: &str| strsim::jaro_winkler(&own.text, name);
                let nearest = names.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
                let nearest = nearest.map_or_else(String::new, |nearest| format!(" (did you mean {nearest:?}?)"));
                bail!(
                    "[limits.{:?}] matches no endpoint{nearest}, so it checks nothing: fix the name, then judge the same results again with `{} perf target/perf/latest`",
                    own.text,
                    program::name()
                );
            }
        }
        Ok(())
    }
}

/// A series on the way to its decision.
struct Measured<'a> {
    row: Row<'a>,
    /// The certainty of its change; `None` where nothing tells the noise.
    noise: Option<Noise>,
    /// The proof that it needs to be a finding.
    proof: Option<Proof>,
    /// Says that it is an endpoint's, and rests on enough samples to be one.
    is_tested: bool,
}

impl<'a> Measured<'a> {
    fn untested(row: Row<'a>) -> Measured<'a> {
        Measured { row, noise: None, proof: None, is_tested: false }
    }
}

/// Groups the runs' statistics by endpoint. The runs hold the endpoints each in its own order: the first run that names
/// one gives its place.
fn stats_by_endpoint(runs: &[Run]) -> Vec<(&str, Vec<&Stats>)> {
    let Some((first, further)) = runs.split_first() else { return Vec::new() };
    let mut named: Vec<_> = first.endpoints.iter().map(|(name, stats)| (&**name, vec![stats])).collect();
    // A run has each name once, so there is nothing to look up for a single run.
    if further.is_empty() {
        return named;
    }
    let mut places: HashMap<&str, usize> = named.iter().enumerate().map(|(place, (name, _))| (*name, place)).collect();
    for (name, stats) in further.iter().flat_map(|run| &run.endpoints) {
        let place = *places.entry(name).or_insert_with(|| {
            named.push((name, Vec::new()));
            named.len() - 1
        });
        named[place].1.push(stats);
    }
    named
}

/// Returns the metrics judged of each endpoint.
fn judged_of_endpoints() -> impl Iterator<Item = Metric> {
    JUDGED.into_iter().filter(|metric| Metric::OF_ENDPOINTS.contains(metric))
}

fn values(metric: Metric, runs: &[&Stats]) -> Vec<f64> {
    runs.iter().map(|stats| stats.value(metric)).collect()
}

/// Both sides of a series, run by run.
struct Sides<'s> {
    metric: Metric,
    paired: bool,
    /// Empty where the baseline has no such series.
    baseline: &'s [f64],
    baseline_requests: &'s [f64],
    /// The value of each run.
    candidate: &'s [f64],
    stats: &'s [&'s Stats],
}

impl Sides<'_> {
    fn presence(&self, noise: Option<Noise>) -> Presence {
        if self.baseline.is_empty() {
            return Presence::New { candidate: estimate(self.metric.scale(), self.candidate) };
        }
        let baseline = estimate(self.metric.scale(), self.baseline);
        let candidate = match noise {
            // Of rounds: what the change that they show makes of the baseline.
            Some(Noise::Spread(difference)) if self.paired && self.metric.scale() == Scale::Ratio => {
                self.metric.changed(baseline, difference.change())
            }
            _ => estimate(self.metric.scale(), self.candidate),
        };
        Presence::Both { baseline, candidate }
    }

    /// Returns what the runs tell of the change of this series; `None` where nothing tells the noise.
    fn noise(&self) -> Option<Noise> {
        if self.metric == Metric::ErrorRate {
            return self.rates().map(Noise::Counts);
        }
        // An endpoint that a round did not meet leaves the other runs without their pairs.
        let is_paired = self.paired && self.baseline.len() == self.candidate.len();
        let of = if is_paired { Difference::paired } else { Difference::between };
        of(self.metric.scale(), self.baseline, self.candidate).map(Noise::Spread)
    }

    fn rates(&self) -> Option<Rates> {
        let baseline = Counts::of_rates(self.baseline, self.baseline_requests)?;
        let of_run = |stats: &&Stats| Counts { failures: stats.failures as f64, requests: stats.requests as f64 };
        let candidate: Vec<Counts> = self.stats.iter().map(of_run).collect();
        Rates::between(&baseline, &candidate)
    }

    /// Counts the requests of the side that has fewer in a run, and how many of them the metric rests on.
    fn few_samples(&self) -> Option<FewSamples> {
        let of_candidate: u64 = self.stats.iter().map(|stats| stats.requests).sum();
        let mut requests = of_candidate as f64 / self.stats.len() as f64;
        if !self.baseline_requests.is_empty() {
            let of_baseline: f64 = self.baseline_requests.iter().sum();
            requests = requests.min(of_baseline / self.baseline_requests.len() as f64);
        }
        let failures = || self.stats.iter().map(|stats| stats.failures as f64).sum();
        let (samples, least) = match self.metric {
            Metric::P50 => (requests / 2.0, LEAST_SAMPLES),
            Metric::P95 => (requests / 20.0, LEAST_SAMPLES),
            Metric::P99 => (requests / 100.0, LEAST_SAMPLES),
            Metric::ErrorRate => (failures(), LEAST_FAILURES),
            Metric::RequestsPerSec => (requests, LEAST_THROUGHPUT),
            // The p95 beside it says the same of p95_corrected.
            Metric::P95Corrected | Metric::AvgResponseTime | Metric::TotalRequests => return None,
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of requests")]
        let (requests, samples) = (requests as usize, samples as usize);
        (samples < least).then_some(FewSamples { requests, samples: samples.max(1) })
    }
}

/// The sides and rules that all series are judged by.
struct Judge<'a> {
    rules: &'a Rules,
    precision: Precision,
    /// The candidate's runs.
    runs: usize,
}

impl<'a> Judge<'a> {
    fn total(&self, baseline: &Baseline, runs: &[Run]) -> Vec<Measured<'a>> {
        let stats: Vec<&Stats> = runs.iter().map(|run| &run.total).collect();
        let mut rows = Vec::new();
        for metric in Metric::ALL {
            let candidate = match (metric, baseline.expected_interval_ms) {
                (Metric::P95Corrected, Some(interval_ms)) => p95_corrected(runs, interval_ms),
                (Metric::P95Corrected, None) => None,
                _ => Some(values(metric, &stats)),
            };
            // Without Locust's JSON nothing is known of p95_corrected, on this side.
            let Some(candidate) = candidate else { continue };
            let sides = Sides {
                metric,
                paired: self.rules.paired,
                baseline: baseline.total_runs(metric),
                baseline_requests: baseline.total_runs(Metric::TotalRequests),
                candidate: &candidate,
                stats: &stats,
            };
            let mut measured = self.measured(None, &sides);
            // A failure count of all requests is never too small to tell.
            measured.row.evidence.few_samples = if metric.is_percentile() { sides.few_samples() } else { None };
            rows.push(measured);
        }
        rows
    }

    fn endpoints(&self, baseline: &'a Baseline, runs: &'a [Run]) -> Vec<Measured<'a>> {
        let mut unmet: BTreeMap<&str, &Series> =
            baseline.endpoints.iter().map(|(name, series)| (name.as_str(), series)).collect();
        let named = stats_by_endpoint(runs);
        let mut endpoints = Vec::with_capacity(named.len() * JUDGED.len());
        for (name, stats) in named {
            match unmet.remove(name) {
                None => endpoints.extend(self.new_endpoint(name, &stats).into_iter().map(Measured::untested)),
                Some(series) => endpoints.extend(self.endpoint(name, series, &stats)),
            }
        }
        let missing = unmet.into_iter().map(|(name, series)| Measured::untested(self.missing_endpoint(name, series)));
        endpoints.extend(missing);
        endpoints
    }

    /// Returns the judged series of an endpoint that both sides have.
    fn endpoint(&self, name: &'a str, series: &'a Series, runs: &[&Stats]) -> Vec<Measured<'a>> {
        let baseline = |metric: Metric| series.get(metric.name()).map(Vec::as_slice).unwrap_or_default();
        let baseline_requests = baseline(Metric::TotalRequests);
        let mut endpoint = Vec::with_capacity(JUDGED.len());
        for metric in judged_of_endpoints() {
            let (paired, baseline, candidate) = (self.rules.paired, baseline(metric), values(metric, runs));
            let sides = Sides { metric, paired, baseline, baseline_requests, candidate: &candidate, stats: runs };
            let mut measured = self.measured(Some(name), &sides);
            let few_samples = sides.few_samples();
            measured.is_tested = few_samples.is_none() && measured.noise.is_some() && measured.row.limit.is_some();
            if measured.row.excess(self.precision).is_some_and(Excess::is_relevant) {
                measured.row.evidence.few_samples = few_samples;
            }
            if measured.noise.is_none() {
                self.test_by_requests(&mut measured.row, series, runs);
            }
            endpoint.push(measured);
        }
        endpoint
    }

    /// Tests the endpoints' changes together: those that can fail are one family, those that can warn another, and each
    /// shares its error out over the looks after every run (Bonferroni) and over its series (Holm).
    fn test_endpoints(&self, endpoints: &mut [Measured]) {
        let level = FAMILY_ERROR / self.rules.max_runs as f64;
        for blocks in [true, false] {
            let mut places = Vec::new();
            let mut proofs = Vec::new();
            for (place, measured) in endpoints.iter().enumerate() {
                let metric = measured.row.metric;
                if let Some(noise) = measured.noise
                    && measured.is_tested
                    && measured.row.limit.is_some_and(|limit| self.rules.fails(limit)) == blocks
                {
                    places.push(place);
                    proofs.push(Proof { noise, worse: metric.worse(), level });
                }
            }
            let p_values: Vec<f64> = proofs.iter().map(|proof| proof.noise.p_value(proof.worse)).collect();
            for ((place, proof), tested) in places.into_iter().zip(proofs).zip(holm(&p_values, level)) {
                let measured = &mut endpoints[place];
                measured.proof = Some(Proof { level: tested.level, ..proof });
                measured.row.evidence.significance =
                    if tested.is_rejected { Significance::Significant } else { Significance::NotSignificant };
            }
        }
    }

    /// Decides on each series, and sees whether another run may change that.
    fn decided(&self, series: &[Measured<'a>]) -> Vec<Row<'a>> {
        let mut rows = Vec::with_capacity(series.len());
        for Measured { row, noise, proof, .. } in series {
            let mut row = row.clone();
            row.decision = decide(&row, self.rules, self.precision, self.runs);
            let (noise, proof, rules, precision, runs) = (*noise, *proof, self.rules, self.precision, self.runs);
            let outlook = Outlook { noise, proof, rules, precision, runs, error: ERROR };
            row.evidence.unsettled = match (row.accepted, row.limit) {
                // What is left open is on which side of the exception's limit it lies.
                (Some(accepted), Some(limit)) => {
                    let up_to = Limit { level: limit.level, ..accepted.up_to.clone() };
                    row.decision = waive(&row, &up_to, rules, precision, runs).or(row.decision);
                    outlook.unsettled(&Row { limit: Some(&up_to), ..row.clone() })
                }
                _ => outlook.unsettled(&row),
            };
            rows.push(row);
        }
        rows
    }

    fn detectable_by_five(&self, baseline: &Baseline, total: &[Measured]) -> Option<f64> {
        let p95 = total.iter().find(|measured| measured.row.metric == Metric::P95)?;
        match p95.noise? {
            Noise::Spread(difference) if baseline.total_runs(Metric::P95).len() == 1 && !self.rules.paired => {
                Some(difference.with_runs(5, self.runs).detectable(ERROR, Metric::P95.worse()))
            }
            _ => None,
        }
    }

    /// Tests a single run on each side by its requests, since nothing tells the noise between runs: such a series fails
    /// where all that the requests leave possible lies over the limit.
    fn test_by_requests(&self, row: &mut Row<'a>, series: &Series, runs: &[&Stats]) {
        let candidate = if let [only] = runs { only.request_interval(row.metric) } else { None };
        let (Some(baseline), Some(candidate), Some(limit)) =
            (request_interval(series, row.metric), candidate, row.limit)
        else {
            row.evidence.significance = Significance::Unknown;
            return;
        };
        let low = row.metric.change(baseline.high, candidate.low);
        let high = row.metric.change(baseline.low, candidate.high);
        if let (Some(low), Some(high)) = (low, high) {
            row.evidence.interval = Some(Interval { low, high });
        }
        let least = Excess::of(row.metric, limit, baseline.high, candidate.low, self.precision);
        row.evidence.significance =
            if least.is_relevant() { Significance::Significant } else { Significance::ReachesBelowLimit };
    }

    /// Returns the rows of an endpoint that the baseline lacks: its p95, and what has a bound, which needs no baseline.
    fn new_endpoint(&self, name: &'a str, runs: &[&Stats]) -> Vec<Row<'a>> {
        let has_bound = |metric| self.rules.limit(Some(name), metric).is_some_and(|limit| limit.bound.is_some());
        let mut rows = Vec::new();
        for metric in judged_of_endpoints() {
            if metric == Metric::P95 || has_bound(metric) {
                let (baseline, baseline_requests, candidate) = (&[], &[], values(metric, runs));
                let sides =
                    Sides { metric, paired: false, baseline, baseline_requests, candidate: &candidate, stats: runs };
                let mut row = self.measured(Some(name), &sides).row;
                row.evidence.few_samples = sides.few_samples();
                rows.push(row);
            }
        }
        rows
    }

    fn missing_endpoint(&self, name: &'a str, series: &'a Series) -> Row<'a> {
        let mean = |metric: Metric| Some(estimate(metric.scale(), series.get(metric.name())?));
        let requests = mean(Metric::TotalRequests).unwrap_or(0.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of requests")]
        let few = FewSamples { requests: requests as usize, samples: requests as usize };
        let metric = Metric::P95;
        Row {
            endpoint: Some(name),
            metric,
            limit: self.rules.limit(Some(name), metric),
            accepted: None,
            presence: Presence::Missing { baseline: mean(metric) },
            evidence: Evidence { few_samples: (requests < LEAST_MISSED).then_some(few), ..Evidence::default() },
            decision: None,
        }
    }

    fn measured(&self, endpoint: Option<&'a str>, sides: &Sides) -> Measured<'a> {
        let noise = sides.noise();
        let row = Row {
            endpoint,
            metric: sides.metric,
            limit: self.rules.limit(endpoint, sides.metric),
            accepted: self.rules.accepted(endpoint, sides.metric),
            presence: sides.presence(noise),
            evidence: Evidence {
                interval: noise.map(|noise| noise.interval(ERROR)),
                detectable: noise.map(|noise| noise.detectable(ERROR, sides.metric.worse())),
                ..Evidence::default()
            },
            decision: None,
        };
        Measured { noise, ..Measured::untested(row) }
    }
}

/// Asks for more than the p95 of all requests where it lies in a gap between fast and slow ones. There it jumps from the
/// one side to the other by chance, and no spread of a few runs tells how often. So one of the percentiles on either
/// side of the gap must be over the limit too, or the mean significantly up.
fn test_gap(total: &mut [Measured], baseline: &Baseline, runs: &[Run]) {
    let mean = total.iter().find(|measured| measured.row.metric == Metric::AvgResponseTime);
    let Some(noise) = mean.and_then(|measured| measured.noise) else { return };
    let now = distribution(runs);
    if now.is_empty() || baseline.distribution.len() != now.len() || !is_in_gap(runs) {
        return;
    }
    for Measured { row, proof, .. } in total.iter_mut().filter(|measured| measured.row.metric == Metric::P95) {
        let Some(limit) = row.limit else { continue };
        let mut strain: f64 = 0.0;
        for (at, (before, now)) in PERCENTILES.iter().zip(baseline.distribution.iter().zip(&now)) {
            let allowed = limit.allowed(row.metric, Some(*before)).unwrap_or(f64::INFINITY);
            if BESIDE_P95.contains(at) && now > before {
                strain = strain.max((now - before) / (allowed - before).max(0.0));
            }
        }
        if is_over(strain, 1.0) {
            continue;
        }
        let needed = Proof { noise, worse: Metric::AvgResponseTime.worse(), level: GAP_ERROR };
        row.evidence.significance = if needed.is_given() { Significance::Significant } else { Significance::InGap };
        // Where a percentile beside the gap is near its limit, further runs may take it over as they may the p95.
        *proof = (strain < NEAR_LIMIT).then_some(needed);
    }
}

/// Returns whether the requests of each run leave the p95 of all of them open by more than [`GAP_FACTOR`], on the
/// geometric mean over the runs.
fn is_in_gap(runs: &[Run]) -> bool {
    let ratio = |run: &Run| run.total.p95_interval_ms.map(|Interval { low, high }| high / low);
    let Some(ratios) = runs.iter().map(ratio).collect::<Option<Vec<f64>>>() else { return false };
    estimate(Scale::Ratio, &ratios) > GAP_FACTOR
}
