//! Comparisons that the tests of several formats share.

use judge::baseline::chain::Version;
use judge::baseline::file::Baseline;
use judge::model::day::Day;
use judge::model::limits::{Accepted, EndpointLimits, Limit, Limits, Rules};
use judge::model::run::{Load, Machine, Metric, PERCENTILES, Precision, Provenance, Run, Stats, Usage};
use judge::stats::estimate::Interval;
use judge::verdict::compare::{Anchor, compare};
use report::formats::terminal::{self, Screen, Verbosity};
use report::{Background, Confirmation, Format, Report, Sides, Stored, Unjudged, View};

use crate::samples::{self, VERSION_1_0};

pub fn no_verdict(reason: &str) -> Unjudged {
    Unjudged::NoVerdict(reason.to_owned())
}

pub fn provenance() -> Provenance {
    Provenance {
        timestamp: "2026-11-23T12:00:00Z".to_owned(),
        commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        dirty: true,
        load: Some(Load {
            users: 10,
            spawn_rate: 2.5,
            run_time_s: 30,
            warmup_s: 1.5,
            processes: Some(2),
            workers: Some(4),
            has_shape: false,
            args: vec![],
            locust_args: vec!["--tags".to_owned(), "read".to_owned()],
        }),
        machine: Some(Machine { cpu: "CPU <9> & more".to_owned(), cores: 2, os: "Linux".to_owned() }),
        locust: "2.47.0".to_owned(),
        python: "3.13.1".to_owned(),
        packages: "gevent 26.9.0, greenlet 3.5.6".to_owned(),
        gate: "0.2.0 (1f0c3a9b7d21)".to_owned(),
        precision: Precision::Fine,
        mean_users: Some(10.0),
        locustfile: "0123456789abcdef".to_owned(),
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

fn stats(p95_ms: f64) -> Stats {
    Stats { p99_ms: p95_ms.max(400.0), avg_ms: 1000.0 / 9.0, ..samples::stats(p95_ms) }
}

pub fn run(total_ms: f64, endpoints: &[(&str, f64)]) -> Run {
    let endpoints = endpoints.iter().map(|(name, p95_ms)| ((*name).into(), stats(*p95_ms))).collect();
    Run { precision: Precision::Fine, total: stats(total_ms), endpoints, distribution: Vec::new(), ..Run::default() }
}

/// Runs of these p95 of all requests together and of `GET /a`.
pub fn runs(p95_ms: &[f64]) -> Vec<Run> {
    p95_ms.iter().map(|p95_ms| run(*p95_ms, &[("GET /a", *p95_ms)])).collect()
}

pub fn rules(strict: bool, paired: bool) -> Rules {
    Rules { strict, paired, ..Rules::default() }
}

pub struct Case {
    pub name: &'static str,
    pub baseline: Baseline,
    pub runs: Vec<Run>,
    pub rules: Rules,
    /// The versions by which a drift is judged, newest first; empty if none is.
    versions: Vec<Version>,
}

impl Case {
    pub fn new(name: &'static str, baseline: &[Run], runs: Vec<Run>, rules: Rules) -> Case {
        let baseline = Baseline::new(baseline, provenance()).unwrap();
        Case { name, baseline, runs, rules, versions: Vec::new() }
    }

    pub fn render(&self, format: Format) -> String {
        self.report(|report| format.render(&View::of(report)))
    }

    pub fn report<T>(&self, read: impl FnOnce(&Report) -> T) -> T {
        let candidate = provenance();
        let mut comparison = compare(&self.baseline, &self.runs, &self.rules).unwrap();
        let limits = Limits::from([(Metric::P95, Limit::parse(Metric::P95, "25%").unwrap())]);
        let of_drift = Rules { limits, accepted: Vec::new(), ..self.rules.clone() };
        if let Some((version, updates)) = self.versions.split_last() {
            comparison =
                comparison.with_drift(Anchor { version, name: Some("v1.0"), updates }, &self.runs, &of_drift).unwrap();
        }
        read(&Report {
            background: &Background { accept_until: Day::parse("2026-12-31"), ..background() },
            confirmation: None,
            distribution: &[],
            runs: &self.runs,
            histories: &[],
            comparison: &comparison,
            provenance: Sides { baseline: &self.baseline.provenance, candidate: &candidate },
            baseline_origin: "baseline: commit 0123456789ab, 2026-11-23 (perf_baseline.json)".to_owned(),
            file_warnings: Vec::new(),
            warnings: vec!["Locust's version differs: baseline <1>, candidate \"2\"".to_owned()],
            other_details: vec!["load: 10 users".to_owned()],
        })
    }
}

pub const STEADY: [f64; 5] = [300.0, 303.0, 297.0, 301.0, 299.0];

/// Every status, every reason of doubt, and every reason to measure again occur in them.
pub fn cases() -> Vec<Case> {
    let noisy = [300.0, 400.0, 250.0, 330.0, 280.0];
    let mut few = runs(&STEADY);
    for run in &mut few {
        run.endpoints[0].1.requests = 60;
    }
    let mut gone = runs(&STEADY);
    for run in &mut gone {
        run.endpoints.push(("GET /gone".into(), stats(300.0)));
    }
    let mut failing = runs(&[300.0]);
    failing[0].total.failures = 30;
    let single = |p95_ms: f64, ends: Option<Interval>| {
        let mut runs = runs(&[300.0]);
        let stats = &mut runs[0].endpoints[0].1;
        (stats.p95_ms, stats.p95_interval_ms) = (p95_ms, ends);
        runs
    };
    let mut absent =
        Case::new("a metric that the baseline lacks", &runs(&[300.0]), runs(&[300.0]), rules(false, false));
    absent.baseline = Baseline::parse(&VERSION_1_0.replace("\"p99\"", "\"p98\"").replace("15.0", "0.0")).unwrap();
    let mut limited = rules(false, false);
    let limit = |text| Limits::from([(Metric::P95, Limit::parse(Metric::P95, text).unwrap())]);
    limited.endpoint_limits = vec![
        EndpointLimits::new("GET /a", limit("20% and 5ms, max 350ms")),
        EndpointLimits::new("*", limit("max 1ms")),
    ];
    let steady = runs(&STEADY);
    // The p95 of a run lies between two ends far apart, and the mean is the same on both sides.
    let gap = |p95_ms: f64| {
        let mut runs = runs(&[p95_ms; 3]);
        for run in &mut runs {
            run.total.p95_interval_ms = Some(Interval { low: 20.0, high: 200.0 });
            run.distribution = vec![20.0; PERCENTILES.len()];
        }
        runs
    };
    let case = |name, baseline: &[Run], runs, strict, paired| Case::new(name, baseline, runs, rules(strict, paired));
    let new = vec![run(300.0, &[("GET /a", 300.0), ("GET /new", 1000.0 / 3.0)])];
    vec![
        case("a pass", &steady, runs(&[300.0]), false, false),
        case("a failure of several runs", &steady, runs(&[420.0, 415.0]), false, false),
        case("one run over", &steady, runs(&[420.0]), false, false),
        case("a close call", &steady, runs(&[358.0]), false, false),
        case("errors", &steady, failing, false, false),
        case("strict", &runs(&noisy), runs(&[500.0]), true, false),
        case("rounds", &steady, runs(&[310.0, 312.0, 308.0, 311.0, 309.0]), false, true),
        case("new and missing", &gone, new.clone(), false, false),
        case("few requests", &few, runs(&[400.0]), false, false),
        case("not significant", &runs(&noisy), runs(&[390.0]), false, false),
        case("in a gap", &gap(20.0), gap(200.0), false, false),
        case(
            "close after all runs",
            &steady,
            runs(&[300.0, 420.0, 310.0, 400.0, 350.0, 300.0, 450.0, 390.0]),
            false,
            false,
        ),
        case(
            "single runs",
            &single(300.0, Some(Interval { low: 280.0, high: 330.0 })),
            single(420.0, Some(Interval { low: 397.0, high: 480.0 })),
            false,
            false,
        ),
        case(
            "below the limit",
            &single(300.0, Some(Interval { low: 280.0, high: 330.0 })),
            single(420.0, Some(Interval { low: 396.0, high: 480.0 })),
            false,
            false,
        ),
        case("noise unknown", &single(300.0, None), single(420.0, None), false, false),
        case("below resolution", &runs(&[2.0]), rounded(runs(&[2.5])), false, false),
        absent,
        Case { name: "limits of an endpoint", rules: limited, ..case("", &steady, new, false, false) },
        Case {
            name: "exceptions",
            rules: Rules { accepted: exceptions(), ..rules(false, false) },
            ..case("", &steady, runs(&[420.0, 415.0]), false, false)
        },
        Case { versions: versions(), ..case("a drift", &runs(&[360.0; 5]), runs(&[390.0, 391.0]), false, false) },
    ]
}

/// One of each kind of state.
fn exceptions() -> Vec<Accepted> {
    let accepted = |endpoint: Option<&str>, metric, up_to: &str, days_left| Accepted {
        endpoint: endpoint.map(str::to_owned),
        metric,
        up_to: Limit::parse(metric, up_to).unwrap(),
        until: Day::parse("2026-12-31").unwrap(),
        days_left,
        reason: "full-text search, issue 812".to_owned(),
    };
    vec![
        accepted(None, Metric::P95, "45%", 9),
        accepted(Some("GET /a"), Metric::P95, "45%", 37),
        accepted(Some("GET /a"), Metric::P99, "45%", 37),
        accepted(Some("GET /gone"), Metric::P95, "45%", -1),
    ]
}

/// A baseline that was renewed twice.
fn versions() -> Vec<Version> {
    let version = |p95_ms: f64, author: &str, note: &str| Version {
        commit: format!("{p95_ms:040}"),
        day: Day::parse("2026-05-03").unwrap(),
        author: author.to_owned(),
        subject: "Baseline".to_owned(),
        baseline: Baseline::new(&runs(&[p95_ms; 5]), provenance()).unwrap().with_note(note),
    };
    vec![version(360.0, "Bob", "search"), version(330.0, "Ann", "a cache less"), version(300.0, "Ann", "first")]
}

/// Response times as Locust itself rounds them.
fn rounded(runs: Vec<Run>) -> Vec<Run> {
    runs.into_iter().map(|run| Run { precision: Precision::Coarse, ..run }).collect()
}

pub fn case(name: &str) -> Case {
    cases().into_iter().find(|case| case.name == name).unwrap()
}

/// A FAIL by the stored numbers, in three ways: confirmed by rounds, not confirmed by them, and beyond confirmation.
pub fn confirmed<T>(rounds: [&[f64]; 2], read: impl FnOnce(&Report) -> T) -> T {
    let [other, this] = rounds;
    let case = Case::new("rounds", &runs(other), runs(this), rules(false, true));
    let stored = Case::new("stored", &runs(&STEADY), runs(this), rules(false, false));
    stored.report(|stored| {
        let stored = Stored { comparison: stored.comparison, baseline_origin: stored.baseline_origin.clone() };
        let confirmation = Confirmation::Measured(stored);
        case.report(|report| read(&Report { confirmation: Some(&confirmation), ..report.clone() }))
    })
}

/// Runs whose endpoint answers so many bytes.
pub fn answering(bytes: f64) -> Vec<Run> {
    let mut runs = runs(&STEADY);
    for run in &mut runs {
        run.endpoints[0].1.content_bytes = Some(bytes);
    }
    runs
}

/// For people, then for programs; for the terminal without colours.
pub fn in_every_format(report: &Report) -> [(&'static str, String); 6] {
    let view = View::of(report);
    let terminal =
        |verbosity| anstream::adapter::strip_str(&terminal::render(&view, verbosity, Screen::default())).to_string();
    [
        ("terminal", terminal(Verbosity::Verbose)),
        ("quiet", terminal(Verbosity::Quiet)),
        ("Markdown", Format::Markdown.render(&view)),
        ("HTML", Format::Html.render(&view)),
        ("JUnit", Format::Junit.render(&view)),
        ("JSON", Format::Json.render(&view)),
    ]
}

pub fn background() -> Background {
    Background { config: "perf.toml".to_owned(), ..Background::default() }
}
