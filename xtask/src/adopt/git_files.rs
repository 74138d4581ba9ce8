//! What git and Docker leave out, in the other repository.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::sys::{files, git};
use anyhow::Result;
use xshell::Shell;

use crate::adopt::cargo::Present;
use crate::adopt::edits::{Destination, Edit, NewFile};

struct IgnoreLine {
    line: &'static str,
    path: &'static str,
}

const IGNORE_LINES: [IgnoreLine; 3] = [
    IgnoreLine { line: "/target/", path: "target/x" },
    IgnoreLine { line: "__pycache__/", path: "__pycache__/x" },
    IgnoreLine { line: "perf_report.html", path: "perf_report.html" },
];

/// Without it, git merges two baselines line by line into one that nobody measured.
const NO_MERGE: &str = "perf_baseline.json -merge";

const SEPARATE_BUILD: IgnoreLine = IgnoreLine { line: "/xtask/target/", path: "xtask/target/x" };

/// `built` is the package that cargo builds at the root, if any.
pub(crate) fn edits(
    destination: &Destination,
    at_top: &Shell,
    in_folder: &Shell,
    built: Option<&Present>,
) -> Result<Vec<Edit>> {
    let Destination { top, folder, inside } = destination;
    let mut edits = Vec::new();
    let build_lines = match built {
        Some(present) if present.is_separate() => not_ignored(at_top, &[SEPARATE_BUILD]),
        Some(_) => not_ignored(at_top, &IGNORE_LINES[..1]),
        None => Vec::new(),
    };
    let mut lines = not_ignored(in_folder, &IGNORE_LINES);
    if inside.is_empty() {
        lines.extend(build_lines.into_iter().filter(|line| *line != IGNORE_LINES[0].line));
    } else if built.is_some() {
        edits.push(append(top, "", ".gitignore", &build_lines)?);
    }
    edits.push(append(folder, inside, ".gitignore", &lines)?);
    let merge = git::read(in_folder, &["check-attr", "merge", "--", "perf_baseline.json"])?.unwrap_or_default();
    let missing: &[&str] = if merge.ends_with(": unset") { &[] } else { &[NO_MERGE] };
    edits.push(append(folder, inside, ".gitattributes", missing)?);
    let is_separate = built.is_some_and(Present::is_separate);
    if is_separate && !inside.is_empty() {
        edits.extend(dockerignore(top, "", true)?);
    }
    edits.extend(dockerignore(folder, inside, is_separate && inside.is_empty())?);
    Ok(edits)
}

fn not_ignored(shell: &Shell, lines: &[IgnoreLine]) -> Vec<&'static str> {
    let ignored = ignored(shell, lines.iter().map(|line| line.path.to_owned()));
    let missing = lines.iter().filter(|line| !ignored.iter().any(|found| found.path == line.path));
    missing.map(|line| line.line).collect()
}

fn dockerignore(folder: &Path, inside: &str, has_separate: bool) -> Result<Option<Edit>> {
    let path = folder.join(".dockerignore");
    if !path.exists() && !folder.join("Dockerfile").exists() {
        return Ok(None);
    }
    let text = if path.exists() { files::read_to_string(&path)? } else { String::new() };
    let has_line = |known: &[&str]| text.lines().any(|line| known.contains(&line.trim().trim_matches('/')));
    let mut missing = Vec::new();
    if !has_line(&["target", "**/target", "*"]) {
        missing.push("target");
    }
    if has_separate && !has_line(&["xtask", "xtask/target", "**/target", "*"]) {
        missing.push("xtask/target");
    }
    append(folder, inside, ".dockerignore", &missing).map(Some)
}

fn append(folder: &Path, inside: &str, name: &str, missing: &[&str]) -> Result<Edit> {
    let path = folder.join(name);
    let name = format!("{inside}{name}");
    if missing.is_empty() {
        return Ok(Edit::kept(name));
    }
    let old = if path.exists() { files::read_to_string(&path)? } else { String::new() };
    let end = if old.is_empty() || old.ends_with('\n') { "" } else { "\n" };
    let done = format!("{} {}", if path.exists() { "added" } else { "created with" }, missing.join(" "));
    let text = format!("{old}{end}{}\n", missing.join("\n"));
    Ok(Edit { done, ..Edit::created(name, vec![NewFile::new(path, text)]) })
}

/// A path that git ignores, and the rule: `.gitignore:3: report/`.
struct Ignored {
    path: String,
    rule: String,
}

/// Only the rules of the repository count, because a colleague does not have the user's.
fn ignored(shell: &Shell, paths: impl Iterator<Item = String>) -> Vec<Ignored> {
    let paths: Vec<String> = paths.collect();
    let mut args = vec!["-c", "core.excludesFile=/dev/null", "check-ignore", "--no-index", "--verbose", "--"];
    args.extend(paths.iter().map(String::as_str));
    let listed = git::text(shell, &args);
    let parse = |line: &str| {
        let (rule, path) = line.split_once('\t')?;
        let (place, pattern) = rule.rsplit_once(':')?;
        let is_exception = pattern.starts_with('!');
        (!is_exception).then(|| Ignored { path: path.to_owned(), rule: format!("{place}: {pattern}") })
    };
    listed.lines().filter_map(parse).collect()
}

/// A line for each rule of git that hides files which must be committed.
pub(crate) fn hidden(at_top: &Shell, destination: &Destination, edits: &[Edit]) -> Vec<String> {
    let written = edits.iter().flat_map(|edit| &edit.files);
    let mut paths: Vec<String> =
        written.filter_map(|file| Some(file.path.strip_prefix(&destination.top).ok()?.display().to_string())).collect();
    paths.push(format!("{}perf_baseline.json", destination.inside));
    if edits.iter().any(|edit| edit.name == "Cargo.toml") {
        paths.push("Cargo.lock".to_owned());
    }
    let mut hidden: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for Ignored { path, rule } in ignored(at_top, paths.into_iter()) {
        hidden.entry(rule).or_default().insert(path);
    }
    let line = |(rule, paths): (String, BTreeSet<String>)| {
        let paths: Vec<String> = paths.into_iter().collect();
        format!("`{rule}` hides {}, which must be committed: change that rule", paths.join(" "))
    };
    hidden.into_iter().map(line).collect()
}
