//! Where the gate comes from: its own repository, at a tag or a commit, or a copy of its source.

use std::path::Path;

use crate::sys::git;
use crate::sys::invocation::PACKAGED;
use crate::sys::version;
use anyhow::{Context as _, Result, ensure};
use judge::model::program;
use xshell::Shell;

/// The package of this program: what is adopted is what was built.
pub const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");

/// The way in which another repository gets the gate.
#[derive(Debug)]
pub enum Source {
    /// Cargo fetches it.
    Git(Dependency),
    /// Its source is copied; the checkout has this commit, where git knows one.
    Vendored {
        /// The full hash.
        commit: Option<String>,
        /// The reason, for the user.
        why: String,
    },
    /// A program that is installed from the Python package, without Rust.
    Packaged,
}

/// A git dependency of cargo.
#[derive(Debug, PartialEq)]
pub struct Dependency {
    /// The URL, as cargo takes it.
    pub url: String,
    /// The version there.
    pub at: At,
    /// What keeps others from fetching it, or makes it another program than this one; a sentence.
    pub warning: Option<String>,
}

/// A place in the history of the gate.
#[derive(Debug, PartialEq)]
pub enum At {
    /// A tag.
    Tag(String),
    /// A full commit.
    Rev(String),
}

impl Source {
    /// Finds out how this program can be had elsewhere.
    ///
    /// # Errors
    ///
    /// Says that its source has gone.
    pub fn find(wants_vendor: bool) -> Result<Source> {
        if program::name() == PACKAGED {
            ensure!(!wants_vendor, "--vendor copies the gate's source, which the Python package does not have");
            return Ok(Source::Packaged);
        }
        ensure!(
            Path::new(PACKAGE).is_dir(),
            "the source of this program is no longer in {PACKAGE}: run `cargo xtask adopt` in its repository"
        );
        let shell = Shell::new()?;
        shell.change_dir(PACKAGE);
        let commit = git::read(&shell, &["rev-parse", "HEAD"])?;
        if wants_vendor {
            return Ok(Source::Vendored { commit, why: "by --vendor".to_owned() });
        }
        let origin = git::read(&shell, &["config", "--get", "remote.origin.url"])?;
        let why = match (&origin, &commit) {
            (_, None) => "this checkout has no commit".to_owned(),
            (None, _) => "this checkout has no origin".to_owned(),
            (Some(origin), Some(commit)) => match reachable(origin) {
                Some(url) => return Dependency::find(&shell, url, commit).map(Source::Git),
                None => "the origin of this checkout is a folder of this machine".to_owned(),
            },
        };
        Ok(Source::Vendored { commit, why })
    }
}

impl Dependency {
    fn find(shell: &Shell, url: String, commit: &str) -> Result<Dependency> {
        let tags = git::read(shell, &["tag", "--points-at", commit, "--list", "v*"])?.unwrap_or_default();
        let own = format!("v{}", version::number());
        let tag = tags.lines().find(|tag| *tag == own).or(tags.lines().last());
        let at = tag.map_or_else(|| At::Rev(commit.to_owned()), |tag| At::Tag(tag.to_owned()));
        let is_dirty = git::read(shell, &["status", "--porcelain", "--untracked-files=no", "--", ":(top)"])?
            .is_some_and(|changes| !changes.is_empty());
        let pushed = git::read(shell, &["branch", "--remotes", "--contains", commit])?.unwrap_or_default();
        let warning = if is_dirty {
            Some("this checkout has uncommitted changes, which the version named in the manifest lacks")
        } else if pushed.is_empty() {
            Some("push this commit of the gate: no branch of its origin is known to hold it")
        } else {
            None
        };
        Ok(Dependency { url, at, warning: warning.map(str::to_owned) })
    }

    /// Returns the line of a manifest.
    pub fn line(&self) -> String {
        let at = match &self.at {
            At::Tag(tag) => format!("tag = {tag:?}"),
            At::Rev(commit) => format!("rev = {commit:?}"),
        };
        format!("locust-gate = {{ git = {:?}, {at} }}", self.url)
    }
}

/// Returns a remote's URL as cargo takes it, without what its owner logs in with; `None` where others cannot reach it.
fn reachable(origin: &str) -> Option<String> {
    if let Some((scheme, rest)) = origin.split_once("://") {
        let is_remote = ["https", "http", "ssh", "git"].contains(&scheme);
        let (host, path) = rest.split_once('/')?;
        let (user, host) = host.rsplit_once('@').map_or((None, host), |(user, host)| (Some(user), host));
        let name = host.split(':').next().unwrap_or_default();
        if !is_remote || ["", "localhost", "127.0.0.1"].contains(&name) {
            return None;
        }
        // The user of ssh is the server's, and what stands before a host of https is somebody's own.
        let user = user.filter(|_| scheme == "ssh").and_then(|user| user.split(':').next());
        let user = user.map_or_else(String::new, |user| format!("{user}@"));
        return Some(format!("{scheme}://{user}{host}/{path}"));
    }
    // As scp writes it: `git@host:owner/repository.git`. A path may hold a colon behind a slash.
    let (host, path) = origin.split_once(':')?;
    let is_host = !host.contains('/') && !path.is_empty() && host.len() > 1;
    is_host.then(|| format!("ssh://{host}/{}", path.trim_start_matches('/')))
}

/// Returns the root of this workspace.
///
/// # Errors
///
/// Says that the package lies in no folder.
pub fn workspace() -> Result<&'static Path> {
    Path::new(PACKAGE).parent().with_context(|| format!("{PACKAGE} is no folder of a workspace"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_named_where_others_can_reach_it() {
        for (origin, expected) in [
            ("https://git.example.org/team/gate.git", Some("https://git.example.org/team/gate.git")),
            ("https://me:secret@git.example.org/gate", Some("https://git.example.org/gate")),
            ("https://token@git.example.org:8443/gate", Some("https://git.example.org:8443/gate")),
            ("ssh://git@git.example.org/gate.git", Some("ssh://git@git.example.org/gate.git")),
            ("git@git.example.org:team/gate.git", Some("ssh://git@git.example.org/team/gate.git")),
            ("git.example.org:gate", Some("ssh://git.example.org/gate")),
            ("/srv/git/gate.git", None),
            ("../gate", None),
            ("./a:b", None),
            ("C:/gate", None),
            ("file:///srv/git/gate.git", None),
            ("http://localhost:3000/gate", None),
            ("http://127.0.0.1/gate", None),
            ("https://git.example.org", None),
            ("", None),
        ] {
            assert_eq!(reachable(origin).as_deref(), expected, "{origin}");
        }
    }

    #[test]
    fn a_dependency_is_one_line() {
        let line = |at| Dependency { url: "https://git.example.org/gate.git".to_owned(), at, warning: None }.line();
        assert_eq!(
            line(At::Tag("v0.2.0".to_owned())),
            r#"locust-gate = { git = "https://git.example.org/gate.git", tag = "v0.2.0" }"#
        );
        assert_eq!(
            line(At::Rev("1f0c3a9b7d21".to_owned())),
            r#"locust-gate = { git = "https://git.example.org/gate.git", rev = "1f0c3a9b7d21" }"#
        );
    }
}
