//! The report as a table for people. The text holds ANSI colours; whoever prints it strips them where they are not wanted.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

use super::{Cells, HEADER, Report, evidence, verdict_word, word};
use crate::compare::{Status, Verdict};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const GREEN: Style = AnsiColor::Green.on_default();

/// Findings shown without `--verbose`, the gravest first: a service that got slower gets slower everywhere.
const FINDINGS: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// Findings and the verdict.
    Quiet,
    Normal,
    /// Also every endpoint and all details.
    Verbose,
}

pub fn render(report: &Report, verbosity: Verbosity) -> String {
    let mut text = String::new();
    if verbosity != Verbosity::Quiet {
        table(&mut text, &report.total_cells());
        if verbosity == Verbosity::Verbose && !report.comparison.endpoints.is_empty() {
            text.push('\n');
            table(&mut text, &report.endpoint_cells());
        }
        text.push('\n');
    }
    let most = if verbosity == Verbosity::Verbose { usize::MAX } else { FINDINGS };
    let (findings, more) = report.findings(most);
    for (status, finding) in findings {
        let _ = writeln!(text, "{} {finding}", painted(style(status), word(status)));
    }
    if more > 0 {
        let _ = writeln!(text, "... and {more} more: see --verbose");
    }
    for remark in report.remarks() {
        let _ = writeln!(text, "{}: {remark}", painted(YELLOW, "note"));
    }
    if verbosity != Verbosity::Quiet {
        let _ = writeln!(text, "evidence: {}", evidence(report.comparison));
        let _ = writeln!(text, "{}", report.baseline);
    }
    if verbosity == Verbosity::Verbose {
        for detail in &report.details {
            let _ = writeln!(text, "{detail}");
        }
    }
    let verdict = report.comparison.verdict;
    let style = if verdict == Verdict::Fail { RED } else { GREEN.bold() };
    let _ = writeln!(text, "{}: {}", painted(style, verdict_word(verdict)), report.sentence());
    text
}

/// The names to the left, the numbers to the right of their columns.
fn table(text: &mut String, rows: &[Cells]) {
    let mut header = HEADER;
    // Without runs to judge the noise by there is no interval to show.
    let is_empty = |column: usize| rows.iter().all(|row| row.texts[column].is_empty());
    for column in (0..header.len()).filter(|column| is_empty(*column)) {
        header[column] = "";
    }
    let mut widths = header.map(UnicodeWidthStr::width);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(&row.texts) {
            *width = (*width).max(cell.width());
        }
    }
    line(text, &header, &widths, [DIM; 3]);
    for row in rows {
        let cells = row.texts.each_ref().map(String::as_str);
        let series = if row.status.is_finding() { BOLD } else { Style::new() };
        line(text, &cells, &widths, [series, Style::new(), style(row.status)]);
    }
}

fn line(text: &mut String, cells: &[&str; 7], widths: &[usize; 7], [series, number, status]: [Style; 3]) {
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let padding = " ".repeat(width - cell.width());
        let _ = match column {
            0 => write!(text, "{}{padding}", painted(series, cell)),
            _ if *width == 0 => Ok(()),
            6 if cell.is_empty() => Ok(()),
            6 => write!(text, "  {}", painted(status, cell)),
            _ => write!(text, "  {padding}{}", painted(number, cell)),
        };
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
}

fn style(status: Status) -> Style {
    match status {
        Status::Fail => RED,
        Status::Warn => YELLOW,
        Status::Ok | Status::BelowResolution => GREEN,
        Status::New | Status::NoBaseline | Status::Shown => Style::new(),
    }
}

fn painted(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}
