//! The accepted baselines in git, and the version that changes are counted from.

use std::path::Path;

use anyhow::{Context as _, Result};
use judge::baseline::chain::{Version, break_names, oldest_of_stretch};
use judge::baseline::comparability::Break;
use judge::baseline::file::Baseline;
use judge::model::text::error_line;
use xshell::Shell;

use crate::config::drift::Since;
use crate::config::project::today;
use crate::sys::file_versions;

/// The part of a baseline that is parsed. The endpoints take most of the time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum BaselinePart {
    All,
    WithoutEndpoints,
}

/// The versions of a baseline on the current branch.
pub struct BaselineVersions {
    /// Newest first.
    pub readable: Vec<Version>,
    /// Why the others cannot be read, a sentence each.
    pub unreadable: Vec<String>,
    /// The texts of `readable`.
    texts: Vec<String>,
}

impl BaselineVersions {
    /// Reads all versions. There are none outside a repository.
    pub fn read(shell: &Shell, path: &Path, part: BaselinePart) -> Result<BaselineVersions> {
        let logged = file_versions::log(shell, path)?;
        let mut found = BaselineVersions { readable: Vec::new(), unreadable: Vec::new(), texts: Vec::new() };
        if logged.is_empty() {
            return Ok(found);
        }
        let parse = if part == BaselinePart::All { Baseline::parse } else { Baseline::parse_total };
        for (of, content) in logged.iter().zip(file_versions::contents(shell, &logged)?) {
            match text(content).and_then(|text| Ok((parse(&text)?, text))) {
                Ok((baseline, text)) => {
                    found.texts.push(text);
                    found.readable.push(Version {
                        commit: of.commit.clone(),
                        day: of.day,
                        author: of.author.clone(),
                        subject: of.subject.clone(),
                        baseline,
                    });
                }
                Err(error) => {
                    let short: String = of.commit.chars().take(12).collect();
                    found.unreadable.push(format!("{short} of {} is left out: {}", of.day, error_line(&error)));
                }
            }
        }
        Ok(found)
    }

    /// Parses the endpoints of a version too.
    pub fn parse_endpoints(&mut self, place: usize) -> Result<()> {
        self.readable[place].baseline = Baseline::parse(&self.texts[place])?;
        Ok(())
    }
}

fn text(content: Option<Vec<u8>>) -> Result<String> {
    let content = content.context("git does not have its content here")?;
    String::from_utf8(content).ok().context("it is not UTF-8")
}

/// The version that changes are counted from.
#[derive(Clone, Debug, PartialEq)]
pub struct CountedFrom {
    /// Its index among the versions.
    pub place: usize,
    /// Its name for the user, such as a tag.
    pub name: Option<String>,
}

/// Finds the version that was in force then, which is the newest one that is no later, or the oldest of all. Returns `None` if
/// no tag matches.
pub fn version_in_force(shell: &Shell, versions: &[Version], since: &Since) -> Result<Option<CountedFrom>> {
    let oldest = versions.len().saturating_sub(1);
    let in_force = |is_no_later: &dyn Fn(&Version) -> bool| versions.iter().position(is_no_later).unwrap_or(oldest);
    let (place, name) = match since {
        Since::Days(days) => (in_force(&|version| version.day.days_until(today()) >= *days), None),
        Since::Day(day) => (in_force(&|version| version.day <= *day), None),
        Since::Tags(pattern) => {
            let Some(tag) = file_versions::newest_tag(shell, pattern)? else { return Ok(None) };
            let after = file_versions::commits_after(shell, &tag)?.unwrap_or_default();
            (in_force(&|version| !after.contains(&version.commit)), Some(tag))
        }
        Since::Rev(rev) => {
            let after = file_versions::commits_after(shell, rev)?;
            let after = after.with_context(|| {
                format!("since {rev}: git knows no such commit here: check the name, or fetch it with `git fetch --tags origin`")
            })?;
            (in_force(&|version| !after.contains(&version.commit)), Some(rev.clone()))
        }
    };
    Ok(Some(CountedFrom { place, name }))
}

/// Moves the version into the newest stretch, within which versions can be compared. If it had to be moved, `note` makes a
/// sentence of the day and the cause of the break.
pub fn within_stretch(
    found: Option<CountedFrom>,
    versions: &[Version],
    breaks: &[Vec<Break>],
    note: impl FnOnce(&str, &str) -> String,
) -> (CountedFrom, Option<String>) {
    let begin = oldest_of_stretch(breaks, 0);
    let oldest = CountedFrom { place: begin, name: None };
    match found {
        Some(found) if found.place <= begin => (found, None),
        Some(_) => (oldest, Some(note(&versions[begin].day.to_string(), &break_names(&breaks[begin])))),
        None => (oldest, None),
    }
}
