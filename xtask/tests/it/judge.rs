//! `cargo xtask perf RESULTS`: results that exist, without Locust, Python or git.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use expect_test::expect;

use crate::samples::VERSION_1_0;

const HEADER: &str = "Type,Name,Request Count,Failure Count,50%,95%,99%,Average Response Time,Requests/s";

struct Folder(PathBuf);

struct Output {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Folder {
    fn new(name: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("judge").join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        // The root is here, not in the repository around.
        fs::write(path.join("perf.toml"), "").unwrap();
        Folder(path)
    }

    fn with(self, name: &str, text: &str) -> Folder {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    fn perf(&self, args: &str) -> Output {
        self.perf_with_env(args, &[])
    }

    /// No program is on PATH: judging needs none.
    fn perf_with_env(&self, args: &str, env: &[(&str, &str)]) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .arg("perf")
            .args(args.split_whitespace())
            .current_dir(&self.0)
            .env("PATH", "")
            .env_remove("CI")
            .env_remove("GITHUB_ACTIONS")
            .envs(env.iter().copied())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&format!("{}/", self.0.display()), "");
        Output { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

fn results(p95_ms: u32, failures: u32) -> String {
    let (p50_ms, p99_ms) = (p95_ms.min(120), p95_ms.max(480));
    format!("{HEADER}\n,Aggregated,450,{failures},{p50_ms},{p95_ms},{p99_ms},150,15.0\n")
}

#[test]
fn the_exit_code_and_the_last_line_are_the_verdict() {
    let folder = Folder::new("verdict")
        .with("perf_baseline.json", VERSION_1_0)
        .with("same.csv", &results(350, 2))
        .with("edge.csv", &results(420, 2))
        .with("slower.csv", &results(430, 2))
        .with("failing.csv", &results(350, 20));
    for (args, code, last) in [
        ("same.csv", 0, "PASS: p95 +0.0% (limit +20%), all metrics within their limits"),
        ("edge.csv", 0, "PASS: p95 +20% (limit +20%), all metrics within their limits"),
        ("slower.csv", 1, "FAIL: p95 rose 23%, 350 → 430 ms (limit +20%)"),
        ("failing.csv", 1, "FAIL: error_rate rose 3.94 pp, 0.50 → 4.44% (limit +2 pp)"),
        // Two runs: 376 ms and 1.7 points on average.
        (
            "slower.csv failing.csv same.csv",
            0,
            "INCONCLUSIVE: p95 +7.1% (limit +20%); noise may be hiding regressions of p95 and error_rate",
        ),
    ] {
        let output = folder.perf(args);
        assert_eq!((output.code, output.stdout.lines().last()), (code, Some(last)), "{args}: {}", output.stderr);
        assert_eq!(output.stderr, "", "{args}");
    }
}

#[test]
fn inconclusive_passes_unless_perf_toml_makes_it_no_verdict() {
    for (inconclusive, code) in [("pass", 0), ("no-verdict", 2)] {
        let folder = Folder::new(&format!("inconclusive-{inconclusive}"))
            .with("perf_baseline.json", VERSION_1_0)
            .with("perf.toml", &format!("[runs]\ninconclusive = \"{inconclusive}\"\n"))
            .with("a.csv", &results(430, 2))
            .with("b.csv", &results(340, 2))
            .with("slower.csv", &results(600, 2));
        let output = folder.perf("a.csv b.csv --report report.json");
        assert_eq!(output.code, code, "{}{}", output.stdout, output.stderr);
        assert!(output.stdout.lines().last().unwrap().starts_with("INCONCLUSIVE: p95 +"), "{}", output.stdout);
        let report = folder.read("report.json");
        assert!(report.contains("\"verdict\": \"inconclusive\""), "{report}");
        assert!(report.contains(&format!("\"exit_code\": {code}")), "{report}");
        // A single file has no interval, and a FAIL stays one.
        assert_eq!(folder.perf("b.csv").code, 0);
        assert_eq!(folder.perf("slower.csv").code, 1);
    }
}

#[test]
fn endpoints_of_one_bare_file_change_no_exit_code() {
    let endpoints = "GET,/old,4900,0,120,350,480,150,15.0\nGET,/new,100,100,120,9000,9000,150,3.3";
    let results = format!("{HEADER}\n{endpoints}\n,Aggregated,5000,100,120,350,480,150,15.0\n");
    let folder = Folder::new("bare").with("perf_baseline.json", VERSION_1_0).with("results.csv", &results);
    for args in ["results.csv", "results.csv --strict"] {
        let output = folder.perf(args);
        assert_eq!(output.code, 0, "{args}: {}{}", output.stdout, output.stderr);
    }
}

#[test]
fn quiet_prints_findings_and_the_verdict() {
    let folder = Folder::new("quiet").with("perf_baseline.json", VERSION_1_0).with("slower.csv", &results(430, 2));
    expect![[r#"
        FAIL p95: 350 → 430 ms (+22.9%, limit +20%)
        note: only 4 of 450 requests are beyond p99 (5 needed)
        note: stalls of the service are not seen, because users wait during a stall: judge Locust's --json-file, and save its baseline with --users N
        FAIL: p95 rose 23%, 350 → 430 ms (limit +20%)
    "#]]
    .assert_eq(&folder.perf("slower.csv --quiet").stdout);
}

#[test]
fn without_a_baseline_the_results_become_it() {
    let folder = Folder::new("bootstrap").with("results.csv", &results(350, 2));
    let output = folder.perf("results.csv");
    assert_eq!(output.code, 0, "{}", output.stderr);
    expect![[r#"
        p50                   120 ms
        p95                   350 ms
        p99                   480 ms
        error_rate             0.44%
        requests_per_sec      15.0/s
        next: commit the baseline: git add perf_baseline.json && git commit -m "Performance baseline"
        next: pass more results of this load, since comparing single runs is wrong one time in ten
        next: after your next change, judge its results against it
        BASELINE SAVED: p50 120 ms, p95 350 ms, p99 480 ms, error_rate 0.44% from 1 run; commit perf_baseline.json
    "#]]
    .assert_eq(&output.stdout);
    expect!["warning: git does not know the commit here, so the baseline says `unknown`\n"].assert_eq(&output.stderr);
    assert!(folder.read("perf_baseline.json").contains(r#""commit": "unknown""#));
    assert_eq!(folder.perf("results.csv").code, 0, "the saved baseline passes its own results");
}

#[test]
fn in_ci_a_missing_baseline_is_no_pass() {
    for (ci, code) in [("true", 2), ("1", 2), ("false", 0), ("", 0)] {
        let folder = Folder::new(&format!("ci-{ci}")).with("results.csv", &results(350, 2));
        let output = folder.perf_with_env("results.csv --report report.md", &[("CI", ci)]);
        assert_eq!(output.code, code, "CI={ci}");
        assert!(folder.read("report.md").contains("commit perf\\_baseline.json"));
        assert!(folder.read("perf_baseline.json").contains("\"p95\": 350.0"), "it is saved all the same");
    }
    // Some systems do not set `CI`.
    for (name, value) in [
        ("JENKINS_URL", "https://ci.example.org/"),
        ("TF_BUILD", "True"),
        ("TEAMCITY_VERSION", "2025.03"),
        ("CODEBUILD_BUILD_ID", "gate:1f0c"),
        ("BITBUCKET_BUILD_NUMBER", "7"),
        ("BUILDKITE", "true"),
        ("GITLAB_CI", "true"),
        ("bamboo_buildKey", "GATE-MAIN-JOB1"),
        ("GO_PIPELINE_NAME", "gate"),
    ] {
        for (ci, code) in [("", 2), ("false", 0)] {
            let folder = Folder::new(&format!("ci-{name}-{ci}")).with("results.csv", &results(350, 2));
            let output = folder.perf_with_env("results.csv", &[("CI", ci), (name, value)]);
            assert_eq!(output.code, code, "{name} CI={ci}");
        }
    }
}

#[test]
fn an_update_shows_the_comparison_and_then_replaces_the_baseline() {
    let folder = Folder::new("update").with("perf_baseline.json", VERSION_1_0).with("slower.csv", &results(430, 2));
    let output = folder.perf("slower.csv --update-baseline --note accepted");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stdout.contains("FAIL: p95 rose 23%, 350 → 430 ms (limit +20%)"), "{}", output.stdout);
    assert!(output.stdout.ends_with(" from 1 run; commit perf_baseline.json\n"), "{}", output.stdout);
    let saved = folder.read("perf_baseline.json");
    assert!(saved.contains("\"p95\": 430.0") && saved.contains("\"notes\": \"accepted\""), "{saved}");
    assert_eq!(folder.perf("slower.csv").code, 0);
}

#[test]
fn a_baseline_that_is_a_link_stays_one() {
    let folder = Folder::new("link").with("kept/baseline.json", VERSION_1_0).with("slower.csv", &results(430, 2));
    std::os::unix::fs::symlink("kept/baseline.json", folder.0.join("perf_baseline.json")).unwrap();
    assert_eq!(folder.perf("slower.csv --update-baseline").code, 0);
    assert!(folder.0.join("perf_baseline.json").is_symlink());
    assert!(folder.read("kept/baseline.json").contains("\"p95\": 430.0"));
}

#[test]
fn an_invalid_measurement_replaces_no_baseline() {
    let none = format!("{HEADER}\n,Aggregated,0,0,N/A,N/A,N/A,0,0\n");
    let folder = Folder::new("refused")
        .with("perf_baseline.json", VERSION_1_0)
        .with("none.csv", &none)
        .with("failed.csv", &results(3, 450))
        .with("torn.csv", &results(350, 2)[..100]);
    for (file, says) in
        [("none.csv", "no requests"), ("failed.csv", "all 450 requests failed"), ("torn.csv", "torn.csv: ")]
    {
        let output = folder.perf(&format!("{file} --update-baseline"));
        assert_eq!(output.code, 2, "{file}: {}", output.stdout);
        assert!(output.stderr.starts_with("NO VERDICT: ") && output.stderr.contains(says), "{file}: {}", output.stderr);
        assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
        assert_eq!(folder.read("perf_baseline.json"), VERSION_1_0);
    }
    let left: Vec<_> = fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 5, "nothing temporary is left: {left:?}");
}

#[test]
fn a_baseline_that_could_not_fail_is_refused_and_can_be_replaced() {
    let blind = VERSION_1_0.replace("\"p95\"", "\"p94\"");
    let folder = Folder::new("blind").with("perf_baseline.json", &blind).with("same.csv", &results(350, 2));
    let output = folder.perf("same.csv --strict");
    assert_eq!(output.code, 2, "{}", output.stdout);
    assert!(
        output.stderr.contains("perf_baseline.json: the baseline lacks p95, so the gate could not fail on it"),
        "{}",
        output.stderr
    );
    let output = folder.perf("same.csv --update-baseline");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stderr.contains("no comparison with the previous baseline"), "{}", output.stderr);
    assert_eq!(folder.perf("same.csv").code, 0);
}

#[test]
fn a_limit_that_matches_no_endpoint_is_an_error() {
    let folder = Folder::new("unmet")
        .with("perf_baseline.json", VERSION_1_0)
        .with("perf.toml", "[limits.\"GET /nowhere\"]\np95 = \"max 500ms\"\n")
        .with("same.csv", &results(350, 2));
    for args in ["same.csv", "same.csv --update-baseline"] {
        let output = folder.perf(args);
        assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{args}");
        assert!(output.stderr.contains("[limits.\"GET /nowhere\"] matches no endpoint"), "{args}: {}", output.stderr);
        let again = format!("judge the same results again with `cargo xtask perf {args}`");
        assert!(output.stderr.contains(&again), "{args}: {}", output.stderr);
        assert_eq!(folder.read("perf_baseline.json"), VERSION_1_0);
    }
}

#[test]
fn a_folder_is_read_as_the_runs_in_it() {
    let folder = Folder::new("folder")
        .with("perf_baseline.json", VERSION_1_0)
        .with("runs/run-1/perf_results_stats.csv", &results(400, 2))
        .with("runs/run-2/perf_results_stats.csv", &results(430, 2))
        .with("empty/readme.txt", "");
    let output = folder.perf("runs --verbose");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stdout.contains("2 runs"), "{}", output.stdout);
    assert_eq!(folder.perf("runs/run-2").code, 1);
    let output = folder.perf("empty");
    assert_eq!(output.code, 2);
    expect![[r#"
        NO VERDICT: empty: no finished run in this folder: no perf_results_stats.csv in it or one level below
    "#]]
    .assert_eq(&output.stderr);
}

#[test]
fn locusts_json_is_judged_too() {
    let report =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/judge/tests/fixtures/locust-2.47.0/some-failures/report.json");
    let folder = Folder::new("json").with("perf_baseline.json", VERSION_1_0);
    let output = folder.perf(report);
    assert_eq!(
        (output.code, output.stdout.lines().last()),
        (1, Some("FAIL: error_rate rose 3.80 pp, 0.50 → 4.30% (limit +2 pp)"))
    );
    assert!(output.stdout.contains("latencies of failing requests are not comparable"), "{}", output.stdout);
}

#[test]
fn unreadable_input_is_an_error_of_one_line_that_names_it() {
    let folder = Folder::new("bad").with("perf_baseline.json", VERSION_1_0).with("results.csv", &results(350, 2));
    let bad = folder.0.join("bad.json");
    fs::write(&bad, VERSION_1_0.replace("350.0", "oops")).unwrap();
    fs::write(folder.0.join("bad.toml"), "[limits]\np95 = 20\n").unwrap();
    for (args, expected) in [
        (
            "nowhere.csv",
            expect![[r"
            NO VERDICT: cannot read nowhere.csv: No such file or directory (os error 2)
        "]],
        ),
        (
            "results.csv --baseline bad.json",
            expect![[r#"
                NO VERDICT: bad.json: this is not a JSON object: expected value at line 1 column 100; restore it from git, or delete it and record a new baseline
            "#]],
        ),
        (
            "results.csv --config bad.toml",
            expect![[r#"
                NO VERDICT: bad.toml:2: `p95 = 20`: invalid type: integer `20`, expected a limit such as "20%", or the table of an endpoint's limits
            "#]],
        ),
        (
            "results.csv --config nowhere.toml",
            expect![[r"
            NO VERDICT: cannot read nowhere.toml: No such file or directory (os error 2)
        "]],
        ),
        (
            "results.csv --baseline nowhere/b.json",
            expect![[r"
            NO VERDICT: cannot write nowhere/b.json: No such file or directory (os error 2)
        "]],
        ),
    ] {
        let output = folder.perf(args);
        assert_eq!(output.code, 2, "{args}");
        expected.assert_eq(&output.stderr);
        assert_eq!(output.stdout, "", "{args}");
    }
    assert_eq!(folder.read("perf_baseline.json"), VERSION_1_0);
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let folder = Folder::new("pipe").with("perf_baseline.json", VERSION_1_0).with("results.csv", &results(350, 2));
    let status = Command::new("sh")
        .args(["-c", "{ \"$0\" perf results.csv; echo $? >code; } | true", env!("CARGO_BIN_EXE_xtask")])
        .current_dir(&folder.0)
        .env_remove("GITHUB_ACTIONS")
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(folder.read("code"), "0\n");
}

#[test]
fn help_goes_to_stdout_and_colour_only_to_a_terminal() {
    let folder = Folder::new("help").with("perf_baseline.json", VERSION_1_0).with("results.csv", &results(350, 2));
    let help = folder.perf("--help");
    assert_eq!(help.code, 0);
    for (text, is_shown) in [
        ("\n  cargo xtask perf [RESULTS ...]", true),
        ("\nperf with RESULTS:", true),
        ("\nFLAGS OF perf\n", true),
        ("\nEXIT CODES\n", true),
        ("FLAGS OF history", false),
        ("FLAGS OF bisect", false),
        ("\nhistory: ", false),
        ("cargo xtask bisect", false),
        ("selftest", false),
    ] {
        assert_eq!(help.stdout.contains(text), is_shown, "{text}: {}", help.stdout);
    }
    assert!(!folder.perf("results.csv").stdout.contains('\u{1b}'));
    assert!(folder.perf_with_env("results.csv", &[("CLICOLOR_FORCE", "1")]).stdout.contains("\u{1b}[1m"));
    let plain = folder.perf_with_env("results.csv", &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]);
    assert!(!plain.stdout.is_empty());
}
