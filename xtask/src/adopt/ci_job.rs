//! What the jobs of all CI systems have in common.

use crate::adopt::found::PythonVersion;
use crate::adopt::source::Package;

pub struct CiJob<'a> {
    /// The folder of the service, such as `services/claims/`; empty at the root.
    pub inside: &'a str,
    pub install: Install<'a>,
    pub branches: Vec<String>,
    pub python: Option<PythonVersion>,
}

pub enum Install<'a> {
    /// Cargo builds it. The version is in these files.
    Cargo {
        version_files: &'a [&'a str],
        is_separate: bool,
    },
    Pip(&'a Package),
}

impl CiJob<'_> {
    pub(crate) fn folder(&self) -> &str {
        self.inside.trim_end_matches('/')
    }

    pub(crate) fn program(&self) -> &'static str {
        match self.install {
            Install::Cargo { .. } => "cargo xtask",
            Install::Pip(_) => "locust-gate",
        }
    }

    /// `perf`, or `perf-services-claims`: the name of the job's file.
    pub(crate) fn name(&self) -> String {
        match self.folder() {
            "" => "perf".to_owned(),
            folder => format!("perf-{}", folder.replace('/', "-")),
        }
    }

    /// The patterns of files that change the result. `file` is the job's own, and `all` the pattern of everything below
    /// a folder.
    pub(crate) fn paths(&self, file: &str, all: &str) -> Vec<String> {
        let mut paths = vec![format!("{}{all}", self.inside)];
        match &self.install {
            Install::Cargo { version_files, .. } => {
                let manifests = version_files.iter().filter_map(|file| file.strip_suffix("Cargo.toml"));
                paths.extend(manifests.map(|folder| format!("{folder}{all}")));
                paths.extend([format!(".cargo/{all}"), "Cargo.*".to_owned()]);
            }
            Install::Pip(Package::Wheel(wheel)) => paths.push(wheel.clone()),
            Install::Pip(_) => {}
        }
        paths.push(file.to_owned());
        paths
    }

    pub(crate) fn python_advice(&self) -> Option<String> {
        let PythonVersion { version, file } = self.python.as_ref().filter(|python| python.is_too_old())?;
        Some(format!(
            "{file} names {version}, and the pinned Locust needs Python 3.11: name a newer one, or an older Locust in [locust] of {}perf.toml",
            self.inside
        ))
    }
}
