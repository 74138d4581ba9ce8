//! How often threads were taken from their cores, and how long they waited for one, from Linux's `/proc`.

use std::collections::HashMap;
use std::fs;

use crate::sys::proc;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Switches {
    pub voluntary: u64,
    pub involuntary: u64,
    /// How long threads could have run, but had no core, in ns.
    pub queued_ns: u64,
}

/// Adds up the switches of all threads, also of those that have ended meanwhile. What a thread did between the last
/// reading and its end is lost, and so is a thread that no reading met.
#[derive(Debug, Default)]
pub struct SwitchCounter {
    /// By process and thread.
    last: HashMap<(i32, i32), Switches>,
    sum: Switches,
}

impl SwitchCounter {
    pub(crate) fn read(&mut self, pids: impl IntoIterator<Item = i32>) -> Switches {
        let mut now = HashMap::new();
        for pid in pids {
            for tid in proc::ids_in(&format!("/proc/{pid}/task")) {
                if let Some(switches) = switches(pid, tid) {
                    now.insert((pid, tid), switches);
                }
            }
        }
        self.take(now)
    }

    fn take(&mut self, now: HashMap<(i32, i32), Switches>) -> Switches {
        for (thread, switches) in &now {
            let last = self.last.get(thread).copied().unwrap_or_default();
            // An id may be given out again.
            self.sum.voluntary += switches.voluntary.saturating_sub(last.voluntary);
            self.sum.involuntary += switches.involuntary.saturating_sub(last.involuntary);
            self.sum.queued_ns += switches.queued_ns.saturating_sub(last.queued_ns);
        }
        self.last = now;
        self.sum
    }
}

fn switches(pid: i32, tid: i32) -> Option<Switches> {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/task/{tid}/{name}")).ok();
    let queued_ns = parse_schedstat(&read("schedstat").unwrap_or_default());
    Some(Switches { queued_ns, ..parse_status(&read("status")?)? })
}

/// Parses the time on a core, the time in the queue for one, and the number of turns, as the kernel's `sched-stats.rst`
/// describes them. A kernel may be built without this file.
fn parse_schedstat(schedstat: &str) -> u64 {
    schedstat.split_whitespace().nth(1).and_then(|queued_ns| queued_ns.parse().ok()).unwrap_or(0)
}

/// Parses the two last lines of a status, as `proc_pid_status(5)` describes it.
fn parse_status(status: &str) -> Option<Switches> {
    let count = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    Some(Switches {
        voluntary: count("voluntary_ctxt_switches:")?,
        involuntary: count("nonvoluntary_ctxt_switches:")?,
        queued_ns: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_of_ended_threads_stay_in_the_sum() {
        let switches = |voluntary, involuntary| Switches { voluntary, involuntary, queued_ns: 100 * involuntary };
        let mut counter = SwitchCounter::default();
        let read = |counter: &mut SwitchCounter, threads: &[(i32, Switches)]| {
            counter.take(threads.iter().map(|(tid, switches)| ((1, *tid), *switches)).collect())
        };
        assert_eq!(read(&mut counter, &[(1, switches(10, 1)), (2, switches(5, 0))]), switches(15, 1));
        assert_eq!(read(&mut counter, &[(1, switches(12, 2))]), switches(17, 2));
        assert_eq!(read(&mut counter, &[(1, switches(12, 2)), (3, switches(4, 4))]), switches(21, 6));
        let status = "Name:\tsh\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t12\n";
        assert_eq!(parse_status(status), Some(Switches { queued_ns: 0, ..switches(150, 12) }));
        assert_eq!(parse_status("Name:\tsh\n"), None);
        assert_eq!(parse_schedstat("3058710 120042 12\n"), 120_042);
    }
}
