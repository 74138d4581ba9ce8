//! One series and the decision on it, which `Judge::decide` makes from the change, the limit and the evidence alone.
//!
//! ```text
//!   better  <--------------------- change --------------------->  worse
//!
//!                   baseline             limit
//!                       0                 +20%
//!   --------------------+-------------------|--------------------------->
//!             |----o----|                   :               the estimate `o` is within: Ok
//!                       :    |---------o----:----|          within, whatever the interval holds: Ok
//!                       :             |-----:--o---|        over and significant: Fail
//!               |-------:-------------------:-o-----------| over: Fail, but of an endpoint InDoubt
//! ```
//!
//! For all requests together the estimate decides, and the evidence only asks for more runs. An endpoint is one of
//! many, so it is a finding only if its change is *relevant* (over the limit), rests on enough samples, and is
//! *significant* over all endpoints together. It fails only by two runs or more. docs/statistics.md has
//! the reasons, and explains the exceptions [`Reason::InGap`], `NotConfirmed`, `Shift` and `FewAnswers`.

use crate::model::limits::{Accepted, Limit, Rules};
use crate::model::run::{EndpointName, Metric, Resolution};
use crate::stats::counts::Rates;
use crate::stats::estimate::Interval;
use crate::stats::{Noise, Proof};

/// The estimates of the sides that have a series, in the unit of [`Metric::unit`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Presence {
    Both {
        baseline: f64,
        candidate: f64,
    },
    New {
        candidate: f64,
    },
    Missing {
        /// `None` if the baseline lacks the metric.
        baseline: Option<f64>,
    },
}

impl Presence {
    pub fn baseline(self) -> Option<f64> {
        match self {
            Presence::Both { baseline, .. } => Some(baseline),
            Presence::New { .. } => None,
            Presence::Missing { baseline } => baseline,
        }
    }

    /// In percent of the baseline, or in percentage points for `error_rate`; `None` if one side lacks the series or the
    /// baseline is 0.
    pub(crate) fn change(self, metric: Metric) -> Option<f64> {
        metric.change(self.baseline()?, self.candidate()?)
    }

    pub fn candidate(self) -> Option<f64> {
        match self {
            Presence::Both { candidate, .. } | Presence::New { candidate } => Some(candidate),
            Presence::Missing { .. } => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decision {
    Ok,
    BelowResolution,
    /// Over the limit, but no finding.
    InDoubt(Reason),
    /// Over a limit that does not block, or an endpoint over one that does, by a single run.
    Warn(Reason),
    Fail(Reason),
    /// Would warn or fail for this reason, but an exception accepts it.
    Waived(Reason),
}

impl Decision {
    pub fn is_finding(self) -> bool {
        matches!(self, Decision::Warn(_) | Decision::Fail(_))
    }
}

/// Why a series is a finding, or why one over its limit is not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reason {
    OverLimit,
    OverBound,
    Missing,
    /// Over the limit and significant, but by a single run of an endpoint.
    OneRun,
    FewSamples(FewSamples),
    NotSignificant,
    /// Each side has a single run, with too few requests to estimate the noise from them.
    NoiseUnknown,
    /// Each side has a single run, and the interval of its requests reaches below the limit.
    ReachesBelowLimit,
    /// The p95 lies in a gap between fast and slow requests, and nothing else confirms its change.
    InGap,
    /// Over the drift limit by this change alone, which fails by the series' own limit.
    ByThisChange,
    /// Only the corrected p95 is over its limit, and the mean does not confirm it.
    NotConfirmed,
    Shift(Shift),
    /// A finding or a doubt, by [`FewAnswers::is_proven`].
    FewAnswers(FewAnswers),
}

/// A percentile of all requests below p95 that is over the limit of p95.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    /// From 0 to 100.
    pub percentile: f64,
    pub baseline_ms: f64,
    pub candidate_ms: f64,
}

/// Too few requests for percentiles: how many of them a run has on average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FewAnswers {
    pub candidate: f64,
    pub baseline: f64,
    /// That p95 is over its limit.
    pub is_proven: bool,
}

/// Too few samples to trust a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FewSamples {
    /// In a run: of all requests together on the side with fewer, of an endpoint on the side with more.
    pub requests: usize,
    /// How many of the requests lie beyond the percentile, or failed.
    pub samples: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    pub interval: Option<Interval>,
    /// The smallest change for the worse, in the unit of the change, that is detectable with 80% power.
    pub detectable: Option<f64>,
    pub few_samples: Option<FewSamples>,
    pub unsettled: Option<Unsettled>,
}

/// Why another run may change the decision on a series that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsettled {
    /// The runs still allowed may take it to the other side of its limit, or prove it.
    Open,
    /// It is over the limit by so few runs that all of them may have met a busy neighbour.
    FewRuns,
    /// All runs allowed are made, and the interval reaches to both sides of the limit.
    Close,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Row<'a> {
    pub endpoint: EndpointName<'a>,
    pub metric: Metric,
    pub limit: Option<&'a Limit>,
    pub accepted: Option<&'a Accepted>,
    pub presence: Presence,
    pub evidence: Evidence,
    /// `None` if there is no limit, or nothing to compare with.
    pub decision: Option<Decision>,
}

impl Row<'_> {
    pub fn change(&self) -> Option<f64> {
        self.presence.change(self.metric)
    }

    /// Why it is a finding, or none although it is over its limit.
    pub fn reason(&self) -> Option<Reason> {
        match self.decision? {
            Decision::InDoubt(reason) | Decision::Warn(reason) | Decision::Fail(reason) => Some(reason),
            Decision::Ok | Decision::BelowResolution | Decision::Waived(_) => None,
        }
    }

    pub fn is_finding(&self) -> bool {
        self.decision.is_some_and(Decision::is_finding)
    }

    pub fn is_waived(&self) -> bool {
        matches!(self.decision, Some(Decision::Waived(_)))
    }

    pub fn is_failure(&self) -> bool {
        matches!(self.decision, Some(Decision::Fail(_)))
    }

    pub fn is_missing(&self) -> bool {
        matches!(self.presence, Presence::Missing { .. })
    }

    pub fn allowed(&self) -> Option<f64> {
        let limit = self.limit?;
        self.presence.baseline().map_or(limit.bound, |baseline| limit.allowed(self.metric, baseline))
    }

    /// A change from nothing exceeds any percentage.
    pub(crate) fn exceeds_worsening_of(&self, limit: &Limit) -> bool {
        let worsening = self.change().map_or(f64::INFINITY, |change| self.metric.worsening(change));
        limit.worsening.is_some_and(|allowed| is_over(worsening, allowed))
    }

    /// The share of the limit that a value uses up: 0 at the baseline, 1 at the limit, infinite if there is no room.
    pub fn limit_usage(&self, value: f64) -> Option<f64> {
        let (baseline, allowed) = (self.presence.baseline()?, self.allowed()?);
        let room = self.metric.worsening(allowed - baseline);
        Some(if room > 0.0 {
            self.metric.worsening(value - baseline) / room
        } else if is_over(self.metric.worsening(value), self.metric.worsening(allowed)) {
            f64::INFINITY
        } else {
            0.0
        })
    }

    pub fn limit_usage_interval(&self) -> Option<Interval> {
        let (baseline, interval) = (self.presence.baseline()?, self.evidence.interval?);
        let usage = |end: f64| self.limit_usage(self.metric.changed(baseline, end));
        Some(Interval::between(usage(interval.low)?, usage(interval.high)?))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    None,
    /// Over the limit of change, but no further than response times were rounded.
    Rounding,
    Limit,
    Bound,
}

impl Excess {
    pub fn of(metric: Metric, limit: &Limit, baseline: f64, candidate: f64, resolution: Resolution) -> Excess {
        if is_out_of_bound(metric, limit, candidate) {
            return Excess::Bound;
        }
        let worsening = metric.worsening(candidate - baseline);
        let is_over_change = match (limit.worsening, metric.change(baseline, candidate)) {
            (None, _) => false,
            (Some(allowed), Some(change)) => is_over(metric.worsening(change), allowed),
            (Some(_), None) => worsening > 0.0,
        };
        let is_over_floor = limit.floor.is_none_or(|floor| is_over(worsening, floor));
        if !(is_over_change && is_over_floor) {
            Excess::None
        } else if worsening <= resolution.ms(metric, baseline.max(candidate)) {
            Excess::Rounding
        } else {
            Excess::Limit
        }
    }

    pub fn is_relevant(self) -> bool {
        matches!(self, Excess::Limit | Excess::Bound)
    }
}

pub(crate) struct Series<'a> {
    pub endpoint: EndpointName<'a>,
    pub metric: Metric,
    pub limit: Option<&'a Limit>,
    pub presence: Presence,
    pub noise: Option<Noise>,
    pub few_samples: Option<FewSamples>,
    /// The intervals of the baseline's and the candidate's requests, if each side has a single run with enough of them.
    pub requests: Option<[Interval; 2]>,
    /// Of an endpoint's p95: the requests over its limit, if they can be counted.
    pub slow_requests: Option<SlowRequests>,
}

/// An endpoint's requests over the limit of its p95, of all runs together.
#[derive(Clone, Copy)]
pub(crate) struct SlowRequests {
    pub rates: Rates,
    /// Whether the p95 lies in a gap, and neither percentile beside it is over the limit. Then its spread from run to
    /// run means little, and the counts alone decide.
    pub is_in_gap: bool,
    pub baseline_ms: f64,
    pub candidate_ms: f64,
}

#[derive(Clone, Copy)]
pub(crate) struct Case<'s, 'a> {
    pub series: &'s Series<'a>,
    pub interval: Option<Interval>,
    /// For an endpoint, only if it is over its limit.
    pub few_samples: Option<FewSamples>,
    /// Why a change over the limit is no finding; `None` if it is one. A value over a bound always is.
    pub doubt: Option<Reason>,
    /// What a change over the limit must prove to be a finding.
    pub proof: Option<Proof>,
    /// The other proof of an endpoint's p95: the requests over its limit.
    pub counts_proof: Option<Proof>,
    /// Of a p95 within its limit: a lower percentile that is over it, and the proof that makes it a finding.
    pub shift: Option<(Shift, Proof)>,
    /// Of all requests together.
    pub few_answers: Option<FewAnswers>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Judge<'a> {
    pub rules: &'a Rules,
    pub resolution: Resolution,
    /// Of the candidate.
    pub runs: usize,
    pub baseline_runs: usize,
    pub max_runs: usize,
}

/// The runs by which an endpoint may fail.
pub(crate) const LEAST_RUNS: usize = 2;

impl<'a> Judge<'a> {
    pub fn row(&self, case: &Case<'_, 'a>) -> Row<'a> {
        let Series { endpoint, metric, limit, presence, .. } = *case.series;
        let accepted = self.rules.accepted(endpoint, metric);
        let judged = limit.map(|limit| {
            let up_to = accepted.map_or(limit, |accepted| &accepted.up_to);
            let up_to = Limit { level: limit.level, ..up_to.clone() };
            let decision = self.decide_with_exception(case, limit, &up_to);
            // With an exception, further runs can only change whether the series is over the limit of the exception.
            (decision, self.unsettled(case, &up_to, decision))
        });
        let (decision, unsettled) = judged.unwrap_or_default();
        let detectable = case.series.noise.map(|noise| noise.detectable(metric.worse()));
        let evidence = Evidence { interval: case.interval, detectable, few_samples: case.few_samples, unsettled };
        Row { endpoint, metric, limit, accepted, presence, evidence, decision }
    }

    /// `None` if the baseline lacks the series, and no bound is exceeded.
    fn decide(&self, case: &Case, limit: &Limit) -> Option<Decision> {
        let Series { endpoint, metric, presence, .. } = *case.series;
        let excess = match presence {
            Presence::Both { baseline, candidate } => Excess::of(metric, limit, baseline, candidate, self.resolution),
            Presence::New { candidate } if is_out_of_bound(metric, limit, candidate) => Excess::Bound,
            Presence::New { .. } | Presence::Missing { .. } => return None,
        };
        let blocks = self.rules.fails(limit);
        let finding = |reason| Some(if blocks { Decision::Fail(reason) } else { Decision::Warn(reason) });
        if let Some(few) = case.few_answers {
            let reason = Reason::FewAnswers(few);
            return if few.is_proven { finding(reason) } else { Some(Decision::InDoubt(reason)) };
        }
        let shift = case.shift.filter(|(_, proof)| proof.is_given());
        let reason = match (excess, shift) {
            (Excess::None | Excess::Rounding, Some((shift, _))) => return finding(Reason::Shift(shift)),
            (Excess::None, None) => return Some(Decision::Ok),
            (Excess::Rounding, None) => return Some(Decision::BelowResolution),
            (Excess::Limit, _) => Reason::OverLimit,
            (Excess::Bound, _) => Reason::OverBound,
        };
        // For all requests together, few samples only add a note.
        let few_samples = case.few_samples.filter(|_| endpoint.is_some()).map(Reason::FewSamples);
        let doubt = case.doubt.filter(|_| excess != Excess::Bound);
        if let Some(doubt) = few_samples.or(doubt) {
            return Some(Decision::InDoubt(doubt));
        }
        let rests_on_one_run = blocks && endpoint.is_some() && self.runs < LEAST_RUNS;
        match rests_on_one_run {
            true if self.rules.strict => Some(Decision::Fail(Reason::OneRun)),
            true => Some(Decision::Warn(Reason::OneRun)),
            false => finding(reason),
        }
    }

    /// Waives a finding within its exception, whose limit is `up_to`: without an exception, the limit itself.
    ///
    /// ```text
    ///          0        limit +20%      up_to +45%
    ///   -------+------------|---------------|------------->
    ///              o        :               :               Ok, and the exception is unused
    ///                       :       o       :               Waived, also if this is in doubt by `up_to`
    ///                       :               :     o         Fail or Warn, as without an exception
    /// ```
    fn decide_with_exception(&self, case: &Case, limit: &Limit, up_to: &Limit) -> Option<Decision> {
        let decision = self.decide(case, limit)?;
        let (Decision::Warn(reason) | Decision::Fail(reason)) = decision else { return Some(decision) };
        let is_within = self.decide(case, up_to).is_some_and(|decision| !decision.is_finding());
        Some(if is_within { Decision::Waived(reason) } else { decision })
    }

    pub fn is_relevant(&self, series: &Series, limit: &Limit) -> bool {
        let Presence::Both { baseline, candidate } = series.presence else { return false };
        Excess::of(series.metric, limit, baseline, candidate, self.resolution).is_relevant()
    }
}

fn is_out_of_bound(metric: Metric, limit: &Limit, value: f64) -> bool {
    limit.bound.is_some_and(|bound| is_over(metric.worsening(value), metric.worsening(bound)))
}

/// The tolerance is for the last bits of a division: 360 / 300 - 1 must not exceed 20%.
pub(crate) fn is_over(value: f64, allowed: f64) -> bool {
    value > allowed + 1e-9 * allowed.abs().max(1.0)
}
