//! Services that were judged wrongly: long requests that only the corrected p95 sees, and changes that it does not.

use super::service::{Change, Pauses, SERVICE, Service, SlowRequests};
use super::structures::{Asked, Design, PLAIN, Structure, simulate};
use super::table::{Cell, Table};

pub fn table(comparisons: usize) -> Table {
    let slow = |share, factor| Some(SlowRequests { share, factor });
    let mut cases: Vec<(String, Service, Change)> = Vec::new();
    for (share, factor) in [(0.01, 25.0), (0.02, 12.5), (0.02, 17.0), (0.03, 8.0), (0.03, 12.5)] {
        let service = Service { slow_requests: slow(share, factor), ..SERVICE };
        let multiple = 40.0 * factor / 167.0;
        for (name, change) in [("no change", Change::None), ("+30%", Change::Everywhere(1.3))] {
            let share_pct = 100.0 * share;
            cases.push((
                format!("{share_pct}% of requests at {multiple:.1} expected intervals, {name}"),
                service,
                change,
            ));
        }
    }
    let class = Service { slow_class_ms: Some(2000.0), ..SERVICE };
    cases.push(("a slow class of 2 s, no change".to_owned(), class, Change::None));
    cases.push(("a slow class of 2 s, x 3".to_owned(), class, Change::SlowClass(3.0)));
    let class = Service { slow_class_ms: Some(12.0), ..SERVICE };
    cases.push(("a class of 12 ms, 300 times slower".to_owned(), class, Change::SlowClass(300.0)));
    cases.push(("a freeze of 0.3 s in 10 s".to_owned(), SERVICE, Change::Freeze(300.0)));
    cases.push(("a freeze of 2 s in 10 s".to_owned(), SERVICE, Change::Freeze(2000.0)));
    for share in [0.05, 0.06, 0.1, 0.2] {
        let service = Service { slow_requests: slow(share, 8.0), spread: 0.05, ..SERVICE };
        cases.push((format!("{:.0}% of requests 8 times slower, no change", 100.0 * share), service, Change::None));
        cases.push((
            format!("{:.0}% of requests 8 times slower, +10%", 100.0 * share),
            service,
            Change::Everywhere(1.1),
        ));
    }
    for (before, after) in [(0.06, 0.12), (0.06, 0.2), (0.1, 0.13)] {
        let service = Service { slow_requests: slow(before, 8.0), spread: 0.05, ..SERVICE };
        let name = format!("{:.0} -> {:.0}% of requests 8 times slower", 100.0 * before, 100.0 * after);
        cases.push((name, service, Change::SlowShare(after)));
    }
    let pauses = Service { pauses: Some(Pauses { length_ms: 400.0, period_ms: 4000.0 }), ..SERVICE };
    cases.push(("pauses of 400 ms every 4 s, no change".to_owned(), pauses, Change::None));
    cases.push(("pauses of 400 ms every 4 s, +10%".to_owned(), pauses, Change::Everywhere(1.1)));
    let mut rows = Vec::new();
    for (at, (name, service, change)) in cases.into_iter().enumerate() {
        let structure = Structure { service, ..PLAIN };
        let of = |design| simulate(&structure, change, design, Asked::default(), comparisons, 300 + at as u64);
        let (seen, rounds) = (of(Design::Baseline(10)), of(Design::Rounds));
        rows.push(vec![
            Cell::label(name),
            seen.share(|seen| seen.failed),
            seen.share(|seen| seen.by_p95),
            seen.share(|seen| seen.by_corrected && !seen.by_p95),
            seen.share(|seen| seen.by_endpoint),
            seen.runs(),
            rounds.share(|seen| seen.failed),
            rounds.runs(),
        ]);
    }
    Table {
        heading: "Slow requests, stalls and classes",
        text: format!(
            "Long requests are a small part of all requests and a large part of the corrected ones. If a group of slow requests grows, a
p95 that was already in this group does not change. A p95 at the edge between fast and slow requests is uncertain: a change of 10%
may move it by more. A class is one user of ten, whose requests take the given time. The run-to-run spread is 4%.
Shares are of {comparisons} comparisons."
        ),
        columns: vec![
            "service",
            "FAIL",
            "by p95",
            "by p95_corrected alone",
            "by an endpoint",
            "runs",
            "rounds FAIL",
            "rounds",
        ],
        rows,
    }
}
