//! `--against-url`: two services that run already, compared in rounds.

use std::net::TcpListener;
use std::process::{Child, Command};

use crate::support::{FAKE_LOCUST, Scratch};

/// A service that the test started. Dropping it ends it.
struct Deployment {
    url: String,
    child: Child,
}

impl Deployment {
    fn start(command: &mut Command) -> Deployment {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = command.args(["--port", &port.to_string()]).spawn().unwrap();
        Deployment { url: format!("http://127.0.0.1:{port}"), child }
    }

    fn port(&self) -> &str {
        self.url.rsplit(':').next().unwrap()
    }

    fn wait_until_ready(&self, scratch: &Scratch) {
        let address = self.url.trim_start_matches("http://");
        scratch.wait_until(address, || std::net::TcpStream::connect(address).is_ok());
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder without git and without a `[service]`, and two deployments of these p95.
fn two_deployments(name: &str, green_ms: u32, blue_ms: u32) -> (Scratch, [Deployment; 2]) {
    let scratch = Scratch::empty(&format!("deployments-{name}")).with("FAKE_LOCUST_SCRIPT", FAKE_LOCUST);
    let scratch = scratch.with("GIT_CEILING_DIRECTORIES", env!("CARGO_TARGET_TMPDIR"));
    let pids = scratch.path("pids");
    std::fs::create_dir_all(&pids).unwrap();
    let scratch = scratch.with("PIDS", &pids.display().to_string());
    scratch.write("locustfile.py", "# what the users do\n");
    scratch.write(
        "perf.toml",
        &format!(
            "[load]\nrun_time = \"1s\"\nstop_timeout = \"500ms\"\ndeadline_margin = \"2m\"\n[locust]\ncommand = \"sh '{FAKE_LOCUST}'\"\n"
        ),
    );
    let deployments = [green_ms, blue_ms].map(|p95_ms| {
        let mut service = Command::new(env!("CARGO_BIN_EXE_fake-service"));
        let deployment = Deployment::start(service.args(["--mode", "ok"]).env("PIDS", &pids));
        scratch.write(&format!("pids/p95-{}", deployment.port()), &p95_ms.to_string());
        deployment.wait_until_ready(&scratch);
        deployment
    });
    (scratch, deployments)
}

#[test]
fn the_slower_of_two_deployments_fails_and_two_alike_pass() {
    for (name, green_ms, blue_ms, code, found) in [
        ("slower", 300, 420, 1, "FAIL: p95 rose 40%, 300 → 420 ms (limit +20%); "),
        ("alike", 300, 300, 0, "PASS: p95 +0.0% (limit +20%), all metrics within their limits; "),
    ] {
        let (scratch, [green, blue]) = two_deployments(name, green_ms, blue_ms);
        let args =
            format!("--host {} --against-url {} --report r.md --report r.html --report r.json", blue.url, green.url);
        let output = scratch.perf(&args);
        assert_eq!(output.code, code, "{name}: {}{}", output.stdout, output.stderr);
        let last = output.stdout.lines().last().unwrap();
        assert!(last.starts_with(&format!("{found}{} against {}", blue.url, green.url)), "{last}");
        let sides = format!("baseline: {}; candidate: {}; measured alternately from one machine", green.url, blue.url);
        assert!(output.stdout.contains(&sides), "{}", output.stdout);
        for report in ["r.md", "r.html", "r.json"].map(|name| scratch.read(name)) {
            assert!(report.contains(&green.url) && report.contains(&blue.url), "{report}");
        }
        for report in ["r.md", "r.html"].map(|name| scratch.read(name)) {
            assert!(!report.contains("unknown"), "{report}");
        }
        let loads = output.stderr.lines().filter(|line| line.starts_with("load-testing "));
        let order: Vec<bool> = loads.map(|line| line.contains(&blue.url)).collect();
        assert_eq!(order, [true, false, false, true], "{}", output.stderr);
        for wrong in ["--update-baseline", "git bisect", "[service]", "this tree", "checking out"] {
            assert!(!format!("{}{}", output.stdout, output.stderr).contains(wrong), "{wrong}: {}", output.stdout);
        }
        if code == 1 {
            assert!(output.stdout.contains("next: accept it for a while: "), "{}", output.stdout);
        }
        // The same again, without load.
        let again = scratch.perf("target/perf/latest");
        assert_eq!((again.code, again.stdout), (code, output.stdout), "{}", again.stderr);
        assert!(!scratch.path("perf_baseline.json").exists());
    }
}

#[test]
fn both_deployments_must_answer_before_the_load() {
    let (scratch, [green, blue]) = two_deployments("silent", 300, 300);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let silent = format!("http://user:hunter2@127.0.0.1:{port}");
    for (args, reason) in [
        (
            format!("--host {} --against-url {silent}", blue.url),
            format!("--against-url http://***@127.0.0.1:{port} does not answer: "),
        ),
        (
            format!("--host {silent} --against-url {}", green.url),
            format!("--host http://***@127.0.0.1:{port} does not answer: "),
        ),
        (format!("--against-url {}", green.url), "no service to load".to_owned()),
        (format!("--host {} --against-url green", blue.url), "--against-url green: expected a URL".to_owned()),
        (
            format!("--host {} --against-url {} --confirm", blue.url, green.url),
            "--confirm cannot be combined with ".to_owned(),
        ),
        (format!("--host {} --against-url {} --against HEAD", blue.url, green.url), "with --against: ".to_owned()),
        (format!("--host {} --against-url {} --update-baseline", blue.url, green.url), "--against-url ".to_owned()),
        (format!("--host {} --against-url {} --max-runs 1", blue.url, green.url), "needs at least 2 rounds".to_owned()),
    ] {
        let output = scratch.perf(&args);
        assert_eq!(output.code, 2, "{args}: {}{}", output.stdout, output.stderr);
        assert!(output.last_line().contains(&reason), "{args}: {}", output.stderr);
        assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
        scratch.assert_not_started(&["locust"]);
    }
    // With a [service], the one that runs must be named.
    let perf_toml = scratch.read("perf.toml");
    let service = "[service]\ncommand = \"exec ./service\"\nready_url = \"http://127.0.0.1:{port}\"\n";
    scratch.write("perf.toml", &format!("{service}{perf_toml}"));
    let output = scratch.perf(&format!("--against-url {}", green.url));
    assert_eq!(output.code, 2, "{}", output.stdout);
    assert!(
        output
            .last_line()
            .contains("--against-url compares two services that run already: name this one with --host URL"),
        "{}",
        output.stderr
    );
    let output = scratch.perf(&format!("--host {} --against-url {}", blue.url, green.url));
    assert_eq!(output.code, 0, "{}", output.stderr);
    drop(green);
    let output = scratch.perf(&format!("--host {} --against-url {} --quiet", blue.url, blue.url));
    assert_eq!(output.code, 0, "{}", output.stderr);
}
