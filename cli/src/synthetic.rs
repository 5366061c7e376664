//! A synthetic world whose truth is known: topics, items of one topic each, boards that mostly keep to theirs.
//! Integer arithmetic only, so that the same numbers give the same bytes on every machine and in every version.

use hedgerow::{Batch, CancelToken, Edge, NodeRef, Store};

use crate::core::failure::Failure;

/// Of a hundred edges, how many lead to an item of any topic: people do not sort their boards well.
const NOISE_PERCENT: u64 = 20;
/// Of a hundred words, how many every topic uses.
const COMMON_PERCENT: u64 = 30;
const TOPIC_WORDS: u64 = 24;
const COMMON_WORDS: u64 = 200;
/// Neighbouring topics share half of their words, so that words alone do not give the topic away.
const TOPIC_STRIDE: u64 = TOPIC_WORDS / 2;
const FEWEST_WORDS: u64 = 3;
const MOST_WORDS: u64 = 7;
/// Draws of an item that the board does not hold yet, before any item will do.
const TRIES: u32 = 16;
/// Flattens the head of the power laws: rank r has weight 1 / (r + this).
const HEAD: u64 = 10;
const BATCH: usize = 10_000;

/// How large the world is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) items: u32,
    pub(crate) boards: u32,
    pub(crate) edges: u64,
    pub(crate) topics: u32,
    pub(crate) seed: u64,
}

/// What was planted.
#[derive(Debug)]
pub(crate) struct World {
    plan: Plan,
    random: Random,
    /// The topic of every item.
    pub(crate) topics: Vec<u32>,
}

impl Plan {
    /// Refuses what cannot be made: without items or boards, or with more edges than half of all that could be.
    pub(crate) fn validate(&self) -> Result<(), Failure> {
        let most = u64::from(self.items) * u64::from(self.boards) / 2;
        if self.items == 0 || self.boards == 0 || self.topics == 0 {
            return Err(Failure::Usage("items, boards and topics must be 1 or more".to_owned()));
        }
        if self.edges > most {
            let problem = format!("{} edges are too many for so few nodes, the most is {most}", self.edges);
            return Err(Failure::Usage(problem));
        }
        Ok(())
    }
}

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        let mut random = Random(plan.seed);
        let topics = (0..plan.items).map(|_| random.below(u64::from(plan.topics)) as u32).collect();
        Self { plan, random, topics }
    }

    /// Writes the world into a store: items with their words, then boards with their edges.
    pub(crate) fn write(&mut self, store: &Store, cancel: &CancelToken) -> Result<(), Failure> {
        let mut batch = Batch::new();
        for item in 0..self.plan.items {
            let words = self.words(self.topics[item as usize]);
            batch.set_tokens(NodeRef::new("pin", &item.to_string())?, &words)?;
            commit_full(store, &mut batch, cancel)?;
        }
        let sizes = self.board_sizes();
        let drawer = Drawer::new(&self.topics, self.plan.topics, &mut self.random);
        for (board, size) in sizes.into_iter().enumerate() {
            let key = board.to_string();
            let board = NodeRef::new("board", &key)?;
            batch.add_node(board)?;
            for item in drawer.board(size, &mut self.random) {
                batch.link(board, NodeRef::new("pin", &item.to_string())?, Edge::default())?;
                commit_full(store, &mut batch, cancel)?;
            }
        }
        if !batch.is_empty() {
            store.commit(&batch)?;
        }
        Ok(())
    }

    fn words(&mut self, topic: u32) -> Vec<String> {
        let count = FEWEST_WORDS + self.random.below(MOST_WORDS - FEWEST_WORDS + 1);
        let word = |_| {
            let common = self.random.below(100) < COMMON_PERCENT;
            let number = if common {
                self.random.below(COMMON_WORDS)
            } else {
                COMMON_WORDS + u64::from(topic) * TOPIC_STRIDE + self.random.below(TOPIC_WORDS)
            };
            format!("word=w{number}")
        };
        (0..count).map(word).collect()
    }

    /// Power-law sizes that add up to the number of edges, none above half of the items.
    fn board_sizes(&mut self) -> Vec<u64> {
        let (boards, limit) = (self.plan.boards as usize, u64::from(self.plan.items / 2).max(1));
        let ranks = power_law(boards);
        let mut sizes = vec![0u64; boards];
        let mut open = self.plan.edges;
        while open > 0 {
            let board = ranks.draw(&mut self.random);
            // A full board passes its edge on to the next one that has room.
            let free = (0..boards).map(|step| (board + step) % boards).find(|board| sizes[*board] < limit);
            let Some(free) = free else { break };
            sizes[free] += 1;
            open -= 1;
        }
        sizes
    }
}

/// Commits a batch that has grown large enough.
pub(crate) fn commit_full(store: &Store, batch: &mut Batch, cancel: &CancelToken) -> Result<(), Failure> {
    if batch.len() >= BATCH {
        store.commit(batch)?;
        batch.clear();
        cancel.check()?;
    }
    Ok(())
}

/// Draws the items of boards: popular ones more often, mostly of the board's topic.
struct Drawer {
    items: u64,
    /// Items of each topic, most popular first.
    by_topic: Vec<Vec<u32>>,
    ranks: Vec<Cumulative>,
    all: Vec<u32>,
    all_ranks: Cumulative,
}

impl Drawer {
    fn new(topics: &[u32], count: u32, random: &mut Random) -> Self {
        let mut all: Vec<u32> = (0..topics.len() as u32).collect();
        for at in (1..all.len()).rev() {
            all.swap(at, random.below(at as u64 + 1) as usize);
        }
        let mut by_topic = vec![Vec::new(); count as usize];
        for item in &all {
            by_topic[topics[*item as usize] as usize].push(*item);
        }
        let ranks = by_topic.iter().map(|items| power_law(items.len())).collect();
        let all_ranks = power_law(all.len());
        Self { items: topics.len() as u64, by_topic, ranks, all, all_ranks }
    }

    fn board(&self, size: u64, random: &mut Random) -> Vec<u32> {
        let topic = random.below(self.by_topic.len() as u64) as usize;
        let mut held = std::collections::BTreeSet::new();
        let mut items = Vec::new();
        while (items.len() as u64) < size {
            let item = self.new_item(topic, &held, random);
            held.insert(item);
            items.push(item);
        }
        items
    }

    fn new_item(&self, topic: usize, held: &std::collections::BTreeSet<u32>, random: &mut Random) -> u32 {
        for _ in 0..TRIES {
            let own = random.below(100) >= NOISE_PERCENT && !self.by_topic[topic].is_empty();
            let item = if own {
                self.by_topic[topic][self.ranks[topic].draw(random)]
            } else {
                self.all[self.all_ranks.draw(random)]
            };
            if !held.contains(&item) {
                return item;
            }
        }
        let mut item = random.below(self.items) as u32;
        while held.contains(&item) {
            item = (item + 1) % self.items as u32;
        }
        item
    }
}

/// Weights added up, so that a draw is one search.
#[derive(Debug)]
struct Cumulative(Vec<u64>);

impl Cumulative {
    fn draw(&self, random: &mut Random) -> usize {
        let total = self.0.last().copied().unwrap_or(1);
        let at = random.below(total);
        self.0.partition_point(|sum| *sum <= at)
    }
}

fn power_law(ranks: usize) -> Cumulative {
    let mut sum = 0;
    let weights = (0..ranks as u64).map(|rank| (1u64 << 32) / (rank + HEAD));
    Cumulative(
        weights
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect(),
    )
}

/// The generator `SplitMix64` (Steele, Lea, Flood 2014).
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn board_sizes_follow_a_power_law_and_add_up() {
        let plan = Plan { items: 400, boards: 100, edges: 3000, topics: 5, seed: 7 };
        let sizes = World::new(plan).board_sizes();
        assert_eq!(sizes.iter().sum::<u64>(), 3000);
        assert!(sizes[..10].iter().sum::<u64>() > 3 * sizes[90..].iter().sum::<u64>());
    }

    #[test]
    fn a_board_holds_each_item_once_and_mostly_its_topic() {
        let plan = Plan { items: 400, boards: 100, edges: 3000, topics: 5, seed: 7 };
        let mut world = World::new(plan);
        let drawer = Drawer::new(&world.topics, 5, &mut world.random);
        let items = drawer.board(40, &mut world.random);
        let mut counts = [0; 5];
        for &item in &items {
            counts[world.topics[item as usize] as usize] += 1;
        }
        assert_eq!(items.iter().collect::<std::collections::BTreeSet<_>>().len(), 40);
        assert!(counts.iter().any(|count| *count > 20), "{counts:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers_for_ever() {
        let mut random = Random(1);
        assert_eq!(random.next(), 0x910a_2dec_8902_5cc1);
    }
}
