//! `cargo xtask history`: the accepted baselines of a scratch repository.

use std::fmt::Write as _;

use judge::baseline::file::Baseline;
use judge::model::run::{Machine, Provenance};
use serde_json::Value;

use crate::samples::{VERSION_1_0, provenance, runs_with};
use crate::support::{Output, Scratch};

/// A repository with nothing but baselines to come.
pub fn repository(name: &str) -> Scratch {
    let scratch = Scratch::empty(&format!("history-{name}"));
    scratch.write("perf.toml", "");
    scratch.sh("git init -q -b main . && git add . && git commit -q -m first");
    scratch
}

/// The text of a baseline with about this p95, of all requests together and of `GET /claims`.
pub fn baseline(p95_ms: f64, note: &str, cpu: &str) -> String {
    let spread = [0.996, 0.998, 1.0, 1.002, 1.004].map(|factor| p95_ms * factor);
    let mut runs = runs_with("GET /claims", &spread, 450, 0);
    for (run, p95_ms) in runs.iter_mut().zip(spread) {
        (run.total.p95_ms, run.total.p99_ms, run.endpoints[0].1.p99_ms) = (p95_ms, 5000.0, 5000.0);
    }
    let machine = Some(Machine { cpu: cpu.to_owned(), cores: 2, os: "linux x86_64".to_owned() });
    let provenance = Provenance { machine, ..provenance() };
    Baseline::new(&runs, provenance).unwrap().with_note(note).to_text()
}

/// Commits a baseline as somebody, on a day.
pub fn accept(scratch: &Scratch, text: &str, author: &str, date: &str, subject: &str) {
    scratch.write("perf_baseline.json", text);
    scratch.sh(&format!(
        "git add -A && GIT_COMMITTER_DATE='{date}T12:00:00Z' git -c user.name='{author}' commit -q --author='{author} <a@example.org>' --date='{date}T12:00:00Z' -m '{subject}'"
    ));
}

/// `xtask history`.
pub fn history(scratch: &Scratch, args: &str) -> Output {
    scratch.script(&format!("\"$XTASK\" history {args}"))
}

#[track_caller]
fn refuses(scratch: &Scratch, args: &str, reason: &str) {
    let output = history(scratch, args);
    assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{}", output.stderr);
    assert!(output.last_line().starts_with("NO VERDICT: ") && output.last_line().contains(reason), "{}", output.stderr);
}

/// Five versions: of 1.0, renamed, broken JSON, and two that are slower.
fn with_five(name: &str) -> Scratch {
    let scratch = repository(name);
    scratch.sh("mkdir perf && git config user.name A && git config user.email a@example.org");
    scratch.write("perf/base.json", VERSION_1_0);
    scratch.sh("git add . && GIT_COMMITTER_DATE=2026-01-02T00:00:00Z git commit -q -m 'The first baseline'");
    scratch.sh("git mv perf/base.json perf_baseline.json && git commit -q -m 'Another place'");
    accept(&scratch, &baseline(350.0, "ten runs", "A"), "Ann", "2026-02-03", "More runs");
    accept(&scratch, "{ \"version\": \"1.2\"", "Bob", "2026-02-20", "Half a file");
    accept(&scratch, &baseline(378.0, "search", "A"), "Bob", "2026-03-04", "Search");
    scratch.sh("git tag v1.0");
    accept(&scratch, &baseline(410.0, "a cache less", "A"), "Ann", "2026-04-05", "No cache");
    scratch
}

/// The lines of the table. A commit's hash may begin with "20" as well, so the dash of the date decides.
fn rows(output: &Output) -> impl Iterator<Item = &str> {
    output.stdout.lines().filter(|line| line.starts_with("20") && line.as_bytes().get(4) == Some(&b'-'))
}

fn first_words(output: &Output) -> Vec<String> {
    rows(output).map(|row| format!("{} {}", &row[..10], row.rsplit("  ").next().unwrap().trim())).collect()
}

#[test]
fn every_version_is_a_row_under_its_former_name_too() {
    let scratch = with_five("rows");
    let output = history(&scratch, "");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(
        first_words(&output),
        ["2026-04-05 a cache less", "2026-03-04 search", "2026-02-03 ten runs", "2026-01-02 ..."],
        "{}",
        output.stdout
    );
    // 350 to 378 and 410, each significant; since the file of version 1.0, whose one value tells no noise of its own.
    assert!(
        output.stdout.contains("+8.0% (+7.5..+8.5) *") && output.stdout.contains("+8.5% (+8.0..+9.0) *"),
        "{}",
        output.stdout
    );
    assert!(output.stdout.contains("is left out: this is not a JSON object"), "{}", output.stdout);
    scratch.assert_nothing_is_left();
}

#[test]
fn since_begins_at_the_version_that_was_in_force() {
    let scratch = with_five("since");
    for (since, rows) in [
        ("v1.0", 2),
        ("'v*'", 2),
        ("HEAD", 1),
        ("2026-03-04", 2),
        ("2026-03-03", 3),
        ("2020-01-01", 4),
        ("1d", 1),
        ("30000d", 4),
    ] {
        let output = history(&scratch, &format!("--since {since}"));
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert_eq!(first_words(&output).len(), rows, "{since}: {}", output.stdout);
        assert!(output.stdout.contains(" anchor "), "{since}: {}", output.stdout);
    }
    refuses(&scratch, "--since v9", "since v9: git knows no such commit here");
    refuses(&scratch, "--since 'w*'", "--since w*: no tag of this branch matches");
}

#[test]
fn endpoints_metrics_and_reports_are_chosen() {
    let scratch = with_five("chosen");
    let output = history(&scratch, "--endpoint 'GET /c*' --metric p99 --report h.html --report h.json");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stdout.starts_with("GET /claims\n") && output.stdout.contains("p99 step"), "{}", output.stdout);
    let page = scratch.read("h.html");
    assert!(page.contains("<svg ") && page.contains("a cache less"), "{page}");
    let value: Value = serde_json::from_str(&scratch.read("h.json")).unwrap();
    assert_eq!((value["metric"].as_str(), value["series"][0]["endpoint"].as_str()), (Some("p99"), Some("GET /claims")));
    assert_eq!(value["series"][0]["versions"].as_array().unwrap().len(), 4);
    for (args, reason) in [
        (
            "--endpoint 'GET /clams'",
            "--endpoint GET /clams: no baseline has such an endpoint (did you mean \"GET /claims\"?)",
        ),
        ("--metric p94", "`--metric p94`: expected one of p50, p95"),
        ("--report h.xml", "`--report h.xml`: a history is written as .html or .json"),
        ("--report h.md", "`--report h.md`: a history is written as .html or .json"),
        (
            "--report perf_baseline.json",
            "--report perf_baseline.json would replace perf_baseline.json, which this command reads",
        ),
        ("--baseline other.json", "git has no version of other.json on this branch: commit the baseline first"),
        ("--endpont x", "unknown flag `--endpont`; did you mean `--endpoint`?"),
        ("results.csv", "history takes no arguments: remove `results.csv`"),
        ("--endpoint x --metric p95_corrected", "p95_corrected is of all requests together"),
    ] {
        refuses(&scratch, args, reason);
    }
}

#[test]
fn another_machine_breaks_the_chain() {
    let scratch = repository("broken");
    accept(&scratch, &baseline(350.0, "one", "A"), "Ann", "2026-01-01", "1");
    accept(&scratch, &baseline(360.0, "two", "A"), "Ann", "2026-01-02", "2");
    scratch.sh("git tag v1.0");
    accept(&scratch, &baseline(300.0, "three", "B"), "Ann", "2026-01-03", "3");
    accept(&scratch, &baseline(306.0, "four", "B"), "Ann", "2026-01-04", "4");
    let output = history(&scratch, "");
    assert!(
        output.stdout.contains("-- the chain is broken here: the machine: A, 2 cores, linux x86_64, then B, 2 cores"),
        "{}",
        output.stdout
    );
    let rows: Vec<&str> = rows(&output).collect();
    assert!(rows[0].contains("+2.0% (+1.5..+2.5)") && rows[2].contains("+2.9% (+2.4..+3.3)"), "{}", output.stdout);
    assert!(!output.stdout.contains("-1"), "no number is compared across the break: {}", output.stdout);
    let since = history(&scratch, "--since v1.0");
    assert!(
        since
            .stdout
            .contains("the chain is broken since then, so changes are counted from 2026-01-03 on (the machine)")
    );
}

#[test]
fn a_merge_is_the_update_of_this_branch_and_two_that_both_update_do_not_mix() {
    let scratch = repository("merge");
    scratch.write(
        ".gitattributes",
        &std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../.gitattributes")).unwrap(),
    );
    accept(&scratch, &baseline(300.0, "base", "A"), "Ann", "2026-01-01", "1");
    scratch.sh("git checkout -q -b side");
    accept(&scratch, &baseline(330.0, "side", "A"), "Bob", "2026-01-02", "2");
    scratch.sh("git checkout -q main");
    scratch.sh(
        "git config user.name A && git config user.email a@example.org && git merge -q --no-ff side -m 'Merge side'",
    );
    // Whatever the user's own configuration of git.
    scratch.sh("git config log.diffMerges off && git config log.showRoot false && git config diff.renames false");
    let output = history(&scratch, "");
    assert_eq!(first_words(&output).len(), 2, "{}", output.stdout);
    // Both sides update it now.
    scratch.sh("git checkout -q -b other HEAD~1");
    accept(&scratch, &baseline(345.0, "other", "A"), "Bob", "2026-01-03", "3");
    scratch.sh("git checkout -q main");
    accept(&scratch, &baseline(350.0, "ours", "A"), "Ann", "2026-01-03", "4");
    scratch.sh("! git merge -q other -m 'Merge other'");
    assert_eq!(scratch.read("perf_baseline.json"), baseline(350.0, "ours", "A"), "whole, and of one side");
    scratch.write("results.csv", crate::support::RESULTS);
    let output = scratch.perf("results.csv");
    assert_eq!(output.code, 2, "{}", output.stdout);
    let reason = "perf_baseline.json: merge conflict: neither side's baseline applies to the merged code: take one";
    assert!(output.last_line().contains(reason), "{}", output.stderr);
    // As it says.
    scratch.sh("git checkout --ours perf_baseline.json && git add perf_baseline.json && git commit -q -m merged");
    assert_ne!(scratch.perf("results.csv").code, 2);
}

#[test]
fn a_shallow_clone_is_an_error() {
    let scratch = with_five("whole");
    let shallow = Scratch::empty("history-shallow");
    shallow.sh(&format!("git clone -q --depth 1 'file://{}' clone", scratch.folder.display()));
    let output = shallow.script("cd clone && \"$XTASK\" history");
    assert_eq!(output.code, 2, "{}", output.stdout);
    assert!(
        output
            .last_line()
            .contains("fetch the rest with `git fetch --unshallow origin`, or check out with `fetch-depth: 0`")
    );
    // Its remedy.
    let output = shallow.script("cd clone && git fetch -q --unshallow origin && \"$XTASK\" history");
    assert_eq!(first_words(&output).len(), 4, "{}{}", output.stdout, output.stderr);
}

#[test]
fn without_git_or_a_committed_baseline_there_is_no_history() {
    let scratch = Scratch::empty("history-none");
    scratch.write("perf.toml", "");
    refuses(&scratch, "--baseline /nowhere/b.json", "git has no version of");
    let scratch = repository("uncommitted");
    scratch.write("perf_baseline.json", VERSION_1_0);
    refuses(&scratch, "", "git has no version of perf_baseline.json on this branch: commit the baseline first");
    accept(&scratch, "no JSON", "Ann", "2026-01-01", "1");
    refuses(&scratch, "", "is left out: this is not a JSON object");
}

/// Commits baselines of these notes, one after the other, without a process for each.
fn import(scratch: &Scratch, notes: impl Iterator<Item = String>) {
    let mut stream = String::from("reset refs/heads/main\nfrom refs/heads/main^0\n");
    for (number, note) in notes.enumerate() {
        let text = VERSION_1_0.replace("\"notes\"", "\"was\"").replacen('{', &format!("{{\"notes\":\"{note}\","), 1);
        let time = 1_700_000_000 + 86_400 * number;
        let _ = write!(
            stream,
            "commit refs/heads/main\ncommitter A <a@example.org> {time} +0000\ndata 1\nx\nM 100644 inline perf_baseline.json\ndata {}\n{text}\n",
            text.len()
        );
    }
    scratch.write("stream", &stream);
    scratch.sh("git fast-import --quiet --force < stream && rm stream && git reset -q --hard");
}

#[test]
fn history_of_many_megabytes_is_read() {
    let scratch = repository("megabytes");
    import(&scratch, (0..70).map(|number| format!("{number} {}", "x".repeat(960_000))));
    let output = history(&scratch, "--report history.json");
    assert_eq!(output.code, 0, "{}", output.stderr);
    let json: Value = serde_json::from_str(&scratch.read("history.json")).unwrap();
    assert_eq!(json["series"][0]["versions"].as_array().unwrap().len(), 70);
    scratch.write("perf.toml", "[drift]\np95 = \"25%\"\n");
    scratch.write("ok.csv", crate::support::RESULTS);
    let output = scratch.perf("ok.csv");
    assert!(output.code != 2, "{}", output.stderr);
}

#[test]
fn history_of_thousands_of_baselines_is_read() {
    let scratch = repository("thousands");
    import(&scratch, (0..3300).map(|number| number.to_string()));
    let output = history(&scratch, "--report history.json");
    assert_eq!(output.code, 0, "{}", output.stderr);
    let json: Value = serde_json::from_str(&scratch.read("history.json")).unwrap();
    assert_eq!(json["series"][0]["versions"].as_array().unwrap().len(), 3300);
    // Only what was accepted since then is read.
    scratch.sh("git tag recent HEAD~3");
    let output = history(&scratch, "--since recent --report history.json");
    assert_eq!(output.code, 0, "{}", output.stderr);
}

#[test]
fn commit_whose_name_looks_like_an_age_wins_and_an_age_is_bounded() {
    let scratch = with_five("age-or-commit");
    scratch.sh("git tag 1234567d HEAD~1 && git tag 90d HEAD~1");
    for name in ["1234567d", "90d"] {
        let output = history(&scratch, &format!("--since {name}"));
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert!(output.stdout.contains(name), "{name}: {}", output.stdout);
    }
    refuses(&scratch, "--since 7654321d", "since 7654321d: git knows no such commit here");
    assert_eq!(history(&scratch, "--since 36500d").code, 0);
}
