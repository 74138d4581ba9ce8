//! The one line that answers first: the verdict, the worst finding in numbers, and what else. Every format shows this one.

use std::fmt;

use judge::baseline::comparability::other_circumstances;
use judge::model::limits::JUDGED;
use judge::model::run::Metric;
use judge::model::text::endpoint_shown;
use judge::verdict::compare::{Comparison, Verdict};
use judge::verdict::decision::{FewSamples, Presence, Row};

use crate::view::confirmation::{Confirmation, Stored};
use crate::view::content::{Report, Sides, by_severity, endpoint_groups, findings};
use crate::view::further::{drift_headline, exceptions_headline};
use crate::view::words::{
    Status, count, limit_text, listed, percent, series_name, short_change, shown_commit, unit_of_value, value,
    verdict_word,
};

/// The headline of a report, in the parts that a page may show in different sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headline {
    /// `PASS`, `FAIL`, or `FAIL, confirmed`.
    pub word: &'static str,
    /// The worst finding, or the p95 where nothing is over its limit.
    pub found: String,
    /// The other findings, and the evidence that the verdict rests on.
    pub also: Vec<String>,
}

impl fmt::Display for Headline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.word, self.sentence())
    }
}

impl Report<'_> {
    /// Returns the headline, which is the same in every format.
    pub fn headline(&self) -> Headline {
        let mut headline = Headline::of(self.comparison);
        match self.confirmation {
            Some(Confirmation::Measured(stored)) => headline.lead_with_rounds(self, stored),
            Some(Confirmation::Impossible(_)) => headline.word = "FAIL, not confirmed",
            None => headline.also.extend(self.other_circumstances()),
        }
        headline
    }

    /// Says of a PASS that it rests on numbers of other circumstances, where a regression may hide.
    fn other_circumstances(&self) -> Option<String> {
        let Sides { baseline, candidate } = self.provenance;
        let others = other_circumstances(baseline, candidate);
        let rests_on_them = self.comparison.verdict == Verdict::Pass && !self.comparison.paired && !others.is_empty();
        let others: Vec<String> = others.into_iter().map(str::to_owned).collect();
        rests_on_them.then(|| format!("the baseline was measured with another {}", listed(&others, " and ")))
    }

    /// Returns the headline of the stored numbers, where this report is about the rounds that were to confirm it.
    pub fn stored_headline(&self) -> Option<Headline> {
        self.stored().map(|stored| Headline::of(stored.comparison))
    }

    /// Returns the headline without its first word.
    pub fn sentence(&self) -> String {
        self.headline().sentence()
    }
}

impl Headline {
    /// Returns the headline of a comparison.
    pub fn of(comparison: &Comparison) -> Headline {
        let (mut found, mut also) = match comparison.verdict {
            Verdict::Fail => of_fail(comparison),
            Verdict::Pass => of_pass(comparison),
        };
        match drift_headline(comparison) {
            Some(drift) if found.is_empty() => found = drift,
            drift => also.extend(drift),
        }
        also.extend(exceptions_headline(comparison));
        also.extend(inconclusive(comparison));
        let p95 = comparison.total_row(Metric::P95);
        if let Some(FewSamples { requests, samples }) = p95.and_then(|row| row.evidence.few_samples) {
            also.push(format!("p95 rests on only {samples} of {}", count(requests, "request")));
        }
        if !comparison.cannot_fail.is_empty() {
            let metrics: Vec<&str> = comparison.cannot_fail.iter().map(|metric| metric.name()).collect();
            also.push(format!("the gate cannot fail on {}", metrics.join(" and ")));
        }
        Headline { word: verdict_word(comparison.verdict), found, also }
    }

    /// Says first what the rounds made of the stored numbers' FAIL.
    fn lead_with_rounds(&mut self, report: &Report, stored: &Stored) {
        let commit = shown_commit(&report.provenance.baseline.commit, false);
        let rounds = count(report.comparison.runs.candidate, "round");
        match report.comparison.verdict {
            Verdict::Fail => {
                self.word = "FAIL, confirmed";
                self.also.insert(0, format!("against the baseline's commit {commit} on this machine ({rounds})"));
            }
            Verdict::Pass => {
                let measured = format!("against commit {commit} on this machine ({rounds}): {}", self.found);
                self.also.insert(0, measured);
                self.found = format!("not confirmed; {}", cause(report.comparison, stored.comparison));
            }
        }
    }

    /// Returns the headline without its word.
    pub fn sentence(&self) -> String {
        let mut parts = vec![self.found.clone()];
        parts.extend(self.also.iter().cloned());
        parts.join("; ")
    }
}

/// Says why the stored numbers failed, by what the baseline's own commit does now where it was worst.
fn cause(rounds: &Comparison, stored: &Comparison) -> String {
    let Some(worst) = first_failure(stored) else {
        return "what is MISSING is missing at the baseline's own commit too".to_owned();
    };
    let is_same = |row: &&Row| row.metric == worst.metric && row.endpoint == worst.endpoint;
    let now = rounds.total.iter().chain(&rounds.endpoints).find(is_same);
    let (Some(then), Some(now)) = (worst.presence.baseline(), now.and_then(|row| row.presence.baseline())) else {
        return format!("the baseline's own commit has no {} here either", series_name(worst));
    };
    let unit = unit_of_value(worst.metric);
    let [then_shown, now_shown] = [then, now].map(|number| format!("{}{unit}", value(worst.metric, number)));
    let own = format!("its own commit: {} {then_shown} then, {now_shown} now", series_name(worst));
    let is_worse = worst.metric.worsening(now - then) > 0.0;
    match worst.metric {
        Metric::ErrorRate if is_worse => format!("the baseline's commit fails more often too ({own})"),
        _ if is_worse => format!("the machine is slower than when the baseline was recorded ({own})"),
        _ => format!("measured in turn the two commits do not differ so ({own})"),
    }
}

/// Says that noise could change the verdict.
fn inconclusive(comparison: &Comparison) -> Option<String> {
    let of_drift = |row: &Row| if comparison.is_of_drift(row) { "the drift of " } else { "" };
    let name = |row: &Row| format!("{}{}", of_drift(row), series_name(row));
    let unsettled: Vec<String> = comparison.unsettled().map(name).collect();
    if unsettled.is_empty() {
        return None;
    }
    let names = listed(&unsettled, " and ");
    Some(match comparison.verdict {
        Verdict::Pass if unsettled.len() == 1 => format!("inconclusive: noise may be hiding a {names} regression"),
        Verdict::Pass => format!("inconclusive: noise may be hiding regressions of {names}"),
        Verdict::Fail => format!("inconclusive: noise could change the verdict on {names}"),
    })
}

/// The failures of a comparison: of all requests together in the order of the metrics, of endpoints worst first.
struct Failures<'a> {
    total: Vec<&'a Row<'a>>,
    of_endpoints: Vec<&'a Row<'a>>,
    missing: Vec<&'a Row<'a>>,
}

impl<'a> Failures<'a> {
    fn of(comparison: &'a Comparison<'a>) -> Failures<'a> {
        let failed: Vec<&Row> = findings(comparison).into_iter().filter(|row| row.is_failure()).collect();
        let (missing, over): (Vec<&Row>, Vec<&Row>) = failed.into_iter().partition(|row| row.is_missing());
        let (mut total, of_endpoints): (Vec<&Row>, Vec<&Row>) =
            over.into_iter().partition(|row| row.endpoint.is_none());
        total.sort_by_key(|row| JUDGED.iter().position(|metric| *metric == row.metric));
        Failures { total, of_endpoints, missing }
    }

    fn first(&self) -> Option<&'a Row<'a>> {
        self.total.first().or(self.of_endpoints.first()).copied()
    }
}

/// Returns the failure that the headline has in numbers; `None` where nothing failed but what is missing.
pub fn first_failure<'a>(comparison: &'a Comparison<'a>) -> Option<&'a Row<'a>> {
    Failures::of(comparison).first()
}

/// Returns the worst failure in numbers, and what else failed.
fn of_fail(comparison: &Comparison) -> (String, Vec<String>) {
    let failures = Failures::of(comparison);
    let mut also = Vec::new();
    let first = failures.first();
    for row in failures.total.iter().skip(1) {
        also.push(format!("{} {} too", row.metric, short_change(row)));
    }
    also.extend(failed_endpoints(comparison, &failures.of_endpoints, first));
    let missing: Vec<String> = failures.missing.iter().filter_map(|row| row.endpoint).map(endpoint_shown).collect();
    let missing = missing_endpoints(&missing);
    match (first, missing) {
        (Some(first), missing) => {
            also.extend(missing);
            (in_numbers(first), also)
        }
        (None, missing) => (missing.unwrap_or_default(), also),
    }
}

/// Says how many endpoints failed, and which is the worst.
fn failed_endpoints(comparison: &Comparison, failed: &[&Row], first: Option<&Row>) -> Option<String> {
    let worst = failed.first()?;
    let mut names: Vec<&str> = failed.iter().filter_map(|row| row.endpoint).collect();
    names.sort_unstable();
    names.dedup();
    let of_all = format!("{} of {}", names.len(), count(endpoint_groups(comparison).len(), "endpoint"));
    if first.is_some_and(|first| first.endpoint.is_some()) {
        return Some(of_all);
    }
    let metric = if worst.metric == Metric::P95 { String::new() } else { format!(" {}", worst.metric) };
    let endpoint = worst.endpoint.map_or_else(String::new, endpoint_shown);
    let worst_word = if names.len() > 1 { ", worst" } else { ":" };
    Some(format!("{of_all}{worst_word} {endpoint}{metric} {}", change_or_value(worst)))
}

/// Names the endpoints that had requests in the baseline and have none now.
fn missing_endpoints(names: &[String]) -> Option<String> {
    match names {
        [] => None,
        [name] => Some(format!("{name} is MISSING: no requests in this run")),
        [name, more @ ..] => Some(format!("{name} and {} more are MISSING: no requests in this run", more.len())),
    }
}

/// Returns the p95 of all requests together, and how the metrics compare with their limits.
fn of_pass(comparison: &Comparison) -> (String, Vec<String>) {
    let p95 = comparison.total_row(Metric::P95);
    let p95 = p95.map_or_else(String::new, |row| {
        let change = change_or_value(row);
        let limit = row.limit.map(|limit| limit_text(row.metric, limit));
        match (limit, Status::of(row)) {
            (None, _) => format!("p95 {change} (no limit)"),
            (Some(limit), Status::BelowResolution) => {
                format!("p95 {change} (limit {limit}, but no more than rounding)")
            }
            (Some(limit), _) => format!("p95 {change} (limit {limit})"),
        }
    });
    let warnings = findings(comparison);
    let is_waived = comparison.total.iter().chain(&comparison.endpoints).any(Row::is_waived);
    let within = match warnings.first() {
        _ if is_waived => "no blocking limit is exceeded beyond what is accepted",
        Some(_) => "no blocking limit is exceeded",
        None => "all metrics within their limits",
    };
    let found = format!("{p95}, {within}");
    let Some(worst) = warnings.first() else { return (found, Vec::new()) };
    let worst_word = if warnings.len() > 1 { ", worst" } else { ":" };
    let number = count(warnings.len(), "warning");
    let worst = if worst.is_missing() {
        format!("{} is MISSING", worst.endpoint.map_or_else(String::new, endpoint_shown))
    } else {
        format!("{} {}", series_name(worst), change_or_value(worst))
    };
    (found, vec![format!("{number}{worst_word} {worst}")])
}

/// Returns the change or, where there is none to take, the value.
fn change_or_value(row: &Row) -> String {
    match (row.change(), row.presence.candidate()) {
        (None, Some(candidate)) => format!("{}{}", value(row.metric, candidate), unit_of_value(row.metric)),
        _ => short_change(row),
    }
}

/// Returns a finding in numbers: `p95 is 50% slower, 181 → 272 ms (limit +20%)`.
fn in_numbers(row: &Row) -> String {
    let series = series_name(row);
    let limit = row.limit.map_or_else(String::new, |limit| format!(" (limit {})", limit_text(row.metric, limit)));
    let unit = unit_of_value(row.metric);
    let shown = |number: f64| value(row.metric, number);
    match row.presence {
        Presence::Both { baseline, candidate } => {
            let values = format!("{} → {}{unit}{limit}", shown(baseline), shown(candidate));
            match row.change() {
                Some(change) if row.metric.worsening(change) > 0.0 => match row.metric {
                    Metric::ErrorRate => format!("{series} rose by {}, {values}", percent(row)),
                    Metric::RequestsPerSec => format!("{series} fell by {}, {values}", percent(row)),
                    _ => format!("{series} is {} slower, {values}", percent(row)),
                },
                _ => format!("{series} went {values}"),
            }
        }
        Presence::New { candidate } => format!("{series} is {}{unit}{limit}", shown(candidate)),
        Presence::Missing { .. } => format!("{series} is MISSING"),
    }
}

/// Returns the endpoint to look at first: the worst that FAILs or WARNs.
pub fn worst_endpoint<'a>(comparison: &'a Comparison<'a>) -> Option<&'a Row<'a>> {
    let rows = comparison.endpoints.iter().filter(|row| Status::of(row).is_finding());
    rows.min_by(|a, b| by_severity(a, b))
}
