//! A history as tables for a terminal.

use std::fmt::Write as _;

use judge::model::run::EndpointName;
use judge::model::text::cut;
use unicode_width::UnicodeWidthStr;

use crate::formats::terminal::{Screen, in_ascii};
use crate::history::timeline::{Timeline, break_text};
use crate::view::words::endpoint_or_all;

/// The columns that are dropped on a narrow terminal, by the beginning of their names, the least important first.
const DROPPED: [&str; 6] = ["requests/s", "p99", "p50", "errors", "author", "commit"];

const LEAST_NOTE: usize = 12;

pub fn render(timeline: &Timeline, screen: Screen) -> String {
    let mut text = String::new();
    for endpoint in &timeline.endpoints {
        if timeline.endpoints.len() > 1 || endpoint.is_some() {
            let _ = writeln!(text, "{}", endpoint_or_all(*endpoint));
        }
        table(&mut text, timeline, *endpoint, screen);
        text.push('\n');
    }
    for note in timeline.notes_shown() {
        let _ = writeln!(text, "{note}");
    }
    let _ = writeln!(text, "{}", timeline.headline());
    if screen.is_ascii { in_ascii(&text) } else { text }
}

fn table(text: &mut String, timeline: &Timeline, endpoint: EndpointName, screen: Screen) {
    let versions = timeline.rows(endpoint, timeline.metric);
    let mut rows = vec![timeline.header()];
    rows.extend(versions.iter().map(|version| timeline.cells(version)));
    if screen.is_ascii {
        rows.iter_mut().flatten().for_each(|cell| *cell = in_ascii(cell));
    }
    if let Some(width) = screen.columns {
        fit(&mut rows, width, screen.is_ascii);
    }
    let columns = rows[0].len();
    let mut widths = vec![0; columns];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    for (place, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate().filter(|(column, _)| widths[*column] > 0) {
            let padding = " ".repeat(widths[column] - cell.width());
            let is_number = is_number(&rows[0][column]);
            let _ = if is_number { write!(line, "{padding}{cell}  ") } else { write!(line, "{cell}{padding}  ") };
        }
        let _ = writeln!(text, "{}", line.trim_end());
        let breaks = place.checked_sub(1).map_or(&[][..], |place| versions[place].breaks);
        if !breaks.is_empty() {
            let broken = format!("-- {} --", break_text(breaks));
            let broken = screen.columns.map_or_else(|| broken.clone(), |width| cut(&broken, width.saturating_sub(2)));
            let _ = writeln!(text, "{broken}");
        }
    }
}

/// Whether a column has values, which are aligned on the right.
fn is_number(name: &str) -> bool {
    !["date", "commit", "author", "note"].contains(&name) && is_plain(name)
}

fn fit(rows: &mut [Vec<String>], width: usize, is_ascii: bool) {
    let taken = |rows: &[Vec<String>]| -> usize {
        let columns = 0..rows[0].len() - 1;
        let widest = |column: usize| rows.iter().map(|row| row[column].width()).max().unwrap_or(0);
        columns.map(widest).filter(|widest| *widest > 0).map(|widest| widest + 2).sum()
    };
    for name in DROPPED {
        if taken(rows) + LEAST_NOTE <= width {
            break;
        }
        let Some(column) = rows[0].iter().position(|header| header.starts_with(name) && is_plain(header)) else {
            continue;
        };
        for row in rows.iter_mut() {
            row[column].clear();
        }
    }
    let room = width.saturating_sub(taken(rows)).max(1);
    for note in rows.iter_mut().filter_map(|row| row.last_mut()).filter(|note| note.width() > room) {
        // In ASCII the ellipsis takes two columns more.
        *note = if is_ascii { in_ascii(&cut(note, room.saturating_sub(2))) } else { cut(note, room) };
    }
}

/// Whether a column has neither the steps nor the changes since the anchor.
fn is_plain(name: &str) -> bool {
    !name.contains(" since ") && !name.ends_with(" step")
}
