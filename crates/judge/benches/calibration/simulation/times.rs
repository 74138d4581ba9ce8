//! Seconds to a verdict: fewer long runs, or more short ones of the same load.

use fastrand::Rng;
use judge::model::run::Run;

use super::draw::{baseline, factor, run};
use super::on_all_cores;
use super::rules::{Outcomes, rules, verdict};
use super::table::{Cell, Table};

/// How the load is divided.
#[derive(Clone, Copy, Debug)]
struct Division {
    run_s: f64,
    baseline_runs: usize,
    max_runs: usize,
}

const DIVISIONS: [Division; 3] = [
    Division { run_s: 30.0, baseline_runs: 10, max_runs: 8 },
    Division { run_s: 20.0, baseline_runs: 15, max_runs: 12 },
    Division { run_s: 10.0, baseline_runs: 30, max_runs: 24 },
];

/// The scatter of the p95 of the requests of 30 s, in percent: 1,800 log-normal requests.
const SCATTER_PCT: f64 = 2.4;

/// What a run costs beside its load: the start of the service and of Locust, and their stop.
const STARTS_S: [f64; 2] = [2.0, 6.0];

/// What came of many comparisons.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    division: Division,
    spread_pct: f64,
    change_pct: f64,
    comparisons: usize,
    gate: Outcomes,
}

pub fn all(comparisons: usize) -> Vec<Times> {
    let mut items = Vec::new();
    for spread_pct in [2.0, 5.0, 10.0] {
        for change_pct in [0.0, 30.0] {
            items.extend(DIVISIONS.map(|division| (division, spread_pct, change_pct)));
        }
    }
    on_all_cores(&items, |seed, (division, spread_pct, change_pct)| {
        let mut random = Rng::with_seed(11_000 + seed);
        let (division, spread_pct, change_pct): (Division, f64, f64) = (*division, *spread_pct, *change_pct);
        // The spread is that from start to start, which a longer run does not make smaller.
        let spread = spread_pct.hypot(SCATTER_PCT * (30.0 / division.run_s).sqrt());
        let mut seen = Times { division, spread_pct, change_pct, comparisons, gate: Outcomes::default() };
        for _ in 0..comparisons {
            let mut draw = |runs: usize, change_pct: f64| -> Vec<Run> {
                (0..runs).map(|_| run(factor(&mut random, spread) * (1.0 + change_pct / 100.0))).collect()
            };
            let (before, after) = (draw(division.baseline_runs, 0.0), draw(division.max_runs, change_pct));
            seen.gate.add(verdict(&baseline(&before), &after, &rules(division.max_runs)));
        }
        seen
    })
}

pub fn table(seen: &[Times]) -> Table {
    let row = |seen: &Times| {
        let Division { run_s, baseline_runs, max_runs } = seen.division;
        let mut cells = vec![
            Cell::label(format!("{}%", seen.spread_pct)),
            Cell::label(format!("{:+}%", seen.change_pct)),
            Cell::label(format!("{run_s} s, {baseline_runs} and up to {max_runs}")),
            Cell::share(seen.gate.fails, seen.comparisons),
            Cell::mean(seen.gate.runs, seen.comparisons),
        ];
        cells.extend(STARTS_S.map(|start_s| Cell::scaled(seen.gate.runs, seen.comparisons, run_s + start_s)));
        cells
    };
    Table {
        heading: "Seconds to a verdict",
        text: format!(
            "The same load in a few long runs or in more short runs. The spread is from start to start, and the p95 of 30 s of requests
scatters by another {SCATTER_PCT}%. A run takes the time of its load, and 2 or 6 s to start and stop the service and Locust. Shorter
runs are worthwhile if starts are cheap, because the variation from start to start is sampled more often. Shares are of {} comparisons.",
            seen[0].comparisons
        ),
        columns: vec!["spread", "true change", "runs", "FAILs", "its runs", "s, starts of 2 s", "s, starts of 6 s"],
        rows: seen.iter().map(row).collect(),
    }
}
