//! The whole way with real Locust and the real demo: the files, their precision, red under a slowdown, the warm-up.
//!
//! It runs in this repository, so that Locust's environment under `target/perf` serves it and the next
//! `cargo xtask perf` alike; its baseline is a scratch file.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use judge::run::Precision;
use locust_gate::config::LocustConfig;
use locust_gate::measure::install;
use locust_gate::system::git::blob_hash;
use xshell::Shell;

const BASELINE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/real_baseline.json");

const CONFIG: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/real_perf.toml");

/// Two loads at once would measure each other.
pub static ALONE: Mutex<()> = Mutex::new(());

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The environment of the pinned Locust in this repository, installed where it is not yet.
pub fn installed_locust() -> PathBuf {
    let perf = root().join("target/perf");
    fs::create_dir_all(&perf).unwrap();
    install::prepare(&Shell::new().unwrap(), &LocustConfig::default(), &perf, &|_| ()).unwrap();
    perf.join(format!("locust-{}", &blob_hash(include_bytes!("../../locust/requirements.txt"))[..12]))
}

/// Spares a scratch repository an installation of its own.
pub fn link_locust(into: &Path) {
    let environment = installed_locust();
    fs::create_dir_all(into).unwrap();
    symlink(&environment, into.join(environment.file_name().unwrap())).unwrap();
}

fn perf(args: &[&str], env: &[(&str, &str)]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["perf", "--baseline", BASELINE])
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
    let _alone = ALONE.lock();
    // Other tests run beside this one, so a slowdown of 60 % is to stand clear of the limit of 20 % and their noise.
    let load = ["--run-time", "8s", "--spawn-rate", "5"];
    let _ = fs::remove_file(BASELINE);
    let (code, text) = perf(&[&load[..], &["--update-baseline", "--max-runs", "3"]].concat(), &[]);
    assert_eq!(code, 0, "{text}");

    let saved = fs::read_to_string(BASELINE).unwrap();
    assert!(saved.contains("\"precision\": \"fine\""), "the JSON's percentiles are what is judged: {saved}");

    // What Locust wrote last in its own file is older: the listener's file holds every request.
    let latest = root().join("target/perf/latest/run-1");
    let total = |name: &str| {
        let text = fs::read_to_string(latest.join(name)).unwrap();
        let row = text.lines().find_map(|line| line.strip_prefix(",Aggregated,").map(str::to_owned)).unwrap();
        row.split(',').next().unwrap().parse::<u64>().unwrap()
    };
    assert!(total("perf_results_stats.csv") >= total("locust_stats.csv"));
    let json = fs::read_to_string(latest.join("perf_results.json")).unwrap();
    let run = judge::locust_json::parse(&json).unwrap();
    assert_eq!(run.precision, Precision::Fine, "the listener keeps three significant digits");

    // What else it must find is proved by `cargo xtask selftest`.
    let (code, text) = perf(&load, &[("DEMO_SLOWDOWN_PCT", "60")]);
    assert_eq!(code, 1, "60 % slower: {text}");
    assert!(text.contains("FAIL: p95 is "), "{text}");

    // A warm-up of half the run time leaves about half of the requests.
    let config = fs::read_to_string(root().join("perf.toml")).unwrap().replace("[load]\n", "[load]\nwarmup = \"4s\"\n");
    fs::write(CONFIG, config).unwrap();
    let (code, text) = perf(&[&load[..], &["--config", CONFIG, "--update-baseline", "--max-runs", "1"]].concat(), &[]);
    assert_eq!(code, 0, "{text}");
    let warmed = judge::locust_json::parse(&fs::read_to_string(latest.join("perf_results.json")).unwrap()).unwrap();
    let (part, all) = (warmed.total.requests, run.total.requests);
    assert!(part * 4 < all * 3, "{part} requests with a warm-up of half the run time, {all} without");

    // The workers of several processes round as finely: they bucket the response times, not their master.
    let (code, text) = perf(&[&load[..], &["--processes", "2", "--update-baseline", "--max-runs", "1"]].concat(), &[]);
    assert_eq!(code, 0, "{text}");
    let shared = judge::locust_json::parse(&fs::read_to_string(latest.join("perf_results.json")).unwrap()).unwrap();
    assert_eq!(shared.precision, Precision::Fine, "of two processes: {text}");

    let (code, text) = perf(&["--run-time", "3s", "--spawn-rate", "1", "--users", "10"], &[]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("take all of the 3 s of run time"), "{text}");
}
