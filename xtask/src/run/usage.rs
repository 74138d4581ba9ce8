//! CPU and memory used by the service and by other processes during a load. Only Linux has these numbers.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use judge::model::run::Usage;
use judge::stats::estimate::{mean, rounded};

use crate::run::counters::CounterValues;
use crate::run::listener::{ListenerFile, Window};
use crate::sys::proc::{self, MachineTicks, Process};
use crate::sys::process::Group;
use crate::sys::threads::{SwitchCounter, Switches};

/// A sample reads a small file of every process.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);

/// Takes samples during a load, if the gate started the service. Other services cannot be told from the machine's processes.
#[derive(Default)]
pub struct Sampler {
    samples: Vec<Sample>,
    switches: SwitchCounter,
    /// `None` before the first sample.
    due: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    /// Seconds since 1970.
    time_s: f64,
    machine: MachineTicks,
    own: OwnTotals,
    /// Of the service, since it was first looked at.
    switches: Switches,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct OwnTotals {
    /// Of the gate and of everything that it has started.
    all_ticks: u64,
    service_ticks: u64,
    service_pages: u64,
}

impl Sampler {
    pub fn tick(&mut self, service: &Group) {
        let now = Instant::now();
        if self.due.is_some_and(|due| now < due) {
            return;
        }
        self.due = Some(now + SAMPLE_INTERVAL);
        self.samples.extend(Sample::take(service, &mut self.switches));
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
        let whole = window.length_s / seconds / window.requests as f64;
        let per_request = |of: fn(&Sample) -> u64| vec![rounded(passed(of) * whole)];
        let cpu_ms = 1000.0 * service_cores * window.length_s;
        // Every service waits for a core now and then, if the kernel counts it.
        let queued_ms =
            Some(passed(|sample| sample.switches.queued_ns) / 1e6 * whole).filter(|queued_ms| *queued_ms > 0.0);
        Some(Usage {
            others_pct: vec![rounded(100.0 * others / all)],
            cpu_ms_per_request: vec![rounded(cpu_ms / window.requests as f64)],
            peak_memory_mb: vec![rounded((peak_pages * units.page_bytes) as f64 / 1e6)],
            memory_growth_mb: vec![rounded(self.growth_pages(window) * units.page_bytes as f64 / 1e6)],
            voluntary_switches_per_request: per_request(|sample| sample.switches.voluntary),
            involuntary_switches_per_request: per_request(|sample| sample.switches.involuntary),
            queued_ms_per_request: queued_ms.map(rounded).into_iter().collect(),
            ..Usage::default()
        })
    }

    /// The mean of the last quarter of the window less the mean of the first.
    fn growth_pages(&self, window: &Window) -> f64 {
        let mean_from = |from: f64, to: f64| {
            let place = |sample: &&Sample| (from..=to).contains(&((sample.time_s - window.opened_s) / window.length_s));
            let pages: Vec<f64> =
                self.samples.iter().filter(place).map(|sample| sample.own.service_pages as f64).collect();
            (!pages.is_empty()).then(|| mean(&pages))
        };
        let growth = mean_from(0.0, 0.25).zip(mean_from(0.75, 1.0)).map_or(0.0, |(first, last)| last - first);
        growth.max(0.0)
    }
}

/// `rises` is how much each of the user's counters rose.
pub fn of_run(sampler: &Sampler, listener: &ListenerFile, rises: &CounterValues) -> Usage {
    let Some(window) = listener.window else { return Usage::default() };
    let mut usage = sampler.usage(&window).unwrap_or_default();
    let requests = window.requests as f64;
    if window.requests > 0 {
        let connections = listener.connections;
        usage.connections_per_request =
            connections.map(|opened| rounded(opened as f64 / requests)).into_iter().collect();
        let per_request = |(name, rise): (&String, &f64)| (name.clone(), vec![rounded(rise / requests)]);
        usage.counters_per_request = rises.iter().map(per_request).collect();
    }
    usage
}

impl Sample {
    fn take(service: &Group, counter: &mut SwitchCounter) -> Option<Sample> {
        let machine = proc::machine_ticks()?;
        let time_s = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
        let us = i32::try_from(std::process::id()).ok()?;
        let processes = proc::processes();
        let service = service_pids(&processes, us, |process| service.has_descendant(process.pid.cast_unsigned()));
        let own = own_totals(&processes, us, &service);
        Some(Sample { time_s, machine, own, switches: counter.read(service) })
    }
}

/// The processes of the service. `is_service` is asked about our children: some have left its group, and were adopted by us.
fn service_pids(processes: &[Process], us: i32, is_service: impl Fn(&Process) -> bool) -> BTreeSet<i32> {
    let children = processes.iter().filter(|process| process.parent == us && is_service(process));
    family(processes, children.map(|process| process.pid).collect())
}

fn own_totals(processes: &[Process], us: i32, service: &BTreeSet<i32>) -> OwnTotals {
    let own = family(processes, BTreeSet::from([us]));
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
        let service = service_pids(&processes, 100, |process| [101, 103].contains(&process.pid));
        let used = own_totals(&processes, 100, &service);
        assert_eq!(used, OwnTotals { all_ticks: 1127, service_ticks: 1030, service_pages: 10_300 });
    }

    /// A sample of a machine of four cores: we keep one and a half of them busy, and others keep half a core busy.
    fn sample(second: u32, service_pages: u64) -> Sample {
        let ticks = u64::from(second) * proc::units().ticks_per_second;
        Sample {
            time_s: 1000.0 + f64::from(second),
            machine: MachineTicks { busy: 77 + 2 * ticks, all: 777 + 4 * ticks },
            own: OwnTotals { all_ticks: 7 + 3 * ticks / 2, service_ticks: 5 + ticks / 2, service_pages },
            switches: Switches {
                voluntary: 40 * u64::from(second),
                involuntary: 4 * u64::from(second),
                queued_ns: 1_000_000 * u64::from(second),
            },
        }
    }

    #[test]
    fn usage_covers_the_measured_window() {
        let pages = 3_000_000 / proc::units().page_bytes;
        // Before and after the window everything is different.
        let early = Sample { machine: MachineTicks { busy: 0, all: 0 }, ..sample(0, 2 * pages) };
        let taken = vec![early, sample(2, pages), sample(3, pages), sample(6, pages), sample(9, pages)];
        let sampler = Sampler { samples: taken, ..Sampler::default() };
        let window = Window { opened_s: 1001.5, length_s: 5.0, requests: 100 };
        let usage = sampler.usage(&window).unwrap();
        assert_eq!((usage.others_pct, usage.cpu_ms_per_request), (vec![12.5], vec![25.0]));
        assert_eq!(usage.voluntary_switches_per_request, [2.0]);
        assert_eq!(usage.involuntary_switches_per_request, [0.2]);
        assert_eq!(usage.queued_ms_per_request, [0.05]);
        assert_eq!(usage.memory_growth_mb, [0.0], "it fell");
        let peak = usage.peak_memory_mb[0];
        assert!((5.9..=6.0).contains(&peak), "the peak of the whole load is {peak}");
        // We may seem to be busier than the whole machine.
        let partial =
            |second| Sample { machine: MachineTicks { busy: 0, ..sample(second, 1).machine }, ..sample(second, 1) };
        let partial = Sampler { samples: vec![partial(2), partial(6)], ..Sampler::default() };
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
