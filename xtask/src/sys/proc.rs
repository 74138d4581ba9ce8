//! Linux's `/proc` and its parsers. Other systems have none, so every answer is empty there.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use judge::model::text::printable;

use crate::sys::files;

#[derive(Debug, PartialEq)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    pub group: i32,
    /// False for a zombie, which has ended and waits only for its parent.
    pub is_running: bool,
    /// The CPU time of the process and of its children that have ended, in clock ticks.
    pub cpu_ticks: u64,
    /// When the process was started, in clock ticks since the machine was.
    pub started_ticks: u64,
    pub resident_pages: u64,
}

pub(crate) fn process(pid: i32) -> Option<Process> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

pub(crate) fn processes() -> Vec<Process> {
    pids().into_iter().filter_map(process).collect()
}

fn pids() -> Vec<i32> {
    ids_in("/proc")
}

/// The ids of the processes or threads that have a folder here.
pub(crate) fn ids_in(folder: &str) -> Vec<i32> {
    files::entries(Path::new(folder)).filter_map(|path| path.file_name()?.to_str()?.parse().ok()).collect()
}

/// Parses `PID (NAME) STATE PARENT GROUP ...`, as `proc_pid_stat(5)` describes it. The name may hold spaces and brackets.
fn parse_stat(line: &str) -> Option<Process> {
    let (start, rest) = line.rsplit_once(") ")?;
    let pid = start.split(' ').next()?.parse().ok()?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    let (parent, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    // Session, terminal and its group, flags, four counts of page faults.
    let mut fields = fields.skip(8);
    let mut cpu_ticks: u64 = 0;
    // User and kernel time, then of its children.
    for ticks in fields.by_ref().take(4) {
        cpu_ticks = cpu_ticks.saturating_add(ticks.parse().ok()?);
    }
    // After priority, nice value, threads, and a time that is always 0.
    let started_ticks = fields.nth(4)?.parse().ok()?;
    // After the size of the address space.
    let resident_pages = fields.nth(1)?.parse().ok()?;
    let is_running = !matches!(state, "Z" | "X");
    Some(Process { pid, parent, group, is_running, cpu_ticks, started_ticks, resident_pages })
}

/// Sets of signals, a bit each, from `/proc/self/status`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SignalMasks {
    pub ignored: u64,
    pub blocked: u64,
    /// Of the whole process.
    pub pending: u64,
}

pub(crate) fn own_signals() -> SignalMasks {
    parse_signals(&fs::read_to_string("/proc/self/status").unwrap_or_default())
}

fn parse_signals(status: &str) -> SignalMasks {
    let mask = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.and_then(|value| u64::from_str_radix(value.trim(), 16).ok()).unwrap_or(0)
    };
    SignalMasks { ignored: mask("SigIgn"), blocked: mask("SigBlk"), pending: mask("ShdPnd") }
}

/// Whether a set has the signal of this number, which counts from 1.
pub(crate) fn holds(mask: u64, signal: i32) -> bool {
    signal > 0 && mask >> (signal - 1) & 1 == 1
}

/// A variable of the environment that a process was started with; `None` if it has none, or may not be asked.
pub(crate) fn variable(pid: i32, name: &str) -> Option<Vec<u8>> {
    parse_environ(&fs::read(format!("/proc/{pid}/environ")).ok()?, name)
}

fn parse_environ(environ: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut variables = environ.split(|byte| *byte == 0);
    variables.find_map(|variable| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"=").map(<[u8]>::to_vec))
}

pub(crate) const ANOTHER: &str = "another process";

/// Describes a process for a message: `` `postgres` (process 4711)``.
pub(crate) fn describe(pid: i32) -> String {
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("`{}` (process {pid})", printable(name.trim())),
        Err(_) => ANOTHER.to_owned(),
    }
}

pub(crate) fn is_of_this_user(pid: u32) -> bool {
    let user = |pid: &str| Some(fs::metadata(format!("/proc/{pid}")).ok()?.uid());
    user("self").is_some_and(|own| user(&pid.to_string()) == Some(own))
}

/// The processes that listen, each with a port, as far as this user may see them.
pub(crate) fn listeners() -> Vec<(u32, u16)> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let sockets = tables.iter().flat_map(|table| table.lines()).filter_map(parse_tcp_line);
    let listening = sockets.filter(|socket| socket.is_listening);
    let ports: HashMap<String, u16> =
        listening.map(|socket| (format!("socket:[{}]", socket.inode), socket.port)).collect();
    let mut listeners = Vec::new();
    for pid in pids() {
        for file in files::entries(&PathBuf::from(format!("/proc/{pid}/fd"))) {
            let link = fs::read_link(file).unwrap_or_default();
            let port = link.to_str().and_then(|link| ports.get(link));
            listeners.extend(port.map(|port| (pid.cast_unsigned(), *port)));
        }
    }
    listeners
}

pub(crate) fn listeners_on(port: u16) -> Vec<u32> {
    listeners().into_iter().filter(|(_, listens_on)| *listens_on == port).map(|(pid, _)| pid).collect()
}

#[derive(Debug, PartialEq)]
struct Socket<'a> {
    port: u16,
    is_listening: bool,
    inode: &'a str,
}

/// Parses `NUMBER: LOCAL:PORT REMOTE:PORT STATE QUEUES TIMER RETRANSMITS USER TIMEOUT INODE ...`, with the port in
/// hexadecimal.
fn parse_tcp_line(line: &str) -> Option<Socket<'_>> {
    const LISTENS: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, port) = fields.get(1)?.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(Socket { port, is_listening: *fields.get(3)? == LISTENS, inode: fields.get(9)? })
}

/// The CPU time of all cores since the machine was started, in clock ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MachineTicks {
    pub busy: u64,
    pub all: u64,
}

pub(crate) fn machine_ticks() -> Option<MachineTicks> {
    parse_machine_ticks(&fs::read_to_string("/proc/stat").ok()?)
}

/// Parses the first line of `/proc/stat`, as `proc_stat(5)` describes it: the time in user space, niced, in the kernel,
/// idle, waiting for a disk, in interrupts and soft interrupts, stolen. The fields after those are part of the first two.
fn parse_machine_ticks(stat: &str) -> Option<MachineTicks> {
    let mut ticks = [0; 8];
    let mut fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    for ticks in &mut ticks {
        *ticks = fields.next()?.parse().ok()?;
    }
    let [user, nice, kernel, idle, waiting, interrupts, soft_interrupts, stolen] = ticks;
    let busy = user + nice + kernel + interrupts + soft_interrupts + stolen;
    Some(MachineTicks { busy, all: busy + idle + waiting })
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Units {
    pub ticks_per_second: u64,
    pub page_bytes: u64,
}

pub(crate) fn units() -> Units {
    parse_auxv(&fs::read("/proc/self/auxv").unwrap_or_default())
}

/// Parses the auxiliary vector of `getauxval(3)`: pairs of machine words, a type and a value.
fn parse_auxv(auxv: &[u8]) -> Units {
    const PAGE_BYTES: usize = 6;
    const TICKS_PER_SECOND: usize = 17;
    const WORD: usize = size_of::<usize>();
    let mut units = Units { ticks_per_second: 100, page_bytes: 4096 };
    for pair in auxv.chunks_exact(2 * WORD) {
        let (kind, value) = pair.split_at(WORD);
        let [kind, value] = [kind, value].map(|word| usize::from_ne_bytes(word.try_into().unwrap_or_default()));
        match kind {
            PAGE_BYTES => units.page_bytes = value as u64,
            TICKS_PER_SECOND => units.ticks_per_second = value as u64,
            _ => {}
        }
    }
    units
}

pub(crate) fn cpu_model() -> Option<String> {
    parse_cpu_model(&fs::read_to_string("/proc/cpuinfo").ok()?)
}

fn parse_cpu_model(cpuinfo: &str) -> Option<String> {
    let (_, model) = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "))?;
    Some(model.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_of_a_process_is_parsed() {
        let process = |is_running| Process {
            pid: 7,
            parent: 1,
            group: 5,
            is_running,
            cpu_ticks: 1234,
            started_ticks: 1_444_909,
            resident_pages: 400,
        };
        for (start, expected) in [
            ("7 (sh) S 1 5", process(true)),
            ("7 (a) b) (c) R 1 5", process(true)),
            ("7 (sh) Z 1 5", process(false)),
            ("7 (sh) X 1 5", process(false)),
        ] {
            let line = format!("{start} 5 0 -1 4194304 101 0 0 0 4 30 200 1000 20 0 1 0 1444909 3133440 400 184467");
            assert_eq!(parse_stat(&line), Some(expected), "{line}");
        }
        for short in ["7 (sh) S 1 5 5 0 -1 4194304 101 0 0 0 4 30 200 1000 20 0", "7 (sh) S 1", "7 (sh) S 1 group", ""]
        {
            assert_eq!(parse_stat(short), None, "{short}");
        }
    }

    #[test]
    fn sets_of_signals_are_parsed() {
        let status = "Name:\tperf\nSigPnd:\t0000000000000001\nShdPnd:\t0000000000004000\nSigBlk:\t0000000000004000\nSigIgn:\t0000000000001001\n";
        let masks = parse_signals(status);
        assert_eq!(masks, SignalMasks { ignored: 0x1001, blocked: 0x4000, pending: 0x4000 });
        assert!(holds(masks.blocked, 15) && !holds(masks.blocked, 2) && holds(masks.ignored, 1));
        assert_eq!(parse_signals(""), SignalMasks::default());
    }

    #[test]
    fn variable_is_found_by_its_whole_name() {
        let environ = b"HOME=/root\0A=\0AB=1=2\0";
        for (name, expected) in [("A", Some("")), ("AB", Some("1=2")), ("OME", None), ("B", None)] {
            assert_eq!(parse_environ(environ, name).as_deref(), expected.map(str::as_bytes), "{name}");
        }
        assert_eq!(parse_environ(b"", "A"), None);
    }

    #[test]
    fn line_of_a_socket_is_parsed() {
        for (line, expected) in [
            (
                "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000  0 31337 1 0 100",
                Some(Socket { port: 8080, is_listening: true, inode: "31337" }),
            ),
            (
                "   1: 00000000000000000000000001000000:0050 0:0 01 0:0 00:0 0 0 0 7",
                Some(Socket { port: 80, is_listening: false, inode: "7" }),
            ),
            ("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode", None),
            ("   0: 0100007F:1F90 00000000:0000 0A", None),
            ("", None),
        ] {
            assert_eq!(parse_tcp_line(line), expected, "{line}");
        }
    }

    #[test]
    fn ticks_of_the_machine_are_parsed() {
        let stat = "cpu  100 20 30 1000 50 4 5 6 7 8\ncpu0 1 2 3 4 5 6 7 8 9 10\nintr 1\n";
        assert_eq!(parse_machine_ticks(stat), Some(MachineTicks { busy: 165, all: 1215 }));
        for broken in ["", "cpu  1 2 3\n", "cpu  1 2 3 4 5 6 7 x\n", "cpu0 1 2 3 4 5 6 7 8\n"] {
            assert_eq!(parse_machine_ticks(broken), None, "{broken}");
        }
    }

    #[test]
    fn units_come_from_the_auxiliary_vector() {
        let vector = |words: &[usize]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
        let units = |ticks_per_second, page_bytes| Units { ticks_per_second, page_bytes };
        assert_eq!(parse_auxv(&vector(&[33, 7, 6, 16384, 17, 250, 0, 0])), units(250, 16384));
        assert_eq!(parse_auxv(&vector(&[17, 250, 6])), units(250, 4096));
        assert_eq!(parse_auxv(b"cut"), units(100, 4096));
    }

    #[test]
    fn cpu_model_is_the_first_one_named() {
        let cpuinfo = "processor\t: 0\nmodel\t\t: 106\nmodel name\t: A CPU @ 2.80GHz \nmodel name\t: another\n";
        assert_eq!(parse_cpu_model(cpuinfo).as_deref(), Some("A CPU @ 2.80GHz"));
        assert_eq!(parse_cpu_model("processor\t: 0\n"), None);
    }
}
