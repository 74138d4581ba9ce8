//! The table and the sentences in a terminal.

use expect_test::{Expect, expect};
use judge::baseline::file::Baseline;
use judge::model::run::{Metric, Provenance};
use judge::verdict::compare::{Comparison, compare};
use report::Background;
use report::Report;
use report::formats::terminal::{Screen, Verbosity, render, wrapped};
use report::view::content::Sides;

use crate::samples::{baseline, candidate, provenance, rules, run, runs_of};

fn text_of(comparison: &Comparison, verbosity: Verbosity) -> String {
    text_on(comparison, verbosity, Screen::default())
}

fn text_on(comparison: &Comparison, verbosity: Verbosity, screen: Screen) -> String {
    let provenance: &'static Provenance = Box::leak(Box::new(provenance()));
    let report = Report {
        comparison,
        background: Background::unknown(),
        confirmation: None,
        distribution: &[],
        runs: &[],
        histories: &[],
        provenance: Sides { baseline: provenance, candidate: provenance },
        baseline: "baseline: commit abc123, 2026-01-27, 3 commits ago (perf_baseline.json)".to_owned(),
        warnings: vec!["the load generator was CPU-bound".to_owned()],
        details: vec!["load: 10 users".to_owned()],
    };
    anstream::adapter::strip_str(&render(&report, verbosity, screen)).to_string()
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
            metric                baseline  candidate    change  limit  status
            p50 ms                     100        100     +0.0%   +20%  ✔ ok
            p95 ms                     300        400    +33.3%   +20%  ✖ FAIL
            p99 ms                     400        400     +0.0%   +25%  ✔ ok (too few requests)
            avg_response_time ms     100.0      100.0     +0.0%
            requests_per_sec 1/s      15.0       15.0     +0.0%   -30%  ✔ ok
            error_rate %              0.00       2.00  +2.00 pp  +2 pp  ✔ ok
            total_requests             450        450     +0.0%

            note: only 4 of 450 requests are beyond p99 (5 needed)
            note: the load generator was CPU-bound
            evidence: noise unknown after 1 run (baseline: 1), so the point estimate decides; endpoint intervals come from their own requests
            baseline: commit abc123, 2026-01-27, 3 commits ago (perf_baseline.json)
            next: rule out the machine: cargo xtask perf --confirm
            next: record a baseline of several runs: cargo xtask perf --update-baseline
            next: accept it: cargo xtask perf --update-baseline --note "why it is slower"
            FAIL: p95 is 33% slower, 300 → 400 ms (limit +20%)
        "#]],
    );
    check_report(
        &[("GET /a", 450.0)],
        Verbosity::Quiet,
        &expect![[r#"
            FAIL p95: 300 → 400 ms (+33.3%, limit +20%)
            note: only 4 of 450 requests are beyond p99 (5 needed)
            note: the load generator was CPU-bound
            FAIL: p95 is 33% slower, 300 → 400 ms (limit +20%)
        "#]],
    );
    check_report(
        &[("GET /a", 450.0), ("GET /n\new\u{202e}\u{1b}[31m", 10.0)],
        Verbosity::Verbose,
        &expect![[r#"
            metric                baseline  candidate    change  limit  status
            p50 ms                     100        100     +0.0%   +20%  ✔ ok
            p95 ms                     300        400    +33.3%   +20%  ✖ FAIL
            p99 ms                     400        400     +0.0%   +25%  ✔ ok (too few requests)
            avg_response_time ms     100.0      100.0     +0.0%
            requests_per_sec 1/s      15.0       15.0     +0.0%   -30%  ✔ ok
            error_rate %              0.00       2.00  +2.00 pp  +2 pp  ✔ ok
            total_requests             450        450     +0.0%

            metric                               baseline  candidate    change    interval  limit  status
            GET /n\new\u{202e}\u{1b}[31m p95 ms         -         10         -               +20%  NEW
            GET /a p95 ms                             300        450    +50.0%               +20%  over (noise unknown)
            GET /a error_rate %                      0.00       0.00  +0.00 pp  -2.3..+2.3  +2 pp  ✔ ok
            GET /a p99 ms                             400        400     +0.0%               +25%  ✔ ok
            GET /a p50 ms                             100        100     +0.0%               +20%  ✔ ok
            GET /a requests_per_sec 1/s              15.0       15.0     +0.0%               -30%  ✔ ok

            note: only 4 of 450 requests are beyond p99 (5 needed)
            note: the load generator was CPU-bound
            evidence: noise unknown after 1 run (baseline: 1), so the point estimate decides; endpoint intervals come from their own requests
            baseline: commit abc123, 2026-01-27, 3 commits ago (perf_baseline.json)
            load: 10 users
            next: rule out the machine: cargo xtask perf --confirm
            next: record a baseline of several runs: cargo xtask perf --update-baseline
            next: accept it: cargo xtask perf --update-baseline --note "why it is slower"
            FAIL: p95 is 33% slower, 300 → 400 ms (limit +20%)
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
        FAIL p95: 10000 → 12000 ms (+20.001%, limit +20%)
        note: the baseline lacks p99, p50, requests_per_sec: re-record it with --update-baseline to compare that too
        note: the load generator was CPU-bound
        FAIL: p95 is 20.001% slower, 10000 → 12000 ms (limit +20%)
    "#]]
    .assert_eq(&text);
}

#[test]
fn what_the_runs_rest_on_is_said() {
    let said = |baseline_ms: &[f64], candidate_ms: &[f64]| {
        let reference = Baseline::new(&runs_of(baseline_ms), provenance(), None, None).unwrap();
        let runs = runs_of(candidate_ms);
        let comparison = compare(&reference, &runs, rules(false)).unwrap();
        report::view::content::evidence(&comparison)
    };
    expect!["noise unknown after 1 run (baseline: 1), so the point estimate decides"]
        .assert_eq(&said(&[300.0], &[310.0]));
    expect!["conclusive after 1 run (baseline: 5); smallest detectable p95 change: 3.1%"]
        .assert_eq(&said(&[300.0, 303.0, 297.0, 301.0, 299.0], &[310.0]));
    expect!["inconclusive after 1 run (baseline: 5): p95 of all requests exceeds its limit in a single run; smallest detectable p95 change: 3.1%"].assert_eq(&said(&[300.0, 303.0, 297.0, 301.0, 299.0], &[420.0]));
    expect!["inconclusive after 1 run (baseline: 5): p95 of all requests is within its limit (+4.2%), but further runs could take it over the limit; smallest detectable p95 change: 80.6%"].assert_eq(&said(&[300.0, 360.0, 250.0, 320.0, 270.0], &[310.0]));
    // What more runs on the other side would buy.
    expect!["conclusive after 3 runs (baseline: 1); smallest detectable p95 change: 11.5%; a baseline of five runs would detect p95 changes of 4.1% or more"].assert_eq(&said(&[300.0], &[310.0, 300.0, 305.0]));
}

#[test]
fn a_narrow_terminal_shows_what_is_inconclusive() {
    let reference = Baseline::new(&runs_of(&[300.0, 360.0, 250.0, 320.0, 270.0]), provenance(), None, None).unwrap();
    let runs = runs_of(&[310.0]);
    let comparison = compare(&reference, &runs, rules(false)).unwrap();
    for columns in [40, 60, 80, 120] {
        for (is_ascii, status) in [(false, "? ok?"), (true, " ok?")] {
            let text = text_on(&comparison, Verbosity::Normal, Screen { columns: Some(columns), is_ascii });
            let row = text.lines().find(|line| line.starts_with("p95 ms")).unwrap();
            assert!(row.contains(status), "{columns}: {row}");
            assert_eq!(text.is_ascii(), is_ascii, "{text}");
        }
    }
}

#[test]
fn a_long_line_goes_on_at_the_next_word_and_a_command_stays_whole() {
    let command = format!("  locust --worker --master-host {}", "a".repeat(60));
    let lines = format!("run 1/8: p95 of all requests exceeds its limit in a single run → again\n{command}");
    let on = |columns, is_ascii| wrapped(&lines, Screen { columns, is_ascii });
    assert_eq!(on(None, false), format!("{lines}\n"));
    expect![[r"
        run 1/8: p95 of all requests exceeds its
          limit in a single run -> again
    "]]
    .assert_eq(&on(Some(40), true).replace(&format!("{command}\n"), ""));
    assert!(on(Some(40), false).ends_with(&format!("single run → again\n{command}\n")));
}
