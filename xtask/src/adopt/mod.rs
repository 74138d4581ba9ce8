//! `cargo xtask adopt PATH` installs the gate in another repository, all of it or nothing.

mod cargo;
pub mod ci_job;
mod config_files;
mod edits;
mod found;
mod git_files;
pub mod gitlab;
mod imports;
mod pipelines;
pub mod source;
mod template;
mod undo;
pub mod workflow;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::sys::{git, process};
use anyhow::{Context as _, Result, ensure};
use judge::model::program;
use xshell::Shell;

use crate::adopt::cargo::Present;
use crate::adopt::ci_job::{CiJob, Install};
use crate::adopt::edits::{Destination, Edit, write_all};
use crate::adopt::source::{Source, workspace};
use crate::maintenance_flags::Adopt;

/// Returns a summary: the edits, and the next steps.
pub fn adopt(flags: &Adopt) -> Result<String> {
    process::catch_signals()?;
    let destination = destination(&flags.path)?;
    let [at_top, in_folder] = [Shell::new()?, Shell::new()?];
    at_top.change_dir(&destination.top);
    in_folder.change_dir(&destination.folder);
    let source = Source::find(&destination.top, flags)?;
    let present = Present::find(&destination.top, &at_top)?;
    let mut edits = Vec::new();
    let line = source.line(&destination.top, present.folder());
    if let Some(line) = &line {
        edits.extend(cargo::edits(&destination, &at_top, &present, line)?);
    }
    edits.extend(config_files::edits(&destination, &in_folder, &source.excluded(&destination.top))?);
    let built = line.is_some().then_some(&present);
    edits.extend(git_files::edits(&destination, &at_top, &in_folder, built)?);
    let manifest = format!("{}/Cargo.toml", present.folder());
    let lock = present.is_separate().then_some("xtask/Cargo.lock");
    let version_files: Vec<&str> = lock.into_iter().chain([manifest.as_str()]).collect();
    let install = match &source {
        Source::Packaged(package) => Install::Pip(package),
        _ => Install::Cargo { version_files: &version_files, is_separate: present.is_separate() },
    };
    let (branches, python) = (found::branches(&at_top)?, found::python_version(&destination));
    edits.extend(pipelines::edits(&destination, &CiJob { inside: &destination.inside, install, branches, python })?);
    let hidden = git_files::hidden(&at_top, &destination, &edits);
    let mut text = summary(flags, &destination, &source, &edits, hidden);
    if !flags.check {
        text.push_str(&undo::lines(&destination, &at_top, &edits)?);
        write_all(edits.iter().flat_map(|edit| &edit.files))?;
    }
    Ok(text)
}

fn destination(path: &Path) -> Result<Destination> {
    let shown = path.display();
    let folder = fs::canonicalize(path).with_context(|| format!("cannot install the gate in {shown}"))?;
    ensure!(folder.is_dir(), "cannot install the gate in {shown}: it is a file; name the repository's folder");
    let shell = Shell::new()?;
    shell.change_dir(&folder);
    let top = git::read(&shell, &["rev-parse", "--show-toplevel"])?.with_context(|| {
        format!("{shown} is not a git repository, and a baseline must be committed: run `git init` there first")
    })?;
    let top = fs::canonicalize(top).with_context(|| format!("cannot install the gate in {shown}"))?;
    ensure!(workspace().ok() != Some(top.as_path()), "{shown} is where this gate is already: name another repository");
    let inside = folder.strip_prefix(&top).unwrap_or(Path::new("")).display().to_string();
    let inside = if inside.is_empty() { inside } else { format!("{inside}/") };
    Ok(Destination { top, folder, inside })
}

fn summary(flags: &Adopt, destination: &Destination, source: &Source, edits: &[Edit], hidden: Vec<String>) -> String {
    let mut text = String::new();
    if flags.check {
        text.push_str("--check: nothing is written. This is what adopt would do.\n\n");
    }
    let width = edits.iter().map(|edit| edit.name.len()).max().unwrap_or(0);
    for edit in edits {
        let _ = writeln!(text, "{:width$}  {}", edit.name, edit.done);
    }
    let advice = edits.iter().filter(|edit| !edit.advice.is_empty()).map(|edit| edit.advice.join("\n       "));
    let advice = advice.chain(hidden);
    let written: Vec<&Edit> = edits.iter().filter(|edit| !edit.files.is_empty()).collect();
    let next: Vec<String> = if written.is_empty() {
        advice.collect()
    } else if written.iter().any(|edit| edit.done.starts_with("upgraded")) {
        let commit = "see the gate's CHANGELOG.md for changes, then commit everything".to_owned();
        advice.chain(source.warning()).chain([commit]).collect()
    } else {
        let [describe, rest @ ..] = first_steps(destination, source);
        [describe].into_iter().chain(advice).chain(source.warning()).chain(rest).collect()
    };
    let folder = destination.folder.display();
    if next.is_empty() {
        let _ = write!(text, "\nThe gate is already in {folder}.");
        return text;
    }
    let is = if flags.check { "would be" } else { "is" };
    let _ = write!(text, "\nThe gate {is} in {folder}. Next steps:");
    for (number, line) in next.iter().enumerate() {
        let _ = write!(text, "\n  {}. {line}", number + 1);
    }
    text
}

/// From the files to the first verdict. Only the owner knows what the first asks for.
fn first_steps(destination: &Destination, source: &Source) -> [String; 4] {
    let name = program::name();
    let at = if destination.inside.is_empty() { String::new() } else { format!(", in {}", destination.inside) };
    // The first build drops what is not needed from `Cargo.lock`, which would make the tree dirty.
    let commit = match source {
        Source::Packaged(_) => "commit everything".to_owned(),
        _ => format!("build the gate, which completes Cargo.lock, and commit everything: {name} perf --help"),
    };
    [
        format!("edit perf.toml (how to start the service) and the locustfile (what users do){at}"),
        commit,
        format!("measure the baseline, in the clean tree{at}: {name} perf --update-baseline"),
        format!("commit perf_baseline.json: from then on, `{name} perf` is the gate, locally and in CI"),
    ]
}
