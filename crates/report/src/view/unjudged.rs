//! The content of a report without a comparison: a saved baseline, or the reason why there is no verdict.

use std::fmt::Write as _;

use judge::baseline::file::Baseline;
use judge::model::program;
use judge::model::run::Metric;
use judge::model::text::quoted;

use crate::view::input::CommandLine;
use crate::view::next::{NextStep, step};
use crate::view::series::SHOWN_METRICS;
use crate::view::words::{Tone, count, shown_commit, unit_of_value, value, with_unit};

#[derive(Clone, Debug, PartialEq)]
pub enum Unjudged {
    NoVerdict(String),
    /// There was no baseline to compare with.
    BaselineSaved(Saved),
    /// The same in CI, where a baseline that nobody commits lets everything pass.
    NoBaseline(Saved),
}

impl Unjudged {
    pub fn sentence(&self) -> String {
        match self {
            Unjudged::NoVerdict(sentence) => sentence.clone(),
            Unjudged::BaselineSaved(saved) => saved.sentence(),
            Unjudged::NoBaseline(saved) => format!("{NO_BASELINE}; saved {}", saved.sentence()),
        }
    }

    pub(crate) fn saved(&self) -> Option<&Saved> {
        match self {
            Unjudged::NoVerdict(_) => None,
            Unjudged::BaselineSaved(saved) | Unjudged::NoBaseline(saved) => Some(saved),
        }
    }

    pub fn word(&self) -> &'static str {
        if self.exit_code() == 0 { "BASELINE SAVED" } else { "NO VERDICT" }
    }

    pub(crate) fn tone(&self) -> Tone {
        if self.exit_code() == 0 { Tone::Ok } else { Tone::Unsure }
    }

    pub(crate) fn found(&self) -> &'static str {
        match self {
            Unjudged::NoVerdict(_) => "could not compare",
            Unjudged::NoBaseline(_) => NO_BASELINE,
            Unjudged::BaselineSaved(_) => "the next run is compared with it",
        }
    }

    pub fn exit_code(&self) -> u8 {
        if matches!(self, Unjudged::BaselineSaved(_)) { 0 } else { 2 }
    }

    pub(crate) fn next(&self) -> Vec<NextStep> {
        match self.saved() {
            None => {
                let command = format!("{} perf --verbose", program::name());
                vec![step("fix the problem above and re-run with details", command)]
            }
            Some(saved) => saved.next(),
        }
    }
}

const NO_BASELINE: &str =
    "no baseline to compare against (exit code 2, so that a missing baseline can't pass silently)";

#[derive(Clone, Debug, PartialEq)]
pub struct Saved {
    pub(crate) file: String,
    pub(crate) commit: String,
    pub(crate) load: String,
    pub(crate) runs: usize,
    pub(crate) values: Vec<SavedValue>,
    pub(crate) endpoints: usize,
    /// What makes it a weak reference, a sentence each, for the headline.
    pub warnings: Vec<String>,
    pub command: CommandLine,
    /// The branch that others are merged into, if another one is checked out and both can be measured here; else empty.
    pub default_branch: String,
    /// Whether git ignores the file.
    pub is_ignored: bool,
}

/// A value of all requests together: the estimate over all runs, and the least and the most of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SavedValue {
    pub(crate) metric: Metric,
    pub(crate) value: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl SavedValue {
    pub(crate) fn shown(&self) -> String {
        with_unit(self.metric, self.value)
    }

    /// How far the runs spread; empty if they are all equal, or there is one.
    pub(crate) fn spread(&self) -> String {
        let [least, most] = [self.least, self.most].map(|end| value(self.metric, end));
        if least == most { String::new() } else { format!("{least} to {most}{}", unit_of_value(self.metric)) }
    }
}

impl Saved {
    pub fn new(baseline: &Baseline, file: &str, command: CommandLine) -> Saved {
        let mut values = Vec::new();
        for metric in SHOWN_METRICS {
            let Some(total) = baseline.total(metric) else { continue };
            let runs = baseline.total_runs(metric);
            let least = runs.iter().copied().fold(total, f64::min);
            let most = runs.iter().copied().fold(total, f64::max);
            values.push(SavedValue { metric, value: total, least, most });
        }
        let provenance = &baseline.provenance;
        Saved {
            file: file.to_owned(),
            command,
            commit: shown_commit(&provenance.commit, provenance.dirty),
            load: provenance.load.as_ref().map(ToString::to_string).unwrap_or_default(),
            runs: baseline.total_runs(Metric::P95).len().max(1),
            values,
            endpoints: baseline.endpoints.len(),
            warnings: Vec::new(),
            default_branch: String::new(),
            is_ignored: false,
        }
    }

    fn next(&self) -> Vec<NextStep> {
        let command = self.command.measuring();
        let mut steps = Vec::new();
        if !self.default_branch.is_empty() {
            let against = command.without("--baseline").with(&["--against", &self.default_branch]);
            steps.push(step("compare with the branch that yours is based on", against));
        }
        let force = if self.is_ignored { "--force " } else { "" };
        let commit = format!("git add {force}{} && git commit -m \"Performance baseline\"", quoted(&self.file));
        steps.push(step("commit the baseline", commit));
        let is_of_others = !self.command.results.is_empty();
        if self.runs == 1 && is_of_others {
            let what = "pass more results of this load, since comparing single runs is wrong one time in ten";
            steps.push(step(what, String::new()));
        } else if self.runs == 1 {
            let what = "record more runs, since comparing single runs is wrong one time in ten";
            steps.push(step(what, command.with(&["--update-baseline"])));
        }
        if is_of_others {
            steps.push(step("after your next change, judge its results against it", String::new()));
        } else {
            steps.push(step("after your next change, compare against it", command.with(&[])));
        }
        steps.truncate(3);
        steps
    }

    pub fn sentence(&self) -> String {
        let mut parts = Vec::new();
        for saved in self.values.iter().filter(|saved| saved.metric != Metric::RequestsPerSec) {
            parts.push(match saved.spread() {
                spread if saved.metric == Metric::P95 && !spread.is_empty() => {
                    format!("{} {} ({spread})", saved.metric, saved.shown())
                }
                _ => format!("{} {}", saved.metric, saved.shown()),
            });
        }
        let mut sentence = format!("{} from {}", parts.join(", "), count(self.runs, "run"));
        for warning in &self.warnings {
            let _ = write!(sentence, "; {warning}");
        }
        format!("{sentence}; commit {}", self.file)
    }
}
