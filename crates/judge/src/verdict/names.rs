//! The names of endpoints: too many of them, or others than in the baseline or in the limits.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use crate::baseline::file::Baseline;
use crate::model::limits::Rules;
use crate::model::run::{Metric, Run};
use crate::model::text::{endpoint_shown, nearest};

/// So many names that appear in one run each are no endpoints.
const MANY: usize = 50;

/// Warns of names that hold an id, or that are mostly others than the baseline's.
pub fn names_warning(baseline: &Baseline, runs: &[Run]) -> Option<String> {
    let mut runs_of: BTreeMap<&str, usize> = BTreeMap::new();
    for name in runs.iter().flat_map(Run::names) {
        *runs_of.entry(name).or_default() += 1;
    }
    let now: BTreeSet<&str> = runs_of.keys().copied().collect();
    let before: BTreeSet<&str> = baseline.endpoints.keys().map(String::as_str).collect();
    let runs_before = |name: &str| {
        let requests = baseline.endpoints.get(name).and_then(|series| series.get(Metric::TotalRequests.name()));
        requests.map_or(0, |requests| requests.iter().filter(|requests| **requests > 0.0).count())
    };
    let all_before = baseline.total_runs(Metric::TotalRequests).len();
    // A name of one run is only known as such if there is another run on its side.
    let once_before = before.iter().filter(|name| all_before > 1 && runs_before(name) == 1 && !now.contains(*name));
    let once_now = now.iter().filter(|name| runs.len() > 1 && runs_of[*name] == 1 && !before.contains(*name));
    let once: Vec<&str> = once_before.chain(once_now).copied().collect();
    if once.len() >= MANY {
        return Some(unbounded(&once));
    }
    let common = before.intersection(&now).count();
    let most_differ = !before.is_empty() && 2 * common < before.len().min(now.len());
    most_differ.then(|| {
        format!(
            "{common} of {} endpoints are in the baseline, which has {}: another locustfile?",
            now.len(),
            before.len()
        )
    })
}

/// Checks that every endpoint limit matches an endpoint on either side. `again` is the command that judges the same
/// results once more.
pub fn check_endpoint_limits(rules: &Rules, baseline: Option<&Baseline>, runs: &[Run], again: &str) -> Result<()> {
    let before = baseline.into_iter().flat_map(Baseline::names);
    let now = runs.iter().flat_map(Run::endpoints_and_setup).map(|(name, _)| &**name);
    let names: BTreeSet<&str> = before.chain(now).collect();
    let unmet = rules.endpoint_limits.iter().find(|limits| !names.iter().any(|name| limits.covers(name)));
    let Some(unmet) = unmet else { return Ok(()) };
    let meant = nearest(&unmet.text, names).map_or_else(String::new, |name| format!(" (did you mean {name:?}?)"));
    bail!(
        "[limits.{:?}] matches no endpoint{meant}, so it checks nothing: fix the name, then judge the same results again with `{again}`",
        unmet.text
    );
}

fn unbounded(once: &[&str]) -> String {
    let shown: Vec<String> = once.iter().take(3).map(|name| endpoint_shown(name)).collect();
    let path = once[0].split_once(' ').map_or(once[0], |(_, path)| path);
    format!(
        "{} names appear in one run each, such as {}: give such requests one name in the locustfile, as in `self.client.get(url, name={:?})`",
        once.len(),
        shown.join(", "),
        endpoint_shown(&without_ids(path))
    )
}

/// A path with `[id]` in place of each part that holds a digit.
fn without_ids(path: &str) -> String {
    let path = path.split('?').next().unwrap_or(path);
    let is_id = |part: &str| part.contains(|c: char| c.is_ascii_digit());
    path.split('/').map(|part| if is_id(part) { "[id]" } else { part }).collect::<Vec<_>>().join("/")
}
