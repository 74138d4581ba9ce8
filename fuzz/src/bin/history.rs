#![no_main]

use libfuzzer_sys::fuzz_target;
use judge::parse::locust_history;

fuzz_target!(|bytes: &[u8]| {
    if let Some(history) = fuzz::read(locust_history::parse(bytes)) {
        assert!(history.points.iter().all(|point| point.time_s.is_finite() && point.time_s >= 0.0));
    }
});
