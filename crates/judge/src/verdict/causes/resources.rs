//! What each request takes of the service and of the machine.

use crate::model::run::{Metric, Usage};
use crate::stats::estimate::mean;
use crate::verdict::causes::contrast::Contrast;
use crate::verdict::causes::{BothSides, Kind, Slowdown, Tested};

/// A counter's least factor, and its least rise per request: a rarer event cannot slow the requests.
const COUNTER_FACTOR: f64 = 1.1;
const COUNTER_RISE: f64 = 0.01;

const CONNECTIONS_RISE: f64 = 0.1;

/// The least factor of the CPU time, and the same on a busy machine: programs that share a core and its caches slow
/// each other, by up to a fifth between equal runs.
const CPU_FACTOR: f64 = 1.1;
const CPU_FACTOR_ON_BUSY_MACHINE: f64 = 1.5;

/// A service waits if its CPU time can account for less than this part of the slowdown.
const WAITING_CPU: f64 = 0.5;

/// From so many more percent of the cores on, others may be why a service waits.
const OTHERS_RISE_PCT: f64 = 10.0;

/// The percent of the cores from which on others make a machine a busy one.
const BUSY_PCT: f64 = 25.0;

/// The ticks of the kernel's clock that a run must count: fewer are too coarse. A tick is 10 ms.
const LEAST_TICKS: f64 = 20.0;
const TICK_MS: f64 = 10.0;

const SWITCHES_FACTOR: f64 = 1.3;
const SWITCHES_RISE: f64 = 0.5;

const MEMORY_FACTOR: f64 = 1.3;
const MEMORY_RISE_MB: f64 = 10.0;

/// Switches and memory go with a cause, and are none: they never account for half.
const INDIRECT: f64 = 0.4;

/// The least factor per second of what rose for each request: what happens every second, whatever the load is, happens
/// more often for each of fewer requests.
const FACTOR_PER_SECOND: f64 = 1.05;

impl BothSides<'_> {
    fn used(&self, of: fn(&Usage) -> &[f64]) -> Option<Contrast> {
        self.contrast(of(self.used_before), of(self.used_now))
    }

    fn rose_per_second(&self, before: &[f64], now: &[f64]) -> bool {
        let per_second = |values: &[f64], rates: &[f64]| -> Vec<f64> {
            values.iter().zip(rates).map(|(value, rate)| value * rate).collect()
        };
        let before = per_second(before, self.baseline.total_runs(Metric::RequestsPerSec));
        let contrast = self.contrast(&before, &per_second(now, &self.total(Metric::RequestsPerSec)));
        let rose =
            |contrast: &Contrast| contrast.factor() >= FACTOR_PER_SECOND && contrast.p_value <= super::FAMILY_ERROR;
        contrast.as_ref().is_some_and(rose)
    }

    fn others_pct(&self) -> [f64; 2] {
        [self.used_before, self.used_now]
            .map(|usage| usage.others_pct.iter().sum::<f64>() / usage.others_pct.len().max(1) as f64)
    }

    fn others_rose(&self) -> bool {
        let [before, now] = self.others_pct();
        now - before >= OTHERS_RISE_PCT
    }

    fn is_busy(&self) -> bool {
        self.others_rose() || self.others_pct().iter().any(|others_pct| *others_pct >= BUSY_PCT)
    }
}

pub(super) fn counters(sides: &BothSides, slowdown: &Slowdown) -> Vec<Tested> {
    let before = sides.used_before;
    let mut tested = Vec::new();
    for (name, values) in &sides.used_now.counters_per_request {
        // A counter that the baseline's service did not have counted nothing there.
        let none = vec![0.0; sides.baseline.total_runs(Metric::P95).len()];
        let has_counters = !before.counters_per_request.is_empty();
        let Some(before) = before.counters_per_request.get(name).or(has_counters.then_some(&none)) else { continue };
        let kind = Kind::Counter(name.clone());
        tested.extend(per_request(sides, slowdown, kind, [before, values], [COUNTER_FACTOR, COUNTER_RISE]));
    }
    tested
}

pub(super) fn connections(sides: &BothSides, slowdown: &Slowdown) -> Option<Tested> {
    let values = [sides.used_before, sides.used_now].map(|usage| &usage.connections_per_request[..]);
    // Each user opens one, however few requests follow.
    per_request(sides, slowdown, Kind::Connections, values, [0.0, CONNECTIONS_RISE])
}

/// What comes with each request: a cause if it rose by the least factor and the least rise, and per second too.
fn per_request(
    sides: &BothSides,
    slowdown: &Slowdown,
    kind: Kind,
    [before, now]: [&[f64]; 2],
    [least_factor, least_rise]: [f64; 2],
) -> Option<Tested> {
    let contrast = sides.contrast(before, now)?;
    let is_more = contrast.factor() >= least_factor && contrast.rise() >= least_rise;
    let is_cause = is_more && sides.rose_per_second(before, now);
    let part = if is_cause { slowdown.part_of_factor(contrast.factor()) } else { 0.0 };
    Some(Tested::of(kind, &contrast, part))
}

/// If the CPU time rose enough, the service computes more. If it cannot be why the response time rose, the service
/// waits: for a database, a lock, the network, or in a sleep.
pub(super) fn cpu_or_waiting(sides: &BothSides, slowdown: &Slowdown) -> Option<Tested> {
    let cpu = sides.used(|usage| &usage.cpu_ms_per_request)?;
    let requests = mean(&sides.total(Metric::TotalRequests));
    // Next to a smaller rise anything would seem large.
    let rise_ms = slowdown.mean.rise().max((super::LEAST_FACTOR - 1.0) * slowdown.mean.baseline);
    let queued = sides.used(|usage| &usage.queued_ms_per_request);
    // Each request under way may have waited for the CPU time of all others.
    let part = |cpu_ms: f64| (cpu_ms * slowdown.under_way / rise_ms).clamp(0.0, 1.0);
    let least = if sides.is_busy() { CPU_FACTOR_ON_BUSY_MACHINE } else { CPU_FACTOR };
    let is_fine = cpu.candidate * requests >= LEAST_TICKS * TICK_MS;
    // Each end of the window falls between two ticks.
    let most_queued_ms = queued.as_ref().map_or(0.0, |queued| queued.highest_rise().max(0.0));
    let most_ms = cpu.highest_rise().max(0.0) + 2.0 * TICK_MS / requests + most_queued_ms;
    let may_be_others = queued.is_none() && sides.others_rose();
    let waits = slowdown.is_mean_up() && !may_be_others && part(most_ms) < WAITING_CPU;
    // Others wait while it waits for a core to go on.
    let cpu_part = part(cpu.rise() + queued.as_ref().map_or(0.0, |queued| queued.rise().max(0.0)));
    let computes = is_fine && cpu.factor() >= least && cpu.interval.low > 0.0;
    Some(if waits && !(computes && cpu_part >= super::LEAST_PART) {
        let kind = Kind::Waiting { cpu_ms: [cpu.baseline, cpu.candidate] };
        Tested::of(kind, &slowdown.mean, 1.0 - part(cpu.rise()))
    } else {
        Tested::of(Kind::Cpu, &cpu, if computes { cpu_part } else { 0.0 })
    })
}

pub(super) fn switches(sides: &BothSides, slowdown: &Slowdown) -> Vec<Tested> {
    let test = |kind: Kind, of: fn(&Usage) -> &[f64], share: f64| {
        let values = [sides.used_before, sides.used_now].map(of);
        let mut tested = per_request(sides, slowdown, kind, values, [SWITCHES_FACTOR, SWITCHES_RISE])?;
        tested.cause.part *= share;
        Some(tested)
    };
    let share_beside_others = if sides.others_rose() { 0.0 } else { INDIRECT };
    let voluntary = test(Kind::VoluntarySwitches, |usage| &usage.voluntary_switches_per_request, INDIRECT);
    let involuntary =
        test(Kind::InvoluntarySwitches, |usage| &usage.involuntary_switches_per_request, share_beside_others);
    voluntary.into_iter().chain(involuntary).collect()
}

pub(super) fn memory(sides: &BothSides, slowdown: &Slowdown) -> Vec<Tested> {
    let test = |kind: Kind, of: fn(&Usage) -> &[f64]| {
        let contrast = sides.used(of)?;
        let is_cause = contrast.factor() >= MEMORY_FACTOR && contrast.rise() >= MEMORY_RISE_MB;
        let part = if is_cause { INDIRECT * slowdown.part_of_factor(contrast.factor()) } else { 0.0 };
        Some(Tested::of(kind, &contrast, part))
    };
    let growth = test(Kind::MemoryGrowth, |usage| &usage.memory_growth_mb);
    growth.into_iter().chain(test(Kind::PeakMemory, |usage| &usage.peak_memory_mb)).collect()
}
