//! Child processes, each the leader of a process group. Every wait is bounded, and no child outlives us.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use judge::model::text::foreign;
use rustix::process::{
    Pid, Signal, WaitOptions, kill_process, kill_process_group, test_kill_process_group, waitpgid, waitpid,
};

use crate::sys::log::{self, Log};
use crate::sys::proc::{self, Process, SignalMasks};

/// Short against everything that is waited for, and long enough to cost no measurable CPU beside the load.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

const KILL_GRACE: Duration = Duration::from_secs(2);

/// The number of the last signal that came and that nobody has noticed yet, or 0.
static NEW_SIGNAL: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// The signal that asked us to stop.
static FIRST_SIGNAL: OnceLock<u8> = OnceLock::new();

/// Whether another one has come since.
static HAS_SECOND_SIGNAL: AtomicBool = AtomicBool::new(false);

/// Our signals that the caller has blocked, so that they stay pending.
static BLOCKED_SIGNALS: OnceLock<u64> = OnceLock::new();

const OUR_SIGNALS: [Signal; 3] = [Signal::INT, Signal::TERM, Signal::HUP];

/// Undoes what a caller may have set, before the first child is started: if it ignores its children, the system hides how
/// ours end, and a file over its limit would end us in the middle of writing.
pub fn reset_signals() {
    for signal in [Signal::CHILD, Signal::XFSZ] {
        let nobody_reads = Arc::new(AtomicBool::new(false));
        let _ = signal_hook::flag::register(signal.as_raw(), nobody_reads);
    }
}

/// Catches SIGINT, SIGTERM and SIGHUP. From then on they do not end us: the next wait returns [`Interrupted`], and the
/// values on the stack clean up when they are dropped. Must be called before the first child is started.
pub fn catch_signals() -> Result<()> {
    let caught = Arc::new(AtomicUsize::new(0));
    let SignalMasks { ignored, blocked, .. } = proc::own_signals();
    for signal in OUR_SIGNALS {
        let number = signal.as_raw();
        // `nohup` ignores SIGHUP, and a script SIGINT for what it starts in the background.
        if proc::holds(ignored, number) {
            continue;
        }
        let value = usize::try_from(number).expect("signal numbers are positive");
        signal_hook::flag::register_usize(number, Arc::clone(&caught), value).context("cannot catch signals")?;
    }
    let _ = NEW_SIGNAL.set(caught);
    let _ = BLOCKED_SIGNALS.set(blocked);
    become_subreaper();
    Ok(())
}

#[derive(Debug)]
pub struct Interrupted {
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

pub fn check_interrupted() -> Result<(), Interrupted> {
    notice_signals();
    FIRST_SIGNAL.get().map_or(Ok(()), |signal| Err(Interrupted { signal: *signal }))
}

fn notice_signals() {
    let caught = NEW_SIGNAL.get().map_or(0, |caught| caught.swap(0, Ordering::Relaxed));
    if let Ok(signal @ 1..) = u8::try_from(caught) {
        let is_first = FIRST_SIGNAL.set(signal).is_ok();
        HAS_SECOND_SIGNAL.fetch_or(!is_first, Ordering::Relaxed);
    }
    let blocked = BLOCKED_SIGNALS.get().copied().unwrap_or(0);
    let ours = OUR_SIGNALS.map(Signal::as_raw).into_iter().filter(|number| proc::holds(blocked, *number));
    // It costs a small file at each poll, and nobody else blocks signals.
    for number in ours {
        if proc::holds(proc::own_signals().pending, number) {
            let _ = FIRST_SIGNAL.set(u8::try_from(number).unwrap_or(0));
        }
    }
}

/// Whether a second signal asks us not to wait for anybody any more.
fn is_urgent() -> bool {
    notice_signals();
    HAS_SECOND_SIGNAL.load(Ordering::Relaxed)
}

pub fn pause() -> Result<(), Interrupted> {
    thread::sleep(POLL_INTERVAL);
    check_interrupted()
}

#[derive(Debug)]
pub struct Failure {
    pub line: String,
    log: PathBuf,
    pub tail: String,
    pub exit_code: Option<i32>,
}

impl Failure {
    const TAIL_LINES: usize = 20;
    /// The lines in which secrets are looked for, because one may have more lines than are shown.
    const MASKED_LINES: usize = 200;
    const TAIL_WIDTH: usize = 300;

    pub fn new(line: String, log: &Path) -> Failure {
        let text = log::tail(log);
        let cut = |line: &str| line.chars().take(Failure::TAIL_WIDTH).collect::<String>();
        let last = |lines: &[String], number| lines[lines.len().saturating_sub(number)..].join("\n");
        let lines: Vec<String> = text.trim_end().lines().map(cut).collect();
        let lines: Vec<String> = foreign(&last(&lines, Failure::MASKED_LINES)).lines().map(str::to_owned).collect();
        let tail = last(&lines, Failure::TAIL_LINES);
        Failure { line, log: log.to_owned(), tail, exit_code: None }
    }

    pub fn ended(line: String, log: &Path, status: ExitStatus) -> Failure {
        Failure { exit_code: status.code(), ..Failure::new(line, log) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let empty = if self.tail.is_empty() { ", which is empty" } else { "" };
        write!(f, "{} (its log{empty}: {})", self.line, self.log.display())
    }
}

impl std::error::Error for Failure {}

/// A child and its process group. Dropping it ends the group, and every process that has left it.
pub struct Group {
    what: &'static str,
    child: Child,
    pid: Pid,
    log: Option<Box<Log>>,
    grace: Duration,
    id: InheritedId,
    _registered: Registered,
    _guard: Option<Guard>,
}

impl Group {
    /// Starts `command` without input. All output goes to `log`, which keeps its first and last 10 MB. `grace` is the time
    /// from SIGTERM to SIGKILL.
    pub fn spawn(what: &'static str, command: &Command, log: &Path, grace: Duration) -> Result<Group> {
        let log = Log::open(log)?;
        let handle = || log.handle().with_context(|| format!("cannot write {}", log.path().display()));
        let mut group = Group::start(what, command, [handle()?.into(), handle()?.into()], grace, Vec::new())?;
        group.log = Some(Box::new(log));
        Ok(group)
    }

    fn start(
        what: &'static str,
        command: &Command,
        [stdout, stderr]: [Stdio; 2],
        grace: Duration,
        input: Vec<u8>,
    ) -> Result<Group> {
        let mut held_back = held_back(command, !input.is_empty());
        let id = InheritedId::set_on(&mut held_back);
        held_back.process_group(0).stdin(Stdio::piped()).stdout(stdout).stderr(stderr);
        let mut child = held_back
            .spawn()
            .with_context(|| format!("cannot start {what} `{}`", command.get_program().to_string_lossy()))?;
        let pid = Pid::from_child(&child);
        let registered = Registered::new(pid);
        // Without a guard, a SIGKILL to us leaves the group running.
        let guard = Guard::of(pid).ok();
        if let Some(mut go) = child.stdin.take() {
            let _ = go.write_all(b"go\n");
            // A child that does not read its input holds up nobody but this thread.
            if !input.is_empty() {
                thread::spawn(move || go.write_all(&input));
            }
        }
        Ok(Group { what, child, pid, log: None, grace, id, _registered: registered, _guard: guard })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> &Path {
        self.log.as_ref().map_or(Path::new(""), |log| log.path())
    }

    pub fn search_for(&mut self, phrases: &'static [&'static str]) {
        if let Some(log) = &mut self.log {
            log.search_for(phrases);
        }
    }

    pub fn matches(&mut self) -> Vec<&'static str> {
        self.log.as_mut().map_or_else(Vec::new, |log| log.matches().to_vec())
    }

    /// `None` while the leader runs.
    pub fn status(&mut self) -> Result<Option<ExitStatus>> {
        if let Some(log) = &mut self.log {
            log.poll();
        }
        self.child.try_wait().with_context(|| format!("cannot wait for {}", self.what))
    }

    /// Waits for the leader, and returns `None` if `timeout` is over first. `tick` runs at each poll, and its error ends
    /// the wait.
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

    /// Waits for exit code 0 of the leader. Anything else within `timeout` is a [`Failure`].
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

    /// Whether a process is in the group, or comes from it by its parents or its environment.
    pub fn has_descendant(&self, pid: u32) -> bool {
        let leader = self.leader();
        let mut pid = i32::try_from(pid).unwrap_or(0);
        // The bound guards against cycles of ids that were given out again.
        for _ in 0..1000 {
            if pid == leader || self.id.is_inherited_by(pid) {
                return true;
            }
            let Some(process) = proc::process(pid) else { return false };
            if process.group == leader {
                return true;
            }
            pid = process.parent;
        }
        false
    }

    /// A child that still runs although the leader has exited.
    pub fn surviving_child(&self) -> Option<String> {
        let escaped = || self.id.escaped().first().map(|pid| pid.as_raw_nonzero().get());
        let member = || proc::processes().into_iter().find(|process| self.has_member(process));
        let find = || escaped().or_else(|| Some(member()?.pid));
        // A process that is just leaving its group, or starting another program, is found a moment later.
        let may_be_ours = |process: &Process| process.is_running && !self.id.is_foreign(process.pid);
        let deadline = Instant::now() + KILL_GRACE;
        let mut found = find();
        while found.is_none() && adopted_processes().iter().any(may_be_ours) && Instant::now() < deadline {
            thread::sleep(POLL_INTERVAL);
            found = find();
        }
        found.map(proc::describe)
    }

    fn leader(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Sends SIGTERM to the group and to its escaped children, and SIGKILL after the grace. Returns whether SIGKILL was
    /// needed.
    pub fn stop(&mut self) -> bool {
        let was_killed = self.end_members();
        let was_killed = self.id.end_escaped(self.grace) || was_killed;
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
        self.wait_until_gone(KILL_GRACE);
        true
    }

    /// Until the leader is reaped, no other process or group can get its id.
    fn is_alive(&mut self) -> bool {
        matches!(self.status(), Ok(None)) || self.has_members()
    }

    /// A zombie does not count: it has ended, and nobody may ever wait for the child of a service that has exited.
    fn has_members(&self) -> bool {
        // Without `/proc`, a zombie that we have adopted could not be told from a process that runs.
        while let Ok(Some(_)) = waitpgid(self.pid, WaitOptions::NOHANG) {}
        if test_kill_process_group(self.pid).is_err() {
            return false;
        }
        let processes = proc::processes();
        processes.is_empty() || processes.iter().any(|process| self.has_member(process))
    }

    fn has_member(&self, process: &Process) -> bool {
        process.group == self.leader() && process.is_running
    }

    /// Sends SIGINT to the leader alone, so that it can collect its workers' results, and waits up to `grace` for it.
    pub fn interrupt(&mut self, grace: Duration) {
        if !matches!(self.status(), Ok(None)) {
            return;
        }
        let _ = kill_process(self.pid, Signal::INT);
        let deadline = Instant::now() + grace;
        while matches!(self.status(), Ok(None)) && Instant::now() < deadline && !is_urgent() {
            thread::sleep(POLL_INTERVAL);
        }
    }

    fn wait_until_gone(&mut self, grace: Duration) -> bool {
        let deadline = Instant::now() + grace;
        while self.is_alive() {
            if Instant::now() >= deadline || is_urgent() && grace > KILL_GRACE {
                return false;
            }
            thread::sleep(POLL_INTERVAL);
        }
        true
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Kills a process group when we die, even by SIGKILL: its pipe closes with us.
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

/// A command that waits for a line from us before it becomes `command`, without input. So the guard is there before
/// the command is, and if we die earlier, it never begins.
fn held_back(command: &Command, has_input: bool) -> Command {
    // A shell reads a line byte by byte, so the rest of a pipe is left for the command.
    let once_guarded = if has_input { "read -r _ && exec \"$@\"" } else { "read -r _ && exec \"$@\" < /dev/null" };
    let mut held_back = Command::new("/bin/sh");
    held_back.args(["-c", once_guarded, "sh"]).arg(command.get_program()).args(command.get_args());
    copy_environment(command, &mut held_back);
    if let Some(folder) = command.get_current_dir() {
        held_back.current_dir(folder);
    }
    held_back
}

pub(crate) fn copy_environment(from: &Command, to: &mut Command) {
    for (name, value) in from.get_envs() {
        match value {
            Some(value) => to.env(name, value),
            None => to.env_remove(name),
        };
    }
}

// Children that leave their group, as `setsid` and daemons do. On Linux we adopt them when their parent is gone, and a
// variable that they inherited tells to which group they belong.

/// Processes that we started directly, and that somebody here waits for.
static OWN_CHILDREN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

fn own_children() -> MutexGuard<'static, BTreeSet<i32>> {
    OWN_CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Registered(i32);

impl Registered {
    fn new(pid: Pid) -> Registered {
        own_children().insert(pid.as_raw_nonzero().get());
        Registered(pid.as_raw_nonzero().get())
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        own_children().remove(&self.0);
    }
}

static IS_SUBREAPER: AtomicBool = AtomicBool::new(false);

/// Makes us the parent of all descendants whose own parent is gone. Other systems than Linux give them to init.
fn become_subreaper() {
    #[cfg(target_os = "linux")]
    {
        let is_subreaper = rustix::process::set_child_subreaper(Some(rustix::process::getpid())).is_ok();
        IS_SUBREAPER.store(is_subreaper, Ordering::Relaxed);
    }
}

/// Our children that we did not start directly.
fn adopted_processes() -> Vec<Process> {
    if !IS_SUBREAPER.load(Ordering::Relaxed) {
        return Vec::new();
    }
    let us = i32::try_from(std::process::id()).unwrap_or(0);
    let own = own_children().clone();
    let is_own = |process: &Process| own.contains(&process.pid) || own.contains(&process.group);
    proc::processes().into_iter().filter(|process| process.parent == us && !is_own(process)).collect()
}

/// The id of a group, in a variable of its environment.
struct InheritedId(String);

impl InheritedId {
    const VARIABLE: &str = "PERF_GROUP";

    fn set_on(command: &mut Command) -> InheritedId {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = format!("{}.{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        command.env(InheritedId::VARIABLE, &id);
        InheritedId(id)
    }

    fn is_inherited_by(&self, pid: i32) -> bool {
        proc::variable(pid, InheritedId::VARIABLE).is_some_and(|id| id == self.0.as_bytes())
    }

    /// Whether the process is known to have another id. It may have none, or one that cannot be read.
    fn is_foreign(&self, pid: i32) -> bool {
        proc::variable(pid, InheritedId::VARIABLE).is_some_and(|id| id != self.0.as_bytes())
    }

    /// The processes that left the group. One without the variable stays: it may be a child that the program before
    /// us had, if a shell was replaced by us (`exec`).
    fn escaped(&self) -> Vec<Pid> {
        let mut escaped = Vec::new();
        for process in adopted_processes() {
            let Some(pid) = Pid::from_raw(process.pid) else { continue };
            if !process.is_running {
                let _ = waitpid(Some(pid), WaitOptions::NOHANG);
            } else if self.is_inherited_by(process.pid) {
                escaped.push(pid);
            }
        }
        escaped
    }

    /// Returns whether SIGKILL was needed.
    fn end_escaped(&self, grace: Duration) -> bool {
        let mut asked = BTreeSet::new();
        let deadline = Instant::now() + grace;
        let mut was_killed = false;
        loop {
            let escaped = self.escaped();
            if escaped.is_empty() || Instant::now() >= deadline + KILL_GRACE {
                return was_killed;
            }
            let is_late = Instant::now() >= deadline || is_urgent();
            was_killed |= is_late;
            for pid in escaped {
                if is_late {
                    let _ = kill_process(pid, Signal::KILL);
                } else if asked.insert(pid.as_raw_nonzero()) {
                    let _ = kill_process(pid, Signal::TERM);
                }
            }
            thread::sleep(POLL_INTERVAL);
        }
    }
}

/// Runs `command` to its end, with its output in `log`. Anything but exit code 0 within `timeout` is a [`Failure`].
pub fn run(what: &'static str, command: &Command, log: &Path, timeout: Duration) -> Result<()> {
    Group::spawn(what, command, log, Duration::ZERO)?.finish(timeout)
}

const ANSWER_BYTES: u64 = 64_000_000;

/// Returns what a program prints, or `None` if it cannot be started, or fails. Git prints names of files and authors as the
/// bytes that they are.
pub fn answer(what: &'static str, command: &Command, timeout: Duration) -> Result<Option<String>> {
    let answer = answer_bytes(what, command, Vec::new(), timeout)?;
    Ok(answer.map(|answer| String::from_utf8_lossy(&answer).trim_end_matches(['\r', '\n']).to_owned()))
}

/// Like [`answer`], with every byte, for a program that may read an `input`.
pub fn answer_bytes(
    what: &'static str,
    command: &Command,
    input: Vec<u8>,
    timeout: Duration,
) -> Result<Option<Vec<u8>>> {
    let output = [Stdio::piped(), Stdio::null()];
    let Ok(mut group) = Group::start(what, command, output, Duration::ZERO, input) else { return Ok(None) };
    let Some(stdout) = group.child.stdout.take() else { return Ok(None) };
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut answer = Vec::new();
        let read = stdout.take(ANSWER_BYTES).read_to_end(&mut answer);
        let _ = sender.send(read.map(|_| answer));
    });
    let status = group.wait(timeout, || Ok(()))?;
    // A child of the program may hold the pipe open.
    drop(group);
    match status {
        None => bail!(
            "{what} does not answer within {}: find out what blocks it, and try again",
            humantime::format_duration(timeout)
        ),
        Some(status) if !status.success() => Ok(None),
        Some(_) => Ok(receiver.recv_timeout(KILL_GRACE).ok().and_then(io::Result::ok)),
    }
}

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
    fn late_answer_is_an_error() {
        let ask = |script: &str, timeout_ms| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            answer("sh", &command, Duration::from_millis(timeout_ms)).map_err(|error| error.to_string())
        };
        assert_eq!(ask("echo a; echo b", 30_000), Ok(Some("a\nb".to_owned())));
        assert_eq!(ask("exit 1", 30_000), Ok(None));
        // The child of the shell holds the pipe, and is ended with it.
        assert_eq!(ask("sleep 1000 & echo a", 30_000), Ok(Some("a".to_owned())));
        let late = "sh does not answer within 20ms: find out what blocks it, and try again".to_owned();
        assert_eq!(ask("sleep 1000", 20), Err(late));
        assert_eq!(answer("none", &Command::new("/no/such/program"), Duration::from_secs(30)).unwrap(), None);
    }
}
