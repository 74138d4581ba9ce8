//! A FAIL by the stored numbers that is confirmed in rounds, on the machine of the baseline and on a slower one.

use fastrand::Rng;
use judge::model::limits::Rules;
use judge::model::run::Run;

use super::draw::{baseline, factor, run};
use super::on_all_cores;
use super::rounds::ROUNDS;
use super::rules::{BASELINE_RUNS, MAX_RUNS, judge_rounds, rules, verdict};
use super::table::{Cell, Table};

/// The machine and the change of many comparisons, in percent.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// How much slower the machine is than when the baseline was recorded.
    pub slower: f64,
    pub change: f64,
    pub spread: f64,
}

/// What came of many comparisons.
#[derive(Clone, Copy, Debug)]
pub struct Confirmation {
    pub case: Case,
    pub comparisons: usize,
    /// FAILs by the stored numbers, and the runs made for them.
    pub stored: super::rules::Outcomes,
    /// FAILs that the rounds after them confirm, and the runs of both stages and both sides.
    pub confirmed: super::rules::Outcomes,
}

pub fn all(comparisons: usize) -> Vec<Confirmation> {
    let mut cases = Vec::new();
    for (slower, change) in [(0.0, 0.0), (30.0, 0.0), (0.0, 30.0), (30.0, 30.0)] {
        for spread in [2.0, 5.0, 10.0, 15.0] {
            cases.push(Case { slower, change, spread });
        }
    }
    on_all_cores(&cases, |seed, case| simulate(*case, comparisons, 9000 + seed))
}

fn simulate(case: Case, comparisons: usize, start: u64) -> Confirmation {
    let (machine, change) = (1.0 + case.slower / 100.0, 1.0 + case.change / 100.0);
    let by_rounds = Rules { paired: true, min_runs: 2, max_runs: ROUNDS, ..Rules::default() };
    let mut random = Rng::with_seed(start);
    let none = super::rules::Outcomes::default();
    let mut seen = Confirmation { case, comparisons, stored: none, confirmed: none };
    for _ in 0..comparisons {
        let mut runs = |number: usize, slower: f64| -> Vec<Run> {
            (0..number).map(|_| run(slower * factor(&mut random, case.spread))).collect()
        };
        let before = baseline(&runs(BASELINE_RUNS, 1.0));
        let after = runs(MAX_RUNS, machine * change);
        let (fails, made) = verdict(&before, &after, &rules(MAX_RUNS));
        seen.stored.add((fails, made));
        if fails {
            let (mut other, mut this) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                let half = case.spread * 0.5f64.sqrt();
                let shared = machine * factor(&mut random, half);
                other.push(run(shared * factor(&mut random, half)));
                this.push(run(shared * factor(&mut random, half) * change));
            }
            let (confirmed, rounds) = judge_rounds(&other, &this, &by_rounds);
            seen.confirmed.add((confirmed, made + 2 * rounds));
        } else {
            seen.confirmed.add((false, made));
        }
    }
    seen
}

pub fn table(seen: &[Confirmation]) -> Table {
    let row = |seen: &Confirmation| {
        let Case { slower, change, spread } = seen.case;
        let machine = if slower == 0.0 { "the baseline's" } else { "30% slower" };
        vec![
            Cell::label(machine.to_owned()),
            Cell::label(format!("{change:+}%")),
            Cell::label(format!("{spread}%")),
            Cell::share(seen.stored.fails, seen.comparisons),
            Cell::mean(seen.stored.runs, seen.comparisons),
            Cell::share(seen.confirmed.fails, seen.comparisons),
            Cell::mean(seen.confirmed.runs, seen.comparisons),
        ]
    };
    Table {
        heading: "A FAIL that is confirmed",
        text: format!(
            "With `--confirm`, a FAIL by the stored numbers counts only if rounds of the baseline's commit and the working tree FAIL too, on
the machine as it is now. The two runs of a round share half of the variance. **numbers**: {BASELINE_RUNS} runs of the baseline, then
the gate's runs compared with them. **confirmed**: the same, and up to {ROUNDS} rounds if these FAIL; the runs of both stages count,
two per round. Shares are of {} comparisons.",
            seen[0].comparisons
        ),
        columns: vec![
            "machine",
            "true change",
            "spread",
            "numbers FAIL",
            "their runs",
            "confirmed FAILs",
            "runs in all",
        ],
        rows: seen.iter().map(row).collect(),
    }
}
