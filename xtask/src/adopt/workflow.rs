//! The workflow for GitHub Actions.

use std::fmt::Write as _;

use crate::adopt::ci_job::{CiJob, Install};
use crate::adopt::source::Package;
use crate::adopt::template::render;

const TEMPLATE: &str = include_str!("../../adopt/perf.yml");

const CARGO_ENV: &str = "\
env:
  # Nothing is built twice here, and incremental builds cost seconds.
  CARGO_INCREMENTAL: 0

";

const CARGO_CACHE: &str = "      - uses: actions/cache@v4
        with:
          path: |
            ~/.cargo/registry
            ~/.cargo/git
            # <build of xtask>
            target
            !target/perf
          # The manifest names the version of the gate, even if no lock is committed.
          key: performance-${{ runner.os }}-${{ hashFiles('Cargo.lock', <version files>) }}
";

const PIP_INSTALL: &str = "      # The gate, <place>. To upgrade, name another version here.
      - run: pip install <package>
";

const WORKING_DIRECTORY: &str = "    defaults:
      run:
        working-directory: <folder>
";

const ABOUT_PATHS: &str = "# Add the folders that the service depends on. If the check is required, remove both `paths`: a check that is skipped stays
# pending, and blocks the pull request.
";

pub(crate) fn file(job: &CiJob) -> String {
    format!(".github/workflows/{}.yml", job.name())
}

pub fn text(job: &CiJob) -> String {
    let (folder, own_file) = (job.folder(), file(job));
    let (env, gate, version_files, package, build_of_xtask) = match &job.install {
        Install::Cargo { version_files, is_separate } => {
            (CARGO_ENV, CARGO_CACHE, *version_files, None, if *is_separate { "            xtask/target" } else { "" })
        }
        Install::Pip(package) => ("", PIP_INSTALL, &[own_file.as_str()][..], Some(*package), ""),
    };
    let version_files: Vec<String> = version_files.iter().map(|file| format!("'{file}'")).collect();
    let python = match &job.python {
        Some(python) => format!("python-version-file: {}", python.file),
        None => "python-version: \"3.12\"".to_owned(),
    };
    let is_root = folder.is_empty();
    let title = if is_root { String::new() } else { format!(", {folder}") };
    let paths = if is_root { String::new() } else { paths(job, &own_file) };
    render(
        TEMPLATE,
        &[
            ("env", env),
            ("about paths", if is_root { "" } else { ABOUT_PATHS }),
            ("paths", &paths),
            ("branches", &format!("[{}]", job.branches.join(", "))),
            ("working directory", if is_root { "" } else { WORKING_DIRECTORY }),
            ("gate", &render(gate, &[("build of xtask", build_of_xtask)])),
            ("title", &title),
            ("python", &python),
            ("program", job.program()),
            ("place", package.map_or("", Package::place)),
            ("package", &package.map_or_else(String::new, |package| package.argument(job.inside))),
            ("version files", &version_files.join(", ")),
            ("inside", job.inside),
            ("folder", folder),
        ],
    )
}

fn paths(job: &CiJob, own_file: &str) -> String {
    let mut text = "    paths:\n".to_owned();
    for path in job.paths(own_file, "**") {
        let _ = writeln!(text, "      - \"{path}\"");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job<'a>(inside: &'a str, install: Install<'a>) -> CiJob<'a> {
        CiJob { inside, install, branches: vec!["main".to_owned()], python: None }
    }

    #[test]
    fn workflow_without_rust_has_nothing_of_cargo() {
        let package = Package::Index("locust-gate==0.2.0".to_owned());
        let text = text(&job("", Install::Pip(&package)));
        assert!(!text.contains("cargo") && !text.contains("CARGO") && !text.contains("xtask"), "{text}");
        for (line, times) in [
            ("      - run: pip install locust-gate==0.2.0\n", 1),
            ("run: locust-gate perf --against \"$BASE\"", 1),
            ("hashFiles('.github/workflows/perf.yml', 'perf.toml')", 1),
            ("actions/cache@v4", 1),
        ] {
            assert_eq!(text.matches(line).count(), times, "{line}: {text}");
        }
    }

    #[test]
    fn workflow_of_a_folder_runs_there() {
        let text = text(&job(
            "services/claims/",
            Install::Cargo { version_files: &["dev/tools/Cargo.toml"], is_separate: false },
        ));
        for line in [
            "name: Performance, services/claims\n",
            "    defaults:\n      run:\n        working-directory: services/claims\n    steps:\n",
            "          path: services/claims/target/perf/locust-*\n",
            "            services/claims/target/perf/latest/\n",
            "            services/claims/perf_baseline.json\n",
            "            services/claims/perf_report.html\n",
            "hashFiles('Cargo.lock', 'dev/tools/Cargo.toml')",
            "hashFiles('dev/tools/Cargo.toml', 'services/claims/perf.toml')",
            "--report perf_report.html\n",
            "            !target/perf\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }

    #[test]
    fn every_place_of_the_template_is_filled() {
        let package = Package::Index("locust-gate==0.2.0".to_owned());
        for inside in ["", "services/claims/"] {
            for install in
                [Install::Cargo { version_files: &["xtask/Cargo.toml"], is_separate: true }, Install::Pip(&package)]
            {
                let text = text(&job(inside, install));
                assert!(!text.contains('<') && !text.contains('>'), "{text}");
            }
        }
    }
}
