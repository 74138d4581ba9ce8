//! A history as JSON, in full precision. `docs/history.md` describes the keys.

use judge::baseline::chain::Movement;
use judge::model::run::Metric;
use judge::stats::estimate::Interval;
use serde::Serialize;

use crate::formats::json;
use crate::history::timeline::Timeline;
use crate::view::drift::author;
use crate::view::words::change_unit;

/// The version of the keys and what they mean.
const SCHEMA_VERSION: &str = "1.0";

#[derive(Serialize)]
struct HistoryJson<'t> {
    schema_version: &'static str,
    file: &'t str,
    metric: &'static str,
    anchor: Option<&'t str>,
    anchor_name: Option<&'t str>,
    notes: &'t [String],
    series: Vec<HistorySeriesJson<'t>>,
}

#[derive(Serialize)]
struct HistorySeriesJson<'t> {
    /// `None` is all requests together.
    endpoint: Option<&'t str>,
    versions: Vec<VersionJson<'t>>,
}

#[derive(Serialize)]
struct VersionJson<'t> {
    date: String,
    commit: &'t str,
    author: String,
    note: &'t str,
    values: Vec<EstimateJson>,
    runs: &'t [f64],
    step: Option<MovementJson>,
    since_anchor: Option<MovementJson>,
    broken_by: Vec<BreakJson<'t>>,
}

#[derive(Serialize)]
struct EstimateJson {
    metric: &'static str,
    unit: &'static str,
    value: Option<f64>,
}

#[derive(Serialize)]
struct MovementJson {
    change: f64,
    unit: &'static str,
    interval: Option<[f64; 2]>,
    significant: Option<bool>,
}

#[derive(Serialize)]
struct BreakJson<'t> {
    what: &'static str,
    before: &'t str,
    after: &'t str,
}

/// Writes the history.
pub fn render(timeline: &Timeline) -> String {
    let mut series = Vec::new();
    let rows_of = |endpoint| (endpoint, timeline.rows(endpoint, timeline.metric));
    let all: Vec<_> = timeline.endpoints.iter().copied().map(rows_of).collect();
    for (endpoint, rows) in &all {
        let versions = rows.iter().map(|row| VersionJson {
            date: row.version.day.to_string(),
            commit: &row.version.commit,
            author: author(row.version),
            note: &row.note,
            values: estimates(&timeline.metrics(), &row.values),
            runs: row.runs,
            step: row.step.map(|step| change(timeline.metric, step)),
            since_anchor: row.since.map(|since| change(timeline.metric, since)),
            broken_by: row
                .breaks
                .iter()
                .map(|of| BreakJson { what: of.what, before: &of.before, after: &of.after })
                .collect(),
        });
        series.push(HistorySeriesJson { endpoint: *endpoint, versions: versions.collect() });
    }
    json::text(&HistoryJson {
        schema_version: SCHEMA_VERSION,
        file: &timeline.file,
        metric: timeline.metric.name(),
        anchor: timeline.versions.get(timeline.anchor).map(|version| version.commit.as_str()),
        anchor_name: timeline.anchor_name.as_deref(),
        notes: &timeline.notes,
        series,
    })
}

fn estimates(metrics: &[Metric], values: &[Option<f64>]) -> Vec<EstimateJson> {
    let pairs = metrics.iter().zip(values);
    pairs.map(|(metric, value)| EstimateJson { metric: metric.name(), unit: metric.unit(), value: *value }).collect()
}

fn change(metric: Metric, movement: Movement) -> MovementJson {
    let finite = movement.interval.filter(|interval| interval.is_finite());
    MovementJson {
        change: movement.change,
        unit: change_unit(metric),
        interval: finite.map(|Interval { low, high }| [low, high]),
        significant: movement.is_significant(),
    }
}
