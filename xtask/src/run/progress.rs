//! The display during a load: the commands for workers elsewhere, then Locust's log, or one line that is rewritten on
//! a terminal and printed every 10 s in a log.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, stderr};
use std::path::Path;
use std::time::{Duration, Instant};

use judge::model::mask;
use judge::model::text::foreign;
use rustix::termios::tcgetwinsize;

use crate::config::project::Project;
use crate::run::http;
use crate::run::locust::{self, Job, Locust, RequestCounts, Stage};
use crate::run::workers::{self, Master, WorkerList};
use crate::sys::files::Follower;
use crate::sys::{ci, printer};

const BAR_WIDTH: usize = 10;

pub struct LoadCounter {
    noun: &'static str,
    begun: usize,
    first_began: Instant,
    most: usize,
}

#[derive(Clone, Copy, Debug)]
pub struct LoadNumber {
    noun: &'static str,
    /// From 1.
    number: usize,
    most: usize,
    /// The mean time of the loads before, with building, starting and stopping; 0 for the first.
    each_took: Duration,
}

impl LoadCounter {
    pub fn new(most: usize) -> LoadCounter {
        LoadCounter { noun: "run", begun: 0, first_began: Instant::now(), most }
    }

    /// Allows so many rounds beyond the loads that have begun. Other lines count rounds, which have two loads each.
    pub fn allow_rounds(&mut self, rounds: usize) {
        self.noun = "load";
        self.most = self.begun + 2 * rounds;
    }

    pub fn begin(&mut self) -> LoadNumber {
        if self.begun == 0 {
            self.first_began = Instant::now();
        }
        let before = u32::try_from(self.begun).unwrap_or(u32::MAX);
        let each_took = self.first_began.elapsed().checked_div(before).unwrap_or_default();
        self.begun += 1;
        LoadNumber { noun: self.noun, number: self.begun, most: self.most.max(self.begun), each_took }
    }
}

impl LoadNumber {
    pub fn is_first(self) -> bool {
        self.number == 1
    }
}

pub fn print_worker_commands(project: &Project, locust: &Locust, job: &Job, workers: u32) {
    let mut folders: BTreeSet<&str> = BTreeSet::new();
    for file in &job.settings.locustfiles {
        folders.extend(Path::new(file).parent().and_then(Path::to_str).filter(|folder| !folder.is_empty()));
    }
    let folders = Vec::from_iter(folders);
    let master = Master { address: workers::address(job.bind_host, job.host), port: job.bind_port };
    for line in locust.worker_setup.commands(workers, &locust.version, &master, &folders) {
        project.say(&line);
    }
    if http::is_loopback(job.host) {
        project.say(&format!(
            "{} is only reachable from this machine, so start all workers here, or set [load] host to an address that they can reach",
            mask::url(job.host)
        ));
    }
}

pub struct LoadView<'a> {
    project: &'a Project<'a>,
    job: &'a Job<'a>,
    output: Output,
    log: Follower,
    connected: String,
}

enum Output {
    Line(ProgressLine),
    /// Locust's own log, as it grows.
    Log,
    Nothing,
}

impl LoadView<'_> {
    pub fn new<'a>(project: &'a Project<'a>, job: &'a Job<'a>, number: LoadNumber) -> LoadView<'a> {
        let output = match (project.flags.verbose, project.flags.quiet) {
            // GitHub Actions shows the log when the run is over.
            (true, _) if !ci::is_github() => Output::Log,
            (_, true) => Output::Nothing,
            _ => Output::Line(ProgressLine::new(job.settings.load.run_time_s, job.settings.load.users, number)),
        };
        LoadView { project, job, output, log: Follower::new(job.log()), connected: String::new() }
    }

    pub(crate) fn show(&mut self, stage: Stage) {
        match stage {
            Stage::Waiting(workers) => self.show_workers(&workers),
            Stage::Loading(elapsed) => self.show_load(elapsed),
        }
    }

    fn show_workers(&mut self, workers: &WorkerList) {
        let Some(expected) = self.job.settings.load.workers else { return };
        let connected = workers.connected(expected);
        if connected != self.connected {
            self.project.say(&connected);
            self.connected = connected;
        }
    }

    fn show_load(&mut self, elapsed: Duration) {
        match &mut self.output {
            Output::Line(line) if line.is_due(elapsed) => {
                if let Some(users) = locust::users_started(&mut self.log) {
                    line.users = format!("{users} users");
                }
                line.show(elapsed, &locust::request_counts(self.job));
            }
            Output::Log => {
                // Zeros stand for what was left out of a long log.
                let lines: Vec<u8> = self.log.next_lines().into_iter().filter(|byte| *byte != 0).collect();
                let end = if lines.ends_with(b"\n") { "\n" } else { "" };
                printer::progress(&format!("{}{end}", foreign(&String::from_utf8_lossy(&lines))));
            }
            Output::Line(_) | Output::Nothing => {}
        }
    }
}

/// Dropping it clears it.
struct ProgressLine {
    run_time: Duration,
    /// `10 users`, once all of them are started.
    users: String,
    load: LoadNumber,
    is_terminal: bool,
    shown_at: Option<Duration>,
    shown: String,
}

impl ProgressLine {
    fn new(run_time_s: u64, users: u32, load: LoadNumber) -> ProgressLine {
        let is_terminal = stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        ProgressLine {
            run_time: Duration::from_secs(run_time_s),
            users: format!("starting {users} users"),
            load,
            is_terminal,
            shown_at: None,
            shown: String::new(),
        }
    }

    /// Whether to show the line again. Locust writes its counts about once a second, so a terminal is updated no more often.
    fn is_due(&self, elapsed: Duration) -> bool {
        let interval = Duration::from_secs(if self.is_terminal { 1 } else { 10 });
        match self.shown_at {
            None => self.is_terminal || elapsed >= interval,
            Some(shown_at) => elapsed >= shown_at + interval,
        }
    }

    fn show(&mut self, elapsed: Duration, counts: &RequestCounts) {
        self.shown_at = Some(elapsed);
        let mut text = self.text(elapsed, counts);
        // A line that wraps could not be cleared.
        let columns = tcgetwinsize(stderr()).map_or(80, |size| usize::from(size.ws_col));
        if self.is_terminal && columns > 0 {
            text.truncate(columns - 1);
        }
        // A log keeps every line, so none is written twice.
        if self.is_terminal || text != self.shown {
            printer::progress(&if self.is_terminal { format!("\r\x1b[2K{text}") } else { format!("{text}\n") });
        }
        self.shown = text;
    }

    fn text(&self, elapsed: Duration, counts: &RequestCounts) -> String {
        let LoadNumber { noun, number, most, each_took } = self.load;
        let remaining = self.run_time.saturating_sub(elapsed);
        let bar = if self.is_terminal {
            let share = (elapsed.as_secs_f64() / self.run_time.as_secs_f64()).min(1.0);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of 0 to 1 of the width"
            )]
            let done = (share * BAR_WIDTH as f64) as usize;
            format!(" [{}{}]", "=".repeat(done), " ".repeat(BAR_WIDTH - done))
        } else {
            ":".to_owned()
        };
        let mut left = if remaining.is_zero() { "finishing".to_owned() } else { format!("{} left", shown(remaining)) };
        let more = u32::try_from(most.saturating_sub(number)).unwrap_or(u32::MAX);
        if more > 0 {
            let of_all = each_took.max(self.run_time).saturating_mul(more);
            let _ = write!(left, " (all: max {})", shown(remaining.saturating_add(of_all)));
        }
        let (users, RequestCounts { requests, failures }) = (&self.users, counts);
        format!("{noun} {number}/{most}{bar} {left}, {users}, {requests} requests, {failures} failed")
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if self.is_terminal && self.shown_at.is_some() {
            printer::progress("\r\x1b[2K");
        }
    }
}

/// A length of time, rounded up to seconds, or beyond two minutes to minutes.
pub fn shown(time: Duration) -> String {
    let seconds = time.as_secs_f64().ceil();
    if seconds <= 120.0 { format!("{seconds} s") } else { format!("{} min", (seconds / 60.0).ceil()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(load: LoadNumber, elapsed_s: u64, users: &str, is_terminal: bool, expected: &str) {
        let mut line = ProgressLine::new(20, 10, load);
        (line.users, line.is_terminal) = (users.to_owned(), is_terminal);
        let counts = RequestCounts { requests: 1204, failures: 3 };
        assert_eq!(line.text(Duration::from_secs(elapsed_s), &counts), expected);
    }

    #[test]
    fn the_line_shows_this_load_and_all_of_them() {
        let first = LoadNumber { noun: "run", number: 1, most: 8, each_took: Duration::ZERO };
        let third = LoadNumber { number: 3, each_took: Duration::from_millis(23_400), ..first };
        let last = LoadNumber { number: 8, ..third };
        let (starting, users) = (&ProgressLine::new(20, 10, first).users.clone(), "10 users");
        let counts = "10 users, 1204 requests, 3 failed";
        check(first, 0, starting, true, &format!("run 1/8 [          ] 20 s left (all: max 3 min), starting {counts}"));
        check(third, 5, users, true, &format!("run 3/8 [==        ] 15 s left (all: max 3 min), {counts}"));
        check(third, 5, users, false, &format!("run 3/8: 15 s left (all: max 3 min), {counts}"));
        check(third, 25, users, false, &format!("run 3/8: finishing (all: max 117 s), {counts}"));
        let mut long = ProgressLine::new(7000, 1000, LoadNumber { number: 10, most: 14, ..first });
        (long.users, long.is_terminal) = ("1000 users".to_owned(), true);
        let text = long.text(Duration::ZERO, &RequestCounts { requests: 1_234_567, failures: 123_456 });
        assert!(text.len() <= 100, "{text}");
        check(last, 5, users, true, &format!("run 8/8 [==        ] 15 s left, {counts}"));
        check(last, 25, users, true, &format!("run 8/8 [==========] finishing, {counts}"));
    }

    #[test]
    fn two_loads_of_a_round_are_not_called_runs() {
        let mut loads = LoadCounter::new(1);
        let text = |load| {
            let counts = RequestCounts { requests: 0, failures: 0 };
            ProgressLine::new(20, 10, load).text(Duration::ZERO, &counts)
        };
        assert!(text(loads.begin()).starts_with("run 1/1"));
        loads.allow_rounds(7);
        assert!(text(loads.begin()).starts_with("load 2/15"), "the lines of the verdict count up to round 7/7");
    }
}
