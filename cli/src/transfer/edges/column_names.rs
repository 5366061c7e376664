//! The flags of an import that name columns or fields, and the columns of a header that they match.

use hedgerow::NodeRef;

use crate::core::csv_injection::unguarded;
use crate::core::location::BadInput;
use crate::input::delimited::Delimited;

/// One end of an edge as `--src` and `--dst` give it: `KIND`, `KIND=COL` or `*=COL`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EndFlag {
    /// None where the file gives the kind.
    pub(crate) kind: Option<String>,
    pub(crate) column: Option<String>,
    /// The column holds `kind:key`.
    pub(crate) is_written: bool,
}

/// Parses the value of `--src` or `--dst`.
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
    // The key is a placeholder: only the kind is checked.
    NodeRef::new(kind, "0").map_err(|error| error.to_string())?;
    Ok(EndFlag { kind: Some(kind.to_owned()), column, is_written: false })
}

/// The source of the kind of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EndKind {
    Fixed(String),
    /// The column of the key holds `kind:key`.
    Written,
    /// The column of that number holds the kind.
    Column(usize),
}

/// The columns of one node in a csv file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ColumnEnd {
    pub(crate) column: usize,
    pub(crate) kind: EndKind,
}

impl ColumnEnd {
    /// The node that the fields name; the target checks the name.
    pub(crate) fn node<'a>(
        &'a self,
        records: &'a Delimited,
        is_guarded: bool,
    ) -> Result<NodeRef<'a>, BadInput> {
        let key = text(records, self.column, is_guarded)?;
        match &self.kind {
            EndKind::Fixed(kind) => Ok(NodeRef { kind, key }),
            EndKind::Column(at) => Ok(NodeRef { kind: text(records, *at, is_guarded)?, key }),
            EndKind::Written => match key.split_once(':') {
                Some((kind, key)) => Ok(NodeRef { kind, key }),
                None => NodeRef::parse(key).map_err(|error| records.place(self.column).problem(error)),
            },
        }
    }

    /// Refuses fields that are not the name of a node.
    pub(crate) fn check(&self, records: &Delimited, is_guarded: bool) -> Result<(), BadInput> {
        let node = self.node(records, is_guarded)?;
        node.validate().map_err(|error| records.place(self.column).problem(error))
    }

    /// The columns that are read.
    pub(crate) fn columns(&self) -> impl Iterator<Item = usize> {
        let kind = match self.kind {
            EndKind::Column(at) => Some(at),
            EndKind::Fixed(_) | EndKind::Written => None,
        };
        kind.into_iter().chain([self.column])
    }
}

/// A field as text, without the mark of `export --guard-formulas` where the file `is_guarded`.
pub(crate) fn text(records: &Delimited, field: usize, is_guarded: bool) -> Result<&str, BadInput> {
    let text = records.text(field)?;
    Ok(if is_guarded { unguarded(text) } else { text })
}

/// A column name as headers of Neo4j have it: `name:type`, or `:START_ID(kind)`.
pub(crate) struct TypedName<'a> {
    pub(crate) name: &'a str,
    pub(crate) role: Option<&'a str>,
    pub(crate) group: Option<&'a str>,
}

impl<'a> TypedName<'a> {
    pub(crate) fn of(header: &'a str) -> Self {
        let Some((name, role)) = header.split_once(':') else {
            return Self { name: header, role: None, group: None };
        };
        let (role, group) = match role.split_once('(') {
            Some((role, group)) => (role, group.strip_suffix(')')),
            None => (role, None),
        };
        Self { name, role: Some(role), group: group.filter(|group| !group.is_empty()) }
    }

    pub(crate) fn is(&self, role: &str) -> bool {
        self.role.is_some_and(|found| found.eq_ignore_ascii_case(role))
    }
}

/// The column of that name, or of that name without its type, in capital or small letters.
pub(crate) fn find(names: &[String], flag_name: &str) -> Option<usize> {
    names.iter().position(|name| name == flag_name).or_else(|| {
        names.iter().position(|name| {
            let bare = TypedName::of(name).name;
            name.eq_ignore_ascii_case(flag_name) || !bare.is_empty() && bare.eq_ignore_ascii_case(flag_name)
        })
    })
}

/// The column that a flag names; refused where the header has none of that name.
pub(crate) fn required(records: &Delimited, names: &[String], flag_name: &str) -> Result<usize, BadInput> {
    find(names, flag_name).ok_or_else(|| {
        let problem = format!("the header has no column {flag_name:?}, it has {}", names.join(", "));
        records.place(0).problem(problem)
    })
}

/// The first column with one of the default names.
pub(crate) fn with_default_name(names: &[String], default_names: &[&str]) -> Option<usize> {
    names.iter().position(|name| {
        let bare = TypedName::of(name).name;
        default_names.iter().any(|name| bare.eq_ignore_ascii_case(name))
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
