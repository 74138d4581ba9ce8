//! `[[accepted]]` of `perf.toml`: temporary exceptions from the limits.

use std::ops::Range;

use anyhow::{Context as _, Result, anyhow, ensure};
use judge::model::day::Day;
use judge::model::limits::{Accepted, Limit};
use judge::model::run::Metric;
use serde::Deserialize;
use toml::Spanned;

use crate::config::lines::line_of;
use crate::sys::machine::today;

/// The metrics that take a limit, for messages.
pub(crate) const METRICS: &str =
    "p50, p95, p95_corrected, p99, avg_response_time, error_rate, requests_per_sec or cpu_per_request";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptedTable {
    endpoint: Spanned<String>,
    metric: Spanned<String>,
    up_to: Spanned<String>,
    until: Spanned<String>,
    reason: Spanned<String>,
}

impl AcceptedTable {
    /// `text` is the file's. An error begins with its line: `:3: ...`.
    pub fn resolve_all(tables: &[AcceptedTable], text: &str) -> Result<Vec<Accepted>> {
        let mut accepted: Vec<Accepted> = Vec::new();
        for table in tables {
            let next = table.resolve(text)?;
            let is_known =
                accepted.iter().any(|known| (&known.endpoint, known.metric) == (&next.endpoint, next.metric));
            ensure!(
                !is_known,
                ":{}: [[accepted]] `{}` of {:?} is accepted twice: leave one",
                line_of(text, table.endpoint.span().start),
                next.metric,
                table.endpoint.get_ref()
            );
            accepted.push(next);
        }
        Ok(accepted)
    }

    fn resolve(&self, text: &str) -> Result<Accepted> {
        let at = |key: &str, span: Range<usize>| format!(":{}: [[accepted]] `{key}`", line_of(text, span.start));
        let AcceptedTable { endpoint, metric: name, up_to, until, reason } = self;
        let metric = Metric::from_name(name.get_ref())
            .with_context(|| at("metric", name.span()))
            .map_err(|error| anyhow!("{error} is not a metric: use {METRICS}"))?;
        let endpoint = (!endpoint.get_ref().is_empty()).then(|| endpoint.get_ref().clone());
        ensure!(
            endpoint.is_none() || Metric::OF_ENDPOINTS.contains(&metric),
            "{}: {metric} is of all requests together: write endpoint = \"\"",
            at("metric", name.span())
        );
        let up_to_at = || at("up_to", up_to.span());
        let has_level = ["fail", "warn", "off"].iter().any(|level| up_to.get_ref().trim().starts_with(level));
        ensure!(!has_level, "{}: write the limit alone, such as \"45%\"", up_to_at());
        let up_to = Limit::parse(metric, up_to.get_ref()).map_err(|error| anyhow!("{}: {error}", up_to_at()))?;
        let day = Day::parse(until.get_ref());
        let until =
            day.with_context(|| format!("{} is not a day such as \"2026-12-31\"", at("until", until.span())))?;
        ensure!(
            !reason.get_ref().trim().is_empty(),
            "{}: give the reason why it is accepted",
            at("reason", reason.span())
        );
        let (days_left, reason) = (today().days_until(until), reason.get_ref().clone());
        Ok(Accepted { endpoint, metric, up_to, until, days_left, reason })
    }
}
