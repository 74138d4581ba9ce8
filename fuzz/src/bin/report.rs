//! Whatever a baseline holds, what it is compared with gets a report in every format.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use xtask::baseline::Baseline;
use xtask::compare::{Rules, compare};
use xtask::locust_history::{self, History};
use xtask::locust_json;
use xtask::report::terminal::{self, Verbosity};
use xtask::report::{Format, Report, github, printable};
use xtask::run::Run;

static RUN: LazyLock<Run> = LazyLock::new(|| {
    locust_json::parse(include_str!("../../../xtask/tests/fixtures/locust-2.47.0/ok/report.json")).expect("a fixture")
});

static HISTORY: LazyLock<History> = LazyLock::new(|| {
    let bytes = include_bytes!("../../../xtask/tests/fixtures/locust-2.47.0/ok/perf_results_stats_history.csv");
    locust_history::parse(bytes).expect("a fixture")
});

fuzz_target!(|text: &str| {
    let Ok(baseline) = Baseline::parse(text) else { return };
    let runs = std::slice::from_ref(&*RUN);
    let rules = Rules::default();
    let Some(comparison) = fuzz::read(compare(&baseline, runs, &rules)) else { return };
    let report = Report {
        comparison: &comparison,
        distribution: &baseline.distribution,
        runs,
        histories: &[Ok(HISTORY.clone())],
        provenance: [&baseline.provenance, &baseline.provenance],
        baseline: printable(&baseline.provenance.commit),
        warnings: vec![printable(&baseline.notes)],
        details: Vec::new(),
    };
    for format in [Format::Html, Format::Markdown, Format::Json, Format::Junit] {
        assert!(!format.render(&report).is_empty());
    }
    for width in [None, Some(1), Some(80)] {
        let text = terminal::render(&report, Verbosity::Verbose, width);
        assert!(!text.contains('\r') && text.lines().count() > 3, "{text}");
    }
    github::annotations(&report, &github::Places::default());
});
