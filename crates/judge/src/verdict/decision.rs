//! One series and what is decided of it. A decision is made here, by [`decide`], from the change, the limit and the
//! evidence, and from nothing else.
//!
//! ```text
//!   better  <--------------------- change --------------------->  worse
//!
//!                   baseline             limit
//!                       0                 +20%
//!   --------------------+-------------------|--------------------------->
//!             |----o----|                   :        the estimate `o` is within: Ok.
//!                            |---------o----:----|   within, though the interval reaches across: Ok. `stopping` says
//!                       :                   :        whether another run follows.
//!                       :             |-----:--o---| over: of all requests together a Fail. An endpoint's interval
//!                       :                   :        leaves out 0, so its change is significant: a Fail too.
//!               |-------:-------------------:-o----------------| over, but the interval of this endpoint holds 0:
//!                       :                   :        InDoubt, which is no finding.
//! ```
//!
//! For all requests together the estimate decides, and the evidence only asks for more runs. An endpoint is one of many,
//! so it is a finding only if its change is *relevant* (over the limit), rests on enough samples, and is *significant*
//! (more than noise explains, over all endpoints together); and it fails only by two runs or more. One exception concerns
//! all requests: where their p95 lies in a gap between fast and slow requests, it jumps from the one side to the other by
//! chance, so the percentiles beside the gap must be over the limit too, or the mean significantly up.

use crate::model::limits::{Accepted, Limit, Rules};
use crate::model::run::{Metric, Precision};
use crate::stats::estimate::Interval;

/// The sides that have a series, with their estimates over the runs in the unit of [`Metric::unit`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Presence {
    /// Both sides have it.
    Both {
        /// The baseline's estimate.
        baseline: f64,
        /// The candidate's estimate.
        candidate: f64,
    },
    /// The baseline lacks it.
    New {
        /// The candidate's estimate.
        candidate: f64,
    },
    /// The candidate lacks it: an endpoint that had requests in the baseline and has none now.
    Missing {
        /// The baseline's estimate, where it has this metric.
        baseline: Option<f64>,
    },
}

impl Presence {
    /// Returns the baseline's estimate, where that side has the series.
    pub fn baseline(self) -> Option<f64> {
        match self {
            Presence::Both { baseline, .. } => Some(baseline),
            Presence::New { .. } => None,
            Presence::Missing { baseline } => baseline,
        }
    }

    /// Returns the candidate's estimate, where that side has the series.
    pub fn candidate(self) -> Option<f64> {
        match self {
            Presence::Both { candidate, .. } | Presence::New { candidate } => Some(candidate),
            Presence::Missing { .. } => None,
        }
    }
}

/// The decision on a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decision {
    /// The series is within its limit.
    Ok,
    /// The series is over its limit on paper, but the change is no larger than the rounding of response times.
    BelowResolution,
    /// The series is over its limit on paper, but lacks what makes that a finding.
    InDoubt(Doubt),
    /// The series is over a limit that does not block, or is an endpoint that a single run shows over one that does.
    Warn(Why),
    /// The series fails the gate.
    Fail(Why),
    /// The series would warn or fail, but an exception accepts it ([`waive`]).
    Waived(Why),
}

impl Decision {
    /// Returns whether there is something to tell the user.
    pub fn is_finding(self) -> bool {
        self.why().is_some()
    }

    /// Returns the reason of a finding.
    pub fn why(self) -> Option<Why> {
        match self {
            Decision::Warn(why) | Decision::Fail(why) => Some(why),
            Decision::Ok | Decision::BelowResolution | Decision::InDoubt(_) | Decision::Waived(_) => None,
        }
    }

    /// Returns what a series over its limit lacks to be a finding.
    pub fn doubt(self) -> Option<Doubt> {
        match self {
            Decision::InDoubt(doubt) => Some(doubt),
            Decision::Ok | Decision::BelowResolution | Decision::Warn(_) | Decision::Fail(_) | Decision::Waived(_) => {
                None
            }
        }
    }
}

/// Why a series warns or fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Why {
    /// Its change is over the limit.
    OverLimit,
    /// Its value is beyond the bound, whatever the baseline says.
    OverBound,
    /// The endpoint had requests in the baseline and has none now.
    Missing,
    /// Its change is over the limit and significant, but an endpoint fails by two runs or more, and there is one.
    OneRun,
}

/// The property that a series over its limit lacks to be a finding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Doubt {
    /// It rests on too few samples.
    FewSamples(FewSamples),
    /// So large a change is likely by noise alone among so many endpoints.
    NotSignificant,
    /// There is a single run on each side, and too few requests to tell the noise from them.
    NoiseUnknown,
    /// There is a single run on each side, and the interval of its requests reaches below the limit.
    ReachesBelowLimit,
    /// The p95 of all requests lies in a gap between fast and slow requests, where it jumps by chance; neither are the
    /// percentiles beside the gap over the limit, nor is the mean significantly up.
    InGap,
}

/// The samples that a metric rests on, where they are too few to trust it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FewSamples {
    /// Requests in a run, of the side that has fewer.
    pub requests: usize,
    /// The number of them that lie beyond the percentile, or failed.
    pub samples: usize,
}

/// The certainty of a change, as the runs tell it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// The confidence interval of the change; `None` where nothing tells the noise.
    pub interval: Option<Interval>,
    /// The smallest change for the worse, in the unit of the change, that these runs would have told from none.
    pub detectable: Option<f64>,
    /// Set where the metric rests on too few samples.
    pub few_samples: Option<FewSamples>,
    /// The comparison of the change with noise, where that is asked.
    pub significance: Significance,
    /// Why another run may change the decision, of a series that can fail.
    pub unsettled: Option<Unsettled>,
}

/// The comparison of a change with noise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Significance {
    /// Nobody asks: the estimate decides.
    #[default]
    NotTested,
    /// Noise alone hardly makes so large a change.
    Significant,
    /// Noise alone may make so large a change.
    NotSignificant,
    /// Single runs of too few requests do not tell.
    Unknown,
    /// Of single runs, the interval of the requests reaches below the limit.
    ReachesBelowLimit,
    /// The p95 lies in a gap between fast and slow requests, and nothing else bears its change out.
    InGap,
}

/// Why another run may change the decision on a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsettled {
    /// The runs still allowed may take it to the other side of its limit, or prove it.
    Open,
    /// It is over the limit by so few runs that all of them may have met a busy neighbour.
    FewRuns,
    /// All runs allowed are made, and the interval reaches to both sides of the limit.
    Close,
}

/// One series, a metric of an endpoint or of all requests together, on both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Row<'a> {
    /// The endpoint's name; `None` for all requests together, Locust's `Aggregated`.
    pub endpoint: Option<&'a str>,
    /// The metric that was measured.
    pub metric: Metric,
    /// The limit; `None` where the metric is shown but not judged.
    pub limit: Option<&'a Limit>,
    /// The exception that holds for the series today.
    pub accepted: Option<&'a Accepted>,
    /// The sides that have the series, and their values.
    pub presence: Presence,
    /// The certainty of the change.
    pub evidence: Evidence,
    /// The decision; `None` where there is no limit, or nothing to compare with.
    pub decision: Option<Decision>,
}

impl Row<'_> {
    /// Returns the change in percent of the baseline or, for `error_rate`, in percentage points; `None` where one side
    /// is absent or the baseline is 0.
    pub fn change(&self) -> Option<f64> {
        match self.presence {
            Presence::Both { baseline, candidate } => self.metric.change(baseline, candidate),
            Presence::New { .. } | Presence::Missing { .. } => None,
        }
    }

    /// Returns whether the series warns or fails.
    pub fn is_finding(&self) -> bool {
        self.decision.is_some_and(Decision::is_finding)
    }

    /// Returns whether the series is over its limit, which an exception accepts.
    pub fn is_waived(&self) -> bool {
        matches!(self.decision, Some(Decision::Waived(_)))
    }

    /// Returns whether the series fails the gate.
    pub fn is_failure(&self) -> bool {
        matches!(self.decision, Some(Decision::Fail(_)))
    }

    /// Returns whether the series was found to be missing: an endpoint that had requests in the baseline, and has none.
    pub fn is_missing(&self) -> bool {
        self.decision.and_then(Decision::why) == Some(Why::Missing)
    }

    /// Compares the change with the limit; `None` where there is no limit, or one side is absent. `precision` is the
    /// coarser one of both sides.
    pub fn excess(&self, precision: Precision) -> Option<Excess> {
        match self.presence {
            Presence::Both { baseline, candidate } => {
                Some(Excess::of(self.metric, self.limit?, baseline, candidate, precision))
            }
            Presence::New { .. } | Presence::Missing { .. } => None,
        }
    }

    /// Returns the worst value that the limit lets pass, in the metric's own unit.
    pub fn allowed(&self) -> Option<f64> {
        self.limit?.allowed(self.metric, self.presence.baseline())
    }

    /// Returns how much of the limit a value uses up: 0 at the baseline, 1 at the limit, infinite where the limit leaves
    /// no room.
    pub fn strain(&self, value: f64) -> Option<f64> {
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

    /// Returns the [`Row::strain`] at both ends of the interval.
    pub fn strain_interval(&self) -> Option<Interval> {
        let (baseline, interval) = (self.presence.baseline()?, self.evidence.interval?);
        let strain = |end: f64| self.strain(self.metric.changed(baseline, end));
        Some(Interval::between(strain(interval.low)?, strain(interval.high)?))
    }
}

/// The extent to which a value is over its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// It is within the limit.
    None,
    /// It is over the limit of change, but no further than response times were rounded.
    Rounding,
    /// It is over the limit of change.
    Limit,
    /// It is beyond the bound.
    Bound,
}

impl Excess {
    /// Compares a value with its limit. `precision` is the coarser one of both sides.
    pub fn of(metric: Metric, limit: &Limit, baseline: f64, candidate: f64, precision: Precision) -> Excess {
        if is_out_of_bound(metric, limit, candidate) {
            return Excess::Bound;
        }
        let worsening = metric.worsening(candidate - baseline);
        let is_over_change = match (limit.worsening, metric.change(baseline, candidate)) {
            (None, _) => false,
            (Some(allowed), Some(change)) => is_over(metric.worsening(change), allowed),
            // From nothing to something exceeds any percentage.
            (Some(_), None) => worsening > 0.0,
        };
        let is_over_floor = limit.floor.is_none_or(|floor| is_over(worsening, floor));
        if !(is_over_change && is_over_floor) {
            Excess::None
        } else if metric.is_percentile() && worsening <= precision.resolution_ms(baseline.max(candidate)) {
            Excess::Rounding
        } else {
            Excess::Limit
        }
    }

    /// Returns whether the limit is exceeded by more than rounding.
    pub fn is_relevant(self) -> bool {
        matches!(self, Excess::Limit | Excess::Bound)
    }
}

/// The runs by which an endpoint may fail.
const LEAST_RUNS: usize = 2;

/// Decides on one series, once its evidence is complete. `precision` is the coarser one of both sides, and `runs` the
/// number of the candidate's.
///
/// Returns `None` where nothing is judged: the metric has no limit, or the baseline lacks the series.
pub fn decide(row: &Row, rules: &Rules, precision: Precision, runs: usize) -> Option<Decision> {
    if let Presence::Missing { .. } = row.presence {
        let was_rare = row.evidence.few_samples.is_some();
        let blocks = !was_rare || rules.strict;
        return Some(if blocks { Decision::Fail(Why::Missing) } else { Decision::Warn(Why::Missing) });
    }
    let limit = row.limit?;
    let excess = match row.presence {
        Presence::New { candidate } if is_out_of_bound(row.metric, limit, candidate) => Excess::Bound,
        _ => row.excess(precision)?,
    };
    let why = match excess {
        Excess::None => return Some(Decision::Ok),
        Excess::Rounding => return Some(Decision::BelowResolution),
        Excess::Limit => Why::OverLimit,
        Excess::Bound => Why::OverBound,
    };
    if let Some(doubt) = doubt(row, why) {
        return Some(Decision::InDoubt(doubt));
    }
    let blocks = rules.fails(limit);
    let rests_on_one_run = blocks && row.endpoint.is_some() && runs < LEAST_RUNS;
    Some(match (rests_on_one_run, blocks) {
        (true, _) if rules.strict => Decision::Fail(Why::OneRun),
        (true, _) => Decision::Warn(Why::OneRun),
        (false, true) => Decision::Fail(why),
        (false, false) => Decision::Warn(why),
    })
}

/// Holds a finding against its exception, whose limit is in `up_to` with the level of the series' own: within that it is
/// waived, and over it stays what it is.
///
/// ```text
///          0        limit +20%      up_to +45%
///   -------+------------|---------------|------------->
///              o        :               :               Ok, and the exception is unused
///                       :       o       :               Waived, also where this is in doubt by `up_to`
///                       :               :     o         Fail, or Warn, as ever
/// ```
pub fn waive(row: &Row, up_to: &Limit, rules: &Rules, precision: Precision, runs: usize) -> Option<Decision> {
    let why = row.decision.and_then(Decision::why)?;
    let by_exception = Row { limit: Some(up_to), ..row.clone() };
    match decide(&by_exception, rules, precision, runs)? {
        Decision::Ok | Decision::BelowResolution | Decision::InDoubt(_) => Some(Decision::Waived(why)),
        Decision::Warn(_) | Decision::Fail(_) | Decision::Waived(_) => None,
    }
}

/// Returns what a series over its limit lacks to be a finding. A bound holds for the estimate and needs no significance.
fn doubt(row: &Row, why: Why) -> Option<Doubt> {
    // All requests together say how few they rest on in a remark, and are judged.
    if let (Some(_), Some(few)) = (row.endpoint, row.evidence.few_samples) {
        return Some(Doubt::FewSamples(few));
    }
    if why == Why::OverBound {
        return None;
    }
    match row.evidence.significance {
        Significance::NotTested | Significance::Significant => None,
        Significance::NotSignificant => Some(Doubt::NotSignificant),
        Significance::Unknown => Some(Doubt::NoiseUnknown),
        Significance::ReachesBelowLimit => Some(Doubt::ReachesBelowLimit),
        Significance::InGap => Some(Doubt::InGap),
    }
}

fn is_out_of_bound(metric: Metric, limit: &Limit, value: f64) -> bool {
    limit.bound.is_some_and(|bound| is_over(metric.worsening(value), metric.worsening(bound)))
}

/// Returns whether a value is strictly over what is allowed. The tolerance is for the last bits of a division: 420 / 350
/// - 1 is not quite 20%, and 360 / 300 - 1 must not become more than it.
pub fn is_over(value: f64, allowed: f64) -> bool {
    value > allowed + 1e-9 * allowed.abs().max(1.0)
}
