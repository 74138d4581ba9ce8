//! The target of a load: a service that is started for each run, or one that runs already.

use std::path::Path;

use anyhow::Result;
use xshell::Shell;

use crate::config::settings::{ServiceConfig, Settings};
use crate::run::service::{self, Service};
use crate::sys::executable::Executable;
use crate::sys::process::Group;

/// The service of one run.
pub enum Target {
    /// It was started for this run. Dropping it ends it.
    Ours(Service),
    /// It runs already, at this host.
    Running(String),
}

impl Target {
    /// Starts `service`, or takes the running one where there is none to start. `root` is the user's own checkout.
    ///
    /// # Errors
    ///
    /// Names the reason why the service did not get ready.
    pub fn start(
        shell: &Shell,
        service: Option<&ServiceConfig>,
        settings: &Settings,
        root: &Path,
        log: &Path,
    ) -> Result<Target> {
        Ok(match service {
            Some(config) => Target::Ours(Service::start(shell, config, root, log)?),
            None => Target::Running(settings.host.clone().unwrap_or_default()),
        })
    }

    /// Returns what Locust gets as its host.
    pub fn host(&self, settings: &Settings) -> String {
        match (self, &settings.host) {
            (Target::Ours(service), Some(host)) => host.replace("{port}", &service.port.to_string()),
            (Target::Ours(service), None) => service.origin.clone(),
            (Target::Running(host), _) => host.clone(),
        }
    }

    /// Returns the program of the process that answers, where the service was started here and the machine tells.
    pub fn program(&self) -> Option<Executable> {
        match self {
            Target::Ours(service) => service.program(),
            Target::Running(_) => None,
        }
    }

    /// Returns the processes of a service that was started here.
    pub fn group(&self) -> Option<&Group> {
        match self {
            Target::Ours(service) => Some(service.group()),
            Target::Running(_) => None,
        }
    }

    /// Checks that a service that was started here runs.
    ///
    /// # Errors
    ///
    /// Says that it has ended, with the tail of its log.
    pub fn check_alive(&mut self, when: &str) -> Result<()> {
        match self {
            Target::Ours(service) => service.check_alive(when),
            Target::Running(_) => Ok(()),
        }
    }

    /// Checks that the service answers once the load is over.
    ///
    /// # Errors
    ///
    /// Says that it does not.
    pub fn check_answers(&mut self) -> Result<()> {
        match self {
            Target::Ours(service) => service.check_answers(),
            Target::Running(host) => service::check_answers(host),
        }
    }

    /// Stops a service that was started here, and returns what is to be said of it, a sentence each.
    pub fn stop(self) -> Vec<String> {
        match self {
            Target::Ours(service) => service.stop(),
            Target::Running(_) => Vec::new(),
        }
    }
}
