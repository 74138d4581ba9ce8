//! How a setting is read from an environment variable. `lookup` is the
//! environment except in tests.

use std::ffi::OsString;
use std::ops::RangeInclusive;

/// The number that a variable holds; the error is one line that names the variable.
pub fn number(
    lookup: &impl Fn(&str) -> Option<OsString>,
    name: &str,
    range: RangeInclusive<f64>,
) -> Result<Option<f64>, String> {
    let Some(value) = text(lookup, name)? else {
        return Ok(None);
    };
    match value.parse() {
        Ok(number) if range.contains(&number) => Ok(Some(number)),
        _ => Err(format!("{name} is {value:?}, but must be a number from {} to {}", range.start(), range.end())),
    }
}

/// The trimmed value of a variable. An empty one counts as unset, because that
/// is what an unfilled setting of a CI system turns into.
pub fn text(lookup: &impl Fn(&str) -> Option<OsString>, name: &str) -> Result<Option<String>, String> {
    let Some(value) = lookup(name) else {
        return Ok(None);
    };
    let value = value.into_string().map_err(|_| format!("{name} is not valid UTF-8"))?;
    let value = value.trim();
    Ok((!value.is_empty()).then(|| value.to_owned()))
}
