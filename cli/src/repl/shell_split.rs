//! Splits a line into words as a shell does, and writes a word as it must be typed. White space separates words, quotes and
//! backslashes keep it, and `$'..'` has escapes for special characters.
//!
//! The crates shlex and shell-words do not fit: completion needs the position of each word, a quoted `&` must differ from a
//! bare one, and neither of them reads `$'..'`.

use crate::core::escape::{escaped, is_active};

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
        let mut splitter = Splitter::default();
        splitter.push(line);
        splitter.finish()
    }

    /// Removes a bare `&` at the end, which makes the line a job; returns whether there was one.
    pub(super) fn take_background(&mut self) -> bool {
        self.words.pop_if(|word| word.is_bare && word.text == "&").is_some()
    }
}

/// The place of the next character.
#[derive(Clone, Debug, Default)]
enum Place {
    #[default]
    Bare,
    Comment,
    /// Behind a bare backslash, at this offset.
    Backslash(usize),
    /// Behind a bare `$`, at this offset: the word begins there where a quote follows.
    Dollar(usize),
    Single,
    Double,
    DoubleBackslash,
    /// The inside of `$'..'`: `\n`, `\t`, `\r`, `\x1b` and `\u{1b}`. A backslash before another character is dropped.
    Escapes,
    EscapesBackslash,
    /// Behind `\x`, with the digits so far.
    Hex(String),
    /// Behind `\u`, with the digits so far.
    CodePoint(String),
}

/// Splits a text that comes in pieces, such as the lines of a continued command, each of which is read once.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    words: Vec<Word>,
    word: Option<Word>,
    place: Place,
    /// The bytes of the pieces so far.
    length: usize,
}

impl Splitter {
    /// Reads the next piece.
    pub(super) fn push(&mut self, piece: &str) {
        for (at, c) in piece.char_indices() {
            self.next(self.length + at, c);
        }
        self.length += piece.len();
    }

    /// True within quotes and behind a backslash, so that the next line continues this one.
    pub(super) fn is_unfinished(&self) -> bool {
        !matches!(self.place, Place::Bare | Place::Comment | Place::Dollar(_))
    }

    /// The words of all pieces.
    pub(super) fn finish(mut self) -> Line {
        let is_unfinished = self.is_unfinished();
        if let Place::Dollar(at) = self.place {
            self.word(at, true).text.push('$');
        }
        let ends_in_word = self.word.is_some();
        self.words.extend(self.word.take());
        Line { words: self.words, is_unfinished, ends_in_word }
    }

    /// The word that the character at this offset belongs to.
    fn word(&mut self, at: usize, is_bare: bool) -> &mut Word {
        let word = self.word.get_or_insert(Word { text: String::new(), start: at, is_bare: true });
        word.is_bare &= is_bare;
        word
    }

    fn keep(&mut self, c: char) {
        if let Some(word) = &mut self.word {
            word.text.push(c);
        }
    }

    fn next(&mut self, at: usize, c: char) {
        self.place = match std::mem::take(&mut self.place) {
            Place::Bare => self.bare(at, c),
            Place::Dollar(start) if c == '\'' => {
                self.word(start, false);
                Place::Escapes
            }
            Place::Dollar(start) => {
                self.word(start, true).text.push('$');
                self.bare(at, c)
            }
            // A comment ends with its line, of which a continued command has several. A backslash before a line end joins
            // the lines.
            Place::Comment | Place::Backslash(_) if c == '\n' => Place::Bare,
            Place::Comment => Place::Comment,
            Place::Backslash(start) => {
                self.word(start, false).text.push(c);
                Place::Bare
            }
            Place::Single | Place::Escapes if c == '\'' => Place::Bare,
            Place::Double if c == '"' => Place::Bare,
            Place::Double if c == '\\' => Place::DoubleBackslash,
            Place::Escapes if c == '\\' => Place::EscapesBackslash,
            Place::Single => {
                self.keep(c);
                Place::Single
            }
            Place::Double | Place::DoubleBackslash => {
                self.keep(c);
                Place::Double
            }
            Place::Escapes => {
                self.keep(c);
                Place::Escapes
            }
            Place::EscapesBackslash => self.escape(c),
            Place::Hex(digits) => self.hex(digits, c),
            Place::CodePoint(digits) => self.code_point(digits, c),
        };
    }

    fn bare(&mut self, at: usize, c: char) -> Place {
        match c {
            '#' if self.word.is_none() => return Place::Comment,
            c if c.is_whitespace() => self.words.extend(self.word.take()),
            '$' => return Place::Dollar(at),
            '\'' => {
                self.word(at, false);
                return Place::Single;
            }
            '"' => {
                self.word(at, false);
                return Place::Double;
            }
            '\\' => return Place::Backslash(at),
            c => self.word(at, true).text.push(c),
        }
        Place::Bare
    }

    /// The character behind a backslash of `$'..'`.
    fn escape(&mut self, c: char) -> Place {
        match c {
            'n' => self.keep('\n'),
            't' => self.keep('\t'),
            'r' => self.keep('\r'),
            'x' => return Place::Hex(String::new()),
            'u' => return Place::CodePoint(String::new()),
            kept => self.keep(kept),
        }
        Place::Escapes
    }

    fn hex(&mut self, mut digits: String, c: char) -> Place {
        digits.push(c);
        if digits.chars().count() < 2 {
            return Place::Hex(digits);
        }
        self.keep(u8::from_str_radix(&digits, 16).map_or(char::REPLACEMENT_CHARACTER, char::from));
        Place::Escapes
    }

    fn code_point(&mut self, mut digits: String, c: char) -> Place {
        match c {
            '{' => {}
            '}' => {
                let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                self.keep(code.unwrap_or(char::REPLACEMENT_CHARACTER));
                return Place::Escapes;
            }
            digit => digits.push(digit),
        }
        Place::CodePoint(digits)
    }
}

/// A word as it must be typed, with quotes or backslashes if needed.
pub(super) fn typed(word: &str) -> String {
    if word.chars().any(is_active) {
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

    /// The console split all lines of a command again at each of its lines: 40,000 of them behind an open quote took 28
    /// seconds. Each line is now read once, and pieces split as the whole does.
    #[test]
    fn pieces_split_as_the_whole_does() {
        let text = "a 'b\nc' \"d\\\"\n\" # e\n$'f\\x1b\\n\\u{1b}\\'' $g $ $'' h\\\ni \\& &\nj$";
        let whole = Line::split(text);
        for size in 1..text.len() {
            let mut splitter = Splitter::default();
            for piece in text.as_bytes().chunks(size) {
                splitter.push(std::str::from_utf8(piece).expect("ASCII"));
            }
            assert_eq!(splitter.finish(), whole, "pieces of {size}");
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
