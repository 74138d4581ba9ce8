//! Baseline + runs + rules -> [`Comparison`] -> [`Verdict`]. The verdict is computed here and nowhere else: `series`
//! makes the evidence of each series, `decision` decides on it, and `stopping` finds out whether another run may change
//! that.

use std::ptr;

use anyhow::{Result, bail};

use crate::baseline::chain::Version;
use crate::baseline::file::Baseline;
use crate::model::limits::{Accepted, Inconclusive, JUDGED, Level, Rules};
use crate::model::run::{EndpointName, LEAST_REQUESTS, Metric, Resolution, Run};
use crate::verdict::accepted::{Exception, ExceptionState, exceptions};
use crate::verdict::cpu::{self, CpuUnjudged};
use crate::verdict::decision::{Decision, Evidence, Judge, Presence, Reason, Row};
use crate::verdict::endpoints::Coverage;
use crate::verdict::sensitivity::{Sensitivity, max_runs, resolution};
pub use crate::verdict::series::LEAST_SAMPLES;
use crate::verdict::traffic::{TrafficChange, traffic_changes};

/// Against a baseline of one run, only the candidate's runs show the noise.
const LEAST_RUNS_AGAINST_ONE: usize = 3;

/// The least share of its side's median number of requests: a run with less was no run of that load.
const LEAST_SHARE_OF_MEDIAN: f64 = 0.1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    /// No series fails, but the runs could not show that p95 or `p95_corrected` is within its limit.
    Inconclusive,
    Fail,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunCounts {
    pub baseline: usize,
    pub candidate: usize,
}

/// The earlier baseline that a drift is measured from (docs/statistics.md, "Many small steps").
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Anchor<'a> {
    pub version: &'a Version,
    pub name: Option<&'a str>,
    pub updates: &'a [Version],
}

#[derive(Clone, Debug, PartialEq)]
pub struct Drift<'a> {
    pub anchor: Anchor<'a>,
    /// The series of both sides that have a drift limit. An endpoint that came or went was accepted with its update.
    pub rows: Vec<Row<'a>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Comparison<'a> {
    /// In the order of [`Metric::ALL`].
    pub total: Vec<Row<'a>>,
    /// Of a new endpoint only the p95, and metrics with a bound.
    pub endpoints: Vec<Row<'a>>,
    pub lacking: Vec<Metric>,
    pub runs: RunCounts,
    pub paired: bool,
    /// Of p95 and the error rate, the metrics on which the gate cannot fail, since their limits were lowered.
    pub cannot_fail: Vec<Metric>,
    pub strict: bool,
    pub verdict: Verdict,
    pub inconclusive: Inconclusive,
    pub least_runs: usize,
    pub max_runs: usize,
    pub coverage: Coverage<'a>,
    pub resolution: Resolution,
    /// For a baseline of one run: the smallest change of p95 that is detectable with 80% power, if it had five.
    pub detectable_by_five: Option<f64>,
    /// Whether p95 could have changed by more than its limit without being detected.
    is_insensitive: bool,
    pub exceptions: Vec<Exception<'a>>,
    pub cpu_unjudged: Option<CpuUnjudged>,
    pub drift: Option<Drift<'a>>,
    /// Changes of what endpoints answer and how often they are asked. Each is a warning.
    pub traffic: Vec<TrafficChange<'a>>,
}

impl<'a> Comparison<'a> {
    #[must_use = "the comparison with its drift is returned"]
    pub fn with_drift(mut self, anchor: Anchor<'a>, runs: &'a [Run], rules: &'a Rules) -> Result<Comparison<'a>> {
        let Comparison { total, endpoints, least_runs, .. } = compare(&anchor.version.baseline, runs, rules)?;
        let is_judged = |row: &Row| row.limit.is_some() && matches!(row.presence, Presence::Both { .. });
        let rows = total.into_iter().chain(endpoints).filter(is_judged).map(|row| self.drift_row(row));
        let rows: Vec<Row> = rows.collect();
        if rows.iter().any(Row::is_failure) {
            self.verdict = Verdict::Fail;
            // An anchor of one run leaves the noise unknown, and one run against it may have met a busy neighbour.
            self.least_runs = self.least_runs.max(least_runs);
        }
        self.drift = Some(Drift { anchor, rows });
        Ok(self)
    }

    /// A series that fails by this change alone is no finding of the drift too, since nothing accepted has brought it.
    fn drift_row(&self, row: Row<'a>) -> Row<'a> {
        let is_by_this_change = row.is_finding()
            && self
                .row(row.endpoint, row.metric)
                .is_some_and(|own| own.is_failure() && row.limit.is_some_and(|limit| own.exceeds_worsening_of(limit)));
        if !is_by_this_change {
            return row;
        }
        let evidence = Evidence { unsettled: None, ..row.evidence };
        Row { decision: Some(Decision::InDoubt(Reason::ByThisChange)), evidence, ..row }
    }

    pub fn row(&self, endpoint: EndpointName, metric: Metric) -> Option<&Row<'a>> {
        self.own_rows().find(|row| row.endpoint == endpoint && row.metric == metric)
    }

    /// The exceptions that nothing needs. They are made for the baseline: a comparison of rounds may have the slower
    /// service on both sides.
    pub fn unused_exceptions(&self) -> impl Iterator<Item = &'a Accepted> {
        let unused =
            self.exceptions.iter().filter(|exception| !self.paired && exception.state == ExceptionState::Unused);
        unused.map(|exception| exception.accepted)
    }

    pub fn has_failed_itself(&self) -> bool {
        self.own_rows().any(Row::is_failure) || self.strict && !self.traffic.is_empty()
    }

    pub fn has_remarkable(&self) -> bool {
        self.rows().any(|row| row.is_finding() || row.is_waived())
            || !self.traffic.is_empty()
            || self.unused_exceptions().next().is_some()
    }

    fn own_rows(&self) -> impl Iterator<Item = &Row<'a>> {
        self.total.iter().chain(&self.endpoints)
    }

    fn rows(&self) -> impl Iterator<Item = &Row<'a>> {
        self.own_rows().chain(self.drift.iter().flat_map(|drift| &drift.rows))
    }

    pub fn total_row(&self, metric: Metric) -> Option<&Row<'a>> {
        self.total.iter().find(|row| row.metric == metric)
    }

    /// The rows that warn or fail: failures before warnings, all requests before endpoints, errors first.
    pub fn findings(&self) -> Vec<&Row<'_>> {
        let mut findings: Vec<&Row> = self.own_rows().filter(|row| row.is_finding()).collect();
        findings.sort_by_key(|row| {
            let rank = JUDGED.iter().position(|metric| *metric == row.metric);
            (!row.is_failure(), row.endpoint.is_some(), rank)
        });
        findings
    }

    /// The series by which another run may change the verdict: empty if some failure is already final.
    pub fn unsettled(&self) -> impl Iterator<Item = &Row<'_>> {
        let is_final = self.rows().any(|row| row.is_failure() && row.evidence.unsettled.is_none());
        self.rows().filter(move |row| !is_final && row.evidence.unsettled.is_some())
    }

    pub fn is_of_drift(&self, row: &Row) -> bool {
        self.drift.as_ref().is_some_and(|drift| drift.rows.iter().any(|of_drift| ptr::eq(of_drift, row)))
    }

    pub fn exit_code(&self) -> u8 {
        match (self.verdict, self.inconclusive) {
            (Verdict::Fail, _) => 1,
            (Verdict::Inconclusive, Inconclusive::NoVerdict) => 2,
            (Verdict::Pass | Verdict::Inconclusive, _) => 0,
        }
    }

    /// Whether the verdict is settled, and a pass rests on runs that could have shown a change as large as the limit.
    pub fn is_conclusive(&self) -> bool {
        self.is_settled() && (self.verdict == Verdict::Fail || !self.is_insensitive)
    }

    pub fn is_settled(&self) -> bool {
        self.unsettled().next().is_none()
    }

    /// Until the verdict is settled, within the runs allowed.
    pub fn wants_another_run(&self) -> bool {
        let made = self.runs.candidate;
        made < self.least_runs || (made < self.max_runs && !self.is_settled())
    }

    pub fn rests_on_requests(&self) -> bool {
        self.runs == RunCounts { baseline: 1, candidate: 1 }
            && self.endpoints.iter().any(|row| row.evidence.interval.is_some())
    }

    pub fn is_proven_by_few_answers(&self) -> bool {
        let reason = self.total_row(Metric::P95).and_then(Row::reason);
        matches!(reason, Some(Reason::FewAnswers(few)) if few.is_proven)
    }

    pub fn error_rate_failed(&self) -> bool {
        self.total_row(Metric::ErrorRate).is_some_and(Row::is_failure)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooFewRequests {
    pub run: usize,
    pub why: String,
}

/// The first run with fewer than `min_requests` or less than a tenth of the median of its side. The other side does not
/// matter: a service that is three times slower answers a third of the requests.
pub fn too_few_requests(requests: &[u64], min_requests: u64) -> Option<TooFewRequests> {
    let mut sorted = requests.to_vec();
    sorted.sort_unstable();
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
    for (run, requests) in requests.iter().enumerate() {
        let why = if *requests < min_requests {
            format!(
                "it has {requests} requests, and at least {min_requests} are needed to judge it: lengthen the run, or add users"
            )
        } else if (*requests as f64) < LEAST_SHARE_OF_MEDIAN * median as f64 {
            format!(
                "it has {requests} requests, far below the median of {median}: probably a different load; drop it or re-run"
            )
        } else {
            continue;
        };
        return Some(TooFewRequests { run, why });
    }
    None
}

/// The judged metrics that the baseline lacks. It is an error if the gate could not fail without one, or if a run of
/// the baseline has too few requests.
pub fn lacking(baseline: &Baseline, rules: &Rules) -> Result<Vec<Metric>> {
    // A baseline without a histogram has no p95_corrected, and its row shows that. The others need no limit.
    let is_needed = |metric: &Metric| match metric {
        Metric::P95Corrected => false,
        Metric::AvgResponseTime | Metric::CpuPerRequest => rules.limit(None, *metric).is_some(),
        _ => true,
    };
    let needed = JUDGED.into_iter().filter(is_needed);
    let lacking: Vec<Metric> = needed.filter(|metric| baseline.total(*metric).is_none()).collect();
    let is_blocking = |metric: &&Metric| rules.limit(None, **metric).is_some_and(|limit| limit.level == Level::Fail);
    if let Some(metric) = lacking.iter().find(is_blocking) {
        let who = if *metric == Metric::CpuPerRequest { " (on Linux, of a service that the gate starts)" } else { "" };
        bail!(
            "the baseline lacks {metric}, so the gate could not fail on it: record it again with --update-baseline{who}"
        );
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of requests")]
    let requests: Vec<u64> =
        baseline.total_runs(Metric::TotalRequests).iter().map(|requests| *requests as u64).collect();
    if let Some(few) = too_few_requests(&requests, LEAST_REQUESTS) {
        bail!("run {} of the baseline cannot be judged: {}", few.run + 1, few.why);
    }
    Ok(lacking)
}

/// Judges the runs (at least one) against the baseline. Refuses what [`lacking`] refuses.
pub fn compare<'a>(baseline: &'a Baseline, runs: &'a [Run], rules: &'a Rules) -> Result<Comparison<'a>> {
    let lacking = lacking(baseline, rules)?;
    let baseline_runs = JUDGED.map(|metric| baseline.total_runs(metric).len()).into_iter().max().unwrap_or(0);
    let (resolution, max_runs) = (resolution(baseline, runs), max_runs(baseline, runs, rules));
    let judge = Judge { rules, resolution, runs: runs.len(), baseline_runs, max_runs };
    let measured = judge.measured_total(baseline, runs);
    let total = judge.total_rows(&measured, baseline, runs);
    let (endpoints, coverage) = judge.endpoint_rows(&measured, baseline, runs);
    let traffic = traffic_changes(baseline, runs, rules, &endpoints);
    let sensitivity = judge.sensitivity(&total);
    let verdict = match sensitivity {
        _ if total.iter().chain(&endpoints).any(Row::is_failure) => Verdict::Fail,
        _ if rules.strict && !traffic.is_empty() => Verdict::Fail,
        Sensitivity::Open => Verdict::Inconclusive,
        Sensitivity::Sufficient | Sensitivity::Insufficient => Verdict::Pass,
    };
    let is_of_one_run = baseline.total_runs(Metric::P95).len() == 1 && !rules.paired;
    Ok(Comparison {
        lacking,
        runs: RunCounts { baseline: baseline_runs, candidate: runs.len() },
        paired: rules.paired,
        cannot_fail: [Metric::P95, Metric::ErrorRate].into_iter().filter(|metric| !rules.can_fail(*metric)).collect(),
        strict: rules.strict,
        verdict,
        inconclusive: rules.inconclusive,
        is_insensitive: sensitivity != Sensitivity::Sufficient,
        least_runs: least_runs(rules, baseline_runs),
        max_runs,
        coverage,
        resolution,
        detectable_by_five: if is_of_one_run { judge.detectable_by_five(&measured) } else { None },
        exceptions: exceptions(rules, &total, &endpoints),
        cpu_unjudged: cpu::unjudged(baseline, runs, rules),
        drift: None,
        traffic,
        total,
        endpoints,
    })
}

/// The number of runs that are always made. Each round brings a baseline run.
fn least_runs(rules: &Rules, baseline_runs: usize) -> usize {
    let asked = if baseline_runs == 1 && !rules.paired { LEAST_RUNS_AGAINST_ONE } else { 1 };
    asked.min(rules.max_runs).max(rules.min_runs)
}
