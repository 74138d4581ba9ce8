//! The story of `cargo xtask adopt PATH`: it installs the gate in another repository, all of it or nothing.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};
use locust_gate::project::locust_settings;
use locust_gate::system::{files, git, process};
use toml::{Table, Value};
use wildmatch::WildMatch;
use xshell::Shell;

use crate::repo::flags::Adopt;

/// The package of this program: what is adopted is what was built.
const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");

/// The line of a manifest below which everything is for the development of the gate itself.
const NOT_ADOPTED: &str = "\n# --- What follows is for the development of the gate itself";

/// The packages that are adopted, by their folders here and below `xtask/vendor`.
const PACKAGES: [&str; 3] = ["crates/judge", "crates/report", "xtask"];
/// The folders of a package that are adopted, where it has them.
const FOLDERS: [&str; 2] = ["src", "locust"];
/// The files of a package's folders that stay here: this repository's own commands, and tests.
const LEFT_OUT: [&str; 3] = ["src/main.rs", "src/repo", "locust/test_perf_listener.py"];
/// The files of the workspace that go along: the licences, and the style that `cargo fmt` is to find there too.
const BESIDE: [&str; 3] = ["LICENSE-APACHE", "LICENSE-MIT", "rustfmt.toml"];

const PERF_TOML: &str = include_str!("../../adopt/perf.toml");
const LOCUSTFILE: &str = include_str!("../../adopt/locustfile.py");
const WORKFLOW: &str = include_str!("../../adopt/perf.yml");

const ALIAS: &str = "[alias]\nxtask = \"run --package xtask --bin xtask --\"\n";

/// The adopted package itself, which only calls the gate.
const XTASK_MANIFEST: &str = "\
[package]
name = \"xtask\"
version = \"0.0.0\"
edition = \"2024\"
publish = false

[dependencies]
locust-gate = { path = \"vendor/xtask\" }
";

const XTASK_MAIN: &str = "\
//! This repository's automation: `cargo xtask perf` is the performance gate of `vendor/`.

fn main() -> std::process::ExitCode {
    locust_gate::main()
}
";

const MANIFEST: &str = "\
[workspace]
members = [\"xtask\"]
resolver = \"3\"

# Every CI run pays for the cold build, and a panic names its line without it.
[profile.dev]
debug = false
";

/// A line of `.gitignore`, and a path that it is there for.
struct Ignored {
    line: &'static str,
    path: &'static str,
}

const IGNORED: [Ignored; 3] = [
    Ignored { line: "/target/", path: "target/x" },
    Ignored { line: "__pycache__/", path: "__pycache__/x" },
    Ignored { line: "perf_report.html", path: "perf_report.html" },
];

/// One file or folder: the change that is made to it, and the advice to its owner.
struct Step {
    name: &'static str,
    writes: Vec<NewFile>,
    done: String,
    /// Advice in lines, the first of them a sentence.
    advice: Vec<String>,
}

/// A file to be written, whether it is there already or not.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct NewFile {
    path: PathBuf,
    text: String,
}

/// Installs the gate in the git repository at the path. Returns what was done to each file, and the next steps.
///
/// # Errors
///
/// Does nothing, and names the reason: no root of a repository, another `xtask` there, a manifest that cannot be read, a
/// file that cannot be written.
pub fn adopt(flags: &Adopt) -> Result<String> {
    process::catch_signals()?;
    // 1. Find both sides, and what is to be done.
    let root = root_of_repository(&flags.path)?;
    let shell = Shell::new()?;
    shell.change_dir(&root);
    let steps: Vec<Step> = [
        Some(package(&root)?),
        Some(manifest(&root)?),
        lock_file(&root)?,
        Some(alias(&root)?),
        Some(create_or_keep(&root, "perf.toml", PERF_TOML)),
        Some(locustfile(&root)?),
        Some(gitignore(&shell, &root)?),
        Some(workflow(&root)),
    ]
    .into_iter()
    .flatten()
    .collect();
    // 2. Do it, or take it back.
    let mut undo = Undo::default();
    for NewFile { path, text } in steps.iter().flat_map(|step| &step.writes) {
        process::check_interrupted()?;
        undo.write(path, text)?;
    }
    undo.changes.clear();
    // 3. Say it.
    Ok(summary(&root, &steps, &hidden(&shell, &steps)))
}

fn root_of_repository(path: &Path) -> Result<PathBuf> {
    let shown = path.display();
    let root = fs::canonicalize(path).with_context(|| format!("cannot install the gate in {shown}"))?;
    ensure!(root.is_dir(), "cannot install the gate in {shown}: it is a file; name the repository's folder");
    let shell = Shell::new()?;
    shell.change_dir(&root);
    let top = git::read(&shell, &["rev-parse", "--show-toplevel"])?.with_context(|| {
        format!("{shown} is no git repository, and a baseline must be committed: run `git init` there first")
    })?;
    ensure!(
        fs::canonicalize(&top).is_ok_and(|top| top == root),
        "{shown} is a folder inside the repository {top}, and the workflow belongs to its root: name that one"
    );
    ensure!(workspace() != root, "{shown} is where this gate is already: name another repository");
    Ok(root)
}

/// Returns the root of this workspace.
fn workspace() -> &'static Path {
    Path::new(PACKAGE).parent().unwrap_or(Path::new(PACKAGE))
}

/// Makes the package that calls the gate, and the gate's own packages, without their tests.
fn package(root: &Path) -> Result<Step> {
    let target = root.join("xtask");
    ensure!(
        Path::new(PACKAGE).is_dir(),
        "the source of this program has gone from {PACKAGE}: run `cargo xtask adopt` in its repository"
    );
    if is_adopted(root) {
        return Ok(Step::kept_because("xtask/", "to renew it, delete the folder and adopt again"));
    }
    ensure!(
        fs::symlink_metadata(&target).is_err(),
        "{} is there, and it is another xtask than the gate: rename it, or copy the gate under another name by hand",
        target.display()
    );
    let new = |name: &str, text: &str| NewFile { path: target.join(name), text: text.to_owned() };
    let mut writes = vec![new("Cargo.toml", XTASK_MANIFEST), new("src/main.rs", XTASK_MAIN)];
    for name in BESIDE {
        writes.push(new(name, &files::read_to_string(&workspace().join(name))?));
    }
    writes.push(new("README.md", &files::read_to_string(&Path::new(PACKAGE).join("README.md"))?));
    for package in PACKAGES {
        writes.extend(vendored(&workspace().join(package), &target.join("vendor").join(package))?);
    }
    writes.sort();
    Ok(Step::created("xtask/", writes))
}

/// Returns the files of one package, without what is for its own development.
fn vendored(source: &Path, target: &Path) -> Result<Vec<NewFile>> {
    let manifest = files::read_to_string(&source.join("Cargo.toml"))?;
    let manifest = manifest.split(NOT_ADOPTED).next().unwrap_or_default().to_owned();
    let mut writes = vec![NewFile { path: target.join("Cargo.toml"), text: manifest }];
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
                let text = files::read_to_string(&source.join(&path))?;
                writes.push(NewFile { path: target.join(&path), text });
            }
        }
    }
    Ok(writes)
}

/// Keeps the versions that the gate was tested with; cargo drops what is not needed. In a workspace that is there already
/// the versions are its owner's choice.
fn lock_file(root: &Path) -> Result<Option<Step>> {
    let ours = workspace().join("Cargo.lock");
    if root.join("Cargo.toml").exists() || !ours.is_file() {
        return Ok(None);
    }
    Ok(Some(create_or_keep(root, "Cargo.lock", &files::read_to_string(&ours)?)))
}

fn manifest(root: &Path) -> Result<Step> {
    let path = root.join("Cargo.toml");
    if !path.exists() {
        return Ok(Step::created("Cargo.toml", vec![NewFile { path, text: MANIFEST.to_owned() }]));
    }
    let text = files::read_to_string(&path)?;
    let kept = Step {
        advice: lines_for_manifest(&text).with_context(|| path.display().to_string())?,
        ..Step::kept("Cargo.toml")
    };
    Ok(kept)
}

/// Returns the lines that make `xtask` a member of the workspace; none where it is one.
fn lines_for_manifest(text: &str) -> Result<Vec<String>> {
    let manifest = parse_toml(text)?;
    let Some(workspace) = manifest.get("workspace").and_then(Value::as_table) else {
        let lines = ["add these two lines to Cargo.toml:", "[workspace]", "members = [\"xtask\"]"];
        return Ok(lines.map(str::to_owned).into());
    };
    let members = workspace.get("members").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut members: Vec<&str> = members.iter().filter_map(Value::as_str).collect();
    if members.iter().any(|member| WildMatch::new(member).matches("xtask")) {
        return Ok(Vec::new());
    }
    members.push("xtask");
    let lines = ["make these two lines of Cargo.toml so:", "[workspace]", &format!("members = {members:?}")];
    Ok(lines.map(str::to_owned).into())
}

fn alias(root: &Path) -> Result<Step> {
    // Cargo reads the older name too, and that one first.
    let name = if root.join(".cargo/config").exists() { ".cargo/config" } else { ".cargo/config.toml" };
    let step = create_or_keep(root, name, ALIAS);
    if !step.writes.is_empty() {
        return Ok(step);
    }
    let path = root.join(name);
    let config = parse_toml(&files::read_to_string(&path)?).with_context(|| path.display().to_string())?;
    let (aliases, ours) = (config.get("alias"), &parse_toml(ALIAS)?["alias"]["xtask"]);
    let advice = match aliases.and_then(|aliases| aliases.get("xtask")) {
        Some(alias) => {
            ensure!(
                alias == ours || is_adopted(root),
                "{}: the alias `xtask` runs another program: rename it, and adopt again",
                path.display()
            );
            Vec::new()
        }
        None if aliases.is_some() => {
            vec![format!("add this line to [alias] in {name}:"), ALIAS.lines().skip(1).collect()]
        }
        None => format!("add these two lines to {name}:\n{ALIAS}").lines().map(str::to_owned).collect(),
    };
    Ok(Step { advice, ..step })
}

/// Returns whether the gate is there already.
fn is_adopted(root: &Path) -> bool {
    root.join("xtask/vendor/xtask/locust/perf_listener.py").is_file()
}

fn parse_toml(text: &str) -> Result<Table> {
    toml::from_str(text).map_err(|error| anyhow!("{}", error.message().replace('\n', " ")))
}

/// Makes a starter, unless a file or Locust's own configuration says that there is a locustfile.
fn locustfile(root: &Path) -> Result<Step> {
    let named = locust_settings(root)?.get("locustfile", |text| Ok(text.to_owned()))?;
    match named {
        Some(named) if named != "locustfile.py" => {
            let done = format!("not created: Locust's own configuration names {named}");
            Ok(Step { done, ..Step::kept("locustfile.py") })
        }
        _ => Ok(create_or_keep(root, "locustfile.py", LOCUSTFILE)),
    }
}

fn workflow(root: &Path) -> Step {
    let name = ".github/workflows/perf.yml";
    let mut step = create_or_keep(root, name, WORKFLOW);
    if !step.writes.is_empty() {
        step.advice.push(format!("say in {name} what the service needs on the runner to be built and started"));
    }
    step
}

fn gitignore(shell: &Shell, root: &Path) -> Result<Step> {
    let path = root.join(".gitignore");
    let former = if path.exists() { files::read_to_string(&path)? } else { String::new() };
    let known = ignored(shell, IGNORED.iter().map(|ignored| ignored.path.to_owned()));
    let mut missing: Vec<&str> = Vec::new();
    for Ignored { line, path } in IGNORED {
        if !known.iter().any(|known| known == path) {
            missing.push(line);
        }
    }
    if missing.is_empty() {
        return Ok(Step::kept(".gitignore"));
    }
    let end = if former.is_empty() || former.ends_with('\n') { "" } else { "\n" };
    let done = format!("{} {}", if path.exists() { "added" } else { "created with" }, missing.join(" "));
    let text = format!("{former}{end}{}\n", missing.join("\n"));
    Ok(Step { name: ".gitignore", writes: vec![NewFile { path, text }], done, advice: Vec::new() })
}

/// Returns the paths that git ignores by the repository's own rules: a colleague does not have the user's.
fn ignored(shell: &Shell, paths: impl Iterator<Item = String>) -> Vec<String> {
    let paths: Vec<String> = paths.collect();
    let mut args = vec!["-c", "core.excludesFile=/dev/null", "check-ignore", "--no-index", "--"];
    args.extend(paths.iter().map(String::as_str));
    git::read(shell, &args).ok().flatten().unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Returns the files that must be committed and that git ignores.
fn hidden(shell: &Shell, steps: &[Step]) -> Vec<String> {
    let root = shell.current_dir();
    let written = steps.iter().flat_map(|step| &step.writes).filter_map(|file| file.path.strip_prefix(&root).ok());
    ignored(shell, written.map(|path| path.display().to_string()).chain(["perf_baseline.json".to_owned()]))
}

fn create_or_keep(root: &Path, name: &'static str, text: &str) -> Step {
    let path = root.join(name);
    // A link that leads nowhere is somebody's file too.
    if fs::symlink_metadata(&path).is_ok() {
        Step::kept(name)
    } else {
        Step::created(name, vec![NewFile { path, text: text.to_owned() }])
    }
}

impl Step {
    fn created(name: &'static str, writes: Vec<NewFile>) -> Step {
        let done = if writes.len() == 1 { "created".to_owned() } else { format!("created, {} files", writes.len()) };
        Step { name, writes, done, advice: Vec::new() }
    }

    fn kept(name: &'static str) -> Step {
        Step { name, writes: Vec::new(), done: "kept as it is".to_owned(), advice: Vec::new() }
    }

    fn kept_because(name: &'static str, why: &str) -> Step {
        Step { done: format!("kept as it is; {why}"), ..Step::kept(name) }
    }
}

/// The changes that were made. Dropping them takes everything back.
#[derive(Default)]
struct Undo {
    changes: Vec<Change>,
}

/// A file or a folder that was made or changed.
struct Change {
    path: PathBuf,
    /// The text that was there; `None` where there was no such file or folder.
    former: Option<String>,
}

impl Undo {
    fn write(&mut self, path: &Path, text: &str) -> Result<()> {
        let folder = path.parent().unwrap_or(path);
        let mut missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
        missing.reverse();
        for folder in missing {
            fs::create_dir(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            self.changes.push(Change { path: folder.to_owned(), former: None });
        }
        let former = if path.exists() { Some(files::read_to_string(path)?) } else { None };
        files::write_atomically(path, text)?;
        self.changes.push(Change { path: path.to_owned(), former });
        Ok(())
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        for Change { path, former } in self.changes.drain(..).rev() {
            let _ = match former {
                Some(former) => files::write_atomically(&path, &former),
                None if path.is_dir() => fs::remove_dir(&path).map_err(Into::into),
                None => fs::remove_file(&path).map_err(Into::into),
            };
        }
    }
}

fn summary(root: &Path, steps: &[Step], hidden: &[String]) -> String {
    let mut text = String::new();
    let width = steps.iter().map(|step| step.name.len()).max().unwrap_or(0);
    for step in steps {
        let _ = writeln!(text, "{:width$}  {}", step.name, step.done);
    }
    let mut next: Vec<String> =
        steps.iter().filter(|step| !step.advice.is_empty()).map(|step| step.advice.join("\n       ")).collect();
    if !hidden.is_empty() {
        next.push(format!("git ignores files that must be committed; fix .gitignore: {}", hidden.join(" ")));
    }
    if steps.iter().any(|step| !step.writes.is_empty()) {
        next.push("edit perf.toml (how to start the service) and the locustfile (what users do)".to_owned());
        next.push("measure the baseline: cargo xtask perf --update-baseline".to_owned());
        next.push("commit all of it; from then on the gate is `cargo xtask perf`, here and in CI".to_owned());
    }
    if next.is_empty() {
        let _ = write!(text, "\nThe gate is in {} already.", root.display());
        return text;
    }
    let _ = write!(text, "\nThe gate is in {}. What comes next:", root.display());
    for (number, line) in next.iter().enumerate() {
        let _ = write!(text, "\n  {}. {line}", number + 1);
    }
    text
}
