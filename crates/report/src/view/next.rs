//! What to do next: one to three commands to copy, chosen by the case.

use judge::model::program;
use judge::model::run::Metric;
use judge::verdict::compare::{Comparison, Verdict};
use judge::verdict::decision::{Presence, Row};

use crate::view::content::{Report, Unjudged};
use crate::view::further::drift_headline;
use crate::view::headline::worst_endpoint;

/// A command, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Step {
    /// The purpose of the command.
    pub what: &'static str,
    /// The command itself.
    pub command: String,
}

/// The number of steps at most: more than that is no advice.
const MOST: usize = 3;

/// The folder of the runs of the last command.
const LATEST: &str = "target/perf/latest";

/// Returns what to do next, what helps most first.
pub fn steps(report: &Report) -> Vec<Step> {
    let comparison = report.comparison;
    let mut steps = Vec::new();
    if comparison.error_rate_failed() {
        steps.push(Step { what: "see the errors", command: format!("head {LATEST}/run-1/perf_results_failures.csv") });
    }
    if !comparison.is_conclusive() {
        steps.push(lengthen(report));
    }
    let has_findings = comparison.total.iter().chain(&comparison.endpoints).any(Row::is_finding);
    if has_findings && report.confirmation.is_none() {
        steps.extend(rule_out_the_machine(report));
    }
    if report.stored().is_some() && comparison.verdict != Verdict::Fail {
        let command = format!("{} --update-baseline", report.background.command());
        steps.push(Step { what: "record a baseline on this machine", command });
    }
    if is_noise_unknown(comparison) {
        steps.push(record_a_baseline(report));
    }
    let has_drifted = drift_headline(comparison).is_some();
    if has_drifted {
        steps.push(Step { what: "see who accepted what, and why", command: format!("{} history", program::name()) });
    }
    let has_failed = comparison.has_failed_itself();
    if has_failed {
        steps.extend(find_the_commit(report));
    }
    if has_findings && comparison.total.iter().all(|row| !row.is_finding()) {
        steps.extend(worst_endpoint(comparison).map(|row| look_at(report, row)));
    }
    // A new baseline settles no drift.
    if has_failed {
        // The last step is kept: a slowdown that is wanted has to get in somehow. Nobody wants errors.
        if !comparison.error_rate_failed() {
            steps.truncate(MOST - 1);
            steps.push(accept(report, "accept it", "why it is slower"));
        }
    } else if is_faster(comparison) && !has_drifted {
        steps.push(accept(report, "keep the gain", "why it is faster"));
    }
    if steps.is_empty() {
        let command = format!("{} {LATEST} --verbose", report.background.command());
        steps.push(Step { what: "nothing to do; see every endpoint", command });
    }
    steps.truncate(MOST);
    steps
}

/// Returns what to do next where nothing was compared.
pub fn steps_unjudged(unjudged: &Unjudged) -> Vec<Step> {
    let step = |what, command: &str| Step { what, command: command.to_owned() };
    match unjudged {
        Unjudged::NoVerdict(_) => {
            vec![step(
                "fix what is named above, then run it again with every detail",
                &format!("{} perf --verbose", program::name()),
            )]
        }
        Unjudged::BaselineSaved(saved) | Unjudged::NoBaseline(saved) => {
            let file = quoted(&saved.file);
            vec![
                step("commit the baseline", &format!("git add {file} && git commit -m \"Performance baseline\"")),
                step("compare with it, after the next change", &format!("{} perf", program::name())),
            ]
        }
    }
}

/// Returns the baseline's commit, as git takes it; `None` where it is not known.
fn baseline_commit<'a>(report: &Report<'a>) -> Option<&'a str> {
    let commit = &report.provenance.baseline.commit;
    let is_hash = commit.len() >= 6 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| &commit[..commit.len().min(12)])
}

/// Measures both commits here, in turn: a FAIL by the stored numbers is confirmed so.
fn rule_out_the_machine(report: &Report) -> Option<Step> {
    if report.comparison.paired {
        return None;
    }
    if report.comparison.has_failed_itself() {
        let command = format!("{} --confirm", report.background.command());
        return Some(Step { what: "rule out the machine", command });
    }
    let command = format!("{} --against {}", without_baseline(report), baseline_commit(report)?);
    Some(Step { what: "rule out the machine", command })
}

/// Returns the command without the baseline's file, which `--against` has no use for.
fn without_baseline(report: &Report) -> String {
    let command = report.background.command();
    match command.split_once(" --baseline ") {
        Some((before, rest)) => {
            format!("{before}{}", rest.find(" --").map_or("", |place| &rest[place..]))
        }
        None => command.to_owned(),
    }
}

/// Finds the commit between the two that made it slower.
fn find_the_commit(report: &Report) -> Option<Step> {
    if report.background.commits_between.is_some_and(|commits| commits < 2) {
        return None;
    }
    let commit = baseline_commit(report)?;
    let name = program::name();
    // A program that cargo builds must be copied: each step changes the checkout.
    let (copy, program) = match name.strip_prefix("cargo ") {
        Some(alias) => (format!("cp target/debug/{alias} /tmp/ && "), format!("/tmp/{alias}")),
        None => (String::new(), name.to_owned()),
    };
    let command = format!(
        "{copy}git bisect start HEAD {commit} && git bisect run {program} perf --against {commit} --bisect-exit-codes"
    );
    Some(Step { what: "find the commit", command })
}

/// Shows all metrics of one endpoint.
fn look_at(report: &Report, row: &Row) -> Step {
    let endpoint = row.endpoint.map_or_else(String::new, judge::model::text::endpoint_shown);
    let command = format!("{} {LATEST} --verbose | grep -F {}", report.background.command(), quoted(&endpoint));
    Step { what: "look at one endpoint", command }
}

/// Makes this the baseline, with a note.
fn accept(report: &Report, what: &'static str, note: &str) -> Step {
    let command = report.background.command();
    Step { what, command: format!("{command} --update-baseline --note \"{note}\"") }
}

/// Records a baseline of several runs.
fn record_a_baseline(report: &Report) -> Step {
    let command = format!("{} --update-baseline", report.background.command());
    Step { what: "record a baseline of several runs", command }
}

/// Returns whether nothing tells the noise.
fn is_noise_unknown(comparison: &Comparison) -> bool {
    let p95 = comparison.total_row(Metric::P95);
    p95.is_none_or(|row| row.evidence.detectable.is_none())
}

/// Returns whether p95 fell by more than noise explains.
fn is_faster(comparison: &Comparison) -> bool {
    let p95 = comparison.total_row(Metric::P95);
    p95.and_then(|row| row.evidence.interval).is_some_and(|interval| interval.high < 0.0)
}

/// Makes longer runs, as long as would do, or where that is not known more of them.
fn lengthen(report: &Report) -> Step {
    let more_runs = || {
        let runs = report.comparison.runs.candidate;
        let command = format!("{} --min-runs {} --max-runs {}", report.background.command(), runs + 1, 2 * runs + 3);
        Step { what: "make more runs", command }
    };
    let Some(run_time_s) = report.provenance.candidate.load.as_ref().map(|load| load.run_time_s) else {
        return more_runs();
    };
    let factors = report.comparison.unsettled().filter_map(longer_by);
    let factor = factors.fold(1.0, f64::max);
    if factor <= 1.0 {
        return more_runs();
    }
    let length = duration(run_time_s, factor);
    let command = without_flag(&without_baseline(report), "--run-time");
    match baseline_commit(report) {
        // Another length is another load, which the committed baseline is not comparable with.
        Some(commit) => {
            Step { what: "lengthen the run", command: format!("{command} --against {commit} --run-time {length}") }
        }
        None => Step {
            what: "record a baseline of longer runs",
            command: format!("{} --run-time {length} --update-baseline", report.background.command()),
        },
    }
}

/// Returns a command without a flag and its value.
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

/// Returns how many times as long the runs must be, so that the interval of a series no longer reaches across its limit:
/// its width goes down with the root of the length. `None` where the estimate lies at the limit itself.
fn longer_by(row: &Row) -> Option<f64> {
    let interval = row.evidence.interval.filter(|interval| interval.is_finite())?;
    let Presence::Both { baseline, .. } = row.presence else { return None };
    let (change, limit) = (row.change()?, row.metric.change(baseline, row.allowed()?)?);
    let distance = (change - limit).abs();
    let reach = if change > limit { change - interval.low } else { interval.high - change };
    let factor = (reach / distance).powi(2);
    (factor.is_finite() && factor > 1.0).then_some(factor)
}

/// Returns a run time that many times as long, at most 20 times, in a round number of seconds or minutes.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a length of time")]
fn duration(run_time_s: u64, factor: f64) -> String {
    let seconds = (run_time_s.max(1) as f64 * factor.clamp(1.5, 20.0)).ceil() as u64;
    if seconds < 120 { format!("{}s", seconds.next_multiple_of(10)) } else { format!("{}m", seconds.div_ceil(60)) }
}

/// Returns text as one word of a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
