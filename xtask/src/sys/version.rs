//! The version of this program and its commit.

use std::path::Path;

use judge::model::run::is_hash;
use xshell::Shell;

use crate::sys::git;

const SOURCE: &str = env!("CARGO_MANIFEST_DIR");

/// `0.2.0`.
pub fn number() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// `0.2.0 (1f0c3a9b7d21)`, or `0.2.0` if the commit is not known.
pub fn text() -> String {
    const SHOWN: usize = 12;
    // A build script could find the commit, but every cold build would pay for it.
    let released = option_env!("LOCUST_GATE_COMMIT").map(str::to_owned);
    match released.or_else(|| commit_of_checkout(SOURCE)).or_else(own_head) {
        Some(commit) => format!("{} ({})", number(), &commit[..commit.len().min(SHOWN)]),
        None => number().to_owned(),
    }
}

/// The folder that cargo makes for a git dependency is named after its commit.
fn commit_of_checkout(source: &str) -> Option<String> {
    let (_, checkout) = source.split_once("/git/checkouts/")?;
    let commit = checkout.split('/').nth(1)?;
    is_hash(commit).then(|| commit.to_owned())
}

fn own_head() -> Option<String> {
    if !Path::new(SOURCE).is_dir() {
        return None;
    }
    let shell = Shell::new().ok()?;
    shell.change_dir(SOURCE);
    // A subtree of another repository has another prefix.
    let is_own = git::prefix(&shell) == "xtask/";
    if is_own { git::read(&shell, &["rev-parse", "HEAD"]).ok()? } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_of_a_git_dependency_names_its_commit() {
        for (source, commit) in [
            ("/home/a/.cargo/git/checkouts/locust-gate-0a1b2c3d4e5f6071/1f0c3a9/xtask", Some("1f0c3a9")),
            ("/home/a/.cargo/git/checkouts/locust-gate-0a1b2c3d4e5f6071/main/xtask", None),
            ("/home/a/git/locust-gate/xtask", None),
        ] {
            assert_eq!(commit_of_checkout(source).as_deref(), commit, "{source}");
        }
    }
}
