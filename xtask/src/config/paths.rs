//! Where the files of a command are.

use std::cell::OnceCell;
use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::config::flags::{FileFlags, PerfFlags};
use crate::sys::files::{self, Identity};
use crate::sys::git;

/// The baseline that no configuration names.
pub const BASELINE: &str = "perf_baseline.json";

/// The paths that follow from the flags alone, and the folder of the runs once there is one.
pub struct Paths {
    /// The folder where the user is. Paths on the command line are relative to it.
    pub current_dir: PathBuf,
    pub root: PathBuf,
    pub config: PathBuf,
    pub session: OnceCell<PathBuf>,
}

impl Paths {
    pub fn resolve(flags: &FileFlags) -> Paths {
        let current_dir = env::current_dir().unwrap_or_default();
        let root = git::root(&current_dir).to_owned();
        let config = flags.config.as_ref().map_or(root.join("perf.toml"), |path| current_dir.join(path));
        Paths { current_dir, root, config, session: OnceCell::new() }
    }

    /// The baseline by the flag, from the user's folder, or by `perf.toml`, from the root.
    pub fn baseline(&self, flags: &FileFlags, file: &str) -> PathBuf {
        flags.baseline.as_ref().map_or_else(|| self.root.join(file), |path| self.current_dir.join(path))
    }

    pub fn perf_folder(&self) -> PathBuf {
        self.root.join("target/perf")
    }

    /// A path relative to the root, if it lies there.
    pub fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }

    pub fn inputs(&self, flags: &PerfFlags) -> Vec<PathBuf> {
        const BESIDE: [&str; 5] =
            ["perf_results.json", "run.json", "perf_listener.json", "perf_setup.json", "perf_with_setup.json"];
        let mut inputs = vec![self.baseline(&flags.files, BASELINE), self.config.clone()];
        inputs.extend(["locustfile.py", "pyproject.toml", "locust.conf"].map(|name| self.root.join(name)));
        inputs.extend(flags.load.locustfile.iter().map(|file| self.current_dir.join(file)));
        for results in &flags.results {
            let results = self.current_dir.join(results);
            let rounds = ["against", "confirm/against", "confirm"].map(|below| results.join(below));
            for folder in rounds.into_iter().chain([results]) {
                inputs.push(folder.join("session.json"));
                for file in files::result_files(&folder).unwrap_or_default() {
                    inputs.extend(BESIDE.map(|name| file.with_file_name(name)));
                    inputs.push(file);
                }
            }
        }
        inputs
    }

    pub fn check_reports(&self, reports: &[PathBuf], inputs: &[PathBuf]) -> Result<()> {
        for report in reports {
            self.refuse_input(report, inputs)?;
            files::check_writable(report)?;
        }
        Ok(())
    }

    /// Refuses a report that would replace a file that the command reads, also under another name of that file.
    pub fn refuse_input(&self, report: &Path, inputs: &[PathBuf]) -> Result<()> {
        let Some(identity) = Identity::of(report) else { return Ok(()) };
        match inputs.iter().find(|input| Identity::of(input).as_ref() == Some(&identity)) {
            Some(input) => bail!(
                "--report {} would replace {}, which this command reads: name another file",
                report.display(),
                self.shown(input)
            ),
            None => Ok(()),
        }
    }
}
