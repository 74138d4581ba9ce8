//! A scratch repository with a fake service and a fake Locust, and what must hold after every command run in it.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use locust_gate::sys::ci;

/// Far beyond what any wait here needs, on the busiest machine: only a hang gets there. What the commands themselves wait
/// for has less time, so that a command that hangs says where.
pub const PATIENCE: Duration = Duration::from_secs(300);

pub const FAKE_LOCUST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fakes/fake_locust.sh");
pub const FAKE_PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fakes/fake_python.sh");

pub const BASELINE: &str = r#"{"version":"1.0","timestamp":"2026-01-27T00:00:00Z","commit":"abc123","metrics":{"p50":100.0,"p95":300.0,"p99":400.0,"avg_response_time":100.0,"requests_per_sec":15.0,"error_rate":0.5,"total_requests":450},"notes":"..."}"#;

/// Locust's statistics of the run that [`BASELINE`] holds.
pub const RESULTS: &str = "Type,Name,Request Count,Failure Count,Average Response Time,Requests/s,50%,95%,99%\n,Aggregated,450,0,100,15,100,300,400\n";

/// What the fakes and the tests write process ids to, in `pids`.
const PID_FILES: [&str; 8] =
    ["build-child", "git", "locust", "locust-worker", "python", "service", "service-child", "uv"];

/// The folder of this process, so that tests may run in several processes at once. Folders of former processes are removed.
fn folder_of_process() -> &'static Path {
    static FOLDER: OnceLock<(PathBuf, File)> = OnceLock::new();
    let (folder, _lock) = FOLDER.get_or_init(|| {
        let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scratch");
        fs::create_dir_all(&all).unwrap();
        let turn = File::create(all.join("turn")).unwrap();
        turn.lock().unwrap();
        for entry in fs::read_dir(&all).unwrap() {
            let former = entry.unwrap().path();
            let is_over = File::open(former.join("lock")).is_ok_and(|lock| lock.try_lock().is_ok());
            // A test may have taken away the rights to a folder.
            if is_over && fs::remove_dir_all(&former).is_err() {
                let _ = Command::new("chmod").args(["-R", "u+rwx"]).arg(&former).status();
                let _ = fs::remove_dir_all(&former);
            }
        }
        let folder = all.join(std::process::id().to_string());
        fs::create_dir_all(&folder).unwrap();
        let lock = File::create(folder.join("lock")).unwrap();
        lock.lock().unwrap();
        (folder, lock)
    });
    folder
}

/// A repository of its own, with a service and a Locust that do as they are told. The fakes write their process ids to
/// `pids`.
pub struct Scratch {
    pub folder: PathBuf,
    env: Vec<(String, String)>,
}

pub struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    pub fn last_line(&self) -> &str {
        self.stderr.lines().last().unwrap_or_default()
    }
}

impl Scratch {
    /// An empty folder.
    pub fn empty(name: &str) -> Scratch {
        let folder = folder_of_process().join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Scratch { env: Vec::new(), folder }
    }

    pub fn new(name: &str) -> Scratch {
        let scratch = Scratch::empty(name).with("FAKE_LOCUST_SCRIPT", FAKE_LOCUST);
        let pids = scratch.folder.join("pids");
        fs::create_dir_all(pids.join("bin")).unwrap();
        let scratch = scratch.with("PIDS", &pids.display().to_string());
        scratch.write("locustfile.py", "# what the users do\n");
        scratch.write(".gitignore", "/target\n/pids\n/runs-made\n");
        scratch.write("perf_baseline.json", BASELINE);
        let service = env!("CARGO_BIN_EXE_fake-service");
        scratch.write(
            "perf.toml",
            &format!(
                "[service]\n\
                 command = \"exec '{service}' --port {{port}} --mode ok\"\n\
                 ready_url = \"http://127.0.0.1:{{port}}/health\"\n\
                 ready_timeout = \"2m\"\n\
                 stop_timeout = \"500ms\"\n\
                 [load]\n\
                 run_time = \"1s\"\n\
                 stop_timeout = \"500ms\"\n\
                 deadline_margin = \"2m\"\n\
                 [locust]\n\
                 command = \"sh '{FAKE_LOCUST}'\"\n"
            ),
        );
        scratch.sh("git init -q . && git add . && git commit -q -m first");
        scratch
    }

    /// Sets a variable of the environment that the command runs in.
    pub fn with(mut self, name: &str, value: &str) -> Scratch {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The service's mode.
    pub fn service(self, mode: &str) -> Scratch {
        self.toml("--mode ok", &format!("--mode {mode}"))
    }

    /// Replaces a part of `perf.toml`.
    #[track_caller]
    pub fn toml(self, from: &str, to: &str) -> Scratch {
        self.replace("perf.toml", from, to);
        self
    }

    #[track_caller]
    pub fn replace(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "{name} does not hold {from}");
        self.write(name, &text.replacen(from, to, 1));
    }

    /// Puts an executable in front of `PATH`.
    pub fn tool(self, name: &str, script: &str) -> Scratch {
        self.write(&format!("pids/bin/{name}"), script);
        self.sh(&format!("chmod +x 'pids/bin/{name}'"));
        let path = format!("{}:{}", self.folder.join("pids/bin").display(), std::env::var("PATH").unwrap());
        self.with("PATH", &path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The folder of the checkouts of other commits.
    #[track_caller]
    pub fn checkouts(&self) -> PathBuf {
        let folders = fs::read_dir(self.path("pids/cache/locust-gate")).unwrap();
        let [folder] = &folders.map(|folder| folder.unwrap().path()).collect::<Vec<_>>()[..] else {
            panic!("a folder a repository")
        };
        folder.clone()
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[track_caller]
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Runs a script of the test's own, which must succeed.
    #[track_caller]
    pub fn sh(&self, script: &str) -> String {
        let mut command = Command::new("sh");
        command.args(["-ec", script]).current_dir(&self.folder).env("GIT_CONFIG_GLOBAL", "/dev/null");
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "A").env(format!("GIT_{role}_EMAIL"), "a@example.org");
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// `xtask perf` in this repository; `program` may be a shell that comes to run it.
    pub fn prepared(&self, mut command: Command) -> Command {
        command.current_dir(&self.folder).env("GIT_CONFIG_GLOBAL", "/dev/null").env("HOME", &self.folder);
        // What outlives the command lies in the user's cache.
        command.env("LC_ALL", "C.UTF-8").env("XDG_CACHE_HOME", self.path("pids/cache"));
        // What the caller's own environment says of CI and Locust is not part of a case.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let is_of_ci = text == "CI" || text.starts_with("GITHUB_") || ci::VARIABLES.contains(&text.as_ref());
            if is_of_ci || text.starts_with("LOCUST_") {
                command.env_remove(&name);
            }
        }
        command.envs(self.env.iter().cloned()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.arg("perf").args(args.split_whitespace());
        self.prepared(command)
    }

    /// `xtask selftest`, which needs a demo: a `cargo` that starts the fake service in its place.
    pub fn selftest(&self, args: &str) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.arg("selftest").args(args.split_whitespace());
        self.prepared(command).spawn().unwrap()
    }

    pub fn perf(&self, args: &str) -> Output {
        self.finish(self.command(args).spawn().unwrap())
    }

    /// A shell script in which `"$XTASK"` is the program.
    pub fn script(&self, script: &str) -> Output {
        let mut command = Command::new("sh");
        command.args(["-c", script]).env("XTASK", env!("CARGO_BIN_EXE_xtask"));
        self.finish(self.prepared(command).spawn().unwrap())
    }

    /// Waits for the end; a command that hangs is killed, and the test fails. A death by signal is shown as its
    /// negative number.
    #[track_caller]
    pub fn finish(&self, child: Child) -> Output {
        let id = child.id();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || sender.send(child.wait_with_output()));
        let Ok(output) = receiver.recv_timeout(PATIENCE) else {
            self.kill_noted();
            self.sh(&format!("kill -9 {id} || true"));
            panic!("the command hangs");
        };
        let output = output.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&format!("{}/", self.folder.display()), "");
        let code = output.status.code().or_else(|| output.status.signal().map(|signal| -signal)).unwrap();
        Output { code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Exit 2, the reason on the last line, and nothing left behind.
    #[track_caller]
    pub fn refuses(&self, args: &str, reason: &str) -> Output {
        let output = self.perf(args);
        assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
        assert!(
            output.last_line().starts_with("NO VERDICT: ") && output.last_line().contains(reason),
            "{}",
            output.stderr
        );
        self.assert_clean();
        output
    }

    /// No process, no half file, and the previous baseline as it was.
    #[track_caller]
    pub fn assert_clean(&self) {
        self.assert_nothing_is_left();
        assert_eq!(self.read("perf_baseline.json"), BASELINE);
    }

    #[track_caller]
    pub fn assert_nothing_is_left(&self) {
        for (name, pid) in self.noted() {
            let deadline = Instant::now() + PATIENCE;
            while is_running(pid) {
                if Instant::now() >= deadline {
                    self.kill_noted();
                    panic!("{name} {pid} is left");
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        assert_eq!(self.sh("find . -name '*.tmp'"), "", "half a file is left");
    }

    /// No process whose folder is this repository or below, whatever its session or parent.
    #[track_caller]
    pub fn assert_no_process_is_left(&self) {
        let own = fs::canonicalize(&self.folder).unwrap();
        let left = || -> Vec<u32> {
            let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
            let ids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
            ids.filter(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder.starts_with(&own)))
                .filter(|pid| is_running(*pid))
                .collect()
        };
        let deadline = Instant::now() + PATIENCE;
        while !left().is_empty() {
            if Instant::now() >= deadline {
                let shown: Vec<String> = left()
                    .iter()
                    .map(|pid| {
                        fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " ")
                    })
                    .collect();
                for pid in left() {
                    self.sh(&format!("kill -9 {pid} || true"));
                }
                panic!("these are left: {shown:?}");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    #[track_caller]
    pub fn assert_not_started(&self, names: &[&str]) {
        for name in names {
            assert!(!self.path("pids").join(name).exists(), "{name} was started");
        }
    }

    /// Starts the command, and returns once it watches the load: by then all that it has started is known to those who end
    /// it after a SIGKILL.
    #[track_caller]
    pub fn loading(&self, args: &str) -> Child {
        let said = self.path("pids/said");
        let mut command = self.command(&format!("{args} --verbose"));
        let child = command.stderr(File::create(&said).unwrap()).spawn().unwrap();
        self.wait_until("the load", || fs::read_to_string(&said).unwrap().contains("All users spawned"));
        child
    }

    /// Waits for a file that a fake writes.
    #[track_caller]
    pub fn wait_for(&self, name: &str) {
        self.wait_until(name, || fs::read_to_string(self.path(name)).is_ok_and(|text| !text.is_empty()));
    }

    #[track_caller]
    pub fn wait_until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            if Instant::now() >= deadline {
                self.kill_noted();
                panic!("{what} never came");
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The process ids that the fakes have noted.
    fn noted(&self) -> Vec<(&'static str, u32)> {
        let read = |name| fs::read_to_string(self.path("pids").join(name)).ok()?.trim().parse().ok();
        PID_FILES.iter().filter_map(|name| Some((*name, read(name)?))).collect()
    }

    /// A test that fails leaves nothing either. Only what runs in this very folder is ended: an id may be another's by
    /// now.
    pub fn kill_noted(&self) {
        for (_, pid) in self.noted() {
            if fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder == self.folder) {
                self.sh(&format!("kill -9 {pid} || true"));
            }
        }
    }
}

/// A zombie has ended; it only waits for its parent to ask.
pub fn is_running(pid: u32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('Z')),
        Err(_) if Path::new("/proc/self").exists() => false,
        Err(_) => Command::new("sh").args(["-c", &format!("kill -0 {pid} 2>&1")]).output().unwrap().status.success(),
    }
}
