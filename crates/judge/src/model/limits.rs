//! The rules that a comparison is judged by.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use wildmatch::WildMatch;

use crate::model::day::Day;
use crate::model::run::{EndpointName, LEAST_REQUESTS, Metric};

/// How much worse a metric may be than its baseline. All limits are strict: exactly at the limit passes.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// In percent of the baseline, or in percentage points for `error_rate`; never negative.
    pub worsening: Option<f64>,
    /// A worsening up to this, in the metric's own unit, passes whatever its percentage.
    pub floor: Option<f64>,
    /// The worst value allowed whatever the baseline, in the metric's own unit.
    pub bound: Option<f64>,
    pub level: Level,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Fail,
    Warn,
    Off,
}

impl Level {
    pub(crate) fn default_of(metric: Metric) -> Level {
        match metric {
            Metric::P95 | Metric::P95Corrected | Metric::ErrorRate => Level::Fail,
            _ => Level::Warn,
        }
    }
}

/// In the order of the findings: errors first, since the latencies of a failing service mean little.
pub const JUDGED: [Metric; 8] = [
    Metric::ErrorRate,
    Metric::P95,
    Metric::P95Corrected,
    Metric::P99,
    Metric::P50,
    Metric::AvgResponseTime,
    Metric::RequestsPerSec,
    Metric::CpuPerRequest,
];

pub type Limits = BTreeMap<Metric, Limit>;

pub fn default_limits() -> Limits {
    let limits = [
        (Metric::P50, 20.0),
        (Metric::P95, 20.0),
        (Metric::P95Corrected, 20.0),
        (Metric::P99, 25.0),
        (Metric::RequestsPerSec, 30.0),
        (Metric::ErrorRate, 2.0),
    ];
    let limit = |worsening, level| Limit { worsening: Some(worsening), floor: None, bound: None, level };
    limits.map(|(metric, worsening)| (metric, limit(worsening, Level::default_of(metric)))).into()
}

impl Limit {
    /// Parses a limit: `20%`, `2pp`, `20% and 5ms`, `max 500ms`, `20%, max 500ms`; for `requests_per_sec` `30%`, `min
    /// 10/s`. A level may precede it, as in `fail 25%` and `warn 20%`; `off` stands alone.
    pub fn parse(metric: Metric, text: &str) -> Result<Limit> {
        let (relative_unit, unit, bound_word, example) = match metric {
            Metric::ErrorRate => ("pp", "%", "max", "\"2pp\" or \"max 5%\""),
            Metric::RequestsPerSec => ("%", "/s", "min", "\"30%\" or \"min 10/s\""),
            Metric::P50
            | Metric::P95
            | Metric::P95Corrected
            | Metric::P99
            | Metric::AvgResponseTime
            | Metric::CpuPerRequest => ("%", "ms", "max", "\"20%\", \"20% and 5 ms\" or \"max 500 ms\""),
            Metric::TotalRequests => {
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
        let (level, text) = match text.trim().split_once(' ') {
            None if text.trim() == "off" => (Level::Off, ""),
            Some(("fail", rest)) => (Level::Fail, rest),
            Some(("warn", rest)) => (Level::Warn, rest),
            _ => (Level::default_of(metric), text),
        };
        let mut limit = Limit { worsening: None, floor: None, bound: None, level };
        if level == Level::Off {
            return Ok(limit);
        }
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
        let most = match metric {
            Metric::ErrorRate => limit.worsening.into_iter().chain(limit.bound).fold(0.0, f64::max),
            Metric::RequestsPerSec => limit.worsening.unwrap_or(0.0),
            _ => 0.0,
        };
        ensure!(most <= 100.0, "no change is larger than 100{relative_unit}, so nothing exceeds `{}`", text.trim());
        Ok(limit)
    }

    #[must_use]
    pub(crate) fn without_bound(&self) -> Limit {
        Limit { bound: None, ..self.clone() }
    }

    /// The worst value that passes; `None` if the limit allows any.
    pub fn allowed(&self, metric: Metric, baseline: f64) -> Option<f64> {
        let [better_of, worse_of] =
            if metric == Metric::RequestsPerSec { [f64::max, f64::min] } else { [f64::min, f64::max] };
        let Some(worsening) = self.worsening else { return self.bound };
        let relative = metric.changed(baseline, metric.worsening(worsening));
        let by_change = self.floor.map_or(relative, |floor| worse_of(relative, baseline + metric.worsening(floor)));
        Some(self.bound.map_or(by_change, |bound| better_of(by_change, bound)))
    }
}

/// Limits of the endpoints that match a pattern. They precede the limits of all endpoints.
#[derive(Clone, Debug)]
pub struct EndpointLimits {
    /// `*` matches any text and `?` one character, as in `GET /claims*`.
    pattern: WildMatch,
    pub(crate) text: String,
    limits: Limits,
}

impl EndpointLimits {
    pub fn new(pattern: &str, limits: Limits) -> EndpointLimits {
        EndpointLimits { pattern: WildMatch::new(pattern), text: pattern.to_owned(), limits }
    }

    /// The sort key: names before patterns, those with `*` last, and longer patterns before shorter ones.
    pub fn precedence(&self) -> (bool, bool, Reverse<usize>) {
        (self.text.contains('*'), self.text.contains('?'), Reverse(self.text.len()))
    }

    pub(crate) fn covers(&self, endpoint: &str) -> bool {
        self.text == endpoint || self.pattern.matches(endpoint)
    }
}

/// An exception: for a while one series may be worse than its limit, up to `up_to`.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    pub endpoint: Option<String>,
    pub metric: Metric,
    /// Its level has no effect: the level of the series' own limit holds.
    pub up_to: Limit,
    pub until: Day,
    /// From today to `until`; negative once that is over.
    pub days_left: i64,
    pub reason: String,
}

impl Accepted {
    pub(crate) fn is_expired(&self) -> bool {
        self.days_left < 0
    }

    pub fn covers(&self, endpoint: EndpointName, metric: Metric) -> bool {
        self.metric == metric && self.endpoint.as_deref() == endpoint
    }
}

/// What becomes of runs that could not show whether p95 is within its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Inconclusive {
    #[default]
    Pass,
    NoVerdict,
}

#[derive(Clone, Debug)]
pub struct Rules {
    pub limits: Limits,
    pub endpoint_limits: Vec<EndpointLimits>,
    pub accepted: Vec<Accepted>,
    pub strict: bool,
    pub paired: bool,
    pub min_runs: usize,
    pub max_runs: usize,
    /// The most rounds if their runs vary by more than 10%, and these are more than `max_runs`.
    pub max_noisy_rounds: usize,
    /// Whether no further run can be made. Then an unsettled verdict is INCONCLUSIVE, however few runs there are.
    pub is_complete: bool,
    /// The requests that a run needs to be judged by its percentiles.
    pub min_requests: u64,
    pub inconclusive: Inconclusive,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            limits: default_limits(),
            endpoint_limits: Vec::new(),
            accepted: Vec::new(),
            strict: false,
            paired: false,
            min_runs: 1,
            max_runs: 8,
            max_noisy_rounds: 0,
            is_complete: false,
            min_requests: LEAST_REQUESTS,
            inconclusive: Inconclusive::Pass,
        }
    }
}

impl Rules {
    pub fn limit(&self, endpoint: EndpointName, metric: Metric) -> Option<&Limit> {
        let of_endpoint = endpoint.and_then(|endpoint| {
            // A name may hold the characters of a pattern.
            let exact = self.endpoint_limits.iter().filter(|own| own.text == endpoint);
            let covering = self.endpoint_limits.iter().filter(|own| own.covers(endpoint));
            exact.chain(covering).find_map(|own| own.limits.get(&metric))
        });
        let limit = of_endpoint.or_else(|| self.limits.get(&metric))?;
        (limit.level != Level::Off).then_some(limit)
    }

    pub fn accepted(&self, endpoint: EndpointName, metric: Metric) -> Option<&Accepted> {
        self.accepted.iter().find(|accepted| !accepted.is_expired() && accepted.covers(endpoint, metric))
    }

    /// The runs or rounds that may be made in any case.
    pub fn most_runs(&self) -> usize {
        self.max_runs.max(self.max_noisy_rounds)
    }

    pub fn fails(&self, limit: &Limit) -> bool {
        limit.level == Level::Fail || self.strict
    }

    pub(crate) fn can_fail(&self, metric: Metric) -> bool {
        self.limit(None, metric).is_some_and(|limit| self.fails(limit))
    }
}
