//! The same program for those without Rust, as the Python package has it (`pyproject.toml`): it is called `locust-gate perf`.

#[path = "../repo/mod.rs"]
mod repo;

use std::process::ExitCode;

fn main() -> ExitCode {
    repo::main()
}
