//! The file `perf_listener.json`, in which our listener reports the end of a run, its users, and the requests that never ended.

use std::path::Path;

use anyhow::{Context as _, Result};
use judge::model::mask;
use judge::model::run::endpoint_name;
use judge::model::text::{cut, endpoint_shown, printable};
use serde::{Deserialize, Serialize};

use crate::run::over_time::OverTime;
use crate::sys::files;

/// The number of endpoints, or of reasons, that one sentence names.
const NAMED: usize = 5;

#[derive(Debug, Deserialize)]
pub struct ListenerFile {
    /// Whether only requests after the ramp-up are counted. A load shape has no ramp-up.
    pub ramp_up_left_out: bool,
    /// Whether the measured window was opened.
    pub began: bool,
    pub ended_by: EndedBy,
    /// The time from the start of the load to its end.
    pub load_s: f64,
    /// When the measured window was opened, in seconds since 1970.
    #[serde(default)]
    opened_time: Option<f64>,
    /// The length of the measured window.
    #[serde(default)]
    window_s: Option<f64>,
    /// The number of measured requests.
    #[serde(default)]
    requests: Option<u64>,
    /// The mean number of active users over the measured window.
    #[serde(default)]
    pub mean_users: Option<f64>,
    /// The requests that were under way when Locust stopped and had not ended after the stop timeout.
    #[serde(default)]
    unfinished: Vec<Unfinished>,
    /// The users that left before the load was stopped.
    #[serde(default)]
    pub users_left: Vec<UsersLeft>,
    #[serde(flatten)]
    pub over_time: OverTime,
}

/// The part of a load that is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Seconds since 1970.
    pub opened_s: f64,
    pub length_s: f64,
    pub requests: u64,
}

impl Window {
    /// Whether it holds a moment, in seconds since 1970.
    pub fn holds(&self, moment_s: f64) -> bool {
        (self.opened_s..=self.opened_s + self.length_s).contains(&moment_s)
    }
}

/// Why a load ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    RunTime,
    Shape,
    /// By a signal, or by the locustfile.
    Early,
}

/// Requests of one endpoint that never ended.
#[derive(Debug, Deserialize)]
pub struct Unfinished {
    method: String,
    name: String,
    times: u64,
    longest_ms: f64,
}

/// Users of one class that left for one reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsersLeft {
    user: String,
    reason: String,
    times: u64,
}

impl ListenerFile {
    /// Reads the file; `None` if there is none, because the listener was not loaded.
    pub fn read(path: &Path) -> Result<Option<ListenerFile>> {
        if !path.is_file() {
            return Ok(None);
        }
        let read = serde_json::from_str(&files::read_to_string(path)?);
        let mut file: ListenerFile = read.with_context(|| path.display().to_string())?;
        // Exceptions quote what was sent, and the reasons are stored and posted.
        for left in &mut file.users_left {
            left.reason = mask::text(&left.reason);
        }
        Ok(Some(file))
    }

    /// The measured window; `None` if the listener did not write all of it.
    pub fn window(&self) -> Option<Window> {
        Some(Window { opened_s: self.opened_time?, length_s: self.window_s?, requests: self.requests? })
    }

    /// Describes the requests that never ended: how many, of which endpoint, and how long they took so far.
    pub fn unfinished_text(&self) -> Option<String> {
        let all: u64 = self.unfinished.iter().map(|row| row.times).sum();
        if all == 0 {
            return None;
        }
        let mut named = Vec::new();
        for Unfinished { method, name, times, longest_ms } in self.unfinished.iter().take(NAMED) {
            let endpoint = endpoint_shown(&endpoint_name(method, name));
            named.push(format!("{times} x {endpoint} (longest {:.1} s)", longest_ms / 1000.0));
        }
        let noun = if all == 1 { "request" } else { "requests" };
        Some(format!(
            "{all} {noun} never ended and count as failed: {}{}",
            named.join(", "),
            and_more(self.unfinished.len())
        ))
    }
}

/// Describes the users that left: how many, and why.
pub fn users_left_text(users_left: &[UsersLeft]) -> Option<String> {
    if users_left.is_empty() {
        return None;
    }
    let mut named = Vec::new();
    for UsersLeft { user, reason, times } in users_left.iter().take(NAMED) {
        named.push(format!("{} x {} ({})", times, cut(&printable(user), 60), cut(&printable(reason), 200)));
    }
    Some(format!("users left before the end: {}{}", named.join(", "), and_more(users_left.len())))
}

fn and_more(all: usize) -> String {
    match all.saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_requests_and_users_that_left_are_described() {
        let file: ListenerFile = serde_json::from_str(
            r#"{"ramp_up_left_out": true, "began": true, "ended_by": "run_time", "load_s": 20.0,
                "opened_time": 1800000000.5, "window_s": 19.0, "requests": 450,
                "mean_users": 8.5,
                "unfinished": [{"method": "GET", "name": "/a", "times": 3, "longest_ms": 12040.0},
                               {"method": "", "name": "unfinished", "times": 1, "longest_ms": 10000.0}],
                "users_left": [{"user": "ClaimsUser", "reason": "StopUser", "times": 5}]}"#,
        )
        .unwrap();
        assert_eq!(
            file.unfinished_text().unwrap(),
            "4 requests never ended and count as failed: 3 x GET /a (longest 12.0 s), 1 x unfinished (longest 10.0 s)"
        );
        assert_eq!(users_left_text(&file.users_left).unwrap(), "users left before the end: 5 x ClaimsUser (StopUser)");
        assert_eq!((file.ended_by, file.mean_users), (EndedBy::RunTime, Some(8.5)));
        assert_eq!(users_left_text(&[]), None);
        assert_eq!(file.window(), Some(Window { opened_s: 1_800_000_000.5, length_s: 19.0, requests: 450 }));
        assert_eq!(ListenerFile { requests: None, ..file }.window(), None);
    }
}
