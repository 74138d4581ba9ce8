//! What is known about a comparison beside its numbers. All of it may be unknown, and a report says less then.

use judge::parse::locust_history::History;

/// The facts about a comparison beside its numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Background {
    /// The name of the service, or of its repository.
    pub name: Option<String>,
    /// The number of commits from the baseline's to the candidate's.
    pub commits_between: Option<u32>,
    /// The p95 of each of the baseline's runs, in ms.
    pub baseline_p95_ms: Vec<f64>,
    /// The baseline's last run over time.
    pub baseline_history: Option<History>,
    /// The failures over all runs of the candidate, the most frequent first.
    pub failures: Vec<Failure>,
    /// The command that makes such a comparison again, with the flags that choose its files and its load.
    pub command: Option<String>,
    /// The page of the CI run that made the report.
    pub run_url: Option<String>,
}

/// An error that requests of an endpoint ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The endpoint.
    pub endpoint: String,
    /// Locust's text of the error.
    pub error: String,
    /// The number of requests that ended so, over all runs.
    pub times: u64,
    /// The number of requests of the endpoint over all runs, where that is known.
    pub requests: Option<u64>,
}

static UNKNOWN: Background = Background {
    name: None,
    commits_between: None,
    baseline_p95_ms: Vec::new(),
    baseline_history: None,
    failures: Vec::new(),
    command: None,
    run_url: None,
};

impl Background {
    /// Returns the background of which nothing is known.
    pub fn unknown() -> &'static Background {
        &UNKNOWN
    }

    /// Returns the command that makes such a comparison again.
    pub fn command(&self) -> &str {
        self.command.as_deref().unwrap_or("cargo xtask perf")
    }
}
