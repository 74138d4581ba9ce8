//! The story of `cargo xtask history`: how the accepted baselines moved. Everything comes from git.

use std::io;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use judge::baseline::chain::{Version, break_names, breaks, oldest_of_stretch};
use judge::verdict::comparability::Break;
use report::Format;
use report::formats::github;
use report::history::timeline::Timeline;
use report::history::{html, json, terminal};
use wildmatch::WildMatch;
use xshell::Shell;

use crate::commands::baseline_versions::{Origin, Part, Versions, origin};
use crate::commands::perf::Outcome;
use crate::config::flags::History;
use crate::config::project::{read_config, today};
use crate::config::settings::Config;
use crate::config::time::Since;
use crate::sys::files::{self, Identity};
use crate::sys::screen::screen;
use crate::sys::{ci, file_versions, git, process};

/// Shows the accepted baselines of the current branch.
///
/// # Errors
///
/// Says why there is no history to show.
pub fn history(flags: &History) -> Result<Outcome> {
    process::catch_signals()?;
    // 1. Check what can be checked before anything is read.
    let shell = Shell::new()?;
    let current_dir = shell.current_dir();
    let root = git::root(&current_dir).to_owned();
    shell.change_dir(&root);
    let config_path = root.join("perf.toml");
    let config = if config_path.exists() { read_config(&config_path)? } else { Config::parse("")? };
    let path = flags.baseline.as_ref().map_or_else(|| root.join("perf_baseline.json"), |path| current_dir.join(path));
    let file = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
    check_reports(flags, &[&path, &config_path])?;
    ensure!(
        !file_versions::is_shallow(&shell)?,
        "this clone is shallow, so its history only looks short: fetch the rest with `git fetch --unshallow origin`, or check out with `fetch-depth: 0`"
    );
    // 2. Read all versions, and find the one that changes are counted from.
    let part = if flags.endpoint.is_some() { Part::Whole } else { Part::Total };
    let Versions { readable, unreadable, .. } = Versions::read(&shell, &path, part)?;
    if readable.is_empty() {
        let why = unreadable.first().map_or_else(String::new, |why| format!(" ({why})"));
        bail!("git has no version of {file} on this branch{why}: commit the baseline first");
    }
    let breaks = breaks(readable.iter());
    let mut notes = unreadable;
    let Anchor { origin, shown } = anchor(flags, &config, &shell, &readable, &breaks, &mut notes)?;
    // 3. Arrange, print, and write what was asked for.
    let timeline = Timeline {
        file,
        endpoints: endpoints(flags, &readable)?,
        versions: &readable,
        breaks,
        shown,
        anchor: origin.place,
        anchor_name: origin.name,
        metric: flags.metric,
        notes,
    };
    for path in &flags.reports {
        let text = match Format::of(path)? {
            Format::Html => html::render(&timeline),
            _ => json::render(&timeline),
        };
        files::write_atomically(path, &text)?;
    }
    let mut text = terminal::render(&timeline, screen(&io::stdout()));
    if ci::is_github() {
        text = github::harmless(&text);
    }
    Ok(Outcome::Done(text.trim_end().to_owned()))
}

/// The version that changes are counted from, and what is shown.
struct Anchor {
    origin: Origin,
    /// The number of versions, from the newest on.
    shown: usize,
}

/// Finds the version that changes are counted from: in the newest stretch, by the flag, by `[drift]`, or the oldest.
fn anchor(
    flags: &History,
    config: &Config,
    shell: &Shell,
    versions: &[Version],
    breaks: &[Vec<Break>],
    notes: &mut Vec<String>,
) -> Result<Anchor> {
    let by_flag = flags.since.as_ref();
    let since = by_flag.or(config.drift.as_ref().and_then(|drift| drift.since.as_ref()));
    let found = since.map(|since| origin(shell, versions, since, today())).transpose()?.flatten();
    if let (Some(Since::Tags(pattern)), None) = (by_flag, &found) {
        bail!("--since {pattern}: no tag of this branch matches");
    }
    let shown = match (&found, by_flag) {
        (Some(found), Some(_)) => found.place + 1,
        _ => versions.len(),
    };
    let begin = oldest_of_stretch(breaks, 0);
    let origin = match found {
        Some(found) if found.place <= begin => found,
        Some(_) => {
            let (day, names) = (versions[begin].day, break_names(&breaks[begin]));
            notes.push(format!("the chain is broken since then, so changes are counted from {day} on ({names})"));
            Origin { place: begin, name: None }
        }
        None => Origin { place: begin, name: None },
    };
    Ok(Anchor { origin, shown })
}

/// Checks that every report can be written, and that none replaces what is read.
fn check_reports(flags: &History, inputs: &[&Path]) -> Result<()> {
    for report in &flags.reports {
        let identity = Identity::of(report);
        let is_input = identity.is_some() && inputs.iter().any(|input| Identity::of(input) == identity);
        ensure!(!is_input, "--report {} would replace what this command reads: name another file", report.display());
        files::check_writable(report)?;
    }
    Ok(())
}

/// Returns the endpoints that were asked for; `None` is all requests together.
fn endpoints<'v>(flags: &History, versions: &'v [Version]) -> Result<Vec<Option<&'v str>>> {
    let Some(pattern) = &flags.endpoint else { return Ok(vec![None]) };
    let glob = WildMatch::new(pattern);
    let mut names: Vec<&str> =
        versions.iter().flat_map(|version| version.baseline.endpoints.keys()).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let likeness = |name: &str| strsim::jaro_winkler(pattern, name);
    let nearest = names.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    names.retain(|name| *name == pattern || glob.matches(name));
    let nearest = nearest.map_or_else(String::new, |nearest| format!(" (did you mean {nearest:?}?)"));
    let found = (!names.is_empty()).then_some(names);
    let found = found.with_context(|| format!("--endpoint {pattern}: no baseline has such an endpoint{nearest}"))?;
    Ok(found.into_iter().map(Some).collect())
}
