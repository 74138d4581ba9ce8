//! Core data types: runs, limits, days, and text made fit to print.

pub mod day;
pub mod limits;
pub mod mask;
pub mod program;
pub mod run;
pub mod text;
