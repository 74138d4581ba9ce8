//! Tables of what was seen: written to the document, and read back from it by the tests.

use std::fmt::Write as _;

/// A table, with what stands above it.
pub struct Table {
    pub heading: &'static str,
    pub text: String,
    pub columns: Vec<&'static str>,
    pub rows: Vec<Vec<Cell>>,
}

/// A cell of a table.
pub enum Cell {
    Label(String),
    Share(Share),
    Mean(Mean),
}

/// How many comparisons, of so many.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    pub count: usize,
    pub of: usize,
}

impl Share {
    pub fn pct(self) -> f64 {
        100.0 * self.count as f64 / self.of as f64
    }

    /// The standard error, in points, of a share that is `true_pct`: that of a binomial proportion.
    pub fn error_pct(self, true_pct: f64) -> f64 {
        (true_pct * (100.0 - true_pct) / self.of as f64).sqrt()
    }
}

/// A mean number of runs, over so many comparisons.
#[derive(Clone, Copy, Debug)]
pub struct Mean {
    pub sum: usize,
    pub of: usize,
}

impl Mean {
    pub fn value(self) -> f64 {
        self.sum as f64 / self.of as f64
    }

    /// Its standard error, at most: numbers from 1 to 8 have a standard deviation of 3.5 or less.
    pub fn error(self) -> f64 {
        3.5 / (self.of as f64).sqrt()
    }
}

impl Table {
    pub fn markdown(&self) -> String {
        let mut text = format!("\n## {}\n\n{}\n\n", self.heading, self.text.trim());
        let aligned = |first: usize| if first == 0 { "---" } else { "---:" };
        let rule: Vec<&str> = (0..self.columns.len()).map(aligned).collect();
        let _ = writeln!(text, "| {} |\n|{}|", self.columns.join(" | "), rule.join("|"));
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(Cell::text).collect();
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        text
    }
}

impl Cell {
    pub fn label(text: impl Into<String>) -> Cell {
        Cell::Label(text.into())
    }

    pub fn share(count: usize, of: usize) -> Cell {
        Cell::Share(Share { count, of })
    }

    pub fn mean(sum: usize, of: usize) -> Cell {
        Cell::Mean(Mean { sum, of })
    }

    pub fn text(&self) -> String {
        match self {
            Cell::Label(text) => text.clone(),
            Cell::Share(share) => format!("{:.2} %", share.pct()),
            Cell::Mean(mean) => format!("{:.2}", mean.value()),
        }
    }
}
