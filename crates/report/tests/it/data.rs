//! The formats for programs: JSON against its schema, `JUnit` against the grammar of Jenkins's, both with names that
//! somebody made to break them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use boon::{Compiler, SchemaIndex, Schemas};
use expect_test::expect;
use judge::baseline::chain::Version;
use judge::baseline::file::Baseline;
use judge::model::day::Day;
use judge::model::limits::{Accepted, EndpointLimits, Limit, Limits, Rules};
use judge::model::run::{Load, Machine, Metric, PERCENTILES, Precision, Provenance, Run, Stats, Usage};
use judge::model::text::{cut, printable};
use judge::stats::estimate::Interval;
use judge::verdict::compare::Anchor;
use judge::verdict::compare::compare;
use judge::verdict::decision::Presence;
use report::Background;
use report::Report;
use report::formats::terminal::{self, Screen, Verbosity};
use report::formats::{github, json, junit, markdown};
use report::page::html;
use report::view::confirmation::{Confirmation, Stored};
use report::view::content::{Sides, Unjudged, by_severity, finding, findings};
use report::view::further::drift_findings;
use report::view::next::steps;
use report::view::saved::Saved;
use report::view::words::Status;
use roxmltree::{Document, Node};
use serde_json::{Value, json};

use crate::samples::{self, VERSION_1_0};

/// Returns what a command says that could not judge.
fn no_verdict(reason: &str) -> Unjudged {
    Unjudged::NoVerdict(reason.to_owned())
}

// What is reported

fn provenance() -> Provenance {
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
        locust: Some("2.47.0".to_owned()),
        python: Some("3.13.1".to_owned()),
        gate: Some("0.2.0 (1f0c3a9b7d21)".to_owned()),
        precision: Precision::Fine,
        mean_users: Some(10.0),
        locustfile: Some("0123456789abcdef".to_owned()),
        usage: Some(Usage {
            others_pct: vec![2.5, 9.75],
            cpu_ms_per_request: vec![1.5, 1.25],
            peak_memory_mb: vec![44.5, 123.0],
        }),
    }
}

fn stats(p95_ms: f64) -> Stats {
    Stats { p99_ms: p95_ms.max(400.0), avg_ms: 1000.0 / 9.0, ..samples::stats(p95_ms) }
}

fn run(total_ms: f64, endpoints: &[(&str, f64)]) -> Run {
    let endpoints = endpoints.iter().map(|(name, p95_ms)| ((*name).into(), stats(*p95_ms))).collect();
    Run { precision: Precision::Fine, total: stats(total_ms), endpoints, distribution: Vec::new(), ..Run::default() }
}

/// Runs of these p95 of all requests together and of `GET /a`.
fn runs(p95_ms: &[f64]) -> Vec<Run> {
    p95_ms.iter().map(|p95_ms| run(*p95_ms, &[("GET /a", *p95_ms)])).collect()
}

fn rules(strict: bool, paired: bool) -> Rules {
    Rules { strict, paired, ..Rules::default() }
}

/// One comparison, and what it is of.
struct Case {
    name: &'static str,
    baseline: Baseline,
    runs: Vec<Run>,
    rules: Rules,
    /// The versions that a drift is judged by, newest first; empty where none is.
    versions: Vec<Version>,
}

impl Case {
    fn new(name: &'static str, baseline: &[Run], runs: Vec<Run>, rules: Rules) -> Case {
        let baseline = Baseline::new(baseline, provenance(), None, None).unwrap();
        Case { name, baseline, runs, rules, versions: Vec::new() }
    }

    fn report<T>(&self, read: impl FnOnce(&Report) -> T) -> T {
        let candidate = provenance();
        let mut comparison = compare(&self.baseline, &self.runs, &self.rules).unwrap();
        let limits = Limits::from([(Metric::P95, Limit::parse(Metric::P95, "25%").unwrap())]);
        let of_drift = Rules { limits, accepted: Vec::new(), ..self.rules.clone() };
        if let Some((version, updates)) = self.versions.split_last() {
            comparison =
                comparison.with_drift(Anchor { version, name: Some("v1.0"), updates }, &self.runs, &of_drift).unwrap();
        }
        read(&Report {
            background: Background::unknown(),
            confirmation: None,
            distribution: &[],
            runs: &self.runs,
            histories: &[],
            comparison: &comparison,
            provenance: Sides { baseline: &self.baseline.provenance, candidate: &candidate },
            baseline: "baseline: commit 0123456789ab, 2026-11-23 (perf_baseline.json)".to_owned(),
            warnings: vec!["Locust's version differs: baseline <1>, candidate \"2\"".to_owned()],
            details: vec!["load: 10 users".to_owned()],
        })
    }
}

const STEADY: [f64; 5] = [300.0, 303.0, 297.0, 301.0, 299.0];

/// Every status, every doubt, and both reasons to measure again occur in them.
fn cases() -> Vec<Case> {
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
        baseline: Baseline::new(&runs(&[p95_ms; 5]), provenance(), Some(note), None).unwrap(),
    };
    vec![version(360.0, "Bob", "search"), version(330.0, "Ann", "a cache less"), version(300.0, "Ann", "first")]
}

/// By Locust itself.
fn rounded(runs: Vec<Run>) -> Vec<Run> {
    runs.into_iter().map(|run| Run { precision: Precision::Coarse, ..run }).collect()
}

/// What somebody may call an endpoint, by malice or by accident.
pub fn hostile_names() -> Vec<String> {
    let names = [
        "</script><script>alert(1)</script>",
        "<!--",
        "]]>",
        "<![CDATA[",
        "GET /a|b",
        "`code` ```block```",
        "::error::owned",
        "GET /a\n::error::owned\r\n##[error]owned",
        "\0",
        "\u{1b}[31mred\u{1b}[0m\u{1b}]0;title\u{7}",
        "\u{9b}31m",
        "\u{202e}txt.exe\u{2066}\u{61c}\u{200f}",
        "\"quoted\" 'twice'",
        "&amp;&lt;&#0;&unknown;",
        "back\\slash \\u0041 \\n",
        "\u{fffe}\u{ffff}\u{1ffff}\u{2028}\u{2029}\u{feff}\u{7f}\u{85}",
        "${{ secrets.TOKEN }} $(id) %0A",
        "Aggregated",
        "",
        " ",
        "javascript:alert(1)",
        "[a](javascript:alert(1)) ![b](https://example.org/c.png)",
        "https://example.org/?a=b www.example.org",
        "@everyone #1 GH-1 a@example.org",
        "# heading\n\n---\n- list\n> quote",
        "</td></tr></table><h1>PASS</h1>",
        "'\" onmouseover='alert(1)' x=\"",
        "-->",
        "?><?xml version=\"1.0\"?>",
        "<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]>&b;",
        "%25%0D%0A::error::owned",
        "::stop-commands::owned",
        "##vso[task.setvariable variable=a]b",
        "\r\u{8}\u{1b}[2K\u{1b}[1APASS",
        "a\u{200b}b\u{200d}\u{2060}\u{ad}\u{e0041}\u{e007f}",
        "\u{301}\u{301}e\u{301} שלום 😀",
        "=cmd|' /C calc'!A0",
        "\\\\|\\|**bold**~~gone~~",
        "../../etc/passwd",
        "null",
    ];
    names.iter().map(|name| (*name).to_owned()).chain(["x".repeat(10_000), "\u{1b}<".repeat(5_000)]).collect()
}

/// A comparison in which every one of them fails, so that it is in every sentence that names an endpoint.
fn hostile_case(names: &[String]) -> Case {
    let of = |p95_ms: f64| {
        let endpoints: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), p95_ms)).collect();
        run(p95_ms, &endpoints)
    };
    Case::new("hostile", &STEADY.map(of), vec![of(900.0), of(905.0), of(910.0)], rules(false, false))
}

// What every format says

/// For people, then for programs; of the terminal without colours.
fn in_every_format(report: &Report) -> [(&'static str, String); 6] {
    let terminal =
        |verbosity| anstream::adapter::strip_str(&terminal::render(report, verbosity, Screen::default())).to_string();
    [
        ("terminal", terminal(Verbosity::Verbose)),
        ("quiet", terminal(Verbosity::Quiet)),
        ("Markdown", markdown::render(report)),
        ("HTML", html::render(report)),
        ("JUnit", junit::render(report)),
        ("JSON", json::render(report)),
    ]
}

#[test]
fn every_format_has_the_same_headline() {
    let mut said = Vec::new();
    for case in cases() {
        case.report(|report| {
            let headline = report.headline().to_string();
            for (format, text) in &in_every_format(report) {
                let shown = match *format {
                    "terminal" | "quiet" => text.lines().last().unwrap().to_owned(),
                    // Neither escapes a character of these.
                    "Markdown" => text.lines().nth(1).unwrap().replace("\\_", "_").replace("\\[", "["),
                    _ => text.clone(),
                };
                match *format {
                    "terminal" | "quiet" => assert_eq!(shown, headline, "{}, {format}", case.name),
                    "HTML" => assert!(shown.contains(&format!("<title>{}", &headline[..4])), "{}, {format}", case.name),
                    _ => assert!(shown.contains(&headline), "{}, {format}: {shown}", case.name),
                }
            }
            let annotations = github::annotations(report, &github::Places::default());
            let title = headline.replace('%', "%25").replace(':', "%3A").replace(',', "%2C");
            let is_silent = headline.starts_with("PASS") && report.comparison.is_conclusive();
            assert!(annotations.contains(&format!("title={title}::")) || is_silent, "{annotations}");
            said.push(format!("{}: {headline}", case.name));
        });
    }
    expect![[r#"
        a pass: PASS: p95 +0.0% (limit +20%), all metrics within their limits
        a failure of several runs: FAIL: p95 is 39% slower, 300 → 417 ms (limit +20%); 1 of 1 endpoint: GET /a +39%
        one run over: FAIL: p95 is 40% slower, 300 → 420 ms (limit +20%); inconclusive: noise could change the verdict on p95 and GET /a p95
        a close call: PASS: p95 +19% (limit +20%), all metrics within their limits; inconclusive: noise may be hiding a p95 regression
        errors: FAIL: error_rate rose by 6.67 pp, 0.00 → 6.67% (limit +2 pp); inconclusive: noise could change the verdict on error_rate
        strict: FAIL: p95 is 62% slower, 308 → 500 ms (limit +20%); inconclusive: noise could change the verdict on p95 and GET /a p95
        rounds: PASS: p95 +3.3% (limit +20%), all metrics within their limits
        new and missing: FAIL: GET /gone is MISSING: no requests in this run
        few requests: FAIL: p95 is 33% slower, 300 → 400 ms (limit +20%); inconclusive: noise could change the verdict on p95
        not significant: FAIL: p95 is 27% slower, 308 → 390 ms (limit +20%); inconclusive: noise could change the verdict on p95 and GET /a p95
        in a gap: FAIL: p95 is 900% slower, 20.0 → 200 ms (limit +20%); 1 of 1 endpoint: GET /a +900%
        close after all runs: FAIL: p95 is 20.3% slower, 300 → 361 ms (limit +20%); inconclusive: noise could change the verdict on p95
        single runs: PASS: p95 +0.0% (limit +20%), no blocking limit is exceeded; 1 warning: GET /a p95 +40%; inconclusive: noise may be hiding a GET /a p95 regression
        below the limit: PASS: p95 +0.0% (limit +20%), all metrics within their limits
        noise unknown: PASS: p95 +0.0% (limit +20%), all metrics within their limits
        below resolution: PASS: p95 +25% (limit +20%, but no more than rounding), all metrics within their limits
        a metric that the baseline lacks: PASS: p95 -14% (limit +20%), all metrics within their limits
        limits of an endpoint: PASS: p95 +0.0% (limit +20%), no blocking limit is exceeded; 1 warning: GET /new p95 333 ms; inconclusive: noise may be hiding a GET /new p95 regression
        exceptions: PASS: p95 +39% (limit +20%), no blocking limit is exceeded beyond what is accepted; p95 +39% WAIVED until 2026-12-31, GET /a p95 +39% WAIVED until 2026-12-31; 1 exception not used
        a drift: FAIL: p95 drifted +30% since v1.0 of 2026-05-03 (drift limit +25%), by 2 accepted updates"#]].assert_eq(&said.join("\n"));
}

/// A FAIL by the stored numbers, in three ways: confirmed by rounds, not confirmed by them, and beyond confirmation.
fn confirmed<T>(rounds: [&[f64]; 2], read: impl FnOnce(&Report) -> T) -> T {
    let [other, this] = rounds;
    let case = Case::new("rounds", &runs(other), runs(this), rules(false, true));
    let stored = Case::new("stored", &runs(&STEADY), runs(this), rules(false, false));
    stored.report(|stored| {
        let stored = Stored { comparison: stored.comparison, baseline: stored.baseline.clone() };
        let confirmation = Confirmation::Measured(stored);
        case.report(|report| read(&Report { confirmation: Some(&confirmation), ..report.clone() }))
    })
}

#[test]
fn a_confirmation_leads_every_format() {
    let schema = Schema::read();
    let mut said = Vec::new();
    let mut check = |report: &Report| {
        let headline = report.headline().to_string();
        for (format, text) in &in_every_format(report) {
            assert!(text.contains(report.headline().word), "{format}: {text}");
            let shows_stored = text.to_lowercase().contains("stored numbers") || text.contains("\"stored\": {");
            assert!(shows_stored || *format == "quiet", "{format}: {text}");
        }
        let value: Value = serde_json::from_str(&json::render(report)).unwrap();
        schema.assert_accepts(&headline, &value);
        said.push(format!("{}: {headline}", value["confirmation"]["outcome"].as_str().unwrap()));
        said.extend(steps(report).iter().map(|step| format!("  {}: {}", step.what, step.command)));
    };
    confirmed([&[300.0, 301.0, 299.0], &[420.0, 421.0, 419.0]], &mut check);
    confirmed([&[420.0, 421.0, 419.0], &[420.0, 422.0, 418.0]], &mut check);
    confirmed([&[280.0, 300.0, 290.0], &[370.0, 345.0, 350.0]], &mut check);
    let failing = Case::new("stored", &runs(&STEADY), runs(&[420.0, 421.0]), rules(false, false));
    let confirmation = Confirmation::Impossible("git does not know the commit".to_owned());
    failing.report(|report| check(&Report { confirmation: Some(&confirmation), ..report.clone() }));
    expect![[r#"
        confirmed: FAIL, confirmed: p95 is 40% slower, 300 → 420 ms (limit +20%); against the baseline's commit 0123456789ab on this machine (3 rounds); 1 of 1 endpoint: GET /a +40%
          find the commit: cp target/debug/xtask /tmp/ && git bisect start HEAD 0123456789ab && git bisect run /tmp/xtask perf --against 0123456789ab --bisect-exit-codes
          accept it: cargo xtask perf --update-baseline --note "why it is slower"
        not_confirmed: PASS: not confirmed; the machine is slower than when the baseline was recorded (its own commit: p95 300 ms then, 420 ms now); against commit 0123456789ab on this machine (3 rounds): p95 +0.0% (limit +20%), all metrics within their limits
          record a baseline on this machine: cargo xtask perf --update-baseline
        confirmed: FAIL, confirmed: p95 is 22% slower, 290 → 355 ms (limit +20%); against the baseline's commit 0123456789ab on this machine (3 rounds); inconclusive: noise could change the verdict on p95 and GET /a p95
          lengthen the run: cargo xtask perf --against 0123456789ab --run-time 10m
          find the commit: cp target/debug/xtask /tmp/ && git bisect start HEAD 0123456789ab && git bisect run /tmp/xtask perf --against 0123456789ab --bisect-exit-codes
          accept it: cargo xtask perf --update-baseline --note "why it is slower"
        impossible: FAIL, not confirmed: p95 is 40% slower, 300 → 420 ms (limit +20%); 1 of 1 endpoint: GET /a +40%
          find the commit: cp target/debug/xtask /tmp/ && git bisect start HEAD 0123456789ab && git bisect run /tmp/xtask perf --against 0123456789ab --bisect-exit-codes
          accept it: cargo xtask perf --update-baseline --note "why it is slower""#]].assert_eq(&said.join("\n"));
}

#[test]
fn a_pass_says_what_it_rests_on_where_the_circumstances_differ() {
    let case = &cases()[0];
    let ends = |change: fn(&mut Provenance)| {
        let mut candidate = provenance();
        change(&mut candidate);
        case.report(|report| {
            let provenance = Sides { candidate: &candidate, ..report.provenance };
            let headline = Report { provenance, ..report.clone() }.headline().to_string();
            headline.rsplit("; ").next().unwrap().to_owned()
        })
    };
    assert_eq!(ends(|_| ()), "PASS: p95 +0.0% (limit +20%), all metrics within their limits");
    assert_eq!(
        ends(|of| of.machine.as_mut().unwrap().cpu = "another".to_owned()),
        "the baseline was measured with another CPU"
    );
    assert_eq!(
        ends(|of| of.machine.as_mut().unwrap().cores = 4),
        "the baseline was measured with another number of cores"
    );
    assert_eq!(
        ends(|of| (of.locust, of.python) = (Some("2.32.0".to_owned()), Some("3.14.0".to_owned()))),
        "the baseline was measured with another Locust and Python"
    );
    // What is not known is no difference.
    assert!(ends(|of| of.machine = None).starts_with("PASS: "));
}

#[test]
fn an_inconclusive_verdict_says_so_in_every_format() {
    for case in cases() {
        case.report(|report| {
            let is_settled = report.comparison.unsettled().next().is_none();
            assert_eq!(report.comparison.is_conclusive(), is_settled, "{}", case.name);
            for (format, text) in &in_every_format(report) {
                let says = text.contains("inconclusive: noise");
                assert_eq!(says, !is_settled, "{}, {format}: {text}", case.name);
            }
            let value: Value = serde_json::from_str(&json::render(report)).unwrap();
            assert_eq!(value["conclusive"], json!(report.comparison.is_conclusive()), "{}", case.name);
        });
    }
}

#[test]
fn findings_are_the_worst_first_in_every_format() {
    for case in cases() {
        case.report(|report| {
            let sorted = findings(report.comparison);
            assert!(sorted.is_sorted_by(|a, b| by_severity(a, b).is_le()), "{}", case.name);
            let texts: Vec<String> = sorted.iter().map(|row| finding(row)).collect();
            let value: Value = serde_json::from_str(&json::render(report)).unwrap();
            let in_json = value["findings"].as_array().unwrap().iter().map(|of| of["text"].as_str().unwrap());
            assert!(in_json.eq(texts.iter().map(String::as_str)), "{}", case.name);
            let quiet = &in_every_format(report)[1].1;
            let places: Vec<usize> = texts.iter().map(|text| quiet.find(text.as_str()).unwrap()).collect();
            assert!(places.is_sorted(), "{}: {quiet}", case.name);
        });
    }
}

#[test]
fn many_endpoints_make_no_format_longer_but_the_json() {
    let sizes = [2_100, 3_000].map(|count| {
        let names: Vec<String> = (0..count).map(|number| format!("GET /{number:05}")).collect();
        let mut case = hostile_case(&names);
        // The last one is the worst.
        for run in &mut case.runs {
            run.endpoints.last_mut().unwrap().1.p95_ms *= 3.0;
        }
        case.report(|report| {
            let worst = format!("GET /{:05}", count - 1);
            let says = format!(
                "f {count} endpoints the 2000 worst are shown: all of them are in the JSON (--report perf.json)"
            );
            in_every_format(report).map(|(format, text)| {
                let text = text.replace('\\', "");
                assert!(text.contains(&worst) && text.contains(&says), "{format} of {count} endpoints");
                if format == "JSON" {
                    let all = names.iter().filter(|name| text.contains(*name)).count();
                    assert_eq!(all, count);
                }
                (format, text.len())
            })
        })
    });
    for ((format, few), (_, many)) in sizes[0].into_iter().zip(sizes[1]) {
        assert!(format == "JSON" || many < few + few / 10, "{format}: {many} bytes after {few}");
    }
}

#[test]
fn what_next_depends_on_the_case() {
    let mut said = Vec::new();
    for case in cases() {
        case.report(|report| {
            let steps = steps(report);
            assert!((1..=3).contains(&steps.len()), "{}", case.name);
            for (format, text) in &in_every_format(report) {
                let is_there = text.contains(&steps[0].command) || ["quiet", "JUnit", "JSON", "HTML"].contains(format);
                assert!(is_there, "{}, {format}: {text}", case.name);
            }
            let steps: Vec<String> = steps.iter().map(|step| format!("  {}: {}", step.what, step.command)).collect();
            said.push(format!("{}:\n{}", case.name, steps.join("\n")));
        });
    }
    expect![[r#"
        a pass:
          nothing to do; see every endpoint: cargo xtask perf target/perf/latest --verbose
        a failure of several runs:
          rule out the machine: cargo xtask perf --confirm
          find the commit: cp target/debug/xtask /tmp/ && git bisect start HEAD 0123456789ab && git bisect run /tmp/xtask perf --against 0123456789ab --bisect-exit-codes
          accept it: cargo xtask perf --update-baseline --note "why it is slower"
        one run over:
          make more runs: cargo xtask perf --min-runs 2 --max-runs 5
          rule out the machine: cargo xtask perf --confirm
          accept it: cargo xtask perf --update-baseline --note "why it is slower"
        a close call:
          lengthen the run: cargo xtask perf --against 0123456789ab --run-time 9m
        errors:
          see the errors: head target/perf/latest/run-1/perf_results_failures.csv
          make more runs: cargo xtask perf --min-runs 2 --max-runs 5
          rule out the machine: cargo xtask perf --confirm
        strict:
          lengthen the run: cargo xtask perf --against 0123456789ab --run-time 80s
          rule out the machine: cargo xtask perf --confirm
          accept it: cargo xtask perf --update-baseline --note "why it is slower"
        rounds:
          nothing to do; see every endpoint: cargo xtask perf target/perf/latest --verbose
        new and missing:
          rule out the machine: cargo xtask perf --confirm
          find the commit: cp target/debug/xtask /tmp/ && git bisect start HEAD 0123456789ab && git bisect run /tmp/xtask perf --against 0123456789ab --bisect-exit-codes
          accept it: cargo xtask perf --update-baseline --note "why it is slower"
        few requests:
          make more runs: cargo xtask perf --min-runs 2 --max-runs 5
          rule out the machine: cargo xtask perf --confirm
          accept it: cargo xtask perf --update-baseline --note "why it is slower"
        not significant:
          lengthen the run: cargo xtask perf --against 0123456789ab --run-time 10m
          rule out the machine: cargo xtask perf --confirm
          accept it: cargo xtask perf --update-baseline --note "why it is slower"
        in a gap:
          rule out the machine: cargo xtask perf --confirm
          find the commit: cp target/debug/xtask /tmp/ && git bisect start HEAD 0123456789ab && git bisect run /tmp/xtask perf --against 0123456789ab --bisect-exit-codes
          accept it: cargo xtask perf --update-baseline --note "why it is slower"
        close after all runs:
          lengthen the run: cargo xtask perf --against 0123456789ab --run-time 10m
          rule out the machine: cargo xtask perf --confirm
          accept it: cargo xtask perf --update-baseline --note "why it is slower"
        single runs:
          make more runs: cargo xtask perf --min-runs 2 --max-runs 5
          rule out the machine: cargo xtask perf --against 0123456789ab
          record a baseline of several runs: cargo xtask perf --update-baseline
        below the limit:
          record a baseline of several runs: cargo xtask perf --update-baseline
        noise unknown:
          record a baseline of several runs: cargo xtask perf --update-baseline
        below resolution:
          record a baseline of several runs: cargo xtask perf --update-baseline
        a metric that the baseline lacks:
          record a baseline of several runs: cargo xtask perf --update-baseline
        limits of an endpoint:
          make more runs: cargo xtask perf --min-runs 2 --max-runs 5
          rule out the machine: cargo xtask perf --against 0123456789ab
          look at one endpoint: cargo xtask perf target/perf/latest --verbose | grep -F 'GET /new'
        exceptions:
          nothing to do; see every endpoint: cargo xtask perf target/perf/latest --verbose
        a drift:
          see who accepted what, and why: cargo xtask history"#]].assert_eq(&said.join("\n"));
}

#[test]
fn a_first_baseline_is_good_news_in_every_format() {
    let saved = Saved::new(&cases()[0].baseline, "perf_baseline.json");
    let unjudged = Unjudged::BaselineSaved(saved);
    let screen = Screen::default();
    let terminal = anstream::adapter::strip_str(&terminal::render_unjudged(&unjudged, screen)).to_string();
    expect![[r#"
        p50                   100 ms
        p95                   300 ms  (297 to 303 ms)
        p99                   400 ms
        error_rate             0.00%
        requests_per_sec      15.0/s
        next: commit the baseline: git add perf_baseline.json && git commit -m "Performance baseline"
        next: compare with it, after the next change: cargo xtask perf
        BASELINE SAVED: p50 100 ms, p95 300 ms (297 to 303 ms), p99 400 ms, error_rate 0.00% from 5 runs; commit perf_baseline.json
    "#]].assert_eq(&terminal);
    expect![[r#"
        <!-- cargo xtask perf -->
        ## ✅ BASELINE SAVED

        p50 100 ms, p95 300 ms (297 to 303 ms), p99 400 ms, error\_rate 0.00% from 5 runs; commit perf\_baseline.json

        | metric | baseline | spread of 5 runs |
        |:--|--:|--:|
        | p50 | 100 ms |  |
        | p95 | 300 ms | 297 to 303 ms |
        | p99 | 400 ms |  |
        | error_rate | 0.00% |  |
        | requests_per_sec | 15.0/s |  |

        **What next**

        - commit the baseline: `git add perf_baseline.json && git commit -m "Performance baseline"`
        - compare with it, after the next change: `cargo xtask perf`

    "#]]
    .assert_eq(&markdown::render_unjudged(&unjudged));
    for text in
        [terminal, html::render_unjudged(&unjudged), markdown::render_unjudged(&unjudged).replace('\u{a0}', " ")]
    {
        assert!(text.contains("BASELINE SAVED") && text.contains("300 ms") && text.contains("297 to 303 ms"), "{text}");
        assert!(!text.contains("NO VERDICT") && text.contains("git add perf_baseline.json"), "{text}");
    }
    let text = json::render_unjudged(&unjudged);
    assert!(text.contains("\"least\": 297.0"), "{text}");
}

#[test]
fn what_is_not_significant_is_no_finding() {
    let case = cases().into_iter().find(|case| case.name == "not significant").unwrap();
    case.report(|report| {
        assert!(report.findings(usize::MAX).shown.iter().all(|finding| !finding.text.contains("GET /a")));
        let cells = report.endpoint_cells();
        let cells = cells.iter().find(|cells| cells.texts[0] == "GET /a p95 ms").unwrap();
        expect!["over (not significant)"].assert_eq(&cells.texts[6]);
    });
}

#[test]
fn an_interval_beyond_measure_is_told_to_people_as_that() {
    let mut baseline = runs(&[300.0, 900.0]);
    baseline[1].total.failures = 400;
    let case = Case::new("wild", &baseline, runs(&[310.0]), rules(false, false));
    case.report(|report| {
        let wild = report.total_cells()[1].texts[4].clone();
        expect!["-100.0..>+999"].assert_eq(&wild);
        for (format, text) in &in_every_format(report)[..5] {
            let is_escaped = matches!(*format, "HTML" | "JUnit");
            let wild = if is_escaped { wild.replace('>', "&gt;") } else { wild.clone() };
            assert!(*format == "quiet" || text.contains(&wild), "{format}: {text}");
        }
        expect!["inconclusive after 1 run (baseline: 2): p95 of all requests is within its limit (-40.3%), but further runs could take it over the limit, error_rate of all requests is within its limit (-44.44 pp), but further runs could take it over the limit; too noisy to detect any p95 change"].assert_eq(&report::view::content::evidence(report.comparison));
        // In percentage points it goes below that, too.
        expect!["-100.0..+65.0"].assert_eq(&report.total_cells()[5].texts[4]);
        let value: Value = serde_json::from_str(&json::render(report)).unwrap();
        assert!(value["rows"][1]["interval"][1].as_f64().unwrap() > 1000.0, "{}", value["rows"][1]);
        assert!(value["rows"][1]["detectable"].as_f64().unwrap() > 1000.0, "{}", value["rows"][1]);
    });
}

// JSON

struct Schema(Schemas, SchemaIndex);

impl Schema {
    fn read() -> Schema {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/report.schema.json");
        let schema: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("report.schema.json", schema).unwrap();
        let index = compiler.compile("report.schema.json", &mut schemas).unwrap();
        Schema(schemas, index)
    }

    fn accepts(&self, value: &Value) -> bool {
        self.0.validate(value, self.1).is_ok()
    }

    #[track_caller]
    fn assert_accepts(&self, name: &str, value: &Value) {
        if let Err(error) = self.0.validate(value, self.1) {
            panic!("{name}: {error:#}");
        }
    }
}

#[test]
fn the_json_is_what_its_schema_says() {
    let schema = Schema::read();
    let mut met: [BTreeSet<String>; 4] = Default::default();
    for case in cases() {
        let value: Value = serde_json::from_str(&case.report(json::render)).unwrap();
        schema.assert_accepts(case.name, &value);
        for row in value["rows"].as_array().unwrap() {
            for (met, word) in
                met.iter_mut().zip([&value["verdict"], &row["status"], &row["doubt"]["reason"], &row["unsettled"]])
            {
                met.extend(word.as_str().map(str::to_owned));
            }
        }
    }
    // What no case makes, the schema would not be held to.
    expect![[r#"[{"fail", "pass"}, {"below_resolution", "fail", "in_doubt", "new", "no_baseline", "ok", "shown", "waived", "warn"}, {"few_samples", "noise_unknown", "not_significant", "one_run", "reaches_below_limit"}, {"close", "few_runs", "open"}]"#]]
    .assert_eq(&format!("{met:?}"));
    let failure: Value = serde_json::from_str(&json::render_unjudged(&no_verdict("there is no baseline"))).unwrap();
    schema.assert_accepts("no verdict", &failure);
    let saved = Saved::new(&cases()[0].baseline, "perf_baseline.json");
    for unjudged in [Unjudged::BaselineSaved(saved.clone()), Unjudged::NoBaseline(saved)] {
        let value: Value = serde_json::from_str(&json::render_unjudged(&unjudged)).unwrap();
        schema.assert_accepts(unjudged.word(), &value);
        assert_eq!(value["baseline"]["values"].as_array().unwrap().len(), 5);
    }
    // What a later version may add.
    let mut later: Value = serde_json::from_str(&cases()[0].report(json::render)).unwrap();
    (later["extra"], later["rows"][0]["extra"]) = (json!(1), json!(null));
    schema.assert_accepts("a later version", &later);
}

#[test]
fn the_schema_can_say_no() {
    let schema = Schema::read();
    let good: Value = serde_json::from_str(&cases()[1].report(json::render)).unwrap();
    let row = good["rows"].as_array().unwrap().iter().position(|row| row["interval"].is_array()).unwrap();
    for (pointer, key, planted) in [
        ("", "schema_version", Some(json!("2.0"))),
        ("", "verdict", Some(json!("not_judged"))),
        ("", "exit_code", Some(json!("0"))),
        ("", "rows", Some(json!([]))),
        ("", "evidence", None),
        ("/runs", "candidate", Some(json!(1.5))),
        ("/provenance/baseline", "commit", None),
        ("/provenance/baseline/load", "users", Some(json!("10"))),
        ("/findings/0", "status", Some(json!("ok"))),
        ("", "headline", None),
        ("", "conclusive", Some(json!("yes"))),
        ("/row", "baseline", Some(json!("300"))),
        ("/row", "candidate", None),
        ("/row", "status", Some(json!("FAIL"))),
        ("/row", "metric", Some(json!("p90"))),
        ("/row", "interval", Some(json!([1.0]))),
        ("/row", "interval", Some(json!([null, 1.0]))),
        ("/row/limit", "worsening", Some(json!("20%"))),
        ("/row/limit", "floor", None),
        ("/row", "doubt", Some(json!("few requests"))),
    ] {
        let pointer = pointer.replace("/row", &format!("/rows/{row}"));
        let mut bad = good.clone();
        let object = bad.pointer_mut(&pointer).unwrap().as_object_mut().unwrap();
        match &planted {
            Some(planted) => object.insert(key.to_owned(), planted.clone()),
            None => object.remove(key),
        };
        assert!(!schema.accepts(&bad), "{pointer}/{key} {planted:?}");
    }
    let failure: Value = serde_json::from_str(&json::render_unjudged(&no_verdict("no baseline"))).unwrap();
    for (key, planted) in [("conclusive", json!(true)), ("exit_code", json!(0)), ("verdict", json!("pass"))] {
        let mut bad = failure.clone();
        bad[key] = planted;
        assert!(!schema.accepts(&bad), "{key}");
    }
}

/// But for the last bit, which `serde_json` gives up to read faster.
fn is_same(read: Option<f64>, written: Option<f64>) -> bool {
    match (read, written) {
        (Some(read), Some(written)) => (read - written).abs() <= f64::EPSILON * written.abs(),
        (read, written) => read == written,
    }
}

#[test]
fn the_json_holds_the_comparison_in_full() {
    for case in cases() {
        case.report(|report| {
            let text = json::render(report);
            let value: Value = serde_json::from_str(&text).unwrap();
            let comparison = report.comparison;
            let rows: Vec<_> = comparison.total.iter().chain(&comparison.endpoints).collect();
            assert_eq!(value["rows"].as_array().unwrap().len(), rows.len());
            for (row, shown) in rows.iter().zip(value["rows"].as_array().unwrap()) {
                assert_eq!(
                    (shown["endpoint"].as_str(), shown["metric"].as_str()),
                    (row.endpoint, Some(row.metric.name()))
                );
                for (key, number) in [
                    ("baseline", row.presence.baseline()),
                    ("candidate", row.presence.candidate()),
                    ("change", row.change()),
                    ("detectable", row.evidence.detectable),
                ] {
                    assert!(is_same(shown[key].as_f64(), number), "{}: {key} of {row:?}", case.name);
                }
                let ends = row.evidence.interval;
                let (low, high) = (ends.map(|ends| ends.low), ends.map(|ends| ends.high));
                for (end, number) in [low, high].into_iter().enumerate() {
                    assert!(is_same(shown["interval"][end].as_f64(), number), "{}: {row:?}", case.name);
                }
                let limit = row
                    .limit
                    .map(|limit| json!({"worsening": limit.worsening, "floor": limit.floor, "bound": limit.bound, "level": format!("{:?}", limit.level).to_lowercase()}));
                assert_eq!(shown["limit"], json!(limit));
            }
            assert_eq!(value["findings"].as_array().unwrap().len(), comparison.findings().len());
            assert_eq!(value["provenance"]["candidate"], json!(report.provenance.candidate));
            assert_eq!(value["sentence"], json!(report.sentence()));
            assert_eq!([&value["strict"], &value["paired"]], [case.rules.strict, case.rules.paired]);
            assert!(text.ends_with("}\n"));
        });
    }
    let text = cases().iter().find(|case| case.name == "new and missing").unwrap().report(json::render);
    assert!(text.contains("\"candidate\": 333.3333333333333,"), "a third is not rounded: {text}");
}

#[test]
fn what_is_no_number_is_null() {
    let case = cases().remove(0);
    let mut comparison = compare(&case.baseline, &case.runs, &case.rules).unwrap();
    let row = &mut comparison.total[0];
    row.presence = Presence::Both { baseline: f64::NAN, candidate: f64::INFINITY };
    row.evidence.detectable = Some(f64::NAN);
    row.evidence.interval = Some(Interval { low: f64::NEG_INFINITY, high: 1.0 });
    let text = case.report(|report| {
        let (baseline, warnings, details) = (String::new(), Vec::new(), Vec::new());
        json::render(&Report {
            background: Background::unknown(),
            confirmation: None,
            distribution: &[],
            runs: &[],
            histories: &[],
            comparison: &comparison,
            provenance: report.provenance,
            baseline,
            warnings,
            details,
        })
    });
    let value: Value = serde_json::from_str(&text).unwrap();
    Schema::read().assert_accepts("no numbers", &value);
    for key in ["baseline", "candidate", "change", "detectable", "interval"] {
        assert_eq!(value["rows"][0][key], Value::Null, "{key}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "the text of a whole file")]
fn the_json_reads_from_verdict_to_details() {
    expect![[r#"
        {
          "schema_version": "1.3",
          "verdict": "not_judged",
          "exit_code": 2,
          "headline": "NO VERDICT: cannot read perf.toml",
          "conclusive": false,
          "sentence": "cannot read perf.toml",
          "next": [
            {
              "what": "fix what is named above, then run it again with every detail",
              "command": "cargo xtask perf --verbose"
            }
          ]
        }
    "#]]
    .assert_eq(&json::render_unjudged(&no_verdict("cannot read perf.toml")));
    let text = cases()[2].report(json::render);
    let start: Vec<&str> = text.lines().take_while(|line| !line.contains("\"rows\"")).collect();
    expect![[r#"
        {
          "schema_version": "1.3",
          "verdict": "fail",
          "exit_code": 1,
          "headline": "FAIL: p95 is 40% slower, 300 → 420 ms (limit +20%); inconclusive: noise could change the verdict on p95 and GET /a p95",
          "conclusive": false,
          "sentence": "p95 is 40% slower, 300 → 420 ms (limit +20%); inconclusive: noise could change the verdict on p95 and GET /a p95",
          "evidence": "inconclusive after 1 run (baseline: 5): p95 of all requests exceeds its limit in a single run, p95 of GET /a exceeds its limit in a single run; smallest detectable p95 change: 3.1%",
          "strict": false,
          "paired": false,
          "runs": {
            "baseline": 5,
            "candidate": 1
          },
          "findings": [
            {
              "status": "fail",
              "endpoint": null,
              "metric": "p95",
              "text": "p95: 300 → 420 ms (+40.0%, limit +20%)"
            },
            {
              "status": "warn",
              "endpoint": "GET /a",
              "metric": "p95",
              "text": "GET /a p95: 300 → 420 ms (+40.0%, limit +20%); seen in a single run; an endpoint fails only with two or more"
            }
          ],
          "drift": null,
          "exceptions": [],
          "remarks": [
            "only 4 of 450 requests are beyond p99 (5 needed)",
            "Locust's version differs: baseline \u003c1>, candidate \"2\""
          ],
          "next": [
            {
              "what": "make more runs",
              "command": "cargo xtask perf --min-runs 2 --max-runs 5"
            },
            {
              "what": "rule out the machine",
              "command": "cargo xtask perf --confirm"
            },
            {
              "what": "accept it",
              "command": "cargo xtask perf --update-baseline --note \"why it is slower\""
            }
          ],
          "confirmation": null,
          "lacking": [],"#]].assert_eq(&start.join("\n"));
    let start = text.find("{\n      \"endpoint\": \"GET /a\",\n      \"metric\": \"p95\",\n      \"unit\"").unwrap();
    let end = start + text[start..].find("\n    }").unwrap() + "\n    }".len();
    expect![[r#"
        {
              "endpoint": "GET /a",
              "metric": "p95",
              "unit": "ms",
              "status": "warn",
              "baseline": 299.9933331036898,
              "candidate": 420.0,
              "change": 40.003111287420204,
              "change_unit": "%",
              "interval": [
                36.86489157016905,
                43.21328826763888
              ],
              "detectable": 3.1364996788637587,
              "limit": {
                "worsening": 20.0,
                "floor": null,
                "bound": null,
                "level": "fail"
              },
              "accepted": null,
              "doubt": {
                "reason": "one_run",
                "requests": null,
                "samples": null,
                "text": "seen in a single run; an endpoint fails only with two or more"
              },
              "unsettled": "few_runs"
            }"#]]
    .assert_eq(&text[start..end]);
}

// JUnit

/// What may be in an element: its children, and its attributes, those required first.
type Rule = (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

/// The grammar of `junit-10.xsd` in Jenkins's xunit plugin, which is stricter than what GitLab reads. Children may come
/// in any order there; of those with an empty list some hold text.
const GRAMMAR: [Rule; 10] = [
    ("testsuites", &["testsuite"], &[], &["name", "time", "tests", "failures", "errors"]),
    (
        "testsuite",
        &["testsuite", "properties", "testcase", "system-out", "system-err"],
        &["name", "tests", "failures", "errors"],
        &["group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"],
    ),
    ("properties", &["property"], &[], &[]),
    ("property", &[], &["name", "value"], &[]),
    (
        "testcase",
        &["skipped", "error", "failure", "system-out", "system-err"],
        &["name"],
        &["time", "classname", "group"],
    ),
    ("skipped", &[], &[], &["type", "message"]),
    ("error", &[], &[], &["type", "message"]),
    ("failure", &[], &[], &["type", "message"]),
    ("system-out", &[], &[], &[]),
    ("system-err", &[], &[], &[]),
];

const HOLD_TEXT: [&str; 5] = ["skipped", "error", "failure", "system-out", "system-err"];

/// What is wrong with the document by the grammar, and by its own counts.
fn faults(document: &Document) -> Vec<String> {
    let mut faults = Vec::new();
    let root = document.root_element();
    if !["testsuites", "testsuite"].contains(&root.tag_name().name()) {
        faults.push("the root is no suite".to_owned());
    }
    for node in root.descendants() {
        if node.is_text() {
            let holds_text = node.parent().is_some_and(|parent| HOLD_TEXT.contains(&parent.tag_name().name()));
            if !holds_text && !node.text().unwrap().trim().is_empty() {
                faults.push(format!("text where none may be: {:?}", node.text()));
            }
        } else if node.is_element() {
            element_faults(node, &mut faults);
        }
    }
    faults
}

fn element_faults(node: Node, faults: &mut Vec<String>) {
    let name = node.tag_name().name();
    let Some((_, children, required, optional)) = GRAMMAR.iter().find(|(known, ..)| *known == name) else {
        return faults.push(format!("<{name}> is no element"));
    };
    for child in node.children().filter(Node::is_element) {
        if !children.contains(&child.tag_name().name()) {
            faults.push(format!("<{}> in <{name}>", child.tag_name().name()));
        }
    }
    for attribute in node.attributes() {
        if !required.contains(&attribute.name()) && !optional.contains(&attribute.name()) {
            faults.push(format!("{} of <{name}>", attribute.name()));
        }
    }
    for attribute in required.iter().filter(|attribute| node.attribute(**attribute).is_none()) {
        faults.push(format!("<{name}> without {attribute}"));
    }
    // SUREFIRE_TIME without its commas.
    if let Some(time) = node.attribute("time")
        && !(time.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && time.parse::<f64>().is_ok())
    {
        faults.push(format!("time {time}"));
    }
    if name.starts_with("testsuite") {
        let count = |tag: &str| node.descendants().filter(|below| below.has_tag_name(tag)).count().to_string();
        for (attribute, tag) in
            [("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")]
        {
            if node.attribute(attribute).is_some_and(|said| said != count(tag)) {
                faults.push(format!(
                    "{attribute} of <{name}>: {} are {}",
                    node.attribute(attribute).unwrap(),
                    count(tag)
                ));
            }
        }
    }
}

#[track_caller]
fn assert_is_junit<'a>(name: &str, text: &'a str) -> Document<'a> {
    let document = Document::parse(text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
    assert_eq!(faults(&document), Vec::<String>::new(), "{name}: {text}");
    document
}

/// The case of a series; the suite's name is also the class's.
fn find_case<'a, 'input>(document: &'a Document<'input>, suite: &str, metric: &str) -> Node<'a, 'input> {
    let mut cases = document.descendants().filter(|node| node.has_tag_name("testcase"));
    let is_it = |node: &Node| node.attribute("classname") == Some(suite) && node.attribute("name") == Some(metric);
    cases.find(is_it).unwrap_or_else(|| panic!("there is no case {suite} {metric}"))
}

fn child<'a, 'input>(node: Node<'a, 'input>, tag: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.has_tag_name(tag))
}

#[test]
fn the_junit_is_what_jenkins_and_gitlab_read() {
    for case in cases() {
        case.report(|report| {
            let text = junit::render(report);
            let document = assert_is_junit(case.name, &text);
            let comparison = report.comparison;
            for row in comparison.total.iter().chain(&comparison.endpoints) {
                let node = find_case(&document, row.endpoint.unwrap_or("Aggregated"), row.metric.name());
                let output = child(node, "system-out").and_then(|output| output.text()).unwrap_or_default();
                let has = ["failure", "skipped", "error"].map(|tag| child(node, tag).is_some());
                let status = Status::of(row);
                let is_skipped = matches!(status, Status::Shown | Status::NoBaseline | Status::Waived);
                assert_eq!(has, [status == Status::Fail, is_skipped, false], "{}: {row:?}", case.name);
                assert_eq!(output.starts_with("WARN "), status == Status::Warn, "{}: {output}", case.name);
                assert_eq!(output.starts_with("NEW: "), status == Status::New, "{}: {output}", case.name);
            }
            let failures = document.descendants().filter(|node| node.has_tag_name("failure"));
            let messages: Vec<String> = failures.map(|node| node.attribute("message").unwrap().to_owned()).collect();
            let of_drift = comparison.drift.as_ref().map(drift_findings).unwrap_or_default();
            let findings = report.findings(usize::MAX).shown.into_iter().chain(of_drift);
            let failed: BTreeSet<_> =
                findings.filter(|finding| finding.status == Status::Fail).map(|finding| finding.text).collect();
            assert_eq!(messages.into_iter().collect::<BTreeSet<_>>(), failed, "{}", case.name);
        });
    }
}

#[test]
fn a_measurement_that_failed_is_an_error() {
    expect![[r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="cargo xtask perf" tests="1" failures="0" errors="1" time="0">
          <testsuite name="Aggregated" id="0" tests="1" failures="0" errors="1" time="0" skipped="0">
            <testcase classname="Aggregated" name="measurement" time="0">
              <error type="NO VERDICT" message="the service &lt;died&gt;:\nits log">the service &lt;died&gt;:\nits log</error>
            </testcase>
          </testsuite>
        </testsuites>
    "#]]
    .assert_eq(&junit::render_unjudged(&no_verdict("the service <died>:\nits log")));
    let text = junit::render_unjudged(&no_verdict("the service <died>:\nits log"));
    let document = assert_is_junit("failure", &text);
    let error = child(find_case(&document, "Aggregated", "measurement"), "error").unwrap();
    assert_eq!(error.text(), Some("the service <died>:\\nits log"));
}

#[test]
fn the_junit_reads_from_suite_to_case() {
    let case = cases().into_iter().find(|case| case.name == "new and missing").unwrap();
    expect![[r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="cargo xtask perf" tests="14" failures="1" errors="0" time="0">
          <testsuite name="Aggregated" id="0" tests="7" failures="0" errors="0" time="0" skipped="2" timestamp="2026-11-23T12:00:00">
            <properties>
              <property name="verdict" value="FAIL: GET /gone is MISSING: no requests in this run"/>
              <property name="evidence" value="conclusive after 1 run (baseline: 5); smallest detectable p95 change: 3.1%"/>
              <property name="strict" value="false"/>
              <property name="baseline" value="baseline: commit 0123456789ab, 2026-11-23 (perf_baseline.json)"/>
              <property name="baseline commit" value="0123456789abcdef0123456789abcdef01234567"/>
              <property name="candidate commit" value="0123456789abcdef0123456789abcdef01234567"/>
              <property name="load" value="10 users, spawn rate 2.5/s, 30 s with 1.5 s of warm-up"/>
              <property name="machine" value="CPU &lt;9&gt; &amp; more, 2 cores, Linux"/>
            </properties>
            <testcase classname="Aggregated" name="p50" time="0">
              <system-out>ok: baseline 100 ms, candidate 100 ms, change +0.0%, interval +0.0..+0.0, limit +20%</system-out>
            </testcase>
            <testcase classname="Aggregated" name="p95" time="0">
              <system-out>ok: baseline 300 ms, candidate 300 ms, change +0.0%, interval -2.2..+2.3, limit +20%</system-out>
            </testcase>
            <testcase classname="Aggregated" name="p99" time="0">
              <system-out>ok (too few requests): baseline 400 ms, candidate 400 ms, change +0.0%, interval +0.0..+0.0, limit +25%
        only 4 of 450 requests are beyond p99 (5 needed)</system-out>
            </testcase>
            <testcase classname="Aggregated" name="avg_response_time" time="0">
              <skipped message="informational, no limit">informational, no limit</skipped>
              <system-out>baseline 111.1 ms, candidate 111.1 ms, change +0.0%</system-out>
            </testcase>
            <testcase classname="Aggregated" name="requests_per_sec" time="0">
              <system-out>ok: baseline 15.0/s, candidate 15.0/s, change +0.0%, interval +0.0..+0.0, limit -30%</system-out>
            </testcase>
            <testcase classname="Aggregated" name="error_rate" time="0">
              <system-out>ok: baseline 0.00%, candidate 0.00%, change +0.00 pp, interval -0.2..+0.8, limit +2 pp</system-out>
            </testcase>
            <testcase classname="Aggregated" name="total_requests" time="0">
              <skipped message="informational, no limit">informational, no limit</skipped>
              <system-out>baseline 450, candidate 450, change +0.0%</system-out>
            </testcase>
            <system-out>only 4 of 450 requests are beyond p99 (5 needed)
        Locust&#39;s version differs: baseline &lt;1&gt;, candidate &quot;2&quot;</system-out>
          </testsuite>
          <testsuite name="GET /a" id="1" tests="5" failures="0" errors="0" time="0" skipped="0" timestamp="2026-11-23T12:00:00">
            <testcase classname="GET /a" name="error_rate" time="0">
              <system-out>ok: baseline 0.00%, candidate 0.00%, change +0.00 pp, interval -0.2..+0.8, limit +2 pp</system-out>
            </testcase>
            <testcase classname="GET /a" name="p95" time="0">
              <system-out>ok: baseline 300 ms, candidate 300 ms, change +0.0%, interval -2.2..+2.3, limit +20%</system-out>
            </testcase>
            <testcase classname="GET /a" name="p99" time="0">
              <system-out>ok: baseline 400 ms, candidate 400 ms, change +0.0%, interval +0.0..+0.0, limit +25%</system-out>
            </testcase>
            <testcase classname="GET /a" name="p50" time="0">
              <system-out>ok: baseline 100 ms, candidate 100 ms, change +0.0%, interval +0.0..+0.0, limit +20%</system-out>
            </testcase>
            <testcase classname="GET /a" name="requests_per_sec" time="0">
              <system-out>ok: baseline 15.0/s, candidate 15.0/s, change +0.0%, interval +0.0..+0.0, limit -30%</system-out>
            </testcase>
          </testsuite>
          <testsuite name="GET /new" id="2" tests="1" failures="0" errors="0" time="0" skipped="0" timestamp="2026-11-23T12:00:00">
            <testcase classname="GET /new" name="p95" time="0">
              <system-out>NEW: candidate 333 ms, limit +20%</system-out>
            </testcase>
          </testsuite>
          <testsuite name="GET /gone" id="3" tests="1" failures="1" errors="0" time="0" skipped="0" timestamp="2026-11-23T12:00:00">
            <testcase classname="GET /gone" name="p95" time="0">
              <failure type="FAIL" message="GET /gone: no requests in this run (it had some in the baseline)">GET /gone: no requests in this run (it had some in the baseline)
        FAIL (MISSING): baseline 300 ms, limit +20%</failure>
            </testcase>
          </testsuite>
        </testsuites>
    "#]].assert_eq(&case.report(junit::render));
}

#[test]
fn the_grammar_can_say_no() {
    let good = cases()[1].report(junit::render);
    for (from, to) in [
        ("<testcase classname", "<testcase file"),
        (" name=\"p95\"", ""),
        ("<failure ", "<failure code=\"1\" "),
        ("<properties>", "<failure/><properties>"),
        ("</testcase>", "text</testcase>"),
        ("<system-out>", "<system-out><b/>"),
        ("time=\"0\"", "time=\"1 s\""),
        (" failures=\"", " failures=\"1"),
        ("<property name", "<property key"),
        ("testsuites", "suites"),
    ] {
        assert!(good.contains(from), "{from}");
        let bad = good.replace(from, to);
        assert!(!faults(&Document::parse(&bad).unwrap()).is_empty(), "{from} -> {to}");
    }
}

#[test]
fn a_timestamp_has_the_form_of_the_schema_or_is_left_out() {
    let mut case = cases().remove(0);
    case.runs.truncate(1);
    for (timestamp, expected) in [
        ("2026-11-23T12:00:00Z", Some("2026-11-23T12:00:00")),
        ("2026-11-23T12:00:00.123456Z", Some("2026-11-23T12:00:00")),
        ("2026-11-23T12:00:00+02:00", None),
        ("yesterday, at half past noonZ", None),
        ("", None),
        ("2026-11-23T12:00:0\u{e9}Z", None),
    ] {
        let candidate = Provenance { timestamp: timestamp.to_owned(), ..provenance() };
        let text = case.report(|report| {
            let (baseline, warnings, details) = (report.baseline.clone(), Vec::new(), Vec::new());
            let provenance = Sides { baseline: report.provenance.baseline, candidate: &candidate };
            junit::render(&Report {
                background: Background::unknown(),
                confirmation: None,
                distribution: &[],
                runs: &[],
                histories: &[],
                comparison: report.comparison,
                provenance,
                baseline,
                warnings,
                details,
            })
        });
        let document = assert_is_junit(timestamp, &text);
        let suite = document.descendants().find(|node| node.has_tag_name("testsuite")).unwrap();
        assert_eq!(suite.attribute("timestamp"), expected, "{timestamp}");
    }
}

// Both

/// Nothing in the file itself that a terminal, a page or a log would obey.
#[track_caller]
fn assert_harmless(name: &str, text: &str) {
    const MARKS: &str = "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2028}\u{2029}\u{2066}\u{2067}\u{2068}\u{2069}\u{fffe}\u{ffff}";
    let is_obeyed = |c: char| c != '\n' && (c.is_control() || MARKS.contains(c));
    assert_eq!(text.chars().find(|c| is_obeyed(*c)), None, "{name:?}");
    assert!(!text.contains("</script"), "{name:?}");
    assert!(!text.lines().any(|line| line.trim_start().starts_with("::")), "{name:?}");
}

#[test]
fn no_name_of_an_endpoint_breaks_a_format() {
    let schema = Schema::read();
    let all = hostile_names();
    assert_eq!(all.len(), 42);
    for names in all.chunks(1).chain([&all[..]]) {
        let shown = if names.len() == 1 { &names[0] } else { "all" };
        hostile_case(names).report(|report| {
            let text = json::render(report);
            assert_harmless(shown, &text);
            let value: Value = serde_json::from_str(&text).unwrap();
            schema.assert_accepts(shown, &value);
            let rows = value["rows"].as_array().unwrap();
            let read: BTreeSet<&str> = rows.iter().filter_map(|row| row["endpoint"].as_str()).collect();
            assert_eq!(read, names.iter().map(String::as_str).collect());

            let text = junit::render(report);
            assert_harmless(shown, &text);
            assert!(!text.contains("]]>"), "{shown:?}");
            let document = assert_is_junit(shown, &text);
            let suites: Vec<_> = document.descendants().filter(|node| node.has_tag_name("testsuite")).collect();
            assert_eq!(suites.len(), names.len() + 1);
            for (suite, name) in suites[1..].iter().zip(names) {
                let name = cut(&printable(name), 1000);
                assert_eq!(suite.attribute("name"), Some(name.as_str()));
                assert!(
                    suite.children().filter(Node::is_element).all(|case| case.attribute("classname") == Some(&name))
                );
            }
        });
    }
}

#[test]
fn a_reason_may_hold_every_character_there_is() {
    let reason: String = ('\0'..=char::MAX).collect();
    let text = json::render_unjudged(&no_verdict(&reason));
    assert_harmless("every character", &text);
    let value: Value = serde_json::from_str(&text).unwrap();
    assert!(value["sentence"] == reason.as_str(), "it is not the same");
    let text = junit::render_unjudged(&no_verdict(&reason));
    assert_harmless("every character", &text);
    assert!(Document::parse(&text).is_ok());
}
