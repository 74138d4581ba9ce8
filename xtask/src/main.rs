//! This repository's commands: `perf` from the library, and `selftest` and `adopt`, which only make sense here.

mod repo;

use std::env;
use std::process::ExitCode;

use locust_gate::story::perf::Outcome;

use crate::repo::adopt::adopt;
use crate::repo::flags::{Command, HELP, parse};
use crate::repo::selftest::selftest;

fn main() -> ExitCode {
    let args = env::args_os().skip(1).collect();
    let outcome = match parse(args) {
        Ok(Command::Library(args)) => return locust_gate::run(args),
        Ok(Command::Help) => Ok(Outcome::Done(format!("{}\n{}", locust_gate::flags::HELP, HELP.trim_end()))),
        Ok(Command::Selftest(flags)) => selftest(&flags).map(Outcome::Judged),
        Ok(Command::Adopt(flags)) => adopt(&flags).map(Outcome::Done),
        Err(error) => Err(error),
    };
    locust_gate::exit_code(outcome, 2)
}
