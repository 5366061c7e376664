//! Similar nodes for many nodes, from one copy of the embeddings.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use hedgerow_storage::{CancelToken, KindIx, NodeName, Snapshot};
use hedgerow_walker::SecondHops;
use rayon::prelude::*;

use crate::config::error::Error;
use crate::query::answer::{FoundNodes, Ranked};
use crate::query::embeddings::Embeddings;
use crate::query::query::Query;
use crate::query::question::restrictions::Restrictions;
use crate::query::question::row_set::RowSet;
use crate::query::similar::related_question::{RelatedQuestion, RelatedQuestions};
use crate::query::similar::{SimilarQuestion, Sources, scanned};

/// Nodes that are answered together.
const NODES_TOGETHER: usize = 64;
/// Most nodes of a task, which share the memory of their sums.
const NODES_PER_TASK: usize = 16;

/// Items whose second hops each thread keeps.
const KEPT_HOPS: usize = 1 << 15;

/// Similar nodes for many nodes, all from the embeddings of one epoch. Later refreshes do not change them.
///
/// If the graph answers, questions have second hops in common, which it keeps. So many questions take less time than as many calls.
///
/// Size: a copy of the embeddings, and up to 26 MB of hops for each thread.
pub struct SimilarFinder {
    embeddings: Embeddings,
    snapshot: Snapshot,
    options: Query,
    restrictions: Restrictions,
    dirty_nodes: u64,
    /// The second hops that are kept for each kind, and that no thread uses now.
    hops: Mutex<HashMap<KindIx, Vec<SecondHops>>>,
}

/// A question, and its place among the nodes that were given.
type Placed = (usize, SimilarQuestion);

impl SimilarFinder {
    pub(crate) fn new(
        embeddings: Embeddings,
        snapshot: Snapshot,
        options: Query,
        dirty_nodes: u64,
    ) -> Result<Self, Error> {
        let restrictions = Restrictions::new(&options, &embeddings, &snapshot)?;
        options.require_first_page()?;
        if let Some(kind) = &options.kind {
            embeddings.require_kind(kind, &snapshot)?;
        }
        let embeddings = embeddings.prepared()?;
        let hops = Mutex::default();
        Ok(Self { embeddings, snapshot, options, restrictions, dirty_nodes, hops })
    }

    /// An answer or an error for each node, in their order.
    ///
    /// # Errors
    /// A cancellation. For each node, those of [`Engine::similar`](crate::Engine::similar).
    /// # Cost
    /// That of [`Engine::similar`](crate::Engine::similar) for each node, in parallel. The rows are read once for 64 nodes, and second
    /// hops that were kept are not made again.
    pub fn similar(
        &self,
        nodes: &[NodeName],
        cancel: &CancelToken,
    ) -> Result<Vec<Result<Ranked, Error>>, Error> {
        let mut answers = Vec::with_capacity(nodes.len());
        for nodes in nodes.chunks(NODES_TOGETHER) {
            cancel.check()?;
            answers.extend(self.answer_together(nodes, cancel)?);
        }
        Ok(answers)
    }

    fn answer_together(
        &self,
        nodes: &[NodeName],
        cancel: &CancelToken,
    ) -> Result<Vec<Result<Ranked, Error>>, Error> {
        let Self { embeddings, snapshot, options, restrictions, .. } = self;
        let question = |node: &NodeName| {
            SimilarQuestion::new(node.as_ref(), options, restrictions, embeddings, snapshot)
        };
        let questions: Vec<Result<SimilarQuestion, Error>> = nodes.par_iter().map(question).collect();

        // The questions by the kind of their answers; a refused node keeps its place.
        let mut answers: Vec<Option<Result<Ranked, Error>>> = Vec::new();
        let mut by_kind: BTreeMap<KindIx, Vec<Placed>> = BTreeMap::new();
        for (place, question) in questions.into_iter().enumerate() {
            match question {
                Ok(question) => {
                    by_kind.entry(question.kind).or_default().push((place, question));
                    answers.push(None);
                }
                Err(error) => answers.push(Some(Err(error))),
            }
        }
        for questions in by_kind.into_values() {
            for (place, found) in self.answer_kind(questions, cancel)? {
                answers[place] = Some(found.into_ranked(snapshot, options, cancel));
            }
        }
        let answered = answers.into_iter().flatten().map(|answer| match answer {
            Err(error) if error.is_cancelled() => Err(error),
            answer => Ok(answer),
        });
        answered.collect()
    }

    /// The answers to questions with answers of one kind.
    fn answer_kind(
        &self,
        questions: Vec<Placed>,
        cancel: &CancelToken,
    ) -> Result<Vec<(usize, FoundNodes)>, Error> {
        let Self { embeddings, snapshot, options, restrictions, dirty_nodes, .. } = self;
        let Some(kind) = questions.first().map(|(_, question)| question.kind) else { return Ok(Vec::new()) };
        let filter = options.node_filter(snapshot, kind)?;
        let request = options.row_request(Some(kind), filter.as_ref(), restrictions);
        let related = self.related(kind, &questions, cancel)?;

        // One scan for those with scores from the graph, and one for the others.
        let mut hits = vec![Vec::new(); questions.len()];
        for has_related in [true, false] {
            let places: Vec<usize> =
                (0..questions.len()).filter(|&at| related[at].is_some() == has_related).collect();
            if !places.is_empty() {
                let asked = |&at: &usize| {
                    let (_, question) = &questions[at];
                    (&question.vector[..], &question.excluded)
                };
                let asked: Vec<(&[f32], &RowSet)> = places.iter().map(asked).collect();
                let found = embeddings.nearest_each(&asked, &scanned(&request, has_related), cancel)?;
                places.into_iter().zip(found).for_each(|(at, found)| hits[at] = found);
            }
        }
        let sources = Sources { embeddings, options, restrictions, dirty_nodes: *dirty_nodes };
        let answer = |(((place, question), hits), related): ((Placed, Vec<_>), Option<RelatedQuestion>)| {
            let found = question.answer(hits, related.as_ref(), &sources, &request, cancel)?;
            Ok((place, found))
        };
        questions.into_par_iter().zip(hits).zip(related).map(answer).collect()
    }

    /// The graph's scores for each question, where it has some.
    fn related(
        &self,
        kind: KindIx,
        questions: &[Placed],
        cancel: &CancelToken,
    ) -> Result<Vec<Option<RelatedQuestion>>, Error> {
        let Self { embeddings, snapshot, options, .. } = self;
        let common = RelatedQuestions::new(kind, embeddings, snapshot).filter(|_| !options.cosine);
        let Some(common) = common else { return Ok(questions.iter().map(|_| None).collect()) };
        let per_task = questions.len().div_ceil(rayon::current_num_threads());
        let of_tasks = questions.par_chunks(per_task.clamp(1, NODES_PER_TASK)).map(|questions| {
            let mut sums = common.sums_with(self.take_hops(kind));
            let related = |(_, question): &Placed| {
                cancel.check()?;
                Ok(common.of(question.row, &mut sums))
            };
            let related = questions.iter().map(related).collect::<Result<Vec<_>, Error>>();
            self.keep_hops(kind, sums.into_hops());
            related
        });
        Ok(of_tasks.collect::<Result<Vec<_>, Error>>()?.into_iter().flatten().collect())
    }

    fn take_hops(&self, kind: KindIx) -> SecondHops {
        let mut kept = self.hops.lock().unwrap_or_else(PoisonError::into_inner);
        kept.entry(kind).or_default().pop().unwrap_or_else(|| SecondHops::new(KEPT_HOPS))
    }

    fn keep_hops(&self, kind: KindIx, hops: SecondHops) {
        let mut kept = self.hops.lock().unwrap_or_else(PoisonError::into_inner);
        kept.entry(kind).or_default().push(hops);
    }
}
