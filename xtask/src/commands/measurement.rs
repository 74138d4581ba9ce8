//! The parts that the stories share: the runs of a command, and whether another one follows.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use judge::baseline::file::Baseline;
use judge::model::limits::Rules;
use judge::model::program;
use judge::model::run::{Metric, Provenance, Run, Usage};
use judge::model::text::{endpoint_shown, printable};
use judge::parse::locust_history::History;
use judge::stats::estimate::Difference;
use judge::verdict::comparability::{comparability, users_difference};
use judge::verdict::compare::{Comparison, ERROR, Verdict, too_few_requests};
use report::view::evidence::{evidence, unsettled};
use report::view::usage;
use report::view::words::{count, noise_advice, shown_commit};
use report::{Background, FailedRequests};

use crate::commands::delivery::run_url;
use crate::config::flags::Perf;
use crate::config::project::Project;
use crate::run::bench::Clock;
use crate::run::listener::{UsersLeft, users_left_text};
use crate::run::results::{self, Measured};
use crate::sys::git;

/// The runs of one side, and what is known about all of them.
pub struct Measurement {
    /// The runs.
    pub runs: Vec<Run>,
    /// Each run over time, or why that is not known.
    pub histories: Vec<Result<History, String>>,
    /// The circumstances of the measurement.
    pub provenance: Provenance,
    /// The facts that weaken the measurement, a sentence each.
    pub warnings: Vec<String>,
    /// The folders of the runs that are ours.
    folders: Vec<PathBuf>,
    /// The users that left before a load was asked to stop.
    users_left: Vec<UsersLeft>,
}

impl Measurement {
    /// Collects the runs.
    ///
    /// # Errors
    ///
    /// Names a run with too few requests, and says how the loads of two runs differ.
    pub fn new(measured: Vec<Measured>, project: &Project) -> Result<Measurement> {
        check_requests(&measured, project)?;
        let (mut runs, mut histories, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
        let (mut provenance, mut mean_users, mut users_left) = (None, Vec::new(), Vec::new());
        let mut usages = Vec::new();
        let mut folders = Vec::new();
        for Measured { path, run, about, history, .. } in measured {
            runs.push(run);
            histories.push(history);
            let Some(about) = about else { continue };
            folders.extend(path.parent().map(Path::to_owned));
            if let Some(first) = &provenance
                && let Some(refusal) = comparability(first, &about.provenance).refusal
            {
                bail!("the results are runs of different loads: {refusal}");
            }
            mean_users.extend(about.provenance.mean_users);
            usages.extend(about.provenance.usage.clone());
            users_left.extend(about.users_left);
            provenance.get_or_insert(about.provenance);
            for warning in about.warnings {
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
        let mut provenance: Provenance = provenance.unwrap_or_else(|| project.provenance());
        provenance.precision = Run::coarsest(&runs);
        provenance.mean_users = mean(&mean_users);
        // A list of some of the runs would not tell which of them.
        provenance.usage = (usages.len() == runs.len()).then(|| Usage::joined(usages));
        Ok(Measurement { runs, histories, provenance, warnings, folders, users_left })
    }

    /// Checks that the runs can be compared with a baseline that was measured so.
    ///
    /// # Errors
    ///
    /// Says what differs, and where users are missing why they left.
    pub fn check_comparable(&self, baseline: &Provenance, shown: &str) -> Result<()> {
        let Some(refusal) = comparability(baseline, &self.provenance).refusal else { return Ok(()) };
        match users_left_text(&self.users_left) {
            Some(left) if users_difference(baseline, &self.provenance).is_some() => {
                bail!("{shown} is not comparable: {left}; {refusal}")
            }
            _ => bail!("{shown} is not comparable: {refusal}"),
        }
    }

    /// Makes a baseline of the runs.
    ///
    /// # Errors
    ///
    /// Says why they cannot be one, and where every request failed, how most of them did.
    pub fn baseline(&self, note: Option<&str>, former: Option<&Baseline>) -> Result<Baseline> {
        Baseline::new(&self.runs, self.provenance.clone(), note, former).map_err(|refusal| {
            let has_failed = self.runs.iter().any(|run| run.total.failures == run.total.requests);
            match results::failures(&self.folders, &self.runs).first() {
                Some(FailedRequests { endpoint, error, times, .. }) if has_failed => {
                    let error: String = error.chars().take(200).collect();
                    anyhow!("{refusal}; most failed so: {times} x {}: {}", endpoint_shown(endpoint), printable(&error))
                }
                _ => refusal,
            }
        })
    }

    /// Returns what speaks against these runs as a baseline, a sentence each.
    pub fn warnings_of_baseline(&self) -> Vec<String> {
        let asked = Provenance { mean_users: None, ..self.provenance.clone() };
        let mut warnings = Vec::new();
        if let Some(missing) = users_difference(&asked, &self.provenance) {
            let left = users_left_text(&self.users_left).map_or_else(String::new, |left| format!("; {left}"));
            warnings.push(format!("{missing}{left}"));
        }
        warnings.extend(noise_of_baseline(&self.runs));
        warnings.extend(usage::note(&Provenance::default(), &self.provenance));
        warnings
    }
}

/// Says that the runs vary so much that a comparison of single runs with them would miss a large change.
fn noise_of_baseline(runs: &[Run]) -> Option<String> {
    let p95_ms: Vec<f64> = runs.iter().map(|run| run.total.value(Metric::P95)).collect();
    let (last, others) = p95_ms.split_last()?;
    let spread = Difference::between(Metric::P95.scale(), others, &[*last])?;
    let detectable = spread.with_runs(p95_ms.len(), p95_ms.len()).detectable(ERROR, Metric::P95.worse());
    noise_advice(detectable)
}

/// Returns the mean, to a thousandth; `None` of nothing.
fn mean(values: &[f64]) -> Option<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (!values.is_empty()).then(|| (mean * 1000.0).round() / 1000.0)
}

fn check_requests(measured: &[Measured], project: &Project) -> Result<()> {
    let requests: Vec<u64> = measured.iter().map(|measured| measured.run.total.requests).collect();
    if let Some(few) = too_few_requests(&requests, project.config.load.min_requests) {
        bail!("{}: {}", project.shown(&measured[few.run].path), few.why);
    }
    Ok(())
}

/// Returns whether another run, or round, is to be made. Says so, and why.
pub fn another_follows(project: &Project, rules: &Rules, comparison: &Comparison, what: &str) -> bool {
    let (made, least) = (comparison.runs.candidate, comparison.least_runs);
    let is_over = comparison.verdict == Verdict::Fail || !comparison.findings().is_empty();
    let more = comparison.wants_another_run(rules);
    let why = match unsettled(comparison) {
        _ if made < least && comparison.runs.baseline == 1 && !comparison.paired => {
            format!("the baseline has one run, so the minimum is {least}; starting another")
        }
        _ if made < least => format!("minimum is {least}; starting another"),
        None => evidence(comparison),
        Some(unsettled) if more && is_over => format!("{unsettled}; running again to confirm"),
        Some(unsettled) if more => format!("{unsettled}; running again"),
        Some(unsettled) => format!("{unsettled}; no {what}s are left, so the point estimate decides"),
    };
    project.say(&format!("{what} {made}/{}: {why}", rules.max_runs));
    more
}

/// Returns what was run, where, and how long it took, a line each.
///
/// `clock` is that of the command which measured; `None` where results are judged.
pub fn details(project: &Project, measurement: &Measurement, clock: Option<&Clock>) -> Vec<String> {
    let Provenance { commit, dirty, load, machine, locust, python, gate, .. } = &measurement.provenance;
    let runs = count(measurement.runs.len(), "run");
    let mut details = vec![format!("candidate: commit {}, {runs}", shown_commit(commit, *dirty))];
    details.extend(load.as_ref().map(|load| format!("load: {load}")));
    details.extend(machine.as_ref().map(|machine| format!("machine: {machine}")));
    if let Some(locust) = locust {
        details.push(format!("Locust {locust}, Python {}", python.as_deref().unwrap_or("unknown")));
    }
    details.extend(gate.as_ref().map(|gate| format!("locust-gate {gate}")));
    if let Some(clock) = clock {
        details.push(format!("results: {}", project.shown(&project.perf_folder().join("latest"))));
        details.push(format!(
            "took {:.1} s ({:.2} s of it in the gate itself)",
            clock.total().as_secs_f64(),
            clock.own().as_secs_f64()
        ));
    }
    details.iter().map(|detail| printable(detail)).collect()
}

/// Returns what is known of a comparison beside its numbers.
pub fn background(project: &Project, baseline: &Baseline, candidate: &Measurement) -> Background {
    let name = project.root.file_name().map(|name| printable(&name.to_string_lossy()));
    Background {
        name,
        commits_between: git::commits_between(
            &project.shell,
            &baseline.provenance.commit,
            &candidate.provenance.commit,
        ),
        baseline_p95_ms: baseline.total_runs(Metric::P95).to_vec(),
        baseline_history: results::history_of(&project.perf_folder(), &baseline.provenance),
        failures: results::failures(&candidate.folders, &candidate.runs),
        command: command_again(project.flags),
        run_url: run_url(),
    }
}

/// Returns the command that makes such a comparison again: with the flags that choose its files and its load.
pub fn command_again(flags: &Perf) -> String {
    let mut command = format!("{} perf", program::name());
    let load = &flags.load;
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| printable(&path.display().to_string()));
    let named = [
        ("--config", path(&flags.config)),
        ("--baseline", path(&flags.baseline)),
        ("--locustfile", path(&load.locustfile)),
        ("--users", load.users.map(|users| users.to_string())),
        ("--spawn-rate", load.spawn_rate.map(|rate| rate.to_string())),
        ("--run-time", load.run_time_s.map(|seconds| format!("{seconds}s"))),
    ];
    for (flag, value) in named {
        // What a shell would take for more than one word is left out.
        let is_plain = |value: &String| value.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
        if let Some(value) = value.filter(is_plain) {
            let _ = write!(command, " {flag} {value}");
        }
    }
    command
}
