//! A history as Markdown.

use std::fmt::Write as _;

use crate::formats::markdown::prose;
use crate::history::timeline::{Timeline, break_text};

/// Writes a table for all requests together, or for each endpoint that was asked for.
pub fn render(timeline: &Timeline) -> String {
    let mut text = format!("## History of {}\n\n", prose(&timeline.file));
    for endpoint in &timeline.endpoints {
        let _ = writeln!(text, "### {}\n", prose(&timeline.title(*endpoint)));
        let header = timeline.header();
        let _ = writeln!(text, "{}", row(&header));
        let _ = writeln!(text, "|{}", ":--|".repeat(header.len()));
        for entry in timeline.entries(*endpoint, timeline.metric) {
            let _ = writeln!(text, "{}", row(&timeline.cells(&entry)));
            if !entry.breaks.is_empty() {
                let _ = writeln!(text, "| {} |{}", cell(&break_text(entry.breaks)), " |".repeat(header.len() - 1));
            }
        }
        text.push('\n');
    }
    for remark in timeline.remarks() {
        let _ = writeln!(text, "- {}", prose(&remark));
    }
    text
}

fn row(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
    format!("| {} |", cells.join(" | "))
}

fn cell(text: &str) -> String {
    prose(text).replace('|', "\\|")
}
