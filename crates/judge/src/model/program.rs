//! The program name used in suggested commands.

use std::sync::OnceLock;

static NAME: OnceLock<String> = OnceLock::new();

pub fn set_name(name: String) {
    // A process has one name; a later one is of a call inside the first.
    let _ = NAME.set(name);
}

/// `cargo xtask`, unless it was set.
pub fn name() -> &'static str {
    NAME.get().map_or("cargo xtask", String::as_str)
}
