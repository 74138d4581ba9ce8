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

use simulation::promises::Promise;
use simulation::table::{Cell, Table};
use simulation::{Simulation, Sizes};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/calibration.md");

const FULL: Sizes =
    Sizes { series: 5000, endpoints: 1000, errors: 3000, starts: 3000, dependence: 3000, rounds: 5000, requests: 200 };
const SMOKE: Sizes =
    Sizes { series: 20, endpoints: 2, errors: 10, starts: 10, dependence: 10, rounds: 20, requests: 1 };

const PROMISES: &str = "\
Each row is a bound that the simulation must keep. The number of a row stands for its subject: 1: one series; 2: one endpoint of
many; 3: errors; 4: warnings; 5: a p95 in a gap; 6: a baseline of one run; 7 and 9: confirmed FAILs; 8: a machine that drifts;
10: services and machines; 11: slow requests and stalls; 12 and 13: many endpoints.";

fn main() -> io::Result<ExitCode> {
    let is_bench = env::args().any(|arg| arg == "--bench");
    let started = Instant::now();
    let simulation = Simulation::run(if is_bench { FULL } else { SMOKE });
    let promises = simulation.promises(0.0);
    let text = document(&promises, &simulation);
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

fn document(promises: &[Promise], simulation: &Simulation) -> String {
    let mut text = include_str!("preface.md").to_owned();
    let _ = write!(text, "\n## What is promised\n\n{PROMISES}\n\n| promise | seen | |\n|---|---:|---|\n");
    for Promise { what, seen, is_kept } in promises {
        let _ = writeln!(text, "| {what} | {seen} | {} |", if *is_kept { "kept" } else { "**broken**" });
    }
    for table in simulation.tables() {
        text.push_str(&markdown(&table));
    }
    text
}

fn markdown(table: &Table) -> String {
    let mut text = format!("\n## {}\n\n{}\n\n", table.heading, table.text.trim());
    let aligned = |column: usize| if column == 0 { "---" } else { "---:" };
    let rule: Vec<&str> = (0..table.columns.len()).map(aligned).collect();
    let _ = writeln!(text, "| {} |\n|{}|", table.columns.join(" | "), rule.join("|"));
    for row in &table.rows {
        let cells: Vec<String> = row.iter().map(shown).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Label(text) => text.clone(),
        Cell::Share(share) => format!("{:.2}%", share.pct()),
        Cell::Mean(mean) => format!("{:.2}", mean.value()),
    }
}
