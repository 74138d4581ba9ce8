//! Locust's statistics over time.

use expect_test::expect;
use judge::parse::locust_history::{self, Percentiles};

use crate::samples::{error, fixture};

#[test]
fn history_of_a_run_is_read() {
    let history = locust_history::parse(&fixture("locust-2.47.0/ok/perf_results_stats_history.csv")).unwrap();
    assert_eq!((history.is_windowed, history.points.len()), (false, 8));
    assert_eq!(history.points[0].percentiles, None);
    let point = &history.points[2];
    assert_eq!(
        (point.time_s, point.users, point.percentiles),
        (2.0, 5.0, Some(Percentiles { p50_ms: 10.0, p95_ms: 170.0, p99_ms: 170.0 }))
    );
    // With rows of endpoints, and an incomplete last line.
    let text = "Timestamp,User Count,Type,Name,Requests/s,Failures/s,50%,95%,99%\r\n\
        10,1,,Aggregated,0,0,N/A,N/A,N/A\r\n12,2,GET,\"a\r\nb\",3,0,1,2,3\r\n12,2,GET,Aggregated,3,0,1,2,3\r\n\
        12,2,,Aggregated,3,0.5,1,2,3\r\n13,2,,Aggr";
    let history = locust_history::parse(text.as_bytes()).unwrap();
    assert_eq!((history.is_windowed, history.points.len()), (true, 2));
    assert_eq!((history.points[1].time_s, history.points[1].failures_per_sec), (2.0, 0.5));
}

#[test]
fn malformed_history_is_refused_with_its_fault() {
    let header = "Timestamp,User Count,Type,Name,Requests/s,Failures/s,50%,95%,99%";
    let with = |rows: &str| format!("{header}\n1,1,,Aggregated,0,0,N/A,N/A,N/A\n{rows}\n");
    for (text, expected) in [
        (String::new(), expect!["missing column `Timestamp`"]),
        (header.replace("95%", "94%") + "\n", expect!["missing column `95%`"]),
        (with(""), expect!["it holds too few lines to draw: Locust before 2.47 loses the last ones of every run"]),
        (with("2,1,,Aggregated,nan,0,1,2,3"), expect!["line 3: Requests/s is `nan`, not a number of 0 or more"]),
        (with("2,1,,Aggregated,1,-1,1,2,3"), expect!["line 3: Failures/s is `-1`, not a number of 0 or more"]),
        (with("2,1,,Aggregated,1,0,1,N/A,3"), expect!["line 3: 95% is `N/A`, not a number of 0 or more"]),
        (with("0,1,,Aggregated,1,0,1,2,3"), expect!["line 3: its time is before that of the previous line"]),
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
