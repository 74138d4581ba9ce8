//! Files that lie in the way: where a report would go, beside the results, in the baseline.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use crate::support::{BASELINE, RESULTS, Scratch};

#[test]
fn a_report_never_replaces_what_the_command_reads() {
    let links = "ln perf.toml hard.json; ln -s perf.toml soft.json; ln -s locustfile.py users.md; ln -s ok.csv csv.md";
    for (args, named) in [
        ("ok.csv --report perf_baseline.json", "perf_baseline.json"),
        ("ok.csv --report ./pids/../perf_baseline.json", "perf_baseline.json"),
        ("ok.csv --report hard.json", "perf.toml"),
        ("ok.csv --report soft.json", "perf.toml"),
        ("ok.csv --report csv.md", "ok.csv"),
        ("ok.json --report ok.json", "ok.json"),
        ("runs --report runs/run-1/run.json", "runs/run-1/run.json"),
        ("runs --report runs/run-1/perf_listener.json", "runs/run-1/perf_listener.json"),
        ("runs --report runs/session.json", "runs/session.json"),
        ("runs --report runs/confirm/run-1/run.json", "runs/confirm/run-1/run.json"),
        ("--report users.md", "locustfile.py"),
        ("--update-baseline --baseline new.json --report new.json", "new.json"),
        ("--against HEAD --report soft.json", "perf.toml"),
        // What fails before that is no reason to replace it either.
        ("ok.csv --config broken.json --report broken.json", "broken.json"),
        ("ok.csv --baseline broken.json --report broken.json", "broken.json"),
    ] {
        let scratch = Scratch::new("report-over");
        scratch.write("ok.csv", RESULTS);
        scratch.write("ok.json", "[]");
        scratch.write("broken.json", "no = \n");
        scratch.write("runs/run-1/perf_results_stats.csv", RESULTS);
        scratch.write("runs/run-1/run.json", "{}");
        scratch.write("runs/confirm/run-1/perf_results_stats.csv", RESULTS);
        scratch.sh(links);
        let listed = || scratch.sh("ls -i *.* runs/run-1; cat *.* runs/run-1/*");
        let before = listed();
        let output = scratch.perf(args);
        assert_eq!(output.code, 2, "{args}: {}{}", output.stdout, output.stderr);
        assert_eq!(listed(), before, "{args}");
        let says = format!("would replace {named}, which this command reads: name another file");
        assert!(args.contains("broken") || output.last_line().contains(&says), "{args}: {}", output.stderr);
        scratch.assert_not_started(&["service", "locust"]);
        scratch.assert_clean();
    }
}

#[test]
fn only_a_regular_file_is_replaced() {
    let scratch = Scratch::new("no-file");
    scratch.write("ok.csv", RESULTS);
    for (make, args, says) in [
        ("mkfifo it.md", "ok.csv --report it.md", "cannot write it.md: it is a pipe or a device"),
        ("ln -s /dev/null it.md", "ok.csv --report it.md", "cannot write it.md: it is a pipe or a device"),
        ("mkfifo pipe; ln -s pipe it.md", "ok.csv --report it.md", "cannot write it.md: it is a pipe or a device"),
        ("ln -s nowhere it.md", "ok.csv --report it.md", "cannot write it.md: it is a broken link"),
        ("ln -s nowhere it.md", "ok.csv --update-baseline --baseline it.md", "it is a broken link"),
    ] {
        scratch.sh(make);
        let is_pipe = fs::metadata(scratch.path("it.md")).map(|it| (it.file_type().is_fifo(), it.ino())).ok();
        scratch.refuses(args, says);
        let after = fs::metadata(scratch.path("it.md")).map(|it| (it.file_type().is_fifo(), it.ino())).ok();
        assert_eq!(after, is_pipe, "{make}");
        scratch.sh("rm it.md; rm -f pipe");
        assert!(!scratch.path("nowhere").exists(), "{make}");
    }
    // What lies in our own folder is no file of ours either.
    let lock = ".git/locust-gate.lock";
    for (name, says) in
        [(lock, "cannot write .git/locust-gate.lock"), ("target/perf/locust-version.log", "cannot write")]
    {
        scratch.sh(&format!("rm -rf target {lock}; mkdir -p target/perf; mkfifo {name}"));
        scratch.refuses("", says);
    }
    scratch.sh(&format!("rm -rf target {lock}; ln -s ../perf_baseline.json {lock}"));
    let output = scratch.perf("");
    assert_eq!(output.code, 0, "{}", output.stderr);
    scratch.assert_clean();
}

#[test]
fn what_a_load_leaves_beside_its_results_is_read_within_bounds() {
    for (name, fault) in [
        ("failures", "mkfifo"),
        ("exceptions", "mkfifo"),
        ("failures", "endless"),
        ("exceptions", "endless"),
        ("failures", "short"),
        ("log", "pipe-log"),
    ] {
        let scratch = Scratch::new(&format!("beside-{name}-{fault}"));
        let make = match fault {
            "mkfifo" => format!("rm -f \"${{csv}}_{name}.csv\"; mkfifo \"${{csv}}_{name}.csv\""),
            "endless" => format!("ln -s /dev/zero \"${{csv}}_{name}.csv\""),
            // As many rows as a file that is read may have.
            "short" => format!("yes 1,2,3,4 | head -c 63000000 > \"${{csv}}_{name}.csv\""),
            _ => "rm \"$folder/locust.log\"; mkfifo \"$folder/locust.log\"".to_owned(),
        };
        let fake = fs::read_to_string(crate::support::FAKE_LOCUST).unwrap();
        scratch.write("fake.sh", &fake.replace("case $FAKE_LOCUST in", &format!("{make}\ncase $FAKE_LOCUST in")));
        let scratch = scratch.toml(&format!("sh '{}'", crate::support::FAKE_LOCUST), "sh ./fake.sh");
        let output = scratch.script("ulimit -v 500000; exec \"$XTASK\" perf --max-runs 1");
        assert_eq!(output.code, 0, "{name}, {fault}: {}{}", output.stdout, output.stderr);
        scratch.assert_clean();
    }
}

#[test]
fn a_baseline_by_which_nothing_can_fail_is_refused() {
    let scratch = Scratch::new("baseline-odd");
    scratch.write("ok.csv", RESULTS);
    for (from, to, says) in [
        ("\"p95\":300.0", "\"p95\":300.0,\"p95\":9000.0", "`p95` appears twice"),
        (
            "\"notes\"",
            "\"endpoints\":{\"GET /\":{\"p95\":[1.0]},\"GET /\":{\"p95\":[9.0]}},\"notes\"",
            "`GET /` appears twice",
        ),
        ("\"notes\"", "\"commit\":\"def\",\"notes\"", "`commit`"),
        ("\"error_rate\":0.5", "\"error_rate\":5000", "`error_rate` is 5000, and no more than 100% can fail"),
        ("\"p95\":300.0", "\"p95\":9e15", "`p95` is 9000000000000000, and no request takes more than a day"),
        ("\"p95\":300.0", "\"p95\":5e-324", "less than any clock can measure"),
        ("\"requests_per_sec\":15.0", "\"requests_per_sec\":5e-324", "less than any clock can measure"),
        ("\"requests_per_sec\":15.0", "\"requests_per_sec\":9e12", "more than any service answers"),
        (
            "{\"version\"",
            "<<<<<<< HEAD\n{\"version\"",
            "it holds git conflict markers, the first in line 1: resolve the conflict",
        ),
        (",\"notes\"", "\n=======\n,\"notes\"", "it holds git conflict markers, the first in line 2"),
    ] {
        assert!(BASELINE.contains(from), "{from}");
        scratch.write("perf_baseline.json", &BASELINE.replace(from, to));
        let output = scratch.perf("ok.csv");
        assert_eq!(output.code, 2, "{to}: {}{}", output.stdout, output.stderr);
        assert!(output.last_line().contains(says) && output.stderr.lines().count() == 1, "{to}: {}", output.stderr);
    }
}

#[test]
fn what_nobody_reads_is_not_judged() {
    let scratch = Scratch::new("many");
    let header = RESULTS.lines().next().unwrap();
    let rows: String =
        (0..300_000).fold(String::new(), |rows, number| rows + &format!("GET,/{number},1,0,1,1,1,1,1\n"));
    scratch.write("many.csv", &format!("{header}\n{rows},Aggregated,300000,0,1,1,1,1,1\n"));
    let entry = r#"{"name":"N","method":"GET","num_requests":1,"num_failures":0,"total_response_time":5.0,"start_time":1.0,"last_request_timestamp":3.0,"response_times":{"5":1}}"#;
    let entries: Vec<String> = (0..200_001).map(|number| entry.replace('N', &format!("/{number}"))).collect();
    scratch.write("many.json", &format!("[{}]", entries.join(",")));
    for file in ["many.csv", "many.json"] {
        let output = scratch.perf(&format!("{file} --report perf.html"));
        assert_eq!(output.code, 2, "{file}: {}", output.stderr);
        assert!(
            output.last_line().contains(&format!("{file}: it has more than 200000 endpoints")),
            "{}",
            output.stderr
        );
        assert_eq!(output.stderr.lines().count(), 1);
    }

    scratch.write("run/perf_results_stats.csv", RESULTS);
    let warnings: Vec<String> = (0..200_000).map(|number| format!("\"warning {number}\"")).collect();
    let run = format!(
        r#"{{"timestamp":"","commit":"abc","exact":false,"warnings":[{}],"max_runs":MAX}}"#,
        warnings.join(",")
    );
    scratch.write("run/run.json", &run.replace("MAX", "5"));
    let output = scratch.perf("run");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stdout.contains("note: and 199980 more in run/run.json"), "{}", output.stdout);
    assert!(output.stdout.lines().count() < 60, "{}", output.stdout);
    scratch.write("run/run.json", &run.replace("MAX", "0"));
    scratch.refuses("run", "run/run.json: `max_runs` is 0");
}

#[test]
fn file_that_cannot_be_read_is_not_taken_for_absent() {
    for file in ["perf.toml", "perf_baseline.json", "locust.conf", "pyproject.toml"] {
        for target in ["nowhere", file] {
            let scratch = Scratch::new(&format!("unreadable-{file}"));
            scratch.sh(&format!("rm -f {file} && ln -s {target} {file}"));
            let args = if file == "perf.toml" { "ok.csv" } else { "" };
            scratch.write("ok.csv", RESULTS);
            let output = scratch.perf(args);
            assert_eq!(output.code, 2, "{file}: {}{}", output.stdout, output.stderr);
            let line = output.last_line();
            assert!(line.contains(&format!("cannot read {file}: it is a broken link: remove it")), "{line}");
            scratch.assert_not_started(&["service", "locust"]);
        }
    }
}

#[test]
fn file_in_a_folder_that_cannot_be_listed_is_written() {
    let scratch = Scratch::new("unlisted");
    scratch.write("ok.csv", RESULTS);
    // Such permissions do not bind root.
    let user = if scratch.sh("id -u") == "0" { "setpriv --reuid 12345 --clear-groups" } else { "" };
    scratch.sh("mkdir closed && chmod 0333 closed");
    let output = scratch.script(&format!(
        "command -v setpriv > /dev/null || test \"$(id -u)\" != 0 || exit 77; {user} \"$XTASK\" perf ok.csv --report closed/perf.md"
    ));
    scratch.sh("chmod 0755 closed");
    if output.code != 77 && !output.stderr.contains("cannot execute") {
        assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
        assert!(scratch.read("closed/perf.md").contains("PASS"));
    }
}

#[test]
fn file_too_large_for_its_limit_is_an_error_and_leaves_no_half() {
    let scratch = Scratch::new("file-limit");
    scratch.write("ok.csv", RESULTS);
    // Blocks of 512 bytes, or of 1024.
    let output = scratch.script("ulimit -f 2; \"$XTASK\" perf ok.csv --report perf.html");
    assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
    assert!(
        output.last_line().contains("cannot write perf.html, it is left as it was: File too large"),
        "{}",
        output.stderr
    );
    scratch.assert_clean();
    assert!(!scratch.path("perf.html").exists());
}

#[test]
fn temporary_file_of_a_killed_command_is_removed_by_the_next() {
    let scratch = Scratch::new("stale-temporary");
    scratch.write("ok.csv", RESULTS);
    let own = std::process::id();
    let (stale, fresh) = (".perf.md.999999999.tmp".to_owned(), ".perf.md.999999998.tmp".to_owned());
    let (running, other) = (format!(".perf.md.{own}.tmp"), ".perf.md.mine.tmp".to_owned());
    for name in [&stale, &fresh, &running, &other] {
        scratch.write(name, "half");
    }
    scratch.sh(&format!("touch -d '1 hour ago' {stale} {running} {other}"));
    assert_eq!(scratch.perf("ok.csv --report perf.md").code, 0);
    let left = [&stale, &fresh, &running, &other].map(|name| scratch.path(name).exists());
    assert_eq!(left, [false, true, true, true], "only what nobody writes any more");
}
