//! Files that are no results: what they are, and what to pass instead.

use anyhow::{Result, bail, ensure};

use crate::model::run::flaw;

pub fn refuse(bytes: &[u8]) -> Result<()> {
    let start = bytes.get(..4096).unwrap_or(bytes);
    ensure!(!start.starts_with(b"\x1f\x8b"), "it is compressed with gzip: unpack it first, with gunzip");
    ensure!(
        !start.starts_with(b"PK\x03\x04"),
        "it is a spreadsheet or another ZIP archive: export it as CSV with commas, in UTF-8"
    );
    let is_utf16 = start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") || start.contains(&0);
    ensure!(!is_utf16, "it is UTF-16, or no text at all: save it as UTF-8");
    let text = String::from_utf8_lossy(start).trim_start_matches('\u{feff}').trim_start().to_lowercase();
    let is_page = text.starts_with("<!doctype") || text.starts_with("<html");
    ensure!(!is_page, "it is an HTML page: pass the `_stats.csv` of Locust's --csv, or the file of its --json-file");
    Ok(())
}

pub(crate) fn is_json(bytes: &[u8]) -> bool {
    let start = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    start.starts_with(b"[") || start.starts_with(b"{")
}

/// Refuses a CSV whose header has other columns than Locust's statistics.
pub(crate) fn refuse_other_csv(header: &[u8]) -> Result<()> {
    let header = String::from_utf8_lossy(header).to_lowercase();
    let has = |name: &str| header.contains(name);
    let is_stats = has("request count") && has("name");
    if has("user count") && has("timestamp") {
        bail!("it is Locust's history over time: pass the `_stats.csv` next to the `_stats_history.csv`")
    } else if has("occurrences") {
        bail!("it is Locust's list of failures: pass the `_stats.csv` next to the `_failures.csv`")
    } else if has("traceback") {
        bail!("it is Locust's list of exceptions: pass the `_stats.csv` next to the `_exceptions.csv`")
    } else if has("# requests") {
        bail!("it was written by Locust before 1.0, which had other columns: measure with Locust 1.2 or later")
    } else if is_stats && !has(",") && has(";") {
        bail!(
            "its columns are separated by `;`: save it with commas, and numbers with a decimal point, as Locust writes it"
        )
    } else if is_stats && !has(",") && has("\t") {
        bail!("its columns are separated by tabs: save it with commas, as Locust writes it")
    }
    Ok(())
}

/// A number with a decimal comma, as spreadsheets of many countries write it.
pub(crate) fn has_decimal_comma(field: &str) -> bool {
    field.split_once(',').is_some_and(|(whole, rest)| {
        !whole.is_empty() && !rest.is_empty() && flaw(format!("{whole}.{rest}").parse().unwrap_or(f64::NAN)).is_none()
    })
}
