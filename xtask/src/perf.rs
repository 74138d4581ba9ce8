//! The story of `cargo xtask perf`.

use std::env;
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::termios::tcgetwinsize;

use crate::actions;
use crate::against::{against, judge_again};
use crate::baseline::Baseline;
use crate::compare::{Comparison, Rules, Verdict, comparability, compare, lacking};
use crate::flags::Perf;
use crate::locust_history::History;
use crate::measure::{Bench, Clock, Side};
use crate::process::{self, Interrupted};
use crate::project::Project;
use crate::report::terminal::{self, Verbosity};
use crate::report::{self, Format, Report, github, markdown, printable, shown_commit};
use crate::results::Measured;
use crate::run::{Provenance, Run};
use crate::{files, git};

pub enum Outcome {
    Judged(Verdict),
    /// What was asked for is done, such as a baseline written, and there was nothing to fail.
    Done(String),
    /// There was no baseline to judge by, and a gate whose baseline is never committed passes for ever.
    SavedInCi(String),
}

/// Runs the gate. Where it could not judge, the reports asked for say why.
pub fn perf(flags: &Perf) -> Result<Outcome> {
    let outcome = run(flags);
    match &outcome {
        Err(error) if error.is::<Interrupted>() || error.is::<AfterVerdict>() => {}
        Err(error) => {
            let reason = report::error_line(error);
            write_not_judged(flags, &reason);
            annotate_not_judged(&reason);
        }
        Ok(Outcome::SavedInCi(message)) => annotate_not_judged(message),
        Ok(_) => {}
    }
    outcome
}

/// What goes wrong when the verdict has been told takes nothing of it back.
#[derive(Debug)]
struct AfterVerdict;

impl fmt::Display for AfterVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the verdict above stands, but a report of it is missing")
    }
}

/// The reason itself is told on stderr, and an error beside it would hide it.
fn write_not_judged(flags: &Perf, reason: &str) {
    for path in &flags.reports {
        if let Ok(format) = Format::of(path) {
            let _ = files::write_atomically(path, &format.render_failure(reason));
        }
    }
}

fn annotate_not_judged(reason: &str) {
    if actions::is_there() {
        let _ = anstream::stdout().write_all(github::failure(reason).as_bytes());
        summarize(&markdown::render_failure(reason));
    }
}

/// On the job's page; a page that cannot be written changes no verdict.
fn summarize(markdown: &str) {
    if let Err(error) = actions::append_to_summary(markdown) {
        let _ = writeln!(anstream::stderr(), "warning: {error:#}");
    }
}

/// Reads and checks, measures or takes the results named, judges, reports, writes a baseline.
fn run(flags: &Perf) -> Result<Outcome> {
    let mut clock = Clock::start();
    // 1. Read and check everything that can fail cheaply, before the first request.
    let mut project = Project::read(flags)?;
    for path in &flags.reports {
        files::check_writable(path)?;
    }
    if let Some(rev) = &flags.against {
        return against(&project, rev, &mut clock).map(Outcome::Judged);
    }
    if let Some(sides) = project.read_rounds()? {
        return judge_again(&project, sides, &clock).map(Outcome::Judged);
    }
    let former = project.read_baseline()?;
    if let Some(former) = former.as_ref().filter(|_| !flags.update_baseline) {
        lacking(former).with_context(|| project.shown(&project.baseline_path))?;
    } else {
        files::check_writable(&project.baseline_path)?;
    }
    // 2. Measure, or take the results named.
    let measured = if flags.results.is_empty() {
        measure(&project, former.as_ref(), &mut clock)?
    } else {
        project.read_results()?
    };
    let measured = Measurement::new(measured, &project)?;
    project.rules.check_all_met(former.as_ref(), &measured.runs)?;
    // 3. Judge and report.
    let verdict = match &former {
        None => None,
        Some(former) => judge(&project, former, &measured, &clock)?,
    };
    // 4. Write the baseline where it is asked for, or where there is none.
    match (verdict, former) {
        (Some(verdict), _) if !flags.update_baseline => Ok(Outcome::Judged(verdict)),
        (verdict, former) => {
            let outcome = save_baseline(&project, former.as_ref(), measured)?;
            if let (None, Outcome::Done(message) | Outcome::SavedInCi(message)) = (verdict, &outcome) {
                write_not_judged(flags, message);
            }
            Ok(outcome)
        }
    }
}

/// Starts what has to be started, loads the service, and leaves nothing running.
fn measure(project: &Project, former: Option<&Baseline>, clock: &mut Clock) -> Result<Vec<Measured>> {
    let settings = project.settle()?;
    let loaded = Provenance { load: Some(settings.load.kept()), ..project.provenance() };
    if let Some(former) = former.filter(|_| !project.flags.update_baseline)
        && let Some(refusal) = comparability(&former.provenance, &loaded).refusal
    {
        bail!("{} is not comparable: {refusal}", project.shown(&project.baseline_path));
    }
    let mut bench = Bench::prepare(project, &settings, clock)?;
    let service = project.config.service.as_ref().filter(|_| settings.starts_service);
    let side = Side { at: "", commit: None, shell: &project.shell, service, warning: None };
    bench.build(&side, "build.log")?;
    let mut measured = Vec::new();
    loop {
        measured.push(bench.run(&side, &format!("run-{}", measured.len() + 1))?);
        if !needs_another_run(project, former, &measured)? {
            return Ok(measured);
        }
    }
}

/// Until the verdict is settled, within the runs allowed; a new baseline gets all of them. Says why.
fn needs_another_run(project: &Project, former: Option<&Baseline>, measured: &[Measured]) -> Result<bool> {
    let made = measured.len();
    let &Rules { min_runs, max_runs, .. } = &project.rules;
    if project.flags.update_baseline {
        project.say(&format!("run {made} of {max_runs} is done"));
        return Ok(made < max_runs);
    }
    let Some(former) = former else { return Ok(made < min_runs) };
    let runs: Vec<Run> = measured.iter().map(|measured| measured.run.clone()).collect();
    let comparison = compare(former, &runs, &project.rules).with_context(|| project.shown(&project.baseline_path))?;
    Ok(another_follows(project, &comparison, "run"))
}

/// Whether another run, or round, is to be made; says so, and why.
pub fn another_follows(project: &Project, comparison: &Comparison, what: &str) -> bool {
    let ([_, made], Rules { min_runs, max_runs, .. }) = (comparison.runs, &project.rules);
    let more = project.rules.wants_another_run(comparison);
    let why = match report::unsettled(comparison) {
        _ if made < *min_runs => format!("at least {min_runs} are made"),
        None => report::evidence(comparison),
        Some(unsettled) if more => unsettled,
        Some(unsettled) => format!("{unsettled}; the estimate decides"),
    };
    let follows = if more { format!("; another {what} follows") } else { String::new() };
    project.say(&format!("{what} {made} of at most {max_runs}: {why}{follows}"));
    more
}

/// The runs of this command, and what is known about all of them.
pub struct Measurement {
    pub runs: Vec<Run>,
    /// Of each run.
    pub histories: Vec<Result<History, String>>,
    pub provenance: Provenance,
    pub warnings: Vec<String>,
}

impl Measurement {
    pub fn new(measured: Vec<Measured>, project: &Project) -> Result<Measurement> {
        let mut provenance: Option<Provenance> = None;
        let mut warnings: Vec<String> = Vec::new();
        let (mut runs, mut histories) = (Vec::new(), Vec::new());
        for Measured { run, about, history } in measured {
            runs.push(run);
            histories.push(history);
            let Some(about) = about else { continue };
            if let Some(first) = &provenance
                && let Some(refusal) = comparability(first, &about.provenance).refusal
            {
                bail!("the results are runs of different loads: {refusal}");
            }
            provenance.get_or_insert(about.provenance);
            for warning in about.warnings {
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
        let mut provenance = provenance.unwrap_or_else(|| project.provenance());
        provenance.precision = Run::coarsest(&runs);
        Ok(Measurement { runs, histories, provenance, warnings })
    }
}

/// Compares and prints. `None` where a new baseline replaces one of another load, which cannot be compared.
fn judge(project: &Project, former: &Baseline, measured: &Measurement, clock: &Clock) -> Result<Option<Verdict>> {
    let comparability = comparability(&former.provenance, &measured.provenance);
    if let Some(refusal) = comparability.refusal {
        ensure!(
            project.flags.update_baseline,
            "{} is not comparable: {refusal}",
            project.shown(&project.baseline_path)
        );
        project.say(&format!("no comparison with the former baseline: {refusal}"));
        return Ok(None);
    }
    let comparison = match compare(former, &measured.runs, &project.rules) {
        Err(error) if project.flags.update_baseline => {
            project.say(&format!("no comparison with the former baseline: {error:#}"));
            return Ok(None);
        }
        comparison => comparison.with_context(|| project.shown(&project.baseline_path))?,
    };
    let mut warnings = measured.warnings.clone();
    warnings.extend(comparability.warnings);
    let origin = baseline_origin(project, former);
    publish(project, &comparison, former, measured, &origin, &warnings, clock).map(Some)
}

/// Prints the report and writes it wherever it is asked for; passes the verdict on.
pub fn publish(
    project: &Project,
    comparison: &Comparison,
    baseline: &Baseline,
    measured: &Measurement,
    origin: &str,
    warnings: &[String],
    clock: &Clock,
) -> Result<Verdict> {
    let report = &Report {
        comparison,
        distribution: &baseline.distribution,
        runs: &measured.runs,
        histories: &measured.histories,
        provenance: [&baseline.provenance, &measured.provenance],
        // They quote the baseline file, which anybody may have written.
        baseline: printable(origin),
        warnings: warnings.iter().map(|warning| printable(warning)).collect(),
        details: details(project, measured, clock).iter().map(|detail| printable(detail)).collect(),
    };
    let verbosity = match (project.flags.quiet, project.flags.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    let mut text = terminal::render(report, verbosity, terminal_width());
    if actions::is_there() {
        text = github::harmless(&text);
        // The verdict stays the last line. What is accepted with this very command is no alarm.
        if !project.flags.update_baseline {
            text.insert_str(0, &github::annotations(report, &actions::places(project)));
        }
    }
    match anstream::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(error).context("cannot print the report");
        }
        _ => {}
    }
    if actions::is_there() {
        summarize(&markdown::render(report));
    }
    for path in &project.flags.reports {
        files::write_atomically(path, &Format::of(path)?.render(report)).context(AfterVerdict)?;
    }
    Ok(report.comparison.verdict)
}

/// Of stdout; `COLUMNS` has the last word.
fn terminal_width() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let told = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let width = told.or_else(|| Some(usize::from(tcgetwinsize(&stdout).ok()?.ws_col)));
    width.filter(|width| *width > 0)
}

fn baseline_origin(project: &Project, baseline: &Baseline) -> String {
    let Provenance { commit, timestamp, dirty, .. } = &baseline.provenance;
    let date: String = timestamp.chars().take("2026-01-27".len()).collect();
    let age = match git::commits_since(&project.shell, commit) {
        None => String::new(),
        Some(0) => ", the commit checked out".to_owned(),
        Some(1) => ", 1 commit ago".to_owned(),
        Some(commits) => format!(", {commits} commits ago"),
    };
    format!(
        "baseline: commit {}, {date}{age} ({})",
        shown_commit(commit, *dirty),
        project.shown(&project.baseline_path)
    )
}

fn details(project: &Project, measured: &Measurement, clock: &Clock) -> Vec<String> {
    let Provenance { commit, dirty, load, machine, locust, python, .. } = &measured.provenance;
    let runs = measured.runs.len();
    let commit = shown_commit(commit, *dirty);
    let mut details = vec![format!("candidate: commit {commit}, {runs} {}", if runs == 1 { "run" } else { "runs" })];
    details.extend(load.as_ref().map(|load| format!("load: {load}")));
    details.extend(machine.as_ref().map(|machine| format!("machine: {machine}")));
    details.extend(
        locust.as_ref().map(|locust| format!("Locust {locust}, Python {}", python.as_deref().unwrap_or("unknown"))),
    );
    if project.flags.results.is_empty() {
        details.push(format!("results: {}", project.shown(&project.root.join("target/perf/latest"))));
        details.push(format!(
            "time: {:.1} s, of it {:.2} s our own beside Locust, the service and their set-up",
            clock.total().as_secs_f64(),
            clock.own().as_secs_f64()
        ));
    }
    details
}

fn save_baseline(project: &Project, former: Option<&Baseline>, measured: Measurement) -> Result<Outcome> {
    let shown = project.shown(&project.baseline_path);
    let baseline = Baseline::new(&measured.runs, measured.provenance, project.flags.note.as_deref(), former)?;
    if baseline.provenance.commit == "unknown" {
        project.say("warning: git does not know the commit here, so the baseline says `unknown`");
    }
    process::check_interrupted()?;
    files::write_atomically(&project.baseline_path, &baseline.to_text())?;
    let values = report::values(&baseline);
    if project.flags.update_baseline {
        return Ok(Outcome::Done(format!("SAVED: {values} is the baseline now; commit {shown}")));
    }
    let message = format!("{values} is saved as {shown}: commit this file");
    let in_ci = env::var("CI").is_ok_and(|ci| !matches!(ci.as_str(), "" | "0" | "false"));
    Ok(if in_ci {
        Outcome::SavedInCi(format!("there is no baseline, and a gate without one passes for ever; {message}"))
    } else {
        Outcome::Done(format!("NO BASELINE: there was nothing to compare with; {message}"))
    })
}
