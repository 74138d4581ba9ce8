//! The folder `xtask` of the other repository: a package of a few lines, and a copy of the gate where nobody can fetch it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::sys::version;
use crate::sys::{files, git};
use anyhow::{Context as _, Result, anyhow, ensure};
use report::view::words::count;
use toml::{Table, Value};
use xshell::Shell;

use crate::adopt::new_files::{NewFile, Step};
use crate::adopt::source::{PACKAGE, Source, workspace};

/// The line of a manifest below which everything is for the development of the gate itself, now and in former versions.
const NOT_ADOPTED: [&str; 2] = [
    "\n# --- What follows is for the development of the gate itself",
    "\n# --- What follows is for the tests of the gate itself",
];

/// The packages that are copied, by their folders here and below `xtask/vendor`.
const PACKAGES: [&str; 3] = ["crates/judge", "crates/report", "xtask"];
/// The folders of a package that are copied, where it has them.
const FOLDERS: [&str; 2] = ["src", "locust"];
/// The files of a package's folders that stay here: this repository's own commands, and tests.
const LEFT_OUT: [&str; 4] = ["src/main.rs", "src/bin", "src/repo", "locust/test_perf_listener.py"];
/// The files of the workspace that go along: the licences, and the style that `cargo fmt` is to find there too.
const BESIDE: [&str; 3] = ["LICENSE-APACHE", "LICENSE-MIT", "rustfmt.toml"];

/// The file that tells which files of the copy were edited.
const DIGESTS: &str = "vendor/digests.txt";
/// The listener, in a copy of the gate by the first edition, and by later ones.
const LISTENERS: [&str; 2] = ["locust/perf_listener.py", "vendor/xtask/locust/perf_listener.py"];

/// The adopted package, which only calls the gate; the line of the dependency comes last.
const MANIFEST: &str = "\
[package]
name = \"xtask\"
version = \"0.0.0\"
edition = \"2024\"
publish = false

[dependencies]
";
const MAIN: &str = "\
//! This repository's automation: `cargo xtask perf` is the performance gate, and `cargo xtask --help` says all of it.

fn main() -> std::process::ExitCode {
    locust_gate::main()
}
";
/// What `adopt` wrote as `main.rs` before it had versions.
const FORMER_MAINS: [&str; 1] = ["\
//! This repository's automation: `cargo xtask perf` is the performance gate of `vendor/`.

fn main() -> std::process::ExitCode {
    locust_gate::main()
}
"];

/// The line that depends on the copy.
const VENDORED: &str = "locust-gate = { path = \"vendor/xtask\" }";

/// What `cargo xtask` is in the other repository.
pub enum Present {
    /// There is none.
    Nothing,
    /// `adopt` made it.
    Ours,
    /// A package of the owner's, in this folder below the root.
    Own {
        /// The folder of its manifest, relative to the root.
        folder: String,
        /// The name of the package.
        package: String,
    },
}

impl Present {
    /// Looks at the folder `xtask`, and at the alias.
    ///
    /// # Errors
    ///
    /// Names a manifest that cannot be read, an `xtask` that is no package, and an alias whose package is not found.
    pub fn find(top: &Path, shell: &Shell, alias: Option<&str>) -> Result<Present> {
        let target = top.join("xtask");
        let aliased = alias.and_then(package_of_alias);
        if let Some(package) = &aliased
            && package != "xtask"
        {
            let folder = folder_of_package(top, shell, package).with_context(|| {
                format!("the alias `xtask` of cargo's configuration runs `{package}`, which is no package here: fix it, and adopt again")
            })?;
            return Ok(Present::Own { folder, package: package.clone() });
        }
        if fs::symlink_metadata(&target).is_err() {
            return Ok(Present::Nothing);
        }
        let manifest = target.join("Cargo.toml");
        ensure!(
            manifest.is_file(),
            "{} is there, and it is no Rust package: rename it, and adopt again",
            target.display()
        );
        let text = files::read_to_string(&manifest)?;
        let table = parse_toml(&text).with_context(|| manifest.display().to_string())?;
        let main = files::read_to_string(&target.join("src/main.rs")).unwrap_or_default();
        let is_copy = target.join(LISTENERS[0]).is_file();
        let calls_only = main == MAIN || FORMER_MAINS.contains(&main.as_str());
        if is_copy || (calls_only && is_generated(&text)) {
            return Ok(Present::Ours);
        }
        let package = table.get("package").and_then(|package| package.get("name")).and_then(Value::as_str);
        Ok(Present::Own { folder: "xtask".to_owned(), package: package.unwrap_or("xtask").to_owned() })
    }
}

/// Returns whether a manifest is the adopted one, whatever version of the gate it names.
fn is_generated(manifest: &str) -> bool {
    let (dependency, others): (Vec<&str>, Vec<&str>) =
        manifest.lines().partition(|line| line.starts_with("locust-gate = {"));
    dependency.len() == 1 && others == MANIFEST.lines().collect::<Vec<_>>()
}

/// Returns the package that an alias such as `run --package tools --` runs; `None` where it names none.
fn package_of_alias(alias: &str) -> Option<String> {
    let mut words = alias.split_whitespace();
    while let Some(word) = words.next() {
        if let Some(name) = word.strip_prefix("--package=") {
            return Some(name.to_owned());
        }
        if ["-p", "--package"].contains(&word) {
            return words.next().map(str::to_owned);
        }
    }
    None
}

/// Finds the folder of a package, relative to the root.
fn folder_of_package(top: &Path, shell: &Shell, package: &str) -> Option<String> {
    manifests(shell).into_iter().find_map(|manifest| {
        let table = parse_toml(&files::read_to_string(&top.join(&manifest)).ok()?).ok()?;
        let is_it = table.get("package")?.get("name")?.as_str() == Some(package);
        is_it.then(|| manifest.trim_end_matches("Cargo.toml").trim_end_matches('/').to_owned())
    })
}

/// Returns the manifests of the repository, relative to its root.
pub fn manifests(shell: &Shell) -> Vec<String> {
    let args = ["ls-files", "--cached", "--others", "--exclude-standard", "--", "Cargo.toml", "**/Cargo.toml"];
    let listed = git::read(shell, &args).ok().flatten().unwrap_or_default();
    listed.lines().map(str::to_owned).collect()
}

/// Parses TOML.
///
/// # Errors
///
/// Says what is wrong with it, in one line.
pub fn parse_toml(text: &str) -> Result<Table> {
    toml::from_str(text).map_err(|error| anyhow!("{}", error.message().replace('\n', " ")))
}

/// Makes the package that calls the gate, or tells the owner of another one how to call it.
///
/// # Errors
///
/// Names the files of a former copy that were edited, and a file that cannot be read.
pub fn package(top: &Path, present: &Present, source: &Source) -> Result<Step> {
    let target = top.join("xtask");
    let copy = match source {
        Source::Packaged => return Ok(Step { done: "not needed".to_owned(), ..Step::kept("xtask/") }),
        Source::Git(_) => Vec::new(),
        Source::Vendored { commit, .. } => copy(&target, commit.as_deref())?,
    };
    match present {
        Present::Own { folder, .. } => {
            let replaced = replace(&target, copy, &target.join("vendor"))?;
            let name = if replaced.is_empty() { format!("{folder}/") } else { "xtask/vendor/".to_owned() };
            let step = if replaced.is_empty() { Step::kept(name) } else { Step::created(name, replaced) };
            let advice = lines_for_owner(top, folder, source)?;
            let done = if step.writes.is_empty() { "yours, kept as it is".to_owned() } else { step.done };
            Ok(Step { done, advice, ..step })
        }
        Present::Nothing | Present::Ours => {
            let line = dependency(source).context("a package has no manifest")?;
            let mut wanted = copy;
            wanted.push(NewFile::new(target.join("Cargo.toml"), format!("{MANIFEST}{line}\n")));
            wanted.push(NewFile::new(target.join("src/main.rs"), MAIN));
            if matches!(present, Present::Nothing) {
                wanted.sort();
                return Ok(Step::created("xtask/", wanted));
            }
            let former = former(&target);
            let writes = replace(&target, wanted, &target)?;
            if writes.is_empty() {
                return Ok(Step::kept("xtask/"));
            }
            let removed = writes.iter().filter(|file| file.text.is_none()).count();
            let done = format!(
                "upgraded from {former} to {}: {} written, {} removed, none of which was edited",
                shown(source),
                count(writes.len() - removed, "file"),
                count(removed, "file")
            );
            Ok(Step { done, ..Step::created("xtask/", writes) })
        }
    }
}

/// Returns the line of a manifest in `xtask` that has the gate.
fn dependency(source: &Source) -> Option<String> {
    match source {
        Source::Git(dependency) => Some(dependency.line()),
        Source::Vendored { .. } => Some(VENDORED.to_owned()),
        Source::Packaged => None,
    }
}

fn shown(source: &Source) -> String {
    match source {
        Source::Git(dependency) => place_in(&dependency.line()),
        Source::Vendored { .. } | Source::Packaged => format!("a copy of {}", version::text()),
    }
}

/// Returns the version that the line of a dependency names: `tag = "v0.2.0"`.
fn place_in(line: &str) -> String {
    line.rsplit(", ").next().unwrap_or(line).trim_end_matches(" }").to_owned()
}

/// Describes what a former `adopt` left.
fn former(target: &Path) -> String {
    let manifest = files::read_to_string(&target.join("Cargo.toml")).unwrap_or_default();
    let line = manifest.lines().find(|line| line.starts_with("locust-gate = { git"));
    let digests = files::read_to_string(&target.join(DIGESTS)).unwrap_or_default();
    let version = digests.lines().next().and_then(|line| line.strip_prefix("# locust-gate ")?.split(',').next());
    match (line, version) {
        (Some(line), _) => place_in(line),
        (None, Some(version)) => format!("a copy of {version}"),
        (None, None) => "a copy without a version".to_owned(),
    }
}

/// Returns the lines that make the owner's program call the gate; none where it does.
fn lines_for_owner(top: &Path, folder: &str, source: &Source) -> Result<Vec<String>> {
    let name = format!("{folder}/Cargo.toml");
    let up = "../".repeat(Path::new(folder).components().count());
    let line = match (dependency(source), folder) {
        (Some(line), "xtask") => line,
        (Some(line), _) => line.replace("\"vendor/", &format!("\"{up}xtask/vendor/")),
        (None, _) => return Ok(Vec::new()),
    };
    let text = files::read_to_string(&top.join(&name))?;
    match text.lines().find(|line| line.starts_with("locust-gate =")) {
        Some(present) if present == line => Ok(Vec::new()),
        Some(_) => Ok(vec![format!("to upgrade, make this line of {name} so:"), line]),
        None => Ok(vec![
            format!("{folder} is yours: add this line to [dependencies] of {name}, and this arm to its commands:"),
            line,
            "Some(\"perf\" | \"history\") => return locust_gate::run(std::env::args_os().skip(1).collect()),"
                .to_owned(),
        ]),
    }
}

/// Returns the files of the copy: the gate's packages, without their tests, and the digests of all.
fn copy(target: &Path, commit: Option<&str>) -> Result<Vec<NewFile>> {
    let vendor = target.join("vendor");
    let mut copied = Vec::new();
    for name in BESIDE {
        copied.push(NewFile::new(vendor.join(name), files::read_to_string(&workspace()?.join(name))?));
    }
    copied.push(NewFile::new(
        vendor.join("xtask/README.md"),
        files::read_to_string(&Path::new(PACKAGE).join("README.md"))?,
    ));
    for package in PACKAGES {
        copied.extend(copied_package(&workspace()?.join(package), &vendor.join(package), commit)?);
    }
    copied.sort();
    let mut digests = format!(
        "# locust-gate {}, copied by `cargo xtask adopt`, which replaces these files where they are unchanged.\n",
        version::text()
    );
    for NewFile { path, text } in &copied {
        let path = path.strip_prefix(target).unwrap_or(path);
        let digest = git::blob_hash(text.as_deref().unwrap_or_default().as_bytes());
        let _ = writeln!(digests, "{digest}  {}", path.display());
    }
    copied.push(NewFile::new(target.join(DIGESTS), digests));
    Ok(copied)
}

/// Returns the files of one package, without what is for its own development.
fn copied_package(source: &Path, target: &Path, commit: Option<&str>) -> Result<Vec<NewFile>> {
    let manifest = cut(&files::read_to_string(&source.join("Cargo.toml"))?).to_owned();
    // The commit is a part of the version, so that the program can tell it.
    let own = format!("version = \"{}\"", version::number());
    let manifest = match commit {
        Some(commit) => manifest.replacen(&own, &format!("version = \"{}+{commit}\"", version::number()), 1),
        None => manifest,
    };
    let mut writes = vec![NewFile::new(target.join("Cargo.toml"), manifest)];
    let mut folders: Vec<PathBuf> =
        FOLDERS.iter().map(PathBuf::from).filter(|folder| source.join(folder).is_dir()).collect();
    while let Some(folder) = folders.pop() {
        let unreadable = || format!("cannot read {}", source.join(&folder).display());
        for entry in fs::read_dir(source.join(&folder)).with_context(unreadable)? {
            let path = folder.join(entry.with_context(unreadable)?.file_name());
            let is_left_out = LEFT_OUT.iter().any(|left_out| path == Path::new(left_out));
            if is_left_out || path.extension().is_some_and(|extension| extension == "pyc") {
                continue;
            }
            if source.join(&path).is_dir() {
                folders.push(path);
            } else {
                writes.push(NewFile::new(target.join(&path), files::read_to_string(&source.join(&path))?));
            }
        }
    }
    Ok(writes)
}

/// Returns a manifest without what is for the development of the gate itself.
fn cut(manifest: &str) -> &str {
    let end = NOT_ADOPTED.iter().filter_map(|mark| manifest.find(mark)).min();
    &manifest[..end.unwrap_or(manifest.len())]
}

/// Returns the changes that make the folder `below` hold the wanted files and no other.
///
/// # Errors
///
/// Names the files there that no `adopt` wrote: their owner's changes would be lost.
fn replace(target: &Path, wanted: Vec<NewFile>, below: &Path) -> Result<Vec<NewFile>> {
    let mut known = Known::read(target);
    let texts: HashMap<&Path, &str> =
        wanted.iter().filter_map(|file| Some((file.path.as_path(), file.text.as_deref()?))).collect();
    let (mut edited, mut removed, mut same) = (Vec::new(), Vec::new(), BTreeSet::new());
    for path in files_below(below)? {
        let text = files::read_to_string(&path)?;
        let name = path.strip_prefix(target).unwrap_or(&path).to_string_lossy().into_owned();
        if texts.get(path.as_path()) == Some(&text.as_str()) {
            same.insert(path);
        } else if !known.has(&name, &text)? {
            edited.push(format!("xtask/{name}"));
        } else if !texts.contains_key(path.as_path()) {
            removed.push(NewFile { path, text: None });
        }
    }
    ensure!(
        edited.is_empty(),
        "no version of the gate that is known here has these files, so they were edited: {}; undo the changes, or move them elsewhere, and adopt again{}",
        edited.join(" "),
        known.advice()
    );
    let mut changes: Vec<NewFile> = wanted.into_iter().filter(|file| !same.contains(&file.path)).collect();
    changes.extend(removed);
    changes.sort();
    Ok(changes)
}

/// Returns the files in a folder and below, without what programs leave there.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        let unreadable = || format!("cannot read {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(unreadable)? {
            let path = entry.with_context(unreadable)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match path {
                _ if ["target", "__pycache__", "Cargo.lock"].contains(&name.as_str()) => {}
                path if path.is_dir() && !path.is_symlink() => folders.push(path),
                path => found.push(path),
            }
        }
    }
    found.sort();
    Ok(found)
}

/// What tells a file that `adopt` wrote from one that was edited since.
struct Known {
    /// The digests that were written beside a copy, by path from `xtask`.
    digests: HashMap<String, String>,
    /// The digests of all files in the history of the gate, once they are asked for.
    history: Option<HashSet<String>>,
}

impl Known {
    fn read(target: &Path) -> Known {
        let text = files::read_to_string(&target.join(DIGESTS)).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once("  "));
        let digests = lines.map(|(digest, path)| (path.to_owned(), digest.to_owned())).collect();
        Known { digests, history: None }
    }

    fn has(&mut self, name: &str, text: &str) -> Result<bool> {
        let digest = git::blob_hash(text.as_bytes());
        let is_generated = name == DIGESTS
            || (name == "Cargo.toml" && is_generated(text))
            || (name == "src/main.rs" && (text == MAIN || FORMER_MAINS.contains(&text)));
        if is_generated || self.digests.get(name) == Some(&digest) {
            return Ok(true);
        }
        if self.history.is_none() {
            self.history = Some(history()?);
        }
        Ok(self.history.as_ref().is_some_and(|history| history.contains(&digest)))
    }

    /// Says what may be wrong where a file is not known.
    fn advice(&self) -> &'static str {
        let is_short = self.history.as_ref().is_some_and(HashSet::is_empty);
        if is_short { " (this checkout of the gate has no history to tell former versions by)" } else { "" }
    }
}

/// Returns the digests of all files that the gate's repository ever had, as a copy has them.
fn history() -> Result<HashSet<String>> {
    let shell = Shell::new()?;
    shell.change_dir(workspace()?);
    let args = ["rev-list", "--objects", "--all", "--", "xtask", "crates", BESIDE[0], BESIDE[1], BESIDE[2]];
    let listed = git::read(&shell, &args)?.unwrap_or_default();
    let mut digests = HashSet::new();
    for line in listed.lines() {
        let (digest, path) = line.split_once(' ').unwrap_or((line, ""));
        digests.insert(digest.to_owned());
        if path.ends_with("/Cargo.toml")
            && let Some(manifest) = git::read(&shell, &["cat-file", "blob", digest])?
        {
            // The answer comes without its last line break.
            for text in [cut(&manifest).to_owned(), format!("{}\n", cut(&manifest))] {
                digests.insert(git::blob_hash(text.as_bytes()));
            }
        }
    }
    Ok(digests)
}

/// Returns whether the gate's repository ever had this file.
///
/// # Errors
///
/// Says that git hangs, or that a signal came.
pub fn was_ours(text: &str) -> Result<bool> {
    Ok(history()?.contains(&git::blob_hash(text.as_bytes())))
}
