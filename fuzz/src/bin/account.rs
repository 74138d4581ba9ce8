//! What the listener reports of a run, which a locustfile may forge.

#![no_main]

use std::sync::LazyLock;

use judge::model::run::{Load, Run};
use judge::model::text::is_unprintable;
use libfuzzer_sys::fuzz_target;
use locust_gate::run::listener::{ListenerFile, users_left_text};

static LOAD: LazyLock<Load> =
    LazyLock::new(|| serde_json::from_str(r#"{"users":10,"spawn_rate":10.0,"run_time_s":20}"#).expect("a load"));

fuzz_target!(|text: &str| {
    let Some(file) = fuzz::read(ListenerFile::parse(text)) else { return };
    let mut said = Vec::from_iter(file.unfinished_text().into_iter().chain(users_left_text(&file.users_left)));
    said.extend(fuzz::read(file.check_left_out(|_| 10)).unwrap_or_default());
    for has_shape in [false, true] {
        said.extend(fuzz::read(file.load.check(&LOAD, has_shape)).unwrap_or_default());
    }
    for sentence in said {
        assert!(!sentence.contains(is_unprintable), "{sentence:?}");
        assert!(sentence.chars().count() < 3000, "{} characters: {sentence}", sentence.len());
    }
    let mut run = Run::default();
    file.complete(&mut run);
    for task in &run.tasks {
        assert!(task.failures <= task.calls, "{task:?}");
    }
    assert!(run.users_by_class.values().all(|mean| mean.is_finite() && *mean >= 0.0), "{:?}", run.users_by_class);
});
