//! The story of `cargo xtask perf --against REV`: this tree and another commit, measured in turn on one machine, so that
//! the machine's own moods meet both.

use anyhow::{Context as _, Result, ensure};
use xshell::Shell;

use crate::baseline::Baseline;
use crate::compare::{Comparison, Verdict, compare};
use crate::config::{Config, ServiceConfig};
use crate::measure::{Bench, Clock, Side};
use crate::perf::{Measurement, another_follows, publish};
use crate::project::Project;
use crate::report::shown_commit;
use crate::results::Measured;
use crate::worktree::Worktree;
use crate::{files, git};

pub fn against(project: &Project, rev: &str, clock: &mut Clock) -> Result<Verdict> {
    // 1. Check what can be checked before anything is built.
    let commit = git::resolve(&project.shell, rev)?;
    let settings = project.settle()?;
    let service = project.config.service.as_ref().filter(|_| settings.starts_service);
    let service = service.context(
        "--against builds and starts the service of either side: describe it in [service] of perf.toml, without --host",
    )?;
    // 2. Check the other commit out, and build both.
    let mut bench = Bench::prepare(project, &settings, clock)?;
    let log = bench.session.folder.join("worktree.log");
    let worktree = bench.clock.beside(|| Worktree::check_out(&project.shell, &project.perf_folder(), &commit, &log))?;
    let other = Other::read(project, [rev, &commit], service, &worktree)?;
    let this = Side { at: " of this tree", commit: None, shell: &project.shell, service: Some(service), warning: None };
    bench.build(&this, "build.log")?;
    let at_rev = || format!("at {rev} ({})", shown_commit(&commit, false));
    bench.build(&other.side(), "against-build.log").with_context(at_rev)?;
    // 3. Measure in rounds, in the one order and then in the other, until the verdict is settled.
    let (mut measured, mut measured_at_rev): (Vec<Measured>, Vec<Measured>) = (Vec::new(), Vec::new());
    loop {
        let round = measured.len() + 1;
        let measure_this = |bench: &mut Bench| bench.run(&this, &format!("run-{round}"));
        if round % 2 == 1 {
            measured.push(measure_this(&mut bench)?);
        }
        measured_at_rev.push(bench.run(&other.side(), &format!("against/run-{round}")).with_context(at_rev)?);
        if round % 2 == 0 {
            measured.push(measure_this(&mut bench)?);
        }
        // 4. Judge by the differences of the rounds.
        let rounds = Rounds::new(project, measured.clone(), measured_at_rev.clone()).with_context(at_rev)?;
        let comparison = rounds.compare(project)?;
        if !another_follows(project, &comparison, "round") {
            return rounds.publish(project, &comparison, &format!("{rev}, "), bench.clock);
        }
    }
}

/// Judges once more what an earlier call measured, and nothing else.
pub fn judge_again(project: &Project, sides: [Vec<Measured>; 2], clock: &Clock) -> Result<Verdict> {
    let [measured, measured_at_rev] = sides;
    let rounds = Rounds::new(project, measured, measured_at_rev)?;
    rounds.publish(project, &rounds.compare(project)?, "", clock)
}

/// Both sides, a run of each in every round.
struct Rounds {
    this: Measurement,
    baseline: Baseline,
    warnings: Vec<String>,
}

impl Rounds {
    /// What the sides have in common: of a round that was interrupted nothing counts.
    fn new(project: &Project, mut measured: Vec<Measured>, mut measured_at_rev: Vec<Measured>) -> Result<Rounds> {
        let rounds = measured.len().min(measured_at_rev.len());
        measured.truncate(rounds);
        measured_at_rev.truncate(rounds);
        let this = Measurement::new(measured, project)?;
        let other = Measurement::new(measured_at_rev, project)?;
        let baseline = Baseline::new(&other.runs, other.provenance, None, None)?;
        let mut warnings = other.warnings;
        warnings.extend_from_slice(&this.warnings);
        warnings.dedup();
        Ok(Rounds { this, baseline, warnings })
    }

    fn compare<'a>(&'a self, project: &'a Project) -> Result<Comparison<'a>> {
        compare(&self.baseline, &self.this.runs, &project.rules)
    }

    /// `rev` is its name, where that is known beside its commit.
    fn publish(&self, project: &Project, comparison: &Comparison, rev: &str, clock: &Clock) -> Result<Verdict> {
        project.rules.check_all_met(Some(&self.baseline), &self.this.runs)?;
        let [baseline, this] = [&self.baseline.provenance, &self.this.provenance]
            .map(|provenance| shown_commit(&provenance.commit, provenance.dirty));
        let sides = format!(
            "baseline: {rev}commit {baseline}; candidate: this tree, commit {this}; measured in turn on one machine"
        );
        publish(project, comparison, &self.baseline, &self.this, &sides, &self.warnings, clock)
    }
}

/// The service at the other commit.
struct Other {
    at: String,
    commit: String,
    shell: Shell,
    service: ServiceConfig,
    /// What sets it apart beyond its code.
    differs: Option<String>,
}

impl Other {
    fn read(
        project: &Project,
        [rev, commit]: [&str; 2],
        service: &ServiceConfig,
        worktree: &Worktree,
    ) -> Result<Other> {
        let prefix = git::prefix(&project.shell);
        let root = worktree.folder.join(&prefix);
        ensure!(root.is_dir(), "--against {rev}: there is no folder {prefix} in that commit");
        let shell = Shell::new()?;
        shell.change_dir(&root);
        // Whatever the user's own setting, the two sides never share what they build.
        shell.set_var("CARGO_TARGET_DIR", root.join("target"));
        let text = files::read_to_string(&root.join("perf.toml"));
        let own = text.ok().map(|text| Config::parse(&text).map(|config| config.service));
        let (service, differs) = match own {
            None => {
                (service.clone(), Some(format!("{rev} has no perf.toml, so this tree's [service] starts it there too")))
            }
            Some(Ok(Some(own))) if own != *service => {
                let differs = format!("at {rev} the service is that of its own perf.toml: `{}`", own.command);
                (own, Some(differs))
            }
            Some(Err(error)) => {
                (service.clone(), Some(format!("this tree's [service] is used for {rev}, whose perf.toml{error:#}")))
            }
            _ => (service.clone(), None),
        };
        Ok(Other { at: format!(" at {rev}"), commit: commit.to_owned(), shell, service, differs })
    }

    fn side(&self) -> Side<'_> {
        Side {
            at: &self.at,
            commit: Some(&self.commit),
            shell: &self.shell,
            service: Some(&self.service),
            warning: self.differs.as_deref(),
        }
    }
}
