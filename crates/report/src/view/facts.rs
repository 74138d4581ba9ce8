//! The facts about both sides: commits, machines, load and versions.

use judge::model::run::{Precision, Provenance};

use crate::view::input::{Report, Sides};
use crate::view::usage;
use crate::view::words::shown_commit;

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

const RUNS: &str = "runs";

fn values(of: &Provenance, runs: usize) -> Vec<(&'static str, String)> {
    let precision = match of.precision {
        Precision::Coarse => "2 significant digits (Locust's default)",
        Precision::Fine => "3 significant digits",
    };
    let mut values = vec![
        ("service", of.host.clone()),
        ("commit", if of.host.is_empty() { shown_commit(&of.commit, of.dirty) } else { String::new() }),
        ("measured", of.timestamp.clone()),
        (RUNS, runs.to_string()),
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

/// The details that do not repeat a fact of the candidate. A number of runs would be found in any of them.
pub(crate) fn other_details<'a>(report: &'a Report, facts: &[Fact]) -> Vec<&'a str> {
    let known: Vec<&String> = facts
        .iter()
        .filter(|fact| fact.name != RUNS && !fact.sides.candidate.is_empty())
        .map(|fact| &fact.sides.candidate)
        .collect();
    let is_known = |line: &&str| known.iter().any(|value| line.contains(value.as_str()));
    report.details.iter().map(String::as_str).filter(|line| !line.is_empty() && !is_known(line)).collect()
}
