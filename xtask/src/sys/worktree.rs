//! Other commits, checked out and built outside this repository: a git worktree each, in a folder a repository. Inside it,
//! compilers and linters that take whatever lies below the root would take them too.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use xshell::Shell;

use crate::sys::git::{self, Submodule};
use crate::sys::{lock, process};

/// The number of commits whose checkout and build are kept: those used last.
const KEPT: usize = 3;

/// The time for git to check a large repository out.
const CHECKOUT_TIMEOUT: Duration = Duration::from_mins(10);

/// Returns the folder of this repository's checkouts: in `own`, which `perf.toml` names, or in the user's cache.
///
/// # Errors
///
/// Says that neither is known, and what to set.
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
    // Tools stumble over other characters in a path.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&c);
    let name: String = name.chars().map(|c| if is_plain(c) { c } else { '-' }).collect();
    let digest = git::blob_hash(git_dir.as_os_str().as_encoded_bytes());
    Ok(all.join(format!("{name}-{}", &digest[..12])))
}

/// Returns the folder of the user's cache.
fn cache() -> Result<PathBuf> {
    let below_home = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
    let folder = folder_in("XDG_CACHE_HOME").or_else(|| Some(folder_in("HOME")?.join(below_home)));
    folder.context(
        "neither XDG_CACHE_HOME nor HOME is set, so there is no folder for the checkout of another commit: set one, or name a folder in [against] folder of perf.toml",
    )
}

/// Returns the folder that a variable names. A relative one is none, as the XDG base directory specification has it.
fn folder_in(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).filter(|folder| folder.is_absolute())
}

/// A commit's checkout. It is kept for the next call, with all that was built in it. Older ones are removed when this is
/// dropped.
pub struct Worktree {
    /// The folder of the checkout.
    pub folder: PathBuf,
    shell: Shell,
    /// While it is held, nobody else builds or runs what is checked out here.
    _turn: File,
}

impl Worktree {
    /// Checks `commit` out in the folder of all checkouts, or finds it there. The user's own checkout, index and stash are
    /// not touched. `say` prints a line of progress.
    ///
    /// # Errors
    ///
    /// Says that git failed, that a submodule's commit is not here, or that another command holds the checkouts for too long.
    pub fn check_out(shell: &Shell, all: &Path, commit: &str, log: &Path, say: &dyn Fn(&str)) -> Result<Worktree> {
        fs::create_dir_all(all).with_context(|| {
            format!("cannot make {}: name another folder in [against] folder of perf.toml", all.display())
        })?;
        // Git uses this name, whatever links lead here.
        let all = fs::canonicalize(all).with_context(|| format!("cannot find {}", all.display()))?;
        // Two checkouts of the user's own, as two worktrees, share them.
        let waiting = "waiting: another run is using this repository's checkouts of other commits";
        let turn = lock::wait_for_turn(&all.join(".lock"), waiting, say)?;
        let folder = all.join(commit);
        put(shell, commit, &folder, &all, log)?;
        // The oldest one goes by this time.
        let _ = File::open(&folder).and_then(|folder| folder.set_modified(SystemTime::now()));
        Ok(Worktree { folder, shell: shell.clone(), _turn: turn })
    }
}

impl Drop for Worktree {
    fn drop(&mut self) {
        if let Some(all) = self.folder.parent() {
            prune(&self.shell, all);
        }
    }
}

/// Puts a commit of the repository around `shell` into `folder`, one of `all`, with the submodules that this tree has. These
/// come from their repositories here, so nothing is fetched.
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
            "its submodule {path} is at {commit}, which is not here: `git -C {path} fetch origin {commit}`"
        );
        put(&shell, &commit, &folder.join(&path), all, log)?;
    }
    Ok(())
}

/// Restores a checkout, and returns whether that worked: a call that was killed may have left half of one. With the folder's
/// own `.git` named, git never takes the repository around it instead.
fn is_restored(shell: &Shell, commit: &str, folder: &Path, log: &Path) -> bool {
    let (git_dir, work_tree) = (format!("--git-dir={}/.git", folder.display()), folder.display().to_string());
    let reset = [&git_dir, "--work-tree", &work_tree, "reset", "--hard", "--quiet", commit];
    folder.join(".git").is_file()
        && process::run("git reset", &git::command(shell, &reset), log, CHECKOUT_TIMEOUT).is_ok()
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

/// Removes worktrees that git still knows though their folder is gone, as where the cache was emptied.
fn forget_missing(shell: &Shell, all: &Path) {
    let known = git::read(shell, &["worktree", "list", "--porcelain"]).ok().flatten().unwrap_or_default();
    for folder in known.lines().filter_map(|line| line.strip_prefix("worktree ")).map(Path::new) {
        if folder.starts_with(all) && !folder.exists() {
            remove(shell, folder);
        }
    }
}
