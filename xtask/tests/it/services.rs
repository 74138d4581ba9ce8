//! The examples of docs/services.md: every file of them is parsed, and every command runs, with programs that stand in for
//! Docker, gunicorn and Celery.

use std::fs;
use std::process::Command;

use locust_gate::config::perf_toml::Config;
use yaml_rust2::YamlLoader;

use crate::real::root;
use crate::support::{FAKE_LOCUST, Scratch};

/// A file of an example.
struct File {
    name: String,
    language: String,
    text: String,
}

/// The examples by their headings, each with its files.
fn examples() -> Vec<(String, Vec<File>)> {
    let text = fs::read_to_string(root().join("docs/services.md")).unwrap();
    let sections = text.split("\n## ").skip(1).filter(|section| !section.starts_with("Your own counters"));
    let files = |section: &str| {
        let mut files = Vec::new();
        let parts: Vec<&str> = section.split("```").collect();
        for pair in parts.chunks(2) {
            let [prose, block] = pair else { continue };
            let (language, code) = block.split_once('\n').unwrap();
            let name = prose.trim_end().trim_end_matches("`:").rsplit('`').next().unwrap();
            files.push(File { name: name.to_owned(), language: language.to_owned(), text: code.to_owned() });
        }
        files
    };
    sections.map(|section| (section.lines().next().unwrap().to_owned(), files(section))).collect()
}

#[test]
fn every_file_of_the_examples_parses() {
    let examples = examples();
    let names: Vec<&str> = examples.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Postgres", "Redis", "Celery"]);
    for (example, files) in &examples {
        assert!(files.iter().any(|file| file.name == "perf.toml"), "{example}");
        for File { name, language, text } in files {
            match language.as_str() {
                "toml" => {
                    let config = Config::parse(text).unwrap_or_else(|error| panic!("{example}: {name}{error}"));
                    let service = config.service.unwrap();
                    for script in [service.command, service.build, service.prepare] {
                        let is_shell = Command::new("sh").args(["-n", "-c", &script]).status().unwrap();
                        assert!(is_shell.success(), "{example}: {script}");
                        assert!(!script.contains("--file") || script.contains("compose.perf.yml "), "{script}");
                    }
                }
                "yaml" => {
                    let compose = YamlLoader::load_from_str(text).unwrap().remove(0);
                    let services = compose["services"].as_hash().unwrap();
                    for (service, about) in services {
                        let is_made = about["image"].as_str().is_some() || about["build"].as_str().is_some();
                        assert!(is_made, "{example}: {service:?}");
                        for other in about["depends_on"].as_hash().into_iter().flatten() {
                            assert!(services.contains_key(other.0), "{example}: {service:?} depends on {other:?}");
                        }
                    }
                }
                "python" => {
                    let compile = "import sys; compile(sys.argv[1], 'block', 'exec')";
                    let is_python = Command::new("python3").args(["-c", compile, text]).status().unwrap();
                    assert!(is_python.success(), "{example}: {name}");
                }
                other => panic!("{example}: {name} is `{other}`, of which nothing is checked"),
            }
        }
    }
}

/// A web server in the place of gunicorn: `--bind 127.0.0.1:PORT` is where it listens.
fn gunicorn() -> String {
    let service = env!("CARGO_BIN_EXE_fake-service");
    format!(
        "#!/bin/sh\necho \"gunicorn $PWD $REDIS_URL\" >> \"$PIDS/called\"\n\
         while [ \"$1\" != --bind ]; do shift; done\nexec '{service}' --port \"${{2##*:}}\" --mode ok\n"
    )
}

/// Docker, of which only the calls of the examples are known.
fn docker() -> String {
    let service = env!("CARGO_BIN_EXE_fake-service");
    format!(
        "#!/bin/sh\necho \"docker $*\" >> \"$PIDS/called\"\ncase \"$*\" in\n\
         *' build --quiet') ;;\n*' up --detach --wait redis') ;;\n*' exec -T redis redis-cli flushall') ;;\n\
         *' up --abort-on-container-exit --no-log-prefix') exec '{service}' --port \"$PORT\" --mode ok ;;\n\
         *) exit 1 ;;\nesac\n"
    )
}

#[test]
fn every_command_of_the_examples_runs() {
    for (example, files) in examples() {
        let toml = &files.iter().find(|file| file.name == "perf.toml").unwrap().text;
        let scratch = Scratch::new(&format!("services-{example}")).tool("docker", &docker());
        scratch.write(".venv/bin/gunicorn", &gunicorn());
        let celery = "#!/bin/sh\necho \"celery $PWD $*\" >> \"$PIDS/called\"\necho $$ > \"$PIDS/service-child\"\nexec sleep 600\n";
        scratch.write(".venv/bin/celery", celery);
        scratch.sh("chmod +x .venv/bin/* && echo .venv >> .gitignore");
        // The shortest load that the fake Locust makes.
        let shorter = toml.replace("warmup = \"5s\"\n", "");
        let load = if shorter.contains("[load]") { "" } else { "[load]\n" };
        scratch.write(
            "perf.toml",
            &format!("{shorter}{load}run_time = \"1s\"\n[locust]\ncommand = \"sh '{FAKE_LOCUST}'\"\n"),
        );
        scratch.sh("git add . && git commit -q -m example");
        let output = scratch.perf("--update-baseline --max-runs 2");
        assert_eq!(output.code, 0, "{example}: {}{}", output.stdout, output.stderr);
        scratch.assert_nothing_is_left();
        let called = scratch.read("pids/called");
        let times = |words: &str| called.lines().filter(|line| line.contains(words)).count();
        match example.as_str() {
            "Postgres" => assert_eq!((times("build --quiet"), times("up --abort-on")), (1, 2), "{called}"),
            "Redis" | "Celery" => {
                assert_eq!((times("up --detach --wait redis"), times("flushall")), (2, 2), "{called}");
                assert_eq!(times("redis://127.0.0.1:6390/0"), 2, "{called}");
            }
            other => panic!("{other}: say what its commands do"),
        }
        if example == "Celery" {
            assert_eq!(times("celery "), 2, "{called}");
            assert!(scratch.read("pids/arguments").contains(" --tags report"));
        }

        // The checkout of another commit has no virtual environment, and takes that of the repository.
        let output = scratch.perf("--against HEAD --max-runs 2");
        assert_eq!(output.code, 0, "{example}: {}{}", output.stdout, output.stderr);
        let there = scratch.read("pids/called").lines().filter(|line| line.contains("/cache/locust-gate/")).count();
        assert_eq!(there > 0, example != "Postgres", "{example}: {}", scratch.read("pids/called"));
    }
}
