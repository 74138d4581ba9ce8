//! The story of `cargo xtask adopt PATH`: the gate goes into another repository, all of it or nothing.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};
use toml::{Table, Value};
use wildmatch::WildMatch;
use xshell::Shell;

use crate::flags::Adopt;
use crate::project::locust_settings;
use crate::{files, git, process};

/// This package: what is adopted is what was built.
const SOURCE: &str = env!("CARGO_MANIFEST_DIR");

/// In its manifest; what stands below is for its own tests, which stay here.
const NOT_ADOPTED: &str = "\n# --- What follows is for the tests of the gate itself";

/// Of the package, beside its manifest.
const FOLDERS: [&str; 3] = ["src", "locust", "adopt"];
/// Of the package, or of the workspace around it: the licences, and the style that `cargo fmt` is to find here too.
const BESIDE: [&str; 3] = ["LICENSE-APACHE", "LICENSE-MIT", "rustfmt.toml"];

const PERF_TOML: &str = include_str!("../adopt/perf.toml");
const LOCUSTFILE: &str = include_str!("../adopt/locustfile.py");
const WORKFLOW: &str = include_str!("../adopt/perf.yml");

/// In the starter's `perf.toml`, where the owner is to say how the service is started.
pub const PLACEHOLDER: &str = "./my-service";

pub const ALIAS: &str = "[alias]\nxtask = \"run --quiet --package xtask --bin xtask --\"\n";

const MANIFEST: &str = "\
[workspace]
members = [\"xtask\"]
resolver = \"3\"

# Every CI run pays for the cold build, and a panic names its line without it.
[profile.dev]
debug = false
";

/// A line of `.gitignore`, and a path that it is there for.
const IGNORED: [(&str, &str); 3] =
    [("/target/", "target/x"), ("__pycache__/", "__pycache__/x"), ("perf_report.html", "perf_report.html")];

/// What becomes of one thing, and what its owner has to do.
struct Step {
    name: &'static str,
    /// Each with its text, whether new or there already.
    writes: Vec<(PathBuf, String)>,
    done: String,
    /// Lines to be read, the first of them a sentence.
    advice: Vec<String>,
}

/// Copies the gate into the git repository at the path. What it did to each file, and what comes next.
///
/// An error, and nothing done: no root of a repository, another `xtask` there, a manifest that cannot be read, a file that
/// cannot be written.
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
    for (path, text) in steps.iter().flat_map(|step| &step.writes) {
        process::check_interrupted()?;
        undo.write(path, text)?;
    }
    undo.0.clear();
    // 3. Say it.
    Ok(summary(&root, &steps, &hidden(&shell, &steps)))
}

fn root_of_repository(path: &Path) -> Result<PathBuf> {
    let shown = path.display();
    let root = fs::canonicalize(path).with_context(|| format!("cannot adopt the gate into {shown}"))?;
    ensure!(root.is_dir(), "cannot adopt the gate into {shown}: it is a file; name the repository's folder");
    let shell = Shell::new()?;
    shell.change_dir(&root);
    let top = git::read(git::command(&shell, &["rev-parse", "--show-toplevel"])).with_context(|| {
        format!("{shown} is no git repository, and a baseline must be committed: run `git init` there first")
    })?;
    ensure!(
        fs::canonicalize(&top).is_ok_and(|top| top == root),
        "{shown} is a folder inside the repository {top}, and the workflow belongs to its root: name that one"
    );
    ensure!(
        Path::new(SOURCE).parent().is_none_or(|own| own != root),
        "{shown} is where this gate is already: name another repository"
    );
    Ok(root)
}

/// The package itself, without its tests.
fn package(root: &Path) -> Result<Step> {
    let source = Path::new(SOURCE);
    ensure!(
        source.is_dir(),
        "the source of this program has gone from {SOURCE}: run `cargo xtask adopt` in its repository"
    );
    let target = root.join("xtask");
    if is_adopted(root) {
        return Ok(Step::kept("xtask/", "to have it anew, delete the folder and adopt again"));
    }
    ensure!(
        fs::symlink_metadata(&target).is_err(),
        "{} is there, and it is another xtask than the gate: rename it, or copy {SOURCE} under another name by hand",
        target.display()
    );
    let text = files::read_to_string(&source.join("Cargo.toml"))?;
    let manifest = text.split(NOT_ADOPTED).next().unwrap_or_default().to_owned();
    let mut writes = vec![(target.join("Cargo.toml"), manifest)];
    writes.push((target.join("README.md"), files::read_to_string(&source.join("README.md"))?));
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(PathBuf::from).collect();
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(source.join(&folder)).with_context(|| format!("cannot read {SOURCE}"))?;
        for entry in entries {
            let path = folder.join(entry.with_context(|| format!("cannot read {SOURCE}"))?.file_name());
            if source.join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension != "pyc") {
                writes.push((target.join(&path), files::read_to_string(&source.join(&path))?));
            }
        }
    }
    for name in BESIDE {
        let found = [source.join(name), source.join("..").join(name)].into_iter().find(|path| path.is_file());
        let found =
            found.with_context(|| format!("there is no {name} in {SOURCE} or beside it: restore it from git"))?;
        writes.push((target.join(name), files::read_to_string(&found)?));
    }
    writes.sort();
    Ok(Step::created("xtask/", writes))
}

/// The versions that the gate was tested with; cargo drops what is not needed. Of a workspace that is there it is not
/// ours to say.
fn lock_file(root: &Path) -> Result<Option<Step>> {
    let ours = Path::new(SOURCE).join("../Cargo.lock");
    if root.join("Cargo.toml").exists() || !ours.is_file() {
        return Ok(None);
    }
    Ok(Some(create_or_keep(root, "Cargo.lock", &files::read_to_string(&ours)?)))
}

fn manifest(root: &Path) -> Result<Step> {
    let path = root.join("Cargo.toml");
    if !path.exists() {
        return Ok(Step::created("Cargo.toml", vec![(path, MANIFEST.to_owned())]));
    }
    let text = files::read_to_string(&path)?;
    let kept = Step {
        advice: lines_for_manifest(&text).with_context(|| path.display().to_string())?,
        ..Step::kept("Cargo.toml", "")
    };
    Ok(kept)
}

/// The two lines that make `xtask` a member of the workspace; none where it is one.
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

/// An earlier call has been here.
fn is_adopted(root: &Path) -> bool {
    root.join("xtask/locust/perf_listener.py").is_file()
}

fn parse_toml(text: &str) -> Result<Table> {
    toml::from_str(text).map_err(|error| anyhow!("{}", error.message().replace('\n', " ")))
}

/// Only where neither a file nor Locust's own configuration says that there is one.
fn locustfile(root: &Path) -> Result<Step> {
    let named = locust_settings(root)?.get("locustfile", |text| Ok(text.to_owned()))?;
    match named {
        Some(named) if named != "locustfile.py" => {
            let done = format!("not created: Locust's own configuration names {named}");
            Ok(Step { done, ..Step::kept("locustfile.py", "") })
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
    let known = ignored(shell, IGNORED.iter().map(|(_, path)| (*path).to_owned()));
    let missing: Vec<&str> =
        IGNORED.iter().filter(|(_, path)| !known.iter().any(|known| known == path)).map(|(line, _)| *line).collect();
    if missing.is_empty() {
        return Ok(Step::kept(".gitignore", ""));
    }
    let end = if former.is_empty() || former.ends_with('\n') { "" } else { "\n" };
    let done = format!("{} {}", if path.exists() { "added" } else { "created with" }, missing.join(" "));
    let text = format!("{former}{end}{}\n", missing.join("\n"));
    Ok(Step { name: ".gitignore", writes: vec![(path, text)], done, advice: Vec::new() })
}

/// Those of the paths that git ignores by the repository's own rules: a colleague does not have the user's.
fn ignored(shell: &Shell, paths: impl Iterator<Item = String>) -> Vec<String> {
    let check = git::command(shell, &["-c", "core.excludesFile=/dev/null", "check-ignore", "--no-index", "--"]);
    git::read(check.args(paths)).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// What must be committed, and git will not take.
fn hidden(shell: &Shell, steps: &[Step]) -> Vec<String> {
    let root = shell.current_dir();
    let written = steps.iter().flat_map(|step| &step.writes).filter_map(|(path, _)| path.strip_prefix(&root).ok());
    ignored(shell, written.map(|path| path.display().to_string()).chain(["perf_baseline.json".to_owned()]))
}

fn create_or_keep(root: &Path, name: &'static str, text: &str) -> Step {
    let path = root.join(name);
    // A link that leads nowhere is somebody's file too.
    let is_there = fs::symlink_metadata(&path).is_ok();
    if is_there { Step::kept(name, "") } else { Step::created(name, vec![(path, text.to_owned())]) }
}

impl Step {
    fn created(name: &'static str, writes: Vec<(PathBuf, String)>) -> Step {
        let done = if writes.len() == 1 { "created".to_owned() } else { format!("created, {} files", writes.len()) };
        Step { name, writes, done, advice: Vec::new() }
    }

    fn kept(name: &'static str, why: &str) -> Step {
        let done = if why.is_empty() { "kept as it is".to_owned() } else { format!("kept as it is; {why}") };
        Step { name, writes: Vec::new(), done, advice: Vec::new() }
    }
}

/// What was written, to take it back: a path, and the text that was there. Folders are there too, as what is new.
#[derive(Default)]
struct Undo(Vec<(PathBuf, Option<String>)>);

impl Undo {
    fn write(&mut self, path: &Path, text: &str) -> Result<()> {
        let folder = path.parent().unwrap_or(path);
        let mut missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
        missing.reverse();
        for folder in missing {
            fs::create_dir(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            self.0.push((folder.to_owned(), None));
        }
        let former = if path.exists() { Some(files::read_to_string(path)?) } else { None };
        files::write_atomically(path, text)?;
        self.0.push((path.to_owned(), former));
        Ok(())
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        for (path, former) in self.0.drain(..).rev() {
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
        next.push(format!("git ignores what must be committed, mend .gitignore: {}", hidden.join(" ")));
    }
    if steps.iter().any(|step| !step.writes.is_empty()) {
        next.push("say in perf.toml how the service is started, and in the locustfile what its users do".to_owned());
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
