//! Secrets are not kept.

use judge::mask;

#[test]
fn a_url_is_told_without_its_user_and_password() {
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
fn a_text_is_told_without_the_users_and_passwords_of_its_urls() {
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
        ("--auth-token abc --tags read", "--auth-token *** --tags read"),
        ("--API_KEY=a=b -H", "--API_KEY=*** -H"),
        ("--password --tags read", "--password --tags read"),
        ("--my-proxy http://me:word@a:1 TokenUser", "--my-proxy http://***@a:1 TokenUser"),
    ] {
        let args: Vec<String> = args.split(' ').map(str::to_owned).collect();
        let masked = mask::args(&args);
        assert_eq!(masked.join(" "), expected);
        assert_eq!(mask::args(&masked), masked, "twice is once");
    }
}
