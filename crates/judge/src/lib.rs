//! The pure core of `cargo xtask perf`: Locust's files become runs, and runs and a baseline become a verdict.
//!
//! Text goes in and values come out. Nothing here starts a process, opens a file, or reads a clock or the environment.
//! [`verdict::compare::compare`] is where it begins; [`verdict::decision`] draws what is decided.

pub mod baseline;
pub mod model;
pub mod parse;
pub mod stats;
pub mod verdict;
