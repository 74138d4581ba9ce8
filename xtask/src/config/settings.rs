//! The effective settings: flag > `perf.toml` > Locust's own configuration > default.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};
use judge::model::mask;
use judge::model::run::Load;

use crate::config::flags::{self, LoadFlags, PerfFlags};
use crate::config::locust_conf::LocustConf;
use crate::config::perf_toml::{Config, RunsConfig};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunRange {
    pub min: usize,
    pub max: usize,
    pub baseline: usize,
}

impl RunRange {
    /// The rounds of a comparison with another commit.
    pub(crate) const ROUNDS: RunRange = RunRange { min: 2, max: 7, baseline: 0 };

    /// The rounds if their runs vary much, and the user gives no number.
    pub(crate) const NOISY_ROUNDS: usize = 10;

    /// `[runs]` does not apply to rounds, and one round would not show the noise.
    pub fn settle(flags: &PerfFlags, own: RunsConfig) -> RunRange {
        let number = |runs: NonZeroU32| runs.get() as usize;
        let [min_flag, max_flag] =
            [flags.load.min_runs, flags.load.max_runs].map(|runs| runs.map(|runs| runs as usize));
        let own = RunRange { min: number(own.min), max: number(own.max), baseline: number(own.baseline) };
        let rounds = RunRange { baseline: own.baseline, ..RunRange::ROUNDS };
        let default = if flags.makes_rounds() { rounds } else { own };
        let min = min_flag.unwrap_or_else(|| default.min.min(max_flag.unwrap_or(default.min)));
        RunRange {
            min,
            max: max_flag.unwrap_or(default.max).max(min),
            baseline: max_flag.unwrap_or(default.baseline).max(min_flag.unwrap_or(1)),
        }
    }
}

#[derive(Debug)]
pub struct Settings {
    pub load: Load,
    /// Relative to the root; empty until they are found.
    pub(crate) locustfiles: Vec<String>,
    /// The locustfiles as a baseline names them; empty until they are found, and if one lies outside the root.
    pub(crate) locustfile_path: String,
    /// The running service to load. If the service is started here: what Locust gets as its host instead of the origin of
    /// the ready URL, or empty.
    pub(crate) host: String,
    pub(crate) starts_service: bool,
    /// Where Locust's master listens.
    pub(crate) bind_host: String,
    pub(crate) bind_port: u16,
    pub stop_timeout: Duration,
}

const DEFAULT_USERS: u32 = 10;
const DEFAULT_SPAWN_RATE: f64 = 10.0;
const DEFAULT_RUN_TIME_S: u64 = 30;
const DEFAULT_STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Locust's own defaults. This host is every address of the machine.
pub(crate) const DEFAULT_BIND_HOST: &str = "*";
const DEFAULT_BIND_PORT: u16 = 5557;

/// Settles every value, and refuses a load that is over before anything is measured.
pub fn settle(flags: &LoadFlags, locust_args: &[String], config: &Config, locust: &LocustConf) -> Result<Settings> {
    locust.refuse_other_modes()?;
    let own = &config.load;
    let parse_own_run_time = |text: &String| {
        flags::parse_run_time_s(text).map_err(|error| anyhow!("[load] `run_time` is `{text}`: {error}"))
    };
    let own_run_time_s = own.run_time.as_ref().map(parse_own_run_time).transpose()?;
    let users = locust.get_unless(flags.users.or(own.users), "users", whole_number, DEFAULT_USERS)?;
    let spawn_rate = flags.spawn_rate.or(own.spawn_rate);
    let spawn_rate = locust.get_unless(spawn_rate, "spawn-rate", flags::parse_spawn_rate, DEFAULT_SPAWN_RATE)?;
    let run_time_s = flags.run_time_s.or(own_run_time_s);
    let run_time_s = locust.get_unless(run_time_s, "run-time", flags::parse_run_time_s, DEFAULT_RUN_TIME_S)?;
    let stop_timeout = locust.get_unless(own.stop_timeout, "stop-timeout", locust_duration, DEFAULT_STOP_TIMEOUT)?;
    let warmup_s = own.warmup.as_secs_f64();
    check_load(users, spawn_rate, run_time_s, warmup_s)?;
    // A host on the command line names a service that runs already, unless it has the placeholder for our port.
    let starts_service = config.service.is_some() && flags.host.as_ref().is_none_or(|host| host.contains("{port}"));
    let host = match flags.host.clone().or_else(|| own.host.clone()) {
        None if !starts_service => locust.text("host").map(str::to_owned),
        host => host,
    };
    let host = host.unwrap_or_default();
    ensure!(
        starts_service || !host.is_empty(),
        "no service to load: describe it in [service] of perf.toml, or name a running one with --host URL"
    );
    let (processes, workers) = match (flags.processes, flags.expect_workers) {
        (None, None) => (own.processes, own.expect_workers),
        by_flag => by_flag,
    };
    ensure!(processes != Some(0), "[load] `processes` is 0: give 1 or more");
    ensure!(workers != Some(0), "[load] `expect_workers` is 0: give 1 or more");
    ensure!(
        processes.is_none() || workers.is_none(),
        "--processes starts Locust's workers itself, and --expect-workers waits for workers started elsewhere: use one of them, also in [load] of perf.toml"
    );
    check_args(&own.args, locust_args)?;
    let given = [own.args.as_slice(), locust_args].concat();
    let classes_at = locust_args.iter().position(|arg| arg == "--").unwrap_or(locust_args.len());
    let (options, classes) = locust_args.split_at(classes_at);
    let load = Load {
        users,
        spawn_rate,
        run_time_s,
        warmup_s,
        processes,
        workers,
        has_shape: false,
        args: own.args.clone(),
        locust_args: [options, &locust.tags(&given), classes].concat(),
    };
    Ok(Settings {
        load,
        locustfiles: Vec::new(),
        locustfile_path: String::new(),
        host,
        starts_service,
        bind_host: locust.text("master-bind-host").unwrap_or(DEFAULT_BIND_HOST).to_owned(),
        bind_port: locust.get("master-bind-port", whole_number)?.unwrap_or(DEFAULT_BIND_PORT),
        stop_timeout,
    })
}

/// The arguments of `perf.toml` and those behind `--` are stored apart, with their secrets masked, so an option of the
/// one must not take its value from the other.
fn check_args(own: &[String], locust_args: &[String]) -> Result<()> {
    flags::refuse_owned_locust_args(own, "in [load] `args`")?;
    let open = own.last().filter(|last| last.starts_with('-') && *last != "--");
    if let (Some(open), Some(first)) = (open, locust_args.first().filter(|first| !first.starts_with('-'))) {
        bail!(
            "[load] `args` ends with `{open}`, which would swallow `{}` behind `--` as its value: keep an option and its value together, and write user classes as `-- -- NAME`",
            mask::text(first)
        );
    }
    Ok(())
}

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

fn locust_duration(text: &str) -> Result<Duration> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let duration = seconds
        .or_else(|| humantime::parse_duration(text).ok())
        .ok_or_else(|| anyhow!("expected a duration such as 10 or 45s"))?;
    flags::check_length(duration)?;
    Ok(duration)
}
