//! Locust's `_stats.csv`: text in, a [`Run`] out; a truncated, empty or contradictory file is an error, never a pass.

use std::collections::HashSet;
use std::str;

use anyhow::{Context as _, Error, Result, anyhow, bail, ensure};
use csv::{ByteRecord, ReaderBuilder};

use crate::model::run::{MAX_COUNT, Precision, REQUEST_Z, Run, Stats, check_endpoints, endpoint_name, flaw};
use crate::parse::other_files;
use crate::stats::estimate::{Interval, quantile_ranks};
use crate::stats::histogram::Histogram;

struct Columns {
    method: Option<usize>,
    name: usize,
    requests: usize,
    failures: usize,
    avg_ms: usize,
    requests_per_sec: usize,
    content_bytes: Option<usize>,
    extremes: [Option<usize>; 2],
    percentiles: [usize; 3],
    all_percentiles: Vec<PercentileColumn>,
}

struct PercentileColumn {
    /// From 0 to 1.
    share: f64,
    column: usize,
}

impl Columns {
    fn find(header: &ByteRecord) -> Result<Columns> {
        let mut names = HashSet::new();
        for name in header.iter().map(<[u8]>::trim_ascii).filter(|name| !name.is_empty()) {
            let shown = String::from_utf8_lossy(name);
            ensure!(names.insert(name), "line 1: the column `{}` appears twice: remove one", shown.escape_debug());
        }
        let find = |name: &str| header.iter().position(|column| column.trim_ascii() == name.as_bytes());
        let required = |name: &str| {
            find(name)
                .with_context(|| format!("line 1: missing column `{name}`; not a stats CSV from Locust 1.2 or later"))
        };
        let percentile = |name: &str| {
            find(name).with_context(|| {
                format!(
                    "missing column `{name}`: let the locustfile's PERCENTILES_TO_REPORT include 0.50, 0.95 and 0.99"
                )
            })
        };
        let mut all_percentiles: Vec<PercentileColumn> = Vec::new();
        for (column, name) in header.iter().enumerate() {
            let percent = str::from_utf8(name).ok().and_then(|name| name.trim().strip_suffix('%')?.parse::<f64>().ok());
            if let Some(percent) = percent.filter(|percent| (0.0..=100.0).contains(percent)) {
                all_percentiles.push(PercentileColumn { share: percent / 100.0, column });
            }
        }
        all_percentiles.sort_by(|a, b| a.share.total_cmp(&b.share));
        Ok(Columns {
            all_percentiles,
            method: find("Type"),
            name: required("Name")?,
            requests: required("Request Count")?,
            failures: required("Failure Count")?,
            avg_ms: required("Average Response Time")?,
            requests_per_sec: required("Requests/s")?,
            content_bytes: find("Average Content Size"),
            extremes: ["Min Response Time", "Max Response Time"].map(find),
            // Never `Median Response Time`: Locust 2.47.0 changed how it is computed.
            percentiles: [percentile("50%")?, percentile("95%")?, percentile("99%")?],
        })
    }

    /// Whether a verdict may rest on a column.
    fn is_used(&self, column: usize) -> bool {
        let Columns { requests, failures, avg_ms, requests_per_sec, percentiles, .. } = self;
        [requests, failures, avg_ms, requests_per_sec].into_iter().chain(percentiles).any(|used| *used == column)
    }
}

#[derive(Default)]
struct Rows {
    endpoints: Vec<(Box<str>, Stats)>,
    /// The endpoints without a request, which have counts but no statistics.
    idle: Vec<Box<str>>,
    /// Of the endpoints.
    sums: RowCounts,
    aggregated: Option<CsvRow>,
    oddities: Vec<String>,
    extremes_ms: Option<Interval>,
}

fn read_rows(bytes: &[u8]) -> Result<Rows> {
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(bytes);
    let columns = Columns::find(reader.byte_headers()?)?;
    let width = reader.byte_headers()?.len();
    let mut rows = Rows::default();
    let mut record = ByteRecord::new();
    while reader.read_byte_record(&mut record)? {
        let line = || line_of(bytes, &record);
        // Spreadsheets leave such rows. A row that was lost shows in the sums.
        if record.iter().all(|field| field.trim_ascii().is_empty()) {
            continue;
        }
        ensure!(
            record.len() == width,
            "line {} has {} fields, but the header has {width}: the file is truncated, probably because Locust was killed while writing",
            line(),
            record.len(),
        );
        let row = read_row(&record, &columns).with_context(|| format!("line {}", line()))?;
        if !row.oddity.is_empty() {
            rows.oddities.push(format!("line {}: {}", line(), row.oddity));
        }
        if row.is_aggregated {
            ensure!(
                rows.aggregated.is_none(),
                "`Aggregated` appears twice: the file is corrupt, with rows of two writes mixed"
            );
            rows.extremes_ms = extremes_ms(&record, &columns);
            rows.aggregated = Some(row);
            continue;
        }
        rows.sums.requests = rows.sums.requests.saturating_add(row.counts.requests);
        rows.sums.failures = rows.sums.failures.saturating_add(row.counts.failures);
        match row.stats {
            Some(stats) => {
                rows.endpoints.push((row.name, stats));
                check_endpoints(rows.endpoints.len())?;
            }
            None => rows.idle.push(row.name),
        }
    }
    if !bytes.ends_with(b"\n") && columns.is_used(width - 1) {
        rows.oddities.push(
            "its last number has no line end behind it, so it may be cut off: was the file copied while Locust wrote it?"
                .to_owned(),
        );
    }
    Ok(rows)
}

/// Locust rewrites the file in place, so a reader may get a truncated file, or a new head on an old tail. In such a
/// splice every row is well formed, and only the sums show it: the rows' counts must add up to those of `Aggregated`.
pub fn parse(bytes: &[u8]) -> Result<Run> {
    other_files::refuse(bytes)?;
    ensure!(!other_files::is_json(bytes), "it is JSON: give it a name that ends in .json");
    // A spreadsheet may have added a byte order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    ensure!(!bytes.trim_ascii().is_empty(), "the file is empty: Locust had not written any result yet");
    other_files::refuse_other_csv(bytes.split(|byte| *byte == b'\n').next().unwrap_or_default())?;
    let Rows { endpoints, idle, sums, aggregated, oddities, extremes_ms } = read_rows(bytes)?;
    let Some(CsvRow { counts, stats: total, .. }) = aggregated else {
        bail!(
            "no row named `Aggregated` without a type: the file is truncated, probably because Locust was killed while writing, or it was edited"
        );
    };
    // A file of the `Aggregated` row alone is an extract, which has nothing to add up.
    if !(endpoints.is_empty() && idle.is_empty()) {
        check_names(endpoints.iter().map(|(name, _)| name).chain(&idle))?;
        check_sums(&counts, &sums)?;
    }
    let Some(total) = total else {
        bail!("Locust made no requests: there is nothing to judge");
    };
    // The CSV truncates percentiles to whole ms, even if response times were finer.
    Ok(Run { precision: Precision::Coarse, total, endpoints, oddities, extremes_ms, ..Run::default() })
}

fn extremes_ms(record: &ByteRecord, columns: &Columns) -> Option<Interval> {
    let [low, high] = columns.extremes.map(|column| number(record, column?, "a response time").ok());
    Some(Interval { low: low?, high: high? })
}

/// The line on which a record begins, from 1. The csv crate's own count is one behind if lines end in CR LF.
fn line_of(bytes: &[u8], record: &ByteRecord) -> usize {
    let offset = record.position().and_then(|position| usize::try_from(position.byte()).ok()).unwrap_or(0);
    1 + bytes.iter().take(offset + 1).filter(|byte| **byte == b'\n').count()
}

#[derive(Default)]
struct RowCounts {
    requests: u64,
    failures: u64,
}

struct CsvRow {
    name: Box<str>,
    is_aggregated: bool,
    counts: RowCounts,
    stats: Option<Stats>,
    /// What is odd about the row, but keeps nothing from being judged; mostly empty.
    oddity: String,
}

fn read_row(record: &ByteRecord, columns: &Columns) -> Result<CsvRow> {
    let method = columns.method.map_or(Ok(""), |column| text(record, column, "Type"))?;
    let name = text(record, columns.name, "Name")?;
    let requests = count(record, columns.requests, "Request Count")?;
    let failures = count(record, columns.failures, "Failure Count")?;
    ensure!(failures <= requests, "{failures} failures of {requests} requests: the file does not add up");
    // Before its first request a row's percentiles are `N/A`.
    let mut oddity = String::new();
    let stats = if requests == 0 {
        None
    } else {
        let [p50, p95, p99] = columns.percentiles;
        let stats = Stats {
            requests,
            failures,
            p50_ms: number(record, p50, "50%")?,
            p95_ms: number(record, p95, "95%")?,
            p99_ms: number(record, p99, "99%")?,
            avg_ms: number(record, columns.avg_ms, "Average Response Time")?,
            requests_per_sec: number(record, columns.requests_per_sec, "Requests/s")?,
            p95_interval_ms: p95_interval_ms(record, columns, requests)?,
            // A size that is no number keeps nothing from being judged.
            content_bytes: columns.content_bytes.and_then(|column| number(record, column, "the size").ok()),
            histogram: Histogram::default(),
        };
        let in_order = stats.p50_ms <= stats.p95_ms && stats.p95_ms <= stats.p99_ms;
        if !in_order {
            oddity = format!(
                "percentiles are not in order: was the file edited? (50% {}, 95% {}, 99% {})",
                stats.p50_ms, stats.p95_ms, stats.p99_ms
            );
        }
        Some(stats)
    };
    // An endpoint may be named `Aggregated` too, but it has a type.
    let is_aggregated = name == "Aggregated" && matches!(method, "" | "None");
    let counts = RowCounts { requests, failures };
    Ok(CsvRow { name: endpoint_name(method, name), is_aggregated, counts, stats, oddity })
}

/// The nearest percentiles outside the ranks of the interval: a CSV has no others.
fn p95_interval_ms(record: &ByteRecord, columns: &Columns, requests: u64) -> Result<Option<Interval>> {
    let Some(ranks) = quantile_ranks(requests, 0.95, REQUEST_Z) else { return Ok(None) };
    // Ranks count from 1; Locust shows the value at `int(n * p)`, counted from 0.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "int() of Locust: a rank")]
    let rank = |percentile: &&PercentileColumn| (requests as f64 * percentile.share) as u64 + 1;
    let all = &columns.all_percentiles;
    let below = all.iter().rev().find(|percentile| rank(percentile) <= ranks.low);
    let above = all.iter().find(|percentile| rank(percentile) >= ranks.high);
    let (Some(below), Some(above)) = (below, above) else { return Ok(None) };
    let low = number(record, below.column, "a percentile")?;
    let high = number(record, above.column, "a percentile")?;
    // In an edited file they may lie anywhere.
    Ok((low <= high).then_some(Interval { low, high }))
}

fn check_names<'a>(names: impl Iterator<Item = &'a Box<str>>) -> Result<()> {
    let mut seen = HashSet::with_capacity(names.size_hint().0);
    for name in names {
        ensure!(
            seen.insert(&**name),
            "`{}` appears twice: the file is corrupt, with rows of two writes mixed",
            name.escape_debug()
        );
    }
    Ok(())
}

fn check_sums(total: &RowCounts, sums: &RowCounts) -> Result<()> {
    for (what, sum, aggregated) in
        [("requests", sums.requests, total.requests), ("failures", sums.failures, total.failures)]
    {
        ensure!(
            sum == aggregated,
            "the endpoints' {what} add up to {sum}, but `Aggregated` has {aggregated}: the file is corrupt, with rows of two writes mixed"
        );
    }
    Ok(())
}

fn text<'a>(record: &'a ByteRecord, column: usize, what: &str) -> Result<&'a str> {
    let text = str::from_utf8(&record[column]).ok();
    text.with_context(|| format!("the {what} is not UTF-8: save the file as UTF-8, or start Locust with PYTHONUTF8=1"))
}

fn count(record: &ByteRecord, column: usize, what: &str) -> Result<u64> {
    let field = str::from_utf8(record[column].trim_ascii()).unwrap_or("?");
    let count = field.parse().ok().filter(|count| *count <= MAX_COUNT);
    count.ok_or_else(|| unfit(what, &record[column], "not a whole number"))
}

fn number(record: &ByteRecord, column: usize, what: &str) -> Result<f64> {
    let field = str::from_utf8(record[column].trim_ascii()).unwrap_or("?");
    let value = field.parse().unwrap_or(f64::NAN);
    if other_files::has_decimal_comma(field) {
        return Err(unfit(what, &record[column], "with a decimal comma: save it with a decimal point"));
    }
    flaw(value).map_or(Ok(value), |flaw| Err(unfit(what, &record[column], flaw)))
}

fn unfit(what: &str, field: &[u8], flaw: &str) -> Error {
    let shown: String = String::from_utf8_lossy(field).chars().take(40).flat_map(char::escape_debug).collect();
    anyhow!("{what} is `{shown}`, {flaw}")
}
