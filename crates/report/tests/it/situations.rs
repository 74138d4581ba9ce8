//! The situations that a first reader must understand, as people see them.

use judge::baseline::file::Baseline;
use report::formats::github::{self, Places};
use report::formats::markdown;
use report::formats::terminal::{self, Screen, Verbosity};
use report::{Background, CommandLine, Format, Report, Saved, Unjudged, View};
use unicode_width::UnicodeWidthStr as _;

use crate::cases::{case, confirmed, no_verdict};
use crate::service::{Measured, failing, inconclusive, measured, names, of};
use crate::short::{lines_of, open_words};

/// What reaches a person in one situation.
pub struct Situation {
    pub name: &'static str,
    pub page: String,
    pub terminal: String,
    pub comment: String,
    pub annotations: String,
}

impl Situation {
    /// The verdict at the end of the terminal's text, which may go on below, as one line.
    pub fn verdict(&self) -> String {
        let lines: Vec<&str> = self.terminal.lines().collect();
        let first = lines.iter().rposition(|line| !line.starts_with("  ")).unwrap();
        lines[first..].iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
    }

    /// A line of a table: what is counted.
    pub fn counts(&self) -> String {
        format!(
            "{:<28} {:>2} lines, verdict {:>3} columns, comment {:>3} words, {:>2} annotations\n",
            self.name,
            lines_of(&self.terminal),
            self.verdict().width(),
            open_words(&self.comment),
            self.annotations.lines().count()
        )
    }
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// The situations that a first reader must understand from the first screen alone.
pub fn situations() -> Vec<Situation> {
    let screen = Screen { columns: Some(80), is_ascii: false };
    let mut all = Vec::new();
    let mut add = |name: &'static str, view: &View| {
        all.push(Situation {
            name,
            page: Format::Html.render(view),
            terminal: plain(&terminal::render(view, Verbosity::Normal, screen)),
            comment: markdown::render(view),
            annotations: github::annotations(view, &Places::default()),
        });
    };
    let mut add_service = |name, service: &Measured, change: &dyn Fn(&mut Background)| {
        service.with(|report| {
            let mut background = report.background.clone();
            change(&mut background);
            add(name, &View::of(&Report { background: &background, ..report.clone() }));
        });
    };
    let nothing = |_: &mut Background| ();
    let mut busy = of(1.5, 2);
    busy.provenance.usage.others_pct = vec![90.0, 87.0];
    let mut few = of(1.0, 3);
    for run in &mut few.runs {
        let stats = &mut run.endpoints[1].1;
        (stats.requests, stats.p95_ms) = (60, 1.84 * stats.p95_ms);
    }
    let mut former = few.runs.clone();
    for run in &mut former {
        run.endpoints[1].1.p95_ms /= 1.84;
    }
    few.baseline = Baseline::new(&former, few.baseline.provenance.clone()).unwrap();
    add_service("01-pass", &of(1.0, 2), &nothing);
    add_service("02-gain", &of(0.7, 2), &nothing);
    add_service("03-fail", &of(1.5, 2), &nothing);
    add_service("04-fail-on-a-hosted-runner", &of(1.5, 2), &|background| background.is_hosted_runner = true);
    add_service("05-inconclusive", &inconclusive(), &nothing);
    add_service("06-endpoint-not-judged", &few, &nothing);
    add_service("07-busy-machine", &busy, &nothing);
    add_service("08-errors", &failing(), &nothing);
    add_service("09-new-and-missing", &measured(&names(5), 1.0), &nothing);
    add_service("10-300-endpoints", &measured(&names(300), 1.35), &nothing);
    case("a drift").report(|report| add("11-drift", &View::of(report)));
    case("exceptions").report(|report| add("12-accepted", &View::of(report)));
    case("noise unknown").report(|report| add("13-one-run-each", &View::of(report)));
    confirmed([&[300.0, 301.0, 299.0], &[420.0, 421.0, 419.0]], |report| add("14-confirmed", &View::of(report)));
    confirmed([&[420.0, 421.0, 419.0], &[420.0, 422.0, 418.0]], |report| add("15-not-confirmed", &View::of(report)));
    let saved = Saved::new(&of(1.0, 5).baseline, "perf_baseline.json", CommandLine::default());
    let refusal = "perf_baseline.json is not comparable: users: the baseline has 10, this load 50; measure with --users 10, or accept the new load with --update-baseline";
    for (name, unjudged) in
        [("16-first-baseline", Unjudged::BaselineSaved(saved)), ("17-no-verdict", no_verdict(refusal))]
    {
        all.push(Situation {
            name,
            page: Format::Html.render_unjudged(&unjudged),
            terminal: plain(&terminal::render_unjudged(&unjudged, screen)),
            comment: markdown::render_unjudged(&unjudged),
            annotations: String::new(),
        });
    }
    all.push(Situation {
        name: "18-history",
        page: crate::history::page(),
        terminal: plain(&crate::history::terminal_of_80_columns()),
        comment: String::new(),
        annotations: String::new(),
    });
    all
}
