//! Locust's `_stats_history.csv`: text in, a run over time out. It is for a chart and is not judged.

use std::str;

use anyhow::{Context as _, Result, bail, ensure};
use csv::{ByteRecord, ReaderBuilder};

use crate::model::run::{ObservedLoad, flaw};

#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// Whether the percentiles are of the last ten seconds (`--csv-full-history`), not of the run so far.
    pub is_windowed: bool,
    /// In the order of time, about one a second.
    pub points: Vec<HistoryPoint>,
}

/// The rows that show a load: fewer may be of any.
const LEAST_ROWS: usize = 4;

impl History {
    pub fn observed_load(&self) -> Option<ObservedLoad> {
        let last = self.points.last().filter(|_| self.points.len() >= LEAST_ROWS)?;
        let users = self.points.iter().map(|point| point.users).fold(0.0, f64::max);
        Some(ObservedLoad { users, length_s: last.time_s })
    }
}

/// All requests together at one moment. Every value is finite and not negative.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryPoint {
    pub time_s: f64,
    pub users: f64,
    /// Both rates are means of about ten seconds.
    pub requests_per_sec: f64,
    pub failures_per_sec: f64,
    /// `None` before the first request.
    pub percentiles: Option<Percentiles>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentiles {
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
}

/// A user can change the percentiles, and so the places of other columns.
const COLUMNS: [&str; 9] = ["Timestamp", "User Count", "Type", "Name", "Requests/s", "Failures/s", "50%", "95%", "99%"];

/// Leaves out an incomplete last line: Locust before 2.47 never writes the end of the file.
pub fn parse(bytes: &[u8]) -> Result<History> {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut reader = ReaderBuilder::new().from_reader(&bytes[..end]);
    let header = reader.byte_headers()?.clone();
    let mut columns = [0; COLUMNS.len()];
    for (column, name) in columns.iter_mut().zip(COLUMNS) {
        let found = header.iter().position(|field| field.trim_ascii() == name.as_bytes());
        *column = found.with_context(|| format!("missing column `{name}`"))?;
    }
    let (mut is_windowed, mut start_s) = (false, None);
    let mut points: Vec<HistoryPoint> = Vec::new();
    let mut record = ByteRecord::new();
    while reader.read_byte_record(&mut record)? {
        let field = |place: usize| str::from_utf8(&record[columns[place]]).unwrap_or("?").trim();
        // The file has endpoints only with `--csv-full-history`. One may be named `Aggregated`, but it has a type.
        if field(3) != "Aggregated" || !matches!(field(2), "" | "None") {
            is_windowed = true;
            continue;
        }
        let number = |place: usize| -> Result<f64> {
            let value = field(place).parse().unwrap_or(f64::NAN);
            flaw(value).map_or(Ok(value), |flaw| bail!("{} is `{}`, {flaw}", COLUMNS[place], field(place)))
        };
        let mut point = || -> Result<HistoryPoint> {
            let time_s = number(0)?;
            let has_percentiles = (6..9).any(|place| field(place) != "N/A");
            Ok(HistoryPoint {
                time_s: time_s - *start_s.get_or_insert(time_s),
                users: number(1)?,
                requests_per_sec: number(4)?,
                failures_per_sec: number(5)?,
                percentiles: if has_percentiles {
                    Some(Percentiles { p50_ms: number(6)?, p95_ms: number(7)?, p99_ms: number(8)? })
                } else {
                    None
                },
            })
        };
        let line = record.position().map_or(0, csv::Position::line);
        let point = point().with_context(|| format!("line {line}"))?;
        let is_in_order = points.last().is_none_or(|last| last.time_s <= point.time_s);
        ensure!(is_in_order, "line {line}: its time is before that of the previous line");
        points.push(point);
    }
    ensure!(points.len() > 1, "it holds too few lines to draw: Locust before 2.47 loses the last ones of every run");
    Ok(History { is_windowed, points })
}
