//! `cargo xtask adopt`: what it does to repositories of all kinds, and that the gate works in them, with real services
//! and real Locust.

use std::fs;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use locust_gate::config::project::STARTER;
use locust_gate::sys::git::blob_hash;

use crate::real;
use crate::support::Scratch;

/// The alias that is adopted.
const ALIAS: &str = "[alias]\nxtask = \"run --package xtask --bin xtask --\"\n";

/// The origin of this checkout, as git's configuration has it in these tests.
const ORIGIN: &str = "git@gate.example.org:team/gate.git";
/// The same origin, as cargo takes it.
const URL: &str = "ssh://git@gate.example.org/team/gate.git";

struct Repository(Scratch);

impl Deref for Repository {
    type Target = Scratch;

    fn deref(&self) -> &Scratch {
        &self.0
    }
}

impl Repository {
    /// A git repository of these files.
    fn new(name: &str, files: &[(&str, &str)]) -> Repository {
        let repository = Repository(Scratch::empty(&format!("adopt-{name}")));
        for (name, text) in files {
            repository.write(name, text);
        }
        repository.sh("git init -q .");
        repository
    }

    /// The exit code, and all that was said. With the user's own home, where cargo has its toolchain.
    fn run(&self, program: &str, args: &[&str]) -> (i32, String) {
        self.run_with_origin(program, args, ORIGIN)
    }

    fn run_with_origin(&self, program: &str, args: &[&str], origin: &str) -> (i32, String) {
        let mut command = Command::new(program);
        command.args(args).current_dir(&self.folder).env("GIT_CONFIG_GLOBAL", "/dev/null");
        let instead = format!("url.file://{}.insteadOf", snapshot().folder.display());
        let settings = [("remote.origin.url", origin), (instead.as_str(), URL), ("safe.directory", "*")];
        for (number, (key, value)) in settings.into_iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{number}"), key).env(format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        command.env("GIT_CONFIG_COUNT", settings.len().to_string()).env("CARGO_NET_GIT_FETCH_WITH_CLI", "true");
        // The dependencies are those that were built for these tests. An older cargo than 1.91 builds them again.
        command.env("CARGO_BUILD_BUILD_DIR", real::TARGET).env("CARGO_PROFILE_DEV_DEBUG", "false");
        // The last one is how the times of tests are had (`--report-time`), and cargo would build all of it again.
        for name in ["CARGO_TARGET_DIR", "CI", "GITHUB_ACTIONS", "GIT_DIR", "GIT_WORK_TREE", "RUSTC_BOOTSTRAP"] {
            command.env_remove(name);
        }
        let output = command.output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap(), text.replace(&self.folder.display().to_string(), "ROOT"))
    }

    #[track_caller]
    fn adopt(&self, args: &str) -> String {
        let (code, text) = self.try_adopt(args);
        assert_eq!(code, 0, "{text}");
        text
    }

    fn try_adopt(&self, args: &str) -> (i32, String) {
        let args: Vec<&str> = ["adopt"].into_iter().chain(args.split_whitespace()).collect();
        self.run(env!("CARGO_BIN_EXE_xtask"), &args)
    }

    /// Exit 2, one line, and nothing changed.
    #[track_caller]
    fn refuses(&self, args: &str, reason: &str) {
        let all = "find . -type f -not -path './.git/*' -exec cksum {} + | sort; find . | sort";
        let before = self.sh(all);
        let (code, text) = self.try_adopt(args);
        assert_eq!((code, text.lines().count()), (2, 1), "{text}");
        assert!(text.contains(reason), "{text}");
        assert_eq!(self.sh(all), before);
    }

    /// The files that git would add, one a line.
    fn files(&self) -> String {
        self.sh("git ls-files --others --exclude-standard") + "\n"
    }
}

/// This repository as it is now, as one commit of a repository that cargo fetches.
struct Snapshot {
    folder: PathBuf,
    commit: String,
}

fn snapshot() -> &'static Snapshot {
    static MADE: OnceLock<Snapshot> = OnceLock::new();
    MADE.get_or_init(|| {
        let scratch = Scratch::empty("adopt-snapshot");
        let script = format!(
            "cd '{}' && git ls-files --cached --others --exclude-standard | while read -r name; do\n\
                 [ ! -f \"$name\" ] || {{ mkdir -p \"$DESTINATION/$(dirname \"$name\")\" && cp -p \"$name\" \"$DESTINATION/$name\"; }}\n\
             done",
            real::root().display()
        );
        scratch.sh(&format!("DESTINATION=$PWD; ({script})"));
        // The same tree is the same commit, so cargo fetches it once.
        let date = "2026-01-01T00:00:00Z";
        scratch.sh(&format!(
            "git init -q . && git add . && GIT_AUTHOR_DATE={date} GIT_COMMITTER_DATE={date} git commit -q -m snapshot"
        ));
        Snapshot { commit: scratch.sh("git rev-parse HEAD"), folder: scratch.folder }
    })
}

/// The files that adopt adds.
fn all_files() -> expect_test::Expect {
    expect_test::expect![[r#"
        .cargo/config.toml
        .gitattributes
        .github/workflows/perf.yml
        .gitignore
        Cargo.lock
        Cargo.toml
        locustfile.py
        perf.toml
        xtask/Cargo.toml
        xtask/src/main.rs
    "#]]
}

#[test]
fn empty_repository_gets_all_files() {
    let repository = Repository::new("empty", &[]);
    let text = repository.adopt(".");
    all_files().assert_eq(&repository.files());
    for line in ["/target/", "__pycache__/", "perf_report.html"] {
        assert!(repository.read(".gitignore").lines().any(|found| found == line), "{line}");
    }
    assert_eq!(repository.read(".gitattributes"), "perf_baseline.json -merge\n");
    assert!(text.contains(". edit perf.toml (how to start the service)"), "{text}");
    // A package of a few lines, of which one is the gate.
    let head = repository.sh(&format!("git -C '{}' rev-parse HEAD", real::root().display()));
    let manifest = repository.read("xtask/Cargo.toml");
    let tags = repository.sh(&format!("git -C '{}' tag --points-at HEAD", real::root().display()));
    if tags.is_empty() {
        let line = format!("locust-gate = {{ git = \"{URL}\", rev = \"{head}\", default-features = false }}");
        assert_eq!(manifest.lines().last(), Some(line.as_str()));
    }
    assert!(manifest.lines().count() <= 10, "{manifest}");
    assert!(
        repository
            .read("xtask/src/main.rs")
            .contains("fn main() -> std::process::ExitCode {\n    locust_gate::main()\n}")
    );
    // Where nothing was edited it is said before anything is built or installed.
    let (code, text) = repository.run(env!("CARGO_BIN_EXE_xtask"), &["perf"]);
    assert!(code == 2 && text.contains("`command` still contains the placeholder: set it"), "{text}");
    repository.replace("perf.toml", "./my-service", "./ours");
    let (code, text) = repository.run(env!("CARGO_BIN_EXE_xtask"), &["perf"]);
    assert!(code == 2 && text.contains("locustfile.py is still the example: replace it"), "{text}");
    assert!(!repository.path("target/perf/runs").exists());
    assert_eq!(blob_hash(repository.read("locustfile.py").as_bytes()), STARTER);

    // Once more, nothing is left to be done, and what the owner wrote stays.
    repository.write("perf.toml", "# ours\n");
    let before = repository.sh("find . -type f -exec cksum {} + | sort");
    let text = repository.adopt(".");
    assert_eq!(text.matches("kept as it is").count(), 8, "{text}");
    assert_eq!(repository.sh("find . -type f -exec cksum {} + | sort"), before);

    // A later version is one line, by hand or by adopting again.
    repository.replace("xtask/Cargo.toml", &head, "0123456789abcdef0123456789abcdef01234567");
    let text = repository.adopt(".");
    let upgraded = format!("upgraded from rev = \"0123456789abcdef0123456789abcdef01234567\" to rev = \"{head}\"\n");
    assert!(text.contains(&upgraded) && text.contains("see the gate's CHANGELOG.md for changes"), "{text}");
    assert_eq!(repository.read("xtask/Cargo.toml"), manifest);
}

#[test]
fn unreachable_gate_becomes_a_path_that_ci_cannot_reach() {
    let gate = real::root().join("xtask");
    let warning = format!("CI cannot reach {}: push the gate to a repository that CI can fetch", gate.display());
    for (name, origin) in [("path", "/srv/gate.git"), ("file", "file:///srv/gate.git")] {
        let repository = Repository::new(&format!("origin-{name}"), &[]);
        let (code, text) = repository.run_with_origin(env!("CARGO_BIN_EXE_xtask"), &["adopt", "."], origin);
        assert_eq!((code, text.matches(&warning).count()), (0, 1), "{text}");
        let line = format!("locust-gate = {{ path = {gate:?}, default-features = false }}");
        assert_eq!(repository.read("xtask/Cargo.toml").lines().last(), Some(line.as_str()));
        // From a path to the repository of the gate.
        let text = repository.adopt(".");
        assert!(text.contains(&format!("upgraded from path = {gate:?} to rev = ")), "{text}");
    }
}

#[test]
fn existing_files_are_kept_with_advice_to_their_owner() {
    let own = [
        ("Cargo.toml", "[package]\nname = \"app\"\n"),
        (".cargo/config.toml", "[build]\njobs = 2\n"),
        ("locustfile.py", "# ours\n"),
        (".gitignore", "# of ours\n*.json\ntarget\n*.lock"),
        (".gitattributes", "*.png binary"),
        (".dockerignore", ".git\n"),
    ];
    let repository = Repository::new("own", &own);
    let text = repository.adopt(".");
    for (name, text) in &own[..3] {
        assert_eq!(repository.read(name), *text);
    }
    assert_eq!(repository.read(".gitignore"), "# of ours\n*.json\ntarget\n*.lock\n__pycache__/\nperf_report.html\n");
    assert_eq!(repository.read(".gitattributes"), "*.png binary\nperf_baseline.json -merge\n");
    assert_eq!(repository.read(".dockerignore"), ".git\ntarget\n");
    assert!(!repository.path("Cargo.lock").exists(), "the lock file of their workspace is theirs");
    let next = &text[text.find("The gate is").unwrap()..];
    let is_expected = |line: &&str| !line.contains("this checkout of the gate") && !line.contains("push this commit");
    let next: Vec<&str> =
        next.lines().filter(is_expected).map(|line| line.trim_start_matches(|c| " .0123456789".contains(c))).collect();
    expect_test::expect![[r#"
        The gate is in ROOT. Next steps:
        edit perf.toml (how to start the service) and the locustfile (what users do)
        add these lines to Cargo.toml:
        [workspace]
        members = ["xtask"]
        add these lines to .cargo/config.toml:
        [alias]
        xtask = "run --package xtask --bin xtask --"
        add to .github/workflows/perf.yml what the runner needs to build and start the service
        `.gitignore:2: *.json` hides perf_baseline.json, which must be committed: change that rule
        `.gitignore:4: *.lock` hides Cargo.lock, which must be committed: change that rule
        build the gate, which completes Cargo.lock, and commit everything: cargo xtask perf --help
        measure the baseline, in the clean tree: cargo xtask perf --update-baseline
        commit perf_baseline.json: from then on, `cargo xtask perf` is the gate, locally and in CI

        To undo all of this before it is committed:
        cd ROOT && rm -rf .github perf.toml target xtask
        # and take the added lines out of .dockerignore .gitattributes .gitignore
    "#]]
    .assert_eq(&(next.join("\n") + "\n"));

    let repository = Repository::new("hidden", &[(".gitignore", "src/\n")]);
    let text = repository.adopt(".");
    assert!(text.contains("`.gitignore:1: src/` hides xtask/src/main.rs, which must be committed"), "{text}");

    // A workspace that has the member by a pattern needs nothing; a locustfile may have another name.
    let own = [
        ("Cargo.toml", "[workspace]\nmembers = [\"app\", \"x*\"]\n"),
        ("locust.conf", "locustfile = load.py\n"),
        (".cargo/config.toml", "[alias]\nb = \"build\"\n"),
    ];
    let repository = Repository::new("own-workspace", &own);
    let text = repository.adopt(".");
    let line = ALIAS.lines().nth(1).unwrap();
    assert!(text.contains(&format!("add this line to [alias] in .cargo/config.toml:\n       {line}\n")), "{text}");
    assert!(!text.contains("add these lines"), "{text}");
    assert!(!repository.path("locustfile.py").exists() && text.contains("configuration names load.py"), "{text}");
}

#[test]
fn locustfiles_and_locust_are_found() {
    let users = "from locust import HttpUser\n\n\nclass Web(HttpUser):\n    pass\n";
    // One: it is named. The Locust of the requirements is installed, in that version.
    let own = [
        ("load_tests/web.py", users),
        ("requirements.txt", "django==5.2\n"),
        ("requirements-dev.txt", "-r requirements.txt\nlocust==2.40.1  # load\n"),
        ("app/views.py", "# from locust import nothing\nimport locustly\n"),
    ];
    let repository = Repository::new("found-one", &own);
    let text = repository.adopt(".");
    assert!(!repository.path("locustfile.py").exists(), "{text}");
    let toml = repository.read("perf.toml");
    for line in ["locustfile = \"load_tests/web.py\"", "version = \"2.40.1\""] {
        assert!(toml.lines().any(|found| found == line), "{line}: {toml}");
        assert!(text.contains(line), "{text}");
    }
    assert!(text.contains("locustfile.py               not needed: load_tests/web.py is there"), "{text}");

    // A `perf.toml` that is there is its owner's.
    fs::write(repository.path("perf.toml"), "[load]\nusers = 3\n").unwrap();
    let text = repository.adopt(".");
    let line = "add this line to [load] in perf.toml:\n       locustfile = \"load_tests/web.py\"\n";
    assert!(text.contains(line) && repository.read("perf.toml") == "[load]\nusers = 3\n", "{text}");

    // Several: they are listed, those with users first.
    let own = [
        ("tests/common.py", "import locust\n"),
        ("tests/web.py", users),
        ("locust/locustfile.py", users),
        ("pyproject.toml", "[dependency-groups]\ndev = [\"locust>=2\"]\n"),
        ("uv.lock", ""),
        (".venv/pyvenv.cfg", ""),
        (".venv/bin/locust", ""),
        (".gitignore", ".venv\n"),
    ];
    let repository = Repository::new("found-several", &own);
    let text = repository.adopt(".");
    assert!(!repository.path("locustfile.py").exists(), "{text}");
    assert!(text.contains("not created: 3 files here use Locust"), "{text}");
    assert!(text.contains("\n       locust/locustfile.py tests/web.py tests/common.py\n"), "{text}");
    assert!(repository.read("perf.toml").contains("\ncommand = \"uv run locust\"\n"), "{text}");
    assert!(text.contains("Locust is also in .venv/bin/locust: if you use that one"), "{text}");
    repository.replace("perf.toml", "./my-service", "./ours");
    let (code, text) = repository.run(env!("CARGO_BIN_EXE_xtask"), &["perf"]);
    assert!(code == 2 && text.contains("locustfile locustfile.py not found: create it, or pass"), "{text}");

    // An environment alone is in no commit.
    let own = [("env/pyvenv.cfg", ""), ("env/bin/locust", ""), ("locustfile.py", users)];
    let repository = Repository::new("found-environment", &own);
    let text = repository.adopt(".");
    assert!(repository.read("perf.toml").contains("\ncommand = \"env/bin/locust\"\n"), "{text}");
    assert!(text.contains("env is not committed: create it in the workflow too"), "{text}");
}

#[test]
fn folder_of_a_monorepo_is_adopted_alone() {
    let own = [
        ("services/claims/load.py", "from locust import HttpUser\n\n\nclass Web(HttpUser):\n    pass\n"),
        ("services/quotes/Cargo.toml", "[package]\nname = \"quotes\"\nedition = \"2024\"\n"),
        ("services/quotes/src/main.rs", "fn main() {}\n"),
        ("tools/native/Cargo.toml", "[package]\nname = \"native\"\nedition = \"2024\"\n"),
        ("tools/native/src/lib.rs", ""),
    ];
    let repository = Repository::new("monorepo", &own);
    let text = repository.adopt("--check services/claims");
    assert!(text.starts_with("--check: nothing is written. This is what adopt would do.\n"), "{text}");
    assert!(
        text.contains("services/claims/perf.toml ") && text.contains("The gate would be in ROOT/services/claims."),
        "{text}"
    );
    assert!(!repository.path("xtask").exists() && !repository.path("services/claims/perf.toml").exists());

    repository.adopt("services/claims");
    let text = repository.adopt("services/quotes");
    let files = repository.sh("git ls-files --others --exclude-standard | grep -v '^tools\\|/src/\\|load.py'");
    expect_test::expect![[r#"
        .cargo/config.toml
        .github/workflows/perf-services-claims.yml
        .github/workflows/perf-services-quotes.yml
        .gitignore
        Cargo.lock
        Cargo.toml
        services/claims/.gitattributes
        services/claims/.gitignore
        services/claims/perf.toml
        services/quotes/.cargo/config.toml
        services/quotes/.gitattributes
        services/quotes/.gitignore
        services/quotes/Cargo.toml
        services/quotes/locustfile.py
        services/quotes/perf.toml
        xtask/Cargo.toml
    "#]]
    .assert_eq(&(files + "\n"));
    // What is a package already stays one, beside the workspace.
    assert!(repository.read("Cargo.toml").contains("exclude = [\"services/quotes\", \"tools/native\"]\n"));
    // Elsewhere: around this folder there is the workspace of this repository.
    for folder in ["services/quotes", "tools/native"] {
        let metadata = "cargo metadata --offline --no-deps --format-version=1";
        repository.sh(&format!(
            "at=$(mktemp -d); trap 'rm -rf \"$at\"' EXIT; cp -r . \"$at\"; cd \"$at/{folder}\"; {metadata}"
        ));
    }
    assert!(
        repository
            .read("services/quotes/.cargo/config.toml")
            .contains("run --manifest-path ../../Cargo.toml --package xtask")
    );
    assert!(repository.read("services/claims/perf.toml").contains("\nlocustfile = \"load.py\"\n"));
    assert!(
        text.contains(
            "measure the baseline, in the clean tree, in services/quotes/: cargo xtask perf --update-baseline"
        ),
        "{text}"
    );
    let workflow = repository.read(".github/workflows/perf-services-quotes.yml");
    assert!(workflow.contains("        working-directory: services/quotes\n"), "{workflow}");
    assert!(workflow.contains("            services/quotes/target/perf/latest/\n"), "{workflow}");
    yaml_rust2::YamlLoader::load_from_str(&workflow).unwrap();
}

#[test]
fn own_xtask_is_kept_and_its_lines_are_printed() {
    let manifest = "[package]\nname = \"xtask\"\n\n[dependencies]\n";
    let own = [
        ("Cargo.toml", "[workspace]\nmembers = [\"xtask\"]\n"),
        ("xtask/Cargo.toml", manifest),
        ("xtask/src/main.rs", "fn main() {}\n"),
    ];
    let repository = Repository::new("own-xtask", &own);
    let text = repository.adopt(".");
    assert_eq!(repository.sh("find xtask -type f | sort"), "xtask/Cargo.toml\nxtask/src/main.rs");
    assert_eq!(repository.read("xtask/Cargo.toml"), manifest);
    let lines: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.contains("xtask is yours: add this line"))
        .take(4)
        .map(str::trim)
        .collect();
    assert!(lines[1].starts_with(&format!("locust-gate = {{ git = \"{URL}\", rev = ")), "{text}");
    assert_eq!(
        lines[2..],
        ["// The commands of the gate, before the arguments are parsed.", "locust_gate::exit_after_own_command();"]
    );
    // The rest is there, and once the line is, nothing more is said of it.
    assert!(repository.path("perf.toml").is_file() && repository.path(".cargo/config.toml").is_file());
    repository.write("xtask/Cargo.toml", &format!("{manifest}{}\n", lines[1]));
    assert!(!repository.adopt(".").contains("is yours: add"));
    repository.write("xtask/Cargo.toml", &format!("{manifest}{}\n", lines[1].replace("rev = \"", "rev = \"f")));
    assert!(repository.adopt(".").contains("to upgrade, replace this line of xtask/Cargo.toml:"));

    // A program of another name, by the alias.
    let own = [
        ("Cargo.toml", "[workspace]\nmembers = [\"dev/tools\"]\n"),
        ("dev/tools/Cargo.toml", "[package]\nname = \"tools\"\n"),
        (".cargo/config.toml", "[alias]\nxtask = [\"run\", \"--package\", \"tools\", \"--\"]\n"),
    ];
    let repository = Repository::new("own-tools", &own);
    let text = repository.adopt(".");
    assert!(text.contains("dev/tools is yours: add this line to [dependencies] of dev/tools/Cargo.toml"), "{text}");
    assert!(!repository.path("xtask").exists());
    let workflow = repository.read(".github/workflows/perf.yml");
    assert!(workflow.contains("hashFiles('Cargo.lock', 'dev/tools/Cargo.toml')"), "{workflow}");
    assert!(!repository.adopt(".").contains("created"), "a second time");
}

/// A Rust service with an image of its own: a workspace that listed `xtask` would need it in the image.
#[test]
fn xtask_is_a_separate_workspace_beside_a_manifest_and_a_dockerfile() {
    let own = [
        ("Cargo.toml", "[workspace]\nmembers = [\"app\"]\nresolver = \"2\"\n"),
        ("Cargo.lock", "version = 4\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\n"),
        ("app/Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
        ("app/src/main.rs", "fn main() {}\n"),
        ("Dockerfile", "FROM rust:1.75\nCOPY Cargo.toml Cargo.lock ./\nCOPY app app\nRUN cargo build --workspace\n"),
        ("services/claims/app.py", ""),
    ];
    let repository = Repository::new("image", &own);
    repository.sh("git add . && git commit -q -m service");
    let text = repository.adopt(".");
    assert!(text.contains("xtask/                      created, 3 files, as a separate workspace: "), "{text}");
    for name in ["Cargo.toml", "Cargo.lock"] {
        assert_eq!(repository.sh(&format!("git status --porcelain {name}")), "", "{name} was changed");
    }
    assert!(!text.contains("members"), "{text}");
    assert_eq!(
        repository.read(".cargo/config.toml"),
        "[alias]\nxtask = \"run --manifest-path xtask/Cargo.toml --bin xtask --\"\n"
    );
    assert_eq!(repository.read(".dockerignore"), "target\nxtask/target\n");
    for line in ["/target/", "/xtask/target/"] {
        assert!(repository.read(".gitignore").lines().any(|found| found == line), "{line}");
    }
    let workflow = repository.read(".github/workflows/perf.yml");
    for line in [
        "            xtask/target\n",
        "            !target/perf\n",
        "hashFiles('Cargo.lock', 'xtask/Cargo.lock', 'xtask/Cargo.toml')",
    ] {
        assert!(workflow.contains(line), "{line}: {workflow}");
    }
    // The image builds with the files that it copies, and the alias finds the package.
    let copied = "at=$(mktemp -d); trap 'rm -rf \"$at\"' EXIT; cp -r . \"$at\"; cd \"$at\"";
    repository.sh(&format!("{copied}; rm -r xtask .cargo; cargo metadata --offline --no-deps --format-version=1"));
    let metadata = repository.sh(&format!(
        "{copied}; cargo metadata --offline --no-deps --format-version=1 --manifest-path xtask/Cargo.toml"
    ));
    assert!(metadata.contains("\"name\":\"xtask\"") && !metadata.contains("\"name\":\"app\""), "{metadata}");

    // The alias works in its folder alone, so an adopted folder gets its own.
    let text = repository.adopt("services/claims");
    assert_eq!(
        repository.read("services/claims/.cargo/config.toml"),
        "[alias]\nxtask = \"run --manifest-path ../../xtask/Cargo.toml --bin xtask --\"\n"
    );
    assert!(!text.contains("created, 3 files"), "{text}");
    // A second time nothing is left to do, and a later version is still one line.
    assert!(repository.adopt(".").contains("The gate is already in"));
    let line = repository.read("xtask/Cargo.toml").lines().last().unwrap().to_owned();
    let other = line.replace("rev = \"", "rev = \"f").replace("tag = \"", "tag = \"f");
    repository.replace("xtask/Cargo.toml", &line, &other);
    assert!(repository.adopt(".").contains("upgraded from "));

    // It runs at the root, and in the folder.
    let repository = Repository::new("image-run", &own);
    repository.run_with_origin(env!("CARGO_BIN_EXE_xtask"), &["adopt", "services/claims"], "/srv/gate.git");
    for folder in [".", "services/claims"] {
        let (code, text) = repository.run("sh", &["-c", &format!("cd {folder} && cargo xtask perf --help")]);
        assert!(code == 0 && text.contains("cargo xtask perf [RESULTS ...]"), "{text}");
    }
    assert!(!repository.path("target").exists() && !repository.read("Cargo.lock").contains("xtask"));

    // A workspace that has `xtask` as a member already keeps it.
    let own = [("Cargo.toml", "[workspace]\nmembers = [\"x*\"]\n"), ("deploy/Dockerfile", "FROM rust\n")];
    let repository = Repository::new("image-member", &own);
    repository.adopt(".");
    assert_eq!(repository.read(".cargo/config.toml"), ALIAS);
}

#[test]
fn edited_dependency_is_kept() {
    for (name, from, to) in [
        ("features", "default-features = false", "default-features = false, features = [\"maintenance\"]"),
        ("mirror", "gate.example.org/team", "mirror.example.org/vendor"),
        ("branch", "rev = ", "branch = "),
    ] {
        let repository = Repository::new(&format!("edited-{name}"), &[]);
        repository.adopt(".");
        repository.replace("xtask/Cargo.toml", from, to);
        let other = repository.read("xtask/Cargo.toml").replace("rev = \"", "rev = \"f");
        repository.write("xtask/Cargo.toml", &other);
        let text = repository.adopt(".");
        assert_eq!(repository.read("xtask/Cargo.toml"), other, "{name}");
        assert!(text.contains("xtask/                      kept as it is"), "{text}");
        assert!(text.contains("to upgrade, replace this line of xtask/Cargo.toml:\n       locust-gate = "), "{text}");
    }
}

/// As PowerShell and old editors write them.
#[test]
fn requirements_in_other_encodings_are_read() {
    let text = "# für Tests\r\nlocust==2.40.1\r\nflask==3.0\r\n";
    let utf_16: Vec<u8> = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let latin_1: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    for (name, bytes) in [("utf-16", utf_16), ("latin-1", latin_1)] {
        let repository =
            Repository::new(name, &[("locustfile.py", "from locust import HttpUser\nimport flask_login\n")]);
        fs::write(repository.path("requirements.txt"), bytes).unwrap();
        let text = repository.adopt(".");
        assert!(text.contains("version = \"2.40.1\", requirements = [\"requirements.txt\"]"), "{name}: {text}");
        assert_eq!(text.contains("save requirements.txt as UTF-8"), name == "utf-16", "{name}: {text}");
    }
}

/// Ninety packages of the service cost minutes, and may not even install beside Locust.
#[test]
fn requirements_are_named_only_if_the_locustfile_imports_them() {
    let users = "from locust import HttpUser\n\n\nclass Web(HttpUser):\n    pass\n";
    for (name, imports, needed) in [
        ("locust", "import json, os.path as path\nfrom __future__ import annotations\nimport gevent\n", false),
        ("helper", "from common import users\nfrom . import other\n", false),
        ("package", "import pandas as pd\n", true),
        ("second", "import os, yaml\n", true),
        ("late", "def load():\n    from faker import Faker\n", true),
        ("by-helper", "import helper\n", true),
    ] {
        let own = [
            ("load/locustfile.py", format!("{imports}{users}")),
            ("load/common/__init__.py", "import random\n".to_owned()),
            ("load/helper.py", "import pandas\n".to_owned()),
            ("requirements.txt", "locust==2.40.1\npandas==2.2\n".to_owned()),
        ];
        let own: Vec<(&str, &str)> = own.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let repository = Repository::new(&format!("imports-{name}"), &own);
        let text = repository.adopt(".");
        let toml = repository.read("perf.toml");
        assert!(toml.contains("\nversion = \"2.40.1\"\n"), "{name}: {toml}");
        assert_eq!(toml.contains("\nrequirements = [\"requirements.txt\"]\n"), needed, "{name}: {text}");
        assert_eq!(text.contains("the locustfile imports only Locust"), !needed, "{name}: {text}");
    }
}

#[test]
fn workflow_takes_branch_and_python_from_the_repository() {
    let repository = Repository::new("branch", &[(".python-version", "3.11.9\n")]);
    repository.sh("git add . && git commit -q -m a && git branch -m trunk && git branch feature");
    repository.sh("git update-ref refs/remotes/origin/trunk HEAD && git symbolic-ref refs/remotes/origin/HEAD refs/remotes/origin/trunk && git checkout -q feature");
    repository.adopt(".");
    let workflow = repository.read(".github/workflows/perf.yml");
    assert!(workflow.contains("    branches: [trunk]\n"), "{workflow}");
    assert!(workflow.contains("          python-version-file: .python-version\n"), "{workflow}");

    // Without a remote, the only branch is the default one; else there are two usual names.
    for (name, script, expected) in [
        ("only", "git branch -m develop", "[develop]"),
        ("two", "git branch -m develop && git branch feature", "[main, master]"),
    ] {
        let repository = Repository::new(&format!("branch-{name}"), &[("a", "")]);
        repository.sh(&format!("git add . && git commit -q -m a && {script}"));
        repository.adopt(".");
        let workflow = repository.read(".github/workflows/perf.yml");
        assert!(workflow.contains(&format!("    branches: {expected}\n")), "{workflow}");
    }

    // A version that Locust does not support is reported, and the name of an environment is no version.
    for (name, version, line, advice) in [
        ("old", "3.9", "python-version-file: .python-version", true),
        ("named", "my-env", "python-version: \"3.12\"", false),
    ] {
        let repository = Repository::new(&format!("python-{name}"), &[(".python-version", version)]);
        let text = repository.adopt(".");
        let workflow = repository.read(".github/workflows/perf.yml");
        assert!(workflow.contains(&format!("          {line}\n")), "{workflow}");
        assert_eq!(
            text.contains(".python-version names 3.9, and the pinned Locust needs Python 3.11"),
            advice,
            "{text}"
        );
    }

    // A service of a monorepo is measured if its folder or the gate changes.
    let own = [("services/claims/.python-version", "3.13\n"), (".python-version", "3.12\n"), ("a", "")];
    let repository = Repository::new("paths", &own);
    repository.adopt("services/claims");
    let workflow = repository.read(".github/workflows/perf-services-claims.yml");
    let parsed = yaml_rust2::YamlLoader::load_from_str(&workflow).unwrap().remove(0);
    for event in ["push", "pull_request"] {
        let paths: Vec<&str> =
            parsed["on"][event]["paths"].as_vec().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
        assert_eq!(
            paths,
            ["services/claims/**", "xtask/**", ".cargo/**", "Cargo.*", ".github/workflows/perf-services-claims.yml"],
            "{event}"
        );
    }
    assert!(workflow.contains("python-version-file: services/claims/.python-version\n"), "{workflow}");
}

#[test]
fn other_ci_systems_get_no_github_workflow() {
    for (file, section) in [
        ("Jenkinsfile", "Jenkins"),
        ("azure-pipelines.yml", "Azure Pipelines"),
        ("bitbucket-pipelines.yml", "Bitbucket Pipelines"),
        (".buildkite/pipeline.yml", "Buildkite"),
    ] {
        let repository = Repository::new(&format!("ci-{}", section.replace(' ', "-")), &[(file, "")]);
        let text = repository.adopt(".");
        assert!(!repository.path(".github").exists(), "{text}");
        let shown = file.trim_end_matches("/pipeline.yml");
        assert!(
            text.contains(&format!(
                "{shown} is there: docs/ci.md of the gate has the commands for it, in \"{section}\""
            )),
            "{text}"
        );
        assert!(fs::read_to_string(real::root().join("docs/ci.md")).unwrap().contains(&format!("\n### {section}\n")));
    }
    // Both are used: the workflow is written too.
    let repository = Repository::new("ci-both", &[("Jenkinsfile", ""), (".github/workflows/test.yml", "on: push\n")]);
    let text = repository.adopt(".");
    assert!(repository.path(".github/workflows/perf.yml").exists() && text.contains("Jenkinsfile is there"), "{text}");
}

#[test]
fn gitlab_gets_a_job() {
    // Where the file has no jobs, it includes ours; where it has jobs, the lines are printed.
    let include = "include:\n  - local: /.gitlab/perf.yml\n";
    let jobs = "stages: [build, check]\n\nbuild:\n  stage: build\n  script: [make]\n";
    for (name, old, new, stage) in [
        ("empty", "# CI\n", format!("# CI\n{include}"), "test"),
        ("globals", "stages:\n  - check\n", format!("stages:\n  - check\n{include}"), "check"),
        ("jobs", jobs, jobs.to_owned(), "build"),
        ("included", "include:\n  - template: x.yml\n", "include:\n  - template: x.yml\n".to_owned(), "test"),
    ] {
        let repository = Repository::new(&format!("gitlab-{name}"), &[(".gitlab-ci.yml", old)]);
        let text = repository.adopt(".");
        assert!(!repository.path(".github").exists(), "{text}");
        assert_eq!(repository.read(".gitlab-ci.yml"), new, "{name}");
        let printed =
            text.contains("add these lines to .gitlab-ci.yml:\n       include:\n         - local: /.gitlab/perf.yml\n");
        assert_eq!(printed, old == new, "{text}");
        let job = yaml_rust2::YamlLoader::load_from_str(&repository.read(".gitlab/perf.yml")).unwrap().remove(0);
        assert_eq!(job["performance"]["stage"].as_str(), Some(stage), "{name}");
        assert_eq!(
            repository.adopt(".").contains("add these lines to .gitlab-ci.yml"),
            printed,
            "{name}: a second time"
        );
        assert_eq!(repository.read(".gitlab-ci.yml"), new, "{name}: a second time");
    }
}

/// The lines that undo it leave the repository as it was.
#[test]
fn printed_lines_undo_it() {
    let own = [(".gitignore", "a\n"), (".github/FUNDING.yml", ""), ("src/a.py", "")];
    let repository = Repository::new("undo", &own);
    repository.sh("git add . && git commit -q -m a");
    let before = repository.sh("find . -path ./.git -prune -o -print | sort");
    let text = repository.adopt(".");
    let (_, lines) = text.split_once("\nTo undo all of this before it is committed:\n").unwrap();
    assert!(lines.lines().count() <= 3, "{lines}");
    // What is built and measured until then goes too.
    repository.sh("mkdir -p target/debug target/perf/runs && touch target/debug/xtask target/perf/runs/a");
    repository.sh(&lines.replace("ROOT", &repository.folder.display().to_string()));
    assert_eq!(repository.sh("git status --porcelain --ignored"), "");
    assert_eq!(repository.sh("find . -path ./.git -prune -o -print | sort"), before);
    assert!(!repository.adopt("--check .").contains("To undo"));
}

#[test]
fn adopted_limits_have_floors() {
    let repository = Repository::new("limits", &[]);
    repository.adopt(".");
    let toml = repository.read("perf.toml");
    for line in ["p50 = \"20% and 5 ms\"", "p95 = \"20% and 5 ms\"", "p99 = \"25% and 10 ms\""] {
        assert_eq!(toml.lines().filter(|found| *found == line).count(), 1, "{line}");
    }
    assert!(toml.contains("\n# env = { PORT = \"{port}\""), "{toml}");
    assert!(toml.contains("a fixed port"), "{toml}");
}

#[test]
fn repository_without_rust_gets_no_rust() {
    let repository = Repository::new("packaged", &[]);
    let program = env!("CARGO_BIN_EXE_locust-gate");
    let version = format!("locust-gate=={}", locust_gate::sys::version::number());
    // Only the team knows which index has the package.
    let (code, text) = repository.run(program, &["adopt", "."]);
    assert_eq!((code, text.lines().count()), (2, 1), "{text}");
    assert!(text.contains(&format!("adopt . --package {version}")), "{text}");
    assert_eq!(repository.files(), "\n");
    let (code, text) = repository.run(program, &["adopt", ".", "--package", &version]);
    assert_eq!(code, 0, "{text}");
    let files = [".gitattributes", ".github/workflows/perf.yml", ".gitignore", "locustfile.py", "perf.toml"];
    assert_eq!(repository.files(), files.join("\n") + "\n");
    assert!(text.contains("measure the baseline, in the clean tree: locust-gate perf --update-baseline"), "{text}");
    for name in files {
        let text = repository.read(name);
        assert!(!text.contains("cargo") && !text.contains("xtask"), "{name}: {text}");
    }
    let workflow = repository.read(".github/workflows/perf.yml");
    assert!(workflow.contains(&format!("pip install {version}\n")), "{workflow}");
    assert!(workflow.contains("# The gate, from the package index of pip's configuration."), "{workflow}");
    yaml_rust2::YamlLoader::load_from_str(&workflow).unwrap();

    // The wheel of a release, or one in the repository.
    for (name, package, line, words) in [
        (
            "url",
            "https://git.example.org/releases/locust_gate-0.2.0-py3-none-any.whl",
            "pip install https://git.example.org/releases/locust_gate-0.2.0-py3-none-any.whl\n",
            "# The gate, from this address.",
        ),
        ("wheel", "tools/gate.whl", "pip install ../tools/gate.whl\n", "# The gate, from a wheel of this repository."),
    ] {
        let repository = Repository::new(&format!("package-{name}"), &[("tools/gate.whl", ""), ("app/a.py", "")]);
        let (code, text) = repository.run(program, &["adopt", "app", "--package", package]);
        assert_eq!(code, 0, "{text}");
        let workflow = repository.read(".github/workflows/perf-app.yml");
        assert!(workflow.contains(line) && workflow.contains(words), "{workflow}");
    }
    for package in ["tools/none.whl", "django==5.2"] {
        let (code, text) = repository.run(program, &["adopt", ".", "--package", package]);
        assert!(code == 2 && text.contains(&format!("--package {package}: ")), "{text}");
    }
    let (code, text) = repository.run(env!("CARGO_BIN_EXE_xtask"), &["adopt", ".", "--package", "x"]);
    assert!(code == 2 && text.contains("--package is for the Python package"), "{text}");
}

#[test]
fn failed_adopt_changes_nothing() {
    let repository = Repository::new("no-git", &[("a.txt", "a")]);
    fs::remove_dir_all(repository.path(".git")).unwrap();
    let (code, text) = repository.run(
        "env",
        &[
            &format!("GIT_CEILING_DIRECTORIES={}", repository.path("..").display()),
            env!("CARGO_BIN_EXE_xtask"),
            "adopt",
            ".",
        ],
    );
    assert!(code == 2 && text.contains("not a git repository"), "{text}");
    assert_eq!(repository.sh("ls -A"), "a.txt");
    let (code, text) = repository.run(env!("CARGO_BIN_EXE_xtask"), &["adopt", "nowhere"]);
    assert!(code == 2 && text.contains("cannot install the gate in nowhere"), "{text}");

    Repository::new("other-xtask", &[("xtask/notes.txt", "")]).refuses(".", "exists and is no Rust package: rename it");
    Repository::new("broken-xtask", &[("xtask/Cargo.toml", "[package\n")]).refuses(".", "ROOT/xtask/Cargo.toml: ");
    Repository::new("broken-manifest", &[("Cargo.toml", "[workspace\n")]).refuses(".", "ROOT/Cargo.toml: ");
    let (code, text) = repository.run(env!("CARGO_BIN_EXE_xtask"), &["adopt", &real::root().display().to_string()]);
    assert!(code == 2 && text.contains("is where this gate is already"), "{text}");
    let theirs = "[alias]\nxtask = \"run --package tools --\"\n";
    Repository::new("other-alias", &[(".cargo/config.toml", theirs)])
        .refuses(".", "runs `tools`, which is no package here");
    Repository::new("broken-alias", &[(".cargo/config.toml", "[alias\n")]).refuses(".", "ROOT/.cargo/config.toml: ");
    // Fails when most of it is written: a file where the workflow's folder should be.
    let repository = Repository::new("midway", &[(".github", "a file"), (".gitignore", "a\n")]);
    repository.refuses(".", "cannot ");
}

/// A repository with a service, how the service is started, and which file holds its delay in ms.
struct Case {
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
    service: &'static str,
    delay_in: &'static str,
    /// The origin of the gate.
    origin: &'static str,
}

const PYTHON: Case = Case {
    name: "python",
    files: &[(
        "service.py",
        r#"
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DELAY_MS = 100


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        time.sleep(DELAY_MS / 1000)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"#,
    )],
    service: "command = \"exec python3 service.py {port}\"",
    delay_in: "service.py",
    origin: ORIGIN,
};

const NODE: Case = Case {
    name: "node",
    files: &[
        ("package.json", r#"{"name": "service", "private": true, "scripts": {"start": "node server.js"}}"#),
        (".gitignore", "node_modules/\n"),
        (
            "server.js",
            r#"
const DELAY_MS = 100;
require("http")
  .createServer((request, response) => setTimeout(() => response.end("ok"), DELAY_MS))
  .listen(Number(process.env.PORT), "127.0.0.1");
"#,
        ),
    ],
    service: "command = \"exec node server.js\"\nenv = { PORT = \"{port}\" }",
    delay_in: "server.js",
    origin: "/srv/gate.git",
};

const RUST: Case = Case {
    name: "rust",
    files: &[
        ("Cargo.toml", "[workspace]\nmembers = [\"app\", \"xtask\"]\nresolver = \"2\"\n"),
        (".cargo/config.toml", ALIAS),
        (
            "xtask/Cargo.toml",
            "[package]\nname = \"xtask\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\n",
        ),
        (
            "xtask/src/main.rs",
            r#"fn main() {
    // Here.
    // As a parser such as clap's does with arguments that it does not know.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    assert_eq!(arguments, ["hello"], "unknown arguments");
    println!("hello from xtask");
}
"#,
        ),
        ("Cargo.lock", include_str!("../../../Cargo.lock")),
        ("app/Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
        (
            "app/src/main.rs",
            r#"use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::Duration;

const DELAY_MS: u64 = 100;

fn main() {
    let port: u16 = std::env::args().nth(1).unwrap().parse().unwrap();
    for stream in TcpListener::bind(("127.0.0.1", port)).unwrap().incoming() {
        let mut stream = stream.unwrap();
        std::thread::spawn(move || {
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            for _end_of_head in lines.map_while(Result::ok).filter(|line| line.is_empty()) {
                std::thread::sleep(Duration::from_millis(DELAY_MS));
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
            }
        });
    }
}
"#,
        ),
    ],
    service: "build = \"cargo build --quiet --package app\"\ncommand = \"exec target/debug/app {port}\"",
    delay_in: "app/src/main.rs",
    origin: ORIGIN,
};

/// Adopts as its output says, then: a baseline, a commit, green, a planted slowdown, red.
#[track_caller]
fn check(case: &Case) {
    let repository = Repository::new(case.name, case.files);
    repository.sh("git add . && git commit -q -m service");
    let (code, text) = repository.run_with_origin(env!("CARGO_BIN_EXE_xtask"), &["adopt", "."], case.origin);
    assert_eq!(code, 0, "{text}");
    // The printed lines are added as they are.
    let mut lines = text.lines().skip_while(|line| !line.contains("xtask is yours: add this line")).skip(1);
    if let (Some(line), Some(why), Some(call)) = (lines.next(), lines.next(), lines.next()) {
        let manifest = repository.read("xtask/Cargo.toml");
        repository.write("xtask/Cargo.toml", &format!("{manifest}{}\n", line.trim()));
        repository.replace("xtask/src/main.rs", "// Here.", &format!("{}\n    {}", why.trim(), call.trim()));
    }
    // The commit that is checked out, with what is not committed yet.
    let head = repository.sh(&format!("git -C '{}' rev-parse HEAD", real::root().display()));
    if case.origin == ORIGIN {
        repository.sh(&format!("sed -i.bak 's/rev = \"[0-9a-f]*\"/rev = \"{}\"/' xtask/Cargo.toml", snapshot().commit));
        fs::remove_file(repository.path("xtask/Cargo.toml.bak")).unwrap();
    }
    repository.replace("perf.toml", "command = \"exec ./my-service --port {port}\"", case.service);
    repository.replace("perf.toml", "/health\"", "/\"");
    repository.replace("perf.toml", "# users = 10", "users = 20");
    repository.replace("perf.toml", "# spawn_rate = 10.0", "spawn_rate = 20");
    repository.replace("perf.toml", "# run_time = \"30s\"", "run_time = \"4s\"");
    // In the middle between what is the same and what is slower: a busy machine may add most of a second to either.
    repository.replace("perf.toml", "p95 = \"20% and 5 ms\"", "p95 = \"100% and 800ms\"");
    repository.replace("locustfile.py", "constant(0.1)", "constant(0.05)");
    // As old as the program that holds them: cargo builds them once for all repositories.
    let program = env!("CARGO_BIN_EXE_xtask");
    repository.sh(&format!("find xtask -type f -exec touch -r '{program}' {{}} +"));
    // The same Locust as everywhere here, instead of one more installation.
    real::link_locust(&repository.path("target/perf"));

    // As it prints: build, commit, measure, commit.
    let (code, text) = repository.run("cargo", &["xtask", "perf", "--help"]);
    assert_eq!(code, 0, "{text}");
    repository.sh("git add . && git commit -q -m gate");
    let (code, text) = repository.run("cargo", &["xtask", "perf", "--update-baseline", "--max-runs", "1"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(repository.sh("git status --porcelain"), "?? perf_baseline.json");
    assert!(!repository.read("perf_baseline.json").contains("\"dirty\": true"), "measured in a dirty tree");
    // The baseline says which gate measured it.
    let commit = if case.origin == ORIGIN { &snapshot().commit[..7] } else { &head[..12] };
    let baseline = repository.read("perf_baseline.json");
    assert!(baseline.contains(&format!("\"gate\": \"{} ({commit}", locust_gate::sys::version::number())), "{baseline}");
    if case.files.iter().any(|(name, _)| *name == "xtask/src/main.rs") {
        let (code, text) = repository.run("cargo", &["xtask", "hello"]);
        assert!(code == 0 && text.contains("hello from xtask"), "{text}");
    }
    repository.sh("git add . && git commit -q -m baseline");
    assert_eq!(repository.sh("git status --porcelain"), "");
    let (code, text) = repository.run("cargo", &["xtask", "perf", "--max-runs", "1"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("PASS") && text.contains("1 commit ago"), "{text}");
    repository.replace(case.delay_in, "= 100", "= 1700");
    let (code, text) = repository.run("cargo", &["xtask", "perf", "--max-runs", "1"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("FAIL") && text.contains(": p95 rose "), "{text}");
}

#[test]
fn python_service_is_gated() {
    check(&PYTHON);
}

#[test]
fn node_service_is_gated() {
    if Command::new("node").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "there is no Node to try the gate on a Node service: install it");
        eprintln!("there is no Node, so the gate was not tried on a Node service");
        return;
    }
    check(&NODE);
}

#[test]
fn service_in_a_cargo_workspace_is_gated() {
    check(&RUST);
}
