//! The file from which an interrupted bisection goes on.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use judge::baseline::comparability::comparability;
use judge::model::run::Provenance;
use report::Sides;
use serde::{Deserialize, Serialize};

use crate::config::project::Project;
use crate::run::results::{self, MeasuredRun};
use crate::sys::files;

pub struct MeasuredRound {
    pub commits: Sides<String>,
    pub runs: Sides<MeasuredRun>,
}

impl MeasuredRound {
    pub fn warnings(&self) -> impl Iterator<Item = &String> {
        let Sides { baseline, candidate } = &self.runs;
        [baseline, candidate].into_iter().flat_map(|run| &run.file).flat_map(|file| &file.warnings)
    }
}

pub struct BisectState {
    path: PathBuf,
    root: PathBuf,
    good: String,
    bad: String,
    pub rounds: Vec<MeasuredRound>,
    pub skipped: BTreeMap<String, String>,
}

/// The file. Runs are named by their folders, relative to the root.
#[derive(Serialize, Deserialize)]
struct StateFile {
    good: String,
    bad: String,
    rounds: Vec<[SavedRun; 2]>,
    skipped: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct SavedRun {
    commit: String,
    folder: PathBuf,
}

impl BisectState {
    /// Takes what was measured between the same commits with the same load.
    pub fn open(project: &Project, good: &str, bad: &str, provenance: &Provenance) -> BisectState {
        let path = project.paths.perf_folder().join("bisect.json");
        let mut state = BisectState {
            path,
            root: project.paths.root.clone(),
            good: good.to_owned(),
            bad: bad.to_owned(),
            rounds: Vec::new(),
            skipped: BTreeMap::new(),
        };
        // A file that cannot be read is of no use, and is replaced.
        let text = files::read_to_string(&state.path).unwrap_or_default();
        let Ok(file) = serde_json::from_str::<StateFile>(&text) else { return state };
        if file.good != good || file.bad != bad {
            project.say("the interrupted search was between other commits, so this one starts over");
            return state;
        }
        let read = |run: &SavedRun| results::read(&project.paths.root.join(&run.folder).join(files::RESULTS));
        for [reference, commit] in file.rounds {
            // The folders of old commands are removed, and their rounds are made again.
            let (Ok(baseline), Ok(candidate)) = (read(&reference), read(&commit)) else { continue };
            let runs = Sides { baseline, candidate };
            if let Some(difference) = difference(&runs.candidate, provenance) {
                project.say(&format!("the interrupted search had {difference}, so this one starts over"));
                state.rounds.clear();
                return state;
            }
            let commits = Sides { baseline: reference.commit, candidate: commit.commit };
            state.rounds.push(MeasuredRound { commits, runs });
        }
        state.skipped = file.skipped;
        state
    }

    pub fn save(&self) -> Result<()> {
        let saved = |commit: &String, run: &MeasuredRun| {
            let folder = files::folder_of(&run.path);
            SavedRun { commit: commit.clone(), folder: folder.strip_prefix(&self.root).unwrap_or(folder).to_owned() }
        };
        let rounds = self.rounds.iter().map(|MeasuredRound { commits, runs }| {
            [saved(&commits.baseline, &runs.baseline), saved(&commits.candidate, &runs.candidate)]
        });
        let file = StateFile {
            good: self.good.clone(),
            bad: self.bad.clone(),
            rounds: rounds.collect(),
            skipped: self.skipped.clone(),
        };
        let text = serde_json::to_string_pretty(&file).context("cannot write the state of the bisection")?;
        files::write_atomically(&self.path, &text)
    }

    pub fn remove(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn difference(run: &MeasuredRun, provenance: &Provenance) -> Option<String> {
    let measured = &run.file.as_ref()?.provenance;
    let comparability = comparability(measured, provenance);
    if !comparability.refusal.is_empty() {
        return measured.load.as_ref().map(|load| format!("another load ({load})"));
    }
    comparability.warnings.first().map(|warning| format!("other circumstances ({warning})"))
}
