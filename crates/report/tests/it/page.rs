//! The HTML page, read back by a browser's own parser.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use judge::model::run::{Metric, Usage};
use report::formats::terminal::{self, Screen, Verbosity};
use report::view::series::SeriesView;
use report::{Format, Report, View};
use scraper::{ElementRef, Html};

use crate::cases::no_verdict;
use crate::hostile::hostile_names;
use crate::service::{Measured, failing, inconclusive, measured, names, of, provenance, rows, select, text};

fn cells<'v>(series: impl IntoIterator<Item = &'v SeriesView<'v>>) -> Vec<Vec<String>> {
    series.into_iter().map(|series| series.cells.to_vec()).collect()
}

#[test]
fn used_cpu_and_memory_are_beside_what_was_compared() {
    let mut measured = measured(&["GET /a".to_owned()], 1.0);
    measured.baseline.provenance.usage = Usage::default();
    let page = measured.page();
    for row in [
        "<th scope=\"row\">service's CPU per request</th><td>not known</td><td>1.38 ms</td>",
        "<th scope=\"row\">service's peak memory</th><td>not known</td><td>123 MB</td>",
        "<th scope=\"row\">CPU used by other processes</th><td>not known</td><td>6.1%, at most 9.8% in a run</td>",
    ] {
        assert!(page.contains(row), "{row}");
    }
    measured.baseline.provenance.usage = provenance().usage;
    let shown = |measured: &Measured, verbosity| {
        let text = measured.with(|report| terminal::render(&View::of(report), verbosity, Screen::default()));
        anstream::adapter::strip_str(&text).to_string()
    };
    let text = shown(&measured, Verbosity::Verbose);
    assert!(text.contains("\nservice's CPU per request: 1.38 ms (baseline: 1.38 ms)\n"), "{text}");
    assert!(!text.contains("the machine was busy"), "{text}");
    measured.provenance.usage.others_pct[1] = 10.5;
    let note = "he machine was busy: other processes, containers or virtual machines used the CPU, 10% in run 2; re-run on an idle machine";
    assert!(measured.page().contains(&format!("<li>T{note}</li>")));
    let text = shown(&measured, Verbosity::Normal);
    assert!(text.contains(&format!("\nnote: t{note}\n")), "{text}");
    assert!(!text.contains("per request"), "{text}");
}

#[test]
fn page_and_terminal_have_the_same_cells() {
    for (count, slowdown) in [(1, 1.0), (5, 1.35), (300, 1.35)] {
        measured(&names(count), slowdown).with(|report| {
            let page = Html::parse_document(&Format::Html.render(&View::of(report)));
            assert_eq!(page.errors, Vec::<String>::new());
            let verdict = terminal::render(&View::of(report), Verbosity::Quiet, Screen::default());
            let verdict = anstream::adapter::strip_str(verdict.lines().last().unwrap()).to_string();
            // The page has room for every part.
            let headline = text(select(&page, "h1")[0]);
            for part in verdict.split("; ") {
                assert!(headline.contains(part), "{part}: {headline}");
            }
            let view = View::of(report);
            assert_eq!(rows(&page, "total"), cells(&view.total));
            let mut shown = rows(&page, "endpoints");
            let mut expected = cells(view.endpoints.iter().flat_map(|endpoint| &endpoint.series));
            shown.sort();
            expected.sort();
            assert_eq!(shown, expected);
            assert_eq!(select(&page, "figure > svg[role=img]").len(), 3);
            for svg in select(&page, "figure > svg") {
                let names: Vec<&str> = svg.child_elements().take(2).map(|child| child.value().name()).collect();
                assert_eq!(names, ["title", "desc"]);
                assert!(svg.child_elements().take(2).all(|child| text(child).len() > 5));
            }
        });
    }
}

#[test]
fn endpoints_are_worst_first() {
    let page = Html::parse_document(&measured(&names(300), 1.35).page());
    let groups = select(&page, "table[aria-labelledby=endpoints] tbody");
    assert_eq!(groups.len(), 301);
    let rank = |group: &ElementRef| {
        let rows: Vec<&str> = group.child_elements().filter_map(|row| row.attr("class")).collect();
        ["fail", "warn", "plain", "unsure", "ok"].iter().position(|class| rows.contains(class)).unwrap()
    };
    let ranks: Vec<usize> = groups.iter().map(rank).collect();
    assert!(ranks.is_sorted(), "{ranks:?}");
    assert!([0, 2, 4].iter().all(|rank| ranks.contains(rank)), "{ranks:?}");
    // Each endpoint has a bar, and all requests together have one; those that are hidden at first come last.
    let bars = select(&page, ".bars:not([hidden]) tbody tr");
    assert_eq!(bars.len(), 302);
    let is_rest: Vec<bool> = bars.iter().map(|row| row.attr("class").unwrap().contains("rest")).collect();
    assert_eq!(is_rest.iter().filter(|is_rest| !**is_rest).count(), 13);
    assert!(is_rest[..301].is_sorted() && !is_rest[301]);
}

#[test]
fn page_fetches_nothing_and_stays_small() {
    let page = measured(&names(300), 1.35).page();
    assert!(page.len() < 1_000_000, "{}", page.len());
    for word in ["http:", "https:", "//", "src=", "@import", "url(", " style=", " on"] {
        // Inside a tag these words begin an attribute; elsewhere they are text.
        let tags = page.split('<').skip(1).filter_map(|rest| rest.split_once('>')).map(|(tag, _)| tag);
        let found: Vec<&str> = tags.filter(|tag| !tag.starts_with('/') && tag.contains(word)).collect();
        assert_eq!(found, Vec::<&str>::new(), "{word}");
    }
    let document = Html::parse_document(&page);
    let icons: Vec<_> = select(&document, "head [href]").into_iter().map(|link| link.attr("href")).collect();
    assert!(matches!(icons[..], [Some(icon)] if icon.starts_with("data:image/svg+xml,")), "{icons:?}");
    assert!(select(&document, "html[lang=en] meta[name=viewport]").len() == 1);
    let policy = select(&document, "meta[http-equiv=Content-Security-Policy]")[0].attr("content").unwrap();
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    for element in ["style", "script"] {
        let content = text(select(&document, element)[0]);
        let digest = format!("'{}'", digest(&content));
        assert!(policy.contains(&format!("{element}-src {digest}")), "html.rs needs {digest} for its {element}");
    }
}

#[test]
fn every_endpoint_has_an_anchor_and_every_link_a_target() {
    // Two names of the same letters, and one of none.
    let mut names = names(300);
    names.extend(["GET /a-b", "GET /a/b", "GET /a b", "/", "//"].map(str::to_owned));
    let page = Html::parse_document(&measured(&names, 1.35).page());
    let ids: Vec<&str> = select(&page, "[id]").into_iter().filter_map(|element| element.attr("id")).collect();
    assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "an id is given twice");
    let links: Vec<&str> = select(&page, "body [href]").into_iter().filter_map(|link| link.attr("href")).collect();
    for link in &links {
        assert!(link.strip_prefix('#').is_some_and(|id| ids.contains(&id)), "{link}");
    }
    let groups = select(&page, "tr.group");
    assert_eq!(groups.len(), 306);
    for group in groups {
        let link = format!("#{}", group.attr("id").unwrap());
        assert!(links.iter().filter(|known| **known == link).count() >= 2, "{link}: from the bars, and from itself");
    }
    assert!(ids.contains(&"endpoint-get-api-claims") && ids.contains(&"endpoint-get-a-b"), "{ids:?}");
}

#[test]
fn warnings_weaken_the_trust_answer() {
    measured(&names(5), 1.35).with(|report| {
        let answer = |report: &Report| {
            let page = Html::parse_document(&Format::Html.render(&View::of(report)));
            text(select(&page, "#trust + p strong")[0])
        };
        assert_eq!(answer(report), "With care.");
        let certain =
            Report { warnings: vec![], other_details: vec![], baseline_origin: String::new(), ..report.clone() };
        assert_eq!(answer(&certain), "Yes.");
    });
    let page = Html::parse_document(&inconclusive().page());
    assert_eq!(text(select(&page, "#trust + p strong")[0]), "Not yet.");
}

#[test]
fn every_answer_is_above_the_tables() {
    let page = Html::parse_document(&of(1.5, 2).page());
    let answers: Vec<String> = select(&page, ".hero header p").into_iter().map(text).collect();
    assert_eq!(
        answers,
        [
            "Can I trust it? With care. Conclusive after 2 runs (baseline: 5).",
            "What next? Rule out the machine: cargo xtask perf --confirm"
        ]
    );
    let name = select(&page, ".bars:not([hidden]) tbody th a")[0].inner_html();
    assert_eq!(name, "GET /<wbr>api/<wbr>customers/<wbr>[id]/<wbr>addresses/<wbr>[address]");
}

/// The bars, the headline and the findings name the same endpoint first, even if a floor makes another one's change the
/// largest.
#[test]
fn every_part_of_the_page_has_the_same_worst_endpoint() {
    let mut measured = of(1.5, 5);
    measured.rules.limits.get_mut(&Metric::P95).unwrap().floor = Some(20.0);
    for run in &mut measured.runs {
        // About twice as slow, 26 to 50 ms, with 46 ms allowed; another one rises from 267 to 395 ms, with 320 ms allowed.
        run.endpoints[0].1.p95_ms *= 1.75;
    }
    measured.with(|report| {
        let page = Html::parse_document(&Format::Html.render(&View::of(report)));
        let rows: Vec<String> = select(&page, ".bars:not([hidden]) tbody th").into_iter().map(text).collect();
        let findings = View::of(report).findings;
        let worst = findings.iter().find(|finding| finding.text.contains(" /api/")).unwrap();
        assert!(worst.text.starts_with(&rows[0]), "{rows:?}: {}", worst.text);
        assert!(
            View::of(report).headline.to_string().contains(&rows[0][..15]),
            "{rows:?}: {}",
            View::of(report).headline
        );
    });
}

#[test]
fn bars_begin_with_the_failing_metric() {
    let shown = |measured: &Measured| {
        let page = Html::parse_document(&measured.page());
        let shown = select(&page, ".bars:not([hidden])");
        assert_eq!(shown.len(), 1);
        let options: Vec<String> = select(&page, "#choice option").into_iter().map(text).collect();
        assert_eq!(options, ["p95", "p50", "p99", "errors", "requests/s"]);
        assert_eq!(select(&page, "#choice option[selected]")[0].attr("value"), shown[0].attr("data-metric"));
        (text(select(&page, "#where")[0]), text(select(&page, ".bars:not([hidden]) tbody tr")[0]))
    };
    // A missing endpoint is no slower one.
    let (title, worst) = shown(&measured(&names(5), 1.0));
    assert_eq!(title, "Each endpoint (p95, worst first)");
    assert!(worst.starts_with("DELETE /api/policies/[id]/documents503 ms → none"), "{worst}");
    let (title, worst) = shown(&failing());
    assert_eq!(title, "Where errors rose (errors, worst first)");
    assert!(worst.starts_with("POST /api/claims/[id]0.00 → 33.33%+33.33 pp"), "{worst}");
    assert!(worst.contains(" pp") && worst.ends_with("FAIL"), "{worst}");
}

fn digest(content: &str) -> String {
    let script = "import base64, hashlib, sys; print('sha256-' + base64.b64encode(hashlib.sha256(sys.argv[1].encode()).digest()).decode(), end='')";
    let output = Command::new("python3").args(["-c", script, content]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn page_grows_in_proportion_and_charts_do_not() {
    let [few, many] = [1_000, 10_000].map(|count| measured(&names(count), 1.35).page());
    assert!(many.len() < 11 * few.len(), "{} after {}", many.len(), few.len());
    let [few, many] = [&few, &many].map(|page| page.rfind("</figure>").unwrap() - page.find("<figure>").unwrap());
    assert!(many < few + few / 10, "{many} after {few}");
}

/// Counts of elements by name.
fn elements(page: &Html) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    // A slash of a name is followed by a place to break the line.
    for element in select(page, "*:not(wbr)") {
        *counts.entry(element.value().name().to_owned()).or_default() += 1;
    }
    counts
}

#[test]
fn hostile_names_add_no_element_or_attribute() {
    for name in hostile_names() {
        let harmless: String = name.chars().map(|_| 'x').collect();
        let [page, expected] = [name.clone(), harmless].map(|name| {
            let mut measured = measured(&[name], 1.6);
            measured.histories = vec![Err(run_name(&measured))];
            Html::parse_document(&measured.page())
        });
        assert_eq!(page.errors, Vec::<String>::new(), "{name:?}");
        assert_eq!(elements(&page), elements(&expected), "{name:?}");
        let attributes = |page: &Html| -> BTreeSet<String> {
            let of = |element: ElementRef| element.value().attrs().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
            select(page, "*").into_iter().flat_map(of).collect()
        };
        // Long names have a tooltip.
        let added: Vec<String> = attributes(&page).difference(&attributes(&expected)).cloned().collect();
        assert!(added.iter().all(|name| name == "title"), "{name:?}: {added:?}");
    }
}

#[test]
fn hostile_names_are_shown_as_text() {
    let long = "<b>'\"&".repeat(1700);
    for (name, shown) in [
        ("</script><script>alert(1)</script>", "</script><script>alert(1)</script>"),
        ("</style></title></svg></table><h1>PASS</h1>", "</style></title></svg></table><h1>PASS</h1>"),
        ("]]><!-- --!>", "]]><!-- --!>"),
        ("a|b `c` **d** ::error::e", "a|b `c` **d** ::error::e"),
        ("\" onmouseover=\"alert(1)", "\" onmouseover=\"alert(1)"),
        ("' onmouseover='alert(1)", "' onmouseover='alert(1)"),
        ("&lt;b&gt; &amp; &#x3c;", "&lt;b&gt; &amp; &#x3c;"),
        ("\"#000000\" opacity=\"1\"", "\"#000000\" opacity=\"1\""),
        ("a\r\nb\tc\0d\u{1b}[31m", "a\\r\\nb\\tc\\u{0}d\\u{1b}[31m"),
        ("\u{202e}evil\u{2066}\u{61c}\u{200f}", "\\u{202e}evil\\u{2066}\\u{61c}\\u{200f}"),
        ("שלום 😀 e\u{301}", "שלום 😀 e\u{301}"),
        (&long, &long),
    ] {
        let about: String = name.chars().take(60).flat_map(char::escape_debug).collect();
        let harmless: String = shown.chars().map(|_| 'x').collect();
        let pages = [name.to_owned(), harmless].map(|name| {
            let mut measured = measured(&[name], 1.6);
            // The name is in a finding, in a note, and in the reason for a missing chart.
            for run in &mut measured.runs {
                run.endpoints[0].1.p95_ms *= 3.0;
            }
            measured.histories = vec![Err(run_name(&measured))];
            (measured.page(), measured)
        });
        let [page, expected] = [&pages[0].0, &pages[1].0].map(|page| Html::parse_document(page));
        assert_eq!(page.errors, Vec::<String>::new(), "{about}");
        assert_eq!(elements(&page), elements(&expected), "{about}");
        let is_unfit =
            |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202e}' | '\u{2066}' | '\u{61c}' | '\u{200f}');
        assert_eq!(pages[0].0.chars().find(|c| is_unfit(*c)), None, "{about}");
        let row = &text(select(&page, ".group th")[0]);
        if shown.chars().count() < 60 {
            assert_eq!(row, shown);
        } else {
            let (head, tail) = row.split_once('…').unwrap();
            assert!(shown.starts_with(head) && shown.ends_with(tail) && row.chars().count() == 72, "{row:.80}");
        }
        assert!(pages[0].0.len() < 150_000, "{about}: {}", pages[0].0.len());
        let failure =
            Html::parse_document(&Format::Html.render_unjudged(&no_verdict(&format!("{name}: cannot be read"))));
        assert_eq!(
            elements(&failure),
            elements(&Html::parse_document(&Format::Html.render_unjudged(&no_verdict("x")))),
            "{about}"
        );
    }
}

fn run_name(measured: &Measured) -> String {
    measured.runs[0].endpoints[0].0.to_string()
}

#[test]
fn page_without_a_verdict_shows_the_reason() {
    let page = Html::parse_document(&Format::Html.render_unjudged(&no_verdict("Locust did not start:\nno such file")));
    assert_eq!(text(select(&page, "h1")[0]), "NO VERDICT: could not compare");
    assert_eq!(text(select(&page, "pre")[0]), "Locust did not start:\nno such file");
}
