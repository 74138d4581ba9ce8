//! The whole way with real Locust and the real demo: the files, their precision, red under a slowdown, the warm-up. And
//! what all tests with real Locust share.
//!
//! These run beside each other, and beside all others: what they plant stands far clear of any limit, and no limit is so
//! narrow that a busy machine could break it. What the gate tells apart on a quiet one is proved by `cargo xtask selftest`.
//!
//! This one runs in this repository, so that Locust's environment under `target/perf` serves it and the next
//! `cargo xtask perf` alike; its baseline and its configuration are scratch files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use judge::model::run::Precision;
use locust_gate::config::perf_toml::LocustConfig;
use locust_gate::run::install;
use locust_gate::sys::git::blob_hash;
use xshell::Shell;

const BASELINE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/real_baseline.json");

const CONFIG: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/real_perf.toml");

/// Where cargo builds: of what it has built for these tests it builds nothing again.
pub const TARGET: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/..");

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The environment of the pinned Locust in this repository, installed where it is not yet.
pub fn installed_locust() -> &'static Path {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let perf = root().join("target/perf");
        fs::create_dir_all(&perf).unwrap();
        install::prepare(&Shell::new().unwrap(), &LocustConfig::default(), &perf, &|_| ()).unwrap();
        let wanted =
            [include_str!("../../locust/requirements.txt"), include_str!("../../locust/constraints.txt")].concat();
        perf.join(format!("locust-{}", &blob_hash(wanted.as_bytes())[..12]))
    })
}

/// Spares a scratch repository an installation of its own.
pub fn link_locust(into: &Path) {
    let environment = installed_locust();
    fs::create_dir_all(into).unwrap();
    symlink(environment, into.join(environment.file_name().unwrap())).unwrap();
}

/// The locustfile of the demo.
pub fn demo_locustfile() -> String {
    fs::read_to_string(root().join("locustfile.py")).unwrap()
}

/// The program of the demo service. `cargo test` builds it for the demo's own tests; where it is missing or old, as after
/// `cargo test --package locust-gate`, it is built now. It sleeps more than it works, so it need not be optimized.
pub fn demo() -> &'static str {
    static BUILT: OnceLock<String> = OnceLock::new();
    BUILT.get_or_init(|| {
        let program = format!("{TARGET}/debug/demo");
        let changed = |path: &Path| fs::metadata(path).and_then(|about| about.modified()).ok();
        let sources = fs::read_dir(root().join("demo/src")).unwrap();
        let newest = sources.filter_map(|source| changed(&source.unwrap().path())).max();
        if changed(Path::new(&program)) < newest {
            let args = ["build", "--quiet", "--package", "demo", "--target-dir", TARGET];
            let output = Command::new("cargo").args(args).current_dir(root()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        program
    })
}

fn perf(args: &[&str], env: &[(&str, &str)]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["perf", "--baseline", BASELINE, "--config", CONFIG])
        .args(args)
        .current_dir(root())
        .env_remove("CI")
        .env_remove("GITHUB_ACTIONS")
        .envs(env.iter().copied())
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), text)
}

#[test]
fn the_demo_is_measured_finely_and_wholly_and_fails_when_slower() {
    let perf_toml = fs::read_to_string(root().join("perf.toml")).unwrap();
    let (_, all_but_the_service) = perf_toml.split_once("[load]\n").unwrap();
    let config = format!(
        "[service]\ncommand = \"exec '{}' --port {{port}}\"\nready_url = \"http://127.0.0.1:{{port}}/health\"\n[load]\n{all_but_the_service}",
        demo()
    );
    fs::write(CONFIG, &config).unwrap();
    let update = ["--run-time", "5s", "--update-baseline", "--max-runs", "1"];
    let _ = fs::remove_file(BASELINE);
    let (code, text) = perf(&update, &[]);
    assert_eq!(code, 0, "{text}");

    let saved = fs::read_to_string(BASELINE).unwrap();
    assert!(saved.contains("\"precision\": \"fine\""), "the JSON's percentiles are what is judged: {saved}");
    let tells_usage = saved.contains("\"cpu_ms_per_request\": [");
    assert_eq!(
        tells_usage,
        cfg!(target_os = "linux"),
        "the listener tells which part of the load is measured: {saved}"
    );

    // What Locust wrote last in its own file is older: the listener's file holds every request.
    let latest = root().join("target/perf/latest/run-1");
    let total = |name: &str| {
        let text = fs::read_to_string(latest.join(name)).unwrap();
        let row = text.lines().find_map(|line| line.strip_prefix(",Aggregated,").map(str::to_owned)).unwrap();
        row.split(',').next().unwrap().parse::<u64>().unwrap()
    };
    assert!(total("perf_results_stats.csv") >= total("locust_stats.csv"));
    let json = fs::read_to_string(latest.join("perf_results.json")).unwrap();
    let run = judge::parse::locust_json::parse(&json).unwrap();
    assert_eq!(run.precision, Precision::Fine, "the listener keeps three significant digits");

    let (code, text) = perf(&["--run-time", "5s", "--max-runs", "2"], &[("DEMO_SLOWDOWN_PCT", "300")]);
    assert_eq!(code, 1, "four times as slow: {text}");
    assert!(text.contains("FAIL") && text.contains(": p95 rose "), "{text}");

    // A warm-up of three fifths of the run time leaves two fifths of the requests. (Of two processes: see `workers`.)
    fs::write(CONFIG, config.replace("[load]\n", "[load]\nwarmup = \"3s\"\n")).unwrap();
    let (code, text) = perf(&update, &[]);
    assert_eq!(code, 0, "{text}");
    let warmed =
        judge::parse::locust_json::parse(&fs::read_to_string(latest.join("perf_results.json")).unwrap()).unwrap();
    let (part, all) = (warmed.total.requests, run.total.requests);
    assert!(part * 4 < all * 3, "{part} requests with a warm-up of three fifths of the run time, {all} without");

    fs::write(CONFIG, config).unwrap();
    let (code, text) = perf(&["--run-time", "3s", "--spawn-rate", "1", "--users", "10"], &[]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("take all of the 3 s of run time"), "{text}");
}
