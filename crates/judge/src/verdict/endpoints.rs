//! The evidence of the series of endpoints.
//!
//! A p95 of an endpoint is proven in either of two ways: by its spread from run to run, if each run has enough
//! requests, or by the number of requests of all runs together that are over the limit:
//!
//! ```text
//!   requests of the baseline     ..::::::::::::::.....|.  .     5% of them lie above its p95 `|`
//!   requests of the candidate         ...::::::::::::::|:::...  more than 5% lie above the limit of that p95
//!                                                 p95  limit
//! ```

use std::collections::{BTreeMap, HashMap};

use crate::baseline::file::{Baseline, Pooled, RunsByMetric, request_interval, runs_of};
use crate::model::limits::{JUDGED, Limit};
use crate::model::run::{Metric, Run, Stats, by_endpoint, is_setup};
use crate::stats::counts::{Counts, Rates};
use crate::stats::estimate::{HolmResult, Interval, estimate, holm, mean, squares};
use crate::stats::histogram::Histogram;
use crate::stats::{Noise, Proof};
use crate::verdict::decision::{
    Case, Decision, Evidence, Excess, FewSamples, Judge, LEAST_RUNS, Presence, Reason, Row, Series, SlowRequests,
    Unsettled,
};
use crate::verdict::series::{Values, plain_case, values};

/// The probability that noise alone makes any endpoint fail, over all looks together; the same for warnings.
const FAMILY_ERROR: f64 = 0.05;

/// The probability that noise alone makes any endpoint fail by its requests over the limit, which are tested beside the spread.
const COUNTS_ERROR: f64 = 0.01;

/// The probability that chance leaves out any endpoint that is still there.
const MISSING_ERROR: f64 = 0.01;

/// The evidence that makes another run worthwhile: chance leaves out an endpoint with so much in one case of a hundred.
const LEAST_MISSED: f64 = 4.6;

/// An endpoint counts as judged if so large a share of its requests over the limit would be proven.
const SHOWN_SHARE: f64 = 0.5;

/// As `GAP_FACTOR` of `series`, for the fewer requests of an endpoint: 150 of one wide cloud leave a factor of 3.
const ENDPOINT_GAP_FACTOR: f64 = 3.0;

/// Locust's CSV has whole ms, so that a faster response is 0.
const ROUNDED_TO_0_MS: f64 = 0.5;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Coverage<'a> {
    /// The number of endpoints that both sides have and whose p95 has a limit that fails.
    pub endpoints: usize,
    /// Those of them whose p95 cannot be judged, mostly for lack of requests.
    pub unjudged: Vec<&'a str>,
}

/// The two tests of a series; `None` if it is not tested so.
#[derive(Clone, Copy, Default)]
struct Tests {
    spread: Option<HolmResult>,
    counts: Option<HolmResult>,
}

/// The changes of all requests together, by metric, which an endpoint may share.
struct Shared(HashMap<Metric, f64>);

impl Shared {
    fn of(total: &[Series]) -> Shared {
        let change = |series: &Series| Some((series.metric, series.presence.change(series.metric)?));
        Shared(total.iter().filter_map(change).collect())
    }

    /// The change that an endpoint must exceed significantly: what all requests share, up to half the limit
    /// (docs/statistics.md, "One endpoint of many").
    fn beyond(&self, series: &Series, limit: &Limit) -> f64 {
        let Presence::Both { baseline, .. } = series.presence else { return 0.0 };
        let allowed = limit.without_bound().allowed(series.metric, baseline);
        let allowed = allowed.and_then(|allowed| series.metric.change(baseline, allowed)).unwrap_or(0.0);
        let shared = self.0.get(&series.metric).copied().unwrap_or(0.0);
        let least = (series.metric.worsening(allowed) / 2.0).min(series.metric.worsening(shared));
        series.metric.worsening(least.max(0.0))
    }
}

impl<'a> Judge<'a> {
    pub fn endpoint_rows(
        &self,
        total: &[Series],
        baseline: &'a Baseline,
        runs: &'a [Run],
    ) -> (Vec<Row<'a>>, Coverage<'a>) {
        // Results of others have the requests of `on_start` among the others, so that none of them is missing.
        let setup = Some(&baseline.setup).filter(|_| !self.rules.is_complete).into_iter().flatten();
        let mut missing: BTreeMap<&str, &RunsByMetric> =
            baseline.endpoints.iter().chain(setup).map(|(name, series)| (name.as_str(), series)).collect();
        let named = by_endpoint(runs.iter().flat_map(Run::endpoints_and_setup));
        let known = missing.len().max(named.len());
        let mut measured = Vec::with_capacity(named.len() * JUDGED.len());
        for (name, stats) in named {
            match missing.remove(name) {
                Some(before) => self.measure_endpoint(name, before, &stats, known, &mut measured),
                None => self.measure_new(name, baseline, &stats, &mut measured),
            }
        }
        let shared = Shared::of(total);
        let tests = self.tests(&measured, &shared);
        let row = |(series, tests): (&Series<'a>, _)| match series.presence {
            Presence::Both { .. } => self.row(&self.endpoint_case(series, tests, &shared)),
            Presence::New { .. } | Presence::Missing { .. } => self.row(&plain_case(series)),
        };
        let present = measured.iter().zip(tests).map(row);
        let missing = missing.into_iter().filter_map(|(name, series)| self.missing_row(name, series, known));
        (present.chain(missing).collect(), self.coverage(&measured))
    }

    fn coverage(&self, measured: &[Series<'a>]) -> Coverage<'a> {
        let mut coverage = Coverage::default();
        for series in measured.iter().filter(|series| series.metric == Metric::P95) {
            if let Series { endpoint: Some(name), limit: Some(limit), presence: Presence::Both { .. }, .. } = series
                && self.rules.fails(limit)
            {
                coverage.endpoints += 1;
                let has_proof = series.noise.is_some() || series.slow_requests.is_some() || series.requests.is_some();
                if series.few_samples.is_some() || !has_proof {
                    coverage.unjudged.push(name);
                }
            }
        }
        coverage
    }

    fn measure_endpoint(
        &self,
        name: &'a str,
        baseline: &RunsByMetric,
        runs: &[&Stats],
        endpoints: usize,
        measured: &mut Vec<Series<'a>>,
    ) {
        for metric in self.judged_of_endpoint(name) {
            let before = [metric, Metric::TotalRequests].map(|metric| runs_of(baseline, metric));
            let series = self.series(name, metric, before, runs);
            let p95_limit = series.limit.filter(|_| metric == Metric::P95);
            let slow_requests = p95_limit.and_then(|limit| self.slow_requests(limit, baseline, runs, endpoints));
            let requests = if series.noise.is_none() { single_runs(metric, baseline, runs) } else { None };
            let series = Series { requests, slow_requests, ..series };
            measured.push(match slow_requests {
                // The p95 of few requests is their slowest one, and jumps from run to run.
                Some(SlowRequests { baseline_ms, candidate_ms, .. }) if series.few_samples.is_some() => Series {
                    presence: Presence::Both { baseline: baseline_ms, candidate: candidate_ms },
                    noise: None,
                    few_samples: None,
                    ..series
                },
                _ => series,
            });
        }
    }

    fn series(&self, name: &'a str, metric: Metric, before: [&[f64]; 2], runs: &[&Stats]) -> Series<'a> {
        let [baseline, baseline_requests] = before;
        let [baseline, candidate] = &with_ratios(metric, baseline, &values(metric, runs));
        let values = Values { metric, paired: self.rules.paired, baseline, baseline_requests, candidate, runs };
        let noise = values.noise();
        Series {
            endpoint: Some(name),
            metric,
            limit: self.rules.limit(Some(name), metric),
            presence: values.presence(noise),
            noise,
            few_samples: values.few_samples(f64::max),
            requests: None,
            slow_requests: None,
        }
    }

    /// Of a new endpoint its p95 is shown, and metrics with a bound, which need no baseline. Its error rate is compared
    /// with the error rate of all requests in the baseline.
    fn measure_new(&self, name: &'a str, baseline: &Baseline, runs: &[&Stats], measured: &mut Vec<Series<'a>>) {
        for metric in self.judged_of_endpoint(name) {
            // A baseline without endpoints has no new ones.
            let has_failed = metric == Metric::ErrorRate && !baseline.endpoints.is_empty();
            let of_total = |metric| if has_failed { baseline.total_runs(metric) } else { &[] };
            let series = self.series(name, metric, [metric, Metric::TotalRequests].map(of_total), runs);
            let requests = if has_failed && series.noise.is_none() {
                single_runs(metric, &baseline.aggregated, runs)
            } else {
                None
            };
            let series = Series { requests, ..series };
            let has_bound = series.limit.is_some_and(|limit| limit.bound.is_some());
            let is_failing = (series.noise.is_some() || series.requests.is_some())
                && series.few_samples.is_none()
                && series.limit.is_some_and(|limit| self.is_relevant(&series, limit));
            if is_failing {
                measured.push(series);
            } else if metric == Metric::P95 || has_bound {
                let presence = Presence::New { candidate: estimate(metric.scale(), &values(metric, runs)) };
                measured.push(Series { presence, noise: None, requests: None, ..series });
            }
        }
    }

    /// The metrics that are judged of an endpoint. The mean only if it has a limit, which by default it has not.
    fn judged_of_endpoint(&self, name: &str) -> impl Iterator<Item = Metric> {
        let has_limit = |metric| self.rules.limit(Some(name), metric).is_some();
        let of_endpoints = JUDGED.into_iter().filter(|metric| Metric::OF_ENDPOINTS.contains(metric));
        of_endpoints.filter(move |metric| match metric {
            Metric::AvgResponseTime => has_limit(*metric),
            // Each user logs in once, however long the load is.
            Metric::RequestsPerSec => !is_setup(name),
            _ => true,
        })
    }

    /// The response time in ms beyond which a request is over the limit of p95, by more than rounding.
    pub fn over_ms(&self, limit: &Limit, p95_ms: f64) -> Option<f64> {
        let allowed_ms = limit.without_bound().allowed(Metric::P95, p95_ms)?;
        Some(allowed_ms.max(p95_ms + self.resolution.ms(Metric::P95, p95_ms)))
    }

    /// `None` if a side has no histogram, or too few requests for a share of [`SHOWN_SHARE`] to be proven by all runs
    /// allowed.
    fn slow_requests(
        &self,
        limit: &Limit,
        baseline: &RunsByMetric,
        runs: &[&Stats],
        endpoints: usize,
    ) -> Option<SlowRequests> {
        let Pooled { p90_ms, p95_ms, p98_ms, above_p95, requests } = Pooled::of(baseline)?;
        if runs.iter().any(|stats| stats.histogram.count() == 0) {
            return None;
        }
        let over_ms = self.over_ms(limit, p95_ms)?;
        let above = above_p95.into_iter().zip(requests);
        let above: Vec<Counts> = above.map(|(failures, requests)| Counts { failures, requests }).collect();
        let over = |stats: &&Stats| Counts {
            failures: stats.histogram.count_above(over_ms) as f64,
            requests: stats.histogram.count() as f64,
        };
        let candidate: Vec<Counts> = runs.iter().map(over).collect();
        let rates = Rates::over_p95(&above, &candidate, self.runs)?;
        let per_run = |counts: &[Counts], runs: usize| {
            counts.iter().map(|counts| counts.requests).sum::<f64>() / runs.max(1) as f64
        };
        let requests = per_run(&above, self.baseline_runs).max(per_run(&candidate, self.runs)) * self.max_runs as f64;
        let level = COUNTS_ERROR / self.max_runs as f64 / endpoints as f64;
        if !rates.would_show(requests, SHOWN_SHARE, level) {
            return None;
        }
        let all = Histogram::merged(runs.iter().map(|stats| &stats.histogram));
        let is_over = |before: f64, p: f64| {
            let now = all.percentile(p);
            Excess::of(Metric::P95, &limit.without_bound(), before, now, self.resolution).is_relevant()
        };
        let is_in_gap =
            is_in_gap(&all, all.count() as f64 / runs.len() as f64) && !is_over(p90_ms, 0.90) && !is_over(p98_ms, 0.98);
        Some(SlowRequests { rates, is_in_gap, baseline_ms: p95_ms, candidate_ms: all.percentile(0.95) })
    }

    /// An endpoint that had requests in the baseline and has none now is a finding if chance hardly leaves it out. All
    /// N requests fall into the m runs of the baseline, and none into the k of the candidate, with the probability
    /// `(m / (m + k))^N` (Przyborowski & Wilenski 1940, Biometrika 31). Requests of one run come together more often
    /// than independent ones, so N is divided by the dispersion that the runs show (`McCullagh` & Nelder, section 6.2).
    /// It fails only if a limit of the endpoint can fail, and is nothing if all of them are off.
    fn missing_row(&self, name: &'a str, series: &RunsByMetric, endpoints: usize) -> Option<Row<'a>> {
        let limits: Vec<&Limit> = JUDGED.iter().filter_map(|metric| self.rules.limit(Some(name), *metric)).collect();
        if limits.is_empty() {
            return None;
        }
        let can_fail = limits.iter().any(|limit| self.rules.fails(limit));
        let mut requests = runs_of(series, Metric::TotalRequests).to_vec();
        // A run without the endpoint has no entry.
        requests.resize(requests.len().max(self.baseline_runs), 0.0);
        let mean = mean(&requests);
        let dispersion = squares(&requests) / (requests.len() as f64 - 1.0).max(1.0) / mean.max(f64::MIN_POSITIVE);
        let independent = mean * requests.len() as f64 / dispersion.max(1.0);
        // The negative logarithm of the probability that chance leaves out the endpoint.
        let evidence = |runs: usize| independent * (runs as f64 / requests.len() as f64).ln_1p();
        let needed = (self.max_runs as f64 * endpoints as f64 / MISSING_ERROR).ln();
        let is_last = self.runs >= self.max_runs;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of requests")]
        let few = FewSamples { requests: mean.round() as usize, samples: mean.round() as usize };
        let (decision, few_samples, unsettled) = if evidence(self.runs) < needed {
            let may_be_missing = !is_last && evidence(self.runs) >= LEAST_MISSED && evidence(self.max_runs) >= needed;
            let unsettled = may_be_missing.then_some(Unsettled::Open);
            (Decision::InDoubt(Reason::FewSamples(few)), Some(few), unsettled)
        } else if !can_fail || (self.runs < LEAST_RUNS && !self.rules.strict) {
            (Decision::Warn(Reason::Missing), None, (can_fail && !is_last).then_some(Unsettled::FewRuns))
        } else {
            (Decision::Fail(Reason::Missing), None, None)
        };
        let p95 = Some(runs_of(series, Metric::P95)).filter(|p95| !p95.is_empty());
        Some(Row {
            endpoint: Some(name),
            metric: Metric::P95,
            limit: self.rules.limit(Some(name), Metric::P95),
            accepted: None,
            presence: Presence::Missing { baseline: p95.map(|p95| estimate(Metric::P95.scale(), p95)) },
            evidence: Evidence { interval: None, detectable: None, few_samples, unsettled },
            decision: Some(decision),
        })
    }

    /// Tests all endpoints together: the series that can fail are one family, those that can warn another. Each family
    /// shares its error out over the looks (Bonferroni) and over its series (Holm). The result is in the order of
    /// `measured`.
    fn tests(&self, measured: &[Series], shared: &Shared) -> Vec<Tests> {
        let looks = self.max_runs as f64;
        let mut tests = vec![Tests::default(); measured.len()];
        for blocks in [true, false] {
            let (mut spread, mut counts) = (Vec::new(), Vec::new());
            for (place, series) in measured.iter().enumerate() {
                let Some(limit) = series.limit.filter(|limit| self.rules.fails(limit) == blocks) else { continue };
                if let Series { noise: Some(noise), few_samples: None, .. } = series {
                    spread.push((place, noise.p_value(shared.beyond(series, limit), series.metric.worse())));
                }
                if let Some(SlowRequests { rates, .. }) = series.slow_requests {
                    counts.push((place, rates.p_value()));
                }
            }
            for (place, tested) in tested(&spread, FAMILY_ERROR / looks) {
                tests[place].spread = Some(tested);
            }
            for (place, tested) in tested(&counts, COUNTS_ERROR / looks) {
                tests[place].counts = Some(tested);
            }
        }
        tests
    }

    fn endpoint_case<'s>(&self, series: &'s Series<'a>, tests: Tests, shared: &Shared) -> Case<'s, 'a> {
        let counts_proof = series.slow_requests.zip(tests.counts).map(|(SlowRequests { rates, .. }, tested)| Proof {
            noise: Noise::Counts(rates),
            worse: Metric::P95.worse(),
            beyond: 0.0,
            level: tested.level,
        });
        let few_samples =
            series.few_samples.filter(|_| series.limit.is_some_and(|limit| self.is_relevant(series, limit)));
        let case = Case { few_samples, counts_proof, ..plain_case(series) };
        let is_counted = counts_proof.is_some_and(|proof| proof.is_given());
        match (series.noise, series.limit, tests.spread) {
            (None, ..) if series.slow_requests.is_some() => {
                Case { doubt: (!is_counted).then_some(Reason::NotSignificant), ..case }
            }
            (None, ..) => self.single_run_case(&case),
            (Some(noise), Some(limit), Some(tested)) => {
                let (worse, beyond) = (series.metric.worse(), shared.beyond(series, limit));
                let is_in_gap = series.slow_requests.is_some_and(|slow_requests| slow_requests.is_in_gap);
                let doubt = if is_in_gap { Reason::InGap } else { Reason::NotSignificant };
                let is_proven = is_counted || (tested.is_rejected && !is_in_gap);
                Case {
                    doubt: (!is_proven).then_some(doubt),
                    proof: Some(Proof { noise, worse, beyond, level: tested.level }),
                    ..case
                }
            }
            _ => case,
        }
    }

    /// A single run on each side leaves the noise unknown, so every change that its requests leave possible must be
    /// over the limit.
    fn single_run_case<'s>(&self, case: &Case<'s, 'a>) -> Case<'s, 'a> {
        let series = case.series;
        let (Some(limit), Some([baseline, candidate])) = (series.limit, series.requests) else {
            return Case { doubt: Some(Reason::NoiseUnknown), ..*case };
        };
        let metric = series.metric;
        let low = metric.change(baseline.high, candidate.low);
        let high = metric.change(baseline.low, candidate.high);
        let interval = low.zip(high).map(|(low, high)| Interval { low, high });
        let least = Excess::of(metric, limit, baseline.high, candidate.low, self.resolution);
        let doubt = (!least.is_relevant()).then_some(Reason::ReachesBelowLimit);
        Case { interval, doubt, ..*case }
    }
}

fn tested(p_values: &[(usize, f64)], level: f64) -> Vec<(usize, HolmResult)> {
    let (places, p_values): (Vec<usize>, Vec<f64>) = p_values.iter().copied().unzip();
    places.into_iter().zip(holm(&p_values, level)).collect()
}

/// Whether the percentiles that the p95 of a run of so many requests reaches in 98 runs of 100 differ by more than
/// [`ENDPOINT_GAP_FACTOR`].
fn is_in_gap(all: &Histogram, requests_in_run: f64) -> bool {
    let reach = 2.33 * (0.95 * 0.05 / requests_in_run).sqrt();
    let [low, high] = [0.95 - reach, 0.95 + reach].map(|p| all.percentile(p.clamp(0.0, 1.0)));
    high > ENDPOINT_GAP_FACTOR * low
}

/// Replaces percentiles of 0, which have no ratio, if the candidate has others.
fn with_ratios(metric: Metric, baseline: &[f64], candidate: &[f64]) -> [Vec<f64>; 2] {
    let is_kept = !metric.is_percentile() || candidate.iter().all(|ms| *ms == 0.0);
    let of = |value: &f64| if *value == 0.0 && !is_kept { ROUNDED_TO_0_MS } else { *value };
    [baseline, candidate].map(|values| values.iter().map(of).collect())
}

fn single_runs(metric: Metric, baseline: &RunsByMetric, runs: &[&Stats]) -> Option<[Interval; 2]> {
    let [candidate] = runs else { return None };
    Some([request_interval(baseline, metric)?, candidate.request_interval(metric)?])
}
