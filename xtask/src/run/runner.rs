//! The runs of a command: what all of them share, and one run.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use anyhow::{Context as _, Error, Result, ensure};
use judge::model::limits::Rules;
use judge::model::run::Provenance;
use judge::model::text::quoted;
use judge::model::{mask, program};
use xshell::Shell;

use crate::config::flags::Against;
use crate::config::perf_toml::ServiceConfig;
use crate::config::project::Project;
use crate::config::settings::Settings;
use crate::run::checkout::{Checkout, Side, at_commit};
use crate::run::counters::Counters;
use crate::run::install;
use crate::run::locust::{Finished, Job, Locust};
use crate::run::progress::{self, LoadCounter, LoadNumber, LoadView};
use crate::run::results::{self, MeasuredRun, RunFile};
use crate::run::service::{self, Build, StartedService};
use crate::run::usage::{self, Sampler};
use crate::run::workers;
use crate::sys::executable::Executable;
use crate::sys::git::{self, UNKNOWN_COMMIT};
use crate::sys::process::{self, Failure};
use crate::sys::session::Session;
use crate::sys::worktree::Checkouts;
use crate::sys::{ci, files, lock, log, machine};

pub struct Runner<'a> {
    project: &'a Project<'a>,
    settings: Settings,
    locust: Locust,
    /// Common to all runs.
    pub provenance: Provenance,
    session: Session,
    pub loads: LoadCounter,
    /// The number of runs, or of rounds, that share the evidence's probability of error.
    max_runs: usize,
    max_noisy_rounds: usize,
    /// The commit that was built last; `None` for the working tree. All may build into one place, such as a tag of Docker's.
    built: Option<String>,
    /// The executable that answered last, and its commit.
    last_executable: Option<(Option<String>, Executable)>,
    checkouts: Option<Checkouts>,
    /// Workers elsewhere are started once for all runs.
    has_printed_worker_commands: bool,
    /// While it is held, no other command measures in this repository.
    _turn: File,
}

/// The service under load, and what is measured of it beside Locust.
struct Target {
    /// `None` if it was not started for this run. Dropping it ends it.
    started: Option<StartedService>,
    host: String,
    sampler: Sampler,
    counters: Counters,
}

impl<'a> Runner<'a> {
    /// Builds `first` while it installs Locust. From here on signals are caught, because children are started.
    pub fn prepare(project: &'a Project<'a>, settings: Settings, first: Option<Side>) -> Result<Runner<'a>> {
        let clock = &project.clock;
        process::catch_signals()?;
        let perf_folder = project.paths.perf_folder();
        fs::create_dir_all(&perf_folder).with_context(|| format!("cannot make {}", perf_folder.display()))?;
        // In a repository that does not ignore `target`, our files would make the tree dirty.
        files::write_atomically(&perf_folder.join(".gitignore"), "*\n")?;
        let say = |line: &str| project.say(line);
        let turn = take_turn(project, &perf_folder)?;
        project.check_baseline_unchanged()?;
        let session = Session::create(&perf_folder, &command_line())?;
        let _ = project.paths.session.set(session.folder.clone());
        if !settings.starts_service {
            service::check_answers("--host", &settings.host)?;
            if let Against::Url(url) = &project.flags.against {
                service::check_answers("--against-url", url)?;
            }
        }
        if settings.load.workers.is_some() {
            workers::check_port(&settings.bind_host, settings.bind_port)?;
        }
        let log = session.folder.join("build.log");
        let build = first.map_or(Ok(None), |first| start_build(project, &settings, first, &log))?;
        let locust = clock.waiting(|| install::prepare(&project.shell, &project.config.locust, &perf_folder, &say))?;
        locust.check(&settings.load, &settings.locustfiles)?;
        clock.waiting(|| build.map_or(Ok(()), Build::finish))?;
        let provenance = Provenance {
            load: Some(settings.load.masked()),
            machine: Some(machine::describe(&project.shell)),
            locust: locust.version.clone(),
            python: locust.python.clone().unwrap_or_default(),
            packages: locust.packages.clone(),
            locustfile: locustfile_digest(&project.paths.root, &settings.locustfiles).unwrap_or_default(),
            locustfile_path: settings.locustfile_path.clone(),
            ..project.provenance()
        };
        Ok(Runner {
            project,
            settings,
            locust,
            provenance,
            session,
            loads: LoadCounter::new(project.rules.max_runs),
            max_runs: project.rules.max_runs,
            max_noisy_rounds: 0,
            built: None,
            last_executable: None,
            checkouts: None,
            has_printed_worker_commands: false,
            _turn: turn,
        })
    }

    pub fn service(&self) -> Option<&'a ServiceConfig> {
        self.project.service(&self.settings)
    }

    /// Allows rounds of both sides after the runs that are made.
    pub fn begin_rounds(&mut self, rules: &Rules) {
        (self.max_runs, self.max_noisy_rounds) = (rules.max_runs, rules.max_noisy_rounds);
        self.loads.allow_rounds(rules.most_runs());
    }

    /// Checks `commit` out in `folder`, which holds all checkouts, and builds its service.
    pub fn check_out(&mut self, rev: &str, commit: &str, ours: &ServiceConfig, folder: &Path) -> Result<Checkout> {
        let project = self.project;
        let log = self.session.folder.join("worktree.log");
        let at_rev = || at_commit(rev, commit);
        let checkouts = match self.checkouts.take() {
            Some(checkouts) => checkouts,
            None => Checkouts::open(&project.shell, folder, &|line| project.say(line))?,
        };
        let checkouts = self.checkouts.insert(checkouts);
        let worktree = project.clock.waiting(|| checkouts.check_out(commit, &log)).with_context(at_rev)?;
        let checkout = Checkout::new(&project.shell, rev, commit, ours, &worktree).with_context(at_rev)?;
        self.build(Side::Other(&checkout), &format!("build-{commit}.log")).with_context(at_rev)?;
        Ok(checkout)
    }

    fn build(&mut self, side: Side, log: &str) -> Result<()> {
        let log = self.session.folder.join(log);
        let build = start_build(self.project, &self.settings, side, &log)?;
        let ended = self.project.clock.waiting(|| build.map_or(Ok(()), Build::finish));
        ended.map_err(|error| side.explain(error))?;
        self.built = side.commit().map(str::to_owned);
        Ok(())
    }

    pub fn run(&mut self, side: Side, name: &str) -> Result<MeasuredRun> {
        let project = self.project;
        let folder = self.session.run_folder(name)?;
        let load_number = self.loads.begin();
        if self.built.as_deref() != side.commit() {
            self.build(side, &format!("{name}/build.log"))?;
        }
        let mut target = self.start(side, &folder)?;
        let same_executable = self.same_executable(side, &target);
        let mut finished = self.load(side, &mut target, load_number, &folder)?;
        let Target { started, sampler, counters, .. } = target;
        for sentence in project.clock.waiting(|| started.map_or_else(Vec::new, StartedService::stop)) {
            project.say(&sentence);
        }
        // A signal may have come while the service stopped, when nothing else checks for one.
        process::check_interrupted()?;
        let mut provenance = self.provenance.clone();
        if let Some(listener) = &finished.listener {
            provenance.usage = usage::of_run(&sampler, listener, &counters.rises());
        }
        finished.warnings.extend(counters.warning());
        match side {
            Side::Only | Side::This => {}
            Side::Other(checkout) => {
                (provenance.commit, provenance.dirty) = (checkout.commit.clone(), false);
                finished.warnings.extend(checkout.warning.clone());
            }
            Side::Deployment(host) => {
                (provenance.commit, provenance.dirty) = (UNKNOWN_COMMIT.to_owned(), false);
                provenance.host = mask::url(host);
            }
        }
        finished.warnings.extend(same_executable);
        RunFile::new(provenance, finished, self.max_runs, self.max_noisy_rounds).write(&folder)?;
        results::read(&folder.join(files::RESULTS))
            .map_err(|error| Failure::new(format!("{error:#}"), &folder.join("locust.log")).into())
    }

    fn start(&self, side: Side, folder: &Path) -> Result<Target> {
        let host = if let Side::Deployment(host) = side { host } else { &self.settings.host };
        let sampler = Sampler::default();
        let Some(service) = service_of(self.project, &self.settings, side) else {
            return Ok(Target { started: None, host: host.to_owned(), sampler, counters: Counters::NotAsked });
        };
        let (clock, root) = (&self.project.clock, &self.project.paths.root);
        let shell = shell(self.project, side);
        let start = || StartedService::start(shell, service, root, &folder.join("service.log"));
        let started = clock.waiting(start).map_err(|error| side.explain(error))?;
        let check = || Counters::check(shell, service, started.port, root, side.commit().is_some());
        let counters = clock.waiting(check)?;
        Ok(Target { host: started.host(host), started: Some(started), sampler, counters })
    }

    fn load(&mut self, side: Side, target: &mut Target, number: LoadNumber, folder: &Path) -> Result<Finished> {
        let Runner { project, settings, locust, has_printed_worker_commands, .. } = self;
        let clock = &project.clock;
        let (load, host) = (&settings.load, target.host.clone());
        // Processes on this machine find their master on any port. With a free one two commands at once do not meet, and no
        // other worker can join.
        let (bind_host, bind_port) = match load.processes {
            Some(_) => ("127.0.0.1", service::free_port()?),
            None => (settings.bind_host.as_str(), settings.bind_port),
        };
        let job = Job {
            settings,
            config: &project.config.load,
            host: &host,
            bind_host,
            bind_port,
            root: &project.paths.root,
            folder: folder.strip_prefix(&project.paths.root).unwrap_or(folder),
            verbose: project.flags.verbose,
        };
        let shown_load = if number.is_first() { format!(" ({load})") } else { String::new() };
        project.say(&format!("load-testing {}{}{shown_load}", mask::url(&host), side.suffix()));
        if let Some(workers) = load.workers
            && !*has_printed_worker_commands
        {
            *has_printed_worker_commands = true;
            progress::print_worker_commands(project, locust, &job, workers);
        }
        let mut view = LoadView::new(project, &job, number);
        let finished = clock.waiting(|| {
            locust.run(&project.shell, &job, &mut |stage| {
                view.show(stage);
                check_is_there(project, folder)?;
                target.tick(folder)
            })
        });
        drop(view);
        if ci::is_github() {
            let name = folder.strip_prefix(&self.session.folder).unwrap_or(folder).display();
            project.fold(&format!("Locust's log, {name}"), &log::tail(&job.log()));
        }
        check_is_there(project, folder)?;
        // A service that died explains whatever Locust reports.
        target.check_alive()?;
        if finished.is_ok() {
            clock.waiting(|| target.end())?;
        }
        finished
    }

    /// A commit must not answer from the executable that answered for the side before, unless that runs other files, as
    /// interpreters do.
    fn same_executable(&mut self, side: Side, target: &Target) -> Option<String> {
        let executable = target.started.as_ref()?.executable()?;
        let commit = side.commit().map(str::to_owned);
        let (last_commit, last) = self.last_executable.replace((commit.clone(), executable.clone()))?;
        let is_same = last_commit != commit && last == executable && !executable.runs_other_files();
        (is_same && commit.is_some()).then(|| {
            format!(
                "both sides ran the same program file, {}, so one version may have been measured twice: build it inside the checkout, and start that",
                executable.path.display()
            )
        })
    }
}

impl Target {
    fn tick(&mut self, folder: &Path) -> Result<()> {
        if let Some(service) = &self.started {
            self.sampler.tick(&service.group);
        }
        self.counters.tick(folder)?;
        self.check_alive()
    }

    fn check_alive(&mut self) -> Result<()> {
        self.started.as_mut().map_or(Ok(()), |service| service.check_alive("during the load"))
    }

    fn end(&mut self) -> Result<()> {
        self.counters.end()?;
        match &mut self.started {
            Some(service) => service.check_answers(),
            None => service::check_answers("the service at", &self.host),
        }
    }
}

/// Git's own folder keeps the lock although somebody removes `target`, and for all worktrees of the repository.
fn take_turn(project: &Project, perf_folder: &Path) -> Result<File> {
    let waiting = "waiting: another run is using this repository, and two loads at once would skew each other";
    let say = |line: &str| project.say(line);
    let is_closed = |error: &Error| {
        let kind = error.root_cause().downcast_ref::<io::Error>().map(io::Error::kind);
        matches!(kind, Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem))
    };
    if let Some(git_dir) = git::common_dir(&project.shell) {
        match lock::wait_for_turn(&git_dir.join("locust-gate.lock"), waiting, &say) {
            // A git folder that nobody here may write to.
            Err(error) if is_closed(&error) => {}
            turn => return turn,
        }
    }
    lock::wait_for_turn(&perf_folder.join("measuring.lock"), waiting, &say)
}

/// Whoever removes the folder of a run may have removed results, and logs of programs that go on.
fn check_is_there(project: &Project, folder: &Path) -> Result<()> {
    ensure!(folder.is_dir(), "{} was removed during the load: run it again", project.shown(folder));
    Ok(())
}

/// This command as it was called, without secrets.
fn command_line() -> String {
    let args: Vec<String> = env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let args = &args[args.iter().position(|arg| arg == "perf").unwrap_or(0)..];
    let (own, locust) = args.split_at(args.iter().position(|arg| arg == "--").unwrap_or(args.len()));
    // A host may have a password, also without a scheme.
    let own: Vec<String> = own.iter().map(|arg| quoted(&mask::url(arg))).collect();
    let own = mask::text(&format!("{} {}", program::name(), own.join(" ")));
    let locust = locust.split_first().map_or_else(String::new, |(dashes, args)| {
        format!(" {dashes} {}", mask::args(args).iter().map(|arg| quoted(arg)).collect::<Vec<_>>().join(" "))
    });
    own + &locust
}

fn shell<'s>(project: &'s Project, side: Side<'s>) -> &'s Shell {
    match side {
        Side::Only | Side::This | Side::Deployment(_) => &project.shell,
        Side::Other(checkout) => &checkout.shell,
    }
}

fn service_of<'s>(project: &'s Project, settings: &Settings, side: Side<'s>) -> Option<&'s ServiceConfig> {
    match side {
        Side::Only | Side::This => project.service(settings),
        Side::Other(checkout) => Some(&checkout.service),
        Side::Deployment(_) => None,
    }
}

fn start_build(project: &Project, settings: &Settings, side: Side, log: &Path) -> Result<Option<Build>> {
    let Some(service) = service_of(project, settings, side) else { return Ok(None) };
    if !service.build.is_empty() {
        project.say(&format!("building the service{}: {}", side.suffix(), service.build));
    }
    Build::start(shell(project, side), service, &project.paths.root, log)
}

fn locustfile_digest(root: &Path, locustfiles: &[String]) -> Option<String> {
    let mut bytes = Vec::new();
    for file in locustfiles {
        bytes.extend(files::read(&root.join(file)).ok()?);
    }
    Some(git::blob_hash(&bytes))
}
