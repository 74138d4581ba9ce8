//! The search for the commit that made the service slower: commits are compared with the midpoint of GOOD and BAD.
//!
//! ```text
//!            GOOD      midpoint      BAD
//!   ----------|-----------:-----------|---------->
//!         |---o----|      :           :             fast: the step came later
//!             :     |-----:-o-------| :             open: another round
//!             :           :  |--------o-----|       slow: the step is in this commit, or came before it
//! ```
//!
//! If commits were compared with the limit instead, and the step were as large, every second decision would be wrong.

use std::collections::{BTreeMap, BTreeSet};

use distrs::StudentsT;

use crate::model::run::Metric;
use crate::stats::estimate::{Difference, upper_tail};

/// The probability, at most, that a commit lies on the other side of the midpoint.
const DOUBT: f64 = 0.01;

/// The rounds of GOOD and BAD that are made at least: every later decision rests on them.
pub const LEAST_ROUNDS_OF_ENDS: usize = 3;

/// A commit between these shares of the gap comes after one of two steps.
const MIDDLE: [f64; 2] = [0.3, 0.7];

/// The share of the gap that one commit's step is compared with: midway between no step and one of two equal steps.
const LEAST_SHARE: f64 = 0.25;

/// The places of two commits in the history, which are measured in rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    pub reference: usize,
    pub commit: usize,
}

#[derive(Clone, Debug)]
pub enum Action {
    Measure {
        pair: Pair,
        /// The number of commits that may have brought the step.
        remaining: usize,
    },
    End(Ending),
}

#[derive(Clone, Debug)]
pub enum Ending {
    /// BAD is hardly slower than GOOD, so a commit between them cannot be assigned to either side.
    NoGap {
        gap: Difference,
        /// The change, in the unit of [`Difference::change`], that all rounds would show.
        visible: f64,
    },
    /// `step` is the change from its parent, `gap` that from GOOD to BAD.
    Found { pair: Pair, step: Difference, gap: Difference },
    /// One of these commits, oldest first, brought the step, and the others could not be measured well enough.
    Unmeasured { commits: Vec<usize> },
    /// The search led to `pair`, but its commit is hardly slower than its parent. If one decision was wrong, one of
    /// `commits` brought the step; otherwise several commits did.
    NoStep { pair: Pair, step: Difference, commits: Vec<usize> },
}

#[derive(Clone, Debug, Default)]
struct PairedValues {
    reference: Vec<f64>,
    commit: Vec<f64>,
}

/// Everything that is known of a history: an interrupted search goes on when its rounds are added again.
pub struct CommitSearch {
    /// The parents of each commit, the first parent first. The commits are from GOOD, which has no parents here, to
    /// BAD, parents before children.
    parents: Vec<Vec<usize>>,
    metric: Metric,
    /// Of any two commits.
    max_rounds: usize,
    rounds: BTreeMap<Pair, PairedValues>,
    skipped: BTreeSet<usize>,
}

impl CommitSearch {
    pub fn new(parents: Vec<Vec<usize>>, metric: Metric, max_rounds: usize) -> CommitSearch {
        let max_rounds = max_rounds.max(LEAST_ROUNDS_OF_ENDS);
        CommitSearch { parents, metric, max_rounds, rounds: BTreeMap::new(), skipped: BTreeSet::new() }
    }

    pub fn add_round(&mut self, pair: Pair, reference: f64, commit: f64) {
        let values = self.rounds.entry(pair).or_default();
        values.reference.push(reference);
        values.commit.push(commit);
    }

    pub fn skip(&mut self, commit: usize) {
        self.skipped.insert(commit);
    }

    pub fn ends(&self) -> Pair {
        Pair { reference: 0, commit: self.parents.len() - 1 }
    }

    pub fn next_action(&self) -> Action {
        let ends = self.ends();
        let Some(gap) = self.settled_gap() else { return Action::Measure { pair: ends, remaining: ends.commit } };
        if !self.is_seen(&gap) {
            return Action::End(Ending::NoGap { gap, visible: self.visible_gap(&gap) });
        }
        let mut measured = BTreeMap::from([(ends, gap)]);
        let mut remaining = Remaining::new(&self.parents);
        let mut decided = Vec::new();
        while let Some(commit) = remaining.halfway() {
            let pair = Pair { reference: self.nearer_end(commit), commit };
            match self.placement(pair, &gap, &mut measured) {
                None => return Action::Measure { pair, remaining: remaining.commits.len() },
                Some(placement) => {
                    remaining.decide(commit, placement);
                    decided.push((commit, placement));
                }
            }
        }
        let &[commit] = &remaining.list()[..] else {
            return Action::End(Ending::Unmeasured { commits: remaining.list() });
        };
        let pair = Pair { reference: self.parent(commit), commit };
        let Some(step) = self.settled_step(pair, &gap, &mut measured) else {
            return Action::Measure { pair, remaining: 1 };
        };
        if self.is_confirmed(&step, &gap) {
            return Action::End(Ending::Found { pair, step, gap });
        }
        // If one decision was wrong, it is one of the two about these commits, since all others led here.
        let mut remaining = Remaining::new(&self.parents);
        for (commit, placement) in decided {
            if commit != pair.commit && commit != pair.reference {
                remaining.decide(commit, placement);
            }
        }
        Action::End(Ending::NoStep { pair, step, commits: remaining.list() })
    }

    pub fn difference(&self, pair: Pair) -> Option<Difference> {
        let PairedValues { reference, commit } = self.rounds.get(&pair)?;
        Difference::paired(self.metric.scale(), reference, commit)
    }

    /// The difference of two commits, with the variance of all rounds in `measured` and their own: all vary alike.
    fn pooled(&self, pair: Pair, measured: &mut BTreeMap<Pair, Difference>) -> Option<Difference> {
        let difference = self.difference(pair)?;
        measured.insert(pair, difference);
        Some(difference.pooled(measured.values()))
    }

    /// The change from GOOD to BAD, unless another round may tell more.
    fn settled_gap(&self) -> Option<Difference> {
        let gap = self.difference(self.ends()).filter(|gap| gap.runs >= LEAST_ROUNDS_OF_ENDS)?;
        let forecast = gap.forecast(self.max_rounds, DOUBT);
        let largest = self.metric.worsening(forecast.low).max(self.metric.worsening(forecast.high));
        let is_hopeless = largest <= self.metric.worsening(self.visible_gap(&gap));
        (self.is_seen(&gap) || is_hopeless || gap.runs >= self.max_rounds).then_some(gap)
    }

    fn is_seen(&self, gap: &Difference) -> bool {
        let worsening = self.metric.worsening(gap.mean);
        worsening > 0.0 && worsening >= least_gap(gap)
    }

    fn visible_gap(&self, gap: &Difference) -> f64 {
        let last = gap.after(self.max_rounds, gap.change());
        gap.in_units(self.metric.worsening(least_gap(&last)))
    }

    /// The end of the history with fewer commits between it and this one.
    fn nearer_end(&self, commit: usize) -> usize {
        let bad = self.ends().commit;
        if 2 * commit <= bad { 0 } else { bad }
    }

    /// The first parent. A parent that is older than GOOD, or cannot be measured, is replaced by GOOD.
    fn parent(&self, commit: usize) -> usize {
        self.parents[commit].first().copied().filter(|parent| !self.skipped.contains(parent)).unwrap_or(0)
    }

    /// Where the commit lies; `None` if another round may tell. `measured` are the pairs before this one.
    fn placement(&self, pair: Pair, gap: &Difference, measured: &mut BTreeMap<Pair, Difference>) -> Option<Placement> {
        if self.skipped.contains(&pair.commit) {
            return Some(Placement::Unknown);
        }
        let difference = self.pooled(pair, measured)?;
        let level_of_reference = if pair.reference == self.ends().commit { 1.0 } else { 0.0 };
        let beyond = |share: f64| self.distance(&difference, share - level_of_reference, gap);
        let ([low, high], midpoint) = (MIDDLE.map(beyond), beyond(0.5));
        if midpoint.is_certain() {
            return Some(if midpoint.worsening > 0.0 { Placement::Slow } else { Placement::Fast });
        }
        let is_in_middle = low.worsening > 0.0 && high.worsening < 0.0 && low.is_certain() && high.is_certain();
        if is_in_middle {
            // The search goes on to the first of two steps.
            return Some(Placement::Slow);
        }
        (difference.runs >= self.max_rounds).then_some(Placement::Unknown)
    }

    fn settled_step(
        &self,
        pair: Pair,
        gap: &Difference,
        measured: &mut BTreeMap<Pair, Difference>,
    ) -> Option<Difference> {
        if pair == self.ends() {
            return Some(*gap);
        }
        let step = self.pooled(pair, measured)?;
        (self.distance(&step, LEAST_SHARE, gap).is_certain() || step.runs >= self.max_rounds).then_some(step)
    }

    fn is_confirmed(&self, step: &Difference, gap: &Difference) -> bool {
        let distance = self.distance(step, LEAST_SHARE, gap);
        step.p_value(self.metric.worse()) <= DOUBT && (distance.worsening > 0.0 || !distance.is_certain())
    }

    fn distance(&self, difference: &Difference, share: f64, gap: &Difference) -> Distance {
        let worsening = self.metric.worsening(difference.mean - share * gap.mean);
        let variance = difference.variance * (1.0 / difference.runs as f64 + share * share / gap.runs as f64);
        let doubt = match worsening.abs() {
            0.0 => 0.5,
            _ if variance == 0.0 => 0.0,
            distance => upper_tail(distance / variance.sqrt(), difference.freedom),
        };
        Distance { worsening, doubt }
    }
}

/// The gap with which the doubt about each end is at most [`DOUBT`], on the scale of [`Difference::mean`].
fn least_gap(gap: &Difference) -> f64 {
    2.0 * StudentsT::ppf(1.0 - DOUBT, gap.freedom) * (gap.variance / gap.runs as f64).sqrt()
}

struct Distance {
    /// Positive if worse.
    worsening: f64,
    /// The probability that the true distance has the other sign.
    doubt: f64,
}

impl Distance {
    fn is_certain(&self) -> bool {
        self.doubt <= DOUBT
    }
}

#[derive(Clone, Copy)]
enum Placement {
    Fast,
    Slow,
    /// It cannot be measured, or lies too near the midpoint.
    Unknown,
}

struct Remaining<'p> {
    parents: &'p [Vec<usize>],
    commits: BTreeSet<usize>,
    /// The commits on the side of BAD, which are not measured again.
    slow: BTreeSet<usize>,
    unknown: BTreeSet<usize>,
}

impl Remaining<'_> {
    /// All but GOOD, of which BAD is slow.
    fn new(parents: &[Vec<usize>]) -> Remaining<'_> {
        let bad = parents.len() - 1;
        Remaining { parents, commits: (1..=bad).collect(), slow: BTreeSet::from([bad]), unknown: BTreeSet::new() }
    }

    fn list(&self) -> Vec<usize> {
        self.commits.iter().copied().collect()
    }

    fn decide(&mut self, commit: usize, placement: Placement) {
        match placement {
            Placement::Fast => self.commits = &self.commits - &self.ancestors(commit),
            Placement::Slow => {
                self.commits = self.ancestors(commit);
                self.slow.insert(commit);
            }
            Placement::Unknown => drop(self.unknown.insert(commit)),
        }
    }

    fn ancestors(&self, commit: usize) -> BTreeSet<usize> {
        let mut ancestors = BTreeSet::new();
        let mut next = vec![commit];
        while let Some(commit) = next.pop() {
            if self.commits.contains(&commit) && ancestors.insert(commit) {
                next.extend(&self.parents[commit]);
            }
        }
        ancestors
    }

    /// The commit that halves the remaining ones best. After commits that could not be measured it is one farther off,
    /// since a fault that keeps one from being built mostly spans several.
    fn halfway(&self) -> Option<usize> {
        let all = self.commits.len();
        let mut contained: BTreeMap<usize, usize> = BTreeMap::new();
        for commit in &self.commits {
            let within: Vec<usize> =
                self.parents[*commit].iter().filter_map(|parent| contained.get(parent)).copied().collect();
            let count = match within[..] {
                [] => 1,
                [parent] => parent + 1,
                _ => self.ancestors(*commit).len(),
            };
            contained.insert(*commit, count);
        }
        let is_open = |commit: &usize| !self.slow.contains(commit) && !self.unknown.contains(commit);
        let mut open: Vec<(usize, usize)> = contained.into_iter().filter(|(commit, _)| is_open(commit)).collect();
        open.sort_by_key(|(commit, count)| ((2 * count).abs_diff(all), *commit));
        let unknown = self.unknown.intersection(&self.commits).count().min(30);
        let farther = ((1 << unknown) - 1).min(open.len() / 2);
        open.get(farther).map(|(commit, _)| *commit)
    }
}
