//! The job for GitLab CI, in a file that `.gitlab-ci.yml` includes.

use std::fmt::Write as _;

use anyhow::Result;

use crate::adopt::ci_job::{CiJob, Install};
use crate::adopt::edits::{Destination, Edit, NewFile};
use crate::adopt::source::Package;
use crate::adopt::template::render;
use crate::sys::files;

const TEMPLATE: &str = include_str!("../../adopt/gitlab.yml");

pub(crate) const CONFIG: &str = ".gitlab-ci.yml";

const CARGO_VARIABLES: &str = "    # Nothing is built twice here, and incremental builds cost seconds.
    CARGO_INCREMENTAL: \"0\"
    # GitLab caches what is below the project's folder.
    CARGO_HOME: $CI_PROJECT_DIR/target/cargo
";

const CARGO_CACHE: &str = "    - key:
        prefix: cargo
        files: [<version files>]
      paths:
        - target/cargo/registry
        - target/cargo/git
        - target/debug
        - target/release
        # <build of xtask>
";

const APT_INSTALL: &str =
    "    - apt-get update --quiet && apt-get install --quiet --yes --no-install-recommends python3-venv
";

const PIP_INSTALL: &str = "    # The gate, <place>. To upgrade, name another version here.
    - pip install <package>
";

/// Keys of `.gitlab-ci.yml` that are no jobs, and to which an `include` can be added.
const GLOBAL_KEYS: [&str; 7] = ["stages", "default", "variables", "workflow", "image", "cache", "services"];

/// The job's file is included where `.gitlab-ci.yml` has no jobs. Otherwise the lines are advised.
pub(crate) fn edits(destination: &Destination, job: &CiJob) -> Result<[Edit; 2]> {
    let name = format!(".gitlab/{}.yml", job.name());
    let path = destination.top.join(CONFIG);
    let config = files::read_to_string(&path)?;
    let edit = Edit::of_job(&destination.top, &name, &text(job, &stage(&config)));
    let lines = ["include:".to_owned(), format!("  - local: /{name}")];
    let include = if config.contains(&name) {
        Edit::kept(CONFIG)
    } else if top_level_keys(&config).all(|key| GLOBAL_KEYS.contains(&key)) {
        let end = if config.is_empty() || config.ends_with('\n') { "" } else { "\n" };
        let file = NewFile::new(path, format!("{config}{end}{}\n", lines.join("\n")));
        Edit { done: format!("added an include of {name}"), ..Edit::created(CONFIG, vec![file]) }
    } else {
        Edit::kept(CONFIG).advising([&[format!("add these lines to {CONFIG}:")], &lines[..]].concat())
    };
    Ok([edit, include])
}

fn top_level_keys(config: &str) -> impl Iterator<Item = &str> {
    let is_key = |line: &&str| !line.starts_with([' ', '\t', '#', '-']) && line.contains(':');
    config.lines().filter(is_key).filter_map(|line| line.split(':').next())
}

/// The stage of the job: `test`, which GitLab has by default, or the first one if the repository has others.
fn stage(config: &str) -> String {
    let mut lines = config.lines().skip_while(|line| !line.starts_with("stages:"));
    let inline = lines.next().unwrap_or_default().trim_start_matches("stages:");
    let listed = lines.take_while(|line| line.trim_start().starts_with(['-', '#']) || line.trim().is_empty());
    let clean =
        |word: &str| word.split(" #").next().unwrap_or_default().trim_matches(|c| " [],-\"'".contains(c)).to_owned();
    let stages: Vec<String> = inline
        .split(',')
        .chain(listed.filter(|line| line.trim_start().starts_with('-')))
        .map(clean)
        .filter(|stage| !stage.is_empty())
        .collect();
    match stages.first() {
        Some(first) if !stages.iter().any(|stage| stage == "test") => first.clone(),
        _ => "test".to_owned(),
    }
}

pub fn text(job: &CiJob, stage: &str) -> String {
    let folder = job.folder();
    let own_file = format!(".gitlab/{}.yml", job.name());
    let python = job.python.as_ref().map_or("3.12", |python| python.version.as_str());
    let (image, variables, cache, gate, version_files, package) = match &job.install {
        Install::Cargo { version_files, .. } => {
            ("rust:1".to_owned(), CARGO_VARIABLES, CARGO_CACHE, APT_INSTALL, *version_files, None)
        }
        Install::Pip(package) => {
            (format!("python:{python}"), "", "", PIP_INSTALL, &[own_file.as_str()][..], Some(*package))
        }
    };
    let is_separate = matches!(job.install, Install::Cargo { is_separate: true, .. });
    let cache = render(cache, &[("build of xtask", if is_separate { "        - xtask/target" } else { "" })]);
    let title = if folder.is_empty() { String::new() } else { format!("-{}", folder.replace('/', "-")) };
    let changes = if folder.is_empty() { String::new() } else { changes(job, &own_file) };
    let enter = if folder.is_empty() { String::new() } else { format!("    - cd {folder}\n") };
    // GitLab takes two files for a key.
    let version_files = version_files.iter().take(1).copied().collect::<Vec<_>>().join(", ");
    render(
        TEMPLATE,
        &[
            ("changes", &changes),
            ("variables", variables),
            ("gate cache", &cache),
            ("gate", gate),
            ("enter", &enter),
            ("title", &title),
            ("stage", stage),
            ("image", &image),
            ("program", job.program()),
            ("place", package.map_or("", Package::place)),
            ("package", &package.map_or_else(String::new, |package| package.argument(""))),
            ("version files", &version_files),
            ("inside", job.inside),
        ],
    )
}

fn changes(job: &CiJob, own_file: &str) -> String {
    let mut text = "      changes:\n".to_owned();
    for path in job.paths(own_file, "**/*") {
        let _ = writeln!(text, "        - {path}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stage_is_one_that_the_repository_has() {
        for (config, expected) in [
            ("", "test"),
            ("build:\n  stage: build\n", "test"),
            ("stages: [build, test]\n", "test"),
            ("stages: [build, check] # of ours\n", "build"),
            ("stages:\n  # first\n  - \"lint\"\n  - check\n\nlint:\n  script:\n    - make\n", "lint"),
            ("stages:\n- lint\n- test\n", "test"),
        ] {
            assert_eq!(stage(config), expected, "{config}");
        }
    }
}
