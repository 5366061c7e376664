//! `--weight-map`: rules that turn the value of a column into a weight, a dislike, or nothing.
//! Must not know where a row has its columns.

use std::borrow::Cow;
use std::cmp::Ordering;

/// Rules in the order in which they are tried.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WeightMap {
    rules: Vec<Rule>,
}

/// The first rule that holds for a row decides.
#[derive(Clone, Debug, PartialEq)]
struct Rule {
    column: String,
    comparison: Comparison,
    value: String,
    /// The value as a number, if it is one. Fields are then compared as numbers.
    number: Option<f64>,
    signal: Signal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    Greater,
    AtLeast,
    Equal,
    Different,
}

/// The signal of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Signal {
    /// An edge of this weight.
    Weight(f32),
    /// An edge of the relation of dislikes.
    Dislike,
    /// No edge.
    Skip,
}

/// The longer operators come before their beginnings.
const COMPARISONS: [(&str, Comparison); 6] = [
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("!=", Comparison::Different),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
    ("=", Comparison::Equal),
];

impl WeightMap {
    /// The column of each rule.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.column.as_str())
    }

    /// True if a rule tells a dislike.
    pub(crate) fn has_dislikes(&self) -> bool {
        self.rules.iter().any(|rule| rule.signal == Signal::Dislike)
    }

    /// The signal of the first rule that holds. `field` has the text of the column of a rule; a rule about an empty or missing field
    /// does not hold.
    pub(crate) fn signal<'a, E>(
        &self,
        mut field: impl FnMut(usize, &str) -> Result<Option<Cow<'a, str>>, E>,
    ) -> Result<Option<Signal>, E> {
        for (at, rule) in self.rules.iter().enumerate() {
            let text = field(at, &rule.column)?;
            if text.is_some_and(|text| rule.holds(text.trim())) {
                return Ok(Some(rule.signal));
            }
        }
        Ok(None)
    }
}

impl Rule {
    fn holds(&self, text: &str) -> bool {
        if text.is_empty() {
            return false;
        }
        let order = match self.number {
            // A text is different from every number.
            Some(number) => match number_of(text) {
                Some(found) => found.total_cmp(&number),
                None => return self.comparison == Comparison::Different,
            },
            None => text.cmp(&self.value),
        };
        match self.comparison {
            Comparison::Less => order == Ordering::Less,
            Comparison::AtMost => order != Ordering::Greater,
            Comparison::Greater => order == Ordering::Greater,
            Comparison::AtLeast => order != Ordering::Less,
            Comparison::Equal => order == Ordering::Equal,
            Comparison::Different => order != Ordering::Equal,
        }
    }
}

/// A finite number; minus zero is zero.
fn number_of(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite()).map(|number| number + 0.0)
}

/// Parses the value of `--weight-map`.
pub(crate) fn argument(text: &str) -> Result<WeightMap, String> {
    let mut parser = Parser { text, at: 0 };
    let mut rules = Vec::new();
    loop {
        rules.push(parser.rule()?);
        if parser.rest().is_empty() {
            return Ok(WeightMap { rules });
        }
        parser.expect(",")?;
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rule(&mut self) -> Result<Rule, String> {
        let column = self.word("a column", &['<', '>', '=', '!', ':', ','])?;
        let rest = self.rest();
        let found = COMPARISONS.iter().find(|(written, _)| rest.starts_with(written));
        let &(written, comparison) = found.ok_or_else(|| self.wrong("<, <=, >, >=, = or !="))?;
        self.at += written.len();
        let value = self.word("a value", &[':', ','])?;
        self.expect(":")?;
        let signal = self.signal()?;
        let number = number_of(&value);
        Ok(Rule { column, comparison, value, number, signal })
    }

    fn signal(&mut self) -> Result<Signal, String> {
        const EXPECTED: &str = "a weight above 0, dislike or skip";
        let rest = self.rest();
        let end = rest.find(',').unwrap_or(rest.len());
        let weight =
            |text: &str| text.parse().ok().filter(|weight: &f32| weight.is_finite() && *weight > 0.0);
        let signal = match rest[..end].trim() {
            "dislike" => Signal::Dislike,
            "skip" => Signal::Skip,
            text => weight(text).map(Signal::Weight).ok_or_else(|| self.wrong(EXPECTED))?,
        };
        self.at += end;
        Ok(signal)
    }

    /// A text in double quotes, or the text up to one of these characters without blanks around it.
    fn word(&mut self, expected: &str, ends: &[char]) -> Result<String, String> {
        let rest = self.rest();
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').ok_or_else(|| self.wrong("a closing quote"))?;
            self.at += end + 2;
            return Ok(quoted[..end].to_owned());
        }
        let word = rest[..rest.find(ends).unwrap_or(rest.len())].trim_end();
        if word.is_empty() {
            return Err(self.wrong(expected));
        }
        self.at += word.len();
        Ok(word.to_owned())
    }

    fn expect(&mut self, expected: &str) -> Result<(), String> {
        if !self.rest().starts_with(expected) {
            return Err(self.wrong(expected));
        }
        self.at += expected.len();
        Ok(())
    }

    /// The text from the next character on that is no blank.
    fn rest(&mut self) -> &'a str {
        let rest = self.text[self.at..].trim_start();
        self.at = self.text.len() - rest.len();
        rest
    }

    fn wrong(&self, expected: &str) -> String {
        let rest = &self.text[self.at..];
        let found = if rest.is_empty() { "the end".to_owned() } else { format!("{rest:?}") };
        let place = self.text[..self.at].chars().count() + 1;
        format!(
            "at character {place}: found {found}, expected {expected}, as in 'rating < 3: dislike, event = view: skip'"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(rules: &str, row: &[(&str, &'static str)]) -> Option<Signal> {
        let map = argument(rules).expect("rules");
        let field = |_, column: &str| {
            let found = row.iter().find(|(name, _)| *name == column);
            Ok::<_, ()>(found.map(|&(_, text)| Cow::Borrowed(text)))
        };
        map.signal(field).expect("fields")
    }

    #[test]
    fn the_first_rule_that_holds_decides() {
        let rules =
            "rating < 3: dislike, rating<4 : 0.5, event = buy: 3, event = \"a:b\": 7, event != view: skip";
        for (rating, event, expected) in [
            ("2.5", "buy", Some(Signal::Dislike)),
            ("3", "buy", Some(Signal::Weight(0.5))),
            ("4", "buy", Some(Signal::Weight(3.0))),
            ("", "a:b", Some(Signal::Weight(7.0))),
            ("5.0", "else", Some(Signal::Skip)),
            ("5", "view", None),
            ("", "", None),
        ] {
            assert_eq!(signal(rules, &[("rating", rating), ("event", event)]), expected, "{rating} {event}");
        }
        assert_eq!(signal(rules, &[]), None);
    }

    #[test]
    fn numbers_are_compared_as_numbers_and_texts_as_texts() {
        let weight = |rules: &str, text: &'static str| signal(rules, &[("x", text)]).is_some();
        assert!(weight("x >= 10: 1", "9.9e1") && !weight("x >= 10: 1", "9"));
        assert!(weight("x = 0: 1", "-0.0") && !weight("x < 5: 1", "many") && weight("x != 5: 1", "many"));
        assert!(weight("x >= 2024-01-01: 1", "2024-02-01") && !weight("x <= b: 1", "c"));
        assert!(weight("x > 1: 1", " 2 ") && weight("x = a b: 1", "a b"));
    }

    #[test]
    fn a_bad_rule_is_refused_with_its_place() {
        for (rules, place) in [
            ("", "at character 1: found the end, expected a column"),
            ("rating", "at character 7: found the end, expected <"),
            ("rating < : dislike", "at character 10: found \": dislike\", expected a value"),
            ("rating < 3", "at character 11: found the end, expected :"),
            ("\u{e9} < 3: -1", "at character 8: found \"-1\", expected a weight above 0"),
            ("a = 1: 2,", "at character 10: found the end, expected a column"),
            ("a = \"1: 2", "at character 5: found \"\\\"1: 2\", expected a closing quote"),
            ("a = 1: skip b = 2: skip", "at character 8: found"),
        ] {
            let problem = argument(rules).expect_err(rules);
            assert!(problem.starts_with(place), "{rules}: {problem}");
        }
    }
}
