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
use crate::settings::text;

const FREEZE: &str = "DEMO_FREEZE";

const FREEZE_SECONDS: RangeInclusive<f64> = 0.001..=3600.0;

/// The service freezes at the end of each period.
#[derive(Debug)]
struct Freeze {
    freeze_s: f64,
    period_s: f64,
}

impl Freeze {
    /// How much longer the service is frozen at this time; zero when it is not.
    fn left(&self, elapsed: Duration) -> Duration {
        let left_of_period_s = self.period_s - elapsed.as_secs_f64() % self.period_s;
        if left_of_period_s > self.freeze_s { Duration::ZERO } else { Duration::from_secs_f64(left_of_period_s) }
    }
}

#[derive(Debug)]
pub struct Stalls {
    freeze: Option<Freeze>,
    start: OnceLock<Instant>,
}

impl Stalls {
    /// Reads the settings; the error is one line that names the variable.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, String> {
        Ok(Self { freeze: freeze(&lookup)?, start: OnceLock::new() })
    }

    /// When the answer to a request leaves that would take this delay without
    /// a stall. The request has no endpoint if its path or method is unknown.
    pub fn departure(&self, endpoint: Option<Endpoint>, received: Instant, delay: Duration) -> Instant {
        let due = received + delay;
        let start = match endpoint {
            Some(Endpoint::Health) => self.start.get(),
            _ => Some(self.start.get_or_init(|| received)),
        };
        let Some(start) = start else {
            return due;
        };
        let frozen = self.freeze.as_ref().map(|freeze| freeze.left(due.saturating_duration_since(*start)));
        due + frozen.unwrap_or_default()
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

    /// When the answers leave to requests that are due at these seconds, the
    /// first of which starts the time.
    fn departures(stalls: &Stalls, endpoint: Option<Endpoint>, due_s: &[f64]) -> Vec<f64> {
        let start = Instant::now();
        stalls.departure(None, start, Duration::ZERO);
        let leaves = |due_s: &f64| {
            let departure = stalls.departure(endpoint, start, Duration::from_secs_f64(*due_s));
            (departure - start).as_secs_f64()
        };
        due_s.iter().map(leaves).collect()
    }

    #[test]
    fn a_freeze_ends_each_period_for_every_request() {
        let due_s = [0.0, 7.75, 8.0, 9.75, 10.0, 17.75, 18.5, 20.0];
        let leaves_s = [0.0, 7.75, 10.0, 10.0, 10.0, 17.75, 20.0, 20.0];
        for endpoint in Endpoint::ALL.map(Some).into_iter().chain([None]) {
            let stalls = stalls(&[(FREEZE, "2/10")]).expect("valid");
            assert_eq!(departures(&stalls, endpoint, &due_s), leaves_s, "{endpoint:?}");
        }
        let stalls = stalls(&[(FREEZE, "0.5/0.75")]).expect("valid");
        assert_eq!(departures(&stalls, None, &[0.125, 0.25, 0.75, 1.125]), [0.125, 0.75, 0.75, 1.5]);
    }

    #[test]
    fn time_starts_with_the_first_request_other_than_health() {
        let stalls = stalls(&[(FREEZE, "2/10")]).expect("valid");
        let at = |endpoint, received, delay_s| {
            stalls.departure(endpoint, received, Duration::from_secs(delay_s)).duration_since(received).as_secs()
        };
        let probed = Instant::now();
        assert_eq!(at(Some(Endpoint::Health), probed, 9), 9);
        let loaded = probed + Duration::from_secs(5);
        assert_eq!(at(None, loaded, 4), 4);
        assert_eq!(at(Some(Endpoint::Dashboard), loaded, 9), 10);
        // A request that was received earlier, but came second to the lock.
        assert_eq!(at(None, probed, 4), 4);
    }

    #[test]
    fn nothing_stalls_by_default() {
        for variables in [&[][..], &[(FREEZE, " ")]] {
            let stalls = stalls(variables).expect("valid");
            assert_eq!(departures(&stalls, None, &[0.0, 9.0, 5000.0]), [0.0, 9.0, 5000.0]);
        }
    }

    #[test]
    fn bad_values_are_one_line_that_names_the_variable() {
        for value in
            ["2", "2/", "/10", "2/10/1", "0/10", "-2/10", "10/10", "11/10", "2/NaN", "2/inf", "2s/10s", "2/3601"]
        {
            let message = stalls(&[(FREEZE, value)]).expect_err(value);
            assert!(message.starts_with(FREEZE), "{message}");
            assert!(message.contains(&format!("{value:?}")), "{message}");
            assert_eq!(message.lines().count(), 1, "{message}");
        }
    }
}
