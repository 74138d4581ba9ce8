//! Removes secrets from text that is printed or kept.

const MASK: &str = "***";

/// Parts of the names of options with secrets.
const SECRET_NAMES: [&str; 9] =
    ["auth", "cookie", "credential", "header", "key", "passphrase", "passw", "secret", "token"];

/// Masks user name and password, even without a scheme, and the values of the query.
pub fn url(url: &str) -> String {
    let start = url.find("://").map_or(0, |scheme| scheme + 3);
    // A password may contain `/` or another `@`, although it must not, so nothing before the last `@` stays.
    match url.rfind('@') {
        Some(at) if at >= start => queries(&format!("{}{MASK}{}", &url[..start], &url[at..])),
        _ => queries(url),
    }
}

/// Masks users and passwords of URLs, values of queries, and tokens of headers.
pub fn text(text: &str) -> String {
    tokens(&queries(&users(text)))
}

fn users(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(scheme) = rest.find("://") {
        let (before, behind) = rest.split_at(scheme + 3);
        masked.push_str(before);
        let word = behind.split_whitespace().next().filter(|word| behind.starts_with(word)).unwrap_or_default();
        // Two URLs may be in one word.
        let word = word.split("://").next().unwrap_or_default();
        let at = word.rfind('@').unwrap_or(0);
        masked.push_str(if at > 0 { MASK } else { "" });
        rest = &behind[at..];
    }
    masked.push_str(rest);
    masked
}

fn ends_value(c: char) -> bool {
    c.is_whitespace() || "&;,\"'`<>()[]{}".contains(c)
}

/// Masks the value after `=` if its name follows `?` or `&` or is the name of a secret: `?page=***`,
/// `access_token=***`.
fn queries(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(equals) = rest.find('=') {
        let (before, behind) = rest.split_at(equals + 1);
        masked.push_str(before);
        let name_at = before[..equals].rfind(|c: char| ends_value(c) || c == '?' || c == '=').unwrap_or(0);
        let name = &before[name_at..equals];
        let is_query = name.starts_with(['?', '&']) && !name[1..].is_empty();
        let end = behind.find(ends_value).unwrap_or(behind.len());
        let is_hidden = end > 0 && (is_query || names_secret(name));
        masked.push_str(if is_hidden { MASK } else { "" });
        rest = if is_hidden { &behind[end..] } else { behind };
    }
    masked.push_str(rest);
    masked
}

/// The words before a token in a header.
const SCHEMES: [&str; 3] = ["bearer ", "basic ", "authorization: "];

fn tokens(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let lower = rest.to_ascii_lowercase();
        let found = SCHEMES.iter().filter_map(|scheme| Some((lower.find(scheme)? + scheme.len(), scheme)));
        let Some((start, _)) = found.min_by_key(|(end, _)| *end) else { break };
        let (before, behind) = rest.split_at(start);
        masked.push_str(before);
        let end = behind.find(ends_value).unwrap_or(behind.len());
        let word = &behind[..end];
        // `Authorization: Bearer x`, and "a bearer token", which is no token.
        let is_plain = word.len() < 8 && word.chars().all(|c| c.is_ascii_alphabetic());
        if is_plain || word.is_empty() {
            rest = behind;
        } else {
            masked.push_str(MASK);
            rest = &behind[end..];
        }
    }
    masked.push_str(rest);
    masked
}

/// A line of a configuration, as errors quote it.
pub fn setting(line: &str) -> String {
    let name = line.split('=').next().unwrap_or_default();
    if names_secret(line) && name != line { format!("{name}= {MASK}") } else { text(line) }
}

fn names_secret(text: &str) -> bool {
    let text = text.to_lowercase();
    SECRET_NAMES.iter().any(|part| text.contains(part))
}

/// Locust's options whose values are no secrets.
const HARMLESS: [&str; 8] =
    ["-T", "--tags", "-E", "--exclude-tags", "-i", "--iterations", "--exit-code-on-error", "--csv-flush-interval"];

/// Begins the digest after masked arguments.
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

/// A digest of 16 bits (FNV-1a, folded). Short on purpose: it distinguishes loads but reveals nothing about the
/// secret, since one in 65,536 words has the same digest.
fn digest(hidden: &[&str]) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in hidden.iter().flat_map(|value| value.bytes().chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let folded = hash ^ (hash >> 32);
    format!("{DIGEST}{:04x}", (folded ^ (folded >> 16)) & 0xffff)
}
