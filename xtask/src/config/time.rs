//! The tables of `perf.toml` that concern time: `[drift]`, `[[accepted]]`, and how old a baseline may be.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use judge::model::day::Day;
use judge::model::limits::{Accepted, Limit, Limits};
use judge::model::run::Metric;
use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

/// The time that a drift is measured from.
#[derive(Clone, Debug, PartialEq)]
pub enum Since {
    /// So many days ago.
    Days(i64),
    /// A day.
    Day(Day),
    /// The newest tag that matches this pattern.
    Tags(String),
    /// A commit, or what git takes for one.
    Rev(String),
}

impl Since {
    /// Parses `90d`, `2026-01-31`, `v*`, or the name of a commit.
    ///
    /// # Errors
    ///
    /// Refuses an empty text.
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

/// `[drift]`, as it is written.
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

/// The limits of a drift, and the time that it is measured from.
#[derive(Clone, Debug, PartialEq)]
pub struct DriftConfig {
    /// The limits; a metric without one is not judged.
    pub limits: Limits,
    /// The time; `None` for the oldest baseline that the newest can be compared with.
    pub since: Option<Since>,
}

impl DriftTable {
    /// Parses the limits. `text` is that of the file.
    ///
    /// # Errors
    ///
    /// Begins with the line, as `:3: ...`, and says what is wrong there.
    pub fn resolve(&self, text: &str) -> Result<DriftConfig> {
        let entries = [
            (Metric::P50, &self.p50),
            (Metric::P95, &self.p95),
            (Metric::P95Corrected, &self.p95_corrected),
            (Metric::P99, &self.p99),
            (Metric::ErrorRate, &self.error_rate),
            (Metric::RequestsPerSec, &self.requests_per_sec),
        ];
        let mut limits = Limits::new();
        for (metric, entry) in entries {
            let Some(entry) = entry else { continue };
            let at = || format!(":{}: [drift] `{metric}`", line_of(text, entry.span().start));
            let limit = Limit::parse(metric, entry.get_ref()).map_err(|error| anyhow!("{}: {error}", at()))?;
            ensure!(limit.bound.is_none(), "{}: a bound is no drift: put it into [limits]", at());
            limits.insert(metric, limit);
        }
        let since = self.since.as_ref().map(|since| {
            let at = || format!(":{}: [drift] `since`", line_of(text, since.span().start));
            Since::parse(since.get_ref()).map_err(|error| anyhow!("{}: {error}", at()))
        });
        let since = since.transpose()?;
        if limits.is_empty() {
            let line = text.lines().position(|line| line.trim() == "[drift]").map_or(1, |line| line + 1);
            bail!(":{line}: [drift] has no limit, so it checks nothing: add for example p95 = \"25%\"");
        }
        Ok(DriftConfig { limits, since })
    }
}

/// An entry of `[[accepted]]`, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptedEntry {
    endpoint: Spanned<String>,
    metric: Spanned<String>,
    up_to: Spanned<String>,
    until: Spanned<String>,
    reason: Spanned<String>,
}

/// An exception of `perf.toml`, which holds whatever day it is.
#[derive(Clone, Debug, PartialEq)]
pub struct AcceptedConfig {
    /// The endpoint; `None` for all requests together.
    pub endpoint: Option<String>,
    /// The metric.
    pub metric: Metric,
    /// The limit meanwhile.
    pub up_to: Limit,
    /// The last day.
    pub until: Day,
    /// The reason.
    pub reason: String,
}

impl AcceptedEntry {
    /// Parses an entry. `text` is that of the file.
    ///
    /// # Errors
    ///
    /// Begins with the line, as `:3: ...`, and says what is wrong there.
    pub fn resolve(&self, text: &str) -> Result<AcceptedConfig> {
        let at = |key: &str, span: Range<usize>| format!(":{}: [[accepted]] `{key}`", line_of(text, span.start));
        let AcceptedEntry { endpoint, metric: name, up_to, until, reason } = self;
        let metric = Metric::from_name(name.get_ref()).with_context(|| at("metric", name.span())).map_err(|error| {
            anyhow!("{error} is no metric: use p50, p95, p95_corrected, p99, requests_per_sec or error_rate")
        })?;
        let endpoint = (!endpoint.get_ref().is_empty()).then(|| endpoint.get_ref().clone());
        ensure!(
            endpoint.is_none() || metric != Metric::P95Corrected,
            "{}: p95_corrected is of all requests together: write endpoint = \"\"",
            at("metric", name.span())
        );
        let up_to_at = || at("up_to", up_to.span());
        let has_level = ["fail", "warn", "off"].iter().any(|level| up_to.get_ref().trim().starts_with(level));
        ensure!(!has_level, "{}: write the limit alone, such as \"45%\"", up_to_at());
        let up_to = Limit::parse(metric, up_to.get_ref()).map_err(|error| anyhow!("{}: {error}", up_to_at()))?;
        let day = Day::parse(until.get_ref());
        let until =
            day.with_context(|| format!("{} is not a day such as \"2026-12-31\"", at("until", until.span())))?;
        ensure!(!reason.get_ref().trim().is_empty(), "{}: say why it is accepted", at("reason", reason.span()));
        Ok(AcceptedConfig { endpoint, metric, up_to, until, reason: reason.get_ref().clone() })
    }

    /// Parses all entries.
    ///
    /// # Errors
    ///
    /// Names an entry that cannot be read, and one for a series that has one already.
    pub fn resolve_all(entries: &[AcceptedEntry], text: &str) -> Result<Vec<AcceptedConfig>> {
        let mut accepted: Vec<AcceptedConfig> = Vec::new();
        for entry in entries {
            let next = entry.resolve(text)?;
            let is_known =
                accepted.iter().any(|known| (&known.endpoint, known.metric) == (&next.endpoint, next.metric));
            ensure!(
                !is_known,
                ":{}: [[accepted]] `{}` of {:?} is accepted twice: leave one",
                line_of(text, entry.endpoint.span().start),
                next.metric,
                entry.endpoint.get_ref()
            );
            accepted.push(next);
        }
        Ok(accepted)
    }
}

impl AcceptedConfig {
    /// Returns the exception as it stands on a day.
    pub fn on(&self, today: Day) -> Accepted {
        let AcceptedConfig { endpoint, metric, up_to, until, reason } = self.clone();
        Accepted { endpoint, metric, up_to, until, days_left: today.days_until(until), reason }
    }
}

/// `[baseline]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BaselineConfig {
    /// Confirms a FAIL by the stored numbers, as `--confirm` does.
    pub confirm: bool,
    /// The age from which on a report says that the baseline is old.
    #[serde(deserialize_with = "age")]
    pub old_after: Duration,
    /// The number of commits since, likewise.
    pub old_after_commits: u32,
}

impl Default for BaselineConfig {
    fn default() -> BaselineConfig {
        BaselineConfig { confirm: false, old_after: Duration::from_hours(90 * 24), old_after_commits: 200 }
    }
}

impl BaselineConfig {
    /// Returns the age in whole days.
    pub fn old_after_days(&self) -> i64 {
        i64::try_from(self.old_after.as_secs() / 86_400).unwrap_or(i64::MAX)
    }
}

fn age<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let age = humantime::parse_duration(&text).ok().filter(|age| age.as_secs() >= 86_400);
    age.ok_or_else(|| de::Error::custom(format!("`{text}` is not an age of a day or more, such as \"90d\"")))
}

/// Returns the line of a place in a text, from 1.
pub fn line_of(text: &str, offset: usize) -> usize {
    text[..offset.min(text.len())].matches('\n').count() + 1
}
