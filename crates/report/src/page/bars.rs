//! The table that says where it got slower: a row for each endpoint, with the interval of a metric's change on one true
//! axis. It shows p95, or the metric that fails; a script lets the reader choose another one.

use std::cmp::Ordering;
use std::fmt::Write as _;

use judge::model::run::Metric;
use judge::model::text::{cut, endpoint_shown, escaped};
use judge::verdict::compare::Comparison;
use judge::verdict::decision::{Presence, Row};

use crate::page::anchors::Anchors;
use crate::page::charts::ticks;
use crate::view::content::{by_severity, cells, rank, shown_groups};
use crate::view::headline::first_failure;
use crate::view::words::{Status, Tone, change, change_unit, interval_words, unit_of_value, value};

/// The number of endpoints that are shown first. The others are a click away.
const FIRST: usize = 5;
/// The number of endpoints that the table of a metric has that is not shown first. All metrics of all endpoints stand in
/// another table.
const MOST_OF_OTHERS: usize = 60;
/// The number of letters of a name.
const NAME: usize = 60;
/// The farthest ends of the axis, in percent. What lies beyond has an arrow at the edge, and its number beside it.
const FARTHEST: Axis = Axis { from: -60.0, to: 150.0 };
/// The metrics that a reader can choose.
const METRICS: [Metric; 5] = [Metric::P95, Metric::P50, Metric::P99, Metric::ErrorRate, Metric::RequestsPerSec];

/// An endpoint, or all requests together.
struct Line<'a> {
    /// `None` for all requests together.
    endpoint: Option<&'a str>,
    /// The metric that the table shows.
    shown: Option<&'a Row<'a>>,
    /// Its worst metric.
    worst: &'a Row<'a>,
}

/// The axis of changes that all rows share, in percent or percentage points.
struct Axis {
    from: f64,
    to: f64,
}

impl Axis {
    /// Returns an axis that reaches to all changes and intervals, but no further than [`FARTHEST`].
    fn of<'a>(metric: Metric, rows: impl Iterator<Item = &'a Row<'a>>) -> Axis {
        let (mut from, mut to): (f64, f64) = match metric {
            Metric::ErrorRate => (-1.0, 4.0),
            Metric::RequestsPerSec => (-40.0, 10.0),
            _ => (-10.0, 30.0),
        };
        for row in rows {
            let ends = row.evidence.interval;
            for end in [row.change(), limit_of(row), ends.map(|ends| ends.low), ends.map(|ends| ends.high)] {
                let end = end.filter(|end| end.is_finite()).unwrap_or(0.0);
                from = from.min(end * 1.05);
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

    /// Returns the side of a label that stands at its place: half of one within `margin` of an end would leave the axis.
    fn anchor(&self, change: f64, margin: f64) -> &'static str {
        let share = (change - self.from) / (self.to - self.from);
        if share < margin {
            "start"
        } else if share > 1.0 - margin {
            "end"
        } else {
            "middle"
        }
    }
}

/// Returns the limit of a row as a change.
fn limit_of(row: &Row) -> Option<f64> {
    row.metric.change(row.presence.baseline()?, row.allowed()?)
}

/// Writes the section; nothing where no endpoint is known.
pub fn section(body: &mut String, comparison: &Comparison, anchors: &Anchors) {
    if comparison.endpoints.is_empty() {
        return;
    }
    let is_known = |metric: Metric| comparison.endpoints.iter().any(|row| row.metric == metric);
    let first =
        first_failure(comparison).map(|row| row.metric).filter(|metric| METRICS.contains(metric) && is_known(*metric));
    let first = first.unwrap_or(Metric::P95);
    let metrics: Vec<Metric> = METRICS.into_iter().filter(|metric| *metric == first || is_known(*metric)).collect();
    let tables: Vec<Table> = metrics.iter().map(|metric| Table::new(comparison, *metric, *metric == first)).collect();
    let title = tables.iter().find(|table| table.is_first).map_or("", |table| table.title);
    let is_folded = tables.iter().any(|table| table.lines.len() > table.first);
    let _ = writeln!(
        body,
        "<section>\n<h2 id=\"where\">{title} ({}, worst first)</h2>\n<p id=\"choice\" hidden><label>Metric <select>",
        name(first)
    );
    for table in &tables {
        let selected = if table.is_first { " selected" } else { "" };
        let (metric, shown, title) = (table.metric, name(table.metric), table.title);
        let _ = writeln!(
            body,
            "<option value=\"{metric}\" data-title=\"{title} ({shown}, worst first)\"{selected}>{shown}</option>"
        );
    }
    let long = if is_folded { " long" } else { "" };
    let _ = writeln!(
        body,
        "</select></label></p>\n<div class=\"scroll{long}\" tabindex=\"0\" role=\"region\" aria-labelledby=\"where\">"
    );
    for table in &tables {
        table.write(body, anchors);
    }
    body.push_str("</div>\n");
    if is_folded {
        let all = format!("Show all {}", tables[0].endpoints);
        let _ = writeln!(
            body,
            "<button type=\"button\" id=\"more\" hidden aria-expanded=\"true\" data-more=\"{all} endpoints\" data-less=\"Show fewer endpoints\">{all} endpoints</button>"
        );
    }
    body.push_str("</section>\n");
}

/// Returns the name of a metric as a reader says it.
fn name(metric: Metric) -> &'static str {
    match metric {
        Metric::ErrorRate => "errors",
        Metric::RequestsPerSec => "requests/s",
        metric => metric.name(),
    }
}

/// The table of one metric.
struct Table<'a> {
    metric: Metric,
    title: &'static str,
    /// Says that it is the one that is shown first.
    is_first: bool,
    lines: Vec<Line<'a>>,
    total: Option<&'a Row<'a>>,
    /// The number of all endpoints, of which `lines` may have fewer.
    endpoints: usize,
    /// The number of endpoints that are shown first.
    first: usize,
    /// Says that no further run would change the verdict.
    is_conclusive: bool,
    axis: Axis,
}

impl<'a> Table<'a> {
    fn new(comparison: &'a Comparison<'a>, metric: Metric, is_first: bool) -> Table<'a> {
        let groups = shown_groups(comparison);
        let mut lines: Vec<Line> = groups.into_iter().filter_map(|group| line(group, metric)).collect();
        lines.sort_by(|a, b| rank(a.worst).cmp(&rank(b.worst)).then_with(|| by_shown(a, b)));
        let endpoints = lines.len();
        if !is_first {
            lines.truncate(MOST_OF_OTHERS);
        }
        let over = lines.iter().filter(|line| Status::of(line.worst).is_finding()).count();
        let first = if over == 0 { FIRST } else { over.min(FIRST) };
        let total = comparison.total.iter().find(|row| row.metric == metric);
        let axis = Axis::of(metric, lines.iter().take(first).filter_map(|line| line.shown).chain(total));
        let is_worse = (is_first && over > 0)
            || lines.iter().filter_map(|line| line.shown).chain(total).any(|row| Status::of(row).is_finding());
        let title = match metric {
            Metric::ErrorRate if is_worse => "Where errors rose",
            Metric::RequestsPerSec if is_worse => "Where throughput fell",
            _ if is_worse => "Where it got slower",
            _ => "Each endpoint",
        };
        let is_conclusive = comparison.is_conclusive();
        Table { metric, title, is_first, lines, total, endpoints, first, is_conclusive, axis }
    }

    fn write(&self, body: &mut String, anchors: &Anchors) {
        let unit = if self.metric == Metric::ErrorRate { "in percentage points" } else { "in percent" };
        let (metric, hidden) = (self.metric, if self.is_first { "" } else { " hidden" });
        let _ = write!(
            body,
            "<table class=\"bars\" data-metric=\"{metric}\" aria-label=\"{}\"{hidden}>\n<thead><tr><th scope=\"col\">endpoint</th><th scope=\"col\" class=\"number\">before → after</th>\
             <th scope=\"col\" class=\"number\">change</th><th scope=\"col\" class=\"bar\">95% interval, {unit}</th><th scope=\"col\">status</th></tr></thead>\n<tbody>\n",
            name(metric)
        );
        for (place, line) in self.lines.iter().enumerate() {
            self.write_line(body, line, anchors, place >= self.first);
        }
        if let Some(total) = self.total {
            self.write_line(body, &Line { endpoint: None, shown: Some(total), worst: total }, anchors, false);
        }
        body.push_str("</tbody>\n");
        self.write_axis(body);
        body.push_str("</table>\n");
        let left_out = self.endpoints - self.lines.len();
        if left_out > 0 {
            let _ = writeln!(
                body,
                "<p class=\"note\" data-metric=\"{metric}\" hidden>{left_out} more are in <a href=\"#endpoints\">the table of all endpoints</a>.</p>"
            );
        }
    }

    fn write_line(&self, body: &mut String, line: &Line, anchors: &Anchors, is_rest: bool) {
        let name = line.endpoint.map_or_else(|| "all requests".to_owned(), endpoint_shown);
        let short = cut(&name, NAME);
        let title = if short == name { String::new() } else { format!(" title=\"{}\"", escaped(&name)) };
        let label = match line.endpoint.and_then(|endpoint| anchors.of(endpoint)) {
            Some(anchor) => format!("<a href=\"#{anchor}\">{}</a>", escaped(&short)),
            None => escaped(&short),
        };
        let tone = line.shown.map_or(Tone::Plain, Tone::of);
        let rest = if is_rest { " rest" } else { "" };
        let all = if line.endpoint.is_none() { " all" } else { "" };
        let _ = write!(
            body,
            "<tr class=\"{}{all}{rest}\"><th scope=\"row\"{title}>{label}</th><td class=\"number values\">{}</td>",
            tone.class(),
            line.shown.map_or_else(String::new, before_and_after)
        );
        let change = line.shown.map_or_else(String::new, change_of);
        let _ = write!(body, "<td class=\"number change\">{change}</td><td class=\"bar\">");
        if let Some(row) = line.shown {
            write_bar(body, row, &self.axis);
        }
        let worst = Tone::of(line.worst);
        let [.., status] = cells(line.worst).texts;
        // Where the verdict stands, a failure that more runs could still change is no open question any more.
        let status = if self.is_conclusive && line.worst.is_failure() && !is_missing(line.worst) {
            Status::of(line.worst).word().to_owned()
        } else {
            status
        };
        let is_other = line.worst.metric != self.metric && Status::of(line.worst).is_finding();
        let other = if is_other && !is_missing(line.worst) {
            format!(" {} {}", line.worst.metric, change_of(line.worst))
        } else {
            String::new()
        };
        let _ = writeln!(
            body,
            "</td><td class=\"verdict {}\"><span class=\"status\">{}{}</span></td></tr>",
            worst.class(),
            escaped(&status),
            escaped(&other)
        );
    }

    /// Writes the numbers below the bars.
    fn write_axis(&self, body: &mut String) {
        let (axis, limit) = (&self.axis, self.total.and_then(limit_of));
        let unit = if self.metric == Metric::ErrorRate { " pp" } else { change_unit(self.metric) };
        body.push_str(
            "<tfoot><tr><td colspan=\"3\"></td><td class=\"bar\"><svg width=\"100%\" height=\"20\" aria-hidden=\"true\">",
        );
        // A label that begins or ends at its place reaches twice as far to one side.
        let is_near = |tick: f64| {
            limit.is_some_and(|limit| {
                let reach = if axis.anchor(limit, 0.14) == "middle" { 0.2 } else { 0.28 };
                (tick - limit).abs() < reach * (axis.to - axis.from)
            })
        };
        for tick in ticks(axis.from, axis.to, 5) {
            // No change is 0, never -0.
            let tick = if tick == 0.0 { 0.0 } else { tick };
            let sign = if tick > 0.0 { "+" } else { "" };
            if !is_near(tick) {
                let anchor = axis.anchor(tick, 0.06);
                let _ = write!(
                    body,
                    "<text x=\"{}\" y=\"14\" text-anchor=\"{anchor}\">{sign}{tick}{unit}</text>",
                    axis.x(tick)
                );
            }
        }
        if let Some(limit) = limit {
            let (x, anchor) = (axis.x(limit), axis.anchor(limit, 0.14));
            let digits = usize::from((limit - limit.round()).abs() > 0.05);
            let _ = write!(
                body,
                "<text class=\"limit-label\" x=\"{x}\" y=\"14\" text-anchor=\"{anchor}\">limit {limit:+.digits$}{unit}</text>"
            );
        }
        body.push_str("</svg></td><td></td></tr></tfoot>\n");
    }
}

fn line<'a>(group: &'a [Row<'a>], metric: Metric) -> Option<Line<'a>> {
    let worst = group.iter().min_by(|a, b| by_severity(a, b))?;
    Some(Line { endpoint: worst.endpoint, shown: group.iter().find(|row| row.metric == metric), worst })
}

/// Orders endpoints by the metric that is shown, as findings are: by status, then by how far it is over its limit.
fn by_shown(a: &Line, b: &Line) -> Ordering {
    match (a.shown, b.shown) {
        (Some(a), Some(b)) => by_severity(a, b),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}

fn is_missing(row: &Row) -> bool {
    matches!(row.presence, Presence::Missing { .. })
}

fn change_of(row: &Row) -> String {
    if matches!(row.presence, Presence::Both { .. }) { change(row) } else { String::new() }
}

fn before_and_after(row: &Row) -> String {
    let unit = unit_of_value(row.metric);
    match row.presence {
        Presence::Both { baseline, candidate } => {
            format!("{} → {}{unit}", value(row.metric, baseline), value(row.metric, candidate))
        }
        Presence::New { candidate } => format!("new: {}{unit}", value(row.metric, candidate)),
        Presence::Missing { baseline } => {
            format!(
                "{} → none",
                baseline.map_or_else(String::new, |baseline| format!("{}{unit}", value(row.metric, baseline)))
            )
        }
    }
}

/// Writes the interval of a row, its estimate and its limit, with no text: the numbers stand beside it.
fn write_bar(body: &mut String, row: &Row, axis: &Axis) {
    let _ = write!(body, "<svg width=\"100%\" height=\"20\" aria-hidden=\"true\">");
    let upright = |class: &str, percent: f64| {
        let x = axis.x(percent);
        format!("<line class=\"{class}\" x1=\"{x}\" x2=\"{x}\" y1=\"0\" y2=\"20\"/>")
    };
    body.push_str(&upright("zero", 0.0));
    if let Some(limit) = limit_of(row) {
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
