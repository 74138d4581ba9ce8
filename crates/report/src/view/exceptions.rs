//! The accepted exceptions in a report.

use judge::model::limits::Accepted;
use judge::model::text::{cut, printable};
use judge::verdict::accepted::{Exception, ExceptionState};
use judge::verdict::compare::Comparison;
use judge::verdict::decision::Row;

use crate::view::Finding;
use crate::view::words::{
    Status, change_text, count, limit_text, listed, name_of_series, over_limit, series_name, series_of, short_change,
};

const REASON_COLUMNS: usize = 200;

const NAME_COLUMNS: usize = 40;

fn waived<'a>(comparison: &'a Comparison<'a>) -> impl Iterator<Item = &'a Row<'a>> {
    comparison.total.iter().chain(&comparison.endpoints).filter(|row| row.is_waived())
}

/// The series that exceptions accept, and the exceptions that nothing needs.
pub(crate) fn findings<'a>(comparison: &Comparison<'a>) -> Vec<Finding<'a>> {
    let mut findings = Vec::new();
    for row in waived(comparison) {
        let accepted = row.accepted.map_or_else(String::new, |accepted| format!("; {}", accepted_text(accepted)));
        findings.push(Finding::new(Status::Waived, format!("{}{accepted}", over_limit(row))));
    }
    for unused in comparison.unused_exceptions() {
        let series = accepted_series(unused);
        let is_known = unused.endpoint.is_none()
            || comparison.endpoints.iter().any(|row| row.endpoint == unused.endpoint.as_deref());
        let why = if is_known {
            "the series is within its limit or not judged: remove it from perf.toml"
        } else {
            "no endpoint has exactly this name: correct or remove it in perf.toml"
        };
        let text = format!("the exception for {series} is not used, because {why}");
        findings.push(Finding::new(Status::Warn, text));
    }
    findings
}

pub(crate) fn notes(comparison: &Comparison) -> Vec<String> {
    let mut notes = Vec::new();
    for exception @ Exception { accepted, state } in &comparison.exceptions {
        let (series, until) = (accepted_series(accepted), accepted.until);
        if *state == ExceptionState::Expired {
            notes.push(format!(
                "the exception for {series} ended on {until}, and the normal limit applies again: remove it from perf.toml"
            ));
        } else if exception.ends_soon() {
            let left = time_left(accepted);
            notes.push(format!("the exception for {series} ends {left} ({until}): {}", reason(accepted)));
        }
    }
    notes
}

fn time_left(accepted: &Accepted) -> String {
    match accepted.days_left {
        0 => "today".to_owned(),
        days => format!("in {}", count(usize::try_from(days).unwrap_or(0), "day")),
    }
}

/// All exceptions on one line: `4 exceptions: p95 until 2026-12-31 (in 9 days), 1 more, 1 not used, 1 ended`. Empty if there
/// are none.
pub(crate) fn summary(comparison: &Comparison) -> String {
    let is_used = |exception: &&Exception| !matches!(exception.state, ExceptionState::Unused | ExceptionState::Expired);
    let mut used: Vec<&Exception> = comparison.exceptions.iter().filter(is_used).collect();
    used.sort_by_key(|exception| exception.accepted.days_left);
    let unused = comparison.unused_exceptions().count();
    let ended = comparison.exceptions.iter().filter(|exception| exception.state == ExceptionState::Expired).count();
    let mut parts = Vec::new();
    if let Some(exception @ Exception { accepted, .. }) = used.first() {
        let series = cut(&name_of_series(accepted.endpoint.as_deref(), accepted.metric), NAME_COLUMNS);
        let left = if exception.ends_soon() { format!(" ({})", time_left(accepted)) } else { String::new() };
        parts.push(format!("{series} until {}{left}", accepted.until));
    }
    for (number, what) in [(used.len().saturating_sub(1), "more"), (unused, "not used"), (ended, "ended")] {
        if number > 0 {
            parts.push(format!("{number} {what}"));
        }
    }
    if parts.is_empty() {
        return String::new();
    }
    format!("{}: {}", count(used.len() + unused + ended, "exception"), parts.join(", "))
}

pub(crate) fn headline(comparison: &Comparison) -> String {
    let waived: Vec<&Row> = waived(comparison).collect();
    let mut parts = Vec::new();
    if let Some(row) = waived.first() {
        let until = row.accepted.map_or_else(String::new, |accepted| format!(" until {}", accepted.until));
        let more = if waived.len() > 1 { format!(" and {} more", waived.len() - 1) } else { String::new() };
        parts.push(format!("{} {} WAIVED{until}{more}", series_name(row), short_change(row)));
    }
    let unused = comparison.unused_exceptions().count();
    if unused > 0 {
        parts.push(format!("{} not used", count(unused, "exception")));
    }
    parts.join("; ")
}

/// `accepted up to +45% until 2026-12-31: full-text search, issue 812`.
pub(crate) fn accepted_text(accepted: &Accepted) -> String {
    let up_to = limit_text(accepted.metric, &accepted.up_to);
    format!("accepted up to {up_to} until {}: {}", accepted.until, reason(accepted))
}

fn reason(accepted: &Accepted) -> String {
    cut(&printable(&accepted.reason), REASON_COLUMNS)
}

fn accepted_series(accepted: &Accepted) -> String {
    series_of(accepted.endpoint.as_deref(), accepted.metric)
}

/// The exceptions that a new baseline absorbs, for the command that saves it.
pub fn absorbed(comparison: &Comparison) -> Option<String> {
    let mut series = Vec::new();
    for Exception { accepted, state } in &comparison.exceptions {
        if matches!(state, ExceptionState::Waived | ExceptionState::Exceeded | ExceptionState::InDoubt) {
            let row = comparison.row(accepted.endpoint.as_deref(), accepted.metric)?;
            let change = row.change().map_or_else(String::new, |change| change_text(row.metric, change));
            series.push(format!("{} ({change})", accepted_series(accepted)));
        }
    }
    (!series.is_empty()).then(|| {
        format!(
            "the new baseline absorbs temporary exceptions in perf.toml: {}: remove them, or they will hide another slowdown of that size",
            listed(&series)
        )
    })
}
