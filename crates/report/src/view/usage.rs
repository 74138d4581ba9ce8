//! CPU and memory used by the service and by other processes, in words.

use judge::model::run::{Provenance, Usage};

use crate::view::words::listed;

/// The share of the cores, in percent, that other processes may use before a report mentions it. A neighbour of this size
/// slows the service as much as a regression would.
const TOLERATED_OTHERS_PCT: f64 = 10.0;

/// Which runs competed for CPU, the worst first.
pub fn note(baseline: &Provenance, candidate: &Provenance) -> Option<String> {
    let mut busy = busy_runs("run", candidate);
    busy.extend(busy_runs("the baseline's run", baseline));
    busy.sort_by(|a, b| b.others_pct.total_cmp(&a.others_pct));
    let runs: Vec<String> = busy.iter().map(|run| format!("{:.0}% in {}", run.others_pct, run.name)).collect();
    // The service itself may run in a container, if its command had a daemon start one.
    (!runs.is_empty()).then(|| {
        format!(
            "the machine was busy: other processes, containers or virtual machines used the CPU, {}; re-run on an idle machine",
            listed(&runs)
        )
    })
}

/// The share of the cores that other processes used in the busiest run, in whole percent; `None` if none was busy.
pub(crate) fn busiest(of: &Provenance) -> Option<u8> {
    let busy = busy_runs("run", of);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a percentage")]
    most(&busy.iter().map(|run| run.others_pct).collect::<Vec<_>>()).map(|pct| pct.min(100.0).round() as u8)
}

struct BusyRun {
    /// `run 2`, or `the baseline's run 2`.
    name: String,
    others_pct: f64,
}

fn busy_runs(name: &str, of: &Provenance) -> Vec<BusyRun> {
    let mut busy = Vec::new();
    for (place, others_pct) in of.usage.iter().flat_map(|usage| &usage.others_pct).enumerate() {
        if *others_pct > TOLERATED_OTHERS_PCT {
            busy.push(BusyRun { name: format!("{name} {}", place + 1), others_pct: *others_pct });
        }
    }
    busy
}

/// The names of what [`amounts`] returns.
pub(crate) const AMOUNTS: [&str; 3] =
    ["service's CPU per request", "service's memory at its peak", "CPU used by other processes"];

/// The amounts used on one side, over all runs, if they are known.
pub(crate) fn amounts(of: &Provenance) -> [Option<String>; 3] {
    let Some(usage) = &of.usage else { return [None, None, None] };
    [
        mean(&usage.cpu_ms_per_request).map(|cpu_ms| format!("{} ms", three_digits(cpu_ms))),
        most(&usage.peak_memory_mb).map(|memory_mb| format!("{} MB", three_digits(memory_mb))),
        others(usage),
    ]
}

/// The share of the cores that other processes used, on average and in the worst run.
fn others(usage: &Usage) -> Option<String> {
    let (mean, most) = (mean(&usage.others_pct)?, most(&usage.others_pct)?);
    let most = if usage.others_pct.len() > 1 { format!(", at most {most:.1}% in a run") } else { String::new() };
    Some(format!("{mean:.1}%{most}"))
}

/// The amounts, a line each, with the baseline's if they are known.
pub(crate) fn details(baseline: &Provenance, candidate: &Provenance) -> Vec<String> {
    let mut details = Vec::new();
    for ((name, before), now) in AMOUNTS.into_iter().zip(amounts(baseline)).zip(amounts(candidate)) {
        let Some(amount) = now else { continue };
        let before = before.map_or_else(String::new, |before| format!(" (baseline: {before})"));
        details.push(format!("{name}: {amount}{before}"));
    }
    details
}

fn three_digits(number: f64) -> String {
    match number {
        _ if number < 10.0 => format!("{number:.2}"),
        _ if number < 100.0 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn most(values: &[f64]) -> Option<f64> {
    values.iter().copied().reduce(f64::max)
}
