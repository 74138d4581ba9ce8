//! The JSON, against its schema.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use boon::{Compiler, SchemaIndex, Schemas};
use expect_test::expect;
use judge::model::limits::Inconclusive;
use judge::stats::estimate::Interval;
use judge::verdict::compare::compare;
use judge::verdict::decision::Presence;
use report::{CommandLine, Format, Report, Saved, Unjudged, View};
use serde_json::{Value, json};

use crate::cases::{case, cases, no_verdict};
use crate::service::inconclusive;

pub struct Schema(Schemas, SchemaIndex);

impl Schema {
    pub fn read() -> Schema {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/report.schema.json");
        let schema: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("report.schema.json", schema).unwrap();
        let index = compiler.compile("report.schema.json", &mut schemas).unwrap();
        Schema(schemas, index)
    }

    fn accepts(&self, value: &Value) -> bool {
        self.0.validate(value, self.1).is_ok()
    }

    #[track_caller]
    pub fn assert_accepts(&self, name: &str, value: &Value) {
        if let Err(error) = self.0.validate(value, self.1) {
            panic!("{name}: {error:#}");
        }
    }
}

#[test]
fn json_matches_its_schema() {
    let schema = Schema::read();
    let mut met: [BTreeSet<String>; 4] = Default::default();
    for case in cases() {
        let value: Value = serde_json::from_str(&case.render(Format::Json)).unwrap();
        schema.assert_accepts(case.name, &value);
        for row in value["rows"].as_array().unwrap() {
            for (met, word) in
                met.iter_mut().zip([&value["verdict"], &row["status"], &row["doubt"]["reason"], &row["unsettled"]])
            {
                met.extend(word.as_str().map(str::to_owned));
            }
        }
    }
    // A word that no case produces would not be checked.
    expect![[r#"[{"fail", "pass"}, {"below_resolution", "fail", "in_doubt", "new", "no_baseline", "ok", "shown", "waived", "warn"}, {"few_samples", "noise_unknown", "not_significant", "one_run", "reaches_below_limit"}, {"close", "few_runs", "open"}]"#]]
    .assert_eq(&format!("{met:?}"));
    for (setting, exit_code) in [(Inconclusive::Pass, 0), (Inconclusive::NoVerdict, 2)] {
        let mut measured = inconclusive();
        measured.rules.inconclusive = setting;
        let value: Value =
            measured.with(|report| serde_json::from_str(&Format::Json.render(&View::of(report))).unwrap());
        assert_eq!((&value["verdict"], &value["exit_code"]), (&json!("inconclusive"), &json!(exit_code)));
        schema.assert_accepts("inconclusive", &value);
    }
    let failure: Value =
        serde_json::from_str(&Format::Json.render_unjudged(&no_verdict("there is no baseline"))).unwrap();
    schema.assert_accepts("no verdict", &failure);
    let saved = Saved::new(&cases()[0].baseline, "perf_baseline.json", CommandLine::default());
    for unjudged in [Unjudged::BaselineSaved(saved.clone()), Unjudged::NoBaseline(saved)] {
        let value: Value = serde_json::from_str(&Format::Json.render_unjudged(&unjudged)).unwrap();
        schema.assert_accepts(unjudged.word(), &value);
        assert_eq!(value["baseline"]["values"].as_array().unwrap().len(), 5);
    }
    // One run on each side shows no noise, so nobody knows whether a change would have been detected.
    let value: Value = serde_json::from_str(&case("noise unknown").render(Format::Json)).unwrap();
    assert_eq!((&value["verdict"], &value["conclusive"]), (&json!("pass"), &json!(false)));
    // A later version may add keys.
    let mut later: Value = serde_json::from_str(&cases()[0].render(Format::Json)).unwrap();
    (later["extra"], later["rows"][0]["extra"]) = (json!(1), json!(null));
    schema.assert_accepts("a later version", &later);
}

#[test]
fn schema_rejects_planted_faults() {
    let schema = Schema::read();
    let good: Value = serde_json::from_str(&cases()[1].render(Format::Json)).unwrap();
    let row = good["rows"].as_array().unwrap().iter().position(|row| row["interval"].is_array()).unwrap();
    for (pointer, key, planted) in [
        ("", "schema_version", Some(json!("2.0"))),
        ("", "verdict", Some(json!("not_judged"))),
        ("", "exit_code", Some(json!("0"))),
        ("", "rows", Some(json!([]))),
        ("", "evidence", None),
        ("/runs", "candidate", Some(json!(1.5))),
        ("/provenance/baseline", "commit", None),
        ("/provenance/baseline/load", "users", Some(json!("10"))),
        ("/findings/0", "status", Some(json!("ok"))),
        ("", "headline", None),
        ("", "conclusive", Some(json!("yes"))),
        ("/row", "baseline", Some(json!("300"))),
        ("/row", "candidate", None),
        ("/row", "status", Some(json!("FAIL"))),
        ("/row", "metric", Some(json!("p94"))),
        ("/row", "interval", Some(json!([1.0]))),
        ("/row", "interval", Some(json!([null, 1.0]))),
        ("/row/limit", "worsening", Some(json!("20%"))),
        ("/row/limit", "floor", None),
        ("/row", "doubt", Some(json!("few requests"))),
    ] {
        let pointer = pointer.replace("/row", &format!("/rows/{row}"));
        let mut bad = good.clone();
        let object = bad.pointer_mut(&pointer).unwrap().as_object_mut().unwrap();
        match &planted {
            Some(planted) => object.insert(key.to_owned(), planted.clone()),
            None => object.remove(key),
        };
        assert!(!schema.accepts(&bad), "{pointer}/{key} {planted:?}");
    }
    let failure: Value = serde_json::from_str(&Format::Json.render_unjudged(&no_verdict("no baseline"))).unwrap();
    for (key, planted) in [("conclusive", json!(true)), ("exit_code", json!(0)), ("verdict", json!("pass"))] {
        let mut bad = failure.clone();
        bad[key] = planted;
        assert!(!schema.accepts(&bad), "{key}");
    }
}

/// Equal but for the last bit, which `serde_json` gives up to read faster.
fn is_same(read: Option<f64>, written: Option<f64>) -> bool {
    match (read, written) {
        (Some(read), Some(written)) => (read - written).abs() <= f64::EPSILON * written.abs(),
        (read, written) => read == written,
    }
}

#[test]
fn json_has_every_number_in_full_precision() {
    for case in cases() {
        case.report(|report| {
            let text = Format::Json.render(&View::of(report));
            let value: Value = serde_json::from_str(&text).unwrap();
            let comparison = report.comparison;
            let rows: Vec<_> = comparison.total.iter().chain(&comparison.endpoints).collect();
            assert_eq!(value["rows"].as_array().unwrap().len(), rows.len());
            for (row, shown) in rows.iter().zip(value["rows"].as_array().unwrap()) {
                assert_eq!(
                    (shown["endpoint"].as_str(), shown["metric"].as_str()),
                    (row.endpoint, Some(row.metric.name()))
                );
                for (key, number) in [
                    ("baseline", row.presence.baseline()),
                    ("candidate", row.presence.candidate()),
                    ("change", row.change()),
                    ("detectable", row.evidence.detectable),
                ] {
                    assert!(is_same(shown[key].as_f64(), number), "{}: {key} of {row:?}", case.name);
                }
                let ends = row.evidence.interval;
                let (low, high) = (ends.map(|ends| ends.low), ends.map(|ends| ends.high));
                for (end, number) in [low, high].into_iter().enumerate() {
                    assert!(is_same(shown["interval"][end].as_f64(), number), "{}: {row:?}", case.name);
                }
                let limit = row
                    .limit
                    .map(|limit| json!({"worsening": limit.worsening, "floor": limit.floor, "bound": limit.bound, "level": format!("{:?}", limit.level).to_lowercase()}));
                assert_eq!(shown["limit"], json!(limit));
            }
            assert_eq!(value["findings"].as_array().unwrap().len(), comparison.findings().len());
            assert_eq!(value["provenance"]["candidate"], json!(report.provenance.candidate));
            assert_eq!(value["sentence"], json!(View::of(report).headline.sentence()));
            assert_eq!([&value["strict"], &value["paired"]], [case.rules.strict, case.rules.paired]);
            assert!(text.ends_with("}\n"));
        });
    }
    let text = case("new and missing").render(Format::Json);
    assert!(text.contains("\"candidate\": 333.3333333333333,"), "a third is not rounded: {text}");
}

#[test]
fn json_writes_null_for_nan_and_infinity() {
    let case = cases().remove(0);
    let mut comparison = compare(&case.baseline, &case.runs, &case.rules).unwrap();
    let row = &mut comparison.total[0];
    row.presence = Presence::Both { baseline: f64::NAN, candidate: f64::INFINITY };
    row.evidence.detectable = Some(f64::NAN);
    row.evidence.interval = Some(Interval { low: f64::NEG_INFINITY, high: 1.0 });
    let text = case.report(|report| {
        let report = Report { comparison: &comparison, ..report.clone() };
        Format::Json.render(&View::of(&report))
    });
    let value: Value = serde_json::from_str(&text).unwrap();
    Schema::read().assert_accepts("no numbers", &value);
    for key in ["baseline", "candidate", "change", "detectable", "interval"] {
        assert_eq!(value["rows"][0][key], Value::Null, "{key}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "the text of a whole file")]
fn json_keys_run_from_verdict_to_details() {
    expect![[r#"
        {
          "schema_version": "1.4",
          "verdict": "not_judged",
          "exit_code": 2,
          "headline": "NO VERDICT: cannot read perf.toml",
          "conclusive": false,
          "sentence": "cannot read perf.toml",
          "next": [
            {
              "what": "fix the problem above and re-run with details",
              "command": "cargo xtask perf --verbose",
              "arguments": [
                "cargo",
                "xtask",
                "perf",
                "--verbose"
              ]
            }
          ]
        }
    "#]]
    .assert_eq(&Format::Json.render_unjudged(&no_verdict("cannot read perf.toml")));
    let text = cases()[2].render(Format::Json);
    let start: Vec<&str> = text.lines().take_while(|line| !line.contains("\"rows\"")).collect();
    expect![[r#"
        {
          "schema_version": "1.4",
          "verdict": "fail",
          "exit_code": 1,
          "headline": "FAIL: p95 rose 40%, 300 → 420 ms (limit +20%); inconclusive: noise could change the verdict on p95 and GET /a p95",
          "conclusive": false,
          "sentence": "p95 rose 40%, 300 → 420 ms (limit +20%); inconclusive: noise could change the verdict on p95 and GET /a p95",
          "evidence": "inconclusive after 1 run (baseline: 5): p95 of all requests and p95 of GET /a exceed their limits in a single run; detectable p95 change: 3.1%",
          "strict": false,
          "paired": false,
          "runs": {
            "baseline": 5,
            "candidate": 1
          },
          "findings": [
            {
              "status": "fail",
              "endpoint": null,
              "metric": "p95",
              "text": "p95: 300 → 420 ms (+40.0%, limit +20%)"
            },
            {
              "status": "warn",
              "endpoint": "GET /a",
              "metric": "p95",
              "text": "GET /a p95: 300 → 420 ms (+40.0%, limit +20%); seen in a single run; an endpoint fails only with two or more"
            }
          ],
          "traffic": [],
          "drift": null,
          "exceptions": [],
          "what_changed": null,
          "remarks": [
            "only 4 of 450 requests are beyond p99 (5 needed)",
            "Locust's version differs: baseline \u003c1>, candidate \"2\""
          ],
          "next": [
            {
              "what": "make more runs",
              "command": "cargo xtask perf --min-runs 2 --max-runs 8",
              "arguments": [
                "cargo",
                "xtask",
                "perf",
                "--min-runs",
                "2",
                "--max-runs",
                "8"
              ]
            },
            {
              "what": "rule out the machine",
              "command": "cargo xtask perf --confirm",
              "arguments": [
                "cargo",
                "xtask",
                "perf",
                "--confirm"
              ]
            },
            {
              "what": "accept it",
              "command": "cargo xtask perf --update-baseline --note \"why it is slower\"",
              "arguments": [
                "cargo",
                "xtask",
                "perf",
                "--update-baseline",
                "--note",
                "why it is slower"
              ]
            }
          ],
          "acceptance": null,
          "confirmation": null,
          "lacking": [],"#]].assert_eq(&start.join("\n"));
    let start = text.find("{\n      \"endpoint\": \"GET /a\",\n      \"metric\": \"p95\",\n      \"unit\"").unwrap();
    let end = start + text[start..].find("\n    }").unwrap() + "\n    }".len();
    expect![[r#"
        {
              "endpoint": "GET /a",
              "metric": "p95",
              "unit": "ms",
              "status": "warn",
              "baseline": 299.9933331036898,
              "candidate": 420.0,
              "change": 40.003111287420204,
              "change_unit": "%",
              "interval": [
                36.86489157016905,
                43.21328826763888
              ],
              "detectable": 3.1364996788637587,
              "limit": {
                "worsening": 20.0,
                "floor": null,
                "bound": null,
                "level": "fail"
              },
              "accepted": null,
              "doubt": {
                "reason": "one_run",
                "requests": null,
                "samples": null,
                "text": "seen in a single run; an endpoint fails only with two or more"
              },
              "unsettled": "few_runs"
            }"#]]
    .assert_eq(&text[start..end]);
}
