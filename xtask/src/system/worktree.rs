//! Other commits, checked out and built beside this tree: a git worktree each, under `target/perf/against`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use xshell::Shell;

use crate::system::{git, lock, process};

/// The number of commits whose checkout and build are kept: those used last.
const KEPT: usize = 3;

/// The time for git to check a large repository out.
const CHECKOUT_TIMEOUT: Duration = Duration::from_mins(10);

/// A commit's checkout. It is kept for the next call, with all that was built in it. Older ones are removed when this is
/// dropped and nobody uses any.
pub struct Worktree {
    /// The folder of the checkout.
    pub folder: PathBuf,
    shell: Shell,
    lock: Option<File>,
}

impl Worktree {
    /// Checks `commit` out, or finds it checked out. The user's own checkout, index and stash are not touched.
    ///
    /// # Errors
    ///
    /// Says that git failed, or that another command holds the checkouts for too long.
    pub fn check_out(shell: &Shell, perf_folder: &Path, commit: &str, log: &Path) -> Result<Worktree> {
        let all = perf_folder.join("against");
        fs::create_dir_all(&all).with_context(|| format!("cannot make {}", all.display()))?;
        // Git uses this name, whatever links lead here.
        let all = fs::canonicalize(&all).unwrap_or(all);
        let lock = lock::lock_shared(&all.join(".lock"), CHECKOUT_TIMEOUT)?;
        let worktree = Worktree { folder: all.join(commit), shell: shell.clone(), lock: Some(lock) };
        forget_missing(shell, &all);
        let _building = lock::lock(&all.join(".checkout.lock"), CHECKOUT_TIMEOUT)?;
        if !worktree.is_restored(commit, log) {
            remove(shell, &worktree.folder);
            let folder = worktree.folder.to_string_lossy();
            let add = git::command(shell, &["worktree", "add", "--force", "--detach", &folder, commit]);
            process::run("git worktree add", &add, log, CHECKOUT_TIMEOUT)?;
        }
        // The oldest one goes by this time.
        let _ = File::open(&worktree.folder).and_then(|folder| folder.set_modified(SystemTime::now()));
        Ok(worktree)
    }

    /// Restores a checkout, and returns whether that worked: a call that was killed may have left half of one. With the
    /// folder's own `.git` named, git never takes the repository around it instead.
    fn is_restored(&self, commit: &str, log: &Path) -> bool {
        let (git_dir, folder) = (format!("--git-dir={}/.git", self.folder.display()), self.folder.display());
        let reset = ["--work-tree", &folder.to_string(), "reset", "--hard", "--quiet", commit];
        let args = [&[git_dir.as_str()], &reset[..]].concat();
        self.folder.join(".git").is_file()
            && process::run("git reset", &git::command(&self.shell, &args), log, CHECKOUT_TIMEOUT).is_ok()
    }
}

impl Drop for Worktree {
    fn drop(&mut self) {
        self.lock = None;
        let all = self.folder.parent().unwrap_or(&self.folder);
        if let Ok(_nobody_else) = lock::lock(&all.join(".lock"), Duration::ZERO) {
            prune(&self.shell, all);
        }
    }
}

fn prune(shell: &Shell, all: &Path) {
    let Ok(entries) = fs::read_dir(all) else { return };
    let folders = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir());
    let mut folders: Vec<PathBuf> = folders.collect();
    folders.sort_by_key(|folder| folder.metadata().and_then(|metadata| metadata.modified()).ok());
    for folder in folders.iter().rev().skip(KEPT) {
        remove(shell, folder);
    }
}

/// Removes a checkout. What cannot be removed now is left to the next call.
fn remove(shell: &Shell, folder: &Path) {
    let path = folder.to_string_lossy();
    let _ = git::read(shell, &["worktree", "remove", "--force", "--force", &path]);
    let _ = fs::remove_dir_all(folder);
}

/// Removes worktrees that git still knows though their folder is gone, as after `cargo clean`.
fn forget_missing(shell: &Shell, all: &Path) {
    let known = git::read(shell, &["worktree", "list", "--porcelain"]).ok().flatten().unwrap_or_default();
    for folder in known.lines().filter_map(|line| line.strip_prefix("worktree ")).map(Path::new) {
        if folder.starts_with(all) && !folder.exists() {
            remove(shell, folder);
        }
    }
}
