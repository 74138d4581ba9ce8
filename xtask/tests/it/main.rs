//! The one integration binary.

// expect-test writes the hashes; what is compared bit for bit is a value that was put in; a table of cases has a type.
#![allow(clippy::needless_raw_string_hashes, clippy::float_cmp, clippy::type_complexity)]

mod adopt;
mod against;
mod calibration;
mod core;
mod faults;
mod hardening;
mod html;
mod judge;
mod mangled;
mod markdown;
mod matrix;
mod measure;
mod projects;
mod real;
mod report_data;
mod selftest;
#[path = "../../benches/calibration/simulation.rs"]
mod simulation;
mod support;
mod tidy;
mod workers;
