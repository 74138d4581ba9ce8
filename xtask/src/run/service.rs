//! The service under test: build, start, readiness, checks, stop.

use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use judge::model::mask;
use judge::model::text::printable;
use xshell::{Shell, cmd};

use crate::config::perf_toml::ServiceConfig;
use crate::run::http::{Url, parse_url};
use crate::sys::executable::Executable;
use crate::sys::process::{self, Failure, Group, pause};
use crate::sys::{machine, proc};

/// The time for a service to answer once after the load.
const ANSWERS_AGAIN_TIMEOUT: Duration = Duration::from_secs(5);

pub struct StartedService {
    pub group: Group,
    /// The free port that `{port}` stands for.
    pub port: u16,
    ready_url: String,
    ready_status: RangeInclusive<u16>,
}

enum Answer {
    Connected,
    Status(u16),
}

/// The variable that names the root of the user's own checkout, as `{root}` does.
pub(super) const ROOT: &str = "PERF_ROOT";

pub struct Build {
    group: Group,
    timeout: Duration,
}

impl Build {
    /// `None` if there is nothing to build.
    pub fn start(shell: &Shell, config: &ServiceConfig, root: &Path, log: &Path) -> Result<Option<Build>> {
        // Before anything is spent.
        for text in [&config.command, &config.prepare].into_iter().chain(&config.counters) {
            fill_root(text, root)?;
        }
        let build = fill_root(&config.build, root)?;
        if build.is_empty() {
            return Ok(None);
        }
        let command = cmd!(shell, "sh -c {build}").env(ROOT, root);
        let group = Group::spawn("[service] build", &command.into(), log, Duration::ZERO)?;
        Ok(Some(Build { group, timeout: config.build_timeout }))
    }

    pub fn finish(self) -> Result<()> {
        self.group.finish(self.timeout)
    }
}

/// Replaces `{name}` by a value, but not `${name}`, which is a variable of the shell.
pub(super) fn fill(text: &str, name: &str, value: &str) -> String {
    let name = format!("{{{name}}}");
    let mut parts = text.split(&name);
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        filled.push_str(if filled.ends_with('$') { &name } else { value });
        filled.push_str(part);
    }
    filled
}

fn fill_port(text: &str, port: u16) -> String {
    fill(text, "port", &port.to_string())
}

/// Replaces `{root}` in a command. A shell would split or run some paths, and no quotes are right within those of the user.
fn fill_root(command: &str, root: &Path) -> Result<String> {
    let path = root.to_string_lossy();
    let filled = fill(command, "root", &path);
    let is_plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "_./+@-".contains(c));
    ensure!(
        is_plain || filled == command,
        "[service] of perf.toml: a shell would not take {} for one word: write \"$PERF_ROOT\" in place of {{root}}, with its quotes",
        printable(&path)
    );
    Ok(filled)
}

/// `[service] env`. No shell reads the values.
pub(super) fn variables(config: &ServiceConfig, root: &Path, port: u16) -> Vec<(String, String)> {
    let fill = |value: &str| fill_port(&fill(value, "root", &root.to_string_lossy()), port);
    config.env.iter().map(|(name, value)| (name.clone(), fill(value))).collect()
}

fn check_free(config: &ServiceConfig, port: u16) -> Result<()> {
    let ready_url = config.ready_url.replace("{port}", &port.to_string());
    let shown_url = mask::url(&ready_url);
    let url = parse_url(&ready_url).map_err(|error| anyhow!("[service] ready_url {shown_url}: {error}"))?;
    ensure!(
        ["http", "tcp"].contains(&url.scheme),
        "[service] ready_url {shown_url}: use http:// or tcp:// (the service runs locally)"
    );
    let next = if config.ready_url.contains("{port}") { "run it again" } else { "write {port} to get a free port" };
    ensure!(
        url.connects().is_err(),
        "the port of {shown_url} is already in use by {}: stop it, or {next}",
        machine::holder_of(url.port)
    );
    Ok(())
}

/// The exit code of `sh` or the log shows that a program, a file or a module is missing.
pub fn misses_a_file(failure: &Failure) -> bool {
    const WORDS: [&str; 12] = [
        "no such file",
        "no module named",
        "cannot find module",
        "cannot find package",
        "err_module_not_found",
        "cannot load such file",
        "can't locate",
        "failed opening required",
        "unable to access jarfile",
        "could not find or load main class",
        "could not load file or assembly",
        ": not found",
    ];
    // A 404 is about a page.
    let is_about_a_file = |line: &str| !line.contains("404") && WORDS.iter().any(|word| line.contains(word));
    failure.exit_code == Some(127) || failure.tail.to_lowercase().lines().any(is_about_a_file)
}

impl StartedService {
    /// `root` is the user's own checkout.
    pub fn start(shell: &Shell, config: &ServiceConfig, root: &Path, log: &Path) -> Result<StartedService> {
        let mut port = free_port()?;
        check_free(config, port)?;
        if !config.prepare.is_empty() {
            let prepare = fill_port(&fill_root(&config.prepare, root)?, port);
            let log = log.with_file_name("prepare.log");
            let command = cmd!(shell, "sh -c {prepare}").env(ROOT, root).envs(variables(config, root, port));
            process::run("[service] prepare", &command.into(), &log, config.build_timeout)?;
            // It may have taken minutes, and a stranger the port.
            if !config.names_port_in_prepare() {
                port = free_port()?;
            }
            check_free(config, port)?;
        }
        let command = fill_port(&fill_root(&config.command, root)?, port);
        let group = Group::spawn(
            "[service] command",
            &cmd!(shell, "sh -c {command}").env(ROOT, root).envs(variables(config, root, port)).into(),
            log,
            config.stop_timeout,
        )?;
        let ready_url = config.ready_url.replace("{port}", &port.to_string());
        let mut service = StartedService { group, port, ready_url, ready_status: config.ready_status.clone() };
        service.wait_until_ready(config.ready_timeout)?;
        service.refuse_stranger()?;
        Ok(service)
    }

    fn url(&self) -> Url<'_> {
        parse_url(&self.ready_url).expect("`check_free` has parsed it")
    }

    /// What Locust gets as its host, if the settings name `host`, or none.
    pub fn host(&self, host: &str) -> String {
        if host.is_empty() { self.url().origin() } else { host.replace("{port}", &self.port.to_string()) }
    }

    fn wait_until_ready(&mut self, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        loop {
            // Before and after, because another process may answer instead of a service that died of a busy port.
            self.check_alive("before it was ready")?;
            let answer = self.probe();
            self.check_alive("before it was ready")?;
            let last = match answer {
                Ok(Answer::Connected) => return Ok(()),
                Ok(Answer::Status(status)) if self.ready_status.contains(&status) => return Ok(()),
                Ok(Answer::Status(status @ (301..=303 | 307 | 308))) => format!(
                    "it answers {status}, a redirect, which is not followed; if it means ready, set ready_status = {status} in [service]"
                ),
                Ok(Answer::Status(status)) => format!("it answers {status}"),
                // Who listens is asked once, since it takes a look at every process.
                Err(error) if error.contains("refused") && Instant::now() >= deadline => self.why_nothing_listens(),
                Err(error) => error,
            };
            if Instant::now() >= deadline {
                let line = format!(
                    "the service is not ready after {}: {}: {last}; fix it, or raise [service] ready_timeout",
                    humantime::format_duration(timeout),
                    self.ready_url
                );
                bail!(Failure::new(line, self.group.log()));
            }
            pause()?;
        }
    }

    fn why_nothing_listens(&self) -> String {
        let mut own = proc::listeners();
        own.retain(|(pid, _)| self.group.has_descendant(*pid));
        match own.first() {
            None => {
                "nothing listens there; does the service get {port}, through its command or [service] env?".to_owned()
            }
            Some(_) if own.iter().any(|(_, port)| *port == self.url().port) => {
                "the service listens on that port, but at another address: name it in ready_url".to_owned()
            }
            Some((_, port)) => format!(
                "nothing listens there, but the service listens on port {port}: give it {{port}}, through its command or [service] env"
            ),
        }
    }

    /// Refuses a process that answers in place of the service: of this user, older than the service, and none of its
    /// processes. A younger one may listen for it, as Docker's proxy does, and of another user's nothing can be told.
    fn refuse_stranger(&self) -> Result<()> {
        let listeners = proc::listeners_on(self.url().port);
        if listeners.iter().any(|pid| self.group.has_descendant(*pid)) {
            return Ok(());
        }
        let started = |pid: u32| proc::process(pid.cast_signed()).map(|process| process.started_ticks);
        let own = started(self.group.id());
        let is_stranger = |pid: &&u32| proc::is_of_this_user(**pid) && started(**pid) < own;
        let Some(stranger) = listeners.iter().find(is_stranger) else { return Ok(()) };
        let shown = proc::describe(stranger.cast_signed());
        let line = format!("{shown} answers in place of the service: stop it, or write {{port}} to get a free port");
        bail!(Failure::new(line, self.group.log()))
    }

    /// `None` unless the process that answers belongs to the service, as far as the system reports it.
    pub fn executable(&self) -> Option<Executable> {
        let mut listeners = proc::listeners_on(self.url().port).into_iter();
        Executable::of(listeners.find(|pid| self.group.has_descendant(*pid))?)
    }

    fn probe(&self) -> Result<Answer, String> {
        match self.url() {
            url if url.scheme == "tcp" => url.connects().map(|()| Answer::Connected),
            url => url.get().map(Answer::Status),
        }
    }

    pub fn check_alive(&mut self, when: &str) -> Result<()> {
        let Some(status) = self.group.status()? else { return Ok(()) };
        let next = match self.group.surviving_child() {
            Some(survivor) => format!(
                ", and left {survivor} behind: let it stay in the foreground, without `&` and without an option such as --daemon"
            ),
            None if status.success() => {
                ": let it stay in the foreground, without an option such as --detach".to_owned()
            }
            None => String::new(),
        };
        let line = format!("the service exited {when}: {}{next}", process::describe(status));
        bail!(Failure::ended(line, self.group.log(), status))
    }

    /// A service that hangs is alive, and the few requests that it did answer would pass for the whole run.
    pub fn check_answers(&mut self) -> Result<()> {
        let deadline = Instant::now() + ANSWERS_AGAIN_TIMEOUT;
        while let Err(error) = self.probe() {
            self.check_alive("after the load")?;
            if Instant::now() >= deadline {
                let line = format!(
                    "the service does not answer after the load: {}: {error}; fix what made it hang",
                    self.ready_url
                );
                bail!(Failure::new(line, self.group.log()));
            }
            pause()?;
        }
        Ok(())
    }

    /// Returns what went wrong, a sentence each.
    pub fn stop(mut self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.group.stop() {
            problems.push(
                "the service did not stop in time after SIGTERM and was killed; raise [service] stop_timeout if it needs longer".to_owned(),
            );
        }
        let url = self.url();
        if url.connects().is_ok() {
            let holder = machine::holder_of(url.port);
            problems
                .push(format!("port {} is still in use by {holder} after the service has exited: stop it", url.port));
        }
        problems
    }
}

/// A service answers by `http` with any status, and by `https` with an open port. `what` precedes the URL in an error.
pub fn check_answers(what: &str, host: &str) -> Result<()> {
    let url = parse_url(host).map_err(|error| anyhow!("{what} {}: {error}", mask::url(host)))?;
    ensure!(url.scheme != "tcp", "{what} {}: expected an http or https URL", mask::url(host));
    let answers = if url.scheme == "http" {
        url.get().map(|_| ())
    } else {
        url.connects().map_err(|_| "no connection".to_owned())
    };
    process::check_interrupted()?;
    answers.map_err(|error| {
        anyhow!(
            "{what} {} does not answer: {error}; start the service, or describe it in [service] of perf.toml",
            mask::url(host)
        )
    })
}

pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("cannot find a free port")?;
    Ok(listener.local_addr().context("cannot find a free port")?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_braces_are_replaced_and_shell_variables_are_kept() {
        for (text, expected) in [
            ("{root}/bin/app --port {port}", "/home/a b/bin/app --port {port}"),
            ("cd {root}; ls \"{root}\"", "cd /home/a b; ls \"/home/a b\""),
            ("root=/x; exec ${root}/bin/app {root}", "root=/x; exec ${root}/bin/app /home/a b"),
            ("no name", "no name"),
            ("", ""),
        ] {
            assert_eq!(fill(text, "root", "/home/a b"), expected, "{text}");
        }
    }

    #[test]
    fn missing_files_are_recognised_in_every_language() {
        for (exit_code, tail, misses) in [
            (Some(127), "", true),
            (Some(126), "sh: 1: ./run: Permission denied", false),
            (Some(1), "no database", false),
            (Some(1), "sh: 1: .venv/bin/python: not found", true),
            (Some(2), "python3: can't open file '/x/manage.py': [Errno 2] No such file or directory", true),
            (Some(1), "ModuleNotFoundError: No module named 'django'", true),
            (Some(1), "  code: 'MODULE_NOT_FOUND',\nError: Cannot find module 'express'", true),
            (Some(1), "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'express' imported from /x/app.mjs", true),
            (Some(1), "kernel_require.rb:136:in 'require': cannot load such file -- rack (LoadError)", true),
            (Some(2), "Can't locate Mojolicious.pm in @INC (you may need to install it)", true),
            (Some(255), "PHP Fatal error: Uncaught Error: Failed opening required 'vendor/autoload.php'", true),
            (Some(1), "Error: Unable to access jarfile build/app.jar", true),
            (None, "GET /health 404: Not Found", false),
        ] {
            let mut failure = Failure::new(String::new(), Path::new("/no/log"));
            (failure.tail, failure.exit_code) = (tail.to_owned(), exit_code);
            assert_eq!(misses_a_file(&failure), misses, "{exit_code:?} {tail}");
        }
    }
}
