//! The formats of `--report FILE`.

use std::path::Path;

use anyhow::{Result, bail};

use crate::formats::{json, junit, markdown};
use crate::page::html;
use crate::view::content::{Report, Unjudged};

/// The format of a report file.
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
    /// Returns the format that a file's extension stands for.
    ///
    /// # Errors
    ///
    /// Names a path whose extension is not known, and the known ones.
    pub fn of(path: &Path) -> Result<Format> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("html") => Ok(Format::Html),
            Some("md") => Ok(Format::Markdown),
            Some("json") => Ok(Format::Json),
            Some("xml") => Ok(Format::Junit),
            _ => bail!("`--report {}`: unsupported extension; use .html, .md, .json, or .xml (JUnit)", path.display()),
        }
    }

    /// Writes the report of a comparison.
    pub fn render(self, report: &Report) -> String {
        match self {
            Format::Html => html::render(report),
            Format::Markdown => markdown::render(report),
            Format::Json => json::render(report),
            Format::Junit => junit::render(report),
        }
    }

    /// Writes the report of a command that judged nothing.
    pub fn render_unjudged(self, unjudged: &Unjudged) -> String {
        match self {
            Format::Html => html::render_unjudged(unjudged),
            Format::Markdown => markdown::render_unjudged(unjudged),
            Format::Json => json::render_unjudged(unjudged),
            Format::Junit => junit::render_unjudged(unjudged),
        }
    }
}
