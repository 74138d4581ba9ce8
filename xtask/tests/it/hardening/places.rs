//! Repositories, flags and environments that are odd or hostile: they work, or one line says why not, and nothing of theirs
//! is run.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::process::Command;

use crate::support::{Output, RESULTS, Scratch};

/// A shell that read it would make a file, and a log or a terminal would obey it.
const HOSTILE: [&str; 10] = [
    "$(touch owned)",
    "`touch owned`",
    "; touch owned #",
    "'; touch owned; '",
    "--upload-pack=touch owned",
    "--output=owned",
    "a\n::error::owned\r\n##[error]owned",
    "\u{1b}]0;owned\u{7}\u{202e}\u{200b}",
    "%0A::error::owned",
    "",
];

/// Runs `xtask` with arguments that may be anything.
fn run(scratch: &Scratch, args: &[OsString]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("perf").args(args);
    scratch.finish(scratch.prepared(command).spawn().unwrap())
}

/// Exit 2 and one line that nothing obeys, and nothing was run.
#[track_caller]
fn assert_refused(scratch: &Scratch, args: &[OsString], output: &Output) {
    assert_eq!(output.code, 2, "{args:?}: {}{}", output.stdout, output.stderr);
    assert_eq!(output.stderr.lines().count(), 1, "{args:?}: {}", output.stderr);
    let is_obeyed = |c: char| c.is_control() || matches!(c, '\u{202e}' | '\u{200b}');
    assert_eq!(output.last_line().chars().find(|c| is_obeyed(*c)), None, "{args:?}");
    assert!(!scratch.path("owned").exists(), "{args:?} was run");
    scratch.assert_not_started(&["service", "locust"]);
    scratch.assert_clean();
}

#[test]
fn no_value_of_a_flag_is_run_or_obeyed() {
    let scratch = Scratch::new("hostile-flags");
    scratch.write("ok.csv", RESULTS);
    let values = HOSTILE.map(OsString::from).into_iter().chain([OsString::from_vec(b"\xff\xfe/\x80".to_vec())]);
    let git_revisions = ["HEAD:perf.toml", "HEAD..HEAD", "HEAD^{/", "@{99}", "^HEAD", "HEAD^{tree}"];
    for value in values.chain(git_revisions.map(OsString::from)) {
        for flag in ["--against", "--config", "--locustfile", "--report", "--users", "--run-time", "--host", ""] {
            let args: Vec<OsString> = [OsString::from(flag), value.clone()].into();
            let args = if flag.is_empty() { &args[1..] } else { &args[..] };
            // It names a file of ours, and is refused for what that is.
            if flag == "--report" && value.as_bytes().is_empty() {
                continue;
            }
            assert_refused(&scratch, args, &run(&scratch, args));
        }
    }
}

#[test]
fn a_repository_of_any_name_is_judged_and_measured() {
    for name in
        ["$(touch owned)", "`touch owned`", "; touch owned", "a\nb", "-rf", "%s\\n", "\u{202e}odd\u{1b}[31m", "*?[a]"]
    {
        let scratch = Scratch::new(&format!("odd-{name}"));
        scratch.write("ok.csv", RESULTS);
        let reports = "--report perf.md --report perf.html --report perf.xml --report perf.json";
        for args in [format!("ok.csv {reports}"), "--max-runs 1".to_owned(), "--against HEAD --max-runs 2".to_owned()] {
            let output = scratch.perf(&args);
            assert_eq!(output.code, 0, "{name:?}, {args}: {}{}", output.stdout, output.stderr);
            for text in [&output.stdout, &output.stderr] {
                assert!(!text.contains(['\u{202e}', '\u{1b}']), "{name:?}, {args}: {text:?}");
            }
        }
        assert_eq!(scratch.sh("find . -name owned"), "", "{name:?} was run");
        scratch.assert_clean();
    }
}

#[test]
fn a_hook_of_the_other_commit_is_not_run() {
    let scratch = Scratch::new("hooks");
    scratch.write("ok.csv", RESULTS);
    let hook = "#!/bin/sh\necho \"$0\" >> \"$PIDS/hooked\"\n";
    for name in ["post-checkout", "reference-transaction", "post-index-change", "fsmonitor"] {
        for folder in ["hooks", ".git/hooks"] {
            scratch.write(&format!("{folder}/{name}"), hook);
        }
    }
    scratch.sh("chmod +x hooks/* .git/hooks/*; git add hooks; git -c core.hooksPath=/dev/null commit -q -m hooks");
    for hooks in ["hooks", ".git/hooks"] {
        scratch.sh(&format!("git config core.hooksPath {hooks}; git config core.fsmonitor {hooks}/fsmonitor"));
        for args in ["ok.csv", "--against HEAD --max-runs 2", "--max-runs 1"] {
            let output = scratch.perf(args);
            assert_eq!(output.code, 0, "{args}: {}{}", output.stdout, output.stderr);
            let hooked = fs::read_to_string(scratch.path("pids/hooked")).unwrap_or_default();
            assert_eq!(hooked, "", "{args}");
        }
    }
}

#[test]
fn without_any_program_on_path_one_line_says_so() {
    let scratch = Scratch::new("empty-path").with("PATH", "");
    scratch.refuses("", "not found");
    scratch.refuses("--against HEAD", "this is not a git repository");
    scratch.assert_not_started(&["service", "locust"]);
}

#[test]
fn root_is_only_pasted_into_a_command_if_no_shell_reads_its_path() {
    for (name, is_plain) in
        [("root-plain_1.0@a+b", true), ("root $(touch owned)", false), ("root a", false), ("root;a", false)]
    {
        let scratch = Scratch::new(name).toml("command = \"exec ", "command = \"cd {root} && exec ");
        if is_plain {
            assert_eq!(scratch.perf("").code, 0);
            continue;
        }
        scratch.refuses("", "write \"$PERF_ROOT\" in place of {root}");
        scratch.assert_not_started(&["service", "locust"]);
        let scratch = scratch.toml("cd {root} &&", "cd \\\"$PERF_ROOT\\\" &&");
        let output = scratch.perf("");
        assert_eq!(output.code, 0, "{name}: {}", output.stderr);
        assert_eq!(scratch.sh("find . -name owned"), "");
    }
}

#[test]
fn repository_that_git_refuses_is_named_with_gits_own_reason() {
    let scratch = Scratch::new("git-refuses");
    scratch.write("ok.csv", RESULTS);
    let head = scratch.sh("git rev-parse HEAD");
    scratch.sh("git config core.repositoryformatversion 99");
    let reason = "git: Expected git repo version <= 1, found 99";
    let output = scratch.perf("ok.csv");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stderr.contains(&format!("warning: {reason}")), "{}", output.stderr);
    scratch.refuses("--against HEAD", reason);
    // A checkout of another owner, as in container jobs. Only root can make one.
    scratch.sh("git config -f .git/config core.repositoryformatversion 0");
    if scratch.sh("id -u") == "0" {
        scratch.sh("chown -R 12345 .");
        let output = scratch.perf("ok.csv --update-baseline");
        scratch.sh("chown -R 0 .");
        if !scratch.read("perf_baseline.json").contains(&head) {
            assert!(
                output.stderr.contains("warning: git: detected dubious ownership in repository"),
                "{}",
                output.stderr
            );
            assert!(output.stderr.contains("git config --global --add safe.directory"), "{}", output.stderr);
        }
    }
}

#[test]
fn environment_of_an_upgraded_python_is_made_again() {
    let fake = fs::read_to_string(crate::support::FAKE_PYTHON).unwrap();
    let scratch =
        Scratch::new("upgraded").tool("uv", "#!/bin/sh\nexit 1\n").tool("python3", &fake).tool("python", &fake);
    let own = format!("command = \"sh '{}'\"\n", crate::support::FAKE_LOCUST);
    let scratch = scratch.toml(&own, "");
    let installs = |scratch: &Scratch| {
        let output = scratch.perf("--max-runs 1");
        assert_eq!(output.code, 0, "{}", output.stderr);
        output.stderr.contains("installing locust==")
    };
    assert_eq!([installs(&scratch), installs(&scratch)], [true, false]);
    let scratch = scratch.with("FAKE_UPGRADED", "1");
    assert_eq!([installs(&scratch), installs(&scratch)], [true, false]);
}
