//! `cargo xtask perf --against REV`: both sides are measured alternately, so that a slow hour of the machine meets
//! both.

use anyhow::{Context as _, Result, bail, ensure};
use judge::baseline::file::Baseline;
use judge::model::limits::Rules;
use judge::model::run::{Provenance, is_hash};
use judge::model::text::printable;
use judge::parse::locust_history::History;
use judge::verdict::compare::{Comparison, compare};
use judge::verdict::names::{check_endpoint_limits, names_warning};
use report::view::words::{shown_commit, shown_side};
use report::{Background, Report, Sides};

use crate::commands::baseline_checks::failures_of_reference;
use crate::commands::delivery::deliver;
use crate::commands::measurement::{Measurement, Next, judge_again, next_step, other_details, rules_for};
use crate::commands::outcome::Outcome;
use crate::config::project::Project;
use crate::run::checkout::Side;
use crate::run::results::MeasuredRun;
use crate::run::runner::Runner;
use crate::sys::git::{self, UNKNOWN_COMMIT};
use crate::sys::session::RunsMade;

/// The value of `--against` that means the commit of the baseline.
const BASELINE: &str = "baseline";

pub fn against(project: &Project, rev: &str) -> Result<Outcome> {
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
    let rules = &project.rules;
    let mut runner = Runner::prepare(project, settings, Some(Side::This))?;
    let checkout = runner.check_out(rev, &commit, service, &checkouts)?;
    let sides = Sides { baseline: Side::Other(&checkout), candidate: Side::This };
    let rounds = Rounds::measure(project, &mut runner, sides, rules, "")?;
    rounds.deliver(project, rules, Some(rev))
}

/// Both services run already.
pub fn against_url(project: &Project, url: &str) -> Result<Outcome> {
    let settings = project.settle()?;
    ensure!(
        !settings.starts_service,
        "--against-url compares two services that run already: name this one with --host URL"
    );
    let host = settings.host.clone();
    let sides = Sides { baseline: Side::Deployment(url), candidate: Side::Deployment(&host) };
    let rules = &project.rules;
    let mut runner = Runner::prepare(project, settings, Some(sides.candidate))?;
    let rounds = Rounds::measure(project, &mut runner, sides, rules, "")?;
    rounds.deliver(project, rules, None)
}

pub fn judge_rounds(project: &Project, measured: Sides<Vec<MeasuredRun>>) -> Result<Outcome> {
    let rules = Rules { paired: true, ..rules_for(project, &measured.candidate) };
    Rounds::new(project, measured)?.deliver(project, &rules, None)
}

/// The commit that the baseline names. Its numbers do not matter here.
fn commit_of_baseline(project: &Project) -> Result<String> {
    ensure!(
        git::resolve(&project.shell, BASELINE).is_err(),
        "--against {BASELINE} means the commit that the baseline file names, but a branch or tag has that name too: name its commit instead"
    );
    let shown = project.shown(&project.baseline);
    let Some(baseline) = project.read_baseline()? else {
        bail!("--against {BASELINE}: {shown} not found: record one with --update-baseline, or name a commit");
    };
    let commit = check_clean(&baseline.provenance).and_then(|()| commit_of(project, &baseline.provenance));
    commit.with_context(|| format!("--against {BASELINE}"))
}

pub fn check_clean(baseline: &Provenance) -> Result<()> {
    ensure!(
        !baseline.dirty,
        "the baseline was measured with uncommitted changes on commit {}, so it cannot be checked out: re-record it on a clean tree",
        shown_commit(&baseline.commit, false)
    );
    Ok(())
}

pub fn commit_of(project: &Project, baseline: &Provenance) -> Result<String> {
    ensure!(is_hash(&baseline.commit), "the baseline names no commit: record it in a git repository");
    git::resolve(&project.shell, &baseline.commit)
        .with_context(|| format!("the baseline's commit {}", shown_commit(&baseline.commit, false)))
}

pub struct Rounds {
    this: Measurement,
    pub baseline: Baseline,
    history: Option<History>,
    warnings: Vec<String>,
}

impl Rounds {
    /// The order alternates. The candidate's runs lie in `folder` of the session, and the other side's in `against`
    /// below it.
    pub fn measure(
        project: &Project,
        runner: &mut Runner,
        sides: Sides<Side>,
        rules: &Rules,
        folder: &str,
    ) -> Result<Rounds> {
        runner.begin_rounds(rules);
        let mut measured = Sides { baseline: Vec::new(), candidate: Vec::new() };
        let other_side = || sides.baseline.shown();
        let mut reason = String::new();
        loop {
            let round = measured.candidate.len() + 1;
            let measure_this = |runner: &mut Runner| runner.run(sides.candidate, &format!("{folder}run-{round}"));
            if round % 2 == 1 {
                measured.candidate.push(measure_this(runner)?);
            }
            let other = runner.run(sides.baseline, &format!("{folder}against/run-{round}"));
            measured.baseline.push(other.with_context(other_side)?);
            if round % 2 == 0 {
                measured.candidate.push(measure_this(runner)?);
            }
            if round == rules.most_runs() {
                project.record_runs(RunsMade::All)?;
            }
            let rounds = Rounds::new(project, measured.clone()).with_context(other_side)?;
            let (next, max_rounds) = {
                let comparison = rounds.compare(rules)?;
                (next_step(&comparison), comparison.max_runs)
            };
            project.say(&format!("round {round}/{max_rounds}: {}", next.reason(&mut reason)));
            if let Next::Stop(_) = next {
                project.record_runs(RunsMade::All)?;
                return Ok(rounds);
            }
        }
    }

    /// Takes the rounds that both sides have, because a round that was interrupted does not count.
    pub fn new(project: &Project, mut measured: Sides<Vec<MeasuredRun>>) -> Result<Rounds> {
        let rounds = measured.candidate.len().min(measured.baseline.len());
        measured.candidate.truncate(rounds);
        measured.baseline.truncate(rounds);
        let this = Measurement::of_candidate(measured.candidate, project)?;
        let other = Measurement::new(measured.baseline, project)?;
        let baseline = other.baseline()?;
        let history = other.histories.into_iter().filter_map(Result::ok).next_back();
        let mut warnings = other.warnings;
        warnings.extend_from_slice(&this.warnings);
        warnings.dedup();
        let (before, now) = (&baseline.provenance, &this.provenance);
        if now.host.is_empty() && before.commit == now.commit && now.commit != UNKNOWN_COMMIT && !now.dirty {
            let commit = shown_commit(&now.commit, false);
            warnings.push(format!("both sides are commit {commit}, so a difference between them is noise"));
        }
        warnings.extend(names_warning(&baseline, &this.runs));
        warnings.extend(failures_of_reference(&baseline, "on the other side"));
        Ok(Rounds { this, baseline, history, warnings })
    }

    pub fn compare<'a>(&'a self, rules: &'a Rules) -> Result<Comparison<'a>> {
        self.this.check_comparable(&self.baseline, "the other side")?;
        let comparison = compare(&self.baseline, &self.this.runs, rules)?;
        self.this.check_requests(&comparison)?;
        Ok(comparison)
    }

    pub fn background(&self, project: &Project, comparison: &Comparison) -> Background {
        let background = self.this.background(project, comparison, &self.baseline);
        Background { baseline_history: self.history.clone(), ..background }
    }

    fn deliver(&self, project: &Project, rules: &Rules, rev: Option<&str>) -> Result<Outcome> {
        check_endpoint_limits(rules, Some(&self.baseline), &self.this.runs, &judge_again(project))?;
        let comparison = self.compare(rules)?;
        let background = self.background(project, &comparison);
        deliver(project, &self.report(project, &comparison, rev, &background))
    }

    pub fn report<'a>(
        &'a self,
        project: &Project,
        comparison: &'a Comparison<'a>,
        rev: Option<&str>,
        background: &'a Background,
    ) -> Report<'a> {
        let provenance = Sides { baseline: &self.baseline.provenance, candidate: &self.this.provenance };
        let [baseline, this] = [provenance.baseline, provenance.candidate].map(shown_side);
        let rev = rev.map_or_else(String::new, |rev| format!("{rev}, "));
        let sides = if provenance.candidate.host.is_empty() {
            format!(
                "baseline: {rev}commit {baseline}; candidate: this tree, commit {this}; measured alternately on one machine"
            )
        } else {
            format!("baseline: {baseline}; candidate: {this}; measured alternately from one machine")
        };
        Report {
            comparison,
            distribution: &self.baseline.distribution,
            runs: &self.this.runs,
            histories: &self.this.histories,
            provenance,
            baseline_origin: printable(&sides),
            file_warnings: Vec::new(),
            warnings: self.warnings.iter().map(|warning| printable(warning)).collect(),
            other_details: other_details(project),
            background,
            confirmation: None,
        }
    }
}
