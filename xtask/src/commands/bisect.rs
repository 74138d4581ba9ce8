//! `cargo xtask bisect`: which commit made the service slower.

use anyhow::{Context as _, Result};
use judge::verdict::bisect::Action;

use crate::commands::bisect_range::CommitRange;
use crate::commands::bisect_result;
use crate::commands::bisect_rounds::Bisection;
use crate::commands::bisect_state::BisectState;
use crate::commands::outcome::Outcome;
use crate::config::flags::BisectFlags;
use crate::config::paths::Paths;
use crate::config::project::Project;
use crate::run::runner::Runner;
use crate::sys::process::Interrupted;

pub fn bisect(flags: &BisectFlags) -> Result<Outcome> {
    let paths = Paths::resolve(&flags.perf.files);
    let project = Project::read(&flags.perf, &paths)?;
    let range = CommitRange::read(&project.shell, flags)?;
    let checkouts = project.folder_of_checkouts()?;
    let settings = project.settle()?;
    let service = project
        .service(&settings)
        .context("bisect builds and starts the service of each commit: describe it in [service] of perf.toml")?;
    let runner = Runner::prepare(&project, settings, None, 0)?;
    let state = BisectState::open(&project, range.hash(0), range.hash(range.len()), &runner.provenance);
    let mut bisection = Bisection::new(flags, &project, range, service, checkouts, runner, state);
    bisection.print_start();
    loop {
        let series = bisection.series()?;
        let search = bisection.search(&series)?;
        match search.next_action() {
            Action::Measure { pair, remaining } => bisection.measure(pair, remaining).inspect_err(|error| {
                if error.is::<Interrupted>() {
                    project.say("the same command continues from here");
                }
            })?,
            Action::End(ending) => {
                bisection.state.remove();
                return bisect_result::outcome(&bisection, &series, ending);
            }
        }
    }
}
