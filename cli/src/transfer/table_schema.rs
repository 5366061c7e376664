//! The tables of an export and their columns, the same in every format. FORMAT.md explains them.

use serde::{Deserialize, Serialize};

/// The tables, in the order in which they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Table {
    Nodes,
    Features,
    /// Values of properties; only in a store with properties.
    Values,
    Edges,
    Neighborhoods,
    Embeddings,
}

pub(crate) const TABLES: [Table; 6] =
    [Table::Nodes, Table::Features, Table::Values, Table::Edges, Table::Neighborhoods, Table::Embeddings];

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnType {
    /// A stable id: 16 hexadecimal digits in text.
    Id,
    Text,
    Count,
    /// Microseconds since 1970, or none.
    Time,
    Number,
    /// A list of texts.
    Texts,
    /// A list of numbers, or none.
    Numbers,
    /// A value of a property as JSON.
    Json,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: ColumnType,
}

/// A value of a row, in the order of the columns.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ColumnValue<'a> {
    Id(u64),
    Text(&'a str),
    Count(u64),
    Time(Option<i64>),
    Number(f32),
    Texts(&'a [&'a str]),
    Numbers(Option<&'a [f32]>),
    /// The text of a JSON value.
    Json(&'a str),
}

/// The start of the column name of a dense block, before the name of the block.
pub(crate) const DENSE_PREFIX: &str = "dense_";

impl Table {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nodes => "nodes",
            Self::Features => "features",
            Self::Values => "values",
            Self::Edges => "edges",
            Self::Neighborhoods => "neighborhoods",
            Self::Embeddings => "embeddings",
        }
    }

    /// The columns of the table in a store with these dense blocks.
    pub(crate) fn columns(self, blocks: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<Column> {
        let column = |(name, kind): &(&str, ColumnType)| Column { name: (*name).to_owned(), kind: *kind };
        let fixed: &[(&str, ColumnType)] = match self {
            Self::Nodes => &[("id", ColumnType::Id), ("kind", ColumnType::Text), ("key", ColumnType::Text)],
            Self::Features => {
                &[("id", ColumnType::Id), ("node", ColumnType::Text), ("tokens", ColumnType::Texts)]
            }
            Self::Values => &[
                ("id", ColumnType::Id),
                ("node", ColumnType::Text),
                ("property", ColumnType::Text),
                ("value", ColumnType::Json),
            ],
            Self::Edges => &[
                ("relation", ColumnType::Text),
                ("src", ColumnType::Text),
                ("dst", ColumnType::Text),
                ("weight", ColumnType::Number),
                ("time", ColumnType::Time),
                ("src_id", ColumnType::Id),
                ("dst_id", ColumnType::Id),
            ],
            Self::Neighborhoods => &[
                ("id", ColumnType::Id),
                ("rank", ColumnType::Count),
                ("neighbor_id", ColumnType::Id),
                ("visits", ColumnType::Count),
                ("importance", ColumnType::Number),
            ],
            Self::Embeddings => &[
                ("id", ColumnType::Id),
                ("node", ColumnType::Text),
                ("bias", ColumnType::Number),
                ("vector", ColumnType::Numbers),
            ],
        };
        let mut columns: Vec<Column> = fixed.iter().map(column).collect();
        if self == Self::Features {
            let dense =
                |block: &str| Column { name: format!("{DENSE_PREFIX}{block}"), kind: ColumnType::Numbers };
            columns.extend(blocks.into_iter().map(|block| dense(block.as_ref())));
        }
        columns
    }
}
