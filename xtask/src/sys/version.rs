//! The version of this program, and the commit that it was built from.

use std::path::Path;

use xshell::Shell;

use crate::sys::git;

/// The version; a vendored copy carries its commit behind a `+`, as build metadata.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The folder that this was built from.
const SOURCE: &str = env!("CARGO_MANIFEST_DIR");

/// The length of a commit as it is shown.
const SHOWN: usize = 12;

/// Returns the version alone: `0.2.0`.
pub fn number() -> &'static str {
    VERSION.split('+').next().unwrap_or(VERSION)
}

/// Returns the version with its commit, where that is known: `0.2.0 (1f0c3a9b7d21)`.
pub fn text() -> String {
    match commit() {
        Some(commit) => format!("{} ({})", number(), &commit[..commit.len().min(SHOWN)]),
        None => number().to_owned(),
    }
}

/// Returns the commit that this was built from. No build script asks for it, since every cold build would pay for one.
fn commit() -> Option<String> {
    let vendored = VERSION.split_once('+').map(|(_, commit)| commit.to_owned());
    let released = || option_env!("LOCUST_GATE_COMMIT").map(str::to_owned);
    vendored.or_else(released).or_else(|| commit_of_checkout(SOURCE)).or_else(own_head)
}

/// Returns the commit of a checkout that cargo made for a git dependency: its folder is named after it.
fn commit_of_checkout(source: &str) -> Option<String> {
    let (_, checkout) = source.split_once("/git/checkouts/")?;
    let commit = checkout.split('/').nth(1)?;
    let is_hash = commit.len() >= 7 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| commit.to_owned())
}

/// Returns the commit that is checked out where this was built, in the gate's own repository.
fn own_head() -> Option<String> {
    if !Path::new(SOURCE).is_dir() {
        return None;
    }
    let shell = Shell::new().ok()?;
    shell.change_dir(SOURCE);
    // A copy in another repository has another place there.
    let is_own = git::prefix(&shell) == "xtask/";
    if is_own { git::read(&shell, &["rev-parse", "HEAD"]).ok()? } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_checkouts_name_their_commit() {
        for (source, commit) in [
            ("/home/a/.cargo/git/checkouts/locust-gate-0a1b2c3d4e5f6071/1f0c3a9/xtask", Some("1f0c3a9")),
            ("/home/a/.cargo/git/checkouts/locust-gate-0a1b2c3d4e5f6071/main/xtask", None),
            ("/home/a/git/locust-gate/xtask", None),
        ] {
            assert_eq!(commit_of_checkout(source).as_deref(), commit, "{source}");
        }
    }
}
