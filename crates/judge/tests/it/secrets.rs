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

/// The table of forms: `§` stands for a secret, and `***` is what stays of it.
const FORMS: [(&str, &str); 82] = [
    // URLs.
    ("404 for url: http://a/b?api_key=§&page=2, again", "404 for url: http://a/b?api_key=***&page=***, again"),
    ("GET /a?t=§: refused", "GET /a?t=*** refused"),
    ("redis://:§@db/0 and amqp://me:§@mq", "redis://***@db/0 and amqp://***@mq"),
    ("pip install https://__token__:§@host/simple", "pip install https://***@host/simple"),
    // Words and lines.
    ("access_token=§ and more", "access_token=*** and more"),
    ("client_secret = §", "client_secret = ***"),
    ("pwd=§", "pwd=***"),
    ("DB_PASS=§ ./serve", "DB_PASS=*** ./serve"),
    ("dbPwd: §", "dbPwd: ***"),
    ("password: §", "password: ***"),
    ("Passphrase := §", "Passphrase := ***"),
    ("export AWS_SECRET_ACCESS_KEY=\"§ Y\"", "export AWS_SECRET_ACCESS_KEY=\"***\""),
    ("Server=db;User Id=me;Password=§;", "Server=db;User Id=me;Password=***;"),
    ("sessionid=§; path=/", "sessionid=***; path=/"),
    ("csrf-token:§", "csrf-token:***"),
    ("assert token == '§'", "assert token == '***'"),
    // Python, JSON, Ruby, and what quotes them.
    ("{'password': '§'}", "{'password': '***'}"),
    ("{\"password\": \"§ Y\", \"a\": 1}", "{\"password\": \"***\", \"a\": 1}"),
    ("{\"password\":\"§\\\" Y\"}", "{\"password\":\"***\"}"),
    ("b'{\"apiKey\":\"§\"}'", "b'{\"apiKey\":\"***\"}'"),
    ("\"{\\\"password\\\": \\\"§\\\"}\" was sent", "\"{\\\"password\\\": \\\"***\\\"}\" was sent"),
    ("{b'token': b'§'}", "{b'token': b'***'}"),
    ("{'password': \"it's §\"}", "{'password': \"***\"}"),
    ("{:password => \"§\"}", "{:password => \"***\"}"),
    ("{'key': '§'}", "{'key': '***'}"),
    ("[(b'x-api-key', b'§'), ('a', 'b')]", "[(b'x-api-key', b'***'), ('a', 'b')]"),
    ("post('/a', auth=('me', '§'))", "post('/a', auth=***)"),
    ("cookies={'a': '§', 'b': ['§']}, timeout=3", "cookies=***, timeout=3"),
    ("tokens: [\"§\", \"Y\"]", "tokens: ***"),
    ("{'password': '§", "{'password': '***"),
    ("said \\npwd=§\\n", "said \\npwd=***"),
    ("&quot;password&quot;:&quot;§&quot;", "&quot;password&quot;:&quot;***&quot;"),
    ("%7B%22password%22%3A%22§%22%7D", "%7B%22password%22%3A%22***%22%7D"),
    ("a=1%26password%3D§", "a=1%26password%3D***"),
    ("User(name='me', password_hash='§')", "User(name='me', password_hash='***')"),
    // Headers.
    ("X-Api-Key: §", "X-Api-Key: ***"),
    ("'x-api-key': '§'", "'x-api-key': '***'"),
    ("sent Authorization: Bearer §, got 401", "sent Authorization: Bearer ***, got 401"),
    ("{'Authorization': 'Bearer §'}", "{'Authorization': 'Bearer ***'}"),
    ("{'Authorization': b'Bearer §'}", "{'Authorization': b'Bearer ***'}"),
    ("Authorization: Basic §=", "Authorization: Basic ***"),
    ("Authorization: token §", "Authorization: token ***"),
    ("authorization: § x", "authorization: *** x"),
    ("Authorization: Digest username=\"me\", response=\"§\"", "Authorization: ***"),
    ("Proxy-Authorization: Basic §", "Proxy-Authorization: Basic ***"),
    ("Authorization: AWS4-HMAC-SHA256 Credential=§/a, Signature=§", "Authorization: ***"),
    ("curl -H \"Authorization: Bearer §\" http://a", "curl -H \"***\" http://a"),
    ("Cookie: a=§", "Cookie: ***"),
    ("Cookie: a=§; b=§ got 401", "Cookie: *** got 401"),
    ("\"Cookie: a=§; b=§\"", "\"Cookie: ***\""),
    ("Set-Cookie: sid=§; Path=/; HttpOnly", "Set-Cookie: ***"),
    ("{'Cookie': 'a=§; b=§'}", "{'Cookie': '***'}"),
    ("<RequestsCookieJar[<Cookie a=§ for host/>]>", "<RequestsCookieJar[<Cookie *** for host/>]>"),
    ("a Bearer § was refused", "a Bearer *** was refused"),
    // Options.
    ("login --password § --retry", "login --password *** --retry"),
    ("login --password=§", "login --password=***"),
    ("login --api-key '§ Y'", "login --api-key '***'"),
    ("curl -u me:§ http://a", "curl -u *** http://a"),
    ("curl --header 'X-Custom: §'", "curl --header '***'"),
    ("-H X-Custom:§", "-H ***"),
    // Other languages.
    ("<password>§</password>", "<password>***</password>"),
    ("CREATE USER me PASSWORD '§'", "CREATE USER me PASSWORD '***'"),
    ("password \"§\"", "password \"***\""),
    // By shape.
    ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJYIn0.c2lnbmF0dXJl here", "got *** here"),
    ("AKIAIOSFODNN7EXAMPLE", "***"),
    ("ghp_0123456789abcdefABCDEF0123456789abcd is wrong", "*** is wrong"),
    ("github_pat_11AAAAAAA0123456789_abcdef", "***"),
    ("glpat-0123456789abcdefghij", "***"),
    ("xoxb-0123456789-abcdefghij", "***"),
    ("sk_live_0123456789abcdefghij", "***"),
    ("AIzaSyA0123456789abcdefghijklmnopqrstu", "***"),
    ("key-like (hvs.CAESIJ0123456789abcdef)", "key-like (***)"),
    ("in/a/path/ghp_0123456789abcdefABCDEF0123456789abcd", "in/a/path/***"),
    ("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\nnext", "***\nnext"),
    (
        "-----BEGIN RSA PRIVATE KEY-----\n§\n§\n-----END RSA PRIVATE KEY-----\nnext",
        "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----\nnext",
    ),
    ("'-----BEGIN PRIVATE KEY-----\\n§", "'-----BEGIN PRIVATE KEY-----***"),
    (
        "-----BEGIN CERTIFICATE-----\na\n-----END CERTIFICATE-----\n-----BEGIN OPENSSH PRIVATE KEY-----§",
        "-----BEGIN CERTIFICATE-----\na\n-----END CERTIFICATE-----\n-----BEGIN OPENSSH PRIVATE KEY-----***",
    ),
    ("-----BEGIN PGP PRIVATE KEY BLOCK-----§", "-----BEGIN PGP PRIVATE KEY BLOCK-----***"),
    // Two in a line.
    ("token=§ token=§", "token=*** token=***"),
    ("{'password': '§', 'token': '§'}", "{'password': '***', 'token': '***'}"),
    ("http://me:§@a?token=§ Authorization: Bearer §", "http://***@a?token=*** Authorization: Bearer ***"),
    ("ünsicher, password: §", "ünsicher, password: ***"),
];

#[test]
fn every_form_of_a_secret_is_masked() {
    for secret in ["s3kr1t-7hx", "Hunter2", "pässwort"] {
        for (form, expected) in FORMS {
            let text = form.replace('§', secret);
            assert_eq!(mask::text(&text), expected, "{text}");
            assert_eq!(mask::text(expected), expected, "twice is once");
        }
    }
}

#[test]
fn text_without_a_secret_stays_as_it_is() {
    for text in [
        "a bearer token is missing",
        "basic authentication failed",
        "assert x == 3, a=b",
        "a==b ?=x",
        "KeyError: 'items'",
        "JSONDecodeError: Expecting value: line 1",
        "TokenError: Signature has expired",
        "SyntaxError: Unexpected token '<', \"<!DOCTYPE \"... is not valid JSON",
        "cannot read /srv/secrets: permission denied",
        "/app/tokens.py:12: in get",
        "duplicate key: GET /a",
        "unknown field `users`, expected one of `token`, `user`",
        "the keyboard: a monkey, by an author: me",
        "GET /login/password: 500",
        "2026-01-27 INFO locust.main: Run time limit set to 20 seconds",
        "File \"/home/a/locustfile.py\", line 3, in get_token",
        "commit 940273c4f643f5d673c780db47493dc84c9f9979 of sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "https://example.org/a/very/long/Path/of/Many/Words/that/is/no/Key/at/all/1/2/3",
    ] {
        assert_eq!(mask::text(text), text);
    }
    assert_eq!(mask::url("http://me:w@a/b?api_key=SECRET#x"), "http://***@a/b?api_key=***");
}

#[test]
fn foreign_text_is_masked_visible_and_commands_no_runner() {
    for (said, expected) in [
        ("a\tb\nc", "a\tb\nc"),
        ("one\r\ntwo\r\n", "one\ntwo"),
        ("\u{1b}[2J\u{1b}]52;c;YQ==\u{7}", r"\u{1b}[2J\u{1b}]52;c;YQ==\u{7}"),
        ("a\rb\u{202e}c\u{9b}d", r"a\rb\u{202e}c\u{9b}d"),
        ("::add-mask::a\n  ::error::b\nc ::d", ": :add-mask::a\n  : :error::b\nc ::d"),
        (
            "x ##[error]a ##vso[task.setvariable]b ##teamcity[c] ## [d]",
            "x # #[error]a # #vso[task.setvariable]b # #teamcity[c] ## [d]",
        ),
        ("::##[a", ": :# #[a"),
        ("pip install https://me:word@host\npassword=word", "pip install https://***@host\npassword=***"),
        ("", ""),
    ] {
        assert_eq!(text::foreign(said), expected);
    }
    let error = anyhow::anyhow!("`::error::`: ##[error]a\nb: http://me:word@a");
    assert_eq!(text::error_line(&error), r"`::error::`: # #[error]a\nb: http://***@a");
}
