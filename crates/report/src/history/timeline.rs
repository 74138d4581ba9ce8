//! The content of a history: every cell and sentence is made here once, and a format only arranges them.

use std::fmt::Write as _;

use judge::baseline::chain::{Movement, Version, oldest_of_stretch};
use judge::baseline::comparability::Break;
use judge::model::mask;
use judge::model::run::Metric;
use judge::model::text::{cut, endpoint_shown, printable};

use crate::view::words::{count, interval_text, movement_text, value};

/// The metrics that each row shows, whichever the steps are of.
const SHOWN: [Metric; 5] = [Metric::P50, Metric::P95, Metric::P99, Metric::ErrorRate, Metric::RequestsPerSec];

/// The number of letters of a commit that are shown.
const HASH: usize = 12;

/// The number of columns that a note takes at most.
const NOTE_COLUMNS: usize = 80;

/// The number of columns that an author's name takes at most.
const AUTHOR_COLUMNS: usize = 24;

/// The accepted baselines of a file, newest first.
pub struct Timeline<'a> {
    /// The file, as the user knows it.
    pub file: String,
    /// All versions that can be read, newest first.
    pub versions: &'a [Version],
    /// What keeps each version from being compared with those before it ([`judge::baseline::chain::breaks`]).
    pub breaks: Vec<Vec<Break>>,
    /// The number of versions that are shown, from the newest on.
    pub shown: usize,
    /// The place of the version that changes are counted from, where its stretch reaches.
    pub anchor: usize,
    /// The name that the user gave it, such as a tag.
    pub anchor_name: Option<String>,
    /// The endpoints that are shown; `None` is all requests together.
    pub endpoints: Vec<Option<&'a str>>,
    /// The metric that steps and changes are of.
    pub metric: Metric,
    /// What else is to be known, such as the versions that cannot be read, a sentence each.
    pub notes: Vec<String>,
}

/// A version as a history shows it.
pub struct Entry<'t> {
    /// The version.
    pub version: &'t Version,
    /// What differs from the versions before it, so that nothing is compared with them.
    pub breaks: &'t [Break],
    /// The value of each of [`Timeline::metrics`], where the version has one.
    pub values: Vec<Option<f64>>,
    /// The runs of the metric that steps are of.
    pub runs: &'t [f64],
    /// The change since the version before it.
    pub step: Option<Movement>,
    /// The change since the anchor.
    pub since: Option<Movement>,
    /// Says that changes are counted from here.
    pub is_anchor: bool,
    /// The reason that was given for it: its note or, where it has none of its own, the first line of the commit's message.
    pub why: String,
}

impl Timeline<'_> {
    /// Returns the metrics that are shown.
    pub fn metrics(&self) -> Vec<Metric> {
        let further = Some(self.metric).filter(|metric| !SHOWN.contains(metric));
        SHOWN.into_iter().chain(further).collect()
    }

    /// Returns the rows of an endpoint, or of all requests together, with the steps of a metric.
    pub fn entries(&self, endpoint: Option<&str>, metric: Metric) -> Vec<Entry<'_>> {
        let mut entries = Vec::new();
        for (place, (version, breaks)) in self.versions.iter().zip(&self.breaks).take(self.shown).enumerate() {
            let movement =
                |before: usize| Movement::between(&self.versions[before].baseline, &version.baseline, endpoint, metric);
            let anchor = self.anchor_of(place);
            let is_first = place + 1 == self.versions.len() || !breaks.is_empty();
            entries.push(Entry {
                version,
                breaks,
                values: self.metrics().iter().map(|metric| version.baseline.estimate(endpoint, *metric)).collect(),
                runs: version.baseline.runs(endpoint, metric),
                step: if is_first { None } else { movement(place + 1) },
                since: anchor.filter(|anchor| *anchor > place).and_then(movement),
                is_anchor: anchor == Some(place),
                why: why(version, self.versions.get(place + 1)),
            });
        }
        entries
    }

    /// Returns the place of the version that a version's change is counted from: the anchor where both are of one stretch,
    /// else the oldest of the stretch. A version before the anchor has none.
    fn anchor_of(&self, place: usize) -> Option<usize> {
        let oldest = oldest_of_stretch(&self.breaks, place);
        if self.anchor > oldest || oldest_of_stretch(&self.breaks, self.anchor) != oldest {
            return Some(oldest);
        }
        (place <= self.anchor).then_some(self.anchor)
    }

    /// Returns the names of the columns.
    pub fn header(&self) -> Vec<String> {
        let metrics = self.metrics();
        let names = metrics.iter().map(|metric| match metric {
            Metric::ErrorRate => "errors %".to_owned(),
            Metric::RequestsPerSec => "requests/s".to_owned(),
            metric => format!("{metric} {}", metric.unit()).trim_end().to_owned(),
        });
        let since = self.anchor_name.as_deref().unwrap_or("the anchor");
        ["date", "commit", "author"]
            .map(str::to_owned)
            .into_iter()
            .chain(names)
            .chain([format!("{} step", self.metric), format!("{} since {since}", self.metric), "note".to_owned()])
            .collect()
    }

    /// Returns a row as text, in the columns of [`Timeline::header`].
    pub fn cells(&self, entry: &Entry) -> Vec<String> {
        let Version { commit, day, .. } = entry.version;
        let values = self.metrics().into_iter().zip(&entry.values);
        let values =
            values.map(|(metric, number)| number.map_or_else(|| "-".to_owned(), |number| value(metric, number)));
        let movement = |of: Option<Movement>| of.map_or_else(String::new, |of| moved(self.metric, of));
        let since = if entry.is_anchor { "anchor".to_owned() } else { movement(entry.since) };
        [day.to_string(), commit.chars().take(HASH).collect(), author(entry.version)]
            .into_iter()
            .chain(values)
            .chain([movement(entry.step), since, entry.why.clone()])
            .collect()
    }

    /// Returns what a report says of an endpoint before its rows.
    pub fn title(&self, endpoint: Option<&str>) -> String {
        endpoint.map_or_else(|| "all requests".to_owned(), endpoint_shown)
    }

    /// Returns what a reader has to know of the rows, a sentence each.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = vec![format!(
            "{} of {}; * marks a change that neither noise nor rounding explains (95% interval)",
            count(self.shown, "accepted baseline"),
            self.file
        )];
        if self.versions.iter().take(self.shown).any(|version| version.baseline.runs(None, self.metric).len() == 1) {
            remarks.push("a baseline of one run has no interval of its own, and two of them none at all".to_owned());
        }
        remarks.extend(self.notes.iter().map(|line| printable(line)));
        remarks
    }
}

/// Returns the author of a version as a report shows the name.
pub fn author(version: &Version) -> String {
    cut(&printable(&mask::text(&version.author)), AUTHOR_COLUMNS)
}

/// Returns the reason that was given for a version. A baseline keeps the note of the one that it replaces, unless it gets
/// one of its own.
pub fn why(version: &Version, before: Option<&Version>) -> String {
    let notes = &version.baseline.notes;
    let is_own = !notes.is_empty() && before.is_none_or(|before| before.baseline.notes != *notes);
    cut(&printable(&mask::text(if is_own { notes } else { &version.subject })), NOTE_COLUMNS)
}

/// Returns a break in words.
pub fn break_text(breaks: &[Break]) -> String {
    let breaks: Vec<String> = breaks.iter().map(|of| printable(&cut(&of.to_string(), 200))).collect();
    format!("the chain is broken here: {}", breaks.join("; "))
}

/// Returns a change with its interval, and `*` where it is significant: `+8.0% (+6.1..+9.9) *`.
pub fn moved(metric: Metric, movement: Movement) -> String {
    let mut text = movement_text(metric, movement.change);
    if let Some(interval) = movement.interval {
        let _ = write!(text, " ({})", interval_text(interval));
    }
    if movement.is_significant() == Some(true) {
        text.push_str(" *");
    }
    text
}
