//! The configuration, the command line, and their precedence.

use std::fs;

use expect_test::expect;
use locust_gate::config::flags;
use locust_gate::config::locust_conf::LocustConf;
use locust_gate::config::perf_toml::Config;
use locust_gate::config::settings::{RunRange, settle};

use crate::support::Scratch;
use locust_gate::maintenance_flags::{self, MaintenanceCommand};

/// Returns the error of what must be refused.
fn error(result: anyhow::Result<impl Sized>) -> String {
    match result {
        Ok(_) => panic!("this must be refused"),
        Err(error) => format!("{error:#}"),
    }
}

#[test]
fn a_configuration_error_points_at_its_line() {
    for (text, expected) in [
        (
            "[load]\nusers = 3\nuser = 4\n",
            expect![
                ":3: `user = 4`: unknown key `user` (did you mean `users`?), expected one of `users`, `spawn_rate`, `run_time`, `host`, `locustfile`, `args`, `processes`, `expect_workers`, `workers_timeout`, `warmup`, `stop_timeout`, `min_requests`, `deadline_margin`"
            ],
        ),
        ("[service]\ncommand = \"x\"\n", expect![":1: `[service]`: missing key `ready_url`"]),
        (
            "[load]\nusers = \"three\"\n",
            expect![[r#":2: `users = "three"`: invalid type: string "three", expected a whole number of 0 or more"#]],
        ),
        (
            "[load]\nstop_timeout = \"soon\"\n",
            expect![[r#":2: `stop_timeout = "soon"`: `soon` is not a duration such as "500ms", "30s" or "2m""#]],
        ),
        (
            "\n[limits]\np95 = \"20\"\n",
            expect![[
                r#":3: [limits] `p95`: `20` does not end in `%`: write for example "20%", "20% and 5 ms" or "max 500 ms""#
            ]],
        ),
        (
            "[limits]\np94 = \"20%\"\n",
            expect![[
                r#":2: [limits] `p94` is not a metric: use p50, p95, p95_corrected, p99, avg_response_time, error_rate, requests_per_sec or cpu_per_request, or a table [limits."GET /path"]"#
            ]],
        ),
        (
            "[locust]\nversion = \"2.40.0\"\ncommand = \"locust\"\n",
            expect![
                ":1: [locust] `command` is for a Locust of your own, `version` and `requirements` for the managed one: remove one or the other"
            ],
        ),
        (
            "[limits.\"GET /a\"]\np95 = \"20\"\n",
            expect![[
                r#":2: [limits."GET /a"] `p95`: `20` does not end in `%`: write for example "20%", "20% and 5 ms" or "max 500 ms""#
            ]],
        ),
        (
            "[limits.\"GET /a\"]\np95 = 20\n",
            expect![[
                r#":2: `p95 = 20`: invalid type: integer `20`, expected a string: write it in quotes, and a duration or a limit with its unit, as "30s" or "20%""#
            ]],
        ),
        (
            "[limits]\np95 = 20\n",
            expect![[
                r#":2: `p95 = 20`: invalid type: integer `20`, expected a limit such as "20%", or the table of an endpoint's limits"#
            ]],
        ),
        (
            "[limits.\"on_start POST /login\"]\nrequests_per_sec = \"30%\"\n",
            expect![[
                r#":2: [limits."on_start POST /login"] `requests_per_sec` is not judged, because each user makes these requests once: remove it"#
            ]],
        ),
        (
            "[limits.\"GET /a\"]\ntotal_requests = \"20%\"\n",
            expect![[
                r#":2: [limits."GET /a"] `total_requests`: `total_requests` is shown but not judged, so it takes no limit"#
            ]],
        ),
        ("[runs]\nmin = 9\n", expect![":1: [runs] `min` is 9, more than `max`, which is 8"]),
        (
            "[runs]\nbaseline = 0\n",
            expect![":2: `baseline = 0`: invalid value: integer `0`, expected a whole number of 1 or more"],
        ),
        (
            "[load]\nlocustfile = [\"a.py\"]\n",
            expect![[r#":2: `locustfile = ["a.py"]`: invalid type: array, expected a string"#]],
        ),
        ("[load]\nargs = \"-v\"\n", expect![[r#":2: `args = "-v"`: invalid type: string "-v", expected an array"#]]),
        (
            "[accepted]\nendpoint = \"GET /a\"\n",
            expect![":1: `[accepted]`: invalid type: table, expected an array: write [[accepted]]"],
        ),
        (
            "[[accepted]]\nuntil = 2027-01-01\n",
            expect![[
                r#":2: `until = 2027-01-01`: invalid type: table, expected a string: write it in quotes, and a duration or a limit with its unit, as "30s" or "20%""#
            ]],
        ),
        (
            "[service]\ncommand = \"x\"\nready_url = \"x\"\nready_status = 99\n",
            expect![":4: `ready_status = 99`: expected a status of HTTP, from 200 to 599"],
        ),
        ("[load\n", expect![":1: `[load`: unclosed table, expected `]`"]),
    ] {
        expected.assert_eq(&error(Config::parse(text)));
    }
}

#[test]
fn limit_that_nothing_exceeds_is_refused() {
    for (text, expected) in [
        (
            "[limits]\nrequests_per_sec = \"150%\"\n",
            expect![":2: [limits] `requests_per_sec`: no change is larger than 100%, so nothing exceeds `150%`"],
        ),
        (
            "[limits]\nerror_rate = \"2pp, max 500%\"\n",
            expect![":2: [limits] `error_rate`: no change is larger than 100pp, so nothing exceeds `2pp, max 500%`"],
        ),
        (
            "[limits.\"GET /a\"]\n",
            expect![[r#":1: [limits."GET /a"] has no limit, so it checks nothing: add for example p95 = "20%""#]],
        ),
        (
            "[drift]\np95 = \"off\"\n",
            expect![[r#":1: [drift] has no limit, so it checks nothing: add for example p95 = "25%""#]],
        ),
    ] {
        expected.assert_eq(&error(Config::parse(text)));
    }
    assert!(Config::parse("[limits]\nrequests_per_sec = \"100%\"\nerror_rate = \"100pp, max 100%\"\n").is_ok());
}

#[test]
fn a_command_line_error_names_the_flag() {
    for (line, expected) in [
        ("", expect!["missing command: try `cargo xtask perf` or `cargo xtask --help`"]),
        ("prf", expect!["unknown command `prf`: try `cargo xtask perf` or `cargo xtask --help`"]),
        (
            "perf --strikt",
            expect!["unknown flag `--strikt`; did you mean `--strict`? (Locust's own flags go after `--`)"],
        ),
        ("perf --users", expect!["`--users` needs a value: `--users N`"]),
        ("perf --users --strict", expect!["`--users` needs a value: `--users N`"]),
        ("perf --users 0", expect!["`--users 0`: expected a whole number, 1 or more; usage: `--users N`"]),
        ("perf --users 1 --users 2", expect!["`--users` was given more than once"]),
        ("perf --strict --strict", expect!["`--strict` was given more than once"]),
        ("perf --strict=yes", expect!["`--strict` takes no value"]),
        (
            "perf --run-time 0",
            expect!["`--run-time 0`: must be a whole number of seconds, 1 or more; usage: `--run-time T`"],
        ),
        (
            "perf --run-time soon",
            expect!["`--run-time soon`: expected a duration such as 45s, 2m or 1h30m; usage: `--run-time T`"],
        ),
        (
            "perf --run-time 1500ms",
            expect!["`--run-time 1500ms`: must be a whole number of seconds, 1 or more; usage: `--run-time T`"],
        ),
        ("perf --spawn-rate -1", expect!["`--spawn-rate -1`: expected a number above 0; usage: `--spawn-rate R`"]),
        ("perf --quiet --verbose", expect!["--quiet and --verbose cannot be combined"]),
        ("perf --note hello", expect!["--note requires --update-baseline"]),
        (
            "perf results.csv --spawn-rate 3",
            expect!["load flags have no effect when RESULTS are given; remove one or the other"],
        ),
        ("perf --quick", expect!["unknown flag `--quick`; did you mean `--quiet`? (Locust's own flags go after `--`)"]),
        ("selftest --quik", expect!["unknown flag `--quik`; did you mean `--quick`?"]),
        ("selftest --strict", expect!["unknown flag `--strict`; see `cargo xtask --help`"]),
        ("selftest --hlep", expect!["unknown flag `--hlep`; did you mean `--help`?"]),
        ("selftest --quick --quick", expect!["`--quick` was given more than once"]),
        ("selftest --quick=yes", expect!["`--quick` takes no value"]),
        ("selftest results.csv", expect!["`results.csv`: selftest takes no arguments but its flags: remove it"]),
        ("selftest -- --tags read", expect!["`--tags`: selftest takes no arguments but its flags: remove it"]),
        ("perf --against", expect!["`--against` needs a value: `--against REV`"]),
        (
            "perf --against HEAD results.csv",
            expect!["--against uses no baseline file, so it cannot be combined with RESULTS"],
        ),
        (
            "perf --against HEAD --update-baseline",
            expect!["--against uses no baseline file, so it cannot be combined with --update-baseline"],
        ),
        (
            "perf --against HEAD --baseline b.json",
            expect!["--against uses no baseline file, so it cannot be combined with --baseline"],
        ),
        (
            "perf --against HEAD --max-runs 1",
            expect!["--against needs at least 2 rounds: a single round says nothing about noise"],
        ),
        (
            "perf --against HEAD --min-runs 1",
            expect!["--against needs at least 2 rounds: a single round says nothing about noise"],
        ),
        ("perf -- -u50", expect!["`-u50` after `--`: the gate sets Locust's `-u` itself; use --users"]),
        ("perf -- --csv=x", expect!["`--csv=x` after `--`: the gate sets Locust's `--csv` itself; remove it"]),
        ("perf -- --head", expect!["`--head` after `--`: the gate sets Locust's `--headless` itself; remove it"]),
    ] {
        let args = line.split_whitespace().map(Into::into).collect();
        let parsed = match maintenance_flags::parse(args) {
            Ok(MaintenanceCommand::Other(args)) => flags::parse(args).map(drop),
            own => own.map(drop),
        };
        expected.assert_eq(&error(parsed));
    }
}

#[test]
fn run_times_are_parsed_as_locust_parses_them() {
    for (text, seconds) in [("20", 20), ("20s", 20), ("3m", 180), ("2h", 7200), ("1h20m", 4800), ("3h30m10s", 12_610)] {
        assert_eq!(flags::parse_run_time_s(text).unwrap(), seconds, "{text}");
    }
}

#[test]
fn a_setting_comes_from_flag_then_perf_toml_then_locust_then_default() {
    let load = |flags: &str, toml: &str, env: &[(&str, &str)], conf: &str| {
        let flags::Command::Perf(perf) = flags::parse(flags.split_whitespace().map(Into::into).collect()).unwrap()
        else {
            panic!("{flags} is the perf command")
        };
        let config = Config::parse(toml).unwrap();
        let mut locust = LocustConf::default();
        locust.add_env(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        locust.add_pyproject("pyproject.toml", "[tool.locust]\nspawn-rate = 4\n").unwrap();
        locust.add_conf("locust.conf", conf);
        settle(&perf.load, &[], &config, &locust).map(|settings| settings.load.to_string())
    };
    let all = "host = http://127.0.0.1:1\nusers = 5\nrun-time: 2m\n";
    for (flags, toml, env, expected) in [
        ("perf --users 1", "[load]\nusers = 2", vec![("LOCUST_USERS", "3")], "1 users, spawn rate 4/s, 120 s"),
        ("perf", "[load]\nusers = 2", vec![("LOCUST_USERS", "3")], "2 users, spawn rate 4/s, 120 s"),
        ("perf", "", vec![("LOCUST_USERS", "3")], "3 users, spawn rate 4/s, 120 s"),
        ("perf", "", vec![], "5 users, spawn rate 4/s, 120 s"),
        ("perf --run-time 9", "", vec![("LOCUST_SPAWN_RATE", "6")], "5 users, spawn rate 6/s, 9 s"),
    ] {
        assert_eq!(load(flags, toml, &env, all).unwrap(), expected, "{flags} {toml} {env:?}");
    }
    let commented =
        "host = http://127.0.0.1:1#top ; ours\nusers = 6\nusers = 7 # seven\n; users = 8\nrun-time '2m'\t; two\n";
    assert_eq!(load("perf", "", &[], commented).unwrap(), "7 users, spawn rate 4/s, 120 s");
    assert_eq!(load("perf --host http://127.0.0.1:1", "", &[], "").unwrap(), "10 users, spawn rate 4/s, 30 s");
    expect!["LOCUST_USERS sets Locust's `users` to `many`: expected a whole number"].assert_eq(&error(load(
        "perf",
        "",
        &[("LOCUST_USERS", "many")],
        all,
    )));
    expect!["no service to load: describe it in [service] of perf.toml, or name a running one with --host URL"]
        .assert_eq(&error(load("perf", "", &[], "")));
}

#[test]
fn the_number_of_runs_comes_from_flag_then_perf_toml_then_default() {
    let own = "[runs]\nmin = 2\nmax = 6\nbaseline = 12\n";
    for (flags, toml, [min, max, baseline]) in [
        ("perf", "", [1, 8, 10]),
        ("perf", own, [2, 6, 12]),
        ("perf --min-runs 3", own, [3, 6, 12]),
        ("perf --min-runs 7", own, [7, 7, 12]),
        ("perf --max-runs 4", own, [2, 4, 4]),
        ("perf --max-runs 1", own, [1, 1, 1]),
        // [runs] does not apply to rounds.
        ("perf --against HEAD", own, [2, 7, 12]),
        ("perf --against HEAD --max-runs 4", own, [2, 4, 4]),
    ] {
        let flags::Command::Perf(perf) = flags::parse(flags.split_whitespace().map(Into::into).collect()).unwrap()
        else {
            panic!("{flags} is the perf command")
        };
        let found = RunRange::settle(&perf, Config::parse(toml).unwrap().runs);
        assert_eq!(found, RunRange { min, max, baseline }, "{flags} {toml}");
    }
}

#[test]
fn stop_timeout_comes_from_perf_toml_then_locust_then_default() {
    for (toml, conf, expected) in [
        ("", "", Ok(10.0)),
        ("", "stop-timeout = 45\n", Ok(45.0)),
        ("", "stop-timeout = 1m30s\n", Ok(90.0)),
        ("[load]\nstop_timeout = \"500ms\"", "stop-timeout = 45\n", Ok(0.5)),
        (
            "",
            "stop-timeout = soon\n",
            Err("locust.conf sets Locust's `stop-timeout` to `soon`: expected a duration such as 10 or 45s"),
        ),
    ] {
        let mut locust = LocustConf::default();
        locust.add_conf("locust.conf", conf);
        let host = flags::LoadFlags { host: Some("http://127.0.0.1:1".to_owned()), ..Default::default() };
        let result = settle(&host, &[], &Config::parse(toml).unwrap(), &locust);
        let seconds = result.map(|settings| settings.stop_timeout.as_secs_f64()).map_err(|error| error.to_string());
        assert_eq!(seconds.as_ref().map_err(String::as_str), expected.as_ref().map_err(|error| *error), "{toml}{conf}");
    }
}

#[test]
fn locust_settings_that_would_change_the_run_are_refused() {
    for (conf, expected) in [
        (
            "headful = true\n",
            Some(
                "locust.conf sets Locust's `headful`, which would change the run, or keep it from ending: remove it there",
            ),
        ),
        (
            "processes = 4\n",
            Some(
                "locust.conf sets Locust's `processes`, which would change the run, or keep it from ending: remove it there",
            ),
        ),
        (
            "# headful = true\nheadful = false\nlogfile = \n",
            Some(
                "locust.conf sets Locust's `logfile`, which would change the run, or keep it from ending: remove it there",
            ),
        ),
        (
            // It clears the statistics before they are written to a file.
            "json = true\n",
            Some(
                "locust.conf sets Locust's `json`, which would change the run, or keep it from ending: remove it there",
            ),
        ),
        ("tags = read\nheadful = false\n", None),
    ] {
        let mut locust = LocustConf::default();
        locust.add_conf("locust.conf", conf);
        // Variables are removed from Locust's environment instead.
        locust.add_env([("LOCUST_HEADFUL".to_owned(), "true".to_owned())].into_iter());
        let host = flags::LoadFlags { host: Some("http://127.0.0.1:1".to_owned()), ..Default::default() };
        let result = settle(&host, &[], &Config::default(), &locust);
        assert_eq!(result.err().map(|error| error.to_string()).as_deref(), expected, "{conf}");
    }
}

#[test]
fn locust_arguments_of_perf_toml_are_part_of_every_load() {
    let args = "[load]\nargs = [\"--tags\", \"read\", \"--api-token\", \"hush-hush\"]\n";
    let scratch = Scratch::new("settings-args").toml("[load]\n", args);
    fs::remove_file(scratch.path("perf_baseline.json")).unwrap();
    let output = scratch.perf("--update-baseline --max-runs 1 -- --flavour mint");
    assert_eq!(output.code, 0, "{}", output.stderr);
    // Arguments behind `--` follow them, because Locust takes the last of a repeated option.
    let given = scratch.read("pids/arguments");
    assert!(given.contains(" --tags read --api-token hush-hush --flavour mint"), "{given}");
    let baseline = scratch.read("perf_baseline.json");
    assert!(baseline.contains("\"--tags\"") && baseline.contains("\"--flavour\""), "{baseline}");
    assert_eq!(scratch.sh("grep -rl hush-hush . --include='*.json' --include='*.html' || true"), "");

    assert_eq!(scratch.perf("--max-runs 1 -- --flavour mint").code, 0);
    // Other arguments in `perf.toml` are another load. Arguments behind `--` may belong to this command alone, so they only warn.
    let output = scratch.perf("--max-runs 1");
    assert!(output.code == 0 && output.stdout.contains("what Locust gets after `--` differs"), "{}", output.stderr);
    for (from, to) in [("\"read\"", "\"write\""), ("hush-hush", "tell-all"), (args.lines().nth(1).unwrap(), "")] {
        let text = scratch.read("perf.toml");
        scratch.replace("perf.toml", from, to);
        let output = scratch.perf("--max-runs 1 -- --flavour mint");
        assert_eq!(output.code, 2, "{to}: {}", output.stdout);
        let says =
            "perf_baseline.json is not comparable: arguments of Locust: the baseline has `--tags read --api-token ***";
        assert!(output.last_line().contains(says), "{}", output.stderr);
        assert!(!output.stderr.contains("hush-hush") && !output.stderr.contains("tell-all"), "{}", output.stderr);
        scratch.write("perf.toml", &text);
    }
    let open = Scratch::new("settings-open-args").toml("[load]\n", "[load]\nargs = [\"--api-token\"]\n");
    open.refuses("-- hush", "[load] `args` ends with `--api-token`, which would swallow");
    let owned = Scratch::new("settings-owned-args").toml("[load]\n", "[load]\nargs = [\"--users\", \"5\"]\n");
    owned.refuses("", "`--users` in [load] `args`: the gate sets Locust's `--users` itself; use --users");
    owned.assert_not_started(&["service", "locust"]);
}
