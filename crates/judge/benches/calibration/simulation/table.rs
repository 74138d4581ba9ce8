//! Tables of what was seen: written to the document, and read back from it by the tests.

/// A table, with what stands above it.
#[derive(Clone)]
pub struct Table {
    pub heading: &'static str,
    pub text: String,
    pub columns: Vec<&'static str>,
    pub rows: Vec<Vec<Cell>>,
}

/// A cell of a table.
#[derive(Clone)]
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

/// A mean number of runs, over so many comparisons, or of what each run costs.
#[derive(Clone, Copy, Debug)]
pub struct Mean {
    pub sum: usize,
    pub of: usize,
    pub per_run: f64,
}

impl Mean {
    pub fn value(self) -> f64 {
        self.per_run * self.sum as f64 / self.of as f64
    }

    /// Its standard error, at most: numbers from 1 to 8 have a standard deviation of 3.5 or less.
    pub fn error(self) -> f64 {
        3.5 * self.per_run / (self.of as f64).sqrt()
    }
}

impl Table {
    /// The cell of a row, by its first cell, and of a column.
    pub fn cell(&self, row: &str, column: &str) -> &Cell {
        let is_it = |cells: &&Vec<Cell>| matches!(&cells[0], Cell::Label(label) if label == row);
        let place =
            self.columns.iter().position(|name| *name == column).unwrap_or_else(|| panic!("no column {column}"));
        &self.rows.iter().find(is_it).unwrap_or_else(|| panic!("no row {row}"))[place]
    }
}

impl Cell {
    pub fn label(text: impl Into<String>) -> Cell {
        Cell::Label(text.into())
    }

    pub fn share(count: usize, of: usize) -> Cell {
        Cell::Share(Share { count, of })
    }

    pub fn scaled(sum: usize, of: usize, per_run: f64) -> Cell {
        Cell::Mean(Mean { sum, of, per_run })
    }

    pub fn mean(sum: usize, of: usize) -> Cell {
        Cell::scaled(sum, of, 1.0)
    }
}
