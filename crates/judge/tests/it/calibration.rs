//! A short calibration: the promises hold, and `docs/calibration.md` matches this code.

use crate::simulation::table::{Cell, Share, Table};
use crate::simulation::{Simulation, Sizes};

/// The standard errors that a short simulation may be off: more are no chance among so many numbers.
const SLACK: f64 = 4.5;

/// The least probability of a share: it is red if 0 of 4 draws stand beside 90%.
const LEAST_CHANCE: f64 = 2e-4;

const SHORT: Sizes =
    Sizes { series: 150, endpoints: 12, errors: 60, starts: 150, dependence: 100, rounds: 150, requests: 4 };

const DOCUMENT: &str = include_str!("../../../../docs/calibration.md");

/// The cells of each row below a heading of the document.
fn documented(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = DOCUMENT.split_once(&format!("\n## {heading}\n")).unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    rows.skip(2).map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The probability that a binomial share is at least as far from its true value, on the side where it is. A few draws
/// leave no normal distribution.
fn chance_of(share: Share, true_share: f64) -> f64 {
    let (mut lower, mut upper) = (0.0, 0.0);
    let mut exactly = (1.0 - true_share).powi(i32::try_from(share.of).unwrap());
    for count in 0..=share.of {
        lower += if count <= share.count { exactly } else { 0.0 };
        upper += if count >= share.count { exactly } else { 0.0 };
        exactly *= (share.of - count) as f64 / (count + 1) as f64 * true_share / (1.0 - true_share);
    }
    f64::min(lower, upper)
}

#[test]
fn share_of_few_draws_is_judged_by_its_binomial_probability() {
    let close = |count, of, true_share, wanted: f64| {
        let chance = chance_of(Share { count, of }, true_share);
        assert!((chance - wanted).abs() < 1e-9, "{count} of {of}: {chance}");
    };
    close(2, 4, 0.5, 0.6875);
    close(4, 4, 0.5, 0.0625);
    close(0, 3, 0.1, 0.729);
}

#[track_caller]
fn assert_documented(heading: &str, seen: &Cell, documented: &str) {
    let number = || documented.trim_end_matches('%').parse::<f64>().unwrap();
    match seen {
        Cell::Label(label) => assert_eq!(label, documented, "{heading}"),
        Cell::Share(share) => {
            // A share such as 0 of 200 is known to a little more than 0.
            let is_near = chance_of(*share, number().clamp(2.0, 98.0) / 100.0) >= LEAST_CHANCE;
            assert!(is_near, "{heading}: {:.2}%, documented {documented}", share.pct());
        }
        Cell::Mean(mean) => {
            let is_near = (mean.value() - number()).abs() <= SLACK * mean.error();
            assert!(is_near, "{heading}: {:.2}, documented {documented}", mean.value());
        }
    }
}

#[test]
fn promises_are_kept_and_the_document_matches_the_code() {
    let simulation = Simulation::run(SHORT);
    for promise in simulation.promises(SLACK) {
        assert!(promise.is_kept, "{}: {}", promise.what, promise.seen);
        assert!(DOCUMENT.contains(&format!("| {}", promise.what)), "{} is not documented", promise.what);
    }
    for Table { heading, text, columns, rows } in simulation.tables() {
        let begin: String = text.chars().take(20).collect();
        assert!(DOCUMENT.contains(&begin), "{heading}: {begin}");
        let documented = documented(heading);
        assert_eq!(documented.len(), rows.len(), "{heading}");
        for (row, documented) in rows.iter().zip(documented) {
            assert_eq!((row.len(), documented.len()), (columns.len(), columns.len()), "{heading}");
            for (seen, documented) in row.iter().zip(documented) {
                assert_documented(heading, seen, documented);
            }
        }
    }
}

#[test]
fn the_document_breaks_no_promise() {
    assert!(DOCUMENT.contains("| kept |") && !DOCUMENT.contains("**broken**"));
}
