//! The report as Markdown, for a job summary or a comment.

use std::fmt::Write as _;

use judge::model::text::{cut, endpoint_shown, printable};

use crate::view::drift::UPDATES;
use crate::view::next::NextStep;
use crate::view::series::{BASELINE, CANDIDATE, CHANGE, HEADER, LIMIT, METRIC, STATUS, SeriesView};
use crate::view::unjudged::Unjudged;
use crate::view::words::{Status, Tone, capitalized, count};
use crate::view::{ENDPOINTS, FINDINGS, Finding, LINE_COLUMNS, View};

/// The first line, by which a workflow finds the comment that it wrote before.
pub const MARKER: &str = "<!-- cargo xtask perf -->";

/// The size of a comment. GitHub takes 65,536 characters; bytes are never fewer.
const MAX_BYTES: usize = 65_000;

/// The size of each part before the endpoints, so that each of them has room.
const PART_BYTES: usize = 12_000;

/// Writes the report. What is not folded is read in ten seconds.
pub fn render(view: &View) -> String {
    let sign = match view.tone {
        Tone::Fail => "❌",
        Tone::Ok => "✅",
        Tone::Warn | Tone::Unsure | Tone::Plain => "⚠️",
    };
    let mut text = format!("{MARKER}\n## {sign} {}\n\n", prose(&view.headline.to_string()));
    text.push_str(&table_head(&WORST_COLUMNS));
    for row in view.worst_rows() {
        text.push_str(&table_row(&row, &WORST_COLUMNS, view.status_cell(&row)));
    }
    text.push('\n');
    text.push_str(&trust(view));
    text.push_str(&next(&view.next));
    text.push_str(&links(view));
    text.push_str(&more(view));

    let compared = compared(view);
    let room = MAX_BYTES.saturating_sub(text.len() + compared.len());
    text.push_str(&endpoints(view, room));
    text.push_str(&compared);
    text
}

const WORST_COLUMNS: [usize; 5] = [METRIC, BASELINE, CANDIDATE, CHANGE, STATUS];

fn trust(view: &View) -> String {
    let notes = match view.notes.len() {
        0 => String::new(),
        notes => format!(" {} below.", count(notes, "note")),
    };
    format!("**Can I trust it?** {} {}.{notes}\n\n", view.trust, prose(&capitalized(&view.evidence_brief)))
}

fn links(view: &View) -> String {
    let [before, after] = [&view.sides.baseline, &view.sides.candidate].map(|commit| cut(&printable(commit), 60));
    // CI's variables make these links. Anything that could be more than a link is left out.
    let is_plain = |url: &str| {
        url.starts_with("https://")
            && url.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:/?=&%".contains(&byte))
    };
    let (compare_url, run_url) = (view.compare_url(), &view.report.background.run_url);
    let commits = if is_plain(&compare_url) {
        format!("[{}]({compare_url})", code(&format!("{before}...{after}")))
    } else {
        format!("{} → {}", code(&before), code(&after))
    };
    let run = if is_plain(run_url) { format!(" · [run and artifacts]({run_url})") } else { String::new() };
    format!("{commits}{run}\n\n")
}

fn more(view: &View) -> String {
    let mut text = "<details>\n<summary>All requests together, findings and notes</summary>\n\n".to_owned();
    let columns = columns(&view.total);
    table(&mut text, &view.total, &columns);
    if let Some(stored) = &view.stored {
        let _ = writeln!(text, "By the stored numbers: {}\n", prose(&stored.headline.to_string()));
        table(&mut text, &stored.judged, &columns);
    }
    list(&mut text, view.findings.iter().map(finding_line), FINDINGS, "endpoints");
    list(&mut text, view.other_findings().map(finding_line), usize::MAX, "findings");
    let updates = view.drift.iter().flat_map(|drift| &drift.updates);
    let updates = updates.map(|update| format!("- accepted: {}\n", prose(&update.sentence())));
    list(&mut text, updates, UPDATES, "accepted updates");
    text.push_str(&changes(view));
    list(&mut text, view.notes.iter().map(|note| format!("- note: {}\n", prose(note))), usize::MAX, "notes");
    let _ = writeln!(text, "\nevidence: {}\n", prose(&view.evidence));
    if !view.acceptance.is_empty() {
        let heading = prose(&view.acceptance_heading());
        let _ = writeln!(text, "{heading}:\n\n{}", code_block("toml", &view.acceptance));
    }
    text.push_str("</details>\n\n");
    text
}

pub fn render_unjudged(unjudged: &Unjudged) -> String {
    let sign = if unjudged.exit_code() == 0 { "✅" } else { "⛔" };
    let mut text = format!("{MARKER}\n## {sign} {}\n\n{}\n", unjudged.word(), prose(&unjudged.sentence()));
    if let Some(saved) = unjudged.saved() {
        let _ = write!(text, "\n| metric | baseline | spread of {} |\n|:--|--:|--:|\n", count(saved.runs, "run"));
        for value in &saved.values {
            let _ = writeln!(text, "| {} | {} | {} |", value.metric, unbroken(&value.shown()), value.spread());
        }
    }
    text.push('\n');
    text.push_str(&next(&unjudged.next()));
    text
}

fn changes(view: &View) -> String {
    if view.changes.is_none() {
        return String::new();
    }
    let lines: Vec<String> = view.change_lines().into_iter().map(|line| format!("- {}\n", prose(line))).collect();
    format!("\n**What changed**\n\n{}\n", lines.concat())
}

fn next(steps: &[NextStep]) -> String {
    let mut text = "**What next**\n\n".to_owned();
    for NextStep { what, command } in steps {
        let _ = match command.as_str() {
            "" => writeln!(text, "- {what}"),
            command => writeln!(text, "- {what}: {}", code(&printable(command))),
        };
    }
    text.push('\n');
    text
}

/// Text that no line ends within.
fn unbroken(text: &str) -> String {
    text.replace(' ', "\u{a0}")
}

/// Appends whole lines, as many as fit and at most so many, and how many were left out.
fn list(text: &mut String, lines: impl Iterator<Item = String>, most: usize, of: &str) {
    let mut room = PART_BYTES;
    let mut left_out = 0;
    for (place, line) in lines.enumerate() {
        if left_out == 0 && place < most && line.len() <= room {
            room -= line.len();
            text.push_str(&line);
        } else {
            left_out += 1;
        }
    }
    if left_out > 0 {
        let _ = writeln!(text, "- … and {left_out} more {of}");
    }
}

fn finding_line(finding: &Finding) -> String {
    let tone = match finding.status {
        Status::Fail => Tone::Fail,
        Status::Warn => Tone::Warn,
        _ => Tone::Plain,
    };
    let endpoint = finding.row.and_then(|row| row.endpoint).map(endpoint_shown).unwrap_or_default();
    let sentence = finding.sentence();
    let (endpoint, rest) = match sentence.strip_prefix(&endpoint) {
        Some(rest) if !endpoint.is_empty() => (code(&endpoint), rest),
        _ => (String::new(), sentence.as_str()),
    };
    format!("- {} {endpoint}{}\n", signed(finding.status, tone, finding.status.word()), prose(rest))
}

fn endpoints(view: &View, room: usize) -> String {
    const FRAME_BYTES: usize = 600;
    if view.endpoints.is_empty() {
        return String::new();
    }
    let columns: Vec<usize> = (0..HEADER.len()).collect();
    let mut rows = String::new();
    let mut shown = 0;
    for series in view.worst_series() {
        let row = table_row(series, &columns, &series.cells[STATUS]);
        if rows.len() + row.len() + FRAME_BYTES > room {
            break;
        }
        rows.push_str(&row);
        shown += 1;
    }
    let all = view.endpoints.iter().flat_map(|endpoint| &endpoint.series);
    let over = all.clone().filter(|series| series.status.is_finding()).count();
    let failing = view.endpoints.iter().filter(|endpoint| endpoint.is_failing()).count();
    let (endpoints, all) = (view.endpoints.len(), all.count());
    let mut text = format!(
        "<details>\n<summary>{}: {failing} failing, {over} of {all} metrics over a limit</summary>\n\n{}{rows}\n",
        count(endpoints, "endpoint"),
        table_head(&columns)
    );
    if shown < all {
        // The page does not have every endpoint either if there are very many.
        let report = if endpoints > ENDPOINTS { "JSON" } else { "HTML" };
        let omitted = all - shown;
        let _ = writeln!(text, "{omitted} more rows omitted to fit GitHub's size limit; see the {report} report.\n");
    }
    text.push_str("</details>\n\n");
    text
}

fn compared(view: &View) -> String {
    let mut text = "<details>\n<summary>What was compared</summary>\n\n".to_owned();
    let lines = [&view.report.baseline_origin].into_iter().chain(&view.details);
    list(&mut text, lines.map(|line| format!("- {}\n", prose(line))), usize::MAX, "lines");
    text.push_str("\n</details>\n");
    text
}

fn columns(series: &[SeriesView]) -> Vec<usize> {
    (0..HEADER.len()).filter(|column| series.iter().any(|series| !series.cells[*column].is_empty())).collect()
}

fn table(text: &mut String, series: &[SeriesView], columns: &[usize]) {
    text.push_str(&table_head(columns));
    for series in series {
        text.push_str(&table_row(series, columns, &series.cells[STATUS]));
    }
    text.push('\n');
}

fn table_head(columns: &[usize]) -> String {
    let mut head = "|".to_owned();
    let mut rule = "|".to_owned();
    for column in columns {
        let _ = write!(head, " {} |", HEADER[*column]);
        rule.push_str(if matches!(*column, METRIC | STATUS) { ":--|" } else { "--:|" });
    }
    format!("{head}\n{rule}\n")
}

fn table_row(row: &SeriesView, columns: &[usize], status: &str) -> String {
    let mut line = "|".to_owned();
    for column in columns {
        let cell = &row.cells[*column];
        let dressed = match (*column, cell.strip_prefix(&row.endpoint)) {
            (METRIC, Some(metric)) if !row.endpoint.is_empty() => format!("{}{metric}", code(&row.endpoint)),
            (LIMIT, _) => unbroken(cell),
            (STATUS, _) => signed(row.status, row.tone, status),
            _ => cell.clone(),
        };
        let _ = write!(line, " {} |", dressed.replace('|', "\\|"));
    }
    line.push('\n');
    line
}

/// A status with its sign; a FAIL stands out.
fn signed(status: Status, tone: Tone, text: &str) -> String {
    let text = if status == Status::Fail { format!("**{text}**") } else { text.to_owned() };
    let sign = tone.sign();
    if sign.is_empty() { text } else { format!("{sign} {text}") }
}

/// Lines as they are. No line of them ends the block.
fn code_block(language: &str, lines: &str) -> String {
    let runs = lines.split(|c| c != '`').map(str::len);
    let fence = "`".repeat(runs.max().unwrap_or(0).max(2) + 1);
    format!("{fence}{language}\n{lines}{fence}\n")
}

/// A name as a code span, in which nothing is Markdown, a link, an issue's number or a person to notify.
fn code(name: &str) -> String {
    let runs = name.split(|c| c != '`').map(str::len);
    let fence = "`".repeat(runs.max().unwrap_or(0) + 1);
    // Markdown strips one space from each end; a name with spaces or backticks at its ends needs them.
    let ends = |c: char| name.starts_with(c) || name.ends_with(c);
    let pad = if ends('`') || ends(' ') { " " } else { "" };
    format!("{fence}{pad}{name}{pad}{fence}")
}

/// Escapes text that may quote anything: no character of it is Markdown, and none notifies a person or refers to an issue.
fn prose(text: &str) -> String {
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
        // GitHub looks for these after it has removed the backslash.
        if matches!(c, '@' | '#') {
            escaped.push('\u{200b}');
        }
    }
    escaped
}
