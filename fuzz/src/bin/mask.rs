//! Whatever surrounds a secret, it is masked, and text of others cannot control a terminal or a runner.

#![no_main]

use judge::model::{mask, text};
use libfuzzer_sys::fuzz_target;

const SECRET: &str = "s3kr1t-7hx";

/// One of each way in which a secret is found. `§` stands for it.
const FORMS: [&str; 12] = [
    "http://me:§@host/a",
    "http://host/a?page=§&b=1",
    "client_secret = §",
    "{'password': '§'}",
    "{\"api_key\":\"§\"}",
    "{\\\"password\\\": \\\"§\\\"}",
    "X-Api-Key: §",
    "Authorization: Bearer §",
    "Cookie: a=§; b=§",
    "login --password § --retry",
    "<password>§</password>",
    "-----BEGIN PRIVATE KEY-----\n§\n-----END PRIVATE KEY-----",
];

fuzz_target!(|input: (u8, &str, &str)| {
    let (form, before, behind) = input;
    if before.contains(SECRET) || behind.contains(SECRET) {
        return;
    }
    let form = FORMS[usize::from(form) % FORMS.len()].replace('§', SECRET);
    let said = format!("{before}\n{form}\n{behind}");
    let masked = mask::text(&said);
    assert!(!masked.contains(SECRET), "{said:?} leaves {masked:?}");
    assert!(!mask::url(&form).is_empty() && mask::setting(&said).len() <= said.len() + masked.len() + 10);
    for shown in text::foreign(&said).lines() {
        assert!(!shown.chars().any(|c| c != '\t' && text::is_unprintable(c)), "{shown:?}");
        assert!(!shown.trim_start().starts_with("::") && !shown.contains("##["), "{shown:?}");
    }
});
