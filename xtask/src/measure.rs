//! What stands ready for all runs of a command, and one run of them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use xshell::Shell;

use crate::actions;
use crate::config::{ServiceConfig, Settings};
use crate::files::{self, Follower, Session};
use crate::git;
use crate::locust::{self, Job, Locust, Moment};
use crate::machine;
use crate::mask;
use crate::process::{self, Failure};
use crate::progress::ProgressLine;
use crate::project::Project;
use crate::report::github;
use crate::results::{self, Measured, RunFile};
use crate::run::Provenance;
use crate::service::{self, Service};
use crate::workers::{self, Roll};

/// For another command to end: a long one makes seven rounds of minutes.
const TURN_TIMEOUT: Duration = Duration::from_hours(2);

/// Locust, the folder of this command, and what is known before the first run.
pub struct Bench<'a> {
    project: &'a Project<'a>,
    settings: &'a Settings,
    locust: Locust,
    /// The workers have been asked for: they serve every run of this command.
    has_invited: bool,
    pub session: Session,
    pub provenance: Provenance,
    pub clock: &'a mut Clock,
    /// Nobody else measures in this repository meanwhile.
    _turn: File,
}

/// What is measured: a service to start, or none where one runs already.
pub struct Side<'a> {
    /// Where there are two, which it is: ` at v1.2`.
    pub at: &'a str,
    /// Where it is not the one checked out.
    pub commit: Option<&'a str>,
    /// In the folder where its commands run.
    pub shell: &'a Shell,
    pub service: Option<&'a ServiceConfig>,
    /// For the report.
    pub warning: Option<&'a str>,
}

impl<'a> Bench<'a> {
    /// From here on signals are caught, since children are started.
    pub fn prepare(project: &'a Project<'a>, settings: &'a Settings, clock: &'a mut Clock) -> Result<Bench<'a>> {
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
        let locust = clock.beside(|| {
            Locust::prepare(&project.shell, &project.config.locust, &perf_folder, &|line| project.say(line))
        })?;
        locust.check(&settings.load, &settings.locustfile)?;
        let provenance = Provenance {
            load: Some(settings.load.kept()),
            machine: Some(machine::describe(&project.shell)),
            locust: Some(locust.version.clone()),
            python: locust.python.clone(),
            locustfile: locustfile_digest(&project.root, &settings.locustfile),
            ..project.provenance()
        };
        Ok(Bench { project, settings, locust, has_invited: false, session, provenance, clock, _turn: turn })
    }

    pub fn build(&mut self, side: &Side, log: &str) -> Result<()> {
        let Some(service) = side.service else { return Ok(()) };
        if let Some(build) = &service.build {
            self.project.say(&format!("building the service{}: {build}", side.at));
        }
        let log = self.session.folder.join(log);
        self.clock.beside(|| service::build(side.shell, service, &log))
    }

    /// One run: a fresh service, a fresh folder of this name, one Locust.
    pub fn run(&mut self, side: &Side, name: &str) -> Result<Measured> {
        let Bench { project, settings, locust, has_invited, session, provenance, clock, .. } = self;
        let folder = session.run_folder(name)?;
        let start = |config| Service::start(side.shell, config, &folder.join("service.log"));
        let mut service = side.service.map(|config| clock.beside(|| start(config))).transpose()?;
        let host = host_of(settings, service.as_ref());
        let load = &settings.load;
        let (bind_host, bind_port) = master_of(settings)?;
        let relative = folder.strip_prefix(&project.root).unwrap_or(&folder);
        let job = Job {
            load,
            locustfile: &settings.locustfile,
            host: &host,
            stop_timeout: settings.stop_timeout,
            deadline_margin: project.config.load.deadline_margin,
            bind_host,
            bind_port,
            workers_timeout: project.config.load.workers_timeout,
            root: &project.root,
            folder: relative,
            verbose: project.flags.verbose,
        };
        project.say(&format!("loading {}{} with {load}", mask::url(&host), side.at));
        if let Some(asked) = load.workers.filter(|_| !std::mem::replace(has_invited, true)) {
            invite(project, locust, &job, asked);
        }
        let mut watch = Watch::new(project, &job);
        let finished = clock.beside(|| {
            locust.run(&project.shell, &job, &mut |moment| {
                match moment {
                    Moment::Waiting(roll) => watch.wait(project, &job, roll),
                    Moment::Loading(elapsed) => watch.tick(&job, elapsed),
                }
                service.as_mut().map_or(Ok(()), |service| service.check_alive("during the load"))
            })
        });
        drop(watch);
        if actions::is_there() {
            project.say(&github::group(&format!("Locust's log, {name}"), &files::tail(&job.log())));
        }
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
        let mut provenance = provenance.clone();
        if let Some(commit) = side.commit {
            (provenance.commit, provenance.dirty) = (commit.to_owned(), false);
        }
        let warnings = finished.warnings.into_iter().chain(side.warning.map(str::to_owned)).collect();
        let max_runs = Some(project.rules.max_runs);
        RunFile { provenance, exact: finished.exact, warnings, max_runs }.write(&folder)?;
        results::read(&folder.join("perf_results_stats.csv"))
            .map_err(|error| Failure::new(format!("{error:#}"), &folder.join("locust.log")).into())
    }
}

/// Two loads at once would measure each other.
fn wait_for_turn(project: &Project, perf_folder: &Path) -> Result<File> {
    let path = perf_folder.join("measuring.lock");
    if let Ok(turn) = files::lock(&path, Duration::ZERO) {
        return Ok(turn);
    }
    project
        .say("another command measures in this repository, and two at once would measure each other: waiting for it");
    files::lock(&path, TURN_TIMEOUT)
}

/// What is loaded.
fn host_of(settings: &Settings, service: Option<&Service>) -> String {
    match (&settings.host, service) {
        (Some(host), Some(service)) => host.replace("{port}", &service.port.to_string()),
        (None, Some(service)) => service.origin.clone(),
        (host, None) => host.clone().unwrap_or_default(),
    }
}

/// Where Locust's master listens. Processes of its own find it on any port, so two commands at once do not meet, and
/// nobody else can join.
fn master_of(settings: &Settings) -> Result<(Option<&str>, u16)> {
    Ok(match settings.load.processes {
        Some(_) => (Some("127.0.0.1"), service::free_port()?),
        None => (settings.bind_host.as_deref(), settings.bind_port),
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
    let address = workers::address(job.bind_host);
    let folders = job.locustfile.split(',').filter_map(|file| Path::new(file).parent()?.to_str());
    let folders: BTreeSet<&str> = folders.filter(|folder| !folder.is_empty()).collect();
    let folders = Vec::from_iter(folders);
    let port = job.bind_port.to_string();
    for line in locust.setup.invitation(asked, &locust.version, [&address, &port], &folders) {
        project.say(&line);
    }
    if service::is_loopback(job.host) {
        project.say(&format!(
            "{} is reached from this machine alone, so start all workers here, or name an address that they reach in [load] host",
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
    /// Of the workers, how many have come.
    came: Option<String>,
}

impl Watch {
    fn new(project: &Project, job: &Job) -> Watch {
        // Under GitHub Actions Locust's log is shown once the run is over.
        let echoes = project.flags.verbose && !actions::is_there();
        let shows_line = !project.flags.quiet && !echoes;
        let line = shows_line.then(|| ProgressLine::new(job.load.run_time_s, job.load.users));
        Watch { line, echoes, log: Follower::new(job.log()), users: None, came: None }
    }

    /// A line whenever a worker has come or gone.
    fn wait(&mut self, project: &Project, job: &Job, roll: Option<Roll>) {
        let came = roll.zip(job.load.workers).map(|(roll, asked)| roll.came(asked));
        if came.is_some() && came != self.came {
            project.say(came.as_deref().unwrap_or_default());
            self.came = came;
        }
    }

    fn tick(&mut self, job: &Job, elapsed: Duration) {
        if let Some(line) = self.line.as_mut().filter(|line| line.is_due(elapsed)) {
            let progress = locust::progress(job, elapsed, &mut self.log, self.users);
            self.users = progress.users;
            line.show(&progress);
        }
        if self.echoes {
            let _ = io::stderr().write_all(&self.log.next_lines());
        }
    }
}

/// Tells our own time from that of what we start and wait for.
pub struct Clock {
    started: Instant,
    others: Duration,
}

impl Clock {
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

    pub fn total(&self) -> Duration {
        self.started.elapsed()
    }

    pub fn own(&self) -> Duration {
        self.total().saturating_sub(self.others)
    }
}
