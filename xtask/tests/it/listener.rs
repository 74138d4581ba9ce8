//! The listener's own rules, by bare Python: no Locust is needed.

use std::process::Command;

use crate::real::root;

#[test]
fn the_listeners_table_of_cases_holds() {
    let mut python = Command::new("python3");
    let output = python.arg("xtask/locust/test_perf_listener.py").current_dir(root()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim_end().ends_with("OK"), "{said}");
}
