//! The entries of `perf.toml` that accept a FAIL of rounds for a while, up to the ceiling that the rounds leave possible.

use std::fmt::Write as _;

use judge::model::run::Metric;
use judge::model::text::is_unprintable;
use judge::stats::estimate::Interval;
use judge::verdict::decision::Row;

use crate::view::FINDINGS;
use crate::view::input::Report;
use crate::view::series::all_findings;
use crate::view::words::{change_unit, unit_of_value};

/// How the sentence about the entries begins.
pub(crate) const ACCEPT: &str = "to accept it for a while";

/// Entries to paste, which leave the reason to be filled in. Empty unless rounds have failed: nobody wants errors, and a new
/// baseline accepts a FAIL by stored numbers.
pub(crate) fn entries(report: &Report) -> String {
    let comparison = report.comparison;
    let is_wanted = comparison.paired && !comparison.error_rate_failed();
    let Some(until) = report.background.accept_until.filter(|_| is_wanted) else { return String::new() };
    // In perf.toml, an empty name means all requests together, so an endpoint without a name cannot be accepted.
    let failed = all_findings(comparison).into_iter().filter(|row| row.is_failure() && row.endpoint != Some(""));
    // Nothing accepts a missing endpoint.
    let ceilings: Vec<(&Row, String)> = failed.filter(|row| !row.is_missing()).map(|row| (row, ceiling(row))).collect();
    let mut entries = String::new();
    for (row, up_to) in ceilings.iter().take(FINDINGS) {
        if comparison.exceptions.iter().any(|exception| exception.accepted.covers(row.endpoint, row.metric)) {
            entries.push_str("# This replaces the entry for the same series.\n");
        }
        let (endpoint, metric) = (toml_string(row.endpoint.unwrap_or_default()), row.metric);
        let _ = writeln!(
            entries,
            "[[accepted]]\nendpoint = {endpoint}\nmetric = \"{metric}\"\nup_to = \"{up_to}\"\nuntil = \"{until}\"\nreason = \"\"  # to fill in"
        );
    }
    if ceilings.len() > FINDINGS {
        let more = ceilings.len() - FINDINGS;
        let _ = writeln!(entries, "# {more} more series failed: raise [limits] if all of them are intended.");
    }
    entries
}

/// The upper end of the interval, or the value with a tenth on top if there is none, rounded up.
fn ceiling(row: &Row) -> String {
    let metric = row.metric;
    let rounded_up = |number: f64| (number - 1e-6).ceil().max(0.0);
    if let Some(change) = row.change() {
        let worsening = metric.worsening(change);
        let worst = match row.evidence.interval.filter(|interval| interval.is_finite()) {
            Some(Interval { low, high }) => metric.worsening(low).max(metric.worsening(high)).max(worsening),
            None => match metric {
                Metric::ErrorRate => 1.1 * worsening,
                Metric::RequestsPerSec => worsening + 0.1 * (100.0 - worsening),
                _ => worsening + 0.1 * (100.0 + worsening),
            },
        };
        return format!("{}{}", rounded_up(worst), change_unit(metric));
    }
    let (candidate, unit) = (row.presence.candidate().unwrap_or(0.0), unit_of_value(metric));
    match metric {
        Metric::RequestsPerSec => format!("min {}{unit}", (candidate * 0.9).floor()),
        _ => format!("max {}{unit}", rounded_up(candidate * 1.1)),
    }
}

/// A name as TOML reads it back.
fn toml_string(text: &str) -> String {
    let mut string = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' | '\\' => string.extend(['\\', c]),
            c if is_unprintable(c) => {
                let _ = write!(string, "\\U{:08x}", u32::from(c));
            }
            c => string.push(c),
        }
    }
    string.push('"');
    string
}

#[cfg(test)]
mod tests {
    use judge::verdict::decision::{Evidence, Presence};

    use super::*;

    #[test]
    fn ceiling_without_an_interval_has_a_tenth_on_top() {
        let ceiling_of = |metric: Metric, [baseline, candidate]: [f64; 2], interval| {
            ceiling(&Row {
                endpoint: None,
                metric,
                limit: None,
                accepted: None,
                presence: Presence::Both { baseline, candidate },
                evidence: Evidence { interval, detectable: None, few_samples: None, unsettled: None },
                decision: None,
            })
        };
        assert_eq!(ceiling_of(Metric::P95, [100.0, 250.0], None), "175%");
        assert_eq!(ceiling_of(Metric::ErrorRate, [0.0, 20.0], None), "22pp");
        assert_eq!(ceiling_of(Metric::RequestsPerSec, [100.0, 50.0], None), "55%");
        let interval = Some(Interval { low: 120.0, high: 180.4 });
        assert_eq!(ceiling_of(Metric::P95, [100.0, 250.0], interval), "181%");
    }

    #[test]
    fn names_are_escaped_as_toml_has_it() {
        for (name, expected) in [
            ("GET /a", r#""GET /a""#),
            (r#"a"b\c"#, r#""a\"b\\c""#),
            ("a\nb\u{7f}", r#""a\U0000000ab\U0000007f""#),
            ("\u{e0041} ü", r#""\U000e0041 ü""#),
        ] {
            assert_eq!(toml_string(name), expected);
        }
    }
}
