//! What is watched over time beside the comparison with the baseline: the drift since an earlier one, and the baseline's
//! own age.

use anyhow::{Context as _, Result, bail};
use judge::baseline::chain::{Version, break_names, breaks, breaks_between, oldest_of_stretch};
use judge::baseline::drift::Anchor;
use judge::baseline::file::Baseline;
use judge::model::day::Day;
use judge::model::limits::Rules;
use judge::verdict::compare::Comparison;
use report::Background;
use report::view::drift::UPDATES;
use report::view::words::count;

use crate::commands::baseline_versions::{Origin, Part, Versions, origin};
use crate::commands::measurement::Measurement;
use crate::config::project::{Project, today};
use crate::config::time::DriftConfig;
use crate::sys::{ci, file_versions};

/// The limit of drift of a command, and what it is held against.
pub struct Watch {
    rules: Rules,
    versions: Vec<Version>,
    /// `None` where there is nothing to judge by; a note says why.
    origin: Option<Origin>,
    notes: Vec<String>,
}

impl Watch {
    /// Finds the anchor; `None` where `perf.toml` has no `[drift]`. Where it is `current` itself, nothing drifted yet, and
    /// the comparison with the baseline says all.
    ///
    /// # Errors
    ///
    /// Says that the clone is too shallow in CI, or which commit git does not know.
    pub fn read(project: &Project, current: &Baseline) -> Result<Option<Watch>> {
        let Some(drift) = &project.config.drift else { return Ok(None) };
        let file = project.shown(&project.baseline_path);
        let rules = Rules {
            limits: drift.limits.clone(),
            endpoint_limits: Vec::new(),
            accepted: Vec::new(),
            ..project.rules.clone()
        };
        let mut watch = Watch { rules, versions: Vec::new(), origin: None, notes: Vec::new() };
        if file_versions::is_shallow(&project.shell)? {
            let why = "this clone is shallow, so the drift since an earlier baseline cannot be judged: check out with `fetch-depth: 0`, or `git fetch --unshallow origin`";
            if ci::is_any() {
                bail!("[drift] in perf.toml: {why}");
            }
            watch.notes.push(why.to_owned());
            return Ok(Some(watch));
        }
        let mut found = Versions::read(&project.shell, &project.baseline_path, Part::Total)?;
        watch.notes.append(&mut found.unreadable);
        if found.readable.is_empty() {
            watch.notes.push(format!("git has no version of {file} yet, so there is no drift to judge"));
            return Ok(Some(watch));
        }
        let anchor = watch.choose(project, drift, &found.readable)?;
        // Of these only the total is read by now.
        let of_anchor = &found.readable[anchor].baseline;
        if of_anchor.provenance == current.provenance && of_anchor.aggregated == current.aggregated {
            watch.origin = None;
            return Ok(Some(watch));
        }
        let day = found.readable[anchor].day;
        found.complete(anchor).with_context(|| format!("[drift] in perf.toml: the baseline of {day}"))?;
        // What brought a drift of an endpoint is told as far as it can be read.
        for place in 0..anchor.min(UPDATES + 1) {
            let _ = found.complete(place);
        }
        watch.versions = found.readable;
        Ok(Some(watch))
    }

    /// Chooses the anchor, which lies in the newest stretch, and returns its place.
    fn choose(&mut self, project: &Project, drift: &DriftConfig, versions: &[Version]) -> Result<usize> {
        let breaks = breaks(versions.iter());
        let begin = oldest_of_stretch(&breaks, 0);
        let asked = drift.since.as_ref().map(|since| origin(&project.shell, versions, since, today()));
        let asked = asked.transpose().context("[drift] in perf.toml")?;
        if let Some(None) = asked {
            self.notes
                .push("no tag matches [drift] `since`, so the drift is that since the oldest baseline".to_owned());
        }
        let origin = match asked.flatten() {
            Some(origin) if origin.place <= begin => origin,
            Some(_) => {
                self.notes.push(format!(
                    "the drift is that since {}, where the chain of baselines is broken ({})",
                    versions[begin].day,
                    break_names(&breaks[begin])
                ));
                Origin { place: begin, name: None }
            }
            None => Origin { place: begin, name: None },
        };
        let place = origin.place;
        self.origin = Some(origin);
        Ok(place)
    }

    fn anchor(&self) -> Option<Anchor<'_>> {
        let Origin { place, name } = self.origin.as_ref()?;
        Some(Anchor { version: &self.versions[*place], name: name.as_deref(), updates: &self.versions[..*place] })
    }

    /// Judges the drift too, where it can be judged.
    ///
    /// # Errors
    ///
    /// Names an anchor that nothing can be compared with.
    pub fn judge<'a>(&'a self, comparison: Comparison<'a>, measured: &'a Measurement) -> Result<Comparison<'a>> {
        match self.anchor() {
            Some(anchor) if breaks_between(anchor.version, &measured.provenance).is_empty() => {
                let commit: String = anchor.version.commit.chars().take(12).collect();
                let at = || format!("[drift]: the baseline of {} ({commit})", anchor.version.day);
                comparison.with_drift(anchor, &measured.runs, &self.rules).with_context(at)
            }
            _ => Ok(comparison),
        }
    }

    /// Returns what the drift cannot tell, a sentence each.
    pub fn notes(&self, measured: &Measurement) -> Vec<String> {
        let mut notes = self.notes.clone();
        if let Some(anchor) = self.anchor() {
            let breaks = breaks_between(anchor.version, &measured.provenance);
            if !breaks.is_empty() {
                let names = break_names(&breaks);
                notes.push(format!("the drift since {} is not judged, since {names} differs", anchor.version.day));
            }
        }
        notes
    }
}

/// Says that the baseline is old, where code has changed since. `background` knows how many commits.
pub fn age_warning(project: &Project, baseline: &Baseline, background: &Background) -> Option<String> {
    let commits = background.commits_between.filter(|commits| *commits > 0)?;
    let limits = &project.config.baseline;
    let days = Day::of_timestamp(&baseline.provenance.timestamp).map_or(0, |day| day.days_until(today()));
    if days <= limits.old_after_days() && commits <= limits.old_after_commits {
        return None;
    }
    Some(format!(
        "the baseline is old, {} and {}: measure it again with --update-baseline, while nothing else explains a change",
        count(usize::try_from(days).unwrap_or(0), "day"),
        count(commits as usize, "commit")
    ))
}
