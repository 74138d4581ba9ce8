//! The charts of a report, as inline SVG.

use std::fmt::Write as _;

use judge::model::run::{Metric, PERCENTILES};
use judge::model::text::{cut, printable};
use judge::parse::locust_history::{History, HistoryPoint};
use judge::stats::estimate::mean;

use crate::page::svg::{Canvas, Color, Position, Rect, Stroke, TextAnchor};
use crate::view::charts::{ChartData, CurvePoint};
use crate::view::words::{count, value};

/// The width of every chart, in pixels: on a phone of 320 pixels its letters are still of 11.
const WIDTH: f64 = 320.0;
const NUMBERS_PX: f64 = 48.0;
/// The room right of every field, for half a label: of `400%`, or of a number of five digits.
const MARGIN_PX: f64 = 24.0;
/// The room below a field for the labels and the title of its axis.
const AXIS_PX: f64 = 42.0;
/// The width of a letter, on average, in the widest of the usual fonts.
const LETTER_PX: f64 = 7.2;

pub(crate) struct Chart {
    pub(crate) title: &'static str,
    pub(crate) caption: String,
    pub(crate) svg: String,
}

#[derive(Clone, Copy)]
struct Marker {
    shape: MarkerShape,
    color: Color,
}

#[derive(Clone, Copy)]
enum MarkerShape {
    Dot,
    /// A ring around a dot at the same position leaves both visible.
    Ring,
    Line,
}

const BASELINE: Marker = Marker { shape: MarkerShape::Ring, color: Color::Blue };
const CANDIDATE: Marker = Marker { shape: MarkerShape::Dot, color: Color::Violet };
const LIMIT: Marker = Marker { shape: MarkerShape::Line, color: Color::Ink };

impl Marker {
    fn draw(self, canvas: &mut Canvas, at: Position) {
        let color = self.color;
        let beside = |x: f64| Position { x: at.x + x, y: at.y };
        match self.shape {
            MarkerShape::Dot => canvas.circle(at, 4.0, color),
            MarkerShape::Ring => canvas.ring(at, 5.0, Stroke::new(color, 2.0)),
            MarkerShape::Line => canvas.line(beside(-8.0), beside(8.0), Stroke::new(color, 2.0)),
        }
    }
}

/// Writes the legend at the top of a chart, in as many lines as it takes, and returns its lower end.
fn legend(canvas: &mut Canvas, entries: &[(Marker, &str)]) -> f64 {
    let mut x = 0.0;
    let mut y = 10.0;
    for (mark, text) in entries {
        let width = 24.0 + LETTER_PX * text.chars().count() as f64;
        if x > 0.0 && x + width > WIDTH {
            x = 0.0;
            y += 18.0;
        }
        mark.draw(canvas, Position { x: x + 10.0, y });
        canvas.text(Position { x: x + 23.0, y }, TextAnchor::Start, text);
        x += width + 14.0;
    }
    y + 14.0
}

/// The legend of both sides, and of the limit if there is one.
fn legend_of_sides(canvas: &mut Canvas, limit: Option<&str>) -> f64 {
    let sides = [(BASELINE, "baseline"), (CANDIDATE, "candidate")];
    let entries: Vec<(Marker, &str)> = sides.into_iter().chain(limit.map(|text| (LIMIT, text))).collect();
    legend(canvas, &entries)
}

pub(crate) struct Tick {
    pub(crate) at: f64,
    pub(crate) label: String,
}

pub(crate) struct Axis {
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) ticks: Vec<Tick>,
    pub(crate) title: String,
}

impl Axis {
    /// An axis with about so many ticks at round numbers.
    pub(crate) fn linear(from: f64, to: f64, about: u8) -> Axis {
        let to = if to > from { to } else { from + 1.0 };
        let tick = |at| Tick { at, label: tick_label(at) };
        Axis { from, to, ticks: ticks(from, to, about).into_iter().map(tick).collect(), title: String::new() }
    }

    /// An axis of logarithms: its ends and ticks are the logarithms of their labels.
    fn logarithmic(from: f64, to: f64) -> Axis {
        let tick = |at: f64| Tick { at: at.log10(), label: tick_label(at) };
        let ticks = logarithmic_ticks(from, to).into_iter().map(tick).collect();
        Axis { from: from.log10(), to: to.log10(), ticks, title: String::new() }
    }

    fn share(&self, value: f64) -> f64 {
        (value - self.from) / (self.to - self.from)
    }
}

pub(crate) fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, 0.0), |(least, most), value| (least.min(value), most.max(value)))
}

/// About so many round numbers from one number to a larger one: multiples of 1, 2 or 5 times a power of ten.
pub(crate) fn ticks(from: f64, to: f64, about: u8) -> Vec<f64> {
    let width = (to - from) / f64::from(about);
    let power = floor(width.log10());
    // The smallest step of at least this width, but for the last bits of a division.
    let is_enough = |digit: &f64| times_power_of_ten(*digit, power) >= width * (1.0 - 1e-9);
    let digit = [1.0, 2.0, 5.0].into_iter().find(is_enough);
    let (digit, power) = digit.map_or((1.0, power + 1), |digit| (digit, power));
    let step = times_power_of_ten(digit, power);
    let last = (to / step + 1e-9).floor();
    let mut multiple = (from / step - 1e-9).ceil();
    let mut ticks = Vec::new();
    while multiple <= last {
        ticks.push(times_power_of_ten(multiple * digit, power));
        multiple += 1.0;
    }
    ticks
}

/// Round numbers for a logarithmic axis: 1, 2 and 5 times each power of ten. A long axis has only the powers, and an axis
/// shorter than one power has other round numbers.
fn logarithmic_ticks(from: f64, to: f64) -> Vec<f64> {
    let decades = (to / from).log10();
    if decades < 1.0 {
        return ticks(from, to, 5);
    }
    let digits: &[f64] = if decades > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let mut ticks = Vec::new();
    for power in floor(from.log10())..=floor(to.log10()) {
        for digit in digits {
            let tick = times_power_of_ten(*digit, power);
            if (from..=to).contains(&tick) {
                ticks.push(tick);
            }
        }
    }
    ticks
}

#[expect(clippy::cast_possible_truncation, reason = "the logarithm of a finite number is small")]
fn floor(logarithm: f64) -> i32 {
    logarithm.floor() as i32
}

/// `number` · 10^`power`. A division is exact when a factor such as 0.1 is not.
fn times_power_of_ten(number: f64, power: i32) -> f64 {
    if power < 0 { number / 10f64.powi(-power) } else { number * 10f64.powi(power) }
}

fn tick_label(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        1e-3..1e5 => value.to_string(),
        _ => format!("{value:e}"),
    }
}

pub(crate) struct Field {
    pub(crate) area: Rect,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
}

impl Field {
    pub(crate) fn at(&self, x: f64, y: f64) -> Position {
        Position {
            x: self.area.left + self.x.share(x) * self.area.width(),
            y: self.area.bottom - self.y.share(y) * self.area.height(),
        }
    }

    pub(crate) fn draw_vertical(&self, canvas: &mut Canvas, x: f64, stroke: Stroke) {
        canvas.line(self.at(x, self.y.from), self.at(x, self.y.to), stroke);
    }

    fn draw_horizontal(&self, canvas: &mut Canvas, y: f64, stroke: Stroke) {
        canvas.line(self.at(self.x.from, y), self.at(self.x.to, y), stroke);
    }

    pub(crate) fn draw_axes(&self, canvas: &mut Canvas) {
        let grid = Stroke { color: Color::Gray, width: 1.0, opacity: 0.35 };
        let Rect { left, top, right, bottom } = self.area;
        for tick in &self.x.ticks {
            self.draw_vertical(canvas, tick.at, grid);
            let below = Position { x: self.at(tick.at, self.y.from).x, y: bottom + 13.0 };
            canvas.text(below, TextAnchor::Middle, &tick.label);
        }
        for tick in &self.y.ticks {
            self.draw_horizontal(canvas, tick.at, grid);
            let beside = Position { x: left - 5.0, y: self.at(self.x.from, tick.at).y };
            canvas.text(beside, TextAnchor::End, &tick.label);
        }
        if !self.x.title.is_empty() {
            canvas.text(
                Position { x: f64::midpoint(left, right), y: bottom + 30.0 },
                TextAnchor::Middle,
                &self.x.title,
            );
        }
        if !self.y.title.is_empty() {
            canvas.text(Position { x: 0.0, y: top - 13.0 }, TextAnchor::Start, &self.y.title);
        }
    }
}

/// Draws the p95 of every run on both sides, and the limit: the distance between runs of the same code is the noise. Returns
/// `None` if one side is not known.
pub(crate) fn strip(data: &ChartData) -> Option<Chart> {
    let (baseline, candidate, limit) = (&data.p95_ms.baseline, &data.p95_ms.candidate, data.limit_ms);
    if baseline.is_empty() || candidate.is_empty() {
        return None;
    }
    let title = "p95 of every run";
    let range_text = |runs: &[f64]| {
        let (least, most) = range(runs.iter().copied());
        let ends = [least, most].map(|end| value(Metric::P95, end));
        if ends[0] == ends[1] { format!("{} ms", ends[0]) } else { format!("{} to {} ms", ends[0], ends[1]) }
    };
    let limit_text = limit.map_or_else(String::new, |limit| format!(", limit {} ms", value(Metric::P95, limit)));
    let description = format!("Baseline {}, candidate {}{limit_text}.", range_text(baseline), range_text(candidate));
    let caption = format!("{description} The distance between runs of one side is the noise.");
    let mut canvas = Canvas::new(WIDTH, 150.0);
    let top = legend_of_sides(&mut canvas, limit.map(|_| "limit"));
    let (least, most) = range(baseline.iter().chain(candidate).copied().chain(limit));
    let margin = ((most - least) * 0.08).max(most * 0.02);
    let x = Axis { title: "p95, ms".to_owned(), ..Axis::linear(least - margin, most + margin, 4) };
    let y = Axis { from: 1.5, to: -0.5, ticks: Vec::new(), title: String::new() };
    let field = Field { area: Rect { left: 8.0, top, right: WIDTH - MARGIN_PX, bottom: 150.0 - AXIS_PX }, x, y };
    field.draw_axes(&mut canvas);
    if let Some(limit) = limit {
        field.draw_vertical(&mut canvas, limit, Stroke::new(LIMIT.color, 2.0));
    }
    for (place, (side, mark, runs)) in
        [("baseline", BASELINE, baseline), ("candidate", CANDIDATE, candidate)].into_iter().enumerate()
    {
        for (run, p95_ms) in runs.iter().enumerate() {
            let at = field.at(*p95_ms, place as f64);
            mark.draw(&mut canvas, at);
            canvas.tip_around(at, 9.0, &format!("{side} run {}: {} ms", run + 1, value(Metric::P95, *p95_ms)));
        }
    }
    Some(Chart { title, caption, svg: canvas.finish(title, &description) })
}

/// The position of a percentile on its axis: the logarithm of its odds, which leaves room for both tails.
fn log_odds(percent: f64) -> f64 {
    (percent / (100.0 - percent)).ln()
}

pub(crate) fn distribution(data: &ChartData) -> Chart {
    let (baseline, candidate, limit) = (&data.curves.baseline, &data.curves.candidate, data.limit_ms);
    let title = "Response times by percentile";
    let limit_text =
        limit.map_or_else(String::new, |limit| format!("; the limit of p95 is {} ms", value(Metric::P95, limit)));
    let description =
        format!("Baseline: {}; candidate: {}{limit_text}.", known_percentiles(baseline), known_percentiles(candidate));
    let recorded = match (baseline.len() < PERCENTILES.len(), candidate.len() < PERCENTILES.len()) {
        (true, true) => " Only p50, p95 and p99 were recorded.",
        (true, false) => " Only p50, p95 and p99 of the baseline were recorded.",
        (false, true) => " Only p50, p95 and p99 of the candidate were recorded.",
        (false, false) => "",
    };
    let caption = format!("All requests together, log scale.{recorded}");
    let mut canvas = Canvas::new(WIDTH, 330.0);
    let top = legend_of_sides(&mut canvas, limit.map(|_| "limit of p95")) + 22.0;
    draw_distribution(&mut canvas, data, top);
    Chart { title, caption, svg: canvas.finish(title, &description) }
}

fn known_percentiles(curve: &[CurvePoint]) -> String {
    let mut parts = Vec::new();
    for CurvePoint { percent, time_ms } in curve {
        if [50.0, 95.0, 99.0].contains(percent) {
            parts.push(format!("p{percent} {} ms", value(Metric::P50, *time_ms)));
        }
    }
    parts.join(", ")
}

/// Draws both curves, and the limit as a short tick at the percentile that it judges.
fn draw_distribution(canvas: &mut Canvas, data: &ChartData, top: f64) {
    let sides = [("baseline", &data.curves.baseline, BASELINE), ("candidate", &data.curves.candidate, CANDIDATE)];
    let times_ms = sides.iter().flat_map(|(_, curve, _)| curve.iter()).map(|point| point.time_ms);
    let (least, most) = range(times_ms.chain(data.limit_ms));
    // A time of 0 has no logarithm.
    let floor_ms = (most / 1e5).max(0.01);
    let labelled = [1.0, 5.0, 20.0, 50.0, 80.0, 95.0, 99.0, 99.9];
    let ticks = labelled.map(|percent| Tick { at: log_odds(percent), label: format!("p{percent}") }).into();
    let title = "percentile of the requests".to_owned();
    let x = Axis { from: log_odds(0.8), to: log_odds(99.93), ticks, title };
    let y = Axis::logarithmic(least.max(floor_ms) / 1.2, most.max(floor_ms) * 1.2);
    let y = Axis { title: "response time, ms".to_owned(), ..y };
    let area = Rect { left: NUMBERS_PX, top, right: WIDTH - MARGIN_PX, bottom: 330.0 - AXIS_PX };
    let field = Field { area, x, y };
    field.draw_axes(canvas);
    let at = |percent: f64, time_ms: f64| field.at(log_odds(percent), time_ms.max(floor_ms).log10());
    for (side, curve, mark) in sides {
        let points: Vec<Position> = curve.iter().map(|point| at(point.percent, point.time_ms)).collect();
        canvas.polyline(&points, Stroke::new(mark.color, 2.0));
        for (CurvePoint { percent, time_ms }, point) in curve.iter().zip(points) {
            mark.draw(canvas, point);
            canvas.tip_around(point, 9.0, &format!("{side} p{percent}: {} ms", value(Metric::P50, *time_ms)));
        }
    }
    if let Some(limit_ms) = data.limit_ms {
        let at = at(95.0, limit_ms);
        let (left, right) = (Position { x: at.x - 14.0, y: at.y }, Position { x: at.x + 14.0, y: at.y });
        canvas.line(left, right, Stroke::new(LIMIT.color, 3.0));
        let beside = Position { x: at.x - 18.0, y: at.y - 4.0 };
        canvas.text(beside, TextAnchor::End, &format!("limit {} ms", value(Metric::P95, limit_ms)));
    }
}

/// The number of points of all lines together in one panel, so that the page stays small however many and
/// long the runs are.
const MOST_POINTS: usize = 1500;

/// The number of areas of a panel, side by side, in which the pointer shows the values of that time.
const TIPS_A_PANEL: u8 = 40;

/// One of the fields that show the same time, one below the other.
struct Panel {
    title: &'static str,
    height: f64,
    value: fn(&HistoryPoint) -> Option<f64>,
}

/// The panels from top to bottom. Percentiles of the whole run so far would hide what happened late in it, so they are not
/// shown.
fn panels(histories: &[&History]) -> Vec<Panel> {
    let mut points = histories.iter().flat_map(|history| &history.points);
    let panel = |title, height, value| Panel { title, height, value };
    let mut panels = vec![
        panel("requests per second", 84.0, |point| Some(point.requests_per_sec)),
        panel("users", 74.0, |point| Some(point.users)),
    ];
    if points.any(|point| point.failures_per_sec > 0.0) {
        panels.insert(1, panel("failures per second", 84.0, |point| Some(point.failures_per_sec)));
    }
    if histories.iter().all(|history| history.is_windowed) {
        panels.insert(0, panel("p95 of the last 10 s, ms", 130.0, |point| Some(point.percentiles?.p95_ms)));
    }
    panels
}

const PANEL_TITLE_PX: f64 = 26.0;

pub(crate) fn over_time(data: &ChartData) -> Result<Chart, String> {
    let missing: Vec<&String> = data.histories.iter().filter_map(|history| history.as_ref().err()).collect();
    let histories: Vec<&History> = data.histories.iter().filter_map(|history| history.as_ref().ok()).collect();
    if histories.is_empty() {
        return Err(missing.first().map_or_else(|| "no history file".to_owned(), |why| cut(&printable(why), 300)));
    }
    let panels = panels(&histories);
    let points_a_line = (MOST_POINTS / (histories.len() + 1)).max(10);
    let runs: Vec<Vec<&HistoryPoint>> =
        histories.iter().map(|history| thinned(&history.points, points_a_line)).collect();
    let behind = data.baseline_history.map_or_else(Vec::new, |history| thinned(&history.points, points_a_line));
    let end_s = runs.iter().flatten().chain(&behind).map(|point| point.time_s).fold(1.0, f64::max).ceil();
    let course = Course { runs, behind, end_s };
    let made = histories.len();
    let title = "Runs over time";
    let titles: Vec<&str> = panels.iter().map(|panel| panel.title).collect();
    let description = format!("{} over {} s: {}.", count(made, "run"), course.end_s, titles.join("; "));
    let mut caption =
        if made == 1 { "One candidate run.".to_owned() } else { format!("One faint line per candidate run ({made}).") };
    caption.push_str(if data.baseline_history.is_some() {
        " Behind them the baseline's last run."
    } else {
        " The history of the baseline's runs is not kept here."
    });
    caption.push_str(" Rates are Locust's 10-second moving averages, so they start at 0.");
    if let Some(why) = missing.first() {
        let _ = write!(caption, " {} not drawn: {}.", missing.len(), cut(&printable(why), 300));
    }
    let panels_height: f64 = panels.iter().map(|panel| panel.height + PANEL_TITLE_PX).sum();
    let mut canvas = Canvas::new(WIDTH, panels_height + 54.0);
    let line = |color| Marker { shape: MarkerShape::Line, color };
    let both = [(line(CANDIDATE.color), "candidate"), (line(BASELINE.color), "baseline")];
    let mut top = legend(&mut canvas, if data.baseline_history.is_some() { &both } else { &both[..1] }) + 18.0;
    for (place, panel) in panels.iter().enumerate() {
        let is_last = place + 1 == panels.len();
        let x_title = if is_last { "seconds since the start of the run" } else { "" };
        course.draw_panel(&mut canvas, panel, top, x_title);
        top += panel.height + PANEL_TITLE_PX;
    }
    Ok(Chart { title, caption, svg: canvas.finish(title, &description) })
}

fn thinned(points: &[HistoryPoint], most: usize) -> Vec<&HistoryPoint> {
    if points.len() <= most {
        return points.iter().collect();
    }
    (0..most).map(|place| &points[place * (points.len() - 1) / (most - 1)]).collect()
}

struct Course<'a> {
    runs: Vec<Vec<&'a HistoryPoint>>,
    behind: Vec<&'a HistoryPoint>,
    end_s: f64,
}

impl Course<'_> {
    fn draw_panel(&self, canvas: &mut Canvas, panel: &Panel, top: f64, x_title: &str) {
        let all = self.runs.iter().flatten().chain(&self.behind);
        let most = all.filter_map(|point| (panel.value)(point)).fold(0.0, f64::max);
        let area = Rect { left: NUMBERS_PX, top, right: WIDTH - MARGIN_PX, bottom: top + panel.height - 16.0 };
        let x = Axis { title: x_title.to_owned(), ..Axis::linear(0.0, self.end_s, 6) };
        let y = Axis { title: panel.title.to_owned(), ..Axis::linear(0.0, most * 1.05, 4) };
        let field = Field { area, x, y };
        field.draw_axes(canvas);
        let opacity = if self.runs.len() == 1 { 1.0 } else { 0.5 };
        let behind = [(&self.behind, Stroke { color: BASELINE.color, width: 2.0, opacity: 0.8 })];
        let behind = behind.into_iter().filter(|(run, _)| !run.is_empty());
        let front = self.runs.iter().map(|run| (run, Stroke { color: CANDIDATE.color, width: 2.0, opacity }));
        for (run, stroke) in behind.chain(front) {
            let at = |point: &&HistoryPoint| Some(field.at(point.time_s, (panel.value)(point)?));
            let points: Vec<Position> = run.iter().filter_map(at).collect();
            canvas.polyline(&points, stroke);
        }
        self.write_tips(canvas, panel, &field);
    }

    fn write_tips(&self, canvas: &mut Canvas, panel: &Panel, field: &Field) {
        let step_s = self.end_s / f64::from(TIPS_A_PANEL);
        for place in 0..TIPS_A_PANEL {
            let from_s = f64::from(place) * step_s;
            let to_s = f64::from(place + 1) * step_s;
            if let Some(mean) = self.mean(panel, from_s, to_s) {
                let (left, right) = (field.at(from_s, 0.0).x, field.at(to_s, 0.0).x);
                let tip = format!("{} s: {} {mean:.1}", from_s.round(), panel.title);
                canvas.tip_within(Rect { left, right, ..field.area }, &tip);
            }
        }
    }

    /// The mean of a panel's values of the candidate between two moments; `None` if it has none there.
    fn mean(&self, panel: &Panel, from_s: f64, to_s: f64) -> Option<f64> {
        let near = self.runs.iter().flatten().filter(|point| (from_s..=to_s).contains(&point.time_s));
        let values: Vec<f64> = near.filter_map(|point| (panel.value)(point)).collect();
        (!values.is_empty()).then(|| mean(&values))
    }
}

#[cfg(test)]
mod tests {
    use super::{logarithmic_ticks, tick_label, ticks};

    fn labels(ticks: Vec<f64>) -> String {
        ticks.into_iter().map(tick_label).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ticks_are_round_numbers_within_the_axis() {
        let cases = [
            (0.0, 10.0, 5, "0 2 4 6 8 10"),
            (0.0, 10.5, 4, "0 5 10"),
            (0.0, 66.0, 4, "0 20 40 60"),
            (0.0, 0.3, 3, "0 0.1 0.2 0.3"),
            (0.0, 0.42, 4, "0 0.2 0.4"),
            (0.0, 1.05, 4, "0 0.5 1"),
            (0.0, 1000.0, 10, "0 100 200 300 400 500 600 700 800 900 1000"),
            (-30.0, 281.0, 5, "0 100 200"),
            (-200.0, 400.0, 5, "-200 0 200 400"),
            (-25.0, 125.0, 5, "0 50 100"),
            (0.0, 7.0, 1, "0"),
            (99.5, 100.7, 6, "99.6 99.8 100 100.2 100.4 100.6"),
            (0.0, 1.05e-9, 4, "0 5e-10 1e-9"),
            (0.0, 1.05e12, 4, "0 5e11 1e12"),
            (0.0, 240_000.0, 5, "0 50000 1e5 1.5e5 2e5"),
        ];
        for (from, to, about, expected) in cases {
            assert_eq!(labels(ticks(from, to, about)), expected, "{from} to {to}, about {about}");
        }
    }

    #[test]
    fn axes_of_any_length_have_about_as_many_ticks_as_asked_for() {
        let mut to = 1e-9;
        while to < 1e15 {
            for about in 3..10 {
                let ticks = ticks(0.0, to, about);
                let least = usize::from(about) / 3 + 1;
                assert!((least..=usize::from(about) + 1).contains(&ticks.len()), "{to}, about {about}: {ticks:?}");
                assert!(ticks.iter().all(|tick| *tick <= to * (1.0 + 1e-8)), "{to}, about {about}: {ticks:?}");
            }
            to *= 1.37;
        }
    }

    #[test]
    fn logarithmic_axes_have_ticks() {
        let cases = [
            (5.8, 1010.0, "10 20 50 100 200 500 1000"),
            (0.01, 12_000.0, "0.01 0.1 1 10 100 1000 10000"),
            (1.0, 10.0, "1 2 5 10"),
            // No 1, 2 or 5 lies in here.
            (25.0, 36.0, "25 30 35"),
            (9.0, 80.0, "20 40 60 80"),
        ];
        for (from, to, expected) in cases {
            assert_eq!(labels(logarithmic_ticks(from, to)), expected, "{from} to {to}");
        }
    }
}
