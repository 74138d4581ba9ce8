//! The numbers that charts draw.

use judge::baseline::file;
use judge::model::run::{Metric, PERCENTILES};
use judge::parse::locust_history::History;
use judge::verdict::compare::Comparison;
use judge::verdict::decision::Row;

use crate::view::input::{Report, Sides};

pub(crate) struct ChartData<'a> {
    /// The p95 of every run, in ms; empty if it is not known.
    pub(crate) p95_ms: Sides<Vec<f64>>,
    pub(crate) limit_ms: Option<f64>,
    pub(crate) curves: Sides<Vec<CurvePoint>>,
    pub(crate) histories: &'a [Result<History, String>],
    pub(crate) baseline_history: Option<&'a History>,
}

/// A response time that a share of the requests does not exceed.
pub(crate) struct CurvePoint {
    pub(crate) percent: f64,
    pub(crate) time_ms: f64,
}

impl<'a> ChartData<'a> {
    pub(crate) fn of(report: &'a Report<'a>) -> ChartData<'a> {
        let comparison = report.comparison;
        let p95 = comparison.total_row(Metric::P95);
        let baseline = report.background.baseline_p95_ms.clone();
        let candidate = report.runs.iter().map(|run| run.total.value(Metric::P95)).collect();
        let of_candidate = if report.runs.is_empty() { Vec::new() } else { file::distribution(report.runs) };
        ChartData {
            p95_ms: Sides { baseline, candidate },
            limit_ms: p95.and_then(Row::allowed),
            curves: Sides {
                baseline: curve(report.distribution, comparison, |row| row.presence.baseline()),
                candidate: curve(&of_candidate, comparison, |row| row.presence.candidate()),
            },
            histories: report.histories,
            baseline_history: report.background.baseline_history.as_ref(),
        }
    }
}

/// The whole distribution if it is known, else the three percentiles that every side has.
fn curve(distribution: &[f64], comparison: &Comparison, value: impl Fn(&Row) -> Option<f64>) -> Vec<CurvePoint> {
    if distribution.len() == PERCENTILES.len() {
        let points = PERCENTILES.into_iter().zip(distribution);
        return points.map(|(percent, time_ms)| CurvePoint { percent, time_ms: *time_ms }).collect();
    }
    let mut curve = Vec::new();
    for (percent, metric) in [(50.0, Metric::P50), (95.0, Metric::P95), (99.0, Metric::P99)] {
        if let Some(time_ms) = comparison.total_row(metric).and_then(&value) {
            curve.push(CurvePoint { percent, time_ms });
        }
    }
    curve
}
