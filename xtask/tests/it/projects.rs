//! Locust projects as people have them, with real Locust: locustfiles in folders and packages, Locust's own
//! configuration, tags, user classes, load shapes, percentiles and request types of their own. `matrix` loads with other
//! versions of Locust than the pinned one.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use crate::real::{installed_locust, link_locust};
use crate::support::{Output, Scratch};

const SERVICE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fakes/service.py");

const LOAD: &str = "[load]\nusers = 6\nrun_time = \"2s\"\n";

/// A repository with a real service, and no baseline yet.
pub fn project(name: &str, toml: &str) -> Scratch {
    let scratch = Scratch::new(name);
    fs::remove_file(scratch.path("perf_baseline.json")).unwrap();
    let service = format!(
        "[service]\ncommand = \"exec python3 '{SERVICE}' {{port}}\"\nready_url = \"http://127.0.0.1:{{port}}/ready\"\n"
    );
    scratch.write("perf.toml", &format!("{service}{toml}"));
    scratch
}

/// Like [`project`], loaded by the pinned Locust of this repository.
fn pinned(name: &str, toml: &str, files: &[(&str, &str)]) -> Scratch {
    let scratch = project(&format!("projects-{name}"), toml);
    link_locust(&scratch.path("target/perf"));
    for (file, text) in files {
        scratch.write(file, text);
    }
    scratch
}

/// A user class that asks for a path again and again.
pub fn user(class: &str, path: &str) -> String {
    format!(
        "from locust import HttpUser, constant, task\n\n\
         class {class}(HttpUser):\n    wait_time = constant(0.05)\n    @task\n    def ask(self):\n        self.client.get(\"{path}\")\n"
    )
}

/// Measures once, and gives the baseline that it saves, and the requests of each endpoint.
#[track_caller]
fn measure(scratch: &Scratch, args: &str) -> (Output, Value, BTreeMap<String, f64>) {
    let output = scratch.perf(&format!("--update-baseline --max-runs 1 {args}"));
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let baseline: Value = serde_json::from_str(&scratch.read("perf_baseline.json")).unwrap();
    let endpoints = baseline["endpoints"].as_object().unwrap();
    let requests =
        endpoints.iter().map(|(name, metrics)| (name.clone(), metrics["total_requests"][0].as_f64().unwrap()));
    let requests = requests.collect();
    (output, baseline, requests)
}

/// Exactly these endpoints had requests; the load is recorded.
#[track_caller]
fn loads(scratch: &Scratch, args: &str, endpoints: &[&str], load: &Value) {
    let (output, baseline, requests) = measure(scratch, args);
    assert_eq!(requests.keys().collect::<Vec<_>>(), endpoints, "{args}: {}", output.stderr);
    assert!(requests.values().all(|count| *count >= 3.0), "{args}: {requests:?}");
    assert_eq!(&baseline["load"], load, "{args}");
    assert!(baseline["locustfile"].is_string(), "{args}: the report cannot warn of another locustfile");
}

#[test]
fn a_folder_of_locustfiles_with_packages_beside_it() {
    let base = user("Base", "/package").replace("    wait_time", "    abstract = True\n    wait_time");
    let fast = user("Fast", "/fast").replace("HttpUser", "FastHttpUser");
    let scratch = pinned(
        "folder",
        &format!("{LOAD}locustfile = \"loadtests\"\n"),
        &[
            ("common/__init__.py", ""),
            ("common/users.py", &base),
            ("loadtests/__init__.py", ""),
            ("loadtests/_skipped.py", "raise RuntimeError('Locust leaves this one out')\n"),
            ("loadtests/a.py", "from common.users import Base\n\nclass Web(Base):\n    pass\n"),
            ("loadtests/sub/b.py", &format!("import paths\n{fast}").replace("\"/fast\"", "paths.FAST")),
            ("loadtests/sub/paths.py", "FAST = \"/fast\"\n"),
        ],
    );
    loads(&scratch, "", &["GET /fast", "GET /package"], &json!({"users": 6, "spawn_rate": 10.0, "run_time_s": 2}));

    // Without a file in it, it is no folder of locustfiles.
    fs::create_dir(scratch.path("empty")).unwrap();
    let output = scratch.perf("--update-baseline --locustfile empty");
    assert_eq!(output.code, 2);
    assert!(output.last_line().contains("no locustfile in the folder empty"), "{}", output.stderr);
}

#[test]
fn a_locustfile_that_loads_slowly_takes_nothing_from_the_run_time() {
    let slow = "import time\n\nended_at = time.monotonic() + 3\nwhile time.monotonic() < ended_at:\n    pass\n";
    let scratch = pinned("slow-import", LOAD, &[("locustfile.py", &format!("{slow}{}", user("Web", "/a")))]);
    measure(&scratch, "--run-time 4s");
    let account: Value = serde_json::from_str(&scratch.read("target/perf/latest/run-1/perf_listener.json")).unwrap();
    assert!(account["load_s"].as_f64().unwrap() >= 3.9, "{account}");
}

#[test]
fn locusts_own_configuration_is_the_load() {
    let tagged = |class: &str| {
        let read = user(class, &format!("/{class}/read")).replace("    @task", "    @tag(\"read\")\n    @task");
        let read = read.replace("task\n\n", "tag, task\n\n");
        format!(
            "{read}    @tag(\"write\")\n    @task\n    def write(self):\n        self.client.get(\"/{class}/write\")\n"
        )
    };
    let conf = "# of the team\nlocustfile = load/web.py, load/api.py  ; both\nheadless = true\nusers = 8 # eight\n\
                spawn-rate: 8\nrun-time 2s\nhost = http://127.0.0.1:9\ntags = [read]\nstop-timeout = 5\ncsv = results\n\
                only-summary\nhtml = target/report.html\nloglevel = WARNING\nreset-stats = true\n";
    let (web, api) = (tagged("Web"), tagged("Api"));
    let files = [("load/web.py", web.as_str()), ("load/api.py", &api), ("locust.conf", conf)];
    let scratch = pinned("conf", "", &files);
    let load = json!({"users": 8, "spawn_rate": 8.0, "run_time_s": 2, "locust_args": ["--tags", "read"]});
    loads(&scratch, "", &["GET /Api/read", "GET /Web/read"], &load);
    assert!(scratch.path("target/report.html").exists() && !scratch.path("results_stats.csv").exists());

    // pyproject.toml before locust.conf, and a variable before both.
    scratch.write("pyproject.toml", "[tool.locust]\nusers = 9\nspawn-rate = 50\ntags = [\"write\"]\n");
    let scratch = scratch.with("LOCUST_SPAWN_RATE", "25");
    let load = json!({"users": 9, "spawn_rate": 25.0, "run_time_s": 2, "locust_args": ["--tags", "write"]});
    loads(&scratch, "", &["GET /Api/write", "GET /Web/write"], &load);

    // Behind `--` tags win, and user classes come last.
    let args = ["--exclude-tags", "read", "--tags", "write", "read", "--", "Api"];
    let load = json!({"users": 9, "spawn_rate": 25.0, "run_time_s": 2, "locust_args": args});
    loads(&scratch, &format!("-- {}", args.join(" ")), &["GET /Api/write"], &load);

    for line in ["json = true", "show-task-ratio = true", "list", "master = true"] {
        scratch.write("locust.conf", &format!("{line}\n"));
        let output = scratch.perf("--update-baseline --users 1 --spawn-rate 1 --run-time 2s");
        assert_eq!(output.code, 2, "{line}");
        let key = line.split(' ').next().unwrap();
        assert!(output.last_line().contains(&format!("locust.conf sets Locust's `{key}`")), "{}", output.stderr);
    }
}

#[test]
fn users_of_ones_own_kind() {
    let locustfile = r#"
import locust.stats
from locust import HttpUser, User, constant, events, task

locust.stats.PERCENTILES_TO_REPORT = [0.9, 0.5, 0.999]


@events.init_command_line_parser.add_listener
def add_argument(parser):
    parser.add_argument("--flavour", default="none")


@events.init.add_listener
def keep_flavour(environment, **_kwargs):
    Web.flavour = environment.parsed_options.flavour


@events.quitting.add_listener
def set_exit_code(environment, **_kwargs):
    environment.process_exit_code = 0


class Web(HttpUser):
    wait_time = constant(0.05)

    @task
    def odd_names(self):
        self.client.get("/a", name='a, "b"\r\nü 🎉')
        with self.client.get("/a", name=f"/{self.flavour}", catch_response=True) as response:
            response.failure('not, "what" was\nasked for')


class Other(User):
    wait_time = constant(0.05)

    def fire(self, kind, name, response_time, exception=None):
        self.environment.events.request.fire(
            request_type=kind, name=name, response_time=response_time, response_length=0, exception=exception, context={}
        )

    @task
    def ask(self):
        self.fire("grpc", "/pkg.Service/Get One", 10.4)
        self.fire("grpc", "/pkg.Service/Bad", 12.3, RuntimeError("x, y"))
        self.fire("ws", "Aggregated", None)

    @task
    def raises(self):
        raise ValueError("of the locustfile itself")
"#;
    let environment = installed_locust();
    let command = format!("[locust]\ncommand = \"FLAVOUR=1 '{}/bin/python' -m locust\"\n", environment.display());
    let scratch = pinned("kinds", &format!("{LOAD}{command}"), &[("locustfile.py", locustfile)]);
    let (_, baseline, requests) = measure(&scratch, "--allow-errors -- --flavour mint");
    let names: Vec<&str> = requests.keys().map(String::as_str).collect();
    let expected =
        ["GET /mint", "GET a, \"b\"\r\nü 🎉", "grpc /pkg.Service/Bad", "grpc /pkg.Service/Get One", "ws Aggregated"];
    assert_eq!(names, expected);
    let metric = |endpoint: &str, metric: &str| baseline["endpoints"][endpoint][metric][0].as_f64().unwrap();
    for (endpoint, error_rate) in expected.iter().zip([100.0, 0.0, 100.0, 0.0, 0.0]) {
        assert_eq!(metric(endpoint, "error_rate"), error_rate, "{endpoint}");
    }
    // Percentiles that the locustfile does not report are known, and those without a time are what Locust says.
    assert_eq!(["p50", "p95"].map(|name| metric("grpc /pkg.Service/Bad", name)), [12.3, 12.3]);
    assert_eq!(["p50", "p95"].map(|name| metric("ws Aggregated", name)), [0.0, 0.0]);
    assert_eq!(baseline["precision"], "fine");

    // The same again is judged, and what the locustfile itself raised is told.
    let output = scratch.perf("--max-runs 1 -- --flavour mint");
    assert!(output.code < 2 && output.stdout.contains("the locustfile itself raised"), "{}", output.stderr);

    let own_limit = locustfile.replace("process_exit_code = 0", "process_exit_code = 3");
    for (locustfile, args, reason) in [
        (own_limit.as_str(), "", "the locustfile itself set this code (environment.process_exit_code)"),
        (locustfile, "-- --flavor mint", "error: unrecognized arguments: --flavor"),
        (locustfile, "-- Webb", "Unknown User(s): Webb"),
    ] {
        scratch.write("locustfile.py", locustfile);
        let output = scratch.perf(&format!("--update-baseline {args}"));
        assert_eq!(output.code, 2, "{args}: {}", output.stderr);
        assert!(output.last_line().contains(reason), "{args}: {}", output.stderr);
    }
}

#[test]
fn a_load_shape_ends_when_it_wants_to_but_not_after_the_run_time() {
    let shape = user("Web", "/a")
        + "from locust import LoadTestShape\n\n\
           class Shape(LoadTestShape):\n    def tick(self):\n        return None if self.get_run_time() > 1 else (9, 90)\n";
    let scratch = pinned("shape", LOAD, &[("locustfile.py", &shape)]);
    // It ends long before the run time, as it may.
    let (_, _, requests) = measure(&scratch, "--run-time 1m");
    assert_eq!(requests.keys().collect::<Vec<_>>(), ["GET /a"]);
    let output = scratch.perf("--run-time 1m --max-runs 1");
    let says = "ramp-up is included in the results: a load shape never finishes starting its users";
    assert!(output.code < 2 && output.stdout.contains(says), "{}{}", output.stdout, output.stderr);

    scratch.write("locustfile.py", &shape.replace("> 1 ", "> 600 "));
    scratch.replace("perf.toml", LOAD, &format!("{LOAD}stop_timeout = \"1s\"\ndeadline_margin = \"7s\"\n"));
    let output = scratch.perf("--update-baseline");
    assert_eq!(output.code, 2, "{}", output.stderr);
    let reason = "did not finish within 10s (run time, stop timeout and margin), so it was stopped: its load shape takes longer, let the run time cover it";
    assert!(output.last_line().contains(reason), "{}", output.stderr);
}
