//! The baseline file, the chain of accepted baselines, and whether two measurements can be compared.

pub mod chain;
pub mod comparability;
pub mod file;
pub mod work;
