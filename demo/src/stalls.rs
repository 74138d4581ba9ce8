//! When the service as a whole stops answering, on purpose.
//!
//! Its time counts from the first request other than `GET /health`, because
//! that is when a load begins: whoever waits for the service to be ready only
//! asks for its health.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::endpoint::Endpoint;
use crate::settings::{number, text};

const FREEZE: &str = "DEMO_FREEZE";
const HANG_AFTER_S: &str = "DEMO_HANG_AFTER_S";

const FREEZE_SECONDS: RangeInclusive<f64> = 0.001..=3600.0;

/// The service freezes at the end of each period.
#[derive(Debug)]
struct Freeze {
    freeze_s: f64,
    period_s: f64,
}

impl Freeze {
    /// Returns how much longer the service is frozen at this time; zero when it is not.
    fn left(&self, elapsed: Duration) -> Duration {
        let left_of_period_s = self.period_s - elapsed.as_secs_f64() % self.period_s;
        if left_of_period_s > self.freeze_s { Duration::ZERO } else { Duration::from_secs_f64(left_of_period_s) }
    }
}

#[derive(Debug)]
pub struct Stalls {
    freeze: Option<Freeze>,
    hang_after: Option<Duration>,
    start: OnceLock<Instant>,
}

impl Stalls {
    /// Reads the settings; the error is one line that names the variable.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, String> {
        Ok(Self {
            freeze: freeze(&lookup)?,
            hang_after: number(&lookup, HANG_AFTER_S, 0.0..=3600.0)?.map(Duration::from_secs_f64),
            start: OnceLock::new(),
        })
    }

    /// When the answer to a request leaves that would take this delay without
    /// a stall; nothing if it never does. The request has no endpoint if its
    /// path or method is unknown.
    pub fn departure(&self, endpoint: Option<Endpoint>, received: Instant, delay: Duration) -> Option<Instant> {
        let due = received + delay;
        let is_health = endpoint == Some(Endpoint::Health);
        let start = if is_health { self.start.get() } else { Some(self.start.get_or_init(|| received)) };
        let Some(start) = start else {
            return Some(due);
        };
        let frozen = self.freeze.as_ref().map(|freeze| freeze.left(due.saturating_duration_since(*start)));
        let departure = due + frozen.unwrap_or_default();
        let hangs = self.hang_after.is_some_and(|hang_after| departure >= *start + hang_after);
        (is_health || !hangs).then_some(departure)
    }
}

fn freeze(lookup: &impl Fn(&str) -> Option<OsString>) -> Result<Option<Freeze>, String> {
    let Some(value) = text(lookup, FREEZE)? else {
        return Ok(None);
    };
    let seconds = |part: &str| part.parse().ok().filter(|seconds| FREEZE_SECONDS.contains(seconds));
    let parts = value.split_once('/').and_then(|(freeze, period)| Some((seconds(freeze)?, seconds(period)?)));
    match parts {
        Some((freeze_s, period_s)) if freeze_s < period_s => Ok(Some(Freeze { freeze_s, period_s })),
        _ => Err(format!(
            "{FREEZE} is {value:?}, but must be the seconds of a freeze and of its longer period, \
             each from {} to {}, such as 2/10",
            FREEZE_SECONDS.start(),
            FREEZE_SECONDS.end()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stalls(variables: &[(&str, &str)]) -> Result<Stalls, String> {
        Stalls::from_lookup(|name| {
            let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
            Some(value.into())
        })
    }

    /// When the answers leave to requests that are due at these seconds, after
    /// another one has started the time.
    fn departures(variables: &[(&str, &str)], endpoint: Option<Endpoint>, due_s: &[f64]) -> Vec<Option<f64>> {
        let stalls = stalls(variables).expect("valid");
        let start = Instant::now();
        stalls.departure(None, start, Duration::ZERO);
        let leaves = |due_s: &f64| {
            let departure = stalls.departure(endpoint, start, Duration::from_secs_f64(*due_s));
            Some((departure? - start).as_secs_f64())
        };
        due_s.iter().map(leaves).collect()
    }

    #[test]
    fn a_freeze_ends_each_period_for_every_request() {
        let due_s = [0.0, 7.75, 8.0, 9.75, 10.0, 17.75, 18.5, 20.0];
        let leaves_s = [0.0, 7.75, 10.0, 10.0, 10.0, 17.75, 20.0, 20.0].map(Some);
        for endpoint in Endpoint::ALL.map(Some).into_iter().chain([None]) {
            assert_eq!(departures(&[(FREEZE, "2/10")], endpoint, &due_s), leaves_s, "{endpoint:?}");
        }
        let leaves_s = [0.125, 0.75, 0.75, 1.5].map(Some);
        assert_eq!(departures(&[(FREEZE, "0.5/0.75")], None, &[0.125, 0.25, 0.75, 1.125]), leaves_s);
    }

    #[test]
    fn time_starts_with_the_first_request_other_than_health() {
        let stalls = stalls(&[(FREEZE, "2/10")]).expect("valid");
        let probed = Instant::now();
        let at = |endpoint, received_s, delay_s| {
            let [received, delay] = [received_s, delay_s].map(Duration::from_secs);
            Some((stalls.departure(endpoint, probed + received, delay)? - probed).as_secs())
        };
        assert_eq!(at(Some(Endpoint::Health), 0, 9), Some(9));
        assert_eq!(at(None, 5, 4), Some(9));
        assert_eq!(at(Some(Endpoint::Dashboard), 5, 9), Some(15));
        // The thread that was to start the time may come second.
        assert_eq!(at(None, 0, 4), Some(4));
    }

    #[test]
    fn a_hang_leaves_only_health() {
        let due_s = [0.0, 7.75, 8.0, 20.0];
        for endpoint in Endpoint::ALL.map(Some).into_iter().chain([None]) {
            let mut leaves_s = due_s.map(Some);
            if endpoint != Some(Endpoint::Health) {
                leaves_s[2..].fill(None);
            }
            assert_eq!(departures(&[(HANG_AFTER_S, "8")], endpoint, &due_s), leaves_s, "{endpoint:?}");
        }
        let at_once = stalls(&[(HANG_AFTER_S, "0")]).expect("valid");
        assert_eq!(at_once.departure(None, Instant::now(), Duration::ZERO), None);
    }

    #[test]
    fn a_hang_within_a_freeze_keeps_what_is_due_there() {
        let both = [(FREEZE, "2/10"), (HANG_AFTER_S, "9")];
        assert_eq!(departures(&both, None, &[7.75, 8.25, 11.0]), [Some(7.75), None, None]);
        assert_eq!(departures(&both, Some(Endpoint::Health), &[8.25, 11.0]), [10.0, 11.0].map(Some));
    }

    #[test]
    fn nothing_stalls_by_default() {
        for variables in [&[][..], &[(FREEZE, " "), (HANG_AFTER_S, "")]] {
            assert_eq!(departures(variables, None, &[0.0, 9.0, 5000.0]), [0.0, 9.0, 5000.0].map(Some));
        }
    }

    #[test]
    fn bad_values_are_one_line_that_names_the_variable() {
        let freezes =
            ["2", "2/", "/10", "2/10/1", "0/10", "-2/10", "10/10", "11/10", "2/NaN", "2/inf", "2s/10s", "2/3601"];
        let hangs = ["-1", "8s", "NaN", "3601"];
        for (name, value) in
            freezes.map(|value| (FREEZE, value)).into_iter().chain(hangs.map(|value| (HANG_AFTER_S, value)))
        {
            let message = stalls(&[(name, value)]).expect_err(value);
            assert!(message.starts_with(&format!("{name} is {value:?}, but must be ")), "{message}");
            assert_eq!(message.lines().count(), 1, "{message}");
        }
    }
}
