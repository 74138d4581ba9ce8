//! The report as `JUnit`'s XML, as Jenkins (`junit-10.xsd` of its xunit plugin) and GitLab read it: a suite for each
//! endpoint, a case for each metric. The file is the same for the same results: its only time is that of the candidate's
//! provenance.

use std::fmt::Write as _;

use judge::model::run::Provenance;
use judge::model::text::{self, cut, printable};
use judge::verdict::compare::Drift;
use judge::verdict::decision::Row;

use crate::view::content::{HEADER, Report, Sides, Unjudged, cells, evidence, few_samples_text, finding, shown_groups};
use crate::view::further::{self, accepted_text, anchor_name, drift_text};
use crate::view::words::{Status, series_name, unit_of_value};

/// The number of columns of a name. Jenkins and GitLab tell cases by their names, so more of a name stays than where a
/// person reads it.
const NAME_COLUMNS: usize = 1000;

/// Names the suite of all requests together, as Locust does.
const TOTAL: &str = "Aggregated";

/// Writes the report.
pub fn render(report: &Report) -> String {
    let comparison = report.comparison;
    let timestamp = without_zone(&report.provenance.candidate.timestamp);
    let suites = [comparison.total.as_slice()].into_iter().chain(shown_groups(comparison));
    let mut suites: Vec<Suite> = suites.map(Suite::of).collect();
    suites.extend(comparison.drift.as_ref().filter(|drift| !drift.rows.is_empty()).map(Suite::of_drift));
    let mut counts = Counts::default();
    let mut body = String::new();
    for (id, suite) in suites.iter().enumerate() {
        let of_suite = Counts::of(suite.rows);
        let name = escaped(&cut(&printable(&suite.name), NAME_COLUMNS));
        let _ = write!(
            body,
            "  <testsuite name=\"{name}\" id=\"{id}\" {} skipped=\"{}\"",
            of_suite.attributes(),
            of_suite.skipped
        );
        if let Some(timestamp) = timestamp {
            let _ = write!(body, " timestamp=\"{timestamp}\"");
        }
        body.push_str(">\n");
        if id == 0 {
            properties(&mut body, report);
        }
        for row in suite.rows {
            case(&mut body, &name, suite, row);
        }
        if id == 0 {
            let further = further::findings(comparison).into_iter();
            let further = further.map(|finding| format!("{} {}", finding.status.word(), finding.text));
            output(&mut body, "    ", &further.chain(report.remarks()).collect::<Vec<_>>());
        }
        body.push_str("  </testsuite>\n");
        counts.add(of_suite);
    }
    document(counts, &body)
}

/// Writes the report of a command that judged nothing: one case, with an error, or skipped where a first baseline was
/// saved.
pub fn render_unjudged(unjudged: &Unjudged) -> String {
    let sentence = escaped(&unjudged.sentence());
    let (counts, outcome) = match unjudged {
        Unjudged::NoVerdict(_) | Unjudged::NoBaseline(_) => (
            Counts { tests: 1, errors: 1, ..Counts::default() },
            format!("<error type=\"{}\" message=\"{sentence}\">{sentence}</error>", unjudged.word()),
        ),
        Unjudged::BaselineSaved(_) => (
            Counts { tests: 1, skipped: 1, ..Counts::default() },
            format!("<skipped message=\"{sentence}\">{sentence}</skipped>"),
        ),
    };
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
    document(counts, &body)
}

fn document(counts: Counts, body: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"cargo xtask perf\" {}>\n{body}</testsuites>\n",
        counts.attributes()
    )
}

#[derive(Clone, Copy, Default)]
struct Counts {
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
}

impl Counts {
    fn of(rows: &[Row]) -> Counts {
        Counts {
            tests: rows.len(),
            failures: rows.iter().filter(|row| row.is_failure()).count(),
            errors: 0,
            skipped: rows.iter().filter(|row| is_unjudged(Status::of(row))).count(),
        }
    }

    fn add(&mut self, other: Counts) {
        self.tests += other.tests;
        self.failures += other.failures;
        self.errors += other.errors;
        self.skipped += other.skipped;
    }

    /// Returns the attributes that suites and the document share. A case takes no time of its own: the load is that of all.
    fn attributes(self) -> String {
        let Counts { tests, failures, errors, .. } = self;
        format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" time=\"0\"")
    }
}

/// Returns whether nothing was judged, so that the case must not look passed.
fn is_unjudged(status: Status) -> bool {
    matches!(status, Status::Shown | Status::NoBaseline | Status::Waived)
}

/// A suite of the file.
struct Suite<'a> {
    name: String,
    rows: &'a [Row<'a>],
    /// The drift that it is of; `None` where it is of the comparison with the baseline.
    drift: Option<&'a Drift<'a>>,
}

impl<'a> Suite<'a> {
    /// Returns the suite of all requests together, or of an endpoint.
    fn of(rows: &'a [Row<'a>]) -> Suite<'a> {
        let name = rows.first().and_then(|row| row.endpoint).unwrap_or(TOTAL).to_owned();
        Suite { name, rows, drift: None }
    }

    /// Returns the suite of a drift, of all endpoints.
    fn of_drift(drift: &'a Drift<'a>) -> Suite<'a> {
        Suite { name: format!("drift since {}", anchor_name(&drift.anchor)), rows: &drift.rows, drift: Some(drift) }
    }

    /// Returns the name of a case.
    fn series(&self, row: &Row) -> String {
        if self.drift.is_some() { series_name(row) } else { row.metric.to_string() }
    }

    /// Returns what was found.
    fn finding(&self, row: &Row) -> String {
        self.drift.map_or_else(|| finding(row), |drift| drift_text(drift, row))
    }
}

/// Writes what holds for all suites, at the first.
fn properties(body: &mut String, report: &Report) {
    let comparison = report.comparison;
    let load = |provenance: &Provenance| provenance.load.as_ref().map(ToString::to_string);
    let machine = |provenance: &Provenance| provenance.machine.as_ref().map(ToString::to_string);
    let Sides { baseline, candidate } = report.provenance;
    let properties = [
        ("verdict", Some(report.headline().to_string())),
        ("evidence", Some(evidence(comparison))),
        ("stored numbers", report.stored_headline().map(|headline| headline.to_string())),
        ("strict", Some(comparison.strict.to_string())),
        ("baseline", Some(report.baseline.clone())),
        ("baseline commit", Some(baseline.commit.clone())),
        ("candidate commit", Some(candidate.commit.clone())),
        ("load", load(candidate)),
        ("machine", machine(candidate)),
    ];
    body.push_str("    <properties>\n");
    for (name, value) in properties {
        if let Some(value) = value {
            let _ = writeln!(body, "      <property name=\"{name}\" value=\"{}\"/>", escaped(&value));
        }
    }
    body.push_str("    </properties>\n");
}

fn case(body: &mut String, class: &str, suite: &Suite, row: &Row) {
    let series = escaped(&suite.series(row));
    let _ = writeln!(body, "    <testcase classname=\"{class}\" name=\"{series}\" time=\"0\">");
    let status = Status::of(row);
    let mut lines = Vec::new();
    if status == Status::Warn {
        lines.push(format!("{} {}", status.word(), suite.finding(row)));
    }
    if status == Status::Fail {
        let (finding, measured) = (escaped(&suite.finding(row)), escaped(&measured(row)));
        // Jenkins shows the attribute first, and GitLab the text alone.
        let _ = writeln!(body, "      <failure type=\"FAIL\" message=\"{finding}\">{finding}\n{measured}</failure>");
    } else {
        lines.push(measured(row));
    }
    if is_unjudged(status) {
        let why = match (status, row.accepted) {
            (Status::Shown, _) => "informational, no limit".to_owned(),
            (Status::Waived, Some(accepted)) => escaped(&format!("WAIVED: {}", accepted_text(accepted))),
            _ => status.word().to_owned(),
        };
        let _ = writeln!(body, "      <skipped message=\"{why}\">{why}</skipped>");
    }
    // The finding on an endpoint has already said this.
    if let (None, Some(few)) = (row.endpoint, row.evidence.few_samples) {
        lines.push(few_samples_text(row, few));
    }
    output(body, "      ", &lines);
    body.push_str("    </testcase>\n");
}

/// Returns the cells of a row, without its name, as a sentence.
fn measured(row: &Row) -> String {
    let [_, values @ .., status] = cells(row).texts;
    let unit = unit_of_value(row.metric);
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

/// Returns a time of RFC 3339 in UTC without its `Z`, since the schema's date and time have no zone; `None` where it is
/// something else.
fn without_zone(timestamp: &str) -> Option<&str> {
    const FORM: &str = "0000-00-00T00:00:00";
    let seconds = timestamp.get(..FORM.len())?;
    if !timestamp.ends_with('Z') {
        return None;
    }
    let is_of_form = |(c, form): (char, char)| if form == '0' { c.is_ascii_digit() } else { c == form };
    seconds.chars().zip(FORM.chars()).all(is_of_form).then_some(seconds)
}

/// Escapes text for elements and attributes alike: on one line, since a newline in an attribute is read as a space, and
/// without what XML 1.0 forbids, a terminal obeys, or a log takes for a command.
fn escaped(text: &str) -> String {
    text::escaped(&printable(text))
}
