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
use crate::train::neighbor_lists::NeighborLists;

/// Draws in a row that may all be held out before a source is taken for empty.
const MAX_DRAWS: usize = 1000;

/// The share of examples that ask with one neighbour alone, as `similar` does, instead of with a history.
const SINGLE_QUERY_SHARE: f64 = 0.3;

/// The share of examples in which the node asks whose list it is, where that is embedded too: users and items come to
/// lie in one space.
const OWNER_QUERY_SHARE: f64 = 0.5;

/// The part whose examples come last in an epoch: held-out ones are of it, so that they too are asked in neighbourhoods that
/// do not know their list.
const LAST_FOLD: usize = 0;

/// Members of a list, at most, of which it is known for each example that they are no negatives.
const MAX_RELATED: usize = 1000;

/// A source of examples, in units that each have members: a list and its places, a row and its walks, a pair by
/// itself. Everything is addressed by stable ids and canonical places, so that two stores of the same content
/// train alike. At most one member of a unit is held out.
pub(crate) struct PositiveSource<'a> {
    kind_of_source: SourceKind<'a>,
    snapshot: &'a Snapshot,
    state: &'a State,
    seed: u64,
    /// Of 2^32 units, how many have a member held out.
    held_out_share: u64,
    held_out: usize,
    history: usize,
    positives: usize,
}

enum SourceKind<'a> {
    /// Lists with two or more embedded neighbours.
    Edges(NeighborLists),
    /// Rows with a neighbourhood, and the walkers of their policies.
    Walks { walkers: Vec<Walker<'a>>, rows: Vec<u32>, walks: usize },
    /// Rows.
    Pairs(&'a [(u32, u32)]),
}

/// Examples of one kind, learned from the same neighbourhoods.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct EpochPortion {
    /// Whether one neighbour asks alone; `None`: now and then.
    single: Option<bool>,
    /// The part of the lists that they are from and whose lists are closed to walks; `None`: all lists, and none closed.
    fold: Option<usize>,
    /// Of an epoch's examples.
    pub(crate) share: f64,
}

impl<'a> PositiveSource<'a> {
    /// # Errors
    /// [`Error::NoPositives`] if there is no edge, walk or pair to learn from.
    pub(crate) fn new(
        options: &TrainOptions,
        snapshot: &'a Snapshot,
        state: &'a State,
        pairs: Option<&'a [(u32, u32)]>,
    ) -> Result<Self, Error> {
        let kind_of_source = match (pairs, options.positives) {
            (Some(pairs), _) => SourceKind::Pairs(pairs),
            (None, Positives::Edges) => SourceKind::Edges(NeighborLists::new(options.seed, snapshot, state)),
            (None, Positives::Walks) => walk_source(snapshot, state)?,
        };
        let mut source = Self {
            kind_of_source,
            snapshot,
            state,
            seed: options.seed,
            held_out_share: 0,
            held_out: options.held_out,
            history: options.history,
            positives: 0,
        };
        let units = source.units();
        if units == 0 {
            let reason = match source.kind_of_source {
                SourceKind::Pairs(_) => "the pairs are empty",
                SourceKind::Edges(_) => {
                    "no node has two neighbours of the kinds to embed; add edges or give pairs"
                }
                SourceKind::Walks { .. } => "no walk visits another node twice; add edges or give pairs",
            };
            return Err(Error::NoPositives { reason: reason.to_owned() });
        }
        source.positives = (0..units).map(|unit| source.members(unit)).sum();
        // Small sources keep at least nine tenths for training.
        let most = source.units() / source.folds().max(1);
        let held_out = options.held_out.min(source.positives / 10).min(most);
        source.held_out_share = ((held_out as u64) << 32) / most.max(1) as u64;
        Ok(source)
    }

    /// What an epoch consists of, in this order. What is held out is asked in the neighbourhoods of the last portion.
    pub(crate) fn portions(&self) -> Vec<EpochPortion> {
        let folds = self.folds();
        if folds == 0 {
            return vec![EpochPortion { single: None, fold: None, share: 1.0 }];
        }
        let history = EpochPortion { single: Some(false), fold: None, share: 1.0 - SINGLE_QUERY_SHARE };
        let share = SINGLE_QUERY_SHARE / folds as f64;
        let single =
            (0..folds).rev().map(|fold| EpochPortion { single: Some(true), fold: Some(fold), share });
        std::iter::once(history).chain(single).collect()
    }

    fn folds(&self) -> usize {
        match &self.kind_of_source {
            SourceKind::Edges(lists) => lists.folds(),
            SourceKind::Walks { .. } | SourceKind::Pairs(_) => 0,
        }
    }

    /// By node, whether walks must not step on it in a portion's neighbourhoods; `None` if they may on all.
    pub(crate) fn excluded_nodes(&self, portion: &EpochPortion) -> Option<Vec<bool>> {
        let SourceKind::Edges(lists) = &self.kind_of_source else { return None };
        Some(lists.excluded_nodes(portion.fold?, self.snapshot))
    }

    /// How many positives there are.
    pub(crate) fn len(&self) -> usize {
        self.positives
    }

    /// An example of a portion that is not held out; `None` from one that seems to hold none.
    pub(crate) fn draw(&self, portion: &EpochPortion, rng: &mut StdRng) -> Option<Example> {
        (0..MAX_DRAWS).find_map(|_| {
            let single = portion.single.unwrap_or_else(|| rng.random_bool(SINGLE_QUERY_SHARE));
            let unit = match &self.kind_of_source {
                SourceKind::Edges(lists) => lists.draw(portion.fold, single, rng)?,
                SourceKind::Walks { .. } | SourceKind::Pairs(_) => rng.random_range(0..self.units()),
            };
            let member = rng.random_range(0..self.members(unit));
            let most = if single { 1 } else { self.history };
            if self.held_out_member(unit) == Some(member) {
                None
            } else {
                self.example(unit, member, most, rng)
            }
        })
    }

    /// The examples that training never sees.
    pub(crate) fn held_out(&self) -> Vec<Example> {
        let mut rng = StdRng::seed_from_u64(self.seed ^ 0x6865_6c64);
        let all = (0..self.units())
            .filter_map(|unit| self.example(unit, self.held_out_member(unit)?, usize::MAX, &mut rng));
        all.take(self.held_out).collect()
    }

    fn units(&self) -> usize {
        match &self.kind_of_source {
            SourceKind::Edges(lists) => lists.len(),
            SourceKind::Walks { rows, .. } => rows.len(),
            SourceKind::Pairs(pairs) => pairs.len(),
        }
    }

    fn members(&self, unit: usize) -> usize {
        match &self.kind_of_source {
            SourceKind::Edges(lists) => {
                let (relation, node) = lists.get(unit);
                self.snapshot.list(relation, node).degree()
            }
            SourceKind::Walks { walks, .. } => *walks,
            SourceKind::Pairs(_) => 1,
        }
    }

    /// The member of a unit that is held out, if one is.
    fn held_out_member(&self, unit: usize) -> Option<usize> {
        if let SourceKind::Edges(lists) = &self.kind_of_source
            && !lists.is_in_fold(LAST_FOLD, unit, self.snapshot)
        {
            return None;
        }
        let id = match &self.kind_of_source {
            SourceKind::Edges(lists) => self.snapshot.stable_id(lists.get(unit).1).get(),
            SourceKind::Walks { rows, .. } => self.id(rows[unit]),
            SourceKind::Pairs(pairs) => self.id(pairs[unit].0) ^ self.id(pairs[unit].1).rotate_left(1),
        };
        let hash = xxh3_64_with_seed(&id.to_le_bytes(), self.seed);
        (hash >> 32 < self.held_out_share).then(|| (hash & 0xffff_ffff) as usize % self.members(unit))
    }

    /// With positives from edges, at most `most` of the others ask.
    fn example(&self, unit: usize, member: usize, most: usize, rng: &mut StdRng) -> Option<Example> {
        let mut related = Vec::new();
        let (query, positive) = match &self.kind_of_source {
            SourceKind::Pairs(pairs) => (vec![pairs[unit].0], pairs[unit].1),
            SourceKind::Edges(lists) => {
                let (relation, node) = lists.get(unit);
                let list = self.snapshot.list(relation, node);
                related.extend(list.neighbors().take(MAX_RELATED).filter_map(|node| self.state.row(node)));
                let positive = self.state.row(list.neighbor(member))?;
                if let Some(owner) = self.state.row(node)
                    && rng.random_bool(OWNER_QUERY_SHARE)
                {
                    return Some(Example {
                        query: vec![owner],
                        positive,
                        related,
                        hard_negatives: Vec::new(),
                    });
                }
                let others = list.degree() - 1;
                let chosen = index::sample(rng, others, others.min(most).min(MAX_RELATED));
                let query: Vec<u32> = chosen
                    .iter()
                    .map(|other| if other >= member { other + 1 } else { other })
                    .filter_map(|other| self.state.row(list.neighbor(other)))
                    .collect();
                (query, positive)
            }
            SourceKind::Walks { walkers, rows, .. } => {
                let source = self.state.nodes[rows[unit] as usize];
                let kind = self.snapshot.kind_name(self.snapshot.kind(source));
                let policy = self.state.recipe.policies.iter().position(|policy| policy.kind == kind)?;
                let visited = walkers[policy].walk(source, member as u32).find(|&node| node != source)?;
                (vec![rows[unit]], self.state.row(visited)?)
            }
        };
        (!query.is_empty()).then_some(Example { query, positive, related, hard_negatives: Vec::new() })
    }

    fn id(&self, row: u32) -> u64 {
        self.snapshot.stable_id(self.state.nodes[row as usize]).get()
    }
}

fn walk_source<'a>(snapshot: &'a Snapshot, state: &'a State) -> Result<SourceKind<'a>, Error> {
    let recipe = &state.recipe;
    let walkers = recipe.policies.iter().map(|policy| Walker::new(snapshot, recipe.walks, policy));
    let walkers = walkers.collect::<Result<Vec<_>, _>>()?;
    let mut rows: Vec<u32> =
        state.alive_rows().filter(|&row| !state.neighborhoods[row as usize].is_empty()).collect();
    rows.sort_by_key(|&row| snapshot.stable_id(state.nodes[row as usize]));
    Ok(SourceKind::Walks { walkers, rows, walks: recipe.walks.walks as usize })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use hedgerow_storage::{Batch, CancelToken, Edge, NodeIx, NodeRef, RelationIx, Snapshot, Store};
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::{Example, PositiveSource};
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
        let source = PositiveSource::new(&options, &snapshot, &state, None).expect("there are positives");
        let mut rng = StdRng::seed_from_u64(1);
        let whole = state.importances(&state.alive_rows().collect::<Vec<_>>());
        let (mut folds, mut seen) = (BTreeSet::new(), 0);
        for portion in source.portions().iter().filter(|portion| portion.fold.is_some()) {
            let excluded = source.excluded_nodes(portion).expect("a part has lists");
            folds.insert(excluded.clone());
            let pool =
                state.importances_excluding(&snapshot, &excluded, &CancelToken::new()).expect("importances");
            for _ in 0..300 {
                let example = source.draw(portion, &mut rng).expect("the part has lists");
                assert_eq!(example.query.len(), 1);
                assert!(excluded[shared(&snapshot, &state, &example).index()]);
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
        assert_eq!(folds.len(), crate::train::neighbor_lists::FOLDS, "every part closes lists of its own");
        assert!(seen > 200, "in the whole graph the answer is there to be read off: {seen}");
        let open = source.portions().into_iter().filter(|portion| portion.fold.is_none());
        assert!(
            open.map(|portion| source.excluded_nodes(&portion)).eq([None]),
            "a history asks in the whole graph"
        );
    }

    #[test]
    fn what_is_held_out_is_never_drawn_and_is_of_the_part_that_is_closed_last() {
        let folder = tempfile::tempdir().expect("a folder");
        let snapshot = chain(folder.path(), 300).snapshot();
        let (options, state) = (options(), state(&snapshot));
        let source = PositiveSource::new(&options, &snapshot, &state, None).expect("there are positives");
        let portions = source.portions();
        let excluded = source.excluded_nodes(&portions[portions.len() - 1]).expect("a part has lists");
        let held: BTreeSet<(NodeIx, u32)> =
            source.held_out().iter().map(|e| (shared(&snapshot, &state, e), e.positive)).collect();
        assert!(held.len() > 10, "{} are held out", held.len());
        assert!(held.iter().all(|(board, _)| excluded[board.index()]));
        let mut rng = StdRng::seed_from_u64(2);
        for portion in portions.iter().cycle().take(20) {
            for _ in 0..200 {
                let example = source.draw(portion, &mut rng).expect("there are examples");
                let board = shared(&snapshot, &state, &example);
                assert!(!held.contains(&(board, example.positive)));
                let list = snapshot.list(RelationIx::new(0), board);
                let members: BTreeSet<u32> = list.neighbors().filter_map(|node| state.row(node)).collect();
                assert_eq!(example.related.iter().copied().collect::<BTreeSet<_>>(), members);
            }
        }
    }

    #[test]
    fn few_lists_are_learned_from_as_they_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let snapshot = chain(folder.path(), 20).snapshot();
        let (options, state) = (options(), state(&snapshot));
        let source = PositiveSource::new(&options, &snapshot, &state, None).expect("there are positives");
        assert_eq!(source.portions().iter().map(|portion| portion.fold).collect::<Vec<_>>(), [None]);
    }
}
