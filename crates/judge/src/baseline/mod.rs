//! The baseline file, the chain of accepted baselines, and the drift along it.

pub mod chain;
pub mod drift;
pub mod file;
