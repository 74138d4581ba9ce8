//! `cargo xtask history`: how the accepted baselines moved. Everything comes from git.

use std::io;

use anyhow::{Context as _, Result, bail, ensure};
use judge::baseline::chain::{Version, breaks};
use judge::model::text::nearest;
use report::Format;
use report::formats::github;
use report::history::timeline::Timeline;
use report::history::{html, json, terminal};
use wildmatch::WildMatch;
use xshell::Shell;

use crate::commands::baseline_versions::{BaselinePart, BaselineVersions, Reach, within_stretch};
use crate::commands::outcome::Outcome;
use crate::config::drift::Since;
use crate::config::flags::HistoryFlags;
use crate::config::paths::Paths;
use crate::config::perf_toml::Config;
use crate::sys::screen::screen;
use crate::sys::{ci, file_versions, files, process};

pub fn history(flags: &HistoryFlags) -> Result<Outcome> {
    process::catch_signals()?;
    let shell = Shell::new()?;
    let paths = Paths::resolve(&flags.files);
    shell.change_dir(&paths.root);
    let config = Config::read(&paths.config, flags.files.config.is_some())?;
    let baseline = paths.baseline(&flags.files, &config.baseline.file);
    paths.check_reports(&flags.files.reports, &[baseline.clone(), paths.config.clone()])?;
    ensure!(
        !file_versions::is_shallow(&shell)?,
        "shallow clone: history is incomplete: fetch the rest with `git fetch --unshallow origin`, or check out with `fetch-depth: 0`"
    );
    let file = paths.shown(&baseline);
    let part = if flags.endpoint.is_some() { BaselinePart::All } else { BaselinePart::WithoutEndpoints };
    let (since, reach) = match &flags.since {
        Since::Oldest => (&config.drift.since, Reach::Oldest),
        since => (since, Reach::CountedFrom),
    };
    let BaselineVersions { readable, unreadable: mut notes, counted_from, .. } =
        BaselineVersions::read(&shell, &baseline, part, since, reach)?;
    if readable.is_empty() {
        let cause = notes.first().map_or_else(String::new, |note| format!(" ({note})"));
        bail!("git has no version of {file} on this branch{cause}: commit the baseline first");
    }
    let breaks = breaks(readable.iter());
    let shown = match (&counted_from, &flags.since) {
        (None, Since::Tags(pattern)) => bail!("--since {pattern}: no tag of this branch matches"),
        (None, _) | (_, Since::Oldest) => readable.len(),
        (Some(found), _) => found.place + 1,
    };
    let anchor = within_stretch(counted_from, &readable, &breaks, &mut notes, |day, cause| {
        format!("the chain is broken since then, so changes are counted from {day} on ({cause})")
    });
    let timeline = Timeline {
        file,
        endpoints: endpoints(flags, &readable)?,
        versions: &readable,
        breaks,
        shown,
        anchor: anchor.place,
        anchor_name: anchor.name.unwrap_or_default(),
        metric: flags.metric,
        notes,
    };
    for path in &flags.files.reports {
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

/// `None` is all requests together.
fn endpoints<'v>(flags: &HistoryFlags, versions: &'v [Version]) -> Result<Vec<Option<&'v str>>> {
    let Some(pattern) = &flags.endpoint else { return Ok(vec![None]) };
    let glob = WildMatch::new(pattern);
    let mut names: Vec<&str> = versions.iter().flat_map(|version| version.baseline.names()).collect();
    names.sort_unstable();
    names.dedup();
    let nearest = nearest(pattern, names.iter().copied());
    names.retain(|name| *name == pattern || glob.matches(name));
    let nearest = nearest.map_or_else(String::new, |nearest| format!(" (did you mean {nearest:?}?)"));
    let found = (!names.is_empty()).then_some(names);
    let found = found.with_context(|| format!("--endpoint {pattern}: no baseline has such an endpoint{nearest}"))?;
    Ok(found.into_iter().map(Some).collect())
}
