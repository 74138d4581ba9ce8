//! The report as a table for people. The text holds ANSI colours; the caller strips them where they are not wanted.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

use judge::model::text::cut;
use judge::verdict::decision::Row;

use crate::view::content::{
    Cells, ENDPOINTS, FINDINGS, Finding, HEADER, Report, Unjudged, cells, evidence, finding, findings, severity,
    shown_groups,
};
use crate::view::further;
use crate::view::next::{Step, steps, steps_unjudged};
use crate::view::usage;
use crate::view::words::{Status, Tone};

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

/// The number of columns that a sign takes before a status.
const SIGN: usize = 2;

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

/// The screen that a report is printed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Screen {
    /// The width in columns; a file or a pipe has none, and gets lines of any length.
    pub columns: Option<usize>,
    /// Says that it shows ASCII only, since the locale is not UTF-8.
    pub is_ascii: bool,
}

/// Writes the report. The last line is the headline.
pub fn render(report: &Report, verbosity: Verbosity, screen: Screen) -> String {
    let mut text = String::new();
    if verbosity != Verbosity::Quiet {
        table(&mut text, report.total_cells(), screen);
        if verbosity == Verbosity::Verbose && !report.comparison.endpoints.is_empty() {
            let mut rows: Vec<&Row> = shown_groups(report.comparison).into_iter().flatten().collect();
            rows.sort_by_cached_key(|row| severity(row));
            text.push('\n');
            table(&mut text, rows.into_iter().map(cells).collect(), screen);
        }
        text.push('\n');
        if let Some(stored) = report.stored_headline() {
            wrap(&mut text, DIM, "by the stored numbers", &format!(": {stored}"), screen);
            table(&mut text, report.stored_cells(), screen);
            text.push('\n');
        }
    }
    let none = Style::new();
    let mut line = |style: Style, head: &str, rest: &str| wrap(&mut text, style, head, rest, screen);
    let findings = untold(report, verbosity);
    let (most, more) = match verbosity {
        Verbosity::Verbose => (ENDPOINTS, "--report perf.json"),
        Verbosity::Quiet | Verbosity::Normal => (FINDINGS, "--verbose"),
    };
    for Finding { status, text } in findings.iter().take(most) {
        line(style(*status), status.word(), &format!(" {text}"));
    }
    if findings.len() > most {
        line(none, "", &format!("... and {} more: see {more}", findings.len() - most));
    }
    for Finding { status, text } in further::findings(report.comparison) {
        line(style(status), status.word(), &format!(" {text}"));
    }
    for remark in report.remarks() {
        line(YELLOW, "note", &format!(": {remark}"));
    }
    if verbosity != Verbosity::Quiet {
        line(none, "", &format!("evidence: {}", evidence(report.comparison)));
        line(none, "", &report.baseline);
    }
    if verbosity == Verbosity::Verbose {
        let used = usage::details(report.provenance.baseline, report.provenance.candidate);
        for detail in report.details.iter().chain(&used) {
            line(none, "", detail);
        }
    }
    if verbosity != Verbosity::Quiet {
        next(&mut text, steps(report), screen);
    }
    let headline = report.headline();
    let style = match Tone::of_verdict(report.comparison) {
        Tone::Fail => RED,
        Tone::Ok => GREEN.bold(),
        Tone::Warn | Tone::Unsure | Tone::Plain => YELLOW.bold(),
    };
    wrap(&mut text, style, headline.word, &format!(": {}", headline.sentence()), screen);
    text
}

/// Writes the commands to copy. One that does not fit beside its purpose stands alone in a line that the terminal breaks:
/// a line that ends within a command could not be copied.
fn next(text: &mut String, steps: Vec<Step>, screen: Screen) {
    for Step { what, command } in steps {
        let line = format!(": {what}: {command}");
        if screen.columns.is_none_or(|width| "next".width() + line.width() <= width) {
            wrap(text, BOLD, "next", &line, screen);
        } else {
            wrap(text, BOLD, "next", &format!(": {what}:"), screen);
            let _ = writeln!(text, "  {}", if screen.is_ascii { in_ascii(&command) } else { command });
        }
    }
}

/// Returns lines as a screen shows them: one that is too long goes on below, at the next word. An indented line is a
/// command to copy, or a quotation, and stays as it is.
pub fn wrapped(lines: &str, screen: Screen) -> String {
    let mut text = String::new();
    for line in lines.lines() {
        if line.starts_with(' ') {
            let _ = writeln!(text, "{line}");
        } else {
            wrap(&mut text, Style::new(), "", line, screen);
        }
    }
    text
}

/// Returns the findings that the tables above do not show: those of endpoints, or all where there are no tables.
fn untold(report: &Report, verbosity: Verbosity) -> Vec<Finding> {
    let mut untold = Vec::new();
    for row in findings(report.comparison) {
        let is_told = match verbosity {
            Verbosity::Quiet => false,
            Verbosity::Normal => row.endpoint.is_none(),
            Verbosity::Verbose => true,
        };
        if !is_told {
            untold.push(Finding { status: Status::of(row), text: finding(row) });
        }
    }
    untold
}

/// Writes what a command says that compared nothing, the first baseline for instance. The last line is the verdict.
pub fn render_unjudged(unjudged: &Unjudged, screen: Screen) -> String {
    let mut text = String::new();
    let mut line = |style: Style, head: &str, rest: &str| wrap(&mut text, style, head, rest, screen);
    if let Some(saved) = unjudged.saved() {
        for value in &saved.values {
            let spread = value.spread().map_or_else(String::new, |spread| format!("  ({spread})"));
            let metric = value.metric.name();
            line(Style::new(), "", &format!("{metric:<18}{:>10}{spread}", value.shown()));
        }
        next(&mut text, steps_unjudged(unjudged), screen);
    }
    let style = if unjudged.exit_code() == 0 { GREEN.bold() } else { RED };
    wrap(&mut text, style, unjudged.word(), &format!(": {}", unjudged.sentence()), screen);
    text
}

/// Returns text as an ASCII terminal shows it.
pub fn in_ascii(text: &str) -> String {
    text.replace('→', "->").replace('…', "...")
}

/// Writes one line. Where it is too long it goes on below, indented, at the next word.
fn wrap(text: &mut String, style: Style, head: &str, rest: &str, screen: Screen) {
    const INDENT: usize = 2;
    let rest = if screen.is_ascii { &in_ascii(rest) } else { rest };
    text.push_str(&painted(style, head));
    let Some(width) = screen.columns else {
        let _ = writeln!(text, "{rest}");
        return;
    };
    let mut column = head.width();
    for (place, word) in rest.split(' ').enumerate() {
        let word = cut(word, width.saturating_sub(INDENT));
        let word = if screen.is_ascii { in_ascii(&word) } else { word };
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
fn table(text: &mut String, mut rows: Vec<Cells>, screen: Screen) {
    let mut header = HEADER;
    // Without runs to judge the noise by there is no interval to show.
    let is_empty = |column: usize| rows.iter().all(|row| row.texts[column].is_empty());
    for column in (0..header.len()).filter(|column| is_empty(*column)) {
        header[column] = "";
    }
    if let Some(width) = screen.columns {
        fit(&mut header, &mut rows, width);
    }
    for cells in &mut rows {
        let sign = cells.tone.sign();
        if screen.is_ascii {
            cells.texts[0] = in_ascii(&cells.texts[0]);
        } else if !sign.is_empty() {
            cells.texts[STATUS].insert_str(0, &format!("{sign} "));
        }
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
        let others = others + SIGN;
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
            let kept = if column == STATUS { cell.find('(').unwrap_or(cell.len()) } else { 0 };
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
        Status::Warn | Status::Waived => YELLOW,
        Status::Ok | Status::BelowResolution => GREEN,
        Status::InDoubt | Status::New | Status::NoBaseline | Status::Shown => Style::new(),
    }
}

fn painted(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}
