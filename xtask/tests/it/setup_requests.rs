//! Requests of `on_start`: judged apart from the others, and among them against a baseline that mixed them.

use crate::against::repository;
use crate::support::{Output, Scratch};

/// A command whose six logins have so many failures and take so many ms.
fn with_logins(scratch: &Scratch, args: &str, failures: u32, ms: u32) -> Output {
    let mut command = scratch.command(args);
    scratch.finish(command.env("FAKE_SETUP", format!("{failures} {ms}")).spawn().unwrap())
}

/// A repository whose baseline has four runs with logins of 20 ms.
fn measured(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    let output = with_logins(&scratch, "--update-baseline --max-runs 4", 0, 20);
    assert_eq!(output.code, 0, "{}", output.stderr);
    scratch.sh("rm runs-made");
    scratch
}

#[test]
fn logins_that_all_fail_are_a_fail_and_no_part_of_all_requests() {
    let scratch = measured("logins-fail");
    assert!(scratch.read("perf_baseline.json").contains("\"on_start POST /login\""));
    let output = with_logins(&scratch, "--max-runs 3 --report r.md --report r.json --report r.html --verbose", 6, 20);
    assert_eq!(output.code, 1, "{}{}", output.stdout, output.stderr);
    let last = output.stdout.lines().last().unwrap();
    assert!(last.starts_with("FAIL: on_start POST /login error_rate rose 100.00 pp"), "{last}");
    assert!(output.stderr.contains("run 2/3"), "one run is no FAIL: {}", output.stderr);
    // All requests together have none of them.
    let row = |name: &str| output.stdout.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(row("total_requests").contains(" 450 ") && row("error_rate").contains("0.00"), "{}", output.stdout);
    let place = |name: &str| output.stdout.find(&format!("\n{name}")).unwrap();
    assert!(place("GET /claims") < place("on_start POST /login"), "{}", output.stdout);
    assert!(!output.stdout.contains("on_start POST /login requests_per_sec"));
    assert!(output.stdout.contains("/run-1/perf_setup_failures.csv"), "see the errors: {}", output.stdout);
    assert!(!output.stdout.contains("next: accept it"), "nobody wants errors");
    assert!(scratch.read("r.html").contains("<td>500"), "the failures of on_start are listed");
    for report in ["r.json", "r.html"] {
        assert!(scratch.read(report).contains("on_start POST /login"), "{report}");
    }
    assert!(scratch.read("r.md").contains("on\\_start POST /login"));
    // The same results again.
    assert_eq!(scratch.perf("target/perf/latest").code, 1);
    assert_eq!(with_logins(&scratch, "", 0, 20).code, 0, "unchanged");
    assert_eq!(
        with_logins(&scratch, "--max-runs 3", 2, 20).code,
        0,
        "two failures a run, but they have to be significant"
    );
}

#[test]
fn baseline_does_not_hide_that_logins_fail() {
    let scratch = Scratch::new("logins-fail-at-first");
    scratch.sh("rm perf_baseline.json");
    let output = with_logins(&scratch, "", 6, 20);
    assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
    assert!(output.last_line().contains(" requests of on_start POST /login failed"), "{}", output.last_line());
    assert!(!scratch.path("perf_baseline.json").exists());
    let output = with_logins(&scratch, "", 1, 20);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let warning = "warning: 1 of 6 requests of on_start POST /login failed, and the baseline accepts this error rate";
    assert!(output.stderr.contains(warning), "{}", output.stderr);
    let headline = output.stdout.lines().last().unwrap();
    assert!(headline.contains("; 1 of 6 requests of on_start POST /login failed, "), "in each format: {headline}");
}

#[test]
fn baseline_beyond_a_bound_of_logins_says_so() {
    let limits = "[limits.\"on_start POST /login\"]\np95 = \"max 10 ms\"\n";
    let scratch = Scratch::new("logins-bound").toml("[load]", &format!("{limits}[load]"));
    let output = with_logins(&scratch, "--update-baseline --max-runs 2", 0, 20);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let warning = "p95 of on_start POST /login is 20.0 ms, beyond the bound of 10 ms in [limits]";
    assert!(output.stderr.contains(warning), "{}", output.stderr);
}

#[test]
fn baseline_that_mixed_logins_is_compared_with_mixed_runs() {
    let scratch = Scratch::new("logins-mixed");
    assert_eq!(scratch.perf("--update-baseline --max-runs 4").code, 0);
    // As version 1.3 wrote it, with the logins of the window among the endpoints.
    let text = scratch.read("perf_baseline.json").replace("\"version\": \"1.4\"", "\"version\": \"1.3\"");
    let start = text.find("    \"GET /claims\": {").unwrap();
    let end = start + text[start..].find("\n    }").unwrap() + "\n    }".len();
    let login = text[start..end].replace("GET /claims", "POST /login");
    scratch.write("perf_baseline.json", &format!("{},\n{login}{}", &text[..end], &text[end..]));
    scratch.sh("rm runs-made");
    let output = with_logins(&scratch, "--max-runs 1 --verbose", 0, 20);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(!output.stdout.contains("MISSING") && !output.stdout.contains("on_start POST"), "{}", output.stdout);
    assert!(output.stdout.contains("POST /login p95"), "{}", output.stdout);
    let flat = output.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    let note = "note: the baseline counts requests of `on_start` among the others: record it again with --update-baseline, and \
                they are judged apart";
    assert!(flat.contains(note), "{}", output.stdout);
    // The next baseline has them apart, and the chain of baselines is broken there.
    scratch.sh("git add -A; git commit -qm old");
    assert_eq!(with_logins(&scratch, "--update-baseline --max-runs 4", 0, 20).code, 0);
    scratch.sh("git add -A; git commit -qm new");
    let mut history = std::process::Command::new(env!("CARGO_BIN_EXE_xtask"));
    history.arg("history");
    let output = scratch.finish(scratch.prepared(history).spawn().unwrap());
    let what = "the place of the requests of `on_start`";
    assert!(output.stdout.contains(what), "{}{}", output.stdout, output.stderr);
}

/// Results of Locust itself, which has the logins among the other requests.
fn results_of_others(scratch: &Scratch) {
    for run in 0..2 {
        let header = "Type,Name,Request Count,Failure Count,Average Response Time,Requests/s,50%,95%,99%";
        let login = "POST,/login,6,0,20,0.2,20,20,20";
        let rest = format!("0,115.{run},15,100,300,400");
        scratch.write(
            &format!("others/run-{run}/perf_results_stats.csv"),
            &format!("{header}\nGET,/claims,450,{rest}\n{login}\n,Aggregated,456,{rest}\n"),
        );
    }
}

#[test]
fn results_of_others_mix_logins_and_no_endpoint_is_missing() {
    let scratch = measured("logins-of-others");
    results_of_others(&scratch);
    let output = scratch.perf("others");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(!output.stdout.contains("MISSING") && output.stdout.contains("NEW POST /login"), "{}", output.stdout);
    let note = "note: these results count requests of `on_start` among the others";
    assert!(output.stdout.contains(note), "{}", output.stdout);
    // And the other way round.
    assert_eq!(scratch.perf("others --update-baseline").code, 0);
    let output = with_logins(&scratch, "--max-runs 3 --verbose", 0, 20);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(!output.stdout.contains("MISSING") && !output.stdout.contains("NEW"), "{}", output.stdout);
    assert!(output.stdout.contains("POST /login p95"), "{}", output.stdout);
}

#[test]
fn failures_of_both_sides_are_told() {
    let scratch = repository("logins", 300, 300);
    let output = with_logins(&scratch, "--against first --max-runs 2", 6, 20);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let note =
        "note: all requests of on_start POST /login failed on the other side, so their failures are no regression";
    assert!(output.stdout.contains(note), "{}", output.stdout);
    let output = with_logins(&scratch, "--against first --max-runs 2", 0, 20);
    assert!(!output.stdout.contains("failed on the other side"), "{}", output.stdout);
}

#[test]
fn bisect_and_history_know_requests_of_on_start() {
    let scratch = repository("logins-followed", 300, 300).with("FAKE_SETUP", "0 20");
    let output = scratch.script("\"$XTASK\" bisect first --endpoint 'on_start POST /login' --max-runs 3");
    assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
    let end = format!("{}{}", output.stdout, output.stderr);
    assert!(end.contains("p95 of on_start POST /login from first to HEAD: +0.0%"), "{end}");
    assert_eq!(scratch.perf("--update-baseline --max-runs 1").code, 0);
    scratch.sh("git add -A; git commit -qm baseline");
    let output = scratch.script("\"$XTASK\" history --endpoint 'on_start *'");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("on_start POST /login"), "{}", output.stdout);
}
