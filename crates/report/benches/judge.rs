//! The cost of judging a result file, as ratios: to a bare pass of the csv crate, to fewer endpoints, to the file's size.
//!
//! `cargo bench -p locust-gate-report --bench judge` exits non-zero if a value is over its bound. Without `--bench`, as under
//! `cargo test --all-targets`, it is a smoke run: few endpoints, no bounds.

// A benchmark measures and prints; only the crate itself is pure.
#![allow(clippy::disallowed_macros, clippy::disallowed_methods, clippy::disallowed_types)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use std::{env, fs, process};

use anyhow::{Context as _, Result, ensure};
use csv::ByteRecord;
use judge::baseline::file::Baseline;
use judge::model::limits::Rules;
use judge::model::run::{Precision, Provenance};
use judge::parse::locust_csv;
use judge::verdict::compare::compare;
use report::formats::terminal::{Screen, Verbosity, render};
use report::{Background, Report, Sides, View};

use crate::bounds::{Line, median};

mod bounds;

/// Judging takes at most so many times as long as a bare pass of the csv crate over the same bytes.
const MAX_OF_BARE_PASS: f64 = 3.0;
/// An endpoint among many takes at most so many times as long as one among few.
const MAX_OF_FEW: f64 = 3.0;
/// Judging takes at most so many times the file's size in memory.
const MAX_OF_FILE: f64 = 4.0;
/// Reading a baseline takes more, since each number of a few bytes becomes a series.
const MAX_OF_BASELINE: f64 = 8.0;

/// The ratio of the endpoints in the large file to those in the small one.
const MANY_PER_FEW: usize = 100;

/// The argument with which this program calls itself, to measure the memory of a fresh process.
const MEASURE_MEMORY: &str = "--measure-memory-of";

/// As version 1.0 wrote it: without endpoints, so each one in the file is NEW.
const VERSION_1_0: &str = r#"{"version":"1.0","timestamp":"2026-01-27T00:00:00Z","commit":"abc123","metrics":{"p50":120.0,"p95":350.0,"p99":480.0,"avg_response_time":150.0,"requests_per_sec":15.0,"error_rate":0.5,"total_requests":450},"notes":"..."}"#;

fn main() -> Result<ExitCode> {
    let args: Vec<_> = env::args_os().skip(1).collect();
    if let [flag, path] = args.as_slice()
        && flag == MEASURE_MEMORY
    {
        if let Some(growth_kib) = read_in_kib(Path::new(path))? {
            println!("{growth_kib}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let is_bench = args.iter().any(|arg| arg == "--bench");
    let (endpoints, repetitions) = if is_bench { (100_000, 11) } else { (100, 1) };
    let mut lines = times(endpoints, repetitions)?;
    lines.push(memory("judge", MAX_OF_FILE, endpoints, &stats_csv(endpoints, 1))?);
    lines.push(memory("read the baseline of", MAX_OF_BASELINE, endpoints, baseline(endpoints)?.as_bytes())?);
    Ok(bounds::exit_code(lines, is_bench))
}

/// From the bytes of the file to the text of the report, whose length is returned.
fn judge(bytes: &[u8], baseline: &Baseline) -> Result<usize> {
    let runs = [locust_csv::parse(bytes)?];
    let rules = Rules::default();
    let comparison = compare(baseline, &runs, &rules)?;
    let report = Report {
        comparison: &comparison,
        background: &Background::default(),
        confirmation: None,
        distribution: &[],
        runs: &[],
        histories: &[],
        provenance: Sides { baseline: &baseline.provenance, candidate: &baseline.provenance },
        baseline_origin: String::new(),
        file_warnings: Vec::new(),
        warnings: Vec::new(),
        other_details: Vec::new(),
    };
    let text = render(&View::of(&report), Verbosity::Normal, Screen::default());
    ensure!(text.contains("evidence: "), "this is no report:\n{text}");
    Ok(text.len())
}

/// The least that reading the file can cost. Each field is read, so that the pass is not optimised away.
fn bare_pass(bytes: &[u8]) -> Result<usize> {
    let mut reader = csv::Reader::from_reader(bytes);
    let mut record = ByteRecord::new();
    let mut length = 0;
    while reader.read_byte_record(&mut record)? {
        length += record.iter().map(<[u8]>::len).sum::<usize>();
    }
    Ok(length)
}

/// One repetition of everything that is compared, one after the other, so that a busy machine slows each alike.
struct Repetition {
    bare_pass: Duration,
    new: Duration,
    known: Duration,
    few: Duration,
}

fn times(endpoints: usize, repetitions: usize) -> Result<Vec<Line>> {
    let few = endpoints / MANY_PER_FEW;
    let (many_csv, few_csv) = (stats_csv(endpoints, 1), stats_csv(few, 1));
    let version_1_0 = Baseline::parse(VERSION_1_0)?;
    // Other numbers of the same endpoints: some got better, some worse.
    let former = [locust_csv::parse(&stats_csv(endpoints, 2))?];
    ensure!(former[0].endpoints.len() == endpoints, "the file does not hold {endpoints} endpoints");
    let full = Baseline::new(&former, version_1_0.provenance.clone())?;

    let repetitions: Vec<Repetition> = (0..repetitions)
        .map(|_| {
            Ok(Repetition {
                bare_pass: time(1, || bare_pass(&many_csv))?,
                new: time(1, || judge(&many_csv, &version_1_0))?,
                known: time(1, || judge(&many_csv, &full))?,
                // As often as it takes to judge as many endpoints as above.
                few: time(MANY_PER_FEW, || judge(&few_csv, &version_1_0))?,
            })
        })
        .collect::<Result<_>>()?;
    let line = |what: String, bound: Option<f64>, ratio: fn(&Repetition) -> f64| Line {
        what,
        value: Some(median(repetitions.iter().map(ratio).collect())),
        bound,
        unit: "x",
    };
    Ok(vec![
        line(
            format!("time to judge {endpoints} endpoints, all NEW / bare csv pass"),
            Some(MAX_OF_BARE_PASS),
            |times| times.new.div_duration_f64(times.bare_pass),
        ),
        line(format!("time to judge {endpoints} endpoints, all in the baseline / bare csv pass"), None, |times| {
            times.known.div_duration_f64(times.bare_pass)
        }),
        line(format!("time per endpoint of {endpoints} / of {few}"), Some(MAX_OF_FEW), |times| {
            times.new.div_duration_f64(times.few)
        }),
    ])
}

fn time(passes: usize, pass: impl Fn() -> Result<usize>) -> Result<Duration> {
    let start = Instant::now();
    for _ in 0..passes {
        black_box(pass()?);
    }
    Ok(start.elapsed())
}

/// About 27 MB of 100,000 endpoints.
fn baseline(endpoints: usize) -> Result<String> {
    let runs = [locust_csv::parse(&stats_csv(endpoints, 1))?];
    Ok(Baseline::new(&runs, Provenance::default())?.to_text())
}

/// The growth of a fresh process's peak memory: in this process, the former passes have raised it already.
fn memory(what: &str, bound: f64, endpoints: usize, file: &[u8]) -> Result<Line> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("judge-{}", process::id()));
    fs::write(&path, file).with_context(|| format!("cannot write {}", path.display()))?;
    let output = env::current_exe().and_then(|program| Command::new(program).arg(MEASURE_MEMORY).arg(&path).output());
    let _ = fs::remove_file(&path);
    let output = output.context("cannot run this program once more")?;
    ensure!(output.status.success(), "measuring memory failed: {}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout)?;
    let growth_kib: Option<f64> = Some(printed.trim()).filter(|text| !text.is_empty()).map(str::parse).transpose()?;
    Ok(Line {
        what: format!("peak memory to {what} {endpoints} endpoints / size of the file"),
        value: growth_kib.map(|kib| kib * 1024.0 / file.len() as f64),
        bound: Some(bound),
        unit: "x",
    })
}

/// The growth of this process's peak memory by reading a baseline, or by reading and judging a CSV, all of whose endpoints
/// are NEW; `None` on a system without `/proc`.
fn read_in_kib(path: &Path) -> Result<Option<u64>> {
    let version_1_0 = Baseline::parse(VERSION_1_0)?;
    let before_kib = peak_memory_kib();
    let bytes = fs::read(path)?;
    if bytes.starts_with(b"{") {
        let text = String::from_utf8(bytes)?;
        ensure!(!black_box(Baseline::parse(&text)?).endpoints.is_empty(), "the baseline has no endpoints");
    } else {
        judge(&bytes, &version_1_0)?;
    }
    Ok(peak_memory_kib().zip(before_kib).map(|(after, before)| after.saturating_sub(before)))
}

fn peak_memory_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

const HEADER: &str = "Type,Name,Request Count,Failure Count,Median Response Time,Average Response Time,Min Response Time,Max Response Time,Average Content Size,Requests/s,Failures/s,50%,66%,75%,80%,90%,95%,98%,99%,99.9%,99.99%,100%\r\n";

/// The last eleven columns, as multiples of the median.
const PERCENTILES: [f64; 11] = [1.0, 1.12, 1.21, 1.3, 1.65, 2.1, 2.7, 3.3, 4.8, 5.2, 5.2];

const RUN_TIME_S: f64 = 59.734_182_119_369_51;

/// A `_stats.csv` as Locust 2.47 writes it. Files of different seeds have the same endpoints with other numbers.
fn stats_csv(endpoints: usize, seed: u64) -> Vec<u8> {
    const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
    let mut random = Random(seed);
    let mut text = HEADER.to_owned();
    let (mut requests_sum, mut failures_sum) = (0, 0);
    for endpoint in 0..endpoints {
        let requests = 100 + random.below(5_000);
        let failures = random.below(3) * requests / 1_000;
        let series = format!("{},/api/v1/orders/{endpoint}/items", METHODS[endpoint % METHODS.len()]);
        let median_ms = 5.0 + 100.0 * random.fraction();
        push_row(&mut text, &series, requests, failures, median_ms, &mut random);
        requests_sum += requests;
        failures_sum += failures;
    }
    push_row(&mut text, ",Aggregated", requests_sum, failures_sum, 55.0, &mut random);
    text.into_bytes()
}

fn push_row(text: &mut String, series: &str, requests: u64, failures: u64, median_ms: f64, random: &mut Random) {
    let per_sec = |count: u64| count as f64 / RUN_TIME_S;
    let (average_ms, least_ms) = (median_ms * (1.0 + random.fraction() / 4.0), median_ms * random.fraction());
    let most_ms = median_ms * 5.2;
    let content_bytes = 4_000.0 * random.fraction();
    let (requests_per_sec, failures_per_sec) = (per_sec(requests), per_sec(failures));
    // `{:?}` writes a float as Python does: all its digits, and `.0` if there are none.
    let _ = write!(
        text,
        "{series},{requests},{failures},{:.0},{average_ms:?},{least_ms:?},{most_ms:?},{content_bytes:?},{requests_per_sec:?},{failures_per_sec:?}",
        bucket_ms(median_ms)
    );
    for multiple in PERCENTILES {
        let _ = write!(text, ",{:.0}", bucket_ms(median_ms * multiple));
    }
    text.push_str("\r\n");
}

/// As Locust rounds a response time before it takes percentiles.
fn bucket_ms(value_ms: f64) -> f64 {
    let width_ms = Precision::Coarse.resolution_ms(value_ms);
    (value_ms / width_ms).round() * width_ms
}

/// The same numbers in every run of the benchmark: `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// From 0 up to 1, 1 excluded.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}
