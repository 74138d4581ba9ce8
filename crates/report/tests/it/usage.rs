//! What was used of the machine: the note where others were busy, and the details.

use judge::model::run::{Provenance, Usage};
use report::view::usage::{details, note};

fn side(others_pct: &[f64]) -> Provenance {
    let usage = Usage {
        others_pct: others_pct.to_vec(),
        cpu_ms_per_request: vec![1.0, 2.0],
        peak_memory_mb: vec![44.04, 123.4],
    };
    Provenance { usage: Some(usage), ..Provenance::default() }
}

#[test]
fn a_machine_that_was_shared_is_said_worst_run_first() {
    let unknown = Provenance::default();
    assert_eq!(note(&unknown, &unknown), None);
    // A tenth is tolerated.
    assert_eq!(note(&side(&[10.0]), &side(&[10.0, 0.0])), None);
    for (baseline, candidate, expected) in [
        (side(&[]), side(&[10.001]), "10% in run 1"),
        (side(&[2.0, 40.4]), unknown, "40% in the baseline's run 2"),
        (side(&[50.0]), side(&[31.0, 5.0, 90.0]), "90% in run 3, 50% in the baseline's run 1, 31% in run 1"),
        (
            side(&[50.0, 60.0]),
            side(&[11.0, 12.0]),
            "60% in the baseline's run 2, 50% in the baseline's run 1, 12% in run 2 and 1 more",
        ),
    ] {
        assert_eq!(
            note(&baseline, &candidate).unwrap(),
            format!(
                "other programs, containers or virtual machines used the cores: {expected}; measure on an idle machine"
            )
        );
    }
}

#[test]
fn what_the_service_used_is_told_with_the_baselines() {
    let (unknown, known) = (Provenance::default(), side(&[2.0, 4.0]));
    assert_eq!(
        details(&side(&[5.0]), &known),
        [
            "service's CPU per request: 1.50 ms (baseline: 1.50 ms)",
            "service's memory at its peak: 123 MB (baseline: 123 MB)",
            "cores that others used: 3.0%, at most 4.0% in a run (baseline: 5.0%)",
        ]
    );
    assert_eq!(
        details(&unknown, &known),
        [
            "service's CPU per request: 1.50 ms",
            "service's memory at its peak: 123 MB",
            "cores that others used: 3.0%, at most 4.0% in a run",
        ]
    );
    assert!(details(&known, &unknown).is_empty());
}
