//! The command line: [`HELP`] is what users read, and the list of flags that errors suggest from.

use std::ffi::OsString;
use std::iter;
use std::path::PathBuf;

use anyhow::{Result, anyhow, bail, ensure};
use pico_args::Arguments;

use crate::report::Format;

pub const HELP: &str = "\
Repository automation: the performance gate.

USAGE
  cargo xtask perf [RESULTS ...] [FLAGS] [-- LOCUST-ARGS]
  cargo xtask selftest [--quick]
  cargo xtask adopt PATH

perf without RESULTS: starts the service of perf.toml, loads it with Locust, and compares
p50, p95, p99, throughput and error rate with the committed baseline. One run where that
settles the verdict, more where noise could still change it.
perf with RESULTS: judges what exists, without running anything. RESULTS are
perf_results_stats.csv files or Locust's JSON, one a run, or folders of runs
(target/perf/latest).
selftest: proves the gate on this machine, with real Locust on the bundled demo: the same
build passes, a slower, a failing and a stopped one do not.
adopt: brings the gate into the git repository at PATH. No file there is overwritten; each is
told of, and what comes next.

FLAGS OF perf
      --update-baseline     measure (or take RESULTS), show the comparison, and rewrite
                            the baseline with the git commit
      --against REV         compare with this commit instead of the baseline: both are built,
                            and measured in turn on this machine
      --note TEXT           kept in the baseline's `notes`; with --update-baseline
      --baseline FILE       the baseline [default: perf_baseline.json]
      --config FILE         the configuration [default: perf.toml]
      --strict              every warning is a failure
      --verbose             also every endpoint, what was run, the machine, Locust's output
      --quiet               only findings and the verdict
      --users N             concurrent users
      --spawn-rate R        users started per second
      --run-time T          length of the load: 45s, 2m, 1h30m
      --host URL            load this running service; [service] of perf.toml is not started
      --locustfile FILE     what the users do
      --processes N         Locust processes that share the load
      --expect-workers N    Locust workers that share it from other machines: the command that
                            starts each is printed, and waited for
      --min-runs N          runs made in any case [default: 1; with --against 2 rounds]
      --max-runs N          runs made at most, while a verdict is not settled; made always
                            with --update-baseline [default: 5; with --against 7 rounds]
      --report FILE         also write the report: .html, .md, .json, or .xml (JUnit);
                            may be given several times
      --bisect-exit-codes   125 instead of 2, as `git bisect run` wants it
  -h, --help                print this
  -- LOCUST-ARGS            handed to Locust as they are

FLAGS OF selftest
      --quick               fewer and shorter runs: two minutes instead of four
  -h, --help                print this

Flag > perf.toml > Locust's own configuration (LOCUST_*, pyproject.toml, locust.conf).

EXIT CODES
  0    pass, warnings included
  1    regression: a limit is exceeded; of selftest: an expectation does not hold
  2    nothing was judged: usage, set-up, service, Locust, unreadable or not comparable input
  130  interrupted (143: terminated); no process is left, no file is half written
";

/// What cannot be judged is 125 then, which `git bisect run` skips.
pub const BISECT_EXIT_CODES: &str = "--bisect-exit-codes";

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub enum Command {
    Help,
    Perf(Box<Perf>),
    Selftest(Selftest),
    Adopt(Adopt),
}

#[derive(Debug, Default, PartialEq)]
pub struct Perf {
    pub results: Vec<PathBuf>,
    pub update_baseline: bool,
    pub against: Option<String>,
    pub note: Option<String>,
    pub baseline: Option<PathBuf>,
    pub config: Option<PathBuf>,
    pub reports: Vec<PathBuf>,
    pub strict: bool,
    pub verbose: bool,
    pub quiet: bool,
    pub load: LoadFlags,
    pub locust_args: Vec<String>,
}

#[derive(Debug, Default, PartialEq)]
pub struct Selftest {
    pub quick: bool,
}

#[derive(Debug, PartialEq)]
pub struct Adopt {
    pub path: PathBuf,
}

/// What changes the load; of no use when RESULTS are judged.
#[derive(Debug, Default, PartialEq)]
pub struct LoadFlags {
    pub users: Option<u32>,
    pub spawn_rate: Option<f64>,
    pub run_time_s: Option<u64>,
    pub host: Option<String>,
    pub locustfile: Option<PathBuf>,
    pub processes: Option<u32>,
    pub expect_workers: Option<u32>,
    pub min_runs: Option<u32>,
    pub max_runs: Option<u32>,
}

impl Perf {
    /// Runs, or rounds, made at least and at most. One round tells nothing of the noise.
    pub fn runs(&self) -> [usize; 2] {
        let [least, most] = if self.against.is_some() { [2, 7] } else { [1, 5] };
        let asked = |runs: Option<u32>| runs.map(|runs| runs as usize);
        let min = asked(self.load.min_runs).unwrap_or(least);
        [min, asked(self.load.max_runs).unwrap_or(most).max(min)]
    }
}

/// Parses the arguments after the program's name.
///
/// An error names what is wrong: an unknown flag (with the nearest known one), a flag given twice, a missing or
/// malformed value, flags that contradict each other.
pub fn parse(mut args: Vec<OsString>) -> Result<Command> {
    let locust_args = match args.iter().position(|arg| arg == "--") {
        Some(separator) => args.drain(separator..).skip(1).map(utf8).collect::<Result<_>>()?,
        None => Vec::new(),
    };
    let mut args = Arguments::from_vec(args);
    if args.contains(["-h", "--help"]) {
        return Ok(Command::Help);
    }
    match args.subcommand().map_err(|error| anyhow!("{error}"))?.as_deref() {
        Some("perf") => Ok(Command::Perf(Box::new(perf(args, locust_args)?))),
        Some("selftest") => Ok(Command::Selftest(selftest(args, &locust_args)?)),
        Some("adopt") => Ok(Command::Adopt(adopt(args, &locust_args)?)),
        Some(other) => bail!("there is no command `{other}`: try `cargo xtask perf` or `cargo xtask --help`"),
        None => bail!("no command is given: try `cargo xtask perf` or `cargo xtask --help`"),
    }
}

fn perf(mut args: Arguments, locust_args: Vec<String>) -> Result<Perf> {
    // `main` turns the exit code.
    args.contains(BISECT_EXIT_CODES);
    let mut perf = Perf {
        results: Vec::new(),
        update_baseline: args.contains("--update-baseline"),
        against: value(&mut args, "--against", |text| Ok(text.to_owned()))?,
        note: value(&mut args, "--note", |text| Ok(text.to_owned()))?,
        baseline: path(&mut args, "--baseline")?,
        config: path(&mut args, "--config")?,
        reports: iter::from_fn(|| path(&mut args, "--report").transpose()).collect::<Result<_>>()?,
        strict: args.contains("--strict"),
        verbose: args.contains("--verbose"),
        quiet: args.contains("--quiet"),
        load: LoadFlags {
            users: value(&mut args, "--users", positive)?,
            spawn_rate: value(&mut args, "--spawn-rate", parse_spawn_rate)?,
            run_time_s: value(&mut args, "--run-time", parse_run_time_s)?,
            host: value(&mut args, "--host", |text| Ok(text.to_owned()))?,
            locustfile: path(&mut args, "--locustfile")?,
            processes: value(&mut args, "--processes", positive)?,
            expect_workers: value(&mut args, "--expect-workers", positive)?,
            min_runs: value(&mut args, "--min-runs", positive)?,
            max_runs: value(&mut args, "--max-runs", positive)?,
        },
        locust_args,
    };
    perf.results = results(args)?;

    for report in &perf.reports {
        Format::of(report)?;
    }
    ensure!(!(perf.quiet && perf.verbose), "--quiet and --verbose contradict each other: give one");
    ensure!(
        perf.note.is_none() || perf.update_baseline,
        "--note is kept in the baseline: give it with --update-baseline"
    );
    if perf.against.is_some() {
        for (with, is_there) in [
            ("RESULTS", !perf.results.is_empty()),
            ("--update-baseline", perf.update_baseline),
            ("--baseline", perf.baseline.is_some()),
        ] {
            ensure!(!is_there, "--against measures both sides and knows no baseline file: leave out {with}");
        }
        let least = perf.load.min_runs.or(perf.load.max_runs).unwrap_or(2);
        ensure!(least >= 2, "--against takes at least 2 rounds: one tells nothing of the noise");
    }
    if let (Some(min), Some(max)) = (perf.load.min_runs, perf.load.max_runs) {
        ensure!(min <= max, "--min-runs {min} is more than --max-runs {max}");
    }
    if !perf.results.is_empty() {
        let measures = perf.load != LoadFlags::default() || !perf.locust_args.is_empty();
        ensure!(!measures, "RESULTS are judged as they are, so flags of a measurement have no effect: give either");
    }
    refuse_owned_locust_args(&perf.locust_args)?;
    Ok(perf)
}

fn selftest(mut args: Arguments, locust_args: &[String]) -> Result<Selftest> {
    let selftest = Selftest { quick: args.contains("--quick") };
    let left = leftovers(args, "selftest", "")?;
    if let Some(left) = left.first().map(|path| path.to_string_lossy()).or(locust_args.first().map(Into::into)) {
        bail!("`{left}`: selftest takes nothing but its flags; leave it out");
    }
    Ok(selftest)
}

fn adopt(args: Arguments, locust_args: &[String]) -> Result<Adopt> {
    let left = leftovers(args, "adopt", "")?;
    match (&left[..], locust_args) {
        ([path], []) => Ok(Adopt { path: path.clone() }),
        _ => bail!("adopt takes one PATH, the root of the git repository that is to have the gate"),
    }
}

fn results(args: Arguments) -> Result<Vec<PathBuf>> {
    leftovers(args, "perf", "; what is meant for Locust goes behind `--`")
}

/// What is left after all flags of the command are taken: files, or mistakes.
fn leftovers(args: Arguments, command: &str, hint: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for left in args.finish() {
        let text = left.to_string_lossy();
        if !text.starts_with('-') || text == "-" {
            files.push(PathBuf::from(left));
            continue;
        }
        let name = text.split('=').next().unwrap_or_default();
        if !known_flags(command).any(|flag| flag == name) {
            let likeness = |flag: &str| strsim::jaro_winkler(flag, name);
            let nearest = known_flags(command).max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
            // That all begin with `--` likens any two a little.
            let nearest = nearest.filter(|flag| likeness(flag) > 0.75);
            let next = nearest.map_or_else(|| "see --help".to_owned(), |flag| format!("the nearest is `{flag}`"));
            bail!("there is no flag `{name}`: {next}{hint}");
        }
        if text.contains('=') && !usage(name).contains(' ') {
            bail!("`{name}` takes no value");
        }
        bail!("`{name}` is given twice");
    }
    Ok(files)
}

/// Every flag that [`HELP`] lists for the command.
pub fn known_flags(command: &str) -> impl Iterator<Item = &'static str> {
    let list = HELP.split_once(&format!("FLAGS OF {command}\n")).map_or("", |(_, list)| list);
    flag_lines(list.split("\n\n").next().unwrap_or_default()).map(|usage| usage.split(' ').next().unwrap_or(usage))
}

/// A flag with its value as in [`HELP`]: `--users N`.
fn usage(flag: &str) -> &'static str {
    flag_lines(HELP).find(|usage| usage.split(' ').next() == Some(flag)).unwrap_or("")
}

fn flag_lines(help: &'static str) -> impl Iterator<Item = &'static str> {
    let is_flag = |usage: &&str| usage.starts_with("--") && !usage.starts_with("-- ");
    help.lines().filter_map(|line| line.trim_start().trim_start_matches("-h, ").split("  ").next()).filter(is_flag)
}

fn raw(args: &mut Arguments, flag: &'static str) -> Result<Option<OsString>> {
    let missing = || anyhow!("`{flag}` needs a value: `{}`", usage(flag));
    let value = args.opt_value_from_os_str(flag, |value| Ok::<_, String>(value.to_owned())).map_err(|_| missing())?;
    match value {
        // pico-args takes the next argument whatever it is.
        Some(value) if value.is_empty() || value.to_string_lossy().starts_with("--") => Err(missing()),
        value => Ok(value),
    }
}

fn path(args: &mut Arguments, flag: &'static str) -> Result<Option<PathBuf>> {
    Ok(raw(args, flag)?.map(PathBuf::from))
}

fn value<T>(args: &mut Arguments, flag: &'static str, parse: impl Fn(&str) -> Result<T>) -> Result<Option<T>> {
    let Some(text) = raw(args, flag)? else { return Ok(None) };
    let text = utf8(text)?;
    parse(&text).map(Some).map_err(|error| anyhow!("`{flag} {text}`: {error}; write `{}`", usage(flag)))
}

fn utf8(text: OsString) -> Result<String> {
    text.into_string().map_err(|text| anyhow!("`{}` is not UTF-8", text.to_string_lossy()))
}

fn positive(text: &str) -> Result<u32> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| anyhow!("this is no whole number from 1 up"))
}

/// Users started per second.
pub fn parse_spawn_rate(text: &str) -> Result<f64> {
    text.parse()
        .ok()
        .filter(|rate: &f64| rate.is_finite() && *rate > 0.0)
        .ok_or_else(|| anyhow!("this is no number above 0"))
}

/// Whole seconds in the forms that Locust takes: `20`, `20s`, `3m`, `1h30m`; at least 1, since Locust takes 0 for «for ever».
pub fn parse_run_time_s(text: &str) -> Result<u64> {
    let duration = match text.parse::<u64>() {
        Ok(seconds) => std::time::Duration::from_secs(seconds),
        Err(_) => {
            humantime::parse_duration(text).map_err(|_| anyhow!("this is no length of time like 45s, 2m or 1h30m"))?
        }
    };
    ensure!(duration.subsec_nanos() == 0 && duration.as_secs() > 0, "Locust runs for whole seconds, at least one");
    Ok(duration.as_secs())
}

/// Locust's options that the gate sets itself, and the flag to use instead: of a repeated option Locust takes the last
/// without a word, so one of these behind `--` would make another run than the one that is compared.
const OWNED: [(&str, &str); 32] = [
    ("-f", "--locustfile"),
    ("--locustfile", "--locustfile"),
    ("-u", "--users"),
    ("--users", "--users"),
    ("-r", "--spawn-rate"),
    ("--spawn-rate", "--spawn-rate"),
    ("-t", "--run-time"),
    ("--run-time", "--run-time"),
    ("-H", "--host"),
    ("--host", "--host"),
    ("--processes", "--processes"),
    ("--expect-workers", "--expect-workers"),
    ("--expect-workers-max-wait", "[load] workers_timeout in perf.toml"),
    ("-s", "[load] stop_timeout in perf.toml"),
    ("--stop-timeout", "[load] stop_timeout in perf.toml"),
    ("-L", ""),
    ("--loglevel", ""),
    ("--logfile", ""),
    ("--skip-log-setup", ""),
    ("--csv", ""),
    ("--json", ""),
    ("--json-file", ""),
    ("--headless", ""),
    ("--headful", ""),
    ("--config", ""),
    ("--autoquit", ""),
    ("--master", ""),
    ("--worker", ""),
    ("--master-host", ""),
    ("--master-port", ""),
    ("--master-bind-host", "LOCUST_MASTER_BIND_HOST"),
    ("--master-bind-port", "LOCUST_MASTER_BIND_PORT"),
];

fn refuse_owned_locust_args(locust_args: &[String]) -> Result<()> {
    for arg in locust_args {
        let name = arg.split('=').next().unwrap_or_default();
        // Short options may hold their value (`-u50`), long ones may be cut short (`--user`).
        let is = |option: &str| {
            if option.starts_with("--") {
                name.len() > 2 && option.starts_with(name)
            } else {
                !arg.starts_with("--") && arg.starts_with(option)
            }
        };
        if let Some((option, instead)) = OWNED.iter().find(|(option, _)| is(option)) {
            match *instead {
                "" => bail!("`{arg}` behind `--`: the gate decides on Locust's `{option}` itself; leave it out"),
                instead => bail!("`{arg}` behind `--`: the gate sets Locust's `{option}` itself; use {instead}"),
            }
        }
    }
    Ok(())
}
