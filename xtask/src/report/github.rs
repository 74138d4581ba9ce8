//! What GitHub Actions shows of a report beside its log.

use super::Report;

/// Workflow commands, a line each: at most 10 a kind, the gravest first.
pub fn annotations(_report: &Report) -> String {
    todo!()
}
