//! The annotations that GitHub Actions shows of a report beside its log, as workflow commands.

use std::fmt::Write as _;

use judge::model::text::foreign;
use judge::verdict::decision::Row;

use crate::view::content::{Finding, Report, evidence, finding, findings};
use crate::view::further;
use crate::view::words::{Status, series_name};

/// The number of annotations of a kind that GitHub shows for a step.
const ANNOTATIONS: usize = 10;

/// The files that annotations point into, as paths from the root of the repository with `/` between folders.
#[derive(Default)]
pub struct Places {
    /// The baseline file; `None` where there is none.
    pub baseline: Option<String>,
    /// The locustfiles.
    pub locustfiles: Vec<Locustfile>,
}

/// A locustfile.
pub struct Locustfile {
    /// Its path.
    pub path: String,
    /// Its content.
    pub text: String,
}

/// A line of a file.
struct Place<'a> {
    path: &'a str,
    /// Counted from 1.
    line: usize,
}

/// Returns the headline and the findings as workflow commands, a line each: at most 10 of a kind, worst first. A
/// conclusive PASS without warnings says nothing.
pub fn annotations(report: &Report, places: &Places) -> String {
    let mut text = String::new();
    let headline = report.headline();
    let findings = findings(report.comparison);
    for (status, command) in [(Status::Fail, "error"), (Status::Warn, "warning")] {
        for row in findings.iter().filter(|row| Status::of(row) == status).take(ANNOTATIONS) {
            let place = match places.of(row) {
                Some(place) => format!("file={},line={},", property(place.path), place.line),
                None => String::new(),
            };
            // The first one is read first, so its title answers.
            let title = if text.is_empty() {
                property(&headline.to_string())
            } else {
                property(&format!("{} {}", status.word(), series_name(row)))
            };
            let _ = writeln!(text, "::{command} {place}title={title}::{}", data(&finding(row)));
        }
    }
    for Finding { status, text: found } in further::findings(report.comparison) {
        let command = match status {
            Status::Fail => "error",
            Status::Warn => "warning",
            _ => "notice",
        };
        // An annotation of an accepted exception answers nothing, so its title does not either.
        let title =
            if text.is_empty() && status != Status::Waived { headline.to_string() } else { status.word().to_owned() };
        let _ = writeln!(text, "::{command} title={}::{}", property(&title), data(&found));
    }
    if text.is_empty() && !report.comparison.is_conclusive() {
        let evidence = data(&evidence(report.comparison));
        let _ = writeln!(text, "::warning title={}::{evidence}", property(&headline.to_string()));
    }
    text
}

/// Returns the one annotation of a command that judged nothing.
pub fn failure(reason: &str) -> String {
    format!("::error title=NO VERDICT::{}\n", data(reason))
}

/// Returns Locust's log, or another log, as a folded group.
/// Between them the runner obeys nothing but `word`, which nobody else may know.
pub fn group(title: &str, log: &str, word: &str) -> String {
    /// The number of lines shown: the end says how it went, and the file has the rest.
    const LINES: usize = 200;
    const WIDTH: usize = 300;
    let log = foreign(log.trim_end());
    let lines: Vec<&str> = log.lines().collect();
    let mut text = format!("::group::{}\n::stop-commands::{word}\n", data(title));
    let first = lines.len().saturating_sub(LINES);
    if first > 0 {
        let _ = writeln!(text, "... {first} lines before");
    }
    for line in &lines[first..] {
        let line: String = line.chars().take(WIDTH).collect();
        let _ = writeln!(text, "{line}");
    }
    let _ = write!(text, "::{word}::\n::endgroup::");
    text
}

/// Returns text in which no line is a workflow command, whatever it quotes: one begins a line with `::`, and an older
/// kind is `##[` anywhere in it.
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
    /// Returns the place of the endpoint's task, if its name can be found; else the baseline, which says what was expected.
    fn of(&self, row: &Row) -> Option<Place<'_>> {
        if let Some(endpoint) = row.endpoint {
            for Locustfile { path, text } in &self.locustfiles {
                if let Some(line) = task_line(text, endpoint) {
                    return Some(Place { path, line });
                }
            }
        }
        self.baseline.as_deref().map(|path| Place { path, line: 1 })
    }
}

/// Returns the line, from 1, that holds the endpoint's name in quotes. Of several it is the first whose call is of its
/// method, which may stand on the line before.
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

/// Escapes a command's text as GitHub's own toolkit does.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
