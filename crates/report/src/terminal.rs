//! The report as a table for people. The text holds ANSI colours; the caller strips them where they are not wanted.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

use judge::compare::Verdict;
use judge::text::cut;

use crate::content::{Cells, FINDINGS, Finding, HEADER, Report, evidence};
use crate::words::{Status, verdict_word};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const GREEN: Style = AnsiColor::Green.on_default();

/// The place of the last column.
const STATUS: usize = HEADER.len() - 1;

/// The number of columns of a series' name that stay, whatever else has to give way: `GET /claims requests_per_sec 1/s`
/// has so many.
const LEAST_NAME: usize = 32;

/// The amount of detail that is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// Findings and the verdict.
    Quiet,
    /// Also the table of all requests together.
    Normal,
    /// Also every endpoint and all details.
    Verbose,
}

/// Writes the report. `width` is that of the terminal in columns; a file or a pipe has none, and gets lines of any length.
pub fn render(report: &Report, verbosity: Verbosity, width: Option<usize>) -> String {
    let mut text = String::new();
    if verbosity != Verbosity::Quiet {
        table(&mut text, report.total_cells(), width);
        if verbosity == Verbosity::Verbose && !report.comparison.endpoints.is_empty() {
            text.push('\n');
            table(&mut text, report.endpoint_cells(), width);
        }
        text.push('\n');
    }
    let none = Style::new();
    let mut line = |style: Style, head: &str, rest: &str| wrap(&mut text, style, head, rest, width);
    let most = if verbosity == Verbosity::Verbose { usize::MAX } else { FINDINGS };
    let findings = report.findings(most);
    for Finding { status, text } in findings.shown {
        line(style(status), status.word(), &format!(" {text}"));
    }
    if findings.left_out > 0 {
        line(none, "", &format!("... and {} more: see --verbose", findings.left_out));
    }
    for remark in report.remarks() {
        line(YELLOW, "note", &format!(": {remark}"));
    }
    if verbosity != Verbosity::Quiet {
        line(none, "", &format!("evidence: {}", evidence(report.comparison)));
        line(none, "", &report.baseline);
    }
    if verbosity == Verbosity::Verbose {
        for detail in &report.details {
            line(none, "", detail);
        }
    }
    let verdict = report.comparison.verdict;
    let style = if verdict == Verdict::Fail { RED } else { GREEN.bold() };
    line(style, verdict_word(verdict), &format!(": {}", report.sentence()));
    text
}

/// Writes one line. Where it is too long it goes on below, indented, at the next word.
fn wrap(text: &mut String, style: Style, head: &str, rest: &str, width: Option<usize>) {
    const INDENT: usize = 2;
    text.push_str(&painted(style, head));
    let Some(width) = width else {
        let _ = writeln!(text, "{rest}");
        return;
    };
    let mut column = head.width();
    for (place, word) in rest.split(' ').enumerate() {
        let word = cut(word, width.saturating_sub(INDENT));
        let needed = word.width();
        if place > 0 && column + 1 + needed > width {
            let _ = write!(text, "\n{:INDENT$}", "");
            column = INDENT;
        } else if place > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(&word);
        column += needed;
    }
    text.push('\n');
}

/// Writes a table, with names on the left and numbers on the right of their columns.
fn table(text: &mut String, mut rows: Vec<Cells>, width: Option<usize>) {
    let mut header = HEADER;
    // Without runs to judge the noise by there is no interval to show.
    let is_empty = |column: usize| rows.iter().all(|row| row.texts[column].is_empty());
    for column in (0..header.len()).filter(|column| is_empty(*column)) {
        header[column] = "";
    }
    if let Some(width) = width {
        fit(&mut header, &mut rows, width);
    }
    let widths = widths(&header, &rows);
    line(text, &header, &widths, [DIM; 3]);
    for row in &rows {
        let cells = row.texts.each_ref().map(String::as_str);
        let series = if row.status.is_finding() { BOLD } else { Style::new() };
        line(text, &cells, &widths, [series, Style::new(), style(row.status)]);
    }
}

fn widths(header: &[&str; 7], rows: &[Cells]) -> [usize; 7] {
    let mut widths = header.map(UnicodeWidthStr::width);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(&row.texts) {
            *width = (*width).max(cell.width());
        }
    }
    widths
}

/// Leaves out what a narrow terminal can do without, the least important first, until a name has room, and then cuts the
/// names that are still too long: nobody finds the columns of a line that wraps.
fn fit(header: &mut [&str; 7], rows: &mut [Cells], width: usize) {
    let room = |header: &[&str; 7], rows: &[Cells]| {
        let columns = widths(header, rows);
        let others: usize = columns[1..].iter().filter(|column| **column > 0).map(|column| column + 2).sum();
        (width.saturating_sub(others), columns[0])
    };
    // Interval, limit, why a status is in doubt (a finding says it again below), baseline, candidate.
    for column in [4, 5, STATUS, 1, 2] {
        let (room, needed) = room(header, rows);
        if room >= needed.min(LEAST_NAME) {
            break;
        }
        if column != STATUS {
            header[column] = "";
        }
        for cell in rows.iter_mut().map(|row| &mut row.texts[column]) {
            let kept = if column == STATUS { cell.find([',', '(']).unwrap_or(cell.len()) } else { 0 };
            cell.truncate(kept);
            cell.truncate(cell.trim_end().len());
        }
    }
    let (room, _) = room(header, rows);
    for row in rows.iter_mut().filter(|row| row.texts[0].width() > room) {
        let metric = row.texts[0].split_off(row.endpoint.len());
        let endpoint = cut(&row.endpoint, room.saturating_sub(metric.width()).max(1));
        row.texts[0] = format!("{endpoint}{metric}");
    }
}

fn line(text: &mut String, cells: &[&str; 7], widths: &[usize; 7], [series, number, status]: [Style; 3]) {
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let padding = " ".repeat(width - cell.width());
        let _ = match column {
            0 => write!(text, "{}{padding}", painted(series, cell)),
            _ if *width == 0 => Ok(()),
            STATUS if cell.is_empty() => Ok(()),
            STATUS => write!(text, "  {}", painted(status, cell)),
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
        Status::InDoubt | Status::New | Status::NoBaseline | Status::Shown => Style::new(),
    }
}

fn painted(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}
