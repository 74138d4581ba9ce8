//! This repository's commands: `perf` from the library, and `selftest` and `adopt`, which only make sense here.

use std::process::ExitCode;

fn main() -> ExitCode {
    locust_gate::main()
}
