//! What is released: the Python package, the workflow that builds it, and the action, whose steps a shell runs here.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use toml::Table;
use yaml_rust2::{Yaml, YamlLoader};

use crate::real::{self, root};
use crate::support::{FAKE_LOCUST, Output, Scratch};

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Yaml {
    YamlLoader::load_from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}")).remove(0)
}

/// A job of GitHub Actions that uses the action: its folders, and the values of expressions.
struct Job {
    scratch: Scratch,
    values: BTreeMap<&'static str, String>,
}

impl Job {
    /// A repository with a fake `gh`, which has no release unless the test brings one.
    fn new(name: &str) -> Job {
        let gh = "#!/bin/sh\necho \"$@\" >> \"$PIDS/gh\"\ncase \"$1 $2\" in\n\
                  \"release download\") [ -f \"$PIDS/release.tar.gz\" ] && cp \"$PIDS/release.tar.gz\" \"${9}/$7\" ;;\n\
                  \"api --paginate\") [ ! -f \"$PIDS/forbidden\" ] || exit 1; cat \"$PIDS/comments\" 2>/dev/null || true ;;\n\
                  \"api --silent\") [ ! -f \"$PIDS/forbidden\" ] || { echo \"gh: Resource not accessible (HTTP 403)\" >&2; exit 1; } ;;\n\
                  esac\n";
        let scratch = Scratch::new(&format!("release-{name}")).tool("gh", gh);
        fs::create_dir_all(scratch.path("pids/temp")).unwrap();
        let values = [
            ("github.action_path", root().display().to_string()),
            ("github.action_repository", "team/gate".to_owned()),
            ("github.action_ref", "v0.2.0".to_owned()),
            ("github.token", "of-the-job".to_owned()),
            ("github.repository", "team/service".to_owned()),
            ("github.event.number", "7".to_owned()),
            ("github.event.pull_request.base.sha", String::new()),
            ("github.event.merge_group.base_sha", String::new()),
            ("steps.gate.outputs.results", "perf-results".to_owned()),
            ("inputs.arguments", String::new()),
            ("inputs.name", String::new()),
            ("inputs.report", "perf_report.html".to_owned()),
            ("inputs.working-directory", ".".to_owned()),
        ];
        Job { scratch, values: values.into() }
    }

    fn with(mut self, name: &'static str, value: &str) -> Job {
        self.values.insert(name, value.to_owned());
        self
    }

    fn expand(&self, text: &str) -> String {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("${{ ") {
            let (names, behind) = behind.split_once(" }}").unwrap();
            let value = |name| self.values.get(name).unwrap_or_else(|| panic!("no value of {name}"));
            let value = names.split(" || ").map(value).find(|value| !value.is_empty());
            expanded.push_str(before);
            expanded.push_str(value.map_or("", String::as_str));
            rest = behind;
        }
        expanded + rest
    }

    /// Runs a step as GitHub does: `bash -e` on its script, the variables of its own. What earlier steps put on PATH is there.
    fn step(&self, name: &str) -> Output {
        let action = yaml("action.yml");
        let steps = action["runs"]["steps"].as_vec().unwrap();
        let step =
            steps.iter().find(|step| step["name"].as_str() == Some(name)).unwrap_or_else(|| panic!("no step {name}"));
        assert_eq!(step["shell"].as_str(), Some("bash"), "{name}");
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"].as_str().unwrap()]);
        let mut command = self.scratch.prepared(command);
        let paths = fs::read_to_string(self.scratch.path("pids/path")).unwrap_or_default();
        if let Some(first) = paths.lines().next() {
            let rest = self.scratch.path("pids/bin");
            command.env("PATH", format!("{first}:{}:{}", rest.display(), std::env::var("PATH").unwrap()));
        }
        command.env("RUNNER_TEMP", self.scratch.path("pids/temp")).env("GITHUB_PATH", self.scratch.path("pids/path"));
        command.env("GITHUB_OUTPUT", self.scratch.path("pids/output"));
        for (name, value) in step["env"].as_hash().unwrap() {
            command.env(name.as_str().unwrap(), self.expand(value.as_str().unwrap()));
        }
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Output { code: output.status.code().unwrap(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

/// A program that says how it was called.
const PROGRAM: &str = "#!/bin/sh\necho \"$@\" >> \"$PIDS/called\"\n\
    while [ $# -gt 0 ]; do [ \"$1\" = -- ] && break; [ \"$1\" = --report ] && echo report > \"$2\"; shift; done\n";

#[test]
fn the_action_takes_the_release_of_its_tag_or_builds_it() {
    let job = Job::new("archive");
    job.scratch.write("pids/made/locust-gate", PROGRAM);
    job.scratch.sh("chmod +x pids/made/locust-gate && tar -czf pids/release.tar.gz -C pids/made .");
    let output = job.step("Get the gate");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert_eq!(job.scratch.read("pids/called"), "--version\n");
    let asked = job.scratch.read("pids/gh");
    assert!(asked.starts_with("release download v0.2.0 --repo team/gate --pattern locust-gate-"), "{asked}");
    assert!(job.scratch.read("pids/path").trim().ends_with("pids/temp/locust-gate-bin"));

    let job = Job::new("build");
    let cargo = "#!/bin/sh\necho \"$@\" > \"$PIDS/cargo\"\nfor last; do :; done\nmkdir -p \"$last/debug\"\n\
                 printf '#!/bin/sh\\necho built\\n' > \"$last/debug/locust-gate\"\nchmod +x \"$last/debug/locust-gate\"\n";
    let job = Job { scratch: job.scratch.tool("cargo", cargo), ..job };
    let output = job.step("Get the gate");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(
        output.stdout.contains("no archive of v0.2.0 for ") && output.stdout.ends_with("built\n"),
        "{}",
        output.stdout
    );
    let manifest = format!("--manifest-path {}/xtask/Cargo.toml --bin locust-gate", root().display());
    assert!(job.scratch.read("pids/cargo").contains(&manifest));
    // `uses: ./` has no tag, so there is no release to ask for.
    let job = job.with("github.action_ref", "").with("github.action_repository", "");
    fs::remove_file(job.scratch.path("pids/gh")).unwrap();
    let output = job.step("Get the gate");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(!job.scratch.path("pids/gh").exists() && output.stdout.contains("building it"), "{}", output.stdout);
}

#[test]
fn the_action_compares_with_the_base_commit_and_comments_when_asked() {
    for (arguments, pull_request, merge_group, expected) in [
        ("", "", "", "--confirm"),
        ("", "0a1b2c3", "", "--against 0a1b2c3"),
        ("", "", "d4e5f6a", "--against d4e5f6a"),
        ("--strict --max-runs 3", "0a1b2c3", "", "--strict --max-runs 3"),
        // Locust's own arguments come last.
        ("-- --tags read", "0a1b2c3", "", "-- --tags read"),
    ] {
        let job = Job::new("gate")
            .with("inputs.arguments", arguments)
            .with("github.event.pull_request.base.sha", pull_request)
            .with("github.event.merge_group.base_sha", merge_group);
        let job = Job { scratch: job.scratch.tool("locust-gate", PROGRAM), ..job };
        let output = job.step("Performance gate");
        assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
        let comment = job.scratch.path("pids/temp/perf_comment.md");
        let expected = format!("perf --report perf_report.html --report {} {expected}\n", comment.display());
        assert_eq!(job.scratch.read("pids/called"), expected);

        // The first comment is new, and later ones replace it.
        assert_eq!(job.step("Comment on the pull request").code, 0);
        let asked = job.scratch.read("pids/gh");
        let body = job.scratch.path("pids/temp/perf_comment_body.md");
        assert_eq!(fs::read_to_string(&body).unwrap(), "<!-- perf-results -->\nreport\n");
        assert!(
            asked
                .ends_with(&format!("api --silent repos/team/service/issues/7/comments -F body=@{}\n", body.display())),
            "{asked}"
        );
        job.scratch.write("pids/comments", "42\n43\n");
        assert_eq!(job.step("Comment on the pull request").code, 0);
        let asked = job.scratch.read("pids/gh");
        let patched =
            format!("api --silent -X PATCH repos/team/service/issues/comments/42 -F body=@{}\n", body.display());
        assert!(asked.ends_with(&patched), "{asked}");
        assert!(asked.contains("startswith(\"<!-- perf-results -->\")"), "{asked}");

        // The token of a fork's pull request may not comment, which does not change the result.
        job.scratch.write("pids/forbidden", "");
        let output = job.step("Comment on the pull request");
        assert!(output.code == 0 && output.stdout.starts_with("::warning::"), "{}{}", output.stdout, output.stderr);
    }
    // Where there is no report there is nothing to say.
    let job = Job::new("no-report");
    assert_eq!(job.step("Comment on the pull request").code, 0);
    assert!(!job.scratch.path("pids/gh").exists());

    let action = yaml("action.yml");
    let inputs: Vec<&str> = action["inputs"].as_hash().unwrap().keys().map(|name| name.as_str().unwrap()).collect();
    let text = read("action.yml");
    for input in inputs {
        assert!(text.contains(&format!("inputs.{input}")), "{input} has no effect");
    }
    assert!(text.contains("name: ${{ steps.gate.outputs.results }}\n"), "the artifact");
}

#[test]
fn two_gates_of_one_workflow_have_different_artifacts_and_comments() {
    for (folder, name, expected) in [
        (".", "", "perf-results"),
        ("services/claims", "", "perf-results-services-claims"),
        ("./services/quotes/", "", "perf-results-services-quotes"),
        (".", "check out", "perf-results-check-out"),
    ] {
        let job = Job::new("names").with("inputs.working-directory", folder).with("inputs.name", name);
        job.scratch.write("pids/made/locust-gate", PROGRAM);
        job.scratch.sh("chmod +x pids/made/locust-gate && tar -czf pids/release.tar.gz -C pids/made .");
        assert_eq!(job.step("Get the gate").code, 0);
        assert_eq!(job.scratch.read("pids/output"), format!("results={expected}\n"), "{folder} {name}");
    }
}

/// Takes minutes: cargo builds the program, as the action does where a tag has no archive.
#[test]
#[ignore = "builds the program as the action does, which takes minutes"]
fn the_action_gates_a_service_here() {
    let job = Job::new("real");
    fs::remove_file(job.scratch.path("perf_baseline.json")).unwrap();
    let job = Job { scratch: job.scratch.with("HOME", &std::env::var("HOME").unwrap()), ..job };
    let output = job.step("Get the gate");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("locust-gate 0."), "{}", output.stdout);
    let job = job.with("inputs.arguments", "--update-baseline --max-runs 2");
    let output = job.step("Performance gate");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    job.scratch.sh("git add . && git commit -q -m baseline");
    let job = job.with("inputs.arguments", "");
    let output = job.step("Performance gate");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(job.scratch.read("pids/temp/perf_comment.md").contains(report::formats::markdown::MARKER));
    assert!(job.scratch.path("perf_report.html").is_file());
}

#[test]
fn the_package_takes_the_locust_beside_it() {
    let scratch = Scratch::new("release-beside").toml(&format!("[locust]\ncommand = \"sh '{FAKE_LOCUST}'\"\n"), "");
    fs::create_dir_all(scratch.path(".venv of ours/bin")).unwrap();
    let program = scratch.path(".venv of ours/bin/locust-gate");
    // Not by this process: a child of another test could hold the file open for writing, and then it cannot be run.
    scratch.sh(&format!("cp '{}' '{}'", env!("CARGO_BIN_EXE_locust-gate"), program.display()));
    scratch.write(".venv of ours/bin/python", "");
    scratch.write(".venv of ours/bin/locust", &format!("#!/bin/sh\nexec sh '{FAKE_LOCUST}' \"$@\"\n"));
    scratch.sh("chmod +x '.venv of ours/bin/locust'");
    let perf = |args: &str| {
        let mut command = Command::new(&program);
        command.arg("perf").args(args.split_whitespace());
        scratch.finish(scratch.prepared(command).spawn().unwrap())
    };
    let output = perf("--update-baseline --max-runs 1");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert_eq!(scratch.sh("find target/perf -maxdepth 1 -type d -name 'locust-*'"), "", "a Locust was installed");
    // Messages name the program as it was called.
    let output = perf("--max-runs 1");
    assert!(output.stdout.contains("locust-gate perf") && !output.stdout.contains("cargo"), "{}", output.stdout);
    let output = perf("--zzz");
    assert!(output.code == 2 && output.stderr.contains("see `locust-gate --help`"), "{}", output.stderr);
}

/// A fake cargo-deny, in the places of this repository's CI.
#[test]
fn ci_checks_the_dependencies_and_reports_advisories_that_it_cannot_have() {
    for (name, fetch, licenses, code, words) in [
        ("online", 0, 0, 0, "checked --locked check advisories"),
        ("offline", 1, 0, 0, "the advisories are not checked: their database cannot be fetched from here"),
        ("licence", 0, 3, 3, "checked --locked check bans licenses sources"),
    ] {
        let deny = format!(
            "#!/bin/sh\ncase \"$*\" in 'fetch db') exit {fetch} ;; esac\necho \"checked $*\"\n\
             case \"$*\" in *licenses*) exit {licenses} ;; esac\n"
        );
        let scratch = Scratch::new(&format!("release-deny-{name}")).tool("cargo-deny", &deny);
        scratch.write(".ci/deny", &read(".ci/deny"));
        let mut command = Command::new("bash");
        command.arg(".ci/deny");
        let output = scratch.finish(scratch.prepared(command).spawn().unwrap());
        assert_eq!(output.code, code, "{name}: {}{}", output.stdout, output.stderr);
        assert_eq!(output.stdout.lines().last().unwrap_or_default().split(" (").next(), Some(words), "{name}");
    }
    assert!(read(".ci/run").lines().any(|line| line == ".ci/deny"));
    assert!(read(".github/workflows/ci.yml").contains("      - run: .ci/deny\n"));
}

/// A new version of a dependency changes what is measured, and may break Locust overnight.
#[test]
fn locust_is_installed_with_the_versions_of_the_constraints() {
    let constraints = read("xtask/locust/constraints.txt");
    let pinned: Vec<String> =
        constraints.lines().filter(|line| !line.starts_with('#')).map(|line| line.replace("==", " ")).collect();
    assert!(pinned.iter().any(|package| package.starts_with("gevent ")), "{constraints}");
    let complete = fs::read_to_string(real::installed_locust().join("complete")).unwrap();
    let packages: Vec<&str> = complete.lines().nth(1).unwrap().split(", ").collect();
    let is_of_python = |package: &str| ["locust ", "pip ", "setuptools "].iter().any(|name| package.starts_with(name));
    let free: Vec<&&str> = packages
        .iter()
        .filter(|package| !is_of_python(package) && !pinned.iter().any(|pin| pin == **package))
        .collect();
    assert!(free.is_empty(), "{free:?} are installed, and not in xtask/locust/constraints.txt in this version");
}

#[test]
fn the_release_has_every_platform_and_the_version_of_the_crate() {
    let workflow = yaml(".github/workflows/release.yml");
    let entries = workflow["jobs"]["build"]["strategy"]["matrix"]["include"].as_vec().unwrap();
    let platforms: Vec<&str> = entries.iter().map(|entry| entry["platform"].as_str().unwrap()).collect();
    // The action asks for `uname -s` and `uname -m`.
    assert_eq!(platforms, ["Linux-x86_64", "Linux-aarch64", "Darwin-x86_64", "Darwin-arm64"]);
    for (name, job) in workflow["jobs"].as_hash().unwrap() {
        assert!(job["timeout-minutes"].as_i64().is_some(), "{name:?} has no timeout");
    }
    assert_eq!(workflow["permissions"]["contents"].as_str(), Some("read"));

    let version = locust_gate::sys::version::number();
    // The step of the workflow that compares it with the tag reads this file.
    assert!(read("Cargo.toml").lines().any(|line| line == format!("version = \"{version}\"")), "{version}");
    assert!(
        read(".github/workflows/release.yml").contains("run: grep -qx \"version = \\\"${TAG#v}\\\"\" Cargo.toml\n")
    );
    let changes = read("CHANGELOG.md");
    let section = changes.split("\n## ").nth(1).unwrap();
    assert!(
        section.lines().next() == Some(version) && section.contains("\n### Upgrading from "),
        "CHANGELOG.md does not begin with {version} and what an upgrade to it changes"
    );

    // The package has one program, which the crate builds, and nothing of its version by itself.
    let package: Table = read("xtask/pyproject.toml").parse().unwrap();
    let maturin = &package["tool"]["maturin"];
    assert_eq!(maturin["bindings"].as_str(), Some("bin"));
    let targets = maturin["targets"].as_array().unwrap();
    assert_eq!(targets.len(), 1);
    let program = targets[0]["name"].as_str().unwrap();
    assert_eq!(
        (program, package["project"]["name"].as_str()),
        (locust_gate::sys::invocation::PACKAGED, Some("locust-gate"))
    );
    let crate_manifest: Table = read("xtask/Cargo.toml").parse().unwrap();
    let programs = crate_manifest["bin"].as_array().unwrap();
    assert!(programs.iter().any(|built| built["name"].as_str() == Some(program)));
}
