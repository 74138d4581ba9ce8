//! The story of `cargo xtask perf --against REV`: this tree and another commit, measured in turn on one machine, so that
//! the machine's own moods meet both.

use anyhow::{Context as _, Result, ensure};
use xshell::Shell;

use crate::baseline::Baseline;
use crate::compare::{Verdict, compare};
use crate::config::{Config, ServiceConfig};
use crate::measure::{Bench, Clock, Side};
use crate::perf::{Measurement, another_follows, publish};
use crate::project::Project;
use crate::report::shown_commit;
use crate::results::Measured;
use crate::run::{Provenance, Run};
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
    let this = Side { at: " of this tree", commit: None, shell: &project.shell, service: Some(service) };
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
        let runs_of = |measured: &[Measured]| -> Vec<Run> { measured.iter().map(|one| one.run.clone()).collect() };
        let provenance = Provenance { commit: commit.clone(), dirty: false, ..bench.provenance.clone() };
        let baseline = Baseline::new(&runs_of(&measured_at_rev), provenance, None, None).with_context(at_rev)?;
        let runs = runs_of(&measured);
        let comparison = compare(&baseline, &runs, &project.rules)?;
        if another_follows(project, &comparison, "round") {
            continue;
        }
        project.rules.check_all_met(Some(&baseline), &runs)?;
        let measurement = Measurement::new(measured, project)?;
        let mut warnings = Measurement::new(measured_at_rev, project)?.warnings;
        warnings.extend_from_slice(&measurement.warnings);
        warnings.dedup();
        warnings.extend(other.differs);
        let head = project.head.as_ref().map_or_else(String::new, |head| shown_commit(&head.commit, head.dirty));
        let sides = format!(
            "baseline: {rev}, commit {}; candidate: this tree, commit {head}; measured in turn on this machine",
            shown_commit(&commit, false)
        );
        return publish(project, &comparison, &baseline, &measurement, &sides, &warnings, bench.clock);
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
        let own = text.ok().map(|text| Config::parse(&text).map(|(config, ..)| config.service));
        let (service, differs) = match own {
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
        Side { at: &self.at, commit: Some(&self.commit), shell: &self.shell, service: Some(&self.service) }
    }
}
