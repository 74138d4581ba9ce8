//! Reads result files into runs.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::str;

use anyhow::{Context as _, Result, bail, ensure};
use judge::model::mask;
use judge::model::run::{Metric, Provenance, Run};
use judge::parse::locust_history::{self, History};
use judge::parse::{locust_csv, locust_json};
use judge::stats::estimate::is_close;
use report::{FailedRequests, Sides};
use serde::{Deserialize, Serialize};

use crate::config::project::Project;
use crate::run::listener::{ListenerFile, UsersLeft};
use crate::run::locust::{self, Coverage, Finished};
use crate::sys::files;
use crate::sys::git::blob_hash;

/// The gate itself writes a handful.
const MAX_WARNINGS: usize = 20;

/// The file `run.json`, which the gate writes beside the results of its own runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunFile {
    #[serde(flatten)]
    pub provenance: Provenance,
    /// Whether the CSV holds every request.
    exact: bool,
    /// A sentence each.
    pub warnings: Vec<String>,
    /// The number of runs that the command would have made at most. They share the evidence's probability of error.
    #[serde(default)]
    pub max_runs: Option<usize>,
    /// The users that left before the load was stopped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users_left: Vec<UsersLeft>,
}

impl RunFile {
    const NAME: &str = "run.json";

    pub fn new(mut provenance: Provenance, finished: Finished, max_runs: usize) -> RunFile {
        let Finished { coverage, mean_users, users_left, warnings, .. } = finished;
        provenance.mean_users = mean_users;
        if let Some(load) = &mut provenance.load {
            load.has_shape = coverage == Coverage::WholeRun;
        }
        let exact = coverage != Coverage::WithoutLastSecond;
        RunFile { provenance, exact, warnings, max_runs: Some(max_runs), users_left }
    }

    pub fn write(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("cannot write run.json")?;
        files::write_atomically(&folder.join(RunFile::NAME), &text)
    }

    fn read(folder: &Path) -> Result<Option<RunFile>> {
        let path = folder.join(RunFile::NAME);
        if !path.is_file() {
            return Ok(None);
        }
        let read = serde_json::from_str(&files::read_to_string(&path)?);
        let mut file: RunFile = read.with_context(|| path.display().to_string())?;
        ensure!(
            file.max_runs != Some(0),
            "{}: `max_runs` is 0, and this result is of a run: remove the key",
            path.display()
        );
        if let Some(usage) = &file.provenance.usage {
            usage.check().with_context(|| path.display().to_string())?;
        }
        let more = file.warnings.len().saturating_sub(MAX_WARNINGS);
        if more > 0 {
            file.warnings.truncate(MAX_WARNINGS);
            file.warnings.push(format!("and {more} more in {}", path.display()));
        }
        Ok(Some(file))
    }
}

#[derive(Clone, Debug)]
pub struct MeasuredRun {
    /// The file that it was read from.
    pub path: PathBuf,
    digest: String,
    pub run: Run,
    /// `None` for a result that the gate did not measure.
    pub file: Option<RunFile>,
    /// The run over time for the charts, or why it is missing.
    pub history: Result<History, String>,
}

/// Reads RESULTS of the command line.
pub fn read_results(project: &Project) -> Result<Vec<MeasuredRun>> {
    let mut measured = Vec::new();
    for path in &project.flags.results {
        measured.extend(read_all(&project.paths.current_dir.join(path))?);
    }
    refuse_repeated(project, &measured)?;
    Ok(measured)
}

/// Refuses a file that appears twice, also under another name, because two equal runs would hide the noise.
fn refuse_repeated(project: &Project, measured: &[MeasuredRun]) -> Result<()> {
    let mut seen: HashMap<&str, &Path> = HashMap::new();
    for MeasuredRun { path, digest, .. } in measured {
        if let Some(former) = seen.insert(digest, path) {
            bail!("{} duplicates {}: pass each run once", project.shown(path), project.shown(former));
        }
    }
    Ok(())
}

/// Reads the rounds of both sides if RESULTS is the folder of a command that made some, and no baseline is given. The
/// rounds of `--against` are in the folder itself, and those that confirmed a FAIL in `confirm` below it.
pub fn read_rounds(project: &Project, below: &str) -> Result<Option<Sides<Vec<MeasuredRun>>>> {
    let flags = project.flags;
    let [folder] = &flags.results[..] else { return Ok(None) };
    let mut folder = project.paths.current_dir.join(folder);
    if !below.is_empty() {
        folder.push(below);
    }
    let other = folder.join("against");
    if !other.is_dir() || flags.baseline.is_some() || flags.update_baseline {
        return Ok(None);
    }
    Ok(Some(Sides { baseline: read_all(&other)?, candidate: read_all(&folder)? }))
}

/// The failures of the gate's own runs, by endpoint and error, the most frequent first. Errors may quote a number or a time, so
/// that no two are equal: beyond `MAX_FAILURES` kinds only known kinds are counted.
pub fn failures(folders: &[PathBuf], runs: &[Run]) -> Vec<FailedRequests> {
    const MAX_FAILURES: usize = 1000;
    let mut times_of: BTreeMap<(Box<str>, String), u64> = BTreeMap::new();
    for folder in folders {
        locust::for_each_failure(folder, |endpoint, error, times| {
            let kind = (endpoint, mask::text(error));
            if times_of.len() < MAX_FAILURES || times_of.contains_key(&kind) {
                let sum = times_of.entry(kind).or_default();
                *sum = sum.saturating_add(times);
            }
        });
    }
    let mut requests_of: BTreeMap<&str, u64> = times_of.keys().map(|(endpoint, _)| (&**endpoint, 0)).collect();
    for (endpoint, stats) in runs.iter().flat_map(|run| &run.endpoints) {
        if let Some(requests) = requests_of.get_mut(&**endpoint) {
            *requests += stats.requests;
        }
    }
    let mut failures = Vec::new();
    for ((endpoint, error), times) in &times_of {
        let requests = requests_of.get(&**endpoint).copied().filter(|requests| *requests > 0);
        failures.push(FailedRequests { endpoint: endpoint.to_string(), error: error.clone(), times: *times, requests });
    }
    failures.sort_by_key(|failure| Reverse(failure.times));
    failures
}

/// Reads a result, or the results of all runs in a folder.
fn read_all(path: &Path) -> Result<Vec<MeasuredRun>> {
    files::result_files(path)?.iter().map(|file| read(file)).collect()
}

/// Reads `perf_results_stats.csv` or Locust's JSON. Locust's JSON beside a CSV of ours must agree with it, and has finer
/// percentiles, which the CSV cuts to whole ms.
pub fn read(path: &Path) -> Result<MeasuredRun> {
    let bytes = files::read(path)?;
    let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let folder = path.parent().unwrap_or(Path::new(""));
    let run = if is_json { parse_json(&bytes) } else { locust_csv::parse(&bytes) };
    let mut run = run.with_context(|| path.display().to_string())?;
    let file = RunFile::read(folder)?;
    // `run.json` is written last, so a CSV beside our log but without `run.json` is from a run that failed or was interrupted.
    ensure!(
        file.is_some() || !folder.join("locust.log").exists(),
        "{}: this run failed or was interrupted, so its results are not judged; run it again",
        path.display()
    );
    let json = path.with_file_name("perf_results.json");
    if !is_json && file.as_ref().is_some_and(|file| file.exact) && json.is_file() {
        let other = parse_json(&files::read(&json)?).with_context(|| json.display().to_string())?;
        agree(&run, &other).with_context(|| {
            format!("{} and {} disagree, so one of them is not this run's", path.display(), json.display())
        })?;
        run.take_percentiles(other);
    }
    if file.is_some()
        && !is_json
        && let Some(listener) = ListenerFile::read(&folder.join("perf_listener.json"))?
    {
        listener.over_time.complete(&mut run);
    }
    Ok(MeasuredRun { path: path.to_owned(), digest: blob_hash(&bytes), run, file, history: history(path) })
}

/// Reads Locust's own history beside the results, under our prefix or theirs.
fn history(path: &Path) -> Result<History, String> {
    let own = path.with_file_name("locust_stats_history.csv");
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(name.replace("_stats.csv", "_stats_history.csv"));
    let file = if own.is_file() || beside == path { own } else { beside };
    let bytes = files::read(&file).map_err(|error| format!("{error:#}"))?;
    locust_history::parse(&bytes).map_err(|error| format!("{}: {error:#}", file.display()))
}

/// The last run over time of this measurement, if the folder of an earlier command still holds it. A baseline does not.
pub fn history_of(perf_folder: &Path, measured: &Provenance) -> Option<History> {
    let sessions = fs::read_dir(perf_folder.join("runs")).ok()?;
    for session in sessions.filter_map(|entry| Some(entry.ok()?.path())) {
        let Ok(runs) = files::result_files(&session) else { continue };
        let file = runs.first().and_then(|run| RunFile::read(run.parent()?).ok()?);
        // Commands take turns, so no two of them begin at the same time.
        let is_the_same = |file: RunFile| {
            let Provenance { timestamp, commit, dirty, .. } = file.provenance;
            (timestamp, commit, dirty) == (measured.timestamp.clone(), measured.commit.clone(), measured.dirty)
        };
        if file.is_some_and(is_the_same) {
            return runs.iter().rev().find_map(|run| history(run).ok());
        }
    }
    None
}

fn parse_json(bytes: &[u8]) -> Result<Run> {
    locust_json::parse(str::from_utf8(bytes).context("this is not UTF-8")?)
}

/// Checks that both files have the same counts, and the same percentiles to the whole ms of a CSV.
fn agree(csv: &Run, json: &Run) -> Result<()> {
    ensure!(
        csv.endpoints.len() == json.endpoints.len(),
        "{} endpoints against {}",
        csv.endpoints.len(),
        json.endpoints.len()
    );
    let mut csv_rows: Vec<_> = csv.endpoints.iter().map(|(name, stats)| (&**name, stats)).collect();
    let mut json_rows: Vec<_> = json.endpoints.iter().map(|(name, stats)| (&**name, stats)).collect();
    csv_rows.sort_by_key(|(name, _)| *name);
    json_rows.sort_by_key(|(name, _)| *name);
    csv_rows.push(("Aggregated", &csv.total));
    json_rows.push(("Aggregated", &json.total));
    for ((name, csv), (other_name, json)) in csv_rows.into_iter().zip(json_rows) {
        ensure!(name == other_name, "the endpoint `{}` against `{}`", name.escape_debug(), other_name.escape_debug());
        for metric in
            [Metric::TotalRequests, Metric::ErrorRate, Metric::P50, Metric::P95, Metric::P99, Metric::AvgResponseTime]
        {
            let (left, right) = (csv.value(metric), json.value(metric));
            let same = if metric.is_percentile() { is_close(left, right.trunc()) } else { is_close(left, right) };
            if !same {
                bail!("{metric} of `{}` is {left} against {right}", name.escape_debug());
            }
        }
        // Both span the whole window, so a difference beyond the last digits means another window.
        let (left, right) = (csv.requests_per_sec, json.requests_per_sec);
        if (left - right).abs() > 0.001 * right {
            bail!("requests_per_sec of `{}` is {left} against {right}", name.escape_debug());
        }
    }
    Ok(())
}
