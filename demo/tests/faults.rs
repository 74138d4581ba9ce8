//! The service as a process, with its faults. Whatever a test waits for may
//! take as long as a busy machine makes it take; only a hang reaches the
//! patience.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(120);

/// The command, in none but these of its variables.
fn demo(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DEMO_") {
            command.env_remove(name);
        }
    }
    command.envs(variables.iter().copied());
    command
}

/// A running service, which ends with the test.
struct Demo {
    child: Child,
    address: String,
}

impl Demo {
    fn start(variables: &[(&str, &str)]) -> Self {
        let mut child = demo(variables).args(["--port", "0"]).stdout(Stdio::piped()).spawn().expect("starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("announces itself");
        let address = line.trim().rsplit('/').next().expect("an address").to_owned();
        Self { child, address }
    }

    /// Sends a request on a connection of its own.
    fn send(&self, path: &str) -> Asked {
        let mut stream = TcpStream::connect(&self.address).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        // A service that has closed the connection already gives no answer either.
        let _ = write!(stream, "GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n");
        Asked { stream }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request that was sent.
struct Asked {
    stream: TcpStream,
}

impl Asked {
    /// Whether the connection is open, and nothing has come by now.
    fn is_silent(&self) -> bool {
        self.stream.set_nonblocking(true).expect("sets");
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).expect("sets");
        matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Waits for the answer, and gives its status; nothing if the connection
    /// was closed without one.
    fn status(mut self) -> Option<u16> {
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).ok()?;
        answer.split(' ').nth(1)?.parse().ok()
    }
}

/// Whether a new service was asked within a freeze, in which case it must have
/// answered after it. A machine that was slow just then asks too late.
fn was_asked_within_a_freeze() -> bool {
    let (awake, period) = (Duration::from_secs(1), Duration::from_secs(2));
    let demo = Demo::start(&[("DEMO_FREEZE", "1/2")]);
    // The time of the service starts between these two.
    let before = Instant::now();
    assert_eq!(demo.send("/nowhere").status(), Some(404));
    let after = Instant::now();
    thread::sleep((after + awake).saturating_duration_since(Instant::now()));
    let asked = ["/health", "/nowhere", "/claims"].map(|path| demo.send(path));
    let in_time = Instant::now() < before + period;
    for (asked, status) in asked.into_iter().zip([200, 404, 200]) {
        assert_eq!(asked.status(), Some(status));
        assert!(!in_time || Instant::now() >= before + period, "answered within a freeze");
    }
    in_time
}

#[test]
fn a_freeze_holds_the_answers_until_it_ends() {
    let start = Instant::now();
    while !was_asked_within_a_freeze() {
        assert!(start.elapsed() < PATIENCE, "never asked within a freeze");
    }
}

/// Gives the service the time to answer whatever it is ever going to, by its own
/// clock: 500 times the 2 ms that its health takes.
fn let_it_answer(demo: &Demo) {
    for _ in 0..500 {
        assert_eq!(demo.send("/health").status(), Some(200));
    }
}

#[test]
fn a_hang_begins_after_its_time_and_leaves_health() {
    let demo = Demo::start(&[("DEMO_HANG_AFTER_S", "1")]);
    // The first request starts the time, and is due long before the hang.
    assert_eq!(demo.send("/claims").status(), Some(200));
    thread::sleep(Duration::from_secs(1));
    let asked = ["/claims", "/claims/1", "/nowhere"].map(|path| demo.send(path));
    let_it_answer(&demo);
    assert!(asked.iter().all(Asked::is_silent));
}

/// More of them than the service takes connections at a time.
#[test]
fn a_client_that_gives_up_frees_its_connection() {
    let demo = Demo::start(&[("DEMO_HANG_AFTER_S", "0")]);
    for _ in 0..1_100 {
        drop(demo.send("/claims"));
    }
    let start = Instant::now();
    while demo.send("/health").status() != Some(200) {
        assert!(start.elapsed() < PATIENCE, "the connections of those who gave up are never free");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_share_of_requests_is_lost_and_the_others_are_answered() {
    let demo = Demo::start(&[("DEMO_LOST_PCT", "10")]);
    let asked: Vec<Asked> = (0..20).map(|_| demo.send("/claims")).collect();
    let start = Instant::now();
    while asked.iter().filter(|asked| asked.is_silent()).count() > 2 {
        assert!(start.elapsed() < PATIENCE, "more than 10% are lost");
        thread::sleep(Duration::from_millis(10));
    }
    let_it_answer(&demo);
    let (lost, answered): (Vec<Asked>, Vec<Asked>) = asked.into_iter().partition(Asked::is_silent);
    assert_eq!(lost.len(), 2);
    for asked in answered {
        assert_eq!(asked.status(), Some(200));
    }
}

#[test]
fn a_bad_value_is_one_line_and_exit_2() {
    // A service that took the value would find its port in use, and end too.
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port().to_string();
    for (name, value) in
        [("DEMO_ERROR_PCT", "101"), ("DEMO_FREEZE", "10/2"), ("DEMO_HANG_AFTER_S", "-1"), ("DEMO_LOST_PCT", "101")]
    {
        let output = demo(&[(name, value)]).args(["--port", &port]).output().expect("starts");
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert_eq!(output.stdout, b"", "{name}");
        let message = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(message.starts_with(&format!("demo: {name} is {value:?}, but must be ")), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn an_empty_value_counts_as_unset_and_the_help_names_every_variable() {
    let variables = ["DEMO_FREEZE", "DEMO_HANG_AFTER_S", "DEMO_LOST_PCT"];
    let demo = Demo::start(&variables.map(|name| (name, "")));
    assert_eq!(demo.send("/claims").status(), Some(200));
    let output = self::demo(&[]).arg("--help").output().expect("starts");
    let help = String::from_utf8(output.stdout).expect("UTF-8");
    for name in variables {
        assert!(help.contains(&format!("\n  {name} ")), "{name}");
    }
}
