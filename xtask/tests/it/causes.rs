//! What changed with a slowdown: the listener's account and counters of the user's own, played by fakes. The ignored tests
//! plant causes in real services under real Locust, and take about half an hour on an idle machine:
//!
//! ```sh
//! cargo test --package locust-gate --test it causes -- --ignored --nocapture --test-threads 1
//! ```

use std::env;

use serde_json::Value;

use crate::real::{demo, demo_locustfile, link_locust, root};
use crate::support::{Output, Scratch};

const LOCUSTFILE: &str = r#"
from locust import HttpUser, between, task


class Clerk(HttpUser):
    wait_time = between(0.05, 0.15)

PLANTED
"#;

/// Five endpoints that are asked alike.
fn locustfile() -> String {
    let task = |name: char| format!("    @task\n    def {name}(self):\n        self.client.get(\"/{name}\")\n\n");
    LOCUSTFILE.replace("PLANTED", &"abcde".chars().map(task).collect::<String>())
}

fn python(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    let service = root().join("xtask/tests/fakes/causes_service.py").display().to_string();
    configure(
        &scratch,
        &format!("exec python3 '{service}' {{port}}"),
        "ready",
        "counters = \"http://127.0.0.1:{port}/metrics\"\n",
    );
    scratch.write("locustfile.py", &locustfile());
    scratch
}

fn demo_service(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    configure(&scratch, &format!("exec '{}' --port {{port}}", demo()), "health", "");
    scratch.write("locustfile.py", &demo_locustfile());
    scratch
}

fn configure(scratch: &Scratch, command: &str, ready: &str, more: &str) {
    scratch.write(
        "perf.toml",
        &format!(
            "[service]\ncommand = \"{command}\"\nready_url = \"http://127.0.0.1:{{port}}/{ready}\"\n{more}\
             [load]\nusers = 10\nspawn_rate = 10\nrun_time = \"8s\"\nstop_timeout = \"5s\"\n\
             [runs]\nbaseline = 5\nmax = 3\n"
        ),
    );
    link_locust(&scratch.path("target/perf"));
}

fn number_of(variable: &str, default: usize) -> usize {
    env::var(variable).map_or(default, |number| number.parse().unwrap())
}

fn perf(scratch: &Scratch, args: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = scratch.command(args);
    scratch.finish(command.envs(variables.iter().copied()).spawn().unwrap())
}

#[track_caller]
fn record(scratch: &Scratch) {
    let output = perf(scratch, "--update-baseline", &[]);
    assert_eq!(output.code, 0, "{}", output.stderr);
}

/// The causes that the report names, the strongest first; `None` if it has no such section.
fn causes(scratch: &Scratch) -> Option<Vec<Value>> {
    let report: Value = serde_json::from_str(&scratch.read("target/perf.json")).unwrap();
    report["what_changed"].as_array().cloned()
}

/// A fake service with these counters.
fn counting(name: &str, counters: &str) -> Scratch {
    Scratch::new(name).toml("ready_timeout", &format!("counters = '{counters}'\nready_timeout"))
}

#[test]
fn counters_in_another_format_are_refused_before_the_load() {
    for (name, counters, reason) in [
        (
            "json",
            "echo \"{}\"",
            "[service] counters: `echo \"{}\"`: line 1 is `{}`: expected `name value`, as in Prometheus",
        ),
        ("empty", "http://127.0.0.1:{port}/metrics", "/metrics: it has no counter: expected lines `name value`"),
        ("many", "seq 400 | sed \"s/.*/a& 1/\"", "more than 300 counters: select some with a command"),
        ("large", "yes a 1 | head -c 2000000", "more than 1048576 bytes: give a page or a command with fewer"),
        ("tls", "https://127.0.0.1/metrics", "use a command, such as `curl -s https://127.0.0.1/metrics`"),
        ("fails", "exit 3", "`exit 3` failed: run it yourself to see why"),
    ] {
        let scratch = counting(&format!("counters-{name}"), counters);
        scratch.refuses("", reason);
        scratch.assert_not_started(&["locust"]);
        scratch.assert_no_process_is_left();
    }
}

#[test]
fn counters_take_no_root_that_a_shell_would_split() {
    let scratch = counting("counters of a folder", "echo \"a 1\" {root}");
    scratch.refuses("", "write \"$PERF_ROOT\" in place of {root}");
}

/// The fake Locust makes 450 requests between two readings.
const STEPS: &str =
    "n=$(($(cat \"$PIDS/count\" || echo 0) + ${STEP:-450})); echo $n > \"$PIDS/count\"; echo db_queries $n";

#[test]
fn counter_that_rose_with_a_latency_is_named() {
    let scratch = counting("counters-rise", STEPS).with("FAKE_LOCUST", "loads");
    let output = scratch.perf("--update-baseline --max-runs 2");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(
        scratch.read("perf_baseline.json").contains("\"db_queries\": [1.0, 1.0]"),
        "{}",
        scratch.read("perf_baseline.json")
    );
    // Without a latency over its limit nothing is asked for its cause.
    let output = perf(&scratch, "--max-runs 1 --report target/perf.json", &[("STEP", "4950")]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(causes(&scratch), None);
    let slower = [("STEP", "4950"), ("FAKE_P95_MS", "700")];
    let output = perf(&scratch, "--max-runs 1 --report target/perf.json", &slower);
    assert_eq!(output.code, 1, "{}", output.stderr);
    let line = "changed: db_queries per request rose from 1.00 to 11.0 (11.0 times, interval 11.0..11.0)";
    assert!(output.stdout.contains(line), "{}", output.stdout);
    assert_eq!(causes(&scratch).unwrap()[0]["counter"], "db_queries");
    scratch.assert_nothing_is_left();
}

/// What slows a service, and what has to be named first for it: its kind, and its endpoint if it has one.
struct Plant {
    name: &'static str,
    variables: &'static [(&'static str, &'static str)],
    kind: &'static str,
    endpoint: Option<&'static str>,
}

impl Plant {
    const fn new(name: &'static str, variables: &'static [(&'static str, &'static str)], kind: &'static str) -> Plant {
        Plant { name, variables, kind, endpoint: None }
    }

    const fn of_endpoint(self, endpoint: &'static str) -> Plant {
        Plant { endpoint: Some(endpoint), ..self }
    }

    fn is_first(&self, causes: &[Value]) -> bool {
        causes.first().is_some_and(|cause| {
            cause["kind"] == self.kind && self.endpoint.is_none_or(|endpoint| cause["endpoint"] == endpoint)
        })
    }
}

const IN_PYTHON: [Plant; 8] = [
    Plant::new("queries", &[("PLANT", "queries")], "counter"),
    Plant::new("body", &[("PLANT", "body")], "answer_bytes"),
    Plant::new("lock", &[("PLANT", "lock")], "waiting"),
    Plant::new("cpu", &[("PLANT", "cpu")], "cpu"),
    Plant::new("sleep", &[("PLANT", "sleep")], "waiting"),
    Plant::new("leak", &[("PLANT", "leak")], "over_time"),
    Plant::new("keep-alive", &[("PLANT", "keep-alive")], "connections"),
    Plant::new("endpoint", &[("PLANT", "endpoint")], "endpoint").of_endpoint("GET /c"),
];

const IN_DEMO: [Plant; 2] = [
    Plant::new("demo-sleep", &[("DEMO_SLOWDOWN_PCT", "40")], "waiting"),
    Plant::new("demo-endpoint", &[("DEMO_SLOW_ENDPOINT", "GET /claims/[id]")], "endpoint")
        .of_endpoint("GET /claims/[id]"),
];

#[test]
#[ignore = "takes about twenty minutes"]
fn planted_cause_comes_first() {
    let only = env::var("CAUSES_ONLY").unwrap_or_default();
    let is_wanted = |plant: &&Plant| only.is_empty() || only.split(',').any(|name| name == plant.name);
    let (tries, mut found, mut made) = (number_of("CAUSES_TRIES", 5), 0, 0);
    let services: [(fn(&str) -> Scratch, &str, &[Plant]); 2] =
        [(python, "causes-planted-python", &IN_PYTHON), (demo_service, "causes-planted-demo", &IN_DEMO)];
    for (service, name, plants) in services {
        let plants: Vec<&Plant> = plants.iter().filter(is_wanted).collect();
        if plants.is_empty() {
            continue;
        }
        let scratch = service(name);
        record(&scratch);
        for plant in plants {
            for number in 1..=tries {
                let output = perf(&scratch, "--report target/perf.json", plant.variables);
                assert!(output.code < 2, "{}: {}", plant.name, output.stderr);
                let causes = causes(&scratch).unwrap_or_default();
                let is_first = plant.is_first(&causes);
                println!("{} {number}: {}", plant.name, if is_first { "found" } else { "MISSED" });
                if causes.is_empty() {
                    println!("{}", output.stdout);
                }
                for cause in &causes {
                    println!("    {:.2} {}", cause["part"].as_f64().unwrap(), cause["text"].as_str().unwrap());
                }
                found += usize::from(is_first);
                made += 1;
            }
        }
    }
    println!("{found} of {made} planted causes came first");
    assert!(found * 40 >= made * 38, "{found} of {made}");
}

#[test]
#[ignore = "takes about a quarter of an hour"]
fn equal_runs_name_no_cause() {
    let mut named = 0;
    let pairs = number_of("CAUSES_PAIRS", 20);
    let (python, demo) = (python("causes-equal-python"), demo_service("causes-equal-demo"));
    for scratch in [&python, &demo] {
        record(scratch);
        // Any rise is a finding, so that it is asked for its causes.
        let limits = "[limits]\np50 = \"max 0.1 ms\"\np95 = \"max 0.1 ms\"\np99 = \"max 0.1 ms\"\n";
        scratch.write("perf.toml", &(scratch.read("perf.toml") + limits));
    }
    let mut asked = 0;
    for pair in 0..pairs {
        let scratch = [&python, &demo][pair % 2];
        let output = perf(scratch, "--max-runs 2 --report target/perf.json", &[]);
        assert_eq!(output.code, 1, "{}", output.stderr);
        let causes = causes(scratch);
        asked += usize::from(causes.is_some());
        let causes = causes.unwrap_or_default();
        println!("pair {}: {} causes", pair + 1, causes.len());
        for cause in &causes {
            println!("    {:.2} {}", cause["part"].as_f64().unwrap(), cause["text"].as_str().unwrap());
        }
        named += usize::from(!causes.is_empty());
    }
    println!("{named} of {pairs} equal pairs named a cause; {asked} were asked for one");
    assert_eq!(named, 0);
}
