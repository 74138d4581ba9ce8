//! This repository's commands: `perf` from the library, and `selftest` and `adopt`, which only make sense here.

mod repo;

use std::process::ExitCode;

fn main() -> ExitCode {
    repo::main()
}
