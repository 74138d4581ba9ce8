//! The place where `adopt` works, and the files that it writes and removes: all of them, or none.

use std::fs;
use std::path::{Path, PathBuf};

use crate::sys::{files, process};
use anyhow::{Context as _, Result};

/// A file to be written, whether it is there already or not, or removed where there is no text.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NewFile {
    /// The path.
    pub path: PathBuf,
    /// Its new text; `None` where the file is to go.
    pub text: Option<String>,
}

impl NewFile {
    /// Makes one that is written.
    pub fn new(path: PathBuf, text: impl Into<String>) -> NewFile {
        NewFile { path, text: Some(text.into()) }
    }
}

/// The place that gets the gate.
pub struct Place {
    /// The root of the git repository: `xtask` and the workflow belong there.
    pub top: PathBuf,
    /// The folder of the service, the root itself or below it: `perf.toml`, the locustfile and the baseline belong there.
    pub folder: PathBuf,
    /// The way from the root to the folder, with a slash at its end; empty where they are the same.
    pub inside: String,
}

/// One file or folder: the change that is made to it, and the advice to its owner.
pub struct Step {
    /// The name, from the root.
    pub name: String,
    /// The files.
    pub writes: Vec<NewFile>,
    /// What is done.
    pub done: String,
    /// Advice in lines, the first of them a sentence.
    pub advice: Vec<String>,
}

impl Step {
    /// Makes a step that adds files.
    pub fn created(name: impl Into<String>, writes: Vec<NewFile>) -> Step {
        let done = if writes.len() == 1 { "created".to_owned() } else { format!("created, {} files", writes.len()) };
        Step { name: name.into(), writes, done, advice: Vec::new() }
    }

    /// Makes a step that leaves a file as it is.
    pub fn kept(name: impl Into<String>) -> Step {
        Step { name: name.into(), writes: Vec::new(), done: "kept as it is".to_owned(), advice: Vec::new() }
    }

    /// Makes a step that creates the file `name` below `root`, unless there is one.
    pub fn create_or_keep(root: &Path, name: impl Into<String>, text: &str) -> Step {
        let name = name.into();
        let path = root.join(&name);
        // A link that leads nowhere is somebody's file too.
        if fs::symlink_metadata(&path).is_ok() {
            Step::kept(name)
        } else {
            Step::created(name, vec![NewFile::new(path, text)])
        }
    }

    /// Adds advice.
    #[must_use]
    pub fn advising(self, advice: Vec<String>) -> Step {
        Step { advice, ..self }
    }
}

/// Writes all, or takes back what was written.
///
/// # Errors
///
/// Names the file that cannot be written.
pub fn write_all<'a>(files: impl Iterator<Item = &'a NewFile>) -> Result<()> {
    let mut undo = Undo::default();
    for NewFile { path, text } in files {
        process::check_interrupted()?;
        match text {
            Some(text) => undo.write(path, text)?,
            None => undo.remove(path)?,
        }
    }
    undo.changes.clear();
    Ok(())
}

/// The changes that were made. Dropping them takes everything back.
#[derive(Default)]
struct Undo {
    changes: Vec<Change>,
}

/// A file or a folder that was made, changed or removed.
struct Change {
    path: PathBuf,
    former: Former,
}

/// What there was before a change.
enum Former {
    Nothing,
    File(String),
    Folder,
}

impl Undo {
    fn write(&mut self, path: &Path, text: &str) -> Result<()> {
        let folder = path.parent().unwrap_or(path);
        let mut missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
        missing.reverse();
        for folder in missing {
            fs::create_dir(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            self.changes.push(Change { path: folder.to_owned(), former: Former::Nothing });
        }
        let former = if path.exists() { Former::File(files::read_to_string(path)?) } else { Former::Nothing };
        files::write_atomically(path, text)?;
        self.changes.push(Change { path: path.to_owned(), former });
        Ok(())
    }

    /// Removes a file, and the folders that are empty without it.
    fn remove(&mut self, path: &Path) -> Result<()> {
        let cannot = || format!("cannot remove {}", path.display());
        let former = Former::File(files::read_to_string(path)?);
        fs::remove_file(path).with_context(cannot)?;
        self.changes.push(Change { path: path.to_owned(), former });
        for folder in path.ancestors().skip(1) {
            // One that holds something else stays.
            if fs::remove_dir(folder).is_err() {
                break;
            }
            self.changes.push(Change { path: folder.to_owned(), former: Former::Folder });
        }
        Ok(())
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        for Change { path, former } in self.changes.drain(..).rev() {
            let _ = match former {
                Former::File(former) => files::write_atomically(&path, &former),
                Former::Folder => fs::create_dir(&path).map_err(Into::into),
                Former::Nothing if path.is_dir() => fs::remove_dir(&path).map_err(Into::into),
                Former::Nothing => fs::remove_file(&path).map_err(Into::into),
            };
        }
    }
}
