//! Decisions about each series, and the comparison that they add up to.

pub mod accepted;
pub mod bisect;
pub mod compare;
pub mod decision;
mod series;
mod stopping;
