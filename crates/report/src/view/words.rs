//! Single values and statuses as text.

use judge::model::limits::Limit;
use judge::model::run::Metric;
use judge::model::text::endpoint_shown;
use judge::stats::estimate::Interval;
use judge::verdict::compare::{Comparison, Verdict};
use judge::verdict::decision::{Decision, Presence, Row};

/// The farthest end of an interval that is shown, in percent or percentage points. One that reaches further says only
/// that next to nothing is known.
const FARTHEST: f64 = 999.0;

/// The smallest change that is not shown as 0.0, in percent.
pub const LEAST_SHOWN: f64 = 0.05;

/// The status of a series in a report. It follows from the decision and the presence, and adds nothing to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Over a limit that blocks.
    Fail,
    /// Over a limit that does not block, or an endpoint over one that does by a single run.
    Warn,
    /// Over its limit, which an exception accepts.
    Waived,
    /// Over its limit on paper, without what makes that a finding.
    InDoubt,
    /// Within its limit.
    Ok,
    /// Over its limit on paper, but no further than response times were rounded.
    BelowResolution,
    /// An endpoint that the baseline lacks.
    New,
    /// A metric that the baseline lacks.
    NoBaseline,
    /// Shown, not judged.
    Shown,
}

impl Status {
    /// Returns the status of a series.
    pub fn of(row: &Row) -> Status {
        match (row.decision, row.presence) {
            (Some(Decision::Fail(_)), _) => Status::Fail,
            (Some(Decision::Warn(_)), _) => Status::Warn,
            (Some(Decision::Waived(_)), _) => Status::Waived,
            (Some(Decision::InDoubt(_)), _) => Status::InDoubt,
            (Some(Decision::Ok), _) => Status::Ok,
            (Some(Decision::BelowResolution), _) => Status::BelowResolution,
            (None, _) if row.limit.is_none() => Status::Shown,
            (None, Presence::New { .. }) if row.endpoint.is_some() => Status::New,
            (None, _) => Status::NoBaseline,
        }
    }

    /// Returns whether there is something to tell the user.
    pub fn is_finding(self) -> bool {
        matches!(self, Status::Fail | Status::Warn)
    }

    /// Returns the word that people read.
    pub fn word(self) -> &'static str {
        match self {
            Status::Fail => "FAIL",
            Status::Warn => "WARN",
            Status::Waived => "WAIVED",
            Status::InDoubt => "over",
            Status::Ok => "ok",
            Status::BelowResolution => "ok (below resolution)",
            Status::New => "NEW",
            Status::NoBaseline => "no baseline",
            Status::Shown => "",
        }
    }
}

/// A finding in words.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The status: FAIL, WARN or WAIVED.
    pub status: Status,
    /// The sentence.
    pub text: String,
}

/// The meaning of a colour and its sign. Each of them means one thing, and the sign says it to the colour-blind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// It FAILs.
    Fail,
    /// It WARNs.
    Warn,
    /// It is within its limit.
    Ok,
    /// Another run may change it.
    Unsure,
    /// There is nothing to judge.
    Plain,
}

impl Tone {
    /// Returns what to say of a series.
    pub fn of(row: &Row) -> Tone {
        match Status::of(row) {
            Status::Fail => Tone::Fail,
            Status::Warn => Tone::Warn,
            Status::Ok | Status::BelowResolution if row.evidence.unsettled.is_some() => Tone::Unsure,
            Status::Ok | Status::BelowResolution => Tone::Ok,
            Status::Waived | Status::InDoubt | Status::New | Status::NoBaseline | Status::Shown => Tone::Plain,
        }
    }

    /// Returns what to say of a comparison: a PASS is only green where nothing speaks against it.
    pub fn of_verdict(comparison: &Comparison) -> Tone {
        match comparison.verdict {
            Verdict::Fail => Tone::Fail,
            Verdict::Pass if !comparison.is_conclusive() => Tone::Unsure,
            Verdict::Pass if comparison.has_remarkable() => Tone::Warn,
            Verdict::Pass => Tone::Ok,
        }
    }

    /// Returns the class of the page's elements that are of this tone.
    pub fn class(self) -> &'static str {
        match self {
            Tone::Fail => "fail",
            Tone::Warn => "warn",
            Tone::Ok => "ok",
            Tone::Unsure => "unsure",
            Tone::Plain => "plain",
        }
    }

    /// Returns the sign; nothing that is not judged has one.
    pub fn sign(self) -> &'static str {
        match self {
            Tone::Fail => "✖",
            Tone::Warn => "▲",
            Tone::Ok => "✔",
            Tone::Unsure => "?",
            Tone::Plain => "",
        }
    }
}

/// Returns the word for a verdict.
pub fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "PASS",
        Verdict::Fail => "FAIL",
    }
}

/// Returns the name of a series: `p95`, or `GET /claims p95`.
pub fn series_name(row: &Row) -> String {
    match row.endpoint {
        Some(endpoint) => format!("{} {}", endpoint_shown(endpoint), row.metric),
        None => row.metric.to_string(),
    }
}

/// Returns a series over its limit: `p95: 100 → 131 ms (+31.2%, limit +25%)`.
pub fn over_limit(row: &Row) -> String {
    let limit = row.limit.map_or_else(String::new, |limit| format!(", limit {}", limit_text(row.metric, limit)));
    let (series, unit) = (series_name(row), unit_of_value(row.metric));
    match row.presence {
        Presence::Both { baseline, candidate } => {
            let (baseline, candidate) = (value(row.metric, baseline), value(row.metric, candidate));
            format!("{series}: {baseline} → {candidate}{unit} ({}{limit})", change(row))
        }
        Presence::New { candidate } => format!("{series}: {}{unit}{limit}", value(row.metric, candidate)),
        Presence::Missing { .. } => series,
    }
}

/// Returns a value without its unit, with as many digits as help.
pub fn value(metric: Metric, value: f64) -> String {
    match metric {
        Metric::TotalRequests => format!("{value:.0}"),
        Metric::ErrorRate => format!("{value:.2}"),
        _ if value >= 1000.0 || (metric.is_percentile() && (value >= 100.0 || value.fract() == 0.0)) => {
            format!("{value:.0}")
        }
        _ => format!("{value:.1}"),
    }
}

/// Returns the change with its sign, in percent or percentage points, with as many digits as tell it from the limit that
/// it exceeds.
pub fn change(row: &Row) -> String {
    let Some(change) = row.change() else { return "n/a".to_owned() };
    let least_digits = if row.metric == Metric::ErrorRate { 2 } else { 1 };
    let digits = digits_of(row, change, least_digits);
    // No change is +0.0, never -0.0.
    let rounded: f64 = format!("{change:.digits$}").parse().unwrap_or(change);
    format!("{:+.digits$}{}", if rounded == 0.0 { 0.0 } else { rounded }, unit_behind(row.metric))
}

/// Returns the change as a headline has it, with as few digits as tell it from its limit: `+422%`, `-1.2%`.
pub fn short_change(row: &Row) -> String {
    let Some(change) = row.change() else { return "n/a".to_owned() };
    let size = percent(row);
    // No change is +0.0, never -0.0.
    let is_none = !size.contains(|digit| matches!(digit, '1'..='9'));
    let sign = if change < 0.0 && !is_none { "-" } else { "+" };
    format!("{sign}{size}")
}

/// Returns the size of the change as a person says it, without a sign: `50%`, `2.3 pp`.
pub fn percent(row: &Row) -> String {
    let Some(change) = row.change() else { return "n/a".to_owned() };
    let least_digits = if row.metric == Metric::ErrorRate { 2 } else { usize::from(change.abs() < 10.0) };
    let digits = digits_of(row, change, least_digits);
    format!("{:.digits$}{}", change.abs(), unit_behind(row.metric))
}

/// Returns the number of digits that tell a change from the limit that it exceeds.
fn digits_of(row: &Row, change: f64, least_digits: usize) -> usize {
    let is_over = row.is_waived() || row.decision.and_then(Decision::reason).is_some();
    let exceeded = if is_over { row.limit.and_then(|limit| limit.worsening) } else { None };
    let looks_equal = |digits: usize| {
        exceeded.is_some_and(|allowed| format!("{:.digits$}", change.abs()) == format!("{allowed:.digits$}"))
    };
    (least_digits..8).find(|digits| !looks_equal(*digits)).unwrap_or(least_digits)
}

/// Returns the unit of a change as it follows the number: `%`, ` pp`.
fn unit_behind(metric: Metric) -> &'static str {
    if metric == Metric::ErrorRate { " pp" } else { "%" }
}

/// Returns the unit of a change: percentage points for an error rate, else percent.
pub fn change_unit(metric: Metric) -> &'static str {
    if metric == Metric::ErrorRate { "pp" } else { "%" }
}

/// Returns the name of a metric where it stands alone.
pub fn tile_name(metric: Metric) -> &'static str {
    match metric {
        Metric::P95Corrected => "p95 corrected",
        Metric::ErrorRate => "errors",
        Metric::RequestsPerSec => "requests/s",
        metric => metric.name(),
    }
}

/// Returns a change with its sign: `+3.1%`, `-0.20 pp`.
pub fn movement_text(metric: Metric, change: f64) -> String {
    let digits = if metric == Metric::ErrorRate { 2 } else { 1 };
    let rounded: f64 = format!("{change:.digits$}").parse().unwrap_or(change);
    // No change is +0.0, never -0.0.
    format!("{:+.digits$}{}", if rounded == 0.0 { 0.0 } else { rounded }, unit_behind(metric))
}

/// Returns the unit of a value as it follows the number: ` ms`, `%`, `/s`.
pub fn unit_of_value(metric: Metric) -> &'static str {
    match metric {
        Metric::ErrorRate => "%",
        Metric::RequestsPerSec => "/s",
        Metric::TotalRequests => "",
        _ => " ms",
    }
}

/// Returns a limit as `perf.toml` has it, with its sign: `+20% and 5 ms`.
pub fn limit_text(metric: Metric, limit: &Limit) -> String {
    let (sign, bound_word) = if metric == Metric::RequestsPerSec { ("-", "min") } else { ("+", "max") };
    let floor_unit = if metric == Metric::ErrorRate { "pp" } else { metric.unit() };
    let worsening = limit.worsening.map(|worsening| {
        let floor = limit.floor.map_or_else(String::new, |floor| format!(" and {floor} {floor_unit}"));
        format!("{sign}{worsening}{}{floor}", unit_behind(metric))
    });
    let bound = limit.bound.map(|bound| format!("{bound_word} {bound}{}", unit_of_value(metric)));
    [worsening, bound].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Returns an interval without its unit: `-1.2..+3.4`.
pub fn interval_text(interval: Interval) -> String {
    format!("{}..{}", interval_end(interval.low), interval_end(interval.high))
}

/// Returns an interval in a sentence: `-1.2% to +3.4%`, `-1.2 to +3.4 pp`.
pub fn interval_words(metric: Metric, interval: Interval) -> String {
    let (low, high) = (interval_end(interval.low), interval_end(interval.high));
    if metric == Metric::ErrorRate { format!("{low} to {high} pp") } else { format!("{low}% to {high}%") }
}

fn interval_end(end: f64) -> String {
    if end > FARTHEST {
        format!(">+{FARTHEST}")
    } else if end < -FARTHEST {
        format!("<-{FARTHEST}")
    } else {
        // No change is +0.0, never -0.0.
        format!("{:+.1}", if end.abs() < 0.05 { 0.0 } else { end })
    }
}

/// Returns a series as it stands in a sentence: `p95 of all requests`, `p95 of GET /claims`.
pub fn series_of(row: &Row) -> String {
    format!("{} of {}", row.metric, row.endpoint.map_or_else(|| "all requests".to_owned(), endpoint_shown))
}

/// Returns the smallest detectable change in words.
pub fn noise_text(detectable: f64) -> String {
    if detectable > FARTHEST {
        "too noisy to detect any p95 change".to_owned()
    } else if detectable < LEAST_SHOWN {
        "the runs are equal, so they show no noise".to_owned()
    } else {
        format!("smallest detectable p95 change: {detectable:.1}%")
    }
}

/// The smallest p95 change in percent that a comparison should be able to see.
const DETECTABLE_PCT: f64 = 30.0;

/// Advises a longer run where the noise hides p95 changes that matter.
pub fn noise_advice(detectable: f64) -> Option<String> {
    if detectable <= DETECTABLE_PCT {
        return None;
    }
    let hidden =
        if detectable > FARTHEST { "any p95 change".to_owned() } else { format!("p95 changes under {detectable:.0}%") };
    Some(format!("the noise hides {hidden}: lengthen the runs (--run-time), or add users, to see smaller ones"))
}

/// Returns up to three of the texts, and how many more there are.
pub fn listed(texts: &[String], between: &str) -> String {
    const SHOWN: usize = 3;
    let more = if texts.len() > SHOWN { format!(" and {} more", texts.len() - SHOWN) } else { String::new() };
    format!("{}{more}", texts[..texts.len().min(SHOWN)].join(between))
}

/// Returns a number with its noun: `1 run`, `2 runs`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Returns a commit as people read it: `8402e029a80f`, or `8402e029a80f + uncommitted changes`.
pub fn shown_commit(commit: &str, dirty: bool) -> String {
    let short: String = commit.chars().take(12).collect();
    if dirty { format!("{short} + uncommitted changes") } else { short }
}
