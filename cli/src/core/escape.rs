//! Escapes text of users and files before it is printed, so that a name cannot move the cursor or ring the bell.

use std::fmt::Write as _;

/// The most characters of an input that a message quotes.
const QUOTE_LIMIT: usize = 40;

/// Writes control characters as `\t`, `\n`, `\r` or `\x1b`, and leaves all others unchanged.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| push(&mut out, c));
    out
}

/// Escapes a text but keeps its line breaks.
pub(crate) fn escaped_lines(text: &str) -> String {
    text.split('\n').map(escaped).collect::<Vec<_>>().join("\n")
}

/// Bytes of a file in double quotes, escaped and cut to 40 characters. Bytes that are not UTF-8 appear as `\xff`.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    let characters = bytes.utf8_chunks().flat_map(|chunk| {
        let valid = chunk.valid().chars().map(Ok);
        valid.chain(chunk.invalid().iter().map(|byte| Err(*byte)))
    });
    let mut out = String::from("\"");
    for (count, character) in characters.enumerate() {
        if count == QUOTE_LIMIT {
            out.push_str("...");
            break;
        }
        match character {
            Ok(c) => push(&mut out, c),
            Err(byte) => push_byte(&mut out, byte),
        }
    }
    out.push('"');
    out
}

/// Escapes DEL and the C1 controls in JSON text. serde leaves them unchanged, and terminals act on them.
pub(crate) fn json_safe(json: String) -> String {
    let is_late_control = |c: char| ('\u{7f}'..='\u{9f}').contains(&c);
    if !json.chars().any(is_late_control) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_late_control(c) {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{:04x}", c as u32);
        } else {
            out.push(c);
        }
    }
    out
}

fn push(out: &mut String, c: char) {
    match c {
        '\t' => out.push_str("\\t"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        c if c.is_control() => push_byte(out, c as u8),
        c => out.push(c),
    }
}

fn push_byte(out: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\\x{byte:02x}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(escaped("a\x1b[2Jb\tc\u{9b}d"), "a\\x1b[2Jb\\tc\\x9bd");
    }

    #[test]
    fn a_long_quote_is_cut_and_shows_bytes_that_are_not_utf8() {
        assert_eq!(quoted(b"ab\xffc"), "\"ab\\xffc\"");
        assert_eq!(quoted(&[b'x'; 100]).len(), 40 + 5);
    }

    #[test]
    fn c1_controls_in_json_are_escaped() {
        assert_eq!(json_safe("\"a\u{9b}\"".to_owned()), "\"a\\u009b\"");
    }
}
