//! The story of `cargo xtask perf`.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use xshell::Shell;

use crate::baseline::Baseline;
use crate::compare::{EndpointLimits, Limits, Rules, Verdict, comparability, compare, lacking};
use crate::config::{Config, LocustSettings, Settings, settle};
use crate::flags::Perf;
use crate::git::{self, Head};
use crate::locust::{self, Job, Locust};
use crate::process::{self, Failure};
use crate::progress::ProgressLine;
use crate::report::terminal::{self, Verbosity};
use crate::report::{self, Report};
use crate::results::{self, Measured, RunFile};
use crate::run::{Precision, Provenance, Run};
use crate::service::{self, Service};
use crate::{files, machine};

pub enum Outcome {
    Judged(Verdict),
    /// A baseline was written, and there was nothing to fail.
    Saved(String),
    /// There was no baseline to judge by, and a gate whose baseline is never committed passes for ever.
    SavedInCi(String),
}

/// Runs the gate: reads and checks, measures or takes the results named, judges, reports, writes a baseline.
pub fn perf(flags: &Perf) -> Result<Outcome> {
    let mut clock = Clock::start();
    // 1. Read and check everything that can fail cheaply, before the first request.
    let project = Project::read(flags)?;
    let former = project.read_baseline()?;
    if let Some(former) = former.as_ref().filter(|_| !flags.update_baseline) {
        lacking(former).with_context(|| project.shown(&project.baseline_path))?;
    } else {
        files::check_writable(&project.baseline_path)?;
    }
    // 2. Measure, or take the results named.
    let measured = if flags.results.is_empty() {
        let settings = project.settle(flags)?;
        measure(&project, &settings, former.as_ref(), &mut clock)?
    } else {
        project.read_results(&flags.results)?
    };
    let measured = Measurement::new(measured, &project)?;
    project.rules.check_all_met(former.as_ref(), &measured.runs)?;
    // 3. Judge and report.
    let verdict = match &former {
        None => None,
        Some(former) => judge(&project, former, &measured, &clock)?,
    };
    // 4. Write the baseline where it is asked for, or where there is none.
    match (verdict, former) {
        (Some(verdict), _) if !flags.update_baseline => Ok(Outcome::Judged(verdict)),
        (_, former) => save_baseline(&project, former.as_ref(), measured),
    }
}

/// Where the command runs and what it was told.
struct Project<'a> {
    flags: &'a Perf,
    shell: Shell,
    root: PathBuf,
    /// Where the user is; the paths on the command line are relative to it.
    current_dir: PathBuf,
    config: Config,
    rules: Rules,
    baseline_path: PathBuf,
    head: Option<Head>,
}

impl Project<'_> {
    fn read(flags: &Perf) -> Result<Project<'_>> {
        let shell = Shell::new()?;
        let current_dir = shell.current_dir();
        let root = git::root(&current_dir).to_owned();
        shell.change_dir(&root);
        let config_path = flags.config.as_ref().map(|path| current_dir.join(path));
        let (config, limits, endpoint_limits) = match config_path {
            Some(path) => read_config(&path)?,
            None if root.join("perf.toml").is_file() => read_config(&root.join("perf.toml"))?,
            None => Config::parse("")?,
        };
        let baseline_path =
            flags.baseline.as_ref().map_or_else(|| root.join("perf_baseline.json"), |path| current_dir.join(path));
        let head = git::head(&shell);
        let [min_runs, max_runs] = [flags.load.min_runs(), flags.load.max_runs()];
        let rules = Rules { limits, endpoint_limits, strict: flags.strict, min_runs, max_runs };
        Ok(Project { flags, shell, root, current_dir, config, rules, baseline_path, head })
    }

    /// A missing baseline reads as none; one that cannot be read is an error.
    fn read_baseline(&self) -> Result<Option<Baseline>> {
        if !self.baseline_path.exists() {
            return Ok(None);
        }
        let text = files::read_to_string(&self.baseline_path)?;
        let next = "restore it from git, or delete it and measure anew";
        let named = |error| anyhow!("{}: {error:#}; {next}", self.shown(&self.baseline_path));
        Baseline::parse(&text).map(Some).map_err(named)
    }

    fn read_results(&self, paths: &[PathBuf]) -> Result<Vec<Measured>> {
        let mut measured = Vec::new();
        for path in paths {
            for file in files::result_files(&self.current_dir.join(path))? {
                measured.push(results::read(&file)?);
            }
        }
        Ok(measured)
    }

    /// The load, by flag, `perf.toml`, and what Locust itself would read.
    fn settle(&self, flags: &Perf) -> Result<Settings> {
        let mut locust = LocustSettings::default();
        locust.add_env(
            env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        );
        let home = env::home_dir().unwrap_or_default();
        for path in [self.root.join("pyproject.toml"), self.root.join("locust.conf"), home.join(".locust.conf")] {
            match fs::read_to_string(&path) {
                Ok(text) if path.extension().is_some_and(|extension| extension == "toml") => {
                    locust.add_pyproject(&self.shown(&path), &text)?;
                }
                Ok(text) => locust.add_conf(&self.shown(&path), &text),
                Err(_) => {}
            }
        }
        let mut settings = settle(&flags.load, &flags.locust_args, &self.config, &locust)?;
        let base = if flags.load.locustfile.is_some() { &self.current_dir } else { &self.root };
        settings.locustfile = self.find_locustfile(&settings.locustfile, base)?;
        Ok(settings)
    }

    /// Like Locust, takes several files with commas between; they come back relative to the root, where Locust runs.
    fn find_locustfile(&self, locustfile: &str, base: &Path) -> Result<String> {
        let mut found = Vec::new();
        for part in locustfile.split(',').map(str::trim) {
            let path = base.join(part);
            ensure!(
                path.exists(),
                "there is no locustfile {}: write one, or name it with --locustfile FILE",
                self.shown(&path)
            );
            found.push(self.shown(&path));
        }
        Ok(found.join(","))
    }

    /// A path as short as it can be told.
    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }

    fn say(&self, line: &str) {
        if !self.flags.quiet {
            // Progress that cannot be shown is no reason to end a measurement.
            let _ = writeln!(anstream::stderr(), "{line}");
        }
    }

    fn provenance(&self) -> Provenance {
        Provenance {
            timestamp: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            commit: self.head.as_ref().map_or_else(|| "unknown".to_owned(), |head| head.commit.clone()),
            dirty: self.head.as_ref().is_some_and(|head| head.dirty),
            load: None,
            machine: None,
            locust: None,
            python: None,
            precision: Precision::Coarse,
            locustfile: None,
        }
    }
}

pub fn read_config(path: &Path) -> Result<(Config, Limits, Vec<EndpointLimits>)> {
    let text = files::read_to_string(path)?;
    // The error begins with its line: `perf.toml:3: ...`.
    Config::parse(&text).map_err(|error| anyhow!("{}{error:#}", path.display()))
}

/// Starts what has to be started, loads the service, and leaves nothing running.
fn measure(
    project: &Project,
    settings: &Settings,
    former: Option<&Baseline>,
    clock: &mut Clock,
) -> Result<Vec<Measured>> {
    let mut provenance = project.provenance();
    provenance.load = Some(settings.load.clone());
    if let Some(former) = former.filter(|_| !project.flags.update_baseline)
        && let Some(refusal) = comparability(&former.provenance, &provenance).refusal
    {
        bail!("{} is not comparable: {refusal}", project.shown(&project.baseline_path));
    }
    process::catch_signals()?;
    let perf_folder = project.root.join("target/perf");
    fs::create_dir_all(&perf_folder).with_context(|| format!("cannot make {}", perf_folder.display()))?;
    // In a repository that does not ignore `target`, our files would make the tree dirty.
    files::write_atomically(&perf_folder.join(".gitignore"), "*\n")?;
    let session = files::Session::create(&perf_folder)?;
    if !settings.starts_service {
        service::check_answers(settings.host.as_deref().unwrap_or_default())?;
    }

    let locust = clock
        .beside(|| Locust::prepare(&project.shell, &project.config.locust, &perf_folder, &|line| project.say(line)))?;
    provenance.machine = Some(machine::describe(&project.shell));
    provenance.locust = Some(locust.version.clone());
    provenance.python.clone_from(&locust.python);
    provenance.locustfile = locustfile_digest(&project.root, &settings.locustfile);
    if let Some(config) = project.config.service.as_ref().filter(|_| settings.starts_service) {
        if let Some(build) = &config.build {
            project.say(&format!("building the service: {build}"));
        }
        clock.beside(|| service::build(&project.shell, config, &session.folder.join("build.log")))?;
    }
    let mut measured = Vec::new();
    loop {
        let folder = session.run_folder(measured.len() + 1)?;
        measured.push(measure_run(project, settings, &locust, &folder, provenance.clone(), clock)?);
        if !needs_another_run(project, former, &measured)? {
            return Ok(measured);
        }
    }
}

/// Until the verdict is settled, within the runs allowed; a new baseline gets all of them. Says why.
fn needs_another_run(project: &Project, former: Option<&Baseline>, measured: &[Measured]) -> Result<bool> {
    let made = measured.len();
    let &Rules { min_runs, max_runs, .. } = &project.rules;
    if project.flags.update_baseline {
        project.say(&format!("run {made} of {max_runs} is done"));
        return Ok(made < max_runs);
    }
    let Some(former) = former else { return Ok(made < min_runs) };
    let runs: Vec<Run> = measured.iter().map(|measured| measured.run.clone()).collect();
    let comparison = compare(former, &runs, &project.rules).with_context(|| project.shown(&project.baseline_path))?;
    let more = project.rules.wants_another_run(&comparison);
    let why = match report::unsettled(&comparison) {
        _ if made < min_runs => format!("--min-runs asks for {min_runs}"),
        None => report::evidence(&comparison),
        Some(unsettled) if more => unsettled,
        Some(unsettled) => format!("{unsettled}; the estimate decides"),
    };
    project.say(&format!("run {made} of at most {max_runs}: {why}{}", if more { "; another run follows" } else { "" }));
    Ok(more)
}

/// One run: a fresh service, a fresh folder, one Locust.
fn measure_run(
    project: &Project,
    settings: &Settings,
    locust: &Locust,
    folder: &Path,
    provenance: Provenance,
    clock: &mut Clock,
) -> Result<Measured> {
    let config = project.config.service.as_ref().filter(|_| settings.starts_service);
    let mut service = config
        .map(|config| clock.beside(|| Service::start(&project.shell, config, &folder.join("service.log"))))
        .transpose()?;
    let host = match (&settings.host, &service) {
        (Some(host), Some(service)) => host.replace("{port}", &service.port.to_string()),
        (None, Some(service)) => service.origin.clone(),
        (host, None) => host.clone().unwrap_or_default(),
    };
    let load = &settings.load;
    let relative = folder.strip_prefix(&project.root).unwrap_or(folder);
    let job = Job {
        load,
        locustfile: &settings.locustfile,
        host: &host,
        stop_timeout: project.config.load.stop_timeout,
        deadline_margin: project.config.load.deadline_margin,
        root: &project.root,
        folder: relative,
        verbose: project.flags.verbose,
    };
    project.say(&format!("loading {} with {load}", service::mask(&host)));
    let mut watch = Watch::new(project.flags, &job);
    let finished = clock.beside(|| {
        locust.run(&project.shell, &job, &mut |elapsed| {
            watch.tick(&job, elapsed);
            service.as_mut().map_or(Ok(()), |service| service.check_alive("during the load"))
        })
    });
    drop(watch);
    // A service that died explains whatever Locust says of it.
    match &mut service {
        Some(service) => service.check_alive("during the load")?,
        None if finished.is_ok() => service::check_answers(&host)?,
        None => {}
    }
    if let Some(service) = service.as_mut().filter(|_| finished.is_ok()) {
        clock.beside(|| service.check_answers())?;
    }
    let finished = finished?;
    if let Some(service) = service
        && clock.beside(|| service.stop())
    {
        project.say("the service did not end on SIGTERM in time and was killed: see [service] stop_timeout");
    }
    // A signal may have come while the service ended, when nothing else asks for one.
    process::check_interrupted()?;
    RunFile { provenance, exact: finished.exact, warnings: finished.warnings }.write(folder)?;
    results::read(&folder.join("perf_results_stats.csv"))
        .map_err(|error| Failure::new(format!("{error:#}"), &folder.join("locust.log")).into())
}

fn locustfile_digest(root: &Path, locustfile: &str) -> Option<String> {
    let mut bytes = Vec::new();
    for part in locustfile.split(',') {
        bytes.extend(fs::read(root.join(part)).ok()?);
    }
    Some(git::blob_hash(&bytes))
}

/// Shows the load's progress, or with `--verbose` what Locust itself prints.
struct Watch {
    line: Option<ProgressLine>,
    echoed: Option<usize>,
}

impl Watch {
    fn new(flags: &Perf, job: &Job) -> Watch {
        let line = (!flags.quiet && !flags.verbose).then(|| ProgressLine::new(job.load.run_time_s, job.load.users));
        Watch { line, echoed: flags.verbose.then_some(0) }
    }

    fn tick(&mut self, job: &Job, elapsed: Duration) {
        if let Some(line) = self.line.as_mut().filter(|line| line.is_due(elapsed)) {
            line.show(&locust::progress(job, elapsed));
        }
        if let Some(echoed) = &mut self.echoed {
            let log = fs::read(job.log()).unwrap_or_default();
            let _ = io::stderr().write_all(&log[(*echoed).min(log.len())..]);
            *echoed = log.len();
        }
    }
}

/// The runs of this command, and what is known about all of them.
struct Measurement {
    runs: Vec<Run>,
    provenance: Provenance,
    warnings: Vec<String>,
}

impl Measurement {
    fn new(measured: Vec<Measured>, project: &Project) -> Result<Measurement> {
        let mut provenance: Option<Provenance> = None;
        let mut warnings: Vec<String> = Vec::new();
        let mut runs = Vec::new();
        for Measured { run, about } in measured {
            runs.push(run);
            let Some(about) = about else { continue };
            if let Some(first) = &provenance
                && let Some(refusal) = comparability(first, &about.provenance).refusal
            {
                bail!("the results are runs of different loads: {refusal}");
            }
            provenance.get_or_insert(about.provenance);
            for warning in about.warnings {
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
        let mut provenance = provenance.unwrap_or_else(|| project.provenance());
        provenance.precision = runs.iter().map(|run| run.precision).min().unwrap_or_default();
        Ok(Measurement { runs, provenance, warnings })
    }
}

/// Compares and prints. `None` where a new baseline replaces one of another load, which cannot be compared.
fn judge(project: &Project, former: &Baseline, measured: &Measurement, clock: &Clock) -> Result<Option<Verdict>> {
    let comparability = comparability(&former.provenance, &measured.provenance);
    if let Some(refusal) = comparability.refusal {
        ensure!(
            project.flags.update_baseline,
            "{} is not comparable: {refusal}",
            project.shown(&project.baseline_path)
        );
        project.say(&format!("no comparison with the former baseline: {refusal}"));
        return Ok(None);
    }
    let comparison = match compare(former, &measured.runs, &project.rules) {
        Err(error) if project.flags.update_baseline => {
            project.say(&format!("no comparison with the former baseline: {error:#}"));
            return Ok(None);
        }
        comparison => comparison.with_context(|| project.shown(&project.baseline_path))?,
    };
    let mut warnings = measured.warnings.clone();
    warnings.extend(comparability.warnings);
    let report = Report {
        comparison: &comparison,
        baseline: baseline_origin(project, former),
        warnings,
        details: details(project, measured, clock),
    };
    let verbosity = match (project.flags.quiet, project.flags.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    match anstream::stdout().write_all(terminal::render(&report, verbosity).as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot print the report"),
        _ => Ok(Some(comparison.verdict)),
    }
}

fn baseline_origin(project: &Project, baseline: &Baseline) -> String {
    let Provenance { commit, timestamp, dirty, .. } = &baseline.provenance;
    let date: String = timestamp.chars().take("2026-01-27".len()).collect();
    let age = match git::commits_since(&project.shell, commit) {
        None => String::new(),
        Some(0) => ", the commit checked out".to_owned(),
        Some(1) => ", 1 commit ago".to_owned(),
        Some(commits) => format!(", {commits} commits ago"),
    };
    format!(
        "baseline: commit {}, {date}{age} ({})",
        shown_commit(commit, *dirty),
        project.shown(&project.baseline_path)
    )
}

fn shown_commit(commit: &str, dirty: bool) -> String {
    let short: String = commit.chars().take(12).collect();
    if dirty { format!("{short} with changes") } else { short }
}

fn details(project: &Project, measured: &Measurement, clock: &Clock) -> Vec<String> {
    let Provenance { commit, dirty, load, machine, locust, python, .. } = &measured.provenance;
    let runs = measured.runs.len();
    let commit = shown_commit(commit, *dirty);
    let mut details = vec![format!("candidate: commit {commit}, {runs} {}", if runs == 1 { "run" } else { "runs" })];
    details.extend(load.as_ref().map(|load| format!("load: {load}")));
    details.extend(machine.as_ref().map(|machine| format!("machine: {machine}")));
    details.extend(
        locust.as_ref().map(|locust| format!("Locust {locust}, Python {}", python.as_deref().unwrap_or("unknown"))),
    );
    if project.flags.results.is_empty() {
        details.push(format!("results: {}", project.shown(&project.root.join("target/perf/latest"))));
        details.push(format!(
            "time: {:.1} s, of it {:.2} s our own beside Locust, the service and their set-up",
            clock.total().as_secs_f64(),
            clock.own().as_secs_f64()
        ));
    }
    details
}

fn save_baseline(project: &Project, former: Option<&Baseline>, measured: Measurement) -> Result<Outcome> {
    let shown = project.shown(&project.baseline_path);
    let baseline = Baseline::new(&measured.runs, measured.provenance, project.flags.note.as_deref(), former)?;
    if baseline.provenance.commit == "unknown" {
        project.say("warning: git does not know the commit here, so the baseline says `unknown`");
    }
    process::check_interrupted()?;
    files::write_atomically(&project.baseline_path, &baseline.to_text())?;
    let values = report::values(&baseline);
    if project.flags.update_baseline {
        return Ok(Outcome::Saved(format!("SAVED: {values} is the baseline now; commit {shown}")));
    }
    let message = format!("{values} is saved as {shown}: commit this file");
    let in_ci = env::var("CI").is_ok_and(|ci| !matches!(ci.as_str(), "" | "0" | "false"));
    Ok(if in_ci {
        Outcome::SavedInCi(format!(
            "NOT JUDGED: there is no baseline, and a gate without one passes for ever; {message}"
        ))
    } else {
        Outcome::Saved(format!("NO BASELINE: there was nothing to compare with; {message}"))
    })
}

/// Tells our own time from that of what we start and wait for.
struct Clock {
    started: Instant,
    others: Duration,
}

impl Clock {
    fn start() -> Clock {
        Clock { started: Instant::now(), others: Duration::ZERO }
    }

    /// Runs what is not our own work.
    fn beside<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        self.others += started.elapsed();
        result
    }

    fn total(&self) -> Duration {
        self.started.elapsed()
    }

    fn own(&self) -> Duration {
        self.total().saturating_sub(self.others)
    }
}
