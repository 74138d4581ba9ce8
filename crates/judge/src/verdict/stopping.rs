//! When to stop measuring: once the runs still allowed would hardly change the verdict.
//!
//! ```text
//!                          limit                      after 1 of 8 runs, where the estimate `o` may move until the last
//!   ---------|---o---|-------:------------------->     one: it stays within: conclusive after one run.
//!         |---------o--------:--|---------------->     it may get over: another run.
//!                            :  |---o---|-------->     it stays over: conclusive, but for the run that confirms a FAIL.
//! ```
//!
//! This is stochastic curtailment: the verdict of all the runs allowed is the one that counts, and the gate stops as soon
//! as it is as good as known. [`Difference::forecast`](crate::stats::estimate::Difference::forecast) has the sources.

use crate::model::limits::Limit;
use crate::stats::{ERROR, Noise, Proof};
use crate::verdict::decision::{Case, Decision, Excess, Judge, Reason, Unsettled};

/// The probability that the runs still allowed change the decision on a series, below which none of them is made.
const CHANCE: f64 = 0.01;

/// The runs that a FAIL of all requests together must rest on, if more than one is allowed: one run may have met a busy
/// neighbour.
const RUNS_TO_FAIL: usize = 2;

/// The runs that confirm the FAIL of an endpoint: it is one of many, and among thirty endpoints two disturbed runs in a
/// row are not rare.
const RUNS_TO_FAIL_ENDPOINT: usize = 3;

impl Judge<'_> {
    /// Why another run may change the decision by this limit, if the series can fail.
    pub(crate) fn unsettled(&self, case: &Case, limit: &Limit, decision: Option<Decision>) -> Option<Unsettled> {
        if !self.rules.fails(limit) {
            return None;
        }
        let is_last = self.runs >= self.rules.max_runs;
        if decision.and_then(Decision::reason) == Some(Reason::OneRun) {
            return (!is_last).then_some(Unsettled::FewRuns);
        }
        let is_relevant = self.is_relevant(case.series, limit);
        if case.series.endpoint.is_some() && (!is_relevant || case.few_samples.is_some() || is_last) {
            return None;
        }
        let noise = case.series.noise?;
        let ends = if is_last { noise.interval(ERROR) } else { noise.forecast(self.rules.max_runs, CHANCE) };
        let fails_at_ends = [ends.low, ends.high].map(|change| self.would_fail(case, limit, &noise, change));
        if is_last {
            return (fails_at_ends[0] != fails_at_ends[1]).then_some(Unsettled::Close);
        }
        let confirmed = if case.series.endpoint.is_some() { RUNS_TO_FAIL_ENDPOINT } else { RUNS_TO_FAIL };
        let is_failure = matches!(decision, Some(Decision::Fail(_)));
        if is_relevant && self.runs < confirmed && (is_failure || fails_at_ends.contains(&true)) {
            return Some(Unsettled::FewRuns);
        }
        (fails_at_ends != [is_failure; 2]).then_some(Unsettled::Open)
    }

    /// Whether the series would fail with such a change after the last run.
    fn would_fail(&self, case: &Case, limit: &Limit, noise: &Noise, change: f64) -> bool {
        let Some(baseline) = case.series.presence.baseline() else { return false };
        let value = case.series.metric.changed(baseline, change);
        match Excess::of(case.series.metric, limit, baseline, value, self.precision) {
            Excess::None | Excess::Rounding => false,
            Excess::Bound => true,
            Excess::Limit => case.proof.is_none_or(|proof| match case.series.endpoint {
                Some(_) => Proof { noise: noise.after(self.rules.max_runs, change), ..proof }.is_given(),
                None => self.may_prove(proof),
            }),
        }
    }

    /// Whether the mean, which confirms a p95 in a gap, may be proven after the last run.
    fn may_prove(&self, proof: Proof) -> bool {
        let last = self.rules.max_runs.max(self.runs);
        let ends = proof.noise.forecast(last, CHANCE);
        let worst = if proof.worse.sign() > 0.0 { ends.high } else { ends.low };
        Proof { noise: proof.noise.after(last, worst), ..proof }.is_given()
    }
}
