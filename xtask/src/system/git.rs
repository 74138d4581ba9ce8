//! Questions to git. Without git, or outside a repository, there is no answer, which is not an error.

use std::path::Path;

use anyhow::{Result, bail};
use xshell::{Cmd, Shell, cmd};

/// The commit that is checked out, and whether the tree differs from it.
#[derive(Debug, PartialEq)]
pub struct Head {
    /// The full hash.
    pub commit: String,
    /// Says that the working tree has uncommitted changes.
    pub dirty: bool,
}

/// Returns the commit that is checked out.
pub fn head(shell: &Shell) -> Option<Head> {
    let commit = read(cmd!(shell, "git rev-parse --verify HEAD"))?;
    // The baseline itself is not what is measured.
    let status = read(cmd!(shell, "git status --porcelain -- . :(exclude,top)*perf_baseline.json"))?;
    Some(Head { commit, dirty: !status.is_empty() })
}

/// Returns how many commits HEAD is ahead of `commit`; `None` where git does not know it, as in a shallow clone.
pub fn commits_since(shell: &Shell, commit: &str) -> Option<u32> {
    // From the file, so it must not be read as an option.
    if commit.is_empty() || !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let range = format!("{commit}..HEAD");
    read(cmd!(shell, "git merge-base --is-ancestor {commit} HEAD"))?;
    read(cmd!(shell, "git rev-list --count {range}"))?.parse().ok()
}

/// Returns the full hash of the commit that `rev` names.
///
/// # Errors
///
/// Says that git does not know it, and how to fetch it.
pub fn resolve(shell: &Shell, rev: &str) -> Result<String> {
    let commit = format!("{rev}^{{commit}}");
    if let Some(commit) = read(cmd!(shell, "git rev-parse --verify --quiet --end-of-options {commit}")) {
        return Ok(commit);
    }
    let branch = rev.strip_prefix("origin/").unwrap_or(rev);
    match read(cmd!(shell, "git rev-parse --is-shallow-repository")).as_deref() {
        None => bail!("--against {rev}: git knows no repository here, and so no other commit"),
        Some("true") => bail!(
            "--against {rev}: this shallow clone has no such commit: fetch it with `git fetch --unshallow origin`, or check out with `fetch-depth: 0`"
        ),
        Some(_) => bail!(
            "--against {rev}: there is no such commit here: check the name, or fetch it with `git fetch origin {branch}`"
        ),
    }
}

/// Returns the path of the shell's folder in its repository: empty, or `services/claims/`.
pub fn prefix(shell: &Shell) -> String {
    read(cmd!(shell, "git rev-parse --show-prefix")).unwrap_or_default()
}

/// Makes a git command that works on the repository around the shell's folder, whatever a hook that calls us has set. It
/// runs no hook itself.
pub fn command<'a>(shell: &'a Shell, args: &[&str]) -> Cmd<'a> {
    let command = cmd!(shell, "git -c core.hooksPath=/dev/null {args...}");
    ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"].iter().fold(command, Cmd::env_remove)
}

/// Returns the digest that `git hash-object` gives a file of these bytes (SHA-1 over a header and the content).
pub fn blob_hash(bytes: &[u8]) -> String {
    let mut sha1 = sha1_smol::Sha1::from(format!("blob {}\0", bytes.len()));
    sha1.update(bytes);
    sha1.digest().to_string()
}

/// Returns the root of the user's repository: the nearest folder upwards with a `perf.toml`, else of git, else the folder
/// itself. What lies around a git repository belongs to another one.
pub fn root(from: &Path) -> &Path {
    let top = upwards(from, ".git");
    let configured = upwards(from, "perf.toml").filter(|folder| top.is_none_or(|top| folder.starts_with(top)));
    configured.or(top).unwrap_or(from)
}

/// Returns the nearest folder upwards that holds `name`.
fn upwards<'a>(from: &'a Path, name: &str) -> Option<&'a Path> {
    from.ancestors().find(|folder| folder.join(name).exists())
}

/// Runs a git command and returns what it prints, or `None` where it fails.
pub fn read(command: Cmd<'_>) -> Option<String> {
    command.quiet().ignore_stderr().env("GIT_OPTIONAL_LOCKS", "0").read().ok()
}
