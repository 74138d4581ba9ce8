//! The progress of a load: one line that is rewritten on a terminal, a plain line every 10 s in a log.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::Duration;

use rustix::termios::tcgetwinsize;

use crate::measure::locust::Progress;

const BAR_WIDTH: usize = 10;

/// The progress line of one load.
pub struct ProgressLine {
    run_time: Duration,
    users: u32,
    is_terminal: bool,
    shown_at: Option<Duration>,
}

impl ProgressLine {
    /// Starts with nothing shown.
    pub fn new(run_time_s: u64, users: u32) -> ProgressLine {
        let is_terminal = stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        ProgressLine { run_time: Duration::from_secs(run_time_s), users, is_terminal, shown_at: None }
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
        let mut text = line(progress, self.run_time, self.users, self.is_terminal);
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

fn line(progress: &Progress, run_time: Duration, users: u32, with_bar: bool) -> String {
    let remaining = run_time.saturating_sub(progress.elapsed);
    let bar = if with_bar {
        let share = (progress.elapsed.as_secs_f64() / run_time.as_secs_f64()).min(1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 0 to 1 of the width")]
        let done = (share * BAR_WIDTH as f64) as usize;
        format!("[{}{}] ", "=".repeat(done), " ".repeat(BAR_WIDTH - done))
    } else {
        String::new()
    };
    let users = match progress.users {
        Some(users) => format!("{users} users"),
        None => format!("starting {users} users"),
    };
    let left =
        if remaining.is_zero() { "ending".to_owned() } else { format!("{} s left", remaining.as_secs_f64().ceil()) };
    format!(
        "{bar}{} s, {left}, {users}, {} requests, {} failures",
        progress.elapsed.as_secs(),
        progress.requests,
        progress.failures
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(elapsed_s: u64, users: Option<u32>, with_bar: bool, expected: &str) {
        let progress = Progress { elapsed: Duration::from_secs(elapsed_s), users, requests: 1204, failures: 3 };
        assert_eq!(line(&progress, Duration::from_secs(20), 10, with_bar), expected);
    }

    #[test]
    fn a_line_says_how_far_the_load_is() {
        check(0, None, true, "[          ] 0 s, 20 s left, starting 10 users, 1204 requests, 3 failures");
        check(5, Some(10), true, "[==        ] 5 s, 15 s left, 10 users, 1204 requests, 3 failures");
        check(5, Some(10), false, "5 s, 15 s left, 10 users, 1204 requests, 3 failures");
        check(25, Some(10), true, "[==========] 25 s, ending, 10 users, 1204 requests, 3 failures");
    }
}
