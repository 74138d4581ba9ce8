//! The nouns: what a Locust run measured, and under which circumstances.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::mask;
use crate::stats::{Scale, rate_interval_pct};

/// What is measured of each endpoint, named as in the baseline file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    P50,
    P95,
    P99,
    AvgResponseTime,
    RequestsPerSec,
    ErrorRate,
    TotalRequests,
}

impl Metric {
    /// In the order of the table.
    pub const ALL: [Metric; 7] = [
        Metric::P50,
        Metric::P95,
        Metric::P99,
        Metric::AvgResponseTime,
        Metric::RequestsPerSec,
        Metric::ErrorRate,
        Metric::TotalRequests,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Metric::P50 => "p50",
            Metric::P95 => "p95",
            Metric::P99 => "p99",
            Metric::AvgResponseTime => "avg_response_time",
            Metric::RequestsPerSec => "requests_per_sec",
            Metric::ErrorRate => "error_rate",
            Metric::TotalRequests => "total_requests",
        }
    }

    pub fn from_name(name: &str) -> Option<Metric> {
        Metric::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// The unit of a value; a count has none.
    pub fn unit(self) -> &'static str {
        match self {
            Metric::RequestsPerSec => "1/s",
            Metric::ErrorRate => "%",
            Metric::TotalRequests => "",
            _ => "ms",
        }
    }

    /// How runs and sides are set against each other.
    pub fn scale(self) -> Scale {
        if matches!(self, Metric::ErrorRate | Metric::TotalRequests) { Scale::Difference } else { Scale::Ratio }
    }

    /// A percentile of the response time, which Locust rounds.
    pub fn is_percentile(self) -> bool {
        matches!(self, Metric::P50 | Metric::P95 | Metric::P99)
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one run measured of one endpoint, or of all requests together.
/// Every value is finite and not negative; `requests` is at least 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    pub requests: u64,
    pub failures: u64,
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    pub avg_ms: f64,
    pub requests_per_sec: f64,
    /// Where the p95 of what these requests are a sample of lies, at [`REQUEST_Z`]; `None` where they are too few to
    /// tell.
    pub p95_interval_ms: Option<[f64; 2]>,
}

/// Of requests, in all: beyond it a count is no longer exact as a number with a fraction, and nobody makes so many.
pub const MAX_COUNT: u64 = 1 << 53;

/// What keeps a number in a file from being a value that was measured. Far beyond [`MAX_COUNT`] means, and what is drawn
/// from them, are no numbers any more.
pub fn flaw(value: f64) -> Option<&'static str> {
    match value {
        _ if !value.is_finite() || value < 0.0 => Some("not a number from 0 up"),
        _ if value > MAX_COUNT as f64 => Some("more than can be measured"),
        _ => None,
    }
}

/// How sure an interval from the requests of one run is: the normal quantile at 99.95 % on either side, so that among
/// fifty endpoints, two runs of each, one misses in one case of twenty.
pub const REQUEST_Z: f64 = 3.2905;

impl Stats {
    /// The value in the unit of [`Metric::unit`]; `error_rate` is in percent of the requests, 0 to 100.
    pub fn value(&self, metric: Metric) -> f64 {
        match metric {
            Metric::P50 => self.p50_ms,
            Metric::P95 => self.p95_ms,
            Metric::P99 => self.p99_ms,
            Metric::AvgResponseTime => self.avg_ms,
            Metric::RequestsPerSec => self.requests_per_sec,
            Metric::ErrorRate => 100.0 * self.failures as f64 / self.requests as f64,
            Metric::TotalRequests => self.requests as f64,
        }
    }

    /// Where the metric lies of what these requests are a sample of; `None` where they do not tell. That knows nothing
    /// of the noise from run to run.
    pub fn request_interval(&self, metric: Metric) -> Option<[f64; 2]> {
        match metric {
            Metric::P95 => self.p95_interval_ms,
            Metric::ErrorRate => Some(rate_interval_pct(self.value(metric), self.requests as f64, REQUEST_Z)),
            _ => None,
        }
    }
}

/// How finely Locust rounded the response times of a run before it took percentiles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Locust's own: whole ms below 100, then two significant digits (`bucket_response_time` in `locust.stats`).
    #[default]
    Coarse,
    /// Our listener's: three significant digits.
    Fine,
}

impl Precision {
    /// The width in ms of the bucket that a response time falls into.
    pub fn resolution_ms(self, value_ms: f64) -> f64 {
        let magnitude = |digits: f64| 10f64.powf(value_ms.log10().floor() + 1.0 - digits);
        match self {
            Precision::Coarse if value_ms < 100.0 => 1.0,
            Precision::Coarse => magnitude(2.0),
            Precision::Fine if value_ms < 1.0 => 0.001,
            Precision::Fine => magnitude(3.0),
        }
    }
}

/// One finished Locust test.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub precision: Precision,
    /// Locust's `Aggregated`: all requests together.
    pub total: Stats,
    /// By [`endpoint_name`], each name once, in the order of the file; only endpoints with requests.
    pub endpoints: Vec<(Box<str>, Stats)>,
    /// The response time in ms of all requests together at each of [`PERCENTILES`]; empty where no histogram tells it.
    pub distribution: Vec<f64>,
}

/// Where a distribution is kept, in percent: closer together where a limit is likely to lie, few enough for one line.
pub const PERCENTILES: [f64; 17] =
    [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9];

impl Run {
    /// Of several precisions the coarsest rules.
    pub fn coarsest(runs: &[Run]) -> Precision {
        runs.iter().map(|run| run.precision).min().unwrap_or_default()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.endpoints.iter().map(|(name, _)| &**name)
    }

    /// Takes the percentiles of `finer`, another writing of the same run with the same endpoints.
    pub fn take_percentiles(&mut self, finer: Run) {
        let take = |stats: &mut Stats, finer: &Stats| {
            stats.p50_ms = finer.p50_ms;
            stats.p95_ms = finer.p95_ms;
            stats.p99_ms = finer.p99_ms;
            stats.p95_interval_ms = finer.p95_interval_ms;
        };
        self.precision = finer.precision;
        self.distribution = finer.distribution;
        take(&mut self.total, &finer.total);
        let finer: HashMap<Box<str>, Stats> = finer.endpoints.into_iter().collect();
        for (name, stats) in &mut self.endpoints {
            take(stats, &finer[name]);
        }
    }
}

/// Locust's Type and Name as one word: `GET /claims`.
pub fn endpoint_name(method: &str, name: &str) -> Box<str> {
    if method.is_empty() {
        return name.into();
    }
    let mut joined = String::with_capacity(method.len() + 1 + name.len());
    joined.push_str(method);
    joined.push(' ');
    joined.push_str(name);
    joined.into_boxed_str()
}

/// How the service is loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Load {
    pub users: u32,
    /// Users started per second.
    pub spawn_rate: f64,
    pub run_time_s: u64,
    /// From the moment that all users are started to the first request that counts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub warmup_s: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
    /// On their own, where Locust here is but their master.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<u32>,
    /// What the user handed to Locust behind `--`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locust_args: Vec<String>,
}

impl Load {
    /// How many of Locust's workers share it, here or elsewhere; none where one Locust makes it alone.
    pub fn shared_by(&self) -> Option<u32> {
        self.workers.or(self.processes)
    }

    /// As it may be written to a file: without what looks like a secret.
    #[must_use]
    pub fn kept(&self) -> Load {
        Load { locust_args: mask::args(&self.locust_args), ..self.clone() }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} users, {} started per second, {} s", self.users, self.spawn_rate, self.run_time_s)?;
        if is_default(&self.warmup_s) { Ok(()) } else { write!(f, " with {} s of warm-up", self.warmup_s) }
    }
}

/// For what a file leaves out where it says nothing new.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub os: String,
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} cores, {}", self.cpu, self.cores, self.os)
    }
}

/// Where and how numbers were measured. What is not known is absent: a version 1.0 baseline and a bare CSV know little.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// RFC 3339, UTC.
    pub timestamp: String,
    /// The full hash, or `unknown`.
    pub commit: String,
    /// The tree had changes that `commit` does not hold.
    #[serde(default)]
    pub dirty: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
    /// Locust's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locust: Option<String>,
    /// Python's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// Of the percentiles; what does not say so is Locust's own.
    #[serde(default, skip_serializing_if = "is_default")]
    pub precision: Precision,
    /// The locustfile's digest, as `git hash-object` gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locustfile: Option<String>,
}
