//! The story of `cargo xtask perf`.

use anyhow::{Context as _, Result, bail};
use judge::baseline::Baseline;
use judge::comparability::comparability;
use judge::compare::{Comparison, Verdict, compare, lacking};
use judge::limits::Rules;
use judge::run::Provenance;
use judge::text::printable;
use report::content::{Sides, Unjudged};
use report::saved::Saved;
use report::words::{count, shown_commit};
use report::{Background, Report};

use crate::config::Settings;
use crate::flags::Perf;
use crate::measure::bench::{Bench, Clock, Side};
use crate::project::Project;
use crate::results::Measured;
use crate::story::against::{against, judge_again};
use crate::story::confirm::{Means, confirm, is_asked_for};
use crate::story::delivery::{Delivery, deliver_failure, deliver_saved_baseline};
use crate::story::judging::{Measurement, another_follows, background, details};
use crate::system::{ci, files, process};

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
    let former = project.read_baseline()?;
    let plan = Plan::new(&project, former.as_ref())?;
    // 2. Take the results given, or measure: start what has to be started, load the service, and leave nothing running.
    if !flags.results.is_empty() {
        let measured = project.read_results()?;
        let means = project.read_rounds(&["confirm"])?.map_or(Means::None, Means::Earlier);
        let rules = project.rules_for(&measured);
        return conclude(&project, &delivery, plan, &rules, measured, means);
    }
    let settings = project.settle()?;
    plan.check_load(&project, &settings)?;
    let service = if settings.starts_service { project.config.service.as_ref() } else { None };
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
    rules.check_all_met(plan.baseline(), &measurement.runs)?;
    let judging = Judging { project, rules, measurement: &measurement };
    match plan {
        Plan::Judge(baseline) => {
            let comparison = judging.compare(baseline)?;
            let background = background(project, baseline, &measurement);
            let report = judging.report(baseline, &comparison, &background, means.clock());
            if comparison.verdict == Verdict::Fail && is_asked_for(project, &means) {
                return confirm(project, delivery, &report, means).map(Outcome::Judged);
            }
            delivery.deliver(&report).map(Outcome::Judged)
        }
        Plan::Update(former) => {
            let was_compared = match former {
                Some(former) => judging.show_change(former, delivery, means.clock())?,
                None => false,
            };
            let saved = Saved::new(&save_baseline(project, former, &measurement)?, &shown_baseline(project));
            Ok(if was_compared {
                Outcome::Done(format!("BASELINE SAVED: {}", saved.sentence()))
            } else {
                Outcome::Saved(Unjudged::BaselineSaved(saved))
            })
        }
        Plan::First => save_first(project, &measurement),
    }
}

/// The use that a command makes of its runs.
#[derive(Clone, Copy)]
enum Plan<'a> {
    /// Judge them against the baseline.
    Judge(&'a Baseline),
    /// Make a new baseline of them, and show what changed since the former one.
    Update(Option<&'a Baseline>),
    /// Make the first baseline of them.
    First,
}

impl<'a> Plan<'a> {
    /// Chooses the plan, and checks that it can be carried out.
    fn new(project: &Project, former: Option<&'a Baseline>) -> Result<Plan<'a>> {
        let plan = match former {
            former if project.flags.update_baseline => Plan::Update(former),
            Some(baseline) => Plan::Judge(baseline),
            None => Plan::First,
        };
        match plan {
            Plan::Judge(baseline) => {
                lacking(baseline, &project.rules).with_context(|| project.shown(&project.baseline_path))?;
            }
            Plan::Update(_) | Plan::First => files::check_writable(&project.baseline_path)?,
        }
        Ok(plan)
    }

    /// Returns the baseline that there is already.
    fn baseline(self) -> Option<&'a Baseline> {
        match self {
            Plan::Judge(baseline) => Some(baseline),
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
        let Plan::Judge(baseline) = self else { return Ok(()) };
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
        Plan::Judge(baseline) => {
            let measurement = Measurement::new(measured.to_vec(), project)?;
            let shown = project.shown(&project.baseline_path);
            measurement.check_comparable(&baseline.provenance, &shown)?;
            let comparison = compare(baseline, &measurement.runs, &project.rules).context(shown)?;
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
    fn compare(&self, baseline: &'a Baseline) -> Result<Comparison<'a>> {
        let shown = self.project.shown(&self.project.baseline_path);
        self.measurement.check_comparable(&baseline.provenance, &shown)?;
        compare(baseline, &self.measurement.runs, self.rules).context(shown)
    }

    /// Shows what changed since the former baseline. Returns whether the two could be compared.
    fn show_change(&self, former: &'a Baseline, delivery: &Delivery, clock: Option<&Clock>) -> Result<bool> {
        match self.compare(former) {
            Ok(comparison) => {
                let background = background(self.project, former, self.measurement);
                delivery.deliver(&self.report(former, &comparison, &background, clock))?;
                Ok(true)
            }
            Err(error) => {
                self.project.say(&format!("no comparison with the former baseline: {error:#}"));
                Ok(false)
            }
        }
    }

    fn report<'r>(
        &'r self,
        baseline: &'r Baseline,
        comparison: &'r Comparison<'r>,
        background: &'r Background,
        clock: Option<&Clock>,
    ) -> Report<'r> {
        let Measurement { runs, histories, provenance, warnings, .. } = self.measurement;
        let mut warnings = warnings.clone();
        warnings.extend(comparability(&baseline.provenance, provenance).warnings);
        Report {
            comparison,
            distribution: &baseline.distribution,
            runs,
            histories,
            provenance: Sides { baseline: &baseline.provenance, candidate: provenance },
            // These quote the baseline file, which anybody may have written.
            baseline: printable(&baseline_origin(self.project, baseline, background)),
            warnings: warnings.iter().map(|warning| printable(warning)).collect(),
            details: details(self.project, self.measurement, clock),
            background,
            confirmation: None,
        }
    }
}

fn baseline_origin(project: &Project, baseline: &Baseline, background: &Background) -> String {
    let Provenance { commit, timestamp, dirty, .. } = &baseline.provenance;
    let date: String = timestamp.chars().take("2026-01-27".len()).collect();
    let age = match background.commits_between {
        None => String::new(),
        Some(0) => ", the same commit".to_owned(),
        Some(commits) => format!(", {} ago", count(commits as usize, "commit")),
    };
    format!(
        "baseline: commit {}, {date}{age} ({})",
        shown_commit(commit, *dirty),
        project.shown(&project.baseline_path)
    )
}

/// Saves the first baseline, since there is nothing to compare with. In CI nobody may ever commit it, and then the gate
/// would always pass.
fn save_first(project: &Project, measurement: &Measurement) -> Result<Outcome> {
    let saved = Saved::new(&save_baseline(project, None, measurement)?, &shown_baseline(project));
    let unjudged = if ci::is_any() { Unjudged::NoBaseline(saved) } else { Unjudged::BaselineSaved(saved) };
    Ok(Outcome::Saved(unjudged))
}

fn shown_baseline(project: &Project) -> String {
    project.shown(&project.baseline_path)
}

fn save_baseline(project: &Project, former: Option<&Baseline>, measurement: &Measurement) -> Result<Baseline> {
    let baseline = measurement.baseline(project.flags.note.as_deref(), former)?;
    if baseline.provenance.commit == "unknown" {
        project.say("warning: git does not know the commit here, so the baseline says `unknown`");
    }
    for warning in measurement.warnings_of_baseline() {
        project.say(&format!("warning: {warning}"));
    }
    process::check_interrupted()?;
    files::write_atomically(&project.baseline_path, &baseline.to_text())?;
    Ok(baseline)
}
