//! How the distribution of the response times moved.

use crate::baseline::file::{POOLED, RunsByMetric};
use crate::model::run::{EndpointName, PERCENTILES, Stats};
use crate::stats::estimate::{Interval, Scale};
use crate::stats::histogram::Histogram;
use crate::verdict::causes::{BothSides, Cause, Kind, Shape, Slowdown, Tested};

/// The percentiles that are looked at: beyond them few requests decide.
const LOWEST: f64 = 10.0;
const HIGHEST: f64 = 95.0;

/// The requests that a side must have for its percentiles to show a shape.
const LEAST_REQUESTS: u64 = 200;

/// The share of the change by which the percentiles may differ from one change for all.
const TOLERANCE: f64 = 0.25;

/// The least logarithm of a factor, and the least ms, by which they may differ in any case.
const LEAST_LOGARITHM: f64 = 0.05;
const LEAST_MS: f64 = 1.0;

/// Percentiles that differ by less than this factor show no difference between a factor and a number of ms.
const SPREAD: f64 = 1.5;

/// Response times jump by this factor from one percentile to the next between two clouds, and by less within one.
const GAP: f64 = 2.0;
const NO_GAP: f64 = 1.5;

/// A percentile that rose by less than this factor stayed.
const STAYED: f64 = 1.1;

/// It only describes what the other causes explain, so it comes last.
const PART: f64 = super::LEAST_PART;

pub(super) fn shape(sides: &BothSides, slowdown: &Slowdown, endpoint: EndpointName) -> Option<Tested> {
    let (series, stats) = both(sides, endpoint)?;
    let before = series.get(POOLED)?;
    let now = Histogram::merged(stats.iter().map(|stats| &stats.histogram));
    if now.count() < LEAST_REQUESTS || before.len() != PERCENTILES.len() {
        return None;
    }
    let mut points = Vec::new();
    for (percent, before_ms) in PERCENTILES.iter().zip(before) {
        if (LOWEST..=HIGHEST).contains(percent) {
            points.push(Point { percent: *percent, before_ms: *before_ms, now_ms: now.percentile(percent / 100.0) });
        }
    }
    if points.iter().any(|point| point.before_ms <= 0.0 || point.now_ms <= 0.0) {
        return None;
    }
    let (shape, interval, scale) = shape_of(&points)?;
    let median = points.iter().find(|point| point.percent >= 50.0)?;
    let cause = Cause {
        kind: Kind::Shape(shape),
        endpoint: endpoint.map(str::to_owned),
        baseline: median.before_ms,
        candidate: median.now_ms,
        scale,
        interval,
        part: PART,
    };
    // It describes the rise of the mean.
    Some(Tested { cause, p_value: slowdown.mean.p_value })
}

fn both<'a>(sides: &'a BothSides, endpoint: EndpointName) -> Option<(&'a RunsByMetric, Vec<&'a Stats>)> {
    let Some(name) = endpoint else {
        return Some((&sides.baseline.aggregated, sides.runs.iter().map(|run| &run.total).collect()));
    };
    let of = sides.runs.iter().flat_map(|run| &run.endpoints).filter(|(other, _)| **other == *name);
    Some((sides.baseline.endpoints.get(name)?, of.map(|(_, stats)| stats).collect()))
}

#[derive(Clone, Copy)]
struct Point {
    percent: f64,
    before_ms: f64,
    now_ms: f64,
}

impl Point {
    fn factor(&self) -> f64 {
        self.now_ms / self.before_ms
    }

    fn rise_ms(&self) -> f64 {
        self.now_ms - self.before_ms
    }
}

/// The shape, and the range of the changes of the percentiles: in percent, or in ms.
fn shape_of(points: &[Point]) -> Option<(Shape, Interval, Scale)> {
    let range = |of: fn(&Point) -> f64| {
        let [low, high] = [f64::min, f64::max].map(|pick| points.iter().map(of).reduce(pick).unwrap_or(0.0));
        Interval { low, high }
    };
    let (factors, rises) = (range(Point::factor), range(Point::rise_ms));
    let in_percent = Interval { low: 100.0 * (factors.low - 1.0), high: 100.0 * (factors.high - 1.0) };
    if let Some(cloud) = second_cloud(points) {
        return Some((cloud, in_percent, Scale::Relative));
    }
    let median = points.iter().find(|point| point.percent >= 50.0)?;
    let last = points.last()?;
    if median.factor() < STAYED {
        return (last.factor() >= 1.0 + 2.0 * (STAYED - 1.0)).then_some((Shape::Tail, in_percent, Scale::Relative));
    }
    let is_factor = (factors.high / factors.low).ln() <= TOLERANCE * median.factor().ln() + LEAST_LOGARITHM;
    let is_shift = rises.high - rises.low <= TOLERANCE * median.rise_ms() + LEAST_MS;
    let is_spread = last.before_ms / points.first()?.before_ms >= SPREAD;
    match (is_factor, is_shift) {
        (true, false) => Some((Shape::Factor(median.factor()), in_percent, Scale::Relative)),
        (_, true) if !(is_factor && is_spread) => Some((Shape::Shift(median.rise_ms()), rises, Scale::Absolute)),
        _ => None,
    }
}

/// A gap that was not there before, below which the response times stayed.
fn second_cloud(points: &[Point]) -> Option<Shape> {
    for pair in points.windows(2) {
        let [low, high] = pair else { continue };
        let is_new = high.now_ms / low.now_ms >= GAP && high.before_ms / low.before_ms < NO_GAP;
        if is_new && low.factor() < STAYED {
            let requests_pct = 100.0 - f64::midpoint(low.percent, high.percent);
            return Some(Shape::SecondCloud { requests_pct, from_ms: high.now_ms });
        }
    }
    None
}
