//! What a closed loop hides, with real Locust on the demo: each fault passed the gate once.

use std::thread;

use serde_json::Value;

use crate::real::{self, demo_locustfile, link_locust, root};
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
        if time.monotonic() > self.began_at + 2:
            HOW
"#;

/// A repository of the demo, with short runs.
fn demo(name: &str) -> Scratch {
    let scratch = Scratch::new(&format!("closed-loop-{name}"));
    scratch.write(
        "perf.toml",
        &format!(
            "[service]\ncommand = \"exec '{}' --port {{port}}\"\nready_url = \"http://127.0.0.1:{{port}}/health\"\n\
             [load]\nusers = 10\nspawn_rate = 10\nrun_time = \"6s\"\nstop_timeout = \"2s\"\n\
             [limits]\np95 = \"20% and 5ms\"\n",
            real::demo()
        ),
    );
    scratch.write("locustfile.py", &demo_locustfile());
    link_locust(&scratch.path("target/perf"));
    scratch
}

/// Whether all requests together failed by the metric. The terminal leaves `p95_corrected` out if p95 is nearly the same, as it
/// is on a busy machine.
fn has_failed(scratch: &Scratch, metric: &str) -> bool {
    let report: Value = serde_json::from_str(&scratch.read("target/perf/latest/report.json")).unwrap();
    let is_it = |row: &Value| row["endpoint"].is_null() && row["metric"] == metric && row["status"] == "fail";
    report["rows"].as_array().unwrap().iter().any(is_it)
}

/// Runs the gate, with a fault of the demo.
fn perf(scratch: &Scratch, args: &str, fault: &str, value: &str) -> Output {
    let mut command = scratch.command(args);
    scratch.finish(command.env(fault, value).spawn().unwrap())
}

#[test]
fn every_request_and_every_user_is_accounted_for() {
    let scratch = demo("baseline");
    let output = perf(&scratch, "--update-baseline --max-runs 1", "DEMO_FREEZE", "");
    assert_eq!(output.code, 0, "{}", output.stderr);
    let baseline = scratch.read("perf_baseline.json");
    assert!(baseline.contains("\"p95_corrected\""));
    // Each of them has a repository of its own, so that they need not take turns.
    let check = |name: &str, check: &dyn Fn(&Scratch)| {
        let scratch = demo(name);
        scratch.write("perf_baseline.json", &baseline);
        check(&scratch);
        scratch.assert_nothing_is_left();
    };
    let check = &check;
    thread::scope(|scope| {
        for (name, fault, value) in
            [("freeze", "DEMO_FREEZE", "1.2/3"), ("hang", "DEMO_HANG_AFTER_S", "1.5"), ("lost", "DEMO_LOST_PCT", "10")]
        {
            scope.spawn(move || check(name, &|scratch| a_fault_is_red(scratch, fault, value)));
        }
        // Of several processes each tells its own.
        scope.spawn(|| {
            check("processes", &|scratch| {
                let output = perf(scratch, "--processes 2 --max-runs 1", "DEMO_LOST_PCT", "10");
                assert_eq!(output.code, 1, "{}{}", output.stdout, output.stderr);
                assert!(output.stdout.contains("never ended and count as failed: "), "{}", output.stdout);
            });
        });
        for (name, how) in [("raise", "raise StopUser()"), ("stop", "self.stop()")] {
            scope.spawn(move || check(name, &|scratch| users_that_leave_are_another_load(scratch, how)));
        }
    });
}

#[track_caller]
fn a_fault_is_red(scratch: &Scratch, fault: &str, value: &str) {
    let output = perf(scratch, "--max-runs 1 --report target/report.html", fault, value);
    assert_eq!(output.code, 1, "{fault}: {}{}", output.stdout, output.stderr);
    let found = if fault == "DEMO_LOST_PCT" { "error_rate" } else { "p95_corrected" };
    assert!(has_failed(scratch, found), "{fault}: {}", output.stdout);
    let is_unfinished = output.stdout.contains("never ended and count as failed: ");
    assert_eq!(is_unfinished, fault != "DEMO_FREEZE", "{fault}: {}", output.stdout);
    let listener = scratch.read("target/perf/latest/run-1/perf_listener.json");
    assert!(listener.contains("\"ended_by\": \"run_time\""), "{listener}");
    if is_unfinished {
        // Silence at the end of the window lowers the throughput.
        let throughput = output.stdout.lines().find(|line| line.starts_with("requests_per_sec "));
        assert!(throughput.unwrap().contains("WARN"), "{fault}: {}", output.stdout);
        // They are in all files alike, under their endpoints.
        assert!(scratch.read("target/perf/latest/run-1/perf_results_failures.csv").contains(",unfinished,"));
        assert!(listener.contains("\"/claims\""), "{listener}");
        assert!(scratch.read("target/report.html").contains("<td>unfinished</td>"));
    }
}

#[track_caller]
fn users_that_leave_are_another_load(scratch: &Scratch, how: &str) {
    let locustfile = scratch.read("locustfile.py");
    scratch.write("locustfile.py", &LEAVING.replace("HOW", how));
    let output = perf(scratch, "--max-runs 1", "DEMO_FREEZE", "");
    scratch.write("locustfile.py", &locustfile);
    assert_eq!(output.code, 2, "{how}: {}{}", output.stdout, output.stderr);
    let said = output.last_line();
    assert!(said.starts_with("NO VERDICT: users left before the end: 10 x Leaving ("), "{how}: {said}");
}

#[test]
fn a_service_that_becomes_slow_in_the_middle_is_red() {
    let scratch = Scratch::new("slow-middle");
    let service = root().join("xtask/tests/fakes/service.py").display().to_string();
    scratch.write(
        "perf.toml",
        &format!(
            "[service]\ncommand = \"exec python3 '{service}' {{port}}\"\nready_url = \"http://127.0.0.1:{{port}}/ready\"\n\
             [load]\nusers = 10\nspawn_rate = 10\nrun_time = \"6s\"\n"
        ),
    );
    let locustfile = "from locust import HttpUser, constant, task\n\n\nclass U(HttpUser):\n    wait_time = constant(0.1)\n\n    \
                      @task\n    def a(self):\n        self.client.get(\"/a\")\n";
    scratch.write("locustfile.py", locustfile);
    link_locust(&scratch.path("target/perf"));
    let output = perf(&scratch, "--update-baseline --max-runs 1", "SERVICE_SLOW_AFTER_S", "");
    assert_eq!(output.code, 0, "{}", output.stderr);
    // The end of the window is slow, but it holds few requests of the closed loop, and hardly 5% of them are late.
    let output = perf(&scratch, "--max-runs 1", "SERVICE_SLOW_AFTER_S", "4");
    assert_eq!(output.code, 1, "{}{}", output.stdout, output.stderr);
    assert!(has_failed(&scratch, "p95_corrected"), "{}", output.stdout);
    scratch.assert_nothing_is_left();
}
