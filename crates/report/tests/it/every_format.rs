//! What every format shows: the View, arranged.

use expect_test::expect;
use judge::model::run::{Provenance, Run, Stats};
use judge::parse::locust_json;
use report::formats::github;
use report::formats::terminal::{self, Screen, Verbosity};
use report::view::series::severity;
use report::{Background, CommandLine, Confirmation, Format, Report, Saved, Sides, Stored, Unjudged, View};
use serde_json::{Value, json};

use crate::cases::{Case, STEADY, answering, case, cases, confirmed, in_every_format, provenance, rules, runs};
use crate::hostile::hostile_case;
use crate::json::Schema;

#[test]
fn every_format_has_the_same_headline() {
    let mut said = Vec::new();
    for case in cases() {
        case.report(|report| {
            let headline = View::of(report).headline.to_string();
            for (format, text) in &in_every_format(report) {
                let shown = match *format {
                    "terminal" | "quiet" => text.lines().last().unwrap().to_owned(),
                    // The headlines have no other characters that Markdown escapes.
                    "Markdown" => text.lines().nth(1).unwrap().replace("\\_", "_").replace("\\[", "["),
                    _ => text.clone(),
                };
                match *format {
                    "terminal" | "quiet" => assert_eq!(shown, headline, "{}, {format}", case.name),
                    "HTML" => assert!(shown.contains(&format!("<title>{}", &headline[..4])), "{}, {format}", case.name),
                    _ => assert!(shown.contains(&headline), "{}, {format}: {shown}", case.name),
                }
            }
            let annotations = github::annotations(&View::of(report), &github::Places::default());
            let title = headline.replace('%', "%25").replace(':', "%3A").replace(',', "%2C");
            let is_silent = headline.starts_with("PASS") && report.comparison.is_conclusive();
            assert!(annotations.contains(&format!("title={title}::")) || is_silent, "{annotations}");
            said.push(format!("{}: {headline}", case.name));
        });
    }
    expect![[r#"
        a pass: PASS: p95 +0.0% (limit +20%), all metrics within their limits
        a failure of several runs: FAIL: p95 rose 39%, 300 → 417 ms (limit +20%); 1 of 1 endpoint: GET /a +39%
        one run over: FAIL: p95 rose 40%, 300 → 420 ms (limit +20%); inconclusive: noise could change the verdict on p95 and GET /a p95
        a close call: PASS: p95 +19% (limit +20%), all metrics within their limits; inconclusive: noise may be hiding regressions of p95 and GET /a p95
        errors: FAIL: error_rate rose 6.67 pp, 0.00 → 6.67% (limit +2 pp); inconclusive: noise could change the verdict on error_rate
        strict: FAIL: p95 rose 62%, 308 → 500 ms (limit +20%); inconclusive: noise could change the verdict on p95 and GET /a p95
        rounds: PASS: p95 +3.3% (limit +20%), all metrics within their limits
        new and missing: PASS: p95 +0.0% (limit +20%), no blocking limit is exceeded; 1 warning: GET /gone is MISSING; inconclusive: noise may be hiding a GET /gone p95 regression
        few requests: FAIL: p95 rose 33%, 300 → 400 ms (limit +20%); inconclusive: noise could change the verdict on p95 and GET /a p95
        not significant: FAIL: p95 rose 27%, 308 → 390 ms (limit +20%); inconclusive: noise could change the verdict on p95 and GET /a p95
        in a gap: FAIL: p95 rose 900%, 20.0 → 200 ms (limit +20%); 1 of 1 endpoint: GET /a +900%
        close after all runs: FAIL: p95 rose 20.3%, 300 → 361 ms (limit +20%); inconclusive: noise could change the verdict on p95
        single runs: PASS: p95 +0.0% (limit +20%), no blocking limit is exceeded; 1 warning: GET /a p95 +40%; inconclusive: noise may be hiding a GET /a p95 regression
        below the limit: PASS: GET /a could not be judged: p95 +40% (limit +20%), one run on each side; p95 of all requests +0.0% (limit +20%)
        noise unknown: PASS for none of 1 endpoint: GET /a could not be judged: p95 +40% (limit +20%), one run on each side; p95 of all requests +0.0% (limit +20%)
        below resolution: PASS for none of 1 endpoint: p95 +25% (limit +20%, but no more than rounding); GET /a is not judged
        a metric that the baseline lacks: PASS: p95 -14% (limit +20%), all metrics within their limits
        limits of an endpoint: PASS: p95 +0.0% (limit +20%), no blocking limit is exceeded; 1 warning: GET /new p95 333 ms; inconclusive: noise may be hiding a GET /new p95 regression
        exceptions: PASS: p95 +39% (limit +20%), within limits except for accepted exceptions; p95 +39% WAIVED until 2026-12-31 and 1 more; 1 exception not used
        a drift: FAIL: p95 +30% since v1.0 (drift limit +25%): 2 accepted updates +20%, this change +8.5%"#]].assert_eq(&said.join("\n"));
}

#[test]
fn confirmation_leads_every_format() {
    let schema = Schema::read();
    let mut said = Vec::new();
    let mut check = |report: &Report| {
        let headline = View::of(report).headline.to_string();
        for (format, text) in &in_every_format(report) {
            assert!(text.contains(View::of(report).headline.word), "{format}: {text}");
            let shows_stored = text.to_lowercase().contains("stored numbers") || text.contains("\"stored\": {");
            assert!(shows_stored || *format == "quiet", "{format}: {text}");
        }
        let value: Value = serde_json::from_str(&Format::Json.render(&View::of(report))).unwrap();
        schema.assert_accepts(&headline, &value);
        said.push(format!("{}: {headline}", value["confirmation"]["outcome"].as_str().unwrap()));
        said.extend(View::of(report).next.iter().map(|step| format!("  {}: {}", step.what, step.command)));
    };
    confirmed([&[300.0, 301.0, 299.0], &[420.0, 421.0, 419.0]], &mut check);
    confirmed([&[420.0, 421.0, 419.0], &[420.0, 422.0, 418.0]], &mut check);
    confirmed([&[280.0, 300.0, 290.0], &[370.0, 345.0, 350.0]], &mut check);
    let failing = Case::new("stored", &runs(&STEADY), runs(&[420.0, 421.0]), rules(false, false));
    let confirmation = Confirmation::Impossible("git does not know the commit".to_owned());
    failing.report(|report| check(&Report { confirmation: Some(&confirmation), ..report.clone() }));
    expect![[r#"
        confirmed: FAIL, confirmed: p95 rose 40%, 300 → 420 ms (limit +20%); 1 of 1 endpoint: GET /a +40%; against the baseline's commit 0123456789ab here (3 rounds)
          find the commit: cargo xtask bisect 0123456789ab
          accept it for a while: ${EDITOR:-vi} perf.toml
          accept it: cargo xtask perf --update-baseline --note "why it is slower"
        not_confirmed: PASS: the FAIL is not confirmed; the machine is slower than when the baseline was recorded (0123456789ab: p95 300 ms then, 420 ms now)
          record a baseline on this machine: cargo xtask perf --update-baseline
        confirmed: FAIL, confirmed: p95 rose 22%, 290 → 355 ms (limit +20%); inconclusive: noise could change the verdict on p95 and GET /a p95
          lengthen the run: cargo xtask perf --against 0123456789ab --run-time 10m
          accept it for a while: ${EDITOR:-vi} perf.toml
          accept it: cargo xtask perf --update-baseline --note "why it is slower"
        impossible: FAIL, not confirmed: p95 rose 40%, 300 → 420 ms (limit +20%); 1 of 1 endpoint: GET /a +40%
          find the commit: cargo xtask bisect 0123456789ab
          accept it: cargo xtask perf --update-baseline --note "why it is slower""#]].assert_eq(&said.join("\n"));
}

#[test]
fn pass_names_other_circumstances_of_the_baseline() {
    let case = &cases()[0];
    let ends = |change: fn(&mut Provenance)| {
        let mut candidate = provenance();
        change(&mut candidate);
        case.report(|report| {
            let provenance = Sides { candidate: &candidate, ..report.provenance };
            let headline = View::of(&Report { provenance, ..report.clone() }).headline.to_string();
            headline.split(": ").next().unwrap().to_owned()
        })
    };
    assert_eq!(ends(|_| ()), "PASS");
    assert_eq!(
        ends(|of| of.machine.as_mut().unwrap().cpu = "another".to_owned()),
        "PASS (another CPU than the baseline's)"
    );
    assert_eq!(ends(|of| of.machine.as_mut().unwrap().cores = 4), "PASS (another number of cores than the baseline's)");
    assert_eq!(
        ends(|of| (of.locust, of.python) = ("2.32.0".to_owned(), "3.14.0".to_owned())),
        "PASS (another Locust and Python than the baseline's)"
    );
    // An unknown machine is no other machine.
    assert_eq!(ends(|of| of.machine = None), "PASS");
}

#[test]
fn every_format_marks_an_inconclusive_verdict() {
    for case in cases() {
        case.report(|report| {
            let is_settled = report.comparison.unsettled().next().is_none();
            assert_eq!(report.comparison.is_conclusive(), is_settled, "{}", case.name);
            for (format, text) in &in_every_format(report) {
                let is_marked = text.contains("inconclusive: noise");
                assert_eq!(is_marked, !is_settled, "{}, {format}: {text}", case.name);
            }
            let value: Value = serde_json::from_str(&Format::Json.render(&View::of(report))).unwrap();
            let is_noise_unknown = value["evidence"].as_str().unwrap().starts_with("noise unknown");
            let is_conclusive = is_settled && (!is_noise_unknown || value["verdict"] == "fail");
            assert_eq!(value["conclusive"], json!(is_conclusive), "{}", case.name);
        });
    }
}

#[test]
fn findings_are_worst_first_in_every_format() {
    for case in cases() {
        case.report(|report| {
            let view = View::of(report);
            let rows: Vec<_> = view.findings.iter().map(|finding| finding.row.unwrap()).collect();
            assert!(rows.is_sorted_by_key(|row| severity(row)), "{}", case.name);
            let texts: Vec<String> = view.findings.iter().map(|finding| finding.text.clone()).collect();
            let value: Value = serde_json::from_str(&Format::Json.render(&View::of(report))).unwrap();
            let in_json = value["findings"].as_array().unwrap().iter().map(|of| of["text"].as_str().unwrap());
            assert!(in_json.eq(texts.iter().map(String::as_str)), "{}", case.name);
            let quiet = &in_every_format(report)[1].1;
            let places: Vec<usize> = texts.iter().map(|text| quiet.find(text.as_str()).unwrap()).collect();
            assert!(places.is_sorted(), "{}: {quiet}", case.name);
        });
    }
}

#[test]
fn only_the_json_grows_beyond_2000_endpoints() {
    let sizes = [2_100, 3_000].map(|count| {
        let names: Vec<String> = (0..count).map(|number| format!("GET /{number:05}")).collect();
        let mut case = hostile_case(&names);
        // The last one is the worst.
        for run in &mut case.runs {
            run.endpoints.last_mut().unwrap().1.p95_ms *= 3.0;
        }
        case.report(|report| {
            let worst = format!("GET /{:05}", count - 1);
            let note =
                format!("howing the 2000 worst of {count} endpoints; the JSON has them all (--report perf.json)");
            in_every_format(report).map(|(format, text)| {
                let text = text.replace('\\', "");
                assert!(text.contains(&worst) && text.contains(&note), "{format} of {count} endpoints");
                if format == "JSON" {
                    let all = names.iter().filter(|name| text.contains(*name)).count();
                    assert_eq!(all, count);
                }
                (format, text.len())
            })
        })
    });
    for ((format, few), (_, many)) in sizes[0].into_iter().zip(sizes[1]) {
        assert!(format == "JSON" || many < few + few / 10, "{format}: {many} bytes after {few}");
    }
}

#[test]
fn the_search_for_the_commit_has_the_flags_of_the_load() {
    let slower = Case::new("slower", &runs(&STEADY), runs(&[400.0, 401.0]), rules(false, false));
    slower.report(|report| {
        let flags = [("--config", "b.toml"), ("--baseline", "b.json"), ("--users", "50")];
        let flags = flags.map(|(flag, value)| (flag, value.to_owned())).to_vec();
        let command = CommandLine { flags, ..CommandLine::default() };
        let background = Background { command, ..report.background.clone() };
        let steps = View::of(&Report { background: &background, ..report.clone() }).next;
        let step = steps.iter().find(|step| step.what == "find the commit").unwrap();
        assert_eq!(step.command, "cargo xtask bisect 0123456789ab --config b.toml --users 50");
    });
}

#[test]
fn other_answers_are_accepted_and_not_searched_for() {
    for (strict, first) in [(false, "PASS"), (true, "FAIL")] {
        let case = Case::new("other answers", &answering(2000.0), answering(30.0), rules(strict, false));
        case.report(|report| {
            let view = View::of(report);
            assert_eq!(view.headline.word, first);
            let steps: Vec<String> = view.next.iter().map(|step| format!("{}: {}", step.what, step.command)).collect();
            let accept = "look at the responses; if they are right, accept them: cargo xtask perf --update-baseline --note \"why it changed\"";
            assert_eq!(steps, [accept]);
        });
    }
    let stored = Case::new("stored", &answering(2000.0), answering(30.0), rules(true, false));
    let rounds = Case::new("rounds", &answering(30.0), answering(30.0), rules(true, true));
    stored.report(|stored| {
        let stored = Stored { comparison: stored.comparison, baseline_origin: stored.baseline_origin.clone() };
        let confirmation = Confirmation::Measured(stored);
        rounds.report(|report| {
            let headline = View::of(&Report { confirmation: Some(&confirmation), ..report.clone() }).headline;
            let sentence = headline.sentence();
            let cause = "the response sizes and the shares of the load are the same at the baseline's commit";
            assert!(sentence.contains(&format!("the FAIL is not confirmed; {cause}")), "{sentence}");
        });
    });
}

#[test]
fn endpoint_that_may_be_missing_is_not_over_its_limit() {
    let mut before = runs(&STEADY);
    for run in &mut before {
        run.endpoints.push(("GET /rare".into(), Stats { requests: 6, ..run.endpoints[0].1.clone() }));
    }
    Case::new("rare", &before, runs(&[300.0]), rules(false, false)).report(|report| {
        let evidence = View::of(report).evidence;
        let expected = "GET /rare has no requests in 1 run, and more runs could rule out chance";
        assert!(evidence.contains(expected), "{evidence}");
    });
}

#[test]
fn strict_failure_of_one_run_does_not_deny_itself() {
    for (strict, words) in [(false, "an endpoint fails only with two or more"), (true, "and --strict makes it a FAIL")]
    {
        Case::new("one run", &runs(&STEADY), runs(&[420.0]), rules(strict, false)).report(|report| {
            let view = View::of(report);
            let text =
                &view.series_findings.iter().find(|finding| finding.text.starts_with("GET /a p95")).unwrap().text;
            assert!(text.ends_with(words), "{text}");
        });
    }
}

#[test]
fn next_steps_fit_each_case() {
    let mut said = Vec::new();
    for case in cases() {
        case.report(|report| {
            let steps = View::of(report).next;
            assert!((1..=3).contains(&steps.len()), "{}", case.name);
            for (format, text) in &in_every_format(report) {
                let is_there = text.contains(&steps[0].command) || ["quiet", "JUnit", "JSON", "HTML"].contains(format);
                assert!(is_there, "{}, {format}: {text}", case.name);
            }
            let steps: Vec<String> = steps.iter().map(|step| format!("  {}: {}", step.what, step.command)).collect();
            said.push(format!("{}:\n{}", case.name, steps.join("\n")));
        });
    }
    expect![[r#"
        a pass:
          nothing to do; see every endpoint: cargo xtask perf target/perf/latest --verbose
        a failure of several runs:
          rule out the machine: cargo xtask perf --confirm
          find the commit: cargo xtask bisect 0123456789ab
          accept it: cargo xtask perf --update-baseline --note "why it is slower"
        one run over:
          make more runs: cargo xtask perf --min-runs 2 --max-runs 8
          rule out the machine: cargo xtask perf --confirm
          accept it: cargo xtask perf --update-baseline --note "why it is slower"
        a close call:
          lengthen the run: cargo xtask perf --against 0123456789ab --run-time 9m
        errors:
          make more runs: cargo xtask perf --min-runs 2 --max-runs 8
          rule out the machine: cargo xtask perf --confirm
          find the commit: cargo xtask bisect 0123456789ab
        strict:
          lengthen the run: cargo xtask perf --against 0123456789ab --run-time 80s
          rule out the machine: cargo xtask perf --confirm
          accept it: cargo xtask perf --update-baseline --note "why it is slower"
        rounds:
          nothing to do; see every endpoint: cargo xtask perf target/perf/latest --verbose
        new and missing:
          make more runs: cargo xtask perf --min-runs 2 --max-runs 8
          restore the task, or accept the new load: cargo xtask perf --update-baseline --note "why the endpoint is gone"
        few requests:
          make more runs: cargo xtask perf --min-runs 2 --max-runs 8
          rule out the machine: cargo xtask perf --confirm
          accept it: cargo xtask perf --update-baseline --note "why it is slower"
        not significant:
          lengthen the run: cargo xtask perf --against 0123456789ab --run-time 10m
          rule out the machine: cargo xtask perf --confirm
          accept it: cargo xtask perf --update-baseline --note "why it is slower"
        in a gap:
          rule out the machine: cargo xtask perf --confirm
          find the commit: cargo xtask bisect 0123456789ab
          accept it: cargo xtask perf --update-baseline --note "why it is slower"
        close after all runs:
          lengthen the run: cargo xtask perf --against 0123456789ab --run-time 10m
          rule out the machine: cargo xtask perf --confirm
          accept it: cargo xtask perf --update-baseline --note "why it is slower"
        single runs:
          make more runs: cargo xtask perf --min-runs 2 --max-runs 8
          rule out the machine: cargo xtask perf --against 0123456789ab
          record a baseline of several runs: cargo xtask perf --update-baseline
        below the limit:
          record a baseline of several runs: cargo xtask perf --update-baseline
        noise unknown:
          record a baseline of several runs: cargo xtask perf --update-baseline
        below resolution:
          record a baseline of several runs: cargo xtask perf --update-baseline
        a metric that the baseline lacks:
          record a baseline of several runs: cargo xtask perf --update-baseline
        limits of an endpoint:
          make more runs: cargo xtask perf --min-runs 2 --max-runs 8
          rule out the machine: cargo xtask perf --against 0123456789ab
          look at one endpoint: cargo xtask perf target/perf/latest --verbose | grep -F 'GET /new'
        exceptions:
          remove the exceptions that nothing needs: ${EDITOR:-vi} perf.toml
        a drift:
          see who accepted what, and why: cargo xtask history"#]]
    .assert_eq(&said.join("\n"));
}

#[test]
fn saved_baseline_is_no_alarm_in_any_format() {
    let saved = Saved::new(&cases()[0].baseline, "perf_baseline.json", CommandLine::default());
    let unjudged = Unjudged::BaselineSaved(saved);
    let screen = Screen::default();
    let terminal = anstream::adapter::strip_str(&terminal::render_unjudged(&unjudged, screen)).to_string();
    expect![[r#"
        p50                   100 ms
        p95                   300 ms  (297 to 303 ms)
        p99                   400 ms
        error_rate             0.00%
        requests_per_sec      15.0/s
        next: commit the baseline: git add perf_baseline.json && git commit -m "Performance baseline"
        next: after your next change, compare against it: cargo xtask perf
        BASELINE SAVED: p50 100 ms, p95 300 ms (297 to 303 ms), p99 400 ms, error_rate 0.00% from 5 runs; commit perf_baseline.json
    "#]].assert_eq(&terminal);
    expect![[r#"
        <!-- cargo xtask perf -->
        ## ✅ BASELINE SAVED

        p50 100 ms, p95 300 ms (297 to 303 ms), p99 400 ms, error\_rate 0.00% from 5 runs; commit perf\_baseline.json

        | metric | baseline | spread of 5 runs |
        |:--|--:|--:|
        | p50 | 100 ms |  |
        | p95 | 300 ms | 297 to 303 ms |
        | p99 | 400 ms |  |
        | error_rate | 0.00% |  |
        | requests_per_sec | 15.0/s |  |

        **What next**

        - commit the baseline: `git add perf_baseline.json && git commit -m "Performance baseline"`
        - after your next change, compare against it: `cargo xtask perf`

    "#]]
    .assert_eq(&Format::Markdown.render_unjudged(&unjudged));
    for text in [
        terminal,
        Format::Html.render_unjudged(&unjudged),
        Format::Markdown.render_unjudged(&unjudged).replace('\u{a0}', " "),
    ] {
        assert!(text.contains("BASELINE SAVED") && text.contains("300 ms") && text.contains("297 to 303 ms"), "{text}");
        assert!(!text.contains("NO VERDICT") && text.contains("git add perf_baseline.json"), "{text}");
    }
    let text = Format::Json.render_unjudged(&unjudged);
    assert!(text.contains("\"least\": 297.0"), "{text}");
}

#[test]
fn insignificant_change_is_no_finding() {
    case("not significant").report(|report| {
        let view = View::of(report);
        assert!(view.findings.iter().all(|finding| !finding.text.contains("GET /a")));
        let mut series = view.endpoints.iter().flat_map(|endpoint| &endpoint.series);
        let series = series.find(|series| series.cells[0] == "GET /a p95 ms").unwrap();
        expect!["over (not significant)"].assert_eq(&series.cells[6]);
    });
}

#[test]
fn pass_that_more_runs_would_hardly_change_leads_with_what_the_noise_hides() {
    let baseline = runs(&[300.0, 330.0, 270.0, 310.0, 290.0, 340.0, 260.0, 320.0, 280.0, 305.0]);
    let case = Case::new("settled", &baseline, runs(&[270.0]), rules(false, false));
    case.report(|report| {
        let view = View::of(report);
        expect!["settled after 1 run (baseline: 10): more runs would hardly change the verdict; detectable p95 change: 33.2%"].assert_eq(&view.evidence);
        let next = &view.next[0];
        expect!["detect smaller changes: cargo xtask perf --min-runs 8 --max-runs 8"].assert_eq(&format!("{}: {}", next.what, next.command));
        for (format, text) in in_every_format(report) {
            assert!(text.contains("the noise hides p95 changes under"), "{format}: {text}");
        }
    });
    // Next to such a baseline a quick run is no gain.
    let quick = |baseline: &[Run]| Case::new("quick", baseline, runs(&[200.0]), rules(false, false));
    let praises = |baseline: &[Run]| {
        quick(baseline).report(|report| View::of(report).next.iter().any(|step| step.what == "keep the gain"))
    };
    assert!(praises(&runs(&STEADY)) && !praises(&baseline));
}

#[test]
fn endless_interval_is_cut_for_people_and_exact_in_json() {
    let mut baseline = runs(&[300.0, 900.0]);
    baseline[1].total.failures = 400;
    let case = Case::new("wild", &baseline, runs(&[310.0]), rules(false, false));
    case.report(|report| {
        let view = View::of(report);
        let wild = view.total[1].cells[4].clone();
        expect!["-100.0..>+999"].assert_eq(&wild);
        for (format, text) in &in_every_format(report)[..5] {
            let is_escaped = matches!(*format, "HTML" | "JUnit");
            let wild = if is_escaped { wild.replace('>', "&gt;") } else { wild.clone() };
            assert!(*format == "quiet" || text.contains(&wild), "{format}: {text}");
        }
        expect!["inconclusive after 1 run (baseline: 2): p95 of all requests and error_rate of all requests are within their limits, but more runs could take them over their limits; too noisy to detect any p95 change"].assert_eq(&view.evidence);
        // In percentage points it goes below that, too.
        expect!["-100.0..+65.0"].assert_eq(&view.total[5].cells[4]);
        let value: Value = serde_json::from_str(&Format::Json.render(&View::of(report))).unwrap();
        assert!(value["rows"][1]["interval"][1].as_f64().unwrap() > 1000.0, "{}", value["rows"][1]);
        assert!(value["rows"][1]["detectable"].as_f64().unwrap() > 1000.0, "{}", value["rows"][1]);
    });
}

/// A run of 1,000 requests, of which so many take 200 ms instead of 20.
fn of_two_speeds(slow: u64) -> Run {
    let (fast, total_ms) = (1000 - slow, 20 * (1000 - slow) + 200 * slow);
    locust_json::parse(&format!(
        r#"[{{"name":"/","method":"GET","num_requests":1000,"num_failures":0,"num_none_requests":0,"total_response_time":{total_ms},"start_time":1.0,"last_request_timestamp":2.0,"response_times":{{"20.1":{fast},"200":{slow}}}}}]"#
    ))
    .unwrap()
}

#[test]
fn fail_by_a_lower_percentile_is_in_the_numbers_of_that_percentile() {
    // The p95 is 200 ms on both sides.
    let [before, now] = [[60, 62, 58, 61], [200, 202, 201, 203]].map(|slow| slow.map(of_two_speeds));
    Case::new("a lower percentile", &before, now.to_vec(), rules(false, false)).report(|report| {
        for (format, text) in &in_every_format(report) {
            assert!(text.contains("p90 rose 895%, 20.1 → 200 ms (limit of p95 +20%)"), "{format}: {text}");
            assert!(!text.contains("p95 went"), "{format}: {text}");
        }
        let table = terminal::render(&View::of(report), Verbosity::Normal, Screen::default());
        assert!(table.contains("FAIL (by p90)"), "{table}");
    });
}
