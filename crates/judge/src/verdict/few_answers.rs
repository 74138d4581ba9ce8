//! Runs with too few requests for percentiles: in a closed loop the worst regression leaves the fewest.

use crate::baseline::file::{Baseline, Pooled};
use crate::model::limits::Limit;
use crate::model::run::{Metric, Run};
use crate::stats::counts::{Counts, fewer, fisher};
use crate::stats::estimate::mean;
use crate::stats::histogram::Histogram;
use crate::verdict::decision::{FewAnswers, Judge};

/// The probability that noise alone fails such runs, over all looks together.
const FEW_ERROR: f64 = 0.01;

/// The share of the baseline's users that must be there: without its users a run has few requests for another reason.
const USERS: f64 = 0.95;

impl Judge<'_> {
    /// `None` if each run has the requests that it needs, or the baseline lacks them too.
    pub(crate) fn few_answers(&self, baseline: &Baseline, runs: &[Run], limit: &Limit) -> Option<FewAnswers> {
        let least = self.rules.min_requests;
        let before = baseline.total_runs(Metric::TotalRequests);
        if runs.iter().all(|run| run.total.requests >= least) || before.iter().any(|count| *count < least as f64) {
            return None;
        }
        let now: Vec<f64> = runs.iter().map(|run| run.total.requests as f64).collect();
        let is_proven = self.is_counted(baseline, runs, limit) || self.is_round_longer(baseline, runs, limit, &now);
        Some(FewAnswers { candidate: mean(&now), baseline: mean(before), is_proven })
    }

    /// Whether more requests are over the limit of p95 than the baseline has above its p95.
    fn is_counted(&self, baseline: &Baseline, runs: &[Run], limit: &Limit) -> bool {
        let Some(Pooled { p95_ms, requests, .. }) = Pooled::of(&baseline.aggregated) else { return false };
        let Some(over_ms) = self.over_ms(limit, p95_ms) else { return false };
        let histograms = || runs.iter().map(|run| &run.total.histogram);
        let all = requests.iter().sum::<f64>();
        let before = Counts { failures: (0.05 * all).ceil(), requests: all };
        let now = Counts {
            failures: histograms().map(|times| times.count_above(over_ms)).sum::<u64>() as f64,
            requests: histograms().map(Histogram::count).sum::<u64>() as f64,
        };
        now.requests > 0.0 && fisher(before, now) <= FEW_ERROR / self.max_runs as f64
    }

    /// Whether the time from one request of a user to the next is longer than the limit of p95 allows: all users are
    /// there and send too few requests.
    fn is_round_longer(&self, baseline: &Baseline, runs: &[Run], limit: &Limit, now: &[f64]) -> bool {
        let Some(users) = baseline.provenance.mean_users else { return false };
        let are_there = |run: &Run| run.users_by_class.values().sum::<f64>() >= USERS * users;
        let Some(worsening) = limit.worsening.filter(|_| runs.iter().all(are_there)) else { return false };
        let before = baseline.total_runs(Metric::TotalRequests);
        fewer(now, before, 1.0 + worsening / 100.0) <= FEW_ERROR / self.max_runs as f64
    }
}
