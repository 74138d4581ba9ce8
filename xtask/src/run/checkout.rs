//! The checkout of another commit, and the `[service]` that runs there.

use std::path::Path;

use anyhow::{Error, Result, ensure};
use judge::model::mask;
use report::view::words::shown_commit;
use xshell::Shell;

use crate::config::perf_toml::{Config, ServiceConfig};
use crate::run::service::misses_a_file;
use crate::sys::process::Failure;
use crate::sys::{files, git};

#[derive(Clone, Copy)]
pub enum Side<'a> {
    /// The working tree alone.
    Only,
    /// The working tree, in rounds with another commit.
    This,
    /// The other commit.
    Other(&'a Checkout),
    /// A service that runs already at this host, beside another one.
    Deployment(&'a str),
}

impl Side<'_> {
    pub fn commit(&self) -> Option<&str> {
        match self {
            Side::Only | Side::This | Side::Deployment(_) => None,
            Side::Other(checkout) => Some(&checkout.commit),
        }
    }

    pub fn suffix(self) -> String {
        match self {
            Side::Only | Side::Deployment(_) => String::new(),
            Side::This => " of this tree".to_owned(),
            Side::Other(checkout) => format!(" at {}", checkout.rev),
        }
    }

    pub fn shown(self) -> String {
        match self {
            Side::Only | Side::This => "this tree".to_owned(),
            Side::Other(checkout) => checkout.shown(),
            Side::Deployment(host) => mask::url(host),
        }
    }

    /// Adds a hint to the error of a missing file in a checkout, or of one that may not be run.
    pub fn explain(self, error: Error) -> Error {
        const MISSING: &str = "; a file or module was not found: that checkout only has what is in git, so name your working tree by PERF_ROOT, as in \"$PERF_ROOT\"/.venv/bin/python";
        const NOT_EXECUTABLE: &str = "; a file of that commit is not executable: start it by its interpreter, or commit its mode: `git update-index --chmod=+x FILE`";
        match (self, error.downcast::<Failure>()) {
            (Side::Other(_), Ok(mut failure)) => {
                // What a shell returns for a file that it found and may not run.
                if failure.exit_code == Some(126) {
                    failure.line.push_str(NOT_EXECUTABLE);
                } else if misses_a_file(&failure) {
                    failure.line.push_str(MISSING);
                }
                failure.into()
            }
            (_, Ok(failure)) => failure.into(),
            (_, Err(error)) => error,
        }
    }
}

pub struct Checkout {
    /// The commit as the user named it, or a short hash.
    rev: String,
    pub commit: String,
    /// In the checkout's folder that corresponds to the root.
    pub shell: Shell,
    pub service: ServiceConfig,
    /// A difference to the working tree's service beyond the code.
    pub warning: Option<String>,
}

impl Checkout {
    pub fn new(project: &Shell, rev: &str, commit: &str, ours: &ServiceConfig, worktree: &Path) -> Result<Checkout> {
        let prefix = git::prefix(project);
        let root = worktree.join(&prefix);
        ensure!(root.is_dir(), "that commit has no folder {prefix}");
        let shell = Shell::new()?;
        shell.change_dir(&root);
        // Both sides must not build into a folder that the user has set for all.
        shell.set_var("CARGO_TARGET_DIR", root.join("target"));
        let (service, warning) = choose_service(rev, ours, &root.join("perf.toml"))?;
        Ok(Checkout { rev: rev.to_owned(), commit: commit.to_owned(), shell, service, warning })
    }

    pub fn shown(&self) -> String {
        at_commit(&self.rev, &self.commit)
    }
}

/// `at v1.2 (1f0c2a9d4b11)`, or `at 1f0c2a9d4b11`.
pub fn at_commit(rev: &str, commit: &str) -> String {
    let short = shown_commit(commit, false);
    if rev == short { format!("at {rev}") } else { format!("at {rev} ({short})") }
}

/// The commit's own, or the working tree's if there is none that can be read.
fn choose_service(rev: &str, ours: &ServiceConfig, perf_toml: &Path) -> Result<(ServiceConfig, Option<String>)> {
    if !files::exists(perf_toml) {
        let warning = format!("{rev} has no perf.toml, so this tree's [service] starts it there too");
        return Ok((ours.clone(), Some(warning)));
    }
    Ok(match Config::parse(&files::read_to_string(perf_toml)?) {
        // Only ours names the files that are not in git.
        Ok(Config { service: Some(own), .. }) if ours.names_root() && !own.names_root() => {
            let warning = format!("this tree's [service] is also used at {rev}, whose own does not use PERF_ROOT");
            (ours.clone(), Some(warning))
        }
        Ok(Config { service: Some(own), .. }) if own != *ours => {
            let warning = format!("at {rev} the service of its own perf.toml is used: `{}`", own.command);
            (own, Some(warning))
        }
        Ok(_) => (ours.clone(), None),
        Err(error) => {
            let warning = format!("this tree's [service] is used for {rev}, whose perf.toml{error:#}");
            (ours.clone(), Some(warning))
        }
    })
}
