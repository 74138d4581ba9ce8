//! The story of a FAIL by the stored numbers. They are of another hour, and mostly of another machine: so the commit that
//! they were measured at is measured once more, in turn with this tree, and these rounds decide.
//!
//! ```text
//!   stored numbers ── PASS ──────────────────────────────────► PASS
//!         │
//!       FAIL ── the commit cannot be measured here ──────────► FAIL, not confirmed: why
//!         │
//!       rounds: the baseline's commit and this tree, in turn ─► FAIL, confirmed
//!                                                            └► PASS, not confirmed
//! ```

use anyhow::{Context as _, Error, Result, bail, ensure};
use judge::model::limits::Rules;
use judge::model::program;
use judge::model::text::{error_line, printable};
use judge::verdict::compare::Verdict;
use judge::verdict::decision::Row;
use report::view::words::shown_commit;
use report::{Confirmation, Report, Sides, Stored, View};

use crate::commands::against::{Other, Rounds, check_clean, commit_of, this_side};
use crate::commands::delivery::Delivery;
use crate::config::project::{self, Project};
use crate::config::settings::RunRange;
use crate::run::bench::{Bench, Clock};
use crate::sys::process::Interrupted;

/// The means of a second look.
pub enum Means<'a, 'b> {
    /// The bench of the command that measured.
    Bench(&'a mut Bench<'b>),
    /// The rounds that an earlier command has measured.
    Earlier(project::Rounds),
    /// None: these results may be from anywhere.
    None,
}

impl Means<'_, '_> {
    /// Returns the clock of the command that measured.
    pub fn clock(&self) -> Option<&Clock> {
        match self {
            Means::Bench(bench) => Some(bench.clock),
            Means::Earlier(_) | Means::None => None,
        }
    }
}

/// Returns whether a FAIL of this command is to be confirmed.
pub fn is_asked_for(project: &Project, means: &Means) -> bool {
    project.flags.confirm || project.config.baseline.confirm || matches!(means, Means::Earlier(_))
}

/// Confirms the FAIL of `stored`, which is the report by the stored numbers, and delivers what the rounds say. Where there
/// can be none, the FAIL stands.
///
/// # Errors
///
/// Says that a signal came, or that the report cannot be written.
pub fn confirm(project: &Project, delivery: &Delivery, stored: &Report, means: Means) -> Result<Verdict> {
    let rules =
        Rules { paired: true, min_runs: RunRange::ROUNDS.min, max_runs: RunRange::ROUNDS.max, ..project.rules.clone() };
    let rounds = match check_tells(stored).and_then(|()| second_look(project, stored, means, &rules)) {
        Err(error) if error.is::<Interrupted>() => return Err(error),
        Err(error) => return deliver_unconfirmed(project, delivery, stored, &error),
        Ok(rounds) => rounds,
    };
    let comparison = match rounds.compare(&rules) {
        Ok(comparison) => comparison,
        Err(error) => return deliver_unconfirmed(project, delivery, stored, &error),
    };
    let background = rounds.background(project);
    let mut report = rounds.report(project, &comparison, None, &background, None);
    report.details.clone_from(&stored.details);
    if stored.comparison.drift.is_some() {
        report.warnings.push(
            "these rounds are of the baseline's commit, and do not judge the drift since an earlier one".to_owned(),
        );
    }
    let confirmation =
        Confirmation::Measured(Stored { comparison: stored.comparison, baseline: stored.baseline.clone() });
    report.confirmation = Some(&confirmation);
    delivery.deliver(&report)
}

fn deliver_unconfirmed(project: &Project, delivery: &Delivery, stored: &Report, error: &Error) -> Result<Verdict> {
    let why = error_line(error);
    project.say(&format!("the FAIL is not confirmed: {why}"));
    let confirmation = Confirmation::Impossible(printable(&why));
    delivery.deliver(&Report { confirmation: Some(&confirmation), ..stored.clone() })
}

/// Checks that the baseline's own commit would tell something.
fn check_tells(stored: &Report) -> Result<()> {
    let Sides { baseline, candidate } = stored.provenance;
    // Both sides would be loaded by this locustfile, and both would lack what it no longer asks for.
    ensure!(
        baseline.locustfile == candidate.locustfile || !stored.comparison.endpoints.iter().any(Row::is_missing),
        "the locustfile has changed since the baseline, and an endpoint is MISSING: restore its task, or accept the new load with --update-baseline"
    );
    check_clean(baseline)
}

/// Measures the baseline's commit and this tree in rounds, or takes those that an earlier command has measured.
fn second_look(project: &Project, stored: &Report, means: Means, rules: &Rules) -> Result<Rounds> {
    let bench = match means {
        Means::Bench(bench) => bench,
        Means::Earlier(rounds) => return Rounds::new(project, rounds.candidate, rounds.baseline),
        Means::None => {
            bail!("only results were judged: measure with `{} perf --confirm` to confirm it", program::name())
        }
    };
    let service = bench.service().context(
        "the service was not started here: describe it in [service] of perf.toml, and measure without --host",
    )?;
    let commit = commit_of(project, stored.provenance.baseline)?;
    let short = shown_commit(&commit, false);
    project.say(&format!("FAIL by the stored numbers: {}", View::of(stored).headline.sentence()));
    project.say(&format!(
        "confirming it: the baseline's commit {short} is measured in turn with this tree, in {} to {} rounds, which decide",
        rules.min_runs, rules.max_runs
    ));
    bench.begin_rounds(rules.max_runs);
    let this = this_side(project, service);
    let checkouts = project.folder_of_checkouts()?;
    let other = Other::build(project, bench, &checkouts, &short, &commit, service)?;
    Rounds::measure(project, bench, Sides { baseline: &other.side(), candidate: &this }, rules, "confirm/")
}
