//! `perf.toml`, and the settings that come from the flags, from it, or from Locust's own configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use toml::Spanned;

use crate::compare::{EndpointLimits, Limit, Limits, default_limits};
use crate::flags::{self, LoadFlags};
use crate::mask;
use crate::report::printable;
use crate::run::{Load, Metric};

/// What `perf.toml` says; each key is explained in `xtask/adopt/perf.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub service: Option<ServiceConfig>,
    #[serde(default)]
    pub load: LoadConfig,
    #[serde(default)]
    pub locust: LocustConfig,
    #[serde(default, rename = "limits")]
    entries: BTreeMap<Spanned<String>, Spanned<LimitEntry>>,
    /// Of all requests together, and of endpoints without their own.
    #[serde(skip, default = "default_limits")]
    pub limits: Limits,
    /// In the order of their precedence.
    #[serde(skip)]
    pub endpoint_limits: Vec<EndpointLimits>,
}

type LimitTable = BTreeMap<Spanned<String>, Spanned<String>>;

/// Of a metric, or of the endpoints that the key names.
#[derive(Debug)]
enum LimitEntry {
    Limit(String),
    Endpoint(LimitTable),
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceConfig {
    pub command: String,
    pub build: Option<String>,
    pub ready_url: String,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default = "ten_minutes", deserialize_with = "duration")]
    pub build_timeout: Duration,
    #[serde(default = "thirty_seconds", deserialize_with = "duration")]
    pub ready_timeout: Duration,
    #[serde(default = "ten_seconds", deserialize_with = "duration")]
    pub stop_timeout: Duration,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoadConfig {
    users: Option<u32>,
    spawn_rate: Option<f64>,
    run_time: Option<String>,
    host: Option<String>,
    locustfile: Option<String>,
    processes: Option<u32>,
    expect_workers: Option<u32>,
    #[serde(deserialize_with = "duration")]
    pub workers_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    warmup: Duration,
    #[serde(deserialize_with = "some_duration")]
    stop_timeout: Option<Duration>,
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
            processes: None,
            expect_workers: None,
            workers_timeout: Duration::from_mins(2),
            warmup: Duration::ZERO,
            stop_timeout: None,
            deadline_margin: thirty_seconds(),
        }
    }
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LocustConfig {
    pub version: Option<String>,
    pub command: Option<String>,
    pub requirements: Vec<String>,
}

impl Config {
    /// Parses `perf.toml`. An error begins with its line, as `:3: ...`.
    pub fn parse(text: &str) -> Result<Config> {
        let mut config: Config = toml::from_str(text).map_err(|error| {
            let line = line_of(text, error.span().map_or(0, |span| span.start));
            let shown = mask::setting(text.lines().nth(line - 1).unwrap_or_default().trim());
            let shown: String = shown.chars().take(60).collect();
            let message = error.message().replace('\n', " ");
            let quotes = if message.ends_with("expected a string") { ": write it as \"30s\" or \"20%\"" } else { "" };
            anyhow!(":{line}: `{}`: {message}{quotes}", printable(&shown))
        })?;
        for (name, entry) in &config.entries {
            match entry.get_ref() {
                LimitEntry::Limit(limit) => {
                    let (metric, limit) = parse_limit(text, "[limits]", name, limit, entry.span())?;
                    config.limits.insert(metric, limit);
                }
                LimitEntry::Endpoint(table) => {
                    let at = format!("[limits.{:?}]", name.get_ref());
                    let own = table
                        .iter()
                        .map(|(metric, limit)| parse_limit(text, &at, metric, limit.get_ref(), limit.span()));
                    config.endpoint_limits.push(EndpointLimits::new(name.get_ref(), own.collect::<Result<_>>()?));
                }
            }
        }
        config.endpoint_limits.sort_by_cached_key(EndpointLimits::precedence);
        if config.locust.command.is_some()
            && (config.locust.version.is_some() || !config.locust.requirements.is_empty())
        {
            let line = text.lines().position(|line| line.trim() == "[locust]").map_or(1, |line| line + 1);
            bail!(
                ":{line}: [locust] `command` names a Locust of your own, `version` and `requirements` the managed one: give either"
            );
        }
        Ok(config)
    }
}

fn parse_limit(
    text: &str,
    table: &str,
    name: &Spanned<String>,
    limit: &str,
    limit_at: Range<usize>,
) -> Result<(Metric, Limit)> {
    let at = |span: Range<usize>| format!(":{}: {table} `{}`", line_of(text, span.start), name.get_ref());
    let metric = Metric::from_name(name.get_ref()).with_context(|| at(name.span())).map_err(|error| {
        anyhow!(
            "{error} is no metric: use p50, p95, p99, requests_per_sec or error_rate, or a table [limits.\"GET /path\"]"
        )
    })?;
    let limit = Limit::parse(metric, limit).map_err(|error| anyhow!("{}: {error}", at(limit_at)))?;
    Ok((metric, limit))
}

impl<'de> Deserialize<'de> for LimitEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LimitEntry, D::Error> {
        struct Entry;

        impl<'de> Visitor<'de> for Entry {
            type Value = LimitEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a limit such as \"20%\", or the table of an endpoint's limits")
            }

            fn visit_str<E: de::Error>(self, limit: &str) -> Result<LimitEntry, E> {
                Ok(LimitEntry::Limit(limit.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<LimitEntry, A::Error> {
                LimitTable::deserialize(MapAccessDeserializer::new(map)).map(LimitEntry::Endpoint)
            }
        }

        deserializer.deserialize_any(Entry)
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text[..offset.min(text.len())].matches('\n').count() + 1
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text)
        .map_err(|_| de::Error::custom(format!("`{text}` is no length of time like \"500ms\", \"30s\" or \"2m\"")))
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

fn ten_minutes() -> Duration {
    Duration::from_mins(10)
}

fn thirty_seconds() -> Duration {
    Duration::from_secs(30)
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

/// What is loaded, how, and with which file.
#[derive(Debug)]
pub struct Settings {
    pub load: Load,
    pub locustfile: String,
    /// Without `[service]`, or with `--host`: the running service. With one: what Locust gets as its host, if it is not
    /// the origin of the ready URL.
    pub host: Option<String>,
    /// `[service]` is to be started.
    pub starts_service: bool,
    /// Where Locust's master listens, if its own configuration says so.
    pub bind_host: Option<String>,
    pub bind_port: u16,
    pub stop_timeout: Duration,
}

const DEFAULT_USERS: u32 = 10;
const DEFAULT_SPAWN_RATE: f64 = 10.0;
const DEFAULT_RUN_TIME_S: u64 = 30;
/// Locust's own.
const DEFAULT_BIND_PORT: u16 = 5557;

/// Settles every value: flag > `perf.toml` > Locust's own configuration > default.
///
/// Refused: a Locust configuration that would change the run in silence and that no option can switch off.
pub fn settle(flags: &LoadFlags, locust_args: &[String], config: &Config, locust: &LocustSettings) -> Result<Settings> {
    locust.refuse_other_modes()?;
    let own = &config.load;
    let users = match flags.users.or(own.users) {
        Some(users) => users,
        None => locust.get("users", |text| Ok(text.parse()?))?.unwrap_or(DEFAULT_USERS),
    };
    ensure!(users > 0, "[load] `users` is 0: a load needs at least one user");
    let spawn_rate = match flags.spawn_rate.or(own.spawn_rate) {
        Some(rate) => rate,
        None => locust.get("spawn-rate", flags::parse_spawn_rate)?.unwrap_or(DEFAULT_SPAWN_RATE),
    };
    ensure!(
        spawn_rate.is_finite() && spawn_rate > 0.0,
        "[load] `spawn_rate` is {spawn_rate}: users must start at a rate above 0 per second"
    );
    let run_time_s = match (flags.run_time_s, &own.run_time) {
        (Some(run_time_s), _) => run_time_s,
        (None, Some(text)) => {
            flags::parse_run_time_s(text).map_err(|error| anyhow!("[load] `run_time` is `{text}`: {error}"))?
        }
        (None, None) => locust.get("run-time", flags::parse_run_time_s)?.unwrap_or(DEFAULT_RUN_TIME_S),
    };
    let text = |text: &str| Ok(text.to_owned());
    let locustfile = match flags
        .locustfile
        .as_ref()
        .map(|file| file.to_string_lossy().into_owned())
        .or_else(|| own.locustfile.clone())
    {
        Some(file) => file,
        None => locust.get("locustfile", text)?.unwrap_or_else(|| "locustfile.py".to_owned()),
    };
    let warmup_s = own.warmup.as_secs_f64();
    let ramp_up_s = (f64::from(users) / spawn_rate - 1.0).max(0.0) + warmup_s;
    ensure!(
        ramp_up_s < run_time_s as f64,
        "{users} users at {spawn_rate} per second and {warmup_s} s of warm-up take all of the {run_time_s} s of run time, and only what follows is measured: raise --run-time or --spawn-rate"
    );
    // A host on the command line names a service that runs already, unless it wants the port of ours.
    let starts_service = config.service.is_some() && flags.host.as_ref().is_none_or(|host| host.contains("{port}"));
    let host = match flags.host.clone().or_else(|| own.host.clone()) {
        None if !starts_service => locust.get("host", text)?,
        host => host,
    };
    ensure!(
        starts_service || host.is_some(),
        "there is no service to load: describe it in [service] of perf.toml, or name a running one with --host URL"
    );
    let stop_timeout = match own.stop_timeout {
        Some(stop_timeout) => stop_timeout,
        None => locust.get("stop-timeout", locust_duration)?.unwrap_or_else(ten_seconds),
    };
    let [processes, workers] = settle_sharing(flags, own)?;
    Ok(Settings {
        load: Load { users, spawn_rate, run_time_s, warmup_s, processes, workers, locust_args: locust_args.to_vec() },
        locustfile,
        host,
        starts_service,
        bind_host: locust.get("master-bind-host", text)?,
        bind_port: locust.get("master-bind-port", |port| Ok(port.parse()?))?.unwrap_or(DEFAULT_BIND_PORT),
        stop_timeout,
    })
}

/// Processes here, or workers elsewhere: a flag of either kind replaces what `perf.toml` says of both.
fn settle_sharing(flags: &LoadFlags, own: &LoadConfig) -> Result<[Option<u32>; 2]> {
    let sharing = match [flags.processes, flags.expect_workers] {
        [None, None] => [own.processes, own.expect_workers],
        flags => flags,
    };
    for (key, number) in ["processes", "expect_workers"].into_iter().zip(sharing) {
        ensure!(number != Some(0), "[load] `{key}` is 0: give 1 or more");
    }
    ensure!(
        sharing.contains(&None),
        "--processes makes Locust's workers itself, and --expect-workers waits for those started elsewhere: give one, and likewise in [load] of perf.toml"
    );
    Ok(sharing)
}

/// Seconds, or a length of time in Locust's form.
fn locust_duration(text: &str) -> Result<Duration> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .or_else(|| humantime::parse_duration(text).ok())
        .ok_or_else(|| anyhow!("this is no length of time like 10 or 45s"))
}

/// What Locust itself would read: the `LOCUST_*` variables, then its configuration files in its own order.
#[derive(Debug, Default)]
pub struct LocustSettings {
    /// Where a setting is from, its key in Locust's spelling (`spawn-rate`), its value.
    settings: Vec<(String, String, String)>,
}

impl LocustSettings {
    pub fn add_env(&mut self, vars: impl Iterator<Item = (String, String)>) {
        for (name, value) in vars {
            if let Some(key) = name.strip_prefix("LOCUST_") {
                self.settings.push((name.clone(), key.to_lowercase().replace('_', "-"), value));
            }
        }
    }

    /// `[tool.locust]` of `pyproject.toml`.
    pub fn add_pyproject(&mut self, source: &str, text: &str) -> Result<()> {
        let project: toml::Table = toml::from_str(text).map_err(|error| anyhow!("{source}: {}", error.message()))?;
        let Some(table) = project.get("tool").and_then(|tool| tool.get("locust")).and_then(toml::Value::as_table)
        else {
            return Ok(());
        };
        for (key, value) in table {
            let value = match value {
                toml::Value::String(text) => text.clone(),
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Float(number) => number.to_string(),
                toml::Value::Boolean(switch) => switch.to_string(),
                // No setting of the gate's is a list or a table.
                _ => continue,
            };
            self.settings.push((source.to_owned(), key.replace('_', "-"), value));
        }
        Ok(())
    }

    /// `locust.conf`: lines of `key = value`, `key: value` or `key value`, comments behind `#` or `;`.
    pub fn add_conf(&mut self, source: &str, text: &str) {
        // Of a key that is there twice, the last counts.
        for line in text.lines().rev().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', ';', '[']) {
                continue;
            }
            let (key, value) = line.split_once(['=', ':', ' ']).unwrap_or((line, "true"));
            let value = value.trim_start_matches(['=', ':', ' ']);
            let comment = value.match_indices([';', '#']).find(|(at, _)| value[..*at].ends_with([' ', '\t']));
            let value = comment.map_or(value, |(at, _)| &value[..at]).trim().trim_matches(['"', '\'']);
            self.settings.push((
                source.to_owned(),
                key.trim().trim_start_matches('-').replace('_', "-"),
                value.to_owned(),
            ));
        }
    }

    pub fn get<T>(&self, key: &str, parse: impl Fn(&str) -> Result<T>) -> Result<Option<T>> {
        let Some((source, _, value)) = self.settings.iter().find(|(_, found, _)| found == key) else { return Ok(None) };
        parse(value).map(Some).map_err(|error| anyhow!("{source} sets Locust's `{key}` to `{value}`: {error}"))
    }

    /// A variable is taken out of Locust's environment ([`STRIPPED`]), but a file can only be refused.
    fn refuse_other_modes(&self) -> Result<()> {
        for (source, key, value) in &self.settings {
            let is_variable = source.starts_with("LOCUST_");
            let is_off = matches!(value.to_lowercase().as_str(), "false" | "0" | "no");
            if !is_variable && !is_off && OTHER_MODES.contains(&key.as_str()) {
                bail!(
                    "{source} sets Locust's `{key}`, which would make another run than the gate's, or none that ends: remove it there"
                );
            }
        }
        Ok(())
    }
}

/// Keys of Locust's configuration files that make it wait, fork, hide its log, list what it has in place of a run, or
/// clear its statistics before they are written (`json`).
const OTHER_MODES: [&str; 12] = [
    "headful",
    "master",
    "worker",
    "processes",
    "autoquit",
    "logfile",
    "skip-log-setup",
    "config-users",
    "json",
    "list",
    "show-task-ratio",
    "show-task-ratio-json",
];

/// Variables that would do the same; they are taken out of Locust's environment.
pub const STRIPPED: [&str; 8] = [
    "LOCUST_HEADFUL",
    "LOCUST_MODE_MASTER",
    "LOCUST_MODE_WORKER",
    "LOCUST_PROCESSES",
    "LOCUST_AUTOQUIT",
    "LOCUST_LOGFILE",
    "LOCUST_SKIP_LOG_SETUP",
    "LOCUST_CONFIG_USERS",
];
