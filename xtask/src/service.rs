//! The service under test: built, started on a port of its own, waited for, watched, stopped.

use std::net::{TcpListener, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use ureq::Agent;
use ureq::http::Uri;
use xshell::{Shell, cmd};

use crate::config::ServiceConfig;
use crate::process::{self, Failure, Group, pause};

/// One answer of a ready URL may take this long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

pub struct Service {
    group: Group,
    /// The origin of the ready URL, `http://127.0.0.1:8080`.
    pub origin: String,
    pub port: u16,
}

pub fn build(shell: &Shell, config: &ServiceConfig, log: &Path) -> Result<()> {
    let Some(build) = &config.build else { return Ok(()) };
    process::run("[service] build", cmd!(shell, "sh -c {build}").into(), log, config.build_timeout)
}

impl Service {
    /// Starts `[service] command` and waits until its ready URL answers 2xx.
    ///
    /// Errors: a port that somebody else holds, a service that ends or does not answer within its time; the log's tail
    /// goes with them.
    pub fn start(shell: &Shell, config: &ServiceConfig, log: &Path) -> Result<Service> {
        let port = free_port()?;
        let fill = |text: &str| text.replace("{port}", &port.to_string());
        let ready_url = fill(&config.ready_url);
        let uri = parse_url(&ready_url).map_err(|error| anyhow!("[service] ready_url {ready_url}: {error}"))?;
        ensure!(
            !answers_tcp(&uri),
            "the port of {ready_url} is held by another process before the service starts: end that one, or write {{port}} for a free one"
        );

        let command = fill(&config.command);
        let env = config.env.iter().map(|(name, value)| (name, fill(value)));
        let group = Group::spawn(
            "[service] command",
            cmd!(shell, "sh -c {command}").envs(env).into(),
            log,
            config.stop_timeout,
        )?;
        let origin = format!(
            "{}://{}",
            uri.scheme_str().unwrap_or("http"),
            uri.authority().map_or("", |authority| authority.as_str())
        );
        let mut service = Service { group, origin, port };
        service.wait_until_ready(&ready_url, config.ready_timeout)?;
        Ok(service)
    }

    fn wait_until_ready(&mut self, ready_url: &str, timeout: Duration) -> Result<()> {
        let agent = agent();
        let deadline = Instant::now() + timeout;
        loop {
            // Before and after: another process may answer in the place of a service that died of a busy port.
            self.check_alive("before it was ready")?;
            let answer = get(&agent, ready_url);
            self.check_alive("before it was ready")?;
            let last = match answer {
                Ok(status) if (200..300).contains(&status) => return Ok(()),
                Ok(status) => format!("it answers {status}"),
                Err(error) => error,
            };
            if Instant::now() >= deadline {
                let line = format!(
                    "the service is not ready after {}: {ready_url}: {last}; mend it, or raise [service] ready_timeout",
                    humantime::format_duration(timeout)
                );
                bail!(Failure::new(line, self.group.log()));
            }
            pause()?;
        }
    }

    /// An error once the service has ended.
    pub fn check_alive(&mut self, when: &str) -> Result<()> {
        match self.group.status()? {
            None => Ok(()),
            Some(status) => bail!(Failure::new(
                format!("the service ended {when}: {}", process::describe(status)),
                self.group.log()
            )),
        }
    }

    /// Says whether it had to be killed.
    pub fn stop(self) -> bool {
        self.group.stop()
    }
}

/// That a running service answers: for `http` any answer at all, for `https` an open port.
pub fn check_answers(host: &str) -> Result<()> {
    let uri = parse_url(host).map_err(|error| anyhow!("--host {}: {error}", mask(host)))?;
    let answers = if uri.scheme_str() == Some("http") {
        get(&agent(), host).map(|_| ())
    } else if answers_tcp(&uri) {
        Ok(())
    } else {
        Err("no connection".to_owned())
    };
    process::check_interrupted()?;
    answers.map_err(|error| {
        anyhow!(
            "--host {} does not answer: {error}; start the service, or describe it in [service] of perf.toml",
            mask(host)
        )
    })
}

/// The URL without a user name and password.
pub fn mask(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => format!("{}***{}", &url[..scheme + 3], &url[at..]),
        _ => url.to_owned(),
    }
}

fn agent() -> Agent {
    // Only the URL itself is contacted: no proxy between, no redirect followed.
    Agent::config_builder()
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .timeout_global(Some(ANSWER_TIMEOUT))
        .build()
        .new_agent()
}

fn get(agent: &Agent, url: &str) -> Result<u16, String> {
    agent.get(url).call().map(|response| response.status().as_u16()).map_err(|error| error.to_string())
}

fn parse_url(url: &str) -> Result<Uri> {
    let uri: Uri = url.parse().context("this is no URL")?;
    ensure!(
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some(),
        "this is no URL like http://127.0.0.1:8080"
    );
    Ok(uri)
}

fn answers_tcp(uri: &Uri) -> bool {
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let Ok(mut addresses) = (host, port).to_socket_addrs() else { return false };
    addresses.any(|address| TcpStream::connect_timeout(&address, ANSWER_TIMEOUT).is_ok())
}

/// A port that nobody holds now; the operating system hands out another one at each call.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("cannot find a free port")?;
    Ok(listener.local_addr().context("cannot find a free port")?.port())
}
