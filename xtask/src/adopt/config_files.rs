//! `perf.toml` and the locustfile of the other repository.

use std::fmt::Write as _;
use std::fs;

use crate::config::locust_conf::LocustConf;
use crate::config::perf_toml::Config;
use crate::sys::files;
use anyhow::Result;
use judge::model::program;
use xshell::Shell;

use crate::adopt::edits::{Destination, Edit};
use crate::adopt::found::{self, locustfiles};
use crate::adopt::template::render;

const PERF_TOML: &str = include_str!("../../adopt/perf.toml");
const LOCUSTFILE: &str = include_str!("../../adopt/locustfile.py");

pub(crate) fn edits(destination: &Destination, in_folder: &Shell, excluded: &[String]) -> Result<[Edit; 2]> {
    let locustfiles = locustfiles(in_folder, excluded);
    let (locustfile, found) = locustfile(destination, &locustfiles)?;
    Ok([perf_toml(destination, in_folder, excluded, &locustfiles, &found)?, locustfile])
}

/// Returns also the locustfile that `perf.toml` must name, or an empty text.
fn locustfile(destination: &Destination, locustfiles: &[String]) -> Result<(Edit, String)> {
    let Destination { top, folder, inside } = destination;
    let name = format!("{inside}locustfile.py");
    let without = |done: String| Edit { done, ..Edit::kept(name.clone()) };
    let of_locust = LocustConf::read(folder)?.get("locustfile", |text| Ok(text.to_owned()))?;
    let perf_toml = folder.join("perf.toml");
    // The gate itself reports a `perf.toml` that is wrong.
    let of_gate = if perf_toml.is_file() {
        Config::parse(&files::read_to_string(&perf_toml)?).ok().and_then(|config| config.load.locustfile)
    } else {
        None
    };
    let edit = match (of_gate, of_locust) {
        (Some(named), _) => without(format!("not needed: perf.toml names {named}")),
        (None, Some(named)) if named != "locustfile.py" => {
            without(format!("not created: Locust's own configuration names {named}"))
        }
        _ if fs::symlink_metadata(folder.join("locustfile.py")).is_ok() => Edit::kept(name),
        _ => match locustfiles {
            [] => Edit::create_or_keep(top, name, LOCUSTFILE),
            [one] => return Ok((without(format!("not needed: {one} is there")), one.clone())),
            several => without(format!("not created: {} files here use Locust", several.len())).advising(vec![
                format!(
                    "name one of these, several with commas, or their folder in [load] locustfile of {inside}perf.toml:"
                ),
                several.join(" "),
            ]),
        },
    };
    Ok((edit, String::new()))
}

fn perf_toml(
    destination: &Destination,
    shell: &Shell,
    excluded: &[String],
    locustfiles: &[String],
    locustfile: &str,
) -> Result<Edit> {
    let name = format!("{}perf.toml", destination.inside);
    let mut lines = if locustfile.is_empty() { Vec::new() } else { vec![format!("locustfile = {locustfile:?}")] };
    if destination.folder.join("perf.toml").exists() {
        if !lines.is_empty() {
            lines.insert(0, format!("add this line to [load] in {name}:"));
        }
        return Ok(Edit::kept(name).advising(lines));
    }
    let locust = found::locust(&destination.folder, shell, excluded, locustfiles)?;
    let values = [("program", program::name()), ("locustfile", &lines.concat()), ("locust", &locust.lines.join("\n"))];
    let mut edit = Edit::create_or_keep(&destination.top, name.clone(), &render(PERF_TOML, &values));
    let found: Vec<String> = lines.into_iter().chain(locust.lines).collect();
    if !found.is_empty() {
        let _ = write!(edit.done, ", with what was found here: {}", found.join(", "));
    }
    if let Some(requirements) = locust.not_needed {
        let _ = write!(edit.done, "; {requirements} is not installed, because the locustfile imports only Locust");
    }
    edit.advice.extend(locust.advice);
    if !locust.also.is_empty() {
        let also = locust.also.join(", ");
        edit.advice.push(format!("Locust is also in {also}: if you use that one, name it in [locust] of {name}"));
    }
    Ok(edit)
}
