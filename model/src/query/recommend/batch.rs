//! Recommendations for many recipients, from one copy of the embeddings.

use std::collections::HashMap;
use std::sync::OnceLock;

use hedgerow_storage::{CancelToken, KindIx, NodeIx, Snapshot};
use rayon::prelude::*;

use crate::config::error::Error;
use crate::query::answer::{FoundNodes, Ranked};
use crate::query::embeddings::Embeddings;
use crate::query::nearest::RowRequest;
use crate::query::query::{Query, Recipient};
use crate::query::question::restrictions::Restrictions;
use crate::query::question::row_set::RowSet;
use crate::query::recommend::cold_start::most_popular;
use crate::query::recommend::history_query::HistoryQuery;
use crate::query::recommend::history_question::{HistoryQuestion, HistoryQuestions};
use crate::query::recommend::{FoundLists, Recommendation, Sources, choose_different, excluded_rows};
use crate::query::score_part::ScorePart;

/// Most queries of a task, which share the memory of their sums.
const QUERIES_PER_TASK: usize = 16;
/// Tasks for each thread, so that none waits long for the longest history.
const TASKS_PER_THREAD: usize = 4;
/// Queries for which the degrees of all rows are read together.
const FEWEST_FOR_POWERS: usize = 16;
/// Queries to the graph that are answered together: as many as have this many scores by the graph filter, and no fewer or more than
/// these.
const SCORES_TOGETHER: usize = 1 << 22;
const FEWEST_TOGETHER: usize = 4;
const MOST_TOGETHER: usize = 64;

/// Queries to the graph about one kind, by a part of the score if one is given.
#[derive(Clone, Copy)]
struct GraphAsked<'a> {
    graph: &'a HistoryQuestions<'a>,
    queries: &'a [HistoryQuery],
    excluded: &'a [RowSet],
    part: Option<ScorePart>,
}

/// Recommendations for many recipients, all from the embeddings of one epoch. Later refreshes do not change them.
///
/// Size: a copy of the embeddings.
pub struct Recommender {
    embeddings: Embeddings,
    snapshot: Snapshot,
    options: Query,
    restrictions: Restrictions,
    /// For each kind of the answers, its nodes by popularity. The first recipient that needs them computes them.
    popular: HashMap<KindIx, OnceLock<Vec<(NodeIx, u64)>>>,
    dirty_nodes: u64,
}

impl Recommender {
    pub(crate) fn new(
        embeddings: Embeddings,
        snapshot: Snapshot,
        options: Query,
        dirty_nodes: u64,
    ) -> Result<Self, Error> {
        let restrictions = Restrictions::new(&options, &embeddings, &snapshot)?;
        options.require_first_page()?;
        let targets = embeddings.targets();
        let kinds = options.kind.as_ref().map_or(targets, |kind| vec![kind.clone()]);
        let mut popular = HashMap::new();
        for kind in kinds {
            let kind = embeddings.require_kind(&kind, &snapshot)?;
            popular.insert(kind, OnceLock::new());
        }
        let embeddings = embeddings.prepared()?;
        Ok(Self { embeddings, snapshot, options, restrictions, popular, dirty_nodes })
    }

    /// An answer or an error for each recipient, in their order.
    ///
    /// # Errors
    /// A cancellation. For each recipient, those of [`Engine::recommend`](crate::Engine::recommend).
    /// # Cost
    /// Recipients x interests x nodes x D operations, in parallel over nodes; pass some hundred at a time.
    pub fn recommend(
        &self,
        recipients: &[Recipient],
        cancel: &CancelToken,
    ) -> Result<Vec<Result<Ranked, Error>>, Error> {
        // A refused recipient keeps its place.
        let mut errors = Vec::new();
        let mut queries = Vec::new();
        for query in self.history_queries(recipients) {
            match query {
                Ok(query) => {
                    queries.push(query);
                    errors.push(None);
                }
                Err(error) => errors.push(Some(error)),
            }
        }
        let answers = self.answers(queries, None, cancel)?.into_par_iter();
        let ranked = answers.map(|answer| answer?.into_ranked(&self.snapshot, &self.options, cancel));
        let mut ranked = ranked.collect::<Vec<Result<Ranked, Error>>>().into_iter();
        let next = |error: Option<Error>| error.map_or_else(|| ranked.next(), |error| Some(Err(error)));
        let answered = errors.into_iter().filter_map(next).map(|answer| match answer {
            Err(error) if error.is_cancelled() => Err(error),
            answer => Ok(answer),
        });
        answered.collect()
    }

    /// The nodes for each recipient, without names and explanations; by a part of the score alone, if one is given.
    pub(crate) fn nodes(
        &self,
        recipients: &[Recipient],
        part: Option<ScorePart>,
        cancel: &CancelToken,
    ) -> Result<Vec<Vec<NodeIx>>, Error> {
        let queries = self.history_queries(recipients).into_iter().collect::<Result<_, _>>()?;
        let nodes =
            |answer: Result<FoundNodes, Error>| Ok(answer?.nodes.iter().map(|found| found.node).collect());
        self.answers(queries, part, cancel)?.into_iter().map(nodes).collect()
    }

    /// The embeddings and the graph that it answers from.
    pub(crate) fn sources(&self) -> (&Embeddings, &Snapshot) {
        (&self.embeddings, &self.snapshot)
    }

    fn history_queries(&self, recipients: &[Recipient]) -> Vec<Result<HistoryQuery, Error>> {
        let query = |recipient| HistoryQuery::new(recipient, &self.options, &self.embeddings, &self.snapshot);
        recipients.par_iter().map(query).collect()
    }

    /// The nodes for each query.
    fn answers(
        &self,
        queries: Vec<HistoryQuery>,
        part: Option<ScorePart>,
        cancel: &CancelToken,
    ) -> Result<Vec<Result<FoundNodes, Error>>, Error> {
        let Self { embeddings, snapshot, options, .. } = self;
        // The common part of the questions to the graph, for each kind.
        let mut graphs: HashMap<KindIx, HistoryQuestions<'_>> = HashMap::new();
        for &kind in self.popular.keys().filter(|_| part != Some(ScorePart::Embeddings)) {
            let graph = HistoryQuestions::new(kind, options, embeddings, snapshot);
            if let Some(graph) = graph.expect("the factors were read when this was made") {
                let has_many = queries.len() >= FEWEST_FOR_POWERS;
                graphs.insert(kind, if has_many { graph.with_powers() } else { graph });
            }
        }
        let together = if graphs.is_empty() {
            queries.len()
        } else {
            (SCORES_TOGETHER / embeddings.rows().max(1)).clamp(FEWEST_TOGETHER, MOST_TOGETHER)
        };
        let mut answers = Vec::with_capacity(queries.len());
        let mut left = queries.into_iter();
        while left.len() > 0 {
            let queries: Vec<HistoryQuery> = left.by_ref().take(together).collect();
            answers.extend(self.answers_together(queries, &graphs, part, cancel)?);
        }
        Ok(answers)
    }

    /// The nodes for some queries, which are scanned for together.
    fn answers_together(
        &self,
        queries: Vec<HistoryQuery>,
        graphs: &HashMap<KindIx, HistoryQuestions<'_>>,
        part: Option<ScorePart>,
        cancel: &CancelToken,
    ) -> Result<Vec<Result<FoundNodes, Error>>, Error> {
        let Self { embeddings, snapshot, options, restrictions, dirty_nodes, .. } = self;
        let sources = Sources { embeddings, snapshot, options, restrictions, dirty_nodes: *dirty_nodes };
        let excluded =
            |query: &HistoryQuery| excluded_rows(query, options, restrictions, embeddings, snapshot);
        let excluded: Vec<RowSet> = queries.iter().map(excluded).collect();

        // One scan for all vectors of a kind; each list goes to the query of its vector.
        let mut found: Vec<FoundLists> = queries.iter().map(|_| FoundLists::default()).collect();
        for &kind in self.popular.keys() {
            // Each query of the kind gets the error below.
            let Ok(filter) = options.node_filter(snapshot, kind) else { continue };
            let request = options.row_request(Some(kind), filter.as_ref(), restrictions);
            if let Some(graph) = graphs.get(&kind) {
                let asked = GraphAsked { graph, queries: &queries, excluded: &excluded, part };
                self.ask_graph(&asked, &request, &mut found, cancel)?;
            }
            let (mut owners, mut questions) = (Vec::new(), Vec::new());
            let of_kind = queries.iter().enumerate().filter(|(_, query)| query.kind == kind);
            for (at, query) in of_kind.filter(|(at, _)| found[*at].graph.is_empty()) {
                for vector in &query.vectors {
                    owners.push(at);
                    questions.push((vector.as_slice(), &excluded[at]));
                }
            }
            if questions.is_empty() {
                continue;
            }
            let nearest = embeddings.nearest_each(&questions, &request, cancel)?;
            owners.into_iter().zip(nearest).for_each(|(owner, hits)| found[owner].lists.push(hits));
        }

        let answer = |(query, found): (HistoryQuery, FoundLists)| {
            options.node_filter(snapshot, query.kind)?;
            let recommendation = Recommendation::from_lists(query, found, &sources, cancel)?;
            let is_pool = recommendation.is_pool(options);
            let popular = match &recommendation {
                Recommendation::ColdStart(cold_start) => self.popular(cold_start.kind),
                Recommendation::Found(_) => None,
            };
            let found = recommendation.found(options, snapshot, popular, cancel)?;
            if is_pool { choose_different(found, options, embeddings, snapshot, cancel) } else { Ok(found) }
        };
        Ok(queries.into_par_iter().zip(found).map(answer).collect())
    }

    /// The graph's answers to the queries of a kind that has factors.
    fn ask_graph(
        &self,
        asked: &GraphAsked<'_>,
        request: &RowRequest<'_>,
        found: &mut [FoundLists],
        cancel: &CancelToken,
    ) -> Result<(), Error> {
        let GraphAsked { graph, queries, excluded, part } = *asked;
        let rows = graph.rows;
        // Two hops from each history.
        let asked: Vec<usize> = (0..queries.len()).filter(|&at| queries[at].kind == rows.kind).collect();
        let per_task = asked.len().div_ceil(TASKS_PER_THREAD * rayon::current_num_threads());
        let of_queries = asked.par_chunks(per_task.clamp(1, QUERIES_PER_TASK)).map(|places| {
            let mut sums = graph.sums();
            let question = |&at: &usize| {
                cancel.check()?;
                Ok(graph.of(&queries[at], part, &mut sums))
            };
            places.iter().map(question).collect::<Result<Vec<_>, Error>>()
        });
        let of_queries = of_queries.collect::<Result<Vec<_>, Error>>()?;
        for (&at, of_query) in asked.iter().zip(of_queries.into_iter().flatten()) {
            found[at].graph = of_query;
        }
        // One scan for all their vectors, to which the filter's part is added.
        let mut owners: Vec<(usize, &HistoryQuestion)> = Vec::new();
        for &at in &asked {
            owners.extend(found[at].graph.iter().map(|question| (at, question)));
        }
        let filter: Vec<Option<&[f32]>> =
            owners.iter().map(|(_, question)| Some(question.filter.as_slice())).collect();
        let scanned: Vec<(&[f32], &RowSet)> =
            owners.iter().map(|&(at, question)| (&question.vector[..], &excluded[at])).collect();
        let request = RowRequest { popularity: false, ..*request };
        if scanned.is_empty() {
            return Ok(());
        }
        let vectors = &graph.factor_rows.vectors;
        let hits = self.embeddings.nearest_each_in(vectors, &scanned, &filter, &request, cancel)?;
        let owners: Vec<usize> = owners.into_iter().map(|(at, _)| at).collect();
        owners.into_iter().zip(hits).for_each(|(owner, hits)| found[owner].lists.push(hits));
        Ok(())
    }

    /// All nodes of a kind by popularity.
    fn popular(&self, kind: KindIx) -> Option<&[(NodeIx, u64)]> {
        let all = || most_popular(&self.snapshot, kind, &self.embeddings.config.relations, usize::MAX);
        self.popular.get(&kind).map(|popular| popular.get_or_init(all).as_slice())
    }
}
