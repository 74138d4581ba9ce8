//! The tests of the core: text in, values out.

// Tests read fixtures and print; only the crate itself is pure.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]
// A value is compared with the one that was put in, and expect-test writes the hashes.
#![allow(clippy::float_cmp, clippy::needless_raw_string_hashes, clippy::type_complexity, missing_docs)]

mod accepted;
mod baseline;
mod bisect;
mod calibration;
mod causes;
mod chain;
mod compare;
mod cpu;
mod csv;
mod evidence;
mod histogram;
mod history;
mod json;
mod mangle;
mod mangled;
mod samples;
mod secrets;
#[path = "../../benches/calibration/simulation/mod.rs"]
mod simulation;
mod statistics;
mod traffic;
mod work;
