//! Reads result files into runs.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use judge::model::mask;
use judge::model::run::{CpuTime, Metric, Provenance, Run, Stats, setup_name};
use judge::parse::locust_history::{self, History};
use judge::parse::{locust_csv, locust_json, other_files, strict_json};
use judge::stats::estimate::is_close;
use report::{FailedRequests, Sides};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::project::Project;
use crate::run::listener::{LISTENER_FILE, ListenerFile, UsersLeft};
use crate::run::locust::{self, Finished};
use crate::sys::files;

/// The failures of the requests of `on_start`.
const SETUP_FAILURES: &str = "perf_setup_failures.csv";

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
    pub max_runs: Option<usize>,
    /// The number of rounds that it would have made at most if their runs vary much; 0 if that is no more.
    #[serde(default)]
    pub max_noisy_rounds: usize,
    /// The users that left before the load was stopped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users_left: Vec<UsersLeft>,
}

impl RunFile {
    const NAME: &str = "run.json";

    pub fn new(mut provenance: Provenance, finished: Finished, max_runs: usize, max_noisy_rounds: usize) -> RunFile {
        let Finished { listener, warnings } = finished;
        let exact = listener.is_some();
        provenance.mean_users = listener.as_ref().and_then(|listener| listener.mean_users);
        if let Some(load) = &mut provenance.load {
            load.has_shape = listener.as_ref().is_some_and(ListenerFile::has_shape);
        }
        let users_left = listener.map_or_else(Vec::new, |listener| listener.users_left);
        RunFile { provenance, exact, warnings, max_runs: Some(max_runs), max_noisy_rounds, users_left }
    }

    fn cpu(&self) -> Option<CpuTime> {
        let [ms_per_request] = self.provenance.usage.cpu_ms_per_request[..] else { return None };
        Some(CpuTime { ms_per_request, machine: self.provenance.machine.clone() })
    }

    pub fn write(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("cannot write run.json")?;
        files::write_atomically(&folder.join(RunFile::NAME), &text)
    }

    fn read(folder: &Path) -> Result<Option<RunFile>> {
        let path = folder.join(RunFile::NAME);
        if !files::exists(&path) {
            return Ok(None);
        }
        let fault = |error| anyhow!("{}: {}", path.display(), strict_json::fault(&error));
        let text = files::read_to_string(&path)?;
        let value: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(fault)?;
        // Others may have a file of this name, such as Locust's own of `--json-file run`.
        if !["exact", "commit"].iter().any(|key| value.get(key).is_some()) {
            return Ok(None);
        }
        let mut file: RunFile = serde_json::from_value(value).map_err(fault)?;
        ensure!(
            file.max_runs != Some(0),
            "{}: `max_runs` is 0, and this result is of a run: remove the key",
            path.display()
        );
        file.provenance.usage.check().with_context(|| path.display().to_string())?;
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
    pub path: PathBuf,
    pub run: Run,
    /// The run with the requests of `on_start` that began in the measured window among the others, if there were any.
    pub mixed: Option<Run>,
    /// `None` for a result that the gate did not measure.
    pub file: Option<RunFile>,
    /// The run over time for the charts, or why it is missing.
    pub history: Result<History, String>,
}

pub fn read_results(project: &Project) -> Result<Vec<MeasuredRun>> {
    let mut measured = Vec::new();
    for path in &project.flags.results {
        measured.extend(read_all(&project.paths.current_dir.join(path))?);
    }
    refuse_repeated(project, &measured)?;
    Ok(measured)
}

impl MeasuredRun {
    pub fn failures_files(&self) -> Vec<PathBuf> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let beside = match name.strip_suffix("_stats.csv").or(name.strip_suffix(".json")) {
            Some(prefix) if self.file.is_none() => self.path.with_file_name(format!("{prefix}_failures.csv")),
            _ => locust::records_file(files::folder_of(&self.path), "failures"),
        };
        let setup = self.file.as_ref().map(|_| self.path.with_file_name(SETUP_FAILURES));
        [beside].into_iter().chain(setup).filter(|file| file.is_file()).collect()
    }
}

/// Refuses a run that appears twice, also under another name or in Locust's other format. It would count as two runs that
/// agree to the last bit, and hide the noise.
fn refuse_repeated(project: &Project, measured: &[MeasuredRun]) -> Result<()> {
    for (place, second) in measured.iter().enumerate() {
        let first = measured[..place].iter().find(|first| is_same_run(&first.run, &second.run));
        if let Some(first) = first {
            bail!("{} duplicates {}: pass each run once", project.shown(&second.path), project.shown(&first.path));
        }
    }
    Ok(())
}

/// Whether two files are of one run. Locust's CSV lacks the requests of the last second, which its JSON has, but both have the
/// fastest and the slowest response to the last digit, unless one of them came that late.
fn is_same_run(a: &Run, b: &Run) -> bool {
    // A time that was written by hand has few digits.
    let is_exact = |time_ms: f64| (time_ms * 1e4 - (time_ms * 1e4).round()).abs() > 1e-3;
    let same_extremes = match (a.extremes_ms, b.extremes_ms) {
        (Some(a), Some(b)) => {
            let is_same = |a: f64, b: f64| is_exact(a) && is_close(a, b);
            is_same(a.low, b.low) || is_same(a.high, b.high)
        }
        _ => false,
    };
    a == b || same_extremes || agree(a, b).is_ok() || agree(b, a).is_ok()
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
    if !other.is_dir() || flags.files.baseline.is_some() || flags.update_baseline {
        return Ok(None);
    }
    Ok(Some(Sides { baseline: read_all(&other)?, candidate: read_all(&folder)? }))
}

#[derive(Default)]
pub struct Failures {
    /// By endpoint and error, the most frequent first.
    pub kinds: Vec<FailedRequests>,
    /// The first file that has any.
    pub file: Option<PathBuf>,
}

/// Reads the failures in these files of Locust's. Errors may quote a number or a time, so that no two are equal: beyond
/// `MAX_FAILURES` kinds only known kinds are counted.
pub fn failures(failures_files: &[PathBuf], runs: &[Run]) -> Failures {
    const MAX_FAILURES: usize = 1000;
    let mut found = Failures::default();
    let mut times_of: BTreeMap<(Box<str>, String), u64> = BTreeMap::new();
    for file in failures_files {
        let is_of_setup = file.ends_with(SETUP_FAILURES);
        locust::for_each_failure(file, |endpoint, error, times| {
            found.file.get_or_insert_with(|| file.clone());
            let endpoint = if is_of_setup { setup_name(&endpoint) } else { endpoint };
            let kind = (endpoint, mask::text(error));
            if times_of.len() < MAX_FAILURES || times_of.contains_key(&kind) {
                let sum = times_of.entry(kind).or_default();
                *sum = sum.saturating_add(times);
            }
        });
    }
    let mut requests_of: BTreeMap<&str, u64> = times_of.keys().map(|(endpoint, _)| (&**endpoint, 0)).collect();
    for (endpoint, stats) in runs.iter().flat_map(Run::endpoints_and_setup) {
        if let Some(requests) = requests_of.get_mut(&**endpoint) {
            *requests += stats.requests;
        }
    }
    for ((endpoint, error), times) in &times_of {
        let requests = requests_of.get(&**endpoint).copied().filter(|requests| *requests > 0);
        let (endpoint, error) = (endpoint.to_string(), error.clone());
        found.kinds.push(FailedRequests { endpoint, error, times: *times, requests });
    }
    found.kinds.sort_by_key(|failure| Reverse(failure.times));
    found
}

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
    // `run.json` is written last, so a CSV in a folder of ours without it is from a run that failed or was interrupted.
    ensure!(
        file.is_some() || !is_ours(folder),
        "{}: this run failed or was interrupted, so its results are not judged; run it again",
        path.display()
    );
    let json = path.with_file_name("perf_results.json");
    if !is_json && file.as_ref().is_some_and(|file| file.exact) && files::exists(&json) {
        let other = parse_json(&files::read(&json)?).with_context(|| json.display().to_string())?;
        agree(&run, &other).with_context(|| {
            format!("{} and {} disagree, so one of them is not this run's", path.display(), json.display())
        })?;
        run.take_percentiles(other);
    }
    run.cpu = file.as_ref().and_then(RunFile::cpu);
    let history = history(path, file.is_some());
    let mut mixed = None;
    if file.is_some() && !is_json {
        if let Some(listener) = ListenerFile::read(&folder.join(LISTENER_FILE))? {
            listener.complete(&mut run);
        }
        mixed = read_setup(folder, &mut run)?;
    }
    Ok(MeasuredRun { path: path.to_owned(), run, mixed, file, history })
}

/// Stores the requests of `on_start`. Returns the run as it was counted before version 1.4 of the baseline.
fn read_setup(folder: &Path, run: &mut Run) -> Result<Option<Run>> {
    let [setup, mixed] = ["perf_setup.json", "perf_with_setup.json"].map(|name| folder.join(name));
    if !setup.is_file() {
        return Ok(None);
    }
    let parsed = |path: &Path| parse_json(&files::read(path)?).with_context(|| path.display().to_string());
    let setup = parsed(&setup)?.endpoints.into_iter();
    run.setup = setup.map(|(name, stats)| (setup_name(&name), stats)).collect();
    if !mixed.is_file() {
        return Ok(None);
    }
    Ok(Some(Run {
        users_by_class: run.users_by_class.clone(),
        tasks: run.tasks.clone(),
        lateness: run.lateness,
        ..parsed(&mixed)?
    }))
}

/// Whether the gate made the runs in a folder. A `locust.log` may be anybody's, but the listener is ours.
fn is_ours(folder: &Path) -> bool {
    let listener = files::read_to_string(&folder.join(locust::LISTENER_NAME));
    listener.is_ok_and(|text| text.contains(locust::FINAL_CSV_VARIABLE))
}

/// Reads Locust's own `--csv` file of the run over time, beside the results: under our prefix if the run is ours, or else under
/// the results' prefix, since other runs may lie in the same folder.
fn history(path: &Path, is_ours: bool) -> Result<History, String> {
    let own = path.with_file_name("locust_stats_history.csv");
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let prefix = name.strip_suffix("_stats.csv").or(name.strip_suffix(".json")).unwrap_or(&name);
    let beside = path.with_file_name(format!("{prefix}_stats_history.csv"));
    let file = if is_ours && own.is_file() { own } else { beside };
    let bytes = files::read(&file).map_err(|error| format!("{error:#}"))?;
    locust_history::parse(&bytes).map_err(|error| format!("{}: {error:#}", file.display()))
}

/// The last run over time of this measurement, if the folder of an earlier command still holds it. A baseline does not.
pub fn history_of(perf_folder: &Path, measured: &Provenance) -> Option<History> {
    for session in files::entries(&perf_folder.join("runs")) {
        let Ok(runs) = files::result_files(&session) else { continue };
        let file = runs.first().and_then(|run| RunFile::read(run.parent()?).ok()?);
        // Commands take turns, so no two of them begin at the same time.
        let is_the_same = |file: RunFile| {
            let Provenance { timestamp, commit, dirty, .. } = file.provenance;
            (timestamp, commit, dirty) == (measured.timestamp.clone(), measured.commit.clone(), measured.dirty)
        };
        if file.is_some_and(is_the_same) {
            return runs.iter().rev().find_map(|run| history(run, true).ok());
        }
    }
    None
}

fn parse_json(bytes: &[u8]) -> Result<Run> {
    other_files::refuse(bytes)?;
    locust_json::parse(str::from_utf8(bytes).context("this is not UTF-8: save it as UTF-8")?)
}

fn rows(run: &Run) -> Vec<(&str, &Stats)> {
    let mut rows: Vec<_> = run.endpoints.iter().map(|(name, stats)| (&**name, stats)).collect();
    rows.sort_by_key(|(name, _)| *name);
    rows.push(("Aggregated", &run.total));
    rows
}

/// Checks that both files have the same counts, and the same percentiles to the whole ms of a CSV.
fn agree(csv: &Run, json: &Run) -> Result<()> {
    ensure!(
        csv.endpoints.len() == json.endpoints.len(),
        "{} endpoints against {}",
        csv.endpoints.len(),
        json.endpoints.len()
    );
    for ((name, csv), (other_name, json)) in rows(csv).into_iter().zip(rows(json)) {
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
