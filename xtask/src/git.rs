//! What git knows. Without git, or outside a repository, it knows nothing, which is no error.

use std::path::Path;

use xshell::{Shell, cmd};

/// The commit that is checked out, and whether the tree differs from it.
#[derive(Debug, PartialEq)]
pub struct Head {
    pub commit: String,
    pub dirty: bool,
}

pub fn head(shell: &Shell) -> Option<Head> {
    let commit = read(cmd!(shell, "git rev-parse --verify HEAD"))?;
    // The baseline itself is not what is measured.
    let status = read(cmd!(shell, "git status --porcelain -- . :(exclude,top)*perf_baseline.json"))?;
    Some(Head { commit, dirty: !status.is_empty() })
}

/// How many commits HEAD is ahead of `commit`; `None` where git does not know it, as in a shallow clone.
pub fn commits_since(shell: &Shell, commit: &str) -> Option<u32> {
    // From the file, so it must not be read as an option.
    if commit.is_empty() || !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let range = format!("{commit}..HEAD");
    read(cmd!(shell, "git merge-base --is-ancestor {commit} HEAD"))?;
    read(cmd!(shell, "git rev-list --count {range}"))?.parse().ok()
}

/// The digest that `git hash-object` gives a file of these bytes (SHA-1 over a header and the content).
pub fn blob_hash(bytes: &[u8]) -> String {
    let mut sha1 = sha1_smol::Sha1::from(format!("blob {}\0", bytes.len()));
    sha1.update(bytes);
    sha1.digest().to_string()
}

/// The root of the user's repository: the nearest folder upwards with a `perf.toml`, else of git, else the folder itself.
pub fn root(from: &Path) -> &Path {
    upwards(from, "perf.toml").or_else(|| upwards(from, ".git")).unwrap_or(from)
}

/// The nearest folder upwards that holds `name`.
fn upwards<'a>(from: &'a Path, name: &str) -> Option<&'a Path> {
    from.ancestors().find(|folder| folder.join(name).exists())
}

fn read(command: xshell::Cmd<'_>) -> Option<String> {
    command.quiet().ignore_stderr().env("GIT_OPTIONAL_LOCKS", "0").read().ok()
}
