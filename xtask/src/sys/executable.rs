//! The executable of a process, identified by device and inode.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Names, without versions, of programs that run a service from other files.
const RUN_OTHER_FILES: &str = "\
bash beam.smp bun caddy dash deno dotnet frankenphp haproxy httpd java lua mono nginx node perl php \
php-fpm pypy python rr ruby sh unitd uwsgi";

/// Folders into which tools are installed, and no project builds. A path in Nix's store changes with the code.
const OF_TOOLS: [&str; 4] = ["/usr", "/bin", "/sbin", "/nix/store"];

const OF_TOOLS_IN_A_CHECKOUT: [&str; 3] = [".venv", "venv", "node_modules"];

/// Two executables are equal if they are the same file, and nobody wrote to it in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executable {
    pub path: PathBuf,
    device: u64,
    inode: u64,
    bytes: u64,
    modified: SystemTime,
}

impl Executable {
    /// `None` if there is no `/proc`, or this user may not see it.
    pub fn of(pid: u32) -> Option<Executable> {
        let link = format!("/proc/{pid}/exe");
        let (path, file) = (fs::read_link(&link).ok()?, fs::metadata(&link).ok()?);
        Some(Executable {
            path,
            device: file.dev(),
            inode: file.ino(),
            bytes: file.size(),
            modified: file.modified().ok()?,
        })
    }

    /// Whether the file says nothing about the version of the service, like an interpreter or an installed tool.
    pub fn runs_other_files(&self) -> bool {
        let is_tool = |folder: &&str| self.path.starts_with(folder) && !self.path.starts_with("/usr/local");
        let is_installed = |name: &&str| self.path.iter().any(|part| part == *name);
        OF_TOOLS.iter().any(is_tool)
            || OF_TOOLS_IN_A_CHECKOUT.iter().any(is_installed)
            || RUN_OTHER_FILES.split(' ').any(|name| is_version_of(&self.path, name))
    }
}

/// The name may have a version: `python3.12`.
fn is_version_of(path: &Path, name: &str) -> bool {
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    file_name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_and_tools_run_other_files() {
        let own = Executable::of(std::process::id());
        for (path, expected) in [
            ("/usr/local/bin/claims", false),
            ("/home/a/claims/target/release/claims", false),
            ("/tmp/out/noded", false),
            ("/tmp/out/python-api", false),
            ("/home/a/.pyenv/versions/3.12.1/bin/python3.12", true),
            ("/opt/hostedtoolcache/Python/3.13.0/x64/bin/python3.13t", true),
            ("/home/a/.nvm/versions/node/v22.1.0/bin/node", true),
            ("/usr/local/bin/ruby", true),
            ("/usr/local/sbin/php-fpm8.2", true),
            ("/usr/local/lib/erlang/erts-14.2/bin/beam.smp", true),
            ("/home/a/claims/.venv/bin/uvloop-server", true),
            ("/usr/lib/podman/rootlessport", true),
            ("/nix/store/4n7x-claims-1.2/bin/claims", true),
        ] {
            let Some(own) = own.clone() else { return };
            let executable = Executable { path: PathBuf::from(path), ..own };
            assert_eq!(executable.runs_other_files(), expected, "{path}");
        }
    }
}
