//! `perf.toml`. `xtask/adopt/perf.toml` explains each key.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::{Range, RangeInclusive};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use judge::model::limits::{Accepted, EndpointLimits, Inconclusive, Limit, Limits, default_limits};
use judge::model::mask;
use judge::model::run::{EndpointName, LEAST_REQUESTS, Metric, is_setup};
use judge::model::text::{likeness, nearest, printable};
use judge::parse::strict_json::in_plain_words;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use toml::Spanned;

use crate::config::accepted::{AcceptedTable, METRICS};
use crate::config::drift::{DriftConfig, DriftTable};
use crate::config::flags;
use crate::config::lines::{line_of, line_of_table};
use crate::config::paths::BASELINE;
use crate::sys::files;

#[derive(Debug)]
pub struct Config {
    /// `None` if the service runs already.
    pub service: Option<ServiceConfig>,
    pub load: LoadConfig,
    pub locust: LocustConfig,
    pub runs: RunsConfig,
    pub against: AgainstConfig,
    pub baseline: BaselineConfig,
    /// Without limits if there is no such table.
    pub(crate) drift: DriftConfig,
    pub(crate) accepted: Vec<Accepted>,
    pub limits: Limits,
    /// In the order of their precedence.
    pub endpoint_limits: Vec<EndpointLimits>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ConfigTables {
    service: Option<ServiceConfig>,
    load: LoadConfig,
    locust: LocustConfig,
    runs: RunsConfig,
    against: AgainstConfig,
    baseline: BaselineConfig,
    drift: Option<DriftTable>,
    accepted: Vec<AcceptedTable>,
    limits: BTreeMap<Spanned<String>, Spanned<LimitEntry>>,
}

type LimitTable = BTreeMap<Spanned<String>, Spanned<String>>;

#[derive(Debug)]
enum LimitEntry {
    Metric(String),
    Endpoint(LimitTable),
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceConfig {
    pub command: String,
    #[serde(default)]
    pub build: String,
    #[serde(default)]
    pub prepare: String,
    pub ready_url: String,
    pub counters: Option<String>,
    #[serde(default = "success", deserialize_with = "one_status")]
    pub ready_status: RangeInclusive<u16>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default = "ten_minutes", deserialize_with = "duration")]
    pub build_timeout: Duration,
    #[serde(default = "thirty_seconds", deserialize_with = "duration")]
    pub ready_timeout: Duration,
    #[serde(default = "ten_seconds", deserialize_with = "duration")]
    pub stop_timeout: Duration,
}

impl ServiceConfig {
    /// Whether `prepare` may get the port that `{port}` stands for.
    pub fn names_port_in_prepare(&self) -> bool {
        [&self.prepare].into_iter().chain(self.env.values()).any(|text| text.contains("{port}"))
    }

    /// Whether it uses files of the user's own checkout, by `{root}` or `PERF_ROOT`.
    pub fn names_root(&self) -> bool {
        let texts = [&self.command, &self.build, &self.prepare].into_iter().chain(&self.counters);
        texts.chain(self.env.values()).any(|text| text.contains("{root}") || text.contains("PERF_ROOT"))
    }
}

/// `[load]`. What is absent here may be a flag, or a setting of Locust's own configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoadConfig {
    pub users: Option<u32>,
    pub spawn_rate: Option<f64>,
    pub run_time: Option<String>,
    pub host: Option<String>,
    pub locustfile: Option<String>,
    pub args: Vec<String>,
    pub processes: Option<u32>,
    pub expect_workers: Option<u32>,
    #[serde(deserialize_with = "duration")]
    pub workers_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    pub warmup: Duration,
    #[serde(deserialize_with = "some_duration")]
    pub stop_timeout: Option<Duration>,
    #[serde(deserialize_with = "min_requests")]
    pub min_requests: u64,
    /// The time that Locust may take beyond run time and stop timeout.
    #[serde(deserialize_with = "duration")]
    pub deadline_margin: Duration,
}

impl Default for LoadConfig {
    fn default() -> LoadConfig {
        LoadConfig {
            users: None,
            spawn_rate: None,
            run_time: None,
            host: None,
            locustfile: None,
            args: Vec::new(),
            processes: None,
            expect_workers: None,
            workers_timeout: Duration::from_secs(120),
            warmup: Duration::ZERO,
            stop_timeout: None,
            min_requests: LEAST_REQUESTS,
            deadline_margin: thirty_seconds(),
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunsConfig {
    pub min: NonZeroU32,
    pub max: NonZeroU32,
    pub baseline: NonZeroU32,
    pub inconclusive: Inconclusive,
}

impl Default for RunsConfig {
    fn default() -> RunsConfig {
        const fn runs(number: u32) -> NonZeroU32 {
            NonZeroU32::new(number).expect("not 0")
        }
        RunsConfig { min: runs(1), max: runs(8), baseline: runs(10), inconclusive: Inconclusive::Pass }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgainstConfig {
    pub folder: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BaselineConfig {
    pub file: String,
    pub confirm: bool,
    #[serde(deserialize_with = "age")]
    pub old_after: Duration,
    pub old_after_commits: u32,
}

impl Default for BaselineConfig {
    fn default() -> BaselineConfig {
        BaselineConfig {
            file: BASELINE.to_owned(),
            confirm: false,
            old_after: Duration::from_secs(90 * 86_400),
            old_after_commits: 200,
        }
    }
}

impl BaselineConfig {
    pub fn old_after_days(&self) -> i64 {
        i64::try_from(self.old_after.as_secs() / 86_400).unwrap_or(i64::MAX)
    }
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LocustConfig {
    pub version: Option<String>,
    pub command: Option<String>,
    pub requirements: Vec<String>,
}

impl Default for Config {
    fn default() -> Config {
        ConfigTables::default().resolve("").expect("the defaults are valid")
    }
}

impl Config {
    /// The file may be missing, unless a flag names it. An error begins with the file and the line: `perf.toml:3: ...`.
    pub(crate) fn read(path: &Path, is_named: bool) -> Result<Config> {
        if !is_named && !files::exists(path) {
            return Ok(Config::default());
        }
        let text = files::read_to_string(path)?;
        Config::parse(&text).map_err(|error| anyhow!("{}{error:#}", path.display()))
    }

    /// An error begins with its line: `:3: ...`.
    pub fn parse(text: &str) -> Result<Config> {
        let tables: ConfigTables = toml::from_str(text).map_err(|error| {
            let line = line_of(text, error.span().map_or(0, |span| span.start));
            let shown = mask::setting(text.lines().nth(line - 1).unwrap_or_default().trim());
            let shown: String = shown.chars().take(60).collect();
            anyhow!(":{line}: `{}`: {}", printable(&shown), explained(error.message(), &shown))
        })?;
        tables.resolve(text)
    }
}

/// The message of the TOML reader on a line, with the next step.
fn explained(message: &str, line: &str) -> String {
    let message = in_plain_words(&message.replace('\n', " "), "table");
    if let Some((unknown, names)) = message.split_once(", expected one of ") {
        let name = unknown.split('`').nth(1).unwrap_or_default();
        let near = nearest(name, names.split('`').skip(1).step_by(2)).filter(|near| likeness(name, near) > 0.75);
        let near = near.map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"));
        return format!("{unknown}{near}, expected one of {names}");
    }
    let value = line.split_once('=').map_or("", |(_, value)| value.trim());
    let next = if line.starts_with("[accepted") {
        ": write [[accepted]]"
    } else if message.ends_with("expected a string") && !value.starts_with(['[', '{']) {
        ": write it in quotes, and a duration or a limit with its unit, as \"30s\" or \"20%\""
    } else {
        ""
    };
    message + next
}

impl ConfigTables {
    fn resolve(self, text: &str) -> Result<Config> {
        let (limits, endpoint_limits) = resolve_limits(&self.limits, text)?;
        let drift = self.drift.map_or_else(|| Ok(DriftConfig::default()), |table| table.resolve(text))?;
        let accepted = AcceptedTable::resolve_all(&self.accepted, text)?;
        let RunsConfig { min, max, .. } = self.runs;
        if min > max {
            bail!(":{}: [runs] `min` is {min}, more than `max`, which is {max}", line_of_table(text, "[runs]"));
        }
        let LocustConfig { version, command, requirements } = &self.locust;
        if command.is_some() && (version.is_some() || !requirements.is_empty()) {
            bail!(
                ":{}: [locust] `command` is for a Locust of your own, `version` and `requirements` for the managed one: remove one or the other",
                line_of_table(text, "[locust]")
            );
        }
        let ConfigTables { service, load, locust, runs, against, baseline, .. } = self;
        Ok(Config { service, load, locust, runs, against, baseline, drift, accepted, limits, endpoint_limits })
    }
}

fn resolve_limits(
    entries: &BTreeMap<Spanned<String>, Spanned<LimitEntry>>,
    text: &str,
) -> Result<(Limits, Vec<EndpointLimits>)> {
    let (mut limits, mut endpoint_limits) = (default_limits(), Vec::new());
    for (name, entry) in entries {
        match entry.get_ref() {
            LimitEntry::Metric(limit) => {
                let (metric, limit) = parse_limit(text, None, name, limit, entry.span())?;
                limits.insert(metric, limit);
            }
            LimitEntry::Endpoint(table) => {
                let (line, endpoint) = (line_of(text, name.span().start), name.get_ref().as_str());
                ensure!(
                    !table.is_empty(),
                    ":{line}: [limits.{endpoint:?}] has no limit, so it checks nothing: add for example p95 = \"20%\""
                );
                let own = table
                    .iter()
                    .map(|(metric, limit)| parse_limit(text, Some(endpoint), metric, limit.get_ref(), limit.span()));
                endpoint_limits.push(EndpointLimits::new(endpoint, own.collect::<Result<_>>()?));
            }
        }
    }
    // A limit of p95 is meant for the users' experience, which p95_corrected describes.
    let is_set = |metric: Metric| entries.keys().any(|name| name.get_ref() == metric.name());
    if !is_set(Metric::P95Corrected)
        && let Some(limit) = limits.get(&Metric::P95).cloned()
    {
        limits.insert(Metric::P95Corrected, limit);
    }
    endpoint_limits.sort_by_cached_key(EndpointLimits::precedence);
    Ok((limits, endpoint_limits))
}

fn parse_limit(
    text: &str,
    endpoint: EndpointName,
    name: &Spanned<String>,
    limit: &str,
    limit_at: Range<usize>,
) -> Result<(Metric, Limit)> {
    let table = endpoint.map_or_else(|| "[limits]".to_owned(), |endpoint| format!("[limits.{endpoint:?}]"));
    let at = |span: Range<usize>| format!(":{}: {table} `{}`", line_of(text, span.start), name.get_ref());
    let metric = Metric::from_name(name.get_ref())
        .with_context(|| at(name.span()))
        .map_err(|error| anyhow!("{error} is not a metric: use {METRICS}, or a table [limits.\"GET /path\"]"))?;
    ensure!(
        endpoint.is_none() || Metric::OF_ENDPOINTS.contains(&metric),
        "{} is of all requests together: move it to [limits]",
        at(name.span())
    );
    ensure!(
        metric != Metric::RequestsPerSec || !endpoint.is_some_and(is_setup),
        "{} is not judged, because each user makes these requests once: remove it",
        at(name.span())
    );
    let limit = Limit::parse(metric, limit).map_err(|error| anyhow!("{}: {error}", at(limit_at)))?;
    Ok((metric, limit))
}

impl<'de> Deserialize<'de> for LimitEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LimitEntry, D::Error> {
        struct EntryVisitor;

        impl<'de> Visitor<'de> for EntryVisitor {
            type Value = LimitEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a limit such as \"20%\", or the table of an endpoint's limits")
            }

            fn visit_str<E: de::Error>(self, limit: &str) -> Result<LimitEntry, E> {
                Ok(LimitEntry::Metric(limit.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<LimitEntry, A::Error> {
                LimitTable::deserialize(MapAccessDeserializer::new(map)).map(LimitEntry::Endpoint)
            }
        }

        deserializer.deserialize_any(EntryVisitor)
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let duration = humantime::parse_duration(&text)
        .map_err(|_| de::Error::custom(format!("`{text}` is not a duration such as \"500ms\", \"30s\" or \"2m\"")))?;
    flags::check_length(duration).map_err(|error| de::Error::custom(format!("`{text}` {error}")))?;
    Ok(duration)
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

fn success() -> RangeInclusive<u16> {
    200..=299
}

fn one_status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RangeInclusive<u16>, D::Error> {
    let status = u16::deserialize(deserializer)?;
    if !(200..=599).contains(&status) {
        return Err(de::Error::custom("expected a status of HTTP, from 200 to 599"));
    }
    Ok(status..=status)
}

fn age<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let age = humantime::parse_duration(&text).ok().filter(|age| age.as_secs() >= 86_400);
    age.ok_or_else(|| de::Error::custom(format!("`{text}` is not an age of a day or more, such as \"90d\"")))
}

fn min_requests<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let requests = u64::deserialize(deserializer)?;
    if requests < LEAST_REQUESTS {
        return Err(de::Error::custom(format!(
            "a run needs at least {LEAST_REQUESTS} requests, since its p95 is its maximum below that: give {LEAST_REQUESTS} or more"
        )));
    }
    Ok(requests)
}

fn ten_minutes() -> Duration {
    Duration::from_secs(600)
}

fn thirty_seconds() -> Duration {
    Duration::from_secs(30)
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}
