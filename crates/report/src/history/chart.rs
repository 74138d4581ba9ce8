//! The chart of one metric over the accepted baselines.

use std::fmt::Write as _;

use judge::baseline::chain::Movement;
use judge::model::run::{EndpointName, Metric};
use judge::model::text::cut;
use judge::stats::estimate::estimate;

use crate::history::timeline::{HistoryRow, Timeline, movement_text};
use crate::page::charts::{Axis, Chart, Field, Tick, range};
use crate::page::svg::{Canvas, Color, Position, Rect, Stroke, TextAnchor};
use crate::view::drift::author;
use crate::view::words::{count, endpoint_or_all, tile_name, with_unit};

const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 240.0;
/// The field of the values, with room for the numbers left of it, the dates below it, and the number of a step above it.
const AREA: Rect = Rect { left: 48.0, top: 20.0, right: 284.0, bottom: 198.0 };
const DATES: usize = 3;
const NAMED: usize = 8;
/// No dots are drawn if there are more: they would be one grey band.
const MOST_DOTS: usize = 4000;

pub(crate) fn draw(timeline: &Timeline, endpoint: EndpointName, metric: Metric) -> Chart {
    let mut rows = timeline.rows(endpoint, metric);
    rows.reverse();
    let field = field(&rows);
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    field.draw_axes(&mut canvas);
    draw_runs(&mut canvas, &field, &rows);
    draw_estimates(&mut canvas, &field, &rows, metric);
    let steps = draw_steps(&mut canvas, &field, &rows, metric);
    let title = tile_name(metric);
    let unit = if metric.unit().is_empty() { String::new() } else { format!(" in {}", metric.unit()) };
    let description =
        format!("{metric}{unit} of {}, {}", endpoint_or_all(endpoint), count(rows.len(), "accepted baseline"));
    Chart { title, caption: caption(&description, &rows, &steps), svg: canvas.finish(&description, &steps.join("; ")) }
}

fn caption(description: &str, rows: &[HistoryRow], steps: &[String]) -> String {
    let mut caption = format!("{description}; a dot is a run.");
    if rows.iter().any(|row| !row.breaks.is_empty()) {
        caption.push_str(" At a dark line the chain is broken.");
    }
    for step in steps.iter().take(NAMED) {
        let _ = write!(caption, " {step}.");
    }
    if steps.len() > NAMED {
        let _ = write!(caption, " And {} more.", steps.len() - NAMED);
    }
    caption
}

fn x(place: usize) -> f64 {
    place as f64
}

fn field(rows: &[HistoryRow]) -> Field {
    let (least, most) = range(rows.iter().flat_map(|row| row.runs.iter().copied()));
    let margin = ((most - least) * 0.08).max(most * 0.02);
    let from = if least.is_finite() { (least - margin).max(0.0) } else { 0.0 };
    let newest = rows.len().saturating_sub(1);
    let mut ticks = Vec::new();
    for date in 0..DATES.min(rows.len()) {
        let place = date * newest / (DATES.min(rows.len()) - 1).max(1);
        ticks.push(Tick { at: x(place), label: rows[place].version.day.to_string() });
    }
    let x_title = "accepted baselines, by their commits' dates".to_owned();
    Field {
        area: AREA,
        x: Axis { from: -0.5, to: x(newest) + 0.5, ticks, title: x_title },
        y: Axis::linear(from, most + margin, 5),
    }
}

fn draw_runs(canvas: &mut Canvas, field: &Field, rows: &[HistoryRow]) {
    if rows.iter().map(|row| row.runs.len()).sum::<usize>() > MOST_DOTS {
        return;
    }
    for (place, row) in rows.iter().enumerate() {
        for run in row.runs {
            canvas.circle(field.at(x(place), *run), 2.0, Color::Gray);
        }
    }
}

fn draw_estimates(canvas: &mut Canvas, field: &Field, rows: &[HistoryRow], metric: Metric) {
    let mut line: Vec<Position> = Vec::new();
    for (place, row) in rows.iter().enumerate() {
        if !row.breaks.is_empty() {
            canvas.polyline(&line, Stroke::new(Color::Blue, 2.0));
            line.clear();
            field.draw_vertical(canvas, x(place) - 0.5, Stroke { color: Color::Ink, width: 1.0, opacity: 0.6 });
        }
        if row.runs.is_empty() {
            continue;
        }
        let estimate = estimate(metric.scale(), row.runs);
        let at = field.at(x(place), estimate);
        line.push(at);
        canvas.circle(at, 3.0, Color::Blue);
        canvas.tip_around(at, 8.0, &tip(row, metric, estimate));
    }
    canvas.polyline(&line, Stroke::new(Color::Blue, 2.0));
}

fn tip(row: &HistoryRow, metric: Metric, estimate: f64) -> String {
    let shown = with_unit(metric, estimate);
    let step = row.step.map_or_else(String::new, |step| format!(", {}", movement_text(metric, step)));
    format!("{} {}: {shown}{step}: {}", row.version.day, author(row.version), cut(&row.note, 60))
}

/// Numbers the significant steps, and returns a sentence for each.
fn draw_steps(canvas: &mut Canvas, field: &Field, rows: &[HistoryRow], metric: Metric) -> Vec<String> {
    let mut steps = Vec::new();
    for (place, row) in rows.iter().enumerate() {
        let Some(step) = row.step.filter(|step: &Movement| step.is_significant() == Some(true)) else { continue };
        let at = field.at(x(place), estimate(metric.scale(), row.runs));
        canvas.ring(at, 6.0, Stroke::new(Color::Violet, 2.0));
        steps.push(format!(
            "{}: {} {} {}: {}",
            steps.len() + 1,
            row.version.day,
            movement_text(metric, step),
            author(row.version),
            cut(&row.note, 60)
        ));
        // More numbers would cover each other.
        if steps.len() <= NAMED {
            canvas.text(Position { x: at.x, y: at.y - 14.0 }, TextAnchor::Middle, &steps.len().to_string());
        }
    }
    steps
}
