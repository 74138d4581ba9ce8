//! The drift since an earlier baseline, and the baseline's age.

use anyhow::{Context as _, Result, bail};
use judge::baseline::chain::{Version, break_names, breaks, breaks_between};
use judge::baseline::file::Baseline;
use judge::model::day::Day;
use judge::model::limits::Rules;
use judge::verdict::compare::{Anchor, Comparison};
use report::Background;
use report::view::drift::UPDATES;
use report::view::words::{count, shown_commit};

use crate::commands::baseline_versions::{BaselinePart, BaselineVersions, CountedFrom, Reach, within_stretch};
use crate::commands::measurement::Measurement;
use crate::config::drift::Since;
use crate::config::project::Project;
use crate::sys::machine::today;
use crate::sys::{ci, file_versions};

pub struct DriftCheck {
    rules: Rules,
    /// From the newest to the one that the drift is measured from; none if the drift is not judged.
    versions: Vec<Version>,
    /// The anchor's name for the user, such as a tag.
    name: Option<String>,
    /// Why the drift is not judged, or only in part, a sentence each.
    notes: Vec<String>,
}

impl DriftCheck {
    pub fn read(project: &Project, current: &Baseline) -> Result<DriftCheck> {
        let drift = &project.config.drift;
        let (limits, endpoint_limits, accepted) = (drift.limits.clone(), Vec::new(), Vec::new());
        let rules = Rules { limits, endpoint_limits, accepted, ..project.rules.clone() };
        let mut check = DriftCheck { rules, versions: Vec::new(), name: None, notes: Vec::new() };
        if !drift.limits.is_empty() {
            check.find_anchor(project, current)?;
        }
        Ok(check)
    }

    fn find_anchor(&mut self, project: &Project, current: &Baseline) -> Result<()> {
        let since = &project.config.drift.since;
        if file_versions::is_shallow(&project.shell)? {
            let problem = "this clone is shallow, so the drift since an earlier baseline cannot be judged: check out with `fetch-depth: 0`, or `git fetch --unshallow origin`";
            if ci::is_any() {
                bail!("[drift] in perf.toml: {problem}");
            }
            self.notes.push(problem.to_owned());
            return Ok(());
        }
        let path = &project.baseline;
        let part = BaselinePart::WithoutEndpoints;
        let mut versions = BaselineVersions::read(&project.shell, path, part, since, Reach::CountedFrom)
            .context("[drift] in perf.toml")?;
        self.notes.append(&mut versions.unreadable);
        if versions.readable.is_empty() {
            let note = format!("git has no version of {} yet, so there is no drift to judge", project.shown(path));
            self.notes.push(note);
            return Ok(());
        }
        let found = versions.counted_from.take();
        if *since != Since::Oldest && found.is_none() {
            let note = "no tag matches [drift] `since`, so the drift is counted from the oldest baseline";
            self.notes.push(note.to_owned());
        }
        let breaks = breaks(versions.readable.iter());
        let note = |day: &str, cause: &str| {
            format!("the drift is counted from {day}, because the chain of baselines is broken there ({cause})")
        };
        let CountedFrom { place, name } = within_stretch(found, &versions.readable, &breaks, &mut self.notes, note);
        let Version { baseline, day, .. } = &versions.readable[place];
        // The comparison with the baseline itself judges this already.
        if baseline.provenance == current.provenance && baseline.aggregated == current.aggregated {
            return Ok(());
        }
        let at = format!("[drift] in perf.toml: the baseline of {day}");
        versions.parse_endpoints(&project.shell, &[place]).context(at)?;
        // Endpoint drift is attributed as far as the updates are readable.
        let updates: Vec<usize> = (0..place.min(UPDATES + 1)).collect();
        let _ = versions.parse_endpoints(&project.shell, &updates);
        versions.readable.truncate(place + 1);
        (self.versions, self.name) = (versions.readable, name);
        Ok(())
    }

    fn anchor(&self) -> Option<Anchor<'_>> {
        let (version, updates) = self.versions.split_last()?;
        Some(Anchor { version, name: self.name.as_deref(), updates })
    }

    pub fn judge<'a>(&'a self, comparison: Comparison<'a>, measured: &'a Measurement) -> Result<Comparison<'a>> {
        let Some(anchor) = self.anchor() else { return Ok(comparison) };
        let Version { commit, day, baseline, .. } = anchor.version;
        if !breaks_between(anchor.version, &measured.runs, &measured.provenance).is_empty() {
            return Ok(comparison);
        }
        let at = || format!("[drift]: the baseline of {day} ({})", shown_commit(commit, false));
        comparison.with_drift(anchor, measured.runs_for(baseline), &self.rules).with_context(at)
    }

    pub fn notes(&self, measured: &Measurement) -> Vec<String> {
        let mut notes = self.notes.clone();
        if let Some(Anchor { version, .. }) = self.anchor() {
            let breaks = breaks_between(version, &measured.runs, &measured.provenance);
            if !breaks.is_empty() {
                let names = break_names(&breaks);
                notes.push(format!("the drift since {} is not judged, because of a change in {names}", version.day));
            }
        }
        notes
    }
}

pub fn age_warning(project: &Project, baseline: &Baseline, background: &Background) -> Option<String> {
    let commits = background.commits_between.filter(|commits| *commits > 0)?;
    let limits = &project.config.baseline;
    let days = Day::of_timestamp(&baseline.provenance.timestamp).map_or(0, |day| day.days_until(today()));
    if days <= limits.old_after_days() && commits <= limits.old_after_commits {
        return None;
    }
    Some(format!(
        "the baseline is old, {} and {}: measure it again with --update-baseline, before another change muddies the comparison",
        count(usize::try_from(days).unwrap_or(0), "day"),
        count(commits as usize, "commit")
    ))
}
