//! What a history costs: the time of `cargo xtask history` in a repository of many accepted baselines, git included, and
//! how it grows with them.
//!
//! `cargo bench -p locust-gate --bench history` exits non-zero where a bound does not hold. Without `--bench`, as under
//! `cargo test --all-targets`, it is a smoke run: few baselines, no bounds.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};
use fastrand::Rng;

use crate::bounds::{Line, median};

#[path = "../../crates/report/benches/bounds/mod.rs"]
mod bounds;

/// The history of a service that accepts a baseline a week, for six years.
const MAX_TIME_MS: f64 = 1000.0;
/// A baseline among many takes at most so many times as long as one among few.
const MAX_OF_FEW: f64 = 1.5;

/// How many times as many baselines the many are.
const MANY_PER_FEW: u32 = 10;

/// In each baseline.
const ENDPOINTS: u32 = 50;
const RUNS: u32 = 10;

fn main() -> Result<ExitCode> {
    let is_bench = env::args_os().any(|arg| arg == "--bench");
    let (many, repetitions) = if is_bench { (300, 7) } else { (20, 1) };
    let (few, many) = (repository("few", many / MANY_PER_FEW)?, repository("many", many)?);
    let mut lines = Vec::new();
    for (what, args) in [
        ("all requests", &[][..]),
        ("every endpoint", &["--endpoint", "*"]),
        ("with the page", &["--report", "history.html"]),
    ] {
        let (mut times, mut ratios) = (Vec::new(), Vec::new());
        for _ in 0..repetitions {
            // One right after the other: a busy machine slows both alike.
            let (of_few, of_many) = (time(&few, args)?, time(&many, args)?);
            times.push(1e3 * of_many.as_secs_f64());
            ratios.push(of_many.as_secs_f64() / of_few.as_secs_f64() / f64::from(MANY_PER_FEW));
        }
        let versions = many.versions;
        lines.push(Line {
            what: format!("time of the history of {versions} baselines of {ENDPOINTS} endpoints, {what}"),
            value: Some(median(times)),
            bound: Some(MAX_TIME_MS),
            unit: "ms",
        });
        lines.push(Line {
            what: format!("time per baseline of {versions} / of {}, {what}", few.versions),
            value: Some(median(ratios)),
            bound: Some(MAX_OF_FEW),
            unit: "x",
        });
    }
    Ok(bounds::exit_code(lines, is_bench))
}

/// A repository whose only commits are accepted baselines.
struct Repository {
    folder: PathBuf,
    versions: u32,
}

/// Runs the command once.
fn time(repository: &Repository, args: &[&str]) -> Result<Duration> {
    let start = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let output = command.arg("history").args(args).current_dir(&repository.folder).stdin(Stdio::null()).output()?;
    let took = start.elapsed();
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "it failed: {}", String::from_utf8_lossy(&output.stderr));
    ensure!(text.contains(&format!("{} accepted baselines", repository.versions)), "it left some out: {text}");
    Ok(took)
}

/// Makes a repository, by one call of git.
fn repository(name: &str, versions: u32) -> Result<Repository> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("history-bench").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.args(args).current_dir(&folder).env("GIT_CONFIG_GLOBAL", "/dev/null");
        command
    };
    ensure!(git(&["init", "-q", "-b", "main", "."]).status()?.success(), "git init failed");
    let mut import = git(&["fast-import", "--quiet"]).stdin(Stdio::piped()).spawn()?;
    let mut stdin = import.stdin.take().context("git has no stdin")?;
    let mut rng = Rng::with_seed(17);
    for version in 0..versions {
        let (baseline, time) = (baseline(&mut rng, version), 1_700_000_000 + 604_800 * u64::from(version));
        write!(
            stdin,
            "commit refs/heads/main\ncommitter Ann <ann@example.org> {time} +0000\ndata 8\naccepted\nM 644 inline perf_baseline.json\ndata {}\n{baseline}\n",
            baseline.len()
        )?;
    }
    drop(stdin);
    ensure!(import.wait()?.success(), "git fast-import failed");
    Ok(Repository { folder, versions })
}

/// The text of a baseline.
fn baseline(rng: &mut Rng, version: u32) -> String {
    let drift = 1.0 + 0.001 * f64::from(version);
    let mut endpoints = String::new();
    for endpoint in 0..ENDPOINTS {
        let comma = if endpoint == 0 { "" } else { "," };
        let _ = write!(endpoints, "{comma}\n    \"GET /endpoint/{endpoint}\": {{{}}}", series(rng, drift));
    }
    format!(
        "{{\n  \"version\": \"1.2\",\n  \"timestamp\": \"2026-11-24T10:54:52Z\",\n  \"commit\": \"unknown\",\n  \"metrics\": {{}},\n  \"aggregated\": {{{}}},\n  \"endpoints\": {{{endpoints}\n  }},\n  \"notes\": \"update {version}\"\n}}\n",
        series(rng, drift)
    )
}

/// The runs of every metric.
fn series(rng: &mut Rng, drift: f64) -> String {
    let mut text = String::new();
    let metrics = [
        ("avg_response_time", 58.0),
        ("error_rate", 0.3),
        ("p50", 41.0),
        ("p95", 177.0),
        ("p99", 251.0),
        ("requests_per_sec", 62.0),
        ("total_requests", 1200.0),
    ];
    for (name, typical) in metrics {
        let comma = if text.is_empty() { "" } else { ", " };
        let runs: Vec<String> =
            (0..RUNS).map(|_| format!("{:.3}", typical * drift * (0.97 + 0.06 * rng.f64()))).collect();
        let _ = write!(text, "{comma}\"{name}\": [{}]", runs.join(", "));
    }
    text
}
