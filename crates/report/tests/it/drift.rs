//! The drift since an earlier baseline, accepted exceptions, and limits that are nearly used up.

use std::fmt::Write as _;

use expect_test::expect;
use judge::model::limits::{Limit, Limits, Rules};
use judge::model::run::{Metric, Run};
use judge::verdict::compare::{Anchor, Comparison, compare};
use report::view::drift;
use report::view::exceptions::absorbed;
use report::{Report, Sides, View};

use crate::cases::background;
use crate::history::{ENDPOINT, version, versions};
use crate::samples::{accepted, provenance, runs_with};

fn view_of<T>(comparison: &Comparison, runs: &[Run], read: impl FnOnce(&View) -> T) -> T {
    let provenance = provenance();
    let report = Report {
        comparison,
        background: &background(),
        confirmation: None,
        distribution: &[],
        runs,
        histories: &[],
        provenance: Sides { baseline: &provenance, candidate: &provenance },
        baseline_origin: String::new(),
        file_warnings: Vec::new(),
        warnings: vec![],
        other_details: vec![],
    };
    read(&View::of(&report))
}

/// The findings of the drift and of exceptions, and the notes.
fn sentences(comparison: &Comparison, runs: &[Run]) -> String {
    view_of(comparison, runs, |view| {
        let findings = view.drift.iter().filter_map(|drift| drift.finding.as_ref()).chain(&view.exception_findings);
        let findings = findings.map(|finding| format!("{} {}", finding.status.word(), finding.text));
        let notes = view.notes.iter().filter(|note| !note.starts_with("only 4 of 450 requests"));
        let notes = notes.map(|note| format!("note: {note}"));
        findings.chain(notes).collect::<Vec<_>>().join("\n")
    })
}

#[test]
fn drift_names_the_updates_that_brought_it() {
    let versions = versions();
    let (newest, updates) = (&versions[0], &versions[..2]);
    let runs = runs_with(ENDPOINT, &[415.0, 416.0], 450, 0);
    let runs: Vec<Run> = runs
        .into_iter()
        .map(|mut run| {
            run.total.p95_ms = 415.5;
            run
        })
        .collect();
    let limits = Limits::from([(Metric::P95, Limit::parse(Metric::P95, "25%").unwrap())]);
    let (rules, drift_rules) = (Rules::default(), Rules { limits, ..Rules::default() });
    let comparison = compare(&newest.baseline, &runs, &rules).unwrap();
    let anchor = Anchor { version: &versions[2], name: Some("v1.0"), updates };
    let comparison = comparison.with_drift(anchor, &runs, &drift_rules).unwrap();
    expect!["FAIL drift since v1.0 (2026-03-15): p95: 330 → 416 ms (+25.9%, limit +25%; 2 accepted updates +20%, this change +4.9%); 1 more: GET /claims p95 +26%"].assert_eq(&sentences(&comparison, &runs));
    expect![[r#"
        p95 +26% since v1.0 (drift limit +25%): 2 accepted updates +20%, this change +4.9%
        since v1.0 (2026-03-15) p95 +26% (drift limit +25%)"#]]
    .assert_eq(&format!(
        "{}\n{}",
        view_of(&comparison, &runs, |view| view.headline.sentence()),
        drift::summary(&comparison).unwrap()
    ));
}

#[test]
fn each_state_of_an_exception_is_reported() {
    let baseline = version(1, 300.0, "", "A").baseline;
    let runs = runs_with(ENDPOINT, &[415.0, 416.0, 417.0], 450, 0);
    let mut all = String::new();
    for (name, exceptions) in [
        ("waived", vec![accepted(ENDPOINT, Metric::P95, "45%", 30)]),
        ("waived, and ends soon", vec![accepted(ENDPOINT, Metric::P95, "45%", 9)]),
        ("waived, and ends today", vec![accepted(ENDPOINT, Metric::P95, "45%", 0)]),
        ("exceeded", vec![accepted(ENDPOINT, Metric::P95, "35%", 30)]),
        ("expired", vec![accepted(ENDPOINT, Metric::P95, "45%", -1)]),
        ("unused", vec![accepted("GET /nothing", Metric::P95, "45%", 30)]),
        (
            "one waived, two unused",
            vec![
                accepted(ENDPOINT, Metric::P95, "45%", 30),
                accepted(ENDPOINT, Metric::P50, "45%", 30),
                accepted("", Metric::P95, "45%", 30),
            ],
        ),
    ] {
        let rules = Rules { accepted: exceptions, ..Rules::default() };
        let comparison = compare(&baseline, &runs, &rules).unwrap();
        let rest = absorbed(&comparison).map_or_else(String::new, |rest| format!("\n--update-baseline: {rest}"));
        let _ = write!(all, "{name}: {:?}\n{}{rest}\n\n", comparison.verdict, sentences(&comparison, &runs));
    }
    expect![[r#"
        waived: Pass
        WAIVED GET /claims p95: 300 → 416 ms (+38.7%, limit +20%); accepted up to +45% until 2026-12-31: full-text search, issue 812
        --update-baseline: the new baseline absorbs temporary exceptions in perf.toml: p95 of GET /claims (+38.7%): remove them, or they will hide another slowdown of that size

        waived, and ends soon: Pass
        WAIVED GET /claims p95: 300 → 416 ms (+38.7%, limit +20%); accepted up to +45% until 2026-12-31: full-text search, issue 812
        note: the exception for p95 of GET /claims ends in 9 days (2026-12-31): full-text search, issue 812
        --update-baseline: the new baseline absorbs temporary exceptions in perf.toml: p95 of GET /claims (+38.7%): remove them, or they will hide another slowdown of that size

        waived, and ends today: Pass
        WAIVED GET /claims p95: 300 → 416 ms (+38.7%, limit +20%); accepted up to +45% until 2026-12-31: full-text search, issue 812
        note: the exception for p95 of GET /claims ends today (2026-12-31): full-text search, issue 812
        --update-baseline: the new baseline absorbs temporary exceptions in perf.toml: p95 of GET /claims (+38.7%): remove them, or they will hide another slowdown of that size

        exceeded: Fail

        --update-baseline: the new baseline absorbs temporary exceptions in perf.toml: p95 of GET /claims (+38.7%): remove them, or they will hide another slowdown of that size

        expired: Fail
        note: the exception for p95 of GET /claims ended on 2026-12-31, and the normal limit applies again: remove it from perf.toml

        unused: Fail
        WARN the exception for p95 of GET /nothing is not used, because no endpoint has exactly this name: correct or remove it in perf.toml

        one waived, two unused: Pass
        WAIVED GET /claims p95: 300 → 416 ms (+38.7%, limit +20%); accepted up to +45% until 2026-12-31: full-text search, issue 812
        WARN the exception for p50 of GET /claims is not used, because the series is within its limit or not judged: remove it from perf.toml
        WARN the exception for p95 of all requests is not used, because the series is within its limit or not judged: remove it from perf.toml
        --update-baseline: the new baseline absorbs temporary exceptions in perf.toml: p95 of GET /claims (+38.7%): remove them, or they will hide another slowdown of that size

    "#]].assert_eq(&all);
}

#[test]
fn mostly_used_limit_is_noted_unless_it_is_noise() {
    let baseline = version(1, 300.0, "", "A").baseline;
    let notes = |p95_ms: &[f64]| {
        let runs: Vec<Run> = runs_with(ENDPOINT, p95_ms, 450, 0)
            .into_iter()
            .zip(p95_ms)
            .map(|(mut run, p95_ms)| {
                run.total.p95_ms = *p95_ms;
                run
            })
            .collect();
        let rules = Rules::default();
        view_of(&compare(&baseline, &runs, &rules).unwrap(), &runs, |view| {
            let is_of_a_limit = |note: &&String| note.contains("of its limit");
            view.notes.iter().filter(is_of_a_limit).cloned().collect::<Vec<_>>()
        })
    };
    assert_eq!(notes(&[340.0, 341.0]), ["p95 has used 68% of its limit (+13.5% of +20%)"]);
    assert!(notes(&[320.0, 321.0]).is_empty(), "less than half");
    assert!(notes(&[280.0, 420.0]).is_empty(), "noise");
    assert!(notes(&[400.0, 401.0]).is_empty(), "over it: that is a finding");
}
