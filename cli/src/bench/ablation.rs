//! What the parts of PinSage are worth: the paper's Table 1 on a generated catalogue.

use std::sync::Arc;

use hedgerow::{
    CancelToken, Conv, Engine, EvaluateOptions, Ids, Loss, Pooling, RelationIx, Store, TrainOptions,
    WalkOptions,
};

use crate::bench::Row;
use crate::bench::catalogue::Catalogue;
pub(crate) use crate::bench::catalogue::Shelf;
use crate::core::failure::Failure;

/// What is learned and judged on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) plan: Shelf,
    pub(crate) pairs: usize,
    pub(crate) judged: usize,
    pub(crate) epochs: u32,
    pub(crate) pairs_per_epoch: usize,
}

/// The rows of the table: name, layers, pooling, whether there are hard negatives.
const ROWS: [(&str, usize, Pooling, bool); 5] = [
    ("content only", 0, Pooling::Importance, false),
    ("max-pooling", 2, Pooling::Max, false),
    ("mean-pooling", 2, Pooling::Mean, false),
    ("mean-pooling, hard negatives", 2, Pooling::Mean, true),
    ("importance pooling, hard negatives", 2, Pooling::Importance, true),
];

pub(crate) fn run(
    setup: Setup,
    cancel: &CancelToken,
    note: &dyn Fn(&str),
    row: &mut dyn FnMut(Row) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let folder =
        tempfile::tempdir().map_err(|source| Failure::file(&std::env::temp_dir(), "create", source))?;
    let store = Arc::new(Store::options().create(true).open(folder.path().join("catalogue"))?);
    let mut catalogue = Catalogue::new(setup.plan);
    catalogue.write(&store, cancel)?;
    let (learned, judged) = (catalogue.pairs(setup.pairs)?, catalogue.pairs(setup.judged)?);
    let edges = store.snapshot().edge_count(RelationIx::new(0));
    let graph = format!("items {} boards {} edges {edges}", setup.plan.items, setup.plan.boards);
    let engine = Engine::open(store)?;
    for (name, layers, pooling, hard) in ROWS {
        cancel.check()?;
        note(&format!("{name}: {} epochs of {} pairs", setup.epochs, setup.pairs_per_epoch));
        let options = options(setup, layers, pooling, hard);
        engine.training(&options).pairs(&learned).run(cancel)?;
        let alone = EvaluateOptions { compared: 0, ..EvaluateOptions::default() };
        let quality = engine.evaluate_related(&judged, &alone, cancel)?.model;
        for (figure, value) in [
            ("hr@10", quality.hr10.mean),
            ("hr@100", quality.hr100.mean),
            ("hr@500", quality.hr500.mean),
            ("mrr100", quality.mrr100.mean),
        ] {
            row(Row {
                workload: "ablation",
                case: format!("{name}, {figure}"),
                value,
                unit: "share",
                baseline: None,
                ratio: None,
                threads: rayon::current_num_threads(),
                graph: graph.clone(),
                options: format!("dim {} top {} epochs {}", options.dim, options.walks.top, options.epochs),
            })?;
        }
    }
    Ok(())
}

/// The paper's: max-margin, negatives shared, hard ones more each epoch, no identities.
fn options(setup: Setup, layers: usize, pooling: Pooling, hard: bool) -> TrainOptions {
    TrainOptions {
        targets: vec!["item".to_owned()],
        dim: 64,
        layers,
        conv: Conv::PinSage,
        pooling,
        ids: Ids::Off,
        popularity: false,
        damping: false,
        walks: WalkOptions { top: 20, ..WalkOptions::default() },
        loss: Loss::Margin,
        negatives: 500,
        hard_negatives: if hard { setup.epochs } else { 0 },
        epochs: setup.epochs,
        pairs_per_epoch: setup.pairs_per_epoch,
        held_out: 0,
        ..TrainOptions::default()
    }
}
