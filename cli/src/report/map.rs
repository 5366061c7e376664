//! The map: a sample of the embeddings in the plane in which they differ most, each with the nearest of all embeddings.

use hedgerow::{ErrorKind, KindIx, NodeName, Query};
use rayon::prelude::*;
use serde::Serialize;

use crate::core::failure::Failure;
use crate::report::node_names::{Named, Place};
use crate::report::pca::Plane;
use crate::report::{EMBEDDED, Gathering, short};

/// Nearest nodes of a point.
const NEAREST: usize = 8;
/// Products of numbers that all scans together may take, some 20 seconds on two cores; a larger store has fewer points.
const PRODUCTS: usize = 40_000_000_000;
/// Points that the map has all the same.
const FEWEST: usize = 500;
/// Points between two words on how far it is.
const CHUNK: usize = 64;

/// Embeddings that stand for all of them: unit vectors of the nodes with the smallest stable ids.
pub(super) struct Sample {
    nodes: Vec<NodeName>,
    vectors: Vec<Vec<f32>>,
    of: u64,
}

impl Sample {
    /// None where nothing is embedded. What came after the last refresh has no embedding, and what has nothing to be told by,
    /// neither edges nor features, has one without a direction: both are left out.
    pub(super) fn of(gathering: &Gathering<'_>, kinds: &[KindIx]) -> Result<Option<Self>, Failure> {
        let (nodes, of) = gathering.sample(kinds, EMBEDDED);
        let mut sample = Self { nodes: Vec::new(), vectors: Vec::new(), of };
        for node in nodes {
            gathering.cancel.check()?;
            let name = gathering.snapshot.name(node);
            let mut vector = match gathering.engine.embedding(name.as_ref()).map_err(hedgerow::Error::from) {
                Err(error) if matches!(error.kind(), ErrorKind::NotTrained | ErrorKind::NotEmbedded) => {
                    continue;
                }
                found => found?.vector,
            };
            // The last number is what popularity adds to a score.
            vector.pop();
            if vector.iter().any(|value| *value != 0.0) {
                sample.nodes.push(name);
                sample.vectors.push(vector);
            }
        }
        Ok(Some(sample).filter(|sample| !sample.nodes.is_empty()))
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Map {
    /// Nodes that could be on it.
    of: u64,
    /// Nodes that the axes are of.
    sampled: u64,
    shares: [f64; 2],
    points: Vec<Point>,
}

/// A node, where it lies, and the nearest by cosine.
#[derive(Debug, Serialize)]
struct Point(Place, f64, f64, Vec<(Place, f64)>);

impl Map {
    pub(super) fn of(
        gathering: &Gathering<'_>,
        sample: &Sample,
        points: usize,
        named: &mut Named,
    ) -> Result<Self, Failure> {
        let plane = Plane::of(&sample.vectors);
        let scan = sample.of as usize * sample.vectors[0].len();
        let points = points.min((PRODUCTS / scan.max(1)).max(FEWEST)).min(sample.nodes.len());
        let query = Query { k: NEAREST, cosine: true, ..Query::default() };
        let mut drawn = Vec::with_capacity(points);
        for (chunk, nodes) in sample.nodes[..points].chunks(CHUNK).enumerate() {
            gathering.cancel.check()?;
            (gathering.observer)("finding the nearest", (chunk * CHUNK) as u64, points as u64);
            let nearest = nodes.par_iter().map(|node| gathering.engine.similar(node.as_ref(), &query));
            let nearest: Vec<_> = nearest.collect::<Result<_, _>>()?;
            for (node, (at, nearest)) in nodes.iter().zip((chunk * CHUNK..).zip(nearest)) {
                let [x, y] = plane.places[at];
                let nearest = nearest.items.iter().map(|item| {
                    (named.place(&item.node, &gathering.snapshot), short(f64::from(item.score), 3))
                });
                let nearest = nearest.collect();
                drawn.push(Point(named.place(node, &gathering.snapshot), short(x, 4), short(y, 4), nearest));
            }
        }
        let shares = plane.shares.map(|share| short(share, 4));
        Ok(Self { of: sample.of, sampled: sample.nodes.len() as u64, shares, points: drawn })
    }

    pub(super) fn len(&self) -> usize {
        self.points.len()
    }

    /// Leaves some of the points: the first of a sample are one too.
    pub(super) fn cut(&mut self, points: usize) {
        self.points.truncate(points);
    }

    /// The places of all names on it.
    pub(super) fn names(&self) -> impl Iterator<Item = Place> + '_ {
        self.points
            .iter()
            .flat_map(|Point(node, _, _, nearest)| nearest.iter().map(|(place, _)| *place).chain([*node]))
    }
}
