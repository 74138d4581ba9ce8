//! Random numbers, and runs made of them.

use distrs::Normal;
use fastrand::Rng;
use judge::baseline::file::Baseline;
use judge::model::run::{PERCENTILES, Precision, Provenance, REQUEST_Z, Run, Stats};
use judge::stats::estimate::{Interval, Ranks, quantile_ranks};

/// A run that a neighbour hits is so many times as slow.
pub const HIT_FACTOR: f64 = 1.5;

/// The length of a run, in seconds: what its requests are divided by.
const RUN_S: f64 = 60.0;

/// The spread of the response times of one run, as the standard deviation of their logarithm: their p95 is 2.3 times
/// their median.
const REQUEST_SPREAD: f64 = 0.5;

/// A standard normal deviate, by the inverse of its distribution.
pub fn normal(random: &mut Rng) -> f64 {
    // Never 0 or 1, whose deviates are infinite.
    Normal::ppf((random.f64() + f64::EPSILON / 2.0).min(1.0 - f64::EPSILON / 2.0), 0.0, 1.0)
}

/// A factor whose logarithm is normal, with this standard deviation in percent.
pub fn factor(random: &mut Rng, spread_pct: f64) -> f64 {
    (spread_pct / 100.0 * normal(random)).exp()
}

/// How much slower a run is that a neighbour hits with this probability.
pub fn hit(random: &mut Rng, share: f64) -> f64 {
    if random.f64() < share { HIT_FACTOR } else { 1.0 }
}

/// A gamma deviate of a shape of 1 or more (Marsaglia & Tsang 2000, ACM Transactions on Mathematical Software 26); 0 for a
/// shape of 0.
fn gamma(random: &mut Rng, shape: f64) -> f64 {
    if shape < 1.0 {
        return 0.0;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(random);
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && random.f64().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

/// The failures among so many requests. Where they are many, the normal distribution does.
pub fn binomial(random: &mut Rng, requests: u64, rate: f64) -> u64 {
    if rate <= 0.0 {
        return 0;
    }
    let expected = requests as f64 * rate;
    if expected < 50.0 {
        // From one failure to the next by geometric gaps.
        let (mut at, mut failures) = (0.0, 0);
        loop {
            at += (random.f64().max(f64::MIN_POSITIVE).ln() / (-rate).ln_1p()).floor() + 1.0;
            if at > requests as f64 {
                return failures;
            }
            failures += 1;
        }
    }
    let value = expected + (expected * (1.0 - rate)).sqrt() * normal(random);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let value = value.round().clamp(0.0, requests as f64) as u64;
    value
}

/// A run so many times as slow as the plain one, of so many requests that its percentiles vary with the factor alone.
pub fn run(factor: f64) -> Run {
    Run { precision: Precision::Fine, total: stats(factor), ..Run::default() }
}

pub fn stats(factor: f64) -> Stats {
    Stats {
        requests: 10_000,
        failures: 0,
        p50_ms: 100.0 * factor,
        p95_ms: 300.0 * factor,
        p99_ms: 500.0 * factor,
        avg_ms: 120.0 * factor,
        requests_per_sec: 500.0,
        ..Stats::default()
    }
}

/// What about so many log-normal requests show, `factor` times as slow as plain ones. The percentiles are order
/// statistics, so they scatter as those of that many requests do.
pub fn sampled(random: &mut Rng, expected_requests: f64, factor: f64) -> Stats {
    // At that many, a Poisson number is normal enough.
    let requests = (expected_requests + expected_requests.sqrt() * normal(random)).round().max(1.0);
    let rank = |q: f64| (requests * q).floor().min(requests - 1.0) + 1.0;
    let ranks = [0.5, 0.95, 0.99].map(rank);
    // Order statistics of uniform numbers are sums of exponential gaps over their total.
    let gaps = [ranks[0], ranks[1] - ranks[0], ranks[2] - ranks[1], requests + 1.0 - ranks[2]];
    let gaps = gaps.map(|shape| gamma(random, shape));
    let total: f64 = gaps.iter().sum();
    let mut below = 0.0;
    let [p50_ms, p95_ms, p99_ms] = [gaps[0], gaps[1], gaps[2]].map(|gap| {
        below += gap;
        let p = (below / total).clamp(1e-12, 1.0 - 1e-12);
        100.0 * factor * (REQUEST_SPREAD * Normal::ppf(p, 0.0, 1.0)).exp()
    });
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let count = requests as u64;
    Stats {
        requests: count,
        failures: 0,
        p50_ms,
        p95_ms,
        p99_ms,
        avg_ms: p50_ms,
        requests_per_sec: requests / RUN_S,
        ..Stats::default()
    }
}

/// What a service shows whose requests take 20 ms, but for a share of slow ones that take 200 ms.
pub fn bimodal(random: &mut Rng, requests: u64, slow_share: f64, factor: f64) -> Run {
    let slow = binomial(random, requests, slow_share);
    let at = |rank: u64| factor * if rank > requests - slow { 200.0 } else { 20.0 };
    let rank = |q: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
        let rank = (requests as f64 * q) as u64 + 1;
        rank.min(requests)
    };
    let interval = quantile_ranks(requests, 0.95, REQUEST_Z);
    let mut run = run(1.0);
    run.distribution = PERCENTILES.map(|percentile| at(rank(percentile / 100.0))).to_vec();
    run.total = Stats {
        requests,
        failures: 0,
        p50_ms: at(rank(0.5)),
        p95_ms: at(rank(0.95)),
        p99_ms: at(rank(0.99)),
        avg_ms: factor * (200.0 * slow as f64 + 20.0 * (requests - slow) as f64) / requests as f64,
        requests_per_sec: requests as f64 / RUN_S,
        p95_interval_ms: interval.map(|Ranks { low, high }| Interval { low: at(low), high: at(high) }),
        ..Stats::default()
    };
    run
}

pub fn baseline(runs: &[Run]) -> Baseline {
    Baseline::new(runs, Provenance::default()).expect("drawn runs are a baseline")
}
