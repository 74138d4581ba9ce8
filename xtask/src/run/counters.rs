//! Counters of the user's own, which are read at both ends of the measured window: `[service] counters`.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use judge::model::mask;
use judge::model::text::{cut, printable};
use xshell::{Shell, cmd};

use crate::config::perf_toml::ServiceConfig;
use crate::run::http::{parse_url, without_interim};
use crate::run::service::{ROOT, fill, variables};
use crate::sys::process;

/// The time for one reading. The load goes on meanwhile.
const TIMEOUT: Duration = Duration::from_secs(5);

const MOST_BYTES: usize = 1 << 20;

/// A report shows a few of them, and a baseline keeps all.
const MOST_NAMES: usize = 300;

const LONGEST_NAME: usize = 200;

/// The listener writes it when it opens the measured window.
const OPENED: &str = "perf_window_opened";

pub type CounterValues = BTreeMap<String, f64>;

pub enum Counters {
    /// There is no such setting, or the service was not started here.
    NotAsked,
    /// Another commit may not have them.
    Missing(String),
    Read {
        source: CounterSource,
        first: Option<CounterValues>,
        last: CounterValues,
    },
}

pub enum CounterSource {
    Url(String),
    Command { shell: Shell, command: String, env: Vec<(String, String)> },
}

impl Counters {
    /// They are read before the load, so that a mistake costs none.
    pub fn check(
        shell: &Shell,
        service: &ServiceConfig,
        port: u16,
        root: &Path,
        is_other_commit: bool,
    ) -> Result<Counters> {
        let Some(setting) = &service.counters else { return Ok(Counters::NotAsked) };
        let filled = fill(&fill(setting, "root", &root.to_string_lossy()), "port", &port.to_string());
        ensure!(
            !setting.starts_with("https://"),
            "[service] counters: a page can only be read over http://; for https, use a command, such as `curl -s {}`",
            printable(setting)
        );
        let source = if setting.starts_with("http://") {
            CounterSource::Url(filled)
        } else {
            let mut env = variables(service, root, port);
            env.push((ROOT.to_owned(), root.to_string_lossy().into_owned()));
            CounterSource::Command { shell: shell.clone(), command: filled, env }
        };
        match source.read().context("[service] counters") {
            Ok(_) => Ok(Counters::Read { source, first: None, last: CounterValues::new() }),
            Err(error) if is_other_commit => Ok(Counters::Missing(format!("{error:#}"))),
            Err(error) => Err(error),
        }
    }

    pub fn tick(&mut self, folder: &Path) -> Result<()> {
        if let Counters::Read { source, first, .. } = self
            && first.is_none()
            && folder.join(OPENED).is_file()
        {
            *first = Some(source.read().context("[service] counters")?);
        }
        Ok(())
    }

    pub fn end(&mut self) -> Result<()> {
        if let Counters::Read { source, last, .. } = self {
            *last = source.read().context("[service] counters")?;
        }
        Ok(())
    }

    /// By how much each counter rose in the window. One that fell was set back, and tells nothing.
    pub fn rises(&self) -> CounterValues {
        let Counters::Read { first: Some(first), last, .. } = self else { return CounterValues::new() };
        let rise = |(name, last): (&String, &f64)| {
            let rise = last - first.get(name).copied().unwrap_or(0.0);
            (rise >= 0.0).then(|| (name.clone(), rise))
        };
        last.iter().filter_map(rise).collect()
    }

    pub fn warning(&self) -> Option<String> {
        match self {
            Counters::Missing(why) => Some(format!("the other commit has no counters: {why}")),
            Counters::Read { first: None, .. } => Some(
                "[service] counters were not read, because our listener did not report the opening of the window"
                    .to_owned(),
            ),
            Counters::NotAsked | Counters::Read { .. } => None,
        }
    }
}

impl CounterSource {
    fn read(&self) -> Result<CounterValues> {
        let (shown, bytes) = match self {
            CounterSource::Url(url) => {
                let shown = mask::url(url);
                (shown.clone(), fetch(url).map_err(|error| anyhow!("{shown}: {error:#}"))?)
            }
            CounterSource::Command { shell, command, env } => {
                let shown = format!("`{}`", printable(&mask::text(command)));
                let started = cmd!(shell, "sh -c {command}").envs(env.iter().map(|(name, value)| (name, value)));
                let answer = process::answer_bytes("[service] counters", &started.into(), Vec::new(), TIMEOUT)?;
                (shown.clone(), answer.with_context(|| format!("{shown} failed: run it yourself to see why"))?)
            }
        };
        ensure!(
            bytes.len() <= MOST_BYTES,
            "{shown}: more than {MOST_BYTES} bytes: give a page or a command with fewer"
        );
        let text = String::from_utf8(bytes).ok().with_context(|| format!("{shown}: this is not UTF-8"))?;
        parse(&text).with_context(|| shown)
    }
}

fn fetch(url: &str) -> Result<Vec<u8>> {
    // A body may be in chunks, whose lengths take little.
    let answer = parse_url(url)?.ask(Instant::now() + TIMEOUT, |answer| answer.len() > 2 * MOST_BYTES);
    let answer = answer.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            anyhow!("timeout: no whole answer within {} s", TIMEOUT.as_secs())
        }
        _ => error.into(),
    })?;
    let mut answer = without_interim(&answer).to_vec();
    let end =
        answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").context("it answers something other than HTTP")?;
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    ensure!(status == "200", "it answers {}", cut(&printable(status), 40));
    let body = answer.split_off(end + 4);
    let is_chunked = head.lines().any(|line| line.starts_with("transfer-encoding:") && line.contains("chunked"));
    if is_chunked { unchunked(&body).context("its chunks are broken") } else { Ok(body) }
}

/// Joins chunks: a length in hexadecimal in a line, as many bytes, an empty line (RFC 9112, section 7.1).
fn unchunked(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut joined = Vec::new();
    loop {
        let end = body.windows(2).position(|bytes| bytes == b"\r\n")?;
        let line = str::from_utf8(&body[..end]).ok()?;
        let length = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        if length == 0 {
            return Some(joined);
        }
        let chunk = body.get(end + 2..)?.get(..length)?;
        joined.extend_from_slice(chunk);
        body = body.get(end + 2 + length + 2..)?;
    }
}

/// Parses Prometheus' text format, of which `name value` is the simplest. The values of a name with different labels
/// are added up, and only what counts up is kept.
fn parse(text: &str) -> Result<CounterValues> {
    let mut counts = CounterValues::new();
    let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
    for (place, line) in text.lines().map(str::trim).enumerate() {
        if let Some(comment) = line.strip_prefix('#') {
            let words: Vec<&str> = comment.split_whitespace().collect();
            if let ["TYPE", name, kind] = words[..] {
                kinds.insert(name, kind);
            }
            continue;
        }
        if line.is_empty() {
            continue;
        }
        let Some((name, labels, value)) = sample(line) else {
            bail!(
                "line {} is `{}`: expected `name value`, as in Prometheus' text format",
                place + 1,
                cut(&printable(&mask::text(line)), 60)
            );
        };
        if value.is_finite() && counts_up(name, labels, &kinds) {
            *counts.entry(name.to_owned()).or_default() += value;
        }
        ensure!(
            counts.len() <= MOST_NAMES,
            "more than {MOST_NAMES} counters: select some with a command, such as `curl -s URL | grep -E \"^(# TYPE )?db_\"`"
        );
    }
    ensure!(!counts.is_empty(), "it has no counter: expected lines `name value`, as in Prometheus' text format");
    Ok(counts)
}

/// The name, the labels with their brackets, and the value.
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_:.-/".contains(c);
    let end = line.find(|c| !is_name(c))?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        // A label's text may hold brackets too.
        Some(_) => rest.split_at(rest.rfind('}')? + 1),
        None => ("", rest),
    };
    let mut fields = rest.split_whitespace();
    let value = fields.next()?.parse().ok()?;
    let is_time = |field: &str| field.parse::<f64>().is_ok() || field.starts_with('#');
    let is_whole = fields.next().is_none_or(is_time);
    (!name.is_empty() && name.len() <= LONGEST_NAME && is_whole).then_some((name, labels, value))
}

/// Whether it counts up: a counter, the sum or the count of a histogram or a summary, or what has no type.
fn counts_up(name: &str, labels: &str, kinds: &BTreeMap<&str, &str>) -> bool {
    let of_family = ["_sum", "_count", "_total", "_bucket", "_created"].iter().find_map(|end| {
        let family = name.strip_suffix(end)?;
        Some((*end, *kinds.get(family)?))
    });
    match (kinds.get(name).copied(), of_family) {
        (Some("counter" | "untyped" | "unknown"), _) | (None, None | Some(("_total", "counter"))) => true,
        (Some("summary"), _) => !labels.contains("quantile="),
        (None, Some((end, "histogram" | "summary"))) => matches!(end, "_sum" | "_count"),
        (Some(_), _) | (None, Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn counters_are_parsed_and_what_does_not_count_up_is_left_out() {
        let text = "# HELP db_queries_total Queries.\n# TYPE db_queries_total counter\n\
                    db_queries_total{table=\"a\",text=\"} 7\"} 3\ndb_queries_total{table=\"b\"} 4 1700000000\n\
                    # TYPE memory gauge\nmemory 5\n# TYPE seconds histogram\nseconds_bucket{le=\"1\"} 3\n\
                    seconds_sum 1.5\nseconds_count 3\n# TYPE old summary\nold{quantile=\"0.5\"} 3\nold_sum 4\n\nplain 1e3\nnan NaN\n";
        let counts = parse(text).unwrap();
        let expected = [
            ("db_queries_total", 7.0),
            ("old_sum", 4.0),
            ("plain", 1000.0),
            ("seconds_count", 3.0),
            ("seconds_sum", 1.5),
        ];
        assert_eq!(counts, expected.map(|(name, value)| (name.to_owned(), value)).into());
        for (text, why) in [
            ("{\"queries\": 1}", "line 1 is `{\"queries\": 1}`: expected `name value`"),
            ("a 1\nb", "line 2 is `b`: expected `name value`"),
            ("a one", "line 1 is `a one`"),
            ("", "it has no counter"),
            ("# TYPE a gauge\na 1", "it has no counter"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(why), "{text}: {error}");
        }
        let many: Vec<String> = (0..=MOST_NAMES).map(|number| format!("a{number} 1")).collect();
        assert!(parse(&many.join("\n")).unwrap_err().to_string().starts_with("more than 300 counters"));
    }

    #[test]
    fn page_is_read_whole_or_refused() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\na 1\n".to_owned(), Ok("a 1\n")),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na \r\n2;x\r\n1\n\r\n0\r\n\r\n".to_owned(),
                Ok("a 1\n"),
            ),
            ("HTTP/1.1 404 Not Found\r\n\r\n".to_owned(), Err("it answers 404")),
            ("SSH-2.0\r\n".to_owned(), Err("it answers something other than HTTP")),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}/metrics", listener.local_addr().unwrap());
            let server = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 1024]).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            });
            let body = fetch(&url).map_err(|error| error.to_string());
            assert_eq!(body, expected.map(|text| text.as_bytes().to_vec()).map_err(str::to_owned));
            server.join().unwrap();
        }
    }
}
