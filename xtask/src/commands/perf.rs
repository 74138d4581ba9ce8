//! `cargo xtask perf`: the gate, and its baseline.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use judge::baseline::chain::is_unchanged;
use judge::baseline::comparability::comparability;
use judge::baseline::file::Baseline;
use judge::baseline::work::work;
use judge::model::limits::Rules;
use judge::model::mask;
use judge::model::run::Provenance;
use judge::model::text::printable;
use judge::verdict::compare::{Comparison, compare, lacking};
use judge::verdict::names::{check_endpoint_limits, names_warning};
use report::view::words::{count, listed, shown_commit};
use report::view::{drift, exceptions};
use report::{Background, Report, Saved, Sides, Unjudged};

use crate::commands::against::{against, against_url, judge_rounds};
use crate::commands::baseline_checks::failures_of_reference;
use crate::commands::confirm::{Remeasure, confirm, is_asked_for};
use crate::commands::delivery::{deliver, deliver_unjudged};
use crate::commands::drift::{DriftCheck, age_warning};
use crate::commands::measurement::{
    Measurement, Next, command_again, judge_again, next_step, other_details, rules_for,
};
use crate::commands::outcome::Outcome;
use crate::config::flags::{Against, PerfFlags};
use crate::config::paths::Paths;
use crate::config::project::Project;
use crate::config::settings::Settings;
use crate::run::checkout::Side;
use crate::run::progress::LoadCounter;
use crate::run::results::{MeasuredRun, read_results, read_rounds};
use crate::run::runner::Runner;
use crate::sys::git::{self, UNKNOWN_COMMIT};
use crate::sys::session::{RunsMade, SessionFile};
use crate::sys::{ci, files, process};

pub fn perf(flags: &PerfFlags) -> Outcome {
    let paths = Paths::resolve(&flags.files);
    let project = Project::read(flags, &paths);
    let inputs = project.as_ref().map_or_else(|_| paths.inputs(flags), Project::inputs);
    let outcome = project.and_then(|project| carry_out(&project, &inputs)).into();
    deliver_unjudged(&flags.files, &paths, &inputs, &outcome);
    outcome
}

fn carry_out(project: &Project, inputs: &[PathBuf]) -> Result<Outcome> {
    project.paths.check_reports(&project.flags.files.reports, inputs)?;
    let sessions = read_sessions(project)?;
    if let Some(reason) = project.git_refusal() {
        project.say(&format!("warning: {reason}"));
    }
    match &project.flags.against {
        Against::Rev(rev) => return against(project, rev),
        Against::Url(url) => return against_url(project, url),
        Against::Baseline => {}
    }
    if let Some(rounds) = read_rounds(project, "")? {
        return judge_rounds(project, rounds);
    }
    match project.read_baseline()? {
        former if project.flags.update_baseline => update(project, former.as_ref()),
        Some(baseline) => judge(project, &baseline, &sessions),
        None => save_first(project),
    }
}

/// How the commands ended that made RESULTS.
fn read_sessions(project: &Project) -> Result<Vec<SessionFile>> {
    let mut sessions = Vec::new();
    for path in &project.flags.results {
        sessions.extend(SessionFile::read_ended(&project.paths.current_dir.join(path))?);
    }
    Ok(sessions)
}

fn judge(project: &Project, baseline: &Baseline, sessions: &[SessionFile]) -> Result<Outcome> {
    let reference = Reference::read(project, baseline)?;
    lacking(baseline, &project.rules).with_context(|| project.shown(&project.baseline))?;
    if !project.flags.results.is_empty() {
        let measured = read_results(project)?;
        let remeasure = match sessions.iter().find_map(|session| session.not_confirmed.clone()) {
            Some(why) => Remeasure::Failed(why),
            None => read_rounds(project, "confirm")?.map_or(Remeasure::Impossible, Remeasure::Earlier),
        };
        let rules = rules_for(project, &measured);
        let measurement = Measurement::of_candidate(measured, project)?;
        return reference.deliver(&rules, &measurement, remeasure);
    }
    let settings = project.settle()?;
    reference.refuse_other_load(&settings)?;
    let rules = &project.rules;
    let mut runner = Runner::prepare(project, settings, Some(Side::Only))?;
    let (mut measured, mut reason) = (Vec::new(), String::new());
    loop {
        measured.push(runner.run(Side::Only, &format!("run-{}", measured.len() + 1))?);
        // Before they are judged: if that is an error, the same runs can be judged again.
        if measured.len() == rules.most_runs() {
            project.record_runs(RunsMade::All)?;
        }
        let measurement = Measurement::of_candidate(measured.clone(), project)?;
        let comparison = reference.compare(&measurement, rules)?;
        let next = next_step(&comparison);
        project.say(&format!("run {}/{}: {}", measured.len(), rules.max_runs, next.reason(&mut reason)));
        if let Next::Stop(_) = next {
            project.record_runs(RunsMade::All)?;
            let remeasure = Remeasure::Now(&mut runner);
            return reference.deliver(rules, &measurement, remeasure);
        }
    }
}

fn update(project: &Project, former: Option<&Baseline>) -> Result<Outcome> {
    let reference = former.map(|former| Reference::read(project, former)).transpose()?;
    files::check_writable(&project.baseline)?;
    let (measured, _runner) = runs_for_baseline(project, project.baseline_runs)?;
    let rules = rules_for(project, &measured);
    let measurement = Measurement::new(measured, project)?;
    check_endpoint_limits(&rules, former, &measurement.runs, &judge_again(project))?;
    check_failures(project, &rules, &measurement)?;
    let reported = match &reference {
        Some(reference) => report_update(reference, &rules, &measurement)?,
        None => None,
    };
    let mut baseline = measurement.baseline()?;
    if let Some(former) = former {
        baseline = baseline.replacing(former);
    }
    if !project.flags.note.is_empty() {
        baseline = baseline.with_note(mask::text(&project.flags.note));
    }
    if reported.is_none() {
        measurement.warnings.iter().for_each(|warning| project.say(&format!("warning: {}", printable(warning))));
    }
    let has_changed = reported.as_ref().is_none_or(|reported| reported.has_changed);
    let is_unchanged = !has_changed && former.is_some_and(|former| is_unchanged(former, &baseline));
    let file = project.shown(&project.baseline);
    if is_unchanged && project.flags.if_changed {
        return Ok(Outcome::Done(format!("BASELINE KEPT: {NOTHING_CHANGED} since {file}")));
    }
    let saved = save(project, &rules, &baseline, &measurement)?;
    let Some(ReportedUpdate { notes, .. }) = reported else { return Ok(Unjudged::BaselineSaved(saved).into()) };
    let mut message = String::new();
    for note in notes {
        let _ = writeln!(message, "note: {note}");
    }
    if is_unchanged {
        let _ = writeln!(
            message,
            "note: {NOTHING_CHANGED}; keep the old baseline? (`git checkout {file}`, and --if-changed next time)"
        );
    }
    Ok(Outcome::Done(format!("{message}BASELINE SAVED: {}", saved.sentence())))
}

const NOTHING_CHANGED: &str = "no metric changed beyond noise";

/// The RESULTS, or so many new runs with their runner, which holds the lock until the baseline is saved.
fn runs_for_baseline<'a>(project: &'a Project, runs: usize) -> Result<(Vec<MeasuredRun>, Option<Runner<'a>>)> {
    if !project.flags.results.is_empty() {
        return Ok((read_results(project)?, None));
    }
    let mut runner = Runner::prepare(project, project.settle()?, Some(Side::Only))?;
    runner.loads = LoadCounter::new(runs);
    let mut measured = Vec::new();
    while measured.len() < runs {
        measured.push(runner.run(Side::Only, &format!("run-{}", measured.len() + 1))?);
        if measured.len() == runs {
            project.record_runs(RunsMade::All)?;
        }
        // Runs that cannot be a baseline now cannot be one after the last.
        let measurement = Measurement::new(measured.clone(), project)?;
        measurement.baseline()?;
        check_failures(project, &project.rules, &measurement)?;
        project.say(&format!("run {}/{runs} is done", measured.len()));
    }
    Ok((measured, Some(runner)))
}

/// Refuses runs of ours that failed too often to be a reference, unless that is wanted. Results of others may be one.
fn check_failures(project: &Project, rules: &Rules, measurement: &Measurement) -> Result<()> {
    match measurement.too_many_failures(rules) {
        Some(failures) if measurement.is_ours && !project.flags.allow_errors => bail!(
            "the baseline is not saved: {failures}; fix the service or the locustfile, or accept these errors with --allow-errors"
        ),
        _ => Ok(()),
    }
}

/// What was reported of a new baseline against the previous one.
struct ReportedUpdate {
    notes: Vec<String>,
    /// Whether something would fail or warn again if the previous baseline were kept, even if each metric may be noise.
    has_changed: bool,
}

/// `None` if the two cannot be compared.
fn report_update(reference: &Reference, rules: &Rules, measurement: &Measurement) -> Result<Option<ReportedUpdate>> {
    let project = reference.project;
    match reference.compare(measurement, rules) {
        Ok(comparison) => {
            let background = measurement.background(project, &comparison, reference.baseline);
            deliver(project, &reference.report(measurement, &comparison, &background))?;
            Ok(Some(ReportedUpdate {
                notes: Vec::from_iter(exceptions::absorbed(&comparison)),
                has_changed: comparison.has_failed_itself() || !comparison.traffic.is_empty(),
            }))
        }
        Err(error) => {
            project.say(&format!("no comparison with the previous baseline: {error:#}"));
            Ok(None)
        }
    }
}

/// In CI that is no verdict, because the gate would always pass if nobody commits the baseline.
fn save_first(project: &Project) -> Result<Outcome> {
    files::check_writable(&project.baseline)?;
    if let Some(next) = project.baseline_in_git() {
        project.say(&format!("warning: {next}"));
    }
    let (measured, _runner) = runs_for_baseline(project, project.rules.min_runs)?;
    let rules = rules_for(project, &measured);
    let measurement = Measurement::new(measured, project)?;
    check_endpoint_limits(&rules, None, &measurement.runs, &judge_again(project))?;
    let baseline = measurement.baseline()?;
    check_failures(project, &rules, &measurement)?;
    for warning in &measurement.warnings {
        project.say(&format!("warning: {}", printable(warning)));
    }
    let saved = save(project, &rules, &baseline, &measurement)?;
    let unjudged = if ci::is_any() { Unjudged::NoBaseline(saved) } else { Unjudged::BaselineSaved(saved) };
    Ok(unjudged.into())
}

fn save(project: &Project, rules: &Rules, baseline: &Baseline, measurement: &Measurement) -> Result<Saved> {
    if baseline.provenance.commit == UNKNOWN_COMMIT {
        project.say("warning: git does not know the commit here, so the baseline says `unknown`");
    }
    if baseline.provenance.dirty {
        project.say(&format!("warning: {}", dirty_warning(project, measurement.is_ours)));
    }
    let file = project.shown(&project.baseline);
    let ignored_by = project.pattern_that_ignores_the_baseline();
    if !ignored_by.is_empty() {
        project.say(&format!("warning: git ignores {file} ({ignored_by}): commit it with `git add --force`"));
    }
    for warning in measurement.warnings_of_baseline(&project.rules) {
        project.say(&format!("warning: {warning}"));
    }
    process::check_interrupted()?;
    project.check_baseline_unchanged()?;
    files::write_atomically(&project.baseline, &baseline.to_text())?;
    let mut saved = Saved::new(baseline, &file, command_again(project.flags));
    saved.warnings.clone_from(&measurement.file_warnings);
    saved.warnings.extend(measurement.too_many_failures(rules));
    saved.warnings.extend(measurement.failures_of_setup());
    saved.is_ignored = !ignored_by.is_empty();
    // A branch can be compared with another one if the service is started here.
    if measurement.is_ours && project.flags.load.host.is_none() && project.config.service.is_some() {
        saved.default_branch = git::default_branch(&project.shell).unwrap_or_default();
    }
    Ok(saved)
}

fn dirty_warning(project: &Project, is_ours: bool) -> String {
    let files: Vec<String> = project.head.dirty_files.iter().map(|file| printable(file)).collect();
    let files = if files.is_empty() { String::new() } else { format!(" ({})", listed(&files)) };
    let again = command_again(project.flags);
    // A commit made now is not the one that our runs measured.
    let again = if is_ours { again.measuring() } else { again }.with(&["--update-baseline"]);
    format!(
        "this baseline was measured with uncommitted changes{files}, so --confirm and --against baseline cannot check its commit out: commit them, then record it again with `{again}`"
    )
}

struct Reference<'a> {
    project: &'a Project<'a>,
    baseline: &'a Baseline,
    drift: DriftCheck,
}

impl<'a> Reference<'a> {
    fn read(project: &'a Project, baseline: &'a Baseline) -> Result<Reference<'a>> {
        Ok(Reference { project, baseline, drift: DriftCheck::read(project, baseline)? })
    }

    fn refuse_other_load(&self, settings: &Settings) -> Result<()> {
        let expected = Provenance {
            load: Some(settings.load.masked()),
            locustfile_path: settings.locustfile_path.clone(),
            ..self.project.provenance()
        };
        let refusal = comparability(&self.baseline.provenance, &expected).refusal;
        ensure!(refusal.is_empty(), "{} is not comparable: {refusal}", self.project.shown(&self.project.baseline));
        Ok(())
    }

    fn compare<'c>(&'c self, measurement: &'c Measurement, rules: &'c Rules) -> Result<Comparison<'c>> {
        let shown = self.project.shown(&self.project.baseline);
        measurement.check_comparable(self.baseline, &shown)?;
        let comparison = compare(self.baseline, measurement.runs_for(self.baseline), rules).context(shown)?;
        let comparison = self.drift.judge(comparison, measurement)?;
        measurement.check_requests(&comparison)?;
        Ok(comparison)
    }

    fn deliver(&self, rules: &Rules, measurement: &Measurement, remeasure: Remeasure) -> Result<Outcome> {
        let Reference { project, baseline, .. } = self;
        check_endpoint_limits(rules, Some(*baseline), &measurement.runs, &judge_again(project))?;
        let comparison = self.compare(measurement, rules)?;
        let background = measurement.background(project, &comparison, baseline);
        let report = self.report(measurement, &comparison, &background);
        // Rounds with the baseline's commit cannot confirm a drift since an earlier baseline.
        if comparison.has_failed_itself() && is_asked_for(project, &remeasure) {
            return confirm(project, &report, remeasure);
        }
        deliver(project, &report)
    }

    fn report<'r>(
        &'r self,
        measurement: &'r Measurement,
        comparison: &'r Comparison<'r>,
        background: &'r Background,
    ) -> Report<'r> {
        let Reference { project, baseline, drift } = self;
        let Measurement { histories, provenance, warnings, .. } = measurement;
        let runs = measurement.runs_for(baseline);
        let mut warnings = warnings.clone();
        warnings.extend(comparability(&baseline.provenance, provenance).warnings);
        warnings.extend(work(baseline, runs).warnings);
        warnings.extend(names_warning(baseline, runs));
        warnings.extend(failures_of_reference(baseline, "in the baseline"));
        warnings.extend(measurement.warnings_of_comparison(baseline, comparison));
        warnings.extend(age_warning(project, baseline, background));
        warnings.extend(drift.notes(measurement));
        Report {
            comparison,
            distribution: &baseline.distribution,
            runs,
            histories,
            provenance: Sides { baseline: &baseline.provenance, candidate: provenance },
            // These quote the baseline file, which anybody may have written.
            baseline_origin: printable(&baseline_origin(project, baseline, background, comparison)),
            file_warnings: measurement.file_warnings.clone(),
            warnings: warnings.iter().map(|warning| printable(warning)).collect(),
            other_details: other_details(project),
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
        project.shown(&project.baseline)
    )
}
