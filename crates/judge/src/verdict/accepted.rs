//! The outcome of each accepted exception, which lets one series be worse than its limit for a while.

use crate::model::limits::{Accepted, Rules};
use crate::verdict::decision::{Decision, Reason, Row};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exception<'a> {
    pub accepted: &'a Accepted,
    pub state: ExceptionState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExceptionState {
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

impl Exception<'_> {
    pub fn ends_soon(&self) -> bool {
        (0..=NOTICE_DAYS).contains(&self.accepted.days_left)
    }
}

pub(crate) fn exceptions<'a>(rules: &'a Rules, total: &[Row], endpoints: &[Row]) -> Vec<Exception<'a>> {
    let state = |accepted: &Accepted| {
        if accepted.is_expired() {
            return ExceptionState::Expired;
        }
        let covered = total.iter().chain(endpoints).find(|row| accepted.covers(row.endpoint, row.metric));
        match covered.and_then(|row| row.decision) {
            Some(Decision::Waived(_)) => ExceptionState::Waived,
            Some(Decision::Warn(reason) | Decision::Fail(reason)) if reason != Reason::Missing => {
                ExceptionState::Exceeded
            }
            Some(Decision::InDoubt(_)) => ExceptionState::InDoubt,
            _ => ExceptionState::Unused,
        }
    };
    rules.accepted.iter().map(|accepted| Exception { accepted, state: state(accepted) }).collect()
}
