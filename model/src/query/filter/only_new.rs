//! Answers that are new: by their first edge, or by a property.

use hedgerow_storage::{KindIx, NodeIx, PropertyReader, PropertyType, RelationIx, Snapshot};

use crate::config::error::Error;

/// The condition that a node is new.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct OnlyNew {
    /// The earliest time of a new node, in microseconds since 1970, UTC.
    pub since: i64,
    /// The property of type time that has the time of a node. `None` takes the time of its first edge in any relation.
    pub property: Option<String>,
}

/// The condition for the nodes of a kind.
pub(crate) struct NewNodes<'a> {
    snapshot: &'a Snapshot,
    /// In the unit of what is compared.
    since: i64,
    property: Option<PropertyReader<'a>>,
}

impl<'a> NewNodes<'a> {
    /// # Errors
    /// [`Error::Option`] for a property that the kind does not have, or that is no time.
    pub(crate) fn new(only_new: &OnlyNew, snapshot: &'a Snapshot, kind: KindIx) -> Result<Self, Error> {
        let Some(name) = &only_new.property else {
            let since = snapshot.time_unit().from_microseconds(only_new.since);
            return Ok(Self { snapshot, since, property: None });
        };
        let at = snapshot.property_ix(kind, name);
        match at.filter(|&at| snapshot.property(at).of == PropertyType::Time) {
            Some(at) => {
                let property = Some(snapshot.property_reader(at));
                Ok(Self { snapshot, since: only_new.since, property })
            }
            None => Err(Error::Option {
                option: "only_new.property",
                found: name.clone(),
                expected: "a property of type time of the kind of the answers",
            }),
        }
    }

    /// True for a node whose time is known and not too early.
    ///
    /// # Cost
    /// Its edges up to the first that is too early.
    pub(crate) fn admits(&self, node: NodeIx) -> bool {
        if let Some(property) = &self.property {
            return property.bits(node).is_some_and(|time| time.cast_signed() >= self.since);
        }
        let relations = (0..self.snapshot.relation_count()).map(|at| RelationIx::new(at as u16));
        let lists = relations.flat_map(|relation| self.snapshot.list(relation, node).iter());
        let mut times = lists.filter_map(|(_, _, time)| time).peekable();
        times.peek().is_some() && times.all(|time| time >= self.since)
    }
}
