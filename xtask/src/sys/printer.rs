//! Printing that holds up nothing. A reader that has stopped, as `less` does, would otherwise hold up the watch of a load and
//! its deadline, and leave signals unheard.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::sys::process::{Interrupted, check_interrupted};

/// More than this many bytes do not wait for a reader.
const MAX_WAITING: usize = 4_000_000;

/// The time for a reader to take what is left at the end, if somebody wants us to stop.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The time for stderr to be read before the report is printed.
const FLUSH: Duration = Duration::from_secs(10);

const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The bytes that wait for a reader of stderr, and those that were left out since the last line.
static WAITING: AtomicUsize = AtomicUsize::new(0);
static LEFT_OUT: AtomicUsize = AtomicUsize::new(0);

/// Prints to stderr, in the order of the calls, without waiting for anybody.
pub(crate) fn progress(text: &str) {
    static LINES: OnceLock<mpsc::Sender<String>> = OnceLock::new();
    let lines = LINES.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<String>();
        thread::spawn(move || {
            for text in receiver {
                // Progress that cannot be shown is no reason to end a measurement.
                let _ = io::stderr().write_all(text.as_bytes()).and_then(|()| io::stderr().flush());
                WAITING.fetch_sub(text.len(), Ordering::SeqCst);
            }
        });
        sender
    });
    if WAITING.load(Ordering::SeqCst) > MAX_WAITING {
        LEFT_OUT.fetch_add(text.len(), Ordering::SeqCst);
        return;
    }
    let left_out = LEFT_OUT.swap(0, Ordering::SeqCst);
    let note = if left_out > 0 {
        format!("[{left_out} bytes are left out here, which nobody read in time]\n")
    } else {
        String::new()
    };
    let text = note + text;
    WAITING.fetch_add(text.len(), Ordering::SeqCst);
    let _ = lines.send(text);
}

/// Prints to a stream once stderr has been read, so that nothing overtakes it. A signal ends the wait for a reader.
pub(crate) fn report(write: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<io::Result<()>, Interrupted> {
    let began = Instant::now();
    while WAITING.load(Ordering::SeqCst) > 0 && began.elapsed() < FLUSH && !has_to_end(began) {
        thread::sleep(LOOK_AGAIN);
    }
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(write()));
    loop {
        match receiver.recv_timeout(LOOK_AGAIN) {
            Ok(written) => return Ok(written),
            Err(_) if has_to_end(began) => check_interrupted()?,
            Err(_) => {}
        }
    }
}

fn has_to_end(began: Instant) -> bool {
    check_interrupted().is_err() && began.elapsed() >= LAST_WORDS
}
