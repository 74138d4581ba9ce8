//! The outcome of each accepted exception, which lets one series be worse than its limit for a while.

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
    /// Over `up_to`, so it fails or warns as usual.
    Exceeded,
    /// Over its limit, but no finding.
    InDoubt,
    /// Within its limit, or not measured.
    Unused,
    /// Judged as if there were no exception.
    Expired,
}

/// So many days before the last one, a report begins to print a note.
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
