//! How another repository gets the gate: from the gate's repository, from a folder, or as a Python package.

use std::fs;
use std::path::{Path, PathBuf};

use crate::sys::git;
use crate::sys::invocation::PACKAGED;
use crate::sys::version;
use anyhow::{Context as _, Result, ensure};
use judge::model::program;
use judge::model::text::quoted;
use xshell::Shell;

use crate::maintenance_flags::Adopt;

/// What is adopted is what was built.
const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");

/// Adopters build the gate without the commands that maintain it.
const FEATURES: &str = "default-features = false";

#[derive(Debug)]
pub enum Source {
    /// Cargo fetches the gate by this line of a manifest.
    Git { line: String, warning: Option<&'static str> },
    /// Cargo builds the gate in this folder of the other repository.
    Inside(PathBuf),
    /// Cargo builds the gate in this folder of this machine alone.
    Outside(PathBuf),
    /// Pip installs the gate, without Rust.
    Packaged(Package),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Package {
    /// A requirement, from the package index that pip is configured with.
    Index(String),
    Url(String),
    /// The path of a wheel from the root of the repository.
    Wheel(String),
}

impl Package {
    fn parse(text: &str, top: &Path) -> Result<Package> {
        let is_requirement = |rest: &str| rest.is_empty() || rest.starts_with(['=', '<', '>', '~', '!', ' ']);
        if text.contains("://") {
            return Ok(Package::Url(text.to_owned()));
        }
        if text.strip_prefix(PACKAGED).is_some_and(is_requirement) {
            return Ok(Package::Index(text.to_owned()));
        }
        let path = fs::canonicalize(top.join(text)).ok();
        let inside = path.as_deref().filter(|path| path.is_file()).and_then(|path| path.strip_prefix(top).ok());
        let inside = inside.with_context(|| {
            format!("--package {text}: expected `{PACKAGED}=={}`, the URL of a wheel, or the path of a wheel from the root of the repository", version::number())
        })?;
        Ok(Package::Wheel(inside.display().to_string()))
    }

    pub fn argument(&self, inside: &str) -> String {
        match self {
            Package::Index(requirement) => quoted(requirement),
            Package::Url(url) => quoted(url),
            Package::Wheel(path) => quoted(&format!("{}{path}", "../".repeat(Path::new(inside).components().count()))),
        }
    }

    pub fn place(&self) -> &'static str {
        match self {
            Package::Index(_) => "from the package index of pip's configuration",
            Package::Url(_) => "from this address",
            Package::Wheel(_) => "from a wheel of this repository",
        }
    }
}

impl Source {
    /// The Python package needs a flag, because it cannot know the team's package index.
    pub(crate) fn find(top: &Path, flags: &Adopt) -> Result<Source> {
        if program::name() == PACKAGED {
            let package = flags.package.as_deref().with_context(|| {
                let command = format!("{PACKAGED} adopt {}", quoted(&flags.path.display().to_string()));
                format!("name the package that pip installs in CI: `{command} --package {PACKAGED}=={}` if your package index has it, or give the URL of a release's wheel, or the path of a wheel from the root of the repository", version::number())
            })?;
            return Ok(Source::Packaged(Package::parse(package, top)?));
        }
        ensure!(flags.package.is_none(), "--package is for the Python package: run `{PACKAGED} adopt`");
        let package = fs::canonicalize(PACKAGE).with_context(|| {
            format!("the source of this program is no longer in {PACKAGE}: run `cargo xtask adopt` in its repository")
        })?;
        if package.starts_with(top) {
            return Ok(Source::Inside(package));
        }
        let shell = Shell::new()?;
        shell.change_dir(PACKAGE);
        let commit = git::read(&shell, &["rev-parse", "HEAD"])?;
        let origin = git::read(&shell, &["config", "--get", "remote.origin.url"])?;
        match (commit, origin.as_deref().and_then(reachable)) {
            (Some(commit), Some(url)) => from_git(&shell, &url, &commit),
            _ => Ok(Source::Outside(package)),
        }
    }

    /// The line that depends on the gate in the manifest of a folder below `top`; `None` without Rust.
    pub(crate) fn line(&self, top: &Path, folder: &str) -> Option<String> {
        let path = match self {
            Source::Git { line, .. } => return Some(line.clone()),
            Source::Inside(package) => {
                let up = "../".repeat(Path::new(folder).components().count());
                format!("{up}{}", package.strip_prefix(top).unwrap_or(package).display())
            }
            Source::Outside(package) => package.display().to_string(),
            Source::Packaged(_) => return None,
        };
        Some(format!("locust-gate = {{ path = {path:?}, {FEATURES} }}"))
    }

    pub(crate) fn excluded(&self, top: &Path) -> Vec<String> {
        let mut excluded = vec![":(exclude,top)xtask".to_owned()];
        if let Source::Inside(package) = self
            && let Some(gate) = package.parent().and_then(|gate| gate.strip_prefix(top).ok())
        {
            excluded.push(format!(":(exclude,top){}", gate.display()));
        }
        excluded
    }

    pub(crate) fn warning(&self) -> Option<String> {
        match self {
            Source::Git { warning, .. } => warning.map(str::to_owned),
            Source::Outside(package) => Some(format!(
                "CI cannot reach {}: push the gate to a repository that CI can fetch and adopt again, or add it to yours (docs/adopt.md of the gate)",
                package.display()
            )),
            Source::Inside(_) | Source::Packaged(_) => None,
        }
    }
}

fn from_git(shell: &Shell, url: &str, commit: &str) -> Result<Source> {
    let tags = git::read(shell, &["tag", "--no-column", "--points-at", commit, "--list", "v*"])?.unwrap_or_default();
    let own = format!("v{}", version::number());
    let tag = tags.lines().find(|tag| *tag == own).or(tags.lines().last());
    let is_dirty = git::read(shell, &["status", "--porcelain", "--untracked-files=no", "--", ":(top)"])?
        .is_some_and(|changes| !changes.is_empty());
    let pushed = git::read(shell, &["branch", "--remotes", "--contains", commit])?.unwrap_or_default();
    let warning = if is_dirty {
        Some("this checkout of the gate has uncommitted changes, which the version in the manifest lacks")
    } else if pushed.is_empty() {
        Some("push this commit of the gate: no branch of its origin is known to hold it")
    } else {
        None
    };
    Ok(Source::Git { line: git_line(url, tag, commit), warning })
}

fn git_line(url: &str, tag: Option<&str>, commit: &str) -> String {
    let at = tag.map_or_else(|| format!("rev = {commit:?}"), |tag| format!("tag = {tag:?}"));
    format!("locust-gate = {{ git = {url:?}, {at}, {FEATURES} }}")
}

/// A URL for cargo, without credentials; `None` if others cannot reach it.
fn reachable(origin: &str) -> Option<String> {
    if let Some((scheme, rest)) = origin.split_once("://") {
        let is_remote = ["https", "http", "ssh", "git"].contains(&scheme);
        let (host, path) = rest.split_once('/')?;
        let (user, host) = host.rsplit_once('@').map_or((None, host), |(user, host)| (Some(user), host));
        let name = host.split(':').next().unwrap_or_default();
        if !is_remote || ["", "localhost", "127.0.0.1"].contains(&name) {
            return None;
        }
        // The user of ssh belongs to the server, and the user of https is a person or a token.
        let user = user.filter(|_| scheme == "ssh").and_then(|user| user.split(':').next());
        let user = user.map_or_else(String::new, |user| format!("{user}@"));
        return Some(format!("{scheme}://{user}{host}/{path}"));
    }
    // `git@host:owner/repository.git`, as scp writes it. A path may hold a colon after a slash.
    let (host, path) = origin.split_once(':')?;
    let is_host = !host.contains('/') && !path.is_empty() && host.len() > 1;
    is_host.then(|| format!("ssh://{host}/{}", path.trim_start_matches('/')))
}

pub(crate) fn workspace() -> Result<&'static Path> {
    Path::new(PACKAGE).parent().with_context(|| format!("{PACKAGE} is no folder of a workspace"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_is_reachable_by_a_host_alone() {
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
    fn dependency_is_one_line_without_the_commands_of_maintenance() {
        let (top, url) = (Path::new("/work/shop"), "https://git.example.org/gate.git");
        let git = |tag| Source::Git { line: git_line(url, tag, "1f0c3a9b7d21"), warning: None };
        let inside = || Source::Inside(PathBuf::from("/work/shop/third/gate/xtask"));
        for (source, folder, expected) in [
            (git(Some("v0.2.0")), "xtask", r#"git = "https://git.example.org/gate.git", tag = "v0.2.0""#),
            (git(None), "xtask", r#"git = "https://git.example.org/gate.git", rev = "1f0c3a9b7d21""#),
            (inside(), "xtask", r#"path = "../third/gate/xtask""#),
            (inside(), "dev/tools", r#"path = "../../third/gate/xtask""#),
            (Source::Outside(PathBuf::from("/work/gate/xtask")), "xtask", r#"path = "/work/gate/xtask""#),
        ] {
            let line = format!("locust-gate = {{ {expected}, default-features = false }}");
            assert_eq!(source.line(top, folder), Some(line), "{source:?} {folder}");
        }
        assert_eq!(Source::Packaged(Package::Index(PACKAGED.to_owned())).line(top, "xtask"), None);
    }
}
