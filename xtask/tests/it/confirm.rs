//! `--confirm`: a FAIL by the stored numbers is measured once more against the baseline's own commit, with the fakes for
//! every way it can go, and with real Locust and the real demo for what it is for.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use serde_json::Value;

use crate::real::{demo, demo_locustfile, link_locust};
use crate::support::{Output, Scratch};

/// A service script whose p95 is `p95_ms` times `SLOWER`, which stands for the machine: the fake Locust reports what the
/// service notes.
fn service(p95_ms: u32) -> String {
    let service = env!("CARGO_BIN_EXE_fake-service");
    format!(
        "echo $(({p95_ms} * ${{SLOWER:-1}})) > \"$PIDS/p95.$$\" && mv \"$PIDS/p95.$$\" \"$PIDS/p95\"\n\
         exec '{service}' --port \"$1\" --mode ok\n"
    )
}

/// A repository with a baseline of 300 ms, whose last commit has this p95. The folder `pids` and with it what tests keep
/// there is ignored.
pub fn repository(name: &str, last_ms: u32) -> Scratch {
    let service_command = format!("exec '{}' --port {{port}} --mode ok", env!("CARGO_BIN_EXE_fake-service"));
    let scratch = Scratch::new(&format!("confirm-{name}")).toml(&service_command, "exec sh service.sh {port}");
    scratch.write("service.sh", &service(300));
    scratch.sh("git add . && git commit -q -m service");
    let output = scratch.perf("--update-baseline --max-runs 3");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    scratch.write("service.sh", &service(last_ms));
    scratch.sh("git add . && git commit -q -m last");
    scratch
}

/// The number of loads that a command made.
fn loads(output: &Output) -> usize {
    output.stderr.lines().filter(|line| line.starts_with("load-testing ")).count()
}

#[track_caller]
fn refuses(scratch: &Scratch, args: &str, reason: &str) {
    let output = scratch.perf(args);
    assert_eq!((output.code, loads(&output)), (2, 0), "{}{}", output.stdout, output.stderr);
    assert!(output.last_line().contains(reason), "{}", output.stderr);
}

fn commit_of_baseline(scratch: &Scratch) -> String {
    let baseline: Value = serde_json::from_str(&scratch.read("perf_baseline.json")).unwrap();
    baseline["commit"].as_str().unwrap().to_owned()
}

#[test]
fn rounds_with_the_baselines_own_commit_decide_a_fail() {
    for (name, last_ms, slower, code, begins, ends) in [
        (
            "machine",
            300,
            "2",
            0,
            "PASS: the FAIL is not confirmed; the machine is slower than when the baseline was recorded (",
            ": p95 300 ms then, 600 ms now)",
        ),
        (
            "code",
            420,
            "1",
            1,
            "FAIL, confirmed: p95 rose 40%, 300 → 420 ms (limit +20%); 1 of 1 endpoint: GET /claims +40%; against the baseline's commit ",
            "",
        ),
        (
            "both",
            420,
            "2",
            1,
            "FAIL, confirmed: p95 rose 40%, 600 → 840 ms (limit +20%); 1 of 1 endpoint: GET /claims +40%; against the baseline's commit ",
            "",
        ),
    ] {
        let scratch = repository(name, last_ms).with("SLOWER", slower);
        let plain = scratch.perf("");
        assert_eq!(plain.code, 1, "{name}, by the stored numbers: {}", plain.stdout);
        assert!(plain.stdout.contains("next: rule out the machine: cargo xtask perf --confirm"), "{}", plain.stdout);
        let output = scratch.perf("--confirm --report perf.json --report perf.md --report perf.html --report perf.xml");
        assert_eq!(output.code, code, "{name}: {}{}", output.stdout, output.stderr);
        let last = output.stdout.lines().last().unwrap();
        assert!(last.starts_with(begins) && last.ends_with(ends), "{name}: {last}");
        assert!(last.contains(&commit_of_baseline(&scratch)[..12]), "{last}");
        assert!(output.stderr.contains("FAIL by the stored numbers: p95 rose "), "{}", output.stderr);
        assert!(output.stderr.contains("confirming it: the baseline's commit "), "{}", output.stderr);
        let json: Value = serde_json::from_str(&scratch.read("perf.json")).unwrap();
        let outcome = if code == 0 { "not_confirmed" } else { "confirmed" };
        assert_eq!(json["confirmation"]["outcome"], outcome);
        assert_eq!((&json["paired"], &json["exit_code"]), (&Value::from(true), &Value::from(code)));
        assert!(json["confirmation"]["stored"]["headline"].as_str().unwrap().starts_with("FAIL: p95 rose "), "{json}");
        for report in ["perf.md", "perf.html"] {
            assert!(scratch.read(report).contains("y the stored numbers"), "{report}");
        }
        assert!(scratch.read("perf.xml").contains("name=\"stored numbers\""));
        scratch.sh("rm perf.json perf.md perf.html perf.xml");
        scratch.assert_nothing_is_left();
        // The same again, without load.
        let again = scratch.perf("target/perf/latest");
        assert_eq!((again.code, loads(&again)), (code, 0), "{}", again.stderr);
        assert_eq!(again.stdout.lines().last(), output.stdout.lines().last());
    }
}

#[test]
fn a_pass_is_not_measured_again() {
    let scratch = repository("pass", 300).toml("[load]\n", "[baseline]\nconfirm = true\n[load]\n");
    let output = scratch.perf("");
    assert_eq!((output.code, loads(&output)), (0, 1), "{}", output.stderr);
    // The file asks for it as the flag does.
    scratch.write("service.sh", &service(420));
    let output = scratch.perf("");
    assert_eq!(output.code, 1, "{}", output.stderr);
    assert!(output.stdout.contains("FAIL, confirmed: "), "{}", output.stdout);
}

#[test]
fn if_the_commit_cannot_be_measured_the_fail_stands() {
    let unconfirmed = |scratch: &Scratch, args: &str, why: &str| {
        let output = scratch.perf(args);
        assert_eq!(output.code, 1, "{}{}", output.stdout, output.stderr);
        let last = output.stdout.lines().last().unwrap();
        assert!(last.starts_with("FAIL, not confirmed: p95 rose 40%"), "{last}");
        let note = format!("note: the FAIL is by the stored numbers alone, and not confirmed: {why}");
        assert!(output.stdout.contains(&note), "{}", output.stdout);
        output
    };
    let replace_commit = |scratch: &Scratch, by: &str| {
        scratch.replace("perf_baseline.json", &commit_of_baseline(scratch), by);
    };
    let scratch = repository("unknown", 420);
    let kept = scratch.read("perf_baseline.json");
    replace_commit(&scratch, "unknown");
    unconfirmed(&scratch, "--confirm", "the baseline names no commit: record it in a git repository");
    scratch.write("perf_baseline.json", &kept);
    replace_commit(&scratch, "0123456789012345678901234567890123456789");
    unconfirmed(&scratch, "--confirm", "the baseline's commit 012345678901: commit not found: check the name, or");
    scratch.write("perf_baseline.json", &kept);
    scratch.replace("perf_baseline.json", "\"dirty\": false", "\"dirty\": true");
    unconfirmed(&scratch, "--confirm", "the baseline was measured with uncommitted changes on commit ");
    scratch.write("perf_baseline.json", &kept);

    let shallow = scratch.path("pids/shallow");
    scratch.sh("git add . && git commit -q --allow-empty -m more");
    scratch.sh(&format!("git clone -q --depth 1 'file://{}' '{}'", scratch.folder.display(), shallow.display()));
    let output = scratch.script(&format!("cd '{}' && \"$XTASK\" perf --confirm", shallow.display()));
    assert_eq!(output.code, 1, "{}", output.stderr);
    assert!(output.stdout.contains("this shallow clone has no such commit: fetch it with `git fetch --unshallow origin`, or check out with `fetch-depth: 0`"), "{}", output.stdout);

    // A service that runs already is not started at any commit.
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let mut service = Command::new("sh");
    service.args(["service.sh", &port.to_string()]).process_group(0);
    let mut service = scratch.prepared(service).spawn().unwrap();
    scratch.wait_until("the service", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let host = format!("--confirm --host http://127.0.0.1:{port}");
    unconfirmed(&scratch, &host, "the service was not started here: describe it in [service]");
    service.kill().unwrap();
    service.wait().unwrap();

    // Results alone, whatever perf.toml asks for.
    let latest = fs::canonicalize(scratch.path("target/perf/latest")).unwrap();
    let scratch = scratch.toml("[load]\n", "[baseline]\nconfirm = true\n[load]\n");
    unconfirmed(
        &scratch,
        &latest.join("run-1").display().to_string(),
        "only results were judged: measure with `cargo xtask perf --confirm`",
    );
}

#[test]
fn a_baseline_whose_commit_does_not_build_leaves_the_fail() {
    let scratch = repository("build", 420);
    let kept = scratch.read("perf_baseline.json");
    let build = "ready_timeout = \"2m\"\nbuild = \"test -e builds || { echo no compiler; exit 3; }\"";
    let scratch = scratch.toml("ready_timeout = \"2m\"", build);
    scratch.sh("git add . && git commit -q -m broken");
    let broken = scratch.sh("git rev-parse HEAD");
    scratch.replace("perf_baseline.json", &commit_of_baseline(&scratch), &broken);
    scratch.write("builds", "");
    let output = scratch.perf("--confirm");
    assert_eq!(output.code, 1, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("and not confirmed: at "), "{}", output.stdout);
    assert!(output.stdout.contains("[service] build failed"), "{}", output.stdout);
    scratch.write("perf_baseline.json", &kept);
    // A service that does not start at that commit is no better.
    assert!(output.stdout.lines().last().unwrap().starts_with("FAIL, not confirmed: "), "{}", output.stdout);
}

#[test]
fn an_endpoint_that_the_locustfile_no_longer_requests_stays_missing() {
    let scratch = repository("missing", 300);
    let mut baseline: Value = serde_json::from_str(&scratch.read("perf_baseline.json")).unwrap();
    let claims = baseline["endpoints"]["GET /claims"].clone();
    baseline["endpoints"]["GET /gone"] = claims;
    scratch.write("perf_baseline.json", &baseline.to_string());
    // Neither side has it in the rounds: it was this machine, or chance.
    let output = scratch.perf("--confirm");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("PASS: the FAIL is not confirmed; "), "{}", output.stdout);
    scratch.write("locustfile.py", "# what the users do no longer\n");
    let output = scratch.perf("--confirm");
    assert_eq!(output.code, 1, "{}{}", output.stdout, output.stderr);
    assert!(
        output.stdout.contains("not confirmed: the locustfile has changed since the baseline"),
        "{}",
        output.stdout
    );
}

#[test]
fn a_signal_while_it_confirms_leaves_nothing() {
    let scratch = repository("signal", 420);
    let gate = scratch.command("--confirm").spawn().unwrap();
    let folder = scratch.path("target/perf/latest/confirm");
    scratch.wait_until("the rounds", || folder.exists());
    scratch.sh(&format!("kill -TERM {}", gate.id()));
    let output = scratch.finish(gate);
    assert_eq!(output.code, 143, "{}", output.stderr);
    scratch.assert_nothing_is_left();
}

#[test]
fn a_confirmation_of_nothing_is_a_usage_error() {
    let scratch = repository("usage", 300);
    for (args, with) in [
        ("target/perf/latest --confirm", "RESULTS"),
        ("--confirm --against HEAD", "--against"),
        ("--confirm --update-baseline", "--update-baseline"),
    ] {
        refuses(&scratch, args, &format!("--confirm cannot be combined with {with}"));
    }
}

#[test]
fn against_baseline_is_the_commit_that_it_names() {
    let scratch = repository("against", 420);
    // Its numbers are not looked at.
    let numbers = scratch.read("perf_baseline.json");
    scratch.write(
        "perf_baseline.json",
        &numbers.replace("\"p95\": [300.0", "\"p95\": [9000.0").replace("\"p95\": 300.0", "\"p95\": 9000.0"),
    );
    let output = scratch.perf("--against baseline");
    assert_eq!(output.code, 1, "{}{}", output.stdout, output.stderr);
    let sides = format!("baseline: baseline, commit {}", &commit_of_baseline(&scratch)[..12]);
    assert!(output.stdout.contains(&sides) && output.stdout.contains("300 → 420 ms"), "{}", output.stdout);
    scratch.sh("mkdir -p pids/other && cp perf_baseline.json pids/other/b.json && rm perf_baseline.json");
    assert_eq!(scratch.perf("--against baseline --baseline pids/other/b.json").code, 1);
    refuses(&scratch, "--against baseline", "--against baseline: perf_baseline.json not found: record one");
    scratch.sh("cp pids/other/b.json perf_baseline.json");
    scratch.replace("perf_baseline.json", "\"dirty\": false", "\"dirty\": true");
    refuses(&scratch, "--against baseline", "was measured with uncommitted changes on commit ");
    scratch.sh("git checkout -q perf_baseline.json 2> /dev/null || true; git tag baseline");
    refuses(&scratch, "--against baseline", "but a branch or tag has that name too");
}

/// A repository with the demo, a baseline of it, and a commit that makes it this much slower.
fn demo_repository(name: &str, slower_pct: &str) -> Scratch {
    let scratch = Scratch::new(name);
    scratch.write(
        "perf.toml",
        "[service]\ncommand = \"exec sh service.sh {port}\"\nready_url = \"http://127.0.0.1:{port}/health\"\n\
         [load]\nusers = 12\nspawn_rate = 12\nrun_time = \"5s\"\n[limits]\np95 = \"100% and 1000ms\"\n",
    );
    scratch.write("locustfile.py", &demo_locustfile());
    let start = |pct: &str| {
        format!("export DEMO_SLOWDOWN_PCT=$((${{MACHINE_PCT:-0}} + {pct}))\nexec '{}' --port \"$1\"\n", demo())
    };
    scratch.write("service.sh", &start("0"));
    scratch.sh("rm perf_baseline.json; git add . && git commit -q -m demo");
    link_locust(&scratch.path("target/perf"));
    let output = scratch.perf("--update-baseline --max-runs 2");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    scratch.write("service.sh", &start(slower_pct));
    scratch.sh("git add . && git commit -q --allow-empty -m next");
    scratch
}

// The slowdowns are so large that no busy machine hides them, and the limit lies between.

static ONE_LOAD: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[test]
fn a_slower_machine_is_not_the_demos_fault() {
    // Two real Locusts at once starve each other on two cores.
    let _alone = ONE_LOAD.lock();
    let scratch = demo_repository("confirm-demo-machine", "0").with("MACHINE_PCT", "1500");
    let output = scratch.perf("--confirm --max-runs 2");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("not confirmed; the machine is slower"), "{}", output.stdout);
}

#[test]
fn a_slower_demo_is_confirmed() {
    // Two real Locusts at once starve each other on two cores.
    let _alone = ONE_LOAD.lock();
    let scratch = demo_repository("confirm-demo-code", "1500");
    let output = scratch.perf("--confirm --max-runs 2");
    assert_eq!(output.code, 1, "{}{}", output.stdout, output.stderr);
    let verdict = output.stdout.lines().last().unwrap();
    assert!(verdict.starts_with("FAIL, confirmed") && verdict.contains(": p95 rose "), "{}", output.stdout);
}

#[test]
fn details_of_a_confirmation_are_of_its_rounds() {
    let scratch = repository("details", 420);
    let output = scratch.perf("--confirm --verbose --min-runs 3");
    assert_eq!(output.code, 1, "{}{}", output.stdout, output.stderr);
    let details = output.stdout.lines().find(|line| line.contains("candidate: commit ")).unwrap();
    assert!(details.ends_with(", 2 runs"), "{}", output.stdout);
    assert!(output.stdout.contains(" s of it in the gate itself)"), "{}", output.stdout);
}
