//! What each request takes of the service and of the machine.

use crate::model::run::{Metric, Usage};
use crate::verdict::causes::contrast::Contrast;
use crate::verdict::causes::{Kind, Sides, Slowdown, Tested};

/// A counter's least factor, and its least rise per request: a rarer event cannot slow the requests.
const COUNTER_FACTOR: f64 = 1.1;
const COUNTER_RISE: f64 = 0.01;

/// The least rise of the connections opened for each request.
const CONNECTIONS_RISE: f64 = 0.1;

/// The least factor of the CPU time, and the same if others took the CPU: two threads that share a core slow each other.
const CPU_FACTOR: f64 = 1.1;
const CPU_FACTOR_ON_BUSY_MACHINE: f64 = 1.5;

/// A service waits if its CPU time can account for less than this part of the slowdown.
const WAITING_CPU: f64 = 0.5;

/// From so many more percent of the cores on, others may be why a service waits.
const OTHERS_RISE_PCT: f64 = 10.0;

/// The ticks of the kernel's clock that a run must count: fewer are too coarse. A tick is 10 ms.
const LEAST_TICKS: f64 = 20.0;
const TICK_MS: f64 = 10.0;

const SWITCHES_FACTOR: f64 = 1.3;
const SWITCHES_RISE: f64 = 0.5;

const MEMORY_FACTOR: f64 = 1.3;
const MEMORY_RISE_MB: f64 = 10.0;

/// Switches and memory go with a cause, and are none: they never account for half.
const INDIRECT: f64 = 0.4;

/// Something that happens so often per second whatever the load is happens more often for each request if there are fewer
/// of them. It has no larger factor per second than this.
const STEADY_FACTOR: f64 = 1.05;

impl Sides<'_> {
    fn used(&self, of: fn(&Usage) -> &[f64]) -> Option<Contrast> {
        self.contrast(of(self.used_before?), of(self.used_now?))
    }

    /// Whether it only seems to rise because there were fewer requests.
    fn is_steady(&self, contrast: &Contrast) -> bool {
        let rates = |runs: &[f64]| runs.iter().sum::<f64>() / runs.len() as f64;
        let before = rates(self.baseline.total_runs(Metric::RequestsPerSec));
        let now = rates(&self.total(Metric::RequestsPerSec));
        contrast.factor() * now / before < STEADY_FACTOR
    }

    fn others_rose(&self) -> bool {
        let mean = |usage: Option<&Usage>| {
            let others = &usage?.others_pct;
            Some(others.iter().sum::<f64>() / others.len().max(1) as f64)
        };
        let rise = mean(self.used_now).zip(mean(self.used_before)).map(|(now, before)| now - before);
        rise.is_some_and(|rise| rise >= OTHERS_RISE_PCT)
    }
}

pub(super) fn counters(sides: &Sides, slowdown: &Slowdown) -> Vec<Tested> {
    let (Some(before), Some(now)) = (sides.used_before, sides.used_now) else { return Vec::new() };
    let mut tested = Vec::new();
    for (name, values) in &now.counters_per_request {
        // A counter that the baseline's service did not have counted nothing there.
        let none = vec![0.0; sides.baseline.total_runs(Metric::P95).len()];
        let has_counters = !before.counters_per_request.is_empty();
        let Some(before) = before.counters_per_request.get(name).or(has_counters.then_some(&none)) else { continue };
        let Some(contrast) = sides.contrast(before, values) else { continue };
        let is_more = contrast.factor() >= COUNTER_FACTOR && contrast.rise() >= COUNTER_RISE;
        if is_more && !sides.is_steady(&contrast) {
            let part = slowdown.part_of_factor(contrast.factor());
            tested.push(Tested::of(Kind::Counter(name.clone()), &contrast, part));
        }
    }
    tested
}

pub(super) fn connections(sides: &Sides, slowdown: &Slowdown) -> Option<Tested> {
    let contrast = sides.used(|usage| &usage.connections_per_request)?;
    let part = slowdown.part_of_factor(contrast.factor());
    (contrast.rise() >= CONNECTIONS_RISE).then(|| Tested::of(Kind::Connections, &contrast, part))
}

/// If the CPU time rose enough, the service computes more. If the CPU time cannot be why, while the response time rose, the
/// service waits: for a database, a lock, the network, or in a sleep.
pub(super) fn cpu_or_waiting(sides: &Sides, slowdown: &Slowdown) -> Option<Tested> {
    let cpu = sides.used(|usage| &usage.cpu_ms_per_request)?;
    let others_rose = sides.others_rose();
    let requests = sides.total(Metric::TotalRequests);
    let requests = requests.iter().sum::<f64>() / requests.len() as f64;
    let rise_ms = slowdown.mean.rise().max(f64::MIN_POSITIVE);
    // Whoever is under way may have waited for the CPU time of all others that are.
    let part = |cpu_ms: f64| (cpu_ms * slowdown.under_way / rise_ms).clamp(0.0, 1.0);
    let least = if others_rose { CPU_FACTOR_ON_BUSY_MACHINE } else { CPU_FACTOR };
    let is_fine = cpu.candidate * requests >= LEAST_TICKS * TICK_MS;
    if is_fine && cpu.factor() >= least && cpu.interval.low > 0.0 && part(cpu.rise()) >= super::LEAST_PART {
        return Some(Tested::of(Kind::Cpu, &cpu, part(cpu.rise())));
    }
    // Each end of the window falls between two ticks.
    let most_ms = cpu.highest_rise().max(0.0) + 2.0 * TICK_MS / requests;
    let waits = slowdown.is_mean_up() && !others_rose && part(most_ms) < WAITING_CPU;
    let kind = Kind::Waiting { cpu_ms: [cpu.baseline, cpu.candidate] };
    waits.then(|| Tested::of(kind, &slowdown.mean, 1.0 - part(cpu.rise())))
}

pub(super) fn switches(sides: &Sides, slowdown: &Slowdown) -> Vec<Tested> {
    let mut tested = Vec::new();
    let mut test = |kind: Kind, contrast: Option<Contrast>| {
        let Some(contrast) = contrast else { return };
        let is_more = contrast.factor() >= SWITCHES_FACTOR && contrast.rise() >= SWITCHES_RISE;
        if is_more && !sides.is_steady(&contrast) {
            tested.push(Tested::of(kind, &contrast, INDIRECT * slowdown.part_of_factor(contrast.factor())));
        }
    };
    test(Kind::VoluntarySwitches, sides.used(|usage| &usage.voluntary_switches_per_request));
    if !sides.others_rose() {
        test(Kind::InvoluntarySwitches, sides.used(|usage| &usage.involuntary_switches_per_request));
    }
    tested
}

pub(super) fn memory(sides: &Sides, slowdown: &Slowdown) -> Vec<Tested> {
    let mut tested = Vec::new();
    let mut test = |kind: Kind, contrast: Option<Contrast>| {
        let Some(contrast) = contrast else { return };
        if contrast.factor() >= MEMORY_FACTOR && contrast.rise() >= MEMORY_RISE_MB {
            tested.push(Tested::of(kind, &contrast, INDIRECT * slowdown.part_of_factor(contrast.factor())));
        }
    };
    test(Kind::MemoryGrowth, sides.used(|usage| &usage.memory_growth_mb));
    test(Kind::PeakMemory, sides.used(|usage| &usage.peak_memory_mb));
    tested
}
