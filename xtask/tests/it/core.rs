//! The pure core: text in, values out.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use xtask::baseline::Baseline;
use xtask::compare::{Comparison, JUDGED, Limit, Limits, Rules, Status, Verdict, compare, default_limits};
use xtask::config::{Config, LocustSettings, settle};
use xtask::flags;
use xtask::report::Report;
use xtask::report::terminal::{Verbosity, render};
use xtask::run::{Metric, PERCENTILES, Precision, Provenance, REQUEST_Z, Run, Stats};
use xtask::stats::{Difference, Scale, chance_variance, estimate, holm, quantile_ranks, rate_interval_pct};
use xtask::{locust_csv, locust_history, locust_json, mask};

const HEADER: &str = "Type,Name,Request Count,Failure Count,Median Response Time,Average Response Time,Min Response Time,\
    Max Response Time,Average Content Size,Requests/s,Failures/s,50%,66%,75%,80%,90%,95%,98%,99%,99.9%,99.99%,100%";

/// The baseline file as version 1.0 wrote it, with nothing else.
pub const VERSION_1_0: &str = r#"{"version":"1.0","timestamp":"2026-01-27T00:00:00Z","commit":"abc123","metrics":{"p50":120.0,"p95":350.0,"p99":480.0,"avg_response_time":150.0,"requests_per_sec":15.0,"error_rate":0.5,"total_requests":450},"notes":"..."}"#;

fn fixture(path: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn error(result: anyhow::Result<impl Sized>) -> String {
    match result {
        Ok(_) => panic!("this must be refused"),
        Err(error) => format!("{error:#}"),
    }
}

fn csv_error(text: &str) -> String {
    error(locust_csv::parse(text.as_bytes()))
}

fn row(start: &str) -> String {
    format!("{HEADER}\r\n{start}\r\n")
}

// CSV

#[test]
fn a_full_aggregated_row_alone_is_read() {
    let text = row("None,Aggregated,450,2,120,150,45,890,1024,15.0,0.066,120,180,220,250,300,350,420,480,650,890,890");
    let run = locust_csv::parse(text.as_bytes()).unwrap();
    let total = Stats {
        requests: 450,
        failures: 2,
        p50_ms: 120.0,
        p95_ms: 350.0,
        p99_ms: 480.0,
        avg_ms: 150.0,
        requests_per_sec: 15.0,
        p95_interval_ms: Some([300.0, 420.0]),
    };
    assert_eq!(run, Run { precision: Precision::Coarse, total, endpoints: vec![], distribution: vec![] });
}

#[test]
fn few_columns_in_any_order_are_enough() {
    let text = "Name,Type,99%,95%,50%,Requests/s,Average Response Time,Failure Count,Request Count\nAggregated,,480,350,120,15.0,150,2,450\n";
    let run = locust_csv::parse(text.as_bytes()).unwrap();
    assert_eq!(format!("{:.2}", run.total.value(Metric::ErrorRate)), "0.44");
    assert_eq!(run.total.p95_ms.to_bits(), 350f64.to_bits());
}

#[test]
fn real_results_of_three_versions_are_read() {
    for (path, requests, p95_ms, endpoints) in [
        ("locust-1.6.0/ok", 354, 170.0, 3),
        ("locust-2.15.1/ok", 383, 160.0, 3),
        ("locust-2.47.0/ok", 367, 170.0, 3),
        ("locust-2.47.0/some-failures", 714, 170.0, 3),
        ("locust-2.47.0/all-failing", 144, 4.0, 2),
        ("locust-2.47.0/names", 2065, 4.0, 15),
    ] {
        let run = locust_csv::parse(&fixture(&format!("{path}/perf_results_stats.csv"))).expect(path);
        assert_eq!((run.total.requests, run.endpoints.len()), (requests, endpoints), "{path}");
        assert_eq!(run.total.p95_ms.to_bits(), f64::to_bits(p95_ms), "{path}");
    }
}

#[test]
fn a_column_that_is_no_percentile_is_left_alone() {
    let text =
        row("None,Aggregated,1000,0,5,5,1,9,11,2.0,0.0,5,5,5,5,5,5,5,5,5,5,5").replace("66%", "18446744073709551616%");
    assert_eq!(locust_csv::parse(text.as_bytes()).unwrap().total.p95_interval_ms, Some([5.0, 5.0]));
}

#[test]
fn an_endpoint_named_aggregated_is_not_the_total() {
    let run = locust_csv::parse(&fixture("locust-2.47.0/names/perf_results_stats.csv")).unwrap();
    assert_eq!(run.total.requests, 2065);
    assert!(run.endpoints.iter().any(|(name, stats)| &**name == "GET Aggregated" && stats.requests == 137));
}

#[test]
fn a_file_that_is_no_result_is_refused_with_its_fault() {
    let full = "GET,/a,10,0,5,5,1,9,11,2.0,0.0,5,5,5,5,5,5,5,5,5,5,5";
    let total = ",Aggregated,10,0,5,5,1,9,11,2.0,0.0,5,5,5,5,5,5,5,5,5,5,5";
    for (text, expected) in [
        (String::new(), expect!["the file is empty: Locust had not written any result yet"]),
        (
            format!("{HEADER}\r\n"),
            expect!["there is no `Aggregated` row: the file is cut, or Locust died while it wrote"],
        ),
        (row(full), expect!["there is no `Aggregated` row: the file is cut, or Locust died while it wrote"]),
        (
            row(&total[..30]),
            expect![
                "line 2 has 10 fields where the header has 22: the file is torn, as when Locust is killed while it writes"
            ],
        ),
        (
            row(&format!("{full}\r\nGET,/b")),
            expect![
                "line 3 has 2 fields where the header has 22: the file is torn, as when Locust is killed while it writes"
            ],
        ),
        (
            row(",Aggregated,0,0,0,0.0,0,0,0,0.0,0.0,N/A,N/A,N/A,N/A,N/A,N/A,N/A,N/A,N/A,N/A,N/A"),
            expect!["Locust made no requests: there is nothing to judge"],
        ),
        (
            row(",Aggregated,10,0,0,0.0,0,0,0,0.0,0.0,N/A,N/A,N/A,N/A,N/A,N/A,N/A,N/A,N/A,N/A,N/A"),
            expect!["line 2: 50% is `N/A`, not a number from 0 up"],
        ),
        (
            row(&total.replace("5,5,5,5,5,5,5,5,5,5,5", "5,5,5,5,5,4,5,5,5,5,5")),
            expect!["line 2: its percentiles fall: 50% 5, 95% 4, 99% 5"],
        ),
        (row(&total.replace(",2.0,", ",nan,")), expect!["line 2: Requests/s is `nan`, not a number from 0 up"]),
        (row(&total.replace(",2.0,", ",inf,")), expect!["line 2: Requests/s is `inf`, not a number from 0 up"]),
        (
            row(&total.replace("Aggregated,10", "Aggregated,ten")),
            expect!["line 2: Request Count is `ten`, not a whole number"],
        ),
        (
            row(&total.replace("Aggregated,10,0", "Aggregated,10,11")),
            expect!["`Aggregated` counts 11 failures of 10 requests: the file does not add up"],
        ),
        (
            row(&format!("{full}\r\n{}", total.replace("Aggregated,10", "Aggregated,12"))),
            expect![
                "the endpoints' requests add up to 10 where `Aggregated` says 12: the file is torn, rows of two writings are mixed"
            ],
        ),
        (
            row(&format!("{full}\r\n{}", total.replace("Aggregated,10,0", "Aggregated,10,1"))),
            expect![
                "the endpoints' failures add up to 0 where `Aggregated` says 1: the file is torn, rows of two writings are mixed"
            ],
        ),
        (
            row(&format!("{full}\r\n{full}\r\n{}", total.replace("Aggregated,10", "Aggregated,20"))),
            expect!["`GET /a` is there twice: the file is torn, rows of two writings are mixed"],
        ),
        (
            HEADER.replace(",95%", ",94%") + "\r\n" + total + "\r\n",
            expect!["there is no column `95%`: let the locustfile's PERCENTILES_TO_REPORT include 0.50, 0.95 and 0.99"],
        ),
        (
            "hello\nworld\n".to_owned(),
            expect!["line 1 has no column `Name`: this is no stats file of Locust 1.2 or later"],
        ),
    ] {
        expected.assert_eq(&csv_error(&text));
    }
    let killed = fixture("locust-2.47.0/killed-midway/perf_results_stats.csv");
    expect![
        "line 57 has 17 fields where the header has 22: the file is torn, as when Locust is killed while it writes"
    ]
    .assert_eq(&error(locust_csv::parse(&killed)));
    let none = fixture("locust-2.47.0/zero-requests/perf_results_stats.csv");
    expect!["Locust made no requests: there is nothing to judge"].assert_eq(&error(locust_csv::parse(&none)));
    let custom = fixture("locust-2.47.0/custom-percentiles/perf_results_stats.csv");
    expect!["there is no column `99%`: let the locustfile's PERCENTILES_TO_REPORT include 0.50, 0.95 and 0.99"]
        .assert_eq(&error(locust_csv::parse(&custom)));
}

#[test]
fn a_file_cut_anywhere_is_never_a_result() {
    let whole = fixture("locust-2.47.0/ok/perf_results_stats.csv");
    let text = String::from_utf8(whole.clone()).unwrap();
    // Until the last field of the last row begins, something is missing; from there on a shorter number is a number.
    let last_field = text.trim_end().rfind(',').unwrap();
    for end in 0..=last_field {
        let result = locust_csv::parse(&whole[..end]);
        assert!(result.is_err(), "cut at byte {end}: {result:?}");
    }
    assert!(locust_csv::parse(&whole).is_ok());
}

// JSON

#[test]
fn the_json_gives_what_locust_reports() {
    // The CSV of the fixture lacks the last second, so only what the JSON says itself is held against it.
    let text = String::from_utf8(fixture("locust-2.47.0/ok/report.json")).unwrap();
    let run = locust_json::parse(&text).unwrap();
    assert_eq!(run.total.requests, 397);
    assert_eq!(run.endpoints.iter().map(|(_, stats)| stats.requests).sum::<u64>(), 397);
    assert_eq!([run.total.p50_ms, run.total.p95_ms, run.total.p99_ms], [7.0, 170.0, 170.0]);
}

/// A result with these response times in ms and their counts.
fn json_of(times: &str) -> String {
    let n: u64 = times.split(',').map(|pair| pair.split(':').nth(1).unwrap().trim().parse::<u64>().unwrap()).sum();
    format!(
        r#"[{{"name":"/","method":"GET","num_requests":{n},"num_failures":0,"num_none_requests":0,"total_response_time":1.0,"start_time":1.0,"last_request_timestamp":2.0,"response_times":{{{times}}}}}]"#
    )
}

#[test]
fn an_endpoint_without_response_times_has_the_zeros_of_locusts_csv() {
    let untimed = json_of(r#""5": 0"#).replace(r#""5": 0"#, "").replace(r#""num_requests":0"#, r#""num_requests":9"#);
    expect!["no request has a response time"].assert_eq(&error(locust_json::parse(&untimed)));
    let untimed = untimed.replace(r#""name":"/""#, r#""name":"sent""#).replace("1.0,\"start", "0.0,\"start");
    let both = format!("{},{}", json_of(r#""5": 3"#).trim_end_matches(']'), untimed.trim_start_matches('['));
    let run = locust_json::parse(&both).unwrap();
    assert_eq!(run.names().collect::<Vec<_>>(), ["GET /", "GET sent"]);
    let sent = &run.endpoints[1].1;
    assert_eq!((sent.requests, [sent.avg_ms, sent.p50_ms, sent.p95_ms, sent.p99_ms]), (9, [0.0; 4]));
    assert_eq!((run.total.requests, run.total.p50_ms), (12, 5.0));
}

/// Values computed with `calculate_response_time_percentile` of Locust 2.47.0.
#[test]
fn percentiles_follow_locusts_rank_rule() {
    for (times, expected) in [
        (r#""5": 1"#, [5.0, 5.0, 5.0]),
        (r#""5": 1, "9": 1"#, [9.0, 9.0, 9.0]),
        (r#""100": 19, "200": 1"#, [100.0, 200.0, 200.0]),
        (r#""100": 20, "200": 1"#, [100.0, 100.0, 200.0]),
        (r#""10": 50, "20": 45, "30": 5"#, [20.0, 30.0, 30.0]),
        (r#""10": 51, "20": 45, "30": 5"#, [10.0, 20.0, 30.0]),
    ] {
        let stats = locust_json::parse(&json_of(times)).unwrap().total;
        assert_eq!([stats.p50_ms, stats.p95_ms, stats.p99_ms], expected, "{times}");
    }
}

#[test]
fn counts_beyond_all_bounds_are_no_panic() {
    let most = u64::MAX;
    let entry = |name: &str| {
        format!(
            r#"{{"name":"{name}","method":"GET","num_requests":{most},"num_failures":{most},"total_response_time":1e308,"start_time":1.0,"last_request_timestamp":2.0,"response_times":{{"5":{most},"6":{most}}}}}"#
        )
    };
    let found = error(locust_json::parse(&format!("[{},{}]", entry("/a"), entry("/b"))));
    assert_eq!(found, "it counts more requests than any test makes");
    let total = ",Aggregated,18446744073709551615,0,5,5,1,9,11,2.0,0.0,5,5,5,5,5,5,5,5,5,5,5";
    assert_eq!(csv_error(&row(total)), "line 2: Request Count is `18446744073709551615`, not a whole number");
    let endless = json_of(r#""5": 1"#).replace("\"total_response_time\":1.0", "\"total_response_time\":1e308");
    let twice =
        format!("[{0},{1}]", &endless[1..endless.len() - 1], endless[1..endless.len() - 1].replace("\"/\"", "\"/b\""));
    assert_eq!(error(locust_json::parse(&twice)), "its response times add up to no number");
}

#[test]
fn a_json_that_is_no_result_is_refused() {
    expect!["Locust made no requests: there is nothing to judge"].assert_eq(&error(locust_json::parse("[]")));
    expect!["this is no JSON result of Locust's --json-file: EOF while parsing a value at line 1 column 0"]
        .assert_eq(&error(locust_json::parse("")));
    let text = String::from_utf8(fixture("locust-2.47.0/ok/report.json")).unwrap();
    let endless = text.replace("\"6\":", "\"NaN\":");
    assert_ne!(text, endless);
    expect!["`GET /fast`: response time `NaN` is not a number from 0 up"]
        .assert_eq(&error(locust_json::parse(&endless)));
}

#[test]
fn a_distribution_follows_the_same_rule() {
    let run = locust_json::parse(&json_of(r#""10": 500, "20": 449, "30": 50, "99": 1"#)).unwrap();
    let at = |percent: f64| run.distribution[PERCENTILES.iter().position(|at| *at == percent).unwrap()];
    assert_eq!([1.0, 40.0, 50.0, 90.0, 95.0, 99.9].map(at), [10.0, 10.0, 20.0, 20.0, 30.0, 99.0]);
    assert_eq!([at(50.0), at(95.0), at(99.0)], [run.total.p50_ms, run.total.p95_ms, run.total.p99_ms]);
}

// History

#[test]
fn the_course_of_a_run_is_read() {
    let history = locust_history::parse(&fixture("locust-2.47.0/ok/perf_results_stats_history.csv")).unwrap();
    assert_eq!((history.is_windowed, history.points.len()), (false, 8));
    assert_eq!(history.points[0].percentiles_ms, None);
    let point = &history.points[2];
    assert_eq!((point.time_s, point.users, point.percentiles_ms), (2.0, 5.0, Some([10.0, 170.0, 170.0])));
    // Of each endpoint too, and with a last line that was never finished.
    let text = "Timestamp,User Count,Type,Name,Requests/s,Failures/s,50%,95%,99%\r\n\
        10,1,,Aggregated,0,0,N/A,N/A,N/A\r\n12,2,GET,\"a\r\nb\",3,0,1,2,3\r\n12,2,GET,Aggregated,3,0,1,2,3\r\n\
        12,2,,Aggregated,3,0.5,1,2,3\r\n13,2,,Aggr";
    let history = locust_history::parse(text.as_bytes()).unwrap();
    assert_eq!((history.is_windowed, history.points.len()), (true, 2));
    assert_eq!((history.points[1].time_s, history.points[1].failures_per_sec), (2.0, 0.5));
}

#[test]
fn a_history_that_makes_no_picture_says_why() {
    let header = "Timestamp,User Count,Type,Name,Requests/s,Failures/s,50%,95%,99%";
    let with = |rows: &str| format!("{header}\n1,1,,Aggregated,0,0,N/A,N/A,N/A\n{rows}\n");
    for (text, expected) in [
        (String::new(), expect!["there is no column `Timestamp`"]),
        (header.replace("95%", "94%") + "\n", expect!["there is no column `95%`"]),
        (with(""), expect!["it holds too few lines to draw: Locust before 2.47 loses the last ones of every run"]),
        (with("2,1,,Aggregated,nan,0,1,2,3"), expect!["line 3: Requests/s is `nan`, not a number from 0 up"]),
        (with("2,1,,Aggregated,1,-1,1,2,3"), expect!["line 3: Failures/s is `-1`, not a number from 0 up"]),
        (with("2,1,,Aggregated,1,0,1,N/A,3"), expect!["line 3: 95% is `N/A`, not a number from 0 up"]),
        (with("0,1,,Aggregated,1,0,1,2,3"), expect!["line 3: its time lies before that of the line above"]),
        (
            with("2,1,,Aggregated,1"),
            expect![
                "CSV error: record 2 (line: 3, byte: 97): found record with 5 fields, but the previous record has 9 fields"
            ],
        ),
    ] {
        expected.assert_eq(&error(locust_history::parse(text.as_bytes())));
    }
    let lost = fixture("locust-1.6.0/ok/perf_results_stats_history.csv");
    assert!(error(locust_history::parse(&lost)).starts_with("it holds too few lines"));
}

// Baseline

#[test]
fn a_version_1_0_baseline_loads_as_it_is() {
    let baseline = Baseline::parse(VERSION_1_0).unwrap();
    assert_eq!(baseline.provenance.commit, "abc123");
    assert_eq!(baseline.total(Metric::P95), Some(350.0));
    assert_eq!(baseline.notes, "...");
    assert!(baseline.endpoints.is_empty());
}

#[test]
fn a_baseline_survives_saving_and_loading() {
    let former = Baseline::parse(&VERSION_1_0.replacen('{', r#"{"colour":"blue","#, 1)).unwrap();
    let mut run = run(&[("GET /b", 80.0), ("GET /a", 90.0)]);
    run.distribution = PERCENTILES.to_vec();
    let baseline = Baseline::new(&[run], provenance(), None, Some(&former)).unwrap();
    let text = baseline.to_text();
    assert_eq!(Baseline::parse(&text).unwrap(), baseline);
    assert_eq!(Baseline::parse(&text).unwrap().to_text(), text);
    assert!(text.contains(r#""colour": "blue""#), "unknown keys are kept: {text}");
    assert!(text.contains(r#""notes": "...""#), "notes are kept: {text}");
    expect![[r#"
        {
          "version": "1.1",
          "timestamp": "2026-11-23T12:00:00Z",
          "commit": "0123456789abcdef0123456789abcdef01234567",
          "dirty": false,
          "metrics": {
            "avg_response_time": 100.0,
            "error_rate": 0.0,
            "p50": 100.0,
            "p95": 300.0,
            "p99": 400.0,
            "requests_per_sec": 15.0,
            "total_requests": 450.0
          },
          "aggregated": {
            "avg_response_time": [100.0],
            "error_rate": [0.0],
            "p50": [100.0],
            "p95": [300.0],
            "p99": [400.0],
            "requests_per_sec": [15.0],
            "total_requests": [450.0]
          },
          "distribution": [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9],
    "#]]
    .assert_eq(&text[..text.find("  \"endpoints\"").unwrap()]);
}

#[test]
fn a_baseline_that_cannot_be_meant_is_refused() {
    let edited = Baseline::new(&[run(&[])], provenance(), None, None).unwrap().to_text();
    let edited = edited.replacen("\"p95\": 300.0", "\"p95\": 999.0", 1);
    expect!["`p95` is 999 in `metrics`, and its runs in `aggregated` lie between 300 and 300: one of them was edited"]
        .assert_eq(&error(Baseline::parse(&edited)));
    for (text, expected) in [
        ("", expect!["this is no JSON object: EOF while parsing a value at line 1 column 0"]),
        ("{}", expect!["there is no `version`: this is no baseline of cargo xtask perf"]),
        (
            &VERSION_1_0.replace("1.0", "2.0"),
            expect![[r#"its version is "2.0", and this program reads version 1: update xtask"#]],
        ),
        (&VERSION_1_0.replace("350.0", "-1"), expect!["`p95` is -1, not a number from 0 up"]),
        (&VERSION_1_0.replace("350.0", "1e999"), expect!["number out of range at line 1 column 104"]),
        (
            &VERSION_1_0.replace("350.0", "\"fast\""),
            expect![[r#"invalid type: string "fast", expected f64 at line 1 column 105"#]],
        ),
        (&VERSION_1_0.replace("\"metrics\"", "\"metric\""), expect!["missing field `metrics` at line 1 column 219"]),
    ] {
        expected.assert_eq(&error(Baseline::parse(text)));
    }
    assert!(Baseline::parse(&VERSION_1_0.replace("\"1.0\"", "\"1.9\"")).is_ok(), "a newer minor version is read");
}

#[test]
fn a_baseline_keeps_the_distribution_of_runs_that_all_have_one() {
    let with = |values: &[f64]| Run { distribution: values.to_vec(), ..run(&[]) };
    let of = |runs: &[Run]| Baseline::new(runs, provenance(), None, None).unwrap().distribution;
    assert_eq!(of(&[with(&[2.0; 17]), with(&[8.0; 17])]), [4.0; 17]);
    assert_eq!(of(&[with(&[2.0; 17]), with(&[])]), Vec::<f64>::new());
    // A newer version may keep it elsewhere; what is there and cannot be meant is refused.
    let text = Baseline::new(&[with(&[2.0; 17])], provenance(), None, None).unwrap().to_text();
    expect!["`distribution` holds -2, not a number from 0 up"].assert_eq(&error(Baseline::parse(&text.replacen(
        "[2.0, 2.0",
        "[-2.0, 2.0",
        1,
    ))));
}

/// 0 at the baseline, 1 at the limit, whichever way the metric goes and whatever the limit is made of.
#[test]
fn a_series_takes_up_a_share_of_its_limit() {
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
        let found = [row.allowed().unwrap(), row.strain(candidate_value).unwrap()];
        let is_close = |a: f64, b: f64| a == b || (a - b).abs() < 1e-9;
        assert!(is_close(found[0], allowed) && is_close(found[1], strain), "{limit} {candidate_value}: {found:?}");
    }
}

#[test]
fn a_run_of_failures_alone_is_no_baseline() {
    let mut run = run(&[]);
    run.total.failures = run.total.requests;
    expect!["every one of the 450 requests failed: that is no baseline; mend the service or the locustfile first"]
        .assert_eq(&error(Baseline::new(&[run], provenance(), None, None)));
}

// Compare

fn provenance() -> Provenance {
    Provenance {
        timestamp: "2026-11-23T12:00:00Z".to_owned(),
        commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        ..Baseline::parse(VERSION_1_0).unwrap().provenance
    }
}

/// For ever, as a comparison points into them.
fn rules(strict: bool) -> &'static Rules {
    rules_with(default_limits(), strict)
}

fn rules_with(limits: Limits, strict: bool) -> &'static Rules {
    Box::leak(Box::new(Rules { limits, strict, ..Rules::default() }))
}

/// What one run measured with this p95, and nothing else that is remarkable.
pub fn stats(p95_ms: f64) -> Stats {
    Stats {
        requests: 450,
        failures: 0,
        p50_ms: 100.0,
        p95_ms,
        p99_ms: 400.0,
        avg_ms: 100.0,
        requests_per_sec: 15.0,
        p95_interval_ms: None,
    }
}

fn run(endpoints: &[(&str, f64)]) -> Run {
    Run {
        precision: Precision::Coarse,
        total: stats(300.0),
        endpoints: endpoints.iter().map(|(name, p95_ms)| ((*name).into(), stats(*p95_ms))).collect(),
        distribution: vec![],
    }
}

/// A baseline with these metrics.
fn baseline(metrics: &[(Metric, f64)]) -> Baseline {
    let mut metrics: BTreeMap<Metric, f64> = metrics.iter().copied().collect();
    // What the gate fails on is always there.
    metrics.entry(Metric::P95).or_insert(300.0);
    metrics.entry(Metric::ErrorRate).or_insert(0.0);
    let metrics: Vec<String> = metrics.iter().map(|(metric, value)| format!("\"{metric}\":{value}")).collect();
    let text = format!(r#"{{"version":"1.0","timestamp":"","commit":"","metrics":{{{}}}}}"#, metrics.join(","));
    Baseline::parse(&text).unwrap()
}

/// 10,000 requests, so that an error rate is exact to a hundredth of a percent.
fn candidate(values: &[(Metric, f64)]) -> Run {
    let mut total = stats(300.0);
    total.requests = 10_000;
    for (metric, value) in values {
        match metric {
            Metric::P50 => total.p50_ms = *value,
            Metric::P95 => total.p95_ms = *value,
            Metric::P99 => total.p99_ms = *value,
            Metric::RequestsPerSec => total.requests_per_sec = *value,
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 10,000")]
            Metric::ErrorRate => total.failures = (*value * 100.0).round() as u64,
            Metric::AvgResponseTime | Metric::TotalRequests => panic!("{metric} is not judged"),
        }
    }
    Run { precision: Precision::Coarse, total, endpoints: vec![], distribution: vec![] }
}

fn with_limits(limits: &[(Metric, &str)]) -> Limits {
    let mut all = default_limits();
    for (metric, text) in limits {
        all.insert(*metric, Limit::parse(*metric, text).unwrap());
    }
    all
}

/// What is found, gravest first, as `FAIL p95`.
#[track_caller]
fn check(pairs: &[(Metric, f64, f64)], limits: &Limits, strict: bool, expected: &[&str]) {
    let reference = baseline(&pairs.iter().map(|(metric, value, _)| (*metric, *value)).collect::<Vec<_>>());
    let runs = [candidate(&pairs.iter().map(|(metric, _, value)| (*metric, *value)).collect::<Vec<_>>())];
    let comparison = compare(&reference, &runs, rules_with(limits.clone(), strict)).unwrap();
    let found: Vec<String> =
        comparison.findings().iter().map(|row| format!("{:?} {}", row.status, row.metric)).collect();
    assert_eq!(found, expected, "{pairs:?}");
    let failed = found.iter().any(|finding| finding.starts_with("Fail"));
    assert_eq!(comparison.verdict, if failed { Verdict::Fail } else { Verdict::Pass });
}

#[test]
fn the_default_limits_are_strict_and_hold_at_the_edge() {
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
fn strict_makes_failures_of_warnings() {
    check(&[(Metric::P50, 200.0, 250.0)], &default_limits(), true, &["Fail p50"]);
    check(&[(Metric::RequestsPerSec, 10.0, 1.0)], &default_limits(), true, &["Fail requests_per_sec"]);
    check(&[(Metric::P50, 200.0, 240.0)], &default_limits(), true, &[]);
}

#[test]
fn a_change_within_locusts_rounding_is_no_regression() {
    for (baseline_ms, candidate_ms, expected) in [
        (4.0, 5.0, Status::BelowResolution),
        (0.0, 1.0, Status::BelowResolution),
        (4.0, 6.0, Status::Fail),
        (2.0, 4.0, Status::Fail),
        (99.0, 120.0, Status::Fail),
    ] {
        let reference = baseline(&[(Metric::P95, baseline_ms)]);
        let runs = [candidate(&[(Metric::P95, candidate_ms)])];
        let comparison = compare(&reference, &runs, rules(false)).unwrap();
        let row = comparison.total.iter().find(|row| row.metric == Metric::P95).unwrap();
        assert_eq!(row.status, expected, "{baseline_ms} -> {candidate_ms}");
    }
    for (value_ms, width_ms) in
        [(4.0, 1.0), (99.0, 1.0), (100.0, 10.0), (990.0, 10.0), (1000.0, 100.0), (12_000.0, 1000.0)]
    {
        assert!((Precision::Coarse.resolution_ms(value_ms) - width_ms).abs() < 1e-9, "{value_ms}");
    }
}

#[test]
fn finer_response_times_resolve_smaller_changes_and_the_coarser_side_rules() {
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
fn a_baseline_is_as_precise_as_the_coarsest_of_its_runs() {
    let mut runs = [run(&[]), run(&[])];
    runs[0].precision = Precision::Fine;
    let precision = |runs: &[Run]| Baseline::new(runs, provenance(), None, None).unwrap().provenance.precision;
    assert_eq!((precision(&runs[..1]), precision(&runs)), (Precision::Fine, Precision::Coarse));
}

#[test]
fn the_precision_of_a_json_is_what_its_response_times_show() {
    for (times, expected) in [
        (r#""5": 1, "99": 2, "170": 1, "1200": 1"#, Precision::Coarse),
        (r#""5": 1, "127.0": 1"#, Precision::Fine),
        (r#""43.7": 1"#, Precision::Fine),
        (r#""1230.0": 1"#, Precision::Fine),
    ] {
        assert_eq!(locust_json::parse(&json_of(times)).unwrap().precision, expected, "{times}");
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
fn a_limit_that_cannot_be_meant_is_refused() {
    for (metric, text, expected) in [
        (
            Metric::P95,
            "20",
            expect![[r#"`20` does not end in `%`: write for example "20%", "20% and 5ms" or "max 500ms""#]],
        ),
        (
            Metric::P95,
            "-5%",
            expect![[r#"`-5` is not a number from 0 up: write for example "20%", "20% and 5ms" or "max 500ms""#]],
        ),
        (
            Metric::P95,
            "20%, 30%",
            expect![[r#"there are two limits of change: write for example "20%", "20% and 5ms" or "max 500ms""#]],
        ),
        (Metric::ErrorRate, "2%", expect![[r#"`2%` does not end in `pp`: write for example "2pp" or "max 5%""#]]),
        (Metric::TotalRequests, "2%", expect!["`total_requests` is shown, not judged: it takes no limit"]),
    ] {
        expected.assert_eq(&error(Limit::parse(metric, text)));
    }
}

#[test]
fn a_baseline_is_judged_on_what_it_has() {
    let reference = baseline(&[(Metric::P50, 100.0), (Metric::P95, 300.0), (Metric::ErrorRate, 0.0)]);
    let runs = [candidate(&[(Metric::P95, 400.0)])];
    let comparison = compare(&reference, &runs, rules(false)).unwrap();
    assert_eq!(comparison.lacking, [Metric::P99, Metric::RequestsPerSec]);
    assert_eq!(comparison.verdict, Verdict::Fail);
    for metric in ["p95", "error_rate"] {
        let blind = Baseline::parse(&VERSION_1_0.replace(&format!("\"{metric}\""), "\"renamed\"")).unwrap();
        let found = error(compare(&blind, &runs, rules(false)));
        assert!(found.starts_with(&format!("the baseline lacks {metric}, on which the gate fails")), "{found}");
    }
}

#[test]
fn several_runs_count_by_their_mean() {
    let reference = baseline(&[(Metric::P95, 300.0), (Metric::ErrorRate, 0.0)]);
    // 320 and 400: the geometric mean is 357.8, within 20 %; either run alone would differ.
    let runs = [
        candidate(&[(Metric::P95, 320.0), (Metric::ErrorRate, 0.0)]),
        candidate(&[(Metric::P95, 400.0), (Metric::ErrorRate, 3.0)]),
    ];
    let comparison = compare(&reference, &runs, rules(false)).unwrap();
    assert_eq!(comparison.verdict, Verdict::Pass);
    let value = |metric| comparison.total.iter().find(|row| row.metric == metric).unwrap().candidate.unwrap();
    assert_eq!(format!("{:.1} {:.1}", value(Metric::P95), value(Metric::ErrorRate)), "357.8 1.5");
}

/// By hand: the median of the logarithms of the first is 0, the median deviation 0.02, so that the run at 0.4 counts as
/// one at 3 * 1.4826 * 0.02 = 0.088956.
#[test]
fn a_run_that_a_neighbour_hit_does_not_drag_the_estimate_along() {
    for (logarithms, expected) in [
        (&[-0.02, -0.01, 0.0, 0.02, 0.4][..], (-0.02 - 0.01 + 0.02 + 0.088_956) / 5.0),
        // Equal runs leave no deviation: the fence is at 3 % then.
        (&[0.0, 0.0, 0.0, 0.4], 0.03 / 4.0),
        (&[0.0, 0.01, 0.02, 0.03], 0.015),
        // Of three runs none can be told from the rest.
        (&[0.0, 0.0, 0.4], 0.4 / 3.0),
    ] {
        let values: Vec<f64> = logarithms.iter().map(|value: &f64| 300.0 * value.exp()).collect();
        let found = (estimate(Scale::Ratio, &values) / 300.0).ln();
        assert!((found - expected).abs() < 1e-9, "{logarithms:?}: {found} for {expected}");
    }
    // Failures are counts, and one run of them is no outlier.
    assert!((estimate(Scale::Difference, &[0.0, 0.0, 0.0, 0.0, 30.0]) - 6.0).abs() < 1e-9);
}

/// t from Snedecor & Cochran, table A4; the interval of 1..5 against 2..6 by hand: pooled variance 2.5, standard error 1.
#[test]
fn the_interval_is_students() {
    let (one_to_five, two_to_six) = ([1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 3.0, 4.0, 5.0, 6.0]);
    let between = |scale, baseline: &[f64], candidate: &[f64]| Difference::between(scale, baseline, candidate, 0.0);
    for (baseline, candidate, error, expected) in [
        (&one_to_five[..], &two_to_six[..], 0.05, [1.0 - 2.306, 1.0 + 2.306]),
        (&one_to_five[..], &two_to_six[..], 0.01, [1.0 - 3.355, 1.0 + 3.355]),
        // Four degrees of freedom; the variance is the baseline's alone, 2.5, the standard error sqrt(2.5 * 1.2).
        (&one_to_five[..], &[3.0][..], 0.05, [-2.776 * 3f64.sqrt(), 2.776 * 3f64.sqrt()]),
    ] {
        let found = between(Scale::Difference, baseline, candidate).unwrap().interval(error);
        for (found, expected) in found.into_iter().zip(expected) {
            assert!((found - expected).abs() < 2e-3, "{found} {expected}");
        }
        // On logarithms the same numbers are ratios.
        let grown = |values: &[f64]| values.iter().map(|value| value.exp()).collect::<Vec<_>>();
        let ratio = between(Scale::Ratio, &grown(baseline), &grown(candidate)).unwrap();
        assert!((ratio.interval(error)[0] - found[0].exp_m1() * 100.0).abs() < 1e-6);
    }
    assert!(between(Scale::Ratio, &[1.0], &[2.0]).is_none(), "two single runs say nothing of the noise");
    assert!(between(Scale::Ratio, &[0.0, 1.0], &[2.0]).is_none(), "a ratio to nothing");
    let equal = between(Scale::Difference, &[0.0; 5], &[0.0]).unwrap();
    assert_eq!((equal.interval(0.05), equal.detectable(0.05)), ([0.0; 2], 0.0));
}

/// Student's own example (1908), the sleep of ten patients, as `t.test(..., paired = TRUE)` of R gives it: the interval
/// 0.7001142 to 2.4598858, p = 0.002833 on two sides.
#[test]
fn the_interval_of_rounds_is_students() {
    let one = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
    let other = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];
    let difference = Difference::paired(Scale::Difference, &one, &other, 0.0).unwrap();
    let [low, high] = difference.interval(0.05);
    assert!((low - 0.700_114_2).abs() < 1e-5 && (high - 2.459_885_8).abs() < 1e-5, "{low} {high}");
    assert!((difference.p_value() - 0.002_833 / 2.0).abs() < 1e-5 && (difference.change() - 1.58).abs() < 1e-9);
    assert!(Difference::paired(Scale::Ratio, &[1.0], &[2.0], 0.0).is_none(), "one round tells no noise");
    // What both share drops out, a ratio as a difference of logarithms.
    let ratio = Difference::paired(Scale::Ratio, &[100.0, 200.0, 150.0], &[110.0, 220.0, 165.0], 0.0).unwrap();
    assert!(ratio.interval(0.05).iter().all(|end| (end - 10.0).abs() < 1e-9));
}

#[test]
fn rounds_are_judged_by_their_differences() {
    let paired = Rules { paired: true, min_runs: 2, max_runs: 7, ..Rules::default() };
    let judged = |baseline_ms: &[f64], candidate_ms: &[f64]| {
        let reference = Baseline::new(&runs_of(baseline_ms), provenance(), None, None).unwrap();
        let runs = runs_of(candidate_ms);
        let comparison = compare(&reference, &runs, &paired).unwrap();
        (comparison.verdict, paired.wants_another_run(&comparison), xtask::report::evidence(&comparison))
    };
    // The machine gets slower by a half, and both sides with it.
    let (verdict, more, said) = judged(&[300.0, 350.0, 400.0, 450.0], &[306.0, 355.0, 412.0, 455.0]);
    assert_eq!((verdict, more), (Verdict::Pass, false), "{said}");
    expect!["4 rounds, both sides in each: settled; p95 changes under 3.1 % could be noise"].assert_eq(&said);
    let (verdict, more, said) = judged(&[300.0, 350.0, 400.0, 450.0], &[420.0, 497.0, 560.0, 625.0]);
    assert_eq!((verdict, more), (Verdict::Fail, false), "{said}");
    let (_, more, said) = judged(&[300.0, 350.0], &[330.0, 390.0]);
    assert!(more, "two rounds tell little: {said}");
    let (_, more, said) = judged(&[300.0], &[300.0]);
    assert!(more, "one round tells nothing: {said}");
}

/// Snedecor & Cochran, table A4. The values 0..=n have the variance n (n + 1) / 12, so the reach of an interval in
/// standard errors is the quantile, and a candidate so far off has half of that error as its p-value.
#[test]
fn the_quantiles_of_t_are_those_of_the_table() {
    for (freedom, error, t) in [
        (1, 0.05, 12.706),
        (1, 0.01, 63.657),
        (2, 0.01, 9.925),
        (4, 0.05, 2.776),
        (4, 0.01, 4.604),
        (8, 0.05, 2.306),
        (8, 0.01, 3.355),
        (30, 0.05, 2.042),
    ] {
        let baseline: Vec<f64> = (0..=freedom).map(f64::from).collect();
        let n = f64::from(freedom) + 1.0;
        let variance = n * (n + 1.0) / 12.0; // of n consecutive numbers
        let standard_error = (variance * (1.0 / n + 1.0)).sqrt();
        let [low, high] = Difference::between(Scale::Difference, &baseline, &[0.0], 0.0).unwrap().interval(error);
        let reach = (high - low) / 2.0 / standard_error;
        assert!((reach - t).abs() < 1e-3, "t({freedom}) at {error}: {reach} for {t}");
        let off = f64::from(freedom) / 2.0 + t * standard_error;
        let p_value = Difference::between(Scale::Difference, &baseline, &[off], 0.0).unwrap().p_value();
        assert!((p_value - error / 2.0).abs() < 5e-5, "t({freedom}) at {error}: {p_value}");
    }
    // t(4) is 4.604 at 0.995 and 0.941 at 0.8, t(6) 3.707 and 0.906: a standard error of sqrt(1.2), or of sqrt(8/15).
    let steady = Difference::between(Scale::Difference, &[-2.0, 0.0, 0.0, 0.0, 2.0], &[0.0], 0.0).unwrap();
    for (runs, expected) in [(1, (4.604 + 0.941) * 2.4f64.sqrt()), (3, (3.707 + 0.906) * (16.0f64 / 15.0).sqrt())] {
        let found = steady.with_candidate_runs(runs).detectable(0.01);
        assert!((found - expected).abs() < 2e-3, "{runs} runs: {found} for {expected}");
    }
}

/// As `p.adjust(p, "holm") <= 0.05` of R: the first case gives 0.03, 0.06, 0.06, 0.02.
#[test]
fn holm_lets_fall_what_r_lets_fall() {
    for (p_values, expected) in [
        (&[0.01, 0.04, 0.03, 0.005][..], &[true, false, false, true][..]),
        (&[0.04, 0.03, 0.02, 0.01], &[false, false, false, true]),
        (&[0.02, 0.01], &[true, true]),
        (&[0.06], &[false]),
        (&[0.0, 1.0, 0.03], &[true, false, false]),
        (&[], &[]),
    ] {
        assert_eq!(holm(p_values, 0.05), expected, "{p_values:?}");
    }
}

/// Exact binomial ranks for 99.95 % a side, by summing the distribution; the approximation may lie one further out.
#[test]
fn the_ranks_of_a_quantile_are_the_binomials() {
    for (n, q, exact) in [
        (100, 0.5, Some([34, 67])),
        (1219, 0.5, Some([552, 668])),
        (100, 0.95, None),
        (148, 0.95, None),
        (200, 0.95, Some([179, 199])),
        (300, 0.95, Some([271, 297])),
        (1219, 0.95, Some([1132, 1183])),
        (20_000, 0.95, Some([18_897, 19_101])),
        (500, 0.99, None),
        (5000, 0.99, Some([4925, 4972])),
    ] {
        let found = quantile_ranks(n, q, REQUEST_Z);
        let is_near = match (found, exact) {
            (Some([low, high]), Some([exact_low, exact_high])) => {
                (0..=1).contains(&(exact_low - low)) && (0..=1).contains(&(high - exact_high))
            }
            (found, exact) => found == exact,
        };
        assert!(is_near, "{n} requests, quantile {q}: {found:?} for {exact:?}");
    }
}

/// Newcombe 1998 (Statistics in Medicine 17, table I, method 3): 81 of 263 and 15 of 148, 95 %.
#[test]
fn the_interval_of_a_rate_is_wilsons() {
    for (failures, requests, expected) in
        [(81.0, 263.0, [25.53, 36.62]), (15.0, 148.0, [6.24, 16.05]), (0.0, 20.0, [0.0, 16.11])]
    {
        let found = rate_interval_pct(100.0 * failures / requests, requests, 1.96);
        for (found, expected) in found.into_iter().zip(expected) {
            assert!((found - expected).abs() < 0.01, "{failures} of {requests}: {found} for {expected}");
        }
    }
    // 5 of 200 in all, in two runs: 2.5 %, so 10^4 * 0.025 * 0.975 / 100.
    assert!((chance_variance(&[0.0, 5.0], &[100.0, 100.0]) - 2.4375).abs() < 1e-9);
}

fn runs_of(p95_ms: &[f64]) -> Vec<Run> {
    p95_ms.iter().map(|value| candidate(&[(Metric::P95, *value)])).collect()
}

#[test]
fn a_verdict_is_settled_when_noise_cannot_change_it() {
    for (baseline_ms, candidate_ms, settled, verdict) in [
        // A quiet machine pays for one run.
        (&[300.0, 303.0, 297.0, 301.0, 299.0][..], &[304.0][..], true, Verdict::Pass),
        // A red one for two: the first may have met a busy neighbour.
        (&[300.0, 303.0, 297.0, 301.0, 299.0], &[420.0], false, Verdict::Fail),
        (&[300.0, 303.0, 297.0, 301.0, 299.0], &[420.0, 415.0], true, Verdict::Fail),
        (&[300.0, 303.0, 297.0, 301.0, 299.0], &[420.0, 300.0], false, Verdict::Pass),
        // A close call, and a noisy machine, do not.
        (&[300.0, 303.0, 297.0, 301.0, 299.0], &[358.0], false, Verdict::Pass),
        (&[300.0, 320.0, 285.0, 310.0, 290.0], &[310.0], false, Verdict::Pass),
        (&[300.0, 320.0, 285.0, 310.0, 290.0], &[310.0, 300.0, 305.0, 290.0, 300.0], true, Verdict::Pass),
    ] {
        let reference = Baseline::new(&runs_of(baseline_ms), provenance(), None, None).unwrap();
        let runs = runs_of(candidate_ms);
        let comparison = compare(&reference, &runs, rules(false)).unwrap();
        let unsettled: Vec<Metric> = comparison.unsettled().map(|row| row.metric).collect();
        let expected = if settled { vec![] } else { vec![Metric::P95] };
        assert_eq!((unsettled, comparison.verdict), (expected, verdict), "{baseline_ms:?} {candidate_ms:?}");
    }
}

#[test]
fn what_the_runs_rest_on_is_said() {
    let said = |baseline_ms: &[f64], candidate_ms: &[f64]| {
        let reference = Baseline::new(&runs_of(baseline_ms), provenance(), None, None).unwrap();
        let runs = runs_of(candidate_ms);
        let comparison = compare(&reference, &runs, rules(false)).unwrap();
        xtask::report::evidence(&comparison)
    };
    expect![
        "1 baseline run, 1 candidate run: noise unknown, the estimate decides; --update-baseline keeps several runs"
    ]
    .assert_eq(&said(&[300.0], &[310.0]));
    expect!["5 baseline runs, 1 candidate run: settled; p95 changes under 4.6 % could be noise"]
        .assert_eq(&said(&[300.0, 303.0, 297.0, 301.0, 299.0], &[310.0]));
    expect!["5 baseline runs, 1 candidate run: not settled: p95 +34.8..+45.4 % is over the limit by one run alone; p95 changes under 4.6 % could be noise"].assert_eq(&said(&[300.0, 303.0, 297.0, 301.0, 299.0], &[420.0]));
    expect!["5 baseline runs, 1 candidate run: not settled: p95 -49.3..+113.9 % reaches to both sides of the limit; p95 changes under 137.9 % could be noise"].assert_eq(&said(&[300.0, 360.0, 250.0, 320.0, 270.0], &[310.0]));
}

/// One endpoint in runs of these p95 and so many requests each, and failures.
fn runs_with(endpoint: &str, p95_ms: &[f64], requests: u64, failures: u64) -> Vec<Run> {
    let one = |p95_ms: &f64| {
        let mut run = run(&[(endpoint, *p95_ms)]);
        let stats = &mut run.endpoints[0].1;
        (stats.requests, stats.failures, stats.p99_ms) = (requests, failures, p95_ms.max(400.0));
        run
    };
    p95_ms.iter().map(one).collect()
}

/// The findings on endpoints, and why they are no more than that.
#[track_caller]
fn check_endpoints(baseline: &[Run], candidate: &[Run], rules: &Rules, expected: &Expect) {
    let reference = Baseline::new(baseline, provenance(), None, None).unwrap();
    let comparison = compare(&reference, candidate, rules).unwrap();
    let findings = comparison.findings();
    let lines: Vec<String> = findings
        .iter()
        .filter_map(|row| Some(format!("{:?} {} {} {:?}", row.status, row.endpoint?, row.metric, row.doubt)))
        .collect();
    expected.assert_eq(&lines.join("\n"));
    let failed = findings.iter().any(|row| row.status == Status::Fail);
    assert_eq!(comparison.verdict, if failed { Verdict::Fail } else { Verdict::Pass });
}

#[test]
fn an_endpoint_fails_on_evidence_and_warns_without() {
    let steady = [300.0, 303.0, 297.0, 301.0, 299.0];
    let noisy = [300.0, 400.0, 250.0, 330.0, 280.0];
    let baseline = runs_with("GET /a", &steady, 450, 0);
    let cases = [
        (
            &baseline,
            runs_with("GET /a", &[900.0], 450, 0),
            expect![[r#"
            Fail GET /a p95 None
            Warn GET /a p99 Some(FewSamples { requests: 450, samples: 4 })"#]],
        ),
        // Three times as slow, but the baseline varies too.
        (
            &runs_with("GET /a", &noisy, 450, 0),
            runs_with("GET /a", &[500.0], 450, 0),
            expect!["Warn GET /a p95 Some(NotSignificant)"],
        ),
        // A p95 of 99 requests rests on four.
        (
            &runs_with("GET /a", &steady, 99, 0),
            runs_with("GET /a", &[390.0], 450, 0),
            expect!["Warn GET /a p95 Some(FewSamples { requests: 99, samples: 4 })"],
        ),
        (&runs_with("GET /a", &steady, 100, 0), runs_with("GET /a", &[390.0], 100, 0), expect!["Fail GET /a p95 None"]),
        // Over no limit: however significant, it is irrelevant.
        (&baseline, runs_with("GET /a", &[350.0], 450, 0), expect![""]),
        // 5 % of 450 requests failed, and 5 % of 60.
        (&baseline, runs_with("GET /a", &[300.0], 450, 23), expect!["Fail GET /a error_rate None"]),
        (
            &baseline,
            runs_with("GET /a", &[300.0], 60, 3),
            expect!["Warn GET /a error_rate Some(FewSamples { requests: 60, samples: 3 })"],
        ),
        // 6 of 150 against 2 of 150 in each run before: so many more come by chance.
        (
            &runs_with("GET /a", &steady, 150, 2),
            runs_with("GET /a", &[300.0], 150, 6),
            expect!["Warn GET /a error_rate Some(NotSignificant)"],
        ),
    ];
    for (baseline, candidate, expected) in cases {
        check_endpoints(baseline, &candidate, rules(false), &expected);
    }
    check_endpoints(
        &runs_with("GET /a", &noisy, 450, 0),
        &runs_with("GET /a", &[500.0], 450, 0),
        rules(true),
        &expect!["Fail GET /a p95 Some(NotSignificant)"],
    );
}

#[test]
fn significance_is_shared_out_over_the_endpoints() {
    let names: Vec<String> = (0..200).map(|number| format!("GET /{number}")).collect();
    let all = |p95_ms: f64, first_ms: f64| {
        let mut endpoints: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), p95_ms)).collect();
        endpoints[0].1 = first_ms;
        run(&endpoints)
    };
    let baseline: Vec<Run> = [300.0, 315.0, 288.0, 305.0, 294.0].map(|p95_ms| all(p95_ms, p95_ms)).into();
    let slow = [all(300.0, 400.0)];
    check_endpoints(&baseline, &slow, rules(false), &expect!["Warn GET /0 p95 Some(NotSignificant)"]);
    let alone = |run: &Run| Run { endpoints: run.endpoints[..1].to_vec(), ..run.clone() };
    let baseline: Vec<Run> = baseline.iter().map(alone).collect();
    check_endpoints(&baseline, &[alone(&slow[0])], rules(false), &expect!["Fail GET /0 p95 None"]);
}

#[test]
fn an_endpoint_on_one_side_only_is_new_or_missing() {
    let gone = |requests: u64| {
        let mut runs = runs_with("GET /gone", &[300.0], requests, 0);
        runs[0].endpoints.push(("GET /a".into(), stats(300.0)));
        runs
    };
    let now = [run(&[("GET /a", 300.0), ("GET /new", 9000.0)])];
    check_endpoints(&gone(10), &now, rules(false), &expect!["Fail GET /gone p95 None"]);
    check_endpoints(&gone(9), &now, rules(false), &expect!["Warn GET /gone p95 None"]);
    let reference = Baseline::new(&gone(10), provenance(), None, None).unwrap();
    let comparison = compare(&reference, &now, rules(false)).unwrap();
    let new: Vec<_> = comparison.endpoints.iter().filter(|row| row.endpoint == Some("GET /new")).collect();
    assert_eq!((new.len(), new[0].status), (1, Status::New));
}

/// A run whose p95 of `GET /a` its requests leave between these ends.
fn single(p95_ms: f64, p95_interval_ms: Option<[f64; 2]>) -> Vec<Run> {
    let mut runs = runs_with("GET /a", &[p95_ms], 450, 0);
    runs[0].endpoints[0].1.p95_interval_ms = p95_interval_ms;
    runs
}

#[test]
fn single_runs_are_told_apart_by_their_requests() {
    let baseline = single(300.0, Some([280.0, 330.0]));
    let check = |candidate: Vec<Run>, expected: &Expect| check_endpoints(&baseline, &candidate, rules(false), expected);
    // 330 and a fifth is 396.
    check(single(420.0, Some([397.0, 480.0])), &expect!["Fail GET /a p95 None"]);
    check(single(420.0, Some([396.0, 480.0])), &expect!["Warn GET /a p95 Some(ReachesBelowLimit)"]);
    check(single(420.0, None), &expect!["Warn GET /a p95 Some(NoiseUnknown)"]);
    check(single(350.0, Some([397.0, 480.0])), &expect![""]);
    check(runs_with("GET /a", &[300.0], 450, 45), &expect!["Fail GET /a error_rate None"]);
    check(runs_with("GET /a", &[300.0], 450, 12), &expect!["Warn GET /a error_rate Some(ReachesBelowLimit)"]);
    // The baseline file holds the ends, of a single run only.
    let text = |runs: &[Run]| Baseline::new(runs, provenance(), None, None).unwrap().to_text();
    assert!(text(&baseline).contains("\"p95_high\": [330.0]"));
    assert!(!text(&[&baseline[..], &baseline[..]].concat()).contains("p95_high"));
    let reference = Baseline::parse(&text(&baseline)).unwrap();
    let candidate = single(420.0, Some([397.0, 480.0]));
    let comparison = compare(&reference, &candidate, rules(false)).unwrap();
    assert_eq!(comparison.verdict, Verdict::Fail);
    assert!(xtask::report::evidence(&comparison).contains("order statistics"));
}

/// A hundred response times of 1, 2 .. 1000 ms; the ranks are those of the binomial test.
#[test]
fn a_histogram_and_a_csv_give_the_interval_of_the_p95() {
    let times: Vec<String> = (1..=1000).map(|time| format!("\"{time}\": 1")).collect();
    let total = locust_json::parse(&json_of(&times.join(","))).unwrap().total;
    assert_eq!(total.p95_interval_ms, Some([926.0, 972.0]));
    assert_eq!(locust_json::parse(&json_of(r#""5": 100"#)).unwrap().total.p95_interval_ms, None);
    // A CSV has the 90 % and the 98 %, and no rank between.
    let text = row("None,Aggregated,1000,0,500,500,1,1000,1024,15.0,0,501,661,751,801,901,951,981,991,1000,1000,1000");
    let total = locust_csv::parse(text.as_bytes()).unwrap().total;
    assert_eq!(total.p95_interval_ms, Some([901.0, 981.0]));
}

/// The rules of a `perf.toml`.
fn rules_of(toml: &str) -> Rules {
    let Config { limits, endpoint_limits, .. } = Config::parse(toml).unwrap();
    Rules { limits, endpoint_limits, ..Rules::default() }
}

#[test]
fn an_endpoint_may_have_limits_of_its_own() {
    let limits = "[limits]\np95 = \"15%\"\n\
        [limits.\"GET /*\"]\np95 = \"50%\"\n\
        [limits.\"GET /claims*\"]\np95 = \"max 310ms\"\nerror_rate = \"10pp\"\n\
        [limits.\"GET /claims/[id]\"]\np95 = \"200%\"\n";
    let rules = rules_of(limits);
    let steady = [300.0, 303.0, 297.0, 301.0, 299.0];
    for (name, p95_ms, failures, expected) in [
        ("POST /a", 350.0, 0, expect!["Fail POST /a p95 None"]),
        ("GET /a", 440.0, 0, expect![""]),
        ("GET /a", 460.0, 0, expect!["Fail GET /a p95 None"]),
        // A bound is judged on the estimate; what a longer pattern leaves open is the shorter one's.
        ("GET /claims", 311.0, 0, expect!["Fail GET /claims p95 None"]),
        (
            "GET /claims/[id]",
            890.0,
            40,
            expect!["Warn GET /claims/[id] p99 Some(FewSamples { requests: 450, samples: 4 })"],
        ),
        ("GET /claims/[id]", 310.0, 50, expect!["Fail GET /claims/[id] error_rate None"]),
    ] {
        check_endpoints(
            &runs_with(name, &steady, 450, 0),
            &runs_with(name, &[p95_ms], 450, failures),
            &rules,
            &expected,
        );
    }
    // A bound needs no baseline.
    let new = [run(&[("POST /a", 300.0), ("GET /claims/new", 320.0)])];
    let old = runs_with("POST /a", &steady, 450, 0);
    check_endpoints(&old, &new, &rules, &expect!["Fail GET /claims/new p95 None"]);
}

#[test]
fn a_limit_that_meets_no_endpoint_is_an_error() {
    let runs = [run(&[("GET /a", 300.0), ("GET /claims", 300.0)])];
    let reference = Baseline::new(&[run(&[("GET /gone", 300.0)])], provenance(), None, None).unwrap();
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
        let result = rules_of(&format!("[limits.{name:?}]\np95 = \"10%\"\n")).check_all_met(Some(&reference), &runs);
        assert_eq!(result.is_ok(), is_met, "{name}: {result:?}");
    }
    expect![[r#"[limits."GET /clams"] meets no endpoint, the nearest is "GET /claims", so it checks nothing: mend the name; `cargo xtask perf target/perf/latest` judges the same results again"#]].assert_eq(&error(rules_of("[limits.\"GET /clams\"]\n").check_all_met(None, &runs)));
}

#[test]
fn every_judged_metric_has_a_default_limit() {
    assert!(JUDGED.iter().all(|metric| default_limits().contains_key(metric)));
}

// Report

fn text_of(comparison: &Comparison, verbosity: Verbosity) -> String {
    let provenance: &'static Provenance = Box::leak(Box::new(provenance()));
    let report = Report {
        comparison,
        distribution: &[],
        runs: &[],
        histories: &[],
        provenance: [provenance; 2],
        baseline: "baseline: commit abc123, 2026-01-27, 3 commits ago (perf_baseline.json)".to_owned(),
        warnings: vec!["the load generator was saturated".to_owned()],
        details: vec!["load: 10 users".to_owned()],
    };
    anstream::adapter::strip_str(&render(&report, verbosity, None)).to_string()
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
                                  baseline  candidate   change  limit  status
            p50 ms                     100        100    +0.0%   +20%  ok
            p95 ms                     300        400   +33.3%   +20%  FAIL
            p99 ms                     400        400    +0.0%   +25%  ok, few requests
            avg_response_time ms     100.0      100.0    +0.0%
            requests_per_sec 1/s      15.0       15.0    +0.0%   -30%  ok
            error_rate %              0.00       2.00  +2.00pp   +2pp  ok
            total_requests             450        450    +0.0%

            FAIL p95: 300 -> 400 ms (+33.3%, limit +20%)
            WARN GET /a p95: 300 -> 450 ms (+50.0%, limit +20%); noise unknown by one run of few requests on each side
            note: p99 of 450 requests rests on 4
            note: the load generator was saturated
            evidence: 1 baseline run, 1 candidate run: noise unknown, the estimate decides; endpoints by the order statistics of their own requests; --update-baseline keeps several runs
            baseline: commit abc123, 2026-01-27, 3 commits ago (perf_baseline.json)
            FAIL: p95 is over its limit
        "#]],
    );
    check_report(
        &[("GET /a", 450.0)],
        Verbosity::Quiet,
        &expect![[r#"
            FAIL p95: 300 -> 400 ms (+33.3%, limit +20%)
            WARN GET /a p95: 300 -> 450 ms (+50.0%, limit +20%); noise unknown by one run of few requests on each side
            note: p99 of 450 requests rests on 4
            note: the load generator was saturated
            FAIL: p95 is over its limit
        "#]],
    );
    check_report(
        &[("GET /a", 450.0), ("GET /n\new\u{202e}\u{1b}[31m", 10.0)],
        Verbosity::Verbose,
        &expect![[r#"
                                  baseline  candidate   change  limit  status
            p50 ms                     100        100    +0.0%   +20%  ok
            p95 ms                     300        400   +33.3%   +20%  FAIL
            p99 ms                     400        400    +0.0%   +25%  ok, few requests
            avg_response_time ms     100.0      100.0    +0.0%
            requests_per_sec 1/s      15.0       15.0    +0.0%   -30%  ok
            error_rate %              0.00       2.00  +2.00pp   +2pp  ok
            total_requests             450        450    +0.0%

                                                 baseline  candidate   change    interval  limit  status
            GET /a error_rate %                      0.00       0.00  +0.00pp  -2.3..+2.3   +2pp  ok
            GET /a p95 ms                             300        450   +50.0%               +20%  WARN, noise unknown
            GET /a p99 ms                             400        400    +0.0%               +25%  ok
            GET /a p50 ms                             100        100    +0.0%               +20%  ok
            GET /a requests_per_sec 1/s              15.0       15.0    +0.0%               -30%  ok
            GET /n\new\u{202e}\u{1b}[31m p95 ms         -         10        -               +20%  NEW

            FAIL p95: 300 -> 400 ms (+33.3%, limit +20%)
            WARN GET /a p95: 300 -> 450 ms (+50.0%, limit +20%); noise unknown by one run of few requests on each side
            note: p99 of 450 requests rests on 4
            note: the load generator was saturated
            evidence: 1 baseline run, 1 candidate run: noise unknown, the estimate decides; endpoints by the order statistics of their own requests; --update-baseline keeps several runs
            baseline: commit abc123, 2026-01-27, 3 commits ago (perf_baseline.json)
            load: 10 users
            FAIL: p95 is over its limit
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
        FAIL p95: 10000 -> 12000 ms (+20.001%, limit +20%)
        note: the baseline lacks p99, p50, requests_per_sec, so there is no comparison of it: measure anew with --update-baseline
        note: the load generator was saturated
        FAIL: p95 is over its limit
    "#]].assert_eq(&text);
}

// Configuration and flags

#[test]
fn a_configuration_error_points_at_its_line() {
    for (text, expected) in [
        (
            "[load]\nusers = 3\nuser = 4\n",
            expect![
                ":3: `user = 4`: unknown field `user`, expected one of `users`, `spawn_rate`, `run_time`, `host`, `locustfile`, `processes`, `expect_workers`, `workers_timeout`, `warmup`, `stop_timeout`, `deadline_margin`"
            ],
        ),
        ("[service]\ncommand = \"x\"\n", expect![":1: `[service]`: missing field `ready_url`"]),
        (
            "[load]\nusers = \"three\"\n",
            expect![[r#":2: `users = "three"`: invalid type: string "three", expected u32"#]],
        ),
        (
            "[load]\nstop_timeout = \"soon\"\n",
            expect![[r#":2: `stop_timeout = "soon"`: `soon` is no length of time like "500ms", "30s" or "2m""#]],
        ),
        (
            "\n[limits]\np95 = \"20\"\n",
            expect![[
                r#":3: [limits] `p95`: `20` does not end in `%`: write for example "20%", "20% and 5ms" or "max 500ms""#
            ]],
        ),
        (
            "[limits]\np94 = \"20%\"\n",
            expect![[
                r#":2: [limits] `p94` is no metric: use p50, p95, p99, requests_per_sec or error_rate, or a table [limits."GET /path"]"#
            ]],
        ),
        (
            "[locust]\nversion = \"2.40.0\"\ncommand = \"locust\"\n",
            expect![
                ":1: [locust] `command` names a Locust of your own, `version` and `requirements` the managed one: give either"
            ],
        ),
        (
            "[limits.\"GET /a\"]\np95 = \"20\"\n",
            expect![[
                r#":2: [limits."GET /a"] `p95`: `20` does not end in `%`: write for example "20%", "20% and 5ms" or "max 500ms""#
            ]],
        ),
        (
            "[limits.\"GET /a\"]\np95 = 20\n",
            expect![[r#":2: `p95 = 20`: invalid type: integer `20`, expected a string: write it as "30s" or "20%""#]],
        ),
        (
            "[limits]\np95 = 20\n",
            expect![[
                r#":2: `p95 = 20`: invalid type: integer `20`, expected a limit such as "20%", or the table of an endpoint's limits"#
            ]],
        ),
        (
            "[limits.\"GET /a\"]\navg_response_time = \"20%\"\n",
            expect![[
                r#":2: [limits."GET /a"] `avg_response_time`: `avg_response_time` is shown, not judged: it takes no limit"#
            ]],
        ),
        ("[load\n", expect![":1: `[load`: unclosed table, expected `]`"]),
    ] {
        expected.assert_eq(&error(Config::parse(text)));
    }
}

#[test]
fn a_command_line_error_names_the_flag() {
    for (line, expected) in [
        ("", expect!["no command is given: try `cargo xtask perf` or `cargo xtask --help`"]),
        ("prf", expect!["there is no command `prf`: try `cargo xtask perf` or `cargo xtask --help`"]),
        (
            "perf --strikt",
            expect![
                "there is no flag `--strikt`: the nearest is `--strict`; what is meant for Locust goes behind `--`"
            ],
        ),
        ("perf --users", expect!["`--users` needs a value: `--users N`"]),
        ("perf --users --strict", expect!["`--users` needs a value: `--users N`"]),
        ("perf --users 0", expect!["`--users 0`: this is no whole number from 1 up; write `--users N`"]),
        ("perf --users 1 --users 2", expect!["`--users` is given twice"]),
        ("perf --strict --strict", expect!["`--strict` is given twice"]),
        ("perf --strict=yes", expect!["`--strict` takes no value"]),
        (
            "perf --run-time 0",
            expect!["`--run-time 0`: Locust runs for whole seconds, at least one; write `--run-time T`"],
        ),
        (
            "perf --run-time soon",
            expect!["`--run-time soon`: this is no length of time like 45s, 2m or 1h30m; write `--run-time T`"],
        ),
        (
            "perf --run-time 1500ms",
            expect!["`--run-time 1500ms`: Locust runs for whole seconds, at least one; write `--run-time T`"],
        ),
        ("perf --spawn-rate -1", expect!["`--spawn-rate -1`: this is no number above 0; write `--spawn-rate R`"]),
        ("perf --quiet --verbose", expect!["--quiet and --verbose contradict each other: give one"]),
        ("perf --note hello", expect!["--note is kept in the baseline: give it with --update-baseline"]),
        (
            "perf results.csv --users 3",
            expect!["RESULTS are judged as they are, so flags of a measurement have no effect: give either"],
        ),
        (
            "perf --quick",
            expect!["there is no flag `--quick`: the nearest is `--quiet`; what is meant for Locust goes behind `--`"],
        ),
        ("selftest --quik", expect!["there is no flag `--quik`: the nearest is `--quick`"]),
        ("selftest --strict", expect!["there is no flag `--strict`: see --help"]),
        ("selftest --hlep", expect!["there is no flag `--hlep`: the nearest is `--help`"]),
        ("selftest --quick --quick", expect!["`--quick` is given twice"]),
        ("selftest --quick=yes", expect!["`--quick` takes no value"]),
        ("selftest results.csv", expect!["`results.csv`: selftest takes nothing but its flags; leave it out"]),
        ("selftest -- --tags read", expect!["`--tags`: selftest takes nothing but its flags; leave it out"]),
        ("perf --against", expect!["`--against` needs a value: `--against REV`"]),
        (
            "perf --against HEAD results.csv",
            expect!["--against measures both sides and knows no baseline file: leave out RESULTS"],
        ),
        (
            "perf --against HEAD --update-baseline",
            expect!["--against measures both sides and knows no baseline file: leave out --update-baseline"],
        ),
        (
            "perf --against HEAD --baseline b.json",
            expect!["--against measures both sides and knows no baseline file: leave out --baseline"],
        ),
        (
            "perf --against HEAD --max-runs 1",
            expect!["--against takes at least 2 rounds: one tells nothing of the noise"],
        ),
        (
            "perf --against HEAD --min-runs 1",
            expect!["--against takes at least 2 rounds: one tells nothing of the noise"],
        ),
        ("perf -- -u50", expect!["`-u50` behind `--`: the gate sets Locust's `-u` itself; use --users"]),
        (
            "perf -- --csv=x",
            expect!["`--csv=x` behind `--`: the gate decides on Locust's `--csv` itself; leave it out"],
        ),
        (
            "perf -- --head",
            expect!["`--head` behind `--`: the gate decides on Locust's `--headless` itself; leave it out"],
        ),
    ] {
        let args = line.split_whitespace().map(Into::into).collect();
        expected.assert_eq(&error(flags::parse(args)));
    }
}

#[test]
fn lengths_of_time_are_read_as_locust_reads_them() {
    for (text, seconds) in [("20", 20), ("20s", 20), ("3m", 180), ("2h", 7200), ("1h20m", 4800), ("3h30m10s", 12_610)] {
        assert_eq!(flags::parse_run_time_s(text).unwrap(), seconds, "{text}");
    }
}

#[test]
fn a_setting_comes_from_flag_then_perf_toml_then_locust_then_default() {
    let load = |flags: &str, toml: &str, env: &[(&str, &str)], conf: &str| {
        let flags::Command::Perf(perf) = flags::parse(flags.split_whitespace().map(Into::into).collect()).unwrap()
        else {
            panic!("{flags} is the perf command")
        };
        let config = Config::parse(toml).unwrap();
        let mut locust = LocustSettings::default();
        locust.add_env(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        locust.add_pyproject("pyproject.toml", "[tool.locust]\nspawn-rate = 4\n").unwrap();
        locust.add_conf("locust.conf", conf);
        settle(&perf.load, &[], &config, &locust).map(|settings| settings.load.to_string())
    };
    let all = "host = http://127.0.0.1:1\nusers = 5\nrun-time: 2m\n";
    for (flags, toml, env, expected) in [
        ("perf --users 1", "[load]\nusers = 2", vec![("LOCUST_USERS", "3")], "1 users, 4 started per second, 120 s"),
        ("perf", "[load]\nusers = 2", vec![("LOCUST_USERS", "3")], "2 users, 4 started per second, 120 s"),
        ("perf", "", vec![("LOCUST_USERS", "3")], "3 users, 4 started per second, 120 s"),
        ("perf", "", vec![], "5 users, 4 started per second, 120 s"),
        ("perf --run-time 9", "", vec![("LOCUST_SPAWN_RATE", "6")], "5 users, 6 started per second, 9 s"),
    ] {
        assert_eq!(load(flags, toml, &env, all).unwrap(), expected, "{flags} {toml} {env:?}");
    }
    let commented =
        "host = http://127.0.0.1:1#top ; ours\nusers = 6\nusers = 7 # seven\n; users = 8\nrun-time '2m'\t; two\n";
    assert_eq!(load("perf", "", &[], commented).unwrap(), "7 users, 4 started per second, 120 s");
    assert_eq!(load("perf --host http://127.0.0.1:1", "", &[], "").unwrap(), "10 users, 4 started per second, 30 s");
    expect!["LOCUST_USERS sets Locust's `users` to `many`: invalid digit found in string"].assert_eq(&error(load(
        "perf",
        "",
        &[("LOCUST_USERS", "many")],
        all,
    )));
    expect![
        "there is no service to load: describe it in [service] of perf.toml, or name a running one with --host URL"
    ]
    .assert_eq(&error(load("perf", "", &[], "")));
}

#[test]
fn the_time_to_stop_is_read_where_locust_reads_it() {
    for (toml, conf, expected) in [
        ("", "", Ok(10.0)),
        ("", "stop-timeout = 45\n", Ok(45.0)),
        ("", "stop-timeout = 1m30s\n", Ok(90.0)),
        ("[load]\nstop_timeout = \"500ms\"", "stop-timeout = 45\n", Ok(0.5)),
        (
            "",
            "stop-timeout = soon\n",
            Err("locust.conf sets Locust's `stop-timeout` to `soon`: this is no length of time like 10 or 45s"),
        ),
    ] {
        let mut locust = LocustSettings::default();
        locust.add_conf("locust.conf", conf);
        let host = flags::LoadFlags { host: Some("http://127.0.0.1:1".to_owned()), ..Default::default() };
        let result = settle(&host, &[], &Config::parse(toml).unwrap(), &locust);
        let seconds = result.map(|settings| settings.stop_timeout.as_secs_f64()).map_err(|error| error.to_string());
        assert_eq!(seconds.as_ref().map_err(String::as_str), expected.as_ref().map_err(|error| *error), "{toml}{conf}");
    }
}

#[test]
fn a_locust_configuration_that_would_make_another_run_is_refused() {
    for (conf, expected) in [
        (
            "headful = true\n",
            Some(
                "locust.conf sets Locust's `headful`, which would make another run than the gate's, or none that ends: remove it there",
            ),
        ),
        (
            "processes = 4\n",
            Some(
                "locust.conf sets Locust's `processes`, which would make another run than the gate's, or none that ends: remove it there",
            ),
        ),
        (
            "# headful = true\nheadful = false\nlogfile = \n",
            Some(
                "locust.conf sets Locust's `logfile`, which would make another run than the gate's, or none that ends: remove it there",
            ),
        ),
        (
            // It clears the statistics before they are written to a file.
            "json = true\n",
            Some(
                "locust.conf sets Locust's `json`, which would make another run than the gate's, or none that ends: remove it there",
            ),
        ),
        ("tags = read\nheadful = false\n", None),
    ] {
        let mut locust = LocustSettings::default();
        locust.add_conf("locust.conf", conf);
        // The variables are taken out of Locust's environment instead.
        locust.add_env([("LOCUST_HEADFUL".to_owned(), "true".to_owned())].into_iter());
        let host = flags::LoadFlags { host: Some("http://127.0.0.1:1".to_owned()), ..Default::default() };
        let result = settle(&host, &[], &Config::default(), &locust);
        assert_eq!(result.err().map(|error| error.to_string()).as_deref(), expected, "{conf}");
    }
}

// Secrets

#[test]
fn a_url_is_told_without_its_user_and_password() {
    for (url, expected) in [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://me:word@127.0.0.1:8080/a", "http://***@127.0.0.1:8080/a"),
        ("http://me@host", "http://***@host"),
        ("http://me:p@ss@host", "http://***@host"),
        ("http://me:p/ss@host", "http://***@host"),
        ("http://me:p%40ss@host", "http://***@host"),
        ("me:word@host:80", "***@host:80"),
        ("://@", "://***@"),
        ("@", "***@"),
        ("", ""),
    ] {
        assert_eq!(mask::url(url), expected);
        assert_eq!(mask::url(expected), expected, "twice is once");
    }
}

#[test]
fn a_text_is_told_without_the_users_and_passwords_of_its_urls() {
    for (text, expected) in [
        ("no URL, me@example.org: here", "no URL, me@example.org: here"),
        ("`http://me:p,w@a/b`: refused; http://c/d", "`http://***@a/b`: refused; http://c/d"),
        ("http://a,http://me:word@b x@y", "http://a,http://***@b x@y"),
        ("http://me:p@ss@a http://you@b", "http://***@a http://***@b"),
        ("http:// me:word@a", "http:// me:word@a"),
        ("http://ü:ß@a ://", "http://***@a ://"),
    ] {
        assert_eq!(mask::text(text), expected);
        assert_eq!(mask::text(expected), expected, "twice is once");
    }
}

#[test]
fn what_is_handed_to_locust_is_kept_without_its_secrets() {
    for (args, expected) in [
        ("--tags read --class-picker", "--tags read --class-picker"),
        ("--auth-token abc --tags read", "--auth-token *** --tags read"),
        ("--API_KEY=a=b -H", "--API_KEY=*** -H"),
        ("--password --tags read", "--password --tags read"),
        ("--my-proxy http://me:word@a:1 TokenUser", "--my-proxy http://***@a:1 TokenUser"),
    ] {
        let args: Vec<String> = args.split(' ').map(str::to_owned).collect();
        let masked = mask::args(&args);
        assert_eq!(masked.join(" "), expected);
        assert_eq!(mask::args(&masked), masked, "twice is once");
    }
}
