//! The HTML page, its charts, style and script.

mod anchors;
mod bars;
pub(crate) mod charts;
pub(crate) mod html;
pub(crate) mod svg;
