//! Which series a bisection follows, and which commits it measures or skips.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context as _, Error, Result, ensure};
use judge::model::run::{Metric, Run};
use judge::model::text::{error_line, nearest, printable};
use judge::stats::estimate::Scale;
use judge::verdict::bisect::{CommitSearch, LEAST_ROUNDS_OF_ENDS, Pair};
use judge::verdict::decision::Presence;
use report::Sides;
use report::view::words::{change_text, count, series_of};

use crate::commands::against::Rounds;
use crate::commands::bisect_range::CommitRange;
use crate::commands::bisect_state::{BisectState, MeasuredRound};
use crate::config::flags::BisectFlags;
use crate::config::perf_toml::ServiceConfig;
use crate::config::project::Project;
use crate::run::checkout::{Checkout, Side};
use crate::run::progress;
use crate::run::runner::Runner;
use crate::sys::process::Interrupted;

const MAX_ROUNDS: usize = 20;

/// The runs that may fail in a row before their commit is skipped: a busy machine spoils some.
const ATTEMPTS: usize = 3;

pub struct Bisection<'a> {
    pub flags: &'a BisectFlags,
    pub project: &'a Project<'a>,
    pub range: CommitRange,
    service: &'a ServiceConfig,
    checkouts: PathBuf,
    runner: Runner<'a>,
    pub state: BisectState,
    current: Option<(Pair, Sides<Checkout>)>,
    /// Without those of an interrupted search.
    rounds_made: u32,
}

pub struct FollowedSeries {
    pub endpoint: Option<String>,
    pub metric: Metric,
    /// The time between two requests of a user at GOOD, by which `p95_corrected` is computed.
    expected_interval_ms: Option<f64>,
}

impl FollowedSeries {
    /// `None` if the run has no requests to the endpoint, or the metric cannot be compared.
    fn value(&self, run: &Run) -> Option<f64> {
        let stats = match &self.endpoint {
            None if self.metric == Metric::P95Corrected => return run.p95_corrected_ms(self.expected_interval_ms?),
            None if self.metric == Metric::CpuPerRequest => return Some(run.cpu.as_ref()?.ms_per_request),
            None => &run.total,
            Some(endpoint) => {
                run.endpoints_and_setup().find(|(name, _)| **name == **endpoint).map(|(_, stats)| stats)?
            }
        };
        let value = stats.value(self.metric);
        (value > 0.0 || self.metric.scale() == Scale::Absolute).then_some(value)
    }

    pub fn shown(&self) -> String {
        series_of(self.endpoint.as_deref(), self.metric)
    }
}

impl<'a> Bisection<'a> {
    pub fn prepare(flags: &'a BisectFlags, project: &'a Project<'a>) -> Result<Bisection<'a>> {
        let range = CommitRange::read(&project.shell, flags)?;
        let checkouts = project.folder_of_checkouts()?;
        let settings = project.settle()?;
        let service = project
            .service(&settings)
            .context("bisect builds and starts the service of each commit: describe it in [service] of perf.toml")?;
        let runner = Runner::prepare(project, settings, None)?;
        let state = BisectState::open(project, range.hash(0), range.hash(range.len()), &runner.provenance);
        Ok(Bisection { flags, project, range, service, checkouts, runner, state, current: None, rounds_made: 0 })
    }

    pub fn max_rounds(&self) -> usize {
        self.flags.perf.load.max_runs.map_or(MAX_ROUNDS, |rounds| rounds as usize)
    }

    pub fn print_start(&self) {
        let range = &self.range;
        let (commits, [good, bad]) = (range.len(), [0, range.len()].map(|end| range.shown(end)));
        let rounds = self.state.rounds.len();
        let earlier =
            if rounds == 0 { String::new() } else { format!(", with {rounds} rounds of an interrupted search") };
        self.project.say(&format!("searching {} after {good}, up to {bad}{earlier}", count(commits, "commit")));
        if self.project.provenance().dirty {
            self.project.say("note: uncommitted changes are in no commit, so they are not searched");
        }
    }

    fn rounds_of(&self, pair: Pair) -> impl Iterator<Item = &MeasuredRound> {
        let is_of = move |round: &&MeasuredRound| self.pair_of(round) == Some(pair);
        self.state.rounds.iter().filter(is_of)
    }

    /// The commits of a round; `None` if one is not in this range, because the earlier command had `--all`.
    fn pair_of(&self, round: &MeasuredRound) -> Option<Pair> {
        let Sides { baseline, candidate } = &round.commits;
        Some(Pair { reference: self.range.place(baseline)?, commit: self.range.place(candidate)? })
    }

    fn first_rounds(&self, pair: Pair, number: usize) -> Result<Rounds> {
        let mut runs = Sides { baseline: Vec::new(), candidate: Vec::new() };
        for round in self.rounds_of(pair).take(number) {
            runs.baseline.push(round.runs.baseline.clone());
            runs.candidate.push(round.runs.candidate.clone());
        }
        Rounds::new(self.project, runs)
    }

    /// The series of the flags, or else of the worst finding of the first rounds: later ones do not change it, so that
    /// noise cannot choose the largest change.
    pub fn series(&self) -> Result<FollowedSeries> {
        let BisectFlags { endpoint, metric, .. } = self.flags;
        let mut series = FollowedSeries {
            endpoint: endpoint.clone(),
            metric: metric.unwrap_or(Metric::P95),
            expected_interval_ms: None,
        };
        let ends = Pair { reference: 0, commit: self.range.len() };
        if self.rounds_of(ends).next().is_none() {
            return Ok(series);
        }
        let rounds = self.first_rounds(ends, LEAST_ROUNDS_OF_ENDS)?;
        let comparison = rounds.compare(&self.project.rules)?;
        series.expected_interval_ms = rounds.baseline.expected_interval_ms;
        if let Some(endpoint) = endpoint {
            let names = || rounds.baseline.names();
            let near = nearest(endpoint, names());
            let near = near.map_or_else(String::new, |near| format!(" (did you mean {:?}?)", printable(near)));
            ensure!(
                names().any(|name| name == endpoint),
                "--endpoint {endpoint}: no requests at {}{near}",
                self.flags.good
            );
        } else if metric.is_none() {
            let findings = comparison.findings();
            let worst = findings.iter().find(|row| matches!(row.presence, Presence::Both { .. }));
            if let Some(worst) = worst {
                (series.endpoint, series.metric) = (worst.endpoint.map(str::to_owned), worst.metric);
            }
        }
        Ok(series)
    }

    pub fn search(&self, series: &FollowedSeries) -> Result<CommitSearch> {
        let mut search = CommitSearch::new(self.range.parents.clone(), series.metric, self.max_rounds());
        for commit in self.state.skipped.keys().filter_map(|hash| self.range.place(hash)) {
            search.skip(commit);
        }
        for round in &self.state.rounds {
            let Some(pair) = self.pair_of(round) else { continue };
            let (reference, commit) = (series.value(&round.runs.baseline.run), series.value(&round.runs.candidate.run));
            if let (Some(reference), Some(commit)) = (reference, commit) {
                search.add_round(pair, reference, commit);
                continue;
            }
            let without = if reference.is_none() { pair.reference } else { pair.commit };
            ensure!(
                !self.range.is_end(without),
                "{} was not measured at {}: name another --metric or --endpoint",
                series.shown(),
                self.range.shown(without)
            );
            search.skip(without);
        }
        Ok(search)
    }

    /// A commit that cannot be measured is skipped.
    pub fn measure(&mut self, pair: Pair, remaining: usize) -> Result<()> {
        let round = 1 + self.rounds_of(pair).count();
        self.print_plan(pair, remaining);
        self.runner.loads.allow_rounds(self.expected_rounds(remaining));
        let measured = self.measure_round(pair, round).and_then(|measured| {
            self.state.rounds.push(measured);
            self.rounds_made += 1;
            self.check_round(pair).map_err(|error| FailedCommit { commit: pair.commit, error })
        });
        if let Err(FailedCommit { commit, error }) = measured {
            if error.is::<Interrupted>() || self.range.is_end(commit) {
                return Err(error);
            }
            let reason = error_line(&error);
            self.project.say(&format!("skipped: {reason}"));
            self.state.skipped.insert(self.range.hash(commit).to_owned(), reason);
            return self.state.save();
        }
        self.state.save()?;
        self.print_round(pair)
    }

    fn measure_round(&mut self, pair: Pair, round: usize) -> Result<MeasuredRound, FailedCommit> {
        self.check_out(pair)?;
        let Bisection { project, range, runner, current, .. } = self;
        let Some((_, checkouts)) = current else { unreachable!("checked out") };
        let folder = format!("{}..{}/run-{round}", range.short(pair.reference), range.short(pair.commit));
        let mut run = |commit: usize, checkout: &Checkout| {
            let name = format!("{folder}/{}", range.short(commit));
            for attempt in 1.. {
                let run = runner.run(Side::Other(checkout), &format!("{name}/attempt-{attempt}"));
                match run.with_context(|| checkout.shown()) {
                    Ok(run) => return Ok(run),
                    Err(error) if error.is::<Interrupted>() || attempt == ATTEMPTS => {
                        return Err(FailedCommit { commit, error });
                    }
                    Err(error) => project.say(&format!("measuring again, because {}", error_line(&error))),
                }
            }
            unreachable!("the last attempt ends")
        };
        let (baseline, candidate);
        if round % 2 == 1 {
            candidate = run(pair.commit, &checkouts.candidate)?;
            baseline = run(pair.reference, &checkouts.baseline)?;
        } else {
            baseline = run(pair.reference, &checkouts.baseline)?;
            candidate = run(pair.commit, &checkouts.candidate)?;
        }
        let [reference, commit] = [pair.reference, pair.commit].map(|commit| range.hash(commit).to_owned());
        let commits = Sides { baseline: reference, candidate: commit };
        Ok(MeasuredRound { commits, runs: Sides { baseline, candidate } })
    }

    fn is_current(&self, pair: Pair) -> bool {
        self.current.as_ref().is_some_and(|(current, _)| *current == pair)
    }

    fn check_out(&mut self, pair: Pair) -> Result<(), FailedCommit> {
        if self.is_current(pair) {
            return Ok(());
        }
        let Bisection { range, runner, service, checkouts, .. } = self;
        let mut check_out = |commit: usize| {
            let checkout = runner.check_out(&range.shown(commit), range.hash(commit), service, checkouts);
            checkout.map_err(|error| FailedCommit { commit, error })
        };
        let sides = Sides { baseline: check_out(pair.reference)?, candidate: check_out(pair.commit)? };
        self.current = Some((pair, sides));
        Ok(())
    }

    fn check_round(&self, pair: Pair) -> Result<()> {
        let follows_errors = self.series().is_ok_and(|series| series.metric == Metric::ErrorRate);
        let are_failures_expected = follows_errors || self.range.is_end(pair.commit);
        let check = || {
            let rounds = self.first_rounds(pair, usize::MAX)?;
            let comparison = rounds.compare(&self.project.rules)?;
            ensure!(are_failures_expected || !comparison.error_rate_failed(), "too many requests fail");
            Ok(())
        };
        check().with_context(|| format!("at {}", self.range.shown(pair.commit)))
    }

    fn print_round(&self, pair: Pair) -> Result<()> {
        let series = self.series()?;
        let (made, metric) = (self.rounds_of(pair).count(), series.metric);
        let change = self.search(&series)?.difference(pair).map_or_else(String::new, |difference| {
            format!(": {} {}", series.shown(), change_text(metric, difference.change()))
        });
        let [reference, commit] = [pair.reference, pair.commit].map(|commit| self.range.shown(commit));
        self.project.say(&format!("round {made} of {reference} and {commit} is done{change}"));
        self.print_new_warnings();
        Ok(())
    }

    fn print_new_warnings(&self) {
        let Some((last, before)) = self.state.rounds.split_last() else { return };
        for warning in last.warnings() {
            if !before.iter().any(|round| round.warnings().any(|earlier| earlier == warning)) {
                self.project.say(&format!("note: {warning}"));
            }
        }
    }

    fn print_plan(&self, pair: Pair, remaining: usize) {
        if self.is_current(pair) {
            return;
        }
        let [reference, commit] = [pair.reference, pair.commit].map(|commit| self.range.shown(commit));
        let plan = if self.range.is_end(pair.reference) && self.range.is_end(pair.commit) {
            format!("measuring {reference} and {commit} alternately, in up to {} rounds", self.max_rounds())
        } else {
            let subject = self.range.log(&self.project.shell, pair.commit, "%s");
            let commits = count(remaining, "commit");
            format!(
                "{commits} left{}: measuring {commit} ({subject}) alternately with {reference}",
                self.time_left(remaining)
            )
        };
        self.project.say(&plan);
    }

    /// All commits are expected to take as many as those so far.
    fn expected_rounds(&self, remaining: usize) -> usize {
        let pairs: BTreeSet<_> = self.state.rounds.iter().filter_map(|round| self.pair_of(round)).collect();
        let each = self.state.rounds.len().checked_div(pairs.len()).unwrap_or(3).max(2);
        // The last commit is measured against its parent.
        each * (1 + remaining.next_power_of_two().trailing_zeros() as usize)
    }

    fn time_left(&self, remaining: usize) -> String {
        let rounds = u32::try_from(self.expected_rounds(remaining)).unwrap_or(u32::MAX);
        let each_took = self.project.clock.total().checked_div(self.rounds_made);
        each_took.map_or_else(String::new, |each| format!(", about {}", progress::shown(each.saturating_mul(rounds))))
    }
}

struct FailedCommit {
    commit: usize,
    error: Error,
}
