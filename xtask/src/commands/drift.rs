//! The drift since an earlier baseline, and the baseline's age.

use anyhow::{Context as _, Result, bail};
use judge::baseline::chain::{Version, break_names, breaks, breaks_between};
use judge::baseline::file::Baseline;
use judge::model::day::Day;
use judge::model::limits::Rules;
use judge::verdict::compare::Anchor;
use judge::verdict::compare::Comparison;
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
    anchor: Option<AnchorVersion>,
    /// Why the drift is not judged, or only in part, a sentence each.
    notes: Vec<String>,
}

struct AnchorVersion {
    version: Version,
    name: Option<String>,
    updates: Vec<Version>,
}

impl DriftCheck {
    pub fn read(project: &Project, current: &Baseline) -> Result<DriftCheck> {
        let drift = &project.config.drift;
        let (limits, endpoint_limits, accepted) = (drift.limits.clone(), Vec::new(), Vec::new());
        let rules = Rules { limits, endpoint_limits, accepted, ..project.rules.clone() };
        let mut notes = Vec::new();
        let anchor = if drift.limits.is_empty() { None } else { find_anchor(project, current, &mut notes)? };
        Ok(DriftCheck { rules, anchor, notes })
    }

    pub fn judge<'a>(&'a self, comparison: Comparison<'a>, measured: &'a Measurement) -> Result<Comparison<'a>> {
        match &self.anchor {
            Some(AnchorVersion { version, name, updates })
                if breaks_between(version, &measured.runs, &measured.provenance).is_empty() =>
            {
                let commit = shown_commit(&version.commit, false);
                let anchor = Anchor { version, name: name.as_deref(), updates };
                comparison
                    .with_drift(anchor, measured.runs_for(&version.baseline), &self.rules)
                    .with_context(|| format!("[drift]: the baseline of {} ({commit})", version.day))
            }
            _ => Ok(comparison),
        }
    }

    pub fn notes(&self, measured: &Measurement) -> Vec<String> {
        let mut notes = self.notes.clone();
        if let Some(AnchorVersion { version, .. }) = &self.anchor {
            let breaks = breaks_between(version, &measured.runs, &measured.provenance);
            if !breaks.is_empty() {
                let names = break_names(&breaks);
                notes.push(format!("the drift since {} is not judged, because of a change in {names}", version.day));
            }
        }
        notes
    }
}

/// `None` if there is nothing to compare with.
fn find_anchor(project: &Project, current: &Baseline, notes: &mut Vec<String>) -> Result<Option<AnchorVersion>> {
    let since = &project.config.drift.since;
    if file_versions::is_shallow(&project.shell)? {
        let problem = "this clone is shallow, so the drift since an earlier baseline cannot be judged: check out with `fetch-depth: 0`, or `git fetch --unshallow origin`";
        if ci::is_any() {
            bail!("[drift] in perf.toml: {problem}");
        }
        notes.push(problem.to_owned());
        return Ok(None);
    }
    let path = &project.baseline;
    let part = BaselinePart::WithoutEndpoints;
    let mut versions = BaselineVersions::read(&project.shell, path, part, since, Reach::CountedFrom)
        .context("[drift] in perf.toml")?;
    notes.append(&mut versions.unreadable);
    if versions.readable.is_empty() {
        notes.push(format!("git has no version of {} yet, so there is no drift to judge", project.shown(path)));
        return Ok(None);
    }
    let found = versions.counted_from.take();
    if *since != Since::Oldest && found.is_none() {
        notes.push("no tag matches [drift] `since`, so the drift is counted from the oldest baseline".to_owned());
    }
    let breaks = breaks(versions.readable.iter());
    let CountedFrom { place, name } = within_stretch(found, &versions.readable, &breaks, notes, |day, cause| {
        format!("the drift is counted from {day}, because the chain of baselines is broken there ({cause})")
    });
    let Version { baseline, day, .. } = &versions.readable[place];
    // The comparison with the baseline itself judges this already.
    if baseline.provenance == current.provenance && baseline.aggregated == current.aggregated {
        return Ok(None);
    }
    let at = format!("[drift] in perf.toml: the baseline of {day}");
    versions.parse_endpoints(&project.shell, &[place]).context(at)?;
    // Endpoint drift is attributed as far as the updates are readable.
    let updates: Vec<usize> = (0..place.min(UPDATES + 1)).collect();
    let _ = versions.parse_endpoints(&project.shell, &updates);
    let mut updates = versions.readable;
    updates.truncate(place + 1);
    Ok(updates.pop().map(|version| AnchorVersion { version, name, updates }))
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
