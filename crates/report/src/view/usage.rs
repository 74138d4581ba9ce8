//! CPU and memory used by the service and by other processes, in words.

use judge::model::run::{Provenance, Usage};
use judge::stats::estimate::mean;

use crate::view::words::listed;

/// The share of the cores, in percent, that other processes may use before a report mentions it. A neighbour of this size
/// slows the service as much as a regression would.
const TOLERATED_OTHERS_PCT: f64 = 10.0;

/// Which runs competed for CPU, the worst first; empty if none did.
pub fn note(baseline: &Provenance, candidate: &Provenance) -> String {
    let mut busy = busy_runs("run", candidate);
    busy.extend(busy_runs("the baseline's run", baseline));
    busy.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let runs: Vec<String> = busy.iter().map(|(run, others_pct)| format!("{others_pct:.0}% in {run}")).collect();
    if runs.is_empty() {
        return String::new();
    }
    // The service itself may run in a container, if its command had a daemon start one.
    format!(
        "the machine was busy: other processes, containers or virtual machines used the CPU, {}; re-run on an idle machine",
        listed(&runs)
    )
}

/// The rise in connections per request from which on a note mentions it. Users far away wait for each new connection, which
/// takes no time on this machine.
const MORE_CONNECTIONS: f64 = 0.5;

/// Whether the service no longer keeps connections open; empty if it does, or if that is not known.
pub(crate) fn connections(baseline: &Provenance, candidate: &Provenance) -> String {
    let [before, now] = [baseline, candidate].map(|of| &of.usage.connections_per_request);
    if before.is_empty() || now.is_empty() || mean(now) - mean(before) < MORE_CONNECTIONS {
        return String::new();
    }
    format!(
        "connections opened per request rose from {} to {}: keep-alive may be lost, which costs users far away more than it does here",
        three_digits(mean(before)),
        three_digits(mean(now))
    )
}

/// The share of the cores that other processes used in the busiest run, in whole percent; 0 if none was busy.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a percentage")]
pub(crate) fn busiest_pct(of: &Provenance) -> u8 {
    busy_runs("run", of).iter().map(|(_, others_pct)| *others_pct).fold(0.0, f64::max).min(100.0).round() as u8
}

/// The runs, as `run 2` or `the baseline's run 2`, and the share of the cores that other processes used.
fn busy_runs(name: &str, of: &Provenance) -> Vec<(String, f64)> {
    let runs = of.usage.others_pct.iter().enumerate();
    let busy = runs.filter(|(_, others_pct)| **others_pct > TOLERATED_OTHERS_PCT);
    busy.map(|(place, others_pct)| (format!("{name} {}", place + 1), *others_pct)).collect()
}

/// The amounts used on one side, over all runs, with their names; empty if they are not known.
pub(crate) fn amounts(of: &Provenance) -> [(&'static str, String); 3] {
    let Usage { cpu_ms_per_request, peak_memory_mb, others_pct, .. } = &of.usage;
    let amount = |name, values: &[f64], text: fn(&[f64]) -> String| {
        (name, if values.is_empty() { String::new() } else { text(values) })
    };
    [
        amount("service's CPU per request", cpu_ms_per_request, |cpu_ms| format!("{} ms", three_digits(mean(cpu_ms)))),
        amount("service's peak memory", peak_memory_mb, |memory_mb| format!("{} MB", three_digits(most(memory_mb)))),
        amount("CPU used by other processes", others_pct, |others_pct| {
            let most = match others_pct {
                [_] => String::new(),
                _ => format!(", at most {:.1}% in a run", most(others_pct)),
            };
            format!("{:.1}%{most}", mean(others_pct))
        }),
    ]
}

pub(crate) fn details(baseline: &Provenance, candidate: &Provenance) -> Vec<String> {
    let mut details = Vec::new();
    for ((_, before), (name, now)) in amounts(baseline).into_iter().zip(amounts(candidate)) {
        let before = if before.is_empty() { before } else { format!(" (baseline: {before})") };
        if !now.is_empty() {
            details.push(format!("{name}: {now}{before}"));
        }
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

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}
