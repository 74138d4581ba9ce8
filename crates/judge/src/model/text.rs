//! Text from files, made fit to print, cut to a width, or escaped for a page.

use std::cmp::Ordering;

use unicode_width::UnicodeWidthChar as _;

use crate::model::mask;

const NAME_COLUMNS: usize = 100;

const ERROR_COLUMNS: usize = 1000;

/// Escapes newlines, terminal escapes and bidirectional control characters, so that text prints on one line.
pub fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unprintable(c) {
            printable.extend(c.escape_default());
        } else {
            printable.push(c);
        }
    }
    printable
}

/// Whether a character breaks a line, controls a terminal, changes the direction of writing, or is none.
pub fn is_unprintable(c: char) -> bool {
    let breaks_line = matches!(c, '\u{2028}' | '\u{2029}');
    let turns_direction =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || breaks_line || turns_direction || is_invisible(c) || matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// Invisible characters make two names look like one, and tags can hide a whole text.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200d}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Leaves the middle out, since both ends of a path distinguish it from others.
pub fn cut(text: &str, columns: usize) -> String {
    // A mark without a width counts as one column, since a name may have any number of them.
    let width = |c: char| c.width().unwrap_or(0).max(1);
    if text.chars().map(width).sum::<usize>() <= columns {
        return text.to_owned();
    }
    let head_columns = columns.saturating_sub(1).div_ceil(2);
    let fitting = |characters: &mut dyn Iterator<Item = char>, mut room: usize| -> Vec<char> {
        let fits = |c: char| {
            room = room.checked_sub(width(c))?;
            Some(c)
        };
        characters.map_while(fits).collect()
    };
    let head = fitting(&mut text.chars(), head_columns);
    let tail = fitting(&mut text.chars().rev(), columns.saturating_sub(1) - head_columns);
    head.into_iter().chain(['…']).chain(tail.into_iter().rev()).collect()
}

pub fn endpoint_shown(endpoint: &str) -> String {
    cut(&printable(endpoint), NAME_COLUMNS)
}

pub fn escaped(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    escaped.replace('"', "&quot;").replace('\'', "&#39;")
}

/// Text of others, without secrets, control characters and commands to a CI system. Newlines and tabs stay.
pub fn foreign(text: &str) -> String {
    let mut lines = Vec::new();
    for line in mask::text(text).lines() {
        let cells: Vec<String> = line.split('\t').map(printable).collect();
        lines.push(without_commands(&cells.join("\t")));
    }
    lines.join("\n")
}

/// A line without workflow commands. GitHub's begin a line with `::`, and an older kind is `##[` anywhere in it. Others
/// have `##vso[` and `##teamcity[`.
fn without_commands(line: &str) -> String {
    let mut harmless = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("##") {
        let behind = rest[at + 2..].trim_start_matches(|c: char| c.is_ascii_alphabetic());
        harmless.push_str(&rest[..=at]);
        harmless.push_str(if behind.starts_with('[') { " " } else { "" });
        rest = &rest[at + 1..];
    }
    harmless.push_str(rest);
    if harmless.trim_start().starts_with("::") { harmless.replacen("::", ": :", 1) } else { harmless }
}

/// An error on one line of bounded length, without secrets. Both ends stay: what is wrong and where, and the next step.
pub fn error_line(error: &anyhow::Error) -> String {
    cut(&without_commands(&printable(&mask::text(&format!("{error:#}")))), ERROR_COLUMNS)
}

/// A number of bytes in three significant digits, since the runs do not agree in more: `747,000`.
pub fn bytes(number: f64) -> String {
    let unit = 10_f64.powf((number.max(1.0).log10().floor() - 2.0).max(0.0));
    let digits = format!("{:.0}", (number / unit).round() * unit);
    let mut shown = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A number in few digits, however large it is.
pub(crate) fn number(value: f64) -> String {
    if value.abs() < 1e16 { value.to_string() } else { format!("{value:e}") }
}

pub fn nearest<'a>(text: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let rank = |name: &str| (name.ends_with(text), likeness(text, name));
    names.into_iter().max_by(|a, b| rank(a).partial_cmp(&rank(b)).unwrap_or(Ordering::Equal))
}

/// From 0 to 1, for equal texts.
pub fn likeness(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(a, b)
}

/// Quotes text as one word of a shell.
pub fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
