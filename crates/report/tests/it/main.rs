//! The tests of the reports: a comparison in, text out.

// Tests read files, and one opens a browser; only the crate itself is pure.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]
// Values are compared exactly with those that were put in, and expect-test writes the hashes.
#![allow(clippy::float_cmp, clippy::needless_raw_string_hashes, clippy::type_complexity)]

mod browser;
mod cases;
mod changes;
mod charts;
mod drift;
mod every_format;
mod github;
mod history;
mod hostile;
mod json;
mod junit;
mod markdown;
mod page;
#[path = "../../../judge/tests/it/samples.rs"]
#[allow(dead_code)]
mod samples;
mod service;
mod short;
mod situations;
mod terminal;
mod truth;
mod usage;
