//! The house rules that a machine can check.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command as Program;

use serde_json::Value;
use toml::Table;
use xtask::adopt::ALIAS;
use xtask::compare::default_limits;
use xtask::config::{Config, LocustSettings, settle};
use xtask::flags::{Command, HELP, LoadFlags, known_flags, parse};
use yaml_rust2::{Yaml, YamlLoader};

use crate::real::root;

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
fn the_documents_show_the_help_as_it_is() {
    assert!(
        read("docs/commands.md").contains(&format!("```text\n{HELP}```\n")),
        "docs/commands.md must hold the text of `cargo xtask --help`"
    );
}

#[test]
fn the_readme_is_read_in_a_few_minutes() {
    let lines = read("README.md").lines().count();
    assert!(lines < 150, "README.md has {lines} lines: what is not for a first reader goes into docs/");
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

/// Every line of shell in the documents: run by a test, or taken by the parser that it is meant for.
#[test]
fn every_command_of_the_documents_is_known() {
    let mut documents = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md", "xtask/README.md"]
        .map(str::to_owned)
        .to_vec();
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    documents.extend(docs.map(|path| path.strip_prefix(root()).unwrap().display().to_string()));
    let mut known = 0;
    documents.retain(|file| Path::new(file).extension().is_some_and(|extension| extension == "md"));
    for file in &documents {
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
                "sh" => code.lines().for_each(|line| assert_known(file, line)),
                "yaml" => {
                    let runs = code.lines().filter(|line| line.contains("run: ")).map(|line| format!("{line}\n"));
                    for command in xtask_commands(&runs.collect::<String>()) {
                        assert_parses(&command);
                    }
                }
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

/// One line of shell: commands joined by `&&`, variables before them, a comment behind.
#[track_caller]
fn assert_known(file: &str, line: &str) {
    let tests = read("xtask/tests/it/main.rs");
    let manifest: Table = toml::from_str(&read("xtask/Cargo.toml")).unwrap();
    let is_named = |kind: &str, name: &str| {
        manifest[kind].as_array().unwrap().iter().any(|target| target["name"].as_str() == Some(name))
    };
    for command in line.split(" # ").next().unwrap().split("&&") {
        let is_variable = |word: &&str| word.contains('=') && word.starts_with(|c: char| c.is_ascii_uppercase());
        let words: Vec<&str> = command.split_whitespace().skip_while(is_variable).collect();
        let is_known = match words[..] {
            ["cargo", "xtask", ref rest @ ..] | ["git", "bisect", "run", "/tmp/xtask", ref rest @ ..] => {
                assert_parses(&rest.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
                true
            }
            ["cargo", "test", "-p", "xtask", "--test", "it", module, ..] => tests.contains(&format!("mod {module};")),
            ["fuzz/run", target] => root().join(format!("fuzz/src/bin/{target}.rs")).is_file(),
            ["cargo", "bench", "-p", "xtask", "--bench", bench] => is_named("bench", bench),
            [".ci/run"]
            | ["cargo", "test"]
            | ["cargo", "test", "-p", "xtask", "--test", "it"]
            | ["cargo", "fmt", "--check"]
            // Where cargo-deny is installed; the test of licences holds to `deny.toml` itself.
            | ["cargo", "deny", "check"]
            | ["cargo", "clippy", "--all-targets", "--", "-D", "warnings"]
            // What `against::git_bisect_finds_the_slow_commit` does.
            | ["cargo", "build", "-p", "xtask"]
            | ["cp", "target/debug/xtask", "/tmp/xtask"]
            | ["git", "bisect", "start", "HEAD", "v1.2"] => true,
            _ => words.is_empty(),
        };
        assert!(is_known, "{file}: `{line}`: nothing shows that this works");
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
    for (folder, shown) in
        [("xtask/src", ""), ("xtask/src/locust", "locust/"), ("xtask/src/report", "report/"), ("xtask/tests/it", "")]
    {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let shown = match folder {
                "xtask/tests/it" => name.trim_end_matches(".rs").to_owned(),
                _ => format!("{shown}{name}"),
            };
            // The roots of the crate and of the tests, which only name the others.
            let is_named =
                map.contains(&format!("`{shown}`")) || ["lib.rs", "main", "locust", "report"].contains(&shown.as_str());
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
    for table in ["service", "load", "locust"] {
        let error = Config::parse(&format!("[{table}]\nno-such-key = 1\n")).unwrap_err().to_string();
        let known: Vec<&str> = error.split_once("expected one of").unwrap().1.split('`').skip(1).step_by(2).collect();
        assert!(known.len() > 2, "{error}");
        let all: Table = toml::from_str(&starter_with(|_| true)).unwrap();
        let shown: BTreeSet<&str> = all[table].as_table().unwrap().keys().map(String::as_str).collect();
        assert_eq!(shown, known.into_iter().collect(), "xtask/adopt/perf.toml, [{table}]");
    }
    let metrics = read("xtask/adopt/perf.toml");
    for metric in default_limits().keys() {
        assert!(metrics.contains(&format!("\n# {metric} = ")), "xtask/adopt/perf.toml, [limits]: {metric}");
    }

    // Each is taken, and what is no example changes nothing.
    let is_example = |line: &str| line.ends_with("# example");
    Config::parse(&starter_with(|line| !line.starts_with("# command"))).unwrap();
    Config::parse(&starter_with(|line| !line.starts_with("# version") && !line.starts_with("# requirements"))).unwrap();
    let settled = |text: &str| {
        let config = Config::parse(text).unwrap();
        let settings = settle(&LoadFlags::default(), &[], &config, &LocustSettings::default()).unwrap();
        let Config { service, locust, limits, endpoint_limits, load, .. } = config;
        let times = (load.workers_timeout, load.deadline_margin);
        format!("{service:#?}{locust:#?}{limits:#?}{endpoint_limits:#?}{times:#?}{settings:#?}")
    };
    let defaults = starter_with(|line| !is_example(line));
    assert!(defaults.matches('=').count() > 18, "{defaults}");
    assert_eq!(settled(&defaults), settled(&read("xtask/adopt/perf.toml")));
}

#[test]
fn what_is_adopted_is_what_this_repository_uses() {
    assert_eq!(read(".cargo/config.toml"), ALIAS);
    let toml = |path: &str| -> Table { toml::from_str(&read(path)).unwrap() };
    let (workspace, package) = (&toml("Cargo.toml")["workspace"], &toml("xtask/Cargo.toml"));
    assert_eq!(workspace["lints"], package["lints"]);
    for (key, value) in workspace["package"].as_table().unwrap() {
        assert_eq!(&package["package"][key], value, "{key} of xtask/Cargo.toml");
    }
    let yaml = |path: &str| YamlLoader::load_from_str(&read(path)).unwrap().remove(0);
    let (adopted, own) = (yaml("xtask/adopt/perf.yml"), yaml(".github/workflows/ci.yml"));
    for key in ["permissions", "env", "concurrency"] {
        assert_eq!(adopted[key], own[key], "{key}");
    }
    assert_eq!(adopted["jobs"]["performance"], own["jobs"]["performance"]);
    assert_eq!(adopted["jobs"].as_hash().unwrap().len(), 1);
}

/// The Rust files of both packages, tests left out.
fn sources() -> Vec<(String, String)> {
    let mut sources = Vec::new();
    for folder in ["xtask/src", "xtask/src/locust", "xtask/src/report", "demo/src"] {
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
    assert!(read("demo/Cargo.toml").contains("[lints]\nworkspace = true\n"));
    assert!(read("xtask/Cargo.toml").contains("[lints.rust]\nunsafe_code = \"forbid\"\n"));
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
