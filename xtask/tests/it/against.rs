//! `--against REV`: two commits of a scratch repository, with the fakes for what can go wrong, and with real Locust and
//! the real demo for what it is for.

use std::fs;

use crate::real::{demo, demo_locustfile, link_locust};
use crate::support::Scratch;

/// A service script whose p95 is `p95_ms`: the fake Locust reports what the service notes.
pub fn service(p95_ms: u32) -> String {
    let service = env!("CARGO_BIN_EXE_fake-service");
    format!(
        "echo {p95_ms} > \"$PIDS/p95.$$\" && mv \"$PIDS/p95.$$\" \"$PIDS/p95\"\nexec '{service}' --port \"$1\" --mode ok\n"
    )
}

/// A repository whose first commit has this p95, and whose last has that one.
pub fn repository(name: &str, first_ms: u32, last_ms: u32) -> Scratch {
    let service_command = format!("exec '{}' --port {{port}} --mode ok", env!("CARGO_BIN_EXE_fake-service"));
    let scratch = Scratch::new(&format!("against-{name}")).toml(&service_command, "exec sh service.sh {port}");
    scratch.write(".gitignore", "/target\n/pids\n/runs-made\n/built\n");
    scratch.write("service.sh", &service(first_ms));
    scratch.sh("git add . && git commit -q -m slow-or-not && git tag first");
    scratch.write("service.sh", &service(last_ms));
    scratch.sh("git commit -q --allow-empty -a -m last");
    scratch
}

#[test]
fn a_slowdown_is_red_and_an_improvement_green() {
    for (name, first_ms, last_ms, code, last) in [
        ("red", 300, 420, 1, "FAIL: p95 rose 40%, 300 → 420 ms (limit +20%); 1 of 1 endpoint: GET /claims +40%"),
        ("green", 420, 300, 0, "PASS: p95 fell 29%, 420 → 300 ms, all metrics within their limits"),
        ("same", 300, 300, 0, "PASS: p95 +0.0% (limit +20%), all metrics within their limits"),
    ] {
        let scratch = repository(name, first_ms, last_ms);
        let output = scratch.perf("--against first");
        assert_eq!(output.code, code, "{name}: {}{}", output.stdout, output.stderr);
        assert_eq!(output.stdout.lines().last(), Some(last), "{name}");
        let [first, head] = ["first", "HEAD"].map(|rev| scratch.sh(&format!("git rev-parse {rev}"))[..12].to_owned());
        let sides =
            format!("baseline: first, commit {first}; candidate: this tree, commit {head}; measured alternately");
        assert!(output.stdout.contains(&sides), "{name}: {}", output.stdout);
        assert!(
            output.stdout.contains("evidence: conclusive after 2 rounds, both sides in each; "),
            "{}",
            output.stdout
        );
        // In the one order, then in the other.
        let loads = output.stderr.lines().filter(|line| line.starts_with("load-testing "));
        let order: Vec<bool> = loads.map(|line| line.contains(" of this tree")).collect();
        assert_eq!(order, [true, false, false, true], "{}", output.stderr);
        scratch.assert_clean();
        // The same again, without load; or this tree's runs alone, where a baseline is named.
        let again = scratch.perf("target/perf/latest --report again.html");
        assert_eq!(again.code, code, "{name}: {}", again.stderr);
        // The step that keeps a gain takes the same results.
        let again_stdout = again.stdout.replace("perf target/perf/latest --update-baseline", "perf --update-baseline");
        assert_eq!(again_stdout, output.stdout.replace("baseline: first, ", "baseline: "));
        assert!(scratch.read("again.html").contains("alternately on one machine"));
        scratch.sh("rm again.html");
        let runs = scratch.perf("target/perf/latest --baseline perf_baseline.json");
        assert!(runs.stdout.contains("after 2 runs (baseline: 1)"), "{}", runs.stdout);
    }
}

#[test]
fn the_users_checkout_is_not_touched() {
    let scratch = repository("untouched", 300, 300);
    scratch.write("stashed.txt", "stashed");
    scratch.sh("git add stashed.txt && git stash push -q");
    scratch.write("staged.txt", "staged");
    scratch.sh("git add staged.txt");
    scratch.write("service.sh", &service(420));
    let state = "git status --porcelain && git stash list && git diff --cached && git diff && git symbolic-ref HEAD";
    let before = scratch.sh(state);
    let output = scratch.perf("--against HEAD");
    // What is not committed is part of this tree.
    assert_eq!(output.code, 1, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains(" + uncommitted changes; measured alternately"), "{}", output.stdout);
    assert_eq!(scratch.sh(state), before);
    // A checkout that lost its link to git is made anew; git never takes the repository around it instead.
    let checkout = scratch.checkouts().join(scratch.sh("git rev-parse HEAD"));
    fs::remove_file(checkout.join(".git")).unwrap();
    fs::remove_file(checkout.join("service.sh")).unwrap();
    assert_eq!(scratch.perf("--against HEAD").code, 1);
    assert_eq!(scratch.sh(state), before);
    scratch.assert_clean();
}

#[test]
fn builds_are_kept_and_the_oldest_go() {
    let build = "ready_timeout = \"2m\"\nbuild = \"test -e built || { echo >> $PIDS/builds; touch built; }\"";
    let scratch = repository("kept", 300, 300).toml("ready_timeout = \"2m\"", build);
    scratch.sh("git commit -q -a -m build");
    for number in 0..4 {
        scratch.write("number", &number.to_string());
        scratch.sh("git add . && git commit -q -m more");
    }
    let builds = || scratch.read("pids/builds").lines().count();
    let against = |rev: &str| {
        let output = scratch.perf(&format!("--against {rev}"));
        assert_eq!(output.code, 0, "{rev}: {}", output.stderr);
    };
    against("HEAD~1");
    assert_eq!(builds(), 2, "this tree, and the other commit");
    against("HEAD~1");
    assert_eq!(builds(), 2, "both are kept");
    for rev in ["HEAD~2", "HEAD~3", "HEAD~4"] {
        against(rev);
    }
    assert_eq!(builds(), 5);
    assert_eq!(scratch.sh("ls pids/cache/locust-gate/* | wc -l"), "3");
    assert_eq!(scratch.sh("git worktree list | wc -l"), "4");
    against("HEAD~4");
    assert_eq!(builds(), 5);
    // Someone removed everything, and git still knows of it.
    fs::remove_dir_all(scratch.path("pids/cache")).unwrap();
    against("HEAD~1");
    assert_eq!(scratch.sh("git worktree list | wc -l"), "2");
    scratch.assert_clean();
}

#[test]
fn an_impossible_comparison_is_an_error_with_the_next_step() {
    let scratch = repository("unknown", 300, 300);
    scratch.refuses("--against nowhere", "--against nowhere: commit not found: check the name, or fetch it");
    scratch.refuses("--against first..HEAD", "--against first..HEAD: this is a range of commits: name one of them");
    scratch.refuses("--against origin/main", "fetch it with `git fetch origin main`");
    scratch.refuses("--against first --host http://127.0.0.1:1", "builds and starts the service of either side");
    let shallow = scratch.path("pids/shallow");
    scratch.sh(&format!("git clone -q --depth 1 'file://{}' '{}'", scratch.folder.display(), shallow.display()));
    let output = scratch.script("cd pids/shallow && \"$XTASK\" perf --against HEAD~1");
    assert_eq!(output.code, 2);
    assert!(output.stderr.contains("`git fetch --unshallow origin`"), "{}", output.stderr);

    let scratch = repository("broken", 300, 300);
    scratch.sh("git checkout -q first");
    let broken = scratch.toml("ready_timeout", "build = \"echo no compiler; exit 3\"\nready_timeout");
    broken.sh("git commit -q -a -m broken && git tag broken && git checkout -q -");
    let output = broken.refuses("--against broken", "at broken (");
    assert!(output.stderr.contains("  | no compiler"), "{}", output.stderr);
    assert!(output.last_line().contains("[service] build failed: exit code 3"), "{}", output.stderr);
}

#[test]
fn the_other_commit_is_started_by_its_own_service_and_loaded_by_this_trees_locustfile() {
    let scratch = repository("own-service", 300, 300);
    scratch.sh("git mv service.sh start.sh");
    let scratch = scratch.toml("sh service.sh", "sh start.sh");
    scratch.write("locustfile.py", "# other users\n");
    scratch.sh("git add . && git commit -q -m renamed");
    let output = scratch.perf("--against first");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let said = "note: at first the service of its own perf.toml is used: `exec sh service.sh {port}`";
    assert!(output.stdout.contains(said), "{}", output.stdout);
    let about = scratch.read("target/perf/latest/against/run-1/run.json");
    assert!(about.contains(&scratch.sh("git rev-parse first")), "{about}");
    assert!(about.contains(&scratch.sh("git hash-object locustfile.py")), "{about}");

    scratch
        .sh("git checkout -q first && echo '[surprise]' >> perf.toml && git commit -q -a -m unreadable && git tag odd");
    scratch.sh("git checkout -q first");
    let output = scratch.perf("--against odd");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(
        output.stdout.contains("note: this tree's [service] is used for odd, whose perf.toml:"),
        "{}",
        output.stdout
    );
}

#[test]
fn a_folder_of_any_name_and_depth_will_do() {
    let scratch = repository("spaces, 'quotes' and ü", 300, 420);
    let output = scratch.perf("--against first");
    assert_eq!(output.code, 1, "{}{}", output.stdout, output.stderr);
    // The product's root need not be the repository's.
    scratch
        .sh("mkdir -p services/claims && git mv perf.toml service.sh locustfile.py perf_baseline.json services/claims");
    scratch.sh("git commit -q -m moved");
    let output = scratch.script("cd services/claims && \"$XTASK\" perf --against HEAD");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let output = scratch.script("cd services/claims && \"$XTASK\" perf --against first");
    assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
    let said = "): that commit has no folder services/claims/";
    assert!(output.last_line().contains(said), "{}", output.stderr);
    scratch.assert_nothing_is_left();
}

#[test]
fn an_interrupt_leaves_nothing_running_and_the_next_call_works() {
    let scratch = repository("interrupt", 300, 300).with("FAKE_LOCUST", "waits");
    let child = scratch.command("--against first").spawn().unwrap();
    scratch.wait_for("pids/locust");
    scratch.sh(&format!("kill -INT {}", child.id()));
    let output = scratch.finish(child);
    assert_eq!((output.code, output.stdout.as_str()), (130, ""), "{}", output.stderr);
    scratch.assert_clean();
    let scratch = scratch.with("FAKE_LOCUST", "");
    assert_eq!(scratch.perf("--against first").code, 0);
    scratch.assert_clean();
}

#[test]
fn a_crash_is_no_error_of_the_next_call() {
    let scratch = repository("crash", 300, 300).with("FAKE_LOCUST", "waits");
    let mut child = scratch.loading("--against first");
    child.kill().unwrap();
    child.wait().unwrap();
    scratch.assert_nothing_is_left();
    let scratch = scratch.with("FAKE_LOCUST", "");
    let output = scratch.perf("--against first");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(scratch.sh("git worktree list | wc -l"), "2");
    scratch.assert_clean();
}

#[test]
fn two_calls_at_once_do_not_disturb_each_other() {
    let scratch = repository("twice", 300, 300);
    let children = ["--against first", "--against first"].map(|args| scratch.command(args).spawn().unwrap());
    for output in children.map(|child| scratch.finish(child)) {
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert!(
            output.stdout.ends_with("PASS: p95 +0.0% (limit +20%), all metrics within their limits\n"),
            "{}",
            output.stdout
        );
    }
    scratch.assert_clean();
}

#[test]
fn noisy_rounds_are_ten_unless_the_user_gives_a_number() {
    // In pairs, as they are measured: this tree is about 15% slower, but by very different amounts.
    let p95_ms = "390 300  300 290  340 300  300 400  280 300  300 350  395 300  300 285  345 300  300 390";
    let noisy = repository("noisy-rounds", 300, 300).with("FAKE_P95_MS", p95_ms);
    let service = noisy.read("service.sh");
    noisy.write("service.sh", &service.replace("/p95", "/unused"));
    noisy.sh("git commit -q -a -m noisy");
    for (args, line, never) in [("", "round 8/10: ", "round 8/7"), (" --max-runs 7", "round 7/7: ", "/10: ")] {
        noisy.sh("rm -f runs-made");
        let output = noisy.perf(&format!("--against HEAD{args}"));
        let (stdout, stderr) = (&output.stdout, &output.stderr);
        assert!(stderr.contains(line) && !stderr.contains(never), "{args}: {stdout}{stderr}");
        // The same results again want no further round.
        let again = noisy.perf("target/perf/latest");
        assert_eq!((again.code, again.stdout.lines().last()), (output.code, stdout.lines().last()));
    }
}

/// A repository whose first commit is the demo, and whose second is the demo at a sixth of its speed. The limit is in the
/// middle, so that a busy machine may add hundreds of milliseconds to either.
fn demo_repository() -> Scratch {
    let scratch = Scratch::new("against-demo");
    scratch.write(
        "perf.toml",
        "[service]\ncommand = \"exec sh service.sh {port}\"\nready_url = \"http://127.0.0.1:{port}/health\"\n\
         [load]\nusers = 20\nspawn_rate = 20\nrun_time = \"3s\"\n\
         [limits]\np95 = \"100% and 400ms\"\n",
    );
    scratch.write("locustfile.py", &demo_locustfile());
    let start = format!("exec '{}' --port \"$1\"\n", demo());
    scratch.write("service.sh", &start);
    scratch.sh("git add . && git commit -q -m demo && git tag fast");
    scratch.write("service.sh", &format!("export DEMO_SLOWDOWN_PCT=500\n{start}"));
    scratch.sh("git commit -q -a -m slower && git tag slow");
    link_locust(&scratch.path("target/perf"));
    scratch
}

#[test]
fn a_slower_demo_fails_and_the_same_demo_passes() {
    let scratch = demo_repository();
    let output = scratch.perf("--against fast --max-runs 2");
    let text = format!("{}{}", output.stdout, output.stderr);
    assert_eq!(output.code, 1, "six times as slow: {text}");
    assert!(text.contains("FAIL") && text.contains(": p95 rose "), "{text}");
    scratch.sh("git checkout -q fast");
    let output = scratch.perf("--against fast --max-runs 2");
    assert_eq!(output.code, 0, "the same: {}{}", output.stdout, output.stderr);
    // One commit but two sides.
    assert_eq!(scratch.sh("git worktree list | wc -l"), "2");
}

#[test]
fn comparing_a_commit_with_itself_is_told() {
    let scratch = repository("itself", 300, 300);
    let is_noted = |args: &str| scratch.perf(args).stdout.contains("note: both sides are commit ");
    assert!(is_noted("--against HEAD"));
    assert!(!is_noted("--against first"));
    scratch.write("new.py", "code");
    assert!(!is_noted("--against HEAD"));
}
