//! Hedgerow: an embedded graph database whose learned embeddings follow every edge.
//!
//! A host application opens a [`Store`], commits batches of edges as they happen, and asks an [`Engine`] for
//! similar nodes and recommendations. An edge committed now is in the embeddings after the next
//! [`Engine::refresh`], bit for bit what a full rebuild would give, at the cost of what it really changed.
//!
//! - [`Store`], [`Batch`], [`Snapshot`]: durable batches, frozen views (crate `hedgerow-storage`).
//! - [`Walker`], [`Policy`], [`WalkOptions`]: stable coupled walks and neighbourhoods; [`pixie()`]: what walks from
//!   some nodes visit most, without a model (crate `hedgerow-walker`).
//! - [`Engine`], [`TrainOptions`]: PinSage, its training, refresh and retrieval (crate `hedgerow-model`, feature
//!   `model`, on by default). [`Updater`]: a thread that refreshes by itself.
//!
//! ```
//! # #[cfg(not(feature = "model"))]
//! # fn main() {}
//! # #[cfg(feature = "model")]
//! # fn main() -> Result<(), hedgerow::Error> {
//! # let folder = tempfile::tempdir().expect("a temporary folder");
//! # let path = folder.path().join("store");
//! use std::sync::Arc;
//! use hedgerow::{Batch, CancelToken, Edge, Engine, NodeRef, Query, Store, TrainOptions};
//!
//! let store = Arc::new(Store::options().create(true).open(path)?);
//! let mut batch = Batch::new();
//! for (board, pin) in [("jazz", "1"), ("jazz", "2"), ("rock", "3"), ("rock", "4"), ("jazz", "5")] {
//!     batch.link(NodeRef::new("board", board)?, NodeRef::new("pin", pin)?, Edge::default())?;
//! }
//! store.commit(&batch)?; // durable from here on
//!
//! let engine = Engine::open(store)?;
//! let options = TrainOptions { targets: vec!["pin".into()], epochs: 2, ..TrainOptions::default() };
//! engine.train(&options, None, &mut |_| {}, &CancelToken::new())?;
//! let similar = engine.similar(NodeRef::new("pin", "1")?, &Query::default())?;
//! assert_eq!(similar.items.len(), 4);
//! # Ok(())
//! # }
//! ```

mod error;

pub use error::{Error, ErrorKind};
pub use hedgerow_storage::{
    Backup, Batch, CancelToken, Changes, CheckOptions, Checkup, Commit, Derived, Edge, Epoch, Generation,
    KindIx, Links, List, Load, NodeIx, NodeName, NodeRef, OpenOptions, Position, Publish, RelationIx, Repair,
    SectionFile, SectionWriter, Sizes, Snapshot, StableId, Store, TokenMarks, is_engine_panic,
};
pub use hedgerow_walker::{
    Cooccurrence, Difference, EarlyStop, Neighborhoods, PixieAnswer, PixieOptions, Policy, Recommended,
    Visit, WalkOptions, Walker, Walks, pick, pixie,
};

#[cfg(feature = "model")]
pub use hedgerow_model::{
    Alarm, Audience, Baseline, BaselineQuality, Basis, Beside, COLLAPSED, COMPARED, Comparison, Conv, Digest,
    Embedded, Embedder, Engine, EpochQuality, EpochReport, Estimate, EstimatedBytes, EstimatedSeconds,
    EvaluateOptions, Evaluated, Explanation, Filter, GROWN, Ids, Importance, Interest, Interests, Learned,
    LearnedRow, LearningCurve, Loss, MOST_INTERESTS, Mean, Model, PastRefresh, Pooling, Positives, Query,
    RandomCosines, Ranked, Reason, RecommendQuality, Recommender, RefreshReport, RelatedQuality, Scored,
    Spent, Stages, Status, Tensor, TrainEvent, TrainOptions, TrainReport, Unfinished, Unseen, Update,
    Updater, UpdaterOptions, UpdaterReport, Values, Verdict, Why,
};
