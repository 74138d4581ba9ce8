//! The drift since an earlier baseline, the anchor.

use judge::baseline::chain::{Movement, Version};
use judge::model::text::{cut, printable};
use judge::model::{mask, program};
use judge::verdict::compare::{Anchor, Comparison, Drift};
use judge::verdict::decision::Row;

use crate::view::Finding;
use crate::view::series::SeriesView;
use crate::view::words::{Status, change_text, count, limit_text, over_limit, series_name, short_change, shown_commit};

/// The number of accepted updates that a finding names.
pub const UPDATES: usize = 10;

/// The number of series that are named: a service that got slower did so everywhere.
const SERIES: usize = 6;

const NAME_COLUMNS: usize = 60;
const NOTE_COLUMNS: usize = 80;
const AUTHOR_COLUMNS: usize = 24;

pub struct DriftView<'a> {
    pub(crate) anchor: Anchor<'a>,
    /// `v1.0 (2026-01-03)`, or `2026-01-03 (5c4bc47a1b2c)`.
    pub(crate) name: String,
    /// The series over their limit of drift.
    pub findings: Vec<Finding<'a>>,
    pub(crate) series: Vec<SeriesView<'a>>,
    /// The accepted updates since the anchor, newest first.
    pub(crate) updates: Vec<UpdateView<'a>>,
}

pub(crate) struct UpdateView<'a> {
    pub(crate) version: &'a Version,
    pub(crate) author: String,
    pub(crate) note: String,
}

impl<'a> DriftView<'a> {
    pub(crate) fn of(drift: &'a Drift<'a>) -> DriftView<'a> {
        let Anchor { version, updates, .. } = drift.anchor;
        let mut shown = Vec::new();
        for (place, update) in updates.iter().enumerate() {
            let note = note(update, updates.get(place + 1).or(Some(version)));
            shown.push(UpdateView { version: update, author: author(update), note });
        }
        let name = anchor_name(&drift.anchor);
        let mut series = Vec::new();
        let mut is_first = true;
        for row in &drift.rows {
            let text = row.is_finding().then(|| {
                let found = format!("drift since {name}: {}", over_limit(row));
                let is_first = std::mem::take(&mut is_first);
                if is_first { format!("{found}; accepted since: {}", steps(version, &shown, row)) } else { found }
            });
            series.push(SeriesView::with_finding(row, text));
        }
        DriftView { anchor: drift.anchor, findings: findings(&name, &series), name, series, updates: shown }
    }
}

fn findings<'a>(name: &str, series: &[SeriesView<'a>]) -> Vec<Finding<'a>> {
    let mut findings: Vec<Finding> = series
        .iter()
        .filter_map(|series| Some(Finding { status: series.status, text: series.finding.clone()?, row: None }))
        .collect();
    if findings.len() > SERIES {
        let more = findings.len() - SERIES;
        let has_failed = findings.iter().any(|finding| finding.status == Status::Fail);
        let status = if has_failed { Status::Fail } else { Status::Warn };
        findings.truncate(SERIES);
        let text = format!("drift since {name}: {more} more series are over their limits");
        findings.push(Finding { status, text, row: None });
    }
    findings
}

/// The steps of a series with the accepted updates that brought them.
fn steps(anchor: &Version, updates: &[UpdateView], row: &Row) -> String {
    let mut steps = Vec::new();
    for (place, update) in updates.iter().enumerate() {
        let UpdateView { version, author, note } = update;
        let before = updates.get(place + 1).map_or(anchor, |before| before.version);
        let step = Movement::between(&before.baseline, &version.baseline, row.endpoint, row.metric);
        let step = step.map_or_else(|| "n/a".to_owned(), |step| change_text(row.metric, step.change));
        let commit = shown_commit(&version.commit, false);
        steps.push(format!("{step} by {author} on {}, \"{}\" ({commit})", version.day, cut(note, 40)));
    }
    let shown = steps[..steps.len().min(UPDATES)].join("; ");
    match steps.len() {
        0 => "no update".to_owned(),
        1..=UPDATES => shown,
        all => format!("{shown}; and {} more: see `{} history`", all - UPDATES, program::name()),
    }
}

/// The worst finding of the drift, for the headline.
pub(crate) fn headline(comparison: &Comparison) -> Option<String> {
    let drift = comparison.drift.as_ref()?;
    let failure = drift.rows.iter().find(|row| row.is_failure());
    let row = failure.or_else(|| drift.rows.iter().find(|row| row.is_finding()))?;
    let updates = count(drift.anchor.updates.len(), "accepted update");
    let (series, change, anchor) = (series_name(row), short_change(row), anchor_name(&drift.anchor));
    let level = if row.is_failure() { "" } else { ", which only warns" };
    Some(format!("{series} drifted {change}{} since {anchor}, by {updates}{level}", drift_limit(row)))
}

/// The drift of all requests together in a few words: `since v1.0 (2026-01-03) p95 +3.1% (drift limit +25%)`.
pub fn summary(comparison: &Comparison) -> Option<String> {
    let drift = comparison.drift.as_ref()?;
    let short = |row: &Row| format!("{} {}{}", row.metric, short_change(row), drift_limit(row));
    let parts: Vec<String> = drift.rows.iter().filter(|row| row.endpoint.is_none()).map(short).collect();
    (!parts.is_empty()).then(|| format!("since {} {}", anchor_name(&drift.anchor), parts.join(", ")))
}

fn drift_limit(row: &Row) -> String {
    row.limit.map_or_else(String::new, |limit| format!(" (drift limit {})", limit_text(row.metric, limit)))
}

fn anchor_name(anchor: &Anchor) -> String {
    let day = anchor.version.day;
    match anchor.name {
        Some(name) => format!("{} ({day})", cut(&printable(name), NAME_COLUMNS)),
        None => format!("{day} ({})", shown_commit(&anchor.version.commit, false)),
    }
}

pub(crate) fn author(version: &Version) -> String {
    cut(&printable(&mask::text(&version.author)), AUTHOR_COLUMNS)
}

/// The reason that was given for a version: its note, or the first line of the commit's message. A baseline keeps the note
/// of the one before it unless it gets another.
pub(crate) fn note(version: &Version, before: Option<&Version>) -> String {
    let notes = &version.baseline.notes;
    let is_own = !notes.is_empty() && before.is_none_or(|before| before.baseline.notes != *notes);
    cut(&printable(&mask::text(if is_own { notes } else { &version.subject })), NOTE_COLUMNS)
}
