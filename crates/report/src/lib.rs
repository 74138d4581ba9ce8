//! The reports of `cargo xtask perf`: a comparison goes in and text comes out, for people and for programs.
//!
//! Every cell and sentence is made once, in [`view::content`] and [`view::words`]; a format only arranges them. Nothing here starts a
//! process, opens a file, or reads a clock or the environment, and nothing is judged here.

pub mod formats;
pub mod history;
pub mod page;
pub mod view;

pub use formats::format::Format;
pub use view::background::Background;
pub use view::content::Report;
