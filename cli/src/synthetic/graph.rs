//! The generator: how large a graph is, its topics, words, boards and edges, and how they are written.

use hedgerow::{Batch, BulkLoad, CancelToken, Error, NodeIx, NodeRef, Store};

use crate::synthetic::degrees::Degrees;
use crate::synthetic::random::{PowerLaw, Random};

/// Of a hundred words, how many every topic uses.
const COMMON_PERCENT: u64 = 30;
const TOPIC_WORDS: u64 = 24;
const COMMON_WORDS: u64 = 200;
/// Neighboring topics share half of their words, so that words alone do not give the topic away.
const TOPIC_STRIDE: u64 = TOPIC_WORDS / 2;
const FEWEST_WORDS: u64 = 3;
const MOST_WORDS: u64 = 7;
/// Draws of an item that the board does not hold yet, before any item will do.
const TRIES: u32 = 16;
/// Changes of a commit.
const BATCH: usize = 10_000;
/// Items whose words are committed between two checkpoints, which free their memory.
const ITEMS_PER_CHECKPOINT: u32 = 4_000_000;
/// Nodes of a store over its life.
const MOST_NODES: u64 = u32::MAX as u64;
/// Bytes of a graph that is generated and of its store, measured with up to 10,000,000 nodes and 200,000,000 edges and rounded up: in
/// any case, for an item, for one whose words are not in a checkpoint yet, for a board, an edge and a topic.
const BYTES: [u64; 6] = [64 << 20, 150, 450, 100, 14, 100];

/// The size of a graph, the law of its degrees, and the seed: equal plans give equal graphs.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Nodes pin:0, pin:1, ..
    pub items: u32,
    /// Nodes board:0, board:1, ..
    pub boards: u32,
    /// Edges between boards and pins; about as many with [`Degrees::Even`].
    pub edges: u64,
    /// Topics, which are drawn for pins and boards alike.
    pub topics: u32,
    /// The law of degrees at both ends.
    pub degrees: Degrees,
    /// The seed of all draws.
    pub seed: u64,
}

impl Plan {
    /// Refuses a plan that cannot be met: one without items or boards, with more nodes than a store numbers, or with more
    /// edges than half of all possible ones.
    ///
    /// # Errors
    /// A sentence for people.
    pub fn validate(&self) -> Result<(), String> {
        let most = u64::from(self.items) * u64::from(self.boards) / 2;
        if self.items == 0 || self.boards == 0 || self.topics == 0 {
            return Err("items, boards and topics must be 1 or more".to_owned());
        }
        if self.edges > most {
            return Err(format!("{} edges are too many for so few nodes, the most is {most}", self.edges));
        }
        let nodes = u64::from(self.items) + u64::from(self.boards);
        if nodes > MOST_NODES {
            return Err(format!(
                "{nodes} items and boards are too many, a store has at most {MOST_NODES} nodes"
            ));
        }
        Ok(())
    }

    /// About the memory that the graph and a store of it take, in bytes.
    pub fn memory(&self) -> u64 {
        let Self { items, boards, edges, topics, .. } = *self;
        let counts =
            [1, items.into(), items.min(ITEMS_PER_CHECKPOINT).into(), boards.into(), edges, topics.into()];
        counts
            .iter()
            .zip(BYTES)
            .fold(0, |sum: u64, (count, bytes)| sum.saturating_add(count.saturating_mul(bytes)))
    }

    /// The most items of a board.
    fn largest_board(&self) -> u64 {
        u64::from(self.items / 2).max(1)
    }
}

/// A graph with planted topics: its edges are drawn when it is written.
#[derive(Debug)]
pub struct SyntheticGraph {
    plan: Plan,
    random: Random,
    topics: Vec<u32>,
    drawer: Option<Drawer>,
}

impl SyntheticGraph {
    /// A graph whose items have their topics.
    pub fn new(plan: Plan) -> Self {
        let mut random = Random::new(plan.seed);
        let topics = (0..plan.items).map(|_| random.below(u64::from(plan.topics)) as u32).collect();
        Self { plan, random, topics, drawer: None }
    }

    /// The topic of every item, by its number.
    pub fn topics(&self) -> &[u32] {
        &self.topics
    }

    /// The generator, for what else a graph is given.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// Writes the graph into an empty store: all nodes and edges as a bulk load, then words in batches.
    ///
    /// Memory: that of the load, 8 bytes an edge and those of its nodes. Words are drawn twice, so that they are not kept meanwhile.
    ///
    /// # Errors
    /// Those of a load and of a commit, and a cancellation.
    pub fn write(&mut self, store: &Store, cancel: &CancelToken) -> Result<(), Error> {
        let mut random = self.random.clone();
        for &topic in &self.topics {
            draw_words(topic, &mut self.random);
        }
        let load = self.load(cancel)?;
        store.load(load, cancel)?;
        let mut batch = Batch::new();
        for (item, &topic) in (0_u32..).zip(&self.topics) {
            let words = draw_words(topic, &mut random);
            let words: Vec<String> = words.into_iter().map(|number| format!("word=w{number}")).collect();
            batch.set_tokens(NodeRef::new("pin", &item.to_string())?, &words)?;
            commit_full(store, &mut batch, cancel)?;
            if (item + 1) % ITEMS_PER_CHECKPOINT == 0 {
                store.checkpoint(cancel)?;
            }
        }
        if !batch.is_empty() {
            store.commit(&batch)?;
        }
        Ok(())
    }

    /// A bulk load of the nodes and edges. Items are numbered first.
    ///
    /// # Errors
    /// A cancellation.
    pub fn load(&mut self, cancel: &CancelToken) -> Result<BulkLoad, Error> {
        let Plan { items, boards, .. } = self.plan;
        let mut load = BulkLoad::new();
        load.nodes("pin", (0..items).map(|item| item.to_string()))?;
        load.nodes("board", (0..boards).map(|board| board.to_string()))?;
        load.edges(None, self.edges(cancel)?, None)?;
        Ok(load)
    }

    /// The edges for a bulk load whose nodes are the items and then the boards; sorted by item.
    ///
    /// # Errors
    /// A cancellation.
    pub fn edges(&mut self, cancel: &CancelToken) -> Result<Vec<(NodeIx, NodeIx)>, Error> {
        let mut edges = Vec::with_capacity(self.plan.edges as usize);
        let first_board = self.plan.items;
        self.for_each_board(|board, items| {
            let board = NodeIx::new(first_board + board);
            edges.extend(items.iter().map(|item| (NodeIx::new(*item), board)));
            Ok(cancel.check()?)
        })?;
        edges.sort_unstable();
        Ok(edges)
    }

    /// The item and the board of one more edge, drawn as those of the graph were.
    ///
    /// # Panics
    /// Before the graph was written: its boards have no topics yet.
    pub fn draw_edge(&mut self) -> (u32, u32) {
        let drawer = self.drawer.as_ref().expect("boards have topics once the graph is written");
        let board = drawer.board_ranks.draw(&mut self.random);
        let item = drawer.item(self.plan, drawer.board_topics[board], &mut self.random);
        (item, board as u32)
    }

    /// The items of a board like those of the graph, which the graph does not hold.
    pub fn draw_board(&mut self) -> Vec<u32> {
        let size = even_size(&self.plan, &mut self.random);
        let Self { plan, random, topics, drawer } = self;
        drawer.get_or_insert_with(|| Drawer::new(plan, topics, random)).board(*plan, size, random)
    }

    /// Draws the boards one after another, and gives each with its items to `put`.
    fn for_each_board(&mut self, mut put: impl FnMut(u32, &[u32]) -> Result<(), Error>) -> Result<(), Error> {
        let sizes = self.board_sizes();
        let mut drawer = Drawer::new(&self.plan, &self.topics, &mut self.random);
        for (board, size) in (0..).zip(sizes) {
            let items = drawer.board(self.plan, size, &mut self.random);
            put(board, &items)?;
        }
        self.drawer = Some(drawer);
        Ok(())
    }

    /// Sizes that add up to the number of edges, none above half of the items.
    fn board_sizes(&mut self) -> Vec<u64> {
        let (boards, limit) = (self.plan.boards as usize, self.plan.largest_board());
        if self.plan.degrees == Degrees::Even {
            return (0..boards).map(|_| even_size(&self.plan, &mut self.random)).collect();
        }
        let ranks = self.plan.degrees.ranks(boards);
        let mut sizes = vec![0u64; boards];
        for _ in 0..self.plan.edges {
            let board = ranks.draw(&mut self.random);
            // A full board passes its edge on to the next one that has room.
            let free = (0..boards).map(|step| (board + step) % boards).find(|board| sizes[*board] < limit);
            let Some(free) = free else { break };
            sizes[free] += 1;
        }
        sizes
    }
}

/// The numbers of the words of an item.
fn draw_words(topic: u32, random: &mut Random) -> Vec<u32> {
    let count = FEWEST_WORDS + random.below(MOST_WORDS - FEWEST_WORDS + 1);
    let word = |_| {
        let common = random.below(100) < COMMON_PERCENT;
        let number = if common {
            random.below(COMMON_WORDS)
        } else {
            COMMON_WORDS + u64::from(topic) * TOPIC_STRIDE + random.below(TOPIC_WORDS)
        };
        number as u32
    };
    (0..count).map(word).collect()
}

/// A size from 2/7 to 12/7 of the mean, about.
fn even_size(plan: &Plan, random: &mut Random) -> u64 {
    let mean = (plan.edges / u64::from(plan.boards)).max(1);
    let (least, most) = (mean / 4 + 1, mean * 7 / 4);
    (least + random.below((most + 1).saturating_sub(least).max(1))).min(plan.largest_board())
}

/// Commits a batch that has grown large enough.
///
/// # Errors
/// Those of a commit, and a cancellation.
pub fn commit_full(store: &Store, batch: &mut Batch, cancel: &CancelToken) -> Result<(), Error> {
    if batch.len() >= BATCH {
        store.commit(batch)?;
        batch.clear();
        cancel.check()?;
    }
    Ok(())
}

/// Draws the items of boards: popular ones more often, mostly of the board's topic.
#[derive(Debug)]
struct Drawer {
    /// Items of each topic, most popular first.
    by_topic: Vec<Vec<u32>>,
    ranks: Vec<PowerLaw>,
    all: Vec<u32>,
    all_ranks: PowerLaw,
    board_ranks: PowerLaw,
    board_topics: Vec<u32>,
    /// For each item, the last board that took it, counted from 1.
    taken: Vec<u32>,
}

impl Drawer {
    fn new(plan: &Plan, topics: &[u32], random: &mut Random) -> Self {
        let mut all: Vec<u32> = (0..plan.items).collect();
        for at in (1..all.len()).rev() {
            all.swap(at, random.below(at as u64 + 1) as usize);
        }
        let mut by_topic = vec![Vec::new(); plan.topics as usize];
        for item in &all {
            by_topic[topics[*item as usize] as usize].push(*item);
        }
        let ranks = by_topic.iter().map(|items| plan.degrees.ranks(items.len())).collect();
        Self {
            by_topic,
            ranks,
            all_ranks: plan.degrees.ranks(all.len()),
            board_ranks: plan.degrees.ranks(plan.boards as usize),
            board_topics: Vec::with_capacity(plan.boards as usize),
            taken: vec![0; all.len()],
            all,
        }
    }

    /// Different items, in no order.
    fn board(&mut self, plan: Plan, size: u64, random: &mut Random) -> Vec<u32> {
        let topic = random.below(self.by_topic.len() as u64) as u32;
        self.board_topics.push(topic);
        let board = self.board_topics.len() as u32;
        let draw = |_| {
            let mut drawn = (0..TRIES).map(|_| self.item(plan, topic, random));
            let fresh = drawn.find(|item| self.taken[*item as usize] != board);
            let item = fresh.unwrap_or_else(|| {
                // The board has most of the popular items: the next that it does not have, from any on.
                let any = random.below(u64::from(plan.items)) as u32;
                let from_any = (any..plan.items).chain(0..any);
                from_any.into_iter().find(|item| self.taken[*item as usize] != board).unwrap_or(any)
            });
            self.taken[item as usize] = board;
            item
        };
        (0..size).map(draw).collect()
    }

    /// An item for an edge of a board of this topic.
    fn item(&self, plan: Plan, board_topic: u32, random: &mut Random) -> u32 {
        let topic = plan.degrees.topic(board_topic, plan.topics, random).map(|topic| topic as usize);
        match topic.filter(|topic| !self.by_topic[*topic].is_empty()) {
            Some(topic) => self.by_topic[topic][self.ranks[topic].draw(random)],
            None => self.all[self.all_ranks.draw(random)],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const PLAN: Plan =
        Plan { items: 400, boards: 100, edges: 3000, topics: 5, degrees: Degrees::Steep, seed: 7 };

    #[test]
    fn board_sizes_follow_a_power_law_and_add_up() {
        let sizes = SyntheticGraph::new(PLAN).board_sizes();
        assert_eq!(sizes.iter().sum::<u64>(), 3000);
        assert!(sizes[..10].iter().sum::<u64>() > 3 * sizes[90..].iter().sum::<u64>());
    }

    #[test]
    fn a_board_holds_each_item_once_and_mostly_its_topic() {
        let mut graph = SyntheticGraph::new(PLAN);
        let mut drawer = Drawer::new(&PLAN, &graph.topics, &mut graph.random);
        let items = drawer.board(PLAN, 40, &mut graph.random);
        let mut counts = [0; 5];
        for &item in &items {
            counts[graph.topics[item as usize] as usize] += 1;
        }
        assert_eq!(items.iter().collect::<BTreeSet<_>>().len(), 40);
        assert!(counts.iter().any(|count| *count > 20), "{counts:?}");
    }

    #[test]
    fn a_store_holds_the_items_boards_words_and_edges_that_are_drawn() {
        let cancel = CancelToken::new();
        for degrees in [Degrees::Steep, Degrees::Flat, Degrees::Even] {
            let folder = tempfile::tempdir().expect("a folder");
            let store = Store::options().create(true).open(folder.path().join("store")).expect("created");
            let plan = Plan { degrees, ..PLAN };
            SyntheticGraph::new(plan).write(&store, &cancel).expect("written");
            let snapshot = store.snapshot();
            assert_eq!(snapshot.node_count(), 500);
            let mut again = SyntheticGraph::new(plan);
            let pin = |item: u32| {
                let key = item.to_string();
                snapshot.require(NodeRef { kind: "pin", key: &key }).expect("a pin")
            };
            for item in 0..plan.items {
                let mut words = draw_words(again.topics[item as usize], &mut again.random);
                let mut found: Vec<u32> = snapshot
                    .tokens(pin(item))
                    .iter()
                    .map(|token| token["word=w".len()..].parse().expect("a number"))
                    .collect();
                words.sort_unstable();
                words.dedup();
                found.sort_unstable();
                assert_eq!(found, words, "pin {item}");
            }
            let edges = again.edges(&cancel).expect("not cancelled");
            for (item, board) in &edges {
                let board = (board.get() - plan.items).to_string();
                let board = snapshot.require(NodeRef { kind: "board", key: &board }).expect("a board");
                let list = snapshot.list(hedgerow::RelationIx::new(0), board);
                assert!(
                    list.neighbors().any(|neighbor| neighbor == pin(item.get())),
                    "{item:?} of {board:?}"
                );
            }
            assert_eq!(snapshot.edge_count(hedgerow::RelationIx::new(0)), edges.len() as u64);
        }
    }
}
