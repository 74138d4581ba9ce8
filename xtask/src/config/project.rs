//! The repository where the command runs, and what flags and files say.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use judge::baseline::file::Baseline;
use judge::model::day::Day;
use judge::model::limits::Rules;
use judge::model::run::Provenance;
use report::formats::terminal;
use xshell::Shell;

use crate::config::flags::Perf;
use crate::config::settings::{Config, LocustSettings, RunRange, ServiceConfig, Settings, settle};
use crate::run::results::{self, Measured};
use crate::sys::file_versions;
use crate::sys::files::{self, Identity};
use crate::sys::git::{self, Head};
use crate::sys::screen::screen;
use crate::sys::version;
use crate::sys::worktree;

/// The command in a starter's `perf.toml`, which its owner is to replace.
pub const PLACEHOLDER: &str = "./my-service";

/// The digest of a starter's `locustfile.py`, which its owner is to edit.
pub const STARTER: &str = "940273c4f643f5d673c780db47493dc84c9f9979";

/// The repository where the command runs, and what flags and files say.
pub struct Project<'a> {
    /// The flags.
    pub flags: &'a Perf,
    /// Runs commands in the root.
    pub shell: Shell,
    /// The root of the user's repository.
    pub root: PathBuf,
    /// The folder where the user is: the paths on the command line are relative to it.
    current_dir: PathBuf,
    /// The configuration.
    pub config: Config,
    /// The rules that the runs of this command are judged by.
    pub rules: Rules,
    /// The number of runs of a new baseline.
    pub baseline_runs: usize,
    /// The path of the baseline.
    pub baseline_path: PathBuf,
    /// The commit that is checked out, where git knows one.
    pub head: Option<Head>,
}

/// The runs of a command with `--against`.
pub struct Rounds {
    /// The runs of this tree.
    pub candidate: Vec<Measured>,
    /// The runs of the other commit.
    pub baseline: Vec<Measured>,
}

impl Project<'_> {
    /// Finds the root, and reads the configuration.
    ///
    /// # Errors
    ///
    /// Names the file, the line and the key that cannot be read.
    pub fn read(flags: &Perf) -> Result<Project<'_>> {
        let shell = Shell::new()?;
        let current_dir = shell.current_dir();
        let root = git::root(&current_dir).to_owned();
        shell.change_dir(&root);
        let config_path = flags.config.as_ref().map(|path| current_dir.join(path));
        let config = match config_path {
            Some(path) => read_config(&path)?,
            None if root.join("perf.toml").exists() => read_config(&root.join("perf.toml"))?,
            None => Config::parse("")?,
        };
        let baseline_path =
            flags.baseline.as_ref().map_or_else(|| root.join("perf_baseline.json"), |path| current_dir.join(path));
        let head = git::head(&shell)?;
        let RunRange { min: min_runs, max: max_runs, baseline: baseline_runs } = RunRange::settle(flags, config.runs);
        let rules = Rules {
            limits: config.limits.clone(),
            endpoint_limits: config.endpoint_limits.clone(),
            accepted: config.accepted.iter().map(|accepted| accepted.on(today())).collect(),
            strict: flags.strict,
            paired: flags.against.is_some(),
            min_runs,
            max_runs,
        };
        Ok(Project { flags, shell, root, current_dir, config, rules, baseline_runs, baseline_path, head })
    }

    /// Reads the baseline; `None` where there is no file.
    ///
    /// # Errors
    ///
    /// Names the file and what is wrong with it.
    pub fn read_baseline(&self) -> Result<Option<Baseline>> {
        if !self.baseline_path.exists() {
            return Ok(None);
        }
        let shown = self.shown(&self.baseline_path);
        ensure!(
            self.flags.update_baseline || !file_versions::is_unmerged(&self.shell, &self.baseline_path),
            "{shown}: a merge left both sides of it to you, and neither holds for the merged tree: take one (`git checkout --ours {shown} && git add {shown}`), finish the merge, and measure again with --update-baseline"
        );
        let text = files::read_to_string(&self.baseline_path)?;
        let next = "restore it from git, or delete it and record a new baseline";
        let named = |error| anyhow!("{shown}: {error:#}; {next}");
        Baseline::parse(&text).map(Some).map_err(named)
    }

    /// Reads RESULTS.
    ///
    /// # Errors
    ///
    /// Names the file that cannot be read or judged.
    pub fn read_results(&self) -> Result<Vec<Measured>> {
        let mut measured = Vec::new();
        for path in &self.flags.results {
            measured.extend(results::read_all(&self.current_dir.join(path))?);
        }
        self.refuse_repeated(&measured)?;
        Ok(measured)
    }

    /// Refuses a file that appears twice, also under another name: it would count as two runs that agree to the last bit,
    /// and hide the noise.
    fn refuse_repeated(&self, measured: &[Measured]) -> Result<()> {
        let mut seen: HashMap<&str, &Path> = HashMap::new();
        for Measured { path, digest, .. } in measured {
            if let Some(former) = seen.insert(digest, path) {
                let (path, former) = (self.shown(path), self.shown(former));
                bail!("{path} is the same result as {former}: name each run once");
            }
        }
        Ok(())
    }

    /// Reads the rounds that lie in `below`, where RESULTS are the folder of a command and no baseline is asked for: those
    /// of `--against` in the folder itself, and those that confirmed a FAIL in `confirm`.
    ///
    /// # Errors
    ///
    /// Names the file that cannot be read or judged.
    pub fn read_rounds(&self, below: &[&str]) -> Result<Option<Rounds>> {
        let [folder] = &self.flags.results[..] else { return Ok(None) };
        let folder = below.iter().fold(self.current_dir.join(folder), |folder, name| folder.join(name));
        let other = folder.join("against");
        if !other.is_dir() || self.flags.baseline.is_some() || self.flags.update_baseline {
            return Ok(None);
        }
        Ok(Some(Rounds { candidate: results::read_all(&folder)?, baseline: results::read_all(&other)? }))
    }

    /// Returns the rules for results that were measured earlier: with the number of runs that their command would have
    /// made.
    pub fn rules_for(&self, measured: &[Measured]) -> Rules {
        let known = measured.iter().filter_map(|measured| measured.about.as_ref()?.max_runs).max();
        Rules { max_runs: known.unwrap_or(self.rules.max_runs), ..self.rules.clone() }
    }

    /// Settles the load: by flag, `perf.toml`, and Locust's own configuration.
    ///
    /// # Errors
    ///
    /// Names the setting that makes no sense, or the locustfile that is not found.
    pub fn settle(&self) -> Result<Settings> {
        let flags = self.flags;
        let is_starter = self.config.service.as_ref().is_some_and(|service| service.command.contains(PLACEHOLDER));
        ensure!(
            !is_starter,
            "perf.toml: [service] `command` is still the example: replace it with the command that starts your service"
        );
        let locust = locust_settings(&self.root)?;
        let mut settings = settle(&flags.load, &flags.locust_args, &self.config, &locust)?;
        let base = if flags.load.locustfile.is_some() { &self.current_dir } else { &self.root };
        settings.locustfile = self.find_locustfile(&settings.locustfile, base)?;
        self.refuse_starter(&settings.locustfile)?;
        Ok(settings)
    }

    /// Refuses a locustfile that nobody has edited since it was made: it would load a page that the service may not have.
    fn refuse_starter(&self, locustfiles: &str) -> Result<()> {
        for part in locustfiles.split(',') {
            let is_starter = files::read(&self.root.join(part)).is_ok_and(|text| git::blob_hash(&text) == STARTER);
            ensure!(!is_starter, "{part} is still the example: replace it with what the users of your service do");
        }
        Ok(())
    }

    /// Finds the locustfiles. Like Locust it takes several files with commas between, and folders. The files come back
    /// relative to the root, where Locust runs.
    fn find_locustfile(&self, locustfile: &str, base: &Path) -> Result<String> {
        let mut found = Vec::new();
        for part in locustfile.split(',').map(str::trim) {
            let path = base.join(part);
            ensure!(path.exists(), "locustfile {} not found: create it, or pass --locustfile FILE", self.shown(&path));
            if path.is_dir() {
                let files = locustfiles_below(&path)?;
                ensure!(!files.is_empty(), "no locustfile in the folder {}", self.shown(&path));
                found.extend(files.iter().map(|file| self.shown(file)));
            } else {
                found.push(self.shown(&path));
            }
        }
        Ok(found.join(","))
    }

    /// Returns the service that is started for each run; `None` where one runs already.
    pub fn service(&self, settings: &Settings) -> Option<&ServiceConfig> {
        if settings.starts_service { self.config.service.as_ref() } else { None }
    }

    /// Returns the folder of everything that commands leave behind.
    pub fn perf_folder(&self) -> PathBuf {
        self.root.join("target/perf")
    }

    /// Returns the folder of the checkouts of other commits.
    ///
    /// # Errors
    ///
    /// Says that there is no place for one.
    pub fn folder_of_checkouts(&self) -> Result<PathBuf> {
        worktree::folder_of_checkouts(&self.shell, self.config.against.folder.as_deref())
    }

    /// Returns a path as short as it can be shown.
    pub fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }

    /// Prints a line of progress, unless the user wants quiet.
    pub fn say(&self, line: &str) {
        if !self.flags.quiet {
            // Progress that cannot be shown is no reason to end a measurement.
            let text = terminal::wrapped(line, screen(&io::stderr()));
            let _ = write!(anstream::stderr(), "{text}");
        }
    }

    /// Returns what is known of any measurement that is made now.
    pub fn provenance(&self) -> Provenance {
        Provenance {
            timestamp: now(),
            commit: self.head.as_ref().map_or_else(|| "unknown".to_owned(), |head| head.commit.clone()),
            dirty: self.head.as_ref().is_some_and(|head| head.dirty),
            gate: Some(version::text()),
            ..Provenance::default()
        }
    }
}

/// Returns the time as RFC 3339 writes it, in UTC.
fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// Returns the day that is today in UTC.
pub fn today() -> Day {
    Day::of_timestamp(&now()).expect("a time begins with its day")
}

/// Returns the file which the command reads, as far as flags and `perf.toml` tell, that a report of this name would replace.
pub fn input_behind(flags: &Perf, report: &Path) -> Option<PathBuf> {
    let identity = Identity::of(report)?;
    let current_dir = env::current_dir().unwrap_or_default();
    let input =
        inputs(flags, &current_dir).into_iter().find(|input| Identity::of(input).as_ref() == Some(&identity))?;
    let root = fs::canonicalize(git::root(&current_dir)).unwrap_or_default();
    let shown = input.strip_prefix(root).or(input.strip_prefix(&current_dir)).unwrap_or(&input);
    Some(shown.to_owned())
}

/// Returns the files that the command reads. A configuration that cannot be read names none.
fn inputs(flags: &Perf, current_dir: &Path) -> Vec<PathBuf> {
    let root = git::root(current_dir);
    let at_root = |name: &str| root.join(name);
    let given = |path: &Option<PathBuf>, name: &str| path.as_ref().map_or(at_root(name), |path| current_dir.join(path));
    let config_path = given(&flags.config, "perf.toml");
    let config = read_config(&config_path).unwrap_or_default();
    let mut inputs = vec![given(&flags.baseline, "perf_baseline.json"), config_path];
    inputs.extend(["pyproject.toml", "locust.conf"].map(at_root));
    inputs.extend(config.locust.requirements.iter().map(|requirement| at_root(requirement)));
    let locust = locust_settings(root).unwrap_or_default();
    match (settle(&flags.load, &flags.locust_args, &config, &locust), &flags.load.locustfile) {
        (_, Some(file)) => inputs.push(current_dir.join(file)),
        (Ok(settings), None) => inputs.extend(settings.locustfile.split(',').map(|part| at_root(part.trim()))),
        (Err(_), None) => inputs.push(at_root("locustfile.py")),
    }
    for results in &flags.results {
        let results = current_dir.join(results);
        for folder in [results.join("against"), results] {
            for file in files::result_files(&folder).unwrap_or_default() {
                inputs.extend(["perf_results.json", "run.json"].map(|name| file.with_file_name(name)));
                inputs.push(file);
            }
        }
    }
    inputs
}

/// Finds the locustfiles of a folder as Locust does, which before 2.20 takes no folder beside our listener. Locust's order
/// is that of the file system.
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

/// Returns the settings that Locust itself would read in `root`.
///
/// # Errors
///
/// Names the file that cannot be read.
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
        // A file that Locust reads and this program cannot may change the run unnoticed.
        let text = files::read_to_string(&path)?;
        if path.extension().is_some_and(|extension| extension == "toml") {
            locust.add_pyproject(&shown, &text)?;
        } else {
            locust.add_conf(&shown, &text);
        }
    }
    Ok(locust)
}

/// Reads a `perf.toml`.
///
/// # Errors
///
/// Names the file, the line and what is wrong there.
pub fn read_config(path: &Path) -> Result<Config> {
    let text = files::read_to_string(path)?;
    // The error begins with its line: `perf.toml:3: ...`.
    Config::parse(&text).map_err(|error| anyhow!("{}{error:#}", path.display()))
}
