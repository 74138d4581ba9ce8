//! The bench: everything that stands ready for all runs of a command, and one run on it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result};
use judge::model::mask;
use judge::model::run::Provenance;
use report::formats::github;
use report::view::words::shown_commit;
use xshell::Shell;

use crate::config::project::Project;
use crate::config::settings::{ServiceConfig, Settings};
use crate::run::http;
use crate::run::install;
use crate::run::locust::{self, Finished, Job, Locust, Moment};
use crate::run::progress::{Place, ProgressLine};
use crate::run::results::{self, Measured, RunFile};
use crate::run::service;
use crate::run::target::Target;
use crate::run::usage::Sampler;
use crate::run::workers::{self, Master, Roll};
use crate::sys::executable::Executable;
use crate::sys::files::{self, Follower};
use crate::sys::process::{self, Failure, Group};
use crate::sys::session::Session;
use crate::sys::{ci, git, lock, machine};

/// The time for another command to end: a long one makes seven rounds of minutes.
const TURN_TIMEOUT: Duration = Duration::from_hours(2);

/// Locust, the folder of this command, and what is known before the first run.
pub struct Bench<'a> {
    project: &'a Project<'a>,
    settings: &'a Settings,
    /// The number of runs, or of rounds, that are made at most.
    max_runs: usize,
    locust: Locust,
    /// The label of the side that was built last.
    built: Option<String>,
    /// The program that answered for this tree last, where there are two sides.
    program: Option<Executable>,
    /// The number of loads that the command makes at most, for those who wait.
    pub most_loads: usize,
    /// The number of loads begun.
    loads: usize,
    /// The moment when the first of them began.
    first_load: Option<Instant>,
    /// Says that the workers were told to start: they serve every run of this command.
    has_invited: bool,
    /// The folder of this command.
    pub session: Session,
    /// The circumstances of all runs.
    pub provenance: Provenance,
    /// Tells our own time from that of others.
    pub clock: &'a mut Clock,
    /// While it is held, nobody else measures in this repository.
    _turn: File,
}

/// A version of the service that is measured.
pub struct Side<'a> {
    /// The words that tell it from the other side, where there are two: `of this tree`, `at v1.2`.
    pub label: Option<&'a str>,
    /// Its commit, where that is not the one checked out.
    pub commit: Option<&'a str>,
    /// Runs its commands in its folder.
    pub shell: &'a Shell,
    /// The service to start; `None` where one runs already.
    pub service: Option<&'a ServiceConfig>,
    /// A warning for the report.
    pub warning: Option<&'a str>,
}

impl Side<'_> {
    /// Returns the label and the commit: `at v1.2 (1f0c2a9d4b11)`.
    pub fn shown(&self) -> String {
        let label = self.label.unwrap_or("of this tree");
        self.commit.map_or_else(|| label.to_owned(), |commit| format!("{label} ({})", shown_commit(commit, false)))
    }

    /// Returns the label with a space before it, or nothing.
    fn suffix(&self) -> String {
        self.label.map_or_else(String::new, |label| format!(" {label}"))
    }

    /// Says of a missing file how to name it, where only what git holds is there.
    fn explain(&self, error: Error) -> Error {
        const MISSING: &str = "; a file or module was not found: that checkout only has what is in git, so write {root} for your own checkout, as in {root}/.venv/bin/python";
        match error.downcast::<Failure>() {
            Ok(mut failure) if self.commit.is_some() && service::misses_a_file(&failure) => {
                failure.line.push_str(MISSING);
                failure.into()
            }
            Ok(failure) => failure.into(),
            Err(error) => error,
        }
    }
}

impl<'a> Bench<'a> {
    /// Gets everything ready: builds `first`, and installs Locust meanwhile. From here on signals are caught, since
    /// children are started.
    ///
    /// # Errors
    ///
    /// Names the first thing that is not ready.
    pub fn prepare(
        project: &'a Project<'a>,
        settings: &'a Settings,
        max_runs: usize,
        first: &Side,
        clock: &'a mut Clock,
    ) -> Result<Bench<'a>> {
        process::catch_signals()?;
        let perf_folder = project.perf_folder();
        fs::create_dir_all(&perf_folder).with_context(|| format!("cannot make {}", perf_folder.display()))?;
        // In a repository that does not ignore `target`, our files would make the tree dirty.
        files::write_atomically(&perf_folder.join(".gitignore"), "*\n")?;
        let turn = wait_for_turn(project, &perf_folder)?;
        let session = Session::create(&perf_folder)?;
        if !settings.starts_service {
            service::check_answers(settings.host.as_deref().unwrap_or_default())?;
        }
        if settings.load.workers.is_some() {
            workers::check_port(settings.bind_host.as_deref(), settings.bind_port)?;
        }
        let build = Build::start(project, first, &session.folder.join("build.log"))?;
        let locust = clock.beside(|| {
            install::prepare(&project.shell, &project.config.locust, &perf_folder, &|line| project.say(line))
        })?;
        locust.check(&settings.load, &settings.locustfile)?;
        clock.beside(|| build.finish())?;
        let provenance = Provenance {
            load: Some(settings.load.kept()),
            machine: Some(machine::describe(&project.shell)),
            locust: Some(locust.version.clone()),
            python: locust.python.clone(),
            locustfile: locustfile_digest(&project.root, &settings.locustfile),
            ..project.provenance()
        };
        // With a label there are two sides, and each round loads both.
        let most_loads = if first.label.is_some() { 2 * max_runs } else { max_runs };
        Ok(Bench {
            project,
            settings,
            max_runs,
            locust,
            built: first.label.map(str::to_owned),
            program: None,
            most_loads,
            loads: 0,
            first_load: None,
            has_invited: false,
            session,
            provenance,
            clock,
            _turn: turn,
        })
    }

    /// Makes ready for rounds of both sides, at most so many, after the runs that are made.
    pub fn begin_rounds(&mut self, max_rounds: usize) {
        self.max_runs = max_rounds;
        self.most_loads = self.loads + 2 * max_rounds;
    }

    /// Returns the service that is started for each run; `None` where one runs already.
    pub fn service(&self) -> Option<&'a ServiceConfig> {
        self.project.service(self.settings)
    }

    /// Builds a side.
    ///
    /// # Errors
    ///
    /// Shows the tail of a build's log that failed.
    pub fn build(&mut self, side: &Side, log: &str) -> Result<()> {
        let build = Build::start(self.project, side, &self.session.folder.join(log))?;
        self.clock.beside(|| build.finish()).map_err(|error| side.explain(error))?;
        self.built = side.label.map(str::to_owned);
        Ok(())
    }

    /// Makes one run: a fresh service, a fresh folder of this name, one Locust. Where the other side was built last, this one
    /// is built again: they may build into one place, such as a tag of Docker's.
    ///
    /// # Errors
    ///
    /// Says why the run cannot be judged.
    pub fn run(&mut self, side: &Side, name: &str) -> Result<Measured> {
        let (project, settings) = (self.project, self.settings);
        let folder = self.session.run_folder(name)?;
        self.loads += 1;
        self.first_load.get_or_insert_with(Instant::now);
        if self.built.as_deref() != side.label {
            self.build(side, &format!("{name}/build.log"))?;
        }
        let log = folder.join("service.log");
        let start = || Target::start(side.shell, side.service, settings, &project.root, &log);
        let mut target = self.clock.beside(start).map_err(|error| side.explain(error))?;
        let same_program = self.same_program(side, &target);
        let host = target.host(settings);
        let mut sampler = Sampler::default();
        let mut finished = self.load(side, &mut target, &mut sampler, &host, name, &folder)?;
        for sentence in self.clock.beside(|| target.stop()) {
            project.say(&sentence);
        }
        // A signal may have come while the service ended, when nothing else asks for one.
        process::check_interrupted()?;
        let mut provenance = self.provenance.clone();
        if let Some(commit) = side.commit {
            (provenance.commit, provenance.dirty) = (commit.to_owned(), false);
        }
        provenance.usage = finished.window.and_then(|window| sampler.usage(&window));
        finished.warnings.extend(side.warning.map(str::to_owned).into_iter().chain(same_program));
        RunFile::new(provenance, finished, self.max_runs).write(&folder)?;
        results::read(&folder.join("perf_results_stats.csv"))
            .map_err(|error| Failure::new(format!("{error:#}"), &folder.join("locust.log")).into())
    }

    /// Warns where the other side answers from the program that answered for this tree, unless that runs other files, as
    /// interpreters do. Notes the program of this tree.
    fn same_program(&mut self, side: &Side, target: &Target) -> Option<String> {
        side.label?;
        let program = target.program()?;
        if side.commit.is_none() {
            self.program = Some(program);
            return None;
        }
        if self.program.as_ref() != Some(&program) || program.runs_other_files() {
            return None;
        }
        Some(format!(
            "both sides ran the same program file, {}, so one version may have been measured twice: build it inside the checkout, and start that",
            program.path.display()
        ))
    }

    /// Returns the place of the load that has begun among all loads.
    fn place(&self) -> Place {
        let before = u32::try_from(self.loads.saturating_sub(1)).unwrap_or(u32::MAX);
        let run_took = self.first_load.filter(|_| before > 0).map(|first| first.elapsed() / before);
        Place { run: self.loads, most: self.most_loads.max(self.loads), run_took }
    }

    /// Loads the service, and checks that it holds.
    fn load(
        &mut self,
        side: &Side,
        target: &mut Target,
        sampler: &mut Sampler,
        host: &str,
        name: &str,
        folder: &Path,
    ) -> Result<Finished> {
        let place = self.place();
        let Bench { project, settings, locust, has_invited, clock, .. } = self;
        let load = &settings.load;
        let master = master_of(settings)?;
        let job = Job {
            load,
            locustfile: &settings.locustfile,
            host,
            stop_timeout: settings.stop_timeout,
            deadline_margin: project.config.load.deadline_margin,
            bind_host: master.bind_host,
            bind_port: master.bind_port,
            workers_timeout: project.config.load.workers_timeout,
            root: &project.root,
            folder: folder.strip_prefix(&project.root).unwrap_or(folder),
            verbose: project.flags.verbose,
        };
        project.say(&format!("load-testing {}{} ({load})", mask::url(host), side.suffix()));
        if let Some(asked) = load.workers
            && !*has_invited
        {
            *has_invited = true;
            invite(project, locust, &job, asked);
        }
        let mut watch = Watch::new(project, &job, place);
        let finished = clock.beside(|| {
            locust.run(&project.shell, &job, &mut |moment| {
                match moment {
                    Moment::Waiting(roll) => watch.wait(project, &job, roll),
                    Moment::Loading(elapsed) => watch.tick(&job, elapsed),
                }
                sampler.tick(target.group());
                target.check_alive("during the load")
            })
        });
        drop(watch);
        if ci::is_github() {
            project.say(&github::group(&format!("Locust's log, {name}"), &crate::sys::log::tail(&job.log())));
        }
        // A service that died explains whatever Locust says of it.
        target.check_alive("during the load")?;
        if finished.is_ok() {
            clock.beside(|| target.check_answers())?;
        }
        finished
    }
}

/// The build of a service, which goes on until it is waited for. Dropping it ends it.
struct Build {
    group: Option<Group>,
    timeout: Duration,
}

impl Build {
    fn start(project: &Project, side: &Side, log: &Path) -> Result<Build> {
        let Some(service) = side.service else { return Ok(Build { group: None, timeout: Duration::ZERO }) };
        if let Some(build) = &service.build {
            project.say(&format!("building the service{}: {build}", side.suffix()));
        }
        let group = service::start_build(side.shell, service, &project.root, log)?;
        Ok(Build { group, timeout: service.build_timeout })
    }

    fn finish(self) -> Result<()> {
        match self.group {
            Some(group) => group.finish(self.timeout),
            None => Ok(()),
        }
    }
}

/// Waits until no other command measures: two loads at once would measure each other.
fn wait_for_turn(project: &Project, perf_folder: &Path) -> Result<File> {
    let path = perf_folder.join("measuring.lock");
    if let Ok(turn) = lock::lock(&path, Duration::ZERO) {
        return Ok(turn);
    }
    project.say("waiting: another run is using this repository, and two loads at once would skew each other");
    lock::lock(&path, TURN_TIMEOUT)
}

/// The address on which Locust's master listens.
struct MasterSocket<'a> {
    /// Locust's own choice where it is `None`.
    bind_host: Option<&'a str>,
    bind_port: u16,
}

/// Chooses where Locust's master listens. Processes of its own find it on any port, so two commands at once do not meet,
/// and nobody else can join.
fn master_of(settings: &Settings) -> Result<MasterSocket<'_>> {
    Ok(match settings.load.processes {
        Some(_) => MasterSocket { bind_host: Some("127.0.0.1"), bind_port: service::free_port()? },
        None => MasterSocket { bind_host: settings.bind_host.as_deref(), bind_port: settings.bind_port },
    })
}

fn locustfile_digest(root: &Path, locustfile: &str) -> Option<String> {
    let mut bytes = Vec::new();
    for part in locustfile.split(',') {
        bytes.extend(files::read(&root.join(part)).ok()?);
    }
    Some(git::blob_hash(&bytes))
}

/// Tells how the workers are started.
fn invite(project: &Project, locust: &Locust, job: &Job, asked: u32) {
    let mut folders: BTreeSet<&str> = BTreeSet::new();
    for file in job.locustfile.split(',') {
        match Path::new(file).parent().and_then(Path::to_str) {
            Some(folder) if !folder.is_empty() => drop(folders.insert(folder)),
            _ => {}
        }
    }
    let folders = Vec::from_iter(folders);
    let master = Master { address: workers::address(job.bind_host), port: job.bind_port };
    for line in locust.setup.invitation(asked, &locust.version, &master, &folders) {
        project.say(&line);
    }
    if http::is_loopback(job.host) {
        project.say(&format!(
            "{} is only reachable from this machine, so start all workers here, or set [load] host to an address that they can reach",
            mask::url(job.host)
        ));
    }
}

/// Shows the load's progress, or with `--verbose` what Locust itself prints.
struct Watch {
    line: Option<ProgressLine>,
    echoes: bool,
    log: Follower,
    users: Option<u32>,
    /// The last line about the workers that have come.
    came: Option<String>,
}

impl Watch {
    fn new(project: &Project, job: &Job, place: Place) -> Watch {
        // Under GitHub Actions Locust's log is shown once the run is over.
        let echoes = project.flags.verbose && !ci::is_github();
        let shows_line = !project.flags.quiet && !echoes;
        let line = shows_line.then(|| ProgressLine::new(job.load.run_time_s, job.load.users, place));
        Watch { line, echoes, log: Follower::new(job.log()), users: None, came: None }
    }

    /// Prints a line whenever a worker has come or gone.
    fn wait(&mut self, project: &Project, job: &Job, roll: Option<Roll>) {
        let came = roll.zip(job.load.workers).map(|(roll, asked)| roll.came(asked));
        if came.is_some() && came != self.came {
            project.say(came.as_deref().unwrap_or_default());
            self.came = came;
        }
    }

    fn tick(&mut self, job: &Job, elapsed: Duration) {
        if let Some(line) = &mut self.line
            && line.is_due(elapsed)
        {
            let progress = locust::progress(job, elapsed, &mut self.log, self.users);
            self.users = progress.users;
            line.show(&progress);
        }
        if self.echoes {
            // Zeros are what was left out of the log meanwhile.
            let lines: Vec<u8> = self.log.next_lines().into_iter().filter(|byte| *byte != 0).collect();
            let _ = io::stderr().write_all(&lines);
        }
    }
}

/// Tells our own time from that of what we start and wait for.
pub struct Clock {
    started: Instant,
    others: Duration,
}

impl Clock {
    /// Starts the clock.
    pub fn start() -> Clock {
        Clock { started: Instant::now(), others: Duration::ZERO }
    }

    /// Runs what is not our own work.
    pub fn beside<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        self.others += started.elapsed();
        result
    }

    /// Returns the time since the start.
    pub fn total(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns our own part of it.
    pub fn own(&self) -> Duration {
        self.total().saturating_sub(self.others)
    }
}
