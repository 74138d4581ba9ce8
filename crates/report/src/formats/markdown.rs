//! The report as Markdown, for a job summary or a comment.

use std::fmt::Write as _;

use judge::model::text::{cut, endpoint_shown, printable};
use judge::verdict::compare::Comparison;
use judge::verdict::decision::Row;

use crate::view::content::{
    Cells, ENDPOINTS, FINDINGS, Finding, HEADER, LINE_COLUMNS, Report, Unjudged, cells, endpoint_groups, evidence,
    finding, findings, severity,
};
use crate::view::further;
use crate::view::next::{Step, steps, steps_unjudged};
use crate::view::words::{Status, Tone, count, shown_commit};

/// Marks the first line, where a workflow finds the comment that it wrote before.
pub const MARKER: &str = "<!-- cargo xtask perf -->";

/// The size of a comment. GitHub takes 65,536 characters; bytes are never fewer.
pub const MAX_BYTES: usize = 65_000;

/// The size of each part before the endpoints, so that none of them takes the room of the others.
const PART_BYTES: usize = 12_000;

/// Writes the report.
pub fn render(report: &Report) -> String {
    let comparison = report.comparison;
    let sign = match Tone::of_verdict(comparison) {
        Tone::Fail => "❌",
        Tone::Ok => "✅",
        Tone::Warn | Tone::Unsure | Tone::Plain => "⚠️",
    };
    let mut text = format!("{MARKER}\n## {sign} {}\n\n", prose(&report.headline().to_string()));
    text.push_str(&sides(report));
    let total = report.total_cells();
    let columns = columns(&total);
    text.push_str(&table_head(&columns));
    for row in &total {
        text.push_str(&table_row(row, &columns));
    }
    text.push('\n');
    if let Some(stored) = report.stored_headline() {
        let _ = writeln!(text, "By the stored numbers: {}\n", prose(&stored.to_string()));
        let cells = report.stored_cells();
        text.push_str(&table_head(&columns));
        for row in &cells {
            text.push_str(&table_row(row, &columns));
        }
        text.push('\n');
    }

    let findings = findings(comparison);
    let listed = findings.iter().take(FINDINGS).map(|row| finding_line(row));
    let left_out = append(&mut text, listed, PART_BYTES) + findings.len().saturating_sub(FINDINGS);
    say_left_out(&mut text, left_out, "findings");
    let further = further::findings(comparison).into_iter();
    let further = further.map(|Finding { status, text }| {
        let tone = match status {
            Status::Fail => Tone::Fail,
            Status::Warn => Tone::Warn,
            _ => Tone::Plain,
        };
        format!("- {} {}\n", signed(status, tone, status.word()), prose(&text))
    });
    let left_out = append(&mut text, further, PART_BYTES);
    say_left_out(&mut text, left_out, "findings");
    let notes = report.remarks().into_iter().map(|remark| format!("- note: {}\n", prose(&remark)));
    let left_out = append(&mut text, notes, PART_BYTES);
    say_left_out(&mut text, left_out, "notes");
    let _ = writeln!(text, "\nevidence: {}\n", prose(&evidence(comparison)));
    text.push_str(&next(&steps(report)));

    let compared = compared(report);
    let room = MAX_BYTES.saturating_sub(text.len() + compared.len());
    text.push_str(&endpoints(comparison, room));
    text.push_str(&compared);
    text
}

/// Writes the report of a command that judged nothing.
pub fn render_unjudged(unjudged: &Unjudged) -> String {
    let sign = match unjudged {
        Unjudged::NoVerdict(_) | Unjudged::NoBaseline(_) => "⛔",
        Unjudged::BaselineSaved(_) => "✅",
    };
    let mut text = format!("{MARKER}\n## {sign} {}\n\n{}\n", unjudged.word(), prose(&unjudged.sentence()));
    if let Some(saved) = unjudged.saved() {
        let _ = write!(text, "\n| metric | baseline | spread of {} |\n|:--|--:|--:|\n", count(saved.runs, "run"));
        for value in &saved.values {
            let spread = value.spread().unwrap_or_default();
            let _ = writeln!(text, "| {} | {} | {spread} |", value.metric, unbroken(&value.shown()));
        }
    }
    text.push('\n');
    text.push_str(&next(&steps_unjudged(unjudged)));
    text
}

/// Writes which commits were compared, and where the run is.
fn sides(report: &Report) -> String {
    let commit = |of: &judge::model::run::Provenance| code(&cut(&printable(&shown_commit(&of.commit, of.dirty)), 60));
    let mut parts = vec![format!("{} → {}", commit(report.provenance.baseline), commit(report.provenance.candidate))];
    if let Some(commits) = report.background.commits_between {
        let _ = write!(parts[0], " (+{})", count(commits as usize, "commit"));
    }
    parts.extend(report.provenance.candidate.load.as_ref().map(|load| prose(&load.to_string())));
    // Only CI's own variables make this link, and it is one only where it can be nothing else.
    let is_plain = |url: &&String| {
        url.starts_with("https://")
            && url.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:/?=&%".contains(&byte))
    };
    parts.extend(report.background.run_url.as_ref().filter(is_plain).map(|url| format!("[run and artifacts]({url})")));
    format!("{}\n\n", parts.join(" · "))
}

/// Writes what to do next.
fn next(steps: &[Step]) -> String {
    let mut text = "**What next**\n\n".to_owned();
    for Step { what, command } in steps {
        let _ = writeln!(text, "- {what}: {}", code(&printable(command)));
    }
    text.push('\n');
    text
}

/// Returns text that no line ends within.
fn unbroken(text: &str) -> String {
    text.replace(' ', "\u{a0}")
}

/// Appends whole lines while they fit into so many bytes, and returns how many did not.
fn append(text: &mut String, lines: impl Iterator<Item = String>, mut room: usize) -> usize {
    let mut left_out = 0;
    for line in lines {
        if left_out == 0 && line.len() <= room {
            room -= line.len();
            text.push_str(&line);
        } else {
            left_out += 1;
        }
    }
    left_out
}

fn say_left_out(text: &mut String, left_out: usize, of: &str) {
    if left_out > 0 {
        let _ = writeln!(text, "- … and {left_out} more {of}");
    }
}

fn finding_line(row: &Row) -> String {
    let found = finding(row);
    let endpoint = row.endpoint.map(endpoint_shown).unwrap_or_default();
    let (endpoint, rest) = match found.strip_prefix(&endpoint) {
        Some(rest) if !endpoint.is_empty() => (code(&endpoint), rest),
        _ => (String::new(), found.as_str()),
    };
    format!("- {} {endpoint}{}\n", signed(Status::of(row), Tone::of(row), Status::of(row).word()), prose(rest))
}

/// Writes all endpoints in one folded table, worst first, with as many rows as fit.
fn endpoints(comparison: &Comparison, room: usize) -> String {
    /// The room for the lines around the rows.
    const FRAME_BYTES: usize = 600;
    if comparison.endpoints.is_empty() {
        return String::new();
    }
    let mut rows: Vec<&Row> = comparison.endpoints.iter().collect();
    rows.sort_by_cached_key(|row| severity(row));
    let columns: Vec<usize> = (0..HEADER.len()).collect();
    let mut table = String::new();
    // Rows that are left out are counted, not written: ten thousand rows cost no more than those that fit.
    let mut shown = 0;
    for row in &rows {
        let line = table_row(&cells(row), &columns);
        if table.len() + line.len() + FRAME_BYTES > room {
            break;
        }
        table.push_str(&line);
        shown += 1;
    }
    let [over, all] = [rows.iter().filter(|row| row.is_finding()).count(), rows.len()];
    let groups = endpoint_groups(comparison);
    let failing = groups.iter().filter(|group| group.iter().any(Row::is_failure)).count();
    let mut text = format!(
        "<details>\n<summary>{}: {failing} failing, {over} of {all} metrics over a limit</summary>\n\n{}{table}\n",
        count(groups.len(), "endpoint"),
        table_head(&columns)
    );
    if shown < all {
        // The page does not hold all endpoints of very many.
        let report = if groups.len() > ENDPOINTS { "JSON" } else { "HTML" };
        let omitted = all - shown;
        let _ = writeln!(text, "{omitted} more rows omitted to fit GitHub's size limit; see the {report} report.\n");
    }
    text.push_str("</details>\n\n");
    text
}

fn compared(report: &Report) -> String {
    let mut text = "<details>\n<summary>What was compared</summary>\n\n".to_owned();
    let lines = [&report.baseline].into_iter().chain(&report.details);
    let left_out = append(&mut text, lines.map(|line| format!("- {}\n", prose(line))), PART_BYTES);
    say_left_out(&mut text, left_out, "lines");
    text.push_str("\n</details>\n");
    text
}

/// Returns the columns in which any row says something.
fn columns(rows: &[Cells]) -> Vec<usize> {
    (0..HEADER.len()).filter(|column| rows.iter().any(|row| !row.texts[*column].is_empty())).collect()
}

/// Writes the head of a table, with numbers on the right.
fn table_head(columns: &[usize]) -> String {
    let mut head = "|".to_owned();
    let mut rule = "|".to_owned();
    for column in columns {
        let _ = write!(head, " {} |", HEADER[*column]);
        rule.push_str(if matches!(column, 0 | 6) { ":--|" } else { "--:|" });
    }
    format!("{head}\n{rule}\n")
}

fn table_row(row: &Cells, columns: &[usize]) -> String {
    let mut line = "|".to_owned();
    for column in columns {
        let cell = &row.texts[*column];
        let dressed = match (column, cell.strip_prefix(&row.endpoint)) {
            (0, Some(metric)) if !row.endpoint.is_empty() => format!("{}{metric}", code(&row.endpoint)),
            (5, _) => unbroken(cell),
            (6, _) => signed(row.status, row.tone, cell),
            _ => cell.clone(),
        };
        let _ = write!(line, " {} |", dressed.replace('|', "\\|"));
    }
    line.push('\n');
    line
}

/// Returns a status with its sign, which is that of every format; a FAIL stands out.
fn signed(status: Status, tone: Tone, text: &str) -> String {
    let text = if status == Status::Fail { format!("**{text}**") } else { text.to_owned() };
    let sign = tone.sign();
    if sign.is_empty() { text } else { format!("{sign} {text}") }
}

/// Returns a name as a code span, in which nothing is Markdown, a link, an issue's number or a person to notify.
fn code(name: &str) -> String {
    let runs = name.split(|c| c != '`').map(str::len);
    let fence = "`".repeat(runs.max().unwrap_or(0) + 1);
    // Two spaces are taken off again; a name's own, and backticks at its ends, need them.
    let ends = |c: char| name.starts_with(c) || name.ends_with(c);
    let pad = if ends('`') || ends(' ') { " " } else { "" };
    format!("{fence}{pad}{name}{pad}{fence}")
}

/// Escapes text that may quote anything: no character of it is Markdown, and none notifies a person or refers to an issue.
pub fn prose(text: &str) -> String {
    let mut escaped = String::new();
    let text = cut(&printable(text), LINE_COLUMNS);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let begins_link = match c {
            ':' => characters.peek() == Some(&'/'),
            '.' => escaped.ends_with(['w', 'W']),
            _ => false,
        };
        if begins_link || "\\`*_[<&~#@".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
        // GitHub looks for these in what Markdown has become, where the backslash is gone.
        if matches!(c, '@' | '#') {
            escaped.push('\u{200b}');
        }
    }
    escaped
}
