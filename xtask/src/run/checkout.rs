//! The checkout of another commit, and the `[service]` that runs there.

use anyhow::{Error, Result, ensure};
use report::view::words::shown_commit;
use xshell::Shell;

use crate::config::perf_toml::{Config, ServiceConfig};
use crate::run::service::misses_a_file;
use crate::sys::process::Failure;
use crate::sys::worktree::Worktree;
use crate::sys::{files, git};

/// The version of the service that a run measures.
#[derive(Clone, Copy)]
pub enum Side<'a> {
    /// The working tree alone.
    Only,
    /// The working tree, beside another commit.
    This,
    Other(&'a Checkout),
}

impl Side<'_> {
    pub fn is_other(self) -> bool {
        matches!(self, Side::Other(_))
    }

    pub fn suffix(self) -> String {
        match self {
            Side::Only => String::new(),
            Side::This => " of this tree".to_owned(),
            Side::Other(checkout) => format!(" {}", checkout.label),
        }
    }

    /// Adds a hint about `{root}` to the error of a missing file in a checkout.
    pub fn explain(self, error: Error) -> Error {
        const MISSING: &str = "; a file or module was not found: that checkout only has what is in git, so write {root} for your own checkout, as in {root}/.venv/bin/python";
        match (self, error.downcast::<Failure>()) {
            (Side::Other(_), Ok(mut failure)) if misses_a_file(&failure) => {
                failure.line.push_str(MISSING);
                failure.into()
            }
            (_, Ok(failure)) => failure.into(),
            (_, Err(error)) => error,
        }
    }
}

pub struct Checkout {
    /// `at v1.2`.
    label: String,
    pub commit: String,
    /// In the checkout's folder that corresponds to the root.
    pub shell: Shell,
    pub service: ServiceConfig,
    /// A difference to the working tree's service beyond the code.
    pub warning: Option<String>,
    /// It holds the checkout's lock.
    _worktree: Worktree,
}

impl Checkout {
    pub fn new(project: &Shell, rev: &str, commit: &str, ours: &ServiceConfig, worktree: Worktree) -> Result<Checkout> {
        let prefix = git::prefix(project);
        let root = worktree.folder.join(&prefix);
        ensure!(root.is_dir(), "--against {rev}: that commit has no folder {prefix}");
        let shell = Shell::new()?;
        shell.change_dir(&root);
        // Both sides must not build into a folder that the user has set for all.
        shell.set_var("CARGO_TARGET_DIR", root.join("target"));
        let perf_toml = files::read_to_string(&root.join("perf.toml")).ok();
        let (service, warning) = choose_service(rev, ours, perf_toml.as_deref());
        let label = format!("at {rev}");
        Ok(Checkout { label, commit: commit.to_owned(), shell, service, warning, _worktree: worktree })
    }

    /// The label and the commit: `at v1.2 (1f0c2a9d4b11)`.
    pub fn shown(&self) -> String {
        format!("{} ({})", self.label, shown_commit(&self.commit, false))
    }
}

/// Takes the `[service]` of the commit's own `perf.toml`, or the working tree's if it has none that can be read.
fn choose_service(rev: &str, ours: &ServiceConfig, perf_toml: Option<&str>) -> (ServiceConfig, Option<String>) {
    let Some(text) = perf_toml else {
        let warning = format!("{rev} has no perf.toml, so this tree's [service] starts it there too");
        return (ours.clone(), Some(warning));
    };
    match Config::parse(text) {
        // Only ours names the files that are not in git.
        Ok(Config { service: Some(own), .. }) if ours.names_root() && !own.names_root() => {
            let warning = format!("this tree's [service] is also used at {rev}, whose own does not use {{root}}");
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
    }
}
