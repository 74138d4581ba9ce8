//! Which endpoints bring the slowdown, and what became of their answers.

use crate::baseline::file::{CONTENT_BYTES, RunsByMetric, runs_of};
use crate::model::run::{Metric, Stats, by_endpoint, of_every};
use crate::stats::SIGNIFICANCE;
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
        runs_of(self.before, metric)
    }

    fn now(&self, metric: Metric) -> Vec<f64> {
        self.now.iter().map(|stats| stats.value(metric)).collect()
    }
}

pub(super) fn of_both<'a>(sides: &'a BothSides) -> Vec<CommonEndpoint<'a>> {
    let mut endpoints: Vec<CommonEndpoint> = Vec::new();
    for (name, now) in by_endpoint(sides.runs.iter().flat_map(|run| &run.endpoints)) {
        if let Some(before) = sides.baseline.endpoints.get(name) {
            endpoints.push(CommonEndpoint { name, before, now, request_share: 0.0 });
        }
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

/// What an endpoint adds to the mean of all requests.
struct Addition<'a> {
    endpoint: &'a CommonEndpoint<'a>,
    ms: f64,
    /// Half the width of its interval.
    reach_ms: f64,
    mean_ms: [f64; 2],
    change_ms: Interval,
    p_value: f64,
}

impl Addition<'_> {
    fn time_before_ms(&self) -> f64 {
        self.endpoint.request_share * self.mean_ms[0]
    }

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

pub(super) struct Slower<'a> {
    addition: Addition<'a>,
    /// Of the slowdown, from 0 to 1.
    pub(super) share: f64,
    share_interval: Interval,
    /// The share that it would have if all endpoints became slower alike.
    expected: f64,
}

pub(super) fn slower<'a>(sides: &BothSides, endpoints: &'a [CommonEndpoint<'a>]) -> Vec<Slower<'a>> {
    let mut additions = Vec::new();
    for endpoint in endpoints {
        let metric = Metric::AvgResponseTime;
        let (before, now) = (endpoint.before(metric), endpoint.now(metric));
        let is_paired = sides.paired && before.len() == now.len();
        let difference = if is_paired { Difference::paired } else { Difference::between };
        let Some(difference) = difference(Scale::Absolute, before, &now) else { continue };
        let change_ms = difference.interval(SIGNIFICANCE);
        additions.push(Addition {
            endpoint,
            ms: endpoint.request_share * difference.change(),
            reach_ms: endpoint.request_share * (change_ms.high - change_ms.low) / 2.0,
            mean_ms: [mean(before), mean(&now)],
            change_ms,
            p_value: difference.p_value(Worse::Higher),
        });
    }
    let all_ms: f64 = additions.iter().map(|addition| addition.ms.max(0.0)).sum();
    let all_time_ms: f64 = additions.iter().map(Addition::time_before_ms).sum();
    let reaches_ms: f64 = additions.iter().map(|addition| addition.reach_ms.powi(2)).sum();
    let mut slower = Vec::new();
    for addition in additions {
        let share = addition.ms / all_ms.max(f64::MIN_POSITIVE);
        if share < LEAST_SHARE {
            continue;
        }
        let others = [all_ms - addition.ms, (reaches_ms - addition.reach_ms.powi(2)).max(0.0).sqrt()];
        let share_interval = addition.share_interval(others);
        let expected = addition.endpoint.request_share.max(addition.time_before_ms() / all_time_ms);
        slower.push(Slower { addition, share, share_interval, expected });
    }
    slower.sort_by(|a, b| b.share.total_cmp(&a.share));
    slower
}

impl Slower<'_> {
    pub(super) fn name(&self) -> &str {
        self.addition.endpoint.name
    }

    /// It has no part if it brings little more than it would have anyway.
    pub(super) fn tested(&self) -> Tested {
        let beyond = (self.share - self.expected) / (1.0 - self.expected).max(f64::MIN_POSITIVE);
        let part = if self.share >= NAMED_SHARE { beyond.max(super::LEAST_PART) } else { beyond };
        let cause = Cause {
            kind: Kind::Endpoint { share_pct: 100.0 * self.share, share_interval: self.share_interval },
            endpoint: Some(self.name().to_owned()),
            baseline: self.addition.mean_ms[0],
            candidate: self.addition.mean_ms[1],
            scale: Scale::Absolute,
            interval: self.addition.change_ms,
            part: part.clamp(0.0, 1.0),
        };
        Tested { cause, p_value: self.addition.p_value }
    }
}

pub(super) fn answer_bytes(sides: &BothSides, slowdown: &Slowdown, slower: &[Slower]) -> Option<Tested> {
    let mut grown: Vec<Tested> = Vec::new();
    let mut part = 0.0;
    for slower in slower {
        let Addition { endpoint, mean_ms, .. } = &slower.addition;
        let Some(before) = endpoint.before.get(CONTENT_BYTES) else { continue };
        let now = of_every(&endpoint.now, |stats| stats.content_bytes);
        let Some(contrast) = sides.contrast(before, &now) else { continue };
        if contrast.factor() < BYTES_FACTOR {
            continue;
        }
        let own = Slowdown { factor: (mean_ms[1] / mean_ms[0]).max(super::LEAST_FACTOR), ..*slowdown };
        part += slower.share * own.part_of_factor(contrast.factor());
        let mut tested = Tested::of(Kind::AnswerBytes { others: 0 }, &contrast, 0.0);
        tested.cause.endpoint = Some(slower.name().to_owned());
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
        let before = estimate(Scale::Absolute, rates);
        worst = Some(Tested {
            cause: Cause {
                kind: Kind::Failures,
                endpoint: Some(endpoint.name.to_owned()),
                baseline: before,
                candidate: before + rise,
                scale: Scale::Absolute,
                interval: difference.interval(SIGNIFICANCE),
                part: (endpoint.request_share.max(0.5) * rise / FAILURES_ALL).min(1.0),
            },
            p_value: difference.p_value(),
        });
    }
    worst
}
