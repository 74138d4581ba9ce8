//! Locust's `--json-file`: text in, a [`Run`] out. It has no `Aggregated` entry, so that is computed here.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde::Deserialize;

use crate::model::run::{
    MAX_COUNT, PERCENTILES, Precision, REQUEST_Z, Run, Stats, check_endpoints, endpoint_name, flaw, of_every,
};
use crate::model::text::number;
use crate::parse::{other_files, strict_json};
use crate::stats::estimate::{Interval, quantile_ranks};
use crate::stats::histogram::{Bucket, Histogram};

/// One endpoint as `StatsEntry.serialize` of `locust.stats` writes it, without unused keys.
#[derive(Deserialize)]
struct StatsEntry {
    name: String,
    method: Option<String>,
    num_requests: u64,
    num_failures: u64,
    /// Requests without a response time, which a custom client may report.
    #[serde(default)]
    num_none_requests: u64,
    /// In ms.
    total_response_time: f64,
    /// In ms; `null` without a response time.
    #[serde(default)]
    min_response_time: Option<f64>,
    #[serde(default)]
    max_response_time: Option<f64>,
    /// In bytes; absent in a file that was written by hand.
    total_content_length: Option<f64>,
    /// Seconds since 1970.
    start_time: f64,
    /// Seconds since 1970; `null` before the first request.
    last_request_timestamp: Option<f64>,
    /// The number of requests by response time in ms, as rounded by Locust.
    response_times: BTreeMap<String, u64>,
}

pub fn parse(text: &str) -> Result<Run> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    other_files::refuse_other_json(text)?;
    let entries: Vec<StatsEntry> = serde_json::from_str(text).map_err(|error| {
        anyhow!("this is not a JSON result of Locust's --json-file: {}", strict_json::fault(&error))
    })?;
    let parts = read_parts(&entries)?;
    ensure!(!parts.is_empty(), "Locust made no requests: there is nothing to judge");
    let everything = Histogram::merged(parts.iter().map(|part| &part.histogram));
    ensure!(everything.count() > 0, "no request has a response time");
    let elapsed_s = elapsed_s(&parts)?;
    let all: Vec<&StatsEntry> = parts.iter().map(|part| part.entry).collect();
    let distribution = PERCENTILES.iter().map(|percent| everything.percentile(percent / 100.0)).collect();
    let precision = precision(&everything);
    let total = stats(&all, everything, elapsed_s)?;
    check_endpoints(parts.len())?;
    let mut endpoints = Vec::with_capacity(parts.len());
    for EndpointEntry { name, entry, histogram } in parts {
        let stats = stats(&[entry], histogram, elapsed_s).with_context(|| format!("`{}`", name.escape_debug()))?;
        endpoints.push((name, stats));
    }
    Ok(Run { precision, total, endpoints, distribution, extremes_ms: extremes_ms(&entries), ..Run::default() })
}

fn extremes_ms(entries: &[StatsEntry]) -> Option<Interval> {
    let low = entries.iter().filter_map(|entry| entry.min_response_time).reduce(f64::min)?;
    let high = entries.iter().filter_map(|entry| entry.max_response_time).reduce(f64::max)?;
    Some(Interval { low, high })
}

struct EndpointEntry<'a> {
    name: Box<str>,
    entry: &'a StatsEntry,
    histogram: Histogram,
}

fn read_parts(entries: &[StatsEntry]) -> Result<Vec<EndpointEntry<'_>>> {
    let counts = entries.iter().flat_map(|entry| {
        let timed = entry.response_times.values().copied();
        timed.chain([entry.num_requests, entry.num_failures]).map(u128::from)
    });
    ensure!(counts.sum::<u128>() <= u128::from(MAX_COUNT), "it counts more requests than any test makes");
    let mut names = HashSet::new();
    let mut parts = Vec::new();
    for entry in entries.iter().filter(|entry| entry.num_requests > 0) {
        let name = endpoint_name(entry.method.as_deref().unwrap_or(""), &entry.name);
        let about = || format!("`{}`", name.escape_debug());
        ensure!(names.insert(name.clone()), "{} appears twice", about());
        ensure!(
            entry.total_response_time.is_finite() && entry.total_response_time >= 0.0,
            "{}: total_response_time is not a number of 0 or more",
            about()
        );
        let (failures, requests) = (entry.num_failures, entry.num_requests);
        ensure!(failures <= requests, "{}: {failures} failures of {requests} requests: the file is damaged", about());
        let histogram = histogram(&entry.response_times).with_context(about)?;
        check_histogram(entry, &histogram).with_context(about)?;
        parts.push(EndpointEntry { name, entry, histogram });
    }
    Ok(parts)
}

/// Each request that has a response time must be in the histogram, and the sum of the times must be possible given the
/// rounding.
fn check_histogram(entry: &StatsEntry, histogram: &Histogram) -> Result<()> {
    let (timed, requests) = (histogram.count(), entry.num_requests.saturating_sub(entry.num_none_requests));
    ensure!(
        timed == requests,
        "it counts {requests} requests, and has response times for {timed}: the file is damaged"
    );
    let (mut least_ms, mut most_ms) = (0.0, 0.0);
    for Bucket { time_ms, count } in histogram.buckets() {
        let width_ms = Precision::Coarse.resolution_ms(*time_ms).max(Precision::Fine.resolution_ms(*time_ms));
        least_ms += *count as f64 * (time_ms - width_ms).max(0.0);
        most_ms += *count as f64 * (time_ms + width_ms);
    }
    let total_ms = entry.total_response_time;
    ensure!(
        (least_ms..=most_ms).contains(&total_ms),
        "its response times add up to {least_ms:.0} to {most_ms:.0} ms, and total_response_time is {} ms: the file is damaged",
        number(total_ms.round())
    );
    Ok(())
}

/// Like Locust's `total_rps`, throughput counts from the start of the test to the last request of any endpoint, for
/// every endpoint.
fn elapsed_s(parts: &[EndpointEntry]) -> Result<f64> {
    let start_s = parts.iter().map(|part| part.entry.start_time).fold(f64::INFINITY, f64::min);
    let ends = parts.iter().filter_map(|part| part.entry.last_request_timestamp);
    let elapsed_s = ends.fold(f64::NEG_INFINITY, f64::max) - start_s;
    ensure!(
        elapsed_s.is_finite() && elapsed_s > 0.0,
        "the requests span {elapsed_s} s from start_time to last_request_timestamp: the clock was changed during the run, or the file is damaged; run it again"
    );
    Ok(elapsed_s)
}

fn stats(entries: &[&StatsEntry], histogram: Histogram, elapsed_s: f64) -> Result<Stats> {
    let requests: u64 = entries.iter().map(|entry| entry.num_requests).sum();
    let timed = histogram.count();
    // A custom request may have no response time; if none has, Locust's CSV has 0.
    let avg_ms = entries.iter().map(|entry| entry.total_response_time).sum::<f64>() / timed.max(1) as f64;
    let requests_per_sec = requests as f64 / elapsed_s;
    ensure!(flaw(avg_ms).is_none(), "its response times add up to no number");
    ensure!(flaw(requests_per_sec).is_none(), "{requests} requests in {elapsed_s} s are more than can be measured");
    Ok(Stats {
        requests,
        failures: entries.iter().map(|entry| entry.num_failures).sum(),
        p50_ms: histogram.percentile(0.50),
        p95_ms: histogram.percentile(0.95),
        p99_ms: histogram.percentile(0.99),
        avg_ms,
        requests_per_sec,
        p95_interval_ms: quantile_ranks(timed, 0.95, REQUEST_Z).map(|ranks| Interval {
            low: histogram.order_statistic(ranks.low - 1),
            high: histogram.order_statistic(ranks.high - 1),
        }),
        content_bytes: content_bytes(entries, requests),
        histogram,
    })
}

fn content_bytes(entries: &[&StatsEntry], requests: u64) -> Option<f64> {
    let sizes = of_every(entries, |entry| entry.total_content_length);
    let mean = sizes.iter().sum::<f64>() / requests as f64;
    (!sizes.is_empty() && flaw(mean).is_none()).then_some(mean)
}

/// Fine only if a response time shows it, since Locust's own rounding leaves multiples of its resolution.
fn precision(histogram: &Histogram) -> Precision {
    let is_coarse = |time_ms: f64| {
        let steps = time_ms / Precision::Coarse.resolution_ms(time_ms);
        (steps - steps.round()).abs() < 1e-6
    };
    if histogram.buckets().iter().all(|bucket| is_coarse(bucket.time_ms)) { Precision::Coarse } else { Precision::Fine }
}

fn histogram(response_times: &BTreeMap<String, u64>) -> Result<Histogram> {
    let mut buckets = Vec::with_capacity(response_times.len());
    for (time, count) in response_times {
        let time_ms = time.parse().unwrap_or(f64::NAN);
        if let Some(flaw) = flaw(time_ms) {
            bail!("response time `{}` is {flaw}", time.escape_debug());
        }
        buckets.push(Bucket { time_ms, count: *count });
    }
    Ok(Histogram::new(buckets))
}
