//! What changed with a slowdown, of runs that are drawn: each planted cause is named first, and equal runs name none.

use judge::baseline::file::Baseline;
use judge::model::run::{Machine, Moment, Precision, Provenance, Run, Stats, Usage};
use judge::stats::histogram::{Bucket, Histogram};
use judge::verdict::causes::{Cause, Kind, Shape, causes, causes_of};
use judge::verdict::compare::compare;

use crate::samples;

const ENDPOINTS: [&str; 5] = ["GET /a", "GET /b", "GET /c", "GET /d", "GET /e"];
const REQUESTS: u64 = 200;

/// Numbers between -1 and 1 that differ from run to run.
struct Jitter(u64);

impl Jitter {
    fn next(&mut self) -> f64 {
        // Steele, Lea & Flood 2014, Fast splittable pseudorandom number generators.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }

    /// A factor around 1 whose logarithm has this standard deviation.
    fn spread(&mut self, deviation: f64) -> f64 {
        // The sum of three uniform numbers has a variance of 1.
        ((self.next() + self.next() + self.next()) * deviation).exp()
    }
}

/// What a service does for a request.
#[derive(Clone)]
struct Service {
    /// In ms, of each endpoint.
    latency_ms: [f64; 5],
    /// The slowest tenth takes this factor longer.
    tail: f64,
    cpu_ms: f64,
    bytes: [f64; 5],
    connections: f64,
    queries: f64,
    /// The second half of a run is slower than the first by this factor.
    over_time: f64,
    /// Whether it becomes slower at once.
    is_step: bool,
    stalls: bool,
    failures_of_c: u64,
    voluntary: f64,
    growth_mb: f64,
    others_pct: f64,
    /// The time that the service waits for a core; `None` if the kernel does not count it.
    queued_ms: Option<f64>,
    spread: f64,
}

impl Default for Service {
    fn default() -> Service {
        Service {
            latency_ms: [20.0, 22.0, 24.0, 26.0, 28.0],
            tail: 2.0,
            cpu_ms: 3.0,
            bytes: [1000.0; 5],
            connections: 0.02,
            queries: 1.0,
            over_time: 1.0,
            is_step: false,
            stalls: false,
            failures_of_c: 0,
            voluntary: 3.0,
            growth_mb: 1.0,
            others_pct: 5.0,
            queued_ms: None,
            spread: 0.03,
        }
    }
}

impl Service {
    fn run(&self, jitter: &mut Jitter) -> (Run, Usage) {
        let mut endpoints: Vec<(Box<str>, Stats)> = Vec::new();
        let speed = jitter.spread(self.spread);
        for (place, name) in ENDPOINTS.iter().enumerate() {
            let mut stats = self.stats(self.latency_ms[place] * speed, jitter);
            stats.content_bytes = Some(self.bytes[place]);
            stats.failures = if *name == "GET /c" { self.failures_of_c } else { 0 };
            endpoints.push(((*name).into(), stats));
        }
        let total = total_of(&endpoints);
        let mean_ms = total.avg_ms;
        let rate = total.requests_per_sec;
        let over_time = self.over_time * jitter.spread(self.spread);
        let halves = [2.0 / (1.0 + over_time), 2.0 * over_time / (1.0 + over_time)].map(|factor| mean_ms * factor);
        let moment = |part: u32| {
            let at = f64::from(part) / 20.0;
            let level = if self.is_step { f64::from(u8::from(at >= 0.5)) } else { at };
            let mean_ms = match part {
                // Two of them are in the first half, and three in the second.
                2 | 6 | 10 | 14 | 18 if self.stalls => 10.0 * mean_ms,
                _ if self.stalls => mean_ms,
                _ => halves[0] + (halves[1] - halves[0]) * level,
            };
            Moment { until_s: f64::from(part) + 1.0, requests: 50, mean_ms }
        };
        let run = Run {
            precision: Precision::Fine,
            total,
            endpoints,
            halves_ms: Some(halves),
            moments: (0..20).map(moment).collect(),
            ..Run::default()
        };
        let mut noisy = |value: f64| vec![value * jitter.spread(self.spread)];
        let usage = Usage {
            others_pct: noisy(self.others_pct),
            cpu_ms_per_request: noisy(self.cpu_ms),
            peak_memory_mb: noisy(50.0 + self.growth_mb),
            memory_growth_mb: noisy(self.growth_mb),
            voluntary_switches_per_request: noisy(self.voluntary),
            involuntary_switches_per_request: noisy(0.5),
            queued_ms_per_request: self.queued_ms.map(&mut noisy).unwrap_or_default(),
            connections_per_request: vec![self.connections],
            // The second one rises so often per second, whatever the load is.
            counters_per_request: [
                ("db_queries".to_owned(), noisy(self.queries)),
                ("ticks".to_owned(), noisy(100.0 / rate)),
            ]
            .into(),
        };
        (run, usage)
    }

    fn stats(&self, latency_ms: f64, jitter: &mut Jitter) -> Stats {
        let mut times = Vec::new();
        for request in 0..REQUESTS {
            let tail = if request % 10 == 0 { self.tail } else { 1.0 };
            times.push(latency_ms * tail * jitter.spread(0.2));
        }
        let histogram = Histogram::new(times.iter().map(|time_ms| Bucket { time_ms: *time_ms, count: 1 }).collect());
        let avg_ms = times.iter().sum::<f64>() / times.len() as f64;
        Stats {
            requests: REQUESTS,
            p50_ms: histogram.percentile(0.5),
            p95_ms: histogram.percentile(0.95),
            p99_ms: histogram.percentile(0.99),
            avg_ms,
            // Ten users wait for 100 ms between two requests.
            requests_per_sec: 2.0 * 1000.0 / (100.0 + avg_ms),
            histogram,
            ..Stats::default()
        }
    }
}

fn total_of(endpoints: &[(Box<str>, Stats)]) -> Stats {
    let histogram = Histogram::merged(endpoints.iter().map(|(_, stats)| &stats.histogram));
    let mean = |of: fn(&Stats) -> f64| endpoints.iter().map(|(_, stats)| of(stats)).sum::<f64>() / 5.0;
    Stats {
        requests: 5 * REQUESTS,
        failures: endpoints.iter().map(|(_, stats)| stats.failures).sum(),
        p50_ms: histogram.percentile(0.5),
        p95_ms: histogram.percentile(0.95),
        p99_ms: histogram.percentile(0.99),
        avg_ms: mean(|stats| stats.avg_ms),
        requests_per_sec: 5.0 * mean(|stats| stats.requests_per_sec),
        histogram,
        ..Stats::default()
    }
}

fn provenance(usages: Vec<Usage>) -> Provenance {
    let machine = Machine { cpu: "a CPU".to_owned(), cores: 2, os: "Linux".to_owned() };
    Provenance { usage: Usage::joined(usages), machine: Some(machine), ..samples::provenance() }
}

fn runs(service: &Service, count: usize, jitter: &mut Jitter) -> (Vec<Run>, Provenance) {
    let (runs, usages) = (0..count).map(|_| service.run(jitter)).unzip();
    (runs, provenance(usages))
}

fn baseline(service: &Service, count: usize, jitter: &mut Jitter) -> Baseline {
    let (runs, provenance) = runs(service, count, jitter);
    Baseline::new(&runs, provenance).unwrap()
}

fn causes_between(before: &Service, now: &Service, seed: u64) -> Option<Vec<Cause>> {
    let mut jitter = Jitter(seed);
    let baseline = baseline(before, 5, &mut jitter);
    let (runs, provenance) = runs(now, 2, &mut jitter);
    let comparison = compare(&baseline, &runs, samples::rules(false)).unwrap();
    causes(&comparison, &baseline, &runs, &provenance)
}

#[test]
fn planted_cause_comes_first() {
    let before = Service::default();
    let slower = |ms: f64| before.latency_ms.map(|latency_ms| latency_ms + ms);
    let with = |change: &dyn Fn(&mut Service)| {
        let mut now = Service { latency_ms: slower(30.0), ..before.clone() };
        change(&mut now);
        now
    };
    for (planted, now, expected) in [
        ("queries", with(&|now| now.queries = 11.0), "counter"),
        ("body", with(&|now| now.bytes = [10_000.0; 5]), "answer_bytes"),
        ("keep-alive", with(&|now| now.connections = 1.0), "connections"),
        ("failures", with(&|now| now.failures_of_c = 60), "failures"),
        ("leak", with(&|now| now.over_time = 2.5), "over_time"),
        ("CPU", with(&|now| now.cpu_ms = 33.0), "cpu"),
        ("sleep", with(&|_| {}), "waiting"),
        ("lock", with(&|now| now.voluntary = 9.0), "waiting"),
        (
            "endpoint",
            with(&|now| {
                now.latency_ms = before.latency_ms;
                now.latency_ms[2] *= 4.0;
            }),
            "endpoint",
        ),
    ] {
        for seed in 0..10 {
            let causes = causes_between(&before, &now, seed).expect(planted);
            let kinds: Vec<&str> = causes.iter().map(|cause| cause.kind.name()).collect();
            assert_eq!(kinds.first(), Some(&expected), "{planted}, seed {seed}: {kinds:?}");
            assert!(
                !causes.iter().any(|cause| cause.kind == Kind::Counter("ticks".to_owned())),
                "{planted}: {kinds:?}"
            );
        }
    }
}

#[test]
fn endpoint_has_its_share_with_an_interval() {
    let before = Service::default();
    let mut now = before.clone();
    now.latency_ms[2] *= 4.0;
    now.bytes[2] *= 10.0;
    let causes = causes_between(&before, &now, 1).unwrap();
    let endpoint = causes.iter().find(|cause| cause.kind.name() == "endpoint").unwrap();
    assert_eq!(endpoint.endpoint.as_deref(), Some("GET /c"));
    let Kind::Endpoint { share_pct, share_interval } = &endpoint.kind else { panic!("{endpoint:?}") };
    assert!(*share_pct > 80.0 && share_interval.low <= *share_pct && *share_pct <= share_interval.high, "{endpoint:?}");
    assert_eq!(causes[0].kind, Kind::AnswerBytes { others: 0 });
    assert_eq!(causes[0].endpoint.as_deref(), Some("GET /c"));
    assert_eq!((causes[0].baseline.round(), causes[0].candidate.round()), (1000.0, 10_000.0));
}

#[test]
fn shape_is_that_of_the_percentiles() {
    let before = Service { latency_ms: [20.0, 40.0, 60.0, 80.0, 100.0], spread: 0.005, ..Service::default() };
    let shape = |now: &Service| {
        let causes = causes_between(&before, now, 3).unwrap_or_default();
        causes.into_iter().find_map(|cause| if let Kind::Shape(shape) = cause.kind { Some(shape) } else { None })
    };
    let factor = Service { latency_ms: before.latency_ms.map(|ms| 1.6 * ms), ..before.clone() };
    assert!(
        matches!(shape(&factor), Some(Shape::Factor(factor)) if (factor - 1.6).abs() < 0.1),
        "{:?}",
        shape(&factor)
    );
    let tail = Service { tail: 9.0, ..before.clone() };
    assert!(matches!(shape(&tail), Some(Shape::Tail | Shape::SecondCloud { .. })), "{:?}", shape(&tail));
    assert_eq!(shape(&before), None);
}

#[test]
fn step_within_a_run_has_its_moment() {
    let before = Service::default();
    for (is_step, expected) in [(true, true), (false, false)] {
        let now =
            Service { over_time: 4.0, is_step, latency_ms: before.latency_ms.map(|ms| 2.0 * ms), ..before.clone() };
        let causes = causes_between(&before, &now, 5).unwrap();
        let Kind::OverTime { from_s } = causes[0].kind else { panic!("{causes:?}") };
        assert_eq!(from_s.is_some(), expected, "{from_s:?}");
        assert!(from_s.is_none_or(|from_s| (9.0..=12.0).contains(&from_s)), "{from_s:?}");
    }
}

#[test]
fn stalls_now_and_then_are_no_slowdown_over_time() {
    let before = Service::default();
    let slower = before.latency_ms.map(|ms| 2.0 * ms);
    for (stalls, expected) in [(false, true), (true, false)] {
        let now = Service { over_time: 1.5, stalls, latency_ms: slower, ..before.clone() };
        let causes = causes_between(&before, &now, 5).unwrap();
        let is_named = causes.iter().any(|cause| matches!(cause.kind, Kind::OverTime { .. }));
        assert_eq!(is_named, expected, "{causes:?}");
    }
}

#[test]
fn busy_neighbour_and_another_machine_explain_no_waiting() {
    let before = Service::default();
    let slower = before.latency_ms.map(|ms| 2.0 * ms);
    let now = Service { latency_ms: slower, others_pct: 60.0, cpu_ms: 3.6, ..before.clone() };
    let kinds = |causes: &[Cause]| causes.iter().map(|cause| cause.kind.name()).collect::<Vec<_>>();
    let causes = causes_between(&before, &now, 7).unwrap();
    assert!(!causes.iter().any(|cause| matches!(cause.kind, Kind::Waiting { .. } | Kind::Cpu)), "{:?}", kinds(&causes));
    let mut jitter = Jitter(8);
    let baseline = baseline(&before, 5, &mut jitter);
    let (runs, mut elsewhere) = runs(&Service { cpu_ms: 30.0, latency_ms: slower, ..before.clone() }, 2, &mut jitter);
    elsewhere.machine = Some(Machine { cpu: "another".to_owned(), cores: 2, os: "Linux".to_owned() });
    let causes = causes_of(&baseline, &runs, &elsewhere, false, 2.0).unwrap();
    assert!(!causes.iter().any(|cause| cause.kind == Kind::Cpu), "{:?}", kinds(&causes));
}

#[test]
fn time_in_the_queue_for_a_core_tells_a_lock_from_a_busy_neighbour() {
    let before = Service { queued_ms: Some(0.5), ..Service::default() };
    let busy = Service { latency_ms: before.latency_ms.map(|ms| 2.0 * ms), others_pct: 60.0, ..before.clone() };
    let waits = |now: &Service| {
        let causes = causes_between(&before, now, 7).unwrap();
        causes.iter().any(|cause| matches!(cause.kind, Kind::Waiting { .. }))
    };
    assert!(
        waits(&Service { queued_ms: Some(0.6), ..busy.clone() }),
        "it hardly waits for a core, so it waits for a lock"
    );
    assert!(!waits(&Service { queued_ms: Some(25.0), ..busy.clone() }), "it waits for a core");
}

#[test]
fn users_that_connect_once_and_ask_less_lost_no_keep_alive() {
    let before = Service::default();
    let slower = before.latency_ms.map(|ms| 20.0 * ms);
    let causes =
        causes_between(&before, &Service { connections: 0.1, latency_ms: slower, ..before.clone() }, 1).unwrap();
    assert!(!causes.iter().any(|cause| cause.kind == Kind::Connections), "{causes:?}");
}

#[test]
fn comparison_without_a_slower_latency_has_no_causes() {
    let before = Service::default();
    assert_eq!(causes_between(&before, &before, 1), None);
    assert_eq!(causes_between(&before, &Service { latency_ms: [10.0; 5], queries: 11.0, ..before.clone() }, 1), None);
}

#[test]
fn equal_runs_name_none() {
    const PAIRS: u64 = 400;
    let mut named = Vec::new();
    for seed in 0..PAIRS {
        let mut jitter = Jitter(1000 + seed);
        let service = Service { spread: 0.08, ..Service::default() };
        let baseline = baseline(&service, 3 + (seed % 3) as usize, &mut jitter);
        let (runs, provenance) = runs(&service, 1 + (seed % 2) as usize, &mut jitter);
        let causes = causes_of(&baseline, &runs, &provenance, false, 1.2).unwrap();
        named.extend(causes.into_iter().map(|cause| cause.kind.name()));
    }
    // What is tested together errs in at most 2 of 100.
    assert!(named.len() as u64 * 100 <= PAIRS * 2, "{named:?}");
}
