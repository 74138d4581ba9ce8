//! What became of the accepted exceptions in a comparison. An exception lets one series be worse than its limit for a
//! while; [`crate::verdict::decision::waive`] decides, and this module says how each one fared.
//!
//! | the series | state |
//! |---|---|
//! | over its limit, within `up_to` | waived |
//! | over `up_to` | exceeded: it fails, or warns, as ever |
//! | over its limit, but no finding | in doubt, as ever |
//! | within its limit, or not measured | unused |
//! | whatever it is, after the last day | expired: judged as if there were no exception |

use crate::model::limits::{Accepted, Rules};
use crate::verdict::decision::{Decision, Row, Why};

/// An exception and what became of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Applied<'a> {
    /// The exception.
    pub accepted: &'a Accepted,
    /// What became of it.
    pub state: State,
}

/// The state of an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The series is over its limit, and the exception accepts it.
    Waived,
    /// The series is over the limit of the exception too.
    Exceeded,
    /// The series is over its limit on paper, and lacks what makes that a finding.
    InDoubt,
    /// The series is within its own limit, or is not judged at all.
    Unused,
    /// The last day is over, so the series is judged as if there were no exception.
    Expired,
}

/// The number of days before the last one from which on a report says so.
const NOTICE_DAYS: i64 = 14;

/// The number of exceptions that may end on one day: more than these look like a date to be moved, not a plan.
const MOST_A_DAY: usize = 2;

impl Applied<'_> {
    /// Returns whether the last day is near.
    pub fn ends_soon(&self) -> bool {
        (0..=NOTICE_DAYS).contains(&self.accepted.days_left)
    }
}

/// Returns what became of each exception. `rows` returns all rows of the comparison, decided.
pub fn applied<'a, 'r, I>(rules: &'a Rules, rows: impl Fn() -> I) -> Vec<Applied<'a>>
where
    I: Iterator<Item = &'r Row<'a>>,
    'a: 'r,
{
    let mut applied = Vec::new();
    for accepted in &rules.accepted {
        let mut covered = rows().filter(|row| accepted.covers(row.endpoint, row.metric));
        let state = match covered.next().and_then(|row| row.decision) {
            _ if accepted.is_expired() => State::Expired,
            Some(Decision::Waived(_)) => State::Waived,
            Some(Decision::Warn(why) | Decision::Fail(why)) if why != Why::Missing => State::Exceeded,
            Some(Decision::InDoubt(_)) => State::InDoubt,
            _ => State::Unused,
        };
        applied.push(Applied { accepted, state });
    }
    applied
}

/// Returns the exceptions that end on one day, of each day on which more than two do.
pub fn crowded_days<'a, 'e>(exceptions: &'e [Applied<'a>]) -> Vec<Vec<&'e Applied<'a>>> {
    let mut active: Vec<&Applied> = exceptions.iter().filter(|applied| applied.state != State::Expired).collect();
    active.sort_by_key(|applied| applied.accepted.until);
    let days = active.chunk_by(|a, b| a.accepted.until == b.accepted.until);
    days.filter(|day| day.len() > MOST_A_DAY).map(<[_]>::to_vec).collect()
}
