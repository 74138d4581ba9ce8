//! The baseline file.

use std::collections::BTreeMap;

use expect_test::expect;
use judge::baseline::file::{Baseline, Pooled};
use judge::model::limits::Rules;
use judge::model::run::{Lateness, Metric, PERCENTILES, Precision, Provenance, Run, TaskCalls, Usage};
use judge::parse::{locust_json, other_files};
use judge::verdict::compare::{Verdict, compare};

use crate::samples::{VERSION_1_0, error, json_of, provenance, run};

#[test]
fn version_1_0_baseline_loads_unchanged() {
    let baseline = Baseline::parse(VERSION_1_0).unwrap();
    assert_eq!(baseline.provenance.commit, "abc123");
    assert_eq!(baseline.total(Metric::P95), Some(350.0));
    assert_eq!(baseline.notes, "...");
    assert!(baseline.endpoints.is_empty());
}

#[test]
fn a_byte_order_mark_before_a_baseline_is_skipped() {
    let marked = format!("\u{feff}{VERSION_1_0}");
    assert_eq!(Baseline::parse(&marked).unwrap(), Baseline::parse(VERSION_1_0).unwrap());
    assert_eq!(Baseline::parse_total(&marked).unwrap(), Baseline::parse_total(VERSION_1_0).unwrap());
}

#[test]
fn saved_baseline_loads_unchanged() {
    let former = Baseline::parse(&VERSION_1_0.replacen('{', r#"{"colour":"blue","#, 1)).unwrap();
    let mut run = run(&[("GET /b", 80.0), ("GET /a", 90.0)]);
    run.distribution = PERCENTILES.to_vec();
    let usage =
        Usage { others_pct: vec![4.25], cpu_ms_per_request: vec![1.5], peak_memory_mb: vec![44.0], ..Usage::default() };
    let provenance = Provenance { usage, ..provenance() };
    let baseline = Baseline::new(&[run], provenance).unwrap().replacing(&former);
    let text = baseline.to_text();
    assert_eq!(Baseline::parse(&text).unwrap(), baseline);
    assert_eq!(Baseline::parse(&text).unwrap().to_text(), text);
    assert!(text.contains(r#""colour": "blue""#), "unknown keys are kept: {text}");
    assert!(text.contains(r#""notes": "...""#), "notes are kept: {text}");
    expect![[r#"
        {
          "version": "1.4",
          "timestamp": "2026-11-23T12:00:00Z",
          "commit": "0123456789abcdef0123456789abcdef01234567",
          "dirty": false,
          "usage": {
            "others_pct": [4.25],
            "cpu_ms_per_request": [1.5],
            "peak_memory_mb": [44.0]
          },
          "metrics": {
            "avg_response_time": 100.0,
            "error_rate": 0.0,
            "p50": 100.0,
            "p95": 300.0,
            "p99": 400.0,
            "requests_per_sec": 15.0,
            "total_requests": 450.0
          },
          "aggregated": {
            "avg_response_time": [100.0],
            "error_rate": [0.0],
            "p50": [100.0],
            "p95": [300.0],
            "p99": [400.0],
            "requests_per_sec": [15.0],
            "total_requests": [450.0]
          },
          "distribution": [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9],
  "#]]
    .assert_eq(&text[..text.find("  \"endpoints\"").unwrap()]);
}

#[test]
fn implausible_baseline_is_refused() {
    let edited = Baseline::new(&[run(&[])], provenance()).unwrap().to_text();
    let edited = edited.replacen("\"p95\": 300.0", "\"p95\": 999.0", 1);
    expect!["`p95` is 999 in `metrics`, but its runs in `aggregated` lie between 300 and 300: one of them was edited"]
        .assert_eq(&error(Baseline::parse(&edited)));
    for (text, expected) in [
        ("", expect!["this is not a JSON object: EOF while parsing a value at line 1 column 0"]),
        ("{}", expect!["there is no `version`, so this is not a baseline of cargo xtask perf"]),
        (
            &VERSION_1_0.replace("1.0", "2.0"),
            expect![[r#"its version is "2.0", but this program reads version 1: update xtask"#]],
        ),
        (
            &VERSION_1_0.replacen('{', r#"{"usage":{"others_pct":[4.25],"peak_memory_mb":[44,-1]},"#, 1),
            expect!["`usage` holds -1, not a number of 0 or more"],
        ),
        (&VERSION_1_0.replace("350.0", "-1"), expect!["`p95` is -1, not a number of 0 or more"]),
        (&VERSION_1_0.replace("\"1.0\"", "1.0"), expect![[r#"its `version` is not in quotes, as in "1.4""#]]),
        (&VERSION_1_0.replace("350.0", "1e300"), expect!["`p95` is 1e300, more than can be measured"]),
        (&VERSION_1_0.replace("350.0", "1e999"), expect!["number out of range at line 1 column 104"]),
        (
            &VERSION_1_0.replace("350.0", "\"fast\""),
            expect![[r#"invalid type: string "fast", expected a number at line 1 column 105"#]],
        ),
        (&VERSION_1_0.replace("\"metrics\"", "\"metric\""), expect!["missing key `metrics` at line 1 column 219"]),
    ] {
        expected.assert_eq(&error(Baseline::parse(text)));
    }
    assert!(Baseline::parse(&VERSION_1_0.replace("\"1.0\"", "\"1.9\"")).is_ok(), "a newer minor version is read");
}

/// Otherwise the endpoint would be judged without it, and no message would mention that.
#[test]
fn endpoint_without_a_judged_metric_is_refused() {
    let text = Baseline::new(&[run(&[("GET /a", 300.0)])], provenance()).unwrap().to_text();
    let endpoints = text.find("\"endpoints\"").unwrap();
    for metric in ["p95", "error_rate", "total_requests"] {
        let (head, tail) = text.split_at(endpoints);
        let without = head.to_owned() + &tail.replacen(&format!("\"{metric}\""), "\"other\"", 1);
        assert_eq!(error(Baseline::parse(&without)), format!("`GET /a` has no `{metric}`"));
    }
}

#[test]
fn what_is_no_baseline_at_all_is_named() {
    for (text, expected) in [
        (
            "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n",
            expect!["it is a pointer of Git LFS: fetch the file with `git lfs pull`"],
        ),
        (
            "Type,Name,Request Count\n",
            expect![
                "it is a CSV of Locust, not a baseline: pass it as RESULTS with --update-baseline, which makes a baseline of it"
            ],
        ),
        (
            "[{}]",
            expect![
                "it is a JSON result of Locust, not a baseline: pass it as RESULTS with --update-baseline, which makes a baseline of it"
            ],
        ),
        (
            r#"{"schema_version": "1.4", "headline": "PASS"}"#,
            expect!["it is a report of the gate, not a baseline: name the file that --update-baseline wrote"],
        ),
    ] {
        expected.assert_eq(&error(other_files::refuse_as_baseline(text)));
    }
    assert!(other_files::refuse_as_baseline(VERSION_1_0).is_ok());
}

#[test]
fn distribution_is_kept_if_all_runs_have_one() {
    let with = |values: &[f64]| Run { distribution: values.to_vec(), ..run(&[]) };
    let of = |runs: &[Run]| Baseline::new(runs, provenance()).unwrap().distribution;
    assert_eq!(of(&[with(&[2.0; 17]), with(&[8.0; 17])]), [4.0; 17]);
    assert_eq!(of(&[with(&[2.0; 17]), with(&[])]), Vec::<f64>::new());
    // A newer version may keep it elsewhere, but implausible values are refused.
    let text = Baseline::new(&[with(&[2.0; 17])], provenance()).unwrap().to_text();
    expect!["`distribution` or `expected_interval_ms` holds -2, not a number of 0 or more"]
        .assert_eq(&error(Baseline::parse(&text.replacen("[2.0, 2.0", "[-2.0, 2.0", 1))));
}

#[test]
fn run_of_failures_alone_cannot_be_a_baseline() {
    let mut run = run(&[]);
    run.total.failures = run.total.requests;
    expect!["all 450 requests failed, so this cannot be a baseline: fix the service or the locustfile first"]
        .assert_eq(&error(Baseline::new(&[run], provenance())));
}

#[test]
fn coarsest_run_sets_the_precision_of_a_baseline() {
    let mut runs = [run(&[]), run(&[])];
    runs[0].precision = Precision::Fine;
    let precision = |runs: &[Run]| Baseline::new(runs, provenance()).unwrap().provenance.precision;
    assert_eq!((precision(&runs[..1]), precision(&runs)), (Precision::Fine, Precision::Coarse));
}

#[test]
fn reading_without_endpoints_gives_the_same_total_and_errors() {
    let runs = [run(&[("GET /a", 300.0)]), run(&[("GET /a", 310.0)])];
    let text = Baseline::new(&runs, provenance()).unwrap().with_note("why").to_text();
    for text in [text.as_str(), VERSION_1_0] {
        let (whole, total) = (Baseline::parse(text).unwrap(), Baseline::parse_total(text).unwrap());
        assert_eq!(
            (&total.provenance, &total.metrics, &total.notes),
            (&whole.provenance, &whole.metrics, &whole.notes)
        );
        assert_eq!(total.aggregated, whole.aggregated);
        assert!(total.endpoints.is_empty());
    }
    for bad in [
        "",
        "{}",
        "<<<<<<< HEAD\n{}",
        "{\"version\":\"1.0\"}",
        &text.replace("\"1.", "\"2."),
        &text[..text.len() / 2],
        &text.replacen("\"notes\"", "\"notes\": \"\", \"notes\"", 1),
        &VERSION_1_0.replace("350.0", "-350.0"),
    ] {
        assert_eq!(error(Baseline::parse_total(bad)), error(Baseline::parse(bad)), "{bad}");
    }
}

/// A run of one endpoint with these response times in ms and their counts, with everything that version 1.4 keeps.
fn full_run(times: &str, calls: u64) -> Run {
    let mut run = locust_json::parse(&json_of(times)).unwrap();
    run.setup = vec![("POST /login".into(), run.total.clone())];
    run.users_by_class = BTreeMap::from([("Reader".to_owned(), 9.0), (format!("Writer{calls}"), 1.0)]);
    run.tasks =
        vec![TaskCalls { name: "Reader.read".to_owned(), calls, failures: 1, exception: "KeyError".to_owned() }];
    run.lateness = Some(Lateness { p50_ms: 0.5, p95_ms: 1.4, p99_ms: 3.4 });
    run
}

#[test]
fn version_1_4_keeps_setup_users_tasks_lateness_and_pooled_requests() {
    let runs = [full_run(r#""10":91,"30":9"#, 7), full_run(r#""10":98,"20":2"#, 8)];
    let baseline = Baseline::new(&runs, provenance()).unwrap();
    let text = baseline.to_text();
    assert_eq!(Baseline::parse(&text).unwrap(), baseline);
    let total = Baseline::parse_total(&text).unwrap();
    assert_eq!((total.total(Metric::P95), total.setup.len()), (baseline.total(Metric::P95), 1));
    expect![[r#"
        "endpoints": {
            "GET /": {
              "above_p95": [9.0, 0.0],
              "avg_response_time": [11.8, 10.2],
              "error_rate": [0.0, 0.0],
              "p50": [10.0, 10.0],
              "p95": [30.0, 10.0],
              "p99": [30.0, 20.0],
              "pooled": [10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 20.0, 30.0, 30.0, 30.0, 30.0],
              "requests_per_sec": [100.0, 100.0],
              "total_requests": [100.0, 100.0]
            }
          },"#]]
    .assert_eq(&text[text.find("\"endpoints\"").unwrap()..text.find("\n  \"setup\"").unwrap()]);
    expect![[r#"
        "users_by_class": {
            "Reader": [9.0, 9.0],
            "Writer7": [1.0, 0.0],
            "Writer8": [0.0, 1.0]
          },
          "tasks": {
            "Reader.read": {
              "calls": [7, 8],
              "failures": [1, 1]
            }
          },
          "lateness": {
            "p50_ms": [0.5, 0.5],
            "p95_ms": [1.4, 1.4],
            "p99_ms": [3.4, 3.4]
          },"#]]
    .assert_eq(&text[text.find("\"users_by_class\"").unwrap()..text.find("\n  \"notes\"").unwrap()]);
    let pooled = Pooled::of(&baseline.endpoints["GET /"]).unwrap();
    assert_eq!((pooled.p95_ms, pooled.above_p95, pooled.requests), (20.0, vec![9.0, 0.0], vec![100.0, 100.0]));
    assert_eq!(Pooled::of(&baseline.setup["POST /login"]).unwrap().p95_ms, 20.0);
}

#[test]
fn a_baseline_keeps_of_each_run_only_what_all_runs_have() {
    let bare = Run { setup: Vec::new(), ..locust_json::parse(&json_of(r#""10":90,"30":10"#)).unwrap() };
    let runs = [full_run(r#""10":90,"30":10"#, 7), bare];
    let baseline = Baseline::new(&runs, provenance()).unwrap();
    assert!(baseline.users_by_class.is_empty() && baseline.tasks.is_empty() && baseline.lateness.is_empty());
    assert_eq!(baseline.setup["POST /login"]["p95"], [30.0]);
    let of_csv = Baseline::new(&[run(&[("GET /a", 90.0)])], provenance()).unwrap();
    assert_eq!(Pooled::of(&of_csv.endpoints["GET /a"]), None);
}

#[test]
fn counts_that_cannot_be_meant_are_refused() {
    let text = Baseline::new(&[full_run(r#""10":90,"30":10"#, 7)], provenance()).unwrap().to_text();
    for (before, after, expected) in [
        (
            r#""above_p95": [0.0]"#,
            r#""above_p95": [101.0]"#,
            expect!["`GET /`: `above_p95` is not a part of `total_requests` of each run"],
        ),
        (r#""pooled": [10.0"#, r#""pooled": [20.0"#, expect!["`GET /`: `pooled` is not 17 rising percentiles"]),
        (
            r#""calls": [7]"#,
            r#""calls": [0]"#,
            expect!["`tasks`: `Reader.read` has more failures than calls, or not one of each per run"],
        ),
        (
            r#""p50_ms": [0.5]"#,
            r#""p50_ms": [9]"#,
            expect!["`lateness` has no rising percentiles of 0 or more for each run"],
        ),
        (
            r#""Reader": [9.0]"#,
            r#""Reader": [-1]"#,
            expect!["`users_by_class` of `Reader` holds not a number of 0 or more"],
        ),
    ] {
        // The endpoints come before the series of all requests, which have the same keys.
        let (head, endpoints) = text.split_at(text.find("\"endpoints\"").unwrap());
        let edited = format!("{head}{}", endpoints.replacen(before, after, 1));
        assert_ne!(edited, text, "{before}");
        expected.assert_eq(&error(Baseline::parse(&edited)));
    }
}

#[test]
fn only_runs_of_the_gate_have_requests_of_on_start_apart() {
    let load: judge::model::run::Load =
        serde_json::from_str(r#"{"users":10,"spawn_rate":10.0,"run_time_s":30}"#).unwrap();
    let ours = Provenance { load: Some(load), ..provenance() };
    assert!(Baseline::new(&[run(&[])], ours).unwrap().has_setup_apart());
    assert!(!Baseline::new(&[run(&[])], provenance()).unwrap().has_setup_apart(), "results of others mix them");
}

#[test]
fn requests_of_on_start_are_not_missing_in_results_of_others() {
    let mut before = vec![run(&[("GET /a", 300.0)]); 4];
    for run in &mut before {
        run.setup = run.endpoints.iter().map(|(_, stats)| ("on_start POST /login".into(), stats.clone())).collect();
    }
    let before = Baseline::new(&before, provenance()).unwrap();
    let now = vec![run(&[("GET /a", 300.0)]); 2];
    for (is_complete, verdict) in [(true, Verdict::Pass), (false, Verdict::Fail)] {
        let rules = Rules { is_complete, ..Rules::default() };
        assert_eq!(compare(&before, &now, &rules).unwrap().verdict, verdict, "of others: {is_complete}");
    }
}
