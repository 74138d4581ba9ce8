//! One run of Locust: start, deadline, end, and what its results cover.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use judge::model::mask;
use judge::model::run::{Load, endpoint_name};
use judge::model::text::{endpoint_shown, printable};
use judge::parse::locust_csv;
use xshell::{Cmd, Shell, cmd};

use crate::config::locust_conf::STRIPPED;
use crate::config::perf_toml::LoadConfig;
use crate::config::settings::{DEFAULT_BIND_HOST, Settings};
use crate::run::listener::{EndedBy, LISTENER_FILE, ListenerFile};
use crate::run::locust_log::{self, explanation};
use crate::run::workers::{WorkerList, WorkerSetup};
use crate::sys::files::{self, Follower};
use crate::sys::log;
use crate::sys::process::{self, Failure, Group};

/// Locust loads it beside the user's locustfile.
const LISTENER: &str = include_str!("../../locust/perf_listener.py");
pub const LISTENER_NAME: &str = "perf_listener.py";

pub const FINAL_CSV_VARIABLE: &str = "PERF_FINAL_STATS_CSV";

/// The time for Locust to write its results after SIGINT.
const INTERRUPT_GRACE: Duration = Duration::from_secs(5);

// The first versions with these features.
/// Several locustfiles in one `-f`, and with them our listener.
const SEVERAL_LOCUSTFILES: LocustVersion = LocustVersion(2, 11, 0);
const PROCESSES: LocustVersion = LocustVersion(2, 19, 0);
/// A load shape need not be in the last locustfile.
const SHAPE_IN_ANY_LOCUSTFILE: LocustVersion = LocustVersion(2, 20, 0);
const JSON_FILE: LocustVersion = LocustVersion(2, 37, 10);
/// Workers get all locustfiles, and so our listener, from their master.
const LOCUSTFILES_TRAVEL: LocustVersion = LocustVersion(2, 31, 0);

#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct LocustVersion(pub u32, pub u32, pub u32);

impl LocustVersion {
    pub fn parse(text: &str) -> Option<LocustVersion> {
        // A pre-release like 2.47.1.dev3 counts as its release.
        let mut numbers =
            text.split('.').map(|part| part.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok());
        Some(LocustVersion(numbers.next()??, numbers.next()??, numbers.next().flatten().unwrap_or(0)))
    }
}

pub enum Program {
    Managed(PathBuf),
    /// `[locust] command`.
    Own(String),
}

pub struct Locust {
    program: Program,
    parsed: LocustVersion,
    pub version: String,
    pub python: Option<String>,
    /// The packages of the environment that the gate installed: `gevent 26.9.0, greenlet 3.5.6`.
    pub packages: String,
    pub worker_setup: WorkerSetup,
}

pub(crate) enum Stage {
    /// It waits for workers.
    Waiting(WorkerList),
    Loading(Duration),
}

pub struct RequestCounts {
    pub requests: u64,
    pub failures: u64,
}

pub struct Job<'a> {
    pub settings: &'a Settings,
    pub config: &'a LoadConfig,
    pub host: &'a str,
    /// Where a master listens for workers.
    pub bind_host: &'a str,
    pub bind_port: u16,
    pub root: &'a Path,
    /// The folder of the results. It is fresh, so no older file can be taken for a result of this run. It is relative to the
    /// root, because Locust takes a comma in the path of a locustfile for the end of its name.
    pub folder: &'a Path,
    pub verbose: bool,
}

impl Job<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.root.join(self.folder).join(name)
    }

    pub fn log(&self) -> PathBuf {
        self.path("locust.log")
    }

    fn failure(&self, line: String) -> Failure {
        Failure::new(line, &self.log())
    }
}

pub struct Finished {
    /// `None` if our listener was not loaded. Then the statistics are Locust's own, with the ramp-up and without the
    /// last second.
    pub listener: Option<ListenerFile>,
    /// A sentence each.
    pub warnings: Vec<String>,
}

impl Locust {
    /// Parses the line that `locust --version` prints: `locust 2.47.0 from /path (Python 3.11.7)`, in old versions
    /// `locust 1.6.0`, or `__main__.py 1.6.0` if it is called as a module.
    pub fn new(program: Program, line: &str, packages: String, worker_setup: WorkerSetup) -> Result<Locust> {
        let version = line.split_whitespace().nth(1).unwrap_or_default();
        let parsed = LocustVersion::parse(version).with_context(|| format!("`{line}` is not a version of Locust"))?;
        let python =
            line.to_lowercase().rsplit_once("(python ").and_then(|(_, rest)| Some(rest.split_once(')')?.0.to_owned()));
        Ok(Locust { program, parsed, version: version.to_owned(), python, packages, worker_setup })
    }

    pub fn check(&self, load: &Load, locustfiles: &[String]) -> Result<()> {
        ensure!(
            self.parsed >= PROCESSES || load.processes.is_none(),
            "several processes need Locust 2.19 or later, and this is {}: leave `processes` out, or name a later [locust] version",
            self.version
        );
        ensure!(
            self.parsed >= SEVERAL_LOCUSTFILES || locustfiles.len() == 1,
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
            Program::Own(command) => own_command(shell, command, args),
        }
    }

    fn loads_listener(&self) -> bool {
        self.parsed >= SEVERAL_LOCUSTFILES
    }

    fn args(&self, job: &Job) -> Vec<OsString> {
        let listener = job.folder.join(LISTENER_NAME);
        let locustfiles = match job.settings.locustfiles.join(",") {
            file if !self.loads_listener() => file,
            // The first locustfile names Locust's HTML report.
            files if self.parsed >= SHAPE_IN_ANY_LOCUSTFILE => format!("{files},{}", listener.display()),
            files => format!("{},{files}", listener.display()),
        };
        let load = &job.settings.load;
        let mut args: Vec<OsString> = Vec::new();
        let mut arg = |name: &str, value: &dyn std::fmt::Display| args.extend([name.into(), value.to_string().into()]);
        arg("-f", &locustfiles);
        arg("-H", &job.host);
        arg("-u", &load.users);
        arg("-r", &load.spawn_rate);
        arg("-t", &format!("{}s", load.run_time_s));
        arg("--csv", &job.folder.join("locust").display());
        // Older versions take whole seconds, and 0 would end users in mid-request.
        arg("--stop-timeout", &job.settings.stop_timeout.as_secs_f64().ceil());
        arg("--loglevel", &"INFO");
        // Failed requests are a metric here, not a failure of the measurement.
        arg("--exit-code-on-error", &0);
        if let Some(processes) = load.processes {
            arg("--processes", &processes);
            arg("--master-host", &job.bind_host);
            arg("--master-port", &job.bind_port);
        }
        if let Some(workers) = load.workers {
            arg("--expect-workers", &workers);
        }
        if load.shared_by().is_some() {
            arg("--expect-workers-max-wait", &job.config.workers_timeout.as_secs_f64().ceil());
            arg("--master-bind-port", &job.bind_port);
            if job.bind_host != DEFAULT_BIND_HOST {
                arg("--master-bind-host", &job.bind_host);
            }
        }
        if self.parsed >= JSON_FILE {
            arg("--json-file", &job.folder.join("perf_results").display());
        }
        if load.workers.is_some() {
            args.push("--master".into());
        }
        args.push("--headless".into());
        // Only with it are the percentiles of the history those of the last ten seconds.
        args.push("--csv-full-history".into());
        if !job.verbose {
            args.push("--only-summary".into());
        }
        // Locust takes the last of a repeated option.
        args.extend(load.args.iter().chain(&load.locust_args).map(OsString::from));
        args
    }

    /// `tick` is called about every 10 ms and may end the run by an error.
    pub(crate) fn run(&self, shell: &Shell, job: &Job, tick: &mut dyn FnMut(Stage) -> Result<()>) -> Result<Finished> {
        if self.loads_listener() {
            let listener = job.path(LISTENER_NAME);
            fs::write(&listener, LISTENER).with_context(|| format!("cannot write {}", listener.display()))?;
        }
        let args = self.args(job);
        let mut command = self
            .command(shell, &args)
            .env("PYTHONUTF8", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            // The load is measured from when all users are started, which workers on a busy machine report late.
            .env("LOCUST_WAIT_FOR_WORKERS_REPORT_AFTER_RAMP_UP", "10")
            .env(FINAL_CSV_VARIABLE, job.path(files::RESULTS))
            .env("PERF_WARMUP_S", job.settings.load.warmup_s.to_string());
        for name in STRIPPED {
            command = command.env_remove(name);
        }
        let mut group = Group::spawn("Locust", &command.into(), &job.log(), Duration::ZERO)?;
        group.search_for(&locust_log::SEARCHED);
        let took = self.watch(&mut group, job, tick);
        if took.is_err() && job.settings.load.workers.is_some() {
            // Workers on other machines only end when their master stops them.
            group.interrupt(INTERRUPT_GRACE);
        }
        let took = took?;
        let phrases = group.matches();
        let mut warnings = warnings(job, &phrases);
        let listener = read_listener(job, took, &phrases)?;
        if let Some(listener) = &listener {
            warnings.extend(listener.unfinished_text());
            warnings.extend(left_out(job, listener)?);
            let as_asked = listener.load.check(&job.settings.load, listener.has_shape());
            warnings.extend(as_asked.map_err(|error| job.failure(error.to_string()))?);
            self.check_is_complete(job, listener)?;
            if listener.has_shape() {
                warnings.push(
                    "ramp-up is included in the results: a load shape never finishes starting its users".to_owned(),
                );
            }
        } else {
            self.take_own_statistics(job)?;
            let why = if self.loads_listener() {
                "[locust] command does not load our listener"
            } else {
                "Locust before 2.11 cannot load our listener"
            };
            warnings.push(
                "ramp-up is included in the results: our listener, which leaves it out, was not loaded".to_owned(),
            );
            warnings.push(format!("the last second of the run is missing in the results: {why}"));
        }
        Ok(Finished { listener, warnings })
    }

    fn check_is_complete(&self, job: &Job, listener: &ListenerFile) -> Result<()> {
        let json = (self.parsed >= JSON_FILE).then_some("perf_results.json");
        let missing = ["perf_complete.json"].into_iter().chain(json).find(|name| !job.path(name).is_file());
        let Some(missing) = missing.filter(|_| listener.load.is_counted()) else { return Ok(()) };
        bail!(job.failure(format!(
            "Locust exited early, such as by os._exit in a listener of `quitting`: {missing} is missing: remove that from the locustfile"
        )))
    }

    /// It is an error if our listener should have written some.
    fn take_own_statistics(&self, job: &Job) -> Result<()> {
        let is_expected =
            (!self.loads_listener() || matches!(self.program, Program::Own(_))) && job.settings.load.workers.is_none();
        let missing = |what: &str| job.failure(format!("Locust ended without writing {what} statistics"));
        ensure!(is_expected, missing("its final"));
        let last_csv = job.path("locust_stats.csv");
        ensure!(last_csv.is_file(), missing("any"));
        files::write_atomically(&job.path(files::RESULTS), &files::read_to_string(&last_csv)?)
    }

    /// Returns the load's time, once Locust and all of its workers have ended well.
    fn watch(&self, group: &mut Group, job: &Job, tick: &mut dyn FnMut(Stage) -> Result<()>) -> Result<Duration> {
        if job.settings.load.workers.is_some() {
            self.wait_for_workers(group, job, tick)?;
        }
        let timeout =
            Duration::from_secs(job.settings.load.run_time_s) + job.settings.stop_timeout + job.config.deadline_margin;
        let started = Instant::now();
        let status = group.wait(timeout, || {
            self.check_workers(job)?;
            tick(Stage::Loading(started.elapsed()))
        })?;
        // A lost worker explains whatever Locust reports.
        let workers = self.check_workers(job)?;
        match status {
            Some(status) if status.success() => {
                workers.check_complete().map_err(|lost| job.failure(lost))?;
                Ok(started.elapsed())
            }
            Some(status) => {
                let log = log::tail(&job.log());
                if job.settings.load.shared_by().is_some() && log.contains(locust_log::GAVE_UP) {
                    bail!(not_all_connected(job, &workers));
                }
                let why = explanation(status, &log);
                bail!(job.failure(format!("Locust failed: {}{why}", process::describe(status))))
            }
            None => {
                group.interrupt(INTERRUPT_GRACE);
                let has_shape = group.matches().contains(&locust_log::SHAPE_STARTED);
                let next = if has_shape { ": its load shape takes longer, let the run time cover it" } else { "" };
                bail!(job.failure(format!(
                    "Locust did not finish within {} (run time, stop timeout and margin), so it was stopped{next}",
                    humantime::format_duration(timeout)
                )));
            }
        }
    }

    /// Waits until the load begins, or Locust has given up. The margin is for a Locust that hangs.
    fn wait_for_workers(&self, group: &mut Group, job: &Job, tick: &mut dyn FnMut(Stage) -> Result<()>) -> Result<()> {
        let deadline = Instant::now() + job.config.workers_timeout + job.config.deadline_margin;
        while group.status()?.is_none() {
            let workers = self.check_workers(job)?;
            let began = workers.began;
            if !began && Instant::now() >= deadline {
                bail!(not_all_connected(job, &workers));
            }
            tick(Stage::Waiting(workers))?;
            if began {
                break;
            }
            process::pause()?;
        }
        Ok(())
    }

    fn check_workers(&self, job: &Job) -> Result<WorkerList> {
        let Some(expected) = job.settings.load.shared_by() else { return Ok(WorkerList::default()) };
        let workers = WorkerList::read(&job.path("perf_workers.json"));
        workers.check(expected, &self.version).map_err(|fault| job.failure(fault))?;
        Ok(workers)
    }
}

fn not_all_connected(job: &Job, workers: &WorkerList) -> Failure {
    let expected = job.settings.load.shared_by().unwrap_or(1);
    let next = match job.settings.load.workers {
        Some(_) => format!(
            "missing: {}; start them with the commands above, or raise [load] workers_timeout",
            workers.missing(expected)
        ),
        None => "Locust starts them itself, so its log shows more".to_owned(),
    };
    let timeout = humantime::format_duration(job.config.workers_timeout);
    job.failure(format!("within {timeout} {}; {next}", workers.connected(expected)))
}

/// Calls the user's own Locust by `exec`, so that a signal reaches it, and by `env`, so that variables may precede it.
pub fn own_command<'a>(shell: &'a Shell, command: &str, args: &[OsString]) -> Cmd<'a> {
    let script = format!("exec env {command} \"$@\"");
    cmd!(shell, "sh -c {script} locust {args...}")
}

fn warnings(job: &Job, phrases: &[&str]) -> Vec<String> {
    let mut warnings = Vec::new();
    if locust_log::SATURATED.iter().any(|phrase| phrases.contains(phrase)) {
        warnings.push("the load generator was CPU-bound (Locust's CPU above 90%), so its own delays inflate the latencies: spread the load with --processes, or use fewer users".to_owned());
    }
    warnings.extend(most_frequent_failure(job));
    let mut exceptions = 0_u64;
    for_each_record(&records_file(&job.path(""), "exceptions"), ["Count"], |[times]| {
        exceptions = exceptions.saturating_add(times.parse().unwrap_or(0));
    });
    if exceptions > 0 {
        warnings.push(format!(
            "the locustfile itself raised {exceptions} exception{}, not counted as failed requests: see {}",
            if exceptions == 1 { "" } else { "s" },
            job.log().display()
        ));
    }
    warnings
}

/// The final file of our listener, or else Locust's own, of the `failures` or `exceptions` of a run.
pub fn records_file(folder: &Path, what: &str) -> PathBuf {
    let own = folder.join(format!("perf_results_{what}.csv"));
    if own.is_file() { own } else { folder.join(format!("locust_{what}.csv")) }
}

/// There may be millions of failures or exceptions, and only one is in memory at a time.
fn for_each_record<const N: usize>(file: &Path, columns: [&str; N], mut take: impl FnMut([&str; N])) {
    let Ok(bytes) = files::read(file) else { return };
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let Ok(header) = reader.headers().cloned() else { return };
    let places = columns.map(|column| header.iter().position(|name| name == column));
    for record in reader.records().filter_map(Result::ok) {
        let fields = places.map(|place| record.get(place?));
        if fields.iter().all(Option::is_some) {
            take(fields.map(Option::unwrap_or_default));
        }
    }
}

/// `take` gets the endpoint, Locust's text of the error, and how often it occurred.
pub fn for_each_failure(file: &Path, mut take: impl FnMut(Box<str>, &str, u64)) {
    for_each_record(file, ["Method", "Name", "Error", "Occurrences"], |[method, name, error, times]| {
        if let Some(times) = times.parse().ok().filter(|times| *times > 0) {
            take(endpoint_name(method, name), error, times);
        }
    });
}

fn most_frequent_failure(job: &Job) -> Option<String> {
    let mut most_frequent: Option<(Box<str>, String, u64)> = None;
    for_each_failure(&records_file(&job.path(""), "failures"), |endpoint, error, times| {
        if times > most_frequent.as_ref().map_or(0, |(.., most)| *most) {
            most_frequent = Some((endpoint, error.to_owned(), times));
        }
    });
    let (endpoint, error, times) = most_frequent?;
    let endpoint = endpoint_shown(&endpoint);
    let error: String = mask::text(&error).chars().take(200).collect();
    Some(printable(&format!("most frequent failure ({times}x): {endpoint}: {error}")))
}

fn left_out(job: &Job, listener: &ListenerFile) -> Result<Vec<String>> {
    // A file that cannot be read is an error of its own.
    let statistics =
        files::read(&job.path(files::RESULTS)).and_then(|bytes| locust_csv::parse(&bytes)).unwrap_or_default();
    let requests: HashMap<_, _> = statistics.endpoints.iter().map(|(name, stats)| (&**name, stats.requests)).collect();
    let warnings = listener.check_left_out(|endpoint| requests.get(endpoint).copied().unwrap_or(0));
    warnings.map_err(|error| job.failure(error.to_string()).into())
}

/// Refuses a load that was cut short. Without the listener there is no file.
fn read_listener(job: &Job, took: Duration, phrases: &[&str]) -> Result<Option<ListenerFile>> {
    // Locust exits with 0 also when a signal or the locustfile itself ends it early.
    let cut_short = |load_s: f64| {
        let run_time_s = job.settings.load.run_time_s;
        job.failure(format!(
            "Locust ended after {load_s:.0} s of a load of {run_time_s} s: something stopped it; run it again"
        ))
    };
    // The listener writes its own file first, and the statistics last.
    let has_final = job.path(files::RESULTS).is_file();
    let listener = if has_final { ListenerFile::read(&job.path(LISTENER_FILE))? } else { None };
    let Some(listener) = listener else {
        let has_ended = took.as_secs() >= job.settings.load.run_time_s || phrases.contains(&locust_log::SHAPE_ENDED);
        ensure!(has_ended, cut_short(took.as_secs_f64()));
        return Ok(None);
    };
    let too_short = || {
        let line = "the load was over before all users were started and warmed up: raise the run time";
        job.failure(line.to_owned())
    };
    ensure!(listener.began, too_short());
    ensure!(listener.ended_by != EndedBy::Early, cut_short(listener.load_s));
    Ok(Some(listener))
}

/// Reads the counts that Locust rewrites every second or so.
pub fn request_counts(job: &Job) -> RequestCounts {
    let stats = files::read_to_string(&job.path("locust_stats.csv")).unwrap_or_default();
    let total = stats.lines().rev().find_map(|line| line.strip_prefix(",Aggregated,")).unwrap_or_default();
    let mut counts = total.split(',').map(|field| field.parse().unwrap_or(0));
    RequestCounts { requests: counts.next().unwrap_or(0), failures: counts.next().unwrap_or(0) }
}

/// `None` unless the next lines of the log report that all users are started.
pub fn users_started(log: &mut Follower) -> Option<u32> {
    let mut users = None;
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
    users
}
