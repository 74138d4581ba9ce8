//! `perf_baseline.json`: text to [`Baseline`] and back.

use std::collections::BTreeMap;
use std::io;
use std::slice;

use anyhow::{Context as _, Result, bail, ensure};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::ser::{Formatter, PrettyFormatter};
use serde_json::{Map, Serializer, Value};

use crate::model::run::{
    EndpointName, LEAST_REQUESTS, Metric, PERCENTILES, Provenance, REQUEST_Z, Run, Stats, check_endpoints, flaw,
};
use crate::parse::strict_json;
use crate::stats::estimate::{Interval, Scale, estimate, rate_interval_pct, rounded};

/// A reader refuses another major version, and keeps the keys of a newer minor one.
const VERSION: &str = "1.3";

/// The value of each run, by metric name, in the unit of [`Metric::unit`].
pub type RunsByMetric = BTreeMap<String, Vec<f64>>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    version: String,
    #[serde(flatten)]
    pub provenance: Provenance,
    /// The estimates over the runs of all requests together.
    pub metrics: BTreeMap<String, f64>,
    /// The runs behind `metrics`.
    #[serde(default, skip_serializing_if = "RunsByMetric::is_empty")]
    pub aggregated: RunsByMetric,
    /// The time in ms between two requests of one user: users / requests per second. Both sides of a comparison
    /// compute `p95_corrected` with it. `None` in older files, and if the number of users is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_interval_ms: Option<f64>,
    /// The estimates of all requests together at each of [`PERCENTILES`]; they are drawn, not judged. Empty in older
    /// files, and if a run comes from a CSV, which has no histogram.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub distribution: Vec<f64>,
    /// By endpoint. A version 1.0 baseline has none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub endpoints: BTreeMap<String, RunsByMetric>,
    #[serde(default)]
    pub notes: String,
    /// Keys of a newer minor version, kept as they are.
    #[serde(flatten)]
    other: Map<String, Value>,
}

impl Baseline {
    /// `former` is the baseline to replace: its unknown keys are kept, and so are its notes unless there is a new one.
    /// A run of too few requests cannot be a baseline, and neither can a run of failures alone, whose latencies mean
    /// nothing.
    pub fn new(
        runs: &[Run],
        mut provenance: Provenance,
        note: Option<&str>,
        former: Option<&Baseline>,
    ) -> Result<Baseline> {
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
        let mut aggregated = series(&total);
        let corrected = expected_interval_ms.and_then(|interval_ms| p95_corrected(runs, interval_ms));
        if let Some(corrected) = corrected {
            let name = Metric::P95Corrected.name().to_owned();
            aggregated.insert(name, corrected.into_iter().map(rounded).collect());
        }
        let mut endpoints: BTreeMap<String, Vec<&Stats>> = BTreeMap::new();
        for (name, stats) in runs.iter().flat_map(|run| &run.endpoints) {
            endpoints.entry(name.to_string()).or_default().push(stats);
        }
        let with_interval = |stats: &[&Stats]| {
            let mut series = series(stats);
            // The spread of several runs is better evidence than the requests of each.
            if let [only] = stats
                && runs.len() == 1
                && let Some(interval) = only.p95_interval_ms
            {
                series.insert(P95_LOW.to_owned(), vec![rounded(interval.low)]);
                series.insert(P95_HIGH.to_owned(), vec![rounded(interval.high)]);
            }
            series
        };
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
            endpoints: endpoints.into_iter().map(|(name, stats)| (name, with_interval(&stats))).collect(),
            notes: note.map_or_else(|| former.map_or_else(String::new, |former| former.notes.clone()), str::to_owned),
            other: former.map_or_else(Map::new, |former| former.other.clone()),
        };
        baseline.check_values()?;
        Ok(baseline)
    }

    /// Reads every version 1.
    pub fn parse(text: &str) -> Result<Baseline> {
        // An unknown version is reported before any other fault.
        #[derive(Deserialize)]
        struct Versioned {
            version: Option<Value>,
        }
        refuse_conflict_markers(text)?;
        let versioned: Versioned = serde_json::from_str(text).context("this is not a JSON object")?;
        match versioned.version {
            None => bail!("there is no `version`, so this is not a baseline of cargo xtask perf"),
            Some(Value::String(version)) if version.split('.').next() == Some("1") => {}
            Some(version) => bail!("its version is {version}, but this program reads version 1: update xtask"),
        }
        strict_json::check(text)?;
        let baseline: Baseline = serde_json::from_str(text)?;
        baseline.check_values()?;
        Ok(baseline)
    }

    /// Reads a baseline without its endpoints, which are most of it: this takes a fraction of the time. Faults in the
    /// endpoints are not found.
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
            notes: String,
        }
        let Total { version, provenance, metrics, aggregated, notes, .. } = match serde_json::from_str(text) {
            Ok(total) => total,
            // The full reader explains what is wrong.
            Err(error) => return Baseline::parse(text).and(Err(error.into())),
        };
        if version.split('.').next() != Some("1") {
            return Baseline::parse(text);
        }
        let baseline = Baseline {
            version,
            provenance,
            metrics,
            aggregated,
            expected_interval_ms: None,
            distribution: Vec::new(),
            endpoints: BTreeMap::new(),
            notes,
            other: Map::new(),
        };
        baseline.check_values()?;
        Ok(baseline)
    }

    /// A baseline with values that cannot be measured would never fail.
    fn check_values(&self) -> Result<()> {
        check_endpoints(self.endpoints.len())?;
        for value in self.distribution.iter().chain(&self.expected_interval_ms) {
            if let Some(flaw) = flaw(*value) {
                bail!("`distribution` or `expected_interval_ms` holds {value}, {flaw}");
            }
        }
        if let Some(usage) = &self.provenance.usage {
            usage.check()?;
        }
        let numbers = self.metrics.iter().map(|(name, value)| (name, slice::from_ref(value)));
        let series = self.endpoints.values().chain([&self.aggregated]).flatten();
        for (name, values) in numbers.chain(series.map(|(name, values)| (name, values.as_slice()))) {
            ensure!(!values.is_empty(), "`{name}` is an empty list");
            for value in values {
                let unlikely = || Metric::from_name(name).and_then(|metric| metric.unlikely(*value));
                if let Some(flaw) = flaw(*value).or_else(unlikely) {
                    bail!("`{name}` is {value}, {flaw}");
                }
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

    /// Keys in a fixed order and a series on a line, so that a change reads well in a diff.
    pub fn to_text(&self) -> String {
        let mut text = Vec::new();
        let formatter = SeriesOnALine(PrettyFormatter::new());
        self.serialize(&mut Serializer::with_formatter(&mut text, formatter))
            .expect("maps of strings and finite numbers always serialize");
        text.push(b'\n');
        String::from_utf8(text).expect("serde_json writes UTF-8")
    }

    pub fn total(&self, metric: Metric) -> Option<f64> {
        self.estimate(None, metric)
    }

    /// A version 1.0 baseline has only the estimate, which counts as one run.
    pub fn total_runs(&self, metric: Metric) -> &[f64] {
        let runs = self.aggregated.get(metric.name()).map(Vec::as_slice);
        runs.or_else(|| self.metrics.get(metric.name()).map(slice::from_ref)).unwrap_or_default()
    }

    /// Empty if the baseline lacks the series.
    pub fn runs(&self, endpoint: EndpointName, metric: Metric) -> &[f64] {
        match endpoint {
            None => self.total_runs(metric),
            Some(name) => {
                let series = self.endpoints.get(name).and_then(|series| series.get(metric.name()));
                series.map(Vec::as_slice).unwrap_or_default()
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

/// A merge may leave both versions of a file. No line of JSON begins like its markers.
fn refuse_conflict_markers(text: &str) -> Result<()> {
    let is_marker =
        |line: &str| ["<<<<<<< ", "=======", ">>>>>>> ", "||||||| "].iter().any(|mark| line.starts_with(mark));
    if let Some(line) = text.lines().position(is_marker) {
        bail!("it holds git conflict markers, the first in line {}: resolve the conflict", line + 1);
    }
    Ok(())
}

/// The ends of [`Stats::p95_interval_ms`], which an endpoint of a single run has beside its metrics.
const P95_LOW: &str = "p95_low";
const P95_HIGH: &str = "p95_high";

/// The [`Stats::request_interval`] of an endpoint that has a single run.
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

/// The time in ms between two requests of one user. The users are the active ones if known, else those of the load.
fn expected_interval_ms(runs: &[&Stats], provenance: &Provenance) -> Option<f64> {
    let asked = provenance.load.as_ref().map(|load| f64::from(load.users));
    let users = provenance.mean_users.or(asked)?;
    let rates: Vec<f64> = runs.iter().map(|stats| stats.requests_per_sec).collect();
    let interval_ms = 1000.0 * users / estimate(Metric::RequestsPerSec.scale(), &rates);
    (interval_ms.is_finite() && interval_ms > 0.0).then(|| rounded(interval_ms))
}

/// `None` unless every run has a histogram.
pub(crate) fn p95_corrected(runs: &[Run], expected_interval_ms: f64) -> Option<Vec<f64>> {
    runs.iter().map(|run| run.p95_corrected_ms(expected_interval_ms)).collect()
}

fn series(runs: &[&Stats]) -> RunsByMetric {
    Metric::OF_ENDPOINTS
        .iter()
        .map(|metric| (metric.name().to_owned(), runs.iter().map(|stats| rounded(stats.value(*metric))).collect()))
        .collect()
}

/// The estimated response time in ms at each of [`PERCENTILES`]; empty unless every run has a distribution.
pub fn distribution(runs: &[Run]) -> Vec<f64> {
    if runs.iter().any(|run| run.distribution.len() != PERCENTILES.len()) {
        return Vec::new();
    }
    let at = |place: usize| -> Vec<f64> { runs.iter().map(|run| run.distribution[place]).collect() };
    (0..PERCENTILES.len()).map(|place| rounded(estimate(Scale::Ratio, &at(place)))).collect()
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
