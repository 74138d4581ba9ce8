//! The command line of this repository's own commands.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::config::flags::{leftovers, split};
use anyhow::{Result, bail};
use pico_args::Arguments;

/// The help of these commands, printed below that of the library's.
pub const HELP: &str = "\
OTHER COMMANDS
  cargo xtask selftest [--quick]
  cargo xtask adopt PATH [--check] [--vendor]

selftest: checks the gate on this machine, in its own repository, with real Locust on the
bundled demo: the unchanged demo passes; slower, failing and crashed ones do not.
adopt: installs the gate in the git repository at PATH, or in a folder of it; existing files
are kept and listed, followed by the next steps.

FLAGS OF selftest
      --quick               fewer and shorter runs: about three minutes
  -h, --help                print this

FLAGS OF adopt
      --check               only say what would be done
      --vendor              copy the gate's source, instead of depending on its repository
  -h, --help                print this
";

/// The command that was asked for.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// Print the help of all commands.
    Help,
    /// A command of the library, with its arguments.
    Library(Vec<OsString>),
    /// Check the gate on this machine.
    Selftest(Selftest),
    /// Install the gate in another repository.
    Adopt(Adopt),
}

/// The flags of `cargo xtask selftest`.
#[derive(Debug, Default, PartialEq)]
pub struct Selftest {
    /// `--quick`.
    pub quick: bool,
}

/// The arguments of `cargo xtask adopt`.
#[derive(Debug, PartialEq)]
pub struct Adopt {
    /// The root of the other repository, or a folder in it.
    pub path: PathBuf,
    /// `--check`.
    pub check: bool,
    /// `--vendor`.
    pub vendor: bool,
}

/// Parses the arguments after the program's name.
///
/// # Errors
///
/// Names what is wrong with the arguments of one of these commands.
pub fn parse(args: Vec<OsString>) -> Result<Command> {
    let command = args.first().and_then(|arg| arg.to_str()).unwrap_or_default().to_owned();
    let (mut own, locust_args) = split(args.clone())?;
    if own.contains(["-h", "--help"]) {
        return Ok(Command::Help);
    }
    if !["selftest", "adopt"].contains(&command.as_str()) {
        return Ok(Command::Library(args));
    }
    own.subcommand()?;
    if command == "adopt" { adopt(own, &locust_args) } else { selftest(own, &locust_args) }
}

fn selftest(mut args: Arguments, locust_args: &[String]) -> Result<Command> {
    let selftest = Selftest { quick: args.contains("--quick") };
    let left = leftovers(args, "selftest", HELP, "")?;
    if let Some(left) = left.first().map(|path| path.to_string_lossy()).or(locust_args.first().map(Into::into)) {
        bail!("`{left}`: selftest takes nothing but its flags; leave it out");
    }
    Ok(Command::Selftest(selftest))
}

fn adopt(mut args: Arguments, locust_args: &[String]) -> Result<Command> {
    let (check, vendor) = (args.contains("--check"), args.contains("--vendor"));
    let left = leftovers(args, "adopt", HELP, "")?;
    match (&left[..], locust_args) {
        ([path], []) => Ok(Command::Adopt(Adopt { path: path.clone(), check, vendor })),
        _ => bail!("adopt takes one PATH, the git repository to install the gate in, or a folder of it"),
    }
}
