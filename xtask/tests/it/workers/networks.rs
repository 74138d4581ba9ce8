//! The gate and two workers, each in a network namespace, joined by a bridge. None of them has a default route.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use super::{Shells, commands_said, forget_latest, said, with_real_locust, workers_of};
use crate::support::Scratch;

/// A process that keeps a network namespace. Dropping it ends both.
struct Namespace {
    holder: Child,
}

impl Namespace {
    /// `unshare` begins with the program of that name. `None` if this machine does not allow namespaces.
    fn new(unshare: &mut Command) -> Option<Namespace> {
        let holds = unshare.args(["--net", "sh", "-c", "ip link set lo up && echo up && exec sleep 1000"]);
        let mut namespace = Namespace { holder: holds.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()? };
        let mut up = String::new();
        BufReader::new(namespace.holder.stdout.as_mut()?).read_line(&mut up).ok()?;
        (up == "up\n").then_some(namespace)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let target = self.holder.id().to_string();
        command.args(["--preserve-credentials", "--user", "--net", "--target", &target, program]);
        command
    }

    fn sh(&self, script: &str) -> bool {
        self.command("sh").args(["-ec", script]).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

struct Networks {
    workers: [Namespace; 2],
    gate: Namespace,
}

impl Networks {
    /// `None` if this machine does not allow them.
    fn new() -> Option<Networks> {
        let gate = Namespace::new(Command::new("unshare").args(["--user", "--map-root-user"]))?;
        let worker = || Namespace::new(&mut gate.command("unshare"));
        let workers = [worker()?, worker()?];
        let mut is_up =
            gate.sh("ip link add bridge0 type bridge; ip address add 10.77.0.1/24 dev bridge0; ip link set bridge0 up");
        for (number, worker) in [1, 2].into_iter().zip(&workers) {
            let process = worker.holder.id();
            is_up &= gate.sh(&format!(
                "ip link add link{number} type veth peer name eth0 netns {process}; ip link set link{number} master bridge0 up"
            ));
            is_up &= worker.sh(&format!("ip address add 10.77.0.1{number}/24 dev eth0; ip link set eth0 up"));
        }
        is_up.then_some(Networks { workers, gate })
    }

    /// Starts the command, and writes what it prints to `pids/stderr`.
    fn start(&self, scratch: &Scratch, args: &str) -> Child {
        forget_latest(scratch);
        let mut command = self.gate.command(env!("CARGO_BIN_EXE_xtask"));
        command.arg("perf").args(args.split_whitespace());
        scratch.prepared(command).stderr(File::create(scratch.path("pids/stderr")).unwrap()).spawn().unwrap()
    }

    fn start_workers(&self, scratch: &Scratch, commands: &[String]) -> Shells {
        let start = |(namespace, command): (&Namespace, &String)| {
            let mut shell = scratch.prepared(namespace.command("sh"));
            shell.args(["-c", command]).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn().unwrap()
        };
        Shells(self.workers.iter().zip(commands).map(start).collect())
    }
}

const LOCUSTFILE: &str = "from locust import HttpUser, constant, task\n\n\nclass Visitor(HttpUser):\n    wait_time = constant(0.05)\n\n    @task\n    def claims(self):\n        self.client.get(\"/claims\")\n";

#[test]
fn workers_in_other_networks_give_a_baseline_a_fail_and_with_a_cut_link_no_verdict() {
    let Some(networks) = Networks::new() else {
        // The harness does not capture this.
        let _ = writeln!(io::stderr(), "SKIPPED: workers in other networks, because this machine allows no namespaces");
        return;
    };
    let scratch = with_real_locust("workers-networks")
        .service("everywhere")
        .toml("[load]\n", "[load]\nexpect_workers = 2\nworkers_timeout = \"4m\"\nhost = \"http://10.77.0.1:{port}\"\n");
    scratch.write("loads/locustfile.py", LOCUSTFILE);
    let load = "--users 4 --spawn-rate 4 --run-time 4s";

    let gate = networks.start(&scratch, &format!("{load} --update-baseline --max-runs 1"));
    let commands = commands_said(&scratch, 2);
    for command in &commands {
        assert!(command.contains(" --master-host 10.77.0.1 "), "{command}");
    }
    let _workers = networks.start_workers(&scratch, &commands);
    assert_eq!(scratch.finish(gate).code, 0, "{}", said(&scratch));
    assert!(said(&scratch).contains("2 of 2 workers have connected: 1, 2"), "{}", said(&scratch));

    let scratch = scratch.toml("everywhere", "everywhere,takes:60");
    let output = scratch.finish(networks.start(&scratch, &format!("{load} --max-runs 2")));
    assert_eq!(output.code, 1, "{}{}", output.stdout, said(&scratch));
    let verdict = output.stdout.lines().last().unwrap();
    assert!(verdict.starts_with("FAIL") && verdict.contains(": p95 rose "), "{}", output.stdout);

    let gate = networks.start(&scratch, "--users 4 --spawn-rate 4 --run-time 10m --update-baseline");
    scratch.wait_until("the load", || workers_of(&scratch, "run-1").len() == 2);
    assert!(networks.gate.sh("ip link set link2 down"));
    let output = scratch.finish(gate);
    assert_eq!(output.code, 2, "{}{}", output.stdout, said(&scratch));
    let last = said(&scratch).lines().last().unwrap().to_owned();
    assert!(last.starts_with("NO VERDICT: worker 2 (") && last.contains(" was lost during the load"), "{last}");
}
