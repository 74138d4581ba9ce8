//! Comparisons of drawn runs by the product's own `compare`: how often it FAILs, after how many runs, and whether that is
//! what is promised.

pub mod confirmation;
pub mod coverage;
pub mod dependence;
pub mod draw;
pub mod endpoints;
pub mod errors;
pub mod promises;
pub mod repairs;
pub mod rounds;
pub mod rules;
pub mod series;
pub mod service;
pub mod starts;
pub mod structures;
pub mod table;
pub mod times;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use promises::Promise;
use table::Table;

/// How many comparisons are drawn of each kind.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub series: usize,
    pub endpoints: usize,
    pub errors: usize,
    pub starts: usize,
    pub dependence: usize,
    pub rounds: usize,
    /// Of the comparisons whose requests are drawn one by one.
    pub requests: usize,
}

/// Everything that was seen.
pub struct Simulation {
    pub series: Vec<series::Series>,
    pub one_run: Vec<series::OneRun>,
    pub endpoints: Vec<endpoints::Service>,
    pub errors: Vec<errors::Errors>,
    pub coverage: Vec<errors::Coverage>,
    pub bimodal: Vec<starts::Bimodal>,
    pub starts: Vec<starts::Starts>,
    pub dependence: Vec<dependence::Dependence>,
    pub rounds: Vec<rounds::Drift>,
    pub confirmation: Vec<confirmation::Confirmation>,
    pub times: Vec<times::Times>,
    /// The tables of drawn requests: structures, slow requests, endpoints that did not change, and one that did.
    pub requests: [Table; 4],
}

impl Simulation {
    /// Draws all of it. The numbers depend on the seeds and the sizes alone.
    pub fn run(sizes: Sizes) -> Simulation {
        Simulation {
            series: series::all(sizes.series),
            one_run: series::all_one_run(sizes.series),
            endpoints: endpoints::all(sizes.endpoints),
            errors: errors::all(sizes.errors),
            coverage: errors::all_coverage(sizes.errors),
            bimodal: starts::all_bimodal(sizes.starts),
            starts: starts::all(sizes.starts),
            dependence: dependence::all(sizes.dependence),
            rounds: rounds::all(sizes.rounds),
            confirmation: confirmation::all(sizes.rounds),
            times: times::all(sizes.series),
            requests: [
                structures::table(sizes.requests),
                repairs::table(sizes.requests),
                coverage::unchanged_table(sizes.requests),
                coverage::found_table(sizes.requests),
            ],
        }
    }

    /// What the calibration must show. `slack` is in standard errors of what was seen: 0 takes the numbers as they are, a
    /// short simulation needs some.
    pub fn promises(&self, slack: f64) -> Vec<Promise> {
        promises::all(self, slack)
    }

    /// Everything that was seen, as the document shows it.
    pub fn tables(&self) -> Vec<Table> {
        let mut tables = self.requests.to_vec();
        tables.extend([
            series::table(&self.series),
            endpoints::table(&self.endpoints),
            endpoints::warnings_table(&self.endpoints),
            errors::table(&self.errors),
            errors::coverage_table(&self.coverage),
            starts::bimodal_table(&self.bimodal),
            starts::table(&self.starts),
            series::one_run_table(&self.one_run),
            dependence::table(&self.dependence),
            rounds::table(&self.rounds),
            confirmation::table(&self.confirmation),
            times::table(&self.times),
        ]);
        tables
    }
}

/// Does the work for each item, on all cores. Each gets its place as the seed.
pub fn on_all_cores<T: Sync, R: Send>(items: &[T], work: impl Fn(u64, &T) -> R + Sync) -> Vec<R> {
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
