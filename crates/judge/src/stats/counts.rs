//! Rates of requests, compared as counts: those that failed, or those over a limit, which are "failures" here too.
//!
//! If the runs of a side differ by no more than chance, all its requests are one binomial sample, tested exactly
//! (Fisher). Otherwise the counts are quasi-binomial, as if there were fewer requests by the factor of the dispersion
//! that the runs show (`McCullagh` & Nelder, Generalized Linear Models, 2nd ed., section 4.5).

use distrs::{Normal, StudentsT};

use crate::stats::SIGNIFICANCE;
use crate::stats::estimate::{Interval, POWER_Z, upper_tail};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counts {
    pub failures: f64,
    pub requests: f64,
}

impl Counts {
    pub(crate) fn of_rate(rate_pct: f64, requests: f64) -> Counts {
        Counts { failures: (rate_pct / 100.0 * requests).round().clamp(0.0, requests), requests }
    }

    /// Empty unless each run has its number of requests.
    pub(crate) fn of_rates(rates_pct: &[f64], requests: &[f64]) -> Vec<Counts> {
        let counts = rates_pct.iter().zip(requests).map(|(rate_pct, requests)| Counts::of_rate(*rate_pct, *requests));
        if rates_pct.len() == requests.len() { counts.collect() } else { Vec::new() }
    }

    fn sum(runs: &[Counts]) -> Counts {
        let failures = runs.iter().map(|run| run.failures).sum();
        Counts { failures, requests: runs.iter().map(|run| run.requests).sum() }
    }

    fn rate(self) -> f64 {
        self.failures / self.requests
    }

    /// As many times the requests, at the same rate.
    fn times(self, factor: f64) -> Counts {
        Counts { failures: self.failures * factor, requests: self.requests * factor }
    }

    /// It misses the true rate with the probability `error` at most (Clopper & Pearson 1934, Biometrika 26).
    pub fn interval(self, error: f64) -> Interval {
        let Counts { failures, requests } = self;
        let successes = requests - failures;
        // Without a failure the beta distribution is a power, whose quantile needs no search.
        if failures <= 0.0 {
            return Interval { low: 0.0, high: -((error / 2.0).ln() / requests).exp_m1() };
        }
        Interval {
            low: Beta::new(failures, successes + 1.0).quantile(error / 2.0),
            high: if successes <= 0.0 { 1.0 } else { Beta::new(failures + 1.0, successes).quantile(1.0 - error / 2.0) },
        }
    }
}

/// The error rates of both sides, and the uncertainty of their difference. A change is in percentage points.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    baseline: Counts,
    candidate: Counts,
    candidate_runs: usize,
    /// The factor by which the runs differ more than chance explains: at least 1.
    dispersion: f64,
    /// Of `dispersion`.
    freedom: f64,
}

impl Rates {
    /// `None` for two single runs, which do not show whether runs differ.
    pub fn between(baseline: &[Counts], candidate: &[Counts]) -> Option<Rates> {
        if baseline.is_empty() || candidate.is_empty() || baseline.len() + candidate.len() < 3 {
            return None;
        }
        let freedom = (baseline.len() + candidate.len() - 2) as f64;
        // Pearson's statistic over its degrees of freedom, each side around its own rate.
        let dispersion = (pearson(baseline) + pearson(candidate)) / freedom;
        Some(Rates {
            baseline: Counts::sum(baseline),
            candidate: Counts::sum(candidate),
            candidate_runs: candidate.len(),
            dispersion: dispersion.max(1.0),
            freedom,
        })
    }

    /// Compares the requests of the candidate that took longer than the limit of p95 with the 5% of the baseline's that
    /// may: the control quantile test (docs/statistics.md, "Few requests"). `above` are the baseline's own counts, run
    /// by run, for the dispersion alone. `runs` are all runs of the candidate, with those that had no such request.
    pub(crate) fn over_p95(above: &[Counts], candidate: &[Counts], runs: usize) -> Option<Rates> {
        let rates = Rates::between(above, candidate)?;
        let requests = rates.baseline.requests;
        // The requests from the p95 on, as `percentile_rank` counts.
        let failures = requests - (0.95 * requests).floor();
        Some(Rates { baseline: Counts { failures, requests }, candidate_runs: runs, ..rates })
    }

    /// Whether so many candidate requests that fail at this rate would be significant.
    pub(crate) fn would_show(&self, requests: f64, rate: f64, level: f64) -> bool {
        fisher(self.baseline, Counts { failures: (rate * requests).floor(), requests: requests.floor() }) <= level
    }

    /// These rates with a baseline whose rate is `points` higher.
    pub(crate) fn beyond(&self, points: f64) -> Rates {
        let Counts { failures, requests } = self.baseline;
        let failures = (failures + points / 100.0 * requests).ceil().min(requests);
        Rates { baseline: Counts { failures, requests }, ..*self }
    }

    pub fn change(&self) -> f64 {
        100.0 * (self.candidate.rate() - self.baseline.rate())
    }

    fn is_dispersed(&self) -> bool {
        self.dispersion > 1.0
    }

    /// If the dispersion is an estimate, the error whose normal quantile is the t quantile of `error`.
    fn normal_error(&self, error: f64) -> f64 {
        if !self.is_dispersed() {
            return error;
        }
        2.0 * Normal::cdf(-StudentsT::ppf(1.0 - error / 2.0, self.freedom), 0.0, 1.0)
    }

    /// The confidence interval of the change, from those of both rates by square-and-add (Newcombe 1998, Statistics in
    /// Medicine 17, method 10), with [`Counts::interval`] for Wilson's. Its width is never 0.
    pub fn interval(&self, error: f64) -> Interval {
        let error = self.normal_error(error);
        let [baseline, candidate] =
            [self.baseline, self.candidate].map(|side| side.times(1.0 / self.dispersion).interval(error));
        let (before, now) = (self.baseline.rate(), self.candidate.rate());
        let difference = now - before;
        Interval {
            low: 100.0 * (difference - (now - candidate.low).hypot(baseline.high - before)),
            high: 100.0 * (difference + (candidate.high - now).hypot(before - baseline.low)),
        }
    }

    /// As [`Difference::forecast`](crate::stats::estimate::Difference::forecast), for counts: the rate of the n'
    /// requests that follow n, of which f failed, is beta-binomial, with the mean (f + 1/2) / (n + 1) and the variance
    /// of a share of n n' / (n + n') requests (Jeffreys' prior; Gelman et al., Bayesian Data Analysis, 3rd ed., section
    /// 2.4). A beta distribution with these approximates it.
    pub fn forecast(&self, last_runs: usize, chance: f64) -> Interval {
        let (made, last) = (self.candidate_runs as f64, last_runs as f64);
        if last <= made {
            return Interval { low: self.change(), high: self.change() };
        }
        let seen = self.candidate.times(1.0 / self.dispersion);
        let mean = (seen.failures + 0.5) / (seen.requests + 1.0);
        let further = seen.requests * (last - made) / made;
        let size = seen.requests * further / (seen.requests + further);
        let beta = Beta::new(mean * size, (1.0 - mean) * size);
        let end = |p: f64| {
            let rate = beta.quantile(p);
            100.0 * ((made * self.candidate.rate() + (last - made) * rate) / last - self.baseline.rate())
        };
        Interval { low: end(chance), high: end(1.0 - chance) }
    }

    /// These rates after `last_runs` in all, if the change is `change` then.
    #[must_use]
    pub fn after(&self, last_runs: usize, change: f64) -> Rates {
        let last_runs = last_runs.max(self.candidate_runs);
        let requests = self.candidate.requests * last_runs as f64 / self.candidate_runs as f64;
        let candidate = Counts::of_rate(100.0 * self.baseline.rate() + change, requests);
        let freedom = self.freedom + (last_runs - self.candidate_runs) as f64;
        Rates { candidate, candidate_runs: last_runs, freedom, ..*self }
    }

    /// The smallest rise, in percentage points, that is detectable with 80% power, by the normal approximation at the
    /// rate of all requests and half a failure more, which is never 0.
    pub fn detectable(&self) -> f64 {
        let z = -Normal::ppf(self.normal_error(SIGNIFICANCE) / 2.0, 0.0, 1.0);
        let all = Counts::sum(&[self.baseline, self.candidate]);
        100.0 * (z + POWER_Z) * self.standard_error((all.failures + 0.5) / (all.requests + 1.0))
    }

    /// Of the difference, if both sides have this rate.
    fn standard_error(&self, rate: f64) -> f64 {
        let share = self.dispersion * (1.0 / self.baseline.requests + 1.0 / self.candidate.requests);
        (rate * (1.0 - rate) * share).sqrt()
    }

    /// One-sided: Fisher's exact test, or the t of the quasi-binomial difference if that is less certain.
    pub fn p_value(&self) -> f64 {
        let exact = fisher(self.baseline, self.candidate);
        if !self.is_dispersed() {
            return exact;
        }
        let standard_error = self.standard_error(Counts::sum(&[self.baseline, self.candidate]).rate());
        if standard_error <= 0.0 {
            return exact;
        }
        let t = (self.candidate.rate() - self.baseline.rate()) / standard_error;
        upper_tail(t, self.freedom).max(exact)
    }
}

/// Pearson's statistic of the runs of one side around their common rate.
fn pearson(runs: &[Counts]) -> f64 {
    let rate = Counts::sum(runs).rate();
    if rate <= 0.0 || rate >= 1.0 {
        return 0.0;
    }
    let square = |run: &Counts| (run.failures - run.requests * rate).powi(2) / (run.requests * rate * (1.0 - rate));
    runs.iter().map(square).sum()
}

/// The probability that at least so many of all failures are the candidate's, if both sides have the same rate:
/// Fisher's exact test on one side (1935, Journal of the Royal Statistical Society 98), a hypergeometric tail.
pub fn fisher(baseline: Counts, candidate: Counts) -> f64 {
    let failures = baseline.failures + candidate.failures;
    let requests = baseline.requests + candidate.requests;
    let least = (failures - baseline.requests).max(0.0);
    let most = failures.min(candidate.requests);
    let probability = |of_candidate: f64| {
        (ln_choose(candidate.requests, of_candidate) + ln_choose(baseline.requests, failures - of_candidate)
            - ln_choose(requests, failures))
        .exp()
    };
    let tail = |first: f64, step: f64| {
        let (mut sum, mut at) = (0.0, first);
        while (least..=most).contains(&at) {
            let term = probability(at);
            sum += term;
            if term <= 1e-16 * sum {
                break;
            }
            at += step;
        }
        sum
    };
    // The tail away from the mean falls fast, so it is summed.
    if candidate.failures > failures * candidate.requests / requests {
        tail(candidate.failures, 1.0).min(1.0)
    } else {
        (1.0 - tail(candidate.failures - 1.0, -1.0)).clamp(0.0, 1.0)
    }
}

/// The probability of at most so many counts in the candidate's runs, if the baseline's rate is at most `factor` times
/// theirs: two Poisson rates, whose counts are binomial given their sum (Przyborowski & Wilenski 1940, Biometrika 31).
pub fn fewer(candidate: &[f64], baseline: &[f64], factor: f64) -> f64 {
    let (now, before) = (candidate.iter().sum::<f64>(), baseline.iter().sum::<f64>());
    let exposure = candidate.len() as f64 / factor;
    let share = exposure / (exposure + baseline.len() as f64);
    // The lower tail of the binomial distribution as a beta distribution (DLMF 8.17.5).
    if before <= 0.0 { 1.0 } else { Beta::new(before, now + 1.0).cdf(1.0 - share) }
}

fn ln_choose(n: f64, k: f64) -> f64 {
    ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0)
}

/// The logarithm of the gamma function, above 0: Stirling's series (DLMF 5.11.1) from 10 on, the recurrence below.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut product) = (x, 1.0);
    while x < 10.0 {
        product *= x;
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    let series = (1.0 / 12.0
        - inverse * (1.0 / 360.0 - inverse * (1.0 / 1260.0 - inverse * (1.0 / 1680.0 - inverse / 1188.0))))
        / x;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - product.ln()
}

#[derive(Clone, Copy)]
struct Beta {
    a: f64,
    b: f64,
    ln_scale: f64,
}

impl Beta {
    fn new(a: f64, b: f64) -> Beta {
        Beta { a, b, ln_scale: ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b) }
    }

    /// The regularized incomplete beta function: the continued fraction of DLMF 8.17.22 by Lentz's method in the form
    /// of Thompson & Barnett (1986, Journal of Computational Physics 64).
    fn cdf(self, x: f64) -> f64 {
        let Beta { a, b, ln_scale } = self;
        if x <= 0.0 {
            return 0.0;
        }
        if x >= 1.0 {
            return 1.0;
        }
        // Beyond its mean the fraction converges slowly, but the other tail converges fast.
        if x > (a + 1.0) / (a + b + 2.0) {
            return 1.0 - Beta { a: b, b: a, ln_scale }.cdf(1.0 - x);
        }
        let front = (a * x.ln() + b * (-x).ln_1p() - ln_scale).exp() / a;
        let (mut c, mut d) = (1.0, 1.0 / off_zero(1.0 - (a + b) * x / (a + 1.0)));
        let mut fraction = d;
        for step in 1..10_000 {
            let m = f64::from(step);
            let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
            let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
            let mut change = 1.0;
            for term in [even, odd] {
                d = 1.0 / off_zero(1.0 + term * d);
                c = off_zero(1.0 + term / c);
                change = c * d;
                fraction *= change;
            }
            if (change - 1.0).abs() < 1e-12 {
                break;
            }
        }
        front * fraction
    }

    fn quantile(self, p: f64) -> f64 {
        let (mut low, mut high) = (0.0, 1.0);
        // Each step halves the error, so 40 steps leave 1e-12.
        for _ in 0..40 {
            let middle = f64::midpoint(low, high);
            if self.cdf(middle) < p {
                low = middle;
            } else {
                high = middle;
            }
        }
        f64::midpoint(low, high)
    }
}

fn off_zero(value: f64) -> f64 {
    if value.abs() < 1e-300 { 1e-300 } else { value }
}
