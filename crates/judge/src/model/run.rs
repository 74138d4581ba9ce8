//! The core data types: what a Locust run measured, and under which circumstances.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::model::mask;
use crate::stats::counts::Counts;
use crate::stats::estimate::{Interval, Scale, Worse, rate_interval_pct};
use crate::stats::histogram::Histogram;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    P50,
    P95,
    /// The p95 that users arriving on schedule would have seen ([`crate::stats::histogram`]).
    P95Corrected,
    P99,
    AvgResponseTime,
    RequestsPerSec,
    /// In percent of the requests.
    ErrorRate,
    TotalRequests,
    CpuPerRequest,
}

impl Metric {
    pub const ALL: [Metric; 9] = [
        Metric::P50,
        Metric::P95,
        Metric::P95Corrected,
        Metric::P99,
        Metric::AvgResponseTime,
        Metric::RequestsPerSec,
        Metric::ErrorRate,
        Metric::TotalRequests,
        Metric::CpuPerRequest,
    ];

    pub const OF_ENDPOINTS: [Metric; 7] = [
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
            Metric::P95Corrected => "p95_corrected",
            Metric::P99 => "p99",
            Metric::AvgResponseTime => "avg_response_time",
            Metric::RequestsPerSec => "requests_per_sec",
            Metric::ErrorRate => "error_rate",
            Metric::TotalRequests => "total_requests",
            Metric::CpuPerRequest => "cpu_per_request",
        }
    }

    pub fn from_name(name: &str) -> Option<Metric> {
        Metric::ALL.into_iter().find(|metric| metric.name() == name)
    }

    pub fn unit(self) -> &'static str {
        match self {
            Metric::RequestsPerSec => "1/s",
            Metric::ErrorRate => "%",
            Metric::TotalRequests => "",
            _ => "ms",
        }
    }

    pub fn scale(self) -> Scale {
        if matches!(self, Metric::ErrorRate | Metric::TotalRequests) { Scale::Absolute } else { Scale::Relative }
    }

    /// Percentiles are of response times, which Locust rounds.
    pub fn is_percentile(self) -> bool {
        // No `matches!`: a new metric must choose.
        match self {
            Metric::P50 | Metric::P95 | Metric::P95Corrected | Metric::P99 => true,
            Metric::AvgResponseTime
            | Metric::RequestsPerSec
            | Metric::ErrorRate
            | Metric::TotalRequests
            | Metric::CpuPerRequest => false,
        }
    }

    /// Why a value is implausible, if it is ([`flaw`] catches impossible ones). A file is written to the thousandth.
    pub(crate) fn unlikely(self, value: f64) -> Option<&'static str> {
        const DAY_MS: f64 = 86_400_000.0;
        match self {
            _ if self.scale() == Scale::Relative && value > 0.0 && value < 0.000_1 => {
                Some("less than any clock can measure")
            }
            Metric::ErrorRate if value > 100.0 => Some("and no more than 100% can fail"),
            Metric::RequestsPerSec if value > 1e9 => Some("more than any service answers"),
            _ if self.unit() == "ms" && value > DAY_MS => Some("and no request takes more than a day"),
            _ => None,
        }
    }

    /// In percent of the baseline (`None` if that is 0), or in percentage points for `error_rate`.
    pub fn change(self, baseline: f64, candidate: f64) -> Option<f64> {
        match self {
            Metric::ErrorRate => Some(candidate - baseline),
            _ if baseline == 0.0 => None,
            _ => Some((candidate / baseline - 1.0) * 100.0),
        }
    }

    pub fn changed(self, baseline: f64, change: f64) -> f64 {
        match self {
            Metric::ErrorRate => baseline + change,
            _ => baseline * (1.0 + change / 100.0),
        }
    }

    pub fn worse(self) -> Worse {
        if self == Metric::RequestsPerSec { Worse::Lower } else { Worse::Higher }
    }

    /// Turns a difference, candidate minus baseline, into one that is positive if the candidate is worse, and back.
    pub fn worsening(self, difference: f64) -> f64 {
        self.worse().sign() * difference
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one run measured of an endpoint or of all requests together. Every value is finite and not negative; `requests`
/// is at least 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    pub requests: u64,
    pub failures: u64,
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    pub avg_ms: f64,
    pub requests_per_sec: f64,
    /// Of the true p95, at [`REQUEST_Z`]; `None` for too few requests.
    pub p95_interval_ms: Option<Interval>,
    pub content_bytes: Option<f64>,
    pub histogram: Histogram,
}

/// The number of requests that a run must have: with fewer, its p95 is its maximum.
pub const LEAST_REQUESTS: u64 = 20;

/// The largest number of requests in a file. Beyond it a count is no longer exact as a floating-point number.
pub(crate) const MAX_COUNT: u64 = 1 << 53;

/// The number of endpoints in a file. Reports of more take gigabytes.
pub(crate) const MAX_ENDPOINTS: usize = 200_000;

pub(crate) fn check_endpoints(count: usize) -> Result<()> {
    ensure!(
        count <= MAX_ENDPOINTS,
        "it has more than {MAX_ENDPOINTS} endpoints: give requests of one kind the same `name=` in the locustfile"
    );
    Ok(())
}

/// Why a number in a file cannot be a measured value. Far beyond [`MAX_COUNT`], means overflow.
pub(crate) fn flaw(value: f64) -> Option<&'static str> {
    match value {
        _ if !value.is_finite() || value < 0.0 => Some("not a number of 0 or more"),
        _ if value > MAX_COUNT as f64 => Some("more than can be measured"),
        _ => None,
    }
}

/// The normal quantile of an interval from the requests of one run, at 99.95% on either side: among fifty endpoints,
/// with two runs each, one interval misses in one case of twenty.
pub const REQUEST_Z: f64 = 3.2905;

impl Stats {
    /// In the unit of [`Metric::unit`]. A panic for `p95_corrected` and `cpu_per_request`, which only a whole run has.
    pub fn value(&self, metric: Metric) -> f64 {
        match metric {
            Metric::P50 => self.p50_ms,
            Metric::P95 => self.p95_ms,
            Metric::P95Corrected | Metric::CpuPerRequest => unreachable!("{metric} is of a whole run"),
            Metric::P99 => self.p99_ms,
            Metric::AvgResponseTime => self.avg_ms,
            Metric::RequestsPerSec => self.requests_per_sec,
            Metric::ErrorRate => 100.0 * self.failures as f64 / self.requests as f64,
            Metric::TotalRequests => self.requests as f64,
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts { failures: self.failures as f64, requests: self.requests as f64 }
    }

    /// The interval of the true metric, without the noise from run to run; `None` if the requests do not determine one.
    pub(crate) fn request_interval(&self, metric: Metric) -> Option<Interval> {
        match metric {
            Metric::P95 => self.p95_interval_ms,
            Metric::ErrorRate => Some(rate_interval_pct(self.value(metric), self.requests as f64, REQUEST_Z)),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Locust's rounding: whole ms below 100, then two significant digits, and whole seconds from 10 s on
    /// (`bucket_response_time` in `locust.stats`).
    #[default]
    Coarse,
    Fine,
}

impl Precision {
    pub fn resolution_ms(self, value_ms: f64) -> f64 {
        let magnitude = |digits: f64| 10f64.powf(value_ms.log10().floor() + 1.0 - digits);
        match self {
            Precision::Coarse if value_ms < 100.0 => 1.0,
            Precision::Coarse if value_ms >= 10_000.0 => 1000.0,
            Precision::Coarse => magnitude(2.0),
            Precision::Fine if value_ms < 1.0 => 0.001,
            Precision::Fine => magnitude(3.0),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Resolution {
    pub precision: Precision,
    /// How much later than with the baseline the load generator may have noticed an answer.
    pub lateness_ms: f64,
}

impl Resolution {
    /// In ms; 0 for a metric that is no response time.
    pub fn ms(self, metric: Metric, value_ms: f64) -> f64 {
        match metric {
            _ if metric.is_percentile() => self.precision.resolution_ms(value_ms) + self.lateness_ms,
            // A mean is not rounded.
            Metric::AvgResponseTime => self.lateness_ms,
            _ => 0.0,
        }
    }
}

/// An endpoint by Locust's Type and Name; `None` is all requests together, Locust's `Aggregated`.
pub type EndpointName<'a> = Option<&'a str>;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskCalls {
    pub name: String,
    pub calls: u64,
    /// Calls that ended in an exception that no failed request explains.
    pub failures: u64,
    /// The most frequent exception of them, on one line; empty if there is none.
    pub exception: String,
}

/// How late timers fired in Locust's event loops: docs/statistics.md, "The load generator is late too".
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lateness {
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    pub precision: Precision,
    pub total: Stats,
    /// By [`endpoint_name`], each name once, in the order of the file. Each has requests.
    pub endpoints: Vec<(Box<str>, Stats)>,
    /// The response time in ms of all requests together at each of [`PERCENTILES`]; empty without a histogram.
    pub distribution: Vec<f64>,
    /// The requests of `on_start`, by [`setup_name`]. They are in no other statistics of the run.
    pub setup: Vec<(Box<str>, Stats)>,
    pub users_by_class: BTreeMap<String, f64>,
    pub tasks: Vec<TaskCalls>,
    pub lateness: Option<Lateness>,
    /// The mean response time of the requests that ended in the first half of the run, and in the second.
    pub halves_ms: Option<[f64; 2]>,
    /// `None` if the system does not report it, or the gate did not start the service.
    pub cpu: Option<CpuTime>,
    /// The run over time, in the order of time; empty if it is unknown. A baseline does not keep it.
    pub moments: Vec<Moment>,
    /// What is odd about the file, a sentence each. It is judged all the same.
    pub oddities: Vec<String>,
    /// The fastest and the slowest response of all requests together, which no file of Locust's rounds.
    pub extremes_ms: Option<Interval>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CpuTime {
    pub ms_per_request: f64,
    /// Another machine takes another time for the same work.
    pub machine: Option<Machine>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moment {
    /// From the opening of the measured window to the end of this part.
    pub until_s: f64,
    pub requests: u64,
    pub mean_ms: f64,
}

/// Closer together near limits, and few enough for one line of a file.
pub const PERCENTILES: [f64; 17] =
    [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9];

impl Run {
    pub fn coarsest(runs: &[Run]) -> Precision {
        runs.iter().map(|run| run.precision).min().unwrap_or_default()
    }

    /// `None` if the file has no histogram.
    pub fn p95_corrected_ms(&self, expected_interval_ms: f64) -> Option<f64> {
        let histogram = &self.total.histogram;
        (histogram.count() > 0).then(|| histogram.corrected_percentile(0.95, expected_interval_ms))
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.endpoints.iter().map(|(name, _)| &**name)
    }

    pub fn endpoints_and_setup(&self) -> impl Iterator<Item = &(Box<str>, Stats)> {
        self.endpoints.iter().chain(&self.setup)
    }

    /// From `finer`, another file of the same run with the same endpoints.
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

/// The statistics of all runs by endpoint. The first run that has an endpoint gives its place.
pub(crate) fn by_endpoint<'a>(all: impl Iterator<Item = &'a (Box<str>, Stats)>) -> Vec<(&'a str, Vec<&'a Stats>)> {
    let mut named: Vec<(&str, Vec<&Stats>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (name, stats) in all {
        let place = *places.entry(name).or_insert_with(|| {
            named.push((name, Vec::new()));
            named.len() - 1
        });
        named[place].1.push(stats);
    }
    named
}

/// The statistics of all runs by endpoint, in the order of the names.
pub fn by_name<'a>(all: impl Iterator<Item = &'a (Box<str>, Stats)>) -> Vec<(&'a str, Vec<&'a Stats>)> {
    let mut named = by_endpoint(all);
    named.sort_by_key(|(name, _)| *name);
    named
}

/// A value of each item, of all runs for example; none unless every item has one.
pub(crate) fn of_every<T, V>(items: &[T], value: impl Fn(&T) -> Option<V>) -> Vec<V> {
    let values: Vec<V> = items.iter().map_while(value).collect();
    if values.len() == items.len() { values } else { Vec::new() }
}

/// `on_start POST /login`, from the name of the endpoint.
pub fn setup_name(endpoint: &str) -> Box<str> {
    format!("{SETUP_PREFIX}{endpoint}").into()
}

pub fn is_setup(name: &str) -> bool {
    name.starts_with(SETUP_PREFIX)
}

const SETUP_PREFIX: &str = "on_start ";

pub fn endpoint_name(method: &str, name: &str) -> Box<str> {
    if method.is_empty() {
        return name.into();
    }
    format!("{method} {name}").into()
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Load {
    pub users: u32,
    pub spawn_rate: f64,
    /// Ramp-up and warm-up included.
    pub run_time_s: u64,
    /// From the start of the last user to the first request that counts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub warmup_s: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<u32>,
    /// Whether a load shape sets the number of users, so that `users` has no effect.
    #[serde(default, skip_serializing_if = "is_default")]
    pub has_shape: bool,
    /// `[load] args`, which come before `locust_args`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locust_args: Vec<String>,
}

impl Load {
    /// The number of Locust workers, here or elsewhere; `None` if a single Locust makes the load.
    pub fn shared_by(&self) -> Option<u32> {
        self.workers.or(self.processes)
    }

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

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObservedLoad {
    pub users: f64,
    /// From the first row to the last.
    pub length_s: f64,
}

impl ObservedLoad {
    pub(crate) fn check(self) -> Result<()> {
        let is_sound = [self.users, self.length_s].into_iter().all(|value| flaw(value).is_none());
        ensure!(is_sound, "`observed_load` holds a value that is not a number of 0 or more");
        Ok(())
    }
}

/// The circumstances of a measurement. Unknown fields are `None` or empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// In UTC, as in RFC 3339.
    pub timestamp: String,
    pub commit: String,
    #[serde(default)]
    pub dirty: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub locust: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub python: String,
    /// Locust's environment, if the gate installed it: `gevent 26.9.0, greenlet 3.5.6`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub packages: String,
    /// The gate's version and commit: `0.2.0 (1f0c3a9b7d21)`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub gate: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub precision: Precision,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_load: Option<ObservedLoad>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_users: Option<f64>,
    /// The digest of `git hash-object`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub locustfile: String,
    /// From the root; several with commas.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub locustfile_path: String,
    /// The service that ran already, whose commit is unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub usage: Usage,
}

/// Whether a text of a file is the hash of a commit, and so no option of git. Git's short hashes have 7 digits or more.
pub fn is_hash(text: &str) -> bool {
    text.len() >= 7 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// One value for each run, over its measured window; a list is empty if they are unknown. They are not judged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// The percent of the cores that were busy with anything but the service, Locust and the gate, including time that
    /// a hypervisor gave to other virtual machines.
    pub others_pct: Vec<f64>,
    pub cpu_ms_per_request: Vec<f64>,
    /// The highest sum of the RSS of the service's processes, in MB (1,000,000 bytes).
    pub peak_memory_mb: Vec<f64>,
    /// From the beginning of the measured window to its end; 0 if it shrank.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub memory_growth_mb: Vec<f64>,
    /// How often a thread of the service waited for something and let go of its core.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub voluntary_switches_per_request: Vec<f64>,
    /// How often the kernel took its core from a thread of the service.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub involuntary_switches_per_request: Vec<f64>,
    /// How long threads of the service could have run but had no core.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub queued_ms_per_request: Vec<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connections_per_request: Vec<f64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub counters_per_request: BTreeMap<String, Vec<f64>>,
}

impl Usage {
    pub fn joined(of_runs: Vec<Usage>) -> Usage {
        let mut joined = Usage::default();
        for mut usage in of_runs {
            for (all, of_run) in joined.lists().into_iter().zip(usage.lists()) {
                all.append(of_run);
            }
            for (name, values) in usage.counters_per_request {
                joined.counters_per_request.entry(name).or_default().extend(values);
            }
        }
        joined
    }

    pub fn check(&self) -> Result<()> {
        let mut usage = self.clone();
        let listed = usage.lists().into_iter().flatten().map(|value| *value);
        for value in listed.chain(self.counters_per_request.values().flatten().copied()) {
            if let Some(flaw) = flaw(value) {
                bail!("`usage` holds {value}, {flaw}");
            }
        }
        Ok(())
    }

    fn lists(&mut self) -> [&mut Vec<f64>; 8] {
        [
            &mut self.others_pct,
            &mut self.cpu_ms_per_request,
            &mut self.peak_memory_mb,
            &mut self.memory_growth_mb,
            &mut self.voluntary_switches_per_request,
            &mut self.involuntary_switches_per_request,
            &mut self.queued_ms_per_request,
            &mut self.connections_per_request,
        ]
    }
}
