//! The data of a page of `report`, and the page as text. The script of the page draws the data.
//! Equal stores give equal pages. Must not know where the page is written to.

mod history;
mod items;
mod map;
mod node_names;
mod page;
mod pca;
mod sizes;
mod summary;

use hedgerow::{CancelToken, Engine, KindIx, NodeIx, RandomCosines, Snapshot};
use serde::Serialize;

use crate::core::failure::Failure;
use crate::output::value::round;
use crate::session::schema::kinds_by_name;

/// The most nodes of a kind whose neighborhoods are measured.
const WALKED: usize = 2_000;
/// The most nodes in the sample of embeddings.
const EMBEDDED: usize = 4_000;

/// The data of the page.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    store: String,
    version: &'static str,
    summary: summary::Summary,
    degrees: Vec<sizes::Degrees>,
    neighborhoods: Vec<sizes::Neighborhoods>,
    curve: Option<history::Curve>,
    refreshes: Vec<history::Refresh>,
    map: Option<map::Map>,
    cosines: Option<Cosines>,
    items: Vec<items::Item>,
    named: node_names::NodeNames,
}

/// The distribution of the cosines of random pairs of embeddings.
#[derive(Debug, Serialize)]
struct Cosines {
    pairs: u64,
    mean: f64,
    deviation: f64,
    kurtosis: Option<f64>,
    bins: Vec<u64>,
}

impl From<RandomCosines> for Cosines {
    fn from(RandomCosines { pairs, mean, deviation, kurtosis, bins }: RandomCosines) -> Self {
        let kurtosis = kurtosis.map(|kurtosis| round(kurtosis, 3));
        Self { pairs, mean: round(mean, 4), deviation: round(deviation, 4), kurtosis, bins }
    }
}

/// An observer of the progress: the stage, the steps that are done, and all steps.
pub(crate) type Observer<'a> = dyn Fn(&str, u64, u64) + Sync + 'a;

/// The store and model that the data of a page is read from.
pub(crate) struct ReportSource<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) snapshot: Snapshot,
    pub(crate) cancel: &'a CancelToken,
    pub(crate) observer: &'a Observer<'a>,
}

impl<'a> ReportSource<'a> {
    pub(crate) fn new(engine: &'a Engine, cancel: &'a CancelToken, observer: &'a Observer<'a>) -> Self {
        Self { engine, snapshot: engine.store().snapshot(), cancel, observer }
    }

    /// Collects the data, with at most `points` on the map.
    pub(crate) fn report(&self, store: String, points: usize) -> Result<Report, Failure> {
        // The kinds: all for the graph, and the embedded ones for samples.
        let targets = self.engine.status().targets;
        let kinds = kinds_by_name(&self.snapshot);
        let sampled: Vec<KindIx> = match targets.as_slice() {
            [] => kinds.clone(),
            targets => targets.iter().filter_map(|name| self.snapshot.kind_ix(name)).collect(),
        };
        // The parts in an order that numbers the names the same way each time.
        (self.observer)("counting", 0, 0);
        let (summary, degrees) = (summary::Summary::of(self, &kinds)?, sizes::degrees(self, &kinds)?);
        let neighborhoods = sizes::neighborhoods(self, &sampled)?;
        let mut named = node_names::NodeNames::default();
        let items = items::items(self, &sampled, &mut named)?;
        let sample = if targets.is_empty() { None } else { map::Sample::of(self, &sampled)? };
        let map = sample.as_ref().map(|sample| map::Map::of(self, sample, points, &mut named)).transpose()?;
        Ok(Report {
            store,
            version: env!("CARGO_PKG_VERSION"),
            summary,
            degrees,
            neighborhoods,
            curve: history::curve(self.engine)?,
            refreshes: history::refreshes(self.engine),
            map,
            cosines: sample.map(|_| self.engine.random_cosines(None)).transpose()?.map(Cosines::from),
            items,
            named,
        })
    }

    /// A sample of the nodes of these kinds, and their number. It is the first `most` nodes by stable id, which is a hash of
    /// the name, so equal stores have equal samples.
    fn sample(&self, kinds: &[KindIx], most: usize) -> (Vec<NodeIx>, u64) {
        let mut nodes: Vec<NodeIx> = kinds.iter().flat_map(|kind| self.snapshot.nodes_of(*kind)).collect();
        let of = nodes.len() as u64;
        nodes.sort_unstable_by_key(|&node| self.snapshot.stable_id(node));
        nodes.truncate(most);
        (nodes, of)
    }
}

impl Report {
    /// The page, at most `limit` bytes long. If the map does not fit, it gets fewer points.
    pub(crate) fn page(&mut self, limit: usize) -> Result<String, Failure> {
        loop {
            let data = serde_json::to_string(&self)
                .map_err(|error| Failure::Refused(format!("cannot write the page's data: {error}")))?;
            let page = page::fill(&data);
            let points = self.points();
            if page.len() <= limit || points == 0 {
                return Ok(page);
            }
            self.map.as_mut().into_iter().for_each(|map| map.cut(points / 2));
            self.named.keep(
                self.items
                    .iter()
                    .flat_map(items::Item::names)
                    .chain(self.map.iter().flat_map(map::Map::names)),
            );
        }
    }

    /// The number of points on the map.
    pub(crate) fn points(&self) -> usize {
        self.map.as_ref().map_or(0, map::Map::len)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hedgerow::{Batch, CancelToken, Edge, Engine, NodeRef, Store, TrainOptions};

    use super::{ReportSource, page};

    /// Forty pins on one board, embedded without training.
    #[test]
    fn a_page_that_is_too_large_loses_points_and_their_names() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::options().create(true).open(folder.path().join("s")).expect("created");
        let (mut batch, board) = (Batch::new(), NodeRef::new("board", "all").expect("a name"));
        for pin in 0..40 {
            let key = format!("{pin}-{}", "long".repeat(20));
            batch.link(board, NodeRef::new("pin", &key).expect("a name"), Edge::default()).expect("an edge");
        }
        store.commit(&batch).expect("committed");
        let (engine, cancel) = (Engine::open(Arc::new(store)).expect("it opens"), CancelToken::new());
        let options =
            TrainOptions { targets: vec!["pin".into()], epochs: 0, dim: 4, ..TrainOptions::default() };
        engine.training(&options).run(&cancel).expect("embedded");

        let mut report = ReportSource::new(&engine, &cancel, &|_, _, _| {})
            .report("s".to_owned(), 100)
            .expect("collected");
        let full = report.page(usize::MAX).expect("a page");
        assert_eq!(report.points(), 40);
        let smaller = report.page(full.len() - 1).expect("a page");
        assert_eq!((report.points(), smaller.len() < full.len()), (20, true));
        let bare = page::fill("").len();
        let least = report.page(0).expect("a page");
        assert_eq!(report.points(), 0);
        assert!((bare..smaller.len()).contains(&least.len()), "everything but the map stays");
    }
}
