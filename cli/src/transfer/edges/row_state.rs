//! The state of reading the rows of a file in their order: the unit of times, the options of relations, and counts.

use std::time::Duration;

use hedgerow::{RelationIx, RelationOptions, Snapshot, TimeUnit};

use crate::input::timestamp::{FileTimes, IntegerUnit};
use crate::transfer::edges::edge_flags::EdgeFlags;

/// The state after the rows so far.
#[derive(Clone, Debug)]
pub(crate) struct RowState {
    pub(crate) times: FileTimes,
    /// The relations of the store whose options are set, and those that a row needs.
    relations: Vec<KnownRelation>,
    /// The half-life of new relations.
    half_life: Option<Duration>,
    /// Edges of relations of dislikes.
    pub(crate) dislikes: u64,
    /// Rows that say nothing.
    pub(crate) skipped: u64,
}

#[derive(Clone, Debug)]
struct KnownRelation {
    name: String,
    options: RelationOptions,
    /// Its options are not declared yet.
    is_new: bool,
}

impl RowState {
    /// The state before the first row of a file for this store.
    pub(crate) fn new(flags: &EdgeFlags, snapshot: &Snapshot) -> Self {
        let relations = (0..snapshot.relation_count()).map(|at| RelationIx::new(at as u16));
        // Options can still be set before a relation has edges, but not over others.
        let is_set = |relation: &RelationIx| {
            let options = snapshot.relation_options(*relation);
            !snapshot.relation_kinds(*relation).is_empty() || options != RelationOptions::default()
        };
        let relations = relations.filter(is_set).map(|relation| KnownRelation {
            name: snapshot.relation_name(relation).to_owned(),
            options: snapshot.relation_options(relation),
            is_new: false,
        });
        Self {
            times: FileTimes::new(flags.time_unit, snapshot.time_unit()),
            relations: relations.collect(),
            half_life: flags.half_life,
            dislikes: 0,
            skipped: 0,
        }
    }

    /// The state before the first row of an export.
    pub(crate) fn of_export(unit: IntegerUnit) -> Self {
        let times = FileTimes::new(Some(unit), TimeUnit::Microseconds);
        Self { times, relations: Vec::new(), half_life: None, dislikes: 0, skipped: 0 }
    }

    /// The state for rows that are read ahead.
    pub(crate) fn ahead(&self) -> Self {
        Self { dislikes: 0, skipped: 0, ..self.clone() }
    }

    /// Takes over the state after rows that were read ahead; false where these were read in another unit of times.
    pub(crate) fn adopt(&mut self, later: &Self) -> bool {
        if !self.times.adopt(later.times) {
            return false;
        }
        for relation in &later.relations {
            if self.relations.iter().all(|known| known.name != relation.name) {
                self.relations.push(relation.clone());
            }
        }
        self.dislikes += later.dislikes;
        self.skipped += later.skipped;
        true
    }

    /// True if no relation has a half-life.
    pub(crate) fn is_plain(&self) -> bool {
        self.half_life.is_none() && self.relations.iter().all(|known| known.options.half_life.is_none())
    }

    /// Refuses an edge that does not fit the options of its relation. `may_differ` accepts a relation of the store with another half-life
    /// than the flag gives.
    pub(crate) fn check(
        &mut self,
        relation: &str,
        is_dislike: bool,
        has_time: bool,
        may_differ: bool,
    ) -> Result<(), String> {
        let half_life = self.half_life.filter(|_| !is_dislike);
        let known = self.relations.iter().find(|known| known.name == relation);
        let options = known.map_or(RelationOptions { half_life, is_dislike }, |known| known.options);
        if options.is_dislike != is_dislike {
            let (is, are) = if is_dislike { ("dislike", "no dislikes") } else { ("like", "dislikes") };
            return Err(format!(
                "the edge is a {is}, and those of {relation} are {are}: give another --relation"
            ));
        }
        if half_life.is_some_and(|half_life| options.half_life != Some(half_life)) && !may_differ {
            return Err(format!(
                "{relation} has another half-life in the store, or none: leave out --half-life, or give another --relation"
            ));
        }
        if options.half_life.is_some() && !self.times.are_microseconds() {
            return Err("the times of this store are seconds, as an earlier version stored them: export and import it first".to_owned());
        }
        if options.half_life.is_some() && !has_time {
            return Err(format!(
                "found no time, expected one, because the weights of {relation} have a half-life"
            ));
        }
        if known.is_none() {
            self.relations.push(KnownRelation { name: relation.to_owned(), options, is_new: true });
        }
        Ok(())
    }

    /// The options of relations to declare before the edges since the last call.
    pub(crate) fn take_new(&mut self) -> impl Iterator<Item = (&str, RelationOptions)> {
        self.relations.iter_mut().filter_map(|known| {
            std::mem::take(&mut known.is_new).then_some((known.name.as_str(), known.options))
        })
    }
}
