//! Whatever bytes a parser meets, it gives an answer or one line that says what is wrong: never a panic, never a hang.
//!
//! The inputs are real ones, mangled by a seeded generator, so that a failure can be had again.

use std::fmt::Write as _;
use std::{env, fs, panic};

use fastrand::Rng;
use xtask::baseline::Baseline;
use xtask::config::{Config, LocustSettings};
use xtask::report::error_line;
use xtask::{flags, locust_csv, locust_history, locust_json};

/// What a parser is likely to stumble over.
const WORDS: [&str; 26] = [
    "NaN",
    "inf",
    "-1",
    "1e999",
    "1e-999",
    "18446744073709551616",
    "18446744073709551615",
    "9223372036854775807",
    "-0",
    "N/A",
    "null",
    "\"",
    "\"\"",
    ",",
    ",,,,",
    "\r\n",
    "\n",
    "\0",
    "\u{feff}",
    "{",
    "}",
    "[",
    "]",
    "Aggregated",
    "\u{202e}",
    "=",
];

fn mangle(random: &mut Rng, input: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..random.usize(1..6) {
        let at = random.usize(0..=bytes.len());
        let until = (at + random.usize(0..20)).min(bytes.len());
        match random.u8(0..6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.splice(at..until, random.choice(WORDS).unwrap().bytes())),
            2 => drop(bytes.splice(at..until, [])),
            3 => {
                let part = bytes[at..until].to_vec();
                bytes.splice(at..at, part.repeat(random.usize(1..50)));
            }
            4 if at < bytes.len() => bytes[at] = random.u8(..),
            _ => bytes.extend_from_slice(&input[at.min(input.len())..]),
        }
    }
    bytes
}

/// Each of so many mangled inputs is read, and if it is refused, on one line. How many were refused.
#[track_caller]
fn check(what: &str, inputs: &[Vec<u8>], read: impl Fn(&[u8]) -> anyhow::Result<()> + panic::RefUnwindSafe) -> usize {
    let mut refused = 0;
    // More of them by hand: MANGLED=100000 cargo test -p xtask --test it mangled
    let most = env::var("MANGLED").ok().and_then(|most| most.parse().ok()).unwrap_or(1500);
    for seed in 0..most {
        let mut random = Rng::with_seed(seed);
        let input = random.choice(inputs).unwrap();
        let bytes = mangle(&mut random, input);
        let shown = || String::from_utf8_lossy(&bytes).escape_debug().take(2000).collect::<String>();
        let Ok(result) = panic::catch_unwind(|| read(&bytes)) else {
            panic!("{what}, seed {seed}: a panic by {}", shown());
        };
        if let Err(error) = result {
            refused += 1;
            let line = format!("{error:#}");
            assert!(!line.is_empty() && !line.contains('\n'), "{what}, seed {seed}: {line:?} of {}", shown());
        }
    }
    refused
}

/// The same, where some of the inputs are sure to be broken.
#[track_caller]
fn check_refuses(what: &str, inputs: &[Vec<u8>], read: impl Fn(&[u8]) -> anyhow::Result<()> + panic::RefUnwindSafe) {
    let refused = check(what, inputs, read);
    assert!(refused > 200, "{what}: only {refused} were refused");
}

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
fn a_value_beyond_all_measure_is_refused() {
    // Of such values means are infinite, which a baseline cannot hold.
    let csv = "Type,Name,Request Count,Failure Count,Average Response Time,Requests/s,50%,95%,99%\n,Aggregated,9,0,1e308,1,1,1,1\n";
    let json = |times: &str| {
        format!(
            r#"[{{"name":"/","method":"GET","num_requests":1,"num_failures":0,"total_response_time":1.0,"start_time":0.0,{times}}}]"#
        )
    };
    let json = |times: &str| locust_json::parse(&json(times)).unwrap_err();
    let baseline = crate::core::VERSION_1_0.replace("480.0", "1e306");
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
        (Baseline::parse(&baseline).unwrap_err(), "`p99` is 1000…000, more than can be measured"),
    ] {
        // A float is told with all its zeros.
        let line = format!("{error:#}");
        let (start, end) = expected.split_once('…').unwrap_or((expected, ""));
        assert!(line.starts_with(start) && line.ends_with(end), "{line}");
    }
}

#[test]
fn a_number_of_a_baseline_is_written_as_it_was_read() {
    let text = crate::core::VERSION_1_0.replace("120.0", "120.08888888888889");
    let baseline = Baseline::parse(&text).unwrap();
    assert_eq!(baseline.metrics["p50"].to_string(), "120.08888888888889");
    assert_eq!(Baseline::parse(&baseline.to_text()).unwrap(), baseline);
}

#[test]
fn an_error_is_one_line_of_bounded_length_whatever_it_quotes() {
    let long = format!(r#"["{}"]"#, "a\u{1b}[31m".repeat(100_000));
    let argument = |name: &str| flags::parse(vec![name.into()]).map(drop);
    for error in [
        locust_json::parse(&long).map(drop),
        Config::parse("a\rb\u{1b}[31m").map(drop),
        argument("a\n\rb"),
        argument(&"\u{202e}a".repeat(100_000)),
    ] {
        let line = error_line(&error.unwrap_err());
        assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "{line:?}");
        assert!((10..=1000).contains(&line.chars().count()), "{line}");
    }
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
    let kept = fs::read(crate::real::root().join("perf_baseline.json")).unwrap();
    let old = crate::core::VERSION_1_0.as_bytes().to_vec();
    check_refuses("baseline", &[kept, old], |bytes| {
        // What is read can be written, and read again.
        let written = Baseline::parse(&text(bytes))?.to_text();
        Baseline::parse(&written).map(drop)
    });
}

#[test]
fn a_mangled_configuration_is_read_or_refused() {
    let own = fs::read(crate::real::root().join("perf.toml")).unwrap();
    let limits = b"[limits]\np95 = \"20%, max 500ms\"\n[limits.\"GET /a*\"]\nerror_rate = \"2pp\"\n".to_vec();
    check_refuses("perf.toml", &[own, limits], |bytes| Config::parse(&text(bytes)).map(drop));
    let conf = b"users = 10\nrun-time: 2m\nhost http://127.0.0.1\n# headful\n".to_vec();
    check("locust.conf", &[conf], |bytes| {
        LocustSettings::default().add_conf("locust.conf", &text(bytes));
        Ok(())
    });
}

#[test]
fn a_mangled_command_line_is_read_or_refused() {
    let mut line = flags::known_flags("perf").fold("perf\n".to_owned(), |mut line, flag| {
        let _ = write!(line, "{flag}\n7\n");
        line
    });
    line.push_str("--\n-u\n5\n");
    check_refuses("command line", &[line.into_bytes(), b"selftest\n--quick\n".to_vec()], |bytes| {
        flags::parse(text(bytes).split('\n').map(Into::into).collect()).map(drop)
    });
}
