//! Baseline + runs + limits -> [`Comparison`] -> [`Verdict`]. The verdict is computed here and nowhere else.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use anyhow::{Context as _, Result, bail, ensure};
use wildmatch::WildMatch;

use crate::baseline::{Baseline, Series, request_interval};
use crate::run::{Load, Metric, Precision, Provenance, Run, Stats};
use crate::stats::{Difference, Scale, chance_variance, estimate, holm};

/// How far a metric may be worse than its baseline; everything is strict: exactly at the limit passes.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// Percent of the baseline, for `error_rate` percentage points; always positive, in the worse direction.
    pub worsening: Option<f64>,
    /// A worsening no larger than this, in the metric's own unit, is let pass whatever its percentage.
    pub floor: Option<f64>,
    /// The worst value allowed whatever the baseline says, in the metric's own unit.
    pub bound: Option<f64>,
}

/// The metrics judged, in the order of the findings: errors first, since a failing service has no latency to speak of.
pub const JUDGED: [Metric; 5] = [Metric::ErrorRate, Metric::P95, Metric::P99, Metric::P50, Metric::RequestsPerSec];

pub type Limits = BTreeMap<Metric, Limit>;

pub fn default_limits() -> Limits {
    let limit = |worsening| Limit { worsening: Some(worsening), floor: None, bound: None };
    BTreeMap::from([
        (Metric::P50, limit(20.0)),
        (Metric::P95, limit(20.0)),
        (Metric::P99, limit(25.0)),
        (Metric::RequestsPerSec, limit(30.0)),
        (Metric::ErrorRate, limit(2.0)),
    ])
}

/// Limits of the endpoints that a pattern names, before those of all.
#[derive(Clone, Debug)]
pub struct EndpointLimits {
    /// An endpoint, or some, by `*` for any text and `?` for one character: `GET /claims*`.
    pattern: WildMatch,
    text: String,
    limits: Limits,
}

impl EndpointLimits {
    pub fn new(pattern: &str, limits: Limits) -> EndpointLimits {
        EndpointLimits { pattern: WildMatch::new(pattern), text: pattern.to_owned(), limits }
    }

    /// A name itself comes before patterns, a longer pattern before a shorter one.
    pub fn precedence(&self) -> (bool, Reverse<usize>) {
        (self.text.contains('*'), Reverse(self.text.len()))
    }

    fn covers(&self, endpoint: &str) -> bool {
        self.text == endpoint || self.pattern.matches(endpoint)
    }
}

/// What is judged by.
#[derive(Clone, Debug)]
pub struct Rules {
    pub limits: Limits,
    /// In the order of their precedence.
    pub endpoint_limits: Vec<EndpointLimits>,
    /// Every WARN is a FAIL.
    pub strict: bool,
    /// The runs of both sides are of the same rounds, in their order.
    pub paired: bool,
    pub min_runs: usize,
    /// Looks at the evidence, one after each run: they share its probability of error.
    pub max_runs: usize,
}

impl Default for Rules {
    /// The default limits; one run, and up to five.
    fn default() -> Rules {
        let (limits, endpoint_limits) = (default_limits(), Vec::new());
        Rules { limits, endpoint_limits, strict: false, paired: false, min_runs: 1, max_runs: 5 }
    }
}

impl Rules {
    fn limit(&self, endpoint: Option<&str>, metric: Metric) -> Option<&Limit> {
        let own = endpoint.and_then(|endpoint| {
            let mut covering = self.endpoint_limits.iter().filter(|own| own.covers(endpoint));
            covering.find_map(|own| own.limits.get(&metric))
        });
        own.or_else(|| self.limits.get(&metric))
    }

    /// Whether to measure once more: until the verdict is settled, within the runs allowed.
    pub fn wants_another_run(&self, comparison: &Comparison) -> bool {
        let [_, made] = comparison.runs;
        made < self.min_runs || (made < self.max_runs && comparison.unsettled().next().is_some())
    }

    /// A limit that no endpoint on either side ever meets checks nothing: an error that names it.
    pub fn check_all_met(&self, baseline: Option<&Baseline>, runs: &[Run]) -> Result<()> {
        let former = baseline.into_iter().flat_map(|baseline| baseline.endpoints.keys().map(String::as_str));
        let names: BTreeSet<&str> = former.chain(runs.iter().flat_map(Run::names)).collect();
        for own in &self.endpoint_limits {
            if !names.iter().any(|name| own.covers(name)) {
                let likeness = |name: &str| strsim::jaro_winkler(&own.text, name);
                let nearest = names.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
                let nearest = nearest.map_or_else(String::new, |nearest| format!(", the nearest is {nearest:?}"));
                bail!(
                    "[limits.{:?}] meets no endpoint{nearest}, so it checks nothing: mend the name; `cargo xtask perf target/perf/latest` judges the same results again",
                    own.text
                );
            }
        }
        Ok(())
    }
}

/// The probability that any of the intervals of one series misses, over all looks (Bonferroni).
pub const ERROR: f64 = 0.05;

/// The probability that any endpoint FAILs by noise alone.
const FAMILY_ERROR: f64 = 0.05;

/// Samples that a percentile must rest on, and failures an error rate, for an endpoint to FAIL.
const LEAST_SAMPLES: usize = 5;

/// An endpoint with so many requests a run in the baseline, and none now, has gone.
const LEAST_REQUESTS: f64 = 10.0;

/// The metrics on which the gate fails without `--strict`.
fn can_fail(metric: Metric) -> bool {
    matches!(metric, Metric::P95 | Metric::ErrorRate)
}

impl Limit {
    /// `20%`, `2pp`, `20% and 5ms`, `max 500ms`, `20%, max 500ms`; for `requests_per_sec` `30%`, `min 10/s`.
    pub fn parse(metric: Metric, text: &str) -> Result<Limit> {
        let (relative_unit, unit, bound_word, example) = match metric {
            Metric::ErrorRate => ("pp", "%", "max", "\"2pp\" or \"max 5%\""),
            Metric::RequestsPerSec => ("%", "/s", "min", "\"30%\" or \"min 10/s\""),
            Metric::P50 | Metric::P95 | Metric::P99 => ("%", "ms", "max", "\"20%\", \"20% and 5ms\" or \"max 500ms\""),
            Metric::AvgResponseTime | Metric::TotalRequests => {
                bail!("`{metric}` is shown, not judged: it takes no limit")
            }
        };
        let floor_unit = if metric == Metric::ErrorRate { "pp" } else { unit };
        let number = |part: &str, unit: &str| -> Result<f64> {
            let number = part
                .trim()
                .strip_suffix(unit)
                .with_context(|| format!("`{}` does not end in `{unit}`: write for example {example}", part.trim()))?;
            let value = number.trim().parse::<f64>().ok().filter(|value| value.is_finite() && *value >= 0.0);
            value.with_context(|| format!("`{}` is not a number from 0 up: write for example {example}", number.trim()))
        };
        let mut limit = Limit { worsening: None, floor: None, bound: None };
        for part in text.split(',').map(str::trim) {
            if let Some(bound) = part.strip_prefix(bound_word) {
                ensure!(limit.bound.is_none(), "`{bound_word}` is there twice");
                limit.bound = Some(number(bound, unit)?);
            } else {
                ensure!(limit.worsening.is_none(), "there are two limits of change: write for example {example}");
                let (relative, floor) =
                    part.split_once(" and ").map_or((part, None), |(relative, floor)| (relative, Some(floor)));
                limit.worsening = Some(number(relative, relative_unit)?);
                limit.floor = floor.map(|floor| number(floor, floor_unit)).transpose()?;
            }
        }
        Ok(limit)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Fail,
    Warn,
    /// Within its limit.
    Ok,
    /// Over the limit on paper, but no further than Locust's rounding of response times reaches.
    BelowResolution,
    /// An endpoint that the baseline does not have.
    New,
    /// The baseline lacks the metric.
    NoBaseline,
    /// Shown, not judged.
    Shown,
}

impl Status {
    /// Something to tell the user about.
    pub fn is_finding(self) -> bool {
        matches!(self, Status::Fail | Status::Warn)
    }
}

/// What keeps an endpoint over its limit from a FAIL, or any percentile from being trusted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Doubt {
    /// So few of the requests lie beyond the percentile, or failed.
    FewSamples { requests: usize, samples: usize },
    /// As large a change is likely by noise alone among so many endpoints.
    NotSignificant,
    /// A single run on each side, and too few requests to tell from them.
    NoiseUnknown,
    /// A single run on each side, and the interval of its requests reaches below the limit.
    ReachesBelowLimit,
}

/// Why another run may change the verdict on a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsettled {
    /// Its interval reaches to both sides of the limit.
    ReachesAcross,
    /// A single run is over it, which may have met a busy neighbour: only a second one can tell.
    OneRunOver,
}

/// One series: a metric of an endpoint, or of all requests together, on both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Row<'a> {
    /// `None` is `Aggregated`: all requests together.
    pub endpoint: Option<&'a str>,
    pub metric: Metric,
    /// `None` where the metric is shown, not judged.
    pub limit: Option<&'a Limit>,
    /// Estimates over the runs; `None` where that side has no such series: an endpoint without a candidate is MISSING.
    pub baseline: Option<f64>,
    pub candidate: Option<f64>,
    /// Percent of the baseline, for `error_rate` percentage points; `None` where there is no percentage to take.
    pub change: Option<f64>,
    pub status: Status,
    /// The confidence interval of `change`; `None` where nothing tells the noise.
    pub interval: Option<[f64; 2]>,
    /// The smallest worsening, in the unit of `change`, that these runs would have told from none.
    pub detectable: Option<f64>,
    /// Why another run may change the verdict, of a series that can FAIL.
    pub unsettled: Option<Unsettled>,
    pub doubt: Option<Doubt>,
}

impl<'a> Row<'a> {
    fn new(endpoint: Option<&'a str>, metric: Metric, limit: Option<&'a Limit>, status: Status) -> Row<'a> {
        let (baseline, candidate, change) = (None, None, None);
        let (interval, detectable, unsettled, doubt) = (None, None, None, None);
        Row { endpoint, metric, limit, baseline, candidate, change, status, interval, detectable, unsettled, doubt }
    }

    /// The worst value that the limit lets pass, in the metric's own unit.
    pub fn allowed(&self) -> Option<f64> {
        let (metric, limit) = (self.metric, self.limit?);
        let worse_of = |a: f64, b: f64| if worse(metric, a - b) > 0.0 { a } else { b };
        let by_change = limit.worsening.zip(self.baseline).map(|(worsening, baseline)| {
            let relative = changed(metric, baseline, worse(metric, worsening));
            limit.floor.map_or(relative, |floor| worse_of(relative, baseline + worse(metric, floor)))
        });
        match (by_change, limit.bound) {
            (Some(by_change), Some(bound)) => Some(by_change + bound - worse_of(by_change, bound)),
            (by_change, bound) => by_change.or(bound),
        }
    }

    /// How much a value takes up of what the limit allows: 0 at the baseline, 1 at the limit, infinite where there was
    /// no room to begin with.
    pub fn strain(&self, value: f64) -> Option<f64> {
        let (baseline, allowed) = (self.baseline?, self.allowed()?);
        let room = worse(self.metric, allowed - baseline);
        Some(if room > 0.0 {
            worse(self.metric, value - baseline) / room
        } else if is_over(worse(self.metric, value), worse(self.metric, allowed)) {
            f64::INFINITY
        } else {
            0.0
        })
    }

    /// The [`Row::strain`] at both ends of the interval, rising.
    pub fn strain_interval(&self) -> Option<[f64; 2]> {
        let (baseline, ends) = (self.baseline?, self.interval?);
        let [a, b] = ends.map(|end| self.strain(changed(self.metric, baseline, end)));
        Some([a?.min(b?), a?.max(b?)])
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    Fail,
}

#[derive(Debug, PartialEq)]
pub struct Comparison<'a> {
    /// The rows of all requests together, in the order of [`Metric::ALL`].
    pub total: Vec<Row<'a>>,
    /// The judged rows of each endpoint; of a NEW one only the p95.
    pub endpoints: Vec<Row<'a>>,
    /// Judged metrics that the baseline lacks.
    pub lacking: Vec<Metric>,
    /// Runs on each side.
    pub runs: [usize; 2],
    /// They are of the same rounds.
    pub paired: bool,
    /// Every WARN is a FAIL.
    pub strict: bool,
    pub verdict: Verdict,
}

impl Comparison<'_> {
    /// What is over a limit: errors first, then failures before warnings, all requests before endpoints.
    pub fn findings(&self) -> Vec<&Row<'_>> {
        let mut findings: Vec<&Row> =
            self.total.iter().chain(&self.endpoints).filter(|row| row.status.is_finding()).collect();
        findings.sort_by_key(|row| {
            let rank = JUDGED.iter().position(|metric| *metric == row.metric);
            (row.status != Status::Fail, row.endpoint.is_some(), rank)
        });
        findings
    }

    /// The series whose verdict another run may change.
    pub fn unsettled(&self) -> impl Iterator<Item = &Row<'_>> {
        self.total.iter().filter(|row| row.unsettled.is_some())
    }

    /// One run on each side, so that the intervals of endpoints are those of their requests.
    pub fn rests_on_requests(&self) -> bool {
        self.runs == [1, 1] && self.endpoints.iter().any(|row| row.interval.is_some())
    }

    /// Where too many requests fail, the latencies are those of the failures.
    pub fn error_rate_failed(&self) -> bool {
        self.total.iter().any(|row| row.metric == Metric::ErrorRate && row.status == Status::Fail)
    }
}

/// The judged metrics that the baseline does not have.
///
/// An error where one of them can FAIL: such a gate could not fail.
pub fn lacking(baseline: &Baseline) -> Result<Vec<Metric>> {
    let lacking: Vec<Metric> = JUDGED.into_iter().filter(|metric| baseline.total(*metric).is_none()).collect();
    if let Some(metric) = lacking.iter().find(|metric| can_fail(**metric)) {
        bail!(
            "the baseline lacks {metric}, on which the gate fails, so it could not: measure anew with --update-baseline"
        );
    }
    Ok(lacking)
}

/// Judges the runs (at least one) against the baseline: the estimate over the runs decides, and the evidence says
/// whether another run could change it. Endpoints need evidence to FAIL.
///
/// An error as of [`lacking`].
pub fn compare<'a>(baseline: &'a Baseline, runs: &'a [Run], rules: &'a Rules) -> Result<Comparison<'a>> {
    let lacking = lacking(baseline)?;
    // Where the two sides differ in precision, the coarser rules.
    let judge = Judge { rules, precision: Run::coarsest(runs).min(baseline.provenance.precision) };
    let totals: Vec<&Stats> = runs.iter().map(|run| &run.total).collect();
    let total = Metric::ALL.into_iter();
    let total: Vec<Row> = total.map(|metric| judge.total(metric, baseline, &totals)).collect();
    let endpoints = judge.endpoints(baseline, runs);
    let failed = total.iter().chain(&endpoints).any(|row| row.status == Status::Fail);
    let verdict = if failed { Verdict::Fail } else { Verdict::Pass };
    let runs = [JUDGED.map(|metric| baseline.total_runs(metric).len()).into_iter().max().unwrap_or(0), runs.len()];
    Ok(Comparison { total, endpoints, lacking, runs, paired: rules.paired, strict: rules.strict, verdict })
}

/// The runs hold the endpoints each in its own order: the first run that names one gives its place.
fn stats_by_endpoint(runs: &[Run]) -> Vec<(&str, Vec<&Stats>)> {
    let Some((first, further)) = runs.split_first() else { return Vec::new() };
    let mut named: Vec<_> = first.endpoints.iter().map(|(name, stats)| (&**name, vec![stats])).collect();
    // A run has each name once, so there is nothing to look up for only one.
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
    candidate: &'s [&'s Stats],
}

impl Sides<'_> {
    /// Where rounds are judged, what the change that they show makes of the baseline.
    fn candidate_estimate(&self, baseline: Option<f64>, difference: Option<Difference>) -> f64 {
        match (self.candidate, baseline, difference) {
            ([only], ..) => only.value(self.metric),
            (_, Some(baseline), Some(difference)) if self.paired && self.metric.scale() == Scale::Ratio => {
                changed(self.metric, baseline, difference.change())
            }
            (several, ..) => estimate(self.metric.scale(), &values(self.metric, several)),
        }
    }

    fn difference(&self) -> Option<Difference> {
        let candidate = values(self.metric, self.candidate);
        let least_variance = match self.metric {
            // However steady the service, a share of its requests varies as samples do.
            Metric::ErrorRate if self.baseline.len() == self.baseline_requests.len() => chance_variance(
                &[self.baseline, &candidate].concat(),
                &[self.baseline_requests, &values(Metric::TotalRequests, self.candidate)].concat(),
            ),
            _ => 0.0,
        };
        // An endpoint that a round did not meet leaves the other runs without their pairs.
        let is_paired = self.paired && self.baseline.len() == candidate.len();
        let of = if is_paired { Difference::paired } else { Difference::between };
        of(self.metric.scale(), self.baseline, &candidate, least_variance)
    }

    /// Requests a run, of the side that has fewer, and how many of them a percentile rests on, or how many failed:
    /// where those are too few to trust.
    fn few_samples(&self) -> Option<Doubt> {
        let of_candidate: u64 = self.candidate.iter().map(|stats| stats.requests).sum();
        let of_baseline: f64 = self.baseline_requests.iter().sum();
        let mut requests = of_candidate as f64 / self.candidate.len() as f64;
        if !self.baseline_requests.is_empty() {
            requests = requests.min(of_baseline / self.baseline_requests.len() as f64);
        }
        let samples = match self.metric {
            Metric::P50 => requests / 2.0,
            Metric::P95 => requests / 20.0,
            Metric::P99 => requests / 100.0,
            Metric::ErrorRate => self.candidate.iter().map(|stats| stats.failures as f64).sum(),
            _ => return None,
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of requests")]
        let [requests, samples] = [requests as usize, samples as usize];
        (samples < LEAST_SAMPLES).then_some(Doubt::FewSamples { requests, samples: samples.max(1) })
    }
}

/// What a pair of values is judged by.
struct Judge<'a> {
    rules: &'a Rules,
    precision: Precision,
}

impl<'a> Judge<'a> {
    fn total(&self, metric: Metric, baseline: &Baseline, runs: &[&Stats]) -> Row<'a> {
        let sides = Sides {
            metric,
            paired: self.rules.paired,
            baseline: baseline.total_runs(metric),
            baseline_requests: baseline.total_runs(Metric::TotalRequests),
            candidate: runs,
        };
        let mut row = self.row(None, &sides, baseline.total(metric), sides.difference());
        if let (Some(limit), Some(reference), Some(ends)) = (row.limit, row.baseline, row.interval)
            && self.outcome(metric) == Status::Fail
        {
            let [low, high] =
                ends.map(|end| self.status(metric, reference, changed(metric, reference, end), limit).is_finding());
            row.unsettled = match row.status {
                _ if low != high => Some(Unsettled::ReachesAcross),
                Status::Fail if runs.len() == 1 && self.rules.max_runs > 1 => Some(Unsettled::OneRunOver),
                _ => None,
            };
        }
        if metric.is_percentile() {
            row.doubt = sides.few_samples();
        }
        row
    }

    fn endpoints(&self, baseline: &'a Baseline, runs: &'a [Run]) -> Vec<Row<'a>> {
        let mut unmet: BTreeMap<&str, &Series> =
            baseline.endpoints.iter().map(|(name, series)| (name.as_str(), series)).collect();
        let named = stats_by_endpoint(runs);
        let mut rows = Vec::with_capacity(named.len());
        // The series that can FAIL by their change, and how likely noise alone makes one so large.
        let mut family: Vec<(usize, f64)> = Vec::new();
        for (name, stats) in named {
            match unmet.remove(name) {
                None => self.new_endpoint(name, &stats, &mut rows),
                Some(series) => self.endpoint(name, series, &stats, &mut rows, &mut family),
            }
        }
        let p_values: Vec<f64> = family.iter().map(|(_, p_value)| *p_value).collect();
        for ((place, _), is_significant) in family.iter().zip(holm(&p_values, FAMILY_ERROR)) {
            let row = &mut rows[*place];
            if row.status.is_finding() && !is_significant {
                self.doubt(row, Doubt::NotSignificant);
            }
        }
        rows.extend(unmet.into_iter().map(|(name, series)| self.missing_endpoint(name, series)));
        rows
    }

    /// The judged series of an endpoint that both sides have.
    fn endpoint(
        &self,
        name: &'a str,
        series: &'a Series,
        runs: &[&Stats],
        rows: &mut Vec<Row<'a>>,
        family: &mut Vec<(usize, f64)>,
    ) {
        let baseline = |metric: Metric| series.get(metric.name()).map(Vec::as_slice).unwrap_or_default();
        let baseline_requests = baseline(Metric::TotalRequests);
        for metric in JUDGED {
            let (paired, baseline) = (self.rules.paired, baseline(metric));
            let sides = Sides { metric, paired, baseline, baseline_requests, candidate: runs };
            let reference = (!baseline.is_empty()).then(|| estimate(metric.scale(), baseline));
            let difference = sides.difference();
            let mut row = self.row(Some(name), &sides, reference, difference);
            let few = sides.few_samples().filter(|_| row.status.is_finding());
            let is_by_bound = row.limit.is_some_and(|limit| out_of_bound(metric, row.candidate, limit));
            match (few, difference) {
                (Some(few), _) => self.doubt(&mut row, few),
                _ if is_by_bound || !can_fail(metric) => {}
                (None, Some(difference)) => family.push((rows.len(), difference.p_value())),
                (None, None) => self.judge_by_requests(&mut row, series, runs),
            }
            rows.push(row);
        }
    }

    /// A single run on each side tells nothing of the noise between runs, only its requests do: such a series FAILs
    /// where all that they leave possible lies over the limit.
    fn judge_by_requests(&self, row: &mut Row<'a>, series: &Series, runs: &[&Stats]) {
        let candidate = if let [only] = runs { only.request_interval(row.metric) } else { None };
        let Some(([low, high], candidate)) = request_interval(series, row.metric).zip(candidate) else {
            if row.status.is_finding() {
                self.doubt(row, Doubt::NoiseUnknown);
            }
            return;
        };
        if let [Some(low), Some(high)] = [change(row.metric, high, candidate[0]), change(row.metric, low, candidate[1])]
        {
            row.interval = Some([low, high]);
        }
        let is_least_over =
            row.limit.is_some_and(|limit| self.status(row.metric, high, candidate[0], limit).is_finding());
        if row.status.is_finding() && !is_least_over {
            self.doubt(row, Doubt::ReachesBelowLimit);
        }
    }

    /// Of an endpoint that the baseline lacks: its p95, and what is over a bound, which needs no baseline.
    fn new_endpoint(&self, name: &'a str, runs: &[&Stats], rows: &mut Vec<Row<'a>>) {
        let has_bound = |metric| self.rules.limit(Some(name), metric).is_some_and(|limit| limit.bound.is_some());
        for metric in JUDGED.into_iter().filter(|metric| *metric == Metric::P95 || has_bound(*metric)) {
            let sides = Sides { metric, paired: false, baseline: &[], baseline_requests: &[], candidate: runs };
            let mut row = self.row(Some(name), &sides, None, None);
            if !row.status.is_finding() {
                row.status = Status::New;
            } else if let Some(few) = sides.few_samples() {
                self.doubt(&mut row, few);
            }
            rows.push(row);
        }
    }

    fn missing_endpoint(&self, name: &'a str, series: &'a Series) -> Row<'a> {
        let mean = |metric: Metric| Some(estimate(metric.scale(), series.get(metric.name())?));
        let had_requests = mean(Metric::TotalRequests).is_some_and(|requests| requests >= LEAST_REQUESTS);
        let metric = Metric::P95;
        let status = if had_requests || self.rules.strict { Status::Fail } else { Status::Warn };
        Row { baseline: mean(metric), ..Row::new(Some(name), metric, self.rules.limit(Some(name), metric), status) }
    }

    fn row(
        &self,
        endpoint: Option<&'a str>,
        sides: &Sides,
        baseline: Option<f64>,
        difference: Option<Difference>,
    ) -> Row<'a> {
        let metric = sides.metric;
        let candidate = sides.candidate_estimate(baseline, difference);
        let limit = self.rules.limit(endpoint, metric);
        let status = match (limit, baseline) {
            (None, _) => Status::Shown,
            (Some(limit), Some(baseline)) => self.status(metric, baseline, candidate, limit),
            (Some(limit), None) if out_of_bound(metric, Some(candidate), limit) => self.outcome(metric),
            (Some(_), None) => Status::NoBaseline,
        };
        let error = ERROR / self.rules.max_runs as f64;
        Row {
            baseline,
            candidate: Some(candidate),
            change: baseline.and_then(|baseline| change(metric, baseline, candidate)),
            interval: difference.map(|difference| difference.interval(error)),
            detectable: difference.map(|difference| difference.detectable(error)),
            ..Row::new(endpoint, metric, limit, status)
        }
    }

    /// What happens to a series that is over its limit.
    fn outcome(&self, metric: Metric) -> Status {
        if can_fail(metric) || self.rules.strict { Status::Fail } else { Status::Warn }
    }

    fn doubt(&self, row: &mut Row, doubt: Doubt) {
        row.status = if self.rules.strict { Status::Fail } else { Status::Warn };
        row.doubt = Some(doubt);
    }

    fn status(&self, metric: Metric, baseline: f64, candidate: f64, limit: &Limit) -> Status {
        if out_of_bound(metric, Some(candidate), limit) {
            return self.outcome(metric);
        }
        let difference = worse(metric, candidate - baseline);
        let is_over_worsening = limit.worsening.is_some_and(|allowed| match change(metric, baseline, candidate) {
            Some(change) => is_over(worse(metric, change), allowed),
            // From nothing to something exceeds any percentage.
            None => difference > 0.0,
        });
        let is_over_floor = limit.floor.is_none_or(|floor| is_over(difference, floor));
        if !(is_over_worsening && is_over_floor) {
            Status::Ok
        } else if metric.is_percentile() && difference <= self.precision.resolution_ms(baseline.max(candidate)) {
            Status::BelowResolution
        } else {
            self.outcome(metric)
        }
    }
}

/// Percent of the baseline (`None` where that is 0), for `error_rate` percentage points.
fn change(metric: Metric, baseline: f64, candidate: f64) -> Option<f64> {
    match metric {
        Metric::ErrorRate => Some(candidate - baseline),
        _ if baseline == 0.0 => None,
        _ => Some((candidate / baseline - 1.0) * 100.0),
    }
}

/// The candidate of a [`change`].
fn changed(metric: Metric, baseline: f64, change: f64) -> f64 {
    match metric {
        Metric::ErrorRate => baseline + change,
        _ => baseline * (1.0 + change / 100.0),
    }
}

/// The change counted positive where the candidate is worse.
fn worse(metric: Metric, difference: f64) -> f64 {
    if metric == Metric::RequestsPerSec { -difference } else { difference }
}

fn out_of_bound(metric: Metric, candidate: Option<f64>, limit: &Limit) -> bool {
    limit.bound.zip(candidate).is_some_and(|(bound, candidate)| is_over(worse(metric, candidate), worse(metric, bound)))
}

/// Strictly over. The tolerance is for the last bits of a division: 420 / 350 - 1 is not quite 20 %, and 360 / 300 - 1
/// must not become more than it.
fn is_over(value: f64, allowed: f64) -> bool {
    value > allowed + 1e-9 * allowed.abs().max(1.0)
}

/// Equal but for the last bits of a sum.
pub fn is_close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

/// Whether two measurements may be compared at all.
pub struct Comparability {
    /// Why not: both values and what differs.
    pub refusal: Option<String>,
    /// What weakens the comparison.
    pub warnings: Vec<String>,
}

/// What is told apart, and where it is found.
type Fact = (&'static str, fn(&Provenance) -> Option<String>);

/// Another load makes other numbers, so it is refused; another machine, Locust or locustfile may, so it is said.
pub fn comparability(baseline: &Provenance, candidate: &Provenance) -> Comparability {
    let refusal = match (&baseline.load, &candidate.load) {
        (Some(baseline), Some(candidate)) => load_difference(baseline, candidate),
        _ => None,
    };
    let facts: [Fact; 7] = [
        ("the machine", |of| Some(of.machine.as_ref()?.to_string())),
        ("Locust's version", |of| of.locust.clone()),
        ("Python's version", |of| of.python.clone()),
        ("the locustfile (git hash-object)", |of| of.locustfile.clone()),
        ("the number of Locust's processes", |of| Some(of.load.as_ref()?.processes.unwrap_or(1).to_string())),
        ("the number of Locust's workers", |of| {
            Some(of.load.as_ref()?.workers.map_or_else(|| "none".to_owned(), |workers| workers.to_string()))
        }),
        ("what Locust gets behind `--`", |of| Some(format!("`{}`", of.load.as_ref()?.kept().locust_args.join(" ")))),
    ];
    let differs = |(what, of): &Fact| {
        let (baseline, candidate) = (of(baseline)?, of(candidate)?);
        (baseline != candidate).then(|| format!("{what} differs: baseline {baseline}, candidate {candidate}"))
    };
    let mut warnings: Vec<String> = facts.iter().filter_map(differs).collect();
    if baseline.load.is_some() && candidate.load.is_none() {
        warnings
            .push("the load behind these results is not known, so it is not compared with the baseline's".to_owned());
    }
    Comparability { refusal, warnings }
}

fn load_difference(baseline: &Load, candidate: &Load) -> Option<String> {
    let differs = |what: &str, flag: &str, baseline: &dyn fmt::Display, candidate: &dyn fmt::Display| {
        Some(format!(
            "{what}: the baseline has {baseline}, this load {candidate}; measure with {flag} {baseline}, or accept the new load with --update-baseline"
        ))
    };
    if is_over((baseline.warmup_s - candidate.warmup_s).abs(), 0.0) {
        let [baseline, candidate] = [baseline, candidate].map(|load| load.warmup_s);
        Some(format!(
            "the baseline has {baseline} s of warm-up, this load {candidate} s; change [load] warmup, or accept the new load with --update-baseline"
        ))
    } else if baseline.users != candidate.users {
        differs("users", "--users", &baseline.users, &candidate.users)
    } else if is_over((baseline.spawn_rate - candidate.spawn_rate).abs(), 0.0) {
        differs("spawn rate", "--spawn-rate", &baseline.spawn_rate, &candidate.spawn_rate)
    } else if baseline.run_time_s != candidate.run_time_s {
        differs("run time", "--run-time", &format!("{}s", baseline.run_time_s), &format!("{}s", candidate.run_time_s))
    } else {
        None
    }
}
