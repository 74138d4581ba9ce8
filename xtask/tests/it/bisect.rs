//! `cargo xtask bisect` in scratch repositories, with the fakes for what can go wrong.

use std::process::Command;

use crate::against::{repository, service};
use crate::real::{demo, demo_locustfile, link_locust};
use crate::support::{Output, Scratch};

/// The p95 in ms of commits after the tag `first`, which has 300. 0 is a service that exits at once.
fn history(name: &str, p95_ms: &[u32]) -> Scratch {
    let scratch = repository(&format!("bisect-{name}"), 300, 300);
    for (number, p95_ms) in (1..).zip(p95_ms) {
        commit(&scratch, &number.to_string(), *p95_ms);
    }
    scratch
}

fn commit(scratch: &Scratch, name: &str, p95_ms: u32) {
    scratch.write("name", name);
    scratch.write("service.sh", &if p95_ms == 0 { "exit 1\n".to_owned() } else { service(p95_ms) });
    scratch.sh(&format!("git add . && git commit -q -m 'Commit {name}'"));
}

fn command(scratch: &Scratch, args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("bisect").args(args.split_whitespace());
    scratch.prepared(command)
}

fn bisect(scratch: &Scratch, args: &str) -> Output {
    scratch.finish(command(scratch, args).spawn().unwrap())
}

fn short(scratch: &Scratch, name: &str) -> String {
    scratch.sh(&format!("git log --all --format=%H --grep='^Commit {name}$'"))[..12].to_owned()
}

#[track_caller]
fn assert_found(scratch: &Scratch, output: &Output, name: &str) {
    let text = format!("{}{}", output.stdout, output.stderr);
    assert_eq!(output.code, 0, "{text}");
    let commit = short(scratch, name);
    assert!(output.stdout.starts_with(&format!("FOUND: commit {commit} changed ")), "{name}: {text}");
    assert!(output.stdout.contains(&format!("  subject  Commit {name}\n")), "{text}");
    assert!(output.stdout.ends_with(&format!("next: `git show {commit}`\n")), "{text}");
}

#[test]
fn the_slow_commit_is_found_and_the_users_checkout_is_not_touched() {
    let scratch = history("found", &[300, 300, 300, 0, 301, 450, 450, 450]);
    scratch.write("staged.txt", "staged");
    scratch.sh("git add staged.txt");
    let state = "git status --porcelain && git diff --cached && git symbolic-ref HEAD && git rev-parse HEAD";
    let before = scratch.sh(state);
    let output = bisect(&scratch, "first");
    assert_found(&scratch, &output, "6");
    assert!(output.stdout.contains(" changed p95 of all requests by +49.5%"), "{}", output.stdout);
    assert!(output.stdout.contains("  author   A <a@example.org>\n"), "{}", output.stdout);
    assert!(output.stdout.contains("  in all   +50.0% (+50.0% to +50.0%) from first to HEAD"), "{}", output.stdout);
    assert!(output.stderr.contains("searching 9 commits after first, up to HEAD\n"), "{}", output.stderr);
    assert!(output.stderr.contains("commits left, about "), "{}", output.stderr);
    assert_eq!(scratch.sh(state), before);
    assert!(!scratch.path("target/perf/bisect.json").exists());
    scratch.assert_clean();
}

#[test]
fn commits_beside_a_broken_one_remain() {
    let scratch = history("broken", &[300, 300, 0, 450]);
    let output = bisect(&scratch, "first HEAD --max-runs 3");
    assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
    let [broken, slow] = ["3", "4"].map(|name| short(&scratch, name));
    let start = "NOT FOUND: one of these 2 commits changed p95 of all requests, but ";
    assert!(output.stdout.starts_with(start), "{}", output.stdout);
    for line in [
        format!("\n  {broken} "),
        format!("\n  {slow} "),
        format!("\n  skipped  at {broken}: the service exited before it was ready: exit code 1"),
    ] {
        assert!(output.stdout.contains(&line), "{line} in {}", output.stdout);
    }
    assert!(output.stderr.contains(&format!("skipped: at {broken}: ")), "{}", output.stderr);
    scratch.assert_clean();
}

#[test]
fn a_run_that_fails_once_is_made_again() {
    let scratch = history("flaky", &[300, 450]);
    scratch.write("name", "flaky");
    let fails_once = "test -e \"$PIDS/flaky\" || { touch \"$PIDS/flaky\"; exit 1; }\n";
    scratch.write("service.sh", &format!("{fails_once}{}", service(450)));
    scratch.sh("git commit -q -a -m 'Commit flaky'");
    let output = bisect(&scratch, "first");
    assert_found(&scratch, &output, "2");
    let again = "measuring again, because at HEAD (";
    assert_eq!(output.stderr.matches(again).count(), 1, "{}", output.stderr);
    assert!(!output.stdout.contains("skipped"), "{}", output.stdout);
}

#[test]
fn the_rest_of_two_steps_has_its_commands() {
    let scratch = history("two-steps", &[390, 390, 450]);
    let output = bisect(&scratch, "first --users 5");
    assert_found(&scratch, &output, "1");
    let (commit, parent) = (short(&scratch, "1"), scratch.sh("git rev-parse HEAD~3")[..12].to_owned());
    let flags = "--users 5 --metric p95";
    let note = format!(
        "\nnote: other commits changed it too: `cargo xtask bisect {commit} HEAD {flags}`, or `cargo xtask bisect first {parent} {flags}`\n"
    );
    assert!(output.stdout.contains(&note), "{}", output.stdout);
}

#[test]
fn a_merged_branch_is_searched_with_all() {
    let scratch = history("merge", &[300]);
    scratch.sh("git checkout -q -b branch");
    commit(&scratch, "on-branch-1", 300);
    commit(&scratch, "on-branch-2", 450);
    scratch.sh("git checkout -q - && git merge -q --no-ff -m 'Commit merge' branch");
    commit(&scratch, "after", 450);
    assert_found(&scratch, &bisect(&scratch, "first"), "merge");
    assert_found(&scratch, &bisect(&scratch, "first --all"), "on-branch-2");
    scratch.assert_clean();
}

#[test]
fn an_interrupted_search_goes_on() {
    let scratch = history("interrupted", &[300, 300, 450, 450]);
    let child = command(&scratch, "first").spawn().unwrap();
    let state = || std::fs::read_to_string(scratch.path("target/perf/bisect.json")).unwrap_or_default();
    let rounds = |text: &str| text.matches("\"folder\"").count() / 2;
    scratch.wait_until("four rounds", || rounds(&state()) >= 4);
    scratch.sh(&format!("kill -INT {}", child.id()));
    let output = scratch.finish(child);
    assert_eq!((output.code, output.stdout.as_str()), (130, ""), "{}", output.stderr);
    scratch.assert_clean();
    let (kept, loads) =
        (rounds(&state()), |scratch: &Scratch| scratch.read("runs-made").trim().parse::<usize>().unwrap());
    let before = loads(&scratch);

    let output = bisect(&scratch, "first");
    assert_found(&scratch, &output, "3");
    let start = format!("searching 5 commits after first, up to HEAD, with {kept} rounds of an interrupted search\n");
    assert!(output.stderr.contains(&start), "{}", output.stderr);
    let measured = output.stdout.lines().find(|line| line.starts_with("  measured ")).unwrap();
    let all: usize = measured.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(loads(&scratch) - before, 2 * (all - kept), "{}", output.stdout);
    scratch.assert_clean();
}

#[test]
fn an_interrupted_search_with_another_load_starts_anew() {
    let scratch = history("other-load", &[450]);
    let child = command(&scratch, "first").spawn().unwrap();
    scratch.wait_for("target/perf/bisect.json");
    scratch.sh(&format!("kill -INT {}", child.id()));
    assert_eq!(scratch.finish(child).code, 130);
    let output = bisect(&scratch, "first --users 5");
    assert_found(&scratch, &output, "1");
    let said = "the interrupted search had another load (10 users, spawn rate 10/s, 1 s), so this one starts over\n";
    assert!(output.stderr.contains(said), "{}", output.stderr);
}

#[test]
fn equal_ends_are_no_verdict() {
    let scratch = history("equal", &[300]);
    let output = bisect(&scratch, "first");
    assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{}", output.stderr);
    let reason = "NO VERDICT: p95 of all requests from first to HEAD: +0.0% (+0.0% to +0.0%) after 3 rounds, too little to tell commits apart";
    assert!(output.last_line().starts_with(reason), "{}", output.stderr);
    scratch.assert_clean();
}

#[test]
fn the_metric_and_endpoint_of_the_flags_are_followed() {
    let scratch = history("endpoint", &[300, 450]);
    let output = bisect(&scratch, "first --endpoint /claim");
    assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
    let reason = "--endpoint /claim: no requests at first (did you mean \"GET /claims\"?)";
    assert!(output.last_line().contains(reason), "{}", output.stderr);
    let mut command = command(&scratch, "first --metric p95 --endpoint");
    command.arg("GET /claims");
    let output = scratch.finish(command.spawn().unwrap());
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains(" changed p95 of GET /claims by +50.0%"), "{}", output.stdout);
}

#[test]
fn ends_that_cannot_be_searched_are_errors() {
    let scratch = history("ends", &[300]);
    scratch.sh("git checkout -q -b side first && git commit -q --allow-empty -m side && git checkout -q -");
    let base = scratch.sh("git rev-parse first")[..12].to_owned();
    for (args, reason) in [
        ("nowhere", "nowhere: commit not found".to_owned()),
        ("HEAD HEAD~0", "HEAD and HEAD~0 are the same commit".to_owned()),
        ("side", format!("side is not an ancestor of HEAD: name the commit where both branched, {base}")),
        ("", "bisect takes a commit that was fast, and one that is slow: ".to_owned()),
        ("first HEAD HEAD", "bisect takes a commit that was fast, and one that is slow: ".to_owned()),
        ("first --max-runs 2", "bisect needs at least 3 rounds of GOOD and BAD".to_owned()),
        ("first --host http://127.0.0.1:1", "unknown flag `--host`".to_owned()),
    ] {
        let output = bisect(&scratch, args);
        assert_eq!(output.code, 2, "{args}: {}{}", output.stdout, output.stderr);
        assert!(output.last_line().contains(&reason), "{args}: {}", output.stderr);
    }
    scratch.assert_not_started(&["service", "locust"]);
}

/// A repository of the demo, whose first commit has the tag `fast`.
fn demo_history(name: &str) -> Scratch {
    let scratch = Scratch::new(&format!("bisect-demo-{name}"));
    scratch.write(
        "perf.toml",
        "[service]\nbuild = \"sh build.sh\"\ncommand = \"exec sh service.sh {port}\"\n\
         ready_url = \"http://127.0.0.1:{port}/health\"\n\
         [load]\nusers = 20\nspawn_rate = 20\nrun_time = \"5s\"\n",
    );
    scratch.write("locustfile.py", &demo_locustfile());
    commit_of_demo(&scratch, "first", 0);
    scratch.sh("git tag fast");
    link_locust(&scratch.path("target/perf"));
    scratch
}

fn commit_of_demo(scratch: &Scratch, name: &str, slowdown_pct: u32) {
    scratch.write("name", name);
    let build = if name.starts_with("broken") { "echo no compiler; exit 3\n" } else { "echo built\n" };
    scratch.write("build.sh", build);
    let start = format!("export DEMO_SLOWDOWN_PCT={slowdown_pct}\nexec '{}' --port \"$1\"\n", demo());
    scratch.write("service.sh", &start);
    scratch.sh(&format!("git add . && git commit -q -m 'Commit {name}'"));
}

/// Prints everything, and waits as long as it takes.
fn bisect_with_load(scratch: &Scratch) -> Output {
    let output = command(scratch, "fast").output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    println!("{stderr}\n{stdout}");
    Output { code: output.status.code().unwrap(), stdout, stderr }
}

/// Sixteen commits of the demo, with +25% from `slow` on.
#[track_caller]
fn check_demo(name: &str, slow: u32, broken: u32) {
    let scratch = demo_history(name);
    for number in 1..=16 {
        let prefix = if number == broken { "broken-" } else { "" };
        commit_of_demo(&scratch, &format!("{prefix}{number}"), if number < slow { 0 } else { 25 });
    }
    assert_found(&scratch, &bisect_with_load(&scratch), &slow.to_string());
}

#[test]
#[ignore = "loads the demo for about six minutes; run it by hand"]
fn slow_commit_of_the_demo_is_found_with_real_locust() {
    check_demo("late", 14, 0);
}

#[test]
#[ignore = "loads the demo for about six minutes; run it by hand"]
fn slow_commit_of_the_demo_is_found_beyond_one_that_does_not_build() {
    check_demo("broken", 5, 8);
}

#[test]
#[ignore = "loads the demo for about six minutes; run it by hand"]
fn slow_merge_of_the_demo_is_found() {
    let scratch = demo_history("merge");
    for number in 1..=8 {
        commit_of_demo(&scratch, &number.to_string(), 0);
    }
    scratch.sh("git checkout -q -b branch");
    commit_of_demo(&scratch, "on-branch-1", 0);
    commit_of_demo(&scratch, "on-branch-2", 25);
    scratch.sh("git checkout -q - && git merge -q --no-ff -m 'Commit merge' branch");
    for number in 10..=16 {
        commit_of_demo(&scratch, &number.to_string(), 25);
    }
    assert_found(&scratch, &bisect_with_load(&scratch), "merge");
}
