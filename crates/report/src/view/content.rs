//! The content of a report: every cell and sentence is made here once, and a format only arranges them.

use std::cmp::Ordering;

use judge::model::run::{Metric, Provenance, Run};
use judge::model::text::endpoint_shown;
use judge::parse::locust_history::History;
use judge::verdict::compare::{Comparison, LEAST_SAMPLES, Verdict};
use judge::verdict::decision::{Decision, FewSamples, Presence, Reason, Row, Unsettled};

use crate::view::background::Background;
use crate::view::confirmation::{Confirmation, Stored};
use crate::view::further::{self, accepted_text};
use crate::view::saved::Saved;
use crate::view::usage;
pub use crate::view::words::Finding;
use crate::view::words::{
    LEAST_SHOWN, Status, Tone, change, count, interval_text, interval_words, limit_text, listed, noise_advice,
    noise_text, over_limit, series_of, value,
};

/// Everything that a format shows.
#[derive(Clone)]
pub struct Report<'a> {
    /// The findings, and the verdict.
    pub comparison: &'a Comparison<'a>,
    /// The baseline's response times in ms at each of [`judge::model::run::PERCENTILES`]; empty where it does not know them.
    pub distribution: &'a [f64],
    /// The candidate's runs.
    pub runs: &'a [Run],
    /// The candidate's runs over time, or why that is not known.
    pub histories: &'a [Result<History, String>],
    /// The circumstances of both measurements.
    pub provenance: Sides<&'a Provenance>,
    /// The origin of the baseline, as a sentence.
    pub baseline: String,
    /// The facts that weaken the comparison, a sentence each.
    pub warnings: Vec<String>,
    /// The commit, load, machine, versions and times, a line each, for `--verbose`.
    pub details: Vec<String>,
    /// The facts beside the numbers.
    pub background: &'a Background,
    /// The second look at a FAIL by the stored numbers; `None` where there was none.
    pub confirmation: Option<&'a Confirmation<'a>>,
}

/// Something of both sides.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Sides<T> {
    /// The baseline's.
    pub baseline: T,
    /// The candidate's.
    pub candidate: T,
}

/// The message of a command that judged nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Unjudged {
    /// It could not judge, for this reason.
    NoVerdict(String),
    /// A baseline was saved, and there was none to compare with.
    BaselineSaved(Saved),
    /// The same in CI, where a baseline that nobody commits lets everything pass.
    NoBaseline(Saved),
}

impl Unjudged {
    /// Returns the sentence itself.
    pub fn sentence(&self) -> String {
        match self {
            Unjudged::NoVerdict(sentence) => sentence.clone(),
            Unjudged::BaselineSaved(saved) => saved.sentence(),
            Unjudged::NoBaseline(saved) => {
                format!("no baseline: without one this gate would always pass; saved {}", saved.sentence())
            }
        }
    }

    /// Returns the baseline that was saved, if one was.
    pub fn saved(&self) -> Option<&Saved> {
        match self {
            Unjudged::NoVerdict(_) => None,
            Unjudged::BaselineSaved(saved) | Unjudged::NoBaseline(saved) => Some(saved),
        }
    }

    /// Returns the word in front of the sentence.
    pub fn word(&self) -> &'static str {
        match self {
            Unjudged::NoVerdict(_) | Unjudged::NoBaseline(_) => "NO VERDICT",
            Unjudged::BaselineSaved(_) => "BASELINE SAVED",
        }
    }

    /// Returns the exit code of the command.
    pub fn exit_code(&self) -> u8 {
        match self {
            Unjudged::NoVerdict(_) | Unjudged::NoBaseline(_) => 2,
            Unjudged::BaselineSaved(_) => 0,
        }
    }
}

/// A row as text.
#[derive(Clone, Debug, PartialEq)]
pub struct Cells {
    /// The endpoint's name, with which `texts[0]` begins; empty for all requests together.
    pub endpoint: String,
    /// The cells, in the order of [`HEADER`].
    pub texts: [String; 7],
    /// The status, which is the last cell in words.
    pub status: Status,
    /// The tone that a colour and a sign give it.
    pub tone: Tone,
}

/// Findings, worst first.
#[derive(Clone, Debug, PartialEq)]
pub struct Findings {
    /// The findings shown.
    pub shown: Vec<Finding>,
    /// The number of findings left out.
    pub left_out: usize,
}

/// The number of findings that a person reads before the tables, which hold them all: a service that got slower gets
/// slower everywhere.
pub const FINDINGS: usize = 12;

/// The number of endpoints that are shown, the worst ones. Only the JSON holds all of them.
pub const ENDPOINTS: usize = 2000;

/// The number of columns that any other text takes at most, where a format has to end somewhere.
pub const LINE_COLUMNS: usize = 1000;

/// The names of the columns.
pub const HEADER: [&str; 7] = ["metric", "baseline", "candidate", "change", "interval", "limit", "status"];

impl Report<'_> {
    /// Returns the rows of all requests together as text.
    pub fn total_cells(&self) -> Vec<Cells> {
        self.comparison.total.iter().map(cells).collect()
    }

    /// Returns the rows of the endpoints as text.
    pub fn endpoint_cells(&self) -> Vec<Cells> {
        self.comparison.endpoints.iter().map(cells).collect()
    }

    /// Returns what failed or warned, worst first, at most `most` of them.
    pub fn findings(&self, most: usize) -> Findings {
        let findings = findings(self.comparison);
        let mut shown = Vec::new();
        for row in findings.iter().take(most) {
            shown.push(Finding { status: Status::of(row), text: finding(row) });
        }
        Findings { shown, left_out: findings.len().saturating_sub(most) }
    }

    /// Returns what the baseline cannot tell, what the errors make of the latencies, and what weakens the comparison: the
    /// warnings, and a machine that was not theirs alone.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        remarks.extend(self.confirmation_remark());
        if !self.comparison.lacking.is_empty() {
            let names: Vec<&str> = self.comparison.lacking.iter().map(|metric| metric.name()).collect();
            remarks.push(format!(
                "the baseline lacks {}: re-record it with --update-baseline to compare that too",
                names.join(", ")
            ));
        }
        if self.comparison.error_rate_failed() {
            remarks.push("latencies of failing requests are not comparable: fix the errors first".to_owned());
        }
        for row in &self.comparison.total {
            if let Some(few) = row.evidence.few_samples {
                remarks.push(few_samples_text(row, few));
            }
            if let Some(doubt @ Reason::InGap) = row.decision.and_then(Decision::reason) {
                remarks.push(format!(
                    "{} is over its limit ({}), but {}",
                    row.metric,
                    change(row),
                    doubt_text(row, doubt)
                ));
            }
        }
        if self.comparison.total_row(Metric::P95Corrected).is_some_and(Row::is_finding) {
            remarks.push(
                "p95_corrected is the p95 that users arriving on schedule would have seen: it counts the requests that were \
                 not made while users waited for an answer"
                    .to_owned(),
            );
        }
        let endpoints = endpoint_groups(self.comparison).len();
        if endpoints > ENDPOINTS {
            remarks.push(format!(
                "of {endpoints} endpoints the {ENDPOINTS} worst are shown: all of them are in the JSON (--report perf.json)"
            ));
        }
        let p95 = self.comparison.total_row(Metric::P95);
        remarks.extend(p95.and_then(|row| noise_advice(row.evidence.detectable?)));
        remarks.extend(further::notes(self.comparison));
        remarks.extend(self.warnings.iter().cloned());
        remarks.extend(usage::note(self.provenance.baseline, self.provenance.candidate));
        remarks
    }
}

impl<'a> Report<'a> {
    /// Returns the comparison with the stored numbers, where this report is about the rounds that were to confirm it.
    pub fn stored(&self) -> Option<&'a Stored<'a>> {
        match self.confirmation {
            Some(Confirmation::Measured(stored)) => Some(stored),
            Some(Confirmation::Impossible(_)) | None => None,
        }
    }

    /// Returns the rows with a limit of that comparison, of all requests together, as text.
    pub fn stored_cells(&self) -> Vec<Cells> {
        let rows = self.stored().into_iter().flat_map(|stored| &stored.comparison.total);
        rows.filter(|row| row.limit.is_some()).map(cells).collect()
    }

    fn confirmation_remark(&self) -> Option<String> {
        match self.confirmation {
            Some(Confirmation::Impossible(why)) => {
                Some(format!("the FAIL is by the stored numbers alone, and not confirmed: {why}"))
            }
            Some(Confirmation::Measured(_)) if self.comparison.verdict == Verdict::Pass => Some(
                "the stored numbers do not fit this machine: record the baseline on this kind of machine, or compare with --against"
                    .to_owned(),
            ),
            Some(Confirmation::Measured(_)) | None => None,
        }
    }
}

/// Returns what failed or warned, worst first: by status, then by how far it is over its limit.
pub fn findings<'a>(comparison: &'a Comparison<'a>) -> Vec<&'a Row<'a>> {
    let mut findings = comparison.findings();
    findings.sort_by_cached_key(|row| severity(row));
    findings
}

/// Returns the rows of each endpoint that is shown, in the order of the comparison.
pub fn shown_groups<'a>(comparison: &'a Comparison<'a>) -> Vec<&'a [Row<'a>]> {
    let groups = endpoint_groups(comparison);
    if groups.len() <= ENDPOINTS {
        return groups;
    }
    let mut shown: Vec<usize> = (0..groups.len()).collect();
    shown.sort_by_cached_key(|place| groups[*place].iter().map(severity).min());
    shown.truncate(ENDPOINTS);
    shown.sort_unstable();
    shown.into_iter().map(|place| groups[place]).collect()
}

/// Returns the rows of each endpoint, in the order of the comparison.
pub fn endpoint_groups<'a>(comparison: &'a Comparison<'a>) -> Vec<&'a [Row<'a>]> {
    comparison.endpoints.chunk_by(|a, b| a.endpoint == b.endpoint).collect()
}

/// Returns a row as text.
pub fn cells(row: &Row) -> Cells {
    let unit = row.metric.unit();
    let metric = if unit.is_empty() { row.metric.to_string() } else { format!("{} {unit}", row.metric) };
    let endpoint = row.endpoint.map(endpoint_shown).unwrap_or_default();
    let series = if row.endpoint.is_some() { format!("{endpoint} {metric}") } else { metric };
    let number = |number: Option<f64>| number.map_or_else(|| "-".to_owned(), |number| value(row.metric, number));
    let change = match row.presence {
        Presence::Both { .. } => change(row),
        Presence::New { .. } | Presence::Missing { .. } => "-".to_owned(),
    };
    let limit = row.limit.map_or_else(String::new, |limit| limit_text(row.metric, limit));
    let interval = match row.evidence.interval {
        Some(interval) if row.limit.is_some() => interval_text(interval),
        _ => String::new(),
    };
    let status = Status::of(row);
    let status_text = format!("{}{}", status.word(), status_remark(row));
    Cells {
        endpoint,
        texts: [
            series,
            number(row.presence.baseline()),
            number(row.presence.candidate()),
            change,
            interval,
            limit,
            status_text,
        ],
        status,
        tone: Tone::of(row),
    }
}

/// Returns what stands after the status: why it is in doubt.
fn status_remark(row: &Row) -> String {
    if let (true, Some(accepted)) = (row.is_waived(), row.accepted) {
        return format!(" (until {})", accepted.until);
    }
    doubt_remark(row).to_owned()
}

fn doubt_remark(row: &Row) -> &'static str {
    match row.decision.and_then(Decision::reason) {
        Some(Reason::FewSamples(_)) => " (too few requests)",
        Some(Reason::NotSignificant) => " (not significant)",
        Some(Reason::NoiseUnknown | Reason::ReachesBelowLimit) => " (noise unknown)",
        Some(Reason::InGap) => " (in a gap)",
        _ if row.evidence.unsettled.is_some() => "? (inconclusive)",
        Some(Reason::Missing) => " (MISSING)",
        Some(Reason::OneRun) => " (one run)",
        _ if row.endpoint.is_none() && row.evidence.few_samples.is_some() => " (too few requests)",
        _ => "",
    }
}

/// Returns what was found, as a sentence.
pub fn finding(row: &Row) -> String {
    let found = match row.presence {
        Presence::Missing { .. } => format!(
            "{}: no requests in this run (it had some in the baseline)",
            row.endpoint.map_or_else(String::new, endpoint_shown)
        ),
        Presence::New { .. } | Presence::Both { .. } => over_limit(row),
    };
    match row.decision.and_then(Decision::reason) {
        Some(Reason::OneRun) => format!("{found}; {ONE_RUN}"),
        Some(Reason::OverLimit | Reason::OverBound) => match row.accepted {
            Some(accepted) => format!("{found}; it was {}", accepted_text(accepted)),
            None => found,
        },
        _ => found,
    }
}

/// The reason why an endpoint over its limit in one run does not fail.
pub const ONE_RUN: &str = "seen in a single run; an endpoint fails only with two or more";

/// Returns what a series over its limit lacks to be a finding.
pub fn doubt_text(row: &Row, doubt: Reason) -> String {
    match doubt {
        Reason::OneRun => ONE_RUN.to_owned(),
        Reason::OverLimit | Reason::OverBound | Reason::Missing => String::new(),
        Reason::FewSamples(few) => few_samples_text(row, few),
        Reason::NotSignificant => "not significant after correcting for all endpoints".to_owned(),
        Reason::NoiseUnknown => "noise unknown: one run per side, too few requests".to_owned(),
        Reason::ReachesBelowLimit => format!(
            "with one run per side the interval is {}",
            row.evidence.interval.map_or_else(String::new, |interval| interval_words(row.metric, interval))
        ),
        Reason::InGap => {
            "it lies in a gap between fast and slow requests, where it jumps by chance; p90, p98 and the mean are not up"
                .to_owned()
        }
    }
}

/// Returns how few samples a metric rests on.
pub fn few_samples_text(row: &Row, few: FewSamples) -> String {
    let FewSamples { requests, samples } = few;
    let requests = count(requests, "request");
    if row.metric.is_percentile() {
        format!("only {samples} of {requests} are beyond {} ({LEAST_SAMPLES} needed)", row.metric)
    } else {
        format!("{} rests on only {samples} of {requests}", row.metric)
    }
}

/// Returns how many runs the verdict rests on, whether another could change it, and what they could have told.
pub fn evidence(comparison: &Comparison) -> String {
    let (baseline, candidate) = (comparison.runs.baseline, comparison.runs.candidate);
    let runs = if comparison.paired {
        format!("{}, both sides in each", count(candidate, "round"))
    } else {
        format!("{} (baseline: {baseline})", count(candidate, "run"))
    };
    let p95 = comparison.total_row(Metric::P95);
    let Some(detectable) = p95.and_then(|row| row.evidence.detectable) else {
        let endpoints =
            if comparison.rests_on_requests() { "; endpoint intervals come from their own requests" } else { "" };
        return format!("noise unknown after {runs}, so the point estimate decides{endpoints}");
    };
    let answer = match unsettled(comparison) {
        Some(why) => format!("inconclusive after {runs}: {why}"),
        None => format!("conclusive after {runs}"),
    };
    let by_five = match comparison.detectable_by_five {
        Some(detectable) if detectable >= LEAST_SHOWN => {
            format!("; a baseline of five runs would detect p95 changes of {detectable:.1}% or more")
        }
        _ => String::new(),
    };
    format!("{answer}; {}{by_five}", noise_text(detectable))
}

/// Returns why another run may change the verdict, in words.
pub fn unsettled(comparison: &Comparison) -> Option<String> {
    let of_drift = |row: &Row| if comparison.is_of_drift(row) { "the drift of " } else { "" };
    let why = |row: &Row| format!("{}{}", of_drift(row), unsettled_text(row, comparison.runs.candidate));
    let whys: Vec<String> = comparison.unsettled().map(why).collect();
    (!whys.is_empty()).then(|| listed(&whys, ", "))
}

fn unsettled_text(row: &Row, runs: usize) -> String {
    let series = series_of(row);
    let is_over = row.decision.and_then(Decision::reason).is_some();
    match row.evidence.unsettled {
        Some(Unsettled::FewRuns) if runs == 1 => format!("{series} exceeds its limit in a single run"),
        Some(Unsettled::FewRuns) => format!("{series} exceeds its limit in {}", count(runs, "run")),
        Some(Unsettled::Close) => {
            let ends = row.evidence.interval.map_or_else(String::new, |interval| interval_words(row.metric, interval));
            format!("the interval of {series} ({ends}) straddles the limit")
        }
        Some(Unsettled::Open) | None if row.is_failure() => {
            format!("{series} exceeds its limit ({}), but further runs could bring it back within", change(row))
        }
        Some(Unsettled::Open) | None if is_over => {
            format!("{series} exceeds its limit ({}), and further runs could confirm it", change(row))
        }
        Some(Unsettled::Open) | None => {
            format!("{series} is within its limit ({}), but further runs could take it over the limit", change(row))
        }
    }
}

/// Ranks rows: failures before warnings before the rest.
pub fn rank(row: &Row) -> u8 {
    match Status::of(row) {
        Status::Fail => 0,
        Status::Warn => 1,
        // A new one has nothing to be compared with.
        Status::Waived | Status::New => 2,
        Status::InDoubt | Status::Ok | Status::BelowResolution => 3,
        Status::NoBaseline | Status::Shown => 4,
    }
}

/// Orders rows worst first: by [`rank`], then by how much of its limit a series uses up.
pub fn by_severity(a: &Row, b: &Row) -> Ordering {
    severity(a).cmp(&severity(b))
}

/// Returns what [`by_severity`] compares: less is worse.
pub fn severity(row: &Row) -> (u8, i64) {
    // A missing endpoint has no value, and is worse than any.
    let strain = match row.presence {
        Presence::Both { candidate, .. } => row.limit_usage(candidate).unwrap_or(f64::NEG_INFINITY),
        // Without a baseline it can only be over a bound.
        Presence::New { candidate } => row.allowed().map_or(f64::NEG_INFINITY, |allowed| candidate / allowed),
        Presence::Missing { .. } => f64::INFINITY,
    };
    // As `f64::total_cmp` orders numbers, by their bits; more strain is worse, and so less.
    let bits = (-strain).to_bits().cast_signed();
    (rank(row), bits ^ (bits >> 63).cast_unsigned().wrapping_shr(1).cast_signed())
}
