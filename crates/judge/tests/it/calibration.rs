//! The calibration, in short: the promises hold, and `docs/calibration.md` says what this code does.

use crate::simulation::{
    Cell, SPREADS_PCT, all_cells, all_drift_cells, all_endpoint_cells, error_pct, promises, share_pct,
};

/// Standard errors between a short simulation and what it samples: so many are no chance, among so many numbers.
const SLACK: f64 = 4.5;

const DOCUMENT: &str = include_str!("../../../../docs/calibration.md");

/// The rows below a heading of the document, as numbers; a cell without one is left out.
fn table(heading: &str) -> Vec<Vec<f64>> {
    let (_, section) = DOCUMENT.split_once(heading).unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let numbers =
        |row: &str| row.split('|').filter_map(|cell| cell.trim().trim_end_matches(" %").parse().ok()).collect();
    rows.skip(2).map(numbers).collect()
}

#[track_caller]
fn assert_near(what: &str, short_pct: f64, documented_pct: f64, comparisons: usize) {
    // Of a share at its end, such as 0 of 200, the error is taken a little inside.
    let inside_pct = documented_pct.clamp(0.5, 99.5);
    let reach = SLACK * error_pct(inside_pct, comparisons);
    assert!((short_pct - documented_pct).abs() < reach, "{what}: {short_pct:.2} %, documented {documented_pct} %");
}

#[test]
fn the_promises_are_kept_and_the_document_is_this_codes() {
    let cells = all_cells(800);
    let endpoints = all_endpoint_cells(80);
    let drift = all_drift_cells(800);
    for promise in promises(&cells, &endpoints, &drift, SLACK) {
        assert!(promise.is_kept, "{}: {}", promise.what, promise.seen);
    }

    let documented = table("## One series");
    assert_eq!(documented.len(), cells.len());
    for (row, Cell { noise, change_pct, outcomes }) in documented.iter().zip(&cells) {
        let [spread_pct, change, shares @ .., runs] = row.as_slice() else { panic!("{row:?}") };
        assert_eq!([*spread_pct, *change].map(f64::to_bits), [noise.spread_pct, *change_pct].map(f64::to_bits));
        let counts = [outcomes.plain, outcomes.one_run, outcomes.fixed, outcomes.gate];
        assert_eq!(shares.len(), counts.len());
        for (share, count) in shares.iter().zip(counts) {
            assert_near(
                &format!("{noise:?} {change_pct}"),
                share_pct(count, outcomes.comparisons),
                *share,
                outcomes.comparisons,
            );
        }
        // A mean of numbers from 1 to 5 has a standard deviation of 2 at most.
        let reach = SLACK * 2.0 / (outcomes.comparisons as f64).sqrt();
        assert!((outcomes.mean_runs() - runs).abs() < reach, "{noise:?} {change_pct}: {} runs", outcomes.mean_runs());
    }

    let documented = table("## One endpoint of many");
    assert_eq!(documented.len(), 2 * SPREADS_PCT.len());
    for (row, (noise, [same, slow])) in documented.iter().zip(&endpoints) {
        let shares = [
            share_pct(same.any_over, same.comparisons),
            share_pct(same.any_failed, same.comparisons),
            share_pct(slow.slow_failed, slow.comparisons),
            share_pct(slow.any_failed, slow.comparisons),
        ];
        for (documented, short) in row[1..].iter().zip(shares) {
            assert_near(&format!("{noise:?}, endpoints"), short, *documented, same.comparisons);
        }
    }

    let documented = table("## On a machine that drifts");
    assert_eq!(documented.len(), drift.len());
    for (row, seen) in documented.iter().zip(&drift) {
        let [change_pct, committed, interleaved, rounds, covered] = row.as_slice() else { panic!("{row:?}") };
        assert_eq!(*change_pct, seen.change_pct);
        for (documented, count) in
            [(committed, seen.committed), (interleaved, seen.interleaved), (covered, seen.covered)]
        {
            assert_near(
                &format!("{change_pct} %, drifting"),
                share_pct(count, seen.comparisons),
                *documented,
                seen.comparisons,
            );
        }
        let mean = seen.rounds as f64 / seen.comparisons as f64;
        assert!((mean - rounds).abs() < SLACK * 2.5 / (seen.comparisons as f64).sqrt(), "{change_pct}: {mean} rounds");
    }
}

#[test]
fn the_document_breaks_no_promise() {
    assert!(DOCUMENT.contains("| kept |") && !DOCUMENT.contains("**broken**"));
}
