//! The anchors of the endpoints in the page, by which a link leads to one of many. They follow from the names, so that a link
//! still fits the next report.

use std::collections::{BTreeMap, BTreeSet};

use judge::verdict::compare::Comparison;

use crate::view::content::endpoint_groups;

/// The number of letters of an anchor that come from the name.
const LETTERS: usize = 60;

/// The anchor of each endpoint.
pub struct Anchors<'a> {
    of: BTreeMap<&'a str, String>,
}

impl<'a> Anchors<'a> {
    /// Makes an anchor for each endpoint: `endpoint-get-claims-id` for `GET /claims/[id]`. Where two would be the same,
    /// the later one has a number behind it.
    pub fn new(comparison: &'a Comparison<'a>) -> Anchors<'a> {
        let mut taken = BTreeSet::new();
        let mut of = BTreeMap::new();
        let endpoints = endpoint_groups(comparison).into_iter().filter_map(|group| group.first()?.endpoint);
        for (place, endpoint) in endpoints.enumerate() {
            let anchor = anchor(endpoint);
            let anchor = if taken.contains(&anchor) { format!("{anchor}-{place}-") } else { anchor };
            taken.insert(anchor.clone());
            of.insert(endpoint, anchor);
        }
        Anchors { of }
    }

    /// Returns the anchor of an endpoint.
    pub fn of(&self, endpoint: &str) -> Option<&str> {
        self.of.get(endpoint).map(String::as_str)
    }
}

/// Returns a name as an anchor: its ASCII letters and digits, with a hyphen for whatever stands between. It does not end
/// with a hyphen.
fn anchor(name: &str) -> String {
    let mut anchor = "endpoint".to_owned();
    let mut is_between = true;
    for letter in name.chars().take(LETTERS) {
        if letter.is_ascii_alphanumeric() {
            if is_between {
                anchor.push('-');
            }
            anchor.push(letter.to_ascii_lowercase());
        }
        is_between = !letter.is_ascii_alphanumeric();
    }
    anchor
}

#[cfg(test)]
mod tests {
    use super::anchor;

    #[test]
    fn an_anchor_is_made_of_plain_letters() {
        for (name, expected) in [
            ("GET /claims", "endpoint-get-claims"),
            ("GET /claims/[id]", "endpoint-get-claims-id"),
            ("\"><script>", "endpoint-script"),
            ("שלום", "endpoint"),
            ("", "endpoint"),
        ] {
            assert_eq!(anchor(name), expected);
        }
    }
}
