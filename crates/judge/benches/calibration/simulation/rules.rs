//! The rule of the product, run after run as it is used.

use judge::baseline::file::Baseline;
use judge::model::limits::Rules;
use judge::model::run::Run;
use judge::verdict::compare::{Comparison, Verdict, compare};

/// Runs of a baseline, and at most of a candidate.
pub const BASELINE_RUNS: usize = 10;
pub const MAX_RUNS: usize = 8;

/// The limit of p95, in percent.
pub const LIMIT_PCT: f64 = 20.0;

/// What a rule came to, over many comparisons.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcomes {
    pub fails: usize,
    pub runs: usize,
}

impl Outcomes {
    pub fn add(&mut self, (fails, runs): (bool, usize)) {
        self.fails += usize::from(fails);
        self.runs += runs;
    }
}

pub fn rules(max_runs: usize) -> Rules {
    Rules { max_runs, ..Rules::default() }
}

/// The gate as it runs: one run after the other until no other is wanted. What `found` takes from the last comparison,
/// and the runs made.
pub fn gate<T>(baseline: &Baseline, runs: &[Run], rules: &Rules, found: impl Fn(&Comparison) -> T) -> (T, usize) {
    let mut made = 1;
    loop {
        let comparison = compare(baseline, &runs[..made], rules).expect("drawn runs compare");
        if !comparison.wants_another_run() {
            return (found(&comparison), made);
        }
        made += 1;
    }
}

/// Whether the gate fails, and the runs made.
pub fn verdict(baseline: &Baseline, runs: &[Run], rules: &Rules) -> (bool, usize) {
    gate(baseline, runs, rules, |comparison| comparison.verdict == Verdict::Fail)
}

/// Round after round until no other is wanted: whether that fails, and the rounds made.
pub fn judge_rounds(before: &[Run], after: &[Run], rules: &Rules) -> (bool, usize) {
    let mut made = rules.min_runs;
    loop {
        let baseline = super::draw::baseline(&before[..made]);
        let comparison = compare(&baseline, &after[..made], rules).expect("drawn runs compare");
        if !comparison.wants_another_run() {
            return (comparison.verdict == Verdict::Fail, made);
        }
        made += 1;
    }
}
