//! The HTML page: read back by a browser's own parser, and opened in a browser.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use judge::baseline::file::Baseline;
use judge::model::limits::Rules;
use judge::model::run::{Load, Machine, Metric, PERCENTILES, Precision, Provenance, Run, Stats, Usage};
use judge::parse::locust_history::{History, HistoryPoint, Percentiles};
use judge::verdict::compare::compare;
use report::Report;
use report::formats::terminal::{self, Screen, Verbosity};
use report::page::html;
use report::view::background::{Background, Failure};
use report::view::content::{Cells, Sides, Unjudged};
use report::view::saved::Saved;
use scraper::{ElementRef, Html, Selector};
use serde_json::{Value, json};

use crate::data::hostile_names;

/// The time for the browser: only a hang takes longer.
const PATIENCE: Duration = Duration::from_secs(180);

/// Returns what a command says that could not judge.
fn no_verdict(reason: &str) -> Unjudged {
    Unjudged::NoVerdict(reason.to_owned())
}

/// What a report rests on.
struct Measured {
    baseline: Baseline,
    runs: Vec<Run>,
    histories: Vec<Result<History, String>>,
    provenance: Provenance,
    rules: Rules,
    failures: Vec<Failure>,
}

impl Measured {
    fn with<T>(&self, show: impl FnOnce(&Report) -> T) -> T {
        let comparison = compare(&self.baseline, &self.runs, &self.rules).unwrap();
        let background = Background {
            name: Some("claims-service".to_owned()),
            commits_between: Some(5),
            baseline_p95_ms: self.baseline.total_runs(Metric::P95).to_vec(),
            baseline_history: Some(history(9.0)),
            failures: self.failures.clone(),
            command: None,
            run_url: None,
        };
        show(&Report {
            comparison: &comparison,
            background: &background,
            confirmation: None,
            distribution: &self.baseline.distribution,
            runs: &self.runs,
            histories: &self.histories,
            provenance: Sides { baseline: &self.baseline.provenance, candidate: &self.provenance },
            baseline: "baseline: commit 8402e029a80f, 2026-11-23, 5 commits ago (perf_baseline.json)".to_owned(),
            warnings: vec!["Locust's version differs: baseline 2.47.0, candidate 2.48.0".to_owned()],
            details: vec!["results: target/perf/latest".to_owned(), "time: 101.2 s".to_owned()],
        })
    }

    fn page(&self) -> String {
        self.with(html::render)
    }
}

fn provenance() -> Provenance {
    Provenance {
        timestamp: "2026-11-23T14:19:18Z".to_owned(),
        commit: "8402e029a80f21b97cb093cea1ea758e8b4c092a".to_owned(),
        dirty: false,
        load: Some(Load {
            users: 10,
            spawn_rate: 10.0,
            run_time_s: 20,
            warmup_s: 0.0,
            processes: None,
            workers: None,
            has_shape: false,
            args: vec![],
            locust_args: vec![],
        }),
        machine: Some(Machine { cpu: "AMD EPYC".to_owned(), cores: 2, os: "linux x86_64".to_owned() }),
        locust: Some("2.47.0".to_owned()),
        python: Some("3.11.7".to_owned()),
        gate: Some("0.2.0 (1f0c3a9b7d21)".to_owned()),
        precision: Precision::Fine,
        mean_users: Some(10.0),
        locustfile: Some("50b2c961c73c21f2cdc50cb92b32c9eb887bb8ea".to_owned()),
        usage: Some(Usage {
            others_pct: vec![2.5, 9.75],
            cpu_ms_per_request: vec![1.5, 1.25],
            peak_memory_mb: vec![44.5, 123.0],
        }),
    }
}

/// A service of so many endpoints in five runs on each side; the candidate is slower in some endpoints, and altogether
/// by `slowdown`.
fn measured(names: &[String], slowdown: f64) -> Measured {
    let mut random = fastrand::Rng::with_seed(7);
    let mut run = |slowdown: f64| {
        let mut noise = |spread: f64| (spread * (random.f64() - 0.5)).exp();
        let mut stats = |median_ms: f64, requests: u64, slowdown: f64| Stats {
            requests,
            failures: 0,
            p50_ms: median_ms * slowdown * noise(0.05),
            p95_ms: median_ms * 3.2 * slowdown * noise(0.08),
            p99_ms: median_ms * 5.0 * slowdown * noise(0.15),
            avg_ms: median_ms * 1.3 * slowdown,
            requests_per_sec: requests as f64 / 20.0 * noise(0.02),
            ..Stats::default()
        };
        let total = stats(42.0, 1200 * names.len() as u64 / 5 + 1000, slowdown);
        let endpoints = names.iter().enumerate().map(|(place, name)| {
            let own = if slowdown > 1.0 && place % 7 == 2 { 1.5 } else { slowdown.powf(0.3) };
            (name.as_str().into(), stats(8.0 + 37.0 * (place % 23) as f64, 240, own))
        });
        let endpoints = endpoints.collect();
        // Roughly a logistic distribution of the logarithm.
        let at = |percent: f64| 42.0 * slowdown * (0.39 * (percent / (100.0 - percent)).ln()).exp();
        Run {
            precision: Precision::Fine,
            total,
            endpoints,
            distribution: PERCENTILES.map(at).to_vec(),
            ..Run::default()
        }
    };
    let former: Vec<Run> = (0..5).map(|_| run(1.0)).collect();
    let mut runs: Vec<Run> = (0..5).map(|_| run(slowdown)).collect();
    if names.len() > 1 {
        // One is new, and one has gone.
        for run in &mut runs {
            let last = run.endpoints.len() - 1;
            run.endpoints[last].0 = "PATCH /an/endpoint/that/is/new".into();
        }
    }
    let rules = Rules::default();
    let baseline = Baseline::new(&former, provenance(), None, None).unwrap();
    let histories = (0..5).map(|run| Ok(history(f64::from(run)))).collect();
    let provenance = Provenance {
        timestamp: "2026-11-25T09:02:40Z".to_owned(),
        commit: "36338e10c2f9d84fbbf0f4de58cf6ac5b5a4d7be".to_owned(),
        locust: Some("2.48.0".to_owned()),
        dirty: true,
        ..provenance()
    };
    Measured { baseline, runs, histories, provenance, rules, failures: Vec::new() }
}

fn history(run: f64) -> History {
    let point = |second: u32| {
        let time_s = f64::from(second);
        let wave = 1.0 + 0.1 * (time_s / 3.0 + run).sin();
        let percentiles = (second > 0).then(|| Percentiles {
            p50_ms: 42.0 * wave,
            p95_ms: 140.0 * wave,
            p99_ms: 210.0 * wave * (1.0 + 1.0 / time_s),
        });
        HistoryPoint {
            time_s,
            users: (2.0 * time_s).min(10.0),
            requests_per_sec: 61.0 * wave * (time_s / 5.0).min(1.0),
            failures_per_sec: if second == 12 { 0.4 } else { 0.0 },
            percentiles,
        }
    };
    History { is_windowed: true, points: (0..=20).map(point).collect() }
}

fn names(count: usize) -> Vec<String> {
    let methods = ["GET", "POST", "GET", "PUT", "DELETE"];
    let parts = ["claims", "claims/[id]", "customers/[id]/addresses/[address]", "dashboard", "policies/[id]/documents"];
    (0..count)
        .map(|place| {
            let version = if place < 5 { String::new() } else { format!("/v{}", place / 5) };
            format!("{} /api{version}/{}", methods[place % 5], parts[place % 5])
        })
        .collect()
}

fn select<'a>(page: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    page.select(&Selector::parse(selector).unwrap()).collect()
}

fn text(element: ElementRef) -> String {
    element.text().collect()
}

/// The cells of a table's rows; where an endpoint has rows, its name stands once above them.
fn rows(page: &Html, label: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut name = String::new();
    for row in select(page, &format!("table[aria-labelledby={label}] tbody tr")) {
        let cells: Vec<String> = row.child_elements().map(text).collect();
        if row.attr("class") == Some("group") {
            name = format!("{} ", cells[0]);
        } else {
            rows.push([vec![format!("{name}{}", cells[0])], cells[1..].to_vec()].concat());
        }
    }
    rows
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("html");
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn by_name(cells: Vec<Cells>) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = cells.into_iter().map(|cells| cells.texts.to_vec()).collect();
    rows.sort();
    rows
}

#[test]
fn what_was_used_of_the_machine_stands_beside_what_was_compared() {
    let mut measured = measured(&["GET /a".to_owned()], 1.0);
    measured.baseline.provenance.usage = None;
    let page = measured.page();
    for row in [
        "<th scope=\"row\">service's CPU per request</th><td>not known</td><td>1.38 ms</td>",
        "<th scope=\"row\">service's memory at its peak</th><td>not known</td><td>123 MB</td>",
        "<th scope=\"row\">cores that others used</th><td>not known</td><td>6.1%, at most 9.8% in a run</td>",
    ] {
        assert!(page.contains(row), "{row}");
    }
    measured.baseline.provenance.usage = provenance().usage;
    let shown = |measured: &Measured, verbosity| {
        let text = measured.with(|report| terminal::render(report, verbosity, Screen::default()));
        anstream::adapter::strip_str(&text).to_string()
    };
    let text = shown(&measured, Verbosity::Verbose);
    assert!(text.contains("\nservice's CPU per request: 1.38 ms (baseline: 1.38 ms)\n"), "{text}");
    assert!(!text.contains("used the cores"), "{text}");
    measured.provenance.usage.as_mut().unwrap().others_pct[1] = 10.5;
    let note = "ther programs, containers or virtual machines used the cores: 10% in run 2; measure on an idle machine";
    assert!(measured.page().contains(&format!("<li>O{note}</li>")));
    let text = shown(&measured, Verbosity::Normal);
    assert!(text.contains(&format!("\nnote: o{note}\n")), "{text}");
    assert!(!text.contains("per request"), "{text}");
}

#[test]
fn the_page_says_what_the_terminal_says() {
    for (count, slowdown) in [(1, 1.0), (5, 1.35), (300, 1.35)] {
        measured(&names(count), slowdown).with(|report| {
            let page = Html::parse_document(&html::render(report));
            assert_eq!(page.errors, Vec::<String>::new());
            let verdict = terminal::render(report, Verbosity::Quiet, Screen::default());
            let verdict = anstream::adapter::strip_str(verdict.lines().last().unwrap()).to_string();
            assert_eq!(text(select(&page, "h1")[0]), verdict);
            assert_eq!(
                rows(&page, "total"),
                report.total_cells().into_iter().map(|cells| cells.texts.to_vec()).collect::<Vec<_>>()
            );
            let mut endpoints = rows(&page, "endpoints");
            endpoints.sort();
            assert_eq!(endpoints, by_name(report.endpoint_cells()));
            assert_eq!(select(&page, "figure > svg[role=img]").len(), 3);
            for svg in select(&page, "figure > svg") {
                let names: Vec<&str> = svg.child_elements().take(2).map(|child| child.value().name()).collect();
                assert_eq!(names, ["title", "desc"]);
                assert!(svg.child_elements().take(2).all(|child| text(child).len() > 5));
            }
        });
    }
}

/// How wide a text of the pictures is with `DejaVu Sans`, the widest of the usual fonts.
fn width_px(text: &str) -> f64 {
    let of_size_1 = |c: char| match c {
        ' ' | '.' | ',' | '/' | 'i' | 'l' => 0.33,
        '%' => 0.95,
        '+' => 0.84,
        '0'..='9' => 0.64,
        _ => 0.58,
    };
    13.0 * text.chars().map(of_size_1).sum::<f64>()
}

#[test]
fn no_number_or_title_of_an_axis_leaves_its_picture() {
    // The scale of a change ends at what a label says: the farthest, and the least.
    for slowdown in [1.0, 1.35, 3.0] {
        let page = Html::parse_document(&measured(&names(5), slowdown).page());
        let texts = select(&page, "figure svg text");
        assert!(texts.len() > 40, "{}", texts.len());
        for element in texts {
            let (said, of) = (text(element), |name| element.attr(name).unwrap());
            let (said, x): (&str, f64) = (said.trim(), of("x").parse().unwrap());
            let left = match of("text-anchor") {
                "middle" => x - width_px(said) / 2.0,
                "end" => x - width_px(said),
                _ => x,
            };
            assert!(left >= 0.0 && left + width_px(said) <= 320.0, "{said:?} at {x}, {}", of("text-anchor"));
        }
    }
}

#[test]
fn the_page_says_what_its_lines_and_intervals_are() {
    for (runs, said) in [(1, "One candidate run. "), (5, "One faint line per candidate run (5). ")] {
        let mut measured = measured(&names(5), 1.35);
        measured.runs.truncate(runs);
        measured.histories.truncate(runs);
        let page = Html::parse_document(&measured.page());
        let caption = text(select(&page, "figcaption")[2]);
        assert!(caption.contains(said), "{caption}");
        assert!(caption.contains("Locust's 10-second moving averages, so they start at 0."), "{caption}");
        assert!(caption.contains("Behind them the baseline's last run."), "{caption}");
        let described = text(select(&page, "svg > desc")[2]);
        assert!(described.starts_with(if runs == 1 { "1 run over " } else { "5 runs over " }), "{described}");
        let notes: Vec<String> = select(&page, "main p").into_iter().map(text).collect();
        assert!(notes.iter().any(|note| note.contains("95% confidence interval of the change")), "{notes:?}");
    }
}

#[test]
fn the_worst_endpoint_comes_first() {
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
    // Each endpoint has a bar, and so have all requests together; those that are hidden first come last.
    let bars = select(&page, ".bars:not([hidden]) tbody tr");
    assert_eq!(bars.len(), 302);
    let is_rest: Vec<bool> = bars.iter().map(|row| row.attr("class").unwrap().contains("rest")).collect();
    assert_eq!(is_rest.iter().filter(|is_rest| !**is_rest).count(), 6);
    assert!(is_rest[..301].is_sorted() && !is_rest[301]);
}

#[test]
fn the_page_fetches_nothing_and_stays_small() {
    let page = measured(&names(300), 1.35).page();
    assert!(page.len() < 1_000_000, "{}", page.len());
    for word in ["http:", "https:", "//", "src=", "@import", "url(", " style=", " on"] {
        // What follows a name within a tag is an attribute; elsewhere the words are text.
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
fn every_endpoint_has_an_anchor_and_every_link_leads_to_something() {
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
fn what_weakens_a_comparison_weakens_the_trust_in_it() {
    measured(&names(5), 1.35).with(|report| {
        let answer = |report: &Report| {
            let page = Html::parse_document(&html::render(report));
            text(select(&page, "#trust + p strong")[0])
        };
        assert_eq!(answer(report), "With care.");
        let certain = Report { warnings: vec![], details: vec![], baseline: String::new(), ..*report };
        assert_eq!(answer(&certain), "Yes.");
    });
    let page = Html::parse_document(&inconclusive().page());
    assert_eq!(text(select(&page, "#trust + p strong")[0]), "Not yet.");
}

/// The bars, the headline and the findings name the same endpoint first, also where a floor makes another one's change
/// the largest.
#[test]
fn every_part_of_the_page_has_the_same_worst_endpoint() {
    let mut measured = of(1.5, 5);
    measured.rules.limits.get_mut(&Metric::P95).unwrap().floor = Some(20.0);
    for run in &mut measured.runs {
        // About twice as slow, 26 to 50 ms, where 46 are allowed; another one from 267 to 395 ms, where 320 are.
        run.endpoints[0].1.p95_ms *= 1.75;
    }
    measured.with(|report| {
        let page = Html::parse_document(&html::render(report));
        let rows: Vec<String> = select(&page, ".bars:not([hidden]) tbody th").into_iter().map(text).collect();
        let findings = report.findings(12).shown;
        let worst = findings.iter().find(|finding| finding.text.contains(" /api/")).unwrap();
        assert!(worst.text.starts_with(&rows[0]), "{rows:?}: {}", worst.text);
        assert!(report.headline().to_string().contains(&rows[0]), "{rows:?}: {}", report.headline());
    });
}

#[test]
fn the_bars_begin_with_the_metric_that_fails() {
    let shown = |measured: &Measured| {
        let page = Html::parse_document(&measured.page());
        let shown = select(&page, ".bars:not([hidden])");
        assert_eq!(shown.len(), 1);
        let options: Vec<String> = select(&page, "#choice option").into_iter().map(text).collect();
        assert_eq!(options, ["p95", "p50", "p99", "errors", "requests/s"]);
        assert_eq!(select(&page, "#choice option[selected]")[0].attr("value"), shown[0].attr("data-metric"));
        (text(select(&page, "#where")[0]), text(select(&page, ".bars:not([hidden]) tbody tr")[0]))
    };
    let (title, worst) = shown(&measured(&names(5), 1.0));
    assert_eq!(title, "Where it got slower (p95, worst first)");
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
fn many_endpoints_make_the_page_longer_in_proportion_and_the_pictures_not() {
    let [few, many] = [1_000, 10_000].map(|count| measured(&names(count), 1.35).page());
    assert!(many.len() < 11 * few.len(), "{} after {}", many.len(), few.len());
    let [few, many] = [&few, &many].map(|page| page.rfind("</figure>").unwrap() - page.find("<figure>").unwrap());
    assert!(many < few + few / 10, "{many} after {few}");
}

/// Counts of elements by name.
fn elements(page: &Html) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for element in select(page, "*") {
        *counts.entry(element.value().name().to_owned()).or_default() += 1;
    }
    counts
}

#[test]
fn no_name_adds_an_element_or_an_attribute() {
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
        // What is long has a tooltip.
        let added: Vec<String> = attributes(&page).difference(&attributes(&expected)).cloned().collect();
        assert!(added.iter().all(|name| name == "title"), "{name:?}: {added:?}");
    }
}

#[test]
fn a_hostile_name_is_shown_and_does_nothing() {
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
            // A finding of its own, and a remark and a reason that hold what others say.
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
        let failure = Html::parse_document(&html::render_unjudged(&no_verdict(&format!("{name}: cannot be read"))));
        assert_eq!(
            elements(&failure),
            elements(&Html::parse_document(&html::render_unjudged(&no_verdict("x")))),
            "{about}"
        );
    }
}

fn run_name(measured: &Measured) -> String {
    measured.runs[0].endpoints[0].0.to_string()
}

#[test]
fn where_nothing_was_judged_the_page_says_why() {
    let page = Html::parse_document(&html::render_unjudged(&no_verdict("Locust did not start:\nno such file")));
    assert_eq!(text(select(&page, "h1")[0]), "NO VERDICT: could not compare");
    assert_eq!(text(select(&page, "pre")[0]), "Locust did not start:\nno such file");
}

#[test]
fn what_is_not_known_is_said_in_place_of_its_picture() {
    let mut measured = measured(&names(5), 1.2);
    measured.histories = vec![Err("cannot read locust_stats_history.csv: it is not there".to_owned())];
    measured.baseline.distribution.clear();
    for run in &mut measured.runs {
        run.distribution.clear();
        run.endpoints.clear();
    }
    measured.baseline.endpoints.clear();
    let page = Html::parse_document(&measured.page());
    let told: String = select(&page, ".charts").into_iter().map(text).collect();
    for part in [
        "no chart of runs over time: cannot read locust_stats_history.csv: it is not there",
        "Only p50, p95 and p99 were recorded.",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(select(&page, "svg").len(), 2);
    assert_eq!(select(&page, "#endpoints, #where").len(), 0);
}

/// Values at which a scale has nothing to stand on.
#[test]
fn a_picture_is_drawn_of_any_values() {
    for value in [0.0, 1e-9, 1e12_f64] {
        let mut measured = measured(&names(5), 1.0);
        for run in &mut measured.runs {
            run.distribution.fill(value.min(86_400_000.0));
            for stats in run.endpoints.iter_mut().map(|(_, stats)| stats).chain([&mut run.total]) {
                // No response takes more than a day.
                [stats.p50_ms, stats.p95_ms, stats.p99_ms] = [value.min(86_400_000.0); 3];
                stats.requests_per_sec = value.min(1e6);
            }
        }
        measured.histories = vec![Ok(History {
            is_windowed: true,
            points: [0.0, value]
                .map(|time_s| HistoryPoint {
                    time_s,
                    users: value,
                    requests_per_sec: value,
                    failures_per_sec: value,
                    percentiles: Some(Percentiles { p50_ms: value, p95_ms: value, p99_ms: value }),
                })
                .to_vec(),
        })];
        assert_eq!(select(&Html::parse_document(&measured.page()), "figure > svg").len(), 3, "{value}");
        measured.runs.swap(0, 1);
        (measured.baseline, measured.runs) =
            (Baseline::new(&measured.runs, provenance(), None, None).unwrap(), measured.runs);
        assert_eq!(select(&Html::parse_document(&measured.page()), "figure > svg").len(), 3, "{value} on both sides");
    }
}

// In a browser

/// The browser on the path, if any.
fn browser() -> Option<PathBuf> {
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect();
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|path| path.is_file())
}

/// Ends the browser whatever happens.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Opens a file without a window and returns what the browser prints, and what it and the page's console log.
fn open(browser: &Path, page: &Path, flags: &[String]) -> [String; 2] {
    /// One browser takes all cores for itself, and other tests beside it hold a time.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let name = page.file_stem().unwrap().to_str().unwrap();
    let profile = folder().join(format!("profile-{name}"));
    let _ = fs::remove_dir_all(&profile);
    let [out, err] = ["out", "err"].map(|end| folder().join(format!("{name}.{end}")));
    let mut child = Owned(
        Command::new(browser)
            .args([
                "--headless=new",
                // In a container there is no user to sandbox for; what is opened is ours.
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--no-first-run",
                "--enable-logging=stderr",
                "--v=0",
            ])
            .arg(format!("--user-data-dir={}", profile.display()))
            .args(flags)
            .arg(format!("file://{}", page.display()))
            .stdout(fs::File::create(&out).unwrap())
            .stderr(fs::File::create(&err).unwrap())
            .spawn()
            .unwrap(),
    );
    let deadline = Instant::now() + PATIENCE;
    while child.0.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "the browser does not end: {}", fs::read_to_string(&err).unwrap());
        thread::sleep(Duration::from_millis(20));
    }
    let _ = fs::remove_dir_all(&profile);
    [out, err].map(|path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned())
}

fn write(name: &str, page: &str) -> PathBuf {
    let path = folder().join(name);
    fs::write(&path, page).unwrap();
    path
}

fn console(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("CONSOLE")).collect()
}

#[test]
fn a_browser_shows_the_page_without_a_complaint() {
    let Some(browser) = browser() else {
        let in_ci = std::env::var("CI").is_ok_and(|ci| !matches!(ci.as_str(), "" | "0" | "false"));
        assert!(!in_ci, "there is no Chromium on the path, and under CI the page must be opened in one");
        // The macros' output is kept from who runs the tests.
        let _ = io::stderr().write_all(b"SKIPPED: there is no Chromium on the path to open the HTML page with\n");
        return;
    };
    for (count, endpoint_rows) in [(1, 5), (5, 22), (300, 1497)] {
        let page = measured(&names(count), 1.35).page();
        let picture = folder().join(format!("{count}-endpoints.png"));
        let _ = fs::remove_file(&picture);
        let screenshot = format!("--screenshot={}", picture.display());
        let flags = ["--dump-dom", "--window-size=1400,3000", &screenshot].map(str::to_owned);
        let [dom, log] = open(&browser, &write(&format!("{count}-endpoints.html"), &page), &flags);
        assert_eq!(console(&log), Vec::<&str>::new());
        let dom = Html::parse_document(&dom);
        assert!(text(select(&dom, "h1")[0]).starts_with("FAIL: p95"), "{}", text(select(&dom, "h1")[0]));
        assert_eq!((rows(&dom, "total").len(), rows(&dom, "endpoints").len()), (7, endpoint_rows));
        // The script ran: the page's own policy lets it.
        assert!(select(&dom, "#find")[0].attr("hidden").is_none());
        assert!(fs::metadata(&picture).unwrap().len() > 10_000, "{}", picture.display());
    }
}

#[test]
fn a_browser_finds_what_is_searched_and_runs_no_script_but_the_pages() {
    let Some(browser) = browser() else { return };
    let dump = ["--dump-dom".to_owned()];
    let page = measured(&names(300), 1.35).page();
    // Someone who writes in the search box; the page's policy would not let this script run.
    let (head, rest) = page.split_once("<meta http-equiv").unwrap();
    let typing = "<script>box.value = 'V7/Customers'; box.dispatchEvent(new Event('input'))</script></body>";
    let typing = typing.replace("box", "document.querySelector('#find input')");
    let page_with_typing = format!("{head}{}", rest.split_once('>').unwrap().1.replace("</body>", &typing));
    let [dom, _] = open(&browser, &write("typing.html", &page_with_typing), &dump);
    let dom = Html::parse_document(&dom);
    assert_eq!(select(&dom, "table[aria-labelledby=endpoints] tbody:not([hidden])").len(), 1);
    // That the console is heard at all: a script that the policy does not know is refused, and said so.
    let [_, log] = open(&browser, &write("refused.html", &page.replace("</body>", &typing)), &dump);
    assert_eq!(console(&log).len(), 1, "{log}");
}

#[test]
fn a_browser_shows_the_metric_that_is_chosen_and_the_endpoint_that_a_link_names() {
    let Some(browser) = browser() else { return };
    let page = measured(&names(300), 1.35).page();
    let (head, rest) = page.split_once("<meta http-equiv").unwrap();
    let choosing = "<script>const box = document.querySelector('#choice select'); box.value = 'error_rate'; \
                    box.dispatchEvent(new Event('change')); document.getElementById('more').click(); \
                    location.hash = 'endpoint-get-api-v7-claims'; \
                    addEventListener('hashchange', () => { document.title = document.querySelector(':target').textContent });</script></body>";
    let page = format!("{head}{}", rest.split_once('>').unwrap().1.replace("</body>", choosing));
    let flags = ["--dump-dom", "--virtual-time-budget=5000"].map(str::to_owned);
    let [dom, _] = open(&browser, &write("choosing.html", &page), &flags);
    let dom = Html::parse_document(&dom);
    assert_eq!(text(select(&dom, "#where")[0]), "Each endpoint (errors, worst first)");
    let shown = select(&dom, ".bars:not([hidden])");
    assert_eq!((shown.len(), shown[0].attr("data-metric")), (1, Some("error_rate")));
    assert_eq!(select(&dom, ".bars:not([hidden]) tbody tr:not([hidden])").len(), 61);
    assert_eq!(select(&dom, "p[data-metric]:not([hidden])").len(), 1);
    assert_eq!(select(&dom, ".scroll.long")[0].attr("aria-labelledby"), Some("where"));
    assert_eq!(text(select(&dom, "title")[0]), "GET /api/v7/claims");
    assert!(select(&dom, "details[open] #endpoint-get-api-v7-claims").len() == 1);
}

// What it looks like

/// A service of five endpoints, all of them on both sides.
fn of(slowdown: f64, runs: usize) -> Measured {
    let mut measured = measured(&names(5), slowdown);
    measured.runs.truncate(runs);
    measured.histories.truncate(runs);
    without_new(&mut measured);
    measured
}

/// A service a third of whose requests to one endpoint fail.
fn failing() -> Measured {
    let mut errors = of(1.1, 3);
    for run in &mut errors.runs {
        run.total.failures = run.total.requests / 15;
        run.endpoints[1].1.failures = run.endpoints[1].1.requests / 3;
    }
    let failure = |endpoint: &str, error: &str, times| Failure {
        endpoint: endpoint.to_owned(),
        error: error.to_owned(),
        times,
        requests: Some(720),
    };
    errors.failures = vec![
        failure("POST /api/claims/[id]", "HTTPError('500 Server Error: Internal Server Error')", 240),
        failure("GET /api/claims", "unfinished", 12),
    ];
    errors
}

/// A page of each kind that there is.
fn pages() -> Vec<(&'static str, String)> {
    let saved = Saved::new(&of(1.0, 5).baseline, "perf_baseline.json");
    let refusal = "perf_baseline.json is not comparable: users: the baseline has 10, this load 50; measure with --users 10, or accept the new load with --update-baseline";
    vec![
        ("pass", of(1.0, 2).page()),
        ("fail", of(1.5, 2).page()),
        ("inconclusive", inconclusive().page()),
        ("first-baseline", html::render_unjudged(&Unjudged::BaselineSaved(saved))),
        ("no-verdict", html::render_unjudged(&no_verdict(refusal))),
        ("errors", failing().page()),
        ("1-endpoint", measured(&names(1), 1.35).page()),
        ("5-endpoints", measured(&names(5), 1.35).page()),
        ("300-endpoints", measured(&names(300), 1.35).page()),
    ]
}

/// Gives the endpoint that is new the name of the one that is missing.
fn without_new(measured: &mut Measured) {
    for run in &mut measured.runs {
        let last = run.endpoints.len() - 1;
        run.endpoints[last].0 = names(5)[last].as_str().into();
    }
}

/// A p95 just below its limit, in runs that vary.
fn inconclusive() -> Measured {
    let mut measured = measured(&names(5), 1.0);
    measured.runs.truncate(2);
    measured.histories.truncate(2);
    without_new(&mut measured);
    for (run, factor) in measured.runs.iter_mut().zip([1.1, 1.24]) {
        run.total.p95_ms *= factor;
    }
    measured
}

/// What the driver below runs in each page, at each width: it says what is wrong.
const FAULTS: &str = r"
const faults = (page, width) => {
  const found = [], root = page.documentElement, seen = page.defaultView;
  const say = (what, of) => found.push(`${width}px: ${what}: ${of.className.baseVal ?? of.className} ${(of.textContent || '').trim().slice(0, 40)}`);
  if (root.scrollWidth > root.clientWidth) say('the page is wider than the screen', root);
  for (const of of page.querySelectorAll('main *, .head *')) {
    const box = of.getBoundingClientRect(), style = seen.getComputedStyle(of);
    if (!box.width || of.closest('.hidden, figure svg')) continue;
    if (box.right > root.clientWidth + 1 || box.left < -1) say('outside of the screen', of);
    if (of.scrollWidth > of.clientWidth + 1 && style.overflowX !== 'visible' && of.matches('.scroll')) say('scrolls', of);
  }
  for (const of of page.querySelectorAll('svg text')) {
    const scale = of.getScreenCTM().a, size = parseFloat(seen.getComputedStyle(of).fontSize) * scale;
    if (size < 10.95) say(`letters of ${size.toFixed(1)} px`, of);
  }
  return found;
};
";

#[test]
fn nothing_is_clipped_at_any_width_and_the_letters_of_charts_can_be_read() {
    let Some(browser) = browser() else { return };
    let pages: Vec<Value> = pages().into_iter().map(|(name, page)| json!([name, page])).collect();
    // As JSON within a script, where `<` would end it.
    let pages = json!(pages).to_string().replace('<', "\\u003c");
    let driver = format!(
        "<!DOCTYPE html><body><pre id=\"found\">running</pre><script>{FAULTS}
        const pages = {pages};
        (async () => {{
          const found = [];
          for (const [name, text] of pages) {{
            const frame = document.createElement('iframe');
            frame.style = 'border: 0; height: 900px; width: 1000px';
            const loaded = new Promise((done) => frame.addEventListener('load', done));
            frame.srcdoc = text;
            document.body.append(frame);
            await loaded;
            // Of 1500 rows the layout takes a second at each width, and a few tell the same.
            const folds = frame.contentDocument.querySelectorAll('details');
            if (!name.startsWith('300')) for (const fold of folds) fold.open = true;
            for (const width of [320, 340, 360, 412, 480, 560, 641, 704, 720, 800, 880, 900, 1024, 1200, 1400, 1920]) {{
              frame.style.width = `${{width}}px`;
              for (const fault of faults(frame.contentDocument, width)) found.push(`${{name}}, ${{fault}}`);
            }}
            frame.remove();
          }}
          document.getElementById('found').textContent = found.join('\\n') || 'nothing';
        }})();</script></body>"
    );
    let path = write("widths.html", &driver);
    let flags = ["--dump-dom", "--virtual-time-budget=60000", "--window-size=2000,1000"].map(str::to_owned);
    let [dom, _] = open(&browser, &path, &flags);
    let dom = Html::parse_document(&dom);
    assert_eq!(text(select(&dom, "#found")[0]), "nothing");
}

#[test]
#[ignore = "takes a minute and asserts little: run it after a change of the page, and look at what it leaves in target/tmp/html"]
fn every_kind_of_page_is_photographed() {
    let Some(browser) = browser() else { return };
    // The picture of README.md.
    let path = folder().join("readme.html");
    fs::write(&path, &pages()[1].1).unwrap();
    let picture = format!("--screenshot={}", folder().join("readme.png").display());
    open(&browser, &path, &[picture, "--window-size=1180,640".to_owned(), "--hide-scrollbars".to_owned()]);
    for (name, page) in pages() {
        let quoted = page.replace('&', "&amp;").replace('"', "&quot;");
        let mut frames = String::new();
        for width in [360, 800, 1400] {
            let _ = writeln!(frames, "<iframe width=\"{width}\" height=\"2400\" srcdoc=\"{quoted}\"></iframe>");
        }
        let sheet = format!(
            "<!DOCTYPE html><meta name=\"color-scheme\" content=\"light dark\"><style>body {{ margin: 0; width: 2600px; display: flex; gap: 10px; background: #999 }} iframe {{ border: 0; flex: none }}</style>{frames}"
        );
        let path = folder().join(format!("sheet-{name}.html"));
        fs::write(&path, sheet).unwrap();
        for (scheme, flag) in [("light", None), ("dark", Some("--blink-settings=preferredColorScheme=0"))] {
            let picture = folder().join(format!("{name}-{scheme}.png"));
            let _ = fs::remove_file(&picture);
            let mut flags = vec![format!("--screenshot={}", picture.display()), "--window-size=2600,2400".to_owned()];
            flags.extend(flag.map(str::to_owned));
            open(&browser, &path, &flags);
            assert!(fs::metadata(&picture).unwrap().len() > 10_000, "{}", picture.display());
        }
    }
}
