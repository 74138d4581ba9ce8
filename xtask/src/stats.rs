//! Numbers only: estimates over runs, and how sure they are.

use distrs::StudentsT;

/// How two samples are set against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// By their ratio, on logarithms: latencies and throughput. A change is in percent.
    Ratio,
    /// By their difference: error rates and counts. A change is in the unit of the values.
    Difference,
}

impl Scale {
    /// The values where their differences count; `None` where a ratio meets a 0.
    fn to_differences(self, values: &[f64]) -> Option<Vec<f64>> {
        match self {
            Scale::Difference => Some(values.to_vec()),
            Scale::Ratio if values.iter().all(|value| *value > 0.0) => Some(logarithms(values)),
            Scale::Ratio => None,
        }
    }

    /// Of what [`Scale::to_differences`] gives. Failures are counts, and one run of them is no outlier.
    fn mean(self, differences: &[f64]) -> f64 {
        match self {
            Scale::Difference => mean(differences),
            Scale::Ratio => robust_mean(differences),
        }
    }
}

/// The estimate over the runs (not empty): the geometric mean of ratios ([`robust_mean`]), the arithmetic mean of
/// differences. Of one run it is the value itself, to the last bit.
pub fn estimate(scale: Scale, values: &[f64]) -> f64 {
    match (scale, values) {
        (_, []) => unreachable!("a series has at least one run"),
        (_, [value]) => *value,
        (Scale::Difference, _) => mean(values),
        // A geometric mean that meets a 0 is 0, whatever the other runs say; an arithmetic one tells more.
        (Scale::Ratio, _) => scale.to_differences(values).map_or_else(|| mean(values), |all| scale.mean(&all).exp()),
    }
}

/// The chance of telling a change of the size called detectable.
const POWER: f64 = 0.8;

/// How far the candidate's runs lie from the baseline's, and how sure that is by their spread: Student's t (1908), on
/// logarithms for ratios.
#[derive(Clone, Copy, Debug)]
pub struct Difference {
    scale: Scale,
    /// Of the means, candidate - baseline.
    mean: f64,
    /// Of one run, or of the difference of one round.
    variance: f64,
    /// Infinitely many where a round holds both sides: then the baseline adds nothing to the error.
    baseline_runs: f64,
    candidate_runs: f64,
    freedom: f64,
}

impl Difference {
    /// Of two samples, with pooled variance and m + n - 2 degrees of freedom (Snedecor & Cochran, Statistical Methods,
    /// 8th ed., section 6.9). `least_variance` is what a run varies by in any case, by the sampling of its requests.
    ///
    /// `None` where two single runs leave no degree of freedom, or a ratio meets a 0.
    pub fn between(scale: Scale, baseline: &[f64], candidate: &[f64], least_variance: f64) -> Option<Difference> {
        if baseline.is_empty() || candidate.is_empty() || baseline.len() + candidate.len() < 3 {
            return None;
        }
        let (baseline, candidate) = (scale.to_differences(baseline)?, scale.to_differences(candidate)?);
        let (baseline_runs, candidate_runs) = (baseline.len() as f64, candidate.len() as f64);
        let freedom = baseline_runs + candidate_runs - 2.0;
        let variance = ((squares(&baseline) + squares(&candidate)) / freedom).max(least_variance);
        let mean = scale.mean(&candidate) - scale.mean(&baseline);
        Some(Difference { scale, mean, variance, baseline_runs, candidate_runs, freedom })
    }

    /// Of rounds that measured both sides one after the other, so that what they share (a slow hour of the machine)
    /// drops out: the one-sample t of the differences, with n - 1 degrees of freedom (Snedecor & Cochran, section 6.3).
    ///
    /// `None` for a single round, or where a ratio meets a 0.
    pub fn paired(scale: Scale, baseline: &[f64], candidate: &[f64], least_variance: f64) -> Option<Difference> {
        if baseline.len() < 2 || baseline.len() != candidate.len() {
            return None;
        }
        let (baseline, candidate) = (scale.to_differences(baseline)?, scale.to_differences(candidate)?);
        let rounds: Vec<f64> =
            candidate.iter().zip(&baseline).map(|(candidate, baseline)| candidate - baseline).collect();
        let candidate_runs = rounds.len() as f64;
        let freedom = candidate_runs - 1.0;
        let variance = (squares(&rounds) / freedom).max(2.0 * least_variance);
        let mean = scale.mean(&rounds);
        Some(Difference { scale, mean, variance, baseline_runs: f64::INFINITY, candidate_runs, freedom })
    }

    /// The change itself, in percent or in the unit of the values ([`Scale`]).
    pub fn change(&self) -> f64 {
        self.in_units(self.mean)
    }

    fn standard_error(&self) -> f64 {
        (self.variance * (1.0 / self.baseline_runs + 1.0 / self.candidate_runs)).sqrt()
    }

    fn in_units(&self, difference: f64) -> f64 {
        match self.scale {
            Scale::Ratio => difference.exp_m1() * 100.0,
            Scale::Difference => difference,
        }
    }

    /// The confidence interval of the change, in percent or in the unit of the values ([`Scale`]); `error` is the
    /// probability, both sides together, that it misses.
    pub fn interval(&self, error: f64) -> [f64; 2] {
        let reach = StudentsT::ppf(1.0 - error / 2.0, self.freedom) * self.standard_error();
        [self.mean - reach, self.mean + reach].map(|end| self.in_units(end))
    }

    /// The smallest worsening that samples like these would have told from none in four cases of five:
    /// (t(1 - error / 2) + t(power)) standard errors, the usual approximation (Snedecor & Cochran, section 6.14).
    pub fn detectable(&self, error: f64) -> f64 {
        let t = |p: f64| StudentsT::ppf(p, self.freedom);
        self.in_units((t(1.0 - error / 2.0) + t(POWER)) * self.standard_error())
    }

    /// The same spread with another number of runs.
    #[must_use]
    pub fn with_candidate_runs(self, candidate_runs: usize) -> Difference {
        let candidate_runs = candidate_runs as f64;
        let freedom = self.freedom + candidate_runs - self.candidate_runs;
        Difference { candidate_runs, freedom, ..self }
    }

    /// The probability of a difference so far up, or farther, where there is none (one-sided).
    pub fn p_value(&self) -> f64 {
        match self.standard_error() {
            // Runs that never vary: any difference is one, and none is none.
            0.0 if self.mean > 0.0 => 0.0,
            0.0 => 1.0,
            standard_error => StudentsT::cdf(-self.mean / standard_error, self.freedom),
        }
    }
}

/// Which hypotheses fall so that the probability of any false one is at most `level`: Holm's step-down procedure (Holm
/// 1979, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6). The result
/// stands in the order of `p_values`.
pub fn holm(p_values: &[f64], level: f64) -> Vec<bool> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut falls = vec![false; p_values.len()];
    for (rank, place) in order.iter().enumerate() {
        if p_values[*place] > level / (p_values.len() - rank) as f64 {
            break;
        }
        falls[*place] = true;
    }
    falls
}

/// The ranks, from 1 to n, between whose order statistics the quantile `q` of what `n` requests are a sample of lies,
/// as sure on either side as the normal quantile `z`: those of the binomial distribution (David & Nagaraja, Order
/// Statistics, 3rd ed., section 7.1), approximated by the normal one with the term of Cornish & Fisher (1938) for its
/// skew. `None` where the sample is too small to hold them.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "ranks from 1 to n")]
pub fn quantile_ranks(n: u64, q: f64, z: f64) -> Option<[u64; 2]> {
    let n = n as f64;
    let reach = z * (n * q * (1.0 - q)).sqrt();
    let middle = n * q + (z * z - 1.0) * (1.0 - 2.0 * q) / 6.0 + 0.5;
    let (low, high) = ((middle - reach).floor(), (middle + reach).ceil());
    (low >= 1.0 && high <= n).then_some([low as u64, high as u64])
}

/// The interval in percent of a rate that so many requests show, as sure on either side as the normal quantile `z`
/// (Wilson 1927, Probable inference, Journal of the American Statistical Association 22).
pub fn rate_interval_pct(rate_pct: f64, requests: f64, z: f64) -> [f64; 2] {
    let rate = rate_pct / 100.0;
    let middle = rate + z * z / (2.0 * requests);
    let reach = z * (rate * (1.0 - rate) / requests + z * z / (4.0 * requests * requests)).sqrt();
    [middle - reach, middle + reach].map(|end| (end / (1.0 + z * z / requests)).clamp(0.0, 1.0) * 100.0)
}

/// The variance, in square points, of the rate in percent that runs of so many requests show by chance alone: that of
/// a binomial share, at the rate of all runs together.
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

/// The mean, but from four runs on a run farther from their median than three robust standard deviations counts as one
/// that far: a neighbour on the machine that hits one run in ten would drag the mean of five along.
///
/// Metric winsorizing (Huber & Ronchetti, Robust Statistics, 2nd ed., section 1.7) at the median absolute deviation,
/// which is 1 / 1.4826 standard deviations of a normal distribution. Fences closer than 1 % would only tell equal runs
/// from nearly equal ones.
fn robust_mean(logarithms: &[f64]) -> f64 {
    if logarithms.len() < 4 {
        return mean(logarithms);
    }
    let center = median(logarithms.to_vec());
    let deviation = median(logarithms.iter().map(|value| (value - center).abs()).collect());
    let fence = 3.0 * (1.4826 * deviation).max(0.01);
    mean(&logarithms.iter().map(|value| value.clamp(center - fence, center + fence)).collect::<Vec<_>>())
}

/// Of a sample that is not empty.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    f64::midpoint(low, high)
}

/// The sum of the squared distances from the mean.
fn squares(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum()
}
