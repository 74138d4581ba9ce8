//! A history as JSON, in full precision. `docs/history.md` describes the keys.

use judge::baseline::chain::Movement;
use judge::model::run::Metric;
use judge::stats::estimate::Interval;
use serde::Serialize;

use crate::formats::json;
use crate::history::timeline::{Timeline, author};

/// The version of the keys and what they mean.
const SCHEMA_VERSION: &str = "1.0";

#[derive(Serialize)]
struct Whole<'t> {
    schema_version: &'static str,
    file: &'t str,
    metric: &'static str,
    anchor: Option<&'t str>,
    anchor_name: Option<&'t str>,
    notes: &'t [String],
    series: Vec<Series<'t>>,
}

#[derive(Serialize)]
struct Series<'t> {
    /// `None` is all requests together.
    endpoint: Option<&'t str>,
    versions: Vec<Accepted<'t>>,
}

#[derive(Serialize)]
struct Accepted<'t> {
    date: String,
    commit: &'t str,
    author: String,
    note: &'t str,
    values: Vec<Estimate>,
    runs: &'t [f64],
    step: Option<Moved>,
    since_anchor: Option<Moved>,
    broken_by: Vec<Broken<'t>>,
}

#[derive(Serialize)]
struct Estimate {
    metric: &'static str,
    unit: &'static str,
    value: Option<f64>,
}

#[derive(Serialize)]
struct Moved {
    change: f64,
    unit: &'static str,
    interval: Option<[f64; 2]>,
    significant: Option<bool>,
}

#[derive(Serialize)]
struct Broken<'t> {
    what: &'static str,
    before: &'t str,
    after: &'t str,
}

/// Writes the history.
pub fn render(timeline: &Timeline) -> String {
    let mut series = Vec::new();
    let all: Vec<_> =
        timeline.endpoints.iter().map(|endpoint| (*endpoint, timeline.entries(*endpoint, timeline.metric))).collect();
    for (endpoint, entries) in &all {
        let versions = entries.iter().map(|entry| Accepted {
            date: entry.version.day.to_string(),
            commit: &entry.version.commit,
            author: author(entry.version),
            note: &entry.why,
            values: values(&timeline.metrics(), &entry.values),
            runs: entry.runs,
            step: entry.step.map(|step| change(timeline.metric, step)),
            since_anchor: entry.since.map(|since| change(timeline.metric, since)),
            broken_by: entry
                .breaks
                .iter()
                .map(|of| Broken { what: of.what, before: &of.before, after: &of.after })
                .collect(),
        });
        series.push(Series { endpoint: *endpoint, versions: versions.collect() });
    }
    json::text(&Whole {
        schema_version: SCHEMA_VERSION,
        file: &timeline.file,
        metric: timeline.metric.name(),
        anchor: timeline.versions.get(timeline.anchor).map(|version| version.commit.as_str()),
        anchor_name: timeline.anchor_name.as_deref(),
        notes: &timeline.notes,
        series,
    })
}

fn values(metrics: &[Metric], values: &[Option<f64>]) -> Vec<Estimate> {
    let pairs = metrics.iter().zip(values);
    pairs.map(|(metric, value)| Estimate { metric: metric.name(), unit: metric.unit(), value: *value }).collect()
}

fn change(metric: Metric, movement: Movement) -> Moved {
    let finite = movement.interval.filter(|interval| interval.is_finite());
    Moved {
        change: movement.change,
        unit: crate::view::words::change_unit(metric),
        interval: finite.map(|Interval { low, high }| [low, high]),
        significant: movement.is_significant(),
    }
}
