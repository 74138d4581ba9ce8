//! Parsers of Locust's files.

pub mod other_files;
pub mod locust_csv;
pub mod locust_history;
pub mod locust_json;
pub mod strict_json;
