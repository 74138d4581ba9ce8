//! One series, the p95 of all requests together: how often each rule FAILs, and after how many runs.

use fastrand::Rng;
use judge::baseline::file::Baseline;
use judge::model::run::Run;
use judge::verdict::compare::{Verdict, compare};

use super::draw::{baseline, factor, hit, run};
use super::on_all_cores;
use super::rules::{BASELINE_RUNS, LIMIT_PCT, MAX_RUNS, Outcomes, rules, verdict};
use super::table::{Cell, Table};

pub const SPREADS_PCT: [f64; 4] = [2.0, 5.0, 10.0, 15.0];
pub const CHANGES_PCT: [f64; 7] = [0.0, 5.0, 10.0, 15.0, 25.0, 30.0, 50.0];

/// Fewer runs than the gate takes, to show what its runs are worth.
pub const FEW_RUNS: usize = 5;

/// One run in ten is hit by a neighbour, where tails are heavy.
const HIT_SHARE: f64 = 0.1;

/// How the latencies of the same service scatter from run to run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// The standard deviation of their logarithm, in percent.
    pub spread_pct: f64,
    pub heavy_tails: bool,
}

impl Noise {
    fn factor(self, random: &mut Rng) -> f64 {
        let hit_share = if self.heavy_tails { HIT_SHARE } else { 0.0 };
        factor(random, self.spread_pct) * hit(random, hit_share)
    }
}

/// A service that changed so much, under such noise.
#[derive(Clone, Copy, Debug)]
pub struct Series {
    pub noise: Noise,
    pub change_pct: f64,
    pub comparisons: usize,
    /// One run on each side.
    pub plain: Outcomes,
    /// The gate with [`FEW_RUNS`] on either side.
    pub with_few: Outcomes,
    pub gate: Outcomes,
}

impl Series {
    /// Whether a FAIL is wrong.
    pub fn is_within(&self) -> bool {
        self.change_pct <= LIMIT_PCT
    }
}

pub fn all(comparisons: usize) -> Vec<Series> {
    let mut items = Vec::new();
    for heavy_tails in [false, true] {
        for spread_pct in SPREADS_PCT {
            items.extend(CHANGES_PCT.map(|change_pct| (Noise { spread_pct, heavy_tails }, change_pct)));
        }
    }
    on_all_cores(&items, |seed, (noise, change_pct)| simulate(*noise, *change_pct, comparisons, seed))
}

fn simulate(noise: Noise, change_pct: f64, comparisons: usize, start: u64) -> Series {
    let mut random = Rng::with_seed(start);
    let none = Outcomes::default();
    let mut seen = Series { noise, change_pct, comparisons, plain: none, with_few: none, gate: none };
    for _ in 0..comparisons {
        let mut draw = |runs: usize, change_pct: f64| -> Vec<f64> {
            (0..runs).map(|_| 300.0 * noise.factor(&mut random) * (1.0 + change_pct / 100.0)).collect()
        };
        let (before, after) = (draw(BASELINE_RUNS, 0.0), draw(MAX_RUNS, change_pct));
        seen.plain.add((after[0] / before[0] > 1.0 + LIMIT_PCT / 100.0, 1));
        let of = |p95_ms: &[f64]| p95_ms.iter().map(|p95_ms| run(p95_ms / 300.0)).collect::<Vec<Run>>();
        let (before, after) = (of(&before), of(&after));
        seen.with_few.add(verdict(&baseline(&before[..FEW_RUNS]), &after[..FEW_RUNS], &rules(FEW_RUNS)));
        seen.gate.add(verdict(&baseline(&before), &after, &rules(MAX_RUNS)));
    }
    seen
}

pub fn table(series: &[Series]) -> Table {
    let row = |seen: &Series| {
        let of = seen.comparisons;
        let mut cells = vec![
            Cell::label(if seen.noise.heavy_tails { "heavy" } else { "normal" }),
            Cell::label(format!("{}%", seen.noise.spread_pct)),
            Cell::label(format!("{:+}%", seen.change_pct)),
            Cell::share(seen.plain.fails, of),
        ];
        for outcomes in [seen.with_few, seen.gate] {
            cells.extend([Cell::share(outcomes.fails, of), Cell::mean(outcomes.runs, of)]);
        }
        cells
    };
    Table {
        heading: "One series",
        text: format!(
            "The p95 of a run is log-normal with the given spread from run to run. With heavy tails, another program on the machine makes
one run in ten 50% slower. Up to +20%, a FAIL is a false alarm; above that, a PASS is a miss. Shares are of {}
comparisons.

- **plain**: one baseline run, one candidate run, and a FAIL if the change is over the limit.
- **5 and 5**: the gate with {FEW_RUNS} baseline runs and up to {FEW_RUNS} candidate runs.
- **gate**: the gate with {BASELINE_RUNS} baseline runs and up to {MAX_RUNS} candidate runs.",
            series[0].comparisons
        ),
        columns: vec![
            "tails",
            "spread",
            "true change",
            "plain FAILs",
            "5 and 5 FAILs",
            "its runs",
            "gate FAILs",
            "its runs",
        ],
        rows: series.iter().map(row).collect(),
    }
}

/// A service that is judged by a baseline of one run.
#[derive(Clone, Copy, Debug)]
pub struct OneRun {
    pub spread_pct: f64,
    pub change_pct: f64,
    pub comparisons: usize,
    pub plain: Outcomes,
    pub gate: Outcomes,
}

pub fn all_one_run(comparisons: usize) -> Vec<OneRun> {
    let items: Vec<(f64, f64)> =
        [5.0, 10.0].into_iter().flat_map(|spread_pct| [0.0, 30.0, 50.0].map(|change| (spread_pct, change))).collect();
    on_all_cores(&items, |seed, (spread_pct, change_pct)| {
        let mut random = Rng::with_seed(1000 + seed);
        let none = Outcomes::default();
        let rules = rules(MAX_RUNS);
        let (spread_pct, change_pct) = (*spread_pct, *change_pct);
        let mut seen = OneRun { spread_pct, change_pct, comparisons, plain: none, gate: none };
        for _ in 0..comparisons {
            let before: Baseline = baseline(&[run(factor(&mut random, spread_pct))]);
            let change = 1.0 + change_pct / 100.0;
            let after: Vec<Run> = (0..MAX_RUNS).map(|_| run(factor(&mut random, spread_pct) * change)).collect();
            let once = compare(&before, &after[..1], &rules).expect("drawn runs compare");
            seen.plain.add((once.verdict == Verdict::Fail, 1));
            seen.gate.add(verdict(&before, &after, &rules));
        }
        seen
    })
}

pub fn one_run_table(seen: &[OneRun]) -> Table {
    let row = |seen: &OneRun| {
        vec![
            Cell::label(format!("{}%", seen.spread_pct)),
            Cell::label(format!("{:+}%", seen.change_pct)),
            Cell::share(seen.plain.fails, seen.comparisons),
            Cell::share(seen.gate.fails, seen.comparisons),
            Cell::mean(seen.gate.runs, seen.comparisons),
        ]
    };
    Table {
        heading: "A baseline of one run",
        text: format!(
            "A version 1.0 baseline has one run. **plain**: one candidate run. **gate**: at least three candidate runs. No number of
candidate runs can show how far off the one run of the baseline was. Shares are of {} comparisons.",
            seen[0].comparisons
        ),
        columns: vec!["spread", "true change", "plain FAILs", "gate FAILs", "its runs"],
        rows: seen.iter().map(row).collect(),
    }
}
