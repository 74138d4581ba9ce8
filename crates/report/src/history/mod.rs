//! The report of `cargo xtask history`: how the accepted baselines moved, who accepted them, and why.

pub mod chart;
pub mod html;
pub mod json;
pub mod markdown;
pub mod terminal;
pub mod timeline;
