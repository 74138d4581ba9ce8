//! Estimates, intervals and tests.

pub mod counts;
pub mod estimate;
pub mod histogram;
pub mod noise;
