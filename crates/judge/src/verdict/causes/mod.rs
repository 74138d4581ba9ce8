//! What changed together with the response times, in everything else that was measured. It is no part of the verdict.
//!
//! A cause is named if noise does not explain it (Holm, over all that is tested) and it can account for `LEAST_PART` of
//! the slowdown. Those that can account for `MAIN_PART` come first, and each group is in the order of [`Kind`].

mod contrast;
mod endpoints;
mod over_time;
mod resources;
mod shape;

use crate::baseline::file::Baseline;
use crate::model::run::{Metric, Provenance, Run, Usage};
use crate::stats::estimate::{self, Interval, Scale, holm};
use crate::verdict::causes::contrast::Contrast;
use crate::verdict::compare::Comparison;
use crate::verdict::decision::Presence;

/// The probability that noise alone makes any of them seem to have changed.
const FAMILY_ERROR: f64 = 0.02;

/// The least part of the slowdown that a cause can account for.
const LEAST_PART: f64 = 0.2;

/// The part from which on it is one of the main causes.
const MAIN_PART: f64 = 0.5;

/// Smaller slowdowns leave it open what accounts for them.
const LEAST_FACTOR: f64 = 1.1;

/// The number of causes that a report can use.
const MOST: usize = 8;

#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    pub kind: Kind,
    pub endpoint: Option<String>,
    pub baseline: f64,
    pub candidate: f64,
    /// How the change is measured: in percent of the baseline, or in the unit.
    pub scale: Scale,
    pub interval: Interval,
    /// The part of the slowdown that it can account for at most, from 0 to 1.
    pub part: f64,
}

/// What changed, the most exact kinds first.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Counter(String),
    AnswerBytes {
        /// Further endpoints whose answers grew.
        others: usize,
    },
    Connections,
    Failures,
    /// How much slower the second half of a run was than the first.
    OverTime {
        /// The moment of a step, in seconds of the window.
        from_s: Option<f64>,
    },
    Endpoint {
        /// Of the slowdown.
        share_pct: f64,
        share_interval: Interval,
    },
    Cpu,
    Waiting {
        cpu_ms: [f64; 2],
    },
    VoluntarySwitches,
    InvoluntarySwitches,
    MemoryGrowth,
    PeakMemory,
    Shape(Shape),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// All percentiles by about this factor.
    Factor(f64),
    /// All percentiles by about as many ms.
    Shift(f64),
    /// Only the slow requests. The median stayed.
    Tail,
    /// So many percent of the requests take at least so many ms, much slower than all others.
    SecondCloud { requests_pct: f64, from_ms: f64 },
}

impl Kind {
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Counter(_) => "counter",
            Kind::AnswerBytes { .. } => "answer_bytes",
            Kind::Connections => "connections",
            Kind::Failures => "failures",
            Kind::OverTime { .. } => "over_time",
            Kind::Endpoint { .. } => "endpoint",
            Kind::Cpu => "cpu",
            Kind::Waiting { .. } => "waiting",
            Kind::VoluntarySwitches => "voluntary_switches",
            Kind::InvoluntarySwitches => "involuntary_switches",
            Kind::MemoryGrowth => "memory_growth",
            Kind::PeakMemory => "peak_memory",
            Kind::Shape(_) => "shape",
        }
    }

    pub fn unit(&self) -> &'static str {
        match self {
            Kind::Counter(_) | Kind::VoluntarySwitches | Kind::InvoluntarySwitches | Kind::Connections => "",
            Kind::AnswerBytes { .. } => "bytes",
            Kind::Failures | Kind::OverTime { .. } => "%",
            Kind::Endpoint { .. } | Kind::Cpu | Kind::Waiting { .. } | Kind::Shape(_) => "ms",
            Kind::MemoryGrowth | Kind::PeakMemory => "MB",
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Kind::Counter(_) => 0,
            Kind::AnswerBytes { .. } => 1,
            Kind::Connections => 2,
            Kind::Failures => 3,
            Kind::OverTime { .. } => 4,
            Kind::Endpoint { .. } => 5,
            Kind::Cpu | Kind::Waiting { .. } => 6,
            Kind::VoluntarySwitches | Kind::InvoluntarySwitches => 7,
            Kind::MemoryGrowth | Kind::PeakMemory => 8,
            Kind::Shape(_) => 9,
        }
    }
}

/// A cause, and the probability of such a change if there is none. What cannot be a cause is tested too, with no part:
/// to test only what stands out would find more than noise explains.
struct Tested {
    cause: Cause,
    p_value: f64,
}

impl Tested {
    fn of(kind: Kind, contrast: &Contrast, part: f64) -> Tested {
        let Contrast { baseline, candidate, scale, interval, p_value } = *contrast;
        Tested { cause: Cause { kind, endpoint: None, baseline, candidate, scale, interval, part }, p_value }
    }
}

struct BothSides<'a> {
    baseline: &'a Baseline,
    runs: &'a [Run],
    used_before: &'a Usage,
    used_now: &'a Usage,
    paired: bool,
}

impl BothSides<'_> {
    /// `None` unless both lists have a value for each run, and two runs on one side show the noise.
    fn contrast(&self, before: &[f64], now: &[f64]) -> Option<Contrast> {
        let is_of_all = before.len() == self.baseline.total_runs(Metric::P95).len() && now.len() == self.runs.len();
        if is_of_all { Contrast::between(before, now, self.paired) } else { None }
    }

    fn total(&self, metric: Metric) -> Vec<f64> {
        self.runs.iter().map(|run| run.total.value(metric)).collect()
    }
}

#[derive(Clone, Copy, Debug)]
struct Slowdown {
    mean: Contrast,
    /// The factor of the mean or of the worst finding, whichever is larger.
    factor: f64,
    /// The mean number of requests that were under way in the candidate, at least 1 (Little 1961: throughput x time).
    under_way: f64,
}

impl Slowdown {
    fn of(sides: &BothSides, worst: f64) -> Option<Slowdown> {
        let metric = Metric::AvgResponseTime;
        let mean = sides.contrast(sides.baseline.total_runs(metric), &sides.total(metric))?;
        let rates = sides.total(Metric::RequestsPerSec);
        Some(Slowdown {
            mean,
            factor: worst.max(mean.factor()).max(LEAST_FACTOR),
            under_way: (estimate::mean(&rates) * mean.candidate / 1000.0).max(1.0),
        })
    }

    /// The part of it that a factor on the work of each request can account for.
    fn part_of_factor(&self, factor: f64) -> f64 {
        (factor.ln() / self.factor.ln()).clamp(0.0, 1.0)
    }

    fn is_mean_up(&self) -> bool {
        self.mean.factor() >= LEAST_FACTOR
    }
}

/// What changed together with the latencies that are over their limits, the strongest first. `None` if no latency is,
/// or if a single run on each side leaves the noise unknown.
pub fn causes(
    comparison: &Comparison,
    baseline: &Baseline,
    runs: &[Run],
    candidate: &Provenance,
) -> Option<Vec<Cause>> {
    let is_latency = |metric: Metric| metric.is_percentile() || metric == Metric::AvgResponseTime;
    let rows = comparison.total.iter().chain(&comparison.endpoints);
    let worst = rows
        .filter(|row| row.is_finding() && is_latency(row.metric))
        .filter_map(|row| match row.presence {
            // A value over its bound may be what it was.
            Presence::Both { baseline, candidate } if baseline > 0.0 && candidate > baseline => {
                Some(candidate / baseline)
            }
            _ => None,
        })
        .reduce(f64::max)?;
    causes_of(baseline, runs, candidate, comparison.paired, worst)
}

pub fn causes_of(
    baseline: &Baseline,
    runs: &[Run],
    candidate: &Provenance,
    paired: bool,
    worst: f64,
) -> Option<Vec<Cause>> {
    // Another machine takes another time for the same work, and its kernel switches as it likes.
    let is_same_machine = paired || baseline.provenance.machine == candidate.machine;
    let sides =
        BothSides { baseline, runs, used_before: &baseline.provenance.usage, used_now: &candidate.usage, paired };
    let slowdown = Slowdown::of(&sides, worst)?;
    let mut tested = resources::counters(&sides, &slowdown);
    tested.extend(resources::connections(&sides, &slowdown));
    if is_same_machine {
        tested.extend(resources::cpu_or_waiting(&sides, &slowdown));
        tested.extend(resources::switches(&sides, &slowdown));
        tested.extend(resources::memory(&sides, &slowdown));
    }
    tested.extend(over_time::over_time(&sides));
    let of_both = endpoints::of_both(&sides);
    let slower = endpoints::slower(&sides, &of_both);
    tested.extend(endpoints::answer_bytes(&sides, &slowdown, &slower));
    tested.extend(endpoints::failures(&of_both));
    let main = slower.iter().find(|slower| slower.share >= endpoints::ALONE).map(endpoints::Slower::name);
    if slowdown.is_mean_up() {
        tested.extend(shape::shape(&sides, &slowdown, main));
    }
    if of_both.len() > 1 {
        tested.extend(slower.iter().map(endpoints::Slower::tested));
    }
    Some(strongest_first(tested))
}

fn strongest_first(tested: Vec<Tested>) -> Vec<Cause> {
    let p_values: Vec<f64> = tested.iter().map(|tested| tested.p_value).collect();
    let rejected = holm(&p_values, FAMILY_ERROR);
    let mut causes = Vec::new();
    for (Tested { cause, .. }, rejected) in tested.into_iter().zip(rejected) {
        if rejected.is_rejected && cause.part >= LEAST_PART && cause.interval.is_finite() {
            causes.push(cause);
        }
    }
    causes.sort_by(|a, b| {
        let is_minor = |cause: &Cause| cause.part < MAIN_PART;
        let order = is_minor(a).cmp(&is_minor(b)).then(a.kind.rank().cmp(&b.kind.rank()));
        let factor = |cause: &Cause| contrast::factor(cause.baseline, cause.candidate);
        order.then(factor(b).total_cmp(&factor(a)))
    });
    causes.truncate(MOST);
    causes
}
