//! Whether two measurements can be compared.

use std::fmt::{self, Display};

use crate::model::run::{Load, Provenance};
use crate::stats::estimate::is_close;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparability {
    /// Why they cannot be compared: what differs, and both values.
    pub refusal: Option<String>,
    /// Circumstances that weaken the comparison, a sentence each.
    pub warnings: Vec<String>,
}

/// A different load changes the numbers for certain, so it is refused. A different machine, Locust or locustfile may
/// change them, so there is a warning.
pub fn comparability(baseline: &Provenance, candidate: &Provenance) -> Comparability {
    let by_load = match (&baseline.load, &candidate.load) {
        (Some(baseline), Some(candidate)) => load_difference(baseline, candidate),
        _ => None,
    };
    let refusal =
        other_locustfile(baseline, candidate).or(by_load).or_else(|| observed_difference(baseline, candidate));
    let refusal = refusal.or_else(|| users_difference(baseline, candidate));
    let mut warnings = Vec::new();
    for (baseline, candidate) in circumstances(baseline).into_iter().zip(circumstances(candidate)) {
        if let (Some(before), Some(now)) = (baseline.value, candidate.value)
            && before != now
        {
            warnings.push(format!("{} differs: baseline {before}, candidate {now}", baseline.name));
        }
    }
    if baseline.load.is_some() && candidate.load.is_none() {
        warnings.push("the load behind these results is unknown, so it is not compared with the baseline's".to_owned());
    }
    Comparability { refusal, warnings }
}

/// Two configurations may name one baseline by accident. Then every endpoint of the one would be MISSING in the other.
fn other_locustfile(baseline: &Provenance, candidate: &Provenance) -> Option<String> {
    let (before, now) = (baseline.locustfile_path.as_ref()?, candidate.locustfile_path.as_ref()?);
    (before != now).then(|| {
        format!(
            "it was recorded by {before}, and this load is of {now}: give each configuration its own [baseline] file, or, if the locustfile was only renamed, accept it with --update-baseline"
        )
    })
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
    let differs = |before: &Option<String>, now: &Option<String>| before.is_some() && now.is_some() && before != now;
    if differs(&baseline.locust, &candidate.locust) {
        others.push("Locust");
    }
    if differs(&baseline.python, &candidate.python) {
        others.push("Python");
    }
    others
}

struct Circumstance {
    name: &'static str,
    value: Option<String>,
}

fn circumstances(of: &Provenance) -> Vec<Circumstance> {
    let fact = |name, value| Circumstance { name, value };
    let load = of.load.as_ref();
    vec![
        fact("the machine", of.machine.as_ref().map(ToString::to_string)),
        fact("Locust's version", of.locust.clone()),
        fact("Python's version", of.python.clone()),
        fact("the locustfile (git hash-object)", of.locustfile.clone()),
        fact("the number of Locust's processes", load.map(|load| load.processes.unwrap_or(1).to_string())),
        fact(
            "the number of Locust's workers",
            load.map(|load| load.workers.map_or_else(|| "none".to_owned(), |workers| workers.to_string())),
        ),
        fact("what Locust gets after `--`", load.map(|load| format!("`{}`", load.masked().locust_args.join(" ")))),
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
    facts: Vec<Circumstance>,
}

impl Stretch {
    /// Compares the next measurement with those before it. If it differs, it begins a new stretch.
    pub fn extend(&mut self, next: &Provenance, setup_accounting: Option<&str>) -> Vec<Break> {
        let load = next.load.as_ref().map(ToString::to_string);
        let args = next.load.as_ref().map(|load| format!("`{}`", load.masked().args.join(" ")));
        let mut facts = circumstances(next);
        facts.push(Circumstance { name: "[load] args", value: args });
        let setup = setup_accounting.map(str::to_owned);
        facts.push(Circumstance { name: "the place of the requests of `on_start`", value: setup });
        facts.insert(0, Circumstance { name: "the load", value: load });
        let mut breaks = Vec::new();
        for (known, next) in self.facts.iter_mut().zip(&facts) {
            match (&known.value, &next.value) {
                (Some(before), Some(after)) if before != after => {
                    breaks.push(Break { what: known.name, before: before.clone(), after: after.clone() });
                }
                (None, Some(after)) => known.value = Some(after.clone()),
                _ => {}
            }
        }
        if self.facts.is_empty() || !breaks.is_empty() {
            self.facts = facts;
        }
        breaks
    }
}

/// The share of users that may be missing, or by which two lengths may differ. A user waits for a response before the next
/// request, so fewer users send fewer requests, and a service with fewer requests looks faster.
const MISSING_USERS: f64 = 0.05;

/// The seconds by which the length of two equal loads may differ, beside [`MISSING_USERS`].
const LENGTH_TOLERANCE_S: f64 = 2.0;

fn observed_difference(baseline: &Provenance, candidate: &Provenance) -> Option<String> {
    let (before, now) = (baseline.observed_load?, candidate.observed_load?);
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
    (!differences.is_empty()).then(|| {
        format!(
            "{}; measure with the baseline's load, or accept the new load with --update-baseline",
            differences.join("; ")
        )
    })
}

pub const USERS_LEFT: &str = "find out why the others left";

pub fn users_difference(baseline: &Provenance, candidate: &Provenance) -> Option<String> {
    let active = candidate.mean_users?;
    let (expected, whose) = match (baseline.mean_users, &candidate.load) {
        (Some(mean), _) => (mean, "in the baseline"),
        // A load shape sets its own number of users.
        (None, Some(load)) if !load.has_shape => (f64::from(load.users), "in its settings"),
        _ => return None,
    };
    if active >= (1.0 - MISSING_USERS) * expected {
        return None;
    }
    Some(format!(
        "only {active:.1} users were active on average ({expected:.1} {whose}): {USERS_LEFT}, or accept this load with --update-baseline"
    ))
}

fn load_difference(baseline: &Load, candidate: &Load) -> Option<String> {
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
    let differences = differences.join("; ");
    let changes = changes.join(", ");
    (!changes.is_empty()).then(|| format!("{differences}; {changes}, or accept the new load with --update-baseline"))
}
