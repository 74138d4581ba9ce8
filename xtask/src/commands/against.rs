//! The story of `cargo xtask perf --against REV`: this tree and another commit, measured in turn on one machine, so that
//! a slow hour of the machine meets both.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use judge::baseline::file::Baseline;
use judge::model::limits::Rules;
use judge::model::run::Provenance;
use judge::model::text::printable;
use judge::parse::locust_history::History;
use judge::verdict::compare::{Comparison, Verdict, compare};
use report::view::words::shown_commit;
use report::{Background, Report, Sides};
use xshell::Shell;

use crate::commands::delivery::Delivery;
use crate::commands::measurement::{Measurement, another_follows, background, details};
use crate::config::project::{self, Project};
use crate::config::settings::{Config, ServiceConfig};
use crate::run::bench::{Bench, Clock, Side};
use crate::run::results::Measured;
use crate::sys::worktree::Worktree;
use crate::sys::{files, git};

/// What `--against baseline` stands for: the commit that the baseline names.
const BASELINE: &str = "baseline";

/// Measures and judges this tree against `rev`.
///
/// # Errors
///
/// Says why there is no verdict.
pub fn against(project: &Project, delivery: &Delivery, rev: &str, clock: &mut Clock) -> Result<Verdict> {
    // 1. Check what can be checked before anything is built.
    let commit = if rev == BASELINE {
        commit_of_baseline(project)?
    } else {
        git::resolve(&project.shell, rev).with_context(|| format!("--against {rev}"))?
    };
    let checkouts = project.folder_of_checkouts()?;
    let settings = project.settle()?;
    let service = project.service(&settings).context(
        "--against builds and starts the service of either side: describe it in [service] of perf.toml, without --host",
    )?;
    // 2. Build this tree, check the other commit out, and build it too.
    let this = this_side(project, service);
    let rules = &project.rules;
    let mut bench = Bench::prepare(project, &settings, rules.max_runs, &this, clock)?;
    let other = Other::build(project, &mut bench, &checkouts, rev, &commit, service)?;
    // 3. Measure in rounds, and judge by their differences.
    let rounds = Rounds::measure(project, &mut bench, Sides { baseline: &other.side(), candidate: &this }, rules, "")?;
    rules.check_all_met(Some(&rounds.baseline), &rounds.this.runs)?;
    let comparison = rounds.compare(rules)?;
    let background = rounds.background(project);
    delivery.deliver(&rounds.report(project, &comparison, Some(rev), &background, Some(bench.clock)))
}

/// Returns this tree as a side of rounds.
pub fn this_side<'a>(project: &'a Project, service: &'a ServiceConfig) -> Side<'a> {
    Side { label: Some("of this tree"), commit: None, shell: &project.shell, service: Some(service), warning: None }
}

/// Returns the commit that the baseline names. Its numbers are not looked at.
fn commit_of_baseline(project: &Project) -> Result<String> {
    ensure!(
        git::resolve(&project.shell, BASELINE).is_err(),
        "--against {BASELINE} means the commit that the baseline file names, but a branch or tag has that name too: name its commit instead"
    );
    let shown = project.shown(&project.baseline_path);
    let Some(baseline) = project.read_baseline()? else {
        bail!("--against {BASELINE}: {shown} not found: record one with --update-baseline, or name a commit");
    };
    let commit = check_clean(&baseline.provenance).and_then(|()| commit_of(project, &baseline.provenance));
    commit.with_context(|| format!("--against {BASELINE}"))
}

/// Checks that the baseline was measured at a commit, and nothing else.
///
/// # Errors
///
/// Says that it was measured with uncommitted changes.
pub fn check_clean(baseline: &Provenance) -> Result<()> {
    ensure!(
        !baseline.dirty,
        "the baseline was measured with uncommitted changes on commit {}, which are in no commit: record it on a clean tree",
        shown_commit(&baseline.commit, false)
    );
    Ok(())
}

/// Returns the full hash of the baseline's commit.
///
/// # Errors
///
/// Says that the baseline names none, or that git does not know it.
pub fn commit_of(project: &Project, baseline: &Provenance) -> Result<String> {
    let is_hash = baseline.commit.len() >= 7 && baseline.commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    ensure!(is_hash, "the baseline names no commit: record it in a git repository");
    git::resolve(&project.shell, &baseline.commit)
        .with_context(|| format!("the baseline's commit {}", shown_commit(&baseline.commit, false)))
}

/// Judges once more what an earlier command measured, and nothing else.
///
/// # Errors
///
/// Says why there is no verdict.
pub fn judge_again(project: &Project, delivery: &Delivery, sides: project::Rounds) -> Result<Verdict> {
    let rules = Rules { paired: true, ..project.rules_for(&sides.candidate) };
    let rounds = Rounds::new(project, sides.candidate, sides.baseline)?;
    rules.check_all_met(Some(&rounds.baseline), &rounds.this.runs)?;
    let comparison = rounds.compare(&rules)?;
    let background = rounds.background(project);
    delivery.deliver(&rounds.report(project, &comparison, None, &background, None))
}

/// Both sides, with a run of each in every round.
pub struct Rounds {
    /// The runs of this tree.
    pub this: Measurement,
    /// The runs of the other commit.
    pub baseline: Baseline,
    /// The other side's last run over time.
    history: Option<History>,
    warnings: Vec<String>,
}

impl Rounds {
    /// Measures in the one order and then in the other, until the verdict is conclusive. The runs lie in `folder` of the
    /// session, and those of the other commit in `against` below it.
    ///
    /// # Errors
    ///
    /// Says why a run cannot be judged.
    pub fn measure(
        project: &Project,
        bench: &mut Bench,
        sides: Sides<&Side>,
        rules: &Rules,
        folder: &str,
    ) -> Result<Rounds> {
        let (mut measured, mut measured_at_rev): (Vec<Measured>, Vec<Measured>) = (Vec::new(), Vec::new());
        let at_rev = || sides.baseline.shown();
        loop {
            let round = measured.len() + 1;
            let measure_this = |bench: &mut Bench| bench.run(sides.candidate, &format!("{folder}run-{round}"));
            if round % 2 == 1 {
                measured.push(measure_this(bench)?);
            }
            let at = format!("{folder}against/run-{round}");
            measured_at_rev.push(bench.run(sides.baseline, &at).with_context(at_rev)?);
            if round % 2 == 0 {
                measured.push(measure_this(bench)?);
            }
            let rounds = Rounds::new(project, measured.clone(), measured_at_rev.clone()).with_context(at_rev)?;
            let comparison = rounds.compare(rules)?;
            if !another_follows(project, rules, &comparison, "round") {
                return Ok(rounds);
            }
        }
    }

    /// Takes the rounds that both sides have: a round that was interrupted does not count.
    ///
    /// # Errors
    ///
    /// Names a run with too few requests, and says how the loads of two runs differ.
    pub fn new(project: &Project, mut measured: Vec<Measured>, mut measured_at_rev: Vec<Measured>) -> Result<Rounds> {
        let rounds = measured.len().min(measured_at_rev.len());
        measured.truncate(rounds);
        measured_at_rev.truncate(rounds);
        let this = Measurement::new(measured, project)?;
        let other = Measurement::new(measured_at_rev, project)?;
        let baseline = other.baseline(None, None)?;
        let history = other.histories.into_iter().filter_map(Result::ok).next_back();
        let mut warnings = other.warnings;
        warnings.extend_from_slice(&this.warnings);
        warnings.dedup();
        Ok(Rounds { this, baseline, history, warnings })
    }

    /// Compares both sides by the differences of the rounds.
    ///
    /// # Errors
    ///
    /// Says why they cannot be compared.
    pub fn compare<'a>(&'a self, rules: &'a Rules) -> Result<Comparison<'a>> {
        self.this.check_comparable(&self.baseline.provenance, "the other commit")?;
        compare(&self.baseline, &self.this.runs, rules)
    }

    /// Returns what is known beside the numbers.
    pub fn background(&self, project: &Project) -> Background {
        Background { baseline_history: self.history.clone(), ..background(project, &self.baseline, &self.this) }
    }

    /// Makes the report. `rev` is the name of the other side, where that is known beside its commit.
    pub fn report<'a>(
        &'a self,
        project: &Project,
        comparison: &'a Comparison<'a>,
        rev: Option<&str>,
        background: &'a Background,
        clock: Option<&Clock>,
    ) -> Report<'a> {
        let provenance = Sides { baseline: &self.baseline.provenance, candidate: &self.this.provenance };
        let baseline = shown_commit(&provenance.baseline.commit, provenance.baseline.dirty);
        let this = shown_commit(&provenance.candidate.commit, provenance.candidate.dirty);
        let rev = rev.map_or_else(String::new, |rev| format!("{rev}, "));
        let sides = format!(
            "baseline: {rev}commit {baseline}; candidate: this tree, commit {this}; measured in turn on one machine"
        );
        Report {
            comparison,
            distribution: &self.baseline.distribution,
            runs: &self.this.runs,
            histories: &self.this.histories,
            provenance,
            baseline: printable(&sides),
            warnings: self.warnings.iter().map(|warning| printable(warning)).collect(),
            details: details(project, &self.this, clock),
            background,
            confirmation: None,
        }
    }
}

/// The service at the other commit.
pub struct Other {
    /// `at v1.2`.
    label: String,
    commit: String,
    shell: Shell,
    service: OtherService,
    /// Its checkout, which stays as long as this does.
    _worktree: Worktree,
}

/// The `[service]` that is used there.
struct OtherService {
    config: ServiceConfig,
    /// The difference to ours beyond the code, as a warning for the report.
    warning: Option<String>,
}

impl Other {
    /// Checks the other commit out in the folder of all checkouts, and builds its service.
    ///
    /// # Errors
    ///
    /// Says that git failed, or shows the tail of a build's log that failed.
    pub fn build(
        project: &Project,
        bench: &mut Bench,
        checkouts: &Path,
        rev: &str,
        commit: &str,
        service: &ServiceConfig,
    ) -> Result<Other> {
        let log = bench.session.folder.join("worktree.log");
        let say = |line: &str| project.say(line);
        let check_out = || Worktree::check_out(&project.shell, checkouts, commit, &log, &say);
        let at_rev = || format!("at {rev} ({})", shown_commit(commit, false));
        let worktree = bench.clock.beside(check_out).with_context(at_rev)?;
        let other = Other::read(project, rev, commit, service, worktree)?;
        bench.build(&other.side(), "against-build.log").with_context(at_rev)?;
        Ok(other)
    }

    fn read(project: &Project, rev: &str, commit: &str, service: &ServiceConfig, worktree: Worktree) -> Result<Other> {
        let prefix = git::prefix(&project.shell);
        let root = worktree.folder.join(&prefix);
        ensure!(root.is_dir(), "--against {rev}: that commit has no folder {prefix}");
        let shell = Shell::new()?;
        shell.change_dir(&root);
        // Whatever the user's own setting, the two sides never share what they build.
        shell.set_var("CARGO_TARGET_DIR", root.join("target"));
        let perf_toml = files::read_to_string(&root.join("perf.toml")).ok();
        let service = OtherService::choose(rev, service, perf_toml.as_deref());
        Ok(Other { label: format!("at {rev}"), commit: commit.to_owned(), shell, service, _worktree: worktree })
    }

    /// Returns it as a side of rounds.
    pub fn side(&self) -> Side<'_> {
        Side {
            label: Some(&self.label),
            commit: Some(&self.commit),
            shell: &self.shell,
            service: Some(&self.service.config),
            warning: self.service.warning.as_deref(),
        }
    }
}

impl OtherService {
    /// Takes the `[service]` of the commit's own `perf.toml`, or this tree's where it has none that can be read.
    fn choose(rev: &str, ours: &ServiceConfig, perf_toml: Option<&str>) -> OtherService {
        let Some(text) = perf_toml else {
            let warning = format!("{rev} has no perf.toml, so this tree's [service] starts it there too");
            return OtherService { config: ours.clone(), warning: Some(warning) };
        };
        match Config::parse(text) {
            // The files that git does not hold are named here alone.
            Ok(Config { service: Some(own), .. }) if ours.names_root() && !own.names_root() => {
                let warning = format!("this tree's [service] is also used at {rev}, whose own does not use {{root}}");
                OtherService { config: ours.clone(), warning: Some(warning) }
            }
            Ok(Config { service: Some(own), .. }) if own != *ours => {
                let warning = format!("at {rev} the service is that of its own perf.toml: `{}`", own.command);
                OtherService { config: own, warning: Some(warning) }
            }
            Ok(_) => OtherService { config: ours.clone(), warning: None },
            Err(error) => {
                let warning = format!("this tree's [service] is used for {rev}, whose perf.toml{error:#}");
                OtherService { config: ours.clone(), warning: Some(warning) }
            }
        }
    }
}
