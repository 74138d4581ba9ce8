//! A baseline that was saved, with its values and how far they spread.

use judge::baseline::file::Baseline;
use judge::model::run::Metric;

use crate::view::words::{count, shown_commit, unit_of_value, value};

/// A baseline that was saved.
#[derive(Clone, Debug, PartialEq)]
pub struct Saved {
    /// The file, as the user knows it.
    pub file: String,
    /// The commit that was measured.
    pub commit: String,
    /// The load, in words.
    pub load: Option<String>,
    /// The number of runs.
    pub runs: usize,
    /// The values of all requests together.
    pub values: Vec<SavedValue>,
    /// The number of endpoints.
    pub endpoints: usize,
}

/// A value of all requests together, over all runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SavedValue {
    /// The metric.
    pub metric: Metric,
    /// The estimate.
    pub value: f64,
    /// The least of the runs.
    pub least: f64,
    /// The most of the runs.
    pub most: f64,
}

impl SavedValue {
    /// Returns the value with its unit: `181 ms`, `0.00%`.
    pub fn shown(&self) -> String {
        with_unit(self.metric, &value(self.metric, self.value))
    }

    /// Returns how far the runs spread; `None` where they are all equal, or there is one.
    pub fn spread(&self) -> Option<String> {
        let [least, most] = [self.least, self.most].map(|end| value(self.metric, end));
        (least != most).then(|| with_unit(self.metric, &format!("{least} to {most}")))
    }
}

fn with_unit(metric: Metric, shown: &str) -> String {
    format!("{shown}{}", unit_of_value(metric))
}

impl Saved {
    /// Returns what was saved in this file.
    pub fn new(baseline: &Baseline, file: &str) -> Saved {
        let mut values = Vec::new();
        let metrics = [Metric::P50, Metric::P95, Metric::P99, Metric::ErrorRate, Metric::RequestsPerSec];
        for metric in metrics {
            let Some(total) = baseline.total(metric) else { continue };
            let runs = baseline.total_runs(metric);
            let least = runs.iter().copied().fold(total, f64::min);
            let most = runs.iter().copied().fold(total, f64::max);
            values.push(SavedValue { metric, value: total, least, most });
        }
        let provenance = &baseline.provenance;
        Saved {
            file: file.to_owned(),
            commit: shown_commit(&provenance.commit, provenance.dirty),
            load: provenance.load.as_ref().map(ToString::to_string),
            runs: baseline.total_runs(Metric::P95).len().max(1),
            values,
            endpoints: baseline.endpoints.len(),
        }
    }

    /// Returns the values, the spread of p95, and what to do with the file, in one sentence.
    pub fn sentence(&self) -> String {
        let mut told = Vec::new();
        for saved in self.values.iter().filter(|saved| saved.metric != Metric::RequestsPerSec) {
            let spread = match saved.spread() {
                Some(spread) if saved.metric == Metric::P95 => format!(" ({spread})"),
                _ => String::new(),
            };
            told.push(format!("{} {}{spread}", saved.metric, saved.shown()));
        }
        format!("{} from {}; commit {}", told.join(", "), count(self.runs, "run"), self.file)
    }
}
