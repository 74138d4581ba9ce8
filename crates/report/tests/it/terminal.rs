//! The table and the sentences in a terminal.

use expect_test::{Expect, expect};
use judge::baseline::file::Baseline;
use judge::model::run::{Metric, Precision, Provenance, Run};
use judge::stats::histogram::{Bucket, Histogram};
use judge::verdict::compare::{Comparison, compare};
use report::formats::terminal::{Screen, Verbosity, render, render_unjudged, wrapped};
use report::{Format, Report, Sides, Unjudged, View};
use unicode_width::UnicodeWidthStr as _;

use crate::cases::{background, case, confirmed};
use crate::markdown::{HOSTILE, with_report};
use crate::samples::{baseline, candidate, provenance, rules, run, runs_of};

fn text_of(comparison: &Comparison, verbosity: Verbosity) -> String {
    text_on(comparison, verbosity, Screen::default())
}

fn text_on(comparison: &Comparison, verbosity: Verbosity, screen: Screen) -> String {
    with_view(comparison, |view| anstream::adapter::strip_str(&render(view, verbosity, screen)).to_string())
}

fn with_view<T>(comparison: &Comparison, read: impl FnOnce(&View) -> T) -> T {
    let provenance: &'static Provenance = Box::leak(Box::new(provenance()));
    let report = Report {
        comparison,
        background: &background(),
        confirmation: None,
        distribution: &[],
        runs: &[],
        histories: &[],
        provenance: Sides { baseline: provenance, candidate: provenance },
        baseline_origin: "baseline: commit abc123, 2026-01-27, 3 commits ago (perf_baseline.json)".to_owned(),
        file_warnings: Vec::new(),
        warnings: vec!["the load generator was CPU-bound".to_owned()],
        other_details: vec!["load: 10 users".to_owned()],
    };
    read(&View::of(&report))
}

#[track_caller]
fn check_report(endpoints: &[(&str, f64)], verbosity: Verbosity, expected: &Expect) {
    let former = [run(&[("GET /a", 300.0)])];
    let reference = Baseline::new(&former, provenance()).unwrap();
    let mut candidate = run(endpoints);
    candidate.total.p95_ms = 400.0;
    candidate.total.failures = 9;
    let runs = [candidate];
    expected.assert_eq(&text_of(&compare(&reference, &runs, rules(false)).unwrap(), verbosity));
}

#[test]
fn table_reads_from_series_to_verdict() {
    check_report(
        &[("GET /a", 450.0)],
        Verbosity::Normal,
        &expect![[r#"
            metric                baseline  candidate    change  limit  status
            p50 ms                     100        100     +0.0%   +20%  ✔ ok
            p95 ms                     300        400    +33.3%   +20%  ✖ FAIL
            p99 ms                     400        400     +0.0%   +25%  ✔ ok (too few requests)
            requests_per_sec 1/s      15.0       15.0     +0.0%   -30%  ✔ ok
            error_rate %              0.00       2.00  +2.00 pp  +2 pp  ✔ ok

            note: only 4 of 450 requests are beyond p99 (5 needed)
            note: the load generator was CPU-bound
            evidence: noise unknown after 1 run (baseline: 1), so the point estimate decides; endpoint intervals come from their own requests
            baseline: commit abc123, 2026-01-27, 3 commits ago (perf_baseline.json)
            next: rule out the machine: cargo xtask perf --confirm
            next: record a baseline of several runs: cargo xtask perf --update-baseline
            next: accept it: cargo xtask perf --update-baseline --note "why it is slower"
            FAIL: p95 rose 33%, 300 → 400 ms (limit +20%)
        "#]],
    );
    check_report(
        &[("GET /a", 450.0)],
        Verbosity::Quiet,
        &expect![[r#"
            FAIL p95: 300 → 400 ms (+33.3%, limit +20%)
            note: only 4 of 450 requests are beyond p99 (5 needed)
            note: the load generator was CPU-bound
            FAIL: p95 rose 33%, 300 → 400 ms (limit +20%)
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
            GET /a p99 ms                             400          -         -               +25%  ✔ ok
            GET /a p50 ms                             100        100     +0.0%               +20%  ✔ ok
            GET /a requests_per_sec 1/s              15.0       15.0     +0.0%               -30%  ✔ ok

            NEW GET /n\new\u{202e}\u{1b}[31m p95 10 ms: not compared until the baseline is updated
            note: only 4 of 450 requests are beyond p99 (5 needed)
            note: the load generator was CPU-bound
            evidence: noise unknown after 1 run (baseline: 1), so the point estimate decides; endpoint intervals come from their own requests
            baseline: commit abc123, 2026-01-27, 3 commits ago (perf_baseline.json)
            candidate: commit 0123456789ab, 1 run
            load: 10 users
            next: rule out the machine: cargo xtask perf --confirm
            next: record a baseline of several runs: cargo xtask perf --update-baseline
            next: accept it: cargo xtask perf --update-baseline --note "why it is slower"
            FAIL: p95 rose 33%, 300 → 400 ms (limit +20%); NEW GET /n\new\u{202e}\u{1b}[31m p95 10 ms: not compared until the baseline is updated
        "#]],
    );
}

#[test]
fn finding_never_looks_equal_to_its_limit() {
    let reference = baseline(&[(Metric::P95, 10_000.0), (Metric::ErrorRate, 98.0)]);
    let mut run = candidate(&[(Metric::P95, 12_000.1)]);
    run.total.failures = run.total.requests;
    let runs = [run];
    let text = text_of(&compare(&reference, &runs, rules(false)).unwrap(), Verbosity::Quiet);
    expect![[r#"
        FAIL p95: 10000 → 12000 ms (+20.001%, limit +20%)
        note: the baseline lacks p99, p50, requests_per_sec: re-record it with --update-baseline to compare that too
        note: the load generator was CPU-bound
        FAIL: p95 rose 20.001%, 10000 → 12000 ms (limit +20%)
    "#]]
    .assert_eq(&text);
}

#[test]
fn evidence_names_the_runs_and_the_noise() {
    let evidence_of = |baseline_ms: &[f64], candidate_ms: &[f64]| {
        let reference = Baseline::new(&runs_of(baseline_ms), provenance()).unwrap();
        let runs = runs_of(candidate_ms);
        let comparison = compare(&reference, &runs, rules(false)).unwrap();
        report::view::evidence::evidence(&comparison)
    };
    expect!["noise unknown after 1 run (baseline: 1), so the point estimate decides"]
        .assert_eq(&evidence_of(&[300.0], &[310.0]));
    expect!["conclusive after 1 run (baseline: 5); detectable p95 change: 3.1%"]
        .assert_eq(&evidence_of(&[300.0, 303.0, 297.0, 301.0, 299.0], &[310.0]));
    expect!["inconclusive after 1 run (baseline: 5): p95 of all requests exceeds its limit in a single run; detectable p95 change: 3.1%"].assert_eq(&evidence_of(&[300.0, 303.0, 297.0, 301.0, 299.0], &[420.0]));
    expect!["inconclusive after 1 run (baseline: 5): p95 of all requests is within its limit (+4.2%), but more runs could take it over the limit; detectable p95 change: 80.6%"].assert_eq(&evidence_of(&[300.0, 360.0, 250.0, 320.0, 270.0], &[310.0]));
    // Over the limit, but by less than the times are exact: the coarse ones of a CSV, in whole ms.
    let reference = Baseline::new(&runs_of(&[2.0, 2.2, 1.8, 2.1, 1.9]), provenance()).unwrap();
    let coarse: Vec<Run> = runs_of(&[2.6]).into_iter().map(|run| Run { precision: Precision::Coarse, ..run }).collect();
    let comparison = compare(&reference, &coarse, rules(false)).unwrap();
    let evidence = report::view::evidence::evidence(&comparison);
    assert!(evidence.contains("exceeds its limit (+30.3%) by no more than rounding"), "{evidence}");
    // A baseline of one run would gain from more.
    expect!["conclusive after 3 runs (baseline: 1); detectable p95 change: 11.5%; a baseline of five runs would detect p95 changes of 4.1% or more"].assert_eq(&evidence_of(&[300.0], &[310.0, 300.0, 305.0]));
}

#[test]
fn narrow_terminal_marks_inconclusive_rows() {
    let reference = Baseline::new(&runs_of(&[300.0, 360.0, 250.0, 320.0, 270.0]), provenance()).unwrap();
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
fn terminal_lines_fit_the_width() {
    let long = format!("GET /{}", "x".repeat(10_000));
    let names = HOSTILE.into_iter().chain([long.as_str(), "GET /語語語語語語語語語語語語語語語語語語語語"]);
    let endpoints: Vec<_> = names.map(|name| (name, 300.0, 450.0)).collect();
    with_report(&endpoints, 400.0, |report| {
        for width in (40..=200).step_by(20) {
            let text =
                render(&View::of(report), Verbosity::Verbose, Screen { columns: Some(width), ..Screen::default() });
            let text = anstream::adapter::strip_str(&text).to_string();
            let lines: Vec<&str> = text.lines().collect();
            for (place, line) in lines.iter().enumerate() {
                // A command stays whole, so that it can be copied.
                let is_command = place > 0 && lines[place - 1].starts_with("next: ") && line.starts_with("  ");
                assert!(line.width() <= width || is_command, "{width}: {line}");
            }
            // Whichever columns are dropped, a series keeps its metric, change and status.
            let rows = text.lines().filter(|line| line.contains(" p95 ms ") && line.contains("+50.0%"));
            assert_eq!(rows.filter(|line| line.contains("FAIL")).count(), endpoints.len(), "{width}: {text}");
        }
    });
}

#[test]
fn narrow_terminal_drops_columns_and_keeps_lines() {
    let endpoints = [("GET /a/rather/long/path/of/many/segments/[id]/download", 300.0, 450.0)];
    let at = |width| {
        with_report(&endpoints, 400.0, |report| {
            let report = Report {
                warnings: vec![],
                other_details: vec![],
                baseline_origin: report.baseline_origin.clone(),
                ..report.clone()
            };
            let text =
                render(&View::of(&report), Verbosity::Verbose, Screen { columns: Some(width), ..Screen::default() });
            anstream::adapter::strip_str(&text).to_string()
        })
    };
    expect![[r#"
        metric                baseline  candidate    change  status
        p50 ms                     100        100     +0.0%  ✔ ok
        p95 ms                     300        400    +33.3%  ✖ FAIL
        p99 ms                     400        400     +0.0%  ✔ ok
        avg_response_time ms     100.0      100.0     +0.0%
        requests_per_sec 1/s      15.0       15.0     +0.0%  ✔ ok
        error_rate %              0.00       0.00  +0.00 pp  ✔ ok
        total_requests             450        450     +0.0%

        metric                                        change  status
        GET /a/rather/lon…nts/[id]/download p95 ms    +50.0%  ✖ FAIL
        GET /a/rather/…/[id]/download error_rate %  +0.00 pp  ✔ ok
        GET /a/rather/lon…nts/[id]/download p99 ms         -  ✔ ok
        GET /a/rather/lon…nts/[id]/download p50 ms     +0.0%  ✔ ok
        GET /a/rat…]/download requests_per_sec 1/s     +0.0%  ✔ ok

        note: only 4 of 450 requests are beyond p99 (5 needed)
        evidence: conclusive after 3 runs (baseline: 3); the runs
          are equal, so they show no noise
        baseline: commit abc123, 2026-01-27, 3 commits ago
          (perf_baseline.json)
        candidate: commit abc123, 3 runs
        next: rule out the machine: cargo xtask perf --confirm
        next: find the commit: cargo xtask bisect abc123
        next: accept it:
          cargo xtask perf --update-baseline --note "why it is slower"
        FAIL: p95 rose 33%, 300 → 400 ms (limit +20%); 1 of 1
          endpoint: GET /a/rather/lo…s/[id]/download +50%
    "#]]
    .assert_eq(&at(60));
    expect![[r#"
        metric                baseline  candidate    change  status
        p50 ms                     100        100     +0.0%  ✔ ok
        p95 ms                     300        400    +33.3%  ✖ FAIL
        p99 ms                     400        400     +0.0%  ✔ ok (too few requests)
        avg_response_time ms     100.0      100.0     +0.0%
        requests_per_sec 1/s      15.0       15.0     +0.0%  ✔ ok
        error_rate %              0.00       0.00  +0.00 pp  ✔ ok
        total_requests             450        450     +0.0%

        metric                              baseline  candidate    change  limit  status
        GET /a/rather…[id]/download p95 ms       300        450    +50.0%   +20%  ✖ FAIL
        GET /a/rat…]/download error_rate %      0.00       0.00  +0.00 pp  +2 pp  ✔ ok
        GET /a/rather…[id]/download p99 ms       400          -         -   +25%  ✔ ok
        GET /a/rather…[id]/download p50 ms       100        100     +0.0%   +20%  ✔ ok
        GET /a…wnload requests_per_sec 1/s      15.0       15.0     +0.0%   -30%  ✔ ok

        note: only 4 of 450 requests are beyond p99 (5 needed)
        evidence: conclusive after 3 runs (baseline: 3); the runs are equal, so they
          show no noise
        baseline: commit abc123, 2026-01-27, 3 commits ago (perf_baseline.json)
        candidate: commit abc123, 3 runs
        next: rule out the machine: cargo xtask perf --confirm
        next: find the commit: cargo xtask bisect abc123
        next: accept it: cargo xtask perf --update-baseline --note "why it is slower"
        FAIL: p95 rose 33%, 300 → 400 ms (limit +20%); 1 of 1 endpoint: GET
          /a/rather/lo…s/[id]/download +50%
    "#]]
    .assert_eq(&at(80));
    expect![[r#"
        metric                baseline  candidate    change      interval  limit  status
        p50 ms                     100        100     +0.0%    +0.0..+0.0   +20%  ✔ ok
        p95 ms                     300        400    +33.3%  +33.3..+33.3   +20%  ✖ FAIL
        p99 ms                     400        400     +0.0%    +0.0..+0.0   +25%  ✔ ok (too few requests)
        avg_response_time ms     100.0      100.0     +0.0%
        requests_per_sec 1/s      15.0       15.0     +0.0%    +0.0..+0.0   -30%  ✔ ok
        error_rate %              0.00       0.00  +0.00 pp    -0.3..+0.3  +2 pp  ✔ ok
        total_requests             450        450     +0.0%

        metric                                                                       baseline  candidate    change      interval  limit  status
        GET /a/rather/long/path/of/many/segments/[id]/download p95 ms                     300        450    +50.0%  +50.0..+50.0   +20%  ✖ FAIL
        GET /a/rather/long/path/of/many/segments/[id]/download error_rate %              0.00       0.00  +0.00 pp    -0.3..+0.3  +2 pp  ✔ ok
        GET /a/rather/long/path/of/many/segments/[id]/download p99 ms                     400          -         -                 +25%  ✔ ok
        GET /a/rather/long/path/of/many/segments/[id]/download p50 ms                     100        100     +0.0%    +0.0..+0.0   +20%  ✔ ok
        GET /a/rather/long/path/of/many/segments/[id]/download requests_per_sec 1/s      15.0       15.0     +0.0%    +0.0..+0.0   -30%  ✔ ok

        note: only 4 of 450 requests are beyond p99 (5 needed)
        evidence: conclusive after 3 runs (baseline: 3); the runs are equal, so they show no noise
        baseline: commit abc123, 2026-01-27, 3 commits ago (perf_baseline.json)
        candidate: commit abc123, 3 runs
        next: rule out the machine: cargo xtask perf --confirm
        next: find the commit: cargo xtask bisect abc123
        next: accept it: cargo xtask perf --update-baseline --note "why it is slower"
        FAIL: p95 rose 33%, 300 → 400 ms (limit +20%); 1 of 1 endpoint: GET /a/rather/lo…s/[id]/download +50%
    "#]].assert_eq(&at(160));
}

#[test]
fn long_lines_wrap_and_commands_stay_whole() {
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

#[test]
fn refusal_that_is_too_long_for_a_verdict_stands_above_it() {
    let reason = format!("users: the baseline has 10, this load 50; measure with --users 10, or {}", "x ".repeat(70));
    let unjudged = Unjudged::NoVerdict(reason.trim_end().to_owned());
    let screen = Screen { columns: Some(80), is_ascii: false };
    let text = anstream::adapter::strip_str(&render_unjudged(&unjudged, screen)).to_string();
    assert!(text.starts_with("users: the baseline has 10, this load 50; measure with --users 10, or x"), "{text}");
    assert!(text.ends_with("x\nNO VERDICT: users: the baseline has 10, this load 50\n"), "{text}");
    // A program may look for more of it.
    let text = anstream::adapter::strip_str(&render_unjudged(&unjudged, Screen::default())).to_string();
    assert_eq!(text, format!("NO VERDICT: {reason}\n").replace(" \n", "\n"));
}

#[test]
fn screen_has_the_exceptions_on_one_line() {
    case("exceptions").report(|report| {
        let view = View::of(report);
        let with = |verbosity, columns| {
            let text = render(&view, verbosity, Screen { columns, is_ascii: false });
            anstream::adapter::strip_str(&text).to_string()
        };
        let on = |columns| with(Verbosity::Normal, columns);
        assert!(with(Verbosity::Quiet, Some(80)).starts_with("4 exceptions: "), "no more than without --quiet");
        let line = "\n4 exceptions: p95 until 2026-12-31 (in 9 days), 1 more, 1 not used, 1 ended\n";
        assert!(on(Some(80)).contains(line) && !on(Some(80)).contains("WAIVED p95"), "{}", on(Some(80)));
        assert!(!on(None).contains(line) && on(None).contains("\nWAIVED p95: "), "{}", on(None));
        let next = "\nnext: remove the exceptions that nothing needs: ${EDITOR:-vi} perf.toml\n";
        assert!(on(Some(80)).contains(next), "{}", on(Some(80)));
    });
}

/// The p95 of a baseline is of the requests of all runs, and its p99 is the mean of the runs' p99.
#[test]
fn p99_below_the_p95_of_its_series_is_not_shown() {
    let rare = |slowest_ms: f64| {
        let mut run = run(&[("on_start: POST /login", 300.0)]);
        let stats = &mut run.endpoints[0].1;
        (stats.requests, stats.p50_ms, stats.p95_ms, stats.p99_ms) = (10, 10.0, slowest_ms, slowest_ms);
        let buckets = [(10.0, 9), (slowest_ms, 1)].map(|(time_ms, count)| Bucket { time_ms, count });
        stats.histogram = Histogram::new(buckets.to_vec());
        run
    };
    let runs = [rare(20.0), rare(500.0)];
    let reference = Baseline::new(&runs, provenance()).unwrap();
    let comparison = compare(&reference, &runs, rules(false)).unwrap();
    let value = |metric| comparison.row(Some("on_start: POST /login"), metric).unwrap().presence.candidate().unwrap();
    assert!(value(Metric::P99) < value(Metric::P95), "{} {}", value(Metric::P95), value(Metric::P99));
    let text = text_of(&comparison, Verbosity::Verbose);
    let line = text.lines().find(|line| line.starts_with("on_start: POST /login p99")).unwrap();
    let cells: Vec<&str> = line.split_whitespace().skip(5).collect();
    assert_eq!(cells, ["-", "-", "-", "+25%", "✔", "ok"], "{line}");
    // Two estimates of the same times differ by less than is shown.
    confirmed([&[300.0, 301.0, 299.0], &[420.0, 421.0, 419.0]], |report| {
        let text = render(&View::of(report), Verbosity::Normal, Screen::default());
        let text = anstream::adapter::strip_str(&text).to_string();
        assert!(text.contains("p99 ms                     400        420     +5.0%"), "{text}");
    });
    let page = with_view(&comparison, |view| Format::Html.render(view));
    let table = page.split("<table").find(|table| table.contains("data-metric=\"p99\"")).unwrap();
    let row = table.split("<tr").find(|row| row.contains("on_start: POST")).unwrap();
    assert!(row.contains("- → - ms") && !row.contains("100.0") && !row.contains("circle"), "{row}");
}
