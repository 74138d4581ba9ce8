//! The evidence of the series of endpoints.
//!
//! A p95 of an endpoint is proven in either of two ways. If each run has enough requests, the spread of the p95 from run to
//! run shows whether its change is noise. And the requests of all runs together show how many are over the limit:
//!
//! ```text
//!   requests of the baseline     ..::::::::::::::.....|.  .     5% of them lie above its p95 `|`
//!   requests of the candidate         ...::::::::::::::|:::...  more than 5% lie above the limit of that p95
//!                                                 p95  limit
//! ```

use std::collections::{BTreeMap, HashMap};

use crate::baseline::file::{Baseline, Pooled, RunsByMetric, request_interval};
use crate::model::limits::{JUDGED, Limit};
use crate::model::run::{Metric, Run, Stats, is_setup};
use crate::stats::counts::{Counts, Rates};
use crate::stats::estimate::{HolmResult, Interval, estimate, holm, mean};
use crate::stats::histogram::Histogram;
use crate::stats::{Noise, Proof};
use crate::verdict::decision::{
    Case, Decision, Evidence, Excess, FewSamples, Judge, LEAST_RUNS, OverLimit, Presence, Reason, Row, Series,
    SingleRuns, Unsettled,
};
use crate::verdict::series::{Values, plain_case, values};

/// The probability that noise alone makes any endpoint fail, over all looks together. Warnings have as much.
const FAMILY_ERROR: f64 = 0.05;

/// The same for the requests over limits, which are tested beside the spread.
const COUNTS_ERROR: f64 = 0.01;

/// The probability that chance leaves out any endpoint that is still there.
const MISSING_ERROR: f64 = 0.01;

/// The evidence that makes another run worthwhile: chance leaves out an endpoint with so much in one case of a hundred.
const LEAST_MISSED: f64 = 4.6;

/// An endpoint counts as judged if so large a share of its requests over the limit would be proven.
const SHOWN_SHARE: f64 = 0.5;

/// As [`GAP_FACTOR`](crate::verdict::series), for an endpoint, whose fewer requests leave its p95 more open: of one wide cloud
/// of 150 they leave a factor of 3.
const ENDPOINT_GAP_FACTOR: f64 = 3.0;

/// Locust's CSV has whole ms, so that a faster response is 0.
const ROUNDED_TO_0_MS: f64 = 0.5;

/// How many endpoints can be judged by their p95.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Coverage {
    /// The endpoints that both sides have and whose p95 has a limit that fails.
    pub endpoints: usize,
    /// Of these, the endpoints with enough requests.
    pub judged: usize,
    /// The share of the candidate's requests that the judged ones have, in percent.
    pub requests_pct: f64,
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
        let change = |series: &Series| match series.presence {
            Presence::Both { baseline, candidate } => series.metric.change(baseline, candidate),
            Presence::New { .. } | Presence::Missing { .. } => None,
        };
        Shared(total.iter().filter_map(|series| Some((series.metric, change(series)?))).collect())
    }

    /// The change that an endpoint must exceed significantly: what all requests share, up to half the limit. Tested
    /// against no change at all, an allowed change everywhere would fail by the endpoint that chance makes look worst.
    fn beyond(&self, series: &Series, limit: &Limit) -> f64 {
        let Presence::Both { baseline, .. } = series.presence else { return 0.0 };
        let by_change = Limit { bound: None, ..limit.clone() };
        let allowed = by_change.allowed(series.metric, baseline);
        let allowed = allowed.and_then(|allowed| series.metric.change(baseline, allowed)).unwrap_or(0.0);
        let shared = self.0.get(&series.metric).copied().unwrap_or(0.0);
        let least = (series.metric.worsening(allowed) / 2.0).min(series.metric.worsening(shared));
        series.metric.worsening(least.max(0.0))
    }
}

impl<'a> Judge<'a> {
    pub fn endpoint_rows(&self, total: &[Series], baseline: &'a Baseline, runs: &'a [Run]) -> (Vec<Row<'a>>, Coverage) {
        // Results of others have the requests of `on_start` among the others, so that none of them is missing.
        let setup = Some(&baseline.setup).filter(|_| !self.rules.is_complete).into_iter().flatten();
        let mut missing: BTreeMap<&str, &RunsByMetric> =
            baseline.endpoints.iter().chain(setup).map(|(name, series)| (name.as_str(), series)).collect();
        let named = stats_by_endpoint(runs);
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
        let missing = missing.into_iter().map(|(name, series)| self.missing_row(name, series, known));
        (present.chain(missing).collect(), self.coverage(&measured, runs))
    }

    fn coverage(&self, measured: &[Series], runs: &[Run]) -> Coverage {
        let mut requests: HashMap<&str, u64> = HashMap::new();
        for (name, stats) in runs.iter().flat_map(Run::with_setup) {
            *requests.entry(name).or_default() += stats.requests;
        }
        let mut coverage = Coverage::default();
        let mut judged: u64 = 0;
        for series in measured.iter().filter(|series| series.metric == Metric::P95) {
            let Series { endpoint: Some(name), limit: Some(limit), presence: Presence::Both { .. }, .. } = series
            else {
                continue;
            };
            if !self.rules.fails(limit) {
                continue;
            }
            coverage.endpoints += 1;
            if series.few_samples.is_none()
                && (series.noise.is_some() || series.over_limit.is_some() || series.requests.is_some())
            {
                coverage.judged += 1;
                judged += requests[name];
            }
        }
        let all: u64 = runs.iter().map(|run| run.total.requests).sum();
        coverage.requests_pct = 100.0 * judged as f64 / all.max(1) as f64;
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
        let before = |metric: Metric| baseline.get(metric.name()).map_or(&[][..], Vec::as_slice);
        for metric in self.judged_of_endpoint(name) {
            let limit = self.rules.limit(Some(name), metric);
            let (baseline_values, candidate) = with_ratios(metric, before(metric), &values(metric, runs));
            let values = Values {
                metric,
                paired: self.rules.paired,
                baseline: &baseline_values,
                baseline_requests: before(Metric::TotalRequests),
                candidate: &candidate,
                runs,
            };
            let noise = values.noise();
            let over_limit = limit.filter(|_| metric == Metric::P95);
            let over_limit = over_limit.and_then(|limit| self.over_limit(limit, baseline, runs, endpoints));
            let series = Series {
                endpoint: Some(name),
                metric,
                limit,
                presence: values.presence(noise),
                noise,
                few_samples: values.few_samples(f64::max),
                requests: if noise.is_none() { single_runs(metric, baseline, runs) } else { None },
                over_limit,
            };
            measured.push(match over_limit {
                // The p95 of few requests is their slowest one, and jumps from run to run.
                Some(OverLimit { baseline_ms, candidate_ms, .. }) if series.few_samples.is_some() => Series {
                    presence: Presence::Both { baseline: baseline_ms, candidate: candidate_ms },
                    noise: None,
                    few_samples: None,
                    ..series
                },
                _ => series,
            });
        }
    }

    /// Of a new endpoint its p95 is shown, and metrics with a bound, which need no baseline. If requests fail, their rate is
    /// compared with the rate of all requests of the baseline.
    fn measure_new(&self, name: &'a str, baseline: &Baseline, runs: &[&Stats], measured: &mut Vec<Series<'a>>) {
        for metric in self.judged_of_endpoint(name) {
            let limit = self.rules.limit(Some(name), metric);
            // A baseline without endpoints has no new ones.
            let has_failed = metric == Metric::ErrorRate && !baseline.endpoints.is_empty();
            let of_total = |metric| if has_failed { baseline.total_runs(metric) } else { &[] };
            let values = Values {
                metric,
                paired: self.rules.paired,
                baseline: of_total(metric),
                baseline_requests: of_total(Metric::TotalRequests),
                candidate: &values(metric, runs),
                runs,
            };
            let noise = values.noise();
            let requests =
                if has_failed && noise.is_none() { single_runs(metric, &baseline.aggregated, runs) } else { None };
            let is_known = noise.is_some() || requests.is_some();
            let series = Series {
                endpoint: Some(name),
                metric,
                limit,
                presence: values.presence(noise),
                noise,
                few_samples: values.few_samples(f64::max),
                requests,
                over_limit: None,
            };
            let has_bound = limit.is_some_and(|limit| limit.bound.is_some());
            let is_failing =
                is_known && series.few_samples.is_none() && limit.is_some_and(|limit| self.is_relevant(&series, limit));
            if is_failing {
                measured.push(series);
            } else if metric == Metric::P95 || has_bound {
                let presence = Presence::New { candidate: estimate(metric.scale(), values.candidate) };
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

    /// Counts the requests over the limit of p95. `None` if a side has no histogram, or too few requests for a share of
    /// [`SHOWN_SHARE`] to be proven by all runs allowed.
    fn over_limit(
        &self,
        limit: &Limit,
        baseline: &RunsByMetric,
        runs: &[&Stats],
        endpoints: usize,
    ) -> Option<OverLimit> {
        let Pooled { p90_ms, p95_ms, p98_ms, above_p95, requests } = Pooled::of(baseline)?;
        if runs.iter().any(|stats| stats.histogram.count() == 0) {
            return None;
        }
        let by_change = Limit { bound: None, ..limit.clone() };
        let resolved_ms = p95_ms + self.resolution.ms(Metric::P95, p95_ms);
        let over_ms = by_change.allowed(Metric::P95, p95_ms)?.max(resolved_ms);
        let above: Vec<Counts> = above_p95
            .iter()
            .zip(&requests)
            .map(|(above, requests)| Counts { failures: *above, requests: *requests })
            .collect();
        let over = |stats: &&Stats| Counts {
            failures: stats.histogram.count_above(over_ms) as f64,
            requests: stats.histogram.count() as f64,
        };
        let candidate: Vec<Counts> = runs.iter().map(over).collect();
        let rates = Rates::over_quantile(&above, 0.95, &candidate, self.runs)?;
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
            Excess::of(Metric::P95, &by_change, before, all.percentile(p), self.resolution).is_relevant()
        };
        let is_in_gap =
            is_in_gap(&all, all.count() as f64 / runs.len() as f64) && !is_over(p90_ms, 0.90) && !is_over(p98_ms, 0.98);
        Some(OverLimit { rates, is_in_gap, baseline_ms: p95_ms, candidate_ms: all.percentile(0.95) })
    }

    /// An endpoint that had requests in the baseline and has none now. It is a finding if chance hardly leaves it out, and
    /// it fails by two runs. Requests come by chance, so an endpoint with few of them is absent now and then.
    ///
    /// Of N requests that come at one rate, none falls into the k runs of the candidate, and all into the m runs of the
    /// baseline, with the probability (m / (m + k))^N (Przyborowski & Wilenski 1940, Homogeneity of Results in Testing
    /// Samples from Poisson Series, Biometrika 31). Requests of one run come together more often than independent ones, so
    /// N is divided by the dispersion that the runs of the baseline show (`McCullagh` & Nelder, section 6.2).
    fn missing_row(&self, name: &'a str, series: &RunsByMetric, endpoints: usize) -> Row<'a> {
        let mut requests = series.get(Metric::TotalRequests.name()).cloned().unwrap_or_default();
        // A run without the endpoint has no entry.
        requests.resize(requests.len().max(self.baseline_runs), 0.0);
        let mean = mean(&requests);
        let squares: f64 = requests.iter().map(|requests| (requests - mean).powi(2)).sum();
        let dispersion = squares / (requests.len() as f64 - 1.0).max(1.0) / mean.max(f64::MIN_POSITIVE);
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
        } else if self.runs < LEAST_RUNS && !self.rules.strict {
            (Decision::Warn(Reason::Missing), None, (!is_last).then_some(Unsettled::FewRuns))
        } else {
            (Decision::Fail(Reason::Missing), None, None)
        };
        let p95 = series.get(Metric::P95.name()).filter(|p95| !p95.is_empty());
        Row {
            endpoint: Some(name),
            metric: Metric::P95,
            limit: self.rules.limit(Some(name), Metric::P95),
            accepted: None,
            presence: Presence::Missing { baseline: p95.map(|p95| estimate(Metric::P95.scale(), p95)) },
            evidence: Evidence { interval: None, detectable: None, few_samples, unsettled },
            decision: Some(decision),
        }
    }

    /// Tests the changes of endpoints together: those that can fail are one family, those that can warn another. Each
    /// family shares its error out over the looks after every run (Bonferroni) and over its series (Holm). The result is
    /// in the order of `measured`; series that are not judged or rest on too few samples are not tested.
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
                if let Some(OverLimit { rates, .. }) = series.over_limit {
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

    /// An endpoint that both sides have needs significance or, with a single run on each side, an interval of its
    /// requests.
    fn endpoint_case<'s>(&self, series: &'s Series<'a>, tests: Tests, shared: &Shared) -> Case<'s, 'a> {
        let counts_proof = series.over_limit.zip(tests.counts).map(|(OverLimit { rates, .. }, tested)| Proof {
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
            (None, ..) if series.over_limit.is_some() => {
                Case { doubt: (!is_counted).then_some(Reason::NotSignificant), ..case }
            }
            (None, ..) => self.single_run_case(&case),
            (Some(noise), Some(limit), Some(tested)) => {
                let (worse, beyond) = (series.metric.worse(), shared.beyond(series, limit));
                let is_in_gap = series.over_limit.is_some_and(|over_limit| over_limit.is_in_gap);
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

    /// A single run on each side leaves the noise between runs unknown, so the requests decide: such a series fails if
    /// every change that they leave possible is over the limit.
    fn single_run_case<'s>(&self, case: &Case<'s, 'a>) -> Case<'s, 'a> {
        let series = case.series;
        let (Some(limit), Some(SingleRuns { baseline, candidate })) = (series.limit, &series.requests) else {
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

/// Holm's results of the p-values, by the places of their series.
fn tested(p_values: &[(usize, f64)], level: f64) -> Vec<(usize, HolmResult)> {
    let (places, p_values): (Vec<usize>, Vec<f64>) = p_values.iter().copied().unzip();
    places.into_iter().zip(holm(&p_values, level)).collect()
}

/// Whether the p95 of a run of so many of these requests may be one of fast and of slow requests: if the percentiles that
/// it reaches in 98 runs of 100 differ by more than [`ENDPOINT_GAP_FACTOR`].
fn is_in_gap(all: &Histogram, requests_in_run: f64) -> bool {
    let reach = 2.33 * (0.95 * 0.05 / requests_in_run).sqrt();
    let [low, high] = [0.95 - reach, 0.95 + reach].map(|p| all.percentile(p.clamp(0.0, 1.0)));
    high > ENDPOINT_GAP_FACTOR * low
}

/// Replaces percentiles of 0, which have no ratio, if the candidate has others.
fn with_ratios(metric: Metric, baseline: &[f64], candidate: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let is_kept = !metric.is_percentile() || candidate.iter().all(|ms| *ms == 0.0);
    let of = |value: &f64| if *value == 0.0 && !is_kept { ROUNDED_TO_0_MS } else { *value };
    (baseline.iter().map(of).collect(), candidate.iter().map(of).collect())
}

fn single_runs(metric: Metric, baseline: &RunsByMetric, runs: &[&Stats]) -> Option<SingleRuns> {
    let [candidate] = runs else { return None };
    Some(SingleRuns { baseline: request_interval(baseline, metric)?, candidate: candidate.request_interval(metric)? })
}

/// Groups the runs' statistics by endpoint. The first run that has an endpoint gives its place.
fn stats_by_endpoint(runs: &[Run]) -> Vec<(&str, Vec<&Stats>)> {
    let Some((first, further)) = runs.split_first() else { return Vec::new() };
    let mut named: Vec<_> = first.with_setup().map(|(name, stats)| (&**name, vec![stats])).collect();
    // A run has each name once, so there is nothing to look up for a single run.
    if further.is_empty() {
        return named;
    }
    let mut places: HashMap<&str, usize> = named.iter().enumerate().map(|(place, (name, _))| (*name, place)).collect();
    for (name, stats) in further.iter().flat_map(Run::with_setup) {
        let place = *places.entry(name).or_insert_with(|| {
            named.push((name, Vec::new()));
            named.len() - 1
        });
        named[place].1.push(stats);
    }
    named
}
