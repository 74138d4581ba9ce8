//! The whole command with a fake Locust and a fake service, each fault played on purpose. After each case no process is
//! left, no half file, and the previous baseline is as it was.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;

use expect_test::expect;

use crate::support::{FAKE_LOCUST, Scratch};

/// The usual repository, by another name than those of `measure`.
fn scratch(name: &str) -> Scratch {
    let scratch = Scratch::new(&format!("faults-{name}"));
    configure(&scratch, &service("ok"));
    scratch.sh("git commit -q -a -m own-service");
    scratch
}

/// `[service]` of a service in this mode.
fn service(mode: &str) -> String {
    let service = env!("CARGO_BIN_EXE_fake-service");
    format!(
        "[service]\ncommand = \"exec '{service}' --port {{port}} --mode {mode}\"\n\
         ready_url = \"http://127.0.0.1:{{port}}/health\"\nready_timeout = \"2m\"\nstop_timeout = \"500ms\"\n"
    )
}

/// `perf.toml` with this `[service]`.
fn configure(scratch: &Scratch, service: &str) {
    let load = "run_time = \"1s\"\nstop_timeout = \"500ms\"\ndeadline_margin = \"2m\"";
    let text = format!("{service}\n[load]\n{load}\n[locust]\ncommand = \"sh '{FAKE_LOCUST}'\"\n");
    scratch.write("perf.toml", &text);
}

// The ways it works

#[test]
fn a_run_is_judged_and_its_results_can_be_judged_again() {
    let repository = scratch("pass");
    let output = repository.perf("");
    assert_eq!(
        (output.code, output.stdout.lines().last()),
        (0, Some("PASS: p95 +0.0% (limit +20%), all metrics within their limits")),
        "{}",
        output.stderr
    );
    assert_eq!(latest_report(&repository), ("pass".to_owned(), 0));
    let again = repository.perf("target/perf/latest --verbose");
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(again.stdout.contains("load: 10 users, spawn rate 10/s, 1 s"), "{}", again.stdout);
    repository.assert_clean();

    let slower = scratch("fail").with("FAKE_P95_MS", "370");
    let output = slower.perf("");
    assert_eq!(
        (output.code, output.stdout.lines().last()),
        (1, Some("FAIL: p95 rose 23%, 300 → 370 ms (limit +20%)")),
        "{}",
        output.stderr
    );
    assert_eq!(latest_report(&slower), ("fail".to_owned(), 1));
    assert_eq!(slower.perf("target/perf/latest").code, 1);
    slower.assert_clean();

    let broken = scratch("broken").with("FAKE_LOCUST", "exit1");
    let output = broken.perf("");
    assert_eq!((output.code, latest_report(&broken)), (2, ("not_judged".to_owned(), 2)), "{}", output.stderr);
}

/// The verdict and the exit code for programs, in the folder of the last runs.
fn latest_report(scratch: &Scratch) -> (String, u64) {
    let report: serde_json::Value = serde_json::from_str(&scratch.read("target/perf/latest/report.json")).unwrap();
    (report["verdict"].as_str().unwrap().to_owned(), report["exit_code"].as_u64().unwrap())
}

#[test]
fn an_update_keeps_commit_load_machine_and_versions() {
    let repository = scratch("update");
    let output = repository.perf("--update-baseline --note why");
    assert_eq!(output.code, 0, "{}", output.stderr);
    let commit = repository.sh("git rev-parse HEAD");
    let saved = repository.read("perf_baseline.json");
    for part in [
        &*format!("\"commit\": \"{commit}\""),
        "\"dirty\": false",
        "\"users\": 10",
        "\"run_time_s\": 1",
        "\"cores\"",
        "\"locust\": \"2.47.0\"",
        "\"python\": \"3.11.7\"",
        "\"notes\": \"why\"",
        "\"GET /claims\"",
    ] {
        assert!(saved.contains(part), "{part}: {saved}");
    }
    let digest = repository.sh("git hash-object locustfile.py");
    assert!(saved.contains(&digest), "{saved}");

    repository.write("service.py", "changed");
    assert_eq!(repository.perf("--update-baseline").code, 0);
    assert!(repository.read("perf_baseline.json").contains("\"dirty\": true"));
}

/// Ten runs, 3% apart: a baseline that knows its noise.
const NOISY: &str = "300 310 290 305 295 300 310 290 305 295";

#[test]
fn runs_are_repeated_until_the_verdict_is_settled() {
    let repository = scratch("repeat").with("FAKE_P95_MS", NOISY);
    let output = repository.perf("--update-baseline");
    assert_eq!(output.code, 0, "{}", output.stderr);
    let baseline = repository.read("perf_baseline.json");
    assert!(baseline.contains("\"p95\": [300.0, 310.0, 290.0, 305.0, 295.0, 300.0, 310.0, 290.0, 305.0, 295.0]"));
    for (name, p95_ms, args, code, runs, says) in [
        ("quiet", "300", "", 0, 1, "run 1/8: conclusive after 1 run (baseline: 10)"),
        ("far", "500", "", 1, 2, "run 2/8: conclusive after 2 runs (baseline: 10)"),
        (
            "hit-once",
            "500 300",
            "",
            0,
            4,
            "p95 of GET /claims exceed their limits in a single run; running again to confirm",
        ),
        (
            "close",
            "355 360 350 356 354 358 352 357",
            "",
            0,
            6,
            "but more runs could take it over the limit; running again",
        ),
        ("close-2", "355 360 350 355", "--max-runs 2", 0, 2, "the limit was checked against the estimate alone"),
        ("asked", "300", "--min-runs 3", 0, 3, "run 1/8: minimum is 3; starting another"),
    ] {
        let repository = scratch(&format!("repeat-{name}")).with("FAKE_P95_MS", p95_ms);
        repository.write("perf_baseline.json", &baseline);
        let output = repository.perf(args);
        assert_eq!(output.code, code, "{name}: {}{}", output.stdout, output.stderr);
        assert_eq!(repository.read("runs-made").trim(), runs.to_string(), "{name}: {}", output.stderr);
        assert!(output.stderr.contains(says), "{name}: {}", output.stderr);
        assert_eq!(repository.sh("ls -d target/perf/latest/run-* | wc -l"), runs.to_string());
        let again = repository.perf("target/perf/latest");
        assert_eq!(again.code, code, "{name}: judged again: {}", again.stderr);
        repository.assert_nothing_is_left();
    }
}

#[test]
fn an_interrupt_keeps_what_is_finished_and_judges_nothing() {
    let repository = scratch("interrupt-second");
    repository.write("slow-second.sh", "[ -d target/perf/latest/run-2 ] && FAKE_LOCUST=waits\nexport FAKE_LOCUST\n");
    let command = "command = \"sh -c '. ./slow-second.sh; exec sh \\\"$0\\\" \\\"$@\\\"' ";
    repository.replace("perf.toml", "command = \"sh ", command);
    let child = repository.command("--min-runs 2").spawn().unwrap();
    repository.wait_for("target/perf/latest/run-2/locust.log");
    repository.sh(&format!("kill -INT {}", child.id()));
    let output = repository.finish(child);
    assert_eq!((output.code, output.stdout.as_str()), (130, ""), "{}", output.stderr);
    assert!(repository.folder.join("target/perf/latest/run-1/perf_results_stats.csv").is_file());
    repository.refuses("target/perf/latest", "ended without a verdict: run it again");
    assert_eq!(repository.perf("target/perf/latest/run-1").code, 0, "the finished run can be judged");
    repository.assert_clean();
}

#[test]
fn the_report_says_how_old_the_baseline_is() {
    let repository = scratch("age");
    assert_eq!(repository.perf("--update-baseline").code, 0);
    repository.sh("git add . && git commit -q -m second && git commit -q --allow-empty -m third");
    let output = repository.perf("");
    assert!(output.stdout.contains(", 2 commits ago (perf_baseline.json)"), "{}", output.stdout);

    let shallow = scratch("shallow");
    repository.sh(&format!(
        "rm -rf '{0}' && git clone -q --depth 1 'file://{1}' '{0}'",
        shallow.folder.display(),
        repository.folder.display()
    ));
    fs::create_dir_all(shallow.folder.join("pids")).unwrap();
    let output = shallow.perf("");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stdout.contains("baseline: commit ") && !output.stdout.contains("ago"), "{}", output.stdout);
}

/// `RESULTS` are some commits old, which is not the age of the baseline.
#[test]
fn the_commits_between_end_at_the_results_own() {
    let repository = scratch("between");
    assert_eq!(repository.perf("--update-baseline").code, 0);
    repository.sh("git add . && git commit -q -m second");
    assert_eq!(repository.perf("").code, 0);
    repository.sh("git commit -q --allow-empty -m third && git commit -q --allow-empty -m fourth");
    let output = repository.perf("target/perf/latest --report report.html");
    assert!(output.stdout.contains(", 1 commit ago (perf_baseline.json)"), "{}", output.stdout);
    let page = repository.read("report.html");
    assert!(page.contains(" (+1 commit)"), "{}", &page[page.find("<body>").unwrap()..][..900]);
}

/// A baseline keeps numbers alone, so what its last run was like over time is known as long as its folder is there.
#[test]
fn the_baselines_last_run_is_drawn_where_it_is_still_there() {
    let repository = scratch("behind");
    assert_eq!(repository.perf("--update-baseline --max-runs 2").code, 0);
    let history = "Timestamp,User Count,Type,Name,Requests/s,Failures/s,50%,95%,99%\n1,10,,Aggregated,60,0,40,180,250\n2,10,,Aggregated,61,0,40,181,250\n";
    repository.write("target/perf/latest/run-2/locust_stats_history.csv", history);
    repository.sh("cp -r target/perf/latest/run-2 theirs");
    for (what, said) in [
        ("true", "Behind them the baseline's last run."),
        ("rm -r target/perf/latest/run-2", "The history of the baseline's runs is not kept here."),
        ("rm -r target/perf", "The history of the baseline's runs is not kept here."),
    ] {
        repository.sh(what);
        assert_eq!(repository.perf("theirs --report report.html").code, 0, "{what}");
        let page = repository.read("report.html");
        assert!(
            page.contains(&said.replace('\'', "&#39;")),
            "{what}: {}",
            &page[page.find("Runs over time").unwrap()..][..300]
        );
    }
}

#[test]
fn a_subfolder_gives_the_same_result_as_the_root() {
    let repository = scratch("subfolder");
    repository.write("deep/down/readme.txt", "");
    let mut command = repository.command("");
    command.current_dir(repository.folder.join("deep/down"));
    let output = repository.finish(command.spawn().unwrap());
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(repository.folder.join("target/perf/latest/run-1/perf_results_stats.csv").is_file());
}

#[test]
fn two_runs_at_once_do_not_meet() {
    let repository = scratch("twice");
    let both = [repository.command("").spawn().unwrap(), repository.command("").spawn().unwrap()];
    for child in both {
        let output = repository.finish(child);
        assert_eq!(output.code, 0, "{}", output.stderr);
    }
    assert_eq!(repository.sh("ls target/perf/runs | wc -l"), "2");
    repository.assert_nothing_is_left();
}

#[test]
fn the_last_ten_folders_are_kept() {
    let repository = scratch("prune");
    for hour in 10..22 {
        repository.write(&format!("target/perf/runs/2026-01-01T{hour}-00-00Z-1/run-1/locust.log"), "");
    }
    assert_eq!(repository.perf("").code, 0);
    let kept = repository.sh("ls target/perf/runs");
    assert_eq!(kept.lines().count(), 10, "{kept}");
    assert_eq!(kept.lines().next(), Some("2026-01-01T13-00-00Z-1"));
    assert_eq!(repository.sh("basename $(readlink target/perf/latest)"), kept.lines().last().unwrap());
}

#[test]
fn outside_git_the_commit_is_unknown_and_a_warning_says_so() {
    let repository = scratch("no-git");
    repository.sh("rm -rf .git");
    let above = repository.folder.parent().unwrap().display().to_string();
    let repository = repository.with("GIT_CEILING_DIRECTORIES", &above);
    let output = repository.perf("--update-baseline");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stderr.contains("warning: git does not know the commit here"), "{}", output.stderr);
    assert!(repository.read("perf_baseline.json").contains("\"commit\": \"unknown\""));
}

#[test]
fn without_a_baseline_ci_saves_one_and_does_not_pass() {
    for (ci, code) in [("true", 2), ("false", 0)] {
        let repository = scratch(&format!("bootstrap-{ci}")).with("CI", ci);
        fs::remove_file(repository.folder.join("perf_baseline.json")).unwrap();
        let output = repository.perf("");
        assert_eq!(output.code, code, "{}", output.stderr);
        assert!(format!("{}{}", output.stdout, output.stderr).contains("commit perf_baseline.json"));
        assert!(repository.read("perf_baseline.json").contains("\"p95\": 300.0"));
    }
}

#[test]
fn a_running_service_is_loaded_at_its_host() {
    let repository = scratch("host");
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let host = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let answering = thread::spawn(move || {
        for stream in listener.incoming().flatten().take(2) {
            use std::io::{Read as _, Write as _};
            let mut stream = stream;
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    let output = repository.perf(&format!("--max-runs 1 --host {host}"));
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(repository.read("pids/arguments").contains(&format!("-H {host} ")));
    assert!(!repository.folder.join("pids/service").exists(), "[service] is not started");
    answering.join().unwrap();
    repository.refuses(&format!("--host {host}"), "does not answer");
    configure(&repository, "");
    repository.refuses("", "no service to load");
}

#[test]
fn locust_gets_what_belongs_to_it_and_nothing_that_changes_the_run() {
    let repository = scratch("environment")
        .with("LOCUST_HEADFUL", "true")
        .with("LOCUST_PROCESSES", "4")
        .with("LOCUST_MODE_WORKER", "true")
        .with("LOCUST_LOGFILE", "elsewhere.log")
        .with("LOCUST_TAGS", "read");
    assert_eq!(repository.perf("--users 10 -- --tags write --my-option 3").code, 0);
    let environment = repository.read("pids/environment");
    for name in ["LOCUST_HEADFUL", "LOCUST_PROCESSES", "LOCUST_MODE_WORKER", "LOCUST_LOGFILE"] {
        assert!(!environment.contains(name), "{name} reached Locust");
    }
    assert!(environment.contains("LOCUST_TAGS=read\n") && environment.contains("PYTHONUTF8=1\n"), "{environment}");
    let arguments = repository.read("pids/arguments");
    for part in
        ["-u 10 -r 10 -t 1s", "--headless", "--exit-code-on-error 0", "--loglevel INFO", "--tags write --my-option 3"]
    {
        assert!(arguments.contains(part), "{part}: {arguments}");
    }
    assert!(arguments.starts_with("-f locustfile.py,target/perf/runs/"), "{arguments}");

    repository.write("locust.conf", "headful = true\n");
    repository.refuses("", "locust.conf sets Locust's `headful`");
}

#[test]
fn warnings_about_the_measurement_reach_the_report() {
    for (name, env, expected) in [
        ("saturated", ("FAKE_LOCUST", "saturated"), "note: the load generator was CPU-bound"),
        (
            "shape",
            ("FAKE_LOCUST", "shape"),
            "note: ramp-up is included in the results: a load shape never finishes starting its users",
        ),
        (
            "no-listener",
            ("FAKE_LOCUST", "no-listener"),
            "note: the last second of the run is missing in the results: [locust] command does not load our listener",
        ),
    ] {
        let repository = scratch(name).with(env.0, env.1);
        let output = repository.perf("--max-runs 1");
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert!(output.stdout.contains(expected), "{}", output.stdout);
        assert!(repository.perf("target/perf/latest").stdout.contains(expected), "also when judged again");
    }
    let old = scratch("old-locust").with("FAKE_LOCUST", "no-listener").with("FAKE_LOCUST_VERSION", "2.10.0");
    let output = old.perf("--max-runs 1");
    assert!(
        output.stdout.contains("Locust before 2.11 cannot load our listener"),
        "{}{}",
        output.stdout,
        output.stderr
    );
    assert!(old.read("pids/arguments").starts_with("-f locustfile.py -H"));
    assert!(!old.read("pids/arguments").contains("--json-file"));
}

#[test]
fn another_load_than_the_baselines_is_refused_before_any_load() {
    let repository = scratch("load");
    assert_eq!(repository.perf("--update-baseline").code, 0);
    let saved = repository.read("perf_baseline.json");
    fs::remove_file(repository.folder.join("pids/locust")).unwrap();
    for (flags, reason) in [
        (
            "--users 20 --spawn-rate 20",
            "users: the baseline has 10, this load 20; spawn rate: the baseline has 10, this load 20; measure with --users 10 --spawn-rate 10, or accept the new load with --update-baseline",
        ),
        ("--spawn-rate 40", "spawn rate: the baseline has 10, this load 40"),
        ("--run-time 2s", "run time: the baseline has 1s, this load 2s"),
    ] {
        let output = repository.perf(flags);
        assert_eq!(output.code, 2);
        assert!(output.stderr.contains(reason), "{}", output.stderr);
        assert_eq!(output.stderr.lines().count(), 1);
    }
    assert!(!repository.folder.join("pids/locust").exists(), "nothing was started");
    assert_eq!(repository.read("perf_baseline.json"), saved);
    assert_eq!(repository.perf("--users 20 --spawn-rate 20 --update-baseline").code, 0);
    assert!(repository.read("perf_baseline.json").contains("\"users\": 20"));
}

// Locust's faults

#[test]
fn a_locust_that_fails_is_no_measurement() {
    for (fault, reason) in [
        ("exit1", "Locust failed: exit code 1"),
        ("dies", "Locust failed: killed by signal 9: something ended it, such as the kernel"),
        ("cut-short", " s of a load of 600 s: something stopped it"),
        ("torn", "perf_results_stats.csv: "),
        ("none", "Locust ended without writing any statistics"),
        ("disagrees", "disagree, so one of them is not this run's"),
        ("no-requests", "Locust made no requests"),
        ("never-began", "the load was over before all users were started and warmed up: raise the run time"),
    ] {
        for args in ["", "--update-baseline"] {
            let repository = scratch(&format!("locust-{fault}{args}")).with("FAKE_LOCUST", fault);
            if fault == "cut-short" {
                repository.replace("perf.toml", "run_time = \"1s\"", "run_time = \"10m\"");
            }
            let output = repository.refuses(args, reason);
            assert!(output.stderr.contains("All users spawned"), "the log's tail is shown: {}", output.stderr);
        }
    }
}

#[test]
fn a_locust_that_hangs_is_no_measurement() {
    let repository = scratch("locust-hangs").with("FAKE_LOCUST", "hangs");
    repository.replace("perf.toml", "deadline_margin = \"2m\"", "deadline_margin = \"2500ms\"");
    let output = repository.refuses("--update-baseline", "Locust did not finish within 4s");
    assert!(output.stderr.contains("All users spawned"), "the log's tail is shown: {}", output.stderr);
}

#[test]
fn a_stale_result_is_never_taken() {
    let repository = scratch("stale").with("FAKE_LOCUST", "none");
    let stale = "Type,Name,Request Count,Failure Count,Average Response Time,Requests/s,50%,95%,99%\n,Aggregated,450,0,100,15,100,300,400\n";
    repository.write("perf_results_stats.csv", stale);
    repository.write("locust_stats.csv", stale);
    repository.write("target/perf/latest-before/perf_results_stats.csv", stale);
    repository.refuses("", "Locust ended without writing any statistics");
}

#[test]
fn failures_alone_are_no_baseline() {
    let repository = scratch("all-failing").with("FAKE_FAILURES", "450");
    repository.refuses("--update-baseline", "all 450 requests failed");
    let repository = repository.with("FAKE_LOCUST", "fails-saying").with("FAKE_FAILURE", "404");
    repository.refuses(
        "--update-baseline",
        "fix the service or the locustfile first; most frequent failure: 7 x GET /a: 404",
    );
    let output = repository.perf("");
    assert_eq!(
        (output.code, output.stdout.lines().last()),
        (1, Some("FAIL: error_rate rose 99.50 pp, 0.50 → 100.00% (limit +2 pp)"))
    );
}

#[test]
fn locusts_workers_do_not_outlive_it() {
    let repository = scratch("workers").with("FAKE_LOCUST", "workers");
    assert_eq!(repository.perf("").code, 0);
    repository.assert_nothing_is_left();
}

#[test]
fn a_missing_locust_is_an_error() {
    let repository = scratch("no-locust");
    let config = repository.read("perf.toml");
    let command = config.lines().find(|line| line.starts_with("command = \"sh ")).unwrap();
    repository.write("perf.toml", &config.replace(command, "command = \"./no-such-locust\""));
    repository.refuses("", "[locust] command `./no-such-locust` does not print its version");
    assert!(!repository.folder.join("pids/service").exists(), "found out before the service is started");
    repository.write("perf.toml", &config.replace(command, "command = \"sh -c 'echo hello; exit 3'\""));
    repository.refuses("", "exit code 3: hello");
    repository.write("perf.toml", &config.replace(command, "command = \"sh -c 'exit 3'\""));
    let output = repository.refuses("", "exit code 3 (its log");
    assert!(!output.stderr.contains("hello"), "it is of the former command: {}", output.stderr);
    configure(&repository, &service("ok"));
    fs::remove_file(repository.folder.join("locustfile.py")).unwrap();
    repository.refuses("", "locustfile locustfile.py not found");
}

#[test]
fn without_python_the_error_has_the_next_step() {
    let repository = scratch("no-python");
    let config = repository.read("perf.toml");
    repository.write("perf.toml", &config[..config.find("[locust]").unwrap()]);
    let bin = repository.folder.join("pids/bin");
    fs::create_dir_all(&bin).unwrap();
    let path = |repository: Scratch| repository.with("PATH", &bin.display().to_string());
    let repository = path(repository);
    repository.refuses("", "neither python3 nor uv is on PATH");

    let python = bin.join("python3");
    fs::write(&python, "#!/bin/sh\necho 3 9\n").unwrap();
    repository.sh("chmod +x pids/bin/python3");
    repository.refuses("", "needs Python 3.11 or later, and python3 is 3.9");

    // A Python whose venv hangs: the installation is interrupted, and nothing counts as installed.
    fs::write(
        &python,
        "#!/bin/sh\n[ \"$1\" = -c ] && { echo 3 12; exit; }\necho $$ > \"$PIDS/python\"\nexec /bin/sleep 1000\n",
    )
    .unwrap();
    interrupt(&repository, "pids/python", "TERM", 143);
    assert_eq!(repository.sh("find target/perf -name complete"), "");
}

// The service's faults

#[test]
fn a_service_that_fails_is_no_measurement() {
    for (mode, reason, says) in [
        ("never-ready", "the service is not ready after 5s", "it answers 503"),
        ("dies-before-ready", "the service exited before it was ready: exit code 3", "no database"),
        ("dies-during-load", "the service exited during the load: exit code 4", "out of memory"),
    ] {
        let repository = scratch(&format!("service-{mode}")).with("FAKE_LOCUST", "waits");
        configure(&repository, &service(mode));
        if mode == "never-ready" {
            repository.replace("perf.toml", "ready_timeout = \"2m\"", "ready_timeout = \"5s\"");
        }
        // A load that would outlast the test's patience: it is said at once.
        repository.replace("perf.toml", "run_time = \"1s\"", "run_time = \"1h\"");
        let output = repository.refuses("", reason);
        assert!(output.stderr.contains(says), "{}", output.stderr);
    }
}

#[test]
fn a_port_in_use_is_an_error_before_the_service_is_started() {
    let repository = scratch("port");
    let holder = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = holder.local_addr().unwrap().port();
    let config = repository.read("perf.toml").replace("{port}", &port.to_string());
    repository.write("perf.toml", &config);
    repository.refuses("", &format!("the port of http://127.0.0.1:{port}/health is already in use by "));
    assert!(!repository.folder.join("pids/service").exists());
    drop(holder);
    assert_eq!(repository.perf("").code, 0, "a fixed port that is free is fine");
}

#[test]
fn a_service_that_does_not_end_is_ended() {
    for (mode, says) in [("ignores-sigterm", "did not stop in time after SIGTERM and was killed"), ("forks-child", "")]
    {
        let repository = scratch(&format!("service-{mode}"));
        configure(&repository, &service(mode));
        let output = repository.perf("");
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert!(output.stderr.contains(says), "{}", output.stderr);
        repository.assert_nothing_is_left();
    }
}

#[test]
fn a_build_that_fails_shows_its_end() {
    let repository = scratch("build");
    let config = repository.read("perf.toml").replacen(
        "[service]\n",
        "[service]\nbuild = \"echo 'no such crate' >&2; exit 101\"\n",
        1,
    );
    repository.write("perf.toml", &config);
    let output = repository.refuses("", "[service] build failed: exit code 101");
    assert!(output.stderr.contains("  | no such crate\n"), "{}", output.stderr);
}

// Signals

/// Sends the signal once `phase` has begun, which a file tells.
#[track_caller]
fn interrupt(repository: &Scratch, phase: &str, signal: &str, code: i32) {
    let _ = fs::remove_file(repository.folder.join(phase));
    let child = repository.command("").spawn().unwrap();
    repository.wait_for(phase);
    repository.sh(&format!("kill -{signal} {}", child.id()));
    let output = repository.finish(child);
    assert_eq!(output.code, code, "{phase}: {}", output.stderr);
    assert!(output.stderr.lines().last().unwrap_or_default().starts_with("INTERRUPTED: "), "{}", output.stderr);
    repository.assert_clean();
}

#[test]
fn a_signal_in_any_phase_leaves_nothing() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let repository = scratch(&format!("signal-build-{signal}"));
        let build = "[service]\nbuild = \"echo $$ > pids/build; exec sleep 1000\"\n";
        repository.write("perf.toml", &repository.read("perf.toml").replacen("[service]\n", build, 1));
        interrupt(&repository, "pids/build", signal, code);

        let repository = scratch(&format!("signal-prepare-{signal}"));
        repository.replace("perf.toml", "[service]\n", &build.replace("build", "prepare"));
        interrupt(&repository, "pids/prepare", signal, code);

        let repository = scratch(&format!("signal-ready-{signal}"));
        configure(&repository, &service("never-ready"));
        interrupt(&repository, "pids/service", signal, code);

        let repository = scratch(&format!("signal-load-{signal}")).with("FAKE_LOCUST", "waits");
        interrupt(&repository, "pids/locust", signal, code);
        repository.refuses("target/perf/latest", "ended without a verdict: run it again");
        let repository = repository.with("FAKE_LOCUST", "");
        assert_eq!(repository.perf("").code, 0);
        let finished = repository.sh("readlink target/perf/latest");
        let repository = repository.with("FAKE_LOCUST", "none");
        assert_eq!(repository.perf("").code, 2);
        repository.refuses(
            "target/perf/latest",
            &format!("or judge the newest with one: {}", repository.path("target/perf").join(&finished).display())
                .replace(&format!("{}/", repository.folder.display()), ""),
        );

        let repository = scratch(&format!("signal-version-{signal}")).with("FAKE_LOCUST", "slow-version");
        interrupt(&repository, "pids/locust", signal, code);
    }
}

/// Nobody can catch SIGKILL; what was started is ended all the same.
#[test]
fn sigkill_to_us_leaves_nothing() {
    let repository = scratch("sigkill").with("FAKE_LOCUST", "waits").with("FAKE_WORKERS", "1");
    configure(&repository, &service("forks-child"));
    let mut child = repository.loading("");
    for name in ["pids/service-child", "pids/locust-worker"] {
        assert!(repository.path(name).exists(), "{name}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    repository.assert_clean();
}

// Files that cannot be written

#[test]
fn what_cannot_be_written_is_said_before_the_load() {
    let repository = scratch("target-is-a-file");
    repository.write("target", "");
    repository.refuses("", "cannot make target/perf");
    let repository = scratch("baseline-unwritable");
    repository.refuses("--update-baseline --baseline nowhere/b.json", "cannot write nowhere/b.json");
    fs::create_dir(repository.folder.join("folder")).unwrap();
    repository.refuses("--update-baseline --baseline folder", "cannot read folder");
    for started in ["pids/service", "pids/locust"] {
        assert!(!repository.folder.join(started).exists(), "{started}");
    }
}

#[test]
fn a_full_disk_leaves_the_former_baseline() {
    let repository = scratch("full-disk");
    let results = "Type,Name,Request Count,Failure Count,Average Response Time,Requests/s,50%,95%,99%\n,Aggregated,450,0,100,15,100,300,400\n";
    repository.write("results.csv", results);
    let mut command = Command::new("sh");
    // A file may not grow: what a full disk does, without filling one.
    command.args([
        "-c",
        "trap '' XFSZ; ulimit -f 0; exec \"$0\" perf results.csv --update-baseline",
        env!("CARGO_BIN_EXE_xtask"),
    ]);
    command.current_dir(&repository.folder).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = repository.finish(command.spawn().unwrap());
    assert_eq!(output.code, 2, "{}", output.stdout);
    expect!["NO VERDICT: cannot write perf_baseline.json: File too large (os error 27)\n"].assert_eq(&output.stderr);
    repository.assert_clean();
}
