//! Numbers only: estimates over runs, and how sure they are.

use distrs::StudentsT;

/// Tells how two samples are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// By their ratio, on logarithms: latencies and throughput. A change is in percent.
    Ratio,
    /// By their difference: error rates and counts. A change is in the unit of the values.
    Difference,
}

impl Scale {
    /// Returns the values on the scale where differences count, or `None` where a ratio meets a 0.
    fn to_differences(self, values: &[f64]) -> Option<Vec<f64>> {
        match self {
            Scale::Difference => Some(values.to_vec()),
            Scale::Ratio if values.iter().all(|value| *value > 0.0) => Some(logarithms(values)),
            Scale::Ratio => None,
        }
    }

    /// Returns the mean of what [`Scale::to_differences`] gives. Failures are counts, and one run of them is no outlier.
    fn mean(self, differences: &[f64]) -> f64 {
        match self {
            Scale::Difference => mean(differences),
            Scale::Ratio => robust_mean(differences),
        }
    }
}

/// Estimates a value from the runs (at least one): the geometric mean of ratios (`robust_mean`), the arithmetic mean
/// of differences. The estimate of one run is its value, to the last bit.
pub fn estimate(scale: Scale, values: &[f64]) -> f64 {
    match (scale, values) {
        (_, []) => unreachable!("a series has at least one run"),
        (_, [value]) => *value,
        (Scale::Difference, _) => mean(values),
        // A geometric mean that meets a 0 is 0, whatever the other runs say; an arithmetic one tells more.
        (Scale::Ratio, _) => scale.to_differences(values).map_or_else(|| mean(values), |all| scale.mean(&all).exp()),
    }
}

/// An interval from `low` to `high`, both ends included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Returns the interval between two ends, whichever is the lower.
    pub fn between(a: f64, b: f64) -> Interval {
        Interval { low: a.min(b), high: a.max(b) }
    }

    /// Returns whether both ends are numbers.
    pub fn is_finite(self) -> bool {
        self.low.is_finite() && self.high.is_finite()
    }
}

/// The direction in which a value gets worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worse {
    /// A higher value is worse: latencies and error rates.
    Higher,
    /// A lower value is worse: throughput.
    Lower,
}

impl Worse {
    /// Returns 1 where higher is worse, and -1 where lower is.
    pub fn sign(self) -> f64 {
        match self {
            Worse::Higher => 1.0,
            Worse::Lower => -1.0,
        }
    }
}

/// The normal quantile of the probability, 80%, with which a change of the size called detectable is noticed.
pub const POWER_Z: f64 = 0.841_621_233_572_914_2;

/// The way in which the runs of both sides belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Design {
    /// Each side has runs of its own.
    TwoSamples {
        /// The runs of the baseline.
        baseline_runs: usize,
    },
    /// Each round has a run of either side.
    Rounds,
}

/// The distance of the candidate's runs from the baseline's, and its certainty by their spread: Student's t (1908), on
/// logarithms for ratios.
#[derive(Clone, Copy, Debug)]
pub struct Difference {
    scale: Scale,
    design: Design,
    /// Candidate minus baseline, of the means.
    pub(crate) mean: f64,
    /// The variance of one run, or of the difference of one round.
    pub(crate) variance: f64,
    /// The candidate's runs, or the rounds.
    pub(crate) runs: usize,
    /// The degrees of freedom of `variance`.
    pub(crate) freedom: f64,
}

impl Difference {
    /// Compares two samples, with pooled variance and m + n - 2 degrees of freedom (Snedecor & Cochran, Statistical
    /// Methods, 8th ed., section 6.9).
    ///
    /// Returns `None` where two single runs leave no degree of freedom, or a ratio meets a 0.
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

    /// Compares rounds, each of which measured both sides one after the other, so that what they share (a slow hour of
    /// the machine) drops out: the one-sample t of the differences, with n - 1 degrees of freedom (Snedecor & Cochran,
    /// section 6.3).
    ///
    /// Returns `None` for a single round, or where a ratio meets a 0.
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

    /// Returns this difference with the variance of several, which vary alike: their pooled one.
    #[must_use]
    pub(crate) fn pooled<'d>(self, all: impl Iterator<Item = &'d Difference> + Clone) -> Difference {
        let freedom: f64 = all.clone().map(|one| one.freedom).sum();
        let variance = all.map(|one| one.variance * one.freedom).sum::<f64>() / freedom;
        Difference { variance, freedom, ..self }
    }

    /// Returns the change itself, in percent or in the unit of the values ([`Scale`]).
    pub fn change(&self) -> f64 {
        self.in_units(self.mean)
    }

    pub(crate) fn in_units(&self, difference: f64) -> f64 {
        match self.scale {
            Scale::Ratio => difference.exp_m1() * 100.0,
            Scale::Difference => difference,
        }
    }

    fn scaled(&self, change: f64) -> f64 {
        match self.scale {
            Scale::Ratio => (change / 100.0).ln_1p(),
            Scale::Difference => change,
        }
    }

    /// Returns the standard error of the difference.
    fn standard_error(&self) -> f64 {
        let runs = self.runs as f64;
        match self.design {
            Design::TwoSamples { baseline_runs } => (self.variance * (1.0 / baseline_runs as f64 + 1.0 / runs)).sqrt(),
            Design::Rounds => (self.variance / runs).sqrt(),
        }
    }

    /// Returns the confidence interval of the change, in percent or in the unit of the values
    /// ([`Scale`]). `error` is the probability, both sides together, that it misses.
    pub fn interval(&self, error: f64) -> Interval {
        let reach = StudentsT::ppf(1.0 - error / 2.0, self.freedom) * self.standard_error();
        Interval { low: self.in_units(self.mean - reach), high: self.in_units(self.mean + reach) }
    }

    /// Returns where the change will lie after `last_runs` candidate runs, or rounds, in all: below the lower end, and
    /// above the upper one, with the probability `chance` each.
    ///
    /// This is the predictive distribution that stochastic curtailment asks (Lan, Simon & Halperin 1982, Stochastically
    /// curtailed tests in long-term clinical trials, Sequential Analysis 1; Spiegelhalter, Freedman & Blackburn 1986,
    /// Monitoring clinical trials: conditional or predictive power?, Controlled Clinical Trials 7; Jennison & Turnbull
    /// 2000, Group Sequential Methods, chapter 10), with the variance unknown. After k of K runs with the standard
    /// deviation s, the mean of the K - k that follow lies around the mean of the k as s sqrt(1/k + 1/(K - k)) t, with the
    /// t of s (the prediction interval of a future mean: Hahn & Meeker 1991, Statistical Intervals, section 4.7). The mean
    /// of all K moves by the share (K - k) / K of that, which is s sqrt(1/k - 1/K) t. The baseline does not move. Of
    /// rounds the same holds, with the differences for runs.
    pub fn forecast(&self, last_runs: usize, chance: f64) -> Interval {
        let left = (1.0 / self.runs as f64 - 1.0 / last_runs as f64).max(0.0);
        let reach = StudentsT::ppf(1.0 - chance, self.freedom) * (self.variance * left).sqrt();
        Interval { low: self.in_units(self.mean - reach), high: self.in_units(self.mean + reach) }
    }

    /// Returns this difference as it will be after `last_runs` in all, if the spread stays and the change is `change`
    /// then.
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

    /// Returns the smallest change for the worse that samples like these would have told from none in four cases of
    /// five, where a test at `error`, both sides together, tells: the change at which the noncentral t has that power, by
    /// the approximation of Abramowitz & Stegun, 26.7.10. Of a value that gets worse as it falls it is negative.
    pub fn detectable(&self, error: f64, worse: Worse) -> f64 {
        let t = StudentsT::ppf(1.0 - error / 2.0, self.freedom);
        let noncentrality = t * (1.0 - 0.25 / self.freedom) + POWER_Z * (1.0 + t * t / (2.0 * self.freedom)).sqrt();
        self.in_units(worse.sign() * noncentrality * self.standard_error())
    }

    /// Returns the difference that samples of the same spread would show with these numbers of runs.
    #[must_use]
    pub fn with_runs(self, baseline_runs: usize, candidate_runs: usize) -> Difference {
        let freedom = (baseline_runs + candidate_runs).saturating_sub(2).max(1) as f64;
        Difference { design: Design::TwoSamples { baseline_runs }, runs: candidate_runs, freedom, ..self }
    }

    /// Returns the probability of a change for the worse so large, or larger, where there is none (one-sided).
    pub fn p_value(&self, worse: Worse) -> f64 {
        let (mean, standard_error) = (worse.sign() * self.mean, self.standard_error());
        if standard_error > 0.0 {
            return upper_tail(mean / standard_error, self.freedom);
        }
        // Runs that never vary: any change is one, and none is none.
        if mean > 0.0 { 0.0 } else { 1.0 }
    }
}

/// The result of a test among several.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tested {
    /// Says that its hypothesis, no change, is rejected.
    pub is_rejected: bool,
    /// The level that its p-value was held against, or would have been held against next.
    pub level: f64,
}

/// Tells which hypotheses are rejected so that the probability of any false rejection is at most `level`: Holm's
/// step-down procedure (Holm 1979, A simple sequentially rejective multiple test procedure, Scandinavian Journal of
/// Statistics 6). The result stands in the order of `p_values`.
pub fn holm(p_values: &[f64], level: f64) -> Vec<Tested> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut tested = vec![Tested { is_rejected: false, level }; p_values.len()];
    let mut step = Tested { is_rejected: true, level };
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
    /// The lower rank.
    pub low: u64,
    /// The upper rank.
    pub high: u64,
}

/// Returns the ranks between whose order statistics the quantile `q` lies of what `n` requests are a
/// sample of, as sure on either side as the normal quantile `z`: those of the binomial distribution (David & Nagaraja,
/// Order Statistics, 3rd ed., section 7.1), approximated by the normal one with the term of Cornish & Fisher (1938) for
/// its skew. `None` where the sample is too small to hold them.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "ranks from 1 to n")]
pub fn quantile_ranks(n: u64, q: f64, z: f64) -> Option<Ranks> {
    let n = n as f64;
    let reach = z * (n * q * (1.0 - q)).sqrt();
    let middle = n * q + (z * z - 1.0) * (1.0 - 2.0 * q) / 6.0 + 0.5;
    let (low, high) = ((middle - reach).floor(), (middle + reach).ceil());
    (low >= 1.0 && high <= n).then_some(Ranks { low: low as u64, high: high as u64 })
}

/// Returns the interval in percent of a rate that so many requests show, as sure on either side as the normal quantile
/// `z` (Wilson 1927, Probable inference, Journal of the American Statistical Association 22).
pub fn rate_interval_pct(rate_pct: f64, requests: f64, z: f64) -> Interval {
    let rate = rate_pct / 100.0;
    let middle = rate + z * z / (2.0 * requests);
    let reach = z * (rate * (1.0 - rate) / requests + z * z / (4.0 * requests * requests)).sqrt();
    let in_percent = |end: f64| (end / (1.0 + z * z / requests)).clamp(0.0, 1.0) * 100.0;
    Interval { low: in_percent(middle - reach), high: in_percent(middle + reach) }
}

fn logarithms(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| value.ln()).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Returns the mean. From four runs on, a run farther from their median than three robust standard deviations counts as
/// one that far: a neighbour on the machine that hits one run in ten would drag the mean of five along.
///
/// This is metric winsorizing (Huber & Ronchetti, Robust Statistics, 2nd ed., section 1.8) at the median absolute
/// deviation, which is 1 / 1.4826 standard deviations of a normal distribution. Fences closer than 1% would only tell
/// equal runs from nearly equal ones.
fn robust_mean(logarithms: &[f64]) -> f64 {
    if logarithms.len() < 4 {
        return mean(logarithms);
    }
    let center = median(logarithms.to_vec());
    let deviation = median(logarithms.iter().map(|value| (value - center).abs()).collect());
    let fence = 3.0 * (1.4826 * deviation).max(0.01);
    mean(&logarithms.iter().map(|value| value.clamp(center - fence, center + fence)).collect::<Vec<_>>())
}

/// Returns the median of a sample that is not empty.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    f64::midpoint(low, high)
}

/// Returns the sum of the squared distances from the mean.
fn squares(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum()
}

/// Returns the probability that Student's t of so many degrees of freedom is `t` or more.
///
/// `distrs` sums the exact series of whole degrees of freedom with 8-bit counters. From 12 degrees on, a `t` just over 2
/// needs more terms than these can count, and the program would panic. Fractions take the other branch of its algorithm
/// (Hill, 1970), which from 10 degrees on agrees with the exact series to the sixth decimal place.
pub fn upper_tail(t: f64, freedom: f64) -> f64 {
    let is_whole = freedom.fract() == 0.0;
    let freedom = if is_whole && freedom >= 10.0 { freedom + 1e-9 } else { freedom };
    StudentsT::cdf(-t, freedom)
}
