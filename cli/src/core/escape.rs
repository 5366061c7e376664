//! Text from outside, made safe to print: a name must not be able to move the cursor or ring the bell.

use std::fmt::Write as _;

/// The longest piece of a bad input that a message repeats, in characters.
const QUOTE_LIMIT: usize = 40;

/// Control characters as `\t`, `\n`, `\r` or `\x1b`; everything else as it is.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        push(&mut out, c);
    }
    out
}

/// The same for a text of several lines.
pub(crate) fn escaped_lines(text: &str) -> String {
    text.split('\n').map(escaped).collect::<Vec<_>>().join("\n")
}

/// Bytes of a file in double quotes, escaped and cut, with what is not UTF-8 as `\xff`.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    let mut shown = 0;
    'cut: for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if shown == QUOTE_LIMIT {
                out.push_str("...");
                break 'cut;
            }
            push(&mut out, c);
            shown += 1;
        }
        for byte in chunk.invalid() {
            if shown == QUOTE_LIMIT {
                out.push_str("...");
                break 'cut;
            }
            push_byte(&mut out, *byte);
            shown += 1;
        }
    }
    out.push('"');
    out
}

/// JSON text whose strings may hold DEL or C1 controls, which serde leaves as they are and terminals obey.
pub(crate) fn json_safe(json: String) -> String {
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

fn is_late_control(c: char) -> bool {
    ('\u{7f}'..='\u{9f}').contains(&c)
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
    fn escapes_what_a_terminal_would_obey() {
        assert_eq!(escaped("a\x1b[2Jb\tc\u{9b}d"), "a\\x1b[2Jb\\tc\\x9bd");
    }

    #[test]
    fn cuts_a_long_find_and_shows_bytes_that_are_not_text() {
        assert_eq!(quoted(b"ab\xffc"), "\"ab\\xffc\"");
        assert_eq!(quoted(&[b'x'; 100]).len(), 40 + 5);
    }

    #[test]
    fn keeps_json_valid_and_harmless() {
        assert_eq!(json_safe("\"a\u{9b}\"".to_owned()), "\"a\\u009b\"");
    }
}
