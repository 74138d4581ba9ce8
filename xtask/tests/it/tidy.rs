//! The house rules that a machine can check.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command as Program;

use judge::model::limits::default_limits;
use locust_gate::config::flags::{self, Command, LoadFlags, known_flags};
use locust_gate::config::locust_conf::LocustConf;
use locust_gate::config::perf_toml::Config;
use locust_gate::config::settings::settle;
use serde_json::Value;
use toml::Table;
use yaml_rust2::{Yaml, YamlLoader};

use crate::real::root;
use locust_gate::adopt::ci_job::{CiJob, Install};
use locust_gate::adopt::workflow;
use locust_gate::maintenance_flags::{self, MaintenanceCommand};

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The words behind `cargo xtask` of each line that calls it.
fn xtask_commands(text: &str) -> Vec<Vec<String>> {
    let commands = text.lines().filter_map(|line| Some(line.split_once("cargo xtask ")?.1));
    commands
        .map(|command| {
            command.split_whitespace().take_while(|word| !word.starts_with('#')).map(str::to_owned).collect()
        })
        .collect()
}

/// Parses a command line as this repository's program does: its own commands first, then those of the library.
fn parse(command: &[String]) -> anyhow::Result<Option<Command>> {
    match maintenance_flags::parse(command.iter().map(Into::into).collect())? {
        MaintenanceCommand::Other(args) => flags::parse(args).map(Some),
        _ => Ok(None),
    }
}

fn assert_parses(command: &[String]) {
    if let Err(error) = parse(command) {
        panic!("cargo xtask {}: {error:#}", command.join(" "));
    }
}

/// The help as `cargo xtask --help` prints it here.
pub fn help() -> String {
    format!("{}\n{}", flags::HELP, maintenance_flags::HELP)
}

#[test]
fn the_documents_show_the_help_as_it_is() {
    assert!(
        read("docs/commands.md").contains(&format!("```text\n{}```\n", help())),
        "docs/commands.md must hold the text of `cargo xtask --help`"
    );
}

#[test]
fn the_readme_is_short() {
    let readme = read("README.md");
    let (lines, words) = (readme.lines().count(), readme.split_whitespace().count());
    assert!(lines <= 90, "README.md has {lines} lines: move what a first reader does not need into docs/");
    assert!(words <= 900, "README.md has {words} words: move what a first reader does not need into docs/");
}

#[test]
fn the_first_25_lines_of_the_readme_lead_to_a_verdict() {
    let readme = read("README.md");
    let first = readme.lines().take(25).collect::<Vec<_>>().join("\n");
    for words in ["✖ FAIL", "\ncargo xtask perf ", "\ncargo test ", "\ncargo xtask adopt ", "\n**Python teams**"] {
        assert!(first.contains(words), "the first 25 lines of README.md do not have `{}`", words.trim());
    }
    for command in first.lines().filter(|line| line.starts_with("cargo ")) {
        assert!(
            ["minute", "seconds"].iter().any(|unit| command.contains(unit)),
            "`{command}` does not name how long it takes"
        );
    }
}

#[test]
fn the_readme_names_the_rust_version_of_the_manifests() {
    let manifest: Table = read("Cargo.toml").parse().unwrap();
    let version = manifest["workspace"]["package"]["rust-version"].as_str().unwrap().to_owned();
    assert!(
        read("README.md").contains(&format!("Rust ({version} or later)")),
        "README.md does not name Rust {version}"
    );
}

#[test]
fn adopting_takes_a_few_lines_of_the_readme() {
    let readme = read("README.md");
    let section = readme.split("\n## ").find(|section| section.starts_with("Add it to your repository")).unwrap();
    let lines = section.trim_end().lines().count();
    assert!(lines <= 25, "README.md explains adopting in {lines} lines: move the rest into docs/adopt.md");
}

#[test]
fn the_architecture_is_short_and_names_only_what_exists() {
    let text = read("ARCHITECTURE.md");
    let lines = text.lines().count();
    assert!(lines <= 150, "ARCHITECTURE.md has {lines} lines: it names the files that matter, not all of them");
    let prose: String = text.split("```").step_by(2).collect();
    let paths: Vec<&str> =
        prose.split('`').skip(1).step_by(2).filter(|span| span.contains('/') && !span.contains(' ')).collect();
    assert!(paths.len() > 20, "{paths:?}");
    for path in paths {
        assert!(root().join(path).exists(), "ARCHITECTURE.md names `{path}`, which does not exist");
    }
}

/// The documents in Markdown, by their paths.
fn documents() -> Vec<String> {
    let mut documents = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md", "xtask/README.md"]
        .map(str::to_owned)
        .to_vec();
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            documents.push(path.strip_prefix(root()).unwrap().display().to_string());
        }
    }
    documents
}

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-")
}

#[test]
fn every_link_of_the_documents_leads_to_a_file_or_a_heading() {
    let mut links = 0;
    for file in documents() {
        let prose: String = read(&file).split("```").step_by(2).collect();
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.starts_with("http")) {
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let place = root().join(&file);
            let place = if path.is_empty() { place } else { place.with_file_name(path) };
            assert!(place.exists(), "{file}: {target}: there is no such file");
            if !heading.is_empty() {
                let text = fs::read_to_string(place).unwrap();
                let exists = text.lines().any(|line| line.starts_with('#') && anchor(line) == heading);
                assert!(exists, "{file}: {target}: there is no such heading");
            }
            links += 1;
        }
    }
    assert!(links > 20, "{links}");
}

/// docs/calibration.md is generated, and begins with the text of its preface.
#[test]
fn each_document_begins_with_whom_it_is_for() {
    let preface = "crates/judge/benches/calibration/preface.md".to_owned();
    let written =
        documents().into_iter().filter(|file| !["CONTRIBUTING.md", "docs/calibration.md"].contains(&file.as_str()));
    for file in written.chain([preface]) {
        let text = read(&file);
        let mut lines = text.lines();
        assert!(lines.next().unwrap().starts_with("# "), "{file} has no title");
        let first = lines.find(|line| !line.is_empty()).unwrap();
        assert!(
            first.starts_with("For ") && first.ends_with('.'),
            "{file} does not begin with whom it is for: {first}"
        );
    }
}

#[test]
fn help_names_every_flag_and_each_is_known() {
    for (command, some_flag, help) in [
        ("perf", "--processes", flags::HELP),
        ("history", "--endpoint", flags::HELP),
        ("selftest", "--quick", maintenance_flags::HELP),
        ("adopt", "--check", maintenance_flags::HELP),
    ] {
        let flags = known_flags(command, help);
        assert_eq!(flags.len(), flags.iter().collect::<BTreeSet<_>>().len());
        assert!(flags.contains(&"--help") && flags.contains(&some_flag), "{command}: {flags:?}");
        for flag in flags.into_iter().filter(|flag| *flag != "--help") {
            // As a switch, or with a value: one of the two is accepted, and nothing is left over.
            let accepted = ["", "7", "http://127.0.0.1:1", "perf.html", "p99"].into_iter().any(|value| {
                let mut args = vec![command.to_owned(), flag.to_owned()];
                if !value.is_empty() {
                    args.push(value.to_owned());
                }
                if ["--note", "--if-changed"].contains(&flag) {
                    args.push("--update-baseline".to_owned());
                }
                if flag == "--package" {
                    args.push("../your-service".to_owned());
                }
                match parse(&args) {
                    Ok(Some(Command::Perf(perf))) => perf.results.is_empty(),
                    Ok(Some(Command::History(_)) | None) => true,
                    _ => false,
                }
            });
            assert!(accepted, "HELP lists {flag} of {command}, and the parser does not take it");
        }
    }
    for (command, file, from, to, help) in [
        ("perf", "xtask/src/config/flags.rs", "fn perf(", "fn load(", flags::HELP),
        ("history", "xtask/src/config/flags.rs", "fn history(", "fn leftovers(", flags::HELP),
        ("selftest", "xtask/src/maintenance_flags.rs", "fn selftest(", "fn adopt(", maintenance_flags::HELP),
        ("adopt", "xtask/src/maintenance_flags.rs", "fn adopt(", "adopt takes one PATH", maintenance_flags::HELP),
    ] {
        let source = read(file);
        let parser = &source[source.find(from).unwrap()..source.find(to).unwrap()];
        let taken = parser.split("\"--").skip(1).filter_map(|rest| rest.split_once('"')).map(|(name, _)| name);
        for flag in taken.filter(|name| name.bytes().all(|byte| byte == b'-' || byte.is_ascii_lowercase())) {
            let flag = format!("--{flag}");
            assert!(
                known_flags(command, help).contains(&flag.as_str()),
                "{command} takes {flag}, and HELP does not list it"
            );
        }
    }
}

#[test]
fn every_command_of_the_workflow_is_one_that_the_parser_accepts() {
    let workflow = YamlLoader::load_from_str(&read(".github/workflows/ci.yml")).unwrap().remove(0);
    let mut runs = Vec::new();
    for (job, body) in workflow["jobs"].as_hash().unwrap() {
        assert!(body["timeout-minutes"].as_i64().is_some(), "{job:?} has no timeout");
        for step in body["steps"].as_vec().unwrap() {
            if let Yaml::String(run) = &step["run"] {
                // What only shows changes no result.
                if run.contains("target/perf/latest") {
                    assert_eq!(step["continue-on-error"].as_bool(), Some(true), "{run}");
                }
                runs.push((run.clone(), step["if"].as_str().map(str::to_owned)));
            }
        }
    }
    let commands: Vec<_> = runs
        .iter()
        .flat_map(|(run, condition)| xtask_commands(run).into_iter().map(move |command| (command, condition)))
        .collect();
    for (command, _) in &commands {
        assert_parses(command);
    }
    let shown: Vec<_> = commands.iter().map(|(command, condition)| (command.join(" "), condition.as_deref())).collect();
    let expected = [
        (
            "perf --against \"$BASE\" --report perf_report.html",
            "github.event_name == 'pull_request' || github.event_name == 'merge_group'",
        ),
        ("perf --confirm --report perf_report.html", "github.event_name == 'push'"),
        ("perf target/perf/latest --verbose", "always()"),
    ];
    assert_eq!(shown, expected.map(|(command, condition)| (command.to_owned(), Some(condition))));
    assert_eq!(workflow["permissions"].as_hash().unwrap().len(), 1, "least permissions");
    assert_eq!(workflow["permissions"]["contents"].as_str(), Some("read"));
}

/// Every line of shell in the documents: run by a test, or taken by the parser that it is meant for.
#[test]
fn every_command_of_the_documents_is_known() {
    let mut known = 0;
    for file in &documents() {
        // In a sentence: what stands between two backticks.
        let prose: String = read(file).split("```").step_by(2).collect();
        let spans = prose.split('`').skip(1).step_by(2).map(|span| span.replace('\n', " "));
        // The name alone is none that is called.
        for span in spans.filter(|span| span.starts_with("cargo xtask ") && span != "cargo xtask adopt") {
            for command in xtask_commands(&span) {
                assert_parses(&command);
            }
        }
        for block in read(file).split("```").skip(1).step_by(2) {
            let (language, code) = block.split_once('\n').unwrap();
            match language {
                // What `gates` runs.
                "sh" if code.starts_with("worst=0\n") => {}
                "sh" => code.lines().for_each(|line| assert_known(file, line)),
                // What `adopt` prints, and tries.
                "toml" | "rust" if file == "docs/adopt.md" => assert_printed_by_adopt(code),
                "yaml" | "groovy" => {
                    // The comments of reports have a marker.
                    let lines = code.lines().filter(|line| !line.contains("<!--")).map(|line| format!("{line}\n"));
                    for command in xtask_commands(&lines.collect::<String>()) {
                        assert_parses(&command);
                    }
                }
                "toml" => drop(Config::parse(code).unwrap_or_else(|error| panic!("{file}{error}"))),
                // What `services` compiles.
                "python" if file == "docs/services.md" => {}
                // Output, and pictures of text.
                "text" => {}
                other => panic!("{file}: a block of `{other}`, of which nothing is checked"),
            }
            known += code.lines().count();
        }
    }
    assert!(known > 50);
    read(".ci/run").lines().filter(|line| line.starts_with("cargo ")).for_each(|line| assert_known(".ci/run", line));
}

/// A line that `adopt` prints or writes, apart from where this repository lies.
#[track_caller]
fn assert_printed_by_adopt(code: &str) {
    let source = read("xtask/src/adopt/cargo.rs") + &read("xtask/src/adopt/source.rs");
    let source = source.replace("\\\"", "\"");
    for line in code.lines() {
        let known = line.split("://").next().unwrap().trim_start_matches("locust-gate = { git = \"https");
        assert!(source.contains(known), "docs/adopt.md: `{line}` is not what adopt prints");
    }
}

/// One line of shell: commands joined by `&&`, variables before them, a comment behind.
#[track_caller]
fn assert_known(file: &str, line: &str) {
    let folder = |package: &str| match package {
        "locust-gate-judge" => "crates/judge",
        "locust-gate-report" => "crates/report",
        "locust-gate" => "xtask",
        other => panic!("{file}: there is no package {other}"),
    };
    let has_module = |package: &str, module: &str| {
        read(&format!("{}/tests/it/main.rs", folder(package))).contains(&format!("mod {module};"))
    };
    let has_bench = |package: &str, name: &str| {
        let manifest: Table = toml::from_str(&read(&format!("{}/Cargo.toml", folder(package)))).unwrap();
        manifest["bench"].as_array().unwrap().iter().any(|bench| bench["name"].as_str() == Some(name))
    };
    for command in line.split(" # ").next().unwrap().split("&&") {
        let is_variable = |word: &&str| word.contains('=') && word.starts_with(|c: char| c.is_ascii_uppercase());
        let words: Vec<&str> = command.split_whitespace().skip_while(is_variable).collect();
        let is_known = match words[..] {
            ["cargo", "xtask", ref rest @ ..] => {
                assert_parses(&rest.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
                true
            }
            // The same program in its package, which `.ci/wheel` tries.
            ["locust-gate" , ref rest @ ..] | ["uvx", "locust-gate", ref rest @ ..] => {
                assert_parses(&rest.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
                true
            }
            ["pip", "install", package] => package == format!("locust-gate=={}", locust_gate::sys::version::number()),
            ["cargo", "test", "-p", package, "--test", "it", module, ..] => has_module(package, module),
            ["cargo", "test", "-p", package] => !folder(package).is_empty(),
            ["fuzz/run", target] => root().join(format!("fuzz/src/bin/{target}.rs")).is_file(),
            ["cargo", "bench", "-p", package, "--bench", bench] => has_bench(package, bench),
            [".ci/run" | ".ci/wheel" | ".ci/deny"]
            | ["cargo", "test"]
            | ["cargo", "fmt", "--check"]
            // Takes the picture of docs/report.md; `html` opens such a page in the same browser.
            | ["chromium", "--headless", "--hide-scrollbars", "--window-size=1180,850", "--screenshot=docs/report.png", _]
            // What `listener` does.
            | ["python3", "xtask/locust/test_perf_listener.py"]
            | ["cargo", "clippy", "--all-targets" | "--package", .., "--", "-D", "warnings"] => true,
            _ => words.is_empty(),
        };
        assert!(is_known, "{file}: `{line}`: nothing shows that this works");
    }
}

/// The compiler holds the pure crates to what they depend on, and clippy to the standard library's part (`crates/clippy.toml`).
#[test]
fn the_pure_crates_depend_on_nothing_that_reaches_outside() {
    let allowed = [
        (
            "crates/judge",
            vec!["anyhow", "csv", "distrs", "serde", "serde_json", "strsim", "unicode-width", "wildmatch"],
        ),
        ("crates/report", vec!["anstream", "anstyle", "anyhow", "judge", "serde", "serde_json", "unicode-width"]),
    ];
    for (package, allowed) in allowed {
        let manifest: Table = toml::from_str(&read(&format!("{package}/Cargo.toml"))).unwrap();
        let dependencies: Vec<&str> = manifest["dependencies"].as_table().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            dependencies, allowed,
            "{package}: weigh whether the new one starts a process, opens a file or reads a clock"
        );
        assert!(manifest.get("build-dependencies").is_none() && manifest.get("target").is_none(), "{package}");
        assert_eq!(manifest["lints"]["workspace"].as_bool(), Some(true), "{package}");
    }
    let clippy: Table = toml::from_str(&read("crates/clippy.toml")).unwrap();
    let forbidden: Vec<&str> = ["disallowed-methods", "disallowed-types"]
        .iter()
        .flat_map(|key| clippy[*key].as_array().unwrap())
        .map(|entry| entry["path"].as_str().unwrap())
        .collect();
    for path in [
        "std::fs::read_to_string",
        "std::fs::File",
        "std::env::var",
        "std::process::Command",
        "std::net::TcpStream",
        "std::time::Instant",
        "std::time::SystemTime",
    ] {
        assert!(forbidden.contains(&path), "crates/clippy.toml does not forbid {path}");
    }
}

/// Only the program, and what a command says to a person, prints.
#[test]
fn nothing_prints_but_what_is_there_to_print() {
    let printers = [
        "xtask/src/lib.rs",
        "xtask/src/run/progress.rs",
        "xtask/src/config/project.rs",
        "xtask/src/sys/printer.rs",
        "xtask/src/selftest.rs",
        "xtask/src/commands/delivery.rs",
        "xtask/src/commands/history.rs",
    ];
    for (name, text) in sources().into_iter().filter(|(name, _)| name.starts_with("xtask/src")) {
        let prints =
            ["print!(", "println!(", "io::stdout()", "io::stderr()", "(stdout()", "(stderr()", "anstream::std"]
                .iter()
                .any(|word| text.contains(word));
        assert_eq!(prints, printers.contains(&name.as_str()), "{name}");
    }
}

/// A literal `cargo xtask` in a message would be wrong for the Python package, and for a program with commands of its own. What
/// is left is the name of the product, and the help, in which the name is put.
#[test]
fn messages_name_the_command_as_it_was_called() {
    let allowed = [
        "crates/judge/src/baseline/file.rs",
        "crates/judge/src/model/program.rs",
        "crates/report/src/page/html.rs",
        "crates/report/src/formats/junit.rs",
        "crates/report/src/formats/markdown.rs",
        "xtask/src/sys/invocation.rs",
        "xtask/src/config/flags.rs",
        "xtask/src/lib.rs",
        "xtask/src/sys/log.rs",
    ];
    for (name, text) in sources().into_iter().filter(|(name, _)| !is_maintenance(name) && !name.starts_with("demo/")) {
        let code = text.split("#[cfg(test)]").next().unwrap();
        let names = code.lines().any(|line| !line.trim_start().starts_with("//") && line.contains("cargo xtask"));
        assert_eq!(names, allowed.contains(&name.as_str()), "{name}");
    }
}

/// Whether a file is only built for the gate's own repository and the Python package.
fn is_maintenance(name: &str) -> bool {
    [
        "xtask/src/adopt/",
        "xtask/src/selftest.rs",
        "xtask/src/maintenance_flags.rs",
        "xtask/src/main.rs",
        "xtask/src/bin/",
    ]
    .iter()
    .any(|start| name.starts_with(start))
}

/// Modules of a crate, and the modules that each imports. A folder is no module of its own.
fn imports(folder: &str) -> BTreeMap<String, BTreeSet<String>> {
    let files: Vec<(String, String)> = sources().into_iter().filter(|(name, _)| name.starts_with(folder)).collect();
    let module =
        |name: &str| name[folder.len() + 1..].trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::");
    let modules: Vec<String> = files.iter().map(|(name, _)| module(name)).collect();
    let mut imports = BTreeMap::new();
    for (name, text) in &files {
        let own = module(name);
        // The roots name all others.
        if ["lib", "main"].contains(&own.as_str()) || name.ends_with("/mod.rs") {
            continue;
        }
        let parent = own.rsplit_once("::").map_or("", |(parent, _)| parent);
        let mut imported = BTreeSet::new();
        // `use crate::a::{b, c::d}` and `crate::a::b(...)`, on one line or several.
        let text = text.split("#[cfg(test)]").next().unwrap().replace('\n', " ");
        let mut paths: Vec<String> = Vec::new();
        for (start, prefix) in [("crate::", ""), ("super::", parent)] {
            for rest in text.split(start).skip(1) {
                let end = rest.find([';', '(', ')', ',', '<', '>', ' ']).unwrap_or(rest.len());
                let path = rest[..end].trim_end_matches("::{").trim_end_matches("::");
                let full = if prefix.is_empty() { path.to_owned() } else { format!("{prefix}::{path}") };
                if let Some((base, list)) = full.split_once("::{") {
                    paths.push(format!("{base}::{list}"));
                }
                paths.push(full.clone());
                if rest[..rest.find(';').unwrap_or(end)].contains("::{") {
                    let list = rest.split_once("::{").unwrap().1.split('}').next().unwrap();
                    paths.extend(
                        list.split(',').map(|item| format!("{}::{}", path.split("::{").next().unwrap(), item.trim())),
                    );
                }
            }
        }
        for path in paths {
            let of = modules.iter().filter(|module| path == **module || path.starts_with(&format!("{module}::")));
            imported.extend(of.max_by_key(|module| module.len()).cloned());
        }
        imported.remove(&own);
        imports.insert(own, imported);
    }
    imports
}

#[test]
fn no_two_modules_import_each_other() {
    for (folder, some_module, imported) in [
        ("crates/judge/src", "verdict::compare", "verdict::decision"),
        ("crates/report/src", "page::html", "view::series"),
        ("xtask/src", "sys::process", "sys::proc"),
        ("demo/src", "api", "pace"),
    ] {
        let imports = imports(folder);
        assert!(imports[some_module].contains(imported), "{folder}: {imports:?}");
        // Whatever a module reaches must not reach it.
        for module in imports.keys() {
            let mut reached: BTreeSet<&String> = imports[module].iter().collect();
            loop {
                let further: Vec<&String> = reached
                    .iter()
                    .filter_map(|name| imports.get(*name))
                    .flatten()
                    .filter(|name| !reached.contains(name))
                    .collect();
                if further.is_empty() {
                    break;
                }
                reached.extend(further);
            }
            assert!(
                !reached.contains(module),
                "{folder}: {module} imports a module that imports it: {:?}",
                imports[module]
            );
        }
    }
}

/// The folders of each crate, from the one that may import all others to the one that imports none. ARCHITECTURE.md draws
/// them.
const FOLDERS: [(&str, &[&str]); 3] = [
    ("crates/judge/src", &["verdict", "baseline", "parse", "model", "stats"]),
    ("crates/report/src", &["history", "formats", "page", "view"]),
    ("xtask/src", &["selftest", "adopt", "commands", "run", "config", "sys"]),
];

#[test]
fn folders_import_one_way() {
    for (crate_folder, folders) in FOLDERS {
        let place = |module: &str| {
            let folder = module.split("::").next().unwrap();
            folders.iter().position(|name| *name == folder)
        };
        for (module, imported) in imports(crate_folder) {
            let Some(own) = place(&module) else { continue };
            for other in imported {
                assert!(place(&other).is_none_or(|other| other >= own), "{crate_folder}: {module} imports {other}");
            }
        }
    }
}

#[test]
fn functions_fit_on_a_screen() {
    for (name, text) in sources() {
        let mut start = None;
        for (number, line) in text.lines().enumerate() {
            let code = line.trim_start();
            let indent = line.len() - code.len();
            if ["fn ", "pub fn ", "pub const fn "].iter().any(|word| code.starts_with(word)) && !code.ends_with(';') {
                start.get_or_insert((number, indent));
            } else if let Some((first, depth)) = start
                && code == "}"
                && indent == depth
            {
                assert!(number - first < 70, "{name}:{}: {} lines", first + 1, number - first);
                start = None;
            }
        }
    }
}

/// `xtask/adopt/perf.toml` with the lines in force that match: `# key = value` without its `#`.
fn starter_with(pick: impl Fn(&str) -> bool) -> String {
    let is_key = |line: &&str| {
        let name = line.trim_start_matches("# ");
        line.starts_with("# ")
            && (name.starts_with('[')
                || name.split(" = ").next().is_some_and(|name| !name.contains(' ')) && name.contains(" = "))
    };
    let starter = read("xtask/adopt/perf.toml");
    let lines = starter.lines().map(|line| match Some(line).filter(is_key).filter(|line| pick(line)) {
        Some(line) => format!("{}\n", line.trim_start_matches("# ")),
        None => format!("{line}\n"),
    });
    lines.collect()
}

#[test]
fn every_key_of_perf_toml_is_in_the_starters_with_its_default() {
    // What the parser itself says that it knows.
    for table in ["service", "load", "locust", "baseline"] {
        let error = Config::parse(&format!("[{table}]\nno-such-key = 1\n")).unwrap_err().to_string();
        let known: Vec<&str> = error.split_once("expected one of").unwrap().1.split('`').skip(1).step_by(2).collect();
        assert!(known.len() > 2, "{error}");
        let all: Table = toml::from_str(&starter_with(|_| true)).unwrap();
        let shown: BTreeSet<&str> = all[table].as_table().unwrap().keys().map(String::as_str).collect();
        assert_eq!(shown, known.into_iter().collect(), "xtask/adopt/perf.toml, [{table}]");
    }
    let metrics = read("xtask/adopt/perf.toml");
    for metric in default_limits().keys() {
        let is_shown = ["\n", "\n# "].iter().any(|start| metrics.contains(&format!("{start}{metric} = ")));
        assert!(is_shown, "xtask/adopt/perf.toml, [limits]: {metric}");
    }

    // Each is taken, and what is no example changes nothing.
    let is_example = |line: &str| line.ends_with("# example");
    Config::parse(&starter_with(|line| !line.starts_with("# command"))).unwrap();
    Config::parse(&starter_with(|line| !line.starts_with("# version") && !line.starts_with("# requirements"))).unwrap();
    let settled = |text: &str| {
        let config = Config::parse(text).unwrap();
        let settings = settle(&LoadFlags::default(), &[], &config, &LocustConf::default()).unwrap();
        let Config { service, locust, limits, endpoint_limits, load, .. } = config;
        let times = (load.workers_timeout, load.deadline_margin);
        format!("{service:#?}{locust:#?}{limits:#?}{endpoint_limits:#?}{times:#?}{settings:#?}")
    };
    let defaults = starter_with(|line| !is_example(line));
    assert!(defaults.matches('=').count() > 18, "{defaults}");
    assert_eq!(settled(&defaults), settled(&read("xtask/adopt/perf.toml")));
}

#[test]
fn adopted_workflow_is_this_repositorys_job() {
    let parse = |text: &str| YamlLoader::load_from_str(text).unwrap().remove(0);
    let version_files = &["xtask/Cargo.toml", "xtask/locust/requirements.txt"];
    let install = Install::Cargo { version_files, is_separate: false };
    let job = CiJob { inside: "", install, branches: vec!["main".to_owned()], python: None };
    let adopted = parse(&workflow::text(&job));
    let own = parse(&read(".github/workflows/ci.yml"));
    for key in ["on", "permissions", "env", "concurrency"] {
        assert_eq!(adopted[key], own[key], "{key}");
    }
    assert_eq!(adopted["jobs"]["performance"], own["jobs"]["performance"]);
    assert_eq!(adopted["jobs"].as_hash().unwrap().len(), 1);
}

/// The Rust files of all packages, tests left out, with their texts.
fn sources() -> Vec<(String, String)> {
    let mut sources = Vec::new();
    let mut folders = ["crates/judge/src", "crates/report/src", "demo/src", "xtask/src"].map(str::to_owned).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{folder}/{}", path.file_name().unwrap().display());
            if path.is_dir() {
                folders.push(name);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = read(&name);
                sources.push((name, text));
            }
        }
    }
    sources.sort();
    assert!(sources.len() > 45, "{}", sources.len());
    sources
}

#[test]
fn nothing_is_unsafe() {
    assert!(read("Cargo.toml").contains("unsafe_code = \"forbid\"\n"));
    for package in ["crates/judge", "crates/report", "demo", "xtask"] {
        assert!(read(&format!("{package}/Cargo.toml")).contains("[lints]\nworkspace = true\n"), "{package}");
    }
    for (name, text) in sources() {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        assert!(
            !code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_')).any(|word| word == "unsafe"),
            "{name}"
        );
    }
}

#[test]
fn no_file_is_read_whole_without_a_bound() {
    for (name, text) in sources() {
        // The kernel's own files are small; the demo reads none.
        for line in text
            .lines()
            .filter(|line| !["/proc", ".join(\"stat\")", ".join(\"comm\")"].iter().any(|known| line.contains(known)))
        {
            assert!(
                !line.contains("fs::read(") && !line.contains("fs::read_to_string("),
                "{name}: {line}: use files.rs"
            );
        }
    }
}

#[test]
fn every_fuzz_target_is_documented() {
    let contributing = read("CONTRIBUTING.md");
    let line = contributing.lines().find(|line| line.starts_with("fuzz/run ")).expect("a command for the fuzz targets");
    let mut targets = Vec::new();
    for entry in fs::read_dir(root().join("fuzz/src/bin")).unwrap() {
        targets.push(entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned());
    }
    for target in &targets {
        let is_named = line.split(|c: char| !c.is_alphanumeric()).any(|word| word == target);
        assert!(is_named, "CONTRIBUTING.md does not name the fuzz target {target}");
    }
    // A parser for each of these kinds of text, and no other that is left out.
    for parser in ["locust_csv", "locust_json", "locust_history", "Baseline", "Config", "flags"] {
        let call = format!("{parser}::parse(");
        assert!(targets.iter().any(|target| read(&format!("fuzz/src/bin/{target}.rs")).contains(&call)), "{call}");
    }
}

/// The text of every Rust file below a folder of the repository.
fn rust_below(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text.push_str(&rust_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
    text
}

#[test]
fn every_test_that_holds_a_promise_exists() {
    let robustness = read("docs/robustness.md");
    assert!(robustness.lines().count() < 160, "docs/robustness.md has a line for each promise, and no more");
    let folders = ["xtask/src", "xtask/tests", "crates/judge/tests", "crates/report/tests"];
    let code: String = folders.iter().map(|folder| rust_below(&root().join(folder))).collect();
    let rows = robustness.lines().filter(|line| line.starts_with("| ") && line.ends_with(" |"));
    for tests in rows.filter_map(|line| line.trim_end_matches(" |").rsplit_once(" | ")).map(|(_, tests)| tests) {
        for path in tests.split('`').skip(1).step_by(2) {
            let name = path.rsplit("::").next().unwrap_or(path);
            let begins = |start: &str| code.contains(&format!("{start} {}", name.trim_end_matches('*')));
            let is_target = root().join(format!("fuzz/src/bin/{name}.rs")).exists();
            assert!(begins("fn") || begins("mod") || is_target || name.contains('.'), "{path} is no test");
        }
    }
}

// Dependencies

/// Of an SPDX expression such as `(MIT OR Apache-2.0) AND Unicode-3.0`; one that is nested further is refused.
fn is_allowed(licence: &str, allowed: &[&str]) -> bool {
    licence.replace('/', " OR ").split(" AND ").all(|part| {
        let mut choices = part.split(" OR ").map(|choice| choice.trim().trim_matches(['(', ')']));
        choices.any(|choice| allowed.contains(&choice))
    })
}

#[test]
fn a_licence_is_read_as_it_is_meant() {
    for (licence, is_fine) in [
        ("MIT", true),
        ("Apache-2.0/GPL-3.0", true),
        ("(MIT OR GPL-3.0) AND Unicode-3.0", true),
        ("GPL-3.0", false),
        ("MIT AND GPL-3.0", false),
        ("MIT OR (GPL-3.0 AND AGPL-3.0)", false),
        ("", false),
    ] {
        assert_eq!(is_allowed(licence, &["MIT", "Apache-2.0", "Unicode-3.0"]), is_fine, "{licence}");
    }
}

#[test]
fn every_dependency_is_of_crates_io_and_of_a_licence_that_is_allowed() {
    let mut cargo = Program::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version=1", "--offline", "--locked", "--filter-platform=host-tuple"]);
    let output = cargo.current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 50, "{}", packages.len());
    let deny: Table = read("deny.toml").parse().unwrap();
    let names = |value: &'_ toml::Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    for package in packages {
        let (name, licence) = (package["name"].as_str().unwrap(), package["license"].as_str().unwrap_or_default());
        let mut allowed = names(&deny["licenses"]["allow"]);
        let exceptions = deny["licenses"]["exceptions"].as_array().unwrap().iter();
        for exception in exceptions.filter(|exception| exception["crate"].as_str() == Some(name)) {
            allowed.extend(names(&exception["allow"]));
        }
        let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
        assert!(is_allowed(licence, &allowed), "{name} is of the licence `{licence}`, which deny.toml does not allow");
    }
    for lock in ["Cargo.lock", "fuzz/Cargo.lock"] {
        let text = read(lock);
        let sources: BTreeSet<&str> = text.lines().filter(|line| line.starts_with("source = ")).collect();
        let expected = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
        assert_eq!(sources.into_iter().collect::<Vec<_>>(), [expected], "{lock}");
    }
}
