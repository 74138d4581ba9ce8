//! A service with several endpoints, before and after it got slower, and its page.

use judge::baseline::file::Baseline;
use judge::model::limits::Rules;
use judge::model::run::{Load, Machine, Metric, PERCENTILES, Precision, Provenance, Run, Stats, Usage};
use judge::parse::locust_history::{History, HistoryPoint, Percentiles};
use judge::verdict::compare::compare;
use report::{Background, FailedRequests, Format, Report, Sides, View};
use scraper::{ElementRef, Html, Selector};

/// The inputs of a report.
pub struct Measured {
    pub baseline: Baseline,
    pub runs: Vec<Run>,
    pub histories: Vec<Result<History, String>>,
    pub provenance: Provenance,
    pub rules: Rules,
    pub failures: Vec<FailedRequests>,
}

impl Measured {
    pub fn with<T>(&self, show: impl FnOnce(&Report) -> T) -> T {
        let comparison = compare(&self.baseline, &self.runs, &self.rules).unwrap();
        let background = Background {
            name: "claims-service".to_owned(),
            commits_between: Some(5),
            baseline_p95_ms: self.baseline.total_runs(Metric::P95).to_vec(),
            baseline_history: Some(history(9.0)),
            failures: self.failures.clone(),
            config: "perf.toml".to_owned(),
            ..Background::default()
        };
        show(&Report {
            comparison: &comparison,
            background: &background,
            confirmation: None,
            distribution: &self.baseline.distribution,
            runs: &self.runs,
            histories: &self.histories,
            provenance: Sides { baseline: &self.baseline.provenance, candidate: &self.provenance },
            baseline_origin: "baseline: commit 8402e029a80f, 2026-11-23, 5 commits ago (perf_baseline.json)".to_owned(),
            file_warnings: Vec::new(),
            warnings: vec!["Locust's version differs: baseline 2.47.0, candidate 2.48.0".to_owned()],
            other_details: vec!["results: target/perf/latest".to_owned(), "time: 101.2 s".to_owned()],
        })
    }

    pub fn page(&self) -> String {
        self.with(|report| Format::Html.render(&View::of(report)))
    }
}

pub fn provenance() -> Provenance {
    Provenance {
        timestamp: "2026-11-23T14:19:18Z".to_owned(),
        commit: "8402e029a80f21b97cb093cea1ea758e8b4c092a".to_owned(),
        dirty: false,
        load: Some(Load {
            users: 10,
            spawn_rate: 10.0,
            run_time_s: 20,
            warmup_s: 0.0,
            processes: None,
            workers: None,
            has_shape: false,
            args: vec![],
            locust_args: vec![],
        }),
        machine: Some(Machine { cpu: "AMD EPYC".to_owned(), cores: 2, os: "linux x86_64".to_owned() }),
        locust: "2.47.0".to_owned(),
        python: "3.11.7".to_owned(),
        packages: String::new(),
        gate: "0.2.0 (1f0c3a9b7d21)".to_owned(),
        precision: Precision::Fine,
        mean_users: Some(10.0),
        locustfile: "50b2c961c73c21f2cdc50cb92b32c9eb887bb8ea".to_owned(),
        locustfile_path: String::new(),
        host: String::new(),
        observed_load: None,
        usage: Usage {
            others_pct: vec![2.5, 9.75],
            cpu_ms_per_request: vec![1.5, 1.25],
            peak_memory_mb: vec![44.5, 123.0],
            ..Usage::default()
        },
    }
}

/// A service with these endpoints in five runs on each side; the candidate is slower in some endpoints, and by `slowdown`
/// altogether.
pub fn measured(names: &[String], slowdown: f64) -> Measured {
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
            ..Stats::default()
        };
        let total = stats(42.0, 1200 * names.len() as u64 / 5 + 1000, slowdown);
        let endpoints = names.iter().enumerate().map(|(place, name)| {
            let own = if slowdown > 1.0 && place % 7 == 2 { 1.5 } else { slowdown.powf(0.3) };
            (name.as_str().into(), stats(8.0 + 37.0 * (place % 23) as f64, 240, own))
        });
        let endpoints = endpoints.collect();
        // Roughly a logistic distribution of the logarithm.
        let at = |percent: f64| 42.0 * slowdown * (0.39 * (percent / (100.0 - percent)).ln()).exp();
        Run {
            precision: Precision::Fine,
            total,
            endpoints,
            distribution: PERCENTILES.map(at).to_vec(),
            ..Run::default()
        }
    };
    let former: Vec<Run> = (0..5).map(|_| run(1.0)).collect();
    let mut runs: Vec<Run> = (0..5).map(|_| run(slowdown)).collect();
    if names.len() > 1 {
        // One endpoint is new, and one is missing.
        for run in &mut runs {
            let last = run.endpoints.len() - 1;
            run.endpoints[last].0 = "PATCH /an/endpoint/that/is/new".into();
        }
    }
    let rules = Rules::default();
    let baseline = Baseline::new(&former, provenance()).unwrap();
    let histories = (0..5).map(|run| Ok(history(f64::from(run)))).collect();
    let provenance = Provenance {
        timestamp: "2026-11-25T09:02:40Z".to_owned(),
        commit: "36338e10c2f9d84fbbf0f4de58cf6ac5b5a4d7be".to_owned(),
        locust: "2.48.0".to_owned(),
        dirty: true,
        ..provenance()
    };
    Measured { baseline, runs, histories, provenance, rules, failures: Vec::new() }
}

fn history(run: f64) -> History {
    let point = |second: u32| {
        let time_s = f64::from(second);
        let wave = 1.0 + 0.1 * (time_s / 3.0 + run).sin();
        let percentiles = (second > 0).then(|| Percentiles {
            p50_ms: 42.0 * wave,
            p95_ms: 140.0 * wave,
            p99_ms: 210.0 * wave * (1.0 + 1.0 / time_s),
        });
        HistoryPoint {
            time_s,
            users: (2.0 * time_s).min(10.0),
            requests_per_sec: 61.0 * wave * (time_s / 5.0).min(1.0),
            failures_per_sec: if second == 12 { 0.4 } else { 0.0 },
            percentiles,
        }
    };
    History { is_windowed: true, points: (0..=20).map(point).collect() }
}

pub fn names(count: usize) -> Vec<String> {
    let methods = ["GET", "POST", "GET", "PUT", "DELETE"];
    let parts = ["claims", "claims/[id]", "customers/[id]/addresses/[address]", "dashboard", "policies/[id]/documents"];
    (0..count)
        .map(|place| {
            let version = if place < 5 { String::new() } else { format!("/v{}", place / 5) };
            format!("{} /api{version}/{}", methods[place % 5], parts[place % 5])
        })
        .collect()
}

/// A service with five endpoints, all of them on both sides.
pub fn of(slowdown: f64, runs: usize) -> Measured {
    let mut measured = measured(&names(5), slowdown);
    measured.runs.truncate(runs);
    measured.histories.truncate(runs);
    without_new(&mut measured);
    measured
}

/// A third of the requests to one endpoint fail.
pub fn failing() -> Measured {
    let mut errors = of(1.1, 3);
    for run in &mut errors.runs {
        run.total.failures = run.total.requests / 15;
        run.endpoints[1].1.failures = run.endpoints[1].1.requests / 3;
    }
    let failure = |endpoint: &str, error: &str, times| FailedRequests {
        endpoint: endpoint.to_owned(),
        error: error.to_owned(),
        times,
        requests: Some(720),
    };
    errors.failures = vec![
        failure("POST /api/claims/[id]", "HTTPError('500 Server Error: Internal Server Error')", 240),
        failure("GET /api/claims", "unfinished", 12),
    ];
    errors
}

/// Gives the endpoint that is new the name of the one that is missing.
fn without_new(measured: &mut Measured) {
    for run in &mut measured.runs {
        let last = run.endpoints.len() - 1;
        run.endpoints[last].0 = names(5)[last].as_str().into();
    }
}

/// A p95 just below its limit, in runs that vary, and no run is left.
pub fn inconclusive() -> Measured {
    let mut measured = measured(&names(5), 1.0);
    measured.runs.truncate(2);
    measured.histories.truncate(2);
    without_new(&mut measured);
    for (run, factor) in measured.runs.iter_mut().zip([1.1, 1.24]) {
        run.total.p95_ms *= factor;
    }
    measured.rules.is_complete = true;
    measured
}

pub fn select<'a>(page: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    page.select(&Selector::parse(selector).unwrap()).collect()
}

pub fn text(element: ElementRef) -> String {
    element.text().collect()
}

/// The cells of a table's rows, with the name of an endpoint, which is once above its rows.
pub fn rows(page: &Html, label: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut name = String::new();
    for row in select(page, &format!("table[aria-labelledby={label}] tbody tr")) {
        let cells: Vec<String> = row.child_elements().map(text).collect();
        if row.attr("class") == Some("group") {
            name = format!("{} ", cells[0]);
        } else {
            rows.push([vec![format!("{name}{}", cells[0])], cells[1..].to_vec()].concat());
        }
    }
    rows
}
