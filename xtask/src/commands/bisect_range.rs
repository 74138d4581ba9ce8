//! The commits that a bisection searches.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail, ensure};
use judge::model::text::printable;
use report::formats::github;
use report::view::words::shown_commit;
use xshell::Shell;

use crate::config::flags::BisectFlags;
use crate::sys::git;

/// The commits from GOOD to BAD. Parents come first.
pub struct CommitRange {
    good: String,
    bad: String,
    hashes: Vec<String>,
    /// The parents of each commit, by their places. Parents outside the range are left out.
    pub parents: Vec<Vec<usize>>,
}

impl CommitRange {
    pub fn read(shell: &Shell, flags: &BisectFlags) -> Result<CommitRange> {
        let BisectFlags { good, bad, .. } = flags;
        let first = git::resolve(shell, good).with_context(|| good.clone())?;
        let last = git::resolve(shell, bad).with_context(|| bad.clone())?;
        ensure!(first != last, "{good} and {bad} are the same commit, so there is nothing to search");
        if git::read(shell, &["merge-base", "--is-ancestor", &first, &last])?.is_none() {
            let base = git::read(shell, &["merge-base", &first, &last])?;
            match base {
                Some(base) => bail!(
                    "{good} is not an ancestor of {bad}: name the commit where both branched, {}",
                    shown_commit(&base, false)
                ),
                None => bail!(
                    "{good} is not an ancestor of {bad}: name one that is, or fetch the rest of a shallow clone with `git fetch --unshallow origin`"
                ),
            }
        }
        let range = format!("{first}..{last}");
        let first_parent: &[&str] = if flags.all { &[] } else { &["--first-parent"] };
        let args = [&["rev-list", "--reverse", "--topo-order", "--parents"], first_parent, &[&range]].concat();
        let listed = git::read(shell, &args)?.with_context(|| format!("git cannot list the commits {range}"))?;
        let mut range = CommitRange {
            good: good.clone(),
            bad: bad.clone(),
            hashes: vec![first.clone()],
            parents: vec![Vec::new()],
        };
        let mut places = HashMap::from([(first, 0)]);
        for line in listed.lines() {
            let mut hashes = line.split(' ').map(str::to_owned);
            let hash = hashes.next().unwrap_or_default();
            let parents = hashes.take(if flags.all { usize::MAX } else { 1 });
            range.parents.push(parents.filter_map(|parent| places.get(&parent).copied()).collect());
            places.insert(hash.clone(), range.hashes.len());
            range.hashes.push(hash);
        }
        Ok(range)
    }

    pub fn len(&self) -> usize {
        self.hashes.len() - 1
    }

    pub fn is_end(&self, commit: usize) -> bool {
        commit == 0 || commit == self.len()
    }

    pub fn hash(&self, commit: usize) -> &str {
        &self.hashes[commit]
    }

    pub fn place(&self, hash: &str) -> Option<usize> {
        self.hashes.iter().position(|own| own == hash)
    }

    /// The name of an end as the user gave it, or a short hash.
    pub fn shown(&self, commit: usize) -> String {
        match commit {
            0 => printable(&self.good),
            last if last == self.len() => printable(&self.bad),
            _ => self.short(commit),
        }
    }

    pub fn short(&self, commit: usize) -> String {
        shown_commit(self.hash(commit), false)
    }

    pub fn log(&self, shell: &Shell, commit: usize, format: &str) -> String {
        let format = format!("--format={format}");
        let args = ["log", "--max-count=1", "--no-show-signature", "--date=short", &format, self.hash(commit)];
        github::harmless(&printable(&git::text(shell, &args)))
    }
}
