//! Runs, baselines and result files that the tests share.

use std::collections::BTreeMap;

use judge::baseline::file::Baseline;
use judge::model::day::Day;
use judge::model::limits::{Accepted, Limit, Limits, Rules, default_limits};
use judge::model::run::{Metric, Precision, Provenance, Run, Stats};

pub const HEADER: &str = "Type,Name,Request Count,Failure Count,Median Response Time,Average Response Time,Min Response Time,\
    Max Response Time,Average Content Size,Requests/s,Failures/s,50%,66%,75%,80%,90%,95%,98%,99%,99.9%,99.99%,100%";

/// The baseline file as version 1.0 wrote it, with nothing else.
pub const VERSION_1_0: &str = r#"{"version":"1.0","timestamp":"2026-01-27T00:00:00Z","commit":"abc123","metrics":{"p50":120.0,"p95":350.0,"p99":480.0,"avg_response_time":150.0,"requests_per_sec":15.0,"error_rate":0.5,"total_requests":450},"notes":"..."}"#;

pub fn fixture(path: &str) -> Vec<u8> {
    let path = format!("{}/../judge/tests/fixtures/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub fn error(result: anyhow::Result<impl Sized>) -> String {
    match result {
        Ok(_) => panic!("this must be refused"),
        Err(error) => format!("{error:#}"),
    }
}

pub fn row(start: &str) -> String {
    format!("{HEADER}\r\n{start}\r\n")
}

/// A result with these response times in ms and their counts.
pub fn json_of(times: &str) -> String {
    let (mut n, mut total_ms) = (0, 0.0);
    for pair in times.split(',') {
        let (time, count) = pair.split_once(':').unwrap();
        let count: u32 = count.trim().parse().unwrap();
        n += count;
        total_ms += f64::from(count) * time.trim().trim_matches('"').parse::<f64>().unwrap();
    }
    format!(
        r#"[{{"name":"/","method":"GET","num_requests":{n},"num_failures":0,"num_none_requests":0,"total_response_time":{total_ms:.1},"start_time":1.0,"last_request_timestamp":2.0,"response_times":{{{times}}}}}]"#
    )
}

pub fn provenance() -> Provenance {
    Provenance {
        timestamp: "2026-11-23T12:00:00Z".to_owned(),
        commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        ..Baseline::parse(VERSION_1_0).unwrap().provenance
    }
}

/// Leaked, because a comparison borrows them.
pub fn rules(strict: bool) -> &'static Rules {
    rules_with(default_limits(), strict)
}

pub fn rules_with(limits: Limits, strict: bool) -> &'static Rules {
    Box::leak(Box::new(Rules { limits, strict, ..Rules::default() }))
}

/// A run with this p95, otherwise unremarkable.
pub fn stats(p95_ms: f64) -> Stats {
    Stats {
        requests: 450,
        failures: 0,
        p50_ms: 100.0,
        p95_ms,
        p99_ms: 400.0,
        avg_ms: 100.0,
        requests_per_sec: 15.0,
        ..Stats::default()
    }
}

pub fn run(endpoints: &[(&str, f64)]) -> Run {
    Run {
        precision: Precision::Coarse,
        total: stats(300.0),
        endpoints: endpoints.iter().map(|(name, p95_ms)| ((*name).into(), stats(*p95_ms))).collect(),
        ..Run::default()
    }
}

pub fn baseline(metrics: &[(Metric, f64)]) -> Baseline {
    let mut metrics: BTreeMap<Metric, f64> = metrics.iter().copied().collect();
    // Blocking metrics are required.
    metrics.entry(Metric::P95).or_insert(300.0);
    metrics.entry(Metric::ErrorRate).or_insert(0.0);
    let metrics: Vec<String> = metrics.iter().map(|(metric, value)| format!("\"{metric}\":{value}")).collect();
    let text = format!(r#"{{"version":"1.0","timestamp":"","commit":"","metrics":{{{}}}}}"#, metrics.join(","));
    Baseline::parse(&text).unwrap()
}

/// 10,000 requests, so that an error rate is exact to a hundredth of a percent.
pub fn candidate(values: &[(Metric, f64)]) -> Run {
    let mut total = stats(300.0);
    total.requests = 10_000;
    for (metric, value) in values {
        match metric {
            Metric::P50 => total.p50_ms = *value,
            Metric::P95 => total.p95_ms = *value,
            Metric::P99 => total.p99_ms = *value,
            Metric::RequestsPerSec => total.requests_per_sec = *value,
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 10,000")]
            Metric::ErrorRate => total.failures = (*value * 100.0).round() as u64,
            Metric::P95Corrected | Metric::CpuPerRequest => panic!("it is of a whole run"),
            Metric::AvgResponseTime | Metric::TotalRequests => panic!("{metric} is not judged"),
        }
    }
    Run { precision: Precision::Coarse, total, endpoints: vec![], ..Run::default() }
}

pub fn with_limits(limits: &[(Metric, &str)]) -> Limits {
    let mut all = default_limits();
    for (metric, text) in limits {
        all.insert(*metric, Limit::parse(*metric, text).unwrap());
    }
    all
}

pub fn runs_of(p95_ms: &[f64]) -> Vec<Run> {
    p95_ms.iter().map(|value| candidate(&[(Metric::P95, *value)])).collect()
}

/// Runs of one endpoint with these p95, requests and failures.
pub fn runs_with(endpoint: &str, p95_ms: &[f64], requests: u64, failures: u64) -> Vec<Run> {
    let one = |p95_ms: &f64| {
        let mut run = run(&[(endpoint, *p95_ms)]);
        let stats = &mut run.endpoints[0].1;
        (stats.requests, stats.failures, stats.p99_ms) = (requests, failures, p95_ms.max(400.0));
        run
    };
    p95_ms.iter().map(one).collect()
}

/// An endpoint of "" is all requests together.
pub fn accepted(endpoint: &str, metric: Metric, up_to: &str, days_left: i64) -> Accepted {
    Accepted {
        endpoint: (!endpoint.is_empty()).then(|| endpoint.to_owned()),
        metric,
        up_to: Limit::parse(metric, up_to).unwrap(),
        until: Day::parse("2026-12-31").unwrap(),
        days_left,
        reason: "full-text search, issue 812".to_owned(),
    }
}
