//! The machine: its description, to tell one runner from another, and the process that holds a port.

use std::thread::available_parallelism;

use judge::model::run::Machine;
use xshell::{Shell, cmd};

use crate::sys::proc;

pub fn describe(shell: &Shell) -> Machine {
    let by_sysctl = || cmd!(shell, "sysctl -n machdep.cpu.brand_string").quiet().ignore_stderr().read().ok();
    let cpu = if cfg!(target_os = "linux") { proc::cpu_model() } else { by_sysctl() };
    Machine {
        cpu: cpu.unwrap_or_else(|| "unknown CPU".to_owned()),
        cores: available_parallelism().map_or(1, usize::from),
        os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    }
}

/// Describes the process that listens on the port.
pub(crate) fn holder_of(port: u16) -> String {
    let pid = proc::listeners_on(port).first().copied();
    pid.and_then(|pid| proc::describe(pid.cast_signed())).unwrap_or_else(|| "another process".to_owned())
}
