//! Where the command runs, and what it was told by flags and files.

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Result, anyhow, ensure};
use xshell::Shell;

use crate::baseline::Baseline;
use crate::compare::{EndpointLimits, Limits, Rules};
use crate::config::{Config, LocustSettings, Settings, settle};
use crate::files;
use crate::flags::Perf;
use crate::git::{self, Head};
use crate::results::{self, Measured};
use crate::run::Provenance;

/// Where the command runs and what it was told.
pub struct Project<'a> {
    pub flags: &'a Perf,
    pub shell: Shell,
    pub root: PathBuf,
    /// Where the user is; the paths on the command line are relative to it.
    current_dir: PathBuf,
    pub config: Config,
    pub rules: Rules,
    pub baseline_path: PathBuf,
    pub head: Option<Head>,
}

impl Project<'_> {
    pub fn read(flags: &Perf) -> Result<Project<'_>> {
        let shell = Shell::new()?;
        let current_dir = shell.current_dir();
        let root = git::root(&current_dir).to_owned();
        shell.change_dir(&root);
        let config_path = flags.config.as_ref().map(|path| current_dir.join(path));
        let (config, limits, endpoint_limits) = match config_path {
            Some(path) => read_config(&path)?,
            None if root.join("perf.toml").exists() => read_config(&root.join("perf.toml"))?,
            None => Config::parse("")?,
        };
        let baseline_path =
            flags.baseline.as_ref().map_or_else(|| root.join("perf_baseline.json"), |path| current_dir.join(path));
        let head = git::head(&shell);
        let (paired, [min_runs, max_runs]) = (flags.against.is_some(), flags.runs());
        let rules = Rules { limits, endpoint_limits, strict: flags.strict, paired, min_runs, max_runs };
        Ok(Project { flags, shell, root, current_dir, config, rules, baseline_path, head })
    }

    /// A missing baseline reads as none; one that cannot be read is an error.
    pub fn read_baseline(&self) -> Result<Option<Baseline>> {
        if !self.baseline_path.exists() {
            return Ok(None);
        }
        let text = files::read_to_string(&self.baseline_path)?;
        let next = "restore it from git, or delete it and measure anew";
        let named = |error| anyhow!("{}: {error:#}; {next}", self.shown(&self.baseline_path));
        Baseline::parse(&text).map(Some).map_err(named)
    }

    pub fn read_results(&self, paths: &[PathBuf]) -> Result<Vec<Measured>> {
        let mut measured = Vec::new();
        for path in paths {
            for file in files::result_files(&self.current_dir.join(path))? {
                measured.push(results::read(&file)?);
            }
        }
        Ok(measured)
    }

    /// The load, by flag, `perf.toml`, and what Locust itself would read.
    pub fn settle(&self) -> Result<Settings> {
        let flags = self.flags;
        let mut locust = LocustSettings::default();
        locust.add_env(
            env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        );
        let home = env::home_dir().unwrap_or_default();
        for path in [self.root.join("pyproject.toml"), self.root.join("locust.conf"), home.join(".locust.conf")] {
            if !path.exists() {
                continue;
            }
            // What Locust would read and this program cannot may change the run in silence.
            let text = files::read_to_string(&path)?;
            if path.extension().is_some_and(|extension| extension == "toml") {
                locust.add_pyproject(&self.shown(&path), &text)?;
            } else {
                locust.add_conf(&self.shown(&path), &text);
            }
        }
        let mut settings = settle(&flags.load, &flags.locust_args, &self.config, &locust)?;
        let base = if flags.load.locustfile.is_some() { &self.current_dir } else { &self.root };
        settings.locustfile = self.find_locustfile(&settings.locustfile, base)?;
        Ok(settings)
    }

    /// Like Locust, takes several files with commas between; they come back relative to the root, where Locust runs.
    fn find_locustfile(&self, locustfile: &str, base: &Path) -> Result<String> {
        let mut found = Vec::new();
        for part in locustfile.split(',').map(str::trim) {
            let path = base.join(part);
            ensure!(
                path.exists(),
                "there is no locustfile {}: write one, or name it with --locustfile FILE",
                self.shown(&path)
            );
            found.push(self.shown(&path));
        }
        Ok(found.join(","))
    }

    /// Everything that commands leave behind.
    pub fn perf_folder(&self) -> PathBuf {
        self.root.join("target/perf")
    }

    /// A path as short as it can be told.
    pub fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }

    pub fn say(&self, line: &str) {
        if !self.flags.quiet {
            // Progress that cannot be shown is no reason to end a measurement.
            let _ = writeln!(anstream::stderr(), "{line}");
        }
    }

    pub fn provenance(&self) -> Provenance {
        Provenance {
            timestamp: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            commit: self.head.as_ref().map_or_else(|| "unknown".to_owned(), |head| head.commit.clone()),
            dirty: self.head.as_ref().is_some_and(|head| head.dirty),
            ..Provenance::default()
        }
    }
}

pub fn read_config(path: &Path) -> Result<(Config, Limits, Vec<EndpointLimits>)> {
    let text = files::read_to_string(path)?;
    // The error begins with its line: `perf.toml:3: ...`.
    Config::parse(&text).map_err(|error| anyhow!("{}{error:#}", path.display()))
}
