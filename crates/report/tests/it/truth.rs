//! What a report must not hide: an endpoint that was not judged, what is new, and what weakens the verdict.

use judge::model::run::{Metric, Provenance, Usage};
use report::formats::github::{self, Places};
use report::formats::markdown;
use report::formats::terminal::{self, Screen, Verbosity};
use report::view::words::Status;
use report::{Background, Format, Report, Sides, View};

use crate::cases::{Case, STEADY, case, in_every_format, provenance, rules, run, runs};
use crate::service::{measured, names};

fn headline(case: &Case) -> String {
    case.report(|report| View::of(report).headline.to_string())
}

#[test]
fn pass_leads_with_the_endpoint_that_could_not_be_judged() {
    let mut few = runs(&STEADY);
    for run in &mut few {
        run.endpoints[0].1.requests = 60;
    }
    let mut now = run(300.0, &[("GET /a", 420.0)]);
    now.endpoints[0].1.requests = 60;
    let case = Case::new("few", &few, vec![now], rules(false, false));
    assert_eq!(
        headline(&case),
        "PASS for none of 1 endpoint: GET /a could not be judged: p95 +40% (limit +20%), 60 requests a run, 100 needed; \
         p95 of all requests +0.0% (limit +20%)"
    );
    case.report(|report| {
        let view = View::of(report);
        assert_eq!(view.next[0].what, "lengthen the run", "{:?}", view.next);
        for (format, text) in in_every_format(report) {
            assert!(text.contains("could not be judged"), "{format}: {text}");
        }
        let comment = markdown::render(&view);
        assert!(
            comment.split("<details>").next().unwrap().contains("| `GET /a` p95 ms | 300 | 420 | +40.0% |"),
            "{comment}"
        );
        let page = Format::Html.render(&view);
        assert!(page.contains("<section class=\"hero warn\">"), "not green");
        assert!(page.contains("<strong>With care.</strong>"));
    });
}

#[test]
fn the_time_of_one_request_leads_no_report() {
    let single = |p95_ms: f64| {
        let mut run = run(300.0, &[("GET /item/77461", p95_ms)]);
        run.endpoints[0].1.requests = 1;
        run
    };
    let case = Case::new("ids", &[300.0; 3].map(single), vec![single(420.0)], rules(false, false));
    assert_eq!(headline(&case), "PASS for none of 1 endpoint: p95 +0.0% (limit +20%); GET /item/77461 is not judged");
}

#[test]
fn a_new_endpoint_with_a_long_name_is_not_cut_in_its_middle() {
    let headline = measured(&names(5), 1.0).with(|report| View::of(report).headline.to_string());
    let end = "is MISSING: no requests; NEW PATCH /an/endpoint/that/is/new p95 492 ms";
    assert!(headline.ends_with(end), "{headline}");
}

#[test]
fn new_endpoint_is_in_every_format() {
    let case = Case::new(
        "new",
        &runs(&STEADY),
        vec![run(300.0, &[("GET /a", 300.0), ("GET /new", 126.0)])],
        rules(false, false),
    );
    let sentence = "GET /new p95 126 ms: not compared until the baseline is updated";
    case.report(|report| {
        for (format, text) in in_every_format(report) {
            let plain = text.replace('`', "");
            assert!(plain.contains(sentence), "{format}: {text}");
        }
        let annotations = github::annotations(&View::of(report), &Places::default());
        assert_eq!(annotations, format!("::notice title=NEW::{sentence}\n"));
    });
}

fn busy(others_pct: f64) -> Provenance {
    let usage = Usage { others_pct: vec![others_pct], ..Usage::default() };
    Provenance { usage, ..provenance() }
}

#[test]
fn what_weakens_the_verdict_stands_behind_its_word() {
    let (pass, fail) = (case("a pass"), case("a failure of several runs"));
    let word = |case: &Case, baseline: &Provenance, candidate: &Provenance, is_hosted_runner| {
        case.report(|report| {
            let background = Background { is_hosted_runner, ..report.background.clone() };
            let provenance = Sides { baseline, candidate };
            let report = Report { provenance, background: &background, ..report.clone() };
            View::of(&report).headline.words()
        })
    };
    let (quiet, loaded, other) = (provenance(), busy(90.0), {
        let mut other = provenance();
        other.machine.as_mut().unwrap().cpu = "another".to_owned();
        other
    });
    let newer = Provenance { locust: "2.48.0".to_owned(), ..provenance() };
    let unconfirmed = "FAIL (not confirmed: comparing with stored numbers is wrong 1 time in 16 on hosted runners)";
    for (case, baseline, candidate, is_hosted, expected) in [
        (&fail, &quiet, &quiet, false, "FAIL"),
        (&fail, &quiet, &loaded, false, "FAIL (the machine was 90% busy)"),
        (&fail, &loaded, &quiet, false, "FAIL"),
        (&pass, &quiet, &loaded, false, "PASS"),
        (&pass, &loaded, &quiet, false, "PASS (the baseline's machine was 90% busy)"),
        (&pass, &quiet, &other, false, "PASS (another CPU than the baseline's)"),
        (&fail, &quiet, &quiet, true, unconfirmed),
        (&fail, &quiet, &newer, true, unconfirmed),
        (&fail, &quiet, &newer, false, "FAIL (another Locust than the baseline's)"),
        (&fail, &quiet, &other, true, "FAIL (another CPU than the baseline's)"),
        (&fail, &quiet, &loaded, true, "FAIL (the machine was 90% busy)"),
        (&pass, &quiet, &quiet, true, "PASS"),
    ] {
        assert_eq!(word(case, baseline, candidate, is_hosted), expected);
    }
}

#[test]
fn a_gain_has_its_sentence() {
    let faster = Case::new("faster", &runs(&STEADY), runs(&[200.0, 201.0]), rules(false, false));
    assert_eq!(headline(&faster), "PASS: p95 fell 33%, 300 → 200 ms, all metrics within their limits");
}

#[test]
fn drift_is_not_blamed_for_this_change() {
    let mut case = case("a drift");
    case.runs = runs(&[520.0, 521.0]);
    case.report(|report| {
        let view = View::of(report);
        assert!(view.drift.as_ref().unwrap().finding.is_none());
        assert_eq!(
            view.headline.to_string(),
            "FAIL: p95 rose 45%, 360 → 520 ms (limit +20%); 1 of 1 endpoint: GET /a +45%"
        );
        let statuses: Vec<Status> = view.drift.as_ref().unwrap().series.iter().map(|series| series.status).collect();
        assert_eq!(statuses, [Status::InDoubt; 2]);
    });
}

#[test]
fn drift_leads_a_page_whose_own_tiles_are_green() {
    case("a drift").report(|report| {
        let page = Format::Html.render(&View::of(report));
        let (tile, others) = page.split_once("<dl class=\"tiles\">\n").unwrap().1.split_once("</div>").unwrap();
        assert!(tile.starts_with("<div class=\"fail\"><dt>p95 since v1.0</dt><dd class=\"big\">+30.2%</dd>"), "{tile}");
        assert!(tile.contains("300 → 390 ms") && tile.contains("limit +25%"), "{tile}");
        assert!(tile.contains("95% interval") && !others.split_once("</dl>").unwrap().0.contains("95%"), "{tile}");
        let (drift, bars) = (others.find("id=\"drift\"").unwrap(), others.find("id=\"where\"").unwrap());
        assert!(drift < bars);
        assert_eq!(others.matches("2 accepted updates").count(), 0, "{others}");
        let view = View::of(report);
        assert_eq!(view.next[0].what, "see who accepted what, and why");
        let text = terminal::render(&view, Verbosity::Normal, Screen::default());
        assert_eq!(text.matches("drift since").count(), 1, "{text}");
    });
}

#[test]
fn values_that_are_compared_have_the_same_digits() {
    let case = Case::new("digits", &runs(&[41.0; 5]), runs(&[41.5, 41.5]), rules(false, false));
    case.report(|report| {
        let view = View::of(report);
        let p95 = view.total.iter().find(|series| series.row.metric == Metric::P95).unwrap();
        assert_eq!(p95.cells[1..3], ["41.0", "41.5"]);
    });
}
