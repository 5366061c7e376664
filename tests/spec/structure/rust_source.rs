//! Rust code as tokens, comments left out. Owns as much of the language as the tests of the architecture need.

use std::collections::BTreeSet;

/// A word, a string, or a punctuation mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
}

/// Marks of two characters, so that the `>` of an arrow ends no list of generics.
const PAIRS: [&str; 3] = ["::", "->", "=>"];

/// Words that begin an item, which ends with a block or a semicolon.
const ITEMS: [&str; 14] = [
    "async",
    "const",
    "enum",
    "extern",
    "fn",
    "impl",
    "macro_rules",
    "mod",
    "pub",
    "static",
    "struct",
    "trait",
    "type",
    "unsafe",
];

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The tokens of a text. A string keeps its quotes, a lifetime its apostrophe.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (text, 1);
    loop {
        let (space, token) = rest.split_at(rest.len() - rest.trim_start().len());
        line += space.matches('\n').count();
        if token.is_empty() {
            return found;
        }
        let (token, behind) = token.split_at(token_length(token));
        if !(token.starts_with("//") || token.starts_with("/*")) {
            found.push(Token { text: token.to_owned(), line });
        }
        line += token.matches('\n').count();
        rest = behind;
    }
}

/// The bytes of the token or comment that begins a text, which is not empty.
fn token_length(text: &str) -> usize {
    let until = |end: &str| text.find(end).map_or(text.len(), |at| at + end.len());
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return comment_length(text);
    }
    // Strings: raw ones end with as many `#` as they begin with.
    for prefix in ["r", "br", "cr"] {
        let Some(raw) = text.strip_prefix(prefix) else { continue };
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let begin = prefix.len() + hashes + 1;
            return text[begin..].find(&end).map_or(text.len(), |at| begin + at + end.len());
        }
    }
    for (prefix, quote) in [("", '"'), ("b", '"'), ("c", '"'), ("b", '\'')] {
        if text.strip_prefix(prefix).is_some_and(|quoted| quoted.starts_with(quote)) {
            return quoted_length(text, prefix.len() + 1, quote);
        }
    }
    // An apostrophe begins a lifetime unless it closes again behind one character.
    if let Some(quoted) = text.strip_prefix('\'') {
        let mut behind = quoted.chars();
        return match (behind.next(), behind.next()) {
            (Some('\\'), _) | (Some(_), Some('\'')) => quoted_length(text, 1, '\''),
            _ => 1 + quoted.find(|c| !is_word(c)).unwrap_or(quoted.len()),
        };
    }
    if let Some(pair) = PAIRS.iter().find(|pair| text.starts_with(**pair)) {
        return pair.len();
    }
    let first = text.chars().next().expect("the text is not empty");
    if is_word(first) { text.find(|c| !is_word(c)).unwrap_or(text.len()) } else { until(&first.to_string()) }
}

/// The bytes of a block comment, which may hold others.
fn comment_length(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// The bytes of a quoted text whose content begins at a place; a backslash takes the next character along.
fn quoted_length(text: &str, begin: usize, quote: char) -> usize {
    let mut characters = text[begin..].char_indices();
    while let Some((at, c)) = characters.next() {
        if c == '\\' {
            characters.next();
        } else if c == quote {
            return begin + at + c.len_utf8();
        }
    }
    text.len()
}

/// The code of a file that is compiled outside tests.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    pub(super) tokens: Vec<Token>,
    /// Modules that the file declares for tests only.
    pub(super) test_modules: BTreeSet<String>,
}

/// Leaves out what stands under `cfg(test)`.
pub(super) fn compiled(text: &str) -> Compiled {
    let all = tokens(text);
    let mut found = Compiled::default();
    let mut at = 0;
    while at < all.len() {
        let Some((end, is_inner)) = test_attribute(&all[at..]) else {
            found.tokens.push(all[at].clone());
            at += 1;
            continue;
        };
        if is_inner {
            break;
        }
        let item = &all[at + end..];
        let length = item_length(item);
        found.test_modules.extend(declared_module(&item[..length]));
        at += end + length;
    }
    found
}

/// The tokens of an attribute that holds for tests only, and whether it holds for all that encloses it.
fn test_attribute(tokens: &[Token]) -> Option<(usize, bool)> {
    let is_inner = tokens.get(1).is_some_and(|token| token.text == "!");
    let open = 1 + usize::from(is_inner);
    let opens = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.text == text);
    if !(opens(0, "#") && opens(open, "[") && opens(open + 1, "cfg")) {
        return None;
    }
    let length = open + group_length(&tokens[open..]);
    let has = |word: &str| tokens[..length].iter().any(|token| token.text == word);
    (has("test") && !has("not") && !has("any")).then_some((length, is_inner))
}

/// The tokens from an opening bracket to the one that closes it.
pub(super) fn group_length(tokens: &[Token]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// The tokens of the item, field, arm or statement that begins here, with its attributes.
fn item_length(tokens: &[Token]) -> usize {
    let mut at = 0;
    while tokens.get(at).is_some_and(|token| token.text == "#") {
        at += 1 + group_length(&tokens[at + 1..]);
    }
    let first = tokens.get(at).map_or("", |token| token.text.as_str());
    let (is_use, is_item) = (first == "use", ITEMS.contains(&first));
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            ";" => return at + 1,
            "," if !is_item && !is_use => return at + 1,
            "}" | ")" | "]" => return at,
            "(" | "[" => at += group_length(&tokens[at..]),
            "{" => {
                at += group_length(&tokens[at..]);
                if is_item {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

/// The module of `mod name;`.
fn declared_module(item: &[Token]) -> Option<String> {
    match item {
        [.., word, name, end] if word.text == "mod" && end.text == ";" => Some(name.text.clone()),
        _ => None,
    }
}

#[test]
fn tokens_are_those_of_the_language() {
    let text = "// crate::a\nuse /* b /* c */ d */ crate::e; 'x' 'f: \"//\\\"\" r#\"g\"h\"# b'\\'' -> fn";
    let found = tokens(text);
    let words: Vec<&str> = found.iter().map(|token| token.text.as_str()).collect();
    let expected =
        ["use", "crate", "::", "e", ";", "'x'", "'f", ":", "\"//\\\"\"", "r#\"g\"h\"#", "b'\\''", "->", "fn"];
    assert_eq!(words, expected);
    assert!(found.iter().all(|token| token.line == 2), "{found:?}");
}

#[test]
fn code_under_cfg_test_is_left_out() {
    let text = "a(); #[cfg(test)] #[path = \"x\"] mod only_tests; #[cfg(not(test))] mod real; \
                #[cfg(all(test, unix))] mod tests { fn f() {} } \
                struct S { #[cfg(test)] field: Vec<u8>, kept: u8 } #[cfg(test)] use g::{h, i}; z";
    let found = compiled(text);
    let words: Vec<&str> = found.tokens.iter().map(|token| token.text.as_str()).collect();
    let expected = "a ( ) ; # [ cfg ( not ( test ) ) ] mod real ; struct S { kept : u8 } z";
    assert_eq!(words.join(" "), expected);
    assert_eq!(found.test_modules, BTreeSet::from(["only_tests".to_owned()]));
}
