//! The drift: how far the candidate is from an earlier baseline, the anchor. Each accepted update moves the baseline, so
//! against the newest one alone a service may get 3% slower with each release and never fail.

use crate::baseline::chain::Version;
use crate::verdict::decision::{Presence, Row};

/// The earlier baseline that a drift is measured from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Anchor<'a> {
    /// The anchor itself.
    pub version: &'a Version,
    /// The name that the user gave it, such as a tag.
    pub name: Option<&'a str>,
    /// The versions that were accepted since, newest first.
    pub updates: &'a [Version],
}

/// What was judged against the anchor.
#[derive(Clone, Debug, PartialEq)]
pub struct Drift<'a> {
    /// The anchor.
    pub anchor: Anchor<'a>,
    /// The series that both sides have and that have a limit of drift, each with its decision.
    pub rows: Vec<Row<'a>>,
}

impl<'a> Drift<'a> {
    /// Keeps what tells of a drift: an endpoint that came or went since was accepted with its update.
    pub fn new(anchor: Anchor<'a>, mut rows: Vec<Row<'a>>) -> Drift<'a> {
        rows.retain(|row| row.limit.is_some() && matches!(row.presence, Presence::Both { .. }));
        Drift { anchor, rows }
    }
}
