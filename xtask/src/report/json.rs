//! JSON, with everything in full precision. `docs/report.schema.json` describes it, and the tests hold it to that.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Report, change_unit, doubt_text, evidence, finding, is_unprintable};
use crate::compare::{Doubt, Limit, Row, Status, Unsettled, Verdict};
use crate::run::Provenance;

/// Of the keys and what they mean: a new key raises the second number, another meaning the first.
const SCHEMA_VERSION: &str = "1.0";

/// The keys in the order of the file: what a reader wants first comes first.
#[derive(Serialize)]
struct Judged<'a> {
    schema_version: &'static str,
    verdict: &'static str,
    exit_code: u8,
    sentence: String,
    evidence: String,
    strict: bool,
    paired: bool,
    runs: Sides<usize>,
    findings: Vec<Finding<'a>>,
    remarks: Vec<String>,
    lacking: Vec<&'static str>,
    rows: Vec<Series<'a>>,
    baseline_origin: &'a str,
    provenance: Sides<&'a Provenance>,
    details: &'a [String],
}

#[derive(Serialize)]
struct NotJudged<'a> {
    schema_version: &'static str,
    verdict: &'static str,
    exit_code: u8,
    sentence: &'a str,
}

#[derive(Serialize)]
struct Sides<T> {
    baseline: T,
    candidate: T,
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
    doubt: Option<Doubted>,
    unsettled: Option<&'static str>,
}

#[derive(Serialize)]
struct Allowed {
    worsening: Option<f64>,
    floor: Option<f64>,
    bound: Option<f64>,
}

#[derive(Serialize)]
struct Doubted {
    reason: &'static str,
    requests: Option<usize>,
    samples: Option<usize>,
    text: String,
}

pub fn render(report: &Report) -> String {
    let comparison = report.comparison;
    let (verdict, exit_code) = match comparison.verdict {
        Verdict::Pass => ("pass", 0),
        Verdict::Fail => ("fail", 1),
    };
    let [baseline, candidate] = comparison.runs;
    let [baseline_provenance, candidate_provenance] = report.provenance;
    let findings = comparison.findings().into_iter().map(|row| Finding {
        status: status(row.status),
        endpoint: row.endpoint,
        metric: row.metric.name(),
        text: finding(row),
    });
    text(&Judged {
        schema_version: SCHEMA_VERSION,
        verdict,
        exit_code,
        sentence: report.sentence(),
        evidence: evidence(comparison),
        strict: comparison.strict,
        paired: comparison.paired,
        runs: Sides { baseline, candidate },
        findings: findings.collect(),
        remarks: report.remarks(),
        lacking: comparison.lacking.iter().map(|metric| metric.name()).collect(),
        rows: comparison.total.iter().chain(&comparison.endpoints).map(series).collect(),
        baseline_origin: &report.baseline,
        provenance: Sides { baseline: baseline_provenance, candidate: candidate_provenance },
        details: &report.details,
    })
}

pub fn render_failure(reason: &str) -> String {
    text(&NotJudged { schema_version: SCHEMA_VERSION, verdict: "not_judged", exit_code: 2, sentence: reason })
}

/// Names are exact for whoever parses the file. For whoever prints it to a terminal, or puts it into a page's `<script>`,
/// what those would obey is escaped: outside of strings JSON holds no such character.
fn text(value: &impl Serialize) -> String {
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
        status: status(row.status),
        baseline: row.baseline,
        candidate: row.candidate,
        // From next to nothing a change can be beyond all numbers.
        change: finite(row.change),
        change_unit: change_unit(row.metric),
        interval: row.interval.filter(|ends| ends.iter().all(|end| end.is_finite())),
        detectable: finite(row.detectable),
        limit: row.limit.map(|&Limit { worsening, floor, bound }| Allowed { worsening, floor, bound }),
        doubt: row.doubt.map(|doubt| doubted(row, doubt)),
        unsettled: row.unsettled.map(|unsettled| match unsettled {
            Unsettled::ReachesAcross => "reaches_across",
            Unsettled::OneRunOver => "one_run_over",
        }),
    }
}

fn doubted(row: &Row, doubt: Doubt) -> Doubted {
    let (reason, requests, samples) = match doubt {
        Doubt::FewSamples { requests, samples } => ("few_samples", Some(requests), Some(samples)),
        Doubt::NotSignificant => ("not_significant", None, None),
        Doubt::NoiseUnknown => ("noise_unknown", None, None),
        Doubt::ReachesBelowLimit => ("reaches_below_limit", None, None),
    };
    Doubted { reason, requests, samples, text: doubt_text(row, doubt) }
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Fail => "fail",
        Status::Warn => "warn",
        Status::Ok => "ok",
        Status::BelowResolution => "below_resolution",
        Status::New => "new",
        Status::NoBaseline => "no_baseline",
        Status::Shown => "shown",
    }
}
