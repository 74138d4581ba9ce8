//! The outcome of each accepted exception, which lets one series be worse than its limit for a while.
//!
//! | the series | state |
//! |---|---|
//! | over its limit, within `up_to` | waived |
//! | over `up_to` | exceeded: it fails or warns as usual |
//! | over its limit, but no finding | in doubt as usual |
//! | within its limit, or not measured | unused |
//! | whatever it is, after the last day | expired: judged as if there were no exception |

use crate::model::limits::{Accepted, Rules};
use crate::verdict::decision::{Decision, Reason, Row};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Applied<'a> {
    pub accepted: &'a Accepted,
    pub state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Waived,
    Exceeded,
    InDoubt,
    Unused,
    Expired,
}

/// The number of days before the last one from which on a report prints a note.
const NOTICE_DAYS: i64 = 14;

impl Applied<'_> {
    pub fn ends_soon(&self) -> bool {
        (0..=NOTICE_DAYS).contains(&self.accepted.days_left)
    }
}

pub(crate) fn applied<'a>(rules: &'a Rules, total: &[Row], endpoints: &[Row]) -> Vec<Applied<'a>> {
    let state = |accepted: &Accepted| {
        if accepted.is_expired() {
            return State::Expired;
        }
        let covered = total.iter().chain(endpoints).find(|row| accepted.covers(row.endpoint, row.metric));
        match covered.and_then(|row| row.decision) {
            Some(Decision::Waived(_)) => State::Waived,
            Some(Decision::Warn(reason) | Decision::Fail(reason)) if reason != Reason::Missing => State::Exceeded,
            Some(Decision::InDoubt(_)) => State::InDoubt,
            _ => State::Unused,
        }
    };
    rules.accepted.iter().map(|accepted| Applied { accepted, state: state(accepted) }).collect()
}
