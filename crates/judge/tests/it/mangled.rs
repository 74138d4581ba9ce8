//! Whatever bytes a parser meets, it gives an answer or one line that says what is wrong: never a panic, never a hang.

use std::fs;

use judge::baseline::file::Baseline;
use judge::parse::{locust_csv, locust_history, locust_json};

use crate::mangle::check_refuses;
use crate::samples::VERSION_1_0;

fn fixtures(name: &str) -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let mut found = Vec::new();
    for version in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        for run in fs::read_dir(version).unwrap().map(|entry| entry.unwrap().path()) {
            found.extend(fs::read(run.join(name)).ok());
        }
    }
    assert!(!found.is_empty(), "no fixture {name}");
    found.sort();
    found
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

// What the fuzz targets found (CONTRIBUTING.md), each kept as it was mended.

#[test]
fn value_above_2_to_the_53_is_refused() {
    // Of such values means are infinite, which a baseline cannot hold.
    let csv = "Type,Name,Request Count,Failure Count,Average Response Time,Requests/s,50%,95%,99%\n,Aggregated,9,0,1e308,1,1,1,1\n";
    let json = |times: &str| {
        format!(
            r#"[{{"name":"/","method":"GET","num_requests":1,"num_failures":0,"total_response_time":5.0,"start_time":0.0,{times}}}]"#
        )
    };
    let json = |times: &str| locust_json::parse(&json(times)).unwrap_err();
    let baseline = VERSION_1_0.replace("480.0", "1e306");
    for (error, expected) in [
        (
            locust_csv::parse(csv.as_bytes()).unwrap_err(),
            "line 2: Average Response Time is `1e308`, more than can be measured",
        ),
        (
            json(r#""last_request_timestamp":1.0,"response_times":{"1e300":1}"#),
            "`GET /`: response time `1e300` is more than can be measured",
        ),
        (
            json(r#""last_request_timestamp":5e-324,"response_times":{"5":1}"#),
            "1 requests in 0.000…005 s are more than can be measured",
        ),
        (Baseline::parse(&baseline).unwrap_err(), "`p99` is 1e306, more than can be measured"),
    ] {
        // A float is told with all its zeros.
        let line = format!("{error:#}");
        let (start, end) = expected.split_once('…').unwrap_or((expected, ""));
        assert!(line.starts_with(start) && line.ends_with(end), "{line}");
    }
}

#[test]
fn number_of_a_baseline_is_written_as_it_was_read() {
    let text = VERSION_1_0.replace("120.0", "120.08888888888889");
    let baseline = Baseline::parse(&text).unwrap();
    assert_eq!(baseline.metrics["p50"].to_string(), "120.08888888888889");
    assert_eq!(Baseline::parse(&baseline.to_text()).unwrap(), baseline);
}

#[test]
fn a_mangled_csv_is_read_or_refused() {
    check_refuses("CSV", &fixtures("perf_results_stats.csv"), |bytes| locust_csv::parse(bytes).map(drop));
}

#[test]
fn a_mangled_history_is_read_or_refused() {
    check_refuses("history", &fixtures("perf_results_stats_history.csv"), |bytes| {
        locust_history::parse(bytes).map(drop)
    });
}

#[test]
fn a_mangled_json_is_read_or_refused() {
    check_refuses("JSON", &fixtures("report.json"), |bytes| locust_json::parse(&text(bytes)).map(drop));
}

#[test]
fn a_mangled_baseline_is_read_or_refused() {
    let kept = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../perf_baseline.json")).unwrap();
    let old = VERSION_1_0.as_bytes().to_vec();
    check_refuses("baseline", &[kept, old], |bytes| {
        // What is read can be written, and read again.
        let written = Baseline::parse(&text(bytes))?.to_text();
        Baseline::parse(&written).map(drop)
    });
}
