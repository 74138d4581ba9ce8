//! When to stop measuring: once the runs still allowed would hardly change the verdict.
//!
//! ```text
//!                          limit                      after 1 of 8 runs, where the estimate `o` may move until the last
//!   ---------|---o---|-------:------------------->     one: it stays within: conclusive after one run.
//!         |---------o--------:--|---------------->     it may get over: another run.
//!                            :  |---o---|-------->     it stays over: conclusive, but for the run that confirms a FAIL.
//! ```
//!
//! This is stochastic curtailment (Lan, Simon & Halperin 1982; Jennison & Turnbull 2000, Group Sequential Methods, chapter
//! 10): the verdict of all the runs allowed is the one that counts, and the gate stops as soon as it is as good as known.
//! [`Noise::forecast`] says where the estimate may move.

use crate::model::limits::Rules;
use crate::model::run::Precision;
use crate::stats::{Noise, Proof};
use crate::verdict::decision::{Decision, Excess, Row, Unsettled, Why};

/// The probability that the runs still allowed change the decision on a series, below which none of them is made.
pub const CHANCE: f64 = 0.01;

/// The runs that a FAIL of all requests together must rest on, where more than one is allowed: one run may have met a
/// busy neighbour.
const RUNS_TO_FAIL: usize = 2;

/// The runs that confirm the FAIL of an endpoint: it is one of many, and among thirty, two runs in a row that met
/// something of their own are no rarity.
const RUNS_TO_FAIL_ENDPOINT: usize = 3;

/// The facts about a series that are not in its row.
#[derive(Clone, Copy, Debug)]
pub struct Outlook<'r> {
    /// The certainty of its change; `None` where nothing tells the noise.
    pub noise: Option<Noise>,
    /// The proof that it needs to be a finding.
    pub proof: Option<Proof>,
    /// The rules that it is judged by.
    pub rules: &'r Rules,
    /// The coarser precision of both sides.
    pub precision: Precision,
    /// The candidate's runs.
    pub runs: usize,
    /// The probability that the interval of the evidence misses.
    pub error: f64,
}

impl Outlook<'_> {
    /// Returns why another run may change the decision on a series that can fail.
    pub fn unsettled(&self, row: &Row) -> Option<Unsettled> {
        if !row.limit.is_some_and(|limit| self.rules.fails(limit)) {
            return None;
        }
        let is_last = self.runs >= self.rules.max_runs;
        if row.decision.and_then(Decision::why) == Some(Why::OneRun) {
            return (!is_last).then_some(Unsettled::FewRuns);
        }
        let is_relevant = row.excess(self.precision).is_some_and(Excess::is_relevant);
        if row.endpoint.is_some() && (!is_relevant || row.evidence.few_samples.is_some() || is_last) {
            return None;
        }
        let noise = self.noise?;
        let ends = if is_last { noise.interval(self.error) } else { noise.forecast(self.rules.max_runs, CHANCE) };
        let fails_at_ends = [ends.low, ends.high].map(|change| self.would_fail(row, &noise, change));
        if is_last {
            return (fails_at_ends[0] != fails_at_ends[1]).then_some(Unsettled::Close);
        }
        let confirmed = if row.endpoint.is_some() { RUNS_TO_FAIL_ENDPOINT } else { RUNS_TO_FAIL };
        let is_failure = row.is_failure();
        if is_relevant && self.runs < confirmed && (is_failure || fails_at_ends.contains(&true)) {
            return Some(Unsettled::FewRuns);
        }
        (fails_at_ends != [is_failure; 2]).then_some(Unsettled::Open)
    }

    /// Returns whether the series would fail with such a change after the last run.
    fn would_fail(&self, row: &Row, noise: &Noise, change: f64) -> bool {
        let (Some(limit), Some(baseline)) = (row.limit, row.presence.baseline()) else { return false };
        let value = row.metric.changed(baseline, change);
        match Excess::of(row.metric, limit, baseline, value, self.precision) {
            Excess::None | Excess::Rounding => false,
            Excess::Bound => true,
            Excess::Limit => self.proof.is_none_or(|proof| match row.endpoint {
                Some(_) => Proof { noise: noise.after(self.rules.max_runs, change), ..proof }.is_given(),
                None => self.may_prove(proof),
            }),
        }
    }

    /// Returns whether the mean, which a p95 in a gap needs beside it, may be proven after the last run.
    fn may_prove(&self, proof: Proof) -> bool {
        let last = self.rules.max_runs.max(self.runs);
        let ends = proof.noise.forecast(last, CHANCE);
        let worst = if proof.worse.sign() > 0.0 { ends.high } else { ends.low };
        Proof { noise: proof.noise.after(last, worst), ..proof }.is_given()
    }
}
