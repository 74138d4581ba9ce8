//! The table and the sentences in a terminal.

use expect_test::{Expect, expect};
use judge::baseline::Baseline;
use judge::compare::{Comparison, compare};
use judge::run::{Metric, Provenance};
use report::Report;
use report::content::Sides;
use report::terminal::{Verbosity, render};

use crate::samples::{baseline, candidate, provenance, rules, run, runs_of};

fn text_of(comparison: &Comparison, verbosity: Verbosity) -> String {
    let provenance: &'static Provenance = Box::leak(Box::new(provenance()));
    let report = Report {
        comparison,
        distribution: &[],
        runs: &[],
        histories: &[],
        provenance: Sides { baseline: provenance, candidate: provenance },
        baseline: "baseline: commit abc123, 2026-01-27, 3 commits ago (perf_baseline.json)".to_owned(),
        warnings: vec!["the load generator was saturated".to_owned()],
        details: vec!["load: 10 users".to_owned()],
    };
    anstream::adapter::strip_str(&render(&report, verbosity, None)).to_string()
}

#[track_caller]
fn check_report(endpoints: &[(&str, f64)], verbosity: Verbosity, expected: &Expect) {
    let former = [run(&[("GET /a", 300.0)])];
    let reference = Baseline::new(&former, provenance(), None, None).unwrap();
    let mut candidate = run(endpoints);
    candidate.total.p95_ms = 400.0;
    candidate.total.failures = 9;
    let runs = [candidate];
    expected.assert_eq(&text_of(&compare(&reference, &runs, rules(false)).unwrap(), verbosity));
}

#[test]
fn the_table_reads_from_series_to_verdict() {
    check_report(
        &[("GET /a", 450.0)],
        Verbosity::Normal,
        &expect![[r#"
                                  baseline  candidate   change  limit  status
            p50 ms                     100        100    +0.0%   +20%  ok
            p95 ms                     300        400   +33.3%   +20%  FAIL
            p99 ms                     400        400    +0.0%   +25%  ok, few requests
            avg_response_time ms     100.0      100.0    +0.0%
            requests_per_sec 1/s      15.0       15.0    +0.0%   -30%  ok
            error_rate %              0.00       2.00  +2.00pp   +2pp  ok
            total_requests             450        450    +0.0%

            FAIL p95: 300 -> 400 ms (+33.3%, limit +20%)
            note: p99 of 450 requests rests on 4
            note: the load generator was saturated
            evidence: 1 baseline run, 1 candidate run: noise unknown, the estimate decides; endpoints by the order statistics of their own requests; --update-baseline keeps several runs
            baseline: commit abc123, 2026-01-27, 3 commits ago (perf_baseline.json)
            FAIL: p95 is over its limit
        "#]],
    );
    check_report(
        &[("GET /a", 450.0)],
        Verbosity::Quiet,
        &expect![[r#"
            FAIL p95: 300 -> 400 ms (+33.3%, limit +20%)
            note: p99 of 450 requests rests on 4
            note: the load generator was saturated
            FAIL: p95 is over its limit
        "#]],
    );
    check_report(
        &[("GET /a", 450.0), ("GET /n\new\u{202e}\u{1b}[31m", 10.0)],
        Verbosity::Verbose,
        &expect![[r#"
                                  baseline  candidate   change  limit  status
            p50 ms                     100        100    +0.0%   +20%  ok
            p95 ms                     300        400   +33.3%   +20%  FAIL
            p99 ms                     400        400    +0.0%   +25%  ok, few requests
            avg_response_time ms     100.0      100.0    +0.0%
            requests_per_sec 1/s      15.0       15.0    +0.0%   -30%  ok
            error_rate %              0.00       2.00  +2.00pp   +2pp  ok
            total_requests             450        450    +0.0%

                                                 baseline  candidate   change    interval  limit  status
            GET /a error_rate %                      0.00       0.00  +0.00pp  -2.3..+2.3   +2pp  ok
            GET /a p95 ms                             300        450   +50.0%               +20%  over, noise unknown
            GET /a p99 ms                             400        400    +0.0%               +25%  ok
            GET /a p50 ms                             100        100    +0.0%               +20%  ok
            GET /a requests_per_sec 1/s              15.0       15.0    +0.0%               -30%  ok
            GET /n\new\u{202e}\u{1b}[31m p95 ms         -         10        -               +20%  NEW

            FAIL p95: 300 -> 400 ms (+33.3%, limit +20%)
            note: p99 of 450 requests rests on 4
            note: the load generator was saturated
            evidence: 1 baseline run, 1 candidate run: noise unknown, the estimate decides; endpoints by the order statistics of their own requests; --update-baseline keeps several runs
            baseline: commit abc123, 2026-01-27, 3 commits ago (perf_baseline.json)
            load: 10 users
            FAIL: p95 is over its limit
        "#]],
    );
}

#[test]
fn a_finding_never_looks_equal_to_its_limit() {
    let reference = baseline(&[(Metric::P95, 10_000.0), (Metric::ErrorRate, 98.0)]);
    let mut run = candidate(&[(Metric::P95, 12_000.1)]);
    run.total.failures = run.total.requests;
    let runs = [run];
    let text = text_of(&compare(&reference, &runs, rules(false)).unwrap(), Verbosity::Quiet);
    expect![[r#"
        FAIL p95: 10000 -> 12000 ms (+20.001%, limit +20%)
        note: the baseline lacks p99, p50, requests_per_sec, so it is not compared: record the baseline again with --update-baseline
        note: the load generator was saturated
        FAIL: p95 is over its limit
    "#]].assert_eq(&text);
}

#[test]
fn what_the_runs_rest_on_is_said() {
    let said = |baseline_ms: &[f64], candidate_ms: &[f64]| {
        let reference = Baseline::new(&runs_of(baseline_ms), provenance(), None, None).unwrap();
        let runs = runs_of(candidate_ms);
        let comparison = compare(&reference, &runs, rules(false)).unwrap();
        report::content::evidence(&comparison)
    };
    expect![
        "1 baseline run, 1 candidate run: noise unknown, the estimate decides; --update-baseline keeps several runs"
    ]
    .assert_eq(&said(&[300.0], &[310.0]));
    expect!["5 baseline runs, 1 candidate run: settled; p95 changes under 3.1 % could be noise"]
        .assert_eq(&said(&[300.0, 303.0, 297.0, 301.0, 299.0], &[310.0]));
    expect!["5 baseline runs, 1 candidate run: not settled: p95 of all requests exceeds its limit in a single run; p95 changes under 3.1 % could be noise"].assert_eq(&said(&[300.0, 303.0, 297.0, 301.0, 299.0], &[420.0]));
    expect!["5 baseline runs, 1 candidate run: not settled: p95 of all requests is within its limit (+4.2%), but further runs could take it over; p95 changes under 80.6 % could be noise"].assert_eq(&said(&[300.0, 360.0, 250.0, 320.0, 270.0], &[310.0]));
}
