//! The annotations of GitHub Actions.

use report::View;
use report::formats::github::{self, Locustfile, Places};

use crate::markdown::with_report;

#[test]
fn annotation_points_at_the_task() {
    let locustfile = "import locust\n\nclass User:\n    def list(self):\n        self.client.get(\"/claims\")\n\
        \n    def create(self):\n        self.client.post(\n            '/claims')\n        self.client.get(f\"/c/{i}\", name=\"/c/[id]\")\n";
    for (endpoint, place) in [
        ("GET /claims", "file=load/locustfile.py,line=5,"),
        ("POST /claims", "file=load/locustfile.py,line=9,"),
        ("PUT /claims", "file=load/locustfile.py,line=5,"),
        ("GET /c/[id]", "file=load/locustfile.py,line=10,"),
        ("GET /claim", "file=perf_baseline.json,line=1,"),
        ("", "file=perf_baseline.json,line=1,"),
    ] {
        with_report(&[(endpoint, 300.0, 450.0)], 300.0, |report| {
            let places = Places {
                baseline: "perf_baseline.json".to_owned(),
                locustfiles: vec![Locustfile { path: "load/locustfile.py".to_owned(), text: locustfile.to_owned() }],
            };
            let annotations = github::annotations(&View::of(report), &places);
            assert!(annotations.starts_with(&format!("::error {place}title=FAIL")), "{endpoint}: {annotations}");
        });
    }
}
