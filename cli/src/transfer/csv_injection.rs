//! Text of csv cells that a spreadsheet would take for a formula, marked so that it does not, and unmarked again.

/// What makes a spreadsheet compute, or is the mark itself.
fn is_suspect(text: &str) -> bool {
    text.starts_with([
        '=', '+', '-', '@', '\t', '\r', '\n', '\'', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
    ])
}

/// The text behind an apostrophe where it begins as a formula does, or with an apostrophe.
pub(crate) fn guarded(text: &str) -> std::borrow::Cow<'_, str> {
    if is_suspect(text) { format!("'{text}").into() } else { text.into() }
}

/// What was guarded, as it was.
pub(crate) fn unguarded(text: &str) -> &str {
    text.strip_prefix('\'').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::{guarded, unguarded};

    #[test]
    fn no_formula_is_left_and_every_text_comes_back() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''", "a=1", "1", "\u{ff1d}1"] {
            let cell = guarded(text);
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell}");
            assert_eq!(unguarded(&cell), text);
        }
        assert_eq!(guarded("a=1"), "a=1");
    }
}
