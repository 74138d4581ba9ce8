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

/// Estimates a value from the runs (at least one): the geometric mean of ratios ([`robust_mean`]), the arithmetic mean
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

/// The probability of noticing a change of the size called detectable.
const POWER: f64 = 0.8;

/// How far the candidate's runs lie from the baseline's, and how sure that is by their spread: Student's t (1908), on
/// logarithms for ratios.
#[derive(Clone, Copy, Debug)]
pub struct Difference {
    scale: Scale,
    /// Candidate minus baseline, of the means.
    mean: f64,
    /// The variance of one run, or of the difference of one round.
    variance: f64,
    /// The standard error of `mean`.
    standard_error: f64,
    /// The degrees of freedom of `variance`.
    freedom: f64,
}

impl Difference {
    /// Compares two samples, with pooled variance and m + n - 2 degrees of freedom (Snedecor & Cochran, Statistical
    /// Methods, 8th ed., section 6.9). `least_variance` is what a run varies by in any case, by the sampling of its
    /// requests.
    ///
    /// Returns `None` where two single runs leave no degree of freedom, or a ratio meets a 0.
    pub fn between(scale: Scale, baseline: &[f64], candidate: &[f64], least_variance: f64) -> Option<Difference> {
        if baseline.is_empty() || candidate.is_empty() || baseline.len() + candidate.len() < 3 {
            return None;
        }
        let (baseline, candidate) = (scale.to_differences(baseline)?, scale.to_differences(candidate)?);
        let freedom = (baseline.len() + candidate.len() - 2) as f64;
        let variance = ((squares(&baseline) + squares(&candidate)) / freedom).max(least_variance);
        let mean = scale.mean(&candidate) - scale.mean(&baseline);
        let standard_error = standard_error(variance, baseline.len(), candidate.len());
        Some(Difference { scale, mean, variance, standard_error, freedom })
    }

    /// Compares rounds, each of which measured both sides one after the other, so that what they share (a slow hour of
    /// the machine) drops out: the one-sample t of the differences, with n - 1 degrees of freedom (Snedecor & Cochran,
    /// section 6.3). The difference of two runs varies twice as much as one run, so `least_variance` counts twice.
    ///
    /// Returns `None` for a single round, or where a ratio meets a 0.
    pub fn paired(scale: Scale, baseline: &[f64], candidate: &[f64], least_variance: f64) -> Option<Difference> {
        if baseline.len() < 2 || baseline.len() != candidate.len() {
            return None;
        }
        let (baseline, candidate) = (scale.to_differences(baseline)?, scale.to_differences(candidate)?);
        let rounds: Vec<f64> =
            candidate.iter().zip(&baseline).map(|(candidate, baseline)| candidate - baseline).collect();
        let freedom = (rounds.len() - 1) as f64;
        let variance = (squares(&rounds) / freedom).max(2.0 * least_variance);
        let mean = scale.mean(&rounds);
        let standard_error = (variance / rounds.len() as f64).sqrt();
        Some(Difference { scale, mean, variance, standard_error, freedom })
    }

    /// Returns the change itself, in percent or in the unit of the values ([`Scale`]).
    pub fn change(&self) -> f64 {
        self.in_units(self.mean)
    }

    fn in_units(&self, difference: f64) -> f64 {
        match self.scale {
            Scale::Ratio => difference.exp_m1() * 100.0,
            Scale::Difference => difference,
        }
    }

    /// Returns the confidence interval of the change, in percent or in the unit of the values
    /// ([`Scale`]). `error` is the probability, both sides together, that it misses.
    pub fn interval(&self, error: f64) -> Interval {
        let reach = StudentsT::ppf(1.0 - error / 2.0, self.freedom) * self.standard_error;
        Interval { low: self.in_units(self.mean - reach), high: self.in_units(self.mean + reach) }
    }

    /// Returns the smallest rise that samples like these would have told from none in four cases of five:
    /// (t(1 - error / 2) + t(power)) standard errors, the usual approximation (Snedecor & Cochran, section 6.14).
    pub fn detectable(&self, error: f64) -> f64 {
        let t = |p: f64| StudentsT::ppf(p, self.freedom);
        self.in_units((t(1.0 - error / 2.0) + t(POWER)) * self.standard_error)
    }

    /// Returns the difference that samples of the same spread would show with these numbers of runs.
    #[must_use]
    pub fn with_runs(self, baseline_runs: usize, candidate_runs: usize) -> Difference {
        let standard_error = standard_error(self.variance, baseline_runs, candidate_runs);
        let freedom = (baseline_runs + candidate_runs).saturating_sub(2).max(1) as f64;
        Difference { standard_error, freedom, ..self }
    }

    /// Returns the probability of a rise so large, or larger, where there is no change (one-sided).
    pub fn p_value(&self) -> f64 {
        if self.standard_error > 0.0 {
            return StudentsT::cdf(-self.mean / self.standard_error, self.freedom);
        }
        // Runs that never vary: any rise is a change, and none is none.
        if self.mean > 0.0 { 0.0 } else { 1.0 }
    }
}

/// Returns the standard error of the difference of two means, of runs with this variance.
fn standard_error(variance: f64, baseline_runs: usize, candidate_runs: usize) -> f64 {
    (variance * (1.0 / baseline_runs as f64 + 1.0 / candidate_runs as f64)).sqrt()
}

/// Tells which hypotheses are rejected so that the probability of any false rejection is at most `level`: Holm's
/// step-down procedure (Holm 1979, A simple sequentially rejective multiple test procedure, Scandinavian Journal of
/// Statistics 6). The result stands in the order of `p_values`.
pub fn holm(p_values: &[f64], level: f64) -> Vec<bool> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut rejected = vec![false; p_values.len()];
    for (rank, place) in order.iter().enumerate() {
        if p_values[*place] > level / (p_values.len() - rank) as f64 {
            break;
        }
        rejected[*place] = true;
    }
    rejected
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

/// Returns the variance, in square points, of the rate in percent that runs of so many requests show by chance alone:
/// that of a binomial share, at the rate of all runs together.
pub fn chance_variance(rates_pct: &[f64], requests: &[f64]) -> f64 {
    let all: f64 = requests.iter().sum();
    let failures: f64 = rates_pct.iter().zip(requests).map(|(rate, requests)| rate / 100.0 * requests).sum();
    let rate = (failures / all).clamp(0.0, 1.0);
    1e4 * rate * (1.0 - rate) * requests.len() as f64 / all
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
/// deviation, which is 1 / 1.4826 standard deviations of a normal distribution. Fences closer than 1 % would only tell
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
