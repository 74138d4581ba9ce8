//! The same program in the Python package, for those without Rust.

use std::process::ExitCode;

fn main() -> ExitCode {
    locust_gate::main()
}
