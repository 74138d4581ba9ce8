//! `[drift]` of `perf.toml`.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow, bail, ensure};
use judge::model::day::Day;
use judge::model::limits::{Level, Limit, Limits};
use judge::model::run::Metric;
use serde::Deserialize;
use toml::Spanned;

use crate::config::accepted::METRICS;
use crate::config::lines::{line_of, line_of_table};
use crate::sys::machine::today;

/// A century. A longer age is the name of a commit.
const MAX_AGE_DAYS: i64 = 36_500;

/// The point in the past that changes are counted from.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Since {
    /// The oldest baseline that the newest can be compared with.
    #[default]
    Oldest,
    /// So many days ago, unless a commit has that name.
    Age {
        days: i64,
        text: String,
    },
    Day(Day),
    /// The newest tag that matches this pattern.
    Tags(String),
    Rev(String),
}

impl Since {
    /// Parses `90d`, `2026-01-31`, `v*`, or the name of a commit.
    pub fn parse(text: &str) -> Result<Since> {
        ensure!(!text.is_empty(), "give a tag pattern (\"v*\"), a commit, a date (\"2026-01-31\") or an age (\"90d\")");
        let days = text.strip_suffix('d').and_then(|days| days.parse().ok());
        if let Some(days) = days.filter(|days| (0..=MAX_AGE_DAYS).contains(days)) {
            return Ok(Since::Age { days, text: text.to_owned() });
        }
        if let Some(day) = Day::parse(text) {
            // In some time zone it is tomorrow.
            ensure!(today().days_until(day) <= 1, "{text} is in the future: give a day that has passed");
            return Ok(Since::Day(day));
        }
        let is_pattern = text.contains(['*', '?', '[']);
        Ok(if is_pattern { Since::Tags(text.to_owned()) } else { Since::Rev(text.to_owned()) })
    }
}

/// Limits by metric, and `since`.
#[derive(Debug, Deserialize)]
pub struct DriftTable(BTreeMap<Spanned<String>, Spanned<String>>);

#[derive(Clone, Debug, Default, PartialEq)]
pub struct DriftConfig {
    /// A metric without a limit is not judged.
    pub limits: Limits,
    pub since: Since,
}

impl DriftTable {
    /// `text` is the file's. An error begins with its line: `:3: ...`.
    pub fn resolve(&self, text: &str) -> Result<DriftConfig> {
        let (mut limits, mut since) = (Limits::new(), Since::Oldest);
        for (key, value) in &self.0 {
            let at = || format!(":{}: [drift] `{}`", line_of(text, key.span().start), key.get_ref());
            if key.get_ref() == "since" {
                since = Since::parse(value.get_ref()).map_err(|error| anyhow!("{}: {error}", at()))?;
                continue;
            }
            let Some(metric) = Metric::from_name(key.get_ref()) else {
                bail!("{} is not a metric: use {METRICS}", at());
            };
            let limit = Limit::parse(metric, value.get_ref()).map_err(|error| anyhow!("{}: {error}", at()))?;
            ensure!(limit.bound.is_none(), "{}: a fixed bound (`max`) is not allowed in [drift]: use [limits]", at());
            limits.insert(metric, limit);
        }
        if limits.values().all(|limit| limit.level == Level::Off) {
            let line = line_of_table(text, "[drift]");
            bail!(":{line}: [drift] has no limit, so it checks nothing: add for example p95 = \"25%\"");
        }
        Ok(DriftConfig { limits, since })
    }
}
