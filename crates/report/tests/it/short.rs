//! How much a person has to read: counts of lines, words and columns.

use judge::baseline::file::Baseline;
use judge::model::run::{Metric, Run};
use judge::stats::histogram::{Bucket, Histogram};
use report::formats::github::{self, Places};
use report::formats::markdown;
use report::formats::terminal::{self, Screen, Verbosity};
use report::view::words::Status;
use report::{Background, Format, Report, View};
use unicode_width::UnicodeWidthStr as _;

use crate::cases::{case, cases, confirmed};
use crate::service::{Measured, failing, inconclusive, measured, names, of};
use crate::situations::{Situation, situations};

const COLUMNS: usize = 80;

/// The lines of a terminal of 80 columns, which breaks those that are longer.
fn lines(view: &View) -> usize {
    let screen = Screen { columns: Some(COLUMNS), is_ascii: false };
    lines_of(&anstream::adapter::strip_str(&terminal::render(view, Verbosity::Normal, screen)).to_string())
}

pub fn lines_of(text: &str) -> usize {
    text.lines().map(|line| line.width().div_ceil(COLUMNS).max(1)).sum()
}

/// The words of a comment before its first fold.
pub fn open_words(comment: &str) -> usize {
    words(comment.split("<details>").next().unwrap())
}

fn words(text: &str) -> usize {
    let is_word = |word: &&str| word.contains(|letter: char| letter.is_alphanumeric());
    text.split_whitespace().filter(is_word).count()
}

/// As the gate calls it in a job of GitHub Actions.
fn in_ci<T>(measured: &Measured, read: impl FnOnce(&View) -> T) -> T {
    measured.with(|report| {
        let background = Background {
            run_url: "https://github.com/claims/service/actions/runs/7".to_owned(),
            is_hosted_runner: true,
            ..report.background.clone()
        };
        read(&View::of(&Report { background: &background, ..report.clone() }))
    })
}

fn services() -> Vec<(&'static str, Measured)> {
    vec![
        ("pass", of(1.0, 2)),
        ("fail", of(1.5, 2)),
        ("inconclusive", inconclusive()),
        ("errors", failing()),
        ("1 endpoint", measured(&names(1), 1.35)),
        ("5 endpoints", measured(&names(5), 1.35)),
        ("300 endpoints", measured(&names(300), 1.35)),
    ]
}

#[test]
#[ignore = "prints what the tests below count"]
fn services_are_printed() {
    for (name, service) in services() {
        in_ci(&service, |view| {
            let screen = Screen { columns: Some(COLUMNS), is_ascii: false };
            let text = anstream::adapter::strip_str(&terminal::render(view, Verbosity::Normal, screen)).to_string();
            let comment = markdown::render(view);
            let open = &comment[..comment.find("<details>").unwrap()];
            let annotations = github::annotations(view, &Places::default());
            println!("== {name}: {} lines, {} words\n{text}\n{open}\n{annotations}", lines(view), words(open));
        });
    }
}

#[test]
fn pass_has_14_lines_and_fail_has_24() {
    for (name, service) in services() {
        in_ci(&service, |view| {
            let most = if view.headline.word == "PASS" && view.is_conclusive { 14 } else { 24 };
            let lines = lines(view);
            assert!(lines <= most, "{name}: {lines} lines");
        });
    }
    for situation in situations() {
        let most = if situation.verdict().starts_with("PASS") { 14 } else { 24 };
        let lines = lines_of(&situation.terminal);
        assert!(lines <= most, "{}: {lines} lines:\n{}", situation.name, situation.terminal);
    }
    for case in cases() {
        case.report(|report| {
            let view = View::of(report);
            if view.headline.word != "PASS" {
                assert!(lines(&view) <= 24, "{}: {} lines", case.name, lines(&view));
            }
        });
    }
    confirmed([&[300.0, 301.0, 299.0], &[420.0, 421.0, 419.0]], |report| {
        let lines = lines(&View::of(report));
        assert!(lines <= 24, "confirmed: {lines} lines");
    });
}

#[test]
fn entries_to_paste_and_stored_numbers_are_shown_if_there_is_room() {
    confirmed([&[300.0, 301.0, 299.0], &[420.0, 421.0, 419.0]], |report| {
        let view = View::of(report);
        let shown = |verbosity, columns| {
            let text = terminal::render(&view, verbosity, Screen { columns, is_ascii: false });
            let text = anstream::adapter::strip_str(&text).to_string();
            (text.contains("[[accepted]]"), text.contains("by the stored numbers"), text)
        };
        let (entries, stored, text) = shown(Verbosity::Normal, Some(COLUMNS));
        assert_eq!((entries, stored), (false, false), "{text}");
        let pointer = "\nto accept it for a while, add the entries of `cargo xtask perf\n  target/perf/latest --verbose` to perf.toml\nnext: ";
        assert!(text.contains(pointer), "{text}");
        let (entries, stored, text) = shown(Verbosity::Normal, None);
        assert_eq!((entries, stored), (true, false), "{text}");
        let (entries, stored, text) = shown(Verbosity::Verbose, Some(COLUMNS));
        assert_eq!((entries, stored), (true, true), "{text}");
    });
    confirmed([&[420.0, 421.0, 419.0], &[420.0, 422.0, 418.0]], |report| {
        let text = terminal::render(&View::of(report), Verbosity::Normal, Screen::default());
        assert!(!text.contains("by the stored numbers"), "{text}");
        // Nothing is over a limit, and p95 is what the headline is about.
        let comment = markdown::render(&View::of(report));
        assert!(comment.contains(":--|\n| p95 ms | 420 | 420 |"), "{comment}");
    });
}

#[test]
fn a_conclusive_comment_shows_no_status_as_open() {
    in_ci(&of(1.5, 2), |view| {
        let comment = markdown::render(view);
        let open = &comment[..comment.find("<details>").unwrap()];
        assert!(open.contains("Conclusive after 2 runs") && !open.contains("not settled"), "{open}");
    });
}

#[test]
fn a_long_word_of_the_verdict_breaks_between_words() {
    in_ci(&of(1.5, 2), |view| {
        let text = terminal::render(view, Verbosity::Normal, Screen { columns: Some(COLUMNS), is_ascii: false });
        let text = anstream::adapter::strip_str(&text).to_string();
        let verdict = "\nFAIL (not confirmed: comparing with stored numbers is wrong 1 time in 16 on\n  hosted runners): p95 rose 52%, 135 → 204 ms (limit +20%); 1 of 5 endpoints\n";
        assert!(text.ends_with(verdict), "{text}");
    });
}

#[test]
fn verdict_line_has_160_columns() {
    for situation in situations() {
        let verdict = situation.verdict();
        assert!(verdict.width() <= 160, "{}: {verdict}", situation.name);
    }
    for case in cases() {
        case.report(|report| {
            let line = View::of(report).headline.to_string();
            assert!(line.width() <= 160, "{}: {line}", case.name);
        });
    }
    for (name, service) in services() {
        in_ci(&service, |view| {
            let line = view.headline.to_string();
            assert!(line.width() <= 160, "{name}: {line}");
        });
    }
}

#[test]
fn comment_has_120_words_before_the_fold() {
    for situation in situations() {
        let words = open_words(&situation.comment);
        assert!(words <= 120, "{}: {words} words: {}", situation.name, situation.comment);
    }
    for case in cases() {
        case.report(|report| {
            let text = markdown::render(&View::of(report));
            let open = &text[..text.find("<details>").unwrap()];
            assert!(words(open) <= 120, "{}: {} words: {open}", case.name, words(open));
        });
    }
    for (name, service) in services() {
        in_ci(&service, |view| {
            let text = markdown::render(view);
            let open = &text[..text.find("<details>").unwrap()];
            assert!(words(open) <= 120, "{name}: {} words: {open}", words(open));
        });
    }
}

#[test]
fn an_endpoint_has_one_annotation_and_all_have_ten() {
    for Situation { name, annotations, .. } in situations() {
        assert!(annotations.lines().count() <= 10, "{name}: {annotations}");
    }
    for case in cases() {
        let annotations = case.report(|report| github::annotations(&View::of(report), &Places::default()));
        assert!(annotations.lines().count() <= 10, "{}: {annotations}", case.name);
    }
    for (name, service) in services() {
        in_ci(&service, |view| {
            let annotations = github::annotations(view, &Places::default());
            assert!(annotations.lines().count() <= 10, "{name}: {annotations}");
        });
    }
    let annotations = case("a drift").report(|report| github::annotations(&View::of(report), &Places::default()));
    assert_eq!(annotations.lines().count(), 1, "{annotations}");
    let view = |read: &dyn Fn(&View)| in_ci(&of(1.5, 2), |view| read(view));
    view(&|view| {
        let failed = view.findings.iter().filter(|finding| finding.status == Status::Fail);
        let endpoints: Vec<_> = failed.filter_map(|finding| finding.row?.endpoint).collect();
        let mut once = endpoints.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(endpoints.len(), once.len());
    });
}

#[test]
fn p95_corrected_is_shown_only_if_it_differs_from_p95() {
    // A stall of 3 s hides the requests that would have met it.
    for (slow, is_shown) in [(vec![(150.0, 60)], false), (vec![(150.0, 56), (3000.0, 4)], true)] {
        let mut service = of(1.0, 2);
        let histogram = |tail: &[(f64, u64)]| {
            let buckets = [(50.0, 1140)].iter().chain(tail);
            Histogram::new(buckets.map(|(time_ms, count)| Bucket { time_ms: *time_ms, count: *count }).collect())
        };
        let former: Vec<Run> = (0..5)
            .map(|_| {
                let mut run = service.runs[0].clone();
                run.total.histogram = histogram(&[(150.0, 60)]);
                run
            })
            .collect();
        service.baseline = Baseline::new(&former, service.provenance.clone()).unwrap();
        for run in &mut service.runs {
            run.total.histogram = histogram(&slow);
        }
        in_ci(&service, |view| {
            let screen = Screen::default();
            let text = terminal::render(view, Verbosity::Normal, screen);
            let page = Format::Html.render(view);
            let tiles = page.split_once("</dl>").unwrap().0;
            assert!(view.total.iter().any(|series| series.row.metric == Metric::P95Corrected), "JSON has it");
            assert_eq!(text.contains("p95_corrected"), is_shown, "{text}");
            assert_eq!(tiles.contains("p95 corrected"), is_shown, "{tiles}");
        });
    }
}
