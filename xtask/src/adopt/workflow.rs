//! The workflow for GitHub Actions, as the other repository needs it.

use crate::sys::files;
use crate::sys::version;
use anyhow::Result;

use crate::adopt::new_files::{NewFile, Place, Step};
use crate::adopt::package::{Present, was_ours};
use crate::adopt::source::Source;

const WORKFLOW: &str = include_str!("../../adopt/perf.yml");

/// Makes the workflow. One that a former `adopt` wrote and nobody edited is renewed.
///
/// # Errors
///
/// Says that the one that is there cannot be read.
pub fn workflow(place: &Place, present: &Present, source: &Source) -> Result<Step> {
    let suffix = match place.inside.trim_end_matches('/') {
        "" => String::new(),
        inside => format!("-{}", inside.replace('/', "-")),
    };
    let name = format!(".github/workflows/perf{suffix}.yml");
    let mut text = WORKFLOW.to_owned();
    if let Present::Own { folder, .. } = present {
        text = text.replace("'xtask/**/Cargo.toml'", &format!("'{folder}/Cargo.toml', 'xtask/**/Cargo.toml'"));
    }
    if matches!(source, Source::Packaged) {
        text = packaged(&text, &name);
    }
    if !place.inside.is_empty() {
        text = inside(&text, &place.inside);
    }
    let path = place.top.join(&name);
    let step = Step::create_or_keep(&place.top, name.clone(), &text);
    if !step.writes.is_empty() {
        let advice = format!("say in {name} what the service needs on the runner to be built and started");
        return Ok(step.advising(vec![advice]));
    }
    let present = files::read_to_string(&path)?;
    if present != text && was_ours(&present)? {
        let done = "renewed: it was as a former version wrote it".to_owned();
        return Ok(Step { done, ..Step::created(name, vec![NewFile::new(path, text)]) });
    }
    Ok(step)
}

/// Returns the text between two marks, each at the beginning of a line; both marks are in the template.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let start = text.find(from).unwrap_or(text.len());
    let rest = &text[start..];
    &rest[..rest.find(to).unwrap_or(rest.len())]
}

/// Returns the workflow of a repository that has the program from its Python package, without Rust.
fn packaged(text: &str, name: &str) -> String {
    let version = version::number();
    let build = between(text, "env:\n  # Nothing is built", "concurrency:");
    let cache = between(
        text,
        "      - uses: actions/cache@v4\n        with:\n          path: |",
        "      # Locust's environment",
    );
    let install = format!(
        "      # The gate. To upgrade, name another version here.\n      - run: pip install locust-gate=={version}\n"
    );
    text.replace(build, "")
        .replace(cache, &install)
        .replace("'xtask/**/Cargo.toml', 'xtask/**/requirements.txt'", &format!("'{name}'"))
        .replace("cargo xtask", "locust-gate")
}

/// Returns the workflow of a service in a folder: commands run there, and paths of actions begin at the root.
fn inside(text: &str, inside: &str) -> String {
    let folder = inside.trim_end_matches('/');
    let mut lines = Vec::new();
    for line in text.lines() {
        let entry = line.trim_start().trim_start_matches("path: ");
        let is_path =
            ["target/perf/", "perf_baseline.json", "perf_report.html"].iter().any(|path| entry.starts_with(path));
        let line = if is_path { line.replacen(entry, &format!("{inside}{entry}"), 1) } else { line.to_owned() };
        lines.push(line.replace("'perf.toml'", &format!("'{inside}perf.toml'")));
        if line.starts_with("    timeout-minutes: ") {
            lines.push(format!("    defaults:\n      run:\n        working-directory: {folder}"));
        }
    }
    let text = lines.join("\n") + "\n";
    text.replacen("name: Performance\n", &format!("name: Performance, {folder}\n"), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workflow_without_rust_has_nothing_of_cargo() {
        let text = packaged(WORKFLOW, ".github/workflows/perf.yml");
        assert!(!text.contains("cargo") && !text.contains("CARGO") && !text.contains("xtask"), "{text}");
        let install = format!("      - run: pip install locust-gate=={}\n", version::number());
        assert_eq!(text.matches(&install).count(), 1, "{text}");
        assert!(text.contains("run: locust-gate perf --against \"$BASE\""), "{text}");
        assert!(text.contains("hashFiles('.github/workflows/perf.yml', 'perf.toml')"), "{text}");
        assert_eq!(text.matches("actions/cache@v4").count(), 1, "{text}");
    }

    #[test]
    fn the_workflow_of_a_folder_runs_there() {
        let text = inside(WORKFLOW, "services/claims/");
        for line in [
            "name: Performance, services/claims\n",
            "    defaults:\n      run:\n        working-directory: services/claims\n    steps:\n",
            "          path: services/claims/target/perf/locust-*\n",
            "            services/claims/target/perf/latest/\n",
            "            services/claims/perf_baseline.json\n",
            "            services/claims/perf_report.html\n",
            "'services/claims/perf.toml'",
            "--report perf_report.html\n",
            "            !target/perf\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}
