//! The first baseline: what is saved, what is refused, and which commands follow.

use crate::support::Scratch;

/// A repository without a baseline.
fn bare(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    scratch.sh("git rm -q perf_baseline.json && git commit -q -m bare");
    scratch
}

#[test]
fn only_the_baseline_and_the_reports_never_make_a_tree_dirty() {
    let scratch = bare("clean");
    let saved = |file: &str, args: &str| {
        let output = scratch.perf(args);
        assert_eq!(output.code, 0, "{args}: {}", output.stderr);
        scratch.read(file).contains("\"dirty\": false")
    };
    assert!(saved("perf_baseline.json", "--report report.html --report out.json"));
    // Nothing is committed, and the next baseline is of the same commit.
    assert!(saved("perf_baseline.json", "--update-baseline --report report.html --report out.json"));
    scratch.sh("rm report.html out.json; mkdir perf; ln -s ../nightly.json perf/link.json");
    assert!(!saved("nightly.json", "--baseline nightly.json"), "a link of the user's is untracked");
    scratch.sh("rm perf/link.json; git add -A; git commit -qm more");
    scratch.replace("nightly.json", "\"notes\": \"\"", "\"notes\": \"edited\"");
    assert!(saved("nightly.json", "--baseline nightly.json --update-baseline"));
    scratch.sh("ln -s ../nightly.json perf/link.json; git add -A; git commit -qm link");
    scratch.replace("nightly.json", "\"notes\": \"edited\"", "\"notes\": \"again\"");
    assert!(saved("nightly.json", "--baseline perf/link.json --update-baseline"), "by another name");
    // As Magit does when it runs a hook.
    let scratch = scratch.with("GIT_LITERAL_PATHSPECS", "1");
    let saved = |args: &str| {
        assert_eq!(scratch.perf(args).code, 0, "{args}");
        scratch.read("perf_baseline.json").contains("\"dirty\": false")
    };
    scratch.sh("git add -A; git commit -qm more");
    assert!(saved("--update-baseline --report report.html") && saved("--update-baseline --report report.html"));
    // Git is told to hide new files, which are measured all the same.
    scratch.sh("git add -A; git commit -qm more; git config status.showUntrackedFiles no");
    scratch.write("new.py", "code");
    assert!(!saved("--update-baseline"));
}

#[test]
fn files_that_the_service_writes_while_it_is_measured_do_not_make_the_tree_dirty() {
    let scratch = bare("writes").toml("command = \"exec", "command = \"echo 1 >> requests.log; exec");
    scratch.sh("git commit -qam writes");
    assert_eq!(scratch.perf("").code, 0);
    assert!(scratch.path("requests.log").exists());
    assert!(scratch.read("perf_baseline.json").contains("\"dirty\": false"));
    assert!(scratch.perf("--update-baseline").stderr.contains("uncommitted changes (requests.log)"));
}

#[test]
fn a_dirty_baseline_names_the_files_and_the_commands_that_will_refuse_it() {
    let scratch = bare("dirty");
    scratch.sh(
        "mkdir src; echo 1 > src/a.py; echo 1 > 'b c.py'; git add -A; git commit -qm code; git mv src/a.py src/d.py",
    );
    scratch.write("b c.py", "2");
    scratch.write("new.py", "3");
    let output = scratch.perf("");
    assert_eq!(output.code, 0, "{}", output.stderr);
    let stderr = output.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    let warning = "warning: this baseline was measured with uncommitted changes (b c.py, src/d.py and new.py), so --confirm and \
                   --against baseline cannot check its commit out: commit them, then record it again with `cargo xtask perf \
                   --update-baseline`";
    assert!(stderr.contains(warning), "{stderr}");
    let other = scratch.perf("--baseline other.json --update-baseline --max-runs 1").stderr;
    assert!(other.contains("`cargo xtask perf --baseline other.json --update-baseline`"), "of that gate: {other}");
    let refused = scratch.perf("--against baseline");
    assert!(refused.last_line().contains("the baseline was measured with uncommitted changes"), "{}", refused.stderr);
    scratch.sh("git add -A; git commit -qm changes");
    let again = scratch.perf("target/perf/latest --update-baseline").stderr;
    assert!(
        again.contains("record it again with `cargo xtask perf --update-baseline`"),
        "not of the same runs: {again}"
    );
}

#[test]
fn a_bound_that_the_baseline_breaks_is_named_when_it_is_saved() {
    for (limit, warning) in [
        ("p95 = \"max 200 ms\"", Some("p95 of all requests is 300 ms, beyond the bound of 200 ms in [limits]")),
        ("p95 = \"max 300 ms\"", None),
        ("requests_per_sec = \"min 20/s\"", Some("beyond the bound of 20.0/s in [limits]")),
    ] {
        let output = bare("bound").toml("[service]", &format!("[limits]\n{limit}\n[service]")).perf("");
        assert_eq!(output.code, 0, "{}", output.stderr);
        let stderr = output.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(stderr.contains(" beyond the bound of "), warning.is_some(), "{stderr}");
        assert!(stderr.contains(warning.unwrap_or_default()), "{stderr}");
    }
}

#[test]
fn a_floor_that_allows_a_large_change_is_named_when_the_baseline_is_saved() {
    let warning = "s in [limits] lets it rise by ";
    let floor = |ms: u32| format!("[limits]\np50 = \"20% and {ms} ms\"\n[service]");
    let output = bare("wide-floor").toml("[service]", &floor(900)).perf("");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stderr.contains(warning) && output.stderr.contains("so the floor of 900 ms"), "{}", output.stderr);
    let output = bare("narrow-floor").toml("[service]", &floor(5)).perf("");
    assert!(output.code == 0 && !output.stderr.contains(warning), "{}", output.stderr);
}

#[test]
fn a_baseline_of_failed_requests_is_not_saved() {
    let failing = |name: &str, failures: &str| {
        let scratch = bare(name).with("FAKE_LOCUST", "fails-saying").with("FAKE_FAILURE", "404");
        scratch.with("FAKE_FAILURES", failures)
    };
    for (failures, args, code) in
        [("89", "", 0), ("90", "", 2), ("90", "--update-baseline", 2), ("90", "--allow-errors", 0)]
    {
        let scratch = failing(&format!("errors-{failures}{args}"), failures);
        let output = scratch.perf(args);
        assert_eq!(output.code, code, "{failures} {args}: {}{}", output.stdout, output.stderr);
        assert_eq!(scratch.path("perf_baseline.json").exists(), code == 0, "{failures} {args}");
        if code == 2 {
            let last = output.last_line();
            assert!(last.contains("not saved: 90 of 450 requests failed (20%): 7x GET /a: 404; "), "{last}");
            assert!(last.contains("--allow-errors"), "{last}");
            // The first run shows it.
            assert_eq!(scratch.read("runs-made").trim(), "1", "{args}");
        }
    }
    let bounded = failing("errors-bound", "27").toml("[locust]", "[limits]\nerror_rate = \"max 5%\"\n[locust]");
    let output = bounded.perf("");
    assert!(output.last_line().contains("the error rate is 6.00%, and [limits] allows max 5%"), "{}", output.stderr);
    assert_eq!((output.code, bounded.perf("--allow-errors").code), (2, 0));
}

#[test]
fn a_baseline_without_any_answer_of_an_endpoint_is_not_saved() {
    let scratch = bare("endpoint-fails");
    let csv = "Type,Name,Request Count,Failure Count,Average Response Time,Requests/s,50%,95%,99%\n\
               GET,/a,440,0,100,15,100,300,400\nPOST,/b,10,10,100,15,100,300,400\n,Aggregated,450,10,100,15,100,300,400\n";
    let run = |folder: &str| {
        scratch.write(&format!("{folder}/perf_results_stats.csv"), csv);
        let exact = r#"{"timestamp": "2026-11-23T12:00:00Z", "commit": "0123456789", "exact": true, "warnings": ["slow disk"]}"#;
        scratch.write(&format!("{folder}/run.json"), exact);
        scratch
            .write(&format!("{folder}/perf_results_failures.csv"), "Method,Name,Error,Occurrences\nPOST,/b,500,10\n");
    };
    run("runs/run-1");
    let output = scratch.perf("runs");
    assert_eq!(output.code, 2, "{}", output.stdout);
    assert!(output.last_line().contains("all 10 requests of POST /b failed: 10x POST /b: 500; "), "{}", output.stderr);
    // Warnings of the runs are printed when they become a baseline.
    let output = scratch.perf("runs --allow-errors");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stderr.contains("warning: slow disk"), "{}", output.stderr);
    // Results of others become a baseline all the same.
    scratch.sh("rm perf_baseline.json");
    scratch.write("bare.csv", csv);
    let output = scratch.perf("bare.csv");
    assert_eq!(output.code, 0, "{}", output.stderr);
    let headline = "from 1 run; all 10 requests of POST /b failed; commit perf_baseline.json";
    assert!(output.stdout.lines().last().unwrap().ends_with(headline), "{}", output.stdout);
}

#[test]
fn baseline_of_one_run_on_a_branch_has_its_next_steps() {
    let scratch = bare("branch");
    let next = |output: &crate::support::Output| {
        let text = output.stdout.replace(":\n  ", ": ");
        text.lines().filter_map(|line| line.strip_prefix("next: ").map(str::to_owned)).collect::<Vec<_>>()
    };
    let commit = "commit the baseline: git add perf_baseline.json && git commit -m \"Performance baseline\"";
    let more =
        "record more runs, since comparing single runs is wrong one time in ten: cargo xtask perf --update-baseline";
    let compare = "after your next change, compare against it: cargo xtask perf";
    assert_eq!(next(&scratch.perf("")), [commit, more, compare]);
    scratch.sh("rm perf_baseline.json; git remote add origin /nowhere; git update-ref refs/remotes/origin/main HEAD");
    scratch.sh("git checkout -qb mine; git commit -q --allow-empty -m mine");
    let against = "compare with the branch that yours is based on: cargo xtask perf --against origin/main";
    assert_eq!(next(&scratch.perf("")), [against, commit, more]);
    assert!(scratch.perf("--against origin/main --max-runs 2").code == 0);
    // CI checks out no branch.
    scratch.sh("rm perf_baseline.json; git checkout -q --detach");
    assert_eq!(next(&scratch.perf(""))[0], against);
    scratch.sh("rm perf_baseline.json; git checkout -q origin/main");
    assert_eq!(next(&scratch.perf(""))[0], commit);
    // Several runs need no more.
    scratch.sh("rm perf_baseline.json runs-made");
    assert_eq!(next(&scratch.perf("--min-runs 2")), [commit, compare]);
}

#[test]
fn baseline_that_git_ignores_is_committed_by_the_next_step() {
    let scratch = bare("ignored");
    scratch.write(".gitignore", "/target\n/pids\n/runs-made\n*.json\n");
    scratch.sh("git commit -qam ignored");
    let output = scratch.perf("");
    let flat = output.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("warning: git ignores perf_baseline.json (.gitignore:4:*.json)"), "{flat}");
    let next = "git add --force perf_baseline.json && git commit -m \"Performance baseline\"";
    assert!(output.stdout.contains(next), "{}", output.stdout);
    scratch.sh(next);
    assert!(!scratch.perf("--update-baseline").stderr.contains("git ignores"));
}

#[test]
fn file_whose_name_is_not_utf_8_hides_no_commit() {
    let scratch = bare("latin-1");
    scratch.sh("printf code > \"$(printf 'caf\\351.py')\"");
    let output = scratch.perf("");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stderr.contains("uncommitted changes (caf\u{fffd}.py)"), "{}", output.stderr);
    assert!(scratch.read("perf_baseline.json").contains(&scratch.sh("git rev-parse HEAD")));
}
