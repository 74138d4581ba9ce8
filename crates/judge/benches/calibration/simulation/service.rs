//! A service as users see it: a closed loop over a queue, request by request, and the run that Locust reports of it.

use fastrand::Rng;
use judge::model::run::{PERCENTILES, Precision, REQUEST_Z, Run, Stats};
use judge::stats::estimate::{Interval, quantile_ranks};
use judge::stats::histogram::{Bucket, Histogram, percentile_rank};

/// The length of a run, and the time until the next one begins.
pub const RUN_MS: f64 = 30_000.0;
pub const CYCLE_MS: f64 = 36_000.0;

/// The median of the service times of an endpoint with the factor 1.
const MEDIAN_MS: f64 = 40.0;

/// The pauses of a service that stops the world: their length and the time from one to the next.
#[derive(Clone, Copy, Debug)]
pub struct Pauses {
    pub length_ms: f64,
    pub period_ms: f64,
}

/// Requests that take much longer, by chance: a lost cache entry, a second code path.
#[derive(Clone, Copy, Debug)]
pub struct SlowRequests {
    pub share: f64,
    /// The factor on the service time.
    pub factor: f64,
}

/// A service and its load.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    pub users: usize,
    /// The requests that are worked on at a time; the others wait in a queue.
    pub workers: usize,
    /// The mean time from an answer to the user's next request.
    pub think_ms: f64,
    pub endpoints: usize,
    /// Traffic by Zipf's law, or as much for each endpoint.
    pub is_zipf: bool,
    /// The spread of the service times of an endpoint, as the standard deviation of their logarithm.
    pub spread: f64,
    pub slow_requests: Option<SlowRequests>,
    pub pauses: Option<Pauses>,
    /// The service time of the one endpoint that the last user asks for, and nobody else.
    pub slow_class_ms: Option<f64>,
}

/// 10 users, about 1,800 requests in a run.
pub const SERVICE: Service = Service {
    users: 10,
    workers: 6,
    think_ms: 110.0,
    endpoints: 5,
    is_zipf: true,
    spread: 0.5,
    slow_requests: None,
    pauses: None,
    slow_class_ms: None,
};

/// The change of the code that is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    None,
    /// All service times, by this factor.
    Everywhere(f64),
    /// Those of the endpoint of this rank, by traffic, from 1.
    Endpoint(usize, f64),
    /// Those of the endpoint that only one class of users asks for.
    SlowClass(f64),
    /// The share of slow requests becomes this one.
    SlowShare(f64),
    /// The endpoint of this rank is not asked for any more.
    Gone(usize),
    /// The service stops for so long, every 10 s.
    Freeze(f64),
}

/// A time of slowness: from, to (ms of the session), and its factor.
pub type Spell = (f64, f64, f64);

/// What a run meets.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    /// The factor on all service times.
    pub factor: f64,
    /// The factor in the first fifth of the run beside it: cold caches.
    pub cold_factor: f64,
    pub spells: Vec<Spell>,
}

/// The name of an endpoint by its rank.
pub fn endpoint_name(rank: usize) -> String {
    format!("GET /{rank:03}")
}

pub const SLOW_CLASS: &str = "GET /report";

/// A pair of standard normal deviates' first: Marsaglia's polar method, which is faster than the inverse distribution.
pub fn fast_normal(random: &mut Rng) -> f64 {
    loop {
        let (u, v) = (2.0 * random.f64() - 1.0, 2.0 * random.f64() - 1.0);
        let s = u * u + v * v;
        if s > 0.0 && s < 1.0 {
            return u * (-2.0 * s.ln() / s).sqrt();
        }
    }
}

/// Locust's rounding with the listener: three significant digits, to the microsecond.
fn rounded(time_ms: f64) -> f64 {
    let unit = if time_ms >= 100.0 {
        10f64.powf(time_ms.log10().floor() - 2.0)
    } else if time_ms >= 10.0 {
        0.1
    } else {
        0.01
    };
    (time_ms / unit).round() * unit
}

impl Service {
    /// The share of the requests below each endpoint and in it, by rank.
    fn cumulative_shares(&self, change: Change) -> Vec<f64> {
        let mut shares = Vec::with_capacity(self.endpoints);
        let mut sum = 0.0;
        for rank in 1..=self.endpoints {
            let weight = if self.is_zipf { 1.0 / rank as f64 } else { 1.0 };
            sum += if change == Change::Gone(rank) { 0.0 } else { weight };
            shares.push(sum);
        }
        for share in &mut shares {
            *share /= sum;
        }
        shares
    }

    fn pauses(&self, change: Change) -> Option<Pauses> {
        match change {
            Change::Freeze(length_ms) => Some(Pauses { length_ms, period_ms: 10_000.0 }),
            _ => self.pauses,
        }
    }

    /// Makes one run.
    pub fn run(&self, random: &mut Rng, change: Change, conditions: &Conditions) -> Run {
        let shares = self.cumulative_shares(change);
        let pauses = self.pauses(change);
        let phase_ms = random.f64() * pauses.map_or(0.0, |pauses| pauses.period_ms);
        let mut times: Vec<Vec<f64>> = vec![Vec::new(); self.endpoints + 1];
        let cycle_ms = self.think_ms + MEDIAN_MS;
        let mut next: Vec<f64> = (0..self.users).map(|_| random.f64() * cycle_ms).collect();
        let mut free: Vec<f64> = vec![0.0; self.workers];
        loop {
            let user = (0..self.users).min_by(|a, b| next[*a].total_cmp(&next[*b])).expect("users");
            let asked = next[user];
            if asked >= RUN_MS {
                break;
            }
            let is_slow_class = self.slow_class_ms.is_some() && user + 1 == self.users;
            let place = if is_slow_class {
                self.endpoints
            } else {
                let at = random.f64();
                shares.partition_point(|share| *share <= at).min(self.endpoints - 1)
            };
            let worker = (0..self.workers).min_by(|a, b| free[*a].total_cmp(&free[*b])).expect("workers");
            let begun = asked.max(free[worker]);
            let mut work_ms = self.service_ms(random, place, change) * conditions.factor;
            if asked < RUN_MS / 5.0 {
                work_ms *= conditions.cold_factor.max(1.0);
            }
            for (from, to, factor) in &conditions.spells {
                if (*from..*to).contains(&begun) {
                    work_ms *= factor;
                }
            }
            let ended = end_of_work(begun, work_ms, pauses, phase_ms);
            free[worker] = ended;
            times[place].push(rounded(ended - asked));
            next[user] = ended + self.think_ms * (0.67 + 0.66 * random.f64());
        }
        run_of(times)
    }

    fn service_ms(&self, random: &mut Rng, place: usize, change: Change) -> f64 {
        let rank = place + 1;
        let (median_ms, factor) = if place == self.endpoints {
            let factor = if let Change::SlowClass(factor) = change { factor } else { 1.0 };
            (self.slow_class_ms.unwrap_or(MEDIAN_MS), factor)
        } else {
            let slower = match change {
                Change::Everywhere(factor) => factor,
                Change::Endpoint(changed, factor) if changed == rank => factor,
                _ => 1.0,
            };
            (MEDIAN_MS * [1.0, 0.7, 1.4, 0.8, 1.2][place % 5], slower)
        };
        let slow = self.slow_requests.map_or(1.0, |slow| {
            let share = if let Change::SlowShare(share) = change { share } else { slow.share };
            if random.f64() < share { slow.factor } else { 1.0 }
        });
        median_ms * factor * slow * (self.spread * fast_normal(random)).exp()
    }
}

/// When work that began then is done: it stands still in pauses.
fn end_of_work(begun: f64, work_ms: f64, pauses: Option<Pauses>, phase_ms: f64) -> f64 {
    let Some(Pauses { length_ms, period_ms }) = pauses else { return begun + work_ms };
    // On a clock that stands still in pauses work takes its own time.
    let active_ms = period_ms - length_ms;
    let periods = ((begun - phase_ms) / period_ms).floor();
    let in_period = begun - phase_ms - periods * period_ms;
    let ended = periods * active_ms + (in_period - length_ms).max(0.0) + work_ms;
    let periods = (ended / active_ms).floor();
    phase_ms + periods * period_ms + length_ms + (ended - periods * active_ms)
}

/// The run that Locust's JSON shows of these response times, by the place of the endpoint.
///
/// The last place is the endpoint of the slow class.
fn run_of(mut times: Vec<Vec<f64>>) -> Run {
    let mut endpoints = Vec::new();
    let mut all = Vec::new();
    let last = times.len() - 1;
    for (place, times) in times.iter_mut().enumerate().filter(|(_, times)| !times.is_empty()) {
        let name = if place == last { SLOW_CLASS.to_owned() } else { endpoint_name(place + 1) };
        times.sort_unstable_by(f64::total_cmp);
        endpoints.push((name.into_boxed_str(), stats(times)));
        all.extend_from_slice(times);
    }
    all.sort_unstable_by(f64::total_cmp);
    let total = stats(&all);
    let distribution = PERCENTILES.iter().map(|percent| total.histogram.percentile(percent / 100.0)).collect();
    Run { precision: Precision::Fine, total, endpoints, distribution, ..Run::default() }
}

fn stats(sorted: &[f64]) -> Stats {
    let requests = sorted.len() as u64;
    let same = sorted.chunk_by(|a, b| a.total_cmp(b).is_eq());
    let buckets = same.map(|times| Bucket { time_ms: times[0], count: times.len() as u64 }).collect();
    #[expect(clippy::cast_possible_truncation, reason = "a rank below the length")]
    let at = |rank: u64| sorted[rank as usize];
    let percentile = |p: f64| at(percentile_rank(requests, p));
    Stats {
        requests,
        p50_ms: percentile(0.5),
        p95_ms: percentile(0.95),
        p99_ms: percentile(0.99),
        avg_ms: sorted.iter().sum::<f64>() / requests as f64,
        requests_per_sec: requests as f64 / RUN_MS * 1000.0,
        p95_interval_ms: quantile_ranks(requests, 0.95, REQUEST_Z)
            .map(|ranks| Interval { low: at(ranks.low - 1), high: at(ranks.high - 1) }),
        histogram: Histogram::new(buckets),
        ..Stats::default()
    }
}
