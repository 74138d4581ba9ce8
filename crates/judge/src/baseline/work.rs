//! Whether the users did their work: they were there, of every class, and their tasks ended well.

use std::collections::BTreeMap;

use crate::baseline::comparability::{Comparability, USERS_LEFT};
use crate::baseline::file::{Baseline, TaskRuns};
use crate::model::run::Run;
use crate::stats::estimate::mean;

/// The share of its calls, beyond the baseline's share, that may fail of a task.
const MOST_FAILURES: f64 = 0.05;

/// Fewer failures of a task are an accident.
const LEAST_FAILURES: u64 = 3;

/// The share of its users that each class must have.
const LEAST_USERS: f64 = 0.5;

/// Fewer missing users of a class are chance, because a class may have a user for a moment only.
const LEAST_MISSING: f64 = 0.25;

pub fn work(baseline: &Baseline, runs: &[Run]) -> Comparability {
    let mut work = Comparability::default();
    let (mut refusals, mut tasks) = (missing_users(baseline, runs), Vec::new());
    for failing in failing_tasks(baseline, runs) {
        match failing.before {
            Some(_) => tasks.push(failing.text()),
            None => work.warnings.push(failing.text()),
        }
    }
    if !tasks.is_empty() {
        let fix = if tasks.len() == 1 { "fix the task" } else { "fix the tasks" };
        refusals.push(format!("{}; {fix}, or accept this load with --update-baseline", tasks.join("; ")));
    }
    work.refusal = refusals.join("; ");
    work
}

#[derive(Clone, Copy, Default)]
struct Calls {
    calls: u64,
    failures: u64,
}

impl Calls {
    fn share(self) -> f64 {
        if self.calls == 0 { 0.0 } else { self.failures as f64 / self.calls as f64 }
    }
}

struct FailingTask<'a> {
    name: &'a str,
    now: Calls,
    exception: &'a str,
    before: Option<Calls>,
}

impl FailingTask<'_> {
    fn text(&self) -> String {
        let task = self.name.rsplit_once('.').map_or(self.name, |(_, task)| task);
        let before = match self.before {
            None => "the baseline has no counts of tasks: record it again".to_owned(),
            Some(Calls { failures: 0, .. }) => "none in the baseline".to_owned(),
            Some(Calls { calls, failures }) => format!("{failures} of {calls} in the baseline"),
        };
        let Calls { calls, failures } = self.now;
        format!("task `{task}` failed in {failures} of {calls} calls: {} ({before})", self.exception)
    }
}

fn failing_tasks<'a>(baseline: &Baseline, runs: &'a [Run]) -> Vec<FailingTask<'a>> {
    let mut tasks: BTreeMap<&str, (Calls, &str)> = BTreeMap::new();
    for task in runs.iter().flat_map(|run| &run.tasks) {
        let (sum, exception) = tasks.entry(&task.name).or_insert((Calls::default(), ""));
        sum.calls = sum.calls.saturating_add(task.calls);
        sum.failures = sum.failures.saturating_add(task.failures);
        if exception.is_empty() {
            *exception = &task.exception;
        }
    }
    let mut failing = Vec::new();
    for (name, (now, exception)) in tasks {
        let before =
            (!baseline.tasks.is_empty()).then(|| baseline.tasks.get(name).map_or_else(Calls::default, in_runs));
        let allowed = before.map_or(0.0, Calls::share) + MOST_FAILURES;
        if now.failures >= LEAST_FAILURES && now.share() > allowed {
            failing.push(FailingTask { name, now, exception, before });
        }
    }
    failing.sort_by(|a, b| b.now.share().total_cmp(&a.now.share()));
    failing
}

fn in_runs(task: &TaskRuns) -> Calls {
    let sum = |counts: &[u64]| counts.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
    Calls { calls: sum(&task.calls), failures: sum(&task.failures) }
}

fn missing_users(baseline: &Baseline, runs: &[Run]) -> Vec<String> {
    // Without any class the users were not counted.
    if runs.iter().any(|run| run.users_by_class.is_empty()) {
        return Vec::new();
    }
    let mut missing = Vec::new();
    for (class, before) in &baseline.users_by_class {
        let now: Vec<f64> = runs.iter().map(|run| run.users_by_class.get(class).copied().unwrap_or(0.0)).collect();
        let (before, now) = (mean(before), mean(&now));
        if now < LEAST_USERS * before && before - now >= LEAST_MISSING {
            missing.push(format!(
                "users of class {class}: {now:.1} were active on average ({before:.1} in the baseline): {USERS_LEFT}, or accept this load with --update-baseline"
            ));
        }
    }
    missing
}
