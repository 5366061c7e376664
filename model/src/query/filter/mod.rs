//! Filters of answers by properties and tokens: `price < 5 and not genre=live`.
//! Knows no graph; `node_filter` applies a filter to the nodes of one.

pub(crate) mod node_filter;
pub(crate) mod only_new;
mod parser;

use std::fmt;
use std::str::FromStr;

use crate::config::error::Error;

/// An expression of terms with `not`, `and`, `or` and parentheses. `not` binds strongest and `or` weakest.
///
/// A term is one of these:
///
/// - `NAME < VALUE`, also with `<=`, `>`, `>=`: the property is an integer, a number or a time, and compares like this.
/// - `NAME = VALUE`, `NAME != VALUE`: the property has or does not have this value. A list has the value of each of its items. Case does
///   not count in texts. If the kind has no such property, the token `NAME=VALUE` is meant.
/// - `NAME ~ TEXT`: the property, an item of it, or the value of a token `NAME=` contains the text. Case does not count.
/// - `NAME`: the property is true. If the kind has no such property, the token `NAME` is meant.
/// - `"TOKEN"`: the node has this token.
///
/// A comparison with a property is false where the node has no value. Words that are `not`, `and` or `or`, or that contain a blank, a
/// parenthesis or a sign of a comparison, are written in double quotes. In quotes, `\"` and `\\` are a quote and a backslash. A filter has
/// at most 64 different terms.
///
/// ```
/// use hedgerow_model::Filter;
///
/// let filter: Filter = r#"price < 5 and in_stock and not (title ~ "live" or genre=jazz)"#.parse()?;
/// assert_eq!(filter.terms().len(), 4);
/// assert!("price <".parse::<Filter>().is_err());
/// # Ok::<(), hedgerow_model::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(into = "String", try_from = "String")
)]
pub struct Filter {
    terms: Vec<FilterTerm>,
    expression: Expression,
    text: String,
}

/// A term of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterTerm {
    /// A property that is true, or a token.
    Word(String),
    /// A token.
    Token(String),
    /// A comparison of a property, or of tokens `name=value`.
    Comparison {
        /// The name of the property, or the start of the tokens.
        name: String,
        /// The comparison.
        comparison: FilterComparison,
        /// The value that it is compared with, as a text.
        value: String,
    },
}

/// A comparison of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterComparison {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `~`
    Contains,
}

/// An expression of terms, fewer than 64 levels deep.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Expression {
    /// The term of this number.
    Term(usize),
    Not(Box<Expression>),
    And(Vec<Expression>),
    Or(Vec<Expression>),
}

impl Filter {
    /// The terms of the expression, each once.
    pub fn terms(&self) -> &[FilterTerm] {
        &self.terms
    }

    /// Those of some nodes, a bit each, that the expression holds for. `term` says it of a term, and is asked about as few nodes as needed.
    fn admitted(&self, nodes: u64, term: &impl Fn(usize, u64) -> u64) -> u64 {
        self.expression.admitted(nodes, term)
    }
}

impl Expression {
    fn admitted(&self, nodes: u64, term: &impl Fn(usize, u64) -> u64) -> u64 {
        match self {
            Self::Term(at) => term(*at, nodes),
            Self::Not(operand) => nodes & !operand.admitted(nodes, term),
            Self::And(operands) => {
                let narrowed =
                    |left, operand: &Self| if left == 0 { 0 } else { operand.admitted(left, term) };
                operands.iter().fold(nodes, narrowed)
            }
            Self::Or(operands) => {
                let widened = |found: u64, operand: &Self| match nodes & !found {
                    0 => found,
                    left => found | operand.admitted(left, term),
                };
                operands.iter().fold(0, widened)
            }
        }
    }
}

impl FilterComparison {
    /// All comparisons. A sign that begins another one comes after it.
    const ALL: [Self; 7] = [
        Self::NotEqual,
        Self::LessOrEqual,
        Self::GreaterOrEqual,
        Self::Equal,
        Self::Less,
        Self::Greater,
        Self::Contains,
    ];

    /// The comparison whose sign begins a text.
    fn of_start(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|comparison| text.starts_with(comparison.sign()))
    }

    /// The sign of the comparison.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Contains => "~",
        }
    }
}

impl fmt::Display for FilterTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Token(token) => write!(f, "{token:?}"),
            Self::Comparison { name, comparison, value } => write!(f, "{name} {} {value}", comparison.sign()),
        }
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
        parser::parse(text)
    }
}
