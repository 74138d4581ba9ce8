//! The machine: its clock, its description, to tell one runner from another, and the process that holds a port.

use std::thread::available_parallelism;
use std::time::{Duration, SystemTime};

use judge::model::day::Day;
use judge::model::run::Machine;
use xshell::{Shell, cmd};

use crate::sys::proc;

/// A time in UTC, as in RFC 3339. A clock that was never set may be before 1970, and one that is broken beyond the year 9999.
pub(crate) fn timestamp(time: SystemTime) -> String {
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_seconds(time.clamp(SystemTime::UNIX_EPOCH, last)).to_string()
}

pub(crate) fn days_from_today(days: u64) -> Day {
    let then = SystemTime::now() + Duration::from_secs(days * 86_400);
    Day::of_timestamp(&timestamp(then)).expect("a time begins with its day")
}

pub(crate) fn today() -> Day {
    days_from_today(0)
}

pub fn describe(shell: &Shell) -> Machine {
    let by_sysctl = || cmd!(shell, "sysctl -n machdep.cpu.brand_string").quiet().ignore_stderr().read().ok();
    let cpu = if cfg!(target_os = "linux") { proc::cpu_model() } else { by_sysctl() };
    Machine {
        cpu: cpu.unwrap_or_else(|| "unknown CPU".to_owned()),
        cores: available_parallelism().map_or(1, usize::from),
        os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    }
}

pub(crate) fn holder_of(port: u16) -> String {
    match proc::listeners_on(port).first() {
        Some(pid) => proc::describe(pid.cast_signed()),
        None => proc::ANOTHER.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_clock_has_a_timestamp() {
        let second = Duration::from_secs(1);
        for (time, expected) in [
            (SystemTime::UNIX_EPOCH - second, "1970-01-01T00:00:00Z"),
            (SystemTime::UNIX_EPOCH + second, "1970-01-01T00:00:01Z"),
            (SystemTime::UNIX_EPOCH + second * 400_000_000 * 1000, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(timestamp(time), expected);
        }
    }
}
