//! Comparisons of drawn runs by the product's own `compare`: how often each rule FAILs, after how many runs, and whether
//! that is what is promised.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use distrs::Normal;
use fastrand::Rng;
use judge::baseline::Baseline;
use judge::compare::{Comparison, Verdict, compare};
use judge::histogram::Histogram;
use judge::limits::Rules;
use judge::run::{Metric, Precision, Provenance, Run, Stats};

pub const SPREADS_PCT: [f64; 4] = [2.0, 5.0, 10.0, 15.0];
pub const CHANGES_PCT: [f64; 7] = [0.0, 5.0, 10.0, 15.0, 25.0, 30.0, 50.0];

/// The limit of p95, in percent.
const LIMIT_PCT: f64 = 20.0;

/// Endpoints of a service, where one of many may fail.
pub const ENDPOINTS: usize = 30;

/// Runs of a baseline, and at most of a candidate.
pub const RUNS: usize = 5;

/// A run that a neighbour hits is so many times as slow; one in ten is, where tails are heavy.
const HIT_FACTOR: f64 = 1.5;
const HIT_SHARE: f64 = 0.1;

/// How the latencies of the same service scatter from run to run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// The standard deviation of their logarithm, in percent.
    pub spread_pct: f64,
    pub heavy_tails: bool,
}

impl Noise {
    /// Of one series in one run.
    fn factor(self, random: &mut Rng) -> f64 {
        (self.spread_pct / 100.0 * normal(random)).exp()
    }

    /// Of all that a run measures.
    fn hit(self, random: &mut Rng) -> f64 {
        if self.heavy_tails && random.f64() < HIT_SHARE { HIT_FACTOR } else { 1.0 }
    }
}

/// A standard normal deviate, by the inverse of its distribution.
fn normal(random: &mut Rng) -> f64 {
    // Never 0 or 1, whose deviates are infinite.
    Normal::ppf((random.f64() + f64::EPSILON / 2.0).min(1.0 - f64::EPSILON / 2.0), 0.0, 1.0)
}

/// What came of many comparisons.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcomes {
    pub comparisons: usize,
    /// FAILs of one baseline run against one candidate run.
    pub plain: usize,
    /// FAILs of all baseline runs against one candidate run.
    pub one_run: usize,
    /// FAILs of all baseline runs against as many candidate runs.
    pub fixed: usize,
    /// FAILs of the gate, and the candidate runs that it made.
    pub gate: usize,
    pub gate_runs: usize,
}

/// A service that changed so much, under such noise.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    pub noise: Noise,
    pub change_pct: f64,
    pub outcomes: Outcomes,
}

impl Outcomes {
    pub fn mean_runs(&self) -> f64 {
        self.gate_runs as f64 / self.comparisons as f64
    }
}

fn noises() -> impl Iterator<Item = Noise> {
    [false, true]
        .into_iter()
        .flat_map(|heavy_tails| SPREADS_PCT.into_iter().map(move |spread_pct| Noise { spread_pct, heavy_tails }))
}

/// Every change under every noise, drawn by all cores; the numbers depend on the seeds alone.
pub fn all_cells(comparisons: usize) -> Vec<Cell> {
    let cells = noises().flat_map(|noise| CHANGES_PCT.into_iter().map(move |change_pct| (noise, change_pct)));
    on_all_cores(&cells.collect::<Vec<_>>(), |seed, (noise, change_pct)| Cell {
        noise: *noise,
        change_pct: *change_pct,
        outcomes: simulate(*noise, *change_pct, comparisons, seed),
    })
}

/// Many endpoints under every noise: none changed, and one three times as slow.
pub fn all_endpoint_cells(comparisons: usize) -> Vec<(Noise, [EndpointOutcomes; 2])> {
    on_all_cores(&noises().collect::<Vec<_>>(), |seed, noise| {
        (*noise, [0.0, 200.0].map(|change_pct| simulate_endpoints(*noise, change_pct, comparisons, seed)))
    })
}

fn on_all_cores<T: Sync, R: Send>(items: &[T], work: impl Fn(u64, &T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        while let Some((place, item)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, items.get(at)?)))
        {
            done.push((place, work(place as u64, item)));
        }
        done
    };
    let mut done: Vec<(usize, R)> = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..thread::available_parallelism().map_or(1, usize::from)).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a simulation does not panic")).collect()
    });
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Rounds of a comparison with another commit, at most.
pub const ROUNDS: usize = 7;

/// So much slower the machine gets over the session, evenly.
const DRIFT: f64 = 1.3;
/// The spread from run to run, half of whose variance is shared by the runs of a round.
const ROUND_SPREAD: f64 = 0.1;

/// What came of many sessions on a machine that drifts.
#[derive(Clone, Copy, Debug)]
pub struct DriftOutcomes {
    pub comparisons: usize,
    pub change_pct: f64,
    /// FAILs where both sides are measured in rounds, and the rounds made.
    pub interleaved: usize,
    pub rounds: usize,
    /// FAILs of a baseline measured first and judged by afterwards.
    pub committed: usize,
    /// Sessions in which the interval of all rounds, at 95 % for one look, holds the true change.
    pub covered: usize,
}

pub fn all_drift_cells(comparisons: usize) -> Vec<DriftOutcomes> {
    on_all_cores(&[0.0, 10.0, 30.0, 50.0], |seed, change_pct| simulate_drift(*change_pct, comparisons, seed))
}

fn simulate_drift(change_pct: f64, comparisons: usize, seed: u64) -> DriftOutcomes {
    let change = 1.0 + change_pct / 100.0;
    let by_baseline = rules();
    let by_rounds = Rules { paired: true, min_runs: 2, max_runs: ROUNDS, ..rules() };
    let at_one_look = Rules { max_runs: 1, ..by_rounds.clone() };
    let mut random = Rng::with_seed(seed);
    let [mut interleaved, mut rounds, mut committed, mut covered] = [0; 4];
    for _ in 0..comparisons {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let shared = normal(&mut random);
            let mut at = |slot: usize| drifted(&mut random, shared, slot, 2 * ROUNDS);
            let [first, second] = [at(2 * round), at(2 * round + 1)];
            // One order, then the other.
            let (this, other) = if round % 2 == 0 { (first, second) } else { (second, first) };
            before.push(run(other));
            after.push(run(this * change));
        }
        let (failed, made) = judge_rounds(&before, &after, &by_rounds);
        interleaved += usize::from(failed);
        rounds += made;
        let all_before = baseline(&before);
        let p95 = compare(&all_before, &after, &at_one_look).expect("drawn runs compare").total;
        let interval =
            p95.iter().find(|row| row.metric == Metric::P95).and_then(|row| row.evidence.interval).expect("noise");
        covered += usize::from((interval.low..=interval.high).contains(&change_pct));

        let mut session: Vec<Run> = Vec::new();
        for slot in 0..2 * RUNS {
            let shared = normal(&mut random);
            let factor = drifted(&mut random, shared, slot, 2 * RUNS);
            session.push(run(if slot < RUNS { factor } else { factor * change }));
        }
        let (verdict, _) =
            gate(&baseline(&session[..RUNS]), &session[RUNS..], &by_baseline, |comparison| comparison.verdict);
        committed += usize::from(verdict == Verdict::Fail);
    }
    DriftOutcomes { comparisons, change_pct, interleaved, rounds, committed, covered }
}

/// What the machine and the run make of a latency, in one slot of so many.
fn drifted(random: &mut Rng, shared: f64, slot: usize, slots: usize) -> f64 {
    let noise = ROUND_SPREAD * (0.5f64.sqrt() * shared + 0.5f64.sqrt() * normal(random));
    (DRIFT.ln() * slot as f64 / (slots - 1) as f64 + noise).exp()
}

/// Round after round until no other is wanted: whether that FAILs, and the rounds made.
fn judge_rounds(before: &[Run], after: &[Run], rules: &Rules) -> (bool, usize) {
    let mut made = rules.min_runs;
    loop {
        let baseline = baseline(&before[..made]);
        let comparison = compare(&baseline, &after[..made], rules).expect("drawn runs compare");
        if !comparison.wants_another_run(rules) {
            return (comparison.verdict == Verdict::Fail, made);
        }
        made += 1;
    }
}

/// What is promised, what was seen, and whether that keeps it.
pub struct Promise {
    pub what: String,
    pub seen: String,
    pub is_kept: bool,
}

/// What the calibration must show. `slack` is in standard errors of the simulated share: 0 takes the numbers as they are,
/// a short simulation needs some.
pub fn promises(
    cells: &[Cell],
    endpoints: &[(Noise, [EndpointOutcomes; 2])],
    drift: &[DriftOutcomes],
    slack: f64,
) -> Vec<Promise> {
    let at = |spread_pct: f64, change_pct: f64| {
        let noise = Noise { spread_pct, heavy_tails: false };
        let is_it = |cell: &&Cell| cell.noise == noise && (cell.change_pct - change_pct).abs() < 0.1;
        cells.iter().find(is_it).expect("the cell is simulated").outcomes
    };
    let mut promises = Vec::new();
    let mut promise = |what: String, seen: f64, unit: &str, is_kept: bool| {
        promises.push(Promise { what, seen: format!("{seen:.2}{unit}"), is_kept });
    };
    for (spread_pct, most_pct) in [(5.0, 0.1), (10.0, 0.5)] {
        let seen = at(spread_pct, 0.0);
        let share = share_pct(seen.gate, seen.comparisons);
        let is_kept = share <= most_pct + slack * error_pct(most_pct, seen.comparisons);
        promise(format!("no change, {spread_pct} % spread: at most {most_pct} % FAIL"), share, " %", is_kept);
    }
    for (spread_pct, least_pct) in [(5.0, 99.0), (10.0, 88.0)] {
        let seen = at(spread_pct, 30.0);
        let share = share_pct(seen.gate, seen.comparisons);
        let is_kept = share >= least_pct - slack * error_pct(least_pct, seen.comparisons);
        promise(format!("+30 %, {spread_pct} % spread: at least {least_pct} % FAIL"), share, " %", is_kept);
    }
    let runs = at(2.0, 0.0).mean_runs();
    promise("no change, 2 % spread: at most 1.3 runs on average".to_owned(), runs, "", runs <= 1.3);
    let excess = |cell: &Cell| {
        let [gate, plain] =
            [cell.outcomes.gate, cell.outcomes.plain].map(|count| share_pct(count, cell.outcomes.comparisons));
        let worse = if cell.change_pct > LIMIT_PCT { plain - gate } else { gate - plain };
        worse - slack * error_pct(plain, cell.outcomes.comparisons)
    };
    let worst = cells.iter().map(excess).fold(f64::NEG_INFINITY, f64::max);
    promise("never more often wrong than the plain rule: at worst, points more".to_owned(), worst, "", worst <= 0.0);
    let noise = Noise { spread_pct: 10.0, heavy_tails: false };
    let (_, [seen, _]) = endpoints.iter().find(|(at, _)| *at == noise).expect("the cell is simulated");
    let share = share_pct(seen.any_failed, seen.comparisons);
    promise(
        format!("no change, 10 % spread, {ENDPOINTS} endpoints: any of them FAILs in at most 5 %"),
        share,
        " %",
        share <= 5.0 + slack * error_pct(5.0, seen.comparisons),
    );
    let same = drift.iter().find(|seen| seen.change_pct == 0.0).expect("no change is simulated");
    let share = share_pct(same.interleaved, same.comparisons);
    let is_kept = share <= 0.5 + slack * error_pct(0.5, same.comparisons);
    promise("no change on a drifting machine, in rounds: at most 0.5 % FAIL".to_owned(), share, " %", is_kept);
    let share = share_pct(same.committed, same.comparisons);
    promise("the same by a baseline measured before: more than 0.5 % FAIL".to_owned(), share, " %", share > 0.5);
    for seen in drift {
        let share = share_pct(seen.covered, seen.comparisons);
        let is_kept = (share - 95.0).abs() <= 2.0 + slack * error_pct(95.0, seen.comparisons);
        let what = format!("{:+} % in rounds: the 95 % interval holds it in 93 to 97 %", seen.change_pct);
        promise(what, share, " %", is_kept);
    }
    promises
}

/// In percent.
pub fn share_pct(count: usize, comparisons: usize) -> f64 {
    100.0 * count as f64 / comparisons as f64
}

/// The standard error, in points, of a share in percent among so many: that of a binomial proportion.
pub fn error_pct(share_pct: f64, comparisons: usize) -> f64 {
    (share_pct * (100.0 - share_pct) / comparisons as f64).sqrt()
}

fn rules() -> Rules {
    Rules { max_runs: RUNS, ..Rules::default() }
}

/// Many comparisons of a service whose latencies grew by `change_pct`.
fn simulate(noise: Noise, change_pct: f64, comparisons: usize, seed: u64) -> Outcomes {
    let rules = rules();
    let mut random = Rng::with_seed(seed);
    let mut outcomes = Outcomes { comparisons, ..Outcomes::default() };
    for _ in 0..comparisons {
        let mut runs = |change_pct: f64| -> Vec<Run> {
            (0..RUNS)
                .map(|_| run(noise.factor(&mut random) * noise.hit(&mut random) * (1.0 + change_pct / 100.0)))
                .collect()
        };
        let (before, after) = (runs(0.0), runs(change_pct));
        let baseline = baseline(&before);
        let fails = |baseline: &Baseline, runs: &[Run]| {
            usize::from(compare(baseline, runs, &rules).expect("drawn runs compare").verdict == Verdict::Fail)
        };
        outcomes.plain += fails(&self::baseline(&before[..1]), &after[..1]);
        outcomes.one_run += fails(&baseline, &after[..1]);
        outcomes.fixed += fails(&baseline, &after);
        let (verdict, made) = gate(&baseline, &after, &rules, |comparison| comparison.verdict);
        outcomes.gate += usize::from(verdict == Verdict::Fail);
        outcomes.gate_runs += made;
    }
    outcomes
}

/// The gate as it runs: one run after the other until no other is wanted. What `found` takes from the last comparison,
/// and the runs made.
fn gate<T>(baseline: &Baseline, runs: &[Run], rules: &Rules, found: impl Fn(&Comparison) -> T) -> (T, usize) {
    let mut made = 1;
    loop {
        let comparison = compare(baseline, &runs[..made], rules).expect("drawn runs compare");
        if !comparison.wants_another_run(rules) {
            return (found(&comparison), made);
        }
        made += 1;
    }
}

/// What came of many comparisons of many endpoints.
#[derive(Clone, Copy, Debug, Default)]
pub struct EndpointOutcomes {
    pub comparisons: usize,
    /// Comparisons in which any endpoint that did not change is over its limit.
    pub any_over: usize,
    /// Comparisons in which any such endpoint FAILs.
    pub any_failed: usize,
    /// Comparisons in which the one endpoint that got slower FAILs.
    pub slow_failed: usize,
}

/// Many comparisons of a service of many endpoints, each with noise of its own, the first of which got slower.
fn simulate_endpoints(noise: Noise, change_pct: f64, comparisons: usize, seed: u64) -> EndpointOutcomes {
    let rules = rules();
    let mut random = Rng::with_seed(seed);
    let names: Vec<Box<str>> = (0..ENDPOINTS).map(|number| format!("GET /{number:03}").into()).collect();
    let mut outcomes = EndpointOutcomes { comparisons, ..EndpointOutcomes::default() };
    for _ in 0..comparisons {
        let mut runs = |change_pct: f64| -> Vec<Run> {
            let draw = |_| {
                let hit = noise.hit(&mut random);
                let mut run = run(noise.factor(&mut random) * hit);
                for (number, name) in names.iter().enumerate() {
                    let change = if number == 0 { 1.0 + change_pct / 100.0 } else { 1.0 };
                    run.endpoints.push((name.clone(), stats(noise.factor(&mut random) * hit * change)));
                }
                run
            };
            (0..RUNS).map(draw).collect()
        };
        let (before, after) = (runs(0.0), runs(change_pct));
        let ([any_over, any_failed, slow_failed], _) = gate(&baseline(&before), &after, &rules, |comparison| {
            let is_slow = |endpoint| change_pct > 0.0 && endpoint == Some(&*names[0]);
            let p95 = || comparison.endpoints.iter().filter(|row| row.metric == Metric::P95);
            [
                p95().any(|row| row.is_finding() && !is_slow(row.endpoint)),
                p95().any(|row| row.is_failure() && !is_slow(row.endpoint)),
                p95().any(|row| row.is_failure() && is_slow(row.endpoint)),
            ]
        });
        outcomes.any_over += usize::from(any_over);
        outcomes.any_failed += usize::from(any_failed);
        outcomes.slow_failed += usize::from(slow_failed);
    }
    outcomes
}

/// A run so many times as slow as the plain one.
fn run(factor: f64) -> Run {
    Run {
        precision: Precision::Fine,
        total: stats(factor),
        endpoints: Vec::new(),
        distribution: Vec::new(),
        histogram: Histogram::default(),
    }
}

fn stats(factor: f64) -> Stats {
    Stats {
        requests: 10_000,
        failures: 0,
        p50_ms: 100.0 * factor,
        p95_ms: 300.0 * factor,
        p99_ms: 500.0 * factor,
        avg_ms: 120.0 * factor,
        requests_per_sec: 500.0,
        p95_interval_ms: None,
    }
}

fn baseline(runs: &[Run]) -> Baseline {
    Baseline::new(runs, Provenance::default(), None, None).expect("drawn runs are a baseline")
}
