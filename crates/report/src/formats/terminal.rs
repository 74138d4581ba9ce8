//! The report as a table for people. The text has ANSI colours; the caller strips them if they are not wanted.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

use judge::model::text::cut;

use crate::view::acceptance::ACCEPT;
use crate::view::headline::VERDICT_COLUMNS;
use crate::view::next::{LATEST, NextStep};
use crate::view::series::{BASELINE, CANDIDATE, HEADER, INTERVAL, LIMIT, METRIC, STATUS, SeriesView};
use crate::view::unjudged::Unjudged;
use crate::view::words::{Status, Tone, count};
use crate::view::{FINDINGS, Finding, View};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const GREEN: Style = AnsiColor::Green.on_default();

/// The number of columns of a series' name that are kept even when other columns are dropped: those of
/// `GET /claims requests_per_sec 1/s`.
const LEAST_NAME: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// Findings and the verdict.
    Quiet,
    Normal,
    /// Also every endpoint and all details.
    Verbose,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Screen {
    /// The width; a file or a pipe has none, and gets lines of any length.
    pub columns: Option<usize>,
    /// Whether it shows ASCII only, since the locale is not UTF-8.
    pub is_ascii: bool,
}

/// Writes the report. The last line is the headline.
pub fn render(view: &View, verbosity: Verbosity, screen: Screen) -> String {
    let mut out = Writer { text: String::new(), screen };
    // A screen has room for the table and the verdict, but not for the entries to paste and what is said twice.
    let is_short = verbosity != Verbosity::Verbose && screen.columns.is_some();
    if verbosity != Verbosity::Quiet && !is_short {
        out.acceptance(view);
    }
    if verbosity != Verbosity::Quiet {
        out.tables(view, verbosity);
    }
    out.findings(view, verbosity, is_short);
    out.changes(view, verbosity);
    for note in view.notes.iter().filter(|note| !is_short || !view.repeated_notes.contains(note)) {
        out.marked(YELLOW, "note", &format!(": {note}"));
    }
    if verbosity != Verbosity::Quiet {
        let evidence = if is_short { &view.evidence_short } else { &view.evidence };
        out.line(&format!("evidence: {evidence}"));
        out.line(&view.report.baseline_origin);
    }
    if verbosity == Verbosity::Verbose {
        for detail in view.details.iter().chain(&view.usage) {
            out.line(detail);
        }
    }
    if verbosity != Verbosity::Quiet {
        if is_short && !view.acceptance.is_empty() {
            let all = view.report.background.command.judging(LATEST).with(&["--verbose"]);
            out.line(&format!("{ACCEPT}, add the entries of `{all}` to {}", view.report.background.config));
        }
        out.next(&view.next);
    }
    let style = match view.tone {
        Tone::Fail => RED,
        Tone::Ok => GREEN.bold(),
        Tone::Warn | Tone::Unsure | Tone::Plain => YELLOW.bold(),
    };
    out.marked(style, &view.headline.words(), &format!(": {}", view.headline.sentence()));
    out.text
}

/// The text so far, and the screen that it is for.
struct Writer {
    text: String,
    screen: Screen,
}

/// The number of endpoints that fit on one screen with the table, the next steps and the verdict.
const WORST: usize = 3;

impl Writer {
    fn tables(&mut self, view: &View, verbosity: Verbosity) {
        if verbosity != Verbosity::Verbose {
            self.table(view.main_metrics());
            return;
        }
        self.table(&view.total);
        if !view.endpoints.is_empty() {
            self.table(view.worst_series());
        }
        if let Some(stored) = &view.stored {
            self.marked(DIM, "by the stored numbers", &format!(": {}", stored.headline));
            self.table(&stored.judged);
        }
    }

    fn findings(&mut self, view: &View, verbosity: Verbosity, is_short: bool) {
        let of_endpoints = view.findings.iter().filter(|finding| finding.row.is_some_and(|row| row.endpoint.is_some()));
        let (listed, most): (Vec<&Finding>, usize) = match verbosity {
            Verbosity::Quiet => (view.findings.iter().collect(), FINDINGS),
            Verbosity::Normal => (of_endpoints.collect(), WORST),
            Verbosity::Verbose => (Vec::new(), 0),
        };
        for finding in listed.iter().take(most) {
            self.finding(finding, if verbosity == Verbosity::Quiet { &finding.also } else { "" });
        }
        if listed.len() > most {
            self.line(&format!("... and {} more: see --verbose", count(listed.len() - most, "endpoint")));
        }
        for finding in view.findings_with(if is_short { &[] } else { &view.exception_findings }) {
            self.finding(finding, &finding.also);
        }
        if is_short && !view.exceptions.is_empty() {
            self.line(&view.exceptions);
        }
        if let (Verbosity::Verbose, Some(drift)) = (verbosity, &view.drift) {
            for update in &drift.updates {
                self.line(&format!("accepted since {}: {}", drift.name, update.sentence()));
            }
        }
    }

    fn finding(&mut self, finding: &Finding, also: &str) {
        self.marked(style(finding.status), finding.status.word(), &format!(" {}{also}", finding.text));
    }

    fn changes(&mut self, view: &View, verbosity: Verbosity) {
        const SHOWN: usize = 3;
        let shown = match verbosity {
            Verbosity::Quiet => return,
            Verbosity::Normal => SHOWN,
            Verbosity::Verbose => usize::MAX,
        };
        for line in view.change_lines().into_iter().take(shown) {
            self.marked(BOLD, "changed", &format!(": {line}"));
        }
    }

    fn acceptance(&mut self, view: &View) {
        if view.acceptance.is_empty() {
            return;
        }
        self.line(&format!("{}:", view.acceptance_heading()));
        for line in view.acceptance.lines() {
            let _ = writeln!(self.text, "  {line}");
        }
    }

    /// Writes the commands to copy. One that does not fit beside its purpose gets a line that the terminal breaks, since a
    /// line that ends within a command could not be copied.
    fn next(&mut self, steps: &[NextStep]) {
        for NextStep { what, command } in steps {
            let line = if command.is_empty() { format!(": {what}") } else { format!(": {what}: {command}") };
            let fits = self.screen.columns.is_none_or(|width| "next".width() + line.width() <= width);
            if command.is_empty() || fits {
                self.marked(BOLD, "next", &line);
            } else {
                self.marked(BOLD, "next", &format!(": {what}:"));
                let command = if self.screen.is_ascii { &in_ascii(command) } else { command };
                let _ = writeln!(self.text, "  {command}");
            }
        }
    }

    /// Writes a table, and an empty line.
    fn table<'v>(&mut self, series: impl IntoIterator<Item = &'v SeriesView<'v>>) {
        let line = |series| Line { series, cells: cells(series, self.screen) };
        let mut lines: Vec<Line> = series.into_iter().map(line).collect();
        let mut header = HEADER;
        // Without runs to estimate the noise from there is no interval to show.
        let is_empty = |column: usize| lines.iter().all(|line| line.cells[column].is_empty());
        for column in (0..header.len()).filter(|column| is_empty(*column)) {
            header[column] = "";
        }
        if let Some(width) = self.screen.columns {
            fit(&mut header, &mut lines, width);
        }
        let widths = widths(&header, &lines);
        write_cells(&mut self.text, &header, &widths, [DIM; 3]);
        for Line { series, cells } in &lines {
            let name = if series.status.is_finding() { BOLD } else { Style::new() };
            let cells = cells.each_ref().map(String::as_str);
            write_cells(&mut self.text, &cells, &widths, [name, Style::new(), style(series.status)]);
        }
        self.text.push('\n');
    }

    fn line(&mut self, line: &str) {
        self.marked(Style::new(), "", line);
    }

    /// Writes one line that begins with a word in a style. If it is too long it goes on below, indented, at the next word.
    fn marked(&mut self, style: Style, head: &str, rest: &str) {
        const INDENT: usize = 2;
        let Writer { text, screen } = self;
        let [head, rest] = [head, rest].map(|part| if screen.is_ascii { in_ascii(part) } else { part.to_owned() });
        let Some(width) = screen.columns else {
            let _ = writeln!(text, "{}{rest}", painted(style, &head));
            return;
        };
        let (mut column, mut at) = (0, 0);
        for (place, whole) in format!("{head}{rest}").split(' ').enumerate() {
            let word = cut(whole, width.saturating_sub(INDENT));
            let word = if screen.is_ascii { in_ascii(&word) } else { word };
            let needed = word.width();
            if place > 0 && column + 1 + needed > width {
                let _ = write!(text, "\n{:INDENT$}", "");
                column = INDENT;
            } else if place > 0 {
                text.push(' ');
                column += 1;
            }
            let of_head = head.len().saturating_sub(at).min(whole.len());
            match word.split_at_checked(of_head).filter(|_| of_head > 0) {
                Some((styled, plain)) => text.extend([painted(style, styled).as_str(), plain]),
                None => text.push_str(&word),
            }
            column += needed;
            at += whole.len() + 1;
        }
        text.push('\n');
    }
}

/// Lines as a screen shows them: one that is too long goes on below, at the next word. An indented line is a command to
/// copy, or a quotation, and stays as it is.
pub fn wrapped(lines: &str, screen: Screen) -> String {
    let mut out = Writer { text: String::new(), screen };
    for line in lines.lines() {
        if line.starts_with(' ') {
            let _ = writeln!(out.text, "{line}");
        } else {
            out.line(line);
        }
    }
    out.text
}

/// The clauses of a sentence that fit, or the ends of the first.
fn first_clauses(sentence: &str, columns: usize) -> String {
    let clauses = sentence.rmatch_indices("; ").map(|(end, _)| &sentence[..end]);
    let fitting = clauses.into_iter().find(|clauses| clauses.width() <= columns);
    fitting.map_or_else(|| cut(sentence, columns), str::to_owned)
}

/// Writes the report of a command that judged nothing. The last line is the verdict. On a screen, one that is too long for it
/// stands above, and the verdict has its beginning.
pub fn render_unjudged(unjudged: &Unjudged, screen: Screen) -> String {
    let mut out = Writer { text: String::new(), screen };
    if let Some(saved) = unjudged.saved() {
        for value in &saved.values {
            let spread = value.spread();
            let spread = if spread.is_empty() { spread } else { format!("  ({spread})") };
            let metric = value.metric.name();
            out.line(&format!("{metric:<18}{:>10}{spread}", value.shown()));
        }
        out.next(&unjudged.next());
    }
    let style = if unjudged.exit_code() == 0 { GREEN.bold() } else { RED };
    let mut sentence = unjudged.sentence();
    let room = VERDICT_COLUMNS - unjudged.word().width() - ": ".len();
    if screen.columns.is_some() && sentence.width() > room {
        out.line(&sentence);
        sentence = first_clauses(&sentence, room);
    }
    out.marked(style, unjudged.word(), &format!(": {sentence}"));
    out.text
}

pub(crate) fn in_ascii(text: &str) -> String {
    text.replace('→', "->").replace('…', "...")
}

/// A series, and its cells as they fit on the screen.
struct Line<'v> {
    series: &'v SeriesView<'v>,
    cells: [String; 7],
}

fn cells(series: &SeriesView, screen: Screen) -> [String; 7] {
    let mut cells = series.cells.clone();
    let sign = series.tone.sign();
    if screen.is_ascii {
        cells[METRIC] = in_ascii(&cells[METRIC]);
    } else if !sign.is_empty() {
        cells[STATUS].insert_str(0, &format!("{sign} "));
    }
    cells
}

fn widths(header: &[&str; 7], lines: &[Line]) -> [usize; 7] {
    let mut widths = header.map(UnicodeWidthStr::width);
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(&line.cells) {
            *width = (*width).max(cell.width());
        }
    }
    widths
}

/// Drops columns on a narrow terminal, the least important first, until a name has room, and then cuts the names that are
/// still too long: a line that wraps would break the columns.
fn fit(header: &mut [&str; 7], lines: &mut [Line], width: usize) {
    let room = |header: &[&str; 7], lines: &[Line]| {
        let columns = widths(header, lines);
        let others: usize = columns[1..].iter().filter(|column| **column > 0).map(|column| column + 2).sum();
        (width.saturating_sub(others), columns[0])
    };
    // Of the status only the reason of a doubt, which `--verbose` explains.
    for column in [INTERVAL, LIMIT, STATUS, BASELINE, CANDIDATE] {
        let (room, needed) = room(header, lines);
        if room >= needed.min(LEAST_NAME) {
            break;
        }
        if column != STATUS {
            header[column] = "";
        }
        for cell in lines.iter_mut().map(|line| &mut line.cells[column]) {
            let kept = if column == STATUS { cell.find('(').unwrap_or(cell.len()) } else { 0 };
            cell.truncate(kept);
            cell.truncate(cell.trim_end().len());
        }
    }
    let (room, _) = room(header, lines);
    for Line { series, cells: [name, ..] } in lines.iter_mut().filter(|line| line.cells[METRIC].width() > room) {
        let metric = name.split_off(series.endpoint.len());
        let endpoint = cut(&series.endpoint, room.saturating_sub(metric.width()).max(1));
        *name = format!("{endpoint}{metric}");
    }
}

fn write_cells(text: &mut String, cells: &[&str; 7], widths: &[usize; 7], [series, number, status]: [Style; 3]) {
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
