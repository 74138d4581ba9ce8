//! One module per command.

pub mod against;
pub mod baseline_versions;
pub mod confirm;
pub mod delivery;
pub mod drift;
pub mod history;
pub mod measurement;
pub mod perf;
