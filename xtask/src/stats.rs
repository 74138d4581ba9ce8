//! Numbers only: estimates over runs.

use crate::run::Metric;

/// The estimate of `metric` over its runs (not empty): the geometric mean for what is compared as a ratio, the
/// arithmetic mean for the error rate and for counts. Of one run it is the value itself, to the last bit.
pub fn estimate(metric: Metric, values: &[f64]) -> f64 {
    match (metric, values) {
        (_, []) => unreachable!("a series has at least one run"),
        (_, [value]) => *value,
        (Metric::ErrorRate | Metric::TotalRequests, _) => arithmetic_mean(values),
        // A geometric mean that meets a 0 is 0, whatever the other runs say.
        _ if values.contains(&0.0) => arithmetic_mean(values),
        _ => (values.iter().map(|value| value.ln()).sum::<f64>() / values.len() as f64).exp(),
    }
}

fn arithmetic_mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
