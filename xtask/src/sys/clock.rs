//! The time that a command takes: in the gate itself, and in the programs that it waits for.

use std::cell::Cell;
use std::time::{Duration, Instant};

pub struct Clock {
    started: Instant,
    waited: Cell<Duration>,
}

impl Clock {
    pub fn start() -> Clock {
        Clock { started: Instant::now(), waited: Cell::default() }
    }

    /// Runs `work`, which waits for other programs.
    pub fn waiting<T>(&self, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        self.waited.set(self.waited.get() + started.elapsed());
        result
    }

    pub fn total(&self) -> Duration {
        self.started.elapsed()
    }

    pub fn own(&self) -> Duration {
        self.total().saturating_sub(self.waited.get())
    }
}
