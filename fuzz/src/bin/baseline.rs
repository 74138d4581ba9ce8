#![no_main]

use libfuzzer_sys::fuzz_target;
use judge::baseline::file::Baseline;

fuzz_target!(|text: &str| {
    if let Some(baseline) = fuzz::read(Baseline::parse(text)) {
        fuzz::check_baseline(&baseline);
    }
});
