//! The pure core of `cargo xtask perf`: Locust's files become runs, and runs and a baseline become a verdict.
//!
//! Text goes in and values come out. Nothing here starts a process, opens a file, or reads a clock or the environment.
//! [`compare::compare`] is the story; [`decision`] draws what is decided.

pub mod accepted;
pub mod baseline;
pub mod chain;
pub mod comparability;
pub mod compare;
pub mod counts;
pub mod day;
pub mod decision;
pub mod drift;
pub mod histogram;
pub mod limits;
pub mod locust_csv;
pub mod locust_history;
pub mod locust_json;
pub mod mask;
pub mod noise;
pub mod program;
pub mod run;
pub mod stats;
pub mod stopping;
mod strict_json;
pub mod text;
