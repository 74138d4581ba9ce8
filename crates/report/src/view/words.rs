//! Formatting of values and statuses.

use judge::model::limits::Limit;
use judge::model::run::{EndpointName, Metric, Provenance};
use judge::model::text::endpoint_shown;
use judge::stats::estimate::Interval;
use judge::verdict::compare::Verdict;
use judge::verdict::decision::{Decision, Presence, Row};
use serde::Serialize;

/// The farthest end of an interval that is shown, in percent or percentage points. One that reaches further shows only
/// that next to nothing is known.
const FARTHEST: f64 = 999.0;

/// The smallest change that is not shown as 0.0, in percent.
pub(crate) const LEAST_SHOWN: f64 = 0.05;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Fail,
    Warn,
    Waived,
    /// Over its limit, but without the evidence that makes it a finding.
    InDoubt,
    Ok,
    /// Over its limit, but no further than response times were rounded.
    BelowResolution,
    New,
    NoBaseline,
    Shown,
}

impl Status {
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

    pub(crate) fn is_finding(self) -> bool {
        matches!(self, Status::Fail | Status::Warn)
    }

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

/// The meaning of a colour and its sign, which people who see no colours read instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Fail,
    Warn,
    Ok,
    Unsure,
    Plain,
}

impl Tone {
    pub(crate) fn of(row: &Row) -> Tone {
        match Status::of(row) {
            Status::Fail => Tone::Fail,
            Status::Warn => Tone::Warn,
            Status::Ok | Status::BelowResolution if row.evidence.unsettled.is_some() => Tone::Unsure,
            Status::Ok | Status::BelowResolution => Tone::Ok,
            Status::Waived | Status::InDoubt | Status::New | Status::NoBaseline | Status::Shown => Tone::Plain,
        }
    }

    pub(crate) fn class(self) -> &'static str {
        match self {
            Tone::Fail => "fail",
            Tone::Warn => "warn",
            Tone::Ok => "ok",
            Tone::Unsure => "unsure",
            Tone::Plain => "plain",
        }
    }

    pub(crate) fn sign(self) -> &'static str {
        match self {
            Tone::Fail => "✖",
            Tone::Warn => "▲",
            Tone::Ok => "✔",
            Tone::Unsure => "?",
            Tone::Plain => "",
        }
    }
}

pub(crate) fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "PASS",
        Verdict::Inconclusive => "INCONCLUSIVE",
        Verdict::Fail => "FAIL",
    }
}

pub(crate) fn series_name(row: &Row) -> String {
    name_of_series(row.endpoint, row.metric)
}

pub(crate) fn name_of_series(endpoint: EndpointName, metric: Metric) -> String {
    match endpoint {
        Some(endpoint) => format!("{} {metric}", endpoint_shown(endpoint)),
        None => metric.to_string(),
    }
}

/// A series in a sentence: `p95 of all requests`, `p95 of GET /claims`.
pub fn series_of(endpoint: EndpointName, metric: Metric) -> String {
    format!("{metric} of {}", endpoint_or_all(endpoint))
}

pub(crate) fn endpoint_or_all(endpoint: EndpointName) -> String {
    endpoint.map_or_else(|| "all requests".to_owned(), endpoint_shown)
}

/// `p95: 100 → 131 ms (+31.2%, limit +25%)`.
pub(crate) fn over_limit(row: &Row) -> String {
    let limit = row.limit.map_or_else(String::new, |limit| format!(", limit {}", limit_text(row.metric, limit)));
    let series = series_name(row);
    match row.presence {
        Presence::Both { baseline, candidate } => {
            format!("{series}: {} ({}{limit})", both(row.metric, baseline, candidate), change(row))
        }
        Presence::New { candidate } => format!("{series}: {}{limit}", with_unit(row.metric, candidate)),
        Presence::Missing { .. } => series,
    }
}

pub(crate) fn value(metric: Metric, value: f64) -> String {
    match metric {
        Metric::TotalRequests => format!("{value:.0}"),
        Metric::ErrorRate => format!("{value:.2}"),
        _ if value >= 1000.0 || (metric.is_percentile() && (value >= 100.0 || value.fract() == 0.0)) => {
            format!("{value:.0}")
        }
        _ => format!("{value:.1}"),
    }
}

/// Two values that are compared, with the same number of digits behind the point: `41.0` beside `41.5`.
pub(crate) fn values(metric: Metric, sides: [f64; 2]) -> [String; 2] {
    let shown = sides.map(|side| value(metric, side));
    if sides.iter().all(|side| *side < 100.0) && shown.iter().any(|side| side.contains('.')) && metric.is_percentile() {
        return sides.map(|side| format!("{side:.1}"));
    }
    shown
}

/// `41.0 → 41.5 ms`.
pub(crate) fn both(metric: Metric, baseline: f64, candidate: f64) -> String {
    let [baseline, candidate] = values(metric, [baseline, candidate]);
    format!("{baseline} → {candidate}{}", unit_of_value(metric))
}

/// `181 ms`, `0.00%`, `61.0/s`.
pub fn with_unit(metric: Metric, number: f64) -> String {
    format!("{}{}", value(metric, number), unit_of_value(metric))
}

/// The change with its sign, in percent or percentage points, with enough digits to tell it from the limit it exceeds.
pub(crate) fn change(row: &Row) -> String {
    change_with(row, least_digits(row.metric))
}

/// The change as a headline has it: `+422%`, `-1.2%`.
pub(crate) fn short_change(row: &Row) -> String {
    change_with(row, least_short_digits(row.metric, row.change().unwrap_or(f64::INFINITY)))
}

/// The size of the change without a sign: `50%`, `2.3 pp`.
pub(crate) fn percent(row: &Row) -> String {
    short_change(row).trim_start_matches(['+', '-']).to_owned()
}

/// A change with its sign: `+3.1%`, `-0.20 pp`.
pub fn change_text(metric: Metric, change: f64) -> String {
    format!("{}{}", signed(change, least_digits(metric)), unit_behind(metric))
}

/// A change with its sign as a headline has it: `+3%`, `-0.20 pp`.
pub(crate) fn short_change_text(metric: Metric, change: f64) -> String {
    format!("{}{}", signed(change, least_short_digits(metric, change)), unit_behind(metric))
}

fn change_with(row: &Row, least_digits: usize) -> String {
    let Some(change) = row.change() else { return "n/a".to_owned() };
    let is_over = row.is_waived() || row.reason().is_some();
    let exceeded = if is_over { row.limit.and_then(|limit| limit.worsening) } else { None };
    let looks_equal = |digits: usize| {
        exceeded.is_some_and(|allowed| format!("{:.digits$}", change.abs()) == format!("{allowed:.digits$}"))
    };
    let digits = (least_digits..8).find(|digits| !looks_equal(*digits)).unwrap_or(least_digits);
    format!("{}{}", signed(change, digits), unit_behind(row.metric))
}

fn least_digits(metric: Metric) -> usize {
    if metric == Metric::ErrorRate { 2 } else { 1 }
}

fn least_short_digits(metric: Metric, change: f64) -> usize {
    if metric == Metric::ErrorRate { 2 } else { usize::from(change.abs() < 10.0) }
}

/// A number with its sign. No change is +0.0, never -0.0.
fn signed(number: f64, digits: usize) -> String {
    let text = format!("{number:+.digits$}");
    if text.contains(|digit| matches!(digit, '1'..='9')) { text } else { text.replace('-', "+") }
}

fn unit_behind(metric: Metric) -> &'static str {
    if metric == Metric::ErrorRate { " pp" } else { "%" }
}

pub(crate) fn change_unit(metric: Metric) -> &'static str {
    unit_behind(metric).trim_start()
}

pub(crate) fn tile_name(metric: Metric) -> &'static str {
    match metric {
        Metric::P95Corrected => "p95 corrected",
        Metric::ErrorRate => "errors",
        Metric::RequestsPerSec => "requests/s",
        metric => metric.name(),
    }
}

pub(crate) fn unit_of_value(metric: Metric) -> &'static str {
    match metric {
        Metric::ErrorRate => "%",
        Metric::RequestsPerSec => "/s",
        Metric::TotalRequests => "",
        _ => " ms",
    }
}

/// A limit as `perf.toml` has it, with its sign: `+20% and 5 ms`.
pub(crate) fn limit_text(metric: Metric, limit: &Limit) -> String {
    let (sign, bound_word) = if metric == Metric::RequestsPerSec { ("-", "min") } else { ("+", "max") };
    let floor_unit = if metric == Metric::ErrorRate { "pp" } else { metric.unit() };
    let worsening = limit.worsening.map(|worsening| {
        let floor = limit.floor.map_or_else(String::new, |floor| format!(" and {floor} {floor_unit}"));
        format!("{sign}{worsening}{}{floor}", unit_behind(metric))
    });
    let bound = limit.bound.map(|bound| format!("{bound_word} {bound}{}", unit_of_value(metric)));
    [worsening, bound].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// An interval without its unit: `-1.2..+3.4`.
pub(crate) fn interval_text(interval: Interval) -> String {
    format!("{}..{}", interval_end(interval.low), interval_end(interval.high))
}

/// An interval in a sentence: `-1.2% to +3.4%`, `-1.2 to +3.4 pp`.
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
        signed(end, 1)
    }
}

pub(crate) fn noise_text(detectable: f64) -> String {
    if detectable > FARTHEST {
        "too noisy to detect any p95 change".to_owned()
    } else if detectable < LEAST_SHOWN {
        "the runs are equal, so they show no noise".to_owned()
    } else {
        format!("detectable p95 change: {detectable:.1}%")
    }
}

const DETECTABLE_PCT: f64 = 30.0;

pub fn noise_advice(detectable: f64) -> String {
    if detectable <= DETECTABLE_PCT {
        return String::new();
    }
    format!(
        "{}: to see smaller ones, record a baseline of longer runs (--run-time), or of more users",
        hidden_by_noise(detectable)
    )
}

pub(crate) fn hidden_by_noise(detectable: f64) -> String {
    if detectable > FARTHEST {
        "the noise hides any p95 change".to_owned()
    } else {
        format!("the noise hides p95 changes under {detectable:.0}%")
    }
}

/// Up to three of the texts, and how many more there are: `a, b and c`, `a, b, c and 2 more`.
pub fn listed(texts: &[String]) -> String {
    const SHOWN: usize = 3;
    match texts {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] if texts.len() <= SHOWN => format!("{} and {last}", first.join(", ")),
        _ => format!("{} and {} more", texts[..SHOWN].join(", "), texts.len() - SHOWN),
    }
}

pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// The commit of a side, or its host if two running services were compared.
pub fn shown_side(side: &Provenance) -> String {
    if side.host.is_empty() { shown_commit(&side.commit, side.dirty) } else { side.host.clone() }
}

/// `8402e029a80f`, or `8402e029a80f + uncommitted changes`.
pub fn shown_commit(commit: &str, dirty: bool) -> String {
    let short: String = commit.chars().take(12).collect();
    if dirty { format!("{short} + uncommitted changes") } else { short }
}

/// A sentence with a capital at its beginning, unless it begins with the name of a metric.
pub(crate) fn capitalized(text: &str) -> String {
    let first_word = text.split(' ').next().unwrap_or_default();
    if first_word.contains(|letter: char| letter.is_ascii_digit() || letter == '_') {
        return text.to_owned();
    }
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}
