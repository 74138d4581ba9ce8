//! One module per command, and what they share.

mod against;
mod baseline_checks;
mod baseline_versions;
pub mod bisect;
mod bisect_range;
mod bisect_result;
mod bisect_rounds;
mod bisect_state;
mod confirm;
mod delivery;
mod drift;
pub mod history;
mod measurement;
pub mod outcome;
pub mod perf;
