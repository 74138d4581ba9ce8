//! The charts of the page.

use judge::baseline::file::Baseline;
use judge::parse::locust_history::{History, HistoryPoint, Percentiles};
use scraper::Html;

use crate::service::{measured, names, provenance, select, text};

/// The width of a chart's text with `DejaVu Sans`, the widest of the usual fonts.
fn width_px(text: &str) -> f64 {
    let of_size_1 = |c: char| match c {
        ' ' | '.' | ',' | '/' | 'i' | 'l' => 0.33,
        '%' => 0.95,
        '+' => 0.84,
        '0'..='9' => 0.64,
        _ => 0.58,
    };
    13.0 * text.chars().map(of_size_1).sum::<f64>()
}

#[test]
fn axis_labels_stay_inside_their_chart() {
    for slowdown in [1.0, 1.35, 3.0] {
        let page = Html::parse_document(&measured(&names(5), slowdown).page());
        let texts = select(&page, "figure svg text");
        assert!(texts.len() > 40, "{}", texts.len());
        for element in texts {
            let (said, of) = (text(element), |name| element.attr(name).unwrap());
            let (said, x): (&str, f64) = (said.trim(), of("x").parse().unwrap());
            let left = match of("text-anchor") {
                "middle" => x - width_px(said) / 2.0,
                "end" => x - width_px(said),
                _ => x,
            };
            assert!(left >= 0.0 && left + width_px(said) <= 320.0, "{said:?} at {x}, {}", of("text-anchor"));
        }
    }
}

#[test]
fn charts_explain_their_lines_and_intervals() {
    for (runs, said) in [(1, "One candidate run. "), (5, "One faint line per candidate run (5). ")] {
        let mut measured = measured(&names(5), 1.35);
        measured.runs.truncate(runs);
        measured.histories.truncate(runs);
        let page = Html::parse_document(&measured.page());
        let caption = text(select(&page, "figcaption")[2]);
        assert!(caption.contains(said), "{caption}");
        assert!(caption.contains("Locust's 10-second moving averages, so they start at 0."), "{caption}");
        assert!(caption.contains("Behind them the baseline's last run."), "{caption}");
        let described = text(select(&page, "svg > desc")[2]);
        assert!(described.starts_with(if runs == 1 { "1 run over " } else { "5 runs over " }), "{described}");
        let notes: Vec<String> = select(&page, "main p").into_iter().map(text).collect();
        assert!(notes.iter().any(|note| note.contains("95% confidence interval of the change")), "{notes:?}");
    }
}

#[test]
fn missing_data_is_explained_in_place_of_its_chart() {
    let mut measured = measured(&names(5), 1.2);
    measured.histories = vec![Err("cannot read locust_stats_history.csv: it is not there".to_owned())];
    measured.baseline.distribution.clear();
    for run in &mut measured.runs {
        run.distribution.clear();
        run.endpoints.clear();
    }
    measured.baseline.endpoints.clear();
    let page = Html::parse_document(&measured.page());
    let shown: String = select(&page, ".charts").into_iter().map(text).collect();
    for part in [
        "no chart of runs over time: cannot read locust_stats_history.csv: it is not there",
        "Only p50, p95 and p99 were recorded.",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
    assert_eq!(select(&page, "svg").len(), 2);
    assert_eq!(select(&page, "#endpoints, #where").len(), 0);
}

/// Values without a range for an axis.
#[test]
fn charts_are_drawn_for_any_values() {
    for value in [0.0, 1e-9, 1e12_f64] {
        let mut measured = measured(&names(5), 1.0);
        for run in &mut measured.runs {
            run.distribution.fill(value.min(86_400_000.0));
            for stats in run.endpoints.iter_mut().map(|(_, stats)| stats).chain([&mut run.total]) {
                // No response takes more than a day.
                [stats.p50_ms, stats.p95_ms, stats.p99_ms] = [value.min(86_400_000.0); 3];
                stats.requests_per_sec = value.min(1e6);
            }
        }
        measured.histories = vec![Ok(History {
            is_windowed: true,
            points: [0.0, value]
                .map(|time_s| HistoryPoint {
                    time_s,
                    users: value,
                    requests_per_sec: value,
                    failures_per_sec: value,
                    percentiles: Some(Percentiles { p50_ms: value, p95_ms: value, p99_ms: value }),
                })
                .to_vec(),
        })];
        assert_eq!(select(&Html::parse_document(&measured.page()), "figure > svg").len(), 3, "{value}");
        measured.runs.swap(0, 1);
        (measured.baseline, measured.runs) = (Baseline::new(&measured.runs, provenance()).unwrap(), measured.runs);
        assert_eq!(select(&Html::parse_document(&measured.page()), "figure > svg").len(), 3, "{value} on both sides");
    }
}
