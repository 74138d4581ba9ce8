//! Every state of an accepted exception.

use judge::baseline::file::Baseline;
use judge::model::limits::{Accepted, Level, Limit, Rules};
use judge::model::run::{Metric, Run};
use judge::verdict::accepted::ExceptionState::{self, Exceeded, Expired, InDoubt, Unused, Waived};
use judge::verdict::compare::{Comparison, Verdict, compare};
use judge::verdict::decision::Decision;

use crate::samples::{accepted, provenance, runs_with};

const ENDPOINT: &str = "GET /claims";

fn baseline() -> &'static Baseline {
    let runs = runs_with(ENDPOINT, &[99.0, 100.0, 101.0, 100.0, 100.0], 450, 0);
    Box::leak(Box::new(Baseline::new(&runs, provenance()).unwrap()))
}

fn rules(accepted: Vec<Accepted>) -> &'static Rules {
    Box::leak(Box::new(Rules { accepted, ..Rules::default() }))
}

fn judged(p95_ms: &[f64], rules: &'static Rules) -> Comparison<'static> {
    let runs: &'static [Run] = Box::leak(runs_with(ENDPOINT, p95_ms, 450, 0).into_boxed_slice());
    compare(baseline(), runs, rules).unwrap()
}

#[test]
fn each_state_of_an_exception_has_its_verdict() {
    let over = [140.0, 141.0, 139.0];
    let cases: [(&str, &[f64], &str, i64, ExceptionState, Verdict, &str); 9] = [
        ("over the limit, within the exception", &over, "45%", 30, Waived, Verdict::Pass, "Waived"),
        ("on the last day", &over, "45%", 0, Waived, Verdict::Pass, "Waived"),
        ("exactly at the exception's limit", &[139.99, 139.99, 139.99], "40%", 9, Waived, Verdict::Pass, "Waived"),
        ("over both", &over, "35%", 30, Exceeded, Verdict::Fail, "Fail"),
        ("after the last day", &over, "45%", -1, Expired, Verdict::Fail, "Fail"),
        ("within the limit, after the last day", &[100.0, 101.0], "45%", -1, Expired, Verdict::Pass, "Ok"),
        ("within the limit", &[100.0, 101.0, 102.0], "45%", 30, Unused, Verdict::Pass, "Ok"),
        ("over on paper, but noise", &[100.0, 160.0, 110.0], "45%", 30, InDoubt, Verdict::Pass, "InDoubt"),
        ("an absolute bound", &over, "max 150ms", 30, Waived, Verdict::Pass, "Waived"),
    ];
    for (name, p95_ms, up_to, days_left, state, verdict, decision) in cases {
        let comparison = judged(p95_ms, rules(vec![accepted(ENDPOINT, Metric::P95, up_to, days_left)]));
        let row = comparison.row(Some(ENDPOINT), Metric::P95).unwrap();
        let decided = format!("{:?}", row.decision.unwrap());
        assert_eq!(comparison.exceptions[0].state, state, "{name}");
        assert_eq!(comparison.verdict, verdict, "{name}");
        assert!(decided.starts_with(decision), "{name}: {decided}");
    }
}

#[test]
fn exception_covers_one_series_only() {
    let over = [140.0, 141.0, 139.0];
    for (endpoint, metric) in
        [("GET /claim", Metric::P95), ("GET /claims", Metric::P99), ("", Metric::P95), ("GET *", Metric::P95)]
    {
        let comparison = judged(&over, rules(vec![accepted(endpoint, metric, "900%", 30)]));
        assert_eq!(comparison.verdict, Verdict::Fail, "{endpoint} {metric}");
        assert_eq!(comparison.exceptions[0].state, Unused, "{endpoint} {metric}");
        assert_eq!(comparison.unused_exceptions().count(), 1);
    }
    // An exception for the p95 does not cover a missing endpoint.
    let comparison = compare(
        baseline(),
        Box::leak(runs_with("GET /other", &[100.0, 101.0, 99.0], 450, 0).into_boxed_slice()),
        rules(vec![accepted(ENDPOINT, Metric::P95, "900%", 30)]),
    );
    let comparison = comparison.unwrap();
    assert_eq!((comparison.verdict, comparison.exceptions[0].state), (Verdict::Fail, Unused));
}

#[test]
fn strict_keeps_waived_series_and_promotes_exceeded_warnings() {
    let over = [140.0, 141.0, 139.0];
    let limits =
        Rules::default().limits.into_iter().map(|(metric, limit)| (metric, Limit { level: Level::Warn, ..limit }));
    let warning = Rules { limits: limits.collect(), ..Rules::default() };
    for (strict, up_to, decision) in
        [(false, "45%", "Waived"), (true, "45%", "Waived"), (false, "35%", "Warn"), (true, "35%", "Fail")]
    {
        let accepted = vec![accepted(ENDPOINT, Metric::P95, up_to, 30)];
        let rules = Box::leak(Box::new(Rules { strict, accepted, ..warning.clone() }));
        let comparison = judged(&over, rules);
        let row = comparison.row(Some(ENDPOINT), Metric::P95).unwrap();
        assert!(format!("{:?}", row.decision.unwrap()).starts_with(decision), "{strict} {up_to}: {:?}", row.decision);
    }
}

/// Whether more runs follow depends on the exception's limit, since the other limit is exceeded anyway.
#[test]
fn waived_series_far_below_its_exception_needs_no_more_runs() {
    let open = |up_to: Option<&str>, p95_ms: &[f64]| {
        let accepted = up_to.map(|up_to| accepted(ENDPOINT, Metric::P95, up_to, 30)).into_iter().collect();
        let comparison = judged(p95_ms, rules(accepted));
        comparison.row(Some(ENDPOINT), Metric::P95).unwrap().evidence.unsettled.is_some()
    };
    assert!(open(None, &[140.0, 139.0]), "a FAIL is confirmed");
    assert!(!open(Some("90%"), &[140.0, 139.0]), "far below the exception's limit");
    assert!(open(Some("35%"), &[140.0, 139.0]), "a FAIL over the exception's limit is confirmed");
}

#[test]
fn exception_ends_soon_in_its_last_two_weeks() {
    for (days_left, is_told) in [(15, false), (14, true), (0, true), (-1, false)] {
        let comparison = judged(&[140.0, 141.0], rules(vec![accepted(ENDPOINT, Metric::P95, "45%", days_left)]));
        assert_eq!(comparison.exceptions[0].ends_soon(), is_told, "{days_left}");
    }
}

#[test]
fn waived_series_is_remarkable_but_no_finding() {
    let comparison = judged(&[140.0, 141.0], rules(vec![accepted(ENDPOINT, Metric::P95, "45%", 30)]));
    let row = comparison.row(Some(ENDPOINT), Metric::P95).unwrap();
    assert!(row.is_waived() && !row.is_finding() && !row.is_failure());
    assert_ne!(row.decision, Some(Decision::Ok));
    assert!(comparison.has_remarkable());
}
