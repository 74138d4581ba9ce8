//! What a report says: every cell and sentence is made here once; a format below only dresses them.

pub mod github;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod pictures;
pub mod terminal;

use std::cmp::Ordering;
use std::path::Path;

use anyhow::{Result, bail};
use unicode_width::UnicodeWidthChar as _;

use crate::baseline::Baseline;
use crate::compare::{Comparison, Doubt, Limit, Row, Status, Unsettled, Verdict};
use crate::locust_history::History;
use crate::mask;
use crate::run::{Metric, Provenance, Run};

/// What a report is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Html,
    Markdown,
    Json,
    Junit,
}

impl Format {
    /// By the file's extension.
    pub fn of(path: &Path) -> Result<Format> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("html") => Ok(Format::Html),
            Some("md") => Ok(Format::Markdown),
            Some("json") => Ok(Format::Json),
            Some("xml") => Ok(Format::Junit),
            _ => bail!(
                "`--report {}`: its extension says no format: write .html, .md, .json, or .xml (JUnit)",
                path.display()
            ),
        }
    }

    pub fn render(self, report: &Report) -> String {
        match self {
            Format::Html => html::render(report),
            Format::Markdown => markdown::render(report),
            Format::Json => json::render(report),
            Format::Junit => junit::render(report),
        }
    }

    /// Where nothing was judged, for this reason.
    pub fn render_failure(self, reason: &str) -> String {
        match self {
            Format::Html => html::render_failure(reason),
            Format::Markdown => markdown::render_failure(reason),
            Format::Json => json::render_failure(reason),
            Format::Junit => junit::render_failure(reason),
        }
    }
}

/// Everything that a format shows.
pub struct Report<'a> {
    pub comparison: &'a Comparison<'a>,
    /// The baseline's response times in ms at each of [`crate::run::PERCENTILES`]; empty where it does not know them.
    pub distribution: &'a [f64],
    /// The candidate's runs, and how each went over its time, or why that is not known.
    pub runs: &'a [Run],
    pub histories: &'a [Result<History, String>],
    /// Where both sides were measured, and how.
    pub provenance: [&'a Provenance; 2],
    /// Where the baseline is from.
    pub baseline: String,
    /// What weakens the comparison, a sentence each.
    pub warnings: Vec<String>,
    /// For `--verbose`: what was run, where, and how long it took, a line each.
    pub details: Vec<String>,
}

/// A row as text.
pub struct Cells {
    /// With what the first text begins: the endpoint's name, or nothing.
    pub endpoint: String,
    /// As [`HEADER`] names them.
    pub texts: [String; 7],
    pub status: Status,
}

/// Findings that a person is told before the tables, which hold them all, the gravest first: a service that got slower
/// gets slower everywhere.
const FINDINGS: usize = 12;

/// Columns that an endpoint's name takes at most: it comes from a file, and may be of any length.
const NAME_WIDTH: usize = 100;

/// Columns that any other text takes at most, where a format has to end somewhere.
const LINE_WIDTH: usize = 1000;

/// Percent, or percentage points: beyond it an interval tells only that next to nothing is known.
const FARTHEST: f64 = 999.0;

pub const HEADER: [&str; 7] = ["", "baseline", "candidate", "change", "interval", "limit", "status"];

impl Report<'_> {
    pub fn total_cells(&self) -> Vec<Cells> {
        self.comparison.total.iter().map(cells).collect()
    }

    pub fn endpoint_cells(&self) -> Vec<Cells> {
        self.comparison.endpoints.iter().map(cells).collect()
    }

    /// What failed or warned, a line each, the gravest first: at most `most` of them, and how many more there are.
    pub fn findings(&self, most: usize) -> (Vec<(Status, String)>, usize) {
        let findings = self.comparison.findings();
        let lines = findings.iter().take(most).map(|row| (row.status, finding(row))).collect();
        (lines, findings.len().saturating_sub(most))
    }

    /// What the baseline cannot tell, and what the errors make of the latencies.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if !self.comparison.lacking.is_empty() {
            let names: Vec<&str> = self.comparison.lacking.iter().map(|metric| metric.name()).collect();
            remarks.push(format!(
                "the baseline lacks {}, so there is no comparison of it: measure anew with --update-baseline",
                names.join(", ")
            ));
        }
        if self.comparison.error_rate_failed() {
            remarks.push("the latencies of a failing service are not comparable: mend the errors first".to_owned());
        }
        for row in &self.comparison.total {
            remarks.extend(row.doubt.map(|doubt| doubt_text(row, doubt)));
        }
        remarks.extend(self.warnings.iter().cloned());
        remarks
    }

    /// The verdict in words, without the word itself, and whether another run could change it.
    pub fn sentence(&self) -> String {
        let unsettled: Vec<&str> = self.comparison.unsettled().map(|row| row.metric.name()).collect();
        if unsettled.is_empty() {
            return self.by_estimates();
        }
        let could = match self.comparison.verdict {
            Verdict::Pass => "hide a regression of",
            Verdict::Fail => "change the verdict on",
        };
        format!("{}; not settled: noise could {could} {}", self.by_estimates(), unsettled.join(" and "))
    }

    /// The verdict in words by the estimates alone.
    fn by_estimates(&self) -> String {
        let findings = self.comparison.findings();
        let of =
            |status: Status| -> Vec<&Row> { findings.iter().copied().filter(|row| row.status == status).collect() };
        let (failed, warned) = (of(Status::Fail), of(Status::Warn));
        match self.comparison.verdict {
            Verdict::Fail => {
                let names: Vec<String> = failed.iter().take(3).map(|row| series_name(row)).collect();
                let more = if failed.len() > 3 { format!(" and {} more", failed.len() - 3) } else { String::new() };
                let are = if failed.len() == 1 { "is over its limit" } else { "are over their limits" };
                format!("{}{more} {are}", names.join(", "))
            }
            Verdict::Pass if warned.is_empty() => "nothing is over its limit".to_owned(),
            Verdict::Pass => format!(
                "nothing that fails the gate is over its limit; {} {}",
                warned.len(),
                if warned.len() == 1 { "warning" } else { "warnings" }
            ),
        }
    }
}

pub fn cells(row: &Row) -> Cells {
    let unit = row.metric.unit();
    let metric = if unit.is_empty() { row.metric.to_string() } else { format!("{} {unit}", row.metric) };
    let endpoint = row.endpoint.map(name).unwrap_or_default();
    let series = if row.endpoint.is_some() { format!("{endpoint} {metric}") } else { metric };
    let number = |number: Option<f64>| number.map_or_else(|| "-".to_owned(), |number| value(row.metric, number));
    let change = match (row.baseline, row.candidate) {
        (Some(_), Some(_)) => change(row),
        _ => "-".to_owned(),
    };
    let limit = row.limit.map_or_else(String::new, |limit| limit_text(row.metric, limit));
    let interval = row.interval.filter(|_| row.status != Status::Shown).map_or_else(String::new, interval);
    let remark = match row.doubt {
        _ if row.unsettled.is_some() => ", unsettled",
        _ if row.candidate.is_none() => " (missing)",
        Some(Doubt::FewSamples { .. }) => ", few requests",
        Some(Doubt::NotSignificant) => ", not significant",
        Some(Doubt::NoiseUnknown | Doubt::ReachesBelowLimit) => ", noise unknown",
        None => "",
    };
    let status = format!("{}{remark}", word(row.status));
    Cells {
        endpoint,
        texts: [series, number(row.baseline), number(row.candidate), change, interval, limit, status],
        status: row.status,
    }
}

fn finding(row: &Row) -> String {
    let series = series_name(row);
    let limit_said = row.limit.map_or_else(String::new, |limit| format!("limit {}", limit_text(row.metric, limit)));
    let unit = row.metric.unit();
    let found = match (row.baseline, row.candidate) {
        (_, None) => format!(
            "{} was loaded for the baseline and had no request now",
            row.endpoint.map_or_else(String::new, name)
        ),
        (None, Some(candidate)) => format!("{series}: {} {unit}, {limit_said}", value(row.metric, candidate)),
        (Some(baseline), Some(candidate)) => {
            let (baseline, candidate) = (value(row.metric, baseline), value(row.metric, candidate));
            format!("{series}: {baseline} -> {candidate} {unit} ({}, {limit_said})", change(row))
        }
    };
    // That all requests together rest on few is said once, below.
    match row.doubt.filter(|_| row.endpoint.is_some()) {
        Some(doubt) => format!("{found}; {}", doubt_text(row, doubt)),
        None => found,
    }
}

/// How many runs the verdict rests on, whether another could change it, and what they could have told.
pub fn evidence(comparison: &Comparison) -> String {
    let [baseline, candidate] = comparison.runs;
    let runs = if comparison.paired {
        format!("{}, both sides in each", count(candidate, "round"))
    } else {
        format!("{}, {}", count(baseline, "baseline run"), count(candidate, "candidate run"))
    };
    let p95 = comparison.total.iter().find(|row| row.metric == Metric::P95);
    let Some(detectable) = p95.and_then(|row| row.detectable) else {
        let endpoints = if comparison.rests_on_requests() {
            "; endpoints by the order statistics of their own requests"
        } else {
            ""
        };
        return format!("{runs}: noise unknown, the estimate decides{endpoints}; --update-baseline keeps several runs");
    };
    let settled = unsettled(comparison).unwrap_or_else(|| "settled".to_owned());
    let noise = if detectable > FARTHEST {
        "any p95 change could be noise".to_owned()
    } else {
        format!("p95 changes under {detectable:.1} % could be noise")
    };
    format!("{runs}: {settled}; {noise}")
}

/// The series whose verdict another run may change, and why.
pub fn unsettled(comparison: &Comparison) -> Option<String> {
    let series = comparison.unsettled().map(|row| {
        let ends = row.interval.map_or_else(String::new, interval);
        let why = match row.unsettled {
            Some(Unsettled::OneRunOver) => "is over the limit by one run alone",
            _ => "reaches to both sides of the limit",
        };
        format!("{} {ends} {} {why}", row.metric, change_unit(row.metric))
    });
    let series: Vec<String> = series.collect();
    (!series.is_empty()).then(|| format!("not settled: {}", series.join(", ")))
}

fn interval(ends: [f64; 2]) -> String {
    let [low, high] = ends.map(|end| {
        if end > FARTHEST {
            format!(">+{FARTHEST}")
        } else if end < -FARTHEST {
            format!("<-{FARTHEST}")
        } else {
            format!("{end:+.1}")
        }
    });
    format!("{low}..{high}")
}

/// What keeps a row from being trusted.
fn doubt_text(row: &Row, doubt: Doubt) -> String {
    match doubt {
        Doubt::FewSamples { requests, samples } => {
            format!("{} of {} rests on {samples}", row.metric, count(requests, "request"))
        }
        Doubt::NotSignificant => "not significant among all endpoints".to_owned(),
        Doubt::NoiseUnknown => "noise unknown by one run of few requests on each side".to_owned(),
        Doubt::ReachesBelowLimit => {
            format!(
                "one run on each side leaves {} {}",
                row.interval.map_or_else(String::new, interval),
                change_unit(row.metric)
            )
        }
    }
}

/// A baseline in a few words.
pub fn values(baseline: &Baseline) -> String {
    let metrics = [Metric::P50, Metric::P95, Metric::P99, Metric::ErrorRate];
    let values = metrics
        .iter()
        .filter_map(|metric| Some(format!("{metric} {} {}", value(*metric, baseline.total(*metric)?), metric.unit())));
    let runs = count(baseline.total_runs(Metric::P95).len(), "run");
    format!("{} ({runs})", values.collect::<Vec<_>>().join(", "))
}

fn change_unit(metric: Metric) -> &'static str {
    if metric == Metric::ErrorRate { "pp" } else { "%" }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn series_name(row: &Row) -> String {
    row.endpoint.map_or_else(|| row.metric.to_string(), |endpoint| format!("{} {}", name(endpoint), row.metric))
}

pub fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "PASS",
        Verdict::Fail => "FAIL",
    }
}

pub fn word(status: Status) -> &'static str {
    match status {
        Status::Fail => "FAIL",
        Status::Warn => "WARN",
        Status::Ok => "ok",
        Status::BelowResolution => "ok (below resolution)",
        Status::New => "NEW",
        Status::NoBaseline => "no baseline",
        Status::Shown => "",
    }
}

/// A value without its unit: as many digits as help.
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

/// Signed, in percent or percentage points; as many digits as keep it apart from the limit that it exceeds.
fn change(row: &Row) -> String {
    let Some(change) = row.change else { return "n/a".to_owned() };
    let unit = change_unit(row.metric);
    let least_digits = if row.metric == Metric::ErrorRate { 2 } else { 1 };
    let allowed = row.limit.and_then(|limit| limit.worsening).filter(|_| row.status.is_finding());
    let looks_equal = |digits: usize| {
        allowed.is_some_and(|allowed| format!("{:.digits$}", change.abs()) == format!("{allowed:.digits$}"))
    };
    let digits = (least_digits..8).find(|digits| !looks_equal(*digits)).unwrap_or(least_digits);
    // No change is +0.0, never -0.0.
    let rounded: f64 = format!("{change:.digits$}").parse().unwrap_or(change);
    format!("{:+.digits$}{unit}", if rounded == 0.0 { 0.0 } else { rounded })
}

fn limit_text(metric: Metric, limit: &Limit) -> String {
    let (sign, bound_word) = if metric == Metric::RequestsPerSec { ("-", "min") } else { ("+", "max") };
    let (relative_unit, floor_unit) = if metric == Metric::ErrorRate { ("pp", "pp") } else { ("%", metric.unit()) };
    let worsening = limit.worsening.map(|worsening| {
        let floor = limit.floor.map_or_else(String::new, |floor| format!(" & {floor}{floor_unit}"));
        format!("{sign}{worsening}{relative_unit}{floor}")
    });
    let bound = limit.bound.map(|bound| format!("{bound_word} {bound}{}", metric.unit()));
    [worsening, bound].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// An endpoint's name as every report for people shows it.
pub fn name(endpoint: &str) -> String {
    cut(&printable(endpoint), NAME_WIDTH)
}

/// Text of at most so many columns, of which the middle is left out: both ends of a path tell it from others.
pub fn cut(text: &str, width: usize) -> String {
    // A mark that takes no column counts too, since a name may hold any number of them.
    let columns = |c: char| c.width().unwrap_or(0).max(1);
    if text.chars().map(columns).sum::<usize>() <= width {
        return text.to_owned();
    }
    let of_head = width.saturating_sub(1).div_ceil(2);
    let fitting = |characters: &mut dyn Iterator<Item = char>, mut room: usize| -> Vec<char> {
        characters.take_while(|c| room.checked_sub(columns(*c)).map(|left| room = left).is_some()).collect()
    };
    let head = fitting(&mut text.chars(), of_head);
    let tail = fitting(&mut text.chars().rev(), width.saturating_sub(1) - of_head);
    head.into_iter().chain(['…']).chain(tail.into_iter().rev()).collect()
}

/// For the text of an element and for a quoted attribute, in HTML and in XML.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Failures before warnings before the rest.
pub fn rank(row: &Row) -> u8 {
    match row.status {
        Status::Fail => 0,
        Status::Warn => 1,
        // There is nothing to hold it against.
        Status::New => 2,
        Status::Ok | Status::BelowResolution => 3,
        Status::NoBaseline | Status::Shown => 4,
    }
}

/// Worst first: by [`rank`], then by how much of its limit a series takes up.
pub fn by_severity(a: &Row, b: &Row) -> Ordering {
    // What is missing has no value, and is worse than any.
    let strain =
        |row: &Row| row.candidate.map_or(f64::INFINITY, |value| row.strain(value).unwrap_or(f64::NEG_INFINITY));
    rank(a).cmp(&rank(b)).then_with(|| strain(b).total_cmp(&strain(a)))
}

/// `8402e029a80f`, or `8402e029a80f with changes`.
pub fn shown_commit(commit: &str, dirty: bool) -> String {
    let short: String = commit.chars().take(12).collect();
    if dirty { format!("{short} with changes") } else { short }
}

/// A name from a result file, fit to print on one line: it may hold newlines, terminal escapes and marks that turn the
/// direction of writing.
pub fn printable(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        if is_unprintable(c) {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    text
}

/// An error as it is told: on one line, whatever it quotes, no longer than a person reads, and without the password of a
/// URL. Both ends stay: what is wrong where, and the next step.
pub fn error_line(error: &anyhow::Error) -> String {
    cut(&printable(&mask::text(&format!("{error:#}"))), 1000)
}

/// What breaks a line, steers a terminal, turns the direction of writing, or is no character at all (XML forbids those
/// that it knows of).
fn is_unprintable(c: char) -> bool {
    let breaks_line = matches!(c, '\u{2028}' | '\u{2029}');
    let turns_direction =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || breaks_line || turns_direction || matches!(c, '\u{fffe}' | '\u{ffff}')
}
