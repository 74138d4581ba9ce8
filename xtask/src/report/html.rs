//! One self-contained HTML page: whole without its script, readable without its style.

use std::fmt::Write as _;

use super::{
    Cells, FINDINGS, HEADER, Report, by_severity, cells, cut, escaped, evidence, pictures, printable, rank,
    shown_commit, verdict_word, word,
};
use crate::compare::{ERROR, Row, Status, Verdict};
use crate::run::{Precision, Provenance};

/// Letters of a name that a cell shows, and of a sentence.
const NAME: usize = 72;
const SENTENCE: usize = 400;
/// Letters of a cut name that a pointer resting on it is told.
const WHOLE_NAME: usize = 400;

const STYLE: &str = include_str!("page.css");
/// Shows the search box, and the endpoints that hold what is written there.
const SCRIPT: &str = include_str!("page.js");
/// What the browser may run and dress the page with: nothing but these two, to the byte (`tests/it/html.rs` says the
/// digests after a change).
const STYLE_DIGEST: &str = "sha256-979OwvxJE9v0Tu46fRrinOSzU6YBlfaW6wURjT/zvRE=";
const SCRIPT_DIGEST: &str = "sha256-WNXtpbwdTo8suQVisBOTpiW1suOP8qmSwlHXxtJ462c=";

pub fn render(report: &Report) -> String {
    let verdict = verdict_word(report.comparison.verdict);
    let class = if report.comparison.verdict == Verdict::Fail { "fail" } else { "ok" };
    let mut body = String::new();
    headline(&mut body, class, verdict, &report.sentence());
    findings(&mut body, report);
    compared(&mut body, report);
    body.push_str("<h2 id=\"total\">All requests together</h2>\n");
    if report.comparison.total.iter().any(|row| row.interval.is_some()) {
        let confidence_pct = 100.0 * (1.0 - ERROR);
        let _ = writeln!(
            body,
            "<p class=\"note\">interval: where the change lies by the spread of the runs, with {confidence_pct:.0} % confidence, over all looks at them together.</p>"
        );
    }
    table(&mut body, "total", [report.total_cells().iter().map(row).collect::<String>()].into_iter());
    body.push_str("<h2>Pictures</h2>\n<div class=\"pictures\">\n");
    for picture in pictures::all(report) {
        let _ = match picture {
            Ok(pictures::Picture { title, caption, svg }) => {
                let caption = escaped(&caption);
                writeln!(body, "<figure>\n<figcaption><h3>{title}</h3>{caption}</figcaption>\n{svg}\n</figure>")
            }
            Err(error) => writeln!(body, "<p class=\"note\">{}</p>", escaped(&printable(&error.to_string()))),
        };
    }
    body.push_str("</div>\n");
    endpoints(&mut body, report);
    page(&format!("{verdict}: {}", cut(&report.sentence(), 100)), &body)
}

/// Where nothing was judged, for this reason.
pub fn render_failure(reason: &str) -> String {
    let mut body = String::new();
    let lines: Vec<String> = reason.lines().map(printable).collect();
    headline(&mut body, "fail", "NOT JUDGED", "nothing was judged");
    let _ = writeln!(body, "<pre>{}</pre>", escaped(&lines.join("\n")));
    page("NOT JUDGED: cargo xtask perf", &body)
}

fn page(title: &str, body: &str) -> String {
    let title = escaped(title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '{STYLE_DIGEST}'; script-src '{SCRIPT_DIGEST}'; img-src data:; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <link rel=\"icon\" href=\"data:,\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n\
         <script>{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

fn headline(body: &mut String, class: &str, verdict: &str, sentence: &str) {
    let _ = writeln!(
        body,
        "<h1 class=\"{class}\"><strong>{verdict}</strong><span class=\"hidden\">: </span>{}</h1>",
        shortened(sentence, SENTENCE)
    );
}

fn findings(body: &mut String, report: &Report) {
    let (findings, more) = report.findings(FINDINGS);
    let remarks = report.remarks();
    if findings.is_empty() && remarks.is_empty() {
        return;
    }
    body.push_str("<h2>Findings</h2>\n<ul class=\"findings\">\n");
    for (status, finding) in findings {
        let (class, word) = (class(status), word(status));
        // A line must not end within the arrow.
        let finding = match finding.rsplit_once(" -> ") {
            Some((before, after)) => {
                format!(
                    "{} <span class=\"to\">-&gt;</span> {}",
                    shortened(before, SENTENCE),
                    shortened(after, SENTENCE)
                )
            }
            None => shortened(&finding, SENTENCE),
        };
        let _ = writeln!(body, "<li class=\"{class}\"><strong>{word}</strong> {finding}</li>");
    }
    if more > 0 {
        let _ = writeln!(body, "<li>and {more} more, in the tables below</li>");
    }
    for remark in remarks {
        let _ = writeln!(
            body,
            "<li class=\"note\"><strong>note</strong> {}</li>",
            shortened(&printable(&remark), SENTENCE)
        );
    }
    body.push_str("</ul>\n");
}

/// Which commits, where, and under which load.
fn compared(body: &mut String, report: &Report) {
    body.push_str("<h2 id=\"compared\">What was compared</h2>\n<div class=\"scroll\">\n<table class=\"facts\" aria-labelledby=\"compared\">\n");
    body.push_str(
        "<thead><tr><td></td><th scope=\"col\">baseline</th><th scope=\"col\">candidate</th></tr></thead>\n<tbody>\n",
    );
    let runs = report.comparison.runs;
    let [baseline, candidate] = [0, 1].map(|side| facts(report.provenance[side], runs[side]));
    let told: Vec<String> =
        candidate.iter().filter(|(name, _)| *name != "runs").map(|(_, fact)| fact.clone()).collect();
    for ((name, baseline), (_, candidate)) in baseline.into_iter().zip(candidate) {
        if baseline.is_empty() && candidate.is_empty() {
            continue;
        }
        let [baseline, candidate] = [baseline, candidate]
            .map(|fact| if fact.is_empty() { "not known".to_owned() } else { shortened(&printable(&fact), SENTENCE) });
        let _ = writeln!(body, "<tr><th scope=\"row\">{name}</th><td>{baseline}</td><td>{candidate}</td></tr>");
    }
    body.push_str("</tbody>\n</table>\n</div>\n<ul class=\"details\">\n");
    let evidence = format!("evidence: {}", evidence(report.comparison));
    // Some of the details stand in the table.
    let is_told = |line: &str| told.iter().any(|fact| !fact.is_empty() && line.contains(fact.as_str()));
    let details = report.details.iter().filter(|line| !is_told(line));
    for line in [&evidence, &report.baseline].into_iter().chain(details).filter(|line| !line.is_empty()) {
        let _ = writeln!(body, "<li>{}</li>", shortened(&printable(line), SENTENCE));
    }
    body.push_str("</ul>\n");
}

fn facts(of: &Provenance, runs: usize) -> [(&'static str, String); 8] {
    let load = of.load.as_ref();
    let shown = |fact: Option<String>| fact.unwrap_or_default();
    let precision = match of.precision {
        Precision::Coarse => "Locust's, to two digits",
        Precision::Fine => "to three digits",
    };
    [
        ("commit", shown_commit(&of.commit, of.dirty)),
        ("measured", of.timestamp.clone()),
        ("runs", runs.to_string()),
        ("load", shown(load.map(ToString::to_string))),
        ("machine", shown(of.machine.as_ref().map(ToString::to_string))),
        ("Locust", shown(of.locust.clone())),
        ("Python", shown(of.python.clone())),
        ("rounding", precision.to_owned()),
    ]
}

/// An endpoint a group, the one with the worst series first.
fn endpoints(body: &mut String, report: &Report) {
    let mut groups: Vec<Vec<&Row>> = Vec::new();
    for row in &report.comparison.endpoints {
        match groups.last_mut().filter(|group| group[0].endpoint == row.endpoint) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    if groups.is_empty() {
        return;
    }
    let mut groups: Vec<(&Row, Vec<&Row>)> = groups
        .into_iter()
        .filter_map(|mut group| {
            let worst = group.iter().copied().min_by(|a, b| by_severity(a, b))?;
            // Otherwise in the order of the metrics, the same in each group.
            group.sort_by_key(|row| rank(row));
            Some((worst, group))
        })
        .collect();
    groups.sort_by(|(a, _), (b, _)| by_severity(a, b));
    let _ = writeln!(
        body,
        "<h2 id=\"endpoints\">{}, worst first</h2>\n\
         <p id=\"find\" hidden><label>Find <input type=\"search\" autocomplete=\"off\" spellcheck=\"false\"></label> <output></output></p>",
        super::count(groups.len(), "endpoint"),
    );
    table(body, "endpoints", groups.iter().map(|(_, group)| group.iter().map(|of| row(&cells(of))).collect()));
}

fn table(body: &mut String, label: &str, groups: impl Iterator<Item = String>) {
    let _ =
        writeln!(body, "<div class=\"scroll\">\n<table class=\"series\" aria-labelledby=\"{label}\">\n<thead>\n<tr>");
    for name in HEADER {
        let name = if name.is_empty() { "series" } else { name };
        let _ = writeln!(body, "<th scope=\"col\">{name}</th>");
    }
    body.push_str("</tr>\n</thead>\n");
    for group in groups {
        let _ = writeln!(body, "<tbody>\n{group}</tbody>");
    }
    body.push_str("</table>\n</div>\n");
}

fn row(cells: &Cells) -> String {
    let [name, values @ ..] = &cells.texts;
    let mut text = format!("<tr class=\"{}\"><th scope=\"row\">{}</th>", class(cells.status), shortened(name, NAME));
    for value in values {
        let _ = write!(text, "<td>{}</td>", escaped(value));
    }
    text.push_str("</tr>\n");
    text
}

fn class(status: Status) -> &'static str {
    match status {
        Status::Fail => "fail",
        Status::Warn => "warn",
        Status::Ok | Status::BelowResolution => "ok",
        Status::New | Status::NoBaseline | Status::Shown => "shown",
    }
}

/// Escaped; what is longer is cut, and told as a whole where a pointer rests on it.
fn shortened(text: &str, most: usize) -> String {
    let short = cut(text, most);
    if short == text {
        return escaped(text);
    }
    format!("<span title=\"{}\">{}</span>", escaped(&cut(text, WHOLE_NAME.max(2 * most))), escaped(&short))
}
