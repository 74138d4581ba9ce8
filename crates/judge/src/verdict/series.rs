//! The evidence of the series of all requests together. `endpoints` has the evidence of the others.

use crate::baseline::file::{Baseline, distribution, p95_corrected};
use crate::model::limits::Limit;
use crate::model::run::{Metric, PERCENTILES, Run, Stats, of_every};
use crate::stats::counts::{Counts, Rates};
use crate::stats::estimate::{Difference, Interval, Scale, estimate, mean};
use crate::stats::{Noise, Proof, SIGNIFICANCE};
use crate::verdict::cpu;
use crate::verdict::decision::{Case, Excess, FewSamples, Judge, Presence, Reason, Row, Series, Shift, is_over};

/// The p-value by which the mean is up if it must confirm a percentile.
const MEAN_ERROR: f64 = 0.01;

/// The percentiles, of [`PERCENTILES`], that are held to the limit of p95 if the mean is up.
const BELOW_P95: [f64; 2] = [80.0, 90.0];

/// The share of the limit by which the mean must be up if such a percentile is over it.
const SHIFT_SHARE: f64 = 0.75;

/// In a gap between fast and slow requests, the ends of the interval of the p95 differ by more than this factor.
const GAP_FACTOR: f64 = 2.0;

/// The percentiles, of [`PERCENTILES`], on either side of a gap at p95.
const BESIDE_P95: [f64; 2] = [90.0, 98.0];

/// The share of its limit from which on such a percentile counts as near it.
const NEAR_LIMIT: f64 = 0.5;

/// The least samples of an endpoint's percentile that is a finding.
pub const LEAST_SAMPLES: usize = 5;

/// The least failures of an endpoint's error rate that is a finding: fewer are an accident.
const LEAST_FAILURES: usize = 3;

/// The least requests in a run for an endpoint's throughput: fewer scatter too much for a limit.
const LEAST_THROUGHPUT: usize = 20;

/// The values of both sides of a series, one for each run.
pub(crate) struct Values<'s> {
    pub metric: Metric,
    pub paired: bool,
    pub baseline: &'s [f64],
    pub baseline_requests: &'s [f64],
    pub candidate: &'s [f64],
    pub runs: &'s [&'s Stats],
}

impl Values<'_> {
    pub fn presence(&self, noise: Option<Noise>) -> Presence {
        let scale = self.metric.scale();
        if self.baseline.is_empty() {
            return Presence::New { candidate: estimate(scale, self.candidate) };
        }
        let baseline = estimate(scale, self.baseline);
        let candidate = match noise {
            // The change within the rounds decides, not the estimates of the two sides.
            Some(Noise::Spread(difference)) if self.paired && scale == Scale::Relative => {
                self.metric.changed(baseline, difference.change())
            }
            _ => estimate(scale, self.candidate),
        };
        Presence::Both { baseline, candidate }
    }

    pub fn noise(&self) -> Option<Noise> {
        if self.metric == Metric::ErrorRate {
            let baseline = Counts::of_rates(self.baseline, self.baseline_requests);
            let candidate: Vec<Counts> = self.runs.iter().map(|stats| stats.counts()).collect();
            return Rates::between(&baseline, &candidate).map(Noise::Counts);
        }
        // An endpoint without requests in one run of a round leaves the other runs without their pairs.
        let is_paired = self.paired && self.baseline.len() == self.candidate.len();
        let of = if is_paired { Difference::paired } else { Difference::between };
        of(self.metric.scale(), self.baseline, self.candidate).map(Noise::Spread)
    }

    /// `pick` chooses the side by its requests in a run. In a closed loop a regression takes away requests, so an
    /// endpoint is judged by the side with more.
    pub fn few_samples(&self, pick: fn(f64, f64) -> f64) -> Option<FewSamples> {
        let of_candidate: u64 = self.runs.iter().map(|stats| stats.requests).sum();
        let mut requests = of_candidate as f64 / self.runs.len() as f64;
        if !self.baseline_requests.is_empty() {
            requests = pick(requests, mean(self.baseline_requests));
        }
        let (samples, least) = match self.metric {
            Metric::P50 => (requests / 2.0, LEAST_SAMPLES),
            Metric::P95 => (requests / 20.0, LEAST_SAMPLES),
            Metric::P99 => (requests / 100.0, LEAST_SAMPLES),
            Metric::ErrorRate => (self.runs.iter().map(|stats| stats.failures as f64).sum(), LEAST_FAILURES),
            Metric::RequestsPerSec => (requests, LEAST_THROUGHPUT),
            // p95_corrected rests on the same requests as the p95 beside it.
            Metric::P95Corrected | Metric::AvgResponseTime | Metric::TotalRequests | Metric::CpuPerRequest => {
                return None;
            }
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of requests")]
        let (requests, samples) = (requests as usize, samples as usize);
        (samples < least).then_some(FewSamples { requests, samples: samples.max(1) })
    }
}

pub(crate) fn values(metric: Metric, runs: &[&Stats]) -> Vec<f64> {
    runs.iter().map(|stats| stats.value(metric)).collect()
}

impl<'a> Judge<'a> {
    pub fn measured_total(&self, baseline: &Baseline, runs: &[Run]) -> Vec<Series<'a>> {
        let stats: Vec<&Stats> = runs.iter().map(|run| &run.total).collect();
        let mut measured = Vec::new();
        let is_cpu_judged = cpu::unjudged(baseline, runs, self.rules).is_none();
        for metric in Metric::ALL {
            let candidate = match metric {
                Metric::P95Corrected => p95_corrected(runs, baseline.expected_interval_ms),
                Metric::CpuPerRequest => cpu::values(baseline, runs, self.rules),
                _ => values(metric, &stats),
            };
            // Without Locust's JSON the candidate has no p95_corrected, and without a limit no CPU time is shown.
            if candidate.is_empty() {
                continue;
            }
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
                limit: self.rules.limit(None, metric).filter(|_| metric != Metric::CpuPerRequest || is_cpu_judged),
                presence: values.presence(noise),
                noise,
                // However few requests fail, the rate of all requests is judged.
                few_samples: if metric.is_percentile() { values.few_samples(f64::min) } else { None },
                requests: None,
                slow_requests: None,
            });
        }
        measured
    }

    pub fn total_rows(&self, measured: &[Series<'a>], baseline: &Baseline, runs: &[Run]) -> Vec<Row<'a>> {
        let of = |metric| measured.iter().find(|series| series.metric == metric);
        let mean = of(Metric::AvgResponseTime).and_then(|series| series.noise);
        let is_over = |series: &Series| series.limit.is_some_and(|limit| self.is_relevant(series, limit));
        let is_p95_over = of(Metric::P95).is_some_and(is_over);
        let case = |series| {
            let case = plain_case(series);
            let few_answers = series.limit.filter(|_| series.metric == Metric::P95);
            let few_answers = few_answers.and_then(|limit| self.few_answers(baseline, runs, limit));
            if few_answers.is_some() {
                return Case { few_answers, ..case };
            }
            let (Some(limit), Some(mean)) = (series.limit, mean) else { return case };
            match series.metric {
                Metric::P95 if !is_p95_over => self.shift_case(&case, limit, mean, baseline, runs),
                Metric::P95 if is_in_gap(baseline, runs) => gap_case(&case, limit, mean, baseline, runs),
                Metric::P95Corrected if !is_p95_over => corrected_case(&case, mean),
                _ => case,
            }
        };
        measured.iter().map(|series| self.row(&case(series))).collect()
    }

    /// Finds a percentile below p95 that is over the limit of p95 (docs/statistics.md, "Slow requests below the p95").
    fn shift_case<'s>(
        &self,
        case: &Case<'s, 'a>,
        limit: &Limit,
        mean: Noise,
        baseline: &Baseline,
        runs: &[Run],
    ) -> Case<'s, 'a> {
        let Some(worsening) = limit.worsening else { return *case };
        let is_over = |shift: &Shift| {
            let Shift { baseline_ms, candidate_ms, .. } = *shift;
            let excess = Excess::of(Metric::P95, &limit.without_bound(), baseline_ms, candidate_ms, self.resolution);
            excess.is_relevant()
        };
        let Some(shift) = shifts(baseline, runs, BELOW_P95).into_iter().rfind(is_over) else { return *case };
        let (beyond, level) = (SHIFT_SHARE * worsening, MEAN_ERROR / self.max_runs as f64);
        Case { shift: Some((shift, Proof { beyond, level, ..proof_of_mean(mean) })), ..*case }
    }

    /// The smallest change of p95 that is detectable with 80% power, if these runs had a baseline of five.
    pub fn detectable_by_five(&self, measured: &[Series]) -> Option<f64> {
        let p95 = measured.iter().find(|series| series.metric == Metric::P95)?;
        let Noise::Spread(difference) = p95.noise? else { return None };
        Some(difference.with_runs(5, self.runs).detectable(Metric::P95.worse()))
    }
}

pub(crate) fn plain_case<'s, 'a>(series: &'s Series<'a>) -> Case<'s, 'a> {
    Case {
        series,
        interval: series.noise.map(|noise| noise.interval(SIGNIFICANCE)),
        few_samples: series.few_samples,
        doubt: None,
        proof: None,
        counts_proof: None,
        shift: None,
        few_answers: None,
    }
}

fn proof_of_mean(mean: Noise) -> Proof {
    Proof { noise: mean, worse: Metric::AvgResponseTime.worse(), beyond: 0.0, level: MEAN_ERROR }
}

/// The percentiles `at` of all requests on both sides; none unless both have a distribution.
fn shifts(baseline: &Baseline, runs: &[Run], at: [f64; 2]) -> Vec<Shift> {
    let now = distribution(runs);
    if baseline.distribution.len() != now.len() {
        return Vec::new();
    }
    let places = (0..now.len()).filter(|place| at.contains(&PERCENTILES[*place]));
    let shift = |place: usize| Shift {
        percentile: PERCENTILES[place],
        baseline_ms: baseline.distribution[place],
        candidate_ms: now[place],
    };
    places.map(shift).collect()
}

/// The mean must confirm a corrected p95 that alone is over (docs/statistics.md, "What a closed loop hides").
fn corrected_case<'s, 'a>(case: &Case<'s, 'a>, mean: Noise) -> Case<'s, 'a> {
    let proof = proof_of_mean(mean);
    Case { doubt: (!proof.is_given()).then_some(Reason::NotConfirmed), proof: Some(proof), ..*case }
}

/// A percentile beside the gap, or the mean, must confirm the p95 (docs/statistics.md, "A p95 in a gap").
fn gap_case<'s, 'a>(
    case: &Case<'s, 'a>,
    limit: &Limit,
    mean: Noise,
    baseline: &Baseline,
    runs: &[Run],
) -> Case<'s, 'a> {
    let mut usage: f64 = 0.0;
    for Shift { baseline_ms, candidate_ms, .. } in shifts(baseline, runs, BESIDE_P95) {
        let allowed_ms = limit.allowed(Metric::P95, baseline_ms).unwrap_or(f64::INFINITY);
        if candidate_ms > baseline_ms {
            usage = usage.max((candidate_ms - baseline_ms) / (allowed_ms - baseline_ms).max(0.0));
        }
    }
    if is_over(usage, 1.0) {
        return *case;
    }
    let proof = proof_of_mean(mean);
    let doubt = (!proof.is_given()).then_some(Reason::InGap);
    // Further runs may take a percentile near its limit over it, as they may the p95.
    Case { doubt, proof: (usage < NEAR_LIMIT).then_some(proof), ..*case }
}

/// Whether the requests of a run leave the p95 open by more than [`GAP_FACTOR`], on the mean over the runs.
fn is_in_gap(baseline: &Baseline, runs: &[Run]) -> bool {
    let ratio = |run: &Run| run.total.p95_interval_ms.map(|Interval { low, high }| high / low);
    let ratios = of_every(runs, ratio);
    !ratios.is_empty()
        && !shifts(baseline, runs, BESIDE_P95).is_empty()
        && estimate(Scale::Relative, &ratios) > GAP_FACTOR
}
