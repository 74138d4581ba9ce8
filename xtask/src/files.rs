//! Files on disk: written whole or not at all, and the folders under `target/perf`.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};

use crate::process::pause;

/// Folders of finished commands that are kept, the newest first.
const KEPT: usize = 10;

/// A file that is read whole is at most so large: a result of 100,000 endpoints takes 15 MB, and what is read takes several
/// times its size in memory.
const MOST_BYTES: u64 = 64_000_000;

/// A part of a file of any size, as of a log.
const PART_BYTES: u64 = 1 << 20;

/// Reads a file whole, and refuses one that does not end, or that is too large for anything of ours.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let read = || -> Result<Vec<u8>> {
        let metadata = fs::metadata(path)?;
        // To open a pipe waits for somebody who writes into it.
        ensure!(metadata.is_file() || metadata.is_dir(), "it is a pipe or a device, no file");
        let mut bytes = Vec::new();
        if metadata.len() <= MOST_BYTES {
            // It may grow meanwhile.
            File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
        }
        let length = metadata.len().max(bytes.len() as u64);
        ensure!(
            length <= MOST_BYTES,
            "it holds {} MB, and nothing that the gate reads has more than {}: name another file",
            length.div_ceil(1_000_000),
            MOST_BYTES / 1_000_000
        );
        Ok(bytes)
    };
    read().with_context(|| format!("cannot read {}", path.display()))
}

pub fn read_to_string(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?).ok().with_context(|| format!("cannot read {}: it is not UTF-8", path.display()))
}

/// What stands in a file from `offset` on, at most [`PART_BYTES`]; nothing where it cannot be read.
pub fn read_part(path: &Path, offset: u64) -> Vec<u8> {
    let mut part = Vec::new();
    let read = |mut file: File| {
        file.seek(SeekFrom::Start(offset))?;
        file.take(PART_BYTES).read_to_end(&mut part)
    };
    let _: io::Result<usize> = File::open(path).and_then(read);
    part
}

/// The last [`PART_BYTES`] of a log of any size.
pub fn tail(log: &Path) -> String {
    let offset = length(log).saturating_sub(PART_BYTES);
    String::from_utf8_lossy(&read_part(log, offset)).into_owned()
}

pub fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// A log of any size that is read while it grows, each line of it once.
pub struct Follower {
    log: PathBuf,
    offset: u64,
}

impl Follower {
    pub fn new(log: PathBuf) -> Follower {
        Follower { log, offset: 0 }
    }

    /// The next lines, empty where there are none yet; a line without an end comes alone.
    pub fn next_lines(&mut self) -> Vec<u8> {
        let mut part = read_part(&self.log, self.offset);
        if let Some(end) = part.iter().rposition(|byte| *byte == b'\n') {
            part.truncate(end + 1);
        }
        self.offset += part.len() as u64;
        part
    }

    /// Whether one of the lines to come holds one of these words.
    pub fn finds(mut self, words: &[&str]) -> bool {
        loop {
            let lines = self.next_lines();
            let text = String::from_utf8_lossy(&lines);
            if text.is_empty() || words.iter().any(|word| text.contains(word)) {
                return !text.is_empty();
            }
        }
    }
}

/// Writes a file whole: a reader or a crash meets the former file or the new one, never half of one. A link stays one.
pub fn write_atomically(path: &Path, text: &str) -> Result<()> {
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let temporary = temporary_beside(path);
    let write = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        // The rename itself is on disk only when its folder is.
        File::open(folder_of(path))?.sync_all()
    };
    write().with_context(|| {
        let _ = fs::remove_file(&temporary);
        format!("cannot write {}, it is left as it was", path.display())
    })
}

/// Finds out before the load whether [`write_atomically`] can work.
pub fn check_writable(path: &Path) -> Result<()> {
    if path.is_dir() {
        bail!("cannot write {}: it is a folder", path.display());
    }
    let temporary = temporary_beside(path);
    let written = fs::write(&temporary, "probe");
    let _ = fs::remove_file(&temporary);
    written.with_context(|| format!("cannot write {}", path.display()))
}

fn temporary_beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.tmp", process::id()))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Waits for the lock file's lock, up to `timeout`; the lock is held as long as the file is open.
pub fn lock(path: &Path, timeout: Duration) -> Result<File> {
    wait_for_lock(path, timeout, File::try_lock)
}

/// The same, beside others who hold it shared.
pub fn lock_shared(path: &Path, timeout: Duration) -> Result<File> {
    wait_for_lock(path, timeout, File::try_lock_shared)
}

fn wait_for_lock(path: &Path, timeout: Duration, take: fn(&File) -> Result<(), TryLockError>) -> Result<File> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let deadline = Instant::now() + timeout;
    loop {
        match take(&file) {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => pause()?,
            Err(TryLockError::WouldBlock) => {
                bail!("another process holds {} for over {} s", path.display(), timeout.as_secs())
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
    }
}

/// The folder of one command under `target/perf`, which holds a folder a run. It is locked while the command runs.
pub struct Session {
    pub folder: PathBuf,
    _lock: File,
}

impl Session {
    /// Makes the folder, lets `latest` point to it, and removes what is older than the last [`KEPT`].
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

    /// The folder that the command with this process id left; of an id that was given out twice the newer one's.
    pub fn folder_of(perf_folder: &Path, id: u32) -> Option<PathBuf> {
        let entries = fs::read_dir(perf_folder.join("runs")).ok()?;
        let folders = entries.filter_map(|entry| Some(entry.ok()?.path()));
        folders.filter(|folder| folder.to_string_lossy().ends_with(&format!("Z-{id}"))).max()
    }

    /// The folder of one run, such as `run-1`.
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
        .with_context(|| format!("cannot let {} point to the new run", latest.display()))
}

/// What cannot be removed now is met again by the next command; what is locked is in use.
fn prune(newest: &Path) {
    let Ok(entries) = fs::read_dir(folder_of(newest)) else { return };
    let mut folders: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    // A later name than the newest folder's is of a clock that was set back since; it would never grow old.
    folders.sort_by_cached_key(|folder| (**folder <= *newest, folder.clone()));
    for folder in folders.iter().rev().skip(KEPT) {
        if lock(&folder.join(".lock"), Duration::ZERO).is_ok() {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// The result files that a path stands for: itself, or those of the runs in a folder.
pub fn result_files(path: &Path) -> Result<Vec<PathBuf>> {
    const NAME: &str = "perf_results_stats.csv";
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let direct = path.join(NAME);
    if direct.is_file() {
        return Ok(vec![direct]);
    }
    let entries = fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut runs: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path().join(NAME))).filter(|file| file.is_file()).collect();
    // run-2 before run-10.
    runs.sort_by_key(|file| (file.as_os_str().len(), file.clone()));
    if runs.is_empty() {
        let newest =
            newest_finished(path).map_or_else(String::new, |newest| format!("; the newest is {}", newest.display()));
        bail!(
            "{}: there is no finished run in this folder, no {NAME} in it or one level below{newest}",
            path.display()
        );
    }
    Ok(runs)
}

/// Of the folders of commands beside this one, as when `latest` is of a command that failed.
fn newest_finished(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(fs::canonicalize(folder).ok()?.parent()?).ok()?;
    let folders = entries.filter_map(|entry| Some(entry.ok()?.path()));
    folders.filter(|folder| folder.join("run-1/run.json").is_file()).max()
}
