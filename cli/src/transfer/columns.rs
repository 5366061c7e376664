//! The tables of an export and their columns: the schema, the same in every form. FORMAT.md says what they mean.

use serde::{Deserialize, Serialize};

/// The tables, in the order in which they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Table {
    Nodes,
    Features,
    Edges,
    Neighborhoods,
    Embeddings,
}

pub(crate) const TABLES: [Table; 5] =
    [Table::Nodes, Table::Features, Table::Edges, Table::Neighborhoods, Table::Embeddings];

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// A stable id: 16 hexadecimal digits in text.
    Id,
    Text,
    Count,
    /// Seconds, or nothing.
    Time,
    Real,
    /// A list of texts.
    Words,
    /// A list of numbers, or nothing.
    Reals,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) holds: Type,
}

/// A value of a row, in the order of the columns.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell<'a> {
    Id(u64),
    Text(&'a str),
    Count(u64),
    Time(Option<i64>),
    Real(f32),
    Words(&'a [&'a str]),
    Reals(Option<&'a [f32]>),
}

/// What the column of a dense block is called before its name.
pub(crate) const DENSE: &str = "dense_";

impl Table {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nodes => "nodes",
            Self::Features => "features",
            Self::Edges => "edges",
            Self::Neighborhoods => "neighborhoods",
            Self::Embeddings => "embeddings",
        }
    }

    /// Its columns in a store with these dense blocks.
    pub(crate) fn columns(self, blocks: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<Column> {
        let column = |(name, holds): &(&str, Type)| Column { name: (*name).to_owned(), holds: *holds };
        let fixed: &[(&str, Type)] = match self {
            Self::Nodes => &[("id", Type::Id), ("kind", Type::Text), ("key", Type::Text)],
            Self::Features => &[("id", Type::Id), ("node", Type::Text), ("tokens", Type::Words)],
            Self::Edges => &[
                ("relation", Type::Text),
                ("src", Type::Text),
                ("dst", Type::Text),
                ("weight", Type::Real),
                ("time", Type::Time),
                ("src_id", Type::Id),
                ("dst_id", Type::Id),
            ],
            Self::Neighborhoods => &[
                ("id", Type::Id),
                ("rank", Type::Count),
                ("neighbor_id", Type::Id),
                ("visits", Type::Count),
                ("importance", Type::Real),
            ],
            Self::Embeddings => {
                &[("id", Type::Id), ("node", Type::Text), ("bias", Type::Real), ("vector", Type::Reals)]
            }
        };
        let mut columns: Vec<Column> = fixed.iter().map(column).collect();
        if self == Self::Features {
            let dense = |block: &str| Column { name: format!("{DENSE}{block}"), holds: Type::Reals };
            columns.extend(blocks.into_iter().map(|block| dense(block.as_ref())));
        }
        columns
    }
}
