//! Files that are no results: what they are, and what to pass instead.

use anyhow::{Result, bail, ensure};

use crate::model::run::flaw;

pub fn refuse(bytes: &[u8]) -> Result<()> {
    refuse_lfs_pointer(bytes)?;
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

/// A clone without Git LFS has a few lines in place of a file.
fn refuse_lfs_pointer(bytes: &[u8]) -> Result<()> {
    ensure!(
        !bytes.starts_with(b"version https://git-lfs"),
        "it is a pointer of Git LFS: fetch the file with `git lfs pull`"
    );
    Ok(())
}

/// Refuses what is no baseline at all, and so needs another remedy than a damaged one.
pub fn refuse_as_baseline(text: &str) -> Result<()> {
    const NEXT: &str = "pass it as RESULTS with --update-baseline, which makes a baseline of it";
    refuse_lfs_pointer(text.as_bytes())?;
    let text = text.trim_start_matches('\u{feff}').trim_start();
    ensure!(!text.starts_with('['), "it is a JSON result of Locust, not a baseline: {NEXT}");
    ensure!(!is_csv(text), "it is a CSV of Locust, not a baseline: {NEXT}");
    ensure!(!is_report(text), "it is a report of the gate, not a baseline: name the file that --update-baseline wrote");
    Ok(())
}

fn is_csv(text: &str) -> bool {
    text.lines().next().is_some_and(|header| header.contains("Request Count"))
}

fn is_report(text: &str) -> bool {
    has_keys(text, ["\"schema_version\"", "\"headline\""])
}

fn has_keys(text: &str, keys: [&str; 2]) -> bool {
    text.starts_with('{') && keys.iter().all(|key| text.contains(key))
}

pub(crate) fn is_json(bytes: &[u8]) -> bool {
    let start = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    start.starts_with(b"[") || start.starts_with(b"{")
}

/// Refuses a file that is no array of statistics, if it is known.
pub(crate) fn refuse_other_json(text: &str) -> Result<()> {
    let text = text.trim_start();
    ensure!(!is_csv(text), "it is CSV: give it a name that ends in .csv");
    ensure!(!is_report(text), "it is a report of the gate: pass the results that it was made of");
    ensure!(
        !has_keys(text, ["\"version\"", "\"metrics\""]),
        "it is a baseline, which is compared with: name it with --baseline, and pass results of Locust"
    );
    Ok(())
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
