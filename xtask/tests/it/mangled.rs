//! Parsers of `xtask` on broken input: each returns a value or an error of one line.

use std::fmt::Write as _;
use std::fs;

use judge::model::text::error_line;
use judge::parse::locust_json;
use locust_gate::config::flags;
use locust_gate::config::locust_conf::LocustConf;
use locust_gate::config::perf_toml::Config;

use crate::mangle::{check, check_refuses};
use crate::real::root;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn errors_are_one_line_of_bounded_length_whatever_they_quote() {
    let long = format!(r#"["{}"]"#, "a\u{1b}[31m".repeat(100_000));
    let argument = |name: &str| flags::parse(vec![name.into()]).map(drop);
    for error in [
        locust_json::parse(&long).map(drop),
        Config::parse("a\rb\u{1b}[31m").map(drop),
        argument("a\n\rb"),
        argument(&"\u{202e}a".repeat(100_000)),
    ] {
        let line = error_line(&error.unwrap_err());
        assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "{line:?}");
        assert!((10..=1000).contains(&line.chars().count()), "{line}");
    }
}

#[test]
fn a_mangled_configuration_is_read_or_refused() {
    let own = fs::read(root().join("perf.toml")).unwrap();
    let limits = b"[limits]\np95 = \"20%, max 500ms\"\n[limits.\"GET /a*\"]\nerror_rate = \"2pp\"\n".to_vec();
    check_refuses("perf.toml", &[own, limits], |bytes| Config::parse(&text(bytes)).map(drop));
    let conf = b"users = 10\nrun-time: 2m\nhost http://127.0.0.1\n# headful\n".to_vec();
    check("locust.conf", &[conf], |bytes| {
        LocustConf::default().add_conf("locust.conf", &text(bytes));
        Ok(())
    });
}

#[test]
fn a_mangled_command_line_is_read_or_refused() {
    let mut line = flags::known_flags("perf", flags::HELP).into_iter().fold("perf\n".to_owned(), |mut line, flag| {
        let _ = write!(line, "{flag}\n7\n");
        line
    });
    line.push_str("--\n-u\n5\n");
    check_refuses("command line", &[line.into_bytes(), b"selftest\n--quick\n".to_vec()], |bytes| {
        flags::parse(text(bytes).split('\n').map(Into::into).collect()).map(drop)
    });
}
