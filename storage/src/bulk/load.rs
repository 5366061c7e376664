//! A complete graph for an empty store: collected in memory, then written as the files of a checkpoint.
//! Owns the collected graph and its validation; the store decides which manifest names the files, and when.

use crate::adjacency::list::NO_TIME;
use crate::bulk::build;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use rayon::prelude::*;

use crate::checkpoint::manifest::NamedFile;
use crate::checkpoint::write_checkpoint;
use crate::fs::disk::{Disk, Target};
use crate::fs::header::Fingerprint;
use crate::graph::plan::MAX_RELATIONS;
use crate::segments::{Keys, Nodes, Properties, RelationMeta, TopologyWriter};
use crate::types::batch::{Batch, BatchOp};
use crate::types::cancel::CancelToken;
use crate::types::commit_summary::Commit;
use crate::types::error::Error;
use crate::types::ids::{KindIx, NodeIx, StableId};
use crate::types::names::{check_relation, default_relation};
use crate::types::property::{MAX_PROPERTIES, PropertyType, check_type, convert, unknown_property};
use crate::types::weights::relation_options::{
    RelationOptions, StoredOptions, check_fading_time, options_are_set,
};
use crate::types::weights::repeat::Repeat;

use crate::bulk::edge_buffer::EdgeBuffer;
use crate::bulk::edge_buffer::Group;
use crate::bulk::names::{AHEAD, NodeNames};
use crate::bulk::value_columns::ValueColumns;

/// A complete graph, collected in memory for [`Store::load`](crate::Store::load): nodes first and then edges between
/// their numbers, or an [`EdgeBuffer`] with named nodes.
///
/// Nodes may have properties here. Their tokens and dense rows can be committed afterwards.
///
/// # Cost
/// 8 bytes an edge, plus 4, 8 and 1 where edges have weights, times or a [`Repeat`]; 32 bytes and its key a node; 12 bytes
/// and its own a value.
///
/// # Example
/// ```
/// # use hedgerow_storage::{CancelToken, BulkLoad, NodeIx, NodeRef, Store};
/// # fn main() -> Result<(), hedgerow_storage::Error> {
/// # let folder = tempfile::tempdir().expect("a folder");
/// # let path = folder.path().join("graph");
/// let mut load = BulkLoad::new();
/// let pins = load.nodes("pin", ["1", "2", "3"])?;
/// let boards = load.nodes("board", ["jazz"])?;
/// let jazz = NodeIx::new(boards.start);
/// load.edges(None, pins.map(|pin| (NodeIx::new(pin), jazz)).collect(), None)?;
///
/// let store = Store::options().create(true).open(&path)?;
/// let loaded = store.load(load, &CancelToken::new())?;
/// assert_eq!((loaded.nodes_added, loaded.edges_added), (4, 3));
/// let graph = store.snapshot();
/// assert_eq!(graph.degree(graph.require(NodeRef::parse("board:jazz")?)?), 3);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct BulkLoad {
    names: NodeNames,
    relations: Vec<Relation>,
    values: ValueColumns,
}

/// The edges of one relation.
#[derive(Clone, Debug)]
struct Relation {
    name: String,
    options: StoredOptions,
    kinds: BTreeSet<(u8, u8)>,
    parts: Vec<EdgeColumns>,
}

/// A change that [`BulkLoad::values`] has checked.
enum ValueChange<'a> {
    Label(KindIx, Option<u16>),
    Value(u16, NodeIx, Option<Cow<'a, [u8]>>),
}

/// The edges of one call, in columns.
#[derive(Clone, Debug)]
pub(crate) struct EdgeColumns {
    pub(super) edges: Vec<(NodeIx, NodeIx)>,
    pub(super) weights: Option<Vec<f32>>,
    /// [`NO_TIME`](crate::adjacency::list::NO_TIME) for an edge without a time.
    pub(super) times: Option<Vec<i64>>,
    /// None where the last edge of equal ones counts.
    pub(super) repeats: Option<Vec<Repeat>>,
}

impl BulkLoad {
    /// A graph without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// True if there is nothing to load.
    pub fn is_empty(&self) -> bool {
        self.names.bound() == 0
    }

    /// Adds nodes of a kind and returns their numbers, which follow the order of the keys, without gaps, from 0 on. The
    /// store keeps these numbers.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a kind or key that [`NodeRef::validate`](crate::NodeRef::validate) refuses, or a node
    /// that was added before. [`Error::Limit`] for too many kinds or nodes. No node of the call is added then.
    ///
    /// # Cost
    /// Some 0.1 microseconds a node, on one thread.
    pub fn nodes(
        &mut self,
        kind: &str,
        keys: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Range<u32>, Error> {
        self.names.add(kind, keys)
    }

    /// Creates a relation where needed, and sets its options, as [`Batch::declare_relation`] does.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name or half-life, and for other options than the relation has once it has an edge. [`Error::Limit`]
    /// for too many relations.
    pub fn declare_relation(&mut self, relation: &str, options: RelationOptions) -> Result<(), Error> {
        check_relation(relation)?;
        let options = options.stored()?;
        let at = self.relation(relation.to_owned())?;
        let relation = &mut self.relations[at];
        if relation.options != options && !relation.parts.is_empty() {
            return Err(options_are_set(&relation.name));
        }
        relation.options = options;
        Ok(())
    }

    /// Adds edges to a relation, by default the one of [`Edge::relation`](crate::Edge::relation). Without weights,
    /// every weight is 1. The order of the two ends does not matter. Of several edges between the same two nodes the
    /// last one counts, in the order of calls and within them, as in a batch.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name, an end that is not a node, a weight that is not finite and above 0, a
    /// different number of weights than of edges, or edges between several pairs of kinds without a relation.
    /// [`Error::Limit`] for too many relations. No edge of the call is added then.
    ///
    /// # Cost
    /// A pass over the edges, in parallel.
    pub fn edges(
        &mut self,
        relation: Option<&str>,
        edges: Vec<(NodeIx, NodeIx)>,
        weights: Option<Vec<f32>>,
    ) -> Result<(), Error> {
        // Everything is validated first.
        relation.map_or(Ok(()), check_relation)?;
        if let Some(weights) = &weights {
            check_weights(weights, edges.len())?;
        }
        let kinds = self.names.pairs(&edges).map_err(|at| {
            let (a, b) = edges[at];
            let rule = format!("node numbers below {}", self.names.bound());
            Error::invalid("edge", &format!("{a} to {b} at {at}"), rule)
        })?;
        // The relation gets its name from the kinds, unless it is given.
        let Some(&(one, other)) = kinds.first() else { return Ok(()) };
        let name = match relation {
            Some(name) => name.to_owned(),
            None if kinds.len() == 1 => {
                let kind = |at: u8| self.names.kinds()[usize::from(at)].as_str();
                default_relation(kind(one), kind(other))
            }
            None => {
                let rule = "a name, since the edges link more than two kinds of nodes";
                return Err(Error::invalid("relation", "", rule));
            }
        };
        let at = self.relation(name)?;
        if self.relations[at].options.half_life().is_some() && !edges.is_empty() {
            check_fading_time(None, &self.relations[at].name)?;
        }
        self.relations[at].kinds.extend(kinds);
        self.relations[at].parts.push(EdgeColumns { edges, weights, times: None, repeats: None });
        Ok(())
    }

    /// Adds edges between named nodes. New nodes get the next numbers in the order of first appearance, the first end
    /// of an edge before the second; so do kinds and relations. The result is the same as of batches with the same
    /// content.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a node whose stable id is that of another one. [`Error::Limit`] for too many kinds, nodes
    /// or relations. Nothing of the call is added then.
    ///
    /// # Determinism
    /// The same for any number of threads.
    ///
    /// # Cost
    /// Some 0.1 microseconds an edge, half of it on one thread.
    pub fn links(&mut self, buffer: &EdgeBuffer) -> Result<(), Error> {
        let (nodes, kinds, relations) = (self.names.bound(), self.names.kinds().len(), self.relations.len());
        let numbers = self.names.resolve(buffer)?;
        let added = self.take(buffer, &numbers);
        if added.is_err() {
            self.names.truncate(nodes, kinds);
            self.relations.truncate(relations);
        }
        added
    }

    /// Adds the nodes of a batch, and their properties and labels. New nodes get the next numbers in the order of first appearance. The
    /// result is the same as of a commit of the batch.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a batch with other changes, such as edges or tokens, and as for [`Store::commit`](crate::Store::commit).
    /// [`Error::Limit`] for too many kinds, nodes or properties. Nothing of the call is added then.
    ///
    /// # Cost
    /// Some 0.1 microseconds a node and 0.02 a value, on one thread.
    pub fn values(&mut self, batch: &Batch) -> Result<(), Error> {
        let (nodes, kinds, properties) = (self.names.bound(), self.names.kinds().len(), self.values.len());
        let added = self.resolve_values(batch);
        if added.is_err() {
            self.names.truncate(nodes, kinds);
            self.values.truncate(properties);
        }
        for change in added? {
            match change {
                ValueChange::Label(kind, property) => self.values.set_label(kind, property),
                ValueChange::Value(property, node, value) => {
                    self.values.set(property, node, value.as_deref());
                }
            }
        }
        Ok(())
    }

    /// Adds nodes and properties, and checks every value.
    fn resolve_values<'a>(&mut self, batch: &'a Batch) -> Result<Vec<ValueChange<'a>>, Error> {
        let ops = batch.ops();
        if batch.positions().next().is_some() {
            return Err(Error::invalid("change of a load", "a position", "nodes, properties and labels"));
        }
        let mut changes = Vec::with_capacity(ops.len());
        let mut last: Option<(StableId, NodeIx)> = None;
        for (at, op) in ops.iter().enumerate() {
            if let Some(BatchOp::Add { node } | BatchOp::Value { node, .. }) = ops.get(at + AHEAD) {
                self.names.prefetch(node.id);
            }
            match *op {
                BatchOp::Add { node } => drop(self.names.find_or_add(batch.node(node), node.id)?),
                BatchOp::Property { kind, property, of } => {
                    let kind = KindIx::new(self.names.known_kind(batch.read(kind))?);
                    let name = batch.property_name(property);
                    let at = self.property(kind, name, Some(of))?;
                    check_type(of, self.values.property_type(at), (self.kind_name(kind), name))?;
                }
                BatchOp::Label { kind, property } => {
                    let kind = KindIx::new(self.names.known_kind(batch.read(kind))?);
                    let property =
                        property.map(|property| self.property(kind, batch.property_name(property), None));
                    changes.push(ValueChange::Label(kind, property.transpose()?));
                }
                BatchOp::Value { node: name, property, value } => {
                    let node = match last {
                        Some((id, node)) if id == name.id => node,
                        _ => self.names.find_or_add(batch.node(name), name.id)?,
                    };
                    last = Some((name.id, node));
                    let (kind, value) = (self.names.kind(node), value.map(|value| batch.value(value)));
                    let name = batch.property_name(property);
                    let at = self.property(kind, name, value.map(|(of, _)| of))?;
                    let (to, names) = (self.values.property_type(at), (self.kind_name(kind), name));
                    let bytes = value.map(|value| convert(value, to, names)).transpose()?;
                    changes.push(ValueChange::Value(at, node, bytes));
                }
                BatchOp::Link { .. }
                | BatchOp::Unlink { .. }
                | BatchOp::Remove { .. }
                | BatchOp::Tokens { .. }
                | BatchOp::Dense { .. }
                | BatchOp::Relation { .. } => {
                    let found = "an edge, a removal, tokens or a dense row";
                    return Err(Error::invalid("change of a load", found, "nodes, properties and labels"));
                }
            }
        }
        Ok(changes)
    }

    /// The number of a kind's property, which is added with the type `of` if it is new.
    fn property(&mut self, kind: KindIx, name: &str, of: Option<PropertyType>) -> Result<u16, Error> {
        match (self.values.find(kind, name), of) {
            (Some(at), _) => Ok(at),
            (None, None) => Err(unknown_property(self.kind_name(kind), name)),
            (None, Some(_)) if self.values.len() >= MAX_PROPERTIES => {
                let (limit, found) = (MAX_PROPERTIES as u64, self.values.len() as u64 + 1);
                Err(Error::Limit { what: "properties", limit, found })
            }
            (None, Some(of)) => Ok(self.values.add(kind, name, of)),
        }
    }

    fn kind_name(&self, kind: KindIx) -> &str {
        &self.names.kinds()[kind.index()]
    }

    fn take(&mut self, buffer: &EdgeBuffer, numbers: &[NodeIx]) -> Result<(), Error> {
        let mut relation_of = Vec::with_capacity(buffer.groups.len());
        for &Group { kinds: (a, b), relation } in &buffer.groups {
            let (a, b) = (buffer.kind(a), buffer.kind(b));
            let name = relation.map_or_else(|| default_relation(a, b), |at| buffer.relation(at).to_owned());
            let at = self.relation(name)?;
            let kind = |name: &str| self.names.kinds().iter().position(|kind| kind == name);
            let kinds = kind(a).zip(kind(b)).expect("their nodes are there");
            relation_of.push((at, (kinds.0.min(kinds.1) as u8, kinds.0.max(kinds.1) as u8)));
        }
        self.check_times(buffer, &relation_of)?;
        for &(relation, kinds) in &relation_of {
            self.relations[relation].kinds.insert(kinds);
        }
        let ends = |&(a, b): &(u32, u32)| (numbers[a as usize], numbers[b as usize]);
        let Some(&(first, _)) = relation_of.first() else { return Ok(()) };
        if relation_of.iter().all(|&(relation, _)| relation == first) {
            let edges = buffer.edges.par_iter().with_min_len(1 << 14).map(ends).collect();
            let weights = (!buffer.weights.is_empty()).then(|| buffer.weights.clone());
            let times = (!buffer.times.is_empty()).then(|| buffer.times.clone());
            let repeats = (!buffer.repeats.is_empty()).then(|| buffer.repeats.clone());
            self.relations[first].parts.push(EdgeColumns { edges, weights, times, repeats });
            return Ok(());
        }
        let mut edges_of: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, &group) in buffer.group_of.iter().enumerate() {
            edges_of.entry(relation_of[group as usize].0).or_default().push(at);
        }
        for (relation, edges) in edges_of {
            let part = EdgeColumns {
                edges: edges.iter().map(|&at| ends(&buffer.edges[at])).collect(),
                weights: select(&buffer.weights, &edges),
                times: select(&buffer.times, &edges),
                repeats: select(&buffer.repeats, &edges),
            };
            self.relations[relation].parts.push(part);
        }
        Ok(())
    }

    /// Refuses an edge whose time does not suit a half-life. `relation_of` has the relation of each group.
    fn check_times(&self, buffer: &EdgeBuffer, relation_of: &[(usize, (u8, u8))]) -> Result<(), Error> {
        let fades: Vec<bool> = relation_of
            .iter()
            .map(|&(relation, _)| self.relations[relation].options.half_life().is_some())
            .collect();
        if !fades.contains(&true) {
            return Ok(());
        }
        for at in 0..buffer.edges.len() {
            let group = buffer.group_of.get(at).map_or(0, |&group| group as usize);
            if fades[group] {
                let time = buffer.times.get(at).copied().filter(|&time| time != NO_TIME);
                check_fading_time(time, &self.relations[relation_of[group].0].name)?;
            }
        }
        Ok(())
    }

    /// The index of a relation, which is added if it is new.
    fn relation(&mut self, name: String) -> Result<usize, Error> {
        let known = self.relations.iter().position(|relation| relation.name == name);
        let at = known.unwrap_or(self.relations.len());
        if at >= MAX_RELATIONS {
            let (limit, found) = (MAX_RELATIONS as u64, at as u64 + 1);
            return Err(Error::Limit { what: "relations", limit, found });
        }
        if known.is_none() {
            let (options, kinds) = (StoredOptions::default(), BTreeSet::new());
            self.relations.push(Relation { name, options, kinds, parts: Vec::new() });
        }
        Ok(at)
    }

    /// Writes the files under `number`; returns what a manifest says of all files, and the counts of a commit without its epoch. The
    /// memory of the edges is freed as soon as they are in a file.
    ///
    /// # Errors
    /// [`Error::Limit`] for too many neighbors of a node; [`Error::Cancelled`]; errors of writing. The files written by
    /// then are removed again.
    pub(crate) fn write(
        mut self,
        disk: &Disk,
        current: &[NamedFile],
        number: u64,
        cancel: &CancelToken,
    ) -> Result<(Vec<NamedFile>, Commit), Error> {
        let Self { names, relations, values } = &mut self;
        names.close();
        let bound = names.bound();
        let mut summary = Commit {
            nodes_added: u64::from(bound),
            properties_changed: values.nodes_with_values(bound),
            ..Commit::default()
        };
        // As after commits: a file without changes stays.
        let is_stale = [!relations.is_empty(), true, true, false, values.len() > 0];
        let files = write_checkpoint::write_stale(disk, current, is_stale, number, |to, what| match what {
            "topology" => {
                let (written, count) = write_topology(to, names, relations, cancel)?;
                (summary.edges_added, summary.edges_repeated) = count;
                Ok(written)
            }
            "nodes" => {
                let what = |node: NodeIx| (names.kind(node), names.ids()[node.index()], true);
                Nodes::write(to, names.kinds(), bound, what, cancel)
            }
            "keys" => {
                let what = |node: NodeIx| (names.kind(node), names.ids()[node.index()], names.key(node));
                Keys::write(to, bound, what, cancel)
            }
            "properties" => {
                let (schema, labels) = values.schema();
                let (kind, value) = (|node| names.kind(node), |at, node| values.value(at, node));
                Properties::write(to, bound, (&schema, labels), kind, value, cancel)
            }
            _ => unreachable!("a load has no features, and what is not stale is not written"),
        })?;
        Ok((files, summary))
    }
}

/// Writes the lists of all relations; returns also the number of edges and of those that came again.
fn write_topology(
    to: Target<'_>,
    names: &NodeNames,
    relations: &mut [Relation],
    cancel: &CancelToken,
) -> Result<(Fingerprint, (u64, u64)), Error> {
    let bound = names.bound();
    let stage = cancel.stage("topology", u64::from(bound) * relations.len() as u64);
    let mut topology = TopologyWriter::create(to, bound, relations.len())?;
    let (mut edges, mut given) = (0, 0);
    for Relation { name, options, kinds, parts } in relations {
        let parts = std::mem::take(parts);
        given += parts.iter().map(|part| part.edges.len() as u64).sum::<u64>();
        let owners = build::owners(&parts, bound);
        stage.advance(u64::from(bound) - owners.count() as u64)?;
        let mut writer = topology.relation(&owners)?;
        let count = build::write(&parts, names.ids(), (&owners, options.half_life()), &mut writer, &stage)?;
        let kinds = std::mem::take(kinds).into_iter().collect();
        let (name, options) = (std::mem::take(name), *options);
        writer.end(RelationMeta { name, kinds, edges: count, options })?;
        edges += count;
    }
    let written = topology.finish()?;
    stage.end();
    Ok((written, (edges, given - edges)))
}

/// The values of some edges; `None` where no edge has any.
fn select<T: Copy>(values: &[T], edges: &[usize]) -> Option<Vec<T>> {
    (!values.is_empty()).then(|| edges.iter().map(|&at| values[at]).collect())
}

fn check_weights(weights: &[f32], edges: usize) -> Result<(), Error> {
    if weights.len() != edges {
        return Err(Error::invalid(
            "weights",
            &weights.len().to_string(),
            format!("{edges}, as many as edges"),
        ));
    }
    let is_bad = |weight: &f32| !weight.is_finite() || *weight <= 0.0;
    if let Some(at) = weights.par_iter().position_first(is_bad) {
        let found = format!("{} at {at}", weights[at]);
        return Err(Error::invalid("weight", &found, "a finite number above 0"));
    }
    Ok(())
}
