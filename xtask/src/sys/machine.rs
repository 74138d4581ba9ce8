//! The machine: its description, to tell one runner from another, and the process that holds a port.

use std::fs;
use std::path::PathBuf;
use std::thread::available_parallelism;

use judge::model::run::Machine;
use judge::model::text::printable;
use xshell::{Shell, cmd};

/// Describes this machine.
pub fn describe(shell: &Shell) -> Machine {
    Machine {
        cpu: cpu(shell).unwrap_or_else(|| "unknown CPU".to_owned()),
        cores: available_parallelism().map_or(1, usize::from),
        os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    }
}

fn cpu(shell: &Shell) -> Option<String> {
    if let Ok(cpuinfo) = fs::read_to_string("/proc/cpuinfo") {
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        return model.map(|(_, model)| model.trim().to_owned());
    }
    cmd!(shell, "sysctl -n machdep.cpu.brand_string").quiet().ignore_stderr().read().ok()
}

/// Describes the process that listens on the port, where the machine tells.
pub fn holder_of(port: u16) -> String {
    let described = listeners_on(port).first().and_then(|pid| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        Some(format!("`{}` (process {pid})", printable(name.trim())))
    });
    described.unwrap_or_else(|| "another process".to_owned())
}

/// Returns the processes that listen on the port, as far as the machine tells.
pub fn listeners_on(port: u16) -> Vec<u32> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let sockets = tables.iter().flat_map(|table| table.lines()).filter_map(parse_tcp_line);
    let listening = sockets.filter(|socket| socket.is_listening && socket.port == port);
    let names: Vec<String> = listening.map(|socket| format!("socket:[{}]", socket.inode)).collect();
    let is_named = |link: PathBuf| names.iter().any(|name| link.as_os_str() == name.as_str());
    let mut listeners = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        if files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(is_named)) {
            listeners.push(pid);
        }
    }
    listeners
}

/// A line of `/proc/net/tcp`.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_read_from_proc() {
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
}
