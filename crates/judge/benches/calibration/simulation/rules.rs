//! The rule of the product, run after run as it is used, and the rule of the first edition, which it is held against.

use judge::baseline::file::Baseline;
use judge::model::limits::Rules;
use judge::model::run::Run;
use judge::stats::estimate::{Difference, Scale, Worse, estimate, holm};
use judge::verdict::compare::{Comparison, Verdict, compare};

/// Runs of a baseline, and at most of a candidate.
pub const BASELINE_RUNS: usize = 10;
pub const MAX_RUNS: usize = 8;

/// Runs of either side in the first edition.
pub const FORMER_RUNS: usize = 5;

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
        if !comparison.wants_another_run(rules) {
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
        if !comparison.wants_another_run(rules) {
            return (comparison.verdict == Verdict::Fail, made);
        }
        made += 1;
    }
}

fn change_pct(baseline: &[f64], candidate: &[f64]) -> f64 {
    (estimate(Scale::Ratio, candidate) / estimate(Scale::Ratio, baseline) - 1.0) * 100.0
}

/// The first edition, on the p95 of all requests together: it repeats until the interval of the change, 95% shared out
/// over the looks by Bonferroni, lies on one side of the limit, and a FAIL by one run is confirmed by a second.
pub fn former(baseline: &[f64], candidate: &[f64]) -> (bool, usize) {
    let most = FORMER_RUNS;
    for made in 1..=most {
        let runs = &candidate[..made];
        let fails = change_pct(baseline, runs) > LIMIT_PCT;
        let difference = Difference::between(Scale::Ratio, baseline, runs).expect("several runs");
        let interval = difference.interval(0.05 / most as f64);
        let is_settled = (interval.low > LIMIT_PCT) == (interval.high > LIMIT_PCT) && !(fails && made == 1);
        if is_settled || made == most {
            return (fails, made);
        }
    }
    unreachable!("the last run ends it")
}

/// The same in rounds, up to seven.
pub fn former_rounds(before: &[f64], after: &[f64]) -> (bool, usize) {
    let most = before.len();
    for made in 2..=most {
        let difference = Difference::paired(Scale::Ratio, &before[..made], &after[..made]).expect("several rounds");
        let fails = difference.change() > LIMIT_PCT;
        let interval = difference.interval(0.05 / most as f64);
        if (interval.low > LIMIT_PCT) == (interval.high > LIMIT_PCT) || made == most {
            return (fails, made);
        }
    }
    unreachable!("the last round ends it")
}

/// The first edition on endpoints: whatever all requests left, mostly one run, with Holm's correction over p95 and error
/// rate of all of them. Tells which fail by their p95.
pub fn former_endpoints(baseline: &[Vec<f64>], candidate: &[Vec<f64>], runs: usize, has_samples: &[bool]) -> Vec<bool> {
    let mut p_values = Vec::new();
    for (baseline, candidate) in baseline.iter().zip(candidate) {
        let difference = Difference::between(Scale::Ratio, baseline, &candidate[..runs]).expect("several runs");
        p_values.push(difference.p_value(Worse::Higher));
        // Its error rate, without a failure.
        p_values.push(1.0);
    }
    let tested = holm(&p_values, 0.05);
    let fails = |place: usize| {
        has_samples[place]
            && tested[2 * place].is_rejected
            && change_pct(&baseline[place], &candidate[place][..runs]) > LIMIT_PCT
    };
    (0..baseline.len()).map(fails).collect()
}
