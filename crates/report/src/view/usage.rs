//! What was used of the machine, by the service and by others, in words.

use judge::model::run::{Provenance, Usage};

use crate::view::words::listed;

/// The share of the cores, in percent, that others may use without a word: a neighbour of this size takes from the load
/// what a regression would.
const TOLERATED_OTHERS_PCT: f64 = 10.0;

/// A run beside which others were busy.
struct BusyRun {
    /// `run 2`, or `the baseline's run 2`.
    name: String,
    others_pct: f64,
}

/// Returns which runs had to share the machine, the worst first; `None` where none had to.
pub fn note(baseline: &Provenance, candidate: &Provenance) -> Option<String> {
    let mut busy = busy_runs("run", candidate);
    busy.extend(busy_runs("the baseline's run", baseline));
    if busy.is_empty() {
        return None;
    }
    busy.sort_by(|a, b| b.others_pct.total_cmp(&a.others_pct));
    let told: Vec<String> =
        busy.iter().map(|BusyRun { name, others_pct }| format!("{others_pct:.0}% in {name}")).collect();
    // The service itself may run in a container that its command has let a daemon start.
    Some(format!(
        "other programs, containers or virtual machines used the cores: {}; measure on an idle machine",
        listed(&told, ", ")
    ))
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

/// Something that was used on one side.
pub struct Used {
    /// The words for it.
    pub name: &'static str,
    /// How much it was, over all runs; `None` where that is not known.
    pub amount: Option<String>,
}

/// Returns what the service and others used on one side.
pub fn used(of: &Provenance) -> [Used; 3] {
    let usage = of.usage.as_ref();
    let cpu_ms = usage.and_then(|usage| mean(&usage.cpu_ms_per_request));
    let memory_mb = usage.and_then(|usage| most(&usage.peak_memory_mb));
    [
        Used { name: "service's CPU per request", amount: cpu_ms.map(|cpu_ms| format!("{} ms", three_digits(cpu_ms))) },
        Used {
            name: "service's memory at its peak",
            amount: memory_mb.map(|memory_mb| format!("{} MB", three_digits(memory_mb))),
        },
        Used { name: "cores that others used", amount: usage.and_then(others) },
    ]
}

/// Returns the share of the cores that others used, on average and in the worst run.
fn others(usage: &Usage) -> Option<String> {
    let (mean, most) = (mean(&usage.others_pct)?, most(&usage.others_pct)?);
    let most = if usage.others_pct.len() > 1 { format!(", at most {most:.1}% in a run") } else { String::new() };
    Some(format!("{mean:.1}%{most}"))
}

/// Returns what the service and others used, a line each, with the baseline's where that is known.
pub fn details(baseline: &Provenance, candidate: &Provenance) -> Vec<String> {
    let mut details = Vec::new();
    for (before, now) in used(baseline).into_iter().zip(used(candidate)) {
        let Some(amount) = now.amount else { continue };
        let before = before.amount.map_or_else(String::new, |before| format!(" (baseline: {before})"));
        details.push(format!("{}: {amount}{before}", now.name));
    }
    details
}

/// Returns a number with about three digits, and a whole one from 100 on.
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
