//! The chart of one metric over the accepted baselines: its runs as dots, its estimates as a line, and the steps that noise
//! does not explain marked with their notes.

use std::fmt::Write as _;

use judge::baseline::chain::Movement;
use judge::model::run::Metric;
use judge::model::text::cut;

use crate::history::timeline::{Entry, Timeline, author, moved};
use crate::page::charts::{Axis, Chart, Field, Tick};
use crate::page::svg::{Anchor, Canvas, Color, Point, Rect, Stroke};
use crate::view::words::{count, tile_name, unit_of_value, value};

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 240.0;
/// The field of the values, with room for the numbers left of it, the dates below it, and the number of a step above it.
const AREA: Rect = Rect { left: 48.0, top: 20.0, right: 324.0, bottom: 198.0 };
/// The number of dates below the chart.
const DATES: usize = 3;
/// The number of steps that the caption names.
const NAMED: usize = 8;
/// The number of dots that are drawn at most: more of them are one grey band.
const MOST_DOTS: usize = 4000;

/// Draws a metric of an endpoint, or of all requests together, from the oldest baseline to the newest.
pub fn draw(timeline: &Timeline, endpoint: Option<&str>, metric: Metric) -> Chart {
    let mut entries = timeline.entries(endpoint, metric);
    entries.reverse();
    let field = field(&entries);
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    field.draw_axes(&mut canvas);
    draw_runs(&mut canvas, &field, &entries);
    draw_estimates(&mut canvas, &field, &entries, metric);
    let steps = draw_steps(&mut canvas, &field, &entries, metric);
    let title = tile_name(metric);
    let unit = if metric.unit().is_empty() { String::new() } else { format!(" in {}", metric.unit()) };
    let description =
        format!("{metric}{unit} of {}, {}", timeline.title(endpoint), count(entries.len(), "accepted baseline"));
    Chart { title, caption: caption(&description, &steps), svg: canvas.finish(&description, &steps.join("; ")) }
}

fn caption(description: &str, steps: &[String]) -> String {
    let mut caption = format!("{description}; a dot is a run.");
    for step in steps.iter().take(NAMED) {
        let _ = write!(caption, " {step}.");
    }
    if steps.len() > NAMED {
        let _ = write!(caption, " And {} more.", steps.len() - NAMED);
    }
    caption
}

/// Returns the place of an entry on the level axis.
fn x(place: usize) -> f64 {
    place as f64
}

fn field(entries: &[Entry]) -> Field {
    let all = entries.iter().flat_map(|entry| entry.runs.iter().copied());
    let (least, most) = all.fold((f64::INFINITY, 0.0_f64), |(least, most), end| (least.min(end), most.max(end)));
    let margin = ((most - least) * 0.08).max(most * 0.02);
    let from = if least.is_finite() { (least - margin).max(0.0) } else { 0.0 };
    let newest = entries.len().saturating_sub(1);
    let mut ticks = Vec::new();
    for date in 0..DATES.min(entries.len()) {
        let place = date * newest / (DATES.min(entries.len()) - 1).max(1);
        ticks.push(Tick { at: x(place), label: entries[place].version.day.to_string() });
    }
    let x_title = "accepted baselines, by their commits' dates".to_owned();
    Field {
        area: AREA,
        x: Axis { from: -0.5, to: x(newest) + 0.5, ticks, title: x_title },
        y: Axis::linear(from, most + margin, 5, ""),
    }
}

fn draw_runs(canvas: &mut Canvas, field: &Field, entries: &[Entry]) {
    if entries.iter().map(|entry| entry.runs.len()).sum::<usize>() > MOST_DOTS {
        return;
    }
    for (place, entry) in entries.iter().enumerate() {
        for run in entry.runs {
            canvas.circle(field.at(x(place), *run), 2.0, Color::Gray);
        }
    }
}

/// Draws a line through the estimates of each stretch, with a tip at each of them.
fn draw_estimates(canvas: &mut Canvas, field: &Field, entries: &[Entry], metric: Metric) {
    let mut line: Vec<Point> = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        if !entry.breaks.is_empty() {
            canvas.polyline(&line, Stroke::new(Color::Blue, 2.0));
            line.clear();
            field.draw_upright(canvas, x(place) - 0.5, Stroke { color: Color::Ink, width: 1.0, opacity: 0.6 });
        }
        let Some(estimate) = estimate(entry, metric) else { continue };
        let at = field.at(x(place), estimate);
        line.push(at);
        canvas.circle(at, 3.0, Color::Blue);
        canvas.tip_around(at, 8.0, &told(entry, metric, estimate));
    }
    canvas.polyline(&line, Stroke::new(Color::Blue, 2.0));
}

fn estimate(entry: &Entry, metric: Metric) -> Option<f64> {
    (!entry.runs.is_empty()).then(|| judge::stats::estimate::estimate(metric.scale(), entry.runs))
}

fn told(entry: &Entry, metric: Metric, estimate: f64) -> String {
    let shown = format!("{}{}", value(metric, estimate), unit_of_value(metric));
    let step = entry.step.map_or_else(String::new, |step| format!(", {}", moved(metric, step)));
    format!("{} {}: {shown}{step}: {}", entry.version.day, author(entry.version), cut(&entry.why, 60))
}

/// Marks the steps that noise does not explain with a number each, and returns what they stand for.
fn draw_steps(canvas: &mut Canvas, field: &Field, entries: &[Entry], metric: Metric) -> Vec<String> {
    let mut steps = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        let Some(step) = entry.step.filter(|step: &Movement| step.is_significant() == Some(true)) else { continue };
        let Some(estimate) = estimate(entry, metric) else { continue };
        let at = field.at(x(place), estimate);
        canvas.ring(at, 6.0, Stroke::new(Color::Violet, 2.0));
        steps.push(format!(
            "{}: {} {} {}: {}",
            steps.len() + 1,
            entry.version.day,
            moved(metric, step),
            author(entry.version),
            cut(&entry.why, 60)
        ));
        // Numbers that stand on each other tell nothing.
        if steps.len() <= NAMED {
            canvas.text(Point { x: at.x, y: at.y - 14.0 }, Anchor::Middle, &steps.len().to_string());
        }
    }
    steps
}
