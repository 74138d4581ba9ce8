//! The accepted baselines of a repository, one after the other: the versions of `perf_baseline.json` in git.
//!
//! Numbers are compared within a stretch only. If a circumstance changes, the chain breaks, and another stretch begins.
//!
//! ```text
//!   newest                                          oldest
//!   v5 -------- v4 -------- v3 --- || --- v2 -------- v1
//!     \ step /     \ step /     broken:      \ step /
//!      a stretch                the machine   another stretch
//! ```

use crate::baseline::comparability::{Break, Stretch};
use crate::baseline::file::{Baseline, SETUP_APART};
use crate::model::day::Day;
use crate::model::run::{EndpointName, Metric, Provenance, Run};
use crate::stats::counts::{Counts, Rates};
use crate::stats::estimate::{Difference, Interval, estimate};
use crate::stats::{Noise, SIGNIFICANCE};

#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    pub commit: String,
    pub day: Day,
    pub author: String,
    pub subject: String,
    pub baseline: Baseline,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Movement {
    pub change: f64,
    /// `None` if both sides have a single value.
    pub interval: Option<Interval>,
    is_rounding: bool,
}

impl Movement {
    /// `None` if one of them lacks the series, or a ratio has a 0.
    pub fn between(before: &Baseline, after: &Baseline, endpoint: EndpointName, metric: Metric) -> Option<Movement> {
        Movement::by_error(before, after, endpoint, metric, SIGNIFICANCE)
    }

    fn by_error(
        before: &Baseline,
        after: &Baseline,
        endpoint: EndpointName,
        metric: Metric,
        error: f64,
    ) -> Option<Movement> {
        let [runs, runs_after] = [before, after].map(|baseline| baseline.runs(endpoint, metric));
        if runs.is_empty() || runs_after.is_empty() {
            return None;
        }
        let noise = if metric == Metric::ErrorRate {
            let [requests, requests_after] =
                [before, after].map(|baseline| baseline.runs(endpoint, Metric::TotalRequests));
            let [before, after] = [Counts::of_rates(runs, requests), Counts::of_rates(runs_after, requests_after)];
            Rates::between(&before, &after).map(Noise::Counts)
        } else {
            Difference::between(metric.scale(), runs, runs_after).map(Noise::Spread)
        };
        let [value, value_after] = [runs, runs_after].map(|runs| estimate(metric.scale(), runs));
        let precision = before.provenance.precision.min(after.provenance.precision);
        let resolution_ms = precision.resolution_ms(value.max(value_after));
        Some(Movement {
            change: metric.change(value, value_after)?,
            interval: noise.map(|noise| noise.interval(error)),
            is_rounding: metric.is_percentile() && (value_after - value).abs() <= resolution_ms,
        })
    }

    pub fn is_significant(&self) -> Option<bool> {
        let Interval { low, high } = self.interval?;
        Some(!self.is_rounding && (low > 0.0 || high < 0.0))
    }
}

/// Why each version cannot be compared with earlier ones; empty if it can. Both lists are newest first.
pub fn breaks<'v>(versions: impl DoubleEndedIterator<Item = &'v Version>) -> Vec<Vec<Break>> {
    let mut all: Vec<Vec<Break>> = Vec::new();
    let mut stretch = Stretch::default();
    for version in versions.rev() {
        let breaks = stretch.extend(&version.baseline.provenance, version.baseline.setup_accounting());
        all.push(breaks);
    }
    all.reverse();
    all
}

pub fn breaks_between(version: &Version, runs: &[Run], measured: &Provenance) -> Vec<Break> {
    let has_setup = runs.iter().any(|run| !run.setup.is_empty());
    Stretch::from(&version.baseline).extend(measured, if has_setup { SETUP_APART } else { "" })
}

/// `the machine and Locust's version`.
pub fn break_names(breaks: &[Break]) -> String {
    breaks.iter().map(|of| of.what).collect::<Vec<_>>().join(" and ")
}

pub fn oldest_of_stretch(breaks: &[Vec<Break>], place: usize) -> usize {
    (place..breaks.len()).find(|place| !breaks[*place].is_empty()).unwrap_or(breaks.len().saturating_sub(1))
}

/// Whether two baselines have the same endpoints, measured in the same way, and no change that is significant over all
/// series together (Bonferroni). Single values have unknown noise, so they are no proof.
pub fn is_unchanged(before: &Baseline, after: &Baseline) -> bool {
    let breaks = Stretch::from(before).extend(&after.provenance, after.setup_accounting());
    if !breaks.is_empty() || !before.names().eq(after.names()) {
        return false;
    }
    let endpoints = before.names().map(Some);
    let metrics = [Metric::P50, Metric::P95, Metric::P99, Metric::RequestsPerSec, Metric::ErrorRate];
    let error = SIGNIFICANCE / ((before.names().count() + 1) * metrics.len()) as f64;
    [None].into_iter().chain(endpoints).all(|endpoint| {
        metrics.into_iter().all(|metric| {
            let movement = Movement::by_error(before, after, endpoint, metric, error);
            movement.and_then(|movement| movement.is_significant()) == Some(false)
        })
    })
}
