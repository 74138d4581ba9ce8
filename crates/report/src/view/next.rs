//! Suggested next steps: one to three commands to copy.

use judge::model::run::Metric;
use judge::model::text::{endpoint_shown, quoted};
use judge::verdict::accepted::ExceptionState;
use judge::verdict::compare::Verdict;
use judge::verdict::decision::{FewSamples, Presence, Row};
use judge::verdict::traffic::TrafficKind;

use crate::view::drift;
use crate::view::evidence::{detectable, is_only_settled};
use crate::view::input::{Report, Sides};
use crate::view::series::{findings, requests_needed, unjudged_endpoints};

/// What to do, and the command for it, which is empty if there is none to copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextStep {
    pub what: &'static str,
    /// As a person types it into a shell.
    pub command: String,
}

pub(crate) fn step(what: &'static str, command: String) -> NextStep {
    NextStep { what, command }
}

const MOST: usize = 3;

pub(crate) const LATEST: &str = "target/perf/latest";

const MORE_RESULTS: &str =
    "pass two or more results of the same load, saved as the baseline too, since their spread shows the noise";

const RESTORE: &str = "restore the task, or accept the new load";

/// What to do next, the most helpful first.
pub(crate) fn steps(report: &Report, acceptance: &str) -> Vec<NextStep> {
    let comparison = report.comparison;
    let (command, is_of_others) = (&report.background.command, report.background.is_of_others);
    let mut steps = Vec::new();
    let errors_failed = comparison.findings().iter().any(|row| row.is_failure() && row.metric == Metric::ErrorRate);
    let failures_file = &report.background.failures_file;
    if errors_failed && !failures_file.is_empty() {
        steps.push(step("see the errors", format!("head {}", quoted(failures_file))));
    }
    let has_unjudged = unjudged_endpoints(comparison).iter().any(|row| more_requests(row).is_some());
    if !comparison.is_conclusive() || has_unjudged || is_of_others && detectable(comparison).is_none() {
        steps.push(if is_of_others { step(MORE_RESULTS, String::new()) } else { lengthen(report) });
    }
    let findings = findings(comparison);
    let is_missing_alone = !findings.is_empty() && findings.iter().all(|row| row.is_missing());
    if !is_of_others && !findings.is_empty() && !is_missing_alone && report.confirmation.is_none() {
        steps.extend(rule_out_the_machine(report));
    }
    if report.stored().is_some() && comparison.verdict != Verdict::Fail {
        steps.push(step("record a baseline on this machine", command.measuring().with(&["--update-baseline"])));
    }
    // Two services that run already have no baseline and no commits.
    let has_baseline = report.hosts().is_none();
    if has_baseline && !is_of_others && detectable(comparison).is_none() {
        steps.push(step("record a baseline of several runs", command.measuring().with(&["--update-baseline"])));
    }
    let has_drifted = !drift::headline(comparison).is_empty();
    if has_drifted {
        steps.push(step("see who accepted what, and why", command.only(&["--config", "--baseline"]).of("history")));
    }
    let has_failed = comparison.has_failed_itself();
    // A search follows a metric.
    if has_failed && !is_of_others && !is_missing_alone && !findings.is_empty() {
        steps.extend(find_the_commit(report));
    }
    let is_of_endpoints = findings.iter().all(|row| row.endpoint.is_some());
    if let Some(worst) = findings.first().filter(|_| !is_missing_alone && is_of_endpoints) {
        let endpoint = quoted(&worst.endpoint.map_or_else(String::new, endpoint_shown));
        let all = command.judging(LATEST).with(&["--verbose"]);
        steps.push(step("look at one endpoint", format!("{all} | grep -F {endpoint}")));
    }
    // A new baseline settles no drift.
    if is_missing_alone && has_baseline {
        steps.truncate(MOST - 1);
        steps.push(accept(report, RESTORE, "why the endpoint is gone"));
    } else if has_failed {
        let mut last = acceptances(report, acceptance);
        steps.truncate(MOST - last.len());
        steps.append(&mut last);
    } else if has_baseline && is_worth_keeping(report) && !has_drifted {
        steps.push(accept(report, "keep the gain", "why it is faster"));
    } else if has_baseline && findings.is_empty() && !comparison.traffic.is_empty() {
        steps.truncate(MOST - 1);
        steps.push(accept_change(report));
    }
    let has_ended = comparison.exceptions.iter().any(|exception| exception.state == ExceptionState::Expired);
    if has_ended || comparison.unused_exceptions().next().is_some() {
        steps.push(edit(report, "remove the exceptions that nothing needs"));
    }
    if steps.is_empty() {
        steps.push(step("nothing to do; see every endpoint", command.judging(LATEST).with(&["--verbose"])));
    }
    steps.truncate(MOST);
    steps
}

/// The steps of a FAIL that are always kept: a slowdown that is wanted has to get in somehow. Nobody wants errors.
fn acceptances(report: &Report, acceptance: &str) -> Vec<NextStep> {
    let findings = findings(report.comparison);
    let mut steps = Vec::new();
    if !acceptance.is_empty() {
        steps.push(edit(report, "accept it for a while"));
    }
    // Two services that run already have no baseline, and a new one has no part in `--against`.
    let has_baseline = report.hosts().is_none() && (steps.is_empty() || report.confirmation.is_some());
    let has_errors = findings.iter().any(|row| row.is_failure() && row.metric == Metric::ErrorRate);
    if has_baseline && !has_errors {
        steps.push(if findings.is_empty() {
            accept_change(report)
        } else {
            accept(report, "accept it", "why it is slower")
        });
    }
    steps
}

fn edit(report: &Report, what: &'static str) -> NextStep {
    step(what, format!("${{EDITOR:-vi}} {}", quoted(&report.background.config)))
}

fn accept(report: &Report, what: &'static str, why: &str) -> NextStep {
    let command = report.background.command.with(&["--update-baseline", "--note", why]);
    step(what, command.replace(&format!("'{why}'"), &format!("\"{why}\"")))
}

/// Accepts other answers, or other shares of the load.
fn accept_change(report: &Report) -> NextStep {
    let has_other_sizes = report.comparison.traffic.iter().any(|change| change.kind == TrafficKind::Size);
    let what = if has_other_sizes { "look at the responses; if they are right, accept them" } else { "accept it" };
    accept(report, what, "why it changed")
}

/// The baseline's commit as git takes it; `None` if it is not known.
fn baseline_commit<'a>(report: &Report<'a>) -> Option<&'a str> {
    let commit = &report.provenance.baseline.commit;
    let is_hash = commit.len() >= 6 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| &commit[..commit.len().min(12)])
}

fn rule_out_the_machine(report: &Report) -> Option<NextStep> {
    if report.comparison.paired {
        return None;
    }
    let command = report.background.command.measuring();
    let command = if report.comparison.has_failed_itself() {
        command.with(&["--confirm"])
    } else {
        command.without("--baseline").with(&["--against", baseline_commit(report)?])
    };
    Some(step("rule out the machine", command))
}

fn find_the_commit(report: &Report) -> Option<NextStep> {
    if report.background.commits_between.is_some_and(|commits| commits < 2) {
        return None;
    }
    let (command, commit) = (report.background.command.measuring(), baseline_commit(report)?);
    // The flags of the load are those of bisect too, which starts the service itself.
    if command.flags.iter().any(|(flag, _)| ["--host", "--against-url"].contains(flag)) {
        return None;
    }
    Some(step("find the commit", command.without("--baseline").of(&format!("bisect {commit}"))))
}

/// Whether the service became faster: the responses have the same sizes, and noise does not explain the lower p95.
fn is_worth_keeping(report: &Report) -> bool {
    if !report.comparison.traffic.is_empty() || !report.comparison.is_conclusive() {
        return false;
    }
    let Some(p95) = report.comparison.total_row(Metric::P95) else { return false };
    let Presence::Both { baseline, candidate } = p95.presence else { return false };
    let Sides { baseline: before, candidate: now } = report.provenance;
    let resolution_ms = before.precision.min(now.precision).resolution_ms(baseline);
    baseline - candidate > resolution_ms && p95.evidence.interval.is_some_and(|interval| interval.high < 0.0)
}

/// Makes the runs as long as would do, or makes more of them if that length is not known.
fn lengthen(report: &Report) -> NextStep {
    let mut command = report.background.command.measuring();
    // A command that only judged the results of two services does not name them.
    if let Some(Sides { baseline, candidate }) = report.hosts() {
        command = command.without("--host").without("--against-url");
        command.flags.extend([("--host", candidate.to_owned()), ("--against-url", baseline.to_owned())]);
    }
    let comparison = report.comparison;
    let unjudged = unjudged_endpoints(comparison).into_iter().filter_map(more_requests);
    let factor = comparison.unsettled().filter_map(longer_by).chain(unjudged).fold(1.0, f64::max);
    // Only the command's own load is judged against the earlier baseline of a drift.
    let is_drift_alone = comparison.unsettled().all(|row| comparison.is_of_drift(row)) && !comparison.is_conclusive();
    let can_be_longer = factor > 1.0 && !is_drift_alone;
    let Some(load) = report.provenance.candidate.load.as_ref().filter(|_| can_be_longer) else {
        let runs = comparison.runs.candidate;
        let most = comparison.max_runs.max(2 * runs + 3);
        // A settled verdict would end the command after the least number of runs.
        let (what, least) =
            if is_only_settled(comparison) { ("detect smaller changes", most) } else { ("make more runs", runs + 1) };
        let [least, most] = [least, most].map(|runs| runs.to_string());
        return step(what, command.with(&["--min-runs", &least, "--max-runs", &most]));
    };
    let length = duration(load.run_time_s, factor);
    let command = command.without("--run-time");
    match baseline_commit(report) {
        // Another length is another load, so the result is not comparable with the committed baseline.
        Some(commit) => {
            let command = command.without("--baseline").with(&["--against", commit, "--run-time", &length]);
            step("lengthen the run", command)
        }
        None if report.hosts().is_some() => step("lengthen the run", command.with(&["--run-time", &length])),
        None => {
            let command = command.with(&["--run-time", &length, "--update-baseline"]);
            step("record a baseline of longer runs", command)
        }
    }
}

/// How many times as long the runs must be so that an endpoint has enough requests.
fn more_requests(row: &Row) -> Option<f64> {
    let FewSamples { requests, .. } = row.evidence.few_samples?;
    Some(requests_needed(row.metric)? as f64 / requests.max(1) as f64)
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
