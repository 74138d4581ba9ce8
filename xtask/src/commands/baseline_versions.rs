//! The accepted baselines, as git has them, and the one that a change is counted from.

use std::path::Path;

use anyhow::{Context as _, Result};
use judge::baseline::chain::Version;
use judge::baseline::file::Baseline;
use judge::model::day::Day;
use judge::model::text::error_line;
use xshell::Shell;

use crate::config::time::Since;
use crate::sys::file_versions;

/// The part of a baseline that is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// All requests together, without the endpoints, which take most of the time.
    Total,
}

/// The versions of a baseline on the current branch.
pub struct Versions {
    /// Those that can be read, newest first.
    pub readable: Vec<Version>,
    /// The others, a sentence each.
    pub unreadable: Vec<String>,
    /// The texts of those that can be read.
    texts: Vec<String>,
}

impl Versions {
    /// Reads all versions. There are none where git knows no repository here, or no such file.
    ///
    /// # Errors
    ///
    /// Says that git hangs, or does not answer as it should.
    pub fn read(shell: &Shell, path: &Path, part: Part) -> Result<Versions> {
        let logged = file_versions::log(shell, path)?;
        let mut found = Versions { readable: Vec::new(), unreadable: Vec::new(), texts: Vec::new() };
        if logged.is_empty() {
            return Ok(found);
        }
        let parse = if part == Part::Whole { Baseline::parse } else { Baseline::parse_total };
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

    /// Reads the endpoints of a version too.
    ///
    /// # Errors
    ///
    /// Says what cannot be read.
    pub fn complete(&mut self, place: usize) -> Result<()> {
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
pub struct Origin {
    /// Its place among the versions.
    pub place: usize,
    /// The name that it has for the user.
    pub name: Option<String>,
}

/// Finds the version that was in force then: the newest one that is no later, or the oldest of all. Returns `None` where no
/// tag matches.
///
/// # Errors
///
/// Names a commit that git does not know.
pub fn origin(shell: &Shell, versions: &[Version], since: &Since, today: Day) -> Result<Option<Origin>> {
    let oldest = versions.len().saturating_sub(1);
    let in_force = |is_no_later: &dyn Fn(&Version) -> bool| versions.iter().position(is_no_later).unwrap_or(oldest);
    let (place, name) = match since {
        Since::Days(days) => (in_force(&|version| version.day.days_until(today) >= *days), None),
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
    Ok(Some(Origin { place, name }))
}
