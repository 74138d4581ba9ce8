//! The content of a report: every cell and sentence is made here once, and a format only arranges them.

pub(crate) mod acceptance;
pub(crate) mod arguments;
pub mod changes;
pub(crate) mod charts;
pub mod drift;
pub mod evidence;
pub mod exceptions;
pub(crate) mod facts;
pub mod headline;
pub(crate) mod input;
pub mod next;
mod notes;
pub mod series;
pub(crate) mod unjudged;
pub mod usage;
pub mod words;

use judge::model::run::{Metric, is_hash, is_setup};
use judge::verdict::compare::{Comparison, RunCounts, Verdict};
use judge::verdict::decision::Row;

use crate::view::acceptance::ACCEPT;
use crate::view::changes::{ChangeView, unexplained};
use crate::view::charts::ChartData;
use crate::view::drift::DriftView;
use crate::view::facts::Fact;
use crate::view::headline::Headline;
use crate::view::input::{Report, Sides, Stored};
use crate::view::next::NextStep;
use crate::view::series::{EndpointView, STATUS, SeriesView, Tile};
use crate::view::words::{Status, Tone, shown_side};

/// The number of endpoints that are shown, the worst ones. Only the JSON has all of them.
pub(crate) const ENDPOINTS: usize = 2000;

/// The number of findings that a person reads: a service that got slower gets slower everywhere, and the tables have all.
pub(crate) const FINDINGS: usize = 12;

/// The number of columns of any other text, if a format has to end somewhere.
pub(crate) const LINE_COLUMNS: usize = 1000;

/// A report as every format shows it: from the answer to the details.
pub struct View<'a> {
    pub(crate) report: &'a Report<'a>,
    pub headline: Headline,
    pub(crate) tone: Tone,
    pub is_conclusive: bool,
    pub(crate) tiles: Vec<Tile>,
    /// The series that WARN or FAIL, worst first: those of an endpoint in one sentence.
    pub findings: Vec<Finding<'a>>,
    pub series_findings: Vec<Finding<'a>>,
    pub traffic: Vec<Finding<'a>>,
    pub drift: Option<DriftView<'a>>,
    pub(crate) new_endpoints: Option<Finding<'a>>,
    pub exception_findings: Vec<Finding<'a>>,
    pub(crate) exceptions: String,
    pub notes: Vec<String>,
    pub(crate) repeated_notes: Vec<String>,
    pub evidence: String,
    pub(crate) evidence_short: String,
    pub(crate) evidence_brief: String,
    /// The answer to "Can I trust it?", and whether anything but the code differs.
    pub(crate) trust: &'static str,
    pub(crate) same_place: &'static str,
    pub next: Vec<NextStep>,
    /// Entries of the configuration that accept a FAIL for a while; mostly empty.
    pub(crate) acceptance: String,
    /// The comparison with the stored numbers, if rounds were to confirm it.
    pub(crate) stored: Option<StoredView<'a>>,
    pub total: Vec<SeriesView<'a>>,
    pub endpoints: Vec<EndpointView<'a>>,
    /// What changed with the latencies that are over their limits; `None` if none is.
    pub(crate) changes: Option<Vec<ChangeView<'a>>>,
    worst_first: Vec<usize>,
    pub(crate) sides: Sides<String>,
    pub(crate) usage: Vec<String>,
    pub(crate) facts: Vec<Fact>,
    /// The candidate, its load, machine and versions, and the other details, a line each, for `--verbose`.
    pub(crate) details: Vec<String>,
    pub(crate) charts: ChartData<'a>,
}

/// A sentence about what FAILs, WARNs, is WAIVED or NEW.
#[derive(Clone, Debug)]
pub struct Finding<'a> {
    pub status: Status,
    pub text: String,
    /// The other metrics of the endpoint that are over their limits, as they follow the text; mostly empty.
    pub also: String,
    /// The worst series; `None` for a drift, an exception and new endpoints.
    pub row: Option<&'a Row<'a>>,
}

impl<'a> Finding<'a> {
    fn of(row: &'a Row<'a>) -> Finding<'a> {
        Finding { row: Some(row), ..Finding::new(Status::of(row), series::finding(row)) }
    }

    fn new(status: Status, text: String) -> Finding<'a> {
        Finding { status, text, also: String::new(), row: None }
    }

    pub fn sentence(&self) -> String {
        format!("{}{}", self.text, self.also)
    }
}

pub(crate) struct StoredView<'a> {
    pub(crate) headline: Headline,
    pub(crate) origin: &'a str,
    pub(crate) runs: RunCounts,
    pub(crate) judged: Vec<SeriesView<'a>>,
    pub(crate) all: Vec<SeriesView<'a>>,
}

impl<'a> View<'a> {
    pub fn of(report: &'a Report<'a>) -> View<'a> {
        let comparison = report.comparison;
        let Sides { baseline, candidate } = report.provenance;
        let total = SeriesView::all(&comparison.total);
        let endpoints = EndpointView::all(comparison);
        let of_traffic = if comparison.strict { Status::Fail } else { Status::Warn };
        let acceptance = acceptance::entries(report);
        View {
            report,
            headline: Headline::of_report(report),
            tone: tone(comparison),
            // A single run on each side shows no noise, so its PASS does not show that a change would have been detected.
            is_conclusive: comparison.is_conclusive()
                && (comparison.verdict == Verdict::Fail || evidence::detectable(comparison).is_some()),
            tiles: Tile::all(comparison, drift::tile(comparison)),
            findings: series::grouped_findings(comparison),
            series_findings: series::all_findings(comparison).into_iter().map(Finding::of).collect(),
            drift: DriftView::of(comparison),
            new_endpoints: series::new_endpoints(comparison).map(|text| Finding::new(Status::New, text)),
            traffic: comparison.traffic.iter().map(|change| Finding::new(of_traffic, change.text())).collect(),
            exception_findings: exceptions::findings(comparison),
            exceptions: exceptions::summary(comparison),
            notes: notes::notes(report, &total, endpoints.len()),
            repeated_notes: notes::repeated(report, &total),
            evidence: evidence::evidence(comparison),
            evidence_short: evidence::short(comparison),
            evidence_brief: evidence::brief(comparison),
            trust: evidence::trust(report),
            same_place: evidence::same_place(report),
            next: next::steps(report, &acceptance),
            acceptance,
            stored: report.stored().map(StoredView::of),
            worst_first: worst_first(&endpoints),
            total,
            endpoints,
            changes: changes::changes(report),
            sides: Sides { baseline: shown_side(baseline), candidate: shown_side(candidate) },
            usage: usage::details(baseline, candidate),
            details: facts::details(report),
            facts: Fact::all(report),
            charts: ChartData::of(report),
        }
    }

    /// The findings that are no series: of the traffic, the drift, the exceptions, and about new endpoints.
    pub(crate) fn other_findings(&self) -> impl Iterator<Item = &Finding<'a>> {
        self.findings_with(&self.exception_findings)
    }

    /// The findings that are no series, with these of the exceptions.
    pub(crate) fn findings_with<'v>(&'v self, exceptions: &'v [Finding<'a>]) -> impl Iterator<Item = &'v Finding<'a>> {
        let drift = self.drift.iter().filter_map(|drift| drift.finding.as_ref());
        self.traffic.iter().chain(drift).chain(exceptions).chain(&self.new_endpoints)
    }

    /// The metrics of all requests together that have something to show: a limit, and not the p95 once more.
    pub(crate) fn main_metrics(&self) -> impl Iterator<Item = &SeriesView<'a>> {
        self.total
            .iter()
            .filter(|series| series.status != Status::Shown && !series::repeats_p95(self.report.comparison, series.row))
    }

    /// A status. If the verdict is conclusive, a failure that more runs could still change is no open question any more.
    pub(crate) fn status_cell<'v>(&self, series: &'v SeriesView) -> &'v str {
        let is_settled = self.is_conclusive && series.row.is_failure() && !series.row.is_missing();
        if is_settled { series.status.word() } else { &series.cells[STATUS] }
    }

    /// The rows that show the most, at most three: those over their limits, or else p95 and the other main metrics.
    pub(crate) fn worst_rows(&self) -> Vec<SeriesView<'a>> {
        const MOST: usize = 3;
        let drift = self.drift.iter().filter(|drift| drift.is_the_failure).flat_map(|drift| &drift.series);
        let drift = drift.filter(|series| series.status.is_finding()).map(|series| series.row);
        let mut rows: Vec<&'a Row> = drift.chain(self.findings.iter().filter_map(|finding| finding.row)).collect();
        rows.extend(series::unjudged_endpoints(self.report.comparison));
        let mut others: Vec<&SeriesView> = self.main_metrics().collect();
        others.sort_by_key(|series| (series.row.metric != Metric::P95, series.severity));
        for series in others {
            if rows.iter().all(|row| !std::ptr::eq(*row, series.row)) {
                rows.push(series.row);
            }
        }
        rows.into_iter().take(MOST).map(SeriesView::of).collect()
    }

    /// GitHub's page with the commits between the two sides; empty if it is not known.
    pub(crate) fn compare_url(&self) -> String {
        let Sides { baseline, candidate } = self.report.provenance;
        match self.report.background.run_url.split_once("/actions/runs/") {
            Some((repository, _))
                if baseline.host.is_empty() && is_hash(&baseline.commit) && is_hash(&candidate.commit) =>
            {
                format!("{repository}/compare/{}...{}", baseline.commit, candidate.commit)
            }
            _ => String::new(),
        }
    }

    pub(crate) fn worst_endpoints(&self) -> impl Iterator<Item = &EndpointView<'a>> {
        self.worst_first.iter().map(|place| &self.endpoints[*place])
    }

    pub(crate) fn shown_endpoints(&self) -> impl Iterator<Item = &EndpointView<'a>> {
        let mut places = self.worst_first.clone();
        places.sort_unstable();
        places.into_iter().map(|place| &self.endpoints[place])
    }

    /// The series of these endpoints, worst first, and below them those of `on_start`.
    pub(crate) fn worst_series(&self) -> Vec<&SeriesView<'a>> {
        let mut series: Vec<&SeriesView> = self.shown_endpoints().flat_map(|endpoint| &endpoint.series).collect();
        series.sort_by_key(|series| (series.row.endpoint.is_some_and(is_setup), series.severity));
        series
    }

    pub(crate) fn acceptance_heading(&self) -> String {
        format!("{ACCEPT}, add this to {} with a reason", self.report.background.config)
    }

    /// A sentence for each change, or the only one if nothing explains the slowdown.
    pub(crate) fn change_lines(&self) -> Vec<&str> {
        match &self.changes {
            Some(changes) if changes.is_empty() => vec![unexplained(self.report.comparison)],
            changes => changes.iter().flatten().map(|change| change.text.as_str()).collect(),
        }
    }
}

fn worst_first(endpoints: &[EndpointView]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..endpoints.len()).collect();
    places.sort_by_key(|place| endpoints[*place].severity());
    places.truncate(ENDPOINTS);
    places.sort_by_key(|place| is_setup(endpoints[*place].name));
    places
}

impl<'a> StoredView<'a> {
    fn of(Stored { comparison, baseline_origin }: &'a Stored<'a>) -> StoredView<'a> {
        StoredView {
            headline: Headline::of(comparison),
            origin: baseline_origin,
            runs: comparison.runs,
            judged: comparison.total.iter().filter(|row| row.limit.is_some()).map(SeriesView::of).collect(),
            all: comparison.total.iter().chain(&comparison.endpoints).map(SeriesView::of).collect(),
        }
    }
}

/// A PASS is green only if nothing weakens it.
fn tone(comparison: &Comparison) -> Tone {
    match comparison.verdict {
        Verdict::Fail => Tone::Fail,
        Verdict::Inconclusive => Tone::Unsure,
        Verdict::Pass if !comparison.is_conclusive() => Tone::Unsure,
        Verdict::Pass if comparison.has_remarkable() || !series::unjudged_endpoints(comparison).is_empty() => {
            Tone::Warn
        }
        Verdict::Pass => Tone::Ok,
    }
}
