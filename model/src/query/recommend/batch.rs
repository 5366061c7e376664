//! Recommendations for many users, from one copy of the embeddings: owns how they are ranked together.

use std::collections::HashMap;
use std::sync::OnceLock;

use hedgerow_storage::{KindIx, NodeIx, Snapshot};
use rayon::prelude::*;

use crate::config::error::Error;
use crate::engine::handle::Engine;
use crate::query::embeddings::Embeddings;
use crate::query::query::{Query, Ranked, Recipient};
use crate::query::recommend::cold_start::Cold;
use crate::query::recommend::cold_start::popular;
use crate::query::recommend::{AnswerSource, Answered, Asked, excluded};

/// Answers for many users from the embeddings of one epoch, whatever is refreshed meanwhile.
///
/// Size: a copy of the embeddings.
pub struct Recommender {
    embeddings: Embeddings,
    snapshot: Snapshot,
    options: Query,
    excluded: Vec<u32>,
    /// By kind of the answers, its nodes by degree: found when the first user asks who is not known by anything.
    popular: HashMap<KindIx, OnceLock<Vec<(NodeIx, u64)>>>,
    dirty_nodes: u64,
}

impl Engine {
    /// What answers the same question for many users: as [`Engine::recommend`] does, bit for bit, and faster.
    ///
    /// # Errors
    /// [`Error::NotTrained`]; a kind in `options` that is not embedded.
    /// # Cost
    /// Copies the embeddings.
    pub fn recommender(&self, options: &Query) -> Result<Recommender, Error> {
        let (embeddings, snapshot) =
            self.with_embeddings(|embeddings, snapshot| Ok((embeddings.clone(), snapshot.clone())))?;
        Recommender::new(embeddings, snapshot, options.clone(), self.store().dirty_nodes())
    }
}

impl Recommender {
    pub(crate) fn new(
        embeddings: Embeddings,
        snapshot: Snapshot,
        options: Query,
        dirty_nodes: u64,
    ) -> Result<Self, Error> {
        let targets = embeddings.targets();
        let kinds = options.kind.as_ref().map_or(targets, |kind| vec![kind.clone()]);
        let mut popular = HashMap::new();
        for kind in kinds {
            let kind = embeddings.target_kind(&kind, &snapshot)?;
            popular.insert(kind, OnceLock::new());
        }
        let excluded = excluded(&options, &embeddings, &snapshot).collect();
        Ok(Self { embeddings, snapshot, options, excluded, popular, dirty_nodes })
    }

    /// An answer for each, in their order, or why there is none.
    ///
    /// # Errors
    /// By user, those of [`Engine::recommend`].
    /// # Cost
    /// Users x interests x nodes x D operations, in parallel over nodes; give some hundred at a time.
    pub fn recommend(&self, audiences: &[Recipient]) -> Vec<Result<Ranked, Error>> {
        let ask = |audience| Asked::new(audience, &self.options, &self.embeddings, &self.snapshot);
        let asked: Vec<Result<Asked, Error>> = audiences.par_iter().map(ask).collect();
        let mut refused = Vec::new();
        let mut understood = Vec::new();
        for one in asked {
            match one {
                Ok(asked) => {
                    understood.push(asked);
                    refused.push(None);
                }
                Err(error) => refused.push(Some(error)),
            }
        }
        let answers = self.answers(&understood);
        let ranked = understood.par_iter().zip(answers).map(|(asked, answer)| {
            let (basis, answered) = answer?;
            let Self { embeddings, snapshot, options, dirty_nodes, .. } = self;
            asked.ranked(basis, &answered, options, embeddings, snapshot, *dirty_nodes)
        });
        let mut ranked = ranked.collect::<Vec<Result<Ranked, Error>>>().into_iter();
        let next = |refused: Option<Error>| refused.map_or_else(|| ranked.next(), |error| Some(Err(error)));
        refused.into_iter().filter_map(next).collect()
    }

    /// The nodes found for each, without names and reasons.
    pub(crate) fn nodes(&self, audiences: &[Recipient]) -> Result<Vec<Vec<NodeIx>>, Error> {
        let ask = |audience| Asked::new(audience, &self.options, &self.embeddings, &self.snapshot);
        let asked: Vec<Asked> = audiences.par_iter().map(ask).collect::<Result<_, _>>()?;
        let nodes = |answer: Result<(AnswerSource, Vec<Answered>), Error>| {
            Ok(answer?.1.iter().map(|answered| answered.node).collect())
        };
        self.answers(&asked).into_iter().map(nodes).collect()
    }

    /// What it answers from.
    pub(crate) fn sources(&self) -> (&Embeddings, &Snapshot) {
        (&self.embeddings, &self.snapshot)
    }

    /// What is found for each, in rows.
    fn answers(&self, asked: &[Asked]) -> Vec<Result<(AnswerSource, Vec<Answered>), Error>> {
        let left_out = |asked: &Asked| {
            let seen: &[u32] = if self.options.include_seen { &[] } else { &asked.history };
            let mut rows = [seen, &self.excluded].concat();
            rows.sort_unstable();
            rows
        };
        let left_out: Vec<Vec<u32>> = asked.iter().map(left_out).collect();
        let mut lists: Vec<Vec<_>> = asked.iter().map(|_| Vec::new()).collect();
        let marks = self.options.filter.as_ref();
        let marks = marks.map(|filter| self.snapshot.token_mask(filter.tokens()));
        for &kind in self.popular.keys() {
            let (mut owners, mut questions) = (Vec::new(), Vec::new());
            for (at, asked) in asked.iter().enumerate().filter(|(_, asked)| asked.kind == kind) {
                for query in &asked.queries {
                    owners.push(at);
                    questions.push((query.as_slice(), left_out[at].as_slice()));
                }
            }
            let found = self.embeddings.nearest_each(&questions, &self.options, kind, marks.as_ref());
            owners.into_iter().zip(found).for_each(|(owner, hits)| lists[owner].push(hits));
        }
        let answer = |(asked, lists): (&Asked, Vec<_>)| {
            if asked.queries.is_empty() {
                return self.cold(asked);
            }
            Ok((AnswerSource::Embeddings, asked.merge(lists, self.options.k, &self.embeddings)))
        };
        asked.par_iter().zip(lists).map(answer).collect()
    }

    fn cold(&self, asked: &Asked) -> Result<(AnswerSource, Vec<Answered>), Error> {
        let Self { embeddings, snapshot, options, .. } = self;
        let all = || popular(snapshot, asked.kind, usize::MAX);
        let ranking = self.popular.get(&asked.kind).map(|ranking| ranking.get_or_init(all).as_slice());
        Cold { embeddings, snapshot, options }.answer(asked, ranking)
    }
}
