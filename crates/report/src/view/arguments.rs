//! The words of a command, for a program that starts it.

/// Splits a command as a POSIX shell does; `None` if only a shell can run it.
pub(crate) fn arguments(command: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = command.chars();
    while let Some(c) = characters.next() {
        match c {
            ' ' => words.extend(word.take()),
            '\'' => quoted(&mut characters, '\'', word.get_or_insert_default())?,
            '"' => quoted(&mut characters, '"', word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(characters.next()?),
            '|' | '&' | ';' | '<' | '>' | '$' | '`' | '(' | ')' | '*' | '?' | '~' | '#' | '\n' => return None,
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

/// Takes the characters up to the closing quotation mark.
fn quoted(characters: &mut impl Iterator<Item = char>, mark: char, word: &mut String) -> Option<()> {
    loop {
        match characters.next()? {
            c if c == mark => return Some(()),
            '$' | '`' | '\\' if mark == '"' => return None,
            c => word.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use judge::model::text::quoted;

    use super::arguments;

    #[test]
    fn commands_are_split_as_a_shell_does() {
        for (command, expected) in [
            ("cargo xtask perf --confirm", Some(vec!["cargo", "xtask", "perf", "--confirm"])),
            ("perf --note \"why it is slower\"", Some(vec!["perf", "--note", "why it is slower"])),
            (r"perf 'it'\''s' ''", Some(vec!["perf", "it's", ""])),
            ("git add a && git commit", None),
            ("perf --verbose | grep -F x", None),
            ("${EDITOR:-vi} perf.toml", None),
            ("perf 'unclosed", None),
            ("", Some(vec![])),
        ] {
            let expected = expected.map(|words| words.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(arguments(command), expected, "{command}");
        }
    }

    #[test]
    fn quoted_text_is_one_argument() {
        for text in ["GET /a b", "it's", "", "$(x) `y` \\ \"z\"", "ü"] {
            assert_eq!(arguments(&format!("perf {}", quoted(text))), Some(vec!["perf".to_owned(), text.to_owned()]));
        }
    }
}
