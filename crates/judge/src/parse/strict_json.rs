//! JSON without duplicate keys: `serde_json` takes the last value of a key, but a reader of the file sees the first.

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

pub fn check(text: &str) -> serde_json::Result<()> {
    serde_json::from_str::<Unique>(text).map(|_| ())
}

/// What is wrong with a JSON text, in the words of JSON. Those of serde are of our code, such as `expected struct
/// Load`.
pub fn fault(error: &serde_json::Error) -> String {
    let mut text = in_plain_words(&error.to_string(), "object");
    for kind in ["expected struct ", "expected enum "] {
        if let Some((before, rest)) = text.clone().split_once(kind) {
            let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
            text = format!("{before}expected an object{}", &rest[end..]);
        }
    }
    text
}

/// The message of serde without the types of our code. `map` is what the format calls a map.
pub fn in_plain_words(message: &str, map: &str) -> String {
    let article = if map.starts_with('o') { "an" } else { "a" };
    let mut text = message.to_owned();
    for (ours, plain) in [
        ("missing field", "missing key"),
        ("unknown field", "unknown key"),
        ("duplicate field", "duplicate key"),
        ("unknown variant", "unknown value"),
        ("a sequence", "an array"),
        ("type: sequence", "type: array"),
        ("a map", &format!("{article} {map}")),
        ("type: map", &format!("type: {map}")),
        ("wanted string or table", "expected a string"),
        ("floating point", "number"),
        (" as i128", ""),
        ("expected a nonzero u32", "expected a whole number of 1 or more"),
        ("expected u16", "expected a whole number"),
        ("expected u32", "expected a whole number of 0 or more"),
        ("expected u64", "expected a whole number of 0 or more"),
        ("expected usize", "expected a whole number of 0 or more"),
        ("expected f64", "expected a number"),
    ] {
        text = text.replace(ours, plain);
    }
    text
}

struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unique, D::Error> {
        deserializer.deserialize_any(Unique)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Unique, A::Error> {
        while let Some(Unique) = values.next_element()? {}
        Ok(Unique)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Unique, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            if keys.contains(&key) {
                return Err(de::Error::custom(format_args!("`{key}` appears twice: remove one")));
            }
            keys.insert(key);
            entries.next_value::<Unique>()?;
        }
        Ok(Unique)
    }
}
