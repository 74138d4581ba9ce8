//! One value on both sides.

use crate::stats::SIGNIFICANCE;
use crate::stats::estimate::{Difference, Interval, Scale, Worse, estimate};

#[derive(Clone, Copy, Debug)]
pub(super) struct Contrast {
    pub(super) baseline: f64,
    pub(super) candidate: f64,
    pub(super) scale: Scale,
    /// In percent of the baseline, or in the unit of the values if a run has 0.
    pub(super) interval: Interval,
    /// The probability of such a rise if there is none.
    pub(super) p_value: f64,
}

impl Contrast {
    /// `None` unless two runs on one side show the noise.
    pub(super) fn between(before: &[f64], now: &[f64], paired: bool) -> Option<Contrast> {
        let has_zero = before.iter().chain(now).any(|value| *value <= 0.0);
        let scale = if has_zero { Scale::Absolute } else { Scale::Relative };
        let difference = if paired { Difference::paired } else { Difference::between }(scale, before, now)?;
        Some(Contrast {
            baseline: estimate(scale, before),
            candidate: estimate(scale, now),
            scale,
            interval: difference.interval(SIGNIFICANCE),
            p_value: difference.p_value(Worse::Higher),
        })
    }

    pub(super) fn factor(&self) -> f64 {
        factor(self.baseline, self.candidate)
    }

    pub(super) fn highest_rise(&self) -> f64 {
        match self.scale {
            Scale::Relative => self.baseline * self.interval.high / 100.0,
            Scale::Absolute => self.interval.high,
        }
    }

    pub(super) fn rise(&self) -> f64 {
        self.candidate - self.baseline
    }
}

/// By how much a value is larger than before; infinite if it was 0.
pub(super) fn factor(baseline: f64, candidate: f64) -> f64 {
    match (baseline > 0.0, candidate > 0.0) {
        (true, _) => candidate / baseline,
        (false, true) => f64::INFINITY,
        (false, false) => 1.0,
    }
}
