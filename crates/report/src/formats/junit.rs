//! The report as `JUnit`'s XML, as Jenkins (`junit-10.xsd` of its xunit plugin) and GitLab read it. The file is the same for
//! the same results: its only time is from the candidate's provenance.

use std::fmt::Write as _;

use judge::model::text::{self, cut, printable};
use judge::verdict::traffic::TrafficKind;

use crate::view::View;
use crate::view::drift::UPDATES;
use crate::view::exceptions::accepted_text;
use crate::view::input::Sides;
use crate::view::series::{HEADER, SeriesView};
use crate::view::unjudged::Unjudged;
use crate::view::words::{Status, series_name, unit_of_value};

/// The number of columns of a name. Jenkins and GitLab tell cases apart by their names, so more of a name is kept than for
/// people.
const NAME_COLUMNS: usize = 1000;

/// The suite of all requests together, named as Locust does.
const TOTAL: &str = "Aggregated";

pub(crate) fn render(view: &View) -> String {
    let timestamp = without_zone(&view.report.provenance.candidate.timestamp);
    let (mut counts, mut body) = (CaseCounts::default(), String::new());
    for (id, suite) in suites(view).iter().enumerate() {
        let others = if id == 0 { other_cases(view) } else { Vec::new() };
        let of_suite = CaseCounts::of(suite.series, &others);
        let name = escaped(&cut(&printable(&suite.name), NAME_COLUMNS));
        let (attributes, skipped) = (of_suite.attributes(), of_suite.skipped);
        let _ = write!(body, "  <testsuite name=\"{name}\" id=\"{id}\" {attributes} skipped=\"{skipped}\"");
        if !timestamp.is_empty() {
            let _ = write!(body, " timestamp=\"{timestamp}\"");
        }
        body.push_str(">\n");
        if id == 0 {
            properties(&mut body, view);
        }
        for series in suite.series {
            let case_name = if suite.is_of_drift { series_name(series.row) } else { series.row.metric.to_string() };
            case(&mut body, &name, &case_name, series);
        }
        for OtherCase { case, element, kind, text } in others {
            let (case, text) = (escaped(&case), escaped(&text));
            let _ = writeln!(
                body,
                "    <testcase classname=\"{name}\" name=\"{case}\" time=\"0\">\n      <{element} type=\"{kind}\" message=\"{text}\">{text}</{element}>\n    </testcase>"
            );
        }
        if id == 0 {
            let findings = view.other_findings();
            let findings = findings.map(|finding| format!("{} {}", finding.status.word(), finding.text));
            let changes = view.change_lines().into_iter().map(|line| format!("changed: {line}"));
            let updates = view.drift.iter().flat_map(|drift| &drift.updates).take(UPDATES);
            let updates = updates.map(|update| format!("accepted: {}", update.sentence()));
            let lines = findings.chain(updates).chain(changes).chain(view.notes.iter().cloned());
            output(&mut body, "    ", &lines.collect::<Vec<_>>());
        }
        body.push_str("  </testsuite>\n");
        counts.add(&of_suite);
    }
    document(&counts, &body)
}

struct Suite<'v> {
    name: String,
    series: &'v [SeriesView<'v>],
    /// Whether it is of the drift of all endpoints, so that its cases name the endpoint.
    is_of_drift: bool,
}

fn suites<'v>(view: &'v View) -> Vec<Suite<'v>> {
    let mut suites = vec![Suite { name: TOTAL.to_owned(), series: &view.total, is_of_drift: false }];
    for endpoint in view.shown_endpoints() {
        suites.push(Suite { name: endpoint.name.to_owned(), series: &endpoint.series, is_of_drift: false });
    }
    if let Some(drift) = view.drift.as_ref().filter(|drift| !drift.series.is_empty()) {
        suites.push(Suite { name: format!("drift since {}", drift.name), series: &drift.series, is_of_drift: true });
    }
    suites
}

const FAILURE: &str = "failure";
const ERROR: &str = "error";

/// A failure or an error that no series has.
struct OtherCase {
    case: String,
    element: &'static str,
    kind: &'static str,
    text: String,
}

/// A file without a failure is a success to Jenkins and GitLab, so every reason of another exit code than 0 is in one.
fn other_cases(view: &View) -> Vec<OtherCase> {
    let mut cases = Vec::new();
    for (change, finding) in view.report.comparison.traffic.iter().zip(&view.traffic) {
        if finding.status == Status::Fail {
            let what = match change.kind {
                TrafficKind::Size => "response size",
                TrafficKind::Share => "share of requests",
            };
            let case = format!("{} {what}", change.endpoint);
            cases.push(OtherCase { case, element: FAILURE, kind: "FAIL", text: finding.text.clone() });
        }
    }
    if view.report.comparison.exit_code() == 2 {
        let text = view.headline.to_string();
        cases.push(OtherCase { case: "verdict".to_owned(), element: ERROR, kind: "INCONCLUSIVE", text });
    }
    cases
}

/// Writes the report of a command that judged nothing: one case, with an error, or skipped if a first baseline was saved.
pub(crate) fn render_unjudged(unjudged: &Unjudged) -> String {
    let sentence = escaped(&unjudged.sentence());
    let is_saved = unjudged.exit_code() == 0;
    let outcome = if is_saved {
        format!("<skipped message=\"{sentence}\">{sentence}</skipped>")
    } else {
        format!("<error type=\"{}\" message=\"{sentence}\">{sentence}</error>", unjudged.word())
    };
    let counts = CaseCounts { tests: 1, failures: 0, errors: usize::from(!is_saved), skipped: usize::from(is_saved) };
    let mut body = String::new();
    let _ = write!(
        body,
        "  <testsuite name=\"{TOTAL}\" id=\"0\" {} skipped=\"{}\">\n    \
         <testcase classname=\"{TOTAL}\" name=\"measurement\" time=\"0\">\n      \
         {outcome}\n    \
         </testcase>\n  </testsuite>\n",
        counts.attributes(),
        counts.skipped
    );
    document(&counts, &body)
}

fn document(counts: &CaseCounts, body: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"cargo xtask perf\" {}>\n{body}</testsuites>\n",
        counts.attributes()
    )
}

#[derive(Default)]
struct CaseCounts {
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
}

impl CaseCounts {
    fn of(series: &[SeriesView], others: &[OtherCase]) -> CaseCounts {
        let of_others = |element| others.iter().filter(|case| case.element == element).count();
        let failed = series.iter().filter(|series| series.status == Status::Fail).count();
        CaseCounts {
            tests: series.len() + others.len(),
            failures: failed + of_others(FAILURE),
            errors: of_others(ERROR),
            skipped: series.iter().filter(|series| is_unjudged(series.status)).count(),
        }
    }

    fn add(&mut self, other: &CaseCounts) {
        self.tests += other.tests;
        self.failures += other.failures;
        self.errors += other.errors;
        self.skipped += other.skipped;
    }

    /// The attributes that suites and the document share. A case has no time, since all share one load.
    fn attributes(&self) -> String {
        let CaseCounts { tests, failures, errors, .. } = self;
        format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" time=\"0\"")
    }
}

/// Whether nothing was judged, so that the case must not look passed.
fn is_unjudged(status: Status) -> bool {
    matches!(status, Status::Shown | Status::NoBaseline | Status::Waived)
}

fn properties(body: &mut String, view: &View) {
    let Sides { baseline, candidate } = view.report.provenance;
    let properties = [
        ("verdict", Some(view.headline.to_string())),
        ("evidence", Some(view.evidence.clone())),
        ("stored numbers", view.stored.as_ref().map(|stored| stored.headline.to_string())),
        ("strict", Some(view.report.comparison.strict.to_string())),
        ("baseline", Some(view.report.baseline_origin.clone())),
        ("baseline commit", Some(baseline.commit.clone())),
        ("candidate commit", Some(candidate.commit.clone())),
        ("load", candidate.load.as_ref().map(ToString::to_string)),
        ("machine", candidate.machine.as_ref().map(ToString::to_string)),
    ];
    body.push_str("    <properties>\n");
    for (name, value) in properties {
        if let Some(value) = value {
            let _ = writeln!(body, "      <property name=\"{name}\" value=\"{}\"/>", escaped(&value));
        }
    }
    body.push_str("    </properties>\n");
}

fn case(body: &mut String, class: &str, name: &str, series: &SeriesView) {
    let _ = writeln!(body, "    <testcase classname=\"{class}\" name=\"{}\" time=\"0\">", escaped(name));
    let (status, finding) = (series.status, series.finding.as_str());
    let mut lines = Vec::new();
    if status == Status::Warn {
        lines.push(format!("{} {finding}", status.word()));
    }
    if status == Status::Fail {
        let (finding, measured) = (escaped(finding), escaped(&measured(series)));
        // Jenkins shows the attribute first, and GitLab the text alone.
        let _ = writeln!(body, "      <failure type=\"FAIL\" message=\"{finding}\">{finding}\n{measured}</failure>");
    } else {
        lines.push(measured(series));
    }
    if is_unjudged(status) {
        let why = match (status, series.row.accepted) {
            (Status::Shown, _) => "informational, no limit".to_owned(),
            (Status::Waived, Some(accepted)) => escaped(&format!("WAIVED: {}", accepted_text(accepted))),
            _ => status.word().to_owned(),
        };
        let _ = writeln!(body, "      <skipped message=\"{why}\">{why}</skipped>");
    }
    // An endpoint's finding or status has this already.
    if let (None, Some(doubt)) = (series.row.endpoint, &series.doubt) {
        lines.push(doubt.text.clone());
    }
    output(body, "      ", &lines);
    body.push_str("    </testcase>\n");
}

fn measured(series: &SeriesView) -> String {
    let [_, values @ .., status] = &series.cells;
    let unit = unit_of_value(series.row.metric);
    let units = [unit, unit, "", "", ""];
    let named = HEADER[1..].iter().zip(values).zip(units).filter(|((_, cell), _)| !["", "-"].contains(&cell.as_str()));
    let values: Vec<String> =
        named.map(|((header, cell), unit)| format!("{header} {cell}{unit}").trim_end().to_owned()).collect();
    let values = values.join(", ");
    if status.is_empty() { values } else { format!("{status}: {values}") }
}

fn output(body: &mut String, indent: &str, lines: &[String]) {
    if !lines.is_empty() {
        let lines: Vec<String> = lines.iter().map(|line| escaped(line)).collect();
        let _ = writeln!(body, "{indent}<system-out>{}</system-out>", lines.join("\n"));
    }
}

/// A time of RFC 3339 in UTC without its `Z`, since the schema's date and time have no zone; empty if it is anything else.
fn without_zone(timestamp: &str) -> &str {
    const FORM: &str = "0000-00-00T00:00:00";
    let is_of_form = |(c, form): (char, char)| if form == '0' { c.is_ascii_digit() } else { c == form };
    match timestamp.get(..FORM.len()) {
        Some(time) if timestamp.ends_with('Z') && time.chars().zip(FORM.chars()).all(is_of_form) => time,
        _ => "",
    }
}

/// Escapes text for elements and attributes alike: on one line, since a newline in an attribute is read as a space, and
/// without what XML 1.0 forbids, a terminal obeys, or a log takes for a command.
fn escaped(text: &str) -> String {
    text::escaped(&printable(text))
}
