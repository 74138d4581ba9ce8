//! The evidence of each series: how its change compares with noise, and how many requests it rests on. One function makes
//! it for each kind of series: `total_case`, `endpoint_case`, and `one_sided_case` of a new or missing endpoint.

use std::collections::{BTreeMap, HashMap};

use crate::baseline::file::{Baseline, RunsByMetric, distribution, p95_corrected, request_interval};
use crate::model::limits::{JUDGED, Limit};
use crate::model::run::{Metric, PERCENTILES, Run, Stats};
use crate::stats::counts::{Counts, Rates};
use crate::stats::estimate::{Difference, Interval, Scale, Tested, estimate, holm, mean};
use crate::stats::{ERROR, Noise, Proof};
use crate::verdict::decision::{Case, Excess, FewSamples, Judge, Presence, Reason, Row, Series, SingleRuns, is_over};

/// The probability that noise alone makes any endpoint fail, over all looks together. Warnings have as much.
const FAMILY_ERROR: f64 = 0.05;

/// The p-value by which the mean is up if the p95 lies in a gap.
const GAP_ERROR: f64 = 0.01;

/// In a gap between fast and slow requests, the ends of the interval of the p95 differ by more than this factor.
/// Within one cloud of response times they differ much less.
const GAP_FACTOR: f64 = 2.0;

/// The percentiles, of [`PERCENTILES`], on either side of a gap at p95.
const BESIDE_P95: [f64; 2] = [90.0, 98.0];

/// The share of its limit from which on such a percentile counts as near it.
const NEAR_LIMIT: f64 = 0.5;

/// The least samples of an endpoint's percentile that is a finding.
pub const LEAST_SAMPLES: usize = 5;

/// The least failures of an endpoint's error rate that is a finding: fewer are an accident, whatever the exact test
/// shows.
const LEAST_FAILURES: usize = 3;

/// The least requests in a run for an endpoint's throughput: fewer scatter too much for a limit.
const LEAST_THROUGHPUT: usize = 20;

/// An endpoint with so many requests a run in the baseline, and none now, is missing.
const LEAST_MISSED: f64 = 10.0;

/// The values of both sides of a series, one for each run.
struct Values<'s> {
    metric: Metric,
    paired: bool,
    /// Empty if the baseline has no such series.
    baseline: &'s [f64],
    baseline_requests: &'s [f64],
    candidate: &'s [f64],
    /// Of the candidate.
    runs: &'s [&'s Stats],
}

impl Values<'_> {
    fn presence(&self, noise: Option<Noise>) -> Presence {
        let scale = self.metric.scale();
        if self.baseline.is_empty() {
            return Presence::New { candidate: estimate(scale, self.candidate) };
        }
        let baseline = estimate(scale, self.baseline);
        let candidate = match noise {
            // The change between the two runs of each round decides, not the estimates of the two sides.
            Some(Noise::Spread(difference)) if self.paired && scale == Scale::Ratio => {
                self.metric.changed(baseline, difference.change())
            }
            _ => estimate(scale, self.candidate),
        };
        Presence::Both { baseline, candidate }
    }

    fn noise(&self) -> Option<Noise> {
        if self.metric == Metric::ErrorRate {
            let baseline = Counts::of_rates(self.baseline, self.baseline_requests)?;
            let of_run = |stats: &&Stats| Counts { failures: stats.failures as f64, requests: stats.requests as f64 };
            let candidate: Vec<Counts> = self.runs.iter().map(of_run).collect();
            return Rates::between(&baseline, &candidate).map(Noise::Counts);
        }
        // An endpoint without requests in one run of a round leaves the other runs without their pairs.
        let is_paired = self.paired && self.baseline.len() == self.candidate.len();
        let of = if is_paired { Difference::paired } else { Difference::between };
        of(self.metric.scale(), self.baseline, self.candidate).map(Noise::Spread)
    }

    /// The requests in a run of the side that has fewer, and the samples among them.
    fn few_samples(&self) -> Option<FewSamples> {
        let of_candidate: u64 = self.runs.iter().map(|stats| stats.requests).sum();
        let mut requests = of_candidate as f64 / self.runs.len() as f64;
        if !self.baseline_requests.is_empty() {
            requests = requests.min(mean(self.baseline_requests));
        }
        let failures = || self.runs.iter().map(|stats| stats.failures as f64).sum();
        let (samples, least) = match self.metric {
            Metric::P50 => (requests / 2.0, LEAST_SAMPLES),
            Metric::P95 => (requests / 20.0, LEAST_SAMPLES),
            Metric::P99 => (requests / 100.0, LEAST_SAMPLES),
            Metric::ErrorRate => (failures(), LEAST_FAILURES),
            Metric::RequestsPerSec => (requests, LEAST_THROUGHPUT),
            // p95_corrected rests on the same requests as the p95 beside it.
            Metric::P95Corrected | Metric::AvgResponseTime | Metric::TotalRequests => return None,
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of requests")]
        let (requests, samples) = (requests as usize, samples as usize);
        (samples < least).then_some(FewSamples { requests, samples: samples.max(1) })
    }
}

fn values(metric: Metric, runs: &[&Stats]) -> Vec<f64> {
    runs.iter().map(|stats| stats.value(metric)).collect()
}

/// The series of all requests together.
impl<'a> Judge<'a> {
    pub fn measured_total(&self, baseline: &Baseline, runs: &[Run]) -> Vec<Series<'a>> {
        let stats: Vec<&Stats> = runs.iter().map(|run| &run.total).collect();
        let mut measured = Vec::new();
        for metric in Metric::ALL {
            let candidate = match (metric, baseline.expected_interval_ms) {
                (Metric::P95Corrected, Some(interval_ms)) => p95_corrected(runs, interval_ms),
                (Metric::P95Corrected, None) => None,
                _ => Some(values(metric, &stats)),
            };
            // Without Locust's JSON the candidate has no p95_corrected.
            let Some(candidate) = candidate else { continue };
            let values = Values {
                metric,
                paired: self.rules.paired,
                baseline: baseline.total_runs(metric),
                baseline_requests: baseline.total_runs(Metric::TotalRequests),
                candidate: &candidate,
                runs: &stats,
            };
            let noise = values.noise();
            measured.push(Series {
                endpoint: None,
                metric,
                limit: self.rules.limit(None, metric),
                presence: values.presence(noise),
                noise,
                // However few requests fail, the rate of all requests is judged.
                few_samples: if metric.is_percentile() { values.few_samples() } else { None },
                requests: None,
            });
        }
        measured
    }

    pub fn total_rows(&self, measured: &[Series<'a>], baseline: &Baseline, runs: &[Run]) -> Vec<Row<'a>> {
        let mean = measured.iter().find(|series| series.metric == Metric::AvgResponseTime);
        let mean = mean.and_then(|series| series.noise);
        measured.iter().map(|series| self.row(&total_case(series, mean, baseline, runs))).collect()
    }

    /// The smallest change of p95 that is detectable with 80% power, if these runs had a baseline of five.
    pub fn detectable_by_five(&self, measured: &[Series]) -> Option<f64> {
        match measured.iter().find(|series| series.metric == Metric::P95)?.noise? {
            Noise::Spread(difference) => {
                Some(difference.with_runs(5, self.runs).detectable(ERROR, Metric::P95.worse()))
            }
            Noise::Counts(_) => None,
        }
    }
}

/// For all requests together the estimate decides, unless their p95 lies in a gap. `mean` is the noise of the mean.
fn total_case<'s, 'a>(series: &'s Series<'a>, mean: Option<Noise>, baseline: &Baseline, runs: &[Run]) -> Case<'s, 'a> {
    let interval = series.noise.map(|noise| noise.interval(ERROR));
    let case = Case { series, interval, few_samples: series.few_samples, doubt: None, proof: None };
    match (series.metric, series.limit, mean) {
        (Metric::P95, Some(limit), Some(mean)) if is_in_gap(baseline, runs) => {
            gap_case(case, limit, mean, baseline, runs)
        }
        _ => case,
    }
}

/// Requires corroboration when the aggregate p95 falls in a gap between fast and slow requests. It jumps from one side to
/// the other by chance there, and no spread of a few runs shows how often. So one of the percentiles on either side of
/// the gap must be over the limit too, or the mean significantly up.
fn gap_case<'s, 'a>(case: Case<'s, 'a>, limit: &Limit, mean: Noise, baseline: &Baseline, runs: &[Run]) -> Case<'s, 'a> {
    let mut usage: f64 = 0.0;
    for (at, (before, now)) in PERCENTILES.iter().zip(baseline.distribution.iter().zip(&distribution(runs))) {
        let allowed = limit.allowed(Metric::P95, Some(*before)).unwrap_or(f64::INFINITY);
        if BESIDE_P95.contains(at) && now > before {
            usage = usage.max((now - before) / (allowed - before).max(0.0));
        }
    }
    if is_over(usage, 1.0) {
        return case;
    }
    let proof = Proof { noise: mean, worse: Metric::AvgResponseTime.worse(), level: GAP_ERROR };
    let doubt = (!proof.is_given()).then_some(Reason::InGap);
    // Further runs may take a percentile near its limit over it, as they may the p95.
    Case { doubt, proof: (usage < NEAR_LIMIT).then_some(proof), ..case }
}

/// Whether the requests of each run leave the p95 open by more than [`GAP_FACTOR`], on the geometric mean over the
/// runs. Both sides need a distribution.
fn is_in_gap(baseline: &Baseline, runs: &[Run]) -> bool {
    let ratio = |run: &Run| run.total.p95_interval_ms.map(|Interval { low, high }| high / low);
    let Some(ratios) = runs.iter().map(ratio).collect::<Option<Vec<f64>>>() else { return false };
    let has_distribution = |distribution: &[f64]| distribution.len() == PERCENTILES.len();
    has_distribution(&baseline.distribution)
        && has_distribution(&distribution(runs))
        && estimate(Scale::Ratio, &ratios) > GAP_FACTOR
}

/// The series of endpoints.
impl<'a> Judge<'a> {
    pub fn endpoint_rows(&self, baseline: &'a Baseline, runs: &'a [Run]) -> Vec<Row<'a>> {
        let measured = self.measured_endpoints(baseline, runs);
        let tests = self.tests(&measured);
        let row = |(series, test): (&Series<'a>, _)| match series.presence {
            Presence::Both { .. } => self.row(&self.endpoint_case(series, test)),
            Presence::New { .. } | Presence::Missing { .. } => self.row(&one_sided_case(series)),
        };
        measured.iter().zip(tests).map(row).collect()
    }

    fn measured_endpoints(&self, baseline: &'a Baseline, runs: &'a [Run]) -> Vec<Series<'a>> {
        let mut missing: BTreeMap<&str, &RunsByMetric> =
            baseline.endpoints.iter().map(|(name, series)| (name.as_str(), series)).collect();
        let named = stats_by_endpoint(runs);
        let mut measured = Vec::with_capacity(named.len() * JUDGED.len());
        for (name, stats) in named {
            self.measure_endpoint(name, missing.remove(name), &stats, &mut measured);
        }
        measured.extend(missing.into_iter().map(|(name, series)| self.measured_missing(name, series)));
        measured
    }

    /// Of an endpoint that the baseline lacks, only the p95 is shown, and metrics with a bound, which need no baseline.
    fn measure_endpoint(
        &self,
        name: &'a str,
        baseline: Option<&RunsByMetric>,
        runs: &[&Stats],
        measured: &mut Vec<Series<'a>>,
    ) {
        let before =
            |metric: Metric| baseline.and_then(|series| series.get(metric.name())).map_or(&[][..], Vec::as_slice);
        for metric in JUDGED.into_iter().filter(|metric| Metric::OF_ENDPOINTS.contains(metric)) {
            let limit = self.rules.limit(Some(name), metric);
            if baseline.is_none() && metric != Metric::P95 && limit.is_none_or(|limit| limit.bound.is_none()) {
                continue;
            }
            let values = Values {
                metric,
                paired: self.rules.paired,
                baseline: before(metric),
                baseline_requests: before(Metric::TotalRequests),
                candidate: &values(metric, runs),
                runs,
            };
            let noise = values.noise();
            measured.push(Series {
                endpoint: Some(name),
                metric,
                limit,
                presence: values.presence(noise),
                noise,
                few_samples: values.few_samples(),
                requests: if noise.is_none() { single_runs(metric, baseline, runs) } else { None },
            });
        }
    }

    fn measured_missing(&self, name: &'a str, series: &RunsByMetric) -> Series<'a> {
        let mean = |metric: Metric| Some(estimate(metric.scale(), series.get(metric.name())?));
        let requests = mean(Metric::TotalRequests).unwrap_or(0.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of requests")]
        let few = FewSamples { requests: requests as usize, samples: requests as usize };
        Series {
            endpoint: Some(name),
            metric: Metric::P95,
            limit: self.rules.limit(Some(name), Metric::P95),
            presence: Presence::Missing { baseline: mean(Metric::P95) },
            noise: None,
            few_samples: (requests < LEAST_MISSED).then_some(few),
            requests: None,
        }
    }

    /// Tests the changes of endpoints together: those that can fail are one family, those that can warn another. Each
    /// family shares its error out over the looks after every run (Bonferroni) and over its series (Holm). The result is
    /// in the order of `measured`; series that are not judged or rest on too few samples are not tested.
    fn tests(&self, measured: &[Series]) -> Vec<Option<Tested>> {
        let level = FAMILY_ERROR / self.rules.max_runs as f64;
        let mut tests = vec![None; measured.len()];
        for blocks in [true, false] {
            let (mut places, mut p_values) = (Vec::new(), Vec::new());
            for (place, series) in measured.iter().enumerate() {
                if let Series { noise: Some(noise), limit: Some(limit), few_samples: None, .. } = series
                    && self.rules.fails(limit) == blocks
                {
                    places.push(place);
                    p_values.push(noise.p_value(series.metric.worse()));
                }
            }
            for (place, tested) in places.into_iter().zip(holm(&p_values, level)) {
                tests[place] = Some(tested);
            }
        }
        tests
    }

    /// An endpoint that both sides have needs significance or, with a single run on each side, an interval of its
    /// requests.
    fn endpoint_case<'s>(&self, series: &'s Series<'a>, test: Option<Tested>) -> Case<'s, 'a> {
        let few_samples =
            series.few_samples.filter(|_| series.limit.is_some_and(|limit| self.is_relevant(series, limit)));
        let Some(noise) = series.noise else { return self.single_run_case(series, few_samples) };
        let is_noise = test.is_some_and(|tested| !tested.is_rejected);
        Case {
            series,
            interval: Some(noise.interval(ERROR)),
            few_samples,
            doubt: is_noise.then_some(Reason::NotSignificant),
            proof: test.map(|tested| Proof { noise, worse: series.metric.worse(), level: tested.level }),
        }
    }

    /// A single run on each side leaves the noise between runs unknown, so the requests decide: such a series fails if
    /// every change that they leave possible is over the limit.
    fn single_run_case<'s>(&self, series: &'s Series<'a>, few_samples: Option<FewSamples>) -> Case<'s, 'a> {
        let (Some(limit), Some(SingleRuns { baseline, candidate })) = (series.limit, &series.requests) else {
            return Case { series, interval: None, few_samples, doubt: Some(Reason::NoiseUnknown), proof: None };
        };
        let metric = series.metric;
        let low = metric.change(baseline.high, candidate.low);
        let high = metric.change(baseline.low, candidate.high);
        let interval = low.zip(high).map(|(low, high)| Interval { low, high });
        let least = Excess::of(metric, limit, baseline.high, candidate.low, self.precision);
        let doubt = (!least.is_relevant()).then_some(Reason::ReachesBelowLimit);
        Case { series, interval, few_samples, doubt, proof: None }
    }
}

/// A new or a missing endpoint has no change, so there is nothing to test.
fn one_sided_case<'s, 'a>(series: &'s Series<'a>) -> Case<'s, 'a> {
    Case { series, interval: None, few_samples: series.few_samples, doubt: None, proof: None }
}

fn single_runs(metric: Metric, baseline: Option<&RunsByMetric>, runs: &[&Stats]) -> Option<SingleRuns> {
    let [candidate] = runs else { return None };
    Some(SingleRuns { baseline: request_interval(baseline?, metric)?, candidate: candidate.request_interval(metric)? })
}

/// Groups the runs' statistics by endpoint. The first run that has an endpoint gives its place.
fn stats_by_endpoint(runs: &[Run]) -> Vec<(&str, Vec<&Stats>)> {
    let Some((first, further)) = runs.split_first() else { return Vec::new() };
    let mut named: Vec<_> = first.endpoints.iter().map(|(name, stats)| (&**name, vec![stats])).collect();
    // A run has each name once, so there is nothing to look up for a single run.
    if further.is_empty() {
        return named;
    }
    let mut places: HashMap<&str, usize> = named.iter().enumerate().map(|(place, (name, _))| (*name, place)).collect();
    for (name, stats) in further.iter().flat_map(|run| &run.endpoints) {
        let place = *places.entry(name).or_insert_with(|| {
            named.push((name, Vec::new()));
            named.len() - 1
        });
        named[place].1.push(stats);
    }
    named
}
