//! The map: a sample of the embeddings in the plane of their first two principal components, each with its nearest nodes.

use hedgerow::{ErrorKind, KindIx, NodeName, Query};
use rayon::prelude::*;
use serde::Serialize;

use crate::core::failure::Failure;
use crate::output::value::round;
use crate::report::node_names::{NodeNames, Place};
use crate::report::pca::Plane;
use crate::report::{EMBEDDED, ReportSource};

/// The nearest nodes of a point.
const NEAREST: usize = 8;
/// The most multiplications of all scans together, about 20 seconds on two cores. A larger store has fewer points.
const PRODUCTS: usize = 40_000_000_000;
/// The fewest points, whatever the scans take.
const FEWEST: usize = 500;
/// Points between two updates of the progress.
const CHUNK: usize = 64;

/// A sample of the embeddings: unit vectors of the nodes with the smallest stable ids.
pub(super) struct Sample {
    nodes: Vec<NodeName>,
    vectors: Vec<Vec<f32>>,
    of: u64,
}

impl Sample {
    /// The sample; none if no node is embedded. Left out are nodes that were added after the last refresh, which have no
    /// embedding, and nodes without edges and features, whose embedding is zero.
    pub(super) fn of(source: &ReportSource<'_>, kinds: &[KindIx]) -> Result<Option<Self>, Failure> {
        let (nodes, of) = source.sample(kinds, EMBEDDED);
        let mut sample = Self { nodes: Vec::new(), vectors: Vec::new(), of };
        for node in nodes {
            source.cancel.check()?;
            let name = source.snapshot.name(node);
            let mut vector = match source.engine.embedding(name.as_ref()).map_err(hedgerow::Error::from) {
                Err(error) if matches!(error.kind(), ErrorKind::NotTrained | ErrorKind::NotEmbedded) => {
                    continue;
                }
                embedding => embedding?.vector,
            };
            // The last number is the popularity term of a score, not a direction.
            vector.pop();
            if vector.iter().any(|value| *value != 0.0) {
                sample.nodes.push(name);
                sample.vectors.push(vector);
            }
        }
        Ok(Some(sample).filter(|sample| !sample.nodes.is_empty()))
    }
}

/// The map.
#[derive(Debug, Serialize)]
pub(super) struct Map {
    /// The number of nodes of these kinds.
    of: u64,
    /// The nodes that the axes were computed from.
    sampled: u64,
    /// The share of the variance on each axis.
    shares: [f64; 2],
    points: Vec<Point>,
}

/// A node, its coordinates, and the nearest nodes with their cosines.
#[derive(Debug, Serialize)]
struct Point(Place, f64, f64, Vec<(Place, f64)>);

impl Map {
    /// Projects the sample, and searches the nearest nodes of at most `points` of its nodes.
    pub(super) fn of(
        source: &ReportSource<'_>,
        sample: &Sample,
        points: usize,
        named: &mut NodeNames,
    ) -> Result<Self, Failure> {
        let plane = Plane::of(&sample.vectors);
        let scan = sample.of as usize * sample.vectors[0].len();
        let points = points.min((PRODUCTS / scan.max(1)).max(FEWEST)).min(sample.nodes.len());
        let query = Query { k: NEAREST, cosine: true, ..Query::default() };
        let mut drawn = Vec::with_capacity(points);
        for (chunk, nodes) in sample.nodes[..points].chunks(CHUNK).enumerate() {
            source.cancel.check()?;
            (source.observer)("finding the nearest", (chunk * CHUNK) as u64, points as u64);
            let similar = |node: &NodeName| source.engine.similar(node.as_ref(), &query, source.cancel);
            let nearest = nodes.par_iter().map(similar);
            let nearest: Vec<_> = nearest.collect::<Result<_, _>>()?;
            for (node, (at, nearest)) in nodes.iter().zip((chunk * CHUNK..).zip(nearest)) {
                let [x, y] = plane.places[at];
                let nearest = nearest
                    .items
                    .iter()
                    .map(|item| (named.place(&item.node, &source.snapshot), round(f64::from(item.score), 3)));
                let nearest = nearest.collect();
                drawn.push(Point(named.place(node, &source.snapshot), round(x, 4), round(y, 4), nearest));
            }
        }
        let shares = plane.shares.map(|share| round(share, 4));
        Ok(Self { of: sample.of, sampled: sample.nodes.len() as u64, shares, points: drawn })
    }

    pub(super) fn len(&self) -> usize {
        self.points.len()
    }

    /// Keeps the first points, which are a sample too.
    pub(super) fn cut(&mut self, points: usize) {
        self.points.truncate(points);
    }

    /// The places of all names on the map.
    pub(super) fn names(&self) -> impl Iterator<Item = Place> + '_ {
        self.points
            .iter()
            .flat_map(|Point(node, _, _, nearest)| nearest.iter().map(|(place, _)| *place).chain([*node]))
    }
}
