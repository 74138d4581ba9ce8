//! Where the command runs, and what it was told by flags and files.

use std::env;
use std::fs;
use std::io::Write as _;
use std::mem;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result, anyhow, ensure};
use xshell::Shell;

use crate::adopt::PLACEHOLDER;
use crate::baseline::Baseline;
use crate::compare::Rules;
use crate::config::{Config, LocustSettings, ServiceConfig, Settings, settle};
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
        let mut config = match config_path {
            Some(path) => read_config(&path)?,
            None if root.join("perf.toml").exists() => read_config(&root.join("perf.toml"))?,
            None => Config::parse("")?,
        };
        let baseline_path =
            flags.baseline.as_ref().map_or_else(|| root.join("perf_baseline.json"), |path| current_dir.join(path));
        let head = git::head(&shell);
        let (paired, [min_runs, max_runs]) = (flags.against.is_some(), flags.runs());
        let (limits, endpoint_limits) = (mem::take(&mut config.limits), mem::take(&mut config.endpoint_limits));
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

    /// RESULTS, judged by the number of runs that their command would have made.
    pub fn read_results(&mut self) -> Result<Vec<Measured>> {
        let mut measured = Vec::new();
        for path in &self.flags.results {
            measured.extend(results::read_all(&self.current_dir.join(path))?);
        }
        self.take_max_runs(&measured);
        Ok(measured)
    }

    /// Both sides, where RESULTS are the folder of a command with `--against`, and no baseline is asked for.
    pub fn read_rounds(&mut self) -> Result<Option<[Vec<Measured>; 2]>> {
        let [folder] = &self.flags.results[..] else { return Ok(None) };
        let folder = self.current_dir.join(folder);
        let other = folder.join("against");
        if !other.is_dir() || self.flags.baseline.is_some() || self.flags.update_baseline {
            return Ok(None);
        }
        let sides = [results::read_all(&folder)?, results::read_all(&other)?];
        self.rules.paired = true;
        self.take_max_runs(&sides[0]);
        Ok(Some(sides))
    }

    fn take_max_runs(&mut self, measured: &[Measured]) {
        let known = measured.iter().filter_map(|measured| measured.about.as_ref()?.max_runs).max();
        self.rules.max_runs = known.unwrap_or(self.rules.max_runs);
    }

    /// The load, by flag, `perf.toml`, and what Locust itself would read.
    pub fn settle(&self) -> Result<Settings> {
        let flags = self.flags;
        let is_starter = |service: &ServiceConfig| service.command.contains(PLACEHOLDER);
        ensure!(
            !self.config.service.as_ref().is_some_and(is_starter),
            "perf.toml: [service] `command` is still the starter's: say there how your service is started"
        );
        let locust = locust_settings(&self.root)?;
        let mut settings = settle(&flags.load, &flags.locust_args, &self.config, &locust)?;
        let base = if flags.load.locustfile.is_some() { &self.current_dir } else { &self.root };
        settings.locustfile = self.find_locustfile(&settings.locustfile, base)?;
        Ok(settings)
    }

    /// Like Locust, takes several files with commas between, and folders; the files come back relative to the root,
    /// where Locust runs.
    fn find_locustfile(&self, locustfile: &str, base: &Path) -> Result<String> {
        let mut found = Vec::new();
        for part in locustfile.split(',').map(str::trim) {
            let path = base.join(part);
            ensure!(
                path.exists(),
                "there is no locustfile {}: write one, or name it with --locustfile FILE",
                self.shown(&path)
            );
            if path.is_dir() {
                let files = locustfiles_below(&path)?;
                ensure!(!files.is_empty(), "there is no locustfile in the folder {}", self.shown(&path));
                found.extend(files.iter().map(|file| self.shown(file)));
            } else {
                found.push(self.shown(&path));
            }
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

/// As Locust finds them, which before 2.20 takes no folder beside our listener. Its order is that of the file system.
fn locustfiles_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !path.is_symlink() {
            found.extend(locustfiles_below(&path)?);
        } else if name.ends_with(".py") && !name.starts_with('_') && name != "locust.py" {
            found.push(path);
        }
    }
    Ok(found)
}

/// What Locust itself would read, run in `root`.
pub fn locust_settings(root: &Path) -> Result<LocustSettings> {
    let mut locust = LocustSettings::default();
    locust.add_env(
        env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
    );
    let home = env::home_dir().unwrap_or_default();
    for path in [root.join("pyproject.toml"), root.join("locust.conf"), home.join(".locust.conf")] {
        let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        if !path.exists() {
            continue;
        }
        // What Locust would read and this program cannot may change the run in silence.
        let text = files::read_to_string(&path)?;
        if path.extension().is_some_and(|extension| extension == "toml") {
            locust.add_pyproject(&shown, &text)?;
        } else {
            locust.add_conf(&shown, &text);
        }
    }
    Ok(locust)
}

pub fn read_config(path: &Path) -> Result<Config> {
    let text = files::read_to_string(path)?;
    // The error begins with its line: `perf.toml:3: ...`.
    Config::parse(&text).map_err(|error| anyhow!("{}{error:#}", path.display()))
}
