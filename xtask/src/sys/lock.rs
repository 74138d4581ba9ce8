//! Locks between commands, by files. Every wait is bounded, and a signal ends it.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::sys::files;
use crate::sys::process::pause;

/// Long enough for another command to end: it may make ten rounds of minutes.
const TURN_TIMEOUT: Duration = Duration::from_secs(2 * 3600);

/// Waits until no other command holds the lock. If one does, `say` prints `waiting` first.
pub fn wait_for_turn(path: &Path, waiting: &str, say: &dyn Fn(&str)) -> Result<File> {
    let file = files::open_own(path)?;
    if !take(&file, path, Duration::ZERO)? {
        say(waiting);
        ensure!(
            take(&file, path, TURN_TIMEOUT)?,
            "another process holds {} for over {} s: end it, and run this again",
            path.display(),
            TURN_TIMEOUT.as_secs()
        );
    }
    Ok(file)
}

/// Waits up to `timeout` for the lock of a lock file, and returns `None` if another process holds it. The lock is held as
/// long as the file is open.
pub fn lock(path: &Path, timeout: Duration) -> Result<Option<File>> {
    let file = files::open_own(path)?;
    Ok(take(&file, path, timeout)?.then_some(file))
}

fn take(file: &File, path: &Path, timeout: Duration) -> Result<bool> {
    let deadline = Instant::now() + timeout;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => pause()?,
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
    }
}
