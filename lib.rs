//! Hedgerow: an embedded graph database whose learned embeddings follow every edge.
//!
//! A host application opens a [`Store`], commits batches of edges as they happen, and asks an [`Engine`] for
//! similar nodes and recommendations. An edge committed now is in the embeddings after the next
//! [`Engine::refresh`], bit for bit what a full rebuild would give, at the cost of what it really changed.
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
//!     println!("{:#?}", engine.similar(("pin", "1"), &Query::default())?.items);
//! #   assert_eq!(engine.similar(("pin", "1"), &Query::default())?.items.len(), 4);
//!     Ok(())
//! }
//! ```
//!
//! # What there is
//!
//! - The graph (crate `hedgerow-storage`): [`Store`], opened by [`Store::options`]; [`Batch`] to change it, [`Load`] to fill an
//!   empty one, [`Snapshot`] to read it while it changes; [`Store::check`] and [`Store::backup`] to keep it.
//! - Walks (crate `hedgerow-walker`): [`Walker`] makes neighbourhoods; [`pixie()`] answers what walks from some nodes visit most,
//!   without a model.
//! - The model (crate `hedgerow-model`): [`Engine`] trains, refreshes and answers; [`Updater`] is a thread that refreshes by
//!   itself; [`Recommender`] answers many users at once.
//! - How a call is held: [`CancelToken`] stops what takes long and hears its [`Progress`]; [`Error`] has an [`ErrorKind`] to decide
//!   by.
//!
//! # How it behaves
//!
//! - A handle is for all threads: [`Store`], [`Engine`], [`Updater`] and [`Snapshot`] are `Send + Sync`, and calls take `&self`.
//!   Readers wait for nobody.
//! - Nothing is global. A process may have several stores open; rayon's pool is the caller's, or as many threads as the options of a
//!   call ask for.
//! - The library prints nothing and installs no handler of signals or panics; bad input is an [`Error`].
//! - Every call that may take longer than a moment takes a [`CancelToken`], which is its last argument, or `cancel` of a builder.
//!   What has none is bounded by what it is given: a commit takes some 10 microseconds a change and a sync of the disk, a question
//!   one scan, a [`Recommender`] one copy of the embeddings.
//!
//! The [`guide`] says the rest: concepts, durability, limits, tuning, troubleshooting. Three hosts that read like documentation are
//! in `tests/examples`: a recommender fed by another thread, a nightly job, a server beside a writer.
//!
//! # Features
//!
//! `model`, on by default, is everything learned. Without it (`default-features = false`) there are the graph and the walks, and 15
//! crates fewer.

mod error;
pub mod guide;

pub use error::{Error, ErrorKind};
pub use hedgerow_storage::{
    Backup, Batch, CancelToken, Changes, CheckOptions, Checkup, Commit, Derived, Edge, Epoch, Generation,
    KindIx, Links, List, Load, NodeIx, NodeName, NodeRef, OpenOptions, Position, Progress, Publish,
    RelationIx, Repair, SectionFile, SectionWriter, Sizes, Snapshot, StableId, Stage, Store, TokenMarks,
    is_engine_panic,
};
pub use hedgerow_walker::{
    Cooccurrence, EarlyStop, Neighborhoods, PixieAnswer, PixieOptions, Policy, Recommended, UniformWalks,
    Visit, WalkDifference, WalkOptions, Walker, pixie, stable_draw,
};

#[cfg(feature = "model")]
pub use hedgerow_model::{
    Alarm, Audience, Baseline, BaselineQuality, Basis, Beside, COLLAPSED, COMPARED, Comparison, Conv, Digest,
    Embedded, Embedder, Engine, EpochQuality, EpochReport, Estimate, EstimatedBytes, EstimatedSeconds,
    EvaluateOptions, Explanation, Filter, GROWN, Ids, Importance, Interest, Interests, Learned, LearnedRow,
    LearningCurve, Loss, MOST_INTERESTS, Mean, Model, PastRefresh, Pooling, Positives, Query, RandomCosines,
    Ranked, Reason, RecommendQuality, Recommender, RefreshReport, RelatedQuality, Scored, Spent, Stages,
    Status, Tensor, TrainEvent, TrainOptions, TrainReport, Training, Unfinished, Unseen, Update, Updater,
    UpdaterOptions, UpdaterReport, Values, Verdict, Why,
};
