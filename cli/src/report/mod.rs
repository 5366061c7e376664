//! What `report` puts on its page: gathered here, a noun a file, and drawn by the script of the page. Owns what the page
//! says and that it is the same for the same store; the verb owns the file that it is written to.

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

/// Nodes whose neighbourhoods are measured, of each kind.
const WALKED: usize = 2_000;
/// Nodes whose embeddings stand for all of them.
const EMBEDDED: usize = 4_000;

/// All that the page says.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    store: String,
    version: &'static str,
    holdings: summary::Summary,
    degrees: Vec<sizes::Degrees>,
    neighborhoods: Vec<sizes::Neighborhoods>,
    curve: Option<history::Curve>,
    refreshes: Vec<history::Refresh>,
    map: Option<map::Map>,
    cosines: Option<Cosines>,
    items: Vec<items::Item>,
    named: node_names::Named,
}

/// How similar random pairs of embeddings are.
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
        let kurtosis = kurtosis.map(|kurtosis| short(kurtosis, 3));
        Self { pairs, mean: short(mean, 4), deviation: short(deviation, 4), kurtosis, bins }
    }
}

/// Who is told how far it is: what is done now, and how much of it.
pub(crate) type Observer<'a> = dyn Fn(&str, u64, u64) + Sync + 'a;

/// What every part of the gathering works with.
pub(crate) struct Gathering<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) snapshot: Snapshot,
    pub(crate) cancel: &'a CancelToken,
    pub(crate) observer: &'a Observer<'a>,
}

impl<'a> Gathering<'a> {
    pub(crate) fn new(engine: &'a Engine, cancel: &'a CancelToken, observer: &'a Observer<'a>) -> Self {
        Self { engine, snapshot: engine.store().snapshot(), cancel, observer }
    }

    /// Gathers all of it; `points` on the map at most.
    pub(crate) fn report(&self, store: String, points: usize) -> Result<Report, Failure> {
        let targets = self.engine.status().targets;
        let mut kinds: Vec<KindIx> =
            (0..self.snapshot.kind_count()).map(|ix| KindIx::new(ix as u8)).collect();
        kinds.sort_by_key(|kind| self.snapshot.kind_name(*kind));
        let asked: Vec<KindIx> = match targets.as_slice() {
            [] => kinds.clone(),
            targets => targets.iter().filter_map(|name| self.snapshot.kind_ix(name)).collect(),
        };
        (self.observer)("counting", 0, 0);
        let (holdings, degrees) = (summary::Summary::of(self, &kinds)?, sizes::degrees(self, &kinds)?);
        let neighborhoods = sizes::neighborhoods(self, &asked)?;
        let mut named = node_names::Named::default();
        let items = items::items(self, &asked, &mut named)?;
        let sample = if targets.is_empty() { None } else { map::Sample::of(self, &asked)? };
        let map = sample.as_ref().map(|sample| map::Map::of(self, sample, points, &mut named)).transpose()?;
        Ok(Report {
            store,
            version: env!("CARGO_PKG_VERSION"),
            holdings,
            degrees,
            neighborhoods,
            curve: history::curve(self.engine)?,
            refreshes: history::refreshes(self.engine),
            map,
            cosines: sample
                .is_some()
                .then(|| self.engine.random_cosines(None))
                .transpose()?
                .map(Cosines::from),
            items,
            named,
        })
    }

    /// Living nodes of these kinds by stable id, at most so many, and how many there are. The id is a hash of the name, so
    /// the first ones are a sample of all, and the same whenever the store holds the same.
    fn sample(&self, kinds: &[KindIx], most: usize) -> (Vec<NodeIx>, u64) {
        let mut nodes: Vec<NodeIx> = kinds.iter().flat_map(|kind| self.snapshot.nodes_of(*kind)).collect();
        let of = nodes.len() as u64;
        nodes.sort_unstable_by_key(|&node| self.snapshot.stable_id(node));
        nodes.truncate(most);
        (nodes, of)
    }
}

impl Report {
    /// The page: whole, and under the limit whatever the names in it are; a map that does not fit has fewer points.
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

    /// Points on the map.
    pub(crate) fn points(&self) -> usize {
        self.map.as_ref().map_or(0, map::Map::len)
    }
}

/// A number with as many decimals as the page shows or draws.
fn short(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hedgerow::{Batch, CancelToken, Edge, Engine, NodeRef, Store, TrainOptions};

    use super::{Gathering, page};

    /// Forty pins on one board, embedded without training.
    #[test]
    fn a_page_that_would_be_too_large_has_fewer_points_and_names_no_others() {
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

        let mut report =
            Gathering::new(&engine, &cancel, &|_, _, _| {}).report("s".to_owned(), 100).expect("gathered");
        let whole = report.page(usize::MAX).expect("a page");
        assert_eq!(report.points(), 40);
        let smaller = report.page(whole.len() - 1).expect("a page");
        assert_eq!((report.points(), smaller.len() < whole.len()), (20, true));
        let bare = page::fill("").len();
        let least = report.page(0).expect("a page");
        assert_eq!(report.points(), 0);
        assert!((bare..smaller.len()).contains(&least.len()), "what is no map stays");
    }
}
