//! Whether the CPU time of the service for each request can be judged.

use crate::baseline::file::Baseline;
use crate::model::limits::Rules;
use crate::model::run::{Metric, Run, of_every};

/// The ticks of the kernel's clock that a run must count to be judged. A tick is 10 ms.
const LEAST_TICKS: u64 = 100;
const TICK_MS: f64 = 10.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuUnjudged {
    /// A run does not know it: on a system without `/proc`, or of a service that the gate did not start.
    Unknown,
    /// The baseline was measured on another machine, which takes another time for the same work.
    OtherMachine,
    /// A run has so few ticks that each of them matters.
    TooCoarse { ticks: u64, needed: u64 },
}

pub(crate) fn unjudged(baseline: &Baseline, runs: &[Run], rules: &Rules) -> Option<CpuUnjudged> {
    rules.limit(None, Metric::CpuPerRequest)?;
    let values = values(baseline, runs, rules);
    if values.is_empty() {
        return Some(CpuUnjudged::Unknown);
    }
    let is_of_baselines_machine = |run: &Run| {
        run.cpu.as_ref().is_some_and(|cpu| cpu.machine.is_some() && cpu.machine == baseline.provenance.machine)
    };
    if !rules.paired && !runs.iter().all(is_of_baselines_machine) {
        return Some(CpuUnjudged::OtherMachine);
    }
    let requests: Vec<f64> = runs.iter().map(|run| run.total.requests as f64).collect();
    let before = (baseline.total_runs(Metric::CpuPerRequest), baseline.total_runs(Metric::TotalRequests));
    let ticks = [before, (&values, &requests)].into_iter().flat_map(|(ms_per_request, requests)| {
        ms_per_request.iter().zip(requests).map(|(ms, requests)| ms * requests / TICK_MS)
    });
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of ticks")]
    let ticks = ticks.reduce(f64::min).unwrap_or(0.0) as u64;
    (ticks < LEAST_TICKS).then_some(CpuUnjudged::TooCoarse { ticks, needed: LEAST_TICKS })
}

/// The candidate's CPU time for each request in ms; none without a limit, or if one side does not know it.
pub(crate) fn values(baseline: &Baseline, runs: &[Run], rules: &Rules) -> Vec<f64> {
    let is_known = !baseline.total_runs(Metric::CpuPerRequest).is_empty();
    let is_shown = is_known && rules.limit(None, Metric::CpuPerRequest).is_some();
    of_every(runs, |run| Some(run.cpu.as_ref().filter(|_| is_shown)?.ms_per_request))
}
