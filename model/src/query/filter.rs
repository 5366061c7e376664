//! Filters of answers by their tokens: `genre=jazz and not live`.
//! Must not know the graph: the tokens of a node come as bits.

use std::fmt;
use std::str::FromStr;

use hedgerow_storage::TokenMask;

use crate::config::error::Error;

/// Most operands on the stack, a bit each.
const DEEPEST: usize = 64;

/// An expression of tokens with `not`, `and`, `or` and parentheses. `not` binds strongest and `or` weakest.
///
/// A token that is one of these words, or contains a blank or a parenthesis, is written in double quotes. In quotes, `\"` and `\\`
/// are a quote and a backslash. A filter compares whole tokens and has at most 64 different ones.
///
/// ```
/// use hedgerow_model::Filter;
///
/// let filter: Filter = r#"genre=jazz and not (live or "recorded live")"#.parse()?;
/// assert_eq!(filter.tokens(), ["genre=jazz", "live", "recorded live"]);
/// assert!("genre=jazz and".parse::<Filter>().is_err());
/// # Ok::<(), hedgerow_model::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(into = "String", try_from = "String")
)]
pub struct Filter {
    tokens: Vec<String>,
    steps: Vec<Step>,
    text: String,
}

/// A step of the expression in postfix order: operands before their operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Pushes true if the node has the token of this number.
    Token(u8),
    Not,
    And,
    Or,
}

impl Filter {
    /// The tokens of the expression, each once.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// True if the filter admits a node. `tokens` has a bit for each token of the expression that the node has.
    pub(crate) fn admits(&self, tokens: u64) -> bool {
        // The stack of operands, the top in the lowest bit.
        let mut stack = 0u64;
        for step in &self.steps {
            match *step {
                Step::Token(at) => stack = stack << 1 | tokens >> at & 1,
                Step::Not => stack ^= 1,
                Step::And => stack = stack >> 1 & (stack | !1),
                Step::Or => stack = stack >> 1 | stack & 1,
            }
        }
        stack & 1 == 1
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Filter> for String {
    fn from(filter: Filter) -> Self {
        filter.text
    }
}

impl TryFrom<String> for Filter {
    type Error = Error;

    /// As [`Filter::from_str`].
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl FromStr for Filter {
    type Err = Error;

    /// # Errors
    /// [`Error::Filter`] with the first character that does not fit.
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut parser = Parser { text, at: 0, tokens: Vec::new(), steps: Vec::new(), depth: 0 };
        parser.or()?;
        match parser.next()? {
            (_, Word::End) => Ok(Self { tokens: parser.tokens, steps: parser.steps, text: text.to_owned() }),
            (at, _) => Err(parser.unexpected(at, "and, or, or the end")),
        }
    }
}

/// A word of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Not,
    And,
    Or,
    Open,
    Close,
    Token(String),
    End,
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<String>,
    steps: Vec<Step>,
    depth: usize,
}

impl Parser<'_> {
    fn or(&mut self) -> Result<(), Error> {
        self.and()?;
        while self.takes(&Word::Or)? {
            self.within(Self::and)?;
            self.steps.push(Step::Or);
        }
        Ok(())
    }

    fn and(&mut self) -> Result<(), Error> {
        self.not()?;
        while self.takes(&Word::And)? {
            self.within(Self::not)?;
            self.steps.push(Step::And);
        }
        Ok(())
    }

    fn not(&mut self) -> Result<(), Error> {
        match self.next()? {
            (_, Word::Not) => {
                self.within(Self::not)?;
                self.steps.push(Step::Not);
            }
            (_, Word::Open) => {
                self.within(Self::or)?;
                match self.next()? {
                    (_, Word::Close) => {}
                    (at, _) => return Err(self.unexpected(at, "and, or, or a closing parenthesis")),
                }
            }
            (at, Word::Token(token)) => {
                let known = self.tokens.iter().position(|other| *other == token);
                let number = known.unwrap_or(self.tokens.len());
                if number == TokenMask::MAX {
                    return Err(self.unexpected(at, "64 different tokens at most"));
                }
                if known.is_none() {
                    self.tokens.push(token);
                }
                self.steps.push(Step::Token(number as u8));
            }
            (at, _) => return Err(self.unexpected(at, "a token, not, or an opening parenthesis")),
        }
        Ok(())
    }

    /// Parses an operand one level deeper.
    fn within(&mut self, parse: fn(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        self.depth += 1;
        if self.depth >= DEEPEST {
            return Err(self.unexpected(self.at, "fewer than 64 nested operands"));
        }
        parse(self)?;
        self.depth -= 1;
        Ok(())
    }

    fn takes(&mut self, word: &Word) -> Result<bool, Error> {
        let before = self.at;
        if self.next()?.1 == *word {
            return Ok(true);
        }
        self.at = before;
        Ok(false)
    }

    /// The next word and its position.
    fn next(&mut self) -> Result<(usize, Word), Error> {
        let rest = &self.text[self.at..];
        let start = self.at + rest.len() - rest.trim_start().len();
        let rest = rest.trim_start();
        let (word, len) = match rest.chars().next() {
            None => (Word::End, 0),
            Some('(') => (Word::Open, 1),
            Some(')') => (Word::Close, 1),
            Some('"') => self.quoted(start)?,
            Some(_) => {
                let len = rest.find(|c: char| c.is_whitespace() || "()\"".contains(c)).unwrap_or(rest.len());
                let word = match &rest[..len] {
                    "not" => Word::Not,
                    "and" => Word::And,
                    "or" => Word::Or,
                    token => Word::Token(token.to_owned()),
                };
                (word, len)
            }
        };
        self.at = start + len;
        Ok((start, word))
    }

    /// A token in quotes, and its length with the quotes.
    fn quoted(&self, start: usize) -> Result<(Word, usize), Error> {
        let mut token = String::new();
        let mut chars = self.text[start + 1..].char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => return Ok((Word::Token(token), at + 2)),
                '\\' => match chars.next() {
                    Some((_, c @ ('"' | '\\'))) => token.push(c),
                    _ => return Err(self.unexpected(start + 1 + at, r#"\" or \\"#)),
                },
                c => token.push(c),
            }
        }
        Err(self.unexpected(self.text.len(), "a closing quote"))
    }

    fn unexpected(&self, at: usize, expected: &'static str) -> Error {
        let found: String = self.text[at..].chars().take(20).collect();
        let found = if found.is_empty() { "the end".to_owned() } else { format!("{found:?}") };
        Error::Filter { character: self.text[..at].chars().count() + 1, found, expected }
    }
}

#[cfg(test)]
mod tests {
    use super::Filter;

    /// The admitted ones of eight nodes. Bits of a node's number say which of the tokens a, b and c it has; a is the lowest bit.
    fn admitted(text: &str) -> Vec<u64> {
        let filter: Filter = text.parse().expect("an expression");
        let marks = |node: u64| {
            let bit = |(at, token): (usize, &String)| {
                let has = ["a", "b", "c"].iter().position(|other| other == token).expect("one of three");
                (node >> has & 1) << at
            };
            filter.tokens().iter().enumerate().map(bit).sum::<u64>()
        };
        (0..8).filter(|&node| filter.admits(marks(node))).collect()
    }

    #[test]
    fn not_binds_stronger_than_and_which_binds_stronger_than_or() {
        assert_eq!(admitted("a"), [1, 3, 5, 7]);
        assert_eq!(admitted("not a"), [0, 2, 4, 6]);
        assert_eq!(admitted("c and a"), [5, 7]);
        assert_eq!(admitted("b or a and c"), [2, 3, 5, 6, 7]);
        assert_eq!(admitted("(b or a) and c"), [5, 6, 7]);
        assert_eq!(admitted("not a and not b"), [0, 4]);
        assert_eq!(admitted("not (a and b) and c"), [4, 5, 6]);
        assert_eq!(admitted("not not a and a"), [1, 3, 5, 7]);
        assert_eq!(admitted("a and b and c or not(\"a\"or b)"), [0, 4, 7]);
    }

    #[test]
    fn an_invalid_expression_is_refused_at_its_first_wrong_character() {
        for (text, character, found) in [
            ("", 1, "the end"),
            ("a b", 3, "\"b\""),
            ("a and", 6, "the end"),
            ("a or or b", 6, "\"or b\""),
            ("(a or b", 8, "the end"),
            ("\u{e9}t\u{e9} and )", 9, "\")\""),
            ("\"a", 3, "the end"),
            (r#""a\b""#, 3, r#""\\b\"""#),
        ] {
            let error = text.parse::<Filter>().expect_err("no expression").to_string();
            let expected = format!("invalid filter at character {character}: found {found}, expected ");
            assert!(error.starts_with(&expected), "{text}: {error}");
        }
        assert!("(".repeat(100_000).parse::<Filter>().is_err());
        assert!("not ".repeat(100_000).parse::<Filter>().is_err());
        let many = |count: usize| (0..count).map(|at| format!("t{at}")).collect::<Vec<_>>().join(" or ");
        assert!(many(64).parse::<Filter>().is_ok());
        assert!(many(65).parse::<Filter>().is_err());
        let again = vec!["a"; 5000].join(" and ");
        assert_eq!(again.parse::<Filter>().expect("an expression").tokens(), ["a"]);
    }
}
