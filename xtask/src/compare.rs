//! Baseline + runs + limits -> [`Comparison`] -> [`Verdict`]. The verdict is computed here and nowhere else.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use anyhow::{Context as _, Result, bail, ensure};

use crate::baseline::{Baseline, Series};
use crate::run::{Load, Metric, Precision, Provenance, Run, Stats};
use crate::stats::{Evidence, estimate, evidence};

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

/// What is judged by.
#[derive(Clone, Debug)]
pub struct Rules {
    pub limits: Limits,
    /// Every WARN is a FAIL.
    pub strict: bool,
    /// Looks at the evidence, one after each run: they share its probability of error.
    pub max_runs: usize,
}

/// The probability that any of the intervals of one series misses, over all looks (Bonferroni).
const ERROR: f64 = 0.05;

/// What happens to a series of all requests together that is over its limit.
fn outcome(metric: Metric) -> Status {
    match metric {
        Metric::P95 | Metric::ErrorRate => Status::Fail,
        _ => Status::Warn,
    }
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

/// One series: a metric of an endpoint, or of all requests together, on both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Row<'a> {
    /// `None` is `Aggregated`: all requests together.
    pub endpoint: Option<&'a str>,
    pub metric: Metric,
    /// Estimates over the runs; `None` where that side has no such series: an endpoint without a candidate is MISSING.
    pub baseline: Option<f64>,
    pub candidate: Option<f64>,
    /// Percent of the baseline, for `error_rate` percentage points; `None` where there is no percentage to take.
    pub change: Option<f64>,
    pub status: Status,
    /// Of a series of all requests together; `None` where there are too few runs to know the noise.
    pub evidence: Option<Evidence>,
    /// The whole interval lies on one side of the limit, so that another run would not change the verdict.
    pub settled: bool,
}

impl<'a> Row<'a> {
    /// The p95 of an endpoint that only one side has.
    fn one_sided(endpoint: &'a str, baseline: Option<f64>, candidate: Option<f64>, status: Status) -> Row<'a> {
        let endpoint = Some(endpoint);
        Row { endpoint, metric: Metric::P95, baseline, candidate, change: None, status, evidence: None, settled: false }
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
    pub strict: bool,
    /// Runs on each side.
    pub runs: [usize; 2],
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

    /// The series whose verdict another run may change: those that can fail, and are not settled.
    pub fn unsettled(&self) -> impl Iterator<Item = &Row<'_>> {
        self.total.iter().filter(|row| {
            (self.strict || outcome(row.metric) == Status::Fail)
                && row.status != Status::Shown
                && row.evidence.is_some()
                && !row.settled
        })
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
    if let Some(metric) = lacking.iter().find(|metric| outcome(**metric) == Status::Fail) {
        bail!(
            "the baseline lacks {metric}, on which the gate fails, so it could not: measure anew with --update-baseline"
        );
    }
    Ok(lacking)
}

/// Judges the runs (at least one) against the baseline: the estimate over the runs decides, and the evidence says
/// whether another run could change it.
///
/// An error as of [`lacking`].
pub fn compare<'a>(baseline: &'a Baseline, runs: &'a [Run], rules: &Rules) -> Result<Comparison<'a>> {
    let lacking = lacking(baseline)?;
    // Where the two sides differ in precision, the coarser rules.
    let precisions = runs.iter().map(|run| run.precision);
    let judge = Judge { rules, precision: precisions.fold(baseline.provenance.precision, Precision::min) };
    let totals: Vec<&Stats> = runs.iter().map(|run| &run.total).collect();
    let total = Metric::ALL.into_iter();
    let mut total: Vec<Row> = total.map(|metric| judge.total(metric, baseline, &totals)).collect();
    let mut endpoints = compare_endpoints(baseline, runs, &judge);

    for row in total.iter_mut().chain(&mut endpoints) {
        if rules.strict && row.status == Status::Warn {
            row.status = Status::Fail;
        }
    }
    let failed = total.iter().chain(&endpoints).any(|row| row.status == Status::Fail);
    let verdict = if failed { Verdict::Fail } else { Verdict::Pass };
    let runs = [JUDGED.map(|metric| baseline.total_runs(metric).len()).into_iter().max().unwrap_or(0), runs.len()];
    Ok(Comparison { total, endpoints, lacking, strict: rules.strict, runs, verdict })
}

fn compare_endpoints<'a>(baseline: &'a Baseline, runs: &'a [Run], judge: &Judge) -> Vec<Row<'a>> {
    let named = stats_by_endpoint(runs);
    let mut unmet: BTreeMap<&str, &Series> =
        baseline.endpoints.iter().map(|(name, series)| (name.as_str(), series)).collect();
    let mut rows = Vec::with_capacity(named.len());
    for (name, stats) in &named {
        let Some(series) = unmet.remove(name) else {
            rows.push(Row::one_sided(name, None, Some(candidate(Metric::P95, stats)), Status::New));
            continue;
        };
        for metric in JUDGED {
            let reference = series.get(metric.name()).map(|values| estimate(metric.scale(), values));
            let mut row = judge.row(Some(name), metric, reference, candidate(metric, stats));
            if row.status == Status::Fail {
                row.status = Status::Warn;
            }
            rows.push(row);
        }
    }
    for (name, series) in unmet {
        let reference = series.get(Metric::P95.name()).map(|values| estimate(Metric::P95.scale(), values));
        rows.push(Row::one_sided(name, reference, None, Status::Warn));
    }
    rows
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

fn candidate(metric: Metric, runs: &[&Stats]) -> f64 {
    match runs {
        [only] => only.value(metric),
        _ => estimate(metric.scale(), &runs.iter().map(|stats| stats.value(metric)).collect::<Vec<_>>()),
    }
}

/// What a pair of values is judged by.
struct Judge<'a> {
    rules: &'a Rules,
    precision: Precision,
}

impl Judge<'_> {
    fn total<'r>(&self, metric: Metric, baseline: &Baseline, runs: &[&Stats]) -> Row<'r> {
        let mut row = self.row(None, metric, baseline.total(metric), candidate(metric, runs));
        let values: Vec<f64> = runs.iter().map(|stats| stats.value(metric)).collect();
        let error = ERROR / self.rules.max_runs as f64;
        row.evidence = evidence(metric.scale(), baseline.total_runs(metric), &values, error);
        if let (Some(evidence), Some(reference)) = (row.evidence, row.baseline)
            && let Some(threshold) = self.threshold(metric, reference)
        {
            let ends = [worse(metric, evidence.low), worse(metric, evidence.high)];
            row.settled =
                ends.iter().all(|end| is_over(*end, threshold)) || ends.iter().all(|end| !is_over(*end, threshold));
        }
        row
    }

    /// The change from which the metric is over its limit: what [`Judge::status`] asks, as one number.
    fn threshold(&self, metric: Metric, baseline: f64) -> Option<f64> {
        let limit = self.rules.limits.get(&metric)?;
        let as_change = |difference: f64| change(metric, baseline, baseline + difference);
        let floor = limit.floor.map_or(Some(0.0), as_change)?;
        let resolution = if metric.is_percentile() { as_change(self.precision.resolution_ms(baseline))? } else { 0.0 };
        let worsening = limit.worsening.map_or(f64::INFINITY, |allowed| allowed.max(floor).max(resolution));
        let bound =
            limit.bound.map_or(Some(f64::INFINITY), |bound| Some(worse(metric, change(metric, baseline, bound)?)))?;
        Some(worsening.min(bound))
    }

    fn row<'r>(&self, endpoint: Option<&'r str>, metric: Metric, baseline: Option<f64>, candidate: f64) -> Row<'r> {
        let change = baseline.and_then(|baseline| change(metric, baseline, candidate));
        let status = match (self.rules.limits.get(&metric), baseline) {
            (None, _) => Status::Shown,
            (Some(limit), Some(baseline)) => self.status(metric, baseline, candidate, limit),
            (Some(limit), None) if out_of_bound(metric, candidate, limit) => outcome(metric),
            (Some(_), None) => Status::NoBaseline,
        };
        Row { endpoint, metric, baseline, candidate: Some(candidate), change, status, evidence: None, settled: false }
    }

    fn status(&self, metric: Metric, baseline: f64, candidate: f64, limit: &Limit) -> Status {
        if out_of_bound(metric, candidate, limit) {
            return outcome(metric);
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
            outcome(metric)
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

/// The change counted positive where the candidate is worse.
fn worse(metric: Metric, difference: f64) -> f64 {
    if metric == Metric::RequestsPerSec { -difference } else { difference }
}

fn out_of_bound(metric: Metric, candidate: f64, limit: &Limit) -> bool {
    limit.bound.is_some_and(|bound| is_over(worse(metric, candidate), worse(metric, bound)))
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
    let facts: [Fact; 6] = [
        ("the machine", |of| Some(of.machine.as_ref()?.to_string())),
        ("Locust's version", |of| of.locust.clone()),
        ("Python's version", |of| of.python.clone()),
        ("the locustfile (git hash-object)", |of| of.locustfile.clone()),
        ("the number of Locust's processes", |of| Some(of.load.as_ref()?.processes.unwrap_or(1).to_string())),
        ("what Locust gets behind `--`", |of| Some(format!("`{}`", of.load.as_ref()?.locust_args.join(" ")))),
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
