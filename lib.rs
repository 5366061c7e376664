//! Hedgerow: an embedded graph database whose learned embeddings follow every edge.
//!
//! A host application opens a [`Store`], commits batches of edges as they happen, and asks an [`Engine`] for similar nodes and
//! recommendations. An edge committed now is in the embeddings after the next [`Engine::refresh`], bit for bit what a full
//! rebuild would give. The cost depends on what the edge changed.
//!
//! ```
//! # #[cfg(feature = "model")]
//! use hedgerow::{Batch, CancelToken, Edge, Engine, Error, Query, Store, TrainOptions};
//!
//! # #[cfg(not(feature = "model"))]
//! # fn main() {}
//! # #[cfg(feature = "model")]
//! fn main() -> Result<(), Error> {
//! #   let folder = tempfile::tempdir().expect("a folder");
//! #   std::env::set_current_dir(folder.path()).expect("entered");
//!     let store = Store::options().create(true).open("graph")?;
//!     let mut batch = Batch::new();
//!     for (board, pin) in [("jazz", "1"), ("jazz", "2"), ("rock", "3"), ("rock", "4"), ("jazz", "5")] {
//!         batch.link(("board", board), ("pin", pin), Edge::default())?;
//!     }
//!     store.commit(&batch)?; // durable from here on
//!     let engine = Engine::open(store)?;
//!     engine.training(&TrainOptions::new(["pin"])).run(&CancelToken::new())?;
//!     println!("{:#?}", engine.similar(("pin", "1"), &Query::default(), &CancelToken::new())?.items);
//! #   assert_eq!(engine.similar(("pin", "1"), &Query::default(), &CancelToken::new())?.items.len(), 4);
//!     Ok(())
//! }
//! ```
//!
//! # Parts
//!
//! - The graph (crate `hedgerow-storage`): [`Store`], opened by [`Store::options`]; [`Batch`] changes it, [`BulkLoad`] fills an empty
//!   store, [`Snapshot`] reads it while it changes; [`Store::check`] and [`Store::backup`] keep it intact.
//! - Walks (crate `hedgerow-walker`): [`Walker`] computes neighborhoods; [`pixie()`] ranks nodes by the visits of walks, without
//!   a model.
//! - The model (crate `hedgerow-model`): [`Engine`] trains, refreshes and answers; [`Updater`] is a thread that refreshes by
//!   itself; [`Recommender`] answers many users at once, [`SimilarFinder`] many nodes.
//! - Control: [`CancelToken`] stops a long call and reports its [`Progress`]; [`Error`] has an [`ErrorKind`] for decisions.
//!
//! # Guarantees
//!
//! - A handle serves all threads: [`Store`], [`Engine`], [`Updater`] and [`Snapshot`] are `Send + Sync`, and calls take `&self`.
//!   Readers never wait for a writer.
//! - There is no global state. A process may have several stores open. Parallel work runs on the caller's rayon pool, or on as
//!   many threads as an option says.
//! - The library prints nothing and installs no signal or panic handler. Bad input is an [`Error`].
//! - A call that may take long takes a [`CancelToken`] as its last argument, or by `cancel` of a builder. The token may have a
//!   deadline. Other calls are bounded by their arguments: a commit takes some 10 microseconds a change and a sync of the disk, a
//!   [`Recommender`] one copy of the embeddings.
//!
//! The [`guide`] explains concepts, durability, limits, scores, tuning and troubleshooting. `tests/examples` has three hosts: a
//! recommender beside a thread that commits, a nightly job, and a server beside a writer.
//!
//! # Features
//!
//! - `model`, on by default, adds training, embeddings and queries. Without it (`default-features = false`) there are the graph
//!   and the walks.
//! - `serde` implements `Serialize` and `Deserialize` for the types that hosts send around: names, answers, explanations, status
//!   and reports. A [`NodeName`] is the string `kind:key`.

mod error;
pub mod guide;

pub use error::{Error, ErrorKind};
pub use hedgerow_storage::Error as StorageError;
pub use hedgerow_storage::{
    Backup, Batch, BulkLoad, CancelToken, Changes, CheckOptions, CheckReport, Commit, Damage, Derived,
    DerivedSet, Edge, EdgeBuffer, Epoch, Generation, KindIx, List, MAIN_SET, MAX_DENSE_VALUE, MAX_HALF_LIFE,
    MAX_PROPERTIES, MAX_SET_NAME, MAX_VALUE_BYTES, MIN_HALF_LIFE, NodeIx, NodeName, NodeRef, OpenOptions,
    Position, Progress, Property, PropertyIx, PropertyReader, PropertyType, PropertyValue, Publish,
    RelationIx, RelationOptions, Repeat, Savepoint, SectionFile, SectionWriter, Sizes, Snapshot, StableId,
    Stage, Store, TimeUnit, TokenMask, is_engine_panic,
};
pub use hedgerow_walker::Error as WalkError;
pub use hedgerow_walker::{
    Cooccurrence, CountedRelations, EarlyStop, Neighborhoods, PixieAnswer, PixieOptions, Policy, Recommended,
    RelationWeights, UniformWalks, Visit, WalkDifference, WalkOptions, Walker, pixie, stable_draw,
};

#[cfg(feature = "model")]
pub use hedgerow_model::Error as ModelError;
#[cfg(feature = "model")]
pub use hedgerow_model::{
    Alarm, AnswerExplanation, AnswerSource, Baseline, BaselineQuality, Comparison, Connection, Conv, Cursor,
    Digest, Embedded, Embedder, EmbeddingExport, EmbeddingRow, Engine, EpochQuality, EpochReport, EpochTimes,
    Estimate, EstimatedBytes, EstimatedSeconds, EvaluateOptions, Filter, FilterComparison, FilterTerm,
    FittedScore, Ids, Importance, Interest, Interests, LearningCurve, Loss, Mean, Model, ModelStatus,
    NewNode, OnlyNew, PartQuality, Pooling, Positives, Query, RandomCosines, Ranked, RebuildReport,
    Recipient, RecommendQuality, Recommender, RefreshExplanation, RefreshReason, RefreshRecord,
    RefreshReport, RefreshTimes, RelatedQuality, RowComparison, RowPart, ScorePart, Scored, SimilarFinder,
    Status, Tensor, TrainEvent, TrainOptions, TrainReport, Training, UnfinishedTraining, Update, Updater,
    UpdaterOptions, UpdaterReport, Values, Verdict, WeighedEmbeddings, choose_model,
};
