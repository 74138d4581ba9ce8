//! How long each request takes, which ones fail and which are lost: repeatable
//! by design, and adjustable through environment variables.
//!
//! # Delays
//!
//! With random delays, the 95th percentile of 200 requests would often differ
//! by a tenth from one load test to the next. So the delays are not random. The
//! n-th request of an endpoint takes the quantile at
//! `u = frac(1/2 + n / golden ratio)`, a low-discrepancy sequence called additive
//! recurrence
//! (<https://en.wikipedia.org/wiki/Low-discrepancy_sequence#Additive_recurrence>).
//! Any stretch of it, wherever it starts, covers the interval evenly, so any few
//! hundred requests in a row have nearly the same percentiles.
//!
//! The quantile function is that of the log-logistic distribution
//! (<https://en.wikipedia.org/wiki/Log-logistic_distribution>),
//! `Q(u) = scale * (u / (1 - u))^(1 / shape)`. It is skewed to the right, as
//! response times are, and unlike the log-normal one has a closed form. Here
//! it is written with the two figures that people know about a service, its
//! median and its 95th percentile.

use std::ffi::OsString;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::endpoint::Endpoint;
use crate::settings::{number, text};

const SLOWDOWN_PCT: &str = "DEMO_SLOWDOWN_PCT";
const ERROR_PCT: &str = "DEMO_ERROR_PCT";
const LOST_PCT: &str = "DEMO_LOST_PCT";
const SLOW_ENDPOINT: &str = "DEMO_SLOW_ENDPOINT";
const SLOW_FACTOR: &str = "DEMO_SLOW_FACTOR";

const DEFAULT_SLOW_FACTOR: f64 = 3.0;

/// 2^32 divided by the golden ratio, made odd so that the sequence in 32-bit
/// integers repeats only after 2^32 steps.
const GOLDEN_STEP: u32 = 0x9E37_79B9;
const TWO_POW_32: f64 = 4_294_967_296.0;

/// The distribution has no upper end; cutting 0.5% off both sides keeps a
/// single request from taking seconds.
const U_MIN: f64 = 0.005;
const U_MAX: f64 = 0.995;

/// A delay distribution, given by two of its percentiles.
struct Spread {
    p50_ms: f64,
    p95_ms: f64,
}

fn spread(endpoint: Endpoint) -> Spread {
    let (p50_ms, p95_ms) = match endpoint {
        Endpoint::ListClaims => (45.0, 85.0),
        Endpoint::GetClaim => (20.0, 38.0),
        Endpoint::CreateClaim => (70.0, 125.0),
        Endpoint::Dashboard => (150.0, 260.0),
        Endpoint::Health => (2.0, 3.0),
    };
    Spread { p50_ms, p95_ms }
}

impl Spread {
    fn quantile_ms(&self, u: f64) -> f64 {
        let exponent = logit(u.clamp(U_MIN, U_MAX)) / logit(0.95);
        self.p50_ms * (self.p95_ms / self.p50_ms).powf(exponent)
    }
}

fn logit(u: f64) -> f64 {
    (u / (1.0 - u)).ln()
}

/// The n-th point of the golden-ratio sequence, in [0, 1). Integers are used
/// because a floating-point sum would lose digits as it grows.
fn golden_point(n: u32) -> f64 {
    f64::from(n.wrapping_mul(GOLDEN_STEP).wrapping_add(1 << 31)) / TWO_POW_32
}

/// Returns how many of the first `requests` are picked, when this percentage is.
fn picked(requests: f64, pct: f64) -> f64 {
    (requests * pct / 100.0).round()
}

/// Returns whether the n-th request is picked, as Bresenham's line algorithm would place
/// `pct` steps in 100: it is when the rounded number of those due so far rises.
/// Any number of requests thus has its share, to within one, without clusters.
fn is_picked(n: f64, pct: f64) -> bool {
    picked(n + 1.0, pct) > picked(n, pct)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Served,
    Failing,
    /// Such a request is never answered.
    Lost,
}

/// The failing requests are picked from those that are not lost. Two equal
/// percentages of all would pick the same ones, and none would be seen to fail.
fn fate(n: f64, error_pct: f64, lost_pct: f64) -> Fate {
    if is_picked(n, lost_pct) {
        Fate::Lost
    } else if is_picked(n - picked(n, lost_pct), error_pct) {
        Fate::Failing
    } else {
        Fate::Served
    }
}

/// The fate of one request.
pub struct Turn {
    pub delay: Duration,
    pub fate: Fate,
}

#[derive(Debug)]
pub struct Pace {
    slowdown_factor: f64,
    error_pct: f64,
    lost_pct: f64,
    slow_endpoint: Option<(Endpoint, f64)>,
    /// How many requests each endpoint has had, in the order of the endpoints.
    /// Each has its own count, so that the mix of requests, which does vary,
    /// changes nothing for any one endpoint.
    counts: [AtomicU32; Endpoint::ALL.len()],
}

impl Pace {
    /// Reads the settings; `lookup` is the environment except in tests. The
    /// error is one line that names the variable.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, String> {
        let slowdown_pct = number(&lookup, SLOWDOWN_PCT, 0.0..=100_000.0)?.unwrap_or(0.0);
        Ok(Self {
            slowdown_factor: 1.0 + slowdown_pct / 100.0,
            error_pct: number(&lookup, ERROR_PCT, 0.0..=100.0)?.unwrap_or(0.0),
            lost_pct: number(&lookup, LOST_PCT, 0.0..=100.0)?.unwrap_or(0.0),
            slow_endpoint: slow_endpoint(&lookup)?,
            counts: Default::default(),
        })
    }

    pub fn next_turn(&self, endpoint: Endpoint) -> Turn {
        let n = self.counts[endpoint as usize].fetch_add(1, Ordering::Relaxed);
        let quantile_ms = spread(endpoint).quantile_ms(golden_point(n));
        let delay_ms = quantile_ms * self.factor(endpoint);
        let fate = match endpoint {
            Endpoint::Health => Fate::Served,
            _ => fate(f64::from(n), self.error_pct, self.lost_pct),
        };
        Turn { delay: Duration::from_secs_f64(delay_ms / 1000.0), fate }
    }

    fn factor(&self, endpoint: Endpoint) -> f64 {
        match self.slow_endpoint {
            Some((slow, slow_factor)) if slow == endpoint => self.slowdown_factor * slow_factor,
            _ => self.slowdown_factor,
        }
    }
}

fn slow_endpoint(lookup: &impl Fn(&str) -> Option<OsString>) -> Result<Option<(Endpoint, f64)>, String> {
    let factor = number(lookup, SLOW_FACTOR, 0.01..=1000.0)?;
    let Some(name) = text(lookup, SLOW_ENDPOINT)? else {
        return match factor {
            None => Ok(None),
            Some(_) => Err(format!("{SLOW_FACTOR} has no effect without {SLOW_ENDPOINT}")),
        };
    };
    let endpoint = Endpoint::ALL.into_iter().find(|endpoint| endpoint.name() == name).ok_or_else(|| {
        let known = Endpoint::ALL.map(Endpoint::name).join(", ");
        format!("{SLOW_ENDPOINT} is {name:?}, but must be one of: {known}")
    })?;
    Ok(Some((endpoint, factor.unwrap_or(DEFAULT_SLOW_FACTOR))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(variables: &[(&str, &str)]) -> Result<Pace, String> {
        Pace::from_lookup(|name| {
            let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
            Some(value.into())
        })
    }

    fn first_delay_ms(variables: &[(&str, &str)], endpoint: Endpoint) -> f64 {
        let pace = pace(variables).expect("valid");
        pace.next_turn(endpoint).delay.as_secs_f64() * 1000.0
    }

    fn assert_close(actual: f64, expected: f64, tolerance: f64) {
        let off = (actual - expected).abs();
        assert!(off <= tolerance, "{actual} instead of {expected}");
    }

    #[test]
    fn quantiles_pass_through_median_and_p95() {
        for endpoint in Endpoint::ALL {
            let spread = spread(endpoint);
            assert_close(spread.quantile_ms(0.5), spread.p50_ms, 1e-9);
            assert_close(spread.quantile_ms(0.95), spread.p95_ms, 1e-9);
        }
    }

    #[test]
    fn quantiles_rise_are_right_skewed_and_bounded() {
        for endpoint in Endpoint::ALL {
            let at = |u| spread(endpoint).quantile_ms(u);
            let points: Vec<_> = (1..100).map(|i| at(f64::from(i) / 100.0)).collect();
            assert!(points.is_sorted());
            assert!(at(0.95) - at(0.5) > at(0.5) - at(0.05));
            assert!(at(0.0) > 0.0);
            assert!(at(1.0) < 4.0 * at(0.5));
        }
    }

    #[test]
    fn percentiles_hardly_depend_on_where_a_run_starts() {
        let spread = spread(Endpoint::Dashboard);
        for start in [0, 1, 17, 1_000, 123_456, u32::MAX - 50] {
            let mut delays_ms: Vec<_> =
                (0..200).map(|i| spread.quantile_ms(golden_point(start.wrapping_add(i)))).collect();
            delays_ms.sort_by(f64::total_cmp);
            assert_close(delays_ms[99], 150.0, 3.0);
            assert_close(delays_ms[189], 260.0, 8.0);
        }
    }

    /// The numbers of the requests to which this happens, of the first 1000.
    fn with_fate(wanted: Fate, error_pct: f64, lost_pct: f64) -> Vec<u32> {
        (0..1000).filter(|n| fate(f64::from(*n), error_pct, lost_pct) == wanted).collect()
    }

    #[test]
    fn shares_are_exact_over_1000_requests() {
        for (pct, expected) in [(0.0, 0), (0.1, 1), (5.0, 50), (33.3, 333), (100.0, 1000)] {
            assert_eq!(with_fate(Fate::Failing, pct, 0.0).len(), expected, "{pct}%");
            assert_eq!(with_fate(Fate::Lost, 0.0, pct).len(), expected, "{pct}%");
        }
    }

    #[test]
    fn what_is_picked_does_not_cluster() {
        for picked in [with_fate(Fate::Failing, 5.0, 0.0), with_fate(Fate::Lost, 0.0, 5.0)] {
            assert!(picked.windows(2).all(|pair| pair[1] - pair[0] == 20));
        }
    }

    #[test]
    fn errors_are_a_share_of_what_is_not_lost() {
        assert_eq!(with_fate(Fate::Lost, 10.0, 10.0), with_fate(Fate::Lost, 0.0, 10.0));
        assert_eq!(with_fate(Fate::Failing, 10.0, 10.0).len(), 90);
        assert_eq!(with_fate(Fate::Failing, 100.0, 10.0).len(), 900);
    }

    #[test]
    fn slowdown_applies_to_all_and_slow_factor_to_one() {
        let slowed = [(SLOWDOWN_PCT, "40")];
        assert_close(first_delay_ms(&slowed, Endpoint::ListClaims), 63.0, 1e-3);
        let one_slow = [(SLOWDOWN_PCT, "40"), (SLOW_ENDPOINT, "GET /dashboard")];
        assert_close(first_delay_ms(&one_slow, Endpoint::ListClaims), 63.0, 1e-3);
        assert_close(first_delay_ms(&one_slow, Endpoint::Dashboard), 630.0, 1e-3);
        let doubled = [(SLOW_FACTOR, "2"), (SLOW_ENDPOINT, "GET /dashboard")];
        assert_close(first_delay_ms(&doubled, Endpoint::Dashboard), 300.0, 1e-3);
    }

    #[test]
    fn empty_variables_count_as_unset() {
        let empty = [(SLOWDOWN_PCT, ""), (SLOW_ENDPOINT, " ")];
        assert_close(first_delay_ms(&empty, Endpoint::ListClaims), 45.0, 1e-3);
    }

    #[test]
    fn bad_values_are_one_line_that_names_the_variable() {
        for (name, value) in [
            (SLOWDOWN_PCT, "-1"),
            (SLOWDOWN_PCT, "NaN"),
            (SLOWDOWN_PCT, "inf"),
            (SLOWDOWN_PCT, "40%"),
            (ERROR_PCT, "101"),
            (ERROR_PCT, "five"),
            (LOST_PCT, "-1"),
            (LOST_PCT, "100.1"),
            (SLOW_ENDPOINT, "GET /nowhere"),
            (SLOW_FACTOR, "0"),
            (SLOW_FACTOR, "2"),
        ] {
            let message = pace(&[(name, value)]).expect_err(value);
            assert!(message.starts_with(name), "{message}");
            assert_eq!(message.lines().count(), 1, "{message}");
        }
        let message = pace(&[(SLOW_ENDPOINT, "dashboard")]).expect_err("unknown");
        for endpoint in Endpoint::ALL {
            assert!(message.contains(endpoint.name()), "{message}");
        }
    }
}
