//! What changed with the latencies that are over their limits, in words.

use judge::model::text::{bytes, cut, endpoint_shown, printable};
use judge::stats::estimate::{Interval, Scale};
use judge::verdict::causes::{Cause, Kind, Shape};
use judge::verdict::compare::Comparison;

use crate::view::input::{FailedRequests, Report};
use crate::view::words::{count, interval_text};

const UNEXPLAINED: &str = "nothing that was measured explains it";

const TOO_FEW: &str = "these rounds are too few to show what explains it: make more (--min-runs 4)";

/// Of fewer rounds, hardly any difference is significant among all that is tested.
const LEAST_ROUNDS: usize = 4;

/// What a report says if no cause is named.
pub(crate) fn unexplained(comparison: &Comparison) -> &'static str {
    if comparison.paired && comparison.runs.candidate < LEAST_ROUNDS { TOO_FEW } else { UNEXPLAINED }
}

/// A counter that rises by this factor has risen so many times. Below it, percents read better.
const TIMES: f64 = 3.0;

/// The number of columns of the name of a counter, and of an error.
const NAME_COLUMNS: usize = 80;

pub(crate) struct ChangeView<'a> {
    pub(crate) cause: &'a Cause,
    pub(crate) text: String,
}

/// What changed, the strongest first. `None` if no latency is over its limit, and empty if nothing that was measured explains
/// the slowdown.
pub(crate) fn changes<'a>(report: &'a Report<'a>) -> Option<Vec<ChangeView<'a>>> {
    let causes = report.background.causes.as_ref()?;
    let view = |cause| ChangeView { cause, text: text(cause, &report.background.failures) };
    Some(causes.iter().map(view).collect())
}

fn text(cause: &Cause, failures: &[FailedRequests]) -> String {
    let endpoint = cause.endpoint.as_deref().map(endpoint_shown).unwrap_or_default();
    let from_to = |unit: &str| {
        let (before, now) = (number(cause.baseline), number(cause.candidate));
        format!("from {before} to {now}{unit} ({})", change(cause, unit))
    };
    let rose = |unit: &str| format!("rose {}", from_to(unit));
    match &cause.kind {
        Kind::Counter(name) => format!("{} per request {}", cut(&printable(name), NAME_COLUMNS), rose("")),
        Kind::AnswerBytes { others } => {
            let more = if *others > 0 {
                format!("; responses of {} grew too", count(*others, "other endpoint"))
            } else {
                String::new()
            };
            let (before, now) = (bytes(cause.baseline), bytes(cause.candidate));
            format!("responses of {endpoint} grew from {before} to {now} bytes ({}){more}", change(cause, " bytes"))
        }
        Kind::Connections => format!("connections opened per request {}: keep-alive may be lost", rose("")),
        Kind::Failures => {
            // The most frequent one comes first.
            let failure = failures.iter().find(|failure| Some(failure.endpoint.as_str()) == cause.endpoint.as_deref());
            let error = failure.map_or_else(String::new, |failure| {
                format!(", mostly {}", cut(&printable(&failure.error), NAME_COLUMNS))
            });
            format!("failures of {endpoint} {}{error}", rose("%"))
        }
        Kind::OverTime { from_s } => {
            let from = from_s.map_or_else(String::new, |from_s| format!(", from second {from_s:.0} on"));
            format!(
                "it gets slower during a run{from}: the mean of the second half is {:+.0}% compared with the first (baseline {:+.0}%, {})",
                cause.candidate,
                cause.baseline,
                change(cause, " pp")
            )
        }
        Kind::Endpoint { share_pct, share_interval: Interval { low, high } } => format!(
            "{endpoint} accounts for {share_pct:.0}% of the slowdown (interval {low:.0}..{high:.0}): its mean {}",
            rose(" ms")
        ),
        Kind::Cpu => format!("the service computes more: CPU time per request {}", rose(" ms")),
        Kind::Waiting { cpu_ms: [before, now], .. } => format!(
            "requests wait more, for a database, a lock, the network, a sleep or each other: the mean {}, while CPU time per request \
             went from {} to {} ms",
            rose(" ms"),
            number(*before),
            number(*now)
        ),
        Kind::VoluntarySwitches => {
            format!("its threads wait more often: voluntary context switches per request {}", rose(""))
        }
        Kind::InvoluntarySwitches => {
            format!("its threads lose their core more often: involuntary context switches per request {}", rose(""))
        }
        Kind::MemoryGrowth => format!("memory that the service gains during a run {}", rose(" MB")),
        Kind::PeakMemory => format!("the service's peak memory {}", rose(" MB")),
        Kind::Shape(shape) => shape_text(cause, *shape, &endpoint),
    }
}

fn shape_text(cause: &Cause, shape: Shape, endpoint: &str) -> String {
    let of = if endpoint.is_empty() { String::new() } else { format!(" of {endpoint}") };
    let Interval { low, high } = cause.interval;
    match shape {
        Shape::Factor(factor) => {
            format!(
                "all percentiles{of} up to p95 rose by about the same factor, {factor:.2} ({low:+.0}% to {high:+.0}%)"
            )
        }
        Shape::Shift(ms) => {
            format!(
                "all percentiles{of} up to p95 rose by about the same time, {} ms ({low:+.1} to {high:+.1} ms)",
                number(ms)
            )
        }
        Shape::Tail => {
            format!(
                "only the slow requests{of} got slower: the percentiles up to p95 by at most {high:+.0}%, the median by {:+.0}%",
                percent(cause)
            )
        }
        Shape::SecondCloud { requests_pct, from_ms } => format!(
            "about {requests_pct:.0}% of the requests{of} take {} ms or more, much slower than all others",
            number(from_ms)
        ),
    }
}

fn percent(cause: &Cause) -> f64 {
    100.0 * (cause.candidate / cause.baseline - 1.0)
}

/// `+40.5%, interval +36.8..+44.3`, `11.0 times, interval 10.8..11.2`, or in the unit if a ratio says nothing.
fn change(cause: &Cause, unit: &str) -> String {
    let Interval { low, high } = cause.interval;
    let unit = if unit == "%" { " pp" } else { unit };
    match cause.scale {
        Scale::Relative if cause.candidate >= TIMES * cause.baseline => {
            let [low, high] = [low, high].map(|end| 1.0 + end / 100.0);
            format!("{} times, interval {}..{}", number(cause.candidate / cause.baseline), number(low), number(high))
        }
        Scale::Relative => format!("{:+.1}%, interval {}", percent(cause), interval_text(cause.interval)),
        Scale::Absolute => {
            let signed = |value: f64| format!("{}{}", if value < 0.0 { "-" } else { "+" }, number(value.abs()));
            let rise = signed(cause.candidate - cause.baseline);
            format!("{rise}{unit}, interval {}..{}", signed(low), signed(high))
        }
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 0.1 => format!("{value:.3}"),
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
