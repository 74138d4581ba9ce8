//! The Markdown, held against an independent parser.

use expect_test::expect;
use judge::baseline::file::Baseline;
use judge::model::limits::Rules;
use judge::model::run::{Precision, Run, Stats};
use judge::stats::estimate::Interval;
use judge::verdict::compare::compare;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use report::formats::github::{self, Places};
use report::formats::markdown;
use report::formats::terminal::{self, Screen, Verbosity};
use report::view::series::{HEADER, SeriesView};
use report::{Background, Report, Sides, Unjudged, View};

use crate::cases::background;
use crate::hostile::hostile_names;
use crate::samples::{self, VERSION_1_0};

/// Names as a client may ask for them, and what a report may make of them by mistake.
pub const HOSTILE: [&str; 27] = [
    "GET </script><script>alert(1)</script>",
    "GET ]]><b>",
    "GET /a|b",
    "GET /a\\|b\\",
    "GET /`code`",
    "`",
    "``` | ```",
    "::error::owned",
    "GET \n::error::owned",
    "GET \r::warning file=a::owned\r\n::stop-commands::x",
    "##[add-mask]owned",
    "GET \u{1b}[31mred\u{1b}]8;;http://x\u{7}",
    "GET \u{202e}txt.exe\u{2066}\u{200f}\u{61c}",
    "GET \u{2028}::error::\u{2029}\u{85}x",
    "GET </details><details>",
    "GET [x](javascript:alert(1)) ![i](http://evil/i.png)",
    "GET @everyone @octo/team",
    "GET /issues #1 octo/repo#2",
    "GET --><!-- cargo xtask perf -->",
    "GET https://evil.example/x www.evil.example",
    "GET **bold** _it_ ~~no~~ &lt;b&gt; \\",
    "# heading",
    "- [ ] a task",
    "| a | b |",
    "  spaces  at  ends  ",
    "",
    "%0A::error::, %25:x",
];

fn stats(p95_ms: f64) -> Stats {
    Stats { p95_interval_ms: Some(Interval { low: p95_ms - 10.0, high: p95_ms + 10.0 }), ..samples::stats(p95_ms) }
}

pub fn run<'a>(endpoints: impl IntoIterator<Item = (&'a str, f64)>, total_p95_ms: f64) -> Run {
    let endpoints = endpoints.into_iter().map(|(name, p95_ms)| (name.into(), stats(p95_ms))).collect();
    Run {
        precision: Precision::Coarse,
        total: stats(total_p95_ms),
        endpoints,
        distribution: Vec::new(),
        ..Run::default()
    }
}

/// A report of these endpoints, each with the p95 of the baseline and of the candidate.
pub fn with_report<T>(endpoints: &[(&str, f64, f64)], p95_ms: f64, then: impl FnOnce(&Report) -> T) -> T {
    let former = run(endpoints.iter().map(|(name, baseline, _)| (*name, *baseline)), 300.0);
    let candidate = run(endpoints.iter().map(|(name, _, candidate)| (*name, *candidate)), p95_ms);
    with_runs(&former, candidate, then)
}

/// A report of three such runs on each side.
fn with_runs<T>(former: &Run, candidate: Run, then: impl FnOnce(&Report) -> T) -> T {
    let provenance = Baseline::parse(VERSION_1_0).unwrap().provenance;
    let names: Vec<String> = candidate.names().map(str::to_owned).collect();
    let baseline = Baseline::new(&vec![former.clone(); 3], provenance.clone()).unwrap();
    let runs = vec![candidate; 3];
    let rules = Rules::default();
    let comparison = compare(&baseline, &runs, &rules).unwrap();
    then(&Report {
        background: &background(),
        confirmation: None,
        distribution: &[],
        runs: &[],
        histories: &[],
        comparison: &comparison,
        provenance: Sides { baseline: &provenance, candidate: &provenance },
        baseline_origin: "baseline: commit abc123, 2026-01-27, 3 commits ago (perf_baseline.json)".to_owned(),
        file_warnings: Vec::new(),
        warnings: names.iter().map(|name| format!("the most frequent failure, 3 times: {name}: {name}")).collect(),
        other_details: vec!["load: 10 users".to_owned()],
    })
}

/// A page as an independent parser reads it.
#[derive(Default)]
struct Page {
    headings: Vec<String>,
    /// Rows of cells, with the header.
    tables: Vec<Vec<Vec<String>>>,
    /// List items and paragraphs.
    lines: Vec<String>,
    /// The text outside code, in which GitHub looks for people and issues.
    prose: String,
    html: String,
}

fn parse(markdown: &str) -> Page {
    let mut page = Page::default();
    let mut text = String::new();
    for event in
        Parser::new_ext(markdown, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS)
    {
        match event {
            Event::Start(Tag::Table(_)) => page.tables.push(vec![]),
            Event::Start(Tag::TableHead | Tag::TableRow) => page.tables.last_mut().unwrap().push(vec![]),
            Event::End(TagEnd::TableCell) => {
                page.tables.last_mut().unwrap().last_mut().unwrap().push(std::mem::take(&mut text));
            }
            Event::End(TagEnd::Heading(_)) => page.headings.push(std::mem::take(&mut text)),
            Event::End(TagEnd::Item | TagEnd::Paragraph) => page.lines.push(std::mem::take(&mut text)),
            Event::Text(part) => {
                page.prose.push_str(&part);
                text.push_str(&part);
            }
            Event::Code(part) => text.push_str(&part),
            Event::SoftBreak | Event::HardBreak => text.push('\n'),
            Event::Html(html) => page.html.push_str(&html),
            Event::Start(
                Tag::Paragraph
                | Tag::Heading { .. }
                | Tag::List(_)
                | Tag::Item
                | Tag::TableCell
                | Tag::Strong
                | Tag::BlockQuote(_)
                | Tag::HtmlBlock,
            )
            | Event::End(_) => {}
            other => panic!("{other:?} is not of ours: {markdown}"),
        }
    }
    page
}

/// A cell without its sign.
fn plain(cell: &str) -> String {
    let signs = ["✖ ", "▲ ", "✔ ", "? "];
    let status = signs.iter().find_map(|sign| cell.trim_start().strip_prefix(sign)).unwrap_or(cell);
    status.trim().replace('\u{a0}', " ")
}

fn all_series<'v>(view: &'v View) -> impl Iterator<Item = &'v SeriesView<'v>> {
    view.endpoints.iter().flat_map(|endpoint| &endpoint.series)
}

/// Every row is there, with the cells of the columns that the table has.
#[track_caller]
fn assert_rows<'v>(table: &[Vec<String>], expected: impl Iterator<Item = &'v SeriesView<'v>>, context: &str) {
    let expected: Vec<&SeriesView> = expected.collect();
    assert_eq!(table.len(), expected.len() + 1, "{context}");
    let columns: Vec<usize> = (0..7).filter(|column| table[0].iter().any(|head| head == HEADER[*column])).collect();
    for cells in expected {
        let texts: Vec<&str> = columns.iter().map(|column| cells.cells[*column].trim()).collect();
        let is_there =
            table[1..].iter().any(|row| row.iter().map(|cell| plain(cell)).eq(texts.iter().map(ToString::to_string)));
        assert!(is_there, "{texts:?} is missing: {context}: {table:?}");
        let left_out = (0..7).filter(|column| !columns.contains(column));
        assert!(left_out.into_iter().all(|column| cells.cells[column].is_empty()), "{context}");
    }
}

#[test]
fn markdown_reads_from_verdict_to_details() {
    let endpoints = [("GET /claims", 300.0, 300.0), ("POST /claims", 300.0, 390.0), ("GET /health", 100.0, 110.0)];
    with_report(&endpoints[..2], 400.0, |report| {
        let report = Report {
            file_warnings: Vec::new(),
            warnings: vec!["the load generator was CPU-bound".to_owned()],
            other_details: report.other_details.clone(),
            baseline_origin: report.baseline_origin.clone(),
            ..report.clone()
        };
        expect![[r#"
            <!-- cargo xtask perf -->
            ## ❌ FAIL: p95 rose 33%, 300 → 400 ms (limit +20%); 1 of 2 endpoints: POST /claims +30%

            | metric | baseline | candidate | change | status |
            |:--|--:|--:|--:|:--|
            | p95 ms | 300 | 400 | +33.3% | ✖ **FAIL** |
            | `POST /claims` p95 ms | 300 | 390 | +30.0% | ✖ **FAIL** |
            | p50 ms | 100 | 100 | +0.0% | ✔ ok |

            **Can I trust it?** With care. Conclusive after 3 runs (baseline: 3). 2 notes below.

            **What next**

            - rule out the machine: `cargo xtask perf --confirm`
            - find the commit: `cargo xtask bisect abc123`
            - accept it: `cargo xtask perf --update-baseline --note "why it is slower"`

            `abc123` → `abc123`

            <details>
            <summary>All requests together, findings and notes</summary>

            | metric | baseline | candidate | change | interval | limit | status |
            |:--|--:|--:|--:|--:|--:|:--|
            | p50 ms | 100 | 100 | +0.0% | +0.0..+0.0 | +20% | ✔ ok |
            | p95 ms | 300 | 400 | +33.3% | +33.3..+33.3 | +20% | ✖ **FAIL** |
            | p99 ms | 400 | 400 | +0.0% | +0.0..+0.0 | +25% | ✔ ok (too few requests) |
            | avg_response_time ms | 100.0 | 100.0 | +0.0% |  |  |  |
            | requests_per_sec 1/s | 15.0 | 15.0 | +0.0% | +0.0..+0.0 | -30% | ✔ ok |
            | error_rate % | 0.00 | 0.00 | +0.00 pp | -0.3..+0.3 | +2 pp | ✔ ok |
            | total_requests | 450 | 450 | +0.0% |  |  |  |

            - ✖ **FAIL** p95: 300 → 400 ms (+33.3%, limit +20%)
            - ✖ **FAIL** `POST /claims` p95: 300 → 390 ms (+30.0%, limit +20%)
            - note: only 4 of 450 requests are beyond p99 (5 needed)
            - note: the load generator was CPU-bound

            evidence: conclusive after 3 runs (baseline: 3); the runs are equal, so they show no noise

            </details>

            <details>
            <summary>2 endpoints: 1 failing, 1 of 10 metrics over a limit</summary>

            | metric | baseline | candidate | change | interval | limit | status |
            |:--|--:|--:|--:|--:|--:|:--|
            | `POST /claims` p95 ms | 300 | 390 | +30.0% | +30.0..+30.0 | +20% | ✖ **FAIL** |
            | `GET /claims` error_rate % | 0.00 | 0.00 | +0.00 pp | -0.3..+0.3 | +2 pp | ✔ ok |
            | `GET /claims` p95 ms | 300 | 300 | +0.0% | +0.0..+0.0 | +20% | ✔ ok |
            | `GET /claims` p99 ms | 400 | 400 | +0.0% | +0.0..+0.0 | +25% | ✔ ok |
            | `GET /claims` p50 ms | 100 | 100 | +0.0% | +0.0..+0.0 | +20% | ✔ ok |
            | `POST /claims` error_rate % | 0.00 | 0.00 | +0.00 pp | -0.3..+0.3 | +2 pp | ✔ ok |
            | `POST /claims` p99 ms | 400 | 400 | +0.0% | +0.0..+0.0 | +25% | ✔ ok |
            | `POST /claims` p50 ms | 100 | 100 | +0.0% | +0.0..+0.0 | +20% | ✔ ok |
            | `GET /claims` requests_per_sec 1/s | 15.0 | 15.0 | +0.0% | +0.0..+0.0 | -30% | ✔ ok |
            | `POST /claims` requests_per_sec 1/s | 15.0 | 15.0 | +0.0% | +0.0..+0.0 | -30% | ✔ ok |

            </details>

            <details>
            <summary>What was compared</summary>

            - baseline: commit abc123, 2026-01-27, 3 commits ago (perf\_baseline.json)
            - candidate: commit abc123, 3 runs
            - load: 10 users

            </details>
        "#]]
        .assert_eq(&markdown::render(&View::of(&report)));
    });
    with_report(&endpoints, 400.0, |report| {
        let page = parse(&markdown::render(&View::of(report)));
        assert_eq!(
            page.headings,
            ["❌ FAIL: p95 rose 33%, 300 → 400 ms (limit +20%); 1 of 3 endpoints: POST /claims +30%"]
        );
        let [worst, total, table] = &page.tables[..] else { panic!("{:?}", page.tables) };
        assert_eq!((worst.len(), total.len()), (1 + 3, 1 + 7));
        assert_rows(table, all_series(&View::of(report)), "endpoints");
        // The terminal's cells, with the same signs.
        let terminal = terminal::render(&View::of(report), Verbosity::Verbose, Screen::default());
        let terminal = anstream::adapter::strip_str(&terminal).to_string();
        for row in total[1..].iter().chain(&table[1..]) {
            let shown = |line: &str| {
                let mut words = line.split_whitespace();
                plain(&row.join(" ")).split_whitespace().all(|word| words.next() == Some(word))
            };
            assert!(terminal.lines().any(shown), "{row:?}: {terminal}");
        }
        let names: Vec<&str> = table[1..].iter().map(|row| row[0].as_str()).collect();
        assert_eq!(
            names[..3],
            ["POST /claims p95 ms", "GET /health p95 ms", "GET /claims error_rate %"],
            "worst first"
        );
    });
    with_report(&endpoints[..1], 300.0, |report| {
        let page = parse(&markdown::render(&View::of(report)));
        assert_eq!(page.headings, ["✅ PASS: p95 +0.0% (limit +20%), all metrics within their limits"]);
    });
}

#[test]
fn hostile_names_break_no_markdown_and_no_annotation() {
    let long =
        ["x".repeat(10_000), "`".repeat(10_000), "\u{301}".repeat(10_000), "|".repeat(10_000), "语@#".repeat(4000)];
    let names = hostile_names();
    for name in HOSTILE.into_iter().chain(long.iter().chain(&names).map(String::as_str)) {
        // As an endpoint over its limit, as one within it, and in a warning.
        for p95_ms in [300.0, 450.0] {
            with_report(&[(name, 300.0, p95_ms), ("GET /b", 300.0, 300.0)], 400.0, |report| {
                let text = markdown::render(&View::of(report));
                let page = parse(&text);
                assert!(text.starts_with("<!-- cargo xtask perf -->\n"), "{name:?}");
                assert_eq!((page.headings.len(), page.tables.len()), (1, 3), "{name:?}: {text}");
                let view = View::of(report);
                assert_rows(&page.tables[1], view.total.iter(), name);
                assert_rows(&page.tables[2], all_series(&view), name);
                let tags = ["<details>", "</details>", "<summary>", "</summary>", "<!--", "-->", "<"];
                assert_eq!(
                    tags.map(|tag| page.html.matches(tag).count()),
                    [3, 3, 3, 3, 1, 1, 13],
                    "{name:?}: {}",
                    page.html
                );
                assert_harmless(&page.prose, name);
                // It may be printed, by `cat` for instance.
                assert!(!text.lines().any(|line| line.trim_start().starts_with("::")), "{name:?}: {text}");
                assert!(page.lines.iter().any(|line| line.starts_with("note: the most frequent failure")), "{name:?}");
                let failed = markdown::render_unjudged(&Unjudged::NoVerdict(format!("{name}: {}", name.repeat(10))));
                assert!(failed.len() < 10_000, "{}", failed.len());
                assert_eq!(parse(&failed).headings, ["⛔ NO VERDICT"], "{name:?}");
                assert_harmless(&parse(&failed).prose, name);

                let annotations = github::annotations(&View::of(report), &Places::default());
                let expected = if p95_ms > 400.0 { 2 } else { 1 };
                assert_eq!(annotations.split(['\n', '\r']).count(), expected + 1, "{name:?}: {annotations}");
                assert!(annotations.lines().all(|line| line.starts_with("::error title=FAIL")), "{annotations}");
                assert!(annotations.lines().all(|line| line.len() < 4000), "{annotations}");
                assert_eq!(github::failure(name).trim_end().split(['\n', '\r']).count(), 1);

                let terminal = terminal::render(&View::of(report), Verbosity::Verbose, Screen::default());
                assert_no_command(&github::harmless(&terminal), name);
                let group = github::group("Locust's log", &format!("{name}\n  {name}"), "word");
                let inside = group.strip_prefix("::group::Locust's log\n::stop-commands::word\n").unwrap();
                assert_no_command(inside.strip_suffix("::word::\n::endgroup::").unwrap(), name);
            });
        }
    }
}

/// No person is notified, no issue is referred to, nothing becomes a link.
#[track_caller]
fn assert_harmless(prose: &str, name: &str) {
    for (place, c) in prose.char_indices().filter(|(_, c)| matches!(c, '@' | '#')) {
        assert!(prose[place + c.len_utf8()..].starts_with(['\u{200b}', ' ']), "{name:?}: {prose}");
    }
}

#[track_caller]
fn assert_no_command(text: &str, name: &str) {
    let text = anstream::adapter::strip_str(text).to_string();
    for line in text.split(['\n', '\r']) {
        assert!(!line.trim_start().starts_with("::") && !line.contains("##["), "{name:?}: {line}");
    }
}

#[test]
fn first_lines_show_the_verdict_and_the_run() {
    let slower = [("GET /claims", 300.0, 300.0)];
    for (p50_ms, p95_ms, sign) in [(100.0, 300.0, "✅ PASS"), (140.0, 300.0, "⚠️ PASS"), (100.0, 400.0, "❌ FAIL")]
    {
        let former = run(slower.map(|(name, before, _)| (name, before)), 300.0);
        let mut candidate = run(slower.map(|(name, _, now)| (name, now)), p95_ms);
        candidate.total.p50_ms = p50_ms;
        with_runs(&former, candidate, |report| {
            let url = "https://github.com/a/b/actions/runs/7";
            let background = Background { run_url: url.to_owned(), commits_between: Some(3), ..background() };
            let report = Report {
                background: &background,
                file_warnings: Vec::new(),
                warnings: vec![],
                other_details: vec![],
                baseline_origin: String::new(),
                ..report.clone()
            };
            let text = markdown::render(&View::of(&report));
            let lines: Vec<&str> = text.lines().collect();
            assert!(lines[1].starts_with(&format!("## {sign}: p95 ")), "{}", lines[1]);
            assert!(lines[3].starts_with("| metric | baseline "), "{}", lines[3]);
            // Nothing decisive is folded, and no line ends within a limit.
            let open = &text[..text.find("<details>").unwrap()];
            assert!(open.contains("**Can I trust it?**") && open.contains("**What next**"), "{open}");
            assert!(open.contains(&format!("\n`abc123` → `abc123` · [run and artifacts]({url})\n")), "{open}");
            assert!(text.contains("| +2\u{a0}pp |"), "{text}");
        });
    }
    // An inconclusive PASS warns too.
    let mut noisy = run(slower.map(|(name, before, _)| (name, before)), 300.0);
    let provenance = Baseline::parse(VERSION_1_0).unwrap().provenance;
    let former: Vec<Run> = [300.0, 360.0, 250.0]
        .map(|p95_ms| {
            noisy.total.p95_ms = p95_ms;
            noisy.clone()
        })
        .to_vec();
    let baseline = Baseline::new(&former, provenance.clone()).unwrap();
    let runs = [former[0].clone()];
    let rules = Rules::default();
    let comparison = compare(&baseline, &runs, &rules).unwrap();
    with_report(&slower, 300.0, |report| {
        let report = Report {
            comparison: &comparison,
            file_warnings: Vec::new(),
            warnings: vec![],
            other_details: vec![],
            baseline_origin: String::new(),
            ..report.clone()
        };
        let text = markdown::render(&View::of(&report));
        assert!(text.lines().nth(1).unwrap().starts_with("## ⚠️ PASS: p95 ") && text.contains("| ? ok? "), "{text}");
    });
}

#[test]
fn any_number_of_endpoints_fits_into_a_comment() {
    for (count, tail) in [(300, ""), (10_000, ""), (300, "|`@x\u{202e}"), (10_000, "語")] {
        let names: Vec<String> = (0..count).map(|number| format!("GET /{number}/{}", tail.repeat(200))).collect();
        // Some of them FAIL by their p95, and some WARN by their p50.
        let former = run(names.iter().map(|name| (name.as_str(), 300.0)), 300.0);
        let mut candidate = Run { total: stats(400.0), ..former.clone() };
        for (place, (_, stats)) in candidate.endpoints.iter_mut().enumerate() {
            if place.is_multiple_of(2) { stats.p95_ms = 450.0 } else { stats.p50_ms = 150.0 }
        }
        with_runs(&former, candidate, |report| {
            let text = markdown::render(&View::of(report));
            let annotations = github::annotations(&View::of(report), &Places::default());
            assert!(text.len() < 65_536 && text.len() > 40_000, "{}", text.len());
            let annotations: Vec<&str> = annotations.lines().collect();
            assert!(
                annotations.len() == 10 && annotations[0].contains("title=FAIL%3A p95 rose 33%25"),
                "{annotations:?}"
            );
            assert!(annotations.iter().all(|annotation| annotation.starts_with("::error ")), "{annotations:?}");

            let page = parse(&text);
            let [_, total, table] = &page.tables[..] else { panic!("{count}{tail}: {} tables", page.tables.len()) };
            assert_eq!((total.len(), page.html.matches("</details>").count()), (8, 3), "{count}{tail}");
            assert!(table.iter().all(|row| row.len() == 7), "no row is cut");
            assert!(plain(&table[1][6]).starts_with("FAIL") || plain(&table[1][6]).starts_with("WARN"));
            let report = if count == 300 { "HTML" } else { "JSON" };
            let left_out = format!(
                "{} more rows omitted to fit GitHub's size limit; see the {report} report.",
                count * 5 - (table.len() - 1)
            );
            assert!(page.lines.contains(&left_out), "{count}{tail}: {left_out}");
        });
    }
}
