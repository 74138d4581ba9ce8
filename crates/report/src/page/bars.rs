//! The table of the endpoints, worst first. It shows p95, or the metric that fails; a script lets the reader choose another.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use judge::model::run::{EndpointName, Metric};
use judge::model::text::{cut, escaped};
use judge::verdict::decision::Presence;

use crate::page::charts::ticks;
use crate::view::View;
use crate::view::series::{
    BASELINE, CANDIDATE, EndpointView, SHOWN_METRICS, SeriesView, by_limit_usage, shown_p95_first,
};
use crate::view::words::{
    Tone, both, change_unit, endpoint_or_all, interval_words, tile_name, unit_of_value, with_unit,
};

/// The number of endpoints that are shown first, and the most if more are over a limit. The others are a click away.
const FIRST: usize = 5;
const MOST_FIRST: usize = 12;
/// The most endpoints for a metric that is not shown first. Another table has all metrics of all endpoints.
const MOST_OF_OTHERS: usize = 60;
const NAME: usize = 60;
/// The farthest ends of the axis, in percent. A change beyond has an arrow at the edge, and its number beside it.
const FARTHEST: ChangeAxis = ChangeAxis { from: -60.0, to: 150.0 };

struct Bar<'v> {
    endpoint: EndpointName<'v>,
    shown: Option<&'v SeriesView<'v>>,
    /// Its findings by other metrics: `FAIL p99 +38.2%`.
    others: Vec<(Tone, String)>,
}

struct ChangeAxis {
    from: f64,
    to: f64,
}

impl ChangeAxis {
    /// An axis that reaches to all changes and intervals, but no further than [`FARTHEST`].
    fn of<'v>(metric: Metric, series: impl Iterator<Item = &'v SeriesView<'v>>) -> ChangeAxis {
        let (mut from, mut to): (f64, f64) = match metric {
            Metric::ErrorRate => (-1.0, 4.0),
            Metric::RequestsPerSec => (-40.0, 10.0),
            _ => (-10.0, 30.0),
        };
        for series in series {
            let ends = series.row.evidence.interval;
            for end in
                [series.row.change(), series.limit_change(), ends.map(|ends| ends.low), ends.map(|ends| ends.high)]
            {
                let end = end.filter(|end| end.is_finite()).unwrap_or(0.0);
                from = from.min(end * 1.05);
                to = to.max(end * 1.05);
            }
        }
        ChangeAxis { from: from.max(FARTHEST.from), to: to.min(FARTHEST.to) }
    }

    fn x(&self, percent: f64) -> String {
        let share = (percent.clamp(self.from, self.to) - self.from) / (self.to - self.from);
        format!("{:.1}%", 100.0 * share)
    }
}

pub(crate) fn section(body: &mut String, view: &View, anchors: &BTreeMap<&str, String>) {
    if view.endpoints.is_empty() {
        return;
    }
    let all = || view.endpoints.iter().flat_map(|endpoint| &endpoint.series);
    let is_known = |metric: Metric| all().any(|series| series.row.metric == metric);
    let first = view.headline.failed.filter(|metric| SHOWN_METRICS.contains(metric) && is_known(*metric));
    let first = first.unwrap_or(Metric::P95);
    let metrics = shown_p95_first().filter(|metric| *metric == first || is_known(*metric));
    let tables: Vec<Table> = metrics.map(|metric| Table::new(view, metric, metric == first)).collect();
    let title = tables.iter().find(|table| table.is_first).map_or("", |table| table.title);
    let is_folded = tables.iter().any(|table| table.bars.len() > table.first);
    let _ = writeln!(
        body,
        "<section>\n<h2 id=\"where\">{title} ({}, worst first)</h2>\n<p id=\"choice\" hidden><label>Metric <select>",
        tile_name(first)
    );
    for table in &tables {
        let selected = if table.is_first { " selected" } else { "" };
        let (metric, shown, title) = (table.metric, tile_name(table.metric), table.title);
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

struct Table<'v> {
    metric: Metric,
    title: &'static str,
    is_first: bool,
    bars: Vec<Bar<'v>>,
    total: Option<&'v SeriesView<'v>>,
    /// The number of all endpoints, of which `bars` may have fewer.
    endpoints: usize,
    first: usize,
    view: &'v View<'v>,
    axis: ChangeAxis,
    has_others: bool,
}

impl<'v> Table<'v> {
    fn new(view: &'v View<'v>, metric: Metric, is_first: bool) -> Table<'v> {
        let mut bars: Vec<Bar> = view.shown_endpoints().map(|endpoint| Bar::new(endpoint, metric)).collect();
        // An endpoint without the metric comes last.
        bars.sort_by_key(|bar| (bar.shown.is_none(), bar.shown.map(|series| by_limit_usage(series.row))));
        let endpoints = bars.len();
        if !is_first {
            bars.truncate(MOST_OF_OTHERS);
        }
        let is_over = |bar: &Bar| bar.shown.is_some_and(|series| series.status.is_finding()) || !bar.others.is_empty();
        let over = bars.iter().rposition(is_over).map_or(0, |last| last + 1);
        let first = over.clamp(FIRST, MOST_FIRST).min(bars.len());
        let total = view.total.iter().find(|series| series.row.metric == metric);
        let axis = ChangeAxis::of(metric, bars.iter().take(first).filter_map(|bar| bar.shown).chain(total));
        let is_worse = |series: &SeriesView| series.status.is_finding() && !series.row.is_missing();
        let is_worse = bars.iter().filter_map(|bar| bar.shown).chain(total).any(is_worse);
        let has_others = bars.iter().any(|bar| !bar.others.is_empty());
        let title = match metric {
            Metric::ErrorRate if is_worse => "Where errors rose",
            Metric::RequestsPerSec if is_worse => "Where throughput fell",
            _ if is_worse => "Where it got slower",
            _ => "Each endpoint",
        };
        Table { metric, title, is_first, bars, total, endpoints, first, view, axis, has_others }
    }

    fn write(&self, body: &mut String, anchors: &BTreeMap<&str, String>) {
        let unit = if self.metric == Metric::ErrorRate { "in percentage points" } else { "in percent" };
        let (metric, hidden) = (self.metric, if self.is_first { "" } else { " hidden" });
        let others = if self.has_others { "<th scope=\"col\">other metrics</th>" } else { "" };
        let _ = write!(
            body,
            "<table class=\"bars\" data-metric=\"{metric}\" aria-label=\"{}\"{hidden}>\n<thead><tr><th scope=\"col\">endpoint</th><th scope=\"col\" class=\"number\">before → after</th>\
             <th scope=\"col\" class=\"number\">change</th><th scope=\"col\" class=\"number\">of its limit</th><th scope=\"col\" class=\"bar\">interval, {unit}</th><th scope=\"col\">status</th>{others}</tr></thead>\n<tbody>\n",
            tile_name(metric)
        );
        for (place, bar) in self.bars.iter().enumerate() {
            self.write_bar(body, bar, anchors, place >= self.first);
        }
        if let Some(total) = self.total {
            self.write_bar(body, &Bar { endpoint: None, shown: Some(total), others: Vec::new() }, anchors, false);
        }
        body.push_str("</tbody>\n");
        self.write_axis(body);
        body.push_str("</table>\n");
        let left_out = self.endpoints - self.bars.len();
        if left_out > 0 {
            let _ = writeln!(
                body,
                "<p class=\"note\" data-metric=\"{metric}\" hidden>{left_out} more are in <a href=\"#endpoints\">the table of all endpoints</a>.</p>"
            );
        }
    }

    fn write_bar(&self, body: &mut String, bar: &Bar, anchors: &BTreeMap<&str, String>, is_rest: bool) {
        let name = endpoint_or_all(bar.endpoint);
        let short = cut(&name, NAME);
        let title = if short == name { String::new() } else { format!(" title=\"{}\"", escaped(&name)) };
        let label = match bar.endpoint.and_then(|endpoint| anchors.get(endpoint)) {
            Some(anchor) => format!("<a href=\"#{anchor}\">{}</a>", breakable(&short)),
            None => breakable(&short),
        };
        let tone = bar.shown.map_or(Tone::Plain, |series| series.tone).class();
        let rest = if is_rest { " rest" } else { "" };
        let all = if bar.endpoint.is_none() { " all" } else { "" };
        let _ = write!(
            body,
            "<tr class=\"{tone}{all}{rest}\"><th scope=\"row\"{title}>{label}</th><td class=\"number values\">{}</td>",
            bar.shown.map_or_else(String::new, before_and_after)
        );
        let change = bar.shown.map_or("", SeriesView::change_cell);
        let times = escaped(&bar.shown.map_or_else(String::new, SeriesView::times_limit));
        let _ = write!(
            body,
            "<td class=\"number change\">{change}</td><td class=\"number limits\">{times}</td><td class=\"bar\">"
        );
        if let Some(series) = bar.shown {
            draw_bar(body, series, &self.axis);
        }
        let status = escaped(bar.shown.map_or("", |series| self.view.status_cell(series)));
        let _ = write!(body, "</td><td class=\"verdict {tone}\"><span class=\"status\">{status}</span></td>");
        if self.has_others {
            body.push_str("<td class=\"others\">");
            for (tone, other) in &bar.others {
                let _ = write!(
                    body,
                    "<span class=\"{}\"><span class=\"status\">{}</span></span> ",
                    tone.class(),
                    escaped(other)
                );
            }
            body.push_str("</td>");
        }
        body.push_str("</tr>\n");
    }

    fn write_axis(&self, body: &mut String) {
        let axis = &self.axis;
        let unit = if self.metric == Metric::ErrorRate { " pp" } else { change_unit(self.metric) };
        body.push_str(
            "<tfoot><tr><td colspan=\"4\"></td><td class=\"bar\"><svg width=\"100%\" height=\"20\" aria-hidden=\"true\">",
        );
        for tick in ticks(axis.from, axis.to, 5) {
            // No change is 0, never -0.
            let tick = if tick == 0.0 { 0.0 } else { tick };
            let (x, sign) = (axis.x(tick), if tick > 0.0 { "+" } else { "" });
            let _ = write!(body, "<text x=\"{x}\" y=\"14\" text-anchor=\"middle\">{sign}{tick}{unit}</text>");
        }
        let others = if self.has_others { "<td></td>" } else { "" };
        let _ = writeln!(body, "</svg></td><td></td>{others}</tr></tfoot>");
    }
}

impl<'v> Bar<'v> {
    fn new(endpoint: &'v EndpointView<'v>, metric: Metric) -> Bar<'v> {
        let shown = endpoint.series.iter().find(|series| series.row.metric == metric);
        let others = endpoint.series.iter().filter(|series| series.row.metric != metric && series.status.is_finding());
        let others = others.map(|series| (series.tone, other_finding(series))).collect();
        Bar { endpoint: Some(endpoint.name), shown, others }
    }
}

/// A name that a line ends within after a slash, if it is too long.
fn breakable(name: &str) -> String {
    escaped(name).replace('/', "/<wbr>")
}

fn other_finding(series: &SeriesView) -> String {
    if series.row.is_missing() {
        return format!("{} MISSING", series.status.word());
    }
    format!("{} {} {}", series.status.word(), tile_name(series.row.metric), series.change_cell())
}

fn before_and_after(series: &SeriesView) -> String {
    let metric = series.row.metric;
    match series.row.presence {
        Presence::Both { .. } if series.is_hidden() => {
            format!("{} → {}{}", series.cells[BASELINE], series.cells[CANDIDATE], unit_of_value(metric))
        }
        Presence::Both { baseline, candidate } => both(metric, baseline, candidate),
        Presence::New { candidate } => format!("new: {}", with_unit(metric, candidate)),
        Presence::Missing { baseline } => {
            format!("{} → none", baseline.map_or_else(String::new, |baseline| with_unit(metric, baseline)))
        }
    }
}

/// Draws the interval of a series, its estimate and its limit, without text: the numbers are beside it.
fn draw_bar(body: &mut String, series: &SeriesView, axis: &ChangeAxis) {
    body.push_str("<svg width=\"100%\" height=\"20\" aria-hidden=\"true\">");
    let vertical = |class: &str, percent: f64| {
        let x = axis.x(percent);
        format!("<line class=\"{class}\" x1=\"{x}\" x2=\"{x}\" y1=\"0\" y2=\"20\"/>")
    };
    body.push_str(&vertical("zero", 0.0));
    if let Some(limit) = series.limit_change() {
        body.push_str(&vertical("limit", limit));
    }
    let mut words = "no interval".to_owned();
    if let Some(ends) = series.row.evidence.interval.filter(|_| !series.is_hidden()) {
        let (low, high) = (axis.x(ends.low), axis.x(ends.high));
        let _ = write!(body, "<line class=\"interval\" x1=\"{low}\" x2=\"{high}\" y1=\"10\" y2=\"10\"/>");
        words = interval_words(series.row.metric, ends);
    }
    match series.row.change().filter(|_| !series.is_hidden()) {
        // An arrow shows that it goes on.
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
    let _ = write!(body, "</svg><span class=\"hidden\">{}</span>", escaped(&words));
}
