//! The CI systems of the other repository, and what their jobs have in common.

use std::fs;

use anyhow::Result;
use judge::model::program;

use crate::adopt::edits::{Destination, Edit};
use crate::adopt::found::PythonVersion;
use crate::adopt::source::Package;
use crate::adopt::{gitlab, workflow};

/// What a job needs to know of the repository.
pub struct CiJob<'a> {
    /// The folder of the service, such as `services/claims/`; empty at the root.
    pub inside: &'a str,
    pub install: Install<'a>,
    /// The default branch, or its usual names.
    pub branches: Vec<String>,
    pub python: Option<PythonVersion>,
}

/// How a job gets the gate.
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

    /// The patterns of files that change the result of a service in a folder. `file` is the job's own file, and `all` the
    /// pattern of everything below a folder.
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

    /// Advice, if the Python of the repository is too old for the pinned Locust.
    pub(crate) fn python_advice(&self) -> Option<String> {
        let PythonVersion { version, file } = self.python.as_ref().filter(|python| python.is_too_old())?;
        Some(format!(
            "{file} names {version}, and the pinned Locust needs Python 3.11: name a newer one, or an older Locust in [locust] of {}perf.toml",
            self.inside
        ))
    }
}

/// A CI system for which adopt writes no job.
struct Other {
    /// The file or folder that shows its use.
    file: &'static str,
    /// The section of docs/ci.md.
    section: &'static str,
}

const OTHERS: [Other; 6] = [
    Other { file: "Jenkinsfile", section: "Jenkins" },
    Other { file: "azure-pipelines.yml", section: "Azure Pipelines" },
    Other { file: ".azure-pipelines", section: "Azure Pipelines" },
    Other { file: "bitbucket-pipelines.yml", section: "Bitbucket Pipelines" },
    Other { file: ".buildkite", section: "Buildkite" },
    Other { file: ".teamcity", section: "TeamCity" },
];

/// The jobs of the CI systems that the repository uses; of GitHub if it uses none. For a system without a template, the
/// last edit advises its section of docs/ci.md.
pub(crate) fn edits(destination: &Destination, job: &CiJob) -> Result<Vec<Edit>> {
    let is_there = |file: &str| fs::symlink_metadata(destination.top.join(file)).is_ok();
    let uses_gitlab = is_there(gitlab::CONFIG);
    let others: Vec<&Other> = OTHERS.iter().filter(|other| is_there(other.file)).collect();
    let mut edits = Vec::new();
    if uses_gitlab {
        edits.extend(gitlab::edits(destination, job)?);
    }
    if has_workflows(destination) || !(uses_gitlab || !others.is_empty()) {
        edits.push(workflow::edit(destination, job));
    }
    let is_written = edits.iter().any(|edit| !edit.files.is_empty());
    if let Some(edit) = edits.first_mut().filter(|_| is_written) {
        let advice = job.python_advice();
        edit.advice.extend(advice);
    }
    edits.extend(others.into_iter().map(|other| by_hand(destination, other)));
    Ok(edits)
}

fn has_workflows(destination: &Destination) -> bool {
    fs::read_dir(destination.top.join(".github/workflows")).is_ok_and(|mut entries| entries.next().is_some())
}

fn by_hand(destination: &Destination, other: &Other) -> Edit {
    let Other { file, section } = other;
    let text = fs::read_dir(destination.top.join(file)).is_err()
        && crate::sys::files::read_to_string(&destination.top.join(file)).is_ok_and(|text| calls_the_gate(&text));
    let advice = format!("{file} is there: docs/ci.md of the gate has the three commands for it, in \"{section}\"");
    Edit::kept(*file).advising(if text { Vec::new() } else { vec![advice] })
}

fn calls_the_gate(text: &str) -> bool {
    text.contains(&format!("{} perf", program::name()))
}
