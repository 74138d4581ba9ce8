//! Files on disk: read within bounds, written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::fs::OFlags;

/// The size of a file that is read whole. A result of 100,000 endpoints takes 15 MB, and reading takes several times that
/// in memory.
const MAX_BYTES: u64 = 64_000_000;

/// The size of a part of a file of any size, such as a log.
const PART_BYTES: u64 = 1 << 20;

/// The error of a pipe or a device in the place of a file.
const NO_FILE: &str = "it is a pipe or a device, not a file";

/// Opens a file. A pipe that takes its place just before that is refused too, and holds nobody up: to open one waits for
/// whoever is at its other end, unless it is opened like this.
fn open(options: &mut OpenOptions, path: &Path) -> Result<File> {
    let file = options.custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    ensure!(metadata.is_file() || metadata.is_dir(), NO_FILE);
    Ok(file)
}

/// Reads a file whole.
///
/// # Errors
///
/// Names a file that cannot be read, that is a pipe or a device, or that is too large for anything that the gate reads.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let read = || -> Result<Vec<u8>> {
        let metadata = fs::metadata(path)?;
        // To open a device may do something.
        ensure!(metadata.is_file() || metadata.is_dir(), NO_FILE);
        let mut bytes = Vec::new();
        if metadata.len() <= MAX_BYTES {
            // It may grow meanwhile.
            open(File::options().read(true), path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        }
        let length = metadata.len().max(bytes.len() as u64);
        ensure!(
            length <= MAX_BYTES,
            "it has {} MB, and the gate reads no file of more than {} MB: name another file",
            length.div_ceil(1_000_000),
            MAX_BYTES / 1_000_000
        );
        Ok(bytes)
    };
    read().with_context(|| format!("cannot read {}", path.display()))
}

/// Reads a text file whole.
///
/// # Errors
///
/// Refuses what [`read`] refuses, and a file that is not UTF-8.
pub fn read_to_string(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?).ok().with_context(|| format!("cannot read {}: it is not UTF-8", path.display()))
}

/// Reads a file from `offset` on, at most `PART_BYTES`. A file that cannot be read gives nothing, nor does a pipe.
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

/// Returns the last `PART_BYTES` of a log of any size.
pub fn tail(log: &Path) -> String {
    let offset = length(log).saturating_sub(PART_BYTES);
    String::from_utf8_lossy(&read_part(log, offset)).into_owned()
}

/// Returns the length of a file in bytes, 0 where there is none.
pub fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Reads a log of any size while it grows, each line once.
pub struct Follower {
    log: PathBuf,
    offset: u64,
}

impl Follower {
    /// Starts at the beginning of the log.
    pub fn new(log: PathBuf) -> Follower {
        Follower { log, offset: 0 }
    }

    /// Returns the next lines, or nothing where there are none yet. A line without an end comes alone.
    pub fn next_lines(&mut self) -> Vec<u8> {
        let mut part = read_part(&self.log, self.offset);
        if let Some(end) = part.iter().rposition(|byte| *byte == b'\n') {
            part.truncate(end + 1);
        }
        self.offset += part.len() as u64;
        part
    }

    /// Returns the position of what comes next, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

/// The identity of a file: of two names that have the same one, writing to the one replaces the other.
#[derive(Debug, PartialEq)]
pub enum Identity {
    /// The file exists, whatever links lead to it.
    Existing {
        /// The device.
        device: u64,
        /// Its number on that device.
        inode: u64,
    },
    /// There is no file of this name yet, but there is its folder.
    New(PathBuf),
}

impl Identity {
    /// Finds the identity of the file that a path leads to; `None` where there cannot be one.
    pub fn of(path: &Path) -> Option<Identity> {
        if let Ok(metadata) = fs::metadata(path) {
            return Some(Identity::Existing { device: metadata.dev(), inode: metadata.ino() });
        }
        Some(Identity::New(fs::canonicalize(folder_of(path)).ok()?.join(path.file_name()?)))
    }
}

/// Returns the file that a path leads to, through links, where it may be replaced or made. Only a regular file may: as
/// root a rename replaces a device, too.
fn replaceable(path: &Path) -> Result<PathBuf> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(fs::canonicalize(path)?),
        Ok(metadata) if metadata.is_dir() => bail!("it is a folder"),
        Ok(_) => bail!(NO_FILE),
        Err(_) if path.is_symlink() => bail!("it is a broken link: remove it"),
        Err(_) => Ok(path.to_owned()),
    }
}

/// Opens a file of our own, such as a log or a lock, to read it and to write at its end. What it holds stays.
///
/// # Errors
///
/// Names a file that cannot be written, and a pipe or a device in its place.
pub fn open_own(path: &Path) -> Result<File> {
    let opened = replaceable(path).and_then(|path| open(File::options().create(true).read(true).append(true), &path));
    opened.with_context(|| format!("cannot write {}", path.display()))
}

/// Writes a file whole: a reader or a crash meets the former file or the new one, never half of one. A link stays a link.
///
/// # Errors
///
/// Names the file that cannot be written; it is left as it was.
pub fn write_atomically(path: &Path, text: &str) -> Result<()> {
    let not_written = || format!("cannot write {}, it is left as it was", path.display());
    let path = &replaceable(path).with_context(not_written)?;
    let temporary = temporary_beside(path);
    let write = || -> io::Result<()> {
        let mut file = create_new(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        // The rename itself is on disk only when its folder is.
        File::open(folder_of(path))?.sync_all()
    };
    write().with_context(|| {
        let _ = fs::remove_file(&temporary);
        not_written()
    })
}

/// Makes a file, in place of what an earlier process of our number may have left. It follows no link.
///
/// # Errors
///
/// Returns the system's error.
pub fn create_new(path: &Path) -> io::Result<File> {
    let _ = fs::remove_file(path);
    File::create_new(path)
}

/// Finds out before the load whether [`write_atomically`] can work.
///
/// # Errors
///
/// Names the file that could not be written.
pub fn check_writable(path: &Path) -> Result<()> {
    let not_written = || format!("cannot write {}", path.display());
    let temporary = temporary_beside(&replaceable(path).with_context(not_written)?);
    let written = create_new(&temporary).and_then(|mut file| file.write_all(b"probe"));
    let _ = fs::remove_file(&temporary);
    written.with_context(not_written)
}

/// Returns the path of a temporary file beside another one.
pub fn temporary_beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.tmp", process::id()))
}

/// Returns the folder that a file lies in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns the result files that a path stands for: itself, or those of the runs in a folder.
///
/// # Errors
///
/// Names a folder that holds no result, and the newest one beside it that does.
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
        bail!("{}: no finished run in this folder: no {NAME} in it or one level below{newest}", path.display());
    }
    Ok(runs)
}

/// Returns the newest folder of a finished command beside this one, for a `latest` of a command that failed.
fn newest_finished(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(fs::canonicalize(folder).ok()?.parent()?).ok()?;
    let folders = entries.filter_map(|entry| Some(entry.ok()?.path()));
    folders.filter(|folder| folder.join("run-1/run.json").is_file()).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_that_comes_in_between_holds_nobody_up() {
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
    fn a_file_is_replaced_as_a_whole() {
        let folder = std::env::temp_dir().join(format!("locust-gate-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("file");
        write_atomically(&path, "the former text").unwrap();
        // Who reads the former file meanwhile reads it to its end.
        let mut former = File::open(&path).unwrap();
        write_atomically(&path, "new").unwrap();
        let mut text = String::new();
        former.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), read_to_string(&path).unwrap().as_str()), ("the former text", "new"));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no temporary file is left");
        fs::remove_dir_all(&folder).unwrap();
    }
}
