//! The HTML page, its charts, style and script.

pub mod anchors;
pub mod bars;
pub mod charts;
pub mod html;
pub mod svg;
