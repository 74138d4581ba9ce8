//! The same program for those without Rust, as the Python package has it (`pyproject.toml`): it is called `locust-gate perf`.

use std::process::ExitCode;

fn main() -> ExitCode {
    locust_gate::main()
}
