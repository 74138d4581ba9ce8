//! The log of a child: its first and last 10 MB, however much the child writes, plus a search of all of it for phrases.
//!
//! The child writes to the file itself, so it never waits for us, and can go on if we are gone. When the file has 20 MB, its
//! second half moves to a spare file, and replaces the part that was moved before:
//!
//! ```text
//!   file    | first 10 MB | new output ...         spare   | 10 MB before the new output |
//! ```
//!
//! Once the child has ended, the first 10 MB and the last 10 MB of the spare and the new output become one file.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::sys::files::{self, PART_BYTES};

/// Kept at the beginning, and at the end.
const KEPT_BYTES: u64 = 10_000_000;

/// The number of megabytes that are read at one poll, so that a log that grows faster does not hold up a deadline.
const MAX_PARTS: u32 = 100;

pub struct Log {
    path: PathBuf,
    file: File,
    search: Search,
    moved: u64,
}

impl Log {
    pub fn open(path: &Path) -> Result<Log> {
        Ok(Log { path: path.to_owned(), file: files::open_own(path)?, search: Search::default(), moved: 0 })
    }

    pub fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn search_for(&mut self, phrases: &'static [&'static str]) {
        self.search.phrases = phrases;
    }

    /// The phrases that the log has held so far, also in a part that is no longer kept.
    pub fn matches(&mut self) -> &[&'static str] {
        self.search.read(&self.path, u32::MAX);
        &self.search.matches
    }

    /// Called while the child writes.
    pub fn poll(&mut self) {
        let is_all_searched = self.search.read(&self.path, MAX_PARTS);
        if is_all_searched && files::length(&self.path) >= 2 * KEPT_BYTES {
            // Without room for the spare file, the log stays long.
            let _ = self.move_end();
        }
    }

    /// Output that comes just before the file is cut is lost, so that moment is short.
    fn move_end(&mut self) -> io::Result<()> {
        let mut spare = files::create_new(&spare_of(&self.path))?;
        let mut end = files::length(&self.path).saturating_sub(KEPT_BYTES).max(KEPT_BYTES);
        for _ in 0..MAX_PARTS {
            let part = files::read_part(&self.path, end);
            spare.write_all(&part)?;
            end += part.len() as u64;
            self.search.read(&self.path, MAX_PARTS);
            if files::length(&self.path) == end {
                break;
            }
        }
        self.moved += files::length(&self.path).saturating_sub(KEPT_BYTES);
        self.file.set_len(KEPT_BYTES)?;
        self.search.position = KEPT_BYTES;
        Ok(())
    }

    /// Called when nobody writes to the log any more. If it fails, the files stay as they are.
    pub fn shorten(self) {
        let left_out = (self.moved + files::length(&self.path)).saturating_sub(2 * KEPT_BYTES);
        if left_out == 0 {
            return;
        }
        let temporary = files::temporary_beside(&self.path.with_extension("joined"));
        let joined = join(&self.path, left_out, &temporary).and_then(|()| fs::rename(&temporary, &self.path));
        match joined {
            Ok(()) => drop(fs::remove_file(spare_of(&self.path))),
            Err(_) => drop(fs::remove_file(&temporary)),
        }
    }
}

fn spare_of(log: &Path) -> PathBuf {
    files::temporary_beside(log)
}

fn join(log: &Path, left_out: u64, to: &Path) -> io::Result<()> {
    let mut log_file = File::open(log)?;
    let mut joined = files::create_new(to)?;
    io::copy(&mut (&log_file).take(KEPT_BYTES), &mut joined)?;
    write!(joined, "\n[cargo xtask perf: {left_out} bytes of this log are left out here]\n")?;
    let new = log_file.metadata()?.len().saturating_sub(KEPT_BYTES);
    if new < KEPT_BYTES {
        let mut spare = File::open(spare_of(log))?;
        spare.seek(SeekFrom::End(-(KEPT_BYTES - new).cast_signed()))?;
        io::copy(&mut spare, &mut joined)?;
    }
    log_file.seek(SeekFrom::End(-new.min(KEPT_BYTES).cast_signed()))?;
    io::copy(&mut log_file, &mut joined)?;
    Ok(())
}

/// The last megabyte, also while the log is written.
pub fn tail(log: &Path) -> String {
    let (spare, length) = (spare_of(log), files::length(log));
    let mut tail = Vec::new();
    let mut start = length.saturating_sub(PART_BYTES);
    if start < KEPT_BYTES && spare.is_file() {
        tail = files::read_part(&spare, files::length(&spare).saturating_sub(PART_BYTES));
        start = KEPT_BYTES;
    }
    tail.extend(files::read_part(log, start));
    String::from_utf8_lossy(&tail).into_owned()
}

#[derive(Default)]
struct Search {
    phrases: &'static [&'static str],
    matches: Vec<&'static str>,
    position: u64,
    /// The last bytes that were read, in which a phrase may begin.
    carry: Vec<u8>,
}

impl Search {
    /// Searches up to `max_parts` further megabytes. Returns whether that was all.
    fn read(&mut self, path: &Path, max_parts: u32) -> bool {
        // The child may have cut its log off.
        self.position = self.position.min(files::length(path));
        for _ in 0..max_parts {
            if self.phrases.is_empty() || files::length(path) == self.position {
                return true;
            }
            let part = files::read_part(path, self.position);
            self.position += part.len() as u64;
            self.carry.extend(part);
            let text = String::from_utf8_lossy(&self.carry);
            for phrase in self.phrases {
                if text.contains(phrase) && !self.matches.contains(phrase) {
                    self.matches.push(phrase);
                }
            }
            let longest = self.phrases.iter().map(|phrase| phrase.len()).max().unwrap_or(0);
            self.carry.drain(..self.carry.len().saturating_sub(longest));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log in an empty folder.
    fn log(name: &str) -> Log {
        let folder = std::env::temp_dir().join(format!("locust-gate-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Log::open(&folder.join("log")).unwrap()
    }

    /// The bytes on disk of all files beside the log.
    fn bytes_on_disk(log: &Path) -> u64 {
        let entries = fs::read_dir(files::folder_of(log)).unwrap();
        entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    }

    #[test]
    fn beginning_and_end_of_a_log_are_kept() {
        let mut log = log("log");
        let path = log.path().to_owned();
        log.search_for(&["half of a phrase", "all is well", "the end is near", "never written"]);
        let mut child = log.handle().unwrap();
        writeln!(child, "first").unwrap();
        for part in ["half of a phr", "ase, and the rest\n"] {
            child.write_all(part.as_bytes()).unwrap();
            log.poll();
        }
        let mut written = 6 + 31;
        for number in 0..60 {
            let line = if number == 25 { "all is well\n" } else { "all is wrong\n" };
            written += 80_000 * line.len();
            child.write_all(line.repeat(80_000).as_bytes()).unwrap();
            log.poll();
            assert!(bytes_on_disk(&path) < 35_000_000, "{} bytes in part {number}", bytes_on_disk(&path));
            let tail = tail(&path);
            assert!(tail.ends_with(line) && tail.len() > 900_000, "{} bytes of tail in part {number}", tail.len());
        }
        let last = "the end is near\nlast\n";
        written += last.len();
        child.write_all(last.as_bytes()).unwrap();
        assert_eq!(log.matches(), ["half of a phrase", "all is well", "the end is near"]);
        log.shorten();
        let text = files::read_to_string(&path).unwrap();
        assert!(tail(&path).ends_with(last));
        assert_eq!(bytes_on_disk(&path), text.len() as u64, "no other file is left");
        fs::remove_dir_all(files::folder_of(&path)).unwrap();
        let (head, rest) = text.split_once("\n[").unwrap();
        let (note, end) = rest.split_once("]\n").unwrap();
        assert_eq!(note, format!("cargo xtask perf: {} bytes of this log are left out here", written - 20_000_000));
        assert_eq!((head.len(), end.len()), (10_000_000, 10_000_000));
        assert!(head.starts_with("first\nhalf of a phrase, and the rest\nall is wrong\n"));
        assert!(end.ends_with(&format!("all is wrong\n{last}")));
        let lines = end.lines().skip(1).filter(|line| !["all is wrong", "the end is near", "last"].contains(line));
        assert_eq!(lines.collect::<Vec<_>>(), Vec::<&str>::new(), "the end has no gap and no overlap");
    }

    #[test]
    fn log_that_grows_faster_than_it_is_polled_is_shortened() {
        for bytes in [19_999_999, 20_000_000, 20_000_001, 50_000_000] {
            let log = log(&format!("log-{bytes}"));
            let path = log.path().to_owned();
            let text = "1234567\n".repeat(bytes / 8);
            log.handle().unwrap().write_all(format!("{text}{}", "x".repeat(bytes % 8)).as_bytes()).unwrap();
            log.shorten();
            let kept = files::read_to_string(&path).unwrap();
            fs::remove_dir_all(files::folder_of(&path)).unwrap();
            assert!(kept.starts_with(&text[..1_000_000]) && kept.ends_with(&"x".repeat(bytes % 8)), "{bytes}");
            let note = if bytes > 20_000_000 { kept.len() - 20_000_000 } else { 0 };
            assert_eq!(note > 0, kept.contains("bytes of this log are left out here"), "{bytes}");
            assert_eq!(kept.len() - note, bytes.min(20_000_000), "{bytes}");
        }
    }
}
