//! Estimates, intervals and tests.

pub mod counts;
pub mod estimate;
pub mod histogram;

use crate::stats::counts::Rates;
use crate::stats::estimate::{Difference, Interval, Worse};

/// The probability that the interval of a change misses it, and that no change is told for one by its size.
pub const ERROR: f64 = 0.05;

/// The noise of a series, as both sides tell it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Noise {
    /// By the spread of the runs: latencies and throughput.
    Spread(Difference),
    /// By counts of failures: error rates.
    Counts(Rates),
}

impl Noise {
    /// Returns the confidence interval of the change; `error` is the probability that it misses.
    pub(crate) fn interval(&self, error: f64) -> Interval {
        match self {
            Noise::Spread(difference) => difference.interval(error),
            Noise::Counts(rates) => rates.interval(error),
        }
    }

    /// Returns the smallest change for the worse that would have been told from none in four cases of five.
    pub(crate) fn detectable(&self, error: f64, worse: Worse) -> f64 {
        match self {
            Noise::Spread(difference) => difference.detectable(error, worse),
            Noise::Counts(rates) => rates.detectable(error),
        }
    }

    /// Returns the probability of a change for the worse so large, or larger, where there is none.
    pub(crate) fn p_value(&self, worse: Worse) -> f64 {
        match self {
            Noise::Spread(difference) => difference.p_value(worse),
            Noise::Counts(rates) => rates.p_value(),
        }
    }

    /// Returns where the change will lie after `last_runs` in all, but for the probability `chance` on either side.
    pub(crate) fn forecast(&self, last_runs: usize, chance: f64) -> Interval {
        match self {
            Noise::Spread(difference) => difference.forecast(last_runs, chance),
            Noise::Counts(rates) => rates.forecast(last_runs, chance),
        }
    }

    /// Returns what `last_runs` in all would tell, if the change is `change` then.
    #[must_use]
    pub(crate) fn after(&self, last_runs: usize, change: f64) -> Noise {
        match self {
            Noise::Spread(difference) => Noise::Spread(difference.after(last_runs, change)),
            Noise::Counts(rates) => Noise::Counts(rates.after(last_runs, change)),
        }
    }
}

/// The proof that the change of a series over its limit is not noise, which a finding needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proof {
    /// The change: of an endpoint its own, of a p95 in a gap that of the mean.
    pub noise: Noise,
    /// The direction in which it gets worse.
    pub worse: Worse,
    /// The largest p-value that proves it.
    pub level: f64,
}

impl Proof {
    /// Returns whether the runs prove it.
    pub(crate) fn is_given(&self) -> bool {
        self.noise.p_value(self.worse) <= self.level
    }
}
