//! The workload `ablation`: the worth of each part of PinSage, as in the paper's Table 1, on a generated catalog.

use std::sync::Arc;

use hedgerow::{Conv, Engine, EvaluateOptions, Ids, Loss, Pooling, Store, TrainOptions, WalkOptions};
use hedgerow_cli::synthetic::{Degrees, Plan};

use crate::Options;
use crate::catalog::Catalog;
use crate::graph::RELATION;
use crate::measure::{self, Failure, Recorder, Row};

/// Mean items of a board.
const BOARD_SIZE: u64 = 13;

/// The catalog, and the numbers of pairs for training and for evaluation.
#[derive(Clone, Copy, Debug)]
struct Setup {
    plan: Plan,
    pairs: usize,
    evaluated: usize,
    epochs: u32,
    pairs_per_epoch: usize,
}

impl Setup {
    fn new(options: &Options) -> Self {
        let plan = |items, boards: u32, topics| Plan {
            items,
            boards,
            edges: u64::from(boards) * BOARD_SIZE,
            topics,
            degrees: Degrees::Even,
            seed: options.seed,
        };
        if options.quick {
            Self {
                plan: plan(2000, 1500, 100),
                pairs: 4000,
                evaluated: 500,
                epochs: 1,
                pairs_per_epoch: 4096,
            }
        } else {
            let plan = plan(100_000, 60_000, 4000);
            Self { plan, pairs: 400_000, evaluated: 5000, epochs: 4, pairs_per_epoch: 100_000 }
        }
    }
}

/// The rows of the table: name, layers, pooling, and hard negatives or none.
const ROWS: [(&str, usize, Pooling, bool); 5] = [
    ("content only", 0, Pooling::Importance, false),
    ("max-pooling", 2, Pooling::Max, false),
    ("mean-pooling", 2, Pooling::Mean, false),
    ("mean-pooling, hard negatives", 2, Pooling::Mean, true),
    ("importance pooling, hard negatives", 2, Pooling::Importance, true),
];

pub(crate) fn run(options: &Options, recorder: &mut Recorder) -> Result<(), Failure> {
    let (setup, cancel) = (Setup::new(options), recorder.cancel.clone());
    let folder = measure::folder()?;
    let store = Arc::new(Store::options().create(true).open(folder.path().join("catalog"))?);
    // The pairs for evaluation come from boards that training has not seen.
    let mut catalog = Catalog::new(setup.plan);
    catalog.write(&store, &cancel)?;
    let (learned, evaluated) = (catalog.pairs(setup.pairs)?, catalog.pairs(setup.evaluated)?);
    let edges = store.snapshot().edge_count(RELATION);
    let graph = format!("items {} boards {} edges {edges}", setup.plan.items, setup.plan.boards);
    let engine = Engine::open(store)?;
    for (name, layers, pooling, hard) in ROWS {
        cancel.check()?;
        recorder.note(&format!("{name}: {} epochs of {} pairs", setup.epochs, setup.pairs_per_epoch));
        let options = train_options(setup, layers, pooling, hard);
        engine.training(&options).pairs(&learned).run(&cancel)?;
        let alone = EvaluateOptions { compared: 0, ..EvaluateOptions::default() };
        let quality = engine.evaluate_related(&evaluated, &alone, &cancel)?.model;
        for (figure, value) in [
            ("hr@10", quality.hr10.mean),
            ("hr@100", quality.hr100.mean),
            ("hr@500", quality.hr500.mean),
            ("mrr100", quality.mrr100.mean),
        ] {
            recorder.rows.push(Row {
                workload: "ablation",
                case: format!("{name}, {figure}"),
                value,
                unit: "share",
                against: None,
                threads: rayon::current_num_threads(),
                graph: graph.clone(),
                options: format!("dim {} top {} epochs {}", options.dim, options.walks.top, options.epochs),
            });
        }
    }
    Ok(())
}

/// The options of the paper: max-margin, shared negatives, more hard ones each epoch, no identities.
fn train_options(setup: Setup, layers: usize, pooling: Pooling, hard: bool) -> TrainOptions {
    TrainOptions {
        targets: vec!["pin".to_owned()],
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
        // It measures embeddings.
        factors: false,
        ..TrainOptions::default()
    }
}
