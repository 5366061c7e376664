//! Protection of spreadsheets against formulas in csv fields: a mark before texts that begin like one, and its removal.

/// True for a text that a spreadsheet would compute, and for one that begins with the mark.
fn is_suspect(text: &str) -> bool {
    text.starts_with([
        '=', '+', '-', '@', '\t', '\r', '\n', '\'', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
    ])
}

/// The text, with an apostrophe before it where it begins like a formula or with an apostrophe.
pub(crate) fn guarded(text: &str) -> std::borrow::Cow<'_, str> {
    if is_suspect(text) { format!("'{text}").into() } else { text.into() }
}

/// The text without the mark of [`guarded`].
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
