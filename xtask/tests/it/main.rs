//! The integration tests of the command.

// expect-test writes the hashes; what is compared bit for bit is a value that was put in; a table of cases has a type.
#![allow(clippy::needless_raw_string_hashes, clippy::float_cmp, clippy::type_complexity, missing_docs)]

mod accepted;
mod account;
mod adopt;
mod against;
mod bisect;
mod causes;
mod checkouts;
mod closed_loop;
mod confirm;
mod deployments;
mod drift;
mod faults;
mod first_baseline;
mod gates;
mod gitlab;
mod hardening;
mod history;
mod judge;
mod listener;
#[path = "../../../crates/judge/tests/it/mangle.rs"]
mod mangle;
mod mangled;
mod matrix;
mod measure;
mod own_results;
mod projects;
mod real;
mod release;
mod reports;
#[path = "../../../crates/judge/tests/it/samples.rs"]
#[allow(dead_code)]
mod samples;
mod selftest;
mod services;
mod settings;
mod setup_requests;
mod support;
mod tidy;
#[cfg(target_os = "linux")]
mod usage;
mod workers;
