//! The parser of filters: words, quotes and comparisons become an expression of terms.

use crate::config::error::Error;
use crate::query::filter::{Expression, Filter, FilterComparison, FilterTerm};

/// The most levels of an expression.
const DEEPEST: usize = 64;
/// Most different terms.
const TERMS: usize = 64;

/// Parses an expression.
pub(super) fn parse(text: &str) -> Result<Filter, Error> {
    let mut parser = Parser { text, at: 0, terms: Vec::new(), depth: 0 };
    let expression = parser.or()?;
    match parser.next()? {
        (_, Word::End) => Ok(Filter { terms: parser.terms, expression, text: text.to_owned() }),
        (at, _) => Err(parser.unexpected(at, "and, or, or the end")),
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
    /// A word without quotes.
    Bare(String),
    /// A text in quotes.
    Quoted(String),
    Sign(FilterComparison),
    End,
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    terms: Vec<FilterTerm>,
    depth: usize,
}

impl Parser<'_> {
    fn or(&mut self) -> Result<Expression, Error> {
        let mut operands = vec![self.and()?];
        while self.takes(&Word::Or)? {
            operands.push(self.within(Self::and)?);
        }
        Ok(if operands.len() == 1 { operands.remove(0) } else { Expression::Or(operands) })
    }

    fn and(&mut self) -> Result<Expression, Error> {
        let mut operands = vec![self.not()?];
        while self.takes(&Word::And)? {
            operands.push(self.within(Self::not)?);
        }
        Ok(if operands.len() == 1 { operands.remove(0) } else { Expression::And(operands) })
    }

    fn not(&mut self) -> Result<Expression, Error> {
        match self.next()? {
            (_, Word::Not) => Ok(Expression::Not(Box::new(self.within(Self::not)?))),
            (_, Word::Open) => {
                let inner = self.within(Self::or)?;
                match self.next()? {
                    (_, Word::Close) => Ok(inner),
                    (at, _) => Err(self.unexpected(at, "and, or, or a closing parenthesis")),
                }
            }
            (at, Word::Bare(word)) => {
                let term = self.comparison(&word)?;
                self.term(at, term.unwrap_or(FilterTerm::Word(word)))
            }
            (at, Word::Quoted(text)) => {
                let term = self.comparison(&text)?;
                self.term(at, term.unwrap_or(FilterTerm::Token(text)))
            }
            (at, _) => Err(self.unexpected(at, "a property, a token, not, or an opening parenthesis")),
        }
    }

    /// The comparison of a name, if a sign comes next.
    fn comparison(&mut self, name: &str) -> Result<Option<FilterTerm>, Error> {
        let before = self.at;
        let (_, Word::Sign(comparison)) = self.next()? else {
            self.at = before;
            return Ok(None);
        };
        let value = self.value()?;
        Ok(Some(FilterTerm::Comparison { name: name.to_owned(), comparison, value }))
    }

    fn term(&mut self, at: usize, term: FilterTerm) -> Result<Expression, Error> {
        let known = self.terms.iter().position(|other| *other == term);
        let number = known.unwrap_or(self.terms.len());
        if number == TERMS {
            return Err(self.unexpected(at, "64 different terms at most"));
        }
        if known.is_none() {
            self.terms.push(term);
        }
        Ok(Expression::Term(number))
    }

    /// Parses an operand one level deeper.
    fn within(&mut self, parse: fn(&mut Self) -> Result<Expression, Error>) -> Result<Expression, Error> {
        self.depth += 1;
        if self.depth >= DEEPEST {
            return Err(self.unexpected(self.at, "fewer than 64 nested operands"));
        }
        let parsed = parse(self)?;
        self.depth -= 1;
        Ok(parsed)
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
            Some('"') => {
                let (text, len) = self.quoted(start)?;
                (Word::Quoted(text), len)
            }
            Some(_) => match FilterComparison::of_start(rest) {
                Some(sign) => (Word::Sign(sign), sign.sign().len()),
                None => bare(rest),
            },
        };
        self.at = start + len;
        Ok((start, word))
    }

    /// The value after a sign: a text in quotes, or all up to a blank or a parenthesis.
    fn value(&mut self) -> Result<String, Error> {
        let rest = &self.text[self.at..];
        let start = self.at + rest.len() - rest.trim_start().len();
        let rest = rest.trim_start();
        let (value, len) = if rest.starts_with('"') {
            self.quoted(start)?
        } else {
            let len = rest.find(|c: char| c.is_whitespace() || "()\"".contains(c)).unwrap_or(rest.len());
            (rest[..len].to_owned(), len)
        };
        if len == 0 || matches!(value.as_str(), "not" | "and" | "or") && !rest.starts_with('"') {
            return Err(self.unexpected(start, "a value"));
        }
        self.at = start + len;
        Ok(value)
    }

    /// A text in quotes, and its length with the quotes.
    fn quoted(&self, start: usize) -> Result<(String, usize), Error> {
        let mut token = String::new();
        let mut chars = self.text[start + 1..].char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => return Ok((token, at + 2)),
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

/// The word without quotes at the start of a text, and its length.
fn bare(text: &str) -> (Word, usize) {
    let is_end = |c: char| c.is_whitespace() || "()\"=<>~".contains(c);
    let len = text.find(is_end).unwrap_or(text.len());
    // `a!=b` is a comparison, and `a!` is a word.
    let is_unequal = text[len..].starts_with('=') && text[..len].ends_with('!') && len > 1;
    let len = if is_unequal { len - 1 } else { len };
    let word = match &text[..len] {
        "not" => Word::Not,
        "and" => Word::And,
        "or" => Word::Or,
        word => Word::Bare(word.to_owned()),
    };
    (word, len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::scan::ones;

    /// The admitted ones of eight nodes. Bits of a node's number say which of the terms a, b and c hold; a is the lowest bit.
    fn admitted(text: &str) -> Vec<u64> {
        let filter: Filter = text.parse().expect("an expression");
        let bit = |term: usize| {
            let FilterTerm::Word(word) = &filter.terms()[term] else { panic!("a word") };
            ["a", "b", "c"].iter().position(|other| other == word).expect("one of three")
        };
        // The nodes whose number has the bit of the term.
        let has = |term: usize, nodes: u64| {
            ones(nodes).filter(|node| node >> bit(term) & 1 == 1).map(|node| 1 << node).sum()
        };
        ones(filter.admitted(0xff, &has)).map(|node| node as u64).collect()
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
        assert_eq!(admitted("a and b and c or not(a or b)"), [0, 4, 7]);
    }

    #[test]
    fn a_term_is_a_word_a_token_or_a_comparison() {
        let terms = |text: &str| text.parse::<Filter>().expect("an expression").terms().to_vec();
        let comparison = |name: &str, comparison, value: &str| FilterTerm::Comparison {
            name: name.to_owned(),
            comparison,
            value: value.to_owned(),
        };
        assert_eq!(terms("in_stock"), [FilterTerm::Word("in_stock".to_owned())]);
        assert_eq!(terms("\"genre=film noir\""), [FilterTerm::Token("genre=film noir".to_owned())]);
        assert_eq!(terms("genre=jazz"), [comparison("genre", FilterComparison::Equal, "jazz")]);
        assert_eq!(
            terms("genre = \"film noir\""),
            [comparison("genre", FilterComparison::Equal, "film noir")]
        );
        assert_eq!(terms("a!=b"), [comparison("a", FilterComparison::NotEqual, "b")]);
        assert_eq!(terms("price<=-4.5"), [comparison("price", FilterComparison::LessOrEqual, "-4.5")]);
        assert_eq!(terms("(t >2024-01-01)"), [comparison("t", FilterComparison::Greater, "2024-01-01")]);
        assert_eq!(terms("\"list price\" < 5"), [comparison("list price", FilterComparison::Less, "5")]);
        assert_eq!(
            terms("url=http://x?a=1~b"),
            [comparison("url", FilterComparison::Equal, "http://x?a=1~b")]
        );
        assert_eq!(terms("title ~ \"or\""), [comparison("title", FilterComparison::Contains, "or")]);
        assert_eq!(terms("wow!"), [FilterTerm::Word("wow!".to_owned())]);
        // A term that comes again is the same one.
        assert_eq!(terms("a or a=1 or a or a = 1").len(), 2);
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
            ("price <", 8, "the end"),
            ("price < and b", 9, "\"and b\""),
            ("< 5", 1, "\"< 5\""),
            ("a = 1 2", 7, "\"2\""),
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
        assert_eq!(again.parse::<Filter>().expect("an expression").terms().len(), 1);
    }
}
