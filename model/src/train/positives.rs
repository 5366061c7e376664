//! Positive examples from edges, from walks or from the caller's pairs. Some are held out for validation. Knows
//! nothing of minibatches.

use std::collections::HashMap;

use hedgerow_storage::{NodeIx, Snapshot};
use hedgerow_walker::{CountedRelations, Walker};
use rand::rngs::StdRng;
use rand::seq::index;
use rand::{RngExt, SeedableRng};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::config::error::Error;
use crate::config::options::{Positives, TrainOptions};
use crate::network::minibatch::Example;
use crate::state::layer_rows::State;
use crate::train::negatives::NodeSet;
use crate::train::neighbor_lists::NeighborLists;

/// Consecutive draws of held-out examples after which a source counts as empty.
const MAX_DRAWS: usize = 1000;

/// The share of queries that are one neighbor, as in `similar`; the others are a history.
const SINGLE_QUERY_SHARE: f64 = 0.3;

/// The share of queries that are the node which has the list, if it is embedded. So users and items share one space.
/// lie in one space.
const OWNER_QUERY_SHARE: f64 = 0.5;

/// The fold that an epoch trains last. All held-out examples are in it, so that validation also ranks in
/// neighborhoods without their lists.
const LAST_FOLD: usize = 0;

/// Related rows per example, at most.
const MAX_RELATED: usize = 1000;

/// One of this many members of a list is held out, at most.
const HELD_OUT_SHARE: usize = 5;

/// A source of examples. It consists of units with members: a list and its neighbors, a row and its walks, or a pair.
///
/// Determinism: units and members are addressed by stable ids and canonical positions, so stores of equal content
/// give equal examples.
pub(crate) struct PositiveSource<'a> {
    kind_of_source: SourceKind<'a>,
    snapshot: &'a Snapshot,
    state: &'a State,
    seed: u64,
    /// The units with held-out members, and these members, ascending. Size: 4 bytes for each of them.
    held_out: HashMap<usize, Vec<u32>>,
    history: usize,
    positives: usize,
    relations: CountedRelations,
}

enum SourceKind<'a> {
    /// Lists with two or more embedded members.
    Edges(NeighborLists),
    /// Rows with a neighborhood, and the walkers of each policy.
    Walks { walkers: Vec<Walker<'a>>, rows: Vec<u32>, walks: usize },
    /// Rows of queries and positives.
    Pairs(&'a [(u32, u32)]),
}

/// A portion of an epoch's examples, which are learned from the same neighborhoods.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct EpochPortion {
    /// Queries are one neighbor, or a history; `None` mixes both.
    single: Option<bool>,
    /// The fold of the lists, whose nodes walks must not step on. `None`: lists of all folds, and all edges.
    pub(crate) fold: Option<usize>,
    /// The share of the epoch's examples.
    pub(crate) share: f64,
}

impl<'a> PositiveSource<'a> {
    /// The source that the options and the caller's pairs ask for.
    ///
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
            held_out: HashMap::new(),
            history: options.history,
            positives: 0,
            relations: state.config.counted(snapshot),
        };
        let units = source.units();
        if units == 0 {
            let reason = match source.kind_of_source {
                SourceKind::Pairs(_) => "the pairs are empty",
                SourceKind::Edges(_) => {
                    "no node has two neighbors of the kinds to embed; add edges or give pairs"
                }
                SourceKind::Walks { .. } => "no walk visits another node twice; add edges or give pairs",
            };
            return Err(Error::NoPositives { reason: reason.to_owned() });
        }
        source.positives = (0..units).map(|unit| source.members(unit)).sum();
        source.held_out = source.choose_held_out(options.held_out);
        Ok(source)
    }

    /// Some members of some units, about as many as asked for, by hash. Small sources keep at least nine tenths for training.
    ///
    /// One member of each unit of the last fold, if these are enough; otherwise up to a fifth of the members of each. A figure over many members of few
    /// lists differs less by chance than one over few members.
    fn choose_held_out(&self, wanted: usize) -> HashMap<usize, Vec<u32>> {
        let wanted = wanted.min(self.positives / 10);
        let is_candidate = |unit: &usize| match &self.kind_of_source {
            SourceKind::Edges(lists) => lists.is_in_fold(LAST_FOLD, *unit, self.snapshot),
            SourceKind::Walks { .. } | SourceKind::Pairs(_) => true,
        };
        let candidates: Vec<usize> = (0..self.units()).filter(is_candidate).collect();
        let share = ((wanted as u64) << 32) / candidates.len().max(1) as u64;
        let each = wanted.div_ceil(candidates.len().max(1));
        let held_out = |unit: usize| {
            let hash = self.hash_of(unit);
            let members = self.members(unit);
            let count = each.min(members / HELD_OUT_SHARE).max(1);
            let mut rng = StdRng::seed_from_u64(hash);
            let drawn = index::sample(&mut rng, members, count).into_iter();
            let liked = drawn.filter(|&member| !self.is_disliked(unit, member));
            let mut chosen: Vec<u32> = liked.map(|member| member as u32).collect();
            chosen.sort_unstable();
            // Lists of a weak relation say less about answers, as they do in training.
            let weight = match &self.kind_of_source {
                SourceKind::Edges(lists) => lists.weight(unit),
                SourceKind::Walks { .. } | SourceKind::Pairs(_) => 1.0,
            };
            (hash >> 32 < (share as f64 * f64::from(weight)) as u64).then_some((unit, chosen))
        };
        candidates.into_iter().filter_map(held_out).collect()
    }

    fn hash_of(&self, unit: usize) -> u64 {
        let id = match &self.kind_of_source {
            SourceKind::Edges(lists) => self.snapshot.stable_id(lists.get(unit).1).get(),
            SourceKind::Walks { rows, .. } => self.id(rows[unit]),
            SourceKind::Pairs(pairs) => self.id(pairs[unit].0) ^ self.id(pairs[unit].1).rotate_left(1),
        };
        xxh3_64_with_seed(&id.to_le_bytes(), self.seed)
    }

    fn is_held_out(&self, unit: usize, member: usize) -> bool {
        is_among(self.held_out_of(unit), member)
    }

    /// True if the member of a list is disliked by the list's node: it is no positive, although it is in the list.
    fn is_disliked(&self, unit: usize, member: usize) -> bool {
        match &self.kind_of_source {
            SourceKind::Edges(lists) if self.relations.has_dislikes() => {
                let (relation, node) = lists.get(unit);
                let member = self.snapshot.list(relation, node).neighbor(member);
                self.relations.is_disliked(self.snapshot, node, member)
            }
            _ => false,
        }
    }

    /// A node that a list's node dislikes, of the kind of the positive: a hard negative. Of many, the first count.
    ///
    /// A disliked pair is drawn about as often as a pair of the list. With two in every example, embeddings of movielens found a third
    /// less: much that is disliked is seen together with what is liked.
    fn draw_disliked(&self, unit: usize, positive: u32, rng: &mut StdRng) -> Vec<u32> {
        let SourceKind::Edges(lists) = &self.kind_of_source else { return Vec::new() };
        if !self.relations.has_dislikes() {
            return Vec::new();
        }
        let kind = self.snapshot.kind(self.state.nodes[positive as usize]);
        let disliked = self.relations.disliked(self.snapshot, lists.get(unit).1);
        let of_kind = disliked.take(MAX_RELATED).filter(|&node| self.snapshot.kind(node) == kind);
        let rows: Vec<u32> = of_kind.filter_map(|node| self.state.row(node)).collect();
        let share = rows.len() as f64 / self.members(unit) as f64;
        if !rows.is_empty() && rng.random_bool(share.min(1.0)) {
            vec![rows[rng.random_range(0..rows.len())]]
        } else {
            Vec::new()
        }
    }

    /// The held-out members of a unit, ascending.
    fn held_out_of(&self, unit: usize) -> &[u32] {
        self.held_out.get(&unit).map_or(&[], Vec::as_slice)
    }

    /// The units and members that are held out, in order.
    fn held_out_members(&self) -> impl Iterator<Item = (usize, usize)> {
        let mut units: Vec<usize> = self.held_out.keys().copied().collect();
        units.sort_unstable();
        units
            .into_iter()
            .flat_map(|unit| self.held_out[&unit].iter().map(move |&member| (unit, member as usize)))
    }

    /// The portions of an epoch, in order. Held-out examples are ranked in the neighborhoods of the last one.
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

    /// The number of folds; 0 if all is learned in the whole graph.
    pub(crate) fn folds(&self) -> usize {
        match &self.kind_of_source {
            SourceKind::Edges(lists) => lists.folds(),
            SourceKind::Walks { .. } | SourceKind::Pairs(_) => 0,
        }
    }

    /// For each node, true if walks must not step on it in the neighborhoods of a fold.
    ///
    /// # Panics
    /// If the fold is not below [`PositiveSource::folds`].
    pub(crate) fn excluded_nodes(&self, fold: usize) -> Vec<bool> {
        match &self.kind_of_source {
            SourceKind::Edges(lists) => lists.excluded_nodes(fold, self.snapshot),
            SourceKind::Walks { .. } | SourceKind::Pairs(_) => unreachable!("only lists have folds"),
        }
    }

    /// The number of positives.
    pub(crate) fn len(&self) -> usize {
        self.positives
    }

    /// Draws an example of a portion that is not held out. Its related rows are those of `among`, if that is given. `None` if
    /// [`MAX_DRAWS`] draws find none.
    pub(crate) fn draw(
        &self,
        portion: &EpochPortion,
        among: Option<&NodeSet>,
        rng: &mut StdRng,
    ) -> Option<Example> {
        (0..MAX_DRAWS).find_map(|_| {
            let single = portion.single.unwrap_or_else(|| rng.random_bool(SINGLE_QUERY_SHARE));
            let unit = match &self.kind_of_source {
                SourceKind::Edges(lists) => lists.draw(portion.fold, single, rng)?,
                SourceKind::Walks { .. } | SourceKind::Pairs(_) => rng.random_range(0..self.units()),
            };
            let member = rng.random_range(0..self.members(unit));
            let most = if single { 1 } else { self.history };
            if self.is_held_out(unit, member) || self.is_disliked(unit, member) {
                return None;
            }
            let mut example = self.example((unit, member), most, among, rng)?;
            example.hard_negatives = self.draw_disliked(unit, example.positive, rng);
            Some(example)
        })
    }

    /// The held-out examples.
    pub(crate) fn held_out(&self) -> Vec<Example> {
        let mut rng = StdRng::seed_from_u64(self.seed ^ 0x6865_6c64);
        let example = |(unit, member)| self.example((unit, member), usize::MAX, None, &mut rng);
        self.held_out_members().filter_map(example).collect()
    }

    /// The list and the member of each held-out example. None unless positives come from edges.
    pub(crate) fn held_out_edges(&self) -> Vec<(NodeIx, NodeIx)> {
        let SourceKind::Edges(lists) = &self.kind_of_source else { return Vec::new() };
        let edge = |(unit, member): (usize, usize)| {
            let (relation, list) = lists.get(unit);
            (list, self.snapshot.list(relation, list).neighbor(member))
        };
        self.held_out_members().map(edge).collect()
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

    /// The example of a unit's member. With positives from edges, the query has at most `most` of the other members, and never a
    /// held-out one: what is learned from a list must not know it. `None` if query or positive are not embedded.
    fn example(
        &self,
        (unit, member): (usize, usize),
        most: usize,
        among: Option<&NodeSet>,
        rng: &mut StdRng,
    ) -> Option<Example> {
        let mut related = Vec::new();
        let (query, positive) = match &self.kind_of_source {
            SourceKind::Pairs(pairs) => (vec![pairs[unit].0], pairs[unit].1),
            SourceKind::Edges(lists) => {
                let (relation, node) = lists.get(unit);
                let list = self.snapshot.list(relation, node);
                // Held-out members may be negatives: a training does not know that they belong to the list.
                let held_out = self.held_out_of(unit);
                let knows_all = is_among(held_out, member);
                let is_related = |(at, node): &(usize, NodeIx)| {
                    among.is_none_or(|among| among.contains(*node))
                        && (knows_all || !is_among(held_out, *at))
                        && !self.is_disliked(unit, *at)
                };
                let neighbors = list.neighbors().take(MAX_RELATED).enumerate().filter(is_related);
                related.extend(neighbors.filter_map(|(_, node)| self.state.row(node)));
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
                    .filter(|&other| !is_among(held_out, other) && !self.is_disliked(unit, other))
                    .filter_map(|other| self.state.row(list.neighbor(other)))
                    .collect();
                (query, positive)
            }
            SourceKind::Walks { walkers, rows, .. } => {
                let source = self.state.nodes[rows[unit] as usize];
                let kind = self.snapshot.kind_name(self.snapshot.kind(source));
                let policy = self.state.config.policies.iter().position(|policy| policy.kind == kind)?;
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

fn is_among(ascending: &[u32], member: usize) -> bool {
    ascending.binary_search(&(member as u32)).is_ok()
}

fn walk_source<'a>(snapshot: &'a Snapshot, state: &'a State) -> Result<SourceKind<'a>, Error> {
    let config = &state.config;
    let walkers = config.policies.iter().map(|policy| Walker::new(snapshot, config.walks, policy));
    let walkers = walkers.collect::<Result<Vec<_>, _>>()?;
    let mut rows: Vec<u32> =
        state.alive_rows().filter(|&row| !state.neighborhoods.get(row).is_empty()).collect();
    rows.sort_by_key(|&row| snapshot.stable_id(state.nodes[row as usize]));
    Ok(SourceKind::Walks { walkers, rows, walks: config.walks.walks as usize })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use hedgerow_storage::{
        Batch, CancelToken, Edge, NodeIx, NodeRef, RelationIx, RelationOptions, Snapshot, Store,
    };
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::{Example, NodeSet, PositiveSource, Walker};
    use crate::config::model_config::ModelConfig;
    use crate::config::options::TrainOptions;
    use crate::linalg::sparse::Sparse;
    use crate::network::importances::Importances;
    use crate::state::layer_rows::State;

    /// A chain of boards with three pins each. Each board shares its last pin with the next, so two pins share at
    /// most one board, and the middle pins are on one board only.
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
        let config = ModelConfig::new(&options(), snapshot).expect("there are pins");
        State::build_neighborhoods(config, snapshot, &CancelToken::new()).expect("neighborhoods")
    }

    /// The board that query and positive share.
    fn shared(snapshot: &Snapshot, state: &State, example: &Example) -> NodeIx {
        let boards = |row: u32| -> BTreeSet<NodeIx> {
            snapshot.list(RelationIx::new(0), state.nodes[row as usize]).neighbors().collect()
        };
        let common = boards(example.query[0]).intersection(&boards(example.positive)).copied().next();
        common.expect("what belongs together shares a board")
    }

    /// Few lists hold out up to a fifth of their members each, and the edges are those of the examples.
    #[test]
    fn few_lists_hold_out_many_members() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::options().create(true).open(folder.path()).expect("the store opens");
        let mut batch = Batch::new();
        for board in 0..120 {
            for pin in 0..20 {
                let (board, pin) = (board.to_string(), (board * 7 + pin).to_string());
                let ends = (NodeRef { kind: "board", key: &board }, NodeRef { kind: "pin", key: &pin });
                batch.link(ends.0, ends.1, Edge::default()).expect("an edge");
            }
        }
        store.commit(&batch).expect("a commit");
        let snapshot = store.snapshot();
        let (options, state) = (TrainOptions { held_out: 100, ..options() }, state(&snapshot));
        let source = PositiveSource::new(&options, &snapshot, &state, None).expect("there are positives");
        let edges = source.held_out_edges();
        let lists: BTreeSet<NodeIx> = edges.iter().map(|(list, _)| *list).collect();
        assert!(edges.len() > 80 && edges.len() <= 4 * lists.len(), "{} of {}", edges.len(), lists.len());
        let positives: Vec<u32> = source.held_out().iter().map(|example| example.positive).collect();
        let of_edges: Vec<u32> = edges.iter().filter_map(|(_, pin)| state.row(*pin)).collect();
        assert_eq!(of_edges, positives);
        let mut rng = StdRng::seed_from_u64(3);
        for example in source.held_out() {
            let at = edges.iter().position(|(_, pin)| state.row(*pin) == Some(example.positive));
            assert!(at.is_some() && example.related.contains(&example.positive));
        }
        for portion in source.portions().iter().cycle().take(40) {
            let example = source.draw(portion, None, &mut rng).expect("there are examples");
            assert!(!example.query.contains(&example.positive));
        }
    }

    #[test]
    fn a_query_of_one_neighbor_is_learned_in_neighborhoods_without_its_list() {
        let folder = tempfile::tempdir().expect("a folder");
        let snapshot = chain(folder.path(), 300).snapshot();
        let (options, state) = (options(), state(&snapshot));
        let source = PositiveSource::new(&options, &snapshot, &state, None).expect("there are positives");
        let mut rng = StdRng::seed_from_u64(1);
        let whole = state.importances(&state.alive_rows().collect::<Vec<_>>());
        let (mut folds, mut seen) = (BTreeSet::new(), 0);
        for portion in source.portions().iter().filter(|portion| portion.fold.is_some()) {
            let excluded = source.excluded_nodes(portion.fold.expect("only folds are here"));
            folds.insert(excluded.clone());
            let shares = state.shares_excluding(&snapshot, &excluded, &CancelToken::new()).expect("shares");
            let pool = Importances::with_shares(&whole, &shares).to_matrix();
            for _ in 0..300 {
                let example = source.draw(portion, None, &mut rng).expect("the part has lists");
                assert_eq!(example.query.len(), 1);
                assert!(excluded[shared(&snapshot, &state, &example).index()]);
                // A middle pin is only reached through its one board.
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
        assert_eq!(open.count(), 1, "a history asks in the whole graph");
    }

    /// The shares of a fold are those of walks that end at its lists.
    #[test]
    fn a_fold_leaves_the_visits_of_walks_that_avoid_its_lists() {
        let folder = tempfile::tempdir().expect("a folder");
        let snapshot = chain(folder.path(), 300).snapshot();
        let (options, state) = (options(), state(&snapshot));
        let source = PositiveSource::new(&options, &snapshot, &state, None).expect("there are positives");
        let policy = &state.config.policies[0];
        let (mut parts, mut none) = (0, 0);
        for fold in 0..source.folds() {
            let excluded = source.excluded_nodes(fold);
            let shares = state.shares_excluding(&snapshot, &excluded, &CancelToken::new()).expect("shares");
            let walker = Walker::new(&snapshot, state.config.walks, policy).expect("a walker");
            let walker = walker.excluding(&excluded);
            let mut shares = shares.into_iter();
            for row in 0..state.rows() as u32 {
                let left = walker.neighborhood(state.nodes[row as usize]);
                for (neighbor, all) in state.neighborhoods.get(row).iter() {
                    let node = state.nodes[neighbor as usize];
                    let left = left.iter().find(|visit| visit.node == node).map_or(0, |visit| visit.count);
                    let share = shares.next().expect("a share for each neighbor");
                    assert_eq!(share == 0, left == 0);
                    let expected = f64::from(left) / f64::from(all);
                    assert!((f64::from(share) / 255.0 - expected).abs() < 1.0 / 255.0, "{share} {expected}");
                    parts += u32::from((1..255).contains(&share));
                    none += u32::from(share == 0);
                }
            }
            assert!(shares.next().is_none());
        }
        assert!(parts > 100 && none > 100, "{parts} {none}");
    }

    #[test]
    fn related_rows_may_be_asked_for_among_some_nodes() {
        let folder = tempfile::tempdir().expect("a folder");
        let snapshot = chain(folder.path(), 300).snapshot();
        let (options, state) = (options(), state(&snapshot));
        let source = PositiveSource::new(&options, &snapshot, &state, None).expect("there are positives");
        let half: Vec<u32> = (0..state.rows() as u32).step_by(2).collect();
        let among = NodeSet::of_rows(&half, &state);
        let mut found = 0;
        for (seed, portion) in (0..300).zip(source.portions().iter().cycle()) {
            let draw = |among| source.draw(portion, among, &mut StdRng::seed_from_u64(seed));
            let mut all = draw(None).expect("there are examples");
            let some = draw(Some(&among)).expect("there are examples");
            all.related.retain(|row| row % 2 == 0);
            found += all.related.len();
            assert_eq!(some, all);
        }
        assert!(found > 100, "{found}");
    }

    #[test]
    fn held_out_examples_are_never_drawn_and_are_in_the_fold_that_is_excluded_last() {
        let folder = tempfile::tempdir().expect("a folder");
        let snapshot = chain(folder.path(), 300).snapshot();
        let (options, state) = (options(), state(&snapshot));
        let source = PositiveSource::new(&options, &snapshot, &state, None).expect("there are positives");
        let portions = source.portions();
        let last = portions[portions.len() - 1].fold.expect("a fold comes last");
        let excluded = source.excluded_nodes(last);
        let held_out: BTreeSet<(NodeIx, u32)> =
            source.held_out().iter().map(|e| (shared(&snapshot, &state, e), e.positive)).collect();
        assert!(held_out.len() > 10, "{} are held out", held_out.len());
        assert!(held_out.iter().all(|(board, _)| excluded[board.index()]));
        let mut rng = StdRng::seed_from_u64(2);
        for portion in portions.iter().cycle().take(20) {
            for _ in 0..200 {
                let example = source.draw(portion, None, &mut rng).expect("there are examples");
                let board = shared(&snapshot, &state, &example);
                assert!(!held_out.contains(&(board, example.positive)));
                let list = snapshot.list(RelationIx::new(0), board);
                let members: BTreeSet<u32> = list
                    .neighbors()
                    .filter_map(|node| state.row(node))
                    .filter(|&row| !held_out.contains(&(board, row)))
                    .collect();
                assert_eq!(example.related.iter().copied().collect::<BTreeSet<_>>(), members);
                assert!(example.query.iter().all(|row| members.contains(row)), "a query knows it");
            }
        }
    }

    /// Each board dislikes its own last pin, and a pin of another board. Neither is a positive or in a query; both are hard negatives.
    #[test]
    fn what_a_list_dislikes_is_a_hard_negative_and_no_positive() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = chain(folder.path(), 300);
        let mut batch = Batch::new();
        let options = RelationOptions { is_dislike: true, ..RelationOptions::default() };
        batch.declare_relation("dislikes", options).expect("options");
        for board in 0..300 {
            for pin in [2 * board + 2, (2 * board + 41) % 600] {
                let (board, pin) = (board.to_string(), pin.to_string());
                let ends = (NodeRef { kind: "board", key: &board }, NodeRef { kind: "pin", key: &pin });
                let edge = Edge { relation: Some("dislikes"), ..Edge::default() };
                batch.link(ends.0, ends.1, edge).expect("an edge");
            }
        }
        store.commit(&batch).expect("a commit");
        let snapshot = store.snapshot();
        let (options, state) = (self::options(), state(&snapshot));
        let source = PositiveSource::new(&options, &snapshot, &state, None).expect("there are positives");
        let number =
            |row: u32| -> usize { snapshot.name(state.nodes[row as usize]).key.parse().expect("a number") };
        let mut rng = StdRng::seed_from_u64(5);
        let drawn = source.portions().into_iter().flat_map(|portion| {
            let examples = (0..200).filter_map(|_| source.draw(&portion, None, &mut rng));
            examples.collect::<Vec<_>>()
        });
        let (drawn, mut negatives) = (drawn.collect::<Vec<_>>(), 0);
        for example in &drawn {
            // The two pins that are left of a board are the first and the second of its three.
            let board = number(example.positive) / 2;
            assert_eq!(number(example.query[0]) / 2, board);
            let disliked = [2 * board + 2, (2 * board + 41) % 600];
            assert!(example.hard_negatives.iter().all(|&row| disliked.contains(&number(row))));
            negatives += example.hard_negatives.len();
            assert!(!example.related.iter().any(|row| example.hard_negatives.contains(row)));
        }
        // Two dislikes beside the three pins of a list.
        let share = negatives as f64 / drawn.len() as f64;
        assert!((share - 2.0 / 3.0).abs() < 0.05, "{share}");
        let held_out = source.held_out();
        assert_eq!(held_out.len(), source.held_out_edges().len());
        assert!(held_out.iter().all(|example| number(example.positive) / 2 == number(example.query[0]) / 2));
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
