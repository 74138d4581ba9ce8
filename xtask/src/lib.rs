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
//! One that has other commands calls [`run`] for those of the gate.
//!
//! This is the shell around the pure crates `judge` and `report`: processes, files, git and Locust. [`story::perf`] is
//! the story of the command; ARCHITECTURE.md is the map.

#[cfg(feature = "maintenance")]
pub mod adopt;
pub mod commands;
pub mod config;
#[cfg(feature = "maintenance")]
pub mod repo_flags;
pub mod run;
#[cfg(feature = "maintenance")]
pub mod selftest;
pub mod sys;

use std::env;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anstream::{stderr, stdout};
use anyhow::Result;
use judge::model::program;
use judge::model::text::error_line;
use judge::verdict::compare::Verdict;
use report::Unjudged;
use report::formats::terminal;

use crate::commands::history::history;
use crate::commands::perf::{Outcome, perf};
use crate::config::flags::{Command, HELP, parse, wants_bisect_exit_codes};
use crate::sys::invocation::Call;
use crate::sys::process::{Failure, Interrupted};
use crate::sys::screen::screen;

/// The exit code of a command without a verdict.
const NO_VERDICT: u8 = 2;
/// The same for `git bisect run`, which takes 2 for a bad commit and skips this one.
const NO_VERDICT_IN_BISECT: u8 = 125;

/// Runs the command that the arguments of this process ask for, and prints what comes of it: the report to stdout, the rest
/// to stderr. It is the whole `main` of a program that has the gate's commands alone.
///
/// The exit code is 0 for a pass, 1 for a regression, 2 where there is no verdict, 130 or 143 after a signal.
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
    use crate::repo_flags::Command;
    remember_name(&args);
    let outcome = match repo_flags::parse(args) {
        Ok(Command::Library(args)) => return run(args),
        Ok(Command::Help) => Ok(Outcome::Done(named(&format!("{HELP}\n{}", repo_flags::HELP)))),
        Ok(Command::Selftest(flags)) => selftest::selftest(&flags).map(Outcome::Judged),
        Ok(Command::Adopt(flags)) => adopt::adopt(&flags).map(Outcome::Done),
        Err(error) => Err(error),
    };
    exit_code(outcome, NO_VERDICT)
}

/// Runs the command that the arguments ask for, without the program's name: a command, and its flags. It is the arm of a program
/// that has other commands too, and ends as [`main`] does. Call it once, on the main thread, before other threads are
/// started: it handles SIGINT and SIGTERM from then on. Messages name the command as this process was called.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     let args: Vec<_> = std::env::args_os().skip(1).collect();
///     match args.first().and_then(|command| command.to_str()) {
///         Some("perf" | "history") => locust_gate::run(args),
///         _ => ExitCode::SUCCESS, // The other commands.
///     }
/// }
/// ```
pub fn run(args: Vec<OsString>) -> ExitCode {
    remember_name(&args);
    let no_verdict = if wants_bisect_exit_codes(&args) { NO_VERDICT_IN_BISECT } else { NO_VERDICT };
    let outcome = parse(args).and_then(|command| match command {
        Command::Help => Ok(Outcome::Done(named(HELP))),
        Command::Version => Ok(Outcome::Done(format!("locust-gate {}", sys::version::text()))),
        Command::Perf(flags) => perf(&flags),
        Command::History(flags) => history(&flags),
    });
    exit_code(outcome, no_verdict)
}

/// Keeps the name that this process was called by, for messages. `args` are the arguments of the gate's command.
pub fn remember_name(args: &[OsString]) {
    let folder = env::current_dir().unwrap_or_default();
    program::set_name(Call::of_this_process().name(args, &folder));
}

/// Returns a text of help with the name that this process was called by.
pub fn named(help: &str) -> String {
    help.trim_end().replace("cargo xtask", program::name())
}

/// Prints how a command ended, and returns its exit code. `no_verdict` is that of a command without a verdict.
pub fn exit_code(outcome: Result<Outcome>, no_verdict: u8) -> ExitCode {
    match outcome {
        Ok(Outcome::Judged(verdict @ (Verdict::Pass | Verdict::Fail))) => ExitCode::from(verdict.exit_code()),
        Ok(Outcome::Done(message)) => {
            let _ = writeln!(stdout(), "{message}");
            ExitCode::SUCCESS
        }
        Ok(Outcome::Saved(unjudged)) => {
            let screen = screen(&io::stdout());
            let text = terminal::render_unjudged(&unjudged, screen);
            if unjudged.exit_code() == 0 {
                let _ = write!(stdout(), "{text}");
                ExitCode::SUCCESS
            } else {
                let _ = write!(stderr(), "{text}");
                ExitCode::from(no_verdict)
            }
        }
        Err(error) => report_error(&error, no_verdict),
    }
}

fn report_error(error: &anyhow::Error, no_verdict: u8) -> ExitCode {
    if let Some(interrupted @ Interrupted { signal }) = error.downcast_ref() {
        let _ = writeln!(stderr(), "INTERRUPTED: {interrupted}, no verdict");
        return ExitCode::from(128 + signal);
    }
    if let Some(failure) = error.downcast_ref::<Failure>() {
        for line in failure.tail.lines() {
            let _ = writeln!(stderr(), "  | {line}");
        }
    }
    let text = terminal::render_unjudged(&Unjudged::NoVerdict(error_line(error)), screen(&io::stderr()));
    let _ = write!(stderr(), "{text}");
    ExitCode::from(no_verdict)
}
