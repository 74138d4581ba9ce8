//! The formulas, held against published values and R.

use judge::run::REQUEST_Z;
use judge::stats::{
    Difference, Interval, Ranks, Scale, chance_variance, estimate, holm, quantile_ranks, rate_interval_pct,
};

/// By hand: the median of the logarithms of the first is 0, the median deviation 0.02, so that the run at 0.4 counts as
/// one at 3 * 1.4826 * 0.02 = 0.088956.
#[test]
fn a_run_that_a_neighbour_hit_does_not_drag_the_estimate_along() {
    for (logarithms, expected) in [
        (&[-0.02, -0.01, 0.0, 0.02, 0.4][..], (-0.02 - 0.01 + 0.02 + 0.088_956) / 5.0),
        // Equal runs leave no deviation: the fence is at 3 % then.
        (&[0.0, 0.0, 0.0, 0.4], 0.03 / 4.0),
        (&[0.0, 0.01, 0.02, 0.03], 0.015),
        // Of three runs none can be told from the rest.
        (&[0.0, 0.0, 0.4], 0.4 / 3.0),
    ] {
        let values: Vec<f64> = logarithms.iter().map(|value: &f64| 300.0 * value.exp()).collect();
        let found = (estimate(Scale::Ratio, &values) / 300.0).ln();
        assert!((found - expected).abs() < 1e-9, "{logarithms:?}: {found} for {expected}");
    }
    // Failures are counts, and one run of them is no outlier.
    assert!((estimate(Scale::Difference, &[0.0, 0.0, 0.0, 0.0, 30.0]) - 6.0).abs() < 1e-9);
}

/// t from Snedecor & Cochran, table A4; the interval of 1..5 against 2..6 by hand: pooled variance 2.5, standard error 1.
#[test]
fn the_interval_is_students() {
    let (one_to_five, two_to_six) = ([1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 3.0, 4.0, 5.0, 6.0]);
    let between = |scale, baseline: &[f64], candidate: &[f64]| Difference::between(scale, baseline, candidate, 0.0);
    for (baseline, candidate, error, expected) in [
        (&one_to_five[..], &two_to_six[..], 0.05, [1.0 - 2.306, 1.0 + 2.306]),
        (&one_to_five[..], &two_to_six[..], 0.01, [1.0 - 3.355, 1.0 + 3.355]),
        // Four degrees of freedom; the variance is the baseline's alone, 2.5, the standard error sqrt(2.5 * 1.2).
        (&one_to_five[..], &[3.0][..], 0.05, [-2.776 * 3f64.sqrt(), 2.776 * 3f64.sqrt()]),
    ] {
        let found = between(Scale::Difference, baseline, candidate).unwrap().interval(error);
        for (found, expected) in [found.low, found.high].into_iter().zip(expected) {
            assert!((found - expected).abs() < 2e-3, "{found} {expected}");
        }
        // On logarithms the same numbers are ratios.
        let grown = |values: &[f64]| values.iter().map(|value| value.exp()).collect::<Vec<_>>();
        let ratio = between(Scale::Ratio, &grown(baseline), &grown(candidate)).unwrap();
        assert!((ratio.interval(error).low - found.low.exp_m1() * 100.0).abs() < 1e-6);
    }
    assert!(between(Scale::Ratio, &[1.0], &[2.0]).is_none(), "two single runs say nothing of the noise");
    assert!(between(Scale::Ratio, &[0.0, 1.0], &[2.0]).is_none(), "a ratio to nothing");
    let equal = between(Scale::Difference, &[0.0; 5], &[0.0]).unwrap();
    assert_eq!((equal.interval(0.05), equal.detectable(0.05)), (Interval { low: 0.0, high: 0.0 }, 0.0));
}

/// Student's own example (1908), the sleep of ten patients, as `t.test(..., paired = TRUE)` of R gives it: the interval
/// 0.7001142 to 2.4598858, p = 0.002833 on two sides.
#[test]
fn the_interval_of_rounds_is_students() {
    let one = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
    let other = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];
    let difference = Difference::paired(Scale::Difference, &one, &other, 0.0).unwrap();
    let Interval { low, high } = difference.interval(0.05);
    assert!((low - 0.700_114_2).abs() < 1e-5 && (high - 2.459_885_8).abs() < 1e-5, "{low} {high}");
    assert!((difference.p_value() - 0.002_833 / 2.0).abs() < 1e-5 && (difference.change() - 1.58).abs() < 1e-9);
    assert!(Difference::paired(Scale::Ratio, &[1.0], &[2.0], 0.0).is_none(), "one round tells no noise");
    // The difference of two runs varies twice as much as one: with 4 rounds and a variance of 8 of one run, the standard
    // error is sqrt(2 * 8 / 4) = 2, and t(3) at 0.975 is 3.182.
    let floored = Difference::paired(Scale::Difference, &[1.0; 4], &[2.0; 4], 8.0).unwrap();
    let Interval { low, high } = floored.interval(0.05);
    assert!((low - (1.0 - 2.0 * 3.182)).abs() < 2e-3 && (high - (1.0 + 2.0 * 3.182)).abs() < 2e-3, "{low} {high}");
    // What both share drops out, a ratio as a difference of logarithms.
    let ratio = Difference::paired(Scale::Ratio, &[100.0, 200.0, 150.0], &[110.0, 220.0, 165.0], 0.0).unwrap();
    let Interval { low, high } = ratio.interval(0.05);
    assert!((low - 10.0).abs() < 1e-9 && (high - 10.0).abs() < 1e-9);
}

/// Snedecor & Cochran, table A4. The values 0..=n have the variance n (n + 1) / 12, so the reach of an interval in
/// standard errors is the quantile, and a candidate so far off has half of that error as its p-value.
#[test]
fn the_quantiles_of_t_are_those_of_the_table() {
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
        let Interval { low, high } =
            Difference::between(Scale::Difference, &baseline, &[0.0], 0.0).unwrap().interval(error);
        let reach = (high - low) / 2.0 / standard_error;
        assert!((reach - t).abs() < 1e-3, "t({freedom}) at {error}: {reach} for {t}");
        let off = f64::from(freedom) / 2.0 + t * standard_error;
        let p_value = Difference::between(Scale::Difference, &baseline, &[off], 0.0).unwrap().p_value();
        assert!((p_value - error / 2.0).abs() < 5e-5, "t({freedom}) at {error}: {p_value}");
    }
    // t(4) is 4.604 at 0.995 and 0.941 at 0.8, t(6) 3.707 and 0.906: a standard error of sqrt(1.2), or of sqrt(8/15).
    let steady = Difference::between(Scale::Difference, &[-2.0, 0.0, 0.0, 0.0, 2.0], &[0.0], 0.0).unwrap();
    for (runs, expected) in [(1, (4.604 + 0.941) * 2.4f64.sqrt()), (3, (3.707 + 0.906) * (16.0f64 / 15.0).sqrt())] {
        let found = steady.with_runs(5, runs).detectable(0.01);
        assert!((found - expected).abs() < 2e-3, "{runs} runs: {found} for {expected}");
    }
}

/// As `p.adjust(p, "holm") <= 0.05` of R: the first case gives 0.03, 0.06, 0.06, 0.02.
#[test]
fn holm_lets_fall_what_r_lets_fall() {
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
        assert_eq!(holm(p_values, 0.05), expected, "{p_values:?}");
    }
}

/// Exact binomial ranks for 99.95 % a side, by summing the distribution; the approximation may lie one further out.
#[test]
fn the_ranks_of_a_quantile_are_the_binomials() {
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

/// Newcombe 1998 (Statistics in Medicine 17, table I, method 3): 81 of 263 and 15 of 148, 95 %.
#[test]
fn the_interval_of_a_rate_is_wilsons() {
    for (failures, requests, expected) in
        [(81.0, 263.0, [25.53, 36.62]), (15.0, 148.0, [6.24, 16.05]), (0.0, 20.0, [0.0, 16.11])]
    {
        let found = rate_interval_pct(100.0 * failures / requests, requests, 1.96);
        for (found, expected) in [found.low, found.high].into_iter().zip(expected) {
            assert!((found - expected).abs() < 0.01, "{failures} of {requests}: {found} for {expected}");
        }
    }
    // 5 of 200 in all, in two runs: 2.5 %, so 10^4 * 0.025 * 0.975 / 100.
    assert!((chance_variance(&[0.0, 5.0], &[100.0, 100.0]) - 2.4375).abs() < 1e-9);
}
