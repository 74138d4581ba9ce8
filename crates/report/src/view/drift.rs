//! The drift since an earlier baseline, the anchor.

use std::fmt::Write as _;

use judge::baseline::chain::{Movement, Version};
use judge::model::mask;
use judge::model::text::{cut, printable};
use judge::verdict::compare::{Anchor, Comparison, Drift};
use judge::verdict::decision::Row;

use crate::view::Finding;
use crate::view::series::{SeriesView, Tile, severity};
use crate::view::words::{
    Status, change_text, limit_text, over_limit, series_name, short_change, short_change_text, shown_commit,
};

pub const UPDATES: usize = 10;

const NAME_COLUMNS: usize = 60;
const NOTE_COLUMNS: usize = 80;
const AUTHOR_COLUMNS: usize = 24;

pub struct DriftView<'a> {
    pub(crate) anchor: Anchor<'a>,
    /// `v1.0 (2026-01-03)`, or `2026-01-03 (5c4bc47a1b2c)`.
    pub(crate) name: String,
    /// All series over their limits of drift, in one sentence.
    pub finding: Option<Finding<'a>>,
    pub series: Vec<SeriesView<'a>>,
    pub(crate) updates: Vec<UpdateView<'a>>,
    pub(crate) is_the_failure: bool,
}

pub(crate) struct UpdateView<'a> {
    pub(crate) version: &'a Version,
    pub(crate) author: String,
    pub(crate) note: String,
    /// The change that it brought to the worst series over its limit, or else to the first one. Empty if a side lacks it.
    pub(crate) step: String,
}

impl UpdateView<'_> {
    /// `+10.0% by Ann on 2026-05-03, "search" (000000000000)`.
    pub(crate) fn sentence(&self) -> String {
        let step = if self.step.is_empty() { "n/a" } else { &self.step };
        let commit = shown_commit(&self.version.commit, false);
        format!("{step} by {} on {}, \"{}\" ({commit})", self.author, self.version.day, cut(&self.note, 40))
    }
}

impl<'a> DriftView<'a> {
    pub(crate) fn of(comparison: &'a Comparison<'a>) -> Option<DriftView<'a>> {
        let drift = comparison.drift.as_ref()?;
        let Anchor { version, updates, .. } = drift.anchor;
        let name = anchor_name(&drift.anchor);
        let over = over_limits(drift);
        let worst = over.first().copied();
        let step = |before: &Version, update: &Version| {
            let row = worst.or(drift.rows.first())?;
            let movement = Movement::between(&before.baseline, &update.baseline, row.endpoint, row.metric)?;
            Some(change_text(row.metric, movement.change))
        };
        let befores = updates.iter().skip(1).chain([version]);
        let updates = updates.iter().zip(befores).map(|(update, before)| UpdateView {
            version: update,
            author: author(update),
            note: note(update, Some(before)),
            step: step(before, update).unwrap_or_default(),
        });
        let finding_of = |row: &Row| format!("drift since {name}: {}", drifted(comparison, row));
        let mut series: Vec<SeriesView> =
            drift.rows.iter().map(|row| SeriesView::with_finding(row, finding_of)).collect();
        series.sort_by_key(|series| series.severity);
        Some(DriftView {
            anchor: drift.anchor,
            finding: finding(comparison, &name, &over),
            series,
            updates: updates.collect(),
            is_the_failure: over.iter().any(|row| row.is_failure()) && !comparison.has_failed_itself(),
            name,
        })
    }
}

/// The series over their limits: failures first, all requests together before endpoints, worst first.
fn over_limits<'a>(drift: &'a Drift<'a>) -> Vec<&'a Row<'a>> {
    let mut over: Vec<&Row> = drift.rows.iter().filter(|row| row.is_finding()).collect();
    over.sort_by_cached_key(|row| (!row.is_failure(), row.endpoint.is_some(), severity(row)));
    over
}

fn finding<'a>(comparison: &Comparison, name: &str, over: &[&Row]) -> Option<Finding<'a>> {
    let (worst, others) = over.split_first()?;
    let mut text = format!("drift since {name}: {}", drifted(comparison, worst));
    if let Some(next) = others.first() {
        let word = if others.len() == 1 { "" } else { ", the worst" };
        let _ = write!(text, "; {} more{word}: {} {}", others.len(), series_name(next), short_change(next));
    }
    Some(Finding::new(Status::of(worst), text))
}

/// `p95: 155 → 200 ms (+28.9%, limit +25%; accepted updates +24.4%, this change +3.6%)`.
fn drifted(comparison: &Comparison, row: &Row) -> String {
    format!("{}{})", over_limit(row).trim_end_matches(')'), shares("; ", comparison, row))
}

/// How much of a drift the accepted updates brought, and how much this change, behind a mark: `; 3 accepted updates +24.4%,
/// this change +3.6%`.
fn shares(mark: &str, comparison: &Comparison, row: &Row) -> String {
    let shares = || {
        let own = comparison.row(row.endpoint, row.metric)?;
        let accepted = row.metric.change(row.presence.baseline()?, own.presence.baseline()?)?;
        let updates = comparison.drift.as_ref()?.anchor.updates.len();
        let updates = if updates == 1 { "accepted update".to_owned() } else { format!("{updates} accepted updates") };
        let accepted = short_change_text(row.metric, accepted);
        Some(format!("{mark}{updates} {accepted}, this change {}", short_change(own)))
    };
    shares().unwrap_or_default()
}

fn worst<'a>(comparison: &'a Comparison<'a>) -> Option<(&'a Drift<'a>, &'a Row<'a>)> {
    let drift = comparison.drift.as_ref()?;
    Some((drift, over_limits(drift).first().copied()?))
}

pub(crate) fn headline(comparison: &Comparison) -> String {
    let Some((drift, row)) = worst(comparison) else { return String::new() };
    let (series, change, anchor) = (series_name(row), short_change(row), short_anchor(&drift.anchor));
    let shares = shares(": ", comparison, row);
    let level = if row.is_failure() { "" } else { ", only warns" };
    let limit = row.limit.map_or_else(String::new, |limit| limit_text(row.metric, limit));
    format!("{series} {change} since {anchor} (drift limit {limit}{level}){shares}")
}

pub(crate) fn tile(comparison: &Comparison) -> Option<Tile> {
    let (drift, row) = worst(comparison)?;
    Some(Tile { name: format!("{} since {}", series_name(row), short_anchor(&drift.anchor)), ..Tile::of(row) })
}

/// The drift of all requests together in a few words: `since v1.0 (2026-01-03) p95 +3.1% (drift limit +25%)`.
pub fn summary(comparison: &Comparison) -> Option<String> {
    let drift = comparison.drift.as_ref()?;
    let limit = |row: &Row| row.limit.map(|limit| format!(" (drift limit {})", limit_text(row.metric, limit)));
    let short = |row: &Row| format!("{} {}{}", row.metric, short_change(row), limit(row).unwrap_or_default());
    let parts: Vec<String> = drift.rows.iter().filter(|row| row.endpoint.is_none()).map(short).collect();
    (!parts.is_empty()).then(|| format!("since {} {}", anchor_name(&drift.anchor), parts.join(", ")))
}

fn short_anchor(anchor: &Anchor) -> String {
    anchor.name.map_or_else(|| anchor.version.day.to_string(), |name| cut(&printable(name), NAME_COLUMNS / 2))
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
