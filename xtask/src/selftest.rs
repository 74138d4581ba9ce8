//! `cargo xtask selftest`: can the gate be trusted on this machine? It measures the demo with real Locust, then again with
//! faults of known size, and compares each verdict with the known truth.
//!
//! It calls the program as CI does, and looks only at its exit code and its report. Only `[locust]` is taken from `perf.toml`,
//! because the speed of Locust is part of the machine.

use std::env;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::commands::outcome::Outcome;
use crate::config::perf_toml::{Config, LocustConfig};
use crate::run::results;
use crate::sys::process::{self, Failure, Group};
use crate::sys::screen::screen;
use crate::sys::session::Session;
use crate::sys::{files, git, lock};
use judge::baseline::file::Baseline;
use judge::model::run::Metric;
use judge::stats::estimate::{Difference, Scale};
use report::formats::terminal;

pub fn selftest(quick: bool) -> Result<Outcome> {
    let trial = Trial::prepare(quick)?;
    process::catch_signals()?;
    let mut broken = Vec::new();
    let mut same_build_p95_ms = Vec::new();
    for (number, expectation) in EXPECTATIONS.iter().enumerate() {
        let log = trial.shown(&trial.log(expectation));
        say(&format!("{} of {}: {}, its log: {log}", number + 1, EXPECTATIONS.len(), expectation.name));
        let seen = trial.measure(expectation)?;
        let holds = expectation.holds(&seen);
        if expectation.name == BASELINE && !holds {
            // Nothing can be checked without a baseline, and the gate has printed the reason.
            let reason = seen.last_line().trim_start_matches("NO VERDICT: ").to_owned();
            bail!(Failure::new(format!("the baseline could not be measured: {reason}"), &trial.log(expectation)));
        }
        print(&line(expectation, &seen, holds))?;
        if !holds {
            print(&format!("  its last line: {}\n  its log: {log}", seen.last_line()))?;
            broken.push(expectation.name);
        }
        if expectation.name == SAME_BUILD {
            same_build_p95_ms = seen.p95_ms;
        }
    }
    print(&trial.detectable(&same_build_p95_ms)?)?;
    print(&verdict(&broken))?;
    Ok(Outcome::Judged { exit_code: u8::from(!broken.is_empty()) })
}

struct Expectation {
    name: &'static str,
    must: &'static str,
    /// The fault, in variables of the demo and of [`SERVICE`].
    env: &'static [(&'static str, &'static str)],
    /// The number of runs in the quick form. The full form leaves it to the gate.
    quick_args: &'static [&'static str],
    code: i32,
    /// The beginning of a line of the output.
    prints: &'static str,
}

const BASELINE: &str = "baseline";
const SAME_BUILD: &str = "same build again";

const EXPECTATIONS: [Expectation; 10] = [
    Expectation {
        name: BASELINE,
        must: "must be saved",
        env: &[],
        quick_args: &["--max-runs", "4"],
        code: 0,
        prints: "BASELINE SAVED: ",
    },
    Expectation {
        name: SAME_BUILD,
        must: "must pass",
        env: &[],
        quick_args: &["--max-runs", "3"],
        code: 0,
        prints: "PASS: ",
    },
    Expectation {
        name: "40% slower",
        must: "must fail on p95",
        env: &[("DEMO_SLOWDOWN_PCT", "40")],
        quick_args: &["--max-runs", "3"],
        code: 1,
        prints: "p95 ms ",
    },
    Expectation {
        name: "5% errors",
        must: "must fail on error_rate",
        env: &[("DEMO_ERROR_PCT", "5")],
        quick_args: &["--max-runs", "1"],
        code: 1,
        prints: "error_rate % ",
    },
    Expectation {
        name: "one endpoint 3 times slower",
        must: "must fail on that endpoint",
        env: &[("DEMO_SLOW_ENDPOINT", "GET /claims/[id]"), ("DEMO_SLOW_FACTOR", "3")],
        quick_args: &["--min-runs", "2", "--max-runs", "2"],
        code: 1,
        prints: "FAIL GET /claims/[id] p95: ",
    },
    Expectation {
        name: "frozen 2 s in every 10",
        must: "must fail on p95_corrected",
        env: &[("DEMO_FREEZE", "2/10")],
        quick_args: &["--max-runs", "1"],
        code: 1,
        prints: "p95_corrected ms ",
    },
    Expectation {
        name: "hangs halfway through",
        must: "must fail on p95_corrected",
        env: &[("DEMO_HANG_AFTER_S", "5")],
        quick_args: &["--max-runs", "1"],
        code: 1,
        prints: "p95_corrected ms ",
    },
    Expectation {
        name: "users that leave",
        must: "must not be judged",
        env: &[("SELFTEST_USERS", "leaving")],
        quick_args: &["--max-runs", "1"],
        code: 2,
        prints: "NO VERDICT: users left before the end",
    },
    Expectation {
        name: "service that ends",
        must: "must not be judged",
        env: &[("SELFTEST_SIGNAL", "KILL")],
        quick_args: &["--max-runs", "1"],
        code: 2,
        prints: "NO VERDICT: the service exited during the load",
    },
    Expectation {
        name: "service that hangs",
        must: "must not be judged",
        env: &[("SELFTEST_SIGNAL", "STOP")],
        quick_args: &["--max-runs", "1"],
        code: 2,
        prints: "NO VERDICT: the service does not answer after the load",
    },
];

/// The locustfile of all runs, because a baseline is compared with runs of the same path.
const LOCUSTFILE: &str = "target/perf/selftest/locustfile.py";

/// The users of the bundled locustfile, or users that leave.
const USERS: &str = r#""""Written by `cargo xtask selftest`."""

import os
import time

from locust import HttpUser, constant, task

if os.environ.get("SELFTEST_USERS") == "leaving":

    class LeavingUser(HttpUser):
        wait_time = constant(0.1)

        def on_start(self):
            self.leaves_at = time.monotonic() + 4

        @task
        def list_claims(self):
            self.client.get("/claims")
            if time.monotonic() > self.leaves_at:
                self.stop()

else:
    with open("locustfile.py", encoding="utf-8") as file:
        exec(compile(file.read(), "locustfile.py", "exec"))
"#;

/// The seconds of a run. The quick form, for every push, makes 12 to 16 short runs, with fixed numbers of runs.
///
/// A run of 10 s requests `GET /claims/[id]` about 150 times (a quarter of 60 requests per second), and its p95 needs 100
/// requests to FAIL. One slow endpoint needs two runs: with one run against four, its interval is so wide that Holm's
/// correction may reject it. The demo spreads its errors evenly, so every run has 4.2% of them (`GET /health` never fails).
const RUN_TIME_S: u32 = 20;
const QUICK_RUN_TIME_S: u32 = 10;

/// The load and the limits of the bundled `perf.toml`, with a service that gets a signal in the middle of the load on demand.
/// The shell becomes the service.
const SERVICE: &str = r#"# Written by `cargo xtask selftest`.
[service]
build = "cargo build --quiet --release --package demo"
command = """
if [ -n "$SELFTEST_SIGNAL" ]; then (sleep {stopped_after_s}; kill -s "$SELFTEST_SIGNAL" $$) & fi
exec cargo run --quiet --release --package demo -- --port {port}
"""
ready_url = "http://127.0.0.1:{port}/health"
stop_timeout = "2s"

[load]
users = 10
spawn_rate = 10
locustfile = "target/perf/selftest/locustfile.py"
stop_timeout = "2s"

[limits]
p50 = "20% and 5ms"
p95 = "20% and 5ms"
p95_corrected = "20% and 5ms"
p99 = "25% and 10ms"
"#;

/// The time after which [`SERVICE`] gets its signal, and about the time of load of a run without results.
const STOPPED_AFTER_S: u32 = 6;

/// The time for one call of the gate. The gate's own deadlines add up to less.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// The time from SIGTERM to SIGKILL. The gate needs a few seconds of it to end Locust and the service.
const GRACE: Duration = Duration::from_secs(30);

struct Trial {
    is_quick: bool,
    program: PathBuf,
    root: PathBuf,
    /// Has the configuration, the baseline and a log for each expectation.
    folder: PathBuf,
    /// Two selftests at once would overwrite each other's files, and disturb each other's measurements.
    _lock: File,
}

struct CallResult {
    code: Option<i32>,
    output: String,
    load_s: u32,
    p95_ms: Vec<f64>,
}

impl CallResult {
    fn last_line(&self) -> &str {
        self.output.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it printed nothing")
    }
}

impl Expectation {
    fn proof<'s>(&self, seen: &'s CallResult) -> Option<&'s str> {
        // The table has this row whatever its status.
        let is_proof = |line: &&str| line.starts_with(self.prints) && (self.code != 1 || line.contains("FAIL"));
        seen.output.lines().find(is_proof)
    }

    fn holds(&self, seen: &CallResult) -> bool {
        seen.code == Some(self.code) && self.proof(seen).is_some()
    }
}

impl Trial {
    fn prepare(is_quick: bool) -> Result<Trial> {
        let current_dir = env::current_dir().context("the current folder is gone")?;
        let root = git::root(&current_dir).to_owned();
        for (path, what) in [("demo/Cargo.toml", "demo service"), ("locustfile.py", "locustfile")] {
            ensure!(
                root.join(path).is_file(),
                "there is no {what} {}: selftest needs the bundled demo, so run it in the gate's repository",
                root.join(path).display()
            );
        }
        let locust = Config::read(&root.join("perf.toml"), false)?.locust;
        let folder = root.join("target/perf/selftest");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let lock = lock::lock(&folder.join("lock"), Duration::from_secs(1))?;
        let lock = lock.with_context(|| format!("another selftest holds {}: wait for its end", folder.display()))?;
        let program = env::current_exe().context("cannot find this program's own file")?;
        let trial = Trial { is_quick, program, root, folder, _lock: lock };
        let service = SERVICE.replace("{stopped_after_s}", &STOPPED_AFTER_S.to_string());
        let config = format!("{service}\n{}", locust_table(&locust)?);
        files::write_atomically(&trial.folder.join("perf.toml"), &config)?;
        files::write_atomically(&trial.root.join(LOCUSTFILE), USERS)?;
        remove(&trial.baseline_path())?;
        Ok(trial)
    }

    fn run_time_s(&self) -> u32 {
        if self.is_quick { QUICK_RUN_TIME_S } else { RUN_TIME_S }
    }

    fn baseline_path(&self) -> PathBuf {
        self.folder.join("baseline.json")
    }

    fn log(&self, expectation: &Expectation) -> PathBuf {
        let name = expectation.name.replace('%', "-percent").replace(' ', "-");
        self.folder.join(format!("{name}.log"))
    }

    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }

    fn measure(&self, expectation: &Expectation) -> Result<CallResult> {
        let log = self.log(expectation);
        remove(&log)?;
        let mut command = Command::new(&self.program);
        command.current_dir(&self.root).arg("perf");
        command.args([
            "--config",
            "target/perf/selftest/perf.toml",
            "--baseline",
            "target/perf/selftest/baseline.json",
        ]);
        command.args(["--run-time", &format!("{}s", self.run_time_s())]);
        if expectation.name == BASELINE {
            command.arg("--update-baseline");
        }
        if self.is_quick {
            command.args(expectation.quick_args);
        }
        for (name, _) in env::vars_os().filter(|(name, _)| disturbs(&name.to_string_lossy())) {
            command.env_remove(name);
        }
        command.envs(expectation.env.iter().copied());
        let mut gate = Group::spawn("cargo xtask perf", &command, &log, GRACE)?;
        let id = gate.id();
        let Some(status) = gate.wait(TIMEOUT, || Ok(()))? else {
            let took = humantime::format_duration(TIMEOUT);
            bail!(Failure::new(format!("cargo xtask perf did not end within {took}"), &log));
        };
        let output = files::read(&log)?;
        let output = String::from_utf8_lossy(&output).into_owned();
        let (load_s, p95_ms) = self.measured(id)?;
        Ok(CallResult { code: status.code(), output, load_s, p95_ms })
    }

    /// The seconds of load, and the p95 of each finished run.
    fn measured(&self, id: u32) -> Result<(u32, Vec<f64>)> {
        // A gate that refuses before the load leaves no folder.
        let Some(folder) = Session::folder_of(&self.root.join("target/perf"), id) else {
            return Ok((0, Vec::new()));
        };
        let (mut load_s, mut p95_ms) = (0, Vec::new());
        for number in 1.. {
            let run = folder.join(format!("run-{number}"));
            if !run.is_dir() {
                break;
            }
            let results = run.join(files::RESULTS);
            load_s += if results.is_file() { self.run_time_s() } else { STOPPED_AFTER_S };
            // This file is written last, and only if the run counts.
            if run.join("run.json").is_file() {
                p95_ms.push(results::read(&results)?.run.total.value(Metric::P95));
            }
        }
        Ok((load_s, p95_ms))
    }

    /// It follows from the spread of both measurements of the same build.
    fn detectable(&self, same_build_p95_ms: &[f64]) -> Result<String> {
        let baseline = Baseline::parse(&files::read_to_string(&self.baseline_path())?)?;
        let baseline_p95_ms = baseline.total_runs(Metric::P95);
        let difference = Difference::between(Scale::Relative, baseline_p95_ms, same_build_p95_ms);
        let Some(difference) = difference else {
            return Ok("detectable: unknown, because the same build has no finished runs".to_owned());
        };
        let [one, three, five] =
            [1, 3, 5].map(|runs| difference.with_runs(baseline_p95_ms.len(), runs).detectable(Metric::P95.worse()));
        Ok(format!(
            "detectable: a p95 change of {one:.1}% in 1 run, {three:.1}% in 3, {five:.1}% in 5 (this machine, {} baseline runs of {} s)",
            baseline_p95_ms.len(),
            self.run_time_s()
        ))
    }
}

/// Faults of the demo, settings of Locust, and variables that make the gate annotate a pull request or colour its output.
fn disturbs(name: &str) -> bool {
    let prefixes = ["DEMO_", "GITHUB_", "LOCUST_", "SELFTEST_"];
    prefixes.iter().any(|prefix| name.starts_with(prefix)) || ["CI", "CLICOLOR_FORCE"].contains(&name)
}

/// A string, or a list of strings, is the same in JSON and in TOML.
fn locust_table(locust: &LocustConfig) -> Result<String> {
    let mut table = "[locust]\n".to_owned();
    let locust = serde_json::to_value(locust).context("cannot write [locust]")?;
    for (key, value) in locust.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        let _ = writeln!(table, "{key} = {value}");
    }
    Ok(table)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

const SHOWN: usize = 70;

/// `same build again  must pass  exit 0, PASS: p95 +0.4%  0.3 min of load  ok`
fn line(expectation: &Expectation, seen: &CallResult, holds: bool) -> String {
    let shown = expectation.proof(seen).unwrap_or_else(|| seen.last_line());
    // The log has the rest of the line.
    let shown = shown.trim_start_matches("NO VERDICT: ").split([';', '(']).next().unwrap_or_default();
    let exit = seen.code.map_or_else(|| "killed".to_owned(), |code| format!("exit {code}"));
    let shown: Vec<&str> = shown.split_whitespace().collect();
    let mut shown = format!("{exit}, {}", shown.join(" "));
    if shown.chars().count() > SHOWN {
        shown = shown.chars().take(SHOWN - 3).chain("...".chars()).collect();
    }
    format!(
        "{:<27}  {:<26}  {shown:<SHOWN$}  {:.1} min of load   {}",
        expectation.name,
        expectation.must,
        f64::from(seen.load_s) / 60.0,
        if holds { "ok" } else { "FAILED" }
    )
}

fn verdict(broken: &[&str]) -> String {
    let all = EXPECTATIONS.len();
    match broken {
        [] => "PASS: the gate caught every injected fault on this machine".to_owned(),
        [only] => format!("FAIL: 1 of {all} expectations does not hold: {only}"),
        several => format!("FAIL: {} of {all} expectations do not hold: {}", several.len(), several.join(", ")),
    }
}

fn print(line: &str) -> Result<()> {
    match writeln!(anstream::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot print the report"),
        _ => Ok(()),
    }
}

fn say(line: &str) {
    // Progress that cannot be shown does not end a measurement.
    let _ = write!(anstream::stderr(), "{}", terminal::wrapped(line, screen(&io::stderr())));
}
