//! A history as one page: charts over time, and the table.

use std::fmt::Write as _;

use judge::model::program;
use judge::model::run::EndpointName;
use judge::model::text::escaped;

use crate::history::chart;
use crate::history::timeline::{Timeline, break_text};
use crate::page::html::{figure, page};
use crate::view::series::shown_p95_first;
use crate::view::words::{Tone, endpoint_or_all};

const MOST_CHARTS: usize = 60;

pub fn render(timeline: &Timeline) -> String {
    let title = format!("History of {}", timeline.file);
    let mut body = format!(
        "<header class=\"head\"><p>{} history · {}</p></header>\n<main>\n<h1>{}</h1>\n<ul>\n",
        escaped(program::name()),
        escaped(&timeline.file),
        escaped(&timeline.headline())
    );
    for note in timeline.notes_shown() {
        let _ = writeln!(body, "<li>{}</li>", escaped(&note));
    }
    body.push_str("</ul>\n<section>\n<h2>Over time</h2>\n<div class=\"charts\">\n");
    for endpoint in timeline.endpoints.iter().take(MOST_CHARTS) {
        figure(&mut body, &chart::draw(timeline, *endpoint, timeline.metric));
    }
    for metric in shown_p95_first().filter(|metric| *metric != timeline.metric) {
        if timeline.endpoints.contains(&None) {
            figure(&mut body, &chart::draw(timeline, None, metric));
        }
    }
    body.push_str("</div>\n</section>\n");
    for endpoint in &timeline.endpoints {
        table(&mut body, timeline, *endpoint);
    }
    body.push_str("</main>\n");
    page(&title, Tone::Plain, &body)
}

fn table(body: &mut String, timeline: &Timeline, endpoint: EndpointName) {
    let header = timeline.header();
    let title = escaped(&endpoint_or_all(endpoint));
    let _ = writeln!(
        body,
        "<section>\n<h2>{title}</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{title}\">\n<table class=\"history\">\n<thead><tr>"
    );
    for name in &header {
        let _ = write!(body, "<th scope=\"col\">{}</th>", escaped(name));
    }
    body.push_str("</tr></thead>\n<tbody>\n");
    for row in timeline.rows(endpoint, timeline.metric) {
        body.push_str("<tr>");
        for cell in timeline.cells(&row) {
            let _ = write!(body, "<td>{}</td>", escaped(&cell));
        }
        body.push_str("</tr>\n");
        if !row.breaks.is_empty() {
            let broken = escaped(&break_text(row.breaks));
            let _ = writeln!(body, "<tr><th colspan=\"{}\" class=\"note\">{broken}</th></tr>", header.len());
        }
    }
    body.push_str("</tbody>\n</table>\n</div>\n</section>\n");
}
