//! The report as JSON, with everything in full precision. `docs/report.schema.json` describes it.

use std::fmt::Write as _;

use judge::model::limits::{Level, Limit};
use judge::model::run::Provenance;
use judge::model::text::is_unprintable;
use judge::stats::estimate::{Interval, Scale};
use judge::verdict::accepted::{Exception, ExceptionState};
use judge::verdict::causes::Kind;
use judge::verdict::compare::{RunCounts, Verdict};
use judge::verdict::decision::Unsettled;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::view::arguments::arguments;
use crate::view::changes::ChangeView;
use crate::view::drift::DriftView;
use crate::view::input::Confirmation;
use crate::view::next::NextStep;
use crate::view::series::{DoubtView, SeriesView};
use crate::view::unjudged::{Saved, Unjudged};
use crate::view::words::change_unit;
use crate::view::{Finding, View};

/// The version of the keys and what they mean: a new key raises the second number, another meaning the first.
const SCHEMA_VERSION: &str = "1.4";

/// A value whose objects keep their keys in order, so that the file begins with the answer.
pub(crate) enum Json<'a> {
    Value(Value),
    Provenance(&'a Provenance),
    List(Vec<Json<'a>>),
    Object(Vec<(&'static str, Json<'a>)>),
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Value(value) => value.serialize(serializer),
            Json::Provenance(provenance) => provenance.serialize(serializer),
            Json::List(items) => serializer.collect_seq(items),
            Json::Object(keys) => serializer.collect_map(keys.iter().map(|(key, value)| (key, value))),
        }
    }
}

/// Text, a number or a list of them; null if there is none, or if a number is not finite.
pub(crate) fn json(value: impl Serialize) -> Json<'static> {
    Json::Value(serde_json::to_value(value).expect("a value without keys"))
}

pub(crate) fn list<'a, T>(items: impl IntoIterator<Item = T>, json: impl Fn(T) -> Json<'a>) -> Json<'a> {
    Json::List(items.into_iter().map(json).collect())
}

pub(crate) fn optional<'a, T>(item: Option<T>, object: impl Fn(T) -> Json<'a>) -> Json<'a> {
    item.map_or(Json::Value(Value::Null), object)
}

pub(crate) fn object<'a, const N: usize>(keys: [(&'static str, Json<'a>); N]) -> Json<'a> {
    Json::Object(keys.into())
}

pub(crate) fn render(view: &View) -> String {
    let of_endpoints = view.endpoints.iter().flat_map(|endpoint| &endpoint.series);
    let comparison = view.report.comparison;
    let verdict = match comparison.verdict {
        Verdict::Pass => "pass",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Fail => "fail",
    };
    let [baseline, candidate] =
        [view.report.provenance.baseline, view.report.provenance.candidate].map(Json::Provenance);
    text(&object([
        ("schema_version", json(SCHEMA_VERSION)),
        ("verdict", json(verdict)),
        ("exit_code", json(comparison.exit_code())),
        ("headline", json(view.headline.to_string())),
        ("conclusive", json(view.is_conclusive)),
        ("sentence", json(view.headline.sentence())),
        ("evidence", json(&view.evidence)),
        ("strict", json(comparison.strict)),
        ("paired", json(comparison.paired)),
        ("runs", run_counts(comparison.runs)),
        ("findings", list(&view.series_findings, finding)),
        ("traffic", list(&view.traffic, |finding| json(&finding.text))),
        ("drift", optional(view.drift.as_ref(), drift)),
        ("exceptions", list(&comparison.exceptions, exception)),
        ("what_changed", optional(view.changes.as_ref(), |changes| list(changes, change))),
        ("remarks", json(&view.notes)),
        ("next", list(&view.next, next)),
        ("acceptance", acceptance(view)),
        ("confirmation", confirmation(view)),
        ("lacking", json(comparison.lacking.iter().map(|metric| metric.name()).collect::<Vec<_>>())),
        ("rows", list(view.total.iter().chain(of_endpoints), series)),
        ("baseline_origin", json(&view.report.baseline_origin)),
        ("provenance", object([("baseline", baseline), ("candidate", candidate)])),
        ("details", json(&view.details)),
    ]))
}

pub(crate) fn render_unjudged(unjudged: &Unjudged) -> String {
    let (exit_code, sentence) = (unjudged.exit_code(), unjudged.sentence());
    let mut keys = vec![
        ("schema_version", json(SCHEMA_VERSION)),
        ("verdict", json(if exit_code == 0 { "baseline_saved" } else { "not_judged" })),
        ("exit_code", json(exit_code)),
        ("headline", json(format!("{}: {sentence}", unjudged.word()))),
        ("conclusive", json(false)),
        ("sentence", json(sentence)),
        ("next", list(&unjudged.next(), next)),
    ];
    keys.extend(unjudged.saved().map(|baseline| ("baseline", saved(baseline))));
    text(&Json::Object(keys))
}

/// Writes the JSON itself. Names are exact for a parser. Characters that a terminal, or a page's `<script>`, would obey are
/// escaped: outside of strings JSON has none of them.
pub(crate) fn text(value: &Json) -> String {
    let plain = serde_json::to_string_pretty(value).expect("numbers, and keys that are text");
    let mut text = String::with_capacity(plain.len() + 1);
    for c in plain.chars() {
        if c == '<' || (c != '\n' && is_unprintable(c)) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
    }
    text.push('\n');
    text
}

fn run_counts(RunCounts { baseline, candidate }: RunCounts) -> Json<'static> {
    object([("baseline", json(baseline)), ("candidate", json(candidate))])
}

fn finding(finding: &Finding) -> Json<'static> {
    object([
        ("status", json(finding.status)),
        ("endpoint", json(finding.row.and_then(|row| row.endpoint))),
        ("metric", json(finding.row.map(|row| row.metric.name()))),
        ("text", json(&finding.text)),
    ])
}

/// What changed with the latencies. The unit of the interval is percent of the baseline, or that of the values.
fn change(ChangeView { cause, text }: &ChangeView) -> Json<'static> {
    let ends = |Interval { low, high }: Interval| json([low, high]);
    let (name, share) = match &cause.kind {
        Kind::Counter(name) => (Some(name), None),
        Kind::Endpoint { share_pct, share_interval } => (None, Some((share_pct, share_interval))),
        _ => (None, None),
    };
    let from_s = if let Kind::OverTime { from_s } = cause.kind { from_s } else { None };
    let interval_unit = match cause.scale {
        Scale::Relative => "%",
        Scale::Absolute if cause.kind.unit() == "%" => "pp",
        Scale::Absolute => cause.kind.unit(),
    };
    object([
        ("kind", json(cause.kind.name())),
        ("counter", json(name)),
        ("endpoint", json(&cause.endpoint)),
        ("unit", text_or_null(cause.kind.unit())),
        ("baseline", json(cause.baseline)),
        ("candidate", json(cause.candidate)),
        ("interval", ends(cause.interval)),
        ("interval_unit", text_or_null(interval_unit)),
        ("part", json(cause.part)),
        ("share_of_slowdown", json(share.map(|(share_pct, _)| share_pct))),
        ("share_interval", optional(share, |(_, interval)| ends(*interval))),
        ("from_s", json(from_s)),
        ("text", json(text)),
    ])
}

fn next(step: &NextStep) -> Json<'static> {
    object([("what", json(step.what)), ("command", json(&step.command)), ("arguments", json(arguments(&step.command)))])
}

fn acceptance(view: &View) -> Json<'static> {
    if view.acceptance.is_empty() {
        return json(());
    }
    object([("file", json(&view.report.background.config)), ("entries", json(&view.acceptance))])
}

fn confirmation(view: &View) -> Json<'static> {
    let (outcome, reason) = match (view.report.confirmation, view.report.comparison.verdict) {
        (None, _) => return json(()),
        (Some(Confirmation::Impossible(reason)), _) => ("impossible", Some(reason)),
        (Some(Confirmation::Measured(_)), Verdict::Fail) => ("confirmed", None),
        (Some(Confirmation::Measured(_)), Verdict::Pass | Verdict::Inconclusive) => ("not_confirmed", None),
    };
    let stored = optional(view.stored.as_ref(), |stored| {
        object([
            ("headline", json(stored.headline.to_string())),
            ("baseline_origin", json(stored.origin)),
            ("runs", run_counts(stored.runs)),
            ("rows", list(&stored.all, series)),
        ])
    });
    object([("outcome", json(outcome)), ("reason", json(reason)), ("stored", stored)])
}

fn saved(saved: &Saved) -> Json<'static> {
    let values = list(&saved.values, |saved| {
        object([
            ("metric", json(saved.metric.name())),
            ("unit", text_or_null(saved.metric.unit())),
            ("value", json(saved.value)),
            ("least", json(saved.least)),
            ("most", json(saved.most)),
        ])
    });
    object([("file", json(&saved.file)), ("runs", json(saved.runs)), ("values", values)])
}

/// Null if an end is unknown.
pub(crate) fn interval(interval: Option<Interval>) -> Json<'static> {
    json(interval.filter(|ends| ends.is_finite()).map(|Interval { low, high }| [low, high]))
}

pub(crate) fn text_or_null(text: &str) -> Json<'static> {
    if text.is_empty() { json(()) } else { json(text) }
}

fn series(view: &SeriesView) -> Json<'static> {
    let row = view.row;
    let waived = row.accepted.filter(|_| row.is_waived());
    let unsettled = row.evidence.unsettled.map(|unsettled| match unsettled {
        Unsettled::Open => "open",
        Unsettled::FewRuns => "few_runs",
        Unsettled::Close => "close",
    });
    object([
        ("endpoint", json(row.endpoint)),
        ("metric", json(row.metric.name())),
        ("unit", text_or_null(row.metric.unit())),
        ("status", json(view.status)),
        ("baseline", json(row.presence.baseline())),
        ("candidate", json(row.presence.candidate())),
        ("change", json(row.change())),
        ("change_unit", json(change_unit(row.metric))),
        ("interval", interval(row.evidence.interval)),
        ("detectable", json(row.evidence.detectable)),
        ("limit", optional(row.limit, limit)),
        ("accepted", optional(waived, |accepted| exception(&Exception { accepted, state: ExceptionState::Waived }))),
        ("doubt", optional(view.doubt.as_ref(), doubt)),
        ("unsettled", json(unsettled)),
    ])
}

fn doubt(DoubtView { reason, few_samples, text }: &DoubtView) -> Json<'static> {
    object([
        ("reason", json(reason)),
        ("requests", json(few_samples.map(|few| few.requests))),
        ("samples", json(few_samples.map(|few| few.samples))),
        ("text", json(text)),
    ])
}

fn drift(drift: &DriftView) -> Json<'static> {
    let updates = list(&drift.updates, |update| {
        object([
            ("commit", json(&update.version.commit)),
            ("date", json(update.version.day.to_string())),
            ("author", json(&update.author)),
            ("note", json(&update.note)),
            ("step", text_or_null(&update.step)),
        ])
    });
    object([
        ("since", json(drift.anchor.name)),
        ("commit", json(&drift.anchor.version.commit)),
        ("date", json(drift.anchor.version.day.to_string())),
        ("finding", json(drift.finding.as_ref().map(|finding| &finding.text))),
        ("updates", updates),
        ("rows", list(&drift.series, series)),
    ])
}

fn exception(Exception { accepted, state }: &Exception) -> Json<'static> {
    let state = match state {
        ExceptionState::Waived => "waived",
        ExceptionState::Exceeded => "exceeded",
        ExceptionState::InDoubt => "in_doubt",
        ExceptionState::Unused => "unused",
        ExceptionState::Expired => "expired",
    };
    object([
        ("endpoint", json(&accepted.endpoint)),
        ("metric", json(accepted.metric.name())),
        ("up_to", limit(&accepted.up_to)),
        ("until", json(accepted.until.to_string())),
        ("days_left", json(accepted.days_left)),
        ("reason", json(&accepted.reason)),
        ("state", json(state)),
    ])
}

fn limit(Limit { worsening, floor, bound, level }: &Limit) -> Json<'static> {
    let level = match level {
        Level::Fail => "fail",
        Level::Warn => "warn",
        Level::Off => "off",
    };
    object([("worsening", json(worsening)), ("floor", json(floor)), ("bound", json(bound)), ("level", json(level))])
}
