//! Line numbers for errors in `perf.toml`.

/// The line of an offset in a text, from 1.
pub fn line_of(text: &str, offset: usize) -> usize {
    text[..offset.min(text.len())].matches('\n').count() + 1
}

pub fn line_of_table(text: &str, header: &str) -> usize {
    text.lines().position(|line| line.trim() == header).map_or(1, |line| line + 1)
}
