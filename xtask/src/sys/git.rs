//! Questions to git. Without git, or outside a repository, there is no answer, and that is no error.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use judge::model::run::is_hash;
use xshell::{Shell, cmd};

use crate::sys::{files, process};

/// A cold disk and a large tree take seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// Variables that would point git to another repository, or make it read our paths in another way. A hook that calls us has
/// some of them.
const OF_CALLERS: [&str; 11] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_LITERAL_PATHSPECS",
    "GIT_GLOB_PATHSPECS",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_ICASE_PATHSPECS",
];

/// The commit of a provenance if git knows none.
pub const UNKNOWN_COMMIT: &str = "unknown";

#[derive(Debug, PartialEq)]
pub struct Head {
    pub commit: String,
    /// The files that differ from it, from the root of the repository.
    pub dirty_files: Vec<String>,
}

/// The command itself writes its `own` files, such as reports, so they never count as dirty.
pub fn head(shell: &Shell, own: &[PathBuf]) -> Result<Head> {
    let unknown = Head { commit: UNKNOWN_COMMIT.to_owned(), dirty_files: Vec::new() };
    let Some(commit) = read(shell, &["rev-parse", "--verify", "HEAD"])? else { return Ok(unknown) };
    let mut excluded = vec![":(exclude,top,glob)**/perf_baseline.json".to_owned()];
    if let Some(top) = top(shell).and_then(|top| fs::canonicalize(top).ok()) {
        excluded.extend(own.iter().flat_map(|file| excluding(&top, file)));
    }
    let mut args = vec!["status", "--porcelain=v2", "-z", "--untracked-files=normal", "--", "."];
    args.extend(excluded.iter().map(String::as_str));
    let status = read(shell, &args)?;
    Ok(status.map_or(unknown, |status| Head { commit, dirty_files: dirty_files(&status) }))
}

/// The pathspecs that leave out a file, and the file that a link of this name leads to. Git refuses those outside its tree.
fn excluding(top: &Path, file: &Path) -> Vec<String> {
    let name = file.file_name().unwrap_or_default();
    let folder = file.parent().and_then(|folder| fs::canonicalize(folder).ok());
    let paths = [folder.map(|folder| folder.join(name)), fs::canonicalize(file).ok()];
    let inside = paths.iter().flatten().filter_map(|path| path.strip_prefix(top).ok()?.to_str());
    inside.map(|path| format!(":(exclude,top,literal){path}")).collect()
}

/// An entry of `git status --porcelain=v2 -z` has fields that are separated by spaces, the path last, and behind a
/// renamed file comes its former path.
fn dirty_files(status: &str) -> Vec<String> {
    let mut entries = status.split('\0').filter(|entry| !entry.is_empty());
    let mut files = Vec::new();
    while let Some(entry) = entries.next() {
        let fields = match entry.as_bytes()[0] {
            b'1' => 9,
            b'2' => 10,
            b'u' => 11,
            _ => 2,
        };
        if fields == 10 {
            entries.next();
        }
        files.extend(entry.splitn(fields, ' ').nth(fields - 1).map(str::to_owned));
    }
    files
}

/// The branch that others are merged into, as `origin/main`, if it is known and another one is checked out.
pub fn default_branch(shell: &Shell) -> Option<String> {
    let answer = |args: &[&str]| read(shell, args).ok().flatten();
    let named = answer(&["rev-parse", "--abbrev-ref", "origin/HEAD"]).filter(|name| name != "origin/HEAD");
    let default = named.into_iter().chain(["origin/main", "origin/master"].map(str::to_owned)).find(|name| {
        answer(&["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("refs/remotes/{name}")]).is_some()
    })?;
    let branch = answer(&["rev-parse", "--abbrev-ref", "HEAD"])?;
    let [here, there] = ["HEAD", &default].map(|name| answer(&["rev-parse", "--verify", "--end-of-options", name]));
    (default.strip_prefix("origin/") != Some(&branch) && here != there).then_some(default)
}

/// How many commits `to` is ahead of `from`. `None` if the clone lacks one of them, or if `from` is no ancestor.
pub fn commits_between(shell: &Shell, from: &str, to: &str) -> Option<u32> {
    if !is_hash(from) || !is_hash(to) {
        return None;
    }
    let range = format!("{from}..{to}");
    read(shell, &["merge-base", "--is-ancestor", from, to]).ok()??;
    read(shell, &["rev-list", "--count", &range]).ok()??.parse().ok()
}

/// The full hash of a commit. The error has the command that fetches it.
pub fn resolve(shell: &Shell, rev: &str) -> Result<String> {
    let commit = format!("{rev}^{{commit}}");
    // For `^HEAD`, git prints the hash with the `^`.
    if let Some(commit) = read(shell, &["rev-parse", "--verify", "--quiet", "--end-of-options", &commit])?
        && !commit.starts_with('^')
    {
        return Ok(commit);
    }
    ensure!(!rev.contains(".."), "this is a range of commits: name one of them");
    let branch = rev.strip_prefix("origin/").unwrap_or(rev);
    match read(shell, &["rev-parse", "--is-shallow-repository"])?.as_deref() {
        None => match refusal(shell) {
            Some(reason) => bail!("{reason}"),
            None => bail!("this is not a git repository, so it has no other commit"),
        },
        Some("true") => bail!(
            "this shallow clone has no such commit: fetch it with `git fetch --unshallow origin`, or check out with `fetch-depth: 0`"
        ),
        Some(_) => bail!("commit not found: check the name, or fetch it with `git fetch origin {branch}`"),
    }
}

/// Git's own words, with its remedy, if it refuses the repository around the shell's folder: because another user owns it,
/// or its format is newer than this git.
pub fn refusal(shell: &Shell) -> Option<String> {
    // The exit code of git's own errors.
    const SAY: &str = "\"$@\" 2>&1; test $? = 128";
    upwards(&shell.current_dir(), ".git")?;
    let git = command(shell, &["rev-parse", "--git-dir"]);
    let mut say = Command::new("/bin/sh");
    say.args(["-c", SAY, "sh"]).arg(git.get_program()).args(git.get_args()).current_dir(shell.current_dir());
    process::copy_environment(&git, &mut say);
    let said = process::answer("git", say.env("LC_ALL", "C"), ANSWER_TIMEOUT).ok().flatten()?;
    let words: Vec<&str> = said.trim_start_matches("fatal: ").split_whitespace().collect();
    Some(format!("git: {}", words.join(" ")))
}

/// The files of the shell's folder that match, tracked or not, without ignored ones.
pub fn files(shell: &Shell, patterns: &[&str]) -> Vec<String> {
    let args = [&["ls-files", "--cached", "--others", "--exclude-standard", "--"], patterns].concat();
    text(shell, &args).lines().map(str::to_owned).collect()
}

/// The path of the shell's folder in its repository: empty, or like `services/claims/`.
pub fn prefix(shell: &Shell) -> String {
    text(shell, &["rev-parse", "--show-prefix"])
}

pub fn top(shell: &Shell) -> Option<PathBuf> {
    let top = read(shell, &["rev-parse", "--show-toplevel"]).ok().flatten().map(PathBuf::from);
    // A path that is not UTF-8 was read with other characters.
    top.filter(|top| top.is_dir())
}

/// The folder of git's files, which all checkouts of a repository share.
pub fn common_dir(shell: &Shell) -> Option<PathBuf> {
    let folder = read(shell, &["rev-parse", "--git-common-dir"]).ok().flatten()?;
    fs::canonicalize(shell.current_dir().join(folder)).ok()
}

#[derive(Debug, PartialEq)]
pub struct Submodule {
    pub path: String,
    pub commit: String,
}

pub fn submodules(shell: &Shell, commit: &str) -> Result<Vec<Submodule>> {
    let entries = read(shell, &["ls-tree", "-r", "-z", "--full-tree", commit])?.unwrap_or_default();
    // `160000 commit HASH\tPATH`; the others are files.
    let parse = |entry: &str| {
        let (commit, path) = entry.strip_prefix("160000 commit ")?.split_once('\t')?;
        Some(Submodule { path: path.to_owned(), commit: commit.to_owned() })
    };
    Ok(entries.split('\0').filter_map(parse).collect())
}

/// It runs no hook, asks for no password, fetches nothing that a partial clone lacks, and leaves submodules alone.
pub fn command(shell: &Shell, args: &[&str]) -> Command {
    let command =
        cmd!(shell, "git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c submodule.recurse=false {args...}");
    let mut command = Command::from(command);
    for name in OF_CALLERS {
        command.env_remove(name);
    }
    command.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_NO_LAZY_FETCH", "1").env("GIT_TERMINAL_PROMPT", "0");
    command
}

pub fn blob_hash(bytes: &[u8]) -> String {
    let mut sha1 = sha1_smol::Sha1::from(format!("blob {}\0", bytes.len()));
    sha1.update(bytes);
    sha1.digest().to_string()
}

/// The root of the user's project: the nearest folder upwards with a `perf.toml`, else the git repository, else the
/// folder itself. A `perf.toml` outside the git repository belongs to another project.
pub fn root(from: &Path) -> &Path {
    let top = upwards(from, ".git");
    let configured = upwards(from, "perf.toml").filter(|folder| top.is_none_or(|top| folder.starts_with(top)));
    configured.or(top).unwrap_or(from)
}

fn upwards<'a>(from: &'a Path, name: &str) -> Option<&'a Path> {
    from.ancestors().find(|folder| files::exists(&folder.join(name)))
}

/// What the command prints, or nothing if it fails.
pub fn text(shell: &Shell, args: &[&str]) -> String {
    read(shell, args).ok().flatten().unwrap_or_default()
}

/// What the command prints, or `None` if it fails. A git that hangs, or a signal, is an error.
pub fn read(shell: &Shell, args: &[&str]) -> Result<Option<String>> {
    process::answer("git", &command(shell, args), ANSWER_TIMEOUT)
}
