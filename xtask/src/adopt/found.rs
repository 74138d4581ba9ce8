//! What the other repository has already: locustfiles and a Locust.

use std::fs;
use std::path::Path;

use crate::sys::{files, git};
use anyhow::Result;
use toml::Value;
use xshell::Shell;

use crate::adopt::cargo::parse_toml;

#[derive(Debug, Default, PartialEq)]
pub(crate) struct FoundLocust {
    /// The lines for `[locust]` of `perf.toml`.
    pub lines: Vec<String>,
    pub also: Vec<String>,
    pub advice: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Wanted {
    Any,
    Version(String),
}

/// The files of the shell's folder that import Locust, tracked or not, relative to it. Files that define users come
/// first, because the others are their helpers. `excluded` are pathspecs of git.
pub(crate) fn locustfiles(shell: &Shell, excluded: &[String]) -> Vec<String> {
    let pattern = "^[[:space:]]*(from|import)[[:space:]]+locust([[:space:].,]|$)";
    let of = |pattern: &str| listed(shell, &["grep", "--untracked", "-l", "-E", "-e", pattern, "--", "*.py"], excluded);
    let users = of("^class[[:space:]].*User[[:alnum:]]*[[:space:]]*[,)]");
    let mut found = of(pattern);
    found.sort_by_key(|name| {
        let is_named = Path::new(name).file_name().is_some_and(|name| name == "locustfile.py");
        (!is_named, !users.contains(name), name.clone())
    });
    found
}

fn listed(shell: &Shell, args: &[&str], excluded: &[String]) -> Vec<String> {
    let args: Vec<&str> = args.iter().copied().chain(excluded.iter().map(String::as_str)).collect();
    git::read(shell, &args).ok().flatten().unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Detects the project's Locust: in its requirements, in `pyproject.toml`, or in a virtual environment.
pub(crate) fn locust(folder: &Path, shell: &Shell, excluded: &[String]) -> Result<FoundLocust> {
    let environments = environments(folder);
    let mut also: Vec<String> = Vec::new();
    let mut chosen: Option<FoundLocust> = None;
    let mut take = |found: FoundLocust, name: &str| match chosen {
        None => chosen = Some(found),
        Some(_) => also.push(name.to_owned()),
    };
    for name in requirements(shell, excluded) {
        let text = files::read_to_string(&folder.join(&name))?;
        let Some(wanted) = text.lines().find_map(wanted) else { continue };
        let mut lines = Vec::new();
        if let Wanted::Version(version) = wanted {
            lines.push(format!("version = {version:?}"));
        }
        lines.push(format!("requirements = [{name:?}]"));
        take(FoundLocust { lines, ..FoundLocust::default() }, &name);
    }
    if let Some(found) = of_pyproject(folder)? {
        take(found, "pyproject.toml");
    }
    for environment in environments {
        let advice = format!(
            "{environment} is not committed: make it in the workflow too, with Locust in it, or name a version in [locust] of perf.toml"
        );
        let lines = vec![format!("command = \"{environment}/bin/locust\"")];
        take(
            FoundLocust { lines, advice: Some(advice), ..FoundLocust::default() },
            &format!("{environment}/bin/locust"),
        );
    }
    Ok(FoundLocust { also, ..chosen.unwrap_or_default() })
}

fn requirements(shell: &Shell, excluded: &[String]) -> Vec<String> {
    let patterns = ["*requirements*.txt", "requirements/*.txt"];
    let args = [&["ls-files", "--cached", "--others", "--exclude-standard", "--"], &patterns[..]].concat();
    let mut found = listed(shell, &args, excluded);
    found.sort_by_key(|name| (name.matches('/').count(), name.clone()));
    found.dedup();
    found
}

/// Parses a line of requirements; `None` if it is not Locust's.
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
    let Ok(project) = parse_toml(&files::read_to_string(&path)?) else { return Ok(None) };
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

fn environments(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let has_locust =
        |name: &String| folder.join(name).join("pyvenv.cfg").is_file() && folder.join(name).join("bin/locust").exists();
    let mut found: Vec<String> = names.filter(has_locust).collect();
    found.sort();
    found
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
