//! Whether the users did their work.

use std::collections::BTreeMap;

use judge::baseline::comparability::Comparability;
use judge::baseline::file::Baseline;
use judge::baseline::work::work;
use judge::model::run::{Run, TaskCalls};

use crate::samples::{provenance, run};

/// A run with a task of so many calls and failures, and so many users of a rare class beside ten others.
fn worked(calls: u64, failures: u64, rare: f64) -> Run {
    let task = |name: &str, calls, failures, exception: &str| TaskCalls {
        name: name.to_owned(),
        calls,
        failures,
        exception: exception.to_owned(),
    };
    Run {
        tasks: vec![task("U.count", calls, failures, "KeyError: 'items'"), task("U.order", 100, 0, "")],
        users_by_class: BTreeMap::from([("U".to_owned(), 10.0), ("Premium".to_owned(), rare)]),
        ..run(&[])
    }
}

fn compared(before: &[Run], now: &[Run]) -> Comparability {
    work(&Baseline::new(before, provenance()).unwrap(), now)
}

#[test]
fn tasks_that_fail_more_often_than_in_the_baseline_are_refused() {
    for (before, now, expected) in [
        (
            (320, 0),
            (320, 312),
            "task `count` failed in 312 of 320 calls: KeyError: 'items' (none in the baseline); fix the task, or accept this load with --update-baseline",
        ),
        ((320, 0), (320, 16), ""),
        (
            (320, 0),
            (320, 17),
            "task `count` failed in 17 of 320 calls: KeyError: 'items' (none in the baseline); fix the task, or accept this load with --update-baseline",
        ),
        ((100, 50), (100, 55), ""),
        (
            (100, 50),
            (100, 56),
            "task `count` failed in 56 of 100 calls: KeyError: 'items' (50 of 100 in the baseline); fix the task, or accept this load with --update-baseline",
        ),
        // Two failures are an accident.
        ((320, 0), (2, 2), ""),
    ] {
        let found = compared(&[worked(before.0, before.1, 1.0)], &[worked(now.0, now.1, 1.0)]);
        assert_eq!((found.refusal.as_str(), found.warnings.len()), (expected, 0), "{before:?} {now:?}");
    }
    // Some run of several may be enough.
    assert!(!compared(&[worked(320, 0, 1.0)], &[worked(320, 312, 1.0), worked(320, 0, 1.0)]).refusal.is_empty());
}

#[test]
fn baseline_without_counts_of_tasks_is_a_warning() {
    let found = compared(&[run(&[])], &[worked(320, 312, 1.0)]);
    let warning = "task `count` failed in 312 of 320 calls: KeyError: 'items' (the baseline has no counts of tasks: record it again)";
    assert_eq!(found, Comparability { refusal: String::new(), warnings: vec![warning.to_owned()] });
    assert_eq!(compared(&[worked(320, 0, 1.0)], &[run(&[])]), Comparability::default());
}

#[test]
fn class_with_less_than_half_of_its_users_is_refused() {
    let left = "users of class Premium: 0.4 were active on average (1.0 in the baseline): find out why the others left, or accept this load with --update-baseline";
    for (before, now, expected) in [(1.0, 0.5, ""), (1.0, 0.4, left), (0.5, 0.4, ""), (0.2, 0.0, "")] {
        let found = compared(&[worked(1, 0, before)], &[worked(1, 0, now)]);
        assert_eq!(found.refusal, expected, "{before} {now}");
    }
    let mut none = worked(1, 0, 1.0);
    none.users_by_class.remove("Premium");
    assert!(compared(&[worked(1, 0, 1.0)], &[none]).refusal.contains("0.0 were active"));
}
