//! The formulas against published values and R.

use judge::model::run::REQUEST_Z;
use judge::stats::counts::{Counts, Rates, fisher};
use judge::stats::estimate::{
    Difference, Interval, Ranks, Scale, Worse, estimate, holm, quantile_ranks, rate_interval_pct, upper_tail,
};

/// By hand: the median of the logarithms of the first is 0, the median deviation 0.02, so that the run at 0.4 counts as
/// one at 3 * 1.4826 * 0.02 = 0.088956.
#[test]
fn outlier_is_clipped_in_the_estimate() {
    for (logarithms, expected) in [
        (&[-0.02, -0.01, 0.0, 0.02, 0.4][..], (-0.02 - 0.01 + 0.02 + 0.088_956) / 5.0),
        // Equal runs leave no deviation: the fence is at 3% then.
        (&[0.0, 0.0, 0.0, 0.4], 0.03 / 4.0),
        (&[0.0, 0.01, 0.02, 0.03], 0.015),
        // None of three runs is an outlier.
        (&[0.0, 0.0, 0.4], 0.4 / 3.0),
    ] {
        let values: Vec<f64> = logarithms.iter().map(|value: &f64| 300.0 * value.exp()).collect();
        let found = (estimate(Scale::Relative, &values) / 300.0).ln();
        assert!((found - expected).abs() < 1e-9, "{logarithms:?}: {found} for {expected}");
    }
    // Failures are counts, and one run of them is no outlier.
    assert!((estimate(Scale::Absolute, &[0.0, 0.0, 0.0, 0.0, 30.0]) - 6.0).abs() < 1e-9);
}

/// t from Snedecor & Cochran, table A4; the interval of 1..5 against 2..6 by hand: pooled variance 2.5, standard error 1.
#[test]
fn interval_of_two_samples_matches_student() {
    let (one_to_five, two_to_six) = ([1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 3.0, 4.0, 5.0, 6.0]);
    let between = Difference::between;
    for (baseline, candidate, error, expected) in [
        (&one_to_five[..], &two_to_six[..], 0.05, [1.0 - 2.306, 1.0 + 2.306]),
        (&one_to_five[..], &two_to_six[..], 0.01, [1.0 - 3.355, 1.0 + 3.355]),
        // Four degrees of freedom; the variance is the baseline's alone, 2.5, the standard error sqrt(2.5 * 1.2).
        (&one_to_five[..], &[3.0][..], 0.05, [-2.776 * 3f64.sqrt(), 2.776 * 3f64.sqrt()]),
    ] {
        let found = between(Scale::Absolute, baseline, candidate).unwrap().interval(error);
        for (found, expected) in [found.low, found.high].into_iter().zip(expected) {
            assert!((found - expected).abs() < 2e-3, "{found} {expected}");
        }
        // On logarithms the same numbers are ratios.
        let grown = |values: &[f64]| values.iter().map(|value| value.exp()).collect::<Vec<_>>();
        let ratio = between(Scale::Relative, &grown(baseline), &grown(candidate)).unwrap();
        assert!((ratio.interval(error).low - found.low.exp_m1() * 100.0).abs() < 1e-6);
    }
    assert!(between(Scale::Relative, &[1.0], &[2.0]).is_none(), "two single runs have unknown noise");
    assert!(between(Scale::Relative, &[0.0, 1.0], &[2.0]).is_none(), "a ratio to nothing");
    let equal = between(Scale::Absolute, &[0.0; 5], &[0.0]).unwrap();
    assert_eq!((equal.interval(0.05), equal.detectable(Worse::Higher)), (Interval { low: 0.0, high: 0.0 }, 0.0));
}

/// Student's own example (1908), the sleep of ten patients, as `t.test(..., paired = TRUE)` of R gives it: the interval
/// 0.7001142 to 2.4598858, p = 0.002833 on two sides.
#[test]
fn interval_of_rounds_matches_student() {
    let one = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
    let other = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];
    let difference = Difference::paired(Scale::Absolute, &one, &other).unwrap();
    let Interval { low, high } = difference.interval(0.05);
    assert!((low - 0.700_114_2).abs() < 1e-5 && (high - 2.459_885_8).abs() < 1e-5, "{low} {high}");
    assert!(
        (difference.p_value(Worse::Higher) - 0.002_833 / 2.0).abs() < 1e-5 && (difference.change() - 1.58).abs() < 1e-9
    );
    assert!(Difference::paired(Scale::Relative, &[1.0], &[2.0]).is_none(), "one round has unknown noise");
    // A change of both sides cancels out; a ratio is a difference of logarithms.
    let ratio = Difference::paired(Scale::Relative, &[100.0, 200.0, 150.0], &[110.0, 220.0, 165.0]).unwrap();
    let Interval { low, high } = ratio.interval(0.05);
    assert!((low - 10.0).abs() < 1e-9 && (high - 10.0).abs() < 1e-9);
}

/// Snedecor & Cochran, table A4. The values 0..=n have the variance n (n + 1) / 12, so the reach of an interval in
/// standard errors is the quantile, and a candidate so far off has half of that error as its p-value.
#[test]
fn quantiles_of_t_match_the_table() {
    for (freedom, error, t) in [
        (1, 0.05, 12.706),
        (1, 0.01, 63.657),
        (2, 0.01, 9.925),
        (4, 0.05, 2.776),
        (4, 0.01, 4.604),
        (8, 0.05, 2.306),
        (8, 0.01, 3.355),
        (30, 0.05, 2.042),
    ] {
        let baseline: Vec<f64> = (0..=freedom).map(f64::from).collect();
        let n = f64::from(freedom) + 1.0;
        let variance = n * (n + 1.0) / 12.0; // of n consecutive numbers
        let standard_error = (variance * (1.0 / n + 1.0)).sqrt();
        let Interval { low, high } = Difference::between(Scale::Absolute, &baseline, &[0.0]).unwrap().interval(error);
        let reach = (high - low) / 2.0 / standard_error;
        assert!((reach - t).abs() < 1e-3, "t({freedom}) at {error}: {reach} for {t}");
        let off = f64::from(freedom) / 2.0 + t * standard_error;
        let p_value = Difference::between(Scale::Absolute, &baseline, &[off]).unwrap().p_value(Worse::Higher);
        assert!((p_value - error / 2.0).abs() < 5e-5, "t({freedom}) at {error}: {p_value}");
    }
}

/// The difference of a baseline whose runs have the standard deviation 1.
fn spread_of_one(baseline_runs: usize, candidate_runs: usize) -> Difference {
    let unit = Difference::between(Scale::Absolute, &[-1.0, 1.0], &[0.0]).unwrap();
    // Two values at a distance of 1 from their mean, and one degree of freedom: the variance is 2.
    let half = 0.5f64.sqrt();
    let unit_of_one = Difference::between(Scale::Absolute, &[-half, half], &[0.0]).unwrap();
    assert!(unit.interval(0.05).high > unit_of_one.interval(0.05).high);
    unit_of_one.with_runs(baseline_runs, candidate_runs)
}

/// The noncentrality at which a t test at 5% on two sides has a power of 80%, by numerical integration of the noncentral
/// t distribution (which gives the 0.8689528 of `power.t.test(n = 20, delta = 1)` of R).
#[test]
fn detectable_change_has_80_percent_power() {
    for (baseline_runs, candidate_runs, expected) in
        [(3usize, 1usize, 5.6535), (5, 1, 3.7611), (9, 1, 3.2009), (10, 8, 2.9845), (20, 20, 2.8749)]
    {
        let error = (1.0 / baseline_runs as f64 + 1.0 / candidate_runs as f64).sqrt();
        let found = spread_of_one(baseline_runs, candidate_runs).detectable(Worse::Higher) / error;
        // By the approximation, the power is 81% at two degrees of freedom, and 80% from four on.
        assert!((found / expected - 1.0).abs() < 0.02, "{baseline_runs} and {candidate_runs}: {found} for {expected}");
    }
    // Throughput gets worse as it falls, and cannot fall by more than all of it.
    let throughput = Difference::between(Scale::Relative, &[90.0, 100.0, 110.0], &[100.0]).unwrap();
    let (rise, fall) = (throughput.detectable(Worse::Higher), throughput.detectable(Worse::Lower));
    assert!(fall < 0.0 && fall > -100.0 && ((1.0 + rise / 100.0) * (1.0 + fall / 100.0) - 1.0).abs() < 1e-9);
}

/// By numerical integration over the posterior of the variance and of the mean (flat in the mean and in the logarithm of
/// the variance): after k of K runs with the standard deviation s, the mean of all K lies above that of the k by more than
/// x with this probability.
#[test]
fn forecast_matches_the_predictive_distribution() {
    for (runs, freedom, last_runs, spread, x, probability) in [
        (1usize, 4usize, 5usize, 0.1, 0.3351, 0.010_003_69),
        (1, 9, 8, 0.1, 0.264, 0.009_986_28),
        (3, 11, 8, 0.05, 0.05, 0.025_444_55),
    ] {
        // As many baseline runs as leave the degrees of freedom, with all of the spread in them.
        let baseline_runs = freedom + 2 - runs;
        let off = spread * (freedom as f64 / 2.0).sqrt();
        let mut baseline = vec![0.0; baseline_runs];
        (baseline[0], baseline[1]) = (-off, off);
        let difference = Difference::between(Scale::Absolute, &baseline, &vec![0.0; runs]).unwrap();
        let Interval { low, high } = difference.forecast(last_runs, probability);
        assert!((high - x).abs() < 2e-4 * x && (low + x).abs() < 2e-4 * x, "{low}..{high} for {x}");
    }
    // After the last run nothing moves any more.
    let difference = Difference::between(Scale::Absolute, &[-1.0, 1.0], &[0.5, 1.5]).unwrap();
    assert_eq!(difference.forecast(2, 0.01), Interval { low: 1.0, high: 1.0 });
    // After all runs: the same spread, the new change and its degrees of freedom.
    let last = difference.after(8, 2.0);
    assert!((last.change() - 2.0).abs() < 1e-12);
    let reach = last.interval(0.05).high - 2.0;
    // A variance of 1.25, and t(8) at 0.975.
    assert!((reach - 2.306 * (1.25f64 * (0.5 + 0.125)).sqrt()).abs() < 1e-3, "{reach}");
}

/// As `p.adjust(p, "holm") <= 0.05` of R: the first case gives 0.03, 0.06, 0.06, 0.02.
#[test]
fn holm_rejects_what_r_rejects() {
    for (p_values, expected) in [
        (&[0.01, 0.04, 0.03, 0.005][..], &[true, false, false, true][..]),
        (&[0.04, 0.03, 0.02, 0.01], &[false, false, false, true]),
        (&[0.02, 0.01], &[true, true]),
        // Bonferroni would reject the first alone: R gives 0.03, 0.04, 0.04.
        (&[0.01, 0.02, 0.03], &[true, true, true]),
        (&[0.04, 0.01], &[true, true]),
        (&[0.06], &[false]),
        (&[0.0, 1.0, 0.03], &[true, false, false]),
        (&[], &[]),
    ] {
        let found: Vec<bool> = holm(p_values, 0.05).iter().map(|tested| tested.is_rejected).collect();
        assert_eq!(found, expected, "{p_values:?}");
    }
}

/// Exact binomial ranks for 99.95% a side, by summing the distribution; the approximation may lie one further out.
#[test]
fn ranks_of_a_quantile_match_the_binomial() {
    for (n, q, exact) in [
        (100, 0.5, Some([34, 67])),
        (1219, 0.5, Some([552, 668])),
        (100, 0.95, None),
        (148, 0.95, None),
        (200, 0.95, Some([179, 199])),
        (300, 0.95, Some([271, 297])),
        (1219, 0.95, Some([1132, 1183])),
        (20_000, 0.95, Some([18_897, 19_101])),
        (500, 0.99, None),
        (5000, 0.99, Some([4925, 4972])),
    ] {
        let found = quantile_ranks(n, q, REQUEST_Z);
        let is_near = match (found, exact) {
            (Some(Ranks { low, high }), Some([exact_low, exact_high])) => {
                (0..=1).contains(&(exact_low - low)) && (0..=1).contains(&(high - exact_high))
            }
            (found, exact) => found.is_none() && exact.is_none(),
        };
        assert!(is_near, "{n} requests, quantile {q}: {found:?} for {exact:?}");
    }
}

/// Newcombe 1998 (Statistics in Medicine 17, table I, method 3): 81 of 263 and 15 of 148, 95%.
#[test]
fn interval_of_a_rate_matches_wilson() {
    for (failures, requests, expected) in
        [(81.0, 263.0, [25.53, 36.62]), (15.0, 148.0, [6.24, 16.05]), (0.0, 20.0, [0.0, 16.11])]
    {
        let found = rate_interval_pct(100.0 * failures / requests, requests, 1.96);
        for (found, expected) in [found.low, found.high].into_iter().zip(expected) {
            assert!((found - expected).abs() < 0.01, "{failures} of {requests}: {found} for {expected}");
        }
    }
}

fn counts(failures: f64, requests: f64) -> Counts {
    Counts { failures, requests }
}

/// The lady who tasted tea, and Fisher's convictions of twins, as `fisher.test` of R's own examples gives them: 0.2429 and
/// 0.0004652. The others by summing the hypergeometric distribution in integers.
#[test]
fn exact_test_matches_fisher() {
    for (candidate, baseline, expected) in [
        (counts(3.0, 4.0), counts(1.0, 4.0), 0.242_857),
        (counts(10.0, 13.0), counts(2.0, 17.0), 0.000_465_2),
        (counts(5.0, 187.0), counts(0.0, 1870.0), 5.912_03e-6),
        (counts(10.0, 50.0), counts(0.0, 500.0), 1.597_87e-11),
        (counts(9.0, 187.0), counts(19.0, 1870.0), 5.253_59e-4),
        (counts(3.0, 60.0), counts(0.0, 600.0), 7.174_24e-4),
        (counts(0.0, 60.0), counts(5.0, 600.0), 1.0),
        (counts(0.0, 60.0), counts(0.0, 600.0), 1.0),
    ] {
        let found = fisher(baseline, candidate);
        assert!((found / expected - 1.0).abs() < 1e-4, "{candidate:?} {baseline:?}: {found} for {expected}");
    }
}

/// Newcombe 1998 (Statistics in Medicine 17, table I, method 5): 81 of 263, 15 of 148, 0 of 20 and 1 of 29, 95%.
#[test]
fn interval_of_counts_matches_clopper_and_pearson() {
    for (side, expected) in [
        (counts(81.0, 263.0), [0.2527, 0.3676]),
        (counts(15.0, 148.0), [0.0578, 0.1617]),
        (counts(0.0, 20.0), [0.0, 0.1684]),
        (counts(1.0, 29.0), [0.0009, 0.1776]),
        (counts(20.0, 20.0), [0.8316, 1.0]),
    ] {
        let Interval { low, high } = side.interval(0.05);
        assert!((low - expected[0]).abs() < 6e-5 && (high - expected[1]).abs() < 6e-5, "{side:?}: {low} {high}");
    }
}

#[test]
fn interval_of_a_difference_of_rates_matches_newcombe() {
    let of =
        |runs: &[(f64, f64)]| runs.iter().map(|(failures, requests)| counts(*failures, *requests)).collect::<Vec<_>>();
    // One run against two of the same rate, so they are one sample: 81 of 263 against 15 of 148, by the ends above.
    let rates = Rates::between(&of(&[(15.0, 148.0)]), &of(&[(40.5, 131.5), (40.5, 131.5)])).unwrap();
    let (before, now): (f64, f64) = (15.0 / 148.0, 81.0 / 263.0);
    let low = 100.0 * (now - before - (now - 0.2527).hypot(0.1617 - before));
    let high = 100.0 * (now - before + (0.3676 - now).hypot(before - 0.0578));
    let found = rates.interval(0.05);
    assert!((found.low - low).abs() < 0.02 && (found.high - high).abs() < 0.02, "{found:?} for {low} {high}");
    // No failure leaves an interval: of 500 requests 0.735%, of 50 requests 7.11% (1 - 0.025^(1/n)).
    let none = Rates::between(&of(&[(0.0, 50.0); 10]), &of(&[(0.0, 50.0)])).unwrap();
    let found = none.interval(0.05);
    assert!((found.low + 0.735).abs() < 0.001 && (found.high - 7.112).abs() < 0.001, "{found:?}");
    assert!(none.detectable() > 0.5 && none.p_value() > 0.999);
    assert!(Rates::between(&of(&[(0.0, 50.0)]), &of(&[(3.0, 50.0)])).is_none(), "two single runs");
}

/// Pearson's statistic by hand: 0, 0, 20 and 20 of 200 lie around 10 with 100 / 9.5 each, so 4 * 10.526 over 4 degrees of
/// freedom (of six runs, the two of the candidate agree) is 10.526.
#[test]
fn overdispersed_counts_are_weaker_evidence() {
    let side = |failures: &[f64]| failures.iter().map(|failures| counts(*failures, 200.0)).collect::<Vec<_>>();
    let wild = Rates::between(&side(&[0.0, 0.0, 20.0, 20.0]), &side(&[20.0, 20.0])).unwrap();
    let calm = Rates::between(&side(&[10.0; 4]), &side(&[20.0, 20.0])).unwrap();
    // z is 3.273 without the dispersion: 0.1 - 0.05 over sqrt(p q (1/800 + 1/400)) at p = 80 / 1200; by sqrt(10.526) less it
    // is t(4) = 1.009, whose tail is 0.1850.
    assert!(calm.p_value() < 0.0011, "{}", calm.p_value());
    assert!((wild.p_value() - 0.1850).abs() < 0.0005, "{}", wild.p_value());
    let width = |rates: &Rates| rates.interval(0.05).high - rates.interval(0.05).low;
    assert!(width(&wild) > 3.0 * width(&calm), "{} {}", width(&wild), width(&calm));
}

/// The beta-binomial distribution itself, summed: after f failures of n requests in k of K runs, the rate of all of them, in
/// percent, below and above which it lies with 1% each.
#[test]
fn forecast_of_counts_matches_the_beta_binomial() {
    for (failures, runs, [low, high]) in
        [(9.0, 1, [0.9167, 3.8333]), (5.0, 1, [0.3889, 2.6111]), (0.0, 1, [0.0, 0.6667]), (10.0, 2, [1.3889, 3.3889])]
    {
        let side = |failures: f64, runs: usize| vec![counts(failures, 450.0); runs];
        let found = Rates::between(&side(0.0, 10), &side(failures, runs)).unwrap().forecast(8, 0.01);
        // In steps of 1/36%, and by a beta distribution with the same mean and variance.
        assert!((found.low - low).abs() < 0.06 && (found.high - high).abs() < 0.1, "{found:?} for {low} {high}");
    }
}

/// The values beyond which lie 2.5%, as in the usual table; the library handles every whole number of degrees of freedom.
#[test]
fn tail_of_t_matches_the_tables() {
    for (freedom, t) in [(4.0, 2.776_445), (10.0, 2.228_139), (13.0, 2.160_369), (16.0, 2.119_905), (30.0, 2.042_272)] {
        let found = upper_tail(t, freedom);
        assert!((found - 0.025).abs() < 1e-6, "{found} of {freedom} degrees of freedom");
    }
    for freedom in 1..100 {
        let tails: Vec<f64> = (0..80).map(|tenths| upper_tail(f64::from(tenths) / 10.0, f64::from(freedom))).collect();
        assert!((tails[0] - 0.5).abs() < 1e-9 && tails.is_sorted_by(|a, b| a >= b), "{freedom}: {tails:?}");
    }
}
