//! Text, Markdown, JSON, `JUnit` and annotations, and the formats of `--report FILE`.

pub mod github;
pub(crate) mod json;
mod junit;
pub mod markdown;
pub mod terminal;

use std::path::Path;

use anyhow::{Result, bail};

use crate::page::html;
use crate::view::View;
use crate::view::unjudged::Unjudged;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A page for a browser.
    Html,
    /// A comment or a job summary.
    Markdown,
    /// Everything in full precision, for programs.
    Json,
    /// `JUnit`'s XML, for a CI system's test page.
    Junit,
}

impl Format {
    /// The format that a file's extension stands for.
    pub fn of(path: &Path) -> Result<Format> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("html") => Ok(Format::Html),
            Some("md") => Ok(Format::Markdown),
            Some("json") => Ok(Format::Json),
            Some("xml") => Ok(Format::Junit),
            _ => bail!("`--report {}`: unsupported extension; use .html, .md, .json, or .xml (JUnit)", path.display()),
        }
    }

    pub fn render(self, view: &View) -> String {
        match self {
            Format::Html => html::render(view),
            Format::Markdown => markdown::render(view),
            Format::Json => json::render(view),
            Format::Junit => junit::render(view),
        }
    }

    pub fn render_unjudged(self, unjudged: &Unjudged) -> String {
        match self {
            Format::Html => html::render_unjudged(unjudged),
            Format::Markdown => markdown::render_unjudged(unjudged),
            Format::Json => json::render_unjudged(unjudged),
            Format::Junit => junit::render_unjudged(unjudged),
        }
    }
}
