//! The checkout of another commit, as it meets real projects: where it lies, what git does not hold, builds into one place,
//! submodules.

use std::fs;

use crate::against::{repository, service};
use crate::support::Scratch;

const FAKE_SERVICE: &str = env!("CARGO_BIN_EXE_fake-service");

#[track_caller]
fn passes(scratch: &Scratch, args: &str) -> String {
    let output = scratch.perf(args);
    assert_eq!(output.code, 0, "{args}: {}{}", output.stdout, output.stderr);
    output.stdout + &output.stderr
}

/// A compiler without a list of files takes whatever lies below the root.
#[test]
fn nothing_of_another_commit_lies_in_the_repository() {
    let scratch = repository("outside", 300, 300);
    let first = scratch.sh("git rev-parse first");
    let services = || scratch.sh("find . -path ./pids -prune -o -name service.sh -print");
    passes(&scratch, "--against first");
    assert_eq!(services(), "./service.sh");
    let checkouts = scratch.checkouts();
    assert!(checkouts.join(&first).join("service.sh").is_file());
    let name = checkouts.file_name().unwrap().to_string_lossy();
    assert!(name.starts_with("against-outside-") && name.len() == "against-outside-".len() + 12, "{name}");
}

#[test]
fn checkouts_lie_in_the_users_cache_or_the_configured_folder() {
    let scratch = repository("place", 300, 300);
    let ran = |variables: &str| scratch.script(&format!("{variables} \"$XTASK\" perf --against first"));
    for (variables, place) in [
        ("env -u XDG_CACHE_HOME HOME=$PIDS/home", "pids/home/.cache/locust-gate"),
        // Empty or relative, it is not set.
        ("XDG_CACHE_HOME= HOME=$PIDS/home2", "pids/home2/.cache/locust-gate"),
        ("XDG_CACHE_HOME=here HOME=$PIDS/home3", "pids/home3/.cache/locust-gate"),
    ] {
        let place =
            if cfg!(target_os = "macos") { place.replace(".cache", "Library/Caches") } else { place.to_owned() };
        let output = ran(variables);
        assert_eq!(output.code, 0, "{variables}: {}", output.stderr);
        assert_eq!(scratch.sh(&format!("ls '{place}' | wc -l")), "1", "{variables}");
    }
    let said = "NO VERDICT: neither XDG_CACHE_HOME nor HOME is set, so there is no folder for the checkout of another commit: \
                set one, or name a folder in [against] folder of perf.toml";
    scratch.sh("rm pids/locust");
    let output = ran("env -u XDG_CACHE_HOME -u HOME");
    assert_eq!((output.code, output.last_line()), (2, said));
    scratch.assert_not_started(&["locust"]);

    for (folder, place) in [("pids/own", "pids/own"), ("~/pids/at-home", "pids/at-home")] {
        let own = format!("[against]\nfolder = \"{folder}\"\n[locust]");
        scratch.sh("git checkout -q perf.toml");
        scratch.replace("perf.toml", "[locust]", &own);
        passes(&scratch, "--against first");
        assert_eq!(scratch.sh(&format!("ls {place}/against-place-*/$(git rev-parse first)/service.sh | wc -l")), "1");
    }
    scratch.sh("git checkout -q perf.toml");
    let scratch = scratch.toml("[locust]", "[against]\nfolder = \"perf.toml\"\n[locust]");
    let output = scratch.perf("--against first");
    assert!(output.last_line().contains(": name another folder in [against] folder of perf.toml"), "{}", output.stderr);
}

/// They share what is checked out, and two loads at once would measure each other.
#[test]
fn two_worktrees_of_one_repository_take_turns() {
    let scratch = repository("turns", 300, 300).with("FAKE_LOCUST", "waits");
    scratch.sh("git worktree add -q pids/second");
    let first = scratch.command("--against first").spawn().unwrap();
    scratch.wait_for("pids/locust");
    let second = "cd pids/second && FAKE_LOCUST= exec \"$XTASK\" perf --against first 2> ../said";
    let second = std::thread::scope(|scope| {
        let second = scope.spawn(|| scratch.script(second));
        let said = "waiting: another run is using this repository";
        scratch.wait_until("the second one's turn", || {
            fs::read_to_string(scratch.path("pids/said")).is_ok_and(|text| text.contains(said))
        });
        scratch.sh(&format!("kill -INT {}", first.id()));
        assert_eq!(scratch.finish(first).code, 130);
        second.join().unwrap()
    });
    assert_eq!(second.code, 0, "{}", scratch.read("pids/said"));
    scratch.assert_nothing_is_left();
}

#[test]
fn files_that_are_not_in_git_are_named_by_root() {
    let scratch = repository("root", 300, 300);
    scratch.write(".gitignore", "/target\n/pids\n/runs-made\n/local\n");
    scratch.sh("mkdir local && cp service.sh local/start && chmod +x local/start && sed -i '1i #!/bin/sh' local/start");
    let scratch = scratch.toml("exec sh service.sh {port}", "exec local/start {port}");
    scratch.sh("git add . && git commit -q -m local && git tag local");
    let hint = "; a file or module was not found: that checkout only has what is in git, so name your \
                working tree by PERF_ROOT, as in \"$PERF_ROOT\"/.venv/bin/python (its log";
    let at = format!("NO VERDICT: at local ({}): ", &scratch.sh("git rev-parse local")[..12]);
    let output = scratch.refuses("--against local", hint);
    assert!(
        output.last_line().starts_with(&format!("{at}the service exited before it was ready: exit code 127{hint}"))
    );
    for (command, said) in [
        ("exec sh local/start {port}", "the service exited before it was ready: exit code 2"),
        ("echo 'Error: Cannot find module express'; exit 1", "the service exited before it was ready: exit code 1"),
    ] {
        // Here it is there, and does not say so.
        scratch.write("perf.toml", &scratch.read("perf.toml").replace("exec local/start {port}", command));
        scratch.sh("git commit -q -a -m other && git tag -f other > /dev/null");
        scratch.sh("git checkout -q HEAD~1 -- perf.toml && git commit -q -m back");
        let output = scratch.refuses("--against other", hint);
        assert!(output.last_line().contains(said), "{command}: {}", output.stderr);
    }
    // A build says it too; a failure of another kind, or of this tree, does not.
    let built = |build: &str| format!("build = \"{build}\"\nready_timeout");
    for (build, is_told) in [("test -d local || exit 127", true), ("test -d local || exit 3", false)] {
        scratch.replace("perf.toml", "ready_timeout", &built(build));
        scratch.sh("git commit -q -a -m build");
        let output = scratch.refuses("--against HEAD", "[service] build failed: exit code ");
        assert_eq!(output.last_line().contains(hint), is_told, "{}", output.stderr);
        scratch.sh("git checkout -q HEAD~1 -- perf.toml && git commit -q -m back");
    }
    let scratch = scratch.toml("exec local/start", "exec local/none");
    assert!(!scratch.refuses("--against local", "exit code 127").last_line().contains(hint));

    // Named so it is there, although that commit does not name it yet, and one day does.
    let root = "test -f {root}/local/start && test \\\"$PERF_ROOT\\\" = {root} && test \\\"${root:-none}\\\" = none";
    let named =
        format!("build = \"{root}\"\nprepare = \"{root} && test $HERE = {{root}}\"\nenv = {{ HERE = \"{{root}}\" }}\n");
    scratch.write("local/.env", "STARTS=start\n");
    let command = "test $HERE = {root} && set -a; . {root}/local/.env; exec {root}/local/$STARTS {port}";
    let scratch =
        scratch.toml("exec local/none {port}", command).toml("ready_timeout", &format!("{named}ready_timeout"));
    scratch.sh("git commit -q -a -m named");
    let note = "note: this tree's [service] is also used at local, whose own does not use PERF_ROOT\n";
    assert!(passes(&scratch, "--against local").contains(note));
    assert!(!passes(&scratch, "--against HEAD").contains("[service] is also used"));
    scratch.assert_clean();
}

/// A tag of Docker's, `make install`, one folder for all builds: what was built last would answer for both.
#[test]
fn both_sides_may_build_into_one_place() {
    let scratch =
        repository("one-place", 300, 420).toml("exec sh service.sh {port}", "exec sh $PIDS/installed.sh {port}").toml(
            "ready_timeout",
            "build = \"echo $PWD >> $PIDS/builds; cp service.sh $PIDS/installed.sh\"\nready_timeout",
        );
    scratch.write("service.sh", &service(300));
    scratch.sh("git commit -q -a -m build && git tag -f first > /dev/null");
    scratch.write("service.sh", &service(420));
    scratch.sh("git commit -q -a -m slower");
    let output = scratch.perf("--against first");
    assert_eq!(output.code, 1, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("300 → 420 ms"), "{}", output.stdout);
    // Each once before anything is measured; then as often as the other one was built last.
    let own = fs::canonicalize(&scratch.folder).unwrap();
    let builds = scratch.read("pids/builds");
    let order: Vec<bool> = builds.lines().map(|folder| *folder == *own.to_string_lossy()).collect();
    assert_eq!(order, [true, false, true, false, true], "{builds}");
    assert!(scratch.path("target/perf/latest/run-1/build.log").is_file());
    assert!(scratch.path("target/perf/latest/against/run-1/build.log").is_file());
    // One side alone is built once.
    scratch.sh("rm pids/builds");
    scratch.perf("--min-runs 2 --max-runs 2");
    assert_eq!(scratch.read("pids/builds").lines().count(), 1);
}

#[test]
fn one_program_for_both_sides_is_a_warning() {
    let said = "note: both sides ran the same program file, ";
    let warns = |scratch: &Scratch| {
        scratch.sh("git commit -q --allow-empty -a -m service");
        let text = passes(scratch, "--against HEAD");
        assert!(text.matches(said).count() <= 1, "{text}");
        // It is known of the rounds, whenever they are judged.
        assert_eq!(passes(scratch, "target/perf/latest").contains(said), text.contains(said));
        text.contains(said)
    };
    let scratch = repository("program", 300, 300);
    // Where the machine does not tell which file a process runs, nothing is said.
    let tells = scratch.path("/proc/self/exe").exists();
    assert_eq!(warns(&scratch), tells, "a path of its own that neither build writes");
    let built = format!("build = \"cp '{FAKE_SERVICE}' built\"\nready_timeout");
    let scratch = scratch.toml("exec sh service.sh", "exec ./built --mode ok --port").toml("ready_timeout", &built);
    assert!(!warns(&scratch), "built in each checkout");
    let scratch = scratch.toml("exec ./built", "exec {root}/built");
    assert_eq!(warns(&scratch), tells, "of this tree");
    let scratch = scratch.toml("exec {root}/built", "exec $PIDS/installed").toml("' built", "' $PIDS/installed");
    assert!(!warns(&scratch), "in one place, written again for each");
    let scratch =
        scratch.toml("build = \"cp", "build = \"test -e $PIDS/old || cp").toml("$PIDS/installed\"", "$PIDS/old\"");
    let scratch = scratch.toml("exec $PIDS/installed", "exec $PIDS/old");
    assert_eq!(warns(&scratch), tells, "in one place, taken for up to date");
    let python = concat!("python3 '", env!("CARGO_MANIFEST_DIR"), "/tests/fakes/service.py' {port}");
    let scratch = scratch.toml("$PIDS/old --mode ok --port {port}", python).toml("/health", "/ready");
    assert!(!warns(&scratch), "an interpreter");
}

/// A repository with a submodule in a submodule, which has the service. `first` and the last commit have others.
fn with_submodules(name: &str) -> Scratch {
    let scratch = repository(name, 300, 300);
    scratch.sh("git config --global --list > /dev/null 2>&1 || true; mkdir pids/origin");
    scratch.sh("git init -q -b main pids/origin/inner && git init -q -b main 'pids/origin/the lib'");
    let commit = |folder: &str| scratch.sh(&format!("cd '{folder}' && git add . && git commit -q -m more"));
    let add = |folder: &str, origin: &str, path: &str| {
        let origin = scratch.path(&format!("pids/origin/{origin}"));
        scratch.sh(&format!(
            "cd '{folder}' && git -c protocol.file.allow=always submodule --quiet add '{}' '{path}'",
            origin.display()
        ));
        commit(folder);
    };
    scratch.write("pids/origin/inner/start.sh", &service(300));
    commit("pids/origin/inner");
    add("pids/origin/the lib", "inner", "inner");
    add(".", "the lib", "libs/the lib");
    scratch.sh("git -c protocol.file.allow=always submodule --quiet update --init --recursive");
    scratch.write("service.sh", "exec sh 'libs/the lib/inner/start.sh' \"$1\"\n");
    scratch.sh("git commit -q -a -m submodules && git tag -f first > /dev/null");
    scratch.write("libs/the lib/inner/start.sh", &service(420));
    for folder in ["libs/the lib/inner", "libs/the lib", "."] {
        scratch.sh(&format!("cd '{folder}' && git commit -q -a -m slower"));
    }
    scratch.sh("rm -rf pids/origin");
    scratch
}

#[test]
fn submodules_are_checked_out_of_their_clones_here() {
    let scratch = with_submodules("submodules");
    let hook = "#!/bin/sh\necho ran >> \"$PIDS/hook\"\n";
    for folder in scratch.sh("find .git -type d -name hooks").lines() {
        scratch.write(&format!("{folder}/post-checkout"), hook);
        scratch.sh(&format!("chmod +x '{folder}/post-checkout'"));
    }
    scratch.sh("git config submodule.recurse true");
    let state = "git config --list --local; git submodule status --recursive; git status --porcelain";
    let before = scratch.sh(state);
    for _ in 0..2 {
        let output = scratch.perf("--against first");
        assert_eq!(output.code, 1, "{}{}", output.stdout, output.stderr);
        assert!(output.stdout.contains("300 → 420 ms"), "{}", output.stdout);
        assert_eq!(scratch.sh(state), before);
    }
    assert!(!scratch.path("pids/hook").exists(), "a hook ran");
    // As the code of the checkout, they are restored; and found again where the cache was emptied.
    let checkout = scratch.checkouts().join(scratch.sh("git rev-parse first"));
    fs::write(checkout.join("libs/the lib/inner/start.sh"), "exit 1\n").unwrap();
    assert_eq!(scratch.perf("--against first").code, 1);
    fs::remove_dir_all(scratch.path("pids/cache")).unwrap();
    assert_eq!(scratch.perf("--against first").code, 1);
    let worktrees = "git -C 'libs/the lib/inner' worktree list | wc -l";
    assert_eq!(scratch.sh(worktrees), "2");
    // The oldest checkouts go, and what the submodules know of them with the next call.
    for rev in ["HEAD~1", "HEAD~2", "HEAD~3", "HEAD"] {
        scratch.perf(&format!("--against {rev}"));
    }
    assert_eq!(scratch.sh("ls pids/cache/locust-gate/* | wc -l"), "3");
    assert_eq!(scratch.sh(state), before);
    scratch.assert_clean();

    // What this tree does not have is not asked for; what it lacks of a commit is named.
    scratch.sh("cd 'libs/the lib' && git reset -q --hard && cd inner && git tag gone HEAD");
    let lacking = "0123456789012345678901234567890123456789";
    scratch.sh(&format!(
        "git update-index --cacheinfo '160000,{lacking},libs/the lib' && git commit -q -m ahead && git tag ahead"
    ));
    let said = format!("its submodule libs/the lib is at commit {lacking}, which this clone lacks: run `git -C");
    scratch.refuses("--against ahead", &said);
    scratch.sh("git submodule --quiet deinit --force --all");
    let output = scratch.refuses("--against first", "the service exited before it was ready");
    assert!(!output.last_line().contains("at first"), "neither side has it: {}", output.stderr);
}

/// Every file that a build has made.
fn built(scratch: &Scratch, folder: &str) -> String {
    scratch.sh(&format!("find {folder} -type f | sort | xargs sha1sum"))
}

#[test]
#[ignore = "installs TypeScript by npm; run it by hand"]
fn a_typescript_build_makes_the_same_with_and_without_another_commit() {
    // As a user's cache does, it lies outside.
    let cache = Scratch::empty("against-typescript-cache");
    let scratch = repository("typescript", 300, 300).with("XDG_CACHE_HOME", &cache.folder.display().to_string());
    scratch.write(".gitignore", "/target\n/pids\n/runs-made\n/dist\n/node_modules\n/.npm\n");
    scratch.write("package.json", r#"{"name": "claims", "private": true, "scripts": {"build": "tsc"}}"#);
    let options = r#"{"outDir": "dist", "module": "commonjs", "target": "es2022", "types": ["node"]}"#;
    scratch.write("tsconfig.json", &format!("{{\"compilerOptions\": {options}}}"));
    let main = |p95_ms: u32| {
        format!(
            "import {{ writeFileSync }} from \"node:fs\";\nimport {{ createServer }} from \"node:http\";\n\
             writeFileSync(`${{process.env.PIDS}}/p95`, \"{p95_ms}\");\n\
             createServer((_, answer) => answer.end(\"ok\")).listen(Number(process.argv[2]), \"127.0.0.1\");\n"
        )
    };
    let scratch = scratch
        .toml("exec sh service.sh {port}", "exec node dist/main.js {port}")
        .toml("ready_timeout", "build = \"test -d node_modules || npm ci && npm run build\"\nready_timeout");
    scratch.write("src/main.ts", &main(300));
    scratch.sh("npm install --silent --save-dev typescript@5 @types/node@20");
    scratch.sh("git add . && git commit -q -m typescript && git tag -f first > /dev/null");
    scratch.write("src/main.ts", &main(420));
    scratch.sh("git commit -q -a -m slower && npm run --silent build");
    let before = built(&scratch, "dist");
    assert!(before.ends_with("  dist/main.js"), "{before}");
    for _ in 0..2 {
        let output = scratch.perf("--against first");
        assert_eq!(output.code, 1, "{}{}", output.stdout, output.stderr);
        assert!(output.stdout.contains("300 → 420 ms"), "{}", output.stdout);
        assert_eq!(built(&scratch, "dist"), before);
        scratch.sh("npm run --silent build");
        assert_eq!(built(&scratch, "dist"), before);
    }
    scratch.assert_clean();
}

#[test]
#[ignore = "installs Django by pip; run it by hand"]
fn a_django_project_has_its_virtual_environment_in_the_repository() {
    let scratch = repository("django", 300, 300);
    scratch.write(".gitignore", "/target\n/pids\n/runs-made\n/.venv\n__pycache__\n");
    scratch.write(
        "manage.py",
        "import os, sys\n\nos.environ.setdefault(\"DJANGO_SETTINGS_MODULE\", \"settings\")\n\n\
         from django.core.management import execute_from_command_line\n\nexecute_from_command_line(sys.argv)\n",
    );
    scratch
        .write("settings.py", "SECRET_KEY = \"x\"\nALLOWED_HOSTS = [\"*\"]\nROOT_URLCONF = \"urls\"\nUSE_TZ = True\n");
    let urls = |p95_ms: u32| {
        format!(
            "import os\n\nfrom django.http import HttpResponse\nfrom django.urls import path\n\n\
             open(os.environ[\"PIDS\"] + \"/p95\", \"w\").write(\"{p95_ms}\")\n\
             urlpatterns = [path(\"health\", lambda request: HttpResponse(\"ok\"))]\n"
        )
    };
    scratch.write("urls.py", &urls(300));
    let scratch =
        scratch.toml("exec sh service.sh {port}", "exec .venv/bin/python manage.py runserver --noreload {port}");
    scratch.sh("python3 -m venv .venv && .venv/bin/pip install --quiet django");
    scratch.sh("git add . && git commit -q -m django && git tag -f first > /dev/null");
    scratch.write("urls.py", &urls(420));
    scratch.sh("git commit -q -a -m slower");
    let output = scratch.refuses("--against first", "exit code 127; a file or module was not found");
    assert!(output.last_line().contains("name your working tree by PERF_ROOT"), "{}", output.stderr);

    let scratch = scratch.toml("exec .venv", "exec {root}/.venv");
    let output = scratch.perf("--against first");
    assert_eq!(output.code, 1, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("300 → 420 ms"), "{}", output.stdout);
    assert!(!output.stdout.contains("both sides ran the same program file"), "{}", output.stdout);
    scratch.assert_clean();
}
