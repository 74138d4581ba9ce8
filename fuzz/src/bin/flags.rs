//! A command line, an argument a line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use locust_gate::flags;

fuzz_target!(|text: &str| {
    fuzz::read(flags::parse(text.split('\n').map(Into::into).collect()));
});
