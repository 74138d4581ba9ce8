//! How often the gate is wrong, and what that costs: writes `docs/calibration.md`.
//!
//! `cargo bench -p locust-gate-judge --bench calibration` exits non-zero where a promise is not kept. Without `--bench`, as under
//! `cargo test --all-targets`, it is a smoke run that writes nothing.

// A benchmark measures and prints; only the crate itself is pure.
#![allow(clippy::disallowed_macros, clippy::disallowed_methods, clippy::disallowed_types)]

mod simulation;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Instant;
use std::{env, fs, io};

use simulation::{
    Cell, DriftOutcomes, ENDPOINTS, EndpointOutcomes, Noise, Promise, ROUNDS, RUNS, all_cells, all_drift_cells,
    all_endpoint_cells, promises, share_pct,
};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/calibration.md");

fn main() -> io::Result<ExitCode> {
    let is_bench = env::args().any(|arg| arg == "--bench");
    let started = Instant::now();
    let (comparisons, endpoint_comparisons) = if is_bench { (30_000, 4_000) } else { (20, 2) };
    let cells = all_cells(comparisons);
    let endpoints = all_endpoint_cells(endpoint_comparisons);
    let drift = all_drift_cells(comparisons);
    let promises = promises(&cells, &endpoints, &drift, 0.0);
    let text = document(&promises, &cells, &endpoints) + &drift_table(&drift);
    if !is_bench {
        return Ok(ExitCode::SUCCESS);
    }
    fs::write(FILE, text)?;
    for Promise { what, seen, is_kept } in &promises {
        println!("{} {what}: {seen}", if *is_kept { "ok    " } else { "BROKEN" });
    }
    println!("docs/calibration.md is written, after {:.0} s", started.elapsed().as_secs_f64());
    Ok(if promises.iter().all(|promise| promise.is_kept) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn document(promises: &[Promise], cells: &[Cell], endpoints: &[(Noise, [EndpointOutcomes; 2])]) -> String {
    let mut text = format!(
        "# Calibration

How often the gate is wrong, and how many runs it makes: drawn runs, judged by the product's own `compare`. Written by
`cargo bench -p locust-gate-judge --bench calibration`, which draws the same numbers each time.

The p95 of a run is log-normal with the given spread from run to run. With heavy tails a neighbour on the machine makes
one run in ten half as slow again. The limit is +20 %, the baseline has {RUNS} runs. Shares are of {} comparisons.

- **plain**: one baseline run, one candidate run, FAIL over the limit.
- **one run**: {RUNS} baseline runs, one candidate run, FAIL over the limit.
- **fixed**: {RUNS} runs on each side, FAIL over the limit.
- **gate**: this program: one run, and up to {RUNS} until the verdict is settled.

## The rule

The gate's estimate is the ratio of geometric means; from four runs on, a run farther from the median than three robust
standard deviations counts as one that far (metric winsorizing: Huber & Ronchetti, Robust Statistics, 2nd ed., section
1.7), since one hit run would drag the mean of five along. It repeats until the interval of the change (two-sample t,
pooled variance, on logarithms, 95 % shared out over the looks by Bonferroni) lies on one side of the limit, and a FAIL
by one run alone is confirmed by a second; then the estimate decides. An endpoint FAILs over its limit where its p-value
passes Holm's correction at 5 %. «fixed» uses the same estimate.

## What is promised

| promise | seen | |
|---|---:|---|
",
        cells[0].outcomes.comparisons
    );
    for Promise { what, seen, is_kept } in promises {
        let _ = writeln!(text, "| {what} | {seen} | {} |", if *is_kept { "kept" } else { "**broken**" });
    }
    text.push_str(
        "
## One series

Up to +20 % a FAIL is a false alarm; beyond, a PASS is a miss.

| tails | spread | true change | plain FAILs | one run FAILs | fixed FAILs | gate FAILs | gate's runs |
|---|---:|---:|---:|---:|---:|---:|---:|
",
    );
    for Cell { noise, change_pct, outcomes } in cells {
        let _ = writeln!(
            text,
            "| {} | {} % | {change_pct:+} % | {:.2} % | {:.2} % | {:.2} % | {:.2} % | {:.2} |",
            tails(*noise),
            noise.spread_pct,
            share_pct(outcomes.plain, outcomes.comparisons),
            share_pct(outcomes.one_run, outcomes.comparisons),
            share_pct(outcomes.fixed, outcomes.comparisons),
            share_pct(outcomes.gate, outcomes.comparisons),
            outcomes.mean_runs()
        );
    }
    let _ = write!(
        text,
        "
## One endpoint of many

{ENDPOINTS} endpoints, each with noise of its own. The first two columns: none changed, and yet any is over its limit, or
FAILs. The last two: one is three times as slow and FAILs; any of the others does. Shares are of {} comparisons.

| tails | spread | any over its limit | any FAILs | the slow one FAILs | any other FAILs |
|---|---:|---:|---:|---:|---:|
",
        endpoints[0].1[0].comparisons
    );
    for (noise, [same, slow]) in endpoints {
        let _ = writeln!(
            text,
            "| {} | {} % | {:.2} % | {:.2} % | {:.2} % | {:.2} % |",
            tails(*noise),
            noise.spread_pct,
            share_pct(same.any_over, same.comparisons),
            share_pct(same.any_failed, same.comparisons),
            share_pct(slow.slow_failed, slow.comparisons),
            share_pct(slow.any_failed, slow.comparisons)
        );
    }
    text
}

fn drift_table(drift: &[DriftOutcomes]) -> String {
    let mut text = format!(
        "
## On a machine that drifts

The machine gets 30 % slower over the session, evenly; the spread from run to run is 10 %, half of whose variance the
two runs of a round share. **committed**: {RUNS} runs of the baseline, then the gate's runs against them. **rounds**:
`--against`, this tree and the other commit in turn, up to {ROUNDS} rounds, judged by their differences. The last column:
how often the interval of {ROUNDS} rounds, at 95 % for one look, holds the true change. Shares are of {} comparisons.

| true change | committed FAILs | rounds FAIL | rounds made | interval holds it |
|---:|---:|---:|---:|---:|
",
        drift[0].comparisons
    );
    for seen in drift {
        let _ = writeln!(
            text,
            "| {:+} % | {:.2} % | {:.2} % | {:.2} | {:.2} % |",
            seen.change_pct,
            share_pct(seen.committed, seen.comparisons),
            share_pct(seen.interleaved, seen.comparisons),
            seen.rounds as f64 / seen.comparisons as f64,
            share_pct(seen.covered, seen.comparisons)
        );
    }
    text
}

fn tails(noise: Noise) -> &'static str {
    if noise.heavy_tails { "heavy" } else { "normal" }
}
