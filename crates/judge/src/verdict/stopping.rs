//! When to stop measuring: once the runs still allowed would hardly change the verdict.
//!
//! ```text
//!                          limit                      after 1 of 8 runs, where the estimate `o` may be after the last
//!   ---------|---o---|-------:------------------->     it stays within: settled
//!         |---------o--------:--|---------------->     it may get over: another run
//!                            :  |---o---|-------->     it stays over: settled, but for the run that confirms a FAIL
//! ```
//!
//! This is stochastic curtailment: docs/statistics.md, "The estimate decides, the evidence says when to stop".

use crate::model::limits::Limit;
use crate::stats::{Noise, Proof, SIGNIFICANCE};
use crate::verdict::decision::{Case, Decision, Excess, Judge, Reason, Unsettled};

/// The probability that the runs still allowed change the decision on a series, below which none of them is made.
const CHANCE: f64 = 0.01;

/// The runs that a FAIL of all requests together rests on, if they are allowed: one may have met a busy neighbour.
const RUNS_TO_FAIL: usize = 2;

/// The runs that a FAIL of an endpoint rests on: among thirty endpoints, two disturbed runs in a row are not rare.
const RUNS_TO_FAIL_ENDPOINT: usize = 3;

/// [`CHANCE`] for an endpoint within its limit. With the smaller one, most comparisons of many endpoints would take all runs.
const CHANCE_TO_FIND: f64 = 0.2;

/// [`CHANCE`] for a p95 of few requests: in many endpoints, one or two requests put it over its limit.
const CHANCE_TO_COUNT: f64 = 0.25;

impl Judge<'_> {
    /// Why another run may change the decision by this limit, if the series can fail.
    pub(crate) fn unsettled(&self, case: &Case, limit: &Limit, decision: Option<Decision>) -> Option<Unsettled> {
        if !self.rules.fails(limit) {
            return None;
        }
        let is_last = self.runs >= self.max_runs;
        if let Some(few) = case.few_answers {
            return (few.is_proven && !is_last && self.runs < RUNS_TO_FAIL).then_some(Unsettled::FewRuns);
        }
        if let Some(Decision::Warn(Reason::OneRun) | Decision::Fail(Reason::OneRun)) = decision {
            return (!is_last).then_some(Unsettled::FewRuns);
        }
        let is_failure = matches!(decision, Some(Decision::Fail(_)));
        match case.series.endpoint {
            Some(_) if is_last => None,
            Some(_) => self.unsettled_endpoint(case, limit, is_failure),
            None => self.unsettled_total(case, limit, is_failure, is_last),
        }
    }

    fn unsettled_total(&self, case: &Case, limit: &Limit, is_failure: bool, is_last: bool) -> Option<Unsettled> {
        if let Some((_, proof)) = case.shift {
            if is_failure {
                return (!is_last && self.runs < RUNS_TO_FAIL).then_some(Unsettled::FewRuns);
            }
            if !is_last && self.may_prove(proof, CHANCE) {
                return Some(Unsettled::Open);
            }
        }
        let noise = case.series.noise?;
        let ends = if is_last { noise.interval(SIGNIFICANCE) } else { noise.forecast(self.max_runs, CHANCE) };
        let fails_at_ends = [ends.low, ends.high].map(|change| self.would_fail(case, limit, &noise, change));
        if is_last {
            return (fails_at_ends[0] != fails_at_ends[1]).then_some(Unsettled::Close);
        }
        if self.is_relevant(case.series, limit)
            && self.runs < RUNS_TO_FAIL
            && (is_failure || fails_at_ends.contains(&true))
        {
            return Some(Unsettled::FewRuns);
        }
        (fails_at_ends != [is_failure; 2]).then_some(Unsettled::Open)
    }

    fn unsettled_endpoint(&self, case: &Case, limit: &Limit, is_failure: bool) -> Option<Unsettled> {
        let is_relevant = self.is_relevant(case.series, limit);
        let is_counted = case.counts_proof.is_some_and(|proof| proof.is_given());
        if is_relevant && is_counted {
            return (self.runs < RUNS_TO_FAIL_ENDPOINT).then_some(Unsettled::FewRuns);
        }
        let may_be_counted =
            is_relevant && case.counts_proof.is_some_and(|proof| self.may_prove(proof, CHANCE_TO_COUNT));
        let by_counts = may_be_counted.then_some(Unsettled::Open);
        let is_in_gap = case.series.slow_requests.is_some_and(|slow_requests| slow_requests.is_in_gap);
        let by_spread = case.series.noise.filter(|_| case.series.few_samples.is_none() && !is_in_gap);
        let Some(noise) = by_spread else { return by_counts };
        let chance = if is_relevant { CHANCE } else { CHANCE_TO_FIND };
        let ends = noise.forecast(self.max_runs, chance);
        let fails_at_ends = [ends.low, ends.high].map(|change| self.would_fail(case, limit, &noise, change));
        if is_relevant && self.runs < RUNS_TO_FAIL_ENDPOINT && (is_failure || fails_at_ends.contains(&true)) {
            return Some(Unsettled::FewRuns);
        }
        (fails_at_ends != [is_failure; 2]).then_some(Unsettled::Open).or(by_counts)
    }

    fn would_fail(&self, case: &Case, limit: &Limit, noise: &Noise, change: f64) -> bool {
        let Some(baseline) = case.series.presence.baseline() else { return false };
        let value = case.series.metric.changed(baseline, change);
        match Excess::of(case.series.metric, limit, baseline, value, self.resolution) {
            Excess::None | Excess::Rounding => false,
            Excess::Bound => true,
            Excess::Limit => case.proof.is_none_or(|proof| match case.series.endpoint {
                Some(_) => Proof { noise: noise.after(self.max_runs, change), ..proof }.is_given(),
                None => self.may_prove(proof, CHANCE),
            }),
        }
    }

    /// Whether the proof may be given after the last run, with at least the probability `chance`.
    fn may_prove(&self, proof: Proof, chance: f64) -> bool {
        let last = self.max_runs.max(self.runs);
        let ends = proof.noise.forecast(last, chance);
        let worst = if proof.worse.sign() > 0.0 { ends.high } else { ends.low };
        Proof { noise: proof.noise.after(last, worst), ..proof }.is_given()
    }
}
