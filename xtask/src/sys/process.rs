//! Child processes: each leads a process group of its own, every wait is bounded, and none outlives us.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};

use crate::sys::files;
use crate::sys::log::Log;
use crate::sys::orphans::{self, Mark, POLL, Registered};

static CAUGHT: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// Catches SIGINT, SIGTERM and SIGHUP, which do not end us from here on: the next wait returns [`Interrupted`], and what
/// is on the stack cleans up after itself. It is called before the first child is started.
///
/// # Errors
///
/// Says that the system lets nobody catch signals.
pub fn catch_signals() -> Result<()> {
    let caught = Arc::new(AtomicUsize::new(0));
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let number = signal.as_raw();
        let value = usize::try_from(number).expect("signal numbers are positive");
        signal_hook::flag::register_usize(number, Arc::clone(&caught), value).context("cannot catch signals")?;
    }
    let _ = CAUGHT.set(caught);
    orphans::adopt();
    Ok(())
}

/// A signal asked us to stop.
#[derive(Debug)]
pub struct Interrupted {
    /// The signal's number.
    pub signal: u8,
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.signal {
            1 => f.write_str("stopped by SIGHUP"),
            2 => f.write_str("stopped by SIGINT (Ctrl-C)"),
            15 => f.write_str("stopped by SIGTERM"),
            signal => write!(f, "stopped by signal {signal}"),
        }
    }
}

impl std::error::Error for Interrupted {}

/// Asks whether a signal has come since [`catch_signals`].
///
/// # Errors
///
/// Returns [`Interrupted`] where one has.
pub fn check_interrupted() -> Result<(), Interrupted> {
    match CAUGHT.get().map_or(0, |caught| caught.load(Ordering::Relaxed)) {
        0 => Ok(()),
        signal => Err(Interrupted { signal: u8::try_from(signal).expect("the signals caught are below 256") }),
    }
}

/// Sleeps for one poll interval.
///
/// # Errors
///
/// Returns [`Interrupted`] where a signal has come.
pub fn pause() -> Result<(), Interrupted> {
    thread::sleep(POLL);
    check_interrupted()
}

/// A failure of a child process, with the end of its log.
#[derive(Debug)]
pub struct Failure {
    /// The sentence that says it.
    pub line: String,
    log: PathBuf,
    /// The last lines of its log.
    pub tail: String,
    /// The exit code of the child, where that is what failed.
    pub exit_code: Option<i32>,
}

impl Failure {
    const TAIL_LINES: usize = 20;
    const TAIL_WIDTH: usize = 300;

    /// Makes a failure, with the tail of the log as it is now.
    pub fn new(line: String, log: &Path) -> Failure {
        let text = files::tail(log);
        let lines: Vec<&str> = text.trim_end().lines().collect();
        let tail = &lines[lines.len().saturating_sub(Failure::TAIL_LINES)..];
        let cut = |line: &&str| line.chars().take(Failure::TAIL_WIDTH).collect::<String>();
        let tail = tail.iter().map(cut).collect::<Vec<_>>().join("\n");
        Failure { line, log: log.to_owned(), tail, exit_code: None }
    }

    /// Makes the failure of a child that has ended so.
    pub fn ended(line: String, log: &Path, status: ExitStatus) -> Failure {
        Failure { exit_code: status.code(), ..Failure::new(line, log) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is = if self.tail.is_empty() { ", which is empty" } else { "" };
        write!(f, "{} (its log{is}: {})", self.line, self.log.display())
    }
}

impl std::error::Error for Failure {}

/// Ends a process group when we are gone, however we went: with us its pipe closes, after SIGKILL too.
struct Guard {
    child: Child,
    _registered: Registered,
}

impl Guard {
    fn of(group: Pid) -> io::Result<Guard> {
        const WHEN_WE_ARE_GONE: &str = "read -r _; kill -s TERM -- -$1; sleep 2; kill -s KILL -- -$1";
        let mut command = Command::new("/bin/sh");
        command.args(["-c", WHEN_WE_ARE_GONE, "sh", &group.to_string()]).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn()?;
        let registered = Registered::new(Pid::from_child(&child));
        Ok(Guard { child, _registered: registered })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a command that waits for a line from us before it becomes `command`, without any input. So the guard is there
/// before the command is, and where we are gone before that, it never begins.
fn held_back(command: &Command) -> Command {
    const ONCE_GUARDED: &str = "read -r _ && exec \"$@\" < /dev/null";
    let mut held_back = Command::new("/bin/sh");
    held_back.args(["-c", ONCE_GUARDED, "sh"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => held_back.env(name, value),
            None => held_back.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        held_back.current_dir(folder);
    }
    held_back
}

/// A child and its process group. Dropping it ends the group.
pub struct Group {
    what: &'static str,
    child: Child,
    pid: Pid,
    /// The log of its output, where that goes to one.
    log: Option<Box<Log>>,
    status: Option<ExitStatus>,
    /// The time from SIGTERM to SIGKILL.
    grace: Duration,
    /// Tells what belongs to the group though it has left it.
    mark: Mark,
    _registered: Registered,
    _guard: Option<Guard>,
}

impl Group {
    /// Starts `command` with no input and with all output in `log`, of which the first and the last 10 MB stay. `grace` is
    /// the time from SIGTERM to SIGKILL.
    ///
    /// # Errors
    ///
    /// Names the command that cannot be started, or the log that cannot be written.
    pub fn spawn(what: &'static str, command: &Command, log: &Path, grace: Duration) -> Result<Group> {
        let log = Log::open(log)?;
        let handle = || log.handle().with_context(|| format!("cannot write {}", log.path().display()));
        let mut group = Group::start(what, command, [handle()?.into(), handle()?.into()], grace)?;
        group.log = Some(Box::new(log));
        Ok(group)
    }

    /// Starts a command. What it says goes to `stdout` and `stderr`.
    fn start(what: &'static str, command: &Command, [stdout, stderr]: [Stdio; 2], grace: Duration) -> Result<Group> {
        let mut held_back = held_back(command);
        let mark = Mark::put_on(&mut held_back);
        held_back.process_group(0).stdin(Stdio::piped()).stdout(stdout).stderr(stderr);
        let mut child = held_back
            .spawn()
            .with_context(|| format!("cannot start {what} `{}`", command.get_program().to_string_lossy()))?;
        let pid = Pid::from_child(&child);
        let registered = Registered::new(pid);
        // Where it cannot be had, only SIGKILL to us would leave the group.
        let guard = Guard::of(pid).ok();
        if let Some(mut go) = child.stdin.take() {
            let _ = go.write_all(b"go\n");
        }
        Ok(Group { what, child, pid, log: None, status: None, grace, mark, _registered: registered, _guard: guard })
    }

    /// Returns the process id of the leader.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the path of the log.
    pub fn log(&self) -> &Path {
        self.log.as_ref().map_or(Path::new(""), |log| log.path())
    }

    /// Listens for these phrases in the log, from its beginning on.
    pub fn listen_for(&mut self, phrases: &'static [&'static str]) {
        if let Some(log) = &mut self.log {
            log.listen_for(phrases);
        }
    }

    /// Returns those phrases that the log held so far.
    pub fn heard(&mut self) -> Vec<&'static str> {
        self.log.as_mut().map_or_else(Vec::new, |log| log.heard().to_vec())
    }

    /// Returns the leader's exit status, once it has exited.
    ///
    /// # Errors
    ///
    /// Names a child that the system does not let us wait for.
    pub fn status(&mut self) -> Result<Option<ExitStatus>> {
        if let Some(log) = &mut self.log {
            log.tend();
        }
        if self.status.is_none() {
            self.status = self.child.try_wait().with_context(|| format!("cannot wait for {}", self.what))?;
        }
        Ok(self.status)
    }

    /// Waits for the leader. Returns `None` when `timeout` is over first. `tick` runs at each poll and may end the wait.
    ///
    /// # Errors
    ///
    /// Returns the error of `tick`, or [`Interrupted`].
    pub fn wait(&mut self, timeout: Duration, mut tick: impl FnMut() -> Result<()>) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.status()? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            pause()?;
            tick()?;
        }
    }

    /// Waits for the leader to end well.
    ///
    /// # Errors
    ///
    /// Anything but exit code 0 within `timeout` is a [`Failure`].
    pub fn finish(mut self, timeout: Duration) -> Result<()> {
        let what = self.what;
        Err(match self.wait(timeout, || Ok(()))? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => Failure::ended(format!("{what} failed: {}", describe(status)), self.log(), status),
            None => {
                Failure::new(format!("{what} did not end within {}", humantime::format_duration(timeout)), self.log())
            }
        }
        .into())
    }

    /// Returns whether a process belongs to the group, also where it has left it.
    pub fn owns(&self, pid: u32) -> bool {
        self.mark.owns(self.pid, pid)
    }

    /// Describes a process that runs on though the leader has ended, where the machine tells.
    pub fn survivor(&self) -> Option<String> {
        self.mark.survivor(self.pid)
    }

    /// Sends SIGTERM to the group, waits for its grace, then sends SIGKILL; likewise to what has left it. Returns whether
    /// SIGKILL was needed.
    pub fn stop(mut self) -> bool {
        self.end()
    }

    fn end(&mut self) -> bool {
        let was_killed = self.end_members();
        let was_killed = self.mark.end_left(self.grace) || was_killed;
        if let Some(log) = self.log.take() {
            log.shorten();
        }
        was_killed
    }

    fn end_members(&mut self) -> bool {
        if !self.is_alive() {
            return false;
        }
        let _ = kill_process_group(self.pid, Signal::TERM);
        if self.wait_until_gone(self.grace) {
            return false;
        }
        let _ = kill_process_group(self.pid, Signal::KILL);
        self.wait_until_gone(Duration::from_secs(2));
        true
    }

    /// Returns whether the group runs. Until the leader is reaped its id, and so the group's, cannot be another's.
    fn is_alive(&mut self) -> bool {
        matches!(self.status(), Ok(None)) || has_members(self.pid)
    }

    /// Sends SIGINT to the leader alone, so that it can collect its workers' results, and waits up to `grace` for it.
    pub fn interrupt(&mut self, grace: Duration) {
        if !matches!(self.status(), Ok(None)) {
            return;
        }
        let _ = kill_process(self.pid, Signal::INT);
        let deadline = Instant::now() + grace;
        while matches!(self.status(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(POLL);
        }
    }

    fn wait_until_gone(&mut self, grace: Duration) -> bool {
        let deadline = Instant::now() + grace;
        while self.is_alive() {
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(POLL);
        }
        true
    }
}

/// Returns whether a process of the group runs. A zombie has ended, and only waits for its parent: where `/proc` tells, it
/// does not count, since nobody may ever ask for the child of a service that has gone.
fn has_members(group: Pid) -> bool {
    if test_kill_process_group(group).is_err() {
        return false;
    }
    let processes = orphans::all();
    let leader = group.as_raw_nonzero().get();
    processes.is_empty() || processes.iter().any(|process| process.group == leader && process.is_running)
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs `command` to its end, with its output in `log`.
///
/// # Errors
///
/// Anything but exit code 0 within `timeout` is a [`Failure`].
pub fn run(what: &'static str, command: &Command, log: &Path, timeout: Duration) -> Result<()> {
    Group::spawn(what, command, log, Duration::ZERO)?.finish(timeout)
}

/// The length of an answer that is read.
const ANSWER_BYTES: u64 = 64_000_000;

/// Runs a program that is asked something, and returns its answer; `None` where it cannot be started, or fails.
///
/// # Errors
///
/// Returns [`Interrupted`], or names a program that does not answer within `timeout`.
pub fn answer(what: &'static str, command: &Command, timeout: Duration) -> Result<Option<String>> {
    let answer = answer_bytes(what, command, timeout)?;
    Ok(answer.and_then(|answer| Some(String::from_utf8(answer).ok()?.trim_end_matches(['\r', '\n']).to_owned())))
}

/// Returns the answer as [`answer`] does, to the byte. One that is longer than is read is none.
///
/// # Errors
///
/// Returns what [`answer`] returns.
pub fn answer_bytes(what: &'static str, command: &Command, timeout: Duration) -> Result<Option<Vec<u8>>> {
    let output = [Stdio::piped(), Stdio::null()];
    let Ok(mut group) = Group::start(what, command, output, Duration::ZERO) else { return Ok(None) };
    let Some(stdout) = group.child.stdout.take() else { return Ok(None) };
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut answer = Vec::new();
        let read = stdout.take(ANSWER_BYTES).read_to_end(&mut answer);
        let _ = sender.send(read.map(|_| answer));
    });
    let status = group.wait(timeout, || Ok(()))?;
    // A child of its own may hold the pipe.
    drop(group);
    match status {
        None => bail!(
            "{what} does not answer within {}: find out what blocks it, and try again",
            humantime::format_duration(timeout)
        ),
        Some(status) if !status.success() => Ok(None),
        Some(_) => Ok(receiver.recv_timeout(Duration::from_secs(2)).ok().and_then(io::Result::ok)),
    }
}

/// Describes an exit status: `exit code 3` or `killed by signal 9`.
pub fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_in_time_or_not_at_all() {
        let ask = |script: &str, timeout_ms| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            answer("sh", &command, Duration::from_millis(timeout_ms)).map_err(|error| error.to_string())
        };
        assert_eq!(ask("echo a; echo b", 30_000), Ok(Some("a\nb".to_owned())));
        assert_eq!(ask("exit 1", 30_000), Ok(None));
        // Its own child holds the pipe, and goes with it.
        assert_eq!(ask("sleep 1000 & echo a", 30_000), Ok(Some("a".to_owned())));
        let late = "sh does not answer within 20ms: find out what blocks it, and try again".to_owned();
        assert_eq!(ask("sleep 1000", 20), Err(late));
        assert_eq!(answer("none", &Command::new("/no/such/program"), Duration::from_secs(30)).unwrap(), None);
    }
}
