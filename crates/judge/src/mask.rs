//! Removes secrets from what is printed or kept.

/// Takes the place of a secret.
const MASK: &str = "***";

/// Parts of an option's name that tell of a secret.
const SECRET_NAMES: [&str; 9] =
    ["auth", "cookie", "credential", "header", "key", "passphrase", "passw", "secret", "token"];

/// Returns a host or URL without its user name and password, even where somebody forgot the scheme.
pub fn url(url: &str) -> String {
    let start = url.find("://").map_or(0, |scheme| scheme + 3);
    // A password may hold what it must not, such as `/` or another `@`, so nothing before the last one stays.
    match url.rfind('@') {
        Some(at) if at >= start => format!("{}{MASK}{}", &url[..start], &url[at..]),
        _ => url.to_owned(),
    }
}

/// Returns text in which no URL has a user name and password.
pub fn text(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(scheme) = rest.find("://") {
        let (before, behind) = rest.split_at(scheme + 3);
        masked.push_str(before);
        let word = behind.split_whitespace().next().filter(|word| behind.starts_with(word)).unwrap_or_default();
        // Of two URLs in one word each has its own.
        let word = word.split("://").next().unwrap_or_default();
        let at = word.rfind('@').unwrap_or(0);
        masked.push_str(if at > 0 { MASK } else { "" });
        rest = &behind[at..];
    }
    masked.push_str(rest);
    masked
}

/// Returns a line of a configuration as an error quotes it.
pub fn setting(line: &str) -> String {
    let name = line.split('=').next().unwrap_or_default();
    if names_secret(line) && name != line { format!("{name}= {MASK}") } else { text(line) }
}

fn names_secret(text: &str) -> bool {
    let text = text.to_lowercase();
    SECRET_NAMES.iter().any(|part| text.contains(part))
}

/// Returns the arguments for Locust as they may be kept, to tell one load from another.
pub fn args(args: &[String]) -> Vec<String> {
    let mut is_secret = false;
    let mut masked = Vec::new();
    for arg in args {
        let (name, value) = arg.split_once('=').map_or((arg.as_str(), None), |(name, value)| (name, Some(value)));
        let names_secret = name.starts_with('-') && names_secret(name);
        masked.push(match value {
            _ if is_secret && !arg.starts_with('-') => MASK.to_owned(),
            Some(_) if names_secret => format!("{name}={MASK}"),
            _ => text(arg),
        });
        is_secret = names_secret && value.is_none();
    }
    masked
}
