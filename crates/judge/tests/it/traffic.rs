//! What endpoints answer, how often they are asked, and how they are named.

use judge::baseline::file::Baseline;
use judge::model::limits::Rules;
use judge::model::run::{Run, Stats};
use judge::verdict::compare::{Verdict, compare};
use judge::verdict::names::names_warning;

use crate::samples::{provenance, run, stats};

/// A run of these endpoints: name, requests and mean bytes of an answer.
fn answered(endpoints: &[(&str, u64, f64)]) -> Run {
    let of =
        |requests, content_bytes| Stats { requests, failures: 0, content_bytes: Some(content_bytes), ..stats(300.0) };
    let rows = endpoints.iter().map(|(name, requests, bytes)| ((*name).into(), of(*requests, *bytes))).collect();
    let all = endpoints.iter().map(|(_, requests, _)| requests).sum();
    Run { total: of(all, 0.0), endpoints: rows, ..run(&[]) }
}

fn found(before: &[Run], now: &[Run]) -> Vec<String> {
    let baseline = Baseline::new(before, provenance()).unwrap();
    let rules = Rules::default();
    let comparison = compare(&baseline, now, &rules).unwrap();
    assert_eq!(comparison.verdict, Verdict::Pass);
    let strict = Rules { strict: true, ..Rules::default() };
    let verdict = compare(&baseline, now, &strict).unwrap().verdict;
    assert_eq!(verdict == Verdict::Fail, !comparison.traffic.is_empty(), "--strict");
    comparison.traffic.iter().map(judge::verdict::traffic::TrafficChange::text).collect()
}

const OTHERS: (&str, u64, f64) = ("GET /item", 300, 500.0);

#[test]
fn answer_of_half_or_twice_the_size_is_a_warning() {
    let runs = |sizes: &[f64]| -> Vec<Run> {
        sizes.iter().map(|bytes| answered(&[("GET /list", 100, *bytes), OTHERS])).collect()
    };
    let before = runs(&[2000.0, 2010.0, 1990.0, 2000.0]);
    for (sizes, expected) in [
        (vec![30.0], vec!["GET /list answers 30 bytes instead of 2,000, status 200: an error page?"]),
        (vec![1000.0], vec!["GET /list answers 1,000 bytes instead of 2,000, status 200: an error page?"]),
        (vec![1010.0], vec![]),
        (vec![0.0, 0.0], vec!["GET /list answers 0 bytes instead of 2,000, status 200: an error page?"]),
        (vec![4100.0], vec!["GET /list answers 4,100 bytes instead of 2,000"]),
        (vec![3900.0], vec![]),
    ] {
        assert_eq!(found(&before, &runs(&sizes)), expected, "{sizes:?}");
    }
    // A size that varies by itself, and a number that got a digit.
    assert!(found(&runs(&[200.0, 4000.0, 900.0]), &runs(&[400.0])).is_empty());
    assert!(found(&runs(&[1.0, 1.0]), &runs(&[2.0])).is_empty());
    // Nothing is known of the noise of single runs, but it is not that large.
    assert!(found(&runs(&[2000.0]), &runs(&[600.0])).is_empty());
    assert_eq!(found(&runs(&[2000.0]), &runs(&[30.0])).len(), 1);
    let rare = |bytes| answered(&[("GET /list", 3, bytes), OTHERS]);
    assert!(found(&[rare(2000.0)], &[rare(30.0)]).is_empty(), "three answers may be three pages");
}

#[test]
fn another_answer_to_a_request_of_on_start_is_a_warning_and_its_number_is_no_share() {
    let of = |logins: u64, bytes: f64| {
        let mut run = answered(&[("GET /list", 100, 500.0), OTHERS]);
        run.setup = answered(&[("on_start POST /login", logins, bytes)]).endpoints;
        run
    };
    let before = [of(100, 2000.0), of(100, 2001.0), of(100, 1999.0)];
    let warning = "on_start POST /login answers 30 bytes instead of 2,000, status 200: an error page?";
    assert_eq!(found(&before, &[of(100, 30.0)]), [warning]);
    assert!(found(&before, &[of(10, 2000.0)]).is_empty());
}

#[test]
fn endpoint_with_less_than_half_of_its_share_is_a_warning() {
    let run =
        |orders: u64, lists: u64| answered(&[("POST /order", orders, 100.0), ("GET /list", lists, 100.0), OTHERS]);
    let before = [run(100, 100), run(103, 99), run(97, 101)];
    let warning =
        "POST /order has 2.4% of the requests instead of 20.0%: does its task still run, or does it end early?";
    assert_eq!(found(&before, &[run(10, 100)]), [warning]);
    assert!(found(&before, &[run(60, 100)]).is_empty(), "more than half");
    assert_eq!(found(&before[..1], &[run(10, 100)]).len(), 1, "single runs");
    assert!(found(&before[..1], &[run(35, 100)]).is_empty(), "the noise of single runs is not known");
    // One endpoint that is asked much more leaves less to all others.
    assert!(found(&before, &[run(100, 2000)]).is_empty());
    // A load that is smaller everywhere is no change of shares.
    let tenth = answered(&[("POST /order", 10, 100.0), ("GET /list", 10, 100.0), ("GET /item", 30, 500.0)]);
    assert!(found(&before, &[tenth]).is_empty());
    // Few requests scatter.
    let rare = |orders| answered(&[("POST /order", orders, 100.0), OTHERS]);
    assert!(found(&[rare(6), rare(3), rare(4)], &[rare(1)]).is_empty());
}

/// A run of these names, with a request each.
fn named(names: impl Iterator<Item = String>) -> Run {
    let endpoints = names.map(|name| (name.into(), Stats { requests: 1, failures: 0, ..stats(300.0) })).collect();
    Run { endpoints, ..run(&[]) }
}

#[test]
fn names_that_hold_an_id_are_one_warning() {
    let items = |first: u32| named((first..first + 30).map(|id| format!("GET /item/{id}?a=1")));
    let baseline = |runs: &[Run]| Baseline::new(runs, provenance()).unwrap();
    let before = baseline(&[items(0), items(100)]);
    let warning = "60 names appear in one run each, such as GET /item/0?a=1, GET /item/100?a=1, GET /item/101?a=1: give such \
                   requests one name in the locustfile, as in `self.client.get(url, name=\"/item/[id]\")`";
    let now = [items(200)];
    assert_eq!(names_warning(&before, &now).as_deref(), Some(warning));
    // None of them is missing, also with --strict.
    let strict = Rules { strict: true, ..Rules::default() };
    let comparison = compare(&before, &now, &strict).unwrap();
    assert_eq!((comparison.findings().len(), comparison.has_failed_itself()), (0, false));
    let of_candidate = names_warning(&baseline(&[items(0)]), &[items(200), items(300)]);
    assert!(of_candidate.unwrap().starts_with("60 names appear in one run each"));
    // The same names in each run are endpoints, however many.
    assert_eq!(names_warning(&baseline(&[items(0), items(0)]), &[items(0), items(0)]), None);
}

#[test]
fn names_that_mostly_differ_are_of_another_locustfile() {
    let of = |names: &[&str]| named(names.iter().map(ToString::to_string));
    let baseline = |names: &[&str]| Baseline::new(&[of(names)], provenance()).unwrap();
    let warning = "1 of 4 endpoints are in the baseline, which has 3: another locustfile?";
    assert_eq!(names_warning(&baseline(&["a", "b", "c"]), &[of(&["a", "d", "e", "f"])]).as_deref(), Some(warning));
    assert_eq!(names_warning(&baseline(&["a", "b", "c"]), &[of(&["a", "b", "d", "e", "f"])]), None);
    assert_eq!(names_warning(&baseline(&["a", "b", "c"]), &[of(&["a"])]), None, "endpoints that are missing");
    assert_eq!(names_warning(&Baseline::new(&[run(&[])], provenance()).unwrap(), &[of(&["a"])]), None);
}
