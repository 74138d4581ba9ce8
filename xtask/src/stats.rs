//! Numbers only: estimates over runs, and how sure they are.

use distrs::StudentsT;

/// How two samples are set against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// By their ratio, on logarithms: latencies and throughput. A change is in percent.
    Ratio,
    /// By their difference: error rates and counts. A change is in the unit of the values.
    Difference,
}

/// The estimate over the runs (not empty): the geometric mean of ratios, the arithmetic mean of differences. Of one run
/// it is the value itself, to the last bit.
pub fn estimate(scale: Scale, values: &[f64]) -> f64 {
    match (scale, values) {
        (_, []) => unreachable!("a series has at least one run"),
        (_, [value]) => *value,
        (Scale::Difference, _) => mean(values),
        // A geometric mean that meets a 0 is 0, whatever the other runs say.
        (Scale::Ratio, _) if values.contains(&0.0) => mean(values),
        (Scale::Ratio, _) => mean(&logarithms(values)).exp(),
    }
}

/// What two samples say of the change from one to the other; in percent, or in the unit of the values ([`Scale`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// The confidence interval of the change.
    pub low: f64,
    pub high: f64,
    /// The smallest worsening that samples like these would have told from none in four cases of five.
    pub detectable: f64,
}

/// The chance of telling a change of the size called detectable.
const POWER: f64 = 0.8;

/// The two-sample t interval with pooled variance and m + n - 2 degrees of freedom (Student 1908; Snedecor & Cochran,
/// Statistical Methods, 8th ed., section 6.9), on logarithms for ratios; `error` is the probability, both sides
/// together, that it misses. The detectable change is (t(1 - error / 2) + t(power)) standard errors, the usual
/// approximation (ibid., section 6.14).
///
/// `None` where two single runs leave no degree of freedom, or a ratio meets a 0.
pub fn evidence(scale: Scale, baseline: &[f64], candidate: &[f64], error: f64) -> Option<Evidence> {
    if scale == Scale::Ratio {
        if baseline.iter().chain(candidate).any(|value| *value <= 0.0) {
            return None;
        }
        let on_logarithms = evidence(Scale::Difference, &logarithms(baseline), &logarithms(candidate), error)?;
        let percent = |logarithm: f64| logarithm.exp_m1() * 100.0;
        return Some(Evidence {
            low: percent(on_logarithms.low),
            high: percent(on_logarithms.high),
            detectable: percent(on_logarithms.detectable),
        });
    }
    let (m, n) = (baseline.len() as f64, candidate.len() as f64);
    let freedom = m + n - 2.0;
    if freedom < 1.0 {
        return None;
    }
    let pooled_variance = (squares(baseline) + squares(candidate)) / freedom;
    let standard_error = (pooled_variance * (1.0 / m + 1.0 / n)).sqrt();
    let reach = StudentsT::ppf(1.0 - error / 2.0, freedom);
    let difference = mean(candidate) - mean(baseline);
    Some(Evidence {
        low: difference - reach * standard_error,
        high: difference + reach * standard_error,
        detectable: (reach + StudentsT::ppf(POWER, freedom)) * standard_error,
    })
}

fn logarithms(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| value.ln()).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The sum of the squared distances from the mean.
fn squares(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum()
}
