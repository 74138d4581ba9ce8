//! Changes to the files of another repository: all of them, or none.

use std::fs;
use std::path::{Path, PathBuf};

use crate::sys::{files, process};
use anyhow::{Context as _, Result};

pub struct Destination {
    /// The root of the git repository, which gets `xtask` and the workflow.
    pub top: PathBuf,
    /// The folder of the service, which gets `perf.toml`, the locustfile and the baseline.
    pub folder: PathBuf,
    /// The path from the root to the folder: `services/claims/`, or empty.
    pub inside: String,
}

#[derive(Debug, PartialEq)]
pub struct NewFile {
    pub path: PathBuf,
    pub text: String,
}

impl NewFile {
    pub fn new(path: PathBuf, text: impl Into<String>) -> NewFile {
        NewFile { path, text: text.into() }
    }
}

pub struct Edit {
    pub name: String,
    pub files: Vec<NewFile>,
    pub done: String,
    /// The lines of one piece of advice, the first of them a sentence.
    pub advice: Vec<String>,
}

impl Edit {
    pub fn created(name: impl Into<String>, files: Vec<NewFile>) -> Edit {
        let done = if files.len() == 1 { "created".to_owned() } else { format!("created, {} files", files.len()) };
        Edit { name: name.into(), files, done, advice: Vec::new() }
    }

    pub fn kept(name: impl Into<String>) -> Edit {
        Edit { name: name.into(), files: Vec::new(), done: "kept as it is".to_owned(), advice: Vec::new() }
    }

    pub fn create_or_keep(root: &Path, name: impl Into<String>, text: &str) -> Edit {
        let name = name.into();
        let path = root.join(&name);
        // A broken link is somebody's file too.
        if fs::symlink_metadata(&path).is_ok() {
            Edit::kept(name)
        } else {
            Edit::created(name, vec![NewFile::new(path, text)])
        }
    }

    pub fn of_job(root: &Path, name: &str, text: &str) -> Edit {
        let edit = Edit::create_or_keep(root, name, text);
        if edit.files.is_empty() {
            return edit;
        }
        edit.advising(vec![format!("add to {name} what the runner needs to build and start the service")])
    }

    #[must_use]
    pub fn advising(self, advice: Vec<String>) -> Edit {
        Edit { advice, ..self }
    }
}

/// Writes all files, or undoes what was written.
pub(crate) fn write_all<'a>(files: impl Iterator<Item = &'a NewFile>) -> Result<()> {
    let mut undo = Undo::default();
    for NewFile { path, text } in files {
        process::check_interrupted()?;
        undo.write(path, text)?;
    }
    undo.changes.clear();
    Ok(())
}

/// Dropping it undoes them.
#[derive(Default)]
struct Undo {
    changes: Vec<Change>,
}

enum Change {
    Made(PathBuf),
    Replaced { path: PathBuf, old_text: String },
}

impl Undo {
    fn write(&mut self, path: &Path, text: &str) -> Result<()> {
        let folder = files::folder_of(path);
        let mut missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
        missing.reverse();
        for folder in missing {
            fs::create_dir(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            self.changes.push(Change::Made(folder.to_owned()));
        }
        let change = if path.exists() {
            Change::Replaced { path: path.to_owned(), old_text: files::read_to_string(path)? }
        } else {
            Change::Made(path.to_owned())
        };
        files::write_atomically(path, text)?;
        self.changes.push(change);
        Ok(())
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        for change in self.changes.drain(..).rev() {
            let _ = match change {
                Change::Replaced { path, old_text } => files::write_atomically(&path, &old_text),
                Change::Made(path) if path.is_dir() => fs::remove_dir(&path).map_err(Into::into),
                Change::Made(path) => fs::remove_file(&path).map_err(Into::into),
            };
        }
    }
}
