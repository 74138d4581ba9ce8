//! `cpu_per_request`: judged if it has a limit, between runs of one machine, and only if the kernel's clock is fine enough.

use judge::baseline::file::Baseline;
use judge::model::run::{CpuTime, Machine, Metric, Provenance, Run};
use judge::verdict::compare::{Comparison, Verdict, compare};
use judge::verdict::cpu::CpuUnjudged;
use judge::verdict::decision::Decision;

use crate::samples;

fn machine(cpu: &str) -> Machine {
    Machine { cpu: cpu.to_owned(), cores: 2, os: "Linux".to_owned() }
}

/// Runs of 450 requests that took so much CPU time each.
fn runs(ms_per_request: &[f64], cpu: &str) -> Vec<Run> {
    let of =
        |ms: &f64| Run { cpu: Some(CpuTime { ms_per_request: *ms, machine: Some(machine(cpu)) }), ..samples::run(&[]) };
    ms_per_request.iter().map(of).collect()
}

fn baseline(runs: &[Run]) -> Baseline {
    Baseline::new(runs, Provenance { machine: Some(machine("a")), ..samples::provenance() }).unwrap()
}

const BEFORE: [f64; 5] = [10.0, 10.1, 9.9, 10.05, 9.95];

#[track_caller]
fn judged<T>(limit: &str, now: &[f64], cpu: &str, read: impl FnOnce(&Comparison) -> T) -> T {
    let rules = samples::rules_with(samples::with_limits(&[(Metric::CpuPerRequest, limit)]), false);
    let (before, now) = (baseline(&runs(&BEFORE, "a")), runs(now, cpu));
    let comparison = compare(&before, &now, rules).unwrap();
    read(&comparison)
}

#[test]
fn cpu_time_is_judged_by_its_limit_and_level() {
    for (limit, now, verdict, decision) in [
        ("fail 20%", [13.0, 13.1], Verdict::Fail, "Some(Fail(OverLimit))"),
        ("20%", [13.0, 13.1], Verdict::Pass, "Some(Warn(OverLimit))"),
        ("fail 20% and 5 ms", [13.0, 13.1], Verdict::Pass, "Some(Ok)"),
        ("fail max 12 ms", [13.0, 13.1], Verdict::Fail, "Some(Fail(OverBound))"),
        ("fail 20%", [10.0, 10.1], Verdict::Pass, "Some(Ok)"),
    ] {
        judged(limit, &now, "a", |comparison| {
            assert_eq!(comparison.verdict, verdict, "{limit} {now:?}");
            let row = comparison.total_row(Metric::CpuPerRequest).unwrap();
            assert_eq!(format!("{:?}", row.decision), decision, "{limit} {now:?}");
            assert!(row.evidence.interval.is_some());
            assert_eq!(comparison.cpu_unjudged, None);
        });
    }
}

#[test]
fn cpu_time_is_off_by_default() {
    let (before, now) = (baseline(&runs(&BEFORE, "a")), runs(&[90.0], "a"));
    let comparison = compare(&before, &now, samples::rules(false)).unwrap();
    assert_eq!(comparison.verdict, Verdict::Pass);
    assert!(comparison.total_row(Metric::CpuPerRequest).is_none());
    assert_eq!(judged("off", &[90.0], "a", |comparison| comparison.cpu_unjudged), None);
}

#[test]
fn cpu_time_of_another_machine_and_too_few_ticks_are_shown_and_not_judged() {
    let unjudged = |now: &[f64], cpu: &str| {
        judged("fail 20%", now, cpu, |comparison| {
            let row = comparison.total_row(Metric::CpuPerRequest).expect("it is shown");
            assert_eq!((row.decision, comparison.verdict), (None::<Decision>, Verdict::Pass));
            comparison.cpu_unjudged
        })
    };
    assert_eq!(unjudged(&[90.0], "b"), Some(CpuUnjudged::OtherMachine));
    // A tick is 10 ms, so 450 requests of 2 ms take 90 of them.
    assert_eq!(unjudged(&[2.0], "a"), Some(CpuUnjudged::TooCoarse { ticks: 90, needed: 100 }));
}

#[test]
fn limit_that_fails_needs_a_baseline_with_cpu_time() {
    let rules = samples::rules_with(samples::with_limits(&[(Metric::CpuPerRequest, "fail 20%")]), false);
    let without = baseline(&[samples::run(&[]), samples::run(&[])]);
    let error = compare(&without, &runs(&[10.0], "a"), rules).unwrap_err().to_string();
    assert!(error.starts_with("the baseline lacks cpu_per_request, so the gate could not fail on it"), "{error}");
    let known = baseline(&runs(&BEFORE, "a"));
    let of_others = [samples::run(&[])];
    let comparison = compare(&known, &of_others, rules).unwrap();
    assert_eq!(comparison.cpu_unjudged, Some(CpuUnjudged::Unknown));
}

#[test]
fn cpu_time_is_kept_in_the_baseline() {
    let text = baseline(&runs(&BEFORE, "a")).to_text();
    assert!(text.contains("\"cpu_per_request\": [10.0, 10.1, 9.9, 10.05, 9.95]"), "{text}");
    assert_eq!(Baseline::parse(&text).unwrap().total_runs(Metric::CpuPerRequest), BEFORE);
}
