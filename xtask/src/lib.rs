//! `cargo xtask perf`: is this service slower than its committed baseline? ARCHITECTURE.md is the map.

// The core: text in, values out. No I/O, no clock, no environment, no process.
pub mod baseline;
pub mod compare;
pub mod locust_csv;
pub mod locust_history;
pub mod locust_json;
pub mod mask;
pub mod report;
pub mod run;
pub mod stats;

// The shell: flags and files, processes, the story.
mod actions;
pub mod adopt;
mod against;
pub mod config;
pub mod files;
pub mod flags;
pub mod git;
pub mod locust;
mod machine;
mod measure;
pub mod perf;
pub mod process;
mod progress;
mod project;
pub mod results;
pub mod selftest;
pub mod service;
pub mod workers;
mod worktree;
