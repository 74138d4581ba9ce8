//! `cargo xtask perf`: is this service slower than its committed baseline?
//!
//! A repository's own `xtask` depends on this crate, and its `main` is one line:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     locust_gate::main()
//! }
//! ```
//!
//! An `xtask` that has other commands calls [`exit_after_own_command`] first.
//!
//! This crate is the shell around the pure crates `judge` and `report`: processes, files, git and Locust. It reads from
//! `commands::perf` on, and ARCHITECTURE.md is the map.

#[cfg(feature = "maintenance")]
pub mod adopt;
mod commands;
pub mod config;
#[cfg(feature = "maintenance")]
pub mod maintenance_flags;
pub mod run;
#[cfg(feature = "maintenance")]
pub mod selftest;
pub mod sys;

use std::env;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use judge::model::program;
use report::Unjudged;
use report::formats::terminal;

use crate::commands::bisect::bisect;
use crate::commands::history::history;
use crate::commands::outcome::Outcome;
use crate::commands::perf::perf;
use crate::config::flags::{COMMANDS, Command, HELP, help_of, parse};
use crate::sys::invocation::Invocation;
use crate::sys::screen::screen;
use crate::sys::{printer, process};

/// Runs the command that the arguments of this process ask for, and prints the result: the report to stdout, the rest to
/// stderr. It is the whole `main` of a program that has no other commands.
///
/// The exit code is 0 for a pass, 1 for a regression, 2 for no verdict, 129, 130 or 143 after a signal.
pub fn main() -> ExitCode {
    let args = env::args_os().skip(1).collect();
    #[cfg(feature = "maintenance")]
    return ExitCode::from(exit_code(args, run_maintenance));
    #[cfg(not(feature = "maintenance"))]
    run(args)
}

#[cfg(feature = "maintenance")]
fn run_maintenance(args: Vec<OsString>) -> Outcome {
    use crate::maintenance_flags::MaintenanceCommand;
    let outcome = match maintenance_flags::parse(args) {
        Ok(MaintenanceCommand::Other(args)) => return run_gate(args),
        Ok(MaintenanceCommand::Help("")) => Ok(Outcome::Done(named(&format!("{HELP}\n{}", maintenance_flags::HELP)))),
        Ok(MaintenanceCommand::Help(command)) => {
            let commands = &maintenance_flags::COMMANDS;
            Ok(Outcome::Done(named(&help_of(maintenance_flags::HELP, commands, command))))
        }
        Ok(MaintenanceCommand::Selftest { quick }) => selftest::selftest(quick),
        Ok(MaintenanceCommand::Adopt(flags)) => adopt::adopt(&flags).map(Outcome::Done),
        Err(error) => Err(error),
    };
    outcome.into()
}

/// Runs a command of the gate. `args` are the command and its flags, without the program's name. A program that has other
/// commands too calls it once, on the main thread, before it starts other threads, because SIGINT and SIGTERM are handled from
/// then on. Messages use the name by which this process was invoked.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     let args: Vec<_> = std::env::args_os().skip(1).collect();
///     match args.first().and_then(|command| command.to_str()) {
///         Some("perf" | "bisect" | "history") => locust_gate::run(args),
///         _ => ExitCode::SUCCESS, // The other commands.
///     }
/// }
/// ```
pub fn run(args: Vec<OsString>) -> ExitCode {
    ExitCode::from(exit_code(args, run_gate))
}

fn exit_code(args: Vec<OsString>, command: fn(Vec<OsString>) -> Outcome) -> u8 {
    process::reset_signals();
    remember_name(&args);
    finish(&command(args))
}

fn run_gate(args: Vec<OsString>) -> Outcome {
    match parse(args) {
        Ok(Command::Help(command)) if COMMANDS.contains(&command.as_str()) => {
            Outcome::Done(named(&help_of(HELP, &COMMANDS, &command)))
        }
        Ok(Command::Help(_)) => Outcome::Done(named(HELP)),
        Ok(Command::Version) => Outcome::Done(format!("locust-gate {}", sys::version::text())),
        Ok(Command::Perf(flags)) => perf(&flags),
        Ok(Command::Bisect(flags)) => bisect(&flags).into(),
        Ok(Command::History(flags)) => history(&flags).into(),
        Err(error) => error.into(),
    }
}

/// Runs a command of the gate and ends the process with its exit code, if the first argument names one; otherwise returns.
/// It is for the top of the `main` of an `xtask` that parses other commands, whatever its `main` returns.
pub fn exit_after_own_command() {
    let args: Vec<_> = env::args_os().skip(1).collect();
    let is_ours = |command: &str| COMMANDS.contains(&command);
    if args.first().and_then(|command| command.to_str()).is_some_and(is_ours) {
        std::process::exit(i32::from(exit_code(args, run_gate)));
    }
}

/// Messages use it. `args` are the arguments of the gate's command.
fn remember_name(args: &[OsString]) {
    let folder = env::current_dir().unwrap_or_default();
    program::set_name(Invocation::of_this_process().name(args, &folder));
}

fn named(help: &str) -> String {
    help.trim_end().replace("cargo xtask", program::name())
}

/// Output that cannot be printed does not change the exit code.
fn finish(outcome: &Outcome) -> u8 {
    let (stdout, stderr) = last_words(outcome);
    let _ = printer::report(move || {
        anstream::stdout().write_all(stdout.as_bytes())?;
        anstream::stderr().write_all(stderr.as_bytes())
    });
    outcome.exit_code()
}

/// What is printed at the end, to stdout and to stderr.
fn last_words(outcome: &Outcome) -> (String, String) {
    let for_stderr = |unjudged: &Unjudged| terminal::render_unjudged(unjudged, screen(&io::stderr()));
    match outcome {
        Outcome::Judged { .. } => (String::new(), String::new()),
        Outcome::Done(message) | Outcome::NotFound(message) => (format!("{message}\n"), String::new()),
        Outcome::Unjudged { unjudged, .. } if unjudged.exit_code() == 0 => {
            (terminal::render_unjudged(unjudged, screen(&io::stdout())), String::new())
        }
        Outcome::Unjudged { unjudged, log_tail } => {
            let tail: Vec<String> = log_tail.lines().map(|line| format!("  | {line}\n")).collect();
            (String::new(), tail.concat() + &for_stderr(unjudged))
        }
        Outcome::ReportMissing(reason) => (String::new(), for_stderr(&Unjudged::NoVerdict(reason.clone()))),
        Outcome::Interrupted(interrupted) => (String::new(), format!("INTERRUPTED: {interrupted}, no verdict\n")),
    }
}
