//! Removes secrets from text that is printed or kept.
//!
//! A secret is found by the name before it, or by its own shape. `crates/judge/tests/it/secrets.rs` has a table of all
//! forms. A secret without a name and without a known shape cannot be found.

use std::iter;
use std::ops::Range;

const MASK: &str = "***";

/// Parts of names, without `_` and `-`, whose values are secrets.
const SECRET_PARTS: [&str; 15] = [
    "accesskey",
    "apikey",
    "authorization",
    "clientassertion",
    "cookie",
    "credential",
    "csrf",
    "encryptionkey",
    "passphrase",
    "passw",
    "privatekey",
    "secret",
    "sessionid",
    "token",
    "xsrf",
];

/// Whole words of names that would be parts of harmless words too.
const SECRET_WORDS: [&str; 11] =
    ["auth", "header", "jwt", "key", "oauth", "otp", "pass", "pw", "pwd", "sid", "signature"];

/// Words that are too common in prose for a colon behind them to mean anything, as in `duplicate key: a`.
const COMMON_WORDS: [&str; 2] = ["header", "key"];

/// How tokens begin whose issuer gave them a shape of their own, and the least length of the whole.
const SHAPES: [(&str, usize); 26] = [
    ("AIza", 30),
    ("AKIA", 20),
    ("ASIA", 20),
    ("SG.", 30),
    ("dop_v1_", 30),
    // A JSON object in base64: a JSON web token.
    ("eyJ", 15),
    ("gho_", 20),
    ("ghp_", 20),
    ("ghr_", 20),
    ("ghs_", 20),
    ("ghu_", 20),
    ("github_pat_", 20),
    ("glpat-", 20),
    ("hf_", 30),
    ("hvs.", 20),
    ("npm_", 30),
    ("pypi-", 30),
    ("rk_live_", 20),
    ("shpat_", 20),
    ("sk_live_", 20),
    ("sk_test_", 20),
    ("xoxa-", 20),
    ("xoxb-", 20),
    ("xoxp-", 20),
    ("xoxs-", 20),
    ("ya29.", 20),
];

const TOKEN_SCHEMES: [&str; 9] =
    ["apikey ", "basic ", "bearer ", "bot ", "key ", "negotiate ", "ntlm ", "token ", "jwt "];

/// Masks user name and password, even without a scheme, and the values of the query.
pub fn url(url: &str) -> String {
    let start = url.find("://").map_or(0, |scheme| scheme + 3);
    // A password may contain `/` or another `@`, although it must not, so nothing before the last `@` stays.
    match url.rfind('@') {
        Some(at) if at >= start => queries(&format!("{}{MASK}{}", &url[..start], &url[at..])),
        _ => queries(url),
    }
}

pub fn text(text: &str) -> String {
    shapes(&tokens(&named(&queries(&users(&private_keys(text))))))
}

/// Masks what `next_secret` finds behind a place. An empty range masks nothing, and the search goes on behind it.
fn masked(text: &str, next_secret: impl Fn(usize) -> Option<Range<usize>>) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(secret) = next_secret(at) {
        masked.push_str(&text[at..secret.start]);
        masked.push_str(if secret.is_empty() { "" } else { MASK });
        at = secret.end;
    }
    masked.push_str(&text[at..]);
    masked
}

/// Masks the content of private keys, also of one whose end was cut off.
fn private_keys(text: &str) -> String {
    masked(text, |at| {
        let start = at + key_line(&text[at..], "-----BEGIN ")?.end;
        let end = key_line(&text[start..], "-----END ").map_or(text.len(), |line| start + line.start);
        Some(start..end)
    })
}

/// The first line that begins or ends a private key: `-----BEGIN RSA PRIVATE KEY-----`.
fn key_line(text: &str, mark: &str) -> Option<Range<usize>> {
    let is_of_key = |(start, _): (usize, &str)| {
        let label = start + mark.len();
        let end = label + text[label..].find("-----")? + 5;
        text[label..end].contains("PRIVATE KEY").then_some(start..end)
    };
    text.match_indices(mark).find_map(is_of_key)
}

fn users(text: &str) -> String {
    masked(text, |at| {
        let start = at + text[at..].find("://")? + 3;
        let word = &text[start..end_of(text, start, char::is_whitespace)];
        // Two URLs may be in one word.
        let word = word.split("://").next().unwrap_or_default();
        Some(start..start + word.rfind('@').unwrap_or(0))
    })
}

fn end_of(text: &str, start: usize, ends: impl Fn(char) -> bool) -> usize {
    text[start..].find(ends).map_or(text.len(), |length| start + length)
}

fn ends_value(c: char) -> bool {
    c.is_whitespace() || "&;,\"'`<>()[]{}".contains(c)
}

/// Masks the values of queries, whatever their names: `?page=***`.
fn queries(text: &str) -> String {
    masked(text, |at| {
        let equals = at + text[at..].find('=')?;
        let name_at = text[at..equals].rfind(|c: char| ends_value(c) || c == '?' || c == '=').unwrap_or(0);
        let name = &text[at + name_at..equals];
        let is_query = name.starts_with(['?', '&']) && name.len() > 1;
        let start = equals + 1;
        Some(start..if is_query { end_of(text, start, ends_value) } else { start })
    })
}

fn named(text: &str) -> String {
    masked(text, |at| {
        let name = next_name(text, at)?;
        let value = value_of(text, &name).filter(|value| !value.is_empty());
        Some(value.unwrap_or(name.end..name.end))
    })
}

fn next_name(text: &str, from: usize) -> Option<Range<usize>> {
    let is_of_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let start = from + text[from..].find(is_of_name)?;
    Some(start..end_of(text, start, |c| !is_of_name(c)))
}

fn value_of(text: &str, name: &Range<usize>) -> Option<Range<usize>> {
    let before = &text[..name.start];
    // `\npassword` in an escaped text.
    let word = text[name.clone()].get(usize::from(before.ends_with('\\'))..)?;
    let behind = name.end;
    if word.starts_with('-')
        && (before.is_empty() || before.ends_with(ends_value))
        && let Some(value) = value_of_option(text, word, behind)
    {
        return Some(value);
    }
    if !names_secret(word) {
        return None;
    }
    let lower = word.to_lowercase();
    let quote = quote(&text[behind..]);
    let at = behind + quote.len();
    let separator = at + spaces(&text[at..]);
    let sign = sign(&text[separator..]);
    let value = separator + sign.len() + spaces(&text[separator + sign.len()..]);
    let is_before_value = match sign {
        // A file's name is no name of a value: `/secrets: permission denied`.
        ":" => (!quote.is_empty() || !COMMON_WORDS.contains(&&*lower)) && !before.ends_with('/'),
        // A pair: `('password', 'x')`.
        "," => !quote.is_empty() && before.trim_end_matches(['"', '\'', 'b']).ends_with(['(', '[']),
        // An element: `<password>x</password>`.
        ">" => before.ends_with('<'),
        // SQL, and what Python prints of a cookie: `PASSWORD 'x'`, `<Cookie a=x for host/>`.
        "" if quote.is_empty() && value > behind => {
            let follows = &text[value..];
            let is_pair = text[value..end_of(text, value, ends_value)].contains('=');
            lower.contains("passw") && follows.starts_with(['"', '\'']) || lower == "cookie" && is_pair
        }
        "" => false,
        _ => true,
    };
    match is_before_value {
        true if lower.ends_with("authorization") => Some(header_value(text, value, before)),
        true if lower.ends_with("cookie") && quote.is_empty() => Some(cookies(text, value)),
        true => Some(value_at(text, value, !COMMON_WORDS.contains(&&*lower))),
        false => None,
    }
}

fn value_of_option(text: &str, option: &str, behind: usize) -> Option<Range<usize>> {
    let value = behind + spaces(&text[behind..]);
    if value == behind || text[value..].starts_with('-') {
        return None;
    }
    let is_secret = names_secret(option) || option == "-H";
    let range = value_at(text, value, false);
    // `-u me:word`, as curl has it.
    let is_user = ["-u", "--user"].contains(&option) && text[range.clone()].contains(':');
    (is_secret || is_user).then_some(range)
}

fn sign(text: &str) -> &str {
    const SIGNS: [&str; 12] = ["=>", ":=", "===", "==", "=", ":", ",", ">", "%3A", "%3a", "%3D", "%3d"];
    SIGNS.into_iter().find(|sign| text.starts_with(sign)).map_or("", |sign| &text[..sign.len()])
}

fn spaces(text: &str) -> usize {
    text.len() - text.trim_start_matches([' ', '\t']).len()
}

/// The quotation mark that text begins with, in any of its spellings, or nothing.
fn quote(text: &str) -> &str {
    const QUOTES: [&str; 9] = ["\"", "'", "`", "&quot;", "&#34;", "&#39;", "&#x27;", "%22", "%27"];
    let escapes = text.len() - text.trim_start_matches('\\').len();
    let quote = QUOTES.into_iter().find(|quote| text[escapes..].starts_with(quote));
    quote.map_or("", |quote| &text[..escapes + quote.len()])
}

/// What is in quotes, or in brackets if `takes_brackets`, or else a word.
fn value_at(text: &str, start: usize, takes_brackets: bool) -> Range<usize> {
    let prefix = text[start..].find(|c| !"bBrRuUfF".contains(c)).filter(|length| *length <= 2).unwrap_or(0);
    let mark = quote(&text[start + prefix..]);
    if !mark.is_empty() {
        let start = start + prefix + mark.len();
        return start..end_of_quote(text, start, mark);
    }
    if takes_brackets && text[start..].starts_with(['(', '[', '{']) {
        let mut depth = 0_usize;
        for (at, c) in text[start..].char_indices() {
            match c {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                '\n' => return start..start + at,
                _ => {}
            }
            if depth == 0 {
                return start..start + at + c.len_utf8();
            }
        }
        return start..text.len();
    }
    start..end_of(text, start, ends_value)
}

/// Where a quotation ends that begins with this mark; at the end of the line if it never does.
fn end_of_quote(text: &str, start: usize, mark: &str) -> usize {
    let escapes = |at: usize| text[start..at].bytes().rev().take_while(|byte| *byte == b'\\').count();
    for (found, _) in text[start..].match_indices(mark) {
        // Within the quotation the mark is escaped: `\"` in `"`, or `\\\"` in `\"`.
        if escapes(start + found) % 2 == 0 {
            return start + found;
        }
    }
    end_of(text, start, |c| c == '\n')
}

/// The secret of `Authorization`: behind a scheme that one token follows, or else all up to the end of the line, or of
/// the quotation that began `before` the name.
fn header_value(text: &str, start: usize, before: &str) -> Range<usize> {
    let Range { start, end } = if quote(text[start..].trim_start_matches('b')).is_empty() {
        let ends = |c: char| c == '\n' || ['"', '\''].contains(&c) && before.ends_with(c);
        start..end_of(text, start, ends)
    } else {
        value_at(text, start, false)
    };
    let lower = text[start..end].to_ascii_lowercase();
    match TOKEN_SCHEMES.iter().find(|scheme| lower.starts_with(**scheme)) {
        Some(scheme) => value_at(&text[..end], start + scheme.len(), false),
        // `Digest username="me", response="x"`.
        None if lower.contains('=') && lower.contains(' ') => start..end,
        None => value_at(&text[..end], start, true),
    }
}

fn cookies(text: &str, start: usize) -> Range<usize> {
    let mut end = value_at(text, start, true).end;
    while let Some(rest) = text[end..].strip_prefix(';') {
        let next = end + 1 + spaces(rest);
        end = value_at(text, next, false).end;
    }
    start..end
}

fn tokens(text: &str) -> String {
    const SCHEMES: [&str; 2] = ["bearer ", "basic "];
    let lower = text.to_ascii_lowercase();
    masked(text, |at| {
        let found = SCHEMES.iter().filter_map(|scheme| Some(at + lower[at..].find(scheme)? + scheme.len()));
        let start = found.min()?;
        let end = end_of(text, start, ends_value);
        let word = &text[start..end];
        // "a bearer token" is no token.
        let is_plain = word.bytes().all(|byte| byte.is_ascii_lowercase())
            || word.len() < 8 && word.bytes().all(|byte| byte.is_ascii_alphabetic());
        Some(if is_plain { end } else { start }..end)
    })
}

fn shapes(text: &str) -> String {
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || "_-.+/=".contains(c);
    let mut masked = String::with_capacity(text.len());
    for word in text.split_inclusive(|c| !is_of_token(c)) {
        let token = word.trim_end_matches(|c| !is_of_token(c));
        match shape_at(token) {
            Some(at) => {
                masked.push_str(&token[..at]);
                masked.push_str(MASK);
                masked.push_str(&word[token.len()..]);
            }
            None => masked.push_str(word),
        }
    }
    masked
}

fn shape_at(word: &str) -> Option<usize> {
    if SHAPES.iter().all(|(_, length)| word.len() < *length) {
        return None;
    }
    let begins = |at: usize| at == 0 || !word.as_bytes()[at - 1].is_ascii_alphanumeric();
    let known = SHAPES.iter().filter_map(|(start, length)| {
        let mut places = word.match_indices(start).map(|(at, _)| at);
        places.find(|at| begins(*at) && word.len() - at >= *length)
    });
    let has = |is: fn(&u8) -> bool| word.bytes().any(|byte| is(&byte));
    let is_key = word.len() >= 60
        && !word.contains(['_', '-', '.'])
        && word.matches('/').count() <= word.len() / 16
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_digit);
    known.min().or(is_key.then_some(0))
}

/// A line of a configuration, as errors quote it.
pub fn setting(line: &str) -> String {
    let Some((name, _)) = line.split_once('=') else { return text(line) };
    let mut words = iter::successors(next_name(line, 0), |word| next_name(line, word.end));
    if words.any(|word| names_secret(&line[word])) { format!("{name}= {MASK}") } else { text(line) }
}

/// Whether values of this name are secrets. An exception's name is none: `TokenError: expired`.
fn names_secret(name: &str) -> bool {
    if ["Error", "Exception", "Warning"].iter().any(|end| name.ends_with(end)) {
        return false;
    }
    let flat: String = name.chars().filter(|c| !['_', '-'].contains(c)).flat_map(char::to_lowercase).collect();
    SECRET_PARTS.iter().any(|part| flat.contains(part)) || words(name).any(|word| SECRET_WORDS.contains(&&*word))
}

/// The words of `db_pass`, `db-pass` and `dbPass`, in lower case.
fn words(name: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in name.chars() {
        if ['_', '-'].contains(&c) || was_lower && c.is_uppercase() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
        was_lower = c.is_lowercase();
    }
    words.into_iter()
}

/// Locust's options whose values are no secrets.
const HARMLESS: [&str; 8] =
    ["-T", "--tags", "-E", "--exclude-tags", "-i", "--iterations", "--exit-code-on-error", "--csv-flush-interval"];

const DIGEST: char = '#';

/// Keeps the names of options, and the values of harmless ones. A digest of all other values distinguishes loads.
pub fn args(args: &[String]) -> Vec<String> {
    let (args, known_digest) = match args.split_last() {
        Some((last, others)) if is_digest(last) => (others, Some(last.clone())),
        _ => (args, None),
    };
    // Locust's user classes precede all options.
    let mut is_harmless = true;
    let mut has_option = false;
    let (mut kept, mut hidden) = (Vec::new(), Vec::new());
    for arg in args {
        let (name, value) = split_option(arg);
        match (name, value) {
            (Some(name), value) => {
                // User classes may follow a `--` again.
                is_harmless = name == "--" || HARMLESS.contains(&name);
                has_option = name != "--";
                match value {
                    Some(value) if !is_harmless => {
                        hidden.push(value);
                        let equals = if name.starts_with("--") { "=" } else { "" };
                        kept.push(format!("{name}{equals}{MASK}"));
                    }
                    _ => kept.push(arg.clone()),
                }
            }
            (None, _) if is_harmless && (has_option || arg.chars().all(|c| c.is_alphanumeric() || c == '_')) => {
                kept.push(text(arg));
            }
            (None, _) => {
                hidden.push(arg);
                kept.push(MASK.to_owned());
            }
        }
    }
    kept.extend(known_digest.or_else(|| (!hidden.is_empty()).then(|| digest(&hidden))));
    kept
}

/// Splits `--name=value` and `-Nvalue`. A word that only begins like an option has no name.
fn split_option(arg: &str) -> (Option<&str>, Option<&str>) {
    let is_name = |name: &str| name.len() < 50 && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if let Some(long) = arg.strip_prefix("--") {
        let name = &arg[..long.find('=').map_or(arg.len(), |at| at + 2)];
        return if is_name(name) { (Some(name), arg.get(name.len() + 1..)) } else { (None, None) };
    }
    match arg.char_indices().nth(2) {
        _ if !arg.starts_with('-') => (None, None),
        None => (Some(arg), None),
        Some((end, _)) => (Some(&arg[..end]), Some(&arg[end..])),
    }
}

fn is_digest(arg: &str) -> bool {
    arg.len() == 5 && arg.starts_with(DIGEST) && arg[1..].bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A digest of 16 bits (FNV-1a, folded). Short on purpose: it distinguishes loads but reveals nothing about the secret,
/// since one in 65,536 words has the same digest.
fn digest(hidden: &[&str]) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in hidden.iter().flat_map(|value| value.bytes().chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let folded = hash ^ (hash >> 32);
    format!("{DIGEST}{:04x}", (folded ^ (folded >> 16)) & 0xffff)
}
