//! The command line: [`HELP`] is what users read, and the list of flags that errors suggest from.

use std::ffi::OsString;
use std::iter;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use judge::model::program;
use judge::model::run::Metric;
use judge::model::text::{likeness, nearest};
use judge::verdict::bisect::LEAST_ROUNDS_OF_ENDS;
use pico_args::Arguments;

use report::Format;

use crate::config::drift::Since;

pub const HELP: &str = "\
Performance regression gate built on Locust.

USAGE
  cargo xtask perf [RESULTS ...] [FLAGS] [-- LOCUST-ARGS]
  cargo xtask bisect GOOD [BAD] [FLAGS] [-- LOCUST-ARGS]
  cargo xtask history [FLAGS]
  cargo xtask --version

perf without RESULTS: starts the service of perf.toml, loads it with Locust, and compares
p50, p95, p99, throughput and error rate with the committed baseline. The load is repeated,
up to --max-runs, while another run could change the verdict.
perf with RESULTS: compares existing results without running anything. RESULTS are
perf_results_stats.csv files or Locust's JSON, one per run, or folders of runs
(target/perf/latest).
bisect: finds the commit after GOOD, up to BAD [default: HEAD], that made the service slower.
Each commit it tries is measured alternately with GOOD or BAD, until it clearly resembles one.
history: shows how the accepted baselines of this branch changed, who accepted them, and why.

FLAGS OF perf
      --update-baseline     measure (or use RESULTS), show the comparison, and rewrite
                            the baseline, including the git commit
      --if-changed          with --update-baseline: keep the old baseline if nothing changed
                            beyond noise
      --allow-errors        save a baseline even if many of its requests failed
      --against REV         compare with this commit instead of the baseline: both are built
                            and measured alternately on this machine; as REV, `baseline`
                            means the commit that the baseline names
      --against-url URL     compare the running service of --host with another running one:
                            both are loaded alternately
      --confirm             on a FAIL, re-measure the working tree and the baseline's commit
                            alternately on this machine; that result decides
      --note TEXT           with --update-baseline: store a note in the baseline
      --baseline FILE       the baseline [default: perf_baseline.json]
      --config FILE         the configuration [default: perf.toml]
      --strict              treat warnings as failures
      --verbose             also show every endpoint, what was run, the machine, Locust's output
      --quiet               only show findings, notes and the verdict
      --users N             concurrent users; with RESULTS, the users of your load
      --spawn-rate R        users started per second
      --run-time T          length of the load: 45s, 2m, 1h30m
      --host URL            load an already running service; do not start [service]
      --locustfile FILE     the locustfile to run
      --processes N         Locust processes that share the load
      --expect-workers N    Locust workers on other machines that share the load; prints the
                            command to start each one
      --min-runs N          minimum number of runs [default: 1], or of rounds (a run of each
                            side) with --against, --against-url [default: 2]
      --max-runs N          maximum number of runs [default: 8], or of rounds [default: 7, or 10
                            with --against if runs vary by more than 10%];
                            with --update-baseline, runs to record [default: 10]
      --report FILE         also write the report: .html, .md, .json, or .xml (JUnit);
                            may be given several times
  -h, --help                print this
  -- LOCUST-ARGS            passed to Locust unchanged

FLAGS OF bisect
      --metric NAME         the metric to follow [default: p95]
      --endpoint NAME       the endpoint to follow [default: all requests together]; with
                            neither flag, the worst finding is followed, if there is one
      --all                 also try the commits of merged branches, not only first parents
      --max-runs N          maximum number of rounds for each commit tried [default: 20]
      --config FILE         the configuration [default: perf.toml]
      --verbose             also show Locust's output
      --quiet               only show the result
      --users N             concurrent users
      --spawn-rate R        users started per second
      --run-time T          length of the load: 45s, 2m, 1h30m
      --locustfile FILE     the locustfile to run
      --processes N         Locust processes that share the load
      --expect-workers N    Locust workers on other machines that share the load
  -h, --help                print this
  -- LOCUST-ARGS            passed to Locust unchanged

FLAGS OF history
      --endpoint GLOB       the endpoints that match, instead of all requests together
      --metric NAME         the metric whose steps are shown [default: p95]
      --since REV           only what was accepted since: a commit, a tag or a pattern of tags
                            (v*), a date (2026-01-31), an age (90d)
      --baseline FILE       the baseline [default: perf_baseline.json]
      --config FILE         the configuration [default: perf.toml]
      --report FILE         also write it: .html with charts, or .json; may be given
                            several times
  -h, --help                print this

Flag > perf.toml > Locust's own configuration (LOCUST_*, pyproject.toml, locust.conf).

EXIT CODES
  0    pass, warnings included; for bisect: the commit is found
  1    regression: a limit is exceeded
  2    no verdict: usage or setup error, service or Locust failure, unreadable or
       incomparable input; for bisect: not found
  130  interrupted (143: terminated, 129: hung up); no processes left behind, no partial files
";

pub const COMMANDS: [&str; 3] = ["perf", "bisect", "history"];

/// The parts of a help text that are about one command, or about all.
pub fn help_of(help: &str, commands: &[&str], command: &str) -> String {
    let is_of_another = |line: &str| commands.iter().any(|other| *other != command && begins_with(line, other));
    let is_of_this = |line: &str| begins_with(line, command);
    let mut parts = Vec::new();
    for part in help.trim_end().split("\n\n") {
        if part.strip_prefix("FLAGS OF ").is_some_and(|rest| !is_of_this(rest)) {
            continue;
        }
        let mut is_shown = true;
        let lines = part.lines().filter(|line| {
            let subject = line.strip_prefix("  cargo xtask ").unwrap_or(line);
            if is_of_another(subject) || subject.starts_with("--version") {
                is_shown = false;
            } else if is_of_this(subject) {
                is_shown = true;
            }
            is_shown
        });
        let lines = lines.collect::<Vec<_>>().join("\n");
        if !lines.is_empty() {
            parts.push(lines);
        }
    }
    format!("{}\n", parts.join("\n\n"))
}

fn begins_with(line: &str, command: &str) -> bool {
    line.strip_prefix(command).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', ':', '\n']))
}

#[derive(Debug, PartialEq)]
pub enum Command {
    /// Of one command, or of all for another word.
    Help(String),
    Version,
    Perf(Box<PerfFlags>),
    Bisect(Box<BisectFlags>),
    History(HistoryFlags),
}

#[derive(Debug, PartialEq)]
pub struct BisectFlags {
    pub good: String,
    pub bad: String,
    pub all: bool,
    pub endpoint: Option<String>,
    pub metric: Option<Metric>,
    pub perf: PerfFlags,
}

#[derive(Debug, PartialEq)]
pub struct HistoryFlags {
    pub endpoint: Option<String>,
    pub metric: Metric,
    pub since: Since,
    pub files: FileFlags,
}

#[derive(Debug, Default, PartialEq)]
pub struct FileFlags {
    pub baseline: Option<PathBuf>,
    pub config: Option<PathBuf>,
    pub reports: Vec<PathBuf>,
}

#[derive(Debug, Default, PartialEq)]
pub enum Against {
    #[default]
    Baseline,
    /// A commit, measured alternately.
    Rev(String),
    /// A service that runs at this URL, measured alternately.
    Url(String),
}

#[derive(Debug, Default, PartialEq)]
pub struct PerfFlags {
    pub results: Vec<PathBuf>,
    pub update_baseline: bool,
    pub if_changed: bool,
    pub allow_errors: bool,
    pub against: Against,
    pub confirm: bool,
    pub note: String,
    pub files: FileFlags,
    pub strict: bool,
    pub verbose: bool,
    pub quiet: bool,
    pub load: LoadFlags,
    pub locust_args: Vec<String>,
}

impl PerfFlags {
    pub fn makes_rounds(&self) -> bool {
        self.against != Against::Baseline
    }
}

/// The flags of a measurement. All but `users` have no effect if RESULTS are judged.
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

pub fn parse(args: Vec<OsString>) -> Result<Command> {
    let (mut args, locust_args) = split(args)?;
    if args.contains(["-h", "--help"]) {
        return Ok(Command::Help(args.subcommand().ok().flatten().unwrap_or_default()));
    }
    if args.contains("--version") {
        return Ok(Command::Version);
    }
    let name = program::name();
    match args.subcommand().map_err(|error| anyhow!("{error}"))?.as_deref() {
        Some("perf") => Ok(Command::Perf(Box::new(perf(args, locust_args)?))),
        Some("bisect") => Ok(Command::Bisect(Box::new(bisect(args, locust_args)?))),
        Some("history") => Ok(Command::History(history(args, &locust_args)?)),
        Some(other) => bail!("unknown command `{other}`: try `{name} perf` or `{name} --help`"),
        None => bail!("missing command: try `{name} perf` or `{name} --help`"),
    }
}

/// The hint about an unknown flag of a command that runs Locust.
const LOCUST_FLAGS: &str = " (Locust's own flags go after `--`)";

/// Locust's arguments follow `--`.
pub fn split(mut args: Vec<OsString>) -> Result<(Arguments, Vec<String>)> {
    let locust_args = match args.iter().position(|arg| arg == "--") {
        Some(separator) => args.drain(separator..).skip(1).map(utf8).collect::<Result<_>>()?,
        None => Vec::new(),
    };
    Ok((Arguments::from_vec(args), locust_args))
}

fn perf(mut args: Arguments, locust_args: Vec<String>) -> Result<PerfFlags> {
    let mut perf = PerfFlags {
        results: Vec::new(),
        update_baseline: args.contains("--update-baseline"),
        if_changed: args.contains("--if-changed"),
        allow_errors: args.contains("--allow-errors"),
        against: against(&mut args)?,
        confirm: args.contains("--confirm"),
        note: text(&mut args, "--note")?.unwrap_or_default(),
        files: files(&mut args)?,
        strict: args.contains("--strict"),
        verbose: args.contains("--verbose"),
        quiet: args.contains("--quiet"),
        load: LoadFlags {
            host: text(&mut args, "--host")?,
            min_runs: value(&mut args, "--min-runs", positive)?,
            ..load(&mut args)?
        },
        locust_args,
    };
    perf.results = leftovers(args, "perf", HELP, LOCUST_FLAGS)?;

    for report in &perf.files.reports {
        Format::of(report)?;
    }
    ensure!(!(perf.quiet && perf.verbose), "--quiet and --verbose cannot be combined");
    ensure!(perf.note.is_empty() || perf.update_baseline, "--note requires --update-baseline");
    ensure!(!perf.if_changed || perf.update_baseline, "--if-changed requires --update-baseline");
    if perf.makes_rounds() {
        let flag = if matches!(perf.against, Against::Rev(_)) { "--against" } else { "--against-url" };
        for (with, is_given) in [
            ("RESULTS", !perf.results.is_empty()),
            ("--update-baseline", perf.update_baseline),
            ("--allow-errors", perf.allow_errors),
            ("--baseline", perf.files.baseline.is_some() && perf.against != Against::Rev("baseline".to_owned())),
        ] {
            ensure!(!is_given, "{flag} uses no baseline file, so it cannot be combined with {with}");
        }
        let least = perf.load.min_runs.or(perf.load.max_runs).unwrap_or(2);
        ensure!(least >= 2, "{flag} needs at least 2 rounds: a single round says nothing about noise");
    }
    if perf.confirm {
        for (with, is_given) in [
            ("RESULTS, which are measured already", !perf.results.is_empty()),
            ("--against, which measures both sides anyway", perf.makes_rounds()),
            ("--update-baseline, which accepts what is measured", perf.update_baseline),
        ] {
            ensure!(!is_given, "--confirm cannot be combined with {with}");
        }
    }
    if let (Some(min), Some(max)) = (perf.load.min_runs, perf.load.max_runs) {
        ensure!(min <= max, "--min-runs {min} is more than --max-runs {max}");
    }
    if !perf.results.is_empty() {
        // The number of users is a fact about results, which they do not hold.
        let of_results = LoadFlags { users: perf.load.users, ..LoadFlags::default() };
        let measures = perf.load != of_results || !perf.locust_args.is_empty();
        ensure!(!measures, "load flags have no effect when RESULTS are given; remove one or the other");
    }
    refuse_owned_locust_args(&perf.locust_args, "after `--`")?;
    Ok(perf)
}

fn against(args: &mut Arguments) -> Result<Against> {
    match (text(args, "--against")?, text(args, "--against-url")?) {
        (None, None) => Ok(Against::Baseline),
        (Some(rev), None) => Ok(Against::Rev(rev)),
        (None, Some(url)) => Ok(Against::Url(url)),
        (Some(_), Some(_)) => {
            bail!("--against-url cannot be combined with --against: the one is a running service, the other a commit")
        }
    }
}

fn files(args: &mut Arguments) -> Result<FileFlags> {
    Ok(FileFlags {
        baseline: raw(args, "--baseline")?,
        config: raw(args, "--config")?,
        reports: iter::from_fn(|| raw(args, "--report").transpose()).collect::<Result<_>>()?,
    })
}

fn load(args: &mut Arguments) -> Result<LoadFlags> {
    Ok(LoadFlags {
        users: value(args, "--users", positive)?,
        spawn_rate: value(args, "--spawn-rate", parse_spawn_rate)?,
        run_time_s: value(args, "--run-time", parse_run_time_s)?,
        locustfile: raw(args, "--locustfile")?,
        processes: value(args, "--processes", positive)?,
        expect_workers: value(args, "--expect-workers", positive)?,
        max_runs: value(args, "--max-runs", positive)?,
        ..LoadFlags::default()
    })
}

fn bisect(mut args: Arguments, locust_args: Vec<String>) -> Result<BisectFlags> {
    let all = args.contains("--all");
    let endpoint = text(&mut args, "--endpoint")?;
    let metric = value(&mut args, "--metric", metric)?;
    let perf = PerfFlags {
        files: FileFlags { config: raw(&mut args, "--config")?, ..FileFlags::default() },
        verbose: args.contains("--verbose"),
        quiet: args.contains("--quiet"),
        load: load(&mut args)?,
        locust_args,
        ..PerfFlags::default()
    };
    let revs: Vec<OsString> =
        leftovers(args, "bisect", HELP, LOCUST_FLAGS)?.into_iter().map(PathBuf::into_os_string).collect();
    let revs: Vec<String> = revs.into_iter().map(utf8).collect::<Result<_>>()?;
    let (good, bad) = match &revs[..] {
        [good] => (good.clone(), "HEAD".to_owned()),
        [good, bad] => (good.clone(), bad.clone()),
        _ => {
            bail!("bisect takes a commit that was fast, and one that is slow: `{} bisect GOOD [BAD]`", program::name())
        }
    };
    ensure!(!(perf.quiet && perf.verbose), "--quiet and --verbose cannot be combined");
    ensure!(
        perf.load.max_runs.is_none_or(|rounds| rounds as usize >= LEAST_ROUNDS_OF_ENDS),
        "bisect needs at least {LEAST_ROUNDS_OF_ENDS} rounds of GOOD and BAD: fewer hardly show the noise"
    );
    check_metric(metric.unwrap_or(Metric::P95), endpoint.is_some())?;
    refuse_owned_locust_args(&perf.locust_args, "after `--`")?;
    let perf = PerfFlags { against: Against::Rev(good.clone()), ..perf };
    Ok(BisectFlags { good, bad, all, endpoint, metric, perf })
}

fn metric(name: &str) -> Result<Metric> {
    let names = Metric::ALL.map(Metric::name).join(", ");
    Metric::from_name(name).with_context(|| format!("expected one of {names}"))
}

fn check_metric(metric: Metric, is_of_endpoint: bool) -> Result<()> {
    let exists = !is_of_endpoint || Metric::OF_ENDPOINTS.contains(&metric);
    ensure!(exists, "{metric} is of all requests together: leave --endpoint out");
    Ok(())
}

fn history(mut args: Arguments, locust_args: &[String]) -> Result<HistoryFlags> {
    let history = HistoryFlags {
        endpoint: text(&mut args, "--endpoint")?,
        metric: value(&mut args, "--metric", metric)?.unwrap_or(Metric::P95),
        since: value(&mut args, "--since", Since::parse)?.unwrap_or_default(),
        files: files(&mut args)?,
    };
    let left = leftovers(args, "history", HELP, "")?;
    if let Some(left) = left.first().map(|path| path.to_string_lossy()).or(locust_args.first().map(Into::into)) {
        bail!("history takes no arguments: remove `{left}`");
    }
    for report in &history.files.reports {
        ensure!(
            matches!(Format::of(report)?, Format::Html | Format::Json),
            "`--report {}`: a history is written as .html or .json",
            report.display()
        );
    }
    check_metric(history.metric, history.endpoint.is_some())?;
    Ok(history)
}

/// A flag that is left is unknown, given twice, or has a value that it does not take. `help` lists the known flags, and
/// `hint` ends the error of an unknown one.
pub fn leftovers(args: Arguments, command: &str, help: &'static str, hint: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for left in args.finish() {
        let text = left.to_string_lossy();
        // It would mean the folder where the user is.
        ensure!(!text.is_empty(), "an argument is empty: leave it out, or set the variable that it comes from");
        if !text.starts_with('-') || text == "-" {
            files.push(PathBuf::from(left));
            continue;
        }
        let name = text.split('=').next().unwrap_or_default();
        let known = known_flags(command, help);
        if !known.contains(&name) {
            let next = match nearest(name, known) {
                // All flags begin with `--`, which makes any two a little alike.
                Some(flag) if likeness(name, flag) > 0.75 => format!("did you mean `{flag}`?"),
                _ => format!("see `{} --help`", program::name()),
            };
            bail!("unknown flag `{name}`; {next}{hint}");
        }
        if text.contains('=') && !usage(name, help).contains(' ') {
            bail!("`{name}` takes no value");
        }
        bail!("`{name}` was given more than once");
    }
    Ok(files)
}

/// Every flag that a help text lists for the command.
pub fn known_flags(command: &str, help: &'static str) -> Vec<&'static str> {
    let Some((_, list)) = help.split_once(&format!("FLAGS OF {command}\n")) else { return Vec::new() };
    let section = list.split("\n\n").next().unwrap_or_default();
    flag_lines(section).map(|usage| usage.split(' ').next().unwrap_or(usage)).collect()
}

/// `--users N`.
fn usage<'a>(flag: &'a str, help: &'static str) -> &'a str {
    flag_lines(help).find(|usage| usage.split(' ').next() == Some(flag)).unwrap_or(flag)
}

fn flag_lines(help: &'static str) -> impl Iterator<Item = &'static str> {
    let is_flag = |usage: &&str| usage.starts_with("--") && !usage.starts_with("-- ");
    help.lines().filter_map(|line| line.trim_start().trim_start_matches("-h, ").split("  ").next()).filter(is_flag)
}

fn raw<T: From<OsString>>(args: &mut Arguments, flag: &'static str) -> Result<Option<T>> {
    let missing = || anyhow!("`{flag}` needs a value: `{}`", usage(flag, HELP));
    let value = args.opt_value_from_os_str(flag, |value| Ok::<_, String>(value.to_owned())).map_err(|_| missing())?;
    match value {
        // pico-args takes the next argument whatever it is.
        Some(value) if value.is_empty() || value.to_string_lossy().starts_with("--") => Err(missing()),
        value => Ok(value.map(T::from)),
    }
}

fn text(args: &mut Arguments, flag: &'static str) -> Result<Option<String>> {
    raw(args, flag)?.map(utf8).transpose()
}

fn value<T>(args: &mut Arguments, flag: &'static str, parse: impl Fn(&str) -> Result<T>) -> Result<Option<T>> {
    let Some(text) = text(args, flag)? else { return Ok(None) };
    parse(&text).map(Some).map_err(|error| anyhow!("`{flag} {text}`: {error}; usage: `{}`", usage(flag, HELP)))
}

fn utf8(text: OsString) -> Result<String> {
    text.into_string().map_err(|text| anyhow!("`{}` is not UTF-8", text.to_string_lossy()))
}

fn positive(text: &str) -> Result<u32> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| anyhow!("expected a whole number, 1 or more"))
}

pub(crate) fn parse_spawn_rate(text: &str) -> Result<f64> {
    text.parse()
        .ok()
        .filter(|rate: &f64| rate.is_finite() && *rate > 0.0)
        .ok_or_else(|| anyhow!("expected a number above 0"))
}

/// The longest time that a user can give. A deadline much further away cannot be represented.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

pub(crate) fn check_length(duration: Duration) -> Result<()> {
    ensure!(duration <= LONGEST, "must be a year or less");
    Ok(())
}

/// The forms are those that Locust takes: `20`, `20s`, `3m`, `1h30m`. Locust takes 0 for "run until stopped", so it is
/// refused.
pub fn parse_run_time_s(text: &str) -> Result<u64> {
    let duration = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            humantime::parse_duration(text).map_err(|_| anyhow!("expected a duration such as 45s, 2m or 1h30m"))?
        }
    };
    check_length(duration)?;
    ensure!(duration.subsec_nanos() == 0 && duration.as_secs() > 0, "must be a whole number of seconds, 1 or more");
    Ok(duration.as_secs())
}

/// The options of Locust that the gate sets itself, and what to do instead. Locust silently takes the last of a
/// repeated option.
const OWNED: [(&[&str], &str); 14] = [
    (&["-f", "--locustfile"], "use --locustfile"),
    (&["-u", "--users"], "use --users"),
    (&["-r", "--spawn-rate"], "use --spawn-rate"),
    (&["-t", "--run-time"], "use --run-time"),
    (&["-H", "--host"], "use --host"),
    (&["--processes"], "use --processes"),
    (&["--expect-workers"], "use --expect-workers"),
    (&["--expect-workers-max-wait"], "use [load] workers_timeout in perf.toml"),
    (&["-s", "--stop-timeout"], "use [load] stop_timeout in perf.toml"),
    (&["-L", "--loglevel", "--logfile", "--skip-log-setup", "--csv", "--json", "--json-file"], "remove it"),
    (&["--headless", "--headful", "--config", "--autoquit"], "remove it"),
    (&["--master", "--worker", "--master-host", "--master-port"], "remove it"),
    (&["--master-bind-host"], "use LOCUST_MASTER_BIND_HOST"),
    (&["--master-bind-port"], "use LOCUST_MASTER_BIND_PORT"),
];

/// `place` completes the error.
pub(crate) fn refuse_owned_locust_args(locust_args: &[String], place: &str) -> Result<()> {
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
        let owned = OWNED.iter().find_map(|(options, next)| Some((options.iter().find(|option| is(option))?, next)));
        if let Some((option, next)) = owned {
            bail!("`{arg}` {place}: the gate sets Locust's `{option}` itself; {next}");
        }
    }
    Ok(())
}
