//! The notes of a report: what the baseline lacks, what the errors do to the latencies, and what weakens the comparison.

use judge::model::run::Metric;
use judge::verdict::compare::{Comparison, Verdict};
use judge::verdict::cpu::CpuUnjudged;
use judge::verdict::decision::{Decision, Reason, Row};

use crate::view::evidence::detectable;
use crate::view::input::{Confirmation, Report};
use crate::view::series::{DoubtView, SeriesView, repeats_p95};
use crate::view::words::{change, limit_text, noise_advice};
use crate::view::{ENDPOINTS, exceptions, usage};

/// The share of a limit above which a note mentions how much of it is used.
const MOSTLY: f64 = 0.5;

pub(crate) fn notes(report: &Report, total: &[SeriesView], endpoints: usize) -> Vec<String> {
    let comparison = report.comparison;
    let mut notes = vec![confirmation(report)];
    if !comparison.lacking.is_empty() {
        let names: Vec<&str> = comparison.lacking.iter().map(|metric| metric.name()).collect();
        let names = names.join(", ");
        notes.push(format!("the baseline lacks {names}: re-record it with --update-baseline to compare that too"));
    }
    notes.extend(comparison.cpu_unjudged.map(cpu_unjudged));
    if comparison.error_rate_failed() {
        notes.push("latencies of failing requests are not comparable: fix the errors first".to_owned());
    }
    let beside_p95 = |row: &Row| !repeats_p95(comparison, row);
    notes.extend(total.iter().filter(|series| beside_p95(series.row)).map(few_requests_or_gap));
    if comparison.total_row(Metric::P95Corrected).is_some_and(|row| row.is_finding() && beside_p95(row)) {
        notes.push(
            "p95_corrected is the p95 that users arriving on schedule would have seen: it adds back the requests that they \
             could not send while waiting for a response"
                .to_owned(),
        );
    }
    if endpoints > ENDPOINTS {
        notes.push(format!(
            "showing the {ENDPOINTS} worst of {endpoints} endpoints; the JSON has them all (--report perf.json)"
        ));
    }
    notes.extend(detectable(comparison).map(noise_advice));
    notes.extend(exceptions::notes(comparison));
    notes.extend(nearly_used_limits(comparison));
    notes.extend(report.file_warnings.iter().chain(&report.warnings).cloned());
    notes.push(usage::note(report.provenance.baseline, report.provenance.candidate));
    // A slowdown's report has it among what changed.
    if report.background.causes.is_none() {
        notes.push(usage::connections(report.provenance.baseline, report.provenance.candidate));
    }
    notes.retain(|note| !note.is_empty());
    notes
}

/// The notes that the table, the verdict, the next steps or the line of the exceptions have in short.
pub(crate) fn repeated(report: &Report, total: &[SeriesView]) -> Vec<String> {
    let mut repeated = exceptions::notes(report.comparison);
    repeated.extend(nearly_used_limits(report.comparison));
    let doubts = total.iter().filter_map(|series| series.doubt.as_ref());
    repeated.extend(doubts.filter(|doubt| doubt.few_samples.is_some()).map(|doubt| doubt.text.clone()));
    repeated.extend(report.stored().map(|_| confirmation(report)));
    repeated
}

fn cpu_unjudged(why: CpuUnjudged) -> String {
    let why = match why {
        CpuUnjudged::Unknown => {
            "a run has no value for it, which needs Linux and a service that the gate starts".to_owned()
        }
        CpuUnjudged::OtherMachine => {
            "the baseline was recorded on another machine, so compare with --against, or record it on this one"
                .to_owned()
        }
        CpuUnjudged::TooCoarse { ticks, needed } => {
            format!("a run has {ticks} ticks of 10 ms, too coarse below {needed}: lengthen the run, or add users")
        }
    };
    format!("cpu_per_request is not judged: {why}")
}

fn confirmation(report: &Report) -> String {
    match report.confirmation {
        Some(Confirmation::Impossible(why)) => {
            format!("the FAIL is by the stored numbers alone, and not confirmed: {why}")
        }
        Some(Confirmation::Measured(_)) if report.comparison.verdict != Verdict::Fail => {
            "the stored numbers do not fit this machine: record the baseline on this kind of machine, or compare with --against"
                .to_owned()
        }
        Some(Confirmation::Measured(_)) | None => String::new(),
    }
}

fn few_requests_or_gap(series: &SeriesView) -> String {
    match (&series.doubt, series.row.reason()) {
        (Some(doubt), Some(Reason::InGap)) => {
            format!("{} is over its limit ({}), but {}", series.row.metric, change(series.row), doubt.text)
        }
        (Some(DoubtView { few_samples: Some(_), text, .. }), _) => text.clone(),
        _ => String::new(),
    }
}

/// The metrics of all requests together that have used most of their limits, if that is no noise. Rounds are of two
/// commits, so they show nothing of a limit that is used up step by step.
fn nearly_used_limits(comparison: &Comparison) -> Vec<String> {
    if comparison.paired {
        return Vec::new();
    }
    comparison.total.iter().filter(|row| !repeats_p95(comparison, row)).filter_map(nearly_used_limit).collect()
}

fn nearly_used_limit(row: &Row) -> Option<String> {
    let (limit, candidate) = (row.limit?, row.presence.candidate()?);
    let usage = row.limit_usage(candidate).filter(|usage| *usage > MOSTLY && row.decision == Some(Decision::Ok))?;
    let least = row.limit_usage_interval()?.low;
    let (percent, change, limit) = (100.0 * usage, change(row), limit_text(row.metric, limit));
    (least > 0.0).then(|| format!("{} has used {percent:.0}% of its limit ({change} of {limit})", row.metric))
}
