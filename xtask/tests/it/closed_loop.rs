//! What a closed loop hides, with real Locust on the demo: each fault passed the gate once.

use std::fs;
use std::time::Duration;

use crate::real::{ALONE, link_locust, root};
use crate::support::{Output, Scratch};

/// Ends its users after a while: by `StopUser` after a failed login, or by `self.stop()`.
const LEAVING: &str = r#"
import time

from locust import HttpUser, constant, task
from locust.exception import StopUser


class Leaving(HttpUser):
    wait_time = constant(0.1)

    def on_start(self):
        self.began_at = time.monotonic()

    @task
    def claims(self):
        self.client.get("/claims")
        if time.monotonic() > self.began_at + 3:
            HOW
"#;

/// A repository of the demo, with short runs.
fn demo() -> Scratch {
    let scratch = Scratch::new("closed-loop");
    let root = root();
    let manifest = root.join("Cargo.toml").display().to_string();
    let target = root.join("target").display().to_string();
    scratch.write(
        "perf.toml",
        &format!(
            "[service]\nbuild = \"cargo build --quiet --release --package demo --manifest-path '{manifest}' --target-dir '{target}'\"\n\
             command = \"exec '{target}/release/demo' --port {{port}}\"\n\
             ready_url = \"http://127.0.0.1:{{port}}/health\"\n\
             [load]\nusers = 10\nspawn_rate = 10\nrun_time = \"10s\"\nstop_timeout = \"2s\"\n\
             [limits]\np95 = \"20% and 5ms\"\np95_corrected = \"20% and 5ms\"\n"
        ),
    );
    scratch.write("locustfile.py", &fs::read_to_string(root.join("locustfile.py")).unwrap());
    link_locust(&scratch.path("target/perf"));
    scratch
}

/// Runs the gate, with a fault of the demo.
fn perf(scratch: &Scratch, args: &str, fault: &str, value: &str) -> Output {
    let mut command = scratch.command(args);
    // Real loads take their time, and the service may have to be built first.
    scratch.finish_within(Duration::from_mins(10), command.env(fault, value).spawn().unwrap())
}

#[test]
fn every_request_and_every_user_is_accounted_for() {
    let _alone = ALONE.lock();
    let scratch = demo();
    let output = perf(&scratch, "--update-baseline --max-runs 3", "DEMO_FREEZE", "");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(scratch.read("perf_baseline.json").contains("\"p95_corrected\""));
    for (fault, value, found) in [
        ("DEMO_FREEZE", "2/10", "FAIL p95_corrected: "),
        ("DEMO_HANG_AFTER_S", "5", "FAIL p95_corrected: "),
        ("DEMO_LOST_PCT", "10", "FAIL error_rate: "),
    ] {
        let output = perf(&scratch, "--max-runs 1 --quiet", fault, value);
        assert_eq!(output.code, 1, "{fault}: {}{}", output.stdout, output.stderr);
        assert!(output.stdout.contains(found), "{fault}: {}", output.stdout);
        let is_unfinished = output.stdout.contains("never ended and count as failed: ");
        assert_eq!(is_unfinished, fault != "DEMO_FREEZE", "{fault}: {}", output.stdout);
    }
    // They are in all files alike, under their endpoints.
    let latest = "target/perf/latest/run-1/";
    assert!(scratch.read(&format!("{latest}perf_results_failures.csv")).contains(",unfinished,"));
    let listener = scratch.read(&format!("{latest}perf_listener.json"));
    assert!(listener.contains("\"ended_by\": \"run_time\"") && listener.contains("\"/claims\""), "{listener}");
    for how in ["raise StopUser()", "self.stop()"] {
        scratch.write("leaving.py", &LEAVING.replace("HOW", how));
        let output = perf(&scratch, "--locustfile leaving.py --max-runs 1", "DEMO_FREEZE", "");
        assert_eq!(output.code, 2, "{how}: {}{}", output.stdout, output.stderr);
        let said = output.last_line();
        assert!(said.contains("is not comparable: users left before the end: 10 x Leaving ("), "{how}: {said}");
    }
    scratch.assert_nothing_is_left();
}
