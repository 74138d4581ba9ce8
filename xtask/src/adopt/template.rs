//! Templates with named places.

/// Fills a template: the line `# <name>` is replaced by the value, or removed if that is empty, and `<name>` inside another
/// line is replaced in place.
pub(crate) fn render(template: &str, values: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for line in template.lines() {
        let block = values.iter().find(|(name, _)| line.trim() == format!("# <{name}>"));
        match block {
            Some((_, "")) => {}
            Some((_, value)) => text.extend([value.strip_suffix('\n').unwrap_or(value), "\n"]),
            None => text.extend([line, "\n"]),
        }
    }
    for (name, value) in values {
        text = text.replace(&format!("<{name}>"), value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_words_are_filled_in() {
        let template = "a: <word>\n  # <block>\nb: <word> <other>\n";
        for (block, expected) in [
            ("", "a: 1\nb: 1 <other>\n"),
            ("  x\n  y: <word>", "a: 1\n  x\n  y: 1\nb: 1 <other>\n"),
            ("  x\n", "a: 1\n  x\nb: 1 <other>\n"),
        ] {
            assert_eq!(render(template, &[("block", block), ("word", "1")]), expected, "{block}");
        }
    }
}
