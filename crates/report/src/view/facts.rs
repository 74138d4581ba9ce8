//! The facts about both sides: commits, machines, load and versions.

use judge::model::run::{Precision, Provenance};
use judge::model::text::printable;

use crate::view::input::{Report, Sides};
use crate::view::usage;
use crate::view::words::{count, shown_commit, shown_side};

pub(crate) struct Fact {
    pub(crate) name: &'static str,
    pub(crate) sides: Sides<String>,
}

impl Fact {
    pub(crate) fn all(report: &Report) -> Vec<Fact> {
        let runs = report.comparison.runs;
        let baseline = values(report.provenance.baseline, runs.baseline);
        let candidate = values(report.provenance.candidate, runs.candidate);
        let mut facts = Vec::new();
        for ((name, baseline), (_, candidate)) in baseline.into_iter().zip(candidate) {
            if !(baseline.is_empty() && candidate.is_empty()) {
                facts.push(Fact { name, sides: Sides { baseline, candidate } });
            }
        }
        facts
    }
}

fn values(of: &Provenance, runs: usize) -> Vec<(&'static str, String)> {
    let precision = match of.precision {
        Precision::Coarse => "2 significant digits (Locust's default)",
        Precision::Fine => "3 significant digits",
    };
    let mut values = vec![
        ("service", of.host.clone()),
        ("commit", if of.host.is_empty() { shown_commit(&of.commit, of.dirty) } else { String::new() }),
        ("measured", of.timestamp.clone()),
        ("runs", runs.to_string()),
        ("load", of.load.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("machine", of.machine.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("Locust", of.locust.clone()),
        ("Python", of.python.clone()),
        ("locust-gate", of.gate.clone()),
        ("precision", precision.to_owned()),
    ];
    values.extend(usage::amounts(of));
    values
}

pub(crate) fn details(report: &Report) -> Vec<String> {
    let side = report.provenance.candidate;
    let Provenance { host, load, machine, locust, python, gate, .. } = side;
    let (commit, runs) = (if host.is_empty() { "commit " } else { "" }, report.comparison.runs.candidate);
    let mut details = vec![format!("candidate: {commit}{}, {}", shown_side(side), count(runs, "run"))];
    details.extend(load.as_ref().map(|load| format!("load: {load}")));
    details.extend(machine.as_ref().map(|machine| format!("machine: {machine}")));
    if !locust.is_empty() {
        details.push(format!("Locust {locust}, Python {}", if python.is_empty() { "unknown" } else { python }));
    }
    if !gate.is_empty() {
        details.push(format!("locust-gate {gate}"));
    }
    details.extend_from_slice(&report.other_details);
    details.iter().map(|detail| printable(detail)).collect()
}
