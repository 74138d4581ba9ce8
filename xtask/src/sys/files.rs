//! Files on disk: bounded reads, atomic writes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// A result of 100,000 endpoints takes 15 MB, and several times as much memory while it is read.
const MAX_BYTES: u64 = 64_000_000;

/// Files of any size are read in parts of this size.
pub(crate) const PART_BYTES: u64 = 1 << 20;

const BROKEN_LINK: &str = "it is a broken link: remove it";
const NO_FILE: &str = "it is a pipe or a device, not a file";

/// The flag of `open(2)` with which opening a FIFO does not wait for its other end.
const O_NONBLOCK: i32 = if cfg!(target_os = "linux") { 0o4000 } else { 0x4 };

/// Whether a link leads nowhere, or around in a circle.
fn is_broken_link(path: &Path) -> bool {
    path.is_symlink() && fs::metadata(path).is_err()
}

/// Opens a file. A FIFO that took its place a moment ago is refused too, and does not block.
fn open(options: &mut OpenOptions, path: &Path) -> Result<File> {
    let file = options.custom_flags(O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    ensure!(metadata.is_file() || metadata.is_dir(), NO_FILE);
    Ok(file)
}

/// Reads no pipe, no device, and nothing that is too large for the gate.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let read = || -> Result<Vec<u8>> {
        let metadata = fs::metadata(path);
        ensure!(metadata.is_ok() || !is_broken_link(path), BROKEN_LINK);
        let metadata = metadata?;
        // Opening a device may have an effect.
        ensure!(metadata.is_file() || metadata.is_dir(), NO_FILE);
        let mut bytes = Vec::new();
        if metadata.len() <= MAX_BYTES {
            open(File::options().read(true), path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        }
        let length = metadata.len().max(bytes.len() as u64);
        ensure!(
            length <= MAX_BYTES,
            "it has {} MB, over the limit of {} MB: name another file",
            length.div_ceil(1_000_000),
            MAX_BYTES / 1_000_000
        );
        Ok(bytes)
    };
    read().with_context(|| format!("cannot read {}", path.display()))
}

pub fn read_to_string(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?)
        .ok()
        .with_context(|| format!("cannot read {}: it is not UTF-8: save it as UTF-8", path.display()))
}

/// Reads up to `PART_BYTES` of a file from `offset` on. A pipe, or a file that cannot be read, gives nothing.
pub fn read_part(path: &Path, offset: u64) -> Vec<u8> {
    let mut part = Vec::new();
    if !path.is_file() {
        return part;
    }
    if let Ok(mut file) = open(File::options().read(true), path)
        && file.seek(SeekFrom::Start(offset)).is_ok()
    {
        let _ = file.take(PART_BYTES).read_to_end(&mut part);
    }
    part
}

/// Whether there is a file or a folder of this name, or a link, which may lead nowhere. If the system does not tell, there
/// may be one, and reading it has the reason.
pub fn exists(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
    }
}

/// In bytes, 0 if there is no file.
pub fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Reads a log of any size while it grows, each line once.
pub struct Follower {
    log: PathBuf,
    offset: u64,
}

impl Follower {
    pub fn new(log: PathBuf) -> Follower {
        Follower { log, offset: 0 }
    }

    /// The next lines, if there are any yet. A line without an end comes alone.
    pub fn next_lines(&mut self) -> Vec<u8> {
        // A log that got too long was cut, and goes on from there.
        self.offset = self.offset.min(length(&self.log));
        let mut part = read_part(&self.log, self.offset);
        if let Some(end) = part.iter().rposition(|byte| *byte == b'\n') {
            part.truncate(end + 1);
        }
        self.offset += part.len() as u64;
        part
    }
}

/// The identity of a file: if two paths have the same one, writing to one replaces the other.
#[derive(Debug, PartialEq)]
pub enum Identity {
    Existing { device: u64, inode: u64 },
    New(PathBuf),
}

impl Identity {
    /// `None` if there can be no such file.
    pub fn of(path: &Path) -> Option<Identity> {
        if let Ok(metadata) = fs::metadata(path) {
            return Some(Identity::Existing { device: metadata.dev(), inode: metadata.ino() });
        }
        Some(Identity::New(fs::canonicalize(folder_of(path)).ok()?.join(path.file_name()?)))
    }
}

/// Follows links to the file that is to be replaced or made. Only a regular file may be replaced: as root, a rename would
/// replace a device.
fn replaceable(path: &Path) -> Result<PathBuf> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(fs::canonicalize(path)?),
        Ok(metadata) if metadata.is_dir() => bail!("it is a folder"),
        Ok(_) => bail!(NO_FILE),
        Err(_) if is_broken_link(path) => bail!(BROKEN_LINK),
        Err(_) => Ok(path.to_owned()),
    }
}

/// Opens a log or a lock to write at its end.
pub fn open_own(path: &Path) -> Result<File> {
    let opened = replaceable(path).and_then(|path| open(File::options().create(true).read(true).append(true), &path));
    opened.with_context(|| format!("cannot write {}", path.display()))
}

/// Writes a file by a rename, so that a reader, or a crash, meets the old file or the new one, never half of one. A link
/// stays a link.
pub fn write_atomically(path: &Path, text: &str) -> Result<()> {
    let not_written = || format!("cannot write {}, it is left as it was", path.display());
    let path = &replaceable(path).with_context(not_written)?;
    let temporary = temporary_beside(path);
    let write = || -> io::Result<()> {
        let mut file = create_new(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().with_context(|| {
        let _ = fs::remove_file(&temporary);
        not_written()
    })?;
    // The rename survives a power failure only after its folder is on disk. A folder that may not be listed cannot be synced,
    // and the file is replaced all the same.
    let _ = File::open(folder_of(path)).and_then(|folder| folder.sync_all());
    Ok(())
}

/// Replaces a file that an earlier process with our id may have left. Follows no link.
pub fn create_new(path: &Path) -> io::Result<File> {
    remove_stale(path);
    let _ = fs::remove_file(path);
    File::create_new(path)
}

pub fn check_writable(path: &Path) -> Result<()> {
    let not_written = || format!("cannot write {}", path.display());
    let temporary = temporary_beside(&replaceable(path).with_context(not_written)?);
    let written = create_new(&temporary).and_then(|mut file| file.write_all(b"probe"));
    let _ = fs::remove_file(&temporary);
    written.with_context(not_written)
}

pub fn temporary_beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.tmp", process::id()))
}

/// Removes the temporary files that killed commands left beside this one, for the same file.
fn remove_stale(temporary: &Path) {
    const OLD: Duration = Duration::from_secs(600);
    // `.perf_baseline.json.4711.tmp`.
    let id_of = |name: &str| {
        let (prefix, id) = name.strip_suffix(".tmp")?.rsplit_once('.')?;
        Some((prefix.to_owned(), id.parse::<i32>().ok()?))
    };
    let own = temporary.file_name().and_then(|name| id_of(name.to_str()?));
    let Some((prefix, own_id)) = own else { return };
    for entry in fs::read_dir(folder_of(temporary)).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some((other, id)) = name.to_str().and_then(id_of) else { continue };
        let is_running = || Pid::from_raw(id).is_none_or(|id| test_kill_process(id) != Err(Errno::SRCH));
        let modified = entry.metadata().and_then(|metadata| metadata.modified()).ok();
        // In a container, another one's processes cannot be seen.
        let is_old = || modified.and_then(|time| time.elapsed().ok()).is_some_and(|age| age > OLD);
        if other == prefix && id != own_id && is_old() && !is_running() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What is in a folder, as far as it can be read.
pub fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}

/// The statistics of a run, which our listener writes when the load is over.
pub const RESULTS: &str = "perf_results_stats.csv";

/// The file itself, or the files of the runs in a folder.
pub fn result_files(path: &Path) -> Result<Vec<PathBuf>> {
    const NAME: &str = RESULTS;
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let direct = path.join(NAME);
    if direct.is_file() {
        return Ok(vec![direct]);
    }
    let cannot_read = |path: &Path| format!("cannot read {}", path.display());
    let mut runs = Vec::new();
    for entry in fs::read_dir(path).with_context(|| cannot_read(path))? {
        let folder = entry?.path();
        let file = folder.join(NAME);
        if exists(&file) {
            fs::metadata(&file).with_context(|| cannot_read(&folder))?;
            runs.push(file);
        } else if folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("run-")) {
            let is_folder = fs::metadata(&folder).with_context(|| cannot_read(&folder))?.is_dir();
            ensure!(!is_folder, "{} has no {NAME}: that run failed or was cut short, run it again", folder.display());
        }
    }
    // run-2 comes before run-10.
    runs.sort_by_key(|file| (file.as_os_str().len(), file.clone()));
    if runs.is_empty()
        && let [first, others @ ..] = &stats_files(path)[..]
    {
        let Some(second) = others.first() else { return Ok(vec![first.clone()]) };
        bail!(
            "{}: it holds {} results, such as {} and {}: name the files to judge, or give each run its own folder with a {NAME}",
            path.display(),
            others.len() + 1,
            first.display(),
            second.display()
        );
    }
    ensure!(!runs.is_empty(), "{}: no finished run in this folder: no {NAME} in it or one level below", path.display());
    Ok(runs)
}

/// The statistics of Locust's `--csv` in a folder, whatever their prefix.
fn stats_files(folder: &Path) -> Vec<PathBuf> {
    let is_stats = |path: &PathBuf| path.is_file() && path.to_string_lossy().ends_with("_stats.csv");
    let mut files: Vec<PathBuf> = entries(folder).filter(is_stats).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipe_in_place_of_a_file_is_refused_without_waiting() {
        let folder = std::env::temp_dir().join(format!("locust-gate-pipe-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let pipe = folder.join("pipe");
        assert!(process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let error = |options: &mut OpenOptions| open(options, &pipe).unwrap_err().to_string();
        assert_eq!(error(File::options().read(true)), NO_FILE);
        assert_eq!(error(File::options().create(true).read(true).append(true)), NO_FILE);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn file_is_replaced_as_a_whole() {
        let folder = std::env::temp_dir().join(format!("locust-gate-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("file");
        write_atomically(&path, "the former text").unwrap();
        // A reader that has the former file open reads it to its end.
        let mut former = File::open(&path).unwrap();
        write_atomically(&path, "new").unwrap();
        let mut text = String::new();
        former.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), read_to_string(&path).unwrap().as_str()), ("the former text", "new"));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no temporary file is left");
        fs::remove_dir_all(&folder).unwrap();
    }
}
