//! Rounds of two commits on a machine that drifts.

use fastrand::Rng;
use judge::model::limits::Rules;
use judge::model::run::{Metric, Run};
use judge::verdict::compare::compare;

use super::draw::{baseline, normal, run};
use super::on_all_cores;
use super::rules::{BASELINE_RUNS, MAX_RUNS, judge_rounds, rules, verdict};
use super::table::{Cell, Table};

/// Rounds of a comparison with another commit, at most.
pub const ROUNDS: usize = 7;

/// The same if the runs vary by more than 10%.
pub const NOISY_ROUNDS: usize = 10;

/// So much slower the machine gets over the session, evenly.
const DRIFT: f64 = 1.3;
/// The spread from run to run, half of whose variance is shared by the runs of a round.
const ROUND_SPREAD: f64 = 0.1;

/// What came of many sessions on a machine that drifts.
#[derive(Clone, Copy, Debug)]
pub struct Drift {
    pub comparisons: usize,
    pub change_pct: f64,
    /// FAILs of a baseline measured first and judged by afterwards.
    pub committed: usize,
    /// FAILs of rounds, and the rounds made.
    pub rounds: super::rules::Outcomes,
    /// Sessions in which the interval of all rounds holds the true change.
    pub covered: usize,
}

pub fn all(comparisons: usize) -> Vec<Drift> {
    on_all_cores(&[0.0, 10.0, 30.0, 50.0], |seed, change_pct| simulate(*change_pct, comparisons, 8000 + seed))
}

fn simulate(change_pct: f64, comparisons: usize, start: u64) -> Drift {
    let change = 1.0 + change_pct / 100.0;
    let by_rounds = Rules { paired: true, min_runs: 2, max_runs: ROUNDS, ..Rules::default() };
    let mut random = Rng::with_seed(start);
    let none = super::rules::Outcomes::default();
    let mut seen = Drift { comparisons, change_pct, committed: 0, rounds: none, covered: 0 };
    for _ in 0..comparisons {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let shared = normal(&mut random);
            let mut at = |slot: usize| drifted(&mut random, shared, slot, 2 * ROUNDS);
            let [first, second] = [at(2 * round), at(2 * round + 1)];
            // One order, then the other.
            let (this, other) = if round % 2 == 0 { (first, second) } else { (second, first) };
            before.push(other);
            after.push(this * change);
        }
        let of = |factors: &[f64]| factors.iter().map(|factor| run(*factor)).collect::<Vec<Run>>();
        let (before, after) = (of(&before), of(&after));
        seen.rounds.add(judge_rounds(&before, &after, &by_rounds));
        let all_before = baseline(&before);
        let p95 = compare(&all_before, &after, &by_rounds).expect("drawn runs compare").total;
        let interval =
            p95.iter().find(|row| row.metric == Metric::P95).and_then(|row| row.evidence.interval).expect("noise");
        seen.covered += usize::from((interval.low..=interval.high).contains(&change_pct));

        let slots = BASELINE_RUNS + MAX_RUNS;
        let mut session: Vec<Run> = Vec::new();
        for slot in 0..slots {
            let shared = normal(&mut random);
            let factor = drifted(&mut random, shared, slot, slots);
            session.push(run(if slot < BASELINE_RUNS { factor } else { factor * change }));
        }
        let (fails, _) = verdict(&baseline(&session[..BASELINE_RUNS]), &session[BASELINE_RUNS..], &rules(MAX_RUNS));
        seen.committed += usize::from(fails);
    }
    seen
}

/// What the machine and the run make of a latency, in one slot of so many.
fn drifted(random: &mut Rng, shared: f64, slot: usize, slots: usize) -> f64 {
    let noise = ROUND_SPREAD * (0.5f64.sqrt() * shared + 0.5f64.sqrt() * normal(random));
    (DRIFT.ln() * slot as f64 / (slots - 1) as f64 + noise).exp()
}

pub fn table(seen: &[Drift]) -> Table {
    let row = |seen: &Drift| {
        let of = seen.comparisons;
        vec![
            Cell::label(format!("{:+}%", seen.change_pct)),
            Cell::share(seen.committed, of),
            Cell::share(seen.rounds.fails, of),
            Cell::mean(seen.rounds.runs, of),
            Cell::share(seen.covered, of),
        ]
    };
    Table {
        heading: "On a machine that drifts",
        text: format!(
            "The machine gets 30% slower over the session, evenly. The spread from run to run is 10%, and the two runs of a round share
half of its variance. **committed**: {BASELINE_RUNS} runs of the baseline, then the gate's runs compared with them. **rounds**:
`--against`, the working tree and the other commit alternately, up to {ROUNDS} rounds, judged by their differences. The last column
shows how often the 95% interval of {ROUNDS} rounds contains the true change. Shares are of {} comparisons.",
            seen[0].comparisons
        ),
        columns: vec![
            "true change",
            "committed FAILs",
            "rounds FAIL",
            "rounds made",
            "interval holds it",
        ],
        rows: seen.iter().map(row).collect(),
    }
}
