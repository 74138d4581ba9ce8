//! Locks between commands, by files. Every wait is bounded, and a signal ends it.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::sys::files;
use crate::sys::process::{check_interrupted, pause};

/// Long enough for another command to end: it may make seven rounds of minutes.
const TURN_TIMEOUT: Duration = Duration::from_secs(2 * 3600);

/// Waits until no other command holds the lock. If one does, `say` prints `waiting` first.
pub fn wait_for_turn(path: &Path, waiting: &str, say: &dyn Fn(&str)) -> Result<File> {
    if let Ok(turn) = lock(path, Duration::ZERO) {
        return Ok(turn);
    }
    check_interrupted()?;
    say(waiting);
    lock(path, TURN_TIMEOUT)
}

/// Waits up to `timeout` for the lock of a lock file. The lock is held as long as the file is open.
pub fn lock(path: &Path, timeout: Duration) -> Result<File> {
    let file = files::open_own(path)?;
    let deadline = Instant::now() + timeout;
    loop {
        match file.try_lock() {
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
