//! The job for GitLab that `adopt` writes: its shell steps run here in order, in a clone, with a fake Locust.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use locust_gate::adopt::ci_job::{CiJob, Install};
use locust_gate::adopt::gitlab;
use locust_gate::adopt::source::Package;
use yaml_rust2::{Yaml, YamlLoader};

use crate::support::{Output, Scratch};

/// A clone as GitLab's runner makes it, with its variables.
struct Pipeline {
    scratch: Scratch,
    clone: PathBuf,
    job: Yaml,
}

fn job(install: Install, inside: &str) -> Yaml {
    let job = CiJob { inside, install, branches: Vec::new(), python: None };
    YamlLoader::load_from_str(&gitlab::text(&job, "test")).unwrap().remove(0)
}

impl Pipeline {
    fn new(name: &str) -> Pipeline {
        let cargo =
            format!("#!/bin/sh\n[ \"$1\" = xtask ] && shift && exec '{}' \"$@\"\n", env!("CARGO_BIN_EXE_xtask"));
        let curl = "#!/bin/sh\necho \"$@\" >> \"$PIDS/curl\"\nfor last; do :; done\n\
                    case $last in *per_page*) cat \"$PIDS/notes\" 2> /dev/null || echo '[]' ;; esac\n";
        let scratch = Scratch::new(&format!("gitlab-{name}"))
            .tool("cargo", &cargo)
            .tool("apt-get", "#!/bin/sh\necho \"$@\" >> \"$PIDS/apt-get\"\n")
            .tool("curl", curl)
            .with("GITLAB_CI", "true")
            .with("CI_DEFAULT_BRANCH", "main")
            .with("CI_JOB_NAME", "performance")
            .with("CI_API_V4_URL", "https://gitlab.example.org/api/v4")
            .with("CI_PROJECT_ID", "3");
        let clone = scratch.path("pids/clone");
        let version_files = &["xtask/Cargo.toml"];
        let job = job(Install::Cargo { version_files, is_separate: false }, "");
        Pipeline { scratch, clone, job }
    }

    fn with(self, name: &str, value: &str) -> Pipeline {
        Pipeline { scratch: self.scratch.with(name, value), ..self }
    }

    /// Runs the steps in one shell, as GitLab does.
    fn run(&self, steps: &[&str]) -> Output {
        let lines = steps.iter().flat_map(|steps| self.job["performance"][*steps].as_vec().unwrap());
        let script: Vec<&str> = lines.map(|line| line.as_str().unwrap()).collect();
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", &script.join("\n")]);
        let mut command = self.scratch.prepared(command);
        command.current_dir(&self.clone).env("CI_PROJECT_DIR", &self.clone);
        self.scratch.finish(command.spawn().unwrap())
    }

    fn in_clone(&self, name: &str) -> String {
        fs::read_to_string(self.clone.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

#[test]
fn merge_request_is_compared_with_its_base_and_gets_a_note() {
    let pipeline = Pipeline::new("merge-request");
    let base = pipeline.scratch.sh("git rev-parse HEAD");
    pipeline.scratch.sh("echo '# slower?' >> locustfile.py; git commit -qam change; git clone -q . pids/clone");
    let pipeline = pipeline
        .with("CI_MERGE_REQUEST_IID", "7")
        .with("CI_MERGE_REQUEST_DIFF_BASE_SHA", &base)
        .with("PERF_NOTE_TOKEN", "of-a-bot");
    let output = pipeline.run(&["before_script", "script"]);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains(&base[..7]), "{}", output.stdout);
    assert!(pipeline.scratch.read("pids/apt-get").contains("python3-venv"));
    let artifacts = &pipeline.job["performance"]["artifacts"];
    let mut paths: Vec<&str> = artifacts["paths"].as_vec().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    paths.push(artifacts["reports"]["junit"].as_str().unwrap());
    for path in paths {
        assert!(pipeline.clone.join(path).exists(), "{path}");
    }

    // The comparison is shown again, without a load.
    let loads = pipeline.scratch.read("runs-made");
    let output = pipeline.run(&["after_script"]);
    assert!(output.code == 0 && output.stdout.contains("PASS: "), "{}{}", output.stdout, output.stderr);
    assert_eq!(pipeline.scratch.read("runs-made"), loads);
    let note = pipeline.in_clone("target/perf/note.md");
    assert!(note.starts_with("<!-- performance gate: performance -->\n<!-- cargo xtask perf -->\n"), "{note}");
    let notes = "https://gitlab.example.org/api/v4/projects/3/merge_requests/7/notes";
    let send = "--silent --show-error --fail --header PRIVATE-TOKEN: of-a-bot --request";
    let body = "--data-urlencode body@target/perf/note.md";
    let called = pipeline.scratch.read("pids/curl");
    assert_eq!(called.lines().last(), Some(format!("{send} POST {body} {notes}").as_str()));

    // Later pipelines replace it, and other notes stay.
    let others = r#"[{"id": 41, "body": "Fine"}, {"id": 42, "body": "<!-- performance gate: performance -->\nold"}]"#;
    pipeline.scratch.write("pids/notes", others);
    assert_eq!(pipeline.run(&["after_script"]).code, 0);
    let called = pipeline.scratch.read("pids/curl");
    assert_eq!(called.lines().last(), Some(format!("{send} PUT {body} {notes}/42").as_str()));
    pipeline.scratch.assert_nothing_is_left();
}

#[test]
fn failed_job_still_shows_what_it_has() {
    let pipeline = Pipeline::new("crash").with("FAKE_LOCUST", "dies").with("CI_MERGE_REQUEST_IID", "7");
    let base = pipeline.scratch.sh("git rev-parse HEAD; git clone -q . pids/clone");
    // In a pipeline of merged results, the target branch has moved on since the branch began.
    let pipeline = pipeline
        .with("CI_MERGE_REQUEST_TARGET_BRANCH_SHA", &base)
        .with("CI_MERGE_REQUEST_DIFF_BASE_SHA", "0000000000000000000000000000000000000000");
    let output = pipeline.run(&["before_script", "script"]);
    assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
    // Without a token there is no note.
    assert_eq!(pipeline.run(&["after_script"]).code, 0);
    assert!(!pipeline.scratch.path("pids/curl").exists());
    assert!(pipeline.clone.join("perf_report.xml").exists());
}

#[test]
fn default_branch_without_a_baseline_does_not_pass() {
    let pipeline = Pipeline::new("default-branch");
    pipeline.scratch.sh("git rm -q perf_baseline.json; git commit -qm none; git clone -q . pids/clone");
    let output = pipeline.run(&["before_script", "script"]);
    assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
    // It is among the artifacts, to be committed.
    assert!(pipeline.in_clone("perf_baseline.json").contains("\"p95\": 300.0"));
    pipeline.scratch.sh("cp pids/clone/perf_baseline.json . && git add . && git commit -qm baseline");
    pipeline.scratch.sh("cd pids/clone && git fetch -q && git reset -q --hard origin/HEAD");
    let output = pipeline.run(&["before_script", "script", "after_script"]);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
}

#[test]
fn template_has_no_place_left_and_no_rust_for_python_teams() {
    let package = Package::Wheel("tools/gate.whl".to_owned());
    let packaged =
        CiJob { inside: "services/claims/", install: Install::Pip(&package), branches: Vec::new(), python: None };
    let text = gitlab::text(&packaged, "check");
    assert!(!text.contains("cargo xtask ") && !text.contains("CARGO"), "{text}");
    for line in ["  image: python:3.12\n", "    - pip install tools/gate.whl\n", "    - cd services/claims\n"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let job = &YamlLoader::load_from_str(&text).unwrap()[0]["performance-services-claims"];
    let changes: Vec<&str> =
        job["rules"][0]["changes"].as_vec().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    assert_eq!(changes, ["services/claims/**/*", "tools/gate.whl", ".gitlab/perf-services-claims.yml"]);
    for is_separate in [false, true] {
        let version_files = &["xtask/Cargo.lock", "xtask/Cargo.toml"];
        let install = Install::Cargo { version_files, is_separate };
        let job = CiJob { inside: "", install, branches: Vec::new(), python: None };
        let text = gitlab::text(&job, "test");
        let places = text.lines().filter(|line| line.contains("# <") || line.contains(" <") && !line.contains("<!--"));
        assert_eq!(places.collect::<Vec<_>>(), Vec::<&str>::new());
        let job = &YamlLoader::load_from_str(&text).unwrap()[0]["performance"];
        let caches = job["cache"].as_vec().unwrap();
        // GitLab's limits.
        assert!(caches.len() <= 4);
        for cache in caches {
            assert!(cache["key"]["files"].as_vec().unwrap().len() <= 2);
        }
        assert_eq!(text.contains("        - xtask/target\n"), is_separate);
    }
}
