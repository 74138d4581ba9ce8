//! The nouns: what a Locust run measured, and under which circumstances.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::model::mask;
use crate::stats::estimate::{Interval, Scale, Worse, rate_interval_pct};
use crate::stats::histogram::Histogram;

/// A metric of an endpoint or of all requests together, named as in the baseline file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// The median response time, in ms.
    P50,
    /// The response time in ms that 95% of the requests do not exceed.
    P95,
    /// The p95 in ms that users arriving on schedule would have seen, of all requests together
    /// ([`crate::stats::histogram`]).
    P95Corrected,
    /// The response time in ms that 99% of the requests do not exceed.
    P99,
    /// The mean response time, in ms.
    AvgResponseTime,
    /// The throughput, in requests per second.
    RequestsPerSec,
    /// The share of requests that failed, in percent.
    ErrorRate,
    /// The number of requests.
    TotalRequests,
}

impl Metric {
    /// All metrics, in the order of the table.
    pub const ALL: [Metric; 8] = [
        Metric::P50,
        Metric::P95,
        Metric::P95Corrected,
        Metric::P99,
        Metric::AvgResponseTime,
        Metric::RequestsPerSec,
        Metric::ErrorRate,
        Metric::TotalRequests,
    ];

    /// The metrics that each endpoint has, and that [`Stats`] holds, in the order of the table.
    pub const OF_ENDPOINTS: [Metric; 7] = [
        Metric::P50,
        Metric::P95,
        Metric::P99,
        Metric::AvgResponseTime,
        Metric::RequestsPerSec,
        Metric::ErrorRate,
        Metric::TotalRequests,
    ];

    /// Returns the name that files and reports use.
    pub fn name(self) -> &'static str {
        match self {
            Metric::P50 => "p50",
            Metric::P95 => "p95",
            Metric::P95Corrected => "p95_corrected",
            Metric::P99 => "p99",
            Metric::AvgResponseTime => "avg_response_time",
            Metric::RequestsPerSec => "requests_per_sec",
            Metric::ErrorRate => "error_rate",
            Metric::TotalRequests => "total_requests",
        }
    }

    /// Returns the metric of this name.
    pub fn from_name(name: &str) -> Option<Metric> {
        Metric::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// Returns the unit of a value; a count has none.
    pub fn unit(self) -> &'static str {
        match self {
            Metric::RequestsPerSec => "1/s",
            Metric::ErrorRate => "%",
            Metric::TotalRequests => "",
            _ => "ms",
        }
    }

    /// Returns how runs and sides are compared.
    pub fn scale(self) -> Scale {
        if matches!(self, Metric::ErrorRate | Metric::TotalRequests) { Scale::Difference } else { Scale::Ratio }
    }

    /// Returns whether this is a percentile of the response time, which Locust rounds.
    pub fn is_percentile(self) -> bool {
        matches!(self, Metric::P50 | Metric::P95 | Metric::P95Corrected | Metric::P99)
    }

    /// Returns what keeps a value from having been measured, beyond [`flaw`]. A file is written to the thousandth.
    pub(crate) fn unlikely(self, value: f64) -> Option<&'static str> {
        const DAY_MS: f64 = 86_400_000.0;
        match self {
            _ if self.scale() == Scale::Ratio && value > 0.0 && value < 0.000_1 => {
                Some("less than any clock can measure")
            }
            Metric::ErrorRate if value > 100.0 => Some("and no more than 100% can fail"),
            Metric::RequestsPerSec if value > 1e9 => Some("more than any service answers"),
            _ if self.unit() == "ms" && value > DAY_MS => Some("and no request takes more than a day"),
            _ => None,
        }
    }

    /// Returns the change from one value to another: percent of the baseline (`None` where that is 0), for `error_rate`
    /// percentage points.
    pub fn change(self, baseline: f64, candidate: f64) -> Option<f64> {
        match self {
            Metric::ErrorRate => Some(candidate - baseline),
            _ if baseline == 0.0 => None,
            _ => Some((candidate / baseline - 1.0) * 100.0),
        }
    }

    /// Returns the candidate that makes this [`Metric::change`].
    pub fn changed(self, baseline: f64, change: f64) -> f64 {
        match self {
            Metric::ErrorRate => baseline + change,
            _ => baseline * (1.0 + change / 100.0),
        }
    }

    /// Returns the direction in which this gets worse.
    pub fn worse(self) -> Worse {
        if self == Metric::RequestsPerSec { Worse::Lower } else { Worse::Higher }
    }

    /// Returns a difference, candidate minus baseline, counted positive where the candidate is worse; and the other way
    /// round.
    pub fn worsening(self, difference: f64) -> f64 {
        self.worse().sign() * difference
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The measurements of one endpoint, or of all requests together, in one run.
/// Every value is finite and not negative; `requests` is at least 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// The number of requests.
    pub requests: u64,
    /// The number of them that failed.
    pub failures: u64,
    /// The median response time.
    pub p50_ms: f64,
    /// The 95th percentile of the response time.
    pub p95_ms: f64,
    /// The 99th percentile of the response time.
    pub p99_ms: f64,
    /// The mean response time.
    pub avg_ms: f64,
    /// The throughput.
    pub requests_per_sec: f64,
    /// The interval of the true p95 that these requests are a sample of, at [`REQUEST_Z`]; `None` where they are too few
    /// to tell.
    pub p95_interval_ms: Option<Interval>,
    /// The mean size of an answer in bytes; `None` if the file does not have it.
    pub content_bytes: Option<f64>,
    /// The response times; empty if the file has no histogram.
    pub histogram: Histogram,
}

/// The number of requests that a run must have: with fewer, its p95 is its maximum.
pub const LEAST_REQUESTS: u64 = 20;

/// The largest number of requests in a file. Beyond it a count is no longer exact as a floating-point number, and nobody
/// makes so many requests.
pub(crate) const MAX_COUNT: u64 = 1 << 53;

/// The number of endpoints in a file that are judged. Nobody reads so many, and reports of more take gigabytes.
pub(crate) const MAX_ENDPOINTS: usize = 200_000;

/// Refuses a file with more endpoints than [`MAX_ENDPOINTS`].
///
/// # Errors
///
/// Says where they come from.
pub(crate) fn check_endpoints(count: usize) -> Result<()> {
    ensure!(
        count <= MAX_ENDPOINTS,
        "it has more than {MAX_ENDPOINTS} endpoints: give requests to one path one name, by `name=` in the locustfile"
    );
    Ok(())
}

/// Returns what keeps a number in a file from being a measured value. Far beyond [`MAX_COUNT`], means are not numbers any
/// more.
pub(crate) fn flaw(value: f64) -> Option<&'static str> {
    match value {
        _ if !value.is_finite() || value < 0.0 => Some("not a number of 0 or more"),
        _ if value > MAX_COUNT as f64 => Some("more than can be measured"),
        _ => None,
    }
}

/// The confidence of an interval from the requests of one run: the normal quantile at 99.95% on either side, so that
/// among fifty endpoints, with two runs each, one misses in one case of twenty.
pub const REQUEST_Z: f64 = 3.2905;

impl Stats {
    /// Returns the value in the unit of [`Metric::unit`]; `error_rate` is in percent of the requests, 0 to 100.
    ///
    /// # Panics
    ///
    /// `p95_corrected` is of a whole run: see [`Run::p95_corrected_ms`].
    pub fn value(&self, metric: Metric) -> f64 {
        match metric {
            Metric::P50 => self.p50_ms,
            Metric::P95 => self.p95_ms,
            Metric::P95Corrected => unreachable!("p95_corrected is of a whole run"),
            Metric::P99 => self.p99_ms,
            Metric::AvgResponseTime => self.avg_ms,
            Metric::RequestsPerSec => self.requests_per_sec,
            Metric::ErrorRate => 100.0 * self.failures as f64 / self.requests as f64,
            Metric::TotalRequests => self.requests as f64,
        }
    }

    /// Returns the interval of the true metric that these requests are a sample of; `None` where they do not tell. It
    /// knows nothing of the noise from run to run.
    pub(crate) fn request_interval(&self, metric: Metric) -> Option<Interval> {
        match metric {
            Metric::P95 => self.p95_interval_ms,
            Metric::ErrorRate => Some(rate_interval_pct(self.value(metric), self.requests as f64, REQUEST_Z)),
            _ => None,
        }
    }
}

/// The fineness to which response times were rounded before percentiles were taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Locust's own rounding: whole ms below 100, then two significant digits (`bucket_response_time` in
    /// `locust.stats`).
    #[default]
    Coarse,
    /// The listener's rounding: three significant digits.
    Fine,
}

impl Precision {
    /// Returns the width in ms of the bucket that a response time falls into.
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

/// An endpoint by Locust's Type and Name; `None` is all requests together, Locust's `Aggregated`.
pub type Endpoint<'a> = Option<&'a str>;

/// The calls of one task, a method of a class of users, in one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskCalls {
    pub name: String,
    pub calls: u64,
    /// Calls that ended in an exception that no failed request explains.
    pub failures: u64,
    /// The most frequent exception of them, on one line; empty if there is none.
    pub exception: String,
}

/// How late timers fired in the event loops of Locust's processes, over the measured window, in ms. A request waits for
/// such a loop, so no latency is known more exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lateness {
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
}

/// One finished Locust test.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    /// The precision of its response times.
    pub precision: Precision,
    /// All requests together: Locust's `Aggregated`.
    pub total: Stats,
    /// The endpoints with requests, by [`endpoint_name`], each name once, in the order of the file.
    pub endpoints: Vec<(Box<str>, Stats)>,
    /// The response time in ms of all requests together at each of [`PERCENTILES`]; empty where no histogram tells it.
    pub distribution: Vec<f64>,
    /// The requests of `on_start`, by endpoint. They are no part of `total` and `endpoints`.
    pub setup: Vec<(Box<str>, Stats)>,
    /// The mean number of running users of each class; empty if it is unknown.
    pub users_by_class: BTreeMap<String, f64>,
    /// Empty if nothing counted them.
    pub tasks: Vec<TaskCalls>,
    /// `None` for results that were measured without our listener.
    pub lateness: Option<Lateness>,
}

/// The percentiles at which a distribution is kept, in percent: closer together where a limit is likely to lie, and few
/// enough for one line.
pub const PERCENTILES: [f64; 17] =
    [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9];

impl Run {
    /// Returns the coarsest precision, which decides for all of them.
    pub fn coarsest(runs: &[Run]) -> Precision {
        runs.iter().map(|run| run.precision).min().unwrap_or_default()
    }

    /// Returns the p95 in ms that users arriving on schedule would have seen, where one of them asks every so many ms;
    /// `None` where the file has no histogram.
    pub fn p95_corrected_ms(&self, expected_interval_ms: f64) -> Option<f64> {
        let histogram = &self.total.histogram;
        (histogram.count() > 0).then(|| histogram.corrected_percentile(0.95, expected_interval_ms))
    }

    /// Returns the names of the endpoints.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.endpoints.iter().map(|(name, _)| &**name)
    }

    /// Takes over the percentiles of `finer`, another file of the same run with the same endpoints.
    pub fn take_percentiles(&mut self, finer: Run) {
        let take = |stats: &mut Stats, finer: &Stats| {
            stats.p50_ms = finer.p50_ms;
            stats.p95_ms = finer.p95_ms;
            stats.p99_ms = finer.p99_ms;
            stats.p95_interval_ms = finer.p95_interval_ms;
            stats.histogram = finer.histogram.clone();
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

/// Joins Locust's Type and Name to one name: `GET /claims`.
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

/// The load on the service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Concurrent users.
    pub users: u32,
    /// Users started per second.
    pub spawn_rate: f64,
    /// The length of the load, ramp-up and warm-up included.
    pub run_time_s: u64,
    /// The time from the moment that all users are started to the first request that counts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub warmup_s: f64,
    /// The number of Locust processes on this machine that share the load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
    /// The number of workers elsewhere that share the load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<u32>,
    /// Says that a load shape decides on the number of users, so that `users` has no effect.
    #[serde(default, skip_serializing_if = "is_default")]
    pub has_shape: bool,
    /// The arguments for Locust of `[load] args`, which come before those behind `--`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// The arguments after `--`, passed to Locust.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locust_args: Vec<String>,
}

impl Load {
    /// Returns how many Locust workers share the load, here or elsewhere; `None` where one Locust makes it alone.
    pub fn shared_by(&self) -> Option<u32> {
        self.workers.or(self.processes)
    }

    /// Returns the load as it may be written to a file: without what looks like a secret.
    #[must_use]
    pub fn masked(&self) -> Load {
        Load { args: mask::args(&self.args), locust_args: mask::args(&self.locust_args), ..self.clone() }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} users, spawn rate {}/s, {} s", self.users, self.spawn_rate, self.run_time_s)?;
        if is_default(&self.warmup_s) { Ok(()) } else { write!(f, " with {} s of warm-up", self.warmup_s) }
    }
}

/// Returns whether a file can leave the value out.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The machine that a run was measured on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The CPU's model.
    pub cpu: String,
    /// The number of cores that programs can use.
    pub cores: usize,
    /// The operating system and the architecture.
    pub os: String,
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} cores, {}", self.cpu, self.cores, self.os)
    }
}

/// The circumstances of a measurement. Unknown ones are absent: a version 1.0 baseline and a bare CSV say little.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The time in UTC, as RFC 3339 writes it.
    pub timestamp: String,
    /// The full hash of the git commit, or `unknown`.
    pub commit: String,
    /// Says that the working tree had uncommitted changes.
    #[serde(default)]
    pub dirty: bool,
    /// The load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
    /// The machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
    /// Locust's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locust: Option<String>,
    /// Python's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// The version of the gate that measured, and its commit: `0.2.0 (1f0c3a9b7d21)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<String>,
    /// The precision of the percentiles; a file that does not say has Locust's own.
    #[serde(default, skip_serializing_if = "is_default")]
    pub precision: Precision,
    /// The mean number of active users over the measured window, as our listener counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_users: Option<f64>,
    /// The digest of the locustfile, as `git hash-object` gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locustfile: Option<String>,
    /// What was used of the machine, where the gate started the service and the system tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// What was used of the machine while runs were made: a value for each run, in their order. It is shown, not judged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// The share of the machine's cores that was busy with anything but the service, Locust and the gate over the measured
    /// window, in percent. Time that a hypervisor gave to other virtual machines counts.
    #[serde(default)]
    pub others_pct: Vec<f64>,
    /// The CPU time in ms that the service's process group took for each measured request.
    #[serde(default)]
    pub cpu_ms_per_request: Vec<f64>,
    /// The most memory that the service's processes held at a time, in MB of 1,000,000 bytes: the sum of what is resident
    /// of each, so that pages that they share count for each of them.
    #[serde(default)]
    pub peak_memory_mb: Vec<f64>,
}

impl Usage {
    /// Joins those of several runs, in their order.
    pub fn joined(of_runs: Vec<Usage>) -> Usage {
        let mut joined = Usage::default();
        for Usage { others_pct, cpu_ms_per_request, peak_memory_mb } in of_runs {
            joined.others_pct.extend(others_pct);
            joined.cpu_ms_per_request.extend(cpu_ms_per_request);
            joined.peak_memory_mb.extend(peak_memory_mb);
        }
        joined
    }

    /// Refuses what a file says of it where that cannot have been measured.
    ///
    /// # Errors
    ///
    /// Names the value, and what is wrong with it.
    pub fn check(&self) -> Result<()> {
        for value in self.others_pct.iter().chain(&self.cpu_ms_per_request).chain(&self.peak_memory_mb) {
            if let Some(flaw) = flaw(*value) {
                bail!("`usage` holds {value}, {flaw}");
            }
        }
        Ok(())
    }
}
