//! Whatever a baseline holds, what it is compared with gets a report in every format.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use judge::baseline::file::Baseline;
use judge::verdict::compare::compare;
use judge::model::limits::Rules;
use judge::parse::locust_history::{self, History};
use judge::parse::locust_json;
use judge::model::run::Run;
use judge::model::text::printable;
use report::formats::github;
use report::formats::terminal::{self, Screen, Verbosity};
use report::{Background, Format, Report, Sides, View};

static RUN: LazyLock<Run> = LazyLock::new(|| {
    locust_json::parse(include_str!("../../../crates/judge/tests/fixtures/locust-2.47.0/ok/report.json")).expect("a fixture")
});

static HISTORY: LazyLock<History> = LazyLock::new(|| {
    let bytes = include_bytes!("../../../crates/judge/tests/fixtures/locust-2.47.0/ok/perf_results_stats_history.csv");
    locust_history::parse(bytes).expect("a fixture")
});

fuzz_target!(|text: &str| {
    let Ok(baseline) = Baseline::parse(text) else { return };
    let runs = std::slice::from_ref(&*RUN);
    let rules = Rules::default();
    let Some(comparison) = fuzz::read(compare(&baseline, runs, &rules)) else { return };
    let report = Report {
        comparison: &comparison,
        background: &Background::default(),
        distribution: &baseline.distribution,
        runs,
        histories: &[Ok(HISTORY.clone())],
        provenance: Sides { baseline: &baseline.provenance, candidate: &baseline.provenance },
        baseline_origin: printable(&baseline.provenance.commit),
        file_warnings: Vec::new(),
        warnings: vec![printable(&baseline.notes)],
        other_details: Vec::new(),
        confirmation: None,
    };
    let view = View::of(&report);
    for format in [Format::Html, Format::Markdown, Format::Json, Format::Junit] {
        assert!(!format.render(&view).is_empty());
    }
    for width in [None, Some(1), Some(80)] {
        let text = terminal::render(&view, Verbosity::Verbose, Screen { columns: width, ..Screen::default() });
        assert!(!text.contains('\r') && text.lines().count() > 3, "{text}");
    }
    github::annotations(&view, &github::Places::default());
});
