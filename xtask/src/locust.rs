//! Locust: run headless, watched, ended.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use xshell::{Cmd, Shell, cmd};

use crate::config::STRIPPED;
use crate::files::{self, Follower};
use crate::mask;
use crate::process::{self, Failure, Group};
use crate::report::{self, printable};
use crate::run::{Load, endpoint_name};
use crate::workers::{Roll, Setup};

mod install;

/// Loaded beside the user's locustfile.
const LISTENER: &str = include_str!("../locust/perf_listener.py");
const LISTENER_NAME: &str = "perf_listener.py";

/// For Locust to write its results after SIGINT.
const INTERRUPT_GRACE: Duration = Duration::from_secs(5);

/// Several locustfiles in one `-f`, and with them our listener.
const SEVERAL_LOCUSTFILES: Version = Version(2, 11, 0);
const PROCESSES: Version = Version(2, 19, 0);
/// Before, only a load shape in the last locustfile counts.
const SHAPE_IN_ANY_LOCUSTFILE: Version = Version(2, 20, 0);
/// `--json-file`, after it had gone for nine patch releases.
const JSON_FILE: Version = Version(2, 37, 10);
/// Workers that get all locustfiles, and so our listener, from their master.
const LOCUSTFILES_TRAVEL: Version = Version(2, 31, 0);

#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
struct Version(u32, u32, u32);

impl Version {
    fn parse(text: &str) -> Option<Version> {
        // A pre-release like 2.47.1.dev3 counts as its release.
        let mut numbers =
            text.split('.').map(|part| part.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok());
        Some(Version(numbers.next()??, numbers.next()??, numbers.next().flatten().unwrap_or(0)))
    }
}

enum Program {
    /// The Python of the environment under `target/perf`.
    Managed(PathBuf),
    /// `[locust] command`.
    Own(String),
}

pub struct Locust {
    program: Program,
    parsed: Version,
    pub version: String,
    pub python: Option<String>,
    /// What its workers on other machines run.
    pub setup: Setup,
}

/// What a run is at.
pub enum Moment {
    /// Workers are waited for; nothing is known before Locust is up.
    Waiting(Option<Roll>),
    /// For so long.
    Loading(Duration),
}

/// What Locust is doing, for the progress line.
pub struct Progress {
    pub elapsed: Duration,
    /// Known once all users are spawned.
    pub users: Option<u32>,
    pub requests: u64,
    pub failures: u64,
}

/// What Locust says when its workers have not come in time.
const GAVE_UP: &str = "Gave up waiting for workers";

/// One run to make.
pub struct Job<'a> {
    pub load: &'a Load,
    /// Relative to the root, where Locust runs.
    pub locustfile: &'a str,
    pub host: &'a str,
    pub stop_timeout: Duration,
    pub deadline_margin: Duration,
    /// Where a master listens for workers; Locust's own choice is every address of this machine.
    pub bind_host: Option<&'a str>,
    pub bind_port: u16,
    pub workers_timeout: Duration,
    /// Where Locust runs.
    pub root: &'a Path,
    /// Fresh: nothing of an older run can be taken for this one's. Relative to the root, since Locust takes a comma in
    /// the path of a locustfile for the end of its name.
    pub folder: &'a Path,
    /// Show Locust's own table in its log.
    pub verbose: bool,
}

impl Job<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.root.join(self.folder).join(name)
    }

    pub fn log(&self) -> PathBuf {
        self.path("locust.log")
    }
}

/// What a finished run left to say.
pub struct Finished {
    /// The statistics hold every request; else their last second is missing.
    pub exact: bool,
    pub warnings: Vec<String>,
}

impl Locust {
    /// From the line that `locust --version` prints: `locust 2.47.0 from /path (Python 3.11.7)`, of old `locust 1.6.0`,
    /// or `__main__.py 1.6.0` where it is called as a module.
    fn new(program: Program, line: &str, setup: Setup) -> Result<Locust> {
        let version = line.split_whitespace().nth(1).unwrap_or_default();
        let parsed = Version::parse(version).with_context(|| format!("`{line}` is no version of Locust"))?;
        let python =
            line.to_lowercase().rsplit_once("(python ").and_then(|(_, rest)| Some(rest.split_once(')')?.0.to_owned()));
        Ok(Locust { program, parsed, version: version.to_owned(), python, setup })
    }

    /// What this version cannot do is said before anything is started.
    pub fn check(&self, load: &Load, locustfile: &str) -> Result<()> {
        ensure!(
            self.parsed >= PROCESSES || load.processes.is_none(),
            "several processes need Locust 2.19 or later, and this is {}: leave `processes` out, or name a later [locust] version",
            self.version
        );
        ensure!(
            self.parsed >= SEVERAL_LOCUSTFILES || !locustfile.contains(','),
            "several locustfiles need Locust 2.11 or later, and this is {}: name one that imports the others, or a later [locust] version",
            self.version
        );
        ensure!(
            self.parsed >= LOCUSTFILES_TRAVEL || load.workers.is_none(),
            "--expect-workers needs Locust 2.31.0 or later, whose workers get every locustfile from their master, and this is {}: raise [locust] version, or share the load on this machine with --processes",
            self.version
        );
        Ok(())
    }

    fn command<'a>(&self, shell: &'a Shell, args: &[OsString]) -> Cmd<'a> {
        match &self.program {
            // PYTHONSAFEPATH: a folder `locust` in the user's repository must not be taken for the package.
            Program::Managed(python) => cmd!(shell, "{python} -m locust {args...}").env("PYTHONSAFEPATH", "1"),
            Program::Own(command) => own(shell, command, args),
        }
    }

    fn args(&self, job: &Job, listens: bool) -> Vec<OsString> {
        let listener = job.folder.join(LISTENER_NAME);
        let locustfiles = match job.locustfile {
            file if !listens => file.to_owned(),
            // The first names Locust's HTML report.
            files if self.parsed >= SHAPE_IN_ANY_LOCUSTFILE => format!("{files},{}", listener.display()),
            files => format!("{},{files}", listener.display()),
        };
        let load = job.load;
        let mut args: Vec<OsString> = Vec::new();
        let mut arg = |name: &str, value: &dyn std::fmt::Display| args.extend([name.into(), value.to_string().into()]);
        arg("-f", &locustfiles);
        arg("-H", &job.host);
        arg("-u", &load.users);
        arg("-r", &load.spawn_rate);
        arg("-t", &format!("{}s", load.run_time_s));
        arg("--csv", &job.folder.join("locust").display());
        // Older versions take whole seconds, and 0 would end users in mid-request.
        arg("--stop-timeout", &job.stop_timeout.as_secs_f64().ceil());
        arg("--loglevel", &"INFO");
        // Failed requests are a metric here, not a failure of the measurement.
        arg("--exit-code-on-error", &0);
        if let Some(processes) = load.processes {
            arg("--processes", &processes);
            arg("--master-host", &job.bind_host.unwrap_or("127.0.0.1"));
            arg("--master-port", &job.bind_port);
        }
        if let Some(workers) = load.workers {
            arg("--expect-workers", &workers);
        }
        if load.shared_by().is_some() {
            arg("--expect-workers-max-wait", &job.workers_timeout.as_secs_f64().ceil());
            arg("--master-bind-port", &job.bind_port);
            if let Some(host) = job.bind_host {
                arg("--master-bind-host", &host);
            }
        }
        if self.parsed >= JSON_FILE {
            arg("--json-file", &job.folder.join("perf_results").display());
        }
        if load.workers.is_some() {
            args.push("--master".into());
        }
        args.push("--headless".into());
        if !job.verbose {
            args.push("--only-summary".into());
        }
        args.extend(load.locust_args.iter().map(OsString::from));
        args
    }

    /// Runs Locust to its end. `tick` is called about every 10 ms and may end the run by an error.
    ///
    /// Errors: workers that do not come or are lost, another exit code than 0, no end within run time + stop timeout +
    /// margin, no statistics.
    pub fn run(&self, shell: &Shell, job: &Job, tick: &mut dyn FnMut(Moment) -> Result<()>) -> Result<Finished> {
        let listens = self.parsed >= SEVERAL_LOCUSTFILES;
        let final_csv = job.path("perf_results_stats.csv");
        if listens {
            let listener = job.path(LISTENER_NAME);
            fs::write(&listener, LISTENER).with_context(|| format!("cannot write {}", listener.display()))?;
        }
        let args = self.args(job, listens);
        let mut command = self
            .command(shell, &args)
            .env("PYTHONUTF8", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            // The load is measured from when all users are started, and workers on a busy machine tell late.
            .env("LOCUST_WAIT_FOR_WORKERS_REPORT_AFTER_RAMP_UP", "10")
            .env("PERF_FINAL_STATS_CSV", &final_csv)
            .env("PERF_WARMUP_S", job.load.warmup_s.to_string());
        for name in STRIPPED {
            command = command.env_remove(name);
        }
        let log = job.log();
        let mut group = Group::spawn("Locust", command.into(), &log, Duration::ZERO)?;
        let took = self.watch(&mut group, job, tick);
        if took.is_err() && job.load.workers.is_some() {
            // Workers on other machines end by their master's word alone.
            group.interrupt(INTERRUPT_GRACE);
        }
        let took = took?;

        let mut warnings = warnings(job);
        let exact = final_csv.is_file();
        warnings.extend(check_load(job, exact, took)?);
        if !exact {
            let is_expected = (!listens || matches!(self.program, Program::Own(_))) && job.load.workers.is_none();
            ensure!(is_expected, Failure::new("Locust ended without writing its final statistics".to_owned(), &log));
            let last_csv = job.path("locust_stats.csv");
            ensure!(last_csv.is_file(), Failure::new("Locust ended without writing any statistics".to_owned(), &log));
            files::write_atomically(&final_csv, &files::read_to_string(&last_csv)?)?;
            let why = if listens {
                "[locust] command does not load our listener"
            } else {
                "Locust before 2.11 cannot load our listener"
            };
            warnings.push(format!("the last second of the run is missing in the results: {why}"));
        }
        Ok(Finished { exact, warnings })
    }

    /// Until Locust has ended well, with all of its workers. How long the load took.
    fn watch(&self, group: &mut Group, job: &Job, tick: &mut dyn FnMut(Moment) -> Result<()>) -> Result<Duration> {
        let log = job.log();
        if let Some(asked) = job.load.workers {
            self.wait_for_workers(group, job, asked, tick)?;
        }
        let timeout = Duration::from_secs(job.load.run_time_s) + job.stop_timeout + job.deadline_margin;
        let started = Instant::now();
        let status = group.wait(timeout, || {
            self.check_workers(job)?;
            tick(Moment::Loading(started.elapsed()))
        })?;
        // A worker that was lost explains whatever Locust says of it.
        let roll = self.check_workers(job)?;
        match status {
            Some(status) if status.success() => {
                if let Some(lost) = roll.and_then(|roll| roll.incomplete()) {
                    bail!(Failure::new(lost, &log));
                }
                Ok(started.elapsed())
            }
            Some(status) => {
                let log_text = files::tail(&log);
                if let Some(asked) = job.load.shared_by().filter(|_| log_text.contains(GAVE_UP)) {
                    bail!(not_all_came(job, asked, roll));
                }
                let why = explanation(status, &log_text);
                bail!(Failure::new(format!("Locust failed: {}{why}", process::describe(status)), &log))
            }
            None => {
                group.interrupt(INTERRUPT_GRACE);
                let has_shape = Follower::new(log.clone()).finds(&["Shape test starting"]);
                let next = if has_shape { ": its load shape takes longer, let the run time cover it" } else { "" };
                bail!(Failure::new(
                    format!(
                        "Locust did not end within {} (run time, stop timeout and margin), so it was stopped{next}",
                        humantime::format_duration(timeout)
                    ),
                    &log
                ));
            }
        }
    }

    /// Until the load begins, or Locust has given up. The margin is for a Locust that hangs itself.
    fn wait_for_workers(
        &self,
        group: &mut Group,
        job: &Job,
        asked: u32,
        tick: &mut dyn FnMut(Moment) -> Result<()>,
    ) -> Result<()> {
        let deadline = Instant::now() + job.workers_timeout + job.deadline_margin;
        while group.status()?.is_none() {
            let roll = self.check_workers(job)?;
            let began = roll.as_ref().is_some_and(|roll| roll.began);
            if !began && Instant::now() >= deadline {
                bail!(not_all_came(job, asked, roll));
            }
            tick(Moment::Waiting(roll))?;
            if began {
                break;
            }
            process::pause()?;
        }
        Ok(())
    }

    /// An error where a worker makes the run worthless.
    fn check_workers(&self, job: &Job) -> Result<Option<Roll>> {
        let Some(asked) = job.load.shared_by() else { return Ok(None) };
        let roll = Roll::read(&job.path("perf_workers.json"));
        match roll.as_ref().and_then(|roll| roll.fault(asked, &self.version)) {
            Some(fault) => bail!(Failure::new(fault, &job.log())),
            None => Ok(roll),
        }
    }
}

fn not_all_came(job: &Job, asked: u32, roll: Option<Roll>) -> Failure {
    let roll = roll.unwrap_or(Roll { began: false, workers: Vec::new() });
    let next = match job.load.workers {
        Some(_) => format!(
            "missing: {}; start them with the commands above, or raise [load] workers_timeout",
            roll.missing(asked)
        ),
        None => "these are processes of its own, so its log tells more".to_owned(),
    };
    let timeout = humantime::format_duration(job.workers_timeout);
    Failure::new(format!("within {timeout} {}; {next}", roll.came(asked)), &job.log())
}

/// `exec`, so that a signal reaches Locust, and `env`, so that variables may stand before it.
fn own<'a>(shell: &'a Shell, command: &str, args: &[OsString]) -> Cmd<'a> {
    let script = format!("exec env {command} \"$@\"");
    cmd!(shell, "sh -c {script} locust {args...}")
}

/// What Locust's log and its exceptions say about the measurement.
fn warnings(job: &Job) -> Vec<String> {
    let mut warnings = Vec::new();
    if Follower::new(job.log()).finds(&["CPU usage above 90%", "CPU usage was too high"]) {
        warnings.push("the load generator was saturated (Locust's CPU above 90 %), so latencies are partly its own: spread the load with --processes, or load less".to_owned());
    }
    let exceptions = csv::Reader::from_path(job.path("locust_exceptions.csv"))
        .map_or(0, |mut reader| reader.records().filter_map(|record| record.ok()?.get(0)?.parse::<u64>().ok()).sum());
    if let Some(failure) = most_frequent_failure(job) {
        warnings.push(failure);
    }
    if exceptions > 0 {
        warnings.push(format!(
            "the locustfile itself raised {exceptions} exceptions, which are no failed requests: see {}",
            job.log().display()
        ));
    }
    warnings
}

fn most_frequent_failure(job: &Job) -> Option<String> {
    let mut reader = csv::Reader::from_path(job.path("locust_failures.csv")).ok()?;
    let records = reader.records().filter_map(Result::ok);
    let failures = records.filter_map(|record| Some((record.get(3)?.parse::<u64>().ok()?, record)));
    let (times, record) = failures.max_by_key(|(times, _)| *times)?;
    let endpoint = report::name(&endpoint_name(record.get(0)?, record.get(1)?));
    let error: String = mask::text(record.get(2)?).chars().take(200).collect();
    Some(printable(&format!("the most frequent failure, {times} times: {endpoint}: {error}")))
}

/// What a log says of a failure, from a colon on: the last line that `tells`, or else the last one.
fn last_line(log: &str, tells: impl Fn(&str) -> bool) -> String {
    let mut lines = log.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let last = lines.clone().next();
    let line = lines.find(|line| tells(line)).or(last);
    let shown = |line: &str| printable(line.trim_end_matches('.')).chars().take(200).collect::<String>();
    line.map_or_else(String::new, |line| format!(": {}", shown(line)))
}

/// Why Locust ended with another code than 0, and what to do about it where its log tells.
fn explanation(status: ExitStatus, log: &str) -> String {
    // Below a refused argument it may guess what was meant.
    let said = last_line(log, |line| line.starts_with("locust: error: ") || line.starts_with("__main__.py: error: "));
    let crashed =
        log.contains("Unhandled exception in greenlet") || log.contains("Uncaught exception in event handler");
    if let Some(signal) = status.signal() {
        let why = if signal == 9 { ", such as the kernel where memory is short" } else { "" };
        return format!(": something ended it{why}; run it again");
    }
    let next = if log.contains("no sense to combine --run-time and LoadShapes") {
        "; Locust 2.2 to 2.16 take no run time beside a load shape, and the gate gives one: name another [locust] version"
    } else if status.code().is_some_and(|code| log.contains(&format!("Shutting down (exit code {code})"))) && !crashed {
        "; the locustfile itself set this code (environment.process_exit_code): leave it at 0 under the gate, whose limits stand in [limits]"
    } else {
        ""
    };
    format!("{said}{next}")
}

/// What the listener says of itself.
#[derive(Deserialize)]
struct Listener {
    ramp_up_left_out: bool,
    began: bool,
}

/// The load went on to its end. Ramp-up is not measured, unless nobody could leave it out: then the warning says so.
///
/// An error where the load was cut short, or over before its measured part began.
fn check_load(job: &Job, exact: bool, took: Duration) -> Result<Option<String>> {
    let path = job.path("perf_listener.json");
    // A load shape ends when it wants to.
    let reached_its_end = took.as_secs() >= job.load.run_time_s
        || Follower::new(job.log()).finds(&["imit reached", "Shape test stopping"]);
    // It exits with 0 also when a signal or the locustfile itself ends it early.
    let cut_short = || {
        let line = format!(
            "Locust ended after {} s of a load of {} s: something stopped it; run it again",
            took.as_secs(),
            job.load.run_time_s
        );
        Failure::new(line, &job.log())
    };
    if !exact || !path.is_file() {
        ensure!(reached_its_end, cut_short());
        return Ok(Some(
            "ramp-up is included in the results: our listener, which leaves it out, was not loaded".to_owned(),
        ));
    }
    let listener: Listener =
        serde_json::from_str(&files::read_to_string(&path)?).with_context(|| path.display().to_string())?;
    let too_short = || {
        Failure::new(
            "the load was over before all users were started and warmed up: raise the run time".to_owned(),
            &job.log(),
        )
    };
    ensure!(listener.began, too_short());
    ensure!(reached_its_end, cut_short());
    let included = "ramp-up is included in the results: a load shape never finishes starting its users";
    Ok((!listener.ramp_up_left_out).then(|| included.to_owned()))
}

/// Reads what Locust rewrites every second or so; a torn read shows nothing new. `users` were known before.
pub fn progress(job: &Job, elapsed: Duration, log: &mut Follower, mut users: Option<u32>) -> Progress {
    let stats = files::read_to_string(&job.path("locust_stats.csv")).unwrap_or_default();
    let total = stats.lines().rev().find_map(|line| line.strip_prefix(",Aggregated,")).unwrap_or_default();
    let mut counts = total.split(',').map(|field| field.parse().unwrap_or(0));
    let (requests, failures) = (counts.next().unwrap_or(0), counts.next().unwrap_or(0));
    // All users spawned: {"ClaimsUser": 10} (10 total users)
    let spawned = |lines: &str| lines.rsplit_once(" total users)")?.0.rsplit_once('(')?.1.parse().ok();
    // A log that grows faster than it is read is no reason to miss the deadline.
    for _ in 0..100 {
        let lines = log.next_lines();
        if lines.is_empty() {
            break;
        }
        users = spawned(&String::from_utf8_lossy(&lines)).or(users);
    }
    Progress { elapsed, users, requests, failures }
}
