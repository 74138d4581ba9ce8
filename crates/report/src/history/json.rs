//! A history as JSON, in full precision. `docs/history.md` describes the keys.

use judge::baseline::chain::Movement;
use judge::model::run::Metric;

use crate::formats::json::{Json, interval, json, list, object, optional, text, text_or_null};
use crate::history::timeline::{HistoryRow, Timeline};
use crate::view::drift::author;
use crate::view::words::change_unit;

const SCHEMA_VERSION: &str = "1.0";

pub fn render(timeline: &Timeline) -> String {
    let anchor = timeline.versions.get(timeline.anchor);
    let series = list(&timeline.endpoints, |endpoint| {
        let rows = timeline.rows(*endpoint, timeline.metric);
        object([("endpoint", json(endpoint)), ("versions", list(&rows, |row| version(timeline, row)))])
    });
    text(&object([
        ("schema_version", json(SCHEMA_VERSION)),
        ("headline", json(timeline.headline())),
        ("file", json(&timeline.file)),
        ("metric", json(timeline.metric.name())),
        ("anchor", json(anchor.map(|version| &version.commit))),
        ("anchor_name", text_or_null(&timeline.anchor_name)),
        ("notes", json(&timeline.notes)),
        ("series", series),
    ]))
}

fn version(timeline: &Timeline, row: &HistoryRow) -> Json<'static> {
    let values = list(timeline.metrics().into_iter().zip(&row.values), |(metric, value)| {
        object([("metric", json(metric.name())), ("unit", json(metric.unit())), ("value", json(value))])
    });
    let broken_by = list(row.breaks, |of| {
        object([("what", json(of.what)), ("before", json(&of.before)), ("after", json(&of.after))])
    });
    object([
        ("date", json(row.version.day.to_string())),
        ("commit", json(&row.version.commit)),
        ("author", json(author(row.version))),
        ("note", json(&row.note)),
        ("values", values),
        ("runs", json(row.runs)),
        ("step", optional(row.step, |step| movement(timeline.metric, step))),
        ("since_anchor", optional(row.since, |since| movement(timeline.metric, since))),
        ("broken_by", broken_by),
    ])
}

fn movement(metric: Metric, movement: Movement) -> Json<'static> {
    object([
        ("change", json(movement.change)),
        ("unit", json(change_unit(metric))),
        ("interval", interval(movement.interval)),
        ("significant", json(movement.is_significant())),
    ])
}
