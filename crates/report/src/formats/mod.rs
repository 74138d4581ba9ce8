//! Text, Markdown, JSON, `JUnit` and annotations.

pub mod format;
pub mod github;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod terminal;
