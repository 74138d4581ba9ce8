//! Statistics: estimates over runs and their uncertainty.

use distrs::StudentsT;

use crate::stats::SIGNIFICANCE;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// By their ratio, on logarithms: latencies and throughput. A change is in percent.
    Relative,
    /// By their difference: error rates and counts. A change is in the unit of the values.
    Absolute,
}

impl Scale {
    /// The values on the scale of differences; `None` if a ratio has a 0.
    fn to_differences(self, values: &[f64]) -> Option<Vec<f64>> {
        match self {
            Scale::Absolute => Some(values.to_vec()),
            Scale::Relative if values.iter().all(|value| *value > 0.0) => {
                Some(values.iter().map(|value| value.ln()).collect())
            }
            Scale::Relative => None,
        }
    }

    /// Failures are counts, and one run of them is no outlier.
    fn mean(self, differences: &[f64]) -> f64 {
        match self {
            Scale::Absolute => mean(differences),
            Scale::Relative => robust_mean(differences),
        }
    }
}

/// Of at least one run: the geometric mean of ratios (`robust_mean`), the arithmetic mean of differences. The estimate
/// of one run is exactly its value.
pub fn estimate(scale: Scale, values: &[f64]) -> f64 {
    match (scale, values) {
        (_, []) => unreachable!("a series has at least one run"),
        (_, [value]) => *value,
        (Scale::Absolute, _) => mean(values),
        // A geometric mean with a 0 would be 0, whatever the other runs are.
        (Scale::Relative, _) => scale.to_differences(values).map_or_else(|| mean(values), |all| scale.mean(&all).exp()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

impl Interval {
    pub fn between(a: f64, b: f64) -> Interval {
        Interval { low: a.min(b), high: a.max(b) }
    }

    pub fn is_finite(self) -> bool {
        self.low.is_finite() && self.high.is_finite()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worse {
    Higher,
    Lower,
}

impl Worse {
    pub fn sign(self) -> f64 {
        match self {
            Worse::Higher => 1.0,
            Worse::Lower => -1.0,
        }
    }
}

/// The normal quantile of the power, 80%, of a detectable change.
pub(crate) const POWER_Z: f64 = 0.841_621_233_572_914_2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Design {
    TwoSamples {
        baseline_runs: usize,
    },
    /// Each round has a run of each side.
    Rounds,
}

/// The difference of the candidate's runs from the baseline's, with Student's t, on logarithms for ratios.
#[derive(Clone, Copy, Debug)]
pub struct Difference {
    scale: Scale,
    design: Design,
    /// Of the means, candidate minus baseline.
    pub(crate) mean: f64,
    /// Of one run, or of the difference of one round.
    pub(crate) variance: f64,
    pub(crate) runs: usize,
    /// Of `variance`.
    pub(crate) freedom: f64,
}

impl Difference {
    /// Compares two samples, with pooled variance and m + n - 2 degrees of freedom (Snedecor & Cochran, Statistical
    /// Methods, 8th ed., section 6.9). `None` for two single runs, or if a ratio has a 0.
    pub fn between(scale: Scale, baseline: &[f64], candidate: &[f64]) -> Option<Difference> {
        if baseline.is_empty() || candidate.is_empty() || baseline.len() + candidate.len() < 3 {
            return None;
        }
        let (baseline, candidate) = (scale.to_differences(baseline)?, scale.to_differences(candidate)?);
        let freedom = (baseline.len() + candidate.len() - 2) as f64;
        Some(Difference {
            scale,
            design: Design::TwoSamples { baseline_runs: baseline.len() },
            mean: scale.mean(&candidate) - scale.mean(&baseline),
            variance: (squares(&baseline) + squares(&candidate)) / freedom,
            runs: candidate.len(),
            freedom,
        })
    }

    /// Compares rounds, each of which measured both sides in turn: the one-sample t of the differences, with n - 1
    /// degrees of freedom (Snedecor & Cochran, section 6.3). `None` for a single round, or if a ratio has a 0.
    pub fn paired(scale: Scale, baseline: &[f64], candidate: &[f64]) -> Option<Difference> {
        if baseline.len() < 2 || baseline.len() != candidate.len() {
            return None;
        }
        let (baseline, candidate) = (scale.to_differences(baseline)?, scale.to_differences(candidate)?);
        let rounds: Vec<f64> =
            candidate.iter().zip(&baseline).map(|(candidate, baseline)| candidate - baseline).collect();
        let freedom = (rounds.len() - 1) as f64;
        Some(Difference {
            scale,
            design: Design::Rounds,
            mean: scale.mean(&rounds),
            variance: squares(&rounds) / freedom,
            runs: rounds.len(),
            freedom,
        })
    }

    /// This difference with the pooled variance of several that vary alike.
    #[must_use]
    pub(crate) fn pooled<'d>(self, all: impl Iterator<Item = &'d Difference> + Clone) -> Difference {
        let freedom: f64 = all.clone().map(|one| one.freedom).sum();
        let variance = all.map(|one| one.variance * one.freedom).sum::<f64>() / freedom;
        Difference { variance, freedom, ..self }
    }

    /// In percent or in the unit of the values ([`Scale`]).
    pub fn change(&self) -> f64 {
        self.in_units(self.mean)
    }

    pub(crate) fn in_units(&self, difference: f64) -> f64 {
        match self.scale {
            Scale::Relative => difference.exp_m1() * 100.0,
            Scale::Absolute => difference,
        }
    }

    fn scaled(&self, change: f64) -> f64 {
        match self.scale {
            Scale::Relative => (change / 100.0).ln_1p(),
            Scale::Absolute => change,
        }
    }

    fn standard_error(&self) -> f64 {
        let runs = self.runs as f64;
        match self.design {
            Design::TwoSamples { baseline_runs } => (self.variance * (1.0 / baseline_runs as f64 + 1.0 / runs)).sqrt(),
            Design::Rounds => (self.variance / runs).sqrt(),
        }
    }

    pub fn interval(&self, error: f64) -> Interval {
        let reach = StudentsT::ppf(1.0 - error / 2.0, self.freedom) * self.standard_error();
        Interval { low: self.in_units(self.mean - reach), high: self.in_units(self.mean + reach) }
    }

    /// The range of the change after `last_runs` candidate runs, or rounds, in all, which it leaves with the
    /// probability `chance` on each side. The sources are in docs/statistics.md, "The estimate decides, the evidence
    /// says when to stop".
    ///
    /// After k of K runs with the standard deviation s and its t, the mean of the K - k that follow lies around the
    /// mean of the k as `s sqrt(1/k + 1/(K - k)) t`. The mean of all K moves by the share `(K - k) / K` of that, which
    /// is `s sqrt(1/k - 1/K) t`. The baseline does not move.
    pub fn forecast(&self, last_runs: usize, chance: f64) -> Interval {
        let left = (1.0 / self.runs as f64 - 1.0 / last_runs as f64).max(0.0);
        let reach = StudentsT::ppf(1.0 - chance, self.freedom) * (self.variance * left).sqrt();
        Interval { low: self.in_units(self.mean - reach), high: self.in_units(self.mean + reach) }
    }

    /// This difference after `last_runs` in all, if the spread stays and the change is `change` then.
    #[must_use]
    pub fn after(&self, last_runs: usize, change: f64) -> Difference {
        let further = last_runs.saturating_sub(self.runs);
        Difference {
            mean: self.scaled(change),
            runs: self.runs + further,
            freedom: self.freedom + further as f64,
            ..*self
        }
    }

    /// The smallest change for the worse that a two-sided test at [`SIGNIFICANCE`] detects with 80% power, by the noncentral t
    /// in the approximation of Abramowitz & Stegun, 26.7.10. It is negative if lower is worse.
    pub fn detectable(&self, worse: Worse) -> f64 {
        let t = StudentsT::ppf(1.0 - SIGNIFICANCE / 2.0, self.freedom);
        let noncentrality = t * (1.0 - 0.25 / self.freedom) + POWER_Z * (1.0 + t * t / (2.0 * self.freedom)).sqrt();
        self.in_units(worse.sign() * noncentrality * self.standard_error())
    }

    #[must_use]
    pub fn with_runs(self, baseline_runs: usize, candidate_runs: usize) -> Difference {
        let freedom = (baseline_runs + candidate_runs).saturating_sub(2).max(1) as f64;
        Difference { design: Design::TwoSamples { baseline_runs }, runs: candidate_runs, freedom, ..self }
    }

    /// The standard deviation of one run, or of the difference of one round, in percent for ratios.
    pub(crate) fn spread_pct(&self) -> f64 {
        100.0 * self.variance.sqrt()
    }

    /// One-sided: the probability of at least such a change for the worse if there is none.
    pub fn p_value(&self, worse: Worse) -> f64 {
        self.p_value_beyond(0.0, worse)
    }

    /// One-sided: the probability of at least such a change for the worse if the true change is no worse than `change`.
    pub(crate) fn p_value_beyond(&self, change: f64, worse: Worse) -> f64 {
        let mean = worse.sign() * (self.mean - self.scaled(change));
        let standard_error = self.standard_error();
        if standard_error > 0.0 {
            return upper_tail(mean / standard_error, self.freedom);
        }
        // Zero variance: any change is significant, no change is not.
        if mean > 0.0 { 0.0 } else { 1.0 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HolmResult {
    pub is_rejected: bool,
    /// The level of its comparison or, if an earlier one ended the procedure, of that one.
    pub level: f64,
}

/// Rejects hypotheses so that the probability of any false rejection is at most `level`: Holm's step-down procedure
/// (1979, Scandinavian Journal of Statistics 6). The result is in the order of `p_values`.
pub fn holm(p_values: &[f64], level: f64) -> Vec<HolmResult> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut tested = vec![HolmResult { is_rejected: false, level }; p_values.len()];
    let mut step = HolmResult { is_rejected: true, level };
    for (rank, place) in order.into_iter().enumerate() {
        if step.is_rejected {
            step.level = level / (p_values.len() - rank) as f64;
            step.is_rejected = p_values[place] <= step.level;
        }
        tested[place] = step;
    }
    tested
}

/// Ranks of a sorted sample, from 1 to its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranks {
    pub low: u64,
    pub high: u64,
}

/// The ranks between whose order statistics the true quantile `q` lies, given a sample of `n` requests, with normal
/// quantile `z` on each side: binomial ranks (David & Nagaraja, Order Statistics, 3rd ed., section 7.1) by the normal
/// approximation with the term of Cornish & Fisher (1938) for the skew. `None` if the sample is too small.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "ranks from 1 to n")]
pub fn quantile_ranks(n: u64, q: f64, z: f64) -> Option<Ranks> {
    let n = n as f64;
    let reach = z * (n * q * (1.0 - q)).sqrt();
    let middle = n * q + (z * z - 1.0) * (1.0 - 2.0 * q) / 6.0 + 0.5;
    let (low, high) = ((middle - reach).floor(), (middle + reach).ceil());
    (low >= 1.0 && high <= n).then_some(Ranks { low: low as u64, high: high as u64 })
}

/// The interval in percent of a rate, with normal quantile `z` on each side (Wilson 1927, Probable inference, Journal
/// of the American Statistical Association 22).
pub fn rate_interval_pct(rate_pct: f64, requests: f64, z: f64) -> Interval {
    let rate = rate_pct / 100.0;
    let middle = rate + z * z / (2.0 * requests);
    let reach = z * (rate * (1.0 - rate) / requests + z * z / (4.0 * requests * requests)).sqrt();
    let in_percent = |end: f64| (end / (1.0 + z * z / requests)).clamp(0.0, 1.0) * 100.0;
    Interval { low: in_percent(middle - reach), high: in_percent(middle + reach) }
}

pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Clips outliers: metric winsorizing (Huber & Ronchetti, Robust Statistics, 2nd ed., section 1.8; docs/statistics.md,
/// "One run in ten is disturbed"). The median absolute deviation is 1 / 1.4826 standard deviations of a normal
/// distribution. Closer than 1%, fences would only separate nearly equal runs.
fn robust_mean(logarithms: &[f64]) -> f64 {
    if logarithms.len() < 4 {
        return mean(logarithms);
    }
    let center = median(logarithms.to_vec());
    let deviation = median(logarithms.iter().map(|value| (value - center).abs()).collect());
    let fence = 3.0 * (1.4826 * deviation).max(0.01);
    mean(&logarithms.iter().map(|value| value.clamp(center - fence, center + fence)).collect::<Vec<_>>())
}

/// The median of at least one value.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    f64::midpoint(low, high)
}

/// The sum of the squared distances from the mean.
pub(crate) fn squares(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum()
}

/// The probability that Student's t is at least `t`.
///
/// `distrs` sums the exact series of whole degrees of freedom with 8-bit counters, and from 12 degrees on it would
/// panic at a `t` just over 2. Fractions use another branch (Hill, 1970), which from 10 degrees on agrees with the
/// exact series to the sixth decimal place.
pub fn upper_tail(t: f64, freedom: f64) -> f64 {
    let is_whole = freedom.fract() == 0.0;
    let freedom = if is_whole && freedom >= 10.0 { freedom + 1e-9 } else { freedom };
    StudentsT::cdf(-t, freedom)
}

/// Equal but for the last bits of a sum.
pub fn is_close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

/// To a thousandth: microseconds of latency, and readable in a diff.
pub fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
