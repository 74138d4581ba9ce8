//! Whether a run gets slower the longer it lasts.

use crate::baseline::file::HALVES;
use crate::model::run::{Moment, Run, of_every};
use crate::stats::estimate::{Interval, Scale, mean, median};
use crate::verdict::causes::{BothSides, Kind, Tested};

/// The least factor between the second half and the first, beyond the baseline's.
const LEAST_FACTOR: f64 = 1.15;

/// The least factor between the medians of the second and the first half's moments.
const MEDIAN_FACTOR: f64 = 1.07;

/// The share of the variance over time that a step must explain to be named by its moment.
const STEP_FIT: f64 = 0.7;

/// By how much more a step must explain than a steady rise.
const STEP_LEAD: f64 = 0.1;

/// The moments of different runs lie within this share of the run.
const SAME_MOMENT: f64 = 0.15;

pub(super) fn over_time(sides: &BothSides) -> Option<Tested> {
    let [first, second] = HALVES.map(|half| sides.baseline.aggregated.get(half));
    let before: Vec<f64> = second?.iter().zip(first?).map(|(second, first)| second / first).collect();
    let halves = of_every(sides.runs, |run| run.halves_ms);
    let now: Vec<f64> = halves.iter().map(|[first, second]| second / first).collect();
    let contrast = sides.contrast(&before, &now)?;
    let rise = |half: usize, before: &[f64]| {
        let now: Vec<f64> = halves.iter().map(|halves| halves[half]).collect();
        (mean(&now) - mean(before)).max(0.0)
    };
    let (first_rise, second_rise) = (rise(0, first?), rise(1, second?));
    // What grows steadily from nothing adds three times as much in the second half as in the first.
    let part = (2.0 * (second_rise - first_rise) / (second_rise + first_rise).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
    let from_s = step(sides.runs);
    let is_slower = contrast.factor() >= LEAST_FACTOR && (from_s.is_some() || sides.runs.iter().all(is_steady));
    let part = if is_slower { part } else { 0.0 };
    let in_percent = |factor: f64| 100.0 * (factor - 1.0);
    let mut tested = Tested::of(Kind::OverTime { from_s }, &contrast, part);
    tested.cause.baseline = in_percent(contrast.baseline);
    tested.cause.candidate = in_percent(contrast.candidate);
    // The interval was of the factor between both sides, in percent.
    if contrast.scale == Scale::Relative {
        tested.cause.scale = Scale::Absolute;
        let Interval { low, high } = contrast.interval;
        tested.cause.interval = Interval { low: contrast.baseline * low, high: contrast.baseline * high };
    }
    Some(tested)
}

/// Whether the median of the moments rose too. A service that stalls now and then may happen to stall once more in the
/// second half. A run without moments cannot show that.
fn is_steady(run: &Run) -> bool {
    let means: Vec<f64> = run.moments.iter().map(|moment| moment.mean_ms).filter(|mean_ms| *mean_ms > 0.0).collect();
    let (first, second) = means.split_at(means.len() / 2);
    first.is_empty() || median(second.to_vec()) >= MEDIAN_FACTOR * median(first.to_vec())
}

/// The moment from which on the runs were slow, if all of them changed at once and at about the same time.
fn step(runs: &[Run]) -> Option<f64> {
    let steps = of_every(runs, |run| step_of(&run.moments));
    let length = runs.iter().filter_map(|run| run.moments.last()).map(|last| last.until_s).reduce(f64::max)?;
    let [least, most] = [f64::min, f64::max].map(|pick| steps.iter().copied().reduce(pick));
    (most? - least? <= SAME_MOMENT * length).then(|| mean(&steps))
}

/// Fits two levels and a straight line to the logarithms of the means, by least squares weighted by requests.
fn step_of(moments: &[Moment]) -> Option<f64> {
    const LEAST_MOMENTS: usize = 8;
    let moments: Vec<Moment> =
        moments.iter().filter(|moment| moment.requests > 0 && moment.mean_ms > 0.0).copied().collect();
    if moments.len() < LEAST_MOMENTS {
        return None;
    }
    let all = WeightedMean::of(&moments);
    let explained = |at: usize| {
        let (before, after) = moments.split_at(at);
        1.0 - (WeightedMean::of(before).squares + WeightedMean::of(after).squares) / all.squares.max(f64::MIN_POSITIVE)
    };
    let at = (2..moments.len() - 1).max_by(|a, b| explained(*a).total_cmp(&explained(*b)))?;
    let is_up = WeightedMean::of(&moments[at..]).mean > WeightedMean::of(&moments[..at]).mean + LEAST_FACTOR.ln();
    let is_step = explained(at) >= STEP_FIT && explained(at) >= line_fit(&moments, &all) + STEP_LEAD;
    (is_up && is_step).then(|| moments[at - 1].until_s)
}

/// Of the logarithms of the means.
struct WeightedMean {
    weight: f64,
    mean: f64,
    squares: f64,
}

impl WeightedMean {
    fn of(moments: &[Moment]) -> WeightedMean {
        let sum = |value: &dyn Fn(&Moment) -> f64| -> f64 {
            moments.iter().map(|moment| value(moment) * moment.requests as f64).sum()
        };
        let weight: f64 = moments.iter().map(|moment| moment.requests as f64).sum();
        let mean = sum(&|moment| moment.mean_ms.ln()) / weight;
        WeightedMean { weight, mean, squares: sum(&|moment| (moment.mean_ms.ln() - mean).powi(2)) }
    }
}

fn line_fit(moments: &[Moment], all: &WeightedMean) -> f64 {
    let middle_s = moments.iter().map(|moment| moment.until_s * moment.requests as f64).sum::<f64>() / all.weight;
    let (mut of_time, mut of_both) = (0.0, 0.0);
    for moment in moments {
        let (weight, time_s) = (moment.requests as f64, moment.until_s - middle_s);
        of_time += weight * time_s.powi(2);
        of_both += weight * time_s * (moment.mean_ms.ln() - all.mean);
    }
    of_both * of_both / (of_time * all.squares).max(f64::MIN_POSITIVE)
}
