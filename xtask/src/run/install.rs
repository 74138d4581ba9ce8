//! The Locust to run: the user's own, or one that is installed once, in an environment below `target/perf`.

use std::env;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use judge::model::text::quoted;
use xshell::{Cmd, Shell, cmd};

use crate::config::perf_toml::LocustConfig;
use crate::run::locust::{Locust, LocustVersion, Program, own_command};
use crate::run::locust_log::last_line;
use crate::run::workers::WorkerSetup;
use crate::sys::git::blob_hash;
use crate::sys::invocation::PACKAGED;
use crate::sys::log::tail;
use crate::sys::process::{self, Failure, Interrupted};
use crate::sys::{files, lock};

/// The pinned Locust, in a file that a dependency bot updates.
const REQUIREMENTS: &str = include_str!("../../locust/requirements.txt");

/// The versions of its dependencies that it was tested with.
const CONSTRAINTS: &str = include_str!("../../locust/constraints.txt");

/// Prints the packages of an environment: `gevent 26.9.0, greenlet 3.5.6`.
const PRINT_PACKAGES: &str = "import importlib.metadata as m; \
    print(', '.join(sorted({d.metadata['Name'] + ' ' + d.version for d in m.distributions()}, key=str.lower)))";

const INSTALL_TIMEOUT: Duration = Duration::from_secs(600);
const VERSION_TIMEOUT: Duration = Duration::from_secs(60);

const PYTHON_3_11: LocustVersion = LocustVersion(2, 46, 0);

/// `say` prints a line of progress.
pub fn prepare(shell: &Shell, config: &LocustConfig, perf_folder: &Path, say: &dyn Fn(&str)) -> Result<Locust> {
    let Some(command) = &config.command.clone().or_else(|| of_environment(config)) else {
        return managed(shell, config, perf_folder, say);
    };
    let log = perf_folder.join("locust-version.log");
    // What an earlier command printed is no cause of this one's failure.
    files::open_own(&log)?.set_len(0)?;
    let line = version_line(own_command(shell, command, &["--version".into()]), &log).map_err(|error| {
        let cause = last_line(&tail(&log), |_| false);
        failed(error, &log, |what| format!("[locust] command `{command}` does not print its version: {what}{cause}"))
    })?;
    let worker_setup = WorkerSetup { install: None, command: command.clone() };
    Locust::new(Program::Own(command.clone()), &line, String::new(), worker_setup)
}

/// The Locust in the Python environment of this program, unless the configuration names another one.
fn of_environment(config: &LocustConfig) -> Option<String> {
    let is_free = config.version.is_none() && config.requirements.is_empty();
    let program =
        env::current_exe().ok().filter(|program| is_free && program.file_name() == Some(PACKAGED.as_ref()))?;
    let locust = program.with_file_name("locust");
    let is_environment = locust.is_file() && program.with_file_name("python").exists();
    is_environment.then(|| quoted(&locust.to_string_lossy()))
}

/// The name of an environment is a digest of its packages. It counts only when it is complete.
fn managed(shell: &Shell, config: &LocustConfig, perf_folder: &Path, say: &dyn Fn(&str)) -> Result<Locust> {
    let pinned = match &config.version {
        Some(version) => format!("locust=={version}\n"),
        None => REQUIREMENTS.to_owned(),
    };
    let mut wanted = pinned.clone();
    // Other packages may need other versions of the same dependencies.
    let constraints = (config.version.is_none() && config.requirements.is_empty()).then_some(CONSTRAINTS);
    wanted.push_str(constraints.unwrap_or_default());
    let mut extra: Vec<String> = Vec::new();
    for requirement in &config.requirements {
        let file = shell.current_dir().join(requirement);
        if file.is_file() {
            refuse_utf_16(&file)?;
            wanted.push_str(&String::from_utf8_lossy(&files::read(&file)?));
            extra.push("-r".into());
        } else {
            wanted.push_str(requirement);
        }
        wanted.push('\n');
        extra.push(requirement.clone());
    }
    let name = format!("locust-{}", &blob_hash(wanted.as_bytes())[..12]);
    let (pinned, extra) = (pinned.trim(), &extra);
    let locust = |python, printed: &str| {
        let (line, packages) = printed.split_once('\n').unwrap_or((printed, ""));
        let worker_setup = WorkerSetup::managed(&name, pinned, extra);
        Locust::new(Program::Managed(python), line, packages.trim().to_owned(), worker_setup)
    };
    let folder = perf_folder.join(&name);
    let python = folder.join("bin/python");
    let complete = folder.join("complete");
    let is_installed = || -> Result<bool> { Ok(python.exists() && complete.is_file() && can_import(shell, &python)?) };
    if is_installed()? {
        return locust(python, &files::read_to_string(&complete)?);
    }

    let lock_file = perf_folder.join(format!("{name}.lock"));
    let lock = lock::lock(&lock_file, INSTALL_TIMEOUT)?;
    let _lock = lock.with_context(|| format!("another process holds {}: run this again", lock_file.display()))?;
    if is_installed()? {
        return locust(python, &files::read_to_string(&complete)?);
    }
    say(&format!("installing {pinned} into {} (first run only)", folder.display()));
    let log = perf_folder.join(format!("{name}.log"));
    let _ = fs::remove_file(&log);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove the incomplete {}", folder.display()))?;
    }
    let pin_file = perf_folder.join(format!("{name}.txt"));
    files::write_atomically(&pin_file, &format!("{pinned}\n"))?;
    let mut arguments = vec!["-r".to_owned(), pin_file.display().to_string()];
    if let Some(constraints) = constraints {
        let file = perf_folder.join(format!("{name}.constraints.txt"));
        files::write_atomically(&file, constraints)?;
        arguments.extend(["-c".to_owned(), file.display().to_string()]);
    }
    install(shell, pinned, &folder, &[&arguments, &extra[..]].concat(), &log)?;
    let line = version_line(cmd!(shell, "{python} -m locust --version").env("PYTHONSAFEPATH", "1"), &log)
        .map_err(|error| does_not_start(error, pinned, &log))?;
    let packages = answer(cmd!(shell, "{python} -c {PRINT_PACKAGES}"), &log)?;
    let printed = format!("{line}\n{}\n", packages.trim());
    let locust = locust(python, &printed)?;
    files::write_atomically(&complete, &printed)?;
    Ok(locust)
}

/// Whether the environment still works. An upgrade of the system's Python leaves its packages in a folder that the new one
/// does not read, and compiled modules that it cannot load.
fn can_import(shell: &Shell, python: &Path) -> Result<bool> {
    let script = "import greenlet, importlib.util, sys; sys.exit(importlib.util.find_spec('locust') is None)";
    let command = cmd!(shell, "{python} -c {script}").env("PYTHONSAFEPATH", "1");
    Ok(process::answer("Locust's Python", &command.into(), VERSION_TIMEOUT)?.is_some())
}

/// Uses uv if there is one, or Python's venv and pip.
fn install(shell: &Shell, pinned: &str, folder: &Path, requirements: &[String], log: &Path) -> Result<()> {
    let python = folder.join("bin/python");
    if !answer(cmd!(shell, "uv --version"), log)?.is_empty() {
        process::run("uv venv", &cmd!(shell, "uv venv --quiet {folder}").into(), log, INSTALL_TIMEOUT)?;
        let install = cmd!(shell, "uv pip install --quiet --python {python} {requirements...}");
        return process::run("uv pip install", &install.into(), log, INSTALL_TIMEOUT)
            .map_err(|error| not_installed(error, pinned, log));
    }
    let system_python = system_python(shell, pinned, log)?;
    // To install pip into the environment first takes seconds.
    let quick = has_pip_for_others(shell, system_python, log)?;
    let without_pip = quick.then_some("--without-pip");
    process::run(
        "python3 -m venv",
        &cmd!(shell, "{system_python} -m venv {without_pip...} {folder}").into(),
        log,
        INSTALL_TIMEOUT,
    )
    .context("cannot make Locust's environment; on Debian and Ubuntu install python3-venv, or install uv")?;
    let options = ["--quiet", "--disable-pip-version-check"];
    let install = if quick {
        cmd!(shell, "{system_python} -m pip --python {python} install {options...} {requirements...}")
    } else {
        cmd!(shell, "{python} -m pip install {options...} {requirements...}")
    };
    // If pip's configuration says `user = true`, it refuses to install into an environment.
    process::run("pip install", &install.env("PIP_USER", "0").into(), log, INSTALL_TIMEOUT)
        .map_err(|error| not_installed(error, pinned, log))
}

/// Pip can install into another environment by `--python`, from 22.3 on.
fn has_pip_for_others(shell: &Shell, python: &str, log: &Path) -> Result<bool> {
    let printed = answer(cmd!(shell, "{python} -m pip --version"), log)?;
    let version = printed.lines().find_map(|line| line.strip_prefix("pip ")?.split(' ').next());
    let mut parts = version.unwrap_or_default().split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    Ok((parts.next(), parts.next()) >= (Some(22), Some(3)))
}

/// Refuses a requirements file that PowerShell wrote, because the installers read it in different ways.
fn refuse_utf_16(file: &Path) -> Result<()> {
    let bytes = files::read(file)?;
    let is_utf_16 = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") || bytes.contains(&0);
    ensure!(
        !is_utf_16,
        "cannot read {}: it is UTF-16, as PowerShell's `>` writes it: save it as UTF-8, such as by `pip freeze | Out-File -Encoding ascii`",
        file.display()
    );
    Ok(())
}

fn not_installed(error: anyhow::Error, pinned: &str, log: &Path) -> anyhow::Error {
    let cause = last_line(&tail(log), is_installer_error);
    failed(error, log, |what| {
        format!(
            "cannot install {pinned}: {what}{cause}; name in perf.toml another [locust] version, or other [locust] requirements, or a Locust of your own: [locust] command"
        )
    })
}

fn is_installer_error(line: &str) -> bool {
    let is_error = ["ERROR: ", "× Failed to build", "error: Failed to "].iter().any(|mark| line.starts_with(mark));
    is_error && !line.contains("https://")
}

/// An old version can be installed beside new packages, or on a new Python, and then fails when it is imported.
fn does_not_start(error: anyhow::Error, pinned: &str, log: &Path) -> anyhow::Error {
    let cause = last_line(&tail(log), |_| false);
    failed(error, log, |what| {
        format!(
            "{pinned} is installed and does not start: {what}{cause}; name older packages in [locust] requirements, such as \"flask<2\", or use an older Python, or a Locust of your own: [locust] command"
        )
    })
}

/// A signal stays a signal.
fn failed(error: anyhow::Error, log: &Path, line: impl Fn(&str) -> String) -> anyhow::Error {
    match error.downcast::<Failure>() {
        Ok(failure) => Failure::new(line(&failure.line), log).into(),
        Err(error) => error,
    }
}

fn system_python(shell: &Shell, pinned: &str, log: &Path) -> Result<&'static str> {
    let no_python = || {
        anyhow!(
            "neither python3 nor uv is on PATH, and Locust needs one: install Python 3.11 or later, or name a Locust of your own in perf.toml: [locust] command"
        )
    };
    let (mut python, mut version) = ("", String::new());
    for name in ["python3", "python"] {
        if version.is_empty() {
            let print_version = "import sys; print(*sys.version_info[:2])";
            (python, version) = (name, answer(cmd!(shell, "{name} -c {print_version}"), log)?);
        }
    }
    let (major, minor) = version
        .lines()
        .last()
        .unwrap_or_default()
        .split_once(' ')
        .and_then(|(major, minor)| Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?)))
        .ok_or_else(no_python)?;
    let needs_3_11 =
        pinned.strip_prefix("locust==").and_then(LocustVersion::parse).is_some_and(|version| version >= PYTHON_3_11);
    ensure!(
        !needs_3_11 || (major, minor) >= (3, 11),
        "{pinned} needs Python 3.11 or later, and {python} is {major}.{minor}: install a newer one, or uv, or pin an older Locust in perf.toml: [locust] version"
    );
    Ok(python)
}

fn version_line(command: Cmd, log: &Path) -> Result<String> {
    let text = output("locust --version", command, log)?;
    let line = text.lines().find(|line| line.starts_with("locust ") || line.starts_with("__main__.py "));
    let printed = || format!("`locust --version` printed `{}`", text.lines().next().unwrap_or_default());
    line.map(str::to_owned).ok_or_else(|| Failure::new(printed(), log).into())
}

/// Nothing if the program is missing or fails. Only a signal is an error.
fn answer(command: Cmd, log: &Path) -> Result<String> {
    match output("its version", command, log) {
        Err(error) if error.is::<Interrupted>() => Err(error),
        output => Ok(output.unwrap_or_default()),
    }
}

fn output(what: &'static str, command: Cmd, log: &Path) -> Result<String> {
    let before = files::length(log);
    process::run(what, &command.into(), log, VERSION_TIMEOUT)?;
    Ok(String::from_utf8_lossy(&files::read_part(log, before)).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_of_an_installer_that_names_the_cause_is_found() {
        for (log, expected) in [
            (
                "ERROR: Could not find a version that satisfies the requirement locust==99.9 (from versions: 1.0)\nERROR: No matching distribution found for locust==99.9\n",
                ": ERROR: No matching distribution found for locust==99.9",
            ),
            // pip, of a package that does not build on this Python.
            (
                "  error: subprocess-exited-with-error\n  \n  × Preparing metadata (pyproject.toml) did not run successfully.\n  ╰─> [18 lines of output]\n      Traceback (most recent call last):\n        File \"<string>\", line 1, in <module>\n      ModuleNotFoundError: No module named 'distutils'\n      [end of output]\n  \n  note: This error originates from a subprocess, and is likely not a problem with pip.\nerror: metadata-generation-failed\n\n× Encountered error while generating package metadata.\n╰─> See above for output.\n\nnote: This is an issue with the package mentioned above, not pip.\nhint: See above for details.\n",
                ": ModuleNotFoundError: No module named 'distutils'",
            ),
            // pip from 25 on, and uv.
            (
                "  note: This error originates from a subprocess, and is likely not a problem with pip.\nERROR: Failed to build 'gevent' when getting requirements to build wheel\n",
                ": ERROR: Failed to build 'gevent' when getting requirements to build wheel",
            ),
            (
                "  × Failed to build `gevent==1.5.0`\n  ├─▶ The build backend returned an error\n  ╰─▶ Call to `setuptools.build_meta` failed (exit status: 1)\n      hint: This usually indicates a problem with the package or the build environment.\n",
                ": × Failed to build `gevent==1.5.0`",
            ),
        ] {
            assert_eq!(last_line(log, is_installer_error), expected);
        }
    }
}
