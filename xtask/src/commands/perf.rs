//! The story of `cargo xtask perf`.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};
use judge::baseline::chain::is_unchanged;
use judge::baseline::file::Baseline;
use judge::model::limits::Rules;
use judge::model::run::Provenance;
use judge::model::text::printable;
use judge::verdict::comparability::comparability;
use judge::verdict::compare::{Comparison, Verdict, compare, lacking};
use report::view::words::{count, shown_commit};
use report::view::{drift, exceptions};
use report::{Background, Report, Saved, Sides, Unjudged};

use crate::commands::against::{against, judge_again};
use crate::commands::confirm::{Means, confirm, is_asked_for};
use crate::commands::delivery::{Delivery, deliver_failure, deliver_saved_baseline};
use crate::commands::drift::{Watch, age_warning};
use crate::commands::measurement::{Measurement, another_follows, background, details};
use crate::config::flags::Perf;
use crate::config::project::Project;
use crate::config::settings::Settings;
use crate::run::bench::{Bench, Clock, Side};
use crate::run::results::Measured;
use crate::sys::{ci, files, process};

/// The end of a command.
pub enum Outcome {
    /// A verdict was reached.
    Judged(Verdict),
    /// The command did what was asked, such as writing a baseline, and nothing could fail.
    Done(String),
    /// A baseline was saved, and there was none to compare with; in CI that is no verdict.
    Saved(Unjudged),
}

/// Runs the gate. Where it cannot judge, the reports asked for say why.
///
/// # Errors
///
/// Says why there is no verdict.
pub fn perf(flags: &Perf) -> Result<Outcome> {
    let outcome = run(flags);
    match &outcome {
        Err(error) => deliver_failure(flags, error),
        Ok(Outcome::Saved(unjudged)) => deliver_saved_baseline(flags, unjudged),
        Ok(Outcome::Judged(_) | Outcome::Done(_)) => {}
    }
    outcome
}

/// Reads and checks, measures or takes the results given, judges, reports, writes a baseline.
fn run(flags: &Perf) -> Result<Outcome> {
    let mut clock = Clock::start();
    // 1. Read and check everything that can fail cheaply, before the first request.
    let project = Project::read(flags)?;
    let delivery = Delivery::prepare(&project)?;
    if let Some(rev) = &flags.against {
        return against(&project, &delivery, rev, &mut clock).map(Outcome::Judged);
    }
    if let Some(rounds) = project.read_rounds(&[])? {
        return judge_again(&project, &delivery, rounds).map(Outcome::Judged);
    }
    let baseline = project.read_baseline()?;
    let watch = match &baseline {
        Some(baseline) => Watch::read(&project, baseline)?,
        None => None,
    };
    let former = baseline.as_ref().map(|baseline| Former { baseline, watch: watch.as_ref() });
    let plan = Plan::new(&project, former)?;
    // 2. Take the results given, or measure: start what has to be started, load the service, and leave nothing running.
    if !flags.results.is_empty() {
        let measured = project.read_results()?;
        let means = project.read_rounds(&["confirm"])?.map_or(Means::None, Means::Earlier);
        let rules = project.rules_for(&measured);
        return conclude(&project, &delivery, plan, &rules, measured, means);
    }
    let settings = project.settle()?;
    plan.check_load(&project, &settings)?;
    let service = project.service(&settings);
    let side = Side { label: None, commit: None, shell: &project.shell, service, warning: None };
    let mut bench = Bench::prepare(&project, &settings, project.rules.max_runs, &side, &mut clock)?;
    bench.most_loads = plan.most_runs(&project);
    let measured = measure(&project, plan, &mut bench, &side)?;
    conclude(&project, &delivery, plan, &project.rules, measured, Means::Bench(&mut bench))
}

/// Judges and reports, or writes a baseline.
fn conclude(
    project: &Project,
    delivery: &Delivery,
    plan: Plan,
    rules: &Rules,
    measured: Vec<Measured>,
    means: Means,
) -> Result<Outcome> {
    let measurement = Measurement::new(measured, project)?;
    rules.check_all_met(plan.former().map(|former| former.baseline), &measurement.runs)?;
    let judging = Judging { project, rules, measurement: &measurement };
    match plan {
        Plan::Judge(former) => {
            let comparison = judging.compare(former)?;
            let background = background(project, former.baseline, &measurement);
            let report = judging.report(former, &comparison, &background, means.clock());
            // Rounds of the baseline's commit tell nothing of a drift since an earlier one.
            if comparison.has_failed_itself() && is_asked_for(project, &means) {
                return confirm(project, delivery, &report, means).map(Outcome::Judged);
            }
            delivery.deliver(&report).map(Outcome::Judged)
        }
        Plan::Update(former) => update(&judging, former, delivery, means.clock()),
        Plan::First => save_first(project, &measurement),
    }
}

/// Shows what changed since the former baseline, and replaces it.
fn update<'a>(
    judging: &Judging<'a>,
    former: Option<Former<'a>>,
    delivery: &Delivery,
    clock: Option<&Clock>,
) -> Result<Outcome> {
    let Judging { project, measurement, .. } = judging;
    let shown = match former {
        Some(former) => judging.show_change(former, delivery, clock)?,
        None => Shown::Nothing,
    };
    let former = former.map(|former| former.baseline);
    let baseline = new_baseline(project, former, measurement)?;
    let is_unchanged = former.is_some_and(|former| is_unchanged(former, &baseline));
    let file = project.shown(&project.baseline_path);
    if is_unchanged && project.flags.if_changed {
        return Ok(Outcome::Done(format!("BASELINE KEPT: {NOTHING_CHANGED} since {file}")));
    }
    save(project, &baseline, measurement)?;
    let saved = Saved::new(&baseline, &file);
    let Shown::Change { taken_over } = shown else { return Ok(Outcome::Saved(Unjudged::BaselineSaved(saved))) };
    let mut message = String::new();
    if let Some(taken_over) = taken_over {
        let _ = writeln!(message, "note: {taken_over}");
    }
    if is_unchanged {
        let _ = writeln!(
            message,
            "note: {NOTHING_CHANGED}; keep the old baseline? (`git checkout {file}`, and --if-changed next time)"
        );
    }
    let _ = write!(message, "BASELINE SAVED: {}", saved.sentence());
    Ok(Outcome::Done(message))
}

/// Says that the former baseline is as good as the new one.
const NOTHING_CHANGED: &str = "no metric changed beyond noise";

/// The part of an update that was told.
enum Shown {
    /// Nothing: there is no former baseline, or none that can be compared with.
    Nothing,
    /// What changed since.
    Change {
        /// What the new baseline takes over of what exceptions accept.
        taken_over: Option<String>,
    },
}

/// The baseline that there is already.
#[derive(Clone, Copy)]
struct Former<'a> {
    baseline: &'a Baseline,
    /// What is watched beside it; `None` where `perf.toml` asks for nothing.
    watch: Option<&'a Watch>,
}

impl<'a> Former<'a> {
    /// Judges the drift too, where that is asked for.
    fn watched(self, comparison: Comparison<'a>, measurement: &'a Measurement) -> Result<Comparison<'a>> {
        match self.watch {
            Some(watch) => watch.judge(comparison, measurement),
            None => Ok(comparison),
        }
    }
}

/// The use that a command makes of its runs.
#[derive(Clone, Copy)]
enum Plan<'a> {
    /// Judge them against the baseline.
    Judge(Former<'a>),
    /// Make a new baseline of them, and show what changed since the former one.
    Update(Option<Former<'a>>),
    /// Make the first baseline of them.
    First,
}

impl<'a> Plan<'a> {
    /// Chooses the plan, and checks that it can be carried out.
    fn new(project: &Project, former: Option<Former<'a>>) -> Result<Plan<'a>> {
        let plan = match former {
            former if project.flags.update_baseline => Plan::Update(former),
            Some(former) => Plan::Judge(former),
            None => Plan::First,
        };
        match plan {
            Plan::Judge(Former { baseline, .. }) => {
                lacking(baseline, &project.rules).with_context(|| project.shown(&project.baseline_path))?;
            }
            Plan::Update(_) | Plan::First => files::check_writable(&project.baseline_path)?,
        }
        Ok(plan)
    }

    /// Returns the baseline that there is already.
    fn former(self) -> Option<Former<'a>> {
        match self {
            Plan::Judge(former) => Some(former),
            Plan::Update(former) => former,
            Plan::First => None,
        }
    }

    /// Returns the number of runs that are made at most.
    fn most_runs(self, project: &Project) -> usize {
        match self {
            Plan::Judge(_) => project.rules.max_runs,
            Plan::Update(_) => project.baseline_runs,
            Plan::First => project.rules.min_runs,
        }
    }

    /// Checks, before the load, that its runs can be compared with the baseline.
    fn check_load(self, project: &Project, settings: &Settings) -> Result<()> {
        let Plan::Judge(Former { baseline, .. }) = self else { return Ok(()) };
        let loaded = Provenance { load: Some(settings.load.kept()), ..project.provenance() };
        if let Some(refusal) = comparability(&baseline.provenance, &loaded).refusal {
            bail!("{} is not comparable: {refusal}", project.shown(&project.baseline_path));
        }
        Ok(())
    }
}

/// Makes one run after the other, as long as another is needed.
fn measure(project: &Project, plan: Plan, bench: &mut Bench, side: &Side) -> Result<Vec<Measured>> {
    let mut measured = Vec::new();
    loop {
        measured.push(bench.run(side, &format!("run-{}", measured.len() + 1))?);
        if !needs_another_run(project, plan, &measured)? {
            return Ok(measured);
        }
    }
}

/// Returns whether to measure once more: until the verdict is conclusive, within the runs allowed. A new baseline gets a
/// number of its own. Says why.
fn needs_another_run(project: &Project, plan: Plan, measured: &[Measured]) -> Result<bool> {
    let made = measured.len();
    match plan {
        Plan::Judge(former @ Former { baseline, .. }) => {
            let measurement = Measurement::new(measured.to_vec(), project)?;
            let shown = project.shown(&project.baseline_path);
            measurement.check_comparable(&baseline.provenance, &shown)?;
            let comparison = compare(baseline, &measurement.runs, &project.rules).context(shown)?;
            let comparison = former.watched(comparison, &measurement)?;
            Ok(another_follows(project, &project.rules, &comparison, "run"))
        }
        Plan::Update(_) => {
            // What cannot be a baseline after one run cannot be one after ten.
            Measurement::new(measured.to_vec(), project)?.baseline(None, None)?;
            project.say(&format!("run {made}/{} is done", project.baseline_runs));
            Ok(made < project.baseline_runs)
        }
        Plan::First => Ok(made < project.rules.min_runs),
    }
}

/// The runs that are judged, and the rules.
struct Judging<'a> {
    project: &'a Project<'a>,
    rules: &'a Rules,
    measurement: &'a Measurement,
}

impl<'a> Judging<'a> {
    fn compare(&self, former: Former<'a>) -> Result<Comparison<'a>> {
        let shown = self.project.shown(&self.project.baseline_path);
        self.measurement.check_comparable(&former.baseline.provenance, &shown)?;
        let comparison = compare(former.baseline, &self.measurement.runs, self.rules).context(shown)?;
        former.watched(comparison, self.measurement)
    }

    /// Shows what changed since the former baseline, where the two can be compared.
    fn show_change(&self, former: Former<'a>, delivery: &Delivery, clock: Option<&Clock>) -> Result<Shown> {
        match self.compare(former) {
            Ok(comparison) => {
                let background = background(self.project, former.baseline, self.measurement);
                delivery.deliver(&self.report(former, &comparison, &background, clock))?;
                Ok(Shown::Change { taken_over: exceptions::absorbed(&comparison) })
            }
            Err(error) => {
                self.project.say(&format!("no comparison with the former baseline: {error:#}"));
                Ok(Shown::Nothing)
            }
        }
    }

    fn report<'r>(
        &'r self,
        former: Former<'r>,
        comparison: &'r Comparison<'r>,
        background: &'r Background,
        clock: Option<&Clock>,
    ) -> Report<'r> {
        let Measurement { runs, histories, provenance, warnings, .. } = self.measurement;
        let Former { baseline, watch } = former;
        let mut warnings = warnings.clone();
        warnings.extend(comparability(&baseline.provenance, provenance).warnings);
        warnings.extend(age_warning(self.project, baseline, background));
        warnings.extend(watch.map(|watch| watch.notes(self.measurement)).unwrap_or_default());
        Report {
            comparison,
            distribution: &baseline.distribution,
            runs,
            histories,
            provenance: Sides { baseline: &baseline.provenance, candidate: provenance },
            // These quote the baseline file, which anybody may have written.
            baseline: printable(&baseline_origin(self.project, baseline, background, comparison)),
            warnings: warnings.iter().map(|warning| printable(warning)).collect(),
            details: details(self.project, self.measurement, clock),
            background,
            confirmation: None,
        }
    }
}

fn baseline_origin(project: &Project, baseline: &Baseline, background: &Background, comparison: &Comparison) -> String {
    let Provenance { commit, timestamp, dirty, .. } = &baseline.provenance;
    let date: String = timestamp.chars().take("2026-01-27".len()).collect();
    let age = match background.commits_between {
        None => String::new(),
        Some(0) => ", the same commit".to_owned(),
        Some(commits) => format!(", {} ago", count(commits as usize, "commit")),
    };
    let drift = drift::summary(comparison).map_or_else(String::new, |drift| format!("; {drift}"));
    format!(
        "baseline: commit {}, {date}{age} ({}){drift}",
        shown_commit(commit, *dirty),
        project.shown(&project.baseline_path)
    )
}

/// Saves the first baseline, since there is nothing to compare with. In CI nobody may ever commit it, and then the gate
/// would always pass.
fn save_first(project: &Project, measurement: &Measurement) -> Result<Outcome> {
    let baseline = new_baseline(project, None, measurement)?;
    save(project, &baseline, measurement)?;
    let saved = Saved::new(&baseline, &project.shown(&project.baseline_path));
    let unjudged = if ci::is_any() { Unjudged::NoBaseline(saved) } else { Unjudged::BaselineSaved(saved) };
    Ok(Outcome::Saved(unjudged))
}

fn new_baseline(project: &Project, former: Option<&Baseline>, measurement: &Measurement) -> Result<Baseline> {
    measurement.baseline(project.flags.note.as_deref(), former)
}

/// Writes the baseline, and says what speaks against it.
fn save(project: &Project, baseline: &Baseline, measurement: &Measurement) -> Result<()> {
    if baseline.provenance.commit == "unknown" {
        project.say("warning: git does not know the commit here, so the baseline says `unknown`");
    }
    for warning in measurement.warnings_of_baseline() {
        project.say(&format!("warning: {warning}"));
    }
    process::check_interrupted()?;
    files::write_atomically(&project.baseline_path, &baseline.to_text())
}
