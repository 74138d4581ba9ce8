//! The operating system: processes, files, locks, git, the machine, CI.

pub mod ci;
pub(crate) mod clock;
pub(crate) mod executable;
pub(crate) mod file_versions;
pub mod files;
pub mod git;
pub mod invocation;
pub(crate) mod lock;
pub(crate) mod log;
pub(crate) mod machine;
pub(crate) mod printer;
pub(crate) mod proc;
pub(crate) mod process;
pub(crate) mod screen;
pub mod session;
pub(crate) mod threads;
pub mod version;
pub(crate) mod worktree;
