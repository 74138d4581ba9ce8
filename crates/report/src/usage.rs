//! What was used of the machine, by the service and by others, in words.

use judge::run::{Provenance, Usage};

use crate::words::listed;

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

/// Returns what the service and others used, a line each, with the baseline's where that is known.
pub fn details(baseline: &Provenance, candidate: &Provenance) -> Vec<String> {
    let facts: [(&str, fn(&Usage) -> Option<String>); 3] = [
        ("service's CPU per request", cpu_text),
        ("service's memory at its peak", memory_text),
        ("cores that others used", others_text),
    ];
    let mut details = Vec::new();
    for (name, text) in facts {
        let Some(now) = candidate.usage.as_ref().and_then(text) else { continue };
        let before = baseline.usage.as_ref().and_then(text);
        let before = before.map_or_else(String::new, |before| format!(" (baseline: {before})"));
        details.push(format!("{name}: {now}{before}"));
    }
    details
}

/// Returns the service's mean CPU time per request.
pub fn cpu_text(usage: &Usage) -> Option<String> {
    mean(&usage.cpu_ms_per_request).map(|cpu_ms| format!("{} ms", three_digits(cpu_ms)))
}

/// Returns the service's memory at its peak in any run.
pub fn memory_text(usage: &Usage) -> Option<String> {
    most(&usage.peak_memory_mb).map(|memory_mb| format!("{} MB", three_digits(memory_mb)))
}

/// Returns the share of the cores that others used, on average and in the worst run.
pub fn others_text(usage: &Usage) -> Option<String> {
    let (mean, most) = (mean(&usage.others_pct)?, most(&usage.others_pct)?);
    let most = if usage.others_pct.len() > 1 { format!(", at most {most:.1}% in a run") } else { String::new() };
    Some(format!("{mean:.1}%{most}"))
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
