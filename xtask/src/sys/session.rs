//! The folders of commands under `target/perf`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};

use crate::sys::files::{folder_of, temporary_beside};
use crate::sys::lock::lock;

/// Folders of finished commands.
const KEPT: usize = 10;

/// The folder of one command, with a folder for each run. It is locked while the command runs.
pub struct Session {
    pub folder: PathBuf,
    _lock: File,
}

impl Session {
    /// Also points `latest` to the new folder, and removes old ones.
    pub fn create(perf_folder: &Path) -> Result<Session> {
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string().replace(':', "-");
        let name = format!("{now}-{}", process::id());
        let folder = perf_folder.join("runs").join(&name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let lock = lock(&folder.join(".lock"), Duration::from_secs(1))?;
        point_latest(perf_folder, &name)?;
        prune(&folder);
        Ok(Session { folder, _lock: lock })
    }

    /// The newest folder of a command with this process id.
    pub fn folder_of(perf_folder: &Path, id: u32) -> Option<PathBuf> {
        let entries = fs::read_dir(perf_folder.join("runs")).ok()?;
        let folders = entries.filter_map(|entry| Some(entry.ok()?.path()));
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
    let temporary = temporary_beside(&latest);
    let _ = fs::remove_file(&temporary);
    std::os::unix::fs::symlink(Path::new("runs").join(name), &temporary)
        .and_then(|()| fs::rename(&temporary, &latest))
        .inspect_err(|_| drop(fs::remove_file(&temporary)))
        .with_context(|| format!("cannot point {} to the new run", latest.display()))
}

/// Removes old folders as far as possible. Locked folders are in use.
fn prune(newest: &Path) {
    let Ok(entries) = fs::read_dir(folder_of(newest)) else { return };
    let mut folders: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    // A folder with a later name than the newest comes from a clock that was set back, and would never get old.
    folders.sort_by_cached_key(|folder| (**folder <= *newest, folder.clone()));
    for folder in folders.iter().rev().skip(KEPT) {
        if lock(&folder.join(".lock"), Duration::ZERO).is_ok() {
            let _ = fs::remove_dir_all(folder);
        }
    }
}
