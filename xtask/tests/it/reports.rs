//! Where reports go: files, and what GitHub Actions shows.

use locust_gate::config::flags::{Command, parse as parse_flags};
use report::formats::markdown;
use yaml_rust2::YamlLoader;

use crate::real::root;
use crate::support::Scratch;

#[track_caller]
fn assert_no_command(text: &str, name: &str) {
    let text = anstream::adapter::strip_str(text).to_string();
    for line in text.split(['\n', '\r']) {
        assert!(!line.trim_start().starts_with("::") && !line.contains("##["), "{name:?}: {line}");
    }
}

/// Locust's statistics with one endpoint.
fn results(endpoint: &str, p95_ms: u32) -> String {
    let row = format!("450,0,100,15,100,{p95_ms},{}", p95_ms.max(400));
    format!(
        "Type,Name,Request Count,Failure Count,Average Response Time,Requests/s,50%,95%,99%\n{endpoint},{row}\n,Aggregated,{row}\n"
    )
}

/// As under GitHub Actions, with what an earlier step wrote.
fn on_github(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    let summary = scratch.path("pids/summary.md").display().to_string();
    scratch.write("pids/summary.md", "what was there");
    scratch.with("GITHUB_ACTIONS", "true").with("GITHUB_STEP_SUMMARY", &summary)
}

#[test]
fn github_gets_annotations_and_a_summary_beside_the_same_verdict() {
    let scratch = on_github("github-verdict");
    scratch.write("same.csv", &results("GET,/claims", 300));
    scratch.write("slower.csv", &results("GET,/claims", 400));
    for (args, code, last) in [
        ("same.csv", 0, "PASS: p95 +0.0% (limit +20%), all metrics within their limits"),
        ("slower.csv", 1, "FAIL: p95 rose 33%, 300 → 400 ms (limit +20%)"),
        ("slower.csv --quiet", 1, "FAIL: p95 rose 33%, 300 → 400 ms (limit +20%)"),
    ] {
        let before = scratch.read("pids/summary.md");
        let output = scratch.perf(args);
        assert_eq!((output.code, output.stdout.lines().last()), (code, Some(last)), "{args}: {}", output.stderr);
        assert_eq!(output.stderr, "", "{args}");
        let annotations: Vec<_> = output.stdout.lines().filter(|line| line.starts_with("::")).collect();
        let expected = "::error file=perf_baseline.json,line=1,title=FAIL%3A p95 rose 33%25%2C 300 → 400 ms (limit +20%25)::p95: 300 → 400 ms (+33.3%25, limit +20%25)";
        assert_eq!(annotations, if code == 1 { vec![expected] } else { vec![] });
        let summary = scratch.read("pids/summary.md");
        let page = summary.strip_prefix(&before).unwrap().strip_prefix('\n').expect("a line of its own");
        assert!(page.starts_with("<!-- cargo xtask perf -->\n## ") && page.contains(last), "{args}: {page}");
    }
    let output = scratch.perf("slower.csv --report out.md");
    let text = scratch.read("out.md");
    assert_eq!(output.code, 1, "{}", output.stderr);
    assert!(scratch.read("pids/summary.md").ends_with(&text), "one page, wherever it is written");
    // What is accepted is no alarm.
    let output = scratch.perf("slower.csv --update-baseline");
    assert_eq!((output.code, output.stdout.contains("::error")), (0, false), "{}", output.stdout);
}

#[test]
fn a_summary_that_cannot_be_written_changes_no_verdict() {
    for path in ["pids", "nowhere/summary.md"] {
        let scratch = on_github("github-unwritable").with("GITHUB_STEP_SUMMARY", path);
        scratch.write("slower.csv", &results("GET,/claims", 400));
        let output = scratch.perf("slower.csv");
        assert_eq!(
            (output.code, output.stdout.lines().last()),
            (1, Some("FAIL: p95 rose 33%, 300 → 400 ms (limit +20%)"))
        );
        let warning = format!("warning: cannot add to the job's summary {path}: ");
        assert!(output.stderr.starts_with(&warning), "{}", output.stderr);
    }
    // Elsewhere than under GitHub Actions the variable means nothing.
    let scratch = on_github("github-elsewhere").with("GITHUB_ACTIONS", "");
    scratch.write("slower.csv", &results("GET,/claims", 400));
    let output = scratch.perf("slower.csv");
    assert_eq!((output.code, output.stdout.contains("::error")), (1, false), "{}", output.stdout);
    assert_eq!(scratch.read("pids/summary.md"), "what was there");
}

#[test]
fn without_a_verdict_there_is_one_annotation_and_a_summary() {
    let scratch = on_github("github-not-judged");
    scratch.write("torn.csv", &results("GET,/claims", 300)[..90]);
    let output = scratch.refuses("torn.csv --report out.md", "torn.csv: ");
    assert_eq!(output.stdout.matches("::error title=NO VERDICT::torn.csv: ").count(), 1, "{}", output.stdout);
    assert_eq!(output.stdout.lines().count(), 1, "{}", output.stdout);
    let (summary, report) = (scratch.read("pids/summary.md"), scratch.read("out.md"));
    assert_eq!(summary, format!("what was there\n{report}"));
    assert!(report.starts_with("<!-- cargo xtask perf -->\n## ⛔ NO VERDICT\n\n"), "{report}");
    assert!(report.contains("torn.csv: line 2 has"), "{report}");

    // A gate whose baseline is never committed is not judged either.
    let scratch = scratch.with("CI", "true");
    scratch.write("same.csv", &results("GET,/claims", 300));
    scratch.sh("rm perf_baseline.json");
    let output = scratch.perf("same.csv --report out.md");
    assert_eq!(
        (output.code, output.stdout.matches("::error title=NO VERDICT::no baseline to compare against").count()),
        (2, 1)
    );
    assert!(scratch.read("out.md").contains("\n\nno baseline to compare against"), "{}", scratch.read("out.md"));
}

#[test]
fn an_unwritable_report_is_an_error_before_any_load() {
    let scratch = on_github("github-report-nowhere");
    scratch.refuses("--report nowhere/out.md", "cannot write nowhere/out.md");
    scratch.assert_not_started(&["locust", "service"]);
}

#[test]
fn locusts_log_is_folded_and_starts_no_command() {
    let scratch = on_github("github-log").with("FAKE_LOCUST", "says-commands");
    let output = scratch.perf("--max-runs 1");
    assert_eq!(output.code, 0, "{}", output.stderr);
    let (_, rest) = output.stderr.split_once("::group::Locust's log, run-1\n").expect(&output.stderr);
    let (log, after) = rest.split_once("\n::endgroup::\n").expect(&output.stderr);
    // Between these two lines the runner obeys no command.
    let (stop, log) = log.split_once('\n').expect(log);
    let word = stop.strip_prefix("::stop-commands::").expect(stop);
    let log = log.strip_suffix(&format!("\n::{word}::")).expect(log);
    assert!(log.contains("10 total users") && log.contains(": :error::owned"), "{log}");
    assert_no_command(log, "Locust's log");
    assert!(log.starts_with("... ") && log.lines().count() == 201, "the last 200 lines: {}", log.lines().count());
    assert!(!after.contains("::"), "{after}");
    scratch.assert_clean();
    // As the run that fails is the one whose log is wanted.
    let output = on_github("github-log-failed").with("FAKE_LOCUST", "exit1").perf("--verbose");
    assert_eq!(output.code, 2);
    let shown = output.stderr.matches("Traceback: the locustfile is broken").count();
    assert_eq!(shown, 3, "in the group, above the verdict and in it: {}", output.stderr);
}

#[test]
fn the_documented_workflow_finds_its_own_comment() {
    let page = std::fs::read_to_string(root().join("docs/ci.md")).unwrap();
    let block = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let steps = YamlLoader::load_from_str(block).unwrap().remove(0);
    let [measure, post] = [0, 1].map(|step| steps[step]["run"].as_str().unwrap());
    assert!(post.contains(&format!("startswith(\"{}\")", markdown::MARKER)), "{post}");
    let words = measure.strip_prefix("cargo xtask ").unwrap().split(' ').map(Into::into).collect();
    let Command::Perf(perf) = parse_flags(words).unwrap() else { panic!("{measure}") };
    let written = perf.files.reports[0].display().to_string();
    assert!(
        post.contains(&format!("body=@{written}")) && steps[1]["if"].as_str().unwrap().contains(&written),
        "{post}"
    );
}

#[test]
fn in_a_folder_of_the_repository_paths_start_at_its_root() {
    let scratch = on_github("github-folder");
    scratch.sh("mkdir services && git mv perf.toml perf_baseline.json locustfile.py services");
    scratch.write("services/slower.csv", &results("GET,/claims", 400));
    let slower = results("GET,/claims", 300).replacen("450,0", "450,40", 1);
    scratch.write("services/failing.csv", &slower.replace(",Aggregated,450,0", ",Aggregated,450,40"));
    scratch.write("services/locustfile.py", "\nclient.get('/claims')\n");
    scratch.sh("cd services && \"$0\" perf slower.csv --update-baseline > /dev/null 2>&1"
        .replace("$0", env!("CARGO_BIN_EXE_xtask"))
        .as_str());
    let output = scratch.script("cd services && \"$XTASK\" perf failing.csv");
    assert_eq!(output.code, 1, "{}", output.stderr);
    for place in [
        "file=services/perf_baseline.json,line=1,title=FAIL%3A error_rate rose 8.89 pp",
        "file=services/locustfile.py,line=2,title=WARN GET /claims error_rate:",
    ] {
        assert!(output.stdout.contains(place), "{place}: {}", output.stdout);
    }
}

#[test]
fn a_report_that_cannot_be_written_leaves_the_verdict() {
    let scratch = Scratch::new("report-gone").toml("[service]\n", "[service]\nbuild = \"rm -r gone\"\n");
    scratch.sh("mkdir gone");
    let output = scratch.perf("--report kept.json --report gone/b.json");
    assert_eq!(output.code, 2, "{}", output.stderr);
    assert!(
        output.stdout.ends_with("PASS: p95 +0.0% (limit +20%), all metrics within their limits\n"),
        "{}",
        output.stdout
    );
    assert!(output.last_line().contains("the verdict above stands, but a report of it is missing: cannot write gone"));
    assert!(scratch.read("kept.json").contains("\"verdict\": \"pass\""));
    scratch.assert_clean();
}
