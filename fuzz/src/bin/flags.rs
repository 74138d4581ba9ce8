//! A command line, an argument a line.

#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use locust_gate::config::flags::{self, Command};

fuzz_target!(|text: &str| {
    if let Some(Command::Perf(flags)) = fuzz::read(flags::parse(text.split('\n').map(Into::into).collect())) {
        // A deadline is a point in time.
        let run_time_s = flags.load.run_time_s.unwrap_or(1);
        assert!(run_time_s > 0 && Instant::now().checked_add(Duration::from_secs(run_time_s)).is_some());
    }
});
