//! `cargo xtask selftest` with a fake Locust that finds the faults, or is blind to them.

use std::time::Duration;

use crate::support::{FAKE_LOCUST, Output, Scratch};

/// A Locust that measures the faults that the demo would have.
const SEEING: &str = r#"
[ "$DEMO_SLOWDOWN_PCT" = 40 ] && export FAKE_P95_MS=420
[ "$DEMO_ERROR_PCT" = 5 ] && export FAKE_FAILURES=20
[ "$DEMO_SLOW_ENDPOINT $DEMO_SLOW_FACTOR" = "GET /claims/[id] 3" ] && export FAKE_P95_MS=900
# Of requests that wait so long many more were not asked for.
[ -n "$DEMO_FREEZE$DEMO_HANG_AFTER_S" ] && export FAKE_P99_MS=40000
[ "$SELFTEST_USERS" = leaving ] && export FAKE_USERS=4.0 FAKE_LEFT='[{"user": "U", "reason": "self.stop()", "times": 10}]' 
[ "$SELFTEST_SIGNAL" = KILL ] && export FAKE_LOCUST=kills-service
[ "$SELFTEST_SIGNAL" = STOP ] && export FAKE_LOCUST=freezes-service
"#;

/// A repository with a demo, which `cargo` builds and runs.
fn repository(name: &str, locust: &str) -> Scratch {
    let cargo = format!(
        "#!/bin/sh\n[ \"$1\" = build ] && exit 0\nwhile [ \"$1\" != -- ]; do shift; done\nshift\nexec '{}' \"$@\"\n",
        env!("CARGO_BIN_EXE_fake-service")
    );
    let script = format!("[ \"$1\" = --version ] || {{ :{locust}}}\nexec sh '{FAKE_LOCUST}' \"$@\"\n");
    let scratch = Scratch::new(name).tool("cargo", &cargo);
    scratch.write("pids/bin/locust.sh", &script);
    scratch.write("demo/Cargo.toml", "");
    let command = scratch.path("pids/bin/locust.sh").display().to_string();
    scratch.toml(&format!("sh '{FAKE_LOCUST}'"), &format!("sh '{command}'")).with("FAKE_NAME", "/claims/[id]")
}

#[track_caller]
fn check(scratch: &Scratch, code: i32, verdict: &str) -> Output {
    let output = scratch.finish(scratch.selftest("--quick"));
    assert_eq!(output.code, code, "{}{}", output.stdout, output.stderr);
    assert_eq!(output.stdout.lines().last().unwrap_or_default(), verdict, "{}{}", output.stdout, output.stderr);
    scratch.assert_clean();
    output
}

#[test]
fn selftest_passes_if_every_fault_is_found() {
    let scratch = repository("seeing", SEEING);
    let scratch = scratch.with("DEMO_SLOWDOWN_PCT", "40").with("CI", "true").with("CLICOLOR_FORCE", "1");
    let output = check(&scratch, 0, "PASS: the gate caught every injected fault on this machine");
    let tried: Vec<&str> = output.stdout.lines().filter(|line| line.ends_with(" min of load   ok")).collect();
    assert_eq!(tried.len(), 10, "{}", output.stdout);
    assert!(tried[4].contains("exit 1, FAIL GET /claims/[id] p95: 300 → 900 ms"), "{}", tried[4]);
    assert!(output.stdout.contains("\ndetectable: a p95 change of 0.0% in 1 run, "), "{}", output.stdout);
}

#[test]
fn selftest_fails_if_no_fault_is_found() {
    let scratch = repository("blind", "\n");
    let all = "40% slower, 5% errors, one endpoint 3 times slower, frozen 2 s in every 10, hangs halfway through, users that leave, service that ends, service that hangs";
    let output = check(&scratch, 1, &format!("FAIL: 8 of 10 expectations do not hold: {all}"));
    assert_eq!(output.stdout.matches(" FAILED\n").count(), 8, "{}", output.stdout);
    let log = "  its last line: PASS: p95 +0.0% (limit +20% and 5 ms), all metrics within their limits\n  its log: target/perf/selftest/5-percent-errors.log\n";
    assert!(output.stdout.contains(log), "{}", output.stdout);
}

#[test]
fn it_fails_where_the_same_build_does() {
    // Four runs of the baseline, and then others.
    let scratch = repository("noisy", SEEING).with("FAKE_P95_MS", "300 300 300 300 900");
    check(&scratch, 1, "FAIL: 1 of 10 expectations does not hold: same build again");
}

#[test]
fn what_cannot_be_tried_is_exit_2() {
    let scratch = repository("no-demo", SEEING);
    scratch.sh("rm demo/Cargo.toml");
    let output = check(&scratch, 2, "");
    assert!(output.last_line().contains("NO VERDICT: there is no demo service demo/Cargo.toml"), "{}", output.stderr);
    scratch.assert_not_started(&["service", "locust"]);

    let scratch = repository("no-locust", SEEING).with("FAKE_LOCUST", "exit1");
    let output = check(&scratch, 2, "");
    let reason = "NO VERDICT: the baseline could not be measured: Locust failed: exit code 1";
    assert!(output.last_line().starts_with(reason), "{}", output.stderr);
}

#[test]
fn an_interrupt_ends_the_gate_and_all_that_it_has_started() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let scratch = repository(&format!("interrupted-{signal}"), SEEING).with("FAKE_LOCUST", "waits");
        let child = scratch.selftest("");
        scratch.wait_for("pids/locust");
        std::thread::sleep(Duration::from_millis(100));
        scratch.sh(&format!("kill -{signal} {}", child.id()));
        let output = scratch.finish(child);
        assert_eq!(output.code, code, "{}", output.stderr);
        assert!(output.last_line().starts_with("INTERRUPTED: "), "{}", output.stderr);
        scratch.assert_clean();
    }
}
