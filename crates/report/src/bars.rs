//! The table that says where it got slower: a row for each endpoint, with the interval of its p95's change on one true
//! percent axis.

use std::fmt::Write as _;

use judge::compare::Comparison;
use judge::decision::{Presence, Row};
use judge::run::Metric;
use judge::text::{cut, endpoint_shown, escaped};

use crate::charts::ticks;
use crate::content::{by_severity, cells, endpoint_groups, rank};
use crate::words::{Status, Tone, change, interval_words, unit_of_value, value};

/// The number of endpoints that are shown first. The others are a click away.
const FIRST: usize = 5;
/// The number of letters of a name.
const NAME: usize = 60;
/// The farthest ends of the axis, in percent. What lies beyond has an arrow at the edge, and its number beside it.
const FARTHEST: Axis = Axis { from: -60.0, to: 150.0 };

/// An endpoint, or all requests together.
struct Line<'a> {
    /// `None` for all requests together.
    endpoint: Option<&'a str>,
    /// Its p95.
    p95: Option<&'a Row<'a>>,
    /// Its worst metric.
    worst: &'a Row<'a>,
}

/// The percent axis that all rows share.
struct Axis {
    from: f64,
    to: f64,
}

impl Axis {
    /// Returns an axis that reaches to all changes and intervals, but no further than [`FARTHEST`].
    fn of<'a>(rows: impl Iterator<Item = &'a Row<'a>>) -> Axis {
        let (mut from, mut to): (f64, f64) = (-10.0, 30.0);
        for row in rows {
            let ends = row.evidence.interval;
            for end in [row.change(), limit_pct(row), ends.map(|ends| ends.low), ends.map(|ends| ends.high)] {
                let end = end.filter(|end| end.is_finite()).unwrap_or(0.0);
                from = from.min(end);
                to = to.max(end * 1.05);
            }
        }
        Axis { from: from.max(FARTHEST.from), to: to.min(FARTHEST.to) }
    }

    /// Returns the place of a change, within the axis.
    fn x(&self, percent: f64) -> String {
        let share = (percent.clamp(self.from, self.to) - self.from) / (self.to - self.from);
        format!("{:.1}%", 100.0 * share)
    }
}

/// Returns the limit of a row as a change in percent.
fn limit_pct(row: &Row) -> Option<f64> {
    row.metric.change(row.presence.baseline()?, row.allowed()?)
}

/// Writes the section; nothing where no endpoint is known.
pub fn section(body: &mut String, comparison: &Comparison) {
    let mut lines: Vec<Line> = endpoint_groups(comparison).into_iter().filter_map(line).collect();
    if lines.is_empty() {
        return;
    }
    lines.sort_by(|a, b| {
        let by_change = || moved(b).total_cmp(&moved(a));
        rank(a.worst).cmp(&rank(b.worst)).then_with(by_change).then_with(|| by_severity(a.worst, b.worst))
    });
    let over = lines.iter().filter(|line| Status::of(line.worst).is_finding()).count();
    let first = if over == 0 { FIRST } else { over.min(FIRST) };
    let endpoints = lines.len();
    let total = comparison.total_row(Metric::P95);
    let axis = Axis::of(lines.iter().take(first).filter_map(|line| line.p95).chain(total));
    let is_slower = over > 0 || total.is_some_and(Row::is_finding);
    let title =
        if is_slower { "Where it got slower (p95, worst first)" } else { "Where it changed (p95, most slowed first)" };
    let _ = write!(
        body,
        "<section>\n<h2 id=\"where\">{title}</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"where\">\n\
         <table class=\"bars\" aria-labelledby=\"where\">\n<thead><tr><th scope=\"col\">endpoint</th><th scope=\"col\" class=\"number\">before → after</th>\
         <th scope=\"col\" class=\"number\">change</th><th scope=\"col\" class=\"bar\">95% interval, in percent</th><th scope=\"col\">status</th></tr></thead>\n<tbody>\n"
    );
    for (place, line) in lines.iter().enumerate() {
        write_line(body, line, &axis, place >= first);
    }
    if let Some(total) = total {
        write_line(body, &Line { endpoint: None, p95: Some(total), worst: total }, &axis, false);
    }
    body.push_str("</tbody>\n");
    write_axis(body, &axis, total.and_then(limit_pct));
    body.push_str("</table>\n</div>\n");
    if endpoints > first {
        let (less, more) = (
            if over == 0 { format!("Show the first {first}") } else { format!("Show the worst {first}") },
            format!("Show all {endpoints} endpoints"),
        );
        let _ = writeln!(
            body,
            "<button type=\"button\" id=\"more\" hidden aria-expanded=\"true\" data-more=\"{more}\" data-less=\"{less}\">{more}</button>"
        );
    }
    body.push_str("</section>\n");
}

fn line<'a>(group: &'a [Row<'a>]) -> Option<Line<'a>> {
    let worst = group.iter().min_by(|a, b| by_severity(a, b))?;
    Some(Line { endpoint: worst.endpoint, p95: group.iter().find(|row| row.metric == Metric::P95), worst })
}

/// Returns how far the p95 of an endpoint moved; a missing one is the worst.
fn moved(line: &Line) -> f64 {
    match line.worst.presence {
        Presence::Missing { .. } => f64::INFINITY,
        _ => line.p95.and_then(Row::change).unwrap_or(f64::NEG_INFINITY),
    }
}

fn write_line(body: &mut String, line: &Line, axis: &Axis, is_rest: bool) {
    let name = line.endpoint.map_or_else(|| "all requests".to_owned(), endpoint_shown);
    let short = cut(&name, NAME);
    let title = if short == name { String::new() } else { format!(" title=\"{}\"", escaped(&name)) };
    let tone = line.p95.map_or(Tone::Plain, Tone::of);
    let rest = if is_rest { " rest" } else { "" };
    let all = if line.endpoint.is_none() { " all" } else { "" };
    let _ = write!(
        body,
        "<tr class=\"{}{all}{rest}\"><th scope=\"row\"{title}>{}</th><td class=\"number values\">{}</td>",
        tone.class(),
        escaped(&short),
        line.p95.map_or_else(String::new, before_and_after)
    );
    let change = line.p95.filter(|row| matches!(row.presence, Presence::Both { .. })).map_or_else(String::new, change);
    let _ = write!(body, "<td class=\"number change\">{change}</td><td class=\"bar\">");
    if let Some(row) = line.p95 {
        write_bar(body, row, axis);
    }
    let worst = Tone::of(line.worst);
    let [.., status] = cells(line.worst).texts;
    let other = match line.p95 {
        Some(p95) if p95.metric == line.worst.metric => String::new(),
        _ => format!(" {} {}", line.worst.metric, change_of(line.worst)),
    };
    let is_told = Status::of(line.worst).is_finding();
    let other = if is_told { other } else { String::new() };
    let _ = writeln!(
        body,
        "</td><td class=\"verdict {}\"><span class=\"status\">{}{}</span></td></tr>",
        worst.class(),
        escaped(&status),
        escaped(&other)
    );
}

fn change_of(row: &Row) -> String {
    if matches!(row.presence, Presence::Both { .. }) { change(row) } else { String::new() }
}

fn before_and_after(row: &Row) -> String {
    let shown = |number: Option<f64>| number.map_or_else(|| "–".to_owned(), |number| value(row.metric, number));
    format!("{} → {}{}", shown(row.presence.baseline()), shown(row.presence.candidate()), unit_of_value(row.metric))
}

/// Writes the interval of a row, its estimate and its limit, with no text: the numbers stand beside it.
fn write_bar(body: &mut String, row: &Row, axis: &Axis) {
    let _ = write!(body, "<svg width=\"100%\" height=\"20\" aria-hidden=\"true\">");
    let upright = |class: &str, percent: f64| {
        let x = axis.x(percent);
        format!("<line class=\"{class}\" x1=\"{x}\" x2=\"{x}\" y1=\"0\" y2=\"20\"/>")
    };
    body.push_str(&upright("zero", 0.0));
    if let Some(limit) = limit_pct(row) {
        body.push_str(&upright("limit", limit));
    }
    let told = row.evidence.interval.map_or_else(|| "no interval".to_owned(), |ends| interval_words(row.metric, ends));
    if let Some(ends) = row.evidence.interval {
        let (low, high) = (axis.x(ends.low), axis.x(ends.high));
        let _ = write!(body, "<line class=\"interval\" x1=\"{low}\" x2=\"{high}\" y1=\"10\" y2=\"10\"/>");
    }
    match row.change() {
        // An arrow says that it goes on.
        Some(change) if change > axis.to => {
            body.push_str("<svg x=\"100%\" y=\"10\"><path class=\"at\" d=\"M-9-6 0 0-9 6z\"/></svg>");
        }
        Some(change) if change < axis.from => {
            body.push_str("<svg x=\"0%\" y=\"10\"><path class=\"at\" d=\"M9-6 0 0 9 6z\"/></svg>");
        }
        Some(change) => {
            let _ = write!(body, "<circle class=\"at\" cx=\"{}\" cy=\"10\" r=\"5\"/>", axis.x(change));
        }
        None => {}
    }
    let _ = write!(body, "</svg><span class=\"hidden\">{}</span>", escaped(&told));
}

/// Writes the numbers below the bars.
fn write_axis(body: &mut String, axis: &Axis, limit: Option<f64>) {
    body.push_str(
        "<tfoot><tr><td colspan=\"3\"></td><td class=\"bar\"><svg width=\"100%\" height=\"20\" aria-hidden=\"true\">",
    );
    let is_near = |tick: f64| limit.is_some_and(|limit| (tick - limit).abs() < 0.2 * (axis.to - axis.from));
    for tick in ticks(axis.from, axis.to, 5) {
        // No change is 0, never -0.
        let tick = if tick == 0.0 { 0.0 } else { tick };
        let sign = if tick > 0.0 { "+" } else { "" };
        if !is_near(tick) {
            // Half a label would leave the axis at its ends.
            let share = (tick - axis.from) / (axis.to - axis.from);
            let anchor = match share {
                ..0.06 => "start",
                0.94.. => "end",
                _ => "middle",
            };
            let _ = write!(body, "<text x=\"{}\" y=\"14\" text-anchor=\"{anchor}\">{sign}{tick}%</text>", axis.x(tick));
        }
    }
    if let Some(limit) = limit {
        let x = axis.x(limit);
        let _ = write!(
            body,
            "<text class=\"limit-label\" x=\"{x}\" y=\"14\" text-anchor=\"middle\">limit {limit:+.0}%</text>"
        );
    }
    body.push_str("</svg></td><td></td></tr></tfoot>\n");
}
