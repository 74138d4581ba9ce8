//! What is used of the machine during a load, by the service and by others, as Linux tells it in `/proc`. Elsewhere
//! nothing is told.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use judge::model::run::Usage;
use rustix::param::{clock_ticks_per_second, page_size};

use crate::run::listener::Window;
use crate::sys::orphans::{self, Process};
use crate::sys::process::Group;

/// The time between two samples. Each reads a small file of every process.
const BETWEEN_SAMPLES: Duration = Duration::from_millis(500);

/// Takes samples during a load. Where the gate has not started the service there are none: nobody can tell it from what
/// else runs on the machine.
#[derive(Default)]
pub struct Sampler {
    samples: Vec<Sample>,
    /// The moment of the next sample; `None` before the first.
    due: Option<Instant>,
}

/// The clock ticks and the memory used by now.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    /// Seconds since 1970.
    time_s: f64,
    machine: MachineTicks,
    own: OwnUse,
}

/// The time of all cores since the machine was started, in clock ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
struct MachineTicks {
    busy: u64,
    all: u64,
}

/// What our own processes have used, in clock ticks and pages.
#[derive(Clone, Copy, Debug, PartialEq)]
struct OwnUse {
    /// Of everything that the gate has started, and of the gate.
    all_ticks: u64,
    service_ticks: u64,
    service_pages: u64,
}

impl Sampler {
    /// Takes a sample where one is due.
    pub fn tick(&mut self, service: Option<&Group>) {
        let Some(service) = service else { return };
        let now = Instant::now();
        if self.due.is_some_and(|due| now < due) {
            return;
        }
        self.due = Some(now + BETWEEN_SAMPLES);
        self.samples.extend(Sample::take(service));
    }

    /// Returns what was used over the measured window, by the samples that lie in it; `None` where fewer than two do.
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
        // Ours and the machine's are not read in the same moment.
        let others = (passed(|sample| sample.machine.busy) - own).max(0.0);
        let service_cores = passed(|sample| sample.own.service_ticks) / clock_ticks_per_second() as f64 / seconds;
        let peak_pages = self.samples.iter().map(|sample| sample.own.service_pages).max()?;
        // The samples span a little less than the window, and are taken for all of it.
        let cpu_ms = 1000.0 * service_cores * window.length_s;
        Some(Usage {
            others_pct: vec![rounded(100.0 * others / all)],
            cpu_ms_per_request: vec![rounded(cpu_ms / window.requests as f64)],
            peak_memory_mb: vec![rounded(peak_pages as f64 * page_size() as f64 / 1e6)],
        })
    }
}

/// Rounds to a thousandth, as the baseline has all numbers.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

impl Sample {
    /// Takes a sample; `None` where the system does not tell.
    fn take(service: &Group) -> Option<Sample> {
        let machine = machine_ticks(&fs::read_to_string("/proc/stat").ok()?)?;
        let time_s = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
        let us = i32::try_from(std::process::id()).ok()?;
        let own = own_use(&orphans::all(), us, |process| service.owns(process.pid.cast_unsigned()));
        Some(Sample { time_s, machine, own })
    }
}

/// Parses the first line of `/proc/stat`, as `proc_stat(5)` has it: the time in user space, niced, in the kernel, idle,
/// waiting for a disk, in interrupts and soft interrupts, stolen. What follows is part of the first two.
fn machine_ticks(stat: &str) -> Option<MachineTicks> {
    let mut ticks = [0; 8];
    let mut fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    for ticks in &mut ticks {
        *ticks = fields.next()?.parse().ok()?;
    }
    let [user, nice, kernel, idle, waiting, interrupts, soft_interrupts, stolen] = ticks;
    let busy = user + nice + kernel + interrupts + soft_interrupts + stolen;
    Some(MachineTicks { busy, all: busy + idle + waiting })
}

/// Sums up what was used by `us` and all that we have started, and by the service. `is_service` tells of a child of
/// ours whether it is the service's first process, or what left the service's group and was adopted by us.
fn own_use(processes: &[Process], us: i32, is_service: impl Fn(&Process) -> bool) -> OwnUse {
    let own = family(processes, BTreeSet::from([us]));
    let children = processes.iter().filter(|process| process.parent == us && is_service(process));
    let service = family(processes, children.map(|process| process.pid).collect());
    let mut used = OwnUse { all_ticks: 0, service_ticks: 0, service_pages: 0 };
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

/// Returns the ids of these processes, of all that are in their groups, and of all that any of them has started.
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

    #[test]
    fn the_time_of_the_machine_is_read_from_proc() {
        let stat = "cpu  100 20 30 1000 50 4 5 6 7 8\ncpu0 1 2 3 4 5 6 7 8 9 10\nintr 1\n";
        assert_eq!(machine_ticks(stat), Some(MachineTicks { busy: 165, all: 1215 }));
        for broken in ["", "cpu  1 2 3\n", "cpu  1 2 3 4 5 6 7 x\n", "cpu0 1 2 3 4 5 6 7 8\n"] {
            assert_eq!(machine_ticks(broken), None, "{broken}");
        }
    }

    fn process(pid: i32, parent: i32, group: i32, cpu_ticks: u64) -> Process {
        Process { pid, parent, group, is_running: true, cpu_ticks, resident_pages: 10 * cpu_ticks }
    }

    #[test]
    fn a_service_of_several_processes_is_summed_up_and_others_are_not_ours() {
        let processes = [
            process(1, 0, 1, 10_000),
            // The shell that started us, and a neighbour of ours there.
            process(50, 1, 50, 10_000),
            process(51, 50, 50, 10_000),
            // A worker may have a lower id than what started it.
            process(60, 102, 101, 1000),
            process(100, 50, 50, 1),
            process(101, 100, 101, 2),
            process(102, 101, 101, 4),
            // It left the service's group, its parent ended, and we adopted it; its own child did the same.
            process(103, 100, 103, 8),
            process(104, 103, 104, 16),
            // Locust, and a worker of it.
            process(200, 100, 200, 32),
            process(201, 200, 200, 64),
        ];
        let used = own_use(&processes, 100, |process| [101, 103].contains(&process.pid));
        assert_eq!(used, OwnUse { all_ticks: 1127, service_ticks: 1030, service_pages: 10_300 });
    }

    /// A sample of a machine of four cores of which ours keep one and a half busy, and others half a one.
    fn sample(second: u32, service_pages: u64) -> Sample {
        let ticks = u64::from(second) * clock_ticks_per_second();
        Sample {
            time_s: 1000.0 + f64::from(second),
            machine: MachineTicks { busy: 77 + 2 * ticks, all: 777 + 4 * ticks },
            own: OwnUse { all_ticks: 7 + 3 * ticks / 2, service_ticks: 5 + ticks / 2, service_pages },
        }
    }

    #[test]
    fn what_is_used_is_that_of_the_measured_window() {
        let pages = 3_000_000 / page_size() as u64;
        // Before and after the window everything is different.
        let early = Sample { machine: MachineTicks { busy: 0, all: 0 }, ..sample(0, 2 * pages) };
        let taken = vec![early, sample(2, pages), sample(3, pages), sample(6, pages), sample(9, pages)];
        let sampler = Sampler { samples: taken, due: None };
        let window = Window { opened_s: 1001.5, length_s: 5.0, requests: 100 };
        let usage = sampler.usage(&window).unwrap();
        assert_eq!((usage.others_pct, usage.cpu_ms_per_request), (vec![12.5], vec![25.0]));
        let peak = usage.peak_memory_mb[0];
        assert!((5.9..=6.0).contains(&peak), "the peak is of the whole load, and it is {peak}");
        // Ours and the machine's are not read at once, so ours may seem to be more than all.
        let partial =
            |second| Sample { machine: MachineTicks { busy: 0, ..sample(second, 1).machine }, ..sample(second, 1) };
        let partial = Sampler { samples: vec![partial(2), partial(6)], due: None };
        assert_eq!(partial.usage(&window).unwrap().others_pct, [0.0]);
        for untold in [
            Window { opened_s: 1002.5, length_s: 1.0, requests: 100 },
            Window { opened_s: 2000.0, length_s: 5.0, requests: 100 },
            Window { opened_s: 1001.5, length_s: 5.0, requests: 0 },
        ] {
            assert_eq!(sampler.usage(&untold), None, "{untold:?}");
        }
    }
}
