//! The report as JSON, with everything in full precision. `docs/report.schema.json` describes it, and the tests hold it to
//! that.

use std::fmt::Write as _;

use serde::Serialize;

use judge::baseline::chain::Version;
use judge::model::limits::{Level, Limit};
use judge::model::run::Provenance;
use judge::model::text::is_unprintable;
use judge::stats::estimate::Interval;
use judge::verdict::accepted::{Applied, State};
use judge::verdict::compare::{Anchor, Drift};
use judge::verdict::compare::{RunCounts, Verdict};
use judge::verdict::decision::{Decision, FewSamples, Reason, Row, Unsettled};

use crate::history::timeline::{author, why};
use crate::view::confirmation::Confirmation;
use crate::view::content::{Report, Sides, Unjudged, doubt_text, evidence, few_samples_text, finding, findings};
use crate::view::further::drift_findings;
use crate::view::headline::Headline;
use crate::view::next::{Step, steps, steps_unjudged};
use crate::view::saved::Saved;
use crate::view::words::{Status, change_unit};

/// The version of the keys and what they mean: a new key raises the second number, another meaning the first.
const SCHEMA_VERSION: &str = "1.3";

/// The report, with its keys in the order of the file: what a reader wants first comes first.
#[derive(Serialize)]
struct Judged<'a> {
    schema_version: &'static str,
    verdict: &'static str,
    exit_code: u8,
    headline: String,
    conclusive: bool,
    sentence: String,
    evidence: String,
    strict: bool,
    paired: bool,
    runs: Sides<usize>,
    findings: Vec<Finding<'a>>,
    drift: Option<Drifted<'a>>,
    exceptions: Vec<Exception<'a>>,
    remarks: Vec<String>,
    next: Vec<Step>,
    confirmation: Option<Confirmed<'a>>,
    lacking: Vec<&'static str>,
    rows: Vec<Series<'a>>,
    baseline_origin: &'a str,
    provenance: Sides<&'a Provenance>,
    details: &'a [String],
}

#[derive(Serialize)]
struct NoComparison<'a> {
    schema_version: &'static str,
    verdict: &'static str,
    exit_code: u8,
    headline: String,
    conclusive: bool,
    sentence: String,
    next: Vec<Step>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<SavedBaseline<'a>>,
}

#[derive(Serialize)]
struct SavedBaseline<'a> {
    file: &'a str,
    runs: usize,
    values: Vec<SavedMetric>,
}

#[derive(Serialize)]
struct SavedMetric {
    metric: &'static str,
    unit: Option<&'static str>,
    value: f64,
    least: f64,
    most: f64,
}

/// What became of a FAIL by the stored numbers.
#[derive(Serialize)]
struct Confirmed<'a> {
    outcome: &'static str,
    reason: Option<&'a str>,
    stored: Option<StoredNumbers<'a>>,
}

#[derive(Serialize)]
struct StoredNumbers<'a> {
    headline: String,
    baseline_origin: &'a str,
    runs: Sides<usize>,
    rows: Vec<Series<'a>>,
}

#[derive(Serialize)]
struct Finding<'a> {
    status: &'static str,
    endpoint: Option<&'a str>,
    metric: &'static str,
    text: String,
}

#[derive(Serialize)]
struct Series<'a> {
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
    limit: Option<Allowed>,
    accepted: Option<Exception<'a>>,
    doubt: Option<Doubted>,
    unsettled: Option<&'static str>,
}

#[derive(Serialize)]
struct Drifted<'a> {
    since: Option<&'a str>,
    commit: &'a str,
    date: String,
    findings: Vec<String>,
    updates: Vec<Update<'a>>,
    rows: Vec<Series<'a>>,
}

#[derive(Serialize)]
struct Update<'a> {
    commit: &'a str,
    date: String,
    author: String,
    note: String,
}

#[derive(Serialize)]
struct Exception<'a> {
    endpoint: Option<&'a str>,
    metric: &'static str,
    up_to: Allowed,
    until: String,
    days_left: i64,
    reason: &'a str,
    state: &'static str,
}

#[derive(Serialize)]
struct Allowed {
    worsening: Option<f64>,
    floor: Option<f64>,
    bound: Option<f64>,
    level: &'static str,
}

#[derive(Serialize)]
struct Doubted {
    reason: &'static str,
    requests: Option<usize>,
    samples: Option<usize>,
    text: String,
}

/// Writes the report.
pub fn render(report: &Report) -> String {
    let comparison = report.comparison;
    let RunCounts { baseline, candidate } = comparison.runs;
    let findings = findings(comparison).into_iter().map(|row| Finding {
        status: status(row),
        endpoint: row.endpoint,
        metric: row.metric.name(),
        text: finding(row),
    });
    text(&Judged {
        schema_version: SCHEMA_VERSION,
        verdict: match comparison.verdict {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
        },
        exit_code: comparison.verdict.exit_code(),
        headline: report.headline().to_string(),
        conclusive: comparison.is_conclusive(),
        sentence: report.sentence(),
        evidence: evidence(comparison),
        strict: comparison.strict,
        paired: comparison.paired,
        runs: Sides { baseline, candidate },
        findings: findings.collect(),
        drift: comparison.drift.as_ref().map(drifted),
        exceptions: comparison.exceptions.iter().map(exception).collect(),
        remarks: report.remarks(),
        next: steps(report),
        confirmation: report.confirmation.map(|confirmation| confirmed(confirmation, comparison.verdict)),
        lacking: comparison.lacking.iter().map(|metric| metric.name()).collect(),
        rows: comparison.total.iter().chain(&comparison.endpoints).map(series).collect(),
        baseline_origin: &report.baseline,
        provenance: report.provenance,
        details: &report.details,
    })
}

fn confirmed<'a>(confirmation: &'a Confirmation<'a>, verdict: Verdict) -> Confirmed<'a> {
    let stored = match confirmation {
        Confirmation::Impossible(reason) => {
            return Confirmed { outcome: "impossible", reason: Some(reason), stored: None };
        }
        Confirmation::Measured(stored) => stored,
    };
    let RunCounts { baseline, candidate } = stored.comparison.runs;
    Confirmed {
        outcome: match verdict {
            Verdict::Fail => "confirmed",
            Verdict::Pass => "not_confirmed",
        },
        reason: None,
        stored: Some(StoredNumbers {
            headline: Headline::of(stored.comparison).to_string(),
            baseline_origin: &stored.baseline,
            runs: Sides { baseline, candidate },
            rows: stored.comparison.total.iter().chain(&stored.comparison.endpoints).map(series).collect(),
        }),
    }
}

/// Writes the report of a command that judged nothing.
pub fn render_unjudged(unjudged: &Unjudged) -> String {
    let verdict = match unjudged {
        Unjudged::NoVerdict(_) | Unjudged::NoBaseline(_) => "not_judged",
        Unjudged::BaselineSaved(_) => "baseline_saved",
    };
    let (exit_code, sentence) = (unjudged.exit_code(), unjudged.sentence());
    text(&NoComparison {
        schema_version: SCHEMA_VERSION,
        verdict,
        exit_code,
        headline: format!("{}: {sentence}", unjudged.word()),
        conclusive: false,
        sentence,
        next: steps_unjudged(unjudged),
        baseline: unjudged.saved().map(saved_baseline),
    })
}

fn saved_baseline(saved: &Saved) -> SavedBaseline<'_> {
    let metric = |saved: &crate::view::saved::SavedValue| SavedMetric {
        metric: saved.metric.name(),
        unit: Some(saved.metric.unit()).filter(|unit| !unit.is_empty()),
        value: saved.value,
        least: saved.least,
        most: saved.most,
    };
    SavedBaseline { file: &saved.file, runs: saved.runs, values: saved.values.iter().map(metric).collect() }
}

/// Writes the JSON itself. Names are exact for a parser. What a terminal, or a page's `<script>`, would obey is escaped:
/// outside of strings JSON holds no such character.
pub fn text(value: &impl Serialize) -> String {
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

fn series<'a>(row: &Row<'a>) -> Series<'a> {
    let unit = row.metric.unit();
    let finite = |number: Option<f64>| number.filter(|number| number.is_finite());
    Series {
        endpoint: row.endpoint,
        metric: row.metric.name(),
        unit: Some(unit).filter(|unit| !unit.is_empty()),
        status: status(row),
        baseline: row.presence.baseline(),
        candidate: row.presence.candidate(),
        // From next to nothing a change can be beyond all numbers.
        change: finite(row.change()),
        change_unit: change_unit(row.metric),
        interval: match row.evidence.interval {
            Some(interval @ Interval { low, high }) if interval.is_finite() => Some([low, high]),
            _ => None,
        },
        detectable: finite(row.evidence.detectable),
        limit: row.limit.map(allowed),
        accepted: row
            .accepted
            .filter(|_| row.is_waived())
            .map(|accepted| exception(&Applied { accepted, state: State::Waived })),
        doubt: doubted(row),
        unsettled: row.evidence.unsettled.map(|unsettled| match unsettled {
            Unsettled::Open => "open",
            Unsettled::FewRuns => "few_runs",
            Unsettled::Close => "close",
        }),
    }
}

fn drifted<'a>(drift: &Drift<'a>) -> Drifted<'a> {
    let Drift { anchor: Anchor { version, name, updates }, rows } = drift;
    let update = |(place, update): (usize, &'a Version)| Update {
        commit: &update.commit,
        date: update.day.to_string(),
        author: author(update),
        note: why(update, updates.get(place + 1).or(Some(version))),
    };
    Drifted {
        since: *name,
        commit: &version.commit,
        date: version.day.to_string(),
        findings: drift_findings(drift).into_iter().map(|finding| finding.text).collect(),
        updates: updates.iter().enumerate().map(update).collect(),
        rows: rows.iter().map(series).collect(),
    }
}

fn exception<'a>(applied: &Applied<'a>) -> Exception<'a> {
    let Applied { accepted, state } = *applied;
    Exception {
        endpoint: accepted.endpoint.as_deref(),
        metric: accepted.metric.name(),
        up_to: allowed(&accepted.up_to),
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

fn allowed(limit: &Limit) -> Allowed {
    let Limit { worsening, floor, bound, level } = *limit;
    let level = match level {
        Level::Fail => "fail",
        Level::Warn => "warn",
        Level::Off => "off",
    };
    Allowed { worsening, floor, bound, level }
}

/// Returns what a series over its limit lacks to be a finding, or to fail; of a percentile of all requests together, the few
/// requests behind it.
fn doubted(row: &Row) -> Option<Doubted> {
    let doubted = |reason, text| Doubted { reason, requests: None, samples: None, text };
    let few_samples = |few: FewSamples| Doubted {
        requests: Some(few.requests),
        samples: Some(few.samples),
        ..doubted("few_samples", few_samples_text(row, few))
    };
    let named = |name, reason| Some(doubted(name, doubt_text(row, reason)));
    match row.decision.and_then(Decision::reason) {
        Some(Reason::FewSamples(few)) => Some(few_samples(few)),
        Some(reason @ Reason::OneRun) => named("one_run", reason),
        Some(reason @ Reason::NotSignificant) => named("not_significant", reason),
        Some(reason @ Reason::NoiseUnknown) => named("noise_unknown", reason),
        Some(reason @ Reason::ReachesBelowLimit) => named("reaches_below_limit", reason),
        Some(reason @ Reason::InGap) => named("in_gap", reason),
        Some(Reason::OverLimit | Reason::OverBound | Reason::Missing) | None => {
            row.evidence.few_samples.filter(|_| row.endpoint.is_none()).map(few_samples)
        }
    }
}

fn status(row: &Row) -> &'static str {
    match Status::of(row) {
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
