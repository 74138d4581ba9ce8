//! What the machine says of itself, to tell one runner from another.

use std::fs;
use std::thread::available_parallelism;

use xshell::{Shell, cmd};

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
