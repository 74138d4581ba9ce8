//! Whether Locust made the load that was asked for.

use anyhow::{Result, bail, ensure};
use judge::model::run::Load;
use serde::Deserialize;

/// What the listener counts of the load itself, in `perf_listener.json`. An older listener has no `own_requests`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct LoadRecord {
    load_s: f64,
    /// In the statistics.
    requests: Option<u64>,
    /// The listener's own count of the same requests.
    own_requests: Option<u64>,
    /// How often something else cleared the statistics.
    resets: u64,
    loaders: Option<u64>,
    /// The processes that were to write the results.
    writers: u64,
    max_users: Option<f64>,
    /// The numbers of users that the runner was started with.
    users_asked: Option<UsersAsked>,
    /// Locust's run time at the end.
    run_time_s: Option<f64>,
    lateness: Option<LongestLateness>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct UsersAsked {
    least: u64,
    most: u64,
}

/// How late a timer of 20 ms was in the event loop.
#[derive(Clone, Copy, Debug, Deserialize)]
struct LongestLateness {
    #[serde(default)]
    max_ms: f64,
    /// The share of the measured time, from 0 to 1, in delays of at least 0.1 s, of the process that is worst off.
    #[serde(default)]
    blocked_share: f64,
}

/// By so much a load may be shorter or longer than was asked for.
const TIME_TOLERANCE_S: f64 = 0.5;
/// A busy machine ends a load late.
const LATE_SHARE: f64 = 0.1;

/// A delay that is worth a warning. A block of half a second reads as up to 20 ms less.
const LONG_DELAY_MS: f64 = 480.0;
/// Shares of the measured time in which the event loop stood still: a warning, and no measurement any more.
const BLOCKED_WARNS: f64 = 0.05;
const BLOCKED_REFUSES: f64 = 0.2;

impl LoadRecord {
    pub fn is_counted(&self) -> bool {
        self.own_requests.is_some()
    }

    /// A load shape sets its own time and users. Returns a warning, if there is one.
    pub fn check(&self, load: &Load, has_shape: bool) -> Result<Option<String>> {
        if self.is_counted() {
            if !has_shape {
                self.check_time(load)?;
                self.check_users(load)?;
            }
            self.check_processes(load)?;
            self.check_requests()?;
        }
        self.check_lateness()
    }

    fn check_time(&self, load: &Load) -> Result<()> {
        let asked_s = load.run_time_s as f64;
        let latest_s = asked_s * (1.0 + LATE_SHARE) + TIME_TOLERANCE_S;
        if (asked_s - TIME_TOLERANCE_S..=latest_s).contains(&self.load_s) {
            return Ok(());
        }
        let cause = match self.run_time_s {
            Some(own_s) if (own_s - asked_s).abs() > 0.0 => {
                format!(": the locustfile sets `run_time` to {own_s} s: remove that, and pass --run-time")
            }
            _ => ": something in the locustfile ended it, or held it up (work in a test_start listener counts: do it in init): see the log".to_owned(),
        };
        bail!("the load took {:.1} s instead of {asked_s} s{cause}", self.load_s)
    }

    fn check_users(&self, load: &Load) -> Result<()> {
        let asked = u64::from(load.users);
        if let Some(UsersAsked { least, most }) = self.users_asked {
            let other = if most > asked { most } else { least };
            ensure!(
                other == asked,
                "the locustfile starts {other} users instead of {asked} (runner.start): remove that, and pass --users"
            );
        }
        let most = self.max_users.unwrap_or(0.0);
        ensure!(
            most <= asked as f64 + 0.5,
            "{most:.0} users were running instead of {asked}: remove what starts the others from the locustfile"
        );
        Ok(())
    }

    fn check_processes(&self, load: &Load) -> Result<()> {
        let asked = u64::from(load.shared_by().unwrap_or(1));
        ensure!(
            self.writers <= 1,
            "{} processes wrote these results: the locustfile forks, so several Locusts loaded the service: remove that, and pass --processes",
            self.writers
        );
        let loaders = self.loaders.unwrap_or(asked);
        ensure!(loaders == asked, "{loaders} processes made the load instead of {asked}: see the log");
        Ok(())
    }

    fn check_requests(&self) -> Result<()> {
        let (Some(own), Some(counted)) = (self.own_requests, self.requests) else { return Ok(()) };
        let cause = if self.resets > 0 {
            ": the locustfile clears them (stats.reset_all): remove that"
        } else {
            ": something in the locustfile changes them: remove that"
        };
        ensure!(own == counted, "the statistics have {counted} of {own} requests{cause}");
        Ok(())
    }

    fn check_lateness(&self) -> Result<Option<String>> {
        let Some(LongestLateness { max_ms, blocked_share }) = self.lateness else { return Ok(None) };
        let percent = 100.0 * blocked_share;
        let remedy = "the locustfile blocks its event loop (a C call, a busy loop), or the machine is too busy";
        ensure!(
            blocked_share <= BLOCKED_REFUSES,
            "the load generator stalled for {percent:.0}% of the load, so the times are not the service's latency: {remedy}"
        );
        let length = if max_ms >= LONG_DELAY_MS {
            format!("{:.1} s at a time", max_ms / 1000.0)
        } else if blocked_share >= BLOCKED_WARNS {
            format!("{percent:.0}% of the load")
        } else {
            return Ok(None);
        };
        Ok(Some(format!("the load generator stalled for {length}, which inflates the latencies: {remedy}")))
    }
}
