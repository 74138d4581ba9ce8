//! What GitHub Actions shows of a report beside its log: annotations, by workflow commands.

use std::fmt::Write as _;

use super::{Report, finding, series_name, word};
use crate::compare::{Row, Status};

/// GitHub shows no more of a kind for a step.
const ANNOTATIONS: usize = 10;

/// The files that annotations point into, from the top of the repository, `/` between folders.
#[derive(Default)]
pub struct Places {
    /// `None` where there is no baseline file.
    pub baseline: Option<String>,
    /// Each with its text.
    pub locustfiles: Vec<(String, String)>,
}

/// Workflow commands, a line each: at most 10 a kind, the gravest first.
pub fn annotations(report: &Report, places: &Places) -> String {
    let mut text = String::new();
    let findings = report.comparison.findings();
    for (status, command) in [(Status::Fail, "error"), (Status::Warn, "warning")] {
        for row in findings.iter().filter(|row| row.status == status).take(ANNOTATIONS) {
            let place = match places.of(row) {
                Some((file, line)) => format!("file={},line={line},", property(file)),
                None => String::new(),
            };
            let title = property(&format!("{} {}", word(status), series_name(row)));
            let _ = writeln!(text, "::{command} {place}title={title}::{}", data(&finding(row)));
        }
    }
    text
}

/// The one annotation of a command that judged nothing.
pub fn failure(reason: &str) -> String {
    format!("::error title=NOT JUDGED::{}\n", data(reason))
}

/// Locust's log, or whatever else is not ours, folded away.
pub fn group(title: &str, log: &str) -> String {
    /// The end says how it went, and the file has the rest.
    const LINES: usize = 200;
    const WIDTH: usize = 300;
    let lines: Vec<&str> = log.trim_end().lines().collect();
    let mut text = format!("::group::{}\n", data(title));
    let first = lines.len().saturating_sub(LINES);
    if first > 0 {
        let _ = writeln!(text, "... {first} lines before");
    }
    for line in &lines[first..] {
        let line: String = line.chars().take(WIDTH).collect();
        let _ = writeln!(text, "{}", harmless(&line));
    }
    text.push_str("::endgroup::");
    text
}

/// Text in which no line is a workflow command, whatever it quotes: one begins a line with `::`, an older kind is `##[`
/// anywhere in it.
pub fn harmless(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    // The runner ends a line at a carriage return too.
    for line in text.split_inclusive(['\n', '\r']) {
        let is_command = || anstream::adapter::strip_str(line).to_string().trim_start().starts_with("::");
        let line = if line.contains("::") && is_command() { &line.replacen("::", ": :", 1) } else { line };
        harmless.push_str(&line.replace("##[", "# #["));
    }
    harmless
}

impl Places {
    /// Where the endpoint's task is, if its name can be found; else the baseline, which says what was expected.
    fn of(&self, row: &Row) -> Option<(&str, usize)> {
        let task = row.endpoint.and_then(|endpoint| {
            let mut files = self.locustfiles.iter();
            files.find_map(|(file, text)| Some((file.as_str(), task_line(text, endpoint)?)))
        });
        task.or(self.baseline.as_deref().map(|file| (file, 1)))
    }
}

/// The line, from 1, that holds the endpoint's name in quotes; of several the first whose call is of its method, which
/// may stand on the line before.
fn task_line(locustfile: &str, endpoint: &str) -> Option<usize> {
    let (method, name) = endpoint.split_once(' ').unwrap_or(("", endpoint));
    let quoted = ['"', '\''].map(|quote| format!("{quote}{name}{quote}"));
    let call = format!(".{}(", method.to_lowercase());
    let lines: Vec<&str> = locustfile.lines().collect();
    let holds = |line: usize| quoted.iter().any(|quoted| lines[line].contains(quoted));
    let named: Vec<usize> = (0..lines.len()).filter(|line| holds(*line)).collect();
    let called = |line: &&usize| lines[line.saturating_sub(1)..=**line].iter().any(|line| line.contains(&call));
    named.iter().find(called).or(named.first()).map(|line| line + 1)
}

/// As GitHub's own toolkit escapes a command's text.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
