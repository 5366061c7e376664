//! What belongs together: positives drawn from edges, from walks or from the caller's pairs, some of them held
//! out for measuring.

use hedgerow_storage::{NodeIx, RelationIx, Snapshot, StableId};
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

/// What a list counts where one neighbour asks for another: as many walks come through it as it has edges.
const SINGLE_POWER: f64 = 1.0;

/// What a list counts where a history asks: users with long ones count more, but not as much more as they have edges.
const HISTORY_POWER: f64 = 0.5;

/// The share of examples that ask with one neighbour alone, as `similar` does, instead of with a history.
const SINGLE_QUERIES: f64 = 0.3;

/// The share of examples in which the node asks whose list it is, where that is embedded too: users and items come to
/// lie in one space.
const OWNER_QUERIES: f64 = 0.5;

/// Parts of the lists where one neighbour asks for another. Such examples are learned from neighbourhoods that know
/// nothing of their part's lists, as `similar` is asked about lists that nobody has made yet. A history asks within the
/// graph that its list is in, as `recommend` does.
const PARTS: usize = 4;

/// Below so many lists there are no parts: without a fourth of so few not much would be left.
const FEW_LISTS: usize = 100;

/// Members of a list, at most, of which it is known for each example that they are no negatives.
const TOGETHER: usize = 1000;

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
    /// Lists with two or more embedded neighbours; all of them, and by part.
    Edges { lists: Vec<(RelationIx, NodeIx)>, all: Part, parts: Vec<Part> },
    /// Rows with a neighbourhood, and the walkers of their policies.
    Walks { walkers: Vec<Walker<'a>>, rows: Vec<u32>, walks: usize },
    /// Rows.
    Pairs(&'a [(u32, u32)]),
}

/// Examples of one kind, learned from the same neighbourhoods.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Portion {
    /// Whether one neighbour asks alone; `None`: now and then.
    single: Option<bool>,
    /// The part of the lists that they are from and whose lists are closed to walks; `None`: all lists, and none closed.
    part: Option<usize>,
    /// Of an epoch's examples.
    pub(crate) share: f64,
}

/// Some of the lists, and the sums of their weights up to and with each.
#[derive(Default)]
struct Part {
    lists: Vec<u32>,
    single: Vec<f64>,
    history: Vec<f64>,
}

impl Part {
    fn add(&mut self, list: u32, degree: f64) {
        self.lists.push(list);
        for (sums, power) in [(&mut self.single, SINGLE_POWER), (&mut self.history, HISTORY_POWER)] {
            sums.push(sums.last().copied().unwrap_or(0.0) + degree.powf(power));
        }
    }

    /// `None` of an empty part.
    fn draw(&self, single: bool, rng: &mut StdRng) -> Option<usize> {
        let sums = if single { &self.single } else { &self.history };
        let at = rng.random_range(0.0..*sums.last()?);
        let found = sums.partition_point(|&up_to| up_to <= at).min(sums.len() - 1);
        Some(self.lists[found] as usize)
    }
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
            (None, Positives::Edges) => edges(options.seed, snapshot, state),
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
        let most = source.units() / source.parts().max(1);
        let held_out = options.held_out.min(source.positives / 10).min(most);
        source.held_share = ((held_out as u64) << 32) / most.max(1) as u64;
        Ok(source)
    }

    /// What an epoch consists of, in this order. What is held out is asked in the neighbourhoods of the last portion.
    pub(crate) fn portions(&self) -> Vec<Portion> {
        let parts = self.parts();
        if parts == 0 {
            return vec![Portion { single: None, part: None, share: 1.0 }];
        }
        let history = Portion { single: Some(false), part: None, share: 1.0 - SINGLE_QUERIES };
        let share = SINGLE_QUERIES / parts as f64;
        let single = (0..parts).rev().map(|part| Portion { single: Some(true), part: Some(part), share });
        std::iter::once(history).chain(single).collect()
    }

    fn parts(&self) -> usize {
        match &self.form {
            Form::Edges { parts, .. } => parts.len(),
            Form::Walks { .. } | Form::Pairs(_) => 0,
        }
    }

    /// By node, whether walks must not step on it in a portion's neighbourhoods; `None` if they may on all.
    pub(crate) fn closed(&self, portion: &Portion) -> Option<Vec<bool>> {
        let Form::Edges { lists, parts, .. } = &self.form else { return None };
        let mut closed = vec![false; self.snapshot.bound() as usize];
        for &list in &parts[portion.part?].lists {
            closed[lists[list as usize].1.index()] = true;
        }
        Some(closed)
    }

    /// How many positives there are.
    pub(crate) fn len(&self) -> usize {
        self.positives
    }

    /// An example of a portion that is not held out; `None` from one that seems to hold none.
    pub(crate) fn draw(&self, portion: &Portion, rng: &mut StdRng) -> Option<Example> {
        (0..MAX_DRAWS).find_map(|_| {
            let single = portion.single.unwrap_or_else(|| rng.random_bool(SINGLE_QUERIES));
            let unit = match &self.form {
                Form::Edges { all, parts, .. } => {
                    portion.part.map_or(all, |part| &parts[part]).draw(single, rng)?
                }
                Form::Walks { .. } | Form::Pairs(_) => rng.random_range(0..self.units()),
            };
            let member = rng.random_range(0..self.members(unit));
            let most = if single { 1 } else { self.history };
            if self.held(unit) == Some(member) { None } else { self.example(unit, member, most, rng) }
        })
    }

    /// The examples that training never sees.
    pub(crate) fn held_out(&self) -> Vec<Example> {
        let mut rng = StdRng::seed_from_u64(self.seed ^ 0x6865_6c64);
        let all =
            (0..self.units()).filter_map(|unit| self.example(unit, self.held(unit)?, usize::MAX, &mut rng));
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
        if let Form::Edges { lists, parts, .. } = &self.form
            && !parts.is_empty()
            && part_of(self.snapshot.stable_id(lists[unit].1), self.seed) != 0
        {
            return None;
        }
        let id = match &self.form {
            Form::Edges { lists, .. } => self.snapshot.stable_id(lists[unit].1).get(),
            Form::Walks { rows, .. } => self.id(rows[unit]),
            Form::Pairs(pairs) => self.id(pairs[unit].0) ^ self.id(pairs[unit].1).rotate_left(1),
        };
        let hash = xxh3_64_with_seed(&id.to_le_bytes(), self.seed);
        (hash >> 32 < self.held_share).then(|| (hash & 0xffff_ffff) as usize % self.members(unit))
    }

    /// With positives from edges, at most `most` of the others ask.
    fn example(&self, unit: usize, member: usize, most: usize, rng: &mut StdRng) -> Option<Example> {
        let mut together = Vec::new();
        let (query, positive) = match &self.form {
            Form::Pairs(pairs) => (vec![pairs[unit].0], pairs[unit].1),
            Form::Edges { lists, .. } => {
                let (relation, node) = lists[unit];
                let list = self.snapshot.list(relation, node);
                together.extend(list.neighbors().take(TOGETHER).filter_map(|node| self.state.row(node)));
                let positive = self.state.row(list.neighbor(member))?;
                if let Some(owner) = self.state.row(node)
                    && rng.random_bool(OWNER_QUERIES)
                {
                    return Some(Example { query: vec![owner], positive, together, hard: Vec::new() });
                }
                let others = list.degree() - 1;
                let chosen = index::sample(rng, others, others.min(most).min(TOGETHER));
                let query: Vec<u32> = chosen
                    .iter()
                    .map(|other| if other >= member { other + 1 } else { other })
                    .filter_map(|other| self.state.row(list.neighbor(other)))
                    .collect();
                (query, positive)
            }
            Form::Walks { walkers, rows, .. } => {
                let source = self.state.nodes[rows[unit] as usize];
                let kind = self.snapshot.kind_name(self.snapshot.kind(source));
                let policy = self.state.recipe.policies.iter().position(|policy| policy.kind == kind)?;
                let visited = walkers[policy].walk(source, member as u32).find(|&node| node != source)?;
                (vec![rows[unit]], self.state.row(visited)?)
            }
        };
        (!query.is_empty()).then_some(Example { query, positive, together, hard: Vec::new() })
    }

    fn id(&self, row: u32) -> u64 {
        self.snapshot.stable_id(self.state.nodes[row as usize]).get()
    }
}

/// The part that a list is of, whatever else there is.
fn part_of(id: StableId, seed: u64) -> usize {
    (xxh3_64_with_seed(&id.get().to_le_bytes(), seed ^ 0x7061_7274) % PARTS as u64) as usize
}

/// Every list through which two embedded nodes hang together, in the order of the relations' names and the
/// nodes' stable ids.
fn edges<'a>(seed: u64, snapshot: &Snapshot, state: &State) -> Form<'a> {
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
    let mut all = Part::default();
    let mut parts: Vec<Part> = (0..PARTS).map(|_| Part::default()).collect();
    for (list, &(relation, node)) in (0..).zip(&lists) {
        let degree = snapshot.list(relation, node).degree() as f64;
        all.add(list, degree);
        parts[part_of(snapshot.stable_id(node), seed)].add(list, degree);
    }
    if lists.len() < FEW_LISTS || parts.iter().any(|part| part.lists.is_empty()) {
        parts.clear();
    }
    Form::Edges { lists, all, parts }
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
