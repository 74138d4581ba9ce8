//! The command line of `selftest` and `adopt`, the commands that maintain the gate.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use pico_args::Arguments;

use crate::config::flags::{self, leftovers, split};

/// Printed below the help of the other commands.
pub const HELP: &str = "\
OTHER COMMANDS
  cargo xtask selftest [--quick]
  cargo xtask adopt PATH [--check] [--package WHAT]

selftest: checks the gate on this machine, in the gate's repository, with real Locust on the
bundled demo: unchanged, the demo must pass; slowed down, returning errors or crashed,
it must not.
adopt: installs the gate in the git repository at PATH, or in a folder of it. Existing files
are kept, and the next steps are listed.

FLAGS OF selftest
      --quick               fewer and shorter runs: about three minutes
  -h, --help                print this

FLAGS OF adopt
      --check               dry run: list what would be done, and write nothing
      --package WHAT        what pip installs in CI, for the Python package: locust-gate==VERSION,
                            the URL of a wheel, or the path of a wheel in the repository
  -h, --help                print this
";

pub const COMMANDS: [&str; 2] = ["selftest", "adopt"];

#[derive(Debug, PartialEq)]
pub enum MaintenanceCommand {
    /// Print the help of one command, or of all if it is empty.
    Help(&'static str),
    /// Another command, with all arguments.
    Other(Vec<OsString>),
    Selftest {
        quick: bool,
    },
    Adopt(Adopt),
}

#[derive(Debug, PartialEq)]
pub struct Adopt {
    /// The root of the other repository, or a folder in it.
    pub path: PathBuf,
    pub check: bool,
    pub package: Option<String>,
}

pub fn parse(args: Vec<OsString>) -> Result<MaintenanceCommand> {
    let command = args.first().and_then(|arg| arg.to_str()).unwrap_or_default().to_owned();
    let (mut own, locust_args) = split(args.clone())?;
    let maintenance = COMMANDS.into_iter().find(|known| *known == command);
    if !flags::COMMANDS.contains(&command.as_str()) && own.contains(["-h", "--help"]) {
        return Ok(MaintenanceCommand::Help(maintenance.unwrap_or_default()));
    }
    if maintenance.is_none() {
        return Ok(MaintenanceCommand::Other(args));
    }
    own.subcommand()?;
    if command == "adopt" { adopt(own, &locust_args) } else { selftest(own, &locust_args) }
}

fn selftest(mut args: Arguments, locust_args: &[String]) -> Result<MaintenanceCommand> {
    let quick = args.contains("--quick");
    let left = leftovers(args, "selftest", HELP, "")?;
    if let Some(left) = left.first().map(|path| path.to_string_lossy()).or(locust_args.first().map(Into::into)) {
        bail!("`{left}`: selftest takes no arguments but its flags: remove it");
    }
    Ok(MaintenanceCommand::Selftest { quick })
}

fn adopt(mut args: Arguments, locust_args: &[String]) -> Result<MaintenanceCommand> {
    let check = args.contains("--check");
    let package =
        args.opt_value_from_str("--package").map_err(|_| anyhow!("`--package` needs a value: `--package WHAT`"))?;
    let left = leftovers(args, "adopt", HELP, "")?;
    match (&left[..], locust_args) {
        ([path], []) => Ok(MaintenanceCommand::Adopt(Adopt { path: path.clone(), check, package })),
        _ => bail!("adopt takes one PATH: the git repository to install the gate in, or a folder of it"),
    }
}
