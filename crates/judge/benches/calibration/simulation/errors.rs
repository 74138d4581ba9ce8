//! Error rates: whether more failures are found, and how often the intervals miss.

use fastrand::Rng;
use judge::model::run::Run;
use judge::stats::counts::{Counts, Rates};

use super::draw::{baseline, binomial, run, stats};
use super::on_all_cores;
use super::rules::{BASELINE_RUNS, MAX_RUNS, gate, rules};
use super::table::{Cell, Table};

/// What happens to the error rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Case {
    pub what: &'static str,
    /// Requests in a run, and endpoints with as many each; none where all requests together are asked.
    pub requests: u64,
    pub endpoints: usize,
    /// The rates before and after, in percent.
    pub before_pct: f64,
    pub after_pct: f64,
    /// The standard deviation of the logarithm of the rate from run to run, in percent.
    pub spread_pct: f64,
}

const CASES: [Case; 6] = [
    Case {
        what: "of 30 endpoints, one",
        requests: 187,
        endpoints: 30,
        before_pct: 0.0,
        after_pct: 5.0,
        spread_pct: 0.0,
    },
    Case {
        what: "of 100 endpoints, one",
        requests: 50,
        endpoints: 100,
        before_pct: 0.0,
        after_pct: 20.0,
        spread_pct: 0.0,
    },
    Case { what: "of all requests", requests: 450, endpoints: 0, before_pct: 0.0, after_pct: 3.0, spread_pct: 0.0 },
    Case { what: "of all requests", requests: 450, endpoints: 0, before_pct: 1.0, after_pct: 1.0, spread_pct: 0.0 },
    Case {
        what: "of 30 endpoints, any",
        requests: 187,
        endpoints: 30,
        before_pct: 1.0,
        after_pct: 1.0,
        spread_pct: 0.0,
    },
    Case {
        what: "of 30 endpoints, any",
        requests: 187,
        endpoints: 30,
        before_pct: 2.0,
        after_pct: 2.0,
        spread_pct: 70.0,
    },
];

/// What came of many comparisons.
#[derive(Clone, Copy, Debug)]
pub struct Errors {
    pub case: Case,
    pub comparisons: usize,
    pub fails: usize,
    pub runs: usize,
}

pub fn all(comparisons: usize) -> Vec<Errors> {
    on_all_cores(&CASES, |seed, case| simulate(*case, comparisons, 3000 + seed))
}

fn simulate(case: Case, comparisons: usize, start: u64) -> Errors {
    let rules = rules(MAX_RUNS);
    let mut random = Rng::with_seed(start);
    let names: Vec<Box<str>> = (0..case.endpoints).map(|number| format!("GET /{number:03}").into()).collect();
    let mut seen = Errors { case, comparisons, fails: 0, runs: 0 };
    for _ in 0..comparisons {
        let mut draw = |rate_pct: f64, is_changed: bool| -> Run {
            let mut drawn = run(1.0);
            let mut with_failures = |rate_pct: f64| {
                let rate = rate_pct / 100.0 * super::draw::factor(&mut random, case.spread_pct);
                let mut stats = stats(1.0);
                stats.requests = case.requests;
                stats.failures = binomial(&mut random, case.requests, rate);
                stats
            };
            if case.endpoints == 0 {
                drawn.total = with_failures(rate_pct);
            }
            for (place, name) in names.iter().enumerate() {
                let rate_pct = if place > 0 && is_changed { case.before_pct } else { rate_pct };
                drawn.endpoints.push((name.clone(), with_failures(rate_pct)));
            }
            drawn
        };
        let before: Vec<Run> = (0..BASELINE_RUNS).map(|_| draw(case.before_pct, false)).collect();
        let after: Vec<Run> = (0..MAX_RUNS).map(|_| draw(case.after_pct, true)).collect();
        let (fails, runs) = gate(&baseline(&before), &after, &rules, |comparison| {
            comparison.total.iter().chain(&comparison.endpoints).any(judge::verdict::decision::Row::is_failure)
        });
        seen.fails += usize::from(fails);
        seen.runs += runs;
    }
    seen
}

pub fn table(seen: &[Errors]) -> Table {
    let row = |seen: &Errors| {
        let Case { what, requests, before_pct, after_pct, spread_pct, .. } = seen.case;
        let varies = if spread_pct > 0.0 { format!(", which varies by {spread_pct}%") } else { String::new() };
        vec![
            Cell::label(format!("{what}, {requests} requests each")),
            Cell::label(format!("{before_pct} -> {after_pct}%{varies}")),
            Cell::share(seen.fails, seen.comparisons),
            Cell::mean(seen.runs, seen.comparisons),
        ]
    };
    Table {
        heading: "Errors",
        text: format!("Failures are binomial. Shares are of {} comparisons.", seen[0].comparisons),
        columns: vec!["which", "error rate", "gate FAILs", "its runs"],
        rows: seen.iter().map(row).collect(),
    }
}

pub const REQUESTS: [u64; 4] = [50, 100, 450, 1500];
pub const RATES_PCT: [f64; 7] = [0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 20.0];

/// How often the interval of the change misses it, at one look.
#[derive(Clone, Copy, Debug)]
pub struct Coverage {
    pub baseline_runs: usize,
    pub runs: usize,
    pub requests: u64,
    pub draws: usize,
    /// The most that it missed at any of [`RATES_PCT`], against the same rate or twice that and 1%.
    pub most_missed: usize,
}

pub fn all_coverage(draws: usize) -> Vec<Coverage> {
    let mut items = Vec::new();
    for (baseline_runs, runs) in [(BASELINE_RUNS, 1), (BASELINE_RUNS, 3), (1, 3)] {
        items.extend(REQUESTS.map(|requests| (baseline_runs, runs, requests)));
    }
    on_all_cores(&items, |seed, (baseline_runs, runs, requests)| {
        let mut random = Rng::with_seed(4000 + seed);
        let mut worst =
            Coverage { baseline_runs: *baseline_runs, runs: *runs, requests: *requests, draws, most_missed: 0 };
        for before_pct in RATES_PCT {
            for after_pct in [before_pct, 2.0 * before_pct + 1.0] {
                worst.most_missed = worst.most_missed.max(missed(&mut random, &worst, before_pct, after_pct));
            }
        }
        worst
    })
}

fn missed(random: &mut Rng, of: &Coverage, before_pct: f64, after_pct: f64) -> usize {
    let mut missed = 0;
    for _ in 0..of.draws {
        let mut draw = |runs: usize, rate_pct: f64| -> Vec<Counts> {
            let mut one = || binomial(random, of.requests, rate_pct / 100.0) as f64;
            (0..runs).map(|_| Counts { failures: one(), requests: of.requests as f64 }).collect()
        };
        let (before, after) = (draw(of.baseline_runs, before_pct), draw(of.runs, after_pct));
        let interval = Rates::between(&before, &after).expect("several runs").interval(0.05);
        missed += usize::from(!(interval.low..=interval.high).contains(&(after_pct - before_pct)));
    }
    missed
}

pub fn coverage_table(seen: &[Coverage]) -> Table {
    let row = |seen: &Coverage| {
        vec![
            Cell::label(format!("{} and {}", seen.baseline_runs, seen.runs)),
            Cell::label(seen.requests.to_string()),
            Cell::share(seen.most_missed, seen.draws),
        ]
    };
    Table {
        heading: "Intervals of an error rate",
        text: format!(
            "How often the 95% interval of the change does not contain the true change: the worst of 14 pairs of rates from 0 to 41%, with {} draws each.",
            seen[0].draws
        ),
        columns: vec!["runs", "requests in a run", "it misses, at worst"],
        rows: seen.iter().map(row).collect(),
    }
}
