//! The report of `cargo xtask history`: how the accepted baselines moved, who accepted them, and why.

mod chart;
pub mod html;
pub mod json;
pub mod terminal;
pub mod timeline;
