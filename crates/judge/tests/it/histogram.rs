//! Percentiles of counts, and the correction for coordinated omission.

use judge::stats::histogram::{Bucket, Histogram, percentile_rank};

fn histogram(buckets: &[(f64, u64)]) -> Histogram {
    Histogram::new(buckets.iter().map(|(time_ms, count)| Bucket { time_ms: *time_ms, count: *count }).collect())
}

/// The example of `HdrHistogram`'s own tests (`HistogramDataAccessTest`): 10,000 requests of 1 ms and one of 100 s, where
/// one was expected every 10 ms. Its corrected percentiles, to its three digits, are these, in microseconds.
#[test]
fn correction_matches_hdr_histogram() {
    let raw = histogram(&[(1000.0, 10_000), (100_000_000.0, 1)]);
    for (percent, raw_us, corrected_us) in [
        (30.0, 1000.0, 1000.0),
        (75.0, 1000.0, 50_000_000.0),
        (90.0, 1000.0, 80_000_000.0),
        (99.0, 1000.0, 98_000_000.0),
        (99.999, 100_000_000.0, 100_000_000.0),
    ] {
        assert_eq!(raw.percentile(percent / 100.0), raw_us, "{percent}");
        let corrected = raw.corrected_percentile(percent / 100.0, 10_000.0);
        assert!((corrected - corrected_us).abs() <= 0.001 * corrected_us, "{percent}: {corrected}");
    }
}

/// By hand: with an interval of 100 ms a response of 450 ms adds 350, 250 and 150 ms, one of 200 ms adds 100 ms, and one of
/// 199 ms adds nothing.
#[test]
fn long_response_adds_the_requests_that_were_left_out() {
    for (buckets, expected) in [
        (&[(450.0, 1)][..], &[150.0, 250.0, 350.0, 450.0][..]),
        (&[(200.0, 1)], &[100.0, 200.0]),
        (&[(199.0, 1)], &[199.0]),
        (&[(50.0, 3), (300.0, 2)], &[50.0, 50.0, 50.0, 100.0, 100.0, 200.0, 200.0, 300.0, 300.0]),
        (&[(0.0, 2)], &[0.0, 0.0]),
    ] {
        let (histogram, n) = (histogram(buckets), expected.len() as u64);
        for p in [0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 0.95, 1.0] {
            let rank = usize::try_from(percentile_rank(n, p)).unwrap();
            assert_eq!(histogram.corrected_percentile(p, 100.0), expected[rank], "{buckets:?} {p}");
        }
    }
}

#[test]
fn correction_of_extreme_values_is_fast_and_finite() {
    let hostile = histogram(&[(1.0, 1), (9e15, 1)]);
    assert!((hostile.corrected_percentile(0.5, 1e-3) - 4.5e15).abs() < 1e12);
    for interval_ms in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(hostile.corrected_percentile(0.4, interval_ms), 1.0, "{interval_ms}");
    }
}

#[test]
fn histograms_add_up() {
    let merged = Histogram::merged([histogram(&[(5.0, 1), (2.0, 3)]), histogram(&[(5.0, 2), (7.0, 1)])].iter());
    assert_eq!(merged, histogram(&[(2.0, 3), (5.0, 3), (7.0, 1)]));
    assert_eq!((merged.count(), merged.percentile(0.5), merged.percentile(0.99)), (7, 5.0, 7.0));
}
