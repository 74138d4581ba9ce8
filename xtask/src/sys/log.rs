//! The log of a child: its first and its last 10 MB, however much the child says, and what was listened for in all of it.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::sys::files::{self, Follower};

/// The size of the beginning that is kept, and that of the end.
const KEPT_BYTES: u64 = 10_000_000;

/// The size of the least part that is left out.
const LEAST_BYTES: u64 = 1_000_000;

/// The number of parts of a megabyte that are read at a time: a log that grows faster is no reason to miss a deadline.
const MAX_PARTS: u32 = 100;

/// A log while it is written. The child writes to the file itself, so that it is never held up, and can write on where we
/// are gone. On Linux what is left out gives its room back at once, elsewhere once the child has ended.
pub struct Log {
    path: PathBuf,
    file: File,
    /// The phrases that are listened for.
    phrases: &'static [&'static str],
    heard: Vec<&'static str>,
    /// The end of what was listened to, in which a phrase may begin.
    unheard: Vec<u8>,
    listener: Follower,
    /// The end of what has given its room back.
    given_back: u64,
}

impl Log {
    /// Opens a log to write on at its end.
    ///
    /// # Errors
    ///
    /// Names a log that cannot be written.
    pub fn open(path: &Path) -> Result<Log> {
        Ok(Log {
            path: path.to_owned(),
            file: files::open_own(path)?,
            phrases: &[],
            heard: Vec::new(),
            unheard: Vec::new(),
            listener: Follower::new(path.to_owned()),
            given_back: KEPT_BYTES,
        })
    }

    /// Returns another handle to the file, for the child.
    ///
    /// # Errors
    ///
    /// Returns the system's error.
    pub fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Listens for these phrases from the beginning of the log on.
    pub fn listen_for(&mut self, phrases: &'static [&'static str]) {
        self.phrases = phrases;
    }

    /// Returns those phrases that the log holds by now, also in what is left out.
    pub fn heard(&mut self) -> &[&'static str] {
        let end = self.length();
        while self.listener.offset() < end && self.listen() {}
        &self.heard
    }

    /// Reads what is new, and leaves out what lies between the beginning and the end.
    pub fn tend(&mut self) {
        let length = self.length();
        let mut end = length.saturating_sub(KEPT_BYTES);
        if !self.phrases.is_empty() {
            for _ in 0..MAX_PARTS {
                if !self.listen() {
                    break;
                }
            }
            end = end.min(self.listener.offset());
        }
        // The child may have cut its log off.
        self.given_back = self.given_back.min(length.max(KEPT_BYTES));
        if end >= self.given_back + LEAST_BYTES {
            give_back(&self.file, self.given_back, end);
            self.given_back = end;
        }
    }

    /// Listens to the next part of the log. Returns whether there was one.
    fn listen(&mut self) -> bool {
        if self.phrases.is_empty() || self.length() <= self.listener.offset() {
            return false;
        }
        let lines = self.listener.next_lines();
        self.unheard.extend_from_slice(&lines);
        let text = String::from_utf8_lossy(&self.unheard);
        for phrase in self.phrases {
            if text.contains(phrase) && !self.heard.contains(phrase) {
                self.heard.push(phrase);
            }
        }
        let longest = self.phrases.iter().map(|phrase| phrase.len()).max().unwrap_or(0);
        self.unheard.drain(..self.unheard.len().saturating_sub(longest));
        !lines.is_empty()
    }

    fn length(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    /// Makes the log as short as what is kept of it, once nobody writes to it, and says in it what is left out. Where that
    /// fails it stays as long as it is.
    pub fn shorten(self) {
        if self.length() >= 2 * KEPT_BYTES + LEAST_BYTES {
            let temporary = files::temporary_beside(&self.path);
            let shortened = write_shortened(&self.file, &temporary).and_then(|()| fs::rename(&temporary, &self.path));
            let _ = shortened.inspect_err(|_| drop(fs::remove_file(&temporary)));
        }
    }
}

/// Writes the beginning and the end of a log to a new file.
fn write_shortened(mut log: &File, to: &Path) -> io::Result<()> {
    let end = log.metadata()?.len() - KEPT_BYTES;
    let mut shortened = files::create_new(to)?;
    log.seek(SeekFrom::Start(0))?;
    io::copy(&mut log.take(KEPT_BYTES), &mut shortened)?;
    let left_out = end - KEPT_BYTES;
    write!(shortened, "\n[cargo xtask perf: {left_out} bytes of this log are left out here]\n")?;
    log.seek(SeekFrom::Start(end))?;
    io::copy(&mut log.take(KEPT_BYTES), &mut shortened)?;
    Ok(())
}

/// Gives the room of a part of a file back, which is zeros from then on. Not every file system can.
fn give_back(file: &File, from: u64, to: u64) {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{FallocateFlags, fallocate};
        let _ = fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, from, to - from);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, from, to);
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn the_beginning_and_the_end_of_a_log_stay() {
        let path = std::env::temp_dir().join(format!("locust-gate-log-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        let mut log = Log::open(&path).unwrap();
        log.listen_for(&["half of a phrase", "all is well", "the end is near", "never said"]);
        let mut child = log.handle().unwrap();
        writeln!(child, "first").unwrap();
        for part in ["half of a phr", "ase, and the rest\n"] {
            child.write_all(part.as_bytes()).unwrap();
            log.tend();
        }
        for number in 0..60 {
            let line = if number == 25 { "all is well\n" } else { "all is wrong\n" };
            child.write_all(line.repeat(80_000).as_bytes()).unwrap();
            log.tend();
            let room = log.file.metadata().unwrap().blocks() * 512;
            assert!(room < 25_000_000 || cfg!(not(target_os = "linux")), "{room} bytes in part {number}");
        }
        writeln!(child, "the end is near\nlast").unwrap();
        assert_eq!(log.heard(), ["half of a phrase", "all is well", "the end is near"]);
        let length = log.length();
        log.shorten();
        let text = files::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let left_out = length - 2 * KEPT_BYTES;
        let (head, rest) = text.split_once("\n[").unwrap();
        let (note, tail) = rest.split_once("]\n").unwrap();
        assert_eq!(note, format!("cargo xtask perf: {left_out} bytes of this log are left out here"));
        assert_eq!((head.len(), tail.len()), (10_000_000, 10_000_000));
        assert!(
            head.starts_with("first\nhalf of a phrase, and the rest\nall is wrong\n")
                && tail.ends_with("all is wrong\nthe end is near\nlast\n")
        );
        assert!(!text.contains('\0'), "nothing that is kept was given back");
    }
}
