//! Which column or field holds what: the flags of an import that name them, matched with what a file has.

use std::ops::Range;

use hedgerow::NodeRef;

use crate::core::location::BadInput;
use crate::input::delimited::Delimited;

/// One end of an edge as `--src` and `--dst` give it: `KIND`, `KIND=COL` or `*=COL`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EndFlag {
    /// None where the kind is the file's to say.
    pub(super) kind: Option<String>,
    pub(super) column: Option<String>,
    /// Whether what is there is written `kind:key`.
    pub(super) is_written: bool,
}

/// For clap.
pub(crate) fn argument(text: &str) -> Result<EndFlag, String> {
    let (kind, column) = match text.split_once('=') {
        Some((kind, column)) => (kind, Some(column.to_owned())),
        None => (text, None),
    };
    if column.as_deref() == Some("") {
        return Err("expected KIND, KIND=COL or *=COL".to_owned());
    }
    if kind == "*" {
        return Ok(EndFlag { kind: None, column, is_written: true });
    }
    // Any key will do to have the kind checked.
    NodeRef::new(kind, "0").map_err(|error| error.to_string())?;
    Ok(EndFlag { kind: Some(kind.to_owned()), column, is_written: false })
}

/// What the kind of an end is, and where its key stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Fixed(String),
    /// `kind:key` in one.
    Written,
    /// In the column of that number.
    Column(usize),
}

/// One end of the edges of a csv file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) column: usize,
    pub(super) kind: Kind,
}

impl End {
    /// The node that fields name.
    pub(super) fn node<'a>(&'a self, records: &'a Delimited, unguard: bool) -> Result<NodeRef<'a>, BadInput> {
        let text = |at| {
            let text = records.text(at)?;
            Ok::<&str, BadInput>(if unguard { crate::transfer::csv_injection::unguarded(text) } else { text })
        };
        let key = text(self.column)?;
        let node = match &self.kind {
            Kind::Fixed(kind) => NodeRef::new(kind, key),
            Kind::Written => NodeRef::parse(key),
            Kind::Column(at) => NodeRef::new(text(*at)?, key),
        };
        node.map_err(|error| records.place(self.column).problem(error))
    }

    /// The node that fields name, not checked; nothing where it is not written as it should be.
    #[inline]
    pub(super) fn plain_node<'a>(&'a self, field: impl Fn(usize) -> &'a str) -> Option<NodeRef<'a>> {
        let key = field(self.column);
        match &self.kind {
            Kind::Fixed(kind) => Some(NodeRef { kind, key }),
            Kind::Written => key.split_once(':').map(|(kind, key)| NodeRef { kind, key }),
            Kind::Column(at) => Some(NodeRef { kind: field(*at), key }),
        }
    }

    /// The columns that it reads.
    pub(super) fn columns(&self) -> impl Iterator<Item = usize> {
        let kind = match self.kind {
            Kind::Column(at) => Some(at),
            Kind::Fixed(_) | Kind::Written => None,
        };
        kind.into_iter().chain([self.column])
    }
}

/// A name as headers of Neo4j have it: `name:type`, or `:START_ID(kind)`.
pub(super) struct Typed<'a> {
    pub(super) name: &'a str,
    pub(super) role: Option<&'a str>,
    pub(super) group: Option<&'a str>,
}

impl<'a> Typed<'a> {
    pub(super) fn of(header: &'a str) -> Self {
        let Some((name, role)) = header.split_once(':') else {
            return Self { name: header, role: None, group: None };
        };
        let (role, group) = match role.split_once('(') {
            Some((role, group)) => (role, group.strip_suffix(')')),
            None => (role, None),
        };
        Self { name, role: Some(role), group: group.filter(|group| !group.is_empty()) }
    }

    pub(super) fn is(&self, role: &str) -> bool {
        self.role.is_some_and(|found| found.eq_ignore_ascii_case(role))
    }
}

/// The column that a flag names: as it is written, or without its type, capital or small.
pub(super) fn find(names: &[String], wanted: &str) -> Option<usize> {
    names.iter().position(|name| name == wanted).or_else(|| {
        names.iter().position(|name| {
            let bare = Typed::of(name).name;
            name.eq_ignore_ascii_case(wanted) || !bare.is_empty() && bare.eq_ignore_ascii_case(wanted)
        })
    })
}

/// The column that a flag names, which must be there.
pub(super) fn required(records: &Delimited, names: &[String], wanted: &str) -> Result<usize, BadInput> {
    find(names, wanted).ok_or_else(|| {
        let problem = format!("the header has no column {wanted:?}, it has {}", names.join(", "));
        records.place(0).problem(problem)
    })
}

/// The first of some columns with one of the usual names.
pub(super) fn usual(names: &[String], within: Range<usize>, usual: &[&str]) -> Option<usize> {
    within.into_iter().find(|at| {
        let bare = Typed::of(&names[*at]).name;
        usual.iter().any(|name| bare.eq_ignore_ascii_case(name))
    })
}

#[cfg(test)]
mod tests {
    use super::{EndFlag, argument, find};

    #[test]
    fn an_end_is_a_kind_and_perhaps_a_column() {
        let end = |kind: Option<&str>, column: Option<&str>, is_written| {
            let owned = |text: &str| text.to_owned();
            Ok(EndFlag { kind: kind.map(owned), column: column.map(owned), is_written })
        };
        assert_eq!(argument("user"), end(Some("user"), None, false));
        assert_eq!(argument("user=reviewerID"), end(Some("user"), Some("reviewerID"), false));
        assert_eq!(argument("*=src"), end(None, Some("src"), true));
        assert!(argument("us er=x").is_err());
        assert!(argument("user=").is_err());
    }

    #[test]
    fn columns_are_found_with_and_without_their_types() {
        let names = [":START_ID(user)", "since:int", "Since", ":TYPE"].map(str::to_owned);
        assert_eq!(find(&names, "since"), Some(1));
        assert_eq!(find(&names, "Since"), Some(2));
        assert_eq!(find(&names, ":type"), Some(3));
        assert_eq!(find(&names, ""), None);
    }
}
