//! What is used of the machine: a fake service burns CPU and holds memory, alone or by its children, and neighbours
//! burn CPU beside it.
//!
//! Only what every machine shows is asserted, however busy it is: that work is seen, never that there is none.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::thread;

use judge::model::run::{Provenance, Usage};

use crate::support::{Output, Scratch};

/// A repository whose fake Locust loads for three seconds and tells so.
fn loading(name: &str) -> Scratch {
    Scratch::new(name).with("FAKE_LOCUST", "loads")
}

/// What one run has used.
struct Used {
    others_pct: f64,
    cpu_ms_per_request: f64,
    peak_memory_mb: f64,
}

/// What was used is kept in the file of each run.
#[track_caller]
fn used(scratch: &Scratch) -> Used {
    let about: Provenance = serde_json::from_str(&scratch.read("target/perf/latest/run-1/run.json")).unwrap();
    let only = |values: &[f64]| match values {
        [only] => *only,
        values => panic!("one run has one value: {values:?}"),
    };
    let Usage { others_pct, cpu_ms_per_request, peak_memory_mb, .. } = &about.usage;
    Used {
        others_pct: only(others_pct),
        cpu_ms_per_request: only(cpu_ms_per_request),
        peak_memory_mb: only(peak_memory_mb),
    }
}

#[track_caller]
fn used_by(mode: &str) -> Used {
    let scratch = loading(&format!("usage-{mode}")).service(mode);
    let output = scratch.perf("--max-runs 1");
    assert_eq!(output.code, 0, "{}", output.stderr);
    scratch.assert_clean();
    scratch.assert_no_process_is_left();
    used(&scratch)
}

#[test]
fn usage_of_a_service_includes_its_children() {
    let idle = used_by("ok");
    let alone = used_by("works");
    assert!(alone.cpu_ms_per_request > idle.cpu_ms_per_request, "it works, and the other does not");
    // It holds 50 MB.
    assert!(alone.peak_memory_mb - idle.peak_memory_mb > 45.0, "{} {}", alone.peak_memory_mb, idle.peak_memory_mb);
    // Two children work, each of which holds as much. What answers is idle.
    let preforked = used_by("preforked");
    assert!(preforked.cpu_ms_per_request > idle.cpu_ms_per_request, "its children work");
    let both = preforked.peak_memory_mb - idle.peak_memory_mb;
    assert!(both > 90.0, "each of two children holds 50 MB, and together they hold {both:.1}");
}

#[test]
fn usage_is_shown_beside_the_baselines_usage() {
    let scratch = loading("usage-baseline").service("works");
    let output = scratch.perf("--update-baseline --max-runs 2");
    assert_eq!(output.code, 0, "{}", output.stderr);
    let baseline = judge::baseline::file::Baseline::parse(&scratch.read("perf_baseline.json")).unwrap();
    let Usage { others_pct, cpu_ms_per_request, peak_memory_mb, .. } = baseline.provenance.usage;
    let values = [others_pct.len(), cpu_ms_per_request.len(), peak_memory_mb.len()];
    assert_eq!(values, [2, 2, 2], "a value for each run");
    let output = scratch.perf("--verbose --report perf.json --report perf.html");
    assert_eq!(output.code, 0, "{}", output.stderr);
    for name in ["service's CPU per request", "service's peak memory", "CPU used by other processes"] {
        let line = output.stdout.lines().find(|line| line.starts_with(&format!("{name}: "))).unwrap_or_default();
        assert!(line.contains(" (baseline: "), "{name}: {}", output.stdout);
        assert!(scratch.read("perf.html").contains(&format!("<th scope=\"row\">{name}</th><td>")), "{name}");
    }
    let json: serde_json::Value = serde_json::from_str(&scratch.read("perf.json")).unwrap();
    for (side, runs) in [("baseline", 2), ("candidate", 1)] {
        assert_eq!(json["provenance"][side]["usage"]["others_pct"].as_array().unwrap().len(), runs, "{side}");
    }
}

/// Loops that keep a core busy each, outside of all that the gate starts.
struct Neighbours(Vec<Child>);

impl Neighbours {
    fn on_all_cores() -> Neighbours {
        let cores = thread::available_parallelism().unwrap().get();
        let busy = || Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        Neighbours((0..cores).map(|_| busy()).collect())
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        for neighbour in &mut self.0 {
            let _ = neighbour.kill();
            let _ = neighbour.wait();
        }
    }
}

#[test]
fn busy_neighbours_are_noted() {
    let scratch = loading("usage-neighbours");
    let output = {
        let _neighbours = Neighbours::on_all_cores();
        let output = scratch.perf("--update-baseline --max-runs 1");
        let warning = "warning: the machine was busy: other processes, containers or virtual machines used the CPU, ";
        assert!(output.stderr.contains(warning), "nobody should rely on such a baseline: {}", output.stderr);
        scratch.perf("--max-runs 1")
    };
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stdout.contains("% in the baseline's run 1"), "{}", output.stdout);
    let others_pct = used(&scratch).others_pct;
    assert!(others_pct > 10.0, "the neighbours keep all cores busy, and are said to use {others_pct} %");
    let note_of = |output: &Output| {
        let is_note = |line: &&str| {
            line.starts_with(
                "note: the machine was busy: other processes, containers or virtual machines used the CPU, ",
            )
        };
        output.stdout.lines().find(is_note).unwrap_or_default().to_owned()
    };
    let note = note_of(&output);
    assert!(note.contains(&format!("{others_pct:.0}% in run 1")), "{}", output.stdout);
    // The run tells it for ever.
    assert_eq!(note_of(&scratch.perf("target/perf/latest")), note);
    let run = scratch.read("target/perf/latest/run-1/run.json");
    scratch.write("target/perf/latest/run-1/run.json", &run.replace(&format!("{others_pct}"), "-4"));
    let output = scratch.perf("target/perf/latest");
    assert_eq!(output.code, 2, "{}", output.stdout);
    assert!(output.last_line().contains("run.json: `usage` holds -4, not a number of 0 or more"), "{}", output.stderr);
}

#[test]
fn usage_of_a_service_that_runs_already_is_unknown() {
    let scratch = loading("usage-host");
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let mut service = Command::new(env!("CARGO_BIN_EXE_fake-service"));
    service.args(["--port", &port.to_string()]).env("PIDS", scratch.path("pids"));
    let _service = Neighbours(vec![service.spawn().unwrap()]);
    scratch.wait_until("the service", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let output = scratch.perf(&format!("--max-runs 1 --host http://127.0.0.1:{port}"));
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(!scratch.read("target/perf/latest/run-1/run.json").contains("usage"));
}
