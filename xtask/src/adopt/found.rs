//! What the other repository has already: locustfiles and a Locust.

use std::path::{Path, PathBuf};

use crate::sys::{files, git};
use anyhow::Result;
use toml::Value;
use xshell::Shell;

use crate::adopt::cargo::parse_toml;
use crate::adopt::edits::Destination;
use crate::adopt::imports::only_locust;

#[derive(Debug, Default, PartialEq)]
pub(crate) struct FoundLocust {
    pub lines: Vec<String>,
    pub also: Vec<String>,
    pub advice: Vec<String>,
    /// Requirements that have Locust, and that the locustfile does not need.
    pub not_needed: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Wanted {
    Any,
    Version(String),
}

/// The files of the shell's folder that import Locust. Those that define users come first, because the others are their
/// helpers. `excluded` are pathspecs of git.
pub(crate) fn locustfiles(shell: &Shell, excluded: &[String]) -> Vec<String> {
    let pattern = "^[[:space:]]*(from|import)[[:space:]]+locust([[:space:].,]|$)";
    let of = |pattern: &str| -> Vec<String> {
        let grep = ["grep", "--untracked", "-l", "-E", "-e", pattern, "--", "*.py"].into_iter();
        let args: Vec<&str> = grep.chain(excluded.iter().map(String::as_str)).collect();
        git::text(shell, &args).lines().map(str::to_owned).collect()
    };
    let users = of("^class[[:space:]].*User[[:alnum:]]*[[:space:]]*[,)]");
    let mut found = of(pattern);
    found.sort_by_key(|name| {
        let is_named = Path::new(name).file_name().is_some_and(|name| name == "locustfile.py");
        (!is_named, !users.contains(name), name.clone())
    });
    found
}

pub(crate) fn locust(folder: &Path, shell: &Shell, excluded: &[String], locustfiles: &[String]) -> Result<FoundLocust> {
    let mut all: Vec<(FoundLocust, String)> = Vec::new();
    let needs_no_more = only_locust(folder, locustfiles);
    for name in requirements(shell, excluded) {
        let Text { text, is_utf_16 } = Text::read(&folder.join(&name))?;
        let Some(wanted) = text.lines().find_map(wanted) else { continue };
        let mut found = FoundLocust::default();
        if let Wanted::Version(version) = wanted {
            found.lines.push(format!("version = {version:?}"));
        }
        if needs_no_more {
            found.not_needed = Some(name.clone());
        } else {
            found.lines.push(format!("requirements = [{name:?}]"));
            if is_utf_16 {
                let advice = format!("save {name} as UTF-8: it is UTF-16, which installers read in different ways");
                found.advice.push(advice);
            }
        }
        all.push((found, name));
    }
    all.extend(of_pyproject(folder)?.map(|found| (found, "pyproject.toml".to_owned())));
    for environment in environments(folder) {
        let advice = format!(
            "{environment} is not committed: create it in the workflow too, with Locust in it, or name a version in [locust] of perf.toml"
        );
        let name = format!("{environment}/bin/locust");
        let lines = vec![format!("command = \"{name}\"")];
        all.push((FoundLocust { lines, advice: vec![advice], ..FoundLocust::default() }, name));
    }
    let mut all = all.into_iter();
    let (chosen, _) = all.next().unwrap_or_default();
    Ok(FoundLocust { also: all.map(|(_, name)| name).collect(), ..chosen })
}

struct Text {
    text: String,
    is_utf_16: bool,
}

impl Text {
    /// Bytes of other encodings, such as an `ü` of Latin-1 in a comment, become `U+FFFD`.
    fn read(path: &Path) -> Result<Text> {
        let bytes = files::read(path)?;
        let units = |unit: fn([u8; 2]) -> u16| -> Vec<u16> {
            bytes[2..].chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect()
        };
        let utf_16 = match bytes {
            _ if bytes.starts_with(b"\xff\xfe") => Some(units(u16::from_le_bytes)),
            _ if bytes.starts_with(b"\xfe\xff") => Some(units(u16::from_be_bytes)),
            _ => None,
        };
        let text = utf_16
            .as_ref()
            .map_or_else(|| String::from_utf8_lossy(&bytes).into_owned(), |units| String::from_utf16_lossy(units));
        Ok(Text { text, is_utf_16: utf_16.is_some() })
    }
}

fn requirements(shell: &Shell, excluded: &[String]) -> Vec<String> {
    let patterns = ["*requirements*.txt", "requirements/*.txt"].into_iter().chain(excluded.iter().map(String::as_str));
    let mut found = git::files(shell, &patterns.collect::<Vec<_>>());
    found.sort_by_key(|name| (name.matches('/').count(), name.clone()));
    found.dedup();
    found
}

/// `None` if the line of requirements is not Locust's.
fn wanted(line: &str) -> Option<Wanted> {
    let requirement = line.split(['#', ';']).next().unwrap_or_default().trim().trim_matches(['"', '\'']);
    let rest = requirement.strip_prefix("locust")?;
    let is_other = rest.starts_with(|c: char| c.is_alphanumeric() || "-_.".contains(c));
    let rest = rest.trim_start();
    // Extras, such as `locust[mqtt]`.
    let rest = rest.strip_prefix('[').and_then(|rest| Some(rest.split_once(']')?.1)).unwrap_or(rest).trim_start();
    if is_other {
        return None;
    }
    let version = rest.strip_prefix("==").map(str::trim).filter(|version| !version.contains([',', '*', ' ']));
    Some(version.map_or(Wanted::Any, |version| Wanted::Version(version.to_owned())))
}

fn of_pyproject(folder: &Path) -> Result<Option<FoundLocust>> {
    let path = folder.join("pyproject.toml");
    if !path.is_file() {
        return Ok(None);
    }
    let Ok(project) = parse_toml(&Text::read(&path)?.text) else { return Ok(None) };
    let Some(wanted) = find_wanted(&Value::Table(project)) else { return Ok(None) };
    let line = if folder.join("uv.lock").is_file() {
        "command = \"uv run locust\"".to_owned()
    } else if folder.join("poetry.lock").is_file() {
        "command = \"poetry run locust\"".to_owned()
    } else if let Wanted::Version(version) = wanted {
        format!("version = {version:?}")
    } else {
        return Ok(Some(FoundLocust::default()));
    };
    Ok(Some(FoundLocust { lines: vec![line], ..FoundLocust::default() }))
}

/// Finds Locust among dependencies: a string `locust==2.32.10` of a list, or a key `locust` of a table.
fn find_wanted(value: &Value) -> Option<Wanted> {
    match value {
        Value::Array(values) => values.iter().find_map(|value| match value {
            Value::String(text) => wanted(text),
            other => find_wanted(other),
        }),
        Value::Table(table) => table.iter().find_map(|(name, value)| match (name.as_str(), value) {
            ("locust", Value::String(version)) => {
                let is_one = version.starts_with(|c: char| c.is_ascii_digit()) && !version.contains(['*', ',']);
                Some(if is_one { Wanted::Version(version.clone()) } else { Wanted::Any })
            }
            // `[tool.locust]` is Locust's configuration.
            ("locust", _) => None,
            (_, value) => find_wanted(value),
        }),
        _ => None,
    }
}

/// The default branch of the remote, or the only local one, or its usual names.
pub(crate) fn branches(shell: &Shell) -> Result<Vec<String>> {
    let remote = git::read(shell, &["symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD"])?;
    if let Some(branch) = remote.as_deref().and_then(|remote| remote.strip_prefix("origin/")) {
        return Ok(vec![branch.to_owned()]);
    }
    let local = git::read(shell, &["for-each-ref", "--format=%(refname:short)", "refs/heads"])?.unwrap_or_default();
    Ok(match local.lines().collect::<Vec<_>>()[..] {
        [only] => vec![only.to_owned()],
        _ => vec!["main".to_owned(), "master".to_owned()],
    })
}

#[derive(Clone, Debug, PartialEq)]
pub struct PythonVersion {
    /// `3.12` or `3.12.1`.
    pub version: String,
    /// The path of `.python-version` from the root.
    pub file: String,
}

/// The file may also hold the name of an environment, which is no version.
pub(crate) fn python_version(destination: &Destination) -> Option<PythonVersion> {
    let Destination { top, inside, .. } = destination;
    let file = [format!("{inside}.python-version"), ".python-version".to_owned()]
        .into_iter()
        .find(|file| top.join(file).is_file())?;
    let text = files::read_to_string(&top.join(&file)).ok()?;
    let version = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?.to_owned();
    let is_version = version.starts_with("3.") && version.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit());
    is_version.then_some(PythonVersion { version, file })
}

impl PythonVersion {
    /// The first version that the pinned Locust supports is 3.11.
    pub(crate) fn is_too_old(&self) -> bool {
        self.version.split('.').nth(1).and_then(|minor| minor.parse().ok()).is_some_and(|minor: u32| minor < 11)
    }
}

fn environments(folder: &Path) -> Vec<String> {
    let has_locust = |path: &PathBuf| path.join("pyvenv.cfg").is_file() && path.join("bin/locust").exists();
    let found = files::entries(folder).filter(has_locust);
    let mut names: Vec<String> =
        found.map(|path| path.file_name().unwrap_or_default().to_string_lossy().into()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(version: &str) -> Wanted {
        if version == "any" { Wanted::Any } else { Wanted::Version(version.to_owned()) }
    }

    #[test]
    fn requirement_names_locust_and_perhaps_a_version() {
        for (line, expected) in [
            ("locust==2.32.10", Some("2.32.10")),
            ("locust == 2.32.10  # load tests", Some("2.32.10")),
            ("locust[mqtt]==2.32.10; python_version > '3.9'", Some("2.32.10")),
            ("locust", Some("any")),
            ("locust>=2,<3", Some("any")),
            ("locust==2.*", Some("any")),
            ("locust-plugins==4.0", None),
            ("locustio==0.14", None),
            ("# locust", None),
            ("django==4.2", None),
        ] {
            assert_eq!(wanted(line), expected.map(want), "{line}");
        }
        for (text, expected) in [
            ("[project]\ndependencies = [\"locust==2.40.0\"]", Some("2.40.0")),
            ("[project.optional-dependencies]\nload = [\"locust>=2\"]", Some("any")),
            ("[dependency-groups]\ndev = [\"ruff\", \"locust==2.41.0\"]", Some("2.41.0")),
            ("[tool.poetry.group.dev.dependencies]\nlocust = \"2.42.0\"", Some("2.42.0")),
            ("[tool.poetry.dependencies]\nlocust = \"^2.42\"", Some("any")),
            ("[tool.locust]\nusers = 5", None),
        ] {
            let table = Value::Table(text.parse().unwrap());
            assert_eq!(find_wanted(&table), expected.map(want), "{text}");
        }
    }
}
