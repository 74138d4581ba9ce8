//! What a report tells beside its rows: the drift since an earlier baseline, the accepted exceptions, and limits that are
//! nearly used up.

use judge::baseline::chain::Movement;
use judge::model::limits::Accepted;
use judge::model::program;
use judge::model::text::{cut, endpoint_shown, printable};
use judge::verdict::accepted::{Applied, State};
use judge::verdict::compare::Comparison;
use judge::verdict::compare::{Anchor, Drift};
use judge::verdict::decision::{Decision, Row};

use crate::history::timeline::{author, why};
use crate::view::words::{
    Finding, Status, change, count, limit_text, listed, movement_text, over_limit, series_name, short_change,
};

/// The number of accepted updates that a finding names.
pub const UPDATES: usize = 10;

/// The number of series that a drift names: a service that got slower did so everywhere.
const DRIFTED: usize = 6;

/// The number of columns of a reason, and of the name of an anchor.
const REASON_COLUMNS: usize = 200;

/// The share of a limit from which on a report says how much of it is used up.
const MOSTLY: f64 = 0.5;

/// Returns the findings of the drift, what exceptions accept, and what is wrong with exceptions.
pub fn findings(comparison: &Comparison) -> Vec<Finding> {
    let mut findings = comparison.drift.as_ref().map(drift_findings).unwrap_or_default();
    for row in comparison.total.iter().chain(&comparison.endpoints).filter(|row| row.is_waived()) {
        let text = match row.accepted {
            Some(accepted) => format!("{}; {}", over_limit(row), accepted_text(accepted)),
            None => over_limit(row),
        };
        findings.push(Finding { status: Status::Waived, text });
    }
    let warn = |text: String| Finding { status: Status::Warn, text };
    for unused in comparison.unused_exceptions() {
        findings.push(warn(format!(
            "the exception for {} is not used, since it is within its limit or not judged: remove it from perf.toml",
            accepted_series(unused)
        )));
    }
    findings
}

/// Returns what is over its limit of drift.
pub fn drift_findings(drift: &Drift) -> Vec<Finding> {
    let rows: Vec<&Row> = drift.rows.iter().filter(|row| row.is_finding()).collect();
    let shown = rows.iter().take(DRIFTED);
    let mut found: Vec<Finding> =
        shown.map(|row| Finding { status: Status::of(row), text: drift_text(drift, row) }).collect();
    if let [_, ..] = &rows[rows.len().min(DRIFTED)..] {
        let more = rows.len() - DRIFTED;
        let status = rows.iter().map(|row| Status::of(row)).find(|status| *status == Status::Fail);
        let text = format!("drift since {}: {more} more series are over their limits", anchor_name(&drift.anchor));
        found.push(Finding { status: status.unwrap_or(Status::Warn), text });
    }
    found
}

/// Returns the notes on exceptions whose end is near or over, and on limits that are nearly used up.
pub fn notes(comparison: &Comparison) -> Vec<String> {
    let mut notes = Vec::new();
    for applied @ Applied { accepted, state } in &comparison.exceptions {
        let (series, until) = (accepted_series(accepted), accepted.until);
        if *state == State::Expired {
            notes.push(format!(
                "the exception for {series} ended on {until}, and the limit holds again: remove it from perf.toml"
            ));
        } else if applied.ends_soon() {
            let left = match accepted.days_left {
                0 => "today".to_owned(),
                days => format!("in {}", count(usize::try_from(days).unwrap_or(0), "day")),
            };
            notes.push(format!("the exception for {series} ends {left} ({until}): {}", reason(accepted)));
        }
    }
    if !comparison.paired {
        notes.extend(comparison.total.iter().filter_map(used_up));
    }
    notes
}

/// Says how much of its limit a metric uses up, where that is most of it and no noise.
fn used_up(row: &Row) -> Option<String> {
    let (limit, candidate) = (row.limit?, row.presence.candidate()?);
    let strain = row.limit_usage(candidate).filter(|strain| *strain > MOSTLY && row.decision == Some(Decision::Ok))?;
    let least = row.limit_usage_interval()?.low;
    let percent = 100.0 * strain;
    let (change, limit) = (change(row), limit_text(row.metric, limit));
    (least > 0.0).then(|| format!("{} uses up {percent:.0}% of its limit: {change} of {limit}", row.metric))
}

/// Returns how the drift stands, in a few words; `None` where none is judged. `since v1.0 of
/// 2026-01-03 p95 +3.1% (drift limit +25%)`.
pub fn drift_told(comparison: &Comparison) -> Option<String> {
    let drift = comparison.drift.as_ref()?;
    let told: Vec<String> = drift.rows.iter().filter(|row| row.endpoint.is_none()).map(short_drift).collect();
    (!told.is_empty()).then(|| format!("since {} {}", anchor_name(&drift.anchor), told.join(", ")))
}

fn short_drift(row: &Row) -> String {
    format!("{} {}{}", row.metric, short_change(row), drift_limit(row))
}

fn drift_limit(row: &Row) -> String {
    row.limit.map_or_else(String::new, |limit| format!(" (drift limit {})", limit_text(row.metric, limit)))
}

/// Returns the worst finding of the drift, for the headline.
pub fn drift_headline(comparison: &Comparison) -> Option<String> {
    let drift = comparison.drift.as_ref()?;
    let failure = drift.rows.iter().find(|row| row.is_failure());
    let row = failure.or_else(|| drift.rows.iter().find(|row| row.is_finding()))?;
    let updates = count(drift.anchor.updates.len(), "accepted update");
    let verb = if row.is_failure() { "drifted" } else { "drifted, which only warns:" };
    Some(format!(
        "{} {verb} {} since {}{}, by {updates}",
        series_name(row),
        short_change(row),
        anchor_name(&drift.anchor),
        drift_limit(row)
    ))
}

/// Returns what the exceptions make of a verdict, for the headline.
pub fn exceptions_headline(comparison: &Comparison) -> Option<String> {
    let mut waived = Vec::new();
    for row in comparison.total.iter().chain(&comparison.endpoints).filter(|row| row.is_waived()) {
        let until = row.accepted.map_or_else(String::new, |accepted| format!(" until {}", accepted.until));
        waived.push(format!("{} {} WAIVED{until}", series_name(row), short_change(row)));
    }
    let unused = comparison.unused_exceptions().count();
    let unused = (unused > 0).then(|| format!("{} not used", count(unused, "exception")));
    let waived = (!waived.is_empty()).then(|| listed(&waived, ", "));
    let told: Vec<String> = waived.into_iter().chain(unused).collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// Returns what is over its limit of drift, and at the first of them the accepted updates that brought it.
pub fn drift_text(drift: &Drift, row: &Row) -> String {
    let found = format!("drift since {}: {}", anchor_name(&drift.anchor), over_limit(row));
    let first = drift.rows.iter().find(|row| row.is_finding());
    if first.is_some_and(|first| (first.endpoint, first.metric) == (row.endpoint, row.metric)) {
        format!("{found}; accepted since: {}", brought(drift, row))
    } else {
        found
    }
}

/// Returns the accepted updates since the anchor, with their steps of a series.
fn brought(drift: &Drift, row: &Row) -> String {
    let Anchor { version, updates, .. } = &drift.anchor;
    let mut brought = Vec::new();
    for (place, update) in updates.iter().enumerate() {
        let before = updates.get(place + 1).unwrap_or(version);
        let step = Movement::between(&before.baseline, &update.baseline, row.endpoint, row.metric);
        let step = step.map_or_else(|| "n/a".to_owned(), |step| movement_text(row.metric, step.change));
        let commit: String = update.commit.chars().take(12).collect();
        let (author, note) = (author(update), cut(&why(update, Some(before)), 40));
        brought.push(format!("{step} by {author} on {}, \"{note}\" ({commit})", update.day));
    }
    let shown = brought[..brought.len().min(UPDATES)].join("; ");
    let more = brought.len().saturating_sub(UPDATES);
    let more = if more > 0 { format!("; and {more} more: see `{} history`", program::name()) } else { String::new() };
    if brought.is_empty() { "no update".to_owned() } else { format!("{shown}{more}") }
}

/// Returns an anchor as people know it: `v1.0 of 2026-01-03`, or its commit for a name.
pub fn anchor_name(anchor: &Anchor) -> String {
    let name =
        anchor.name.map_or_else(|| anchor.version.commit.chars().take(12).collect(), |name| cut(&printable(name), 60));
    format!("{name} of {}", anchor.version.day)
}

/// Returns an exception in words: `accepted up to +45% until 2026-12-31: full-text search, issue 812`.
pub fn accepted_text(accepted: &Accepted) -> String {
    let up_to = limit_text(accepted.metric, &accepted.up_to);
    format!("accepted up to {up_to} until {}: {}", accepted.until, reason(accepted))
}

fn reason(accepted: &Accepted) -> String {
    cut(&printable(&accepted.reason), REASON_COLUMNS)
}

fn accepted_series(accepted: &Accepted) -> String {
    let Accepted { endpoint, metric, .. } = accepted;
    format!("{metric} of {}", endpoint.as_deref().map_or_else(|| "all requests".to_owned(), endpoint_shown))
}

/// Returns what the new baseline takes over of what exceptions accept, for the command that saves it.
pub fn taken_over(comparison: &Comparison) -> Option<String> {
    let mut series = Vec::new();
    for Applied { accepted, state } in &comparison.exceptions {
        if matches!(state, State::Waived | State::Exceeded | State::InDoubt) {
            let row = comparison.row(accepted.endpoint.as_deref(), accepted.metric)?;
            let change = row.change().map_or_else(String::new, |change| movement_text(row.metric, change));
            series.push(format!("{} ({change})", accepted_series(accepted)));
        }
    }
    (!series.is_empty()).then(|| {
        format!(
            "it takes over what perf.toml only accepts for a while: {}: remove these exceptions, or they hide as much again",
            listed(&series, ", ")
        )
    })
}
