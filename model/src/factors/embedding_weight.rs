//! The weight of embeddings beside the graph filter and the factors: by the ranks of edges that none of them has learned.
//! Must not know how embeddings are computed.

use hedgerow_storage::NodeIx;
use ndarray::Array2;
use rayon::prelude::*;

use crate::factors::held_out_ranking::{HeldOutRanking, PartWeights, RankedBy, RankingQuality};
use crate::linalg::normal_equations::Factor;
use crate::linalg::rows::normalize;

/// The weights that are tried.
const WEIGHTS: [f32; 10] = [0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8];
/// Lists with held-out edges below which embeddings get no weight.
const FEWEST_LISTS: usize = 100;
/// Standard errors by which a larger weight must make the ranking better.
const LEAST_ERRORS: f64 = 0.5;

/// The ranking of held-out edges by the graph filter and the factors, without these edges.
pub(crate) struct HeldOutScores {
    pub(crate) ranking: HeldOutRanking,
    /// The node of each item.
    pub(crate) items: Vec<NodeIx>,
    pub(crate) weights: PartWeights,
    /// `d_j^-c` of each item.
    pub(crate) dampings: Vec<f32>,
    /// `d_j^-e` of each item.
    pub(crate) degree_powers: Vec<f32>,
    /// The factors of the lists.
    pub(crate) q: Vec<Factor>,
    /// The factors of the items.
    pub(crate) z: Vec<Factor>,
}

/// The weight of embeddings in the score of a kind, and the recall of each part on edges that none of them has learned: the share of
/// held-out items among the first 20.
#[derive(Clone, Debug, PartialEq)]
pub struct WeighedEmbeddings {
    /// The kind of the items.
    pub kind: String,
    /// The weight of the cosine; 0 if embeddings do not make the ranking better by more than chance.
    pub weight: f32,
    /// By the graph filter alone.
    pub recall_filter: f64,
    /// By the filter and the factors.
    pub recall_graph: f64,
    /// By the cosine of embeddings alone.
    pub recall_embeddings: f64,
    /// By all parts with their weights.
    pub recall: f64,
    /// Lists with held-out edges.
    pub lists: u64,
}

/// The unit vectors of some histories and of all items.
struct Vectors {
    histories: Array2<f32>,
    items: Array2<f32>,
}

impl HeldOutScores {
    /// Weighs embeddings that have not learned the held-out edges. `vector` gives the unit vector of an item and its weight in a history,
    /// if it has one.
    ///
    /// Cost: four times the scores of all items for each list with a held-out edge. Memory: D numbers for each item and each of these
    /// lists.
    pub(crate) fn weigh_embeddings<'v>(
        &self,
        kind: &str,
        dim: usize,
        vector: impl Fn(NodeIx) -> Option<(&'v [f32], f32)> + Sync,
    ) -> WeighedEmbeddings {
        let vectors = self.vectors(dim, vector);
        let recall = |filter, factors, cosine| self.qualities(filter, factors, &[cosine], &vectors)[0].recall;
        let PartWeights { filter, factors } = self.weights;
        let (weight, quality) = self.best_weight(&vectors);
        WeighedEmbeddings {
            kind: kind.to_owned(),
            weight,
            recall_filter: recall(filter, 0.0, 0.0),
            recall_graph: recall(filter, factors, 0.0),
            recall_embeddings: recall(0.0, 0.0, 1.0),
            recall: quality.recall,
            lists: vectors.histories.nrows() as u64,
        }
    }

    /// The quality of the whole score with the best weight of embeddings, as in [`HeldOutScores::weigh_embeddings`]. `None` if too few
    /// lists have held-out edges to tell.
    ///
    /// Cost: a fourth of [`HeldOutScores::weigh_embeddings`].
    pub(crate) fn quality_with_embeddings<'v>(
        &self,
        dim: usize,
        vector: impl Fn(NodeIx) -> Option<(&'v [f32], f32)> + Sync,
    ) -> Option<RankingQuality> {
        (self.ranking.list_rows().len() >= FEWEST_LISTS)
            .then(|| self.best_weight(&self.vectors(dim, vector)).1)
    }

    fn vectors<'v>(&self, dim: usize, vector: impl Fn(NodeIx) -> Option<(&'v [f32], f32)> + Sync) -> Vectors {
        let mut items = Array2::zeros((self.items.len(), dim));
        for (&item, mut row) in self.items.iter().zip(items.rows_mut()) {
            if let Some((values, _)) = vector(item) {
                row.iter_mut().zip(values).for_each(|(to, value)| *to = *value);
            }
        }
        let histories: Vec<&[(u32, f32)]> = self.ranking.histories().collect();
        let mean = |history: &&[(u32, f32)]| {
            let mut mean = vec![0.0; dim];
            for &(item, strength) in *history {
                let Some((values, influence)) = vector(self.items[item as usize]) else { continue };
                let influence = strength * influence;
                mean.iter_mut().zip(values).for_each(|(sum, value)| *sum += influence * value);
            }
            normalize(&mut mean);
            mean
        };
        let means: Vec<f32> = histories.par_iter().flat_map_iter(mean).collect();
        let means = Array2::from_shape_vec((histories.len(), dim), means).expect("a row for each list");
        Vectors { histories: means, items }
    }

    /// The quality with each weight of the cosine.
    fn qualities(
        &self,
        filter: f32,
        factors: f32,
        cosines: &[f32],
        vectors: &Vectors,
    ) -> Vec<RankingQuality> {
        let weights = PartWeights { filter, factors };
        let ranked_by = RankedBy { weights, dampings: &self.dampings, q: &self.q, z: &self.z };
        let (histories, items) = (vectors.histories.view(), vectors.items.view());
        self.ranking.qualities_with_cosines(ranked_by, &self.degree_powers, cosines, &histories, &items)
    }

    /// The smallest weight that is not worse than the best by more than chance, and its quality.
    fn best_weight(&self, vectors: &Vectors) -> (f32, RankingQuality) {
        let PartWeights { filter, factors } = self.weights;
        let with_weights = self.qualities(filter, factors, &WEIGHTS, vectors);
        let best = with_weights.iter().reduce(|a, b| if b.gain() > a.gain() { b } else { a });
        let is_good =
            |quality: &RankingQuality| best.is_none_or(|best| !best.leads_by(quality, LEAST_ERRORS));
        let is_enough = vectors.histories.nrows() >= FEWEST_LISTS;
        let good = with_weights.iter().position(is_good).filter(|_| is_enough).unwrap_or(0);
        (WEIGHTS[good], with_weights[good].clone())
    }
}

#[cfg(test)]
mod tests {
    use hedgerow_storage::NodeIx;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::config::graph_constants::Exponents;
    use crate::factors::edge_sums::Dampings;
    use crate::factors::tests::{edges, item_lists, stored};
    use crate::linalg::normal_equations::RANK;

    /// Scores by the filter alone for lists that each miss one item.
    fn scores() -> HeldOutScores {
        let (_folder, snapshot) = stored(&edges(300, 60, 9));
        let all = item_lists(&snapshot);
        let hidden = all.edges_of_some_lists(&all.hidden_edges(4), 200, 4);
        let lists = all.without(&hidden);
        let exponents = Exponents { history: 0.5, list: 0.5, item: 0.2 };
        let dampings = Dampings::new(&lists, &exponents);
        let ranking = HeldOutRanking::new(&lists, &hidden, &dampings);
        HeldOutScores {
            q: vec![[0.0; RANK]; ranking.list_rows().len()],
            ranking,
            items: lists.items.clone(),
            weights: PartWeights { filter: 0.02, factors: 0.0 },
            dampings: dampings.item,
            degree_powers: vec![1.0; lists.item_count()],
            z: vec![[0.0; RANK]; lists.item_count()],
        }
    }

    /// A unit vector of chance.
    fn random_vector(seed: u64) -> Vec<f32> {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut values: Vec<f32> = (0..16).map(|_| rng.random_range(-1.0..1.0)).collect();
        normalize(&mut values);
        values
    }

    /// Vectors that know which list a hidden item belongs to get a weight, and vectors of chance get none.
    #[test]
    fn embeddings_get_a_weight_only_if_they_know_what_the_others_do_not() {
        let scores = scores();
        let place = |node: NodeIx| scores.items.iter().position(|&item| item == node);
        let weighed = |vectors: &[Vec<f32>]| {
            scores.weigh_embeddings("item", 16, |node| Some((vectors[place(node)?].as_slice(), 1.0)))
        };
        let mut vectors: Vec<Vec<f32>> = (0..scores.items.len()).map(|at| random_vector(at as u64)).collect();
        let of_chance = weighed(&vectors);
        assert_eq!((of_chance.weight, of_chance.recall), (0.0, of_chance.recall_graph));
        assert_eq!(of_chance.recall_filter, of_chance.recall_graph, "there are no factors");

        // An item's vector becomes the sum over the lists that have it.
        for (list, (history, hidden)) in scores.ranking.histories().zip(scores.ranking.hidden()).enumerate() {
            let of_list = random_vector(1000 + list as u64);
            for &item in history.iter().map(|(item, _)| item).chain(hidden) {
                vectors[item as usize].iter_mut().zip(&of_list).for_each(|(sum, value)| *sum += value);
            }
        }
        for vector in &mut vectors {
            normalize(vector);
        }
        let known = weighed(&vectors);
        assert!(known.weight > 0.0 && known.recall > known.recall_graph, "{known:?}");
        assert!(known.recall_embeddings > of_chance.recall_embeddings, "{known:?}");
        assert_eq!(known.lists, scores.ranking.list_rows().len() as u64);
    }
}
