//! Workers that share the load: what is asked of them, and, with real Locust on loopback, whole results or none.

#[cfg(target_os = "linux")]
mod networks;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::iter;
use std::net::{IpAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use judge::model::run::Precision;
use locust_gate::run::workers::{Master, WorkerSetup};
use serde_json::Value;

use crate::real::link_locust;
use crate::support::{BASELINE, FAKE_LOCUST, Scratch, is_running};

fn worker(name: &str, state: &str) -> String {
    format!(r#"{{"name":{name},"host":"h","process":7,"locust":"2.47.0","state":"{state}"}}"#)
}

fn roll(began: bool, workers: &[String]) -> String {
    format!(r#"{{"began":{began},"workers":[{}]}}"#, workers.join(","))
}

#[test]
fn a_load_that_a_worker_leaves_or_joins_is_not_judged() {
    let (one, two) = (worker("\"1\"", "here"), worker("\"2\"", "here"));
    let whole = worker("\"1\"", "complete");
    let old = two.replace("2.47.0", "2.40.1");
    let cases = [
        (
            "missing",
            "gives-up",
            roll(false, std::slice::from_ref(&two)),
            "within 2m 1 of 2 workers have connected: 2; missing: 1; start them",
        ),
        ("nobody", "gives-up", String::new(), "within 2m 0 of 2 workers have connected; missing: 1, 2; start them"),
        ("hanging", "waits", roll(false, &[]), "within 1s 0 of 2 workers have connected; missing: 1, 2; start them"),
        (
            "lost",
            "waits",
            roll(true, &[one.clone(), worker("\"2\"", "lost")]),
            "worker 2 (h, process 7) was lost during",
        ),
        ("late", "waits", roll(true, &[one.clone(), worker("null", "late")]), "a worker (h, process 7) joined after"),
        (
            "bare",
            "waits",
            roll(true, &[one.clone(), worker("\"2\"", "bare")]),
            "worker 2 (h, process 7) runs without our",
        ),
        (
            "old",
            "waits",
            roll(false, &[one.clone(), old]),
            "runs Locust 2.40.1, but its master runs 2.47.0: install locust==2.47.0",
        ),
        (
            "too-many",
            "waits",
            roll(true, &[one.clone(), two.clone(), two.clone()]),
            "3 workers connected, and 2 are expected",
        ),
        ("cut-off", "ok", roll(true, &[whole, two.clone()]), "worker 2 (h, process 7) was lost at the end of the load"),
    ];
    for (name, mode, roll, reason) in cases {
        let scratch = Scratch::new(&format!("workers-{name}")).with("FAKE_LOCUST", mode).with("FAKE_ROLL", &roll);
        let scratch = match name {
            "hanging" => scratch
                .toml("[load]\n", "[load]\nworkers_timeout = \"1s\"\n")
                .toml("deadline_margin = \"2m\"", "deadline_margin = \"0s\""),
            _ => scratch,
        };
        scratch.with("LOCUST_MASTER_BIND_PORT", &free_port().to_string()).refuses("--expect-workers 2", reason);
    }
    // Processes of Locust's own are its workers too.
    let lost = roll(true, &[worker("null", "here"), worker("null", "lost")]);
    let scratch = Scratch::new("workers-process").with("FAKE_LOCUST", "waits").with("FAKE_ROLL", &lost);
    scratch.refuses("--processes 2", "a worker (h, process 7) was lost during the load");
    let scratch = Scratch::new("workers-processes").with("FAKE_LOCUST", "gives-up");
    scratch.refuses("--processes 2", "within 2m 0 of 2 workers have connected; Locust starts them itself");
}

#[test]
fn a_load_that_no_worker_could_join_is_refused_before_it_starts() {
    let both = Scratch::new("workers-both");
    both.refuses("--processes 2 --expect-workers 2", "use one of them");
    both.assert_not_started(&["service", "locust"]);

    let old = Scratch::new("workers-too-old")
        .with("FAKE_LOCUST_VERSION", "2.30.0")
        .with("LOCUST_MASTER_BIND_PORT", &free_port().to_string());
    old.refuses("--expect-workers 2", "--expect-workers needs Locust 2.31.0 or later");
    old.assert_not_started(&["service", "locust"]);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let busy = Scratch::new("workers-busy").with("LOCUST_MASTER_BIND_PORT", &port);
    let holder = format!("port {port}, on which Locust's master waits for workers, is already in use by ");
    let output = busy.refuses("--expect-workers 2", &holder);
    if Path::new("/proc/self").exists() {
        assert!(output.last_line().contains(&format!("(process {})", std::process::id())), "{}", output.stderr);
    }
    busy.assert_not_started(&["service", "locust"]);
}

#[test]
fn a_worker_finds_locust_before_the_repositorys_own_folder_of_that_name() {
    let setup = WorkerSetup { install: None, command: "locust".to_owned() };
    let master = Master { address: "127.0.0.1".to_owned(), port: 5557 };
    let lines = setup.commands(1, "2.47.0", &master, &["locust", "load tests"]);
    let command = lines.last().unwrap();
    let (variables, _) = command.split_once(" sh -c ").unwrap();
    for (given, expected) in
        [(None, "locust:load tests"), (Some(""), "locust:load tests"), (Some("/a:/b"), "locust:load tests:/a:/b")]
    {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{variables} sh -c 'printf %s \"$PYTHONPATH\"'")]).env_remove("PYTHONPATH");
        shell.envs(given.map(|given| ("PYTHONPATH", given)));
        let output = shell.output().unwrap();
        // An empty entry would be the current folder.
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected, "{command}");
    }
}

#[test]
fn flags_for_sharing_the_load_replace_perf_toml() {
    let whole = |workers: u32| {
        let names = (1..=workers).map(|number| worker(&format!("\"{number}\""), "complete"));
        roll(true, &names.collect::<Vec<_>>())
    };
    let port = free_port().to_string();
    let scratch = Scratch::new("workers-shared")
        .toml("[load]\n", "[load]\nexpect_workers = 3\n")
        .with("LOCUST_MASTER_BIND_PORT", &port)
        .with("LOCUST_MASTER_BIND_HOST", "127.0.0.1");
    for (args, number, expected) in [
        ("", 3, format!("--expect-workers 3 --expect-workers-max-wait 120 --master-bind-port {port} ")),
        (
            "--expect-workers 2",
            2,
            format!("--expect-workers 2 --expect-workers-max-wait 120 --master-bind-port {port} "),
        ),
        ("--processes 2", 2, "--processes 2 --master-host 127.0.0.1 --master-port ".to_owned()),
    ] {
        let mut command = scratch.command(args);
        let output = scratch.finish(command.env("FAKE_ROLL", whole(number)).spawn().unwrap());
        assert_eq!(output.code, 0, "{args}: {}", output.stderr);
        let arguments = scratch.read("pids/arguments");
        assert!(arguments.contains(&expected), "{args}: {arguments}");
        assert_eq!(arguments.contains("--master "), args != "--processes 2", "{args}: {arguments}");
        assert_eq!(output.stderr.contains("PERF_WORKER=2 "), args != "--processes 2", "{args}: {}", output.stderr);
        let about = scratch.read("target/perf/latest/run-1/run.json");
        assert_eq!(about.contains(&format!("\"workers\": {number}")), args != "--processes 2", "{args}: {about}");
    }
    // The user's own command is what workers run too.
    let output = scratch.finish(scratch.command("").env("FAKE_ROLL", whole(3)).spawn().unwrap());
    let command =
        format!("while sh '\\''{FAKE_LOCUST}'\\'' -f - --worker --master-host 127.0.0.1 --master-port {port} ");
    assert!(output.stderr.contains(&command), "{}", output.stderr);
    assert!(
        output.stderr.contains(" is only reachable from this machine, so start all workers here"),
        "{}",
        output.stderr
    );
    // A master that listens everywhere is found at one address.
    for everywhere in ["", "*", "0.0.0.0"] {
        let address: IpAddr = locust_gate::run::workers::address(everywhere, "http://127.0.0.1:8080").parse().unwrap();
        assert!(!address.is_unspecified(), "{address}");
    }
}

/// A port below those that the system gives to connections, of which the tests beside this one make many.
fn free_port() -> u16 {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    iter::repeat_with(|| fastrand::u16(12_000..32_000)).find(is_free).unwrap()
}

/// Its users make no requests, but times: nothing but Locust itself is measured. Each worker keeps what it has counted,
/// and writes it when it ends. A request under way for over a second is more than Locust waits for by itself.
const LOCUSTFILE: &str = r#"
import json, os, random, signal, time
from locust import User, events, stats, task

FOLDER = "@FOLDER@"
counted = {}
log, log_error = stats.StatsEntry.log, stats.StatsEntry.log_error

def of(entry):
    return counted.setdefault(f"{entry.method} {entry.name}", {"failures": 0, "times": []})

def count(entry, response_time, *rest):
    if entry.method:
        of(entry)["times"].append(stats.bucket_response_time(response_time))
    log(entry, response_time, *rest)

def count_error(entry, *rest):
    if entry.method:
        of(entry)["failures"] += 1
    log_error(entry, *rest)

stats.StatsEntry.log, stats.StatsEntry.log_error = count, count_error

@events.quitting.add_listener
def write(environment, **_kwargs):
    if counted:
        with open(f"{FOLDER}/counted-{os.getpid()}.json", "w") as file:
            json.dump(counted, file)

@events.test_stop.add_listener
def die_before_the_last_report(environment, **_kwargs):
    if type(environment.runner).__name__ == "WorkerRunner" and os.path.exists(f"{FOLDER}/dies"):
        os.kill(os.getpid(), signal.SIGKILL)

class Fake(User):
    @task
    def request(self):
        began = time.perf_counter()
        time.sleep(random.choice([0.0131, 0.0274, 0.0279, 0.1212, 1.3]))
        self.environment.events.request.fire(
            request_type="GET",
            name=random.choice(["/a", "/b"]),
            response_time=(time.perf_counter() - began) * 1000,
            response_length=1,
            exception=ValueError("planted") if random.random() < 0.1 else None,
        )
"#;

/// A scratch repository with real Locust, whose environment is this repository's own.
fn with_real_locust(name: &str) -> Scratch {
    let scratch = Scratch::new(name)
        .toml("[load]\n", "[load]\nlocustfile = \"loads/locustfile.py\"\n")
        .toml(&format!("[locust]\ncommand = \"sh '{FAKE_LOCUST}'\"\n"), "")
        .toml("stop_timeout = \"500ms\"\n[load]\n", "stop_timeout = \"10s\"\n[load]\n")
        .toml("stop_timeout = \"500ms\"\ndeadline", "stop_timeout = \"10s\"\ndeadline");
    let locustfile = LOCUSTFILE.replace("@FOLDER@", &scratch.path("pids").display().to_string());
    scratch.write("loads/locustfile.py", &format!("import beside\n{locustfile}"));
    scratch.write(
        "loads/beside.py",
        "# Workers get their locustfile from their master, and this one from their checkout.\n",
    );
    for folder in ["target/perf", ".cache"] {
        link_locust(&scratch.path(folder));
    }
    scratch
}

/// The load of the tests with real Locust.
const LOAD: &str = "--users 16 --spawn-rate 16 --run-time 3s --update-baseline";
/// One that is ended by what a test does to it.
const LONG_LOAD: &str = "--users 16 --spawn-rate 16 --run-time 10m --update-baseline";

/// So that what is waited for is the next run's.
fn forget_latest(scratch: &Scratch) {
    let _ = fs::remove_file(scratch.path("target/perf/latest"));
}

fn workers_of(scratch: &Scratch, run: &str) -> Vec<Value> {
    let text = fs::read_to_string(scratch.path(&format!("target/perf/latest/{run}/perf_workers.json")));
    let roll: Value = serde_json::from_str(&text.unwrap_or_else(|_| "{}".to_owned())).unwrap();
    if roll["began"] == true { roll["workers"].as_array().unwrap().clone() } else { Vec::new() }
}

fn process_of(worker: &Value) -> u32 {
    worker["process"].as_u64().unwrap().try_into().unwrap()
}

/// That the results are those of all that the workers have counted, to the last digit.
#[track_caller]
fn assert_is_union(scratch: &Scratch, run: &str, workers: usize) {
    let mut union: BTreeMap<String, (Vec<f64>, u64)> = BTreeMap::new();
    let mut files = 0;
    for worker in workers_of(scratch, run) {
        let text = scratch.read(&format!("pids/counted-{}.json", process_of(&worker)));
        let counted: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap();
        for (endpoint, of) in counted {
            for name in [endpoint, String::new()] {
                let (times, failures) = union.entry(name).or_default();
                times.extend(of["times"].as_array().unwrap().iter().map(|time| time.as_f64().unwrap()));
                *failures += of["failures"].as_u64().unwrap();
            }
        }
        files += 1;
    }
    assert_eq!(files, workers);
    let json = scratch.read(&format!("target/perf/latest/{run}/perf_results.json"));
    let merged = judge::parse::locust_json::parse(&json).unwrap();
    assert_eq!(merged.precision, Precision::Fine);
    let total = (String::new(), merged.total.clone());
    let endpoints = merged.endpoints.iter().map(|(name, stats)| (name.to_string(), stats.clone()));
    for (name, stats) in endpoints.chain([total]) {
        let (mut times, failures) = union.remove(&name).unwrap_or_else(|| panic!("no worker counted {name}"));
        times.sort_by(f64::total_cmp);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank, as Locust takes it")]
        let at = |share: f64| times[((times.len() as f64 * share) as usize).min(times.len() - 1)];
        let expected = (times.len() as u64, failures, at(0.5), at(0.95), at(0.99));
        assert_eq!((stats.requests, stats.failures, stats.p50_ms, stats.p95_ms, stats.p99_ms), expected, "{name}");
    }
    assert!(union.is_empty(), "not in the results: {union:?}");
    // The CSV holds the same counts, or it would not have been judged.
    assert!(merged.total.p99_ms >= 1300.0, "the requests under way at the end count: {}", merged.total.p99_ms);
}

/// The shells that run the commands printed. Dropping them ends all of them.
struct Shells(Vec<Child>);

impl Drop for Shells {
    fn drop(&mut self) {
        for shell in &mut self.0 {
            let _ = Command::new("sh").args(["-c", &format!("kill -9 -{}", shell.id())]).output();
            let _ = shell.wait();
        }
    }
}

/// A repository with real Locust, whose load is shared by four workers.
fn with_four_workers(name: &str, timeout: &str) -> Scratch {
    with_real_locust(name)
        .toml("[load]\n", &format!("[load]\nexpect_workers = 4\nworkers_timeout = \"{timeout}\"\n"))
        .with("LOCUST_MASTER_BIND_HOST", "127.0.0.1")
        .with("LOCUST_MASTER_BIND_PORT", &free_port().to_string())
}

/// Starts the command, and writes what it says to `pids/stderr`.
fn start(scratch: &Scratch, args: &str) -> Child {
    forget_latest(scratch);
    let mut command = scratch.command(args);
    command.stderr(File::create(scratch.path("pids/stderr")).unwrap()).spawn().unwrap()
}

fn said(scratch: &Scratch) -> String {
    scratch.read("pids/stderr")
}

/// The commands that it prints for its workers.
fn commands_said(scratch: &Scratch, workers: usize) -> Vec<String> {
    scratch.wait_until("the commands", || said(scratch).contains(&format!("PERF_WORKER={workers} ")));
    let said = said(scratch);
    let commands: Vec<String> =
        said.lines().filter(|line| line.starts_with("  PERF_WORKER=")).map(str::to_owned).collect();
    assert_eq!(commands.len(), workers, "{said}");
    commands
}

fn start_worker(scratch: &Scratch, command: &str) -> Child {
    let mut shell = scratch.prepared(Command::new("sh"));
    shell.args(["-c", command]).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    shell.spawn().unwrap()
}

#[test]
fn workers_started_by_the_commands_printed_serve_every_run_and_one_that_dies_is_missed() {
    let scratch = with_four_workers("workers-real", "4m");

    // 1. Two runs, each with a master of its own, are served by workers that are started once.
    let gate = start(&scratch, &format!("{LOAD} --max-runs 2"));
    let commands = commands_said(&scratch, 4);
    let _workers = Shells(commands.iter().map(|command| start_worker(&scratch, command)).collect());
    let output = scratch.finish(gate);
    assert_eq!(output.code, 0, "{}", said(&scratch));
    for run in ["run-1", "run-2"] {
        assert_is_union(&scratch, run, 4);
        let log = scratch.read(&format!("target/perf/latest/{run}/locust.log"));
        assert!(log.contains("(16 total users)"), "{log}");
    }
    let saved = scratch.read("perf_baseline.json");
    assert!(saved.contains("\"workers\": 4") && saved.contains("\"precision\": \"fine\""), "{saved}");
    assert!(said(&scratch).contains("4 of 4 workers have connected: 1, 2, 3, 4"), "{}", said(&scratch));

    let is_refused = |gate, reasons: [&str; 2]| {
        let output = scratch.finish(gate);
        let last = said(&scratch).lines().last().unwrap().to_owned();
        assert_eq!(output.code, 2, "{}", said(&scratch));
        assert!(reasons.iter().all(|reason| last.contains(reason)), "{last}");
        assert_eq!(scratch.read("perf_baseline.json"), saved);
    };

    // 2. They serve the next command too, until one more joins.
    let gate = start(&scratch, LONG_LOAD);
    scratch.wait_until("the load", || workers_of(&scratch, "run-1").len() == 4);
    let fifth = Shells(vec![start_worker(&scratch, &commands[3])]);
    is_refused(gate, ["NO VERDICT: worker 4 (", " joined after the load had begun"]);
    drop(fifth);

    // 3. And the next, until one of them dies.
    let gate = start(&scratch, LONG_LOAD);
    scratch.wait_until("the load", || workers_of(&scratch, "run-1").len() == 4);
    let third = workers_of(&scratch, "run-1").into_iter().find(|worker| worker["name"] == "3").unwrap();
    scratch.sh(&format!("kill -9 {}", process_of(&third)));
    is_refused(gate, ["NO VERDICT: worker 3 (", " was lost during the load"]);
}

#[test]
fn a_missing_worker_is_named() {
    let scratch = with_four_workers("workers-missing-real", "15s");
    let gate = start(&scratch, LOAD);
    let commands = commands_said(&scratch, 4);
    let _workers = Shells([0, 1, 3].map(|number| start_worker(&scratch, &commands[number])).into());
    assert_eq!(scratch.finish(gate).code, 2, "{}", said(&scratch));
    let last = said(&scratch).lines().last().unwrap().to_owned();
    for reason in ["within 15s 3 of 4 workers have connected: 1, 2, 4", "; missing: 3; start them"] {
        assert!(last.contains(reason), "{last}");
    }
    assert_eq!(scratch.read("perf_baseline.json"), BASELINE);
}

#[test]
fn processes_count_to_the_last_request() {
    let scratch = with_real_locust("workers-processes-real");
    let args = format!("--processes 2 --max-runs 1 {LOAD}");
    let output = scratch.perf(&args);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_is_union(&scratch, "run-1", 2);

    // Between its last request and its last report, which no heartbeat can miss in time.
    scratch.write("perf_baseline.json", BASELINE);
    scratch.write("pids/dies", "");
    scratch.refuses(&args, ") was lost ");
}

#[test]
fn none_of_the_processes_outlives_the_command() {
    let scratch = with_real_locust("workers-killed-real");
    let start = || {
        forget_latest(&scratch);
        scratch.command(&format!("--processes 2 {LONG_LOAD}")).spawn().unwrap()
    };
    let loads = || {
        scratch.wait_until("the load", || workers_of(&scratch, "run-1").len() == 2);
        workers_of(&scratch, "run-1").iter().map(process_of).collect::<Vec<u32>>()
    };
    let assert_gone = |workers: &[u32]| {
        for &worker in workers {
            assert!(!is_running(worker), "the worker {worker} has outlived the command");
        }
        scratch.assert_nothing_is_left();
        assert_eq!(scratch.read("perf_baseline.json"), BASELINE);
    };
    // One of them, while it loads.
    let gate = start();
    let workers = loads();
    scratch.sh(&format!("kill -9 {}", workers[0]));
    let output = scratch.finish(gate);
    assert_eq!(output.code, 2, "{}", output.stderr);
    let named = format!("process {}) was lost during the load", workers[0]);
    assert!(output.last_line().contains(&named), "{}", output.stderr);
    assert_gone(&workers);

    // Their master, which can tell them nothing any more.
    let gate = start();
    let workers = loads();
    scratch.sh(&format!("kill -9 $(ps -o ppid= -p {})", workers[0]));
    let output = scratch.finish(gate);
    assert_eq!(output.code, 2, "{}", output.stderr);
    assert!(output.last_line().contains("Locust failed: killed by signal 9"), "{}", output.stderr);
    assert_gone(&workers);

    // Ctrl-C.
    let gate = start();
    let workers = loads();
    scratch.sh(&format!("kill -INT {}", gate.id()));
    let output = scratch.finish(gate);
    assert_eq!(output.code, 130, "{}", output.stderr);
    assert_gone(&workers);
}
