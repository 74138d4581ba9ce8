//! What the caller of a report hands over.

use judge::model::day::Day;
use judge::model::program;
use judge::model::run::{Provenance, Run};
use judge::model::text::quoted;
use judge::parse::locust_history::History;
use judge::verdict::causes::Cause;
use judge::verdict::compare::Comparison;

/// A comparison, and what is known about it. [`crate::View`] makes every sentence of it.
#[derive(Clone)]
pub struct Report<'a> {
    pub comparison: &'a Comparison<'a>,
    /// The baseline's response times in ms at each of [`judge::model::run::PERCENTILES`]; empty if they are not known.
    pub distribution: &'a [f64],
    pub runs: &'a [Run],
    /// The candidate's runs over time, or why one is not known.
    pub histories: &'a [Result<History, String>],
    pub provenance: Sides<&'a Provenance>,
    pub baseline_origin: String,
    /// What is odd about the result files, a sentence each, for the headline.
    pub file_warnings: Vec<String>,
    pub warnings: Vec<String>,
    /// Details that are no facts of a side, a line each.
    pub other_details: Vec<String>,
    pub background: &'a Background,
    pub confirmation: Option<&'a Confirmation<'a>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sides<T> {
    pub baseline: T,
    pub candidate: T,
}

/// The facts about a comparison beside its numbers. If one is unknown, the report has less to show.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Background {
    /// Of the service; texts are empty if they are unknown.
    pub name: String,
    pub commits_between: Option<u32>,
    pub baseline_p95_ms: Vec<f64>,
    pub baseline_history: Option<History>,
    /// The failures over all runs of the candidate, the most frequent first.
    pub failures: Vec<FailedRequests>,
    /// What changed with the latencies that are over their limits, the strongest first; `None` if none is.
    pub causes: Option<Vec<Cause>>,
    pub command: CommandLine,
    /// RESULTS of others: the gate cannot make more of them.
    pub is_of_others: bool,
    pub failures_file: String,
    pub config: String,
    /// The last day of an exception that begins today; `None` if the report is to suggest none.
    pub accept_until: Option<Day>,
    pub run_url: String,
    /// Whether a CI provider lends the machine, so that the next job runs on another one.
    pub is_hosted_runner: bool,
}

/// A command to copy, in words that are not quoted yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CommandLine {
    /// The flags that choose its files and its load, with their values.
    pub flags: Vec<(&'static str, String)>,
    pub results: Vec<String>,
    pub locust_args: Vec<String>,
}

impl CommandLine {
    pub fn with(&self, flags: &[&str]) -> String {
        self.text("perf", flags)
    }

    pub fn of(&self, command: &str) -> String {
        self.text(command, &[])
    }

    fn text(&self, command: &str, last_flags: &[&str]) -> String {
        let flags = self.flags.iter().flat_map(|(flag, value)| [*flag, value.as_str()]);
        let dashes = ["--"].into_iter().filter(|_| !self.locust_args.is_empty());
        let [results, locust_args] = [&self.results, &self.locust_args].map(|words| words.iter().map(String::as_str));
        let words = flags.chain(results).chain(last_flags.iter().copied()).chain(dashes).chain(locust_args);
        let program = program::name().split(' ').map(quoted);
        program.chain([command.to_owned()]).chain(words.map(quoted)).collect::<Vec<_>>().join(" ")
    }

    /// Without the results that it judged.
    #[must_use = "the command is returned"]
    pub fn measuring(&self) -> CommandLine {
        CommandLine { results: Vec::new(), ..self.clone() }
    }

    #[must_use = "the command is returned"]
    pub fn judging(&self, results: &str) -> CommandLine {
        let results = if self.results.is_empty() { vec![results.to_owned()] } else { self.results.clone() };
        let of_the_load = ["--users", "--spawn-rate", "--run-time", "--processes", "--expect-workers"];
        let of_the_service = ["--host", "--against-url", "--locustfile"];
        let measures = |flag: &str| of_the_load.contains(&flag) || of_the_service.contains(&flag);
        let flags = self.flags_if(|flag| !self.results.is_empty() || !measures(flag));
        CommandLine { flags, results, locust_args: Vec::new() }
    }

    pub(crate) fn only(&self, flags: &[&str]) -> CommandLine {
        CommandLine { flags: self.flags_if(|flag| flags.contains(&flag)), ..CommandLine::default() }
    }

    pub(crate) fn without(&self, flag: &str) -> CommandLine {
        CommandLine { flags: self.flags_if(|of| of != flag), ..self.clone() }
    }

    fn flags_if(&self, is_kept: impl Fn(&str) -> bool) -> Vec<(&'static str, String)> {
        self.flags.iter().filter(|(flag, _)| is_kept(flag)).cloned().collect()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRequests {
    pub endpoint: String,
    pub error: String,
    pub times: u64,
    pub requests: Option<u64>,
}

/// What became of a FAIL by the stored numbers that was to be confirmed. They were recorded at another time and usually on
/// another machine.
#[derive(Clone)]
pub enum Confirmation<'a> {
    /// The baseline's commit was measured alternately with this tree. The report is about these rounds, which decide.
    Measured(Stored<'a>),
    /// That was not possible, for this reason, so the FAIL stands.
    Impossible(String),
}

/// The comparison with the stored numbers, whose verdict was FAIL.
#[derive(Clone)]
pub struct Stored<'a> {
    pub comparison: &'a Comparison<'a>,
    pub baseline_origin: String,
}

impl<'a> Report<'a> {
    pub(crate) fn hosts(&self) -> Option<Sides<&'a str>> {
        let Sides { baseline, candidate } = self.provenance;
        let is_known = !baseline.host.is_empty() && !candidate.host.is_empty();
        is_known.then_some(Sides { baseline: &baseline.host, candidate: &candidate.host })
    }

    pub(crate) fn stored(&self) -> Option<&'a Stored<'a>> {
        match self.confirmation {
            Some(Confirmation::Measured(stored)) => Some(stored),
            Some(Confirmation::Impossible(_)) | None => None,
        }
    }
}
