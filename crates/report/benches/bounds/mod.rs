//! The output of a benchmark: values, their upper bounds, and the exit code.

use std::process::ExitCode;

pub struct Line {
    pub what: String,
    /// `None` if this system cannot measure it.
    pub value: Option<f64>,
    pub bound: Option<f64>,
    pub unit: &'static str,
}

impl Line {
    fn is_over(&self) -> bool {
        self.value.zip(self.bound).is_some_and(|(value, bound)| value > bound)
    }

    fn verdict(&self) -> &'static str {
        match (self.value, self.bound) {
            (Some(_), Some(_)) if self.is_over() => "OVER",
            (Some(_), Some(_)) => "ok",
            _ => "",
        }
    }
}

/// Prints the lines, and fails if one is over its bound; a smoke run has no bounds.
pub fn exit_code(mut lines: Vec<Line>, is_bench: bool) -> ExitCode {
    if !is_bench {
        for line in &mut lines {
            line.bound = None;
        }
    }
    print(&lines);
    if lines.iter().any(Line::is_over) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn print(lines: &[Line]) {
    let width = lines.iter().map(|line| line.what.len()).max().unwrap_or(0);
    println!("{:width$}   {:>12}   {:>7}", "what", "value", "bound");
    for line in lines {
        let shown = |value: Option<f64>, absent: &str| {
            value.map_or_else(|| absent.to_owned(), |value| format!("{value:.2}{}", line.unit))
        };
        let (value, bound) = (shown(line.value, "not measured"), shown(line.bound, "-"));
        println!("{}", format!("{:width$}   {value:>12}   {bound:>7}   {}", line.what, line.verdict()).trim_end());
    }
}

/// The number of values must be odd.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
