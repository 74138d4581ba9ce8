//! The whole command under faults that meet: one beside another, at the worst moment, or in what it starts only once.
//! `faults` plays each fault alone.

use std::fs::{self, File};
use std::io::pipe;
use std::net::TcpListener;
use std::path::Path;

use crate::support::{BASELINE, FAKE_PYTHON, Output, RESULTS, Scratch};

/// A repository whose Locust is the managed one, installed by a fake Python.
fn managed(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    let config = scratch.read("perf.toml");
    scratch.write("perf.toml", &config[..config.find("[locust]").unwrap()]);
    scratch.tool("uv", "#!/bin/sh\nexit 1\n").tool("python3", &fs::read_to_string(FAKE_PYTHON).unwrap())
}

fn calls(scratch: &Scratch, call: &str) -> usize {
    scratch.read("pids/python-calls").lines().filter(|line| line.starts_with(call)).count()
}

// A measurement that failed

#[test]
fn a_run_that_was_refused_is_refused_again_when_judged_from_its_folder() {
    let mut judged = Vec::new();
    for fault in
        ["exit1", "hangs", "kills-service", "freezes-service", "torn", "disagrees", "torn-json", "empty", "none"]
    {
        let scratch = Scratch::new(&format!("again-{fault}")).with("FAKE_LOCUST", fault);
        let margin = if fault == "hangs" { "500ms" } else { "2m" };
        let scratch = scratch.toml("deadline_margin = \"2m\"", &format!("deadline_margin = \"{margin}\""));
        scratch.refuses("", "");
        if scratch.perf("target/perf/latest").code != 2 {
            judged.push(fault);
        }
    }
    assert_eq!(judged, [""; 0], "what these left was judged");
}

#[test]
fn files_of_an_older_run_are_not_taken_for_this_one() {
    let scratch = Scratch::new("stale");
    assert_eq!(scratch.perf("").code, 0);
    scratch.sh("cp target/perf/latest/run-1/* .");
    for fault in ["none", "dies", "empty"] {
        scratch.sh("cp target/perf/latest/run-1/perf_results_stats.csv . || true");
        let mut command = scratch.command("--update-baseline");
        let output = scratch.finish(command.env("FAKE_LOCUST", fault).spawn().unwrap());
        assert_eq!(output.code, 2, "{fault}: {}{}", output.stdout, output.stderr);
        scratch.assert_clean();
    }
}

#[test]
fn results_are_read_whole_or_not_at_all() {
    for (fault, reason) in [
        ("empty", "perf_results_stats.csv: "),
        ("torn", "perf_results_stats.csv: "),
        ("torn-json", "perf_results.json: "),
    ] {
        Scratch::new(&format!("read-{fault}")).with("FAKE_LOCUST", fault).refuses("--update-baseline", reason);
    }
}

#[test]
fn a_locust_without_a_version_is_an_error_before_anything_starts() {
    let scratch = Scratch::new("version").with("FAKE_LOCUST_VERSION", "banana");
    scratch.refuses("", "is not a version of Locust");
    scratch.assert_not_started(&["locust", "service"]);
}

#[test]
fn exceptions_of_the_locustfile_reach_the_report() {
    let output = Scratch::new("raises").with("FAKE_LOCUST", "raises").perf("");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stdout.contains("the locustfile itself raised 7 exceptions"), "{}", output.stdout);
}

// The service

#[test]
fn a_service_that_dies_ends_the_load_at_once() {
    let scratch = Scratch::new("at-once").with("FAKE_LOCUST", "waits").service("dies-during-load");
    let scratch = scratch.toml("run_time = \"1s\"", "run_time = \"1h\"");
    // The load would last an hour, and the command is given up after much less.
    scratch.refuses("", "the service exited during the load: exit code 4");
}

#[test]
fn a_service_that_dies_with_the_last_request_is_no_measurement() {
    let scratch = Scratch::new("last-request").with("FAKE_LOCUST", "kills-service");
    scratch.refuses("", "the service exited during the load: killed by signal 9");
    scratch.refuses("--update-baseline", "the service exited during the load: killed by signal 9");
}

#[test]
fn a_service_that_hangs_is_no_measurement() {
    let scratch = Scratch::new("hangs").with("FAKE_LOCUST", "freezes-service");
    let output = scratch.refuses("--update-baseline", "the service does not answer after the load: http://127.0.0.1:");
    assert!(output.last_line().contains("/health: "), "{}", output.stderr);
}

#[test]
fn readiness_is_a_2xx_answer_in_time() {
    for (mode, says) in [
        (
            "redirects",
            "it answers 302, a redirect, which is not followed; if it means ready, set ready_status = 302 in [service]",
        ),
        ("never-answers", "timeout: no answer within 2 s"),
        ("drips", "timeout: no answer within 2 s"),
        ("never-ends", "it answers something other than HTTP"),
    ] {
        let scratch = Scratch::new(&format!("ready-{mode}")).service(mode).toml("\"2m\"", "\"5s\"");
        let output = scratch.refuses("", "the service is not ready after 5s");
        assert!(output.last_line().contains(says), "{}", output.stderr);
        scratch.assert_not_started(&["locust"]);
    }
}

#[test]
fn locust_without_single_response_times_is_named_because_stalls_are_not_seen() {
    let scratch = Scratch::new("no-json").with("FAKE_LOCUST_VERSION", "2.32.10");
    let output = scratch.perf("--max-runs 1");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let note = "stalls of the service are not seen, because p95_corrected needs single response times";
    assert!(output.stdout.split_whitespace().collect::<Vec<_>>().join(" ").contains(note), "{}", output.stdout);
    assert!(!Scratch::new("json").perf("--max-runs 1").stdout.contains("stalls of the service"));
}

#[test]
fn progress_prints_the_load_once() {
    let scratch = Scratch::new("progress");
    let output = scratch.perf("--update-baseline --max-runs 2");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(output.stderr.matches("load-testing http://").count(), 2, "{}", output.stderr);
    assert_eq!(output.stderr.matches(" (10 users, spawn rate 10/s, 1 s)\n").count(), 1, "{}", output.stderr);
}

#[test]
fn a_service_on_an_ipv6_address_is_measured() {
    if TcpListener::bind(("::1", 0)).is_err() {
        return;
    }
    let scratch = Scratch::new("ipv6").service("ipv6").toml("http://127.0.0.1:", "http://[::1]:");
    assert_eq!(scratch.perf("").code, 0);
    assert!(scratch.read("pids/arguments").contains("-H http://[::1]:"));
    scratch.assert_clean();
}

#[test]
fn a_timeout_is_shown_as_it_was_given() {
    let scratch = Scratch::new("half-second").service("never-ready").toml("\"2m\"", "\"500ms\"");
    let output = scratch.refuses("", "the service is not ready after ");
    assert!(!output.last_line().contains("after 0 s"), "{}", output.stderr);
}

#[test]
fn a_command_that_leaves_its_service_in_the_background_is_refused_and_leaves_none() {
    let scratch = Scratch::new("background").with("FAKE_LOCUST", "waits");
    scratch
        .toml("command = \"exec ", "command = \"")
        .toml("--mode ok\"", "--mode ok &\"")
        .refuses("", "the service exited ");
}

#[test]
fn a_service_gets_sigterm_before_sigkill() {
    for (fault, code) in [("ok", 0), ("exit1", 2), ("none", 2)] {
        let scratch = Scratch::new(&format!("asked-{fault}"))
            .with("FAKE_LOCUST", fault)
            .service("notes-sigterm")
            .toml("stop_timeout = \"500ms\"", "stop_timeout = \"2m\"");
        assert_eq!(scratch.perf("").code, code);
        assert!(scratch.path("pids/sigterm").exists(), "{fault}: killed without a word");
        scratch.assert_clean();
    }
}

#[test]
fn a_service_that_ends_after_sigterm_is_not_reported_as_killed() {
    // A child that has ended stays a zombie until init asks, and in a container nobody may ever ask.
    let scratch =
        Scratch::new("asked-child").service("forks-child").toml("stop_timeout = \"500ms\"", "stop_timeout = \"2m\"");
    let output = scratch.perf("");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(!output.stderr.contains("killed"), "{}", output.stderr);
}

// What the children start in turn

#[test]
fn grandchildren_are_gone_however_it_ends() {
    for (name, locust, service, code) in [
        ("pass", "ok", "forks-child", 0),
        ("locust-fails", "exit1", "forks-child", 2),
        ("locust-dies", "dies", "forks-child", 2),
        ("locust-hangs", "hangs", "forks-child,ignores-sigterm", 2),
        ("service-dies-before", "waits", "forks-child,dies-before-ready", 2),
        ("service-dies", "waits", "forks-child,dies-during-load", 2),
        ("service-is-killed", "kills-service", "forks-child", 2),
    ] {
        let scratch = Scratch::new(&format!("grandchildren-{name}"))
            .with("FAKE_LOCUST", locust)
            .with("FAKE_WORKERS", "1")
            .service(service);
        if locust == "hangs" {
            scratch.replace("perf.toml", "deadline_margin = \"2m\"", "deadline_margin = \"1s\"");
        }
        let output = scratch.perf("");
        assert_eq!(output.code, code, "{name}: {}{}", output.stdout, output.stderr);
        assert!(scratch.path("pids/service-child").exists(), "{name}");
        scratch.assert_clean();
    }
}

#[test]
fn background_processes_of_a_build_are_ended() {
    let scratch =
        Scratch::new("build").toml("[service]", "[service]\nbuild = \"sleep 1000 & echo $! > pids/build-child\"");
    let output = scratch.perf("");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(scratch.path("pids/build-child").exists());
    scratch.assert_clean();
}

// Signals

/// Starts the command, sends the signal once `phase` has begun, which a file tells, and checks what is left.
#[track_caller]
fn interrupt(scratch: &Scratch, args: &str, phase: &str, signal: &str, code: i32) {
    let child = scratch.command(args).spawn().unwrap();
    scratch.wait_for(phase);
    scratch.sh(&format!("kill -{signal} {}", child.id()));
    assert_interrupted(scratch, &scratch.finish(child), code);
}

#[track_caller]
fn assert_interrupted(scratch: &Scratch, output: &Output, code: i32) {
    assert_eq!(output.code, code, "{}{}", output.stdout, output.stderr);
    assert!(output.last_line().starts_with("INTERRUPTED: "), "{}", output.stderr);
    scratch.assert_clean();
}

#[test]
fn a_signal_during_the_load_ends_workers_and_grandchildren() {
    for (signal, code) in [("HUP", 129), ("INT", 130), ("TERM", 143)] {
        let scratch = Scratch::new(&format!("signal-{signal}"))
            .with("FAKE_LOCUST", "hangs")
            .with("FAKE_WORKERS", "1")
            .service("forks-child,ignores-sigterm");
        interrupt(&scratch, "--update-baseline", "pids/locust-worker", signal, code);
    }
}

#[test]
fn a_signal_during_the_build_ends_its_grandchildren() {
    let build = "[service]\nbuild = \"sleep 1000 & echo $! > pids/build-child; wait\"";
    let scratch = Scratch::new("signal-build").toml("[service]", build);
    interrupt(&scratch, "", "pids/build-child", "TERM", 143);
    scratch.assert_not_started(&["locust", "service"]);
}

#[test]
fn a_second_signal_does_not_cut_the_cleaning_short() {
    let scratch = Scratch::new("twice").with("FAKE_LOCUST", "hangs").with("FAKE_WORKERS", "1").service("forks-child");
    let child = scratch.command("").spawn().unwrap();
    scratch.wait_for("pids/locust-worker");
    let id = child.id();
    scratch.sh(&format!("kill -INT {id}; kill -INT {id} || true; kill -INT {id} || true"));
    assert_interrupted(&scratch, &scratch.finish(child), 130);
}

#[test]
fn a_signal_while_the_service_is_stopped_is_obeyed() {
    for (args, signal, code) in [("", "INT", 130), ("--update-baseline", "TERM", 143)] {
        let scratch = Scratch::new(&format!("signal-stop-{signal}"))
            .service("ignores-sigterm")
            .toml("stop_timeout = \"500ms\"", "stop_timeout = \"3s\"");
        interrupt(&scratch, args, "pids/sigterm", signal, code);
    }
}

#[test]
fn a_signal_while_a_host_keeps_us_waiting_is_obeyed() {
    let scratch = Scratch::new("signal-host");
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let host = format!("--host http://{}", listener.local_addr().unwrap());
    let child = scratch.command(&host).spawn().unwrap();
    let _held = listener.accept().unwrap();
    scratch.sh(&format!("kill -INT {}", child.id()));
    assert_interrupted(&scratch, &scratch.finish(child), 130);
}

#[test]
fn a_signal_before_the_first_baseline_writes_none() {
    let scratch = Scratch::new("signal-first").with("FAKE_LOCUST", "waits");
    fs::remove_file(scratch.path("perf_baseline.json")).unwrap();
    let child = scratch.command("").spawn().unwrap();
    scratch.wait_for("pids/locust");
    scratch.sh(&format!("kill -TERM {}", child.id()));
    assert_eq!(scratch.finish(child).code, 143);
    scratch.assert_nothing_is_left();
    assert!(!scratch.path("perf_baseline.json").exists());
}

#[test]
fn a_signal_while_locust_is_installed_leaves_nothing_that_counts() {
    for phase in ["venv", "pip"] {
        let scratch = managed(&format!("signal-{phase}")).with("FAKE_PYTHON", &format!("sleeps-at-{phase}"));
        interrupt(&scratch, "", "pids/python", "INT", 130);
        assert_eq!(scratch.sh("find target/perf -name complete"), "");
        scratch.assert_not_started(&["locust", "service"]);

        let scratch = scratch.with("FAKE_PYTHON", "ok");
        assert_eq!(scratch.perf("").code, 0);
        assert_eq!(calls(&scratch, "-m venv"), 2, "the next command installs it anew");
    }
}

#[test]
fn a_signal_while_another_command_installs_is_obeyed() {
    let scratch = managed("signal-lock");
    assert_eq!(scratch.perf("").code, 0);
    let lock = File::open(scratch.path(&scratch.sh("ls target/perf/locust-*.lock"))).unwrap();
    lock.lock().unwrap();
    scratch.sh("rm target/perf/locust-*/complete");
    let child = scratch.command("").spawn().unwrap();
    // From the folder on, a signal is caught.
    scratch.wait_until("the second run", || fs::read_dir(scratch.path("target/perf/runs")).unwrap().count() == 2);
    scratch.sh(&format!("kill -TERM {}", child.id()));
    assert_interrupted(&scratch, &scratch.finish(child), 143);
}

#[test]
fn a_signal_while_python_hangs_is_obeyed() {
    let scratch = managed("signal-python").with("FAKE_PYTHON", "sleeps-at-version");
    interrupt(&scratch, "", "pids/python", "TERM", 143);
}

#[test]
fn a_signal_while_uv_hangs_is_obeyed() {
    let scratch = managed("signal-uv").tool("uv", "#!/bin/sh\necho $$ > \"$PIDS/uv\"\nexec sleep 1000\n");
    interrupt(&scratch, "", "pids/uv", "TERM", 143);
}

// The managed Locust

#[test]
fn locust_is_installed_once_also_by_two_commands_at_once() {
    let scratch = managed("install");
    let both = [scratch.command("").spawn().unwrap(), scratch.command("").spawn().unwrap()];
    for child in both {
        let output = scratch.finish(child);
        assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    }
    assert_eq!(scratch.perf("").code, 0);
    assert_eq!((calls(&scratch, "-m venv"), calls(&scratch, "-m pip --python ")), (1, 1));

    let scratch = scratch.toml("[load]", "[locust]\nversion = \"2.46.0\"\n[load]");
    assert_eq!(scratch.perf("").code, 0);
    assert_eq!(calls(&scratch, "-m venv"), 2, "another version is another environment");
    scratch.assert_clean();
}

#[test]
fn old_pip_installs_from_inside_the_environment() {
    for (pip, venv, install) in [
        ("24.0", "-m venv --without-pip ", "-m pip --python "),
        ("22.3", "-m venv --without-pip ", "-m pip --python "),
        ("22.2.2", "-m venv /", "-m pip install "),
        ("9.0.3", "-m venv /", "-m pip install "),
        ("none", "-m venv /", "-m pip install "),
    ] {
        let scratch = managed(&format!("pip-{pip}")).with("FAKE_PIP", pip);
        assert_eq!(scratch.perf("").code, 0, "{pip}");
        let made = [calls(&scratch, "-m venv"), calls(&scratch, venv), calls(&scratch, install)];
        assert_eq!(made, [1, 1, 1], "{pip}: {}", scratch.read("pids/python-calls"));
    }
}

#[test]
fn a_failed_installation_is_reported_and_tried_again() {
    let scratch = managed("pip-fails").with("FAKE_PYTHON", "pip-fails");
    let output = scratch.refuses("", "cannot install locust==");
    let says = "exit code 1: ERROR: No matching distribution found; name in perf.toml another [locust] version";
    assert!(output.last_line().contains(says), "{}", output.stderr);
    assert!(output.stderr.contains("  | ERROR: No matching distribution found"), "{}", output.stderr);
    scratch.assert_not_started(&["locust", "service"]);
    scratch.refuses("", "cannot install locust==");

    let scratch = scratch.with("FAKE_PYTHON", "ok");
    assert_eq!(scratch.perf("").code, 0);
    assert_eq!((calls(&scratch, "-m venv"), calls(&scratch, "-m pip --python ")), (3, 3));
}

/// As `docker run --detach` does.
#[test]
fn a_service_that_is_detached_is_told_to_stay_in_the_foreground() {
    Scratch::new("detached").toml("exec '", "exit; exec '").refuses(
        "",
        "the service exited before it was ready: exit code 0: let it stay in the foreground, without an option such as --detach",
    );
}

/// As Gitpod does.
#[test]
fn pip_that_installs_for_the_user_by_default_installs_locust() {
    let scratch = managed("managed-pip-user").with("PIP_USER", "yes");
    assert_eq!(scratch.perf("--max-runs 1").code, 0);
}

#[test]
fn the_managed_locust_must_write_the_exact_results() {
    managed("managed-inexact")
        .with("FAKE_LOCUST", "no-listener")
        .refuses("", "Locust ended without writing its final statistics");
}

#[test]
fn a_service_without_a_public_page_is_ready_by_its_port_or_a_status() {
    let scratch = Scratch::new("ready-tcp")
        .service("never-ready")
        .toml("http://127.0.0.1:{port}/health", "tcp://127.0.0.1:{port}");
    assert_eq!(scratch.perf("").code, 0);
    assert!(scratch.read("pids/arguments").contains("-H http://127.0.0.1:"));
    scratch.assert_clean();
    let scratch =
        Scratch::new("ready-status").service("never-ready").toml("[service]", "[service]\nready_status = 503");
    assert_eq!(scratch.perf("").code, 0);
    let scratch = scratch.toml("503", "204").toml("\"2m\"", "\"5s\"");
    scratch.refuses("", "it answers 503");
    Scratch::new("ready-no-port")
        .toml("http://127.0.0.1:{port}/health", "tcp://127.0.0.1")
        .refuses("", "expected a URL");
    Scratch::new("host-tcp").refuses("--host tcp://127.0.0.1:1", "expected an http or https URL");
}

#[test]
fn each_start_of_a_service_is_prepared() {
    let prepare = "[service]\nprepare = \"echo $DB {port} >> pids/prepared\"\nenv = { DB = \"db-{port}\" }";
    let scratch = Scratch::new("prepare").toml("[service]", prepare);
    assert_eq!(scratch.perf("--min-runs 2 --max-runs 2").code, 0);
    let prepared = scratch.read("pids/prepared");
    assert_eq!(prepared.lines().count(), 2, "{prepared}");
    for line in prepared.lines() {
        let (db, port) = line.split_once(' ').unwrap();
        assert_eq!(db, format!("db-{port}"));
    }
    let scratch = scratch.toml("echo $DB {port} >> pids/prepared", "echo no database >&2; exit 3");
    let _ = fs::remove_file(scratch.path("pids/service"));
    let output = scratch.refuses("", "[service] prepare failed: exit code 3");
    assert!(output.stderr.contains("  | no database"), "{}", output.stderr);
    scratch.assert_not_started(&["service"]);
}

#[test]
fn a_requirements_file_in_utf_16_is_refused_with_the_remedy() {
    let scratch = managed("utf-16").toml("[load]", "[locust]\nrequirements = [\"requirements.txt\"]\n[load]");
    for bytes in [&b"\xff\xfef\0l\0a\0s\0k\0"[..], b"\xfe\xff\0f\0l", b"f\0l\0"] {
        fs::write(scratch.path("requirements.txt"), bytes).unwrap();
        scratch.refuses("", "it is UTF-16, as PowerShell's `>` writes it: save it as UTF-8");
        scratch.assert_not_started(&["locust"]);
    }
}

// Places

#[test]
fn a_path_with_spaces_commas_and_quotes_is_a_path() {
    let scratch = Scratch::new("it's a, \"path\" $HOME ü路");
    let output = scratch.perf("--update-baseline");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(scratch.read("perf_baseline.json").contains(&scratch.sh("git rev-parse HEAD")));
}

#[test]
fn a_service_on_another_port_is_an_error_that_names_the_port_setting() {
    let scratch = Scratch::new("elsewhere").toml("\"exec '", "\"exec sleep 1000 #'").toml("\"2m\"", "\"1s\"");
    scratch.refuses("", "nothing listens there; does the service get {port}, through its command or [service] env?");
    if cfg!(target_os = "linux") {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let scratch =
            Scratch::new("fixed-port").toml("--port {port}", &format!("--port {free}")).toml("\"2m\"", "\"2s\"");
        let reason =
            format!("the service listens on port {free}: give it {{port}}, through its command or [service] env");
        scratch.refuses("", &reason);
        let scratch = Scratch::new("other-address").service("ipv6").toml("\"2m\"", "\"2s\"");
        if TcpListener::bind(("::1", 0)).is_ok() {
            scratch.refuses("", "the service listens on that port, but at another address: name it in ready_url");
        }
    }
}

#[test]
fn results_are_judged_again_by_the_same_evidence() {
    let scratch = Scratch::new("again").with("FAKE_P95_MS", "300 330 310 340");
    assert_eq!(scratch.perf("--update-baseline --max-runs 2").code, 0);
    let output = scratch.perf("--min-runs 2 --max-runs 2");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(scratch.perf("target/perf/latest").stdout, output.stdout);
}

/// As this one lies in the repository of the gate.
#[test]
fn a_repository_inside_another_is_its_own() {
    let scratch = Scratch::new("nested");
    scratch.sh("rm perf.toml && mkdir folder");
    scratch.write("folder/results.csv", RESULTS);
    let output = scratch.script("cd folder && \"$XTASK\" perf results.csv");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stdout.contains("baseline: commit abc123"), "{}", output.stdout);
}

#[test]
fn two_commands_at_once_have_ports_and_folders_of_their_own_and_take_turns() {
    // The first one builds until the second one is there.
    let build = "[service]\nbuild = \"until [ -e pids/two/waits ]; do sleep 0.02; done\"";
    let scratch = Scratch::new("both").toml("[service]", build);
    let start = |name: &str| {
        let pids = scratch.path("pids").join(name);
        fs::create_dir(&pids).unwrap();
        let mut command = scratch.command("");
        command.env("PIDS", pids).stderr(File::create(scratch.path(&format!("pids/{name}/stderr"))).unwrap());
        command.spawn().unwrap()
    };
    let said = |name: &str| scratch.read(&format!("pids/{name}/stderr"));
    let says_that_it_waits = |name: &str| said(name).contains("another run is using this repository");
    let one = start("one");
    scratch.wait_until("the first one's turn", || scratch.path("target/perf/latest").exists());
    // One after the other: two loads at once would measure each other.
    let two = start("two");
    scratch.wait_until("the second one's waiting", || says_that_it_waits("two"));
    scratch.write("pids/two/waits", "");
    for (name, child) in [("one", one), ("two", two)] {
        assert_eq!(scratch.finish(child).code, 0, "{}", said(name));
    }
    assert!(!says_that_it_waits("one"), "{}", said("one"));
    let word_behind = |name: &str, flag: &str| {
        let arguments = scratch.read(&format!("pids/{name}/arguments"));
        arguments.split_whitespace().skip_while(|word| *word != flag).nth(1).unwrap().to_owned()
    };
    for flag in ["-H", "--csv", "--json-file", "-f"] {
        assert_ne!(word_behind("one", flag), word_behind("two", flag));
    }
    scratch.assert_clean();
}

#[test]
fn without_git_everything_works_and_a_warning_says_so() {
    let scratch = Scratch::new("no-git");
    for tool in ["sh", "sleep", "env", "head", "rm", "cat"] {
        scratch.sh(&format!("ln -s \"$(command -v {tool})\" pids/bin/"));
    }
    let bin = scratch.path("pids/bin").display().to_string();
    let scratch = scratch.with("PATH", &bin);
    check_without_git(&scratch);

    let outside = Scratch::new("outside");
    outside.sh("rm -rf .git");
    let parent = outside.folder.parent().unwrap().display().to_string();
    check_without_git(&outside.with("GIT_CEILING_DIRECTORIES", &parent));
}

#[track_caller]
fn check_without_git(scratch: &Scratch) {
    let output = scratch.perf("");
    assert_eq!(output.code, 0, "{}", output.stderr);
    scratch.assert_clean();
    let output = scratch.perf("--update-baseline");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stderr.contains("warning: git does not know the commit here"), "{}", output.stderr);
    assert!(scratch.read("perf_baseline.json").contains("\"commit\": \"unknown\""));
}

#[test]
fn a_place_that_cannot_be_written_is_said_before_anything_starts() {
    for (name, script, args, reason) in [
        ("no-folder", "rm perf_baseline.json", "--baseline nowhere/b.json", "cannot write nowhere/b.json"),
        ("target-is-a-file", ": > target", "", "cannot make target/perf"),
        ("perf-is-a-file", "mkdir target; : > target/perf", "", "cannot make target/perf"),
        ("runs-is-a-file", "mkdir -p target/perf; : > target/perf/runs", "", "cannot make target/perf/runs"),
        ("latest-is-a-folder", "mkdir -p target/perf/latest/mine", "", "target/perf/latest"),
    ] {
        let scratch = Scratch::new(&format!("place-{name}"));
        scratch.sh(script);
        let output = scratch.perf(args);
        assert_eq!(output.code, 2, "{name}: {}{}", output.stdout, output.stderr);
        assert!(output.last_line().contains(reason), "{name}: {}", output.stderr);
        scratch.assert_not_started(&["locust", "service"]);
        scratch.assert_nothing_is_left();
    }
}

#[test]
fn a_configuration_of_locusts_that_would_never_end_is_refused_wherever_it_is() {
    for (file, text) in [
        ("locust.conf", "headful = true\n"),
        (".locust.conf", "master = true\n"),
        ("pyproject.toml", "[tool.locust]\nworker = true\n"),
    ] {
        let scratch = Scratch::new(&format!("modes-{file}"));
        scratch.write(file, text);
        scratch.refuses("", &format!("{file} sets Locust's "));
        scratch.assert_not_started(&["locust", "service"]);
    }
    let scratch = Scratch::new("modes-arguments");
    for arg in ["--worker", "--autoquit=3", "-u5", "--csv=x", "--headful"] {
        scratch.refuses(&format!("-- {arg}"), &format!("`{arg}` after `--`"));
        scratch.assert_not_started(&["locust", "service"]);
    }
}

// The baseline and what is printed

#[test]
fn a_baseline_of_a_newer_version_can_be_replaced_as_its_refusal_says() {
    let scratch = Scratch::new("newer");
    scratch.write("perf_baseline.json", &BASELINE.replace("\"1.0\"", "\"2.0\""));
    let output = scratch.perf("");
    assert_eq!(output.code, 2, "{}", output.stdout);
    if output.stderr.contains("measure anew with --update-baseline") {
        let output = scratch.perf("--update-baseline");
        assert_eq!(output.code, 0, "{}", output.stderr);
    }
}

#[test]
fn a_disk_that_fills_while_the_baseline_is_written_leaves_the_former_one() {
    let scratch = Scratch::new("fills");
    // Enough endpoints that the probe fits into one block and the baseline does not.
    let row = |n: usize| format!("GET,/{n},9,0,100,15,100,300,400");
    let rows = (0..50).map(row).collect::<Vec<_>>().join("\n");
    let results = RESULTS.replace(",Aggregated,450", &format!("{rows}\n,Aggregated,450"));
    scratch.write("results.csv", &results);
    let output = scratch.script("trap '' XFSZ; ulimit -f 4; exec \"$XTASK\" perf results.csv --update-baseline");
    assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
    assert!(output.last_line().contains("cannot write perf_baseline.json, it is left as it was"), "{}", output.stderr);
    scratch.assert_clean();
    assert_eq!(scratch.perf("results.csv --update-baseline").code, 0, "with space it works");
}

#[test]
fn a_disk_that_fills_during_the_load_leaves_the_former_baseline() {
    let scratch = Scratch::new("fills-in-load");
    let output = scratch.script("trap '' XFSZ; ulimit -f 0; exec \"$XTASK\" perf");
    assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
    scratch.assert_clean();
}

#[test]
fn a_report_that_cannot_be_printed_is_no_pass_and_no_panic() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let scratch = Scratch::new("stdout-full");
    scratch.write("results.csv", RESULTS);
    let mut wrong = Vec::new();
    for (script, codes) in [
        ("\"$XTASK\" perf results.csv > /dev/full", &[2][..]),
        // The report cannot be read, and the verdict still tells itself by the exit code.
        ("\"$XTASK\" perf results.csv 2> /dev/full", &[0]),
        ("\"$XTASK\" perf --no-such-flag 2> /dev/full", &[2]),
        ("\"$XTASK\" perf 2> /dev/full", &[0]),
        ("\"$XTASK\" --help > /dev/full", &[0, 2]),
        ("\"$XTASK\" perf results.csv >&-", &[0]),
        ("\"$XTASK\" perf results.csv 2>&-", &[0]),
        ("\"$XTASK\" perf <&- >&- 2>&-", &[0]),
        ("\"$XTASK\" perf results.csv --baseline new.json > /dev/full", &[0, 2]),
    ] {
        let output = scratch.script(script);
        if !codes.contains(&output.code) || output.stderr.contains("panicked") {
            wrong.push(format!("{script}: {} {}", output.code, output.stderr));
        }
        scratch.assert_clean();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_closed_pipe_changes_neither_the_verdict_nor_the_files() {
    let scratch = Scratch::new("reader");
    scratch.write("results.csv", RESULTS);
    let mut wrong = Vec::new();
    for args in ["results.csv", "--quiet", "", "--verbose", "--help"] {
        for closes_stderr in [false, true] {
            let (reader, writer) = pipe().unwrap();
            drop(reader);
            let mut command = scratch.command(args);
            if closes_stderr {
                command.stderr(writer)
            } else {
                command.stdout(writer)
            };
            let output = scratch.finish(command.spawn().unwrap());
            if output.code != 0 {
                wrong.push(format!("perf {args} (stderr {closes_stderr}): {} {}", output.code, output.stderr));
            }
            scratch.assert_clean();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
