//! What judging a result file costs, as ratios: to a bare pass of the csv crate, to fewer endpoints, to the file's size.
//!
//! `cargo bench -p xtask --bench judge` exits non-zero where a bound does not hold. Without `--bench`, as under
//! `cargo test --all-targets`, it is a smoke run: few endpoints, no bounds.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;
use std::{array, env, fs, process};

use anyhow::{Context as _, Result, ensure};
use csv::ByteRecord;
use xtask::baseline::Baseline;
use xtask::compare::{compare, default_limits, resolution_ms};
use xtask::locust_csv;
use xtask::report::Report;
use xtask::report::terminal::{Verbosity, render};

/// At most so many times a bare pass of the csv crate over the same bytes.
const MAX_OF_BARE_PASS: f64 = 3.0;
/// At most so many times as long per endpoint where there are a hundred times as many.
const MAX_OF_FEW: f64 = 3.0;
/// At most so many times the file's size in memory.
const MAX_OF_FILE: f64 = 4.0;

/// How many times as many endpoints the large file has as the small one.
const GROWTH: usize = 100;

/// The argument by which this program calls itself to measure the memory of a fresh process.
const MEASURE_MEMORY: &str = "--measure-memory-of";

/// A baseline as version 1.0 wrote it, with nothing else: every endpoint is NEW to it.
const VERSION_1_0: &str = r#"{
  "version": "1.0",
  "timestamp": "2026-01-27T00:00:00Z",
  "commit": "abc123",
  "metrics": {
    "p50": 120.0,
    "p95": 350.0,
    "p99": 480.0,
    "avg_response_time": 150.0,
    "requests_per_sec": 15.0,
    "error_rate": 0.5,
    "total_requests": 450
  },
  "notes": "..."
}"#;

fn main() -> Result<ExitCode> {
    let args: Vec<String> = env::args().skip(1).collect();
    if let [flag, path] = args.as_slice()
        && flag == MEASURE_MEMORY
    {
        println!("{}", memory_growth_bytes(Path::new(path))?.map_or_else(String::new, |bytes| bytes.to_string()));
        return Ok(ExitCode::SUCCESS);
    }
    let is_bench = args.iter().any(|arg| arg == "--bench");
    let (endpoints, rounds) = if is_bench { (100_000, 11) } else { (100, 1) };
    let mut lines = time_ratios(endpoints, rounds)?;
    lines.push(memory_ratio(endpoints)?);
    if !is_bench {
        for line in &mut lines {
            line.bound = None;
        }
    }
    print(&lines);
    Ok(if lines.iter().any(Line::is_over) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A line of the table: a ratio, and what it may be at most.
struct Line {
    what: String,
    /// `None` where it cannot be measured.
    ratio: Option<f64>,
    bound: Option<f64>,
}

impl Line {
    fn is_over(&self) -> bool {
        self.ratio.zip(self.bound).is_some_and(|(ratio, bound)| ratio > bound)
    }
}

fn print(lines: &[Line]) {
    let width = lines.iter().map(|line| line.what.len()).max().unwrap_or(0);
    println!("{:width$}   {:>12}   {:>6}", "what", "value", "bound");
    for line in lines {
        let ratio = line.ratio.map_or_else(|| "not measured".to_owned(), |ratio| format!("{ratio:.2}x"));
        let bound = line.bound.map_or_else(|| "-".to_owned(), |bound| format!("{bound:.2}x"));
        let verdict = match (line.ratio, line.bound) {
            (Some(_), Some(_)) => {
                if line.is_over() {
                    "   OVER"
                } else {
                    "   ok"
                }
            }
            _ => "",
        };
        println!("{:width$}   {ratio:>12}   {bound:>6}{verdict}", line.what);
    }
}

/// From the bytes of the file to the text of the report.
fn judge(bytes: &[u8], baseline: &Baseline) -> Result<String> {
    let runs = [locust_csv::parse(bytes)?];
    let limits = default_limits();
    let comparison = compare(baseline, &runs, &limits, false)?;
    let report = Report {
        comparison: &comparison,
        limits: &limits,
        baseline: "baseline: version 1.0".to_owned(),
        warnings: Vec::new(),
        details: Vec::new(),
    };
    Ok(render(&report, Verbosity::Normal))
}

/// The least that reading the file can cost; each field is looked at, lest the pass be optimised away.
fn bare_pass(bytes: &[u8]) -> Result<usize> {
    let mut reader = csv::Reader::from_reader(bytes);
    let mut record = ByteRecord::new();
    let mut length = 0;
    while reader.read_byte_record(&mut record)? {
        length += record.iter().map(<[u8]>::len).sum::<usize>();
    }
    Ok(length)
}

fn time_ratios(endpoints: usize, rounds: usize) -> Result<Vec<Line>> {
    let few = endpoints / GROWTH;
    let (large, small) = (stats_csv(endpoints, 1), stats_csv(few, 1));
    let version_1_0 = Baseline::parse(VERSION_1_0)?;
    // Of other numbers than the file judged, so that endpoints get better and worse.
    let former = [locust_csv::parse(&stats_csv(endpoints, 2))?];
    ensure!(former[0].endpoints.len() == endpoints, "the file does not hold {endpoints} endpoints");
    let full = Baseline::new(&former, version_1_0.provenance.clone(), None, None)?;
    for baseline in [&version_1_0, &full] {
        let text = judge(&large, baseline)?;
        ensure!(text.contains("PASS"), "judged against numbers like its own, the file must pass:\n{text}");
    }

    let [of_bare_pass, of_bare_pass_full, of_few] = median_ratios(
        rounds,
        &|| bare_pass(&large).is_ok_and(|length| black_box(length) > 0),
        [
            &|| judge(&large, &version_1_0).is_ok_and(|text| !black_box(text).is_empty()),
            &|| judge(&large, &full).is_ok_and(|text| !black_box(text).is_empty()),
            // So many passes that as many endpoints are judged as in one of the large file.
            &|| (0..GROWTH).all(|_| judge(&small, &version_1_0).is_ok_and(|text| !black_box(text).is_empty())),
        ],
    );
    todo!()
}
