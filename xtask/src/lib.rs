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
//! An `xtask` that has other commands calls [`run`] for the gate's commands.
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

use anstream::{stderr, stdout};
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

/// Runs the command that the arguments of this process ask for, and prints the result: the report to stdout, the rest to
/// stderr. It is the whole `main` of a program that has no other commands.
///
/// The exit code is 0 for a pass, 1 for a regression, 2 for no verdict, 130 or 143 after a signal.
pub fn main() -> ExitCode {
    let args: Vec<_> = env::args_os().skip(1).collect();
    #[cfg(feature = "maintenance")]
    return run_maintenance(args);
    #[cfg(not(feature = "maintenance"))]
    run(args)
}

/// Runs a command of the gate's own repository (`selftest`, `adopt`), or one that every repository has.
#[cfg(feature = "maintenance")]
fn run_maintenance(args: Vec<OsString>) -> ExitCode {
    use crate::maintenance_flags::MaintenanceCommand;
    remember_name(&args);
    let outcome = match maintenance_flags::parse(args) {
        Ok(MaintenanceCommand::Other(args)) => return run(args),
        Ok(MaintenanceCommand::Help(None)) => Ok(Outcome::Done(named(&format!("{HELP}\n{}", maintenance_flags::HELP)))),
        Ok(MaintenanceCommand::Help(Some(command))) => {
            let commands = &maintenance_flags::COMMANDS;
            Ok(Outcome::Done(named(&help_of(maintenance_flags::HELP, commands, command))))
        }
        Ok(MaintenanceCommand::Selftest(flags)) => selftest::selftest(&flags).map(Outcome::Judged),
        Ok(MaintenanceCommand::Adopt(flags)) => adopt::adopt(&flags).map(Outcome::Done),
        Err(error) => Err(error),
    };
    finish(&outcome.into())
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
    remember_name(&args);
    let outcome = match parse(args) {
        Ok(Command::Help(Some(command))) if COMMANDS.contains(&command.as_str()) => {
            Outcome::Done(named(&help_of(HELP, &COMMANDS, &command)))
        }
        Ok(Command::Help(_)) => Outcome::Done(named(HELP)),
        Ok(Command::Version) => Outcome::Done(format!("locust-gate {}", sys::version::text())),
        Ok(Command::Perf(flags)) => perf(&flags),
        Ok(Command::Bisect(flags)) => bisect(&flags).into(),
        Ok(Command::History(flags)) => history(&flags).into(),
        Err(error) => error.into(),
    };
    finish(&outcome)
}

/// Stores the name by which this process was invoked, for messages. `args` are the arguments of the gate's command.
fn remember_name(args: &[OsString]) {
    let folder = env::current_dir().unwrap_or_default();
    program::set_name(Invocation::of_this_process().name(args, &folder));
}

/// A help text with the name by which this process was invoked.
fn named(help: &str) -> String {
    help.trim_end().replace("cargo xtask", program::name())
}

/// Prints how a command ended. Output that cannot be printed does not change the exit code.
fn finish(outcome: &Outcome) -> ExitCode {
    let code = outcome.exit_code();
    let _ = match outcome {
        Outcome::Judged(_) | Outcome::Inconclusive => Ok(()),
        Outcome::Done(message) | Outcome::NotFound(message) => writeln!(stdout(), "{message}"),
        Outcome::Unjudged { unjudged, .. } if code == 0 => {
            write!(stdout(), "{}", terminal::render_unjudged(unjudged, screen(&io::stdout())))
        }
        Outcome::Unjudged { unjudged, log_tail } => {
            for line in log_tail.lines() {
                let _ = writeln!(stderr(), "  | {line}");
            }
            write!(stderr(), "{}", terminal::render_unjudged(unjudged, screen(&io::stderr())))
        }
        Outcome::ReportMissing(reason) => {
            let unjudged = Unjudged::NoVerdict(reason.clone());
            write!(stderr(), "{}", terminal::render_unjudged(&unjudged, screen(&io::stderr())))
        }
        Outcome::Interrupted(interrupted) => writeln!(stderr(), "INTERRUPTED: {interrupted}, no verdict"),
    };
    ExitCode::from(code)
}
