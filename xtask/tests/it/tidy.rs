//! The house rules that a machine can check.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command as Program;

use serde_json::Value;
use toml::Table;
use xtask::flags::{Command, HELP, known_flags, parse};
use yaml_rust2::{Yaml, YamlLoader};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

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

fn assert_parses(command: &[String]) {
    if let Err(error) = parse(command.iter().map(Into::into).collect()) {
        panic!("cargo xtask {}: {error:#}", command.join(" "));
    }
}

#[test]
fn the_readme_shows_the_help_as_it_is() {
    assert!(
        read("README.md").contains(&format!("```text\n{HELP}```\n")),
        "README.md must hold the text of `cargo xtask --help`"
    );
}

#[test]
fn help_names_every_flag_and_each_is_known() {
    for (command, some_flag) in [("perf", "--processes"), ("selftest", "--quick")] {
        let flags: Vec<&str> = known_flags(command).collect();
        assert_eq!(flags.len(), flags.iter().collect::<BTreeSet<_>>().len());
        assert!(flags.contains(&"--help") && flags.contains(&some_flag), "{command}: {flags:?}");
        for flag in flags.into_iter().filter(|flag| *flag != "--help") {
            // As a switch, or with a value: one of the two is accepted, and nothing is left over.
            let accepted = ["", "7", "http://127.0.0.1:1", "perf.md"].into_iter().any(|value| {
                let mut args = vec![command, flag];
                args.extend(Some(value).filter(|value| !value.is_empty()));
                args.extend(Some("--update-baseline").filter(|_| flag == "--note"));
                match parse(args.into_iter().map(Into::into).collect()) {
                    Ok(Command::Perf(perf)) => perf.results.is_empty(),
                    Ok(Command::Selftest(_)) => true,
                    _ => false,
                }
            });
            assert!(accepted, "HELP lists {flag} of {command}, and the parser does not take it");
        }
    }
    let source = read("xtask/src/flags.rs");
    for (command, from, to) in [("perf", "fn perf(", "fn selftest("), ("selftest", "fn selftest(", "fn results(")] {
        let parser = &source[source.find(from).unwrap()..source.find(to).unwrap()];
        let taken = parser.split("\"--").skip(1).filter_map(|rest| rest.split_once('"')).map(|(name, _)| name);
        for flag in taken.filter(|name| name.bytes().all(|byte| byte == b'-' || byte.is_ascii_lowercase())) {
            let flag = format!("--{flag}");
            assert!(
                known_flags(command).any(|known| known == flag),
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
        ("perf --against \"$BASE\" --report perf_report.html", "github.event_name == 'pull_request'"),
        ("perf --report perf_report.html", "github.event_name == 'push'"),
    ];
    assert_eq!(shown, expected.map(|(command, condition)| (command.to_owned(), Some(condition))));
    assert_eq!(workflow["permissions"].as_hash().unwrap().len(), 1, "least permissions");
    assert_eq!(workflow["permissions"]["contents"].as_str(), Some("read"));
}

#[test]
fn every_command_of_the_documents_is_one_that_the_parser_accepts() {
    for file in ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", ".ci/run"] {
        let text = read(file);
        // Lines of code, not of prose, and not those of the help's own grammar.
        let code = text.split("```").skip(1).step_by(2).filter(|block| block.starts_with("sh\n"));
        let lines: String = if file == ".ci/run" { text.clone() } else { code.collect() };
        for command in xtask_commands(&lines) {
            assert_parses(&command);
        }
    }
}

#[test]
fn the_core_does_no_input_or_output() {
    let core = [
        "run.rs",
        "locust_csv.rs",
        "locust_json.rs",
        "locust_history.rs",
        "mask.rs",
        "baseline.rs",
        "stats.rs",
        "compare.rs",
        "report.rs",
        "report/github.rs",
        "report/json.rs",
        "report/junit.rs",
        "report/markdown.rs",
        "report/terminal.rs",
        "report/html.rs",
        "report/pictures.rs",
    ];
    for file in core {
        let text = read(&format!("xtask/src/{file}"));
        for word in [
            "std::fs",
            "std::env",
            "std::process",
            "std::time",
            "std::thread",
            "std::net",
            "println!",
            "eprintln!",
            "print!(",
            "xshell",
            "crate::files",
            "crate::git",
            "crate::perf",
            "crate::process",
            "crate::service",
            "crate::locust::",
            "crate::config",
        ] {
            assert!(!text.contains(word), "xtask/src/{file} is of the core and uses {word}");
        }
    }
    for (file, may_print) in [
        ("files.rs", false),
        ("git.rs", false),
        ("locust.rs", false),
        ("service.rs", false),
        ("process.rs", false),
        ("main.rs", true),
    ] {
        let prints = ["print!(", "println!(", "(stdout()", "(stderr()"]
            .iter()
            .any(|word| read(&format!("xtask/src/{file}")).contains(word));
        assert_eq!(prints, may_print, "xtask/src/{file}");
    }
}

#[test]
fn the_map_names_every_file() {
    let map = read("ARCHITECTURE.md");
    for (folder, shown) in [("xtask/src", ""), ("xtask/src/report", "report/"), ("xtask/tests/it", "")] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let shown = match folder {
                "xtask/tests/it" => name.trim_end_matches(".rs").to_owned(),
                _ => format!("{shown}{name}"),
            };
            // The roots of the crate and of the tests, which only name the others.
            let is_named =
                map.contains(&format!("`{shown}`")) || ["lib.rs", "main", "report"].contains(&shown.as_str());
            assert!(is_named, "ARCHITECTURE.md does not name {folder}/{name}");
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

#[test]
fn every_key_of_perf_toml_is_explained_in_the_readme() {
    let readme = read("README.md");
    let source = read("xtask/src/config.rs");
    let structs = source.split("deny_unknown_fields").skip(1).map(|rest| &rest[..rest.find("\n}").unwrap()]);
    let fields = structs
        .flat_map(str::lines)
        .filter_map(|line| line.trim().trim_start_matches("pub ").split_once(": ").map(|(name, _)| name.to_owned()));
    let fields: BTreeSet<String> =
        fields.filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_')).collect();
    assert!(fields.len() > 15, "{fields:?}");
    assert!(readme.contains("`[limits.\"GET /claims*\"]`"), "README.md does not explain the limits of endpoints");
    for field in fields {
        assert!(
            readme.contains(&format!("`{field}`")) || readme.contains(&format!("[{field}")),
            "README.md does not explain `{field}`"
        );
    }
}

/// The Rust files of both packages, tests left out.
fn sources() -> Vec<(String, String)> {
    let mut sources = Vec::new();
    for folder in ["xtask/src", "xtask/src/report", "demo/src"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                let name = format!("{folder}/{}", path.file_name().unwrap().display());
                let text = read(&name);
                sources.push((name, text));
            }
        }
    }
    assert!(sources.len() > 30, "{}", sources.len());
    sources
}

#[test]
fn nothing_is_unsafe() {
    assert!(read("Cargo.toml").contains("unsafe_code = \"forbid\"\n"));
    for package in ["xtask", "demo"] {
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
        for line in text.lines().filter(|line| !line.contains("/proc") && !line.contains(".join(\"stat\")")) {
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
