//! Locust's workers: how they are started, where they find their master, which of them take part, and which were lost.

use std::fmt;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;

use anyhow::{Result, bail};
use judge::model::text::printable;
use report::view::words::quoted;
use serde::Deserialize;

use crate::sys::{files, machine};

/// The workers that take part in a run, as our listener writes them down while it goes on.
#[derive(Debug, Deserialize)]
pub struct Roll {
    /// The load has begun, and nobody may join any more.
    pub began: bool,
    /// The workers.
    pub workers: Vec<Worker>,
}

/// One of Locust's workers.
#[derive(Debug, Deserialize)]
pub struct Worker {
    /// The number of the command that it was started with; a process of Locust's own has none.
    name: Option<String>,
    host: String,
    process: Option<u32>,
    locust: Option<String>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Here,
    /// All of its requests have arrived.
    Complete,
    /// It ended, or has given no sign of life for seconds, or one of its reports is missing.
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

impl Roll {
    /// Reads the roll; `None` until the listener has written it.
    pub fn read(path: &Path) -> Option<Roll> {
        serde_json::from_str(&files::read_to_string(path).ok()?).ok()
    }

    /// Returns what makes the run worthless, where `asked` workers are to run this version of Locust.
    pub fn fault(&self, asked: u32, version: &str) -> Option<String> {
        let with = |state: State| self.workers.iter().find(|worker| worker.state == state);
        if let Some(lost) = with(State::Lost) {
            return Some(format!(
                "{lost} was lost during the load, and requests with it: see what it printed itself, and run it again"
            ));
        }
        if let Some(late) = with(State::Late) {
            return Some(format!("{late} joined after the load had begun: stop the workers that are not expected"));
        }
        if let Some(bare) = with(State::Bare) {
            return Some(format!("{bare} runs without our listener: start workers with the commands printed"));
        }
        let differs = |worker: &&Worker| worker.locust.as_deref().is_some_and(|own| own != version);
        if let Some(other) = self.workers.iter().find(differs) {
            let own = printable(other.locust.as_deref().unwrap_or_default());
            return Some(format!(
                "{other} runs Locust {own}, but its master runs {version}: install locust=={version} there"
            ));
        }
        let came = self.workers.len();
        (self.began && came != asked as usize).then(|| {
            let names: Vec<String> = self.workers.iter().map(Worker::to_string).collect();
            format!("{came} workers connected, and {asked} are expected: stop the extra ones of {}", names.join(", "))
        })
    }

    /// Names the first worker whose last requests have not arrived at the end of the run.
    pub fn incomplete(&self) -> Option<String> {
        let worker = self.workers.iter().find(|worker| worker.state != State::Complete)?;
        Some(format!("{worker} was lost at the end of the load, and requests with it: run it again"))
    }

    /// Says how many have come: `2 of 4 workers have come: 1, 3`.
    pub fn came(&self, asked: u32) -> String {
        let mut names: Vec<&str> = self.workers.iter().filter_map(|worker| worker.name.as_deref()).collect();
        names.sort_by_key(|name| (name.len(), *name));
        let colon = if names.is_empty() { "" } else { ": " };
        let verb = if asked == 1 { "worker has" } else { "workers have" };
        format!("{} of {asked} {verb} connected{colon}{}", self.workers.len(), printable(&names.join(", ")))
    }

    /// Returns the numbers of the commands whose workers have not come.
    pub fn missing(&self, asked: u32) -> String {
        let is_here = |number: &String| self.workers.iter().any(|worker| worker.name.as_ref() == Some(number));
        let missing: Vec<String> = (1..=asked).map(|number| number.to_string()).filter(|one| !is_here(one)).collect();
        missing.join(", ")
    }
}

/// The commands for the machines of the workers.
pub struct Setup {
    /// Makes the environment that `command` needs; `None` where Locust is the user's own.
    pub install: Option<String>,
    /// Starts Locust.
    pub command: String,
}

impl Setup {
    /// Sets a managed Locust up. The environment has the same name there as here, which depends on what is installed in it.
    pub fn managed(environment: &str, pinned: &str, extra: &[String]) -> Setup {
        let folder = format!("~/.cache/{environment}");
        let packages: Vec<String> = [pinned].into_iter().chain(extra.iter().map(String::as_str)).map(quoted).collect();
        let install = format!("python3 -m venv {folder} && {folder}/bin/pip install {}", packages.join(" "));
        Setup { install: Some(install), command: format!("{folder}/bin/locust") }
    }

    /// Returns the instructions for the machines of the workers, a line each.
    ///
    /// A worker ends with its master, and each run has a master of its own, so the command starts it again until none
    /// comes for five minutes: then Locust gives up. It writes the locustfiles to `TMPDIR` under their own names, where
    /// those of another worker must not be.
    ///
    /// Files beside a locustfile can be imported there as here, from `folders` of a checkout.
    pub fn invitation(&self, workers: u32, version: &str, master: &Master, folders: &[&str]) -> Vec<String> {
        let Master { address, port } = master;
        let mut lines = Vec::new();
        match &self.install {
            Some(install) => lines.extend(["on each worker machine, once:".to_owned(), format!("  {install}")]),
            None => {
                lines.push(format!("[locust] command must be installed on each worker machine, as Locust {version}"));
            }
        }
        lines.push(
            "then run each of these once, in the root of a checkout if the locustfile imports files of its own:"
                .to_owned(),
        );
        let locust = &self.command;
        let script = format!(
            "TMPDIR=$(mktemp -d) && export TMPDIR && trap \"rm -rf $TMPDIR\" EXIT && trap \"exit 130\" HUP INT TERM && while {locust} -f - --worker --master-host {address} --master-port {port} --exit-code-on-error 0; do :; done"
        );
        let imports = match folders {
            [] => String::new(),
            // An empty entry, as behind `locust:`, is the current folder, whose own `locust` would come before Locust.
            folders => format!("PYTHONPATH={}\"${{PYTHONPATH:+:$PYTHONPATH}}\" ", quoted(&folders.join(":"))),
        };
        lines.extend((1..=workers).map(|number| format!("  PERF_WORKER={number} {imports}sh -c {}", quoted(&script))));
        lines
    }
}

/// The address of the master, for its workers.
pub struct Master {
    /// The address or name.
    pub address: String,
    /// The port.
    pub port: u16,
}

/// Returns the address at which workers find the master: the one that it listens on, or else that of this machine on its
/// default route. A name might not be known to them.
pub fn address(bind_host: Option<&str>) -> String {
    match bind_host {
        Some(host) if !["", "*", "0.0.0.0", "::"].contains(&host) => host.to_owned(),
        // Nothing is sent: connecting only chooses the route. The address is reserved for documentation.
        _ => UdpSocket::bind("0.0.0.0:0")
            .and_then(|socket| socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr()))
            .map_or_else(|_| "127.0.0.1".to_owned(), |address| address.ip().to_string()),
    }
}

/// Checks that the master can listen.
///
/// # Errors
///
/// Names the process that holds the port.
pub fn check_port(bind_host: Option<&str>, port: u16) -> Result<()> {
    let host = bind_host.filter(|host| *host != "*").unwrap_or("0.0.0.0");
    match TcpListener::bind((host, port)) {
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
