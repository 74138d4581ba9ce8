//! What the runs could show: the resolution of response times, the number of rounds, and how sensitive a pass is.

use std::f64::consts::SQRT_2;

use crate::baseline::file::Baseline;
use crate::model::limits::Rules;
use crate::model::run::{Metric, Resolution, Run, of_every};
use crate::stats::estimate::{Difference, mean};
use crate::verdict::decision::{Excess, Judge, Presence, Row};

/// By how much more than the p99 of the event loop's lateness a percentile may grow: docs/statistics.md, "The load
/// generator is late too".
const LATENESS_FACTOR: f64 = 2.0;

/// The p99 of the lateness of an idle load generator, in ms, for a baseline without its own.
const IDLE_LATENESS_MS: f64 = 3.0;

/// If the two sides differ in precision, the coarser one decides. Result files of others have no lateness.
pub(crate) fn resolution(baseline: &Baseline, runs: &[Run]) -> Resolution {
    let precision = Run::coarsest(runs).min(baseline.provenance.precision);
    let now = of_every(runs, |run| Some(run.lateness?.p99_ms));
    let before = if baseline.lateness.is_empty() { IDLE_LATENESS_MS } else { mean(&baseline.lateness.p99_ms) };
    let growth_ms = if now.is_empty() { 0.0 } else { mean(&now) - before };
    Resolution { precision, lateness_ms: LATENESS_FACTOR * growth_ms.max(0.0) }
}

/// The spread of runs, in percent, from which on more rounds are allowed.
const NOISY_SPREAD_PCT: f64 = 10.0;

pub(crate) fn max_runs(baseline: &Baseline, runs: &[Run], rules: &Rules) -> usize {
    let p95_ms: Vec<f64> = runs.iter().map(|run| run.total.value(Metric::P95)).collect();
    let difference = Difference::paired(Metric::P95.scale(), baseline.total_runs(Metric::P95), &p95_ms);
    // The difference of a round has the variance of two runs.
    let is_noisy = difference.is_some_and(|difference| difference.spread_pct() > NOISY_SPREAD_PCT * SQRT_2);
    if rules.paired && is_noisy { rules.most_runs() } else { rules.max_runs }
}

/// Whether the runs could have shown that p95 or `p95_corrected` exceeds its limit. The last one outweighs the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sensitivity {
    Sufficient,
    /// The smallest detectable change exceeds the limit, but the runs that are left would hardly change the verdict.
    Insufficient,
    /// No run is left, and the true change may exceed the limit.
    Open,
}

impl Judge<'_> {
    /// A single run on each side leaves the noise unknown, and is judged by its limits alone.
    pub(crate) fn sensitivity(&self, total: &[Row]) -> Sensitivity {
        total.iter().filter_map(|row| self.sensitivity_of(row)).max().unwrap_or(Sensitivity::Sufficient)
    }

    fn sensitivity_of(&self, row: &Row) -> Option<Sensitivity> {
        let is_p95 = matches!(row.metric, Metric::P95 | Metric::P95Corrected);
        let limit = row.limit.filter(|limit| is_p95 && self.rules.fails(limit) && !row.is_waived())?;
        let Presence::Both { baseline, .. } = row.presence else { return None };
        let (interval, detectable) = (row.evidence.interval?, row.evidence.detectable?);
        let exceeds = |change: f64| {
            let value = row.metric.changed(baseline, change);
            Excess::of(row.metric, limit, baseline, value, self.resolution).is_relevant()
        };
        let is_insensitive = limit.worsening.is_some() && exceeds(detectable);
        let is_open = if self.runs >= self.max_runs {
            exceeds(interval.high) || is_insensitive
        } else {
            self.rules.is_complete && row.evidence.unsettled.is_some()
        };
        Some(match (is_open, is_insensitive) {
            (true, _) => Sensitivity::Open,
            (false, true) => Sensitivity::Insufficient,
            (false, false) => Sensitivity::Sufficient,
        })
    }
}
