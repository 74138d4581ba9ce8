//! Response times by count, their percentiles, and the correction for coordinated omission.
//!
//! A Locust user waits for a response before the next request, so the longest stall is one slow request for each user:
//!
//! ```text
//!   sent on schedule   |  |  |  |  |  |  |  |  |  |     every E ms
//!   sent by a user     |  |  |  |--------------|  |     one request waits for v ms
//!   left out                       ^  ^  ^  ^           these would have waited for v - E, v - 2E, ... ms
//! ```
//!
//! The correction adds the requests that were left out (Gil Tene, "How NOT to Measure Latency", 2013; docs/statistics.md,
//! "What a closed loop hides").

use crate::stats::estimate::rounded;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// To the precision of its run.
    pub time_ms: f64,
    pub count: u64,
}

/// Times are finite, not negative and rising; counts may be 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    buckets: Vec<Bucket>,
}

impl Histogram {
    pub fn new(mut buckets: Vec<Bucket>) -> Histogram {
        buckets.sort_by(|a, b| a.time_ms.total_cmp(&b.time_ms));
        Histogram { buckets }
    }

    pub fn merged<'a>(histograms: impl Iterator<Item = &'a Histogram>) -> Histogram {
        let all = Histogram::new(histograms.flat_map(|histogram| &histogram.buckets).copied().collect());
        let mut buckets: Vec<Bucket> = Vec::new();
        for bucket in all.buckets {
            match buckets.last_mut() {
                Some(last) if last.time_ms.total_cmp(&bucket.time_ms).is_eq() => last.count += bucket.count,
                _ => buckets.push(bucket),
            }
        }
        Histogram { buckets }
    }

    pub(crate) fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.count).sum()
    }

    /// The number of requests that took longer than `time_ms`, but for the last bits of a number read from a file.
    pub(crate) fn count_above(&self, time_ms: f64) -> u64 {
        self.buckets.iter().filter(|bucket| bucket.time_ms > time_ms * (1.0 + 1e-9)).map(|bucket| bucket.count).sum()
    }

    pub(crate) fn order_statistic(&self, rank: u64) -> f64 {
        let mut seen = 0;
        for bucket in &self.buckets {
            seen += bucket.count;
            if rank < seen {
                return bucket.time_ms;
            }
        }
        self.buckets.last().map_or(0.0, |bucket| bucket.time_ms)
    }

    /// The percentile `p`, from 0 to 1, at [`percentile_rank`]; 0 if there is no request.
    pub fn percentile(&self, p: f64) -> f64 {
        self.order_statistic(percentile_rank(self.count(), p))
    }

    /// The percentile `p`, from 0 to 1, with the requests that were left out.
    pub fn corrected_percentile(&self, p: f64, expected_interval_ms: f64) -> f64 {
        if expected_interval_ms.is_nan() || expected_interval_ms <= 0.0 {
            return self.percentile(p);
        }
        // The added requests are counted, not listed: one that hung for an hour may add millions.
        let corrected = |bucket: &Bucket, up_to_ms: f64| {
            let own = if bucket.time_ms <= up_to_ms { 1.0 } else { 0.0 };
            bucket.count as f64 * (own + added(bucket.time_ms, expected_interval_ms, up_to_ms))
        };
        let total: f64 = self.buckets.iter().map(|bucket| corrected(bucket, f64::INFINITY)).sum();
        let rank = (total * p).floor().min(total - 1.0);
        let reaches = |time_ms: f64| {
            let up_to: f64 = self.buckets.iter().map(|bucket| corrected(bucket, time_ms)).sum();
            up_to > rank
        };
        // Bits of numbers that are not negative rise as the numbers do, so bisection finds the answer.
        let highest = self.buckets.last().map_or(0.0, |bucket| bucket.time_ms);
        let (mut low, mut high) = (0_u64, highest.to_bits());
        while low < high {
            let middle = low.midpoint(high);
            if reaches(f64::from_bits(middle)) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        rounded(f64::from_bits(low))
    }
}

/// How many of the requests that a response time v adds take at most `up_to_ms`: the k from 1 up with v - kE of at
/// least E and at most `up_to_ms`.
fn added(v: f64, e: f64, up_to_ms: f64) -> f64 {
    let last = (v / e).floor() - 1.0;
    let first = ((v - up_to_ms) / e).ceil().max(1.0);
    (last - first + 1.0).max(0.0)
}

/// The rank, from 0, of the percentile `p` of n requests: `min(int(n * p), n - 1)`, without interpolation, as in
/// `calculate_response_time_percentile` of `locust.stats`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "int() of Locust: a rank below the count")]
pub fn percentile_rank(n: u64, p: f64) -> u64 {
    ((n as f64 * p) as u64).min(n.saturating_sub(1))
}
