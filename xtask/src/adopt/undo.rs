//! The shell lines that undo an adoption which is not committed.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use judge::model::text::quoted;
use xshell::Shell;

use crate::adopt::edits::{Destination, Edit};
use crate::sys::git;

/// Called before anything is written. A file that git cannot restore, because it has other changes too, is named.
pub(crate) fn lines(destination: &Destination, at_top: &Shell, edits: &[Edit]) -> Result<String> {
    let top = &destination.top;
    let (mut made, mut changed, mut by_hand) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for file in edits.iter().flat_map(|edit| &edit.files) {
        let name = relative(top, &file.path);
        if !file.path.exists() {
            // The folders that hold nothing else are new too.
            let missing = file.path.ancestors().take_while(|path| path.starts_with(top) && !path.exists()).last();
            made.insert(relative(top, missing.unwrap_or(&file.path)));
        } else if is_committed(at_top, &name)? {
            changed.insert(name);
        } else {
            by_hand.insert(name);
        }
    }
    let at = quoted(&top.display().to_string());
    let mut text = String::new();
    if !made.is_empty() {
        made.extend(results(destination));
        let _ = write!(text, "\n  cd {at} && rm -rf {}", joined(&made));
    }
    if !changed.is_empty() {
        let _ = write!(text, "\n  git -C {at} checkout -- {}", joined(&changed));
    }
    if !by_hand.is_empty() {
        let _ = write!(text, "\n  # and take the added lines out of {}", joined(&by_hand));
    }
    Ok(if text.is_empty() { text } else { format!("\n\nTo undo all of this before it is committed:{text}") })
}

/// The folders that the gate and its build will make: `target`, or the part of the gate if there is one already.
fn results(destination: &Destination) -> BTreeSet<String> {
    let results = |folder: &Path, inside: &str| {
        let own = if folder.join("target").exists() { "target/perf" } else { "target" };
        format!("{inside}{own}")
    };
    [results(&destination.top, ""), results(&destination.folder, &destination.inside)].into()
}

fn relative(top: &Path, path: &Path) -> String {
    path.strip_prefix(top).unwrap_or(path).display().to_string()
}

fn is_committed(at_top: &Shell, name: &str) -> Result<bool> {
    let status = git::read(at_top, &["status", "--porcelain", "--untracked-files=all", "--ignored", "--", name])?;
    Ok(status.is_some_and(|status| status.is_empty()))
}

fn joined(names: &BTreeSet<String>) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(" ")
}
