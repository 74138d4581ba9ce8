//! The chain of accepted baselines: its breaks, movements and the drift.

use judge::baseline::chain::{Movement, Version, breaks, breaks_between, is_unchanged, oldest_of_stretch};
use judge::baseline::file::Baseline;
use judge::model::day::Day;
use judge::model::limits::{Limit, Limits, Rules};
use judge::model::run::{Load, Machine, Metric, Precision, Provenance, Run};
use judge::verdict::compare::Anchor;
use judge::verdict::compare::{Comparison, Verdict, compare};
use judge::verdict::decision::{Decision, Reason};

use crate::samples::{VERSION_1_0, provenance, run, runs_of, runs_with};

fn version(runs: &[Run], provenance: Provenance) -> Version {
    Version {
        commit: "0123456789abcdef".to_owned(),
        day: Day::parse("2026-01-31").unwrap(),
        author: "Ann".to_owned(),
        subject: "why".to_owned(),
        baseline: Baseline::new(runs, provenance).unwrap(),
    }
}

fn of(p95_ms: &[f64]) -> Version {
    version(&runs_of(p95_ms), provenance())
}

fn machine(cpu: &str) -> Machine {
    Machine { cpu: cpu.to_owned(), cores: 2, os: "linux x86_64".to_owned() }
}

fn load(users: u32) -> Load {
    Load { users, spawn_rate: 10.0, run_time_s: 20, ..serde_json::from_str(LOAD).unwrap() }
}

const LOAD: &str = r#"{"users":1,"spawn_rate":1.0,"run_time_s":1}"#;

#[test]
fn changed_circumstance_breaks_the_chain() {
    let base = || Provenance {
        load: Some(load(10)),
        machine: Some(machine("A")),
        locust: "2.47.0".to_owned(),
        python: "3.12.1".to_owned(),
        locustfile: "aa".to_owned(),
        ..provenance()
    };
    let with_args = |tags: &str| Load { args: vec!["--tags".to_owned(), tags.to_owned()], ..load(10) };
    let cases: [(&str, Provenance); 9] = [
        ("[load] args", Provenance { load: Some(with_args("read")), ..base() }),
        ("", base()),
        ("the load", Provenance { load: Some(load(20)), ..base() }),
        ("the machine", Provenance { machine: Some(machine("B")), ..base() }),
        ("Locust's version", Provenance { locust: "2.48.0".to_owned(), ..base() }),
        ("Python's version", Provenance { python: "3.13.0".to_owned(), ..base() }),
        ("the locustfile (git hash-object)", Provenance { locustfile: "bb".to_owned(), ..base() }),
        // An unknown value does not differ.
        ("", Provenance { machine: None, ..base() }),
        ("", provenance()),
    ];
    let runs = runs_of(&[300.0, 301.0]);
    for (expected, next) in cases {
        let versions = [version(&runs, next.clone()), version(&runs, base())];
        let found = breaks(versions.iter());
        let names: Vec<&str> = found[0].iter().map(|of| of.what).collect();
        assert_eq!(names.join(", "), expected);
        assert!(found[1].is_empty(), "nothing stands before the oldest");
        assert_eq!(breaks_between(&versions[1], &[], &next), found[0]);
        assert_eq!(oldest_of_stretch(&found, 0), usize::from(expected.is_empty()), "{expected}");
    }
    // One with an unknown machine lies between two that differ.
    let unknown = Provenance { machine: None, ..base() };
    let other = Provenance { machine: Some(machine("B")), ..base() };
    let versions = [other.clone(), other, unknown.clone(), base(), unknown].map(|of| version(&runs, of));
    let found = breaks(versions.iter());
    let places: Vec<usize> = (0..found.len()).filter(|place| !found[*place].is_empty()).collect();
    assert_eq!(places, [1]);
    assert_eq!((0..5).map(|place| oldest_of_stretch(&found, place)).collect::<Vec<_>>(), [1, 1, 4, 4, 4]);
    assert_eq!(found[1][0].to_string(), "the machine: A, 2 cores, linux x86_64, then B, 2 cores, linux x86_64");
}

#[test]
fn movement_beyond_noise_and_rounding_is_significant() {
    let significant = |before: &[f64], after: &[f64]| {
        let [before, after] = [before, after].map(|p95_ms| of(p95_ms).baseline);
        let movement = Movement::between(&before, &after, None, Metric::P95).unwrap();
        (format!("{:+.1}", movement.change), movement.is_significant())
    };
    let quiet = [300.0, 301.0, 299.0, 300.0, 300.0];
    assert_eq!(significant(&quiet, &[330.0, 331.0, 329.0, 330.0, 330.0]), ("+10.0".to_owned(), Some(true)));
    assert_eq!(significant(&quiet, &[270.0, 271.0, 269.0, 270.0, 270.0]), ("-10.0".to_owned(), Some(true)));
    assert_eq!(significant(&[200.0, 400.0, 300.0], &[250.0, 420.0, 330.0]), ("+13.0".to_owned(), Some(false)));
    // Two digits of precision leave 10 ms open here, and runs that never vary have no noise.
    assert_eq!(significant(&[300.0, 300.0, 300.0], &[309.0, 309.0]), ("+3.0".to_owned(), Some(false)));
    assert_eq!(significant(&[300.0], &[400.0]), ("+33.3".to_owned(), None));
}

#[test]
fn movement_of_an_error_rate_is_tested_by_counts() {
    let side = |failures| version(&runs_with("GET /a", &[300.0, 301.0, 302.0], 450, failures), provenance()).baseline;
    let movement = |before: &Baseline, after: &Baseline| {
        Movement::between(before, after, Some("GET /a"), Metric::ErrorRate).unwrap()
    };
    let (none, few, many) = (side(0), side(1), side(45));
    assert_eq!(movement(&none, &few).is_significant(), Some(false));
    assert_eq!(movement(&none, &many).is_significant(), Some(true));
    assert!((movement(&none, &many).change - 10.0).abs() < 1e-9, "in percentage points");
    assert_eq!(Movement::between(&none, &many, Some("GET /b"), Metric::P95), None);
    // A file of version 1.0 has one value, and no endpoints.
    let first = Baseline::parse(VERSION_1_0).unwrap();
    assert_eq!(Movement::between(&first, &none, Some("GET /a"), Metric::P95), None);
    assert!(Movement::between(&first, &none, None, Metric::P95).is_some());
    let one = Movement::between(&first, &first, None, Metric::P95).unwrap();
    assert_eq!((one.change, one.interval, one.is_significant()), (0.0, None, None));
}

#[test]
fn baseline_is_unchanged_only_if_every_series_is() {
    let p95_ms = [300.0, 310.0, 295.0, 305.0, 290.0];
    let before = version(&runs_with("GET /a", &p95_ms, 450, 0), provenance()).baseline;
    let of = |endpoint: &str, p95_ms: &[f64], failures| {
        version(&runs_with(endpoint, p95_ms, 450, failures), provenance()).baseline
    };
    assert!(is_unchanged(&before, &before));
    assert!(is_unchanged(&before, &of("GET /a", &[305.0, 300.0, 298.0], 0)));
    assert!(!is_unchanged(&before, &of("GET /a", &[360.0, 365.0, 355.0], 0)), "slower");
    assert!(!is_unchanged(&before, &of("GET /a", &[240.0, 245.0, 235.0], 0)), "faster");
    assert!(!is_unchanged(&before, &of("GET /a", &p95_ms, 45)), "errors");
    assert!(!is_unchanged(&before, &of("GET /b", &p95_ms, 0)), "another endpoint");
    let mut one_more = before.clone();
    one_more.endpoints.insert("GET /b".to_owned(), before.endpoints["GET /a"].clone());
    assert!(!is_unchanged(&before, &one_more), "one more endpoint");
    let elsewhere = Provenance { machine: Some(machine("B")), ..provenance() };
    let here = Provenance { machine: Some(machine("A")), ..provenance() };
    let runs = runs_with("GET /a", &p95_ms, 450, 0);
    assert!(!is_unchanged(&version(&runs, here).baseline, &version(&runs, elsewhere).baseline), "another machine");
    let first = Baseline::parse(VERSION_1_0).unwrap();
    assert!(!is_unchanged(&first, &first), "the noise of single values is unknown");
}

fn drift_rules(limit: &str, strict: bool) -> &'static Rules {
    let limits = Limits::from([(Metric::P95, Limit::parse(Metric::P95, limit).unwrap())]);
    Box::leak(Box::new(Rules { limits, strict, ..Rules::default() }))
}

/// Judges runs against a baseline that was updated since the anchor of 300 ms.
fn drifted(baseline_ms: &[f64], now: Vec<Run>, limit: &str, strict: bool) -> Comparison<'static> {
    drifted_since(&[300.0, 301.0, 299.0], baseline_ms, now, limit, strict)
}

fn drifted_since(
    anchor_ms: &[f64],
    baseline_ms: &[f64],
    now: Vec<Run>,
    limit: &str,
    strict: bool,
) -> Comparison<'static> {
    let versions: &'static [Version] = Box::leak(Box::new([of(baseline_ms), of(anchor_ms)]));
    let runs: &'static [Run] = Box::leak(now.into_boxed_slice());
    let rules: &'static Rules = Box::leak(Box::default());
    let anchor = Anchor { version: &versions[1], name: None, updates: &versions[..1] };
    let comparison = compare(&versions[0].baseline, runs, rules).unwrap();
    assert_eq!(comparison.verdict, Verdict::Pass, "against its own baseline");
    comparison.with_drift(anchor, runs, drift_rules(limit, strict)).unwrap()
}

#[test]
fn drift_fails_although_no_single_step_does() {
    let baseline_ms = [360.0, 361.0, 359.0];
    for (now, limit, strict, verdict, findings) in [
        (&[372.0, 371.0][..], "25%", false, Verdict::Pass, 0),
        (&[376.0, 377.0], "25%", false, Verdict::Fail, 1),
        (&[376.0, 377.0], "warn 25%", false, Verdict::Pass, 1),
        (&[376.0, 377.0], "warn 25%", true, Verdict::Fail, 1),
        (&[376.0, 377.0], "off", false, Verdict::Pass, 0),
    ] {
        let comparison = drifted(&baseline_ms, runs_of(now), limit, strict);
        let drift = comparison.drift.as_ref().unwrap();
        let found = drift.rows.iter().filter(|row| row.is_finding()).count();
        assert_eq!((comparison.verdict, found), (verdict, findings), "{now:?} {limit} {strict}");
        assert!(comparison.findings().is_empty(), "no finding of the baseline's own");
    }
}

#[test]
fn failure_by_this_change_alone_is_no_drift() {
    let versions: &'static [Version] = Box::leak(Box::new([of(&[297.0, 296.0, 298.0]), of(&[300.0, 301.0, 299.0])]));
    let anchor = Anchor { version: &versions[1], name: None, updates: &versions[..1] };
    // The accepted update made it faster. Of the change, the drift allows 25%, and the gate 20%.
    for (now_ms, expected) in [
        ([435.0, 436.0], Some(Decision::InDoubt(Reason::ByThisChange))),
        ([365.0, 366.0], Some(Decision::Ok)),
        ([340.0, 341.0], Some(Decision::Ok)),
    ] {
        let runs: &'static [Run] = Box::leak(runs_of(&now_ms).into_boxed_slice());
        let rules: &'static Rules = Box::leak(Box::default());
        let comparison = compare(&versions[0].baseline, runs, rules).unwrap();
        let comparison = comparison.with_drift(anchor, runs, drift_rules("25%", false)).unwrap();
        let row = &comparison.drift.as_ref().unwrap().rows[0];
        assert_eq!((row.decision, row.evidence.unsettled), (expected, None), "{now_ms:?}");
    }
}

#[test]
fn drift_near_its_limit_needs_more_runs_and_ignores_new_endpoints() {
    let baseline_ms = [360.0, 361.0, 359.0];
    let one_run = drifted(&baseline_ms, runs_of(&[376.0]), "25%", false);
    assert!(!one_run.is_conclusive(), "a FAIL by one run is confirmed");
    // The noise of an anchor of one run is unknown, so a FAIL takes as many runs as such a baseline takes.
    for (now_ms, asks) in [(376.0, true), (370.0, false)] {
        let comparison = drifted_since(&[300.0], &baseline_ms, runs_of(&[now_ms]), "25%", false);
        assert_eq!(comparison.wants_another_run(), asks, "{now_ms} ms");
    }
    let mut new = run(&[("GET /new", 900.0)]);
    new.total.p95_ms = 361.0;
    (new.total.p99_ms, new.precision) = (400.0, Precision::Coarse);
    let comparison = drifted(&baseline_ms, vec![new.clone(), new], "25%", false);
    assert_eq!(comparison.drift.unwrap().rows.len(), 1, "all requests together");
}
