//! A series as a report shows it, and the order of series.

use std::collections::HashMap;

use judge::model::limits::Level;
use judge::model::run::Metric;
use judge::model::text::endpoint_shown;
use judge::verdict::compare::{Comparison, LEAST_SAMPLES};
use judge::verdict::decision::{Decision, FewAnswers, FewSamples, Presence, Reason, Row, Shift};

use crate::view::Finding;
use crate::view::exceptions::accepted_text;
use crate::view::words::{
    Status, Tone, both, change, count, interval_text, interval_words, limit_text, over_limit, tile_name, value, values,
    with_unit,
};

pub const HEADER: [&str; 7] = ["metric", "baseline", "candidate", "change", "interval", "limit", "status"];

// The places of the cells.
pub(crate) const METRIC: usize = 0;
pub(crate) const BASELINE: usize = 1;
pub(crate) const CANDIDATE: usize = 2;
pub(crate) const CHANGE: usize = 3;
pub(crate) const INTERVAL: usize = 4;
pub(crate) const LIMIT: usize = 5;
pub(crate) const STATUS: usize = 6;

/// The share of the limit of p95 by which the change of `p95_corrected` must differ to be worth a row beside it.
const APART: f64 = 0.2;

/// The metrics that a report shows where it has no room for all, in the order of columns.
pub(crate) const SHOWN_METRICS: [Metric; 5] =
    [Metric::P50, Metric::P95, Metric::P99, Metric::ErrorRate, Metric::RequestsPerSec];

/// The metrics that a report shows, with p95 first.
pub(crate) fn shown_p95_first() -> impl Iterator<Item = Metric> {
    [Metric::P95].into_iter().chain(SHOWN_METRICS.into_iter().filter(|metric| *metric != Metric::P95))
}

#[derive(Clone, Debug)]
pub struct SeriesView<'a> {
    pub row: &'a Row<'a>,
    /// The endpoint's name, with which the first cell begins; empty for all requests together.
    pub endpoint: String,
    /// In the order of [`HEADER`].
    pub cells: [String; 7],
    pub status: Status,
    pub tone: Tone,
    pub finding: String,
    pub doubt: Option<DoubtView>,
    /// Less is worse: see [`severity`].
    pub(crate) severity: Severity,
}

/// The evidence that a series over its limit lacks to be a finding, or to fail; for a percentile of all requests together
/// also how few requests it rests on.
#[derive(Clone, Debug)]
pub struct DoubtView {
    pub(crate) reason: &'static str,
    pub(crate) few_samples: Option<FewSamples>,
    pub text: String,
}

impl<'a> SeriesView<'a> {
    pub(crate) fn of(row: &'a Row<'a>) -> SeriesView<'a> {
        SeriesView::with_finding(row, finding)
    }

    /// The series of all requests together, or of an endpoint. If an endpoint has few requests, its p95 comes from the
    /// requests of all runs together, but its p99 is the mean of the runs' p99. So it can be below the p95, and then it is not shown.
    pub(crate) fn all(rows: &'a [Row<'a>]) -> Vec<SeriesView<'a>> {
        let mut all: Vec<SeriesView> = rows.iter().map(SeriesView::of).collect();
        let presence = |metric| rows.iter().find(|row| row.metric == metric).map(|row| row.presence);
        let (Some(p95), Some(p99)) = (presence(Metric::P95), presence(Metric::P99)) else { return all };
        let sides = [(BASELINE, p95.baseline(), p99.baseline()), (CANDIDATE, p95.candidate(), p99.candidate())];
        let shown = |time_ms: Option<f64>| time_ms.map(|time_ms| value(Metric::P95, time_ms));
        let is_below = |p99: Option<f64>, p95| p99.is_some() && p99 < p95 && shown(p99) != shown(p95);
        let is_p99 = |series: &&mut SeriesView| series.row.metric == Metric::P99 && !series.status.is_finding();
        for series in all.iter_mut().filter(is_p99) {
            for (column, _, _) in sides.into_iter().filter(|(_, p95, p99)| is_below(*p99, *p95)) {
                "-".clone_into(&mut series.cells[column]);
                "-".clone_into(&mut series.cells[CHANGE]);
                series.cells[INTERVAL].clear();
            }
        }
        all
    }

    /// The row with these words if it is a finding.
    pub(crate) fn with_finding(row: &'a Row<'a>, finding: impl FnOnce(&Row) -> String) -> SeriesView<'a> {
        let finding = if row.is_finding() { finding(row) } else { String::new() };
        SeriesView {
            row,
            endpoint: row.endpoint.map(endpoint_shown).unwrap_or_default(),
            cells: cells(row),
            status: Status::of(row),
            tone: Tone::of(row),
            finding,
            doubt: doubt(row),
            severity: severity(row),
        }
    }

    pub(crate) fn rank(&self) -> u8 {
        self.severity.0
    }

    pub(crate) fn metric_cell(&self) -> &str {
        self.cells[METRIC][self.endpoint.len()..].trim_start()
    }

    pub(crate) fn change_cell(&self) -> &str {
        if self.cells[CHANGE] == "-" { "" } else { &self.cells[CHANGE] }
    }

    /// Whether it is a p99 that is below the p95.
    pub(crate) fn is_hidden(&self) -> bool {
        self.row.change().is_some() && self.change_cell().is_empty()
    }

    /// How many times its limit the change is, and the limit: `4.2× of +20%`. Only the limit if it did not get worse.
    pub(crate) fn times_limit(&self) -> String {
        let Some(limit) = self.row.limit else { return String::new() };
        let limit = limit_text(self.row.metric, limit);
        let usage = self.row.presence.candidate().and_then(|candidate| self.row.limit_usage(candidate));
        match usage.filter(|usage| *usage >= 0.05 && usage.is_finite() && !self.is_hidden()) {
            Some(usage) if usage < 100.0 => format!("{usage:.1}× of {limit}"),
            Some(usage) => format!("{usage:.0}× of {limit}"),
            None => limit,
        }
    }

    pub(crate) fn limit_change(&self) -> Option<f64> {
        self.row.metric.change(self.row.presence.baseline()?, self.row.allowed()?)
    }
}

fn cells(row: &Row) -> [String; 7] {
    let unit = row.metric.unit();
    let metric = if unit.is_empty() { row.metric.to_string() } else { format!("{} {unit}", row.metric) };
    let series = row.endpoint.map_or_else(|| metric.clone(), |name| format!("{} {metric}", endpoint_shown(name)));
    let number = |number: Option<f64>| number.map_or_else(|| "-".to_owned(), |number| value(row.metric, number));
    let (sides, change) = match row.presence {
        Presence::Both { baseline, candidate } => (values(row.metric, [baseline, candidate]), change(row)),
        one_side => ([one_side.baseline(), one_side.candidate()].map(number), "-".to_owned()),
    };
    let [baseline, candidate] = sides;
    let interval = row.evidence.interval.filter(|_| row.limit.is_some());
    [
        series,
        baseline,
        candidate,
        change,
        interval.map_or_else(String::new, interval_text),
        row.limit.map_or_else(String::new, |limit| limit_text(row.metric, limit)),
        format!("{}{}", Status::of(row).word(), status_remark(row)),
    ]
}

fn status_remark(row: &Row) -> String {
    if let (true, Some(accepted)) = (row.is_waived(), row.accepted) {
        return format!(" (until {})", accepted.until);
    }
    if let (Some(Reason::Shift(Shift { percentile, .. })), None) = (row.reason(), row.evidence.unsettled) {
        return format!(" (by p{percentile})");
    }
    let remark = match row.reason() {
        Some(Reason::FewSamples(_)) => " (too few requests)",
        Some(Reason::NotSignificant) => " (not significant)",
        Some(Reason::NoiseUnknown | Reason::ReachesBelowLimit) => " (noise unknown)",
        Some(Reason::InGap) => " (in a gap)",
        Some(Reason::ByThisChange) => " (by this change)",
        Some(Reason::NotConfirmed) => " (mean not up)",
        _ if row.evidence.unsettled.is_some() => "? (not settled)",
        Some(Reason::Missing) => " (MISSING)",
        Some(Reason::OneRun) => " (one run)",
        _ if row.endpoint.is_none() && row.evidence.few_samples.is_some() => " (too few requests)",
        _ => "",
    };
    remark.to_owned()
}

pub(crate) fn finding(row: &Row) -> String {
    let found = match (row.presence, row.endpoint) {
        (Presence::Missing { .. }, Some(endpoint)) => {
            format!("{}: no requests, but the baseline has some", endpoint_shown(endpoint))
        }
        _ => over_limit(row),
    };
    match (row.reason(), row.accepted) {
        (Some(Reason::OneRun), _) => format!("{found}; {}", one_run(row)),
        (Some(Reason::FewAnswers(few)), _) => few_answers_text(few),
        (Some(Reason::Shift(Shift { percentile, baseline_ms, candidate_ms })), _) => format!(
            "{found}; p{percentile} of all requests: {} → {} ms, which is over the limit of p95, and the mean is up",
            value(Metric::P95, baseline_ms),
            value(Metric::P95, candidate_ms)
        ),
        (Some(Reason::OverLimit | Reason::OverBound), Some(accepted)) => {
            format!("{found}; it was {}", accepted_text(accepted))
        }
        _ => found,
    }
}

fn one_run(row: &Row) -> &'static str {
    if row.is_failure() {
        "seen in a single run, and --strict makes it a FAIL"
    } else {
        "seen in a single run; an endpoint fails only with two or more"
    }
}

fn doubt(row: &Row) -> Option<DoubtView> {
    let doubt = |reason, text: &str| Some(DoubtView { reason, few_samples: None, text: text.to_owned() });
    let few_samples = |few| {
        let text = few_samples_text(row, few);
        Some(DoubtView { reason: "few_samples", few_samples: Some(few), text })
    };
    match row.reason() {
        Some(Reason::OneRun) => doubt("one_run", one_run(row)),
        Some(Reason::FewSamples(few)) => few_samples(few),
        Some(Reason::NotSignificant) => doubt("not_significant", "not significant after correcting for all endpoints"),
        Some(Reason::NoiseUnknown) => doubt("noise_unknown", "noise unknown: one run per side, too few requests"),
        Some(Reason::ReachesBelowLimit) => {
            let ends = row.evidence.interval.map_or_else(String::new, |ends| interval_words(row.metric, ends));
            doubt("reaches_below_limit", &format!("with one run per side the interval is {ends}"))
        }
        Some(Reason::InGap) => doubt(
            "in_gap",
            "it lies in a gap between fast and slow requests, where it jumps by chance; p90, p98 and the mean are not up",
        ),
        Some(Reason::ByThisChange) => {
            doubt("by_this_change", "this change alone exceeds the drift limit, and it fails by its own limit")
        }
        Some(Reason::NotConfirmed) => {
            doubt("not_confirmed", "p95 itself is within its limit, and the mean is not significantly up")
        }
        Some(Reason::FewAnswers(few)) => doubt("few_answers", &few_answers_text(few)),
        Some(Reason::OverLimit | Reason::OverBound | Reason::Missing | Reason::Shift(_)) | None => {
            row.evidence.few_samples.filter(|_| row.endpoint.is_none()).and_then(few_samples)
        }
    }
}

pub(crate) fn few_answers_text(few: FewAnswers) -> String {
    format!("{:.0} requests, and the baseline has {:.0}", few.candidate, few.baseline)
}

fn few_samples_text(row: &Row, few: FewSamples) -> String {
    let FewSamples { requests, samples } = few;
    let requests = count(requests, "request");
    if row.metric.is_percentile() {
        format!("only {samples} of {requests} are beyond {} ({LEAST_SAMPLES} needed)", row.metric)
    } else {
        format!("{} is based on only {samples} of {requests}", row.metric)
    }
}

pub type Severity = (u8, i64);

pub fn severity(row: &Row) -> Severity {
    let rank = match Status::of(row) {
        Status::Fail => 0,
        Status::Warn => 1,
        Status::Waived | Status::New => 2,
        Status::InDoubt | Status::Ok | Status::BelowResolution => 3,
        Status::NoBaseline | Status::Shown => 4,
    };
    (rank, by_limit_usage(row))
}

/// Orders series by how many times their limits they use: less is worse.
pub(crate) fn by_limit_usage(row: &Row) -> i64 {
    let limit_usage = match row.presence {
        Presence::Both { candidate, .. } => row.limit_usage(candidate).unwrap_or(f64::NEG_INFINITY),
        // Without a baseline it can only be over a bound.
        Presence::New { candidate } => row.allowed().map_or(f64::NEG_INFINITY, |allowed| candidate / allowed),
        // A missing endpoint has no value, and is worse than any.
        Presence::Missing { .. } => f64::INFINITY,
    };
    // The order of `f64::total_cmp`, as a number that can be compared.
    let bits = (-limit_usage).to_bits().cast_signed();
    bits ^ (bits >> 63).cast_unsigned().wrapping_shr(1).cast_signed()
}

pub(crate) fn all_findings<'a>(comparison: &'a Comparison<'a>) -> Vec<&'a Row<'a>> {
    let mut findings = comparison.findings();
    findings.sort_by_cached_key(|row| severity(row));
    findings
}

/// The findings as people read them: without those that repeat another one.
pub(crate) fn findings<'a>(comparison: &'a Comparison<'a>) -> Vec<&'a Row<'a>> {
    let mut findings = all_findings(comparison);
    findings.retain(|row| !repeats_p95(comparison, row));
    findings
}

/// The worst series of each endpoint over a blocking limit that could not be judged, for lack of requests or of runs.
pub(crate) fn unjudged_endpoints<'a>(comparison: &'a Comparison<'a>) -> Vec<&'a Row<'a>> {
    let can_fail = |row: &Row| comparison.strict || row.limit.is_some_and(|limit| limit.level == Level::Fail);
    let is_unjudged = |row: &&Row| {
        // A rare endpoint may have no requests in these runs.
        can_fail(row)
            && !row.is_missing()
            && matches!(
                row.decision,
                Some(Decision::InDoubt(Reason::FewSamples(_) | Reason::NoiseUnknown | Reason::ReachesBelowLimit))
            )
            // The time of one request shows nothing, and ids in names leave many such endpoints.
            && !matches!(row.decision, Some(Decision::InDoubt(Reason::FewSamples(few))) if few.requests <= 1)
    };
    let worst = |rows: &'a [Row<'a>]| rows.iter().filter(is_unjudged).min_by_key(|row| severity(row));
    let mut unjudged: Vec<&Row> = endpoint_groups(comparison).filter_map(worst).collect();
    unjudged.sort_by_key(|row| severity(row));
    unjudged
}

/// The requests of a run from which on a percentile can be judged.
pub(crate) fn requests_needed(metric: Metric) -> Option<usize> {
    let one_beyond_of = match metric {
        Metric::P50 => 2,
        Metric::P95 => 20,
        Metric::P99 => 100,
        _ => return None,
    };
    Some(one_beyond_of * LEAST_SAMPLES)
}

/// Whether a series is the `p95_corrected` of a service that did not stall, so that it repeats the p95.
pub(crate) fn repeats_p95(comparison: &Comparison, row: &Row) -> bool {
    if row.metric != Metric::P95Corrected {
        return false;
    }
    let Some(p95) = comparison.total_row(Metric::P95) else { return false };
    let limit = p95.limit.and_then(|limit| limit.worsening);
    let (Some(limit), Some(change), Some(corrected)) = (limit, p95.change(), row.change()) else { return false };
    (change - corrected).abs() <= APART * limit
        && Status::of(p95) == Status::of(row)
        && p95.evidence.unsettled.is_some() == row.evidence.unsettled.is_some()
}

/// The series that WARN or FAIL, an endpoint's together: its worst one, and the others in short. All requests together are
/// one group too.
pub(crate) fn grouped_findings<'a>(comparison: &'a Comparison<'a>) -> Vec<Finding<'a>> {
    let mut groups: Vec<Vec<&Row>> = Vec::new();
    let mut places = HashMap::new();
    for row in findings(comparison) {
        let place = *places.entry(row.endpoint).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Vec::new());
        }
        groups[place].push(row);
    }
    let finding = |group: Vec<&'a Row<'a>>| {
        let others: Vec<String> = group[1..].iter().map(|row| format!("{} {}", row.metric, change(row))).collect();
        let limits = if others.len() == 1 { "its limit" } else { "their limits" };
        let also =
            if others.is_empty() { String::new() } else { format!("; also over {limits}: {}", others.join(", ")) };
        Finding { also, ..Finding::of(group[0]) }
    };
    groups.into_iter().map(finding).collect()
}

/// The endpoints that are new, with which nothing is compared. None is new to a baseline without endpoints.
pub(crate) fn new_endpoints(comparison: &Comparison) -> Option<String> {
    let is_any_known = comparison.endpoints.iter().any(|row| !matches!(row.presence, Presence::New { .. }));
    let mut names = Vec::new();
    for row in comparison.endpoints.iter().filter(|row| Status::of(row) == Status::New && row.metric == Metric::P95) {
        if let (true, Some(endpoint), Presence::New { candidate }) = (is_any_known, row.endpoint, row.presence) {
            names.push(format!("{} p95 {}", endpoint_shown(endpoint), with_unit(Metric::P95, candidate)));
        }
    }
    let shown = match &names[..] {
        [] => return None,
        [only] => only.clone(),
        [first, others @ ..] => format!("{first} and {} more", others.len()),
    };
    let until = if comparison.paired {
        "the other commit has no such requests"
    } else {
        "not compared until the baseline is updated"
    };
    Some(format!("{shown}: {until}"))
}

#[derive(Clone, Debug)]
pub struct EndpointView<'a> {
    pub name: &'a str,
    pub series: Vec<SeriesView<'a>>,
}

impl<'a> EndpointView<'a> {
    pub(crate) fn all(comparison: &'a Comparison<'a>) -> Vec<EndpointView<'a>> {
        let view = |rows: &'a [Row<'a>]| Some(EndpointView { name: rows[0].endpoint?, series: SeriesView::all(rows) });
        endpoint_groups(comparison).filter_map(view).collect()
    }

    /// Of its worst series.
    pub(crate) fn severity(&self) -> Option<Severity> {
        self.series.iter().map(|series| series.severity).min()
    }

    pub(crate) fn is_failing(&self) -> bool {
        self.series.iter().any(|series| series.status == Status::Fail)
    }
}

pub(crate) fn endpoint_groups<'a>(comparison: &'a Comparison<'a>) -> impl Iterator<Item = &'a [Row<'a>]> {
    comparison.endpoints.chunk_by(|a, b| a.endpoint == b.endpoint)
}

#[derive(Clone, Debug)]
pub(crate) struct Tile {
    pub(crate) name: String,
    pub(crate) tone: Tone,
    pub(crate) big: String,
    pub(crate) values: String,
    pub(crate) interval: String,
    pub(crate) limit: String,
}

impl Tile {
    /// `first` leads them.
    pub(crate) fn all(comparison: &Comparison, first: Option<Tile>) -> Vec<Tile> {
        let of_tiles = [Metric::P95, Metric::P95Corrected].into_iter().chain(shown_p95_first().skip(1));
        let rows = of_tiles.filter_map(|metric| comparison.total_row(metric));
        let rows = rows.filter(|row| !repeats_p95(comparison, row));
        let mut tiles: Vec<Tile> = first.into_iter().chain(rows.map(Tile::of)).collect();
        // The others repeat only its numbers.
        if let Some(tile) = tiles.iter_mut().find(|tile| !tile.interval.is_empty()) {
            tile.interval.insert_str(0, "95% interval ");
        }
        tiles
    }

    pub(crate) fn of(row: &Row) -> Tile {
        let now = row.presence.candidate().map_or_else(|| "–".to_owned(), |now| with_unit(row.metric, now));
        let (big, values) = match row.presence {
            Presence::Both { baseline, candidate } => {
                let [before, after] = values(row.metric, [baseline, candidate]);
                let values =
                    if before == after { format!("unchanged, {now}") } else { both(row.metric, baseline, candidate) };
                (if row.metric == Metric::ErrorRate { now } else { change(row) }, values)
            }
            Presence::New { .. } | Presence::Missing { .. } => (now, "no baseline".to_owned()),
        };
        let limit = row.limit.map_or_else(
            || "no limit".to_owned(),
            |limit| {
                let level = if limit.level == Level::Warn { ", only warns" } else { "" };
                format!("limit {}{level}", limit_text(row.metric, limit))
            },
        );
        // Runs that are all equal have no interval to show.
        let interval = row.evidence.interval.filter(|ends| row.limit.is_some() && ends.low < ends.high);
        Tile {
            name: tile_name(row.metric).to_owned(),
            tone: Tone::of(row),
            big,
            values,
            interval: interval.map_or_else(String::new, |ends| interval_words(row.metric, ends)),
            limit,
        }
    }
}
