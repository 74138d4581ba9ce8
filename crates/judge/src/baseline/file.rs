//! `perf_baseline.json`: text to [`Baseline`] and back.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::slice;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::ser::{Formatter, PrettyFormatter};
use serde_json::{Map, Serializer, Value};

use crate::model::run::{
    EndpointName, LEAST_REQUESTS, Lateness, MAX_COUNT, Metric, PERCENTILES, Provenance, REQUEST_Z, Run, Stats,
    TaskCalls, by_endpoint, check_endpoints, flaw, of_every,
};
use crate::model::text::number;
use crate::parse::strict_json;
use crate::stats::estimate::{Interval, Scale, estimate, rate_interval_pct, rounded};
use crate::stats::histogram::Histogram;

/// A reader refuses another major version, and keeps the keys of a newer minor one.
const VERSION: &str = "1.4";

pub type RunsByMetric = BTreeMap<String, Vec<f64>>;

/// The calls of a task in each run. A run in which it was not called has 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskRuns {
    pub calls: Vec<u64>,
    pub failures: Vec<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LatenessRuns {
    pub p50_ms: Vec<f64>,
    pub p95_ms: Vec<f64>,
    pub p99_ms: Vec<f64>,
}

impl LatenessRuns {
    /// Empty unless every run has its lateness.
    fn of(runs: &[Run]) -> LatenessRuns {
        let all = of_every(runs, |run| run.lateness);
        let of = |value: fn(&Lateness) -> f64| all.iter().map(|lateness| rounded(value(lateness))).collect();
        LatenessRuns { p50_ms: of(|run| run.p50_ms), p95_ms: of(|run| run.p95_ms), p99_ms: of(|run| run.p99_ms) }
    }

    pub fn is_empty(&self) -> bool {
        self.p99_ms.is_empty()
    }

    fn check(&self) -> Result<()> {
        let LatenessRuns { p50_ms, p95_ms, p99_ms } = self;
        let are_ordered =
            |low: &[f64], high: &[f64]| low.len() == high.len() && low.iter().zip(high).all(|(a, b)| a <= b);
        let is_sound = are_ordered(p50_ms, p95_ms)
            && are_ordered(p95_ms, p99_ms)
            && p50_ms.iter().chain(p99_ms).all(|ms| flaw(*ms).is_none());
        ensure!(is_sound, "`lateness` has no rising percentiles of 0 or more for each run");
        Ok(())
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    version: String,
    #[serde(flatten)]
    pub provenance: Provenance,
    pub metrics: BTreeMap<String, f64>,
    #[serde(default, skip_serializing_if = "RunsByMetric::is_empty")]
    pub aggregated: RunsByMetric,
    /// The time between two requests of one user: users / requests per second. Both sides of a comparison compute
    /// `p95_corrected` with it. `None` in older files, and if the number of users is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_interval_ms: Option<f64>,
    /// The estimates of all requests together at each of [`PERCENTILES`]. Empty in older files, and if a run comes from
    /// a CSV, which has no histogram.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub distribution: Vec<f64>,
    /// A version 1.0 baseline has none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub endpoints: BTreeMap<String, RunsByMetric>,
    /// The endpoints that `on_start` asks. Files before version 1.4 mixed them with the others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub setup: BTreeMap<String, RunsByMetric>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub users_by_class: BTreeMap<String, Vec<f64>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tasks: BTreeMap<String, TaskRuns>,
    #[serde(default, skip_serializing_if = "LatenessRuns::is_empty")]
    pub lateness: LatenessRuns,
    #[serde(default)]
    pub notes: String,
    /// Keys of a newer minor version, kept as they are.
    #[serde(flatten)]
    other: Map<String, Value>,
}

impl Baseline {
    pub fn new(runs: &[Run], mut provenance: Provenance) -> Result<Baseline> {
        for run in runs {
            ensure!(
                run.total.requests >= LEAST_REQUESTS,
                "a run of {} requests cannot be a baseline, since at least {LEAST_REQUESTS} are needed: lengthen the run, or add users",
                run.total.requests
            );
            ensure!(
                run.total.failures < run.total.requests,
                "all {} requests failed, so this cannot be a baseline: fix the service or the locustfile first",
                run.total.requests
            );
        }
        provenance.precision = Run::coarsest(runs);
        let total: Vec<&Stats> = runs.iter().map(|run| &run.total).collect();
        let expected_interval_ms = expected_interval_ms(&total, &provenance);
        let mut aggregated = values_by_metric(&total);
        let of_some_runs = [
            (Metric::P95Corrected.name(), p95_corrected(runs, expected_interval_ms)),
            (Metric::CpuPerRequest.name(), of_every(runs, |run| Some(run.cpu.as_ref()?.ms_per_request))),
            (HALVES[0], of_every(runs, |run| Some(run.halves_ms?[0]))),
            (HALVES[1], of_every(runs, |run| Some(run.halves_ms?[1]))),
        ];
        for (name, values) in of_some_runs.into_iter().filter(|(_, values)| !values.is_empty()) {
            aggregated.insert(name.to_owned(), values.into_iter().map(rounded).collect());
        }
        aggregated.extend(pooled(&total));
        let endpoints = runs_by_endpoint(runs.len(), runs.iter().flat_map(|run| &run.endpoints));
        let mut metrics = BTreeMap::new();
        for metric in Metric::ALL {
            if let Some(runs) = aggregated.get(metric.name()) {
                metrics.insert(metric.name().to_owned(), rounded(estimate(metric.scale(), runs)));
            }
        }
        let baseline = Baseline {
            version: VERSION.to_owned(),
            provenance,
            metrics,
            aggregated,
            expected_interval_ms,
            distribution: distribution(runs),
            endpoints,
            setup: runs_by_endpoint(runs.len(), runs.iter().flat_map(|run| &run.setup)),
            users_by_class: users_by_class(runs),
            tasks: tasks(runs),
            lateness: LatenessRuns::of(runs),
            ..Baseline::default()
        };
        baseline.check_values()?;
        Ok(baseline)
    }

    /// Keeps the notes of the previous baseline, and its keys that this version does not know.
    #[must_use]
    pub fn replacing(self, former: &Baseline) -> Baseline {
        Baseline { notes: former.notes.clone(), other: former.other.clone(), ..self }
    }

    #[must_use]
    pub fn with_note(self, note: impl Into<String>) -> Baseline {
        Baseline { notes: note.into(), ..self }
    }

    pub fn parse(text: &str) -> Result<Baseline> {
        // An unknown version is reported before any other fault.
        #[derive(Deserialize)]
        struct Versioned {
            #[serde(default)]
            version: Value,
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        refuse_conflict_markers(text)?;
        let versioned: Versioned = serde_json::from_str(text)
            .map_err(|error| anyhow!("this is not a JSON object: {}", strict_json::fault(&error)))?;
        match versioned.version {
            Value::Null => bail!("there is no `version`, so this is not a baseline of cargo xtask perf"),
            Value::String(version) if version.split('.').next() == Some("1") => {}
            Value::String(version) => {
                bail!("its version is {version:?}, but this program reads version 1: update xtask")
            }
            _ => bail!("its `version` is not in quotes, as in \"{VERSION}\""),
        }
        let plain = |error: serde_json::Error| anyhow!(strict_json::fault(&error));
        strict_json::check(text).map_err(plain)?;
        let baseline: Baseline = serde_json::from_str(text).map_err(plain)?;
        baseline.check_values()?;
        Ok(baseline)
    }

    /// Reads a baseline in a fraction of the time, without its endpoints and their faults.
    pub fn parse_total(text: &str) -> Result<Baseline> {
        #[derive(Deserialize)]
        struct Total {
            version: String,
            #[serde(flatten)]
            provenance: Provenance,
            metrics: BTreeMap<String, f64>,
            #[serde(default)]
            aggregated: RunsByMetric,
            #[serde(default, rename = "endpoints")]
            _endpoints: IgnoredAny,
            #[serde(default)]
            setup: BTreeMap<String, RunsByMetric>,
            #[serde(default, rename = "tasks")]
            _tasks: IgnoredAny,
            #[serde(default)]
            notes: String,
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let Total { version, provenance, metrics, aggregated, setup, notes, .. } = match serde_json::from_str(text) {
            Ok(total) => total,
            // The full reader explains what is wrong.
            Err(error) => return Baseline::parse(text).and(Err(error.into())),
        };
        if version.split('.').next() != Some("1") {
            return Baseline::parse(text);
        }
        let baseline = Baseline { version, provenance, metrics, aggregated, setup, notes, ..Baseline::default() };
        baseline.check_values()?;
        Ok(baseline)
    }

    /// A baseline with values that cannot be measured would never fail.
    fn check_values(&self) -> Result<()> {
        check_endpoints(self.endpoints.len())?;
        for value in self.distribution.iter().chain(&self.expected_interval_ms) {
            if let Some(flaw) = flaw(*value) {
                bail!("`distribution` or `expected_interval_ms` holds {}, {flaw}", number(*value));
            }
        }
        self.provenance.usage.check()?;
        if let Some(observed) = self.provenance.observed_load {
            observed.check()?;
        }
        self.check_counts()?;
        let numbers = self.metrics.iter().map(|(name, value)| (name, slice::from_ref(value)));
        let series = self.endpoints.values().chain(self.setup.values()).chain([&self.aggregated]).flatten();
        for (name, values) in numbers.chain(series.map(|(name, values)| (name, values.as_slice()))) {
            ensure!(!values.is_empty(), "`{name}` is an empty list");
            for value in values {
                let unlikely = || Metric::from_name(name).and_then(|metric| metric.unlikely(*value));
                if let Some(flaw) = flaw(*value).or_else(unlikely) {
                    bail!("`{name}` is {}, {flaw}", number(*value));
                }
            }
        }
        for (name, series) in self.endpoints.iter().chain(&self.setup) {
            for metric in [Metric::P95, Metric::ErrorRate, Metric::TotalRequests].map(Metric::name) {
                ensure!(series.contains_key(metric), "`{}` has no `{metric}`", name.escape_debug());
            }
        }
        for (name, runs) in &self.aggregated {
            let [least, most] = [f64::min, f64::max].map(|pick| runs.iter().copied().reduce(pick).unwrap_or(0.0));
            let estimate = self.metrics.get(name).copied().unwrap_or(least);
            ensure!(
                (least - 0.001..=most + 0.001).contains(&estimate),
                "`{name}` is {estimate} in `metrics`, but its runs in `aggregated` lie between {least} and {most}: one of them was edited"
            );
        }
        Ok(())
    }

    fn check_counts(&self) -> Result<()> {
        for (class, users) in &self.users_by_class {
            if let Some(flaw) = users.iter().find_map(|users| flaw(*users)) {
                bail!("`users_by_class` of `{}` holds {flaw}", class.escape_debug());
            }
        }
        for (name, task) in &self.tasks {
            let mut runs = task.calls.iter().zip(&task.failures);
            let is_sound = task.calls.len() == task.failures.len()
                && runs.all(|(calls, failures)| failures <= calls && *calls <= MAX_COUNT);
            ensure!(
                is_sound,
                "`tasks`: `{}` has more failures than calls, or not one of each per run",
                name.escape_debug()
            );
        }
        self.lateness.check()?;
        for (name, series) in self.endpoints.iter().chain(&self.setup) {
            check_pooled(series).with_context(|| format!("`{}`", name.escape_debug()))?;
        }
        check_pooled(&self.aggregated)
    }

    /// Keys in a fixed order and a series on a line, so that a change reads well in a diff.
    pub fn to_text(&self) -> String {
        let mut text = Vec::new();
        let formatter = SeriesOnALine(PrettyFormatter::new());
        self.serialize(&mut Serializer::with_formatter(&mut text, formatter))
            .expect("maps of strings and finite numbers always serialize");
        text.push(b'\n');
        String::from_utf8(text).expect("serde_json writes UTF-8")
    }

    /// Whether requests of `on_start` are apart from the others. Before version 1.4 those that began in the measured
    /// window were among them, and in results of others, whose load is not known, they still are.
    pub fn has_setup_apart(&self) -> bool {
        if self.setup.is_empty() && self.provenance.load.is_none() {
            return false;
        }
        let minor = self.version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
        minor.unwrap_or(0) >= 4
    }

    /// How requests of `on_start` were counted; empty if there were none.
    pub(crate) fn setup_accounting(&self) -> &'static str {
        match (self.has_setup_apart(), self.setup.is_empty()) {
            (false, _) => SETUP_MIXED,
            (true, false) => SETUP_APART,
            (true, true) => "",
        }
    }

    pub fn total(&self, metric: Metric) -> Option<f64> {
        self.estimate(None, metric)
    }

    /// A version 1.0 baseline has only the estimate, which counts as one run.
    pub fn total_runs(&self, metric: Metric) -> &[f64] {
        let runs = self.aggregated.get(metric.name()).map(Vec::as_slice);
        runs.or_else(|| self.metrics.get(metric.name()).map(slice::from_ref)).unwrap_or_default()
    }

    /// The endpoints, then the requests of `on_start`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.endpoints.keys().chain(self.setup.keys()).map(String::as_str)
    }

    pub fn runs(&self, endpoint: EndpointName, metric: Metric) -> &[f64] {
        match endpoint {
            None => self.total_runs(metric),
            Some(name) => {
                let series = self.endpoints.get(name).or_else(|| self.setup.get(name));
                series.map(|series| runs_of(series, metric)).unwrap_or_default()
            }
        }
    }

    pub fn estimate(&self, endpoint: EndpointName, metric: Metric) -> Option<f64> {
        match self.runs(endpoint, metric) {
            [] => None,
            runs => Some(estimate(metric.scale(), runs)),
        }
    }
}

const SETUP_MIXED: &str = "among the others";
pub(crate) const SETUP_APART: &str = "apart";

/// A merge may leave both versions of a file. No line of JSON begins like its markers.
fn refuse_conflict_markers(text: &str) -> Result<()> {
    let is_marker =
        |line: &str| ["<<<<<<< ", "=======", ">>>>>>> ", "||||||| "].iter().any(|mark| line.starts_with(mark));
    if let Some(line) = text.lines().position(is_marker) {
        bail!("it holds git conflict markers, the first in line {}: resolve the conflict", line + 1);
    }
    Ok(())
}

pub(crate) fn runs_of(series: &RunsByMetric, metric: Metric) -> &[f64] {
    series.get(metric.name()).map(Vec::as_slice).unwrap_or_default()
}

/// The keys that a series has if every run has a histogram: the [`PERCENTILES`] of the requests of all runs together,
/// and the requests of each run that took longer than the p95 of them.
pub(crate) const POOLED: &str = "pooled";
const ABOVE_P95: &str = "above_p95";

pub(crate) const CONTENT_BYTES: &str = "content_bytes";

#[derive(Clone, Debug, PartialEq)]
pub struct Pooled {
    pub p90_ms: f64,
    pub p95_ms: f64,
    pub p98_ms: f64,
    pub above_p95: Vec<f64>,
    pub requests: Vec<f64>,
}

impl Pooled {
    /// `None` for a series without histograms.
    pub fn of(series: &RunsByMetric) -> Option<Pooled> {
        let percentiles = series.get(POOLED)?;
        let at = |percent: f64| percentiles.get(PERCENTILES.iter().position(|at| *at >= percent)?).copied();
        Some(Pooled {
            p90_ms: at(90.0)?,
            p95_ms: at(95.0)?,
            p98_ms: at(98.0)?,
            above_p95: series.get(ABOVE_P95)?.clone(),
            requests: series.get(Metric::TotalRequests.name())?.clone(),
        })
    }
}

fn pooled(runs: &[&Stats]) -> RunsByMetric {
    if runs.is_empty() || runs.iter().any(|stats| stats.histogram.count() == 0) {
        return RunsByMetric::new();
    }
    let all = Histogram::merged(runs.iter().map(|stats| &stats.histogram));
    let p95_ms = rounded(all.percentile(0.95));
    let above = runs.iter().map(|stats| stats.histogram.count_above(p95_ms) as f64).collect();
    let percentiles = PERCENTILES.iter().map(|percent| rounded(all.percentile(percent / 100.0))).collect();
    RunsByMetric::from([(POOLED.to_owned(), percentiles), (ABOVE_P95.to_owned(), above)])
}

/// The keys of the mean response time in ms of the first half of each run, and of the second.
pub(crate) const HALVES: [&str; 2] = ["first_half_ms", "second_half_ms"];

fn check_pooled(series: &RunsByMetric) -> Result<()> {
    if let Some(percentiles) = series.get(POOLED) {
        let is_sound = percentiles.len() == PERCENTILES.len() && percentiles.is_sorted();
        ensure!(is_sound, "`{POOLED}` is not {} rising percentiles", PERCENTILES.len());
    }
    if let Some(above) = series.get(ABOVE_P95) {
        let requests = runs_of(series, Metric::TotalRequests);
        let is_sound = above.len() == requests.len() && above.iter().zip(requests).all(|(above, all)| above <= all);
        ensure!(is_sound, "`{ABOVE_P95}` is not a part of `total_requests` of each run");
    }
    Ok(())
}

fn runs_by_endpoint<'a>(
    runs: usize,
    endpoints: impl Iterator<Item = &'a (Box<str>, Stats)>,
) -> BTreeMap<String, RunsByMetric> {
    let with_requests = |stats: &[&Stats]| {
        let mut series = values_by_metric(stats);
        series.extend(pooled(stats));
        let sizes = of_every(stats, |stats| stats.content_bytes);
        if !sizes.is_empty() {
            series.insert(CONTENT_BYTES.to_owned(), sizes.into_iter().map(rounded).collect());
        }
        // The spread of several runs is better evidence than the requests of each.
        if let [only] = stats
            && runs == 1
            && let Some(interval) = only.p95_interval_ms
        {
            series.insert(P95_LOW.to_owned(), vec![rounded(interval.low)]);
            series.insert(P95_HIGH.to_owned(), vec![rounded(interval.high)]);
        }
        series
    };
    by_endpoint(endpoints).into_iter().map(|(name, stats)| (name.to_owned(), with_requests(&stats))).collect()
}

/// The users of each class in each run; none unless every run knows its users. A class that is absent has 0.
fn users_by_class(runs: &[Run]) -> BTreeMap<String, Vec<f64>> {
    if runs.iter().any(|run| run.users_by_class.is_empty()) {
        return BTreeMap::new();
    }
    let classes: BTreeSet<&String> = runs.iter().flat_map(|run| run.users_by_class.keys()).collect();
    let users = |class| runs.iter().map(|run| rounded(run.users_by_class.get(class).copied().unwrap_or(0.0))).collect();
    classes.into_iter().map(|class| (class.clone(), users(class))).collect()
}

fn tasks(runs: &[Run]) -> BTreeMap<String, TaskRuns> {
    let mut tasks: BTreeMap<String, TaskRuns> = BTreeMap::new();
    if runs.iter().any(|run| run.tasks.is_empty()) {
        return tasks;
    }
    for (place, run) in runs.iter().enumerate() {
        for TaskCalls { name, calls, failures, .. } in &run.tasks {
            let none = || TaskRuns { calls: vec![0; runs.len()], failures: vec![0; runs.len()] };
            let task = tasks.entry(name.clone()).or_insert_with(none);
            task.calls[place] += calls;
            task.failures[place] += failures;
        }
    }
    tasks
}

/// The keys that an endpoint of a single run has beyond the metrics: the ends of [`Stats::p95_interval_ms`].
const P95_LOW: &str = "p95_low";
const P95_HIGH: &str = "p95_high";

pub(crate) fn request_interval(series: &RunsByMetric, metric: Metric) -> Option<Interval> {
    let only = |name: &str| match series.get(name).map(Vec::as_slice) {
        Some([value]) => Some(*value),
        _ => None,
    };
    match metric {
        Metric::P95 => Some(Interval { low: only(P95_LOW)?, high: only(P95_HIGH)? }),
        Metric::ErrorRate => {
            let requests = only(Metric::TotalRequests.name())?;
            Some(rate_interval_pct(only(metric.name())?, requests, REQUEST_Z))
        }
        _ => None,
    }
}

/// Counts the active users if they are known, else the users of the load.
fn expected_interval_ms(runs: &[&Stats], provenance: &Provenance) -> Option<f64> {
    let asked = provenance.load.as_ref().map(|load| f64::from(load.users));
    let observed = provenance.observed_load.map(|observed| observed.users);
    let users = provenance.mean_users.or(asked).or(observed)?;
    let rates: Vec<f64> = runs.iter().map(|stats| stats.requests_per_sec).collect();
    let interval_ms = 1000.0 * users / estimate(Metric::RequestsPerSec.scale(), &rates);
    (interval_ms.is_finite() && interval_ms > 0.0).then(|| rounded(interval_ms))
}

/// Empty unless the time between two requests is known, and every run has a histogram.
pub(crate) fn p95_corrected(runs: &[Run], expected_interval_ms: Option<f64>) -> Vec<f64> {
    of_every(runs, |run| run.p95_corrected_ms(expected_interval_ms?))
}

fn values_by_metric(runs: &[&Stats]) -> RunsByMetric {
    Metric::OF_ENDPOINTS
        .iter()
        .map(|metric| (metric.name().to_owned(), runs.iter().map(|stats| rounded(stats.value(*metric))).collect()))
        .collect()
}

/// The estimates at each of [`PERCENTILES`]; empty unless every run has a distribution.
pub fn distribution(runs: &[Run]) -> Vec<f64> {
    if runs.iter().any(|run| run.distribution.len() != PERCENTILES.len()) {
        return Vec::new();
    }
    let at = |place: usize| -> Vec<f64> { runs.iter().map(|run| run.distribution[place]).collect() };
    (0..PERCENTILES.len()).map(|place| rounded(estimate(Scale::Relative, &at(place)))).collect()
}

/// Pretty JSON whose arrays stay on one line.
struct SeriesOnALine(PrettyFormatter<'static>);

impl Formatter for SeriesOnALine {
    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }
}
