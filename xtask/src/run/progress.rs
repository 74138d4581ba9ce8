//! The progress of a load: one line that is rewritten on a terminal, a plain line every 10 s in a log.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::Duration;

use rustix::termios::tcgetwinsize;

use crate::run::locust::Progress;

const BAR_WIDTH: usize = 10;

/// The place of a run among those that the command makes.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The number of this run, from 1.
    pub run: usize,
    /// The number of runs that are made at most.
    pub most: usize,
    /// The time that each of the runs before took, with all that belongs to it; `None` for the first.
    pub run_took: Option<Duration>,
}

/// The progress line of one load.
pub struct ProgressLine {
    run_time: Duration,
    users: u32,
    place: Place,
    is_terminal: bool,
    shown_at: Option<Duration>,
}

impl ProgressLine {
    /// Starts with nothing shown.
    pub fn new(run_time_s: u64, users: u32, place: Place) -> ProgressLine {
        let is_terminal = stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        ProgressLine { run_time: Duration::from_secs(run_time_s), users, place, is_terminal, shown_at: None }
    }

    /// Returns whether to show the line again. Locust writes its counts about once a second, so a terminal is updated no
    /// more often.
    pub fn is_due(&self, elapsed: Duration) -> bool {
        let interval = Duration::from_secs(if self.is_terminal { 1 } else { 10 });
        match self.shown_at {
            None => self.is_terminal || elapsed >= interval,
            Some(shown_at) => elapsed >= shown_at + interval,
        }
    }

    /// Shows the line.
    pub fn show(&mut self, progress: &Progress) {
        self.shown_at = Some(progress.elapsed);
        let mut text = self.line(progress, self.is_terminal);
        // A line that wraps could not be taken back.
        let columns = tcgetwinsize(stderr()).map_or(80, |size| usize::from(size.ws_col));
        if self.is_terminal && columns > 0 {
            text.truncate(columns - 1);
        }
        // Progress that cannot be shown is no reason to end a measurement.
        let _ = if self.is_terminal { write!(stderr(), "\r\x1b[2K{text}") } else { writeln!(stderr(), "{text}") };
        let _ = stderr().flush();
    }

    /// Clears the line.
    pub fn clear(&mut self) {
        if self.is_terminal && self.shown_at.take().is_some() {
            let _ = write!(stderr(), "\r\x1b[2K");
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.clear();
    }
}

impl ProgressLine {
    fn line(&self, progress: &Progress, with_bar: bool) -> String {
        let Place { run, most, run_took } = self.place;
        let remaining = self.run_time.saturating_sub(progress.elapsed);
        let bar = if with_bar {
            let share = (progress.elapsed.as_secs_f64() / self.run_time.as_secs_f64()).min(1.0);
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
        let more = u32::try_from(most.saturating_sub(run)).unwrap_or(u32::MAX);
        if more > 0 {
            let of_all = run_took.unwrap_or(self.run_time).max(self.run_time).saturating_mul(more);
            let _ = write!(left, " (up to {} for all runs)", shown(remaining.saturating_add(of_all)));
        }
        let users = match progress.users {
            Some(users) => format!("{users} users"),
            None => format!("starting {} users", self.users),
        };
        let (requests, failures) = (progress.requests, progress.failures);
        format!("run {run}/{most}{bar} {left}, {users}, {requests} requests, {failures} failures")
    }
}

/// Returns a length of time, rounded up: in seconds, or beyond two minutes in minutes.
fn shown(time: Duration) -> String {
    let seconds = time.as_secs_f64().ceil();
    if seconds <= 120.0 { format!("{seconds} s") } else { format!("{} min", (seconds / 60.0).ceil()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(place: Place, elapsed_s: u64, users: Option<u32>, with_bar: bool, expected: &str) {
        let progress = Progress { elapsed: Duration::from_secs(elapsed_s), users, requests: 1204, failures: 3 };
        assert_eq!(ProgressLine::new(20, 10, place).line(&progress, with_bar), expected);
    }

    #[test]
    fn a_line_says_how_far_the_load_is_and_all_of_them() {
        let first = Place { run: 1, most: 8, run_took: None };
        let third = Place { run: 3, most: 8, run_took: Some(Duration::from_millis(23_400)) };
        let last = Place { run: 8, most: 8, ..third };
        let counts = "10 users, 1204 requests, 3 failures";
        check(
            first,
            0,
            None,
            true,
            &format!("run 1/8 [          ] 20 s left (up to 3 min for all runs), starting {counts}"),
        );
        check(
            third,
            5,
            Some(10),
            true,
            &format!("run 3/8 [==        ] 15 s left (up to 3 min for all runs), {counts}"),
        );
        check(third, 5, Some(10), false, &format!("run 3/8: 15 s left (up to 3 min for all runs), {counts}"));
        check(third, 25, Some(10), false, &format!("run 3/8: finishing (up to 117 s for all runs), {counts}"));
        check(last, 5, Some(10), true, &format!("run 8/8 [==        ] 15 s left, {counts}"));
        check(last, 25, Some(10), true, &format!("run 8/8 [==========] finishing, {counts}"));
    }
}
