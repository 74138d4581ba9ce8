//! `cargo xtask perf RESULTS` for a team that runs Locust itself: files of any origin.

use std::fs;

use crate::support::{Output, Scratch};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/judge/tests/fixtures/locust-2.47.0");

/// A repository with the bare 1.0 baseline of the brief: p95 300 ms.
fn bare(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    scratch.write("perf.toml", "");
    scratch
}

/// A row of all requests together, with the columns that are judged.
fn csv(row: &str) -> String {
    format!("Type,Name,Request Count,Failure Count,Average Response Time,Requests/s,50%,95%,99%\n,Aggregated,{row}\n")
}

fn fixture(path: &str) -> String {
    fs::read_to_string(format!("{FIXTURES}/{path}")).unwrap()
}

#[track_caller]
fn assert_last(output: &Output, code: i32, part: &str) {
    let last = if code == 2 { output.last_line() } else { output.stdout.lines().last().unwrap_or_default() };
    assert!(output.code == code && last.contains(part), "exit {}: {}{}", output.code, output.stdout, output.stderr);
}

/// Who tries the gate edits one number of a real file.
#[test]
fn one_edited_number_gets_its_verdict_with_a_warning() {
    for (p95, code, word, strict) in
        [("350", 0, "PASS", 0), ("500", 1, "FAIL", 1), ("900", 1, "FAIL", 1), ("90", 0, "PASS", 0)]
    {
        let scratch = bare(&format!("edited-{p95}"));
        scratch.write("run_stats.csv", &csv(&format!("450,0,100,15,100,{p95},400")));
        let output = scratch.perf("run_stats.csv");
        assert_last(&output, code, word);
        assert_eq!(scratch.perf("run_stats.csv --strict").code, strict, "{p95}");
        let warning = "run_stats.csv: line 2: percentiles are not in order: was the file edited?";
        let flat = output.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(flat.contains(warning), p95 != "350", "{flat}");
        let last = output.stdout.lines().last().unwrap();
        assert_eq!(last.contains("run_stats.csv: line 2: percentiles"), p95 != "350", "in the headline too: {last}");
    }
}

#[test]
fn log_and_json_of_others_beside_a_result_are_not_ours() {
    let scratch = bare("others-files");
    scratch.write("a/run_stats.csv", &csv("450,0,100,15,100,300,400"));
    scratch.write("a/locust.log", "[2026] INFO/locust.main: Starting Locust 2.47.0\n");
    scratch.write("a/run.json", &fixture("ok/report.json"));
    assert_last(&scratch.perf("a/run_stats.csv"), 0, "PASS");
    scratch.write("perf_baseline.json.off", "");
    // Locust's own JSON is a result whatever its name.
    assert!(scratch.perf("a/run.json --verbose").stdout.contains("total_requests"));
    // A folder of ours without `run.json` is of a run that failed.
    scratch.write("a/perf_listener.py", "os.environ[\"PERF_FINAL_STATS_CSV\"]");
    fs::remove_file(scratch.path("a/run.json")).unwrap();
    assert_last(&scratch.perf("a/run_stats.csv"), 2, "this run failed or was interrupted");
}

#[test]
fn another_load_by_the_histories_is_refused() {
    let history = |users: u32, seconds: u32| {
        let row = |second| format!("{},{users},,Aggregated,15.0,0.0,100,300,400\n", 1_800_000_000 + second);
        let rows: String = (0..=seconds).map(row).collect();
        format!("Timestamp,User Count,Type,Name,Requests/s,Failures/s,50%,95%,99%\n{rows}")
    };
    let scratch = bare("another-load");
    scratch.sh("rm perf_baseline.json");
    let judge = |name: &str, requests: u32, history: Option<String>| {
        scratch.write(&format!("{name}_stats.csv"), &csv(&format!("{requests},0,100,15,100,300,400")));
        if let Some(history) = history {
            scratch.write(&format!("{name}_stats_history.csv"), &history);
        }
        scratch.perf(&format!("{name}_stats.csv"))
    };
    assert_eq!(judge("base", 18_000, Some(history(50, 60))).code, 0);
    assert!(scratch.read("perf_baseline.json").contains("\"observed_load\""));
    assert_last(
        &judge("small", 300, Some(history(10, 10))),
        2,
        "users: the baseline's history has up to 50, this one up to 10; length: the baseline's history covers 60 s, this one 10 s; measure with the baseline's load, or accept the new load with --update-baseline",
    );
    // Up to 5% of the users, and 5% or 2 s of the length.
    assert_last(&judge("near", 18_000, Some(history(52, 63))), 0, "PASS");
    assert_last(&judge("users", 18_000, Some(history(53, 60))), 2, "users: ");
    assert_last(&judge("longer", 18_000, Some(history(50, 64))), 2, "length: ");
    // Too short a history shows no load, and then the number of requests is a hint.
    let note = "8999 requests a run, and 18000 in the baseline: is it the same load?";
    for history in [None, Some(history(10, 2))] {
        let output = judge("unknown", 8999, history);
        assert_last(&output, 0, "PASS");
        assert!(output.stdout.contains(note), "{}", output.stdout);
        assert!(output.stdout.contains("users and length of the load are not compared"), "{}", output.stdout);
    }
    assert!(!judge("half", 9000, None).stdout.contains("is it the same load?"));
    assert_eq!(scratch.perf("base_stats.csv small_stats.csv").code, 2, "two loads are no runs of one");
}

#[test]
fn two_files_of_one_run_are_one_run() {
    let scratch = bare("one-run");
    let text = fixture("ok/perf_results_stats.csv");
    scratch.write("run_stats.csv", &text);
    scratch.write("run.json", &fixture("ok/report.json"));
    scratch.write("unix_stats.csv", &text.replace("\r\n", "\n"));
    scratch.write("more/run.json", &format!("\u{feff}{}", fixture("ok/report.json")));
    scratch.write("other.json", &fixture("some-failures/report.json"));
    for (files, code) in [
        ("run_stats.csv run.json", 2),
        ("run.json run_stats.csv", 2),
        ("run_stats.csv unix_stats.csv", 2),
        ("run.json more/run.json", 2),
    ] {
        assert_last(&scratch.perf(files), code, "pass each run once");
    }
    assert!(!scratch.perf("run.json other.json").stderr.contains("duplicates"));
    // Without the fastest and the slowest response, all numbers decide.
    scratch.write("a.csv", &csv("450,0,100,15,100,300,400"));
    scratch.write("b.csv", &csv("450,0,100,15,100,301,400"));
    assert_last(&scratch.perf("a.csv b.csv"), 0, "PASS");
}

#[test]
fn history_of_another_prefix_is_not_drawn() {
    let scratch = bare("another-prefix");
    scratch.write("a_stats.csv", &fixture("ok/perf_results_stats.csv"));
    scratch.write("locust_stats_history.csv", &fixture("ok/perf_results_stats_history.csv"));
    scratch.perf("a_stats.csv --report other.html");
    scratch.write("a_stats_history.csv", &fixture("ok/perf_results_stats_history.csv"));
    scratch.perf("a_stats.csv --report own.html");
    let charts = |name: &str| scratch.read(name).matches("<svg").count();
    assert!(charts("other.html") < charts("own.html"), "{} {}", charts("other.html"), charts("own.html"));
}

#[test]
fn result_in_a_folder_is_taken_whatever_its_prefix() {
    let scratch = bare("folder");
    scratch.write("results/run_stats.csv", &csv("450,0,100,15,100,300,400"));
    scratch.write("results/run_stats_history.csv", "Timestamp\n");
    assert_last(&scratch.perf("results/"), 0, "PASS");
    scratch.write("results/more_stats.csv", &csv("450,0,100,15,100,310,400"));
    assert_last(
        &scratch.perf("results"),
        2,
        "it holds 2 results, such as results/more_stats.csv and results/run_stats.csv: name the files to judge",
    );
}

#[test]
fn failures_beside_a_result_are_shown() {
    let scratch = bare("failures");
    scratch.write("run_stats.csv", &csv("450,90,100,15,100,300,400"));
    scratch.write("run_failures.csv", "Method,Name,Error,Occurrences\nGET,/a,404 Client Error,90\n");
    let output = scratch.perf("run_stats.csv --report report.html");
    assert_last(&output, 1, "FAIL: error_rate");
    assert!(output.stdout.contains("note: most frequent failure (90x): GET /a: 404 Client Error"), "{}", output.stdout);
    assert!(scratch.read("report.html").contains("<td>404 Client Error"), "the page has the table of failures");
}

/// Linux counts what a process and its children read.
#[cfg(target_os = "linux")]
#[test]
fn failures_of_a_fail_are_read_once() {
    let scratch = bare("failures-once");
    scratch.write("run_stats.csv", &csv("450,90,100,15,100,300,400"));
    let failures = format!("Method,Name,Error,Occurrences\n{}", "GET,/a,404 Client Error,1\n".repeat(200_000));
    scratch.write("run_failures.csv", &failures);
    let output = scratch.script("\"$XTASK\" perf run_stats.csv; grep rchar /proc/$$/io");
    assert!(output.stdout.contains("FAIL: error_rate"), "{}{}", output.stdout, output.stderr);
    let read: usize = output.stdout.split_whitespace().last().unwrap().parse().unwrap();
    let bytes = failures.len();
    assert!(read > bytes && read < 2 * bytes, "{read} bytes were read of a file of {bytes}");
}

#[test]
fn users_of_results_give_them_a_corrected_p95() {
    let scratch = bare("users-of-results");
    scratch.sh("rm perf_baseline.json");
    scratch.write("run.json", &fixture("ok/report.json"));
    assert_eq!(scratch.perf("run.json").code, 0);
    let note = "stalls of the service are not seen, because users wait during a stall: judge Locust's --json-file, and save its \
                baseline with --users N";
    let flat = |output: &Output| output.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat(&scratch.perf("run.json")).contains(note));
    assert_eq!(scratch.perf("run.json --users 10 --update-baseline").code, 0);
    let judged = flat(&scratch.perf("run.json --verbose"));
    assert!(judged.contains("p95_corrected") && !judged.contains("stalls of the service"), "{judged}");
    for users in [5, 50] {
        let reason = format!("users: the baseline has 10.0, these results {users}.0; measure with the baseline's load");
        assert_last(&scratch.perf(&format!("run.json --users {users}")), 2, &reason);
    }
    assert_last(&scratch.perf("run.json --users 10 --spawn-rate 2"), 2, "load flags have no effect");
}

/// The steps of a report, which work in the folder where it was printed.
fn steps(output: &Output) -> Vec<String> {
    let text = output.stdout.replace(":\n  ", ": ");
    text.lines().filter_map(|line| line.strip_prefix("next: ").map(str::to_owned)).collect()
}

#[test]
fn next_steps_of_results_work_when_they_are_copied() {
    let row = |name: &str, p95: u32| format!("GET,{name},450,0,100,15,100,{p95},400\n");
    let file = |rows: &str, requests: u32| {
        let header = "Type,Name,Request Count,Failure Count,Average Response Time,Requests/s,50%,95%,99%\n";
        format!("{header}{rows},Aggregated,{requests},0,100,15,100,300,400\n")
    };
    let scratch = bare("next-steps");
    let more =
        "pass two or more results of the same load, saved as the baseline too, since their spread shows the noise";
    // Slower: p95 is 300 ms in the baseline of the brief.
    scratch.write("slow run.csv", &csv("450,0,100,15,100,500,500"));
    let failed = scratch.script("\"$XTASK\" perf 'slow run.csv'");
    let accept = "accept it: cargo xtask perf 'slow run.csv' --update-baseline --note \"why it is slower\"";
    assert_eq!(steps(&failed), [more, accept]);
    // Errors: the list beside the file, if there is one.
    scratch.write("bad_stats.csv", &csv("450,90,100,15,100,300,400"));
    assert_eq!(steps(&scratch.perf("bad_stats.csv")), [more]);
    scratch.write("bad_failures.csv", "Method,Name,Error,Occurrences\nGET,/a,404,90\n");
    assert_eq!(steps(&scratch.perf("bad_stats.csv")), ["see the errors: head bad_failures.csv", more]);
    // A missing endpoint is no fault of the machine.
    scratch.sh("rm perf_baseline.json");
    scratch.write("two.csv", &file(&format!("{}{}", row("/a", 300), row("/b", 300)), 900));
    assert_eq!(
        steps(&scratch.perf("two.csv")),
        [
            "commit the baseline: git add perf_baseline.json && git commit -m \"Performance baseline\"",
            "pass more results of this load, since comparing single runs is wrong one time in ten",
            "after your next change, judge its results against it",
        ]
    );
    scratch.write("one.csv", &file(&row("/a", 301), 450));
    let missing = scratch.perf("one.csv --strict");
    let restore = "restore the task, or accept the new load: cargo xtask perf one.csv --update-baseline --note \"why the endpoint is gone\"";
    assert_eq!(steps(&missing), [more, restore], "{}", missing.stdout);
    let command = restore.split_once(": cargo xtask ").unwrap().1;
    assert_eq!(scratch.script(&format!("\"$XTASK\" {command}")).code, 0);
    // Nothing to do, of two equal runs.
    scratch.write("three.csv", &file(&row("/a", 302), 450));
    assert_eq!(scratch.perf("one.csv three.csv --update-baseline").code, 0);
    let shown = steps(&scratch.perf("one.csv three.csv"));
    assert_eq!(shown, ["nothing to do; see every endpoint: cargo xtask perf one.csv three.csv --verbose"]);
}

#[test]
fn next_steps_of_a_measurement_keep_its_host_and_its_load() {
    let scratch = Scratch::new("next-load").with("FAKE_P95_MS", "500");
    let output = scratch.perf("--max-runs 1 --users 5 --run-time 1s --processes 2 -- --tags 'a b'");
    let accept = "accept it: cargo xtask perf --users 5 --run-time 1s --processes 2 --update-baseline --note \"why it is slower\" -- --tags";
    assert!(steps(&output).iter().any(|step| step.starts_with(accept)), "{:?} {}", steps(&output), output.stderr);
}

/// An improvement that is no more than rounding is no gain.
#[test]
fn gain_within_rounding_is_not_praised() {
    let scratch = bare("gain");
    for (name, p95) in [("a", 400), ("b", 400), ("c", 391), ("d", 391), ("e", 300), ("f", 301)] {
        scratch.write(&format!("{name}.csv"), &csv(&format!("{},0,100,15,100,{p95},400", 450 + p95)));
    }
    assert_eq!(scratch.perf("a.csv b.csv --update-baseline").code, 2, "equal runs");
    scratch.write("b.csv", &csv("451,0,100,15,100,401,401"));
    assert_eq!(scratch.perf("a.csv b.csv --update-baseline").code, 0);
    scratch.write("d.csv", &csv("452,0,100,15,100,392,400"));
    let praises = |output: &Output| steps(output).iter().any(|step| step.starts_with("keep the gain"));
    assert!(!praises(&scratch.perf("c.csv d.csv")), "9 ms of 10 ms");
    assert!(praises(&scratch.perf("e.csv f.csv")));
}

/// A PASS names the endpoints that it could not judge.
#[test]
fn endpoints_over_their_limits_without_evidence_are_in_the_headline() {
    let scratch = bare("doubted");
    let file = |b: u32, c: u32| {
        format!(
            "Type,Name,Request Count,Failure Count,Average Response Time,Requests/s,50%,95%,99%\n\
             GET,/a,400,0,100,15,100,300,400\nGET,/b,30,0,100,15,100,{b},900\nGET,/c,20,0,100,15,100,{c},900\n\
             ,Aggregated,450,0,100,15,100,300,400\n"
        )
    };
    scratch.sh("rm perf_baseline.json");
    for (name, b, c) in [("before", 300, 300), ("one", 480, 301), ("two", 480, 420)] {
        scratch.write(&format!("{name}.csv"), &file(b, c));
    }
    assert_eq!(scratch.perf("before.csv").code, 0);
    let last = |name: &str| scratch.perf(name).stdout.lines().last().unwrap().to_owned();
    assert_eq!(
        last("before.csv"),
        "PASS for 1 of 3 endpoints: p95 +0.0% (limit +20%); GET /b and GET /c are not judged"
    );
    assert_eq!(
        last("one.csv"),
        "PASS for 1 of 3 endpoints: GET /b could not be judged: p95 +60% (limit +20%), 30 requests a run, 100 needed; p95 of all requests +0.0% (limit +20%)"
    );
    assert_eq!(
        last("two.csv"),
        "PASS for 1 of 3 endpoints: GET /b and 1 more could not be judged: p95 +60% (limit +20%), 30 requests a run, 100 needed; p95 of all requests +0.0% (limit +20%)"
    );
}

#[test]
fn error_page_with_status_200_is_a_warning_of_every_report() {
    let scratch = bare("error-page");
    scratch.sh("rm perf_baseline.json");
    let file = |p95: u32, bytes: u32| {
        format!(
            "Type,Name,Request Count,Failure Count,Average Response Time,Average Content Size,Requests/s,50%,95%,99%\n\
             GET,/list,450,0,100,{bytes},15,100,{p95},400\n,Aggregated,450,0,100,{bytes},15,100,{p95},400\n"
        )
    };
    let sizes = [("a", 300, 2000), ("b", 301, 2000), ("c", 302, 2001), ("now", 300, 30), ("quick", 200, 30)];
    for (name, p95, bytes) in sizes {
        scratch.write(&format!("{name}.csv"), &file(p95, bytes));
    }
    assert_eq!(scratch.perf("a.csv b.csv c.csv").code, 0);
    let output = scratch.perf("now.csv --report r.md --report r.html --report r.json --report r.xml");
    let text = "GET /list answers 30 bytes instead of 2,000, status 200: an error page?";
    let begins = "PASS: 1 warning: GET /list answers 30 bytes instead of 2,000 (an error page?); p95 ";
    assert_last(&output, 0, begins);
    assert!(output.stdout.contains(&format!("WARN {text}")), "{}", output.stdout);
    for report in ["r.html", "r.json", "r.xml"] {
        assert!(scratch.read(report).contains(text), "{report}");
    }
    assert!(scratch.read("r.md").contains("GET /list answers 30 bytes"), "{}", scratch.read("r.md"));
    assert_last(&scratch.perf("now.csv --strict"), 1, &format!("FAIL: {text}"));
    assert!(!scratch.perf("b.csv").stdout.contains("bytes"));
    // An error page is quick, which is no gain.
    let quick = scratch.perf("quick.csv");
    assert_last(&quick, 0, begins);
    assert_eq!(
        steps(&quick),
        [
            "look at the responses; if they are right, accept them: cargo xtask perf quick.csv --update-baseline --note \"why it changed\""
        ]
    );
}

#[test]
fn json_of_another_encoding_or_kind_is_named_with_its_remedy() {
    let scratch = bare("json-kinds");
    let utf_16: Vec<u8> = fixture("ok/report.json").encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, remedy) in [
        (utf_16, "run.json: it is UTF-16, or no text at all: save it as UTF-8"),
        (b"\x1f\x8b\x08".to_vec(), "run.json: it is compressed with gzip: unpack it first, with gunzip"),
        (b"<!DOCTYPE html>".to_vec(), "run.json: it is an HTML page: pass the `_stats.csv` of Locust's --csv"),
        (
            b"{\"a\": 1}".to_vec(),
            "run.json: this is not a JSON result of Locust's --json-file: invalid type: object, expected an array",
        ),
    ] {
        fs::write(scratch.path("run.json"), bytes).unwrap();
        assert_last(&scratch.perf("run.json"), 2, remedy);
    }
}

#[test]
fn names_with_ids_are_no_endpoints_that_could_not_be_judged() {
    let scratch = bare("names-with-ids");
    scratch.sh("rm perf_baseline.json");
    let file = |first: u32, p95: u32| {
        let row = |id| format!("GET,/item/{id},1,0,100,1,100,100,100\n");
        let items: String = (first..first + 40).map(row).collect();
        format!(
            "Type,Name,Request Count,Failure Count,Average Response Time,Requests/s,50%,95%,99%\n{items}\
             GET,/list,410,0,100,15,100,{p95},400\n,Aggregated,450,0,100,15,100,{p95},400\n"
        )
    };
    for (name, first, p95) in [("a", 0, 300), ("b", 100, 301), ("c", 200, 302)] {
        scratch.write(&format!("{name}.csv"), &file(first, p95));
    }
    assert_eq!(scratch.perf("a.csv b.csv").code, 0);
    let output = scratch.perf("c.csv --strict");
    assert_last(&output, 0, "PASS");
    assert!(!output.stdout.lines().last().unwrap().contains("could not be judged"), "{}", output.stdout);
    assert!(output.stdout.contains("note: 80 names appear in one run each"), "{}", output.stdout);
}

#[test]
fn an_update_that_accepts_other_answers_is_no_noise() {
    let scratch = bare("other-answers");
    scratch.sh("rm perf_baseline.json");
    let results = |side: &str, bytes: u32| {
        for run in 0..3 {
            let row = format!("450,0,{}.5,{bytes},15,100,300,400", 100 + run);
            let header = "Type,Name,Request Count,Failure Count,Average Response Time,Average Content Size,Requests/s,50%,95%,99%";
            scratch.write(
                &format!("{side}/run-{run}/perf_results_stats.csv"),
                &format!("{header}\nGET,/list,{row}\n,Aggregated,{row}\n"),
            );
        }
    };
    results("before", 2000);
    results("same", 2010);
    results("now", 30);
    assert_eq!(scratch.perf("before").code, 0);
    let output = scratch.perf("same --update-baseline --if-changed");
    assert_last(&output, 0, "BASELINE KEPT: no metric changed beyond noise");
    let output = scratch.perf("now --update-baseline --if-changed");
    assert_last(&output, 0, "BASELINE SAVED: ");
    assert!(output.stdout.contains("WARN GET /list answers 30 bytes instead of 2,000"), "{}", output.stdout);
    assert!(!scratch.perf("now").stdout.contains("WARN"));
}

#[test]
fn results_that_may_be_of_two_services_or_loads_are_told() {
    let scratch = bare("unlike");
    let of = |name: &str, endpoint: &str, requests: u32| {
        let row = format!("{requests},0,{requests}.5,15,100,300,400\n");
        let header = csv("").lines().next().unwrap().to_owned();
        scratch.write(name, &format!("{header}\nGET,{endpoint},{row},Aggregated,{row}"));
    };
    of("a.csv", "/a", 450);
    of("b.csv", "/b", 451);
    of("c.csv", "/a", 100);
    let flat = |args: &str| scratch.perf(args).stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    let [services, loads] = ["have no endpoint in common", "have from 100 to 450 requests each"];
    for (args, note) in [("a.csv b.csv", services), ("a.csv c.csv", loads)] {
        let output = flat(args);
        assert!(output.contains(note), "{args}: {output}");
    }
    assert!(!flat("a.csv").contains(services));
}

#[test]
fn failures_in_a_damaged_file_are_not_quoted() {
    let scratch = bare("damaged-failures");
    scratch.write("run_stats.csv", &csv("450,45,100,15,100,300,400"));
    let text = "Occurrences,Error,Name,Method\n45,HTTPError 500,/a,GET\n-3,x,/a,GET\n";
    let most_frequent = || {
        let output = scratch.perf("run_stats.csv");
        assert_last(&output, 1, "FAIL: error_rate");
        output.stdout.lines().find(|line| line.contains("most frequent")).map(str::to_owned)
    };
    scratch.write("run_failures.csv", text);
    assert_eq!(most_frequent().unwrap(), "note: most frequent failure (45x): GET /a: HTTPError 500");
    fs::write(scratch.path("run_failures.csv"), text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>())
        .unwrap();
    assert_eq!(most_frequent(), None);
}

#[test]
fn result_as_a_baseline_gets_its_own_remedy() {
    let scratch = bare("result-as-baseline");
    scratch.write("before.csv", &csv("450,0,100,15,100,300,400"));
    scratch.write("run.csv", &csv("450,0,101,15,100,300,400"));
    let output = scratch.perf("run.csv --baseline before.csv");
    assert_last(&output, 2, "before.csv: it is a CSV of Locust, not a baseline: pass it as RESULTS");
    assert!(!output.stderr.contains("delete"), "{}", output.stderr);
}
