//! The operating system and what runs on it: processes, files, locks, git, the machine, CI.

pub mod ci;
pub mod files;
pub mod git;
pub mod lock;
pub mod log;
pub mod machine;
pub mod orphans;
pub mod process;
pub mod program;
pub mod screen;
pub mod session;
pub mod versions;
pub mod worktree;
