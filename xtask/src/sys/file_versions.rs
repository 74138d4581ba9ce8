//! The versions of a file in git: which commits changed it, and what it was then.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::str;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use judge::model::day::Day;
use xshell::Shell;

use crate::sys::{git, process};

/// The time for git to read a history: seconds, where it is long and nothing of it is cached.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Begins the line of a commit; a line that tells a change begins with `:`.
const COMMIT: char = '\u{1}';
/// Stands between the parts of that line.
const BETWEEN: char = '\u{1f}';

/// A commit that changed the file, or made it.
#[derive(Debug, PartialEq)]
pub struct Logged {
    /// The full hash.
    pub commit: String,
    /// The day of the commit.
    pub day: Day,
    /// The author's name.
    pub author: String,
    /// The first line of the message.
    pub subject: String,
    /// The hash of the content.
    blob: String,
}

/// Returns the commits of the current branch that changed the file, newest first, under its former names too. A merge
/// counts as one of them, since it is what brought the change here.
///
/// # Errors
///
/// Says that git hangs, or that a signal came.
pub fn log(shell: &Shell, path: &Path) -> Result<Vec<Logged>> {
    let format = format!("--format={COMMIT}%H{BETWEEN}%cs{BETWEEN}%aN{BETWEEN}%s");
    let path = path.display().to_string();
    let args = [
        "--literal-pathspecs",
        "-c",
        "log.showSignature=false",
        "-c",
        "log.showRoot=true",
        "-c",
        "log.diffMerges=separate",
        "log",
        "-m",
        "--first-parent",
        "--follow",
        "--raw",
        "--no-abbrev",
        "--no-color",
        &format,
        "HEAD",
        "--",
        &path,
    ];
    let answer = process::answer_bytes("git", &git::command(shell, &args), TIMEOUT)?.unwrap_or_default();
    Ok(parse_log(&String::from_utf8_lossy(&answer)))
}

/// Parses what `git log --raw` prints. A commit that only renames the file, or removes it, accepts no baseline.
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

/// Returns the content of each version, in their order; `None` where git does not have it.
///
/// # Errors
///
/// Says that git hangs, that a signal came, or that git does not answer as it should.
pub fn contents(shell: &Shell, versions: &[Logged]) -> Result<Vec<Option<Vec<u8>>>> {
    // The names go to git by a pipe that the shell fills: no argument list is too long for it.
    const ASK: &str = "ids=$1; shift; printf '%s\\n' $ids | \"$@\"";
    let git = git::command(shell, &["cat-file", "--batch"]);
    let ids: Vec<&str> = versions.iter().map(|version| version.blob.as_str()).collect();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", ASK, "sh", &ids.join(" ")]).arg(git.get_program()).args(git.get_args());
    for (name, value) in git.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(shell.current_dir());
    let answer = process::answer_bytes("git", &command, TIMEOUT)?;
    let answer = answer.context(
        "git cannot read the versions of the baseline, or they hold more than 64 MB: begin later with --since",
    )?;
    parse_batch(&answer, versions.len())
}

/// Parses what `git cat-file --batch` prints: a line with a size, and so many bytes, for each object.
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
        // A line ends behind the content.
        if answer.len() <= size {
            bail!("git cat-file ended early");
        }
        contents.push(Some(answer[..size].to_vec()));
        answer = &answer[size + 1..];
    }
    Ok(contents)
}

/// Returns whether the clone was cut off: its history looks short and is not.
///
/// # Errors
///
/// Says that git hangs, or that a signal came.
pub fn is_shallow(shell: &Shell) -> Result<bool> {
    Ok(git::read(shell, &["rev-parse", "--is-shallow-repository"])?.as_deref() == Some("true"))
}

/// Returns the newest tag of the current branch that matches a pattern such as `v*`.
///
/// # Errors
///
/// Says that git hangs, or that a signal came.
pub fn newest_tag(shell: &Shell, pattern: &str) -> Result<Option<String>> {
    let args = ["tag", "--list", "--merged", "HEAD", "--sort=-creatordate", "--", pattern];
    let tags = git::read(shell, &args)?.unwrap_or_default();
    Ok(tags.lines().next().filter(|tag| !tag.is_empty()).map(str::to_owned))
}

/// Returns the commits of the current branch's own line that `rev` does not hold, newest first; `None` where git does not
/// know it.
///
/// # Errors
///
/// Says that git hangs, or that a signal came.
pub fn commits_after(shell: &Shell, rev: &str) -> Result<Option<HashSet<String>>> {
    let commit = format!("{rev}^{{commit}}");
    let Some(commit) = git::read(shell, &["rev-parse", "--verify", "--quiet", "--end-of-options", &commit])? else {
        return Ok(None);
    };
    let commits = git::read(shell, &["rev-list", "--first-parent", "HEAD", &format!("^{commit}")])?;
    Ok(commits.map(|commits| commits.lines().map(str::to_owned).collect()))
}

/// Returns whether git holds the file in several versions, since a merge is not finished.
pub fn is_unmerged(shell: &Shell, path: &Path) -> bool {
    let path = path.display().to_string();
    let unmerged = git::read(shell, &["--literal-pathspecs", "ls-files", "--unmerged", "--", &path]);
    unmerged.ok().flatten().is_some_and(|unmerged| !unmerged.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_tells_versions_and_neither_renames_nor_removals() {
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
        let told: Vec<(&str, &str)> = logged.iter().map(|of| (of.commit.as_str(), of.blob.as_str())).collect();
        assert_eq!(told, [("c4", "aa"), ("c2", "bb"), ("c1", "cc")]);
        assert_eq!((logged[0].author.as_str(), logged[0].subject.as_str()), ("Ann", "why: a\u{1f}b"));
    }

    #[test]
    fn an_answer_of_cat_file_is_read_by_its_sizes() {
        let read = |text: &str, objects| parse_batch(text.as_bytes(), objects).map_err(|error| error.to_string());
        let some = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(read("aa blob 5\nab\ncd\nbb missing\ncc blob 0\n\n", 3), Ok(vec![some("ab\ncd"), None, some("")]));
        assert_eq!(read("aa blob 5\nab", 1), Err("git cat-file ended early".to_owned()));
        assert_eq!(read("aa blob 2\nab\n", 2), Err("git cat-file ended early".to_owned()));
        assert_eq!(read("what?\n", 1), Err("git cat-file answered \"what?\"".to_owned()));
    }
}
