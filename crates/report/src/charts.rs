//! The charts of a report, as inline SVG.

use std::fmt::Write as _;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use judge::baseline;
use judge::decision::Row;
use judge::locust_history::Point;
use judge::run::{Metric, PERCENTILES};
use judge::text::{cut, escaped, printable};

use crate::content::{Report, by_severity, cells};
use crate::words::{Status, count, value};

/// Colours that the colour-blind tell apart (Okabe and Ito). The page has lighter ones for the dark, by these very values.
pub const BASELINE: RGBColor = RGBColor(0x00, 0x72, 0xb2);
pub const CANDIDATE: RGBColor = RGBColor(0xd5, 0x5e, 0x00);
const GOOD: RGBColor = RGBColor(0x00, 0x9e, 0x73);
const BAD: RGBColor = CANDIDATE;
const DUBIOUS: RGBColor = RGBColor(0xcc, 0x79, 0xa7);
/// Becomes the colour of the page's text.
const INK: RGBColor = RGBColor(0, 0, 0);
/// Visible on black and on white.
const FAINT: RGBColor = RGBColor(0x88, 0x88, 0x88);

/// As narrow as a picture can be on a phone without its letters becoming too small.
const WIDTH: i32 = 480;
const FONT_PX: f64 = 12.0;
/// Left of a field whose rows have names, and the letters that fit there.
const LABELS: i32 = 216;
const LABEL: usize = 31;
/// Right of every field, for half a label: of `400 %`, or of a number of five digits.
const MARGIN: i32 = 22;
/// Of a letter, on average, in the widest of the usual fonts.
const LETTER_PX: f64 = 6.6;

/// Series, and endpoints, that one picture shows: those beyond are in the table.
const MOST_SERIES: usize = 40;
const MOST_ENDPOINTS: usize = 20;

/// A chart and its texts.
pub struct Chart {
    pub title: &'static str,
    pub caption: String,
    pub svg: String,
}

/// All of them, or why one is not there.
pub fn all(report: &Report) -> Vec<Result<Chart>> {
    let none = |title: &str, error: anyhow::Error| anyhow!("no picture of {title}: {error:#}");
    vec![
        series(report).map_err(|error| none("the series", error)),
        distribution(report).map_err(|error| none("the distribution", error)),
        over_time(report).map_err(|error| none("the run's course", error)),
        slowest(report).map_err(|error| none("the slowest endpoints", error)),
    ]
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Pixel = (i32, i32);

/// Where a pointer rests, and what it is told there.
struct Tips(String);

impl Tips {
    fn around(&mut self, (x, y): Pixel, text: &str) {
        let _ = writeln!(self.0, r#"<circle cx="{x}" cy="{y}" r="9"><title>{}</title></circle>"#, escaped(text));
    }

    fn within(&mut self, [left, top, right, bottom]: [i32; 4], text: &str) {
        let (width, height) = (right - left, bottom - top);
        let title = escaped(text);
        let _ = writeln!(
            self.0,
            r#"<rect x="{left}" y="{top}" width="{width}" height="{height}"><title>{title}</title></rect>"#
        );
    }
}

fn svg(
    title: &'static str,
    description: &str,
    caption: String,
    height: i32,
    paint: impl FnOnce(&Area, &mut Tips) -> Result<()>,
) -> Result<Chart> {
    let mut drawn = String::new();
    let mut tips = Tips(String::new());
    {
        let area =
            SVGBackend::with_string(&mut drawn, (WIDTH.unsigned_abs(), height.unsigned_abs())).into_drawing_area();
        paint(&area, &mut tips)?;
        area.present()?;
    }
    // An image with a name for who cannot see it; the name of the format is told by where it stands.
    let (title_text, description) = (escaped(title), escaped(description));
    let head = format!(" role=\"img\">\n<title>{title_text}</title>\n<desc>{description}</desc>\n");
    let drawn = drawn.replacen(" xmlns=\"http://www.w3.org/2000/svg\">\n", &head, 1);
    // In an attribute alone: the text has its quotes escaped.
    let drawn = drawn.replace("\"#000000\"", "\"currentColor\"").replace(" opacity=\"1\"", "");
    let end = drawn.rfind("</svg>").unwrap_or(drawn.len());
    let tips = format!("<g fill=\"none\" pointer-events=\"all\">\n{}</g>\n</svg>", tips.0);
    Ok(Chart { title, caption, svg: drawn[..end].to_owned() + &tips })
}

// Marks, in pixels of the whole picture

fn write(area: &Area, at: Pixel, horizontal: HPos, text: &str) -> Result<()> {
    // The backend divides by what it takes to be the height of a line.
    let style = TextStyle::from(("sans-serif", FONT_PX * 1.24)).color(&INK).pos(Pos::new(horizontal, VPos::Center));
    Ok(area.draw(&Text::new(text.to_owned(), at, style))?)
}

fn line(area: &Area, points: Vec<Pixel>, color: impl Color, width: u32) -> Result<()> {
    Ok(area.draw(&PathElement::new(points, color.stroke_width(width)))?)
}

#[derive(Clone, Copy)]
enum Mark {
    Dot,
    Ring,
    Triangle,
    Square,
    Line,
}

fn mark(area: &Area, mark: Mark, (x, y): Pixel, color: RGBColor) -> Result<()> {
    match mark {
        Mark::Dot => area.draw(&Circle::new((x, y), 3, color.filled()))?,
        // Around a dot at the same place.
        Mark::Ring => area.draw(&Circle::new((x, y), 5, color.stroke_width(2)))?,
        Mark::Triangle => area.draw(&Polygon::new([(x, y - 5), (x + 5, y + 4), (x - 5, y + 4)], color.filled()))?,
        Mark::Square => area.draw(&Rectangle::new([(x - 4, y - 4), (x + 4, y + 4)], color.filled()))?,
        Mark::Line => line(area, vec![(x - 8, y), (x + 8, y)], color, 2)?,
    }
    Ok(())
}

/// At the top, in as many lines as it takes; returns where the picture itself begins.
fn legend(area: &Area, entries: &[(Mark, RGBColor, &str)]) -> Result<i32> {
    let (mut x, mut y) = (0, 10);
    for (symbol, color, text) in entries {
        let width = 24 + text_px(text);
        if x > 0 && x + width > WIDTH {
            (x, y) = (0, y + 18);
        }
        mark(area, *symbol, (x + 10, y), *color)?;
        write(area, (x + 23, y), HPos::Left, text)?;
        x += width + 14;
    }
    Ok(y + 14)
}

#[expect(clippy::cast_possible_truncation, reason = "a width in pixels of a picture")]
fn text_px(text: &str) -> i32 {
    (text.chars().count() as f64 * LETTER_PX) as i32
}

/// One side of a field: what it spans, and what stands where on it.
struct Axis {
    from: f64,
    to: f64,
    /// `true` draws its lines across the field.
    ticks: Vec<(f64, String)>,
    title: String,
}

impl Axis {
    /// About so many ticks at round numbers.
    fn linear(from: f64, to: f64, ticks: usize, unit: &str, title: &str) -> Axis {
        let to = if to > from { to } else { from + 1.0 };
        let coordinate: RangedCoordf64 = (from..to).into();
        let ticks = coordinate.key_points(ticks).into_iter().map(|at| (at, format!("{}{unit}", round(at)))).collect();
        Axis { from, to, ticks, title: title.to_owned() }
    }

    /// Of logarithms, with ticks at 1, 2 and 5 times powers of ten, or at those alone where there are many.
    fn logarithmic(from: f64, to: f64, title: &str) -> Axis {
        let decades = (to / from).log10();
        let digits: &[f64] = if decades > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        #[expect(clippy::cast_possible_truncation, reason = "powers of ten of a finite number")]
        let powers = from.log10().floor() as i32..=to.log10().ceil() as i32;
        let ticks = powers.flat_map(|power| digits.iter().map(move |digit| digit * 10f64.powi(power)));
        let ticks = ticks.filter(|at| (from..=to).contains(at)).map(|at| (at.log10(), round(at))).collect();
        Axis { from: from.log10(), to: to.log10(), ticks, title: title.to_owned() }
    }

    /// One place a row, the first at the top, without ticks.
    fn rows(count: usize) -> Axis {
        Axis { from: count as f64 - 0.5, to: -0.5, ticks: Vec::new(), title: String::new() }
    }

    fn clamp(&self, value: f64) -> f64 {
        value.clamp(self.from.min(self.to), self.from.max(self.to))
    }
}

/// Without the last bits of a sum of steps.
fn round(value: f64) -> String {
    let rounded = (value * 1e6).round() / 1e6;
    format!("{}", if rounded == 0.0 { 0.0 } else { rounded })
}

/// A field with its grid and labels, and where its values lie in pixels of the whole picture.
struct Field<'a, 'b> {
    chart: ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>,
}

impl<'a, 'b> Field<'a, 'b> {
    /// Between `top` and `bottom`, right of `left`; the labels are outside of that.
    fn new(area: &'a Area<'b>, [left, top, bottom]: [i32; 3], x: &Axis, y: &Axis) -> Result<Field<'a, 'b>> {
        let (_, height) = area.dim_in_pixel();
        let height = i32::try_from(height)?;
        let chart = ChartBuilder::on(area)
            .margin_top(top)
            .margin_right(MARGIN)
            .margin_left(left)
            .margin_bottom(height - bottom)
            .build_cartesian_2d(x.from..x.to, y.from..y.to)?;
        let field = Field { chart };
        let (right, middle) = (WIDTH - MARGIN, i32::midpoint(left, WIDTH - MARGIN));
        for (at, text) in &x.ticks {
            let (at, _) = field.at(*at, y.from);
            line(area, vec![(at, top), (at, bottom)], FAINT.mix(0.35), 1)?;
            write(area, (at, bottom + 10), HPos::Center, text)?;
        }
        for (at, text) in &y.ticks {
            let (_, at) = field.at(x.from, *at);
            line(area, vec![(left, at), (right, at)], FAINT.mix(0.35), 1)?;
            write(area, (left - 5, at), HPos::Right, text)?;
        }
        if !x.title.is_empty() {
            write(area, (middle, bottom + 26), HPos::Center, &x.title)?;
        }
        if !y.title.is_empty() {
            write(area, (0, top - 13), HPos::Left, &y.title)?;
        }
        Ok(field)
    }

    fn at(&self, x: f64, y: f64) -> Pixel {
        self.chart.backend_coord(&(x, y))
    }
}

// 1. Every judged series against its limit

/// The row, and the dot's colour and form by its status.
fn status_mark(status: Status) -> (Mark, RGBColor) {
    match status {
        Status::Fail => (Mark::Square, BAD),
        Status::Warn => (Mark::Triangle, DUBIOUS),
        _ => (Mark::Dot, GOOD),
    }
}

fn series(report: &Report) -> Result<Chart> {
    let rows = report.comparison.total.iter().chain(&report.comparison.endpoints);
    let mut rows: Vec<&Row> = rows.filter(|row| row.limit.is_some() && row.presence.baseline().is_some()).collect();
    rows.sort_by(|a, b| by_severity(a, b));
    let judged = rows.len();
    rows.truncate(MOST_SERIES);
    let Some(worst) = rows.first() else { return Err(anyhow!("none is judged")) };
    let over = rows.iter().filter(|row| row.is_finding()).count();
    let description = format!(
        "Dots with intervals, worst first. The worst is {}; {over} of the {} shown are over their limits.",
        cells(worst).texts.join(" "),
        rows.len()
    );
    let shown = if judged > rows.len() {
        format!("The {} worst of {judged} judged series. ", rows.len())
    } else {
        String::new()
    };
    let caption = format!(
        "{shown}0 % is the baseline, 100 % the limit of each series; the bar is the confidence interval of the change. Changes beyond the scale stand at its edge."
    );
    let height = 62 + 18 * i32::try_from(rows.len())? + 40;
    svg("Each series against its limit", &description, caption, height, |area, tips| {
        series_field(area, tips, &rows, height)
    })
}

fn series_field(area: &Area, tips: &mut Tips, rows: &[&Row], height: i32) -> Result<()> {
    let top = legend(
        area,
        &[
            (Mark::Dot, GOOD, "within its limit"),
            (Mark::Triangle, DUBIOUS, "WARN"),
            (Mark::Square, BAD, "FAIL"),
            (Mark::Line, INK, "limit"),
        ],
    )?;
    let strains = rows.iter().flat_map(|row| {
        let value = row.presence.candidate().and_then(|value| row.strain(value));
        value.into_iter().chain(row.strain_interval().into_iter().flat_map(|ends| [ends.low, ends.high]))
    });
    let strains: Vec<f64> = strains.filter(|strain| strain.is_finite()).collect();
    let least = strains.iter().copied().fold(-0.25, f64::min).max(-2.0) * 100.0;
    let most = strains.iter().copied().fold(1.25, f64::max).min(4.0) * 100.0;
    let x = Axis::linear(least, most, 5, " %", "change, in percent of what the limit allows");
    let field = Field::new(area, [LABELS, top, height - 40], &x, &Axis::rows(rows.len()))?;
    let below = rows.len() as f64 - 0.5;
    line(area, vec![field.at(0.0, -0.5), field.at(0.0, below)], FAINT, 1)?;
    line(area, vec![field.at(100.0, -0.5), field.at(100.0, below)], INK, 2)?;
    for (place, row) in rows.iter().enumerate() {
        let y = place as f64;
        let texts = cells(row).texts;
        let (symbol, color) = status_mark(Status::of(row));
        let (_, name_y) = field.at(x.from, y);
        write(area, (LABELS - 6, name_y), HPos::Right, &label(row, &format!(" {}", row.metric)))?;
        if let Some(ends) = row.strain_interval() {
            let [low, high] = [ends.low, ends.high].map(|end| field.at(x.clamp(100.0 * end), y));
            line(area, vec![low, high], color.mix(0.6), 3)?;
        }
        let strain = row.presence.candidate().and_then(|value| row.strain(value)).unwrap_or(f64::INFINITY);
        let at = field.at(x.clamp(100.0 * strain), y);
        mark(area, symbol, at, color)?;
        if strain * 100.0 > x.to {
            write(
                area,
                (at.0 - 9, at.1),
                HPos::Right,
                if row.presence.candidate().is_none() { "missing" } else { &texts[3] },
            )?;
        }
        tips.within([0, at.1 - 9, WIDTH, at.1 + 9], &tip(&texts));
    }
    Ok(())
}

/// What a row is called where there is little room: the end of it, the metric, stays.
fn label(row: &Row, end: &str) -> String {
    let Some(endpoint) = row.endpoint else { return end.trim_start().to_owned() };
    // A letter out of a thousand is enough to cut from.
    cut(&printable(&cut(endpoint, 1000)), LABEL - end.len()) + end
}

/// A row of the table in a sentence.
fn tip([name, baseline, candidate, change, interval, limit, status]: &[String; 7]) -> String {
    let name = cut(name, 200);
    let interval = if interval.is_empty() { String::new() } else { format!(", interval {interval}") };
    let limit = if limit.is_empty() { String::new() } else { format!(", limit {limit}") };
    format!("{name}: {baseline} -> {candidate} ({change}{interval}{limit}) {status}")
}

// 2. Percentile curves

/// Percent and response time in ms, rising.
type Curve = Vec<(f64, f64)>;

/// From the distribution where there is one, else from the three percentiles that every side has.
fn curve(distribution: &[f64], value: impl Fn(Metric) -> Option<f64>) -> Curve {
    if distribution.len() == PERCENTILES.len() {
        return PERCENTILES.into_iter().zip(distribution.iter().copied()).collect();
    }
    let known = [(50.0, Metric::P50), (95.0, Metric::P95), (99.0, Metric::P99)];
    known.into_iter().filter_map(|(percent, metric)| Some((percent, value(metric)?))).collect()
}

/// The logarithm of the odds: spreads both tails.
fn spread(percent: f64) -> f64 {
    (percent / (100.0 - percent)).ln()
}

fn distribution(report: &Report) -> Result<Chart> {
    let row = |metric: Metric| report.comparison.total.iter().find(|row| row.metric == metric);
    let candidate = baseline::distribution(report.runs);
    let baseline = curve(report.distribution, |metric| row(metric)?.presence.baseline());
    let candidate = curve(&candidate, |metric| row(metric)?.presence.candidate());
    let limit = row(Metric::P95).and_then(Row::allowed);
    let told = |curve: &Curve| -> String {
        let main = curve.iter().filter(|(percent, _)| [50.0, 95.0, 99.0].contains(percent));
        let told = main.map(|(percent, time_ms)| format!("p{percent} {} ms", value(Metric::P50, *time_ms)));
        told.collect::<Vec<_>>().join(", ")
    };
    let limit_told =
        limit.map_or_else(String::new, |limit| format!("; the limit of p95 is {} ms", value(Metric::P95, limit)));
    let description = format!("Baseline: {}; candidate: {}{limit_told}.", told(&baseline), told(&candidate));
    let few = [("baseline", &baseline), ("candidate", &candidate)].map(|(side, curve)| {
        if curve.len() < PERCENTILES.len() {
            format!(" Of the {side} only p50, p95 and p99 are known.")
        } else {
            String::new()
        }
    });
    let caption = format!("All requests together; logarithmic axes, so that both tails show.{}", few.concat());
    svg("Response times by percentile", &description, caption, 330, |area, tips| {
        distribution_field(area, tips, [&baseline, &candidate], limit)
    })
}

fn distribution_field(area: &Area, tips: &mut Tips, curves: [&Curve; 2], limit: Option<f64>) -> Result<()> {
    let entries =
        [(Mark::Ring, BASELINE, "baseline"), (Mark::Dot, CANDIDATE, "candidate"), (Mark::Line, INK, "limit of p95")];
    let top = legend(area, if limit.is_some() { &entries } else { &entries[..2] })? + 22;
    let times = curves.into_iter().flatten().map(|(_, time_ms)| *time_ms).chain(limit);
    let most = times.clone().fold(0.0, f64::max);
    // A time of 0 has no logarithm.
    let floor = (most / 1e5).max(0.01);
    let least = times.fold(f64::INFINITY, f64::min).max(floor);
    let y = Axis::logarithmic(least / 1.2, most.max(floor) * 1.2, "response time, ms");
    let labelled = [1.0, 5.0, 20.0, 50.0, 80.0, 95.0, 99.0, 99.9];
    let ticks = labelled.map(|percent| (spread(percent), format!("p{percent}"))).to_vec();
    let x = Axis { from: spread(0.8), to: spread(99.93), ticks, title: "percentile of the requests".to_owned() };
    let field = Field::new(area, [46, top, 290], &x, &y)?;
    if let Some(limit) = limit {
        let height = limit.max(floor).log10();
        line(area, vec![field.at(x.from, height), field.at(x.to, height)], INK, 2)?;
        let text = format!("{} ms", value(Metric::P95, limit));
        let (left, at) = field.at(x.from, height);
        write(area, (left + 6, at - 9), HPos::Left, &text)?;
    }
    let sides = [("baseline", BASELINE, Mark::Ring), ("candidate", CANDIDATE, Mark::Dot)];
    for (curve, (side, color, symbol)) in curves.into_iter().zip(sides) {
        let at = |(percent, time_ms): &(f64, f64)| field.at(spread(*percent), time_ms.max(floor).log10());
        line(area, curve.iter().map(at).collect(), color, 2)?;
        for point in curve {
            mark(area, symbol, at(point), color)?;
            tips.around(at(point), &format!("{side} p{}: {} ms", point.0, value(Metric::P50, point.1)));
        }
    }
    Ok(())
}

// 3. The course of the runs

/// Points of all lines together that one panel may hold, so that the page stays small however many and long the runs.
const MOST_POINTS: usize = 1500;

/// One line of a panel: its colour, its name where a panel has several, and its value at a moment.
type Line = (RGBColor, &'static str, fn(&Point) -> Option<f64>);

/// What is drawn over the same time, one below the other.
struct Panel {
    title: String,
    height: i32,
    lines: Vec<Line>,
}

fn panels(is_windowed: bool) -> Vec<Panel> {
    let span = if is_windowed { "of the last 10 s" } else { "of the run so far" };
    let panel = |title: &str, height, lines| Panel { title: title.to_owned(), height, lines };
    vec![
        Panel {
            title: format!("response time {span}, ms"),
            height: 150,
            lines: vec![
                (CANDIDATE, "p99", |point| Some(point.percentiles?.p99_ms)),
                (BASELINE, "p95", |point| Some(point.percentiles?.p95_ms)),
                (GOOD, "p50", |point| Some(point.percentiles?.p50_ms)),
            ],
        },
        panel("requests per second, 1/s", 84, vec![(BASELINE, "", |point| Some(point.requests_per_sec))]),
        panel("failures per second, 1/s", 84, vec![(CANDIDATE, "", |point| Some(point.failures_per_sec))]),
        panel("users", 84, vec![(GOOD, "", |point| Some(point.users))]),
    ]
}

fn over_time(report: &Report) -> Result<Chart> {
    let missing: Vec<&String> = report.histories.iter().filter_map(|history| history.as_ref().err()).collect();
    let histories: Vec<_> = report.histories.iter().filter_map(|history| history.as_ref().ok()).collect();
    let Some(first) = histories.first() else {
        return Err(missing
            .first()
            .map_or_else(|| anyhow!("no run is known"), |why| anyhow!(cut(&printable(why), 300))));
    };
    let panels = panels(first.is_windowed);
    let each = MOST_POINTS / histories.len() / 3;
    let runs: Vec<Vec<&Point>> = histories.iter().map(|history| thinned(&history.points, each.max(10))).collect();
    #[expect(clippy::cast_possible_truncation, reason = "the length of a run, which saturates")]
    let end_s = runs.iter().flatten().map(|point| point.time_s).fold(1.0, f64::max).ceil() as i32;
    let height = panels.iter().map(|panel| panel.height + 26).sum::<i32>() + 50;
    let made = runs.len();
    let description = format!(
        "{} over {end_s} s: {}.",
        count(made, "run"),
        panels.iter().map(|panel| panel.title.as_str()).collect::<Vec<_>>().join("; ")
    );
    let lines = if made == 1 {
        "The lines are of one candidate run.".to_owned()
    } else {
        format!("Each of {made} candidate runs is a faint line.")
    };
    let mut caption = format!(
        "{lines} Requests and failures per second are Locust's own means over the last 10 s, and so climb from 0 in the first seconds."
    );
    if let Some(why) = missing.first() {
        let _ = write!(caption, " {} not drawn: {}.", missing.len(), cut(&printable(why), 300));
    }
    svg("The runs over their time", &description, caption, height, |area, tips| {
        let mut top =
            legend(area, &[(Mark::Line, CANDIDATE, "p99"), (Mark::Line, BASELINE, "p95"), (Mark::Line, GOOD, "p50")])?
                + 18;
        let last = panels.len() - 1;
        for (place, panel) in panels.iter().enumerate() {
            panel_field(area, tips, panel, &runs, [top, end_s], place == last)?;
            top += panel.height + 26;
        }
        Ok(())
    })
}

/// At most so many of them, evenly, the first and the last included.
fn thinned(points: &[Point], most: usize) -> Vec<&Point> {
    if points.len() <= most {
        return points.iter().collect();
    }
    (0..most).map(|place| &points[place * (points.len() - 1) / (most - 1)]).collect()
}

/// Seconds at which a pointer is told the values of the nearest moment.
const TIPS_A_PANEL: i32 = 40;

fn panel_field(
    area: &Area,
    tips: &mut Tips,
    panel: &Panel,
    runs: &[Vec<&Point>],
    [top, end_s]: [i32; 2],
    is_last: bool,
) -> Result<()> {
    let values = |of: &Line| runs.iter().flatten().filter_map(|point| (of.2)(point)).collect::<Vec<f64>>();
    let most = panel.lines.iter().flat_map(values).fold(0.0, f64::max);
    let y = Axis::linear(0.0, most * 1.05, 4, "", &panel.title);
    let mut x = Axis::linear(0.0, f64::from(end_s), 6, "", "seconds since the start of the run");
    if !is_last {
        x.title.clear();
    }
    let bottom = top + panel.height;
    let field = Field::new(area, [46, top, bottom - 16], &x, &y)?;
    let faint = if runs.len() == 1 { 1.0 } else { 0.5 };
    for (color, _, value) in &panel.lines {
        for run in runs {
            let points = run.iter().filter_map(|point| Some(field.at(point.time_s, value(point)?)));
            line(area, points.collect(), color.mix(faint), 2)?;
        }
    }
    let step = f64::from(end_s) / f64::from(TIPS_A_PANEL);
    for place in 0..TIPS_A_PANEL {
        let [from, to] = [place, place + 1].map(|place| f64::from(place) * step);
        let near = || runs.iter().flatten().filter(|point| (from..=to).contains(&point.time_s));
        let told = panel.lines.iter().filter_map(|(_, name, value)| {
            let values: Vec<f64> = near().filter_map(|point| value(point)).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            (!values.is_empty()).then(|| format!(" {name} {mean:.1}"))
        });
        let told: String = told.collect();
        if !told.is_empty() {
            let ([left, _], [right, _]) = (<[i32; 2]>::from(field.at(from, 0.0)), <[i32; 2]>::from(field.at(to, 0.0)));
            tips.within([left, top, right, bottom - 16], &format!("{} s: {}:{told}", round(from.round()), panel.title));
        }
    }
    Ok(())
}

// 4. The slowest endpoints

fn slowest(report: &Report) -> Result<Chart> {
    let slower = |row: &Row| row.presence.baseline().unwrap_or(0.0).max(row.presence.candidate().unwrap_or(0.0));
    let rows = report.comparison.endpoints.iter().filter(|row| row.metric == Metric::P95);
    let mut rows: Vec<&Row> =
        rows.filter(|row| row.presence.baseline().or(row.presence.candidate()).is_some()).collect();
    rows.sort_by(|a, b| slower(b).total_cmp(&slower(a)));
    let all = rows.len();
    rows.truncate(MOST_ENDPOINTS);
    let Some(first) = rows.first() else { return Err(anyhow!("no endpoint is known")) };
    let most = slower(first);
    let description = format!("p95 of {} endpoints, the slowest first: {}.", rows.len(), tip(&cells(first).texts));
    let shown =
        if all > rows.len() { format!("The {} slowest of {all} endpoints. ", rows.len()) } else { String::new() };
    let caption = format!("{shown}p95 of each endpoint in the baseline and now; one that lacks a side has one dot.");
    let height = 62 + 18 * i32::try_from(rows.len())? + 40;
    svg("The slowest endpoints, before and after", &description, caption, height, |area, tips| {
        let top = legend(area, &[(Mark::Ring, BASELINE, "baseline"), (Mark::Dot, CANDIDATE, "candidate")])?;
        let x = Axis::linear(0.0, most * 1.05, 5, "", "p95 of the response time, ms");
        let field = Field::new(area, [LABELS, top, height - 40], &x, &Axis::rows(rows.len()))?;
        for (place, row) in rows.iter().enumerate() {
            let at = |value: f64| field.at(value, place as f64);
            let (_, y) = at(0.0);
            write(area, (LABELS - 6, y), HPos::Right, &label(row, ""))?;
            if let (Some(baseline), Some(candidate)) = (row.presence.baseline(), row.presence.candidate()) {
                line(area, vec![at(baseline), at(candidate)], FAINT, 3)?;
            }
            for (value, symbol, color) in
                [(row.presence.baseline(), Mark::Ring, BASELINE), (row.presence.candidate(), Mark::Dot, CANDIDATE)]
            {
                value.map(|value| mark(area, symbol, at(value), color)).transpose()?;
            }
            tips.within([0, y - 9, WIDTH, y + 9], &tip(&cells(row).texts));
        }
        Ok(())
    })
}
