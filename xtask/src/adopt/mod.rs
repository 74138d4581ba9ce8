//! The story of `cargo xtask adopt PATH`: it installs the gate in another repository, all of it or nothing.

pub mod found;
pub mod new_files;
pub mod package;
pub mod source;
pub mod workflow;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::config::locust_conf::LocustConf;
use crate::config::perf_toml::Config;
use crate::sys::{files, git, process};
use anyhow::{Context as _, Result, ensure};
use judge::model::program;
use toml::{Table, Value};
use wildmatch::WildMatch;
use xshell::Shell;

use crate::adopt::found::locustfiles;
use crate::adopt::new_files::{NewFile, Place, Step, write_all};
use crate::adopt::package::{Present, manifests, package, parse_toml};
use crate::adopt::source::{Source, workspace};
use crate::adopt::workflow::workflow;
use crate::repo_flags::Adopt;

const PERF_TOML: &str = include_str!("../../adopt/perf.toml");
const LOCUSTFILE: &str = include_str!("../../adopt/locustfile.py");

const ALIAS: &str = "[alias]\nxtask = \"run --package xtask --bin xtask --\"\n";

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

/// Git merges two baselines line by line into one that nobody measured, unless it is told not to.
const NO_MERGE: &str = "perf_baseline.json -merge";

/// Installs the gate in the git repository at the path, or in a folder of it. Returns what was done to each file, and the
/// next steps; with `--check` what would be done.
///
/// # Errors
///
/// Does nothing, and names the reason: no git repository, a manifest that cannot be read, a former copy that was edited, a
/// file that cannot be written.
pub fn adopt(flags: &Adopt) -> Result<String> {
    process::catch_signals()?;
    // 1. Find both sides.
    let place = place(&flags.path)?;
    let source = Source::find(flags.vendor)?;
    let at_top = Shell::new()?;
    at_top.change_dir(&place.top);
    let in_folder = Shell::new()?;
    in_folder.change_dir(&place.folder);
    let alias = present_alias(&place.top)?;
    let present = Present::find(&place.top, &at_top, alias.as_deref())?;
    // 2. Decide what is to be done.
    let mut steps = Vec::new();
    if !matches!(source, Source::Packaged) {
        steps.push(package(&place.top, &present, &source)?);
        if !matches!(present, Present::Own { .. }) {
            steps.push(manifest(&place.top, &at_top)?);
            steps.extend(lock_file(&place.top)?);
        }
        steps.extend(alias_step(&place, alias.as_deref(), &present)?);
    }
    let starter = Starter::find(&place, &in_folder)?;
    let perf_toml = perf_toml(&place, &in_folder, starter.found.as_deref())?;
    let is_upgrade = matches!(present, Present::Ours) && perf_toml.writes.is_empty();
    steps.extend([perf_toml, starter.step]);
    if !matches!(source, Source::Packaged) && !place.inside.is_empty() {
        steps.extend(ignore(&at_top, &place.top, "", &IGNORED[..1])?);
    }
    steps.extend(ignore(&in_folder, &place.folder, &place.inside, &IGNORED)?);
    steps.push(attributes(&in_folder, &place)?);
    steps.extend(dockerignore(&place)?);
    steps.push(workflow(&place, &present, &source)?);
    // 3. Do it, or take it back.
    if !flags.check {
        write_all(steps.iter().flat_map(|step| &step.writes))?;
    }
    // 4. Say it.
    let hidden = hidden(&at_top, &place, &steps);
    Ok(summary(flags, &place, &source, is_upgrade, &steps, &hidden))
}

/// Finds the repository around the path, and the folder in it.
fn place(path: &Path) -> Result<Place> {
    let shown = path.display();
    let folder = fs::canonicalize(path).with_context(|| format!("cannot install the gate in {shown}"))?;
    ensure!(folder.is_dir(), "cannot install the gate in {shown}: it is a file; name the repository's folder");
    let shell = Shell::new()?;
    shell.change_dir(&folder);
    let top = git::read(&shell, &["rev-parse", "--show-toplevel"])?.with_context(|| {
        format!("{shown} is not a git repository, and a baseline must be committed: run `git init` there first")
    })?;
    let top = fs::canonicalize(top).with_context(|| format!("cannot install the gate in {shown}"))?;
    ensure!(workspace().ok() != Some(top.as_path()), "{shown} is where this gate is already: name another repository");
    let inside = folder.strip_prefix(&top).unwrap_or(Path::new("")).display().to_string();
    let inside = if inside.is_empty() { inside } else { format!("{inside}/") };
    Ok(Place { top, folder, inside })
}

/// Keeps the versions that the gate was tested with; cargo drops what is not needed. In a workspace that is there already
/// the versions are its owner's choice.
fn lock_file(top: &Path) -> Result<Option<Step>> {
    let ours = workspace()?.join("Cargo.lock");
    if top.join("Cargo.toml").exists() || !ours.is_file() {
        return Ok(None);
    }
    Ok(Some(Step::create_or_keep(top, "Cargo.lock", &files::read_to_string(&ours)?)))
}

/// Makes the workspace, or says what the one that is there lacks.
fn manifest(top: &Path, shell: &Shell) -> Result<Step> {
    let path = top.join("Cargo.toml");
    if path.exists() {
        let advice = lines_for_manifest(&files::read_to_string(&path)?).with_context(|| path.display().to_string())?;
        return Ok(Step::kept("Cargo.toml").advising(advice));
    }
    // A package below a workspace that does not list it is an error for cargo.
    let others: Vec<String> = manifests(shell)
        .iter()
        .filter(|manifest| !manifest.starts_with("xtask/"))
        .map(|manifest| manifest.trim_end_matches("/Cargo.toml").to_owned())
        .collect();
    let exclude = if others.is_empty() { String::new() } else { format!("exclude = {others:?}\n") };
    let text = format!(
        "[workspace]\nmembers = [\"xtask\"]\n{exclude}resolver = \"3\"\n\n\
         # Every CI run pays for the cold build, and a panic names its line without it.\n\
         [profile.dev]\ndebug = false\n"
    );
    Ok(Step::created("Cargo.toml", vec![NewFile::new(path, text)]))
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

/// Returns the name of cargo's configuration: cargo reads the older one too, and that one first.
fn cargo_config(root: &Path) -> &'static str {
    if root.join(".cargo/config").exists() { ".cargo/config" } else { ".cargo/config.toml" }
}

/// Returns what `cargo xtask` runs in the repository, where it says so.
fn present_alias(root: &Path) -> Result<Option<String>> {
    Ok(match cargo_settings(root)?.get("alias").and_then(|aliases| aliases.get("xtask")) {
        Some(Value::String(alias)) => Some(alias.clone()),
        Some(Value::Array(words)) => Some(words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")),
        _ => None,
    })
}

fn cargo_settings(root: &Path) -> Result<Table> {
    let path = root.join(cargo_config(root));
    if !path.exists() {
        return Ok(Table::new());
    }
    parse_toml(&files::read_to_string(&path)?).with_context(|| path.display().to_string())
}

/// Makes the alias at the root, or says which line it lacks. A folder that is a package of its own, outside the workspace of
/// the root, gets one too, since cargo would look for `xtask` in that package.
fn alias_step(place: &Place, alias: Option<&str>, present: &Present) -> Result<Vec<Step>> {
    let name = cargo_config(&place.top);
    let text = match present {
        Present::Own { package, .. } => format!("[alias]\nxtask = \"run --package {package} --\"\n"),
        Present::Nothing | Present::Ours => ALIAS.to_owned(),
    };
    let line = text.lines().nth(1).unwrap_or_default().to_owned();
    let step = Step::create_or_keep(&place.top, name, &text);
    let advice = match alias {
        Some(_) => Vec::new(),
        None if !step.writes.is_empty() => Vec::new(),
        None if cargo_settings(&place.top)?.contains_key("alias") => {
            vec![format!("add this line to [alias] in {name}:"), line]
        }
        None => vec![format!("add these two lines to {name}:"), "[alias]".to_owned(), line],
    };
    let mut steps = vec![step.advising(advice)];
    if !place.inside.is_empty() && place.folder.join("Cargo.toml").is_file() {
        let up = "../".repeat(Path::new(&place.inside).components().count());
        let text = format!("[alias]\nxtask = \"run --manifest-path {up}Cargo.toml --package xtask --bin xtask --\"\n");
        steps.push(Step::create_or_keep(&place.top, format!("{}.cargo/config.toml", place.inside), &text));
    }
    Ok(steps)
}

/// What becomes of the starter of a locustfile.
struct Starter {
    step: Step,
    /// The locustfile that is there, and that `perf.toml` is to name.
    found: Option<String>,
}

impl Starter {
    /// Makes a starter, unless a locustfile is there, or named.
    fn find(place: &Place, shell: &Shell) -> Result<Starter> {
        let name = format!("{}locustfile.py", place.inside);
        let without = |done: String| Step { done, ..Step::kept(name.clone()) };
        let of_locust = LocustConf::read(&place.folder)?.get("locustfile", |text| Ok(text.to_owned()))?;
        let step = match (named_in_perf_toml(place)?, of_locust) {
            (Some(named), _) => without(format!("not needed: perf.toml names {named}")),
            (None, Some(named)) if named != "locustfile.py" => {
                without(format!("not created: Locust's own configuration names {named}"))
            }
            _ if fs::symlink_metadata(place.folder.join("locustfile.py")).is_ok() => Step::kept(name),
            _ => match &locustfiles(shell)[..] {
                [] => Step::create_or_keep(&place.top, name, LOCUSTFILE),
                [one] => {
                    let step = without(format!("not needed: {one} is there"));
                    return Ok(Starter { step, found: Some(one.clone()) });
                }
                candidates => without(format!("not created: {} files here use Locust", candidates.len())).advising(vec![
                    format!(
                        "name one of these, several with commas between, or their folder: [load] locustfile of {}perf.toml",
                        place.inside
                    ),
                    candidates.join(" "),
                ]),
            },
        };
        Ok(Starter { step, found: None })
    }
}

/// Returns the locustfile that a `perf.toml` of the owner's names. One that cannot be read is its owner's to fix, and
/// measuring says how.
fn named_in_perf_toml(place: &Place) -> Result<Option<String>> {
    let path = place.folder.join("perf.toml");
    if !path.is_file() {
        return Ok(None);
    }
    let config = Config::parse(&files::read_to_string(&path)?).ok();
    Ok(config.and_then(|config| config.load.locustfile))
}

/// Makes `perf.toml`, which names the locustfile and the Locust that are there.
fn perf_toml(place: &Place, shell: &Shell, locustfile: Option<&str>) -> Result<Step> {
    let name = format!("{}perf.toml", place.inside);
    let locustfile = locustfile.map(|found| format!("locustfile = {found:?}"));
    if place.folder.join("perf.toml").exists() {
        let advice = locustfile.map(|line| vec![format!("add this line to [load] in {name}:"), line]);
        return Ok(Step::kept(name).advising(advice.unwrap_or_default()));
    }
    let locust = found::locust(&place.folder, shell)?;
    let mut text = PERF_TOML.replace("cargo xtask", program::name());
    for (sample, key) in [
        ("# locustfile = \"locustfile.py\"", "locustfile = "),
        ("# version = \"2.32.10\"                     # example", "version = "),
        ("# requirements = [\"requirements.txt\"]     # example", "requirements = "),
        ("# command = \".venv/bin/locust\"            # example", "command = "),
    ] {
        if let Some(line) = locustfile.iter().chain(&locust.lines).find(|line| line.starts_with(key)) {
            text = text.replacen(sample, line, 1);
        }
    }
    let mut step = Step::create_or_keep(&place.top, name.clone(), &text);
    let found: Vec<&str> = locustfile.iter().chain(&locust.lines).map(String::as_str).collect();
    if !found.is_empty() {
        let _ = write!(step.done, ", with what was found here: {}", found.join(", "));
    }
    step.advice.extend(locust.advice);
    if !locust.also.is_empty() {
        let also = locust.also.join(", ");
        step.advice
            .push(format!("Locust is also in {also}: take that one in [locust] of {name}, if it is the one you use"));
    }
    Ok(step)
}

/// Adds the lines that `.gitignore` lacks.
fn ignore(shell: &Shell, root: &Path, inside: &str, lines: &[Ignored]) -> Result<Option<Step>> {
    let known = ignored(shell, lines.iter().map(|ignored| ignored.path.to_owned()));
    let mut missing: Vec<&str> = Vec::new();
    for Ignored { line, path } in lines {
        if !known.iter().any(|known| known.path == *path) {
            missing.push(line);
        }
    }
    append(root, inside, ".gitignore", &missing).map(Some)
}

/// Keeps git from merging two baselines.
fn attributes(shell: &Shell, place: &Place) -> Result<Step> {
    let known = git::read(shell, &["check-attr", "merge", "--", "perf_baseline.json"])?.unwrap_or_default();
    let missing: &[&str] = if known.ends_with(": unset") { &[] } else { &[NO_MERGE] };
    append(&place.folder, &place.inside, ".gitattributes", missing)
}

/// Keeps the folder of results and builds out of an image, where images are built here.
fn dockerignore(place: &Place) -> Result<Option<Step>> {
    let path = place.folder.join(".dockerignore");
    if !path.exists() && !place.folder.join("Dockerfile").exists() {
        return Ok(None);
    }
    let text = if path.exists() { files::read_to_string(&path)? } else { String::new() };
    let has_line = |line: &str| ["target", "**/target", "*"].contains(&line.trim().trim_matches('/'));
    let missing: &[&str] = if text.lines().any(has_line) { &[] } else { &["target"] };
    append(&place.folder, &place.inside, ".dockerignore", missing).map(Some)
}

/// Adds lines to a file, which need not be there.
fn append(root: &Path, inside: &str, name: &str, missing: &[&str]) -> Result<Step> {
    let path = root.join(name);
    let name = format!("{inside}{name}");
    if missing.is_empty() {
        return Ok(Step::kept(name));
    }
    let former = if path.exists() { files::read_to_string(&path)? } else { String::new() };
    let end = if former.is_empty() || former.ends_with('\n') { "" } else { "\n" };
    let done = format!("{} {}", if path.exists() { "added" } else { "created with" }, missing.join(" "));
    let text = format!("{former}{end}{}\n", missing.join("\n"));
    Ok(Step { name, writes: vec![NewFile::new(path, text)], done, advice: Vec::new() })
}

/// A path that git ignores, and the rule.
struct Rule {
    path: String,
    /// `.gitignore:3: report/`.
    rule: String,
}

/// Returns the paths that git ignores by the repository's own rules: a colleague does not have the user's.
fn ignored(shell: &Shell, paths: impl Iterator<Item = String>) -> Vec<Rule> {
    let paths: Vec<String> = paths.collect();
    let mut args = vec!["-c", "core.excludesFile=/dev/null", "check-ignore", "--no-index", "--verbose", "--"];
    args.extend(paths.iter().map(String::as_str));
    let listed = git::read(shell, &args).ok().flatten().unwrap_or_default();
    let rules = listed.lines().filter_map(|line| {
        let (rule, path) = line.split_once('\t')?;
        let (place, pattern) = rule.rsplit_once(':')?;
        let is_exception = pattern.starts_with('!');
        (!is_exception).then(|| Rule { path: path.to_owned(), rule: format!("{place}: {pattern}") })
    });
    rules.collect()
}

/// Returns a line for each rule of git that hides files which must be committed.
fn hidden(shell: &Shell, place: &Place, steps: &[Step]) -> Vec<String> {
    let written = steps.iter().flat_map(|step| &step.writes).filter(|file| file.text.is_some());
    let mut paths: Vec<String> =
        written.filter_map(|file| Some(file.path.strip_prefix(&place.top).ok()?.display().to_string())).collect();
    paths.push(format!("{}perf_baseline.json", place.inside));
    if steps.iter().any(|step| step.name == "Cargo.toml") {
        paths.push("Cargo.lock".to_owned());
    }
    let mut hidden: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for Rule { path, rule } in ignored(shell, paths.into_iter()) {
        hidden.entry(rule).or_default().insert(path);
    }
    let mut lines = Vec::new();
    for (rule, paths) in hidden {
        let more = if paths.len() > 1 { format!(" and {} more", paths.len() - 1) } else { String::new() };
        let first = paths.first().map_or("", String::as_str);
        lines.push(format!("`{rule}` hides what must be committed; fix it: {first}{more}"));
    }
    lines
}

fn summary(
    flags: &Adopt,
    place: &Place,
    source: &Source,
    is_upgrade: bool,
    steps: &[Step],
    hidden: &[String],
) -> String {
    let mut text = String::new();
    if flags.check {
        text.push_str("--check: nothing is written; this is what adopt would do.\n\n");
    }
    let width = steps.iter().map(|step| step.name.len()).max().unwrap_or(0);
    for step in steps {
        let _ = writeln!(text, "{:width$}  {}", step.name, step.done);
    }
    let name = program::name();
    let mut next: Vec<String> =
        steps.iter().filter(|step| !step.advice.is_empty()).map(|step| step.advice.join("\n       ")).collect();
    next.extend_from_slice(hidden);
    let is_new = steps.iter().any(|step| !step.writes.is_empty());
    match source {
        Source::Git(dependency) => next.extend(dependency.warning.clone()),
        Source::Vendored { why, .. } if is_new => {
            let _ =
                writeln!(text, "\nThe gate's source is copied into xtask/vendor ({why}). Adopt again to upgrade it.");
        }
        Source::Vendored { .. } | Source::Packaged => {}
    }
    if is_new && is_upgrade {
        next.push("read in the gate's CHANGELOG.md what an upgrade changes, and commit all of it".to_owned());
    } else if is_new {
        let at = if place.inside.is_empty() { String::new() } else { format!(", in {}", place.inside) };
        next.push(format!("edit perf.toml (how to start the service) and the locustfile (what users do){at}"));
        next.push(format!("measure the baseline{at}: {name} perf --update-baseline"));
        next.push(format!("commit all of it; from then on the gate is `{name} perf`, here and in CI"));
    }
    let folder = place.folder.display();
    if next.is_empty() {
        let _ = write!(text, "\nThe gate is in {folder} already.");
        return text;
    }
    let is = if flags.check { "would be" } else { "is" };
    let _ = write!(text, "\nThe gate {is} in {folder}. Next steps:");
    for (number, line) in next.iter().enumerate() {
        let _ = write!(text, "\n  {}. {line}", number + 1);
    }
    text
}
