//! How a bisection ended: the commit, or the commits that remain.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use judge::stats::SIGNIFICANCE;
use judge::stats::estimate::Difference;
use judge::verdict::bisect::{Ending, Pair};
use report::formats::github;
use report::view::words::{change_text, count, interval_words};

use crate::commands::bisect_rounds::{Bisection, FollowedSeries};
use crate::commands::measurement::command_again;
use crate::commands::outcome::Outcome;
use crate::sys::ci;

const LISTED: usize = 30;

pub fn outcome(bisection: &Bisection, series: &FollowedSeries, ending: Ending) -> Result<Outcome> {
    let result = BisectResult { bisection, series };
    let harmless = |text: String| if ci::is_github() { github::harmless(&text) } else { text };
    Ok(match ending {
        Ending::NoGap { gap, visible } => bail!(result.no_gap(&gap, visible)),
        Ending::Found { pair, step, gap } => Outcome::Done(harmless(result.found(pair, &step, &gap))),
        Ending::Unmeasured { commits } => Outcome::NotFound(harmless(result.unmeasured(&commits))),
        Ending::NoStep { pair, step, commits } => Outcome::NotFound(harmless(result.no_step(pair, &step, &commits))),
    })
}

struct BisectResult<'a> {
    bisection: &'a Bisection<'a>,
    series: &'a FollowedSeries,
}

impl BisectResult<'_> {
    fn no_gap(&self, gap: &Difference, visible: f64) -> String {
        let Bisection { range, state, .. } = self.bisection;
        format!(
            "{} from {} to {}: {} after {}, too little to tell commits apart; {} rounds would show {}: lengthen the runs (--run-time), allow more rounds (--max-runs), or name another --metric or --endpoint",
            self.series.shown(),
            range.shown(0),
            range.shown(range.len()),
            self.change(gap),
            count(state.rounds.len(), "round"),
            self.bisection.max_rounds(),
            change_text(self.series.metric, visible),
        )
    }

    fn found(&self, pair: Pair, step: &Difference, gap: &Difference) -> String {
        let Bisection { range, state, .. } = self.bisection;
        let (commit, before) = (range.short(pair.commit), range.short(pair.reference));
        let mut text = format!("FOUND: commit {commit} changed {} by {}\n", self.series.shown(), self.change(step));
        let [author, date, subject] = ["%an <%ae>", "%ad", "%s"].map(|format| self.log(pair.commit, format));
        for (name, value) in [
            ("author", author),
            ("date", date),
            ("subject", subject),
            ("against", format!("{before} {}", self.log(pair.reference, "%s"))),
            ("in all", format!("{} from {} to {}", self.change(gap), range.shown(0), range.shown(range.len()))),
            ("measured", format!("{} for {}", count(state.rounds.len(), "round"), count(range.len(), "commit"))),
        ] {
            let _ = writeln!(text, "  {name:<8} {value}");
        }
        text.push_str(&self.skipped());
        if is_less(step, gap) {
            let [good, bad] = [0, range.len()].map(|end| range.shown(end));
            let (later, earlier) = (self.command(&commit, &bad), self.command(&good, &before));
            let _ = writeln!(text, "note: other commits changed it too: `{later}`, or `{earlier}`");
        }
        let _ = write!(text, "next: `git show {commit}`");
        text
    }

    fn unmeasured(&self, commits: &[usize]) -> String {
        let Bisection { range, state, .. } = self.bisection;
        let mut text = format!(
            "NOT FOUND: one of these {} changed {}, but not all of them could be measured well enough\n",
            count(commits.len(), "commit"),
            self.series.shown()
        );
        text.push_str(&self.list(commits));
        let are_skipped = commits.iter().any(|commit| state.skipped.contains_key(range.hash(*commit)));
        text.push_str(if are_skipped {
            "next: find out why commits were skipped, and search again"
        } else {
            "next: allow more rounds (--max-runs), or lengthen the runs (--run-time)"
        });
        text
    }

    fn no_step(&self, pair: Pair, step: &Difference, commits: &[usize]) -> String {
        let mut text = format!(
            "NOT FOUND: several commits changed {}, or one of these {}: the search led to {}, with {} only\n",
            self.series.shown(),
            count(commits.len(), "commit"),
            self.bisection.range.short(pair.commit),
            self.change(step),
        );
        text.push_str(&self.list(commits));
        text.push_str("next: lengthen the runs (--run-time), which shows smaller steps");
        text
    }

    fn list(&self, commits: &[usize]) -> String {
        let mut text = String::new();
        for commit in commits.iter().take(LISTED) {
            let (short, about) = (self.bisection.range.short(*commit), self.log(*commit, "%ad %an: %s"));
            let _ = writeln!(text, "  {short} {about}");
        }
        if let Some(more) = commits.len().checked_sub(LISTED).filter(|more| *more > 0) {
            let _ = writeln!(text, "  and {more} more");
        }
        text + &self.skipped()
    }

    fn skipped(&self) -> String {
        let mut text = String::new();
        for (hash, reason) in &self.bisection.state.skipped {
            if self.bisection.range.place(hash).is_some() {
                let _ = writeln!(text, "  skipped  {reason}");
            }
        }
        text
    }

    fn command(&self, good: &str, bad: &str) -> String {
        let mut command = command_again(&self.bisection.flags.perf);
        command.flags.push(("--metric", self.series.metric.to_string()));
        command.flags.extend(self.series.endpoint.iter().map(|endpoint| ("--endpoint", endpoint.clone())));
        command.of(&format!("bisect {good} {bad}"))
    }

    fn change(&self, difference: &Difference) -> String {
        let metric = self.series.metric;
        let interval = interval_words(metric, difference.interval(SIGNIFICANCE));
        format!("{} ({interval})", change_text(metric, difference.change()))
    }

    fn log(&self, commit: usize, format: &str) -> String {
        self.bisection.range.log(&self.bisection.project.shell, commit, format)
    }
}

/// Whether a good part of the change is certainly not by this step.
fn is_less(step: &Difference, gap: &Difference) -> bool {
    let [step_interval, gap_interval] = [step, gap].map(|difference| difference.interval(SIGNIFICANCE));
    let are_apart = step_interval.high < gap_interval.low || gap_interval.high < step_interval.low;
    are_apart && step.change().abs() < 0.75 * gap.change().abs()
}
