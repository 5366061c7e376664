//! The distributions of degrees, over all nodes of each kind, and of neighborhood sizes, over a sample.

use std::collections::BTreeMap;

use hedgerow::KindIx;
use serde::Serialize;

use crate::core::failure::Failure;
use crate::output::value::round;
use crate::report::{ReportSource, WALKED};

/// The ratio of two thresholds of the curve of degrees.
const GROWTH: f64 = 1.15;

/// The degrees of a kind.
#[derive(Debug, Serialize)]
pub(super) struct Degrees {
    kind: String,
    nodes: u64,
    /// Nodes without an edge.
    alone: u64,
    /// The mean degree.
    mean: f64,
    /// The 50th, 90th, 99th and 100th percentile of the degrees.
    quantiles: [u64; 4],
    /// Degrees, each with the number of nodes that have at least that degree.
    at_least: Vec<(u64, u64)>,
}

/// The neighborhoods of a kind.
#[derive(Debug, Serialize)]
pub(super) struct Neighborhoods {
    kind: String,
    /// The nodes in the sample.
    sampled: u64,
    /// All nodes of the kind.
    of: u64,
    /// Sizes, each with the number of sampled nodes that have it.
    sizes: Vec<(u64, u64)>,
}

pub(super) fn degrees(source: &ReportSource<'_>, kinds: &[KindIx]) -> Result<Vec<Degrees>, Failure> {
    let snapshot = &source.snapshot;
    let of = |kind: &KindIx| {
        source.cancel.check()?;
        let mut all: Vec<u64> = snapshot.nodes_of(*kind).map(|node| snapshot.degree(node)).collect();
        all.sort_unstable();
        let least = |degree: u64| (all.len() - all.partition_point(|other| *other < degree)) as u64;
        let most = all.last().copied().unwrap_or(0);
        let quantile = |percent: usize| all.get((all.len() * percent / 100).min(all.len().max(1) - 1));
        let thresholds = std::iter::successors(Some(1u64), |degree| {
            Some((*degree + 1).max((*degree as f64 * GROWTH) as u64))
        });
        let mut thresholds: Vec<u64> = thresholds.take_while(|degree| *degree < most).collect();
        thresholds.extend((most > 0).then_some(most));
        Ok(Degrees {
            kind: snapshot.kind_name(*kind).to_owned(),
            nodes: all.len() as u64,
            alone: all.len() as u64 - least(1),
            mean: round(all.iter().sum::<u64>() as f64 / all.len().max(1) as f64, 2),
            quantiles: [50, 90, 99, 100].map(|percent| quantile(percent).copied().unwrap_or(0)),
            at_least: thresholds.into_iter().map(|degree| (degree, least(degree))).collect(),
        })
    };
    kinds.iter().map(of).collect()
}

pub(super) fn neighborhoods(
    source: &ReportSource<'_>,
    kinds: &[KindIx],
) -> Result<Vec<Neighborhoods>, Failure> {
    let snapshot = &source.snapshot;
    let mut neighborhoods = Vec::new();
    for kind in kinds {
        let (nodes, of) = source.sample(&[*kind], WALKED);
        let mut sizes: BTreeMap<u64, u64> = BTreeMap::new();
        for (at, &node) in nodes.iter().enumerate() {
            source.cancel.check()?;
            (source.observer)("walking", at as u64, nodes.len() as u64);
            let visited = source.engine.neighborhood(snapshot.name(node).as_ref(), usize::MAX)?;
            *sizes.entry(visited.len() as u64).or_default() += 1;
        }
        neighborhoods.push(Neighborhoods {
            kind: snapshot.kind_name(*kind).to_owned(),
            sampled: nodes.len() as u64,
            of,
            sizes: sizes.into_iter().collect(),
        });
    }
    Ok(neighborhoods)
}
