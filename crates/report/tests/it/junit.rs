//! `JUnit`'s XML, against the grammar of Jenkins.

use std::collections::BTreeSet;

use expect_test::expect;
use judge::model::limits::Inconclusive;
use judge::model::run::Provenance;
use report::view::words::Status;
use report::{Format, Report, Sides, View};
use roxmltree::{Document, Node};

use crate::cases::{Case, answering, case, cases, no_verdict, provenance, rules};
use crate::service;

/// The children of an element, its required attributes, and its optional ones.
type Rule = (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

/// The grammar of `junit-10.xsd` in Jenkins's xunit plugin, which is stricter than what GitLab reads. Children may come
/// in any order there; some of those with an empty list have text.
const GRAMMAR: [Rule; 10] = [
    ("testsuites", &["testsuite"], &[], &["name", "time", "tests", "failures", "errors"]),
    (
        "testsuite",
        &["testsuite", "properties", "testcase", "system-out", "system-err"],
        &["name", "tests", "failures", "errors"],
        &["group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"],
    ),
    ("properties", &["property"], &[], &[]),
    ("property", &[], &["name", "value"], &[]),
    (
        "testcase",
        &["skipped", "error", "failure", "system-out", "system-err"],
        &["name"],
        &["time", "classname", "group"],
    ),
    ("skipped", &[], &[], &["type", "message"]),
    ("error", &[], &[], &["type", "message"]),
    ("failure", &[], &[], &["type", "message"]),
    ("system-out", &[], &[], &[]),
    ("system-err", &[], &[], &[]),
];

const WITH_TEXT: [&str; 5] = ["skipped", "error", "failure", "system-out", "system-err"];

/// The faults of the document by the grammar, and by its own counts.
fn faults(document: &Document) -> Vec<String> {
    let mut faults = Vec::new();
    let root = document.root_element();
    if !["testsuites", "testsuite"].contains(&root.tag_name().name()) {
        faults.push("the root is no suite".to_owned());
    }
    for node in root.descendants() {
        if node.is_text() {
            let may_have_text = node.parent().is_some_and(|parent| WITH_TEXT.contains(&parent.tag_name().name()));
            if !may_have_text && !node.text().unwrap().trim().is_empty() {
                faults.push(format!("text where none may be: {:?}", node.text()));
            }
        } else if node.is_element() {
            element_faults(node, &mut faults);
        }
    }
    faults
}

fn element_faults(node: Node, faults: &mut Vec<String>) {
    let name = node.tag_name().name();
    let Some((_, children, required, optional)) = GRAMMAR.iter().find(|(known, ..)| *known == name) else {
        return faults.push(format!("<{name}> is no element"));
    };
    for child in node.children().filter(Node::is_element) {
        if !children.contains(&child.tag_name().name()) {
            faults.push(format!("<{}> in <{name}>", child.tag_name().name()));
        }
    }
    for attribute in node.attributes() {
        if !required.contains(&attribute.name()) && !optional.contains(&attribute.name()) {
            faults.push(format!("{} of <{name}>", attribute.name()));
        }
    }
    for attribute in required.iter().filter(|attribute| node.attribute(**attribute).is_none()) {
        faults.push(format!("<{name}> without {attribute}"));
    }
    // SUREFIRE_TIME without its commas.
    if let Some(time) = node.attribute("time")
        && !(time.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && time.parse::<f64>().is_ok())
    {
        faults.push(format!("time {time}"));
    }
    if name.starts_with("testsuite") {
        let count = |tag: &str| node.descendants().filter(|below| below.has_tag_name(tag)).count().to_string();
        for (attribute, tag) in
            [("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")]
        {
            if node.attribute(attribute).is_some_and(|said| said != count(tag)) {
                faults.push(format!(
                    "{attribute} of <{name}>: {} are {}",
                    node.attribute(attribute).unwrap(),
                    count(tag)
                ));
            }
        }
    }
}

#[track_caller]
pub fn assert_is_junit<'a>(name: &str, text: &'a str) -> Document<'a> {
    let document = Document::parse(text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
    assert_eq!(faults(&document), Vec::<String>::new(), "{name}: {text}");
    document
}

/// The case of a series; the suite's name is also the class's.
fn find_case<'a, 'input>(document: &'a Document<'input>, suite: &str, metric: &str) -> Node<'a, 'input> {
    let mut cases = document.descendants().filter(|node| node.has_tag_name("testcase"));
    let is_it = |node: &Node| node.attribute("classname") == Some(suite) && node.attribute("name") == Some(metric);
    cases.find(is_it).unwrap_or_else(|| panic!("there is no case {suite} {metric}"))
}

fn child<'a, 'input>(node: Node<'a, 'input>, tag: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.has_tag_name(tag))
}

#[test]
fn junit_matches_the_grammar_and_the_statuses() {
    for case in cases() {
        case.report(|report| {
            let text = Format::Junit.render(&View::of(report));
            let document = assert_is_junit(case.name, &text);
            let comparison = report.comparison;
            for row in comparison.total.iter().chain(&comparison.endpoints) {
                let node = find_case(&document, row.endpoint.unwrap_or("Aggregated"), row.metric.name());
                let output = child(node, "system-out").and_then(|output| output.text()).unwrap_or_default();
                let has = ["failure", "skipped", "error"].map(|tag| child(node, tag).is_some());
                let status = Status::of(row);
                let is_skipped = matches!(status, Status::Shown | Status::NoBaseline | Status::Waived);
                assert_eq!(has, [status == Status::Fail, is_skipped, false], "{}: {row:?}", case.name);
                assert_eq!(output.starts_with("WARN "), status == Status::Warn, "{}: {output}", case.name);
                assert_eq!(output.starts_with("NEW: "), status == Status::New, "{}: {output}", case.name);
            }
            let failures = document.descendants().filter(|node| node.has_tag_name("failure"));
            let messages: Vec<String> = failures.map(|node| node.attribute("message").unwrap().to_owned()).collect();
            let view = View::of(report);
            let series = view.total.iter().chain(view.endpoints.iter().flat_map(|endpoint| &endpoint.series));
            let series = series.chain(view.drift.iter().flat_map(|drift| &drift.series));
            let failed = series.filter(|series| series.status == Status::Fail);
            let failed: BTreeSet<String> = failed.map(|series| series.finding.clone()).collect();
            assert_eq!(messages.into_iter().collect::<BTreeSet<_>>(), failed, "{}", case.name);
        });
    }
}

#[test]
fn every_reason_of_an_exit_code_is_in_junit() {
    let other = Case::new("other answers", &answering(2000.0), answering(30.0), rules(true, false));
    let text = other.render(Format::Junit);
    let document = assert_is_junit("other answers", &text);
    let failure = child(find_case(&document, "Aggregated", "GET /a response size"), "failure").unwrap();
    assert_eq!(failure.text(), Some("GET /a answers 30 bytes instead of 2,000, status 200: an error page?"));
    let mut unsure = service::inconclusive();
    assert!(!unsure.with(|report| Format::Junit.render(&View::of(report))).contains("<error"), "exit code 0");
    unsure.rules.inconclusive = Inconclusive::NoVerdict;
    let text = unsure.with(|report| Format::Junit.render(&View::of(report)));
    let error = assert_is_junit("inconclusive", &text);
    let error = child(find_case(&error, "Aggregated", "verdict"), "error").unwrap();
    assert!(error.text().unwrap().starts_with("INCONCLUSIVE"), "{:?}", error.text());
}

#[test]
fn no_verdict_is_an_error_in_junit() {
    expect![[r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="cargo xtask perf" tests="1" failures="0" errors="1" time="0">
          <testsuite name="Aggregated" id="0" tests="1" failures="0" errors="1" time="0" skipped="0">
            <testcase classname="Aggregated" name="measurement" time="0">
              <error type="NO VERDICT" message="the service &lt;died&gt;:\nits log">the service &lt;died&gt;:\nits log</error>
            </testcase>
          </testsuite>
        </testsuites>
    "#]]
    .assert_eq(&Format::Junit.render_unjudged(&no_verdict("the service <died>:\nits log")));
    let text = Format::Junit.render_unjudged(&no_verdict("the service <died>:\nits log"));
    let document = assert_is_junit("failure", &text);
    let error = child(find_case(&document, "Aggregated", "measurement"), "error").unwrap();
    assert_eq!(error.text(), Some("the service <died>:\\nits log"));
}

#[test]
fn junit_has_a_suite_per_endpoint_and_a_case_per_metric() {
    let case = case("new and missing");
    expect![[r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="cargo xtask perf" tests="14" failures="0" errors="0" time="0">
          <testsuite name="Aggregated" id="0" tests="7" failures="0" errors="0" time="0" skipped="2" timestamp="2026-11-23T12:00:00">
            <properties>
              <property name="verdict" value="PASS: p95 +0.0% (limit +20%), no blocking limit is exceeded; 1 warning: GET /gone is MISSING; inconclusive: noise may be hiding a GET /gone p95 regression"/>
              <property name="evidence" value="inconclusive after 1 run (baseline: 5): GET /gone has no requests in 1 run; detectable p95 change: 3.1%"/>
              <property name="strict" value="false"/>
              <property name="baseline" value="baseline: commit 0123456789ab, 2026-11-23 (perf_baseline.json)"/>
              <property name="baseline commit" value="0123456789abcdef0123456789abcdef01234567"/>
              <property name="candidate commit" value="0123456789abcdef0123456789abcdef01234567"/>
              <property name="load" value="10 users, spawn rate 2.5/s, 30 s with 1.5 s of warm-up"/>
              <property name="machine" value="CPU &lt;9&gt; &amp; more, 2 cores, Linux"/>
            </properties>
            <testcase classname="Aggregated" name="p50" time="0">
              <system-out>ok: baseline 100 ms, candidate 100 ms, change +0.0%, interval +0.0..+0.0, limit +20%</system-out>
            </testcase>
            <testcase classname="Aggregated" name="p95" time="0">
              <system-out>ok: baseline 300 ms, candidate 300 ms, change +0.0%, interval -2.2..+2.3, limit +20%</system-out>
            </testcase>
            <testcase classname="Aggregated" name="p99" time="0">
              <system-out>ok (too few requests): baseline 400 ms, candidate 400 ms, change +0.0%, interval +0.0..+0.0, limit +25%
        only 4 of 450 requests are beyond p99 (5 needed)</system-out>
            </testcase>
            <testcase classname="Aggregated" name="avg_response_time" time="0">
              <skipped message="informational, no limit">informational, no limit</skipped>
              <system-out>baseline 111.1 ms, candidate 111.1 ms, change +0.0%</system-out>
            </testcase>
            <testcase classname="Aggregated" name="requests_per_sec" time="0">
              <system-out>ok: baseline 15.0/s, candidate 15.0/s, change +0.0%, interval +0.0..+0.0, limit -30%</system-out>
            </testcase>
            <testcase classname="Aggregated" name="error_rate" time="0">
              <system-out>ok: baseline 0.00%, candidate 0.00%, change +0.00 pp, interval -0.2..+0.8, limit +2 pp</system-out>
            </testcase>
            <testcase classname="Aggregated" name="total_requests" time="0">
              <skipped message="informational, no limit">informational, no limit</skipped>
              <system-out>baseline 450, candidate 450, change +0.0%</system-out>
            </testcase>
            <system-out>NEW GET /new p95 333 ms: not compared until the baseline is updated
        only 4 of 450 requests are beyond p99 (5 needed)
        Locust&#39;s version differs: baseline &lt;1&gt;, candidate &quot;2&quot;</system-out>
          </testsuite>
          <testsuite name="GET /a" id="1" tests="5" failures="0" errors="0" time="0" skipped="0" timestamp="2026-11-23T12:00:00">
            <testcase classname="GET /a" name="error_rate" time="0">
              <system-out>ok: baseline 0.00%, candidate 0.00%, change +0.00 pp, interval -0.2..+0.8, limit +2 pp</system-out>
            </testcase>
            <testcase classname="GET /a" name="p95" time="0">
              <system-out>ok: baseline 300 ms, candidate 300 ms, change +0.0%, interval -2.2..+2.3, limit +20%</system-out>
            </testcase>
            <testcase classname="GET /a" name="p99" time="0">
              <system-out>ok: baseline 400 ms, candidate 400 ms, change +0.0%, interval +0.0..+0.0, limit +25%</system-out>
            </testcase>
            <testcase classname="GET /a" name="p50" time="0">
              <system-out>ok: baseline 100 ms, candidate 100 ms, change +0.0%, interval +0.0..+0.0, limit +20%</system-out>
            </testcase>
            <testcase classname="GET /a" name="requests_per_sec" time="0">
              <system-out>ok: baseline 15.0/s, candidate 15.0/s, change +0.0%, interval +0.0..+0.0, limit -30%</system-out>
            </testcase>
          </testsuite>
          <testsuite name="GET /new" id="2" tests="1" failures="0" errors="0" time="0" skipped="0" timestamp="2026-11-23T12:00:00">
            <testcase classname="GET /new" name="p95" time="0">
              <system-out>NEW: candidate 333 ms, limit +20%</system-out>
            </testcase>
          </testsuite>
          <testsuite name="GET /gone" id="3" tests="1" failures="0" errors="0" time="0" skipped="0" timestamp="2026-11-23T12:00:00">
            <testcase classname="GET /gone" name="p95" time="0">
              <system-out>WARN GET /gone: no requests, but the baseline has some
        WARN? (not settled): baseline 300 ms, limit +20%</system-out>
            </testcase>
          </testsuite>
        </testsuites>
    "#]].assert_eq(&case.render(Format::Junit));
}

#[test]
fn grammar_rejects_planted_faults() {
    let good = cases()[1].render(Format::Junit);
    for (from, to) in [
        ("<testcase classname", "<testcase file"),
        (" name=\"p95\"", ""),
        ("<failure ", "<failure code=\"1\" "),
        ("<properties>", "<failure/><properties>"),
        ("</testcase>", "text</testcase>"),
        ("<system-out>", "<system-out><b/>"),
        ("time=\"0\"", "time=\"1 s\""),
        (" failures=\"", " failures=\"1"),
        ("<property name", "<property key"),
        ("testsuites", "suites"),
    ] {
        assert!(good.contains(from), "{from}");
        let bad = good.replace(from, to);
        assert!(!faults(&Document::parse(&bad).unwrap()).is_empty(), "{from} -> {to}");
    }
}

#[test]
fn junit_leaves_out_malformed_timestamps() {
    let mut case = cases().remove(0);
    case.runs.truncate(1);
    for (timestamp, expected) in [
        ("2026-11-23T12:00:00Z", Some("2026-11-23T12:00:00")),
        ("2026-11-23T12:00:00.123456Z", Some("2026-11-23T12:00:00")),
        ("2026-11-23T12:00:00+02:00", None),
        ("yesterday, at half past noonZ", None),
        ("", None),
        ("2026-11-23T12:00:0\u{e9}Z", None),
    ] {
        let candidate = Provenance { timestamp: timestamp.to_owned(), ..provenance() };
        let text = case.report(|report| {
            let provenance = Sides { candidate: &candidate, ..report.provenance };
            Format::Junit.render(&View::of(&Report { provenance, ..report.clone() }))
        });
        let document = assert_is_junit(timestamp, &text);
        let suite = document.descendants().find(|node| node.has_tag_name("testsuite")).unwrap();
        assert_eq!(suite.attribute("timestamp"), expected, "{timestamp}");
    }
}
