//! The report as one self-contained HTML page: complete without its script, readable without its style.

use std::fmt::Write as _;

use judge::compare::{ERROR, Verdict};
use judge::decision::Row;
use judge::run::{Precision, Provenance};
use judge::text::{cut, escaped, printable};

use crate::charts;
use crate::content::{Cells, FINDINGS, Finding, HEADER, Report, Unjudged, by_severity, cells, evidence, rank};
use crate::words::{Status, count, shown_commit, verdict_word};

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
const STYLE_DIGEST: &str = "sha256-979OwvxJE9v0Tu46fRrinOSzU6YBlfaW6wURjT/zvRE=";
const SCRIPT_DIGEST: &str = "sha256-WNXtpbwdTo8suQVisBOTpiW1suOP8qmSwlHXxtJ462c=";

/// Writes the report.
pub fn render(report: &Report) -> String {
    let verdict = verdict_word(report.comparison.verdict);
    let class = if report.comparison.verdict == Verdict::Fail { "fail" } else { "ok" };
    let mut body = String::new();
    headline(&mut body, class, verdict, &report.sentence());
    findings(&mut body, report);
    compared(&mut body, report);
    body.push_str("<h2 id=\"total\">All requests together</h2>\n");
    if report.comparison.total.iter().any(|row| row.evidence.interval.is_some()) {
        let confidence_pct = 100.0 * (1.0 - ERROR);
        let _ = writeln!(
            body,
            "<p class=\"note\">interval: where the change lies by the spread of the runs, with {confidence_pct:.0} % confidence, over all looks at them together.</p>"
        );
    }
    table(&mut body, "total", [report.total_cells().iter().map(row).collect::<String>()].into_iter());
    body.push_str("<h2>Pictures</h2>\n<div class=\"pictures\">\n");
    for chart in charts::all(report) {
        let _ = match chart {
            Ok(charts::Chart { title, caption, svg }) => {
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

/// Writes the report of a command that judged nothing.
pub fn render_unjudged(unjudged: &Unjudged) -> String {
    let mut body = String::new();
    let lines: Vec<String> = unjudged.sentence().lines().map(printable).collect();
    let (class, headline_text) = match unjudged {
        Unjudged::NoVerdict(_) | Unjudged::NoBaseline(_) => ("fail", "could not compare"),
        Unjudged::BaselineSaved(_) => ("ok", "there was nothing to compare with"),
    };
    headline(&mut body, class, unjudged.word(), headline_text);
    let _ = writeln!(body, "<pre>{}</pre>", escaped(&lines.join("\n")));
    page(&format!("{}: cargo xtask perf", unjudged.word()), &body)
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
    let findings = report.findings(FINDINGS);
    let remarks = report.remarks();
    if findings.shown.is_empty() && remarks.is_empty() {
        return;
    }
    body.push_str("<h2>Findings</h2>\n<ul class=\"findings\">\n");
    for Finding { status, text } in findings.shown {
        let (class, word) = (class(status), status.word());
        // A line must not end within the arrow.
        let finding = match text.rsplit_once(" -> ") {
            Some((before, after)) => {
                format!(
                    "{} <span class=\"to\">-&gt;</span> {}",
                    shortened(before, SENTENCE),
                    shortened(after, SENTENCE)
                )
            }
            None => shortened(&text, SENTENCE),
        };
        let _ = writeln!(body, "<li class=\"{class}\"><strong>{word}</strong> {finding}</li>");
    }
    if findings.left_out > 0 {
        let _ = writeln!(body, "<li>and {} more, in the tables below</li>", findings.left_out);
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

/// Writes which commits were compared, where, and under which load.
fn compared(body: &mut String, report: &Report) {
    body.push_str("<h2 id=\"compared\">What was compared</h2>\n<div class=\"scroll\">\n<table class=\"facts\" aria-labelledby=\"compared\">\n");
    body.push_str(
        "<thead><tr><td></td><th scope=\"col\">baseline</th><th scope=\"col\">candidate</th></tr></thead>\n<tbody>\n",
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
    body.push_str("</ul>\n");
}

/// Something about a side.
struct Fact {
    name: &'static str,
    /// `None` where it is not known.
    value: Option<String>,
}

fn facts(of: &Provenance, runs: usize) -> [Fact; 8] {
    let fact = |name, value| Fact { name, value };
    let timestamp = if of.timestamp.is_empty() { None } else { Some(of.timestamp.clone()) };
    let precision = match of.precision {
        Precision::Coarse => "Locust's, to two digits",
        Precision::Fine => "to three digits",
    };
    [
        fact("commit", Some(shown_commit(&of.commit, of.dirty))),
        fact("measured", timestamp),
        fact("runs", Some(runs.to_string())),
        fact("load", of.load.as_ref().map(ToString::to_string)),
        fact("machine", of.machine.as_ref().map(ToString::to_string)),
        fact("Locust", of.locust.clone()),
        fact("Python", of.python.clone()),
        fact("rounding", Some(precision.to_owned())),
    ]
}

/// Writes a group of rows for each endpoint, the one with the worst series first.
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
        count(groups.len(), "endpoint"),
    );
    table(body, "endpoints", groups.iter().map(|(_, group)| group.iter().map(|of| row(&cells(of))).collect()));
}

fn table(body: &mut String, label: &str, groups: impl Iterator<Item = String>) {
    let _ =
        writeln!(body, "<div class=\"scroll\">\n<table class=\"series\" aria-labelledby=\"{label}\">\n<thead>\n<tr>");
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

/// Returns text escaped. Longer text is cut, and its tooltip shows more of it.
fn shortened(text: &str, most: usize) -> String {
    let short = cut(text, most);
    if short == text {
        return escaped(text);
    }
    format!("<span title=\"{}\">{}</span>", escaped(&cut(text, WHOLE_NAME.max(2 * most))), escaped(&short))
}
