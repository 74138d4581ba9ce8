//! Parses, dispatches, and turns the outcome into the one exit code.

use std::io::Write as _;
use std::process::ExitCode;

use anstream::{stderr, stdout};
use xtask::adopt::adopt;
use xtask::compare::Verdict;
use xtask::flags::{BISECT_EXIT_CODES, Command, HELP, parse};
use xtask::perf::{Outcome, perf};
use xtask::process::{Failure, Interrupted};
use xtask::report::error_line;
use xtask::selftest::selftest;

fn main() -> ExitCode {
    // Also where the other flags cannot be read: `git bisect run` takes 2 for a bad commit.
    let not_judged = if std::env::args_os().any(|arg| arg == BISECT_EXIT_CODES) { 125 } else { 2 };
    let outcome = parse(std::env::args_os().skip(1).collect()).and_then(|command| match command {
        Command::Help => Ok(Outcome::Done(HELP.trim_end().to_owned())),
        Command::Perf(flags) => perf(&flags),
        Command::Selftest(flags) => selftest(&flags).map(Outcome::Judged),
        Command::Adopt(flags) => adopt(&flags).map(Outcome::Done),
    });
    match outcome {
        Ok(Outcome::Judged(Verdict::Pass)) => ExitCode::SUCCESS,
        Ok(Outcome::Judged(Verdict::Fail)) => ExitCode::from(1),
        Ok(Outcome::Done(message)) => {
            let _ = writeln!(stdout(), "{message}");
            ExitCode::SUCCESS
        }
        Ok(Outcome::SavedInCi(message)) => {
            let _ = writeln!(stderr(), "NOT JUDGED: {message}");
            ExitCode::from(not_judged)
        }
        Err(error) => report_error(&error, not_judged),
    }
}

fn report_error(error: &anyhow::Error, not_judged: u8) -> ExitCode {
    if let Some(interrupted @ Interrupted { signal }) = error.downcast_ref() {
        let _ = writeln!(stderr(), "INTERRUPTED: {interrupted}, nothing was judged");
        return ExitCode::from(128 + signal);
    }
    if let Some(failure) = error.downcast_ref::<Failure>() {
        for line in failure.tail.lines() {
            let _ = writeln!(stderr(), "  | {line}");
        }
    }
    let style = anstyle::AnsiColor::Red.on_default().bold();
    let _ = writeln!(stderr(), "{style}NOT JUDGED{style:#}: {}", error_line(error));
    ExitCode::from(not_judged)
}
