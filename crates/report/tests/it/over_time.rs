//! What reports tell over time: the history of the accepted baselines, a drift, and accepted exceptions.

use std::fmt::Write as _;

use expect_test::expect;
use judge::baseline::chain::{Version, breaks};
use judge::baseline::file::Baseline;
use judge::model::day::Day;
use judge::model::limits::{Limit, Limits, Rules};
use judge::model::run::{Machine, Metric, Provenance, Run};
use judge::verdict::compare::Anchor;
use judge::verdict::compare::{Comparison, compare};
use report::formats::terminal::Screen;
use report::history::timeline::Timeline;
use report::history::{html, json, markdown, terminal};
use report::view::content::Finding;
use report::view::further::{self, drift_headline, drift_told, taken_over};
use roxmltree::Document;
use scraper::{Html, Selector};
use serde_json::Value;

use crate::samples::{accepted, provenance, runs_with};

const ENDPOINT: &str = "GET /claims";

fn version(number: u32, p95_ms: f64, note: &str, cpu: &str) -> Version {
    let spread = [p95_ms, p95_ms * 1.004, p95_ms * 0.996, p95_ms * 1.002, p95_ms * 0.998];
    let machine = Some(Machine { cpu: cpu.to_owned(), cores: 2, os: "linux x86_64".to_owned() });
    let runs = runs_with(ENDPOINT, &spread, 450, 0);
    let runs: Vec<Run> = runs
        .into_iter()
        .zip(spread)
        .map(|(mut run, p95_ms)| {
            run.total.p95_ms = p95_ms;
            run.total.p99_ms = 900.0;
            run
        })
        .collect();
    Version {
        commit: format!("{number:040}"),
        day: Day::parse(&format!("2026-0{number}-15")).unwrap(),
        author: format!("Author {number}"),
        subject: format!("Baseline {number}"),
        baseline: Baseline::new(&runs, Provenance { machine, ..provenance() }, Some(note), None).unwrap(),
    }
}

/// Newest first; the machine changed before the third.
fn versions() -> Vec<Version> {
    vec![
        version(5, 396.0, "search", "B"),
        version(4, 360.0, "a cache less", "B"),
        version(3, 330.0, "", "B"),
        version(2, 300.0, "first", "A"),
        version(1, 300.0, "first", "A"),
    ]
}

fn timeline(versions: &[Version]) -> Timeline<'_> {
    Timeline {
        file: "perf_baseline.json".to_owned(),
        breaks: breaks(versions.iter()),
        versions,
        shown: versions.len(),
        anchor: 2,
        anchor_name: None,
        endpoints: vec![None],
        metric: Metric::P95,
        notes: vec!["0123456789ab of 2026-01-15 is left out: this is not a JSON object".to_owned()],
    }
}

#[test]
fn a_history_is_a_row_for_each_baseline_newest_first() {
    let versions = versions();
    let text = terminal::render(&timeline(&versions), Screen::default());
    expect![[r#"
        date        commit        author    p50 ms  p95 ms  p99 ms  errors %  requests/s  p95 step                p95 since the anchor     note
        2026-05-15  000000000000  Author 5     100     396     900      0.00        15.0  +10.0% (+9.5..+10.5) *  +20.0% (+19.4..+20.6) *  search
        2026-04-15  000000000000  Author 4     100     360     900      0.00        15.0  +9.1% (+8.6..+9.6) *    +9.1% (+8.6..+9.6) *     a cache less
        2026-03-15  000000000000  Author 3     100     330     900      0.00        15.0                          anchor                   Baseline 3
        -- the chain is broken here: the machine: A, 2 cores, linux x86_64, then B, 2 cores, linux x86_64 --
        2026-02-15  000000000000  Author 2     100     300     900      0.00        15.0  +0.0% (-0.5..+0.5)      +0.0% (-0.5..+0.5)       Baseline 2
        2026-01-15  000000000000  Author 1     100     300     900      0.00        15.0                          anchor                   first

        5 accepted baselines of perf_baseline.json; * marks a change that neither noise nor rounding explains (95% interval)
        0123456789ab of 2026-01-15 is left out: this is not a JSON object
    "#]].assert_eq(&text);
    expect![[r#"
        ## History of perf\_baseline.json

        ### all requests

        | date | commit | author | p50 ms | p95 ms | p99 ms | errors % | requests/s | p95 step | p95 since the anchor | note |
        |:--|:--|:--|:--|:--|:--|:--|:--|:--|:--|:--|
        | 2026-05-15 | 000000000000 | Author 5 | 100 | 396 | 900 | 0.00 | 15.0 | +10.0% (+9.5..+10.5) \* | +20.0% (+19.4..+20.6) \* | search |
        | 2026-04-15 | 000000000000 | Author 4 | 100 | 360 | 900 | 0.00 | 15.0 | +9.1% (+8.6..+9.6) \* | +9.1% (+8.6..+9.6) \* | a cache less |
        | 2026-03-15 | 000000000000 | Author 3 | 100 | 330 | 900 | 0.00 | 15.0 |  | anchor | Baseline 3 |
        | the chain is broken here: the machine: A, 2 cores, linux x86\_64, then B, 2 cores, linux x86\_64 | | | | | | | | | | |
        | 2026-02-15 | 000000000000 | Author 2 | 100 | 300 | 900 | 0.00 | 15.0 | +0.0% (-0.5..+0.5) | +0.0% (-0.5..+0.5) | Baseline 2 |
        | 2026-01-15 | 000000000000 | Author 1 | 100 | 300 | 900 | 0.00 | 15.0 |  | anchor | first |

        - 5 accepted baselines of perf\_baseline.json; \* marks a change that neither noise nor rounding explains (95% interval)
        - 0123456789ab of 2026-01-15 is left out: this is not a JSON object
    "#]].assert_eq(&markdown::render(&timeline(&versions)));
}

#[test]
fn a_narrow_terminal_keeps_what_the_history_is_about() {
    let versions = versions();
    for columns in [200, 120, 100, 80] {
        let text = terminal::render(&timeline(&versions), Screen { columns: Some(columns), is_ascii: true });
        let table = text.split("\n\n").next().unwrap();
        for line in table.lines() {
            assert!(line.chars().count() <= columns, "{columns}: {line}");
        }
        assert!(text.is_ascii(), "{text}");
        let header = table.lines().next().unwrap();
        for kept in ["date", "p95 ms", "p95 step", "p95 since", "note"] {
            assert!(header.contains(kept), "{columns}: {header}");
        }
    }
}

#[test]
fn the_anchor_holds_in_its_stretch_alone() {
    let versions = versions();
    let since = |anchor: usize| -> Vec<Option<i64>> {
        let timeline = Timeline { anchor, ..timeline(&versions) };
        let entries = timeline.entries(None, Metric::P95);
        #[expect(clippy::cast_possible_truncation, reason = "whole percents")]
        entries.iter().map(|entry| entry.since.map(|since| since.change.round() as i64)).collect()
    };
    assert_eq!(since(2), [Some(20), Some(9), None, Some(0), None]);
    // Those before it have nothing to be counted from.
    assert_eq!(since(1), [Some(10), None, None, Some(0), None]);
    assert_eq!(since(4), [Some(20), Some(9), None, Some(0), None]);
}

#[test]
fn the_page_and_its_charts_are_well_formed_whatever_the_notes_say() {
    let mut versions = versions();
    let hostile = "</title></svg><script>alert(1)</script> | `x` \u{1b}[31m \u{202e} @all #1 http://u:secret@h/";
    versions[0].baseline.notes = hostile.to_owned();
    versions[0].author = hostile.to_owned();
    versions[1].subject = hostile.to_owned();
    let timeline = Timeline { endpoints: vec![None, Some(ENDPOINT)], ..timeline(&versions) };
    let page = html::render(&timeline);
    let parsed = Html::parse_document(&page);
    assert!(parsed.errors.is_empty(), "{:?}", parsed.errors);
    assert_eq!(parsed.select(&Selector::parse("script").unwrap()).count(), 1, "only the page's own");
    assert_eq!(parsed.select(&Selector::parse("table").unwrap()).count(), 2);
    let charts: Vec<_> =
        page.split("<svg ").skip(1).map(|rest| format!("<svg {}", &rest[..rest.find("</svg>").unwrap() + 6])).collect();
    assert_eq!(charts.len(), 6, "p95 of both, and p50, p99, errors, requests/s");
    for chart in &charts {
        Document::parse(chart).unwrap();
    }
    // A dot for each run, an estimate for each version, and a ring for each step that noise does not explain.
    let count = |of: &str| charts[0].matches(of).count();
    assert_eq!((count("r=\"2\""), count("r=\"3\""), count("r=\"6\"")), (25, 5, 2), "{}", charts[0]);
    for text in
        [page, markdown::render(&timeline), terminal::render(&timeline, Screen::default()), json::render(&timeline)]
    {
        assert!(!text.contains("secret") && !text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
    }
}

#[test]
fn the_json_has_every_number() {
    let versions = versions();
    let timeline = Timeline { endpoints: vec![Some(ENDPOINT)], ..timeline(&versions) };
    let value: Value = serde_json::from_str(&json::render(&timeline)).unwrap();
    let series = &value["series"][0];
    assert_eq!(series["endpoint"], ENDPOINT);
    let newest = &series["versions"][0];
    assert_eq!((newest["note"].as_str(), newest["step"]["significant"].as_bool()), (Some("search"), Some(true)));
    assert_eq!(newest["runs"].as_array().unwrap().len(), 5);
    assert!((newest["since_anchor"]["change"].as_f64().unwrap() - 20.0).abs() < 1e-3, "{newest}");
    assert_eq!(series["versions"][2]["broken_by"][0]["what"], "the machine");
    assert_eq!(series["versions"][2]["step"], Value::Null);
}

// Drift and exceptions

fn told(comparison: &Comparison) -> String {
    let findings = further::findings(comparison).into_iter();
    let findings = findings.map(|Finding { status, text }| format!("{} {text}", status.word()));
    let notes = further::notes(comparison).into_iter().map(|note| format!("note: {note}"));
    findings.chain(notes).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_drift_names_the_updates_that_brought_it() {
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
    expect![[r#"
        FAIL drift since v1.0 of 2026-03-15: p95: 330 → 416 ms (+25.9%, limit +25%); accepted since: +10.0% by Author 5 on 2026-05-15, "search" (000000000000); +9.1% by Author 4 on 2026-04-15, "a cache less" (000000000000)
        FAIL drift since v1.0 of 2026-03-15: GET /claims p95: 330 → 415 ms (+25.9%, limit +25%)"#]].assert_eq(&told(&comparison));
    expect![[r#"
        p95 drifted +26% since v1.0 of 2026-03-15 (drift limit +25%), by 2 accepted updates
        since v1.0 of 2026-03-15 p95 +26% (drift limit +25%)"#]]
    .assert_eq(&format!("{}\n{}", drift_headline(&comparison).unwrap(), drift_told(&comparison).unwrap()));
}

#[test]
fn each_state_of_an_exception_is_told() {
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
    ] {
        let rules = Rules { accepted: exceptions, ..Rules::default() };
        let comparison = compare(&baseline, &runs, &rules).unwrap();
        let rest = taken_over(&comparison).map_or_else(String::new, |rest| format!("\n--update-baseline: {rest}"));
        let _ = write!(all, "{name}: {:?}\n{}{rest}\n\n", comparison.verdict, told(&comparison));
    }
    expect![[r#"
        waived: Pass
        WAIVED GET /claims p95: 300 → 416 ms (+38.7%, limit +20%); accepted up to +45% until 2026-12-31: full-text search, issue 812
        --update-baseline: it takes over what perf.toml only accepts for a while: p95 of GET /claims (+38.7%): remove these exceptions, or they hide as much again

        waived, and ends soon: Pass
        WAIVED GET /claims p95: 300 → 416 ms (+38.7%, limit +20%); accepted up to +45% until 2026-12-31: full-text search, issue 812
        note: the exception for p95 of GET /claims ends in 9 days (2026-12-31): full-text search, issue 812
        --update-baseline: it takes over what perf.toml only accepts for a while: p95 of GET /claims (+38.7%): remove these exceptions, or they hide as much again

        waived, and ends today: Pass
        WAIVED GET /claims p95: 300 → 416 ms (+38.7%, limit +20%); accepted up to +45% until 2026-12-31: full-text search, issue 812
        note: the exception for p95 of GET /claims ends today (2026-12-31): full-text search, issue 812
        --update-baseline: it takes over what perf.toml only accepts for a while: p95 of GET /claims (+38.7%): remove these exceptions, or they hide as much again

        exceeded: Fail

        --update-baseline: it takes over what perf.toml only accepts for a while: p95 of GET /claims (+38.7%): remove these exceptions, or they hide as much again

        expired: Fail
        note: the exception for p95 of GET /claims ended on 2026-12-31, and the limit holds again: remove it from perf.toml

        unused: Fail
        WARN the exception for p95 of GET /nothing is not used, since it is within its limit or not judged: remove it from perf.toml

    "#]].assert_eq(&all);
}

#[test]
fn a_limit_that_is_mostly_used_up_is_told_where_it_is_no_noise() {
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
        further::notes(&compare(&baseline, &runs, &rules).unwrap())
    };
    assert_eq!(notes(&[340.0, 341.0]), ["p95 uses up 68% of its limit: +13.5% of +20%"]);
    assert!(notes(&[320.0, 321.0]).is_empty(), "less than half");
    assert!(notes(&[280.0, 420.0]).is_empty(), "noise");
    assert!(notes(&[400.0, 401.0]).is_empty(), "over it: that is a finding");
}
