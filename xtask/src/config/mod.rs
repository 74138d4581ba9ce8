//! Flags, configuration files, and the project that they describe.

pub mod flags;
pub mod project;
pub mod settings;
pub mod time;
