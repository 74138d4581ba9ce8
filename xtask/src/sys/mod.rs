//! The operating system: processes, files, locks, git, the machine, CI.

pub mod ci;
pub mod file_versions;
pub mod files;
pub mod git;
pub mod invocation;
pub mod lock;
pub mod log;
pub mod machine;
pub mod orphans;
pub mod process;
pub mod program;
pub mod screen;
pub mod session;
pub mod version;
pub mod worktree;
