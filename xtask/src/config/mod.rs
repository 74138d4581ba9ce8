//! Configuration: the command line, `perf.toml`, Locust's own configuration, and the paths of a project.

pub(crate) mod accepted;
pub(crate) mod drift;
pub mod flags;
mod lines;
pub mod locust_conf;
pub(crate) mod paths;
pub mod perf_toml;
pub mod project;
pub mod settings;
