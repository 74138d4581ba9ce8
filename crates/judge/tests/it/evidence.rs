//! What proves a change, and what the runs could not show: pooled requests, shared changes, confirmation by the mean.

use judge::baseline::file::Baseline;
use judge::model::limits::{Limit, Rules};
use judge::model::run::{Lateness, Metric, Precision, Provenance, Resolution, Run};
use judge::parse::locust_json;
use judge::verdict::compare::{Comparison, Verdict, compare};
use judge::verdict::decision::{Decision, Reason, Row, Unsettled};
use judge::verdict::endpoints::Coverage;

use crate::samples::{json_of, provenance, rules, run, runs_of, runs_with, with_limits};

/// A run of endpoints, each with its response times in ms and their counts.
fn timed(endpoints: &[(&str, &str)]) -> Run {
    let entries: Vec<String> = endpoints
        .iter()
        .map(|(name, times)| {
            let entry = json_of(times).replace("\"name\":\"/\"", &format!("\"name\":\"{name}\""));
            entry[1..entry.len() - 1].to_owned()
        })
        .collect();
    locust_json::parse(&format!("[{}]", entries.join(","))).unwrap()
}

fn baseline_of(runs: &[Run]) -> Baseline {
    Baseline::new(runs, Provenance { mean_users: Some(10.0), ..provenance() }).unwrap()
}

#[track_caller]
fn row<'c>(comparison: &'c Comparison<'c>, endpoint: Option<&str>, metric: Metric) -> &'c Row<'c> {
    comparison.row(endpoint, metric).unwrap()
}

fn decision(comparison: &Comparison, endpoint: Option<&str>, metric: Metric) -> Decision {
    row(comparison, endpoint, metric).decision.unwrap()
}

const MANY: &str = r#""20.1":900,"40.1":100"#;

#[test]
fn few_requests_of_an_endpoint_are_counted_over_all_runs() {
    let of = |rare: &str| timed(&[("/", MANY), ("/rare", rare)]);
    let before = Baseline::new(&vec![of(r#""20.1":11,"40.1":1"#); 10], provenance()).unwrap();
    let slow = of(r#""40.1":3,"101":9"#);
    for (runs, is_failure) in [(1, false), (2, true), (3, true)] {
        let now = vec![slow.clone(); runs];
        let comparison = compare(&before, &now, rules(false)).unwrap();
        let found = decision(&comparison, Some("GET /rare"), Metric::P95);
        assert_eq!(matches!(found, Decision::Fail(Reason::OverLimit)), is_failure, "{runs} runs: {found:?}");
        // A third run confirms it.
        assert_eq!(comparison.wants_another_run(), runs < 3, "{runs} runs");
    }
    // One of 12 requests is over the limit now and then, without any change.
    let now = vec![of(r#""20.1":11,"101":1"#); 2];
    let comparison = compare(&before, &now, rules(false)).unwrap();
    assert!(!row(&comparison, Some("GET /rare"), Metric::P95).is_finding());
    // Without histograms few requests prove nothing.
    let mut bare = vec![slow; 3];
    for run in &mut bare {
        run.endpoints.iter_mut().for_each(|(_, stats)| stats.histogram = judge::stats::histogram::Histogram::default());
    }
    let comparison = compare(&before, &bare, rules(false)).unwrap();
    assert!(matches!(decision(&comparison, Some("GET /rare"), Metric::P95), Decision::InDoubt(Reason::FewSamples(_))));
}

#[test]
fn coverage_is_the_endpoints_that_the_runs_can_judge() {
    let of = |rare: &str| timed(&[("/", MANY), ("/rare", rare), ("/rarest", r#""20.1":1"#)]);
    let before = baseline_of(&vec![of(r#""20.1":11,"40.1":1"#); 10]);
    let runs = vec![of(r#""20.1":11,"40.1":1"#); 2];
    let comparison = compare(&before, &runs, rules(false)).unwrap();
    assert_eq!(comparison.coverage, Coverage { endpoints: 3, unjudged: vec!["GET /rarest"] });
}

#[test]
fn an_endpoint_must_exceed_what_all_requests_share() {
    let before = baseline_of(&runs_with("GET /a", &[300.0, 303.0, 297.0, 301.0, 299.0], 450, 0));
    let now = |total_ms: f64| {
        let mut runs = runs_with("GET /a", &[361.0, 363.0], 450, 0);
        for run in &mut runs {
            run.total.p95_ms = total_ms;
        }
        runs
    };
    // 21% over a limit of 20%, and 0.5% noise: significant if nothing else changed, and if everything is 15% slower.
    for (total_ms, is_failure) in [(300.0, true), (345.0, true)] {
        let runs = now(total_ms);
        let comparison = compare(&before, &runs, rules(false)).unwrap();
        assert_eq!(row(&comparison, Some("GET /a"), Metric::P95).is_failure(), is_failure, "{total_ms} ms");
    }
    // With 4% noise the same change is significant only against no change.
    let before = baseline_of(&runs_with("GET /a", &[288.0, 315.0, 300.0, 309.0, 289.0], 450, 0));
    for (total_ms, is_failure) in [(300.0, true), (345.0, false)] {
        let runs = now(total_ms);
        let comparison = compare(&before, &runs, rules(false)).unwrap();
        assert_eq!(row(&comparison, Some("GET /a"), Metric::P95).is_failure(), is_failure, "{total_ms} ms");
    }
}

#[test]
fn an_endpoint_just_within_its_limit_asks_for_another_run() {
    let before = baseline_of(&runs_with("GET /a", &[291.0, 309.0, 300.0, 306.0, 294.0], 450, 0));
    for (now_ms, asks) in [(355.0, true), (320.0, false)] {
        let runs = runs_with("GET /a", &[now_ms], 450, 0);
        let comparison = compare(&before, &runs, rules(false)).unwrap();
        let unsettled = row(&comparison, Some("GET /a"), Metric::P95).evidence.unsettled;
        assert_eq!(unsettled, asks.then_some(Unsettled::Open), "{now_ms} ms");
    }
}

/// Runs of a p95 of 40 ms, of which `slow` requests of 1,000 take 2 s.
fn corrected_runs(slow: &[u64], mean_factor: f64) -> Vec<Run> {
    let of = |slow: &u64| {
        let fast = 900 - slow;
        let mut run = timed(&[("/", &format!(r#""20.1":{fast},"40.1":100,"2000":{slow}"#))]);
        run.total.avg_ms *= mean_factor;
        run.total.requests_per_sec = 100.0;
        run
    };
    slow.iter().map(of).collect()
}

#[test]
fn a_corrected_p95_alone_needs_the_mean() {
    // The requests of 2 s stand for 19 others each, so the corrected p95 moves by far more than the mean does.
    let before = baseline_of(&corrected_runs(&[3, 2, 3, 2, 3, 2, 3, 2, 3, 2], 1.0));
    for (mean_factor, is_failure) in [(1.0, false), (1.5, true)] {
        let runs = corrected_runs(&[3, 3, 3], mean_factor);
        let comparison = compare(&before, &runs, rules(false)).unwrap();
        assert_eq!(decision(&comparison, None, Metric::P95), Decision::Ok);
        let corrected = row(&comparison, None, Metric::P95Corrected);
        assert!(corrected.change().unwrap() > 20.0, "{:?}", corrected.change());
        assert_eq!(corrected.is_failure(), is_failure, "{mean_factor}: {:?}", corrected.decision);
    }
}

#[test]
fn more_slow_requests_below_p95_fail_with_the_mean() {
    let of = |slow: u64| timed(&[("/", &format!(r#""20.1":{},"200":{slow}"#, 1000 - slow))]);
    let before = baseline_of(&[of(60), of(62), of(58), of(61), of(59)]);
    for (slow, is_failure) in [(60, false), (80, false), (200, true)] {
        let runs = [of(slow), of(slow + 2)];
        let comparison = compare(&before, &runs, rules(false)).unwrap();
        let p95 = row(&comparison, None, Metric::P95);
        assert!(p95.change().unwrap().abs() < 1e-9);
        let is_shift = matches!(p95.decision, Some(Decision::Fail(Reason::Shift(_))));
        assert_eq!(is_shift, is_failure, "{slow}: {:?}", p95.decision);
    }
    // One run may have met a busy neighbour.
    let runs = [of(200)];
    let comparison = compare(&before, &runs, rules(false)).unwrap();
    assert_eq!(row(&comparison, None, Metric::P95).evidence.unsettled, Some(Unsettled::FewRuns));
}

#[test]
fn runs_that_could_not_show_the_limit_are_inconclusive() {
    let noisy = [200.0, 420.0, 300.0, 380.0, 240.0, 310.0, 290.0, 350.0];
    let (before, quiet) =
        (baseline_of(&runs_of(&noisy[..5])), baseline_of(&runs_of(&[300.0, 301.0, 299.0, 302.0, 298.0])));
    let all = runs_of(&noisy);
    for (reference, runs, is_complete, verdict, conclusive) in [
        (&before, &all[..8], false, Verdict::Inconclusive, false),
        (&quiet, &runs_of(&[300.0; 8])[..], false, Verdict::Pass, true),
        // Another run may follow, unless the runs are all that there are.
        (&before, &all[..2], false, Verdict::Pass, false),
        (&before, &all[..2], true, Verdict::Inconclusive, false),
    ] {
        let rules = Rules { is_complete, ..Rules::default() };
        let comparison = compare(reference, runs, &rules).unwrap();
        assert_eq!((comparison.verdict, comparison.is_conclusive()), (verdict, conclusive), "{} runs", runs.len());
    }
    // A single run on each side leaves the noise unknown, and is judged by its limits alone.
    let single = baseline_of(&runs_of(&[300.0]));
    let rules = Rules { is_complete: true, ..Rules::default() };
    assert_eq!(compare(&single, &runs_of(&[310.0]), &rules).unwrap().verdict, Verdict::Pass);
}

#[test]
fn rounds_may_be_more_if_their_runs_vary_much() {
    let rules = Rules { paired: true, min_runs: 2, max_runs: 7, max_noisy_rounds: 10, ..Rules::default() };
    for (now_ms, most) in [([300.0, 310.0], 7), ([250.0, 380.0], 10)] {
        let (before, runs) = (baseline_of(&runs_of(&[300.0, 300.0])), runs_of(&now_ms));
        assert_eq!(compare(&before, &runs, &rules).unwrap().max_runs, most, "{now_ms:?}");
    }
}

#[test]
fn a_new_endpoint_that_fails_is_judged_by_all_requests() {
    let mut before = runs_with("GET /a", &[300.0, 301.0, 299.0], 450, 0);
    for run in &mut before {
        run.total.failures = 4;
    }
    let before = baseline_of(&before);
    for (failures, is_failure) in [(0, false), (1, false), (7, true)] {
        let mut runs = vec![run(&[("GET /a", 300.0), ("GET /new", 300.0)]); 2];
        for run in &mut runs {
            (run.endpoints[1].1.requests, run.endpoints[1].1.failures) = (7, failures);
        }
        let comparison = compare(&before, &runs, rules(false)).unwrap();
        let found = comparison.row(Some("GET /new"), Metric::ErrorRate).is_some_and(Row::is_failure);
        assert_eq!(found, is_failure, "{failures} of 7");
    }
    // Single runs on both sides.
    let before = baseline_of(&runs_with("GET /a", &[300.0], 450, 0));
    for (failures, is_warning) in [(0, false), (2, false), (30, true)] {
        let mut runs = vec![run(&[("GET /a", 300.0), ("GET /new", 300.0)])];
        (runs[0].endpoints[1].1.requests, runs[0].endpoints[1].1.failures) = (30, failures);
        let comparison = compare(&before, &runs, rules(false)).unwrap();
        let found = comparison.row(Some("GET /new"), Metric::ErrorRate).and_then(|row| row.decision);
        assert_eq!(found == Some(Decision::Warn(Reason::OneRun)), is_warning, "{failures} of 30: {found:?}");
    }
    // A baseline without endpoints has no new ones.
    let total = baseline_of(&runs_of(&[300.0, 301.0, 299.0]));
    let mut now = vec![run(&[("GET /new", 300.0)]); 2];
    for run in &mut now {
        run.endpoints[0].1.failures = 450;
    }
    assert!(compare(&total, &now, rules(true)).unwrap().row(Some("GET /new"), Metric::ErrorRate).is_none());
}

#[test]
fn an_endpoint_that_took_0_ms_fails_too() {
    let fast = baseline_of(&runs_with("GET /a", &[0.0, 0.0, 0.0, 1.0], 450, 0));
    for (now_ms, is_failure) in [(0.0, false), (1.0, false), (500.0, true)] {
        let runs = runs_with("GET /a", &[now_ms; 3], 450, 0);
        let comparison = compare(&fast, &runs, rules(false)).unwrap();
        let found = row(&comparison, Some("GET /a"), Metric::P95);
        assert_eq!((found.is_failure(), found.evidence.unsettled), (is_failure, None), "{now_ms} ms: {found:?}");
    }
}

#[test]
fn the_lateness_of_the_load_generator_is_part_of_the_resolution() {
    let late = |p95_ms: f64, p99_ms: f64| {
        let mut runs = runs_of(&[p95_ms, p95_ms]);
        for run in &mut runs {
            run.precision = Precision::Fine;
            run.lateness = Some(Lateness { p50_ms: 0.5, p95_ms: 1.0, p99_ms });
        }
        runs
    };
    let idle = Baseline::new(&late(7.0, 3.4), Provenance::default()).unwrap();
    let bare = Baseline::new(&runs_of(&[7.0, 7.0]), Provenance { precision: Precision::Fine, ..provenance() });
    let mut bare = bare.unwrap();
    bare.provenance.precision = Precision::Fine;
    for (before, now_ms, p99_ms, expected) in [
        (&idle, 15.0, 3.4, Decision::Fail(Reason::OverLimit)),
        // Twice the growth of 5 ms.
        (&idle, 15.0, 8.4, Decision::BelowResolution),
        (&idle, 18.0, 8.4, Decision::Fail(Reason::OverLimit)),
        // An idle generator is 3 ms late.
        (&bare, 15.0, 8.0, Decision::BelowResolution),
    ] {
        let runs = late(now_ms, p99_ms);
        let comparison = compare(before, &runs, rules(false)).unwrap();
        assert_eq!(decision(&comparison, None, Metric::P95), expected, "{now_ms} ms, {p99_ms} ms late");
    }
    let runs = late(15.0, 8.4);
    let Resolution { lateness_ms, .. } = compare(&idle, &runs, rules(false)).unwrap().resolution;
    assert!((lateness_ms - 10.0).abs() < 1e-9, "{lateness_ms}");
}

#[test]
fn a_run_of_few_slow_answers_is_judged() {
    let before = baseline_of(&vec![timed(&[("/", r#""20.1":45,"30.1":5"#)]); 5]);
    for (times, users, proves) in [
        (r#""9400":11"#, 0.0, true),
        (r#""20.1":11"#, 0.0, false),
        // The round of a user takes longer, whatever it does meanwhile.
        (r#""20.1":11"#, 10.0, true),
        (r#""20.1":11"#, 5.0, false),
    ] {
        let mut slow = timed(&[("/", times)]);
        if users > 0.0 {
            slow.users_by_class.insert("Reader".to_owned(), users);
        }
        let runs = [slow.clone(), slow];
        let comparison = compare(&before, &runs, rules(false)).unwrap();
        assert_eq!(comparison.is_proven_by_few_answers(), proves, "{times}, {users} users");
        assert_eq!(comparison.verdict == Verdict::Fail, proves, "{times}, {users} users");
    }
}

#[test]
fn the_mean_may_have_a_limit() {
    let before = baseline_of(&runs_of(&[300.0, 301.0, 299.0]));
    let mut runs = runs_of(&[300.0, 301.0]);
    for run in &mut runs {
        run.total.avg_ms = 130.0;
    }
    let limited = Rules { limits: with_limits(&[(Metric::AvgResponseTime, "fail 20%")]), ..Rules::default() };
    assert_eq!(compare(&before, &runs, &Rules::default()).unwrap().verdict, Verdict::Pass);
    assert_eq!(compare(&before, &runs, &limited).unwrap().verdict, Verdict::Fail);
    assert!(Limit::parse(Metric::AvgResponseTime, "warn 20% and 5 ms, max 500 ms").is_ok());
}
