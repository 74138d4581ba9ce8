//! Other versions of Locust than the pinned one, each really installed: what works with which. It takes ten minutes and
//! several Pythons, so it is run by hand (CONTRIBUTING.md) and prints a table.

use std::env;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::projects::{project, user};
use crate::support::{Output, Scratch};

struct Version {
    /// None is the pin.
    locust: Option<&'static str>,
    /// Those that it is known to run on; the first that is found serves.
    pythons: &'static [&'static str],
    /// What it needs to be older than today's.
    requirements: &'static str,
}

impl Version {
    fn name(&self) -> &'static str {
        self.locust
            .unwrap_or_else(|| include_str!("../../locust/requirements.txt").trim().trim_start_matches("locust=="))
    }

    fn is_from(&self, wanted: [u32; 3]) -> bool {
        let number: Vec<u32> = self.name().split('.').map(|part| part.parse().unwrap()).collect();
        number >= wanted.to_vec()
    }
}

const VERSIONS: [Version; 5] = [
    Version {
        locust: Some("1.6.0"),
        pythons: &["3.8"],
        requirements: "flask<2\nwerkzeug<2.1\njinja2<3.1\nmarkupsafe<2.1\nitsdangerous<2.1\n",
    },
    Version { locust: Some("2.0.0"), pythons: &["3.9", "3.8"], requirements: "" },
    Version { locust: Some("2.15.1"), pythons: &["3.10", "3.9", "3.8"], requirements: "" },
    Version { locust: Some("2.32.10"), pythons: &["3.11", "3.12", "3.10"], requirements: "" },
    Version { locust: None, pythons: &["3.11", "3.12", "3.13"], requirements: "" },
];

/// Wide enough for a busy machine: what is tried here is Locust, not the noise.
const CONFIG: &str = "[load]\nusers = 5\nspawn_rate = 10\nrun_time = \"4s\"\nstop_timeout = \"2s\"\ndeadline_margin = \"10s\"\n\
     [limits]\np50 = \"100% and 30ms\"\np95 = \"100% and 30ms\"\np99 = \"100% and 30ms\"\n";

/// What a version is to do with a feature.
enum Expected {
    /// The exit code, and a part of what is said.
    Says(i32, &'static str),
    /// The exit code, and what must not be said.
    SaysNot(i32, &'static str),
    /// A baseline of these endpoints, and a part of Locust's log.
    Saves(&'static [&'static str], &'static str),
}
use Expected::{Saves, Says, SaysNot};

impl Expected {
    /// What was seen, and whether it is this.
    fn check(&self, output: &Output, scratch: &Scratch) -> (bool, String) {
        let text = format!("{}{}", output.stdout, output.stderr);
        let last = if output.code < 2 { output.stdout.lines().last().unwrap_or_default() } else { output.last_line() };
        let last = last.split(" (its log: ").next().unwrap_or_default();
        let (holds, seen) = match self {
            Says(code, says) => (output.code == *code && text.contains(says), *says),
            SaysNot(code, says) => (output.code == *code && !text.contains(says), ""),
            Saves(endpoints, logs) => {
                let saved = output.code == 0
                    && saved_endpoints(scratch) == *endpoints
                    && scratch.read("target/perf/latest/run-1/locust.log").contains(logs);
                (saved, "")
            }
        };
        let seen = if holds && !seen.is_empty() && !last.contains(seen) {
            format!("{}; {last}", seen.trim_end_matches(": "))
        } else {
            last.to_owned()
        };
        (holds, format!("exit {}: {seen}", output.code))
    }
}

fn saved_endpoints(scratch: &Scratch) -> Vec<String> {
    let baseline: Value = serde_json::from_str(&scratch.read("other.json")).unwrap();
    baseline["endpoints"].as_object().unwrap().keys().cloned().collect()
}

/// The path of such a Python, by its name on PATH, or by uv where there is one.
fn find_python(version: &str) -> Option<String> {
    let name = format!("python{version}");
    let print = "import sys; print(sys.executable)";
    let ask = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
        let path = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (output.status.success() && !path.is_empty()).then_some(path)
    };
    ask(&name, &["-c", print]).or_else(|| ask("uv", &["python", "find", version]))
}

/// Without the limit of time that other tests have: it may install Locust.
fn perf(scratch: &Scratch, args: &str, env: &[(&str, &str)]) -> Output {
    let output = scratch.command(args).envs(env.iter().copied()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Output { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// A repository whose Locust is this version, on this Python, with a package that its locustfile imports.
fn repository(version: &Version, python: &str) -> Scratch {
    let pin = version.locust.map_or_else(String::new, |number| format!("version = \"{number}\"\n"));
    let locust = format!("{CONFIG}[locust]\n{pin}requirements = [\"requirements.txt\"]\n");
    let scratch = project(&format!("matrix-{}", version.name()), &locust);
    scratch.write("requirements.txt", &format!("# of the locustfile\niniconfig\n{}", version.requirements));
    scratch.write("locustfile.py", &format!("import iniconfig\n{}", user("Web", "/web")));
    scratch.write("folder/api.py", &user("Api", "/api"));
    scratch.write("folder/web.py", &user("Web", "/web"));
    let shape = "from locust import LoadTestShape\n\n\
                 class Shape(LoadTestShape):\n    def tick(self):\n        return None if self.get_run_time() > 2 else (2, 10)\n";
    scratch.write("shape.py", &format!("{}{shape}", user("Web", "/shape")));
    // `python3` for venv and pip, or the same one for uv.
    let scratch = scratch.with("UV_PYTHON", python);
    scratch.tool("python3", &format!("#!/bin/sh\nexec '{python}' \"$@\"\n"))
}

/// Runs all features with one version; gives what was seen of each.
fn try_version(version: &Version, python: &str) -> Vec<(&'static str, bool, String)> {
    let scratch = repository(version, python);
    let other = "--update-baseline --max-runs 1 --baseline other.json";
    let included = "ramp-up is included in the results";
    let mut seen = Vec::new();
    let mut run = |feature, args: &str, env: &[(&str, &str)], expected: &Expected| {
        let output = perf(&scratch, args, env);
        let (holds, what) = expected.check(&output, &scratch);
        if !holds {
            eprintln!("{} {feature}:\n{}{}", version.name(), output.stdout, output.stderr);
        }
        eprintln!("{:8} {feature:24} {} {what}", version.name(), if holds { "ok " } else { "RED" });
        seen.push((feature, holds, what));
        holds
    };

    if !run("installed, baseline", "--update-baseline --max-runs 3", &[], &Says(0, "SAVED")) {
        return seen;
    }
    run("the same again", "", &[], &Says(0, "PASS"));
    run("80 ms slower", "", &[("SERVICE_DELAY_MS", "100")], &Says(1, "FAIL: p95 rose "));
    run("20% errors", "", &[("SERVICE_ERROR_PCT", "20")], &Says(1, "FAIL: error_rate rose "));
    let ramp_up = if version.is_from([2, 11, 0]) { SaysNot(0, included) } else { Says(0, included) };
    run("ramp-up left out", "--verbose --max-runs 1", &[], &ramp_up);
    let several = if version.is_from([2, 11, 0]) {
        Saves(&["GET /api", "GET /web"], "")
    } else {
        Says(2, "several locustfiles need Locust 2.11")
    };
    run("several locustfiles", &format!("{other} --locustfile folder/api.py,folder/web.py"), &[], &several);
    run("a folder of them", &format!("{other} --locustfile folder"), &[], &several);
    let processes = if version.is_from([2, 19, 0]) {
        Saves(&["GET /web"], "")
    } else {
        Says(2, "several processes need Locust 2.19")
    };
    run("--processes 2", &format!("{other} --processes 2"), &[], &processes);
    let clashes = version.is_from([2, 2, 0]) && !version.is_from([2, 17, 0]);
    let shape = if clashes {
        Says(2, "Locust 2.2 to 2.16 do not accept a run time with a load shape")
    } else {
        Saves(&["GET /shape"], "Shape test starting")
    };
    run("a load shape", &format!("{other} --locustfile shape.py"), &[], &shape);

    // The same environment, as if it were the user's own.
    let own = scratch.sh("ls -d target/perf/locust-*/bin/python");
    let config = scratch.read("perf.toml");
    let config = config[..config.find("[locust]").unwrap()].to_owned();
    scratch.write("own.toml", &format!("{config}[locust]\ncommand = \"{own} -m locust\"\n"));
    run("[locust] command", "--config own.toml", &[], &Says(0, "PASS"));
    seen.push(precision(&scratch, version.is_from([2, 43, 4])));
    seen
}

/// Of the baseline: three digits where Locust lets its rounding be replaced.
fn precision(scratch: &Scratch, is_fine: bool) -> (&'static str, bool, String) {
    let baseline: Value = serde_json::from_str(&scratch.read("perf_baseline.json")).unwrap();
    let precision = baseline["precision"].as_str().unwrap_or("coarse").to_owned();
    let locust = baseline["locust"].as_str().unwrap_or_default();
    let python = baseline["python"].as_str().unwrap_or("unknown");
    let holds = (precision == "fine") == is_fine;
    ("precision", holds, format!("{precision} (Locust {locust}, Python {python})"))
}

#[test]
#[ignore = "installs five versions of Locust and loads with each: ten minutes, and Pythons from 3.8 on; run it by hand"]
fn the_versions_of_locust() {
    // Such as `1.6.0`, to look at one version again.
    let only = env::var("MATRIX_ONLY").ok();
    let is_wanted = |version: &&Version| only.as_ref().is_none_or(|only| *only == version.name());
    let wanted: Vec<&Version> = VERSIONS.iter().filter(is_wanted).collect();
    let (mut table, mut red, mut tried) = (Vec::new(), 0, 0);
    for version in &wanted {
        let name = version.name();
        let Some(python) = version.pythons.iter().find_map(|python| find_python(python)) else {
            let pythons = version.pythons.join(", ");
            table.push(format!("{name:8}  NOT TRIED: no Python of {pythons} is on PATH, or known to uv"));
            continue;
        };
        tried += 1;
        for (feature, holds, what) in try_version(version, &python) {
            red += usize::from(!holds);
            table.push(format!("{name:8}  {feature:20}  {:3}  {what}", if holds { "ok" } else { "RED" }));
        }
    }
    println!("{}\n{tried} of {} versions tried, {red} red", table.join("\n"), wanted.len());
    assert!(!wanted.is_empty() && (tried, red) == (wanted.len(), 0), "see the table above");
}
