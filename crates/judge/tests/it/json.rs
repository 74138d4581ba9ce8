//! Locust's statistics as JSON.

use expect_test::expect;
use judge::model::run::{PERCENTILES, Precision};
use judge::parse::{locust_csv, locust_json};
use judge::stats::estimate::Interval;

use crate::csv::csv_error;
use crate::samples::{error, fixture, json_of, row};

#[test]
fn json_gives_the_values_of_locust() {
    // The CSV of the fixture lacks the last second, so the JSON is not compared with it.
    let text = String::from_utf8(fixture("locust-2.47.0/ok/report.json")).unwrap();
    let run = locust_json::parse(&text).unwrap();
    assert_eq!(run.total.requests, 397);
    assert_eq!(run.endpoints.iter().map(|(_, stats)| stats.requests).sum::<u64>(), 397);
    assert_eq!([run.total.p50_ms, run.total.p95_ms, run.total.p99_ms], [7.0, 170.0, 170.0]);
}

#[test]
fn endpoint_without_response_times_has_zeros() {
    let untimed = json_of(r#""5": 0"#).replace(r#""5": 0"#, "").replace(r#""num_requests":0"#, r#""num_requests":9"#);
    let untimed = untimed.replace(r#""num_none_requests":0"#, r#""num_none_requests":9"#);
    expect!["no request has a response time"].assert_eq(&error(locust_json::parse(&untimed)));
    let untimed = untimed.replace(r#""name":"/""#, r#""name":"sent""#);
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
fn enormous_counts_are_refused_without_panic() {
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
    let endless = json_of(r#""5": 1"#).replace("\"total_response_time\":5.0", "\"total_response_time\":1e308");
    assert!(error(locust_json::parse(&endless)).contains("the file is damaged"));
}

#[test]
fn malformed_json_is_refused() {
    let failing = json_of(r#""5": 30"#).replace("\"num_failures\":0", "\"num_failures\":31");
    expect!["`GET /`: 31 failures of 30 requests: the file is damaged"].assert_eq(&error(locust_json::parse(&failing)));
    expect!["Locust made no requests: there is nothing to judge"].assert_eq(&error(locust_json::parse("[]")));
    expect!["this is not a JSON result of Locust's --json-file: EOF while parsing a value at line 1 column 0"]
        .assert_eq(&error(locust_json::parse("")));
    let text = String::from_utf8(fixture("locust-2.47.0/ok/report.json")).unwrap();
    let endless = text.replace("\"6\":", "\"NaN\":");
    assert_ne!(text, endless);
    expect!["`GET /fast`: response time `NaN` is not a number of 0 or more"]
        .assert_eq(&error(locust_json::parse(&endless)));
}

#[test]
fn errors_use_the_words_of_json_and_a_byte_order_mark_is_skipped() {
    for (text, expected) in [
        (
            "{}",
            expect![
                "this is not a JSON result of Locust's --json-file: invalid type: object, expected an array at line 1 column 0"
            ],
        ),
        (
            r#"{"version": "1.4", "metrics": {}}"#,
            expect!["it is a baseline, which is compared with: name it with --baseline, and pass results of Locust"],
        ),
        (
            r#"{"schema_version": "1.4", "headline": "PASS"}"#,
            expect!["it is a report of the gate: pass the results that it was made of"],
        ),
        ("Type,Name,Request Count\n", expect!["it is CSV: give it a name that ends in .csv"]),
        (
            r#"[{"name": "/", "num_requests": -1}]"#,
            expect![
                "this is not a JSON result of Locust's --json-file: invalid value: integer `-1`, expected a whole number of 0 or more at line 1 column 33"
            ],
        ),
        (
            "[3]",
            expect![
                "this is not a JSON result of Locust's --json-file: invalid type: integer `3`, expected an object at line 1 column 2"
            ],
        ),
        (
            r#"[{"name": "/"}]"#,
            expect![
                "this is not a JSON result of Locust's --json-file: missing key `num_requests` at line 1 column 14"
            ],
        ),
    ] {
        expected.assert_eq(&error(locust_json::parse(text)));
    }
    let text = json_of(r#""5": 30"#);
    assert_eq!(locust_json::parse(&format!("\u{feff}{text}")).unwrap(), locust_json::parse(&text).unwrap());
}

/// Beyond 10 s Locust rounds to whole seconds (`bucket_response_time` in `locust.stats`).
#[test]
fn times_over_ten_seconds_are_whole_seconds() {
    for (time_ms, resolution_ms) in
        [(99.0, 1.0), (100.0, 10.0), (9900.0, 100.0), (12_000.0, 1000.0), (123_000.0, 1000.0)]
    {
        assert_eq!(Precision::Coarse.resolution_ms(time_ms), resolution_ms, "{time_ms}");
    }
    let run = locust_json::parse(&json_of(r#""123000": 30"#)).unwrap();
    assert_eq!(run.precision, Precision::Coarse);
}

#[test]
fn distribution_follows_locusts_rank_rule() {
    let run = locust_json::parse(&json_of(r#""10": 500, "20": 449, "30": 50, "99": 1"#)).unwrap();
    let at = |percent: f64| run.distribution[PERCENTILES.iter().position(|at| *at == percent).unwrap()];
    assert_eq!([1.0, 40.0, 50.0, 90.0, 95.0, 99.9].map(at), [10.0, 10.0, 20.0, 20.0, 30.0, 99.0]);
    assert_eq!([at(50.0), at(95.0), at(99.0)], [run.total.p50_ms, run.total.p95_ms, run.total.p99_ms]);
}

#[test]
fn response_times_show_the_precision_of_a_json() {
    for (times, expected) in [
        (r#""5": 1, "99": 2, "170": 1, "1200": 1"#, Precision::Coarse),
        (r#""5": 1, "127.0": 1"#, Precision::Fine),
        (r#""43.7": 1"#, Precision::Fine),
        (r#""1230.0": 1"#, Precision::Fine),
    ] {
        assert_eq!(locust_json::parse(&json_of(times)).unwrap().precision, expected, "{times}");
    }
}

/// Response times of 1, 2 .. 1000 ms, and the ranks of the binomial test.
#[test]
fn histogram_and_csv_give_the_interval_of_the_p95() {
    let times: Vec<String> = (1..=1000).map(|time| format!("\"{time}\": 1")).collect();
    let total = locust_json::parse(&json_of(&times.join(","))).unwrap().total;
    assert_eq!(total.p95_interval_ms, Some(Interval { low: 926.0, high: 972.0 }));
    assert_eq!(locust_json::parse(&json_of(r#""5": 100"#)).unwrap().total.p95_interval_ms, None);
    // A CSV has the 90% and the 98%, and no rank between.
    let text = row("None,Aggregated,1000,0,500,500,1,1000,1024,15.0,0,501,661,751,801,901,951,981,991,1000,1000,1000");
    let total = locust_csv::parse(text.as_bytes()).unwrap().total;
    assert_eq!(total.p95_interval_ms, Some(Interval { low: 901.0, high: 981.0 }));
}

#[test]
fn histogram_that_contradicts_the_counts_is_refused() {
    let whole = json_of(r#""100": 1140, "300": 60"#);
    assert!(locust_json::parse(&whole).is_ok());
    for (from, to, expected) in [
        (r#""100": 1140, "300": 60"#, r#""100": 1"#, "counts 1200 requests, and has response times for 1:"),
        (r#""100": 1140, "300": 60"#, r#""100": 5000"#, "counts 1200 requests, and has response times for 5000:"),
        (r#""300": 60"#, r#""9000": 60"#, "add up to 636600 to 671400 ms, and total_response_time is 132000 ms"),
        (r#""100": 1140"#, r#""10": 1140"#, "add up to 27660 to 31140 ms, and total_response_time is 132000 ms"),
    ] {
        let found = error(locust_json::parse(&whole.replace(from, to)));
        assert!(found.starts_with("`GET /`: it") && found.contains(expected), "{to}: {found}");
    }
}
