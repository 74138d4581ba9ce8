//! The rules that a comparison is judged by: limits, of all requests together and of single endpoints, and the number of runs.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use wildmatch::WildMatch;

use crate::model::day::Day;
use crate::model::run::{Endpoint, Metric};

/// The extent to which a metric may be worse than its baseline. All limits are strict: exactly at the limit passes.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// The largest worsening allowed, in percent of the baseline or, for `error_rate`, in percentage points; never
    /// negative.
    pub worsening: Option<f64>,
    /// A worsening no larger than this, in the metric's own unit, passes whatever its percentage.
    pub floor: Option<f64>,
    /// The worst value allowed whatever the baseline says, in the metric's own unit.
    pub bound: Option<f64>,
    /// The effect of a value over the limit on the verdict.
    pub level: Level,
}

/// The effect of a value over its limit on the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// It fails the gate.
    Fail,
    /// It is a warning.
    Warn,
    /// Nothing: the metric is shown but not judged.
    Off,
}

impl Level {
    /// Returns the level of a limit that does not say.
    pub(crate) fn default_of(metric: Metric) -> Level {
        match metric {
            Metric::P95 | Metric::P95Corrected | Metric::ErrorRate => Level::Fail,
            _ => Level::Warn,
        }
    }
}

/// The metrics judged, in the order of the findings: errors first, since a failing service has no latency to speak of.
pub const JUDGED: [Metric; 6] =
    [Metric::ErrorRate, Metric::P95, Metric::P95Corrected, Metric::P99, Metric::P50, Metric::RequestsPerSec];

/// A limit for each metric that is judged.
pub type Limits = BTreeMap<Metric, Limit>;

/// Returns the limits that hold where `perf.toml` has none.
pub fn default_limits() -> Limits {
    let limits = [
        (Metric::P50, 20.0),
        (Metric::P95, 20.0),
        (Metric::P95Corrected, 20.0),
        (Metric::P99, 25.0),
        (Metric::RequestsPerSec, 30.0),
        (Metric::ErrorRate, 2.0),
    ];
    let limit = |metric, worsening| Limit {
        worsening: Some(worsening),
        floor: None,
        bound: None,
        level: Level::default_of(metric),
    };
    limits.into_iter().map(|(metric, worsening)| (metric, limit(metric, worsening))).collect()
}

impl Limit {
    /// Parses a limit: `20%`, `2pp`, `20% and 5ms`, `max 500ms`, `20%, max 500ms`; for `requests_per_sec` `30%`,
    /// `min 10/s`. A level may stand before it, as in `fail 25%` and `warn 20%`; `off` stands alone.
    ///
    /// # Errors
    ///
    /// Names the part that is not a limit of this metric, and shows an example of one.
    pub fn parse(metric: Metric, text: &str) -> Result<Limit> {
        let (relative_unit, unit, bound_word, example) = match metric {
            Metric::ErrorRate => ("pp", "%", "max", "\"2pp\" or \"max 5%\""),
            Metric::RequestsPerSec => ("%", "/s", "min", "\"30%\" or \"min 10/s\""),
            Metric::P50 | Metric::P95 | Metric::P95Corrected | Metric::P99 => {
                ("%", "ms", "max", "\"20%\", \"20% and 5 ms\" or \"max 500 ms\"")
            }
            Metric::AvgResponseTime | Metric::TotalRequests => {
                bail!("`{metric}` is shown but not judged, so it takes no limit")
            }
        };
        let floor_unit = if metric == Metric::ErrorRate { "pp" } else { unit };
        let number = |part: &str, unit: &str| -> Result<f64> {
            let number = part
                .trim()
                .strip_suffix(unit)
                .with_context(|| format!("`{}` does not end in `{unit}`: write for example {example}", part.trim()))?;
            let value = number.trim().parse::<f64>().ok().filter(|value| value.is_finite() && *value >= 0.0);
            value.with_context(|| {
                format!("`{}` is not a number of 0 or more: write for example {example}", number.trim())
            })
        };
        let mut limit = Limit { worsening: None, floor: None, bound: None, level: Level::default_of(metric) };
        let text = match text.trim().split_once(' ') {
            None if text.trim() == "off" => return Ok(Limit { level: Level::Off, ..limit }),
            Some(("fail", rest)) => {
                limit.level = Level::Fail;
                rest
            }
            Some(("warn", rest)) => {
                limit.level = Level::Warn;
                rest
            }
            _ => text,
        };
        for part in text.split(',').map(str::trim) {
            if let Some(bound) = part.strip_prefix(bound_word) {
                ensure!(limit.bound.is_none(), "`{bound_word}` is given twice");
                limit.bound = Some(number(bound, unit)?);
            } else {
                ensure!(limit.worsening.is_none(), "the limit of change is given twice: write for example {example}");
                let (relative, floor) = match part.split_once(" and ") {
                    Some((relative, floor)) => (relative, Some(floor)),
                    None => (part, None),
                };
                limit.worsening = Some(number(relative, relative_unit)?);
                limit.floor = floor.map(|floor| number(floor, floor_unit)).transpose()?;
            }
        }
        Ok(limit)
    }

    /// Returns the worst value that the limit lets pass, in the metric's own unit.
    pub fn allowed(&self, metric: Metric, baseline: Option<f64>) -> Option<f64> {
        let [better_of, worse_of] =
            if metric == Metric::RequestsPerSec { [f64::max, f64::min] } else { [f64::min, f64::max] };
        let by_change = match (self.worsening, baseline) {
            (Some(worsening), Some(baseline)) => {
                let relative = metric.changed(baseline, metric.worsening(worsening));
                match self.floor {
                    Some(floor) => Some(worse_of(relative, baseline + metric.worsening(floor))),
                    None => Some(relative),
                }
            }
            _ => None,
        };
        match (by_change, self.bound) {
            (Some(by_change), Some(bound)) => Some(better_of(by_change, bound)),
            (by_change, bound) => by_change.or(bound),
        }
    }
}

/// Limits of the endpoints that a pattern names. They come before those of all endpoints.
#[derive(Clone, Debug)]
pub struct EndpointLimits {
    /// One endpoint, or several: `*` stands for any text and `?` for one character, as in `GET /claims*`.
    pattern: WildMatch,
    pub(crate) text: String,
    limits: Limits,
}

impl EndpointLimits {
    /// Makes the limits of the endpoints that `pattern` names.
    pub fn new(pattern: &str, limits: Limits) -> EndpointLimits {
        EndpointLimits { pattern: WildMatch::new(pattern), text: pattern.to_owned(), limits }
    }

    /// Returns what to sort by: a name comes before patterns, and a longer pattern before a shorter one.
    pub fn precedence(&self) -> (bool, Reverse<usize>) {
        (self.text.contains('*'), Reverse(self.text.len()))
    }

    pub(crate) fn covers(&self, endpoint: &str) -> bool {
        self.text == endpoint || self.pattern.matches(endpoint)
    }
}

/// An exception: for a while one series may be worse than its limit, up to another one.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// The endpoint, by Locust's Type and Name; `None` for all requests together.
    pub endpoint: Option<String>,
    /// The metric.
    pub metric: Metric,
    /// The limit that holds meanwhile. Its level does not matter: that of the series' own limit holds.
    pub up_to: Limit,
    /// The last day on which it holds.
    pub until: Day,
    /// The number of days from today to the last one: negative once that is over.
    pub days_left: i64,
    /// The user's reason.
    pub reason: String,
}

impl Accepted {
    /// Returns whether its last day is over, so that the series is judged as if it were not there.
    pub(crate) fn is_expired(&self) -> bool {
        self.days_left < 0
    }

    /// Returns whether it concerns a series; an `endpoint` of `None` is all requests together.
    pub(crate) fn covers(&self, endpoint: Endpoint, metric: Metric) -> bool {
        self.metric == metric && self.endpoint.as_deref() == endpoint
    }
}

/// Everything that a comparison is judged by.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The limits of all requests together, and of endpoints without limits of their own.
    pub limits: Limits,
    /// The limits of single endpoints, sorted by [`EndpointLimits::precedence`].
    pub endpoint_limits: Vec<EndpointLimits>,
    /// The exceptions, expired ones too.
    pub accepted: Vec<Accepted>,
    /// Makes every WARN a FAIL.
    pub strict: bool,
    /// Says that the runs of both sides are of the same rounds, in their order.
    pub paired: bool,
    /// The number of runs that are always made.
    pub min_runs: usize,
    /// The number of runs made at most. The verdict of all of them is the one that counts, and the gate stops once it is as
    /// good as known.
    pub max_runs: usize,
}

impl Default for Rules {
    /// Returns the default limits, with one run and up to eight.
    fn default() -> Rules {
        let (limits, endpoint_limits, accepted) = (default_limits(), Vec::new(), Vec::new());
        Rules { limits, endpoint_limits, accepted, strict: false, paired: false, min_runs: 1, max_runs: 8 }
    }
}

impl Rules {
    /// Returns the limit of a series, `None` where it is not judged; an `endpoint` of `None` is all requests together.
    pub fn limit(&self, endpoint: Endpoint, metric: Metric) -> Option<&Limit> {
        let of_endpoint = endpoint.and_then(|endpoint| {
            let mut covering = self.endpoint_limits.iter().filter(|own| own.covers(endpoint));
            covering.find_map(|own| own.limits.get(&metric))
        });
        let limit = of_endpoint.or_else(|| self.limits.get(&metric))?;
        (limit.level != Level::Off).then_some(limit)
    }

    /// Returns the exception that holds for a series today; an `endpoint` of `None` is all requests together.
    pub fn accepted(&self, endpoint: Endpoint, metric: Metric) -> Option<&Accepted> {
        self.accepted.iter().find(|accepted| !accepted.is_expired() && accepted.covers(endpoint, metric))
    }

    /// Returns whether a series over this limit fails the gate.
    pub fn fails(&self, limit: &Limit) -> bool {
        limit.level == Level::Fail || self.strict
    }

    /// Returns whether the gate can fail on a metric of all requests together.
    pub(crate) fn can_fail(&self, metric: Metric) -> bool {
        self.limit(None, metric).is_some_and(|limit| self.fails(limit))
    }
}
