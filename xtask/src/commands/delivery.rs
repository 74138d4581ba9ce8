//! The delivery of a report to people and programs: stdout, files, and the pages of GitHub Actions.

use std::env;
use std::fmt;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use judge::model::text::error_line;
use judge::verdict::compare::Verdict;
use report::formats::github::{self, Locustfile, Places};
use report::formats::markdown;
use report::formats::terminal::{self, Verbosity};
use report::{Format, Report, Unjudged, View};

use crate::config::flags::Perf;
use crate::config::project::{self, Project};
use crate::sys::process::{self, Interrupted};
use crate::sys::screen::screen;
use crate::sys::{ci, files, git};

/// Marks an error that came after the verdict was printed, which still stands.
#[derive(Debug)]
struct AfterVerdict;

impl fmt::Display for AfterVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the verdict above stands, but a report of it is missing")
    }
}

/// The destinations of a report. They are prepared before the load, so that nothing that can fail early fails late.
pub struct Delivery<'a> {
    flags: &'a Perf,
    /// The files that annotations point into, where GitHub Actions reads what is printed.
    places: Option<Places>,
}

impl<'a> Delivery<'a> {
    /// Checks that every report can be written.
    ///
    /// # Errors
    ///
    /// Names a file that cannot be written.
    pub fn prepare(project: &Project<'a>) -> Result<Delivery<'a>> {
        for path in &project.flags.reports {
            if let Some(input) = project::input_behind(project.flags, path) {
                let (report, input) = (path.display(), input.display());
                bail!("--report {report} would replace {input}, which this command reads: name another file");
            }
            files::check_writable(path)?;
        }
        let places = ci::is_github().then(|| places(project));
        Ok(Delivery { flags: project.flags, places })
    }

    /// Prints the report, and writes it wherever it is asked for. Passes the verdict on.
    ///
    /// # Errors
    ///
    /// Names the file that cannot be written.
    pub fn deliver(&self, report: &Report) -> Result<Verdict> {
        process::check_interrupted()?;
        let verbosity = match (self.flags.quiet, self.flags.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        };
        let view = View::of(report);
        let mut text = terminal::render(&view, verbosity, screen(&io::stdout()));
        if let Some(places) = &self.places {
            text = github::harmless(&text);
            // The verdict stays the last line. A change that is accepted with this very command is no alarm.
            if !self.flags.update_baseline {
                text.insert_str(0, &github::annotations(&view, places));
            }
        }
        match anstream::stdout().write_all(text.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                return Err(error).context("cannot print the report");
            }
            _ => {}
        }
        if self.places.is_some() {
            summarize(&markdown::render(&view));
        }
        for path in &self.flags.reports {
            files::write_atomically(path, &Format::of(path)?.render(&view)).context(AfterVerdict)?;
        }
        Ok(report.comparison.verdict)
    }
}

/// Writes into the reports asked for that a baseline was saved, and nothing was compared. In CI that is no verdict.
pub fn deliver_saved_baseline(flags: &Perf, unjudged: &Unjudged) {
    write_unjudged(flags, unjudged);
    if ci::is_github() {
        if unjudged.exit_code() != 0 {
            let _ = anstream::stdout().write_all(github::failure(&unjudged.sentence()).as_bytes());
        }
        summarize(&markdown::render_unjudged(unjudged));
    }
}

/// Writes the reason of a command without a verdict into the reports asked for.
pub fn deliver_failure(flags: &Perf, error: &anyhow::Error) {
    if error.is::<Interrupted>() || error.is::<AfterVerdict>() {
        return;
    }
    let reason = error_line(error);
    let unjudged = Unjudged::NoVerdict(reason.clone());
    write_unjudged(flags, &unjudged);
    if ci::is_github() {
        let _ = anstream::stdout().write_all(github::failure(&reason).as_bytes());
        summarize(&markdown::render_unjudged(&unjudged));
    }
}

/// Writes what can be written: the reason itself is printed on stderr, and an error beside it would hide it.
fn write_unjudged(flags: &Perf, unjudged: &Unjudged) {
    for path in &flags.reports {
        // The command may have failed before it refused a report in the place of what it reads.
        if project::input_behind(flags, path).is_some() {
            continue;
        }
        if let Ok(format) = Format::of(path) {
            let _ = files::write_atomically(path, &format.render_unjudged(unjudged));
        }
    }
}

/// Adds to the job's page. A page that cannot be written changes no verdict.
fn summarize(markdown: &str) {
    if let Err(error) = ci::append_to_summary(markdown) {
        let _ = writeln!(anstream::stderr(), "warning: {error:#}");
    }
}

/// Returns the page of this run of GitHub Actions, by the variables that it sets.
pub fn run_url() -> Option<String> {
    if !ci::is_github() {
        return None;
    }
    let [server, repository, run] =
        ["GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID"].map(|name| env::var(name).ok());
    Some(format!("{}/{}/actions/runs/{}", server?, repository?, run?))
}

/// Finds the files that annotations may point into.
fn places(project: &Project) -> Places {
    let prefix = git::prefix(&project.shell);
    let from_top = |path: &Path| match path.strip_prefix(&project.root) {
        Ok(relative) => format!("{prefix}{}", relative.display()),
        Err(_) => path.display().to_string(),
    };
    // Results may be judged where there is no locustfile, or none that is found.
    let named = project.settle().map(|settings| settings.locustfile).unwrap_or_default();
    let mut locustfiles = Vec::new();
    for part in named.split(',') {
        let path = project.root.join(part);
        if let Ok(text) = files::read_to_string(&path) {
            locustfiles.push(Locustfile { path: from_top(&path), text });
        }
    }
    let baseline = if project.flags.against.is_none() { Some(from_top(&project.baseline_path)) } else { None };
    Places { baseline, locustfiles }
}
