//! The terminals behind stdout and stderr.

use std::env;
use std::io::IsTerminal;
use std::os::fd::AsFd;

use report::formats::terminal::Screen;
use rustix::termios::tcgetwinsize;

use crate::sys::ci;

/// `COLUMNS` overrides the width of a terminal.
pub fn screen(stream: &(impl IsTerminal + AsFd)) -> Screen {
    let columns = if stream.is_terminal() {
        let by_variable = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        by_variable.or_else(|| Some(usize::from(tcgetwinsize(stream).ok()?.ws_col)))
    } else {
        None
    };
    Screen { columns: columns.filter(|columns| *columns > 0), is_ascii: !is_utf8() }
}

/// Whether the locale is UTF-8. If no variable names one, only CI logs get more than ASCII.
fn is_utf8() -> bool {
    let set = |name: &&str| env::var(name).is_ok_and(|value| !value.is_empty());
    let Some(name) = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find(set) else { return ci::is_any() };
    let locale = env::var(name).unwrap_or_default().to_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}
