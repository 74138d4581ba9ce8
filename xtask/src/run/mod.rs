//! The measurement: Locust, the service, and their results.

pub(crate) mod checkout;
pub(crate) mod counters;
pub(crate) mod http;
pub mod install;
pub mod listener;
pub mod load_check;
pub(crate) mod locust;
pub(crate) mod locust_log;
pub(crate) mod progress;
pub(crate) mod results;
pub(crate) mod runner;
pub(crate) mod service;
pub(crate) mod usage;
pub mod workers;
