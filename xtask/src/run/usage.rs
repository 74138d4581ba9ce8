//! CPU and memory used by the service and by other processes during a load. Only Linux has these numbers.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use judge::model::run::Usage;

use crate::run::listener::Window;
use crate::sys::proc::{self, MachineTicks, Process};
use crate::sys::process::Group;

/// A sample reads a small file of every process.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);

/// Takes samples during a load, if the gate started the service. Other services cannot be told from the machine's processes.
#[derive(Default)]
pub struct Sampler {
    samples: Vec<Sample>,
    /// `None` before the first sample.
    due: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    /// Seconds since 1970.
    time_s: f64,
    machine: MachineTicks,
    own: OwnTotals,
}

/// The totals of our processes, in clock ticks and pages.
#[derive(Clone, Copy, Debug, PartialEq)]
struct OwnTotals {
    /// Of the gate and of everything that it has started.
    all_ticks: u64,
    service_ticks: u64,
    service_pages: u64,
}

impl Sampler {
    pub fn tick(&mut self, service: Option<&Group>) {
        let Some(service) = service else { return };
        let now = Instant::now();
        if self.due.is_some_and(|due| now < due) {
            return;
        }
        self.due = Some(now + SAMPLE_INTERVAL);
        self.samples.extend(Sample::take(service));
    }

    /// `None` if fewer than two samples lie in the measured window.
    pub fn usage(&self, window: &Window) -> Option<Usage> {
        let mut inside = self.samples.iter().filter(|sample| window.holds(sample.time_s));
        let first = inside.next()?;
        let last = inside.next_back()?;
        let passed = |of: fn(&Sample) -> u64| of(last).saturating_sub(of(first)) as f64;
        let all = passed(|sample| sample.machine.all);
        let seconds = last.time_s - first.time_s;
        if all <= 0.0 || seconds <= 0.0 || window.requests == 0 {
            return None;
        }
        let own = passed(|sample| sample.own.all_ticks);
        // Our ticks and the machine's are not read at the same moment, so ours may be more.
        let others = (passed(|sample| sample.machine.busy) - own).max(0.0);
        let units = proc::units();
        let service_cores = passed(|sample| sample.own.service_ticks) / units.ticks_per_second as f64 / seconds;
        let peak_pages = self.samples.iter().map(|sample| sample.own.service_pages).max()?;
        // The samples span a little less than the window, and stand for all of it.
        let cpu_ms = 1000.0 * service_cores * window.length_s;
        Some(Usage {
            others_pct: vec![rounded(100.0 * others / all)],
            cpu_ms_per_request: vec![rounded(cpu_ms / window.requests as f64)],
            peak_memory_mb: vec![rounded((peak_pages * units.page_bytes) as f64 / 1e6)],
        })
    }
}

/// Rounds to a thousandth, like all numbers of a baseline.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

impl Sample {
    fn take(service: &Group) -> Option<Sample> {
        let machine = proc::machine_ticks()?;
        let time_s = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
        let us = i32::try_from(std::process::id()).ok()?;
        let own = own_totals(&proc::processes(), us, |process| service.has_descendant(process.pid.cast_unsigned()));
        Some(Sample { time_s, machine, own })
    }
}

/// Sums up the use of `us`, of all our descendants, and of the service. `is_service` is asked about our children: some have left
/// the service's group, and were adopted by us.
fn own_totals(processes: &[Process], us: i32, is_service: impl Fn(&Process) -> bool) -> OwnTotals {
    let own = family(processes, BTreeSet::from([us]));
    let children = processes.iter().filter(|process| process.parent == us && is_service(process));
    let service = family(processes, children.map(|process| process.pid).collect());
    let mut used = OwnTotals { all_ticks: 0, service_ticks: 0, service_pages: 0 };
    for process in processes {
        if own.contains(&process.pid) {
            used.all_ticks += process.cpu_ticks;
        }
        if service.contains(&process.pid) {
            used.service_ticks += process.cpu_ticks;
            used.service_pages += process.resident_pages;
        }
    }
    used
}

/// These processes, all members of their groups, and all their children.
fn family(processes: &[Process], first: BTreeSet<i32>) -> BTreeSet<i32> {
    let mut family = first;
    loop {
        let known = family.len();
        for process in processes {
            if family.contains(&process.parent) || family.contains(&process.group) {
                family.insert(process.pid);
            }
        }
        if family.len() == known {
            return family;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, group: i32, cpu_ticks: u64) -> Process {
        Process { pid, parent, group, is_running: true, cpu_ticks, started_ticks: 0, resident_pages: 10 * cpu_ticks }
    }

    #[test]
    fn processes_of_a_service_are_summed_up_without_strangers() {
        let processes = [
            process(1, 0, 1, 10_000),
            // The shell that started us, and another process in its group.
            process(50, 1, 50, 10_000),
            process(51, 50, 50, 10_000),
            // A worker may have a lower id than what started it.
            process(60, 102, 101, 1000),
            process(100, 50, 50, 1),
            process(101, 100, 101, 2),
            process(102, 101, 101, 4),
            // A process that left the service's group and was adopted by us, and its child.
            process(103, 100, 103, 8),
            process(104, 103, 104, 16),
            // Locust and a worker.
            process(200, 100, 200, 32),
            process(201, 200, 200, 64),
        ];
        let used = own_totals(&processes, 100, |process| [101, 103].contains(&process.pid));
        assert_eq!(used, OwnTotals { all_ticks: 1127, service_ticks: 1030, service_pages: 10_300 });
    }

    /// A sample of a machine of four cores: we keep one and a half of them busy, and others keep half a core busy.
    fn sample(second: u32, service_pages: u64) -> Sample {
        let ticks = u64::from(second) * proc::units().ticks_per_second;
        Sample {
            time_s: 1000.0 + f64::from(second),
            machine: MachineTicks { busy: 77 + 2 * ticks, all: 777 + 4 * ticks },
            own: OwnTotals { all_ticks: 7 + 3 * ticks / 2, service_ticks: 5 + ticks / 2, service_pages },
        }
    }

    #[test]
    fn usage_covers_the_measured_window() {
        let pages = 3_000_000 / proc::units().page_bytes;
        // Before and after the window everything is different.
        let early = Sample { machine: MachineTicks { busy: 0, all: 0 }, ..sample(0, 2 * pages) };
        let taken = vec![early, sample(2, pages), sample(3, pages), sample(6, pages), sample(9, pages)];
        let sampler = Sampler { samples: taken, due: None };
        let window = Window { opened_s: 1001.5, length_s: 5.0, requests: 100 };
        let usage = sampler.usage(&window).unwrap();
        assert_eq!((usage.others_pct, usage.cpu_ms_per_request), (vec![12.5], vec![25.0]));
        let peak = usage.peak_memory_mb[0];
        assert!((5.9..=6.0).contains(&peak), "the peak of the whole load is {peak}");
        // We may seem to be busier than the whole machine.
        let partial =
            |second| Sample { machine: MachineTicks { busy: 0, ..sample(second, 1).machine }, ..sample(second, 1) };
        let partial = Sampler { samples: vec![partial(2), partial(6)], due: None };
        assert_eq!(partial.usage(&window).unwrap().others_pct, [0.0]);
        for window in [
            Window { opened_s: 1002.5, length_s: 1.0, requests: 100 },
            Window { opened_s: 2000.0, length_s: 5.0, requests: 100 },
            Window { opened_s: 1001.5, length_s: 5.0, requests: 0 },
        ] {
            assert_eq!(sampler.usage(&window), None, "{window:?}");
        }
    }
}
