//! What an endpoint answers, and how often it is asked: changes that no limit of time or errors sees.

use std::collections::HashSet;

use crate::baseline::file::{Baseline, CONTENT_BYTES};
use crate::model::limits::Rules;
use crate::model::run::{LEAST_REQUESTS, Metric, Run, by_name, of_every};
use crate::model::text::{bytes, endpoint_shown};
use crate::stats::counts::{Counts, Rates, fisher};
use crate::stats::estimate::{Difference, Scale, Worse, mean};
use crate::verdict::decision::Row;

/// The probability that chance alone makes such a finding, over all endpoints and looks together.
const FAMILY_ERROR: f64 = 0.01;

/// The factor by which a size, or a share, must have changed.
const FACTOR: f64 = 2.0;

/// The factor if each side has a single run, whose noise is unknown.
const SINGLE_RUN_FACTOR: f64 = 4.0;

/// A smaller change in bytes is of a number in the answer.
const LEAST_BYTES: f64 = 16.0;

/// From this part on, an endpoint has kept its share of the load, or its requests.
const KEPT: f64 = 0.75;

#[derive(Clone, Debug, PartialEq)]
pub struct TrafficChange<'a> {
    pub endpoint: &'a str,
    pub kind: TrafficKind,
    pub baseline: f64,
    pub candidate: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrafficKind {
    /// The mean size of an answer, in bytes.
    Size,
    /// The share of all requests, in percent.
    Share,
}

impl TrafficChange<'_> {
    pub fn text(&self) -> String {
        let guess = match self.kind {
            TrafficKind::Size if self.may_be_error_page() => ", status 200: an error page?",
            TrafficKind::Size => "",
            TrafficKind::Share => ": does its task still run, or does it end early?",
        };
        format!("{} {}{guess}", endpoint_shown(self.endpoint), self.change())
    }

    /// Whether the answers got shorter.
    pub fn may_be_error_page(&self) -> bool {
        self.kind == TrafficKind::Size && self.candidate < self.baseline
    }

    /// `answers 30 bytes instead of 2,000`.
    pub fn change(&self) -> String {
        let (before, now) = (self.baseline, self.candidate);
        match self.kind {
            TrafficKind::Size => format!("answers {} bytes instead of {}", bytes(now), bytes(before)),
            TrafficKind::Share => format!("has {now:.1}% of the requests instead of {before:.1}%"),
        }
    }
}

struct EndpointPair<'a> {
    name: &'a str,
    is_setup: bool,
    /// Empty on a side that does not know them.
    sizes: [Vec<f64>; 2],
    /// Of each run.
    requests: [Vec<f64>; 2],
}

impl EndpointPair<'_> {
    /// The share of all requests on both sides. Requests of `on_start` are none of them.
    fn shares(&self, all: &[Vec<f64>; 2]) -> [f64; 2] {
        if self.is_setup {
            return [0.0, 0.0];
        }
        [0, 1].map(|side| self.requests[side].iter().sum::<f64>() / all[side].iter().sum::<f64>().max(1.0))
    }
}

/// The changes of the endpoints that both sides have. A finding of an endpoint among `rows` explains its change.
pub(crate) fn traffic_changes<'a>(
    baseline: &Baseline,
    runs: &'a [Run],
    rules: &Rules,
    rows: &[Row],
) -> Vec<TrafficChange<'a>> {
    let pairs = pairs(baseline, runs);
    let level = FAMILY_ERROR / (2 * pairs.len().max(1) * rules.max_runs.max(1)) as f64;
    let findings = || rows.iter().filter(|row| row.is_finding());
    let with_finding: HashSet<&str> = findings().filter_map(|row| row.endpoint).collect();
    let with_errors: HashSet<&str> =
        findings().filter(|row| row.metric == Metric::ErrorRate).filter_map(|row| row.endpoint).collect();
    let all = [
        baseline.total_runs(Metric::TotalRequests).to_vec(),
        runs.iter().map(|run| run.total.requests as f64).collect(),
    ];
    let kept = kept_shares(&pairs, &all);
    let mut changes = Vec::new();
    for (place, pair) in pairs.iter().enumerate() {
        // Failures are answered by other pages.
        if !with_errors.contains(pair.name) {
            changes.extend(size_change(pair, level));
        }
        // A service that takes longer is asked less.
        if kept[place] && !with_finding.contains(pair.name) {
            changes.extend(share_change(pair, &all, level));
        }
    }
    changes
}

fn pairs<'a>(baseline: &Baseline, runs: &'a [Run]) -> Vec<EndpointPair<'a>> {
    let mut pairs = Vec::new();
    for (name, stats) in by_name(runs.iter().flat_map(Run::endpoints_and_setup)) {
        let (of_load, of_setup) = (baseline.endpoints.get(name), baseline.setup.get(name));
        let Some(before) = of_load.or(of_setup) else { continue };
        let sizes = of_every(&stats, |stats| stats.content_bytes);
        let before = |key: &str| before.get(key).cloned().unwrap_or_default();
        pairs.push(EndpointPair {
            name,
            is_setup: of_load.is_none(),
            sizes: [before(CONTENT_BYTES), sizes],
            requests: [before(Metric::TotalRequests.name()), stats.iter().map(|stats| stats.requests as f64).collect()],
        });
    }
    pairs
}

fn size_change<'a>(pair: &EndpointPair<'a>, level: f64) -> Option<TrafficChange<'a>> {
    let [[_, ..], [_, ..]] = pair.sizes.each_ref().map(Vec::as_slice) else { return None };
    let [baseline, candidate] = pair.sizes.each_ref().map(|sizes| mean(sizes));
    // An empty answer has no ratio.
    let [before, now] = pair.sizes.each_ref().map(|sizes| sizes.iter().map(|size| size.max(1.0)).collect::<Vec<_>>());
    let ratio = mean(&now) / mean(&before);
    let factor = ratio.max(1.0 / ratio);
    let worse = if candidate < baseline { Worse::Lower } else { Worse::Higher };
    let (is_other, is_significant) = match Difference::between(Scale::Relative, &before, &now) {
        Some(difference) => (factor >= FACTOR, difference.p_value(worse) <= level),
        None => (factor >= SINGLE_RUN_FACTOR, pair.requests.iter().flatten().all(|all| *all >= LEAST_REQUESTS as f64)),
    };
    let change = TrafficChange { endpoint: pair.name, kind: TrafficKind::Size, baseline, candidate };
    (is_other && is_significant && (candidate - baseline).abs() >= LEAST_BYTES).then_some(change)
}

fn share_change<'a>(pair: &EndpointPair<'a>, all: &[Vec<f64>; 2], level: f64) -> Option<TrafficChange<'a>> {
    let [before, now] = pair.shares(all);
    let counts = |side: usize| -> Vec<Counts> {
        let (own, all) = (&pair.requests[side], &all[side]);
        // An endpoint that a run lacks leaves only the sums.
        if own.len() != all.len() {
            let (own, all) = (own.iter().sum::<f64>(), all.iter().sum::<f64>());
            return vec![Counts { failures: all - own, requests: all }];
        }
        own.iter().zip(all).map(|(own, all)| Counts { failures: all - own, requests: *all }).collect()
    };
    // If others are asked more often, this one has a smaller share of as many requests.
    let a_run = |side: usize| pair.requests[side].iter().sum::<f64>() / all[side].len().max(1) as f64;
    let [requests, requests_now] = [0, 1].map(a_run);
    let is_fewer = |factor: f64| now < before / factor && requests_now < KEPT * requests;
    if !is_fewer(FACTOR) {
        return None;
    }
    let [of_baseline, of_candidate] = [0, 1].map(counts);
    let is_finding = match (Rates::between(&of_baseline, &of_candidate), &of_baseline[..], &of_candidate[..]) {
        (Some(rates), ..) => rates.p_value() <= level,
        (None, [baseline], [candidate]) => is_fewer(SINGLE_RUN_FACTOR) && fisher(*baseline, *candidate) <= level,
        _ => false,
    };
    let (baseline, candidate) = (100.0 * before, 100.0 * now);
    let change = TrafficChange { endpoint: pair.name, kind: TrafficKind::Share, baseline, candidate };
    is_finding.then_some(change)
}

/// Whether most requests of the other endpoints are of those that kept their share: if one is asked much more, all
/// others have less of the load.
fn kept_shares(pairs: &[EndpointPair], all: &[Vec<f64>; 2]) -> Vec<bool> {
    let shares: Vec<[f64; 2]> = pairs.iter().map(|pair| pair.shares(all)).collect();
    let kept = |share: &[f64; 2]| if share[1] >= KEPT * share[0] { share[0] } else { 0.0 };
    let (sum, sum_kept) = (shares.iter().map(|share| share[0]).sum::<f64>(), shares.iter().map(kept).sum::<f64>());
    shares.iter().map(|share| sum_kept - kept(share) >= 0.5 * (sum - share[0]) && sum > share[0]).collect()
}
