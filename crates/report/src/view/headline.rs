//! The headline: verdict, worst finding, and the rest in short.

use std::fmt::{self, Write as _};

use judge::model::limits::{JUDGED, Limit};
use judge::model::run::Metric;
use judge::model::text::{cut, endpoint_shown};
use judge::verdict::compare::{Comparison, Verdict};
use judge::verdict::decision::{Decision, FewSamples, Presence, Reason, Row, Shift};
use judge::verdict::endpoints::Coverage;
use judge::verdict::traffic::TrafficChange;
use unicode_width::UnicodeWidthStr as _;

use crate::view::input::{Confirmation, Report, Sides, Stored};
use crate::view::series::{
    endpoint_groups, few_answers_text, findings, new_endpoints, requests_needed, severity, unjudged_endpoints,
};
use crate::view::words::{
    Status, both, count, limit_text, listed, percent, series_name, short_change, short_change_text, shown_commit,
    value, verdict_word, with_unit,
};
use crate::view::{drift, evidence, exceptions};

/// The number of columns of a verdict line: two lines of a terminal. What does not fit is in the report's other parts.
pub(crate) const VERDICT_COLUMNS: usize = 160;

/// The number of columns to which the first of the other parts may be cut.
const LEAST_PART: usize = 40;

const NAME_COLUMNS: usize = 32;

/// The headline, in the parts that a page shows in different sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headline {
    /// `PASS`, `FAIL`, or `FAIL, confirmed`.
    pub word: &'static str,
    /// How far the verdict goes, behind its word: `(the machine was 90% busy)`. Mostly empty.
    pub(crate) qualifier: String,
    /// The worst finding, or the p95 if nothing is over its limit.
    pub(crate) found: String,
    /// The other findings, and the evidence that the verdict rests on, the most important first.
    pub(crate) also: Vec<String>,
    pub(crate) failed: Option<Metric>,
}

impl fmt::Display for Headline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.words(), self.sentence())
    }
}

impl Headline {
    pub(crate) fn of_report(report: &Report) -> Headline {
        let mut headline = Headline::of(report.comparison);
        match report.confirmation {
            Some(Confirmation::Measured(stored)) => headline.lead_with_rounds(report, stored),
            Some(Confirmation::Impossible(_)) => headline.word = "FAIL, not confirmed",
            None => {}
        }
        if let Some(Sides { baseline, candidate }) = report.hosts() {
            headline.also.insert(0, format!("{candidate} against {baseline}"));
        }
        if let [first, others @ ..] = &report.file_warnings[..] {
            let more = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
            headline.also.insert(0, format!("{first}{more}"));
        }
        let weakness = evidence::weakness(report);
        // It goes behind the worst finding if the place behind the word is taken.
        if headline.qualifier.is_empty() && !weakness.is_empty() {
            headline.qualifier = format!("({weakness})");
        } else if !weakness.is_empty() {
            headline.also.insert(0, weakness);
        }
        headline
    }

    pub(crate) fn of(comparison: &Comparison) -> Headline {
        let mut also = match comparison.verdict {
            Verdict::Fail => of_fail(comparison),
            Verdict::Pass | Verdict::Inconclusive => of_pass(comparison),
        };
        also.extend([drift::headline(comparison), exceptions::headline(comparison), evidence::headline(comparison)]);
        let p95 = comparison.total_row(Metric::P95);
        if let Some(FewSamples { requests, samples }) = p95.and_then(|row| row.evidence.few_samples) {
            also.push(format!("p95 is based on only {samples} of {}", count(requests, "request")));
        }
        if !comparison.cannot_fail.is_empty() {
            let metrics: Vec<&str> = comparison.cannot_fail.iter().map(|metric| metric.name()).collect();
            also.push(format!("the gate cannot fail on {}", metrics.join(" and ")));
        }
        also.extend(new_endpoints(comparison).map(|new| format!("NEW {new}")));
        also.retain(|part| !part.is_empty());
        let found = if also.is_empty() { String::new() } else { also.remove(0) };
        let failed = FailedRows::of(comparison).first().map(|row| row.metric);
        Headline { word: verdict_word(comparison.verdict), qualifier: coverage(comparison), found, also, failed }
    }

    fn lead_with_rounds(&mut self, report: &Report, stored: &Stored) {
        let commit = shown_commit(&report.provenance.baseline.commit, false);
        let rounds = count(report.comparison.runs.candidate, "round");
        match report.comparison.verdict {
            Verdict::Fail => {
                self.word = "FAIL, confirmed";
                // The endpoint says more, if there is no room for both.
                let place = self.also.len().min(1);
                self.also.insert(place, format!("against the baseline's commit {commit} here ({rounds})"));
            }
            Verdict::Pass | Verdict::Inconclusive => {
                let measured = format!("against commit {commit} on this machine ({rounds}): {}", self.found);
                self.also.insert(0, measured);
                self.found =
                    format!("the FAIL is not confirmed; {}", cause(report.comparison, stored.comparison, &commit));
            }
        }
    }

    /// The word with its qualifier: `FAIL (the machine was 90% busy)`.
    pub fn words(&self) -> String {
        format!("{} {}", self.word, self.qualifier).trim_end().to_owned()
    }

    /// The headline without its word, as far as a verdict line has room.
    pub fn sentence(&self) -> String {
        let room = VERDICT_COLUMNS.saturating_sub(self.words().width() + ": ".len());
        let mut sentence = cut(&self.found, room);
        for (place, part) in self.also.iter().enumerate() {
            let left = room.saturating_sub(sentence.width() + "; ".len());
            // Without room for all of it, what is before its last colon says enough.
            let clause = part.rsplit_once(": ").map_or("", |(clause, _)| clause);
            let is_shown = |text: &&str| !text.is_empty() && text.width() <= left;
            if let Some(shown) = [part.as_str(), clause].into_iter().find(is_shown) {
                let _ = write!(sentence, "; {shown}");
            } else if place == 0 && left >= LEAST_PART {
                let _ = write!(sentence, "; {}", cut(part, left));
            }
        }
        sentence
    }
}

/// Why the stored numbers failed, by how the baseline's commit does now in the series that was worst.
fn cause(rounds: &Comparison, stored: &Comparison, commit: &str) -> String {
    let failures = FailedRows::of(stored);
    let Some(worst) = failures.first() else {
        let what = if failures.missing.is_empty() {
            "the response sizes and the shares of the load are the same at the baseline's commit"
        } else {
            "the missing endpoint gets no requests at the baseline's commit either"
        };
        return what.to_owned();
    };
    let now = rounds.row(worst.endpoint, worst.metric).and_then(|row| row.presence.baseline());
    let (Some(then), Some(now)) = (worst.presence.baseline(), now) else {
        return format!("the baseline's commit has no {} here either", series_name(worst));
    };
    let [then_shown, now_shown] = [then, now].map(|number| with_unit(worst.metric, number));
    let own = format!("{commit}: {} {then_shown} then, {now_shown} now", series_name(worst));
    let is_worse = worst.metric.worsening(now - then) > 0.0;
    match worst.metric {
        Metric::ErrorRate if is_worse => format!("the baseline's commit fails more often too ({own})"),
        _ if is_worse => format!("the machine is slower than when the baseline was recorded ({own})"),
        _ => format!("measured side by side, the two commits do not differ by that much ({own})"),
    }
}

/// The failures of a comparison: for all requests together in the order of the metrics, for endpoints worst first.
struct FailedRows<'a> {
    total: Vec<&'a Row<'a>>,
    endpoints: Vec<&'a Row<'a>>,
    missing: Vec<&'a Row<'a>>,
}

impl<'a> FailedRows<'a> {
    fn of(comparison: &'a Comparison<'a>) -> FailedRows<'a> {
        let failed = findings(comparison).into_iter().filter(|row| row.is_failure());
        let (missing, over): (Vec<&Row>, Vec<&Row>) = failed.partition(|row| row.is_missing());
        let (mut total, endpoints): (Vec<&Row>, Vec<&Row>) = over.into_iter().partition(|row| row.endpoint.is_none());
        total.sort_by_key(|row| JUDGED.iter().position(|metric| *metric == row.metric));
        FailedRows { total, endpoints, missing }
    }

    /// The failure that the headline has in numbers; `None` if nothing failed but missing endpoints.
    fn first(&self) -> Option<&'a Row<'a>> {
        self.total.first().or(self.endpoints.first()).copied()
    }
}

fn of_fail(comparison: &Comparison) -> Vec<String> {
    let failures = FailedRows::of(comparison);
    let reason = failures.first().and_then(Row::reason);
    if let Some(Reason::FewAnswers(few)) = reason {
        let requests = few_answers_text(few);
        // The median is worth more than a percentile of so few requests.
        return vec![match comparison.total_row(Metric::P50).map(|row| row.presence) {
            Some(Presence::Both { baseline, candidate }) => {
                let [before, now] = [baseline, candidate].map(|ms| value(Metric::P50, ms));
                format!("{requests}; the median response takes {now} ms ({before} ms in the baseline)")
            }
            _ => requests,
        }];
    }
    let mut parts = vec![failures.first().map(in_numbers).unwrap_or_default()];
    let others: Vec<String> =
        failures.total.iter().skip(1).map(|row| format!("{} {}", row.metric, short_change(row))).collect();
    if !others.is_empty() {
        parts.push(format!("{} too", listed(&others)));
    }
    parts.extend([missing_endpoints(&failures.missing), failed_endpoints(comparison, &failures)]);
    if comparison.strict {
        parts.extend(comparison.traffic.iter().map(TrafficChange::text));
    }
    parts
}

fn failed_endpoints(comparison: &Comparison, failures: &FailedRows) -> String {
    let Some(worst) = failures.endpoints.first() else { return String::new() };
    let mut names: Vec<&str> = failures.endpoints.iter().filter_map(|row| row.endpoint).collect();
    names.sort_unstable();
    names.dedup();
    let of_all = format!("{} of {}", names.len(), count(endpoint_groups(comparison).count(), "endpoint"));
    if failures.total.is_empty() {
        return of_all;
    }
    let metric = if worst.metric == Metric::P95 { String::new() } else { format!(" {}", worst.metric) };
    let endpoint = worst.endpoint.map_or_else(String::new, |name| cut(&endpoint_shown(name), NAME_COLUMNS));
    let worst_word = if names.len() > 1 { ", worst" } else { ":" };
    format!("{of_all}{worst_word} {endpoint}{metric} {}", change_or_value(worst))
}

fn missing_endpoints(missing: &[&Row]) -> String {
    let names: Vec<&str> = missing.iter().filter_map(|row| row.endpoint).collect();
    let name = |name| cut(&endpoint_shown(name), NAME_COLUMNS);
    match names[..] {
        [] => String::new(),
        [only] => format!("{} is MISSING: no requests", name(only)),
        [first, ..] => format!("{} and {} more are MISSING: no requests", name(first), names.len() - 1),
    }
}

/// How many endpoints a verdict is about that is no FAIL: `for 29 of 30 endpoints`. Empty if it is about all.
fn coverage(comparison: &Comparison) -> String {
    let Coverage { endpoints, unjudged } = &comparison.coverage;
    if comparison.verdict == Verdict::Fail || unjudged.is_empty() {
        return String::new();
    }
    let judged = match endpoints - unjudged.len() {
        0 => "none".to_owned(),
        some => some.to_string(),
    };
    format!("for {judged} of {}", count(*endpoints, "endpoint"))
}

fn of_pass(comparison: &Comparison) -> Vec<String> {
    let warnings = findings(comparison);
    let unjudged = unjudged_endpoints(comparison);
    // Behind the p95 of an endpoint it could be taken for the same.
    let name = if unjudged.is_empty() { "p95" } else { "p95 of all requests" };
    let p95 = comparison.total_row(Metric::P95).map_or_else(String::new, |row| of_passed_p95(row, name));
    let is_waived = comparison.total.iter().chain(&comparison.endpoints).any(Row::is_waived);
    let number = warnings.len() + comparison.traffic.len();
    let within = match number {
        _ if comparison.verdict == Verdict::Inconclusive => "",
        _ if is_waived => ", within limits except for accepted exceptions",
        1.. => ", no blocking limit is exceeded",
        0 if unjudged.is_empty() && coverage(comparison).is_empty() => ", all metrics within their limits",
        0 => "",
    };
    let worst = warnings.first().map(|worst| match worst.endpoint {
        Some(endpoint) if worst.is_missing() => format!("{} is MISSING", endpoint_shown(endpoint)),
        _ => format!("{} {}", series_name(worst), change_or_value(worst)),
    });
    let of_traffic = |change: &TrafficChange| {
        let guess = if change.may_be_error_page() { " (an error page?)" } else { "" };
        format!("{} {}{guess}", cut(&endpoint_shown(change.endpoint), NAME_COLUMNS), change.change())
    };
    let warning = worst.or_else(|| comparison.traffic.first().map(of_traffic)).map_or_else(String::new, |worst| {
        let worst_word = if number > 1 { ", worst" } else { ":" };
        format!("{}{worst_word} {worst}", count(number, "warning"))
    });
    let mut parts = vec![could_not_be_judged(&unjudged), format!("{p95}{within}"), warning];
    // The latency of other answers means little.
    if !comparison.traffic.is_empty() {
        parts.swap(1, 2);
    }
    parts.extend([doubted(comparison), unnamed(comparison, &unjudged)]);
    parts
}

/// The other endpoints that could not be judged, which are not over their limits.
fn unnamed(comparison: &Comparison, named: &[&Row]) -> String {
    let is_named = |name: &str| named.iter().any(|row| row.endpoint == Some(name));
    let others = comparison.coverage.unjudged.iter().filter(|name| !is_named(name));
    let others: Vec<String> = others.map(|name| cut(&endpoint_shown(name), NAME_COLUMNS)).collect();
    match &others[..] {
        [] => String::new(),
        [only] => format!("{only} is not judged"),
        [first, _, _, ..] => format!("{first} and {} more are not judged", others.len() - 1),
        few => format!("{} are not judged", listed(few)),
    }
}

/// `GET /agents could not be judged: p95 +84% (limit +20%), 60 requests, 100 needed`.
fn could_not_be_judged(unjudged: &[&Row]) -> String {
    let Some((worst, endpoint)) = unjudged.first().and_then(|row| Some((row, row.endpoint?))) else {
        return String::new();
    };
    let name = cut(&endpoint_shown(endpoint), NAME_COLUMNS);
    let more = if unjudged.len() > 1 { format!(" and {} more", unjudged.len() - 1) } else { String::new() };
    let limit = worst.limit.map_or_else(String::new, |limit| format!(" (limit {})", limit_text(worst.metric, limit)));
    let needed = match (worst.evidence.few_samples, requests_needed(worst.metric)) {
        (Some(FewSamples { requests, .. }), Some(needed)) => {
            format!(", {} a run, {needed} needed", count(requests, "request"))
        }
        (Some(FewSamples { requests, .. }), None) => format!(", {} a run", count(requests, "request")),
        (None, _) => ", one run on each side".to_owned(),
    };
    format!("{name}{more} could not be judged: {} {}{limit}{needed}", worst.metric, change_or_value(worst))
}

fn doubted(comparison: &Comparison) -> String {
    let is_noise = |row: &Row| row.decision == Some(Decision::InDoubt(Reason::NotSignificant));
    let is_doubted = |row: &&Row| is_noise(row) || row.decision == Some(Decision::InDoubt(Reason::InGap));
    let doubted: Vec<&Row> = endpoint_groups(comparison)
        .filter_map(|rows| rows.iter().filter(is_doubted).min_by_key(|row| severity(row)))
        .collect();
    let Some(first) = doubted.iter().min_by_key(|row| severity(row)) else { return String::new() };
    let why = if doubted.iter().all(|row| is_noise(row)) { "but within noise" } else { "without enough evidence" };
    let (are, worst_word) = match doubted.len() {
        1 => ("1 endpoint is over its limit".to_owned(), ":"),
        all => (format!("{all} endpoints are over their limits"), ", worst"),
    };
    format!("{are}, {why}{worst_word} {} {}", series_name(first), change_or_value(first))
}

fn of_passed_p95(row: &Row, name: &str) -> String {
    if is_gain(row)
        && let Presence::Both { baseline, candidate } = row.presence
    {
        return format!("{name} fell {}, {}", percent(row), both(row.metric, baseline, candidate));
    }
    let limit = match row.limit.map(|limit| limit_text(row.metric, limit)) {
        None => "no limit".to_owned(),
        Some(limit) if Status::of(row) == Status::BelowResolution => {
            format!("limit {limit}, but no more than rounding")
        }
        Some(limit) => format!("limit {limit}"),
    };
    format!("{name} {} ({limit})", change_or_value(row))
}

/// Whether a latency fell by more than noise explains, and by enough to notice.
fn is_gain(row: &Row) -> bool {
    row.change().is_some_and(|change| change <= LEAST_GAIN) && row.evidence.interval.is_some_and(|ends| ends.high < 0.0)
}

const LEAST_GAIN: f64 = -5.0;

fn change_or_value(row: &Row) -> String {
    match (row.change(), row.presence.candidate()) {
        (None, Some(candidate)) => with_unit(row.metric, candidate),
        _ => short_change(row),
    }
}

/// A finding in numbers: `p95 rose 50%, 181 → 272 ms (limit +20%)`.
fn in_numbers(row: &Row) -> String {
    let series = series_name(row);
    if let (Some(Reason::Shift(shift)), Some(limit)) = (row.reason(), row.limit) {
        return shift_in_numbers(shift, limit);
    }
    let limit = row.limit.map_or_else(String::new, |limit| format!(" (limit {})", limit_text(row.metric, limit)));
    match row.presence {
        Presence::Both { baseline, candidate } => {
            let values = format!("{}{limit}", both(row.metric, baseline, candidate));
            match row.change() {
                Some(change) if change > 0.0 => format!("{series} rose {}, {values}", percent(row)),
                Some(change) if change < 0.0 => format!("{series} fell {}, {values}", percent(row)),
                _ => format!("{series} went {values}"),
            }
        }
        Presence::New { candidate } => format!("{series} is {}{limit}", with_unit(row.metric, candidate)),
        Presence::Missing { .. } => format!("{series} is MISSING"),
    }
}

/// The lower percentile that is over the limit of p95, which itself may not have changed at all.
fn shift_in_numbers(shift: Shift, limit: &Limit) -> String {
    let Shift { percentile, baseline_ms, candidate_ms } = shift;
    let change = short_change_text(Metric::P95, 100.0 * (candidate_ms / baseline_ms - 1.0));
    format!(
        "p{percentile} rose {}, {} (limit of p95 {})",
        change.trim_start_matches('+'),
        both(Metric::P95, baseline_ms, candidate_ms),
        limit_text(Metric::P95, limit)
    )
}
