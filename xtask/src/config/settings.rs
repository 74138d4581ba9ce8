//! `perf.toml`, and the settings that come from the flags, from it, or from Locust's own configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use toml::Spanned;

use judge::model::limits::{EndpointLimits, Limit, Limits, default_limits};
use judge::model::mask;
use judge::model::run::{LEAST_REQUESTS, Load, Metric};
use judge::model::text::printable;

use crate::config::flags::{self, LoadFlags, Perf};
use crate::config::time::{AcceptedConfig, AcceptedEntry, BaselineConfig, DriftConfig, DriftTable, line_of};

/// The content of `perf.toml`; `xtask/adopt/perf.toml` explains each key.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The commands and limits of the service; `None` where it runs already.
    pub service: Option<ServiceConfig>,
    /// The load.
    #[serde(default)]
    pub load: LoadConfig,
    /// The choice of Locust.
    #[serde(default)]
    pub locust: LocustConfig,
    /// The number of runs that are made.
    #[serde(default)]
    pub runs: RunsConfig,
    /// The checkouts of other commits.
    #[serde(default)]
    pub against: AgainstConfig,
    /// The use of the baseline.
    #[serde(default)]
    pub baseline: BaselineConfig,
    #[serde(rename = "drift")]
    drift_table: Option<DriftTable>,
    /// The limits of the drift; `None` where none is judged.
    #[serde(skip)]
    pub drift: Option<DriftConfig>,
    #[serde(default, rename = "accepted")]
    accepted_entries: Vec<AcceptedEntry>,
    /// The exceptions.
    #[serde(skip)]
    pub accepted: Vec<AcceptedConfig>,
    #[serde(default, rename = "limits")]
    entries: BTreeMap<Spanned<String>, Spanned<LimitEntry>>,
    /// The limits of all requests together, and of endpoints without limits of their own.
    #[serde(skip, default = "default_limits")]
    pub limits: Limits,
    /// The limits of single endpoints, in the order of their precedence.
    #[serde(skip)]
    pub endpoint_limits: Vec<EndpointLimits>,
}

type LimitTable = BTreeMap<Spanned<String>, Spanned<String>>;

/// An entry of `[limits]`.
#[derive(Debug)]
enum LimitEntry {
    /// The limit of the metric that the key names.
    Limit(String),
    /// The limits of the endpoints that the key names.
    Endpoint(LimitTable),
}

/// `[service]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceConfig {
    /// Starts the service and stays in the foreground.
    pub command: String,
    /// Builds the service before it is started.
    pub build: Option<String>,
    /// Prepares each start of the service: resets or seeds its database.
    pub prepare: Option<String>,
    /// Answers 2xx once the service is ready, or takes connections where it begins with `tcp://`.
    pub ready_url: String,
    /// The status of that answer, where it is another one than 2xx.
    pub ready_status: Option<u16>,
    /// Variables for `command`.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The time for `build` to end, and for `prepare`.
    #[serde(default = "ten_minutes", deserialize_with = "duration")]
    pub build_timeout: Duration,
    /// The time for `ready_url` to answer.
    #[serde(default = "thirty_seconds", deserialize_with = "duration")]
    pub ready_timeout: Duration,
    /// The time from SIGTERM to SIGKILL.
    #[serde(default = "ten_seconds", deserialize_with = "duration")]
    pub stop_timeout: Duration,
}

impl ServiceConfig {
    /// Returns whether it uses files of the user's own checkout: `{root}`, or `PERF_ROOT`.
    pub fn names_root(&self) -> bool {
        let texts = [Some(&self.command), self.build.as_ref(), self.prepare.as_ref()].into_iter().flatten();
        texts.chain(self.env.values()).any(|text| text.contains("{root}") || text.contains("PERF_ROOT"))
    }
}

/// `[load]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoadConfig {
    users: Option<u32>,
    spawn_rate: Option<f64>,
    run_time: Option<String>,
    host: Option<String>,
    locustfile: Option<String>,
    args: Vec<String>,
    processes: Option<u32>,
    expect_workers: Option<u32>,
    /// The time for the workers to connect.
    #[serde(deserialize_with = "duration")]
    pub workers_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    warmup: Duration,
    #[serde(deserialize_with = "some_duration")]
    stop_timeout: Option<Duration>,
    /// The number of requests that a run must have to be judged.
    #[serde(deserialize_with = "min_requests")]
    pub min_requests: u64,
    /// The time that Locust may take beyond run time and stop timeout.
    #[serde(deserialize_with = "duration")]
    pub deadline_margin: Duration,
}

impl LoadConfig {
    /// Returns the locustfiles that are named, with commas between.
    pub fn locustfile(&self) -> Option<&str> {
        self.locustfile.as_deref()
    }
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
            workers_timeout: Duration::from_mins(2),
            warmup: Duration::ZERO,
            stop_timeout: None,
            min_requests: LEAST_REQUESTS,
            deadline_margin: thirty_seconds(),
        }
    }
}

/// `[runs]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunsConfig {
    min: NonZeroU32,
    max: NonZeroU32,
    baseline: NonZeroU32,
}

impl Default for RunsConfig {
    fn default() -> RunsConfig {
        const fn runs(number: u32) -> NonZeroU32 {
            NonZeroU32::new(number).expect("not 0")
        }
        RunsConfig { min: runs(1), max: runs(8), baseline: runs(10) }
    }
}

/// The numbers of runs, or of rounds, that a command makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunRange {
    /// The minimum number.
    pub min: usize,
    /// The number made at most.
    pub max: usize,
    /// The number made for a new baseline.
    pub baseline: usize,
}

impl RunRange {
    /// The rounds of a comparison with another commit.
    pub const ROUNDS: RunRange = RunRange { min: 2, max: 7, baseline: 0 };

    /// Settles the numbers: flag > `perf.toml` > default. What `perf.toml` says of runs does not hold for rounds, and one
    /// round tells nothing of the noise.
    pub fn settle(flags: &Perf, own: RunsConfig) -> RunRange {
        let number = |runs: NonZeroU32| runs.get() as usize;
        let by_flag = |runs: Option<u32>| runs.map(|runs| runs as usize);
        let (min_flag, max_flag) = (by_flag(flags.load.min_runs), by_flag(flags.load.max_runs));
        let own = RunRange { min: number(own.min), max: number(own.max), baseline: number(own.baseline) };
        let rounds = RunRange { baseline: own.baseline, ..RunRange::ROUNDS };
        let default = if flags.against.is_some() { rounds } else { own };
        let min = min_flag.unwrap_or_else(|| default.min.min(max_flag.unwrap_or(default.min)));
        RunRange {
            min,
            max: max_flag.unwrap_or(default.max).max(min),
            baseline: max_flag.unwrap_or(default.baseline).max(min_flag.unwrap_or(1)),
        }
    }
}

/// `[against]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgainstConfig {
    /// The folder of the checkouts, from the root or from `~/`, instead of the user's cache.
    pub folder: Option<String>,
}

/// `[locust]`.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LocustConfig {
    /// The version to install instead of the pinned one.
    pub version: Option<String>,
    /// Starts a Locust of the user's own.
    pub command: Option<String>,
    /// Packages, or requirements files, to install beside Locust.
    pub requirements: Vec<String>,
}

impl Config {
    /// Parses `perf.toml`.
    ///
    /// # Errors
    ///
    /// Begins with the line, as `:3: ...`, and says what is wrong there.
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
        // Who sets the limit of p95 means the users, and these are whom the corrected one is about.
        let is_set = |metric: Metric| config.entries.keys().any(|name| name.get_ref() == metric.name());
        if !is_set(Metric::P95Corrected)
            && let Some(limit) = config.limits.get(&Metric::P95).cloned()
        {
            config.limits.insert(Metric::P95Corrected, limit);
        }
        config.drift = config.drift_table.as_ref().map(|table| table.resolve(text)).transpose()?;
        config.accepted = AcceptedEntry::resolve_all(&config.accepted_entries, text)?;
        let RunsConfig { min, max, .. } = config.runs;
        if min > max {
            let line = text.lines().position(|line| line.trim() == "[runs]").map_or(1, |line| line + 1);
            bail!(":{line}: [runs] `min` is {min}, more than `max`, which is {max}");
        }
        config.endpoint_limits.sort_by_cached_key(EndpointLimits::precedence);
        if config.locust.command.is_some()
            && (config.locust.version.is_some() || !config.locust.requirements.is_empty())
        {
            let line = text.lines().position(|line| line.trim() == "[locust]").map_or(1, |line| line + 1);
            bail!(
                ":{line}: [locust] `command` is for a Locust of your own, `version` and `requirements` for the managed one: remove one or the other"
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
            "{error} is not a metric: use p50, p95, p99, requests_per_sec or error_rate, or a table [limits.\"GET /path\"]"
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

/// Parses a number of requests. A run may be asked for more than the least, not for less.
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
    Duration::from_mins(10)
}

fn thirty_seconds() -> Duration {
    Duration::from_secs(30)
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

/// What the load is in the end: the service, the load and the locustfile.
#[derive(Debug)]
pub struct Settings {
    /// The load.
    pub load: Load,
    /// The locustfiles, with commas between.
    pub locustfile: String,
    /// The running service to load. Where the service is started here: what Locust gets as its host, if that is not the
    /// origin of the ready URL.
    pub host: Option<String>,
    /// Says that `[service]` is to be started.
    pub starts_service: bool,
    /// The address where Locust's master listens, if its own configuration says so.
    pub bind_host: Option<String>,
    /// The port where Locust's master listens.
    pub bind_port: u16,
    /// The time for requests that are under way to end when the load is over.
    pub stop_timeout: Duration,
}

const DEFAULT_USERS: u32 = 10;
const DEFAULT_SPAWN_RATE: f64 = 10.0;
const DEFAULT_RUN_TIME_S: u64 = 30;
/// Locust's own default.
const DEFAULT_BIND_PORT: u16 = 5557;

/// Settles every value: flag > `perf.toml` > Locust's own configuration > default.
///
/// # Errors
///
/// Names a value that makes no sense, a load that is over before anything is measured, and a setting of Locust's
/// configuration that would change the run unnoticed and that no option can switch off.
pub fn settle(flags: &LoadFlags, locust_args: &[String], config: &Config, locust: &LocustSettings) -> Result<Settings> {
    locust.refuse_other_modes()?;
    let own = &config.load;
    let text = |text: &str| Ok(text.to_owned());
    let own_run_time_s = match &own.run_time {
        Some(text) => {
            Some(flags::parse_run_time_s(text).map_err(|error| anyhow!("[load] `run_time` is `{text}`: {error}"))?)
        }
        None => None,
    };
    let flag_locustfile = flags.locustfile.as_ref().map(|file| file.to_string_lossy().into_owned());
    let users = first([flags.users, own.users], || locust.get("users", whole_number), DEFAULT_USERS)?;
    let spawn_rate = first(
        [flags.spawn_rate, own.spawn_rate],
        || locust.get("spawn-rate", flags::parse_spawn_rate),
        DEFAULT_SPAWN_RATE,
    )?;
    let run_time_s = first(
        [flags.run_time_s, own_run_time_s],
        || locust.get("run-time", flags::parse_run_time_s),
        DEFAULT_RUN_TIME_S,
    )?;
    let locustfile = first(
        [flag_locustfile, own.locustfile.clone()],
        || locust.get("locustfile", text),
        "locustfile.py".to_owned(),
    )?;
    let stop_timeout = first([None, own.stop_timeout], || locust.get("stop-timeout", locust_duration), ten_seconds())?;
    let warmup_s = own.warmup.as_secs_f64();
    check_load(users, spawn_rate, run_time_s, warmup_s)?;
    // A host on the command line names a service that runs already, unless it asks for the port of ours.
    let starts_service = config.service.is_some() && flags.host.as_ref().is_none_or(|host| host.contains("{port}"));
    let host = match flags.host.clone().or_else(|| own.host.clone()) {
        None if !starts_service => locust.get("host", text)?,
        host => host,
    };
    ensure!(
        starts_service || host.is_some(),
        "no service to load: describe it in [service] of perf.toml, or name a running one with --host URL"
    );
    let Sharing { processes, workers } = settle_sharing(flags, own)?;
    check_args(&own.args, locust_args)?;
    let given = [own.args.as_slice(), locust_args].concat();
    Ok(Settings {
        load: Load {
            users,
            spawn_rate,
            run_time_s,
            warmup_s,
            processes,
            workers,
            has_shape: false,
            args: own.args.clone(),
            locust_args: [locust_args, &locust.tags(&given)?].concat(),
        },
        locustfile,
        host,
        starts_service,
        bind_host: locust.get("master-bind-host", text)?,
        bind_port: locust.get("master-bind-port", whole_number)?.unwrap_or(DEFAULT_BIND_PORT),
        stop_timeout,
    })
}

/// Checks the arguments for Locust of `perf.toml` beside those behind `--`. They are kept apart, each without its secrets, so
/// an option of the one must not take its value from the other.
fn check_args(own: &[String], locust_args: &[String]) -> Result<()> {
    flags::refuse_owned_locust_args(own, "in [load] `args`")?;
    let open = own.last().filter(|last| last.starts_with('-') && *last != "--");
    if let (Some(open), Some(first)) = (open, locust_args.first().filter(|first| !first.starts_with('-'))) {
        bail!(
            "[load] `args` ends with `{open}`, which would take `{}` behind `--` for its value: write all of an option in one place, and user classes as `-- -- NAME`",
            mask::text(first)
        );
    }
    Ok(())
}

/// Returns the first value that is given: by flag, by `perf.toml`, by Locust's own configuration, or by default.
fn first<T>(given: [Option<T>; 2], locust: impl FnOnce() -> Result<Option<T>>, default: T) -> Result<T> {
    let [flag, own] = given;
    match flag.or(own) {
        Some(value) => Ok(value),
        None => Ok(locust()?.unwrap_or(default)),
    }
}

/// Parses a setting of Locust's that is a whole number.
fn whole_number<T: FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| anyhow!("expected a whole number"))
}

fn check_load(users: u32, spawn_rate: f64, run_time_s: u64, warmup_s: f64) -> Result<()> {
    ensure!(users > 0, "[load] `users` is 0: a load needs at least one user");
    ensure!(
        spawn_rate.is_finite() && spawn_rate > 0.0,
        "[load] `spawn_rate` is {spawn_rate}: users must start at a rate above 0 per second"
    );
    let unmeasured_s = (f64::from(users) / spawn_rate - 1.0).max(0.0) + warmup_s;
    ensure!(
        unmeasured_s < run_time_s as f64,
        "{users} users at {spawn_rate} per second and {warmup_s} s of warm-up take all of the {run_time_s} s of run time, and only what follows is measured: raise --run-time or --spawn-rate"
    );
    Ok(())
}

/// The Locust processes that share the load.
#[derive(Clone, Copy, PartialEq)]
struct Sharing {
    /// Processes on this machine.
    processes: Option<u32>,
    /// Workers elsewhere.
    workers: Option<u32>,
}

/// Settles who shares the load. A flag of either kind replaces what `perf.toml` says of both.
fn settle_sharing(flags: &LoadFlags, own: &LoadConfig) -> Result<Sharing> {
    let by_flag = Sharing { processes: flags.processes, workers: flags.expect_workers };
    let by_file = Sharing { processes: own.processes, workers: own.expect_workers };
    let is_by_flag = by_flag.processes.is_some() || by_flag.workers.is_some();
    let sharing = if is_by_flag { by_flag } else { by_file };
    ensure!(sharing.processes != Some(0), "[load] `processes` is 0: give 1 or more");
    ensure!(sharing.workers != Some(0), "[load] `expect_workers` is 0: give 1 or more");
    ensure!(
        sharing.processes.is_none() || sharing.workers.is_none(),
        "--processes starts Locust's workers itself, and --expect-workers waits for workers started elsewhere: use one of them, also in [load] of perf.toml"
    );
    Ok(sharing)
}

/// Parses seconds, or a length of time in Locust's form.
fn locust_duration(text: &str) -> Result<Duration> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let duration = seconds
        .or_else(|| humantime::parse_duration(text).ok())
        .ok_or_else(|| anyhow!("expected a duration such as 10 or 45s"))?;
    flags::check_length(duration)?;
    Ok(duration)
}

/// The settings that Locust itself would read: the `LOCUST_*` variables, then its configuration files in its own order.
#[derive(Debug, Default)]
pub struct LocustSettings {
    settings: Vec<Setting>,
}

#[derive(Debug)]
struct Setting {
    /// The variable or the file that has it.
    source: String,
    /// The key in Locust's spelling: `spawn-rate`.
    key: String,
    value: String,
    /// The kind of the source.
    origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Origin {
    Variable,
    File,
}

impl LocustSettings {
    /// Adds the `LOCUST_*` variables.
    pub fn add_env(&mut self, vars: impl Iterator<Item = (String, String)>) {
        for (name, value) in vars {
            if let Some(key) = name.strip_prefix("LOCUST_") {
                let key = key.to_lowercase().replace('_', "-");
                self.settings.push(Setting { source: name, key, value, origin: Origin::Variable });
            }
        }
    }

    /// Adds `[tool.locust]` of `pyproject.toml`.
    ///
    /// # Errors
    ///
    /// Names the file where it is not TOML.
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
                toml::Value::Array(list) => {
                    let list: Vec<&str> = list.iter().filter_map(toml::Value::as_str).collect();
                    format!("[{}]", list.join(", "))
                }
                // No setting of the gate's is a table.
                _ => continue,
            };
            let (source, key) = (source.to_owned(), key.replace('_', "-"));
            self.settings.push(Setting { source, key, value, origin: Origin::File });
        }
        Ok(())
    }

    /// Adds `locust.conf`: lines of `key = value`, `key: value` or `key value`, comments behind `#` or `;`.
    pub fn add_conf(&mut self, source: &str, text: &str) {
        // Of a key that appears twice, the last counts.
        for line in text.lines().rev().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', ';', '[']) {
                continue;
            }
            let parts = [['=', ':'].as_slice(), &[' ', '\t', '\u{b}', '\u{c}']].concat();
            let (key, value) = line.split_once(parts.as_slice()).unwrap_or((line, "true"));
            let value = value.trim_start_matches(parts.as_slice());
            let comment = value.match_indices([';', '#']).find(|(at, _)| value[..*at].ends_with([' ', '\t']));
            let value = comment.map_or(value, |(at, _)| &value[..at]).trim().trim_matches(['"', '\'']);
            self.settings.push(Setting {
                source: source.to_owned(),
                key: key.trim().trim_start_matches('-').replace('_', "-"),
                value: value.to_owned(),
                origin: Origin::File,
            });
        }
    }

    /// Returns the value of a key, parsed; `None` where nothing sets it.
    ///
    /// # Errors
    ///
    /// Names the source of a value that cannot be parsed.
    pub fn get<T>(&self, key: &str, parse: impl Fn(&str) -> Result<T>) -> Result<Option<T>> {
        let Some(Setting { source, value, .. }) = self.settings.iter().find(|setting| setting.key == key) else {
            return Ok(None);
        };
        parse(value).map(Some).map_err(|error| anyhow!("{source} sets Locust's `{key}` to `{value}`: {error}"))
    }

    /// Returns the tags that choose the users' tasks, as arguments, where those given do not replace them. As arguments they
    /// are a part of the load that is kept and compared.
    fn tags(&self, given: &[String]) -> Result<Vec<String>> {
        let mut args = Vec::new();
        for (key, long, short) in [("tags", "--tags", "-T"), ("exclude-tags", "--exclude-tags", "-E")] {
            let is_it = |arg: &String| {
                let name = arg.split('=').next().unwrap_or_default();
                arg.starts_with(short) || name.len() > 2 && long.starts_with(name)
            };
            let value = self.get(key, |text| Ok(text.trim().to_owned()))?.unwrap_or_default();
            if value.is_empty() || given.iter().any(is_it) {
                continue;
            }
            args.push(long.to_owned());
            // Locust takes any other text for one tag.
            match value.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
                Some(list) => args.extend(list.split(',').map(|tag| tag.trim().trim_matches(['"', '\'']).to_owned())),
                None => args.push(value),
            }
        }
        Ok(args)
    }

    /// Refuses a file that makes another run. A variable is taken out of Locust's environment instead ([`STRIPPED`]).
    fn refuse_other_modes(&self) -> Result<()> {
        for Setting { source, key, value, origin } in &self.settings {
            let is_off = matches!(value.to_lowercase().as_str(), "false" | "0" | "no");
            if *origin == Origin::File && !is_off && OTHER_MODES.contains(&key.as_str()) {
                bail!(
                    "{source} sets Locust's `{key}`, which would change the run, or keep it from ending: remove it there"
                );
            }
        }
        Ok(())
    }
}

/// The keys of Locust's configuration files that make it wait, fork, hide its log, list what it has in place of a run, or
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

/// The variables that would do the same; they are taken out of Locust's environment.
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
