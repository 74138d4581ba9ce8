//! The anchors of the endpoints in the page. They follow from the names, so that a link to one still works in the next
//! report.

use std::collections::{BTreeMap, BTreeSet};

use crate::view::series::EndpointView;

/// The number of letters of an anchor that come from the name.
const LETTERS: usize = 60;

/// The anchor of each endpoint, by its name: `endpoint-get-claims-id` for `GET /claims/[id]`. If two would be the same, the
/// later one has a number behind it.
pub(crate) fn anchors<'a>(endpoints: &[EndpointView<'a>]) -> BTreeMap<&'a str, String> {
    let mut taken = BTreeSet::new();
    let mut anchors = BTreeMap::new();
    for (place, endpoint) in endpoints.iter().enumerate() {
        let anchor = anchor(endpoint.name);
        let anchor = if taken.contains(&anchor) { format!("{anchor}-{place}-") } else { anchor };
        taken.insert(anchor.clone());
        anchors.insert(endpoint.name, anchor);
    }
    anchors
}

/// The ASCII letters and digits of a name, with a hyphen for anything between them, but none at the end.
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
    fn anchors_have_plain_letters_and_single_hyphens() {
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
