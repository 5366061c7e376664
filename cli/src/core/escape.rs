//! Escapes text of users and files before it is printed, so that a name cannot move the cursor, ring the bell, or show
//! itself in another order or in part.

use std::fmt::Write as _;

/// The most characters of an input that a message quotes.
const QUOTE_LIMIT: usize = 40;

/// True for a character that a terminal acts on instead of showing it: a control or an invisible format character.
pub(crate) fn is_active(c: char) -> bool {
    c.is_control() || is_format(c)
}

/// True for the characters of Unicode that change the direction of text, and for those that are invisible.
fn is_format(c: char) -> bool {
    matches!(c,
        '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Text for a terminal: control characters as `\t`, `\n`, `\r` or `\x1b`, format characters as `\u{202e}`, and all others
/// unchanged.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| push(&mut out, c));
    out
}

/// Text for a program: control characters are escaped as in [`escaped`], since they would end a field or a line. Format
/// characters are part of names in some scripts, and stay.
pub(crate) fn escaped_controls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| if is_format(c) { out.push(c) } else { push(&mut out, c) });
    out
}

/// Lines of [`escaped_controls`] for a terminal.
pub(crate) fn escaped_formats(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| if is_format(c) { push(&mut out, c) } else { out.push(c) });
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

/// Escapes DEL, the C1 controls and format characters in JSON text. serde leaves them unchanged, and terminals act on
/// them. The text keeps its meaning.
pub(crate) fn json_safe(json: String) -> String {
    let is_late = |c: char| ('\u{7f}'..='\u{9f}').contains(&c) || is_format(c);
    if !json.chars().any(is_late) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_late(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
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
        c if is_format(c) => out.extend(c.escape_unicode()),
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

    /// A right-to-left override in a key showed `txt.exe` where the key ends in `exe.txt`. Format characters are escaped
    /// for a terminal, also in JSON, and are kept for programs.
    #[test]
    fn format_characters_are_escaped_for_terminals_and_kept_for_programs() {
        assert_eq!(escaped("a\u{202e}b\u{200b}\u{e0041}"), "a\\u{202e}b\\u{200b}\\u{e0041}");
        assert_eq!(escaped_controls("a\u{200d}b\u{7}"), "a\u{200d}b\\x07");
        assert_eq!(json_safe("\"\u{202e}\u{e0041}\"".to_owned()), "\"\\u202e\\udb40\\udc41\"");
        assert_eq!(escaped("\u{e9}\u{5d0}\u{1f600}"), "\u{e9}\u{5d0}\u{1f600}");
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
