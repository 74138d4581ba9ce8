//! Checkouts of other commits: one git worktree per commit, one folder per repository. They lie outside the repository, where
//! compilers and linters that take everything below its root do not find them.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use xshell::Shell;

use crate::sys::git::{self, Submodule};
use crate::sys::{files, lock, process};

/// Checkouts of the commits that were used last are kept with their builds.
const KEPT: usize = 3;

/// The number that is kept while a command checks out one commit after another.
const KEPT_MEANWHILE: usize = 6;

const CHECKOUT_TIMEOUT: Duration = Duration::from_secs(600);

/// The folder of this repository's checkouts, in the folder `own` that `perf.toml` names, or in the user's cache.
pub fn folder_of_checkouts(shell: &Shell, own: Option<&str>) -> Result<PathBuf> {
    let all = match own {
        None => cache()?.join("locust-gate"),
        Some(own) => match own.strip_prefix("~/") {
            Some(below_home) => folder_in("HOME").context("[against] folder: HOME is not set")?.join(below_home),
            None => shell.current_dir().join(own),
        },
    };
    let git_dir = git::common_dir(shell).unwrap_or_else(|| shell.current_dir());
    let is_git = |path: &&Path| path.file_name().is_some_and(|name| name == ".git");
    let named = Some(&*git_dir).filter(is_git).and_then(Path::parent).unwrap_or(&git_dir);
    let name = named.file_name().unwrap_or_default().to_string_lossy();
    // Some tools fail on other characters.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&c);
    let name: String = name.chars().map(|c| if is_plain(c) { c } else { '-' }).collect();
    let digest = git::blob_hash(git_dir.as_os_str().as_encoded_bytes());
    Ok(all.join(format!("{name}-{}", &digest[..12])))
}

fn cache() -> Result<PathBuf> {
    let below_home = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
    let folder = folder_in("XDG_CACHE_HOME").or_else(|| Some(folder_in("HOME")?.join(below_home)));
    folder.context(
        "neither XDG_CACHE_HOME nor HOME is set, so there is no folder for the checkout of another commit: set one, or name a folder in [against] folder of perf.toml",
    )
}

/// The XDG base directory specification ignores relative paths.
fn folder_in(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).filter(|folder| folder.is_absolute())
}

/// They are kept for the next call with their builds. Dropping it removes old ones.
pub struct Checkouts {
    shell: Shell,
    folder: PathBuf,
    /// While it is held, no other command builds or runs these checkouts.
    _turn: File,
}

impl Checkouts {
    /// Waits for other commands that use them.
    pub fn open(shell: &Shell, folder: &Path, say: &dyn Fn(&str)) -> Result<Checkouts> {
        fs::create_dir_all(folder).with_context(|| {
            format!("cannot make {}: name another folder in [against] folder of perf.toml", folder.display())
        })?;
        // Git knows its worktrees by the path without links.
        let folder = fs::canonicalize(folder).with_context(|| format!("cannot find {}", folder.display()))?;
        // Two checkouts of the user's own, as two worktrees, share them.
        let waiting = "waiting: another run is using this repository's checkouts of other commits";
        let turn = lock::wait_for_turn(&folder.join(".lock"), waiting, say)?;
        Ok(Checkouts { shell: shell.clone(), folder, _turn: turn })
    }

    /// Returns the folder. Does not touch the user's own checkout, index and stash.
    pub fn check_out(&self, commit: &str, log: &Path) -> Result<PathBuf> {
        let folder = self.folder.join(commit);
        put(&self.shell, commit, &folder, &self.folder, log)?;
        // The checkouts with the oldest times are removed.
        let _ = File::open(&folder).and_then(|folder| folder.set_modified(SystemTime::now()));
        prune(&self.shell, &self.folder, KEPT_MEANWHILE);
        Ok(folder)
    }
}

impl Drop for Checkouts {
    fn drop(&mut self) {
        prune(&self.shell, &self.folder, KEPT);
    }
}

/// Puts a commit of the shell's repository into `folder`, one of `all`, with the submodules that this tree has. They come
/// from their local repositories, so nothing is fetched.
fn put(shell: &Shell, commit: &str, folder: &Path, all: &Path, log: &Path) -> Result<()> {
    forget_missing(shell, all);
    if !is_restored(shell, commit, folder, log) {
        remove(shell, folder);
        let path = folder.to_string_lossy();
        let add = git::command(shell, &["worktree", "add", "--force", "--detach", &path, commit]);
        process::run("git worktree add", &add, log, CHECKOUT_TIMEOUT)?;
    }
    if !folder.join(".gitmodules").is_file() {
        return Ok(());
    }
    let top = git::top(shell).unwrap_or_else(|| shell.current_dir());
    for Submodule { path, commit } in git::submodules(shell, commit)? {
        let own = top.join(&path);
        if !own.join(".git").exists() {
            continue;
        }
        let shell = Shell::new()?;
        shell.change_dir(&own);
        let is_here = git::read(&shell, &["cat-file", "-e", &format!("{commit}^{{commit}}")])?.is_some();
        ensure!(
            is_here,
            "its submodule {path} is at commit {commit}, which this clone lacks: run `git -C {path} fetch origin {commit}`"
        );
        put(&shell, &commit, &folder.join(&path), all, log)?;
    }
    Ok(())
}

/// Restores a checkout, which a killed command may have left half made. Without the name of `.git`, git would take the
/// repository around the folder.
fn is_restored(shell: &Shell, commit: &str, folder: &Path, log: &Path) -> bool {
    let (git_dir, work_tree) = (format!("--git-dir={}/.git", folder.display()), folder.display().to_string());
    let reset = [&git_dir, "--work-tree", &work_tree, "reset", "--hard", "--quiet", commit];
    folder.join(".git").is_file()
        && process::run("git reset", &git::command(shell, &reset), log, CHECKOUT_TIMEOUT).is_ok()
}

fn prune(shell: &Shell, all: &Path, kept: usize) {
    let mut folders: Vec<PathBuf> = files::entries(all).filter(|path| path.is_dir()).collect();
    folders.sort_by_key(|folder| folder.metadata().and_then(|metadata| metadata.modified()).ok());
    for folder in folders.iter().rev().skip(kept) {
        remove(shell, folder);
    }
}

fn remove(shell: &Shell, folder: &Path) {
    let path = folder.to_string_lossy();
    let _ = git::read(shell, &["worktree", "remove", "--force", "--force", &path]);
    let _ = fs::remove_dir_all(folder);
}

/// Removes worktrees that git still knows although their folder is gone, because the cache was emptied.
fn forget_missing(shell: &Shell, all: &Path) {
    let known = git::text(shell, &["worktree", "list", "--porcelain"]);
    for folder in known.lines().filter_map(|line| line.strip_prefix("worktree ")).map(Path::new) {
        if folder.starts_with(all) && !folder.exists() {
            remove(shell, folder);
        }
    }
}
