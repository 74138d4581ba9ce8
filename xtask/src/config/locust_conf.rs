//! Locust's own configuration: the `LOCUST_*` variables, then its files in its own order.

use std::env;
use std::path::Path;

use anyhow::{Result, anyhow, bail};

use crate::sys::files;

/// The settings that Locust itself would read. Of a key that several sources set, the first counts.
#[derive(Debug, Default)]
pub struct LocustConf {
    settings: Vec<Setting>,
}

#[derive(Debug)]
struct Setting {
    /// The name of a variable or a file.
    source: String,
    is_in_file: bool,
    /// In Locust's spelling: `spawn-rate`.
    key: String,
    value: String,
}

impl LocustConf {
    pub(crate) fn read(root: &Path) -> Result<LocustConf> {
        let mut locust = LocustConf::default();
        locust.add_env(
            env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        );
        let home = env::home_dir().unwrap_or_default();
        for path in [root.join("pyproject.toml"), root.join("locust.conf"), home.join(".locust.conf")] {
            let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            // A file at home that cannot be found is hidden from Locust too.
            if !files::exists(&path) || !path.starts_with(root) && !path.exists() {
                continue;
            }
            // A file that Locust reads and this program cannot may change the run unnoticed.
            let text = files::read_to_string(&path)?;
            if path.extension().is_some_and(|extension| extension == "toml") {
                locust.add_pyproject(&shown, &text)?;
            } else {
                locust.add_conf(&shown, &text);
            }
        }
        Ok(locust)
    }

    pub fn add_env(&mut self, vars: impl Iterator<Item = (String, String)>) {
        for (name, value) in vars {
            if let Some(key) = name.strip_prefix("LOCUST_") {
                let key = key.to_lowercase().replace('_', "-");
                self.settings.push(Setting { source: name, is_in_file: false, key, value });
            }
        }
    }

    pub fn add_pyproject(&mut self, source: &str, text: &str) -> Result<()> {
        let project: toml::Table = toml::from_str(text).map_err(|error| anyhow!("{source}: {}", error.message()))?;
        let Some(table) = project.get("tool").and_then(|tool| tool.get("locust")).and_then(toml::Value::as_table)
        else {
            return Ok(());
        };
        for (key, value) in table {
            let value = match value {
                toml::Value::String(text) => text.clone(),
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Float(number) => number.to_string(),
                toml::Value::Boolean(switch) => switch.to_string(),
                toml::Value::Array(list) => {
                    let list: Vec<&str> = list.iter().filter_map(toml::Value::as_str).collect();
                    format!("[{}]", list.join(", "))
                }
                // No setting that the gate reads is a table.
                _ => continue,
            };
            let (source, key) = (source.to_owned(), key.replace('_', "-"));
            self.settings.push(Setting { source, is_in_file: true, key, value });
        }
        Ok(())
    }

    /// Lines of `key = value`, `key: value` or `key value`, comments behind `#` or `;`.
    pub fn add_conf(&mut self, source: &str, text: &str) {
        // If a key appears twice, the last one counts.
        for line in text.lines().rev().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', ';', '[']) {
                continue;
            }
            let separators = [['=', ':'].as_slice(), &[' ', '\t', '\u{b}', '\u{c}']].concat();
            let (key, value) = line.split_once(separators.as_slice()).unwrap_or((line, "true"));
            let value = value.trim_start_matches(separators.as_slice());
            let comment = value.match_indices([';', '#']).find(|(at, _)| value[..*at].ends_with([' ', '\t']));
            let value = comment.map_or(value, |(at, _)| &value[..at]).trim().trim_matches(['"', '\'']);
            self.settings.push(Setting {
                source: source.to_owned(),
                is_in_file: true,
                key: key.trim().trim_start_matches('-').replace('_', "-"),
                value: value.to_owned(),
            });
        }
    }

    fn find(&self, key: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.find(key).map(|setting| setting.value.as_str())
    }

    pub(crate) fn get<T>(&self, key: &str, parse: impl Fn(&str) -> Result<T>) -> Result<Option<T>> {
        let Some(Setting { source, value, .. }) = self.find(key) else { return Ok(None) };
        parse(value).map(Some).map_err(|error| anyhow!("{source} sets Locust's `{key}` to `{value}`: {error}"))
    }

    /// `given` is the value of a flag or of `perf.toml`.
    pub(crate) fn get_unless<T>(
        &self,
        given: Option<T>,
        key: &str,
        parse: impl Fn(&str) -> Result<T>,
        default: T,
    ) -> Result<T> {
        match given {
            Some(given) => Ok(given),
            None => Ok(self.get(key, parse)?.unwrap_or(default)),
        }
    }

    /// The tags that choose the users' tasks, as arguments, unless `given` replaces them. As arguments they are a part of the
    /// load that is stored and compared.
    pub(crate) fn tags(&self, given: &[String]) -> Vec<String> {
        let mut args = Vec::new();
        for (key, long, short) in [("tags", "--tags", "-T"), ("exclude-tags", "--exclude-tags", "-E")] {
            let is_it = |arg: &String| {
                let name = arg.split('=').next().unwrap_or_default();
                arg.starts_with(short) || name.len() > 2 && long.starts_with(name)
            };
            let value = self.text(key).unwrap_or_default().trim();
            if value.is_empty() || given.iter().any(is_it) {
                continue;
            }
            args.push(long.to_owned());
            // Locust takes any text that is not a list for one tag.
            match value.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
                Some(list) => args.extend(list.split(',').map(|tag| tag.trim().trim_matches(['"', '\'']).to_owned())),
                None => args.push(value.to_owned()),
            }
        }
        args
    }

    /// Refuses a file that makes another run. A variable is removed from Locust's environment instead ([`STRIPPED`]).
    pub(crate) fn refuse_other_modes(&self) -> Result<()> {
        for Setting { source, is_in_file, key, value } in &self.settings {
            let is_off = matches!(value.to_lowercase().as_str(), "false" | "0" | "no");
            if *is_in_file && !is_off && OTHER_MODES.contains(&key.as_str()) {
                bail!(
                    "{source} sets Locust's `{key}`, which would change the run, or keep it from ending: remove it there"
                );
            }
        }
        Ok(())
    }
}

/// The keys of Locust's configuration files that make it wait, fork, hide its log, list what it has instead of a run, or
/// clear its statistics before they are written (`json`).
const OTHER_MODES: [&str; 12] = [
    "headful",
    "master",
    "worker",
    "processes",
    "autoquit",
    "logfile",
    "skip-log-setup",
    "config-users",
    "json",
    "list",
    "show-task-ratio",
    "show-task-ratio-json",
];

/// The variables that would do the same.
pub(crate) const STRIPPED: [&str; 8] = [
    "LOCUST_HEADFUL",
    "LOCUST_MODE_MASTER",
    "LOCUST_MODE_WORKER",
    "LOCUST_PROCESSES",
    "LOCUST_AUTOQUIT",
    "LOCUST_LOGFILE",
    "LOCUST_SKIP_LOG_SETUP",
    "LOCUST_CONFIG_USERS",
];
