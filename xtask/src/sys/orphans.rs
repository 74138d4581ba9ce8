//! What left the process group that it was started in, as `setsid` and daemons do. On Linux we adopt it once its parent
//! is gone, and a variable that it inherited tells whose it is.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use judge::model::text::printable;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// The variable that tells to which group a process belongs.
const MARK: &str = "PERF_GROUP";

/// The time between two looks: short against everything that is waited for, long enough to cost no measurable CPU beside
/// the load.
pub const POLL: Duration = Duration::from_millis(10);

/// The time for what is killed to be gone.
const KILL_GRACE: Duration = Duration::from_secs(2);

/// Says that we adopt.
static ADOPTS: AtomicBool = AtomicBool::new(false);

/// The children that we started ourselves, and that somebody here waits for.
static OWN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

fn own() -> MutexGuard<'static, BTreeSet<i32>> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Becomes the parent of every process below us whose own parent is gone. Elsewhere than on Linux they go to init.
pub fn adopt() {
    #[cfg(target_os = "linux")]
    {
        let is_adopting = rustix::process::set_child_subreaper(Some(rustix::process::getpid())).is_ok();
        ADOPTS.store(is_adopting, Ordering::Relaxed);
    }
}

/// A child of our own, registered as long as this lives.
pub struct Registered(i32);

impl Registered {
    /// Registers a child.
    pub fn new(pid: Pid) -> Registered {
        own().insert(pid.as_raw_nonzero().get());
        Registered(pid.as_raw_nonzero().get())
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        own().remove(&self.0);
    }
}

/// The mark of one group, which everything below it inherits.
pub struct Mark(String);

impl Mark {
    /// Marks the command of a new group.
    pub fn put_on(command: &mut Command) -> Mark {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mark = format!("{}.{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        command.env(MARK, &mark);
        Mark(mark)
    }

    /// Returns whether a process has this mark; `None` where that is not told.
    fn is_on(&self, pid: i32) -> Option<bool> {
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let marked = environment
            .split(|byte| *byte == 0)
            .find_map(|variable| variable.strip_prefix(MARK.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")));
        marked.map(|mark| mark == self.0.as_bytes())
    }

    /// Returns whether a process belongs to the group that `leader` leads: by its group, its mark, or its parents.
    pub fn owns(&self, leader: Pid, pid: u32) -> bool {
        let leader = leader.as_raw_nonzero().get();
        let mut pid = i32::try_from(pid).unwrap_or(0);
        // A chain of parents longer than this is none.
        for _ in 0..1000 {
            if pid == leader || self.is_on(pid) == Some(true) {
                return true;
            }
            let Some(process) = Process::read(pid) else { return false };
            if process.group == leader {
                return true;
            }
            pid = process.parent;
        }
        false
    }

    /// Returns the processes that the group left to us. What does not tell its mark is left by the last group.
    fn left(&self) -> Vec<Pid> {
        let own = own().clone();
        let mut left = Vec::new();
        for process in adopted(&own) {
            let Some(pid) = Pid::from_raw(process.pid) else { continue };
            if !process.is_running {
                let _ = waitpid(Some(pid), WaitOptions::NOHANG);
            } else if self.is_on(process.pid).unwrap_or(own.is_empty()) {
                left.push(pid);
            }
        }
        left
    }

    /// Ends what the group left to us: by SIGTERM, and after `grace` by SIGKILL. Returns whether that was needed.
    pub fn end_left(&self, grace: Duration) -> bool {
        let mut asked = BTreeSet::new();
        let deadline = Instant::now() + grace;
        let mut was_killed = false;
        loop {
            let left = self.left();
            if left.is_empty() || Instant::now() >= deadline + KILL_GRACE {
                return was_killed;
            }
            let is_late = Instant::now() >= deadline;
            was_killed |= is_late;
            for pid in left {
                if is_late {
                    let _ = kill_process(pid, Signal::KILL);
                } else if asked.insert(pid.as_raw_nonzero()) {
                    let _ = kill_process(pid, Signal::TERM);
                }
            }
            thread::sleep(POLL);
        }
    }

    /// Describes a process that runs on though the leader has ended.
    pub fn survivor(&self, leader: Pid) -> Option<String> {
        let leader = leader.as_raw_nonzero().get();
        let left = || self.left().first().map(|pid| pid.as_raw_nonzero().get());
        let member = || all().into_iter().find(|process| process.group == leader && process.is_running);
        let find = || left().or_else(|| member().map(|process| process.pid));
        // A process that was just leaving its group, or becoming another program, is found at the next look.
        let may_be_ours = |process: &Process| process.is_running && self.is_on(process.pid) != Some(false);
        let deadline = Instant::now() + KILL_GRACE;
        let mut found = find();
        while found.is_none() && adopted(&own().clone()).iter().any(may_be_ours) && Instant::now() < deadline {
            thread::sleep(POLL);
            found = find();
        }
        let pid = found?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        Some(format!("`{}` (process {pid})", printable(name.trim())))
    }
}

/// Returns the processes that we have adopted: children of ours that we did not start ourselves.
fn adopted(own: &BTreeSet<i32>) -> Vec<Process> {
    if !ADOPTS.load(Ordering::Relaxed) {
        return Vec::new();
    }
    let us = i32::try_from(std::process::id()).unwrap_or(0);
    let is_own = |process: &Process| own.contains(&process.pid) || own.contains(&process.group);
    all().into_iter().filter(|process| process.parent == us && !is_own(process)).collect()
}

/// A process as `/proc` shows it.
#[derive(Debug, PartialEq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// The id of its parent.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// Says that it is no zombie, which has ended and only waits for its parent.
    pub is_running: bool,
    /// The CPU time that it and its children that have ended took, in clock ticks.
    pub cpu_ticks: u64,
    /// The memory of it that is resident, in pages.
    pub resident_pages: u64,
}

impl Process {
    fn read(pid: i32) -> Option<Process> {
        parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }
}

/// Returns all processes; none where there is no `/proc`.
pub fn all() -> Vec<Process> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.flatten().filter_map(|process| process.file_name().to_str()?.parse().ok());
    pids.filter_map(Process::read).collect()
}

/// Parses `PID (NAME) STATE PARENT GROUP ...`, as `proc_pid_stat(5)` has it. The name may hold spaces and brackets.
fn parse_stat(line: &str) -> Option<Process> {
    let (start, rest) = line.rsplit_once(") ")?;
    let pid = start.split(' ').next()?.parse().ok()?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    let (parent, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    // Session, terminal and its group, flags, four counts of page faults.
    let mut fields = fields.skip(8);
    let mut cpu_ticks: u64 = 0;
    // Of its own, of its children; each in user space and in the kernel.
    for ticks in fields.by_ref().take(4) {
        cpu_ticks = cpu_ticks.saturating_add(ticks.parse().ok()?);
    }
    // Behind priority, nice value, threads, two times and the size of its address space.
    let resident_pages = fields.nth(6)?.parse().ok()?;
    Some(Process { pid, parent, group, is_running: !matches!(state, "Z" | "X"), cpu_ticks, resident_pages })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_from_proc() {
        let process =
            |is_running| Process { pid: 7, parent: 1, group: 5, is_running, cpu_ticks: 1234, resident_pages: 400 };
        for (start, expected) in [
            ("7 (sh) S 1 5", process(true)),
            ("7 (a) b) (c) R 1 5", process(true)),
            ("7 (sh) Z 1 5", process(false)),
            ("7 (sh) X 1 5", process(false)),
        ] {
            let line = format!("{start} 5 0 -1 4194304 101 0 0 0 4 30 200 1000 20 0 1 0 1444909 3133440 400 184467");
            assert_eq!(parse_stat(&line), Some(expected), "{line}");
        }
        for short in ["7 (sh) S 1 5 5 0 -1 4194304 101 0 0 0 4 30 200 1000 20 0", "7 (sh) S 1", "7 (sh) S 1 group", ""]
        {
            assert_eq!(parse_stat(short), None, "{short}");
        }
    }
}
