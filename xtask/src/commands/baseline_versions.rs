//! The accepted baselines in git, and the version that changes are counted from.

use std::path::Path;

use anyhow::{Context as _, Result};
use judge::baseline::chain::{Version, break_names, oldest_of_stretch};
use judge::baseline::comparability::Break;
use judge::baseline::file::Baseline;
use judge::model::text::error_line;
use report::view::words::shown_commit;
use xshell::Shell;

use crate::config::drift::Since;
use crate::sys::file_versions::{self, Logged};
use crate::sys::machine::today;

/// The part of a baseline that is parsed. The endpoints take most of the time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum BaselinePart {
    All,
    WithoutEndpoints,
}

pub struct BaselineVersions {
    /// Newest first.
    pub readable: Vec<Version>,
    /// Why the others cannot be read, a sentence each.
    pub unreadable: Vec<String>,
    /// `None` if nothing was asked for, or no tag matches.
    pub counted_from: Option<CountedFrom>,
    /// Where git has `readable`.
    logged: Vec<Logged>,
}

/// How far back versions are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// To the version that changes are counted from, or to the oldest if there is none.
    CountedFrom,
    Oldest,
}

impl BaselineVersions {
    /// There are none outside a repository.
    pub fn read(
        shell: &Shell,
        path: &Path,
        part: BaselinePart,
        since: &Since,
        reach: Reach,
    ) -> Result<BaselineVersions> {
        let all = file_versions::log(shell, path)?;
        let mut found =
            BaselineVersions { readable: Vec::new(), unreadable: Vec::new(), counted_from: None, logged: Vec::new() };
        if all.is_empty() {
            return Ok(found);
        }
        let in_force = version_in_force(shell, &all, since)?;
        let (mut seen, mut place) = (0, None);
        let take = |logged: &Logged, content: Result<Vec<u8>>| {
            seen += 1;
            match content.and_then(|content| parse(content, part)) {
                Ok(baseline) => found.add(logged, baseline),
                Err(error) => {
                    let short = shown_commit(&logged.commit, false);
                    found.unreadable.push(format!("{short} of {} is left out: {}", logged.day, error_line(&error)));
                    return true;
                }
            }
            // Of a version that cannot be read, the one before it takes the place.
            if in_force.as_ref().is_some_and(|in_force| seen > in_force.place) {
                place.get_or_insert(found.readable.len() - 1);
            }
            place.is_none() || reach == Reach::Oldest
        };
        file_versions::for_each_content(shell, &all, take)?;
        let place = place.or(found.readable.len().checked_sub(1));
        found.counted_from = in_force.zip(place).map(|(in_force, place)| CountedFrom { place, ..in_force });
        Ok(found)
    }

    fn add(&mut self, logged: &Logged, baseline: Baseline) {
        let Logged { commit, day, author, subject, .. } = logged.clone();
        self.readable.push(Version { commit, day, author, subject, baseline });
        self.logged.push(logged.clone());
    }

    pub fn parse_endpoints(&mut self, shell: &Shell, places: &[usize]) -> Result<()> {
        let logged: Vec<Logged> = places.iter().map(|place| self.logged[*place].clone()).collect();
        let mut parsed = Vec::new();
        file_versions::for_each_content(shell, &logged, |_, content| {
            parsed.push(content.and_then(|content| parse(content, BaselinePart::All)));
            true
        })?;
        for (place, baseline) in places.iter().zip(parsed) {
            self.readable[*place].baseline = baseline?;
        }
        Ok(())
    }
}

fn parse(content: Vec<u8>, part: BaselinePart) -> Result<Baseline> {
    let text = String::from_utf8(content).ok().context("it is not UTF-8")?;
    if part == BaselinePart::All { Baseline::parse(&text) } else { Baseline::parse_total(&text) }
}

#[derive(Clone, Debug, PartialEq)]
pub struct CountedFrom {
    pub place: usize,
    /// Its name for the user, such as a tag.
    pub name: Option<String>,
}

/// The newest version that is no later, or the oldest of all.
fn version_in_force(shell: &Shell, versions: &[Logged], since: &Since) -> Result<Option<CountedFrom>> {
    let oldest = versions.len().saturating_sub(1);
    let in_force = |is_no_later: &dyn Fn(&Logged) -> bool| versions.iter().position(is_no_later).unwrap_or(oldest);
    let (place, name) = match since {
        Since::Oldest => return Ok(None),
        Since::Age { days, text } => match file_versions::commits_after(shell, text)? {
            // A tag or a commit that is named like an age.
            Some(after) => (in_force(&|version| !after.contains(&version.commit)), Some(text.clone())),
            None => (in_force(&|version| version.day.days_until(today()) >= *days), None),
        },
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
/// sentence for `notes` of the day and the cause of the break.
pub fn within_stretch(
    found: Option<CountedFrom>,
    versions: &[Version],
    breaks: &[Vec<Break>],
    notes: &mut Vec<String>,
    note: impl FnOnce(&str, &str) -> String,
) -> CountedFrom {
    let begin = oldest_of_stretch(breaks, 0);
    let oldest = CountedFrom { place: begin, name: None };
    match found {
        Some(found) if found.place <= begin => found,
        Some(_) => {
            notes.push(note(&versions[begin].day.to_string(), &break_names(&breaks[begin])));
            oldest
        }
        None => oldest,
    }
}
