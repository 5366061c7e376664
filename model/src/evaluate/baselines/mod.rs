//! Baselines: rankings by closed forms, counts and factors of the graph, to compare a model with. Of the embeddings they know only which
//! nodes have one.

mod held_out_edges;
mod implicit_als;
mod incidence;
mod pixie;
mod popularity;
mod ranking;
mod rp3beta;
mod token_cosine;

use std::fmt;

use hedgerow_storage::{CancelToken, NodeIx};
use hedgerow_walker::{Cooccurrence, Policy};
use rayon::prelude::*;

use crate::config::error::Error;
use crate::evaluate::baselines::implicit_als::ImplicitAls;
use crate::evaluate::baselines::incidence::Incidence;
use crate::evaluate::baselines::popularity::Popularity;
use crate::evaluate::baselines::rp3beta::{HopSums, Rp3Beta};
use crate::evaluate::baselines::token_cosine::TokenCosine;
use crate::evaluate::candidates::Candidates;
use crate::query::scan::RankCount;

/// Queries of a task, which share the memory of the sums.
const QUERIES_PER_TASK: usize = 32;

/// A ranking without the model.
///
/// For a user, each baseline ranks by the user's history. If it has fewer answers than the question asks for, the most popular items
/// follow, as in [`Engine::recommend`](crate::Engine::recommend). Settings that a baseline leaves open are chosen on edges that are held
/// out of the graph, never on the test data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Baseline {
    /// By degree, the same for every query.
    Popularity,
    /// By the cosine of neighbor sets, see [`Cooccurrence`]; for a history, by the sum of the cosines with its nodes.
    ///
    /// Source: Deshpande and Karypis, "Item-based top-N recommendation algorithms" (ACM TOIS 22, 2004), with all neighbors.
    Cooccurrence,
    /// By the probability of walks of two hops from the history, damped by the degree of the item reached. Both exponents are fitted.
    ///
    /// Source: Paudel et al., "Updatable, accurate, diverse, and scalable recommendations for interactive applications" (ACM TIIS 7,
    /// 2017), with exact sums in place of walks.
    Rp3Beta,
    /// By the visits of walks from the history, see [`pixie`](hedgerow_walker::pixie()), with its default options.
    Pixie,
    /// By vectors of 64 numbers from alternating least squares over all pairs of lists and items; for an item, by the cosine. Both
    /// weights of the loss are fitted.
    ///
    /// Source: Hu et al., "Collaborative filtering for implicit feedback datasets" (ICDM 2008), in the form of Rendle et al.,
    /// "Revisiting the performance of `iALS` on item recommendation benchmarks" (`RecSys` 2022).
    ImplicitAls,
    /// By the cosine of tokens, weighted by the logarithm of their rarity, times the logarithm of the degree; for a history, by the sum
    /// over its nodes. Only for items that have tokens.
    ///
    /// Source: Salton and Buckley, "Term-weighting approaches in automatic text retrieval" (1988).
    TokenCosine,
}

impl Baseline {
    /// All baselines.
    pub const ALL: [Self; 6] = [
        Self::Popularity,
        Self::Cooccurrence,
        Self::Rp3Beta,
        Self::Pixie,
        Self::ImplicitAls,
        Self::TokenCosine,
    ];

    /// The baselines that can rank these candidates.
    pub(super) fn able_to_rank(candidates: &Candidates<'_>) -> impl Iterator<Item = Self> + use<> {
        let has_tokens = candidates.items.iter().any(|&item| !candidates.snapshot.tokens(item).is_empty());
        Self::ALL.into_iter().filter(move |&baseline| baseline != Self::TokenCosine || has_tokens)
    }

    /// The name, one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Popularity => "popularity",
            Self::Cooccurrence => "cooccurrence",
            Self::Rp3Beta => "rp3beta",
            Self::Pixie => "pixie",
            Self::ImplicitAls => "implicit_als",
            Self::TokenCosine => "token_cosine",
        }
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The task that a baseline ranks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Items for a history.
    Recommend,
    /// Items for one item.
    Related,
}

/// A baseline over the candidates, ready to rank.
pub(super) struct Ranking<'a> {
    candidates: &'a Candidates<'a>,
    ranker: Ranker,
}

/// The data of each baseline that are computed before its first answer.
enum Ranker {
    Popularity(Popularity),
    Cooccurrence,
    Rp3Beta(Rp3Beta),
    Pixie(Policy),
    ImplicitAls(ImplicitAls),
    TokenCosine(TokenCosine),
}

impl<'a> Ranking<'a> {
    pub(super) fn new(
        candidates: &'a Candidates<'a>,
        baseline: Baseline,
        task: Task,
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        let Candidates { snapshot, kind, .. } = *candidates;
        let ranker = match baseline {
            Baseline::Popularity => Ranker::Popularity(Popularity::new(candidates)),
            Baseline::Cooccurrence => Ranker::Cooccurrence,
            Baseline::Rp3Beta => Ranker::Rp3Beta(Rp3Beta::fitted(Incidence::new(snapshot, kind), task)),
            Baseline::Pixie => Ranker::Pixie(Policy::default_for(snapshot, kind)),
            Baseline::ImplicitAls => {
                Ranker::ImplicitAls(ImplicitAls::fitted(Incidence::new(snapshot, kind), task, cancel)?)
            }
            Baseline::TokenCosine => Ranker::TokenCosine(TokenCosine::new(candidates)),
        };
        Ok(Self { candidates, ranker })
    }

    /// The best `k` items for each history, without the history itself.
    pub(super) fn answers(
        &self,
        histories: &[&[NodeIx]],
        k: usize,
        cancel: &CancelToken,
    ) -> Result<Vec<Vec<NodeIx>>, Error> {
        self.each_scored(histories, cancel, |at, scored| {
            ranking::best(self.candidates, scored, histories[at], k)
        })
    }

    /// The rank of the second node of each pair for the first.
    pub(super) fn rank_counts(
        &self,
        pairs: &[(NodeIx, NodeIx)],
        cancel: &CancelToken,
    ) -> Result<Vec<RankCount>, Error> {
        if let Ranker::Popularity(popularity) = &self.ranker {
            return Ok(pairs.iter().map(|&pair| popularity.rank_count(self.candidates, pair)).collect());
        }
        let queries: Vec<&[NodeIx]> = pairs.iter().map(|(query, _)| std::slice::from_ref(query)).collect();
        self.each_scored(&queries, cancel, |at, scored| {
            let (query, item) = pairs[at];
            ranking::rank_count(self.candidates, scored, query, item)
        })
    }

    /// Hands over the scores for each history, with its place. Nodes that are not listed have score 0, and nodes of the history are not
    /// listed.
    fn each_scored<A: Send>(
        &self,
        histories: &[&[NodeIx]],
        cancel: &CancelToken,
        answer: impl Fn(usize, &[(NodeIx, f64)]) -> A + Sync,
    ) -> Result<Vec<A>, Error> {
        let tasks = histories.par_chunks(QUERIES_PER_TASK).enumerate().map(|(task, histories)| {
            let mut answers = Vec::with_capacity(histories.len());
            self.score(histories, cancel, |scored| {
                answers.push(answer(task * QUERIES_PER_TASK + answers.len(), scored));
            })?;
            Ok(answers)
        });
        Ok(tasks.collect::<Result<Vec<Vec<A>>, Error>>()?.into_iter().flatten().collect())
    }

    /// Scores for some histories, in their order.
    fn score(
        &self,
        histories: &[&[NodeIx]],
        cancel: &CancelToken,
        mut answer: impl FnMut(&[(NodeIx, f64)]),
    ) -> Result<(), Error> {
        match &self.ranker {
            Ranker::Popularity(_) => histories.iter().for_each(|_| answer(&[])),
            Ranker::Cooccurrence => {
                let mut cooccurrence = Cooccurrence::new(self.candidates.snapshot);
                for history in histories {
                    answer(&cooccurrence.cosine_sums(history, cancel)?);
                }
            }
            Ranker::Rp3Beta(rp3beta) => {
                let mut sums = HopSums::new(&rp3beta.incidence);
                for history in histories {
                    cancel.check()?;
                    let Rp3Beta { incidence, .. } = rp3beta;
                    let scored = rp3beta.scores(&incidence.numbers_of(history), &mut sums);
                    let node = |(item, score): (u32, f64)| (incidence.items[item as usize], score);
                    answer(&scored.into_iter().map(node).collect::<Vec<_>>());
                }
            }
            Ranker::Pixie(policy) => {
                for history in histories {
                    cancel.check()?;
                    answer(&pixie::scores(self.candidates, policy, history)?);
                }
            }
            Ranker::TokenCosine(tokens) => {
                for history in histories {
                    cancel.check()?;
                    answer(&tokens.scores(self.candidates, history));
                }
            }
            Ranker::ImplicitAls(als) => {
                cancel.check()?;
                let ImplicitAls { incidence, .. } = als;
                let numbers: Vec<Vec<u32>> =
                    histories.iter().map(|history| incidence.numbers_of(history)).collect();
                let scores = als.scores(&numbers.iter().map(Vec::as_slice).collect::<Vec<_>>());
                for (history, scores) in numbers.iter().zip(scores.chunks_exact(incidence.items.len().max(1)))
                {
                    let others = incidence.items.iter().zip(scores).enumerate();
                    let others =
                        others.filter(|(number, _)| history.binary_search(&(*number as u32)).is_err());
                    // A user without a history gets the most popular items.
                    let others = others.filter(|_| !history.is_empty());
                    answer(&others.map(|(_, (&item, &score))| (item, f64::from(score))).collect::<Vec<_>>());
                }
            }
        }
        Ok(())
    }
}
