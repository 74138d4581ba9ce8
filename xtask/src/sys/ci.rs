//! CI systems, and the summary page of a job in GitHub Actions.

use std::env;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

pub fn is_github() -> bool {
    env::var("GITHUB_ACTIONS").is_ok_and(|value| value == "true")
}

/// Variables of CI systems, some of which do not set `CI`.
pub const VARIABLES: [&str; 9] = [
    "JENKINS_URL",
    "TF_BUILD",
    "TEAMCITY_VERSION",
    "CODEBUILD_BUILD_ID",
    "BITBUCKET_BUILD_NUMBER",
    "BUILDKITE",
    "GITLAB_CI",
    "bamboo_buildKey",
    "GO_PIPELINE_NAME",
];

pub fn is_any() -> bool {
    match env::var("CI") {
        Ok(ci) if !ci.is_empty() => !matches!(ci.as_str(), "0" | "false"),
        _ => VARIABLES.iter().any(|name| env::var_os(name).is_some_and(|value| !value.is_empty())),
    }
}

/// Whether GitHub lends the machine: the next job runs on another one.
pub fn is_hosted_runner() -> bool {
    is_github() && env::var("RUNNER_ENVIRONMENT").is_ok_and(|value| value == "github-hosted")
}

/// Adds to the summary of this step on the job's page, if there is one.
pub fn append_to_summary(markdown: &str) -> Result<()> {
    let path = match env::var_os("GITHUB_STEP_SUMMARY") {
        Some(path) if !path.is_empty() => path,
        _ => return Ok(()),
    };
    let append = |mut file: File| file.write_all(format!("\n{markdown}").as_bytes());
    let written = File::options().append(true).create(true).open(&path).and_then(append);
    written.with_context(|| format!("cannot add to the job's summary {}", Path::new(&path).display()))
}
