//! What every target holds of what it reads.

use anyhow::Result;
use judge::baseline::file::Baseline;
use judge::verdict::compare::compare;
use judge::model::limits::Rules;
use judge::model::run::{Metric, Provenance, Run};
use judge::model::text::error_line;

/// Longer, a line is none that a person reads.
const LONGEST_LINE: usize = 1000;

/// What was read, unless it was refused, in one line.
pub fn read<T>(result: Result<T>) -> Option<T> {
    result
        .inspect_err(|error| {
            let line = error_line(error);
            assert!(!line.trim().is_empty() && !line.contains(char::is_control), "{line:?}");
            assert!(line.chars().count() <= LONGEST_LINE, "an error of {} characters: {line}", line.len());
        })
        .ok()
}

/// A run is read whole: its values are numbers from 0 up, and it makes a baseline that holds it.
pub fn check_run(run: &Run) {
    let all = run.endpoints.iter().map(|(_, stats)| stats).chain([&run.total]);
    let values = all.flat_map(|stats| Metric::OF_ENDPOINTS.map(|metric| stats.value(metric)));
    for value in values.chain(run.distribution.iter().copied()).chain(run.p95_corrected_ms(100.0)) {
        assert!(value.is_finite() && value >= 0.0, "{value}");
    }
    let runs = std::slice::from_ref(run);
    if let Some(baseline) = read(Baseline::new(runs, Provenance::default())) {
        let baseline = Baseline::parse(&baseline.to_text()).expect("what is written can be read");
        read(compare(&baseline, runs, &Rules::default()));
    }
}

/// A baseline is written as it was read.
pub fn check_baseline(baseline: &Baseline) {
    let again = Baseline::parse(&baseline.to_text()).expect("what is written can be read");
    assert!(again == *baseline, "{baseline:?} is read again as {again:?}");
}
