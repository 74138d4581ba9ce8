//! The folders of commands under `target/perf`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use judge::parse::strict_json;
use serde::{Deserialize, Serialize};

use crate::sys::files::{self, folder_of, temporary_beside};
use crate::sys::lock::lock;
use crate::sys::machine::timestamp;

/// Folders of finished commands.
const KEPT: usize = 10;

const LOCK: &str = ".lock";

/// The folder of one command, with a folder for each run. It is locked while the command runs.
pub struct Session {
    pub folder: PathBuf,
    _lock: File,
}

/// The file `session.json`, by which a verdict belongs to a command that reached it. A folder of runs that somebody
/// collected has none.
#[derive(Debug, Serialize, Deserialize)]
pub struct SessionFile {
    command: String,
    /// Whether all runs were made that the verdict needs.
    is_complete: bool,
    /// Why a FAIL was not confirmed that was to be.
    pub not_confirmed: Option<String>,
}

/// The runs that a command has made, of those that its verdict needs.
#[derive(PartialEq)]
pub(crate) enum RunsMade {
    Part,
    All,
    /// All, but none of those that were to confirm its FAIL, for this reason.
    WithoutConfirmation(String),
}

impl SessionFile {
    const NAME: &str = "session.json";

    fn read(folder: &Path) -> Result<SessionFile> {
        let path = folder.join(SessionFile::NAME);
        let text = files::read_to_string(&path)?;
        serde_json::from_str(&text).map_err(|error| anyhow!("{}: {}", path.display(), strict_json::fault(&error)))
    }

    /// Reads the file of a folder, and refuses the runs of a command that has not reached a verdict.
    pub fn read_ended(folder: &Path) -> Result<Option<SessionFile>> {
        if !files::exists(&folder.join(SessionFile::NAME)) {
            return Ok(None);
        }
        let file = SessionFile::read(folder)?;
        if file.is_complete {
            return Ok(Some(file));
        }
        let (shown, command) = (folder.display(), &file.command);
        ensure!(!is_in_use(folder), "{shown}: `{command}` is still running: wait for its verdict");
        let newest = newest_complete(folder);
        let or =
            newest.map_or_else(String::new, |newest| format!(", or judge the newest with one: {}", newest.display()));
        bail!("{shown}: `{command}` ended without a verdict: run it again{or}")
    }

    pub(crate) fn record(folder: &Path, made: RunsMade) -> Result<()> {
        let file = SessionFile::read(folder)?;
        let is_complete = made != RunsMade::Part;
        let not_confirmed = if let RunsMade::WithoutConfirmation(why) = made { Some(why) } else { None };
        SessionFile { is_complete, not_confirmed, ..file }.write(folder)
    }

    fn write(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("cannot write session.json")?;
        files::write_atomically(&folder.join(SessionFile::NAME), &text)
    }
}

/// The newest folder with a verdict among its siblings.
fn newest_complete(folder: &Path) -> Option<PathBuf> {
    let is_complete = |folder: &PathBuf| SessionFile::read(folder).is_ok_and(|file| file.is_complete);
    files::entries(fs::canonicalize(folder).ok()?.parent()?).filter(is_complete).max()
}

fn is_in_use(folder: &Path) -> bool {
    let path = folder.join(LOCK);
    path.is_file() && lock(&path, Duration::ZERO).is_ok_and(|lock| lock.is_none())
}

impl Session {
    /// Points `latest` to the folder, and removes all but the last `KEPT` folders.
    pub fn create(perf_folder: &Path, command: &str) -> Result<Session> {
        let now = timestamp(SystemTime::now()).replace(':', "-");
        let name = format!("{now}-{}", process::id());
        let folder = perf_folder.join("runs").join(&name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let lock = lock(&folder.join(LOCK), Duration::from_secs(1))?;
        let lock = lock.with_context(|| format!("another process holds {}: run this again", folder.display()))?;
        let file = SessionFile { command: command.to_owned(), is_complete: false, not_confirmed: None };
        file.write(&folder)?;
        point_latest(perf_folder, &name)?;
        prune(&folder);
        Ok(Session { folder, _lock: lock })
    }

    pub fn folder_of(perf_folder: &Path, id: u32) -> Option<PathBuf> {
        let folders = files::entries(&perf_folder.join("runs"));
        folders.filter(|folder| folder.to_string_lossy().ends_with(&format!("Z-{id}"))).max()
    }

    pub fn run_folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }
}

fn point_latest(perf_folder: &Path, name: &str) -> Result<()> {
    let latest = perf_folder.join("latest");
    let is_link = latest.is_symlink() || !latest.is_dir();
    ensure!(is_link, "{} is a folder, perhaps of an artifact, and not our link: move it elsewhere", latest.display());
    let temporary = temporary_beside(&latest);
    let _ = fs::remove_file(&temporary);
    std::os::unix::fs::symlink(Path::new("runs").join(name), &temporary)
        .and_then(|()| fs::rename(&temporary, &latest))
        .inspect_err(|_| drop(fs::remove_file(&temporary)))
        .with_context(|| format!("cannot point {} to the new run", latest.display()))
}

/// Removes old folders as far as possible. Locked folders are in use.
fn prune(newest: &Path) {
    let mut folders: Vec<PathBuf> = files::entries(folder_of(newest)).collect();
    // A folder with a later name than the newest comes from a clock that was set back, and would never get old.
    folders.sort_by_cached_key(|folder| (**folder <= *newest, folder.clone()));
    for folder in folders.iter().rev().skip(KEPT) {
        if lock(&folder.join(LOCK), Duration::ZERO).is_ok_and(|lock| lock.is_some()) {
            let _ = fs::remove_dir_all(folder);
        }
    }
}
