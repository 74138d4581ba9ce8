//! Rust in the other repository: the package `xtask`, which calls the gate, with its workspace and its alias.

use std::fs;
use std::path::Path;

use crate::sys::{files, git};
use anyhow::{Context as _, Result, anyhow, ensure};
use toml::{Table, Value};
use wildmatch::WildMatch;
use xshell::Shell;

use crate::adopt::edits::{Destination, Edit, NewFile};
use crate::adopt::source::workspace;

/// The line of the dependency comes last.
const PACKAGE: &str = "\
[package]
name = \"xtask\"
version = \"0.0.0\"
edition = \"2024\"
publish = false

";
const SEPARATE_WORKSPACE: &str = "\
# A separate workspace: an image that builds the repository's own one does not need this package.
[workspace]

# Every CI run pays for the cold build, and a panic names its line without it.
[profile.dev]
debug = false

";
const DEPENDENCIES: &str = "[dependencies]\n";
const MAIN: &str = "\
//! This repository's automation: `cargo xtask perf` is the performance gate, and `cargo xtask --help` lists all commands.

fn main() -> std::process::ExitCode {
    locust_gate::main()
}
";

const WORKSPACE: &str = "resolver = \"3\"

# Every CI run pays for the cold build, and a panic names its line without it.
[profile.dev]
debug = false
";

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Membership {
    Root,
    Separate,
}

impl Membership {
    fn manifest(self) -> String {
        let workspace = if self == Membership::Separate { SEPARATE_WORKSPACE } else { "" };
        format!("{PACKAGE}{workspace}{DEPENDENCIES}")
    }

    fn alias(self, up: &str) -> String {
        let (manifest, package) = match self {
            Membership::Separate => (format!("--manifest-path {up}xtask/Cargo.toml "), ""),
            Membership::Root if up.is_empty() => (String::new(), "--package xtask "),
            Membership::Root => (format!("--manifest-path {up}Cargo.toml "), "--package xtask "),
        };
        format!("xtask = \"run {manifest}{package}--bin xtask --\"")
    }
}

pub(crate) enum Present {
    Nothing(Membership),
    /// The package that `adopt` made.
    Adopted(Membership),
    /// The owner's package, with the folder of its manifest relative to the root.
    Own {
        folder: String,
        package: String,
    },
}

impl Present {
    pub(crate) fn find(top: &Path, shell: &Shell) -> Result<Present> {
        if let Some(package) = alias(top)?.as_deref().and_then(package_of_alias)
            && package != "xtask"
        {
            let folder = folder_of_package(top, shell, &package).with_context(|| {
                format!("the alias `xtask` of cargo's configuration runs `{package}`, which is no package here: fix it, and adopt again")
            })?;
            return Ok(Present::Own { folder, package });
        }
        let target = top.join("xtask");
        if fs::symlink_metadata(&target).is_err() {
            return Ok(Present::Nothing(membership(top, shell)?));
        }
        let manifest = target.join("Cargo.toml");
        ensure!(manifest.is_file(), "{} exists and is no Rust package: rename it, and adopt again", target.display());
        let text = files::read_to_string(&manifest)?;
        let table = parse_toml(&text).with_context(|| manifest.display().to_string())?;
        let main = files::read_to_string(&target.join("src/main.rs")).unwrap_or_default();
        if main == MAIN
            && let Some(membership) = adopted(&text)
        {
            return Ok(Present::Adopted(membership));
        }
        let package = table.get("package").and_then(|package| package.get("name")).and_then(Value::as_str);
        Ok(Present::Own { folder: "xtask".to_owned(), package: package.unwrap_or("xtask").to_owned() })
    }

    pub(crate) fn folder(&self) -> &str {
        match self {
            Present::Own { folder, .. } => folder,
            Present::Nothing(_) | Present::Adopted(_) => "xtask",
        }
    }

    pub(crate) fn is_separate(&self) -> bool {
        matches!(self, Present::Nothing(Membership::Separate) | Present::Adopted(Membership::Separate))
    }
}

/// An image that copies `Cargo.toml` and the sources of the service cannot be built if the manifest lists `xtask`.
fn membership(top: &Path, shell: &Shell) -> Result<Membership> {
    let manifest = top.join("Cargo.toml");
    if !manifest.is_file() || git::files(shell, &["*Dockerfile*", "*Containerfile*"]).is_empty() {
        return Ok(Membership::Root);
    }
    let text = files::read_to_string(&manifest)?;
    let lacking = lines_for_workspace(&text).with_context(|| manifest.display().to_string())?;
    Ok(if lacking.is_empty() { Membership::Root } else { Membership::Separate })
}

/// The workspace of the package, if `adopt` made this manifest, for any version of the gate.
fn adopted(manifest: &str) -> Option<Membership> {
    let (dependency, others): (Vec<&str>, Vec<&str>) =
        manifest.lines().partition(|line| line.starts_with("locust-gate = {"));
    let is_it = |membership: &Membership| others == membership.manifest().lines().collect::<Vec<_>>();
    [Membership::Root, Membership::Separate].into_iter().find(is_it).filter(|_| dependency.len() == 1)
}

/// The package of an alias such as `run --package tools --`.
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

fn folder_of_package(top: &Path, shell: &Shell, package: &str) -> Option<String> {
    manifests(shell).into_iter().find_map(|manifest| {
        let table = parse_toml(&files::read_to_string(&top.join(&manifest)).ok()?).ok()?;
        let is_it = table.get("package")?.get("name")?.as_str() == Some(package);
        is_it.then(|| manifest.trim_end_matches("Cargo.toml").trim_end_matches('/').to_owned())
    })
}

fn manifests(shell: &Shell) -> Vec<String> {
    git::files(shell, &["Cargo.toml", "**/Cargo.toml"])
}

pub(crate) fn parse_toml(text: &str) -> Result<Table> {
    toml::from_str(text).map_err(|error| anyhow!("{}", error.message().replace('\n', " ")))
}

pub(crate) fn edits(destination: &Destination, shell: &Shell, present: &Present, line: &str) -> Result<Vec<Edit>> {
    let top = &destination.top;
    let mut edits = vec![package_edit(top, present, line)?];
    if let Present::Nothing(Membership::Root) | Present::Adopted(Membership::Root) = present {
        edits.push(workspace_edit(top, shell)?);
        // A workspace that is there has its owner's versions.
        if !top.join("Cargo.toml").exists() {
            edits.extend(tested_lock()?.map(|text| Edit::create_or_keep(top, "Cargo.lock", &text)));
        }
    }
    edits.extend(alias_edits(destination, present)?);
    Ok(edits)
}

fn package_edit(top: &Path, present: &Present, line: &str) -> Result<Edit> {
    let target = top.join("xtask");
    match present {
        Present::Nothing(membership) => {
            let manifest = NewFile::new(target.join("Cargo.toml"), format!("{}{line}\n", membership.manifest()));
            let main = NewFile::new(target.join("src/main.rs"), MAIN);
            if *membership == Membership::Root {
                return Ok(Edit::created("xtask/", vec![manifest, main]));
            }
            let lock = tested_lock()?.map(|text| NewFile::new(target.join("Cargo.lock"), text));
            let mut edit = Edit::created("xtask/", [manifest, main].into_iter().chain(lock).collect());
            edit.done.push_str(", as a separate workspace: the image of the Dockerfile builds without it");
            Ok(edit)
        }
        Present::Adopted(_) => upgrade(&target.join("Cargo.toml"), line),
        Present::Own { folder, .. } => {
            let advice = lines_for_owner(top, folder, line)?;
            Ok(Edit { done: "yours, kept as it is".to_owned(), advice, ..Edit::kept(format!("{folder}/")) })
        }
    }
}

fn upgrade(manifest: &Path, line: &str) -> Result<Edit> {
    let old = files::read_to_string(manifest)?;
    let old_line = old.lines().find(|line| line.starts_with("locust-gate = {")).unwrap_or_default();
    if old_line == line {
        return Ok(Edit::kept("xtask/"));
    }
    if !is_earlier(old_line, line) {
        let advice = vec!["to upgrade, replace this line of xtask/Cargo.toml:".to_owned(), line.to_owned()];
        return Ok(Edit {
            done: "kept as it is: its dependency was edited".to_owned(),
            advice,
            ..Edit::kept("xtask/")
        });
    }
    let done = format!("upgraded from {} to {}", shown_version(old_line), shown_version(line));
    let manifest = NewFile::new(manifest.to_owned(), old.replace(old_line, line));
    Ok(Edit { done, ..Edit::created("xtask/", vec![manifest]) })
}

/// Whether `adopt` wrote the old line, for the same place or for a checkout on the owner's machine.
fn is_earlier(old_line: &str, line: &str) -> bool {
    let dependency = |line: &str| match parse_toml(line).unwrap_or_default().remove("locust-gate") {
        Some(Value::Table(dependency)) => dependency,
        _ => Table::new(),
    };
    let (old, new) = (dependency(old_line), dependency(line));
    let keys: Vec<&str> = old.keys().map(String::as_str).collect();
    let is_written =
        [&["default-features", "path"][..], &["default-features", "git", "rev"], &["default-features", "git", "tag"]]
            .contains(&&keys[..]);
    is_written && (old.contains_key("path") || old.get("git") == new.get("git"))
}

fn shown_version(line: &str) -> String {
    let table = parse_toml(line).unwrap_or_default();
    let shown = |key: &&str| Some(format!("{key} = {:?}", table.get("locust-gate")?.get(key)?.as_str()?));
    ["tag", "rev", "path"].iter().find_map(shown).unwrap_or_else(|| "another version".to_owned())
}

/// The lines that the owner must add; none if they are present.
fn lines_for_owner(top: &Path, folder: &str, line: &str) -> Result<Vec<String>> {
    let name = format!("{folder}/Cargo.toml");
    let text = files::read_to_string(&top.join(&name))?;
    match text.lines().find(|line| line.starts_with("locust-gate =")) {
        Some(present) if present == line => Ok(Vec::new()),
        Some(_) => Ok(vec![format!("to upgrade, replace this line of {name}:"), line.to_owned()]),
        None => Ok(vec![
            format!(
                "{folder} is yours: add this line to [dependencies] of {name}, and two lines to the top of its `main`:"
            ),
            line.to_owned(),
            "// The commands of the gate, before the arguments are parsed.".to_owned(),
            "locust_gate::exit_after_own_command();".to_owned(),
        ]),
    }
}

fn workspace_edit(top: &Path, shell: &Shell) -> Result<Edit> {
    let path = top.join("Cargo.toml");
    if path.exists() {
        let advice = lines_for_workspace(&files::read_to_string(&path)?).with_context(|| path.display().to_string())?;
        return Ok(Edit::kept("Cargo.toml").advising(advice));
    }
    // A package below a workspace that neither lists nor excludes it is an error for cargo.
    let mut excluded: Vec<String> = Vec::new();
    for manifest in manifests(shell) {
        let folder = manifest.trim_end_matches("/Cargo.toml");
        let is_covered = |above: &String| Path::new(folder).starts_with(above);
        if !Path::new(folder).starts_with("xtask") && !excluded.iter().any(is_covered) {
            excluded.push(folder.to_owned());
        }
    }
    let exclude = if excluded.is_empty() { String::new() } else { format!("exclude = {excluded:?}\n") };
    let text = format!("[workspace]\nmembers = [\"xtask\"]\n{exclude}{WORKSPACE}");
    Ok(Edit::created("Cargo.toml", vec![NewFile::new(path, text)]))
}

/// The lines that make `xtask` a member of the workspace; none if it is one.
fn lines_for_workspace(text: &str) -> Result<Vec<String>> {
    let manifest = parse_toml(text)?;
    let Some(workspace) = manifest.get("workspace").and_then(Value::as_table) else {
        let lines = ["add these lines to Cargo.toml:", "[workspace]", "members = [\"xtask\"]"];
        return Ok(lines.map(str::to_owned).into());
    };
    let members = workspace.get("members").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut members: Vec<&str> = members.iter().filter_map(Value::as_str).collect();
    if members.iter().any(|member| WildMatch::new(member).matches("xtask")) {
        return Ok(Vec::new());
    }
    members.push("xtask");
    let lines = ["change Cargo.toml to these lines:", "[workspace]", &format!("members = {members:?}")];
    Ok(lines.map(str::to_owned).into())
}

/// The versions that the gate was tested with, of which cargo drops what is not needed.
fn tested_lock() -> Result<Option<String>> {
    let tested = workspace()?.join("Cargo.lock");
    tested.is_file().then(|| files::read_to_string(&tested)).transpose()
}

/// Cargo also reads a file with the older name, and prefers it.
fn cargo_config(top: &Path) -> &'static str {
    if top.join(".cargo/config").exists() { ".cargo/config" } else { ".cargo/config.toml" }
}

fn cargo_settings(top: &Path) -> Result<Table> {
    let path = top.join(cargo_config(top));
    if !path.exists() {
        return Ok(Table::new());
    }
    parse_toml(&files::read_to_string(&path)?).with_context(|| path.display().to_string())
}

fn alias(top: &Path) -> Result<Option<String>> {
    Ok(match cargo_settings(top)?.get("alias").and_then(|aliases| aliases.get("xtask")) {
        Some(Value::String(alias)) => Some(alias.clone()),
        Some(Value::Array(words)) => Some(words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")),
        _ => None,
    })
}

/// A service's folder that is a package outside the workspace of the root gets an alias too, because cargo would look
/// for `xtask` in that package. So does every folder if `xtask` is a separate workspace, because cargo takes
/// `--manifest-path` as relative to the current folder.
fn alias_edits(destination: &Destination, present: &Present) -> Result<Vec<Edit>> {
    let Destination { top, folder, inside } = destination;
    let name = cargo_config(top);
    let (line, membership) = match present {
        Present::Own { package, .. } => (format!("xtask = \"run --package {package} --\""), Membership::Root),
        Present::Nothing(membership) | Present::Adopted(membership) => (membership.alias(""), *membership),
    };
    let edit = Edit::create_or_keep(top, name, &format!("[alias]\n{line}\n"));
    let advice = if alias(top)?.is_some() || !edit.files.is_empty() {
        Vec::new()
    } else if cargo_settings(top)?.contains_key("alias") {
        vec![format!("add this line to [alias] in {name}:"), line]
    } else {
        vec![format!("add these lines to {name}:"), "[alias]".to_owned(), line]
    };
    let mut edits = vec![edit.advising(advice)];
    if !inside.is_empty() && (membership == Membership::Separate || folder.join("Cargo.toml").is_file()) {
        let up = "../".repeat(Path::new(inside).components().count());
        let text = format!("[alias]\n{}\n", membership.alias(&up));
        edits.push(Edit::create_or_keep(top, format!("{inside}.cargo/config.toml"), &text));
    }
    Ok(edits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adopt::edits::write_all;
    use crate::adopt::found::locustfiles;
    use crate::adopt::source::Source;
    use xshell::cmd;

    #[test]
    fn workspace_lacks_the_member() {
        for (text, expected) in [
            ("", "add these lines to Cargo.toml:|[workspace]|members = [\"xtask\"]"),
            (
                "[workspace]\nmembers = [\"app\"]",
                "change Cargo.toml to these lines:|[workspace]|members = [\"app\", \"xtask\"]",
            ),
            ("[workspace]\nmembers = [\"app\", \"x*\"]", ""),
        ] {
            assert_eq!(lines_for_workspace(text).unwrap().join("|"), expected, "{text}");
        }
    }

    #[test]
    fn version_of_a_dependency_is_its_tag_commit_or_path() {
        for (line, expected) in [
            ("git = \"ssh://h/g\", tag = \"v0.2.0\", default-features = false", "tag = \"v0.2.0\""),
            ("git = \"ssh://h/g\", rev = \"1f0c\"", "rev = \"1f0c\""),
            ("path = \"../gate/xtask\", default-features = false", "path = \"../gate/xtask\""),
            ("git = \"ssh://h/g\"", "another version"),
        ] {
            assert_eq!(shown_version(&format!("locust-gate = {{ {line} }}")), expected);
        }
    }

    #[test]
    fn workspace_accepts_a_gate_inside_the_repository() {
        let top = std::env::temp_dir().join(format!("locust-gate-inside-{}", std::process::id()));
        let _ = fs::remove_dir_all(&top);
        for (name, text) in [
            ("third/gate/Cargo.toml", "[workspace]\nmembers = [\"xtask\"]\n"),
            ("third/gate/xtask/Cargo.toml", "[package]\nname = \"locust-gate\"\nedition = \"2024\"\n"),
            ("third/gate/xtask/src/lib.rs", ""),
            ("third/gate/locustfile.py", "import locust\n"),
            ("load/users.py", "import locust\n"),
        ] {
            fs::create_dir_all(files::folder_of(&top.join(name))).unwrap();
            fs::write(top.join(name), text).unwrap();
        }
        let top = fs::canonicalize(&top).unwrap();
        let shell = Shell::new().unwrap();
        shell.change_dir(&top);
        cmd!(shell, "git init --quiet .").quiet().run().unwrap();
        let source = Source::Inside(top.join("third/gate/xtask"));
        assert_eq!(locustfiles(&shell, &source.excluded(&top)), ["load/users.py"]);
        let line = source.line(&top, "xtask").unwrap();
        let edits = [
            package_edit(&top, &Present::Nothing(Membership::Root), &line).unwrap(),
            workspace_edit(&top, &shell).unwrap(),
        ];
        write_all(edits.iter().flat_map(|edit| &edit.files)).unwrap();
        assert!(files::read_to_string(&top.join("Cargo.toml")).unwrap().contains("exclude = [\"third/gate\"]\n"));
        let metadata = cmd!(shell, "cargo metadata --offline --format-version=1").quiet().ignore_stderr().read();
        let gate = format!("{}/third/gate/xtask", top.display());
        assert!(metadata.unwrap().contains(&gate));
        fs::remove_dir_all(&top).unwrap();
    }
}
