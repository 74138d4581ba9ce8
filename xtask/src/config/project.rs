//! The project that a command runs in.

use std::cell::OnceCell;
use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result, anyhow, ensure};
use judge::baseline::file::Baseline;
use judge::model::limits::Rules;
use judge::model::run::Provenance;
use judge::model::text::foreign;
use judge::parse::other_files::refuse_as_baseline;
use report::formats::{github, terminal};
use xshell::Shell;

use crate::config::flags::{Against, PerfFlags};
use crate::config::locust_conf::LocustConf;
use crate::config::paths::Paths;
use crate::config::perf_toml::{Config, ServiceConfig};
use crate::config::settings::{RunRange, Settings, settle};
use crate::sys::clock::Clock;
use crate::sys::git::{self, Head, UNKNOWN_COMMIT};
use crate::sys::machine::timestamp;
use crate::sys::screen::screen;
use crate::sys::session::{RunsMade, SessionFile};
use crate::sys::{file_versions, files, printer, version, worktree};

/// The command in a starter's `perf.toml`, which its owner is to replace.
const PLACEHOLDER: &str = "./my-service";

/// The digest of a starter's `locustfile.py`, which its owner is to edit.
pub const STARTER: &str = "4b0da689a243119e8d9614dad45bdd22b1ca1dcf";

pub(crate) struct Project<'a> {
    pub clock: Clock,
    pub flags: &'a PerfFlags,
    pub paths: &'a Paths,
    pub baseline: PathBuf,
    pub shell: Shell,
    pub config: Config,
    pub rules: Rules,
    pub baseline_runs: usize,
    pub head: Head,
    baseline_digest: OnceCell<String>,
}

impl<'a> Project<'a> {
    pub fn read(flags: &'a PerfFlags, paths: &'a Paths) -> Result<Project<'a>> {
        let clock = Clock::start();
        let shell = Shell::new()?;
        shell.change_dir(&paths.root);
        let config = Config::read(&paths.config, flags.files.config.is_some())?;
        let baseline = paths.baseline(&flags.files, &config.baseline.file);
        let mut own_files: Vec<PathBuf> =
            flags.files.reports.iter().map(|report| paths.current_dir.join(report)).collect();
        own_files.push(baseline.clone());
        let head = git::head(&shell, &own_files)?;
        let RunRange { min: min_runs, max: max_runs, baseline: baseline_runs } = RunRange::settle(flags, config.runs);
        let rules = Rules {
            limits: config.limits.clone(),
            endpoint_limits: config.endpoint_limits.clone(),
            accepted: config.accepted.clone(),
            strict: flags.strict,
            paired: flags.makes_rounds(),
            min_runs,
            max_runs,
            max_noisy_rounds: match (&flags.against, flags.load.max_runs) {
                (Against::Rev(_), None) => RunRange::NOISY_ROUNDS,
                _ => max_runs,
            },
            is_complete: false,
            min_requests: config.load.min_requests,
            inconclusive: config.runs.inconclusive,
        };
        Ok(Project {
            clock,
            flags,
            paths,
            baseline,
            shell,
            config,
            rules,
            baseline_runs,
            head,
            baseline_digest: OnceCell::new(),
        })
    }

    pub fn read_baseline(&self) -> Result<Option<Baseline>> {
        let path = &self.baseline;
        let _ = self.baseline_digest.set(digest_of_file(path));
        if !files::exists(path) {
            return Ok(None);
        }
        let shown = self.shown(path);
        ensure!(
            self.flags.update_baseline || file_versions::in_index(&self.shell, path, "--unmerged").is_empty(),
            "{shown}: merge conflict: neither side's baseline applies to the merged code: take one (`git checkout --ours {shown} && git add {shown}`), finish the merge, and measure again with --update-baseline"
        );
        let text = files::read_to_string(path)?;
        refuse_as_baseline(&text).with_context(|| shown.clone())?;
        let next = "restore it from git, or delete it and record a new baseline";
        Baseline::parse(&text).map(Some).map_err(|error| anyhow!("{shown}: {error:#}; {next}"))
    }

    /// Why git knows no commit here, if there is a repository.
    pub fn git_refusal(&self) -> Option<String> {
        if self.head.commit == UNKNOWN_COMMIT { git::refusal(&self.shell) } else { None }
    }

    pub fn record_runs(&self, made: RunsMade) -> Result<()> {
        self.paths.session.get().map_or(Ok(()), |session| SessionFile::record(session, made))
    }

    pub fn check_baseline_unchanged(&self) -> Result<()> {
        let path = &self.baseline;
        let is_unchanged = self.baseline_digest.get().is_none_or(|digest| *digest == digest_of_file(path));
        ensure!(
            is_unchanged,
            "{} was changed by another command since this one read it: run it again",
            self.shown(path)
        );
        Ok(())
    }

    /// As `.gitignore:3:*.json`; empty unless git ignores the baseline. A file that is committed already is not ignored.
    pub fn pattern_that_ignores_the_baseline(&self) -> String {
        let path = self.baseline.display().to_string();
        let answer = git::text(&self.shell, &["check-ignore", "--verbose", "--", &path]);
        answer.split('\t').next().unwrap_or_default().to_owned()
    }

    /// Names a baseline that git has, while this tree has none: in a sparse checkout, or deleted by hand.
    pub fn baseline_in_git(&self) -> Option<String> {
        let path = &self.baseline;
        let with_tag = file_versions::in_index(&self.shell, path, "-t");
        if with_tag.is_empty() {
            return None;
        }
        let shown = self.shown(path);
        // A sparse checkout leaves it out.
        let sparse = if with_tag.starts_with("S ") { "--ignore-skip-worktree-bits " } else { "" };
        Some(format!(
            "{shown} is in git but not in the working tree: to compare with it, run `git restore {sparse}{shown}`"
        ))
    }

    pub fn inputs(&self) -> Vec<PathBuf> {
        let mut inputs = self.paths.inputs(self.flags);
        inputs.push(self.baseline.clone());
        inputs.extend(self.config.locust.requirements.iter().map(|requirement| self.paths.root.join(requirement)));
        // A configuration that cannot be read is an error once the load is settled.
        let locust = LocustConf::read(&self.paths.root).unwrap_or_default();
        inputs.extend(self.named_locustfiles(&locust));
        inputs
    }

    pub fn settle(&self) -> Result<Settings> {
        let flags = self.flags;
        let is_starter = self.config.service.as_ref().is_some_and(|service| service.command.contains(PLACEHOLDER));
        ensure!(
            !is_starter,
            "perf.toml: [service] `command` still contains the placeholder: set it to the command that starts your service"
        );
        let locust = LocustConf::read(&self.paths.root)?;
        let settings = settle(&flags.load, &flags.locust_args, &self.config, &locust)?;
        let named = self.named_locustfiles(&locust);
        let locustfiles = self.find_locustfiles(&named)?;
        self.refuse_starter(&locustfiles)?;
        Ok(Settings { locustfiles, locustfile_path: self.path_to_record(&named).unwrap_or_default(), ..settings })
    }

    /// Refuses a locustfile that nobody has edited since it was made, because it loads a page that the service may not have.
    fn refuse_starter(&self, locustfiles: &[String]) -> Result<()> {
        for file in locustfiles {
            let is_starter =
                files::read(&self.paths.root.join(file)).is_ok_and(|text| git::blob_hash(&text) == STARTER);
            ensure!(!is_starter, "{file} is still the example: replace it with what the users of your service do");
        }
        Ok(())
    }

    /// The files and folders as they are named, separated by commas: by a flag from the user's folder, by a file from the root.
    fn named_locustfiles(&self, locust: &LocustConf) -> Vec<PathBuf> {
        let Paths { current_dir, root, .. } = self.paths;
        let (base, named) = match (&self.flags.load.locustfile, &self.config.load.locustfile) {
            (Some(by_flag), _) => (current_dir, by_flag.to_string_lossy().into_owned()),
            (None, Some(by_config)) => (root, by_config.clone()),
            (None, None) => (root, locust.text("locustfile").unwrap_or("locustfile.py").to_owned()),
        };
        named.split(',').map(|part| base.join(part.trim())).collect()
    }

    /// The locustfiles as a baseline names them, from the root: a folder stands for its files. `None` if one lies
    /// elsewhere.
    fn path_to_record(&self, named: &[PathBuf]) -> Option<String> {
        let root = fs::canonicalize(&self.paths.root).ok()?;
        let mut from_root = Vec::new();
        for path in named {
            from_root.push(fs::canonicalize(path).ok()?.strip_prefix(&root).ok()?.display().to_string());
        }
        Some(from_root.join(","))
    }

    /// The result is relative to the root, where Locust runs.
    fn find_locustfiles(&self, named: &[PathBuf]) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for path in named {
            ensure!(path.exists(), "locustfile {} not found: create it, or pass --locustfile FILE", self.shown(path));
            if path.is_dir() {
                let files = locustfiles_below(path)?;
                ensure!(!files.is_empty(), "no locustfile in the folder {}", self.shown(path));
                found.extend(files.iter().map(|file| self.shown(file)));
            } else {
                found.push(self.shown(path));
            }
        }
        Ok(found)
    }

    pub fn service(&self, settings: &Settings) -> Option<&ServiceConfig> {
        self.config.service.as_ref().filter(|_| settings.starts_service)
    }

    pub fn folder_of_checkouts(&self) -> Result<PathBuf> {
        worktree::folder_of_checkouts(&self.shell, self.config.against.folder.as_deref())
    }

    pub fn shown(&self, path: &Path) -> String {
        self.paths.shown(path)
    }

    /// Prints a line of progress, unless `--quiet` is given. It may quote what others wrote.
    pub fn say(&self, line: &str) {
        if !self.flags.quiet {
            let text = terminal::wrapped(&foreign(line), screen(&io::stderr()));
            printer::progress(&text);
        }
    }

    pub fn fold(&self, title: &str, log: &str) {
        if !self.flags.quiet {
            // Whatever the log holds, it cannot hold the word that makes the runner listen to commands again.
            let word = format!("{:016x}", RandomState::new().build_hasher().finish());
            printer::progress(&format!("{}\n", github::group(title, log, &word)));
        }
    }

    /// The provenance that all runs of this command share.
    pub fn provenance(&self) -> Provenance {
        Provenance {
            timestamp: timestamp(SystemTime::now()),
            commit: self.head.commit.clone(),
            dirty: !self.head.dirty_files.is_empty(),
            gate: version::text(),
            ..Provenance::default()
        }
    }
}

/// Empty if the file cannot be read.
fn digest_of_file(path: &Path) -> String {
    files::read(path).map(|bytes| git::blob_hash(&bytes)).unwrap_or_default()
}

/// Finds the locustfiles of a folder as Locust does. Before 2.20 Locust takes no folder beside our listener, and its order is
/// the file system's.
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
