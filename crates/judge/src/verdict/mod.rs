//! Decisions about each series, and the comparison that they add up to.

pub mod accepted;
pub mod bisect;
pub mod compare;
pub mod decision;
pub mod endpoints;
mod few_answers;
mod sensitivity;
mod series;
mod stopping;
