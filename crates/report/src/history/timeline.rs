//! The content of a history: every cell and sentence is made here once, and a format only arranges them.

use std::fmt::Write as _;

use judge::baseline::chain::{Movement, Version, oldest_of_stretch};
use judge::baseline::comparability::Break;
use judge::model::run::{EndpointName, Metric};
use judge::model::text::{cut, printable};

use crate::view::drift::{author, note};
use crate::view::series::SHOWN_METRICS;
use crate::view::words::{
    both, change_text, count, interval_text, name_of_series, short_change_text, shown_commit, value,
};

/// The accepted baselines of a file, newest first, as the caller hands them over.
pub struct Timeline<'a> {
    /// The file, as the user knows it.
    pub file: String,
    pub versions: &'a [Version],
    /// Why each version is not comparable with those before it ([`judge::baseline::chain::breaks`]).
    pub breaks: Vec<Vec<Break>>,
    pub shown: usize,
    /// The place of the version from which changes are counted, as far as its stretch reaches.
    pub anchor: usize,
    /// The name that the user gave it, such as a tag; else empty.
    pub anchor_name: String,
    /// The endpoints that are shown; `None` is all requests together.
    pub endpoints: Vec<EndpointName<'a>>,
    pub metric: Metric,
    /// Other facts, such as the versions that cannot be read, a sentence each.
    pub notes: Vec<String>,
}

pub struct HistoryRow<'t> {
    pub(crate) version: &'t Version,
    /// Differences from the versions before it, because of which nothing is compared with them.
    pub(crate) breaks: &'t [Break],
    /// The value of each of [`Timeline::metrics`].
    pub(crate) values: Vec<Option<f64>>,
    pub(crate) runs: &'t [f64],
    /// The change since the version before it.
    pub(crate) step: Option<Movement>,
    pub since: Option<Movement>,
    pub(crate) is_anchor: bool,
    pub(crate) note: String,
}

impl Timeline<'_> {
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        let added = Some(self.metric).filter(|metric| !SHOWN_METRICS.contains(metric));
        SHOWN_METRICS.into_iter().chain(added).collect()
    }

    pub fn rows(&self, endpoint: EndpointName, metric: Metric) -> Vec<HistoryRow<'_>> {
        let mut rows = Vec::new();
        for (place, (version, breaks)) in self.versions.iter().zip(&self.breaks).take(self.shown).enumerate() {
            let movement =
                |before: usize| Movement::between(&self.versions[before].baseline, &version.baseline, endpoint, metric);
            let anchor = self.anchor_of(place);
            let is_first = place + 1 == self.versions.len() || !breaks.is_empty();
            rows.push(HistoryRow {
                version,
                breaks,
                values: self.metrics().iter().map(|metric| version.baseline.estimate(endpoint, *metric)).collect(),
                runs: version.baseline.runs(endpoint, metric),
                step: if is_first { None } else { movement(place + 1) },
                since: anchor.filter(|anchor| *anchor > place).and_then(movement),
                is_anchor: anchor == Some(place),
                note: note(version, self.versions.get(place + 1)),
            });
        }
        rows
    }

    /// How far the newest baseline is from the anchor: `p95 +24% since 2026-05-15 by 3 updates, 155 → 193 ms`.
    pub(crate) fn headline(&self) -> String {
        let endpoint = self.endpoints.first().copied().flatten();
        let series = name_of_series(endpoint, self.metric);
        let anchor = self.anchor_of(0).filter(|anchor| *anchor > 0);
        let moved = || {
            let (newest, before) = (self.versions.first()?, self.versions.get(anchor?)?);
            let movement = Movement::between(&before.baseline, &newest.baseline, endpoint, self.metric)?;
            let values = [before, newest].map(|version| version.baseline.estimate(endpoint, self.metric));
            let [Some(before_value), Some(now)] = values else { return None };
            let is_named = anchor == Some(self.anchor) && !self.anchor_name.is_empty();
            let since = if is_named { cut(&printable(&self.anchor_name), 60) } else { before.day.to_string() };
            let by = if movement.is_significant() == Some(false) { ", no more than noise" } else { "" };
            Some(format!(
                "{series} {} since {since} by {}, {}{by}",
                short_change_text(self.metric, movement.change),
                count(anchor?, "update"),
                both(self.metric, before_value, now)
            ))
        };
        moved().unwrap_or_else(|| format!("{series}: one baseline, nothing to compare yet"))
    }

    /// The place of the version from which a version's change is counted: the anchor if both are in one stretch, else the
    /// oldest of the stretch. A version before the anchor has none.
    fn anchor_of(&self, place: usize) -> Option<usize> {
        let oldest = oldest_of_stretch(&self.breaks, place);
        if self.anchor > oldest || oldest_of_stretch(&self.breaks, self.anchor) != oldest {
            return Some(oldest);
        }
        (place <= self.anchor).then_some(self.anchor)
    }

    pub(crate) fn header(&self) -> Vec<String> {
        let metrics = self.metrics();
        let mut header = ["date", "commit", "author"].map(str::to_owned).to_vec();
        header.extend(metrics.iter().map(|metric| match metric {
            Metric::ErrorRate => "errors %".to_owned(),
            Metric::RequestsPerSec => "requests/s".to_owned(),
            metric => format!("{metric} {}", metric.unit()).trim_end().to_owned(),
        }));
        let since = if self.anchor_name.is_empty() { "the anchor" } else { &self.anchor_name };
        header.extend([format!("{} step", self.metric), format!("{} since {since}", self.metric), "note".to_owned()]);
        header
    }

    /// A row as text, in the columns of [`Timeline::header`].
    pub(crate) fn cells(&self, row: &HistoryRow) -> Vec<String> {
        let Version { commit, day, .. } = row.version;
        let values = self.metrics().into_iter().zip(&row.values);
        let values =
            values.map(|(metric, number)| number.map_or_else(|| "-".to_owned(), |number| value(metric, number)));
        let movement = |of: Option<Movement>| of.map_or_else(String::new, |of| movement_text(self.metric, of));
        let since = if row.is_anchor { "anchor".to_owned() } else { movement(row.since) };
        [day.to_string(), shown_commit(commit, false), author(row.version)]
            .into_iter()
            .chain(values)
            .chain([movement(row.step), since, row.note.clone()])
            .collect()
    }

    pub(crate) fn notes_shown(&self) -> Vec<String> {
        let mut notes_shown = vec![format!(
            "{} of {}; * marks a statistically significant change (95% interval)",
            count(self.shown, "accepted baseline"),
            self.file
        )];
        if self.versions.iter().take(self.shown).any(|version| version.baseline.runs(None, self.metric).len() == 1) {
            notes_shown.push(
                "a baseline of one run has no interval, and neither has the change between two of them".to_owned(),
            );
        }
        notes_shown.extend(self.notes.iter().map(|line| printable(line)));
        notes_shown
    }
}

pub(crate) fn break_text(breaks: &[Break]) -> String {
    let breaks: Vec<String> = breaks.iter().map(|of| printable(&cut(&of.to_string(), 200))).collect();
    format!("the chain is broken here: {}", breaks.join("; "))
}

/// A change with its interval, and `*` if it is significant: `+8.0% (+6.1..+9.9) *`.
pub(crate) fn movement_text(metric: Metric, movement: Movement) -> String {
    let mut text = change_text(metric, movement.change);
    if let Some(interval) = movement.interval {
        let _ = write!(text, " ({})", interval_text(interval));
    }
    if movement.is_significant() == Some(true) {
        text.push_str(" *");
    }
    text
}
