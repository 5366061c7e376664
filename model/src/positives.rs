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

/// A source of examples. Everything is addressed by stable ids and canonical list positions, so that two stores
/// of the same content train alike.
pub(crate) struct Source<'a> {
    form: Form<'a>,
    snapshot: &'a Snapshot,
    state: &'a State,
    seed: u64,
    /// Of 2^32 positives, how many are held out.
    held_share: u64,
    held_out: usize,
    history: usize,
    /// Positives there are, or 0 where they are made without end.
    len: usize,
}

enum Form<'a> {
    /// Lists with two or more embedded neighbours, and how many neighbours all lists before each have.
    Edges {
        lists: Vec<(RelationIx, NodeIx)>,
        before: Vec<usize>,
    },
    Walks {
        walkers: Vec<Walker<'a>>,
        rows: Vec<u32>,
        walks: u32,
    },
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
        let (form, len) = match (pairs, options.positives) {
            (Some(pairs), _) => (Form::Pairs(pairs), pairs.len()),
            (None, Positives::Edges) => edges(snapshot, state),
            (None, Positives::Walks) => {
                let recipe = &state.recipe;
                let walkers =
                    recipe.policies.iter().map(|policy| Walker::new(snapshot, recipe.walks, policy));
                let walkers = walkers.collect::<Result<Vec<_>, _>>()?;
                let mut rows: Vec<u32> =
                    state.living().filter(|&row| !state.neighborhoods[row as usize].is_empty()).collect();
                rows.sort_by_key(|&row| snapshot.stable_id(state.nodes[row as usize]));
                let len = rows.len() * recipe.walks.walks as usize;
                (Form::Walks { walkers, rows, walks: recipe.walks.walks }, len)
            }
        };
        if len == 0 {
            let reason = match form {
                Form::Pairs(_) => "the pairs are empty",
                Form::Edges { .. } => {
                    "no node has two neighbours of the kinds to embed; add edges or give pairs"
                }
                Form::Walks { .. } => "no walk visits another node twice; add edges or give pairs",
            };
            return Err(Error::NoPositives { reason: reason.to_owned() });
        }
        // Small sources keep at least nine tenths for training.
        let held_share = ((options.held_out.min(len / 10) as u64) << 32) / len as u64;
        Ok(Self {
            form,
            snapshot,
            state,
            seed: options.seed,
            held_share,
            held_out: options.held_out,
            history: options.history,
            len,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// An example that is not held out; `None` from a source that seems to hold none.
    pub(crate) fn draw(&self, rng: &mut StdRng) -> Option<Example> {
        (0..MAX_DRAWS).find_map(|_| {
            let at = rng.random_range(0..self.len);
            self.example(at, false, rng)
        })
    }

    /// The examples that training never sees.
    pub(crate) fn held_out(&self) -> Vec<Example> {
        let mut rng = StdRng::seed_from_u64(self.seed ^ 0x6865_6c64);
        let all = (0..self.len).filter_map(|at| self.example(at, true, &mut rng));
        all.take(self.held_out).collect()
    }

    /// The example at a place, if it is on the side asked for.
    fn example(&self, at: usize, held: bool, rng: &mut StdRng) -> Option<Example> {
        match &self.form {
            Form::Pairs(pairs) => {
                let (query, positive) = pairs[at];
                let held_out = self.is_held_out(self.id(query), self.id(positive));
                (held_out == held).then(|| Example { query: vec![query], positive, hard: Vec::new() })
            }
            Form::Edges { lists, before } => {
                let which = before.partition_point(|&start| start <= at) - 1;
                let (relation, node) = lists[which];
                let list = self.snapshot.list(relation, node);
                let place = at - before[which];
                let positive = self.state.row(list.neighbor(place))?;
                if self.is_held_out(list.owner(), self.id(positive)) != held {
                    return None;
                }
                let others = list.degree() - 1;
                let chosen = index::sample(rng, others, others.min(self.history));
                let query: Vec<u32> = chosen
                    .iter()
                    .map(|other| if other >= place { other + 1 } else { other })
                    .filter_map(|other| self.state.row(list.neighbor(other)))
                    .collect();
                (!query.is_empty()).then_some(Example { query, positive, hard: Vec::new() })
            }
            Form::Walks { walkers, rows, walks } => {
                let (row, walk) = (rows[at / *walks as usize], (at % *walks as usize) as u32);
                if self.is_held_out(self.id(row), u64::from(walk)) != held {
                    return None;
                }
                let source = self.state.nodes[row as usize];
                let kind = self.snapshot.kind_name(self.snapshot.kind(source));
                let policy = self.state.recipe.policies.iter().position(|policy| policy.kind == kind)?;
                let visited = walkers[policy].walk(source, walk).find(|&node| node != source)?;
                let positive = self.state.row(visited)?;
                Some(Example { query: vec![row], positive, hard: Vec::new() })
            }
        }
    }

    fn id(&self, row: u32) -> u64 {
        self.snapshot.stable_id(self.state.nodes[row as usize]).get()
    }

    fn is_held_out(&self, a: u64, b: u64) -> bool {
        let hash = xxh3_64_with_seed(&[a.to_le_bytes(), b.to_le_bytes()].concat(), self.seed);
        hash >> 32 < self.held_share
    }
}

/// Every list through which two embedded nodes hang together, in the order of the relations' names and the
/// nodes' stable ids.
fn edges<'a>(snapshot: &Snapshot, state: &State) -> (Form<'a>, usize) {
    let mut relations: Vec<RelationIx> =
        (0..snapshot.relation_count()).map(|at| RelationIx::new(at as u16)).collect();
    relations.sort_by_key(|&relation| snapshot.relation_name(relation).to_owned());
    let mut lists = Vec::new();
    for relation in relations {
        let mut of_relation: Vec<NodeIx> = (0..snapshot.bound())
            .map(NodeIx::new)
            .filter(|&node| {
                let neighbors = snapshot.list(relation, node).neighbors();
                neighbors.iter().filter(|&&to| state.row(NodeIx::new(to)).is_some()).nth(1).is_some()
            })
            .collect();
        of_relation.sort_by_key(|&node| snapshot.stable_id(node));
        lists.extend(of_relation.into_iter().map(|node| (relation, node)));
    }
    let mut len = 0;
    let before = lists
        .iter()
        .map(|&(relation, node)| {
            let start = len;
            len += snapshot.list(relation, node).degree();
            start
        })
        .collect();
    (Form::Edges { lists, before }, len)
}
