//! The flags that say where a row has the parts of an edge, and what the edge means.

use std::time::Duration;

use clap::{Args, ValueEnum};
use hedgerow::Repeat;

use crate::input::delimited::Dialect;
use crate::input::duration;
use crate::input::separator;
use crate::input::separator::Separator;
use crate::input::timestamp::IntegerUnit;
use crate::transfer::edges::column_names;
use crate::transfer::edges::column_names::EndFlag;
use crate::transfer::edges::weight_map;
use crate::transfer::edges::weight_map::WeightMap;

/// The columns of an edge's parts, and the effect of an edge.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct EdgeFlags {
    /// The kind of an edge's first node and the column of its key; * where that column holds kind:key
    #[arg(long, value_name = "KIND[=COL]", value_parser = column_names::argument)]
    pub(crate) src: Option<EndFlag>,
    /// The kind of an edge's second node and the column of its key [default: the first two columns, named by their kinds]
    #[arg(long, value_name = "KIND[=COL]", value_parser = column_names::argument)]
    pub(crate) dst: Option<EndFlag>,
    /// The relation of the edges [default: the two kinds, such as board-pin]
    #[arg(long, value_name = "NAME")]
    pub(crate) relation: Option<String>,
    /// The column of the relations [default: relation or :TYPE, where there is one]
    #[arg(long, value_name = "COL", conflicts_with = "relation")]
    pub(crate) relation_column: Option<String>,
    /// The column of the weights [default: weight, where there is one]
    #[arg(long, visible_alias = "weight", value_name = "COL")]
    pub(crate) weight_column: Option<String>,
    /// Rules that give the weight, tried in order, such as 'rating < 3: dislike, event = buy: 3, event = view: skip'; where none holds it
    /// is that of the column. A dislike is an edge of the relation <relation>-dislike
    #[arg(long, value_name = "RULES", value_parser = weight_map::argument)]
    pub(crate) weight_map: Option<WeightMap>,
    /// The column of the times [default: time or timestamp, where there is one]
    #[arg(long, visible_alias = "time", value_name = "COL")]
    pub(crate) time_column: Option<String>,
    /// The unit of times that are integers [default: that in which the first one is plausible]
    #[arg(long, value_enum, value_name = "UNIT")]
    pub(crate) time_unit: Option<IntegerUnit>,
    /// The time in which a weight halves, such as 12h, 30d or 4w, for relations that are new; all their edges need a time
    #[arg(long, value_name = "TIME", value_parser = duration::argument)]
    pub(crate) half_life: Option<Duration>,
    /// The effect on an edge that is there already
    #[arg(long, value_enum, default_value_t = RepeatFlag::Last)]
    pub(crate) repeat: RepeatFlag,
}

/// The effect of an edge that is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum RepeatFlag {
    /// Weight and time are replaced
    #[default]
    Last,
    /// Weights are added, the later time stays
    Sum,
    /// The larger weight and the later time stay
    Max,
    /// The weight is how often the edge came, the later time stays
    Count,
}

impl RepeatFlag {
    /// The words of a report: what became of the edges that came again.
    pub(crate) fn outcome(self) -> &'static str {
        match self {
            Self::Last => "the last counts",
            Self::Sum => "weights summed",
            Self::Max => "the largest weight kept",
            Self::Count => "the weight counts them",
        }
    }
}

impl From<RepeatFlag> for Repeat {
    fn from(flag: RepeatFlag) -> Self {
        match flag {
            RepeatFlag::Last => Self::Last,
            RepeatFlag::Sum => Self::Sum,
            RepeatFlag::Max => Self::Max,
            RepeatFlag::Count => Self::Count,
        }
    }
}

impl EdgeFlags {
    /// True if a flag names a part of the rows.
    pub(crate) fn is_mapped(&self) -> bool {
        let columns = [&self.relation, &self.relation_column, &self.weight_column, &self.time_column];
        let is_mapped = self.src.is_some() || self.dst.is_some() || self.weight_map.is_some();
        is_mapped || columns.iter().any(|column| column.is_some())
    }
}

/// The form of a csv.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct TableFlags {
    /// The names of the columns of a csv without a header line
    #[arg(long, value_name = "COL,..", value_delimiter = ',')]
    pub(crate) columns: Vec<String>,
    /// The separator of columns: comma, tab, semicolon, bar, blanks, ::, or a character [default: that of the first line]
    #[arg(long, value_name = "SEP", value_parser = separator::argument)]
    pub(crate) separator: Option<Separator>,
    /// Skip lines that begin with TEXT, such as #
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
}

impl TableFlags {
    /// The header or the flag that names the columns.
    pub(crate) fn named_by(&self) -> &'static str {
        if self.columns.is_empty() { "the header" } else { "--columns" }
    }

    /// The form of a csv, as the flags give it.
    pub(crate) fn dialect(&self, blanks: bool) -> Dialect {
        Dialect { separator: self.separator, blanks, comment: self.comment.clone() }
    }
}
