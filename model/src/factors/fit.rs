//! The fit of constants and factors: a coordinate search by the ranks of hidden edges, then the factors of the whole graph.

use std::collections::HashSet;

use hedgerow_storage::{CancelToken, NodeIx, Snapshot};
use hedgerow_walker::{ListRelations, Policy};

use crate::config::error::Error;
use crate::config::graph_constants::{Exponents, GraphConstants};
use crate::factors::edge_sums::{Dampings, EdgeSums};
use crate::factors::embedding_weight::HeldOutScores;
use crate::factors::held_out_ranking::{HeldOutRanking, PartWeights, RankedBy, RankingQuality};
use crate::factors::item_factors::ItemFactors;
use crate::factors::item_lists::{HiddenEdge, ItemLists};
use crate::factors::least_squares::{Factors, LossConstants, ResidualLoss};
use crate::factors::related_fit::fit_related;
use crate::linalg::normal_equations::RANK;
use crate::linalg::rows::is_finite;

/// Lists whose hidden edges are ranked in a fold, at most.
const HELD_OUT_LISTS: usize = 3000;
/// Scores of a ranking, about: fewer lists are ranked where there are many items, but not fewer than [`FEWEST_HELD_OUT_LISTS`].
const HELD_OUT_SCORES: usize = 400_000_000;
const FEWEST_HELD_OUT_LISTS: usize = 300;
/// Folds of a graph with few lists.
const MOST_FOLDS: usize = 3;
/// Edges of the core that constants are fitted on, at most. Factors are fitted to all edges.
const FIT_EDGES: usize = 4_000_000;
/// Settings that are tried, at most.
const TRIALS: u64 = 30;
/// Sweeps from random factors, before the first measurement.
const FIRST_SWEEPS: usize = 6;
/// Cheap sweeps for each further setting, from the factors of the best one.
const SWEEPS_PER_TRIAL: usize = 2;
/// Sweeps over the whole graph, from the factors of the best setting.
const LAST_SWEEPS: usize = 4;
/// Rounds over all coordinates.
const ROUNDS: usize = 2;

/// The strengths that are tried.
const STRENGTHS: [f32; 7] = [0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0];
/// The weights of pairs without an edge that are tried.
const UNOBSERVED: [f32; 8] = [0.0125, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6];
/// The regularizations that are tried: factors of 1.5 around .01.
const REGULARIZATIONS: [f32; 9] = [0.002, 0.003, 0.0044, 0.0067, 0.01, 0.015, 0.0225, 0.034, 0.05];
/// The exponents that are tried, for each of the three.
const EXPONENTS: [f32; 13] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2];

/// The exponents of an item's degree in the whole score. With each setting the best one so far is tried, and two on each side of it.
const DEGREE_EXPONENTS: [f32; 13] =
    [-0.3, -0.25, -0.2, -0.15, -0.1, -0.05, 0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3];
/// Without the degree.
const FIRST_DEGREE: usize = 6;

/// A setting: the place of each constant in its table. The order is that of the search: what changes most comes first, and what
/// needs other sums over the graph comes last.
type Setting = [usize; 6];

/// Strength 1, weight .1, regularization .01, exponents c = .3, a = .6 and b = .6.
const FIRST: Setting = [4, 3, 4, 3, 6, 6];
/// The number of entries of each table.
const TABLE_LENGTHS: Setting = [
    STRENGTHS.len(),
    UNOBSERVED.len(),
    REGULARIZATIONS.len(),
    EXPONENTS.len(),
    EXPONENTS.len(),
    EXPONENTS.len(),
];

fn constants(setting: Setting) -> LossConstants {
    let [strength, unobserved, regularization, item, history, list] = setting;
    LossConstants {
        exponents: Exponents { history: EXPONENTS[history], list: EXPONENTS[list], item: EXPONENTS[item] },
        strength: STRENGTHS[strength],
        unobserved: UNOBSERVED[unobserved],
        regularization: REGULARIZATIONS[regularization],
    }
}

/// Held-out figures of a fit.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FitQuality {
    /// The graph filter alone.
    pub(crate) filter: RankingQuality,
    /// Both.
    pub(crate) both: RankingQuality,
    /// Lists and edges that were held out.
    pub(crate) lists: u64,
    pub(crate) edges: u64,
    /// The mean of 1 / log2(1 + rank) of pairs in hidden lists. `None` with too few pairs.
    pub(crate) related: Option<f64>,
    /// The same of items that are asked for without their lists. `None` with too few items that have tokens.
    pub(crate) cold: Option<f64>,
}

/// The fitted score of a kind, and the recall on edges that were held out of the graph.
#[derive(Clone, Debug, PartialEq)]
pub struct FittedScore {
    /// The kind of the items.
    pub kind: String,
    /// Names and values of the constants.
    pub constants: Vec<(&'static str, f32)>,
    /// Share of held-out items among the first 20, by the graph filter alone.
    pub recall_filter: f64,
    /// The same by the graph filter and the residual factors together.
    pub recall: f64,
    /// Lists with held-out edges.
    pub lists: u64,
    /// Held-out edges.
    pub edges: u64,
    /// The mean of 1 / log2(1 + rank) of pairs of related items in lists that were held out whole. `None` if there are too few pairs;
    /// the constants of related items are then not fitted.
    pub related: Option<f64>,
    /// The same measure for items that are asked for by their tokens, without their lists. `None` if too few items have both, or
    /// embeddings answer such questions.
    pub cold: Option<f64>,
    /// Seconds of the fit.
    pub seconds: f64,
}

impl FittedScore {
    pub(crate) fn new(constants: &GraphConstants, quality: &FitQuality, seconds: f64) -> Self {
        Self {
            kind: constants.kind.clone(),
            constants: constants.entries(),
            recall_filter: quality.filter.recall,
            recall: quality.both.recall,
            lists: quality.lists,
            edges: quality.edges,
            related: quality.related,
            cold: quality.cold,
            seconds,
        }
    }
}

/// A setting that was tried.
#[derive(Clone)]
struct Trial {
    setting: Setting,
    /// Of each fold.
    factors: Vec<Factors>,
    quality: RankingQuality,
    /// The place of the exponent of the degree.
    degree: usize,
}

/// The result of a fit for the items of one kind.
pub(crate) struct Fit {
    pub(crate) factors: ItemFactors,
    pub(crate) quality: FitQuality,
    /// To weigh embeddings. `None` if no edge is held out.
    pub(crate) held_out: Option<HeldOutScores>,
}

/// Fits the constants and the factors of the items of a policy's kind. `None` if the kind has no lists or too few edges to hide any.
///
/// `held_out` is edges from lists to items that embeddings do not learn.
///
/// Determinism: a function of the graph's content and the seed, for any number of threads.
/// Cost: up to [`TRIALS`] times [`SWEEPS_PER_TRIAL`] sweeps over [`FIT_EDGES`] edges, then [`LAST_SWEEPS`] over all.
pub(crate) fn fit(
    snapshot: &Snapshot,
    policy: &Policy,
    held_out: &[(NodeIx, NodeIx)],
    seed: u64,
    cancel: &CancelToken,
) -> Result<Option<Fit>, Error> {
    let Some(relations) = ListRelations::new(snapshot, policy) else { return Ok(None) };
    let all = ItemLists::new(snapshot, &relations);
    let core = all.core(FIT_EDGES);
    let folds = folds(&core, seed);
    if folds.is_empty() {
        return Ok(None);
    }
    let mut search = Search::new(&folds, seed, cancel)?;
    search.run()?;
    let quality = search.quality();
    let Search { best: Trial { setting, factors, degree, .. }, .. } = search;
    let mut factors = factors.into_iter().next().expect("a fold has factors");
    drop(folds);

    let (related, related_quality) = fit_related(&core, seed);
    cancel.check()?;
    let quality = FitQuality { related: related_quality, ..quality };

    // Factors that do not know the held-out edges, then those of the whole graph.
    let stage = cancel.stage("factors", 2 * LAST_SWEEPS as u64);
    let constants = constants(setting);
    let held_out = core.edges_between(snapshot, held_out);
    let lists = core.without(&held_out);
    let held_out = core.edges_of_some_lists(&held_out, 2 * ranked_lists(&core), seed);
    let held_out_scores = |loss: &ResidualLoss<'_>, dampings: &Dampings| {
        for _ in 0..LAST_SWEEPS {
            factors = loss.sweep(&factors);
            stage.advance(1)?;
        }
        let ranking = HeldOutRanking::new(&lists, &held_out, dampings);
        let degree_exponents = Exponents { history: DEGREE_EXPONENTS[degree], ..constants.exponents };
        Ok::<_, Error>(HeldOutScores {
            q: loss.list_factors(&factors.z, &ranking.list_rows()),
            ranking,
            items: lists.items.clone(),
            weights: PartWeights { filter: loss.scale, factors: 1.0 },
            dampings: dampings.item.clone(),
            degree_powers: Dampings::new(&lists, &degree_exponents).history,
            z: factors.z.clone(),
        })
    };
    let held_out =
        if held_out.is_empty() { None } else { Some(with_loss(&lists, constants, held_out_scores)?) };
    factors = Factors { q: Vec::new(), z: all.rows_from(&core, &factors.z) };
    let (scale, pulls) = with_loss(&all, constants, |loss, _| {
        for _ in 0..LAST_SWEEPS {
            factors = loss.sweep(&factors);
            stage.advance(1)?;
        }
        Ok::<_, Error>((loss.scale, loss.pulls(&factors.z)))
    })?;
    stage.end();
    let graph = GraphConstants {
        kind: policy.kind.clone(),
        exponents: constants.exponents,
        scale,
        degree: DEGREE_EXPONENTS[degree],
        unobserved: constants.unobserved,
        regularization: constants.regularization,
        items: all.item_count() as u32,
        related,
        cold: None,
        embeddings: 0.0,
    };
    let factors = ItemFactors::new(graph, all.item_ids.clone(), factors.z, pulls);
    Ok(Some(Fit { factors, quality, held_out }))
}

/// Makes the sums of some lists and the loss of their factors.
fn with_loss<T>(
    lists: &ItemLists,
    constants: LossConstants,
    work: impl FnOnce(&ResidualLoss<'_>, &Dampings) -> T,
) -> T {
    let dampings = Dampings::new(lists, &constants.exponents);
    let scores = EdgeSums::new(lists, &dampings).scores(lists, &dampings);
    work(&ResidualLoss::new(lists, &dampings, &scores, constants), &dampings)
}

/// The number of lists whose hidden edges are ranked.
fn ranked_lists(lists: &ItemLists) -> usize {
    (HELD_OUT_SCORES / lists.item_count().max(1)).clamp(FEWEST_HELD_OUT_LISTS, HELD_OUT_LISTS)
}

/// Lists without their hidden edges, and some of these edges to rank.
struct Fold {
    lists: ItemLists,
    hidden: Vec<HiddenEdge>,
    /// The item's degree to each of [`DEGREE_EXPONENTS`].
    degree_powers: Vec<Vec<f32>>,
}

/// Folds with different hidden edges. A graph with few lists has more than one: the best constants of one fold of few lists depend much
/// on chance. None if no list is long enough.
fn folds(lists: &ItemLists, seed: u64) -> Vec<Fold> {
    let (mut folds, mut wanted) = (Vec::new(), 1);
    while folds.len() < wanted {
        let seed = seed.wrapping_add(folds.len() as u64);
        let hidden = lists.hidden_edges(seed);
        let count = hidden.chunk_by(|a, b| a.list == b.list).count();
        if count == 0 {
            break;
        }
        wanted = (2 * HELD_OUT_LISTS / count).clamp(1, MOST_FOLDS);
        let kept = lists.without(&hidden);
        let power = |exponent: f32| {
            let exponents = Exponents { history: exponent, list: 0.0, item: 0.0 };
            Dampings::new(&kept, &exponents).history
        };
        let degree_powers = DEGREE_EXPONENTS.iter().map(|&exponent| power(exponent)).collect();
        let hidden = lists.edges_of_some_lists(&hidden, ranked_lists(lists), seed);
        folds.push(Fold { lists: kept, hidden, degree_powers });
    }
    folds
}

/// A coordinate search.
struct Search<'a> {
    folds: &'a [Fold],
    /// All settings that were tried.
    tried: HashSet<Setting>,
    /// For each fold the sums for the exponents a and b of the best setting.
    sums: Vec<FilterSums>,
    best: Trial,
    stage: hedgerow_storage::Stage<'a>,
}

/// Sums that depend on the exponents a and b.
struct FilterSums {
    edges: EdgeSums,
    ranking: HeldOutRanking,
}

impl FilterSums {
    fn of_each(folds: &[Fold], constants: &LossConstants) -> Vec<Self> {
        let of_fold = |Fold { lists, hidden, .. }: &Fold| {
            let dampings = Dampings::new(lists, &constants.exponents);
            Self {
                edges: EdgeSums::new(lists, &dampings),
                ranking: HeldOutRanking::new(lists, hidden, &dampings),
            }
        };
        folds.iter().map(of_fold).collect()
    }
}

impl<'a> Search<'a> {
    fn new(folds: &'a [Fold], seed: u64, cancel: &'a CancelToken) -> Result<Self, Error> {
        let stage = cancel.stage("constants", TRIALS);
        let sums = FilterSums::of_each(folds, &constants(FIRST));
        let first = |fold: usize, loss: &ResidualLoss<'_>| {
            let start = ResidualLoss::start(&folds[fold].lists, seed);
            (0..FIRST_SWEEPS).fold(start, |factors, _| loss.sweep(&factors))
        };
        let best = trial(folds, &sums, FIRST, FIRST_DEGREE, first);
        stage.advance(1)?;
        let tried = HashSet::from([FIRST]);
        Ok(Self { folds, tried, sums, best, stage })
    }

    /// Moves along one coordinate after the other, as far as the quality rises.
    fn run(&mut self) -> Result<(), Error> {
        for _ in 0..ROUNDS {
            let before = self.best.setting;
            for coordinate in 0..FIRST.len() {
                let moved = self.climb(coordinate, true)?;
                if !moved {
                    self.climb(coordinate, false)?;
                }
            }
            if self.best.setting == before {
                break;
            }
        }
        self.stage.advance(TRIALS - self.tried.len() as u64)?;
        Ok(())
    }

    fn climb(&mut self, coordinate: usize, up: bool) -> Result<bool, Error> {
        let mut moved = false;
        loop {
            let mut setting = self.best.setting;
            let place = if up { setting[coordinate] + 1 } else { setting[coordinate].wrapping_sub(1) };
            setting[coordinate] = place;
            let is_known = self.tried.contains(&setting);
            if place >= TABLE_LENGTHS[coordinate] || is_known || self.tried.len() as u64 >= TRIALS {
                return Ok(moved);
            }
            let exponents = |setting: Setting| (setting[4], setting[5]);
            let other_sums = (exponents(setting) != exponents(self.best.setting))
                .then(|| FilterSums::of_each(self.folds, &constants(setting)));
            let sums = other_sums.as_ref().unwrap_or(&self.sums);
            let improved = |fold: usize, loss: &ResidualLoss<'_>| {
                let once = loss.improve(&self.best.factors[fold]);
                (1..SWEEPS_PER_TRIAL).fold(once, |factors, _| loss.improve(&factors))
            };
            let degree = self.best.degree;
            let trial = trial(self.folds, sums, setting, degree, improved);
            self.tried.insert(setting);
            self.stage.advance(1)?;
            let is_finite = trial.factors.iter().all(|factors| is_finite(factors.z.as_flattened()));
            if !is_finite || !trial.quality.is_better_than(&self.best.quality) {
                return Ok(moved);
            }
            self.best = trial;
            if let Some(sums) = other_sums {
                self.sums = sums;
            }
            moved = true;
        }
    }

    /// The quality of the best setting and of its parts.
    fn quality(&self) -> FitQuality {
        let constants = constants(self.best.setting);
        let filter = self.folds.iter().zip(&self.sums).zip(&self.best.factors);
        let filter = filter.map(|((fold, sums), factors)| {
            let weights = PartWeights { filter: 1.0, factors: 0.0 };
            let dampings = Dampings::new(&fold.lists, &constants.exponents).item;
            let q = vec![[0.0; RANK]; sums.ranking.list_rows().len()];
            let ranked_by = RankedBy { weights, dampings: &dampings, q: &q, z: &factors.z };
            sums.ranking.qualities(ranked_by, &fold.degree_powers)
        });
        let filter = RankingQuality::over_folds(filter.collect());
        let best = filter.into_iter().reduce(|a, b| if b.gain() > a.gain() { b } else { a });
        let lists = self.sums.iter().map(|sums| sums.ranking.list_rows().len() as u64);
        FitQuality {
            filter: best.unwrap_or_default(),
            both: self.best.quality.clone(),
            lists: lists.max().unwrap_or(0),
            edges: self.folds.iter().map(|fold| fold.hidden.len() as u64).sum(),
            related: None,
            cold: None,
        }
    }
}

/// Fits factors in each fold, and measures them with an exponent of the degree and with two on each side of it.
fn trial(
    folds: &[Fold],
    sums: &[FilterSums],
    setting: Setting,
    degree: usize,
    fit: impl Fn(usize, &ResidualLoss<'_>) -> Factors,
) -> Trial {
    let constants = constants(setting);
    let degrees = degree.saturating_sub(2)..(degree + 3).min(DEGREE_EXPONENTS.len());
    let (mut factors, mut qualities) = (Vec::new(), Vec::new());
    for (at, (Fold { lists, degree_powers, .. }, sums)) in folds.iter().zip(sums).enumerate() {
        let dampings = Dampings::new(lists, &constants.exponents);
        let scores = sums.edges.scores(lists, &dampings);
        let loss = ResidualLoss::new(lists, &dampings, &scores, constants);
        let of_fold = fit(at, &loss);
        let q = loss.list_factors(&of_fold.z, &sums.ranking.list_rows());
        let weights = PartWeights { filter: loss.scale, factors: 1.0 };
        let ranked_by = RankedBy { weights, dampings: &dampings.item, q: &q, z: &of_fold.z };
        qualities.push(sums.ranking.qualities(ranked_by, &degree_powers[degrees.clone()]));
        factors.push(of_fold);
    }
    let qualities = RankingQuality::over_folds(qualities);
    let given = qualities[degree - degrees.start].clone();
    let better = |best: (usize, RankingQuality), next: (usize, RankingQuality)| {
        if next.1.is_better_than(&best.1) { next } else { best }
    };
    let (degree, quality) = degrees.zip(qualities).fold((degree, given), better);
    Trial { setting, factors, quality, degree }
}
