//! Suggested next steps: one to three commands to copy.

use judge::model::program;
use judge::model::run::Metric;
use judge::model::text::{endpoint_shown, quoted};
use judge::verdict::compare::{Comparison, Verdict};
use judge::verdict::decision::{Presence, Row};

use crate::view::acceptance::Acceptance;
use crate::view::arguments::arguments;
use crate::view::drift;
use crate::view::evidence::detectable;
use crate::view::input::Report;
use crate::view::series::findings;

/// A command, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextStep {
    pub what: &'static str,
    /// As a person types it into a shell.
    pub command: String,
}

impl NextStep {
    /// The command as a program starts it, without a shell; `None` if it needs one.
    pub(crate) fn arguments(&self) -> Option<Vec<String>> {
        arguments(&self.command)
    }
}

/// The number of steps at most: more than that is no advice.
const MOST: usize = 3;

/// The folder of the runs of the last command.
const LATEST: &str = "target/perf/latest";

/// What to do next, the most helpful first.
pub(crate) fn steps(report: &Report, acceptance: Option<&Acceptance>) -> Vec<NextStep> {
    let comparison = report.comparison;
    let command = &report.background.command;
    let step = |what, command: String| NextStep { what, command };
    let mut steps = Vec::new();
    if comparison.error_rate_failed() {
        steps.push(step("see the errors", format!("head {LATEST}/run-1/perf_results_failures.csv")));
    }
    if !comparison.is_conclusive() {
        steps.push(lengthen(report));
    }
    let findings = findings(comparison);
    if !findings.is_empty() && report.confirmation.is_none() {
        steps.extend(rule_out_the_machine(report));
    }
    if report.stored().is_some() && comparison.verdict == Verdict::Pass {
        steps.push(step("record a baseline on this machine", format!("{command} --update-baseline")));
    }
    if detectable(comparison).is_none() {
        steps.push(step("record a baseline of several runs", format!("{command} --update-baseline")));
    }
    let has_drifted = drift::headline(comparison).is_some();
    if has_drifted {
        steps.push(step("see who accepted what, and why", format!("{} history{}", program::name(), files(command))));
    }
    let has_failed = comparison.has_failed_itself();
    if has_failed {
        steps.extend(find_the_commit(report));
    }
    if let Some(worst) = findings.first().filter(|_| findings.iter().all(|row| row.endpoint.is_some())) {
        let endpoint = quoted(&worst.endpoint.map_or_else(String::new, endpoint_shown));
        steps.push(step("look at one endpoint", format!("{command} {LATEST} --verbose | grep -F {endpoint}")));
    }
    let accept = |why| format!("{command} --update-baseline --note \"{why}\"");
    // A new baseline settles no drift.
    if has_failed {
        // These steps are kept: a slowdown that is wanted has to get in somehow. Nobody wants errors.
        let mut last = Vec::new();
        if let Some(Acceptance { file, .. }) = acceptance {
            last.push(step("accept it for a while", format!("${{EDITOR:-vi}} {}", quoted(file))));
        }
        // A new baseline has no part in `--against`.
        if !comparison.error_rate_failed() && (last.is_empty() || report.confirmation.is_some()) {
            last.push(step("accept it", accept("why it is slower")));
        }
        steps.truncate(MOST - last.len());
        steps.append(&mut last);
    } else if is_faster(comparison) && !has_drifted {
        steps.push(step("keep the gain", accept("why it is faster")));
    }
    if steps.is_empty() {
        steps.push(step("nothing to do; see every endpoint", format!("{command} {LATEST} --verbose")));
    }
    steps.truncate(MOST);
    steps
}

/// The baseline's commit as git takes it; `None` if it is not known.
fn baseline_commit<'a>(report: &Report<'a>) -> Option<&'a str> {
    let commit = &report.provenance.baseline.commit;
    let is_hash = commit.len() >= 6 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| &commit[..commit.len().min(12)])
}

/// Measures both commits here, in turn.
fn rule_out_the_machine(report: &Report) -> Option<NextStep> {
    if report.comparison.paired {
        return None;
    }
    let command = if report.comparison.has_failed_itself() {
        format!("{} --confirm", report.background.command)
    } else {
        format!("{} --against {}", without_flag(&report.background.command, "--baseline"), baseline_commit(report)?)
    };
    Some(NextStep { what: "rule out the machine", command })
}

/// Finds the commit between the two that made it slower.
fn find_the_commit(report: &Report) -> Option<NextStep> {
    if report.background.commits_between.is_some_and(|commits| commits < 2) {
        return None;
    }
    let (name, commit) = (program::name(), baseline_commit(report)?);
    let command = without_flag(&report.background.command, "--baseline");
    // The flags of the load are those of bisect too.
    let flags = command.strip_prefix(&format!("{name} perf")).unwrap_or_default();
    Some(NextStep { what: "find the commit", command: format!("{name} bisect {commit}{flags}") })
}

/// Whether p95 fell by more than noise explains.
fn is_faster(comparison: &Comparison) -> bool {
    let p95 = comparison.total_row(Metric::P95);
    p95.and_then(|row| row.evidence.interval).is_some_and(|interval| interval.high < 0.0)
}

/// Makes the runs as long as would do, or makes more of them if that length is not known.
fn lengthen(report: &Report) -> NextStep {
    let command = &report.background.command;
    let factor = report.comparison.unsettled().filter_map(longer_by).fold(1.0, f64::max);
    let Some(load) = report.provenance.candidate.load.as_ref().filter(|_| factor > 1.0) else {
        let runs = report.comparison.runs.candidate;
        let command = format!("{command} --min-runs {} --max-runs {}", runs + 1, 2 * runs + 3);
        return NextStep { what: "make more runs", command };
    };
    let length = duration(load.run_time_s, factor);
    match baseline_commit(report) {
        // Another length is another load, so the result is not comparable with the committed baseline.
        Some(commit) => {
            let command = without_flag(&without_flag(command, "--baseline"), "--run-time");
            NextStep { what: "lengthen the run", command: format!("{command} --against {commit} --run-time {length}") }
        }
        None => NextStep {
            what: "record a baseline of longer runs",
            command: format!("{command} --run-time {length} --update-baseline"),
        },
    }
}

/// The flags of a command that choose its configuration and its baseline.
fn files(command: &str) -> String {
    let words: Vec<&str> = command.split(' ').collect();
    let mut flags = String::new();
    for pair in words.windows(2).filter(|pair| ["--config", "--baseline"].contains(&pair[0])) {
        flags.extend([" ", pair[0], " ", pair[1]]);
    }
    flags
}

/// A command without a flag and its value.
fn without_flag(command: &str, flag: &str) -> String {
    let mut words = Vec::new();
    let mut is_value = false;
    for word in command.split(' ') {
        if is_value {
            is_value = false;
        } else if word == flag {
            is_value = true;
        } else {
            words.push(word);
        }
    }
    words.join(" ")
}

/// How many times as long the runs must be so that the interval of a series no longer straddles its limit: its width
/// shrinks with the square root of the length. `None` if the estimate is at the limit itself.
fn longer_by(row: &Row) -> Option<f64> {
    let interval = row.evidence.interval.filter(|interval| interval.is_finite())?;
    let Presence::Both { baseline, .. } = row.presence else { return None };
    let (change, limit) = (row.change()?, row.metric.change(baseline, row.allowed()?)?);
    let distance = (change - limit).abs();
    let reach = if change > limit { change - interval.low } else { interval.high - change };
    let factor = (reach / distance).powi(2);
    (factor.is_finite() && factor > 1.0).then_some(factor)
}

/// A run time that many times as long, at most 20 times, in a round number of seconds or minutes.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a length of time")]
fn duration(run_time_s: u64, factor: f64) -> String {
    let seconds = (run_time_s.max(1) as f64 * factor.clamp(1.5, 20.0)).ceil() as u64;
    if seconds < 120 { format!("{}s", seconds.next_multiple_of(10)) } else { format!("{}m", seconds.div_ceil(60)) }
}
