//! `[drift]` of `perf.toml`, and the point in the past that changes are counted from.

use anyhow::{Result, anyhow, bail, ensure};
use judge::model::day::Day;
use judge::model::limits::{Limit, Limits};
use judge::model::run::Metric;
use serde::Deserialize;
use toml::Spanned;

use crate::config::lines::{line_of, line_of_table};

/// The point in the past that changes are counted from.
#[derive(Clone, Debug, PartialEq)]
pub enum Since {
    /// So many days ago.
    Days(i64),
    Day(Day),
    /// The newest tag that matches this pattern.
    Tags(String),
    Rev(String),
}

impl Since {
    /// Parses `90d`, `2026-01-31`, `v*`, or the name of a commit.
    pub fn parse(text: &str) -> Result<Since> {
        ensure!(!text.is_empty(), "give a tag pattern (\"v*\"), a commit, a date (\"2026-01-31\") or an age (\"90d\")");
        if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok()) {
            return Ok(Since::Days(days.into()));
        }
        if let Some(day) = Day::parse(text) {
            return Ok(Since::Day(day));
        }
        let is_pattern = text.contains(['*', '?', '[']);
        Ok(if is_pattern { Since::Tags(text.to_owned()) } else { Since::Rev(text.to_owned()) })
    }
}

/// `[drift]` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DriftTable {
    since: Option<Spanned<String>>,
    p50: Option<Spanned<String>>,
    p95: Option<Spanned<String>>,
    p95_corrected: Option<Spanned<String>>,
    p99: Option<Spanned<String>>,
    error_rate: Option<Spanned<String>>,
    requests_per_sec: Option<Spanned<String>>,
}

/// The limits of the drift, and the baseline that it is measured from.
#[derive(Clone, Debug, PartialEq)]
pub struct DriftConfig {
    /// A metric without a limit is not judged.
    pub limits: Limits,
    /// `None` for the oldest baseline that the newest can be compared with.
    pub since: Option<Since>,
}

impl DriftTable {
    /// Parses the limits. `text` is the file's. An error begins with its line: `:3: ...`.
    pub fn resolve(self, text: &str) -> Result<DriftConfig> {
        let entries = [
            (Metric::P50, self.p50),
            (Metric::P95, self.p95),
            (Metric::P95Corrected, self.p95_corrected),
            (Metric::P99, self.p99),
            (Metric::ErrorRate, self.error_rate),
            (Metric::RequestsPerSec, self.requests_per_sec),
        ];
        let mut limits = Limits::new();
        for (metric, entry) in entries.into_iter().filter_map(|(metric, entry)| Some((metric, entry?))) {
            let at = || format!(":{}: [drift] `{metric}`", line_of(text, entry.span().start));
            let limit = Limit::parse(metric, entry.get_ref()).map_err(|error| anyhow!("{}: {error}", at()))?;
            ensure!(limit.bound.is_none(), "{}: a fixed bound (`max`) is not allowed in [drift]: use [limits]", at());
            limits.insert(metric, limit);
        }
        let since = self.since.map(|since| {
            let line = line_of(text, since.span().start);
            Since::parse(since.get_ref()).map_err(|error| anyhow!(":{line}: [drift] `since`: {error}"))
        });
        let since = since.transpose()?;
        if limits.is_empty() {
            let line = line_of_table(text, "[drift]");
            bail!(":{line}: [drift] has no limit, so it checks nothing: add for example p95 = \"25%\"");
        }
        Ok(DriftConfig { limits, since })
    }
}
