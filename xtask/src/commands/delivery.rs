//! The delivery of a report: stdout, files, and the pages of GitHub Actions.

use std::env;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use judge::model::text::error_line;
use report::formats::github::{self, Locustfile, Places};
use report::formats::markdown;
use report::formats::terminal::{self, Verbosity};
use report::{Confirmation, Format, Report, View};

use crate::commands::outcome::{AfterVerdict, Outcome};
use crate::config::flags::FileFlags;
use crate::config::paths::Paths;
use crate::config::project::Project;
use crate::sys::screen::screen;
use crate::sys::session::RunsMade;
use crate::sys::{ci, files, git, printer, process};

pub fn deliver(project: &Project, report: &Report) -> Result<Outcome> {
    let flags = project.flags;
    process::check_interrupted()?;
    if let Some(Confirmation::Impossible(why)) = report.confirmation {
        project.record_runs(RunsMade::WithoutConfirmation(why.clone()))?;
    }
    let verbosity = match (flags.quiet, flags.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    let view = View::of(report);
    let mut text = terminal::render(&view, verbosity, screen(&io::stdout()));
    if ci::is_github() {
        text = github::harmless(&text);
        // The verdict stays the last line. A change that is accepted with this very command is no alarm.
        if !flags.update_baseline {
            text.insert_str(0, &github::annotations(&view, &places(project)));
        }
    }
    match printer::report(move || anstream::stdout().write_all(text.as_bytes()))? {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(error).context("cannot print the report");
        }
        _ => {}
    }
    if ci::is_github() {
        summarize(&markdown::render(&view));
    }
    write_latest(project.paths, &Format::Json.render(&view)).context(AfterVerdict)?;
    for path in &flags.files.reports {
        files::write_atomically(path, &Format::of(path)?.render(&view)).context(AfterVerdict)?;
    }
    Ok(Outcome::Judged { exit_code: report.comparison.exit_code() })
}

/// Writes `latest/report.json`, by which a program knows that the command has ended. A command that measures nothing has
/// no folder.
fn write_latest(paths: &Paths, json: &str) -> Result<()> {
    match paths.session.get() {
        Some(folder) => files::write_atomically(&folder.join("report.json"), json),
        None => Ok(()),
    }
}

/// Another error would only hide the reason.
pub fn deliver_unjudged(flags: &FileFlags, paths: &Paths, inputs: &[PathBuf], outcome: &Outcome) {
    let Outcome::Unjudged { unjudged, .. } = outcome else { return };
    let _ = write_latest(paths, &Format::Json.render_unjudged(unjudged));
    for path in &flags.reports {
        // The command may have failed before it refused a report in place of an input.
        if paths.refuse_input(path, inputs).is_ok()
            && let Ok(format) = Format::of(path)
        {
            let _ = files::write_atomically(path, &format.render_unjudged(unjudged));
        }
    }
    if ci::is_github() {
        if outcome.exit_code() != 0 {
            let _ = anstream::stdout().write_all(github::failure(&unjudged.sentence()).as_bytes());
        }
        summarize(&markdown::render_unjudged(unjudged));
    }
}

/// A page that cannot be written does not change the verdict.
fn summarize(markdown: &str) {
    if let Err(error) = ci::append_to_summary(markdown) {
        printer::progress(&format!("warning: {}\n", error_line(&error)));
    }
}

pub fn run_url() -> Option<String> {
    if !ci::is_github() {
        return None;
    }
    let [server, repository, run] =
        ["GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID"].map(|name| env::var(name).ok());
    Some(format!("{}/{}/actions/runs/{}", server?, repository?, run?))
}

fn places(project: &Project) -> Places {
    let prefix = git::prefix(&project.shell);
    let from_top = |path: &Path| match path.strip_prefix(&project.paths.root) {
        Ok(relative) => format!("{prefix}{}", relative.display()),
        Err(_) => path.display().to_string(),
    };
    // Results may be judged without a locustfile.
    let files = project.settle().map(|settings| settings.locustfiles).unwrap_or_default();
    let mut locustfiles = Vec::new();
    for file in files {
        let path = project.paths.root.join(file);
        if let Ok(text) = files::read_to_string(&path) {
            locustfiles.push(Locustfile { path: from_top(&path), text });
        }
    }
    let baseline = if project.flags.makes_rounds() { String::new() } else { from_top(&project.baseline) };
    Places { baseline, locustfiles }
}
