//! Which endpoints bring the slowdown, and what became of their answers.

use std::collections::HashMap;

use crate::baseline::file::{CONTENT_BYTES, RunsByMetric};
use crate::model::run::{Metric, Stats, of_every};
use crate::stats::ERROR;
use crate::stats::counts::{Counts, Rates};
use crate::stats::estimate::{Difference, Interval, Scale, Worse, estimate, mean};
use crate::verdict::causes::{BothSides, Cause, Kind, Slowdown, Tested};

/// An endpoint with less of the slowdown is not looked at.
const LEAST_SHARE: f64 = 0.1;

/// The share from which on an endpoint is named, although it has as much of the time in the baseline.
const NAMED_SHARE: f64 = 0.4;

/// The share from which on the other endpoints hardly matter.
pub(super) const ALONE: f64 = 0.8;

/// An endpoint that no more than so many requests asked on a side shows little.
const LEAST_REQUESTS: f64 = 10.0;

const BYTES_FACTOR: f64 = 1.1;

/// In percentage points, and those that account for all of a slowdown.
const FAILURES_RISE: f64 = 1.0;
const FAILURES_ALL: f64 = 20.0;

pub(super) struct CommonEndpoint<'a> {
    name: &'a str,
    before: &'a RunsByMetric,
    now: Vec<&'a Stats>,
    request_share: f64,
}

impl CommonEndpoint<'_> {
    fn before(&self, metric: Metric) -> &[f64] {
        self.before.get(metric.name()).map(Vec::as_slice).unwrap_or_default()
    }

    fn now(&self, metric: Metric) -> Vec<f64> {
        self.now.iter().map(|stats| stats.value(metric)).collect()
    }
}

pub(super) fn of_both<'a>(sides: &'a BothSides) -> Vec<CommonEndpoint<'a>> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut endpoints: Vec<CommonEndpoint> = Vec::new();
    for (name, stats) in sides.runs.iter().flat_map(|run| &run.endpoints) {
        let Some((name, before)) = sides.baseline.endpoints.get_key_value(&**name) else { continue };
        let place = *places.entry(name).or_insert_with(|| {
            endpoints.push(CommonEndpoint { name, before, now: Vec::new(), request_share: 0.0 });
            endpoints.len() - 1
        });
        endpoints[place].now.push(stats);
    }
    let requests = |endpoint: &CommonEndpoint| {
        let before = endpoint.before(Metric::TotalRequests).iter().sum::<f64>();
        [before, endpoint.now(Metric::TotalRequests).iter().sum()]
    };
    endpoints.retain(|endpoint| requests(endpoint).iter().all(|requests| *requests >= LEAST_REQUESTS));
    // The mean of the shares on both sides, since a load may choose its endpoints by chance.
    let all = endpoints.iter().map(requests).fold([0.0, 0.0], |sum, of| [sum[0] + of[0], sum[1] + of[1]]);
    for endpoint in &mut endpoints {
        let [before, now] = requests(endpoint);
        endpoint.request_share = f64::midpoint(before / all[0], now / all[1]);
    }
    endpoints
}

pub(super) struct Slower<'a> {
    pub(super) name: &'a str,
    /// Of the slowdown, from 0 to 1.
    pub(super) share: f64,
    share_interval: Interval,
    /// The share that it would have if all endpoints became slower alike.
    expected: f64,
    mean_ms: [f64; 2],
    change_ms: Interval,
    p_value: f64,
    is_only: bool,
}

pub(super) fn slower<'a>(sides: &BothSides, endpoints: &[CommonEndpoint<'a>]) -> Vec<Slower<'a>> {
    let mut brought = Vec::new();
    for endpoint in endpoints {
        let metric = Metric::AvgResponseTime;
        let (before, now) = (endpoint.before(metric), endpoint.now(metric));
        let is_paired = sides.paired && before.len() == now.len();
        let difference = if is_paired { Difference::paired } else { Difference::between };
        let Some(difference) = difference(Scale::Difference, before, &now) else { continue };
        let share = endpoint.request_share;
        let Interval { low, high } = difference.interval(ERROR);
        brought.push(Brought {
            endpoint,
            ms: share * difference.change(),
            reach_ms: share * (high - low) / 2.0,
            time_before_ms: share * mean(before),
            change_ms: Interval { low, high },
            p_value: difference.p_value(Worse::Higher),
        });
    }
    let all_ms: f64 = brought.iter().map(|brought| brought.ms.max(0.0)).sum();
    let all_time_ms: f64 = brought.iter().map(|brought| brought.time_before_ms).sum();
    let reaches_ms: f64 = brought.iter().map(|brought| brought.reach_ms.powi(2)).sum();
    let mut slower = Vec::new();
    for part in &brought {
        let share = part.ms / all_ms.max(f64::MIN_POSITIVE);
        if share < LEAST_SHARE {
            continue;
        }
        let others = [all_ms - part.ms, (reaches_ms - part.reach_ms.powi(2)).max(0.0).sqrt()];
        let metric = Metric::AvgResponseTime;
        slower.push(Slower {
            name: part.endpoint.name,
            share,
            share_interval: part.share_interval(others),
            expected: part.endpoint.request_share.max(part.time_before_ms / all_time_ms),
            mean_ms: [mean(part.endpoint.before(metric)), mean(&part.endpoint.now(metric))],
            change_ms: part.change_ms,
            p_value: part.p_value,
            is_only: endpoints.len() == 1,
        });
    }
    slower.sort_by(|a, b| b.share.total_cmp(&a.share));
    slower
}

/// What an endpoint adds to the mean of all requests, in ms, with half the width of its interval.
struct Brought<'e, 'a> {
    endpoint: &'e CommonEndpoint<'a>,
    ms: f64,
    reach_ms: f64,
    time_before_ms: f64,
    change_ms: Interval,
    p_value: f64,
}

impl Brought<'_, '_> {
    /// The ends of the share in percent, if this and the sum of the others are at opposite ends of their intervals.
    fn share_interval(&self, [others_ms, others_reach_ms]: [f64; 2]) -> Interval {
        let share = |own: f64, others: f64| {
            let (own, others) = (own.max(0.0), others.max(0.0));
            100.0 * own / (own + others).max(f64::MIN_POSITIVE)
        };
        Interval {
            low: share(self.ms - self.reach_ms, others_ms + others_reach_ms),
            high: share(self.ms + self.reach_ms, others_ms - others_reach_ms),
        }
    }
}

impl Slower<'_> {
    /// `None` if it is the only endpoint, or brings little more than it would have anyway.
    pub(super) fn tested(&self) -> Option<Tested> {
        let beyond = (self.share - self.expected) / (1.0 - self.expected).max(f64::MIN_POSITIVE);
        let part = if self.share >= NAMED_SHARE { beyond.max(super::LEAST_PART) } else { beyond };
        let kind = Kind::Endpoint { share_pct: 100.0 * self.share, share_interval: self.share_interval };
        let cause = Cause {
            kind,
            endpoint: Some(self.name.to_owned()),
            baseline: self.mean_ms[0],
            candidate: self.mean_ms[1],
            scale: Scale::Difference,
            interval: self.change_ms,
            part: part.clamp(0.0, 1.0),
        };
        (!self.is_only).then_some(Tested { cause, p_value: self.p_value })
    }
}

pub(super) fn answer_bytes(
    sides: &BothSides,
    slowdown: &Slowdown,
    endpoints: &[CommonEndpoint],
    slower: &[Slower],
) -> Option<Tested> {
    let mut grown: Vec<Tested> = Vec::new();
    let mut part = 0.0;
    for slower in slower {
        let endpoint = endpoints.iter().find(|endpoint| endpoint.name == slower.name)?;
        let Some(before) = endpoint.before.get(CONTENT_BYTES) else { continue };
        let now = of_every(&endpoint.now, |stats| stats.content_bytes);
        let Some(contrast) = sides.contrast(before, &now) else { continue };
        if contrast.factor() < BYTES_FACTOR {
            continue;
        }
        let own = Slowdown { factor: (slower.mean_ms[1] / slower.mean_ms[0]).max(super::LEAST_FACTOR), ..*slowdown };
        part += slower.share * own.part_of_factor(contrast.factor());
        let mut tested = Tested::of(Kind::AnswerBytes { others: 0 }, &contrast, 0.0);
        tested.cause.endpoint = Some(slower.name.to_owned());
        grown.push(tested);
    }
    let others = grown.len().saturating_sub(1);
    let mut first = grown.into_iter().next()?;
    first.cause.kind = Kind::AnswerBytes { others };
    first.cause.part = part.min(1.0);
    Some(first)
}

pub(super) fn failures(endpoints: &[CommonEndpoint]) -> Option<Tested> {
    let mut worst: Option<Tested> = None;
    for endpoint in endpoints {
        let (rates, requests) = (endpoint.before(Metric::ErrorRate), endpoint.before(Metric::TotalRequests));
        let now: Vec<Counts> = endpoint.now.iter().map(|stats| stats.counts()).collect();
        let Some(difference) = Rates::between(&Counts::of_rates(rates, requests), &now) else { continue };
        let rise = difference.change();
        let is_most = worst.as_ref().is_none_or(|worst| rise > worst.cause.candidate - worst.cause.baseline);
        if rise < FAILURES_RISE || !is_most {
            continue;
        }
        let before = estimate(Scale::Difference, rates);
        worst = Some(Tested {
            cause: Cause {
                kind: Kind::Failures,
                endpoint: Some(endpoint.name.to_owned()),
                baseline: before,
                candidate: before + rise,
                scale: Scale::Difference,
                interval: difference.interval(ERROR),
                part: (endpoint.request_share.max(0.5) * rise / FAILURES_ALL).min(1.0),
            },
            p_value: difference.p_value(),
        });
    }
    worst
}
