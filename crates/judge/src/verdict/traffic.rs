//! What an endpoint answers, and how often it is asked: changes that no limit of time or errors sees.

use std::collections::HashSet;

use crate::baseline::file::{Baseline, CONTENT_BYTES};
use crate::model::limits::Rules;
use crate::model::run::{Metric, Run, by_endpoint, of_every};
use crate::model::text::endpoint_shown;
use crate::stats::counts::{Counts, Rates};
use crate::stats::estimate::{Difference, Scale, Worse, mean};
use crate::verdict::decision::Row;

/// The probability that chance alone makes such a finding, over all endpoints and looks together.
const ERROR: f64 = 0.01;

/// The factor by which a size, or a share, must have changed.
const FACTOR: f64 = 2.0;

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
        let endpoint = endpoint_shown(self.endpoint);
        let (before, now) = (self.baseline, self.candidate);
        match self.kind {
            TrafficKind::Size => {
                let guess = if now < before { ", status 200: an error page?" } else { "" };
                format!("{endpoint} answers {} bytes instead of {}{guess}", thousands(now), thousands(before))
            }
            TrafficKind::Share => format!(
                "{endpoint} has {now:.1}% of the requests instead of {before:.1}%: does its task still run, or does it end early?"
            ),
        }
    }
}

fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut shown = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

struct EndpointPair<'a> {
    name: &'a str,
    /// Empty on a side that does not know them.
    sizes: [Vec<f64>; 2],
    /// Of each run.
    requests: [Vec<f64>; 2],
}

impl EndpointPair<'_> {
    fn shares(&self, all: &[Vec<f64>; 2]) -> [f64; 2] {
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
    let level = ERROR / (2 * pairs.len().max(1) * rules.max_runs.max(1)) as f64;
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
    let mut now = by_endpoint(runs.iter().flat_map(|run| &run.endpoints));
    now.sort_by_key(|(name, _)| *name);
    let mut pairs = Vec::new();
    for (name, stats) in now {
        let Some(before) = baseline.endpoints.get(name) else { continue };
        let sizes = of_every(&stats, |stats| stats.content_bytes);
        let before = |key: &str| before.get(key).cloned().unwrap_or_default();
        pairs.push(EndpointPair {
            name,
            sizes: [before(CONTENT_BYTES), sizes],
            requests: [before(Metric::TotalRequests.name()), stats.iter().map(|stats| stats.requests as f64).collect()],
        });
    }
    pairs
}

fn size_change<'a>(pair: &EndpointPair<'a>, level: f64) -> Option<TrafficChange<'a>> {
    // An empty answer has no ratio.
    let [before, now] = pair.sizes.each_ref().map(|sizes| sizes.iter().map(|size| size.max(1.0)).collect::<Vec<_>>());
    let [baseline, candidate] = [mean(&before), mean(&now)];
    let ratio = candidate / baseline;
    let is_other = !(1.0 / FACTOR..=FACTOR).contains(&ratio) || ratio == FACTOR || ratio == 1.0 / FACTOR;
    let worse = if candidate < baseline { Worse::Lower } else { Worse::Higher };
    let is_significant = Difference::between(Scale::Ratio, &before, &now)?.p_value(worse) <= level;
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
    let is_fewer = now < before / FACTOR && requests_now < KEPT * requests;
    let is_significant = || Rates::between(&counts(0), &counts(1)).is_some_and(|rates| rates.p_value() <= level);
    let (baseline, candidate) = (100.0 * before, 100.0 * now);
    let change = TrafficChange { endpoint: pair.name, kind: TrafficKind::Share, baseline, candidate };
    (is_fewer && is_significant()).then_some(change)
}

/// Whether most requests of the other endpoints are of those that kept their share: if one is asked much more, all
/// others have less of the load.
fn kept_shares(pairs: &[EndpointPair], all: &[Vec<f64>; 2]) -> Vec<bool> {
    let shares: Vec<[f64; 2]> = pairs.iter().map(|pair| pair.shares(all)).collect();
    let kept = |share: &[f64; 2]| if share[1] >= KEPT * share[0] { share[0] } else { 0.0 };
    let (sum, sum_kept) = (shares.iter().map(|share| share[0]).sum::<f64>(), shares.iter().map(kept).sum::<f64>());
    shares.iter().map(|share| sum_kept - kept(share) >= 0.5 * (sum - share[0]) && sum > share[0]).collect()
}
