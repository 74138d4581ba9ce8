//! The search for the commit that brought a step, on drawn histories.

use fastrand::Rng;
use judge::model::run::Metric;
use judge::verdict::bisect::{Action, CommitSearch, Ending, Pair};

use crate::simulation::draw::factor;

const MAX_ROUNDS: usize = 20;

/// A history without merges.
fn line(commits: usize) -> Vec<Vec<usize>> {
    (0..=commits).map(|commit| commit.checked_sub(1).into_iter().collect()).collect()
}

/// The p95 of each commit of a history, and the measurements that are drawn from it.
struct Drawn {
    random: Rng,
    p95_ms: Vec<f64>,
    spread_pct: f64,
    metric: Metric,
    broken: Vec<usize>,
    skipped: usize,
    measured: Vec<Pair>,
}

impl Drawn {
    /// So many commits after GOOD. Each of `steps` is a commit, and the factor by which it is slower than its parent.
    fn new(seed: u64, commits: usize, steps: &[(usize, f64)], spread_pct: f64) -> Drawn {
        let p95_ms_at = |commit| steps.iter().filter(|(at, _)| *at <= commit).fold(200.0, |p95, (_, step)| p95 * step);
        Drawn {
            random: Rng::with_seed(seed),
            p95_ms: (0..=commits).map(p95_ms_at).collect(),
            spread_pct,
            metric: Metric::P95,
            broken: Vec::new(),
            skipped: 0,
            measured: Vec::new(),
        }
    }

    fn run(&mut self, commit: usize) -> f64 {
        self.p95_ms[commit] * factor(&mut self.random, self.spread_pct)
    }

    fn search(&mut self, parents: Vec<Vec<usize>>) -> Ending {
        let mut search = CommitSearch::new(parents, self.metric, MAX_ROUNDS);
        loop {
            match search.next_action() {
                Action::End(ending) => return ending,
                Action::Measure { pair, .. } if self.broken.contains(&pair.commit) => {
                    search.skip(pair.commit);
                    self.skipped += 1;
                }
                Action::Measure { pair, .. } => {
                    let (reference, commit) = (self.run(pair.reference), self.run(pair.commit));
                    search.add_round(pair, reference, commit);
                    self.measured.push(pair);
                    assert!(self.measured.len() < 500, "the search does not end");
                }
            }
        }
    }

    fn rounds_of(&self, commit: usize) -> usize {
        self.measured.iter().filter(|pair| pair.commit == commit).count()
    }
}

/// The commits that a search names, oldest first.
fn named(ending: &Ending) -> Vec<usize> {
    match ending {
        Ending::NoGap { .. } => Vec::new(),
        Ending::Found { pair, .. } => vec![pair.commit],
        Ending::Unmeasured { commits } | Ending::NoStep { commits, .. } => commits.clone(),
    }
}

#[track_caller]
fn found(ending: &Ending) -> usize {
    let Ending::Found { pair, .. } = ending else { panic!("{ending:?}") };
    pair.commit
}

#[test]
fn forty_eight_of_fifty_culprits_are_found_and_the_others_are_in_the_set() {
    let (mut found, mut rounds) = (0, 0);
    for seed in 0..50 {
        let culprit = 1 + Rng::with_seed(1000 + seed).usize(0..16);
        let mut drawn = Drawn::new(seed, 16, &[(culprit, 1.25)], 5.0);
        let ending = drawn.search(line(16));
        assert!(named(&ending).contains(&culprit), "seed {seed}: {culprit}, and {ending:?}");
        found += usize::from(matches!(ending, Ending::Found { .. }));
        rounds += drawn.measured.len();
    }
    assert!(found >= 48, "{found}");
    assert!(rounds < 50 * 30, "{rounds} rounds");
}

#[test]
fn equal_ends_have_no_gap_and_the_visible_gap_is_reported() {
    let mut rounds = 0;
    for seed in 0..50 {
        let mut drawn = Drawn::new(seed, 16, &[], 3.0);
        let ending = drawn.search(line(16));
        let Ending::NoGap { gap, visible } = ending else { panic!("seed {seed}: {ending:?}") };
        assert!(gap.change() < visible, "seed {seed}: {ending:?}");
        assert!((1.0..15.0).contains(&visible), "seed {seed}: {visible}");
        rounds += drawn.measured.len();
    }
    assert!(rounds < 50 * MAX_ROUNDS / 2, "{rounds} rounds for what most often shows at once");

    let mut exact = Drawn::new(0, 16, &[], 0.0);
    assert!(matches!(exact.search(line(16)), Ending::NoGap { .. }));
    assert_eq!(exact.measured.len(), 3, "runs that never vary");

    let mut faster = Drawn::new(0, 16, &[(5, 0.7)], 1.0);
    assert!(matches!(faster.search(line(16)), Ending::NoGap { .. }), "no commit made it slower");
}

#[test]
fn a_single_commit_needs_the_rounds_of_the_ends_alone() {
    let mut drawn = Drawn::new(1, 1, &[(1, 1.25)], 1.0);
    let ending = drawn.search(line(1));
    let Ending::Found { pair: Pair { reference: 0, commit: 1 }, step, .. } = ending else { panic!("{ending:?}") };
    assert!(step.interval(0.05).low < 25.0 && step.interval(0.05).high > 25.0, "{step:?}");
    assert_eq!(drawn.measured.len(), 3);
}

#[test]
fn throughput_that_falls_is_a_step_too() {
    let mut drawn = Drawn::new(1, 16, &[(11, 0.8)], 2.0);
    drawn.metric = Metric::RequestsPerSec;
    assert_eq!(found(&drawn.search(line(16))), 11);
}

#[test]
fn broken_commits_are_passed_by_or_remain_in_the_set() {
    for (culprit, broken, expected) in [
        // The first ones that are tried, and far from the culprit.
        (14, vec![7, 8, 9], vec![14]),
        (3, vec![8], vec![3]),
        // Beside the culprit: it may have been any of them.
        (6, vec![5], vec![5, 6]),
        (6, vec![6, 7], vec![6, 7, 8]),
        (16, vec![14, 15], vec![14, 15, 16]),
        (9, (1..16).collect(), (1..=16).collect()),
    ] {
        let mut drawn = Drawn::new(1, 16, &[(culprit, 1.25)], 1.0);
        drawn.broken.clone_from(&broken);
        let ending = drawn.search(line(16));
        assert_eq!(named(&ending), expected, "{culprit}, {broken:?}: {ending:?}");
        assert_eq!(matches!(ending, Ending::Unmeasured { .. }), expected.len() > 1, "{ending:?}");
    }
}

#[test]
fn few_commits_of_a_broken_stretch_are_tried() {
    let mut drawn = Drawn::new(1, 64, &[(50, 1.25)], 1.0);
    drawn.broken = (20..45).collect();
    assert_eq!(found(&drawn.search(line(64))), 50);
    assert!(drawn.skipped <= 5, "{} of 25", drawn.skipped);
}

#[test]
fn commits_near_the_midpoint_get_more_rounds() {
    // Commit 4 is at 62% of the way, and at the end of the way in the other history.
    let mut near = Drawn::new(1, 8, &[(4, 1.15), (6, 1.09)], 1.5);
    assert_eq!(found(&near.search(line(8))), 4);
    let mut far = Drawn::new(1, 8, &[(4, 1.2535)], 1.5);
    assert_eq!(found(&far.search(line(8))), 4);
    assert!(near.rounds_of(4) > far.rounds_of(4), "{} and {}", near.rounds_of(4), far.rounds_of(4));
}

#[test]
fn the_larger_of_two_steps_is_found_and_measured_against_its_parent() {
    for seed in 0..20 {
        let ending = Drawn::new(seed, 16, &[(4, 1.15), (10, 1.09)], 1.0).search(line(16));
        let Ending::Found { pair, step, gap } = ending else { panic!("seed {seed}: {ending:?}") };
        assert_eq!(pair, Pair { reference: 3, commit: 4 });
        assert!(step.interval(0.001).low < 15.0 && step.interval(0.001).high > 15.0, "seed {seed}: {step:?}");
        assert!(gap.change() > 20.0, "{gap:?}");
    }
}

#[test]
fn many_small_steps_are_no_step() {
    let steps: Vec<(usize, f64)> = (1..=16).map(|commit| (commit, 1.014)).collect();
    for seed in 0..20 {
        let ending = Drawn::new(seed, 16, &steps, 1.0).search(line(16));
        let Ending::NoStep { pair, commits, .. } = &ending else { panic!("seed {seed}: {ending:?}") };
        assert!(commits.len() > 1 && commits.contains(&pair.commit), "seed {seed}: {ending:?}");
    }
}

#[test]
fn merges_lead_into_the_branch_that_brought_the_step() {
    // 0 - 1 - 2 ----------- 6 - 7
    //      \               /
    //       3 - 4 - 5 ----
    let parents = vec![vec![], vec![0], vec![1], vec![1], vec![3], vec![4], vec![2, 5], vec![6]];
    for (culprit, slow) in [(4, vec![4, 5, 6, 7]), (2, vec![2, 6, 7]), (6, vec![6, 7]), (1, (1..8).collect())] {
        let mut drawn = Drawn::new(1, 7, &[], 1.0);
        for commit in slow {
            drawn.p95_ms[commit] = 250.0;
        }
        assert_eq!(found(&drawn.search(parents.clone())), culprit);
    }
}

#[test]
fn a_search_goes_on_from_the_rounds_of_an_interrupted_one() {
    let mut drawn = Drawn::new(3, 16, &[(5, 1.25)], 3.0);
    drawn.broken.push(8);
    let mut search = CommitSearch::new(line(16), Metric::P95, MAX_ROUNDS);
    let mut added = Vec::new();
    while let Action::Measure { pair, .. } = search.next_action() {
        if drawn.broken.contains(&pair.commit) {
            search.skip(pair.commit);
        } else {
            added.push((pair, drawn.run(pair.reference), drawn.run(pair.commit)));
        }
        search = CommitSearch::new(line(16), Metric::P95, MAX_ROUNDS);
        for (pair, reference, commit) in &added {
            search.add_round(*pair, *reference, *commit);
        }
        search.skip(8);
    }
    let Action::End(ending) = search.next_action() else { unreachable!() };
    assert_eq!(found(&ending), 5);
}
