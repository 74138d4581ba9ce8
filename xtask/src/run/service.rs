//! The service under test: built, started on a port of its own, waited for, watched, stopped.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use judge::model::mask;
use xshell::{Shell, cmd};

use crate::config::settings::ServiceConfig;
use crate::run::http::parse_url;
use crate::sys::executable::Executable;
use crate::sys::process::{self, Failure, Group, pause};
use crate::sys::{machine, proc};

/// The time for a service that is no longer loaded to answer once.
const ANSWERS_AGAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// A service that was started here. Dropping it ends it.
pub struct Service {
    group: Group,
    /// The origin of the ready URL, `http://127.0.0.1:8080`.
    pub origin: String,
    /// The free port that `{port}` stands for.
    pub port: u16,
    ready_url: String,
    ready_status: Option<u16>,
}

/// The answer of a service.
enum Answer {
    /// It took a connection, and was asked no more.
    Connected,
    /// It answered with this status.
    Status(u16),
}

/// The variable that names the root of the user's own checkout, as `{root}` does.
const ROOT: &str = "PERF_ROOT";

/// Starts `[service] build`, if there is one. `root` is the user's own checkout. Dropping it ends it.
///
/// # Errors
///
/// Says that it cannot be started.
pub fn start_build(shell: &Shell, config: &ServiceConfig, root: &Path, log: &Path) -> Result<Option<Group>> {
    let Some(build) = &config.build else { return Ok(None) };
    let build = fill(build, "root", &root.to_string_lossy());
    let command = cmd!(shell, "sh -c {build}").env(ROOT, root);
    Group::spawn("[service] build", &command.into(), log, Duration::ZERO).map(Some)
}

/// Writes a value for `{name}`. `${name}` is a variable of the shell's.
fn fill(text: &str, name: &str, value: &str) -> String {
    let name = format!("{{{name}}}");
    let mut parts = text.split(&name);
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        if filled.ends_with('$') {
            filled.push_str(&name);
        } else {
            filled.push_str(value);
        }
        filled.push_str(part);
    }
    filled
}

/// Returns whether a failure is that of a program, a file or a module that is not there, as the exit code of `sh` or the log
/// says.
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
    // An answer of 404 is about a page.
    let says = |line: &str| !line.contains("404") && WORDS.iter().any(|word| line.contains(word));
    matches!(failure.exit_code, Some(126 | 127)) || failure.tail.to_lowercase().lines().any(says)
}

impl Service {
    /// Starts `[service] command` and waits until its ready URL answers 2xx. `root` is the user's own checkout.
    ///
    /// # Errors
    ///
    /// Names a port that somebody else holds, and a service that ends or does not answer in time, with the tail of its log.
    pub fn start(shell: &Shell, config: &ServiceConfig, root: &Path, log: &Path) -> Result<Service> {
        let port = free_port()?;
        let fill = |text: &str| fill(&fill(text, "root", &root.to_string_lossy()), "port", &port.to_string());
        let ready_url = config.ready_url.replace("{port}", &port.to_string());
        let shown_url = mask::url(&ready_url);
        let url = parse_url(&ready_url).map_err(|error| anyhow!("[service] ready_url {shown_url}: {error}"))?;
        ensure!(
            ["http", "tcp"].contains(&url.scheme),
            "[service] ready_url {shown_url}: use http:// or tcp:// (the service runs locally)"
        );
        ensure!(
            !url.answers_tcp(),
            "the port of {shown_url} is already in use by {}: stop it, or write {{port}} to get a free port",
            machine::holder_of(url.port)
        );

        let env = || config.env.iter().map(|(name, value)| (name, fill(value)));
        if let Some(prepare) = &config.prepare {
            let prepare = fill(prepare);
            let log = log.with_file_name("prepare.log");
            let command = cmd!(shell, "sh -c {prepare}").env(ROOT, root).envs(env());
            process::run("[service] prepare", &command.into(), &log, config.build_timeout)?;
        }
        let command = fill(&config.command);
        let group = Group::spawn(
            "[service] command",
            &cmd!(shell, "sh -c {command}").env(ROOT, root).envs(env()).into(),
            log,
            config.stop_timeout,
        )?;
        let (origin, ready_status) = (url.origin(), config.ready_status);
        let mut service = Service { group, origin, port, ready_url, ready_status };
        service.wait_until_ready(config.ready_timeout)?;
        // Nobody can have waited for a port that was chosen just now. It may be held for us, as by Docker.
        if !config.ready_url.contains("{port}") {
            service.refuse_stranger()?;
        }
        Ok(service)
    }

    fn wait_until_ready(&mut self, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        loop {
            // Before and after: another process may answer in the place of a service that died of a busy port.
            self.check_alive("before it was ready")?;
            let answer = self.ask();
            self.check_alive("before it was ready")?;
            let last = match answer {
                Ok(Answer::Connected) => return Ok(()),
                Ok(Answer::Status(status)) if self.is_ready(status) => return Ok(()),
                Ok(Answer::Status(status)) => format!("it answers {status}"),
                Err(error) if error.contains("refused") => {
                    "nothing listens there; does the service get {port}, through its command or [service] env?"
                        .to_owned()
                }
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

    /// Refuses a process that took the port after it was found free and before the service did, where the machine tells.
    fn refuse_stranger(&self) -> Result<()> {
        let port = parse_url(&self.ready_url)?.port;
        let listeners = proc::listeners_on(port);
        if listeners.is_empty() || listeners.iter().any(|pid| self.group.has_descendant(*pid)) {
            return Ok(());
        }
        let line = format!(
            "{} answers in place of the service: stop it, or write {{port}} to get a free port",
            machine::holder_of(port)
        );
        bail!(Failure::new(line, self.group.log()))
    }

    /// Returns the program of the process that answers, where the machine tells and the process is one of the service's.
    pub fn program(&self) -> Option<Executable> {
        let port = parse_url(&self.ready_url).ok()?.port;
        let listeners = proc::listeners_on(port);
        Executable::of(*listeners.iter().find(|pid| self.group.has_descendant(**pid))?)
    }

    /// Returns whether this status means that the service is ready.
    fn is_ready(&self, status: u16) -> bool {
        self.ready_status.map_or((200..300).contains(&status), |ready| status == ready)
    }

    /// Asks the service once.
    fn ask(&self) -> Result<Answer, String> {
        let url = parse_url(&self.ready_url).map_err(|error| error.to_string())?;
        match url.scheme {
            "tcp" => url.connects().map(|()| Answer::Connected),
            _ => url.get().map(Answer::Status),
        }
    }

    /// Returns the processes of the service.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Checks that the service runs.
    ///
    /// # Errors
    ///
    /// Says that it has ended, with the tail of its log.
    pub fn check_alive(&mut self, when: &str) -> Result<()> {
        match self.group.status()? {
            None => Ok(()),
            Some(status) => {
                let next = match self.group.surviving_child() {
                    Some(survivor) => format!(
                        ", and left {survivor} behind: let it stay in the foreground, without `&` and without an option such as --daemon"
                    ),
                    None => String::new(),
                };
                let line = format!("the service exited {when}: {}{next}", process::describe(status));
                bail!(Failure::ended(line, self.group.log(), status))
            }
        }
    }

    /// Checks that the service answers, with any status, once the load is over. A service that hangs is alive, and the few
    /// requests that it did answer would pass for the whole run.
    ///
    /// # Errors
    ///
    /// Says that it does not, with the tail of its log.
    pub fn check_answers(&mut self) -> Result<()> {
        let deadline = Instant::now() + ANSWERS_AGAIN_TIMEOUT;
        while let Err(error) = self.ask() {
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

    /// Stops the service, and returns what is to be said of it, a sentence each.
    pub fn stop(self) -> Vec<String> {
        let mut said = Vec::new();
        if self.group.stop() {
            said.push(
                "the service did not stop in time after SIGTERM and was killed; raise [service] stop_timeout if it needs longer".to_owned(),
            );
        }
        if let Ok(url) = parse_url(&self.ready_url)
            && url.answers_tcp()
        {
            let holder = machine::holder_of(url.port);
            said.push(format!("port {} is still in use by {holder} after the service has exited: stop it", url.port));
        }
        said
    }
}

/// Checks that a running service answers: by `http` with any status, by `https` with an open port.
///
/// # Errors
///
/// Names a host that is not a URL, or that does not answer.
pub fn check_answers(host: &str) -> Result<()> {
    let url = parse_url(host).map_err(|error| anyhow!("--host {}: {error}", mask::url(host)))?;
    ensure!(url.scheme != "tcp", "--host {}: expected an http or https URL", mask::url(host));
    let answers = if url.scheme == "http" {
        url.get().map(|_| ())
    } else if url.answers_tcp() {
        Ok(())
    } else {
        Err("no connection".to_owned())
    };
    process::check_interrupted()?;
    answers.map_err(|error| {
        anyhow!(
            "--host {} does not answer: {error}; start the service, or describe it in [service] of perf.toml",
            mask::url(host)
        )
    })
}

/// Finds a port that nobody holds now. The operating system gives another one at each call.
///
/// # Errors
///
/// Says that there is none.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("cannot find a free port")?;
    Ok(listener.local_addr().context("cannot find a free port")?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_braces_is_filled_in_and_a_variable_of_the_shell_is_not() {
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
    fn a_missing_file_is_told_in_every_language() {
        for (exit_code, tail, misses) in [
            (Some(127), "", true),
            (Some(126), "", true),
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
