//! What the calibration must show.

use super::Simulation;
use super::confirmation::Case;
use super::dependence::Kind;
use super::endpoints::{Event, Service};
use super::series::{Noise, Series};
use super::table::{Cell, Mean, Share, Table};

/// What is promised, what was seen, and whether that keeps it.
pub struct Promise {
    pub what: String,
    pub seen: String,
    pub is_kept: bool,
}

/// The promises so far.
struct Promises {
    promises: Vec<Promise>,
    slack: f64,
}

impl Promises {
    fn most(&mut self, what: &str, most_pct: f64, seen: Share) {
        let is_kept = seen.pct() <= most_pct + self.slack * seen.error_pct(most_pct);
        self.push(format!("{what}: at most {most_pct}%"), format!("{:.2}%", seen.pct()), is_kept);
    }

    fn least(&mut self, what: &str, least_pct: f64, seen: Share) {
        let is_kept = seen.pct() >= least_pct - self.slack * seen.error_pct(least_pct);
        self.push(format!("{what}: at least {least_pct}%"), format!("{:.2}%", seen.pct()), is_kept);
    }

    fn mean(&mut self, what: &str, unit: &str, least: f64, most: f64, seen: Mean) {
        let slack = self.slack * seen.error();
        let is_kept = (least - slack..=most + slack).contains(&seen.value());
        let range = if least > 1.0 { format!("{least} to {most} {unit}") } else { format!("at most {most} {unit}") };
        self.push(format!("{what}: {range} on average"), format!("{:.2}", seen.value()), is_kept);
    }

    fn push(&mut self, what: String, seen: String, is_kept: bool) {
        self.promises.push(Promise { what, seen, is_kept });
    }
}

pub fn all(simulation: &Simulation, slack: f64) -> Vec<Promise> {
    let mut promises = Promises { promises: Vec::new(), slack };
    of_series(&mut promises, &simulation.series);
    of_endpoints(&mut promises, &simulation.endpoints);
    of_errors(&mut promises, simulation);
    of_starts(&mut promises, simulation);
    of_rounds(&mut promises, simulation);
    of_confirmation(&mut promises, simulation);
    of_requests(&mut promises, &simulation.requests);
    promises.promises
}

/// What a cell of a table is held to.
enum Bound {
    Most(f64),
    Least(f64),
    Runs(f64),
}

impl Promises {
    /// Holds one column of some rows to a bound.
    fn hold(&mut self, number: &str, table: &Table, rows: &[&str], column: &str, bound: &Bound) {
        for row in rows {
            let what = format!("{number}. {row}, {column}");
            match (bound, table.cell(row, column)) {
                (Bound::Most(most), Cell::Share(share)) => self.most(&what, *most, *share),
                (Bound::Least(least), Cell::Share(share)) => self.least(&what, *least, *share),
                (Bound::Runs(most), Cell::Mean(mean)) => self.mean(&what, "runs", 1.0, *most, *mean),
                _ => panic!("{what} is of another kind"),
            }
        }
    }
}

fn of_requests(promises: &mut Promises, [structures, slow, unchanged, found]: &[Table; 4]) {
    use Bound::{Least, Most, Runs};
    let all: Vec<&str> = labels(structures).collect();
    let quiet = [
        "plain, 4% spread",
        "plain, 2% spread",
        "plain, 10% spread",
        "pauses of 150 ms every 3 s",
        "wide latencies (sigma 1)",
        "a slow class: 1 of 10 users, 2 s",
        "a queue: 3 workers",
        "first run of the baseline cold, x 1.4",
        "first run of both sides cold, x 1.4",
        "a baseline with a trend of +15%",
        "79 requests a run",
    ];
    promises.hold("10", structures, &quiet, "FAIL", &Most(1.0));
    promises.hold("10", structures, &all, "confirmed", &Most(2.0));
    promises.hold("10", structures, &quiet[..2], "runs", &Runs(1.6));
    let found_quickly: Vec<&str> = quiet.iter().copied().filter(|row| !row.starts_with("79")).collect();
    promises.hold("10", structures, &found_quickly, "+30%", &Least(95.0));
    promises.hold("10", structures, &all, "+50%", &Least(90.0));
    promises.hold("10", structures, &quiet[..3], "one +30%", &Least(60.0));
    promises.hold("10", structures, &quiet[..3], "one +100%", &Least(99.0));

    let unchanged_slow: Vec<&str> = labels(slow).filter(|row| row.ends_with("no change")).collect();
    promises.hold("11", slow, &unchanged_slow, "FAIL", &Most(6.0));
    promises.hold("11", slow, &unchanged_slow, "by an endpoint", &Most(2.0));
    let at_p95 = |row: &&str| !row.starts_with("5%") && !row.starts_with("6%") && !row.starts_with("pauses");
    let allowed: Vec<&str> = labels(slow).filter(|row| row.ends_with("+10%")).filter(at_p95).collect();
    promises.hold("11", slow, &allowed, "FAIL", &Most(1.0));
    let slower =
        ["6 -> 20% of requests 8 times slower", "a class of 12 ms, 300 times slower", "a freeze of 2 s in 10 s"];
    promises.hold("11", slow, &slower, "FAIL", &Least(96.0));
    promises.hold("11", slow, &slower, "rounds FAIL", &Least(96.0));

    let services: Vec<&str> = labels(unchanged).collect();
    // What the single run of a baseline was off by, nothing shows.
    let (of_one, of_several): (Vec<&str>, Vec<&str>) = services.iter().partition(|row| row.ends_with("baseline of 1"));
    promises.hold("12", unchanged, &of_several, "by an endpoint", &Most(1.0));
    promises.hold("12", unchanged, &of_one, "by an endpoint", &Most(2.0));
    promises.hold("12", unchanged, &services, "MISSING", &Most(0.6));
    let of_ten: Vec<&str> = services.iter().copied().filter(|row| row.ends_with("baseline of 10")).collect();
    let many: Vec<&str> = of_ten.iter().copied().filter(|row| !row.contains("sigma 1")).collect();
    promises.hold("12", unchanged, &many, "runs", &Runs(2.2));
    promises.hold("12", unchanged, &many, "WARN", &Most(6.0));

    let with_enough = |row: &&str| {
        ["228", "46", "175", "35", "145", "12"].iter().any(|requests| row.contains(&format!(", {requests} requests,")))
            && !row.ends_with("baseline of 1")
            && !row.contains("sigma 1")
    };
    let enough: Vec<&str> = labels(found).filter(with_enough).collect();
    promises.hold("13", found, &enough, "x 5", &Least(97.0));
    promises.hold("13", found, &enough, "gone", &Least(90.0));
}

fn labels(table: &Table) -> impl Iterator<Item = &str> {
    table.rows.iter().filter_map(|cells| match &cells[0] {
        Cell::Label(label) => Some(label.as_str()),
        Cell::Share(_) | Cell::Mean(_) => None,
    })
}

fn of_series(promises: &mut Promises, series: &[Series]) {
    let at = |spread_pct: f64, change_pct: f64| {
        let noise = Noise { spread_pct, heavy_tails: false };
        let is_it = |seen: &&Series| seen.noise == noise && (seen.change_pct - change_pct).abs() < 0.1;
        *series.iter().find(is_it).expect("the cell is simulated")
    };
    let fails = |seen: Series| Share { count: seen.gate.fails, of: seen.comparisons };
    let runs = |seen: Series| Mean { sum: seen.gate.runs, of: seen.comparisons, per_run: 1.0 };
    for (spread_pct, most_pct) in [(5.0, 0.05), (10.0, 0.1)] {
        promises.most(&format!("1. no change, {spread_pct}% spread, FAILs"), most_pct, fails(at(spread_pct, 0.0)));
    }
    for (spread_pct, most) in [(2.0, 1.1), (5.0, 1.4), (10.0, 2.5)] {
        promises.mean(&format!("1. no change, {spread_pct}% spread"), "runs", 1.0, most, runs(at(spread_pct, 0.0)));
    }
    for (spread_pct, least_pct) in [(5.0, 99.5), (10.0, 94.0)] {
        promises.least(&format!("1. +30%, {spread_pct}% spread, FAILs"), least_pct, fails(at(spread_pct, 30.0)));
    }
    for spread_pct in [2.0, 5.0, 10.0] {
        promises.mean(&format!("1. +50%, {spread_pct}% spread"), "runs", 2.0, 2.4, runs(at(spread_pct, 50.0)));
    }
    let worse_than_plain = |seen: &Series| {
        let [gate, plain] = [seen.gate, seen.plain].map(|rule| Share { count: rule.fails, of: seen.comparisons });
        let worse = if seen.is_within() { gate.pct() - plain.pct() } else { plain.pct() - gate.pct() };
        worse - promises.slack * plain.error_pct(plain.pct())
    };
    let worst = series.iter().map(worse_than_plain).fold(f64::NEG_INFINITY, f64::max);
    promises.push(
        "1. wrong no more often than one run against one: the largest excess, in points".to_owned(),
        format!("{worst:.2}"),
        worst <= 0.0,
    );
}

fn of_endpoints(promises: &mut Promises, services: &[Service]) {
    for seen in services {
        let share = |count| Share { count, of: seen.comparisons };
        let service = format!("{} endpoints", seen.endpoints);
        match seen.event {
            Event::Slower(rank) => {
                let requests = seen.requests(rank);
                // Some have a little less than the round number.
                let least_pct = if requests >= 480.0 { 88.0 } else { 75.0 };
                let what = format!("2. {service}, +30% of one with {requests:.0} requests, found");
                promises.least(&what, least_pct, share(seen.gate.slow));
                promises.most(
                    &format!("2. {service}, +30% of one with {requests:.0} requests, another FAILs"),
                    3.0,
                    share(seen.gate.other),
                );
            }
            Event::Hits => {
                promises.most(&format!("2. {service}, each disturbed separately, FAILs"), 1.0, share(seen.gate.other));
            }
            Event::Nothing => {
                promises.most(&format!("2. {service}, no change, FAILs"), 1.0, share(seen.gate.other));
                if seen.endpoints == 30 {
                    let runs = Mean { sum: seen.gate.runs, of: seen.comparisons, per_run: 1.0 };
                    promises.mean(&format!("2. {service}, no change"), "runs", 1.0, 2.1, runs);
                }
                let most_pct = if seen.endpoints == 100 { 10.0 } else { 5.0 };
                promises.most(&format!("4. {service}, no change, any WARN"), most_pct, share(seen.warned));
                promises.most(&format!("4. {service}, no change, `--strict` FAILs"), 1.0, share(seen.strict_failed));
            }
        }
    }
}

fn of_errors(promises: &mut Promises, simulation: &Simulation) {
    for seen in &simulation.errors {
        let case = seen.case;
        let what = format!(
            "3. errors {}, {} requests, {} -> {}%, FAILs",
            case.what, case.requests, case.before_pct, case.after_pct
        );
        let share = Share { count: seen.fails, of: seen.comparisons };
        if case.after_pct > case.before_pct {
            promises.least(&what, if case.endpoints > 0 { 95.0 } else { 99.0 }, share);
        } else {
            // Where the rate itself varies, Holm's level holds and no more.
            promises.most(&what, if case.spread_pct > 0.0 { 5.0 } else { 0.5 }, share);
        }
    }
    for seen in &simulation.coverage {
        let what = format!(
            "3. {} and {} runs of {} requests, the interval of the error rate misses",
            seen.baseline_runs, seen.runs, seen.requests
        );
        promises.most(&what, 5.0, Share { count: seen.most_missed, of: seen.draws });
    }
}

fn of_starts(promises: &mut Promises, simulation: &Simulation) {
    for seen in &simulation.bimodal {
        let share = |count| Share { count, of: seen.comparisons };
        let shares = format!("5. slow requests {} -> {}%", seen.before_pct, seen.after_pct);
        if seen.change_pct == 0.0 && seen.after_pct > seen.before_pct {
            promises.least(&format!("{shares}, FAILs"), 60.0, share(seen.gate.fails));
        } else if seen.change_pct == 0.0 {
            promises.most(&format!("{shares}, no change, FAILs"), 5.0, share(seen.gate.fails));
        }
    }
    // Which p95 the runs of a baseline have in the gap is luck, so all shares count together.
    let mut gate = Share { count: 0, of: 0 };
    for seen in simulation.bimodal.iter().filter(|seen| seen.change_pct > 0.0) {
        gate = Share { count: gate.count + seen.gate.fails, of: gate.of + seen.comparisons };
    }
    promises.least("5. slow requests 4 to 6%, all 30% slower, FAILs", 85.0, gate);
    for seen in simulation.one_run.iter().filter(|seen| seen.spread_pct > 5.0) {
        let share = Share { count: seen.gate.fails, of: seen.comparisons };
        if seen.change_pct == 0.0 {
            promises.most("6. a baseline of one run, no change, 10% spread, FAILs", 6.0, share);
        } else if seen.change_pct < 40.0 {
            promises.least("6. a baseline of one run, +30%, 10% spread, FAILs", 75.0, share);
        }
    }
}

fn of_rounds(promises: &mut Promises, simulation: &Simulation) {
    for seen in &simulation.dependence {
        if seen.kind == Kind::Independent && seen.change_pct == 0.0 {
            let share = Share { count: seen.confirmed, of: seen.comparisons };
            promises.most("7. independent runs, no change, confirmed FAILs", 0.05, share);
        }
    }
    for seen in &simulation.rounds {
        let share = |count| Share { count, of: seen.comparisons };
        if seen.change_pct == 0.0 {
            promises.most("8. no change on a drifting machine, in rounds, FAILs", 0.5, share(seen.rounds.fails));
            promises.least("8. the same against a baseline measured before, FAILs", 0.5, share(seen.committed));
        }
        let rounds = Mean { sum: seen.rounds.runs, of: seen.comparisons, per_run: 1.0 };
        promises.mean(&format!("8. {:+}%", seen.change_pct), "rounds", 1.0, 5.5, rounds);
        let covered = share(seen.covered);
        let is_kept = (covered.pct() - 95.0).abs() <= 2.0 + promises.slack * covered.error_pct(95.0);
        promises.push(
            format!("8. {:+}% in rounds: the 95% interval contains the true change in 93 to 97%", seen.change_pct),
            format!("{:.2}%", covered.pct()),
            is_kept,
        );
    }
}

fn of_confirmation(promises: &mut Promises, simulation: &Simulation) {
    for seen in &simulation.confirmation {
        let Case { slower, change, spread } = seen.case;
        let share = |count| Share { count, of: seen.comparisons };
        let case = format!("9. a machine {slower}% slower, {change:+}%, {spread}% spread");
        if change == 0.0 {
            let most = if spread > 10.0 { 0.5 } else { 0.1 };
            promises.most(&format!("{case}, confirmed FAILs"), most, share(seen.confirmed.fails));
        } else if spread <= 10.0 {
            let least = if spread > 5.0 { 85.0 } else { 98.0 };
            promises.least(&format!("{case}, confirmed FAILs"), least, share(seen.confirmed.fails));
        }
    }
}
