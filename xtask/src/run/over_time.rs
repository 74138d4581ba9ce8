//! What the listener reports of a run over time, and of its connections.

use judge::model::run::{Moment, Run};
use serde::Deserialize;

/// A part of `perf_listener.json`, which an older listener did not write.
#[derive(Debug, Default, Deserialize)]
pub struct OverTime {
    /// The TCP connections that were opened to the service in the measured window.
    #[serde(default)]
    pub connections: Option<u64>,
    /// The first half of the window and the second.
    #[serde(default)]
    halves: Vec<Half>,
    #[serde(default)]
    history: ListenerHistory,
}

#[derive(Debug, Deserialize)]
struct Half {
    mean_ms: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
struct ListenerHistory {
    bucket_s: f64,
    buckets: Vec<ListenerBucket>,
}

#[derive(Debug, Deserialize)]
struct ListenerBucket {
    at_s: f64,
    requests: u64,
    mean_ms: Option<f64>,
}

impl OverTime {
    pub fn complete(&self, run: &mut Run) {
        let is_time = |ms: &f64| ms.is_finite() && *ms > 0.0;
        if let [first, second] = &self.halves[..] {
            let means = first.mean_ms.filter(is_time).zip(second.mean_ms.filter(is_time));
            run.halves_ms = means.map(|(first, second)| [first, second]);
        }
        let ListenerHistory { bucket_s, buckets } = &self.history;
        for ListenerBucket { at_s, requests, mean_ms } in buckets {
            if let Some(mean_ms) = mean_ms.filter(is_time) {
                run.moments.push(Moment { until_s: at_s + bucket_s, requests: *requests, mean_ms });
            }
        }
    }
}
