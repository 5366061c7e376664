//! What belongs together: positives drawn from edges, from walks or from the caller's pairs, some of them held
//! out for measuring.

use hedgerow_storage::Snapshot;
use hedgerow_walker::Walker;
use rand::rngs::StdRng;
use rand::seq::index;
use rand::{RngExt, SeedableRng};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::config::error::Error;
use crate::config::options::{Positives, TrainOptions};
use crate::network::minibatch::Example;
use crate::state::state::State;
use crate::train::lists::Lists;

/// Draws in a row that may all be held out before a source is taken for empty.
const MAX_DRAWS: usize = 1000;

/// The share of examples that ask with one neighbour alone, as `similar` does, instead of with a history.
const SINGLE_QUERIES: f64 = 0.3;

/// The share of examples in which the node asks whose list it is, where that is embedded too: users and items come to
/// lie in one space.
const OWNER_QUERIES: f64 = 0.5;

/// The part whose examples come last in an epoch: held-out ones are of it, so that they too are asked in neighbourhoods that
/// do not know their list.
const LAST_PART: usize = 0;

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
    /// Lists with two or more embedded neighbours.
    Edges(Lists),
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
            (None, Positives::Edges) => Form::Edges(Lists::new(options.seed, snapshot, state)),
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
                Form::Edges(_) => "no node has two neighbours of the kinds to embed; add edges or give pairs",
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
            Form::Edges(lists) => lists.parts(),
            Form::Walks { .. } | Form::Pairs(_) => 0,
        }
    }

    /// By node, whether walks must not step on it in a portion's neighbourhoods; `None` if they may on all.
    pub(crate) fn closed(&self, portion: &Portion) -> Option<Vec<bool>> {
        let Form::Edges(lists) = &self.form else { return None };
        Some(lists.closed(portion.part?, self.snapshot))
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
                Form::Edges(lists) => lists.draw(portion.part, single, rng)?,
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
            Form::Edges(lists) => lists.len(),
            Form::Walks { rows, .. } => rows.len(),
            Form::Pairs(pairs) => pairs.len(),
        }
    }

    fn members(&self, unit: usize) -> usize {
        match &self.form {
            Form::Edges(lists) => {
                let (relation, node) = lists.get(unit);
                self.snapshot.list(relation, node).degree()
            }
            Form::Walks { walks, .. } => *walks,
            Form::Pairs(_) => 1,
        }
    }

    /// The member of a unit that is held out, if one is.
    fn held(&self, unit: usize) -> Option<usize> {
        if let Form::Edges(lists) = &self.form
            && !lists.is_of(LAST_PART, unit, self.snapshot)
        {
            return None;
        }
        let id = match &self.form {
            Form::Edges(lists) => self.snapshot.stable_id(lists.get(unit).1).get(),
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
            Form::Edges(lists) => {
                let (relation, node) = lists.get(unit);
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

fn walks<'a>(snapshot: &'a Snapshot, state: &'a State) -> Result<Form<'a>, Error> {
    let recipe = &state.recipe;
    let walkers = recipe.policies.iter().map(|policy| Walker::new(snapshot, recipe.walks, policy));
    let walkers = walkers.collect::<Result<Vec<_>, _>>()?;
    let mut rows: Vec<u32> =
        state.living().filter(|&row| !state.neighborhoods[row as usize].is_empty()).collect();
    rows.sort_by_key(|&row| snapshot.stable_id(state.nodes[row as usize]));
    Ok(Form::Walks { walkers, rows, walks: recipe.walks.walks as usize })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use hedgerow_storage::{Batch, CancelToken, Edge, NodeIx, NodeRef, RelationIx, Snapshot, Store};
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::{Example, Source};
    use crate::config::model_config::ModelConfig;
    use crate::config::options::TrainOptions;
    use crate::linalg::sparse::Sparse;
    use crate::state::state::State;

    /// Boards in a chain, three pins each: every board shares its last pin with the next, so two pins share one board at most,
    /// and the pins in the middle are on one board only.
    fn chain(folder: &std::path::Path, boards: usize) -> Store {
        let store = Store::options().create(true).open(folder).expect("the store opens");
        let mut batch = Batch::new();
        for board in 0..boards {
            for pin in 2 * board..=2 * board + 2 {
                let (board, pin) = (board.to_string(), pin.to_string());
                let ends = (NodeRef { kind: "board", key: &board }, NodeRef { kind: "pin", key: &pin });
                batch.link(ends.0, ends.1, Edge::default()).expect("an edge");
            }
        }
        store.commit(&batch).expect("a commit");
        store
    }

    fn options() -> TrainOptions {
        TrainOptions { targets: vec!["pin".into()], held_out: 30, ..TrainOptions::default() }
    }

    fn state(snapshot: &Snapshot) -> State {
        let recipe = ModelConfig::new(&options(), snapshot).expect("there are pins");
        State::build_neighborhoods(recipe, snapshot, &CancelToken::new()).expect("neighborhoods")
    }

    /// The board that two pins share.
    fn shared(snapshot: &Snapshot, state: &State, example: &Example) -> NodeIx {
        let boards = |row: u32| -> BTreeSet<NodeIx> {
            snapshot.list(RelationIx::new(0), state.nodes[row as usize]).neighbors().collect()
        };
        let common = boards(example.query[0]).intersection(&boards(example.positive)).copied().next();
        common.expect("what belongs together shares a board")
    }

    #[test]
    fn who_asks_alone_is_asked_in_neighbourhoods_that_do_not_know_the_list() {
        let folder = tempfile::tempdir().expect("a folder");
        let snapshot = chain(folder.path(), 300).snapshot();
        let (options, state) = (options(), state(&snapshot));
        let source = Source::new(&options, &snapshot, &state, None).expect("there are positives");
        let mut rng = StdRng::seed_from_u64(1);
        let whole = state.pool(&state.living().collect::<Vec<_>>());
        let (mut parts, mut seen) = (BTreeSet::new(), 0);
        for portion in source.portions().iter().filter(|portion| portion.part.is_some()) {
            let closed = source.closed(portion).expect("a part has lists");
            parts.insert(closed.clone());
            let pool = state.pool_without(&snapshot, &closed, &CancelToken::new()).expect("importances");
            for _ in 0..300 {
                let example = source.draw(portion, &mut rng).expect("the part has lists");
                assert_eq!(example.query.len(), 1);
                assert!(closed[shared(&snapshot, &state, &example).index()]);
                // The one board of a pin in the middle is the only way to it.
                let single = |row: u32| snapshot.degree(state.nodes[row as usize]) == 1;
                if single(example.query[0]) || single(example.positive) {
                    let has = |pool: &Sparse| {
                        pool.row(example.query[0] as usize).any(|(to, _)| to == example.positive)
                    };
                    assert!(!has(&pool));
                    seen += u32::from(has(&whole));
                }
            }
        }
        assert_eq!(parts.len(), crate::train::lists::PARTS, "every part closes lists of its own");
        assert!(seen > 200, "in the whole graph the answer is there to be read off: {seen}");
        let open = source.portions().into_iter().filter(|portion| portion.part.is_none());
        assert!(open.map(|portion| source.closed(&portion)).eq([None]), "a history asks in the whole graph");
    }

    #[test]
    fn what_is_held_out_is_never_drawn_and_is_of_the_part_that_is_closed_last() {
        let folder = tempfile::tempdir().expect("a folder");
        let snapshot = chain(folder.path(), 300).snapshot();
        let (options, state) = (options(), state(&snapshot));
        let source = Source::new(&options, &snapshot, &state, None).expect("there are positives");
        let portions = source.portions();
        let closed = source.closed(&portions[portions.len() - 1]).expect("a part has lists");
        let held: BTreeSet<(NodeIx, u32)> =
            source.held_out().iter().map(|e| (shared(&snapshot, &state, e), e.positive)).collect();
        assert!(held.len() > 10, "{} are held out", held.len());
        assert!(held.iter().all(|(board, _)| closed[board.index()]));
        let mut rng = StdRng::seed_from_u64(2);
        for portion in portions.iter().cycle().take(20) {
            for _ in 0..200 {
                let example = source.draw(portion, &mut rng).expect("there are examples");
                let board = shared(&snapshot, &state, &example);
                assert!(!held.contains(&(board, example.positive)));
                let list = snapshot.list(RelationIx::new(0), board);
                let members: BTreeSet<u32> = list.neighbors().filter_map(|node| state.row(node)).collect();
                assert_eq!(example.together.iter().copied().collect::<BTreeSet<_>>(), members);
            }
        }
    }

    #[test]
    fn few_lists_are_learned_from_as_they_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let snapshot = chain(folder.path(), 20).snapshot();
        let (options, state) = (options(), state(&snapshot));
        let source = Source::new(&options, &snapshot, &state, None).expect("there are positives");
        assert_eq!(source.portions().iter().map(|portion| portion.part).collect::<Vec<_>>(), [None]);
    }
}
