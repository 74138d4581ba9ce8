//! `perf.toml`, and the files in which Locust itself is configured.

#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use locust_gate::config::flags::LoadFlags;
use locust_gate::config::locust_conf::LocustConf;
use locust_gate::config::perf_toml::Config;
use locust_gate::config::settings::settle;

fuzz_target!(|text: &str| {
    let mut locust = LocustConf::default();
    locust.add_conf("locust.conf", text);
    fuzz::read(locust.add_pyproject("pyproject.toml", text));
    let config = fuzz::read(Config::parse(text)).unwrap_or_default();
    if let Some(settings) = fuzz::read(settle(&LoadFlags::default(), &[], &config, &locust)) {
        assert!(settings.load.users > 0 && settings.load.run_time_s > 0);
        // Deadlines are points in time.
        let waits = [settings.stop_timeout, config.load.deadline_margin, config.load.workers_timeout];
        let longest = waits.iter().sum::<Duration>() + Duration::from_secs(settings.load.run_time_s);
        assert!(Instant::now().checked_add(longest).is_some());
    }
});
