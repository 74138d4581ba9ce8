//! Runs against a baseline: the findings and the verdict.

use std::slice;

use expect_test::{Expect, expect};
use judge::baseline::file::Baseline;
use judge::model::limits::{EndpointLimits, JUDGED, Level, Limit, Limits, Rules, default_limits};
use judge::model::run::{Metric, PERCENTILES, Precision, Run};
use judge::stats::estimate::Interval;
use judge::verdict::compare::{Verdict, compare};
use judge::verdict::decision::{Decision, Presence, Reason, Row};
use judge::verdict::names::check_endpoint_limits;

use crate::samples::{
    VERSION_1_0, baseline, candidate, error, provenance, rules, rules_with, run, runs_of, runs_with, stats, with_limits,
};

fn word(row: &Row) -> &'static str {
    if row.is_failure() { "Fail" } else { "Warn" }
}

/// Checks the findings, worst first, as `Fail p95`.
#[track_caller]
fn check(pairs: &[(Metric, f64, f64)], limits: &Limits, strict: bool, expected: &[&str]) {
    let reference = baseline(&pairs.iter().map(|(metric, value, _)| (*metric, *value)).collect::<Vec<_>>());
    let runs = [candidate(&pairs.iter().map(|(metric, _, value)| (*metric, *value)).collect::<Vec<_>>())];
    let comparison = compare(&reference, &runs, rules_with(limits.clone(), strict)).unwrap();
    let found: Vec<String> = comparison.findings().iter().map(|row| format!("{} {}", word(row), row.metric)).collect();
    assert_eq!(found, expected, "{pairs:?}");
    let failed = found.iter().any(|finding| finding.starts_with("Fail"));
    assert_eq!(comparison.verdict, if failed { Verdict::Fail } else { Verdict::Pass });
}

#[test]
fn value_at_a_default_limit_passes_and_over_it_fails() {
    use Metric::{ErrorRate, P50, P95, P99, RequestsPerSec};
    let limits = default_limits();
    let cases: &[(&[(Metric, f64, f64)], &[&str])] = &[
        (&[(P50, 100.0, 110.0), (P95, 300.0, 330.0), (ErrorRate, 1.0, 1.5)], &[]),
        (&[(P95, 300.0, 400.0)], &["Fail p95"]),
        (&[(ErrorRate, 1.0, 3.5)], &["Fail error_rate"]),
        (&[(P95, 300.0, 360.0)], &[]),
        (&[(P95, 300.0, 361.0)], &["Fail p95"]),
        (&[(P95, 350.0, 420.0)], &[]),
        (&[(P95, 35.0, 42.0)], &[]),
        (&[(P95, 0.1, 0.12)], &[]),
        (&[(P50, 200.0, 240.0)], &[]),
        (&[(P50, 200.0, 250.0)], &["Warn p50"]),
        (&[(P99, 400.0, 500.0)], &[]),
        (&[(P99, 400.0, 510.0)], &["Warn p99"]),
        (&[(ErrorRate, 1.0, 3.0)], &[]),
        (&[(ErrorRate, 0.1, 2.1)], &[]),
        (&[(ErrorRate, 1.0, 3.01)], &["Fail error_rate"]),
        (&[(RequestsPerSec, 10.0, 7.0)], &[]),
        (&[(RequestsPerSec, 10.0, 6.9)], &["Warn requests_per_sec"]),
        (&[(RequestsPerSec, 10.0, 100.0), (P95, 300.0, 3.0)], &[]),
        // From nothing to something exceeds any percentage.
        (&[(P95, 0.0, 500.0)], &["Fail p95"]),
        (&[(P95, 0.0, 0.0)], &[]),
        (&[(RequestsPerSec, 0.0, 5.0)], &[]),
        // Errors come first, failures before warnings.
        (
            &[(P50, 100.0, 200.0), (P95, 300.0, 600.0), (ErrorRate, 0.0, 50.0)],
            &["Fail error_rate", "Fail p95", "Warn p50"],
        ),
    ];
    for (pairs, expected) in cases {
        check(pairs, &limits, false, expected);
    }
}

#[test]
fn strict_turns_warnings_into_failures() {
    check(&[(Metric::P50, 200.0, 250.0)], &default_limits(), true, &["Fail p50"]);
    check(&[(Metric::RequestsPerSec, 10.0, 1.0)], &default_limits(), true, &["Fail requests_per_sec"]);
    check(&[(Metric::P50, 200.0, 240.0)], &default_limits(), true, &[]);
}

#[test]
fn change_within_rounding_is_no_regression() {
    for (baseline_ms, candidate_ms, expected) in [
        (4.0, 5.0, Decision::BelowResolution),
        (0.0, 1.0, Decision::BelowResolution),
        (4.0, 6.0, Decision::Fail(Reason::OverLimit)),
        (2.0, 4.0, Decision::Fail(Reason::OverLimit)),
        (99.0, 120.0, Decision::Fail(Reason::OverLimit)),
    ] {
        let reference = baseline(&[(Metric::P95, baseline_ms)]);
        let runs = [candidate(&[(Metric::P95, candidate_ms)])];
        let comparison = compare(&reference, &runs, rules(false)).unwrap();
        let row = comparison.total.iter().find(|row| row.metric == Metric::P95).unwrap();
        assert_eq!(row.decision, Some(expected), "{baseline_ms} -> {candidate_ms}");
    }
    for (value_ms, width_ms) in
        [(4.0, 1.0), (99.0, 1.0), (100.0, 10.0), (990.0, 10.0), (1000.0, 100.0), (12_000.0, 1000.0)]
    {
        assert!((Precision::Coarse.resolution_ms(value_ms) - width_ms).abs() < 1e-9, "{value_ms}");
    }
}

#[test]
fn coarser_side_sets_the_resolution() {
    let judged = |baseline_precision: Precision, candidate_precision: Precision| {
        let mut reference = baseline(&[(Metric::P95, 4.0)]);
        reference.provenance.precision = baseline_precision;
        let mut run = candidate(&[(Metric::P95, 5.0)]);
        run.precision = candidate_precision;
        compare(&reference, &[run], rules(false)).unwrap().verdict
    };
    assert_eq!(judged(Precision::Fine, Precision::Fine), Verdict::Fail);
    assert_eq!(judged(Precision::Fine, Precision::Coarse), Verdict::Pass);
    assert_eq!(judged(Precision::Coarse, Precision::Fine), Verdict::Pass);
    for (value_ms, width_ms) in [(0.5, 0.001), (4.0, 0.01), (43.7, 0.1), (127.0, 1.0), (1000.0, 10.0)] {
        assert!((Precision::Fine.resolution_ms(value_ms) - width_ms).abs() < 1e-9, "{value_ms}");
    }
}

#[test]
fn limits_of_perf_toml_change_the_verdict() {
    use Metric::{ErrorRate, P95, RequestsPerSec};
    let cases: &[(Metric, &str, f64, f64, &[&str])] = &[
        (P95, "50%", 300.0, 400.0, &[]),
        (P95, "10%", 300.0, 340.0, &["Fail p95"]),
        (P95, "20% and 50ms", 100.0, 140.0, &[]),
        (P95, "20% and 50ms", 100.0, 160.0, &["Fail p95"]),
        (P95, "20% and 50ms", 1000.0, 1100.0, &[]),
        (P95, "max 500ms", 100.0, 500.0, &[]),
        (P95, "max 500ms", 490.0, 510.0, &["Fail p95"]),
        (P95, "20%, max 500ms", 490.0, 510.0, &["Fail p95"]),
        (P95, "20%, max 500ms", 100.0, 130.0, &["Fail p95"]),
        (ErrorRate, "0.5pp", 1.0, 1.6, &["Fail error_rate"]),
        (ErrorRate, "max 1%", 0.9, 1.1, &["Fail error_rate"]),
        (RequestsPerSec, "10%", 10.0, 8.0, &["Warn requests_per_sec"]),
        (RequestsPerSec, "min 9/s", 10.0, 8.9, &["Warn requests_per_sec"]),
    ];
    for (metric, limit, baseline, candidate, expected) in cases {
        check(&[(*metric, *baseline, *candidate)], &with_limits(&[(*metric, limit)]), false, expected);
    }
}

#[test]
fn malformed_limit_is_refused() {
    for (metric, text, expected) in [
        (
            Metric::P95,
            "20",
            expect![[r#"`20` does not end in `%`: write for example "20%", "20% and 5 ms" or "max 500 ms""#]],
        ),
        (
            Metric::P95,
            "-5%",
            expect![[r#"`-5` is not a number of 0 or more: write for example "20%", "20% and 5 ms" or "max 500 ms""#]],
        ),
        (
            Metric::P95,
            "20%, 30%",
            expect![[r#"the limit of change is given twice: write for example "20%", "20% and 5 ms" or "max 500 ms""#]],
        ),
        (Metric::ErrorRate, "2%", expect![[r#"`2%` does not end in `pp`: write for example "2pp" or "max 5%""#]]),
        (Metric::TotalRequests, "2%", expect!["`total_requests` is shown but not judged, so it takes no limit"]),
    ] {
        expected.assert_eq(&error(Limit::parse(metric, text)));
    }
}

#[test]
fn baseline_without_a_blocking_metric_is_refused() {
    let reference = baseline(&[(Metric::P50, 100.0), (Metric::P95, 300.0), (Metric::ErrorRate, 0.0)]);
    let runs = [candidate(&[(Metric::P95, 400.0)])];
    let comparison = compare(&reference, &runs, rules(false)).unwrap();
    assert_eq!(comparison.lacking, [Metric::P99, Metric::RequestsPerSec]);
    assert_eq!(comparison.verdict, Verdict::Fail);
    for metric in ["p95", "error_rate"] {
        let blind = Baseline::parse(&VERSION_1_0.replace(&format!("\"{metric}\""), "\"renamed\"")).unwrap();
        let found = error(compare(&blind, &runs, rules(false)));
        assert!(
            found.starts_with(&format!("the baseline lacks {metric}, so the gate could not fail on it")),
            "{found}"
        );
    }
}

#[test]
fn mean_of_several_runs_decides() {
    let reference = baseline(&[(Metric::P95, 300.0), (Metric::ErrorRate, 0.0)]);
    // 320 and 400: the geometric mean is 357.8, within 20%; either run alone would differ.
    let runs = [
        candidate(&[(Metric::P95, 320.0), (Metric::ErrorRate, 0.0)]),
        candidate(&[(Metric::P95, 400.0), (Metric::ErrorRate, 3.0)]),
    ];
    let comparison = compare(&reference, &runs, rules(false)).unwrap();
    assert_eq!(comparison.verdict, Verdict::Pass);
    let value =
        |metric| comparison.total.iter().find(|row| row.metric == metric).unwrap().presence.candidate().unwrap();
    assert_eq!(format!("{:.1} {:.1}", value(Metric::P95), value(Metric::ErrorRate)), "357.8 1.5");
}

#[test]
fn verdict_is_settled_once_noise_cannot_change_it() {
    for (baseline_ms, candidate_ms, settled, verdict) in [
        // A quiet machine needs one run.
        (&[300.0, 303.0, 297.0, 301.0, 299.0][..], &[304.0][..], true, Verdict::Pass),
        // A FAIL needs two: the first may have met a busy neighbour.
        (&[300.0, 303.0, 297.0, 301.0, 299.0], &[420.0], false, Verdict::Fail),
        (&[300.0, 303.0, 297.0, 301.0, 299.0], &[420.0, 415.0], true, Verdict::Fail),
        (&[300.0, 303.0, 297.0, 301.0, 299.0], &[420.0, 300.0], false, Verdict::Pass),
        // A value near its limit, and a noisy machine, need more.
        (&[300.0, 303.0, 297.0, 301.0, 299.0], &[358.0], false, Verdict::Pass),
        (&[300.0, 320.0, 285.0, 310.0, 290.0], &[310.0], false, Verdict::Pass),
        (&[300.0, 320.0, 285.0, 310.0, 290.0], &[310.0, 300.0, 305.0, 290.0, 300.0], true, Verdict::Pass),
    ] {
        let reference = Baseline::new(&runs_of(baseline_ms), provenance()).unwrap();
        let runs = runs_of(candidate_ms);
        let comparison = compare(&reference, &runs, rules(false)).unwrap();
        let unsettled: Vec<Metric> = comparison.unsettled().map(|row| row.metric).collect();
        let expected = if settled { vec![] } else { vec![Metric::P95] };
        assert_eq!((unsettled, comparison.verdict), (expected, verdict), "{baseline_ms:?} {candidate_ms:?}");
    }
}

/// Checks the decisions on endpoints over their limits, worst first.
#[track_caller]
fn check_endpoints(baseline: &[Run], candidate: &[Run], rules: &Rules, expected: &Expect) {
    let reference = Baseline::new(baseline, provenance()).unwrap();
    let comparison = compare(&reference, candidate, rules).unwrap();
    let mut rows: Vec<&Row> = comparison.findings();
    rows.extend(comparison.endpoints.iter().filter(|row| matches!(row.decision, Some(Decision::InDoubt(_)))));
    let lines: Vec<String> =
        rows.iter().filter_map(|row| Some(format!("{:?} {} {}", row.decision?, row.endpoint?, row.metric))).collect();
    expected.assert_eq(&lines.join("\n"));
    let failed = rows.iter().any(|row| row.is_failure());
    assert_eq!(comparison.verdict, if failed { Verdict::Fail } else { Verdict::Pass });
}

#[test]
fn endpoint_fails_only_with_two_runs_enough_samples_and_significance() {
    let steady = [300.0, 303.0, 297.0, 301.0, 299.0];
    let noisy = [300.0, 400.0, 250.0, 330.0, 280.0];
    let baseline = runs_with("GET /a", &steady, 450, 0);
    let cases = [
        (
            &baseline,
            runs_with("GET /a", &[900.0, 905.0], 450, 0),
            expect![[r#"
                Fail(OverLimit) GET /a p95
                InDoubt(FewSamples(FewSamples { requests: 450, samples: 4 })) GET /a p99"#]],
        ),
        // One run never fails it, however clear the change is.
        (&baseline, runs_with("GET /a", &[390.0], 450, 0), expect!["Warn(OneRun) GET /a p95"]),
        // Much slower, but the baseline varies too.
        (
            &runs_with("GET /a", &noisy, 450, 0),
            runs_with("GET /a", &[400.0, 410.0], 450, 0),
            expect!["InDoubt(NotSignificant) GET /a p95"],
        ),
        // A p95 of 99 requests rests on four.
        (
            &runs_with("GET /a", &steady, 99, 0),
            runs_with("GET /a", &[390.0, 390.0], 99, 0),
            expect!["InDoubt(FewSamples(FewSamples { requests: 99, samples: 4 })) GET /a p95"],
        ),
        // The slower a closed loop, the fewer requests: the side with more counts.
        (
            &baseline,
            runs_with("GET /a", &[900.0, 905.0], 10, 0),
            expect![[r#"
            Fail(OverLimit) GET /a p95
            InDoubt(FewSamples(FewSamples { requests: 450, samples: 4 })) GET /a p99"#]],
        ),
        (
            &runs_with("GET /a", &steady, 100, 0),
            runs_with("GET /a", &[390.0, 390.0], 100, 0),
            expect!["Fail(OverLimit) GET /a p95"],
        ),
        // A significant change within the limit is irrelevant.
        (&baseline, runs_with("GET /a", &[350.0, 350.0], 450, 0), expect![""]),
        // 5% of 450 requests failed, 4% of 60, and two of 60 in all.
        (&baseline, runs_with("GET /a", &[300.0, 300.0], 450, 23), expect!["Fail(OverLimit) GET /a error_rate"]),
        (
            &runs_with("GET /a", &steady, 60, 0),
            runs_with("GET /a", &[300.0, 300.0], 60, 2),
            expect!["InDoubt(NotSignificant) GET /a error_rate"],
        ),
        (
            &runs_with("GET /a", &steady, 30, 0),
            runs_with("GET /a", &[300.0, 300.0], 30, 1),
            expect!["InDoubt(FewSamples(FewSamples { requests: 30, samples: 2 })) GET /a error_rate"],
        ),
        // 6 of 150 against 2 of 150 in each run before: chance explains so many more.
        (
            &runs_with("GET /a", &steady, 150, 2),
            runs_with("GET /a", &[300.0], 150, 6),
            expect!["InDoubt(NotSignificant) GET /a error_rate"],
        ),
    ];
    for (baseline, candidate, expected) in cases {
        check_endpoints(baseline, &candidate, rules(false), &expected);
    }
    // p is 0.0043, and the level 0.05 over eight looks: enough, unless series that only warn take a share of it.
    let varied = runs_with("GET /a", &[281.5, 319.7, 281.5, 319.7, 300.0], 450, 0);
    check_endpoints(
        &varied,
        &runs_with("GET /a", &[366.0, 366.0], 450, 0),
        rules(false),
        &expect!["Fail(OverLimit) GET /a p95"],
    );
    // `--strict` promotes warnings only.
    let noisy = runs_with("GET /a", &noisy, 450, 0);
    check_endpoints(
        &noisy,
        &runs_with("GET /a", &[400.0, 410.0], 450, 0),
        rules(true),
        &expect!["InDoubt(NotSignificant) GET /a p95"],
    );
    let mut slow = runs_with("GET /a", &steady, 450, 0);
    for run in &mut slow {
        run.endpoints[0].1.p50_ms = 130.0;
    }
    check_endpoints(&baseline, &slow, rules(false), &expect!["Warn(OverLimit) GET /a p50"]);
    check_endpoints(&baseline, &slow, rules(true), &expect!["Fail(OverLimit) GET /a p50"]);
    // Throughput warns when it falls, not when it rises.
    for run in &mut slow {
        (run.endpoints[0].1.p50_ms, run.endpoints[0].1.requests_per_sec) = (100.0, 9.0);
    }
    check_endpoints(&baseline, &slow, rules(false), &expect!["Warn(OverLimit) GET /a requests_per_sec"]);
    check_endpoints(&slow, &baseline, rules(false), &expect![""]);
}

/// Checks after each run of an endpoint, by its p95 in ms, whether it failed and whether another run follows.
#[track_caller]
fn check_runs(baseline_ms: &[f64], candidate_ms: &[f64], expected: &[(bool, bool)]) {
    let reference = Baseline::new(&runs_with("GET /a", baseline_ms, 450, 0), provenance()).unwrap();
    let runs = runs_with("GET /a", candidate_ms, 450, 0);
    let mut found = Vec::new();
    for made in 1..=runs.len() {
        let comparison = compare(&reference, &runs[..made], rules(false)).unwrap();
        found.push((comparison.verdict == Verdict::Fail, comparison.wants_another_run()));
    }
    assert_eq!(found, expected, "{candidate_ms:?}");
}

#[test]
fn endpoint_over_its_limit_needs_three_runs() {
    let steady = [300.0, 303.0, 297.0, 301.0, 299.0];
    // After one run over the limit a second follows, and after two a third confirms them.
    check_runs(&steady, &[500.0, 505.0, 502.0], &[(false, true), (true, true), (true, false)]);
    // One disturbed run, and two that were not.
    check_runs(&steady, &[500.0, 300.0, 301.0], &[(false, true), (false, true), (false, false)]);
    check_runs(&steady, &[310.0], &[(false, false)]);
    // An endpoint with too few requests to be a finding needs no runs.
    let few = |p95_ms: &[f64]| runs_with("GET /a", p95_ms, 60, 0);
    let reference = Baseline::new(&few(&steady), provenance()).unwrap();
    let runs = few(&[500.0]);
    assert!(!compare(&reference, &runs, rules(false)).unwrap().wants_another_run());
    // Once a failure is final, no other series needs to be settled.
    let mut both = runs_with("GET /a", &[500.0, 505.0, 502.0], 450, 0);
    both[2].total.p95_ms = 420.0;
    let reference = Baseline::new(&runs_with("GET /a", &steady, 450, 0), provenance()).unwrap();
    let comparison = compare(&reference, &both, rules(false)).unwrap();
    assert!(comparison.total.iter().any(|row| row.evidence.unsettled.is_some()));
    assert_eq!(comparison.unsettled().count(), 0);
}

#[test]
fn baseline_of_one_run_takes_at_least_three_runs() {
    let reference = Baseline::new(&runs_of(&[300.0]), provenance()).unwrap();
    for (runs, max_runs, is_wanted) in [(1, 8, true), (2, 8, true), (3, 8, false), (1, 1, false), (2, 2, false)] {
        let rules = Rules { max_runs, ..Rules::default() };
        let runs = runs_of(&[300.0, 301.0, 299.0][..runs]);
        let comparison = compare(&reference, &runs, &rules).unwrap();
        assert_eq!(comparison.wants_another_run(), is_wanted, "{} of {max_runs}", runs.len());
        assert_eq!(comparison.detectable_by_five.is_some(), runs.len() > 1);
    }
}

/// The p95 of a run lies between 20 and 200 ms, and the mean of all requests is this.
fn in_gap(p95_ms: f64, avg_ms: f64) -> Run {
    let mut run = candidate(&[(Metric::P95, p95_ms)]);
    run.total.avg_ms = avg_ms;
    run.total.p95_interval_ms = Some(Interval { low: 20.0, high: 200.0 });
    run.distribution = PERCENTILES.map(|percentile| if percentile > 95.0 { 200.0 } else { 20.0 }).to_vec();
    run
}

#[test]
fn p95_in_a_gap_needs_corroboration() {
    let runs = |means: [f64; 5]| means.map(|mean| in_gap(200.0, mean)).to_vec();
    let baseline = [(20.0, 29.0), (20.0, 29.4), (20.0, 28.7), (200.0, 29.3), (20.0, 28.9)];
    let reference = Baseline::new(&baseline.map(|(p95, mean)| in_gap(p95, mean)), provenance()).unwrap();
    let rules = Rules { max_runs: 5, ..Rules::default() };
    let decided = |runs: &[Run]| {
        let comparison = compare(&reference, runs, &rules).unwrap();
        comparison.total.iter().find(|row| row.metric == Metric::P95).unwrap().decision.unwrap()
    };
    assert_eq!(decided(&runs([29.1, 28.8, 29.3, 29.0, 29.2])), Decision::InDoubt(Reason::InGap));
    assert_eq!(decided(&runs([37.1, 36.8, 37.3, 37.0, 37.2])), Decision::Fail(Reason::OverLimit));
    // The slow requests became slower still, which hardly moves the mean.
    let mut slower = runs([29.1, 28.8, 29.3, 29.0, 29.2]);
    for run in &mut slower {
        run.distribution[13] = 250.0;
    }
    assert_eq!(decided(&slower), Decision::Fail(Reason::OverLimit));
    // If the interval of the requests is narrow or unknown, the estimate decides.
    let mut narrow = runs([29.1, 28.8, 29.3, 29.0, 29.2]);
    for run in &mut narrow {
        run.total.p95_interval_ms = Some(Interval { low: 190.0, high: 200.0 });
    }
    assert_eq!(decided(&narrow), Decision::Fail(Reason::OverLimit));
    narrow[0].total.p95_interval_ms = None;
    assert_eq!(decided(&narrow), Decision::Fail(Reason::OverLimit));
    // A CSV has no histogram, and its percentiles are too far apart.
    let mut of_csv = runs([29.1, 28.8, 29.3, 29.0, 29.2]);
    of_csv[4].distribution.clear();
    assert_eq!(decided(&of_csv), Decision::Fail(Reason::OverLimit));
}

#[test]
fn more_endpoints_need_more_significance() {
    let names: Vec<String> = (0..200).map(|number| format!("GET /{number}")).collect();
    let all = |p95_ms: f64, first_ms: f64| {
        let mut endpoints: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), p95_ms)).collect();
        endpoints[0].1 = first_ms;
        run(&endpoints)
    };
    let baseline: Vec<Run> = [300.0, 315.0, 288.0, 305.0, 294.0].map(|p95_ms| all(p95_ms, p95_ms)).into();
    let slow = [all(300.0, 400.0), all(300.0, 400.0)];
    check_endpoints(&baseline, &slow, rules(false), &expect!["InDoubt(NotSignificant) GET /0 p95"]);
    let alone = |run: &Run| Run { endpoints: run.endpoints[..1].to_vec(), ..run.clone() };
    let baseline: Vec<Run> = baseline.iter().map(alone).collect();
    check_endpoints(
        &baseline,
        &[alone(&slow[0]), alone(&slow[1])],
        rules(false),
        &expect!["Fail(OverLimit) GET /0 p95"],
    );
}

#[test]
fn endpoint_on_one_side_only_is_new_or_missing() {
    let gone = |requests: u64| {
        let mut runs = runs_with("GET /gone", &[300.0; 5], requests, 0);
        for run in &mut runs {
            run.endpoints.push(("GET /a".into(), stats(300.0)));
        }
        runs
    };
    let now = run(&[("GET /a", 300.0), ("GET /new", 9000.0)]);
    let twice = [now.clone(), now.clone()];
    let once = slice::from_ref(&now);
    // 20 requests come in each of five runs, and none in two: by chance once in a million million times.
    check_endpoints(&gone(20), &twice, rules(false), &expect!["Fail(Missing) GET /gone p95"]);
    check_endpoints(&gone(20), once, rules(false), &expect!["Warn(Missing) GET /gone p95"]);
    check_endpoints(&gone(20), once, rules(true), &expect!["Fail(Missing) GET /gone p95"]);
    check_endpoints(
        &gone(2),
        &twice,
        rules(true),
        &expect!["InDoubt(FewSamples(FewSamples { requests: 2, samples: 2 })) GET /gone p95"],
    );
    // It was asked for in one run of five, and its 20 requests count for all of them.
    let mut rare = gone(20);
    for run in &mut rare[1..] {
        run.endpoints.remove(0);
    }
    check_endpoints(
        &rare,
        &twice,
        rules(true),
        &expect!["InDoubt(FewSamples(FewSamples { requests: 4, samples: 4 })) GET /gone p95"],
    );
    // It fails only if one of the endpoint's limits does, and without a limit it is no finding.
    let with_level = |level| {
        let limits = default_limits().into_iter().map(|(metric, limit)| (metric, Limit { level, ..limit })).collect();
        Rules { endpoint_limits: vec![EndpointLimits::new("GET /gone", limits)], ..rules(false).clone() }
    };
    check_endpoints(&gone(20), &twice, &with_level(Level::Warn), &expect!["Warn(Missing) GET /gone p95"]);
    check_endpoints(&gone(20), &twice, &with_level(Level::Off), &expect![""]);
    let (gone, now) = (gone(10), once);
    let reference = Baseline::new(&gone, provenance()).unwrap();
    let comparison = compare(&reference, now, rules(false)).unwrap();
    let new: Vec<_> = comparison.endpoints.iter().filter(|row| row.endpoint == Some("GET /new")).collect();
    assert_eq!((new.len(), new[0].decision), (1, None));
    assert_eq!(new[0].presence, Presence::New { candidate: 9000.0 });
}

/// A run with this interval for the p95 of `GET /a`.
fn single(p95_ms: f64, p95_interval_ms: Option<Interval>) -> Vec<Run> {
    let mut runs = runs_with("GET /a", &[p95_ms], 450, 0);
    runs[0].endpoints[0].1.p95_interval_ms = p95_interval_ms;
    runs
}

#[test]
fn requests_decide_between_single_runs() {
    let baseline = single(300.0, Some(Interval { low: 280.0, high: 330.0 }));
    let check = |candidate: Vec<Run>, expected: &Expect| check_endpoints(&baseline, &candidate, rules(false), expected);
    // 330 and a fifth is 396.
    check(single(420.0, Some(Interval { low: 397.0, high: 480.0 })), &expect!["Warn(OneRun) GET /a p95"]);
    check(single(420.0, Some(Interval { low: 396.0, high: 480.0 })), &expect!["InDoubt(ReachesBelowLimit) GET /a p95"]);
    check(single(420.0, None), &expect!["InDoubt(NoiseUnknown) GET /a p95"]);
    check(single(350.0, Some(Interval { low: 397.0, high: 480.0 })), &expect![""]);
    check(runs_with("GET /a", &[300.0], 450, 45), &expect!["Warn(OneRun) GET /a error_rate"]);
    check(runs_with("GET /a", &[300.0], 450, 12), &expect!["InDoubt(ReachesBelowLimit) GET /a error_rate"]);
    // The baseline file has the ends only if it has a single run.
    let text = |runs: &[Run]| Baseline::new(runs, provenance()).unwrap().to_text();
    assert!(text(&baseline).contains("\"p95_high\": [330.0]"));
    assert!(!text(&[&baseline[..], &baseline[..]].concat()).contains("p95_high"));
    let reference = Baseline::parse(&text(&baseline)).unwrap();
    let candidate = single(420.0, Some(Interval { low: 397.0, high: 480.0 }));
    let comparison = compare(&reference, &candidate, rules(false)).unwrap();
    assert!(comparison.rests_on_requests());
    // `--strict` promotes it.
    assert_eq!(comparison.verdict, Verdict::Pass);
    assert_eq!(compare(&reference, &candidate, rules(true)).unwrap().verdict, Verdict::Fail);
}

#[test]
fn longest_matching_pattern_sets_an_endpoint_limit() {
    let limits = |limits: &[(Metric, &str)]| -> Limits {
        limits.iter().map(|(metric, text)| (*metric, Limit::parse(*metric, text).unwrap())).collect()
    };
    let mut endpoint_limits = vec![
        EndpointLimits::new("GET /*", limits(&[(Metric::P95, "50%")])),
        EndpointLimits::new("GET /claims*", limits(&[(Metric::P95, "max 310ms"), (Metric::ErrorRate, "10pp")])),
        EndpointLimits::new("GET /claims/[id]", limits(&[(Metric::P95, "200%")])),
    ];
    endpoint_limits.sort_by_cached_key(EndpointLimits::precedence);
    let rules = Rules { limits: with_limits(&[(Metric::P95, "15%")]), endpoint_limits, ..Rules::default() };
    let steady = [300.0, 303.0, 297.0, 301.0, 299.0];
    for (name, p95_ms, failures, expected) in [
        ("POST /a", 350.0, 0, expect!["Fail(OverLimit) POST /a p95"]),
        ("GET /a", 440.0, 0, expect![""]),
        ("GET /a", 460.0, 0, expect!["Fail(OverLimit) GET /a p95"]),
        // The estimate is compared with a bound. A metric without a limit in a longer pattern gets it from a shorter one.
        ("GET /claims", 311.0, 0, expect!["Fail(OverBound) GET /claims p95"]),
        (
            "GET /claims/[id]",
            890.0,
            40,
            expect!["InDoubt(FewSamples(FewSamples { requests: 450, samples: 4 })) GET /claims/[id] p99"],
        ),
        ("GET /claims/[id]", 310.0, 50, expect!["Fail(OverLimit) GET /claims/[id] error_rate"]),
    ] {
        check_endpoints(
            &runs_with(name, &steady, 450, 0),
            &runs_with(name, &[p95_ms, p95_ms], 450, failures),
            &rules,
            &expected,
        );
    }
    // A bound needs no baseline.
    let new = [run(&[("POST /a", 300.0), ("GET /claims/new", 320.0)]), run(&[("GET /claims/new", 320.0)])];
    let old = runs_with("POST /a", &steady, 450, 0);
    check_endpoints(&old, &new, &rules, &expect!["Fail(OverBound) GET /claims/new p95"]);
}

fn rules_of(pattern: &str) -> Rules {
    Rules { endpoint_limits: vec![EndpointLimits::new(pattern, Limits::new())], ..Rules::default() }
}

#[test]
fn limit_that_matches_no_endpoint_is_an_error() {
    let runs = [run(&[("GET /a", 300.0), ("GET /claims", 300.0)])];
    let reference = Baseline::new(&[run(&[("GET /gone", 300.0)])], provenance()).unwrap();
    for (name, is_met) in [
        ("GET /a", true),
        ("GET *", true),
        ("*/claims", true),
        ("GET /?", true),
        ("GET /gone", true),
        ("GET /clams", false),
        ("get /a", false),
        ("claims", false),
    ] {
        let result = check_endpoint_limits(&rules_of(name), Some(&reference), &runs, "again");
        assert_eq!(result.is_ok(), is_met, "{name}: {result:?}");
    }
    expect![[r#"[limits."GET /clams"] matches no endpoint (did you mean "GET /claims"?), so it checks nothing: fix the name, then judge the same results again with `again`"#]].assert_eq(&error(check_endpoint_limits(&rules_of("GET /clams"), None, &runs, "again")));
    let without_method = error(check_endpoint_limits(&rules_of("/a"), None, &runs, "again"));
    assert!(without_method.contains("(did you mean \"GET /a\"?)"), "{without_method}");
}

#[test]
fn every_judged_metric_but_the_mean_and_the_cpu_time_has_a_default_limit() {
    let unlimited: Vec<Metric> = JUDGED.into_iter().filter(|metric| !default_limits().contains_key(metric)).collect();
    assert_eq!(unlimited, [Metric::AvgResponseTime, Metric::CpuPerRequest]);
}

#[test]
fn limit_usage_is_0_at_the_baseline_and_1_at_the_limit() {
    use Metric::{ErrorRate, P95, RequestsPerSec};
    for (metric, limit, baseline_value, candidate_value, allowed, strain) in [
        (P95, "20%", 100.0, 110.0, 120.0, 0.5),
        (P95, "20% and 50ms", 100.0, 125.0, 150.0, 0.5),
        (P95, "20% and 5ms", 100.0, 80.0, 120.0, -1.0),
        (P95, "20%, max 110ms", 100.0, 105.0, 110.0, 0.5),
        (P95, "max 200ms", 100.0, 300.0, 200.0, 2.0),
        (P95, "max 90ms", 100.0, 100.0, 90.0, f64::INFINITY),
        (P95, "20%", 0.0, 1.0, 0.0, f64::INFINITY),
        (P95, "20%", 0.0, 0.0, 0.0, 0.0),
        (ErrorRate, "2pp", 1.0, 2.0, 3.0, 0.5),
        (RequestsPerSec, "30%", 10.0, 8.5, 7.0, 0.5),
        (RequestsPerSec, "30%, min 9/s", 10.0, 8.0, 9.0, 2.0),
    ] {
        let reference = baseline(&[(metric, baseline_value)]);
        let runs = [candidate(&[(metric, candidate_value)])];
        let rules = rules_with(with_limits(&[(metric, limit)]), false);
        let comparison = compare(&reference, &runs, rules).unwrap();
        let row = comparison.total.iter().find(|row| row.metric == metric).unwrap();
        let found = [row.allowed().unwrap(), row.limit_usage(candidate_value).unwrap()];
        let is_close = |a: f64, b: f64| a == b || (a - b).abs() < 1e-9;
        assert!(is_close(found[0], allowed) && is_close(found[1], strain), "{limit} {candidate_value}: {found:?}");
    }
}

#[test]
fn rounds_are_judged_by_their_differences() {
    let paired = Rules { paired: true, min_runs: 2, max_runs: 7, ..Rules::default() };
    let judged = |baseline_ms: &[f64], candidate_ms: &[f64]| {
        let reference = Baseline::new(&runs_of(baseline_ms), provenance()).unwrap();
        let runs = runs_of(candidate_ms);
        let comparison = compare(&reference, &runs, &paired).unwrap();
        (comparison.verdict, comparison.wants_another_run())
    };
    // The machine gets slower by a half, which affects both sides.
    assert_eq!(judged(&[300.0, 350.0, 400.0, 450.0], &[306.0, 355.0, 412.0, 455.0]), (Verdict::Pass, false));
    assert_eq!(judged(&[300.0, 350.0, 400.0, 450.0], &[420.0, 497.0, 560.0, 625.0]), (Verdict::Fail, false));
    assert!(judged(&[300.0, 350.0], &[330.0, 390.0]).1, "two rounds are little evidence");
    assert!(judged(&[300.0], &[300.0]).1, "one round is no evidence");
}

#[test]
fn exact_name_precedes_every_pattern() {
    let mut endpoint_limits: Vec<EndpointLimits> =
        [("GET /?", "1%"), ("GET /*", "2%"), ("GET /a", "3%"), ("GET /b?x", "4%"), ("GET /b??", "5%")]
            .map(|(pattern, p95)| {
                EndpointLimits::new(pattern, Limits::from([(Metric::P95, Limit::parse(Metric::P95, p95).unwrap())]))
            })
            .into();
    endpoint_limits.sort_by_cached_key(EndpointLimits::precedence);
    let rules = Rules { endpoint_limits, ..Rules::default() };
    let limit = |endpoint| rules.limit(Some(endpoint), Metric::P95).and_then(|limit| limit.worsening);
    for (endpoint, expected) in
        [("GET /a", 3.0), ("GET /c", 1.0), ("GET /b?x", 4.0), ("GET /bcx", 4.0), ("GET /long", 2.0), ("POST /a", 20.0)]
    {
        assert_eq!(limit(endpoint), Some(expected), "{endpoint}");
    }
}
