//! `[drift]` and the age of a baseline: what creeps in over many accepted updates.

use judge::baseline::file::Baseline;

use crate::history::{accept, baseline, history, repository};
use crate::samples::VERSION_1_0;
use crate::support::{Output, Scratch};

/// Runs of about this p95, of all requests together and of `GET /claims`.
fn results(scratch: &Scratch, p95_ms: u32) {
    for run in 0..4 {
        let row = format!("450,0,{},15,100,{},5000", 100 + run, p95_ms + run);
        let text = format!(
            "Type,Name,Request Count,Failure Count,Average Response Time,Requests/s,50%,95%,99%\nGET,/claims,{row}\n,Aggregated,{row}\n"
        );
        scratch.write(&format!("results/run-{run}/perf_results_stats.csv"), &text);
    }
}

/// A repository whose baseline went from 1000 to 1200 ms in two steps, each by somebody and with a reason.
fn crept(name: &str, drift: &str) -> Scratch {
    let scratch = repository(&format!("drift-{name}"));
    scratch.write(".gitignore", "/results\n");
    scratch.write("perf.toml", drift);
    let known = |p95_ms: f64, note: &str| without_machine(&baseline(p95_ms, note, "A"));
    accept(&scratch, &known(1000.0, "the first"), "Ann", "2026-01-01", "1");
    scratch.sh("git tag v1.0");
    accept(&scratch, &known(1100.0, "a cache less"), "Ann", "2026-02-01", "2");
    accept(&scratch, &known(1200.0, "search"), "Bob", "2026-03-01", "3");
    scratch
}

/// Results of bare files say nothing of a machine.
fn without_machine(text: &str) -> String {
    let mut baseline = Baseline::parse(text).unwrap();
    baseline.provenance.machine = None;
    baseline.to_text()
}

/// Two tags of one second, and a git that prints lists in columns.
#[test]
fn newest_tag_is_found_however_git_is_configured() {
    let scratch = crept("tags", "[drift]\np95 = \"25%\"\nsince = \"v*\"\n");
    scratch.sh("git tag v1.9");
    let known = |p95_ms: f64| without_machine(&baseline(p95_ms, "more", "A"));
    accept(&scratch, &known(1250.0), "Bob", "2026-03-01", "4");
    scratch.sh("git tag v1.10 && git config column.ui always && git config color.ui always");
    accept(&scratch, &known(1280.0), "Bob", "2026-04-01", "5");
    let output = judge(&scratch, 1330, "");
    assert!(output.stdout.contains("; since v1.10 (2026-03-01) p95 +6"), "{}", output.stdout);
}

fn judge(scratch: &Scratch, p95_ms: u32, args: &str) -> Output {
    results(scratch, p95_ms);
    scratch.perf(&format!("results {args}"))
}

#[test]
fn a_candidate_is_judged_against_the_anchor_too() {
    let cases = [
        ("", 1290, 0, "PASS: p95 +7.6% (limit +20%), all metrics within their limits"),
        ("[drift]\np95 = \"25%\"\n", 1240, 0, "PASS: p95 +3.5% (limit +20%), all metrics within their limits"),
        (
            "[drift]\np95 = \"25%\"\n",
            1290,
            1,
            "FAIL: p95 +29% since 2026-01-01 (drift limit +25%): 2 accepted updates +20%, this change +7.6%",
        ),
        (
            "[drift]\np95 = \"25%\"\nsince = \"v*\"\n",
            1290,
            1,
            "FAIL: p95 +29% since v1.0 (drift limit +25%): 2 accepted updates +20%, this change +7.6%",
        ),
        ("[drift]\np95 = \"25%\"\nsince = \"2026-02-10\"\n", 1290, 0, "PASS: p95 +7.6%"),
        // The baseline itself is no anchor: the comparison with it says all.
        ("[drift]\np95 = \"5%\"\nsince = \"2026-03-10\"\n", 1290, 0, "PASS: p95 +7.6% (limit +20%), all metrics"),
        ("[drift]\np95 = \"warn 25%\"\n", 1290, 0, "; p95 +29% since 2026-01-01 (drift limit "),
        ("[drift]\nerror_rate = \"5pp\"\n", 1290, 0, "PASS: p95 +7.6% (limit +20%), all metrics within their limits"),
    ];
    for (number, (drift, p95_ms, code, last)) in cases.into_iter().enumerate() {
        let scratch = crept(&format!("anchor-{number}"), drift);
        let output = judge(&scratch, p95_ms, "");
        assert_eq!(output.code, code, "{drift}: {}{}", output.stdout, output.stderr);
        assert!(output.stdout.lines().last().unwrap().contains(last), "{drift}: {}", output.stdout);
    }
}

#[test]
fn the_finding_names_who_accepted_what_and_why_in_every_report() {
    let scratch = crept("named", "[drift]\np95 = \"25%\"\nsince = \"v*\"\n");
    let output = judge(&scratch, 1290, "--report r.html --report r.md --report r.json --report r.xml");
    assert_eq!(output.code, 1, "{}", output.stderr);
    let finding = "FAIL drift since v1.0 (2026-01-01): p95: ";
    assert!(output.stdout.contains(finding), "{}", output.stdout);
    let json: serde_json::Value = serde_json::from_str(&scratch.read("r.json")).unwrap();
    let newest = &json["drift"]["updates"][0];
    assert_eq!([&newest["step"], &newest["author"], &newest["note"]], ["+9.1%", "Bob", "search"]);
    let verbose = judge(&scratch, 1290, "--verbose").stdout;
    for report in ["r.html", "r.md", "r.xml"].map(|name| scratch.read(name)).iter().chain([&verbose]) {
        for part in ["+9.1% by Bob on 2026-03-01", "search", "+10.0% by Ann on 2026-02-01", "a cache less"] {
            assert!(report.contains(part), "{part}: {report}");
        }
        assert!(!report.contains("the first"), "the anchor itself brought nothing: {report}");
    }
    assert!(output.stdout.contains("next: see who accepted what, and why: cargo xtask history"), "{}", output.stdout);
}

#[test]
fn update_baseline_shows_the_drift_before_it_saves() {
    let scratch = crept("update", "[drift]\np95 = \"25%\"\nsince = \"v1.0\"\n");
    let output = judge(&scratch, 1290, "--update-baseline --note more");
    assert_eq!(output.code, 0, "{}", output.stderr);
    let (drift, saved) = (output.stdout.find("FAIL drift since v1.0"), output.stdout.find("BASELINE SAVED: "));
    assert!(drift.unwrap() < saved.unwrap(), "{}", output.stdout);
    // Who accepts +7.6% sees that it is more since then.
    accept(&scratch, &scratch.read("perf_baseline.json"), "Eve", "2026-04-01", "4");
    let output = judge(&scratch, 1295, "--verbose");
    let line = "FAIL: p95 +30% since v1.0 (drift limit +25%): 3 accepted updates +29%, this change +0.4%";
    assert!(output.stdout.contains(line), "{}", output.stdout);
    assert!(output.stdout.contains("by Eve on 2026-04-01, \"more\""), "{}", output.stdout);
}

/// Ten updates of 3% each: every one passes, and the limit of drift turns red at the one that exceeds it.
#[test]
fn ten_small_steps_pass_one_by_one_and_fail_together() {
    let scratch = repository("drift-ten");
    scratch.write(".gitignore", "/results\n");
    results(&scratch, 2000);
    assert_eq!(scratch.perf("results --update-baseline").code, 0);
    accept(&scratch, &scratch.read("perf_baseline.json"), "Ann", "2026-01-01", "release 0");
    let (mut p95_ms, mut codes, mut guarded) = (2000, Vec::new(), Vec::new());
    for release in 1..=10 {
        p95_ms = p95_ms * 103 / 100;
        codes.push(judge(&scratch, p95_ms, "").code);
        scratch.write("perf.toml", "[drift]\np95 = \"25%\"\n");
        let output = judge(&scratch, p95_ms, "");
        guarded.push(output.code);
        if release == 8 {
            let verbose = judge(&scratch, p95_ms, "--verbose").stdout;
            let named = (1..8).filter(|release| verbose.contains(&format!("\"release {release}\"")));
            assert_eq!(named.count(), 7, "{verbose}");
            let line = "(drift limit +25%): 7 accepted updates +23%, this change +3.0%";
            assert!(output.stdout.contains(line), "{}", output.stdout);
        }
        scratch.write("perf.toml", "");
        assert_eq!(
            scratch.script(&format!("\"$XTASK\" perf results --update-baseline --note 'release {release}'")).code,
            0
        );
        accept(
            &scratch,
            &scratch.read("perf_baseline.json"),
            "Ann",
            &format!("2026-01-{:02}", release + 1),
            &format!("release {release}"),
        );
    }
    assert_eq!(codes, [0; 10], "each step alone");
    assert_eq!(guarded, [0, 0, 0, 0, 0, 0, 0, 1, 1, 1], "all of them together");
    let rows = history(&scratch, "").stdout;
    assert!(rows.lines().nth(1).unwrap().contains("+34."), "{rows}");
}

#[test]
fn the_drift_is_judged_with_new_runs_too() {
    let scratch = Scratch::new("drift-loads").with("FAKE_P99_MS", "5000");
    scratch.write(".gitignore", "/target\n/pids\n/runs-made\n");
    let measure = |p95_ms: u32, args: &str| {
        scratch.write("pids/p95", &format!("{p95_ms}\n"));
        scratch.perf(args)
    };
    for (p95_ms, author) in [(1000, "Ann"), (1120, "Bob")] {
        let output = measure(p95_ms, "--update-baseline --max-runs 3 --note why");
        assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
        accept(&scratch, &scratch.read("perf_baseline.json"), author, "2026-01-01", "accepted");
        scratch.sh("git tag v1.0 2>/dev/null || true");
    }
    assert_eq!(measure(1270, "").code, 0, "13% more than the last");
    scratch.sh("printf '[drift]\\nsince = \"v*\"\\np95 = \"25%%\"\\n' >> perf.toml");
    let output = measure(1270, "");
    assert_eq!(output.code, 1, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("accepted update +12%, this change +13%"), "{}", output.stdout);
    assert!(
        output.stderr.contains(
            "run 1/8: the drift of p95 of all requests and the drift of p95 of GET /claims exceed their limits"
        ),
        "a FAIL by one run is confirmed: {}",
        output.stderr
    );
    scratch.assert_nothing_is_left();
}

#[test]
fn a_drift_that_cannot_be_judged_is_a_note() {
    let drift = "[drift]\np95 = \"25%\"\nsince = \"v1.0\"\n";
    let scratch = crept("untold", drift);
    // The last one was measured elsewhere.
    accept(&scratch, &baseline(1210.0, "elsewhere", "B"), "Bob", "2026-04-01", "4");
    accept(&scratch, &baseline(1210.0, "and again", "C"), "Bob", "2026-04-02", "5");
    let output = judge(&scratch, 1290, "");
    assert_eq!(output.code, 0, "{}", output.stdout);
    assert!(
        output.stdout.contains(
            "note: the drift is counted from 2026-04-02, because the chain of baselines is broken there (the machine)"
        ),
        "{}",
        output.stdout
    );
    let scratch = crept("no-tag", "[drift]\np95 = \"25%\"\nsince = \"w*\"\n");
    let output = judge(&scratch, 1290, "");
    assert!(output.stdout.contains("note: no tag matches [drift] `since`"), "{}", output.stdout);
    assert_eq!(output.code, 1, "since the oldest: {}", output.stdout);
    let scratch = crept("no-commit", "[drift]\np95 = \"25%\"\nsince = \"abc1234\"\n");
    let output = judge(&scratch, 1290, "");
    assert_eq!(output.code, 2);
    assert!(
        output.last_line().contains("[drift] in perf.toml: since abc1234: git knows no such commit here"),
        "{}",
        output.stderr
    );
    let scratch = repository("drift-new");
    scratch.write("perf.toml", drift);
    scratch.write("perf_baseline.json", VERSION_1_0);
    scratch.write("results.csv", crate::support::RESULTS);
    let output = scratch.perf("results.csv");
    assert!(
        output.stdout.contains("git has no version of perf_baseline.json yet, so there is no drift to judge"),
        "{}",
        output.stdout
    );
}

#[test]
fn a_shallow_clone_is_a_note_and_in_ci_no_verdict() {
    let scratch = crept("whole", "[drift]\np95 = \"25%\"\n");
    let shallow = Scratch::empty("drift-shallow");
    shallow.sh(&format!("git clone -q --depth 1 'file://{}' clone", scratch.folder.display()));
    results(&shallow, 1210);
    let perf = |ci: &str| shallow.script(&format!("cd clone && {ci} \"$XTASK\" perf ../results"));
    let output = perf("");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(
        output.stdout.contains("note: this clone is shallow, so the drift since an earlier baseline cannot be judged")
    );
    let output = perf("CI=true");
    assert_eq!(output.code, 2, "{}", output.stdout);
    assert!(
        output.last_line().contains("[drift] in perf.toml: this clone is shallow")
            && output.last_line().contains("fetch-depth: 0")
    );
    // Without a limit of drift nothing of the history is needed.
    shallow.write("clone/perf.toml", "");
    assert_eq!(perf("CI=true").code, 0);
}

#[test]
fn an_old_baseline_is_a_warning_if_code_has_changed_since() {
    let age = |name: &str, toml: &str, commits: u32, timestamp: &str| {
        let scratch = crept(name, toml);
        let head = scratch.sh("git rev-parse HEAD");
        let mut baseline = Baseline::parse(&scratch.read("perf_baseline.json")).unwrap();
        baseline.provenance.commit = head;
        baseline.provenance.timestamp = timestamp.to_owned();
        scratch.write("perf_baseline.json", &baseline.to_text());
        scratch.sh("git config user.name A && git config user.email a@example.org && git add -A");
        for commit in 0..commits {
            scratch.sh(&format!("git commit -q --allow-empty -m {commit}"));
        }
        let output = judge(&scratch, 1210, "");
        let note = output.stdout.lines().find(|line| line.contains("the baseline is old"));
        note.map(str::to_owned)
    };
    let told = age("old", "", 2, "2020-01-01T00:00:00Z").unwrap();
    assert!(
        told.starts_with("note: the baseline is old, ") && told.contains(" days and 2 commits: measure it again"),
        "{told}"
    );
    assert_eq!(age("unchanged", "", 0, "2020-01-01T00:00:00Z"), None, "no code has changed");
    assert_eq!(age("young", "", 2, "2999-01-01T00:00:00Z"), None);
    assert!(age("commits", "[baseline]\nold_after_commits = 1\n", 2, "2999-01-01T00:00:00Z").is_some());
    assert_eq!(age("patient", "[baseline]\nold_after = \"1000000d\"\n", 2, "2020-01-01T00:00:00Z"), None);
}

#[test]
fn an_update_within_noise_is_noted_and_can_be_skipped() {
    let scratch = crept("noise", "");
    let former = scratch.read("perf_baseline.json");
    results(&scratch, 1200);
    let output = scratch.perf("results --update-baseline --if-changed");
    assert_eq!((output.code, scratch.read("perf_baseline.json")), (0, former.clone()), "{}", output.stdout);
    assert_eq!(
        output.stdout.lines().last(),
        Some("BASELINE KEPT: no metric changed beyond noise since perf_baseline.json")
    );
    let output = scratch.perf("results --update-baseline");
    assert!(
        output.stdout.contains("note: no metric changed beyond noise; keep the old baseline?"),
        "{}",
        output.stdout
    );
    assert_ne!(scratch.read("perf_baseline.json"), former, "saved all the same");
    // A change is saved either way.
    let output = judge(&scratch, 1500, "--update-baseline --if-changed");
    assert!(output.stdout.lines().last().unwrap().starts_with("BASELINE SAVED: "), "{}", output.stdout);
    assert_eq!(scratch.perf("results --if-changed").code, 2, "--if-changed requires --update-baseline");
}

#[test]
fn a_wrong_table_is_one_line() {
    let scratch = crept("wrong", "");
    for (toml, reason) in [
        ("[drift]\n", "perf.toml:1: [drift] has no limit, so it checks nothing"),
        ("[drift]\nsince = \"v*\"\n", "perf.toml:1: [drift] has no limit"),
        ("[drift]\np95 = \"25\"\n", "perf.toml:2: [drift] `p95`: `25` does not end in `%`"),
        (
            "[drift]\np95 = \"max 500ms\"\n",
            "perf.toml:2: [drift] `p95`: a fixed bound (`max`) is not allowed in [drift]",
        ),
        ("[drift]\np94 = \"25%\"\n", "perf.toml:2: [drift] `p94` is not a metric: use p50, p95"),
        ("[drift]\np95 = \"25%\"\nsince = \"\"\n", "perf.toml:3: [drift] `since`: give a tag pattern"),
        (
            "[drift]\np95 = \"25%\"\nsince = \"9999-01-31\"\n",
            "perf.toml:3: [drift] `since`: 9999-01-31 is in the future: give a day that has passed",
        ),
        ("[baseline]\nold_after = \"soon\"\n", "`soon` is not an age of a day or more"),
        ("[baseline]\nold_after = \"5s\"\n", "`5s` is not an age of a day or more"),
    ] {
        scratch.write("perf.toml", toml);
        let output = judge(&scratch, 1210, "");
        assert_eq!(output.code, 2, "{toml}");
        assert!(output.last_line().contains(reason), "{toml}: {}", output.stderr);
    }
}
