//! What the machine says of itself: to tell one runner from another, and who holds a port.

use std::fs;
use std::thread::available_parallelism;

use xshell::{Shell, cmd};

use crate::report::printable;
use crate::run::Machine;

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

/// Who listens on the port, where the machine tells.
pub fn holder_of(port: u16) -> String {
    find_holder(port).unwrap_or_else(|| "another process".to_owned())
}

fn find_holder(port: u16) -> Option<String> {
    const LISTENS: &str = "0A";
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    // NUMBER: LOCAL:PORT REMOTE:PORT STATE QUEUES TIMER RETRANSMITS USER TIMEOUT INODE ...
    let inode = tables.iter().flat_map(|table| table.lines()).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it = fields.get(1)?.ends_with(&format!(":{port:04X}")) && *fields.get(3)? == LISTENS;
        is_it.then(|| *fields.get(9).unwrap_or(&""))
    })?;
    let socket = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.filter_map(Result::ok).find_map(|process| {
        let files = fs::read_dir(process.path().join("fd")).ok()?;
        let mut links = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        links.any(|link| link.as_os_str() == socket.as_str()).then_some(())?;
        let name = fs::read_to_string(process.path().join("comm")).ok()?;
        Some(format!("`{}` (process {})", printable(name.trim()), process.file_name().to_string_lossy()))
    })
}
