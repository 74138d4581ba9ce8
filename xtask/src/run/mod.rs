//! One measurement: the service, Locust and its workers, progress, and the result files.

pub mod bench;
pub mod http;
pub mod install;
pub mod listener;
pub mod locust;
pub mod progress;
pub mod results;
pub mod service;
pub mod target;
pub mod usage;
pub mod workers;
