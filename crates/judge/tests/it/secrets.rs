//! Secrets are masked, and invisible characters shown.

use judge::model::{mask, text};

#[test]
fn a_character_that_cannot_be_seen_is_shown() {
    for (name, expected) in [
        ("/a\u{200b}b", r"/a\u{200b}b"),
        ("/a\u{e0041}b", r"/a\u{e0041}b"),
        ("/a\u{ad}\u{feff}\u{2060}", r"/a\u{ad}\u{feff}\u{2060}"),
        ("/ü/路/\u{1f600}", "/ü/路/\u{1f600}"),
    ] {
        assert_eq!(text::printable(name), expected);
    }
}

#[test]
fn url_is_masked() {
    for (url, expected) in [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://me:word@127.0.0.1:8080/a", "http://***@127.0.0.1:8080/a"),
        ("http://me@host", "http://***@host"),
        ("http://me:p@ss@host", "http://***@host"),
        ("http://me:p/ss@host", "http://***@host"),
        ("http://me:p%40ss@host", "http://***@host"),
        ("me:word@host:80", "***@host:80"),
        ("://@", "://***@"),
        ("@", "***@"),
        ("", ""),
    ] {
        assert_eq!(mask::url(url), expected);
        assert_eq!(mask::url(expected), expected, "twice is once");
    }
}

#[test]
fn urls_in_a_text_are_masked() {
    for (text, expected) in [
        ("no URL, me@example.org: here", "no URL, me@example.org: here"),
        ("`http://me:p,w@a/b`: refused; http://c/d", "`http://***@a/b`: refused; http://c/d"),
        ("http://a,http://me:word@b x@y", "http://a,http://***@b x@y"),
        ("http://me:p@ss@a http://you@b", "http://***@a http://***@b"),
        ("http:// me:word@a", "http:// me:word@a"),
        ("http://ü:ß@a ://", "http://***@a ://"),
    ] {
        assert_eq!(mask::text(text), expected);
        assert_eq!(mask::text(expected), expected, "twice is once");
    }
}

#[test]
fn what_is_handed_to_locust_is_kept_without_its_secrets() {
    for (args, expected) in [
        ("--tags read --class-picker", "--tags read --class-picker"),
        ("--auth-token abc --tags read", "--auth-token *** --tags read #52e4"),
        ("--API_KEY=a=b -H", "--API_KEY=*** -H #0000"),
        ("--password --tags read", "--password --tags read"),
        ("--my-proxy http://me:word@a:1 TokenUser", "--my-proxy *** *** #0000"),
        ("ReadUser --tags a b --pass x", "ReadUser --tags a b --pass *** #0000"),
        ("--headers A SECRET -pSECRET --SEC/RET", "--headers *** *** -p*** *** #0000"),
        ("-T a -E b -- ReadUser", "-T a -E b -- ReadUser"),
        ("-T a -E b -- no/class", "-T a -E b -- *** #0000"),
        ("no/class", "*** #0000"),
    ] {
        let args: Vec<String> = args.split(' ').map(str::to_owned).collect();
        let masked = mask::args(&args);
        assert_eq!(
            without_digest(&masked),
            without_digest(&expected.split(' ').map(str::to_owned).collect::<Vec<_>>())
        );
        assert_eq!(mask::args(&masked), masked, "twice is once");
    }
    let kept = |word: &str| mask::args(&["--pass".to_owned(), word.to_owned()]);
    assert_ne!(kept("one"), kept("two"), "different loads have different digests");
    assert_eq!(kept("one"), ["--pass", "***", "#a727"], "and no other program makes another digest");
}

/// The arguments with any digest as `#`.
fn without_digest(args: &[String]) -> String {
    let shown = args.iter().map(|arg| if arg.starts_with('#') { "#" } else { arg });
    shown.collect::<Vec<_>>().join(" ")
}

#[test]
fn queries_and_tokens_are_masked_wherever_text_is_quoted() {
    for (text, expected) in [
        ("404 for url: http://a/b?api_key=SECRET&page=2, again", "404 for url: http://a/b?api_key=***&page=***, again"),
        ("GET /a?t=SECRET: refused", "GET /a?t=*** refused"),
        ("access_token=SECRET and more", "access_token=*** and more"),
        ("{'Authorization': 'Bearer SECRET.x-y_z'}", "{'Authorization': 'Bearer ***'}"),
        ("Authorization: Basic U0VDUkVU=", "Authorization: Basic ***"),
        ("authorization: SECRET123 x", "authorization: *** x"),
        ("a bearer token is missing", "a bearer token is missing"),
        ("assert x == 3, a=b", "assert x == 3, a=b"),
        ("a==b ?=x", "a==b ?=x"),
    ] {
        assert_eq!(mask::text(text), expected);
        assert_eq!(mask::text(expected), expected, "twice is once");
    }
    assert_eq!(mask::url("http://me:w@a/b?api_key=SECRET#x"), "http://***@a/b?api_key=***");
}
