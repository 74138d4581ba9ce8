//! The file `perf_listener.json` of our listener.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow, ensure};
use judge::model::mask;
use judge::model::run::{Lateness, Moment, Run, TaskCalls, endpoint_name};
use judge::model::text::{cut, endpoint_shown, printable};
use judge::parse::strict_json;
use serde::{Deserialize, Serialize};

use crate::run::load_check::LoadRecord;
use crate::sys::files;

pub const LISTENER_FILE: &str = "perf_listener.json";

/// The number of endpoints, or of reasons, that one sentence names.
const NAMED: usize = 5;

/// The share of an endpoint's requests that may have an impossible time.
const MOST_IMPOSSIBLE: f64 = 0.01;

#[derive(Debug, Deserialize)]
pub struct ListenerFile {
    /// Whether only requests after the ramp-up are counted. A load shape has no ramp-up.
    ramp_up_left_out: bool,
    pub began: bool,
    pub ended_by: EndedBy,
    /// The time from the start of the load to its end.
    pub load_s: f64,
    /// `None` if the listener did not write all of it.
    #[serde(flatten)]
    pub window: Option<Window>,
    pub mean_users: Option<f64>,
    /// The requests that were under way when Locust stopped and had not ended after the stop timeout.
    #[serde(default)]
    unfinished: Vec<Unfinished>,
    #[serde(default)]
    pub users_left: Vec<UsersLeft>,
    /// The TCP connections that were opened to the service in the measured window.
    pub connections: Option<u64>,
    /// The first half of the window and the second.
    #[serde(default)]
    halves: Vec<Half>,
    #[serde(default)]
    history: ListenerHistory,
    #[serde(default)]
    users: Vec<UsersOfClass>,
    #[serde(default)]
    tasks: Vec<TaskOfClass>,
    /// The requests that are in no statistics, or are there without a time.
    #[serde(default)]
    left_out: LeftOut,
    lateness: Option<Lateness>,
    /// The other part of the same file.
    #[serde(skip)]
    pub load: LoadRecord,
}

#[derive(Debug, Deserialize)]
struct Half {
    mean_ms: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
struct ListenerHistory {
    bucket_s: f64,
    buckets: Vec<ListenerBucket>,
}

#[derive(Debug, Deserialize)]
struct ListenerBucket {
    at_s: f64,
    requests: u64,
    mean_ms: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct UsersOfClass {
    user: String,
    mean: f64,
}

#[derive(Debug, Deserialize)]
struct TaskOfClass {
    class: String,
    task: String,
    calls: u64,
    /// Calls that ended in an exception that no failed request explains.
    failures: u64,
    /// The most frequent first.
    errors: Vec<TaskError>,
}

#[derive(Debug, Deserialize)]
struct TaskError {
    error: String,
}

#[derive(Debug, Default, Deserialize)]
struct LeftOut {
    endpoints: Vec<LeftOutRequests>,
}

#[derive(Debug, Deserialize)]
struct LeftOutRequests {
    reason: LeftOutReason,
    method: String,
    name: String,
    /// The first impossible time, as it was given.
    example: Option<String>,
    requests: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LeftOutReason {
    /// They began before the window.
    BeforeWindow,
    /// They are counted, but without a time.
    NoTime,
    /// Their time is no number of milliseconds that can have passed.
    ImpossibleTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Window {
    /// Seconds since 1970.
    #[serde(rename = "opened_time")]
    pub opened_s: f64,
    #[serde(rename = "window_s")]
    pub length_s: f64,
    pub requests: u64,
}

impl Window {
    /// Whether it holds a moment, in seconds since 1970.
    pub fn holds(&self, moment_s: f64) -> bool {
        (self.opened_s..=self.opened_s + self.length_s).contains(&moment_s)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    RunTime,
    Shape,
    /// By a signal, or by the locustfile.
    Early,
}

#[derive(Debug, Deserialize)]
pub struct Unfinished {
    method: String,
    name: String,
    times: u64,
    longest_ms: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsersLeft {
    user: String,
    reason: String,
    times: u64,
}

impl ListenerFile {
    /// `None` if the listener was not loaded.
    pub fn read(path: &Path) -> Result<Option<ListenerFile>> {
        if !files::exists(path) {
            return Ok(None);
        }
        ListenerFile::parse(&files::read_to_string(path)?).map(Some).with_context(|| path.display().to_string())
    }

    pub fn parse(text: &str) -> Result<ListenerFile> {
        let plain = |error| anyhow!(strict_json::fault(&error));
        let mut file: ListenerFile = serde_json::from_str(text).map_err(plain)?;
        file.load = serde_json::from_str(text).map_err(plain)?;
        // Exceptions quote what was sent, and the reasons are stored and posted.
        for left in &mut file.users_left {
            left.reason = mask::text(&left.reason);
        }
        Ok(file)
    }

    pub fn has_shape(&self) -> bool {
        !self.ramp_up_left_out
    }

    pub fn unfinished_text(&self) -> Option<String> {
        let all = self.unfinished.iter().fold(0_u64, |all, row| all.saturating_add(row.times));
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

    pub fn complete(&self, run: &mut Run) {
        let is_time = |ms: &f64| ms.is_finite() && *ms > 0.0;
        if let [first, second] = &self.halves[..] {
            let means = first.mean_ms.filter(is_time).zip(second.mean_ms.filter(is_time));
            run.halves_ms = means.map(|(first, second)| [first, second]);
        }
        let ListenerHistory { bucket_s, buckets } = &self.history;
        for ListenerBucket { at_s, requests, mean_ms } in buckets {
            if let Some(mean_ms) = mean_ms.filter(is_time) {
                run.moments.push(Moment { until_s: at_s + bucket_s, requests: *requests, mean_ms });
            }
        }
        for UsersOfClass { user, mean } in &self.users {
            *run.users_by_class.entry(printable(user)).or_default() += mean.max(0.0);
        }
        for TaskOfClass { class, task, calls, failures, errors } in &self.tasks {
            let exception = errors.first().map_or_else(String::new, |first| cut(&mask::text(&first.error), 200));
            run.tasks.push(TaskCalls {
                name: printable(&format!("{class}.{task}")),
                calls: *calls,
                failures: *failures.min(calls),
                exception: printable(&exception),
            });
        }
        run.lateness = self.lateness;
    }

    /// If an endpoint lacks more than a few requests, its numbers mean nothing. `requests_of` is the number of its
    /// requests in the statistics.
    pub fn check_left_out(&self, requests_of: impl Fn(&str) -> u64) -> Result<Vec<String>> {
        let mut warnings = Vec::new();
        for LeftOutRequests { reason, method, name, example, requests } in &self.left_out.endpoints {
            let endpoint = endpoint_name(method, name);
            let (counted, shown) = (requests_of(&endpoint), endpoint_shown(&endpoint));
            match reason {
                LeftOutReason::BeforeWindow => {}
                // If none has a time, the locustfile counts something else than responses.
                LeftOutReason::NoTime if *requests >= counted => {}
                LeftOutReason::NoTime => warnings.push(format!(
                    "{requests} of {counted} requests of {shown} have no response time, so its percentiles are of the others"
                )),
                LeftOutReason::ImpossibleTime => {
                    let all = counted.saturating_add(*requests);
                    let example = printable(&cut(&mask::text(example.as_deref().unwrap_or("?")), 40));
                    let found = format!("{requests} of {all} requests of {shown} report response times like {example}");
                    let remedy = "give milliseconds, measured with time.perf_counter";
                    ensure!(
                        *requests as f64 <= MOST_IMPOSSIBLE * all as f64,
                        "{found}, so they cannot be counted: {remedy}"
                    );
                    warnings.push(format!("{found}, and are not counted: {remedy}"));
                }
            }
        }
        Ok(warnings)
    }
}

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
    fn left_out_requests_are_a_warning_or_beyond_one_percent_an_error() {
        let file = |reason: &str, requests: u64| -> ListenerFile {
            let text = format!(
                r#"{{"ramp_up_left_out": true, "began": true, "ended_by": "run_time", "load_s": 20.0, "left_out": {{
                    "totals": {{}}, "endpoints": [
                        {{"reason": "{reason}", "method": "X", "name": "poll", "example": "2e7", "requests": {requests}}}]}}}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        for (reason, requests, expected) in [
            ("before_window", 99, Ok(vec![])),
            ("no_time", 99, Ok(vec![])),
            (
                "no_time",
                98,
                Ok(vec!["98 of 99 requests of X poll have no response time, so its percentiles are of the others"]),
            ),
            (
                "impossible_time",
                1,
                Ok(vec![
                    "1 of 100 requests of X poll report response times like 2e7, and are not counted: give milliseconds, measured with time.perf_counter",
                ]),
            ),
            (
                "impossible_time",
                2,
                Err(
                    "2 of 101 requests of X poll report response times like 2e7, so they cannot be counted: give milliseconds, measured with time.perf_counter",
                ),
            ),
        ] {
            let found = file(reason, requests).check_left_out(|endpoint| if endpoint == "X poll" { 99 } else { 0 });
            let found = found.map_err(|error| error.to_string());
            assert_eq!(
                found,
                expected.map(|warnings| warnings.iter().map(ToString::to_string).collect()).map_err(str::to_owned)
            );
        }
    }

    #[test]
    fn unfinished_requests_and_users_that_left_are_described() {
        let text = r#"{"ramp_up_left_out": true, "began": true, "ended_by": "run_time", "load_s": 20.0,
            "opened_time": 1800000000.5, "window_s": 19.0, "requests": 450,
            "mean_users": 8.5,
            "unfinished": [{"method": "GET", "name": "/a", "times": 3, "longest_ms": 12040.0},
                           {"method": "", "name": "unfinished", "times": 1, "longest_ms": 10000.0}],
            "users_left": [{"user": "ClaimsUser", "reason": "StopUser", "times": 5}]}"#;
        let file = ListenerFile::parse(text).unwrap();
        assert_eq!(
            file.unfinished_text().unwrap(),
            "4 requests never ended and count as failed: 3 x GET /a (longest 12.0 s), 1 x unfinished (longest 10.0 s)"
        );
        assert_eq!(users_left_text(&file.users_left).unwrap(), "users left before the end: 5 x ClaimsUser (StopUser)");
        assert_eq!((file.ended_by, file.mean_users), (EndedBy::RunTime, Some(8.5)));
        assert_eq!(users_left_text(&[]), None);
        assert_eq!(file.window, Some(Window { opened_s: 1_800_000_000.5, length_s: 19.0, requests: 450 }));
        for (old, new) in [("19.0", "null"), (", \"requests\": 450", ""), ("450", "null")] {
            assert_eq!(ListenerFile::parse(&text.replace(old, new)).unwrap().window, None, "{new}");
        }
    }
}
