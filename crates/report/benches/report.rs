//! The cost of a report: the time of all formats, its growth with the endpoints, and the size of the page.
//!
//! `cargo bench -p locust-gate-report --bench report` exits non-zero if a value is over its bound. Without `--bench`, as under
//! `cargo test --all-targets`, it is a smoke run: few endpoints, no bounds.

// A benchmark measures and prints; only the crate itself is pure.
#![allow(clippy::disallowed_macros, clippy::disallowed_methods, clippy::disallowed_types)]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{array, env};

use anyhow::{Result, ensure};
use fastrand::Rng;
use judge::baseline::file::Baseline;
use judge::model::limits::Rules;
use judge::model::run::{Precision, Provenance, Run, Stats};
use judge::parse::locust_history::{History, HistoryPoint, Percentiles};
use judge::verdict::compare::compare;
use report::formats::terminal::{self, Screen, Verbosity};
use report::{Background, Format, Report, Sides, View};

use crate::bounds::{Line, median};

mod bounds;

/// All formats together, of the endpoints of a large service.
const MAX_TIME_MS: f64 = 500.0;
/// An endpoint among many takes at most so many times as long as one among few, in each format.
const MAX_OF_FEW: f64 = 3.0;
/// The page of the endpoints of a large service, in MB.
const MAX_PAGE_MB: f64 = 1.0;

/// On each side.
const RUNS: usize = 5;

/// How many times as many endpoints a report of many has as one of few.
const MANY_PER_FEW: usize = 10;

/// The name of a format, what writes it, and a text that it must have.
type Writer = (&'static str, fn(&Report) -> String, &'static str);

const WRITERS: [Writer; 5] = [
    ("HTML", |report| Format::Html.render(&View::of(report)), "</html>"),
    ("Markdown", |report| Format::Markdown.render(&View::of(report)), "|"),
    ("JSON", |report| Format::Json.render(&View::of(report)), "\"evidence\": "),
    ("JUnit", |report| Format::Junit.render(&View::of(report)), "</testsuites>"),
    ("terminal", |report| terminal::render(&View::of(report), Verbosity::Verbose, Screen::default()), "evidence: "),
];

fn main() -> Result<ExitCode> {
    let is_bench = env::args_os().any(|arg| arg == "--bench");
    let (large, few, repetitions) = if is_bench { (300, 1_000, 11) } else { (30, 10, 1) };
    let mut lines = large_service(large, repetitions)?;
    lines.extend(growth(few, repetitions)?);
    Ok(bounds::exit_code(lines, is_bench))
}

/// The time of each format and of all, and the size of the page.
fn large_service(endpoints: usize, repetitions: usize) -> Result<Vec<Line>> {
    let measured = Measured::new(endpoints)?;
    measured.report(|report| {
        let mut page_bytes = 0;
        for (name, write, part) in WRITERS {
            let text = write(report);
            ensure!(text.contains(part), "{name} is no report:\n{text}");
            if name == "HTML" {
                page_bytes = text.len();
            }
        }
        let times: Vec<[Duration; WRITERS.len()]> =
            (0..repetitions).map(|_| WRITERS.map(|(_, write, _)| time(1, || write(report)))).collect();
        let line = |what: &str, bound, of: &dyn Fn(&[Duration; WRITERS.len()]) -> Duration| Line {
            what: format!("time to report {endpoints} endpoints in {RUNS} runs, {what}"),
            value: Some(median(times.iter().map(|times| 1e3 * of(times).as_secs_f64()).collect())),
            bound,
            unit: "ms",
        };
        let mut lines = vec![line("all formats", Some(MAX_TIME_MS), &|times| times.iter().sum())];
        for (place, (name, ..)) in WRITERS.iter().enumerate() {
            lines.push(line(name, None, &|times| times[place]));
        }
        lines.push(Line {
            what: format!("size of the HTML of {endpoints} endpoints"),
            value: Some(page_bytes as f64 / 1e6),
            bound: Some(MAX_PAGE_MB),
            unit: "MB",
        });
        Ok(lines)
    })
}

/// Few and many right after the other: a busy machine slows both alike.
fn growth(few: usize, repetitions: usize) -> Result<Vec<Line>> {
    let many = few * MANY_PER_FEW;
    let (of_few, of_many) = (Measured::new(few)?, Measured::new(many)?);
    of_few.report(|of_few| {
        of_many.report(|of_many| {
            let line = |(name, write, _): Writer| {
                let ratio = |_| {
                    // So often that as many endpoints are reported.
                    let few_time = time(MANY_PER_FEW, || write(of_few));
                    time(1, || write(of_many)).div_duration_f64(few_time)
                };
                Line {
                    what: format!("time per endpoint of {many} / of {few}, {name}"),
                    value: Some(median((0..repetitions).map(ratio).collect())),
                    bound: Some(MAX_OF_FEW),
                    unit: "x",
                }
            };
            Ok(WRITERS.map(line).into())
        })
    })
}

fn time(passes: usize, pass: impl Fn() -> String) -> Duration {
    let start = Instant::now();
    for _ in 0..passes {
        black_box(pass());
    }
    start.elapsed()
}

/// Both sides of a comparison.
struct Measured {
    baseline: Baseline,
    runs: [Run; RUNS],
    provenance: Provenance,
}

impl Measured {
    /// In a fifth of the endpoints a series is over its limit, so that the findings are long.
    fn new(endpoints: usize) -> Result<Measured> {
        let mut random = Rng::with_seed(endpoints as u64);
        let provenance = Provenance {
            timestamp: "2026-11-23T12:00:00Z".to_owned(),
            commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            ..Provenance::default()
        };
        let medians_ms: Vec<f64> = (0..endpoints).map(|_| 5.0 + 100.0 * random.f64()).collect();
        let mut runs = |slower: f64| -> [Run; RUNS] {
            array::from_fn(|_| {
                let endpoints = medians_ms.iter().enumerate().map(|(number, median_ms)| {
                    let times = if number % 5 == 0 { slower } else { 1.0 };
                    let name = format!("GET /api/v1/orders/{number}/items");
                    (name.into(), stats(median_ms * times * (0.98 + 0.04 * random.f64())))
                });
                Run {
                    precision: Precision::Fine,
                    endpoints: endpoints.collect(),
                    total: stats(55.0),
                    distribution: (1..=20).map(|step| 5.0 * f64::from(step)).collect(),
                    ..Run::default()
                }
            })
        };
        let baseline = Baseline::new(&runs(1.0), provenance.clone())?;
        Ok(Measured { baseline, runs: runs(1.5), provenance })
    }

    fn report<T>(&self, read: impl FnOnce(&Report) -> Result<T>) -> Result<T> {
        let rules = Rules { max_runs: RUNS, ..Rules::default() };
        let point = |second: u32| HistoryPoint {
            time_s: f64::from(second),
            users: 10.0,
            requests_per_sec: 60.0,
            failures_per_sec: 0.0,
            percentiles: Some(Percentiles { p50_ms: 40.0, p95_ms: 180.0, p99_ms: 250.0 }),
        };
        let history = || Ok(History { is_windowed: false, points: (0..60).map(point).collect() });
        read(&Report {
            background: &Background::default(),
            confirmation: None,
            distribution: &self.baseline.distribution,
            runs: &self.runs,
            histories: &array::from_fn::<_, RUNS, _>(|_| history()),
            comparison: &compare(&self.baseline, &self.runs, &rules)?,
            provenance: Sides { baseline: &self.baseline.provenance, candidate: &self.provenance },
            baseline_origin: "baseline: commit 0123456789ab, 2026-11-23 (perf_baseline.json)".to_owned(),
            file_warnings: Vec::new(),
            warnings: Vec::new(),
            other_details: Vec::new(),
        })
    }
}

fn stats(median_ms: f64) -> Stats {
    Stats {
        requests: 1_000,
        failures: 3,
        p50_ms: median_ms,
        p95_ms: median_ms * 2.1,
        p99_ms: median_ms * 3.3,
        avg_ms: median_ms * 1.2,
        requests_per_sec: 1_000.0 / 60.0,
        ..Stats::default()
    }
}
