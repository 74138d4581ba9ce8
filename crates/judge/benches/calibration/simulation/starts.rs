//! Services whose p95 jumps: between fast and slow requests, or from start to start.

use fastrand::Rng;
use judge::model::run::Run;

use super::draw::{baseline, bimodal, factor, run};
use super::on_all_cores;
use super::rules::{BASELINE_RUNS, MAX_RUNS, Outcomes, rules, verdict};
use super::table::{Cell, Table};

const SPREAD_PCT: f64 = 4.0;
const REQUESTS: u64 = 6000;

/// A service some of whose requests take ten times as long.
#[derive(Clone, Copy, Debug)]
pub struct Bimodal {
    /// The share of slow requests, in percent, before and after.
    pub before_pct: f64,
    pub after_pct: f64,
    /// So much slower all requests became, in percent.
    pub change_pct: f64,
    pub comparisons: usize,
    pub gate: Outcomes,
}

pub fn all_bimodal(comparisons: usize) -> Vec<Bimodal> {
    let shares = [4.0, 4.5, 4.75, 5.0, 5.25, 5.5, 6.0];
    let mut items: Vec<(f64, f64, f64)> = shares.map(|share| (share, share, 0.0)).into();
    items.extend(shares.map(|share| (share, share, 30.0)));
    items.extend([(4.0, 7.0, 0.0), (5.0, 8.0, 0.0)]);
    on_all_cores(&items, |seed, (before_pct, after_pct, change_pct)| {
        let mut random = Rng::with_seed(5000 + seed);
        let none = Outcomes::default();
        let (before_pct, after_pct, change_pct) = (*before_pct, *after_pct, *change_pct);
        let mut seen = Bimodal { before_pct, after_pct, change_pct, comparisons, gate: none };
        for _ in 0..comparisons {
            let mut draw = |runs: usize, share_pct: f64, change_pct: f64| -> Vec<Run> {
                let mut one = || {
                    let slower = factor(&mut random, SPREAD_PCT) * (1.0 + change_pct / 100.0);
                    bimodal(&mut random, REQUESTS, share_pct / 100.0, slower)
                };
                (0..runs).map(|_| one()).collect()
            };
            let (before, after) = (draw(BASELINE_RUNS, before_pct, 0.0), draw(MAX_RUNS, after_pct, change_pct));
            seen.gate.add(verdict(&baseline(&before), &after, &rules(MAX_RUNS)));
        }
        seen
    })
}

pub fn bimodal_table(seen: &[Bimodal]) -> Table {
    let row = |seen: &Bimodal| {
        let of = seen.comparisons;
        vec![
            Cell::label(format!("{} -> {}%", seen.before_pct, seen.after_pct)),
            Cell::label(format!("{:+}%", seen.change_pct)),
            Cell::share(seen.gate.fails, of),
            Cell::mean(seen.gate.runs, of),
        ]
    };
    Table {
        heading: "A p95 in a gap",
        text: format!(
            "A request takes 20 ms, or 200 ms in about 5% of cases, so that the p95 of a run is one or the other by chance. {REQUESTS}
requests per run, {SPREAD_PCT}% spread. If the requests of the runs leave their p95 uncertain by a factor of two, p90 or p98 must be
over the limit too, or the mean significantly up, at 1%. Shares are of {} comparisons.",
            seen[0].comparisons
        ),
        columns: vec!["slow requests", "all of them slower by", "gate FAILs", "its runs"],
        rows: seen.iter().map(row).collect(),
    }
}

/// A service that is twice as slow in a third of its starts.
#[derive(Clone, Copy, Debug)]
pub struct Starts {
    pub change_pct: f64,
    pub comparisons: usize,
    pub gate: Outcomes,
}

pub fn all(comparisons: usize) -> Vec<Starts> {
    on_all_cores(&[0.0, 30.0, 50.0, 100.0], |seed, change_pct| {
        let mut random = Rng::with_seed(6000 + seed);
        let none = Outcomes::default();
        let mut seen = Starts { change_pct: *change_pct, comparisons, gate: none };
        for _ in 0..comparisons {
            let mut draw = |runs: usize, change_pct: f64| -> Vec<f64> {
                let mut one = || {
                    let start = if random.f64() < 1.0 / 3.0 { 2.0 } else { 1.0 };
                    300.0 * start * factor(&mut random, SPREAD_PCT) * (1.0 + change_pct / 100.0)
                };
                (0..runs).map(|_| one()).collect()
            };
            let (before, after) = (draw(BASELINE_RUNS, 0.0), draw(MAX_RUNS, *change_pct));
            let of = |p95_ms: &[f64]| p95_ms.iter().map(|p95_ms| run(p95_ms / 300.0)).collect::<Vec<Run>>();
            seen.gate.add(verdict(&baseline(&of(&before)), &of(&after), &rules(MAX_RUNS)));
        }
        seen
    })
}

pub fn table(seen: &[Starts]) -> Table {
    let row = |seen: &Starts| {
        let of = seen.comparisons;
        vec![
            Cell::label(format!("{:+}%", seen.change_pct)),
            Cell::share(seen.gate.fails, of),
            Cell::mean(seen.gate.runs, of),
        ]
    };
    Table {
        heading: "A service that is slow in some of its starts",
        text: format!(
            "The service is twice as slow in a third of its starts, with {SPREAD_PCT}% spread otherwise. No rule for a few starts can do much:
whether three of eight starts are slow, or one, is chance, and changes the estimate by more than the limit. The gate notices the
spread and makes more runs, but it cannot distinguish such a service from a noisy machine. Allow more runs, set a wider limit, or
make every start the same.
Shares are of {} comparisons.",
            seen[0].comparisons
        ),
        columns: vec!["true change", "gate FAILs", "its runs"],
        rows: seen.iter().map(row).collect(),
    }
}
