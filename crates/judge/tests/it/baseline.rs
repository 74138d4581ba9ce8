//! The baseline file.

use expect_test::expect;
use judge::baseline::file::Baseline;
use judge::model::run::{Metric, PERCENTILES, Precision, Provenance, Run, Usage};

use crate::samples::{VERSION_1_0, error, provenance, run};

#[test]
fn version_1_0_baseline_loads_unchanged() {
    let baseline = Baseline::parse(VERSION_1_0).unwrap();
    assert_eq!(baseline.provenance.commit, "abc123");
    assert_eq!(baseline.total(Metric::P95), Some(350.0));
    assert_eq!(baseline.notes, "...");
    assert!(baseline.endpoints.is_empty());
}

#[test]
fn saved_baseline_loads_unchanged() {
    let former = Baseline::parse(&VERSION_1_0.replacen('{', r#"{"colour":"blue","#, 1)).unwrap();
    let mut run = run(&[("GET /b", 80.0), ("GET /a", 90.0)]);
    run.distribution = PERCENTILES.to_vec();
    let usage = Usage { others_pct: vec![4.25], cpu_ms_per_request: vec![1.5], peak_memory_mb: vec![44.0] };
    let provenance = Provenance { usage: Some(usage), ..provenance() };
    let baseline = Baseline::new(&[run], provenance, None, Some(&former)).unwrap();
    let text = baseline.to_text();
    assert_eq!(Baseline::parse(&text).unwrap(), baseline);
    assert_eq!(Baseline::parse(&text).unwrap().to_text(), text);
    assert!(text.contains(r#""colour": "blue""#), "unknown keys are kept: {text}");
    assert!(text.contains(r#""notes": "...""#), "notes are kept: {text}");
    expect![[r#"
        {
          "version": "1.3",
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
    let edited = Baseline::new(&[run(&[])], provenance(), None, None).unwrap().to_text();
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
        (&VERSION_1_0.replace("350.0", "1e999"), expect!["number out of range at line 1 column 104"]),
        (
            &VERSION_1_0.replace("350.0", "\"fast\""),
            expect![[r#"invalid type: string "fast", expected f64 at line 1 column 105"#]],
        ),
        (&VERSION_1_0.replace("\"metrics\"", "\"metric\""), expect!["missing field `metrics` at line 1 column 219"]),
    ] {
        expected.assert_eq(&error(Baseline::parse(text)));
    }
    assert!(Baseline::parse(&VERSION_1_0.replace("\"1.0\"", "\"1.9\"")).is_ok(), "a newer minor version is read");
}

#[test]
fn distribution_is_kept_if_all_runs_have_one() {
    let with = |values: &[f64]| Run { distribution: values.to_vec(), ..run(&[]) };
    let of = |runs: &[Run]| Baseline::new(runs, provenance(), None, None).unwrap().distribution;
    assert_eq!(of(&[with(&[2.0; 17]), with(&[8.0; 17])]), [4.0; 17]);
    assert_eq!(of(&[with(&[2.0; 17]), with(&[])]), Vec::<f64>::new());
    // A newer version may keep it elsewhere, but implausible values are refused.
    let text = Baseline::new(&[with(&[2.0; 17])], provenance(), None, None).unwrap().to_text();
    expect!["`distribution` or `expected_interval_ms` holds -2, not a number of 0 or more"]
        .assert_eq(&error(Baseline::parse(&text.replacen("[2.0, 2.0", "[-2.0, 2.0", 1))));
}

#[test]
fn run_of_failures_alone_cannot_be_a_baseline() {
    let mut run = run(&[]);
    run.total.failures = run.total.requests;
    expect!["all 450 requests failed, so this cannot be a baseline: fix the service or the locustfile first"]
        .assert_eq(&error(Baseline::new(&[run], provenance(), None, None)));
}

#[test]
fn coarsest_run_sets_the_precision_of_a_baseline() {
    let mut runs = [run(&[]), run(&[])];
    runs[0].precision = Precision::Fine;
    let precision = |runs: &[Run]| Baseline::new(runs, provenance(), None, None).unwrap().provenance.precision;
    assert_eq!((precision(&runs[..1]), precision(&runs)), (Precision::Fine, Precision::Coarse));
}

#[test]
fn reading_without_endpoints_gives_the_same_total_and_errors() {
    let runs = [run(&[("GET /a", 300.0)]), run(&[("GET /a", 310.0)])];
    let text = Baseline::new(&runs, provenance(), Some("why"), None).unwrap().to_text();
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
