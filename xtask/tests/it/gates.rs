//! Several gates in one project: a configuration, a locustfile and a baseline for each, as docs/locust.md has it.

use std::fs;
use std::path::Path;

use crate::support::{BASELINE, Scratch};

const GATES: [&str; 3] = ["browse", "checkout", "search"];

fn three_gates(name: &str) -> Scratch {
    let scratch = Scratch::new(&format!("gates-{name}"));
    let perf_toml = scratch.read("perf.toml");
    for gate in GATES {
        scratch.write(&format!("load/{gate}.py"), &format!("# what the users of {gate} do\n"));
        let perf_toml = perf_toml.replace("[load]\n", &format!("[load]\nlocustfile = \"load/{gate}.py\"\n"));
        let perf_toml = format!("{perf_toml}[baseline]\nfile = \"perf/{gate}.json\"\n");
        scratch.write(&format!("perf/{gate}.toml"), &perf_toml);
    }
    scratch.sh("git rm -q perf.toml perf_baseline.json locustfile.py && git add . && git commit -q -m gates");
    scratch
}

/// The loop over all gates for a CI job, from the documentation.
fn documented_loop() -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/locust.md");
    let docs = fs::read_to_string(docs).unwrap();
    let script = docs
        .split("```sh\n")
        .skip(1)
        .find_map(|block| block.split("```").next().filter(|script| script.starts_with("worst=")));
    script.unwrap().replace("cargo xtask", "\"$XTASK\"")
}

#[test]
fn every_configuration_has_a_baseline_and_the_loop_ends_with_the_worst_result() {
    let scratch = three_gates("loop");
    let output = scratch.script("cd load && \"$XTASK\" perf --config ../perf/browse.toml");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("perf/browse.json"), "{}", output.stdout);
    assert!(scratch.read("perf/browse.json").contains("\"locustfile_path\": \"load/browse.py\""));
    assert!(!scratch.path("perf_baseline.json").exists());
    // The flag precedes the file.
    let output = scratch.perf("--config perf/browse.toml --baseline perf/other.json");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(scratch.path("perf/other.json").exists());

    let faster = BASELINE.replace("\"p95\":300.0", "\"p95\":200.0");
    for (search, code, reports) in [(BASELINE, 0, 3), (faster.as_str(), 1, 3), ("broken", 2, 3)] {
        for (gate, baseline) in GATES.iter().zip([BASELINE, BASELINE, search]) {
            scratch.write(&format!("perf/{gate}.json"), baseline);
        }
        let output = scratch.script(&documented_loop());
        assert_eq!(output.code, code, "{}{}", output.stdout, output.stderr);
        assert_eq!(scratch.sh("ls *.html | wc -l"), reports.to_string());
        scratch.sh("rm *.html");
    }
    scratch.assert_nothing_is_left();
}

#[test]
fn a_baseline_of_another_gate_is_refused_before_the_load_and_an_edited_locustfile_is_not() {
    let scratch = three_gates("shared");
    assert_eq!(scratch.perf("--config perf/browse.toml").code, 0);
    let saved = scratch.read("perf/browse.json");
    scratch.sh("rm -r target pids/locust pids/service");
    scratch.replace("perf/checkout.toml", "perf/checkout.json", "perf/browse.json");
    let output = scratch.perf("--config perf/checkout.toml");
    assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
    let reason = "NO VERDICT: perf/browse.json is not comparable: it was recorded by load/browse.py, and this load is of load/checkout.py: ";
    assert!(output.last_line().starts_with(reason), "{}", output.stderr);
    scratch.assert_not_started(&["service", "locust"]);

    // A locustfile is edited or moved with the project, and a folder gets another file.
    scratch.write("load/browse.py", "# what else they do\n");
    let output = scratch.perf("--config perf/browse.toml");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let note = "note: the locustfile (git hash-object) differs";
    assert!(output.stdout.contains(note), "{}", output.stdout);
    // What is judged without a load was loaded by that locustfile.
    let output = scratch.perf("target/perf/latest --config perf/checkout.toml");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert_eq!(scratch.read("perf/browse.json"), saved);

    // Whoever renames it records the baseline again.
    let output = scratch.perf("--config perf/checkout.toml --update-baseline --max-runs 1");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stderr.contains("it was recorded by load/browse.py"), "{}", output.stderr);
    assert_eq!(scratch.perf("--config perf/checkout.toml").code, 0);
    scratch.assert_nothing_is_left();
}

#[test]
fn a_folder_of_locustfiles_may_get_another_file() {
    let scratch = three_gates("folder");
    scratch.replace("perf/browse.toml", "load/browse.py", "./load/");
    assert_eq!(scratch.perf("--config perf/browse.toml").code, 0);
    assert!(scratch.read("perf/browse.json").contains("\"locustfile_path\": \"load\""));
    scratch.write("load/more.py", "# more users\n");
    let output = scratch.perf("--config perf/browse.toml");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
}

#[test]
fn the_history_of_a_gate_is_of_its_baseline() {
    let scratch = three_gates("history");
    assert_eq!(scratch.perf("--config perf/search.toml").code, 0);
    scratch.sh("git add . && git commit -q -m 'Baseline of search'");
    let output = scratch.script("\"$XTASK\" history --config perf/search.toml");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stdout.contains("Baseline of search"), "{}", output.stdout);
    let output = scratch.script("\"$XTASK\" history --config perf/browse.toml");
    assert_eq!(output.code, 2, "{}", output.stdout);
    assert!(output.stderr.contains("git has no version of perf/browse.json"), "{}", output.stderr);
}
