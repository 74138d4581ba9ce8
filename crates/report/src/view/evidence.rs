//! What a verdict rests on.

use judge::baseline::comparability::other_circumstances;
use judge::model::run::{Metric, Provenance};
use judge::verdict::compare::{Comparison, Verdict};
use judge::verdict::decision::{Decision, Row, Unsettled};

use crate::view::input::{Report, Sides};
use crate::view::series::{repeats_p95, unjudged_endpoints};
use crate::view::usage;
use crate::view::words::{
    LEAST_SHOWN, change, count, endpoint_or_all, hidden_by_noise, interval_words, listed, noise_text, series_name,
    series_of,
};

/// How many runs the verdict rests on, whether another could change it, and which change they could have detected.
pub fn evidence(comparison: &Comparison) -> String {
    let brief = brief(comparison);
    let Some(detectable) = detectable(comparison) else {
        let endpoints =
            if comparison.rests_on_requests() { "; endpoint intervals come from their own requests" } else { "" };
        return format!("{brief}, so the point estimate decides{endpoints}");
    };
    let reasons = match unsettled(comparison) {
        reasons if !reasons.is_empty() => format!(": {reasons}"),
        _ if comparison.is_conclusive() => String::new(),
        _ if is_only_settled(comparison) => ": more runs would hardly change the verdict".to_owned(),
        _ => format!(": {UNDETECTED}"),
    };
    let by_five = match comparison.detectable_by_five {
        Some(detectable) if detectable >= LEAST_SHOWN => {
            format!("; a baseline of five runs would detect p95 changes of {detectable:.1}% or more")
        }
        _ => String::new(),
    };
    format!("{brief}{reasons}; {}{by_five}", noise_text(detectable))
}

/// The evidence without what the headline has.
pub(crate) fn short(comparison: &Comparison) -> String {
    let noise = detectable(comparison).map_or_else(
        || ", so the point estimate decides".to_owned(),
        |detectable| format!("; {}", noise_text(detectable)),
    );
    format!("{}{noise}", brief(comparison))
}

/// The evidence in a few words: `conclusive after 2 runs (baseline: 10)`.
pub fn brief(comparison: &Comparison) -> String {
    let (baseline, candidate) = (comparison.runs.baseline, comparison.runs.candidate);
    let runs = if comparison.paired {
        format!("{}, both sides in each", count(candidate, "round"))
    } else {
        format!("{} (baseline: {baseline})", count(candidate, "run"))
    };
    match detectable(comparison) {
        None => format!("noise unknown after {runs}"),
        Some(_) if comparison.is_conclusive() => format!("conclusive after {runs}"),
        Some(_) if is_only_settled(comparison) => format!("settled after {runs}"),
        Some(_) => format!("inconclusive after {runs}"),
    }
}

/// Whether it passes, and the runs left would hardly change that, although the noise could hide a change as large as the
/// limit.
pub(crate) fn is_only_settled(comparison: &Comparison) -> bool {
    comparison.verdict == Verdict::Pass && comparison.is_settled() && !comparison.is_conclusive()
}

const UNDETECTED: &str = "p95 could have changed by more than its limit without being detected";

/// The smallest detectable change of p95 in percent; `None` if the noise is unknown.
pub(crate) fn detectable(comparison: &Comparison) -> Option<f64> {
    comparison.total_row(Metric::P95)?.evidence.detectable
}

pub fn unsettled(comparison: &Comparison) -> String {
    let rows = unsettled_rows(comparison);
    let mut reasons = Vec::new();
    for state in [Open::Few, Open::Failing, Open::Over, Open::Close, Open::Below, Open::Within] {
        let of_state: Vec<&Row> = rows.iter().copied().filter(|row| Open::of(row) == state).collect();
        if !of_state.is_empty() {
            reasons.push(open_text(comparison, state, &of_state));
        }
    }
    reasons.join(", and ")
}

fn unsettled_rows<'a>(comparison: &'a Comparison<'a>) -> Vec<&'a Row<'a>> {
    comparison.unsettled().filter(|row| !repeats_p95(comparison, row)).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    /// It is over its limit in too few runs.
    Few,
    /// It is over its limit, and could come back.
    Failing,
    /// It is over its limit without being a finding, and could become one.
    Over,
    /// No run is left, and it is as likely over as within.
    Close,
    /// It is over its limit, but the response times are not exact enough to show that.
    Below,
    Within,
}

impl Open {
    fn of(row: &Row) -> Open {
        match row.evidence.unsettled {
            Some(Unsettled::FewRuns) => Open::Few,
            Some(Unsettled::Close) => Open::Close,
            Some(Unsettled::Open) | None if row.is_finding() => Open::Failing,
            Some(Unsettled::Open) | None if row.reason().is_some() => Open::Over,
            Some(Unsettled::Open) | None if row.decision == Some(Decision::BelowResolution) => Open::Below,
            Some(Unsettled::Open) | None => Open::Within,
        }
    }
}

fn open_text(comparison: &Comparison, state: Open, rows: &[&Row]) -> String {
    let name = |row: &Row| format!("{}{}", of_drift(comparison, row), series_of(row.endpoint, row.metric));
    let names = listed(&rows.iter().map(|row| name(row)).collect::<Vec<_>>());
    let is_missing = rows.iter().all(|row| row.is_missing());
    let have_none = || {
        let names: Vec<String> = rows.iter().map(|row| endpoint_or_all(row.endpoint)).collect();
        let runs = count(comparison.runs.candidate, "run");
        format!("{} {} no requests in {runs}", listed(&names), if rows.len() == 1 { "has" } else { "have" })
    };
    let (one, ends) = match rows {
        [row] => (true, row.evidence.interval.map_or_else(String::new, |ends| interval_words(row.metric, ends))),
        _ => (false, String::new()),
    };
    let change = if one { format!(" ({})", change(rows[0])) } else { String::new() };
    let (exceeds, is, its_limit, it, the_limit) = if one {
        ("exceeds", "is", "its limit", "it", "the limit")
    } else {
        ("exceed", "are", "their limits", "them", "their limits")
    };
    match (state, comparison.runs.candidate) {
        (Open::Few, _) if is_missing => have_none(),
        (Open::Over, _) if is_missing => format!("{}, and more runs could rule out chance", have_none()),
        (Open::Few, 1) => format!("{names} {exceeds} {its_limit} in a single run"),
        (Open::Few, runs) => format!("{names} {exceeds} {its_limit} in {}", count(runs, "run")),
        (Open::Failing, _) => {
            format!("{names} {exceeds} {its_limit}{change}, but more runs could bring {it} back under")
        }
        (Open::Over, _) => format!("{names} {exceeds} {its_limit}{change}, and more runs could confirm {it}"),
        (Open::Close, _) if one => format!("the interval of {names} ({ends}) straddles the limit"),
        (Open::Close, _) => format!("the intervals of {names} straddle their limits"),
        (Open::Below, _) => format!(
            "{names} {exceeds} {its_limit}{change} by no more than rounding and the load generator's delays, but more runs could change that"
        ),
        (Open::Within, _) => {
            format!("{names} {is} within {its_limit}{change}, but more runs could take {it} over {the_limit}")
        }
    }
}

fn of_drift(comparison: &Comparison, row: &Row) -> &'static str {
    if comparison.is_of_drift(row) { "the drift of " } else { "" }
}

pub(crate) fn headline(comparison: &Comparison) -> String {
    let rows = unsettled_rows(comparison);
    let names: Vec<String> =
        rows.iter().map(|row| format!("{}{}", of_drift(comparison, row), series_name(row))).collect();
    let shown = match &names[..] {
        [first, _, _, ..] => format!("{first} and {} more", names.len() - 1),
        few => listed(few),
    };
    match (comparison.verdict, names.len()) {
        (Verdict::Inconclusive, 0) => UNDETECTED.to_owned(),
        (_, 0) if is_only_settled(comparison) => detectable(comparison).map_or_else(String::new, hidden_by_noise),
        (_, 0) => String::new(),
        (Verdict::Inconclusive, 1) => format!("noise may be hiding a {shown} regression"),
        (Verdict::Inconclusive, _) => format!("noise may be hiding regressions of {shown}"),
        (Verdict::Pass, 1) => format!("inconclusive: noise may be hiding a {shown} regression"),
        (Verdict::Pass, _) => format!("inconclusive: noise may be hiding regressions of {shown}"),
        (Verdict::Fail, _) => format!("inconclusive: noise could change the verdict on {shown}"),
    }
}

/// What weakens the verdict most, for the headline: `the machine was 90% busy`. Empty if nothing does.
pub(crate) fn weakness(report: &Report) -> String {
    let Sides { baseline, candidate } = report.provenance;
    let comparison = report.comparison;
    let is_fail = comparison.verdict == Verdict::Fail;
    // A neighbour slows the side beside which it ran: a false FAIL if that is the candidate, else a false PASS.
    let (busiest_pct, machine) = match (comparison.paired, is_fail) {
        (true, _) => (usage::busiest_pct(candidate).max(usage::busiest_pct(baseline)), "the machine"),
        (false, true) => (usage::busiest_pct(candidate), "the machine"),
        (false, false) => (usage::busiest_pct(baseline), "the baseline's machine"),
    };
    let others: Vec<String> = other_circumstances(baseline, candidate).into_iter().map(str::to_owned).collect();
    let is_other = !comparison.paired && !others.is_empty();
    let is_stored = is_fail && !comparison.paired && report.confirmation.is_none() && comparison.has_failed_itself();
    let is_unconfirmed = is_stored && report.background.is_hosted_runner;
    // A new version of Locust or Python makes less of a difference than another session.
    let is_same_machine = baseline.machine == candidate.machine;
    if busiest_pct > 0 {
        format!("{machine} was {busiest_pct}% busy")
    } else if is_unconfirmed && (is_same_machine || !is_other) {
        UNCONFIRMED.to_owned()
    } else if is_other {
        format!("another {} than the baseline's", listed(&others))
    } else {
        String::new()
    }
}

const UNCONFIRMED: &str = "not confirmed: comparing with stored numbers is wrong 1 time in 16 on hosted runners";

pub(crate) fn trust(report: &Report) -> &'static str {
    let Sides { baseline, candidate } = report.provenance;
    let is_weakened = !report.warnings.is_empty()
        || !report.file_warnings.is_empty()
        || !unjudged_endpoints(report.comparison).is_empty()
        || !usage::note(baseline, candidate).is_empty();
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
        "Both sides were measured alternately on this machine."
    } else if baseline.machine.is_none() {
        "It is not known where the baseline was measured."
    } else if !baseline.locust.is_empty() && place(baseline) == place(candidate) {
        "Same machine, Locust, Python and locustfile as the baseline."
    } else {
        ""
    }
}
