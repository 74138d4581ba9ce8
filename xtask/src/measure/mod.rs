//! One measurement: the service, Locust and its workers, and what a person sees meanwhile.

pub mod bench;
pub mod http;
pub mod install;
pub mod listener;
pub mod locust;
pub mod progress;
pub mod service;
pub mod target;
pub mod usage;
pub mod workers;
