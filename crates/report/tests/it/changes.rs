//! What changed with a slowdown, in every format.

use expect_test::expect;
use judge::model::run::{Provenance, Usage};
use judge::stats::estimate::{Interval, Scale};
use judge::verdict::causes::{Cause, Kind, Shape};
use report::formats::github::{self, Places};
use report::formats::terminal::{self, Screen, Verbosity};
use report::{Background, FailedRequests, Format, Report, Sides, View};
use serde_json::Value;

use crate::cases::{Case, background, case, rules, runs};
use crate::json::Schema;

fn cause(kind: Kind, endpoint: Option<&str>, [baseline, candidate]: [f64; 2], scale: Scale, ends: [f64; 2]) -> Cause {
    let interval = Interval { low: ends[0], high: ends[1] };
    Cause { kind, endpoint: endpoint.map(str::to_owned), baseline, candidate, scale, interval, part: 1.0 }
}

/// One of each kind.
fn causes() -> Vec<Cause> {
    let claims = Some("GET /claims");
    let share = Kind::Endpoint { share_pct: 81.2, share_interval: Interval { low: 74.0, high: 88.4 } };
    vec![
        cause(Kind::Counter("db_queries".to_owned()), None, [1.0, 11.0], Scale::Relative, [980.0, 1020.0]),
        cause(Kind::AnswerBytes { others: 2 }, claims, [210.0, 2100.0], Scale::Relative, [890.0, 910.0]),
        cause(Kind::Connections, None, [0.0, 1.0], Scale::Absolute, [0.98, 1.02]),
        cause(Kind::Failures, claims, [0.5, 12.5], Scale::Absolute, [9.0, 15.25]),
        cause(Kind::OverTime { from_s: Some(12.2) }, None, [1.0, 97.0], Scale::Absolute, [80.0, 112.0]),
        cause(Kind::OverTime { from_s: None }, None, [-1.0, 50.0], Scale::Absolute, [30.0, 70.0]),
        cause(share, claims, [45.1, 98.0], Scale::Absolute, [50.0, 55.8]),
        cause(Kind::Cpu, None, [2.1, 2.95], Scale::Relative, [36.8, 44.3]),
        cause(Kind::Waiting { cpu_ms: [1.52, 1.55] }, None, [5.1, 35.2], Scale::Relative, [500.0, 700.0]),
        cause(Kind::VoluntarySwitches, None, [3.0, 14.0], Scale::Relative, [300.0, 420.0]),
        cause(Kind::InvoluntarySwitches, None, [0.05, 0.5], Scale::Relative, [800.0, 1000.0]),
        cause(Kind::MemoryGrowth, None, [0.0, 35.0], Scale::Absolute, [30.0, 40.0]),
        cause(Kind::PeakMemory, None, [44.0, 120.0], Scale::Relative, [160.0, 190.0]),
        cause(Kind::Shape(Shape::Factor(1.402)), None, [40.0, 56.0], Scale::Relative, [38.0, 43.0]),
        cause(Kind::Shape(Shape::Shift(30.1)), claims, [40.0, 70.0], Scale::Absolute, [29.0, 31.0]),
        cause(Kind::Shape(Shape::Tail), None, [40.0, 41.0], Scale::Relative, [0.0, 120.0]),
        cause(
            Kind::Shape(Shape::SecondCloud { requests_pct: 7.5, from_ms: 300.0 }),
            None,
            [40.0, 41.0],
            Scale::Relative,
            [0.0, 600.0],
        ),
    ]
}

fn with<T>(causes: Option<Vec<Cause>>, read: impl FnOnce(&View) -> T) -> T {
    let failure = FailedRequests {
        endpoint: "GET /claims".to_owned(),
        error: "HTTPError('500 Server Error')".to_owned(),
        times: 90,
        requests: Some(700),
    };
    let background = Background { causes, failures: vec![failure], ..background() };
    case("a failure of several runs")
        .report(|report| read(&View::of(&Report { background: &background, ..report.clone() })))
}

#[test]
fn few_rounds_are_not_said_to_explain_nothing() {
    let before = [300.0, 301.0, 299.0, 300.5];
    let after = before.map(|p95_ms| 1.4 * p95_ms);
    for (rounds, expected) in
        [(3, "these rounds are too few to show what explains it"), (4, "nothing that was measured")]
    {
        let case = Case::new("rounds", &runs(&before[..rounds]), runs(&after[..rounds]), rules(false, true));
        case.report(|report| {
            let background = Background { causes: Some(Vec::new()), ..background() };
            let text = terminal_of(&Report { background: &background, ..report.clone() });
            assert!(text.contains(&format!("changed: {expected}")), "{rounds}: {text}");
        });
    }
}

#[test]
fn lost_keep_alive_is_a_note_of_a_pass() {
    for (connections, is_noted) in [(1.0, true), (0.4, false)] {
        case("a pass").report(|report| {
            let with = |side: &Provenance, connections| {
                let usage = Usage { connections_per_request: vec![connections], ..side.usage.clone() };
                Provenance { usage, ..side.clone() }
            };
            let Sides { baseline, candidate } = report.provenance;
            let (baseline, candidate) = (with(baseline, 0.003), with(candidate, connections));
            let provenance = Sides { baseline: &baseline, candidate: &candidate };
            let text = terminal_of(&Report { provenance, ..report.clone() });
            let note = "note: connections opened per request rose from 0.00 to 1.00: keep-alive may be lost";
            assert_eq!(text.contains(note), is_noted, "{text}");
        });
    }
}

fn terminal_of(report: &Report) -> String {
    let text = terminal::render(&View::of(report), Verbosity::Normal, Screen::default());
    anstream::adapter::strip_str(&text).to_string()
}

#[test]
fn causes_are_in_every_format() {
    with(Some(causes()), |view| {
        let text = terminal::render(view, Verbosity::Verbose, Screen::default());
        let text = anstream::adapter::strip_str(&text).to_string();
        let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("changed: ")).collect();
        expect![[r#"
            db_queries per request rose from 1.00 to 11.0 (11.0 times, interval 10.8..11.2)
            responses of GET /claims grew from 210 to 2,100 bytes (10.0 times, interval 9.90..10.1); responses of 2 other endpoints grew too
            connections opened per request rose from 0 to 1.00 (+1.00, interval +0.98..+1.02): keep-alive may be lost
            failures of GET /claims rose from 0.50 to 12.5% (+12.0 pp, interval +9.00..+15.2), mostly HTTPError('500 Server Error')
            it gets slower during a run, from second 12 on: the mean of the second half is +97% compared with the first (baseline +1%, +96.0 pp, interval +80.0..+112)
            it gets slower during a run: the mean of the second half is +50% compared with the first (baseline -1%, +51.0 pp, interval +30.0..+70.0)
            GET /claims accounts for 81% of the slowdown (interval 74..88): its mean rose from 45.1 to 98.0 ms (+52.9 ms, interval +50.0..+55.8)
            the service computes more: CPU time per request rose from 2.10 to 2.95 ms (+40.5%, interval +36.8..+44.3)
            requests wait more, for a database, a lock, the network, a sleep or each other: the mean rose from 5.10 to 35.2 ms (6.90 times, interval 6.00..8.00), while CPU time per request went from 1.52 to 1.55 ms
            its threads wait more often: voluntary context switches per request rose from 3.00 to 14.0 (4.67 times, interval 4.00..5.20)
            its threads lose their core more often: involuntary context switches per request rose from 0.050 to 0.50 (10.0 times, interval 9.00..11.0)
            memory that the service gains during a run rose from 0 to 35.0 MB (+35.0 MB, interval +30.0..+40.0)
            the service's peak memory rose from 44.0 to 120 MB (+172.7%, interval +160.0..+190.0)
            all percentiles up to p95 rose by about the same factor, 1.40 (+38% to +43%)
            all percentiles of GET /claims up to p95 rose by about the same time, 30.1 ms (+29.0 to +31.0 ms)
            only the slow requests got slower: the percentiles up to p95 by at most +120%, the median by +2%
            about 8% of the requests take 300 ms or more, much slower than all others
        "#]].assert_eq(&(lines.join("\n") + "\n"));
        assert_eq!(lines.len(), causes().len());
        let [page, comment, junit] = [Format::Html, Format::Markdown, Format::Junit].map(|format| format.render(view));
        for (name, text) in [("page", page), ("comment", comment), ("JUnit", junit)] {
            for words in ["db_queries", "accounts for 81% of the slowdown (interval 74..88)", "keep-alive may be lost"]
            {
                assert!(text.replace("\\_", "_").contains(words), "{name} lacks {words}");
            }
        }
        let annotations = github::annotations(view, &Places::default());
        assert_eq!(annotations.matches("::notice title=What changed::").count(), 1, "{annotations}");
        let json: Value = serde_json::from_str(&Format::Json.render(view)).unwrap();
        Schema::read().assert_accepts("causes", &json);
        assert_eq!(json["what_changed"].as_array().unwrap().len(), causes().len());
        assert_eq!(json["what_changed"][0]["counter"], "db_queries");
    });
}

#[test]
fn slowdown_that_nothing_explains_is_reported_as_such() {
    with(Some(Vec::new()), |view| {
        let text = terminal::render(view, Verbosity::Normal, Screen::default());
        assert!(text.contains(": nothing that was measured explains it\n"), "{text}");
        assert!(Format::Html.render(view).contains("<li>Nothing that was measured explains it</li>"));
    });
    with(None, |view| {
        for format in [Format::Html, Format::Markdown, Format::Junit] {
            assert!(!format.render(view).contains("nothing that was measured"), "{format:?}");
        }
    });
}
