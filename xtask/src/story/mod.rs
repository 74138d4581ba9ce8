//! The stories of the commands, each told from top to bottom.

pub mod against;
pub mod confirm;
pub mod delivery;
pub mod history;
pub mod judging;
pub mod perf;
pub mod versions;
pub mod watch;
