//! Locust's statistics as CSV.

use expect_test::expect;
use judge::model::run::{Metric, Precision, Run, Stats};
use judge::parse::locust_csv;
use judge::stats::estimate::Interval;

use crate::samples::{HEADER, error, fixture, row};

pub fn csv_error(text: &str) -> String {
    error(locust_csv::parse(text.as_bytes()))
}

#[test]
fn aggregated_row_alone_is_read() {
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
        p95_interval_ms: Some(Interval { low: 300.0, high: 420.0 }),
        content_bytes: Some(1024.0),
        ..Stats::default()
    };
    let extremes_ms = Some(Interval { low: 45.0, high: 890.0 });
    assert_eq!(run, Run { precision: Precision::Coarse, total, extremes_ms, ..Run::default() });
}

#[test]
fn required_columns_in_any_order_are_enough() {
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
fn column_beyond_100_percent_is_ignored() {
    let text =
        row("None,Aggregated,1000,0,5,5,1,9,11,2.0,0.0,5,5,5,5,5,5,5,5,5,5,5").replace("66%", "18446744073709551616%");
    assert_eq!(
        locust_csv::parse(text.as_bytes()).unwrap().total.p95_interval_ms,
        Some(Interval { low: 5.0, high: 5.0 })
    );
}

#[test]
fn endpoint_named_aggregated_is_not_the_total() {
    let run = locust_csv::parse(&fixture("locust-2.47.0/names/perf_results_stats.csv")).unwrap();
    assert_eq!(run.total.requests, 2065);
    assert!(run.endpoints.iter().any(|(name, stats)| &**name == "GET Aggregated" && stats.requests == 137));
}

#[test]
fn malformed_csv_is_refused_with_its_fault() {
    let full = "GET,/a,10,0,5,5,1,9,11,2.0,0.0,5,5,5,5,5,5,5,5,5,5,5";
    let total = ",Aggregated,10,0,5,5,1,9,11,2.0,0.0,5,5,5,5,5,5,5,5,5,5,5";
    for (text, expected) in [
        (String::new(), expect!["the file is empty: Locust had not written any result yet"]),
        (
            format!("{HEADER}\r\n"),
            expect![
                "no row named `Aggregated` without a type: the file is truncated, probably because Locust was killed while writing, or it was edited"
            ],
        ),
        (
            row(full),
            expect![
                "no row named `Aggregated` without a type: the file is truncated, probably because Locust was killed while writing, or it was edited"
            ],
        ),
        (
            row(&total[..30]),
            expect![
                "line 2 has 10 fields, but the header has 22: the file is truncated, probably because Locust was killed while writing"
            ],
        ),
        (
            row(&format!("{full}\r\nGET,/b")),
            expect![
                "line 3 has 2 fields, but the header has 22: the file is truncated, probably because Locust was killed while writing"
            ],
        ),
        (
            row(",Aggregated,0,0,0,0.0,0,0,0,0.0,0.0,N/A,N/A,N/A,N/A,N/A,N/A,N/A,N/A,N/A,N/A,N/A"),
            expect!["Locust made no requests: there is nothing to judge"],
        ),
        (
            row(",Aggregated,10,0,0,0.0,0,0,0,0.0,0.0,N/A,N/A,N/A,N/A,N/A,N/A,N/A,N/A,N/A,N/A,N/A"),
            expect!["line 2: 50% is `N/A`, not a number of 0 or more"],
        ),
        (
            row(&total.replace(",5,5,1,", ",5,\"5,5\",1,")),
            expect!["line 2: Average Response Time is `5,5`, with a decimal comma: save it with a decimal point"],
        ),
        (row(&total.replace(",2.0,", ",nan,")), expect!["line 2: Requests/s is `nan`, not a number of 0 or more"]),
        (row(&total.replace(",2.0,", ",inf,")), expect!["line 2: Requests/s is `inf`, not a number of 0 or more"]),
        (
            row(&total.replace("Aggregated,10", "Aggregated,ten")),
            expect!["line 2: Request Count is `ten`, not a whole number"],
        ),
        (
            row(&total.replace("Aggregated,10,0", "Aggregated,10,11")),
            expect!["line 2: 11 failures of 10 requests: the file does not add up"],
        ),
        (
            row(&format!("{full}\r\n{}", total.replace("Aggregated,10", "Aggregated,12"))),
            expect![
                "the endpoints' requests add up to 10, but `Aggregated` has 12: the file is corrupt, with rows of two writes mixed"
            ],
        ),
        (
            row(&format!("{full}\r\n{}", total.replace("Aggregated,10,0", "Aggregated,10,1"))),
            expect![
                "the endpoints' failures add up to 0, but `Aggregated` has 1: the file is corrupt, with rows of two writes mixed"
            ],
        ),
        (
            row(&format!("{full}\r\n{full}\r\n{}", total.replace("Aggregated,10", "Aggregated,20"))),
            expect!["`GET /a` appears twice: the file is corrupt, with rows of two writes mixed"],
        ),
        (
            row(&format!("{}\r\n{}", full.replace("/a,10,0", "/a,10,11"), total.replace(",10,0", ",10,11"))),
            expect!["line 2: 11 failures of 10 requests: the file does not add up"],
        ),
        (HEADER.replace(",98%", ",95%") + "\r\n", expect!["line 1: the column `95%` appears twice: remove one"]),
        (
            HEADER.replace(",95%", ",94%") + "\r\n" + total + "\r\n",
            expect!["missing column `95%`: let the locustfile's PERCENTILES_TO_REPORT include 0.50, 0.95 and 0.99"],
        ),
        (
            "hello\nworld\n".to_owned(),
            expect!["line 1: missing column `Name`; not a stats CSV from Locust 1.2 or later"],
        ),
    ] {
        expected.assert_eq(&csv_error(&text));
    }
    let killed = fixture("locust-2.47.0/killed-midway/perf_results_stats.csv");
    expect![
        "line 57 has 17 fields, but the header has 22: the file is truncated, probably because Locust was killed while writing"
    ]
    .assert_eq(&error(locust_csv::parse(&killed)));
    let none = fixture("locust-2.47.0/zero-requests/perf_results_stats.csv");
    expect!["Locust made no requests: there is nothing to judge"].assert_eq(&error(locust_csv::parse(&none)));
    let custom = fixture("locust-2.47.0/custom-percentiles/perf_results_stats.csv");
    expect!["missing column `99%`: let the locustfile's PERCENTILES_TO_REPORT include 0.50, 0.95 and 0.99"]
        .assert_eq(&error(locust_csv::parse(&custom)));
}

#[test]
fn name_in_another_encoding_is_named_with_the_remedy() {
    let total = ",Aggregated,10,0,5,5,1,9,11,2.0,0.0,5,5,5,5,5,5,5,5,5,5,5";
    let text = row(&format!("{}\r\n{total}", total.replace(",Aggregated", "GET,/\u{e9}")));
    let latin_1: Vec<u8> = text.chars().map(|c| u8::try_from(c).unwrap()).collect();
    expect!["line 2: the Name is not UTF-8: save the file as UTF-8, or start Locust with PYTHONUTF8=1"]
        .assert_eq(&error(locust_csv::parse(&latin_1)));
}

#[test]
fn a_file_of_another_kind_is_named_with_its_remedy() {
    let stats = row(",Aggregated,10,0,5,5,1,9,11,2.0,0.0,5,5,5,5,5,5,5,5,5,5,5");
    let utf_16: Vec<u8> = stats.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, expected) in [
        (b"\x1f\x8b\x08\x00".to_vec(), expect!["it is compressed with gzip: unpack it first, with gunzip"]),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n".to_vec(),
            expect!["it is a pointer of Git LFS: fetch the file with `git lfs pull`"],
        ),
        (b" [{\"name\": \"/\"}]".to_vec(), expect!["it is JSON: give it a name that ends in .json"]),
        (
            b"PK\x03\x04xl/".to_vec(),
            expect!["it is a spreadsheet or another ZIP archive: export it as CSV with commas, in UTF-8"],
        ),
        ([b"\xff\xfe".to_vec(), utf_16.clone()].concat(), expect!["it is UTF-16, or no text at all: save it as UTF-8"]),
        (utf_16, expect!["it is UTF-16, or no text at all: save it as UTF-8"]),
        (
            b"\n<!DOCTYPE html>\n<html>".to_vec(),
            expect!["it is an HTML page: pass the `_stats.csv` of Locust's --csv, or the file of its --json-file"],
        ),
        (
            stats.replace(',', ";").into_bytes(),
            expect![
                "its columns are separated by `;`: save it with commas, and numbers with a decimal point, as Locust writes it"
            ],
        ),
        (
            stats.replace(',', "\t").into_bytes(),
            expect!["its columns are separated by tabs: save it with commas, as Locust writes it"],
        ),
        (
            fixture("locust-2.47.0/ok/perf_results_stats_history.csv"),
            expect!["it is Locust's history over time: pass the `_stats.csv` next to the `_stats_history.csv`"],
        ),
        (
            fixture("locust-2.47.0/ok/perf_results_failures.csv"),
            expect!["it is Locust's list of failures: pass the `_stats.csv` next to the `_failures.csv`"],
        ),
        (
            fixture("locust-2.47.0/ok/perf_results_exceptions.csv"),
            expect!["it is Locust's list of exceptions: pass the `_stats.csv` next to the `_exceptions.csv`"],
        ),
        (
            b"\"Type\",\"Name\",\"# requests\",\"# failures\",\"Median response time\"\n".to_vec(),
            expect!["it was written by Locust before 1.0, which had other columns: measure with Locust 1.2 or later"],
        ),
    ] {
        expected.assert_eq(&error(locust_csv::parse(&bytes)));
    }
}

/// Who tries the gate edits one number of a file.
#[test]
fn percentiles_out_of_order_are_judged_with_a_warning() {
    let total = "None,Aggregated,450,2,120,150,45,890,1024,15.0,0.066,120,180,220,250,300,P95,420,480,650,890,890";
    for (p95, is_odd) in [("350", false), ("480", false), ("500", true), ("900", true), ("100", true)] {
        let run = locust_csv::parse(row(&total.replace("P95", p95)).as_bytes()).unwrap();
        assert_eq!(run.total.p95_ms.to_string(), p95);
        let warning =
            format!("line 2: percentiles are not in order: was the file edited? (50% 120, 95% {p95}, 99% 480)");
        assert_eq!(run.oddities, if is_odd { vec![warning] } else { vec![] });
    }
    let falling = row(&total.replace("300,P95,420", "420,350,300"));
    assert_eq!(locust_csv::parse(falling.as_bytes()).unwrap().total.p95_interval_ms, None);
}

#[test]
fn a_last_number_without_a_line_end_is_a_warning_if_it_is_judged() {
    let few = |p99: &str| {
        format!(
            "Type,Name,Request Count,Failure Count,Average Response Time,Requests/s,50%,95%,99%\n,Aggregated,450,0,100,15,100,300,{p99}"
        )
    };
    let oddities = |text: &str| locust_csv::parse(text.as_bytes()).unwrap().oddities;
    assert_eq!(oddities(&few("3000\n")), Vec::<String>::new());
    expect![
        "its last number has no line end behind it, so it may be cut off: was the file copied while Locust wrote it?"
    ]
    .assert_eq(&oddities(&few("300")).join("; "));
    // Nothing rests on the 100% of a file of Locust's.
    let whole = fixture("locust-2.47.0/ok/perf_results_stats.csv");
    let whole = String::from_utf8(whole).unwrap();
    assert_eq!(oddities(whole.trim_end()), Vec::<String>::new());
}

#[test]
fn blank_rows_of_a_spreadsheet_are_skipped() {
    let whole = String::from_utf8(fixture("locust-2.47.0/ok/perf_results_stats.csv")).unwrap();
    let width = whole.lines().next().unwrap().matches(',').count();
    let blank = format!("{}\r\n", ",".repeat(width));
    let (head, rest) = whole.split_at(whole.find('\n').unwrap() + 1);
    let spaced = format!("{head}{blank}{rest}{blank} {blank}");
    let [run, of_spaced] = [&whole, &spaced].map(|text| locust_csv::parse(text.as_bytes()).unwrap());
    assert_eq!(run, of_spaced);
}

#[test]
fn truncated_csv_is_refused() {
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
