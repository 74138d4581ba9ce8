//! Estimates, intervals and tests.

pub mod counts;
pub mod estimate;
pub mod histogram;

use crate::stats::counts::Rates;
use crate::stats::estimate::{Difference, Interval, Worse};

/// The significance level: of the interval, and of the test of a detectable change.
pub const SIGNIFICANCE: f64 = 0.05;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Noise {
    /// Latencies and throughput.
    Spread(Difference),
    /// Error rates, and requests over a limit.
    Counts(Rates),
}

impl Noise {
    pub(crate) fn interval(&self, error: f64) -> Interval {
        match self {
            Noise::Spread(difference) => difference.interval(error),
            Noise::Counts(rates) => rates.interval(error),
        }
    }

    pub(crate) fn detectable(&self, worse: Worse) -> f64 {
        match self {
            Noise::Spread(difference) => difference.detectable(worse),
            Noise::Counts(rates) => rates.detectable(),
        }
    }

    /// The probability that noise alone makes such a change for the worse, if the true change is `beyond`.
    pub(crate) fn p_value(&self, beyond: f64, worse: Worse) -> f64 {
        match self {
            Noise::Spread(difference) => difference.p_value_beyond(beyond, worse),
            Noise::Counts(rates) => rates.beyond(beyond).p_value(),
        }
    }

    pub(crate) fn forecast(&self, last_runs: usize, chance: f64) -> Interval {
        match self {
            Noise::Spread(difference) => difference.forecast(last_runs, chance),
            Noise::Counts(rates) => rates.forecast(last_runs, chance),
        }
    }

    #[must_use]
    pub(crate) fn after(&self, last_runs: usize, change: f64) -> Noise {
        match self {
            Noise::Spread(difference) => Noise::Spread(difference.after(last_runs, change)),
            Noise::Counts(rates) => Noise::Counts(rates.after(last_runs, change)),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Proof {
    /// Of an endpoint its own noise, of all requests together the noise of the mean.
    pub noise: Noise,
    pub worse: Worse,
    /// The change that is no finding, which the true change must exceed.
    pub beyond: f64,
    /// The largest p-value that proves it.
    pub level: f64,
}

impl Proof {
    pub(crate) fn is_given(&self) -> bool {
        self.noise.p_value(self.beyond, self.worse) <= self.level
    }
}
