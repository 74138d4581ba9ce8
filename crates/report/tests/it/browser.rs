//! The page in a real browser.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use report::{CommandLine, Format, Saved, Unjudged, View};
use scraper::Html;
use serde_json::{Value, json};

use crate::cases::{case, no_verdict};
use crate::service::{failing, inconclusive, measured, names, of, rows, select, text};
use crate::situations::{Situation, situations};

/// The time for the browser: only a hang takes longer.
const PATIENCE: Duration = Duration::from_secs(180);

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("html");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The browser on the path, if any.
fn browser() -> Option<PathBuf> {
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect();
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|path| path.is_file())
}

/// Ends the browser whatever happens.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Opens a file without a window and returns what the browser prints, and what it and the page's console log.
fn open(browser: &Path, page: &Path, flags: &[String]) -> [String; 2] {
    /// One browser uses all cores.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let name = page.file_stem().unwrap().to_str().unwrap();
    let profile = folder().join(format!("profile-{name}"));
    let _ = fs::remove_dir_all(&profile);
    let [out, err] = ["out", "err"].map(|end| folder().join(format!("{name}.{end}")));
    let mut child = Owned(
        Command::new(browser)
            .args([
                "--headless=new",
                // A container has no user to sandbox for, and the pages are ours.
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--no-first-run",
                "--enable-logging=stderr",
                "--v=0",
            ])
            .arg(format!("--user-data-dir={}", profile.display()))
            .args(flags)
            .arg(format!("file://{}", page.display()))
            .stdout(fs::File::create(&out).unwrap())
            .stderr(fs::File::create(&err).unwrap())
            .spawn()
            .unwrap(),
    );
    let deadline = Instant::now() + PATIENCE;
    while child.0.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "the browser does not end: {}", fs::read_to_string(&err).unwrap());
        thread::sleep(Duration::from_millis(20));
    }
    let _ = fs::remove_dir_all(&profile);
    [out, err].map(|path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned())
}

fn write(name: &str, page: &str) -> PathBuf {
    let path = folder().join(name);
    fs::write(&path, page).unwrap();
    path
}

fn console(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("CONSOLE")).collect()
}

#[test]
fn browser_shows_the_page_without_errors() {
    let Some(browser) = browser() else {
        let in_ci = std::env::var("CI").is_ok_and(|ci| !matches!(ci.as_str(), "" | "0" | "false"));
        assert!(!in_ci, "there is no Chromium on the path, and under CI the page must be opened in one");
        // The test harness captures the output of the macros.
        let _ = io::stderr().write_all(b"SKIPPED: there is no Chromium on the path to open the HTML page with\n");
        return;
    };
    for (count, endpoint_rows) in [(1, 5), (5, 22), (300, 1497)] {
        let page = measured(&names(count), 1.35).page();
        let picture = folder().join(format!("{count}-endpoints.png"));
        let _ = fs::remove_file(&picture);
        let screenshot = format!("--screenshot={}", picture.display());
        let flags = ["--dump-dom", "--window-size=1400,3000", &screenshot].map(str::to_owned);
        let [dom, log] = open(&browser, &write(&format!("{count}-endpoints.html"), &page), &flags);
        assert_eq!(console(&log), Vec::<&str>::new());
        let dom = Html::parse_document(&dom);
        assert!(
            text(select(&dom, "h1")[0]).starts_with("FAIL (another Locust than the baseline's): p95"),
            "{}",
            text(select(&dom, "h1")[0])
        );
        assert_eq!((rows(&dom, "total").len(), rows(&dom, "endpoints").len()), (7, endpoint_rows));
        // The script ran, since the page's policy allows it.
        assert!(select(&dom, "#find")[0].attr("hidden").is_none());
        assert!(fs::metadata(&picture).unwrap().len() > 10_000, "{}", picture.display());
    }
}

#[test]
fn browser_search_works_and_only_our_script_runs() {
    let Some(browser) = browser() else { return };
    let dump = ["--dump-dom".to_owned()];
    let page = measured(&names(300), 1.35).page();
    // A person who types in the search box; the page's policy would not allow this script.
    let (head, rest) = page.split_once("<meta http-equiv").unwrap();
    let typing = "<script>box.value = 'V7/Customers'; box.dispatchEvent(new Event('input'))</script></body>";
    let typing = typing.replace("box", "document.querySelector('#find input')");
    let page_with_typing = format!("{head}{}", rest.split_once('>').unwrap().1.replace("</body>", &typing));
    let [dom, _] = open(&browser, &write("typing.html", &page_with_typing), &dump);
    let dom = Html::parse_document(&dom);
    assert_eq!(select(&dom, "table[aria-labelledby=endpoints] tbody:not([hidden])").len(), 1);
    // The console is read at all: the policy refuses a script that it does not know, and the browser logs that.
    let [_, log] = open(&browser, &write("refused.html", &page.replace("</body>", &typing)), &dump);
    assert_eq!(console(&log).len(), 1, "{log}");
}

#[test]
fn browser_switches_the_metric_and_opens_a_linked_endpoint() {
    let Some(browser) = browser() else { return };
    let page = measured(&names(300), 1.35).page();
    let (head, rest) = page.split_once("<meta http-equiv").unwrap();
    let choosing = "<script>const box = document.querySelector('#choice select'); box.value = 'error_rate'; \
                    box.dispatchEvent(new Event('change')); document.getElementById('more').click(); \
                    location.hash = 'endpoint-get-api-v7-claims'; \
                    addEventListener('hashchange', () => { document.title = document.querySelector(':target').textContent });</script></body>";
    let page = format!("{head}{}", rest.split_once('>').unwrap().1.replace("</body>", choosing));
    let flags = ["--dump-dom", "--virtual-time-budget=5000"].map(str::to_owned);
    let [dom, _] = open(&browser, &write("choosing.html", &page), &flags);
    let dom = Html::parse_document(&dom);
    assert_eq!(text(select(&dom, "#where")[0]), "Each endpoint (errors, worst first)");
    let shown = select(&dom, ".bars:not([hidden])");
    assert_eq!((shown.len(), shown[0].attr("data-metric")), (1, Some("error_rate")));
    assert_eq!(select(&dom, ".bars:not([hidden]) tbody tr:not([hidden])").len(), 61);
    assert_eq!(select(&dom, "p[data-metric]:not([hidden])").len(), 1);
    assert_eq!(select(&dom, ".scroll.long")[0].attr("aria-labelledby"), Some("where"));
    assert_eq!(text(select(&dom, "title")[0]), "GET /api/v7/claims");
    assert!(select(&dom, "details[open] #endpoint-get-api-v7-claims").len() == 1);
}

/// A page of each kind.
fn pages() -> Vec<(&'static str, String)> {
    let saved = Saved::new(&of(1.0, 5).baseline, "perf_baseline.json", CommandLine::default());
    let refusal = "perf_baseline.json is not comparable: users: the baseline has 10, this load 50; measure with --users 10, or accept the new load with --update-baseline";
    vec![
        ("pass", of(1.0, 2).page()),
        ("fail", of(1.5, 2).page()),
        ("inconclusive", inconclusive().page()),
        ("first-baseline", Format::Html.render_unjudged(&Unjudged::BaselineSaved(saved))),
        ("no-verdict", Format::Html.render_unjudged(&no_verdict(refusal))),
        ("errors", failing().page()),
        ("drift", case("a drift").report(|report| Format::Html.render(&View::of(report)))),
        ("history", crate::history::page()),
        ("1-endpoint", measured(&names(1), 1.35).page()),
        ("5-endpoints", measured(&names(5), 1.35).page()),
        ("300-endpoints", measured(&names(300), 1.35).page()),
    ]
}

/// The script that the driver below runs in each page, at each width: it lists the faults.
const FAULTS: &str = r"
const faults = (page, width) => {
  const found = [], root = page.documentElement, seen = page.defaultView;
  const say = (what, of) => found.push(`${width}px: ${what}: ${of.className.baseVal ?? of.className} ${(of.textContent || '').trim().slice(0, 40)}`);
  if (root.scrollWidth > root.clientWidth) say('the page is wider than the screen', root);
  for (const of of page.querySelectorAll('main *, .head *')) {
    const box = of.getBoundingClientRect(), style = seen.getComputedStyle(of);
    // The table of a history scrolls in its region.
    if (!box.width || of.closest('.hidden, figure svg, .scroll:has(.history)')) continue;
    if (box.right > root.clientWidth + 1 || box.left < -1) say('outside of the screen', of);
    if (of.scrollWidth > of.clientWidth + 1 && style.overflowX !== 'visible' && of.matches('.scroll')) say('scrolls', of);
  }
  for (const of of page.querySelectorAll('svg text')) {
    const scale = of.getScreenCTM().a, size = parseFloat(seen.getComputedStyle(of).fontSize) * scale;
    if (size < 10.95) say(`letters of ${size.toFixed(1)} px`, of);
  }
  return found;
};
";

#[test]
fn nothing_is_clipped_at_any_width_and_chart_text_is_legible() {
    let Some(browser) = browser() else { return };
    let pages: Vec<Value> = pages().into_iter().map(|(name, page)| json!([name, page])).collect();
    // As JSON within a script, where `<` would end it.
    let pages = json!(pages).to_string().replace('<', "\\u003c");
    let driver = format!(
        "<!DOCTYPE html><body><pre id=\"found\">running</pre><script>{FAULTS}
        const pages = {pages};
        (async () => {{
          const found = [];
          for (const [name, text] of pages) {{
            const frame = document.createElement('iframe');
            frame.style = 'border: 0; height: 900px; width: 1000px';
            const loaded = new Promise((done) => frame.addEventListener('load', done));
            frame.srcdoc = text;
            document.body.append(frame);
            await loaded;
            // The layout of 1500 rows takes a second at each width, and a few rows show the same.
            const folds = frame.contentDocument.querySelectorAll('details');
            if (!name.startsWith('300')) for (const fold of folds) fold.open = true;
            for (const width of [320, 340, 360, 412, 480, 560, 641, 704, 720, 800, 880, 900, 1024, 1200, 1400, 1920]) {{
              frame.style.width = `${{width}}px`;
              for (const fault of faults(frame.contentDocument, width)) found.push(`${{name}}, ${{fault}}`);
            }}
            frame.remove();
          }}
          document.getElementById('found').textContent = found.join('\\n') || 'nothing';
        }})();</script></body>"
    );
    let path = write("widths.html", &driver);
    let flags = ["--dump-dom", "--virtual-time-budget=60000", "--window-size=2000,1000"].map(str::to_owned);
    let [dom, _] = open(&browser, &path, &flags);
    let dom = Html::parse_document(&dom);
    assert_eq!(text(select(&dom, "#found")[0]), "nothing");
}

#[test]
#[ignore = "takes a minute and asserts little: run it after a change of the page, and look at what it leaves in target/tmp/html/situations"]
fn every_situation_is_photographed() {
    let Some(browser) = browser() else { return };
    let folder = folder().join("situations");
    fs::create_dir_all(&folder).unwrap();
    let dark = "--blink-settings=preferredColorScheme=0".to_owned();
    let mut counts = String::new();
    for situation in situations() {
        counts.push_str(&situation.counts());
        let Situation { name, page, terminal, comment, annotations } = situation;
        for (end, content) in [("txt", &terminal), ("md", &comment), ("annotations.txt", &annotations)] {
            fs::write(folder.join(format!("{name}.{end}")), content).unwrap();
        }
        let path = folder.join(format!("{name}.html"));
        fs::write(&path, &page).unwrap();
        let picture = |kind: &str| format!("--screenshot={}", folder.join(format!("{name}-{kind}.png")).display());
        let desktop = "--window-size=1280,800".to_owned();
        open(&browser, &path, &[picture("desktop"), desktop.clone(), "--hide-scrollbars".to_owned()]);
        open(&browser, &path, &[picture("dark"), desktop, dark.clone(), "--hide-scrollbars".to_owned()]);
        let print = format!("--print-to-pdf={}", folder.join(format!("{name}.pdf")).display());
        open(&browser, &path, &[print, "--no-pdf-header-footer".to_owned()]);
        // A window is never as narrow as a phone.
        let quoted = page.replace('&', "&amp;").replace('"', "&quot;");
        let phone = folder.join(format!("{name}-phone.html"));
        let frame = format!(
            "<!DOCTYPE html><body style=\"margin:0\"><iframe width=320 height=1600 style=\"border:0\" srcdoc=\"{quoted}\"></iframe>"
        );
        fs::write(&phone, frame).unwrap();
        open(&browser, &phone, &[picture("phone"), "--window-size=500,1600".to_owned()]);
        assert!(fs::metadata(folder.join(format!("{name}-desktop.png"))).unwrap().len() > 10_000, "{name}");
    }
    fs::write(folder.join("counts.txt"), counts).unwrap();
}

#[test]
#[ignore = "takes a minute and asserts little: run it after a change of the page, and look at what it leaves in target/tmp/html"]
fn every_kind_of_page_is_photographed() {
    let Some(browser) = browser() else { return };
    for (name, page) in pages() {
        let quoted = page.replace('&', "&amp;").replace('"', "&quot;");
        let mut frames = String::new();
        for width in [360, 800, 1400] {
            let _ = writeln!(frames, "<iframe width=\"{width}\" height=\"2400\" srcdoc=\"{quoted}\"></iframe>");
        }
        let sheet = format!(
            "<!DOCTYPE html><meta name=\"color-scheme\" content=\"light dark\"><style>body {{ margin: 0; width: 2600px; display: flex; gap: 10px; background: #999 }} iframe {{ border: 0; flex: none }}</style>{frames}"
        );
        let path = folder().join(format!("sheet-{name}.html"));
        fs::write(&path, sheet).unwrap();
        for (scheme, flag) in [("light", None), ("dark", Some("--blink-settings=preferredColorScheme=0"))] {
            let picture = folder().join(format!("{name}-{scheme}.png"));
            let _ = fs::remove_file(&picture);
            let mut flags = vec![format!("--screenshot={}", picture.display()), "--window-size=2600,2400".to_owned()];
            flags.extend(flag.map(str::to_owned));
            open(&browser, &path, &flags);
            assert!(fs::metadata(&picture).unwrap().len() > 10_000, "{}", picture.display());
        }
    }
}
