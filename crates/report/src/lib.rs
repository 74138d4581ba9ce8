//! The reports of `cargo xtask perf`: a comparison goes in and text comes out, for people and for programs.
//!
//! Every cell and sentence is made once, in [`content`] and [`words`]; a format only arranges them. Nothing here starts a
//! process, opens a file, or reads a clock or the environment, and nothing is judged here.

pub mod anchors;
pub mod background;
pub mod bars;
pub mod charts;
pub mod confirmation;
pub mod content;
pub mod format;
pub mod further;
pub mod github;
pub mod headline;
pub mod history;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod next;
pub mod saved;
pub mod svg;
pub mod terminal;
pub mod usage;
pub mod words;

pub use background::Background;
pub use content::Report;
pub use format::Format;
