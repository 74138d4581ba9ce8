//! Confirms a FAIL by the stored numbers. They were recorded at another time and usually on another machine, so their commit is
//! measured once more, alternately with this tree, and these rounds decide.
//!
//! ```text
//!   stored numbers ── PASS ──────────────────────────────────► PASS
//!         │
//!       FAIL ── the commit cannot be measured here ──────────► FAIL, not confirmed: why
//!         │
//!       rounds: the baseline's commit and this tree, alternately ─► FAIL, confirmed
//!                                                            └► PASS, not confirmed
//! ```

use anyhow::{Context as _, Error, Result, bail, ensure};
use judge::model::limits::Rules;
use judge::model::program;
use judge::model::text::{error_line, printable};
use judge::verdict::decision::Row;
use report::view::words::shown_commit;
use report::{Confirmation, Report, Sides, Stored, View};

use crate::commands::against::{Rounds, check_clean, commit_of};
use crate::commands::delivery::deliver;
use crate::commands::outcome::Outcome;
use crate::config::project::Project;
use crate::config::settings::RunRange;
use crate::run::checkout::Side;
use crate::run::results::MeasuredRun;
use crate::run::runner::Runner;
use crate::sys::process::Interrupted;
use crate::sys::session::RunsMade;

pub enum Remeasure<'a, 'b> {
    Now(&'a mut Runner<'b>),
    Earlier(Sides<Vec<MeasuredRun>>),
    /// An earlier command could not make them, for this reason.
    Failed(String),
    /// The results may be from anywhere.
    Impossible,
}

pub fn is_asked_for(project: &Project, remeasure: &Remeasure) -> bool {
    project.flags.confirm
        || project.config.baseline.confirm
        || matches!(remeasure, Remeasure::Earlier(_) | Remeasure::Failed(_))
}

/// If there can be no rounds, the FAIL of `stored` stands.
pub fn confirm(project: &Project, stored: &Report, mut remeasure: Remeasure) -> Result<Outcome> {
    let RunRange { min: min_runs, max: max_runs, .. } = RunRange::ROUNDS;
    let max_noisy_rounds = RunRange::NOISY_ROUNDS;
    let rules = Rules { paired: true, min_runs, max_runs, max_noisy_rounds, ..project.rules.clone() };
    let rounds = match check_conclusive(stored).and_then(|()| rounds(project, stored, &mut remeasure, &rules)) {
        Err(error) if error.is::<Interrupted>() => return Err(error),
        Err(error) => return deliver_unconfirmed(project, stored, &error),
        Ok(rounds) => rounds,
    };
    let comparison = match rounds.compare(&rules) {
        Ok(comparison) => comparison,
        Err(error) => return deliver_unconfirmed(project, stored, &error),
    };
    let background = rounds.background(project, &comparison);
    let mut report = rounds.report(project, &comparison, None, &background);
    if stored.comparison.drift.is_some() {
        report.warnings.push(
            "these rounds compare with the baseline's commit, so they do not judge the drift since an earlier one"
                .to_owned(),
        );
    }
    let confirmation = Confirmation::Measured(Stored {
        comparison: stored.comparison,
        baseline_origin: stored.baseline_origin.clone(),
    });
    report.confirmation = Some(&confirmation);
    deliver(project, &report)
}

fn deliver_unconfirmed(project: &Project, stored: &Report, error: &Error) -> Result<Outcome> {
    let why = error_line(error);
    project.say(&format!("the FAIL is not confirmed: {why}"));
    let confirmation = Confirmation::Impossible(printable(&why));
    deliver(project, &Report { confirmation: Some(&confirmation), ..stored.clone() })
}

fn check_conclusive(stored: &Report) -> Result<()> {
    let Sides { baseline, candidate } = stored.provenance;
    // This locustfile would load both sides, and both would lack the endpoints that it no longer requests.
    ensure!(
        baseline.locustfile == candidate.locustfile || !stored.comparison.endpoints.iter().any(Row::is_missing),
        "the locustfile has changed since the baseline, and an endpoint is MISSING: restore its task, or accept the new load with --update-baseline"
    );
    check_clean(baseline)
}

fn rounds(project: &Project, stored: &Report, remeasure: &mut Remeasure, rules: &Rules) -> Result<Rounds> {
    let runner = match remeasure {
        Remeasure::Now(runner) => runner,
        Remeasure::Earlier(rounds) => return Rounds::new(project, rounds.clone()),
        Remeasure::Failed(why) => bail!("{why}"),
        Remeasure::Impossible => {
            bail!("only results were judged: measure with `{} perf --confirm` to confirm it", program::name())
        }
    };
    let service = runner.service().context(
        "the service was not started here: describe it in [service] of perf.toml, and measure without --host",
    )?;
    let commit = commit_of(project, stored.provenance.baseline)?;
    let short = shown_commit(&commit, false);
    project.say(&format!("FAIL by the stored numbers: {}", View::of(stored).headline.sentence()));
    project.say(&format!(
        "confirming it: the baseline's commit {short} is measured alternately with this tree, in {} to {} rounds, which decide",
        rules.min_runs,
        rules.most_runs()
    ));
    project.record_runs(RunsMade::Part)?;
    let checkout = runner.check_out(&short, &commit, service, &project.folder_of_checkouts()?)?;
    let sides = Sides { baseline: Side::Other(&checkout), candidate: Side::This };
    Rounds::measure(project, runner, sides, rules, "confirm/")
}
