//! The service under test: built, started on a port of its own, waited for, watched, stopped.

use std::net::{IpAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use judge::mask;
use xshell::{Shell, cmd};

use crate::config::ServiceConfig;
use crate::system::machine;
use crate::system::process::{self, Failure, Group, pause};

/// The time for one answer of a ready URL.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

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
}

/// Starts `[service] build`, if there is one. Dropping it ends it.
///
/// # Errors
///
/// Says that it cannot be started.
pub fn start_build(shell: &Shell, config: &ServiceConfig, log: &Path) -> Result<Option<Group>> {
    let Some(build) = &config.build else { return Ok(None) };
    Group::spawn("[service] build", cmd!(shell, "sh -c {build}").into(), log, Duration::ZERO).map(Some)
}

impl Service {
    /// Starts `[service] command` and waits until its ready URL answers 2xx.
    ///
    /// # Errors
    ///
    /// Names a port that somebody else holds, and a service that ends or does not answer in time, with the tail of its log.
    pub fn start(shell: &Shell, config: &ServiceConfig, log: &Path) -> Result<Service> {
        let port = free_port()?;
        let fill = |text: &str| text.replace("{port}", &port.to_string());
        let ready_url = fill(&config.ready_url);
        let shown_url = mask::url(&ready_url);
        let url = parse_url(&ready_url).map_err(|error| anyhow!("[service] ready_url {shown_url}: {error}"))?;
        ensure!(
            url.scheme == "http",
            "[service] ready_url {shown_url}: the service runs on this machine, so ask it by http"
        );
        ensure!(
            !answers_tcp(&url),
            "the port of {shown_url} is held by {} before the service starts: end that one, or write {{port}} for a free one",
            machine::holder_of(url.port)
        );

        let command = fill(&config.command);
        let env = config.env.iter().map(|(name, value)| (name, fill(value)));
        let group = Group::spawn(
            "[service] command",
            cmd!(shell, "sh -c {command}").envs(env).into(),
            log,
            config.stop_timeout,
        )?;
        let origin = format!("{}://{}", url.scheme, url.authority);
        let mut service = Service { group, origin, port, ready_url };
        service.wait_until_ready(config.ready_timeout)?;
        Ok(service)
    }

    fn wait_until_ready(&mut self, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        loop {
            // Before and after: another process may answer in the place of a service that died of a busy port.
            self.check_alive("before it was ready")?;
            let answer = get(&self.ready_url);
            self.check_alive("before it was ready")?;
            let last = match answer {
                Ok(status) if (200..300).contains(&status) => return Ok(()),
                Ok(status) => format!("it answers {status}"),
                Err(error) if error.contains("refused") => {
                    "nothing listens there; does the service get {port}, by its command or by [service] env?".to_owned()
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

    /// Checks that the service runs.
    ///
    /// # Errors
    ///
    /// Says that it has ended, with the tail of its log.
    pub fn check_alive(&mut self, when: &str) -> Result<()> {
        match self.group.status()? {
            None => Ok(()),
            Some(status) => bail!(Failure::new(
                format!("the service ended {when}: {}", process::describe(status)),
                self.group.log()
            )),
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
        while let Err(error) = get(&self.ready_url) {
            self.check_alive("after the load")?;
            if Instant::now() >= deadline {
                let line = format!(
                    "the service does not answer after the load: {}: {error}; fix what it hung on under load",
                    self.ready_url
                );
                bail!(Failure::new(line, self.group.log()));
            }
            pause()?;
        }
        Ok(())
    }

    /// Stops the service, and returns whether it had to be killed.
    pub fn stop(self) -> bool {
        self.group.stop()
    }
}

/// Checks that a running service answers: by `http` with any status, by `https` with an open port.
///
/// # Errors
///
/// Names a host that is not a URL, or that does not answer.
pub fn check_answers(host: &str) -> Result<()> {
    let url = parse_url(host).map_err(|error| anyhow!("--host {}: {error}", mask::url(host)))?;
    let answers = if url.scheme == "http" {
        get(host).map(|_| ())
    } else if answers_tcp(&url) {
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

/// Makes one GET and follows no redirect, so that only the URL itself is contacted. A user name and password are for
/// Locust; minreq would take them for the host.
fn get(url: &str) -> Result<u16, String> {
    let origin = parse_url(url).map_err(|error| error.to_string())?;
    let request = minreq::get(url.replacen(origin.authority, origin.named, 1))
        .with_follow_redirects(false)
        .with_timeout(ANSWER_TIMEOUT.as_secs());
    request.send_lazy().map(|response| response.status_code).map_err(|error| error.to_string())
}

/// The scheme, host and port of a URL.
struct Origin<'a> {
    scheme: &'a str,
    authority: &'a str,
    /// The authority without a user name and password.
    named: &'a str,
    host: &'a str,
    port: u16,
}

fn parse_url(url: &str) -> Result<Origin<'_>> {
    let example = || anyhow!("this is not a URL like http://127.0.0.1:8080");
    let (scheme, rest) = url.split_once("://").ok_or_else(example)?;
    let default_port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return Err(example()),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let named = authority.rsplit_once('@').map_or(authority, |(_, named)| named);
    // The colons of an IPv6 address stand in brackets.
    let (host, port) = match named.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| example())?),
        _ => (named, default_port),
    };
    ensure!(!host.is_empty(), example());
    Ok(Origin { scheme, authority, named, host: host.trim_matches(['[', ']']), port })
}

fn answers_tcp(origin: &Origin) -> bool {
    let Ok(mut addresses) = (origin.host, origin.port).to_socket_addrs() else { return false };
    addresses.any(|address| TcpStream::connect_timeout(&address, ANSWER_TIMEOUT).is_ok())
}

/// Returns whether the URL means this machine wherever it is used.
pub fn is_loopback(url: &str) -> bool {
    let is_loopback = |address: IpAddr| address.is_loopback();
    parse_url(url).is_ok_and(|url| url.host == "localhost" || url.host.parse().is_ok_and(is_loopback))
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
