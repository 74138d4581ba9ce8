//! What GitHub Actions knows, and the page that it shows of a job.

use std::env;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::files;
use crate::git;
use crate::project::Project;
use crate::report::github::Places;

/// Whether it reads what is printed.
pub fn is_there() -> bool {
    env::var("GITHUB_ACTIONS").is_ok_and(|value| value == "true")
}

/// Adds to what this step shows on the job's page, if there is one.
pub fn append_to_summary(markdown: &str) -> Result<()> {
    let Some(path) = env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else { return Ok(()) };
    let append = |mut file: File| file.write_all(format!("\n{markdown}").as_bytes());
    let written = File::options().append(true).create(true).open(&path).and_then(append);
    written.with_context(|| format!("cannot add to the job's summary {}", Path::new(&path).display()))
}

/// Where annotations may point.
pub fn places(project: &Project) -> Places {
    let prefix = git::prefix(&project.shell);
    let from_top = |path: &Path| match path.strip_prefix(&project.root) {
        Ok(relative) => format!("{prefix}{}", relative.display()),
        Err(_) => path.display().to_string(),
    };
    // Results may be judged where there is no locustfile, or none that is found.
    let locustfile = project.settle().map(|settings| settings.locustfile).unwrap_or_default();
    let parts = locustfile.split(',').map(|part| project.root.join(part));
    Places {
        baseline: project.flags.against.is_none().then(|| from_top(&project.baseline_path)),
        locustfiles: parts.filter_map(|path| Some((from_top(&path), files::read_to_string(&path).ok()?))).collect(),
    }
}
