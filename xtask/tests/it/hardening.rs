//! Files that are huge, endless or no files, names without an end, a clock that jumps, a repository that is read-only or
//! elsewhere: an answer or one line, in bounded memory. And what must not get out.

mod files;
mod places;
mod processes;
mod verdicts;

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use judge::baseline::file::Baseline;
use locust_gate::sys::files::Follower;
use locust_gate::sys::session::Session;

use crate::support::{BASELINE, Output, RESULTS, Scratch};

/// Far less than the files below, in kB: who reads one of them whole does not come back.
const MEMORY_KB: u32 = 100_000;

fn perf_in_bounded_memory(scratch: &Scratch, args: &str) -> Output {
    scratch.script(&format!("ulimit -v {MEMORY_KB}; exec \"$XTASK\" perf {args}"))
}

fn make_large(path: PathBuf) {
    File::create(path).unwrap().set_len(1_000_000_000).unwrap();
}

#[test]
fn a_file_that_is_huge_endless_or_a_pipe_is_refused_in_one_line() {
    for (file, args) in [
        ("results.csv", "results.csv"),
        ("results.json", "results.json"),
        ("perf_baseline.json", "good.csv"),
        ("perf.toml", "good.csv"),
        ("locust.conf", ""),
        ("pyproject.toml", ""),
    ] {
        let scratch = Scratch::new(&format!("file-{file}"));
        scratch.write("good.csv", RESULTS);
        let path = scratch.path(file);
        let make: [(&str, &dyn Fn()); 3] = [
            ("has 1000 MB", &|| make_large(path.clone())),
            ("a pipe or a device", &|| drop(scratch.sh(&format!("mkfifo {file}")))),
            ("a pipe or a device", &|| drop(scratch.sh(&format!("ln -s /dev/zero {file}")))),
        ];
        for (reason, make) in make {
            let _ = fs::remove_file(&path);
            make();
            let output = perf_in_bounded_memory(&scratch, args);
            assert_eq!(output.code, 2, "{file}, {reason}: {}{}", output.stdout, output.stderr);
            assert_eq!(output.stderr.lines().count(), 1, "{file}, {reason}: {}", output.stderr);
            let line = output.last_line();
            assert!(line.contains(&format!("cannot read {file}: it ")) && line.contains(reason), "{line}");
        }
        scratch.assert_not_started(&["service", "locust"]);
    }
}

#[test]
fn files_that_are_only_shown_may_be_huge() {
    let scratch = Scratch::new("huge-history");
    scratch.write("results_stats.csv", RESULTS);
    make_large(scratch.path("results_stats_history.csv"));
    let output = perf_in_bounded_memory(&scratch, "results_stats.csv --report perf.html");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(scratch.read("perf.html").contains("it has 1000 MB"), "the page says why there is no picture");
}

#[test]
fn a_huge_log_of_locusts_is_read_in_parts() {
    let scratch = Scratch::new("huge-log").with("FAKE_LOCUST", "says-much");
    let scratch = scratch.toml("command = \"exec ", "command = \"seq 4000000; exec ");
    for args in ["--report perf.md", "--verbose"] {
        let output = perf_in_bounded_memory(&scratch, &format!("--max-runs 1 {args}"));
        assert_eq!(output.code, 0, "{args}: {}", output.stderr.chars().take(2000).collect::<String>());
        // It stands between what is huge.
        assert!(output.stdout.contains("the load generator was CPU-bound"), "{args}: {}", output.stdout);
        for (log, last) in [("locust.log", "--run-time limit reached, shutting down"), ("service.log", "4000000")] {
            let text = scratch.read(&format!("target/perf/latest/run-1/{log}"));
            assert!((20_000_000..20_001_000).contains(&text.len()), "{log}: {} bytes", text.len());
            assert!(text.contains(" bytes of this log are left out here]\n"), "{log}");
            assert_eq!(text.lines().last(), Some(last));
        }
    }
    let scratch = scratch.with("GITHUB_ACTIONS", "true").with("FAKE_LOCUST_EXIT", "7");
    let output = perf_in_bounded_memory(&scratch, "");
    assert_eq!(output.code, 2, "{}", output.stdout);
    assert!(output.stderr.len() < 100_000, "{} bytes of log", output.stderr.len());
    // Folded for GitHub, and as the end of what failed.
    let ends = output.stderr.lines().filter(|line| line.contains("--run-time limit reached, shutting down"));
    assert_eq!(ends.count(), 3, "{}", output.stderr);
    assert!(
        output.last_line().contains("Locust failed: exit code 7: --run-time limit reached"),
        "{}",
        output.last_line()
    );
}

#[test]
fn a_baseline_of_many_megabytes_is_judged() {
    let scratch = Scratch::new("large-baseline");
    let mut baseline: serde_json::Value = serde_json::from_str(BASELINE).unwrap();
    let name = "/a/path/of/some/length/".repeat(5);
    let series = serde_json::json!({"p50": [100.0], "p95": [300.0], "p99": [400.0], "avg_response_time": [100.0],
        "requests_per_sec": [15.0], "error_rate": [0.0], "total_requests": [450.0]});
    let endpoints = (0..50_000).map(|number| (format!("GET {name}{number}"), series.clone()));
    baseline["endpoints"] = endpoints.collect::<serde_json::Map<_, _>>().into();
    let text = baseline.to_string();
    assert!((12_000_000..16_000_000).contains(&text.len()), "{}", text.len());
    scratch.write("perf_baseline.json", &text);
    drop((baseline, text));
    scratch.write("results.csv", RESULTS);
    let output = scratch.script("ulimit -v 500000; exec \"$XTASK\" perf results.csv");
    // Every endpoint of it is missing, which one run does not prove.
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stdout.len() < 100_000, "{} bytes of report", output.stdout.len());
}

#[test]
fn an_endpoint_whose_name_has_a_megabyte_leaves_every_report_usable() {
    let scratch = Scratch::new("long-name").with("GITHUB_ACTIONS", "true");
    let name = format!("/{}/end", "long|<\u{e9}>".repeat(150_000));
    let results = |name: &str, p95: u32| {
        let row = format!("450,0,100,15,100,{p95},{}", p95.max(400));
        let header = RESULTS.lines().next().unwrap();
        format!("{header}\nGET,{name},{row}\n,Aggregated,{row}\n")
    };
    scratch.write("before.csv", &results(&name, 300));
    scratch.write("after.csv", &results(&name, 900));
    scratch.write("other.csv", &results("/other", 300));
    let saved = scratch.script("\"$XTASK\" perf before.csv --update-baseline");
    assert_eq!(saved.code, 0, "{}", saved.stderr);
    assert!(
        Baseline::parse(&scratch.read("perf_baseline.json")).unwrap().endpoints.contains_key(&format!("GET {name}"))
    );
    // One run without the endpoint is a warning.
    for (results, code) in [("after.csv", 1), ("other.csv", 0)] {
        let reports = "--report perf.md --report perf.html --report perf.xml --report perf.json";
        let output = scratch.script(&format!("\"$XTASK\" perf {results} --verbose {reports}"));
        assert_eq!(output.code, code, "{}", output.stderr);
        for line in output.stdout.lines().chain(output.stderr.lines()) {
            assert!(line.chars().count() < 1000, "{results}: a line of {} bytes", line.len());
        }
        for (report, most) in [("perf.md", 20_000), ("perf.html", 100_000), ("perf.xml", 50_000)] {
            let text = scratch.read(report);
            assert!(text.len() < most, "{results}: {report} has {} bytes", text.len());
            assert!(text.contains('…') && text.contains("/end"), "{results}: {report} does not show both ends");
        }
        let json: serde_json::Value = serde_json::from_str(&scratch.read("perf.json")).unwrap();
        assert!(json.to_string().contains(&name), "{results}: programs get the whole name");
    }
    // In an error it is cut too.
    scratch.write("twice.csv", &results(&format!("{name},{}\nGET,{name}", "1,0,1,1,1,1,1"), 300));
    let refused = scratch.perf("twice.csv");
    assert_eq!(refused.code, 2, "{}", refused.stdout);
    assert!(
        refused.last_line().contains("appears twice") && refused.stderr.chars().count() < 1100,
        "{}",
        refused.stderr
    );
}

#[test]
fn a_log_that_grows_is_read_line_by_line() {
    let scratch = Scratch::new("follower");
    let mut log = Follower::new(scratch.path("log"));
    let mut written = String::new();
    for (more, expected) in [("", ""), ("a\nb", "a\n"), ("", "b"), ("c\nd\n", "c\nd\n"), ("", ""), ("é", "é")] {
        written.push_str(more);
        scratch.write("log", &written);
        assert_eq!(String::from_utf8(log.next_lines()).unwrap(), expected);
    }
    assert_eq!(Follower::new(scratch.path("nowhere")).next_lines(), b"");
}

// Places

#[test]
fn a_target_folder_may_be_a_link_to_elsewhere() {
    // `/dev/shm`, where it is, is another file system.
    let elsewhere = PathBuf::from("/dev/shm");
    let elsewhere = if elsewhere.is_dir() { elsewhere } else { std::env::temp_dir() };
    for (name, link) in [("link-target", "target"), ("link-perf", "target/perf")] {
        let scratch = Scratch::new(name);
        let there = elsewhere.join(format!("xtask-{name}-{}", std::process::id()));
        fs::create_dir_all(&there).unwrap();
        scratch.sh(&format!("mkdir -p \"$(dirname {link})\"; ln -s '{}' {link}", there.display()));
        let outputs = ["", "--against HEAD --max-runs 2", "target/perf/latest"].map(|args| (args, scratch.perf(args)));
        let is_link = scratch.path(link).is_symlink();
        let _ = fs::remove_dir_all(&there);
        for (args, output) in outputs {
            assert_eq!(output.code, 0, "{link}, {args}: {}{}", output.stdout, output.stderr);
        }
        assert!(is_link, "{link} is a link no more");
        scratch.assert_clean();
    }
}

#[test]
fn results_are_judged_in_a_repository_that_is_read_only() {
    let scratch = Scratch::new("read-only");
    scratch.write("results.csv", RESULTS);
    let listed = || scratch.sh("find . -path ./.git -prune -o -print | sort");
    let before = listed();
    // Permissions do not bind root, but a mount does, where one is allowed. Anyone else: the other way round.
    assert_eq!(scratch.perf("results.csv").code, 0);
    assert_eq!(listed(), before, "judging writes nothing, where it could");
    let output = scratch.script(
        "if [ \"$(id -u)\" = 0 ]; then
            unshare -m true 2> /dev/null || exit 77
            exec unshare -m sh -c 'mount --bind . . && mount -o remount,ro,bind . && cd \"$PWD\" \
                && ! touch new 2> /dev/null && exec \"$XTASK\" perf results.csv' || exit 77
        fi
        chmod -R a-w .; \"$XTASK\" perf results.csv; code=$?; chmod -R u+w .; exit $code",
    );
    assert!([0, 77].contains(&output.code), "{}{}", output.stdout, output.stderr);
    assert_eq!(listed(), before);
}

// Time

#[test]
fn a_clock_that_was_set_back_costs_nobody_the_newest_results() {
    let scratch = Scratch::new("clock");
    let perf = scratch.path("target/perf");
    for hour in 10..22 {
        scratch.write(&format!("target/perf/runs/2999-01-01T{hour}-00-00Z-1/run-1/locust.log"), "");
    }
    let mine: Vec<PathBuf> = (0..3)
        .map(|number| {
            let folder = Session::create(&perf, "perf").unwrap().folder;
            // Sessions of one process would have one name.
            let own = folder.with_file_name(format!("2020-01-01T00-00-0{number}Z-{number}"));
            fs::rename(&folder, &own).unwrap();
            own
        })
        .collect();
    let last = Session::create(&perf, "perf").unwrap();
    for folder in mine.iter().chain([&last.folder]) {
        assert!(folder.is_dir(), "{} is gone", folder.display());
    }
    assert_eq!(fs::read_dir(perf.join("runs")).unwrap().count(), 10);
    assert_eq!(fs::canonicalize(perf.join("latest")).unwrap(), fs::canonicalize(&last.folder).unwrap());
}

#[test]
fn times_out_of_this_world_are_shown_or_refused() {
    let scratch = Scratch::new("times").with("CLICOLOR_FORCE", "1");
    scratch.write("results.csv", RESULTS);
    for time in ["9999-12-31T23:59:59Z", "", "0000-00-00", "\\u001b[31mnow\\u0007", "tomorrow"] {
        scratch.write("perf_baseline.json", &BASELINE.replace("2026-01-27T00:00:00Z", time));
        let output = scratch.perf("results.csv --report perf.html --report perf.xml --report perf.md");
        assert_eq!(output.code, 0, "{time}: {}", output.stderr);
        // The escapes are ours alone.
        assert!(!output.stdout.contains("\u{1b}[31mnow") && !output.stdout.contains('\u{7}'), "{}", output.stdout);
    }
    // The clock was set back an hour during the run.
    let json = r#"[{"name":"/","method":"GET","num_requests":1,"num_failures":0,"total_response_time":5.0,"start_time":7200.0,"last_request_timestamp":3600.0,"response_times":{"5":1}}]"#;
    scratch.write("perf_baseline.json", BASELINE);
    scratch.write("results.json", json);
    let refused = scratch.perf("results.json");
    assert!(refused.code == 2 && refused.stderr.contains("the clock was changed during the run"), "{}", refused.stderr);
}

// Numbers
#[test]
fn no_number_of_a_flag_a_file_or_a_variable_ends_in_a_panic() {
    let huge = ["18446744073709551615", "99999999999", "1e308", "500000000000y", "584542046090y"];
    for number in huge {
        for flag in
            ["--run-time", "--users", "--spawn-rate", "--processes", "--expect-workers", "--max-runs", "--min-runs"]
        {
            let scratch = Scratch::new("huge-flag").with("FAKE_LOCUST", "exit1");
            let output = scratch.perf(&format!("{flag} {number} --host http://127.0.0.1:1"));
            assert_eq!(output.code, 2, "{flag} {number}: {}", output.stderr);
        }
        for key in ["deadline_margin", "stop_timeout", "workers_timeout", "warmup", "run_time"] {
            let scratch = Scratch::new("huge-key").with("FAKE_LOCUST", "exit1");
            let config = scratch.read("perf.toml");
            let kept: Vec<&str> = config.lines().filter(|line| !line.starts_with(key)).collect();
            let config = kept.join("\n");
            scratch.write("perf.toml", &config.replace("[load]", &format!("[load]\n{key} = \"{number}\"")));
            scratch.refuses("", "");
        }
        for key in ["ready_timeout", "build_timeout"] {
            let scratch = Scratch::new("huge-service").with("FAKE_LOCUST", "exit1");
            let scratch = scratch
                .toml("ready_timeout = \"2m\"\n", "")
                .toml("[service]", &format!("[service]\n{key} = \"{number}\""));
            scratch.refuses("", "");
        }
        for name in
            ["LOCUST_RUN_TIME", "LOCUST_STOP_TIMEOUT", "LOCUST_USERS", "LOCUST_SPAWN_RATE", "LOCUST_MASTER_BIND_PORT"]
        {
            let scratch = Scratch::new("huge-variable").with(name, number).with("FAKE_LOCUST", "exit1");
            let scratch =
                scratch.toml("run_time = \"1s\"\n", "").toml("stop_timeout = \"500ms\"\ndeadline", "deadline");
            scratch.refuses("--host http://127.0.0.1:1", "");
        }
    }
    let scratch = Scratch::new("huge-said");
    scratch.refuses("--run-time 18446744073709551615", "must be a year or less");
    scratch.toml("\"2m\"\n[locust]", "\"500000000000y\"\n[locust]").refuses("", "must be a year or less");
}

// Locust's own configuration

#[test]
fn tags_are_part_of_the_load_wherever_they_are_set() {
    let scratch = Scratch::new("tags");
    assert_eq!(scratch.perf("--update-baseline --max-runs 1").code, 0);
    for (variable, file, given, expected) in [
        ("read", "", "", "--tags read"),
        ("[read, \"a b\"]", "", "", "--tags read a b"),
        ("", "tags = [read, write]\n", "", "--tags read write"),
        ("", "exclude-tags\tslow\n", "", "--exclude-tags slow"),
        ("read", "tags = other\n", "-- --tags write", "--tags write"),
        // What stands behind the inner `--` are classes of users.
        ("read", "", "-- -- ApiUser", "--tags read -- ApiUser"),
    ] {
        let mut command = scratch.command(given);
        if !variable.is_empty() {
            command.env("LOCUST_TAGS", variable);
        }
        scratch.write("locust.conf", file);
        let output = scratch.finish(command.spawn().unwrap());
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert!(
            scratch.read("pids/arguments").ends_with(&format!(" {expected}\n")),
            "{}",
            scratch.read("pids/arguments")
        );
        let says = format!("what Locust gets after `--` differs: baseline ``, candidate `{expected}`");
        assert!(output.stdout.contains(&says), "{}", output.stdout);
    }
}

#[test]
fn a_tab_is_a_space_in_a_configuration_of_locusts() {
    let scratch = Scratch::new("tabs");
    for line in ["headful\ttrue", "headful \t = true", "headful\t:\ttrue", "\theadful"] {
        scratch.write("locust.conf", &format!("{line}\n"));
        scratch.refuses("", "locust.conf sets Locust's `headful`");
    }
}

// Secrets

/// Stands wherever a secret can be.
const SECRET: &str = "s3kr1t-7hx";

/// Not in what is printed, and in no file of the repository but those that the test itself wrote.
#[track_caller]
fn assert_no_secret(scratch: &Scratch, output: &Output) {
    for text in [&output.stdout, &output.stderr] {
        assert!(!text.contains(SECRET), "{text}");
    }
    // `pids` is where the fakes write what they were given.
    let found = scratch.sh(&format!("grep -rlF {SECRET} . --exclude-dir=pids --exclude=perf.toml || true"));
    assert_eq!(found, "", "{}{}", output.stdout, output.stderr);
}

#[test]
fn no_secret_reaches_a_file_or_a_line_of_ours() {
    let reports = "--report perf.md --report perf.html --report perf.xml --report perf.json --verbose";
    let args = format!(
        "-- --header X-Api:{SECRET} --auth-token={SECRET} --tags a --pwd {SECRET} -J{SECRET} --headers A {SECRET} --proxy http://me:{SECRET}@127.0.0.1:1"
    );
    for (name, service, fake, args, code) in [
        ("passes", "ok", "", format!("--update-baseline --max-runs 2 {reports} {args}"), 0),
        ("judges", "ok", "", format!("{reports} {args}"), 0),
        ("not-ready", "never-ready", "", reports.to_owned(), 2),
        ("dies", "dies-before-ready", "", reports.to_owned(), 2),
        ("locust-fails", "ok", "exit1", reports.to_owned(), 2),
        ("locust-torn", "ok", "torn", reports.to_owned(), 2),
        ("owned", "ok", "", format!("{reports} -- -Hhttp://me:{SECRET}@127.0.0.1:1"), 2),
        ("host-dead", "ok", "", format!("{reports} --host http://me:{SECRET}@127.0.0.1:1"), 2),
        ("host-odd", "ok", "", format!("{reports} --host http://me:p@ss/{SECRET}@127.0.0.1:1"), 2),
        ("host-bare", "ok", "", format!("{reports} --host me:{SECRET}@127.0.0.1:1"), 2),
    ] {
        let ready = if service == "never-ready" { "1s" } else { "2m" };
        let mut scratch = Scratch::new(&format!("secret-{name}"))
            .service(service)
            .toml(
                "ready_timeout = \"2m\"\n",
                &format!("ready_timeout = \"{ready}\"\nenv = {{ DB_PASSWORD = \"{SECRET}\" }}\n"),
            )
            .toml("http://127", &format!("http://me:{SECRET}@127"))
            .with("FAKE_LOCUST", fake);
        for variable in ["API_TOKEN", "DATABASE_URL", "LOCUST_API_KEY", "GITHUB_TOKEN", "HTTP_PROXY", "SOMETHING"] {
            scratch = scratch.with(variable, &format!("http://me:{SECRET}@127.0.0.1:1"));
        }
        let scratch = scratch.toml("/health\"", &format!("/health?api_key={SECRET}\""));
        let output = scratch.perf(&args);
        assert_eq!(output.code, code, "{name}: {}{}", output.stdout, output.stderr);
        assert_no_secret(&scratch, &output);
        if name == "passes" {
            // What tells one load from another stays, and the next run is not said to differ.
            let kept = r##"["--header", "***", "--auth-token=***", "--tags", "a", "--pwd", "***", "-J***", "--headers", "***", "***", "--proxy", "***", "#"##;
            assert!(scratch.read("perf_baseline.json").contains(kept), "{}", scratch.read("perf_baseline.json"));
            assert!(scratch.read("pids/arguments").contains(SECRET), "Locust needs it");
            assert!(scratch.read("pids/arguments").contains(&format!("-H http://me:{SECRET}@127")), "Locust needs it");
            let again = scratch.perf(args.trim_start_matches("--update-baseline --max-runs 2 "));
            assert_eq!(again.code, 0, "{}", again.stderr);
            assert!(!again.stdout.contains("differs"), "{}", again.stdout);
            assert_no_secret(&scratch, &again);
        }
    }
}

#[test]
fn a_failure_is_quoted_without_its_secrets() {
    for text in [
        format!("404 for url: http://127.0.0.1:1/a?api_key={SECRET}&page=2"),
        format!("refused: access_token={SECRET}"),
        format!("sent Authorization: Bearer {SECRET}"),
    ] {
        let scratch = Scratch::new("secret-failure").with("FAKE_FAILURE", &text).with("FAKE_LOCUST", "fails-saying");
        let left = r#"[{"user": "U", "reason": "TEXT", "times": 1}]"#.replace("TEXT", &text);
        let scratch = scratch.with("FAKE_LEFT", &left);
        let output = scratch.perf("--report perf.md --report perf.html --report perf.xml --report perf.json");
        assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
        assert!(output.stdout.contains("most frequent failure (7x): GET /a: "), "{}", output.stdout);
        for name in ["perf.md", "perf.html", "perf.xml", "perf.json", "target/perf/latest/run-1/run.json"] {
            assert!(!scratch.read(name).contains(SECRET), "{name}: {}", scratch.read(name));
        }
        assert!(!output.stdout.contains(SECRET), "{}", output.stdout);
    }
}

/// Text that a terminal or a runner would obey, with a secret. `printf` makes its escapes.
const OBEYED: &str = "http://me:s3kr1t-7hx@a \\033[2J\\033]52;c;YQ==\\007 ##[error]a\\n::add-mask::a\\n";

/// Nothing of [`OBEYED`] is obeyed, in what is printed and in the reports.
#[track_caller]
fn assert_nothing_is_obeyed(name: &str, output: &Output) {
    for text in [&output.stdout, &output.stderr] {
        assert!(!text.contains(SECRET), "{name}: {text}");
        assert!(!text.contains("##[") && !text.contains('\u{1b}') && !text.contains('\u{7}'), "{name}: {text}");
        assert!(!text.lines().any(|line| line.trim_start().starts_with("::add-mask")), "{name}: {text}");
    }
}

type Change<'a> = Box<dyn Fn(Scratch) -> Scratch + 'a>;

#[test]
fn text_of_others_is_masked_visible_and_no_command_wherever_it_is_printed() {
    let said = |scratch: Scratch| {
        let fake = fs::read_to_string(crate::support::FAKE_LOCUST).unwrap();
        scratch.write("fake.sh", &format!("[ \"$1\" = --version ] || printf '{OBEYED}'\n{fake}"));
        let own = scratch.path("fake.sh").display().to_string();
        scratch.toml(crate::support::FAKE_LOCUST, &own)
    };
    let service = |script: &str| {
        let script = script.replace('\\', "\\\\");
        move |scratch: Scratch| scratch.toml("command = \"exec ", &format!("command = \"{script}; exec "))
    };
    let cases: [(&str, Change, &str, i32); 6] = [
        ("service", Box::new(service(&format!("printf '{OBEYED}'; exit 3"))), "", 2),
        (
            "build",
            Box::new(|scratch: Scratch| {
                scratch.toml("[service]", "[service]\nbuild = \"echo http://me:s3kr1t-7hx@a '##[error]a' && exit 1\"")
            }),
            "",
            2,
        ),
        ("locust", Box::new(said), "--verbose", 0),
        ("locust-fails", Box::new(move |scratch| said(scratch).with("FAKE_LOCUST", "exit1")), "", 2),
        ("folded", Box::new(move |scratch| said(scratch).with("GITHUB_ACTIONS", "true")), "", 0),
        (
            "pip",
            Box::new(|scratch: Scratch| {
                let command = format!("command = \"sh '{}'\"", crate::support::FAKE_LOCUST);
                let fails = format!("#!/bin/sh\nprintf '{OBEYED}ERROR: no {SECRET}=a'; exit 1\n")
                    .replace("s3kr1t-7hx=a", "http://me:s3kr1t-7hx@a");
                scratch
                    .toml(&command, "")
                    .tool("uv", "#!/bin/sh\nexit 1\n")
                    .tool("python3", &fails)
                    .tool("python", &fails)
            }),
            "",
            2,
        ),
    ];
    for (name, change, args, code) in cases {
        let scratch = change(Scratch::new(&format!("obeyed-{name}")));
        let output = scratch.perf(args);
        assert_eq!(output.code, code, "{name}: {}{}", output.stdout, output.stderr);
        assert_nothing_is_obeyed(name, &output);
        if name == "folded" {
            let fold: Vec<&str> = output.stderr.lines().filter(|line| line.starts_with("::")).collect();
            let [group, stop, resume, end] = fold[..4] else { panic!("{fold:?}") };
            assert!(group.starts_with("::group::Locust's log") && end == "::endgroup::", "{fold:?}");
            let token = stop.strip_prefix("::stop-commands::").unwrap();
            assert_eq!(resume, format!("::{token}::"));
            assert!(token.len() >= 16 && !scratch.read("target/perf/latest/run-1/locust.log").contains(token));
        }
    }
}

#[test]
fn note_is_kept_without_its_secrets() {
    let scratch = Scratch::new("secret-note");
    let output =
        scratch.perf(&format!("--update-baseline --max-runs 1 --note see_https://me:{SECRET}@host/a?token={SECRET}"));
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(scratch.read("perf_baseline.json").contains("see_https://***@host/a?token=***"));
    assert_no_secret(&scratch, &output);
}

#[test]
fn a_configuration_is_quoted_without_its_secrets() {
    let scratch = Scratch::new("secret-config");
    let config = scratch.read("perf.toml");
    for line in [
        format!("env = {{ DB_PASSWORD = \"{SECRET}\", }} }}"),
        format!("host = \"http://me:{SECRET}@127.0.0.1\" }}"),
        format!("host = \"http://someone-with-a-long-name:{SECRET}-and-a-longer-password@127.0.0.1\" }}"),
    ] {
        scratch.write("perf.toml", &config.replace("[load]", &format!("[load]\n{line}")));
        let output = scratch.refuses("", "perf.toml:");
        assert!(!output.stderr.contains("s3kr1t"), "{}", output.stderr);
    }
}

// The network

/// A port that answers everything with a redirect to another, and says whether anybody came.
struct Port {
    listener: TcpListener,
    host: String,
}

impl Port {
    fn new() -> Port {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let host = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
        Port { listener, host }
    }

    fn was_contacted(&self) -> bool {
        self.listener.accept().is_ok()
    }
}

#[test]
fn only_the_ready_url_and_the_host_are_contacted() {
    let (proxy, elsewhere) = (Port::new(), Port::new());
    let with_proxies = |mut scratch: Scratch| {
        for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            scratch = scratch.with(name, &format!("http://{}", proxy.host));
        }
        scratch.with("NO_PROXY", "").with("no_proxy", "")
    };
    let scratch = with_proxies(Scratch::new("network-ready"));
    assert_eq!(scratch.perf("").code, 0);

    // A redirect is an answer of the service that runs, and no readiness.
    let redirects = format!("redirects-to:{}", elsewhere.host);
    let scratch = with_proxies(Scratch::new("network-redirect"))
        .service(&redirects)
        .toml("ready_timeout = \"2m\"", "ready_timeout = \"5s\"");
    scratch.refuses("", "it answers 302");
    let scratch = with_proxies(Scratch::new("network-host"));
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let mut service = scratch.prepared(Command::new(env!("CARGO_BIN_EXE_fake-service")));
    service.args(["--port", &port.to_string(), "--mode", &redirects]);
    let mut service = service.spawn().unwrap();
    scratch.wait_until("the service", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let output = scratch.perf(&format!("--host http://me:word@127.0.0.1:{port}"));
    service.kill().unwrap();
    service.wait().unwrap();
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(output.stderr.contains(&format!("load-testing http://***@127.0.0.1:{port} ")), "{}", output.stderr);
    assert!(!proxy.was_contacted() && !elsewhere.was_contacted(), "somebody else was contacted");
}
