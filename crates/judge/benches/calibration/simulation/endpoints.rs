//! Many endpoints with traffic as unequal as real traffic: whether the one that got slower is found, and no other.

use fastrand::Rng;
use judge::model::limits::Rules;
use judge::model::run::Run;
use judge::verdict::decision::Row;

use super::draw::{baseline, factor, hit, sampled};
use super::on_all_cores;
use super::rules::{BASELINE_RUNS, MAX_RUNS, gate, rules};
use super::table::{Cell, Table};

/// Requests of a run, over all endpoints.
const REQUESTS: f64 = 6000.0;

/// The spread of each endpoint from run to run, beside that of its requests, and so much slower the slow one is.
const SPREAD_PCT: f64 = 4.0;
const CHANGE_PCT: f64 = 30.0;

/// The runs of an endpoint that meet something of their own, where they do.
const HIT_SHARE: f64 = 0.05;

/// What happens to a service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// Nothing.
    Nothing,
    /// Nothing, but each endpoint meets something of its own in some of its runs.
    Hits,
    /// The endpoint of this rank, by its traffic, got slower.
    Slower(usize),
}

/// A service with so many endpoints, over many comparisons.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    pub endpoints: usize,
    pub event: Event,
    pub comparisons: usize,
    pub gate: Found,
    /// Comparisons with a WARN on any endpoint.
    pub warned: usize,
    /// Comparisons that FAIL on any endpoint under `--strict`.
    pub strict_failed: usize,
}

/// What a rule found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    /// Comparisons in which the slow endpoint fails.
    pub slow: usize,
    /// Comparisons in which any other does.
    pub other: usize,
    pub runs: usize,
}

impl Service {
    /// The requests of the endpoint of this rank: Zipf's law.
    pub fn requests(&self, rank: usize) -> f64 {
        let harmonic: f64 = (1..=self.endpoints).map(|rank| 1.0 / rank as f64).sum();
        REQUESTS / harmonic / rank as f64
    }

    fn draw(&self, random: &mut Rng, names: &[Box<str>], is_candidate: bool) -> Run {
        let mut run = super::draw::run(1.0);
        let machine = factor(random, SPREAD_PCT);
        run.total = sampled(random, REQUESTS, machine);
        for (place, name) in names.iter().enumerate() {
            let slow = match self.event {
                Event::Hits => hit(random, HIT_SHARE),
                Event::Slower(rank) if is_candidate && rank == place + 1 => 1.0 + CHANGE_PCT / 100.0,
                Event::Nothing | Event::Slower(_) => 1.0,
            };
            let slow = slow * factor(random, SPREAD_PCT);
            run.endpoints.push((name.clone(), sampled(random, self.requests(place + 1), slow)));
        }
        run
    }
}

pub fn all(comparisons: usize) -> Vec<Service> {
    let mut items = Vec::new();
    for (endpoints, slow_ranks) in [(5, &[3][..]), (30, &[2, 3, 8]), (100, &[2, 6])] {
        items.push((endpoints, Event::Nothing));
        items.push((endpoints, Event::Hits));
        items.extend(slow_ranks.iter().map(|rank| (endpoints, Event::Slower(*rank))));
    }
    on_all_cores(&items, |seed, (endpoints, event)| simulate(*endpoints, *event, comparisons, 2000 + seed))
}

fn simulate(endpoints: usize, event: Event, comparisons: usize, start: u64) -> Service {
    let mut seen = Service { endpoints, event, comparisons, gate: Found::default(), warned: 0, strict_failed: 0 };
    let names: Vec<Box<str>> = (1..=endpoints).map(|rank| format!("GET /{rank:03}").into()).collect();
    let slow = match event {
        Event::Slower(rank) => Some(&*names[rank - 1]),
        Event::Nothing | Event::Hits => None,
    };
    let rules = rules(MAX_RUNS);
    let strict = Rules { strict: true, ..rules.clone() };
    let mut random = Rng::with_seed(start);
    for _ in 0..comparisons {
        let before: Vec<Run> = (0..BASELINE_RUNS).map(|_| seen.draw(&mut random, &names, false)).collect();
        let after: Vec<Run> = (0..MAX_RUNS).map(|_| seen.draw(&mut random, &names, true)).collect();
        let reference = baseline(&before);
        let ([is_found, any_other, any_warned], runs) = gate(&reference, &after, &rules, |comparison| {
            let any = |is_it: &dyn Fn(&Row) -> bool| comparison.endpoints.iter().any(is_it);
            [
                any(&|row| row.is_failure() && row.endpoint == slow),
                any(&|row| row.is_failure() && row.endpoint != slow),
                any(&|row| row.is_finding() && !row.is_failure()),
            ]
        });
        seen.gate.slow += usize::from(is_found);
        seen.gate.other += usize::from(any_other);
        seen.gate.runs += runs;
        seen.warned += usize::from(any_warned);
        if event == Event::Nothing {
            let any_failed =
                |comparison: &judge::verdict::compare::Comparison| comparison.endpoints.iter().any(Row::is_failure);
            seen.strict_failed += usize::from(gate(&reference, &after, &strict, any_failed).0);
        }
    }
    seen
}

pub fn table(services: &[Service]) -> Table {
    let row = |seen: &Service| {
        let of = seen.comparisons;
        let mut cells = vec![
            Cell::label(seen.endpoints.to_string()),
            Cell::label(match seen.event {
                Event::Nothing => "nothing".to_owned(),
                Event::Hits => "hits".to_owned(),
                Event::Slower(rank) => format!("+{CHANGE_PCT}% where {:.0} requests", seen.requests(rank)),
            }),
        ];
        cells.push(match seen.event {
            Event::Slower(_) => Cell::share(seen.gate.slow, of),
            Event::Nothing | Event::Hits => Cell::label("-"),
        });
        cells.extend([Cell::share(seen.gate.other, of), Cell::mean(seen.gate.runs, of)]);
        cells
    };
    Table {
        heading: "One endpoint of many",
        text: format!(
            "Endpoints with traffic by Zipf's law, {REQUESTS} log-normal requests per run in all, {SPREAD_PCT}% spread from run to run in
addition to the scatter of the requests themselves. One endpoint got {CHANGE_PCT}% slower, or none did, or (hits) each endpoint is
disturbed separately, which makes it 50% slower in one run of twenty. Shares are of {} comparisons: those in which
the slow one FAILs, and those in which any other does.",
            services[0].comparisons
        ),
        columns: vec![
            "endpoints",
            "what happened",
            "gate finds it",
            "gate FAILs another",
            "its runs",
        ],
        rows: services.iter().map(row).collect(),
    }
}

pub fn warnings_table(services: &[Service]) -> Table {
    let row = |seen: &Service| {
        vec![
            Cell::label(seen.endpoints.to_string()),
            Cell::share(seen.warned, seen.comparisons),
            Cell::share(seen.strict_failed, seen.comparisons),
        ]
    };
    let same = services.iter().filter(|seen| seen.event == Event::Nothing);
    Table {
        heading: "Warnings where nothing changed",
        text: "The same services: comparisons without a change that show a WARN on any endpoint, and that FAIL on any endpoint under
`--strict`."
            .to_owned(),
        columns: vec!["endpoints", "any WARN", "`--strict` FAILs"],
        rows: same.map(row).collect(),
    }
}
