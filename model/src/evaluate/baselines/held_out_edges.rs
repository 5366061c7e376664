//! Held-out edges: questions with a known answer, from edges that are hidden from the graph. Settings of baselines are chosen by them.
//! Must not know test data.

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::evaluate::baselines::Task;
use crate::evaluate::baselines::incidence::Incidence;

/// One of this many edges is hidden, or fewer.
const HIDDEN_PART: u64 = 10;
/// Hidden edges, at most about this many.
const MOST_HIDDEN: usize = 4_000;
/// Questions of a task.
const QUESTIONS_PER_TASK: usize = 32;
/// The last rank that counts.
const LAST_RANK: f64 = 100.0;
const HIDE_SEED: u64 = 0x6869_6465;
const QUERY_SEED: u64 = 0x7175_6572;

/// The graph without the hidden edges, and a question for each of them.
pub(super) struct HeldOutEdges {
    pub(super) incidence: Incidence,
    pub(super) questions: Vec<HeldOutQuestion>,
}

/// A history whose list held one more item.
pub(super) struct HeldOutQuestion {
    /// The other items of the list; for related items, one of them.
    pub(super) history: Vec<u32>,
    /// The hidden item.
    pub(super) item: u32,
    /// The weight of the question. A user counts once in an evaluation, so a question of a long list weighs less.
    pub(super) weight: f64,
}

impl HeldOutEdges {
    /// Edges are hidden by a hash of their ends. A list keeps at least one item.
    pub(super) fn new(all: &Incidence, task: Task) -> Self {
        let edges = all.of_lists.entry_count();
        let part = HIDDEN_PART.max(edges.div_ceil(MOST_HIDDEN) as u64);
        let hash = |list: u32, item: u32, seed: u64| {
            let ends = [all.list_ids[list as usize].get(), all.item_ids[item as usize].get()];
            xxh3_64_with_seed(&[ends[0].to_le_bytes(), ends[1].to_le_bytes()].concat(), seed)
        };
        let is_chosen = |list: u32, item: u32| hash(list, item, HIDE_SEED) % part == 0;
        let keeps_some =
            |list: u32| !all.of_lists.row(list as usize).iter().all(|&item| is_chosen(list, item));
        let incidence = all.filtered(|list, item| !(is_chosen(list, item) && keeps_some(list)));

        let mut questions = Vec::new();
        for (list, items) in (0..).zip(all.of_lists.iter()) {
            let kept = incidence.of_lists.row(list as usize);
            for &item in items.iter().filter(|item| kept.binary_search(item).is_err()) {
                let history = match task {
                    Task::Recommend => kept.to_vec(),
                    Task::Related => vec![kept[(hash(list, item, QUERY_SEED) % kept.len() as u64) as usize]],
                };
                let weight = match task {
                    Task::Recommend => (items.len() as f64).recip(),
                    Task::Related => 1.0,
                };
                questions.push(HeldOutQuestion { history, item, weight });
            }
        }
        Self { incidence, questions }
    }

    /// The sums of figures over all questions. `figures` gives its sums over some of them.
    pub(super) fn sums(&self, figures: impl Fn(&[HeldOutQuestion]) -> Vec<f64> + Send + Sync) -> Vec<f64> {
        let tasks = self.questions.par_chunks(QUESTIONS_PER_TASK).map(figures);
        let add = |mut all: Vec<f64>, task: Vec<f64>| {
            all.resize(task.len(), 0.0);
            all.iter_mut().zip(task).for_each(|(sum, figure)| *sum += figure);
            all
        };
        tasks.collect::<Vec<Vec<f64>>>().into_iter().fold(Vec::new(), add)
    }
}

impl HeldOutQuestion {
    /// The figure of an answer: the discounted gain of the hidden item's rank, `1 / log2(1 + rank)`, or 0 from rank 101 on. `scores` has a
    /// number for each item. Items of the history are not ranked.
    pub(super) fn gain<S: Copy + PartialOrd>(&self, scores: &[S]) -> f64 {
        let level = scores[self.item as usize];
        let (mut higher, mut equal) = (0i64, 0i64);
        let mut count = |score: S, times: i64| {
            higher += times * i64::from(score > level);
            equal += times * i64::from(score == level);
        };
        for &score in scores {
            count(score, 1);
        }
        for &item in self.history.iter().chain([&self.item]) {
            count(scores[item as usize], -1);
        }
        gain(higher as f64, equal as f64)
    }
}

/// The gain of an item behind some items and level with others.
pub(super) fn gain(higher: f64, equal: f64) -> f64 {
    let rank = 1.0 + higher + equal / 2.0;
    if rank > LAST_RANK { 0.0 } else { (1.0 + rank).log2().recip() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::baselines::incidence::{large_incidence, small_incidence};

    #[test]
    fn a_hidden_edge_is_missing_in_the_graph_and_asked_for_with_what_its_list_keeps() {
        let all = large_incidence();
        for task in [Task::Recommend, Task::Related] {
            let held_out = HeldOutEdges::new(&all, task);
            let (before, after) = (all.of_lists.entry_count(), held_out.incidence.of_lists.entry_count());
            assert_eq!(after + held_out.questions.len(), before);
            let share = held_out.questions.len() as f64 / before as f64;
            assert!((0.05..0.15).contains(&share), "{share}");
            assert!(
                held_out.incidence.of_lists.iter().all(|items| !items.is_empty()),
                "a list keeps an item"
            );
            for question in &held_out.questions {
                assert!(!question.history.contains(&question.item));
                assert!(task == Task::Recommend || question.history.len() == 1);
            }
        }
    }

    /// Item 0 is the history. The hidden item 2 is behind 1 and level with 3: rank 2.5.
    #[test]
    fn a_gain_is_that_of_the_rank_among_items_beyond_the_history() {
        let question = HeldOutQuestion { history: vec![0], item: 2, weight: 1.0 };
        assert_eq!(question.gain(&[9.0, 5.0, 4.0, 4.0, -1.0]), 3.5f64.log2().recip());
        let mut many = vec![1.0; 101];
        many[2] = 0.0;
        assert_eq!(question.gain(&many), 101.0f64.log2().recip(), "rank 100");
        many.push(1.0);
        assert_eq!(question.gain(&many), 0.0, "rank 101");
    }

    #[test]
    fn a_graph_without_an_edge_to_hide_has_no_figures() {
        let mut single = small_incidence();
        single = single.filtered(|list, item| list == item);
        let held_out = HeldOutEdges::new(&single, Task::Recommend);
        assert!(held_out.questions.is_empty() && held_out.sums(|_| vec![1.0]).is_empty());
    }
}
