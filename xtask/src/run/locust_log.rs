//! Locust's log. Other versions may word its phrases differently.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use judge::model::text::printable;

pub const GAVE_UP: &str = "Gave up waiting for workers";
/// Its own delays are part of the latencies.
pub const SATURATED: [&str; 2] = ["CPU usage above 90%", "CPU usage was too high"];
pub const SHAPE_STARTED: &str = "Shape test starting";
/// Only runs without our listener need it.
pub const SHAPE_ENDED: &str = "/locust.runners: Shape test stopping";
/// They matter anywhere in the log, the others only at its end.
pub const SEARCHED: [&str; 4] = [SATURATED[0], SATURATED[1], SHAPE_STARTED, SHAPE_ENDED];
const CRASHED: [&str; 2] = ["Unhandled exception in greenlet", "Uncaught exception in event handler"];
const NO_RUN_TIME_WITH_SHAPE: &str = "no sense to combine --run-time and LoadShapes";

/// The line that names the cause of a failure, behind a colon: the last one that `is_cause`, or else the last exception, or else
/// the last line that is no remark.
pub fn last_line(log: &str, is_cause: impl Fn(&str) -> bool) -> String {
    let mut lines = log.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let is_remark =
        |line: &str| ["note: ", "hint: ", "Shutting down (exit code "].iter().any(|mark| line.contains(mark));
    let last = lines.clone().find(|line| !is_remark(line)).or(lines.clone().next());
    let line = lines.find(|line| is_cause(line)).or_else(|| exception(log)).or(last);
    let shown = |line: &str| printable(line.trim_end_matches('.')).chars().take(200).collect::<String>();
    line.map_or_else(String::new, |line| format!(": {}", shown(line)))
}

/// Python's last exception: the first line below a traceback that is indented no further, because a quoted one is indented as
/// a whole.
fn exception(log: &str) -> Option<&str> {
    let (mut exception, mut traceback) = (None, None);
    for line in log.lines() {
        let indent = line.len() - line.trim_start_matches(' ').len();
        if line.contains("Traceback (most recent call last):") {
            traceback = Some(indent);
        } else if traceback.is_some_and(|traceback| indent <= traceback) && !line.trim().is_empty() {
            exception = Some(line.trim());
            traceback = None;
        }
    }
    exception
}

/// Empty if the log shows no failed import that can be helped.
fn import_advice(log: &str) -> String {
    let exception = exception(log).unwrap_or_default();
    if exception.contains("No module named")
        && let Some(module) = exception.split('\'').nth(1)
    {
        return format!("; add what has the module `{}` to [locust] requirements", printable(module));
    }
    let is_locusts = exception.contains("cannot import name") && exception.contains("from 'locust");
    let advice = if is_locusts { "; this Locust lacks it: name another [locust] version" } else { "" };
    advice.to_owned()
}

pub fn explanation(status: ExitStatus, log: &str) -> String {
    // Below the error of a refused argument may be a guess of what was meant.
    let cause = last_line(log, |line| line.starts_with("locust: error: ") || line.starts_with("__main__.py: error: "));
    let has_crashed = CRASHED.iter().any(|phrase| log.contains(phrase));
    if let Some(signal) = status.signal() {
        let why = if signal == 9 { ", such as the kernel when memory is short" } else { "" };
        return format!(": something ended it{why}; run it again");
    }
    let next = if log.contains(NO_RUN_TIME_WITH_SHAPE) {
        "; Locust 2.2 to 2.16 do not accept a run time with a load shape, and the gate gives one: name another [locust] version"
    } else if status.code().is_some_and(|code| log.contains(&format!("Shutting down (exit code {code})")))
        && !has_crashed
    {
        "; the locustfile itself set this code (environment.process_exit_code): leave it at 0 under the gate, whose limits stand in [limits]"
    } else {
        return format!("{cause}{}", import_advice(log));
    };
    format!("{cause}{next}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_names_the_cause_is_found() {
        for (log, expected) in [
            (
                "t/INFO: up\nTraceback (most recent call last):\n  File \"l.py\", line 3, in f\n    int([])\nTypeError: int() argument must be a string\n[t] h/INFO/locust.main: Shutting down (exit code 1)\n",
                ": TypeError: int() argument must be a string",
            ),
            (
                "Traceback (most recent call last):\n  a\nValueError: boom1\n\nDuring handling of the above, another:\n\nTraceback (most recent call last):\n  b\nmine.Boom: boom2\nlast words\n",
                ": mine.Boom: boom2",
            ),
            ("what is wrong\nnote: This error originates from a subprocess\nhint: See above\n", ": what is wrong"),
            ("note: only this\n", ": note: only this"),
            (
                "  x did not run\n      Traceback (most recent call last):\n        File \"s.py\", line 1\n      KeyError: 'a'\n      [end of output]\n\n  note: This error originates from a subprocess\nerror: metadata-generation-failed\n",
                ": KeyError: 'a'",
            ),
            ("", ""),
        ] {
            assert_eq!(last_line(log, |_| false), expected);
        }
        let traceback = |line: &str| format!("Traceback (most recent call last):\n  a\n{line}\nmore\n");
        for (line, expected) in [
            (
                "ModuleNotFoundError: No module named 'dotenv'",
                "; add what has the module `dotenv` to [locust] requirements",
            ),
            (
                "ImportError: cannot import name 'LocustResponse' from 'locust.clients' (/x.py)",
                "; this Locust lacks it: name another [locust] version",
            ),
            ("ImportError: cannot import name 'a' from 'mine' (/x.py)", ""),
            ("ValueError: boom", ""),
        ] {
            assert_eq!(import_advice(&traceback(line)), expected, "{line}");
        }
    }
}
