//! A verdict belongs to a command that reached it, and a lock to a command that holds it.

use std::fs::File;
use std::process::Child;

use crate::confirm::repository;
use crate::support::{BASELINE, Output, Scratch};

/// Judges the folder of the command before, and returns the last line of what it prints.
fn latest(scratch: &Scratch, args: &str) -> (i32, String) {
    let Output { code, stdout, stderr } = scratch.perf(&format!("target/perf/latest {args}"));
    let text = if code == 2 { &stderr } else { &stdout };
    (code, text.lines().last().unwrap_or_default().to_owned())
}

#[test]
fn confirmation_that_broke_off_stays_a_fail_that_is_not_confirmed() {
    // Three runs made the baseline and two the FAIL. The rounds are this, other, other, this.
    for dies_at in ["5", "6", "7", "8"] {
        let scratch = repository(&format!("dies-at-{dies_at}"), 420).with("FAKE_DIES_AT", dies_at);
        let output = scratch.perf("--confirm");
        assert_eq!(output.code, 1, "{}{}", output.stdout, output.stderr);
        let last = output.stdout.lines().last().unwrap().to_owned();
        assert!(last.starts_with("FAIL, not confirmed: "), "{last}");
        assert_eq!(latest(&scratch, ""), (1, last), "run {dies_at}");
    }
}

#[test]
fn folder_of_a_command_without_a_verdict_is_not_judged() {
    let scratch = Scratch::new("broke-off").toml("[load]\n", "[runs]\nmin = 3\n[load]\n").with("FAKE_DIES_AT", "1");
    let output = scratch.perf("--strict");
    assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
    for args in ["", "--update-baseline", "--baseline perf_baseline.json"] {
        let (code, line) = latest(&scratch, args);
        assert_eq!(code, 2, "{args}: {line}");
        assert!(line.contains("`cargo xtask perf --strict` ended without a verdict: run it again"), "{args}: {line}");
    }
    scratch.assert_clean();
    // A single run of it was asked for by its own name.
    assert_eq!(scratch.perf("target/perf/latest/run-1").code, 0);
    // So are rounds, also those that both sides have.
    let scratch = Scratch::new("broke-off-against").with("FAKE_DIES_AT", "5");
    assert_eq!(scratch.perf("--against HEAD --min-runs 3 --max-runs 3").code, 2);
    let (code, line) = latest(&scratch, "");
    assert!(code == 2 && line.contains("--against HEAD --min-runs 3 --max-runs 3` ended without"), "{line}");
    // And a command that goes on.
    let scratch = Scratch::new("goes-on").with("FAKE_LOCUST", "waits");
    let child = scratch.loading("");
    let (code, line) = latest(&scratch, "");
    assert!(code == 2 && line.contains("is still running: wait for its verdict"), "{line}");
    scratch.sh(&format!("kill -TERM {}", child.id()));
    assert_eq!(scratch.finish(child).code, 143);
}

/// An artifact has a folder in place of the link.
#[test]
fn folder_in_place_of_the_latest_link_is_kept_and_told() {
    let scratch = Scratch::new("latest-folder");
    assert_eq!(scratch.perf("").code, 0);
    scratch.sh("cp -rL target/perf/latest pids/copy && rm target/perf/latest && mv pids/copy target/perf/latest");
    scratch.refuses("", "target/perf/latest is a folder, perhaps of an artifact, and not our link: move it elsewhere");
    assert_eq!(scratch.perf("target/perf/latest").code, 0, "it can be judged");
}

#[test]
fn damaged_file_of_ours_is_told_in_the_words_of_json() {
    let scratch = Scratch::new("session-damaged");
    assert_eq!(scratch.perf("").code, 0);
    scratch.write("target/perf/latest/session.json", "{}");
    scratch.refuses("target/perf/latest", "session.json: missing key `command` at line 1 column 2");
    scratch.write("target/perf/latest/run-1/perf_listener.json", r#"{"ramp_up_left_out": 3}"#);
    let reason = "perf_listener.json: invalid type: integer `3`, expected a boolean at line 1 column 22";
    scratch.refuses("target/perf/latest/run-1", reason);
}

#[test]
fn run_folder_without_results_is_not_skipped() {
    let scratch = Scratch::new("lacks-results");
    assert_eq!(scratch.perf("--min-runs 3").code, 0);
    scratch.sh("cp -r target/perf/latest/ mine && rm -f mine/session.json");
    assert_eq!(scratch.perf("mine").code, 0);
    scratch.sh("rm mine/run-2/perf_results_stats.csv");
    scratch.refuses("mine", "mine/run-2 has no perf_results_stats.csv");
    scratch.sh("rm -r mine/run-2 && ln -s run-2 mine/run-2");
    scratch.refuses("mine", "cannot read mine/run-2");
}

#[test]
fn second_aggregated_row_is_refused() {
    let scratch = Scratch::new("two-totals");
    let row = |p95: u32| format!(",Aggregated,450,0,100,15,100,{p95},900\n");
    let header = crate::support::RESULTS.lines().next().unwrap();
    scratch.write("two.csv", &format!("{header}\n{}{}", row(900), row(180)));
    scratch.refuses("two.csv", "two.csv: `Aggregated` appears twice");
}

#[test]
fn baseline_that_another_command_saved_meanwhile_stays() {
    let scratch = Scratch::new("two-firsts").toml(
        "[service]",
        "[service]\nbuild = \"echo $$ > pids/build-child; while [ ! -f pids/go ]; do sleep 0.05; done\"",
    );
    scratch.sh("git rm -q perf_baseline.json && git commit -qm none");
    let first = scratch.command("").spawn().unwrap();
    scratch.wait_for("pids/build-child");
    let second = waiting(&scratch);
    scratch.write("pids/go", "go");
    assert_eq!(scratch.finish(first).code, 0);
    let saved = scratch.read("perf_baseline.json");
    assert_eq!(scratch.finish(second).code, 2);
    let said = scratch.read("pids/said");
    assert!(said.contains("perf_baseline.json was changed by another command"), "{said}");
    assert_eq!(scratch.read("perf_baseline.json"), saved);
}

/// Starts a second command, and returns it once it waits for the first.
fn waiting(scratch: &Scratch) -> Child {
    let said = scratch.path("pids/said");
    let child = scratch.command("").stderr(File::create(&said).unwrap()).spawn().unwrap();
    scratch.wait_until("the second command", || {
        std::fs::read_to_string(&said).unwrap().contains("waiting: another run is using this repository")
    });
    child
}

#[test]
fn turn_outlives_the_target_folder() {
    let scratch = Scratch::new("vanishes").toml(
        "[service]",
        "[service]\nprepare = \"echo $$ > pids/build-child; while [ ! -f pids/go ]; do sleep 0.05; done\"",
    );
    let first = scratch.command("").spawn().unwrap();
    scratch.wait_for("pids/build-child");
    scratch.sh("rm -rf target");
    let second = waiting(&scratch);
    scratch.write("pids/go", "go");
    assert_eq!(scratch.finish(first).code, 2);
    assert_eq!(scratch.finish(second).code, 0);
    scratch.assert_no_process_is_left();
}

#[test]
fn run_folder_that_vanishes_ends_the_run() {
    let scratch = Scratch::new("vanishes-later").with("FAKE_LOCUST", "waits");
    let child = scratch.loading("");
    scratch.sh("rm -rf target");
    assert_eq!(scratch.finish(child).code, 2);
    let said = scratch.read("pids/said");
    assert!(said.lines().last().unwrap().contains("/run-1 was removed during the load: run it again"), "{said}");
    scratch.assert_no_process_is_left();
}

#[test]
fn lock_that_cannot_be_taken_is_no_other_run() {
    let scratch = Scratch::new("no-lock");
    scratch.sh("mkdir .git/locust-gate.lock");
    let output = scratch.refuses("", "cannot write .git/locust-gate.lock: it is a folder");
    assert!(!output.stderr.contains("waiting"), "{}", output.stderr);
    scratch.assert_not_started(&["service", "locust"]);
}

#[test]
fn baseline_that_git_has_and_the_tree_lacks_is_named() {
    let scratch = Scratch::new("lacks-baseline");
    for remove in
        ["rm perf_baseline.json", "git update-index --skip-worktree perf_baseline.json; rm perf_baseline.json"]
    {
        scratch.sh(remove);
        let output = scratch.perf("");
        assert_eq!(output.code, 0, "{}", output.stderr);
        let both = format!("{}{}", output.stdout, output.stderr);
        assert!(both.contains("perf_baseline.json is in git but not in the working tree"), "{both}");
        let next = both.split('`').find(|part| part.starts_with("git restore ")).expect("the remedy").to_owned();
        scratch.sh(&format!("rm perf_baseline.json && {next}"));
        assert_eq!(scratch.read("perf_baseline.json"), BASELINE);
    }
    scratch.sh("git update-index --no-skip-worktree perf_baseline.json; rm perf_baseline.json");
    let scratch = scratch.with("CI", "true");
    let output = scratch.perf("");
    assert_eq!(output.code, 2, "{}", output.stderr);
    assert!(output.stderr.contains("git restore perf_baseline.json"), "{}", output.stderr);
}

#[test]
fn empty_argument_is_refused() {
    let scratch = Scratch::new("empty-argument");
    scratch.write("below/perf_results_stats.csv", crate::support::RESULTS);
    let output = scratch.script("\"$XTASK\" perf \"$UNSET\"");
    assert_eq!(output.code, 2, "{}", output.stdout);
    assert!(output.last_line().contains("an argument is empty"), "{}", output.stderr);
}
