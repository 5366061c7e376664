//! A line cut into words as a shell does: white space separates, quotes and backslash keep it.

/// What a line is cut into.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Words {
    Complete(Vec<String>),
    /// A quote is open, or the last character is a backslash: the next line belongs to this one.
    Unfinished,
}

/// Cuts a line; what follows a `#` at the start of a word is a comment.
pub(super) fn split(line: &str) -> Words {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '#' if word.is_none() => {
                // The comment ends with its line, which a continued command may have several of.
                if !chars.by_ref().any(|c| c == '\n') {
                    break;
                }
            }
            c if c.is_whitespace() => words.extend(word.take()),
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        None => return Words::Unfinished,
                        Some(end) if end == c => break,
                        Some('\\') if c == '"' => match chars.next() {
                            None => return Words::Unfinished,
                            Some(kept) => word.push(kept),
                        },
                        Some(kept) => word.push(kept),
                    }
                }
            }
            '\\' => match chars.next() {
                None => return Words::Unfinished,
                // A line that ends with a backslash goes on as if it did not end.
                Some('\n') => {}
                Some(kept) => word.get_or_insert_default().push(kept),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Words::Complete(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        match split(line) {
            Words::Complete(words) => words,
            Words::Unfinished => panic!("{line:?} is finished"),
        }
    }

    #[test]
    fn quotes_and_backslashes_keep_white_space() {
        assert_eq!(
            words(r#"link 'pin:a b' "board:\"x\"" pin:c\ d  # why"#),
            ["link", "pin:a b", "board:\"x\"", "pin:c d"]
        );
        assert_eq!(words("  "), Vec::<String>::new());
        assert_eq!(words("link pin:a#1 ''"), ["link", "pin:a#1", ""]);
        assert_eq!(words("similar \\\n pin:1"), ["similar", "pin:1"]);
    }

    #[test]
    fn open_quotes_and_a_last_backslash_ask_for_more() {
        for line in ["link 'pin", "link \"pin:1", "similar \\"] {
            assert_eq!(split(line), Words::Unfinished, "{line}");
        }
    }
}
