//! Processes that hide, hang or come in between.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{RESULTS, Scratch};

/// A `git` that hangs at one of its commands, notes itself, and otherwise is the real one. It shows what it was asked, and
/// with which variables.
fn with_git(scratch: Scratch, hangs_at: &str) -> Scratch {
    let real = scratch.sh("command -v git");
    scratch.tool(
        "git",
        &format!(
            "#!/bin/sh\nenv | grep ^GIT_ | sort > \"$PIDS/git-environment\"\nfor word; do\n  if [ \"$word\" = '{hangs_at}' ]; then\n    echo $$ > \"$PIDS/git\"\n    trap '' INT\n    sleep 1000\n  fi\ndone\nexec '{real}' \"$@\"\n"
        ),
    )
}

#[test]
fn a_git_that_hangs_hears_a_signal() {
    for (hangs_at, args, codes) in [
        // Before anything is started a signal ends us as it ends any program.
        ("status", "ok.csv", [-15, 143]),
        ("rev-parse", "ok.csv", [-15, 143]),
        ("merge-base", "ok.csv", [-15, 143]),
        ("merge-base", "--max-runs 1", [143, 143]),
        ("worktree", "--against HEAD", [143, 143]),
    ] {
        let scratch = Scratch::new(&format!("git-hangs-{hangs_at}"));
        scratch.write("ok.csv", RESULTS);
        let head = scratch.sh("git rev-parse HEAD");
        scratch.replace("perf_baseline.json", "abc123", &head);
        let scratch = with_git(scratch, hangs_at);
        let child = scratch.command(args).spawn().unwrap();
        scratch.wait_for("pids/git");
        scratch.sh(&format!("kill -TERM {}", child.id()));
        let output = scratch.finish(child);
        assert!(codes.contains(&output.code), "{hangs_at}: {}{}", output.stdout, output.stderr);
        scratch.assert_nothing_is_left();
        scratch.assert_no_process_is_left();
    }
}

#[test]
fn every_call_of_git_stays_here_and_asks_nobody() {
    let scratch = with_git(Scratch::new("git-variables"), "never");
    scratch.write("ok.csv", RESULTS);
    scratch.sh("git init -q pids/other && cd pids/other && git commit -q --allow-empty -m other");
    let own = scratch.sh("git rev-parse HEAD");
    let other = scratch.path("pids/other/.git").display().to_string();
    let scratch = scratch.with("GIT_DIR", &other).with("GIT_COMMON_DIR", &other).with("GIT_WORK_TREE", "/");
    let output = scratch.perf("ok.csv --update-baseline");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(scratch.read("perf_baseline.json").contains(&own), "the commit is that of this repository");
    let variables = scratch.read("pids/git-environment");
    for line in ["GIT_NO_LAZY_FETCH=1\n", "GIT_TERMINAL_PROMPT=0\n", "GIT_OPTIONAL_LOCKS=0\n"] {
        assert!(variables.contains(line), "{line}: {variables}");
    }
    assert!(!variables.contains("GIT_DIR=") && !variables.contains("GIT_WORK_TREE="), "{variables}");
}

#[test]
fn judging_in_a_partial_clone_asks_nothing_of_the_remote() {
    let scratch = Scratch::new("partial-clone");
    scratch.write("ok.csv", RESULTS);
    // A commit that nobody has, which git would look for at the remote.
    scratch.replace("perf_baseline.json", "abc123", &"ab12".repeat(10));
    scratch.sh(
        "git add . && git commit -q -m results
        git config uploadpack.allowFilter true
        git clone -q --filter=blob:none \"file://$PWD\" pids/clone
        printf '#!/bin/sh\\necho asked >> \"%s/pids/asked\"\\nexec git-upload-pack \"$@\"\\n' \"$PWD\" > pids/upload-pack
        chmod +x pids/upload-pack
        git -C pids/clone config remote.origin.uploadpack \"$PWD/pids/upload-pack\"",
    );
    let judge = |environment: &str| {
        scratch.script(&format!("cd pids/clone && {environment} git cat-file -e {} 2> /dev/null", "ab12".repeat(10)));
        scratch.path("pids/asked").exists()
    };
    if judge("GIT_NO_LAZY_FETCH=1") {
        return println!("this git is older than the variable");
    }
    assert!(judge(""), "and without it this git asks");
    scratch.sh("rm pids/asked");
    let output = scratch.script("cd pids/clone && \"$XTASK\" perf ok.csv");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(!scratch.path("pids/asked").exists(), "the remote was asked");
}

#[test]
fn nothing_that_left_its_group_outlives_the_run() {
    if !Path::new("/proc/self").exists() {
        return;
    }
    for (name, locust, service, code) in [
        ("service", "", "setsid sleep 1000 & ", 0),
        ("service-twice", "", "(setsid sh -c 'sleep 1000 & sleep 1000' &) ; ", 0),
        ("service-deaf", "", "(setsid sh -c 'trap \\\"\\\" TERM; while :; do sleep 1; done' &) ; ", 0),
        ("locust", "setsid", "", 0),
        ("locust-fails", "setsid-exit1", "setsid sleep 1000 & ", 2),
    ] {
        let scratch = Scratch::new(&format!("left-{name}")).with("FAKE_LOCUST", locust);
        let scratch = scratch.toml("command = \"exec ", &format!("command = \"{service}exec "));
        let output = scratch.perf("");
        assert_eq!(output.code, code, "{name}: {}{}", output.stdout, output.stderr);
        scratch.assert_no_process_is_left();
        scratch.assert_clean();
    }
}

#[test]
fn what_a_service_starts_for_itself_lives_as_long_as_the_service() {
    // While Locust ends, and while another group is still at work.
    let scratch = Scratch::new("left-helper").with("FAKE_LOCUST", "setsid").toml(
        "command = \"exec ",
        "command = \"(setsid sh -c 'echo $$ > pids/service-child; exec sleep 1000' &) ; exec ",
    );
    let fake = fs::read_to_string(crate::support::FAKE_LOCUST).unwrap();
    scratch.write("fake.sh", &format!("{}\n", fake.replace("exit \"${FAKE_LOCUST_EXIT:-0}\"", "")));
    let output = scratch.perf("--min-runs 2 --max-runs 2");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    scratch.assert_no_process_is_left();
    scratch.assert_clean();
}

#[test]
fn a_service_that_daemonizes_is_told_to_stay() {
    let scratch = Scratch::new("daemon");
    let service = env!("CARGO_BIN_EXE_fake-service");
    let config = scratch.read("perf.toml");
    let line = config.lines().find(|line| line.starts_with("command = \"exec")).unwrap();
    scratch.write(
        "perf.toml",
        &config.replace(line, &format!("command = \"setsid '{service}' --port {{port}} --mode ok &\"")),
    );
    scratch.refuses("", "let it stay in the foreground, without `&` and without an option such as --daemon");
    scratch.assert_no_process_is_left();
}

#[test]
fn sigkill_at_any_moment_leaves_nothing() {
    let scratch = Scratch::new("sigkill-early").with("FAKE_LOCUST", "waits");
    let scratch = scratch.toml("[service]", "[service]\nbuild = \"sleep 1000\"");
    for delay_ms in 0..80 {
        let mut child = scratch.command("--max-runs 1").spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay_ms));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    scratch.assert_no_process_is_left();
}

#[test]
fn a_stranger_on_the_services_port_is_not_measured() {
    if !Path::new("/proc/self").exists() {
        return;
    }
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let scratch = Scratch::new("stranger");
    let config = scratch.read("perf.toml");
    let line = config.lines().find(|line| line.starts_with("command = \"exec")).unwrap();
    let config = config.replace(line, "command = \"echo $$ > pids/service; exec sleep 1000\"");
    scratch.write("perf.toml", &config.replace("{port}", &port.to_string()));
    let child = scratch.command("").spawn().unwrap();
    // It takes the port once it was found free.
    scratch.wait_for("pids/service");
    let stranger = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for stream in stranger.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let output = scratch.finish(child);
    assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
    assert!(
        output.last_line().contains("answers in place of the service: stop it, or write {port} to get a free port"),
        "{}",
        output.stderr
    );
    scratch.assert_not_started(&["locust"]);
    scratch.assert_clean();
}

#[test]
fn signal_that_the_caller_ignores_is_ignored() {
    if !Path::new("/proc/self").exists() {
        return;
    }
    let scratch = Scratch::new("nohup").with("FAKE_LOCUST", "loads");
    for (signal, trap) in [("HUP", "trap '' HUP"), ("INT", "trap '' INT")] {
        scratch.sh("rm -f pids/locust");
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{trap}; exec \"$XTASK\" perf --max-runs 1")]);
        let command = command.env("XTASK", env!("CARGO_BIN_EXE_xtask"));
        let child = scratch.prepared(std::mem::replace(command, Command::new("true"))).spawn().unwrap();
        scratch.wait_for("pids/locust");
        scratch.sh(&format!("kill -{signal} {}", child.id()));
        let output = scratch.finish(child);
        assert_eq!(output.code, 0, "{signal}: {}{}", output.stdout, output.stderr);
    }
    scratch.assert_clean();
}

/// Runs a script of Python that sets signals, and then becomes the program.
fn with_signals(scratch: &Scratch, script: &str) -> std::process::Child {
    let mut command = Command::new("python3");
    let exec = format!(
        "import os, signal\n{script}\nos.execv({0:?}, [{0:?}, 'perf', '--max-runs', '1'])",
        env!("CARGO_BIN_EXE_xtask")
    );
    command.args(["-c", &exec]);
    scratch.prepared(command).spawn().unwrap()
}

#[test]
fn caller_that_ignores_its_children_changes_nothing() {
    let scratch = Scratch::new("sigchld");
    let output = scratch.finish(with_signals(&scratch, "signal.signal(signal.SIGCHLD, signal.SIG_IGN)"));
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    scratch.assert_clean();
}

#[test]
fn signal_that_the_caller_blocks_is_heard() {
    if !Path::new("/proc/self").exists() {
        return;
    }
    let scratch = Scratch::new("sigterm-blocked").with("FAKE_LOCUST", "waits");
    let child = with_signals(&scratch, "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])");
    scratch.wait_for("pids/locust");
    scratch.sh(&format!("kill -TERM {}", child.id()));
    let output = scratch.finish(child);
    assert_eq!(output.code, 143, "{}{}", output.stdout, output.stderr);
    scratch.assert_no_process_is_left();
}

#[test]
fn second_signal_ends_the_grace_time() {
    let scratch = Scratch::new("second-signal").service("ignores-sigterm").with("FAKE_LOCUST", "waits");
    let scratch = scratch.toml("stop_timeout = \"500ms\"\n[load]", "stop_timeout = \"1h\"\n[load]");
    let child = scratch.command("").spawn().unwrap();
    scratch.wait_for("pids/locust");
    scratch.sh(&format!("kill -INT {}", child.id()));
    // The service has got its SIGTERM.
    scratch.wait_for("pids/sigterm");
    scratch.sh(&format!("kill -INT {}", child.id()));
    assert_eq!(scratch.finish(child).code, 130);
    scratch.assert_no_process_is_left();
}

#[test]
fn silent_name_server_delays_neither_the_deadline_nor_a_signal() {
    let scratch = Scratch::new("silent-names");
    let may_mount = scratch.script("test \"$(id -u)\" = 0 && unshare -m true 2> /dev/null || exit 77").code != 77;
    let Ok(silent) = UdpSocket::bind("127.0.0.7:53") else { return };
    if !may_mount {
        return;
    }
    scratch.write("pids/resolv.conf", "nameserver 127.0.0.7\noptions timeout:30 attempts:5\n");
    let scratch = scratch.toml("http://127.0.0.1:{port}/health", "http://nowhere.example.org:{port}/health");
    let scratch = scratch.toml("ready_timeout = \"2m\"", "ready_timeout = \"3s\"");
    let run = "exec unshare -m sh -c 'mount --bind pids/resolv.conf /etc/resolv.conf && exec \"$XTASK\" perf'";
    let began = Instant::now();
    let output = scratch.script(run);
    assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
    assert!(output.last_line().contains("the service is not ready after 3s"), "{}", output.stderr);
    // A name server has 150 s here.
    assert!(began.elapsed() < Duration::from_secs(60));
    let mut command = Command::new("sh");
    command.args(["-c", run]).env("XTASK", env!("CARGO_BIN_EXE_xtask"));
    let scratch = scratch.toml("ready_timeout = \"3s\"", "ready_timeout = \"1h\"");
    scratch.sh("rm -f pids/service");
    let child = scratch.prepared(command).spawn().unwrap();
    scratch.wait_for("pids/service");
    scratch.sh(&format!("kill -INT {}", child.id()));
    assert_eq!(scratch.finish(child).code, 130);
    drop(silent);
    scratch.assert_no_process_is_left();
}

#[test]
fn output_that_nobody_reads_delays_neither_the_load_nor_a_signal() {
    let noisy = |name: &str, then: &str| {
        let fake = fs::read_to_string(crate::support::FAKE_LOCUST).unwrap();
        let scratch = Scratch::new(name);
        scratch.write(
            "fake.sh",
            &format!("[ \"$1\" = --version ] || {{ seq 300000; echo > pids/said-all; {then}; }}\n{fake}"),
        );
        let own = scratch.path("fake.sh").display().to_string();
        scratch.toml(crate::support::FAKE_LOCUST, &own)
    };
    // The load ends, whoever reads.
    let scratch = noisy("unread", "true");
    let child = scratch.command("--max-runs 1 --verbose").spawn().unwrap();
    scratch.wait_for("target/perf/latest/run-1/run.json");
    assert_eq!(scratch.finish(child).code, 0);
    scratch.assert_clean();
    let scratch = noisy("unread-signal", "sleep 1000");
    let child = scratch.command("--max-runs 1 --verbose").spawn().unwrap();
    scratch.wait_for("pids/said-all");
    std::thread::sleep(Duration::from_secs(1));
    scratch.sh(&format!("kill -TERM {}", child.id()));
    scratch.wait_until("its end", || !crate::support::is_running(child.id()));
    assert_eq!(scratch.finish(child).code, 143);
    scratch.assert_no_process_is_left();
}

#[test]
fn without_proc_a_service_ends_in_time() {
    let scratch = Scratch::new("without-proc").service("forks-child");
    let scratch = scratch.toml("stop_timeout = \"500ms\"\n[load]", "stop_timeout = \"1h\"\n[load]");
    let output = scratch.script(
        "test \"$(id -u)\" = 0 && unshare -m true 2> /dev/null || exit 77
        exec unshare -m sh -c 'mount -t tmpfs none /proc && exec \"$XTASK\" perf --max-runs 1'",
    );
    assert!([0, 77].contains(&output.code), "{}{}", output.stdout, output.stderr);
    assert!(!output.stderr.contains("was killed"), "{}", output.stderr);
    scratch.assert_no_process_is_left();
}

#[test]
fn port_that_a_stranger_takes_during_prepare_is_not_measured() {
    let scratch = Scratch::new("stranger-prepare");
    let stranger = "import socket, sys, time, os\ns = socket.socket()\ns.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\ns.bind(('127.0.0.1', int(sys.argv[1])))\ns.listen()\nopen('pids/service-child', 'w').write(str(os.getpid()))\nwhile True:\n    c, _ = s.accept()\n    c.recv(1024)\n    c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n')\n    c.close()\n";
    scratch.write("stranger.py", stranger);
    // It takes the port that `prepare` was given, and stays.
    scratch.replace(
        "perf.toml",
        "[service]",
        "[service]\nprepare = \"setsid -f env -u PERF_GROUP python3 stranger.py {port} > /dev/null 2>&1; while [ ! -s pids/service-child ]; do sleep 0.05; done\"",
    );
    // A supervisor outlives a service that cannot have its port.
    let scratch = scratch.toml("command = \"exec ", "command = \"").toml("--mode ok\"", "--mode ok || sleep 1000\"");
    let output = scratch.perf("");
    assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
    assert!(output.last_line().contains("is already in use by"), "{}", output.stderr);
    scratch.assert_not_started(&["locust"]);
    scratch.kill_noted();
}
