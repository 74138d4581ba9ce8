//! The workflow for GitHub Actions.

use crate::adopt::edits::{Destination, Edit};
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
            target
            !target/perf
          # The manifest names the version of the gate, even if no lock is committed.
          key: performance-${{ runner.os }}-${{ hashFiles('Cargo.lock', <version files>) }}
";

const PIP_INSTALL: &str = "      # The gate. To upgrade, name another version here.
      - run: pip install locust-gate==<version>
";

const WORKING_DIRECTORY: &str = "    defaults:
      run:
        working-directory: <folder>
";

/// How a job gets the gate.
pub enum Install<'a> {
    /// Cargo builds it. The version is in these files.
    Cargo { version_files: &'a [&'a str] },
    /// Pip installs this version.
    Pip { version: &'a str },
}

/// Makes the workflow, unless there is one.
pub(crate) fn workflow(destination: &Destination, install: &Install) -> Edit {
    let name = name(&destination.inside);
    let text = text(&destination.inside, install);
    let edit = Edit::create_or_keep(&destination.top, name.clone(), &text);
    if edit.files.is_empty() {
        return edit;
    }
    edit.advising(vec![format!("add to {name} what the runner needs to build and start the service")])
}

fn name(inside: &str) -> String {
    match inside.trim_end_matches('/') {
        "" => ".github/workflows/perf.yml".to_owned(),
        inside => format!(".github/workflows/perf-{}.yml", inside.replace('/', "-")),
    }
}

/// The text of the workflow for a service in the folder `inside` of its repository, such as `services/claims/`.
pub fn text(inside: &str, install: &Install) -> String {
    let folder = inside.trim_end_matches('/');
    let own_name = name(inside);
    let (program, env, gate, version, version_files) = match install {
        Install::Cargo { version_files } => ("cargo xtask", CARGO_ENV, CARGO_CACHE, "", *version_files),
        Install::Pip { version } => ("locust-gate", "", PIP_INSTALL, *version, &[own_name.as_str()][..]),
    };
    let version_files: Vec<String> = version_files.iter().map(|file| format!("'{file}'")).collect();
    let (title, working_directory) =
        if folder.is_empty() { (String::new(), "") } else { (format!(", {folder}"), WORKING_DIRECTORY) };
    render(
        TEMPLATE,
        &[
            ("env", env),
            ("working directory", working_directory),
            ("gate", gate),
            ("title", &title),
            ("program", program),
            ("version", version),
            ("version files", &version_files.join(", ")),
            ("inside", inside),
            ("folder", folder),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workflow_without_rust_has_nothing_of_cargo() {
        let text = text("", &Install::Pip { version: "0.2.0" });
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
        let text = text("services/claims/", &Install::Cargo { version_files: &["dev/tools/Cargo.toml"] });
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
        for install in [Install::Cargo { version_files: &["xtask/Cargo.toml"] }, Install::Pip { version: "0.2.0" }] {
            for inside in ["", "services/claims/"] {
                let text = text(inside, &install);
                assert!(!text.contains('<') && !text.contains('>'), "{text}");
            }
        }
    }
}
