//! The annotations that GitHub Actions shows of a report beside its log, as workflow commands.

use std::fmt::Write as _;

use judge::model::text::foreign;
use judge::verdict::decision::Row;

use crate::view::words::{Status, Tone, series_name};
use crate::view::{Finding, View};

/// The number of annotations at most: GitHub shows ten of a kind for a step, and more would bury the first.
const ANNOTATIONS: usize = 10;

/// The files that annotations point into, as paths from the root of the repository with `/` between folders.
#[derive(Default)]
pub struct Places {
    pub baseline: String,
    pub locustfiles: Vec<Locustfile>,
}

pub struct Locustfile {
    pub path: String,
    pub text: String,
}

/// The headline and the findings as workflow commands, a line each: at most ten, failures first. A conclusive PASS without
/// warnings has none.
pub fn annotations(view: &View, places: &Places) -> String {
    let mut findings: Vec<&Finding> = view.findings.iter().chain(view.other_findings()).collect();
    findings.sort_by_key(|finding| match finding.status {
        Status::Fail => 0,
        Status::Warn => 1,
        _ => 2,
    });
    let mut text = String::new();
    let headline = property(&view.headline.to_string());
    let room = ANNOTATIONS - usize::from(view.changes.is_some());
    for finding in findings.into_iter().take(room) {
        let place = finding.row.and_then(|row| places.of(row));
        let place = place.map_or_else(String::new, |(path, line)| format!("file={},line={line},", property(path)));
        let name = finding.row.map_or_else(String::new, |row| format!(" {}", series_name(row)));
        let title = property(&format!("{}{name}", finding.status.word()));
        // The first one is read first, so its title answers. An accepted exception and a new endpoint do not answer.
        let is_answer = text.is_empty() && finding.status.is_finding();
        let title = if is_answer { &headline } else { &title };
        let _ = writeln!(text, "::{} {place}title={title}::{}", command(finding.status), data(&finding.sentence()));
    }
    if view.changes.is_some() {
        let _ = writeln!(text, "::notice title=What changed::{}", data(&view.change_lines().join("\n")));
    }
    if text.is_empty() && view.tone == Tone::Unsure {
        let _ = writeln!(text, "::warning title={headline}::{}", data(&view.evidence));
    }
    text
}

fn command(status: Status) -> &'static str {
    match status {
        Status::Fail => "error",
        Status::Warn => "warning",
        _ => "notice",
    }
}

pub fn failure(reason: &str) -> String {
    format!("::error title=NO VERDICT::{}\n", data(reason))
}

/// A log as a folded group. Within it the runner obeys nothing but `word`, which nobody else may know.
pub fn group(title: &str, log: &str, word: &str) -> String {
    /// The number of lines shown: the end shows how it went, and the file has the rest.
    const LINES: usize = 200;
    const WIDTH: usize = 300;
    let all: Vec<&str> = log.trim_end().lines().collect();
    let log = foreign(&all[all.len().saturating_sub(2 * LINES)..].join("\n"));
    let lines: Vec<&str> = log.lines().collect();
    let mut text = format!("::group::{}\n::stop-commands::{word}\n", data(title));
    let first = lines.len().saturating_sub(LINES);
    let before = all.len().saturating_sub(lines.len() - first);
    if before > 0 {
        let _ = writeln!(text, "... {before} lines before");
    }
    for line in &lines[first..] {
        let line: String = line.chars().take(WIDTH).collect();
        let _ = writeln!(text, "{line}");
    }
    let _ = write!(text, "::{word}::\n::endgroup::");
    text
}

/// Text in which no line is a workflow command, whatever it quotes: one begins a line with `::`, and an older kind is
/// `##[` anywhere in it.
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
    /// The file and the line of the endpoint's task, if its name is found; else the baseline, which has the expected values.
    fn of(&self, row: &Row) -> Option<(&str, usize)> {
        let task = |of: &'_ Locustfile| task_line(&of.text, row.endpoint?);
        let found = self.locustfiles.iter().find_map(|of| Some((of.path.as_str(), task(of)?)));
        found.or((!self.baseline.is_empty()).then_some((self.baseline.as_str(), 1)))
    }
}

/// The line, from 1, with the endpoint's name in quotes. If there are several it is the first whose call is of its method;
/// the call may be on the line before.
fn task_line(locustfile: &str, endpoint: &str) -> Option<usize> {
    let (method, name) = endpoint.split_once(' ').unwrap_or(("", endpoint));
    let quoted = ['"', '\''].map(|quote| format!("{quote}{name}{quote}"));
    let call = format!(".{}(", method.to_lowercase());
    let lines: Vec<&str> = locustfile.lines().collect();
    let has_name = |line: usize| quoted.iter().any(|quoted| lines[line].contains(quoted));
    let named: Vec<usize> = (0..lines.len()).filter(|line| has_name(*line)).collect();
    let is_called = |line: &&usize| lines[line.saturating_sub(1)..=**line].iter().any(|line| line.contains(&call));
    named.iter().find(is_called).or(named.first()).map(|line| line + 1)
}

/// Escapes a command's text as GitHub's own toolkit does.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
