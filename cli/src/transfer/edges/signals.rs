//! The meaning of the edges of a file beside their columns: the relation, repeats, dislikes. The one way of a row into a target.

use std::borrow::Cow;

use hedgerow::{Edge, NodeRef, Repeat};

use crate::transfer::edges::edge_flags::EdgeFlags;
use crate::transfer::edges::row_target::RowTarget;
use crate::transfer::edges::weight_map::{Signal, WeightMap};

/// The parts of an edge that no column gives.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Signals<'a> {
    /// The relation of all edges, where a flag names it.
    pub(crate) relation: Option<&'a str>,
    pub(crate) repeat: Repeat,
    /// A row may be a dislike.
    has_dislikes: bool,
    /// Rows name their relations, some of which the store may have.
    has_relation_column: bool,
}

impl<'a> Signals<'a> {
    pub(crate) fn of(flags: &'a EdgeFlags) -> Self {
        Self {
            relation: flags.relation.as_deref(),
            repeat: flags.repeat.into(),
            has_dislikes: flags.weight_map.as_ref().is_some_and(WeightMap::has_dislikes),
            has_relation_column: flags.relation_column.is_some(),
        }
    }

    /// Puts an edge of a row into a target. A dislike goes to the relation of dislikes, which is named after its own.
    pub(crate) fn put(
        self,
        target: &mut impl RowTarget,
        (src, dst): (NodeRef<'_>, NodeRef<'_>),
        signal: Signal,
        time: Option<i64>,
        relation: Option<&str>,
    ) -> Result<(), String> {
        let (weight, is_dislike) = match signal {
            Signal::Weight(weight) => (weight, false),
            Signal::Dislike => (1.0, true),
            Signal::Skip => {
                target.state().skipped += 1;
                return Ok(());
            }
        };
        let refused = |error: hedgerow::Error| error.to_string();
        let edge = Edge { weight, time, relation, repeat: self.repeat };
        if !self.has_dislikes && target.state().is_plain() {
            return target.link(src, dst, edge).map_err(refused);
        }
        // The names are valid before a relation is declared that is named after their kinds.
        src.validate().and_then(|()| dst.validate()).map_err(|error| error.to_string())?;
        let liked = relation.map_or_else(|| default_relation(src.kind, dst.kind), Cow::Borrowed);
        let disliked = if self.has_dislikes { format!("{liked}-dislike") } else { String::new() };
        let (name, opposite) =
            if is_dislike { (disliked.as_str(), &*liked) } else { (&*liked, disliked.as_str()) };
        target.state().check(name, is_dislike, time.is_some(), self.has_relation_column)?;
        target.link(src, dst, Edge { relation: Some(name), ..edge }).map_err(refused)?;
        if self.has_dislikes && self.repeat == Repeat::Last {
            target.unlink_opposite(src, dst, opposite).map_err(refused)?;
        }
        target.state().dislikes += u64::from(is_dislike);
        Ok(())
    }
}

/// The relation of an edge that names none.
fn default_relation<'a>(one: &str, other: &str) -> Cow<'a, str> {
    format!("{}-{}", one.min(other), one.max(other)).into()
}
