//! Whether runs are fit to be a baseline, and what a comparison with them would miss.

use judge::baseline::file::Baseline;
use judge::model::limits::{JUDGED, Rules};
use judge::model::run::{EndpointName, Metric, Run, Stats, by_name};
use judge::model::text::endpoint_shown;
use judge::stats::estimate::{Difference, estimate};
use report::view::words::{noise_advice, series_of, with_unit};

/// The share of all requests from which on their failures make a baseline useless.
const MOST_FAILURES: f64 = 0.2;

/// An endpoint that fails altogether has so many failures at least: fewer are an accident.
const LEAST_FAILURES: u64 = 3;

/// The statistics of all requests together (`None`), then of each endpoint and of each request of `on_start`.
fn all_series(runs: &[Run]) -> Vec<(EndpointName<'_>, Vec<&Stats>)> {
    let mut series = vec![(None, runs.iter().map(|run| &run.total).collect())];
    let named = by_name(runs.iter().flat_map(Run::endpoints_and_setup));
    series.extend(named.into_iter().map(|(name, stats)| (Some(name), stats)));
    series
}

pub fn estimate_of<'a>(metric: Metric, runs: impl IntoIterator<Item = &'a Stats>) -> f64 {
    let values: Vec<f64> = runs.into_iter().map(|stats| stats.value(metric)).collect();
    estimate(metric.scale(), &values)
}

pub fn requests_and_failures(stats: &[&Stats]) -> [u64; 2] {
    [stats.iter().map(|stats| stats.requests).sum(), stats.iter().map(|stats| stats.failures).sum()]
}

/// Warns of failures that no comparison shows, because the runs that it compares with failed as well.
pub fn failures_of_reference(reference: &Baseline, place: &str) -> Option<String> {
    let all = reference.total(Metric::ErrorRate).filter(|percent| *percent >= 100.0 * MOST_FAILURES);
    if let Some(percent) = all {
        return Some(format!("{percent:.0}% of all requests failed {place}, so the same error rate is no regression"));
    }
    let always_fails = |name: &&str| {
        let requests: f64 = reference.runs(Some(name), Metric::TotalRequests).iter().sum();
        requests >= LEAST_FAILURES as f64
            && reference.runs(Some(name), Metric::ErrorRate).iter().all(|rate| *rate >= 100.0)
    };
    let name = reference.names().find(always_fails)?;
    Some(format!("all requests of {} failed {place}, so their failures are no regression", endpoint_shown(name)))
}

pub fn too_many_failures(runs: &[Run], rules: &Rules) -> Option<String> {
    let series = all_series(runs);
    let [requests, failures] = requests_and_failures(&series[0].1);
    if failures as f64 >= MOST_FAILURES * requests as f64 {
        let percent = 100.0 * failures as f64 / requests as f64;
        return Some(format!("{failures} of {requests} requests failed ({percent:.0}%)"));
    }
    for (endpoint, stats) in &series {
        let [requests, failures] = requests_and_failures(stats);
        if let Some(name) = endpoint.filter(|_| failures == requests && failures >= LEAST_FAILURES) {
            return Some(format!("all {requests} requests of {} failed", endpoint_shown(name)));
        }
    }
    series.into_iter().find_map(|(endpoint, stats)| {
        let bound = rules.limit(endpoint, Metric::ErrorRate)?.bound?;
        let rate = estimate_of(Metric::ErrorRate, stats);
        let series = endpoint.map_or_else(String::new, |name| format!(" of {}", endpoint_shown(name)));
        (rate > bound).then(|| format!("the error rate{series} is {rate:.2}%, and [limits] allows max {bound}%"))
    })
}

/// Warns if the runs vary so much that a comparison of single runs with them would miss a large change.
pub fn noise_of_baseline(runs: &[Run]) -> Option<String> {
    let p95_ms: Vec<f64> = runs.iter().map(|run| run.total.value(Metric::P95)).collect();
    let (last, others) = p95_ms.split_last()?;
    let spread = Difference::between(Metric::P95.scale(), others, &[*last])?;
    let detectable = spread.with_runs(p95_ms.len(), p95_ms.len()).detectable(Metric::P95.worse());
    Some(noise_advice(detectable))
}

/// Warns if a floor in ms allows a fast service more than twice the percentage of its limit.
pub fn wide_floor(runs: &[Run], rules: &Rules) -> Option<String> {
    Metric::OF_ENDPOINTS.into_iter().filter(|metric| metric.is_percentile()).find_map(|metric| {
        let limit = rules.limit(None, metric)?;
        let (percent, floor_ms) = (limit.worsening?, limit.floor?);
        let average_ms = estimate_of(metric, runs.iter().map(|run| &run.total));
        let allowed = 100.0 * floor_ms / average_ms;
        (allowed > 2.0 * percent && average_ms > 0.0).then(|| {
            format!(
                "{metric} is {average_ms:.1} ms, so the floor of {floor_ms} ms in [limits] lets it rise by {allowed:.0}%: lower the floor if such a change matters"
            )
        })
    })
}

/// Warns if the runs are beyond a bound, which no baseline makes good: every comparison would report it.
pub fn broken_bound(runs: &[Run], rules: &Rules) -> Option<String> {
    // `too_many_failures` has checked the bound of the error rate.
    let of_endpoints = |metric: &Metric| Metric::OF_ENDPOINTS.contains(metric) && *metric != Metric::ErrorRate;
    for (name, stats) in all_series(runs) {
        for metric in JUDGED.into_iter().filter(of_endpoints) {
            let Some(bound) = rules.limit(name, metric).and_then(|limit| limit.bound) else { continue };
            let value = estimate_of(metric, stats.iter().copied());
            if metric.worsening(value - bound) > 0.0 {
                let [value, bound] = [value, bound].map(|value| with_unit(metric, value));
                return Some(format!(
                    "{} is {value}, beyond the bound of {bound} in [limits], so comparisons with this baseline will keep reporting it",
                    series_of(name, metric)
                ));
            }
        }
    }
    None
}
