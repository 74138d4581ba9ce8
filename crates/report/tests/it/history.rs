//! The history of the accepted baselines.

use expect_test::expect;
use judge::baseline::chain::{Version, breaks};
use judge::baseline::file::Baseline;
use judge::model::day::Day;
use judge::model::run::{Machine, Metric, Provenance, Run};
use report::formats::terminal::Screen;
use report::history::timeline::Timeline;
use report::history::{html, json, terminal};
use roxmltree::Document;
use scraper::{Html, Selector};
use serde_json::Value;

use crate::samples::{provenance, runs_with};

pub const ENDPOINT: &str = "GET /claims";

pub fn version(number: u32, p95_ms: f64, note: &str, cpu: &str) -> Version {
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
        baseline: Baseline::new(&runs, Provenance { machine, ..provenance() }).unwrap().with_note(note),
    }
}

/// Newest first; the machine changed before the third.
pub fn versions() -> Vec<Version> {
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
        anchor_name: String::new(),
        endpoints: vec![None],
        metric: Metric::P95,
        notes: vec!["0123456789ab of 2026-01-15 is left out: this is not a JSON object".to_owned()],
    }
}

#[test]
fn history_has_a_row_for_each_baseline_newest_first() {
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

        5 accepted baselines of perf_baseline.json; * marks a statistically significant change (95% interval)
        0123456789ab of 2026-01-15 is left out: this is not a JSON object
        p95 +20% since 2026-03-15 by 2 updates, 330 → 396 ms
    "#]].assert_eq(&text);
}

#[test]
fn narrow_terminal_keeps_the_columns_of_the_metric() {
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
fn anchor_counts_only_in_its_stretch() {
    let versions = versions();
    let since = |anchor: usize| -> Vec<Option<i64>> {
        let timeline = Timeline { anchor, ..timeline(&versions) };
        let rows = timeline.rows(None, Metric::P95);
        #[expect(clippy::cast_possible_truncation, reason = "whole percents")]
        rows.iter().map(|row| row.since.map(|since| since.change.round() as i64)).collect()
    };
    assert_eq!(since(2), [Some(20), Some(9), None, Some(0), None]);
    // Versions before the anchor have no change.
    assert_eq!(since(1), [Some(10), None, None, Some(0), None]);
    assert_eq!(since(4), [Some(20), Some(9), None, Some(0), None]);
}

#[test]
fn history_page_is_well_formed_with_hostile_notes() {
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
    // A dot for each run, an estimate for each version, and a ring for each significant step.
    let count = |of: &str| charts[0].matches(of).count();
    assert_eq!((count("r=\"2\""), count("r=\"3\""), count("r=\"6\"")), (25, 5, 2), "{}", charts[0]);
    for text in [page, terminal::render(&timeline, Screen::default()), json::render(&timeline)] {
        assert!(!text.contains("secret") && !text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
    }
}

#[test]
fn history_json_has_every_number() {
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

/// A page for the tests that look at pages.
pub fn page() -> String {
    html::render(&timeline(&versions()))
}

pub fn terminal_of_80_columns() -> String {
    terminal::render(&timeline(&versions()), Screen { columns: Some(80), is_ascii: false })
}
