//! `cargo xtask adopt`: what it does to repositories of all kinds, and that the gate works in them, with real services
//! and real Locust.

use std::fs;
use std::ops::Deref;
use std::process::Command;

use crate::real;

/// The alias that is adopted.
const ALIAS: &str = "[alias]\nxtask = \"run --package xtask --bin xtask --\"\n";
use crate::support::Scratch;

struct Repository(Scratch);

impl Deref for Repository {
    type Target = Scratch;

    fn deref(&self) -> &Scratch {
        &self.0
    }
}

impl Repository {
    /// A git repository of these files.
    fn new(name: &str, files: &[(&str, &str)]) -> Repository {
        let repository = Repository(Scratch::empty(&format!("adopt-{name}")));
        for (name, text) in files {
            repository.write(name, text);
        }
        repository.sh("git init -q .");
        repository
    }

    /// The exit code, and all that was said. With the user's own home, where cargo has its toolchain.
    fn run(&self, program: &str, args: &[&str]) -> (i32, String) {
        let mut command = Command::new(program);
        command.args(args).current_dir(&self.folder).env("GIT_CONFIG_GLOBAL", "/dev/null");
        // The dependencies are those that were built for these tests. An older cargo than 1.91 builds them again.
        command.env("CARGO_BUILD_BUILD_DIR", real::TARGET).env("CARGO_PROFILE_DEV_DEBUG", "false");
        // The last one is how the times of tests are had (`--report-time`), and cargo would build all of it again.
        for name in ["CARGO_TARGET_DIR", "CI", "GITHUB_ACTIONS", "GIT_DIR", "GIT_WORK_TREE", "RUSTC_BOOTSTRAP"] {
            command.env_remove(name);
        }
        let output = command.output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap(), text.replace(&self.folder.display().to_string(), "ROOT"))
    }

    fn adopt(&self) -> (i32, String) {
        self.run(env!("CARGO_BIN_EXE_xtask"), &["adopt", "."])
    }

    /// Exit 2, one line, and nothing changed.
    #[track_caller]
    fn refuses(&self, reason: &str) {
        let before = self.sh("find . | sort");
        let (code, text) = self.adopt();
        assert_eq!((code, text.lines().count()), (2, 1), "{text}");
        assert!(text.contains(reason), "{text}");
        assert_eq!(self.sh("find . | sort"), before);
    }
}

/// The files that adopt adds, apart from those that are copied as a folder.
fn all_files() -> expect_test::Expect {
    expect_test::expect![[r#"
        .cargo/config.toml
        .github/workflows/perf.yml
        .gitignore
        Cargo.lock
        Cargo.toml
        locustfile.py
        perf.toml
        xtask/Cargo.toml
        xtask/LICENSE-APACHE
        xtask/LICENSE-MIT
        xtask/README.md
        xtask/rustfmt.toml
        xtask/vendor/crates/judge/Cargo.toml
        xtask/vendor/crates/judge/src/baseline.rs
        xtask/vendor/crates/judge/src/comparability.rs
        xtask/vendor/crates/judge/src/compare.rs
        xtask/vendor/crates/judge/src/counts.rs
        xtask/vendor/crates/judge/src/decision.rs
        xtask/vendor/crates/judge/src/histogram.rs
        xtask/vendor/crates/judge/src/lib.rs
        xtask/vendor/crates/judge/src/limits.rs
        xtask/vendor/crates/judge/src/locust_csv.rs
        xtask/vendor/crates/judge/src/locust_history.rs
        xtask/vendor/crates/judge/src/locust_json.rs
        xtask/vendor/crates/judge/src/mask.rs
        xtask/vendor/crates/judge/src/noise.rs
        xtask/vendor/crates/judge/src/run.rs
        xtask/vendor/crates/judge/src/stats.rs
        xtask/vendor/crates/judge/src/stopping.rs
        xtask/vendor/crates/judge/src/strict_json.rs
        xtask/vendor/crates/judge/src/text.rs
        xtask/vendor/crates/report/Cargo.toml
        xtask/vendor/crates/report/src/anchors.rs
        xtask/vendor/crates/report/src/background.rs
        xtask/vendor/crates/report/src/bars.rs
        xtask/vendor/crates/report/src/charts.rs
        xtask/vendor/crates/report/src/confirmation.rs
        xtask/vendor/crates/report/src/content.rs
        xtask/vendor/crates/report/src/format.rs
        xtask/vendor/crates/report/src/github.rs
        xtask/vendor/crates/report/src/headline.rs
        xtask/vendor/crates/report/src/html.rs
        xtask/vendor/crates/report/src/json.rs
        xtask/vendor/crates/report/src/junit.rs
        xtask/vendor/crates/report/src/lib.rs
        xtask/vendor/crates/report/src/markdown.rs
        xtask/vendor/crates/report/src/next.rs
        xtask/vendor/crates/report/src/page.css
        xtask/vendor/crates/report/src/page.js
        xtask/vendor/crates/report/src/saved.rs
        xtask/vendor/crates/report/src/svg.rs
        xtask/vendor/crates/report/src/terminal.rs
        xtask/vendor/crates/report/src/usage.rs
        xtask/vendor/crates/report/src/words.rs
        xtask/vendor/xtask/Cargo.toml
        xtask/vendor/xtask/locust/perf_listener.py
        xtask/vendor/xtask/locust/requirements.txt
        xtask/vendor/xtask/src/config.rs
        xtask/vendor/xtask/src/flags.rs
        xtask/vendor/xtask/src/lib.rs
        xtask/vendor/xtask/src/measure/bench.rs
        xtask/vendor/xtask/src/measure/http.rs
        xtask/vendor/xtask/src/measure/install.rs
        xtask/vendor/xtask/src/measure/listener.rs
        xtask/vendor/xtask/src/measure/locust.rs
        xtask/vendor/xtask/src/measure/mod.rs
        xtask/vendor/xtask/src/measure/progress.rs
        xtask/vendor/xtask/src/measure/service.rs
        xtask/vendor/xtask/src/measure/target.rs
        xtask/vendor/xtask/src/measure/usage.rs
        xtask/vendor/xtask/src/measure/workers.rs
        xtask/vendor/xtask/src/project.rs
        xtask/vendor/xtask/src/results.rs
        xtask/vendor/xtask/src/story/against.rs
        xtask/vendor/xtask/src/story/confirm.rs
        xtask/vendor/xtask/src/story/delivery.rs
        xtask/vendor/xtask/src/story/judging.rs
        xtask/vendor/xtask/src/story/mod.rs
        xtask/vendor/xtask/src/story/perf.rs
        xtask/vendor/xtask/src/system/ci.rs
        xtask/vendor/xtask/src/system/files.rs
        xtask/vendor/xtask/src/system/git.rs
        xtask/vendor/xtask/src/system/lock.rs
        xtask/vendor/xtask/src/system/log.rs
        xtask/vendor/xtask/src/system/machine.rs
        xtask/vendor/xtask/src/system/mod.rs
        xtask/vendor/xtask/src/system/orphans.rs
        xtask/vendor/xtask/src/system/process.rs
        xtask/vendor/xtask/src/system/program.rs
        xtask/vendor/xtask/src/system/screen.rs
        xtask/vendor/xtask/src/system/session.rs
        xtask/vendor/xtask/src/system/worktree.rs
    "#]]
}

#[test]
fn an_empty_repository_gets_all_of_it() {
    let repository = Repository::new("empty", &[]);
    let (code, text) = repository.adopt();
    assert_eq!(code, 0, "{text}");
    let files = repository.sh("git ls-files --others --exclude-standard | grep -v '^xtask/src/\\|^xtask/adopt/'");
    all_files().assert_eq(&format!("{files}\n"));
    for line in ["/target/", "__pycache__/", "perf_report.html"] {
        assert!(repository.read(".gitignore").lines().any(|found| found == line), "{line}");
    }
    assert!(text.contains("2. edit perf.toml (how to start the service)"), "{text}");
    // Where that was not done it is said before anything is built or installed.
    let (code, text) = repository.run(env!("CARGO_BIN_EXE_xtask"), &["perf"]);
    assert!(code == 2 && text.contains("`command` is still the example: replace it"), "{text}");
    assert!(!repository.path("target/perf/runs").exists());

    // Once more, nothing is left to be done, and what the owner wrote stays.
    repository.write("perf.toml", "# ours\n");
    let before = repository.sh("find . -type f -exec cksum {} + | sort");
    let (code, text) = repository.adopt();
    assert_eq!(code, 0, "{text}");
    assert_eq!(text.matches("kept as it is").count(), 7, "{text}");
    assert!(text.ends_with("\nThe gate is in ROOT already.\n"), "{text}");
    assert_eq!(repository.sh("find . -type f -exec cksum {} + | sort"), before);
}

#[test]
fn what_is_there_is_kept_and_its_owner_told_what_to_add() {
    let own = [
        ("Cargo.toml", "[package]\nname = \"app\"\n"),
        (".cargo/config.toml", "[build]\njobs = 2\n"),
        ("locustfile.py", "# ours\n"),
        (".gitignore", "*.json\ntarget"),
    ];
    let repository = Repository::new("own", &own);
    let (code, text) = repository.adopt();
    assert_eq!(code, 0, "{text}");
    for (name, text) in &own[..3] {
        assert_eq!(repository.read(name), *text);
    }
    assert_eq!(repository.read(".gitignore"), "*.json\ntarget\n__pycache__/\nperf_report.html\n");
    assert!(!repository.path("Cargo.lock").exists(), "the lock file of their workspace is theirs");
    expect_test::expect![[r#"
        The gate is in ROOT. What comes next:
          1. add these two lines to Cargo.toml:
               [workspace]
               members = ["xtask"]
          2. add these two lines to .cargo/config.toml:
               [alias]
               xtask = "run --package xtask --bin xtask --"
          3. say in .github/workflows/perf.yml what the service needs on the runner to be built and started
          4. git ignores files that must be committed; fix .gitignore: perf_baseline.json
          5. edit perf.toml (how to start the service) and the locustfile (what users do)
          6. measure the baseline: cargo xtask perf --update-baseline
          7. commit all of it; from then on the gate is `cargo xtask perf`, here and in CI
    "#]]
    .assert_eq(&text[text.find("The gate").unwrap()..]);

    // A workspace that has the member by a pattern needs nothing; a locustfile may have another name.
    let own = [
        ("Cargo.toml", "[workspace]\nmembers = [\"app\", \"x*\"]\n"),
        ("locust.conf", "locustfile = load.py\n"),
        (".cargo/config.toml", "[alias]\nb = \"build\"\n"),
    ];
    let repository = Repository::new("own-workspace", &own);
    let (code, text) = repository.adopt();
    assert_eq!(code, 0, "{text}");
    let line = ALIAS.lines().nth(1).unwrap();
    assert!(text.contains(&format!("add this line to [alias] in .cargo/config.toml:\n       {line}\n")), "{text}");
    assert!(!text.contains("two lines"), "{text}");
    assert!(!repository.path("locustfile.py").exists() && text.contains("configuration names load.py"), "{text}");
}

#[test]
fn where_it_cannot_do_all_it_does_nothing() {
    let repository = Repository::new("no-git", &[("a.txt", "a")]);
    fs::remove_dir_all(repository.path(".git")).unwrap();
    // The repository around the scratch folders is none of its business.
    let (code, text) = repository.adopt();
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("no git repository") || text.contains("is a folder inside the repository"), "{text}");
    assert_eq!(repository.sh("ls -A"), "a.txt");
    let (code, text) = repository.run(env!("CARGO_BIN_EXE_xtask"), &["adopt", "nowhere"]);
    assert!(code == 2 && text.contains("cannot install the gate in nowhere"), "{text}");

    Repository::new("other-xtask", &[("xtask/src/main.rs", "fn main() {}")]).refuses("another xtask than the gate");
    Repository::new("broken-manifest", &[("Cargo.toml", "[workspace\n")]).refuses("ROOT/Cargo.toml: ");
    let theirs = "[alias]\nxtask = \"run --package tools --\"\n";
    let (code, text) = repository.run(env!("CARGO_BIN_EXE_xtask"), &["adopt", &real::root().display().to_string()]);
    assert!(code == 2 && text.contains("is where this gate is already"), "{text}");
    Repository::new("other-alias", &[(".cargo/config.toml", theirs)]).refuses("the alias `xtask` runs another program");
    Repository::new("broken-alias", &[(".cargo/config.toml", "[alias\n")]).refuses("ROOT/.cargo/config.toml: ");
    // Fails when most of it is written: a file where the workflow's folder should be.
    let repository = Repository::new("midway", &[(".github", "a file"), (".gitignore", "a\n")]);
    repository.refuses("cannot ");
    assert_eq!(repository.read(".gitignore"), "a\n");
}

/// How a repository's service is started, and where it says how long it takes, in ms.
struct Case {
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
    service: &'static str,
    delay_in: &'static str,
}

const PYTHON: Case = Case {
    name: "python",
    files: &[(
        "service.py",
        r#"
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DELAY_MS = 100


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        time.sleep(DELAY_MS / 1000)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"#,
    )],
    service: "command = \"exec python3 service.py {port}\"",
    delay_in: "service.py",
};

const NODE: Case = Case {
    name: "node",
    files: &[
        ("package.json", r#"{"name": "service", "private": true, "scripts": {"start": "node server.js"}}"#),
        (".gitignore", "node_modules/\n"),
        (
            "server.js",
            r#"
const DELAY_MS = 100;
require("http")
  .createServer((request, response) => setTimeout(() => response.end("ok"), DELAY_MS))
  .listen(Number(process.env.PORT), "127.0.0.1");
"#,
        ),
    ],
    service: "command = \"exec node server.js\"\nenv = { PORT = \"{port}\" }",
    delay_in: "server.js",
};

const RUST: Case = Case {
    name: "rust",
    files: &[
        ("Cargo.toml", "[workspace]\nmembers = [\"app\"]\nresolver = \"2\"\n"),
        ("Cargo.lock", include_str!("../../../Cargo.lock")),
        ("app/Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
        (
            "app/src/main.rs",
            r#"use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::Duration;

const DELAY_MS: u64 = 100;

fn main() {
    let port: u16 = std::env::args().nth(1).unwrap().parse().unwrap();
    for stream in TcpListener::bind(("127.0.0.1", port)).unwrap().incoming() {
        let mut stream = stream.unwrap();
        std::thread::spawn(move || {
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            for _end_of_head in lines.map_while(Result::ok).filter(|line| line.is_empty()) {
                std::thread::sleep(Duration::from_millis(DELAY_MS));
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
            }
        });
    }
}
"#,
        ),
    ],
    service: "build = \"cargo build --quiet --package app\"\ncommand = \"exec target/debug/app {port}\"",
    delay_in: "app/src/main.rs",
};

/// Adopts as its output says, then: a baseline, a commit, green, a planted slowdown, red.
#[track_caller]
fn check(case: &Case) {
    let repository = Repository::new(case.name, case.files);
    repository.sh("git add . && git commit -q -m service");
    let (code, text) = repository.adopt();
    assert_eq!(code, 0, "{text}");
    // What it asks for is done to the letter.
    if let Some(lines) = text.split("make these two lines of Cargo.toml so:\n").nth(1) {
        let mut lines = lines.lines().map(str::trim);
        assert_eq!(lines.next(), Some("[workspace]"));
        repository.replace("Cargo.toml", "members = [\"app\"]", lines.next().unwrap());
    }
    repository.replace("perf.toml", "command = \"exec ./my-service --port {port}\"", case.service);
    repository.replace("perf.toml", "/health\"", "/\"");
    repository.replace("perf.toml", "# users = 10", "users = 20");
    repository.replace("perf.toml", "# spawn_rate = 10.0", "spawn_rate = 20");
    repository.replace("perf.toml", "# run_time = \"30s\"", "run_time = \"4s\"");
    // In the middle between what is the same and what is slower: a busy machine may add most of a second to either.
    repository.replace("perf.toml", "# p95 = \"20%\"", "p95 = \"100% and 800ms\"");
    // As old as the program that holds them: cargo builds them once for all repositories.
    let program = env!("CARGO_BIN_EXE_xtask");
    repository.sh(&format!("find xtask -type f -exec touch -r '{program}' {{}} +"));
    // The same Locust as everywhere here, instead of one more installation.
    real::link_locust(&repository.path("target/perf"));

    let (code, text) = repository.run("cargo", &["xtask", "perf", "--update-baseline", "--max-runs", "1"]);
    assert_eq!(code, 0, "{text}");
    repository.sh("git add . && git commit -q -m gate");
    assert_eq!(repository.sh("git status --porcelain"), "");
    let (code, text) = repository.run("cargo", &["xtask", "perf", "--max-runs", "1"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("PASS: ") && text.contains("1 commit ago"), "{text}");
    repository.replace(case.delay_in, "= 100", "= 1700");
    let (code, text) = repository.run("cargo", &["xtask", "perf", "--max-runs", "1"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("FAIL: p95 is "), "{text}");
}

#[test]
fn a_python_service_is_gated() {
    check(&PYTHON);
}

#[test]
fn a_node_service_is_gated() {
    if Command::new("node").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "there is no Node to try the gate on a Node service: install it");
        eprintln!("there is no Node, so the gate was not tried on a Node service");
        return;
    }
    check(&NODE);
}

#[test]
fn a_service_in_a_cargo_workspace_is_gated() {
    check(&RUST);
}
