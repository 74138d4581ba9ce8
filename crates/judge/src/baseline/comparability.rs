//! Whether two measurements can be compared.

use std::fmt::{self, Display};

use crate::baseline::file::Baseline;
use crate::model::run::{Load, Provenance};
use crate::stats::estimate::is_close;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparability {
    /// Why they cannot be compared: what differs, and both values. Empty if they can.
    pub refusal: String,
    /// Circumstances that weaken the comparison, a sentence each.
    pub warnings: Vec<String>,
}

/// A different load changes the numbers for certain, so it is refused. Other circumstances may change them.
pub fn comparability(baseline: &Provenance, candidate: &Provenance) -> Comparability {
    let differences = [
        other_locustfile(baseline, candidate),
        load_difference(baseline, candidate),
        observed_difference(baseline, candidate),
        given_users_difference(baseline, candidate),
        users_difference(baseline, candidate),
    ];
    let refusal = differences.into_iter().find(|difference| !difference.is_empty()).unwrap_or_default();
    let mut warnings = Vec::new();
    for ((name, before), (_, now)) in circumstances(baseline).into_iter().zip(circumstances(candidate)) {
        if differs(&before, &now) {
            warnings.push(format!("{name} differs: baseline {before}, candidate {now}"));
        }
    }
    if baseline.load.is_some() && candidate.load.is_none() {
        warnings.push("the load behind these results is unknown, so it is not compared with the baseline's".to_owned());
    }
    Comparability { refusal, warnings }
}

/// Two configurations may name one baseline by accident. Then every endpoint of the one would be MISSING in the other.
fn other_locustfile(baseline: &Provenance, candidate: &Provenance) -> String {
    let (before, now) = (&baseline.locustfile_path, &candidate.locustfile_path);
    if !differs(before, now) {
        return String::new();
    }
    format!(
        "it was recorded by {before}, and this load is of {now}: give each configuration its own [baseline] file, or, if the locustfile was only renamed, accept it with --update-baseline"
    )
}

/// Whether both are known and not the same.
fn differs(before: &str, now: &str) -> bool {
    !before.is_empty() && !now.is_empty() && before != now
}

pub fn other_circumstances(baseline: &Provenance, candidate: &Provenance) -> Vec<&'static str> {
    let mut others = Vec::new();
    if let (Some(before), Some(now)) = (&baseline.machine, &candidate.machine) {
        if before.cpu != now.cpu {
            others.push("CPU");
        }
        if before.cores != now.cores {
            others.push("number of cores");
        }
    }
    if differs(&baseline.locust, &candidate.locust) {
        others.push("Locust");
    }
    if differs(&baseline.python, &candidate.python) {
        others.push("Python");
    }
    others
}

/// Names and values; a value is empty if it is unknown.
fn circumstances(of: &Provenance) -> Vec<(&'static str, String)> {
    let of_load = |text: fn(&Load) -> String| of.load.as_ref().map(text).unwrap_or_default();
    let workers = |load: &Load| load.workers.map_or_else(|| "none".to_owned(), |workers| workers.to_string());
    vec![
        ("the machine", of.machine.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("Locust's version", of.locust.clone()),
        ("Python's version", of.python.clone()),
        ("the locustfile (git hash-object)", of.locustfile.clone()),
        ("the number of Locust's processes", of_load(|load| load.processes.unwrap_or(1).to_string())),
        ("the number of Locust's workers", of_load(workers)),
        ("what Locust gets after `--`", of_load(|load| format!("`{}`", load.masked().locust_args.join(" ")))),
    ]
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    pub what: &'static str,
    pub before: String,
    pub after: String,
}

impl Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, then {}", self.what, self.before, self.after)
    }
}

/// All known circumstances of the measurements of a stretch. One measurement may know what another does not.
#[derive(Default)]
pub(crate) struct Stretch {
    facts: Vec<(&'static str, String)>,
}

impl Stretch {
    pub fn from(baseline: &Baseline) -> Stretch {
        let mut stretch = Stretch::default();
        stretch.extend(&baseline.provenance, baseline.setup_accounting());
        stretch
    }

    /// Compares the next measurement with those before it. If it differs, it begins a new stretch.
    pub fn extend(&mut self, next: &Provenance, setup_accounting: &str) -> Vec<Break> {
        let of_load = |text: fn(&Load) -> String| next.load.as_ref().map(text).unwrap_or_default();
        let mut facts = vec![("the load", of_load(Load::to_string))];
        facts.extend(circumstances(next));
        facts.push(("[load] args", of_load(|load| format!("`{}`", load.masked().args.join(" ")))));
        facts.push(("the place of the requests of `on_start`", setup_accounting.to_owned()));
        let mut breaks = Vec::new();
        for ((name, before), (_, after)) in self.facts.iter_mut().zip(&facts) {
            if differs(before, after) {
                breaks.push(Break { what: name, before: before.clone(), after: after.clone() });
            } else if before.is_empty() {
                before.clone_from(after);
            }
        }
        if self.facts.is_empty() || !breaks.is_empty() {
            self.facts = facts;
        }
        breaks
    }
}

/// The share of users that may be missing, or by which lengths may differ: a service looks faster with fewer requests.
const MISSING_USERS: f64 = 0.05;

/// The seconds by which the length of two equal loads may differ, beside [`MISSING_USERS`].
const LENGTH_TOLERANCE_S: f64 = 2.0;

fn observed_difference(baseline: &Provenance, candidate: &Provenance) -> String {
    let (Some(before), Some(now)) = (baseline.observed_load, candidate.observed_load) else { return String::new() };
    let mut differences = Vec::new();
    if (now.users - before.users).abs() > MISSING_USERS * before.users {
        differences
            .push(format!("users: the baseline's history has up to {}, this one up to {}", before.users, now.users));
    }
    let apart_s = (now.length_s - before.length_s).abs();
    if apart_s > LENGTH_TOLERANCE_S && apart_s > MISSING_USERS * before.length_s {
        differences.push(format!(
            "length: the baseline's history covers {:.0} s, this one {:.0} s",
            before.length_s, now.length_s
        ));
    }
    if differences.is_empty() {
        return String::new();
    }
    format!(
        "{}; measure with the baseline's load, or accept the new load with --update-baseline",
        differences.join("; ")
    )
}

/// For results of others, the number of users comes from a flag.
fn given_users_difference(baseline: &Provenance, candidate: &Provenance) -> String {
    let before = baseline.mean_users.or(baseline.observed_load.map(|observed| observed.users));
    match (before, candidate.mean_users, &candidate.load) {
        (Some(before), Some(now), None) if (now - before).abs() > MISSING_USERS * before => format!(
            "users: the baseline has {before:.1}, these results {now:.1}; measure with the baseline's load, or accept the new load with --update-baseline"
        ),
        _ => String::new(),
    }
}

pub const USERS_LEFT: &str = "find out why the others left";

/// Empty if no users are missing. A load shape sets its own number of users, which may be too many too.
pub fn users_difference(baseline: &Provenance, candidate: &Provenance) -> String {
    let (active, expected, whose) = match (candidate.mean_users, baseline.mean_users, &candidate.load) {
        (Some(active), Some(mean), Some(load)) if load.has_shape && active > (1.0 + MISSING_USERS) * mean => {
            return format!(
                "{active:.1} users were active on average ({mean:.1} in the baseline): restore the load shape, or accept this load with --update-baseline"
            );
        }
        (Some(active), Some(mean), _) => (active, mean, "in the baseline"),
        (Some(active), None, Some(load)) if !load.has_shape => (active, f64::from(load.users), "in its settings"),
        _ => return String::new(),
    };
    if active >= (1.0 - MISSING_USERS) * expected {
        return String::new();
    }
    format!(
        "only {active:.1} users were active on average ({expected:.1} {whose}): {USERS_LEFT}, or accept this load with --update-baseline"
    )
}

fn load_difference(baseline: &Provenance, candidate: &Provenance) -> String {
    let (Some(baseline), Some(candidate)) = (&baseline.load, &candidate.load) else { return String::new() };
    let (mut differences, mut changes, mut flags) = (Vec::new(), Vec::new(), Vec::new());
    if !is_close(baseline.warmup_s, candidate.warmup_s) {
        let (before, now) = (baseline.warmup_s, candidate.warmup_s);
        differences.push(format!("the baseline has {before} s of warm-up, this load {now} s"));
        changes.push("change [load] warmup".to_owned());
    }
    let [before, now] = [baseline, candidate].map(|load| load.masked().args.join(" "));
    if before != now {
        differences.push(format!("arguments of Locust: the baseline has `{before}`, this load `{now}`"));
        changes.push("change [load] args".to_owned());
    }
    let mut differs = |what: &str, flag: &str, baseline: &dyn Display, candidate: &dyn Display| {
        differences.push(format!("{what}: the baseline has {baseline}, this load {candidate}"));
        flags.push(format!("{flag} {baseline}"));
    };
    if baseline.users != candidate.users {
        differs("users", "--users", &baseline.users, &candidate.users);
    }
    if !is_close(baseline.spawn_rate, candidate.spawn_rate) {
        differs("spawn rate", "--spawn-rate", &baseline.spawn_rate, &candidate.spawn_rate);
    }
    if baseline.run_time_s != candidate.run_time_s {
        let [before, now] = [baseline, candidate].map(|load| format!("{}s", load.run_time_s));
        differs("run time", "--run-time", &before, &now);
    }
    if !flags.is_empty() {
        changes.push(format!("measure with {}", flags.join(" ")));
    }
    if changes.is_empty() {
        return String::new();
    }
    let (differences, changes) = (differences.join("; "), changes.join(", "));
    format!("{differences}; {changes}, or accept the new load with --update-baseline")
}
