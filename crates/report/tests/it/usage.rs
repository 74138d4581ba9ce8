//! CPU and memory used by the service and by other processes.

use judge::model::run::{Provenance, Usage};
use report::formats::terminal::{self, Screen, Verbosity};
use report::view::usage::note;
use report::{Report, Sides, View};

use crate::cases::case;

fn side(others_pct: &[f64]) -> Provenance {
    let usage = Usage {
        others_pct: others_pct.to_vec(),
        cpu_ms_per_request: vec![1.0, 2.0],
        peak_memory_mb: vec![44.04, 123.4],
        ..Usage::default()
    };
    Provenance { usage, ..Provenance::default() }
}

#[test]
fn busy_machine_is_noted_worst_run_first() {
    let unknown = Provenance::default();
    assert_eq!(note(&unknown, &unknown), "");
    // A tenth is tolerated.
    assert_eq!(note(&side(&[10.0]), &side(&[10.0, 0.0])), "");
    for (baseline, candidate, expected) in [
        (side(&[]), side(&[10.001]), "10% in run 1"),
        (side(&[2.0, 40.4]), unknown, "40% in the baseline's run 2"),
        (side(&[50.0]), side(&[31.0, 5.0, 90.0]), "90% in run 3, 50% in the baseline's run 1 and 31% in run 1"),
        (
            side(&[50.0, 60.0]),
            side(&[11.0, 12.0]),
            "60% in the baseline's run 2, 50% in the baseline's run 1, 12% in run 2 and 1 more",
        ),
    ] {
        assert_eq!(
            note(&baseline, &candidate),
            format!(
                "the machine was busy: other processes, containers or virtual machines used the CPU, {expected}; re-run on an idle machine"
            )
        );
    }
}

/// The lines of `--verbose` about CPU and memory.
fn details(baseline: &Provenance, candidate: &Provenance) -> Vec<String> {
    case("a pass").report(|report| {
        let report = Report { provenance: Sides { baseline, candidate }, other_details: vec![], ..report.clone() };
        let text = terminal::render(&View::of(&report), Verbosity::Verbose, Screen::default());
        let text = anstream::adapter::strip_str(&text).to_string();
        let is_of_usage = |line: &&str| line.starts_with("service's ") || line.starts_with("CPU used");
        text.lines().filter(is_of_usage).map(str::to_owned).collect()
    })
}

#[test]
fn service_usage_is_listed_with_the_baselines() {
    let (unknown, known) = (Provenance::default(), side(&[2.0, 4.0]));
    assert_eq!(
        details(&side(&[5.0]), &known),
        [
            "service's CPU per request: 1.50 ms (baseline: 1.50 ms)",
            "service's peak memory: 123 MB (baseline: 123 MB)",
            "CPU used by other processes: 3.0%, at most 4.0% in a run (baseline: 5.0%)",
        ]
    );
    assert_eq!(
        details(&unknown, &known),
        [
            "service's CPU per request: 1.50 ms",
            "service's peak memory: 123 MB",
            "CPU used by other processes: 3.0%, at most 4.0% in a run",
        ]
    );
    assert!(details(&known, &unknown).is_empty());
}
