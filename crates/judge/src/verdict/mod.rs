//! Decisions about each series, and the comparison that they add up to.

pub mod accepted;
pub mod bisect;
pub mod causes;
pub mod compare;
pub mod cpu;
pub mod decision;
pub mod endpoints;
mod few_answers;
pub mod names;
mod sensitivity;
mod series;
mod stopping;
pub mod traffic;
