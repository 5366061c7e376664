//! What belongs together: positives drawn from edges, from walks or from the caller's pairs, some of them held
//! out for measuring.

use hedgerow_storage::{NodeIx, RelationIx, Snapshot};
use hedgerow_walker::Walker;
use rand::rngs::StdRng;
use rand::seq::index;
use rand::{RngExt, SeedableRng};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::error::Error;
use crate::minibatch::Example;
use crate::options::{Positives, TrainOptions};
use crate::state::State;

/// Draws in a row that may all be held out before a source is taken for empty.
const MAX_DRAWS: usize = 1000;

/// A list is drawn in proportion to its degree raised to this: users with long histories count more, but not as
/// much more as they have edges. Measured on gowalla, Recall@20 after 1.6 million examples with power 1: .158,
/// 0.5: .164, 0: .164.
const LIST_POWER: f64 = 0.5;

/// The share of a list's examples that ask with one neighbour alone, as `similar` does, instead of with a history.
/// Measured after equal training with shares 0, 0.25 and 0.5: hr@100 of pinterest-related .408, .423 and .442.
const SINGLE_QUERIES: f64 = 0.3;

/// A source of examples, in units that each have members: a list and its places, a row and its walks, a pair by
/// itself. Everything is addressed by stable ids and canonical places, so that two stores of the same content
/// train alike. At most one member of a unit is held out.
pub(crate) struct Source<'a> {
    form: Form<'a>,
    snapshot: &'a Snapshot,
    state: &'a State,
    seed: u64,
    /// Of 2^32 units, how many have a member held out.
    held_share: u64,
    held_out: usize,
    history: usize,
    positives: usize,
}

enum Form<'a> {
    /// Lists with two or more embedded neighbours, and the sum of the weights up to and with each.
    Edges { lists: Vec<(RelationIx, NodeIx)>, weights: Vec<f64> },
    /// Rows with a neighbourhood, and the walkers of their policies.
    Walks { walkers: Vec<Walker<'a>>, rows: Vec<u32>, walks: usize },
    /// Rows.
    Pairs(&'a [(u32, u32)]),
}

impl<'a> Source<'a> {
    /// # Errors
    /// [`Error::NoPositives`] if there is no edge, walk or pair to learn from.
    pub(crate) fn new(
        options: &TrainOptions,
        snapshot: &'a Snapshot,
        state: &'a State,
        pairs: Option<&'a [(u32, u32)]>,
    ) -> Result<Self, Error> {
        let form = match (pairs, options.positives) {
            (Some(pairs), _) => Form::Pairs(pairs),
            (None, Positives::Edges) => edges(snapshot, state),
            (None, Positives::Walks) => walks(snapshot, state)?,
        };
        let mut source = Self {
            form,
            snapshot,
            state,
            seed: options.seed,
            held_share: 0,
            held_out: options.held_out,
            history: options.history,
            positives: 0,
        };
        let units = source.units();
        if units == 0 {
            let reason = match source.form {
                Form::Pairs(_) => "the pairs are empty",
                Form::Edges { .. } => {
                    "no node has two neighbours of the kinds to embed; add edges or give pairs"
                }
                Form::Walks { .. } => "no walk visits another node twice; add edges or give pairs",
            };
            return Err(Error::NoPositives { reason: reason.to_owned() });
        }
        source.positives = (0..units).map(|unit| source.members(unit)).sum();
        // Small sources keep at least nine tenths for training.
        let held_out = options.held_out.min(source.positives / 10).min(units);
        source.held_share = ((held_out as u64) << 32) / units as u64;
        Ok(source)
    }

    /// How many positives there are.
    pub(crate) fn len(&self) -> usize {
        self.positives
    }

    /// An example that is not held out; `None` from a source that seems to hold none.
    pub(crate) fn draw(&self, rng: &mut StdRng) -> Option<Example> {
        (0..MAX_DRAWS).find_map(|_| {
            let unit = match &self.form {
                Form::Edges { weights, .. } => {
                    let at = rng.random_range(0.0..*weights.last()?);
                    weights.partition_point(|&up_to| up_to <= at).min(weights.len() - 1)
                }
                Form::Walks { .. } | Form::Pairs(_) => rng.random_range(0..self.units()),
            };
            let member = rng.random_range(0..self.members(unit));
            if self.held(unit) == Some(member) { None } else { self.example(unit, member, false, rng) }
        })
    }

    /// The examples that training never sees.
    pub(crate) fn held_out(&self) -> Vec<Example> {
        let mut rng = StdRng::seed_from_u64(self.seed ^ 0x6865_6c64);
        let all = (0..self.units()).filter_map(|unit| self.example(unit, self.held(unit)?, true, &mut rng));
        all.take(self.held_out).collect()
    }

    fn units(&self) -> usize {
        match &self.form {
            Form::Edges { lists, .. } => lists.len(),
            Form::Walks { rows, .. } => rows.len(),
            Form::Pairs(pairs) => pairs.len(),
        }
    }

    fn members(&self, unit: usize) -> usize {
        match &self.form {
            Form::Edges { lists, .. } => {
                let (relation, node) = lists[unit];
                self.snapshot.list(relation, node).degree()
            }
            Form::Walks { walks, .. } => *walks,
            Form::Pairs(_) => 1,
        }
    }

    /// The member of a unit that is held out, if one is.
    fn held(&self, unit: usize) -> Option<usize> {
        let id = match &self.form {
            Form::Edges { lists, .. } => self.snapshot.stable_id(lists[unit].1).get(),
            Form::Walks { rows, .. } => self.id(rows[unit]),
            Form::Pairs(pairs) => self.id(pairs[unit].0) ^ self.id(pairs[unit].1).rotate_left(1),
        };
        let hash = xxh3_64_with_seed(&id.to_le_bytes(), self.seed);
        (hash >> 32 < self.held_share).then(|| (hash & 0xffff_ffff) as usize % self.members(unit))
    }

    /// Held-out examples always ask with the history.
    fn example(&self, unit: usize, member: usize, held: bool, rng: &mut StdRng) -> Option<Example> {
        let (query, positive) = match &self.form {
            Form::Pairs(pairs) => (vec![pairs[unit].0], pairs[unit].1),
            Form::Edges { lists, .. } => {
                let (relation, node) = lists[unit];
                let list = self.snapshot.list(relation, node);
                let others = list.degree() - 1;
                let most = if !held && rng.random_bool(SINGLE_QUERIES) { 1 } else { self.history };
                let chosen = index::sample(rng, others, others.min(most));
                let query: Vec<u32> = chosen
                    .iter()
                    .map(|other| if other >= member { other + 1 } else { other })
                    .filter_map(|other| self.state.row(list.neighbor(other)))
                    .collect();
                (query, self.state.row(list.neighbor(member))?)
            }
            Form::Walks { walkers, rows, .. } => {
                let source = self.state.nodes[rows[unit] as usize];
                let kind = self.snapshot.kind_name(self.snapshot.kind(source));
                let policy = self.state.recipe.policies.iter().position(|policy| policy.kind == kind)?;
                let visited = walkers[policy].walk(source, member as u32).find(|&node| node != source)?;
                (vec![rows[unit]], self.state.row(visited)?)
            }
        };
        (!query.is_empty()).then_some(Example { query, positive, hard: Vec::new() })
    }

    fn id(&self, row: u32) -> u64 {
        self.snapshot.stable_id(self.state.nodes[row as usize]).get()
    }
}

/// Every list through which two embedded nodes hang together, in the order of the relations' names and the
/// nodes' stable ids.
fn edges<'a>(snapshot: &Snapshot, state: &State) -> Form<'a> {
    let mut relations: Vec<RelationIx> =
        (0..snapshot.relation_count()).map(|at| RelationIx::new(at as u16)).collect();
    relations.sort_by_key(|&relation| snapshot.relation_name(relation).to_owned());
    let mut lists = Vec::new();
    for relation in relations {
        let mut of_relation: Vec<NodeIx> = (0..snapshot.bound())
            .map(NodeIx::new)
            .filter(|&node| {
                let neighbors = snapshot.list(relation, node).neighbors();
                neighbors.filter(|&to| state.row(to).is_some()).nth(1).is_some()
            })
            .collect();
        of_relation.sort_by_key(|&node| snapshot.stable_id(node));
        lists.extend(of_relation.into_iter().map(|node| (relation, node)));
    }
    let mut sum = 0.0;
    let weights = lists
        .iter()
        .map(|&(relation, node)| {
            sum += (snapshot.list(relation, node).degree() as f64).powf(LIST_POWER);
            sum
        })
        .collect();
    Form::Edges { lists, weights }
}

fn walks<'a>(snapshot: &'a Snapshot, state: &'a State) -> Result<Form<'a>, Error> {
    let recipe = &state.recipe;
    let walkers = recipe.policies.iter().map(|policy| Walker::new(snapshot, recipe.walks, policy));
    let walkers = walkers.collect::<Result<Vec<_>, _>>()?;
    let mut rows: Vec<u32> =
        state.living().filter(|&row| !state.neighborhoods[row as usize].is_empty()).collect();
    rows.sort_by_key(|&row| snapshot.stable_id(state.nodes[row as usize]));
    Ok(Form::Walks { walkers, rows, walks: recipe.walks.walks as usize })
}
