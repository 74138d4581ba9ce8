//! `cargo xtask bisect`: which commit made the service slower.

use anyhow::Result;
use judge::verdict::bisect::Action;

use crate::commands::bisect_result;
use crate::commands::bisect_rounds::Bisection;
use crate::commands::outcome::Outcome;
use crate::config::flags::BisectFlags;
use crate::config::paths::Paths;
use crate::config::project::Project;
use crate::sys::process::Interrupted;

pub fn bisect(flags: &BisectFlags) -> Result<Outcome> {
    let paths = Paths::resolve(&flags.perf.files);
    let project = Project::read(&flags.perf, &paths)?;
    let mut bisection = Bisection::prepare(flags, &project)?;
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
