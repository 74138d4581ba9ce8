#![no_main]

use libfuzzer_sys::fuzz_target;
use judge::parse::locust_csv;

fuzz_target!(|bytes: &[u8]| {
    if let Some(run) = fuzz::read(locust_csv::parse(bytes)) {
        fuzz::check_run(&run);
    }
});
