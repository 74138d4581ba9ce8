//! `[[accepted]]`: what the command makes of exceptions.

use std::time::{Duration, SystemTime};

use crate::against::{repository, service};
use crate::support::{Output, Scratch};

const DAY: Duration = Duration::from_secs(86400);

/// A day from today on, or before.
fn day(from_today: i32) -> String {
    let distance = DAY * from_today.unsigned_abs();
    let now = SystemTime::now();
    let time = if from_today < 0 { now - distance } else { now + distance };
    humantime::format_rfc3339(time).to_string()[..10].to_owned()
}

fn table(endpoint: &str, metric: &str, up_to: &str, until: &str) -> String {
    format!(
        "[[accepted]]\nendpoint = \"{endpoint}\"\nmetric = \"{metric}\"\nup_to = \"{up_to}\"\nuntil = \"{until}\"\nreason = \"full-text search, issue 812\"\n"
    )
}

/// Runs of this p95, of all requests together and of `GET /claims`.
fn results(scratch: &Scratch, total_ms: u32, endpoint_ms: u32) {
    let _ = std::fs::remove_dir_all(scratch.path("results"));
    for run in 0..4 {
        let row = |p95_ms: u32| format!("450,0,{},15,100,{},5000", 100 + run, p95_ms + run);
        let text = format!(
            "Type,Name,Request Count,Failure Count,Average Response Time,Requests/s,50%,95%,99%\nGET,/claims,{}\n,Aggregated,{}\n",
            row(endpoint_ms),
            row(total_ms)
        );
        scratch.write(&format!("results/run-{run}/perf_results_stats.csv"), &text);
    }
}

/// A repository with a baseline of 1000 ms, where `GET /claims` takes 1400 now.
fn slower(name: &str, toml: &str) -> Scratch {
    let scratch = Scratch::empty(&format!("accepted-{name}"));
    scratch.write("perf.toml", "");
    results(&scratch, 1000, 1000);
    scratch.perf("results --update-baseline");
    scratch.write("perf.toml", toml);
    results(&scratch, 1000, 1400);
    scratch
}

fn judged(name: &str, toml: &str) -> Output {
    slower(name, toml).perf("results")
}

/// The states of an exception: the exit code, and what is said.
#[test]
fn every_state_has_its_exit_code_and_its_words() {
    let accepted = |up_to: &str, days: i32| table("GET /claims", "p95", up_to, &day(days));
    let cases = [
        ("none", String::new(), 1, "FAIL GET /claims p95: "),
        (
            "waived",
            accepted("45%", 60),
            0,
            "WAIVED GET /claims p95: 1001 → 1401 ms (+39.9%, limit +20%); accepted up to +45% until ",
        ),
        ("reason", accepted("45%", 60), 0, ": full-text search, issue 812"),
        ("today", accepted("45%", 1), 0, "WAIVED GET /claims p95"),
        ("soon", accepted("45%", 7), 0, "note: the exception for p95 of GET /claims ends in "),
        ("over", accepted("35%", 60), 1, "it was accepted up to +35% until "),
        ("expired", accepted("45%", -2), 1, "note: the exception for p95 of GET /claims ended on "),
        (
            "unused",
            table("GET /claims", "p50", "45%", &day(60)),
            1,
            "WARN the exception for p50 of GET /claims is not used",
        ),
        (
            "headline",
            accepted("45%", 60),
            0,
            "within limits except for accepted exceptions; GET /claims p95 +40% WAIVED until ",
        ),
    ];
    for (name, toml, code, words) in cases {
        let output = judged(name, &toml);
        assert_eq!(output.code, code, "{name}: {}{}", output.stdout, output.stderr);
        assert!(output.stdout.contains(words), "{name}: {}", output.stdout);
        assert_eq!(output.stdout.contains("PASS"), code == 0, "{name}");
    }
}

#[test]
fn nothing_turns_red_by_the_calendar_alone() {
    let scratch = slower("calendar", &table("GET /claims", "p95", "45%", &day(-30)));
    results(&scratch, 1000, 1010);
    let output = scratch.perf("results --strict");
    assert_eq!(output.code, 0, "{}", output.stdout);
    assert!(output.stdout.contains("ended on "), "{}", output.stdout);
    // Nor does an exception that is not used: exit code 1 means slower, and nothing else.
    scratch.write("perf.toml", &table("GET /claims", "p95", "45%", &day(60)));
    let output = scratch.perf("results --strict");
    assert_eq!(output.code, 0, "{}", output.stdout);
    assert!(output.stdout.contains("; 1 exception not used"), "{}", output.stdout);
}

#[test]
fn every_report_shows_it_and_none_as_ok() {
    let scratch = slower("reports", &table("GET /claims", "p95", "45%", "2999-12-31"));
    let output = scratch.perf("results --verbose --report r.html --report r.md --report r.json --report r.xml");
    assert_eq!(output.code, 0, "{}", output.stderr);
    let accepted = "accepted up to +45% until 2999-12-31: full-text search, issue 812";
    for report in ["r.html", "r.md", "r.json", "r.xml"].map(|name| scratch.read(name)).iter().chain([&output.stdout]) {
        assert!(report.contains("WAIVED") && report.contains("2999-12-31"), "{report}");
    }
    for report in ["r.html", "r.md", "r.xml"].map(|name| scratch.read(name)).iter().chain([&output.stdout]) {
        assert!(report.contains(accepted), "{report}");
    }
    assert!(
        scratch.read("r.xml").contains(&format!("<skipped message=\"WAIVED: {accepted}\">")),
        "{}",
        scratch.read("r.xml")
    );
    let json: serde_json::Value = serde_json::from_str(&scratch.read("r.json")).unwrap();
    assert_eq!(json["exceptions"][0]["state"], "waived");
    let rows = json["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["endpoint"] == "GET /claims" && row["metric"] == "p95").unwrap();
    assert_eq!((row["status"].as_str(), row["accepted"]["until"].as_str()), (Some("waived"), Some("2999-12-31")));
    // The row of the table says so too.
    let row = output.stdout.lines().find(|line| line.starts_with("GET /claims p95 ms")).unwrap();
    assert!(row.ends_with("WAIVED (until 2999-12-31)"), "{row}");
}

#[test]
fn github_gets_a_notice() {
    let scratch = slower("github", &table("GET /claims", "p95", "45%", "2999-12-31"));
    let output = scratch.script("GITHUB_ACTIONS=true \"$XTASK\" perf results");
    assert!(output.stdout.starts_with("::notice title=WAIVED::GET /claims p95"), "{}", output.stdout);
}

#[test]
fn a_new_baseline_takes_nothing_over_in_silence() {
    let scratch = slower("silence", &table("GET /claims", "p95", "45%", &day(60)));
    let output = scratch.perf("results --update-baseline");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(
        output.stdout.contains(
            "note: the new baseline absorbs temporary exceptions in perf.toml: p95 of GET /claims (+39.9%): remove them"
        ),
        "{}",
        output.stdout
    );
    // From here on the exception is not used, and says so.
    let output = scratch.perf("results");
    assert!(output.stdout.contains("WARN the exception for p95 of GET /claims is not used"), "{}", output.stdout);
}

#[test]
fn a_wrong_entry_is_one_line() {
    let scratch = slower("wrong", "");
    let good = table("GET /claims", "p95", "45%", "2999-12-31");
    for (from, to, reason) in [
        ("p95", "p94", "perf.toml:3: [[accepted]] `metric` is not a metric"),
        ("p95", "total_requests", "is shown but not judged"),
        ("p95", "p95_corrected", "p95_corrected is of all requests together"),
        ("45%", "45", "perf.toml:4: [[accepted]] `up_to`: `45` does not end in `%`"),
        ("45%", "fail 45%", "perf.toml:4: [[accepted]] `up_to`: write the limit alone"),
        ("2999-12-31", "2999-02-30", "perf.toml:5: [[accepted]] `until` is not a day such as \"2026-12-31\""),
        ("2999-12-31", "soon", "perf.toml:5: [[accepted]] `until` is not a day"),
        ("full-text search, issue 812", " ", "perf.toml:6: [[accepted]] `reason`: give the reason why it is accepted"),
        ("reason = ", "because = ", "unknown key `because`"),
        ("up_to = \"45%\"\n", "", "missing key `up_to`"),
    ] {
        scratch.write("perf.toml", &good.replacen(from, to, 1));
        let output = scratch.perf("results");
        assert_eq!(output.code, 2, "{to}: {}", output.stdout);
        assert!(output.last_line().contains(reason), "{to}: {}", output.stderr);
    }
    scratch.write("perf.toml", &format!("{good}{good}"));
    let output = scratch.perf("results");
    assert!(
        output.last_line().contains("perf.toml:8: [[accepted]] `p95` of \"GET /claims\" is accepted twice"),
        "{}",
        output.stderr
    );
}

/// The entries that a FAIL of rounds prints.
fn printed_entries(output: &Output) -> String {
    let (_, rest) =
        output.stdout.split_once("to accept it for a while, add this to perf.toml with a reason:\n").unwrap();
    let entries = rest.lines().map_while(|line| line.strip_prefix("  "));
    entries.fold(String::new(), |entries, line| format!("{entries}{line}\n"))
}

#[test]
fn a_pull_request_that_accepts_its_slowdown_is_green_until_it_is_slower_than_accepted() {
    let scratch = repository("accepted", 300, 420);
    let output = scratch.perf("--against first --report r.md --report r.html --report r.json");
    assert_eq!(output.code, 1, "{}{}", output.stdout, output.stderr);
    let entries = printed_entries(&output);
    let entry = |metric| {
        let until = day(30);
        format!(
            "[[accepted]]\nendpoint = \"\"\nmetric = \"{metric}\"\nup_to = \"40%\"\nuntil = \"{until}\"\nreason = \"\"  # to fill in\n"
        )
    };
    let expected = format!("{}{}", entry("p95"), entry("p95_corrected"));
    assert!(entries.starts_with(&expected), "{entries}{}", output.stdout);
    assert!(output.stdout.contains("next: accept it for a while: ${EDITOR:-vi} perf.toml\n"), "{}", output.stdout);
    assert!(!output.stdout.contains("--update-baseline"), "{}", output.stdout);
    assert!(scratch.read("r.md").contains(&format!("```toml\n{entries}```\n")), "{}", scratch.read("r.md"));
    assert!(scratch.read("r.html").contains("[[accepted]]"));
    let json: serde_json::Value = serde_json::from_str(&scratch.read("r.json")).unwrap();
    assert_eq!(json["acceptance"]["entries"], entries.as_str());
    scratch.sh("rm r.*");

    // Without a reason nothing is accepted.
    let perf_toml = scratch.read("perf.toml");
    scratch.write("perf.toml", &format!("{perf_toml}\n{entries}"));
    scratch.refuses("--against first", "[[accepted]] `reason`: give the reason why it is accepted");
    scratch
        .write("perf.toml", &format!("{perf_toml}\n{}", entries.replace("\"\"  # to fill in", "\"sorted results\"")));
    scratch.sh("git commit -q -a -m 'Sorted results'");
    let output = scratch.perf("--against first");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("WAIVED p95: "), "{}", output.stdout);
    assert!(output.stdout.lines().last().unwrap().starts_with("PASS: "), "{}", output.stdout);

    // A later commit of the pull request is slower than that.
    scratch.write("service.sh", &service(440));
    scratch.sh("git commit -q -a -m 'Slower still'");
    let output = scratch.perf("--against first");
    assert_eq!(output.code, 1, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("FAIL: p95 rose 47%, 300 → 440 ms"), "{}", output.stdout);
    let entries = printed_entries(&output);
    assert!(entries.contains("# This replaces the entry for the same series.\n[[accepted]]\n"), "{entries}");
    assert!(entries.contains("up_to = \"47%\""), "{entries}");
    scratch.assert_clean();
}
