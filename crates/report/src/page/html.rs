//! The report as one self-contained HTML page: complete without its script, readable without its style.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use judge::model::text::{cut, endpoint_shown, escaped, printable};
use judge::stats::SIGNIFICANCE;

use crate::page::anchors::anchors;
use crate::page::bars;
use crate::page::charts::{self, Chart};
use crate::view::drift::{DriftView, UPDATES};
use crate::view::input::FailedRequests;
use crate::view::next::NextStep;
use crate::view::series::{EndpointView, HEADER, METRIC, SeriesView, Tile};
use crate::view::unjudged::{Saved, Unjudged};
use crate::view::words::{Status, Tone, capitalized, count, tile_name};
use crate::view::{FINDINGS, Finding, LINE_COLUMNS, View};

/// The number of letters of a name that a cell shows.
const NAME: usize = 72;
const SENTENCE: usize = 400;
/// The number of letters of a cut name that its tooltip shows.
const WHOLE_NAME: usize = 400;

const STYLE: &str = include_str!("page.css");
/// Shows the search box, and the endpoints that match it.
const SCRIPT: &str = include_str!("page.js");
/// The digests of the style and of the script. The browser uses nothing but these two, to the byte. The test
/// `the_page_fetches_nothing_and_stays_small` prints them after a change.
const STYLE_DIGEST: &str = "sha256-uZ3/b8SDoiK5EXQ7po14/9EajBddkJ0vSIranodC4YU=";
const SCRIPT_DIGEST: &str = "sha256-4ZqGwwBWewFgj+vsQpZKo+Nqt5GEZciSttoRdtc9lbE=";

/// The meaning of a report's words, for a first reader.
const TERMS: &str = "<details>\n<summary><h2>Understanding this report</h2></summary>\n<ul>\n\
    <li><strong>Baseline, candidate</strong>: what was measured before, and what was measured now. The candidate is judged.</li>\n\
    <li><strong>p50, p95, p99</strong>: the response time that 50%, 95% or 99% of the requests do not exceed.</li>\n\
    <li><strong>p95 corrected</strong>: the p95 that users arriving on schedule would have seen. A user who waits asks for less, which hides a stall; this counts it.</li>\n\
    <li><strong>FAIL, WARN</strong>: a limit is exceeded. A FAIL blocks, a WARN does not.</li>\n\
    <li><strong>95% interval</strong>: the range the true change is likely in, estimated from run-to-run variation.</li>\n\
    <li><strong>Conclusive</strong>: more runs would hardly change the verdict, and a PASS would have detected a change as large as the limit.</li>\n\
    <li><strong>NEW, MISSING</strong>: an endpoint that only this run has, or only the baseline.</li>\n\
    </ul>\n<p>The gate's docs/report.md and docs/statistics.md explain more.</p>\n</details>\n";

pub(crate) fn render(view: &View) -> String {
    let mut body = String::new();
    head(&mut body, view);
    body.push_str("<main>\n");
    hero(&mut body, view);
    let anchors = anchors(&view.endpoints);
    let leads = view.drift.as_ref().filter(|drift| drift.is_the_failure);
    if let Some(leading) = leads {
        drift(&mut body, leading);
    }
    bars::section(&mut body, view, &anchors);
    if let (None, Some(following)) = (leads, &view.drift) {
        drift(&mut body, following);
    }
    changes(&mut body, view);
    body.push_str("<div class=\"answers\">\n");
    trust(&mut body, view);
    next(&mut body, &view.next);
    body.push_str("</div>\n");
    acceptance(&mut body, view);
    findings(&mut body, view);
    failures(&mut body, &view.report.background.failures);
    charts(&mut body, view);
    total(&mut body, view);
    stored(&mut body, view);
    endpoints(&mut body, view, &anchors);
    compared(&mut body, view);
    body.push_str(TERMS);
    body.push_str("</main>\n");
    let title = format!("{}: {}", view.headline.words(), cut(&view.headline.sentence(), 100));
    page(&title, view.tone, &body)
}

pub(crate) fn render_unjudged(unjudged: &Unjudged) -> String {
    let (tone, word, found) = (unjudged.tone(), unjudged.word(), unjudged.found());
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
    next(&mut body, &unjudged.next());
    body.push_str("</main>\n");
    page(&format!("{word}: cargo xtask perf"), tone, &body)
}

fn saved_baseline(body: &mut String, saved: &Saved) {
    let mut parts = vec![
        format!("{} at commit {}", count(saved.runs, "run"), saved.commit),
        saved.load.clone(),
        count(saved.endpoints, "endpoint"),
        format!("file {}", saved.file),
    ];
    parts.retain(|part| !part.is_empty());
    let _ = writeln!(body, "<p>{}</p></header>\n<dl class=\"tiles\">", escaped(&printable(&parts.join(" · "))));
    for value in &saved.values {
        let spread = match value.spread() {
            spread if spread.is_empty() => "the same in all runs".to_owned(),
            spread => format!("{spread} in {}", count(saved.runs, "run")),
        };
        let _ = writeln!(
            body,
            "<div class=\"plain\"><dt>{}</dt><dd class=\"big\">{}</dd><dd>{spread}</dd></div>",
            tile_name(value.metric),
            value.shown()
        );
    }
    body.push_str("</dl>\n</section>\n");
}

pub(crate) fn page(title: &str, tone: Tone, body: &str) -> String {
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

/// The picture of the browser's tab: a disc in the colour of the verdict, with its sign.
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

fn head(body: &mut String, view: &View) {
    let candidate = view.report.provenance.candidate;
    let mut left = Vec::new();
    if !view.report.background.name.is_empty() {
        left.push(format!("<strong>{}</strong>", shortened(&printable(&view.report.background.name), NAME)));
    }
    let commit = |commit: &str| shortened(&printable(commit), NAME);
    let between = match view.report.background.commits_between {
        Some(commits) if commits > 0 => format!(" (+{})", count(commits as usize, "commit")),
        _ => String::new(),
    };
    left.push(format!("{} → {}{between}", commit(&view.sides.baseline), commit(&view.sides.candidate)));
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

/// A time of RFC 3339 in UTC as people read it: `24 Nov 2026 06:15 UTC`. Any other text stays as it is.
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

fn hero(body: &mut String, view: &View) {
    let headline = &view.headline;
    let also = if headline.also.is_empty() {
        String::new()
    } else {
        let also = shortened(&headline.also.join("; "), SENTENCE);
        format!("<span class=\"hidden\">; </span><span class=\"also\">{also}</span>")
    };
    let qualifier = match headline.qualifier.as_str() {
        "" => String::new(),
        qualifier => format!(" <span class=\"qualifier\">{}:</span> ", shortened(qualifier, SENTENCE)),
    };
    let colon = if qualifier.is_empty() { "<span class=\"hidden\">: </span>" } else { "" };
    let next = view
        .next
        .first()
        .map_or_else(String::new, |step| format!("<p><a href=\"#next\">What next?</a> {}</p>", step_text(step)));
    let _ = writeln!(
        body,
        "<section class=\"hero {}\">\n<header><h1><strong>{}</strong>{qualifier}{colon}{}{also}</h1>\n\
         <div class=\"short\"><p><a href=\"#trust\">Can I trust it?</a> <strong>{}</strong> {}.</p>{next}</div></header>\n<dl class=\"tiles\">",
        view.tone.class(),
        headline.word,
        shortened(&headline.found, SENTENCE),
        view.trust,
        escaped(&capitalized(&view.evidence_brief))
    );
    for Tile { name, tone, big, values, interval, limit } in &view.tiles {
        let [name, big, values, interval, limit] = [name, big, values, interval, limit].map(|text| escaped(text));
        let interval = if interval.is_empty() { interval } else { format!("<dd>{interval}</dd>") };
        let _ = writeln!(
            body,
            "<div class=\"{}\"><dt>{name}</dt><dd class=\"big\">{big}</dd><dd>{values}</dd>{interval}<dd>{limit}</dd></div>",
            tone.class()
        );
    }
    body.push_str("</dl>\n</section>\n");
}

fn trust(body: &mut String, view: &View) {
    let (answer, evidence) = (view.trust, escaped(&capitalized(&view.evidence)));
    let same_place = if view.same_place.is_empty() { String::new() } else { format!(" {}", view.same_place) };
    let _ = writeln!(
        body,
        "<section>\n<h2 id=\"trust\">Can I trust it?</h2>\n<p><strong>{answer}</strong> {evidence}.{same_place}</p>"
    );
    if !view.notes.is_empty() {
        body.push_str("<ul class=\"remarks\">\n");
        for note in &view.notes {
            let _ = writeln!(body, "<li>{}</li>", shortened(&capitalized(&printable(note)), SENTENCE));
        }
        body.push_str("</ul>\n");
    }
    if let Some(chart) = charts::strip(&view.charts) {
        figure(body, &chart);
    }
    body.push_str("</section>\n");
}

pub(crate) fn figure(body: &mut String, chart: &Chart) {
    let Chart { title, caption, svg } = chart;
    let caption = escaped(caption);
    let _ = writeln!(body, "<figure>\n<figcaption><h3>{title}</h3>{caption}</figcaption>\n{svg}\n</figure>");
}

fn changes(body: &mut String, view: &View) {
    if view.changes.is_none() {
        return;
    }
    body.push_str("<section>\n<h2 id=\"changed\">What changed</h2>\n<ul class=\"remarks\">\n");
    for line in view.change_lines() {
        let _ = writeln!(body, "<li>{}</li>", shortened(&capitalized(line), SENTENCE));
    }
    body.push_str("</ul>\n</section>\n");
}

fn next(body: &mut String, steps: &[NextStep]) {
    body.push_str("<section>\n<h2 id=\"next\">What next?</h2>\n<ul class=\"steps\">\n");
    for step in steps {
        let _ = writeln!(body, "<li>{}</li>", step_text(step));
    }
    body.push_str("</ul>\n</section>\n");
}

fn step_text(NextStep { what, command }: &NextStep) -> String {
    let what = capitalized(what);
    match command.as_str() {
        "" => what,
        command => format!("{what}: <code>{}</code>", escaped(&printable(command))),
    }
}

fn acceptance(body: &mut String, view: &View) {
    if view.acceptance.is_empty() {
        return;
    }
    let (heading, entries) = (capitalized(&view.acceptance_heading()), escaped(&view.acceptance));
    let _ = writeln!(
        body,
        "<section>\n<p>{}:</p>\n<pre tabindex=\"0\">{entries}</pre>\n</section>",
        escaped(&printable(&heading))
    );
}

fn drift(body: &mut String, drift: &DriftView) {
    let title = format!("Since {}, worst first", shortened(&drift.name, NAME));
    let heading = format!("<h2 id=\"drift\">{title}</h2>");
    let (open, close) = match &drift.finding {
        Some(_) => (format!("<section>\n{heading}"), "</section>"),
        None => (format!("<details>\n<summary>{heading}</summary>"), "</details>"),
    };
    let _ = writeln!(body, "{open}");
    // A failure by the drift alone is the page's headline.
    if let Some(finding) = drift.finding.as_ref().filter(|_| !drift.is_the_failure) {
        let _ = writeln!(body, "<ul class=\"findings\">\n{}</ul>", self::finding(finding));
    }
    table(body, "drift", [series_rows(&drift.series)].into_iter());
    if !drift.updates.is_empty() {
        body.push_str("<ul class=\"details\">\n");
        for update in drift.updates.iter().take(UPDATES) {
            let _ = writeln!(body, "<li>accepted: {}</li>", shortened(&update.sentence(), SENTENCE));
        }
        body.push_str("</ul>\n");
    }
    let _ = writeln!(body, "{close}");
}

fn findings(body: &mut String, view: &View) {
    let exceeded = view.findings.iter().filter(|finding| finding.row.is_some_and(|row| row.accepted.is_some()));
    let items: String = exceeded
        .take(FINDINGS)
        .chain(&view.traffic)
        .chain(&view.exception_findings)
        .chain(&view.new_endpoints)
        .map(finding)
        .collect();
    if !items.is_empty() {
        let _ = write!(body, "<section>\n<h2>Findings</h2>\n<ul class=\"findings\">\n{items}</ul>\n</section>\n");
    }
}

fn finding(finding: &Finding) -> String {
    let tone = match finding.status {
        Status::Fail => Tone::Fail,
        Status::New => Tone::Plain,
        _ => Tone::Warn,
    };
    let (class, word) = (tone.class(), finding.status.word());
    let text = shortened(&finding.sentence(), LINE_COLUMNS);
    format!("<li class=\"{class}\"><strong class=\"status\">{word}</strong> {text}</li>\n")
}

fn failures(body: &mut String, failures: &[FailedRequests]) {
    /// The number of failures shown: a service that fails in more ways has one cause.
    const MOST: usize = 20;
    if failures.is_empty() {
        return;
    }
    body.push_str("<section>\n<h2 id=\"failures\">Failures</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"failures\">\n<table aria-labelledby=\"failures\">\n<thead><tr><th scope=\"col\">endpoint</th><th scope=\"col\">error</th><th scope=\"col\" class=\"number\">times</th><th scope=\"col\" class=\"number\">of requests</th></tr></thead>\n<tbody>\n");
    for FailedRequests { endpoint, error, times, requests } in failures.iter().take(MOST) {
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

fn charts(body: &mut String, view: &View) {
    body.push_str("<section>\n<h2>Charts</h2>\n<div class=\"charts\">\n");
    figure(body, &charts::distribution(&view.charts));
    match charts::over_time(&view.charts) {
        Ok(chart) => figure(body, &chart),
        Err(why) => {
            let why = escaped(&printable(&why));
            let _ = writeln!(body, "<p class=\"note\">no chart of runs over time: {why}</p>");
        }
    }
    body.push_str("</div>\n</section>\n");
}

fn total(body: &mut String, view: &View) {
    body.push_str("<details>\n<summary><h2 id=\"total\">All requests together, every metric</h2></summary>\n");
    if view.total.iter().any(|series| series.row.evidence.interval.is_some()) {
        let confidence_pct = 100.0 * (1.0 - SIGNIFICANCE);
        let _ = writeln!(
            body,
            "<p class=\"note\">Interval: {confidence_pct:.0}% confidence interval of the change, from run-to-run spread; of an error rate, from the counts of failures.</p>"
        );
    }
    table(body, "total", [series_rows(&view.total)].into_iter());
    body.push_str("</details>\n");
}

fn stored(body: &mut String, view: &View) {
    let Some(stored) = &view.stored else { return };
    let headline = shortened(&stored.headline.to_string(), SENTENCE);
    let _ =
        writeln!(body, "<details>\n<summary><h2 id=\"stored\">By the stored numbers</h2></summary>\n<p>{headline}</p>");
    table(body, "stored", [series_rows(&stored.judged)].into_iter());
    body.push_str("</details>\n");
}

fn compared(body: &mut String, view: &View) {
    body.push_str("<details>\n<summary><h2 id=\"compared\">What was compared</h2></summary>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"compared\">\n<table class=\"facts\" aria-labelledby=\"compared\">\n");
    body.push_str(
        "<thead><tr><th scope=\"col\">side</th><th scope=\"col\">baseline</th><th scope=\"col\">candidate</th></tr></thead>\n<tbody>\n",
    );
    for fact in &view.facts {
        let cell = |value: &str| {
            if value.is_empty() { "not known".to_owned() } else { shortened(&printable(value), SENTENCE) }
        };
        let (name, before, now) = (fact.name, cell(&fact.sides.baseline), cell(&fact.sides.candidate));
        let _ = writeln!(body, "<tr><th scope=\"row\">{name}</th><td>{before}</td><td>{now}</td></tr>");
    }
    body.push_str("</tbody>\n</table>\n</div>\n<ul class=\"details\">\n");
    let evidence = format!("evidence: {}", view.evidence);
    let lines = [&evidence, &view.report.baseline_origin].into_iter().chain(&view.report.other_details);
    for line in lines.filter(|line| !line.is_empty()) {
        let _ = writeln!(body, "<li>{}</li>", shortened(&printable(line), SENTENCE));
    }
    body.push_str("</ul>\n</details>\n");
}

fn endpoints(body: &mut String, view: &View, anchors: &BTreeMap<&str, String>) {
    let shown = view.worst_endpoints().count();
    if shown == 0 {
        return;
    }
    let _ = writeln!(
        body,
        "<details>\n<summary><h2 id=\"endpoints\">{}, every metric, worst first</h2></summary>\n\
         <p id=\"find\" hidden><label>Find <input type=\"search\" autocomplete=\"off\" spellcheck=\"false\"></label> <output></output></p>",
        count(shown, "endpoint"),
    );
    table(body, "endpoints", view.worst_endpoints().map(|endpoint| group(endpoint, anchors)));
    body.push_str("</details>\n");
}

/// Writes the rows of an endpoint, with its name once above them, which is a link to itself.
fn group(endpoint: &EndpointView, anchors: &BTreeMap<&str, String>) -> String {
    let anchor = &anchors[endpoint.name];
    let columns = HEADER.len();
    let mut text = format!(
        "<tr class=\"group\" id=\"{anchor}\"><th colspan=\"{columns}\" scope=\"rowgroup\"><a href=\"#{anchor}\">{}</a></th></tr>\n",
        shortened(&endpoint_shown(endpoint.name), NAME)
    );
    let mut series: Vec<&SeriesView> = endpoint.series.iter().collect();
    // Those of one status stay in the order of the metrics, which is the same in each group.
    series.sort_by_key(|series| series.rank());
    for series in series {
        text.push_str(&row(series.metric_cell(), series));
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

fn series_rows(series: &[SeriesView]) -> String {
    series.iter().map(|series| row(&series.cells[METRIC], series)).collect()
}

fn row(name: &str, series: &SeriesView) -> String {
    let [_, values @ .., status] = &series.cells;
    let mut text = format!("<tr class=\"{}\"><th scope=\"row\">{}</th>", series.tone.class(), shortened(name, NAME));
    for value in values {
        let _ = write!(text, "<td>{}</td>", escaped(value));
    }
    let _ = writeln!(text, "<td class=\"status\">{}</td></tr>", escaped(status));
    text
}

/// Escapes text. Longer text is cut, and its tooltip shows more of it.
fn shortened(text: &str, most: usize) -> String {
    let short = cut(text, most);
    if short == text {
        return escaped(text);
    }
    format!("<span title=\"{}\">{}</span>", escaped(&cut(text, WHOLE_NAME.max(2 * most))), escaped(&short))
}
