//! Parsers of Locust's files.

pub mod locust_csv;
pub mod locust_history;
pub mod locust_json;
pub mod other_files;
pub mod strict_json;
