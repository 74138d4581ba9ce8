//! The CI systems of the other repository.

use std::fs;

use anyhow::Result;
use judge::model::program;

use crate::adopt::ci_job::{CiJob, Install};
use crate::adopt::edits::{Destination, Edit};
use crate::adopt::{gitlab, workflow};
use crate::sys::files;

struct Other {
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
    let workflows = fs::read_dir(destination.top.join(".github/workflows"));
    let has_workflows = workflows.is_ok_and(|mut entries| entries.next().is_some());
    let uses_github = has_workflows || (!uses_gitlab && others.is_empty());
    if uses_github {
        edits.push(Edit::of_job(&destination.top, &workflow::file(job), &workflow::text(job)));
    }
    // GitLab's job takes the Python of its image, unless pip installs the gate there.
    let takes_python = uses_github || (uses_gitlab && matches!(job.install, Install::Pip(_)));
    if takes_python && let Some(edit) = edits.iter_mut().find(|edit| !edit.files.is_empty()) {
        edit.advice.extend(job.python_advice());
    }
    edits.extend(others.into_iter().map(|other| by_hand(destination, other)));
    Ok(edits)
}

fn by_hand(destination: &Destination, other: &Other) -> Edit {
    let Other { file, section } = other;
    let edit = Edit::kept(*file);
    let text = files::read_to_string(&destination.top.join(file)).unwrap_or_default();
    if text.contains(&format!("{} perf", program::name())) {
        return edit;
    }
    edit.advising(vec![format!("{file} is there: docs/ci.md of the gate has the commands for it, in \"{section}\"")])
}
