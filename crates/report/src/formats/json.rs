//! The report as JSON, with everything in full precision. `docs/report.schema.json` describes it.

use std::fmt::Write as _;

use judge::model::limits::{Level, Limit};
use judge::model::run::Provenance;
use judge::model::text::is_unprintable;
use judge::stats::estimate::Interval;
use judge::verdict::accepted::{Applied, State};
use judge::verdict::compare::{RunCounts, Verdict};
use judge::verdict::decision::Unsettled;
use serde::Serialize;

use crate::view::drift::DriftView;
use crate::view::input::Sides;
use crate::view::next::NextStep;
use crate::view::series::{DoubtView, SeriesView};
use crate::view::unjudged::{Saved, SavedValue, Unjudged};
use crate::view::words::{Status, change_unit};
use crate::view::{ConfirmationView, Finding, StoredView, View};

/// The version of the keys and what they mean: a new key raises the second number, another meaning the first.
const SCHEMA_VERSION: &str = "1.3";

/// The report, with its keys in the order of the file.
#[derive(Serialize)]
struct ReportJson<'a> {
    schema_version: &'static str,
    verdict: &'static str,
    exit_code: u8,
    headline: String,
    conclusive: bool,
    sentence: String,
    evidence: &'a str,
    strict: bool,
    paired: bool,
    runs: Sides<usize>,
    findings: Vec<FindingJson<'a>>,
    drift: Option<DriftJson<'a>>,
    exceptions: Vec<ExceptionJson<'a>>,
    remarks: &'a [String],
    next: &'a [NextStep],
    confirmation: Option<ConfirmationJson<'a>>,
    lacking: &'a [&'static str],
    rows: Vec<SeriesJson<'a>>,
    baseline_origin: &'a str,
    provenance: Sides<&'a Provenance>,
    details: &'a [String],
}

#[derive(Serialize)]
struct UnjudgedJson<'a> {
    schema_version: &'static str,
    verdict: &'static str,
    exit_code: u8,
    headline: String,
    conclusive: bool,
    sentence: String,
    next: Vec<NextStep>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<SavedJson<'a>>,
}

#[derive(Serialize)]
struct SavedJson<'a> {
    file: &'a str,
    runs: usize,
    values: Vec<SavedValueJson>,
}

#[derive(Serialize)]
struct SavedValueJson {
    metric: &'static str,
    unit: Option<&'static str>,
    value: f64,
    least: f64,
    most: f64,
}

#[derive(Serialize)]
struct ConfirmationJson<'a> {
    outcome: &'static str,
    reason: Option<&'a str>,
    stored: Option<StoredJson<'a>>,
}

#[derive(Serialize)]
struct StoredJson<'a> {
    headline: String,
    baseline_origin: &'a str,
    runs: Sides<usize>,
    rows: Vec<SeriesJson<'a>>,
}

#[derive(Serialize)]
struct FindingJson<'a> {
    status: &'static str,
    endpoint: Option<&'a str>,
    metric: &'static str,
    text: &'a str,
}

#[derive(Serialize)]
struct SeriesJson<'a> {
    endpoint: Option<&'a str>,
    metric: &'static str,
    unit: Option<&'static str>,
    status: &'static str,
    baseline: Option<f64>,
    candidate: Option<f64>,
    change: Option<f64>,
    change_unit: &'static str,
    interval: Option<[f64; 2]>,
    detectable: Option<f64>,
    limit: Option<LimitJson>,
    accepted: Option<ExceptionJson<'a>>,
    doubt: Option<DoubtJson<'a>>,
    unsettled: Option<&'static str>,
}

#[derive(Serialize)]
struct DriftJson<'a> {
    since: Option<&'a str>,
    commit: &'a str,
    date: String,
    findings: Vec<&'a str>,
    updates: Vec<UpdateJson<'a>>,
    rows: Vec<SeriesJson<'a>>,
}

#[derive(Serialize)]
struct UpdateJson<'a> {
    commit: &'a str,
    date: String,
    author: &'a str,
    note: &'a str,
}

#[derive(Serialize)]
struct ExceptionJson<'a> {
    endpoint: Option<&'a str>,
    metric: &'static str,
    up_to: LimitJson,
    until: String,
    days_left: i64,
    reason: &'a str,
    state: &'static str,
}

#[derive(Serialize)]
struct LimitJson {
    worsening: Option<f64>,
    floor: Option<f64>,
    bound: Option<f64>,
    level: &'static str,
}

#[derive(Serialize)]
struct DoubtJson<'a> {
    reason: &'static str,
    requests: Option<usize>,
    samples: Option<usize>,
    text: &'a str,
}

/// Writes the report.
pub(crate) fn render(view: &View) -> String {
    let of_endpoints = view.endpoints.iter().flat_map(|endpoint| &endpoint.series);
    text(&ReportJson {
        schema_version: SCHEMA_VERSION,
        verdict: match view.verdict {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
        },
        exit_code: view.verdict.exit_code(),
        headline: view.headline.to_string(),
        conclusive: view.is_conclusive,
        sentence: view.headline.sentence(),
        evidence: &view.evidence,
        strict: view.strict,
        paired: view.paired,
        runs: run_counts(view.runs),
        findings: view.findings.iter().filter_map(finding).collect(),
        drift: view.drift.as_ref().map(drift),
        exceptions: view.exceptions.iter().map(exception).collect(),
        remarks: &view.notes,
        next: &view.next,
        confirmation: confirmation(view),
        lacking: &view.lacking,
        rows: view.total.iter().chain(of_endpoints).map(series).collect(),
        baseline_origin: view.origin,
        provenance: view.provenance,
        details: view.details,
    })
}

fn run_counts(RunCounts { baseline, candidate }: RunCounts) -> Sides<usize> {
    Sides { baseline, candidate }
}

fn finding<'a>(finding: &'a Finding) -> Option<FindingJson<'a>> {
    let row = finding.row?;
    Some(FindingJson {
        status: status(finding.status),
        endpoint: row.endpoint,
        metric: row.metric.name(),
        text: &finding.text,
    })
}

fn confirmation<'a>(view: &'a View) -> Option<ConfirmationJson<'a>> {
    match &view.confirmation {
        ConfirmationView::NotAsked => None,
        ConfirmationView::Impossible(reason) => {
            Some(ConfirmationJson { outcome: "impossible", reason: Some(reason), stored: None })
        }
        ConfirmationView::Measured(StoredView { headline, origin, runs, all, .. }) => Some(ConfirmationJson {
            outcome: match view.verdict {
                Verdict::Fail => "confirmed",
                Verdict::Pass => "not_confirmed",
            },
            reason: None,
            stored: Some(StoredJson {
                headline: headline.to_string(),
                baseline_origin: origin,
                runs: run_counts(*runs),
                rows: all.iter().map(series).collect(),
            }),
        }),
    }
}

/// Writes the report of a command that judged nothing.
pub(crate) fn render_unjudged(unjudged: &Unjudged) -> String {
    let (exit_code, sentence) = (unjudged.exit_code(), unjudged.sentence());
    text(&UnjudgedJson {
        schema_version: SCHEMA_VERSION,
        verdict: if exit_code == 0 { "baseline_saved" } else { "not_judged" },
        exit_code,
        headline: format!("{}: {sentence}", unjudged.word()),
        conclusive: false,
        sentence,
        next: unjudged.next(),
        baseline: unjudged.saved().map(saved),
    })
}

fn saved(saved: &Saved) -> SavedJson<'_> {
    let value = |saved: &SavedValue| SavedValueJson {
        metric: saved.metric.name(),
        unit: Some(saved.metric.unit()).filter(|unit| !unit.is_empty()),
        value: saved.value,
        least: saved.least,
        most: saved.most,
    };
    SavedJson { file: &saved.file, runs: saved.runs, values: saved.values.iter().map(value).collect() }
}

/// Writes the JSON itself. Names are exact for a parser. Characters that a terminal, or a page's `<script>`, would obey are
/// escaped: outside of strings JSON has none of them.
pub(crate) fn text(value: &impl Serialize) -> String {
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

fn series<'a>(view: &'a SeriesView) -> SeriesJson<'a> {
    let row = view.row;
    // From next to nothing a change can be beyond all numbers.
    let finite = |number: Option<f64>| number.filter(|number| number.is_finite());
    let waived = row.accepted.filter(|_| row.is_waived());
    SeriesJson {
        endpoint: row.endpoint,
        metric: row.metric.name(),
        unit: Some(row.metric.unit()).filter(|unit| !unit.is_empty()),
        status: status(view.status),
        baseline: row.presence.baseline(),
        candidate: row.presence.candidate(),
        change: finite(row.change()),
        change_unit: change_unit(row.metric),
        interval: row.evidence.interval.filter(|ends| ends.is_finite()).map(|Interval { low, high }| [low, high]),
        detectable: finite(row.evidence.detectable),
        limit: row.limit.map(limit),
        accepted: waived.map(|accepted| exception(&Applied { accepted, state: State::Waived })),
        doubt: view.doubt.as_ref().map(|DoubtView { reason, few_samples, text }| DoubtJson {
            reason,
            requests: few_samples.map(|few| few.requests),
            samples: few_samples.map(|few| few.samples),
            text,
        }),
        unsettled: row.evidence.unsettled.map(|unsettled| match unsettled {
            Unsettled::Open => "open",
            Unsettled::FewRuns => "few_runs",
            Unsettled::Close => "close",
        }),
    }
}

fn drift<'a>(drift: &'a DriftView) -> DriftJson<'a> {
    let mut updates = Vec::new();
    for update in &drift.updates {
        let date = update.version.day.to_string();
        updates.push(UpdateJson { commit: &update.version.commit, date, author: &update.author, note: &update.note });
    }
    DriftJson {
        since: drift.anchor.name,
        commit: &drift.anchor.version.commit,
        date: drift.anchor.version.day.to_string(),
        findings: drift.findings.iter().map(|finding| finding.text.as_str()).collect(),
        updates,
        rows: drift.series.iter().map(series).collect(),
    }
}

fn exception<'a>(applied: &Applied<'a>) -> ExceptionJson<'a> {
    let Applied { accepted, state } = *applied;
    ExceptionJson {
        endpoint: accepted.endpoint.as_deref(),
        metric: accepted.metric.name(),
        up_to: limit(&accepted.up_to),
        until: accepted.until.to_string(),
        days_left: accepted.days_left,
        reason: &accepted.reason,
        state: match state {
            State::Waived => "waived",
            State::Exceeded => "exceeded",
            State::InDoubt => "in_doubt",
            State::Unused => "unused",
            State::Expired => "expired",
        },
    }
}

fn limit(limit: &Limit) -> LimitJson {
    let Limit { worsening, floor, bound, level } = *limit;
    let level = match level {
        Level::Fail => "fail",
        Level::Warn => "warn",
        Level::Off => "off",
    };
    LimitJson { worsening, floor, bound, level }
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Fail => "fail",
        Status::Warn => "warn",
        Status::Waived => "waived",
        Status::InDoubt => "in_doubt",
        Status::Ok => "ok",
        Status::BelowResolution => "below_resolution",
        Status::New => "new",
        Status::NoBaseline => "no_baseline",
        Status::Shown => "shown",
    }
}
