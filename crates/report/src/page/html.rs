//! The report as one self-contained HTML page: complete without its script, readable without its style.

use std::fmt::Write as _;

use judge::model::limits::Level;
use judge::model::run::{Metric, Precision, Provenance};
use judge::model::text::{cut, endpoint_shown, escaped, printable};
use judge::verdict::compare::ERROR;
use judge::verdict::decision::{Presence, Row};

use crate::page::anchors::Anchors;
use crate::page::{bars, charts};
use crate::view::background::Failure;
use crate::view::content::{
    Cells, FINDINGS, Finding, HEADER, LINE_COLUMNS, Report, Sides, Unjudged, by_severity, cells, evidence, rank,
    shown_groups,
};
use crate::view::further;
use crate::view::headline::Headline;
use crate::view::next::{Step, steps, steps_unjudged};
use crate::view::saved::Saved;
use crate::view::usage;
use crate::view::words::{
    Status, Tone, change, count, interval_words, limit_text, shown_commit, tile_name, unit_of_value, value,
};

/// The number of letters of a name that a cell shows.
const NAME: usize = 72;
/// The number of letters of a sentence.
const SENTENCE: usize = 400;
/// The number of letters of a cut name that its tooltip shows.
const WHOLE_NAME: usize = 400;

const STYLE: &str = include_str!("page.css");
/// Shows the search box, and the endpoints that hold what is written there.
const SCRIPT: &str = include_str!("page.js");
/// The digests of the style and of the script. The browser uses nothing but these two, to the byte (`tests/it/html.rs`
/// prints the digests after a change).
const STYLE_DIGEST: &str = "sha256-f5CD8+ReuhytmGB9+o6/+OEGZ9plYZ87Lgj+yWH8ExM=";
const SCRIPT_DIGEST: &str = "sha256-SZrICqf2Od8zCXoRawLgICl9SbGBVOK8mq78ZvpdFOo=";

/// The meaning of a report's words, for a first reader.
const TERMS: &str = "<details>\n<summary><h2>Understanding this report</h2></summary>\n<ul>\n\
    <li><strong>Baseline, candidate</strong>: what was measured before, and what was measured now. The candidate is judged.</li>\n\
    <li><strong>p50, p95, p99</strong>: the response time that 50%, 95% or 99% of the requests do not exceed.</li>\n\
    <li><strong>p95 corrected</strong>: the p95 that users arriving on schedule would have seen. A user who waits asks for less, which hides a stall; this counts it.</li>\n\
    <li><strong>FAIL, WARN</strong>: a limit is exceeded. A FAIL blocks, a WARN does not.</li>\n\
    <li><strong>95% interval</strong>: where the true change lies, by the differences between runs of the same code.</li>\n\
    <li><strong>Conclusive</strong>: further runs would not change the verdict.</li>\n\
    <li><strong>NEW, MISSING</strong>: an endpoint that only this run has, or only the baseline.</li>\n\
    </ul>\n<p>The gate's README.md, \u{201c}Read a report\u{201d}, and docs/statistics.md explain more.</p>\n</details>\n";

/// Writes the report.
pub fn render(report: &Report) -> String {
    let comparison = report.comparison;
    let headline = report.headline();
    let mut body = String::new();
    head(&mut body, report);
    body.push_str("<main>\n");
    hero(&mut body, report, &headline);
    let anchors = Anchors::new(comparison);
    bars::section(&mut body, comparison, &anchors);
    body.push_str("<div class=\"answers\">\n");
    trust(&mut body, report);
    next(&mut body, &steps(report));
    body.push_str("</div>\n");
    findings(&mut body, report);
    failures(&mut body, &report.background.failures);
    charts(&mut body, report);
    total(&mut body, report);
    stored(&mut body, report);
    endpoints(&mut body, report, &anchors);
    compared(&mut body, report);
    body.push_str(TERMS);
    body.push_str("</main>\n");
    let title = format!("{}: {}", headline.word, cut(&headline.sentence(), 100));
    page(&title, Tone::of_verdict(comparison), &body)
}

/// Writes the report of a command that judged nothing.
pub fn render_unjudged(unjudged: &Unjudged) -> String {
    let (tone, found) = match unjudged {
        Unjudged::NoVerdict(_) => (Tone::Unsure, "could not compare"),
        Unjudged::NoBaseline(_) => (Tone::Unsure, "no baseline, and without one this gate would always pass"),
        Unjudged::BaselineSaved(_) => (Tone::Ok, "the next run is compared with it"),
    };
    let word = unjudged.word();
    let mut body = "<header class=\"head\"><p>cargo xtask perf</p></header>\n<main>\n".to_owned();
    let _ = writeln!(body, "<section class=\"hero {}\">", tone.class());
    let _ = writeln!(body, "<header><h1><strong>{word}</strong><span class=\"hidden\">: </span>{found}</h1>");
    if let Some(saved) = unjudged.saved() {
        saved_baseline(&mut body, saved);
    } else {
        let lines: Vec<String> = unjudged.sentence().lines().map(printable).collect();
        let _ = writeln!(
            body,
            "<p>Neither a pass nor a regression: exit code {}.</p></header>\n<pre tabindex=\"0\">{}</pre>\n</section>",
            unjudged.exit_code(),
            escaped(&lines.join("\n"))
        );
    }
    next(&mut body, &steps_unjudged(unjudged));
    body.push_str("</main>\n");
    page(&format!("{word}: cargo xtask perf"), tone, &body)
}

/// Writes what was saved, and how far the runs spread.
fn saved_baseline(body: &mut String, saved: &Saved) {
    let told = [
        Some(format!("{} at commit {}", count(saved.runs, "run"), saved.commit)),
        saved.load.clone(),
        Some(count(saved.endpoints, "endpoint")),
        Some(format!("file {}", saved.file)),
    ];
    let told: Vec<String> = told.into_iter().flatten().collect();
    let _ = writeln!(body, "<p>{}</p></header>\n<dl class=\"tiles\">", escaped(&printable(&told.join(" · "))));
    for value in &saved.values {
        let spread = value.spread().map_or_else(
            || "the same in all runs".to_owned(),
            |spread| format!("{spread} in {}", count(saved.runs, "run")),
        );
        let _ = writeln!(
            body,
            "<div class=\"plain\"><dt>{}</dt><dd class=\"big\">{}</dd><dd>{spread}</dd></div>",
            tile_name(value.metric),
            value.shown()
        );
    }
    body.push_str("</dl>\n</section>\n");
}

/// Returns the whole page around its body.
pub fn page(title: &str, tone: Tone, body: &str) -> String {
    let title = escaped(title);
    let icon = icon(tone);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '{STYLE_DIGEST}'; script-src '{SCRIPT_DIGEST}'; img-src data:; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <link rel=\"icon\" href=\"{icon}\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\
         <div id=\"tip\" role=\"status\" hidden></div>\n\
         <script>{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

/// Returns the picture of the browser's tab: a disc in the colour of the verdict, with its sign.
fn icon(tone: Tone) -> String {
    let (color, sign) = match tone {
        Tone::Fail => ("b3261e", "M5 5 11 11M11 5 5 11"),
        Tone::Warn => ("b97900", "M8 4V9M8 11V12"),
        Tone::Ok => ("0b6b4b", "M4 8 7 11 12 5"),
        Tone::Unsure | Tone::Plain => ("6a7078", "M6 6Q8 3 10 6 8 8 8 10M8 11V12"),
    };
    format!(
        "data:image/svg+xml,%3Csvg xmlns='http%3A%2F%2Fwww.w3.org%2F2000%2Fsvg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='8' fill='%23{color}'/%3E%3Cpath d='{sign}' stroke='white' stroke-width='2' fill='none'/%3E%3C/svg%3E"
    )
}

/// Writes what was compared, in one line.
fn head(body: &mut String, report: &Report) {
    let Sides { baseline, candidate } = report.provenance;
    let mut left = Vec::new();
    if let Some(name) = &report.background.name {
        left.push(format!("<strong>{}</strong>", shortened(&printable(name), NAME)));
    }
    let commit = |of: &Provenance| shortened(&printable(&shown_commit(&of.commit, of.dirty)), NAME);
    let between = match report.background.commits_between {
        Some(commits) if commits > 0 => format!(" (+{})", count(commits as usize, "commit")),
        _ => String::new(),
    };
    left.push(format!("{} → {}{between}", commit(baseline), commit(candidate)));
    if let Some(load) = &candidate.load {
        left.push(format!("{} × {} s", count(load.users as usize, "user"), load.run_time_s));
    }
    let mut right = Vec::new();
    if !candidate.timestamp.is_empty() {
        right.push(escaped(&printable(&cut(&shown_time(&candidate.timestamp), 40))));
    }
    right.push("cargo xtask perf".to_owned());
    let _ = writeln!(body, "<header class=\"head\"><p>{}</p><p>{}</p></header>", left.join(" · "), right.join(" · "));
}

/// Returns a time of RFC 3339 in UTC as people read it: `24 Nov 2026 06:15 UTC`. Another one is returned as it is.
fn shown_time(timestamp: &str) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let parts = || {
        let (date, time) = timestamp.strip_suffix('Z')?.split_once('T')?;
        let mut date = date.split('-');
        let (year, month, day) = (date.next()?, date.next()?.parse::<usize>().ok()?, date.next()?.parse::<u8>().ok()?);
        Some(format!("{day} {} {year} {} UTC", MONTHS.get(month.checked_sub(1)?)?, time.get(..5)?))
    };
    parts().unwrap_or_else(|| timestamp.to_owned())
}

/// Writes the answer: the headline, what it rests on, and the numbers of all requests together.
fn hero(body: &mut String, report: &Report, headline: &Headline) {
    let tone = Tone::of_verdict(report.comparison);
    let also = if headline.also.is_empty() {
        String::new()
    } else {
        let also = shortened(&headline.also.join("; "), SENTENCE);
        format!("<span class=\"hidden\">; </span><span class=\"also\">{also}</span>")
    };
    let evidence = evidence(report.comparison);
    let evidence = evidence.split(';').next().unwrap_or_default();
    // Where the first screen is small, the other answers are a touch away.
    let at_where = if report.comparison.endpoints.is_empty() { "" } else { "<a href=\"#where\">Where?</a>" };
    let jump = format!(
        "<nav class=\"jump\" aria-label=\"Answers\">{at_where}<a href=\"#trust\">Can I trust it?</a><a href=\"#next\">What next?</a></nav>"
    );
    let _ = writeln!(
        body,
        "<section class=\"hero {}\">\n<header><h1><strong>{}</strong><span class=\"hidden\">: </span>{}{also}</h1><p>{}.</p>{jump}</header>\n<dl class=\"tiles\">",
        tone.class(),
        headline.word,
        shortened(&headline.found, SENTENCE),
        escaped(&capitalized(evidence))
    );
    for metric in TILES {
        if let Some(row) = report.comparison.total.iter().find(|row| row.metric == metric) {
            tile(body, row);
        }
    }
    body.push_str("</dl>\n</section>\n");
}

/// The metrics of the tiles, in their order.
const TILES: [Metric; 6] =
    [Metric::P95, Metric::P95Corrected, Metric::P50, Metric::P99, Metric::ErrorRate, Metric::RequestsPerSec];

/// Writes one number: the change large, and what it is made of small.
fn tile(body: &mut String, row: &Row) {
    let unit = unit_of_value(row.metric);
    let shown = |number: Option<f64>| number.map_or_else(|| "–".to_owned(), |number| value(row.metric, number));
    let (before, now) = (shown(row.presence.baseline()), shown(row.presence.candidate()));
    let is_compared = matches!(row.presence, Presence::Both { .. });
    let big = if row.metric == Metric::ErrorRate || !is_compared { format!("{now}{unit}") } else { change(row) };
    let values = if !is_compared {
        "no baseline".to_owned()
    } else if before == now {
        format!("unchanged, {now}{unit}")
    } else {
        format!("{before} → {now}{unit}")
    };
    let limit = row.limit.map_or_else(
        || "no limit".to_owned(),
        |limit| {
            let level = if limit.level == Level::Warn { ", only warns" } else { "" };
            format!("limit {}{level}", limit_text(row.metric, limit))
        },
    );
    let interval = match row.evidence.interval {
        // Runs that are all equal have none to show.
        Some(interval) if row.limit.is_some() && interval.low < interval.high => {
            format!("<dd>95% interval {}</dd>", escaped(&interval_words(row.metric, interval)))
        }
        _ => String::new(),
    };
    let _ = writeln!(
        body,
        "<div class=\"{}\"><dt>{}</dt><dd class=\"big\">{}</dd><dd>{}</dd>{interval}<dd>{}</dd></div>",
        Tone::of(row).class(),
        tile_name(row.metric),
        escaped(&big),
        escaped(&values),
        escaped(&limit)
    );
}

/// Returns a sentence with a capital at its beginning, unless it begins with the name of a metric.
fn capitalized(text: &str) -> String {
    let first_word = text.split(' ').next().unwrap_or_default();
    if first_word.contains(|letter: char| letter.is_ascii_digit() || letter == '_') {
        return text.to_owned();
    }
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// Writes what the verdict rests on, with the p95 of every run.
fn trust(body: &mut String, report: &Report) {
    let comparison = report.comparison;
    let p95 = comparison.total_row(Metric::P95);
    let is_noise_known = p95.is_some_and(|row| row.evidence.detectable.is_some());
    let is_weakened =
        !report.warnings.is_empty() || usage::note(report.provenance.baseline, report.provenance.candidate).is_some();
    let answer = match (is_noise_known, comparison.is_conclusive()) {
        (false, _) => "Only in part.",
        (true, true) if !is_weakened => "Yes.",
        (true, true) => "With care.",
        (true, false) => "Not yet.",
    };
    let _ = writeln!(
        body,
        "<section>\n<h2 id=\"trust\">Can I trust it?</h2>\n<p><strong>{answer}</strong> {}.{}</p>",
        escaped(&capitalized(&evidence(comparison))),
        same_place(report)
    );
    let remarks = report.remarks();
    if !remarks.is_empty() {
        body.push_str("<ul class=\"remarks\">\n");
        for remark in remarks {
            let _ = writeln!(body, "<li>{}</li>", shortened(&capitalized(&printable(&remark)), SENTENCE));
        }
        body.push_str("</ul>\n");
    }
    if let Some(chart) = charts::strip(report) {
        figure(body, &chart);
    }
    body.push_str("</section>\n");
}

/// Says that nothing but the code differs, where that is known.
fn same_place(report: &Report) -> &'static str {
    let Sides { baseline, candidate } = report.provenance;
    let is_same = baseline.machine == candidate.machine
        && baseline.locust == candidate.locust
        && baseline.python == candidate.python
        && baseline.locustfile == candidate.locustfile;
    if report.comparison.paired {
        " Both sides were measured in turn on this machine."
    } else if is_same && baseline.machine.is_some() && baseline.locust.is_some() {
        " Same machine, Locust, Python and locustfile as the baseline."
    } else if baseline.machine.is_none() {
        " Where the baseline was measured is unknown."
    } else {
        ""
    }
}

/// Writes a chart with its texts.
pub fn figure(body: &mut String, chart: &charts::Chart) {
    let charts::Chart { title, caption, svg } = chart;
    let caption = escaped(caption);
    let _ = writeln!(body, "<figure>\n<figcaption><h3>{title}</h3>{caption}</figcaption>\n{svg}\n</figure>");
}

/// Writes the commands to copy.
fn next(body: &mut String, steps: &[Step]) {
    body.push_str("<section>\n<h2 id=\"next\">What next?</h2>\n<ul class=\"steps\">\n");
    for Step { what, command } in steps {
        let _ = writeln!(body, "<li>{}: <code>{}</code></li>", capitalized(what), escaped(&printable(command)));
    }
    body.push_str("</ul>\n</section>\n");
}

fn findings(body: &mut String, report: &Report) {
    let mut findings = report.findings(FINDINGS);
    let further = further::findings(report.comparison);
    if findings.shown.is_empty() && further.is_empty() {
        return;
    }
    findings.shown.extend(further);
    body.push_str("<section>\n<h2>Findings</h2>\n<ul class=\"findings\">\n");
    for Finding { status, text } in findings.shown {
        let tone = if status == Status::Fail { Tone::Fail } else { Tone::Warn };
        // What a drift consists of takes its room.
        let _ = writeln!(
            body,
            "<li class=\"{}\"><strong class=\"status\">{}</strong> {}</li>",
            tone.class(),
            status.word(),
            shortened(&text, LINE_COLUMNS)
        );
    }
    if findings.left_out > 0 {
        let _ = writeln!(body, "<li>and {} more, in the tables below</li>", findings.left_out);
    }
    body.push_str("</ul>\n</section>\n");
}

/// Writes what failed, over all runs.
fn failures(body: &mut String, failures: &[Failure]) {
    /// The number of failures shown: a service that fails in more ways has one cause.
    const MOST: usize = 20;
    if failures.is_empty() {
        return;
    }
    body.push_str("<section>\n<h2 id=\"failures\">Failures</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"failures\">\n<table aria-labelledby=\"failures\">\n<thead><tr><th scope=\"col\">endpoint</th><th scope=\"col\">error</th><th scope=\"col\" class=\"number\">times</th><th scope=\"col\" class=\"number\">of requests</th></tr></thead>\n<tbody>\n");
    for Failure { endpoint, error, times, requests } in failures.iter().take(MOST) {
        let requests = requests.map_or_else(|| "–".to_owned(), |requests| requests.to_string());
        let _ = writeln!(
            body,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"number\">{times}</td><td class=\"number\">{requests}</td></tr>",
            shortened(&endpoint_shown(endpoint), NAME),
            shortened(&printable(error), SENTENCE)
        );
    }
    body.push_str("</tbody>\n</table>\n</div>\n");
    if failures.len() > MOST {
        let _ = writeln!(body, "<p class=\"note\">and {} more</p>", failures.len() - MOST);
    }
    body.push_str("</section>\n");
}

fn charts(body: &mut String, report: &Report) {
    body.push_str("<section>\n<h2>Charts</h2>\n<div class=\"charts\">\n");
    for chart in charts::all(report) {
        match chart {
            Ok(chart) => figure(body, &chart),
            Err(error) => {
                let _ = writeln!(body, "<p class=\"note\">{}</p>", escaped(&printable(&error.to_string())));
            }
        }
    }
    body.push_str("</div>\n</section>\n");
}

/// Writes the table of all requests together.
fn total(body: &mut String, report: &Report) {
    body.push_str("<details>\n<summary><h2 id=\"total\">All requests together, every metric</h2></summary>\n");
    if report.comparison.total.iter().any(|row| row.evidence.interval.is_some()) {
        let confidence_pct = 100.0 * (1.0 - ERROR);
        let _ = writeln!(
            body,
            "<p class=\"note\">Interval: {confidence_pct:.0}% confidence interval of the change, from run-to-run spread; of an error rate, from the counts of failures.</p>"
        );
    }
    table(body, "total", [report.total_cells().iter().map(row).collect::<String>()].into_iter());
    body.push_str("</details>\n");
}

/// Writes the comparison with the stored numbers, where the page is about the rounds that were to confirm it.
fn stored(body: &mut String, report: &Report) {
    let Some(headline) = report.stored_headline() else { return };
    let headline = shortened(&headline.to_string(), SENTENCE);
    let _ =
        writeln!(body, "<details>\n<summary><h2 id=\"stored\">By the stored numbers</h2></summary>\n<p>{headline}</p>");
    table(body, "stored", [report.stored_cells().iter().map(row).collect::<String>()].into_iter());
    body.push_str("</details>\n");
}

/// Writes which commits were compared, where, and under which load.
fn compared(body: &mut String, report: &Report) {
    body.push_str("<details>\n<summary><h2 id=\"compared\">What was compared</h2></summary>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"compared\">\n<table class=\"facts\" aria-labelledby=\"compared\">\n");
    body.push_str(
        "<thead><tr><th scope=\"col\">side</th><th scope=\"col\">baseline</th><th scope=\"col\">candidate</th></tr></thead>\n<tbody>\n",
    );
    let runs = report.comparison.runs;
    let baseline = facts(report.provenance.baseline, runs.baseline);
    let candidate = facts(report.provenance.candidate, runs.candidate);
    let told: Vec<String> =
        candidate.iter().filter(|fact| fact.name != "runs").filter_map(|fact| fact.value.clone()).collect();
    for (baseline, candidate) in baseline.into_iter().zip(candidate) {
        if baseline.value.is_none() && candidate.value.is_none() {
            continue;
        }
        let cell = |value: Option<String>| {
            value.map_or_else(|| "not known".to_owned(), |value| shortened(&printable(&value), SENTENCE))
        };
        let (name, before, now) = (baseline.name, cell(baseline.value), cell(candidate.value));
        let _ = writeln!(body, "<tr><th scope=\"row\">{name}</th><td>{before}</td><td>{now}</td></tr>");
    }
    body.push_str("</tbody>\n</table>\n</div>\n<ul class=\"details\">\n");
    let evidence = format!("evidence: {}", evidence(report.comparison));
    // Some of the details stand in the table.
    let is_told = |line: &str| told.iter().any(|fact| !fact.is_empty() && line.contains(fact.as_str()));
    let details = report.details.iter().filter(|line| !is_told(line));
    for line in [&evidence, &report.baseline].into_iter().chain(details).filter(|line| !line.is_empty()) {
        let _ = writeln!(body, "<li>{}</li>", shortened(&printable(line), SENTENCE));
    }
    body.push_str("</ul>\n</details>\n");
}

/// Something about a side.
struct Fact {
    name: &'static str,
    /// `None` where it is not known.
    value: Option<String>,
}

fn facts(of: &Provenance, runs: usize) -> Vec<Fact> {
    let fact = |name, value| Fact { name, value };
    let timestamp = if of.timestamp.is_empty() { None } else { Some(of.timestamp.clone()) };
    let precision = match of.precision {
        Precision::Coarse => "2 significant digits (Locust's default)",
        Precision::Fine => "3 significant digits",
    };
    let mut facts = vec![
        fact("commit", Some(shown_commit(&of.commit, of.dirty))),
        fact("measured", timestamp),
        fact("runs", Some(runs.to_string())),
        fact("load", of.load.as_ref().map(ToString::to_string)),
        fact("machine", of.machine.as_ref().map(ToString::to_string)),
        fact("Locust", of.locust.clone()),
        fact("Python", of.python.clone()),
        fact("locust-gate", of.gate.clone()),
        fact("precision", Some(precision.to_owned())),
    ];
    facts.extend(usage::used(of).map(|used| fact(used.name, used.amount)));
    facts
}

/// Writes a group of rows for each endpoint, the one with the worst series first.
fn endpoints(body: &mut String, report: &Report, anchors: &Anchors) {
    let mut groups: Vec<(&Row, Vec<&Row>)> = Vec::new();
    for rows in shown_groups(report.comparison) {
        let mut rows: Vec<&Row> = rows.iter().collect();
        let Some(worst) = rows.iter().copied().min_by(|a, b| by_severity(a, b)) else { continue };
        // Otherwise in the order of the metrics, the same in each group.
        rows.sort_by_key(|row| rank(row));
        groups.push((worst, rows));
    }
    if groups.is_empty() {
        return;
    }
    groups.sort_by(|(a, _), (b, _)| by_severity(a, b));
    let _ = writeln!(
        body,
        "<details>\n<summary><h2 id=\"endpoints\">{}, every metric, worst first</h2></summary>\n\
         <p id=\"find\" hidden><label>Find <input type=\"search\" autocomplete=\"off\" spellcheck=\"false\"></label> <output></output></p>",
        count(groups.len(), "endpoint"),
    );
    table(body, "endpoints", groups.iter().map(|(_, rows)| group(rows, anchors)));
    body.push_str("</details>\n");
}

/// Writes the rows of an endpoint, with its name once above them, which is a link to itself.
fn group(rows: &[&Row], anchors: &Anchors) -> String {
    let endpoint = rows.first().and_then(|row| row.endpoint).unwrap_or_default();
    let anchor = anchors.of(endpoint).unwrap_or_default();
    let columns = HEADER.len();
    let mut text = format!(
        "<tr class=\"group\" id=\"{anchor}\"><th colspan=\"{columns}\" scope=\"rowgroup\"><a href=\"#{anchor}\">{}</a></th></tr>\n",
        shortened(&endpoint_shown(endpoint), NAME)
    );
    for of in rows {
        let mut cells = cells(of);
        // The name stands above.
        let metric = cells.texts[0].split_off(cells.endpoint.len());
        metric.trim_start().clone_into(&mut cells.texts[0]);
        text.push_str(&row(&cells));
    }
    text
}

fn table(body: &mut String, label: &str, groups: impl Iterator<Item = String>) {
    let _ = writeln!(
        body,
        "<div class=\"scroll long\" tabindex=\"0\" role=\"region\" aria-labelledby=\"{label}\">\n<table class=\"series\" aria-labelledby=\"{label}\">\n<thead>\n<tr>"
    );
    for name in HEADER {
        let _ = writeln!(body, "<th scope=\"col\">{name}</th>");
    }
    body.push_str("</tr>\n</thead>\n");
    for group in groups {
        let _ = writeln!(body, "<tbody>\n{group}</tbody>");
    }
    body.push_str("</table>\n</div>\n");
}

fn row(cells: &Cells) -> String {
    let [name, values @ .., status] = &cells.texts;
    let mut text = format!("<tr class=\"{}\"><th scope=\"row\">{}</th>", cells.tone.class(), shortened(name, NAME));
    for value in values {
        let _ = write!(text, "<td>{}</td>", escaped(value));
    }
    let _ = writeln!(text, "<td class=\"status\">{}</td></tr>", escaped(status));
    text
}

/// Returns text escaped. Longer text is cut, and its tooltip shows more of it.
fn shortened(text: &str, most: usize) -> String {
    let short = cut(text, most);
    if short == text {
        return escaped(text);
    }
    format!("<span title=\"{}\">{}</span>", escaped(&cut(text, WHOLE_NAME.max(2 * most))), escaped(&short))
}
