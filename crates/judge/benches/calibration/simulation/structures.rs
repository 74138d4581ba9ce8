//! Services and machines as they are: the gate on requests that were drawn one by one.

use fastrand::Rng;
use judge::baseline::file::Baseline;
use judge::model::limits::Rules;
use judge::model::run::{Metric, Provenance, Run};
use judge::verdict::compare::{Comparison, Verdict, compare};
use judge::verdict::decision::Row;

use super::on_all_cores;
use super::rounds::{NOISY_ROUNDS, ROUNDS};
use super::rules::{BASELINE_RUNS, MAX_RUNS, rules};
use super::service::{
    CYCLE_MS, Change, Conditions, Pauses, RUN_MS, SERVICE, Service, SlowRequests, Spell, fast_normal,
};
use super::table::{Cell, Table};

/// A service and the machine that it is measured on.
#[derive(Clone, Copy, Debug)]
pub struct Structure {
    pub name: &'static str,
    pub service: Service,
    /// The spread from run to run, and from session to session: standard deviations of logarithms.
    pub run_spread: f64,
    pub session_spread: f64,
    /// Says that a neighbour makes one to three runs in a row 50% slower, in half of the sessions.
    pub has_neighbour: bool,
    /// The factor of the machine that the candidate is measured on.
    pub machine: f64,
    /// The factor on the first run of the baseline, and of the candidate.
    pub cold_baseline: f64,
    pub cold_candidate: f64,
    /// How much slower the machine gets over the runs of a baseline, around the candidate's level.
    pub trend: f64,
    /// The factor of spells of 5 to 30 s, which take an eighth of the time.
    pub spells: Option<f64>,
}

pub const PLAIN: Structure = Structure {
    name: "plain, 4% spread",
    service: SERVICE,
    run_spread: 0.04,
    session_spread: 0.0,
    has_neighbour: false,
    machine: 1.0,
    cold_baseline: 1.0,
    cold_candidate: 1.0,
    trend: 0.0,
    spells: None,
};

/// The structures that the rule is held to.
pub fn structures() -> Vec<Structure> {
    let with = |name, service| Structure { name, service, ..PLAIN };
    let slow = |share, factor| Some(SlowRequests { share, factor });
    vec![
        PLAIN,
        Structure { name: "plain, 2% spread", run_spread: 0.02, ..PLAIN },
        Structure { name: "plain, 10% spread", run_spread: 0.10, ..PLAIN },
        with(
            "pauses of 150 ms every 3 s",
            Service { pauses: Some(Pauses { length_ms: 150.0, period_ms: 3000.0 }), ..SERVICE },
        ),
        with("two clouds: 5% of requests 12 times slower", Service { slow_requests: slow(0.05, 12.0), ..SERVICE }),
        with(
            "long requests: 2% take 4 times the expected interval",
            Service { slow_requests: slow(0.02, 17.0), ..SERVICE },
        ),
        with("wide latencies (sigma 1)", Service { spread: 1.0, ..SERVICE }),
        with("a slow class: 1 of 10 users, 2 s", Service { slow_class_ms: Some(2000.0), ..SERVICE }),
        with("a queue: 3 workers", Service { workers: 3, ..SERVICE }),
        Structure { name: "slow spells of 5 to 30 s, x 1.6", spells: Some(1.6), ..PLAIN },
        Structure { name: "slow spells of 5 to 30 s, x 2", spells: Some(2.0), ..PLAIN },
        Structure { name: "another session, 5%", session_spread: 0.05, ..PLAIN },
        Structure { name: "another session, 8%", session_spread: 0.08, ..PLAIN },
        Structure { name: "a neighbour in 1 to 3 runs, x 1.5", has_neighbour: true, ..PLAIN },
        Structure { name: "a machine 10% slower", machine: 1.1, ..PLAIN },
        Structure { name: "a machine 10% faster", machine: 1.0 / 1.1, ..PLAIN },
        Structure { name: "first run of the baseline cold, x 1.4", cold_baseline: 1.4, ..PLAIN },
        Structure { name: "first run of both sides cold, x 1.4", cold_baseline: 1.4, cold_candidate: 1.4, ..PLAIN },
        Structure { name: "a baseline with a trend of +15%", trend: 0.15, ..PLAIN },
        with("79 requests a run", Service { think_ms: 3750.0, ..SERVICE }),
        Structure {
            name: "a hosted runner: runs 6%, sessions 5%, neighbours, spells",
            run_spread: 0.06,
            session_spread: 0.05,
            has_neighbour: true,
            spells: Some(1.6),
            ..PLAIN
        },
    ]
}

/// The sides of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Design {
    /// A committed baseline of so many runs, measured in another session.
    Baseline(usize),
    /// Both sides in turn.
    Rounds,
}

/// Runs one after the other on one machine.
struct Session<'s> {
    structure: &'s Structure,
    is_baseline: bool,
    factor: f64,
    neighbour: std::ops::Range<usize>,
    spells: Vec<Spell>,
    next_spell_ms: f64,
    made: usize,
}

impl<'s> Session<'s> {
    fn begin(structure: &'s Structure, is_baseline: bool, random: &mut Rng) -> Session<'s> {
        let session = (structure.session_spread * fast_normal(random)).exp();
        let machine = if is_baseline { 1.0 } else { structure.machine };
        let neighbour = if structure.has_neighbour && random.bool() {
            let first = random.usize(0..BASELINE_RUNS);
            first..first + random.usize(1..=3)
        } else {
            0..0
        };
        let mut begun = Session {
            structure,
            is_baseline,
            factor: session * machine,
            neighbour,
            spells: Vec::new(),
            next_spell_ms: 0.0,
            made: 0,
        };
        begun.next_spell_ms = Session::gap_ms(random) - 15_000.0;
        begun
    }

    /// The time to the next spell: spells last 17.5 s on average, an eighth of the time.
    fn gap_ms(random: &mut Rng) -> f64 {
        -122_500.0 * (1.0 - random.f64()).ln()
    }

    fn conditions(&mut self, random: &mut Rng) -> Conditions {
        let structure = self.structure;
        let run = self.made;
        self.made += 1;
        let mut factor = self.factor * (structure.run_spread * fast_normal(random)).exp();
        if self.neighbour.contains(&run) {
            factor *= 1.5;
        }
        if run == 0 {
            factor *= if self.is_baseline { structure.cold_baseline } else { structure.cold_candidate };
        }
        if self.is_baseline {
            factor *= 1.0 + structure.trend * (run as f64 / (BASELINE_RUNS - 1) as f64 - 0.5);
        }
        let from = run as f64 * CYCLE_MS;
        if let Some(slower) = structure.spells {
            while self.next_spell_ms < from + RUN_MS {
                let length_ms = 5000.0 + 25_000.0 * random.f64();
                self.spells.push((self.next_spell_ms, self.next_spell_ms + length_ms, slower));
                self.next_spell_ms += length_ms + Session::gap_ms(random);
            }
        }
        let spells = self.spells.iter().map(|(begin, end, slower)| (begin - from, end - from, *slower)).collect();
        Conditions { factor, cold_factor: 1.0, spells }
    }

    fn run(&mut self, random: &mut Rng, change: Change) -> Run {
        let conditions = self.conditions(random);
        self.structure.service.run(random, change, &conditions)
    }
}

/// What one comparison came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    pub failed: bool,
    /// Whether this made it fail, alone or among others.
    pub by_p95: bool,
    pub by_corrected: bool,
    pub by_endpoint: bool,
    pub by_missing: bool,
    pub warned: bool,
    pub conclusive: bool,
    pub inconclusive: bool,
    pub strict_failed: bool,
    pub confirmed: bool,
    pub runs: usize,
}

/// What many comparisons came to.
#[derive(Clone, Debug)]
pub struct Seen {
    pub outcomes: Vec<Outcome>,
}

impl Seen {
    pub fn count(&self, is_it: impl Fn(&Outcome) -> bool) -> usize {
        self.outcomes.iter().filter(|outcome| is_it(outcome)).count()
    }

    pub fn share(&self, is_it: impl Fn(&Outcome) -> bool) -> Cell {
        Cell::share(self.count(is_it), self.outcomes.len())
    }

    pub fn runs(&self) -> Cell {
        Cell::mean(self.outcomes.iter().map(|outcome| outcome.runs).sum(), self.outcomes.len())
    }
}

/// Which of the costly questions are asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    pub strict: bool,
    pub confirm: bool,
}

pub fn baseline_of(runs: &[Run], users: usize) -> Baseline {
    let provenance = Provenance { mean_users: Some(users as f64), ..Provenance::default() };
    Baseline::new(runs, provenance).expect("drawn runs are a baseline")
}

fn outcome(comparison: &Comparison, runs: usize) -> Outcome {
    let failed_by = |is_it: &dyn Fn(&Row) -> bool| {
        comparison.total.iter().chain(&comparison.endpoints).any(|row| row.is_failure() && is_it(row))
    };
    Outcome {
        failed: comparison.verdict == Verdict::Fail,
        by_p95: failed_by(&|row| row.endpoint.is_none() && row.metric == Metric::P95),
        by_corrected: failed_by(&|row| row.metric == Metric::P95Corrected),
        by_endpoint: failed_by(&|row| row.endpoint.is_some() && !row.is_missing()),
        by_missing: failed_by(&|row| row.is_missing()),
        warned: comparison.total.iter().chain(&comparison.endpoints).any(|row| row.is_finding() && !row.is_failure()),
        conclusive: comparison.is_conclusive(),
        inconclusive: comparison.verdict == Verdict::Inconclusive,
        runs,
        ..Outcome::default()
    }
}

/// One comparison against a committed baseline, and where it FAILs the rounds that follow.
fn against_baseline(
    structure: &Structure,
    change: Change,
    baseline_runs: usize,
    asked: Asked,
    random: &mut Rng,
) -> Outcome {
    let users = structure.service.users;
    let mut earlier = Session::begin(structure, true, random);
    let before: Vec<Run> = (0..baseline_runs).map(|_| earlier.run(random, Change::None)).collect();
    let baseline = baseline_of(&before, users);
    let mut session = Session::begin(structure, false, random);
    let mut made: Vec<Run> = Vec::new();
    let mut judged = |rules: &Rules, session: &mut Session, random: &mut Rng| {
        let mut runs = 1;
        loop {
            if made.len() < runs {
                made.push(session.run(random, change));
            }
            let comparison = compare(&baseline, &made[..runs], rules).expect("drawn runs compare");
            if !comparison.wants_another_run() {
                return outcome(&comparison, runs);
            }
            runs += 1;
        }
    };
    let rules = rules(MAX_RUNS);
    let mut outcome = judged(&rules, &mut session, random);
    if asked.strict {
        outcome.strict_failed = judged(&Rules { strict: true, ..rules }, &mut session, random).failed;
    }
    if asked.confirm && outcome.failed {
        outcome.confirmed = rounds(&mut session, change, random).failed;
    }
    outcome
}

/// One comparison in rounds.
fn rounds(session: &mut Session, change: Change, random: &mut Rng) -> Outcome {
    let rules =
        Rules { paired: true, min_runs: 2, max_runs: ROUNDS, max_noisy_rounds: NOISY_ROUNDS, ..Rules::default() };
    let (mut before, mut after) = (Vec::new(), Vec::new());
    loop {
        let is_first = before.len() % 2 == 0;
        let mut of_this = || session.run(random, change);
        let first = is_first.then(&mut of_this);
        let other = session.run(random, Change::None);
        before.push(other);
        after.push(first.unwrap_or_else(|| session.run(random, change)));
        if before.len() < rules.min_runs {
            continue;
        }
        let baseline = baseline_of(&before, session.structure.service.users);
        let comparison = compare(&baseline, &after, &rules).expect("drawn runs compare");
        if !comparison.wants_another_run() {
            return outcome(&comparison, after.len());
        }
    }
}

/// Many comparisons of one kind, on all cores.
pub fn simulate(
    structure: &Structure,
    change: Change,
    design: Design,
    asked: Asked,
    comparisons: usize,
    seed: u64,
) -> Seen {
    let seeds: Vec<u64> = (0..comparisons as u64).map(|at| seed * 1_000_003 + at).collect();
    let outcomes = on_all_cores(&seeds, |_, seed| {
        let mut random = Rng::with_seed(*seed);
        match design {
            Design::Baseline(runs) => against_baseline(structure, change, runs, asked, &mut random),
            Design::Rounds => rounds(&mut Session::begin(structure, false, &mut random), change, &mut random),
        }
    });
    Seen { outcomes }
}

/// The table of structures, one row for each.
pub fn table(comparisons: usize) -> Table {
    let changes = [
        Change::Everywhere(1.10),
        Change::Everywhere(1.15),
        Change::Everywhere(1.25),
        Change::Everywhere(1.30),
        Change::Everywhere(1.50),
        Change::Endpoint(2, 1.3),
        Change::Endpoint(2, 2.0),
    ];
    let mut rows = Vec::new();
    for (seed, structure) in structures().iter().enumerate() {
        let of = |change, asked| {
            simulate(structure, change, Design::Baseline(BASELINE_RUNS), asked, comparisons, seed as u64)
        };
        let none = of(Change::None, Asked { strict: true, confirm: true });
        let mut row = vec![
            Cell::label(structure.name),
            none.share(|seen| seen.failed),
            none.share(|seen| seen.failed && seen.conclusive),
            none.share(|seen| seen.inconclusive),
            none.share(|seen| seen.by_corrected),
            none.share(|seen| seen.warned),
            none.share(|seen| seen.strict_failed),
            none.share(|seen| seen.confirmed),
            none.runs(),
        ];
        for change in changes {
            let seen = of(change, Asked::default());
            row.push(seen.share(|seen| seen.failed));
            if change == Change::Everywhere(1.25) {
                row.push(seen.share(|seen| !seen.failed && seen.conclusive));
            }
            if change == Change::Everywhere(1.30) {
                row.push(seen.runs());
            }
        }
        rows.push(row);
    }
    Table {
        heading: "Services and machines as they are",
        text: format!(
            "Ten users in a closed loop over a queue of 6 workers, log-normal service times (sigma 0.5), five endpoints, 1,800 requests per
run, a baseline of ten runs. The first columns are without a change: FAILs, FAILs that are called conclusive, INCONCLUSIVE, FAILs
by p95_corrected, WARNs, FAILs with `--strict`, FAILs that rounds on the same machine confirm, and runs. The other columns show the
FAILs if everything, or only the second endpoint (`one`), is slower by the percentage in the heading; **conclusive PASS** belongs to
+25%, and the second **runs** to +30%. Up to +20% is within the limit, but in a queue, response times grow by more than the work does.

In the rows of another session or machine, no rule can do better with stored numbers: the runs agree with each other but differ from
the baseline's. If your runs are like that, use `--confirm` or `--against`. On a faster machine, the stored numbers hide a regression,
however conclusive the verdict looks. Shares are of {comparisons} comparisons."
        ),
        columns: vec![
            "structure",
            "FAIL",
            "conclusive",
            "INCONCLUSIVE",
            "by p95_corrected",
            "WARN",
            "strict FAIL",
            "confirmed",
            "runs",
            "+10%",
            "+15%",
            "+25%",
            "conclusive PASS",
            "+30%",
            "runs",
            "+50%",
            "one +30%",
            "one +100%",
        ],
        rows,
    }
}
