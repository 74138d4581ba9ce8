//! What all stories of a judgement share: the runs of a command, and whether another one follows.

use anyhow::{Result, bail};
use judge::comparability::comparability;
use judge::compare::{Comparison, Verdict};
use judge::limits::Rules;
use judge::locust_history::History;
use judge::run::{Provenance, Run};
use judge::text::printable;
use report::content::{evidence, unsettled};
use report::words::{count, shown_commit};

use crate::measure::bench::Clock;
use crate::project::Project;
use crate::results::Measured;

/// The runs of one side, and what is known about all of them.
pub struct Measurement {
    /// The runs.
    pub runs: Vec<Run>,
    /// Each run over time, or why that is not known.
    pub histories: Vec<Result<History, String>>,
    /// Where and how they were measured.
    pub provenance: Provenance,
    /// What weakens the measurement, a sentence each.
    pub warnings: Vec<String>,
}

impl Measurement {
    /// Collects the runs.
    ///
    /// # Errors
    ///
    /// Says how the loads of two runs differ.
    pub fn new(measured: Vec<Measured>, project: &Project) -> Result<Measurement> {
        let mut provenance: Option<Provenance> = None;
        let mut warnings: Vec<String> = Vec::new();
        let (mut runs, mut histories) = (Vec::new(), Vec::new());
        for Measured { run, about, history } in measured {
            runs.push(run);
            histories.push(history);
            let Some(about) = about else { continue };
            if let Some(first) = &provenance
                && let Some(refusal) = comparability(first, &about.provenance).refusal
            {
                bail!("the results are runs of different loads: {refusal}");
            }
            provenance.get_or_insert(about.provenance);
            for warning in about.warnings {
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
        let mut provenance = provenance.unwrap_or_else(|| project.provenance());
        provenance.precision = Run::coarsest(&runs);
        Ok(Measurement { runs, histories, provenance, warnings })
    }
}

/// Returns whether another run, or round, is to be made. Says so, and why.
pub fn another_follows(project: &Project, rules: &Rules, comparison: &Comparison, what: &str) -> bool {
    let (made, least) = (comparison.runs.candidate, comparison.least_runs);
    let is_over = comparison.verdict == Verdict::Fail || !comparison.findings().is_empty();
    let more = comparison.wants_another_run(rules);
    let why = match unsettled(comparison) {
        _ if made < least && comparison.runs.baseline == 1 && !comparison.paired => {
            format!("the baseline has one run, so at least {least} are made; running again")
        }
        _ if made < least => format!("at least {least} are made; running again"),
        None => evidence(comparison),
        Some(unsettled) if more && is_over => format!("{unsettled}; running again to confirm"),
        Some(unsettled) if more => format!("{unsettled}; running again"),
        Some(unsettled) => format!("{unsettled}; the estimate decides"),
    };
    project.say(&format!("{what} {made} of at most {}: {why}", rules.max_runs));
    more
}

/// Returns what was run, where, and how long it took, a line each.
pub fn details(project: &Project, measurement: &Measurement, clock: &Clock) -> Vec<String> {
    let Provenance { commit, dirty, load, machine, locust, python, .. } = &measurement.provenance;
    let runs = count(measurement.runs.len(), "run");
    let mut details = vec![format!("candidate: commit {}, {runs}", shown_commit(commit, *dirty))];
    details.extend(load.as_ref().map(|load| format!("load: {load}")));
    details.extend(machine.as_ref().map(|machine| format!("machine: {machine}")));
    if let Some(locust) = locust {
        details.push(format!("Locust {locust}, Python {}", python.as_deref().unwrap_or("unknown")));
    }
    if project.flags.results.is_empty() {
        details.push(format!("results: {}", project.shown(&project.perf_folder().join("latest"))));
        details.push(format!(
            "time: {:.1} s, of it {:.2} s our own beside Locust, the service and their set-up",
            clock.total().as_secs_f64(),
            clock.own().as_secs_f64()
        ));
    }
    details.iter().map(|detail| printable(detail)).collect()
}
