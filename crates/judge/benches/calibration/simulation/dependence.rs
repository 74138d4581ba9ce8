//! Runs that depend on each other, with and without a confirmation in rounds.

use fastrand::Rng;
use judge::model::limits::Rules;
use judge::model::run::Run;

use super::draw::{HIT_FACTOR, baseline, normal, run};
use super::on_all_cores;
use super::rounds::ROUNDS;
use super::rules::{BASELINE_RUNS, MAX_RUNS, judge_rounds, rules, verdict};
use super::table::{Cell, Table};

/// How the runs of a session depend on each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// They do not.
    Independent,
    /// Each takes over this share of the last one's noise: an autoregressive process of order 1.
    Autoregressive(f64),
    /// A neighbour comes in one run of a hundred, and stays for ten.
    Neighbour,
    /// The whole session is slower or faster, with this standard deviation in percent.
    Session(f64),
}

/// The spread from run to run: of the independent runs, and within sessions.
const SPREAD_PCT: f64 = 5.0;

/// A session that goes on: the next run's factor.
struct Session {
    kind: Kind,
    random: Rng,
    state: f64,
    neighbour_stays: usize,
}

impl Session {
    fn start(kind: Kind, random: &mut Rng) -> Session {
        let mut random = random.fork();
        let state = normal(&mut random);
        // A neighbour may be there already.
        let neighbour_stays = if random.f64() < 0.1 { random.usize(1..=10) } else { 0 };
        Session { kind, random, state, neighbour_stays }
    }

    fn next(&mut self) -> f64 {
        let noise = normal(&mut self.random);
        let spread = SPREAD_PCT / 100.0;
        match self.kind {
            Kind::Independent => (spread * noise).exp(),
            Kind::Autoregressive(share) => {
                self.state = share * self.state + (1.0 - share * share).sqrt() * noise;
                (spread * self.state).exp()
            }
            Kind::Neighbour => {
                if self.neighbour_stays > 0 {
                    self.neighbour_stays -= 1;
                } else if self.random.f64() < 0.01 {
                    self.neighbour_stays = 9;
                } else {
                    return (spread * noise).exp();
                }
                HIT_FACTOR * (spread * noise).exp()
            }
            Kind::Session(session_pct) => (session_pct / 100.0 * self.state + spread * noise).exp(),
        }
    }
}

/// What came of many comparisons.
#[derive(Clone, Copy, Debug)]
pub struct Dependence {
    pub kind: Kind,
    pub change_pct: f64,
    pub comparisons: usize,
    pub fails: usize,
    pub runs: usize,
    /// FAILs that the rounds after them bear out.
    pub confirmed: usize,
}

pub fn all(comparisons: usize) -> Vec<Dependence> {
    let kinds = [
        Kind::Independent,
        Kind::Autoregressive(0.5),
        Kind::Autoregressive(0.8),
        Kind::Neighbour,
        Kind::Session(5.0),
        Kind::Session(10.0),
    ];
    let items: Vec<(Kind, f64)> = kinds.into_iter().flat_map(|kind| [0.0, 30.0].map(|change| (kind, change))).collect();
    on_all_cores(&items, |seed, (kind, change_pct)| simulate(*kind, *change_pct, comparisons, 7000 + seed))
}

fn simulate(kind: Kind, change_pct: f64, comparisons: usize, start: u64) -> Dependence {
    let mut random = Rng::with_seed(start);
    let change = 1.0 + change_pct / 100.0;
    let by_rounds = Rules { paired: true, min_runs: 2, max_runs: ROUNDS, ..Rules::default() };
    let mut seen = Dependence { kind, change_pct, comparisons, fails: 0, runs: 0, confirmed: 0 };
    for _ in 0..comparisons {
        // The baseline was measured in another session.
        let mut earlier = Session::start(kind, &mut random);
        let before: Vec<Run> = (0..BASELINE_RUNS).map(|_| run(earlier.next())).collect();
        let mut session = Session::start(kind, &mut random);
        let after: Vec<Run> = (0..MAX_RUNS).map(|_| run(session.next() * change)).collect();
        let (fails, runs) = verdict(&baseline(&before), &after, &rules(MAX_RUNS));
        seen.runs += runs;
        if fails {
            seen.fails += 1;
            let (mut other, mut this) = (Vec::new(), Vec::new());
            for round in 0..ROUNDS {
                let [first, second] = [session.next(), session.next()];
                let (of_this, of_other) = if round % 2 == 0 { (first, second) } else { (second, first) };
                this.push(run(of_this * change));
                other.push(run(of_other));
            }
            seen.confirmed += usize::from(judge_rounds(&other, &this, &by_rounds).0);
        }
    }
    seen
}

pub fn table(seen: &[Dependence]) -> Table {
    let row = |seen: &Dependence| {
        let kind = match seen.kind {
            Kind::Independent => "none".to_owned(),
            Kind::Autoregressive(share) => format!("AR(1), {share}"),
            Kind::Neighbour => "a neighbour that stays for ten runs".to_owned(),
            Kind::Session(pct) => format!("sessions that differ by {pct}%"),
        };
        vec![
            Cell::label(kind),
            Cell::label(format!("{:+}%", seen.change_pct)),
            Cell::share(seen.fails, seen.comparisons),
            Cell::mean(seen.runs, seen.comparisons),
            Cell::share(seen.confirmed, seen.comparisons),
        ]
    };
    Table {
        heading: "Runs that depend on each other",
        text: format!(
            "The t distribution assumes that runs are independent. Here they are not, at {SPREAD_PCT}% spread: each run keeps a share of the
previous run's noise, or another program starts in one run of a hundred and stays for ten, or whole sessions differ, and the
baseline and the candidate are from different sessions. **confirmed**: a FAIL counts only if rounds of both commits, measured after
it, FAIL too. The promises above do not cover this table. Shares are of {} comparisons.",
            seen[0].comparisons
        ),
        columns: vec!["dependence", "true change", "gate FAILs", "its runs", "confirmed"],
        rows: seen.iter().map(row).collect(),
    }
}
