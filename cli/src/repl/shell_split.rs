//! Splits a line into words as a shell does, and writes a word as it must be typed. White space separates words, quotes and
//! backslashes keep it, and `$'..'` has escapes for special characters.
//!
//! The crates shlex and shell-words do not fit: completion needs the position of each word, a quoted `&` must differ from a
//! bare one, and neither of them reads `$'..'`.

use crate::core::escape::escaped;

/// The words of a line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) words: Vec<Word>,
    /// A quote is open or the last character is a backslash, so the next line continues this one.
    pub(super) is_unfinished: bool,
    /// No white space follows the last word, so it may be completed.
    pub(super) ends_in_word: bool,
}

/// A word, and its offset in the line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) start: usize,
    /// The word has no quotes and backslashes.
    pub(super) is_bare: bool,
}

impl Line {
    /// Splits a line. A `#` at the start of a word begins a comment.
    pub(super) fn split(line: &str) -> Self {
        let mut splitter =
            Splitter { chars: line.char_indices().peekable(), word: None, line: Self::default() };
        splitter.line.is_unfinished = splitter.all().is_none();
        splitter.line.ends_in_word = splitter.word.is_some();
        splitter.line.words.extend(splitter.word.take());
        splitter.line
    }

    /// Removes a bare `&` at the end, which makes the line a job; returns whether there was one.
    pub(super) fn take_background(&mut self) -> bool {
        self.words.pop_if(|word| word.is_bare && word.text == "&").is_some()
    }
}

/// A line that is being split. Steps return none if the line ends too early.
struct Splitter<'a> {
    chars: std::iter::Peekable<std::str::CharIndices<'a>>,
    word: Option<Word>,
    line: Line,
}

impl Splitter<'_> {
    fn next(&mut self) -> Option<char> {
        self.chars.next().map(|(_, c)| c)
    }

    /// The word that the character at this offset belongs to.
    fn word(&mut self, at: usize, is_bare: bool) -> &mut Word {
        let word = self.word.get_or_insert(Word { text: String::new(), start: at, is_bare: true });
        word.is_bare &= is_bare;
        word
    }

    fn all(&mut self) -> Option<()> {
        while let Some((at, c)) = self.chars.next() {
            match c {
                '#' if self.word.is_none() => {
                    // The comment ends with its line. A continued command can have several lines.
                    while self.next().is_some_and(|c| c != '\n') {}
                }
                c if c.is_whitespace() => self.line.words.extend(self.word.take()),
                '$' if self.chars.peek().is_some_and(|(_, next)| *next == '\'') => {
                    self.next();
                    self.word(at, false);
                    self.escapes()?;
                }
                '\'' | '"' => {
                    self.word(at, false);
                    self.quoted(c)?;
                }
                '\\' => match self.next()? {
                    // A backslash before a line end joins the lines.
                    '\n' => {}
                    kept => self.word(at, false).text.push(kept),
                },
                c => self.word(at, true).text.push(c),
            }
        }
        Some(())
    }

    fn push(&mut self, c: char) {
        if let Some(word) = &mut self.word {
            word.text.push(c);
        }
    }

    fn quoted(&mut self, quote: char) -> Option<()> {
        loop {
            match self.next()? {
                end if end == quote => return Some(()),
                '\\' if quote == '"' => {
                    let kept = self.next()?;
                    self.push(kept);
                }
                kept => self.push(kept),
            }
        }
    }

    /// The inside of `$'..'`: `\n`, `\t`, `\r`, `\x1b` and `\u{1b}`. A backslash before another character is dropped.
    fn escapes(&mut self) -> Option<()> {
        loop {
            let c = match self.next()? {
                '\'' => return Some(()),
                '\\' => match self.next()? {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'x' => {
                        let digits: String = [self.next()?, self.next()?].into_iter().collect();
                        u8::from_str_radix(&digits, 16).map_or(char::REPLACEMENT_CHARACTER, char::from)
                    }
                    'u' => self.code_point()?,
                    kept => kept,
                },
                kept => kept,
            };
            self.push(c);
        }
    }

    fn code_point(&mut self) -> Option<char> {
        let mut digits = String::new();
        loop {
            match self.next()? {
                '{' => {}
                '}' => break,
                digit => digits.push(digit),
            }
        }
        let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
        Some(code.unwrap_or(char::REPLACEMENT_CHARACTER))
    }
}

/// A word as it must be typed, with quotes or backslashes if needed.
pub(super) fn typed(word: &str) -> String {
    if word.chars().any(char::is_control) {
        let quoted = word.replace('\\', "\\\\").replace('\'', "\\'");
        return format!("$'{}'", escaped(&quoted));
    }
    let mut out = String::with_capacity(word.len());
    for (at, c) in word.char_indices() {
        if c.is_whitespace() || matches!(c, '\'' | '"' | '\\') || (at == 0 && (c == '#' || word == "&")) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let split = Line::split(line);
        assert!(!split.is_unfinished, "{line:?} is finished");
        split.words.into_iter().map(|word| word.text).collect()
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
        assert_eq!(words(r"x $'pin:a\x1b[2J\n\u{9b}\'' $y"), ["x", "pin:a\x1b[2J\n\u{9b}'", "$y"]);
    }

    #[test]
    fn open_quotes_and_a_last_backslash_continue_the_line() {
        for line in ["link 'pin", "link \"pin:1", "similar \\", "similar $'pin", "similar $'\\x1"] {
            assert!(Line::split(line).is_unfinished, "{line}");
        }
    }

    #[test]
    fn a_word_reads_back_as_it_was_typed() {
        for word in ["pin:1", "pin:a b", "pin:it's \"x\"\\", "#x", "&", "pin:\x1b[2J'\\\u{9b}", "pin:\t\n"] {
            assert_eq!(words(&typed(word)), [word], "{}", typed(word));
        }
    }

    #[test]
    fn a_bare_ampersand_is_a_job_and_a_quoted_one_is_a_word() {
        let mut line = Line::split("train --target pin &");
        assert!(line.take_background() && line.words.len() == 3);
        for not in ["link a:1 '&'", "link a:1 \\&", "link a:1 b:&"] {
            assert!(!Line::split(not).take_background(), "{not}");
        }
        let line = Line::split("similar 'pin:a b");
        assert_eq!(
            (line.words[1].start, line.words[1].text.as_str(), line.ends_in_word),
            (8, "pin:a b", true)
        );
        assert!(!Line::split("similar ").ends_in_word);
    }
}
