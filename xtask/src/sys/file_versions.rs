//! The versions of a file in git: the commits that changed it, and its content in each.

use std::collections::HashSet;
use std::iter;
use std::path::Path;
use std::str;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use judge::model::day::Day;
use xshell::Shell;

use crate::sys::{git, process};

/// A long history that is not cached takes seconds.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The start of a commit's line. The line of a change starts with `:`.
const COMMIT: char = '\u{1}';
const BETWEEN: char = '\u{1f}';

#[derive(Clone, Debug, PartialEq)]
pub struct Logged {
    pub commit: String,
    pub day: Day,
    pub author: String,
    pub subject: String,
    blob: String,
}

/// The commits of the current branch that changed the file, newest first, also under its former names. A merge
/// counts, because it brought the change to this branch.
pub fn log(shell: &Shell, path: &Path) -> Result<Vec<Logged>> {
    const OPTIONS: &str =
        "--literal-pathspecs -c log.showSignature=false -c log.showRoot=true -c log.diffMerges=separate";
    const LOG: &str = "log -m --first-parent --follow --raw --no-abbrev --no-color";
    let format = format!("--format={COMMIT}%H{BETWEEN}%cs{BETWEEN}%aN{BETWEEN}%s");
    let path = path.display().to_string();
    let words = OPTIONS.split(' ').chain(LOG.split(' '));
    let args: Vec<&str> = words.chain([format.as_str(), "HEAD", "--", &path]).collect();
    let answer = process::answer_bytes("git", &git::command(shell, &args), Vec::new(), TIMEOUT)?.unwrap_or_default();
    Ok(parse_log(&String::from_utf8_lossy(&answer)))
}

/// Parses the output of `git log --raw`. A commit that only renames or removes the file accepts no baseline.
fn parse_log(text: &str) -> Vec<Logged> {
    let mut all = Vec::new();
    let mut commit = None;
    for line in text.lines() {
        if let Some(header) = line.strip_prefix(COMMIT) {
            commit = parse_commit(header);
        } else if let (Some(change), Some(known)) = (line.strip_prefix(':'), &mut commit) {
            let [_, _, before, after, ..] = change.split(' ').collect::<Vec<_>>()[..] else { continue };
            let known: &mut Logged = known;
            let is_removed = after.bytes().all(|byte| byte == b'0');
            if before != after && !is_removed {
                after.clone_into(&mut known.blob);
                all.extend(commit.take());
            }
        }
    }
    all
}

fn parse_commit(header: &str) -> Option<Logged> {
    let mut parts = header.splitn(4, BETWEEN).map(str::to_owned);
    let (commit, day) = (parts.next()?, Day::parse(&parts.next()?)?);
    let (author, subject) = (parts.next()?, parts.next().unwrap_or_default());
    Some(Logged { commit, day, author, subject, blob: String::new() })
}

/// The contents that git is asked for at once, in bytes, and the largest that is read.
const CHUNK_BYTES: usize = 16_000_000;
const MAX_BYTES: usize = 60_000_000;

/// Calls `take` with the content of each version, in the same order, or with the reason why there is none, until it
/// returns false. However long the history is, only a part of it is in memory.
pub fn for_each_content(
    shell: &Shell,
    versions: &[Logged],
    mut take: impl FnMut(&Logged, Result<Vec<u8>>) -> bool,
) -> Result<()> {
    let sizes = ask(shell, "--batch-check=%(objectsize)", &versions.iter().collect::<Vec<_>>())?;
    let sizes = String::from_utf8_lossy(&sizes);
    let sizes = sizes.lines().map(|line| line.parse::<usize>().ok()).chain(iter::repeat(None));
    let mut pending = versions.iter().zip(sizes).peekable();
    while pending.peek().is_some() {
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        while let Some((version, size)) =
            pending.next_if(|(_, size)| bytes == 0 || bytes + size.unwrap_or(0) <= CHUNK_BYTES)
        {
            let size = size.context("git does not have its content here").and_then(|size| {
                ensure!(size <= MAX_BYTES, "it has {} MB", size / 1_000_000);
                Ok(size)
            });
            bytes += size.as_ref().map_or(0, |size| *size);
            chunk.push((version, size));
        }
        let wanted: Vec<&Logged> = chunk.iter().filter(|(_, size)| size.is_ok()).map(|(version, _)| *version).collect();
        let mut contents = parse_batch(&ask(shell, "--batch", &wanted)?, wanted.len())?.into_iter();
        for (version, size) in chunk {
            let content = size.and_then(|_| contents.next().flatten().context("git does not have its content here"));
            if !take(version, content) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Asks `git cat-file` about the contents of versions. They go to its input, because a list of arguments is bounded.
fn ask(shell: &Shell, how: &str, versions: &[&Logged]) -> Result<Vec<u8>> {
    let ids: String = versions.iter().flat_map(|version| [version.blob.as_str(), "\n"]).collect();
    let command = git::command(shell, &["cat-file", how]);
    let answer = process::answer_bytes("git", &command, ids.into_bytes(), TIMEOUT)?;
    answer.context("git cannot read the versions of the baseline: see `git fsck`")
}

/// Parses the output of `git cat-file --batch`: for each object a line with its size, then its bytes.
fn parse_batch(mut answer: &[u8], objects: usize) -> Result<Vec<Option<Vec<u8>>>> {
    let mut contents = Vec::new();
    for _ in 0..objects {
        let end = answer.iter().position(|byte| *byte == b'\n').context("git cat-file ended early")?;
        let header = str::from_utf8(&answer[..end]).unwrap_or_default();
        answer = &answer[end + 1..];
        if header.ends_with(" missing") {
            contents.push(None);
            continue;
        }
        let size = header.rsplit(' ').next().and_then(|size| size.parse::<usize>().ok());
        let size = size.with_context(|| format!("git cat-file answered {header:?}"))?;
        ensure!(answer.len() > size, "git cat-file ended early");
        contents.push(Some(answer[..size].to_vec()));
        answer = &answer[size + 1..];
    }
    Ok(contents)
}

pub fn is_shallow(shell: &Shell) -> Result<bool> {
    Ok(git::read(shell, &["rev-parse", "--is-shallow-repository"])?.as_deref() == Some("true"))
}

pub fn newest_tag(shell: &Shell, pattern: &str) -> Result<Option<String>> {
    // The last key comes first. Tags of one second are in the order of their versions.
    let sort = ["--sort=-version:refname", "--sort=-creatordate"];
    let args = [&["tag", "--list", "--no-column", "--merged", "HEAD"], &sort[..], &["--", pattern]].concat();
    let tags = git::read(shell, &args)?.unwrap_or_default();
    Ok(tags.lines().next().filter(|tag| !tag.is_empty()).map(str::to_owned))
}

/// The commits on the current branch's first-parent line that `rev` does not contain; `None` if git does not know `rev`.
pub fn commits_after(shell: &Shell, rev: &str) -> Result<Option<HashSet<String>>> {
    let commit = format!("{rev}^{{commit}}");
    let Some(commit) = git::read(shell, &["rev-parse", "--verify", "--quiet", "--end-of-options", &commit])? else {
        return Ok(None);
    };
    let commits = git::read(shell, &["rev-list", "--first-parent", "HEAD", &format!("^{commit}")])?;
    Ok(commits.map(|commits| commits.lines().map(str::to_owned).collect()))
}

/// What `git ls-files` prints of a file with this option: nothing if the index does not have it.
pub fn in_index(shell: &Shell, path: &Path, option: &str) -> String {
    git::text(shell, &["--literal-pathspecs", "ls-files", option, "--", &path.display().to_string()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lists_changes_without_renames_and_removals() {
        let zeros = "0".repeat(40);
        let line = |commit: &str| format!("\u{1}{commit}\u{1f}2026-01-31\u{1f}Ann\u{1f}why: a\u{1f}b");
        let text = [
            line("c5"),
            String::new(),
            format!(":100644 000000 aa {zeros} D\tperf_baseline.json"),
            line("c4"),
            String::new(),
            ":100644 100644 bb aa M\tperf_baseline.json".to_owned(),
            line("c3"),
            ":100644 100644 bb bb R100\told.json\tperf_baseline.json".to_owned(),
            line("c2"),
            ":100644 100644 cc bb R090\tolder.json\told.json".to_owned(),
            line("no day").replace("2026-01-31", "tomorrow"),
            ":000000 100644 00 dd A\tolder.json".to_owned(),
            line("c1"),
            format!(":000000 100644 {zeros} cc A\tolder.json"),
        ]
        .join("\n");
        let logged = parse_log(&text);
        let versions: Vec<(&str, &str)> = logged.iter().map(|of| (of.commit.as_str(), of.blob.as_str())).collect();
        assert_eq!(versions, [("c4", "aa"), ("c2", "bb"), ("c1", "cc")]);
        assert_eq!((logged[0].author.as_str(), logged[0].subject.as_str()), ("Ann", "why: a\u{1f}b"));
    }

    #[test]
    fn output_of_cat_file_is_parsed_by_its_sizes() {
        let read = |text: &str, objects| parse_batch(text.as_bytes(), objects).map_err(|error| error.to_string());
        let some = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(read("aa blob 5\nab\ncd\nbb missing\ncc blob 0\n\n", 3), Ok(vec![some("ab\ncd"), None, some("")]));
        assert_eq!(read("aa blob 5\nab", 1), Err("git cat-file ended early".to_owned()));
        assert_eq!(read("aa blob 2\nab\n", 2), Err("git cat-file ended early".to_owned()));
        assert_eq!(read("what?\n", 1), Err("git cat-file answered \"what?\"".to_owned()));
    }
}
