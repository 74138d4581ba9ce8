//! The reports of `cargo xtask perf`: a comparison goes in and text comes out, for people and for programs.
//!
//! ```text
//!   Report  --- View::of --->  View  --- Format::render, terminal::render, github::annotations --->  text
//!   the input: a comparison    every cell and sentence,
//!   and what is known of it    in the order of all formats
//! ```
//!
//! A format only arranges the [`View`]. Nothing is judged here, and nothing starts a process, opens a file, or reads a
//! clock or the environment.

pub mod formats;
pub mod history;
pub(crate) mod page;
pub mod view;

pub use formats::Format;
pub use view::View;
pub use view::input::{Background, CommandLine, Confirmation, FailedRequests, Report, Sides, Stored};
pub use view::unjudged::{Saved, Unjudged};
