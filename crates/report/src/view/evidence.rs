//! What a verdict rests on.

use judge::model::run::{Metric, Provenance};
use judge::model::text::endpoint_shown;
use judge::verdict::compare::{Comparison, Verdict};
use judge::verdict::decision::{Decision, Row, Unsettled};

use crate::view::input::{Report, Sides};
use crate::view::usage;
use crate::view::words::{LEAST_SHOWN, change, count, interval_words, listed, noise_text, series_name, series_of};

/// How many runs the verdict rests on, whether another could change it, and which change they could have detected.
pub fn evidence(comparison: &Comparison) -> String {
    let (baseline, candidate) = (comparison.runs.baseline, comparison.runs.candidate);
    let runs = if comparison.paired {
        format!("{}, both sides in each", count(candidate, "round"))
    } else {
        format!("{} (baseline: {baseline})", count(candidate, "run"))
    };
    let Some(detectable) = detectable(comparison) else {
        let endpoints =
            if comparison.rests_on_requests() { "; endpoint intervals come from their own requests" } else { "" };
        return format!("noise unknown after {runs}, so the point estimate decides{endpoints}");
    };
    let answer = match unsettled(comparison) {
        Some(why) => format!("inconclusive after {runs}: {why}"),
        None if !comparison.is_conclusive() => {
            format!("inconclusive after {runs}: p95 could have changed by more than its limit without being detected")
        }
        None => format!("conclusive after {runs}"),
    };
    let by_five = match comparison.detectable_by_five {
        Some(detectable) if detectable >= LEAST_SHOWN => {
            format!("; a baseline of five runs would detect p95 changes of {detectable:.1}% or more")
        }
        _ => String::new(),
    };
    format!("{answer}; {}{by_five}", noise_text(detectable))
}

/// The smallest detectable change of p95 in percent; `None` if the noise is unknown.
pub(crate) fn detectable(comparison: &Comparison) -> Option<f64> {
    comparison.total_row(Metric::P95)?.evidence.detectable
}

/// Why another run may change the verdict.
pub fn unsettled(comparison: &Comparison) -> Option<String> {
    let why = |row| format!("{}{}", of_drift(comparison, row), unsettled_text(row, comparison.runs.candidate));
    let reasons: Vec<String> = comparison.unsettled().map(why).collect();
    (!reasons.is_empty()).then(|| listed(&reasons, ", "))
}

fn of_drift(comparison: &Comparison, row: &Row) -> &'static str {
    if comparison.is_of_drift(row) { "the drift of " } else { "" }
}

fn unsettled_text(row: &Row, runs: usize) -> String {
    let series = series_of(row.endpoint, row.metric);
    let is_over = row.decision.and_then(Decision::reason).is_some();
    match row.evidence.unsettled {
        Some(Unsettled::FewRuns) if row.is_missing() => {
            format!(
                "{} has no requests in {}",
                row.endpoint.map_or_else(String::new, endpoint_shown),
                count(runs, "run")
            )
        }
        Some(Unsettled::FewRuns) if runs == 1 => format!("{series} exceeds its limit in a single run"),
        Some(Unsettled::FewRuns) => format!("{series} exceeds its limit in {}", count(runs, "run")),
        Some(Unsettled::Close) => {
            let ends = row.evidence.interval.map_or_else(String::new, |interval| interval_words(row.metric, interval));
            format!("the interval of {series} ({ends}) straddles the limit")
        }
        Some(Unsettled::Open) | None if row.is_finding() => {
            format!("{series} exceeds its limit ({}), but more runs could bring it back under", change(row))
        }
        Some(Unsettled::Open) | None if is_over => {
            format!("{series} exceeds its limit ({}), and more runs could confirm it", change(row))
        }
        Some(Unsettled::Open) | None => {
            format!("{series} is within its limit ({}), but more runs could take it over the limit", change(row))
        }
    }
}

/// The headline's part about noise that could change the verdict.
pub(crate) fn headline(comparison: &Comparison) -> Option<String> {
    let unsettled: Vec<String> =
        comparison.unsettled().map(|row| format!("{}{}", of_drift(comparison, row), series_name(row))).collect();
    let names = listed(&unsettled, " and ");
    Some(match (comparison.verdict, unsettled.len()) {
        (Verdict::Inconclusive, 0) => "p95 could have changed by more than its limit without being detected".to_owned(),
        (_, 0) => return None,
        (Verdict::Inconclusive, 1) => format!("noise may be hiding a {names} regression"),
        (Verdict::Inconclusive, _) => format!("noise may be hiding regressions of {names}"),
        (Verdict::Pass, 1) => format!("inconclusive: noise may be hiding a {names} regression"),
        (Verdict::Pass, _) => format!("inconclusive: noise may be hiding regressions of {names}"),
        (Verdict::Fail, _) => format!("inconclusive: noise could change the verdict on {names}"),
    })
}

/// The answer to "Can I trust it?".
pub(crate) fn trust(report: &Report) -> &'static str {
    let Sides { baseline, candidate } = report.provenance;
    let is_weakened = !report.warnings.is_empty() || usage::note(baseline, candidate).is_some();
    match (detectable(report.comparison), report.comparison.is_conclusive()) {
        (None, _) => "Only in part.",
        (Some(_), true) if !is_weakened => "Yes.",
        (Some(_), true) => "With care.",
        (Some(_), false) => "Not yet.",
    }
}

/// Whether anything but the code differs; empty if that is not known, or a warning names it.
pub(crate) fn same_place(report: &Report) -> &'static str {
    let Sides { baseline, candidate } = report.provenance;
    let place = |of: &Provenance| (of.machine.clone(), of.locust.clone(), of.python.clone(), of.locustfile.clone());
    if report.comparison.paired {
        "Both sides were measured in turn on this machine."
    } else if baseline.machine.is_none() {
        "It is not known where the baseline was measured."
    } else if baseline.locust.is_some() && place(baseline) == place(candidate) {
        "Same machine, Locust, Python and locustfile as the baseline."
    } else {
        ""
    }
}
