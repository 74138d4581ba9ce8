//! The operating system: processes, files, locks, git, the machine, CI.

pub mod ci;
pub mod executable;
pub mod file_versions;
pub mod files;
pub mod git;
pub mod invocation;
pub mod lock;
pub mod log;
pub mod machine;
pub(crate) mod proc;
pub mod process;
pub mod screen;
pub mod session;
pub mod version;
pub mod worktree;
