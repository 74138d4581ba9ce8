//! Many endpoints, most of them with few requests: what is found of them, and what FAILs without a change.

use super::service::{Change, SERVICE, Service};
use super::structures::{Asked, Design, PLAIN, Seen, Structure, simulate};
use super::table::{Cell, Table};

/// A service by its endpoints, and the ranks of which one gets slower.
struct Case {
    name: &'static str,
    service: Service,
    ranks: &'static [usize],
}

fn cases() -> Vec<Case> {
    let zipf = |endpoints| Service { endpoints, ..SERVICE };
    // 360 requests in a run.
    let equal = |spread| Service { endpoints: 30, is_zipf: false, think_ms: 790.0, spread, ..SERVICE };
    vec![
        Case { name: "5 endpoints", service: zipf(5), ranks: &[1] },
        Case { name: "30 endpoints", service: zipf(30), ranks: &[2, 10, 30] },
        Case { name: "100 endpoints", service: zipf(100), ranks: &[10, 100] },
        Case { name: "300 endpoints", service: zipf(300), ranks: &[2, 10] },
        Case { name: "30 endpoints, 12 requests each", service: equal(0.5), ranks: &[1] },
        Case { name: "30 endpoints, 12 requests each, sigma 1", service: equal(1.0), ranks: &[1] },
    ]
}

const DESIGNS: [(&str, Design); 3] =
    [("baseline of 10", Design::Baseline(10)), ("baseline of 1", Design::Baseline(1)), ("rounds", Design::Rounds)];

fn structure(service: Service) -> Structure {
    Structure { service, ..PLAIN }
}

/// What FAILs and warns where nothing changed, or everything within the limit.
pub fn unchanged_table(comparisons: usize) -> Table {
    let mut rows = Vec::new();
    for (at, Case { name, service, .. }) in cases().into_iter().enumerate() {
        for (design_name, design) in DESIGNS {
            let structure = structure(service);
            let of = |change, asked| simulate(&structure, change, design, asked, comparisons, 100 + at as u64);
            let none = of(Change::None, Asked { strict: design != Design::Rounds, confirm: false });
            let mut row = vec![
                Cell::label(format!("{name}, {design_name}")),
                none.share(|seen| seen.failed),
                none.share(|seen| seen.by_endpoint),
                none.share(|seen| seen.by_missing),
                none.share(|seen| seen.warned),
                none.share(|seen| seen.strict_failed),
                none.runs(),
            ];
            for factor in [1.1, 1.15] {
                let seen = of(Change::Everywhere(factor), Asked::default());
                row.extend([seen.share(|seen| seen.failed), seen.share(|seen| seen.by_p95)]);
            }
            rows.push(row);
        }
    }
    Table {
        heading: "Many endpoints, no change",
        text: format!(
            "Services with the given number of endpoints, traffic by Zipf's law and 1,800 requests per run, or with 30 endpoints of equal
traffic; 4% spread. **baseline of 1**: at least three runs are made. **rounds**: **runs** counts rounds, of two runs each. In the
columns **+10%** and **+15%**, everything is that much slower, which is within the limit of +20%. The column next to each of these
has the FAILs by the p95 of all requests alone, which no rule on endpoints changes. Shares are of {comparisons}
comparisons."
        ),
        columns: vec![
            "service",
            "FAIL",
            "by an endpoint",
            "MISSING",
            "WARN",
            "strict FAIL",
            "runs",
            "+10%",
            "by p95 of all",
            "+15%",
            "by p95 of all",
        ],
        rows,
    }
}

/// What is found of one endpoint.
pub fn found_table(comparisons: usize) -> Table {
    let mut rows = Vec::new();
    for (at, Case { name, service, ranks }) in cases().into_iter().enumerate() {
        for rank in ranks {
            for (design_name, design) in DESIGNS {
                let structure = structure(service);
                let of = |factor| {
                    let change = if factor > 0.0 { Change::Endpoint(*rank, factor) } else { Change::Gone(*rank) };
                    simulate(&structure, change, design, Asked::default(), comparisons, 200 + at as u64)
                };
                let mut row =
                    vec![Cell::label(format!("{name}, {:.0} requests, {design_name}", requests(&service, *rank)))];
                for factor in [1.3, 2.0, 5.0, 0.0] {
                    let seen: Seen = of(factor);
                    row.extend([seen.share(|seen| seen.failed), seen.runs()]);
                    if (factor - 1.3_f64).abs() < 1e-9 {
                        row.push(seen.share(|seen| !seen.failed && seen.conclusive));
                    }
                }
                rows.push(row);
            }
        }
    }
    Table {
        heading: "Many endpoints, one of them slower",
        text: format!(
            "The same services. One endpoint, with the given number of requests per run, is slower or no longer requested (`gone`). **missed,
conclusive**: a PASS that is called conclusive: the gate wants no further run, and the p95 of all requests would have shown a change
as large as the limit. A change of 30% in an endpoint with too few requests is not found: lengthen the run, or add users. The report
shows how many endpoints can be judged at all. Shares are of {comparisons} comparisons."
        ),
        columns: vec!["endpoint", "+30%", "runs", "missed, conclusive", "x 2", "runs", "x 5", "runs", "gone", "runs"],
        rows,
    }
}

/// The requests of an endpoint in a run, about.
fn requests(service: &Service, rank: usize) -> f64 {
    let all = super::service::RUN_MS * service.users as f64 / (service.think_ms + 55.0);
    let weight = |rank: usize| if service.is_zipf { 1.0 / rank as f64 } else { 1.0 };
    all * weight(rank) / (1..=service.endpoints).map(weight).sum::<f64>()
}
