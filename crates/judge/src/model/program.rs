//! The name of this program in the commands that messages tell a person to call.

use std::sync::OnceLock;

static NAME: OnceLock<String> = OnceLock::new();

/// Sets the name, once: a process is called by one name.
pub fn set_name(name: String) {
    // A second name is that of a call inside the first one.
    let _ = NAME.set(name);
}

/// Returns the name that the program was called by: `cargo xtask`, unless it was set.
pub fn name() -> &'static str {
    NAME.get().map_or("cargo xtask", String::as_str)
}
