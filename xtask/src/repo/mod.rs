//! The commands that only this repository has.

pub mod adopt;
pub mod flags;
pub mod selftest;
