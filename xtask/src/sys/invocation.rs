//! How this program was invoked, so that the commands in messages work when they are copied.

use std::env;
use std::ffi::OsString;
use std::path::Path;

use toml::{Table, Value};

use crate::sys::files;

/// The program of the Python package.
pub const PACKAGED: &str = "locust-gate";

pub struct Invocation {
    pub program: String,
    pub by_cargo: bool,
    /// All arguments of the process, without the program.
    pub arguments: Vec<OsString>,
}

impl Invocation {
    pub fn of_this_process() -> Invocation {
        let mut args = env::args_os();
        let path = args.next().unwrap_or_default();
        let program = Path::new(&path).file_name().unwrap_or_default().to_string_lossy().into_owned();
        Invocation { program, by_cargo: env::var_os("CARGO").is_some(), arguments: args.collect() }
    }

    /// The command prefix before `args`: `cargo xtask`, `locust-gate`, or `cargo dev bench` if the program has other
    /// commands too. Cargo looks for the alias in `folder` and above.
    pub fn name(&self, args: &[OsString], folder: &Path) -> String {
        let mut name = match self.program.as_str() {
            // Also a copy of the program.
            "xtask" => "cargo xtask".to_owned(),
            program if program != PACKAGED && self.by_cargo => {
                format!("cargo {}", alias_of(program, folder).as_deref().unwrap_or(program))
            }
            program => program.to_owned(),
        };
        let before = self.arguments.strip_suffix(args).unwrap_or_default();
        for word in before {
            name.push(' ');
            name.push_str(&word.to_string_lossy());
        }
        name
    }
}

/// Returns cargo's alias for a program, from the nearest configuration upwards that has one.
fn alias_of(program: &str, folder: &Path) -> Option<String> {
    folder.ancestors().find_map(|folder| {
        let text = files::read_to_string(&folder.join(".cargo/config.toml")).ok()?;
        let config: Table = toml::from_str(&text).ok()?;
        let aliases = config.get("alias")?.as_table()?;
        let runs = |command: &Value| match command {
            Value::String(command) => command.split_whitespace().any(|word| word == program),
            Value::Array(words) => words.iter().any(|word| word.as_str() == Some(program)),
            _ => false,
        };
        aliases.iter().find(|(_, command)| runs(command)).map(|(name, _)| name.clone())
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn name_is_the_prefix_of_the_invocation() {
        let folder = env::temp_dir().join(format!("locust-gate-invocation-{}", std::process::id()));
        fs::create_dir_all(folder.join(".cargo")).unwrap();
        fs::create_dir_all(folder.join("a/b")).unwrap();
        let aliases = "[alias]\nb = \"build\"\ndev = \"run --quiet --package tools --\"\nops = [\"run\", \"--bin\", \"ops-cli\"]\n";
        fs::write(folder.join(".cargo/config.toml"), aliases).unwrap();
        for (program, by_cargo, arguments, args, expected) in [
            ("xtask", true, "perf --strict", "perf --strict", "cargo xtask"),
            ("xtask", false, "perf", "perf", "cargo xtask"),
            ("locust-gate", false, "perf", "perf", "locust-gate"),
            ("locust-gate", true, "perf", "perf", "locust-gate"),
            ("tools", true, "bench perf --quiet", "perf --quiet", "cargo dev bench"),
            ("ops-cli", true, "perf", "perf", "cargo ops"),
            ("other", true, "perf", "perf", "cargo other"),
            ("other", false, "gate perf", "perf", "other gate"),
            // Arguments that the program made itself are no suffix.
            ("xtask", true, "speed", "perf", "cargo xtask"),
        ] {
            let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
            let invocation = Invocation { program: program.to_owned(), by_cargo, arguments: words(arguments) };
            assert_eq!(invocation.name(&words(args), &folder.join("a/b")), expected, "{program} {arguments}");
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
