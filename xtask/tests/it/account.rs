//! Every request and every user is accounted for: what a run must have to be judged, played by fakes and by files. What
//! real Locust does is in `closed_loop`.

use crate::support::{Output, Scratch};

/// A repository whose baseline has five runs of the fake Locust, with ten users.
fn measured(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    let output = scratch.perf("--update-baseline");
    assert_eq!(output.code, 0, "{}", output.stderr);
    scratch.sh("rm runs-made");
    scratch
}

#[track_caller]
fn assert_refused(output: &Output, reason: &str) {
    assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
    assert!(output.last_line().starts_with("NO VERDICT: ") && output.last_line().contains(reason), "{}", output.stderr);
}

#[test]
fn missing_users_are_another_load() {
    let scratch = measured("users");
    assert!(scratch.read("perf_baseline.json").contains("\"mean_users\": 10.0"));
    let left = r#"[{"user": "ClaimsUser", "reason": "StopUser", "times": 5}]"#;
    let at = |users: &str, left: &str| {
        let mut command = scratch.command("--max-runs 1");
        scratch.finish(command.env("FAKE_USERS", users).env("FAKE_LEFT", left).spawn().unwrap())
    };
    // Up to 5% may be missing.
    assert_eq!(at("9.5", "[]").code, 0);
    let output = at("9.4", left);
    assert_refused(
        &output,
        "NO VERDICT: users left before the end: 5 x ClaimsUser (StopUser); only 9.4 users were active on average (10.0 in the baseline)",
    );
    // Also when it is judged again, and more users than before are no fault.
    assert_refused(&scratch.perf("target/perf/latest/run-1"), "9.4 users were active on average");
    assert_eq!(at("12.0", "[]").code, 0);
    scratch.assert_nothing_is_left();
}

#[test]
fn a_baseline_without_user_counts_is_compared_by_the_users_asked_for() {
    let scratch = Scratch::new("users-asked").with("FAKE_USERS", "5.0");
    assert_refused(&scratch.perf(""), "only 5.0 users were active on average (10.0 in its settings)");
    // A load shape decides on its users by itself.
    assert_eq!(scratch.perf("--update-baseline").code, 0);
    let shape = Scratch::new("users-shape").with("FAKE_USERS", "5.0").with("FAKE_LOCUST", "shape");
    assert_eq!(shape.perf("").code, 0);
    assert_eq!(shape.perf("--update-baseline").code, 0);
    let shape = shape.with("FAKE_USERS", "10.0");
    assert_refused(&shape.perf(""), "10.0 users were active on average (5.0 in the baseline): restore the load shape");
    // It can become the baseline, with a warning.
    let scratch = scratch.with("FAKE_LEFT", r#"[{"user": "U", "reason": "ValueError: boom", "times": 1}]"#);
    let output = scratch.perf("--update-baseline");
    assert_eq!(output.code, 0, "{}", output.stderr);
    let warning = "warning: only 5.0 users were active on average (10.0 in its settings)";
    assert!(output.stderr.contains(warning) && output.stderr.contains("1 x U (ValueError: boom)"), "{}", output.stderr);
    assert_eq!(scratch.perf("").code, 0, "the baseline had so few too");
}

#[test]
fn requests_that_never_ended_are_named() {
    let scratch = measured("unfinished")
        .with("FAKE_UNFINISHED", r#"[{"method": "GET", "name": "/claims", "times": 10, "longest_ms": 21040.5}]"#);
    let output = scratch.perf("--max-runs 1");
    assert_eq!(output.code, 0, "{}", output.stderr);
    let note = "note: 10 requests never ended and count as failed: 10 x GET /claims (longest 21.0 s)";
    assert!(output.stdout.contains(note), "{}", output.stdout);
    assert!(scratch.perf("target/perf/latest").stdout.contains(note));
}

/// All users are there and send 11 requests instead of 450: each round takes 40 times as long.
#[test]
fn few_requests_of_users_that_are_there_fail() {
    let users = r#", "users": [{"user": "Reader", "mean": 10.0, "last": 10}]"#;
    let baseline = Scratch::new("few-answers").with("FAKE_ACCOUNT", users);
    assert_eq!(baseline.perf("--update-baseline --max-runs 3").code, 0);
    for (name, account, code) in [("there", users, 1), ("unknown", "", 2)] {
        let scratch = Scratch::new(&format!("few-answers-{name}"))
            .with("FAKE_REQUESTS", "11")
            .with("FAKE_P95_MS", "400")
            .with("FAKE_ACCOUNT", account);
        scratch.write("perf_baseline.json", &baseline.read("perf_baseline.json"));
        let output = scratch.perf("");
        assert_eq!(output.code, code, "{name}: {}{}", output.stdout, output.stderr);
        let last = if code == 2 { output.last_line() } else { output.stdout.lines().last().unwrap() };
        let says = match code {
            1 => "FAIL: 11 requests, and the baseline has 450; the median response takes ",
            _ => "it has 11 requests",
        };
        assert!(last.contains(says), "{last}");
    }
}

#[test]
fn too_few_requests_are_no_evidence() {
    for (requests, args, code, says) in [
        (
            "19",
            "--max-runs 1",
            2,
            "run-1/perf_results_stats.csv: it has 19 requests, and at least 20 are needed to judge it",
        ),
        ("19", "--update-baseline", 2, "it has 19 requests, and at least 20 are needed"),
        ("20", "--max-runs 1", 1, "; p95 is based on only 1 of 20 requests"),
        ("99", "--max-runs 1", 0, "; p95 is based on only 4 of 99 requests"),
        ("100", "--max-runs 1", 0, "PASS: "),
    ] {
        let scratch = Scratch::new(&format!("few-{requests}-{code}{args}")).with("FAKE_REQUESTS", requests);
        // Of so few requests the p95 is the p99.
        let p95_ms = if requests.len() == 2 && requests < "21" { "400" } else { "300" };
        let scratch = scratch.with("FAKE_P95_MS", p95_ms);
        let output = scratch.perf(args);
        assert_eq!(output.code, code, "{requests}: {}{}", output.stdout, output.stderr);
        let last = if code == 2 { output.last_line() } else { output.stdout.lines().last().unwrap() };
        assert!(last.contains(says), "{requests}: {last}");
        assert_eq!(last.contains("is based on only"), says.contains("is based on only"), "{last}");
    }
    let more = Scratch::new("few-asked").toml("[load]", "[load]\nmin_requests = 451");
    more.refuses("", "it has 450 requests, and at least 451 are needed");
    let less = Scratch::new("few-less").toml("[load]", "[load]\nmin_requests = 19");
    less.refuses("", "a run needs at least 20 requests, since its p95 is its maximum below that");
}

/// Locust's statistics of so many requests with this p95.
fn csv(requests: u32, p95_ms: u32) -> String {
    format!(
        "Type,Name,Request Count,Failure Count,Average Response Time,Requests/s,50%,95%,99%\n,Aggregated,{requests},0,100,15,100,{p95_ms},900\n"
    )
}

#[test]
fn a_file_counts_once_and_a_stub_of_a_run_does_not_count() {
    let scratch = Scratch::new("results");
    for (name, text) in [
        ("slow.csv", csv(1200, 450)),
        ("again.csv", csv(1200, 450)),
        ("a.csv", csv(1200, 300)),
        ("b.csv", csv(1190, 301)),
        ("stub.csv", csv(30, 300)),
        ("third.csv", csv(400, 600)),
        ("one.csv", csv(1, 300)),
    ] {
        scratch.write(name, &text);
    }
    scratch.sh("ln -s slow.csv link.csv");
    for (files, code, says) in [
        ("slow.csv slow.csv slow.csv", 2, "slow.csv duplicates slow.csv: pass each run once"),
        ("slow.csv again.csv", 2, "again.csv duplicates slow.csv"),
        ("slow.csv link.csv", 2, "link.csv duplicates slow.csv"),
        // One slow run is not washed out by stubs.
        ("a.csv b.csv stub.csv", 2, "stub.csv: it has 30 requests, far below the median of 1190"),
        ("one.csv", 2, "one.csv: it has 1 requests, and at least 20 are needed"),
        // A service that is three times slower answers a third: that is a regression.
        ("third.csv", 1, "FAIL: p95"),
        ("a.csv b.csv", 0, "PASS: "),
    ] {
        let output = scratch.perf(files);
        assert_eq!(output.code, code, "{files}: {}{}", output.stdout, output.stderr);
        let last = if code == 2 { output.last_line() } else { output.stdout.lines().last().unwrap() };
        assert!(last.contains(says), "{files}: {last}");
    }
    scratch.assert_nothing_is_left();
}

#[test]
fn a_limit_has_a_level() {
    let scratch = Scratch::new("levels").with("FAKE_P95_MS", "500");
    let with = |limits: &str| {
        let config = scratch.read("perf.toml");
        let config = config.split("[limits]").next().unwrap();
        scratch.write("perf.toml", &format!("{config}[limits]\n{limits}"));
        scratch.perf("--max-runs 1")
    };
    for (limits, code, last) in [
        ("", 1, "FAIL: p95 rose 67%, 300 → 500 ms (limit +20%)"),
        ("p95 = \"warn 20%\"", 0, "the gate cannot fail on p95"),
        ("p95 = \"off\"", 0, "the gate cannot fail on p95"),
        ("p95 = \"warn 20%\"\nerror_rate = \"off\"", 0, "the gate cannot fail on p95 and error_rate"),
        ("p95 = \"warn 20%\"\np99 = \"fail 10%\"", 1, "the gate cannot fail on p95"),
        ("p95 = \"fail 90%\"", 0, "PASS: "),
    ] {
        let output = with(limits);
        assert_eq!(output.code, code, "{limits}: {}{}", output.stdout, output.stderr);
        assert!(output.stdout.lines().last().unwrap().contains(last), "{limits}: {}", output.stdout);
    }
    for (limit, reason) in
        [("fail", "does not end in `%`"), ("loud 20%", "is not a number"), ("off 20%", "is not a number")]
    {
        let output = with(&format!("p95 = {limit:?}"));
        assert_refused(&output, reason);
    }
}

#[test]
fn any_word_of_a_log_does_not_end_a_load() {
    let scratch = Scratch::new("log-phrase").with("FAKE_LOCUST", "cut-short").with("FAKE_FAILURES", "3");
    let script = scratch.read("locustfile.py");
    scratch.write("locustfile.py", &format!("{script}# 429 rate limit reached\n"));
    scratch.refuses("", "Locust ended after 0 s of a load of 1 s: something stopped it");
}

#[test]
fn noise_that_hides_a_third_asks_for_a_longer_run() {
    let scratch = Scratch::new("noise").with("FAKE_P95_MS", "300 900 150 600 350");
    let output = scratch.perf("--update-baseline");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stderr.contains("warning: the noise hides p95 changes under "), "{}", output.stderr);
    let output = scratch.perf("--max-runs 1");
    assert!(output.stdout.contains("note: the noise hides "), "{}", output.stdout);
    assert!(
        output.stdout.contains("record a baseline of longer runs (--run-time), or of more users"),
        "{}",
        output.stdout
    );
}

/// A command of one run with these further keys of the listener's account.
fn with_account(scratch: &Scratch, args: &str, account: &str) -> Output {
    let mut command = scratch.command(args);
    scratch.finish(command.env("FAKE_ACCOUNT", format!(", {account}")).spawn().unwrap())
}

#[test]
fn requests_that_vanish_are_named_with_the_remedy() {
    let scratch = measured("vanish");
    let left_out = |reason: &str, requests: u32| {
        let account = format!(
            r#""left_out": {{"totals": {{"{reason}": {requests}}}, "endpoints": [{{"reason": "{reason}", "method": "GET", "name": "/claims", "example": "nan", "requests": {requests}}}]}}"#
        );
        with_account(&scratch, "--max-runs 1", &account)
    };
    assert!(!left_out("before_window", 400).stdout.contains("requests of GET /claims"), "the ramp-up is no loss");
    let output = left_out("impossible_time", 4);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let note = "note: 4 of 454 requests of GET /claims report response times like nan, and are not counted: give milliseconds, \
                measured with time.perf_counter";
    assert!(output.stdout.contains(note), "{}", output.stdout);
    assert_refused(&left_out("impossible_time", 5), "5 of 455 requests of GET /claims report response times like nan");
    // The command is refused, and so is its folder.
    assert_refused(&scratch.perf("target/perf/latest"), "run");
    assert!(left_out("no_time", 45).stdout.contains("note: 45 of 450 requests of GET /claims have no response time"));
    scratch.assert_nothing_is_left();
}

#[test]
fn tasks_and_classes_of_users_are_held_to_the_baseline() {
    let scratch = Scratch::new("work");
    let account = |failures: u32, premium: f64| {
        format!(
            r#""users": [{{"user": "U", "mean": 9.0, "last": 9}}, {{"user": "Premium", "mean": {premium:.1}, "last": 0}}],
               "tasks": [{{"class": "U", "task": "count", "calls": 320, "failures": {failures},
                           "errors": [{{"error": "KeyError: 'items'", "times": {failures}}}]}}]"#
        )
    };
    let output = with_account(&scratch, "--update-baseline --max-runs 2", &account(0, 1.0));
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(scratch.read("perf_baseline.json").contains("\"U.count\""));
    scratch.sh("rm runs-made");
    let now = |failures, premium| with_account(&scratch, "--max-runs 1", &account(failures, premium));
    assert_eq!(now(16, 1.0).code, 0);
    assert_refused(
        &now(312, 1.0),
        "NO VERDICT: task `count` failed in 312 of 320 calls: KeyError: 'items' (none in the baseline)",
    );
    assert_refused(&scratch.perf("target/perf/latest/run-1"), "task `count` failed in 312 of 320 calls");
    assert_refused(&now(0, 0.4), "users of class Premium: 0.4 were active on average (1.0 in the baseline)");
    // Rounds hold both sides to the same work.
    scratch.sh("git add -A && git commit -qm more");
    assert_eq!(with_account(&scratch, "--against HEAD --max-runs 2", &account(312, 0.0)).code, 0);
}

#[test]
fn load_that_is_not_the_one_asked_for_is_no_verdict() {
    let own = r#", "own_requests": 450, "requests": 450"#;
    for (counted, load_s, reason) in [
        (r#""writers": 1, "loaders": 1, "users_asked": {"first": 10, "least": 10, "most": 10}"#, "1.0", ""),
        (r#""writers": 1"#, "1.4", ""),
        (
            r#""writers": 1, "run_time_s": 4"#,
            "4.0",
            "the load took 4.0 s instead of 1 s: the locustfile sets `run_time` to 4 s: remove that",
        ),
        (r#""writers": 1"#, "0.3", "the load took 0.3 s instead of 1 s"),
        (
            r#""writers": 1, "users_asked": {"first": 10, "least": 10, "most": 40}"#,
            "1.0",
            "the locustfile starts 40 users instead of 10",
        ),
        (
            r#""writers": 1, "users_asked": {"first": 10, "least": 3, "most": 10}"#,
            "1.0",
            "the locustfile starts 3 users instead of 10",
        ),
        (r#""writers": 1, "max_users": 26.0"#, "1.0", "26 users were running instead of 10"),
        (
            r#""writers": 1, "resets": 1, "own_requests": 700"#,
            "1.0",
            "the statistics have 450 of 700 requests: the locustfile clears them (stats.reset_all)",
        ),
        (r#""writers": 2"#, "1.0", "2 processes wrote these results"),
        (r#""writers": 1, "loaders": 2"#, "1.0", "2 processes made the load instead of 1"),
        (
            r#""lateness": {"p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0, "max_ms": 900.0, "blocked_share": 0.23}"#,
            "1.0",
            "the load generator stalled for 23% of the load",
        ),
    ] {
        let extra = if counted.contains("own_requests") {
            format!(r#", "requests": 450, {counted}"#)
        } else {
            format!("{own}, {counted}")
        };
        let scratch = Scratch::new("not-as-asked").with("FAKE_ACCOUNT", &extra).with("FAKE_LOAD_S", load_s);
        if reason.is_empty() {
            let output = scratch.perf("");
            assert_eq!(output.code, 0, "{counted}: {}", output.stderr);
            continue;
        }
        scratch.refuses("", reason);
    }
    let scratch = Scratch::new("left-early").with("FAKE_ACCOUNT", own).with("FAKE_LEFT_EARLY", "1");
    scratch.refuses("", "Locust exited early, such as by os._exit in a listener of `quitting`");
}

#[test]
fn load_generator_that_stands_still_for_a_while_is_a_warning() {
    for (max_ms, share, warns) in [("100.0", "0.02", false), ("480.0", "0.02", true), ("100.0", "0.05", true)] {
        let lateness = format!(
            r#", "lateness": {{"p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0, "max_ms": {max_ms}, "blocked_share": {share}}}"#
        );
        let scratch = Scratch::new("stands-still").with("FAKE_ACCOUNT", &lateness);
        let output = scratch.perf("");
        assert_eq!(output.code, 0, "{}", output.stderr);
        let says = output.stdout.contains("the load generator stalled for ");
        assert_eq!(says, warns, "{max_ms} {share}: {}", output.stdout);
    }
}

#[test]
fn forged_counts_end_in_no_panic() {
    let huge = u64::MAX;
    let unfinished = format!(
        r#"[{{"method": "GET", "name": "/a", "times": {huge}, "longest_ms": 1e308}}, {{"method": "GET", "name": "/b", "times": {huge}, "longest_ms": 1}}]"#
    );
    let scratch = Scratch::new("forged-counts").with("FAKE_UNFINISHED", &unfinished);
    let output = scratch.perf("");
    assert_eq!(output.code, 0, "{}", output.stderr);
    let counted =
        format!(r#", "own_requests": {huge}, "requests": 450, "resets": {huge}, "loaders": {huge}, "writers": {huge}"#);
    let scratch = Scratch::new("forged-counts-2").with("FAKE_ACCOUNT", &counted);
    assert_eq!(scratch.perf("").code, 2);
}
