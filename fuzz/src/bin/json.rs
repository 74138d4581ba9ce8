#![no_main]

use libfuzzer_sys::fuzz_target;
use judge::parse::locust_json;

fuzz_target!(|text: &str| {
    if let Some(run) = fuzz::read(locust_json::parse(text)) {
        fuzz::check_run(&run);
    }
});
