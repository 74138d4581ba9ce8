//! The HTML page: read back by a browser's own parser, and opened in a browser.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use scraper::{ElementRef, Html, Selector};
use xtask::baseline::Baseline;
use xtask::compare::{Rules, compare, default_limits};
use xtask::locust_history::{self, History, Point};
use xtask::report::terminal::{self, Verbosity};
use xtask::report::{Cells, Report, html};
use xtask::run::{Load, Machine, Metric, PERCENTILES, Precision, Provenance, Run, Stats};

use crate::support::PATIENCE;

/// What a report rests on.
struct Measured {
    baseline: Baseline,
    runs: Vec<Run>,
    histories: Vec<Result<History, String>>,
    provenance: Provenance,
    rules: Rules,
}

impl Measured {
    fn with<T>(&self, show: impl FnOnce(&Report) -> T) -> T {
        let comparison = compare(&self.baseline, &self.runs, &self.rules).unwrap();
        show(&Report {
            comparison: &comparison,
            distribution: &self.baseline.distribution,
            runs: &self.runs,
            histories: &self.histories,
            provenance: [&self.baseline.provenance, &self.provenance],
            baseline: "baseline: commit 8402e029a80f, 2026-11-20, 3 commits ago (perf_baseline.json)".to_owned(),
            warnings: vec!["Locust's version differs: baseline 2.46.0, candidate 2.47.0".to_owned()],
            details: vec!["results: target/perf/latest".to_owned(), "time: 101.2 s".to_owned()],
        })
    }

    fn page(&self) -> String {
        self.with(html::render)
    }
}

fn provenance() -> Provenance {
    Provenance {
        timestamp: "2026-11-23T14:19:18Z".to_owned(),
        commit: "8402e029a80f21b97cb093cea1ea758e8b4c092a".to_owned(),
        dirty: true,
        load: Some(Load {
            users: 10,
            spawn_rate: 10.0,
            run_time_s: 20,
            warmup_s: 0.0,
            processes: None,
            locust_args: vec![],
        }),
        machine: Some(Machine { cpu: "AMD EPYC".to_owned(), cores: 2, os: "linux x86_64".to_owned() }),
        locust: Some("2.47.0".to_owned()),
        python: Some("3.11.7".to_owned()),
        precision: Precision::Fine,
        locustfile: Some("50b2c961c73c21f2cdc50cb92b32c9eb887bb8ea".to_owned()),
    }
}

/// A service of so many endpoints in five runs on each side; the candidate is slower in some endpoints, and altogether
/// by `slowdown`.
fn measured(names: &[String], slowdown: f64) -> Measured {
    let mut random = fastrand::Rng::with_seed(7);
    let mut run = |slowdown: f64| {
        let mut noise = |spread: f64| (spread * (random.f64() - 0.5)).exp();
        let mut stats = |median_ms: f64, requests: u64, slowdown: f64| Stats {
            requests,
            failures: 0,
            p50_ms: median_ms * slowdown * noise(0.05),
            p95_ms: median_ms * 3.2 * slowdown * noise(0.08),
            p99_ms: median_ms * 5.0 * slowdown * noise(0.15),
            avg_ms: median_ms * 1.3 * slowdown,
            requests_per_sec: requests as f64 / 20.0 * noise(0.02),
            p95_interval_ms: None,
        };
        let total = stats(42.0, 1200 * names.len() as u64 / 5 + 1000, slowdown);
        let endpoints = names.iter().enumerate().map(|(place, name)| {
            let own = if slowdown > 1.0 && place % 7 == 2 { 1.5 } else { slowdown.powf(0.3) };
            (name.as_str().into(), stats(8.0 + 37.0 * (place % 23) as f64, 240, own))
        });
        let endpoints = endpoints.collect();
        // Roughly a logistic distribution of the logarithm.
        let at = |percent: f64| 42.0 * slowdown * (0.39 * (percent / (100.0 - percent)).ln()).exp();
        Run { precision: Precision::Fine, total, endpoints, distribution: PERCENTILES.map(at).to_vec() }
    };
    let former: Vec<Run> = (0..5).map(|_| run(1.0)).collect();
    let mut runs: Vec<Run> = (0..5).map(|_| run(slowdown)).collect();
    if names.len() > 1 {
        // One is new, and one has gone.
        for run in &mut runs {
            let last = run.endpoints.len() - 1;
            run.endpoints[last].0 = "PATCH /an/endpoint/that/is/new".into();
        }
    }
    let rules = Rules {
        limits: default_limits(),
        endpoint_limits: Vec::new(),
        strict: false,
        paired: false,
        min_runs: 1,
        max_runs: 5,
    };
    let baseline = Baseline::new(&former, provenance(), None, None).unwrap();
    let histories = (0..5).map(|run| Ok(history(f64::from(run)))).collect();
    Measured { baseline, runs, histories, provenance: provenance(), rules }
}

fn history(run: f64) -> History {
    let point = |second: u32| {
        let time_s = f64::from(second);
        let wave = 1.0 + 0.1 * (time_s / 3.0 + run).sin();
        let percentiles_ms = (second > 0).then(|| [42.0 * wave, 140.0 * wave, 210.0 * wave * (1.0 + 1.0 / time_s)]);
        Point {
            time_s,
            users: (2.0 * time_s).min(10.0),
            requests_per_sec: 61.0 * wave * (time_s / 5.0).min(1.0),
            failures_per_sec: if second == 12 { 0.4 } else { 0.0 },
            percentiles_ms,
        }
    };
    History { is_windowed: false, points: (0..=20).map(point).collect() }
}

fn names(count: usize) -> Vec<String> {
    let methods = ["GET", "POST", "GET", "PUT", "DELETE"];
    let parts = ["claims", "claims/[id]", "customers/[id]/addresses/[address]", "dashboard", "policies/[id]/documents"];
    (0..count)
        .map(|place| {
            let version = if place < 5 { String::new() } else { format!("/v{}", place / 5) };
            format!("{} /api{version}/{}", methods[place % 5], parts[place % 5])
        })
        .collect()
}

fn select<'a>(page: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    page.select(&Selector::parse(selector).unwrap()).collect()
}

fn text(element: ElementRef) -> String {
    element.text().collect()
}

/// The cells of a table's rows.
fn rows(page: &Html, label: &str) -> Vec<Vec<String>> {
    let rows = select(page, &format!("table[aria-labelledby={label}] tbody tr"));
    rows.into_iter().map(|row| row.child_elements().map(text).collect()).collect()
}

#[test]
fn write_samples() {
    for count in [1, 5, 300] {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("html");
        fs::create_dir_all(&folder).unwrap();
        let start = Instant::now();
        let page = measured(&names(count), if count == 5 { 1.0 } else { 1.35 }).page();
        println!("{count} {} {:?}", page.len(), start.elapsed());
        fs::write(folder.join(format!("{count}.html")), page).unwrap();
    }
}
