//! Locust's workers, and the commands that start them.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use judge::model::text::{printable, quoted};
use serde::Deserialize;

use crate::config::settings::DEFAULT_BIND_HOST;
use crate::run::http::{addresses, local_address, parse_url};
use crate::sys::{files, machine};

/// The time for the name of the master's address.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Our listener writes it during the run.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct WorkerList {
    /// Whether the load has begun, so that no worker may join any more.
    pub began: bool,
    workers: Vec<Worker>,
}

#[derive(Debug, Deserialize)]
struct Worker {
    /// The number of the command that started it, if Locust did not start it itself.
    name: Option<String>,
    host: String,
    process: Option<u32>,
    locust: Option<String>,
    state: WorkerState,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WorkerState {
    Here,
    Complete,
    /// It ended, or has sent no heartbeat for seconds, or one of its reports is missing.
    Lost,
    /// It did not take part when the load began.
    Late,
    /// It does not run our listener.
    Bare,
}

impl fmt::Display for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "worker {} ({}", printable(name), printable(&self.host))?,
            None => write!(f, "a worker ({}", printable(&self.host))?,
        }
        self.process.map_or(Ok(()), |process| write!(f, ", process {process}"))?;
        f.write_str(")")
    }
}

impl WorkerList {
    /// Empty until the listener has written it.
    pub fn read(path: &Path) -> WorkerList {
        let text = files::read_to_string(path).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// An error if the run must be discarded.
    pub fn check(&self, expected: u32, version: &str) -> Result<(), String> {
        for (state, fault) in [
            (WorkerState::Lost, "was lost during the load, and requests with it: see its own output, and run it again"),
            (WorkerState::Late, "joined after the load had begun: stop the workers that are not expected"),
            (WorkerState::Bare, "runs without our listener: start workers with the commands printed"),
        ] {
            if let Some(worker) = self.workers.iter().find(|worker| worker.state == state) {
                return Err(format!("{worker} {fault}"));
            }
        }
        for worker in &self.workers {
            if let Some(own) = worker.locust.as_deref().filter(|own| *own != version) {
                let own = printable(own);
                return Err(format!(
                    "{worker} runs Locust {own}, but its master runs {version}: install locust=={version} there"
                ));
            }
        }
        let connected = self.workers.len();
        if self.began && connected != expected as usize {
            let names: Vec<String> = self.workers.iter().map(Worker::to_string).collect();
            return Err(format!(
                "{connected} workers connected, and {expected} are expected: stop the extra ones of {}",
                names.join(", ")
            ));
        }
        Ok(())
    }

    /// An error if the last requests of a worker are missing.
    pub fn check_complete(&self) -> Result<(), String> {
        match self.workers.iter().find(|worker| worker.state != WorkerState::Complete) {
            Some(lost) => Err(format!("{lost} was lost at the end of the load, and requests with it: run it again")),
            None => Ok(()),
        }
    }

    /// `2 of 4 workers have connected: 1, 3`.
    pub fn connected(&self, expected: u32) -> String {
        let mut names: Vec<&str> = self.workers.iter().filter_map(|worker| worker.name.as_deref()).collect();
        names.sort_by_key(|name| (name.len(), *name));
        let colon = if names.is_empty() { "" } else { ": " };
        let verb = if expected == 1 { "worker has" } else { "workers have" };
        format!("{} of {expected} {verb} connected{colon}{}", self.workers.len(), printable(&names.join(", ")))
    }

    /// The numbers of the commands whose workers have not connected.
    pub fn missing(&self, expected: u32) -> String {
        let is_here = |number: &String| self.workers.iter().any(|worker| worker.name.as_ref() == Some(number));
        let missing: Vec<String> =
            (1..=expected).map(|number| number.to_string()).filter(|one| !is_here(one)).collect();
        missing.join(", ")
    }
}

pub struct WorkerSetup {
    /// Makes the environment that `command` needs; `None` if Locust is the user's own.
    pub install: Option<String>,
    pub command: String,
}

impl WorkerSetup {
    /// The environment has the same name as here, which depends on its packages.
    pub(crate) fn managed(environment: &str, pinned: &str, extra: &[String]) -> WorkerSetup {
        let folder = format!("~/.cache/{environment}");
        let packages: Vec<String> = [pinned].into_iter().chain(extra.iter().map(String::as_str)).map(quoted).collect();
        let install = format!("python3 -m venv {folder} && {folder}/bin/pip install {}", packages.join(" "));
        WorkerSetup { install: Some(install), command: format!("{folder}/bin/locust") }
    }

    /// The commands, a line each. `folders` of the checkout hold files that the locustfile imports.
    ///
    /// A worker ends with the master of one run, so the command starts it again until no master appears for five minutes.
    /// Locust writes the locustfiles to `TMPDIR` under their own names, so each worker needs its own.
    pub fn commands(&self, workers: u32, version: &str, master: &Master, folders: &[&str]) -> Vec<String> {
        let Master { address, port } = master;
        let mut lines = Vec::new();
        match &self.install {
            Some(install) => lines.extend(["on each worker machine, once:".to_owned(), format!("  {install}")]),
            None => {
                lines.push(format!("[locust] command must be installed on each worker machine, as Locust {version}"));
            }
        }
        lines.push(
            "then run each of these once, in the root of a checkout if the locustfile imports other files:".to_owned(),
        );
        let locust = &self.command;
        let script = format!(
            "TMPDIR=$(mktemp -d) && export TMPDIR && trap \"rm -rf $TMPDIR\" EXIT && trap \"exit 130\" HUP INT TERM && while {locust} -f - --worker --master-host {address} --master-port {port} --exit-code-on-error 0; do :; done"
        );
        let imports = match folders {
            [] => String::new(),
            // An empty entry, as behind `locust:`, is the current folder, whose own `locust` would hide Locust.
            folders => format!("PYTHONPATH={}\"${{PYTHONPATH:+:$PYTHONPATH}}\" ", quoted(&folders.join(":"))),
        };
        lines.extend((1..=workers).map(|number| format!("  PERF_WORKER={number} {imports}sh -c {}", quoted(&script))));
        lines
    }
}

pub struct Master {
    pub address: String,
    pub port: u16,
}

/// The master's address for workers: where it listens, or else this machine's address on the interface on which the service is
/// reached, or on its default route. They might not know its name.
pub fn address(bind_host: &str, service: &str) -> String {
    if !["", "*", "0.0.0.0", "::"].contains(&bind_host) {
        return bind_host.to_owned();
    }
    let to_service = parse_url(service).ok().and_then(|url| url.local_address());
    let to_others = to_service.filter(|address| !address.is_loopback()).or_else(|| {
        // The address is reserved for documentation, so only a default route leads there.
        local_address(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 9))
    });
    to_others.unwrap_or(Ipv4Addr::LOCALHOST).to_string()
}

pub(crate) fn check_port(bind_host: &str, port: u16) -> Result<()> {
    let host = if bind_host == DEFAULT_BIND_HOST { "0.0.0.0" } else { bind_host };
    let bound = addresses(host, port, Instant::now() + RESOLVE_TIMEOUT).and_then(|found| TcpListener::bind(&found[..]));
    match bound {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            bail!(
                "port {port}, on which Locust's master waits for workers, is already in use by {}: stop it, or set LOCUST_MASTER_BIND_PORT to a free port",
                machine::holder_of(port)
            )
        }
        // Locust itself reports any other error.
        _ => Ok(()),
    }
}
