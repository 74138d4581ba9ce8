//! The commands that only this repository has, and the program that has them beside those of the library.

pub mod adopt;
pub mod files;
pub mod flags;
pub mod found;
pub mod package;
pub mod selftest;
pub mod source;
pub mod workflow;

use std::env;
use std::process::ExitCode;

use locust_gate::story::perf::Outcome;

use self::adopt::adopt;
use self::flags::{Command, HELP, parse};
use self::selftest::selftest;

/// Runs the command that the arguments of this process ask for.
pub fn main() -> ExitCode {
    let args: Vec<_> = env::args_os().skip(1).collect();
    locust_gate::remember_name(&args);
    let outcome = match parse(args) {
        Ok(Command::Library(args)) => return locust_gate::run(args),
        Ok(Command::Help) => Ok(Outcome::Done(locust_gate::named(&format!("{}\n{HELP}", locust_gate::flags::HELP)))),
        Ok(Command::Selftest(flags)) => selftest(&flags).map(Outcome::Judged),
        Ok(Command::Adopt(flags)) => adopt(&flags).map(Outcome::Done),
        Err(error) => Err(error),
    };
    locust_gate::exit_code(outcome, 2)
}
