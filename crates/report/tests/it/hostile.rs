//! Names of endpoints, and reasons, that somebody made to break a format.

use std::collections::BTreeSet;

use judge::model::text::{cut, printable};
use report::{Format, View};
use roxmltree::{Document, Node};
use serde_json::Value;

use crate::cases::{Case, STEADY, no_verdict, rules, run};
use crate::json::Schema;
use crate::junit::assert_is_junit;

/// What somebody may call an endpoint, by malice or by accident.
pub fn hostile_names() -> Vec<String> {
    let names = [
        "</script><script>alert(1)</script>",
        "<!--",
        "]]>",
        "<![CDATA[",
        "GET /a|b",
        "`code` ```block```",
        "::error::owned",
        "GET /a\n::error::owned\r\n##[error]owned",
        "\0",
        "\u{1b}[31mred\u{1b}[0m\u{1b}]0;title\u{7}",
        "\u{9b}31m",
        "\u{202e}txt.exe\u{2066}\u{61c}\u{200f}",
        "\"quoted\" 'twice'",
        "&amp;&lt;&#0;&unknown;",
        "back\\slash \\u0041 \\n",
        "\u{fffe}\u{ffff}\u{1ffff}\u{2028}\u{2029}\u{feff}\u{7f}\u{85}",
        "${{ secrets.TOKEN }} $(id) %0A",
        "Aggregated",
        "",
        " ",
        "javascript:alert(1)",
        "[a](javascript:alert(1)) ![b](https://example.org/c.png)",
        "https://example.org/?a=b www.example.org",
        "@everyone #1 GH-1 a@example.org",
        "# heading\n\n---\n- list\n> quote",
        "</td></tr></table><h1>PASS</h1>",
        "'\" onmouseover='alert(1)' x=\"",
        "-->",
        "?><?xml version=\"1.0\"?>",
        "<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]>&b;",
        "%25%0D%0A::error::owned",
        "::stop-commands::owned",
        "##vso[task.setvariable variable=a]b",
        "\r\u{8}\u{1b}[2K\u{1b}[1APASS",
        "a\u{200b}b\u{200d}\u{2060}\u{ad}\u{e0041}\u{e007f}",
        "\u{301}\u{301}e\u{301} שלום 😀",
        "=cmd|' /C calc'!A0",
        "\\\\|\\|**bold**~~gone~~",
        "../../etc/passwd",
        "null",
    ];
    names.iter().map(|name| (*name).to_owned()).chain(["x".repeat(10_000), "\u{1b}<".repeat(5_000)]).collect()
}

/// A comparison in which each endpoint fails, so that its name is in every sentence that names one.
pub fn hostile_case(names: &[String]) -> Case {
    let of = |p95_ms: f64| {
        let endpoints: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), p95_ms)).collect();
        run(p95_ms, &endpoints)
    };
    Case::new("hostile", &STEADY.map(of), [900.0, 905.0, 910.0, 903.0, 907.0].map(of).into(), rules(false, true))
}

/// The file has nothing that a terminal, a page or a log would obey.
#[track_caller]
fn assert_harmless(name: &str, text: &str) {
    const MARKS: &str = "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2028}\u{2029}\u{2066}\u{2067}\u{2068}\u{2069}\u{fffe}\u{ffff}";
    let is_obeyed = |c: char| c != '\n' && (c.is_control() || MARKS.contains(c));
    assert_eq!(text.chars().find(|c| is_obeyed(*c)), None, "{name:?}");
    assert!(!text.contains("</script"), "{name:?}");
    assert!(!text.lines().any(|line| line.trim_start().starts_with("::")), "{name:?}");
}

#[test]
fn hostile_endpoint_names_break_no_format() {
    let schema = Schema::read();
    let all = hostile_names();
    assert_eq!(all.len(), 42);
    for names in all.chunks(1).chain([&all[..]]) {
        let shown = if names.len() == 1 { &names[0] } else { "all" };
        hostile_case(names).report(|report| {
            let text = Format::Json.render(&View::of(report));
            assert_harmless(shown, &text);
            let value: Value = serde_json::from_str(&text).unwrap();
            schema.assert_accepts(shown, &value);
            let rows = value["rows"].as_array().unwrap();
            let read: BTreeSet<&str> = rows.iter().filter_map(|row| row["endpoint"].as_str()).collect();
            assert_eq!(read, names.iter().map(String::as_str).collect());

            let text = Format::Junit.render(&View::of(report));
            assert_harmless(shown, &text);
            assert!(!text.contains("]]>"), "{shown:?}");
            let document = assert_is_junit(shown, &text);
            let suites: Vec<_> = document.descendants().filter(|node| node.has_tag_name("testsuite")).collect();
            assert_eq!(suites.len(), names.len() + 1);
            for (suite, name) in suites[1..].iter().zip(names) {
                let name = cut(&printable(name), 1000);
                assert_eq!(suite.attribute("name"), Some(name.as_str()));
                assert!(
                    suite.children().filter(Node::is_element).all(|case| case.attribute("classname") == Some(&name))
                );
            }
        });
    }
}

#[test]
fn reason_with_every_character_is_escaped() {
    let reason: String = ('\0'..=char::MAX).collect();
    let text = Format::Json.render_unjudged(&no_verdict(&reason));
    assert_harmless("every character", &text);
    let value: Value = serde_json::from_str(&text).unwrap();
    assert!(value["sentence"] == reason.as_str(), "it is not the same");
    let text = Format::Junit.render_unjudged(&no_verdict(&reason));
    assert_harmless("every character", &text);
    assert!(Document::parse(&text).is_ok());
}
