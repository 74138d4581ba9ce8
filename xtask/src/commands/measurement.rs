//! The runs of one side, and the step that follows them.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Result, anyhow, bail, ensure};
use judge::baseline::comparability::{USERS_LEFT, comparability, users_difference};
use judge::baseline::file::Baseline;
use judge::baseline::work::work;
use judge::model::limits::Rules;
use judge::model::mask;
use judge::model::run::{Metric, Provenance, Run, Usage, by_name};
use judge::model::text::{cut, endpoint_shown, printable};
use judge::parse::locust_history::History;
use judge::stats::estimate::{mean, rounded};
use judge::verdict::causes::causes;
use judge::verdict::compare::{Comparison, Verdict, too_few_requests};
use judge::verdict::decision::{Presence, Row};
use report::view::evidence::{brief, unsettled};
use report::view::usage;
use report::view::words::listed;
use report::{Background, CommandLine, FailedRequests};

use crate::commands::baseline_checks::{
    self, broken_bound, estimate_of, noise_of_baseline, requests_and_failures, wide_floor,
};
use crate::commands::delivery::run_url;
use crate::config::flags::{Against, PerfFlags};
use crate::config::project::Project;
use crate::run::listener::{UsersLeft, users_left_text};
use crate::run::results::{self, Failures, MeasuredRun};
use crate::sys::machine::days_from_today;
use crate::sys::{ci, git};

pub struct Measurement {
    pub runs: Vec<Run>,
    /// The runs as they were counted before version 1.4 of the baseline, if that makes a difference.
    mixed_runs: Vec<Run>,
    /// Each run over time, or why that is missing.
    pub histories: Vec<Result<History, String>>,
    pub provenance: Provenance,
    /// A sentence each.
    pub file_warnings: Vec<String>,
    /// A sentence each.
    pub warnings: Vec<String>,
    pub is_ours: bool,
    failures_files: Vec<PathBuf>,
    /// What those files hold, which may be much, once it is needed.
    failures: OnceCell<Failures>,
    users_left: Vec<UsersLeft>,
    /// Why runs with too few requests cannot be judged by their percentiles.
    too_few_requests: Option<String>,
}

impl Measurement {
    /// Refuses runs with too few requests.
    pub fn new(measured: Vec<MeasuredRun>, project: &Project) -> Result<Measurement> {
        let measurement = Measurement::of_candidate(measured, project)?;
        match measurement.too_few_requests {
            Some(refusal) => bail!(refusal),
            None => Ok(measurement),
        }
    }

    /// With too few requests, the comparison may still show a regression ([`Measurement::check_requests`]).
    pub fn of_candidate(measured: Vec<MeasuredRun>, project: &Project) -> Result<Measurement> {
        let requests: Vec<u64> = measured.iter().map(|measured| measured.run.total.requests).collect();
        let too_few_requests = too_few_requests(&requests, project.config.load.min_requests)
            .map(|few| format!("{}: {}", project.shown(&measured[few.run].path), few.why));
        let is_ours = measured.iter().any(|measured| measured.file.is_some());
        let users = project.flags.load.users.filter(|_| !project.flags.results.is_empty());
        ensure!(
            !is_ours || users.is_none(),
            "--users has no effect here, because the runs of the gate have counted their users: leave it out"
        );
        let failures_files: Vec<PathBuf> = measured.iter().flat_map(MeasuredRun::failures_files).collect();
        let mixed_runs = mixed_runs(&measured);
        let (mut runs, mut histories, mut provenances) = (Vec::new(), Vec::new(), Vec::new());
        let (mut file_warnings, mut warnings, mut users_left) = (Vec::new(), Vec::new(), Vec::new());
        for MeasuredRun { path, run, file, history, .. } in measured {
            for oddity in &run.oddities {
                file_warnings.push(printable(&format!("{}: {oddity}", project.shown(&path))));
            }
            if let Some(file) = file {
                provenances.push(file.provenance);
                users_left.extend(file.users_left);
                for warning in file.warnings {
                    if !warnings.contains(&warning) {
                        warnings.push(warning);
                    }
                }
            } else {
                let observed_load = history.as_ref().ok().and_then(History::observed_load);
                provenances.push(Provenance { observed_load, ..project.provenance() });
            }
            runs.push(run);
            histories.push(history);
        }
        let provenance = Provenance { precision: Run::coarsest(&runs), ..joined(&provenances, users)? };
        let mut measurement = Measurement {
            runs,
            mixed_runs,
            histories,
            provenance,
            file_warnings,
            warnings,
            is_ours,
            failures_files,
            failures: OnceCell::new(),
            users_left,
            too_few_requests,
        };
        if !is_ours {
            measurement.warnings.extend(unlike_runs(&measurement.runs));
        }
        if !is_ours && let Some(failure) = measurement.failures().kinds.first() {
            let FailedRequests { endpoint, error, times, .. } = failure;
            let (endpoint, error) = (endpoint_shown(endpoint), cut(error, 200));
            let warning = format!("most frequent failure ({times}x): {endpoint}: {error}");
            measurement.warnings.push(warning);
        }
        Ok(measurement)
    }

    fn failures(&self) -> &Failures {
        self.failures.get_or_init(|| results::failures(&self.failures_files, &self.runs))
    }

    /// Refuses runs with too few requests, unless just that shows a regression.
    pub fn check_requests(&self, comparison: &Comparison) -> Result<()> {
        match &self.too_few_requests {
            Some(refusal) if !comparison.is_proven_by_few_answers() => bail!(refusal.clone()),
            _ => Ok(()),
        }
    }

    /// The runs as the baseline counts requests of `on_start`.
    pub fn runs_for(&self, baseline: &Baseline) -> &[Run] {
        if self.mixed_runs.is_empty() || baseline.has_setup_apart() { &self.runs } else { &self.mixed_runs }
    }

    /// If their users or tasks did not do their work, the runs are at fault, so the error leads with that, and with why
    /// users left.
    pub fn check_comparable(&self, baseline: &Baseline, shown: &str) -> Result<()> {
        let work = work(baseline, self.runs_for(baseline));
        let by_load = comparability(&baseline.provenance, &self.provenance).refusal;
        ensure!(by_load.is_empty() || by_load.contains(USERS_LEFT), "{shown} is not comparable: {by_load}");
        let refusal = if by_load.is_empty() { work.refusal } else { by_load };
        if refusal.is_empty() {
            return Ok(());
        }
        match users_left_text(&self.users_left).filter(|_| refusal.contains(USERS_LEFT)) {
            Some(left) => bail!("{left}; {refusal}"),
            None => bail!(refusal),
        }
    }

    /// If every request failed, the error has the most frequent failure.
    pub fn baseline(&self) -> Result<Baseline> {
        Baseline::new(&self.runs, self.provenance.clone()).map_err(|refusal| {
            let has_failed = self.runs.iter().any(|run| run.total.failures == run.total.requests);
            match self.failures().kinds.first() {
                Some(FailedRequests { endpoint, error, times, .. }) if has_failed => {
                    let error: String = error.chars().take(200).collect();
                    anyhow!(
                        "{refusal}; most frequent failure: {times} x {}: {}",
                        endpoint_shown(endpoint),
                        printable(&error)
                    )
                }
                _ => refusal,
            }
        })
    }

    /// `None` if they are few.
    pub fn too_many_failures(&self, rules: &Rules) -> Option<String> {
        let why = baseline_checks::too_many_failures(&self.runs, rules)?;
        let mut shown = Vec::new();
        for FailedRequests { endpoint, error, times, .. } in &self.failures().kinds {
            shown.push(printable(&format!("{times}x {}: {}", endpoint_shown(endpoint), cut(error, 200))));
        }
        Some(if shown.is_empty() { why } else { format!("{why}: {}", listed(&shown)) })
    }

    /// A sentence each.
    pub fn warnings_of_comparison(&self, baseline: &Baseline, comparison: &Comparison) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.mixed_runs.is_empty() && !baseline.has_setup_apart() {
            warnings.push("the baseline counts requests of `on_start` among the others: record it again with --update-baseline, and they are judged apart".to_owned());
        }
        if self.is_ours {
            if self.runs.iter().any(|run| run.total.histogram.count() == 0) {
                warnings.push("stalls of the service are not seen, because p95_corrected needs single response times, which Locust writes from 2.37.10 on".to_owned());
            }
            return warnings;
        }
        if !baseline.setup.is_empty() {
            warnings.push("these results count requests of `on_start` among the others, and the baseline has them apart: they are not compared".to_owned());
        }
        let has_corrected = |row: &Row| matches!(row.presence, Presence::Both { .. });
        if !comparison.total_row(Metric::P95Corrected).is_some_and(has_corrected) {
            warnings.push("stalls of the service are not seen, because users wait during a stall: judge Locust's --json-file, and save its baseline with --users N".to_owned());
        }
        if baseline.provenance.observed_load.is_some() && self.provenance.observed_load.is_none() {
            let history = self.histories.first().and_then(|history| history.as_ref().err());
            let why = history.map_or("it is too short", String::as_str);
            warnings.push(format!("users and length of the load are not compared: the baseline has Locust's history, but the history of these results cannot be used: {why}"));
        }
        let is_load_known = baseline.provenance.load.is_some()
            || baseline.provenance.observed_load.is_some() && self.provenance.observed_load.is_some();
        if let Some(before) = baseline.total(Metric::TotalRequests).filter(|_| !is_load_known) {
            let now = estimate_of(Metric::TotalRequests, self.runs.iter().map(|run| &run.total));
            if !(0.5 * before..=1.5 * before).contains(&now) {
                warnings
                    .push(format!("{now:.0} requests a run, and {before:.0} in the baseline: is it the same load?"));
            }
        }
        warnings
    }

    /// A sentence each.
    pub fn warnings_of_baseline(&self, rules: &Rules) -> Vec<String> {
        let expected = Provenance { mean_users: None, ..self.provenance.clone() };
        let mut warnings = Vec::new();
        let missing = users_difference(&expected, &self.provenance);
        if !missing.is_empty() {
            let left = users_left_text(&self.users_left).map_or_else(String::new, |left| format!("; {left}"));
            warnings.push(format!("{missing}{left}"));
        }
        warnings.extend(noise_of_baseline(&self.runs));
        warnings.extend(wide_floor(&self.runs, rules));
        warnings.extend(broken_bound(&self.runs, rules));
        warnings.extend(self.failures_of_setup());
        warnings.push(usage::note(&Provenance::default(), &self.provenance));
        warnings.retain(|warning| !warning.is_empty());
        warnings
    }

    /// Requests of `on_start` are no part of the error rate that a saved baseline shows.
    pub fn failures_of_setup(&self) -> impl Iterator<Item = String> {
        by_name(self.runs.iter().flat_map(|run| &run.setup)).into_iter().filter_map(|(name, stats)| {
            let [requests, failures] = requests_and_failures(&stats);
            (failures > 0).then(|| {
                format!(
                    "{failures} of {requests} requests of {} failed, and the baseline accepts this error rate",
                    endpoint_shown(name)
                )
            })
        })
    }

    pub fn background(&self, project: &Project, comparison: &Comparison, baseline: &Baseline) -> Background {
        let name = project.paths.root.file_name().map(|name| printable(&name.to_string_lossy()));
        let failures = self.failures();
        Background {
            name: name.unwrap_or_default(),
            commits_between: git::commits_between(&project.shell, &baseline.provenance.commit, &self.provenance.commit),
            baseline_p95_ms: baseline.total_runs(Metric::P95).to_vec(),
            baseline_history: results::history_of(&project.paths.perf_folder(), &baseline.provenance),
            failures: failures.kinds.clone(),
            causes: causes(comparison, baseline, &self.runs, &self.provenance),
            command: command_again(project.flags),
            is_of_others: !self.is_ours,
            failures_file: failures.file.as_ref().map(|file| project.shown(file)).unwrap_or_default(),
            config: project.shown(&project.paths.config),
            accept_until: Some(days_from_today(30)),
            run_url: run_url().unwrap_or_default(),
            is_hosted_runner: ci::is_hosted_runner(),
        }
    }
}

/// The provenance of the first run, with the users and the usage of all. `users` are a fact about results of others.
fn joined(provenances: &[Provenance], users: Option<u32>) -> Result<Provenance> {
    let first = &provenances[0];
    for other in &provenances[1..] {
        let refusal = comparability(first, other).refusal;
        ensure!(refusal.is_empty(), "the results are runs of different loads: {refusal}");
    }
    let mean_users = provenances.iter().filter_map(|of| of.mean_users).chain(users.map(f64::from));
    let mean_users: Vec<f64> = mean_users.collect();
    let usages: Vec<Usage> = provenances.iter().map(|of| of.usage.clone()).collect();
    // A partial list could not be matched to the runs.
    let is_known = usages.iter().all(|usage| *usage != Usage::default());
    Ok(Provenance {
        mean_users: (!mean_users.is_empty()).then(|| rounded(mean(&mean_users))),
        usage: if is_known { Usage::joined(usages) } else { Usage::default() },
        ..first.clone()
    })
}

/// Empty if there are no requests of `on_start`.
fn mixed_runs(measured: &[MeasuredRun]) -> Vec<Run> {
    if measured.iter().all(|measured| measured.run.setup.is_empty()) {
        return Vec::new();
    }
    let mixed = |measured: &MeasuredRun| {
        measured.mixed.clone().unwrap_or_else(|| Run { setup: Vec::new(), ..measured.run.clone() })
    };
    measured.iter().map(mixed).collect()
}

/// Warns if results of others may come from different services or loads.
fn unlike_runs(runs: &[Run]) -> Vec<String> {
    let mut warnings = Vec::new();
    let all: Vec<BTreeSet<&str>> =
        runs.iter().map(|run| run.names().collect()).filter(|names: &BTreeSet<&str>| !names.is_empty()).collect();
    if all.iter().any(|names| names.is_disjoint(&all[0])) {
        warnings.push("these results have no endpoint in common: do they come from one service?".to_owned());
    }
    let requests = || runs.iter().map(|run| run.total.requests);
    if let (Some(least), Some(most)) = (requests().min(), requests().max())
        && most > 2 * least
    {
        warnings
            .push(format!("these results have from {least} to {most} requests each: do they come from the same load?"));
    }
    warnings
}

/// The rules for results, with the number of runs that their command would have made.
pub fn rules_for(project: &Project, measured: &[MeasuredRun]) -> Rules {
    let files = || measured.iter().filter_map(|measured| measured.file.as_ref());
    let max_runs = files().filter_map(|file| file.max_runs).max();
    Rules {
        is_complete: max_runs.is_none(),
        max_runs: max_runs.unwrap_or(project.rules.max_runs),
        max_noisy_rounds: files().map(|file| file.max_noisy_rounds).max().unwrap_or(0),
        ..project.rules.clone()
    }
}

pub enum Next {
    MeasureAgain(String),
    Stop(String),
}

impl Next {
    /// `before` is the reason of the line before, which is not repeated.
    pub fn reason(&self, before: &mut String) -> String {
        let (Next::MeasureAgain(reason) | Next::Stop(reason)) = self;
        if reason == before {
            return "the same; running again".to_owned();
        }
        before.clone_from(reason);
        reason.clone()
    }
}

pub fn next_step(comparison: &Comparison) -> Next {
    let (made, least) = (comparison.runs.candidate, comparison.least_runs);
    if made < least {
        let has_one_run = comparison.runs.baseline == 1 && !comparison.paired;
        let cause = if has_one_run { "the baseline has one run, so the minimum is" } else { "minimum is" };
        return Next::MeasureAgain(format!("{cause} {least}; starting another"));
    }
    let unsettled = unsettled(comparison);
    if unsettled.is_empty() {
        return Next::Stop(brief(comparison));
    }
    if !comparison.wants_another_run() {
        let what = if comparison.paired { "rounds" } else { "runs" };
        return Next::Stop(format!("no {what} are left, so the limit was checked against the estimate alone"));
    }
    let is_over = comparison.verdict == Verdict::Fail || !comparison.findings().is_empty();
    let purpose = if is_over { " to confirm" } else { "" };
    Next::MeasureAgain(format!("{unsettled}; running again{purpose}"))
}

/// Where the results of a measurement are, and what it took, a line each. Without one there is nothing to add.
pub fn other_details(project: &Project) -> Vec<String> {
    if project.paths.session.get().is_none() {
        return Vec::new();
    }
    let (total, own) = (project.clock.total().as_secs_f64(), project.clock.own().as_secs_f64());
    vec![
        format!("results: {}", project.shown(&project.paths.perf_folder().join("latest"))),
        format!("took {total:.1} s ({own:.2} s of it in the gate itself)"),
    ]
}

/// The command that judges these results once more.
pub fn judge_again(project: &Project) -> String {
    let flags: &[&str] = if project.flags.update_baseline { &["--update-baseline"] } else { &[] };
    command_again(project.flags).judging("target/perf/latest").with(flags)
}

pub fn command_again(flags: &PerfFlags) -> CommandLine {
    let load = &flags.load;
    let shown = |path: &PathBuf| path.display().to_string();
    let named = [
        ("--config", flags.files.config.as_ref().map(shown)),
        ("--baseline", flags.files.baseline.as_ref().map(shown)),
        ("--locustfile", load.locustfile.as_ref().map(shown)),
        ("--host", load.host.as_deref().map(mask::url)),
        ("--against-url", if let Against::Url(url) = &flags.against { Some(mask::url(url)) } else { None }),
        ("--users", load.users.map(|users| users.to_string())),
        ("--spawn-rate", load.spawn_rate.map(|rate| rate.to_string())),
        ("--run-time", load.run_time_s.map(|seconds| format!("{seconds}s"))),
        ("--processes", load.processes.map(|processes| processes.to_string())),
        ("--expect-workers", load.expect_workers.map(|workers| workers.to_string())),
    ];
    CommandLine {
        flags: named.into_iter().filter_map(|(flag, value)| Some((flag, value?))).collect(),
        results: flags.results.iter().map(shown).collect(),
        locust_args: mask::args(&flags.locust_args),
    }
}
